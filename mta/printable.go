package mta

import (
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// PrintableJSON passes JSON on to w, with what a terminal might obey or show as something else written as \uXXXX: the
// packages that make JSON leave DEL, the control characters above it and those that turn the order of writing round
// as they are. Each Write must be a whole document, or several; it is one Write of w.
func PrintableJSON(w io.Writer) io.Writer { return printableJSON{w} }

type printableJSON struct{ w io.Writer }

func (p printableJSON) Write(doc []byte) (int, error) {
	out := doc
	for i := 0; i < len(doc); {
		if doc[i] < 0x7f { // all that is not text is here, and control characters are escaped already
			i++
			continue
		}
		// Once is enough for most: the rest is looked at anew only where something was found.
		if r, n := utf8.DecodeRune(doc[i:]); unicode.IsPrint(r) {
			i += n
			continue
		}
		out = escapeFrom(doc, i)
		break
	}
	if _, err := p.w.Write(out); err != nil {
		return 0, err
	}
	return len(doc), nil
}

// escapeFrom copies doc and escapes what is not printable from octet i on.
func escapeFrom(doc []byte, i int) []byte {
	out := append(make([]byte, 0, len(doc)+64), doc[:i]...)
	for i < len(doc) {
		r, n := utf8.DecodeRune(doc[i:])
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			out = append(out, doc[i:i+n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}
