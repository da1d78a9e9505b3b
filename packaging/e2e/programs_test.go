//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// program is a caller of sendmail as Debian ships it, and what arrives when it sends.
type program struct {
	name  string            // of the caller, and how it calls where there are several ways
	pkg   string            // Debian package
	user  string            // who runs it; empty: ann
	copy  []string          // files of testdata/callers that are put into his home
	files map[string]string // others that are his; relative paths lie in his home
	setup func(t *testing.T, who inside.Account)
	serve []string // a daemon of the program, started by root before and stopped afterwards; nil: none
	run   string   // for sh; empty: the daemon does all
	stdin string
	says  string // what it writes, as like has it
	want  []arrival
}

// arrival is a message as it reaches the exchanger.
type arrival struct {
	caller  string   // who called sendmail, as the Received field has him; empty: program.user
	sender  string   // reverse-path
	rcpts   []string // forward-paths
	fields  []string // lines of the header, as like has them; by the first of them messages are told apart
	foreign bool     // From names a domain of somebody else, so it is not signed
	parts   []string // the body, or the leaves of one of several parts, decoded and with LF, as like has them
}

// programs is all of them. What the packages' own scripts and libraries do is in testdata/callers.
func programs() []program {
	return slices.Concat(mailReaders, libraries, systemPrograms)
}

// Programs as Debian ships them send through what our package has installed: envelope, header and body are at the
// exchanger what they were meant to be, signed, without Bcc, and the true caller is noted.
func TestPrograms(t *testing.T) {
	for _, p := range programs() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			inside.Run(t, inside.Programs, nil, p.check)
		})
	}
}

