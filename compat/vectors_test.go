package compat_test

import (
	"strings"
	"testing"
)

// The addresses of the vectors.
const (
	host = "host.example.test"
	ann  = "ann@" + host
	b    = "bob@example.com"
	c    = "carol@example.com"
	d    = "dave@example.net"
	x    = "x@example.org"

	msgB = "Subject: s\n\nbody\n"
	msgT = "To: bob@example.com\nSubject: s\n\nb\n"
)

// vector is a call of sendmail and what must come of it. Line ends are compared folded to LF.
type vector struct {
	id    string // of the table, with a letter where a row holds several
	args  []string
	arg0  string // default sendmail
	stdin string
	env   map[string]string
	user  string // default ann

	status int
	sender string   // default ann; "<>" for the null reverse-path
	rcpts  []string // nil: nothing is queued
	has    []string // lines of the header
	hasNot []string // texts that the header must not hold
	body   *string
	stdout string // default nothing; "*" for something
	warns  bool   // something on stderr, though the status is 0
	unread bool   // standard input is left alone
}

func body(s string) *string { return &s }

func args(s ...string) []string { return s }

// with is one vector for each list of arguments.
func with(v vector, lists ...[]string) []vector {
	var all []vector
	for i, a := range lists {
		v := v
		v.id, v.args = v.id+string(rune('a'+i)), a
		all = append(all, v)
	}
	return all
}

