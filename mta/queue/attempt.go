package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"signpost/spool"
)

// work claims a message for which a slot of d is held, tries what can be tried now, and hands the message back to
// the scheduler.
func (q *Queue) work(ctx context.Context, it *item, d *dest) {
	t := &try{q: q, it: it, slot: d}
	t.d, t.opt = q.current()
	t.goesOn = !it.round.IsZero()
	if t.round = it.round; !t.goesOn {
		t.round = t.opt.Now()
	}
	end := fate{bouncing: it.bouncing, next: t.opt.Now().Add(t.opt.Retry[len(t.opt.Retry)-1])}
	t.guard(func() { end = t.run(ctx) })
	if t.slot != nil {
		q.giveBack(t.slot, nil, time.Time{})
	}
	q.do(func() { q.settled(it, end) })
}

// guard takes a panic for trouble of this message alone: it waits, the others go on.
func (t *try) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			t.opt.Log.Error("an error of this program: the message waits", "id", t.it.id, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// fate is what becomes of a message after a try.
type fate struct {
	gone     bool
	idle     bool // held
	bouncing bool
	key      string    // destination to wait for; empty: as before
	next     time.Time // zero: ready at once
	round    time.Time // when this try began, where it goes on with other destinations
}

// settled puts a message where it belongs after a try.
func (q *Queue) settled(it *item, end fate) {
	delete(q.busy, it.id)
	if q.items[it.id] != it {
		q.unpark(it.id) // an administrator removed it a moment ago, and it has been forgotten
		return
	}
	it.state, it.bouncing = idle, end.bouncing
	again := it.again
	it.again, it.round = false, end.round
	if end.gone {
		q.forget(it)
		return
	}
	if end.key != "" && end.key != it.dest.key {
		old := it.dest
		it.dest = q.dest(end.key)
		it.dest.refs++
		q.unref(old)
	}
	switch {
	case end.idle && !again:
	case end.next.IsZero() || again:
		q.makeReady(it)
	default:
		q.makeWait(it, end.next)
	}
	q.unpark(it.id)
}

// try is one try of one message.
type try struct {
	q    *Queue
	it   *item
	d    Deliverer
	opt  Options
	slot *dest // held from the start; nil once given back
	c    spool.Claim

	round  time.Time // when this try began, with its earlier parts
	goesOn bool      // it has earlier parts: destinations for which there was a slot at once

	mu        sync.Mutex // guards what follows while groups are tried side by side
	env       spool.Envelope
	told      map[int]bool // recipients whose last result Note has been told of
	scheduled bool         // the next time is on record
	removed   bool
	lost      bool // a result could not be put on record
}

func (t *try) run(ctx context.Context) fate {
	c, err := t.q.store.Claim(ctx, t.it.id)
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return fate{gone: true}
	case errors.Is(err, spool.ErrCorrupt):
		t.opt.Log.Error("message is damaged and was set aside", "id", t.it.id, "err", err)
		t.opt.Note(Event{ID: t.it.id, What: "damaged", Gone: true})
		return fate{gone: true}
	case errors.Is(err, spool.ErrClaimed):
		return fate{bouncing: t.it.bouncing, next: t.opt.Now().Add(time.Second)} // an administrator's command has it
	case err != nil:
		t.opt.Log.Error("message cannot be claimed", "id", t.it.id, "err", err)
		return fate{bouncing: t.it.bouncing, next: t.opt.Now().Add(time.Minute)}
	}
	t.c, t.env = c, c.Envelope()
	defer c.Release()
	if t.env.Held != "" {
		return fate{idle: true, bouncing: len(t.unreportedFailures()) > 0}
	}
	if err := t.report(ctx); err != nil {
		return t.unreported(err)
	}
	if !t.expand(ctx) {
		return t.finish(ctx, nil)
	}
	waiting := t.groups(ctx)
	return t.finish(ctx, waiting)
}

// expand replaces aliases, durably, before anything is sent, and reports whether something may be. What does not change
// need not be written.
func (t *try) expand(ctx context.Context) bool {
	rcpts := t.d.Expand(ctx, t.c)
	if slices.EqualFunc(rcpts, t.env.Rcpts, sameRcpt) {
		return true
	}
	if err := t.c.Expand(rcpts); err != nil {
		t.unexpanded(ctx, rcpts, err)
		return false
	}
	before := t.env.Rcpts
	t.env = t.c.Envelope()
	var ended []int
	for i, r := range t.env.Rcpts {
		if r.Settled() && (i >= len(before) || !before[i].Settled()) {
			ended = append(ended, i)
		}
	}
	t.note(ended)
	return true
}

