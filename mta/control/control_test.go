package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"signpost/mta/history"
	"signpost/mta/queue"
	"signpost/spool"
)

// world is a spool with a few messages, with or without a scheduler, and a history.
type world struct {
	t       *testing.T
	path    string
	dir     *spool.Dir
	queue   *queue.Queue // nil: no daemon runs
	journal *history.Journal
	gate    chan struct{} // deliveries wait until it is closed
	tried   chan spool.ID // receives when a delivery begins
	events  chan queue.Event
}

const content = "From: ann@a.test\r\nSubject: x\r\n\r\nHello\r\n"

func newWorld(t *testing.T, daemon bool) *world {
	t.Helper()
	w := &world{t: t, path: t.TempDir(), gate: make(chan struct{}), tried: make(chan spool.ID, 1000), events: make(chan queue.Event, 1000)}
	var err error
	if w.dir, err = spool.Open(w.path, spool.Options{MinFree: -1}); err != nil {
		t.Fatal(err)
	}
	w.journal = history.Open(filepath.Join(w.path, "history"), time.Hour)
	if !daemon {
		t.Cleanup(func() { w.journal.Close(); w.dir.Close() })
		return w
	}
	w.queue = queue.New(w.dir, deliverer{w}, queue.Options{Note: func(e queue.Event) { w.events <- e }})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.queue.Run(ctx) }()
	t.Cleanup(func() {
		w.open()
		stop()
		<-ended
		w.journal.Close()
		w.dir.Close()
	})
	return w
}

func (w *world) open() {
	select {
	case <-w.gate:
	default:
		close(w.gate)
	}
}

func (w *world) admin() *Spool {
	return &Spool{Dir: w.dir, Queue: w.queue, History: filepath.Join(w.path, "history"), Flush: w.journal.Flush,
		Remember: func(r history.Record) { w.journal.Add(r) }}
}

// put commits a message from sender to rcpt.
func (w *world) put(sender, rcpt string, change func(*spool.Envelope)) spool.ID {
	w.t.Helper()
	m, err := w.dir.Create(w.t.Context(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	io.WriteString(m, content)
	env := spool.Envelope{Sender: sender, Rcpts: []spool.Recipient{{Addr: rcpt}}, Queued: true,
		Origin: spool.Origin{Via: "socket", UID: 1000, Login: "ann"}}
	if change != nil {
		change(&env)
	}
	if err := m.Commit(env); err != nil {
		w.t.Fatal(err)
	}
	return m.ID()
}

// deliverer delivers everything once the gate is open.
type deliverer struct{ w *world }

func (deliverer) Key(_ string, r spool.Recipient) string { return r.Addr }
func (deliverer) Limit(string) int                       { return 0 }
func (deliverer) Rate(string) queue.Rate                 { return queue.Rate{} }
func (deliverer) Expand(_ context.Context, c spool.Claim) []spool.Recipient {
	return c.Envelope().Rcpts
}
func (d deliverer) Deliver(_ context.Context, c spool.Claim, rcpts []spool.Recipient) queue.Report {
	d.w.tried <- c.ID()
	<-d.w.gate
	rep := queue.Report{}
	for range rcpts {
		rep.Results = append(rep.Results, spool.Result{Status: spool.Status{Class: 2}})
	}
	return rep
}
func (deliverer) Bounce(context.Context, spool.Claim, []int) error          { return nil }
func (deliverer) Warn(context.Context, spool.Claim, []int, time.Time) error { return nil }

// serve answers on a socket with a, and gives a client.
func serve(t *testing.T, a Admin) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, a) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ways runs f for each way to the queue: in the daemon, over its socket, and without one.
func ways(t *testing.T, f func(t *testing.T, w *world, a Admin)) {
	t.Run("in the daemon", func(t *testing.T) {
		w := newWorld(t, true)
		f(t, w, w.admin())
	})
	t.Run("over the socket", func(t *testing.T) {
		w := newWorld(t, true)
		f(t, w, serve(t, w.admin()))
	})
	t.Run("without a daemon", func(t *testing.T) {
		w := newWorld(t, false)
		f(t, w, w.admin())
	})
}

// states gives the state of each message in the list.
func states(t *testing.T, a Admin) map[spool.ID]string {
	t.Helper()
	got := make(map[spool.ID]string)
	for m, err := range a.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[m.ID] = m.State
	}
	return got
}

