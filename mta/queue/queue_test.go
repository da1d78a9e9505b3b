package queue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"signpost/spool"
)

// memory is a Store without a disk.
type memory struct {
	mu      sync.Mutex
	msgs    map[spool.ID]*stored
	watch   chan spool.Summary
	refuse  func(op string) error // injected faults; nil: none
	slow    func(op string)       // called before anything changes; nil: nothing is
	removed []spool.ID
	claims  int // at this moment
	most    int
}

type stored struct {
	env     spool.Envelope
	claimed bool
}

func newMemory() *memory {
	return &memory{msgs: make(map[spool.ID]*stored), watch: make(chan spool.Summary, 100000)}
}

func (m *memory) summary(id spool.ID, s *stored) spool.Summary {
	sum := spool.Summary{ID: id, Next: s.env.Next, Arrived: s.env.Arrived, Sender: s.env.Sender, UID: s.env.Origin.UID, Parent: s.env.Parent,
		Held: s.env.Held != "", Queued: s.env.Queued, Tries: s.env.Tries}
	for _, r := range s.env.Rcpts {
		sum.Bouncing = sum.Bouncing || r.Last.Outcome().Bad() && !r.Bounced
		if !r.Settled() && sum.Rcpt.Addr == "" {
			sum.Rcpt = r
		}
	}
	return sum
}

func (m *memory) put(id spool.ID, env spool.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.msgs[id] = &stored{env: env}
	m.watch <- m.summary(id, m.msgs[id])
}

// load puts a message in the store as if it had been there before the start.
func (m *memory) load(id spool.ID, env spool.Envelope) { m.msgs[id] = &stored{env: env} }

func (m *memory) envelope(id spool.ID) (spool.Envelope, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.msgs[id]
	if s == nil {
		return spool.Envelope{}, false
	}
	return s.env, true
}

func (m *memory) Create(context.Context, spool.ID) (spool.Writer, error) { panic("not used") }

