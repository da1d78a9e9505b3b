package stage

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// DNS is a name server, as a resolver looks to its clients, over UDP and TCP at one port. Set the fields, then call
// Listen; they must not be changed afterwards, but Replace and Play do so at any time. Safe for concurrent use.
type DNS struct {
	// Records are lines in the form of a zone file: "b.test. 60 IN MX 10 mx.b.test.". Time to live and class may be
	// left out; names are complete with or without the last dot.
	Records   string
	Authentic bool     // answers carry the AD bit where the question asked for it (RFC 6840 5.7)
	Insecure  []string // names whose answers do not, even so
	Terse     bool     // only the first CNAME of a chain is answered, not what it leads to

	mu      sync.Mutex
	bell    bell
	records []dns.RR
	faults  []*dnsPlay
	queries []Query
	stop    chan struct{}
	servers []*dns.Server
	serving sync.WaitGroup
	addr    string
}

// Query is a question that was asked.
type Query struct {
	Name, Type string // the name in small letters without the last dot
	Net        string // "udp" or "tcp"
	AD         bool   // the client wants to know whether the answer is authentic
	Size       int    // octets the client takes over UDP by its OPT record; 0: it sent none
}

// DNSFault is something the name server does in place of the right answer. The first that matches is played.
type DNSFault struct {
	Name, Type, Net string // which questions; empty: any
	Skip            int    // matches let pass before it is played
	Times           int    // how often it is played; 0: always

	Wait     *Gate  // where to wait first
	Drop     bool   // no answer
	Rcode    int    // dns.RcodeServerFailure, dns.RcodeNameError, …: an answer with nothing but it
	Truncate bool   // an answer with the TC bit and nothing else
	WrongID  bool   // a wrong answer with another id goes ahead of the right one
	Other    bool   // a wrong answer to another question goes ahead of the right one
	Garbage  []byte // octets that go ahead of the right answer
}

type dnsPlay struct {
	DNSFault
	seen int
}

func (p *dnsPlay) matches(q Query) bool {
	if p.Name != "" && p.Name != q.Name || p.Type != "" && p.Type != q.Type || p.Net != "" && p.Net != q.Net {
		return false
	}
	p.seen++
	return p.seen > p.Skip && (p.Times == 0 || p.seen <= p.Skip+p.Times)
}

// Listen starts the server at addr, an address of loopback; port 0 means any that is free for both protocols.
func (d *DNS) Listen(addr string) error {
	if err := d.Replace(d.Records); err != nil {
		return err
	}
	l, p, err := listenBoth(addr)
	if err != nil {
		return err
	}
	d.addr, d.stop = l.Addr().String(), make(chan struct{})
	d.run(&dns.Server{Listener: l, Handler: d.handler("tcp")})
	d.run(&dns.Server{PacketConn: p, Handler: d.handler("udp")})
	return nil
}

// listenBoth finds a port that is free for TCP and UDP. Where any port will do it tries a few.
func listenBoth(addr string) (net.Listener, net.PacketConn, error) {
	var err error
	for range 20 {
		l, lerr := net.Listen("tcp", addr)
		if lerr != nil {
			return nil, nil, lerr
		}
		var p net.PacketConn
		if p, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			return l, p, nil
		}
		l.Close()
	}
	return nil, nil, err
}

func (d *DNS) run(s *dns.Server) {
	started := make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	d.servers = append(d.servers, s)
	d.serving.Go(func() { s.ActivateAndServe() })
	<-started
}

// Addr is the address and port it listens at.
func (d *DNS) Addr() string { return d.addr }

// Close stops the server and returns when nothing of it runs any more.
func (d *DNS) Close() error {
	if d.stop == nil {
		return nil // it was never started
	}
	close(d.stop)
	var err error
	for _, s := range d.servers {
		if e := s.Shutdown(); e != nil {
			err = e
		}
	}
	d.serving.Wait()
	return err
}

// Replace takes records in place of those there are.
func (d *DNS) Replace(records string) error {
	list, err := parseRecords(records)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = list
	return nil
}

func parseRecords(text string) ([]dns.RR, error) {
	var list []dns.RR
	z := dns.NewZoneParser(strings.NewReader(text), ".", "")
	z.SetDefaultTTL(300)
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		list = append(list, rr)
	}
	if err := z.Err(); err != nil {
		return nil, fmt.Errorf("reading DNS records: %w", err)
	}
	return list, nil
}

