// Package header reads header fields and address lists as mail programs write them, and prints them safely.
//
// Content is first put into its normal form (Normalizer): CRLF line ends, no other CR or LF, no NUL, a line end at
// the end. A Splitter, or Read, parts it into a Header and a body. Fields are kept octet for octet, so that what is not
// changed on purpose goes out as it came. Address lists are read leniently, as sendmail(8) and its successors read
// them, and what comes out is an address that can stand in an SMTP command.
//
// All input is hostile: sizes are limited (MaxBlock, MaxFields, MaxField, MaxAddress), time is linear, nothing panics.
// The package decides nothing about policy: which fields are added, and what becomes of a bad address, is up to the
// callers. It does not link net, which net/mail would.
package header

import (
	"errors"
	"strings"
)

// Limits of what is read. Beyond them the message is refused, not cut.
const (
	MaxBlock   = 1 << 20   // octets of a header, CRLF line ends counted as two
	MaxFields  = 1000      // fields of a header
	MaxField   = 512 << 10 // octets of one field with its folded lines
	MaxAddress = 320       // octets of an address (RFC 5321 4.5.3.1: 64, "@", 255)
)

// Errors that say which limit was passed.
var (
	ErrBlock  = errors.New("the header is larger than 1 MiB")
	ErrFields = errors.New("the header has more than 1000 fields")
	ErrField  = errors.New("a header field is larger than 512 KiB")
)

// Field is one header field.
type Field struct {
	Name string // as written, printable ASCII, without the blanks that stood before the colon
	Body string // what stands behind the colon, folded as it came; ends in CRLF
}

// New makes a field of one line. Control characters of value, line ends among them, become blanks: a value cannot
// add a field. Long values are not folded.
func New(name, value string) Field {
	return Field{Name: name, Body: " " + OneLine(value) + "\r\n"}
}

// OneLine puts one blank in place of each run of control characters, so that s can stand in a field.
func OneLine(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	var b strings.Builder
	run := false
	for i := range len(s) {
		c := s[i]
		switch {
		case !isControl(rune(c)):
			b.WriteByte(c)
			run = false
		case !run:
			b.WriteByte(' ')
			run = true
		}
	}
	return b.String()
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// Is reports whether f has this name, in any case of letters.
func (f Field) Is(name string) bool { return strings.EqualFold(f.Name, name) }

// Value is the body of f unfolded (RFC 5322 2.2.3), without the white space around it.
func (f Field) Value() string {
	v := strings.Trim(f.Body, " \t\r\n")
	if !strings.ContainsAny(v, "\r\n") {
		return v
	}
	var b strings.Builder
	for i := range len(v) {
		if v[i] != '\r' && v[i] != '\n' {
			b.WriteByte(v[i])
		}
	}
	return b.String()
}

// Append appends f as it stands in a message.
func (f Field) Append(dst []byte) []byte {
	dst = append(dst, f.Name...)
	dst = append(dst, ':')
	return append(dst, f.Body...)
}

func (f Field) String() string { return f.Name + ":" + f.Body }

// Header is the fields of a message in their order.
type Header []Field

// Get gives the first field of this name.
func (h Header) Get(name string) (Field, bool) {
	for _, f := range h {
		if f.Is(name) {
			return f, true
		}
	}
	return Field{}, false
}

// Value is the value of the first field of this name; empty where there is none.
func (h Header) Value(name string) string {
	f, _ := h.Get(name)
	return f.Value()
}

// Has reports whether there is a field of any of these names, be it empty.
func (h Header) Has(names ...string) bool {
	for _, f := range h {
		for _, name := range names {
			if f.Is(name) {
				return true
			}
		}
	}
	return false
}

// Append appends all fields, without the empty line that ends a header.
func (h Header) Append(dst []byte) []byte {
	for _, f := range h {
		dst = f.Append(dst)
	}
	return dst
}

// NeverSent reports whether fields of this name are left out of every message handed in: those that would tell
// hidden recipients (RFC 5322 3.6.3), and those that only final delivery may set.
func NeverSent(name string) bool {
	return oneOf(name, "Bcc", "Resent-Bcc", "Return-Path", "Content-Length")
}

// Addresses reports whether bare names in fields of this name are completed with the origin.
func Addresses(name string) bool {
	if len(name) > len(resent) && strings.EqualFold(name[:len(resent)], resent) {
		name = name[len(resent):]
	}
	return oneOf(name, "From", "Sender", "Reply-To", "To", "Cc")
}

const resent = "Resent-"

func oneOf(name string, names ...string) bool {
	for _, n := range names {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return false
}