func (m *memory) List(context.Context) iter.Seq2[spool.Summary, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []spool.Summary
	for id, s := range m.msgs {
		all = append(all, m.summary(id, s))
	}
	slices.SortFunc(all, func(a, b spool.Summary) int { return cmp.Compare(a.ID, b.ID) })
	return func(yield func(spool.Summary, error) bool) {
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (m *memory) Watch(context.Context) (<-chan spool.Summary, error) { return m.watch, nil }

func (m *memory) Claim(_ context.Context, id spool.ID) (spool.Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.msgs[id]
	if s == nil {
		return nil, spool.ErrNotFound
	}
	if s.claimed {
		return nil, spool.ErrClaimed
	}
	s.claimed = true
	m.claims++
	m.most = max(m.most, m.claims)
	return &claim{m, id, s}, nil
}

type claim struct {
	m  *memory
	id spool.ID
	s  *stored
}

func (c *claim) change(op string, f func()) error {
	if c.m.slow != nil {
		c.m.slow(op)
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if c.m.refuse != nil {
		if err := c.m.refuse(op); err != nil {
			return err
		}
	}
	f()
	return nil
}

func (c *claim) ID() spool.ID { return c.id }
func (c *claim) Size() int64  { return 2 }
func (c *claim) Envelope() spool.Envelope {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	env := c.s.env
	env.Rcpts = slices.Clone(env.Rcpts)
	return env
}
func (c *claim) Open() (io.ReadSeekCloser, error) {
	return struct {
		*bytes.Reader
		io.Closer
	}{bytes.NewReader([]byte("\r\n")), io.NopCloser(nil)}, nil
}
func (c *claim) Record(rs []spool.RcptResult, next time.Time) error {
	return c.change("record", func() {
		for _, r := range rs {
			c.s.env.Rcpts[r.Rcpt].Last = r.Result
		}
		if !next.IsZero() {
			c.s.env.Next = next
			c.s.env.Tries++
		}
	})
}
func (c *claim) Expand(rcpts []spool.Recipient) error {
	return c.change("expand", func() { c.s.env.Rcpts, c.s.env.Started = rcpts, true })
}
func (c *claim) Bounced(idx []int) error {
	return c.change("bounced", func() {
		for _, i := range idx {
			c.s.env.Rcpts[i].Bounced = true
		}
	})
}
func (c *claim) Warned() error            { return c.change("warned", func() { c.s.env.Warned = true }) }
func (c *claim) Hold(reason string) error { return c.change("hold", func() { c.s.env.Held = reason }) }
func (c *claim) Remove() error {
	return c.change("remove", func() {
		delete(c.m.msgs, c.id)
		c.m.removed = append(c.m.removed, c.id)
	})
}
func (c *claim) Release() error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if c.s.claimed {
		c.s.claimed = false
		c.m.claims--
	}
	return nil
}

// script is a Deliverer that does what the test says. Destinations are domains.
type script struct {
	mu       sync.Mutex
	answer   func(ctx context.Context, domain string, n int, r spool.Recipient) spool.Result // n counts the attempts at r
	tried    map[string][]time.Time
	calls    int
	dead     bool
	bounced  []string // "id: addr, addr"
	warned   []string
	rate     Rate
	onBounce func(c spool.Claim) error
	expand   func(spool.Recipient) []spool.Recipient
}

func domain(addr string) string { return addr[strings.LastIndexByte(addr, '@')+1:] }

func (s *script) Key(_ string, r spool.Recipient) string { return domain(r.Addr) }

func (s *script) Limit(string) int { return 0 }

func (s *script) Rate(string) Rate { return s.rate }

func (s *script) Expand(_ context.Context, c spool.Claim) []spool.Recipient {
	rcpts := c.Envelope().Rcpts
	if s.expand == nil || c.Envelope().Started {
		return rcpts
	}
	var out []spool.Recipient
	for _, r := range rcpts {
		out = append(out, s.expand(r)...)
	}
	return out
}

func (s *script) Deliver(ctx context.Context, _ spool.Claim, rcpts []spool.Recipient) Report {
	s.mu.Lock()
	s.calls++
	if s.tried == nil {
		s.tried = make(map[string][]time.Time)
	}
	s.mu.Unlock()
	var rep Report
	for _, r := range rcpts {
		s.mu.Lock()
		s.tried[r.Addr] = append(s.tried[r.Addr], time.Now())
		n, answer := len(s.tried[r.Addr]), s.answer
		rep.Dead = s.dead
		s.mu.Unlock()
		rep.Results = append(rep.Results, answer(ctx, domain(r.Addr), n, r))
	}
	return rep
}

func (s *script) Bounce(_ context.Context, c spool.Claim, idx []int) error {
	if s.onBounce != nil {
		if err := s.onBounce(c); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounced = append(s.bounced, string(c.ID())+": "+names(c, idx))
	return nil
}

func (s *script) Warn(_ context.Context, c spool.Claim, idx []int, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warned = append(s.warned, fmt.Sprintf("%s: %s until %s", c.ID(), names(c, idx), until.Sub(c.Envelope().Arrived)))
	return nil
}

// reports is what Bounce was asked to tell so far.
func (s *script) reports() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bounced)
}

// attempts is how often a recipient was tried so far; deliveries, how often Deliver was called.
func (s *script) attempts(addr string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tried[addr])
}

func (s *script) deliveries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func names(c spool.Claim, idx []int) string {
	var out []string
	for _, i := range idx {
		out = append(out, c.Envelope().Rcpts[i].Addr)
	}
	return strings.Join(out, ", ")
}

var (
	sent      = spool.Result{Status: spool.Status{Class: 2}}
	try450    = spool.Result{Status: spool.Status{Class: 4, Subject: 7, Detail: 1}, Reply: "450 later", Remote: "mx[192.0.2.1]:25"}
	no550     = spool.Result{Status: spool.Status{Class: 5, Subject: 1, Detail: 1}, Reply: "550 no", Remote: "mx[192.0.2.1]:25"}
	noAnswer  = spool.Result{Status: spool.Status{Class: 4, Subject: 4, Detail: 1}, Detail: "no answer"}
	everybody = func(r spool.Result) func(context.Context, string, int, spool.Recipient) spool.Result {
		return func(context.Context, string, int, spool.Recipient) spool.Result { return r }
	}
)

