package compat

import (
	"io"
	"sync"
)

// maxAhead is how much of a list is kept for a reader that is slow, octets: a pager is. Beyond it the daemon has to
// wait, and it does not for long.
const maxAhead = 64 << 20

// ahead takes what is to be written before the other side is ready to read it. One goroutine writes; finish waits for
// it.
type ahead struct {
	mu      sync.Mutex
	changed sync.Cond
	pending [][]byte
	size    int // octets of pending
	ended   bool
	err     error
	done    sync.WaitGroup
}

func newAhead(to io.Writer) *ahead {
	a := new(ahead)
	a.changed.L = &a.mu
	a.done.Go(func() { a.copy(to) })
	return a
}

// Write gives the error of any write so far.
func (a *ahead) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.size > maxAhead && a.err == nil {
		a.changed.Wait()
	}
	if a.err != nil {
		return 0, a.err
	}
	a.pending = append(a.pending, append([]byte(nil), p...))
	a.size += len(p)
	a.changed.Broadcast()
	return len(p), nil
}

// finish waits until all is written.
func (a *ahead) finish() error {
	a.mu.Lock()
	a.ended = true
	a.changed.Broadcast()
	a.mu.Unlock()
	a.done.Wait()
	return a.err
}

func (a *ahead) copy(to io.Writer) {
	for p := a.next(); p != nil; p = a.next() {
		if _, err := to.Write(p); err != nil {
			a.fail(err)
			return
		}
	}
}

// next takes what is to be written; nil at the end.
func (a *ahead) next() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.pending) == 0 && !a.ended {
		a.changed.Wait()
	}
	if len(a.pending) == 0 {
		return nil
	}
	p := a.pending[0]
	a.pending = a.pending[1:]
	a.size -= len(p)
	a.changed.Broadcast()
	return p
}

func (a *ahead) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err, a.pending, a.size = err, nil, 0
	a.changed.Broadcast()
}