func (p program) check(t *testing.T) {
	_, mx := outside(t)
	p.user = or(p.user, "ann")
	who := inside.User(t, p.user)
	p.prepare(t, who)
	if p.serve != nil {
		defer background(t, p.serve)()
	}
	if p.run != "" {
		// A program that asks for something at a terminal would wait for ever.
		cmd := who.Command("/usr/bin/timeout", "--foreground", "--signal=KILL", fmt.Sprint(inside.Limit.Seconds()), "/bin/sh", "-c", p.run)
		cmd.Stdin = strings.NewReader(p.stdin)
		if status, said := inside.Status(t, cmd); status != 0 || !like(said, p.says) {
			t.Errorf("status %d: %s", status, said)
		}
	}
	got := inside.Messages(t, mx, len(p.want))
	for _, w := range p.want {
		w.caller = or(w.caller, p.user)
		w.check(t, got)
	}
	queueEmpty(t)
	if n := len(mx.Accepted()); n != len(p.want) {
		t.Errorf("%d messages arrived, want %d", n, len(p.want))
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// prepare writes the files that the program needs.
func (p program) prepare(t *testing.T, who inside.Account) {
	t.Helper()
	at := func(name string) string {
		if strings.HasPrefix(name, "/") {
			return name
		}
		return who.Home + "/" + name
	}
	for _, name := range p.copy {
		text, err := os.ReadFile("testdata/callers/" + name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, who, at(name), text, 0o644)
	}
	for name, text := range p.files {
		write(t, who, at(name), []byte(text), 0o644)
	}
	if p.setup != nil {
		p.setup(t, who)
	}
}

// background starts a daemon and gives the function that ends it.
func background(t *testing.T, args []string) (end func()) {
	t.Helper()
	var said bytes.Buffer
	cmd := inside.Command(t, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", args[0], said.Bytes())
		}
	}
}

// check finds the message among those that arrived and compares it.
func (w arrival) check(t *testing.T, got []stage.Transaction) {
	t.Helper()
	i := slices.IndexFunc(got, func(m stage.Transaction) bool { return hasLine(parse(t, m.Content).head, w.fields[0]) })
	if i < 0 {
		t.Errorf("no message with the line %q; the first is\n%s", w.fields[0], got[0].Content)
		return
	}
	m := got[i]
	checkEnvelope(t, m, w.sender, w.rcpts...)
	p := parse(t, m.Content)
	p.lacks(t, "Bcc", "Return-Path")
	for _, f := range w.fields {
		if !hasLine(p.head, f) {
			t.Errorf("the header has no line like %q", f)
		}
	}
	for _, name := range []string{"From", "Date", "Message-Id"} {
		if len(p.Header[name]) != 1 || p.Get(name) == "" {
			t.Errorf("%s: %q", name, p.Header[name])
		}
	}
	uid := fmt.Sprintf("(from %s@localhost; uid %d)", w.caller, inside.User(t, w.caller).UID)
	if !strings.Contains(p.Get("Received"), uid) {
		t.Errorf("Received: %s; want %s", p.Get("Received"), uid)
	}
	parts := p.leaves(t)
	if !slices.EqualFunc(parts, w.parts, like) {
		t.Errorf("the body is %q, want %q", parts, w.parts)
	}
	signatures := 2
	if w.foreign {
		signatures = 0
	}
	inside.Verify(t, m.Content, signatures)
	if t.Failed() {
		t.Logf("the message:\n%.4000s", m.Content)
	}
}

// leaves gives the decoded body, or those of its parts, with LF.
func (p parsed) leaves(t *testing.T) []string {
	t.Helper()
	var all []string
	if strings.HasPrefix(p.Get("Content-Type"), "multipart/") {
		for _, part := range p.parts(t) {
			all = append(all, string(part))
		}
	} else {
		var text bytes.Buffer
		if _, err := text.ReadFrom(decoder(p.Get("Content-Transfer-Encoding"), strings.NewReader(p.body))); err != nil {
			t.Fatal(err)
		}
		all = append(all, text.String())
	}
	for i, s := range all {
		all[i] = strings.ReplaceAll(s, "\r\n", "\n")
	}
	return all
}

// hasLine reports whether a line of the header is like pattern.
func hasLine(head, pattern string) bool {
	for l := range strings.SplitSeq(head, "\r\n") {
		if like(l, pattern) {
			return true
		}
	}
	return false
}

// like reports whether text is as pattern says, in which "…" stands for anything.
func like(text, pattern string) bool {
	pieces := strings.Split(pattern, "…")
	rest, ok := strings.CutPrefix(text, pieces[0])
	if !ok || len(pieces) == 1 {
		return ok && rest == ""
	}
	last := len(pieces) - 1
	for _, piece := range pieces[1:last] {
		if _, rest, ok = strings.Cut(rest, piece); !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, pieces[last])
}

func TestLike(t *testing.T) {
	for _, tt := range []struct {
		text, pattern string
		want          bool
	}{
		{"", "", true}, {"a", "", false}, {"", "…", true}, {"abc", "abc", true}, {"abc", "ab", false}, {"abc", "a…c", true},
		{"abc", "…", true}, {"abc", "b…", false}, {"abcbc", "a…b…c", true}, {"ab", "a…b…b", false}, {"aba", "ab…ba", false},
	} {
		if got := like(tt.text, tt.pattern); got != tt.want {
			t.Errorf("like(%q, %q) = %t", tt.text, tt.pattern, got)
		}
	}
}

// check_mailq counts the queue, whichever of the mail systems it is told to expect, also for a user who sent nothing.
func TestCheckMailq(t *testing.T) {
	inside.Run(t, inside.Programs, nil, func(t *testing.T) {
		inside.DNS(t, "example.net. IN MX 10 mx.example.net.\nmx.example.net. IN A 198.51.100.1\n") // where nobody listens
		inside.Daemon(t, "")
		ann, bob := inside.User(t, "ann"), inside.User(t, "bob")
		check := func(who inside.Account, system, limits string, want int, says string) {
			t.Helper()
			cmd := who.Command("/bin/sh", "-c", "/usr/lib/nagios/plugins/check_mailq -M "+system+" "+limits)
			if status, said := inside.Status(t, cmd); status != want || !like(said, says) {
				t.Errorf("%s, as %s, %s: status %d: %q, want %d: %q", who.Name, system, limits, status, said, want, says)
			}
		}
		for _, system := range []string{"sendmail", "postfix"} {
			check(ann, system, "-w 2 -c 5", 0, "OK: "+system+" mailq …empty|unsent=0;2;5;0\n")
		}
		for range 3 {
			send(t, ann, "Subject: hello\n\nworld\n", "bob@example.net")
		}
		for _, who := range []inside.Account{ann, bob} {
			for _, system := range []string{"sendmail", "postfix"} {
				check(who, system, "-w 4 -c 5", 0, "OK: "+system+" mailq (3) is below threshold (4/5)|unsent=3;4;5;0\n")
				check(who, system, "-w 2 -c 5", 1, "WARNING: "+system+" mailq is 3 (threshold w = 2)|unsent=3;2;5;0\n")
				check(who, system, "-w 1 -c 2", 2, "CRITICAL: "+system+" mailq is 3 (threshold c = 2)|unsent=3;1;2;0\n")
			}
		}
	})
}
