package stage

import (
	"slices"
	"strings"
)

// Step is a point in a session where an exchanger can be told to misbehave.
type Step string

// The steps. Those that are verbs happen when the command has been read and not yet been answered.
const (
	Connect   Step = "CONNECT" // before the greeting; a reply here is the greeting
	Ehlo      Step = "EHLO"
	Helo      Step = "HELO"
	StartTLS  Step = "STARTTLS"
	Handshake Step = "HANDSHAKE" // behind the 220 of STARTTLS, in place of the handshake
	Mail      Step = "MAIL"
	Rcpt      Step = "RCPT"
	Data      Step = "DATA"
	Bdat      Step = "BDAT"
	Body      Step = "BODY" // in the middle of the content; see Fault.After
	End       Step = "END"  // the whole message has been read: the final dot, or BDAT LAST
	Rset      Step = "RSET"
	Noop      Step = "NOOP"
	Quit      Step = "QUIT"
)

// Fault is something an exchanger does in place of what is right. The first that matches is played.
//
// With neither Reply, Raw nor Close it only waits at the gate and goes on as if nothing were wrong.
type Fault struct {
	At    Step
	For   string // MAIL: the sender; RCPT: the recipient; DATA, BDAT, BODY, END: one of either; empty: any
	Conn  int    // only on this connection, counted from 1; 0: on any
	Skip  int    // matches let pass before it is played
	Times int    // how often it is played; 0: always
	After int    // for BODY: after this many octets of the content as received

	Wait  *Gate  // where to wait first
	Reply string // the answer: lines separated by \n, without CR
	Raw   string // the answer octet for octet, in place of Reply
	Close bool   // then the connection is closed, without an answer where none is given
}

func (f *Fault) octets() string {
	if f.Raw != "" || f.Reply == "" {
		return f.Raw
	}
	return lines(f.Reply)
}

// lines gives each line of text its CRLF.
func lines(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") + "\r\n" }

func (f *Fault) speaks() bool { return f.Raw != "" || f.Reply != "" || f.Close }

// play is a Fault and how often it has matched.
type play struct {
	Fault
	seen int
}

func (p *play) matches(step Step, conn int, who []string) bool {
	if p.At != step || p.Conn != 0 && p.Conn != conn {
		return false
	}
	if p.For != "" && !slices.ContainsFunc(who, func(w string) bool { return strings.EqualFold(w, p.For) }) {
		return false
	}
	p.seen++
	return p.seen > p.Skip && (p.Times == 0 || p.seen <= p.Skip+p.Times)
}
