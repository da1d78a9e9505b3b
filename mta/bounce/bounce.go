// Package bounce composes delivery status notifications.
//
// Write makes one notice: a multipart/report (RFC 6522) of a text for people, a message/delivery-status for programs
// (RFC 3464) and what may be returned of the original. It is pure: the same Notice and original give the same octets,
// and nothing but w and original is touched.
//
// What it is made from is hostile: the original, and the replies of other hosts. No line of the notice, no field and
// no boundary can come from them; control characters, and signs that change how text is shown, are printed as \x1b or
// \u{202e}. Lines end in CRLF and have at most 998 octets, whatever the original had.
//
// Whether anybody is to be told, and whom, is decided by the caller; so are the notice's envelope (a null reverse-path)
// and its id.
package bounce

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"signpost/compat/header"
	"signpost/spool"
)

// Kind is what a notice speaks of.
type Kind uint8

// The kinds of a notice.
const (
	Failure Kind = iota // recipients that will not get the message: to its sender
	Delay               // recipients that did not get it yet, but still may: to its sender
	Double              // recipients that will not get a message without a sender: to the postmaster
)

// DefaultMaxOriginal is how much of an original is returned where the notice does not say, in octets.
const DefaultMaxOriginal = 64 << 10

// Notice is what a notification is to say.
type Notice struct {
	Kind       Kind
	ID         spool.ID // of the message that it speaks of
	To         string   // who is told; without brackets
	Hostname   string   // of this host, in A-labels
	Postmaster string   // address of the person to ask; completed with Hostname
	Envelope   spool.Envelope
	Rcpts      []int     // those of Envelope.Rcpts that it speaks of; at least one
	Until      time.Time // of a delay: when the message will be given up; zero: not known
	Now        time.Time // date of the notice
	// MaxOriginal bounds what is returned of the original, in octets, and the memory that takes. Larger messages are
	// returned as their header only. Zero is DefaultMaxOriginal.
	MaxOriginal int
}

// Write writes the notice, header and body, with CRLF line ends. original is the content of the message that it speaks
// of. The Message-ID is the same for each notice of the same kind about the same recipients. An error is of original,
// of w, or says that n has no recipients.
func Write(w io.Writer, n Notice, original io.Reader) error {
	r, err := newReport(n)
	if err != nil {
		return err
	}
	if r.original, err = readOriginal(original, r.maxOriginal(), n.wholeWanted()); err != nil {
		return fmt.Errorf("reading the message to be returned: %w", err)
	}
	_, err = w.Write(r.compose())
	return err
}

// wholeWanted reports whether the body is to be returned too (RFC 3461 4.3: only of failures, and not with RET=HDRS).
func (n Notice) wholeWanted() bool {
	return n.Kind != Delay && !strings.EqualFold(n.Envelope.Ret, "HDRS")
}

// report is a notice in the making.
type report struct {
	Notice
	rcpts    []spool.Recipient
	to       string // To, as it stands in a header
	global   bool   // the notice needs SMTPUTF8 anyway, as its own recipient does
	original original
}

func newReport(n Notice) (*report, error) {
	r := &report{Notice: n}
	for _, i := range n.Rcpts {
		if i < 0 || i >= len(n.Envelope.Rcpts) {
			return nil, fmt.Errorf("the notice speaks of recipient %d of %d", i, len(n.Envelope.Rcpts))
		}
		r.rcpts = append(r.rcpts, n.Envelope.Rcpts[i])
	}
	if len(r.rcpts) == 0 {
		return nil, fmt.Errorf("the notice speaks of no recipient")
	}
	r.to = mailbox(n.To, n.Hostname)
	r.global = !isASCII(r.to)
	return r, nil
}

func (r *report) maxOriginal() int {
	if r.MaxOriginal > 0 {
		return r.MaxOriginal
	}
	return DefaultMaxOriginal
}

// part is one part of the report.
type part struct {
	contentType string
	description string
	encoding    string // of the content as it stands here
	content     []byte // ends in CRLF
}

// compose puts the notice together.
func (r *report) compose() []byte {
	parts := []part{r.textPart(), r.statusPart(), r.original.part()}
	encoding := "7bit"
	for _, p := range parts {
		if p.encoding == "8bit" {
			encoding = "8bit"
		}
	}
	boundary := r.boundary(parts)
	var b bytes.Buffer
	r.writeHeader(&b, boundary, encoding)
	b.WriteString("\r\nThis is a report in MIME format.\r\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\n", boundary, p.contentType, p.description)
		fmt.Fprintf(&b, "Content-Transfer-Encoding: %s\r\n\r\n", p.encoding)
		b.Write(p.content)
	}
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes()
}

// boundary finds a boundary that stands in no part: the original may have been written by someone who guessed it.
func (r *report) boundary(parts []part) string {
next:
	for try := 0; ; try++ {
		// "=_" never stands in quoted-printable text (RFC 2045 6.7).
		boundary := "=_" + r.digest(fmt.Sprintf("boundary %d", try))
		for _, p := range parts {
			if bytes.Contains(p.content, []byte(boundary)) {
				continue next
			}
		}
		return boundary
	}
}

// digest makes a name that belongs to this notice.
func (r *report) digest(of string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%d", of, r.ID, r.Kind, r.To, r.Rcpts))
	return hex.EncodeToString(sum[:12])
}

func (r *report) writeHeader(b *bytes.Buffer, boundary, encoding string) {
	host := domainText(r.Hostname)
	writeField(b, "Date", r.Now.Format(time.RFC1123Z))
	writeField(b, "From", "Mail Delivery System <MAILER-DAEMON@"+host+">")
	writeField(b, "To", r.to)
	writeField(b, "Subject", encodeWords(r.subject()))
	writeField(b, "Message-ID", "<"+string(r.ID)+"."+r.digest("message-id")+"@"+host+">")
	if id := r.original.messageID(); id != "" {
		writeField(b, "In-Reply-To", id)
		writeField(b, "References", id)
	}
	automatic := "auto-replied" // RFC 3834 5
	if r.Kind == Double {
		automatic = "auto-generated"
	}
	writeField(b, "Auto-Submitted", automatic)
	writeField(b, "MIME-Version", "1.0")
	writeField(b, "Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	writeField(b, "Content-Transfer-Encoding", encoding)
}

func (r *report) subject() string {
	what := [...]string{Failure: "Undelivered mail: ", Delay: "Delayed mail: ", Double: "Undeliverable notice: "}[r.Kind]
	s := what + printable(cut(r.written(r.rcpts[0]), maxShown), false)
	if more := len(r.rcpts) - 1; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// written is the address of a recipient as the sender wrote it.
func (r *report) written(rcpt spool.Recipient) string {
	if rcpt.Original != "" {
		return rcpt.Original
	}
	return r.final(rcpt)
}

// final is the address at which delivery ended. What is behind an alias, a command or a file, is nobody's business.
func (r *report) final(rcpt spool.Recipient) string {
	switch {
	case rcpt.Kind == spool.Address || rcpt.Kind == spool.Mailbox:
		return header.Qualify(rcpt.Addr, r.Hostname)
	case rcpt.Original != "":
		return rcpt.Original
	}
	return "postmaster@" + r.Hostname
}
