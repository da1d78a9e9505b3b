package queue

import (
	"context"
	"time"

	"signpost/spool"
)

// dest is one destination: its line of ready messages and its slots.
type dest struct {
	key    string
	line   line // ready
	refs   int  // messages that point here
	active int  // slots in use
	limit  int  // slots; grows on success, shrinks on failure
	most   int  // the limit's limit
	pace   pace
	inRing bool

	served  time.Time // when an attempt last ended that was talked to
	careful bool      // it had too much of us once
	since   int       // successes since the limit was changed

	// A destination of which no host answers is left alone until deadUntil, then tried by one message.
	deadUntil time.Time
	deadFor   time.Duration
	reason    spool.Result
}

// A new destination starts with few connections.
const firstSlots = 5

func (q *Queue) dest(key string) *dest {
	d := q.dests[key]
	if d == nil {
		most := q.most(key)
		d = &dest{key: key, limit: min(firstSlots, most), most: most, pace: pace{rate: q.rate(key)}}
		q.dests[key] = d
	}
	return d
}

// most is how many attempts at a destination may run at once.
func (q *Queue) most(key string) int {
	d, opt := q.current()
	return or(d.Limit(key), opt.Connections)
}

func (q *Queue) rate(key string) Rate {
	d, _ := q.current()
	return d.Rate(key)
}

func (q *Queue) unref(d *dest) {
	d.refs--
	q.tidy(d)
}

// tidy forgets a destination that nothing needs.
func (q *Queue) tidy(d *dest) {
	now := q.options().Now()
	if d.refs == 0 && d.active == 0 && !d.inRing && !d.deadUntil.After(now) && !d.pace.due.After(now) {
		delete(q.dests, d.key)
		delete(q.paced, d)
	}
}

func (d *dest) free() bool { return d.active < d.limit }

// take takes a slot where one is free and the rate allows another message.
func (q *Queue) take(d *dest) bool {
	now := q.options().Now()
	if !d.free() || d.pace.next().After(now) {
		return false
	}
	d.pace.take(now)
	d.active++
	return true
}

// offer puts d into the ring when it has something ready and a free slot, as soon as its rate allows.
func (q *Queue) offer(d *dest) {
	switch {
	case d.inRing || !d.free() || !d.line.ready():
	case d.pace.next().After(q.options().Now()):
		q.pause(d)
	default:
		d.inRing = true
		q.ring.push(d)
	}
}

// dispatch starts attempts: destinations in turn, each the first in its line.
func (q *Queue) dispatch(ctx context.Context) {
	for q.ring.len() > 0 && len(q.busy) < q.options().Workers && q.stalled == 0 {
		d := q.ring.pop()
		d.inRing = false
		if !d.line.ready() || !q.take(d) {
			q.offer(d)
			q.tidy(d)
			continue
		}
		it := d.line.pop()
		it.state = working
		q.busy[it.id] = struct{}{}
		q.workers.Go(func() { q.work(ctx, it, d) })
		q.offer(d)
	}
}

// slots takes a free slot of each of these destinations and returns those it got.
func (q *Queue) slots(keys []string) map[string]*dest {
	got := make(map[string]*dest)
	q.do(func() {
		for _, k := range keys {
			if d := q.dest(k); q.take(d) {
				got[k] = d
			} else {
				q.tidy(d)
			}
		}
	})
	return got
}

// dead returns why d is left alone for now; ok is false when it may be tried.
func (q *Queue) dead(d *dest) (reason spool.Result, ok bool) {
	q.do(func() {
		if ok = d.deadUntil.After(q.options().Now()); ok {
			reason = d.reason
		}
	})
	return reason, ok
}

// giveBack returns a slot and learns from how the attempt that began at that time went. A nil report teaches nothing.
func (q *Queue) giveBack(d *dest, rep *Report, began time.Time) {
	q.do(func() {
		d.active--
		if rep != nil {
			d.learn(rep, began, q.options())
		}
		q.offer(d)
		q.tidy(d)
	})
}

// learn adjusts the slots, and whether d is tried at all, to an attempt that has ended and began at that time. A
// destination that would not talk to us while it served others of ours has too much of us: it gets no more at once than
// what it served, and one more after a good many without refusal. One that talked to nobody meanwhile is dead.
func (d *dest) learn(rep *Report, began time.Time, opt Options) {
	switch {
	case !rep.Dead:
		d.deadUntil, d.deadFor = time.Time{}, 0
		d.served = opt.Now()
		d.grow()
	case !d.served.IsZero() && !d.served.Before(began):
		d.limit, d.careful, d.since = max(1, min(d.limit, d.active)), true, 0
	default:
		d.bury(rep, opt)
	}
}

// rounds is how many messages each slot delivers before one more slot is tried, once one was too many. Each such trial may
// cost a message its try.
const rounds = 10

// grow adds a slot: for each success at first, later after some rounds.
func (d *dest) grow() {
	if d.since++; d.limit < d.most && (!d.careful || d.since >= rounds*d.limit) {
		d.limit++
		d.since = 0
	}
}

// bury leaves d alone for a time.
func (d *dest) bury(rep *Report, opt Options) {
	if d.deadUntil.After(opt.Now()) {
		return // another attempt of the same moment has said so
	}
	// Shorter than the first interval between tries, so that it never delays a message's own next try.
	first := opt.Retry[0] * 3 / 4
	d.deadFor = min(max(d.deadFor*2, first/4), max(first, 5*time.Minute))
	d.deadUntil = opt.Now().Add(min(d.deadFor, first))
	d.limit = 1
	if len(rep.Results) > 0 {
		d.reason = rep.Results[0]
	}
}
