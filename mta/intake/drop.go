package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"signpost/spool"
)

const (
	rescanTime  = time.Minute // between looks at all of drop/new
	blindRescan = 5 * time.Second
	soon        = time.Second            // until a second look at what may only have been unfinished
	rest        = 250 * time.Millisecond // after names of which none was a message
	syncTime    = 250 * time.Millisecond // longest time without syncing drop/new; well below settle
	maxLeft     = 4096                   // names kept of what is left lying, so that each is told once
)

// EmptyDrop takes the messages that callers left in dropPath while no daemon answered, now and as they come, until ctx
// ends. The owner of a file is who handed it in. It goes into the Store under an id that belongs to the file, then it
// is removed, then the removal is synced: a crash in between makes the next run find it in the Store (ErrExists).
//
// What is no message never stops the others: a damaged file moves to the corrupt/ folder of the spool; what is not a
// regular file with one name is left where it is, and told once. A message that cannot be taken now stays for the next
// look. The error is that dropPath cannot be read.
func (i *Intake) EmptyDrop(ctx context.Context, dropPath string) error {
	e := &emptier{intake: i, drop: spool.Drop{Path: dropPath}, dir: filepath.Join(dropPath, "new")}
	w, err := watchDir(e.dir)
	every := rescanTime
	if err != nil {
		i.log().Warn("drop folder is not watched, only looked at", "reply", err.Error())
		every = blindRescan
	} else {
		e.names = w.names
		defer w.close()
	}
	if err := e.scan(ctx); err != nil {
		return err
	}
	return e.run(ctx, every)
}

// EmptyDropOnce takes what lies in dropPath now, and returns.
func (i *Intake) EmptyDropOnce(ctx context.Context, dropPath string) error {
	e := &emptier{intake: i, drop: spool.Drop{Path: dropPath}, dir: filepath.Join(dropPath, "new")}
	return e.scan(ctx)
}

// FinishDrop removes from dropPath the messages that has says are in the Store: a crash came before their removal. It
// must have returned before messages of the Store are tried: when one has been sent and is gone, its file in dropPath
// would be taken for a message that has not been seen. The error is that dropPath cannot be read.
func (i *Intake) FinishDrop(ctx context.Context, dropPath string, has func(spool.ID) bool) error {
	e := &emptier{intake: i, drop: spool.Drop{Path: dropPath}}
	list, err := e.drop.List()
	for _, name := range list {
		if ctx.Err() != nil {
			break
		}
		if id, err := e.drop.ID(name); err == nil && has(id) {
			e.remove(name)
		}
	}
	e.sync()
	return err
}

// emptier empties one drop folder. One goroutine uses it.
type emptier struct {
	intake *Intake
	drop   spool.Drop
	dir    string          // drop/new
	names  <-chan []string // new names; nil: look at all. A nil channel where there is no watcher

	left     map[string]bool // told of; false: not seen in the present look at all
	crowded  bool            // more than maxLeft, which has been told
	again    bool            // something may only have been unfinished, or events were lost
	soon     time.Duration   // until the look that again asks for
	full     bool            // the Store has no space: no use in going on
	removed  int             // since the last sync
	unsynced time.Time       // of the first of them
}

func (e *emptier) run(ctx context.Context, every time.Duration) error {
	due := e.dueAfterScan(every)
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			if err := e.scan(ctx); err != nil {
				return err
			}
			due = e.dueAfterScan(every)
		case names, ok := <-e.names:
			if !ok {
				e.names, every = nil, blindRescan
			}
			e.again = names == nil // events were lost
			took := e.takeAll(ctx, names)
			if soon := time.Now().Add(e.soon); e.again && soon.Before(due) {
				due = soon
			}
			if took == 0 && !pause(ctx, rest) { // nobody keeps us busy with names
				return nil
			}
		}
		timer.Reset(time.Until(due))
	}
}

func (e *emptier) dueAfterScan(every time.Duration) time.Time {
	if e.again {
		every = min(every, e.soon)
	}
	return time.Now().Add(every)
}