func vectors() []vector {
	v02 := "To: Bob <bob@example.com>, carol@example.com (Carol)\nCc: dave@example.net\nBcc: x@example.org\nSubject: s\n\nb\n"
	hasV02 := []string{"To: Bob <bob@example.com>, carol@example.com (Carol)", "Cc: dave@example.net"}
	v08 := "Subject: s\n\nl1\n.\nl2\n"
	v12 := strings.ReplaceAll(v08, "\n", "\r\n")
	smtp := "EHLO me\r\nMAIL FROM:<x@example.org>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nSubject: s\r\n\r\nhi\r\n..dot\r\n.\r\nQUIT\r\n"
	one := []string{b}
	all := []vector{
		{id: "V01", args: args(b), stdin: msgB, rcpts: one, body: body("body\n"),
			has: []string{`From: "Ann O. Nym" <` + ann + ">", "To: undisclosed-recipients:;", "Subject: s"}},
		{id: "V02", args: args("-t", "-i"), stdin: v02, rcpts: args(b, c, d, x), has: hasV02, hasNot: []string{"Bcc", x}},
		{id: "V03", args: args("-t", "-i", "extra@example.com"), stdin: v02, rcpts: args("extra@example.com", b, c, d, x)},
		{id: "V04", args: args("-t", "-i", d), stdin: v02, rcpts: args(d, b, c, x)},
		{id: "V05", args: args("-i", b), stdin: "To: bob@example.com\nBcc: x@example.org\n\nb\n", rcpts: one, hasNot: []string{"Bcc", x}},
		{id: "V06", args: args("-t", "-i"), stdin: "Bcc: x@example.org\nSubject: s\n\nb\n", rcpts: args(x), hasNot: []string{"Bcc", x},
			has: []string{"To: undisclosed-recipients:;"}},
		{id: "V07", args: args("-t", "-i"), stdin: "To: a@example.com\nBcc: bob@example.com,\n carol@example.com,\n\tdave@example.net\n\nb\n",
			rcpts: args("a@example.com", b, c, d), hasNot: []string{"Bcc", "bob", "carol", "dave"}},
		{id: "V08", args: args(b), stdin: v08, rcpts: one, body: body("l1\n")},
		{id: "V09", args: args("-i", b), stdin: v08, rcpts: one, body: body("l1\n.\nl2\n")},
		{id: "V10", args: args("-oi", b), stdin: v08, rcpts: one, body: body("l1\n.\nl2\n")},
		{id: "V11", args: args("-o", "i", b), stdin: v08, rcpts: one, body: body("l1\n.\nl2\n")},
		{id: "V12", args: args(b), stdin: v12, rcpts: one, body: body("l1\n")},
		{id: "V13", args: args("-i", b), stdin: v12, rcpts: one, body: body("l1\n.\nl2\n")},
		{id: "V14", args: args(b), stdin: "Subject: s\n\na\n. \nb\n", rcpts: one, body: body("a\n. \nb\n")},
		{id: "V15", args: args(b), stdin: "Subject: s\n\n..two\n.one\n", rcpts: one, body: body("..two\n.one\n")},
		{id: "V16", args: args("-i", b), stdin: "Subject: s\nTo: bob@example.com\r\n\nl1\r\nl2\n", rcpts: one, body: body("l1\nl2\n")},
		{id: "V17", args: args("-i", b), stdin: "Subject: s\n\na\rb\n", rcpts: one, body: body("a b\n")},
		{id: "V18", args: args("-i", b), stdin: "From root Mon Jan  1 00:00:00 2024\nSubject: s\n\nb\nFrom here\n", rcpts: one,
			hasNot: []string{"From root"}, body: body("b\nFrom here\n")},
		{id: "V19", args: args("-i", b), stdin: ">From root Mon Jan  1 00:00:00 2024\nSubject: s\n\nb\n", rcpts: one,
			hasNot: []string{"From root"}, has: []string{"Subject: s"}},
		{id: "V20", args: args("-i", b), stdin: "Subject: s\nno colon here\nmore\n", rcpts: one, body: body("no colon here\nmore\n"),
			has: []string{"Subject: s"}},
		{id: "V21", args: args("-i", b), stdin: "hello world\nsecond\n", rcpts: one, body: body("hello world\nsecond\n")},
		{id: "V22", args: args("-i", b), stdin: "", rcpts: one, body: body("")},
		{id: "V23", args: args("-i", b), stdin: "Subject: s\n\nlast", rcpts: one, body: body("last\n")},
		{id: "V24", args: args("-i"), stdin: msgB, status: 64},
		{id: "V25", args: args("-t", "-i"), stdin: msgB, status: 64},
		{id: "V26", args: args("-t", "-i"), stdin: "To: undisclosed-recipients:;\n\nb\n", status: 64},
		{id: "V27", stdin: msgB, status: 64},
		{id: "V28", args: args("-i", "-F", "Full Name", b), stdin: msgB, rcpts: one, has: []string{"From: Full Name <" + ann + ">"}},
		{id: "V29", args: args("-i", "-F", `Smith, John "JJ" (x)`, b), stdin: msgB, rcpts: one,
			has: []string{`From: "Smith, John \"JJ\" (x)" <` + ann + ">"}},
		{id: "V30", args: args("-i", "-F", "", b), stdin: msgB, rcpts: one, has: []string{"From: " + ann}},
		{id: "V31", args: args("-i", "-F", "Full Name", b), stdin: "From: ann\n\nb\n", rcpts: one, has: []string{"From: " + ann},
			hasNot: []string{"Full Name"}},
		{id: "V32", args: args("-i", b), env: map[string]string{"NAME": "Env Name"}, stdin: msgB, rcpts: one,
			has: []string{"From: Env Name <" + ann + ">"}},
		{id: "V33", args: args("-i", b), user: "bob", stdin: msgB, sender: "bob@" + host, rcpts: one,
			has: []string{"From: Bob Bob Co <bob@" + host + ">"}},
		{id: "V34", args: args("-i", b), env: map[string]string{"LOGNAME": "mallory", "USER": "mallory"}, stdin: msgB, rcpts: one,
			has: []string{`From: "Ann O. Nym" <` + ann + ">"}},
		{id: "V35", args: args("-i", "-f", x, b), stdin: msgB, sender: x, rcpts: one, has: []string{"From: " + x}},
		{id: "V36", args: args("-i", "-f", "<"+x+">", b), stdin: msgB, sender: x, rcpts: one},
		{id: "V37", args: args("-i", "-f", "Full Name <"+x+">", b), stdin: msgB, sender: x, rcpts: one},
		{id: "V38", args: args("-i", "-f", "<>", b), stdin: msgB, sender: "<>", rcpts: one, has: []string{`From: "Ann O. Nym" <` + ann + ">"}},
		{id: "V39", args: args("-i", "-f", "", b), stdin: msgB, sender: "<>", rcpts: one},
		{id: "V40", args: args("-i", "-r"+x, b), stdin: msgB, sender: x, rcpts: one},
		{id: "V41", args: args("-i", "-f", "a@example.org", "-f", x, b), stdin: msgB, sender: x, rcpts: one},
		{id: "V42", args: args("-i", "-f", "ann", b), stdin: msgB, rcpts: one},
		{id: "V43", args: args("-i", "bob"), stdin: "To: bob\n\nb\n", rcpts: args("bob@" + host), has: []string{"To: bob@" + host}},
		{id: "V44", args: args("-i", b+","+c), stdin: msgB, rcpts: args(b, c)},
		{id: "V45", args: args("-i", `Bob Jones <bob@example.com>, "C, D" <carol@example.com>`), stdin: msgB, rcpts: args(b, c)},
		{id: "V46", args: args("-t", "-i"), stdin: "To: A Group:Ed <ed@example.com>,joe@example.net;\nCc: undisclosed-recipients:;\n\nb\n",
			rcpts: args("ed@example.com", "joe@example.net")},
		{id: "V47", args: args("-t", "-i"), stdin: "To: Pete(A \\) chap) <pete(acct)@silly.test(h)>, bob@example.com (x, y)\n\nb\n",
			rcpts: args("pete@silly.test", b), has: []string{"To: Pete(A \\) chap) <pete(acct)@silly.test(h)>, bob@example.com (x, y)"}},
		{id: "V48", args: args("-t", "-i"), stdin: "To: \"Joe, Q\" <\"john..doe, x\"@example.com>\n\nb\n",
			rcpts: args(`"john..doe, x"@example.com`)},
		{id: "V49", args: args("-t", "-i"), stdin: "To: <@relay.example.org,@b.example.org:bob@example.com>\n\nb\n", rcpts: one},
		{id: "V50", args: args("-t", "-i"), stdin: "To: bob@example.com,\n carol@example.com,\n\tdave@example.net\n\nb\n", rcpts: args(b, c, d)},
		{id: "V51", args: args("-t", "-i"), stdin: "To: orig@example.com\nResent-To: new@example.net\nResent-Bcc: nb@example.net\nSubject: s\n\nb\n",
			rcpts: args("new@example.net", "nb@example.net"), hasNot: []string{"Resent-Bcc", "nb@"},
			has: []string{"Resent-Date: *", "Resent-From: *", "Resent-Message-ID: *"}},
		{id: "V52", args: args("-i", b, "BOB@example.com", "bob@EXAMPLE.com"), stdin: msgB, rcpts: args(b, "BOB@example.com")},
		{id: "V53", args: args("-oem", "-oi", "-odb", b), stdin: msgB, rcpts: one},
		{id: "V54", args: args("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "bob"), rcpts: args("bob@" + host),
			stdin: "From: root (Cron Daemon)\nTo: bob\nSubject: Cron <ann@host> x\nMIME-Version: 1.0\n" +
				"Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\nh\xc3\xa9\n.\nend",
			has:  []string{"From: root@" + host + " (Cron Daemon)", "X-Cron-Env: <SHELL=/bin/sh>"},
			body: body("h\xc3\xa9\n.\nend\n")},
		{id: "V55", args: args("-t", "-i", "-f"+x), sender: x, rcpts: args(b, c),
			stdin: "To: bob@example.com\r\nSubject: S\r\nFrom: a@example.org\r\nCc: carol@example.com\r\n\r\nb\r\n"},
		{id: "V56", args: args("-t", "-i"), stdin: "To: bob@example.com\nSubject: S\nFrom: a@example.org\r\nX-Y: 1\n\nb\n", rcpts: one,
			has: []string{"X-Y: 1"}},
		{id: "V58", args: args("-tif", x), stdin: msgT, sender: x, rcpts: one},
		{id: "V59", args: args("-i", "-f", x, "--", b), stdin: msgB, sender: x, rcpts: one},
		{id: "V60", args: args("-i", "--", "-bob@example.com"), stdin: msgB, rcpts: args("-bob@example.com")},
		{id: "V61", args: args("-i", b, "-f", x), stdin: msgB, status: 64, unread: true},
		{id: "V62", args: args("-i", "-z", b), stdin: msgB, status: 64, unread: true},
		{id: "V64", args: args("-i", "-N", "bogus", b), stdin: msgB, rcpts: one, warns: true},
		{id: "V66", args: args("-i", "-B8bitmime", b), stdin: msgB, rcpts: one},
		{id: "V67", args: args("-i", b), stdin: "Subject: s\n\n" + strings.Repeat("x", 3000) + "\nend\n", rcpts: one,
			body: body(strings.Repeat("x", 3000) + "\nend\n")},
		{id: "V70", args: args("-h", "3", "-L", "tag", "-pUUCP:h", "-i", b), stdin: msgB, rcpts: one},
		{id: "V71a", args: args("-bp"), stdout: "Mail queue is empty\n", unread: true},
		{id: "V71b", arg0: "/usr/bin/mailq", stdout: "Mail queue is empty\n", unread: true},
		{id: "V72a", args: args("-bi"), stdout: "*", unread: true},
		{id: "V72b", arg0: "newaliases", stdout: "*", unread: true},
		{id: "V78", args: args("-bs", "-t"), stdin: "QUIT\r\n", status: 64, unread: true},
		{id: "V80", args: args("-v", "-i", b), stdin: msgB, rcpts: one, stdout: "*"},
		{id: "V81", args: args("-t", "-i"), stdin: "Resent-From: ann\nTo: a@example.com\n\nb\n", rcpts: args("a@example.com")},
		{id: "V82", args: args("-t", "-i"), stdin: "To : bob@example.com\nSubject : s\n\nb\n", rcpts: one, has: []string{"To: bob@example.com"}},
		{id: "V83", args: args("-t", "-i"), stdin: "To: bob@example.com\nSubject: s\n \t\nCc: carol@example.com\n\nb\n", rcpts: args(b, c)},
		{id: "V84", args: args("-i", b), stdin: "\nSubject: s\n\nb\n", rcpts: one, body: body("Subject: s\n\nb\n")},
		{id: "V85", args: args("-t", "-i"), stdin: "To: bob@example.com,, carol@example.com,\n\nb\n", rcpts: args(b, c)},
		{id: "V86", args: args("-t", "-i"), stdin: "To: =?UTF-8?Q?J=C3=B6rg=2C_X?= <bob@example.com>, =?UTF-8?B?w7w=?= <carol@example.com>\n\nb\n",
			rcpts: args(b, c), has: []string{"To: =?UTF-8?Q?J=C3=B6rg=2C_X?= <bob@example.com>, =?UTF-8?B?w7w=?= <carol@example.com>"}},
		{id: "V87", args: args("-t", "-i"), stdin: "To: bob@example.com; carol@example.com\n\nb\n", rcpts: args(b, c)},
		{id: "V88", args: args("-t", "-i"), stdin: "To: bob@example.com\n\nTo: evil@example.com\n", rcpts: one},
		{id: "V90", args: args("-i", "-f", "x@example.org\nBcc: e@example.org", b), stdin: msgB, status: 65},
		{id: "V91", args: args("-i", b+"\nevil@example.org"), stdin: msgB, status: 65},
		{id: "V92", args: args("-i", "-F", "Foo\nBcc: e@example.org", b), stdin: msgB, rcpts: one,
			has: []string{`From: "Foo Bcc: e@example.org" <` + ann + ">"}, hasNot: []string{"\nBcc"}},
		{id: "V93", args: args("-i", b), stdin: "Return-Path: <q@b.example>\nContent-Length: 9\nSubject: s\n\nb\n", rcpts: one,
			hasNot: []string{"Return-Path", "Content-Length"}},
		{id: "V94", args: args("-i", b), stdin: "Message-ID:\nDate:\nFrom:\nSubject: s\n\nb\n", rcpts: one,
			hasNot: []string{"\nMessage-ID:\n", "\nDate:\n", "\nFrom:\n"}},
		{id: "V95", args: args("-i", "-t", "-f"), stdin: msgT, status: 64, unread: true},
		{id: "V96", args: args("-t"), stdin: "To: bob@example.com\n\na\n.\nb\n", rcpts: one, body: body("a\n")},
	}
	for _, v := range [][]vector{
		with(vector{id: "V57", stdin: v02, rcpts: args(b, c, d, x), has: hasV02}, args("-ti"), args("-it")),
		with(vector{id: "V63", stdin: msgB, rcpts: one}, args("-i", "-N", "never", b), args("-i", "-N", "success,failure", b)),
		with(vector{id: "V65", stdin: msgB, rcpts: one}, args("-i", "-R", "hdrs", "-V", "envid1", b)),
		with(vector{id: "V68", stdin: msgB, rcpts: one}, args("-Ac", "-i", b), args("-Am", "-i", b), args("-G", "-i", b), args("-U", "-i", b),
			args("-m", "-i", b), args("-om", "-i", b), args("-n", "-i", b), args("-c", "-i", b), args("-x", "-i", b)),
		with(vector{id: "V73", stdin: msgT, status: 64, unread: true}, args("-bd"), args("-bt"), args("-be", "x"), args("-bz")),
		with(vector{id: "V74", unread: true}, args("-bh"), args("-bH")),
		with(vector{id: "V75", unread: true}, args("-q15m"), args("-q30m")),
		with(vector{id: "V76", stdin: smtp, sender: x, rcpts: one, body: body("hi\n.dot\n"), stdout: "220 250 250 250 354 250 221"}, args("-bs")),
		with(vector{id: "V77", stdin: strings.ReplaceAll(strings.Replace(smtp, "EHLO", "HELO", 1), "\r", ""), sender: x, rcpts: one,
			body: body("hi\n.dot\n"), stdout: "220 250 250 250 354 250 221"}, args("-bs")),
		with(vector{id: "V79", stdin: msgB, rcpts: one}, args("-odq", "-i", b)),
		with(vector{id: "V89", stdin: msgB, status: 65}, args("-i", "|/bin/touch /t"), args("-i", "/t"), args("-i", ":include:/etc/passwd")),
	} {
		all = append(all, v...)
	}
	return all
}

func TestVectors(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.id, func(t *testing.T) { v.check(t) })
	}
}

