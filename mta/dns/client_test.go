package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"signpost/mta/stage"
)

// begin starts a name server and a client that asks it.
func begin(t *testing.T, d *stage.DNS, opt Options) *Client {
	t.Helper()
	if err := d.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	opt.Servers = append(opt.Servers, d.Addr())
	return New(opt)
}

const records = `
b.test 60 MX 20 MX2.B.test.
b.test 60 MX 10 mx1.b.test.
null.test MX 0 .
mx1.b.test A 192.0.2.1
mx1.b.test AAAA 2001:db8::1
four.test A 192.0.2.4
b.test TXT "v=spf1 " "-all"
b.test TXT "a\"b\\c\007\200"
_25._tcp.mx1.b.test TLSA 3 1 1 00ff
alias.test CNAME alias2.test
alias2.test CNAME b.test
dead.test CNAME none.test
loop.test CNAME pool.test
pool.test CNAME loop.test
half.test CNAME mx1.b.test
test 300 SOA ns.test root.test 1 2 3 4 60
`

func TestClientAnswers(t *testing.T) {
	c := begin(t, &stage.DNS{Records: records, Authentic: true, Insecure: []string{"four.test"}}, Options{})
	ctx := t.Context()
	mx, authentic, err := c.MX(ctx, "B.test.")
	if err != nil || !authentic || fmt.Sprint(mx) != "[{mx1.b.test 10} {mx2.b.test 20}]" {
		t.Errorf("MX: got %v %v %v", mx, authentic, err)
	}
	if mx, _, err = c.MX(ctx, "alias.test"); err != nil || len(mx) != 2 {
		t.Errorf("MX behind aliases: got %v %v", mx, err)
	}
	if mx, _, err = c.MX(ctx, "null.test"); err != nil || fmt.Sprint(mx) != "[{ 0}]" {
		t.Errorf("null MX: got %v %v", mx, err)
	}
	ips, authentic, err := c.Addrs(ctx, "mx1.b.test")
	if err != nil || !authentic || fmt.Sprint(ips) != "[192.0.2.1 2001:db8::1]" {
		t.Errorf("addresses: got %v %v %v", ips, authentic, err)
	}
	ips, authentic, err = c.Addrs(ctx, "four.test")
	if err != nil || authentic || fmt.Sprint(ips) != "[192.0.2.4]" {
		t.Errorf("addresses of one family: got %v %v %v", ips, authentic, err)
	}
	txt, authentic, err := c.TXT(ctx, "b.test")
	slices.Sort(txt)
	if err != nil || !authentic || fmt.Sprintf("%q", txt) != `["a\"b\\c\a\xc8" "v=spf1 -all"]` {
		t.Errorf("TXT: got %q %v %v", txt, authentic, err)
	}
	tlsa, authentic, err := c.TLSA(ctx, "_25._tcp.mx1.b.test")
	if err != nil || !authentic || fmt.Sprint(tlsa) != "[{3 1 1 [0 255]}]" {
		t.Errorf("TLSA: got %v %v %v", tlsa, authentic, err)
	}
	if ips, _, err = c.Addrs(ctx, "x.localhost"); err != nil || fmt.Sprint(ips) != "[127.0.0.1 ::1]" {
		t.Errorf("localhost: got %v %v", ips, err)
	}
}

