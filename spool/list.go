package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const (
	listAhead  = 8 << 10   // first read of a file when listing: head, small content, records
	listChunk  = 256       // messages that one goroutine reads
	listBehind = 16        // goroutines that read at once; they mostly wait for the disk
	listWeight = 128 << 10 // octets of what one of them may keep ready, and one message
)

// located is a message file that a folder names. There may be a million of them at once.
type located struct {
	id  ID
	dir string
}

func (l located) path() string { return l.dir + "/" + string(l.id) }

// List implements Store: summaries in the order of ids, which is that of arrival. It reads the head and the records
// of each file, not the content. A damaged file is moved to corrupt/, and the error for it is ErrCorrupt. Messages
// that come or go meanwhile may be listed or not.
func (d *Dir) List(ctx context.Context) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		files, errs := locate(d.fs, d.path, d.unknown)
		for _, err := range errs {
			if !yield(Summary{}, fmt.Errorf("listing the spool: %w", err)) {
				return
			}
		}
		files = d.unify(files)
		for item := range readAll(ctx, files, d.summary, nil) {
			if !yield(item.value, item.err) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Summary{}, err)
		}
	}
}

// unknown tells once of a name that does not belong here; it is left alone.
func (d *Dir) unknown(path string) {
	d.mu.Lock()
	_, told := d.strange[path]
	d.strange[path] = struct{}{}
	d.mu.Unlock()
	if !told {
		d.warn(fmt.Errorf("%s is not a message and does not belong here", path))
	}
}

// locate gives the message files of new/ and cur/ by id. New/ is read first: messages move to cur/ only, so that none
// is missed; one that moves meanwhile is there twice, new/ first.
func locate(fsys FS, path string, unknown func(string)) ([]located, []error) {
	var files []located
	var errs []error
	scan := func(dir string) {
		names, err := fsys.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, name := range names {
			if id := ID(name); id.Valid() {
				files = append(files, located{id, dir})
			} else {
				unknown(dir + "/" + name)
			}
		}
	}
	scan(filepath.Join(path, newDir))
	cur := filepath.Join(path, curDir)
	buckets, err := fsys.ReadDir(cur)
	if err != nil {
		errs = append(errs, err)
	}
	for _, name := range buckets {
		if len(name) == 2 && strings.Trim(name, "0123456789abcdef") == "" {
			scan(filepath.Join(cur, name))
		} else {
			unknown(filepath.Join(cur, name))
		}
	}
	slices.SortStableFunc(files, func(a, b located) int { return cmp.Compare(a.id, b.id) })
	return files, errs
}

// unify leaves each message in the list once, and mends what a crash between link and unlink left behind where the
// file system has no RENAME_NOREPLACE: two names of one file.
func (d *Dir) unify(files []located) []located {
	return slices.CompactFunc(files, func(a, b located) bool {
		if a.id != b.id {
			return false
		}
		if d.take(a.id) { // else it is moving right now
			defer d.giveBack(a.id)
			inNew, err := d.fs.Stat(d.newPath(a.id))
			inCur, err2 := d.fs.Stat(d.curPath(a.id))
			switch {
			case err != nil || err2 != nil:
			case inNew.Dev == inCur.Dev && inNew.Ino == inCur.Ino:
				if err := d.fs.Remove(d.newPath(a.id)); err != nil {
					d.warn(err)
				}
			default:
				d.warn(fmt.Errorf("message %s is in the spool twice: %s is taken, %s is not", a.id, a.path(), b.path()))
			}
		}
		return true
	})
}

// summary reads one file for List; ok is false when it is gone.
func (d *Dir) summary(file located, buf []byte) (s Summary, ok bool, err error) {
	state, path, err := d.readLocated(file, buf)
	if errors.Is(err, ErrNotFound) {
		return Summary{}, false, nil
	}
	if errors.Is(err, ErrCorrupt) && d.take(file.id) {
		d.quarantine(file.id, path, err)
		d.giveBack(file.id)
	}
	if err != nil {
		return Summary{ID: file.id}, true, fmt.Errorf("message %s: %w", file.id, err)
	}
	return summarize(file.id, state.size, &state.env), true, nil
}

