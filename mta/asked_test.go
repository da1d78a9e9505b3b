package mta

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"signpost/mta/history"
	"signpost/mta/intake"
	"signpost/mta/stage"
	"signpost/spool"
)

// submitAs hands a letter in as submit.sock would for a caller of that uid.
func (w *world) submitAs(uid int, l letter) spool.ID {
	w.t.Helper()
	told, text := w.fill(l)
	who := intake.Caller{Origin: spool.Origin{Via: intake.ViaSocket, UID: uid, PID: 1}}
	h, err := w.d.intake.Load().Create(w.t.Context(), who, told)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := h.Write([]byte(text)); err != nil {
		w.t.Fatal(err)
	}
	if err := h.Commit(); err != nil {
		w.t.Fatal(err)
	}
	return h.ID()
}

// Uids that no test runs as and, as a rule, no account has.
const (
	stranger = 61234
	other    = 61235
)

func TestWhoSeesWhatInMailq(t *testing.T) {
	w := newWorld(t)
	w.start()
	later := spool.Told{Queued: true}
	mine := w.submitAs(stranger, letter{sender: "ann@two.test", rcpts: to("bob@one.test"), told: later})
	theirs := w.submitAs(other, letter{sender: "carol@two.test", rcpts: to("dave@one.test"), told: later})
	nobodys := w.submitAs(unknownUID, letter{sender: "eve@two.test", rcpts: to("frank@one.test"), told: later})

	tests := []struct {
		name string
		uid  int
		sees []spool.ID
	}{
		{"root", 0, []spool.ID{mine, theirs, nobodys}},
		{"the daemon's own account", os.Geteuid(), []spool.ID{mine, theirs, nobodys}},
		{"a sender", stranger, []spool.ID{mine}},
		{"another", other, []spool.ID{theirs}},
		{"one without mail", 61236, nil},
		{"the unmapped uid, not even its own", unknownUID, nil},
	}
	if os.Geteuid() == unknownUID {
		tests[1].sees = nil
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := make(map[spool.ID]bool)
			n := 0
			for e, err := range w.d.listFor(t.Context(), tt.uid) {
				if err != nil {
					t.Fatal(err)
				}
				n++
				if !e.Hidden {
					seen[e.ID] = true
					if len(e.Envelope.Rcpts) != 1 || !strings.HasSuffix(e.Envelope.Sender, "@two.test") {
						t.Errorf("%s is not whole: %+v", e.ID, e.Envelope)
					}
					continue
				}
				if text := fmt.Sprintf("%+v", e.Envelope); strings.Contains(text, ".test") || e.Size == 0 || e.Envelope.Arrived.IsZero() {
					t.Errorf("hidden: %+v", e)
				}
			}
			if n != 3 {
				t.Errorf("%d messages are counted, want 3", n)
			}
			for _, id := range tt.sees {
				if !seen[id] {
					t.Errorf("%s is hidden", id)
				}
			}
			if len(seen) != len(tt.sees) {
				t.Errorf("%d are seen, want %d", len(seen), len(tt.sees))
			}
		})
	}

	// The same over the socket, for whoever runs the test.
	visible := 0
	for e, err := range w.submit().Queue(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.Hidden {
			visible++
		}
	}
	if want := map[bool]int{true: 0, false: 3}[os.Getuid() == unknownUID]; visible != want {
		t.Errorf("%d messages are seen over the socket, want %d", visible, want)
	}
}

func TestMailqShowsWhatIsBeingTried(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	gate := stage.NewGate()
	one.Play(stage.Fault{At: stage.End, Times: 1, Wait: gate})
	w.start()
	tried := w.send(letter{rcpts: to("bob@one.test")})
	w.arrived(gate)
	w.send(letter{rcpts: to("later@one.test"), told: spool.Told{Queued: true}})
	for e, err := range w.d.listFor(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Active != (e.ID == tried) {
			t.Errorf("%v active: %t", e.Envelope.Rcpts, e.Active)
		}
	}
	gate.Open()
	w.arrive(one, 1)
}

