package smtpout

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"signpost/mta/route"
)

func send(t *testing.T, c *Client, h route.Hop) Report {
	t.Helper()
	return c.Send(t.Context(), h, text(content), to("bob@there.test"))
}

func deliver(t *testing.T, c *Client, h route.Hop) {
	t.Helper()
	if rep := send(t, c, h); rep.Blame != None {
		t.Fatalf("not delivered: %+v\n%s", rep.Results[0], strings.Join(rep.Dialogue, "\n"))
	}
}

func TestReuse(t *testing.T) {
	tests := []struct {
		name    string
		scripts []string
		steps   func(t *testing.T, c *Client)
	}{
		{
			name:    "the next message at once, no RSET, no EHLO",
			scripts: []string{greeting("PIPELINING") + flight + flight},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				<-time.After(4 * time.Second)
				rep := send(t, c, hop())
				if rep.Blame != None || rep.Connect != 0 || rep.Dialogue[0] != "* kept connection to mx.test[192.0.2.1]:25" {
					t.Errorf("got %+v", rep)
				}
			},
		},
		{
			name:    "RSET after a failed transaction",
			scripts: []string{greeting() + strings.Replace(plainMail, "250 2.0.0", "554 5.7.1", 1) + "> RSET\n< 250 ok\n" + plainMail + plainMail},
			steps: func(t *testing.T, c *Client) {
				send(t, c, hop())
				deliver(t, c, hop())
				deliver(t, c, hop())
			},
		},
		{
			name:    "no RSET after a recipient was refused and another taken",
			scripts: []string{greeting() + strings.Replace(plainMail, "> DATA", "> RCPT TO:<no@there.test>\n< 550 no\n> DATA", 1) + plainMail},
			steps: func(t *testing.T, c *Client) {
				c.Send(t.Context(), hop(), text(content), to("bob@there.test", "no@there.test"))
				deliver(t, c, hop())
			},
		},
		{
			name:    "RSET refused: a new connection",
			scripts: []string{greeting() + strings.Replace(plainMail, "250 2.0.0", "554 5.7.1", 1) + "> RSET\n< 421 no\nclose", greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				send(t, c, hop())
				deliver(t, c, hop())
			},
		},
		{
			name:    "too idle: QUIT after 5 s",
			scripts: []string{greeting() + plainMail + "> QUIT\nclose", greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				<-time.After(5 * time.Second)
				synctest.Wait()
				deliver(t, c, hop())
			},
		},
		{
			name:    "closed by the host meanwhile: a new connection, no error",
			scripts: []string{greeting("PIPELINING") + flight + "close", greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				synctest.Wait()
				deliver(t, c, hop())
			},
		},
		{
			name:    "closed at the first command: a new connection, no error",
			scripts: []string{greeting() + plainMail + "> MAIL FROM:<ann@here.test>\nclose", greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				deliver(t, c, hop())
			},
		},
		{
			name: "421 to the first command: a new connection, no error",
			scripts: []string{greeting("PIPELINING") + flight + `
				> MAIL FROM:<ann@here.test>
				> RCPT TO:<bob@there.test>
				> DATA
				< 421 4.4.2 idle for too long
				close
				`, greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				deliver(t, c, hop())
			},
		},
		{
			name:    "silence at the first command is trouble: waiting twice for it would take too long",
			scripts: []string{greeting() + plainMail + "> MAIL FROM:<ann@here.test>\nhang"},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				if rep := send(t, c, hop()); rep.Blame != Session || len(rep.Left) != 1 {
					t.Errorf("got %+v", rep)
				}
			},
		},
		{
			name:    "421 to a later command is trouble",
			scripts: []string{greeting() + plainMail + "> MAIL FROM:<ann@here.test>\n< 250 ok\n> RCPT TO:<bob@there.test>\n< 421 bye\nclose"},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				if rep := send(t, c, hop()); rep.Blame != Session {
					t.Errorf("got %+v", rep)
				}
			},
		},
		{
			name:    "words behind the last reply: the connection is not kept",
			scripts: []string{greeting() + strings.Replace(plainMail, "< 250 2.0.0 taken", `<" 250 taken\r\n421 bye\r\n`, 1), greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				deliver(t, c, hop())
			},
		},
		{
			name:    "not for another address, port, name or security",
			scripts: []string{greeting() + plainMail, greeting() + plainMail, greeting() + plainMail, greeting() + plainMail, greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				h := hop()
				h.Addrs = []netip.Addr{netip.MustParseAddr("192.0.2.9")}
				deliver(t, c, h)
				h = hop()
				h.Port = 26
				deliver(t, c, h)
				h = hop()
				h.Host = "other.test"
				deliver(t, c, h)
				h = hop()
				h.Need = route.Plain
				deliver(t, c, h)
			},
		},
		{
			name:    "not after 300 s",
			scripts: []string{greeting() + strings.Replace(plainMail, "body", "body\nwait 300s", 1), greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				deliver(t, c, hop())
			},
		},
		{
			name:    "not after 100 messages",
			scripts: []string{greeting("PIPELINING") + strings.Repeat(flight, maxMessages), greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				for range maxMessages + 1 {
					deliver(t, c, hop())
				}
			},
		},
		{
			name:    "not after Close",
			scripts: []string{greeting() + plainMail, greeting() + plainMail, greeting() + plainMail},
			steps: func(t *testing.T, c *Client) {
				deliver(t, c, hop())
				c.Close()
				deliver(t, c, hop())
				deliver(t, c, hop())
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := begin(t, tt.scripts...)
				tt.steps(t, c)
			})
		})
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scripts []string
		limit := idleLimit()
		for range limit + 3 {
			scripts = append(scripts, greeting()+plainMail)
		}
		c, _ := begin(t, scripts...)
		for i := range limit + 3 {
			h := hop()
			h.Host = fmt.Sprintf("mx%d.test", i)
			deliver(t, c, h)
			<-time.After(time.Millisecond)
		}
		if c.idle.age.Len() != limit {
			t.Errorf("got %d idle connections", c.idle.age.Len())
		}
		for key := range c.idle.conns {
			if key.host == "mx0.test" || key.host == "mx1.test" || key.host == "mx2.test" {
				t.Errorf("the oldest should have gone, but %s is kept", key.host)
			}
		}
	})
}

