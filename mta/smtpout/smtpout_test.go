package smtpout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"signpost/mta/route"
	"signpost/spool"
)

var all = []string{"PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"}

type sendTest struct {
	name      string
	need      route.Security
	m         func(*Message)
	rcpts     []spool.Recipient // nil: bob@there.test
	scripts   []string
	want      string // as statuses
	blame     Blame
	left      []int
	uncertain bool
	reply     string // of the first recipient; empty: not looked at
	detail    string // part of the first recipient's
	body      string // that the host got last
}

var sendTests = []sendTest{
	{
		name:    "one command at a time where PIPELINING is not offered",
		scripts: []string{greeting() + plainMail},
		want:    "2.0.0", reply: "250 2.0.0 taken", body: "Subject: x\r\n\r\n..hello\r\n",
	},
	{
		name:    "one flight where it is",
		scripts: []string{greeting("PIPELINING") + flight},
		want:    "2.0.0", reply: "250 2.0.0 taken", body: "Subject: x\r\n\r\n..hello\r\n",
	},
	{
		name:    "keywords in lower case are known",
		scripts: []string{greeting("pipelining", "size 99", "Dsn") + strings.Replace(flight, "test>\n", "test> SIZE=22\n", 1)},
		want:    "2.0.0",
	},
	{
		name: "HELO after 5xx to EHLO",
		scripts: []string{"< 220 old\n> EHLO here.test\n< 502 what\n> HELO here.test\n< 250 PIPELINING\n" +
			plainMail},
		want: "2.0.0",
	},
	{
		name:    "no HELO after 4xx to EHLO",
		scripts: []string{"< 220 busy\n> EHLO here.test\n< 451 4.3.2 not now\n"},
		want:    "4.3.2", blame: Host, left: []int{0}, reply: "451 4.3.2 not now",
	},
	{
		name:    "HELO refused too says nothing of the message",
		scripts: []string{"< 220 odd\n> EHLO here.test\n< 550 no\n> HELO here.test\n< 550 5.7.1 no\n"},
		want:    "4.7.1", blame: Host, left: []int{0},
	},
	{
		name:    "greeting 554 is for the next hop and temporary",
		scripts: []string{"< 554 5.7.1 go away\n"},
		want:    "4.7.1", blame: Host, left: []int{0}, reply: "554 5.7.1 go away",
	},
	{
		name:    "greeting 421",
		scripts: []string{"< 421 busy\nclose"},
		want:    "4.0.0", blame: Host, left: []int{0}, reply: "421 busy",
	},
	{
		name:    "the connection ends before the greeting",
		scripts: []string{"close"},
		want:    "4.4.2", blame: Session, left: []int{0}, detail: "lost the connection",
	},
	{
		name:    "a greeting that is not SMTP",
		scripts: []string{"< HTTP/1.1 400 Bad Request\n"},
		want:    "4.5.0", blame: Session, left: []int{0}, detail: "not SMTP",
	},
	{
		name:    "a reply with two codes ends the session",
		scripts: []string{greeting() + "> MAIL FROM:<ann@here.test>\n" + `<" 250-one\r\n550 two\r\n`},
		want:    "4.5.0", blame: Session, left: []int{0}, detail: "both 250 and 550",
	},
	{
		name:    "an endless reply ends the session",
		scripts: []string{greeting() + "> MAIL FROM:<ann@here.test>\n" + `<" ` + strings.Repeat(`250-x\r\n`, maxReplyLines)},
		want:    "4.5.0", blame: Session, left: []int{0}, detail: "longer than",
	},
	{
		name:  "what was offered before RSET still holds, RSET only after a failure, in the same flight",
		rcpts: to(slices.Concat(slices.Repeat([]string{"no@there.test"}, maxRcpts), []string{"bob@there.test"})...),
		scripts: []string{greeting("PIPELINING") + "> MAIL FROM:<ann@here.test>\n" +
			"<~ 250 ok\n" +
			strings.Repeat("> RCPT TO:<no@there.test>\n<~ 550 5.1.1 unknown\n", maxRcpts) +
			"> DATA\n< 503 5.5.1 nobody\n> RSET\n" +
			strings.Replace(flight, "< 250 2.1.0", "< 250 reset\n< 250 2.1.0", 1)},
		want:  strings.Repeat("5.1.1 ", maxRcpts) + "2.0.0",
		blame: Recipient,
	},
	{
		name:  "a recipient refused, another deferred, the third gets it",
		rcpts: to("no@there.test", "later@there.test", "bob@there.test"),
		scripts: []string{greeting() + `
			> MAIL FROM:<ann@here.test>
			< 250 ok
			> RCPT TO:<no@there.test>
			<" 550-5.1.1 unknown\r\n550 5.1.1 sorry\r\n
			> RCPT TO:<later@there.test>
			< 450 greylisted
			> RCPT TO:<bob@there.test>
			< 251 will forward
			> DATA
			< 354 go on
			body
			< 250 taken
			`},
		want: "5.1.1 4.0.0 2.0.0", blame: Recipient, reply: "550-5.1.1 unknown\n550 5.1.1 sorry",
	},
	{
		name:    "one by one: no DATA where nobody was taken",
		scripts: []string{greeting() + "> MAIL FROM:<ann@here.test>\n< 250 ok\n> RCPT TO:<bob@there.test>\n< 550 5.1.1 no\n"},
		want:    "5.1.1", blame: Recipient,
	},
	{
		name: "in a flight: a lone dot where nobody was taken and DATA got 354",
		scripts: []string{greeting("PIPELINING") + `
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<bob@there.test>
			> DATA
			< 250 ok
			< 550 5.1.1 no
			< 354 go on
			> .
			< 554 5.5.1 nobody
			`},
		want: "5.1.1", blame: Recipient, reply: "550 5.1.1 no",
	},
	{
		name: "in a flight: the sender was refused, but recipients and DATA were not: hang up, no empty message",
		scripts: []string{greeting("PIPELINING") + `
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<bob@there.test>
			> DATA
			< 550 5.7.1 no
			< 250 ok
			< 354 go on
			`},
		want: "5.7.1", blame: Session, reply: "550 5.7.1 no",
	},
	{
		name:    "the sender refused speaks for all recipients",
		rcpts:   to("bob@there.test", "eve@there.test"),
		scripts: []string{greeting() + "> MAIL FROM:<ann@here.test>\n< 553 5.1.8 no\n"},
		want:    "5.1.8 5.1.8", blame: Mesg, detail: "the sender",
	},
	{
		name: "DATA refused",
		scripts: []string{greeting("PIPELINING") + `
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<bob@there.test>
			> DATA
			< 250 ok
			< 250 ok
			< 451 4.3.0 no disk
			`},
		want: "4.3.0", blame: Mesg,
	},
	{
		name:    "DATA answered with 250 is nonsense",
		scripts: []string{greeting() + strings.Replace(plainMail, "354", "250", 1)[:strings.Index(plainMail, "body")]},
		want:    "4.5.0", blame: Session, left: []int{0},
	},
	{
		name:    "the message refused, forever",
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "250 2.0.0 taken", "554 5.7.1 spam", 1)},
		want:    "5.7.1", blame: Mesg, reply: "554 5.7.1 spam",
	},
	{
		name:    "the message refused for now",
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "250 2.0.0 taken", "451 later", 1)},
		want:    "4.0.0", blame: Mesg,
	},
	{
		name:    "a code of another class is not believed",
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "250 2.0.0 taken", "550 2.0.0 no", 1)},
		want:    "5.0.0", blame: Mesg,
	},
	{
		name:    "4.4.7 of a host is not ours",
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "250 2.0.0 taken", "450 4.4.7 late", 1)},
		want:    "4.4.0", blame: Mesg,
	},
	{
		name:    "5.4.7 of a host that does not want us neither",
		scripts: []string{"< 554 5.4.7 no\n"},
		want:    "4.4.0", blame: Host, left: []int{0},
	},
	{
		name:    "421 to MAIL",
		scripts: []string{greeting() + "> MAIL FROM:<ann@here.test>\n< 421 4.3.2 bye\nclose"},
		want:    "4.3.2", blame: Session, left: []int{0}, reply: "421 4.3.2 bye",
	},
	{
		name:  "421 to the second RCPT: what the first was told stays",
		rcpts: to("no@there.test", "bob@there.test", "eve@there.test"),
		scripts: []string{greeting() + `
			> MAIL FROM:<ann@here.test>
			< 250 ok
			> RCPT TO:<no@there.test>
			< 550 5.1.1 no
			> RCPT TO:<bob@there.test>
			< 421 4.7.0 too many errors
			close
			`},
		want: "5.1.1 4.7.0 4.7.0", blame: Session, left: []int{1, 2},
	},
	{
		name:    "421 to the final dot is an answer",
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "250 2.0.0 taken", "421 4.3.2 bye\nclose", 1)},
		want:    "4.3.2", blame: Session, left: []int{0}, reply: "421 4.3.2 bye",
	},
	{
		name:  "452 without a code behind the first: the rest at once in a new transaction, without RSET",
		rcpts: to("bob@there.test", "eve@there.test", "dan@there.test"),
		scripts: []string{greeting("PIPELINING") + `
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<bob@there.test>
			> RCPT TO:<eve@there.test>
			> RCPT TO:<dan@there.test>
			> DATA
			< 250 ok
			< 250 ok
			< 452 enough
			< 452 4.5.3 enough
			< 354 go on
			body
			< 250 one
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<eve@there.test>
			> RCPT TO:<dan@there.test>
			> DATA
			< 250 ok
			< 250 ok
			< 250 ok
			< 354 go on
			body
			< 250 two
			`},
		want: "2.0.0 2.0.0 2.0.0",
	},
	{
		name:  "452 with another code is about that mailbox",
		rcpts: to("bob@there.test", "eve@there.test"),
		scripts: []string{greeting() + strings.Replace(plainMail, "> DATA",
			"> RCPT TO:<eve@there.test>\n< 452 4.2.2 full\n> DATA", 1)},
		want: "2.0.0 4.2.2", blame: Recipient,
	},
	{
		name:    "452 for the first of all is its own",
		scripts: []string{greeting() + "> MAIL FROM:<ann@here.test>\n< 250 ok\n> RCPT TO:<bob@there.test>\n< 452 4.5.3 no\n"},
		want:    "4.5.3", blame: Recipient,
	},
	{
		name: "SIZE, BODY, SMTPUTF8 and DSN are declared",
		m: func(m *Message) {
			m.EightBit, m.Ret, m.EnvID = true, "HDRS", "a=b c"
		},
		rcpts: []spool.Recipient{
			{Addr: "bob@there.test", Original: "list+x@here.test", Notify: spool.NotifyFailure | spool.NotifyDelay},
			{Addr: "jürgen@there.test", Original: "jür gen@here.test", Notify: spool.NotifyNever},
		},
		scripts: []string{greeting(all...) + `
			> MAIL FROM:<ann@here.test> SIZE=22 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+3Db+20c
			> RCPT TO:<bob@there.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;list+2Bx@here.test
			> RCPT TO:<jürgen@there.test> NOTIFY=NEVER ORCPT=utf-8;j\x{FC}r\x{20}gen@here.test
			> DATA
			< 250 ok
			< 250 ok
			< 250 ok
			< 354 go on
			body
			< 250 taken
			`},
		want: "2.0.0 2.0.0",
	},
	{
		name: "none of them where not offered, and 8-bit content goes out as it is",
		m: func(m *Message) {
			m.EightBit, m.Ret, m.EnvID = true, "HDRS", "x"
		},
		rcpts:   []spool.Recipient{{Addr: "bob@there.test", Original: "x@here.test", Notify: spool.NotifyFailure}},
		scripts: []string{greeting("PIPELINING") + flight},
		want:    "2.0.0",
	},
	{
		name:    "a value that could end the parameter is encoded",
		m:       func(m *Message) { m.Ret, m.EnvID = "FULL SIZE=1", "x\r\nRSET" },
		rcpts:   []spool.Recipient{{Addr: "bob@there.test", Original: "a\r\nDATA"}},
		scripts: []string{greeting("DSN") + strings.Replace(plainMail, "here.test>", "here.test> ENVID=x+0D+0ARSET", 1)},
		want:    "2.0.0",
	},
	{
		name:    "too big for the host: nothing is sent",
		m:       func(m *Message) { m.Size = 1001 },
		scripts: []string{greeting(all...)},
		want:    "5.3.4", blame: Mesg, detail: "1001",
	},
	{
		name:    "SIZE 0 is no limit, and a size not known is not declared",
		m:       func(m *Message) { m.Size = 0 },
		scripts: []string{greeting("PIPELINING", "SIZE 0") + flight},
		want:    "2.0.0",
	},
	{
		name:    "a recipient that needs SMTPUTF8, the others go on",
		rcpts:   to("jürgen@there.test", "bob@there.test"),
		scripts: []string{greeting() + plainMail},
		want:    "5.6.7 2.0.0", blame: Recipient, detail: "SMTPUTF8",
	},
	{
		name:    "a sender that needs SMTPUTF8",
		m:       func(m *Message) { m.Sender = "änn@here.test" },
		scripts: []string{greeting()},
		want:    "5.6.7", blame: Mesg,
	},
	{
		name:    "only the domain is not ASCII: A-labels do",
		rcpts:   to("bob@bücher.test"),
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "there.test", "xn--bcher-kva.test", 1)},
		want:    "2.0.0",
	},
	{
		name:    "the null reverse-path",
		m:       func(m *Message) { m.Sender = "" },
		scripts: []string{greeting() + strings.Replace(plainMail, "ann@here.test", "", 1)},
		want:    "2.0.0",
	},
	{
		name:    "recipients that cannot be printed",
		rcpts:   to("bob@there.test", "v@ext.test> ORCPT=rfc822;x@there.test", "a\r\nRSET@there.test", "", "x@a b", "x"),
		scripts: []string{greeting() + plainMail},
		want:    "2.0.0 5.1.3 5.1.3 5.1.3 5.1.3 5.1.3", blame: Recipient,
	},
	{
		name: "a sender that cannot be printed: nobody is called",
		m:    func(m *Message) { m.Sender = "ann@here.test>\r\nRSET" },
		want: "5.1.7", blame: Mesg,
	},
	{
		name:    "the connection ends behind the final dot",
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "< 250 2.0.0 taken", "close", 1)},
		want:    "4.4.2", blame: Session, uncertain: true, detail: "may have taken",
	},
	{
		name:    "nonsense behind the final dot",
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "250 2.0.0 taken", "what?", 1)},
		want:    "4.4.2", blame: Session, uncertain: true,
	},
	{
		name:    "354 behind the final dot",
		scripts: []string{greeting("PIPELINING") + strings.Replace(flight, "250 2.0.0 taken", "354 more", 1)},
		want:    "4.4.2", blame: Session, uncertain: true, reply: "354 more",
	},
	{
		name: "the connection ends in a flight: nothing was sent",
		scripts: []string{greeting("PIPELINING") + `
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<bob@there.test>
			> DATA
			< 250 ok
			< 250 ok
			close
			`},
		want: "4.4.2", blame: Session, left: []int{0},
	},
	{
		name:    "the host spoke before it was asked",
		scripts: []string{"<\" 220 mx.test\\r\\n250 mx.test\\r\\n\n"},
		want:    "4.5.0", blame: Session, left: []int{0}, detail: "out of turn",
	},
	{
		name: "the host takes the message before it had it: it is not believed",
		scripts: []string{greeting("PIPELINING") + `
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<bob@there.test>
			> DATA
			<" 250 ok\r\n250 ok\r\n354 go on\r\n250 taken\r\n
			`},
		want: "4.5.0", blame: Session, left: []int{0}, detail: "before",
	},
	{
		name:    "the message cannot be opened: no dot",
		m:       func(m *Message) { m.Open = func() (io.ReadCloser, error) { return nil, errors.New("no key") } },
		scripts: []string{greeting() + plainMail[:strings.Index(plainMail, "body")]},
		want:    "4.3.0", blame: Mesg, detail: "no key",
	},
	{
		name: "the message cannot be read to its end: no dot",
		m: func(m *Message) {
			m.Open = func() (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(content), errReader{})), nil
			}
		},
		scripts: []string{greeting() + plainMail[:strings.Index(plainMail, "body")]},
		want:    "4.3.0", blame: Mesg, detail: "bad block",
	},
	{
		name: "content that should never be: repaired",
		m: func(m *Message) {
			const s = "a\nb\r\r\nc\rd\r\n.\n.\r\n\r\n.\rx\n..\r"
			m.Open, m.Size = text(s).Open, 0
		},
		scripts: []string{greeting("PIPELINING") + flight},
		want:    "2.0.0",
		body:    "a\r\nb\r\nc d\r\n..\r\n..\r\n\r\n.. x\r\n...\r\n",
	},
	{
		name:    "an empty message",
		m:       func(m *Message) { m.Open, m.Size = text("").Open, 0 },
		scripts: []string{greeting("PIPELINING") + flight},
		want:    "2.0.0", body: "",
	},
	{
		name: "Encrypt where STARTTLS is not offered", need: route.Encrypt,
		scripts: []string{greeting("PIPELINING")},
		want:    "4.7.4", blame: Host, left: []int{0}, detail: "STARTTLS",
	},
	{
		name: "Encrypt where STARTTLS is refused", need: route.Encrypt,
		scripts: []string{greeting("STARTTLS") + "> STARTTLS\n< 454 4.7.0 not now\n"},
		want:    "4.7.0", blame: Host, left: []int{0}, reply: "454 4.7.0 not now",
	},
	{
		name: "Verify where the host ends it in the handshake", need: route.Verify,
		scripts: []string{greeting("STARTTLS") + "> STARTTLS\n< 220 go on\nread 5\nclose"},
		want:    "4.7.5", blame: Host, left: []int{0}, detail: "handshake",
	},
	{
		name: "Plain never asks", need: route.Plain,
		scripts: []string{greeting("STARTTLS") + plainMail},
		want:    "2.0.0",
	},
	{
		name:    "STARTTLS offered and refused: on in clear",
		scripts: []string{greeting("starttls", "PIPELINING") + "> STARTTLS\n< 454 4.7.0 not now\n" + flight},
		want:    "2.0.0",
	},
	{
		name:    "the host ends it in the handshake: in clear on a new connection",
		scripts: []string{greeting("STARTTLS") + "> STARTTLS\n< 220 go on\nread 5\nclose", greeting("STARTTLS") + plainMail},
		want:    "2.0.0",
	},
	{
		name:    "no answer in the handshake: in clear on a new connection",
		scripts: []string{greeting("STARTTLS") + "> STARTTLS\n< 220 go on\nhang", greeting("STARTTLS") + plainMail},
		want:    "2.0.0",
	},
	{
		name:    "words behind the 220 of STARTTLS end the session, and are no reason for clear text",
		scripts: []string{greeting("STARTTLS") + "> STARTTLS\n" + `<" 220 go on\r\n250 PIPELINING\r\n`},
		want:    "4.7.5", blame: Session, left: []int{0}, detail: "STARTTLS",
	},
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("bad block") }

