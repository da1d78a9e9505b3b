package stage

import (
	"testing"

	"github.com/miekg/dns"
)

func ask(t *testing.T, d *DNS, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.SetEdns0(1232, false)
	m.AuthenticatedData = true
	c := dns.Client{Net: network}
	r, _, err := c.Exchange(m, d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDNSAnswers(t *testing.T) {
	d := &DNS{Authentic: true, Insecure: []string{"alias.test"}, Records: `
b.test. MX 10 mx.b.test.
mx.b.test A 127.0.0.2
alias.test CNAME b.test
test SOA ns.test root.test 1 2 3 4 60
`}
	if err := d.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, network := range []string{"udp", "tcp"} {
		if r := ask(t, d, network, "b.test", dns.TypeMX); len(r.Answer) != 1 || !r.AuthenticatedData {
			t.Errorf("%s: got %v", network, r)
		}
	}
	if r := ask(t, d, "udp", "alias.test", dns.TypeMX); len(r.Answer) != 2 || r.AuthenticatedData {
		t.Errorf("got %v", r)
	}
	if r := ask(t, d, "udp", "b.test", dns.TypeA); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 0 || len(r.Ns) != 1 {
		t.Errorf("got %v", r)
	}
	if r := ask(t, d, "udp", "no.test", dns.TypeA); r.Rcode != dns.RcodeNameError || len(r.Ns) != 1 {
		t.Errorf("got %v", r)
	}
	d.Play(DNSFault{Name: "b.test", Type: "MX", Rcode: dns.RcodeServerFailure, Times: 1})
	if r := ask(t, d, "udp", "b.test", dns.TypeMX); r.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v", r)
	}
	if r := ask(t, d, "udp", "b.test", dns.TypeMX); r.Rcode != dns.RcodeSuccess {
		t.Errorf("got %v", r)
	}
	if q := d.Queries(); len(q) != 7 || q[0] != (Query{"b.test", "MX", "udp", true, 1232}) {
		t.Errorf("got %v", q)
	}
}

func TestDNSGate(t *testing.T) {
	d := &DNS{Records: "a.test A 127.0.0.2"}
	if err := d.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	g := NewGate()
	d.Play(DNSFault{Wait: g})
	answered := make(chan *dns.Msg)
	go func() { answered <- ask(t, d, "udp", "a.test", dns.TypeA) }()
	<-g.Arrived()
	select {
	case r := <-answered:
		t.Fatalf("answered through a closed gate: %v", r)
	default:
	}
	g.Open()
	if r := <-answered; len(r.Answer) != 1 {
		t.Errorf("got %v", r)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