// unexpanded settles a message whose aliases could not be put on record: names that stand for too many fail, other
// trouble passes.
func (t *try) unexpanded(ctx context.Context, rcpts []spool.Recipient, err error) {
	res := spool.ResultOf(fmt.Errorf("recording what aliases stand for: %w", err), t.opt.Now())
	idx := t.pending()
	if errors.Is(err, spool.ErrTooBig) {
		res.Status, res.Detail = spool.Status{Class: 5, Subject: 2, Detail: 4}, "the name stands for too many recipients"
		idx = slices.DeleteFunc(idx, func(i int) bool { return sameRcpt(rcpts[i], t.env.Rcpts[i]) })
	}
	rep := Report{Results: make([]spool.Result, len(idx))}
	for i := range rep.Results {
		rep.Results[i] = res
	}
	t.settle(ctx, idx, rep, t.opt.Now(), false)
}

func sameRcpt(a, b spool.Recipient) bool {
	same := (a.Sender == nil) == (b.Sender == nil) && (a.Sender == nil || *a.Sender == *b.Sender)
	a.Sender, b.Sender = nil, nil
	return same && a == b
}

// pending lists the recipients that are not settled.
func (t *try) pending() []int {
	var idx []int
	for i, r := range t.env.Rcpts {
		if !r.Settled() {
			idx = append(idx, i)
		}
	}
	return idx
}

func (t *try) sender(r spool.Recipient) string {
	if r.Sender != nil {
		return *r.Sender
	}
	return t.env.Sender
}

// groups tries the recipients of all destinations for which there is a slot, side by side, and returns a
// destination that is still to be tried.
func (t *try) groups(ctx context.Context) (waiting []string) {
	byKey := make(map[string][]int)
	var keys []string
	for _, i := range t.pending() {
		if last := t.env.Rcpts[i].Last; t.goesOn && last.Outcome() == spool.Deferred && !last.At.Before(t.round) {
			continue // by an earlier part
		}
		k := t.d.Key(t.sender(t.env.Rcpts[i]), t.env.Rcpts[i])
		if byKey[k] == nil {
			keys = append(keys, k)
		}
		byKey[k] = append(byKey[k], i)
	}
	slots := make(map[string]*dest)
	if t.slot != nil && byKey[t.slot.key] != nil {
		slots[t.slot.key] = t.slot
	} else if t.slot != nil {
		t.q.giveBack(t.slot, nil, time.Time{})
	}
	t.slot = nil
	if len(keys) > len(slots) {
		var others []string
		for _, k := range keys {
			if slots[k] == nil {
				others = append(others, k)
			}
		}
		for k, d := range t.q.slots(others) {
			slots[k] = d
		}
	}
	var running sync.WaitGroup
	for _, k := range keys {
		d := slots[k]
		if d == nil {
			waiting = append(waiting, k)
			continue
		}
		if len(slots) == 1 {
			t.group(ctx, d, byKey[k], len(keys) == 1)
			continue
		}
		running.Go(func() { t.guard(func() { t.group(ctx, d, byKey[k], false) }) })
	}
	running.Wait()
	return waiting
}

// group tries the recipients of one destination and gives its slot back. alone says that they are all that is left.
func (t *try) group(ctx context.Context, d *dest, idx []int, alone bool) {
	began := t.opt.Now()
	rcpts := make([]spool.Recipient, len(idx))
	for i, n := range idx {
		rcpts[i] = t.env.Rcpts[n]
	}
	if reason, dead := t.q.dead(d); dead {
		t.q.giveBack(d, nil, time.Time{})
		t.settle(ctx, idx, suspended(reason, len(idx), began), began, alone)
		return
	}
	rep := t.deliver(ctx, rcpts)
	t.q.giveBack(d, &rep, began)
	t.settle(ctx, idx, rep, began, alone)
}

// deliver asks the Deliverer, and takes a panic for a temporary failure of this message alone.
func (t *try) deliver(ctx context.Context, rcpts []spool.Recipient) (rep Report) {
	defer func() {
		if p := recover(); p != nil {
			t.opt.Log.Error("delivery failed by an error of this program", "id", t.it.id, "panic", p)
			rep = Report{}
		}
		for len(rep.Results) < len(rcpts) {
			rep.Results = append(rep.Results, spool.Result{Status: spool.Status{Class: 4, Subject: 3, Detail: 0},
				Detail: "the delivery ended without a result", At: t.opt.Now()})
		}
		for i := range rep.Results {
			if rep.Results[i].Status == spool.StatusExpired { // ours alone to give
				rep.Results[i].Status = spool.Status{Class: 4, Subject: 4, Detail: 0}
			}
		}
	}()
	return t.d.Deliver(ctx, t.c, rcpts)
}

