package mta

import (
	"errors"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpost/mta/stage"
)

// caught lists what lies in the Maildir for caught mail, with its envelope, in no order.
func (w *world) caught() (all []catch) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "spool/catch/new")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		m, err := mail.ReadMessage(strings.NewReader(string(b)))
		if err != nil {
			w.t.Fatalf("%v in %q", err, b)
		}
		all = append(all, catch{string(b), m.Header.Get("Return-Path"), m.Header["X-Original-To"]})
	}
	return all
}

type catch struct {
	content string
	sender  string
	rcpts   []string
}

func (c catch) String() string { return c.sender + " " + strings.Join(c.rcpts, " ") }

// envelopes are the envelopes of what was caught, sorted.
func envelopes(all []catch) (list []string) {
	for _, c := range all {
		list = append(list, c.String())
	}
	slices.Sort(list)
	return list
}

// leftAlone fails where somebody has connected to an exchanger.
func leftAlone(t *testing.T, all ...*stage.Exchanger) {
	t.Helper()
	for _, x := range all {
		for _, s := range x.Sessions() {
			t.Errorf("%s was connected to:\n%s", x.Name, strings.Join(s.Lines, "\n"))
		}
	}
}

func TestCaughtMailIsAsItWouldLeave(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.delivery = "mode = \"catch\"\n"
	w.key("r", "rsa2048")
	w.start()
	id := w.send(letter{sender: "ann@" + host, rcpts: to("bob@one.test", "carol@two.test", "root")})
	all := w.settle()
	leftAlone(t, one)
	got := w.caught()
	if len(got) != 1 || got[0].String() != "<ann@mta.test> bob@one.test carol@two.test root@mta.test" {
		t.Fatalf("caught: %v", got)
	}
	if !strings.HasPrefix(got[0].content, "Return-Path: <ann@mta.test>\nX-Original-To: bob@one.test\n") || strings.Contains(got[0].content, "\r") {
		t.Errorf("caught:\n%s", got[0].content)
	}
	w.verify([]byte(strings.ReplaceAll(got[0].content, "\n", "\r\n")), 1)
	for _, a := range about(all, id, "attempt") {
		if a.str("status") != "sent" || a.str("diverted") != "caught in "+w.dir+"/spool/catch/" ||
			a.str("reply") != "caught in "+w.dir+"/spool/catch/, as [delivery] mode = \"catch\" says" {
			t.Errorf("in the log: %v", a)
		}
	}
	if warned := all[slices.IndexFunc(all, func(l line) bool { return l.str("mode") != "" })]; warned.str("level") != "WARN" || warned.str("mode") != "catch" {
		t.Errorf("at the start: %v", warned)
	}
	if info, err := os.Stat(filepath.Join(w.dir, "spool/catch")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the Maildir: %v, %v", info.Mode(), err)
	}
}
