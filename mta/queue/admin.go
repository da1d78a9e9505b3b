package queue

import (
	"container/heap"
	"context"
	"time"

	"signpost/spool"
)

// maxEarly bounds what is remembered of messages that were asked for before they were known.
const maxEarly = 10_000

// Retry has messages of the store tried now, whatever their time; those on hold stay there. It returns how many it
// found. A message that is being tried is tried once more afterwards; one that the scheduler has not been told of yet
// is tried when it is.
func (q *Queue) Retry(ids ...spool.ID) (n int) {
	q.do(func() {
		for _, id := range ids {
			if it := q.items[id]; it != nil {
				q.hurry(it)
				n++
				continue
			}
			if len(q.early) >= maxEarly {
				clear(q.early) // of messages that have left meanwhile, for the most part
			}
			q.early[id] = struct{}{}
		}
	})
	return n
}

// RetryAll has every message tried now that is not on hold, also those that are still being listed after the start.
func (q *Queue) RetryAll() (n int) {
	q.do(func() {
		q.rush = !q.listed
		for _, it := range q.items {
			q.hurry(it)
			n++
		}
	})
	return n
}

func (q *Queue) hurry(it *item) {
	it.dest.deadUntil = time.Time{}
	switch it.state {
	case waiting:
		heap.Remove(&q.waiting, int(it.pos))
		q.makeReady(it)
	case idle:
		q.makeReady(it) // one on hold goes back to rest when its envelope is read
	case working:
		it.again = true
	}
}

// Active reports whether the message is being tried.
func (q *Queue) Active(id spool.ID) (yes bool) {
	q.do(func() {
		it := q.items[id]
		yes = it != nil && it.state == working
	})
	return yes
}

// ActiveSet names the messages that are being tried, for listings: one question in place of one a message.
func (q *Queue) ActiveSet() map[spool.ID]bool {
	set := make(map[spool.ID]bool)
	q.do(func() {
		for id := range q.busy {
			set[id] = true
		}
	})
	return set
}

// Len is the number of messages in the scheduler.
func (q *Queue) Len() (n int) {
	q.do(func() { n = len(q.items) })
	return n
}

// Hold keeps a message from being tried. spool.ErrClaimed: it is being tried right now.
func (q *Queue) Hold(ctx context.Context, id spool.ID, reason string) error {
	return q.change(ctx, id, "held", func(c spool.Claim) error { return c.Hold(reason) })
}

// Release lets a message on hold go; it is tried at once.
func (q *Queue) Release(ctx context.Context, id spool.ID) error {
	if err := q.change(ctx, id, "released", func(c spool.Claim) error { return c.Hold("") }); err != nil {
		return err
	}
	q.Retry(id)
	return nil
}

// Delete removes a message without telling anybody. spool.ErrClaimed: it is being tried right now.
func (q *Queue) Delete(ctx context.Context, id spool.ID) error {
	err := q.change(ctx, id, "removed", func(c spool.Claim) error { return c.Remove() })
	if err == nil {
		q.do(func() {
			delete(q.early, id)
			if it := q.items[id]; it != nil {
				q.forget(it)
			}
		})
	}
	return err
}

// change does something to a message under its claim, as an administrator asks.
func (q *Queue) change(ctx context.Context, id spool.ID, what string, f func(spool.Claim) error) error {
	c, err := q.store.Claim(ctx, id)
	if err != nil {
		return err
	}
	defer c.Release()
	env, size := c.Envelope(), c.Size()
	if err := f(c); err != nil {
		return err
	}
	q.options().Note(Event{ID: id, Envelope: env, Size: size, What: what, Gone: what == "removed"})
	return nil
}
