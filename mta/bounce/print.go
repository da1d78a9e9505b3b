package bounce

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"signpost/compat/header"
)

const (
	width    = 76  // of a line, where words allow
	maxWord  = 500 // octets of a word, which is cut beyond; a long URL should stay whole
	maxShown = 512 // octets of one value of the original that is shown
)

// printable gives text of others as one line that is safe to show: control characters, and characters that are not
// shown or change how others are, become \x1b or \u{202e}, and octets that are not UTF-8 \xff. Where ascii is set,
// everything outside ASCII does.
func printable(s string, ascii bool) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == utf8.RuneError && n == 1, c < ' ' && c != '\t', c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case c == '\t':
			b.WriteByte(' ')
		case c >= 0x80 && (ascii || !unicode.IsPrint(c)):
			fmt.Fprintf(&b, `\u{%x}`, c)
		default:
			b.WriteRune(c)
		}
		i += n
	}
	return b.String()
}

// cut shortens s to about n octets, not within a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + " [...]"
}

// words parts text into words of at most maxWord octets.
func words(s string) []string {
	var list []string
	for _, w := range strings.Fields(s) {
		for len(w) > maxWord {
			n := maxWord
			for n > maxWord-utf8.UTFMax && !utf8.RuneStart(w[n]) {
				n--
			}
			list = append(list, w[:n])
			w = w[n:]
		}
		list = append(list, w)
	}
	return list
}

// wrap writes text in lines of width, each begun with indent. Nothing is written for text without words.
func wrap(b *bytes.Buffer, indent, text string) {
	column := 0
	for _, w := range words(text) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(w) > width:
			b.WriteString("\r\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(w)
		column += len(w)
	}
	if column > 0 {
		b.WriteString("\r\n")
	}
}

// writeField writes a field, folded (RFC 5322 2.2.3). The value has no line ends; runs of blanks in it become one.
func writeField(b *bytes.Buffer, name, value string) {
	b.WriteString(name + ":")
	column := len(name) + 1
	for i, w := range words(value) {
		if i > 0 && column+1+len(w) > width {
			b.WriteString("\r\n")
			column = 0
		}
		b.WriteString(" " + w)
		column += 1 + len(w)
	}
	b.WriteString("\r\n")
}

// mailbox prints an address of an envelope so that it is one address in a header, whatever it is.
func mailbox(addr, hostname string) string {
	list := header.ParseList("<" + addr + ">")
	if len(list) == 1 && list[0].Err == nil && utf8.ValidString(list[0].Addr) && printable(list[0].Addr, false) == list[0].Addr {
		return "<" + quoteDots(header.Qualify(list[0].Addr, domainText(hostname))) + ">"
	}
	return "undisclosed-recipients:;"
}

// quoteDots quotes a local part whose dots stand where a dot-atom has none (RFC 5322 3.2.3); mailboxes called so exist.
func quoteDots(addr string) string {
	local, domain := header.SplitAddr(addr)
	if strings.HasPrefix(local, `"`) || !strings.Contains("."+local+".", "..") {
		return addr
	}
	return `"` + local + `"@` + domain
}

// domainText prints a host's name so that it can stand in an address.
func domainText(host string) string {
	clean := strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`<>()",;:\@`, c) {
			return -1
		}
		return c
	}, host)
	if clean == "" {
		return "localhost"
	}
	return clean
}

func encodeWords(s string) string { return mime.QEncoding.Encode("utf-8", s) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