func message(addrs ...string) spool.Envelope {
	env := spool.Envelope{Sender: "ann@host.example", Arrived: time.Now()}
	for _, a := range addrs {
		env.Rcpts = append(env.Rcpts, spool.Recipient{Addr: a})
	}
	return env
}

// start runs a queue in the bubble; the returned function stops it and waits.
func start(t *testing.T, q *Queue) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// pass lets fake time go by, and then what it brings about.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestFreshMessageIsDeliveredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(sent)}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("bob@one.example"))
		synctest.Wait()
		if _, there := m.envelope("A"); there || s.attempts("bob@one.example") != 1 {
			t.Errorf("still there: %v, tried %v", there, s.tried)
		}
	})
}

func TestGreylistedMessageComesBackAfterTheFirstInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{answer: func(_ context.Context, _ string, n int, _ spool.Recipient) spool.Result {
			if n < 3 {
				return try450
			}
			return sent
		}}
		stop := start(t, New(m, s, Options{Retry: []time.Duration{time.Minute, 5 * time.Minute}}))
		defer stop()
		m.put("A", message("bob@one.example"))
		pass(10 * time.Minute)
		at := s.tried["bob@one.example"]
		if len(at) != 3 {
			t.Fatalf("tried %d times, want 3", len(at))
		}
		for i, want := range []time.Duration{time.Minute, 5 * time.Minute} {
			if got := at[i+1].Sub(at[i]); got < want*9/10 || got > want*11/10 {
				t.Errorf("wait %d is %v, want %v give or take a tenth", i+1, got, want)
			}
		}
		if _, there := m.envelope("A"); there {
			t.Error("the delivered message is still there")
		}
	})
}

func TestFailureIsBouncedOnceAndTheMessageGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{answer: func(_ context.Context, d string, _ int, _ spool.Recipient) spool.Result {
			if d == "bad.example" {
				return no550
			}
			return sent
		}}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("bob@bad.example", "carol@good.example", "dave@bad.example"))
		synctest.Wait()
		if want := []string{"A: bob@bad.example, dave@bad.example"}; !slices.Equal(s.reports(), want) {
			t.Errorf("bounced %q, want %q", s.reports(), want)
		}
		if _, there := m.envelope("A"); there {
			t.Error("the message is still there")
		}
	})
}

func TestFailureThatCannotBeReportedIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{answer: everybody(no550)}
		var full atomic.Bool
		full.Store(true)
		s.onBounce = func(spool.Claim) error {
			if full.Load() {
				return spool.ErrNoSpace
			}
			return nil
		}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("bob@bad.example"))
		pass(30 * time.Second)
		if env, there := m.envelope("A"); !there || env.Rcpts[0].Bounced {
			t.Fatalf("there %v, %+v", there, env)
		}
		full.Store(false)
		pass(2 * time.Minute)
		if _, there := m.envelope("A"); there || len(s.reports()) != 1 || s.deliveries() != 1 {
			t.Errorf("there %v, bounced %q, deliveries %d", there, s.reports(), s.deliveries())
		}
	})
}

func TestBounceWaitsForTheRecordOfItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var order []string
		s := &script{answer: func(_ context.Context, d string, _ int, r spool.Recipient) spool.Result {
			if d == "bad.example" {
				return no550
			}
			env, there := m.envelope("A")
			order = append(order, fmt.Sprintf("bounce sent; parent there %v, recorded %v", there, there && env.Rcpts[0].Bounced))
			return sent
		}}
		s.onBounce = func(c spool.Claim) error {
			b := message("ann@host.example")
			b.Sender, b.Parent = "", c.ID()
			m.put("B", b)
			time.Sleep(time.Minute) // the scheduler has seen it by now
			order = append(order, "bounce committed")
			return nil
		}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("bob@bad.example"))
		pass(2 * time.Minute)
		if len(order) != 2 || order[0] != "bounce committed" || order[1] == "bounce sent; parent there true, recorded false" {
			t.Errorf("order %q", order)
		}
	})
}

