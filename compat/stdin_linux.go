package compat

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// descriptors is how many a message, which takes the most, can take: the standard ones, a folder with a long path, the socket, the copy in
// drop/, and two of the runtime.
const descriptors = 8

var errClosed = errors.New("standard input is closed")

// Stdin is standard input for Env.
//
// The Go runtime opens /dev/null, to read and write, in the place of a standard descriptor that was closed when the
// program started. Such an input would pass for an empty message; it fails instead. A /dev/null that somebody gave on
// purpose can be told apart where it can only be read (as a shell opens it), or where it is the same open file as
// standard output or error (as daemon(3) leaves them).
func Stdin() io.Reader {
	flags, err := unix.FcntlInt(0, unix.F_GETFL, 0)
	if err != nil {
		return broken{errClosed}
	}
	if flags&unix.O_ACCMODE == unix.O_RDWR && isNull(0) && !sameFile(0, 1) && !sameFile(0, 2) {
		return broken{errClosed}
	}
	return os.Stdin
}

// EnoughDescriptors says, for Env, that the limit of file descriptors of this process is too low. The runtime would end
// it, with a status of its own, when it wants two and does not get them.
func EnoughDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= descriptors {
		return nil
	}
	return fmt.Errorf("too few file descriptors: the limit is %d, and %d are needed; raise it (ulimit -n, LimitNOFILE= of a service)",
		limit.Cur, descriptors)
}

// StdinIsTerminal reports whether somebody would have to type the message.
func StdinIsTerminal() bool {
	_, err := unix.IoctlGetTermios(0, unix.TCGETS)
	return err == nil
}

// isNull reports whether fd is /dev/null: the character device 1, 3.
func isNull(fd int) bool {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// sameFile reports whether two descriptors are one open file; false where the kernel does not tell.
func sameFile(a, b int) bool {
	const kcmpFile = 0
	pid := uintptr(os.Getpid())
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, uintptr(a), uintptr(b), 0)
	return errno == 0 && r == 0
}

// broken is a reader that only fails.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
