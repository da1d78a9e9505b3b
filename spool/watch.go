package spool

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// watcher passes summaries on to one channel. The queue between is not bounded: a Commit must not wait for the
// scheduler, and what is in the queue is in the spool as well.
type watcher struct {
	mu     sync.Mutex
	on     bool
	queue  []Summary
	wake   chan struct{} // one token while queue may hold something
	stop   context.CancelFunc
	wg     sync.WaitGroup
	closed bool
}

// Watch implements Store. The channel is closed when ctx ends or the Dir is closed.
func (d *Dir) Watch(ctx context.Context) (<-chan Summary, error) {
	return d.watch.start(ctx)
}

func (w *watcher) start(ctx context.Context) (<-chan Summary, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errors.New("watching a spool that is closed")
	}
	if w.on {
		return nil, errors.New("the spool is being watched")
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.on, w.wake = true, make(chan struct{}, 1)
	out := make(chan Summary)
	w.wg.Go(func() { w.run(ctx, w.wake, out) })
	return out, nil
}

func (w *watcher) run(ctx context.Context, wake <-chan struct{}, out chan<- Summary) {
	defer close(out)
	defer w.off()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		for _, s := range w.take() {
			select {
			case <-ctx.Done():
				return
			case out <- s:
			}
		}
	}
}

func (w *watcher) off() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
	w.on, w.queue = false, nil
}

func (w *watcher) take() []Summary {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.queue
	w.queue = nil
	return queue
}

func (w *watcher) send(s Summary) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.on {
		return
	}
	w.queue = append(w.queue, s)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	if w.on {
		w.stop()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// summarize makes the summary of a message.
func summarize(id ID, size int64, env *Envelope) Summary {
	s := Summary{
		ID: id, Next: env.Next, Arrived: env.Arrived, Size: size,
		Sender: env.Sender, UID: env.Origin.UID, Tries: env.Tries,
		Parent: env.Parent, Held: env.Held != "", Queued: env.Queued,
	}
	first := slices.IndexFunc(env.Rcpts, func(r Recipient) bool { return !r.Settled() })
	if first >= 0 {
		r := &env.Rcpts[first]
		s.Rcpt = Recipient{Kind: r.Kind, Addr: r.Addr, NoAlias: r.NoAlias}
		if r.Sender != nil {
			s.Sender = *r.Sender
		}
	}
	s.Bouncing = slices.ContainsFunc(env.Rcpts, func(r Recipient) bool { return r.Last.Outcome().Bad() && !r.Bounced })
	return s
}