// A host that is slow, silent, or trickles must be left, and after no more than the time that the step has.
func TestTimeouts(t *testing.T) {
	large := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 5000)
	trickle := func(n int) string { return strings.Repeat("wait 1m\n<\" 2\n", n) }
	upToData := plainMail[:strings.Index(plainMail, "body")]
	tests := []struct {
		name, script, content string
		want                  string
		uncertain             bool
		after                 time.Duration
	}{
		{name: "no greeting", script: "wait 6m", want: "4.4.2", after: 5 * time.Minute},
		{name: "a greeting octet by octet", script: trickle(4) + "wait 2m", want: "4.4.2", after: 5 * time.Minute},
		{name: "a greeting line by line", script: strings.Repeat("wait 1m\n<\" 220-x\\r\\n\n", 4) + "wait 2m", want: "4.4.2", after: 5 * time.Minute},
		{name: "greeting and EHLO share their time", script: "wait 4m\n< 220 mx.test\n> EHLO here.test\nwait 2m", want: "4.4.2", after: 5 * time.Minute},
		{name: "nothing is read", script: greeting() + "wait 6m", want: "4.4.2", after: 5 * time.Minute},
		{name: "no answer to MAIL", script: greeting() + "> MAIL FROM:<ann@here.test>\nhang", want: "4.4.2", after: 5 * time.Minute},
		{name: "no answer to DATA", script: greeting() + strings.Replace(upToData, "< 354 go on", "hang", 1), want: "4.4.2", after: 2 * time.Minute},
		{name: "no answer to the dot", script: greeting() + strings.Replace(plainMail, "< 250 2.0.0 taken", "hang", 1), want: "4.4.2", uncertain: true, after: 10 * time.Minute},
		{name: "a small body not taken", script: greeting() + upToData + "wait 4m", want: "4.4.2", after: 3 * time.Minute},
		{name: "a large body not taken", script: greeting() + upToData + "read 100000\nwait 4m\nclose", content: large, want: "4.4.2", after: 3 * time.Minute},
		{
			name: "a body taken a little now and then", script: greeting() + upToData + strings.Repeat("wait 1m\nread 40000\n", 8) + "wait 1h\nclose",
			content: large, want: "4.4.2", after: 8*time.Minute + 20*time.Second, // 5 blocks of 64 KiB at 1024 a second, and 3 min of grace
		},
		{name: "a slow line that is quick enough", script: greeting() + upToData + strings.Repeat("wait 1m\nread 100000\n", 5) + "body\n< 250 2.0.0 taken\n",
			content: large, want: "2.0.0", after: 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := begin(t, tt.script)
				if tt.content == "" {
					tt.content = content
				}
				began := time.Now()
				rep := c.Send(t.Context(), hop(), text(tt.content), to("bob@there.test"))
				if got := statuses(rep); got != tt.want || rep.Uncertain != tt.uncertain {
					t.Errorf("got %s, uncertain %v: %s", got, rep.Uncertain, rep.Results[0].Detail)
				}
				if tt.want != "2.0.0" && !strings.Contains(rep.Results[0].Detail, "timed out") {
					t.Errorf("got detail %q", rep.Results[0].Detail)
				}
				if took := time.Since(began); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
			})
		})
	}
}

func TestWholeTransactionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rcpts []string
		script := greeting() + "> MAIL FROM:<ann@here.test>\n< 250 ok\n"
		for i := range 20 {
			rcpts = append(rcpts, fmt.Sprintf("r%d@there.test", i))
			script += fmt.Sprintf("> RCPT TO:<r%d@there.test>\nwait 4m\n< 250 ok\n", i)
		}
		script = script[:strings.Index(script, "r14@")-len("> RCPT TO:<")] + "> RCPT TO:<r14@there.test>\nhang"
		c, _ := begin(t, script)
		c.MinRate = 1 << 40
		began := time.Now()
		rep := c.Send(t.Context(), hop(), text(content), to(rcpts...))
		if took := time.Since(began).Round(time.Second); took != time.Hour || rep.Blame != Session || len(rep.Left) != 20 {
			t.Errorf("took %v, %+v", took, rep)
		}
	})
}

func TestManyDeadAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := begin(t)
		c.Dial = deadDial(f)
		h := hop()
		h.Addrs = nil
		for i := range 50 {
			h.Addrs = append(h.Addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
		}
		began := time.Now()
		rep := send(t, c, h)
		if took := time.Since(began); took > 125*time.Second || len(f.dialed) != 50 || statuses(rep) != "4.4.1" {
			t.Errorf("took %v for %d addresses: %+v", took, len(f.dialed), rep)
		}
		f.dialed = nil
		h.Addrs = h.Addrs[:1]
		began = time.Now()
		if rep := send(t, c, h); time.Since(began) != 30*time.Second || rep.Results[0].Detail != "timed out while connecting" {
			t.Errorf("took %v: %+v", time.Since(began), rep)
		}
	})
}

func TestEarlyReplyToLargeBody(t *testing.T) {
	large := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 50000)
	upToData := plainMail[:strings.Index(plainMail, "body")]
	tests := []struct {
		name, end, want string
		blame           Blame
		detail          string
	}{
		{"refused for good, reading no more", "read 100000\n<~ 552 5.3.4 too big\nwait 1h\nclose", "5.3.4", Mesg, "the message"},
		{"refused for now, closing", "read 100000\n<~ 452 4.3.1 disk full\nclose", "4.3.1", Mesg, "the message"},
		{"421", "read 100000\n<~ 421 4.3.2 bye\nclose", "4.3.2", Session, "the message"},
		{"taken, which cannot be", "read 100000\n<~ 250 2.0.0 fine\nwait 1h\nclose", "4.5.0", Session, "before it had the whole message"},
		{"closed without a word", "read 100000\nclose", "4.4.2", Session, "the host closed it"},
		{"nonsense", "read 100000\n<~ oops\nwait 1h\nclose", "4.5.0", Session, "not SMTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := begin(t, greeting()+upToData+tt.end)
				began := time.Now()
				rep := c.Send(t.Context(), hop(), text(large), to("bob@there.test"))
				if statuses(rep) != tt.want || rep.Blame != tt.blame || rep.Uncertain || !strings.Contains(rep.Results[0].Detail, tt.detail) {
					t.Errorf("got %+v", rep)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("noticed after %v", took)
				}
			})
		})
	}
}

func TestLargeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat(".line\r\n", 100000)
		c, f := begin(t, greeting()+plainMail+plainMail)
		for range 2 {
			rep := c.Send(t.Context(), hop(), text(large), to("bob@there.test"))
			if rep.Blame != None || f.bodies[len(f.bodies)-1] != strings.ReplaceAll(large, ".", "..") {
				t.Fatalf("got %+v", rep)
			}
		}
	})
}

func TestContextEndsInLargeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := begin(t, greeting()+plainMail[:strings.Index(plainMail, "body")]+"read 70000\nwait 1h\nclose")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		closed := false
		m := text("")
		m.Open = func() (io.ReadCloser, error) {
			return closer{strings.NewReader(strings.Repeat("x\r\n", 100000)), &closed}, nil
		}
		rep := c.Send(ctx, hop(), m, to("bob@there.test"))
		if statuses(rep) != "4.3.2" || rep.Uncertain || rep.Blame != None || !closed {
			t.Errorf("got %+v, message closed: %v", rep, closed)
		}
	})
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error {
	*c.closed = true
	return nil
}