func TestClientTellsFailuresApart(t *testing.T) {
	d := &stage.DNS{Records: records, Authentic: true}
	c := begin(t, d, Options{Timeout: 5 * time.Second})
	d.Play(stage.DNSFault{Name: "broken.test", Rcode: dns.RcodeServerFailure},
		stage.DNSFault{Name: "closed.test", Rcode: dns.RcodeRefused},
		stage.DNSFault{Name: "four.test", Type: "AAAA", Rcode: dns.RcodeServerFailure})
	ctx := t.Context()
	for _, tt := range []struct {
		name string
		ask  func() error
		want error
		says string
	}{
		{"no such name", func() error { _, _, err := c.MX(ctx, "none.test"); return err }, ErrNotFound, "looking up MX of none.test: no such name"},
		{"an alias of no such name", func() error { _, _, err := c.MX(ctx, "dead.test"); return err }, ErrNotFound, ""},
		{"no MX", func() error { _, _, err := c.MX(ctx, "mx1.b.test"); return err }, ErrNoData, "no such records"},
		{"an alias of a name without MX", func() error { _, _, err := c.MX(ctx, "half.test"); return err }, ErrNoData, ""},
		{"neither address", func() error { _, _, err := c.Addrs(ctx, "b.test"); return err }, ErrNoData, ""},
		{"addresses of no such name", func() error { _, _, err := c.Addrs(ctx, "none.test"); return err }, ErrNotFound, ""},
		{"SERVFAIL", func() error { _, _, err := c.MX(ctx, "broken.test"); return err }, ErrTemporary, "answered SERVFAIL"},
		{"SERVFAIL for addresses", func() error { _, _, err := c.Addrs(ctx, "broken.test"); return err }, ErrTemporary, ""},
		{"REFUSED", func() error { _, _, err := c.MX(ctx, "closed.test"); return err }, ErrTemporary, "REFUSED"},
		{"a loop of aliases", func() error { _, _, err := c.MX(ctx, "loop.test"); return err }, ErrTemporary, "more than 10 aliases"},
		{"a name that DNS cannot hold", func() error { _, _, err := c.MX(ctx, strings.Repeat("a", 64)+".test"); return err }, ErrNotFound, ""},
		{"a name with an empty label", func() error { _, _, err := c.MX(ctx, "a..test"); return err }, ErrNotFound, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.ask()
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	// The family that cannot be looked up makes the host neither unreachable nor unsigned.
	if ips, authentic, err := c.Addrs(ctx, "four.test"); err != nil || !authentic || len(ips) != 1 {
		t.Errorf("one family: got %v %v %v", ips, authentic, err)
	}
	before := len(d.Queries())
	c.MX(ctx, "broken.test")
	if len(d.Queries()) != before+1 {
		t.Error("SERVFAIL was remembered")
	}
}

func TestClientFollowsAliasesThatTheServerDoesNot(t *testing.T) {
	d := &stage.DNS{Records: records, Terse: true, Authentic: true, Insecure: []string{"alias2.test"}}
	c := begin(t, d, Options{})
	mx, authentic, err := c.MX(t.Context(), "alias.test")
	if err != nil || len(mx) != 2 || authentic {
		t.Errorf("got %v %v %v", mx, authentic, err)
	}
	if n := len(d.Queries()); n != 3 {
		t.Errorf("%d questions were asked", n)
	}
	if _, _, err := c.MX(t.Context(), "loop.test"); !errors.Is(err, ErrTemporary) || len(d.Queries()) > 3+maxAliases+1 {
		t.Errorf("got %v after %d questions", err, len(d.Queries()))
	}
}

func TestClientGoesOverToTCP(t *testing.T) {
	var text strings.Builder
	for i := range 150 {
		fmt.Fprintf(&text, "b.test MX %d host%d.example.test\n", 1000-i, i)
	}
	d := &stage.DNS{Records: text.String() + records}
	c := begin(t, d, Options{})
	mx, _, err := c.MX(t.Context(), "b.test")
	if err != nil || len(mx) != MaxMX || mx[0].Host != "mx1.b.test" {
		t.Errorf("got %d exchangers, %v", len(mx), err)
	}
	want := []stage.Query{{Name: "b.test", Type: "MX", Net: "udp", AD: true, Size: 1232}, {Name: "b.test", Type: "MX", Net: "tcp", AD: true, Size: 1232}}
	if got := d.Queries(); !slices.Equal(got, want) {
		t.Errorf("got questions %v, want %v", got, want)
	}
	d.Play(stage.DNSFault{Name: "null.test", Net: "udp", Truncate: true}, stage.DNSFault{Name: "alias.test", Truncate: true})
	if mx, _, err := c.MX(t.Context(), "null.test"); err != nil || len(mx) != 1 {
		t.Errorf("an answer without records: got %v, %v", mx, err)
	}
	if _, _, err := c.MX(t.Context(), "alias.test"); !errors.Is(err, ErrTemporary) {
		t.Errorf("truncated over TCP too: got %v", err)
	}
}

func TestClientPassesOverWrongAnswers(t *testing.T) {
	for name, f := range map[string]stage.DNSFault{
		"another id":       {WrongID: true},
		"another question": {Other: true},
		"garbage":          {Garbage: []byte("x")},
		"long garbage":     {Garbage: bytes.Repeat([]byte{0xc0, 0x0c}, 500)},
	} {
		t.Run(name, func(t *testing.T) {
			d := &stage.DNS{Records: records}
			c := begin(t, d, Options{})
			d.Play(f)
			if mx, _, err := c.MX(t.Context(), "b.test"); err != nil || len(mx) != 2 {
				t.Errorf("got %v, %v", mx, err)
			}
		})
	}
}

func TestClientWithoutOPT(t *testing.T) {
	d := &stage.DNS{Records: records}
	c := begin(t, d, Options{})
	d.Play(stage.DNSFault{Rcode: dns.RcodeFormatError, Times: 1})
	if mx, _, err := c.MX(t.Context(), "b.test"); err != nil || len(mx) != 2 {
		t.Errorf("got %v, %v", mx, err)
	}
	if q := d.Queries(); len(q) != 2 || q[0].Size != 1232 || q[1].Size != 0 {
		t.Errorf("got questions %v", q)
	}
}

func TestClientFailsOverAndStaysThere(t *testing.T) {
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close() // its port answers with ICMP
	d := &stage.DNS{Records: records}
	c := begin(t, d, Options{Servers: []string{dead.LocalAddr().String()}})
	var mu sync.Mutex
	var asked []string
	c.opt.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, addr)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	for _, domain := range []string{"b.test", "null.test"} {
		if _, _, err := c.MX(t.Context(), domain); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{dead.LocalAddr().String(), d.Addr(), d.Addr()}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

func TestADIsBelievedOfSome(t *testing.T) {
	d := &stage.DNS{Records: records, Authentic: true}
	if err := d.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, d.Addr())
	}
	for _, tt := range []struct {
		server string
		trust  bool
		want   bool
	}{{"127.0.0.53", false, true}, {"[::1]:53", false, true}, {"::1", false, true}, {"192.0.2.53", false, false},
		{"192.0.2.53:53", true, true}, {"[::ffff:127.0.0.1]:53", false, true}} {
		c := New(Options{Servers: []string{tt.server}, TrustAD: tt.trust, Dial: dial})
		if _, got, err := c.MX(t.Context(), "b.test"); err != nil || got != tt.want {
			t.Errorf("%s, trusted %v: got %v, %v", tt.server, tt.trust, got, err)
		}
	}
}

func TestSameQuestionIsAskedOnce(t *testing.T) {
	d := &stage.DNS{Records: records}
	c := begin(t, d, Options{Timeout: time.Minute})
	g := stage.NewGate()
	d.Play(stage.DNSFault{Name: "b.test", Wait: g})
	var wg sync.WaitGroup
	var once sync.Once
	results := make(chan error, 20)
	ask := func(ctx context.Context) {
		_, _, err := c.MX(ctx, "b.test")
		results <- err
	}
	wg.Go(func() { ask(t.Context()) })
	<-g.Arrived()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ask(ctx) // it does not wait for the others
	if err := <-results; !errors.Is(err, ErrTemporary) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for range 10 {
		wg.Go(func() { ask(t.Context()) })
	}
	once.Do(g.Open)
	wg.Wait()
	for range 11 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := len(d.Queries()); n != 1 {
		t.Errorf("%d questions were asked", n)
	}
}

// Who asked first goes away: the next one asks in his place.
func TestFlightIsTakenOver(t *testing.T) {
	d := &stage.DNS{Records: records}
	c := begin(t, d, Options{Timeout: time.Minute})
	g := stage.NewGate()
	d.Play(stage.DNSFault{Name: "b.test", Wait: g, Drop: true, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, _, err := c.MX(ctx, "b.test")
		first <- err
	}()
	<-g.Arrived()
	second := make(chan error)
	go func() {
		_, _, err := c.MX(t.Context(), "b.test")
		second <- err
	}()
	cancel()
	if err := <-first; !errors.Is(err, ErrTemporary) {
		t.Errorf("got %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("got %v", err)
	}
	g.Open()
}

// server answers over pipes, so that time can be a fake one. Where handle returns nil there is no answer.
type server struct {
	handle  func(network, addr string, q *dns.Msg) *dns.Msg
	mu      sync.Mutex // one call of handle at a time
	playing sync.WaitGroup
}

func (s *server) dial(_ context.Context, network, addr string) (net.Conn, error) {
	client, conn := stage.Pipe(netip.AddrPort{}, netip.AddrPort{})
	s.playing.Go(func() {
		defer conn.Close()
		b := make([]byte, 64<<10)
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		b = b[:n]
		if network == "tcp" {
			b = b[2:]
		}
		q := new(dns.Msg)
		if err := q.Unpack(b); err != nil {
			panic(err)
		}
		s.mu.Lock()
		m := s.handle(network, addr, q)
		s.mu.Unlock()
		if m != nil {
			octets, err := m.Pack()
			if err != nil {
				panic(err)
			}
			if network == "tcp" {
				octets = append(binary.BigEndian.AppendUint16(nil, uint16(len(octets))), octets...)
			}
			conn.Write(octets)
		}
		io.Copy(io.Discard, conn)
	})
	return client, nil
}

func reply(q *dns.Msg, rcode int, records ...string) *dns.Msg {
	m := new(dns.Msg).SetRcode(q, rcode)
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

func TestAnswersAreKeptAsLongAsTheyMay(t *testing.T) {
	const soa = "test. 3600 IN SOA ns.test. root.test. 1 2 3 4 60"
	for _, tt := range []struct {
		name  string
		rcode int
		rrs   []string
		kept  time.Duration
	}{
		{"its time to live", 0, []string{"b.test. 300 IN MX 1 x.test."}, 300 * time.Second},
		{"the shortest of several", 0, []string{"b.test. 300 IN MX 1 x.test.", "b.test. 100 IN MX 2 y.test."}, 100 * time.Second},
		{"that of an alias", 0, []string{"b.test. 10 IN CNAME c.test.", "c.test. 300 IN MX 1 x.test."}, 10 * time.Second},
		{"not at all", 0, []string{"b.test. 0 IN MX 1 x.test."}, 0},
		{"not at all, as its highest bit is set", 0, []string{"b.test. 2147483648 IN MX 1 x.test."}, 0},
		{"at most a day", 0, []string{"b.test. 1000000 IN MX 1 x.test."}, 24 * time.Hour},
		{"no such name, by the SOA", dns.RcodeNameError, []string{soa}, time.Minute},
		{"no such records, by the SOA", 0, []string{soa}, time.Minute},
		{"no such name, a quarter of an hour at most", dns.RcodeNameError, []string{strings.Replace(soa, "4 60", "4 86400", 1)}, 15 * time.Minute},
		{"no such name, without SOA", dns.RcodeNameError, nil, 0},
		{"no such records, without SOA", 0, nil, 0},
		{"a failure", dns.RcodeServerFailure, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				s := &server{handle: func(_, _ string, q *dns.Msg) *dns.Msg {
					asked++
					return reply(q, tt.rcode, tt.rrs...)
				}}
				c := New(Options{Servers: []string{"127.0.0.1"}, Dial: s.dial})
				_, _, first := c.MX(t.Context(), "b.test")
				if tt.kept > 0 {
					time.Sleep(tt.kept - time.Nanosecond)
					_, _, again := c.MX(t.Context(), "B.test")
					if asked != 1 || fmt.Sprint(first) != fmt.Sprint(again) {
						t.Errorf("asked %d times before its end; %v, then %v", asked, first, again)
					}
					time.Sleep(time.Nanosecond)
				}
				if c.MX(t.Context(), "b.test"); asked != 2 {
					t.Errorf("asked %d times at its end", asked)
				}
				s.playing.Wait()
			})
		})
	}
}

func TestSilentServersCostABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		s := &server{handle: func(_, addr string, q *dns.Msg) *dns.Msg {
			asked = append(asked, addr)
			return nil
		}}
		c := New(Options{Servers: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, Timeout: 5 * time.Second, Dial: s.dial})
		start := time.Now()
		_, _, err := c.MX(t.Context(), "b.test")
		if d := time.Since(start); d != 30*time.Second || !errors.Is(err, ErrTemporary) || len(asked) != 6 {
			t.Errorf("took %v, asked %v, got %v", d, asked, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		start = time.Now()
		_, _, err = c.Addrs(ctx, "b.test")
		if d := time.Since(start); d != 7*time.Second || !errors.Is(err, ErrTemporary) {
			t.Errorf("took %v, got %v", d, err)
		}
		s.playing.Wait()
	})
}

func TestServerThatFailsIsNotAskedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(map[string]int)
		s := &server{handle: func(_, addr string, q *dns.Msg) *dns.Msg {
			asked[addr]++
			if addr == "192.0.2.1:53" {
				return reply(q, dns.RcodeServerFailure)
			}
			return nil
		}}
		c := New(Options{Servers: []string{"192.0.2.1", "192.0.2.2"}, Dial: s.dial})
		_, _, err := c.MX(t.Context(), "b.test")
		if !errors.Is(err, ErrTemporary) || asked["192.0.2.1:53"] != 1 || asked["192.0.2.2:53"] != 2 ||
			!strings.Contains(err.Error(), "192.0.2.1:53 answered SERVFAIL; asking 192.0.2.2:53: no answer in time") {
			t.Errorf("got %v, asked %v", err, asked)
		}
		s.playing.Wait()
	})
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache{limit: 100_000}
		for i := range 10_000 {
			c.put(question{name: fmt.Sprintf("x%d.test", i)}, answer{txt: []string{strings.Repeat("x", 100)}, ttl: time.Hour})
			if c.weight > c.limit {
				t.Fatalf("weighs %d", c.weight)
			}
		}
		c.put(question{name: "huge.test"}, answer{txt: []string{strings.Repeat("x", 100_000)}, ttl: time.Hour})
		if len(c.entries) < 200 {
			t.Errorf("holds only %d entries", len(c.entries))
		}
		for q := range c.entries {
			c.remove(q)
		}
		if c.weight != 0 {
			t.Errorf("weighs %d when empty", c.weight)
		}
	})
}