func TestListAndShow(t *testing.T) {
	ways(t, func(t *testing.T, w *world, a Admin) {
		if got := states(t, a); len(got) != 0 {
			t.Errorf("an empty queue: %v", got)
		}
		next := time.Now().Add(time.Hour).Truncate(time.Millisecond)
		odd := "\x1b[2J\xff\u202e<>&\"\\\n@a.test"
		queued := w.put(odd, "bob@b.test", nil)
		held := w.put("", "carol@b.test", func(e *spool.Envelope) { e.Held = "over quota" })
		waiting := w.put("ann@a.test", "dave@b.test", func(e *spool.Envelope) {
			e.Queued, e.Next, e.Tries = false, next, 2
			e.Parent = held
			e.Rcpts = append(e.Rcpts, spool.Recipient{Addr: "eve@b.test", Last: spool.Result{Status: spool.Status{Class: 2}}})
			e.Rcpts[0].Last = spool.Result{Status: spool.Status{Class: 4, Subject: 2, Detail: 1}, Reply: "451 later", Remote: "mx[1.2.3.4]:25"}
		})
		var got []Message
		for m, err := range a.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m)
		}
		if len(got) != 3 {
			t.Fatalf("%d messages", len(got))
		}
		byID := make(map[spool.ID]Message)
		for _, m := range got {
			byID[m.ID] = m
			shown, err := a.Show(t.Context(), m.ID)
			if err != nil {
				t.Fatal(err)
			}
			x, _ := json.Marshal(m)
			y, _ := json.Marshal(shown)
			if string(x) != string(y) {
				t.Errorf("listed as %s\nshown as  %s", x, y)
			}
			if m.Size != int64(len(content)) || m.Origin.UID != 1000 || m.Arrived.IsZero() {
				t.Errorf("%+v", m)
			}
		}
		if m := byID[queued]; m.State != "queued" || m.Left != 1 || m.Next != nil || strings.ToValidUTF8(odd, "\ufffd") != strings.ToValidUTF8(m.Sender, "\ufffd") {
			t.Errorf("%+v", m)
		}
		if m := byID[held]; m.State != "held" || m.Held != "over quota" || m.Reason() != "over quota" || m.Sender != "" {
			t.Errorf("%+v", m)
		}
		if m := byID[waiting]; m.State != "waiting" || m.Left != 1 || m.Tries != 2 || m.Next == nil || !m.Next.Equal(next) || m.Parent != held ||
			m.Reason() != "mx[1.2.3.4]:25 said: 451 later" {
			t.Errorf("%+v", m)
		}
	})
}

// Without a daemon the list has what waits in drop/ too.
func TestListOfDropped(t *testing.T) {
	w := newWorld(t, false)
	h, err := spool.Drop{Path: filepath.Join(w.path, "drop")}.Submit(t.Context(), spool.Told{Rcpts: []spool.Recipient{{Addr: "bob"}}})
	if err == nil {
		_, err = io.WriteString(h, content)
	}
	if err == nil {
		err = h.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	w.put("ann@a.test", "bob@b.test", nil)
	var states []string
	for m, err := range w.admin().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, m.State+" "+m.Rcpts[0].Addr)
	}
	if want := []string{"queued bob@b.test", "dropped bob"}; !slices.Equal(states, want) {
		t.Errorf("%q, want %q", states, want)
	}
}

