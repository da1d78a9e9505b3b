package compat_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"signpost/compat"
	"signpost/spool"
)

// codes gives the codes of replies, one for a reply of several lines.
func codes(replies string) string {
	var all []string
	for line := range strings.Lines(replies) {
		if len(line) > 3 && line[3] == ' ' {
			all = append(all, line[:3])
		}
	}
	return strings.Join(all, " ")
}

func crlf(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

var (
	mailFrom = "MAIL FROM:<x@example.org>"
	rcptTo   = "RCPT TO:<bob@example.com>"
)

func TestDialogueTakesSeveralMessages(t *testing.T) {
	w := newWorld(t)
	got := w.run(crlf("EHLO me", mailFrom, rcptTo, "DATA", "Subject: one", "Bcc: c@example.com", "", "1", ".",
		mailFrom, "RSET", "MAIL FROM:<>", "RCPT TO:<ann>", "DATA", "Subject: two", "", "2", ".", "QUIT", "NOOP"), "-bs", "-f", "nobody", "-odb", "-oem")
	if got.status != 0 || codes(got.stdout) != "220 250 250 250 354 250 250 250 250 250 354 250 221" || got.stderr != "" {
		t.Fatalf("%+v", got)
	}
	if strings.Count(got.stdout, "250 2.0.0 Ok: queued as ") != 2 {
		t.Errorf("no queue ids: %q", got.stdout)
	}
	if len(w.all) != 2 {
		t.Fatalf("%d messages", len(w.all))
	}
	if m := w.all[0]; m.env.Sender != x || strings.Join(m.rcpts(), " ") != b || strings.Contains(m.content, "Bcc") {
		t.Errorf("%+v", m)
	}
	if m := w.all[1]; m.env.Sender != "" || strings.Join(m.rcpts(), " ") != ann || !strings.Contains(m.content, "\r\nSubject: two\r\n") {
		t.Errorf("%+v", m)
	}
}

func TestDialogueCarriesTheParameters(t *testing.T) {
	w := newWorld(t)
	got := w.run(crlf("ehlo me", "mail from: <x@example.org> size=100 body=8bitmime smtputf8 ret=hdrs envid=a+2Bb",
		"rcpt to:<bob@example.com> notify=success,Delay orcpt=rfc822;old+2Bbob@example.com",
		"rcpt to:<j\u00f6rg@example.com> notify=never orcpt=utf-8;j\\x{F6}rg@example.com",
		`rcpt to:<"a > b"@example.com> orcpt=x400;whatever`, `rcpt to:<\bob>`, "data", "", ".", "quit"), "-bs", "-N", "never", "-R", "full")
	if got.status != 0 || codes(got.stdout) != "220 250 250 250 250 250 250 354 250 221" {
		t.Fatalf("%+v", got)
	}
	told := w.told
	if told.Body != "8BITMIME" || told.Ret != "HDRS" || told.EnvID != "a+b" || told.Sender == nil || *told.Sender != x || told.PID != 4711 {
		t.Errorf("told %+v", told)
	}
	want := []spool.Recipient{
		{Addr: b, Original: "old+bob@example.com", Notify: spool.NotifySuccess | spool.NotifyDelay},
		{Addr: "j\u00f6rg@example.com", Original: "j\u00f6rg@example.com", Notify: spool.NotifyNever},
		{Addr: `"a > b"@example.com`},
		{Addr: "bob@" + host, NoAlias: true},
	}
	if got := got.message.env.Rcpts; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("recipients\n%+v, want\n%+v", got, want)
	}
}

// Once a recipient is refused the others still get the message.
func TestDialogueWithBadRecipients(t *testing.T) {
	w := newWorld(t)
	got := w.run(crlf(mailFrom, "RCPT TO:<a@b@c>", "RCPT TO:<|id>", rcptTo, "DATA", "", ".", mailFrom, "RCPT TO:<@>", "DATA", "QUIT"), "-bs")
	if got.status != 0 || codes(got.stdout) != "220 250 501 501 250 354 250 250 501 554 221" || len(w.all) != 1 {
		t.Fatalf("%+v", got)
	}
	if rcpts := w.all[0].env.Rcpts; len(rcpts) != 1 {
		t.Errorf("recipients %+v", rcpts)
	}
}