func TestUnfinishedFailureIsReportedBeforeItsBounceAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		parent := message("bob@bad.example")
		parent.Rcpts[0].Last = no550
		parent.Next = time.Now().Add(time.Hour)
		bounce := message("ann@host.example")
		bounce.Sender, bounce.Parent = "", "Z"
		m.load("Z", parent) // listed behind its bounce
		m.load("B", bounce)
		s := &script{}
		s.answer = func(context.Context, string, int, spool.Recipient) spool.Result {
			if len(s.reports()) != 1 {
				t.Error("the bounce went out before the failure was on record")
			}
			return sent
		}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		synctest.Wait()
		if len(m.removed) != 2 || m.removed[0] != "Z" {
			t.Errorf("removed %q, want the parent, then the bounce", m.removed)
		}
	})
}

func TestExpiryNeedsAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(try450)}
		old := message("bob@one.example")
		old.Arrived = time.Now().AddDate(-10, 0, 0) // a clock that was wrong
		old.Next = time.Now().AddDate(10, 0, 0)
		m.load("A", old)
		stop := start(t, New(m, s, Options{Retry: []time.Duration{time.Hour}, Expire: 24 * time.Hour}))
		defer stop()
		synctest.Wait()
		if len(s.reports()) != 0 {
			t.Fatal("bounced before it was tried")
		}
		pass(2 * time.Hour) // the wait of ten years counts as the longest interval
		if s.attempts("bob@one.example") != 1 || len(s.reports()) != 1 {
			t.Errorf("tried %v, bounced %q", s.tried, s.reports())
		}
	})
}

func TestExpiryAndDelayNoticeOfAFiveDayQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(try450)}
		var last spool.Result
		stop := start(t, New(m, s, Options{
			Retry:   []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour},
			Warning: 4 * time.Hour,
			Note: func(e Event) {
				if e.What == "attempt" {
					last = e.Rcpts[0].Last
				}
			},
		}))
		defer stop()
		m.put("A", message("bob@one.example"))
		pass(6 * 24 * time.Hour)
		if n := s.attempts("bob@one.example"); n < 30 || n > 45 {
			t.Errorf("tried %d times in five days", n)
		}
		if want := []string{"A: bob@one.example until 120h0m0s"}; !slices.Equal(s.warned, want) {
			t.Errorf("warned %q, want %q", s.warned, want)
		}
		if want := []string{"A: bob@one.example"}; !slices.Equal(s.reports(), want) {
			t.Errorf("bounced %q, want %q", s.reports(), want)
		}
		if last.Outcome() != spool.Expired || last.Reply != try450.Reply {
			t.Errorf("last result %+v, want expired with the remote's words", last)
		}
	})
}

func TestBlackHoleTakesNothingFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{answer: func(ctx context.Context, d string, _ int, _ spool.Recipient) spool.Result {
			if d == "hole.example" {
				<-ctx.Done()
				return noAnswer
			}
			return sent
		}}
		stop := start(t, New(m, s, Options{Workers: 30, Connections: 20}))
		defer stop()
		for i := range 2000 {
			m.put(spool.ID(fmt.Sprintf("H%04d", i)), message("bob@hole.example"))
		}
		m.put("X", message("carol@good.example"))
		synctest.Wait()
		if _, there := m.envelope("X"); there {
			t.Error("the message to the healthy destination waits")
		}
		if m.most > 21 {
			t.Errorf("%d messages were claimed at once", m.most)
		}
	})
}

