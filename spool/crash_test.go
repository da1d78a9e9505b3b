package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"signpost/spool"
	"signpost/spool/spooltest"
)

// A play is a run of the daemon on a disk whose power may be cut after every operation. It notes what it has promised
// so far; check says whether what is left on a disk keeps the promises. The scheduler and the intake that stand in
// here do what theirs must do: finish the step of a parent before its notice is tried, sync drop/new before an attempt.
type play struct {
	t    *testing.T
	disk *spooltest.Disk
	dir  *spool.Dir

	known    map[spool.ID]string // content of every message that may ever be found
	accepted map[spool.ID]bool   // Commit has returned nil, and the message has not been given to Remove
	final    map[spool.ID][]int  // recipients whose final result Record has returned nil for
	failed   map[spool.ID]bool   // of those, one is a failure that must be reported
	sent     map[spool.ID]bool   // an attempt has been made
	dropped  string              // content that Handover.Commit has promised
	took     map[string]spool.ID // ids of drop/new

	states     int
	violations []string
	cut        bool // no further states: one violation is enough
}

const root = "/spool"

var (
	sent2xx = spool.Status{Class: 2}
	soft4xx = spool.Status{Class: 4, Subject: 4, Detail: 1}
	hard5xx = spool.Status{Class: 5, Subject: 1, Detail: 1}
	instant = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
)

func newPlay(t *testing.T, model spooltest.Model) *play {
	return &play{
		t: t, disk: spooltest.NewDisk(model, "/"),
		known: map[spool.ID]string{}, accepted: map[spool.ID]bool{}, final: map[spool.ID][]int{},
		failed: map[spool.ID]bool{}, sent: map[spool.ID]bool{}, took: map[string]spool.ID{},
	}
}

