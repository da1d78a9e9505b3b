package header

import (
	"bytes"
	"slices"
)

// maxHeldCR bounds how many CRs before a line end are left out; more become blanks.
const maxHeldCR = 4096

// Normalizer puts content that comes in pieces into its normal form:
//
//   - LF ends a line, with all CRs directly before it, and becomes CRLF;
//   - a CR elsewhere becomes one blank, so that no reader down the line can take it for a line end;
//   - NUL is left out and counted (RFC 5322 forbids it);
//   - a last line without a line end gets one. Content without an octet stays empty.
//
// What comes out does not depend on how the content was cut into pieces, and putting it through again changes nothing.
// The zero value is ready. Not for several goroutines.
type Normalizer struct {
	// EndAtDot ends the content at a line that is just ".", which is left out (sendmail without -i).
	EndAtDot bool
	// NULs counts the octets of value 0 left out so far.
	NULs int

	line  lineState
	crs   int
	ended bool
}

// lineState says what there is of the current line.
type lineState uint8

const (
	lineEmpty lineState = iota
	lineDot             // just ".", held back, as it may be the end
	lineText
)

// Ended reports whether the line that ends the content has been seen. What comes behind it is ignored.
func (n *Normalizer) Ended() bool { return n.ended }

// Append appends the normal form of the next piece to dst. At most twice the length of src and a little is appended.
func (n *Normalizer) Append(dst, src []byte) []byte {
	dst = slices.Grow(dst, len(src)+len(src)/32)
	for len(src) > 0 && !n.ended {
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			return n.text(dst, src)
		}
		dst = n.lineEnd(n.text(dst, src[:i]))
		src = src[i+1:]
	}
	return dst
}

// Close appends what the end of the content asks for.
func (n *Normalizer) Close(dst []byte) []byte {
	if n.ended {
		return dst
	}
	if n.line == lineDot && n.crs == 0 {
		n.ended = true
		return dst
	}
	dst = n.release(dst)
	if n.line == lineEmpty {
		return dst
	}
	return n.lineEnd(dst)
}

// text takes a part of a line, without the LF. CRs at its end are only counted: the next octet decides about them.
func (n *Normalizer) text(dst, s []byte) []byte {
	middle := bytes.TrimRight(s, "\r")
	if len(middle) > 0 {
		dst = n.middle(dst, middle)
	}
	n.crs += len(s) - len(middle)
	if n.crs > maxHeldCR {
		over := n.crs - maxHeldCR
		n.crs = 0
		dst = blanks(n.release(dst), over)
		n.line, n.crs = lineText, maxHeldCR
	}
	return dst
}

// middle takes a part of a line that does not end in CR and is not empty.
func (n *Normalizer) middle(dst, s []byte) []byte {
	if n.EndAtDot && n.line == lineEmpty && n.crs == 0 && len(s) == 1 && s[0] == '.' {
		n.line = lineDot
		return dst
	}
	dst = n.release(dst)
	n.line = lineText
	if bytes.IndexByte(s, '\r') < 0 && bytes.IndexByte(s, 0) < 0 {
		return append(dst, s...)
	}
	for _, c := range s {
		switch c {
		case 0:
			n.NULs++
		case '\r':
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// release lets go of what was held back, as it turned out to be text.
func (n *Normalizer) release(dst []byte) []byte {
	if n.line == lineDot {
		dst = append(dst, '.')
		n.line = lineText
	}
	if n.crs > 0 {
		dst = blanks(dst, n.crs)
		n.line, n.crs = lineText, 0
	}
	return dst
}

func (n *Normalizer) lineEnd(dst []byte) []byte {
	n.crs = 0
	if n.line == lineDot {
		n.ended = true
		return dst
	}
	n.line = lineEmpty
	return append(dst, '\r', '\n')
}

func blanks(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, ' ')
	}
	return dst
}