func TestContent(t *testing.T) {
	ways(t, func(t *testing.T, w *world, a Admin) {
		id := w.put("ann@a.test", "bob@b.test", nil)
		c, err := a.Content(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		if err != nil || c.Close() != nil || string(b) != content {
			t.Errorf("got %q: %v", b, err)
		}
	})
}

func TestWhatIsNotThere(t *testing.T) {
	ways(t, func(t *testing.T, w *world, a Admin) {
		for _, id := range []spool.ID{"01M8579Y2WZYQGGD19", "", "x", "../../etc/passwd", "a/content", "%2e%2e", "\x00", "01m8579y2wzyqggd19"} {
			if _, err := a.Show(t.Context(), id); !errors.Is(err, spool.ErrNotFound) && id != "" {
				t.Errorf("%q shown: %v", id, err)
			}
			if c, err := a.Content(t.Context(), id); err == nil {
				c.Close()
				t.Errorf("%q has content", id)
			}
			for _, verb := range []string{"retry", "hold", "release", "delete"} {
				done, err := a.Act(t.Context(), Action{Verb: verb, IDs: []spool.ID{id}})
				if err != nil || len(done) != 1 || done[0].ID != id || !strings.Contains(done[0].Error, spool.ErrNotFound.Error()) {
					t.Errorf("%s %q: %v, %v", verb, id, done, err)
				}
			}
		}
		if done, err := a.Act(t.Context(), Action{Verb: "explode", All: true}); err == nil || !strings.Contains(err.Error(), "explode") {
			t.Errorf("an unknown verb: %v, %v", done, err)
		}
		if done, err := a.Act(t.Context(), Action{Verb: "delete"}); err != nil || len(done) != 0 {
			t.Errorf("nothing chosen: %v, %v", done, err)
		}
	})
}

func TestHoldReleaseDelete(t *testing.T) {
	ways(t, func(t *testing.T, w *world, a Admin) {
		one := w.put("ann@a.test", "bob@b.test", nil)
		two := w.put("ann@a.test", "carol@b.test", nil)
		act := func(verb, reason string, ids ...spool.ID) {
			t.Helper()
			done, err := a.Act(t.Context(), Action{Verb: verb, IDs: ids, Reason: reason})
			if err != nil || len(done) != len(ids) {
				t.Fatalf("%s: %v, %v", verb, done, err)
			}
			for i, d := range done {
				if d.ID != ids[i] || d.Error != "" {
					t.Errorf("%s: %+v", verb, d)
				}
			}
		}
		act("hold", "not before noon", one)
		act("hold", "", two)
		if m, err := a.Show(t.Context(), one); err != nil || m.State != "held" || m.Held != "not before noon" {
			t.Errorf("%+v, %v", m, err)
		}
		if m, err := a.Show(t.Context(), two); err != nil || m.Held != "held by an administrator" {
			t.Errorf("%+v, %v", m, err)
		}
		act("retry", "", one) // stays on hold
		if m, err := a.Show(t.Context(), one); err != nil || m.Held == "" {
			t.Errorf("%+v, %v", m, err)
		}
		act("delete", "", two)
		if _, err := a.Show(t.Context(), two); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("deleted: %v", err)
		}
		w.open()
		act("release", "", one)
		if w.queue == nil {
			if m, err := a.Show(t.Context(), one); err != nil || m.Held != "" {
				t.Errorf("%+v, %v", m, err)
			}
		} else if got := <-w.tried; got != one { // a release tries at once
			t.Errorf("%s was tried", got)
		}
	})
}

func TestActionsByChoice(t *testing.T) {
	null, ann := "", "ANN@a.test"
	uid, nobody, notice := 1000, 7, -1
	tests := []struct {
		name   string
		action Action
		want   []int
	}{
		{"all", Action{All: true}, []int{0, 1, 2, 3}},
		{"a domain, whatever the case", Action{Domain: "B.test"}, []int{0, 2, 3}},
		{"a part of a domain", Action{Domain: "test"}, nil},
		{"a sender", Action{Sender: &ann}, []int{0, 1}},
		{"the null reverse-path", Action{Sender: &null}, []int{2}},
		{"a sender and a domain", Action{Sender: &ann, Domain: "b.test"}, []int{0}},
		{"a user of this host", Action{Domain: "dave"}, nil},
		{"who handed it in", Action{UID: &uid}, []int{0, 1, 3}},
		{"who handed nothing in", Action{UID: &nobody}, nil},
		{"a uid that is none", Action{UID: &notice}, nil},
		{"all of a user's", Action{All: true, UID: &uid}, []int{0, 1, 3}},
		{"none is held", Action{Held: true}, nil},
	}
	ways(t, func(t *testing.T, w *world, a Admin) {
		list := []spool.ID{
			w.put("ann@a.test", "bob@b.test", nil),
			w.put("Ann@A.test", "bob@c.test", nil),
			w.put("", "ann@B.TEST", func(e *spool.Envelope) { e.Origin = spool.Origin{Via: "bounce", UID: -1} }),
			w.put("dave@a.test", "\"a@c.test\"@b.test", func(e *spool.Envelope) {
				e.Rcpts = append(e.Rcpts, spool.Recipient{Kind: spool.Mailbox, Addr: "dave"})
			}),
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for verb, state := range map[string]string{"hold": "held"} {
					tt.action.Verb = verb
					done, err := a.Act(t.Context(), tt.action)
					if err != nil {
						t.Fatal(err)
					}
					var got []int
					for _, d := range done {
						if d.Error != "" {
							t.Errorf("%+v", d)
						}
						got = append(got, slices.Index(list, d.ID))
					}
					slices.Sort(got) // ids of one millisecond have no order
					if !slices.Equal(got, tt.want) {
						t.Errorf("%s: %v, want %v", verb, got, tt.want)
					}
					for id, s := range states(t, a) {
						if want := slices.Contains(tt.want, slices.Index(list, id)); (s == state) != want {
							t.Errorf("message %d is %s", slices.Index(list, id), s)
						}
					}
				}
				for _, id := range list {
					c, err := w.dir.Claim(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					if err := c.Hold(""); err != nil {
						t.Fatal(err)
					}
					c.Release()
				}
			})
		}
		if done, err := a.Act(t.Context(), Action{Verb: "delete", All: true}); err != nil || len(done) != len(list) {
			t.Errorf("%v, %v", done, err)
		}
		if got := states(t, a); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
	})
}

