package spool

import (
	"errors"
	"sync"
	"time"
)

// dirSync syncs one folder for many at once: one sync is in flight, and all who come meanwhile share the next one.
type dirSync struct {
	fs   FS
	path string

	turn sync.Mutex // held by the one that syncs
	mu   sync.Mutex
	next *syncRound // not begun; nil: nobody waits
}

type syncRound struct {
	done bool // guarded by dirSync.turn, as is err
	err  error
}

// sync returns when everything done in the folder before the call is on the disk.
func (s *dirSync) sync() error {
	s.mu.Lock()
	if s.next == nil {
		s.next = new(syncRound)
	}
	mine := s.next
	s.mu.Unlock()

	s.turn.Lock()
	defer s.turn.Unlock()
	if mine.done {
		return mine.err
	}
	// From here on callers belong to the round after this one.
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	mine.err = s.fs.SyncDir(s.path)
	mine.done = true
	return mine.err
}

// lateSync syncs folders a moment later, each once for all the removals in it meanwhile.
type lateSync struct {
	fs   FS
	warn func(error)

	flushing sync.Mutex // held while folders are synced
	mu       sync.Mutex
	dirty    map[string]struct{}
	timer    *time.Timer // runs while something is dirty
	closed   bool
}

// later sees to it that the folder is synced soon.
func (s *lateSync) later(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirty == nil {
		s.dirty = make(map[string]struct{})
	}
	s.dirty[dir] = struct{}{}
	if s.timer == nil && !s.closed {
		s.timer = time.AfterFunc(removeDelay, func() {
			if err := s.flush(); err != nil {
				s.warn(err)
			}
		})
	}
}

// flush syncs what is dirty now.
func (s *lateSync) flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	dirty := s.dirty
	s.dirty, s.timer = nil, nil
	s.mu.Unlock()
	var errs []error
	for dir := range dirty {
		errs = append(errs, s.fs.SyncDir(dir))
	}
	return errors.Join(errs...)
}

// close syncs what is dirty and waits for a flush under way.
func (s *lateSync) close() error {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	return s.flush()
}