// run plays act on a fresh spool and checks every state of the disk after every operation.
func (p *play) run(act func(*play)) {
	synctest.Test(p.t, func(t *testing.T) { // so that removals are synced only when the play lets time pass
		p.dir = p.open(p.disk)
		p.disk.After = p.check
		act(p)
		p.disk.After = nil
		if err := p.dir.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (p *play) open(disk *spooltest.Disk) *spool.Dir {
	d, err := spool.Open(root, spool.Options{
		FS: disk, MinFree: -1,
		Warn:    func(err error) { p.violation("warning: %v", err) },
		Corrupt: func(id spool.ID, _ string, err error) { p.violation("G2: corrupt: %s: %v", id, err) },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

func (p *play) violation(format string, args ...any) {
	p.violations = append(p.violations, fmt.Sprintf(format, args...))
	p.cut = true
}

// check cuts the power now.
func (p *play) check(op string) {
	for state := range p.disk.States() {
		if p.cut {
			return
		}
		p.states++
		found := state.String()
		if p.states%19 == 0 { // now and then it is cut once more during recovery
			state.After = func(op2 string) { p.checkAgain(state, op+", then "+op2) }
		}
		p.recover(state)
		if p.cut {
			p.violation("after %s, with %s", op, found)
		}
	}
}

func (p *play) checkAgain(disk *spooltest.Disk, op string) {
	for state := range disk.States() {
		if p.cut {
			return
		}
		p.states++
		found := state.String()
		p.recover(state)
		if p.cut {
			p.violation("after %s, with %s", op, found)
		}
	}
}

// recover starts on what is left, checks it, and goes on to the end, to see that it comes out once.
func (p *play) recover(state *spooltest.Disk) {
	d := p.open(state)
	defer d.Close()
	listed := p.listed(d)
	for id := range p.accepted {
		if _, ok := listed[id]; !ok {
			p.violation("G1: message %s is lost", id)
		}
	}
	for id, sum := range listed {
		p.checkMessage(d, sum)
		if sum.Bouncing && p.sent[noticeID(id)] {
			p.violation("G5: the failure of %s would be reported twice", id)
		}
	}
	p.checkDrop(spool.Drop{Path: root + "/drop", FS: state}, listed)
	for id := range p.failed {
		_, waits := listed[noticeID(id)]
		if !listed[id].Bouncing && !waits && !p.sent[noticeID(id)] {
			p.violation("G5: nobody learns of the failure of %s", id)
		}
	}
}

func (p *play) listed(d *spool.Dir) map[spool.ID]spool.Summary {
	listed := map[spool.ID]spool.Summary{}
	for sum, err := range d.List(context.Background()) {
		if err != nil {
			p.violation("listing: %v", err)
		}
		listed[sum.ID] = sum
	}
	return listed
}

// checkMessage looks at one message that was found.
func (p *play) checkMessage(d *spool.Dir, sum spool.Summary) {
	c, err := d.Claim(context.Background(), sum.ID)
	if err != nil {
		p.violation("claiming: %v", err)
		return
	}
	defer c.Release()
	r, err := c.Open()
	if err != nil {
		p.violation("opening: %v", err)
		return
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if want, ok := p.known[sum.ID]; err != nil || !ok || string(content) != want {
		p.violation("G2: content of %s is %.20q, %v", sum.ID, content, err)
	}
	env := c.Envelope()
	for _, i := range p.final[sum.ID] {
		if !env.Rcpts[i].Settled() {
			p.violation("G4: recipient %d of %s would be tried again", i, sum.ID)
		}
	}
	// The spool can still be written to, and a second note of the same kind does no harm.
	if err := c.Hold("checked"); err != nil {
		p.violation("recording: %v", err)
	}
}

// checkDrop looks at what is left of drop/new.
func (p *play) checkDrop(drop spool.Drop, listed map[spool.ID]spool.Summary) {
	names, err := drop.List()
	if err != nil {
		p.violation("drop: %v", err)
	}
	there := false
	for _, name := range names {
		dropped, err := drop.Open(name, 0)
		if err != nil {
			p.violation("G2: %v", err)
			continue
		}
		if _, err := io.ReadAll(dropped.Content()); err != nil {
			p.violation("G2: %v", err)
		}
		there = true
		if _, waits := listed[dropped.ID]; p.sent[dropped.ID] && !waits {
			p.violation("G4: %s would be taken and sent again", dropped.ID)
		}
	}
	if p.dropped == "" || there {
		return
	}
	for _, id := range p.took {
		if _, waits := listed[id]; waits || p.sent[id] {
			return
		}
	}
	p.violation("G1: the message in drop/ is lost")
}

func (p *play) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// accept commits a message.
func (p *play) accept(id spool.ID, content string, env spool.Envelope) (spool.ID, error) {
	w, err := p.dir.Create(context.Background(), id)
	p.must(err)
	p.known[w.ID()] = content
	_, err = io.WriteString(w, content)
	p.must(err)
	if err = w.Commit(env); err == nil {
		p.accepted[w.ID()] = true
		p.check("Commit of " + string(w.ID()))
	}
	return w.ID(), err
}

func (p *play) claim(id spool.ID) spool.Claim {
	c, err := p.dir.Claim(context.Background(), id)
	p.must(err)
	return c
}

// record notes one result, as after an attempt.
func (p *play) record(c spool.Claim, rcpt int, status spool.Status) {
	p.sent[c.ID()] = true
	p.must(c.Record([]spool.RcptResult{{Rcpt: rcpt, Result: spool.Result{Status: status, At: instant}}}, instant))
	if status.Class != 4 {
		p.final[c.ID()] = append(p.final[c.ID()], rcpt)
	}
	if status.Class == 5 {
		p.failed[c.ID()] = true
	}
	p.check("Record for " + string(c.ID()))
}

func (p *play) remove(c spool.Claim) {
	delete(p.accepted, c.ID())
	p.must(c.Remove())
}

// pass lets time go by, in which removals are synced.
func pass() {
	<-time.After(time.Second)
	synctest.Wait()
}

func noticeID(parent spool.ID) spool.ID {
	return spool.DerivedID(parent.Time(), "bounce", string(parent))
}

// bounce reports the failure of recipient 0 (B1, B2) and sends the notice.
func (p *play) bounce(c spool.Claim) spool.ID {
	id, err := p.accept(noticeID(c.ID()), "notice\r\n", parentOf(c.ID()))
	p.must(err)
	p.must(c.Bounced([]int{0}))
	return id
}

func parentOf(id spool.ID) spool.Envelope {
	return spool.Envelope{Rcpts: []spool.Recipient{{Addr: "ann"}}, Parent: id}
}

// deliver sends all of a message.
func (p *play) deliver(id spool.ID) {
	c := p.claim(id)
	p.sent[id] = true
	p.remove(c)
}

func envelope(addrs ...string) spool.Envelope {
	env := spool.Envelope{Sender: "ann@example.org"}
	for _, a := range addrs {
		env.Rcpts = append(env.Rcpts, spool.Recipient{Addr: a})
	}
	return env
}

// The acts. Each is played under both models.

// actDeliver: two messages, one of them large; a partial delivery, a deferral, the end.
func actDeliver(p *play) {
	first, _ := p.accept("", "Subject: x\r\n\r\ncontent\r\n", envelope("a@example.org", "b@example.org"))
	c := p.claim(first)
	p.must(c.Expand(c.Envelope().Rcpts))
	p.record(c, 1, soft4xx)
	p.record(c, 0, sent2xx)
	p.must(c.Release()) // moves to cur/
	second, _ := p.accept("", strings.Repeat("0123456789abcde\n", 20_000), envelope("a@example.org"))
	p.deliver(second)
	c = p.claim(first)
	p.record(c, 1, soft4xx)
	p.must(c.Hold("by hand"))
	p.must(c.Hold(""))
	p.record(c, 1, sent2xx)
	p.remove(c)
	pass()
	p.check("the end")
}

// actBounce: a failure is reported, then the other recipient is delivered, then the notice.
func actBounce(p *play) {
	id, _ := p.accept("", "content\r\n", envelope("a@example.org", "b@example.org"))
	c := p.claim(id)
	p.record(c, 0, hard5xx)
	notice := p.bounce(c)
	p.deliver(notice)
	p.record(c, 1, sent2xx)
	p.remove(c)
	// Once more, with nobody left: the parent goes right after it has been marked.
	id, _ = p.accept("", "content\r\n", envelope("a@example.org"))
	c = p.claim(id)
	p.record(c, 0, hard5xx)
	notice = p.bounce(c)
	p.remove(c)
	pass()
	p.deliver(notice)
	pass()
	p.check("the end")
}

// actDrop: a caller leaves a message, the daemon takes it and sends it.
func actDrop(p *play) {
	p.leave("Subject: dropped\r\n\r\n")
	drop := p.take(nil)
	p.must(drop.Sync())
	for _, id := range p.took {
		p.deliver(id)
	}
	pass()
	p.check("the end")
}

func (p *play) drop() spool.Drop { return spool.Drop{Path: root + "/drop", FS: p.disk} }

func (p *play) leave(content string) {
	h, err := p.drop().Submit(context.Background(), spool.Told{Rcpts: envelope("bob").Rcpts})
	p.must(err)
	_, err = io.WriteString(h, content)
	p.must(err)
	p.must(h.Commit())
	p.dropped = content
	p.check("Commit into drop/")
}

// take copies all of drop/new into the spool.
func (p *play) take(want error) spool.Drop {
	drop := p.drop()
	names, err := drop.List()
	p.must(err)
	for _, name := range names {
		dropped, err := drop.Open(name, 0)
		p.must(err)
		content, err := io.ReadAll(dropped.Content())
		p.must(err)
		p.took[name] = dropped.ID
		if _, err = p.accept(dropped.ID, string(content), envelope("bob@example.org")); !errors.Is(err, want) {
			p.t.Fatal(err)
		}
		p.must(dropped.Close())
		p.must(drop.Remove(name))
	}
	return drop
}

// actRandom: a few messages whose steps are mixed, the same at each run of the test.
func actRandom(p *play) {
	random := rand.New(rand.NewPCG(1, 2))
	var waiting []spool.ID
	steps := 20 // some 30,000 states
	if testing.Short() {
		steps = 10
	}
	for range steps {
		if len(waiting) < 2 || len(waiting) < 4 && random.IntN(3) == 0 {
			id, _ := p.accept("", strings.Repeat("x\r\n", random.IntN(200)), envelope("a@example.org", "b@example.org"))
			waiting = append(waiting, id)
			continue
		}
		i := random.IntN(len(waiting))
		if p.step(waiting[i], random) {
			waiting = slices.Delete(waiting, i, i+1)
		}
		if random.IntN(8) == 0 {
			pass()
		}
	}
}

// step does one random thing to a message, and reports whether it was the last.
func (p *play) step(id spool.ID, random *rand.Rand) bool {
	c := p.claim(id)
	defer c.Release()
	env := c.Envelope()
	open := slices.IndexFunc(env.Rcpts, func(r spool.Recipient) bool { return !r.Settled() })
	switch {
	case open < 0:
		if p.failed[id] && !env.Rcpts[0].Bounced {
			p.deliver(p.bounce(c))
		}
		p.remove(c)
		return true
	case random.IntN(3) == 0:
		p.record(c, open, soft4xx)
	case random.IntN(3) == 0 && open == 0:
		p.record(c, open, hard5xx)
	case random.IntN(4) == 0:
		p.must(c.Hold("by hand"))
	default:
		p.record(c, open, sent2xx)
	}
	return false
}

func TestNothingIsLostOrDoubledByAPowerCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(*play)
	}{
		{"deliver", actDeliver},
		{"bounce", actBounce},
		{"drop", actDrop},
		{"at random", actRandom},
	} {
		for name, prepare := range map[string]func(*play){
			"strict":                        func(p *play) { p.disk.Model = spooltest.Strict; p.disk.Carry = true },
			"ordered":                       func(p *play) { p.disk.Model = spooltest.Ordered },
			"strict without nameless files": func(p *play) { p.disk.Carry = true; p.disk.NoTemp = true },
		} {
			t.Run(tt.name+" "+name, func(t *testing.T) {
				p := newPlay(t, spooltest.Strict)
				prepare(p)
				p.run(tt.act)
				t.Logf("%d states", p.states)
				for _, v := range p.violations {
					t.Error(v)
				}
				if p.states < 20 {
					t.Errorf("%d states were looked at; the play does not work", p.states)
				}
			})
		}
	}
}

func TestABrokenOrderIsCaught(t *testing.T) {
	for _, tt := range []struct {
		name  string
		model spooltest.Model
		broke func(*play)
		act   func(*play)
		want  string
	}{
		{
			"the folder is not synced", spooltest.Strict,
			func(p *play) { p.disk.IgnoreSyncDir = true }, actDeliver, "G1",
		},
		{
			"the folder is not synced, and names change in order", spooltest.Ordered,
			func(p *play) { p.disk.IgnoreSyncDir = true }, actDeliver, "G1",
		},
		{
			"the file is not synced", spooltest.Strict,
			func(p *play) { p.disk.IgnoreSync = true }, actDeliver, "G2",
		},
		{
			"the file is not synced, and names change in order", spooltest.Ordered,
			func(p *play) { p.disk.IgnoreSync = true }, actDeliver, "G2",
		},
		{
			"the name in drop/new does not come along with the second sync", spooltest.Strict,
			func(p *play) { p.disk.Carry = false }, actDrop, "G1",
		},
		{
			"the notice is sent before its parent is marked", spooltest.Strict, func(*play) {},
			func(p *play) {
				id, _ := p.accept("", "content\r\n", envelope("a@example.org"))
				c := p.claim(id)
				p.record(c, 0, hard5xx)
				notice, _ := p.accept(noticeID(id), "notice\r\n", parentOf(id))
				p.deliver(notice)
				p.must(c.Bounced([]int{0}))
				p.must(c.Release())
			}, "G5",
		},
		{
			"the parent is marked before its notice is there", spooltest.Ordered, func(*play) {},
			func(p *play) {
				id, _ := p.accept("", "content\r\n", envelope("a@example.org"))
				c := p.claim(id)
				p.record(c, 0, hard5xx)
				p.must(c.Bounced([]int{0}))
				p.must(c.Release())
			}, "G5",
		},
		{
			"drop/new is not synced before the attempt", spooltest.Strict,
			func(p *play) { p.disk.Carry = true },
			func(p *play) {
				p.leave("content\r\n")
				p.take(nil)
				for _, id := range p.took {
					p.deliver(id)
				}
				p.must(p.dir.Close()) // makes the removal from the spool durable
				p.dir = p.open(p.disk)
			}, "G4",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlay(t, tt.model)
			tt.broke(p)
			p.run(tt.act)
			if got := strings.Join(p.violations, "; "); !strings.Contains(got, tt.want) {
				t.Errorf("violations are %q, want %s", got, tt.want)
			}
		})
	}
}