func TestDialogueThatIsCutShort(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		status   int
		queued   int
	}{
		{"nothing", "", 0, 0},
		{"a greeting", "EHLO me\r\n", 0, 0},
		{"half a command", "EHLO me\r\nMAIL FROM:<x@exa", 0, 0},
		{"behind a reset", crlf(mailFrom, "RSET"), 0, 0},
		{"in the envelope", crlf(mailFrom, rcptTo), 65, 0},
		{"before the first line", crlf(mailFrom, rcptTo, "DATA"), 65, 0},
		{"in the header", crlf(mailFrom, rcptTo, "DATA") + "Subject", 65, 0},
		{"in the body", crlf(mailFrom, rcptTo, "DATA", "Subject: s", "", "x"), 65, 0},
		{"at the dot", crlf(mailFrom, rcptTo, "DATA", "Subject: s", "", "x") + ".", 65, 0},
		{"behind the dot", crlf(mailFrom, rcptTo, "DATA", "Subject: s", "", "x", "."), 0, 1},
		{"in a second message", crlf(mailFrom, rcptTo, "DATA", "Subject: s", "", "x", ".", mailFrom, rcptTo, "DATA", "x"), 65, 1},
		{"in the midst of a large one", crlf(mailFrom, rcptTo, "DATA", "Subject: s", "", strings.Repeat("x\r\n", 1<<20)), 65, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			got := w.run(tt.in, "-bs")
			lines := 1
			if tt.status == 0 {
				lines = 0
			}
			if got.status != tt.status || len(w.all) != tt.queued || strings.Count(got.stderr, "\n") != lines {
				t.Errorf("status %d, %d messages, stderr %q, replies %q", got.status, len(w.all), got.stderr, got.stdout)
			}
		})
	}
}

// A message that cannot be had now, or not at all, is answered as such, and the dialogue goes on.
func TestDialogueWhereTheSpoolRefuses(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{spool.Errorf(spool.Status{Class: 4, Subject: 3, Detail: 1}, "%w", spool.ErrNoSpace), "452 4.3.1 "},
		{fmt.Errorf("link: %w", syscall.EIO), "451 4.3.0 "},
		{spool.Errorf(spool.Status{Class: 4, Subject: 4, Detail: 2}, "the daemon\r\n250 hung up"), "451 4.4.2 the daemon 250 hung up\r\n"},
		{spool.Errorf(spool.Status{Class: 5, Subject: 4, Detail: 6}, "a loop"), "554 5.4.6 a loop\r\n"},
	} {
		w := newWorld(t)
		w.refuse = tt.err
		got := w.run(crlf(mailFrom, rcptTo, "DATA", "Subject: s", "", strings.Repeat("NOOP\r\n", 1<<19), ".", "NOOP", "QUIT"), "-bs")
		if got.status != 0 || codes(got.stdout) != "220 250 250 354 "+tt.want[:3]+" 250 221" || !strings.Contains(got.stdout, tt.want) || len(w.all) != 0 {
			t.Errorf("%v: %+v", tt.err, got)
		}
	}
}

func TestDialogueHoldsTheLimitsOfAMessage(t *testing.T) {
	config := "[spool]\nmax_message_size = \"1MB\"\n"
	for _, tt := range []struct{ name, content string }{
		{"a body over the size", "Subject: s\r\n\r\n" + strings.Repeat("0123456789\r\n", 100_000)},
		{"too many fields", strings.Repeat("a: b\r\n", 2000) + "\r\n"},
		{"a field that is too long", "a: " + strings.Repeat("x", 600<<10) + "\r\n\r\n"},
		{"nothing but NULs", strings.Repeat("\x00", 2<<20) + "\r\n"},
	} {
		w := newWorld(t)
		w.configure(config)
		got := w.run(crlf(mailFrom, rcptTo, "DATA")+tt.content+crlf(".", mailFrom, rcptTo, "DATA", "", "x", ".", "QUIT"), "-bs")
		if got.status != 0 || codes(got.stdout) != "220 250 250 354 552 250 250 354 250 221" || len(w.all) != 1 {
			t.Errorf("%s: status %d, %q, %q", tt.name, got.status, cut(got.stdout), got.stderr)
		}
	}
	w := newWorld(t)
	w.configure(config)
	got := w.run(crlf("EHLO me", mailFrom+" SIZE=1000001", mailFrom+" SIZE=999999999999999999999", mailFrom+" SIZE=-1", mailFrom+" SIZE=1000000", "RSET"), "-bs")
	if codes(got.stdout) != "220 250 552 552 501 250 250" || !strings.Contains(got.stdout, "250-SIZE 1000000\r\n") {
		t.Errorf("SIZE: %+v", got)
	}
}

