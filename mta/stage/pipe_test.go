package stage

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipeKeepsPieces(t *testing.T) {
	c, s := Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:25"))
	io.WriteString(s, "one")
	io.WriteString(s, "two")
	s.Close()
	b := make([]byte, 10)
	if n, _ := c.Read(b[:2]); string(b[:n]) != "on" {
		t.Errorf("got %q", b[:n])
	}
	if n, _ := c.Read(b); string(b[:n]) != "e" {
		t.Errorf("got %q", b[:n])
	}
	if rest, err := io.ReadAll(c); string(rest) != "two" || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
	if _, err := c.Write(b); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing to the closed end: %v", err)
	}
	if _, err := s.Read(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading from the closed end: %v", err)
	}
	if c.RemoteAddr().String() != "192.0.2.2:25" || s.RemoteAddr().String() != "192.0.2.1:1" {
		t.Errorf("got addresses %s, %s", c.RemoteAddr(), s.RemoteAddr())
	}
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := Pipe(netip.AddrPort{}, netip.AddrPort{})
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		start = time.Now()
		s.SetDeadline(start.Add(time.Hour))
		n, err := io.WriteString(s, strings.Repeat("x", pipeBuffer+1))
		if n != pipeBuffer || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("wrote %d, %v after %v", n, err, time.Since(start))
		}
		c.SetReadDeadline(time.Time{})
		if n, err := c.Read(make([]byte, pipeBuffer)); n != pipeBuffer || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		// A deadline that comes while somebody waits ends the waiting.
		read := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		c.SetDeadline(time.Unix(1, 0))
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		c.Close()
		s.Close()
	})
}

func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(Network)
		l, err := n.Listen("192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen("192.0.2.1:25"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("got %v", err)
		}
		n.BlackHole("192.0.2.9:25")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", "192.0.2.2:25"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody there: got %v", err)
		}
		start := time.Now()
		if _, err := n.Dial(ctx, "tcp", "192.0.2.9:25"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Errorf("a black hole: got %v after %v", err, time.Since(start))
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(c, "hello")
			c.Close()
		}()
		c, err := n.Dial(t.Context(), "tcp", "192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); string(b) != "hello" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		l.Close()
		if _, err := n.Dial(t.Context(), "tcp", "192.0.2.1:25"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed: got %v", err)
		}
		if err := n.AwaitDialed(t.Context(), 4); err != nil || len(n.Dialed()) != 4 {
			t.Errorf("got %v, %v", n.Dialed(), err)
		}
	})
}
