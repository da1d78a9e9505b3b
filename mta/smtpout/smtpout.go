// Package smtpout hands one message to one host over SMTP and reports a result a recipient.
//
// Send is the whole face of the package: it finds an open connection to the host or makes one, gives the message to it
// in as few round trips as the host allows, and says for each recipient what became of it and, over all, who is to
// blame. It reads the message in its wire form and changes nothing but what the protocol asks for: dots are stuffed, the
// last line is ended, and no CR or LF leaves alone. 8-bit content goes out as it is, also to a host that does not offer
// 8BITMIME; who wants it converted must give it converted.
//
// The host is hostile until proven otherwise: every reply is bounded in lines and octets, every step in time, the body
// by a minimum rate as well, and nothing of an address can become a parameter or a command.
//
// The package leaves to others: which hosts to try and how safe the way must be (route), signatures (sign), when to try
// again and how much at once (queue).
package smtpout

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"signpost/mta/route"
	"signpost/spool"
)

// Client sends messages and keeps connections open for a moment, in case more follow. Set the fields before the first
// Send. Zero values but that of Dial work. Safe for concurrent use.
type Client struct {
	// Hostname is what we call ourselves in EHLO: a fully qualified name. Empty: the literal of the connection's own
	// address.
	Hostname string
	// Dial makes all connections, with a context that comes from Send's. It must be set: this package has no way of its
	// own to the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Roots are the authorities believed where route.Verify is asked for; nil: those of the system.
	Roots *x509.CertPool
	// Timeouts bound each step.
	Timeouts Timeouts
	// MinRate is how many octets of body a second a host must take on average, or it is left; 0: 1024.
	MinRate int64

	bodies    sync.Pool // of *bodyBuffers
	idle      pool
	plainData hosts // that offer CHUNKING and do not know BDAT
}

// Timeouts bound the steps of a session. Zero values are the defaults, which are those of RFC 5321 4.5.3.2 where it
// names one.
type Timeouts struct {
	Connect  time.Duration // to make a connection to one address: 30 s; all addresses of a hop: four times that
	Greeting time.Duration // greeting, EHLO, STARTTLS and its handshake, all together: 5 min
	Mail     time.Duration // MAIL or RSET: 5 min
	Rcpt     time.Duration // each RCPT: 5 min
	Data     time.Duration // DATA: 2 min
	Block    time.Duration // each block of the body to be taken: 3 min
	Dot      time.Duration // the final dot: 10 min
	Idle     time.Duration // how long an open connection is kept for the next message: 5 s
	Session  time.Duration // a whole transaction, beside what the body may take by Client.MinRate: 1 h
}

func (t Timeouts) filled() Timeouts {
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&t.Connect, 30*time.Second)
	def(&t.Greeting, 5*time.Minute)
	def(&t.Mail, 5*time.Minute)
	def(&t.Rcpt, 5*time.Minute)
	def(&t.Data, 2*time.Minute)
	def(&t.Block, 3*time.Minute)
	def(&t.Dot, 10*time.Minute)
	def(&t.Idle, 5*time.Second)
	def(&t.Session, time.Hour)
	return t
}

// Message is what is to be sent.
type Message struct {
	Sender   string // reverse-path without brackets; empty is the null reverse-path
	Size     int64  // octets that Open yields; 0: not known, none is declared
	EightBit bool   // the content has octets over 127
	Ret      string // RFC 3461 4.3: "FULL", "HDRS" or empty
	EnvID    string // RFC 3461 4.4, decoded; empty: none
	// Open gives the wire form: lines ended by CRLF, dots not stuffed. It is called at most once a transaction, when
	// what the host offers is known, and not at all when none is made.
	Open func() (io.ReadCloser, error)
}

// Blame says what a failure speaks of, and so what is to be done about it.
type Blame uint8

// The four that can be to blame, and nobody. (Message is the name of a type.)
const (
	None      Blame = iota // all recipients were delivered, or it was we who broke it off
	Recipient              // some were refused; final for this attempt
	Mesg                   // the host refused the message, not a recipient; final for this attempt
	Session                // the connection broke or made no sense: try the next hop
	Host                   // the host does not want to talk to us, or not safely enough: try the next hop
)

func (b Blame) String() string {
	return [...]string{"none", "recipient", "message", "session", "host"}[b]
}

// Report is what Send did.
type Report struct {
	// Results are those of the recipients, in their order.
	Results []spool.Result
	// Blame is who is to blame for what was not delivered. Where it is several, it is the last of the constants.
	Blame Blame
	// Left are the recipients (indexes) that the next hop may be tried for at once, now that Session or Host is to
	// blame. Who is not in it was delivered, was refused, or is in doubt, and must not be sent to the next hop. The
	// Result of those in it is temporary, whatever the host said.
	Left []int
	// Uncertain is set where the connection was lost behind the final dot: the host may have taken the message
	// (RFC 1047). Those recipients are deferred with 4.4.2, as a second copy is better than none.
	Uncertain bool
	// TLS is the Result.TLS of the session, empty in clear.
	TLS string
	// TLSError is why TLS was given up for clear text (Opportunistic only); nil otherwise.
	TLSError error
	// Connect is how long it took until a connection was ready for MAIL; next to nothing for a kept one.
	Connect time.Duration
	// Transmit is the time from there to the end.
	Transmit time.Duration
	// Dialogue is what was said, without the body: ">" before our lines, "<" before the host's, "*" before notes.
	// Text of the host is verbatim. It is bounded; where lines are left out, a note says so.
	Dialogue []string
}

// Send hands m to hop for rcpts (of kind Address; Recipient.Sender is ignored, the reverse-path is m's) and closes what
// it opened of m. More recipients than a transaction may have are sent in several over the same connection. Cancelling
// ctx closes the connection; who was not delivered is then deferred.
func (c *Client) Send(ctx context.Context, hop route.Hop, m Message, rcpts []spool.Recipient) Report {
	a := newAttempt(c, hop, m, rcpts)
	defer a.closeBody()
	for a.more() {
		began := time.Now()
		cn, trouble := a.connect(ctx)
		a.report.Connect += time.Since(began)
		if trouble != nil {
			a.stop(ctx, trouble)
			break
		}
		began = time.Now()
		a.converse(ctx, cn)
		a.report.Transmit += time.Since(began)
	}
	return a.finish()
}

// Close ends the connections that are kept. A Send after it works, but keeps none.
func (c *Client) Close() error {
	c.idle.close()
	return nil
}

// poolKey names connections that may stand for each other.
type poolKey struct {
	host string
	addr netip.AddrPort
	need route.Security
}