func TestDialogueWithABrokenWorld(t *testing.T) {
	w := newWorld(t)
	w.stdin = io.MultiReader(strings.NewReader(crlf(mailFrom, rcptTo, "DATA", "x")), iotest.ErrReader(syscall.EIO))
	if got := w.run("", "-bs"); got.status != 74 || len(w.all) != 0 || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("input: %+v", got)
	}
	var stderr strings.Builder
	status := compat.Main(t.Context(), compat.Env{Args: args("sendmail", "-bs"), Stdin: strings.NewReader(crlf(mailFrom, rcptTo, "DATA", "x", ".")),
		Stdout: closedPipe{}, Stderr: &stderr, Spool: w, Config: w.config})
	if status != 74 || len(w.all) != 0 || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("output: status %d, %q, %d messages", status, stderr.String(), len(w.all))
	}
	if got := w.run("", "-bs", "-C", w.config+".none"); got.status != 66 || got.stdout != "" {
		t.Errorf("configuration: %+v", got)
	}
}

func TestDialogueOfMistakes(t *testing.T) {
	got := newWorld(t).run(strings.Repeat("BOGUS\r\n", 100), "-bs")
	if got.status != 76 || strings.Count(got.stdout, "\n") != 22 || !strings.HasSuffix(got.stdout, "421 4.7.0 Too many errors, closing\r\n") {
		t.Errorf("%+v", got)
	}
	for _, a := range [][]string{{"-t"}, {b}, {"--", b}} {
		got := newWorld(t).run("QUIT\r\n", append([]string{"-bs"}, a...)...)
		if got.status != 64 || got.read != 0 || got.stdout != "" {
			t.Errorf("%v: %+v", a, got)
		}
	}
}

// client speaks with a sendmail -bs in turns: it says nothing before it has the reply.
type client struct {
	t   *testing.T
	in  *io.PipeWriter
	out *bufio.Reader
}

// talk starts sendmail -bs and lets f speak with it. It gives the exit status.
func talk(t *testing.T, to compat.Spool, config string, f func(c *client), list ...string) int {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	var wg sync.WaitGroup
	status := -1
	wg.Go(func() {
		status = compat.Main(context.Background(), compat.Env{Args: append([]string{"sendmail", "-bs"}, list...), Stdin: inR, Stdout: outW,
			Stderr: io.Discard, Spool: to, Config: config})
		inR.Close()
		outW.Close()
	})
	f(&client{t, inW, bufio.NewReader(outR)})
	inW.Close()
	outR.CloseWithError(errors.New("the client is gone"))
	wg.Wait()
	return status
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, text); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads a reply, which must have this code.
func (c *client) hear(code string) {
	c.t.Helper()
	for {
		line, err := c.out.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, code) || !strings.HasSuffix(line, "\r\n") {
			c.t.Fatalf("reply %q, %v, want %s", line, err, code)
		}
		if line[3] == ' ' {
			return
		}
	}
}

// Symfony Mailer reads each reply before it says more, sends the message in pieces, and keeps the process for the next
// message behind a RSET; it ends the process without QUIT or with it.
func TestSymfonyMailer(t *testing.T) {
	w := newWorld(t)
	status := talk(t, w, w.config, func(c *client) {
		c.hear("220")
		c.say("EHLO [127.0.0.1]\r\n")
		c.hear("250")
		for range 2 {
			c.say("MAIL FROM:<x@example.org>\r\n")
			c.hear("250")
			c.say("RCPT TO:<bob@example.com>\r\n")
			c.hear("250")
			c.say("RCPT TO:<carol@example.com>\r\n")
			c.hear("250")
			c.say("DATA\r\n")
			c.hear("354")
			c.say("From: x@example.org\r\nTo: bob@example.com\r\nSubject: s\r\n\r\n")
			c.say("line\r\n..dot\r\n")
			c.say("bare\n.\nlast\r\n")
			c.say("\r\n.\r\n")
			c.hear("250")
		}
		c.say("RSET\r\n")
		c.hear("250")
		c.say("QUIT\r\n")
		c.hear("221")
	})
	if status != 0 || len(w.all) != 2 {
		t.Fatalf("status %d, %d messages", status, len(w.all))
	}
	// A dot between bare LFs is text: the library looks for dots behind CRLF alone.
	if _, body := w.all[1].parts(t); body != "line\n.dot\nbare\n.\nlast\n\n" {
		t.Errorf("body %q", body)
	}
}

