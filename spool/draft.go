package spool

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// inMemory is the content up to which a draft touches no disk before it is finished, octets. Then the file costs
// one write, and a failed fsync can be answered by writing another file.
const inMemory = 128 << 10

// draft is a message file being written. It has no name, or one in tmp where the file system has no nameless files,
// until finish.
type draft struct {
	fs     FS
	id     ID     // for the head; empty in drop/
	dir    string // where it gets its name
	tmp    string // where it is made if it needs a name before
	name   string // in dir, and in tmp
	mode   uint32 // permissions to set; 0: those of FS
	noTemp bool   // the file system has no nameless files

	buf  []byte // head and content, or what of the content is not yet written
	size int64  // content so far, octets
	hash hash.Hash

	file  FSFile // nil while all is in buf
	named bool   // file has the name tmp/name
	at    int64  // written so far
	err   error  // why the draft is over
}

var errDone = errors.New("the message has been committed or given up")

// errSync marks a failed sync of a draft: another file may fare better, this one is lost.
type errSync struct{ error }

func (e errSync) Unwrap() error { return e.error }

func newDraft(fs FS) *draft {
	return &draft{fs: fs, buf: make([]byte, headLen, 8<<10), hash: sha256.New()}
}

// Write appends content.
func (d *draft) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.size+int64(len(p)) > maxContent {
		d.drop(ErrTooBig)
		return 0, ErrTooBig
	}
	d.hash.Write(p)
	d.size += int64(len(p))
	d.buf = append(d.buf, p...)
	if len(d.buf) > inMemory {
		if err := d.spill(); err != nil {
			d.drop(err)
			return 0, err
		}
	}
	return len(p), nil
}

// spill writes out what is in memory.
func (d *draft) spill() error {
	if d.file == nil {
		if err := d.open(); err != nil {
			return err
		}
	}
	if _, err := d.file.WriteAt(d.buf, d.at); err != nil {
		return noSpace(err)
	}
	d.at += int64(len(d.buf))
	d.buf = d.buf[:0]
	return nil
}

// open makes the file.
func (d *draft) open() (err error) {
	if !d.noTemp {
		d.file, err = d.fs.CreateTemp(d.dir)
		d.noTemp = err != nil && unsupported(err)
	}
	if d.noTemp {
		d.file, err = d.fs.Create(filepath.Join(d.tmp, d.name))
		d.named = err == nil
	}
	if err == nil && d.mode != 0 {
		err = d.file.Chmod(d.mode)
	}
	return noSpace(err)
}

// finish appends the first record, makes the file durable and gives it its name in dir, in this order (A3 to A5).
// The name is not durable yet. After an error nothing is left but what could not be removed. The draft is over.
//
// A file whose sync failed is given up, and written once more as a new file while its content is in memory.
func (d *draft) finish(kind byte, encode func(*encoder)) error {
	if d.err != nil {
		return d.err
	}
	err := d.seal(kind, encode)
	if err == nil {
		err = d.store()
	}
	var failed errSync
	if errors.As(err, &failed) && d.at == int64(len(d.buf)) {
		d.discard()
		d.at = 0
		err = d.store()
	}
	if err == nil {
		err = d.publish()
	}
	if err != nil {
		d.drop(err)
		return err
	}
	d.err = errDone
	return nil
}

// seal makes head and record. Where the content is in memory, all of the file is then in buf.
func (d *draft) seal(kind byte, encode func(*encoder)) error {
	head, sum := encodeHead(d.id, d.size)
	payload := joinHash([sha256.Size]byte(d.hash.Sum(nil)), encode)
	var err error
	if d.buf, _, err = appendRecord(d.buf, kind, payload, sum); err != nil {
		return err
	}
	if d.file == nil {
		copy(d.buf, head[:])
		return nil
	}
	_, err = d.file.WriteAt(head[:], 0)
	return noSpace(err)
}

// store writes what is in buf and syncs the file.
func (d *draft) store() error {
	if d.file == nil {
		if err := d.open(); err != nil {
			return err
		}
	}
	if _, err := d.file.WriteAt(d.buf, d.at); err != nil {
		return noSpace(err)
	}
	d.at += int64(len(d.buf))
	if err := d.file.Sync(); err != nil {
		return errSync{noSpace(err)}
	}
	return nil
}

// publish gives the file its name, which must not exist: ErrExists.
func (d *draft) publish() error {
	to := filepath.Join(d.dir, d.name)
	var err error
	if !d.named {
		if err = d.fs.Link(d.file, to); err != nil && unsupported(err) {
			err = d.rewrite()
		}
	}
	if err == nil && d.named {
		if err = d.fs.Rename(filepath.Join(d.tmp, d.name), to); err == nil {
			d.named = false
		}
	}
	if errors.Is(err, unix.EEXIST) {
		return ErrExists
	}
	return noSpace(err)
}

// rewrite copies the nameless file, which cannot be linked, to one with a name in tmp.
func (d *draft) rewrite() error {
	old, size := d.file, d.at
	defer old.Close()
	d.noTemp, d.file = true, nil
	if err := d.open(); err != nil {
		return err
	}
	w := io.NewOffsetWriter(d.file, 0)
	if _, err := io.Copy(w, io.NewSectionReader(old, 0, size)); err != nil {
		return noSpace(err)
	}
	return d.file.Sync()
}

// close ends a finished draft.
func (d *draft) close() {
	if d.file != nil {
		d.file.Close() // all of it is synced: nothing can be learnt here
		d.file = nil
	}
}

// drop gives the draft up for the reason err, unless it is over.
func (d *draft) drop(err error) {
	if d.err == nil {
		d.err = err
		d.discard()
	}
}

// discard removes the file.
func (d *draft) discard() {
	d.close()
	if d.named {
		// What stays in tmp after an error here is swept later.
		d.fs.Remove(filepath.Join(d.tmp, d.name))
		d.named = false
	}
}

// noSpace lets a full disk or quota be told from other errors.
func noSpace(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
