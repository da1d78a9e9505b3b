package mta

import (
	"strings"
	"testing"
	"time"

	"signpost/mta/config"
	"signpost/mta/local"
	"signpost/mta/stage"
	"signpost/spool"
)

// expanding is a claim of a message with these recipients.
type expanding struct {
	*held
	rcpts []spool.Recipient
}

func (e *expanding) Envelope() spool.Envelope { return spool.Envelope{Rcpts: e.rcpts} }

// A program that its line does not name any more must not wait for ever, nor may anybody get the message twice.
func TestWhatIsNotNamedAnyMoreIsFoundAnew(t *testing.T) {
	w := newWorld(t)
	path := w.write("aliases", "crowd: x@one.test, |/bin/new\n")
	open := new(gate)
	open.current.Store(newMode(config.Default().Delivery))
	d := &deliverer{now: time.Now, gate: open, local: &local.Mailboxes{Domains: []string{host}, Hostname: host, Aliases: path, Programs: true, RunAs: "nobody"}}
	gone := spool.ResultOf(spool.Errorf(local.NotNamed, "not named any more"), moment)
	sent := spool.Result{Status: spool.Status{Class: 2}, At: moment}
	old := spool.Recipient{Kind: spool.Program, Addr: "/bin/old", Source: path, RunAs: "nobody", Original: "crowd@" + host, Last: gone}
	kept := spool.Recipient{Addr: "x@one.test", Original: "crowd@" + host, Last: sent}
	c := &expanding{heldText(1, signable), []spool.Recipient{kept, old}}
	got := d.Expand(t.Context(), c)
	if len(got) != 2 || got[0] != kept || got[1].Addr != "/bin/new" || got[1].Last.Outcome() != spool.Pending {
		t.Errorf("got %+v", got)
	}
	w.write("aliases", "crowd: x@one.test\n")
	c.rcpts = []spool.Recipient{kept, old}
	got = d.Expand(t.Context(), c)
	if len(got) != 2 || got[0] != kept || got[1].Last.Outcome() != spool.Delivered {
		t.Errorf("where nobody is left: %+v", got)
	}
	old.Last.Status.Detail = 0
	c.rcpts = []spool.Recipient{old}
	if got = d.Expand(t.Context(), c); len(got) != 1 || got[0] != old {
		t.Errorf("what waits for another reason: %+v", got)
	}
}

func TestWhatComesBackGoesNoFurther(t *testing.T) {
	d := &deliverer{now: time.Now, local: &local.Mailboxes{Hostname: host}}
	text := "Received: x\r\nDelivered-To: ann@" + host + "\r\n" + signable
	targets := []spool.Recipient{{Addr: "x@one.test", Forwarder: "ann"}, {Addr: "y@one.test", Forwarder: "bob"}, {Addr: "z@one.test"}}
	if err := d.stopLoops(heldText(1, text), targets); err != nil {
		t.Fatal(err)
	}
	if s := targets[0].Last.Status.String(); s != "5.4.6" || targets[1].Settled() || targets[2].Settled() {
		t.Errorf("got %+v", targets)
	}
	if err := d.stopLoops(&held{fail: spool.ErrCorrupt}, targets[1:]); err == nil {
		t.Error("a message that cannot be read is sent away")
	}
}

// The copies that a ~/.forward sends away say so before the signed part; others do not.
func TestCopiesOfAForwardSaySo(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.key("r", "rsa2048")
	w.start()
	draft, err := w.d.dir.Create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := draft.Write([]byte(strings.ReplaceAll(small, "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
	if err := draft.Commit(spool.Envelope{Sender: "bob@" + host, Arrived: time.Now(), Rcpts: []spool.Recipient{
		{Addr: "x@one.test", Forwarder: "ann"}, {Addr: "y@one.test"}, {Addr: "z@one.test", Forwarder: "ann"},
	}}); err != nil {
		t.Fatal(err)
	}
	for _, got := range w.arrive(one, 2) {
		content := string(got.Content)
		trace := strings.HasPrefix(content, "Delivered-To: ann@"+host+"\r\nDKIM-Signature:")
		if want := got.Rcpts[0].Addr == "x@one.test"; trace != want || len(got.Rcpts) != map[bool]int{true: 2, false: 1}[want] {
			t.Errorf("%v: %s", got.Rcpts, content)
		}
		w.verify(got.Content, 1)
	}
}
