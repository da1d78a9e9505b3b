package spool

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// wire is the client's end of submit.sock: a blocking socket that wakes up every tick to see whether to go on. It
// stands in for package net, whose start costs the sendmail command more than all else it does.
type wire struct {
	fd    int
	r     *bufio.Reader
	done  <-chan struct{} // closed: give up
	until time.Time       // give up then
}

const tick = 250 * time.Millisecond

// dial connects to the socket at path, which may be longer than sun_path.
func dial(path string, stop <-chan struct{}, until time.Time) (*wire, error) {
	name, done, err := SocketName(path)
	if err != nil {
		return nil, err
	}
	defer done()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	w := &wire{fd: fd, done: stop, until: until}
	w.r = bufio.NewReaderSize(readWire{w}, 4<<10)
	if err := w.connect(&unix.SockaddrUnix{Name: name}); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *wire) connect(addr unix.Sockaddr) error {
	tv := unix.NsecToTimeval(int64(tick))
	for _, opt := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, opt, &tv); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// A full backlog makes connect wait, then EAGAIN.
	return w.try("connect", func() error { return unix.Connect(w.fd, addr) })
}

// try calls f until it is neither interrupted nor out of time.
func (w *wire) try(name string, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		if err != unix.EINTR && err != unix.EAGAIN {
			return os.NewSyscallError(name, err)
		}
		if err := w.check(); err != nil {
			return err
		}
	}
}

// check says whether to give up: errStopped, or os.ErrDeadlineExceeded.
func (w *wire) check() error {
	select {
	case <-w.done:
		return errStopped
	default:
	}
	if time.Now().After(w.until) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (w *wire) within(d time.Duration) { w.until = time.Now().Add(d) }

func (w *wire) close() { unix.Close(w.fd) }

// send writes all of parts, or gives an error: then the other side has not got all of the last octets.
func (w *wire) send(parts ...[]byte) error {
	for len(parts) > 0 {
		if len(parts[0]) == 0 {
			parts = parts[1:]
			continue
		}
		var n int
		err := w.try("sendmsg", func() (err error) {
			n, err = unix.SendmsgBuffers(w.fd, parts, nil, nil, unix.MSG_NOSIGNAL)
			return err
		})
		if err != nil {
			return err
		}
		for n > 0 {
			m := min(n, len(parts[0]))
			if parts[0], n = parts[0][m:], n-m; n > 0 {
				parts = parts[1:]
			}
		}
	}
	return nil
}

// readWire makes a wire an io.Reader.
type readWire struct{ w *wire }

func (r readWire) Read(p []byte) (n int, err error) {
	err = r.w.try("read", func() (err error) {
		n, err = unix.Read(r.w.fd, p)
		return err
	})
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errHungUp
	}
	return n, nil
}

var errHungUp = errors.New("the daemon hung up")

// frame reads one frame.
func (w *wire) frame() (FrameType, []byte, error) {
	t, n, err := ReadFrameHead(w.r)
	if err != nil {
		return 0, nil, err
	}
	payload, err := ReadPayload(w.r, n)
	return t, payload, err
}

// hello says h and reads the greeting. A refusal is its *Error; all else is ErrNoDaemon.
func (w *wire) hello(h Hello) (Greeting, error) {
	// Where the daemon hung up at once it may have said why.
	sent := w.send(h.Append(nil))
	t, payload, err := w.frame()
	switch {
	case err == nil && t == FrameErr:
		return Greeting{}, decodeError(payload)
	case err == nil && t == FrameGreeting && sent == nil:
		g, err := decodeGreeting(payload)
		if err != nil {
			return Greeting{}, fmt.Errorf("%w: %w", ErrNoDaemon, err)
		}
		return g, nil
	case err == nil:
		err = fmt.Errorf("%w: frame of type %d", ErrFrame, t)
	}
	return Greeting{}, fmt.Errorf("%w: %w: %w", ErrNoDaemon, errGreeting, err)
}

// reply reads OK, which is nil, or ERR, which is its *Error. Any other error means that the answer is not known.
func (w *wire) reply() error {
	t, payload, err := w.frame()
	switch {
	case err != nil:
		return err
	case t == FrameOK:
		return nil
	case t == FrameErr:
		return decodeError(payload)
	}
	return fmt.Errorf("%w: frame of type %d for an answer", ErrFrame, t)
}
