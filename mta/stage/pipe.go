package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is how many octets one direction of a connection holds before a Write waits, as a socket's buffer does.
const pipeBuffer = 256 << 10

// Pipe makes a connection in memory. Unlike that of net.Pipe it is buffered, so that a peer may write a whole flight of
// commands before it reads; like there, a Read gives octets of one Write only, so that a test decides how they are cut.
// Blocking in it counts as durably blocked for testing/synctest.
func Pipe(client, server netip.AddrPort) (net.Conn, net.Conn) {
	there, back := newHalf(), newHalf()
	c, s := net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(server)
	return &pipeConn{in: back, out: there, local: c, remote: s}, &pipeConn{in: there, out: back, local: s, remote: c}
}

type pipeConn struct {
	in, out       *half
	local, remote net.Addr
}

func (p *pipeConn) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeConn) Write(b []byte) (int, error) { return p.out.write(b) }
func (p *pipeConn) LocalAddr() net.Addr         { return p.local }
func (p *pipeConn) RemoteAddr() net.Addr        { return p.remote }

// Close ends both directions. What was written before can still be read by the peer.
func (p *pipeConn) Close() error {
	p.in.close(true)
	p.out.close(false)
	return nil
}

func (p *pipeConn) SetDeadline(t time.Time) error {
	p.in.deadline(&p.in.readBy, t)
	p.out.deadline(&p.out.writeBy, t)
	return nil
}

func (p *pipeConn) SetReadDeadline(t time.Time) error {
	p.in.deadline(&p.in.readBy, t)
	return nil
}

func (p *pipeConn) SetWriteDeadline(t time.Time) error {
	p.out.deadline(&p.out.writeBy, t)
	return nil
}

// half is one direction of a connection.
type half struct {
	mu              sync.Mutex
	change          *sync.Cond
	chunks          [][]byte
	size            int
	noRead, noWrite bool // that end has been closed
	readBy, writeBy limit
}

// limit is a deadline; its timer wakes those who wait.
type limit struct {
	at    time.Time
	timer *time.Timer
}

func (l *limit) over() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }

func newHalf() *half {
	h := new(half)
	h.change = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.noRead:
			return 0, net.ErrClosed
		case h.readBy.over():
			return 0, os.ErrDeadlineExceeded
		case len(h.chunks) > 0:
			return h.take(b), nil
		case h.noWrite:
			return 0, io.EOF
		}
		h.change.Wait()
	}
}

func (h *half) take(b []byte) int {
	n := copy(b, h.chunks[0])
	if h.chunks[0] = h.chunks[0][n:]; len(h.chunks[0]) == 0 {
		h.chunks = h.chunks[1:]
	}
	h.size -= n
	h.change.Broadcast()
	return n
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for len(b) > 0 {
		switch {
		case h.noWrite:
			return n, net.ErrClosed
		case h.noRead:
			return n, syscall.EPIPE
		case h.writeBy.over():
			return n, os.ErrDeadlineExceeded
		case h.size < pipeBuffer:
			k := min(len(b), pipeBuffer-h.size)
			h.chunks = append(h.chunks, append([]byte(nil), b[:k]...))
			h.size += k
			n, b = n+k, b[k:]
			h.change.Broadcast()
			continue
		}
		h.change.Wait()
	}
	return n, nil
}

func (h *half) close(reader bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reader {
		h.noRead, h.chunks, h.size = true, nil, 0
	} else {
		h.noWrite = true
	}
	for _, l := range []*limit{&h.readBy, &h.writeBy} {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	h.change.Broadcast()
}

func (h *half) deadline(l *limit, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.at, l.timer = t, nil
	if !t.IsZero() && !h.noRead && !h.noWrite {
		l.timer = time.AfterFunc(time.Until(t), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.change.Broadcast()
		})
	}
	h.change.Broadcast()
}

// Network is a network in memory. The zero value is ready and has no hosts. Safe for concurrent use.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	holes     map[string]bool
	dialed    []string
	bell      bell
}

// Listen takes calls to addr, an address and port in text.
func (n *Network) Listen(addr string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at.String()] != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, syscall.EADDRINUSE)
	}
	if n.listeners == nil {
		n.listeners = make(map[string]*listener)
	}
	l := &listener{network: n, at: at, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[at.String()] = l
	return l, nil
}

// BlackHole makes connecting to addr hang until the caller's context ends, as a host behind a silent packet filter.
func (n *Network) BlackHole(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.holes == nil {
		n.holes = make(map[string]bool)
	}
	n.holes[addr] = true
}

// Dialed lists the addresses dialed so far, in order.
func (n *Network) Dialed() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.dialed...)
}

// AwaitDialed waits until at least count addresses have been dialed.
func (n *Network) AwaitDialed(ctx context.Context, count int) error {
	return await(ctx, &n.mu, &n.bell, func() bool { return len(n.dialed) >= count })
}

// Dial connects to a listener. Where none is, the connection is refused.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	l, hole := n.listeners[addr], n.holes[addr]
	n.dialed = append(n.dialed, addr)
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(1024+len(n.dialed)%60000))
	n.bell.ring()
	n.mu.Unlock()
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", addr, err)}
	}
	if hole {
		<-ctx.Done()
		return nil, fail(ctx.Err())
	}
	if l == nil {
		return nil, fail(syscall.ECONNREFUSED)
	}
	client, server := Pipe(from, l.at)
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, fail(ctx.Err())
	}
}

type listener struct {
	network *Network
	at      netip.AddrPort
	conns   chan net.Conn
	once    sync.Once
	done    chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

func (l *listener) Close() error {
	err := errors.New("listener is closed already")
	l.once.Do(func() {
		close(l.done)
		l.network.mu.Lock()
		delete(l.network.listeners, l.at.String())
		l.network.mu.Unlock()
		err = nil
	})
	return err
}
