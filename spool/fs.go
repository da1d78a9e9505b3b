package spool

import (
	"errors"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// FS is what Dir and Drop ask of a file system, so that a test can make the n-th call fail or cut the power between
// any two. A nil FS in Options and Drop is the real one. Errors are those of the system (errors.Is with fs.ErrExist,
// fs.ErrNotExist and syscall.Errno works). No method follows a symbolic link at the end of a path.
type FS interface {
	// Mkdir makes a directory with exactly this mode, whatever the umask.
	Mkdir(path string, mode uint32) error
	// Chmod sets the mode of a directory.
	Chmod(path string, mode uint32) error
	Stat(path string) (Info, error)
	// ReadDir gives the names in a directory in no order.
	ReadDir(path string) ([]string, error)
	// CreateTemp makes a file without a name in dir (O_TMPFILE), mode 0600. EOPNOTSUPP, EISDIR, ENOENT, EPERM, EINVAL and
	// ENOSYS mean that this cannot be done here.
	CreateTemp(dir string) (FSFile, error)
	// Create makes a file that must not exist, mode 0600.
	Create(path string) (FSFile, error)
	// Open opens an existing file to read, or to read and write. It never blocks.
	Open(path string, write bool) (FSFile, error)
	// Link gives a file of CreateTemp its name, which must not exist.
	Link(f FSFile, path string) error
	// Rename never replaces anything.
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir returns when all names made, changed and removed in the directory so far are on the disk.
	SyncDir(path string) error
	Space(path string) (Space, error)
	// Lock takes the lock of a directory until the Closer is closed; ErrLocked where another process has it.
	Lock(path string) (io.Closer, error)
}

// FSFile is an open file of an FS.
type FSFile interface {
	io.ReaderAt
	io.WriterAt
	Stat() (Info, error)
	Chmod(mode uint32) error
	Truncate(size int64) error
	// Sync returns when content and inode are on the disk. After an error nothing of the file can be relied on, and a
	// second call means nothing (Linux reports a failed write-back once and then takes the pages for clean).
	Sync() error
	// SyncData is Sync without the times of the inode.
	SyncData() error
	Close() error
}

// Info describes a file.
type Info struct {
	Mode     uint32 // type and permissions, as st_mode
	UID      int
	Links    int
	Size     int64
	Dev, Ino uint64
	Born     time.Time // when it was made; the time of its last change where the file system does not know
	Changed  time.Time // of the content
}

// Regular reports whether i is that of a regular file.
func (i Info) Regular() bool { return i.Mode&unix.S_IFMT == unix.S_IFREG }

func (i Info) dir() bool { return i.Mode&unix.S_IFMT == unix.S_IFDIR }

// Space is what is left of a file system for an ordinary user.
type Space struct {
	Free     int64 // octets
	Inodes   int64 // -1 where the file system has no limit
	Volatile bool  // it does not survive a power cut (tmpfs)
}

// unsupported reports whether err says that a file system cannot make nameless files or give them a name
// (EOPNOTSUPP, EISDIR, ENOENT without /proc, EPERM).
func unsupported(err error) bool {
	for _, e := range []syscall.Errno{unix.EOPNOTSUPP, unix.EISDIR, unix.ENOENT, unix.EPERM, unix.EINVAL, unix.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// osFS is the file system of the host. It keeps raw descriptors, since os.File costs more calls to the system.
type osFS struct{}

type osFile struct {
	fd   int
	path string
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

// again calls f until it was not interrupted by a signal.
func again(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func (osFS) open(path string, flags int) (*osFile, error) {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return nil, pathError("open", path, err)
	}
	return &osFile{fd, path}, nil
}

func (osFS) Mkdir(path string, mode uint32) error {
	if err := again(func() error { return unix.Mkdir(path, mode&0o777) }); err != nil {
		return pathError("mkdir", path, err)
	}
	return osFS{}.Chmod(path, mode)
}

func (osFS) Chmod(path string, mode uint32) error {
	f, err := osFS{}.open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(mode)
}

func (osFS) Stat(path string) (Info, error) {
	return statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, path)
}

func statx(fd int, path string, flags int, name string) (Info, error) {
	var st unix.Statx_t
	err := again(func() error {
		return unix.Statx(fd, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	})
	if err != nil {
		return Info{}, pathError("stat", name, err)
	}
	i := Info{
		Mode:    uint32(st.Mode),
		UID:     int(st.Uid),
		Links:   int(st.Nlink),
		Size:    int64(st.Size),
		Dev:     unix.Mkdev(st.Dev_major, st.Dev_minor),
		Ino:     st.Ino,
		Changed: time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec)),
	}
	i.Born = i.Changed
	if st.Mask&unix.STATX_BTIME != 0 {
		i.Born = time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
	}
	return i, nil
}

func (osFS) ReadDir(path string) ([]string, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (osFS) CreateTemp(dir string) (FSFile, error) {
	f, err := osFS{}.open(dir, unix.O_RDWR|unix.O_TMPFILE)
	if err != nil {
		return nil, err
	}
	// Without /proc, or where it is closed to us, the file could never get a name; better to learn it before the content
	// is written.
	if unix.Access(f.proc(), unix.F_OK) != nil {
		f.Close()
		return nil, pathError("access", f.proc(), unix.ENOENT)
	}
	return f, nil
}

func (osFS) Create(path string) (FSFile, error) {
	return fileOrNil(osFS{}.open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW))
}

func (osFS) Open(path string, write bool) (FSFile, error) {
	flags := unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	if write {
		flags |= unix.O_RDWR
	}
	return fileOrNil(osFS{}.open(path, flags))
}

// fileOrNil keeps a nil *osFile from becoming an FSFile that is not nil.
func fileOrNil(f *osFile, err error) (FSFile, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) Link(f FSFile, path string) error {
	return pathError("link", path, again(func() error {
		return unix.Linkat(unix.AT_FDCWD, f.(*osFile).proc(), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	}))
}

func (osFS) Rename(from, to string) error {
	err := again(func() error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	})
	if err == unix.EINVAL || err == unix.ENOSYS || err == unix.EPERM {
		// Not every file system knows RENAME_NOREPLACE, and not every container's filter the call. A link does not replace either; a crash between the two
		// leaves both names, which listing takes for one message.
		if err = again(func() error { return unix.Link(from, to) }); err == nil {
			err = again(func() error { return unix.Unlink(from) })
		}
	}
	return pathError("rename", from, err)
}

func (osFS) Remove(path string) error {
	return pathError("unlink", path, again(func() error { return unix.Unlink(path) }))
}

func (osFS) SyncDir(path string) error {
	f, err := osFS{}.open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (osFS) Space(path string) (Space, error) {
	var st unix.Statfs_t
	if err := again(func() error { return unix.Statfs(path, &st) }); err != nil {
		return Space{}, pathError("statfs", path, err)
	}
	s := Space{Free: int64(st.Bavail) * int64(st.Frsize), Inodes: int64(st.Ffree)}
	if st.Files == 0 { // btrfs makes inodes as it goes
		s.Inodes = -1
	}
	switch int64(st.Type) {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		s.Volatile = true
	}
	return s, nil
}

func (osFS) Lock(path string) (io.Closer, error) {
	f, err := osFS{}.open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	err = again(func() error { return unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		err = ErrLocked
	}
	if err != nil {
		f.Close()
		return nil, pathError("lock", path, err)
	}
	return f, nil
}

func (f *osFile) proc() string { return "/proc/self/fd/" + strconv.Itoa(f.fd) }

// ReadAt takes a read of nothing, and only that, for the end of the file: a short one may come from a fault.
func (f *osFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		var m int
		err := again(func() (err error) {
			m, err = unix.Pread(f.fd, p[n:], off+int64(n))
			return err
		})
		if err != nil {
			return n, pathError("read", f.path, err)
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

// WriteAt goes on after a short write, so that the reason is seen (at RLIMIT_FSIZE the next one gives EFBIG).
func (f *osFile) WriteAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		var m int
		err := again(func() (err error) {
			m, err = unix.Pwrite(f.fd, p[n:], off+int64(n))
			return err
		})
		if err == nil && m == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return n, pathError("write", f.path, err)
		}
		n += m
	}
	return n, nil
}

func (f *osFile) Stat() (Info, error) {
	return statx(f.fd, "", unix.AT_EMPTY_PATH, f.path)
}

func (f *osFile) Chmod(mode uint32) error {
	return pathError("chmod", f.path, again(func() error { return unix.Fchmod(f.fd, mode) }))
}

func (f *osFile) Truncate(size int64) error {
	return pathError("truncate", f.path, again(func() error { return unix.Ftruncate(f.fd, size) }))
}

func (f *osFile) Sync() error {
	return pathError("fsync", f.path, again(func() error { return unix.Fsync(f.fd) }))
}

func (f *osFile) SyncData() error {
	return pathError("fdatasync", f.path, again(func() error { return unix.Fdatasync(f.fd) }))
}

// Close never repeats close(2): on Linux the descriptor is gone even after EINTR.
func (f *osFile) Close() error { return pathError("close", f.path, unix.Close(f.fd)) }
