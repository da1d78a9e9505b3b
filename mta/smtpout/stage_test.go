package smtpout

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"signpost/mta/route"
	"signpost/mta/stage"
)

// exchange starts x in memory and makes a client of it.
func exchange(t *testing.T, x *stage.Exchanger) *Client {
	t.Helper()
	n := new(stage.Network)
	l, err := n.Listen("192.0.2.1:25")
	if err != nil {
		t.Fatal(err)
	}
	x.Start(l)
	c := &Client{Hostname: "here.test", Dial: n.Dial}
	t.Cleanup(func() {
		c.Close()
		x.Close()
		if b := x.Breaches(); len(b) > 0 {
			t.Errorf("breaches: %q", b)
		}
	})
	return c
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestTLSAgainstExchanger(t *testing.T) {
	authority := must(stage.NewAuthority())
	selfSigned := must(stage.SelfSigned("mx.test"))
	good := must(authority.Server("mx.test"))
	wrong := must(authority.Server("other.test"))
	expired := must(authority.Expired("mx.test"))
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	two := good.Clone()
	two.MaxVersion = tls.VersionTLS12
	stranger := good.Clone()
	stranger.ClientAuth = tls.RequireAnyClientCert // with TLS 1.3 the client learns it behind the handshake
	tests := []struct {
		name     string
		need     route.Security
		tls      *tls.Config
		want     string // status and TLS
		detail   string
		fallback bool
		sessions int
	}{
		{"opportunistic takes any certificate", route.Opportunistic, selfSigned, "2.0.0 TLS1.3 unverified", "", false, 1},
		{"opportunistic without STARTTLS", route.Opportunistic, nil, "2.0.0 ", "", false, 1},
		{"opportunistic with a version too old", route.Opportunistic, old, "2.0.0 ", "", true, 2},
		{"opportunistic with a host that wants our certificate", route.Opportunistic, stranger, "2.0.0 ", "", true, 2},
		{"plain", route.Plain, good, "2.0.0 ", "", false, 1},
		{"encrypt takes any certificate", route.Encrypt, selfSigned, "2.0.0 TLS1.3 unverified", "", false, 1},
		{"encrypt with TLS 1.2", route.Encrypt, two, "2.0.0 TLS1.2 unverified", "", false, 1},
		{"encrypt without STARTTLS", route.Encrypt, nil, "4.7.4 ", "does not offer", false, 1},
		{"encrypt with a version too old", route.Encrypt, old, "4.7.5 ", "handshake", false, 1},
		{"verify", route.Verify, good, "2.0.0 TLS1.3 verified", "", false, 1},
		{"verify: nobody vouches", route.Verify, selfSigned, "4.7.5 ", "certificate", false, 1},
		{"verify: wrong name", route.Verify, wrong, "4.7.5 ", "other.test", false, 1},
		{"verify: expired", route.Verify, expired, "4.7.5 ", "expired", false, 1},
		{"verify without STARTTLS", route.Verify, nil, "4.7.4 ", "does not offer", false, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &stage.Exchanger{TLS: tt.tls}
				c := exchange(t, x)
				c.Roots = authority.Roots()
				h := hop()
				h.Need = tt.need
				for range 2 { // the second over the kept connection, where there is one
					rep := send(t, c, h)
					r := rep.Results[0]
					if got := r.Status.String() + " " + rep.TLS; got != tt.want || r.TLS != rep.TLS {
						t.Errorf("got %s, want %s: %s", got, tt.want, r.Detail)
					}
					if !strings.Contains(r.Detail, tt.detail) || (rep.TLSError != nil) != tt.fallback {
						t.Errorf("got detail %q, fallback %v", r.Detail, rep.TLSError)
					}
					if r.Status.Class != 2 && (rep.Blame != Host || len(rep.Left) != 1) {
						t.Errorf("got %+v", rep)
					}
					if t.Failed() {
						t.Fatal(strings.Join(rep.Dialogue, "\n"))
					}
				}
				sessions := x.Sessions()
				if tt.want[0] == '2' && len(sessions) != tt.sessions {
					t.Errorf("got %d sessions, want %d", len(sessions), tt.sessions)
				}
				for _, done := range x.Accepted() {
					if (done.TLS != nil) != strings.Contains(tt.want, "TLS") || done.TLS != nil && done.TLS.ServerName != "mx.test" {
						t.Errorf("the host saw TLS %+v", done.TLS)
					}
				}
			})
		})
	}
}

