package smtpout

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signpost/mta/route"
	"signpost/spool"
)

// fake is a host that follows scripts, one a connection, over net.Pipe. A script is a line a step:
//
//	< text   says text and CRLF; before it, nothing that the client said may be unread
//	<~ text  as <, but the client may have said more
//	<" text  says the Go string text, nothing added
//	> text   expects exactly this line
//	body     reads a body up to the final dot and keeps it
//	read N   reads N octets
//	chunk N  reads N octets and keeps them like a body
//	wait D   lets the time D pass, and does not read meanwhile
//	tls      does a handshake
//	close    closes
//	hang     says no more, and reads until the client closes
//
// At the end of a script the client may say QUIT and must close.
type fake struct {
	t       *testing.T
	split   bool        // each octet is a write of its own
	tls     *tls.Config // for step tls
	refuse  int         // so many first calls are refused
	mu      sync.Mutex
	scripts []string
	dialed  []string
	writes  [][]string // of the client, a slice a connection
	bodies  []string
	wg      sync.WaitGroup
}

func (f *fake) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dialed = append(f.dialed, addr)
	if f.refuse > 0 {
		f.refuse--
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	if len(f.scripts) == 0 {
		f.t.Errorf("connection %d to %s is one more than there are scripts", len(f.dialed), addr)
		return nil, io.EOF
	}
	ours, theirs := net.Pipe()
	script := f.scripts[0]
	f.scripts = f.scripts[1:]
	n := len(f.writes)
	f.writes = append(f.writes, nil)
	f.wg.Go(func() {
		p := &player{fake: f, conn: theirs, r: bufio.NewReader(theirs)}
		defer func() { p.conn.Close() }()
		if err := p.play(script); err != nil {
			f.t.Errorf("connection %d: %v", n+1, err)
		}
	})
	return &tapped{ours, f, n}, nil
}

// tapped records what the client writes.
type tapped struct {
	net.Conn
	f *fake
	n int
}

func (c *tapped) Write(p []byte) (int, error) {
	c.f.mu.Lock()
	c.f.writes[c.n] = append(c.f.writes[c.n], string(p))
	c.f.mu.Unlock()
	return c.Conn.Write(p)
}

// player is one connection of a fake.
type player struct {
	*fake
	conn net.Conn
	r    *bufio.Reader
}

func (p *player) play(script string) error {
	for i, step := range strings.Split(strings.TrimSpace(script), "\n") {
		step = strings.TrimSpace(step)
		done, err := p.step(step)
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, step, err)
		}
		if done {
			return nil
		}
	}
	rest, _ := io.ReadAll(p.r)
	if s := string(rest); s != "" && s != "QUIT\r\n" {
		return fmt.Errorf("at the end the client said %q", s)
	}
	return nil
}

func (p *player) step(step string) (done bool, err error) {
	op, text, _ := strings.Cut(step, " ")
	switch op {
	case "":
		return false, nil
	case "<":
		if n := p.r.Buffered(); n > 0 {
			ahead, _ := p.r.Peek(n)
			return false, fmt.Errorf("the client did not wait and said %q", ahead)
		}
		return false, p.say(text + "\r\n")
	case "<~":
		return false, p.say(text + "\r\n")
	case `<"`:
		raw, err := strconv.Unquote(`"` + text + `"`)
		if err != nil {
			return false, err
		}
		return false, p.say(raw)
	case ">":
		line, err := p.r.ReadString('\n')
		if err == nil && line != text+"\r\n" {
			err = fmt.Errorf("the client said %q", line)
		}
		return false, err
	case "body":
		return false, p.body()
	case "chunk":
		n, _ := strconv.Atoi(text)
		b := make([]byte, n)
		_, err := io.ReadFull(p.r, b)
		p.mu.Lock()
		p.bodies = append(p.bodies, string(b))
		p.mu.Unlock()
		return false, err
	case "read":
		n, _ := strconv.Atoi(text)
		_, err := io.CopyN(io.Discard, p.r, int64(n))
		return false, err
	case "wait":
		d, err := time.ParseDuration(text)
		<-time.After(d)
		return false, err
	case "tls":
		return false, p.secure()
	case "close":
		return true, nil
	case "hang":
		_, err := io.Copy(io.Discard, p.r)
		return true, err
	}
	return false, fmt.Errorf("no such step")
}