func TestResolvConf(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "{[127.0.0.1:53] 0s false}"},
		{"servers", "nameserver 192.0.2.1\n nameserver 2001:db8::1 # x\nnameserver fe80::1%eth0\nnameserver 192.0.2.4\n",
			"{[192.0.2.1:53 [2001:db8::1]:53 [fe80::1%eth0]:53] 0s false}"},
		{"options", "options edns0 trust-ad timeout:2\nsearch a.test\nnameserver x\nnameserver\n#nameserver 192.0.2.1",
			"{[127.0.0.1:53] 2s true}"},
		{"odd options", "options timeout:x timeout:0\n;options trust-ad", "{[127.0.0.1:53] 0s false}"},
		{"a long time-out", "options timeout:99999999999", "{[127.0.0.1:53] 30s false}"},
		{"a very long time-out", "options timeout:99999999999999999999", "{[127.0.0.1:53] 0s false}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseResolvConf(strings.NewReader(tt.text))
			if err != nil || fmt.Sprint(got) != tt.want {
				t.Errorf("got %v %v, want %s", got, err, tt.want)
			}
		})
	}
	if got, err := ReadResolvConf(filepath.Join(t.TempDir(), "none")); err != nil || fmt.Sprint(got) != "{[127.0.0.1:53] 0s false}" {
		t.Errorf("no file: got %v %v", got, err)
	}
}

func TestResolvConfIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		s := &server{handle: func(_, addr string, q *dns.Msg) *dns.Msg {
			asked = append(asked, addr)
			return reply(q, dns.RcodeServerFailure)
		}}
		c := New(Options{ResolvConf: path, Dial: s.dial})
		c.MX(t.Context(), "b.test")
		if err := os.WriteFile(path, []byte("nameserver 192.0.2.1"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.MX(t.Context(), "b.test")
		time.Sleep(confAge)
		c.MX(t.Context(), "b.test")
		if err := os.WriteFile(path, []byte("nameserver 192.0.2.99"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(confAge)
		c.MX(t.Context(), "b.test")
		if want := []string{"127.0.0.1:53", "127.0.0.1:53", "192.0.2.1:53", "192.0.2.99:53"}; !slices.Equal(asked, want) {
			t.Errorf("asked %v, want %v", asked, want)
		}
		s.playing.Wait()
	})
}

func FuzzAnswer(f *testing.F) {
	q := newQuery("b.test", dns.TypeMX, true)
	q.Id = 1
	for _, m := range []*dns.Msg{
		reply(q, 0, "b.test. 300 IN MX 1 x.test.", `b.test. 1 IN TXT "a"`),
		reply(q, 0, "b.test. 300 IN CNAME c.test.", "c.test. 300 IN CNAME b.test."),
		reply(q, dns.RcodeNameError, "test. 3600 IN SOA ns.test. root.test. 1 2 3 4 60"),
	} {
		octets, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(octets)
		f.Add(octets[:len(octets)-3])
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		m := parseAnswer(octets, q)
		if m == nil {
			return
		}
		for _, kind := range []uint16{dns.TypeMX, dns.TypeA, dns.TypeTXT, dns.TypeTLSA} {
			a := answer{ttl: maxTTL}
			open, n := a.read(m, "b.test", kind)
			if len(a.mx) > MaxMX || len(a.ips) > MaxAddrs || n > maxAliases+1 || a.ttl < 0 || a.ttl > maxTTL ||
				(open == "" && n <= maxAliases) != (a.found() || a.none != nil) && n <= maxAliases {
				t.Fatalf("got %+v, %q, %d", a, open, n)
			}
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.1\noptions timeout:3 trust-ad\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseResolvConf(bytes.NewReader(text))
		if err == nil && (len(c.Servers) < 1 || len(c.Servers) > maxServers || c.Timeout < 0) {
			t.Fatalf("got %+v", c)
		}
	})
}
