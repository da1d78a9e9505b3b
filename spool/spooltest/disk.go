package spooltest

import (
	"errors"
	"io"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"signpost/spool"
)

// Model says what a disk may hold after the power was cut.
type Model int

const (
	// Strict promises no more than POSIX does: a name is durable after SyncDir of its folder, content after Sync of
	// the file; of the rest any part may be there. A rename happens whole or not at all.
	Strict Model = iota
	// Ordered is a journal of names, as in ext4: names change in the order of the calls, and each sync makes all
	// earlier changes of names durable.
	Ordered
)

// Disk is an FS in memory that knows which of its content would survive a power cut. After is called when an
// operation has changed something; States then gives what the disk may hold if the power were cut now.
type Disk struct {
	Model Model
	// Carry makes Sync of a file keep the names that the file has got since, as ext4, XFS and btrfs do and POSIX
	// does not promise: the callers that fill drop/ build on it.
	Carry bool
	// NoTemp makes CreateTemp unsupported.
	NoTemp bool
	// IgnoreSync and IgnoreSyncDir make these calls do nothing: the faults that a test must be able to see.
	IgnoreSync, IgnoreSyncDir bool
	After                     func(op string)

	mu      sync.Mutex
	names   map[string]*inode // as a running program sees it
	durable map[string]*inode
	pending []change // of names, in order, not durable
	serial  uint64
	locked  map[string]bool
}

// inode is a file or folder.
type inode struct {
	dir     bool
	mode    uint32
	number  uint64
	data    []byte // as a running program sees it
	durable []byte
	pending []write
}

// write is one change of content: data at off, or with nil data the truncation to off.
type write struct {
	off  int64
	data []byte
}

// change is one change of names: from empty makes a name, to empty removes one.
type change struct {
	from, to string
	node     *inode
}

// NewDisk makes a disk that holds the root folder and the folder at dir, durable.
func NewDisk(model Model, dir string) *Disk {
	d := &Disk{Model: model, names: map[string]*inode{}, durable: map[string]*inode{}, locked: map[string]bool{}}
	for ; dir != "/" && dir != "."; dir = path.Dir(dir) {
		d.names[dir] = d.node(true, 0o755)
	}
	d.names["/"] = d.node(true, 0o755)
	for name, node := range d.names {
		d.durable[name] = node
	}
	return d
}

func (d *Disk) node(dir bool, mode uint32) *inode {
	d.serial++
	kind := uint32(syscall.S_IFREG)
	if dir {
		kind = syscall.S_IFDIR
	}
	return &inode{dir: dir, mode: kind | mode, number: d.serial}
}

func fail(op, name string, e syscall.Errno) error { return &os.PathError{Op: op, Path: name, Err: e} }

// did tells After what has happened; the lock must not be held.
func (d *Disk) did(op string) {
	if d.After != nil {
		d.After(op)
	}
}

// locking runs f with the lock held and then tells After.
func (d *Disk) locking(op string, f func() error) error {
	d.mu.Lock()
	err := f()
	d.mu.Unlock()
	if err == nil {
		d.did(op)
	}
	return err
}

// change applies c for the running program and notes it as pending.
func (d *Disk) change(c change) {
	c.apply(d.names)
	d.pending = append(d.pending, c)
}