// Play adds faults behind those there are.
func (d *DNS) Play(faults ...DNSFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range faults {
		d.faults = append(d.faults, &dnsPlay{DNSFault: f})
	}
}

// Forgive forgets all faults.
func (d *DNS) Forgive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = nil
}

// Queries lists the questions asked so far.
func (d *DNS) Queries() []Query {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.queries)
}

// Await waits until at least n questions have been asked.
func (d *DNS) Await(ctx context.Context, n int) error {
	return await(ctx, &d.mu, &d.bell, func() bool { return len(d.queries) >= n })
}

func (d *DNS) handler(network string) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		if len(m.Question) == 1 {
			d.serve(w, m, network)
		}
	})
}

func (d *DNS) serve(w dns.ResponseWriter, m *dns.Msg, network string) {
	q := Query{Name: plain(m.Question[0].Name), Type: dns.TypeToString[m.Question[0].Qtype], Net: network,
		AD: m.AuthenticatedData}
	if opt := m.IsEdns0(); opt != nil {
		q.Size, q.AD = int(opt.UDPSize()), q.AD || opt.Do()
	}
	f, right := d.note(q, m)
	if f == nil {
		w.WriteMsg(right)
		return
	}
	if !f.Wait.pass(d.stop) || f.Drop {
		return
	}
	wrong := new(dns.Msg).SetReply(m)
	switch {
	case f.Truncate:
		wrong.Truncated = true
		w.WriteMsg(wrong)
		return
	case f.Rcode != dns.RcodeSuccess:
		w.WriteMsg(wrong.SetRcode(m, f.Rcode))
		return
	case f.WrongID:
		wrong.Id++
		wrong.Rcode = dns.RcodeNameError
		w.WriteMsg(wrong)
	case f.Other:
		wrong.Rcode = dns.RcodeNameError
		wrong.Question[0].Name = "other.invalid."
		w.WriteMsg(wrong)
	case f.Garbage != nil:
		w.Write(f.Garbage)
	}
	w.WriteMsg(right)
}

// note records the question, and finds the fault to play and the right answer.
func (d *DNS) note(q Query, m *dns.Msg) (*DNSFault, *dns.Msg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries = append(d.queries, q)
	d.bell.ring()
	right := d.answer(m, q)
	for _, p := range d.faults {
		if p.matches(q) {
			return &p.DNSFault, right
		}
	}
	return nil, right
}

func (d *DNS) answer(m *dns.Msg, q Query) *dns.Msg {
	r := new(dns.Msg).SetReply(m)
	r.RecursionAvailable = true
	r.AuthenticatedData = d.Authentic && q.AD && !slices.Contains(d.Insecure, q.Name)
	name, found := q.Name, false
	for range 20 {
		var cname string
		for _, rr := range d.records {
			h := rr.Header()
			if plain(h.Name) != name {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok && h.Rrtype != m.Question[0].Qtype {
				cname = plain(c.Target)
			} else if h.Rrtype != m.Question[0].Qtype {
				continue
			}
			r.Answer = append(r.Answer, dns.Copy(rr))
			found = found || cname == ""
		}
		if cname == "" || d.Terse {
			break
		}
		name = cname
	}
	if !found && !(d.Terse && len(r.Answer) > 0) {
		d.deny(r, name)
	}
	size := dns.MinMsgSize
	if opt := m.IsEdns0(); opt != nil {
		r.SetEdns0(1232, false)
		size = max(size, int(opt.UDPSize()))
	}
	if q.Net == "udp" {
		r.Truncate(size)
	}
	return r
}

// deny makes r a negative answer about name: it does not exist, or has no such record (RFC 2308 2).
func (d *DNS) deny(r *dns.Msg, name string) {
	exists := slices.ContainsFunc(d.records, func(rr dns.RR) bool {
		owner := plain(rr.Header().Name)
		return owner == name || strings.HasSuffix(owner, "."+name)
	})
	if !exists {
		r.Rcode = dns.RcodeNameError
	}
	for _, rr := range d.records {
		zone := plain(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeSOA && (zone == name || strings.HasSuffix(name, "."+zone)) {
			r.Ns = append(r.Ns, dns.Copy(rr))
			return
		}
	}
}

// plain is a name as people write it.
func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