// What was offered in clear must not be believed under TLS.
func TestForgetsBeforeTLS(t *testing.T) {
	for _, answer := range []string{hello(), "> EHLO here.test\n< 502 5.5.1 what\n> HELO here.test\n< 250 mx.test\n"} {
		synctest.Test(t, func(t *testing.T) {
			c, f := begin(t, greeting("STARTTLS", "PIPELINING", "SIZE 1", "DSN")+"> STARTTLS\n< 220 go on\ntls\n"+answer+plainMail)
			f.tls = must(stage.SelfSigned("mx.test"))
			deliver(t, c, hop())
		})
	}
}

func TestHandshakeFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault stage.Fault
	}{
		{"closed", stage.Fault{At: stage.Handshake, Close: true}},
		{"garbage", stage.Fault{At: stage.Handshake, Raw: "hello, is anybody there?\r\n", Close: true}},
		{"closed in place of the 220", stage.Fault{At: stage.StartTLS, Close: true}},
		{"refused with 5xx", stage.Fault{At: stage.StartTLS, Reply: "502 5.5.1 I was joking"}},
	} {
		for _, need := range []route.Security{route.Opportunistic, route.Encrypt} {
			t.Run(fmt.Sprintf("%s, %d", tt.name, need), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := &stage.Exchanger{TLS: must(stage.SelfSigned("mx.test"))}
					x.Play(tt.fault)
					c := exchange(t, x)
					h := hop()
					h.Need = need
					rep := send(t, c, h)
					if need == route.Opportunistic && (rep.Blame != None || rep.TLSError == nil || rep.TLS != "") {
						t.Errorf("got %+v\n%s", rep, strings.Join(rep.Dialogue, "\n"))
					}
					if need == route.Encrypt && (rep.Blame < Session || rep.Results[0].Outcome().Final() || len(x.Accepted()) > 0) {
						t.Errorf("got %+v", rep)
					}
				})
			})
		}
	}
}

func TestAgainstExchanger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &stage.Exchanger{TLS: must(stage.SelfSigned("mx.test")), MaxRcpts: 30, Reject: []string{"r7@there.test"}}
		x.Play(stage.Fault{At: stage.Rcpt, For: "r9@there.test", Reply: "450 4.2.0 later"})
		c := exchange(t, x)
		var addrs []string
		for i := range 120 {
			addrs = append(addrs, fmt.Sprintf("r%d@there.test", i))
		}
		body := "Subject: x\r\n\r\n" + strings.Repeat(".\r\n..x\r\n", 50000)
		rep := c.Send(t.Context(), hop(), text(body), to(addrs...))
		taken := map[string]int{}
		for _, done := range x.Accepted() {
			if string(done.Content) != body {
				t.Error("the content is not what was sent")
			}
			for _, r := range done.Rcpts {
				taken[r.Addr]++
			}
		}
		for i, r := range rep.Results {
			want := map[int]string{7: "5.1.1", 9: "4.2.0"}[i]
			if want == "" {
				want = "2.0.0"
			}
			if r.Status.String() != want || taken[addrs[i]] != map[bool]int{true: 1}[want == "2.0.0"] {
				t.Errorf("%s: got %v, want %s, taken %d times", addrs[i], r.Status, want, taken[addrs[i]])
			}
		}
		if rep.Blame != Recipient || len(x.Sessions()) != 1 {
			t.Errorf("got blame %v, %d sessions", rep.Blame, len(x.Sessions()))
		}
	})
}

