package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Options are the settings of a Client. The zero value asks the servers of /etc/resolv.conf.
type Options struct {
	Servers    []string      // address, or address and port; empty: those of ResolvConf, read again when it changes
	ResolvConf string        // empty: /etc/resolv.conf
	Timeout    time.Duration // for one try at one server; 0: what ResolvConf says, or 5 s
	TrustAD    bool          // believe the AD bit of Servers that are not on loopback
	// Dial connects to a server, network being "udp" or "tcp"; nil: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

const (
	defaultTimeout = 5 * time.Second
	rounds         = 2               // tries at each server that does not answer
	maxAliases     = 10              // CNAMEs followed
	confAge        = 5 * time.Second // how old what is known of resolv.conf may be
)

// Client is a Resolver that asks name servers. A look-up ends after two tries at each of at most three servers. It
// starts with the server that answered last, so that a dead one costs its time-out once.
type Client struct {
	opt Options
	at  atomic.Int32 // the server that answered last

	mu      sync.Mutex
	cache   cache
	flights map[question]*flight

	confMu   sync.Mutex
	conf     Conf
	confInfo os.FileInfo
	confErr  error
	confNext time.Time // when to look at it again
}

var _ Resolver = (*Client)(nil)

// flight is a look-up under way. Others who ask the same wait for it.
type flight struct {
	done   chan struct{}
	answer answer
	err    error
	gaveUp bool // its caller went away: the question is still open
}

// New makes a Client.
func New(opt Options) *Client {
	if opt.ResolvConf == "" {
		opt.ResolvConf = "/etc/resolv.conf"
	}
	if opt.Dial == nil {
		opt.Dial = new(net.Dialer).DialContext
	}
	return &Client{opt: opt, flights: make(map[question]*flight)}
}

// MX implements Resolver.
func (c *Client) MX(ctx context.Context, domain string) ([]MX, bool, error) {
	a, err := c.lookup(ctx, domain, dns.TypeMX)
	return a.mx, a.authentic, err
}

// TLSA implements Resolver.
func (c *Client) TLSA(ctx context.Context, name string) ([]TLSA, bool, error) {
	a, err := c.lookup(ctx, name, dns.TypeTLSA)
	return a.tlsa, a.authentic, err
}

// TXT implements Resolver.
func (c *Client) TXT(ctx context.Context, name string) ([]string, bool, error) {
	a, err := c.lookup(ctx, name, dns.TypeTXT)
	return a.txt, a.authentic, err
}

// Addrs implements Resolver. A host is authentic when each family that could be looked up is: a family whose look-up
// an attacker made fail must not make the host look unsigned.
func (c *Client) Addrs(ctx context.Context, host string) ([]netip.Addr, bool, error) {
	if isLocalhost(canonical(host)) {
		return loopback(), false, nil
	}
	var six answer
	var err6 error
	var wg sync.WaitGroup
	wg.Go(func() { six, err6 = c.lookup(ctx, host, dns.TypeAAAA) })
	four, err4 := c.lookup(ctx, host, dns.TypeA)
	wg.Wait()
	return bothFamilies(host, four, err4, six, err6)
}

func bothFamilies(host string, four answer, err4 error, six answer, err6 error) ([]netip.Addr, bool, error) {
	unknown4, unknown6 := errors.Is(err4, ErrTemporary), errors.Is(err6, ErrTemporary)
	authentic := (four.authentic || unknown4) && (six.authentic || unknown6) && !(unknown4 && unknown6)
	half := MaxAddrs / 2 // so that a flood of one family leaves room for the other
	n4 := min(len(four.ips), max(half, MaxAddrs-len(six.ips)))
	n6 := min(len(six.ips), MaxAddrs-n4)
	ips := slices.Concat(four.ips[:n4], six.ips[:n6])
	switch {
	case len(ips) > 0:
		return ips, authentic, nil
	case unknown4:
		return nil, false, err4
	case unknown6:
		return nil, false, err6
	case errors.Is(err4, ErrNotFound) && errors.Is(err6, ErrNotFound):
		return nil, authentic, &Error{Type: "addresses", Name: host, Kind: ErrNotFound}
	}
	return nil, authentic, &Error{Type: "addresses", Name: host, Kind: ErrNoData}
}

// lookup answers from the cache, or waits for who is asking the same already, or asks.
func (c *Client) lookup(ctx context.Context, name string, kind uint16) (answer, error) {
	q := question{canonical(name), kind}
	for {
		c.mu.Lock()
		if a, ok := c.cache.get(q); ok {
			c.mu.Unlock()
			return a, q.failure(a.none, nil)
		}
		f, busy := c.flights[q]
		if !busy {
			f = &flight{done: make(chan struct{})}
			c.flights[q] = f
		}
		c.mu.Unlock()
		if !busy {
			c.fly(ctx, q, f)
			return f.answer, f.err
		}
		select {
		case <-f.done:
			if !f.gaveUp {
				return f.answer, f.err
			}
		case <-ctx.Done():
			return answer{}, q.failure(ErrTemporary, ctx.Err())
		}
	}
}

// fly asks, and leaves the answer in f and in the cache.
func (c *Client) fly(ctx context.Context, q question, f *flight) {
	f.gaveUp = true // unless we come to the end
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if f.err == nil || f.answer.none != nil {
			c.cache.put(q, f.answer)
		}
		delete(c.flights, q)
		close(f.done)
	}()
	a, err := c.follow(ctx, q)
	if err != nil {
		f.err = q.failure(ErrTemporary, err)
		f.gaveUp = ctx.Err() != nil
		return
	}
	f.answer, f.err, f.gaveUp = a, q.failure(a.none, nil), false
}