// alpine says EHLO with its host's name, asks for nothing else, and says QUIT behind each message.
func TestAlpine(t *testing.T) {
	w := newWorld(t)
	status := talk(t, w, w.config, func(c *client) {
		c.hear("220")
		c.say("EHLO host.example.test\r\n")
		c.hear("250")
		c.say("MAIL FROM:<ann@host.example.test> BODY=8BITMIME\r\n")
		c.hear("250")
		c.say("RCPT TO:<bob@example.com>\r\n")
		c.hear("250")
		c.say("DATA\r\n")
		c.hear("354")
		c.say("Date: Mon, 23 Nov 2026 18:00:45 +0000\r\nFrom: Ann <ann@host.example.test>\r\nSubject: h\xc3\xa9\r\n\r\nx\r\n.\r\n")
		c.hear("250")
		c.say("QUIT\r\n")
		c.hear("221")
	}, "-odb", "-oem")
	if status != 0 || len(w.all) != 1 || w.all[0].env.Sender != ann {
		t.Fatalf("status %d, %+v", status, w.all)
	}
}

// A client that ends in the middle gets nothing queued, though it had its replies.
func TestClientThatGoesAway(t *testing.T) {
	w := newWorld(t)
	status := talk(t, w, w.config, func(c *client) {
		c.hear("220")
		c.say(crlf(mailFrom, rcptTo, "DATA"))
		c.hear("250")
		c.hear("250")
		c.hear("354")
		c.say("Subject: s\r\n\r\nx\r\n")
	})
	if status != 65 || len(w.all) != 0 {
		t.Errorf("status %d, %d messages", status, len(w.all))
	}
}

// FuzzDialogue says anything to sendmail -bs.
func FuzzDialogue(f *testing.F) {
	for _, s := range []string{
		crlf("EHLO me", mailFrom, rcptTo, "DATA", "Subject: s", "", "..x", ".", "QUIT"),
		crlf("HELO me", mailFrom+" SIZE=1 BODY=7BIT RET=FULL ENVID=a+2B", rcptTo+" NOTIFY=NEVER ORCPT=utf-8;\\x{F6}@x", "DATA", "x", ".", mailFrom),
		"MAIL FROM:<>\nRCPT TO:bob\nDATA\nx\n.\r\nRSET\nNOOP\nVRFY x\nEXPN\nHELP\n",
		crlf(mailFrom, rcptTo, "DATA") + "x\r\n\n.\nMAIL\n.\r\ny\r\n.\r\n",
		"\x00\r\n" + strings.Repeat("x", 9000) + "\r\nRCPT TO:<\"a\\\"@x\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := newWorld(t)
		got := w.run(s, "-bs")
		if want := map[int]bool{0: true, 65: true, 76: true}; !want[got.status] {
			t.Fatalf("status %d, %q", got.status, got.stderr)
		}
		for line := range strings.Lines(got.stdout) {
			if !strings.HasSuffix(line, "\r\n") || strings.ContainsAny(line[:len(line)-2], "\r\x00\x1b") || len(line) > 512 || line[0] < '2' || line[0] > '5' {
				t.Fatalf("reply %q", line)
			}
		}
		if n := strings.Count(got.stdout, "\r\n250 2.0.0 Ok: queued as "); n != len(w.all) {
			t.Fatalf("%d messages accepted, %d queued: %q", n, len(w.all), got.stdout)
		}
		for _, m := range w.all {
			got := got
			got.message, got.status = m, 0
			checkResult(t, w, got, s)
		}
	})
}
