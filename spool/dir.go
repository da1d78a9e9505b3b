package spool

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The folders of a spool. Only drop/new and drop/tmp may be written by others, who cannot list them; the sticky bit
// keeps what they put there theirs and ours, the set-gid bit makes it readable by our group (safety of drop/).
const (
	newDir     = "new"
	curDir     = "cur"
	tmpDir     = "tmp"
	corruptDir = "corrupt"
	historyDir = "history"
	dropDir    = "drop"

	modeTop   = 0o711
	modeInner = 0o700
	modeDrop  = 0o3733
)

const (
	defaultMinFree = 64 << 20
	minInodes      = 1000
	removeDelay    = 40 * time.Millisecond // of the 50 that Claim.Remove promises
	takeTries      = 100
	takePause      = 5 * time.Millisecond
)

// ErrUnsafe is what Claim gives once the disk did not confirm an outcome: nobody can say which of the outcomes
// recorded last it holds, so nothing more is delivered before the spool has been opened anew.
var ErrUnsafe = errors.New("the disk did not confirm that an outcome was recorded")

// Options are the choices of Open. The zero value is useful.
type Options struct {
	FS  FS               // nil: that of the host
	Now func() time.Time // nil: time.Now
	// Locked is what Lock gave for this spool, to a process that has other things to do under the lock before it can
	// open the spool. Open takes it over. nil: Open locks.
	Locked  io.Closer
	MinFree int64 // free octets below which nothing is accepted; 0: 64 MiB, negative: no limit
	// Warn is told what a person should know and no caller learns: a spool that does not survive a power cut, names
	// that do not belong here, a removal that did not reach the disk. nil: nobody. It may be called from several
	// goroutines.
	Warn func(error)
	// Corrupt is told of each message file that was found damaged and has been moved to path. It may be called from
	// several goroutines.
	Corrupt func(id ID, path string, err error)
}

// Dir is a Store of plain files on one file system: new/ for messages accepted, cur/00 to cur/ff for those that were
// deferred, corrupt/ for files that are damaged, drop/ for what callers hand in while no daemon runs.
//
// Writing keeps this order. Accept: the file has no name until it is whole and synced; then it gets its name in new/,
// and Commit returns when that folder is synced too, which concurrent Commits share. Deliver: a record with a final
// result is synced before Record returns; the record of a mere deferral is not, losing it costs an early attempt.
// Remove unlinks and syncs the folder within 50 ms: the kernel has the removal at once, a power cut may undo it. A
// deferred message moves from new/ to cur/ by a rename that is not synced; it is looked for in both. A notice about
// another message must not be claimed before that other message's Bounced has returned.
//
// One process works on a spool, which flock on its folder ensures. Reading it beside that process is harmless (Peek).
type Dir struct {
	path    string
	fs      FS
	now     func() time.Time
	minFree int64
	warn    func(error)
	corrupt func(ID, string, error)
	lock    io.Closer
	noTemp  bool // no nameless files here: messages are written in tmp/

	commits dirSync // of new/
	removed lateSync
	watch   watcher

	mu       sync.Mutex
	claimed  map[ID]struct{}
	verified map[ID]struct{} // content has matched its checksum in this process
	strange  map[string]struct{}
	unsafe   error // why nothing may be claimed any more
}

var _ Store = (*Dir)(nil)

// Lock takes the lock of the spool at path, which must exist, for this process. ErrLocked: another has it.
func Lock(path string) (io.Closer, error) { return osFS{}.Lock(path) }

// Open opens the spool at path for the one process that works on it, and makes what is missing of it. Another such
// process is ErrLocked.
func Open(path string, opt Options) (*Dir, error) {
	d := &Dir{
		path:     path,
		fs:       opt.FS,
		now:      opt.Now,
		minFree:  opt.MinFree,
		warn:     opt.Warn,
		corrupt:  opt.Corrupt,
		lock:     opt.Locked,
		claimed:  make(map[ID]struct{}),
		verified: make(map[ID]struct{}),
		strange:  make(map[string]struct{}),
	}
	d.defaults()
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("opening spool %s: %w", path, err)
	}
	return d, nil
}