// failure is the *Error for q, or nil where kind is.
func (q question) failure(kind, cause error) error {
	if kind == nil {
		return nil
	}
	return &Error{Type: dns.TypeToString[q.kind], Name: q.name, Kind: kind, Err: cause}
}

// follow asks for q and for what its aliases lead to, where the server has not followed them itself.
func (c *Client) follow(ctx context.Context, q question) (answer, error) {
	if !packable(q.name) {
		return answer{none: ErrNotFound}, nil // DNS cannot hold such a name
	}
	a := answer{authentic: true, ttl: maxTTL}
	name, aliases := q.name, 0
	for {
		m, trusted, err := c.ask(ctx, name, q.kind)
		if err != nil {
			return answer{}, err
		}
		a.authentic = a.authentic && trusted && m.AuthenticatedData
		end, n := a.read(m, name, q.kind)
		aliases += n
		if aliases > maxAliases {
			return answer{}, fmt.Errorf("more than %d aliases", maxAliases)
		}
		if end == "" {
			return a, nil
		}
		name = end
	}
}

func packable(name string) bool {
	_, err := dns.PackDomainName(dns.Fqdn(name), make([]byte, 256), 0, nil, false)
	return err == nil
}

// read takes from m what it says of name, which it follows through aliases. It returns how many those were, and, where m
// does not say where the last of them leads, its name.
func (a *answer) read(m *dns.Msg, name string, kind uint16) (open string, aliases int) {
	for aliases <= maxAliases {
		target := ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || canonical(h.Name) != name {
				continue
			}
			if h.Rrtype == kind {
				a.add(rr)
			} else if cname, ok := rr.(*dns.CNAME); ok {
				target = canonical(cname.Target)
			} else {
				continue
			}
			a.ttl = min(a.ttl, lifetime(h.Ttl))
		}
		if target == "" || a.found() {
			break
		}
		name, aliases = target, aliases+1
	}
	return a.settle(m, name, aliases), aliases
}

// settle decides what a is when the chain of aliases in m has been followed to name.
func (a *answer) settle(m *dns.Msg, name string, aliases int) (open string) {
	ttl, hasSOA := negativeTTL(m)
	switch {
	case a.found():
		a.mx = sortMX(a.mx)
		return ""
	case m.Rcode == dns.RcodeNameError:
		a.none = ErrNotFound
	case aliases > 0 && !hasSOA:
		return name
	default:
		a.none = ErrNoData
	}
	a.ttl = min(a.ttl, ttl)
	return ""
}

func (a *answer) found() bool { return len(a.mx)+len(a.ips)+len(a.tlsa)+len(a.txt) > 0 }

func (a *answer) add(rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.MX:
		a.mx = append(a.mx, MX{Host: canonical(rr.Mx), Pref: rr.Preference})
	case *dns.A:
		a.addAddr(rr.A)
	case *dns.AAAA:
		a.addAddr(rr.AAAA)
	case *dns.TLSA:
		if data, err := hexDecode(rr.Certificate); err == nil {
			a.tlsa = append(a.tlsa, TLSA{rr.Usage, rr.Selector, rr.MatchingType, data})
		}
	case *dns.TXT:
		var b strings.Builder
		for _, s := range rr.Txt {
			unescape(&b, s)
		}
		a.txt = append(a.txt, b.String())
	}
}

func (a *answer) addAddr(ip net.IP) {
	if addr, ok := netip.AddrFromSlice(ip); ok && len(a.ips) < MaxAddrs {
		a.ips = append(a.ips, addr.Unmap())
	}
}

// lifetime is a TTL; one with the highest bit set is 0 (RFC 2181 8).
func lifetime(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// negativeTTL is how long it may be remembered that something is not there: without SOA, not at all (RFC 2308 5).
func negativeTTL(m *dns.Msg) (ttl time.Duration, hasSOA bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(lifetime(soa.Hdr.Ttl), lifetime(soa.Minttl)), true
		}
	}
	return 0, false
}

// ask puts one question to the servers in turn. An error is temporary.
func (c *Client) ask(ctx context.Context, name string, kind uint16) (m *dns.Msg, trusted bool, err error) {
	conf, err := c.servers()
	if err != nil {
		return nil, false, err
	}
	errs := make([]error, len(conf.Servers))
	refused := make([]bool, len(conf.Servers)) // it answered, so asking again is of no use
	start := int(c.at.Load())
	for range rounds {
		for i := range conf.Servers {
			n := (start + i) % len(conf.Servers)
			if refused[n] {
				continue
			}
			m, errs[n] = c.try(ctx, conf, conf.Servers[n], name, kind)
			if errs[n] == nil {
				c.at.Store(int32(n))
				return m, conf.TrustAD || onLoopback(conf.Servers[n]), nil
			}
			var r rcodeError
			refused[n] = errors.As(errs[n], &r)
			if ctx.Err() != nil {
				return nil, false, errors.Join(errs...)
			}
		}
	}
	return nil, false, joined(errs)
}

// joined is errs on one line.
func joined(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return fmt.Errorf("%w; %w", errs[0], joined(errs[1:]))
}

func onLoopback(server string) bool {
	a, err := netip.ParseAddrPort(server)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// servers is what is to be asked now.
func (c *Client) servers() (Conf, error) {
	if len(c.opt.Servers) > 0 {
		conf := Conf{Timeout: c.opt.Timeout, TrustAD: c.opt.TrustAD}
		for _, s := range c.opt.Servers[:min(len(c.opt.Servers), maxServers)] {
			if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
				s = net.JoinHostPort(a.String(), "53")
			}
			conf.Servers = append(conf.Servers, s)
		}
		return conf, nil
	}
	c.confMu.Lock()
	defer c.confMu.Unlock()
	if now := time.Now(); !now.Before(c.confNext) {
		c.confNext = now.Add(confAge)
		c.readConf()
	}
	return c.conf, c.confErr
}

// readConf reads resolv.conf where it has changed. A host may get its network, and with it this file, long after the
// daemon started.
func (c *Client) readConf() {
	info, err := os.Stat(c.opt.ResolvConf)
	if err == nil && c.confInfo != nil && info.ModTime().Equal(c.confInfo.ModTime()) &&
		info.Size() == c.confInfo.Size() && os.SameFile(info, c.confInfo) {
		return
	}
	c.confInfo = info // nil where there is none
	conf, err := ReadResolvConf(c.opt.ResolvConf)
	if c.opt.Timeout != 0 {
		conf.Timeout = c.opt.Timeout
	}
	c.conf, c.confErr = conf, err
}