func (p *player) say(text string) error {
	if !p.split {
		_, err := io.WriteString(p.conn, text)
		return err
	}
	for i := range len(text) {
		if _, err := io.WriteString(p.conn, text[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) body() error {
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			p.mu.Lock()
			p.bodies = append(p.bodies, b.String())
			p.mu.Unlock()
			return nil
		}
		b.WriteString(line)
	}
}

func (p *player) secure() error {
	tc := tls.Server(p.conn, p.tls)
	if err := tc.Handshake(); err != nil {
		return err
	}
	p.conn, p.r = tc, bufio.NewReader(tc)
	return nil
}

// greeting is the beginning of most scripts, with the extensions offered.
func greeting(ext ...string) string {
	return "< 220 mx.test ESMTP\n" + hello(ext...)
}

func hello(ext ...string) string {
	s := "> EHLO here.test\n"
	for _, e := range ext {
		s += `<" 250-` + e + "\\r\\n\n"
	}
	// The name of the host comes first in reality, and is no extension.
	return strings.Replace(s, "\n", "\n<\" 250-mx.test\\r\\n\n", 1) + "< 250 HELP\n"
}

// plainMail is a transaction that succeeds, one by one; flight one in a flight.
const (
	plainMail = `
		> MAIL FROM:<ann@here.test>
		< 250 2.1.0 ok
		> RCPT TO:<bob@there.test>
		< 250 2.1.5 ok
		> DATA
		< 354 go on
		body
		< 250 2.0.0 taken
		`
	flight = `
		> MAIL FROM:<ann@here.test>
		> RCPT TO:<bob@there.test>
		> DATA
		< 250 2.1.0 ok
		< 250 2.1.5 ok
		< 354 go on
		body
		< 250 2.0.0 taken
		`
)

const content = "Subject: x\r\n\r\n.hello\r\n"

// text makes a message of s.
func text(s string) Message {
	return Message{Sender: "ann@here.test", Size: int64(len(s)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(s)), nil
	}}
}

func to(addrs ...string) []spool.Recipient {
	var rcpts []spool.Recipient
	for _, a := range addrs {
		rcpts = append(rcpts, spool.Recipient{Addr: a})
	}
	return rcpts
}

var addr = netip.MustParseAddr("192.0.2.1")

func hop() route.Hop {
	return route.Hop{Host: "mx.test", Addrs: []netip.Addr{addr}, Port: 25}
}

// statuses are the results in short, with "?" for a recipient without one.
func statuses(rep Report) string {
	var all []string
	for _, r := range rep.Results {
		s := r.Status.String()
		if r.Outcome() == spool.Pending {
			s = "?"
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

// begin makes a client of a fake with these scripts; both end with the test, in which all scripts must have been used.
func begin(t *testing.T, scripts ...string) (*Client, *fake) {
	f := &fake{t: t, scripts: scripts}
	c := &Client{Hostname: "here.test", Dial: f.dial}
	t.Cleanup(func() {
		c.Close()
		f.wg.Wait()
		if len(f.scripts) > 0 {
			t.Errorf("%d scripts were not used", len(f.scripts))
		}
	})
	return c, f
}

// deadDial connects to nobody, and takes until ctx ends for it.
func deadDial(f *fake) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		f.dialed = append(f.dialed, addr)
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	}
}

// pipeDial connects to a sink over net.Pipe.
func pipeDial(wg *sync.WaitGroup, rtt time.Duration) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		wg.Go(func() { sink(theirs, rtt) })
		return ours, nil
	}
}
