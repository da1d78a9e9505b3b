package intake

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"signpost/spool"
)

// Listen makes a Unix socket at path with the permissions mode, in place of one that a process before left there; the
// caller has seen to it that no other process serves it (the lock of the spool). The path may be longer than a socket
// address. Closing the listener leaves the socket where it is: who connects meanwhile is refused, and takes drop/.
func Listen(path string, mode fs.FileMode) (*net.UnixListener, error) {
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// removeSocket removes a socket and nothing else.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s: there is something that is not a socket", path)
	}
	return os.Remove(path)
}

func listenUnix(path string) (*net.UnixListener, error) {
	name, done, err := spool.SocketName(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}