// TestVectorsAreWhole holds that no row of the table was forgotten.
func TestVectorsAreWhole(t *testing.T) {
	have := map[string]bool{"V69": true} // TestNoOptionOpensAFile
	for _, v := range vectors() {
		have[v.id[:3]] = true
	}
	if len(have) != 96 {
		t.Errorf("%d vectors of 96", len(have))
	}
}

func (v vector) check(t *testing.T) {
	w := newWorld(t)
	w.user, w.env, w.arg0 = v.user, v.env, v.arg0
	got := w.run(v.stdin, v.args...)
	if got.status != v.status {
		t.Fatalf("status %d, want %d; stderr %q", got.status, v.status, got.stderr)
	}
	v.checkOutput(t, got)
	if v.unread && got.read > 0 {
		t.Errorf("%d octets of standard input were read", got.read)
	}
	if v.rcpts == nil {
		if got.message != nil {
			t.Errorf("queued: %+v", got.message)
		}
		return
	}
	if got.message == nil {
		t.Fatal("nothing is queued")
	}
	v.checkMessage(t, *got.message)
}

func (v vector) checkOutput(t *testing.T, got result) {
	lines := strings.Count(got.stderr, "\n")
	switch {
	case v.status != 0 && (lines != 1 || !strings.HasPrefix(got.stderr, "sendmail: ")):
		t.Errorf("stderr %q, want one line", got.stderr)
	case v.status == 0 && (lines > 0) != v.warns:
		t.Errorf("stderr %q", got.stderr)
	}
	if strings.HasPrefix(v.stdout, "220 ") {
		got.stdout = codes(got.stdout)
	}
	if v.stdout == "*" && got.stdout == "" || v.stdout != "*" && got.stdout != v.stdout {
		t.Errorf("stdout %q, want %q", got.stdout, v.stdout)
	}
}

