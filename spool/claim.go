package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// readAhead is what the first read of a message file asks for; most files are smaller.
const readAhead = 32 << 10

// readBuffer is a pooled buffer for first reads.
type readBuffer [readAhead]byte

var readBuffers = sync.Pool{New: func() any { return new(readBuffer) }}

// loadState reads the state of a message; the content is left aside.
func loadState(f io.ReaderAt, id ID) (state, error) {
	buf := readBuffers.Get().(*readBuffer)
	defer readBuffers.Put(buf)
	s, err := readState(f, id, buf[:])
	s.content = nil
	return s, err
}

// Claim takes a message to work on it (D1). The content is compared with its checksum the first time that this
// process claims it.
func (d *Dir) Claim(ctx context.Context, id ID) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.safe(); err != nil {
		return nil, fmt.Errorf("claiming message %s: %w", id, err)
	}
	if !d.take(id) {
		return nil, fmt.Errorf("claiming message %s: %w", id, ErrClaimed)
	}
	c, path, err := d.claim(id)
	if err == nil {
		return c, nil
	}
	if errors.Is(err, ErrCorrupt) && path != "" {
		d.quarantine(id, path, err)
	}
	d.giveBack(id)
	return nil, fmt.Errorf("claiming message %s: %w", id, err)
}

func (d *Dir) claim(id ID) (*dirClaim, string, error) {
	f, path, err := d.openMessage(id, true)
	if err != nil {
		return nil, path, err
	}
	c := &dirClaim{d: d, id: id, path: path, file: &sharedFile{FSFile: f, refs: 1}}
	buf := readBuffers.Get().(*readBuffer)
	defer readBuffers.Put(buf)
	if c.state, err = readState(f, id, buf[:]); err == nil {
		c.content = bytes.Clone(c.content)
		err = d.verify(c)
	}
	if err != nil {
		f.Close()
		return nil, path, err
	}
	return c, path, nil
}

// safe gives the reason why nothing may be claimed any more.
func (d *Dir) safe() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unsafe
}

// verify compares the content with its checksum, once in the life of the process.
func (d *Dir) verify(c *dirClaim) error {
	d.mu.Lock()
	_, ok := d.verified[c.id]
	d.mu.Unlock()
	if ok {
		return nil
	}
	var sum [sha256.Size]byte
	if c.content != nil {
		sum = sha256.Sum256(c.content)
	} else {
		h := sha256.New()
		n, err := io.Copy(h, io.NewSectionReader(c.file, headLen, c.size))
		if err != nil {
			return err
		}
		if n != c.size {
			return corruptf("%d octets of content in place of %d", n, c.size)
		}
		h.Sum(sum[:0])
	}
	if sum != c.hash {
		return corruptf("the checksum of the content does not match")
	}
	d.mu.Lock()
	d.verified[c.id] = struct{}{}
	d.mu.Unlock()
	return nil
}

// dirClaim is a claimed message: an open file and what it says.
type dirClaim struct {
	d    *Dir
	id   ID
	file *sharedFile

	mu    sync.Mutex
	state        // changed together with the file
	path  string // where the file is
	over  bool
}

var errOver = errors.New("the claim has ended")

func (c *dirClaim) ID() ID { return c.id }

func (c *dirClaim) Size() int64 { return c.size }

func (c *dirClaim) Envelope() Envelope {
	c.mu.Lock()
	defer c.mu.Unlock()
	env := c.env
	env.Rcpts = slices.Clone(env.Rcpts)
	return env
}

func (c *dirClaim) Open() (io.ReadSeekCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil, c.wrap("reading", errOver)
	}
	if c.content != nil {
		return memoryReader{bytes.NewReader(c.content)}, nil
	}
	c.file.acquire()
	return newContentReader(c.file, c.size), nil
}

func (c *dirClaim) Record(results []RcptResult, next time.Time) error {
	final := false
	for _, r := range results {
		final = final || r.Outcome().Final()
	}
	return c.append(recAttempt, encodeAttempt(results, next), final)
}

func (c *dirClaim) Expand(rcpts []Recipient) error {
	if len(rcpts) > MaxRcpts {
		return c.wrap("expanding", fmt.Errorf("%d recipients: %w", len(rcpts), ErrTooBig))
	}
	var e encoder
	for _, r := range rcpts {
		e.nested(1, r.encode)
	}
	return c.append(recExpanded, e, true)
}

func (c *dirClaim) Bounced(rcpts []int) error {
	var e encoder
	e.nested(1, func(e *encoder) { appendIndexes(e, rcpts) })
	return c.append(recBounced, e, true)
}