func TestQueueRunIsForInsiders(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	later := spool.Told{Queued: true}
	bob := w.submitAs(stranger, letter{sender: "Ann@two.test", rcpts: to("Bob@one.test"), told: later})
	carol := w.submitAs(stranger, letter{sender: "ann@two.test", rcpts: to("carol@one.test"), told: later})
	w.submitAs(stranger, letter{sender: "eve@two.test", rcpts: to("dave@one.test"), told: later})

	for _, uid := range []int{stranger, unknownUID} {
		for _, f := range []spool.Filter{{}, {ID: string(bob)}} {
			if err := w.d.runFor(t.Context(), uid, f); !errors.Is(err, spool.ErrForbidden) {
				t.Errorf("uid %d runs the queue: %v", uid, err)
			}
		}
		if err := w.d.reloadFor(t.Context(), uid); !errors.Is(err, spool.ErrForbidden) {
			t.Errorf("uid %d reloads: %v", uid, err)
		}
	}
	steps := []struct {
		filter spool.Filter
		rcpt   string
	}{
		{spool.Filter{Rcpt: "BOB", Sender: "ann"}, "Bob@one.test"},
		{spool.Filter{ID: strings.ToLower(string(carol[4:])), NotSender: "eve"}, "carol@one.test"},
		{spool.Filter{}, "dave@one.test"},
	}
	for i, s := range steps {
		if err := w.d.runFor(t.Context(), 0, s.filter); err != nil {
			t.Fatal(err)
		}
		got := w.arrive(one, i+1)
		if len(got) != i+1 || got[i].Rcpts[0].Addr != s.rcpt {
			t.Fatalf("%+v ran %v", s.filter, got[i].Rcpts)
		}
		w.await("the end of it", func(all []line) bool { return len(ids(all, "done")) == i+1 })
	}
}

func TestMatches(t *testing.T) {
	e := spool.Entry{ID: "01ARZ3", Envelope: spool.Envelope{Sender: "Ann@two.test", Rcpts: to("Bob@one.test", "carol@three.test")}}
	for _, tt := range []struct {
		filter spool.Filter
		want   bool
	}{
		{spool.Filter{}, true},
		{spool.Filter{ID: "arz"}, true},
		{spool.Filter{ID: "x"}, false},
		{spool.Filter{NotID: "arz"}, false},
		{spool.Filter{NotID: "x"}, true},
		{spool.Filter{Rcpt: "CAROL"}, true},
		{spool.Filter{Rcpt: "eve"}, false},
		{spool.Filter{NotRcpt: "CAROL"}, false}, // one recipient is enough
		{spool.Filter{NotRcpt: "eve"}, true},
		{spool.Filter{Sender: "ann"}, true},
		{spool.Filter{NotSender: "ANN"}, false},
		{spool.Filter{NotSender: "eve"}, true},
		{spool.Filter{Rcpt: "bob", NotRcpt: "eve"}, true},
		{spool.Filter{Rcpt: "bob", NotRcpt: "three"}, false},
		{spool.Filter{Sender: "ann", NotID: "01"}, false},
	} {
		if got := matches(tt.filter, e); got != tt.want {
			t.Errorf("%+v: %t", tt.filter, got)
		}
	}
	if bare := (spool.Entry{}); !matches(spool.Filter{NotRcpt: "a", NotSender: "a"}, bare) || matches(spool.Filter{Rcpt: "a"}, bare) {
		t.Error("a message without recipients")
	}
}

// What an earlier process took, and what has left by now, is known from the history; to nobody else.
func TestTakenIsKnownAfterARestart(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	gone := w.submitAs(stranger, letter{sender: "ann@two.test", rcpts: to("bob@one.test")})
	there := w.submitAs(stranger, letter{sender: "ann@two.test", rcpts: to("bob@one.test"), told: spool.Told{Queued: true}})
	w.arrive(one, 1)
	w.await("the end of it", func(all []line) bool { return len(ids(all, "done")) == 1 })
	check := func() {
		t.Helper()
		for _, id := range []spool.ID{gone, there} {
			for uid, want := range map[int]bool{stranger: true, other: false, 0: false} {
				if got, err := w.d.taken(t.Context(), uid, id); got != want || err != nil {
					t.Errorf("uid %d, message %s: %t, %v", uid, id, got, err)
				}
			}
		}
		if got, err := w.d.taken(t.Context(), stranger, gone[:17]+"0"); got || err != nil {
			t.Errorf("an id that never was: %t, %v", got, err)
		}
	}
	check()
	w.halt()
	w.start()
	check()
}

// A crash loses the lines of the last second.
func TestAcceptedByWhatIsLeftOfTheHistory(t *testing.T) {
	const id = spool.ID("01ARZ3NDEKTSV4RRFF")
	by := func(uid int) history.Record {
		return history.Record{ID: id, What: "accepted", Origin: &spool.Origin{UID: uid}}
	}
	sent := history.Record{ID: id, What: "attempt", Gone: true}
	for _, tt := range []struct {
		name    string
		records []history.Record
		want    bool
	}{
		{"nothing", nil, false},
		{"of another message", []history.Record{{ID: "01ARZ3NDEKTSV4RRFG", What: "attempt"}}, false},
		{"all of it", []history.Record{by(stranger), sent}, true},
		{"without the beginning", []history.Record{sent}, true},
		{"of another user", []history.Record{by(other), sent}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := accepted(tt.records, id, stranger); got != tt.want {
				t.Errorf("%t, want %t", got, tt.want)
			}
		})
	}
}
