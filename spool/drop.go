package spool

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	modeDropped = 0o640 // owner, and the group of the folder: the daemon's
	maxTold     = 16 << 20
	tmpAge      = 36 * time.Hour // of a file in drop/tmp that nobody writes to any more
)

// Drop is the folder drop/ of a spool, where callers leave messages while no daemon answers. Anybody may put files
// into it, so nothing in it is believed before OpenDropped has looked at it.
type Drop struct {
	Path string // PATH/drop
	FS   FS     // nil: that of the host
}

func (p Drop) fs() FS {
	if p.FS == nil {
		return osFS{}
	}
	return p.FS
}

func (p Drop) newDir() string { return filepath.Join(p.Path, newDir) }

// Submit starts a message. Up to 128 KiB of content is kept in memory until Commit. Commit returns when the message
// is durable: the file is synced, gets its name in drop/new, and is synced once more, which carries the name along
// (the caller may not open the folder to sync it; ext4, XFS and btrfs keep this).
func (p Drop) Submit(ctx context.Context, told Told) (Handover, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var name [16]byte
	random(name[:])
	d := newDraft(p.fs())
	d.dir, d.tmp = p.newDir(), filepath.Join(p.Path, tmpDir)
	d.name, d.mode = hex.EncodeToString(name[:]), modeDropped
	return &dropWriter{draft: d, told: told}, nil
}

// random fills b. It asks the kernel itself: crypto/rand sets a timer first, which costs a process that has just started
// two descriptors, and its life where it may not have them (RLIMIT_NOFILE).
func random(b []byte) {
	n := 0
	err := again(func() (err error) {
		n, err = unix.Getrandom(b, 0)
		return err
	})
	if err != nil || n < len(b) {
		rand.Read(b) // never fails
	}
}

// writable reports why nothing can be left in the folder, as far as its rights tell.
func (p Drop) writable() error {
	if err := unix.Faccessat(unix.AT_FDCWD, p.newDir(), unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &os.PathError{Op: "access", Path: p.newDir(), Err: err}
	}
	return nil
}

type dropWriter struct {
	draft *draft
	told  Told
}

func (w *dropWriter) Write(p []byte) (int, error) { return w.draft.Write(p) }

// ID is empty: the daemon derives it from the file.
func (w *dropWriter) ID() ID { return "" }

func (w *dropWriter) Abort() error {
	w.draft.drop(errDone)
	return nil
}

func (w *dropWriter) Commit() error {
	err := w.draft.finish(recTold, w.told.encode)
	if err == nil {
		if err = w.draft.file.Sync(); err != nil {
			// The name is there but may not last. It is refused, so it must not be found later either.
			w.draft.fs.Remove(filepath.Join(w.draft.dir, w.draft.name))
		}
		w.draft.close()
	}
	if err != nil {
		return fmt.Errorf("leaving the message in %s: %w", w.draft.dir, err)
	}
	return nil
}

// List gives the names in drop/new, sorted.
func (p Drop) List() ([]string, error) {
	names, err := p.fs().ReadDir(p.newDir())
	slices.Sort(names)
	return names, err
}

// Remove takes a message out of drop/new, once it is in the spool. It is durable after Sync.
func (p Drop) Remove(name string) error {
	if err := plainName(name); err != nil {
		return err
	}
	return p.fs().Remove(filepath.Join(p.newDir(), name))
}

// ID is the id of the message of a name in drop/new, without a look at what is in the file.
func (p Drop) ID(name string) (ID, error) {
	if err := plainName(name); err != nil {
		return "", err
	}
	info, err := p.fs().Stat(filepath.Join(p.newDir(), name))
	return dropID(info, name), err
}

func dropID(info Info, name string) ID {
	return DerivedID(info.Born, strconv.FormatInt(info.Born.UnixNano(), 10), strconv.Itoa(info.UID), name)
}

// Sync makes removals from drop/new durable. A message taken from there must not be tried before.
func (p Drop) Sync() error { return p.fs().SyncDir(p.newDir()) }

// Reject moves what is not a message from drop/new to the corrupt/ folder of the spool, and says where it is now.
// However many there are, none is removed: it may be what a newer sendmail wrote. It keeps its owner, whose disk quota it
// counts against, so corrupt/ offers nobody more room than drop/ does.
func (p Drop) Reject(name string) (string, error) {
	if err := plainName(name); err != nil {
		return "", err
	}
	to := filepath.Join(filepath.Dir(p.Path), corruptDir, "drop-"+string(NewID(time.Now())))
	return to, p.fs().Rename(filepath.Join(p.newDir(), name), to)
}

// Sweep removes from drop/tmp what has not been written to for 36 hours. Folders, which nobody but their maker can empty,
// stay. The error is the first of them, however many there were.
func (p Drop) Sweep(now time.Time) error {
	dir := filepath.Join(p.Path, tmpDir)
	names, first := p.fs().ReadDir(dir)
	for _, name := range names {
		err := p.sweep(filepath.Join(dir, name), now)
		if first == nil && !errors.Is(err, unix.ENOENT) { // its maker was quicker
			first = err
		}
	}
	return first
}

