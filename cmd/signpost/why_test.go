package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"signpost/mta/control"
	"signpost/mta/history"
	"signpost/spool"
)

// Mail that a mode diverted was not delivered to whom it was addressed to, and the story must not say so.
func TestWhyTellsWhereDivertedMailWent(t *testing.T) {
	const where = "caught in /srv/catch/"
	rcpt := []history.Rcpt{{Addr: "bob@one.test", Outcome: "sent", Status: "2.0.0", Detail: where + ", as [delivery] mode = \"catch\" says"}}
	s := stories([]history.Record{
		{ID: "A", What: "accepted", From: "ann@two.test", Rcpts: []history.Rcpt{{Addr: "bob@one.test"}}},
		{ID: "A", What: "attempt", From: "ann@two.test", Rcpts: rcpt, Diverted: where, Gone: true},
	})[0]
	var b strings.Builder
	s.print(&b)
	if !strings.Contains(b.String(), "\n      not as addressed, but "+where+"\n") || !strings.Contains(b.String(), "<bob@one.test>: sent (2.0.0): "+where) {
		t.Errorf("the story:\n%s", b.String())
	}
	if got, want := s.ending(), "It did not go where it was addressed to, but was "+where+": [delivery] mode says so."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.records = append(s.records, history.Record{ID: "A", What: "attempt", Rcpts: []history.Rcpt{{Addr: "eve@one.test", Outcome: "sent", Status: "2.0.0"}}})
	if got, want := s.ending(), "It was delivered to 1 of 2 recipients; for the others it was "+where+", as [delivery] mode says."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRewritingIsTold(t *testing.T) {
	for _, tt := range []struct {
		change spool.Rewriting
		want   string
	}{
		{spool.Rewriting{What: "From", Old: "root@a", New: "ops@b", Rule: "root@*"}, `From: <root@a> became <ops@b>, as [rewrite] says for "root@*"`},
		{spool.Rewriting{What: "envelope", Old: "root@a", New: "root@b", Rule: "align"},
			"envelope sender <root@a> became <root@b>, as [rewrite] says by align, and From: has this domain, which is signed here"},
		{spool.Rewriting{What: "Sender", Old: "\x1b[2J@a", New: "ops@b", Rule: "*"}, `Sender: <\x1b[2J@a> became <ops@b>, as [rewrite] says for "*"`},
	} {
		s := stories([]history.Record{{ID: "A", What: "accepted", From: "ann@two.test", Rewritten: []spool.Rewriting{tt.change}}})[0]
		var why, show strings.Builder
		s.print(&why)
		if err := showMessage(t.Context(), &show, one{m: control.Message{ID: "A", Rewritten: []spool.Rewriting{tt.change}}}, "A", false, false); err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"why": why.String(), "queue show": show.String()} {
			if !strings.Contains(text, "  "+tt.want+"\n") {
				t.Errorf("%s says\n%s\nwithout %q", what, text, tt.want)
			}
		}
	}
}

// one is a queue of one message without content.
type one struct {
	control.Admin
	m control.Message
}

func (q one) Show(context.Context, spool.ID) (control.Message, error) { return q.m, nil }

func (q one) Content(context.Context, spool.ID) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), nil
}
