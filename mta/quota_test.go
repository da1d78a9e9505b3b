package mta

import (
	"fmt"
	"io"
	"log/slog"
	"net/mail"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"signpost/compat/settings"
	"signpost/mta/control"
	"signpost/mta/history"
	"signpost/mta/intake"
	"signpost/mta/local"
	"signpost/mta/stage"
	"signpost/spool"
)

// A whole life of an excess: the quota passes, the rest is held, the postmaster gets one notice, also across a restart,
// somebody else's mail goes on, and what is held is let go.
func TestQuota(t *testing.T) {
	w := newWorld(t)
	w.top = "postmaster = \"post@two.test\"\n"
	w.rest = "[spool.quota]\nmessages_per_hour = 2\n"
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	w.start()
	php := "X-PHP-Originating-Script: 33:contact.php\n" + small
	var sent []spool.ID
	for n := range 4 {
		sent = append(sent, w.send(letter{sender: fmt.Sprintf("user%d@one.test", n), rcpts: to("bob@one.test"), text: php}))
	}
	w.arrive(one, 2)
	notice := w.arrive(two, 1)[0]
	w.halt()

	w.start()
	sent = append(sent, w.send(letter{rcpts: to("bob@one.test")}))
	w.sendAs(os.Getuid()+1, "carol@one.test")
	w.arrive(one, 3)
	all := w.log.all()
	if held, want := ids(all, "held"), sent[2:]; len(held) != 3 || !slices.Equal(held, texts(want)) {
		t.Errorf("held %v, want %v", held, want)
	}
	if n := about(all, sent[2], "held"); len(n) != 1 || n[0].str("status") != "held" || !strings.Contains(n[0].str("reply"), "more than 2 messages") {
		t.Errorf("%v", n)
	}
	wantNotice(t, notice, sent[2])

	uid := os.Getuid()
	if done, err := w.d.admins().Act(t.Context(), control.Action{Verb: "release", UID: &uid}); err != nil || len(done) != 3 {
		t.Errorf("%v, %v", done, err)
	}
	w.arrive(one, 6)
	w.settle()
	if got := two.Accepted(); len(got) != 1 {
		t.Errorf("%d notices", len(got))
	}
	records, err := w.d.admins().Why(t.Context(), string(sent[2]))
	if err != nil || len(records) < 3 || records[0].Held == "" || !slices.ContainsFunc(records, func(r history.Record) bool { return r.What == "notice" }) {
		t.Errorf("%+v, %v", records, err)
	}
}

func wantNotice(t *testing.T, x stage.Transaction, first spool.ID) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(string(x.Content)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if x.Sender.Addr != "" || x.Rcpts[0].Addr != "post@two.test" || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("from <%s> to %v: %v", x.Sender.Addr, x.Rcpts, m.Header)
	}
	for _, want := range []string{string(first), "33:contact.php", "signpost queue release --user ", "signpost queue delete --held --user ",
		fmt.Sprintf("uid %d", os.Getuid()), "    program: "} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the notice does not say %q:\n%s", want, body)
		}
	}
}