func (p Drop) sweep(path string, now time.Time) error {
	info, err := p.fs().Stat(path)
	if err != nil || info.dir() || now.Sub(info.Changed) <= tmpAge {
		return err
	}
	return p.fs().Remove(path)
}

// plainName keeps a name from leading out of the folder.
func plainName(name string) error {
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return fmt.Errorf("%q is not the name of a file", name)
	}
	return nil
}

// Dropped is a message found in drop/new. Only UID, ID and Size are facts; Told is what the caller wrote.
type Dropped struct {
	Told Told
	UID  int   // owner of the file
	ID   ID    // made of the file's birth time, owner and name: the same file always gives the same id
	Size int64 // content, octets

	file    FSFile
	content *checkedReader
}

// OpenDropped is Drop.Open for the folder dropNew of the host.
func OpenDropped(dropNew, name string, limit int64) (*Dropped, error) {
	return Drop{Path: filepath.Dir(dropNew)}.Open(name, limit)
}

// Open opens one message of drop/new. It is hostile until shown to be otherwise: ErrCorrupt for what is not a
// regular file with one name, a valid head and a valid record; ErrTooBig for content of more than limit octets
// (0: no limit); any other error is the system's and may pass.
func (p Drop) Open(name string, limit int64) (*Dropped, error) {
	if err := plainName(name); err != nil {
		return nil, err
	}
	path := filepath.Join(p.newDir(), name)
	d, err := p.open(path, name, limit)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return d, nil
}

func (p Drop) open(path, name string, limit int64) (*Dropped, error) {
	f, err := p.fs().Open(path, false)
	if err != nil && strangeFile(err) {
		return nil, corruptf("%v", err)
	}
	if err != nil {
		return nil, err
	}
	d := &Dropped{file: f}
	if err := d.read(name, limit); err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

// read checks the file.
func (d *Dropped) read(name string, limit int64) error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	switch {
	case !info.Regular():
		return corruptf("not a regular file")
	case info.Links != 1:
		return corruptf("it has %d names", info.Links)
	}
	d.UID = info.UID
	d.ID = dropID(info, name)

	buf := make([]byte, listAhead)
	size, records, _, err := openRecords(d.file, "", buf)
	if err != nil {
		return err
	}
	if limit > 0 && size > limit {
		return fmt.Errorf("%d octets of content: %w", size, ErrTooBig)
	}
	records.max = maxTold
	kind, payload, ok, err := records.next()
	switch {
	case err != nil:
		return err
	case !ok || kind != recTold:
		return corruptf("no record of what was told")
	}
	var want [sha256.Size]byte
	if want, payload, err = splitHash(payload); err != nil {
		return err
	}
	if d.Told, err = DecodeTold(payload); err != nil {
		return corruptf("%v", err)
	}
	d.Size = size
	d.content = &checkedReader{r: io.NewSectionReader(d.file, headLen, size), left: size, hash: sha256.New(), want: want}
	return nil
}

// Content gives the content, once. Its owner may still change the file, so all that has been read counts only when
// the end was io.EOF: ErrCorrupt says that the checksum does not match.
func (d *Dropped) Content() io.Reader { return d.content }

// Close closes the file and leaves it where it is.
func (d *Dropped) Close() error { return d.file.Close() }

// checkedReader turns io.EOF into ErrCorrupt when what was read does not have the size and the checksum wanted.
type checkedReader struct {
	r    io.Reader
	left int64
	hash hash.Hash
	want [sha256.Size]byte
}

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.left -= int64(n)
	if err == io.EOF && (c.left != 0 || [sha256.Size]byte(c.hash.Sum(nil)) != c.want) {
		return n, corruptf("the checksum of the content does not match")
	}
	return n, err
}

// peek lists drop/new for Peek.
func (p Drop) peek() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		names, err := p.List()
		if err != nil && !yield(Entry{}, err) {
			return
		}
		for _, name := range names {
			d, err := p.Open(name, 0)
			if err != nil {
				if !yield(Entry{}, err) {
					return
				}
				continue
			}
			d.Close()
			if !yield(d.entry(), nil) {
				return
			}
		}
	}
}

// entry shows the message as far as it is known before the daemon completes it.
func (d *Dropped) entry() Entry {
	env := Envelope{
		Rcpts:   d.Told.Rcpts,
		Origin:  Origin{Via: "drop", UID: d.UID, PID: d.Told.PID, Claims: d.Told.Process},
		Arrived: d.ID.Time(),
		Queued:  d.Told.Queued,
	}
	if d.Told.Sender != nil {
		env.Sender = *d.Told.Sender
	} else {
		env.Sender = "uid" + strconv.Itoa(d.UID) // the daemon will know the name; an empty one is the null reverse-path
	}
	return Entry{ID: d.ID, Size: d.Size, Envelope: env}
}
