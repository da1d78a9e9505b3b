package main

import (
	"strings"
	"testing"

	"signpost/mta/history"
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
