package smtpout

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of RFC 5321 4.5.3.1 and RFC 3461 4. Local parts over 64 octets are common (VERP), so that only the whole counts.
const (
	maxAddress = 320
	maxDomain  = 255
	maxORCPT   = 500
	maxEnvID   = 100
)

// Why an address cannot be printed into a command.
var (
	errLong    = errors.New("the address is longer than 320 octets")
	errControl = errors.New("the address has a control character or is not UTF-8")
	errLocal   = errors.New("the part before the @ is neither a name nor a quoted string")
	errDomain  = errors.New("the domain is not one")
)

// path is an address that may stand between the brackets of MAIL or RCPT.
type path struct {
	text string
	utf8 bool // the host must know SMTPUTF8 to take it
}

// parsePath makes addr (without brackets; empty is the null reverse-path) one that can mean nothing but this mailbox to
// the host: parted at the last @, without control characters, blanks outside quotes or brackets, the local part quoted
// where RFC 5321 4.1.2 asks for it. Where only the domain is not ASCII it becomes A-labels, and SMTPUTF8 is not needed.
func parsePath(addr string) (path, error) {
	if addr == "" {
		return path{}, nil
	}
	if len(addr) > maxAddress {
		return path{}, errLong
	}
	if !printable(addr) {
		return path{}, errControl
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		if strings.EqualFold(addr, "postmaster") { // RFC 5321 4.5.1
			return path{text: addr}, nil
		}
		return path{}, errDomain
	}
	local, err := localPart(addr[:at])
	if err != nil {
		return path{}, err
	}
	need := !isASCII(local)
	domain, err := domainPart(addr[at+1:], need)
	if err != nil {
		return path{}, err
	}
	if local == addr[:at] && domain == addr[at+1:] {
		return path{addr, need}, nil // the usual case costs nothing
	}
	return path{local + "@" + domain, need}, nil
}

// printable reports whether s is UTF-8 without control characters, those of U+0080 to U+009F and the line and paragraph
// separators included.
func printable(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return false
		}
		i += n
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isAtext reports whether c may stand in a name without quotes (RFC 5322 3.2.3, RFC 6531 3.3).
func isAtext(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c >= utf8.RuneSelf ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// localPart gives a Dot-string or Quoted-string. What is already one stays as it is. A name with misplaced dots or a
// character like ( or , is quoted; one with a blank, bracket or @ is refused, as it looks like an attempt to end the path.
func localPart(s string) (string, error) {
	if s == "" {
		return "", errLocal
	}
	if s[0] == '"' {
		if !isQuoted(s) {
			return "", errLocal
		}
		return s, nil
	}
	if isDotString(s) {
		return s, nil
	}
	if strings.ContainsAny(s, " \"<>@\\") {
		return "", errLocal
	}
	return `"` + s + `"`, nil
}

func isDotString(s string) bool {
	last := byte('.')
	for i := range len(s) {
		if s[i] == '.' && last == '.' || s[i] != '.' && !isAtext(s[i]) {
			return false
		}
		last = s[i]
	}
	return last != '.'
}

// isQuoted reports whether s is one whole Quoted-string. Control characters are not looked for.
func isQuoted(s string) bool {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return false
	}
	inner := s[1 : len(s)-1]
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return false
		case '\\':
			// Only what stands in ASCII may be escaped; the last backslash would escape the closing quote.
			if i++; i == len(inner) || inner[i] >= utf8.RuneSelf {
				return false
			}
		}
	}
	return true
}

// domainPart gives a domain or address literal. keep: the host will be told SMTPUTF8 anyway, U-labels may stay.
func domainPart(s string, keep bool) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if !keep && !isASCII(s) {
		a, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", errDomain
		}
		s = a
	}
	if len(s) > maxDomain || !isDomain(s) && !isLiteral(s) {
		return "", errDomain
	}
	return s, nil
}

// isDomain is wider than RFC 5321: labels may have underscores and hyphens anywhere, as met in DNS.
func isDomain(s string) bool {
	last := byte('.')
	for i := range len(s) {
		c := s[i]
		name := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '-' || c == '_' || c >= utf8.RuneSelf
		if !name && (c != '.' || last == '.') {
			return false
		}
		last = c
	}
	return last != '.'
}

func isLiteral(s string) bool {
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return false
	}
	return strings.IndexFunc(s[1:len(s)-1], func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`[]\<>@`, r)
	}) < 0
}

// appendXtext appends s as xtext (RFC 3461 4): nothing that can end the parameter goes out as it is.
func appendXtext(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b = append(b, c)
		} else {
			b = append(b, '+', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

const hexDigits = "0123456789ABCDEF"

// appendUTF8Xtext appends s, which is UTF-8, as utf-8-addr-xtext (RFC 6533 3).
func appendUTF8Xtext(b []byte, s string) []byte {
	for _, r := range s {
		if r > ' ' && r < 0x7f && r != '+' && r != '=' && r != '\\' {
			b = append(b, byte(r))
			continue
		}
		b = fmt.Appendf(b, `\x{%02X}`, r)
	}
	return b
}
