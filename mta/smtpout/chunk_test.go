package smtpout

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	chunkCommands = `
		> MAIL FROM:<ann@here.test>
		> RCPT TO:<bob@there.test>
		> BDAT 22 LAST
		chunk 22
		`
	chunkFlight = chunkCommands + `
		< 250 2.1.0 ok
		< 250 2.1.5 ok
		< 250 2.0.0 taken
		`
)

var chunks = greeting("PIPELINING", "CHUNKING")

func TestChunks(t *testing.T) {
	two := []string{"bob@there.test", "eve@there.test"}
	twice := `
		> MAIL FROM:<ann@here.test>
		> RCPT TO:<bob@there.test>
		> RCPT TO:<eve@there.test>
		> BDAT 22 LAST
		chunk 22
		`
	tests := []struct {
		name      string
		scripts   []string
		rcpts     []string // nil: bob
		content   string   // empty: content
		want      string   // statuses
		blame     Blame
		left      int
		uncertain bool
		body      string // what the host has; empty: content
	}{
		{name: "delivered", scripts: []string{chunks + chunkFlight}, want: "2.0.0"},
		{name: "the last line is ended, no dot is added", scripts: []string{chunks + strings.ReplaceAll(chunkFlight, "22", "16")},
			content: "a: b\r\n\r\n.c\n.d", want: "2.0.0", body: "a: b\r\n\r\n.c\r\n.d\r\n"},
		{name: "no PIPELINING: DATA", scripts: []string{greeting("CHUNKING") + plainMail}, want: "2.0.0", body: "Subject: x\r\n\r\n..hello\r\n"},
		{name: "one of two refused", scripts: []string{chunks + twice + "< 250 ok\n< 550 5.1.1 no\n< 250 2.1.5 ok\n< 250 2.0.0 taken"},
			rcpts: two, want: "5.1.1 2.0.0", blame: Recipient},
		{name: "all refused", scripts: []string{chunks + twice + "< 250 ok\n< 550 5.1.1 no\n< 450 4.2.0 no\n< 503 5.5.1 nobody"},
			rcpts: two, want: "5.1.1 4.2.0", blame: Recipient},
		{name: "the sender refused", scripts: []string{chunks + chunkCommands + "< 550 5.7.1 no\n< 503 no\n< 503 no"},
			want: "5.7.1", blame: Mesg},
		{name: "the message refused", scripts: []string{chunks + chunkCommands + "< 250 ok\n< 250 ok\n< 554 5.7.1 spam"},
			want: "5.7.1", blame: Mesg},
		{name: "the message refused for now", scripts: []string{chunks + chunkCommands + "< 250 ok\n< 250 ok\n< 451 4.3.0 later"},
			want: "4.3.0", blame: Mesg},
		{name: "BDAT not known: DATA over a new connection", scripts: []string{chunks + chunkCommands + "< 250 ok\n< 250 ok\n< 502 5.5.1 what\nhang",
			greeting("PIPELINING", "CHUNKING") + flight}, want: "2.0.0", body: "Subject: x\r\n\r\n..hello\r\n"},
		{name: "lost before the first answer: in doubt", scripts: []string{chunks + chunkCommands + "close"},
			want: "4.4.2", blame: Session, uncertain: true},
		{name: "lost before the last answer: in doubt, but for the one refused",
			scripts: []string{chunks + twice + "< 250 ok\n< 250 ok\n< 550 5.1.1 no\nclose"},
			rcpts:   two, want: "4.4.2 5.1.1", blame: Session, uncertain: true},
		{name: "lost when all are refused: no doubt", scripts: []string{chunks + chunkCommands + "< 250 ok\n< 550 5.1.1 no\nclose"},
			want: "5.1.1", blame: Session},
		{name: "421: no doubt", scripts: []string{chunks + chunkCommands + "< 421 4.3.2 going down\nclose"},
			want: "4.3.2", blame: Session, left: 1},
		{name: "nonsense for an answer: in doubt", scripts: []string{chunks + chunkCommands + "< 250 ok\n< 250 ok\n<~ hello\nhang"},
			want: "4.4.2", blame: Session, uncertain: true},
		{name: "lost within the message: no doubt", scripts: []string{chunks + `
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<bob@there.test>
			> BDAT 20022 LAST
			read 100
			close`}, content: content + strings.Repeat("0123456789abcdefgh\r\n", 1000), want: "4.4.2", blame: Session, left: 1},
	}
	for _, tt := range tests {
		for _, split := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, split %v", tt.name, split), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, f := begin(t, tt.scripts...)
					f.split = split
					if tt.content == "" {
						tt.content = content
					}
					if tt.body == "" {
						tt.body = tt.content
					}
					if tt.rcpts == nil {
						tt.rcpts = []string{"bob@there.test"}
					}
					rep := c.Send(t.Context(), hop(), text(tt.content), to(tt.rcpts...))
					c.Close()
					f.wg.Wait()
					if got := statuses(rep); got != tt.want || rep.Blame != tt.blame || rep.Uncertain != tt.uncertain || len(rep.Left) != tt.left {
						t.Errorf("got %s, blame %v, uncertain %v, left %v: %q", got, rep.Blame, rep.Uncertain, rep.Left, rep.Dialogue)
					}
					if len(f.bodies) > 0 && f.bodies[len(f.bodies)-1] != tt.body {
						t.Errorf("the host has %q", f.bodies)
					}
				})
			})
		}
	}
}

