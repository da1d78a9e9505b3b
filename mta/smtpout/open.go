package smtpout

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"signpost/mta/route"
)

// connect gives a connection that is ready for MAIL: one that was kept, or a new one.
func (a *attempt) connect(ctx context.Context) (*conn, *trouble) {
	if cn := a.client.idle.take(a.hop); cn != nil {
		cn.kept = true
		a.use(ctx, cn)
		a.log.note("kept connection to %s", cn.remote)
		return cn, nil
	}
	return a.open(ctx)
}

// use makes cn the connection of this Send. When ctx ends it is closed: nothing else ends a blocked read.
func (a *attempt) use(ctx context.Context, cn *conn) {
	a.remote, a.report.TLS, a.report.TLSError = cn.remote, cn.tls, cn.tlsErr
	cn.log, cn.out = &a.log, cn.out[:0]
	raw := cn.raw
	cn.unwatch = context.AfterFunc(ctx, func() { raw.Close() })
}

// open tries the hop's addresses in turn until one gives a session. What is reported in the end is the trouble that says
// most: words of the host before a failure to connect, and that before a network we have no way into.
func (a *attempt) open(ctx context.Context) (*conn, *trouble) {
	worst := troublef(Host, statusNoRoute, "there is no address of %s to try", a.hop.Host)
	weight := -1
	start := time.Now()
	for i, addr := range a.hop.Addrs {
		cn, t := a.openAddr(ctx, netip.AddrPortFrom(addr.Unmap(), a.hop.Port), a.share(start, len(a.hop.Addrs)-i))
		if t == nil {
			return cn, nil
		}
		if w := t.weight(); w > weight {
			worst, weight = t, w
		}
		// No number of addresses may hold us for longer than two slow ones.
		if ctx.Err() != nil || time.Since(start) > 4*a.limits.Connect+2*a.limits.Greeting {
			break
		}
	}
	return nil, worst
}

// share is how long connecting to the next of left addresses may take: all together have four times what one has, so
// that many dead ones do not hold us for long and the last is still tried.
func (a *attempt) share(start time.Time, left int) time.Duration {
	rest := 4*a.limits.Connect - time.Since(start)
	return min(a.limits.Connect, max(rest/time.Duration(left), a.limits.Connect/15))
}

func (t *trouble) weight() int {
	switch {
	case t.reply != "":
		return 3
	case t.status == statusNoRoute:
		return 0
	case t.status == statusNoAnswer:
		return 1
	}
	return 2
}

// openAddr makes a session with one address. Where TLS fails and need not be, it tries again in clear on a new
// connection (RFC 7435).
func (a *attempt) openAddr(ctx context.Context, at netip.AddrPort, connect time.Duration) (*conn, *trouble) {
	cn, t := a.session(ctx, at, connect, a.hop.Need != route.Plain)
	if t == nil || !t.clear || a.hop.Need != route.Opportunistic || ctx.Err() != nil {
		return cn, t
	}
	a.log.note("trying again in clear")
	why := errors.New(t.detail)
	if cn, t = a.session(ctx, at, connect, false); t == nil {
		cn.tlsErr, a.report.TLSError = why, why
	}
	return cn, t
}

func (a *attempt) session(ctx context.Context, at netip.AddrPort, connect time.Duration, secure bool) (*conn, *trouble) {
	remote := a.hop.Host + "[" + at.Addr().String() + "]:" + strconv.Itoa(int(at.Port()))
	raw, err := a.dial(ctx, at, connect)
	if err != nil {
		t := unreachable(err)
		t.remote = remote
		a.log.note("%s: %s", remote, t.detail)
		return nil, t
	}
	cn := &conn{key: poolKey{a.hop.Host, at, a.hop.Need}, remote: remote, raw: raw, rw: raw, in: newReplyReader(raw),
		opened: time.Now()}
	a.log.note("connected to %s", remote)
	a.use(ctx, cn)
	cn.limit = cn.opened.Add(a.limits.Greeting)
	if t := a.hello(cn, secure); t != nil {
		t.remote = remote
		a.end(cn, t)
		return nil, t
	}
	a.report.TLS = cn.tls
	return cn, nil
}

func (a *attempt) dial(ctx context.Context, at netip.AddrPort, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return a.client.Dial(ctx, "tcp", at.String())
}