// scan looks at all of drop/new. New names are served in between, so that a flood delays nobody for long.
func (e *emptier) scan(ctx context.Context) error {
	e.again, e.full = false, false
	// Files that are no messages cost a look each time; what a look costs bounds how often it is done.
	defer func(start time.Time) { e.soon = max(soon, 20*time.Since(start)) }(time.Now())
	for name := range e.left {
		e.left[name] = false
	}
	dir, err := os.Open(e.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(256)
		for _, d := range entries {
			if ctx.Err() != nil || e.full {
				e.sync()
				return nil
			}
			e.takeEntry(ctx, d)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	e.sync()
	e.forget()
	return nil
}

func (e *emptier) takeEntry(ctx context.Context, d fs.DirEntry) {
	if !d.Type().IsRegular() {
		e.leave(d.Name(), errors.New("not a regular file"))
		return
	}
	select {
	case names := <-e.names:
		e.again = e.again || names == nil
		e.takeAll(ctx, names)
	default:
	}
	e.take(ctx, d.Name())
}

// forget drops what is no longer there from the names told of.
func (e *emptier) forget() {
	for name, seen := range e.left {
		if !seen {
			delete(e.left, name)
		}
	}
	e.crowded = e.crowded && len(e.left) >= maxLeft
}

// takeAll takes the messages of these names, and says how many there were.
func (e *emptier) takeAll(ctx context.Context, names []string) int {
	n := 0
	for _, name := range names {
		if ctx.Err() == nil && e.take(ctx, name) {
			n++
		}
	}
	e.sync()
	return n
}

// take takes one message, and reports whether it was one.
func (e *emptier) take(ctx context.Context, name string) bool {
	err := e.move(ctx, name)
	switch {
	case err == nil:
		e.remove(name)
		return true
	case errors.Is(err, fs.ErrNotExist): // taken before, or taken back
	case errors.Is(err, spool.ErrCorrupt):
		e.reject(name, err)
	default:
		e.full = e.full || errors.Is(err, spool.ErrNoSpace)
		e.leave(name, err)
	}
	return false
}

// move puts the message into the Store. It does so also where it is there already. ErrCorrupt says that the file is no
// message: any other is accepted, if only to be bounced, as its caller has been told that it is.
func (e *emptier) move(ctx context.Context, name string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", spool.ErrCorrupt, p, debug.Stack())
		}
	}()
	d, err := e.drop.Open(name, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	who := Caller{ID: d.ID, At: d.ID.Time()}
	who.Via, who.UID = ViaDrop, d.UID
	h, err := e.intake.create(ctx, who, d.Told, func(int64) error { return nil })
	if err != nil {
		return err
	}
	defer h.Abort()
	content := d.Content()
	if most := e.intake.MaxSize; most > 0 && d.Size > most {
		if err := h.tooBig(); err != nil {
			return err
		}
		content = io.LimitReader(content, most) // the rest is not worth its time and space, however much it is
	}
	if _, err := io.Copy(h, content); err != nil {
		return err
	}
	if err := h.Commit(); err != nil && !errors.Is(err, spool.ErrExists) {
		return err
	}
	return nil
}

// remove takes the name out of drop/new.
func (e *emptier) remove(name string) {
	if err := e.drop.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		// It is found in the Store at each look until then.
		e.leave(name, err)
		return
	}
	if e.removed++; e.removed == 1 {
		e.unsynced = time.Now()
	}
	if time.Since(e.unsynced) > syncTime {
		e.sync()
	}
}

// sync makes the removals durable.
func (e *emptier) sync() {
	if e.removed == 0 {
		return
	}
	e.removed = 0
	if err := e.drop.Sync(); err != nil {
		e.intake.log().Error("drop folder", "reply", err.Error())
	}
}

// reject moves a file that is no message out of the way. A second name of a file may be there for a moment while it is
// handed in, and what is no file was not handed in at all: they are left.
func (e *emptier) reject(name string, cause error) {
	info, err := os.Lstat(filepath.Join(e.dir, name))
	if err != nil {
		return
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || st.Nlink != 1 {
		e.leave(name, cause)
		return
	}
	to, err := e.drop.Reject(name)
	if err != nil {
		e.leave(name, errors.Join(cause, err))
		return
	}
	e.intake.log().Error("file in the drop folder is no message", "uid", st.Uid, "file", name, "moved", to,
		"reply", cause.Error())
	if e.intake.Rejected != nil {
		e.intake.Rejected(int(st.Uid), to, cause)
	}
}

// leave tells, once, that a name stays where it is.
func (e *emptier) leave(name string, why error) {
	_, known := e.left[name]
	switch {
	case !known && len(e.left) < maxLeft:
		e.again = true
		e.intake.log().Warn("left in the drop folder", "file", name, "reply", why.Error())
	case !known:
		if !e.crowded {
			e.crowded = true
			e.intake.log().Warn("left in the drop folder: more files than are named here")
		}
		return
	}
	if e.left == nil {
		e.left = make(map[string]bool)
	}
	e.left[name] = true
}