func (c change) apply(names map[string]*inode) {
	if c.from != "" && names[c.from] == c.node {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// touches reports whether c changes a name in dir.
func (c change) touches(dir string) bool {
	return c.from != "" && path.Dir(c.from) == dir || c.to != "" && path.Dir(c.to) == dir
}

// settle makes the pending changes durable that keep holds for, or all of them.
func (d *Disk) settle(keep func(change) bool) {
	rest := d.pending[:0:0]
	for _, c := range d.pending {
		if d.Model == Ordered || keep(c) {
			c.apply(d.durable)
		} else {
			rest = append(rest, c)
		}
	}
	d.pending = rest
}

// free checks that name can be made.
func (d *Disk) free(op, name string) error {
	if parent := d.names[path.Dir(name)]; parent == nil || !parent.dir {
		return fail(op, name, syscall.ENOENT)
	}
	if d.names[name] != nil {
		return fail(op, name, syscall.EEXIST)
	}
	return nil
}

// Mkdir implements spool.FS, as do the methods below.
func (d *Disk) Mkdir(name string, mode uint32) error {
	return d.locking("mkdir "+name, func() error {
		if err := d.free("mkdir", name); err != nil {
			return err
		}
		d.change(change{to: name, node: d.node(true, mode)})
		return nil
	})
}

func (d *Disk) Chmod(name string, mode uint32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.names[name]
	if node == nil {
		return fail("chmod", name, syscall.ENOENT)
	}
	node.mode = node.mode&syscall.S_IFMT | mode
	return nil
}

func (d *Disk) Stat(name string) (spool.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.names[name]
	if node == nil {
		return spool.Info{}, fail("stat", name, syscall.ENOENT)
	}
	return d.info(node), nil
}

func (d *Disk) info(node *inode) spool.Info {
	links := 0
	for _, n := range d.names {
		if n == node {
			links++
		}
	}
	born := time.Unix(1_000_000_000, int64(node.number))
	return spool.Info{
		Mode: node.mode, Links: links, Size: int64(len(node.data)), Dev: 1, Ino: node.number, Born: born, Changed: born,
	}
}

func (d *Disk) ReadDir(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if node := d.names[dir]; node == nil || !node.dir {
		return nil, fail("open", dir, syscall.ENOENT)
	}
	var list []string
	for name := range d.names {
		if name != dir && path.Dir(name) == dir {
			list = append(list, path.Base(name))
		}
	}
	return list, nil
}

func (d *Disk) CreateTemp(dir string) (spool.FSFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.NoTemp {
		return nil, fail("open", dir, syscall.EOPNOTSUPP)
	}
	if d.names[dir] == nil {
		return nil, fail("open", dir, syscall.ENOENT)
	}
	return &diskFile{d, d.node(false, 0o600), dir + "/?", true}, nil
}

func (d *Disk) Create(name string) (spool.FSFile, error) {
	var node *inode
	err := d.locking("create "+name, func() error {
		if err := d.free("open", name); err != nil {
			return err
		}
		node = d.node(false, 0o600)
		d.change(change{to: name, node: node})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &diskFile{d, node, name, true}, nil
}

func (d *Disk) Open(name string, write bool) (spool.FSFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.names[name]
	switch {
	case node == nil:
		return nil, fail("open", name, syscall.ENOENT)
	case node.dir && write:
		return nil, fail("open", name, syscall.EISDIR)
	}
	return &diskFile{d, node, name, write}, nil
}

func (d *Disk) Link(f spool.FSFile, name string) error {
	return d.locking("link "+name, func() error {
		if err := d.free("link", name); err != nil {
			return err
		}
		d.change(change{to: name, node: f.(*diskFile).node})
		return nil
	})
}

func (d *Disk) Rename(from, to string) error {
	return d.locking("rename "+from+" "+to, func() error {
		node := d.names[from]
		if node == nil {
			return fail("rename", from, syscall.ENOENT)
		}
		if err := d.free("rename", to); err != nil {
			return err
		}
		d.change(change{from: from, to: to, node: node})
		return nil
	})
}

func (d *Disk) Remove(name string) error {
	return d.locking("unlink "+name, func() error {
		node := d.names[name]
		if node == nil {
			return fail("unlink", name, syscall.ENOENT)
		}
		d.change(change{from: name, node: node})
		return nil
	})
}

func (d *Disk) SyncDir(dir string) error {
	return d.locking("syncdir "+dir, func() error {
		if d.names[dir] == nil {
			return fail("open", dir, syscall.ENOENT)
		}
		if !d.IgnoreSyncDir {
			d.settle(func(c change) bool { return c.touches(dir) })
		}
		return nil
	})
}

func (d *Disk) Space(string) (spool.Space, error) {
	return spool.Space{Free: 1 << 40, Inodes: -1}, nil
}

func (d *Disk) Lock(dir string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked[dir] {
		return nil, spool.ErrLocked
	}
	d.locked[dir] = true
	return closer(func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.locked[dir] = false
		return nil
	}), nil
}

type closer func() error

func (c closer) Close() error { return c() }

type diskFile struct {
	d     *Disk
	node  *inode
	name  string
	write bool
}

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *diskFile) change(op string, w write) error {
	return f.d.locking(op+" "+f.name, func() error {
		if !f.write {
			return fail(op, f.name, syscall.EBADF)
		}
		f.node.data = w.apply(f.node.data)
		f.node.pending = append(f.node.pending, w)
		return nil
	})
}

// apply gives a copy of data with w done to it.
func (w write) apply(data []byte) []byte {
	size := max(int64(len(data)), w.off+int64(len(w.data)))
	if w.data == nil {
		size = w.off
	}
	out := make([]byte, size)
	copy(out, data)
	copy(out[w.off:], w.data)
	return out
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := f.change("write", write{off, slices.Clone(p)}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *diskFile) Truncate(size int64) error { return f.change("truncate", write{off: size}) }

func (f *diskFile) Stat() (spool.Info, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.info(f.node), nil
}

func (f *diskFile) Chmod(mode uint32) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.node.mode = f.node.mode&syscall.S_IFMT | mode
	return nil
}

func (f *diskFile) Sync() error {
	return f.d.locking("sync "+f.name, func() error {
		if f.d.IgnoreSync {
			return nil
		}
		f.node.durable, f.node.pending = f.node.data, nil
		f.d.settle(func(c change) bool { return f.d.Carry && c.node == f.node })
		return nil
	})
}

func (f *diskFile) SyncData() error { return f.Sync() }

func (f *diskFile) Close() error { return nil }

// States gives what the disk may hold if the power is cut now, each as a disk of its own with everything durable.
// Where there are too many combinations it gives the telling ones: none, all, each alone, each missing, each prefix.
func (d *Disk) States() iter.Seq[*Disk] {
	return func(yield func(*Disk) bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, names := range d.nameStates() {
			for _, cut := range d.dataCuts(names) {
				if !yield(d.state(names, cut)) {
					return
				}
			}
		}
	}
}

// nameStates gives the sets of names that may be found.
func (d *Disk) nameStates() []map[string]*inode {
	var states []map[string]*inode
	for _, chosen := range subsets(len(d.pending), d.Model) {
		names := make(map[string]*inode, len(d.durable))
		for name, node := range d.durable {
			names[name] = node
		}
		for i, c := range d.pending {
			if chosen(i) {
				c.apply(names)
			}
		}
		states = append(states, reachable(names))
	}
	return states
}

// reachable leaves out what lies in folders that are not there.
func reachable(names map[string]*inode) map[string]*inode {
	for again := true; again; {
		again = false
		for name := range names {
			if name != "/" && names[path.Dir(name)] == nil {
				delete(names, name)
				again = true
			}
		}
	}
	return names
}

// subsets gives the choices among n changes that a model allows.
func subsets(n int, model Model) []func(int) bool {
	var list []func(int) bool
	for k := 0; k <= n; k++ {
		list = append(list, func(i int) bool { return i < k })
	}
	if model == Ordered {
		return list
	}
	if n <= 5 {
		list = nil
		for bits := range 1 << n {
			list = append(list, func(i int) bool { return bits>>i&1 == 1 })
		}
		return list
	}
	for k := range n {
		list = append(list, func(i int) bool { return i == k }, func(i int) bool { return i != k })
	}
	return list
}

// A cut says what became of the content of the files that have writes pending.
type cut func(*inode) []byte

// dataCuts gives the ways in which the content of the named files may be found. All files share one way, but for the
// number of their writes.
func (d *Disk) dataCuts(names map[string]*inode) []cut {
	most := 0
	for _, node := range names {
		most = max(most, len(node.pending))
	}
	cuts := []cut{prefix(0)}
	for k := 1; k <= most; k++ {
		cuts = append(cuts, prefix(k), torn(k, 1, 10, false), torn(k, 1, 2, false), torn(k, 99, 100, false),
			torn(k, 0, 1, true), torn(k, 1, 2, true))
		if d.Model == Strict && most > 1 {
			cuts = append(cuts, only(k))
		}
	}
	return cuts
}

// prefix keeps the first k writes.
func prefix(k int) cut {
	return func(node *inode) []byte {
		data := node.durable
		for _, w := range node.pending[:min(k, len(node.pending))] {
			data = w.apply(data)
		}
		return data
	}
}

// torn keeps the first k-1 writes and num/den of the k-th; with zero, the rest of it is found as zeros.
func torn(k, num, den int, zero bool) cut {
	return func(node *inode) []byte {
		data := prefix(k - 1)(node)
		if k > len(node.pending) || node.pending[k-1].data == nil {
			return data
		}
		w := node.pending[k-1]
		part := w.data[:len(w.data)*num/den]
		if zero {
			part = append(slices.Clone(part), make([]byte, len(w.data)-len(part))...)
		}
		if len(part) == 0 {
			return data
		}
		return write{w.off, part}.apply(data)
	}
}

// only keeps the k-th write and none before it.
func only(k int) cut {
	return func(node *inode) []byte {
		if k > len(node.pending) {
			return node.durable
		}
		return node.pending[k-1].apply(node.durable)
	}
}

// state builds a disk.
func (d *Disk) state(names map[string]*inode, c cut) *Disk {
	s := &Disk{
		Model: d.Model, Carry: d.Carry, NoTemp: d.NoTemp, serial: d.serial + 1000,
		names: make(map[string]*inode, len(names)), durable: make(map[string]*inode, len(names)),
		locked: map[string]bool{},
	}
	copied := make(map[*inode]*inode, len(names))
	for name, node := range names {
		twin := copied[node]
		if twin == nil {
			data := c(node)
			twin = &inode{dir: node.dir, mode: node.mode, number: node.number, data: data, durable: data}
			copied[node] = twin
		}
		s.names[name], s.durable[name] = twin, twin
	}
	return s
}

// String lists the files, for messages about a state.
func (d *Disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for name, node := range d.names {
		if !node.dir {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// Put writes a file, durably, whatever is there: a way to plant damage.
func (d *Disk) Put(name string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[path.Dir(name)] == nil {
		return errors.New("no folder for " + name)
	}
	node := d.node(false, 0o600)
	node.data, node.durable = data, data
	d.names[name], d.durable[name] = node, node
	return nil
}
