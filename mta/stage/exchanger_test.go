package stage

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// talk speaks one session: lines are sent with CRLF; "<" lines are expected prefixes of replies.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dial(t *testing.T, x *Exchanger, n *Network) *client {
	t.Helper()
	c, err := n.Dial(t.Context(), "tcp", x.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("sending %q: %v", text, err)
	}
}

// reply reads one reply and checks how it begins.
func (c *client) reply(want string) string {
	c.t.Helper()
	var all string
	for {
		line, err := c.r.ReadString('\n')
		all += line
		if err != nil {
			if want == "EOF" && all == "" {
				return ""
			}
			c.t.Fatalf("reply %q, want %q: %v", all, want, err)
		}
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	if !strings.HasPrefix(all, want) {
		c.t.Fatalf("got reply %q, want %q", all, want)
	}
	return all
}

func (c *client) do(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.reply(want)
}

func begin(t *testing.T, x *Exchanger) (*client, *Network) {
	t.Helper()
	n := new(Network)
	l, err := n.Listen("192.0.2.1:25")
	if err != nil {
		t.Fatal(err)
	}
	x.Start(l)
	t.Cleanup(func() { x.Close() })
	return dial(t, x, n), n
}

func TestExchangerRecordsMessage(t *testing.T) {
	x := new(Exchanger)
	c, _ := begin(t, x)
	c.reply("220 mx.test ")
	c.do("EHLO client.test", "250-mx.test")
	c.send("MAIL FROM:<ann@a.test> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<\"b>o\"@b.test> NOTIFY=NEVER\r\nRCPT TO:<bob@b.test>\r\nDATA\r\n")
	c.reply("250")
	c.reply("250")
	c.reply("250")
	c.reply("354")
	c.send("Subject: x\r\n\r\n..dot\r\n.x\r\n\r\n.\r\n")
	c.reply("250")
	c.do("QUIT", "221")
	c.reply("EOF")
	done, err := x.Await(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got := done[0]
	if got.Sender != (Path{"ann@a.test", "SIZE=10 BODY=8BITMIME"}) || got.Hello != "client.test" || got.Conn != 1 || got.TLS != nil {
		t.Errorf("got %+v", got)
	}
	if fmt.Sprint(got.Rcpts) != `[{"b>o"@b.test NOTIFY=NEVER} {bob@b.test }]` {
		t.Errorf("got recipients %v", got.Rcpts)
	}
	if string(got.Wire) != "Subject: x\r\n\r\n..dot\r\n.x\r\n\r\n" || string(got.Content) != "Subject: x\r\n\r\n.dot\r\nx\r\n\r\n" {
		t.Errorf("got wire %q, content %q", got.Wire, got.Content)
	}
	if b := x.Breaches(); b != nil {
		t.Errorf("got breaches %q", b)
	}
}

func TestExchangerBdat(t *testing.T) {
	x := new(Exchanger)
	c, _ := begin(t, x)
	c.reply("220")
	c.do("EHLO c", "250-")
	c.do("MAIL FROM:<>", "250")
	c.do("RCPT TO:<bob@b.test>", "250")
	c.send("BDAT 5\r\nA: b\r")
	c.reply("250")
	c.send("BDAT 4 LAST\r\n\n\r\n.")
	c.reply("250")
	got := x.Accepted()
	if len(got) != 1 || string(got[0].Content) != "A: b\r\n\r\n." || string(got[0].Wire) != "A: b\r\n\r\n." || !got[0].Bdat {
		t.Fatalf("got %+v", got)
	}
}

func TestExchangerStartTLS(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := a.Server("mx.b.test")
	if err != nil {
		t.Fatal(err)
	}
	x := &Exchanger{TLS: cfg}
	c, _ := begin(t, x)
	c.reply("220")
	if r := c.do("EHLO c", "250-"); !strings.Contains(r, "STARTTLS") {
		t.Fatalf("no STARTTLS in %q", r)
	}
	c.do("STARTTLS", "220")
	tc := tls.Client(c.conn, &tls.Config{RootCAs: a.Roots(), ServerName: "mx.b.test"})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.conn, c.r = tc, bufio.NewReader(tc)
	c.do("MAIL FROM:<>", "503")
	if r := c.do("EHLO c", "250-"); strings.Contains(r, "STARTTLS") {
		t.Fatalf("STARTTLS inside TLS: %q", r)
	}
	c.do("MAIL FROM:<>", "250")
	c.do("RCPT TO:<bob@b.test>", "250")
	c.do("DATA", "354")
	c.send("x: y\r\n\r\n.\r\n")
	c.reply("250")
	if got := x.Accepted(); len(got) != 1 || got[0].TLS == nil || got[0].TLS.ServerName != "mx.b.test" {
		t.Fatalf("got %+v", got)
	}
}

// Each fault is played where it belongs, and what follows goes on as after such an answer.
func TestExchangerPlaysFaults(t *testing.T) {
	const hello = "EHLO c\r\n"
	const through = "MAIL FROM:<ann@a.test>\r\nRCPT TO:<bob@b.test>\r\nRCPT TO:<eve@b.test>\r\nDATA\r\n"
	for _, tt := range []struct {
		name     string
		fault    Fault
		say      string // after the greeting, in one flight
		replies  string // their codes, and END where the connection is closed
		accepted bool
	}{
		{"nothing", Fault{At: Rset, Reply: "500 x"}, hello + through + "a: b\r\n\r\n.\r\nQUIT\r\n", "220 250 250 250 250 354 250 221 END", true},
		{"a greeting of another class", Fault{At: Connect, Reply: "554 no"}, "", "554", false},
		{"no greeting", Fault{At: Connect, Close: true}, "", "END", false},
		{"a greeting and the end", Fault{At: Connect, Reply: "421 busy", Close: true}, "", "421 END", false},
		{"EHLO is unknown", Fault{At: Ehlo, Reply: "502 what"}, hello + "HELO c\r\n", "220 502 250", false},
		{"MAIL is deferred", Fault{At: Mail, Reply: "451 4.3.0 later"}, hello + through, "220 250 451 502 502 502", false},
		{"one sender", Fault{At: Mail, For: "ANN@a.test", Reply: "550 5.7.1 no"}, hello + "MAIL FROM:<x@y.test>\r\n", "220 250 250", false},
		{"one recipient", Fault{At: Rcpt, For: "bob@b.test", Reply: "550 5.1.1 no"}, hello + through + ".\r\n", "220 250 250 550 250 354 250", true},
		{"the second recipient", Fault{At: Rcpt, Skip: 1, Reply: "452 4.5.3 no"}, hello + through + ".\r\n", "220 250 250 250 452 354 250", true},
		{"the first recipient", Fault{At: Rcpt, Times: 1, Reply: "452 4.5.3 no"}, hello + through + ".\r\n", "220 250 250 452 250 354 250", true},
		{"354 to RCPT", Fault{At: Rcpt, Raw: "354 go\r\n"}, hello + through, "220 250 250 354 354 502", false},
		{"garbage", Fault{At: Mail, Raw: "\x00\xff\r\n"}, hello + "MAIL FROM:<>\r\n", "220 250 \x00\xff\r", false},
		{"the end behind MAIL", Fault{At: Mail, Close: true}, hello + through, "220 250 END", false},
		{"DATA is refused", Fault{At: Data, Reply: "554 5.7.1 no"}, hello + through + "RSET\r\n", "220 250 250 250 250 554 250", false},
		{"the end in the middle", Fault{At: Body, After: 5, Close: true}, hello + through + "a: b\r\nc: d\r\n\r\n.\r\n", "220 250 250 250 250 354 END", false},
		{"421 in the middle", Fault{At: Body, After: 5, Reply: "421 x", Close: true}, hello + through + "a: b\r\nc: d\r\n", "220 250 250 250 250 354 421 END", false},
		{"the message is refused", Fault{At: End, Reply: "554 5.6.0 no"}, hello + through + "x\r\n.\r\nNOOP\r\n", "220 250 250 250 250 354 554 250", false},
		{"the message is refused for a recipient", Fault{At: End, For: "eve@b.test", Reply: "451 4.6.0 no"}, hello + through + "x\r\n.\r\n", "220 250 250 250 250 354 451", false},
		{"no answer to the message", Fault{At: End, Close: true}, hello + through + "x\r\n.\r\n", "220 250 250 250 250 354 END", false},
		{"a message of another", Fault{At: End, For: "zoe@b.test", Close: true}, hello + through + "x\r\n.\r\n", "220 250 250 250 250 354 250", true},
		{"QUIT without an answer", Fault{At: Quit, Close: true}, hello + "QUIT\r\n", "220 250 END", false},
		{"BDAT is refused", Fault{At: Bdat, Reply: "503 no"}, hello + "MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n", "220 250 250 250 503 250", false},
		{"the end of BDAT is refused", Fault{At: End, Reply: "552 no"}, hello + "MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n", "220 250 250 250 552 250", false},
		{"another connection", Fault{At: Ehlo, Conn: 2, Close: true}, hello, "220 250", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := new(Exchanger)
			x.Play(tt.fault)
			c, _ := begin(t, x)
			c.send(tt.say)
			want := strings.Split(tt.replies, " ")
			for _, code := range want {
				if code == "END" {
					code = "EOF"
				}
				c.reply(code)
			}
			c.conn.Close()
			x.Close()
			if got := len(x.Accepted()) == 1; got != tt.accepted {
				t.Errorf("accepted %v, want %v: %+v", got, tt.accepted, x.Transactions())
			}
		})
	}
}

func TestExchangerRecordsWhatItRefusedAndLost(t *testing.T) {
	x := new(Exchanger)
	x.Play(Fault{At: End, Times: 1, Reply: "554-5.6.0 no\n554 5.6.0 really"}, Fault{At: Body, Skip: 1, Close: true})
	c, _ := begin(t, x)
	c.reply("220")
	c.do("EHLO c", "250")
	for range 2 {
		c.do("MAIL FROM:<ann@a.test>", "250")
		c.do("RCPT TO:<bob@b.test>", "250")
		c.do("DATA", "354")
		c.send("x\r\n")
		if len(x.Transactions()) == 0 {
			c.do(".", "554-5.6.0 no\r\n554 5.6.0 really\r\n")
		}
	}
	c.reply("EOF")
	got := x.Transactions()
	if len(got) != 2 || got[0].Reply != "554-5.6.0 no\n554 5.6.0 really" || got[0].Accepted || string(got[0].Content) != "x\r\n" ||
		got[1].Reply != "" || got[1].Accepted || string(got[1].Wire) != "x\r\n" {
		t.Errorf("got %+v", got)
	}
	s := x.Sessions()
	want := "S: 220 mx.test ESMTP Service Ready|C: EHLO c|S: 250-mx.test greets you"
	if len(s) != 1 || !strings.HasPrefix(strings.Join(s[0].Lines, "|"), want) || !s[0].Closed {
		t.Errorf("got %+v", s)
	}
}

func TestExchangerGreylists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &Exchanger{Greylist: true, Grace: time.Minute, Reject: []string{"none@b.test"}}
		c, n := begin(t, x)
		try := func(rcpt, want string) {
			t.Helper()
			c.do("MAIL FROM:<ann@a.test>", "250")
			c.do("RCPT TO:<"+rcpt+">", want)
			c.do("RSET", "250")
		}
		c.reply("220")
		c.do("EHLO c", "250")
		try("none@b.test", "550 5.1.1")
		try("bob@b.test", "450 4.7.1")
		time.Sleep(time.Minute - time.Nanosecond)
		try("Bob@b.test", "450")
		time.Sleep(time.Nanosecond)
		try("eve@b.test", "450")
		c.do("QUIT", "221")
		c = dial(t, x, n)
		c.reply("220")
		c.do("EHLO c", "250")
		try("bob@b.test", "250")
		c.conn.Close()
		x.Close()
	})
}

