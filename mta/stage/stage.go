// Package stage builds a small pretend Internet: a DNS server with literal records, and mail exchangers with a script
// of the faults they play.
//
// It listens on loopback, or lives in memory (Network), where time may be a test's fake clock. Everything that happens
// is recorded: who asked what, each session line by line, and each transaction with the octets that came over the
// wire. Nothing here sleeps; a test waits with the Await methods, and holds a peer still with a Gate.
//
// The peers are those of demonstrations and tests: they keep all they are given in memory and trust whoever connects.
package stage

import (
	"context"
	"sync"
)

// Gate holds a peer at one point of its script until it is opened. The zero value is not useful; see NewGate.
type Gate struct {
	once    sync.Once
	open    chan struct{}
	arrived chan struct{}
}

// NewGate makes a closed gate.
func NewGate() *Gate {
	return &Gate{open: make(chan struct{}), arrived: make(chan struct{}, 1)}
}

// Open lets all pass who wait, and all who come later.
func (g *Gate) Open() { g.once.Do(func() { close(g.open) }) }

// Arrived receives when somebody has come to the closed gate since it last received.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// pass waits until the gate is open or stop is closed, and reports which. A nil gate is open.
func (g *Gate) pass(stop <-chan struct{}) bool {
	if g == nil {
		return true
	}
	select {
	case <-g.open:
		return true
	default:
	}
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	select {
	case <-g.open:
		return true
	case <-stop:
		return false
	}
}

// bell wakes those who wait for a change. Its zero value is ready; the lock that guards what changes must be held for
// ring and wait.
type bell struct{ c chan struct{} }

func (b *bell) ring() {
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}

func (b *bell) wait() <-chan struct{} {
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

// await calls done under mu, again after each ring of b, until it reports true or ctx ends.
func await(ctx context.Context, mu *sync.Mutex, b *bell, done func() bool) error {
	for {
		mu.Lock()
		ok, change := done(), b.wait()
		mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
