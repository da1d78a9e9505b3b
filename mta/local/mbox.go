package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"signpost/spool"
)

var (
	errUnsafe = errors.New("not a mailbox that may be written to")
	errLocked = errors.New("locked by another program")
)

const (
	lockWait  = 30 * time.Second       // until a lock that another program holds defers the delivery
	lockPoll  = 100 * time.Millisecond // between two tries
	lockStale = 10 * time.Minute       // a dotlock of that age belongs to a program that died
)

// disk is the part of the file system that a mailbox is written through. Its zero value is the real one; a test puts
// a file in between that fails.
type disk struct {
	wrap func(*os.File) file
}

// file is an open file of a mailbox.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Stat() (os.FileInfo, error)
	Truncate(size int64) error
	Sync() error
}

func (d disk) file(f *os.File) file {
	if d.wrap != nil {
		return d.wrap(f)
	}
	return f
}

// mbox appends to a mailbox in mbox form. Two locks are held meanwhile, since programs differ in which they know:
// PATH.lock, where the folder lets it be made, and one of fcntl(2).
func (j *job) mbox(ctx context.Context, content io.Reader) error {
	wait, cancel := context.WithTimeoutCause(ctx, lockWait, errLocked)
	defer cancel()
	unlock, err := dotlock(wait, j.Path+".lock")
	if err != nil {
		return fmt.Errorf("locking %s: %w", j.Path, err)
	}
	defer unlock()
	f, err := j.openMbox(wait)
	if err != nil {
		return err
	}
	defer f.Close()                   // which gives up the lock of fcntl
	if err := ctx.Err(); err != nil { // whoever asked has gone: do not deliver behind his back
		return err
	}
	return j.append(f, content)
}

// dotlock makes the lock file at path, and gives the function that removes it. A folder in which none may be made
// leaves the lock of fcntl alone; that one also parts two who both find a stale dotlock and remove it.
func dotlock(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
		switch {
		case err == nil:
			io.WriteString(f, strconv.Itoa(os.Getpid())) // for programs that ask whether the holder lives
			f.Close()
			return func() { os.Remove(path) }, nil
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENAMETOOLONG):
			return func() {}, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > lockStale {
			if os.Remove(path) == nil {
				continue
			}
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// pause waits a moment, or says why there is no waiting any more.
func pause(ctx context.Context) error {
	t := time.NewTimer(lockPoll)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// openMbox opens the mailbox, creating it where it is missing, and locks it. A mail reader may have put another file
// in its place while we waited for the lock; then we begin again.
func (j *job) openMbox(ctx context.Context) (file, error) {
	for {
		raw, err := j.openSafely()
		if err != nil {
			return nil, err
		}
		f := j.disk.file(raw)
		if err := lockFile(ctx, raw); err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", j.Path, err)
		}
		if j.stillThere(raw) {
			return f, nil
		}
		f.Close()
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("locking %s: %w", j.Path, err)
		}
	}
}

// openSafely opens the mailbox so that whoever may write in its folder cannot send the delivery elsewhere: no
// symbolic link is followed or created through (CVE-2008-2936), and what has been opened must be a regular file with
// one name that belongs to the recipient (CVE-2008-2937). O_NONBLOCK: a FIFO must not hang us.
func (j *job) openSafely() (*os.File, error) {
	const flags = os.O_APPEND | os.O_CREATE | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	f, err := os.OpenFile(j.Path, os.O_RDWR|flags, 0o600)
	if errors.Is(err, fs.ErrPermission) && j.Kind == spool.File {
		f, err = os.OpenFile(j.Path, os.O_WRONLY|flags, 0o600) // a log that it may add to, not read
	}
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("%s: %w: a symbolic link", j.Path, errUnsafe)
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("%s: %w: not a regular file", j.Path, errUnsafe)
	case err != nil:
		return nil, err
	}
	if err := j.checkFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", j.Path, err)
	}
	return f, nil
}

func (j *job) checkFile(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: not a regular file", errUnsafe)
	case st.Nlink > 1:
		return fmt.Errorf("%w: it has %d names", errUnsafe, st.Nlink)
	case j.Kind == spool.Mailbox && !j.ownedBy(st.Uid):
		return fmt.Errorf("%w: it belongs to uid %d, not to %s", errUnsafe, st.Uid, j.User.Name)
	}
	return nil
}

func (j *job) ownedBy(uid uint32) bool { return int(uid) == j.User.UID || int(uid) == j.Owner }

// lockFile takes the lock of fcntl(2) on the whole file. It is one of the open file (OFD), since a lock of the
// process would not keep two deliveries of one process apart; both kinds respect each other.
func lockFile(ctx context.Context, f *os.File) error {
	for {
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
		if err == nil {
			return nil
		}
		if err != unix.EAGAIN && err != unix.EACCES && err != unix.EINTR {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// stillThere reports whether f is what the mailbox's name means now.
func (j *job) stillThere(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(j.Path)
	return err == nil && os.SameFile(opened, named)
}

// append adds the message to the locked file, durably. If anything goes wrong the file gets its old length back: half
// a message must not stay, and the message will come again.
func (j *job) append(f file, content io.Reader) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	err = j.appendTo(f, info.Size(), content)
	if err != nil {
		if cut := f.Truncate(info.Size()); cut != nil {
			err = errors.Join(err, fmt.Errorf("taking it back: %w", cut))
		}
		return err
	}
	if info.Size() == 0 {
		return syncDir(filepath.Dir(j.Path)) // the name may be new
	}
	return nil
}

func (j *job) appendTo(f file, size int64, content io.Reader) error {
	from := j.fromLine(time.Now())
	if size > 0 && !endsLine(f, size) {
		from = "\n" + from // another program was cut short here
	}
	if _, err := io.WriteString(f, from); err != nil {
		return err
	}
	if err := j.write(f, content, true); err != nil {
		return err
	}
	if _, err := io.WriteString(f, "\n"); err != nil {
		return err
	}
	return f.Sync()
}

// endsLine reports whether the last octet of f ends a line; also where f cannot be read.
func endsLine(f file, size int64) bool {
	var last [1]byte
	_, err := f.ReadAt(last[:], size-1)
	return err != nil || last[0] == '\n'
}

// fromLine is the line that begins a message in an mbox, with the time of the delivery here.
func (j *job) fromLine(now time.Time) string {
	sender := j.Sender
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	sender = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '_' // a quoted local part may hold a space; the line is read by its spaces
		}
		return r
	}, sender)
	return "From " + sender + "  " + now.Format(time.ANSIC) + "\n"
}

// syncDir makes names in a folder durable. A folder that may be written but not read cannot be synced.
func syncDir(path string) error {
	d, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
