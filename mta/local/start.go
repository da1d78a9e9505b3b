package local

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"signpost/spool"
)

// Options say how StartHelper starts the helper.
type Options struct {
	Exe    string    // the program cmd/deliver
	Socket string    // path to listen on; Mailboxes.Helper of the daemon
	Config string    // path of the configuration, absolute; empty: its default place
	UID    int       // whom it serves: what the daemon will be once it has given up root
	GID    int       // group of the socket
	Stderr io.Writer // its log; nil: none
}

// Started is a helper that serves its own daemon, from before that gave up root.
type Started struct {
	cmd  *exec.Cmd
	life *os.File // the helper ends when the last copy of it is closed: also when the daemon is killed
	wait func() error
}

// StartHelper makes the socket and starts the helper on it. To be called before root is given up; a stale socket at
// the path is replaced. The helper accepts connections as soon as StartHelper has returned.
func StartHelper(o Options) (*Started, error) {
	l, err := listen(o)
	if err != nil {
		return nil, fmt.Errorf("delivery helper: %w", err)
	}
	defer l.Close()
	sock, err := l.File()
	if err != nil {
		return nil, fmt.Errorf("delivery helper: %w", err)
	}
	defer sock.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("delivery helper: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(o.Exe, "--fd", "3", "--life", "--uid", strconv.Itoa(o.UID))
	if o.Config != "" {
		cmd.Args = append(cmd.Args, "--config", o.Config)
	}
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = r, o.Stderr, []*os.File{sock}
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + safePath}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("delivery helper: %w", err)
	}
	return &Started{cmd: cmd, life: w, wait: sync.OnceValue(cmd.Wait)}, nil
}

// listen makes a socket that only the daemon's uid can connect to. The helper asks the kernel again who connected.
func listen(o Options) (*net.UnixListener, error) {
	if info, err := os.Lstat(o.Socket); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(o.Socket); err != nil {
			return nil, err
		}
	}
	name, done, err := spool.SocketName(o.Socket)
	if err != nil {
		return nil, err
	}
	defer done()
	// Not chmod afterwards: it would follow a link, and the folder belongs to an account that root does not trust.
	mask := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	unix.Umask(mask)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if os.Geteuid() == 0 {
		if err := os.Lchown(o.Socket, o.UID, o.GID); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// Wait returns when the helper has ended, which it should not do before Stop. It may be called from several
// goroutines.
func (s *Started) Wait() error { return s.wait() }

// Stop ends the helper and waits until it is gone: it takes no new deliveries and lets those in flight end. The
// daemon, which is not root any more, could not send it a signal.
func (s *Started) Stop() error {
	s.life.Close()
	return s.wait()
}

// Life gives a context that ends when r, the helper's end of the life line, is closed at the other side.
func Life(ctx context.Context, r io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with the process: nothing can be waited for behind the life line
		io.Copy(io.Discard, r)
		cancel()
	}()
	return ctx, cancel
}