func TestExchangerWithoutExtensions(t *testing.T) {
	x := &Exchanger{Without: []string{"pipelining", "CHUNKING", "8BITMIME", "DSN", "SMTPUTF8", "SIZE"}}
	c, _ := begin(t, x)
	c.reply("220")
	if got := c.do("EHLO c", "250"); got != "250-mx.test greets you\r\n250 ENHANCEDSTATUSCODES\r\n" {
		t.Errorf("got %q", got)
	}
	c.do("MAIL FROM:<a@b> BODY=8BITMIME", "555")
	c.do("MAIL FROM:<a@b> SIZE=5", "555")
	c.do("MAIL FROM:<a@b> SMTPUTF8", "555")
	c.do("MAIL FROM:<a@b> RET=FULL", "555")
	c.send("MAIL FROM:<a@b>\r\nRCPT TO:<b@b>\r\n")
	c.reply("250")
	c.reply("250")
	c.send("BDAT 3 LAST\r\nabcNOOP\r\n")
	c.reply("502")
	c.reply("250")
	c.send("DATA\r\nx\r\n.\n")
	c.reply("354")
	c.send("y\r\n.\r\nRSET\n")
	c.reply("250")
	c.reply("250")
	if got := x.Accepted(); len(got) != 1 || string(got[0].Wire) != "x\r\n.\ny\r\n" {
		t.Errorf("got %+v", got)
	}
	breaches := strings.Join(x.Breaches(), "|")
	for _, want := range []string{"BODY=8BITMIME without the extension 8BITMIME", "RET=FULL without the extension DSN",
		"pipelined behind MAIL", "BDAT without the extension CHUNKING", "octets behind DATA before its answer",
		`does not end in CRLF: "RSET\n"`} {
		if !strings.Contains(breaches, want) {
			t.Errorf("%q is not among %q", want, breaches)
		}
	}
}