func TestSend(t *testing.T) {
	for _, tt := range sendTests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tt.run(t, false) })
		})
	}
}

// What the host says arrives octet by octet; nothing may depend on how it is cut. What must arrive at once to be
// seen is left out.
func TestSendSplit(t *testing.T) {
	for _, tt := range sendTests {
		if strings.Contains(tt.name, "spoke before") || strings.Contains(tt.name, "behind the 220") ||
			strings.Contains(tt.name, "before it had it") {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tt.run(t, true) })
		})
	}
}

func (tt sendTest) run(t *testing.T, split bool) {
	c, f := begin(t, tt.scripts...)
	f.split = split
	m := text(content)
	if tt.m != nil {
		tt.m(&m)
	}
	rcpts := tt.rcpts
	if rcpts == nil {
		rcpts = to("bob@there.test")
	}
	h := hop()
	h.Need = tt.need
	rep := c.Send(t.Context(), h, m, rcpts)
	c.Close()
	f.wg.Wait()
	tt.check(t, rep, f)
}

func (tt sendTest) check(t *testing.T, rep Report, f *fake) {
	t.Helper()
	if got := statuses(rep); got != tt.want {
		t.Errorf("got results %s, want %s", got, tt.want)
	}
	if rep.Blame != tt.blame {
		t.Errorf("got blame %v, want %v", rep.Blame, tt.blame)
	}
	if !slices.Equal(rep.Left, tt.left) {
		t.Errorf("got left %v, want %v", rep.Left, tt.left)
	}
	if rep.Uncertain != tt.uncertain {
		t.Errorf("got uncertain %v, want %v", rep.Uncertain, tt.uncertain)
	}
	r := rep.Results[0]
	if tt.reply != "" && r.Reply != tt.reply {
		t.Errorf("got reply %q, want %q", r.Reply, tt.reply)
	}
	if !strings.Contains(r.Detail, tt.detail) {
		t.Errorf("got detail %q, want something with %q", r.Detail, tt.detail)
	}
	if tt.body != "" && (len(f.bodies) == 0 || f.bodies[len(f.bodies)-1] != tt.body) {
		t.Errorf("got body %q, want %q", f.bodies, tt.body)
	}
	if len(tt.scripts) > 0 && tt.want != "5.1.7" && r.Status != statusBadRcpt && r.Remote != "mx.test[192.0.2.1]:25" {
		t.Errorf("got remote %q", r.Remote)
	}
	if t.Failed() {
		t.Logf("dialogue:\n%s", strings.Join(rep.Dialogue, "\n"))
	}
}

func TestRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := begin(t, greeting("PIPELINING")+flight+flight)
		for range 2 {
			if rep := c.Send(t.Context(), hop(), text(content), to("bob@there.test")); rep.Blame != None {
				t.Fatal(rep)
			}
		}
		const commands, body = "MAIL FROM:<ann@here.test>\r\nRCPT TO:<bob@there.test>\r\nDATA\r\n", "Subject: x\r\n\r\n..hello\r\n.\r\n"
		want := []string{"EHLO here.test\r\n", commands, body, commands, body}
		if !slices.Equal(f.writes[0], want) {
			t.Errorf("got writes %q, want %q", f.writes[0], want)
		}
	})
}

func TestReportOfSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := begin(t, "wait 3s\n"+greeting()+strings.Replace(plainMail, "body", "body\nwait 2s", 1))
		rep := c.Send(t.Context(), hop(), text(content), to("bob@there.test"))
		if rep.Connect != 3*time.Second || rep.Transmit != 2*time.Second {
			t.Errorf("got times %v and %v", rep.Connect, rep.Transmit)
		}
		want := spool.Result{Status: spool.Status{Class: 2}, Reply: "250 2.0.0 taken", Remote: "mx.test[192.0.2.1]:25", At: time.Now()}
		if rep.Results[0] != want {
			t.Errorf("got %+v, want %+v", rep.Results[0], want)
		}
		dialogue := `* connected to mx.test[192.0.2.1]:25
< 220 mx.test ESMTP
> EHLO here.test
< 250-mx.test
< 250 HELP
> MAIL FROM:<ann@here.test>
< 250 2.1.0 ok
> RCPT TO:<bob@there.test>
< 250 2.1.5 ok
> DATA
< 354 go on
* message of 26 octets
< 250 2.0.0 taken`
		if got := strings.Join(rep.Dialogue, "\n"); got != dialogue {
			t.Errorf("got dialogue\n%s", got)
		}
	})
}

func TestManyRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rcpts []string
		script := greeting("PIPELINING")
		for i := range 250 {
			rcpts = append(rcpts, fmt.Sprintf("rcpt%d@a-rather-long-domain-so-that-a-flight-does-not-fit-the-buffers.test", i))
		}
		for part := range slices.Chunk(rcpts, maxRcpts) {
			// The host answers each line as it reads it; over net.Pipe one side would block the other if the client
			// did not read meanwhile.
			script += "> MAIL FROM:<ann@here.test>\n<~ 250 ok\n"
			for _, r := range part {
				script += "> RCPT TO:<" + r + ">\n<~ 250 ok\n"
			}
			script += "> DATA\n< 354 go on\nbody\n< 250 taken\n"
		}
		c, f := begin(t, script)
		rep := c.Send(t.Context(), hop(), text(content), to(rcpts...))
		if rep.Blame != None || len(rep.Results) != 250 || len(f.bodies) != 3 {
			t.Errorf("got blame %v, %d bodies, %s", rep.Blame, len(f.bodies), statuses(rep))
		}
	})
}

func TestPermanentRefusalOfOneTransactionIsNotThatOfAll(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{{"554 5.7.1 no", "5.7.1 2.0.0"}, {"451 4.7.1 slow down", "4.7.1 4.7.1"}} {
		synctest.Test(t, func(t *testing.T) {
			first := strings.Replace(plainMail, "> DATA", "> RCPT TO:<eve@there.test>\n< 452 4.5.3 enough\n> DATA", 1)
			script := greeting() + strings.Replace(first, "250 2.0.0 taken", tt.reply, 1)
			if strings.HasPrefix(tt.reply, "5") {
				script += "> RSET\n< 250 ok\n" + strings.Replace(plainMail, "bob@", "eve@", 1)
			}
			c, _ := begin(t, script)
			rep := c.Send(t.Context(), hop(), text(content), to("bob@there.test", "eve@there.test"))
			if got := statuses(rep); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestUncertainIsNotLeftToTheNextHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := strings.Replace(plainMail, "> DATA", "> RCPT TO:<eve@there.test>\n< 452 4.5.3 enough\n> DATA", 1)
		c, _ := begin(t, greeting()+strings.Replace(first, "< 250 2.0.0 taken", "close", 1))
		rep := c.Send(t.Context(), hop(), text(content), to("bob@there.test", "eve@there.test"))
		if got := statuses(rep); got != "4.4.2 4.4.2" || !rep.Uncertain || !slices.Equal(rep.Left, []int{1}) {
			t.Errorf("got %s, uncertain %v, left %v", got, rep.Uncertain, rep.Left)
		}
	})
}

func TestAddressesInTurn(t *testing.T) {
	h := hop()
	h.Addrs = []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	synctest.Test(t, func(t *testing.T) {
		c, f := begin(t, "< 421 not now\nclose", greeting()+plainMail)
		f.refuse = 1
		rep := c.Send(t.Context(), h, text(content), to("bob@there.test"))
		if rep.Blame != None || rep.Results[0].Remote != "mx.test[192.0.2.2]:25" {
			t.Errorf("got %+v", rep)
		}
		if want := []string{"[2001:db8::1]:25", "192.0.2.1:25", "192.0.2.2:25"}; !slices.Equal(f.dialed, want) {
			t.Errorf("dialed %q, want %q", f.dialed, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, f := begin(t, "< 421 4.3.2 not now\nclose")
		f.refuse = 1
		h := h
		h.Addrs = h.Addrs[:2]
		rep := c.Send(t.Context(), h, text(content), to("bob@there.test"))
		if rep.Results[0].Reply != "421 4.3.2 not now" || rep.Blame != Host {
			t.Errorf("the words of a host should win: %+v", rep)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, f := begin(t)
		f.refuse = 3
		rep := c.Send(t.Context(), h, text(content), to("bob@there.test"))
		r := rep.Results[0]
		if r.Status != statusNoAnswer || rep.Blame != Host || len(rep.Left) != 1 || r.Remote != "mx.test[2001:db8::1]:25" ||
			r.Detail != "cannot connect: connection refused" {
			t.Errorf("got %+v", rep)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := begin(t)
		h := h
		h.Addrs = nil
		if rep := c.Send(t.Context(), h, text(content), to("bob@there.test")); statuses(rep) != "4.4.4" || rep.Blame != Host {
			t.Errorf("got %+v", rep)
		}
	})
}

func TestContextEnds(t *testing.T) {
	for _, tt := range []struct {
		name, script, want string
		uncertain          bool
	}{
		{"in the greeting", "hang", "4.3.2", false},
		{"before the message", greeting() + "> MAIL FROM:<ann@here.test>\nhang", "4.3.2", false},
		{"behind the final dot", greeting() + strings.Replace(plainMail, "< 250 2.0.0 taken", "wait 1h", 1), "4.4.2", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				c, _ := begin(t, tt.script)
				began := time.Now()
				rep := c.Send(ctx, hop(), text(content), to("bob@there.test"))
				if statuses(rep) != tt.want || rep.Uncertain != tt.uncertain || rep.Left != nil || time.Since(began) != time.Second {
					t.Errorf("got %+v after %v", rep, time.Since(began))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, _ := begin(t, greeting()+plainMail)
		c.Send(ctx, hop(), text(content), to("bob@there.test"))
		cancel()
		synctest.Wait()
		if c.idle.age.Len() != 1 {
			t.Error("the end of a context must not touch the connection after Send")
		}
	})
}
