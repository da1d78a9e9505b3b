package spooltest

import (
	"io"
	"sync"

	"signpost/spool"
)

// Fault is an FS in which chosen calls fail. Calls of the FS and of its files are counted together, from 1; the
// closing of files and of the lock is not counted, since nothing depends on it. Safe for concurrent use.
type Fault struct {
	FS     spool.FS
	At     int    // the call that fails; 0: none
	Err    error  // what it gives
	Stay   bool   // all later calls fail as well, as on a disk that stays full
	Failed string // the method that failed, for messages

	mu    sync.Mutex
	calls int
}

// Calls is how many calls were counted so far.
func (f *Fault) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// next counts a call and says whether it fails.
func (f *Fault) next(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.At != 0 && (f.calls == f.At || f.Stay && f.calls > f.At) {
		if f.Failed == "" {
			f.Failed = method
		}
		return f.Err
	}
	return nil
}

func (f *Fault) file(file spool.FSFile, err error) (spool.FSFile, error) {
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f}, nil
}

// Mkdir implements spool.FS, as do the methods below.
func (f *Fault) Mkdir(path string, mode uint32) error {
	if err := f.next("Mkdir"); err != nil {
		return err
	}
	return f.FS.Mkdir(path, mode)
}

func (f *Fault) Chmod(path string, mode uint32) error {
	if err := f.next("Chmod"); err != nil {
		return err
	}
	return f.FS.Chmod(path, mode)
}

func (f *Fault) Stat(path string) (spool.Info, error) {
	if err := f.next("Stat"); err != nil {
		return spool.Info{}, err
	}
	return f.FS.Stat(path)
}

func (f *Fault) ReadDir(path string) ([]string, error) {
	if err := f.next("ReadDir"); err != nil {
		return nil, err
	}
	return f.FS.ReadDir(path)
}

func (f *Fault) CreateTemp(dir string) (spool.FSFile, error) {
	if err := f.next("CreateTemp"); err != nil {
		return nil, err
	}
	return f.file(f.FS.CreateTemp(dir))
}

func (f *Fault) Create(path string) (spool.FSFile, error) {
	if err := f.next("Create"); err != nil {
		return nil, err
	}
	return f.file(f.FS.Create(path))
}

func (f *Fault) Open(path string, write bool) (spool.FSFile, error) {
	if err := f.next("Open"); err != nil {
		return nil, err
	}
	return f.file(f.FS.Open(path, write))
}

func (f *Fault) Link(file spool.FSFile, path string) error {
	if err := f.next("Link"); err != nil {
		return err
	}
	return f.FS.Link(file.(*faultFile).FSFile, path)
}

func (f *Fault) Rename(from, to string) error {
	if err := f.next("Rename"); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f *Fault) Remove(path string) error {
	if err := f.next("Remove"); err != nil {
		return err
	}
	return f.FS.Remove(path)
}

func (f *Fault) SyncDir(path string) error {
	if err := f.next("SyncDir"); err != nil {
		return err
	}
	return f.FS.SyncDir(path)
}

func (f *Fault) Space(path string) (spool.Space, error) {
	if err := f.next("Space"); err != nil {
		return spool.Space{}, err
	}
	return f.FS.Space(path)
}

func (f *Fault) Lock(path string) (io.Closer, error) {
	if err := f.next("Lock"); err != nil {
		return nil, err
	}
	return f.FS.Lock(path)
}

type faultFile struct {
	spool.FSFile
	f *Fault
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.f.next("ReadAt"); err != nil {
		return 0, err
	}
	return f.FSFile.ReadAt(p, off)
}

// WriteAt writes half of p before it fails.
func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.f.next("WriteAt"); err != nil {
		n, _ := f.FSFile.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.FSFile.WriteAt(p, off)
}

func (f *faultFile) Stat() (spool.Info, error) {
	if err := f.f.next("File.Stat"); err != nil {
		return spool.Info{}, err
	}
	return f.FSFile.Stat()
}

func (f *faultFile) Chmod(mode uint32) error {
	if err := f.f.next("File.Chmod"); err != nil {
		return err
	}
	return f.FSFile.Chmod(mode)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.f.next("Truncate"); err != nil {
		return err
	}
	return f.FSFile.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.f.next("Sync"); err != nil {
		return err
	}
	return f.FSFile.Sync()
}

func (f *faultFile) SyncData() error {
	if err := f.f.next("SyncData"); err != nil {
		return err
	}
	return f.FSFile.SyncData()
}
