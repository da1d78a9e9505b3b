package mta

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// listen opens a Unix socket at path with mode, in place of one that a dead daemon left. The caller holds the lock
// of the spool, so no living daemon is cut off. A socket that systemd handed over for it is taken as it is.
func listen(handed []net.Listener, path string, mode os.FileMode) (net.Listener, error) {
	if len(handed) > 0 {
		return handed[0], nil
	}
	if err := clear(path); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	folder, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	defer unix.Close(folder)
	// By way of /proc, a path may be longer than the 107 octets of a socket address.
	short := fmt.Sprintf("/proc/self/fd/%d/%s", folder, filepath.Base(path))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // a dead socket refuses connections, and a successor may have put its own there
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	return l, nil
}

// clear removes a socket that a dead daemon left, and nothing else.
func clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("there is something else of that name")
	}
	return os.Remove(path)
}