// suspended is the report for a destination that did not answer a moment ago.
func suspended(reason spool.Result, n int, now time.Time) Report {
	reason.At = now
	rep := Report{Results: make([]spool.Result, n), Story: []string{"not tried: the destination did not answer a moment ago"}}
	for i := range rep.Results {
		rep.Results[i] = reason
	}
	return rep
}

// settle puts the results of one group on record. Where the group was all that is left, and all of it has been
// delivered, the removal of the message is the record.
func (t *try) settle(ctx context.Context, idx []int, rep Report, began time.Time, alone bool) {
	now := t.opt.Now()
	results := make([]spool.RcptResult, len(idx))
	tried := make([]spool.Recipient, len(idx))
	t.mu.Lock()
	before := t.env
	before.Rcpts = slices.Clone(t.env.Rcpts)
	t.expire(rep.Results)
	for i, n := range idx {
		rep.Results[i] = shortened(rep.Results[i], now)
		results[i] = spool.RcptResult{Rcpt: n, Result: rep.Results[i]}
		t.env.Rcpts[n].Last = rep.Results[i]
		tried[i] = t.env.Rcpts[n]
		t.tell(n)
	}
	remove := alone && t.delivered()
	var next time.Time
	if alone && len(t.pending()) > 0 {
		next = now.Add(t.opt.after(t.env.Tries))
		t.env.Next, t.scheduled = next, true
	}
	t.mu.Unlock()
	ev := Event{ID: t.it.id, Envelope: before, Size: t.c.Size(), Rcpts: tried, Report: rep, Began: began, Next: next, What: "attempt"}
	if remove {
		ev.Gone = t.gone(ctx)
	} else {
		t.record(ctx, results, next)
	}
	t.opt.Note(ev)
}

// A result on record has this many octets of each text at most; the answers of thousands of recipients have to fit into
// one record, and into memory.
const (
	maxText    = 2 << 10
	maxResults = 4000 // of one record
)

func shortened(r spool.Result, now time.Time) spool.Result {
	r.At = now
	r.Reply = r.Reply[:min(len(r.Reply), maxText)]
	r.Detail = r.Detail[:min(len(r.Detail), maxText)]
	return r
}

// record puts results on record, in pieces of which only the last one ends the try.
func (t *try) record(ctx context.Context, results []spool.RcptResult, next time.Time) {
	for len(results) > maxResults {
		part := results[:maxResults]
		if !t.persist(ctx, func() error { return t.c.Record(part, time.Time{}) }) {
			return
		}
		results = results[maxResults:]
	}
	t.persist(ctx, func() error { return t.c.Record(results, next) })
}

// expire gives up recipients that are deferred once more after the message's time is over. It is called after a
// real try only, so that a clock that jumps does not bounce what was never tried.
func (t *try) expire(results []spool.Result) {
	if t.opt.Now().Before(t.deadline()) {
		return
	}
	for i := range results {
		if results[i].Outcome() == spool.Deferred {
			results[i].Status = spool.StatusExpired
		}
	}
}

// deadline is when the message is given up.
func (t *try) deadline() time.Time {
	if t.env.Sender == "" {
		return t.env.Arrived.Add(t.opt.Bounces)
	}
	return t.env.Arrived.Add(t.opt.Expire)
}

// delivered reports whether every recipient got the message, so that nothing has to be told to anybody.
func (t *try) delivered() bool {
	for _, r := range t.env.Rcpts {
		if !r.Settled() || r.Last.Outcome().Bad() && !r.Bounced {
			return false
		}
	}
	return true
}

// finish reports failures, and decides what becomes of the message.
func (t *try) finish(ctx context.Context, waiting []string) fate {
	if t.lost {
		// What is not on record stays in doubt: neither tried again nor forgotten until a restart.
		return fate{idle: true, bouncing: true}
	}
	if t.removed {
		return fate{gone: true}
	}
	if err := t.report(ctx); err != nil {
		return t.unreported(err)
	}
	if len(t.pending()) == 0 {
		return fate{gone: t.done(ctx)}
	}
	if len(waiting) > 0 {
		return fate{key: waiting[0], round: t.round}
	}
	if !t.scheduled {
		t.env.Next = t.opt.Now().Add(t.opt.after(t.env.Tries))
		t.persist(ctx, func() error { return t.c.Record(nil, t.env.Next) })
	}
	t.warn(ctx)
	first := t.env.Rcpts[t.pending()[0]]
	return fate{key: t.d.Key(t.sender(first), first), next: t.env.Next}
}

