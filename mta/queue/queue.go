// Package queue decides when each message is tried, retried, held or given up.
//
// The scheduler keeps a summary a message and reads the envelope when it claims. A message waits, without being
// claimed, for its time and then for a free slot of its destination (Deliverer.Key); with the slot it is claimed,
// split by destination, and those groups are tried for which a slot is free at that moment. The others wait again,
// unclaimed. So a destination that does not answer holds its own slots and nothing else. Those that wait for the same
// destination are served by local user and sender in turn, so that no flood delays what others send.
//
// A bounce names its parent and is not tried before the failure it speaks of is on record there, also after a
// restart: each failed recipient gets exactly one bounce, whatever crashes.
//
// One goroutine, that of Run, owns the scheduler's state; a goroutine an attempt sends its results back. The package
// knows no SMTP, DNS or configuration file: what is to be done with a message it asks of its Deliverer.
package queue

import (
	"container/heap"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"signpost/spool"
)

// Deliverer is what the scheduler asks of the rest of the daemon. Its methods are called from many goroutines.
type Deliverer interface {
	// Key names the destination of a recipient: equal keys share a transaction and a limit. No I/O.
	Key(sender string, r spool.Recipient) string
	// Limit is how many attempts at a destination may run at once; 0: as Options.Connections says. No I/O.
	Limit(key string) int
	// Rate is how many messages may be tried at a destination in a time. No I/O.
	Rate(key string) Rate
	// Expand replaces aliases and users by what they stand for. It is asked at each try; recipients that are settled
	// keep their index.
	Expand(ctx context.Context, c spool.Claim) []spool.Recipient
	// Deliver tries recipients of one key.
	Deliver(ctx context.Context, c spool.Claim, rcpts []spool.Recipient) Report
	// Bounce tells the sender, durably, that these recipients (indices of the envelope) failed. Called again for
	// the same failures after a crash, it makes no second notice.
	Bounce(ctx context.Context, c spool.Claim, rcpts []int) error
	// Warn tells the sender that these recipients are delayed, until when they will be tried.
	Warn(ctx context.Context, c spool.Claim, rcpts []int, until time.Time) error
}

// Report is what Deliver did: a result a recipient in the same order, and how long it took.
type Report struct {
	Results  []spool.Result
	Dead     bool // no host of the destination could be talked to: others need not try right now
	Connect  time.Duration
	Transmit time.Duration
	Story    []string // hosts, addresses, TLS and dialogue, for `signpost why`; no content
	Diverted string   // where the message went instead, in words; empty: to the recipients
}

// Event is something that happened to a message, told to Options.Note once it is on record.
type Event struct {
	ID       spool.ID
	Envelope spool.Envelope    // as before the event
	Size     int64             // of the content
	Rcpts    []spool.Recipient // those tried, with their results
	Report   Report
	Began    time.Time // of the attempt
	Next     time.Time // when it is tried next; zero when nothing is left or not known yet
	Gone     bool      // the message has left the spool
	What     string    // "attempt", "held", "released", "removed", "damaged", "done"
}

// Options are the scheduler's settings. Zero values mean what the comments say.
type Options struct {
	Connections int             // at once to one destination; 20
	Workers     int             // messages worked on at once; 200
	Retry       []time.Duration // waits between tries, the last one repeats; 5m
	Expire      time.Duration   // 5d
	Bounces     time.Duration   // Expire for the null reverse-path; 2d at most
	Warning     time.Duration   // delay notice after this age; 0: none
	Drain       time.Duration   // how long Run waits at the end for attempts in flight; 30s
	Now         func() time.Time
	Note        func(Event)
	Log         *slog.Logger
}