// readLocated reads the state of a message that was where file says a moment ago.
func (d *Dir) readLocated(file located, buf []byte) (state, string, error) {
	path := file.path()
	f, err := d.fs.Open(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		f, path, err = d.openMessage(file.id, false)
	} else if err != nil && strangeFile(err) {
		err = corruptf("%v", err)
	}
	if err != nil {
		return state{}, path, err
	}
	defer f.Close()
	s, err := readState(f, file.id, buf)
	return s, path, err
}

// Peek lists the messages of the spool at path, by id, without the lock and without changing anything: for root
// while no daemon runs. Messages in drop/ are listed as the daemon will take them, with what their callers told.
func Peek(path string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		d := &Dir{path: path}
		d.defaults()
		files, errs := locate(d.fs, path, func(string) {})
		for _, err := range errs {
			if !yield(Entry{}, fmt.Errorf("listing the spool: %w", err)) {
				return
			}
		}
		files = slices.CompactFunc(files, func(a, b located) bool { return a.id == b.id })
		for item := range readAll(context.Background(), files, d.entry, Entry.weight) {
			if !yield(item.value, item.err) {
				return
			}
		}
		for n, err := range (Drop{Path: filepath.Join(path, dropDir)}).peek() {
			if !yield(n, err) {
				return
			}
		}
	}
}

// entry reads one file for Peek.
func (d *Dir) entry(file located, buf []byte) (Entry, bool, error) {
	s, _, err := d.readLocated(file, buf)
	if errors.Is(err, ErrNotFound) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{ID: file.id}, true, fmt.Errorf("message %s: %w", file.id, err)
	}
	return Entry{ID: file.id, Size: s.size, Envelope: s.env}, true, nil
}

// read is what became of reading one file.
type read[T any] struct {
	value T
	err   error
}

// piece is what was read of some files, in their order: values, and then the files for which there was no room.
type piece[T any] struct {
	values []read[T]
	rest   []located
}

// readAll reads files with several goroutines and gives the results in the order of files; those for which one says
// false are left out. What is read ahead is bounded by the weight of the values, octets, where weigh is given: a reader
// that stops costs no more. All goroutines have ended when the iteration has.
func readAll[T any](ctx context.Context, files []located, one func(located, []byte) (T, bool, error), weigh func(T) int) iter.Seq[read[T]] {
	return func(yield func(read[T]) bool) {
		ctx, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer stop()

		// A chunk is read while its channel is in the queue, so the queue's length bounds the goroutines.
		queue := make(chan chan piece[T], listBehind)
		wg.Go(func() {
			defer close(queue)
			for chunk := range slices.Chunk(files, listChunk) {
				result := make(chan piece[T], 1)
				select {
				case <-ctx.Done():
					return
				case queue <- result:
				}
				wg.Go(func() { result <- readChunk(ctx, chunk, one, weigh) })
			}
		})
		buf := make([]byte, listAhead)
		for result := range queue {
			p := <-result
			for _, r := range p.values {
				if !yield(r) {
					return
				}
			}
			for _, file := range p.rest {
				value, ok, err := one(file, buf)
				if ok && !yield(read[T]{value, err}) || ctx.Err() != nil {
					return
				}
			}
		}
	}
}

func readChunk[T any](ctx context.Context, files []located, one func(located, []byte) (T, bool, error), weigh func(T) int) piece[T] {
	p := piece[T]{values: make([]read[T], 0, len(files))}
	buf := make([]byte, listAhead)
	weight := 0
	for i, file := range files {
		if ctx.Err() != nil {
			break
		}
		value, ok, err := one(file, buf)
		if !ok {
			continue
		}
		p.values = append(p.values, read[T]{value, err})
		if weigh == nil {
			continue
		}
		if weight += weigh(value); weight > listWeight {
			p.rest = files[i+1:]
			break
		}
	}
	return p
}