func TestExchangerTLSFaults(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert := func(cfg *tls.Config, err error) *tls.Config {
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	good := cert(a.Server("mx.b.test"))
	for _, tt := range []struct {
		name  string
		cfg   *tls.Config
		fault Fault
		reply string
		says  string // of the client's handshake; empty: it succeeds
	}{
		{"good", good, Fault{At: Rset}, "220", ""},
		{"wrong name", cert(a.Server("other.test")), Fault{At: Rset}, "220", "not mx.b.test"},
		{"expired", cert(a.Expired("mx.b.test")), Fault{At: Rset}, "220", "expired"},
		{"self-signed", cert(SelfSigned("mx.b.test")), Fault{At: Rset}, "220", "unknown authority"},
		{"garbage for a handshake", good, Fault{At: Handshake, Raw: "250 hello\r\n", Close: true}, "220", "first record does not look like a TLS handshake"},
		{"the end for a handshake", good, Fault{At: Handshake, Close: true}, "220", "EOF"},
		{"octets ahead of the handshake", good, Fault{At: StartTLS, Raw: "220 go\r\n250 injected\r\n"}, "220", "first record does not look like a TLS handshake"},
		{"refused", good, Fault{At: StartTLS, Reply: "454 4.7.0 not now"}, "454", "-"},
		{"not offered", nil, Fault{At: Rset}, "502", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := &Exchanger{TLS: tt.cfg}
			x.Play(tt.fault)
			c, _ := begin(t, x)
			c.reply("220")
			c.do("EHLO c", "250")
			c.do("STARTTLS", tt.reply)
			if tt.says == "-" {
				c.do("NOOP", "250")
				return
			}
			// What the reader has beyond the answer is lost to the handshake, as it would be in a careless client.
			conn := net.Conn(c.conn)
			if n := c.r.Buffered(); n > 0 {
				conn = buffered{conn, c.r}
			}
			err := tls.Client(conn, &tls.Config{RootCAs: a.Roots(), ServerName: "mx.b.test"}).Handshake()
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

func TestExchangerHoldsStillAndCloses(t *testing.T) {
	for _, at := range []Step{Connect, Ehlo, Mail, End} {
		t.Run(string(at), func(t *testing.T) {
			x := new(Exchanger)
			g := NewGate()
			x.Play(Fault{At: at, Wait: g})
			c, _ := begin(t, x)
			c.send("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r\n.\r\n")
			<-g.Arrived()
			if got := x.Accepted(); len(got) != 0 {
				t.Errorf("got %+v", got)
			}
			x.Close() // with the gate closed
			io.Copy(io.Discard, c.conn)
		})
	}
}

func TestExchangerGoesOnBehindTheGate(t *testing.T) {
	x := new(Exchanger)
	g := NewGate()
	x.Play(Fault{At: End, Wait: g})
	c, _ := begin(t, x)
	c.send("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r\n.\r\n")
	for _, code := range []string{"220", "250", "250", "250", "354"} {
		c.reply(code)
	}
	<-g.Arrived()
	g.Open()
	c.reply("250")
	if got, err := x.Await(t.Context(), 1); err != nil || len(got) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestExchangerOnLoopback(t *testing.T) {
	x := &Exchanger{Name: "mx.b.test", MaxSize: 3 << 20}
	if err := x.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	conn, err := net.Dial("tcp", x.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t, conn, bufio.NewReader(conn)}
	c.reply("220 mx.b.test")
	c.do("EHLO c", "250")
	body := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 2000)
	for i, want := range []string{"250", "552"} {
		c.do("MAIL FROM:<a@b>", "250")
		c.do("RCPT TO:<b@b>", "250")
		c.do("DATA", "354")
		c.send(strings.Repeat(body, i+1) + ".\r\n")
		c.reply(want)
	}
	if got := x.Transactions(); len(got) != 2 || string(got[0].Content) != body || got[1].Accepted || len(got[1].Wire) > 4<<20 {
		t.Errorf("got %d transactions", len(got))
	}
}

func TestParsePath(t *testing.T) {
	for arg, want := range map[string]Path{
		"FROM:<>":                      {},
		"FROM:<a@b.test>":              {"a@b.test", ""},
		"TO: <a@b.test>  NOTIFY=NEVER": {"a@b.test", "NOTIFY=NEVER"},
		`TO:<"a>\">"@b.test> X=1`:      {`"a>\">"@b.test`, "X=1"},
		"TO:a@b.test":                  {},
		"TO:<a@b.test":                 {},
	} {
		if got := parsePath(arg); got != want {
			t.Errorf("%s: got %+v, want %+v", arg, got, want)
		}
	}
}
