package stage

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
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