func TestExchangerOnLoopback(t *testing.T) {
	x := &stage.Exchanger{TLS: must(stage.SelfSigned("mx.test"))}
	if err := x.Listen("127.0.0.1:0"); err != nil {
		t.Skipf("no loopback: %v", err)
	}
	defer x.Close()
	at := netip.MustParseAddrPort(x.Addr())
	c := &Client{Dial: new(net.Dialer).DialContext} // without a name
	defer c.Close()
	h := route.Hop{Host: "mx.test", Addrs: []netip.Addr{at.Addr()}, Port: at.Port()}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				if rep := c.Send(t.Context(), h, text(content), to("bob@there.test")); rep.Blame != None {
					t.Errorf("got %+v", rep)
				}
			}
		})
	}
	wg.Wait()
	done := x.Accepted()
	if len(done) != 40 || len(x.Sessions()) > 4 || len(x.Breaches()) > 0 {
		t.Errorf("got %d messages in %d sessions, breaches %q", len(done), len(x.Sessions()), x.Breaches())
	}
	if done[0].Hello != "[127.0.0.1]" || string(done[0].Content) != content {
		t.Errorf("got %+v", done[0])
	}
}

// sink is as little of a server as a benchmark needs. A turn takes the time rtt.
func sink(conn net.Conn, rtt time.Duration) {
	defer conn.Close()
	buf := make([]byte, 64<<10)
	say := func(s string) bool {
		if rtt > 0 {
			<-time.After(rtt)
		}
		_, err := io.WriteString(conn, s)
		return err == nil
	}
	hear := func(end string) bool {
		n := 0
		for !bytes.HasSuffix(buf[:n], []byte(end)) {
			k, err := conn.Read(buf[n:])
			if n += k; err != nil {
				return false
			}
		}
		return true
	}
	ok := say("220 mx.test\r\n") && hear("\r\n") && say("250-mx.test\r\n250-SIZE\r\n250-8BITMIME\r\n250 PIPELINING\r\n")
	for ok {
		ok = hear("DATA\r\n") && say("250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go on\r\n") && hear("\r\n.\r\n") && say("250 2.0.0 taken\r\n")
	}
}

var fourKB = "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57)

// A second message over a kept connection takes two round trips.
func TestTwoRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		c := &Client{Hostname: "here.test", Dial: pipeDial(&wg, 20*time.Millisecond)}
		deliver(t, c, hop())
		began := time.Now()
		deliver(t, c, hop())
		if took := time.Since(began); took != 40*time.Millisecond {
			t.Errorf("took %v", took)
		}
		c.Close()
		wg.Wait()
	})
}

func BenchmarkSend(b *testing.B) {
	b.Run("loopback", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Skip(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { sink(conn, 0) })
			}
		})
		at := netip.MustParseAddrPort(l.Addr().String())
		c := &Client{Hostname: "here.test"}
		bench(b, c, route.Hop{Host: "mx.test", Addrs: []netip.Addr{at.Addr()}, Port: at.Port()})
		c.Close()
		l.Close()
		wg.Wait()
	})
	b.Run("20ms", func(b *testing.B) {
		var wg sync.WaitGroup
		c := &Client{Hostname: "here.test", Dial: pipeDial(&wg, 20*time.Millisecond)}
		bench(b, c, hop())
		c.Close()
		wg.Wait()
	})
}

func bench(b *testing.B, c *Client, h route.Hop) {
	b.ReportAllocs()
	m, rcpts := text(fourKB), to("bob@there.test")
	for b.Loop() {
		if rep := c.Send(b.Context(), h, m, rcpts); rep.Blame != None {
			b.Fatal(rep)
		}
	}
}

func BenchmarkStuffer(b *testing.B) {
	w := &stuffer{out: make([]byte, 0, writeBlock), flush: func([]byte) error { return nil }}
	p := []byte(strings.Join(slices.Repeat([]string{fourKB}, 8), ""))
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		w.Write(p)
	}
}