// One write and one round trip a message, and the dialogue does not show the content.
func TestChunkOnAKeptConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := begin(t, chunks+chunkFlight+chunkFlight)
		deliver(t, c, hop())
		rep := send(t, c, hop())
		if statuses(rep) != "2.0.0" {
			t.Fatalf("got %+v", rep)
		}
		if d := strings.Join(rep.Dialogue, "\n"); strings.Contains(d, "hello") || !strings.Contains(d, "* message of 22 octets") {
			t.Errorf("the dialogue is %s", d)
		}
		if n := len(f.writes[0]); n != 3 { // EHLO and two messages
			t.Errorf("%d writes: %q", n, f.writes[0])
		}
	})
}

// A kept connection that the host closes is no trouble, and a host that once did not know BDAT is not asked again.
func TestChunkAgain(t *testing.T) {
	tests := []struct {
		name    string
		scripts []string
		sends   int
	}{
		{"closed at the flight", []string{chunks + chunkFlight + chunkCommands + "close", chunks + chunkFlight}, 2},
		{"421 to it", []string{chunks + chunkFlight + chunkCommands + "< 421 idle\nclose", chunks + chunkFlight}, 2},
		{"remembered", []string{chunks + chunkCommands + "< 250 ok\n< 250 ok\n< 500 what\nclose", chunks + flight + flight}, 2},
		{"after a refusal: RSET in the flight", []string{chunks + chunkCommands + "< 250 ok\n< 250 ok\n< 451 4.3.0 later\n> RSET\n" +
			strings.Replace(chunkFlight, "< 250 2.1.0 ok", "< 250 reset\n< 250 2.1.0 ok", 1)}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := begin(t, tt.scripts...)
				var rep Report
				for range tt.sends {
					rep = send(t, c, hop())
				}
				if statuses(rep) != "2.0.0" {
					t.Errorf("got %s: %q", statuses(rep), rep.Dialogue)
				}
			})
		})
	}
}

// A host that stops in the middle is waited for as long as the message may take, and not for ever.
func TestChunkNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := begin(t, chunks+`
			> MAIL FROM:<ann@here.test>
			> RCPT TO:<bob@there.test>
			> BDAT 22022 LAST
			read 100
			wait 2h
			close`)
		began := time.Now()
		rep := c.Send(t.Context(), hop(), text(content+strings.Repeat("0123456789abcdefgh\r\n", 1100)), to("bob@there.test"))
		if statuses(rep) != "4.4.2" || rep.Uncertain || len(rep.Left) != 1 || time.Since(began) > 10*time.Minute {
			t.Errorf("got %s after %v, uncertain %v, left %v", statuses(rep), time.Since(began), rep.Uncertain, rep.Left)
		}
		f.wg.Wait()
	})
}