func (d *Dir) defaults() {
	if d.fs == nil {
		d.fs = osFS{}
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.minFree == 0 {
		d.minFree = defaultMinFree
	}
	if d.warn == nil {
		d.warn = func(error) {}
	}
	if d.corrupt == nil {
		d.corrupt = func(ID, string, error) {}
	}
	d.commits = dirSync{fs: d.fs, path: d.in(newDir)}
	d.removed = lateSync{fs: d.fs, warn: d.warn}
}

// in makes a path inside the spool.
func (d *Dir) in(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

func (d *Dir) open() error {
	top, err := d.folder("", modeTop)
	if err == nil && d.lock == nil {
		d.lock, err = d.fs.Lock(d.path)
	}
	if err == nil {
		err = d.layout(top.Dev)
	}
	if err == nil {
		err = d.probe()
	}
	if err == nil {
		// A process that was killed may have left names in new/ that no sync covered; what is built on their
		// existence from now on (ErrExists) must not be younger on the disk than they are.
		err = d.commits.sync()
	}
	if err != nil && d.lock != nil {
		d.lock.Close()
	}
	return err
}

// layout makes the folders, and makes them last: what is in a folder that is lost is lost, however well it was synced.
// A folder made by a process that was killed may not have been synced, so all are, each time.
func (d *Dir) layout(dev uint64) error {
	for _, f := range []struct {
		name string
		mode uint32
	}{
		{newDir, modeInner}, {curDir, modeInner}, {corruptDir, modeInner}, {historyDir, modeInner},
		{dropDir, modeTop}, {filepath.Join(dropDir, tmpDir), modeDrop}, {filepath.Join(dropDir, newDir), modeDrop},
	} {
		info, err := d.folder(f.name, f.mode)
		if err != nil {
			return err
		}
		if info.Dev != dev {
			return fmt.Errorf("%s lies on another file system than the spool", d.in(f.name))
		}
	}
	for _, dir := range []string{dropDir, curDir, "", ".."} {
		// A folder above that we may not open was there before us.
		if err := d.fs.SyncDir(d.in(dir)); err != nil && !(dir == ".." && errors.Is(err, fs.ErrPermission)) {
			return err
		}
	}
	return nil
}

// folder makes one folder, or mends its mode.
func (d *Dir) folder(name string, mode uint32) (Info, error) {
	path := d.in(name)
	if err := d.fs.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return Info{}, err
	}
	info, err := d.fs.Stat(path)
	if err != nil {
		return Info{}, err
	}
	if !info.dir() {
		return Info{}, fmt.Errorf("%s is not a folder", path)
	}
	// A volume that was handed to us may belong to somebody else; its mode is then not ours to choose.
	if info.Mode&0o7777 != mode {
		if err := d.fs.Chmod(path, mode); err != nil && name != "" {
			return Info{}, err
		} else if err != nil {
			d.warn(fmt.Errorf("%s has mode %04o in place of %04o: %w", path, info.Mode&0o7777, mode, err))
		}
	}
	return info, nil
}

// probe learns what the file system can do, and clears tmp/, which only we write to.
func (d *Dir) probe() error {
	f, err := d.fs.CreateTemp(d.in(newDir))
	switch {
	case err == nil:
		f.Close()
	case unsupported(err):
		d.noTemp = true
	default:
		return err
	}
	if err := d.clearTmp(); err != nil {
		return err
	}
	space, err := d.fs.Space(d.path)
	if err == nil && space.Volatile {
		d.warn(fmt.Errorf("the spool %s is kept in memory: a power cut or restart of the machine loses all mail in it",
			d.path))
	}
	return err
}

func (d *Dir) clearTmp() error {
	if _, err := d.folder(tmpDir, modeInner); err != nil {
		return err
	}
	names, err := d.fs.ReadDir(d.in(tmpDir))
	for _, name := range names {
		if err := d.fs.Remove(d.in(tmpDir, name)); err != nil {
			d.warn(err)
		}
	}
	return err
}

// Close brings removals to the disk and gives up the lock. All writers and claims must have ended.
func (d *Dir) Close() error {
	d.watch.close()
	err := d.removed.close()
	return errors.Join(err, d.lock.Close())
}

// Create starts a message (A1): ErrNoSpace below the limits of free space. Up to 128 KiB of content is kept in memory
// until Commit.
func (d *Dir) Create(ctx context.Context, id ID) (Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if id != "" && !id.Valid() {
		return nil, fmt.Errorf("%q is not a queue id", string(id))
	}
	if err := d.checkSpace(); err != nil {
		return nil, err
	}
	w := &dirWriter{d: d, draft: newDraft(d.fs), given: id != ""}
	if !w.given {
		id = NewID(d.now())
	}
	w.draft.id, w.draft.name = id, string(id)
	w.draft.dir, w.draft.tmp, w.draft.noTemp = d.in(newDir), d.in(tmpDir), d.noTemp
	return w, nil
}

func (d *Dir) checkSpace() error {
	if d.minFree < 0 {
		return nil
	}
	s, err := d.fs.Space(d.path)
	if err != nil {
		return err
	}
	if s.Free < d.minFree {
		return fmt.Errorf("%w: %d octets are free, %d must stay", ErrNoSpace, s.Free, d.minFree)
	}
	if s.Inodes >= 0 && s.Inodes < minInodes {
		return fmt.Errorf("%w: %d inodes are free, %d must stay", ErrNoSpace, s.Inodes, minInodes)
	}
	return nil
}

// dirWriter is a message on its way into new/.
type dirWriter struct {
	d     *Dir
	draft *draft
	given bool // the id was chosen by the caller, so it may exist
}

func (w *dirWriter) Write(p []byte) (int, error) { return w.draft.Write(p) }

func (w *dirWriter) ID() ID { return w.draft.id }

func (w *dirWriter) Abort() error {
	w.draft.drop(errDone)
	return nil
}

// Commit accepts the message (A3 to A8). A zero Arrived becomes now.
func (w *dirWriter) Commit(env Envelope) error {
	err := w.commit(&env)
	if err == nil {
		w.d.watch.send(summarize(w.draft.id, w.draft.size, &env))
		return nil
	}
	w.draft.drop(errDone)
	if errors.Is(err, ErrExists) {
		// The caller goes on as if it had made the message: it must be as durable as if it had.
		if err := w.d.commits.sync(); err != nil {
			return fmt.Errorf("accepting message %s: %w", w.draft.id, err)
		}
	}
	return fmt.Errorf("accepting message %s: %w", w.draft.id, err)
}

func (w *dirWriter) commit(env *Envelope) error {
	switch {
	case len(env.Rcpts) == 0:
		return errors.New("no recipients")
	case len(env.Rcpts) > MaxRcpts:
		return fmt.Errorf("%d recipients: %w", len(env.Rcpts), ErrTooBig)
	}
	if env.Arrived.IsZero() {
		env.Arrived = w.d.now()
	}
	if w.given {
		// Held as claimed, a message of the same id cannot move from new/ to cur/ between the two looks.
		if err := w.d.takeNew(w.draft.id); err != nil {
			return err
		}
		defer w.d.giveBack(w.draft.id)
		if _, err := w.d.fs.Stat(w.d.curPath(w.draft.id)); err == nil {
			return ErrExists
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := w.draft.finish(recAccepted, env.encode); err != nil {
		return err
	}
	w.draft.close()
	if err := w.d.commits.sync(); err != nil {
		// It is refused, so it must not be found later. That may fail too, or be undone by a crash: then the
		// message is delivered although its caller was told to try again.
		w.d.fs.Remove(w.d.newPath(w.draft.id))
		return noSpace(err)
	}
	return nil
}

func (d *Dir) newPath(id ID) string { return d.path + "/" + newDir + "/" + string(id) }

func (d *Dir) curPath(id ID) string { return d.in(curDir, bucket(id), string(id)) }

// bucket is the folder in cur/ for a message.
func bucket(id ID) string {
	const hex = "0123456789abcdef"
	n := byte(crc32.Checksum([]byte(id), castagnoli()))
	return string([]byte{hex[n>>4], hex[n&15]})
}

// take marks a message as claimed; false if it is.
func (d *Dir) take(id ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.claimed[id]; ok {
		return false
	}
	d.claimed[id] = struct{}{}
	return true
}

// takeNew is take for a message to be made: ErrExists where it is claimed and there. Whoever claims an id of which
// there is no message holds it for a moment, too; ErrClaimed says that the moment was long, and nothing else.
func (d *Dir) takeNew(id ID) error {
	for range takeTries {
		if d.take(id) {
			return nil
		}
		// In this order: it moves from new/ to cur/ only.
		for _, path := range [...]string{d.newPath(id), d.curPath(id)} {
			if _, err := d.fs.Stat(path); err == nil {
				return ErrExists
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		<-time.After(takePause)
	}
	return ErrClaimed
}

func (d *Dir) giveBack(id ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.claimed, id)
}

// openMessage opens the file of a message in new/ or, if it is not there, in cur/: the only way a message moves.
func (d *Dir) openMessage(id ID, write bool) (FSFile, string, error) {
	if !id.Valid() {
		return nil, "", ErrNotFound
	}
	path := d.newPath(id)
	f, err := d.fs.Open(path, write)
	if errors.Is(err, fs.ErrNotExist) {
		path = d.curPath(id)
		f, err = d.fs.Open(path, write)
	}
	switch {
	case err == nil:
		return f, path, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", ErrNotFound
	case strangeFile(err):
		return nil, path, corruptf("%v", err)
	}
	return nil, path, err
}

// strangeFile reports whether opening or reading failed because there is something else than a file: a folder, a
// symbolic link, a socket, a pipe.
func strangeFile(err error) bool {
	return errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) ||
		errors.Is(err, unix.ESPIPE)
}

// Read gives the envelope and the size of a message without claiming it. ErrNotFound, ErrCorrupt.
func (d *Dir) Read(id ID) (Envelope, int64, error) {
	s, err := d.readState(id)
	if err != nil {
		return Envelope{}, 0, fmt.Errorf("reading message %s: %w", id, err)
	}
	return s.env, s.size, nil
}

func (d *Dir) readState(id ID) (state, error) {
	f, _, err := d.openMessage(id, false)
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	return loadState(f, id)
}

// Content gives the content of a message without claiming it: ErrNotFound, ErrCorrupt. It stays readable when the
// message is removed.
func (d *Dir) Content(id ID) (io.ReadSeekCloser, error) {
	f, _, err := d.openMessage(id, false)
	if err != nil {
		return nil, fmt.Errorf("reading message %s: %w", id, err)
	}
	s, err := loadState(f, id)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reading message %s: %w", id, err)
	}
	shared := &sharedFile{FSFile: f, refs: 1}
	return newContentReader(shared, s.size), nil
}

// quarantine moves a damaged file to corrupt/ and tells of it. The message must be claimed.
func (d *Dir) quarantine(id ID, path string, cause error) {
	to := d.in(corruptDir, filepath.Base(path))
	err := d.fs.Rename(path, to)
	for n := 1; errors.Is(err, fs.ErrExist) && n < 100; n++ {
		to = d.in(corruptDir, fmt.Sprintf("%s.%d", filepath.Base(path), n))
		err = d.fs.Rename(path, to)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		d.warn(fmt.Errorf("message %s: %w; it could not be moved out of the way: %w", id, cause, err))
		return
	}
	d.mu.Lock()
	delete(d.verified, id)
	d.mu.Unlock()
	d.corrupt(id, to, cause)
}