func (c *dirClaim) Warned() error { return c.append(recWarned, nil, true) }

func (c *dirClaim) Hold(reason string) error {
	if reason == "" {
		return c.append(recRelease, nil, true)
	}
	var e encoder
	e.text(1, reason)
	return c.append(recHold, e, true)
}

// append writes one record behind the others, and syncs it if it must last. The envelope changes with it. After an
// error that is not ErrUnsafe the message is as before.
func (c *dirClaim) append(kind byte, payload []byte, durable bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return c.wrap("recording", errOver)
	}
	if err := c.d.safe(); err != nil {
		return c.wrap("recording", err)
	}
	env := c.env
	env.Rcpts = slices.Clone(env.Rcpts)
	if err := env.apply(kind, payload); err != nil {
		return c.wrap("recording", err)
	}
	record, sum, err := appendRecord(nil, kind, payload, c.sum)
	if err != nil {
		return c.wrap("recording", err)
	}
	if err := c.write(record); err != nil {
		return c.wrap("recording", noSpace(err))
	}
	if durable {
		if err := c.file.SyncData(); err != nil {
			return c.wrap("recording", c.d.endure(err))
		}
	}
	c.env, c.sum, c.end = env, sum, c.end+int64(len(record))
	return nil
}

// write puts a record at the end, where a torn one may stand.
func (c *dirClaim) write(record []byte) error {
	if c.torn {
		if err := c.file.Truncate(c.end); err != nil {
			return err
		}
		c.torn = false
	}
	if _, err := c.file.WriteAt(record, c.end); err != nil {
		c.torn = c.file.Truncate(c.end) != nil
		return err
	}
	return nil
}

// endure notes that an outcome may or may not be on the disk.
func (d *Dir) endure(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unsafe == nil {
		d.unsafe = fmt.Errorf("%w: %w", ErrUnsafe, err)
	}
	return d.unsafe
}

func (c *dirClaim) Remove() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return c.wrap("removing", errOver)
	}
	if err := c.d.fs.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c.wrap("removing", err)
	}
	c.d.removed.later(filepath.Dir(c.path))
	c.d.mu.Lock()
	delete(c.d.verified, c.id)
	c.d.mu.Unlock()
	c.finish()
	return nil
}

func (c *dirClaim) Release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil
	}
	c.settle()
	c.finish()
	return nil
}

// finish gives the claim back.
func (c *dirClaim) finish() {
	c.over = true
	c.file.release()
	c.d.giveBack(c.id)
}

// settle moves a message that has been tried from new/ to cur/, so that new/ stays small. Not having moved does no
// harm, so an error is only worth a warning.
func (c *dirClaim) settle() {
	to := c.d.curPath(c.id)
	if c.env.Tries == 0 || c.path == to {
		return
	}
	err := c.d.fs.Rename(c.path, to)
	if errors.Is(err, fs.ErrNotExist) {
		err = c.d.makeBucket(filepath.Dir(to))
		if err == nil {
			err = c.d.fs.Rename(c.path, to)
		}
	}
	if err != nil {
		c.d.warn(c.wrap("moving", err))
		return
	}
	c.path = to
}

// makeBucket makes a folder of cur/. It must be on the disk before a message is moved into it: a sync of the message
// alone would not make the folder last.
func (d *Dir) makeBucket(path string) error {
	if err := d.fs.Mkdir(path, modeInner); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.fs.SyncDir(d.in(curDir))
}

func (c *dirClaim) wrap(doing string, err error) error {
	return fmt.Errorf("%s message %s: %w", doing, c.id, err)
}

// sharedFile is closed when its last user lets it go: readers of the content may outlive the claim.
type sharedFile struct {
	FSFile
	refs int32
}

func (s *sharedFile) acquire() { atomic.AddInt32(&s.refs, 1) }

func (s *sharedFile) release() error {
	if atomic.AddInt32(&s.refs, -1) == 0 {
		return s.FSFile.Close()
	}
	return nil
}

// contentReader reads the content from the file.
type contentReader struct {
	*io.SectionReader
	file   *sharedFile
	closed atomic.Bool
}

// newContentReader takes over one reference of file.
func newContentReader(file *sharedFile, size int64) *contentReader {
	return &contentReader{SectionReader: io.NewSectionReader(file, headLen, size), file: file}
}

func (r *contentReader) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	return r.file.release()
}

// memoryReader reads content that came along with the state.
type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }
