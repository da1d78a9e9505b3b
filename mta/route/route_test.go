package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"signpost/mta/dns"
	"signpost/spool"
)

// inOrder leaves lists as they are: a swap of each element with itself.
func inOrder(n int) int { return n - 1 }

func addrs(list ...string) func() []netip.Addr {
	var all []netip.Addr
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return func() []netip.Addr { return all }
}

// show writes hops as "host[addr addr]:port", and an error as its status.
func show(hops []Hop, err error) string {
	if err != nil {
		var e *spool.Error
		if !errors.As(err, &e) {
			return "an error without status: " + err.Error()
		}
		return e.Status.String()
	}
	var b strings.Builder
	for i, h := range hops {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s%v:%d", h.Host, h.Addrs, h.Port)
	}
	return b.String()
}

func TestRouteByMX(t *testing.T) {
	for _, tt := range []struct {
		name   string
		zone   dns.Zone
		router Router // without Resolver and Rand
		rcpt   string // default: bob@b.test
		want   string
		says   string // a part of the error
	}{{
		name: "by preference",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "mx2.b.test", Pref: 20}, {Host: "mx1.b.test", Pref: 10}}},
			Addresses: map[string][]string{"mx1.b.test": {"192.0.2.1"}, "mx2.b.test": {"192.0.2.2"}}},
		want: "mx1.b.test[192.0.2.1]:25 mx2.b.test[192.0.2.2]:25",
	}, {
		name: "the domain itself where there is no MX",
		zone: dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1"}}},
		want: "b.test[192.0.2.1]:25",
	}, {
		name: "the domain in capitals with a last dot",
		zone: dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1"}}},
		rcpt: "bob@B.Test.",
		want: "b.test[192.0.2.1]:25",
	}, {
		name: "an internationalised domain",
		zone: dns.Zone{Addresses: map[string][]string{"xn--bcher-kva.test": {"192.0.2.1"}}},
		rcpt: "bob@Bücher.test",
		want: "xn--bcher-kva.test[192.0.2.1]:25",
	}, {
		name: "the domain that stands behind the last at sign",
		zone: dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1"}}},
		rcpt: `"ann@a.test"@b.test`,
		want: "b.test[192.0.2.1]:25",
	}, {
		name: "an alias of a domain",
		zone: dns.Zone{Aliases: map[string]string{"b.test": "c.test", "mx.b.test": "host.c.test"},
			MXs:       map[string][]dns.MX{"c.test": {{Host: "mx.b.test"}}},
			Addresses: map[string][]string{"host.c.test": {"192.0.2.1"}}},
		want: "mx.b.test[192.0.2.1]:25",
	}, {
		name: "no such domain is permanent",
		want: "5.1.2", says: "the domain b.test does not exist",
	}, {
		name: "a domain with neither MX nor address is permanent",
		zone: dns.Zone{TXTs: map[string][]string{"b.test": {"x"}}},
		want: "5.4.4", says: "neither a mail exchanger nor an address",
	}, {
		name: "a null MX is permanent, without a look at the address",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{}}}, Addresses: map[string][]string{"b.test": {"192.0.2.1"}}},
		want: "5.1.10", says: "b.test takes no mail",
	}, {
		name: "a null MX beside others is passed over",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{}, {Host: "mx.b.test", Pref: 10}}},
			Addresses: map[string][]string{"mx.b.test": {"192.0.2.1"}}},
		want: "mx.b.test[192.0.2.1]:25",
	}, {
		name: "a look-up of the MX that fails is temporary, even where there is an address",
		zone: dns.Zone{Fail: []string{"MX b.test"}, Addresses: map[string][]string{"b.test": {"192.0.2.1"}}},
		want: "4.4.3",
	}, {
		name: "a look-up of the implicit exchanger that fails is temporary",
		zone: dns.Zone{Fail: []string{"addresses b.test"}, Addresses: map[string][]string{"b.test": {"192.0.2.1"}}},
		want: "4.4.3",
	}, {
		name: "one exchanger that cannot be looked up does not stop the others",
		zone: dns.Zone{Fail: []string{"mx1.b.test"}, Addresses: map[string][]string{"mx2.b.test": {"192.0.2.2"}},
			MXs: map[string][]dns.MX{"b.test": {{Host: "mx1.b.test", Pref: 1}, {Host: "mx2.b.test", Pref: 2}}}},
		want: "mx2.b.test[192.0.2.2]:25",
	}, {
		name: "only exchangers that cannot be looked up are temporary",
		zone: dns.Zone{Fail: []string{"mx1.b.test"},
			MXs: map[string][]dns.MX{"b.test": {{Host: "mx1.b.test", Pref: 1}, {Host: "none.test", Pref: 2}}}},
		want: "4.4.3",
	}, {
		name: "only exchangers without address are permanent",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "none.test"}}}},
		want: "5.4.4", says: "no mail exchanger of b.test has an address",
	}, {
		name: "an address in place of a name is passed over",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "192.0.2.9", Pref: 1}, {Host: "mx.b.test", Pref: 2}}},
			Addresses: map[string][]string{"mx.b.test": {"192.0.2.1"}, "192.0.2.9": {"192.0.2.9"}}},
		want: "mx.b.test[192.0.2.1]:25",
	}, {
		name: "only an address in place of a name is permanent",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "192.0.2.9"}}}},
		want: "5.4.4",
	}, {
		name: "names that are none are passed over",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: `x\010y.test`}, {Host: "mx.b.test"}}},
			Addresses: map[string][]string{"mx.b.test": {"192.0.2.1"}, `x\010y.test`: {"192.0.2.2"}}},
		want: "mx.b.test[192.0.2.1]:25",
	}, {
		name: "a host is tried once",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "mx.b.test", Pref: 1}, {Host: "mx.b.test", Pref: 2}}},
			Addresses: map[string][]string{"mx.b.test": {"192.0.2.1"}}},
		want: "mx.b.test[192.0.2.1]:25",
	}, {
		name:   "ourselves by name, with equals and worse",
		router: Router{Hostname: "MX2.b.test."},
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "mx1.b.test", Pref: 1}, {Host: "mx2.b.test", Pref: 2},
			{Host: "mx3.b.test", Pref: 2}, {Host: "mx4.b.test", Pref: 3}}},
			Addresses: map[string][]string{"mx1.b.test": {"192.0.2.1"}, "mx2.b.test": {"192.0.2.2"},
				"mx3.b.test": {"192.0.2.3"}, "mx4.b.test": {"192.0.2.4"}}},
		want: "mx1.b.test[192.0.2.1]:25",
	}, {
		name:   "ourselves by an interface's address",
		router: Router{OwnAddrs: addrs("192.0.2.3")},
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "mx1.b.test", Pref: 1}, {Host: "mx2.b.test", Pref: 2},
			{Host: "mx3.b.test", Pref: 2}}},
			Addresses: map[string][]string{"mx1.b.test": {"192.0.2.1"}, "mx2.b.test": {"192.0.2.2"}, "mx3.b.test": {"192.0.2.3"}}},
		want: "mx1.b.test[192.0.2.1]:25",
	}, {
		name:   "only ourselves",
		router: Router{OwnAddrs: addrs("::ffff:192.0.2.1")},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1"}}},
		want:   "5.4.6", says: "loops back",
	}, {
		name:   "ourselves behind a better one that cannot be looked up",
		router: Router{Hostname: "mx2.b.test"},
		zone: dns.Zone{Fail: []string{"mx1.b.test"},
			MXs: map[string][]dns.MX{"b.test": {{Host: "mx1.b.test", Pref: 1}, {Host: "mx2.b.test", Pref: 2}}}},
		want: "4.4.3",
	}, {
		name:   "ourselves at the inner address of a private network",
		router: Router{OwnAddrs: addrs("10.0.0.1")},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"10.0.0.1"}}},
		want:   "5.4.6",
	}, {
		name:   "ourselves by a port of loopback that we listen on",
		router: Router{PrivateMX: true, Port: 2525, Listen: []string{"127.0.0.2:2525"}},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"127.0.0.2"}}},
		want:   "5.4.6",
	}, {
		name:   "somebody else on another port of loopback",
		router: Router{PrivateMX: true, Port: 2526, Listen: []string{"127.0.0.2:2525", ":2525", "localhost:2525"}},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"127.0.0.2"}}},
		want:   "b.test[127.0.0.2]:2526",
	}, {
		name:   "ourselves where we listen everywhere",
		router: Router{PrivateMX: true, Listen: []string{"[::]:25"}},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"127.0.0.9"}}},
		want:   "5.4.6",
	}, {
		name: "loopback is refused for good",
		zone: dns.Zone{Addresses: map[string][]string{"b.test": {"127.0.0.1", "::1"}}},
		want: "5.4.4", says: "where no other host can be",
	}, {
		name: "localhost is refused for good",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "localhost"}}}},
		want: "5.4.4",
	}, {
		name: "a private address is refused for now",
		zone: dns.Zone{Addresses: map[string][]string{"b.test": {"127.0.0.1", "192.168.1.1"}}},
		want: "4.4.4", says: "delivery.private_mx",
	}, {
		name: "a private address wrapped in IPv6 is refused too",
		zone: dns.Zone{Addresses: map[string][]string{"b.test": {"::ffff:10.0.0.1"}}},
		want: "4.4.4",
	}, {
		name: "private addresses are left out where there are others",
		zone: dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "mx1.b.test", Pref: 1}, {Host: "mx2.b.test", Pref: 2}}},
			Addresses: map[string][]string{"mx1.b.test": {"10.0.0.1"}, "mx2.b.test": {"192.168.0.1", "192.0.2.2"}}},
		want: "mx2.b.test[192.0.2.2]:25",
	}, {
		name:   "private addresses where they are allowed",
		router: Router{PrivateMX: true, Port: 2525},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"127.0.0.2", "10.0.0.1"}}},
		want:   "b.test[127.0.0.2 10.0.0.1]:2525",
	}, {
		name: "IPv4 first where this host has no IPv6",
		zone: dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"}}},
		want: "b.test[192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3]:25",
	}, {
		name:   "IPv6 first where this host has it",
		router: Router{OwnAddrs: addrs("fe80::1", "2001:db8::99")},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"}}},
		want:   "b.test[2001:db8::1 192.0.2.1 192.0.2.2 192.0.2.3]:25",
	}, {
		name:   "a link-local address is no IPv6",
		router: Router{OwnAddrs: addrs("fe80::1", "fd00::1")},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1", "2001:db8::1"}}},
		want:   "b.test[192.0.2.1 2001:db8::1]:25",
	}, {
		name:   "IPv4 only",
		router: Router{IP: IPv4},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1", "2001:db8::1"}}},
		want:   "b.test[192.0.2.1]:25",
	}, {
		name:   "IPv6 only, and the domain has none",
		router: Router{IP: IPv6},
		zone:   dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1"}}},
		want:   "5.4.4", says: "delivery.ip allows ipv6 only",
	}, {
		name: "an address literal",
		rcpt: "bob@[192.0.2.1]",
		want: "[192.0.2.1][192.0.2.1]:25",
	}, {
		name: "an IPv6 address literal",
		rcpt: "bob@[ipv6:2001:db8::1]",
		want: "[ipv6:2001:db8::1][2001:db8::1]:25",
	}, {
		name: "a private address literal",
		rcpt: "bob@[10.0.0.1]",
		want: "[10.0.0.1][10.0.0.1]:25",
	}, {
		name:   "our own address as a literal",
		router: Router{OwnAddrs: addrs("192.0.2.1")},
		rcpt:   "bob@[192.0.2.1]",
		want:   "5.4.6",
	}, {
		name:   "an IPv6 literal where there is IPv4 only",
		router: Router{IP: IPv4},
		rcpt:   "bob@[IPv6:2001:db8::1]",
		want:   "5.4.4",
	}, {
		name: "a literal that is none", rcpt: "bob@[192.0.2]", want: "5.1.3",
	}, {
		name: "an address without brackets", rcpt: "bob@192.0.2.1", want: "5.1.3",
	}, {
		name: "no domain", rcpt: "bob", want: "5.1.3",
	}, {
		name: "an empty domain", rcpt: "bob@", want: "5.1.3",
	}, {
		name: "a domain that is none", rcpt: "bob@b..test", want: "5.1.3",
	}} {
		t.Run(tt.name, func(t *testing.T) {
			tt.router.Resolver, tt.router.Rand = &tt.zone, inOrder
			if tt.rcpt == "" {
				tt.rcpt = "bob@b.test"
			}
			got, err := tt.router.Route(t.Context(), tt.rcpt, "ann@a.test")
			if s := show(got.Hops, err); s != tt.want || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %s (%v), want %s %s", s, err, tt.want, tt.says)
			}
		})
	}
}

func TestRouteEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	r := Router{Resolver: &dns.Zone{Ask: func(ctx context.Context, kind, name string) error {
		close(asked)
		<-ctx.Done()
		return ctx.Err()
	}}}
	go func() {
		<-asked
		cancel()
	}()
	if _, err := r.Route(ctx, "bob@b.test", ""); show(nil, err) != "4.4.3" {
		t.Errorf("got %v", err)
	}
}

func TestEqualPreferencesAreShuffled(t *testing.T) {
	z := &dns.Zone{MXs: map[string][]dns.MX{"b.test": {{Host: "mx1.b.test", Pref: 1}, {Host: "mx2.b.test", Pref: 1},
		{Host: "mx3.b.test", Pref: 1}, {Host: "last.b.test", Pref: 2}}}, Addresses: map[string][]string{}}
	for i, h := range []string{"mx1", "mx2", "mx3", "last"} {
		z.Addresses[h+".b.test"] = []string{fmt.Sprintf("192.0.2.%d", i+1)}
	}
	first := make(map[string]int)
	r := Router{Resolver: z}
	for range 200 {
		way, err := r.Route(t.Context(), "bob@b.test", "")
		if err != nil || len(way.Hops) != 4 || way.Hops[3].Host != "last.b.test" {
			t.Fatalf("got %s, %v", show(way.Hops, err), err)
		}
		first[way.Hops[0].Host]++
	}
	for _, h := range []string{"mx1.b.test", "mx2.b.test", "mx3.b.test"} {
		if first[h] < 20 { // of 67 expected
			t.Errorf("%s came first %d times of 200", h, first[h])
		}
	}
}

func TestRouteLooksAtSoManyHostsOnly(t *testing.T) {
	asked := make(chan string, 1000)
	z := &dns.Zone{MXs: map[string][]dns.MX{}, Addresses: map[string][]string{},
		Ask: func(_ context.Context, kind, name string) error {
			asked <- name
			return nil
		}}
	for i := range 300 {
		host := fmt.Sprintf("mx%d.b.test", i)
		z.MXs["b.test"] = append(z.MXs["b.test"], dns.MX{Host: host, Pref: uint16(i)})
		z.MXs["none.test"] = append(z.MXs["none.test"], dns.MX{Host: fmt.Sprintf("no%d.test", i)})
		for j := range 20 {
			z.Addresses[host] = append(z.Addresses[host], fmt.Sprintf("192.0.2.%d", j))
		}
	}
	r := Router{Resolver: z}
	way, err := r.Route(t.Context(), "bob@b.test", "")
	n := 0
	for _, h := range way.Hops {
		n += len(h.Addrs)
	}
	if err != nil || n != 50 || len(way.Hops) != 3 || len(asked) != 1+8 {
		t.Errorf("got %d hops with %d addresses after %d questions, %v", len(way.Hops), n, len(asked), err)
	}
	for range len(asked) {
		<-asked
	}
	if _, err := r.Route(t.Context(), "bob@none.test", ""); show(nil, err) != "5.4.4" || len(asked) != 1+100 {
		t.Errorf("got %v after %d questions", err, len(asked))
	}
}

func TestRouteByRule(t *testing.T) {
	verify, plain := Verify, Plain
	z := &dns.Zone{
		MXs: map[string][]dns.MX{"relay.test": {{Host: "wrong.test"}}},
		Addresses: map[string][]string{"relay.test": {"10.0.0.1"}, "relay2.test": {"192.0.2.2"}, "b.test": {"192.0.2.3"},
			"wrong.test": {"192.0.2.9"}},
		Fail: []string{"down.test"},
	}
	r := Router{Resolver: z, Rand: inOrder, Listen: []string{"127.0.0.1:25"}, Routes: []Rule{
		{To: []string{".inner.test"}, Relays: []Relay{{Host: "Relay.test", Port: 2525}}, Connections: 3, NoDKIM: true},
		{To: []string{"b.test"}, From: []string{"<>", "root@a.test", ".c.test"}, Security: &verify},
		{To: []string{"down.test"}, Relays: []Relay{{Host: "down.test"}, {Host: "relay2.test", StartTLS: true}}},
		{To: []string{"down2.test"}, Relays: []Relay{{Host: "down.test"}, {Host: "none.test"}}},
		{To: []string{"none.test"}, Relays: []Relay{{Host: "none.test"}}},
		{To: []string{"self.test"}, Relays: []Relay{{Host: "localhost"}, {Host: "[::1]"}}, Security: &plain},
		{To: []string{"only.test"}, Relays: []Relay{{Host: "127.0.0.1"}}},
		{To: []string{"odd.test"}, Relays: []Relay{{Host: "a b"}}},
		{To: []string{".bücher.test"}, Relays: []Relay{{Host: "relay2.test"}}},
		{To: []string{"[192.0.2.1]"}, Relays: []Relay{{Host: "relay2.test", StartTLS: true}}, Security: &verify},
	}}
	for _, tt := range []struct {
		rcpt, sender, key, want string
		need                    Security
	}{
		{"bob@inner.test", "ann@a.test", "smtp://relay.test:2525 (route 1)", "relay.test[10.0.0.1]:2525", Opportunistic},
		{"bob@X.Y.Inner.test", "", "smtp://relay.test:2525 (route 1)", "relay.test[10.0.0.1]:2525", Opportunistic},
		{"bob@notinner.test", "", "notinner.test", "5.1.2", 0},
		{"bob@b.test", "ann@a.test", "b.test", "b.test[192.0.2.3]:25", Opportunistic},
		{"bob@b.test", "ROOT@A.test", "b.test (route 2)", "b.test[192.0.2.3]:25", Verify},
		{"bob@b.test", "x@d.c.test", "b.test (route 2)", "b.test[192.0.2.3]:25", Verify},
		{"bob@b.test", "c.test", "b.test", "b.test[192.0.2.3]:25", Opportunistic},
		{"bob@b.test", "", "b.test (route 2)", "b.test[192.0.2.3]:25", Verify},
		{"bob@down.test", "", "smtp://down.test:25,smtp+starttls://relay2.test:25 (route 3)", "relay2.test[192.0.2.2]:25", Encrypt},
		{"bob@down2.test", "", "smtp://down.test:25,smtp://none.test:25 (route 4)", "4.4.3", 0},
		{"bob@none.test", "", "smtp://none.test:25 (route 5)", "4.3.5", 0},
		{"bob@self.test", "", "smtp://localhost:25,smtp://[::1]:25 (route 6)", "localhost[::1]:25 ::1[::1]:25", Plain},
		{"bob@only.test", "", "smtp://127.0.0.1:25 (route 7)", "4.3.5", 0},
		{"bob@odd.test", "", "smtp://a b:25 (route 8)", "4.3.5", 0},
		{"bob@[192.0.2.1]", "", "smtp+starttls://relay2.test:25 (route 10)", "relay2.test[192.0.2.2]:25", Verify},
		{"bob@x.xn--bcher-kva.test", "", "smtp://relay2.test:25 (route 9)", "relay2.test[192.0.2.2]:25", Opportunistic},
	} {
		t.Run(tt.rcpt+" from "+tt.sender, func(t *testing.T) {
			got, err := r.Route(t.Context(), tt.rcpt, tt.sender)
			if s := show(got.Hops, err); s != tt.want || got.Key != tt.key {
				t.Errorf("got %s, key %q (%v), want %s, key %q", s, got.Key, err, tt.want, tt.key)
			}
			for _, h := range got.Hops {
				if h.Need != tt.need {
					t.Errorf("%s needs %d, want %d", h.Host, h.Need, tt.need)
				}
			}
			if first := strings.HasSuffix(got.Key, "(route 1)"); got.NoDKIM != first || (got.Connections == 3) != first {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestRelayAllButSome(t *testing.T) {
	z := &dns.Zone{Addresses: map[string][]string{"relay.test": {"192.0.2.1"}, "b.test": {"192.0.2.2"}}}
	r := Router{Resolver: z, Routes: []Rule{{To: []string{"b.test"}}, {Relays: []Relay{{Host: "relay.test"}}}}}
	for rcpt, want := range map[string]string{"bob@b.test": "b.test[192.0.2.2]:25", "bob@c.test": "relay.test[192.0.2.1]:25"} {
		way, err := r.Route(t.Context(), rcpt, "")
		if got := show(way.Hops, err); got != want {
			t.Errorf("%s: got %s, want %s", rcpt, got, want)
		}
	}
}

func TestScope(t *testing.T) {
	for text, want := range map[string]scope{
		"192.0.2.1": public, "2001:db8::1": public, "8.8.8.8": public, "172.32.0.1": public,
		"10.1.2.3": private, "172.16.0.1": private, "192.168.0.1": private, "100.64.0.1": private, "fd00::1": private,
		"0.0.0.0": nowhere, "0.1.2.3": nowhere, "127.8.8.8": nowhere, "169.254.169.254": nowhere, "224.0.0.1": nowhere,
		"255.255.255.255": nowhere, "::": nowhere, "::1": nowhere, "fe80::1%eth0": nowhere, "ff02::1": nowhere,
		"::ffff:127.0.0.1": nowhere, "::ffff:10.0.0.1": private, "::127.0.0.1": nowhere,
		"64:ff9b::7f00:1": nowhere, "64:ff9b::a00:1": private, "64:ff9b::808:808": public,
		"2002:7f00:1::": nowhere, "2002:c0a8:101::1": private, "2002:808:808::1": public,
	} {
		if got := scopeOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

func TestInterfaces(t *testing.T) {
	for _, a := range Interfaces()() {
		if a.IsLoopback() || a.Is4In6() || a.Zone() != "" {
			t.Errorf("got %s", a)
		}
	}
}

// FuzzRoute: whatever the addresses are, there is a route or an error with a status, and its key is the same each time.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"bob@b.test", "bob@[192.0.2.1]", "@[IPv6:::1]", "bob", "a@b@c", `"@"@.`, "bob@xn--", "bob@b\r\n.test"} {
		f.Add(s, s, ".b.test")
	}
	f.Fuzz(func(t *testing.T, rcpt, sender, pattern string) {
		r := Router{Resolver: &dns.Zone{Addresses: map[string][]string{"b.test": {"192.0.2.1"}, "relay.test": {"192.0.2.2"}}},
			Routes: []Rule{{To: []string{pattern}, From: []string{pattern}, Relays: []Relay{{Host: "relay.test"}}}}}
		way, err := r.Route(t.Context(), rcpt, sender)
		var e *spool.Error
		if err != nil && (!errors.As(err, &e) || e.Status.Class != 4 && e.Status.Class != 5) || err == nil && len(way.Hops) == 0 {
			t.Fatalf("got %v, %v", way, err)
		}
		for _, h := range way.Hops {
			if strings.ContainsAny(h.Host, "\r\n\x00 ") || len(h.Addrs) == 0 {
				t.Fatalf("got hop %+v", h)
			}
		}
		if way.Key != r.Key(rcpt, sender) {
			t.Fatalf("got keys %q and %q", way.Key, r.Key(rcpt, sender))
		}
	})
}

func TestConnectionsAreThoseOfTheRuleBehindAKey(t *testing.T) {
	r := &Router{Routes: []Rule{{To: []string{"a.test"}, Relays: []Relay{{Host: "relay.test"}}, Connections: 3}, {To: []string{"b.test"}}}}
	for rcpt, want := range map[string]int{"x@a.test": 3, "x@b.test": 0, "x@c.test": 0} {
		if got := r.Connections(r.Key(rcpt, "ann@host.test")); got != want {
			t.Errorf("%s: %d, want %d", rcpt, got, want)
		}
	}
	for _, key := range []string{"", "local", "a (route 0)", "a (route 9)", "a (route x)"} {
		if got := r.Connections(key); got != 0 {
			t.Errorf("%q: %d, want 0", key, got)
		}
	}
}

func TestRateIsThatOfTheRule(t *testing.T) {
	r := &Router{Routes: []Rule{
		{To: []string{"one.test"}, Relays: []Relay{{Host: "relay.test"}}, Messages: 100, Per: time.Minute},
		{To: []string{"two.test"}, Messages: 5, Per: time.Second},
		{To: []string{"three.test"}},
	}}
	for rcpt, want := range map[string]int{"a@one.test": 100, "a@two.test": 5, "a@three.test": 0, "a@four.test": 0} {
		if n, _ := r.Rate(r.Key(rcpt, "")); n != want {
			t.Errorf("%s: %d messages, want %d", rcpt, n, want)
		}
	}
}
