package intake

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"signpost/compat/header"
	"signpost/spool"
)

// stamp is what completing a header takes besides the header.
type stamp struct {
	id       spool.ID
	hostname string
	origin   string
	login    string // the caller's, fit for a header; uid1234 where none is known
	uid      int
	at       time.Time    // when it was handed in: Date
	now      time.Time    // when it was taken: Received
	from     header.Field // the From to be added where there is none
	senders  *rewriter
}

// completed is a header ready to be sent.
type completed struct {
	head  []byte // with the empty line at its end
	hops  int    // Received fields it came with
	msgid string // value of Message-ID
	from  string // value of From
}

// fromAside is the name that a second From gets: RFC 5322 3.6 allows one, receivers refuse more, and a signature would
// speak of one while a reader shows the other.
const fromAside = "X-Original-From"

// dateForm is the date-time of RFC 5322 3.3.
const dateForm = "Mon, 2 Jan 2006 15:04:05 -0700"

// complete takes out what is never sent, adds what must be there (RFC 5322 3.6, sendmail-cli.md 6), puts the origin
// behind bare names and rewrites senders. Everything else stays octet for octet and in its order.
func complete(fields header.Header, s stamp) completed {
	kept, hops := keep(fields, s.origin)
	before, after := missing(kept, s)
	for _, part := range [...]header.Header{before, kept, after} {
		s.senders.header(part)
	}
	c := completed{
		hops:  hops,
		msgid: cmp.Or(kept.Value("Message-ID"), after.Value("Message-ID")),
		from:  cmp.Or(kept.Value("From"), after.Value("From")),
	}
	c.head = s.received()
	c.head = before.Append(c.head)
	c.head = kept.Append(c.head)
	c.head = after.Append(c.head)
	c.head = append(c.head, "\r\n"...)
	return c
}

// keep gives the fields that stay, and counts the Received fields.
func keep(fields header.Header, origin string) (kept header.Header, hops int) {
	kept = make(header.Header, 0, len(fields))
	from := "" // value of the first From
	for _, f := range fields {
		if header.NeverSent(f.Name) || replaced(f) {
			continue
		}
		switch {
		case f.Is("Received"):
			hops++
		case f.Is("From") && from == "":
			from = f.Value()
		case f.Is("From") && from == f.Value():
			continue
		case f.Is("From"):
			f.Name = fromAside
		}
		if header.Addresses(f.Name) {
			f = header.QualifyField(f, origin)
		}
		kept = append(kept, f)
	}
	return kept, hops
}

// replaced reports whether f is one of the fields that are added and says nothing: it counts as missing.
func replaced(f header.Field) bool {
	for _, name := range [...]string{"From", "Date", "Message-ID", "Resent-From", "Resent-Date", "Resent-Message-ID"} {
		if f.Is(name) {
			return f.Value() == ""
		}
	}
	return false
}

// missing gives the fields to be added: those of a resent message before the others, where the latest of its blocks
// stands (RFC 5322 3.6.6), the usual ones behind them.
func missing(h header.Header, s stamp) (before, after header.Header) {
	date := s.at.Format(dateForm)
	if resent(h) {
		before = add(before, h, header.New("Resent-Date", date))
		before = add(before, h, header.Field{Name: "Resent-From", Body: s.from.Body})
		before = add(before, h, header.New("Resent-Message-ID", "<"+string(s.id)+".r@"+s.hostname+">"))
	}
	after = add(after, h, header.New("Date", date))
	after = add(after, h, s.from)
	if !h.Has("To", "Cc", "Resent-To", "Resent-Cc") {
		after = append(after, header.New("To", "undisclosed-recipients:;"))
	}
	after = add(after, h, header.New("Message-ID", "<"+string(s.id)+".m@"+s.hostname+">"))
	return before, after
}

func add(to, h header.Header, f header.Field) header.Header {
	if h.Has(f.Name) {
		return to
	}
	return append(to, f)
}

func resent(h header.Header) bool {
	const prefix = "Resent-"
	for _, f := range h {
		if len(f.Name) > len(prefix) && strings.EqualFold(f.Name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// received is the trace field (RFC 5321 4.4). It never names a recipient: some of them may be hidden.
func (s stamp) received() []byte {
	return fmt.Appendf(nil, "Received: (from %s@localhost; uid %d)\r\n\tby %s id %s;\r\n\t%s\r\n",
		s.login, s.uid, s.hostname, s.id, s.now.Format(dateForm))
}