// What a quota holds is let go, or removed, and nothing else of the user.
func TestActionsOnWhatIsHeld(t *testing.T) {
	ways(t, func(t *testing.T, w *world, a Admin) {
		w.open()
		uid := 1000
		hold := func(e *spool.Envelope) { e.Held = "over quota" }
		free, held := w.put("ann@a.test", "bob@b.test", nil), w.put("ann@a.test", "carol@b.test", hold)
		for _, action := range []Action{
			{Verb: "hold", Held: true, UID: &uid}, {Verb: "release", All: true}, {Verb: "release", UID: &uid}, {Verb: "delete", Held: true, UID: &uid},
		} {
			done, err := a.Act(t.Context(), action)
			want := []Done{{ID: held}}
			if action.Verb == "release" && action.UID != nil || action.Verb == "delete" {
				want = nil // it is not held any more
			}
			if err != nil || len(done) != len(want) || len(done) > 0 && done[0] != want[0] {
				t.Errorf("%+v: %v, %v, want %v", action, done, err, want)
			}
		}
		if m, err := a.Show(t.Context(), free); err != nil || m.State != "queued" {
			t.Errorf("%+v, %v", m, err)
		}
		held = w.put("ann@a.test", "dave@b.test", hold)
		if done, err := a.Act(t.Context(), Action{Verb: "delete", Held: true}); err != nil || len(done) != 1 || done[0] != (Done{ID: held}) {
			t.Errorf("%v, %v", done, err)
		}
	})
}

