package intake

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signpost/spool"
)

func TestCountsOfAnHour(t *testing.T) {
	const limit = 3
	start := time.Date(2026, 11, 23, 10, 0, 30, 0, time.UTC)
	tests := []struct {
		name string
		at   []time.Duration // since start
		want []bool
	}{
		{"up to the limit", []time.Duration{0, 1, 2, 3}, []bool{true, true, true, false}},
		{"never more within an hour", []time.Duration{0, 0, 59 * time.Minute, time.Hour, 61 * time.Minute},
			[]bool{true, true, true, false, true}},
		{"room again, minute by minute", []time.Duration{0, 10 * time.Minute, 20 * time.Minute, 61 * time.Minute, 62 * time.Minute, 71 * time.Minute},
			[]bool{true, true, true, true, false, true}},
		{"what is held does not count", []time.Duration{0, 0, 0, 50 * time.Minute, 61 * time.Minute, 61 * time.Minute, 61 * time.Minute},
			[]bool{true, true, true, false, true, true, true}},
		{"long after", []time.Duration{0, 0, 0, 1000 * time.Hour}, []bool{true, true, true, true}},
		{"a clock set back a little", []time.Duration{time.Minute, time.Minute, 0, 0, time.Minute}, []bool{true, true, true, false, false}},
		{"a clock set back by years", []time.Duration{90000 * time.Hour, 90000 * time.Hour, 90000 * time.Hour, 0, 0}, []bool{true, true, true, true, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Counts
			var got []bool
			for _, d := range tt.at {
				got = append(got, c.take(7, limit, start.Add(d)))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCountsOfThePast(t *testing.T) {
	var c Counts
	now := time.Date(2026, 11, 23, 10, 0, 30, 0, time.UTC)
	for _, ago := range []time.Duration{2 * time.Hour, 59 * time.Minute, 0, -time.Hour} {
		c.Add(7, now.Add(-ago), now)
	}
	if !c.take(7, 4, now) || c.take(7, 4, now) {
		t.Error("three of the four matter")
	}
	if !c.take(7, 4, now.Add(2*time.Minute)) {
		t.Error("one of them is out of the hour by now")
	}
}

func TestCountsGiveBack(t *testing.T) {
	var c Counts
	now := time.Unix(1_800_000_000, 0)
	for range 3 {
		if !c.take(7, 1, now) {
			t.Fatal("a message that was given back counts")
		}
		c.giveBack(7, now)
	}
	c.giveBack(7, now)
	if !c.take(7, 1, now) || c.take(7, 1, now) {
		t.Error("counts below nothing")
	}
}

func TestCountsAreBounded(t *testing.T) {
	var c Counts
	now := time.Unix(1_800_000_000, 0)
	for uid := range 3 * maxCounts {
		c.take(uid, 1, now)
	}
	if len(c.users) > maxCounts {
		t.Errorf("%d users", len(c.users))
	}
	now = now.Add(2 * time.Hour)
	for uid := range maxCounts {
		c.take(uid, 1, now)
	}
	if n := len(c.users); n < maxCounts/2 || n > maxCounts {
		t.Errorf("%d users", n)
	}
	now = now.Add(2 * time.Hour)
	for uid := range maxCounts / 2 {
		c.take(uid, 1, now)
	}
	c.take(-1, 1, now)
	for uid := range maxCounts / 2 {
		if c.take(uid, 1, now) {
			t.Fatalf("uid %d was forgotten in place of somebody who sends nothing", uid)
		}
	}
}

// limited is an Intake in which ann may send two messages an hour and bob any number.
func limited(m *memory) (*Intake, *[]Accepted) {
	var told []Accepted
	i := newIntake(m)
	i.Limits, i.Counts = Limits{PerHour: 2, Users: map[int]int{1002: 0}}, new(Counts)
	i.Accepted = func(a Accepted) { told = append(told, a) }
	return i, &told
}

func TestMessagesOverTheQuotaAreHeld(t *testing.T) {
	m := new(memory)
	i, told := limited(m)
	hand := func(uid int, via string) {
		who := caller(uid)
		who.Via, who.ID = via, spool.NewID(now)
		if err := put(t, i, who, spool.Told{Rcpts: to("a", "b", "c")}, ""); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		hand(1001, ViaSocket)
		hand(1002, ViaSocket)
	}
	hand(1001, ViaDrop)
	var held []string
	for _, a := range *told {
		held = append(held, a.Envelope.Held)
		if m.all()[a.ID].env.Held != a.Envelope.Held {
			t.Error("what is told differs from what is stored")
		}
	}
	const over = "over quota: more than 2 messages of ann (uid 1001) within an hour"
	if want := []string{"", "", "", "", over, "", over}; !slices.Equal(held, want) {
		t.Errorf("held: %q\nwant %q", held, want)
	}
	if !OverQuota(over) || OverQuota("") || OverQuota("held by an administrator") {
		t.Error("OverQuota")
	}
}

func TestMessagesThatAreNotTakenDoNotCount(t *testing.T) {
	m := new(memory)
	i, told := limited(m)
	m.commit = spool.ErrNoSpace
	for range 5 {
		if err := put(t, i, caller(1001), spool.Told{Rcpts: to("a")}, ""); !errors.Is(err, spool.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	m.commit = nil
	who := caller(1001)
	who.ID = spool.NewID(now)
	if err := put(t, i, who, spool.Told{Rcpts: to("a")}, ""); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := put(t, i, who, spool.Told{Rcpts: to("a")}, ""); !errors.Is(err, spool.ErrExists) {
			t.Fatal(err)
		}
	}
	if err := put(t, i, caller(1001), spool.Told{Rcpts: to("a")}, ""); err != nil {
		t.Fatal(err)
	}
	if len(*told) != 2 || (*told)[1].Envelope.Held != "" {
		t.Errorf("%+v", *told)
	}
}

func TestQuotaHoldsAcrossConnections(t *testing.T) {
	m := new(memory)
	var held atomic.Int32
	r := serveUnix(t, m, func(_ *Server, i *Intake) {
		i.Limits, i.Counts = Limits{PerHour: 5}, new(Counts)
		i.Accepted = func(a Accepted) {
			if a.Envelope.Held != "" {
				held.Add(1)
			}
		}
	})
	var senders sync.WaitGroup
	for range 20 {
		senders.Go(func() {
			if _, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, "\r\n"); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	if n := held.Load(); n != 15 || len(m.all()) != 20 {
		t.Errorf("%d of %d messages are held, want 15 of 20", n, len(m.all()))
	}
}

func TestRejectedFilesAreTold(t *testing.T) {
	d := dropFolder(t)
	name := leave(t, d, spool.Told{Rcpts: to("bob")}, "\r\n")
	if err := os.Truncate(filepath.Join(d.Path, "new", name), 20); err != nil {
		t.Fatal(err)
	}
	i := newIntake(new(memory))
	var path string
	i.Rejected = func(_ int, p string, err error) {
		if path = p; !errors.Is(err, spool.ErrCorrupt) {
			t.Error(err)
		}
	}
	if err := i.EmptyDropOnce(t.Context(), d.Path); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(path, "/corrupt/") {
		t.Errorf("told of %q", path)
	}
}