// One destination with one slot, and a flood in front of what others hand in last.
func TestFloodDelaysNobodyElse(t *testing.T) {
	from := func(uid int, sender string) spool.Envelope {
		env := message("bob@one.example")
		env.Sender, env.Origin.UID = sender, uid
		return env
	}
	flood := map[string]func(i int) spool.Envelope{
		"of one sender":          func(int) spool.Envelope { return from(1001, "bulk@host.example") },
		"with a sender for each": func(i int) spool.Envelope { return from(1001, fmt.Sprintf("bulk+%d@host.example", i)) },
	}
	for name, bulk := range flood {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s := newMemory(), &script{answer: everybody(sent)}
				var order []spool.ID // guarded by the single worker
				opt := Options{Workers: 1, Connections: 1, Note: func(e Event) { order = append(order, e.ID) }}
				for i := range 2000 {
					m.put(spool.ID(fmt.Sprintf("F%04d", i)), bulk(i))
				}
				m.put("X1", from(1002, "ann@host.example"))
				m.put("X2", from(1002, "ann@host.example"))
				m.put("X3", from(1003, ""))
				stop := start(t, New(m, s, opt))
				synctest.Wait()
				stop()
				at := func(id spool.ID) int { return slices.Index(order, id) }
				// The flood has begun by the time that the scheduler hears of the others.
				if first := at("F1999"); at("X1") < 0 || at("X2") > first || len(order) != 2003 {
					t.Fatalf("%d messages, X1 is number %d and X2 number %d", len(order), at("X1"), at("X2"))
				}
				if behind := at("X2") - at("X1"); behind > 3 {
					t.Errorf("the second message of another user comes %d behind his first", behind)
				}
				if d := at("X3") - at("X1"); d > 2 || d < -2 {
					t.Errorf("the other users' messages are %d apart", d)
				}
			})
		})
	}
}

// A host that takes four connections at once, and says 421 to a fifth.
func TestRefusedConnectionsLowerTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var open, most, refused atomic.Int64
		busy := spool.Result{Status: spool.Status{Class: 4, Subject: 7}, Reply: "421 4.7.0 too many connections"}
		d := &crowded{}
		d.deliver = func() Report {
			defer open.Add(-1)
			if n := open.Add(1); n > 4 {
				refused.Add(1)
				return Report{Results: []spool.Result{busy}, Dead: true}
			} else if n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second) // of fake time
			return Report{Results: []spool.Result{sent}}
		}
		for i := range 400 {
			m.put(spool.ID(fmt.Sprintf("M%03d", i)), message("bob@one.example"))
		}
		began := time.Now()
		var ended, suspended atomic.Int64
		stop := start(t, New(m, d, Options{Connections: 20, Retry: []time.Duration{time.Minute}, Note: func(e Event) {
			ended.Store(time.Since(began).Nanoseconds())
			if len(e.Report.Story) > 0 {
				suspended.Add(1)
			}
		}}))
		pass(30 * time.Minute)
		stop()
		if left := len(m.msgs); left > 0 || suspended.Load() > 0 {
			t.Errorf("%d messages are left, %d were not tried", left, suspended.Load())
		}
		if took := time.Duration(ended.Load()); took > 200*time.Second {
			t.Errorf("400 messages of a second each, four at once, took %v", took)
		}
		if n := refused.Load(); n > 30 || most.Load() != 4 {
			t.Errorf("%d connections were refused, %d were open at most", n, most.Load())
		}
	})
}

// crowded is a script whose attempts are those of deliver.
type crowded struct {
	script
	deliver func() Report
}