// done removes a message of which nothing is left to do after its last attempt has been told of.
func (t *try) done(ctx context.Context) bool {
	ok := t.gone(ctx)
	if ok {
		t.opt.Note(Event{ID: t.it.id, Envelope: t.env, Size: t.c.Size(), What: "done", Gone: true})
	}
	return ok
}

// gone removes the message.
func (t *try) gone(ctx context.Context) bool {
	ok := t.persist(ctx, t.c.Remove)
	t.mu.Lock()
	t.removed = ok
	t.mu.Unlock()
	return ok
}

func (t *try) unreportedFailures() []int {
	var bad []int
	for i, r := range t.env.Rcpts {
		if r.Last.Outcome().Bad() && !r.Bounced {
			bad = append(bad, i)
		}
	}
	return bad
}

// report tells the sender of failures that are on record and not reported.
func (t *try) report(ctx context.Context) error {
	bad := t.unreportedFailures()
	if len(bad) == 0 {
		return nil
	}
	t.note(bad)
	if err := t.d.Bounce(ctx, t.c, bad); err != nil {
		return err
	}
	if err := t.c.Bounced(bad); err != nil {
		return err
	}
	for _, i := range bad {
		t.env.Rcpts[i].Bounced = true
	}
	return nil
}

// note tells of recipients that are settled without having been tried (they came with a failure, or there is no such
// user), so that they are in the log like any other.
func (t *try) note(idx []int) {
	var rcpts []spool.Recipient
	for _, i := range idx {
		if !t.told[i] {
			rcpts = append(rcpts, t.env.Rcpts[i])
			t.tell(i)
		}
	}
	if len(rcpts) > 0 {
		t.opt.Note(Event{ID: t.it.id, Envelope: t.env, Size: t.c.Size(), Rcpts: rcpts, Began: t.opt.Now(), What: "attempt"})
	}
}

func (t *try) tell(i int) {
	if t.told == nil {
		t.told = make(map[int]bool)
	}
	t.told[i] = true
}

// unreported leaves a message whose failure could not be told for a later try.
func (t *try) unreported(err error) fate {
	t.opt.Log.Error("a failure cannot be reported to the sender yet", "id", t.it.id, "err", err)
	return fate{bouncing: true, next: t.opt.Now().Add(time.Minute)}
}

// warn sends the delay notice, once.
func (t *try) warn(ctx context.Context) {
	if t.opt.Warning == 0 || t.env.Warned || t.env.Sender == "" || t.opt.Now().Before(t.env.Arrived.Add(t.opt.Warning)) {
		return
	}
	late := t.pending()
	if err := t.d.Warn(ctx, t.c, late, t.deadline()); err != nil {
		t.opt.Log.Error("a delay notice cannot be written", "id", t.it.id, "err", err)
		return
	}
	if err := t.c.Warned(); err != nil {
		t.opt.Log.Error("a delay notice cannot be recorded", "id", t.it.id, "err", err)
	}
}

// persist puts something on record, trying again for as long as the spool refuses (full, read-only); meanwhile
// nothing new is started. Once the disk has not confirmed a record nothing that it says is believed, until the daemon
// has been started anew: the message stays in doubt.
func (t *try) persist(ctx context.Context, record func() error) bool {
	err := record()
	if err == nil {
		return true
	}
	t.opt.Log.Error("the outcome of an attempt cannot be recorded; nothing new is tried until it can", "id", t.it.id, "err", err)
	t.q.do(func() { t.q.stalled++ })
	for wait := time.Second; err != nil; wait = min(2*wait, 30*time.Second) {
		retry := time.NewTimer(wait)
		if errors.Is(err, syscall.EIO) || errors.Is(err, spool.ErrUnsafe) {
			retry.Stop()
			t.opt.Log.Error("the disk did not confirm an outcome: look after it, then restart the daemon", "id", t.it.id)
		}
		select {
		case <-ctx.Done():
			retry.Stop()
			t.mu.Lock()
			t.lost = true
			t.mu.Unlock()
			t.opt.Log.Error("stopped with an outcome that is not on record: the message may be delivered twice", "id", t.it.id)
			return false
		case <-retry.C:
			err = record()
		}
	}
	t.q.do(func() { t.q.stalled-- })
	t.opt.Log.Info("outcomes can be recorded again", "id", t.it.id)
	return true
}