func (v vector) checkMessage(t *testing.T, m message) {
	sender := v.sender
	switch sender {
	case "":
		sender = ann
	case "<>":
		sender = ""
	}
	if m.env.Sender != sender {
		t.Errorf("sender %q, want %q", m.env.Sender, sender)
	}
	if got, want := strings.Join(m.rcpts(), " "), strings.Join(v.rcpts, " "); got != want {
		t.Errorf("recipients %s, want %s", got, want)
	}
	head, text := m.parts(t)
	for _, line := range v.has {
		if prefix, ok := strings.CutSuffix(line, "*"); ok && strings.Contains(head, "\n"+prefix) {
			continue
		}
		if !strings.Contains(head, "\n"+line+"\n") {
			t.Errorf("no line %q in the header:\n%s", line, head)
		}
	}
	for _, s := range v.hasNot {
		if strings.Contains(head, s) {
			t.Errorf("%q in the header:\n%s", s, head)
		}
	}
	if v.body != nil && text != *v.body {
		t.Errorf("body %q, want %q", text, *v.body)
	}
	for _, name := range []string{"Date", "Message-ID", "From"} {
		if n := strings.Count(head, "\n"+name+": "); n != 1 {
			t.Errorf("%d fields %s:\n%s", n, name, head)
		}
	}
}