// sendAs hands a message in as the daemon takes one of uid.
func (w *world) sendAs(uid int, rcpt string) {
	w.t.Helper()
	who := intake.Caller{Origin: spool.Origin{Via: intake.ViaSocket, UID: uid}}
	h, err := w.d.intake.Load().Create(w.t.Context(), who, spool.Told{Rcpts: to(rcpt)})
	if err != nil {
		w.t.Fatal(err)
	}
	io.WriteString(h, strings.ReplaceAll(small, "\n", "\r\n"))
	if err := h.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

func texts(ids []spool.ID) (out []string) {
	for _, id := range ids {
		out = append(out, string(id))
	}
	slices.Sort(out)
	return out
}

func TestExcessIsToldOnce(t *testing.T) {
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		at   []time.Duration
		want []bool
	}{
		{"one after the other", []time.Duration{0, 1, time.Minute, 30 * time.Minute}, []bool{true, false, false, false}},
		{"going on", []time.Duration{0, 50 * time.Minute, 100 * time.Minute, 150 * time.Minute}, []bool{true, false, false, false}},
		{"after a quiet hour", []time.Duration{0, 61 * time.Minute}, []bool{true, true}},
		{"a clock set back", []time.Duration{1000 * time.Hour, 0, 1}, []bool{true, true, false}},
	}
	for _, tt := range tests {
		var q quotas
		var got []bool
		for _, d := range tt.at {
			got = append(got, q.over(7, start.Add(d)))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	var q quotas
	told := 0
	for n := range 60 {
		if q.over(7, start.Add(time.Duration(n)*50*time.Minute)) {
			told++
		}
	}
	if told != 3 { // 50 hours
		t.Errorf("told %d times in two days", told)
	}
	for uid := range 3 * maxExcess {
		q.over(uid, start)
	}
	if len(q.excess) > maxExcess {
		t.Errorf("%d users are remembered", len(q.excess))
	}
}

func TestPaceOfNotices(t *testing.T) {
	var p pace
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	sent := func(kind, user string) (n int) {
		for range 2 * paceKind {
			if p.take(kind, user, now) {
				n++
			}
		}
		return n
	}
	if n := sent("drop", "uid 7"); n != 1 {
		t.Errorf("%d about one user", n)
	}
	if n := sent("drop", "uid 8"); n != 1 {
		t.Errorf("%d about another", n)
	}
	if n := sent("damaged", ""); n != paceKind {
		t.Errorf("%d of a kind", n)
	}
	now = now.Add(paceTime)
	if n := sent("damaged", ""); n != paceKind {
		t.Errorf("%d an hour later", n)
	}
	now = now.Add(-1000 * time.Hour)
	if n := sent("damaged", ""); n != paceKind {
		t.Errorf("%d after the clock was set back", n)
	}
	if len(p.sent) > 3*paceKind {
		t.Errorf("%d are remembered", len(p.sent))
	}
}

func TestLimitsByName(t *testing.T) {
	var warned strings.Builder
	log := slog.New(slog.NewTextHandler(&warned, nil))
	l := newLimits(t.Context(), settings.Quota{MessagesPerHour: 5, Users: map[string]int{"root": 0, "1234": 7, "no.such.user": 1}}, local.Passwd{}, log)
	if len(l.Users) != 2 || l.Users[0] != 0 || l.Users[1234] != 7 || l.PerHour != 5 || l.None() {
		t.Errorf("%+v", l)
	}
	if strings.Count(warned.String(), "\n") != 1 || !strings.Contains(warned.String(), "no.such.user") {
		t.Errorf("warned: %s", warned.String())
	}
	if !(intake.Limits{Users: map[int]int{0: 0}}).None() || (intake.Limits{Users: map[int]int{0: 1}}).None() {
		t.Error("None")
	}
}

// After a crash between a message that is held and the notice about it, the notice is made up for, once.
func TestQuotaAfterACrash(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	j := history.Open(dir, 1000*time.Hour)
	id := func(n int) spool.ID { return spool.DerivedID(now, fmt.Sprint(n)) }
	add := func(n, uid int, ago time.Duration, what, held string) {
		r := history.Record{Time: now.Add(-ago), ID: id(n), What: what, Held: held, Origin: &spool.Origin{Via: "socket", UID: uid}}
		if err := j.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	const held = "over quota: x"
	add(1, 7, 50*time.Minute, "accepted", "")
	add(2, 7, 40*time.Minute, "accepted", held)
	add(3, 7, 30*time.Minute, "accepted", held)
	add(4, 8, 20*time.Minute, "accepted", held)
	add(4, 8, 20*time.Minute, viaNotice, "")
	add(5, 9, 10*time.Minute, "accepted", "held by an administrator")
	j.Close()

	q := quotas{now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)}
	untold := q.restore(dir)
	if len(untold) != 1 || untold[0].ID != id(2) {
		t.Errorf("to be told of: %+v", untold)
	}
	if !q.over(7, now) || q.over(7, now) || q.over(8, now) || !q.over(9, now) {
		t.Error("who has been told of is not known")
	}
}