// unreachable is the trouble of a connection that could not be made.
func unreachable(err error) *trouble {
	t := lost(err, "while connecting")
	t.blame, t.status, t.gone = Host, statusNoAnswer, false
	for _, no := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, no) {
			t.status = statusNoRoute
		}
	}
	if !isTimeout(err) {
		t.detail = "cannot connect: " + plain(err)
	}
	return t
}

// hello goes from the greeting to a session in which MAIL may be said.
func (a *attempt) hello(cn *conn, secure bool) *trouble {
	r, t := cn.hear(a.limits.Greeting, "the connection")
	if t != nil {
		return t
	}
	if !r.ok() {
		return refused(Host, r, "the connection")
	}
	if t := a.ehlo(cn); t != nil {
		return t
	}
	if secure && cn.ext.startTLS {
		return a.secure(cn)
	}
	if a.hop.Need >= route.Encrypt {
		return troublef(Host, statusNoTLS, "the host does not offer STARTTLS, which is required")
	}
	return nil
}

// ehlo introduces us. HELO is for hosts that do not know EHLO, and they say so with 5yz (RFC 5321 3.2).
func (a *attempt) ehlo(cn *conn) *trouble {
	name := a.client.Hostname
	if name == "" {
		name = literal(cn.raw.LocalAddr())
	}
	r, t := cn.ask(a.limits.Greeting, "EHLO ", name)
	if t != nil {
		return t
	}
	cn.ext = extensions{}
	if r.ok() {
		cn.ext = parseExtensions(r.text)
		return nil
	}
	if r.code/100 == 5 {
		if r, t = cn.ask(a.limits.Greeting, "HELO ", name); t != nil {
			return t
		}
	}
	if !r.ok() {
		return refused(Host, r, "our name")
	}
	return nil
}

// literal is what a host without a name calls itself (RFC 5321 4.1.3).
func literal(local net.Addr) string {
	at, err := netip.ParseAddrPort(local.String())
	switch {
	case err != nil:
		return "[127.0.0.1]"
	case at.Addr().Unmap().Is4():
		return "[" + at.Addr().Unmap().String() + "]"
	}
	return "[IPv6:" + at.Addr().WithZone("").String() + "]"
}

// secure turns the session into one over TLS, or decides that it goes on in clear.
func (a *attempt) secure(cn *conn) *trouble {
	r, t := cn.ask(a.limits.Greeting, "STARTTLS")
	if t != nil {
		t.clear = t.status != statusProtocol
		return t
	}
	if r.code != 220 {
		t := refused(Host, r, "STARTTLS")
		t.clear = t.gone
		if t.gone || a.hop.Need >= route.Encrypt || r.code/100 < 4 {
			return t
		}
		cn.tlsErr, a.report.TLSError = errors.New(t.detail), errors.New(t.detail)
		return nil
	}
	// What came in clear behind the 220 would be taken for the first words under TLS (CVE-2021-38371).
	if cn.in.waiting() {
		return troublef(Session, statusTLS, "the host, or somebody between, sent more behind the answer to STARTTLS")
	}
	if t := a.handshake(cn); t != nil {
		return t
	}
	if t = a.ehlo(cn); t != nil {
		// With TLS 1.3 a host that does not like us says so only now.
		t.clear = t.gone && t.reply == ""
	}
	return t
}

func (a *attempt) handshake(cn *conn) *trouble {
	cfg := &tls.Config{
		ServerName:         serverName(a.hop.Host),
		RootCAs:            a.client.Roots,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: a.hop.Need != route.Verify,
		// Small records at the beginning are for browsers; here each would be a system call more.
		DynamicRecordSizingDisabled: true,
	}
	if cfg.ServerName == "" && a.hop.Need == route.Verify {
		return troublef(Host, statusTLS, "the name %q cannot be in a certificate", a.hop.Host)
	}
	tc := tls.Client(cn.raw, cfg)
	cn.raw.SetDeadline(cn.by(a.limits.Greeting))
	if err := tc.Handshake(); err != nil {
		t := lost(err, "in the TLS handshake")
		t.blame, t.status, t.clear, t.gone = Host, statusTLS, true, false
		if !isTimeout(err) {
			t.detail = "the TLS handshake failed: " + plain(err)
		}
		a.log.note("%s", t.detail)
		return t
	}
	cn.rw = tc
	cn.in.br.Reset(tc)
	cn.tls = tlsName(tc.ConnectionState(), a.hop.Need)
	a.log.note("%s %s", cn.tls, tls.CipherSuiteName(tc.ConnectionState().CipherSuite))
	return nil
}
