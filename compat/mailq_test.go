package compat_test

import (
	"context"
	"errors"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"signpost/compat"
	"signpost/spool"
)

func deferred(text string) spool.Result {
	return spool.Result{Status: spool.Status{Class: 4, Subject: 4, Detail: 1}, Detail: text}
}

func entries() []spool.Entry {
	said := spool.Result{Status: spool.Status{Class: 4, Subject: 7, Detail: 1}, Remote: "mx.example.com[192.0.2.1]:25",
		Reply: "451 4.7.1 try later\nor\x1b[2J not"}
	at := time.Date(2026, 11, 3, 8, 0, 45, 0, time.Local)
	return []spool.Entry{
		{ID: "3C2F1A0B7D", Size: 1234, Active: true, Envelope: spool.Envelope{Sender: ann, Arrived: at,
			Rcpts: []spool.Recipient{{Addr: b, Last: said}, {Addr: c, Last: said}, {Addr: d, Last: deferred("no route")}}}},
		{ID: "01KB9ZJ3F40ABCDEFG", Size: 100, Envelope: spool.Envelope{Arrived: at, Held: "by the admin", Rcpts: []spool.Recipient{
			{Addr: x}, {Addr: "gone@example.com", Last: spool.Result{Status: spool.Status{Class: 2}}},
			{Addr: "bad", Last: spool.Result{Status: spool.Status{Class: 5, Subject: 1, Detail: 1}}}}}},
		{ID: "01KB9ZJ3F40ABCDEFH", Size: 5000, Hidden: true, Envelope: spool.Envelope{Arrived: at}},
	}
}

const longQueue = `-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
3C2F1A0B7D*    1234 Tue Nov  3 08:00:45  ann@host.example.test
 (host mx.example.com[192.0.2.1]:25 said: 451 4.7.1 try later or?[2J not)
                                         bob@example.com
                                         carol@example.com
                                                                  (no route)
                                         dave@example.net

01KB9ZJ3F40ABCDEFG!     100 Tue Nov  3 08:00:45  MAILER-DAEMON
                                                        (held: by the admin)
                                         x@example.org

01KB9ZJ3F40ABCDEFH    5000 Tue Nov  3 08:00:45  <hidden>
                                         <hidden>

		Total requests: 3
-- 6 Kbytes in 3 Requests.
`

func TestMailq(t *testing.T) {
	w := newWorld(t)
	w.queue = entries()
	if got := w.run("", "-bp"); got.status != 0 || got.stderr != "" || got.stdout != strings.Replace(longQueue, "\n (host", "\n"+
		strings.Repeat(" ", 76-len("(host mx.example.com[192.0.2.1]:25 said: 451 4.7.1 try later or?[2J not)"))+"(host", 1) {
		t.Errorf("status %d, %q\n%s", got.status, got.stderr, got.stdout)
	}
	got := w.run("", "-bp", "3c2f1a0b7d")
	if got.status != 0 || !strings.HasSuffix(got.stdout, "\n\t\tTotal requests: 1\n-- 1 Kbytes in 1 Request.\n") || strings.Contains(got.stdout, x) {
		t.Errorf("one id: status %d\n%s", got.status, got.stdout)
	}
	if got := w.run("", "-bp", "nonesuch"); got.status != 0 || got.stdout != "No such message in the queue\n" {
		t.Errorf("an id that is not there: %+v", got)
	}
	if got := w.run("", "-bp", "-v"); got.status != 0 || !strings.Contains(got.stdout, "(tries so far 0, next try at once; handed in by uid 0)\n") {
		t.Errorf("the longer list:\n%s", got.stdout)
	}
}

// What monitoring programs look for: check_mailq as it reads sendmail's list and Postfix's, and lines of shell.
func TestMailqIsReadByOthers(t *testing.T) {
	last := func(s string) string { return s[strings.LastIndexByte(strings.TrimSuffix(s, "\n"), '\n')+1:] }
	for n, queue := range map[string][]spool.Entry{"0": nil, "1": entries()[:1], "3": entries()} {
		w := newWorld(t)
		w.queue = queue
		w.arg0 = "/usr/bin/mailq"
		out := w.run("").stdout
		postfix := regexp.MustCompile(`(?i)mail queue is empty|-- [0-9.]+ Kbytes in (\d+) Request[s]?\.`).FindStringSubmatch(last(out))
		if postfix == nil || n != "0" && postfix[1] != n {
			t.Errorf("%s messages: the last line is %q", n, last(out))
		}
		sendmail := regexp.MustCompile(`(?im)^\s+Total requests:\s+(\d+)$`).FindStringSubmatch(out)
		if (sendmail == nil) != (n == "0") || sendmail != nil && sendmail[1] != n {
			t.Errorf("%s messages: the total is %q", n, sendmail)
		}
		if strings.Contains(out, "mqueue") {
			t.Errorf("%s messages: sendmail's heading", n)
		}
		if ids := regexp.MustCompile(`(?m)^[0-9A-F]`).FindAllString(out, -1); strconv.Itoa(len(ids)) != n {
			t.Errorf("%s messages: %d lines begin like an id", n, len(ids))
		}
		if in := regexp.MustCompile(`in (\d+) R`).FindStringSubmatch(last(out)); n != "0" && (in == nil || in[1] != n) {
			t.Errorf("%s messages: %q", n, in)
		}
	}
}

func TestMailqIsNotEmptyWhereItIsNotKnown(t *testing.T) {
	w := newWorld(t)
	w.failing = spool.ErrNoDaemon
	if got := w.run("", "-bp"); got.status != 75 || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("%+v", got)
	}
	w.queue, w.failing = entries(), errors.New("message x is damaged")
	if got := w.run("", "-bp"); got.status != 75 || !strings.Contains(got.stdout, "Total requests: 3\n") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("%+v", got)
	}
}

func TestMailqIntoAClosedPipe(t *testing.T) {
	w := newWorld(t)
	w.queue = entries()
	var stderr strings.Builder
	status := compat.Main(t.Context(), compat.Env{Args: args("mailq"), Stdout: closedPipe{}, Stderr: &stderr, Spool: w, Config: w.config})
	if status != 74 || stderr.String() != "" {
		t.Errorf("status %d, %q", status, stderr.String())
	}
}

// slow is a queue whose second entry comes when the first has been printed.
type slow struct {
	*world
	printed <-chan struct{}
}

func (s slow) Queue(context.Context) iter.Seq2[spool.Entry, error] {
	return func(yield func(spool.Entry, error) bool) {
		if yield(entries()[0], nil) {
			<-s.printed
			yield(entries()[1], nil)
		}
	}
}

// tell says when the first octets are written.
type tell struct {
	strings.Builder
	printed chan struct{}
}

func (w *tell) Write(p []byte) (int, error) {
	if w.Len() == 0 {
		close(w.printed)
	}
	return w.Builder.Write(p)
}

func TestMailqPrintsAtOnce(t *testing.T) {
	w := newWorld(t)
	out := &tell{printed: make(chan struct{})}
	status := compat.Main(t.Context(), compat.Env{Args: args("mailq"), Stdout: out, Spool: slow{w, out.printed}, Config: w.config})
	if status != 0 || !strings.Contains(out.String(), "2 Requests.") {
		t.Errorf("status %d\n%s", status, out.String())
	}
}
