package stage

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// Script is what a server says and what it expects to hear on one connection, step by step. It can say what no mail
// server would: see Actor.
type Script []Act

// Act is one step of a Script.
type Act struct {
	text string // of the error message, and the octets of Send
	send bool
	do   func(*scene) error
}

// Send writes octets just as they are.
func Send(octets string) Act {
	return Act{text: octets, send: true, do: func(s *scene) error { return s.write(octets) }}
}

// Expect reads one line, which must end in CRLF and match pattern, where * stands for any octets.
func Expect(pattern string) Act {
	return Act{text: "expect " + pattern, do: func(s *scene) error {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("got %q: %w", line, err)
		}
		if !glob(pattern, strings.TrimSuffix(line, "\r\n")) || !strings.HasSuffix(line, "\r\n") {
			return fmt.Errorf("got %q", line)
		}
		return nil
	}}
}

// ExpectOctets reads exactly these octets.
func ExpectOctets(want string) Act {
	return Act{text: fmt.Sprintf("expect octets %q", want), do: func(s *scene) error {
		got := make([]byte, len(want))
		if n, err := io.ReadFull(s.in, got); err != nil {
			return fmt.Errorf("got %q: %w", got[:n], err)
		}
		if string(got) != want {
			return fmt.Errorf("got %q", got)
		}
		return nil
	}}
}

// ExpectContent reads up to the final dot, which is not part of want. The content is as on the wire; "*" means any.
func ExpectContent(want string) Act {
	return Act{text: fmt.Sprintf("expect content %q", want), do: func(s *scene) error {
		var got strings.Builder
		for whole := true; ; {
			line, err := s.in.ReadString('\n')
			if whole && line == ".\r\n" {
				break
			}
			got.WriteString(line)
			if err != nil {
				return fmt.Errorf("got %q: %w", got.String(), err)
			}
			whole = strings.HasSuffix(line, "\r\n")
		}
		if want != "*" && got.String() != want {
			return fmt.Errorf("got %q", got.String())
		}
		return nil
	}}
}

// ExpectEnd waits until the client closes the connection, which must send nothing before.
func ExpectEnd() Act {
	return Act{text: "expect the end", do: func(s *scene) error {
		rest, err := io.ReadAll(s.in)
		if len(rest) > 0 {
			return fmt.Errorf("got %q", rest)
		}
		return err
	}}
}

// Silence says nothing and reads whatever comes until the client closes the connection.
func Silence() Act {
	return Act{text: "silence", do: func(s *scene) error {
		io.Copy(io.Discard, s.in) // a broken connection is an end too
		return nil
	}}
}

// Pause waits until the gate is opened.
func Pause(g *Gate) Act {
	return Act{text: "pause", do: func(s *scene) error {
		g.pass(nil)
		return nil
	}}
}

// Secure does the server's side of a TLS handshake; what follows is said inside.
func Secure(cfg *tls.Config) Act {
	return Act{text: "TLS handshake", do: func(s *scene) error {
		if n := s.in.Buffered(); n > 0 {
			return fmt.Errorf("%d octets came before the handshake", n)
		}
		t := tls.Server(s.conn, cfg)
		if err := t.Handshake(); err != nil {
			return err
		}
		s.out, s.in = t, bufio.NewReader(t)
		return nil
	}}
}

// glob reports whether text is pattern, where * stands for any octets.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return text == pattern
	}
	last := len(parts) - 1
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1:last] {
		i := strings.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return strings.HasSuffix(text, parts[last])
}

// Octets counts what the script says, in the clear.
func (s Script) Octets() int {
	n := 0
	for _, a := range s {
		if a.send {
			n += len(a.text)
		}
	}
	return n
}

// Actor plays scripts, one for each connection in turn, to a client that calls its Dial. The connections live in
// memory; each Read of the client gives octets of one Write only, so Cut and Drip decide how it sees them. When a
// script is over, or the client did not keep to it, the connection is closed.
type Actor struct {
	Scripts []Script
	Cut     int  // after so many octets of what a script says a piece ends; 0: pieces end as the script has them
	Drip    bool // every octet is a piece of its own

	mu      sync.Mutex
	dialed  int
	errs    []error
	playing sync.WaitGroup
}

// Dial connects to the next script. Behind the last one the connection is refused.
func (a *Actor) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dialed >= len(a.Scripts) {
		a.errs = append(a.errs, fmt.Errorf("connection %d to %s: no script is left", a.dialed+1, addr))
		return nil, fmt.Errorf("dial %s: no script is left", addr)
	}
	no := a.dialed
	a.dialed++
	server, err := netip.ParseAddrPort(addr)
	if err != nil {
		server = netip.MustParseAddrPort("192.0.2.1:25")
	}
	c, s := Pipe(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.254"), uint16(1024+no)), server)
	a.playing.Go(func() {
		if err := a.Play(a.Scripts[no], s); err != nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.errs = append(a.errs, fmt.Errorf("connection %d: %w", no+1, err))
		}
	})
	return c, nil
}

// Play plays one script on a connection of the caller's and closes it. The error says which step the client did not
// keep to.
func (a *Actor) Play(script Script, conn net.Conn) error {
	defer conn.Close()
	s := &scene{conn: conn, out: conn, in: bufio.NewReader(conn), cut: a.Cut, drip: a.Drip}
	for i, act := range script {
		if err := act.do(s); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, strings.TrimSpace(act.text), err)
		}
	}
	return nil
}

// Wait returns when all connections have ended, with whatever was not as scripted: it is an error too where the client
// did not connect for each script.
func (a *Actor) Wait() error {
	a.playing.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if left := len(a.Scripts) - a.dialed; left > 0 {
		return errors.Join(append(a.errs, fmt.Errorf("%d of %d scripts were not played", left, len(a.Scripts)))...)
	}
	return errors.Join(a.errs...)
}

// scene is one connection while its script is played.
type scene struct {
	conn net.Conn
	out  io.Writer
	in   *bufio.Reader
	said int
	cut  int
	drip bool
}

func (s *scene) write(octets string) error {
	for len(octets) > 0 {
		n := len(octets)
		if s.drip {
			n = 1
		} else if s.said < s.cut && s.cut < s.said+n {
			n = s.cut - s.said
		}
		if _, err := io.WriteString(s.out, octets[:n]); err != nil {
			return err
		}
		s.said += n
		octets = octets[n:]
	}
	return nil
}