func (c *crowded) Deliver(context.Context, spool.Claim, []spool.Recipient) Report { return c.deliver() }

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(sent), rate: Rate{Messages: 10, Per: time.Minute}}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		for i := range 100 {
			m.put(spool.ID(fmt.Sprintf("M%03d", i)), message("bob@one.example"))
		}
		m.put("both", message("bob@one.example", "carol@two.example"))
		synctest.Wait()
		if n := s.attempts("bob@one.example"); n != 10 {
			t.Errorf("%d tries at once, want 10", n)
		}
		for range 5 {
			before := s.attempts("bob@one.example")
			pass(time.Minute)
			if n := s.attempts("bob@one.example") - before; n != 10 {
				t.Errorf("%d tries in a minute, want 10", n)
			}
		}
		pass(5 * time.Minute)
		if len(m.msgs) > 0 || s.attempts("bob@one.example") != 101 || s.attempts("carol@two.example") != 1 {
			t.Errorf("%d messages are left, %d and %d tries", len(m.msgs), s.attempts("bob@one.example"), s.attempts("carol@two.example"))
		}
	})
}

func TestRateOfOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(sent), rate: Rate{Messages: 1, Per: time.Second}}
		for i := range 10 {
			m.load(spool.ID(fmt.Sprint(i)), message("bob@one.example"))
		}
		began := time.Now()
		if err := New(m, s, Options{}).RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); len(m.msgs) > 0 || took != 9*time.Second {
			t.Errorf("%d messages are left after %v", len(m.msgs), took)
		}
	})
}

func TestLine(t *testing.T) {
	of := func(uid int32, sender uint32, id spool.ID) *item {
		return &item{id: id, from: origin{uid, sender}, state: ready}
	}
	var l line
	removed := of(1, 1, "removed")
	for _, it := range []*item{of(1, 1, "a1"), of(1, 1, "a2"), removed, of(1, 1, "a3"), of(1, 2, "b1"), of(2, 1, "c1"), of(2, 1, "c2")} {
		l.push(it)
	}
	removed.state = idle
	var got []spool.ID
	for l.ready() {
		got = append(got, l.pop().id)
	}
	if want := []spool.ID{"a1", "c1", "b1", "c2", "a2", "a3"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if len(l.users) != 0 || l.turn.len() != 0 {
		t.Errorf("%d users are left in an empty line", len(l.users))
	}
}

func TestDestinationsOfOneMessageWithoutASlotWaitUnclaimedAndOthersAreNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		free := make(chan struct{})
		s := &script{answer: func(_ context.Context, d string, _ int, _ spool.Recipient) spool.Result {
			switch d {
			case "slow.example":
				<-free
				return sent
			case "grey.example":
				return try450
			}
			return sent
		}}
		stop := start(t, New(m, s, Options{Connections: 1, Retry: []time.Duration{time.Hour}}))
		defer stop()
		m.put("S", message("x@slow.example"))
		synctest.Wait()
		m.put("A", message("bob@grey.example", "carol@slow.example", "dave@good.example"))
		synctest.Wait()
		if m.claims != 1 {
			t.Errorf("%d messages are claimed, want only the slow one", m.claims)
		}
		env, _ := m.envelope("A")
		for i, want := range []spool.Outcome{spool.Deferred, spool.Pending, spool.Delivered} {
			if got := env.Rcpts[i].Last.Outcome(); got != want {
				t.Errorf("%s: %v, want %v", env.Rcpts[i].Addr, got, want)
			}
		}
		close(free)
		synctest.Wait()
		if n := s.attempts("carol@slow.example"); n != 1 {
			t.Errorf("carol was tried %d times", n)
		}
		if n := s.attempts("bob@grey.example"); n != 1 {
			t.Errorf("bob was tried %d times within one try of the message", n)
		}
		env, _ = m.envelope("A")
		if env.Tries != 1 {
			t.Errorf("%d tries counted, want 1", env.Tries)
		}
	})
}

func TestMessageStaysUntilAllItsDestinationsAreOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(sent)}
		var recording atomic.Int32
		m.slow = func(op string) {
			switch op {
			case "record":
				recording.Add(1)
				time.Sleep(time.Second)
				recording.Add(-1)
			case "remove":
				if recording.Load() > 0 {
					t.Error("removed while a result was being recorded")
				}
			}
		}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("bob@one.example", "carol@two.example", "dave@three.example"))
		pass(time.Minute)
		if _, there := m.envelope("A"); there {
			t.Error("the delivered message is still there")
		}
	})
}

func TestDeadDestinationCostsOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(noAnswer), dead: true}
		stop := start(t, New(m, s, Options{Connections: 1, Retry: []time.Duration{time.Hour}}))
		defer stop()
		for i := range 1000 {
			m.put(spool.ID(fmt.Sprintf("H%04d", i)), message("bob@dead.example"))
		}
		synctest.Wait()
		if s.deliveries() != 1 {
			t.Errorf("%d attempts, want 1", s.deliveries())
		}
		s.mu.Lock()
		s.dead, s.answer = false, everybody(sent)
		s.mu.Unlock()
		pass(90 * time.Minute)
		if len(m.removed) != 1000 {
			t.Errorf("%d delivered after it came back, want all", len(m.removed))
		}
	})
}

func TestHoldReleaseRetryDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(try450)}
		q := New(m, s, Options{Retry: []time.Duration{time.Hour}})
		stop := start(t, q)
		defer stop()
		m.put("A", message("bob@one.example"))
		synctest.Wait()
		if err := q.Hold(t.Context(), "A", "test"); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Hour)
		q.Retry("A")
		synctest.Wait()
		if n := s.attempts("bob@one.example"); n != 1 {
			t.Errorf("tried %d times while held", n)
		}
		if err := q.Release(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		q.Retry("A")
		synctest.Wait()
		if n := s.attempts("bob@one.example"); n != 3 {
			t.Errorf("tried %d times after release and retry, want 3", n)
		}
		if err := q.Delete(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		if q.Len() != 0 {
			t.Error("the deleted message is still scheduled")
		}
		if err := q.Delete(t.Context(), "A"); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
	})
}

func TestQueuedMessageWaitsForAQueueRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(sent)}
		q := New(m, s, Options{})
		stop := start(t, q)
		defer stop()
		env := message("bob@one.example")
		env.Queued = true
		m.put("A", env)
		pass(time.Hour)
		if s.deliveries() != 0 {
			t.Error("tried without a queue run")
		}
		q.RetryAll()
		synctest.Wait()
		if s.deliveries() != 1 {
			t.Errorf("%d attempts after the queue run", s.deliveries())
		}
	})
}

func TestStopWaitsForAttemptsInFlightAndStartsNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{answer: func(context.Context, string, int, spool.Recipient) spool.Result {
			time.Sleep(10 * time.Second)
			return sent
		}}
		stop := start(t, New(m, s, Options{Connections: 1}))
		m.put("A", message("bob@one.example"))
		m.put("B", message("bob@one.example"))
		synctest.Wait()
		stop()
		if !slices.Equal(m.removed, []spool.ID{"A"}) {
			t.Errorf("removed %q, want only the one in flight", m.removed)
		}
	})
}

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{answer: func(ctx context.Context, _ string, _ int, _ spool.Recipient) spool.Result {
			<-ctx.Done()
			return noAnswer
		}}
		stop := start(t, New(m, s, Options{Drain: 30 * time.Second}))
		m.put("A", message("bob@one.example"))
		synctest.Wait()
		began := time.Now()
		stop()
		if d := time.Since(began); d != 30*time.Second {
			t.Errorf("stopped after %v", d)
		}
		if env, there := m.envelope("A"); !there || env.Rcpts[0].Settled() {
			t.Error("the message that was cut off is lost")
		}
	})
}

func TestOutcomeThatCannotBeRecordedStopsEverythingUntilItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(sent)}
		readOnly := true
		m.refuse = func(op string) error {
			if readOnly && op == "remove" {
				return errors.New("read-only file system")
			}
			return nil
		}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("bob@one.example"))
		synctest.Wait()
		m.put("B", message("bob@one.example"))
		pass(time.Hour)
		if s.deliveries() != 1 {
			t.Errorf("%d attempts while nothing can be recorded, want 1", s.deliveries())
		}
		m.mu.Lock()
		readOnly = false
		m.mu.Unlock()
		pass(time.Minute)
		if s.deliveries() != 2 || len(m.removed) != 2 {
			t.Errorf("%d attempts, removed %q", s.deliveries(), m.removed)
		}
	})
}

func TestPanicDefersOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{answer: func(_ context.Context, d string, _ int, _ spool.Recipient) spool.Result {
			if d == "poison.example" {
				panic("poison")
			}
			return sent
		}}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("bob@poison.example"))
		m.put("B", message("bob@good.example"))
		synctest.Wait()
		env, there := m.envelope("A")
		if !there || env.Rcpts[0].Last.Outcome() != spool.Deferred {
			t.Errorf("there %v, %+v", there, env.Rcpts)
		}
		if _, there := m.envelope("B"); there {
			t.Error("the other message waits")
		}
	})
}

func TestRemoteCannotExpireAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &script{answer: everybody(spool.Result{Status: spool.StatusExpired})}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("bob@one.example"))
		synctest.Wait()
		if env, there := m.envelope("A"); !there || env.Rcpts[0].Last.Outcome() != spool.Deferred {
			t.Errorf("there %v, %+v", there, env)
		}
	})
}

func TestRunOnceTriesEverythingOnceAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{answer: func(_ context.Context, d string, _ int, _ spool.Recipient) spool.Result {
			if d == "grey.example" {
				return try450
			}
			return sent
		}}
		late := message("bob@grey.example", "carol@good.example")
		late.Next = time.Now().Add(time.Hour)
		held := message("dave@good.example")
		held.Held = "test"
		m.load("A", late)
		m.load("B", held)
		if err := New(m, s, Options{Connections: 1}).RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.deliveries() != 2 || s.attempts("dave@good.example") != 0 {
			t.Errorf("tried %v", s.tried)
		}
	})
}

func TestExpansionIsRecordedBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &script{expand: func(r spool.Recipient) []spool.Recipient {
			return []spool.Recipient{{Addr: "x@one.example", Original: r.Addr}, {Addr: "y@two.example", Original: r.Addr}}
		}}
		s.answer = func(context.Context, string, int, spool.Recipient) spool.Result {
			if env, _ := m.envelope("A"); !env.Started || len(env.Rcpts) != 2 {
				t.Errorf("sent before the expansion was on record: %+v", env)
			}
			return sent
		}
		stop := start(t, New(m, s, Options{}))
		defer stop()
		m.put("A", message("list@host.example"))
		synctest.Wait()
		if s.deliveries() != 2 {
			t.Errorf("%d attempts, want 2", s.deliveries())
		}
	})
}

// BenchmarkWaiting tells what memory a message takes that waits for its time, its id included.
func BenchmarkWaiting(b *testing.B) {
	const messages = 100000
	for b.Loop() {
		q := New(newMemory(), &script{}, Options{})
		before := inUse()
		for i := range messages {
			q.add(spool.Summary{ID: spool.NewID(time.Now()), Next: time.Now().Add(time.Hour), Sender: "ann@host.example", UID: 1001,
				Rcpt: spool.Recipient{Addr: fmt.Sprintf("bob@d%d.example", i%500)}})
		}
		b.ReportMetric(float64(inUse()-before)/messages, "octets/message")
		runtime.KeepAlive(q)
	}
}

// inUse is how many octets are in use.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkQueue(b *testing.B) {
	m, s := newMemory(), &script{answer: everybody(sent)}
	m.watch = make(chan spool.Summary, b.N+1)
	done := make(chan struct{})
	var n int
	var mu sync.Mutex
	q := New(m, s, Options{Note: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n == b.N {
			close(done)
		}
	}})
	ctx, cancel := context.WithCancel(b.Context())
	for i := range b.N {
		m.put(spool.ID(fmt.Sprint(i)), message(fmt.Sprintf("bob@d%d.example", i%500)))
	}
	var wg sync.WaitGroup
	b.ResetTimer()
	wg.Go(func() { q.Run(ctx) })
	<-done
	b.StopTimer()
	cancel()
	wg.Wait()
}