func (o *Options) fill() {
	o.Connections = or(o.Connections, 20)
	o.Workers = or(o.Workers, 200)
	o.Expire = or(o.Expire, 5*24*time.Hour)
	o.Bounces = min(or(o.Bounces, 2*24*time.Hour), o.Expire)
	o.Drain = or(o.Drain, 30*time.Second)
	if len(o.Retry) == 0 {
		o.Retry = []time.Duration{5 * time.Minute}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Note == nil {
		o.Note = func(Event) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Queue is the scheduler. Make it with New; Run runs it; the other methods may be called while it runs.
type Queue struct {
	store spool.Store
	calls chan func()   // executed by the goroutine of Run
	ended chan struct{} // closed when Run has returned
	seed  maphash.Seed  // of the hashes of senders

	settings sync.Mutex // guards d and opt, which Reload replaces
	d        Deliverer
	opt      Options

	// All below belongs to the goroutine of Run.
	once      bool // one pass, then return
	items     map[spool.ID]*item
	waiting   byTime
	dests     map[string]*dest
	ring      fifo[*dest]        // destinations with something ready and a free slot, served in turn
	paced     map[*dest]struct{} // those that would be there if their rate allowed
	parked    map[spool.ID][]*item
	listed    bool                  // all of the spool has been seen
	rush      bool                  // all was asked for before it was listed
	early     map[spool.ID]struct{} // asked for before they were known
	busy      map[spool.ID]struct{} // messages worked on
	nextPaced time.Time             // when the first of paced may go on
	stalled   int                   // results that could not be recorded: nothing new is started
	tidied    time.Time             // when destinations that nothing needs were last looked for
	workers   sync.WaitGroup
}

// New makes a scheduler of the messages in store.
func New(store spool.Store, d Deliverer, opt Options) *Queue {
	opt.fill()
	return &Queue{
		store: store, d: d, opt: opt,
		calls: make(chan func()), ended: make(chan struct{}), seed: maphash.MakeSeed(),
		items: make(map[spool.ID]*item), dests: make(map[string]*dest), parked: make(map[spool.ID][]*item),
		paced: make(map[*dest]struct{}),
		busy:  make(map[spool.ID]struct{}), early: make(map[spool.ID]struct{}),
	}
}

// Reload puts new settings in force; attempts in flight end with the old ones.
func (q *Queue) Reload(d Deliverer, opt Options) {
	opt.fill()
	q.settings.Lock()
	q.d, q.opt = d, opt
	q.settings.Unlock()
	q.do(func() {
		q.nextPaced = q.options().Now()
		for _, d := range q.dests {
			d.most = q.most(d.key)
			d.limit = min(d.limit, d.most)
			d.pace.rate = q.rate(d.key)
		}
	})
}

func (q *Queue) current() (Deliverer, Options) {
	q.settings.Lock()
	defer q.settings.Unlock()
	return q.d, q.opt
}

func (q *Queue) options() Options { _, opt := q.current(); return opt }

// Run tries messages until ctx ends, then starts nothing new and returns when the attempts in flight have ended or
// Options.Drain is over. Run may be called once.
func (q *Queue) Run(ctx context.Context) error { return q.run(ctx) }

// RunOnce tries every message that is not held once, due or not, and returns.
func (q *Queue) RunOnce(ctx context.Context) error {
	q.once = true
	return q.run(ctx)
}

func (q *Queue) run(ctx context.Context) error {
	defer close(q.ended)
	listing, stop := context.WithCancel(ctx)
	watch, err := q.store.Watch(listing)
	if err != nil {
		stop()
		return err
	}
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	q.workers.Go(func() { q.listAll(listing) })

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil && !(q.once && q.listed && len(q.busy) == 0 && q.ring.len() == 0 && len(q.paced) == 0) {
		q.dispatch(attempts)
		timer.Reset(q.sleep())
		select {
		case s, ok := <-watch:
			if !ok {
				watch = nil
				continue
			}
			q.add(s)
		case f := <-q.calls:
			f()
		case <-timer.C:
			q.wake()
		case <-ctx.Done():
		}
	}
	stop()
	q.drain(watch, cut)
	return nil
}

// drain serves the attempts in flight until they end, or cuts them off after Options.Drain.
func (q *Queue) drain(watch <-chan spool.Summary, cut context.CancelFunc) {
	limit := time.NewTimer(q.options().Drain)
	defer limit.Stop()
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() { q.workers.Wait(); close(done) })
	defer wait.Wait()
	for {
		select {
		case _, ok := <-watch:
			if !ok {
				watch = nil
			}
		case f := <-q.calls:
			f()
		case <-limit.C:
			cut()
		case <-done:
			return
		}
	}
}

// relist is the wait before the spool is listed again, where a part of it could not be read.
const relist = time.Minute

// listAll lists the spool until all of it has been seen.
func (q *Queue) listAll(ctx context.Context) {
	again := time.NewTimer(relist)
	defer again.Stop()
	for whole := false; !whole; {
		whole = q.list(ctx) || q.once
		q.do(func() {
			q.listed, q.rush = true, false
			for parent := range q.parked {
				q.unpark(parent)
			}
		})
		if whole {
			return
		}
		again.Reset(relist)
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// list tells the scheduler what is in the spool, in batches, and reports whether all of it could be read; what is
// damaged has been set aside. New mail is tried meanwhile.
func (q *Queue) list(ctx context.Context) (whole bool) {
	var batch []spool.Summary
	flush := func() {
		b := batch
		q.do(func() {
			for _, s := range b {
				q.add(s)
			}
		})
		batch = nil
	}
	whole = true
	for s, err := range q.store.List(ctx) {
		if ctx.Err() != nil {
			return true
		}
		if err != nil {
			q.options().Log.Error("a message cannot be read", "err", err)
			whole = whole && errors.Is(err, spool.ErrCorrupt)
			continue
		}
		if batch = append(batch, s); len(batch) == 256 {
			flush()
		}
	}
	flush()
	return whole
}

// do has f executed by the goroutine of Run, and reports whether it was.
func (q *Queue) do(f func()) bool {
	done := make(chan struct{})
	select {
	case q.calls <- func() { f(); close(done) }:
		<-done
		return true
	case <-q.ended:
		return false
	}
}

// item is one message in the scheduler.
type item struct {
	id     spool.ID
	parent spool.ID
	dest   *dest
	from   origin
	next   time.Time
	round  time.Time // when the try began whose other destinations still wait for a slot; else zero
	pos    int32     // in the heap; -1 elsewhere
	state  state
	again  bool // asked for while it was being tried
	// bouncing: a failure is not reported yet, so the bounces that name this message as parent have to wait.
	bouncing bool
}

type state uint8

const (
	idle    state = iota // held, or waiting for a queue run
	waiting              // for its time
	ready                // for a slot
	parked               // for its parent
	working
)

// add takes a message that has been committed or listed.
func (q *Queue) add(s spool.Summary) {
	if q.items[s.ID] != nil {
		return
	}
	d, opt := q.current()
	it := &item{id: s.ID, parent: s.Parent, pos: -1, bouncing: s.Bouncing}
	q.items[s.ID] = it
	it.from = origin{uid: int32(s.UID), sender: uint32(maphash.String(q.seed, s.Sender))}
	it.dest = q.dest(d.Key(s.Sender, s.Rcpt))
	it.dest.refs++
	now := opt.Now()
	_, early := q.early[s.ID]
	delete(q.early, s.ID)
	switch {
	case early:
		q.makeReady(it) // whatever is said of it: that is from before it was asked for
	case s.Held, s.Queued && s.Tries == 0 && !q.once && !q.rush:
		it.state = idle
	case s.Bouncing, q.once, q.rush, s.Next.IsZero(), !s.Next.After(now):
		q.makeReady(it)
	default:
		// A wait longer than the longest interval comes from a clock that was wrong.
		q.makeWait(it, now.Add(min(s.Next.Sub(now), opt.Retry[len(opt.Retry)-1]*5/4)))
	}
}

func (q *Queue) makeWait(it *item, next time.Time) {
	it.state, it.next = waiting, next
	heap.Push(&q.waiting, it)
}

// makeReady puts it in the line of its destination, unless its parent has to be finished first.
func (q *Queue) makeReady(it *item) {
	if it.parent != "" && q.blocked(it.parent) {
		it.state = parked
		q.parked[it.parent] = append(q.parked[it.parent], it)
		return
	}
	it.state = ready
	it.dest.line.push(it)
	q.offer(it.dest)
}

// blocked reports whether bounces that speak of parent have to wait.
func (q *Queue) blocked(parent spool.ID) bool {
	if !q.listed {
		return true
	}
	p := q.items[parent]
	return p != nil && (p.state == working || p.bouncing)
}

func (q *Queue) unpark(parent spool.ID) {
	if q.blocked(parent) {
		return
	}
	children := q.parked[parent]
	delete(q.parked, parent)
	for _, it := range children {
		if q.items[it.id] == it && it.state == parked {
			q.makeReady(it)
		}
	}
}

// wake makes ready what is due.
func (q *Queue) wake() {
	now := q.options().Now()
	q.resume(now)
	if q.once {
		return
	}
	if now.Sub(q.tidied) > time.Minute {
		q.tidied = now
		for _, d := range q.dests {
			q.tidy(d)
		}
	}
	for len(q.waiting) > 0 && !q.waiting[0].next.After(now) {
		q.makeReady(heap.Pop(&q.waiting).(*item))
	}
}

// sleep is how long nothing is due. It is bounded, so that a clock that steps is noticed.
func (q *Queue) sleep() time.Duration {
	now, least := q.options().Now(), time.Minute
	if len(q.paced) > 0 {
		least = min(least, q.nextPaced.Sub(now))
	}
	if len(q.waiting) > 0 && !q.once {
		least = min(least, q.waiting[0].next.Sub(now))
	}
	return max(0, least)
}

// forget drops a message that has left the spool.
func (q *Queue) forget(it *item) {
	if q.items[it.id] != it {
		return
	}
	if it.pos >= 0 {
		heap.Remove(&q.waiting, int(it.pos))
	}
	delete(q.items, it.id)
	it.state = idle
	q.unref(it.dest)
	q.unpark(it.id)
}

// after is the wait before the next try of a message that has been tried n times: jittered, so that messages
// deferred together do not come back together.
func (o Options) after(n int) time.Duration {
	d := o.Retry[min(max(n, 0), len(o.Retry)-1)]
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// byTime is a heap of waiting messages.
type byTime []*item

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = int32(i), int32(j)
}
func (h *byTime) Push(x any) {
	it := x.(*item)
	it.pos = int32(len(*h))
	*h = append(*h, it)
}
func (h *byTime) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	it.pos = -1
	*h = old[:len(old)-1]
	return it
}