// What is being tried is shown as such, and cannot be changed meanwhile; a retry asks for one more try.
func TestMessageBeingTried(t *testing.T) {
	for _, over := range []string{"in the daemon", "over the socket"} {
		t.Run(over, func(t *testing.T) {
			w := newWorld(t, true)
			var a Admin = w.admin()
			if over == "over the socket" {
				a = serve(t, a)
			}
			id := w.put("ann@a.test", "bob@b.test", func(e *spool.Envelope) { e.Queued = false })
			<-w.tried
			if s := states(t, a)[id]; s != "active" {
				t.Errorf("it is %s", s)
			}
			if m, err := a.Show(t.Context(), id); err != nil || m.State != "active" {
				t.Errorf("%+v, %v", m, err)
			}
			for _, verb := range []string{"hold", "release", "delete"} {
				done, err := a.Act(t.Context(), Action{Verb: verb, IDs: []spool.ID{id}})
				if err != nil || len(done) != 1 || !strings.Contains(done[0].Error, spool.ErrClaimed.Error()) {
					t.Errorf("%s: %v, %v", verb, done, err)
				}
			}
			if done, err := a.Act(t.Context(), Action{Verb: "retry", IDs: []spool.ID{id}}); err != nil || done[0].Error != "" {
				t.Errorf("retry: %v, %v", done, err)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	ways(t, func(t *testing.T, w *world, a Admin) {
		id := w.put("ann@a.test", "bob@b.test", nil)
		other := w.put("ann@a.test", "carol@b.test", nil)
		if done, err := a.Act(t.Context(), Action{Verb: "retry", IDs: []spool.ID{id}}); err != nil || done[0].Error != "" {
			t.Fatalf("%v, %v", done, err)
		}
		if w.queue == nil {
			if m, err := a.Show(t.Context(), id); err != nil || m.State != "waiting" || m.Next == nil || m.Next.After(time.Now()) {
				t.Errorf("%+v, %v", m, err)
			}
			return
		}
		if got := <-w.tried; got != id {
			t.Errorf("%s was tried", got)
		}
		if _, err := a.Act(t.Context(), Action{Verb: "retry", All: true}); err != nil {
			t.Fatal(err)
		}
		if got := <-w.tried; got != other {
			t.Errorf("%s was tried", got)
		}
	})
}

func TestWhy(t *testing.T) {
	ways(t, func(t *testing.T, w *world, a Admin) {
		id := w.put("ann@a.test", "bob@b.test", nil)
		for _, what := range []string{"accepted", "attempt"} {
			r := history.Record{Time: time.Now(), ID: id, What: what, From: "ann@a.test", Rcpts: []history.Rcpt{{Addr: "bob+x&y=z@b.test"}}}
			if err := w.journal.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		for query, want := range map[string]int{string(id): 2, "ANN@a.test": 2, "bob+x&y=z@b.test": 2, "eve@b.test": 0, "": 0, "a b%#?\x00": 0} {
			if rs, err := a.Why(t.Context(), query); err != nil || len(rs) != want {
				t.Errorf("%q: %d records, %v", query, len(rs), err)
			}
		}
		if _, err := a.Act(t.Context(), Action{Verb: "delete", IDs: []spool.ID{id}}); err != nil {
			t.Fatal(err)
		}
		if w.queue != nil {
			if e := <-w.events; e.What != "removed" || !e.Gone || e.ID != id {
				t.Errorf("event %+v", e)
			}
			return
		}
		rs, err := a.Why(t.Context(), string(id))
		if err != nil || len(rs) != 3 || rs[2].What != "removed" || !rs[2].Gone || rs[2].From != "ann@a.test" {
			t.Errorf("%+v, %v", rs, err)
		}
	})
}

// A message that cannot be read is told as such, and the others are listed.
func TestDamagedMessageInTheList(t *testing.T) {
	ways(t, func(t *testing.T, w *world, a Admin) {
		good := w.put("ann@a.test", "bob@b.test", nil)
		bad := spool.NewID(time.Now())
		if err := os.WriteFile(filepath.Join(w.path, "new", string(bad)), []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
		var ids []spool.ID
		var errs []error
		for m, err := range a.List(t.Context()) {
			if err != nil {
				errs = append(errs, err)
			} else {
				ids = append(ids, m.ID)
			}
		}
		if !slices.Equal(ids, []spool.ID{good}) || len(errs) != 1 || !strings.Contains(errs[0].Error(), string(bad)) {
			t.Errorf("%v, errors %v", ids, errs)
		}
		if done, err := a.Act(t.Context(), Action{Verb: "hold", All: true}); err != nil || len(done) != 1 {
			t.Errorf("%v, %v", done, err)
		}
		n := 0
		for range a.List(t.Context()) {
			n++
			break // a reader may stop
		}
		if n != 1 {
			t.Errorf("%d", n)
		}
	})
}

func TestDialTellsWhyNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	if _, err := Dial(t.Context(), filepath.Join(dir, "none.sock")); !errors.Is(err, spool.ErrNoDaemon) {
		t.Errorf("nothing there: %v", err)
	}
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Dial(t.Context(), dead); !errors.Is(err, spool.ErrNoDaemon) {
		t.Errorf("a dead one: %v", err)
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(dead, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Dial(t.Context(), dead); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("one that is not for us: %v", err)
		}
	}
}

func TestSocketWithALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "control.sock")
	name, done, err := spool.SocketName(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", name)
	done()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, false)
	w.put("ann@a.test", "bob@b.test", nil)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, w.admin()) }()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got := states(t, c); len(got) != 1 {
		t.Errorf("%v", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// request sends raw octets to the handler of a socket and gives the status.
func request(t *testing.T, c *Client, method, path, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://signpost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t, false)
	id := w.put("ann@a.test", "bob@b.test", nil)
	c := serve(t, w.admin())
	long, err := json.Marshal(Action{Verb: "delete", IDs: slices.Repeat([]spool.ID{id}, maxAction/len(id))})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ method, path, body string }{
		{"POST", "/act", ""},
		{"POST", "/act", "nullx"},
		{"POST", "/act", `{"verb":"delete","all":1}`},
		{"POST", "/act", `{"verb":"delete","ids":"` + string(id) + `"}`},
		{"POST", "/act", string(long)},
		{"GET", "/act", `{"verb":"delete","all":true}`},
		{"POST", "/queue", ""},
		{"DELETE", "/queue/" + string(id), ""},
		{"GET", "/", ""},
		{"GET", "/queue/" + string(id) + "/content/more", ""},
		{"GET", "/queue/..%2f..%2fetc", ""},
	} {
		if got := request(t, c, r.method, r.path, r.body); got < 400 {
			t.Errorf("%s %s %.40s: %d", r.method, r.path, r.body, got)
		}
	}
	if got := states(t, c); len(got) != 1 {
		t.Error("the message is gone")
	}
}

// slow is an Admin that is in the middle of something.
type slow struct {
	Admin
	begun chan struct{}
	end   chan struct{}
	ended bool
}

func (s *slow) Act(context.Context, Action) ([]Done, error) {
	close(s.begun)
	<-s.end
	s.ended = true
	return nil, nil
}

func (s *slow) List(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		yield(Message{ID: "01M8579Y2WZYQGGD19"}, nil)
		close(s.begun)
		<-ctx.Done()
	}
}

// startSlow serves s until stop is called.
func startSlow(t *testing.T, s *slow) (c *Client, stop context.CancelFunc, ended chan error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended = make(chan error, 1)
	go func() { ended <- Serve(ctx, l, s) }()
	if c, err = Dial(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return c, stop, ended
}

// The spool must not be closed under an action.
func TestServeWaitsForWhatIsWorkedOn(t *testing.T) {
	s := &slow{begun: make(chan struct{}), end: make(chan struct{})}
	c, stop, ended := startSlow(t, s)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Act(context.WithoutCancel(t.Context()), Action{Verb: "delete"})
		answered <- err
	}()
	<-s.begun
	stop()
	if err := <-answered; err == nil {
		t.Error("an action that was cut off looks like one that was done")
	}
	select {
	case err := <-ended:
		t.Errorf("Serve returned in the middle of an action: %v", err)
	default:
	}
	close(s.end)
	if err := <-ended; err != nil || !s.ended {
		t.Errorf("ended %t, %v", s.ended, err)
	}
}

func TestListCutShortIsAnError(t *testing.T) {
	s := &slow{begun: make(chan struct{})}
	c, stop, ended := startSlow(t, s)
	go func() {
		<-s.begun
		stop()
	}()
	var last error
	for _, err := range c.List(t.Context()) {
		last = err
	}
	if last == nil {
		t.Error("half a list looks like a whole one")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func BenchmarkList20000(b *testing.B) {
	path := b.TempDir()
	dir, err := spool.Open(path, spool.Options{MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	fill(b, dir, 20_000)
	a := &Spool{Dir: dir}
	sock := filepath.Join(b.TempDir(), "control.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, a) }()
	defer func() { stop(); <-ended }()
	c, err := Dial(ctx, sock)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n := 0
		for _, err := range c.List(ctx) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 20_000 {
			b.Fatal(n)
		}
	}
}

// fill commits n messages, many at once so that they share their syncs.
func fill(b *testing.B, dir *spool.Dir, n int) {
	b.Helper()
	errs := make(chan error, 64)
	for i := range 64 {
		go func() {
			var err error
			for j := i; j < n && err == nil; j += 64 {
				var m spool.Writer
				if m, err = dir.Create(context.Background(), ""); err == nil {
					io.WriteString(m, content)
					err = m.Commit(spool.Envelope{Sender: "ann@a.test", Rcpts: []spool.Recipient{{Addr: fmt.Sprintf("bob%d@b.test", j)}}})
				}
			}
			errs <- err
		}()
	}
	for range 64 {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}
