package smtpout

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"signpost/spool"
)

// What a host may say at once. Real replies stay far below; the sum is what a hostile one can make us hold.
const (
	maxReplyLines  = 100
	maxReplyLine   = 2048 // with its end
	maxReplyOctets = 64 << 10
	readBuffer     = 4096 // must be more than maxReplyLine
)

// errNotSMTP is wrapped by the errors for a reply that breaks the rules: the session cannot go on.
var errNotSMTP = errors.New("the reply is not SMTP")

// reply is one reply of the host.
type reply struct {
	code   int
	status spool.Status // class is that of code; subject and detail are 0 unless coded
	coded  bool         // it carried an enhanced code that agrees with code
	text   []byte       // as received, without the line ends, lines joined by \n; valid until the next reply is read
}

func (r reply) ok() bool { return r.code/100 == 2 }

// replyReader reads replies (RFC 5321 4.2).
type replyReader struct {
	br   *bufio.Reader
	text []byte
}

func newReplyReader(r io.Reader) *replyReader {
	return &replyReader{br: bufio.NewReaderSize(r, readBuffer)}
}

// next reads a reply. An error is errNotSMTP, or what reading gave; a connection that ends inside a reply gives
// io.ErrUnexpectedEOF, between two of them io.EOF.
func (r *replyReader) next() (reply, error) {
	r.text = r.text[:0]
	var rep reply
	for n := 1; ; n++ {
		line, err := r.line()
		if err != nil {
			if n > 1 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return reply{}, err
		}
		code, rest, more, ok := splitReplyLine(line)
		if !ok {
			return reply{}, fmt.Errorf("%w: it begins with %q", errNotSMTP, line[:min(len(line), 40)])
		}
		switch {
		case n == 1:
			rep.code, rep.status = code, spool.Status{Class: code / 100}
		case code != rep.code:
			return reply{}, fmt.Errorf("%w: its lines say both %d and %d", errNotSMTP, rep.code, code)
		}
		if s, ok := parseEnhanced(code, rest); ok {
			rep.status, rep.coded = s, true // the last line that has one wins
		}
		if n > 1 {
			r.text = append(r.text, '\n')
		}
		r.text = append(r.text, line...)
		if len(r.text) > maxReplyOctets || more && n == maxReplyLines {
			return reply{}, fmt.Errorf("%w: it is longer than %d lines or %d octets", errNotSMTP, maxReplyLines, maxReplyOctets)
		}
		if !more {
			rep.text = r.text
			return rep, nil
		}
	}
}

// line reads a line without its end. A bare LF is taken for an end too: some hosts never learnt otherwise, and here
// nothing can be smuggled by it.
func (r *replyReader) line() ([]byte, error) {
	line, err := r.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxReplyLine {
		return nil, fmt.Errorf("%w: a line is longer than %d octets", errNotSMTP, maxReplyLine)
	}
	if err == io.EOF && len(line) > 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// waiting reports whether the host has said something that nobody has read yet.
func (r *replyReader) waiting() bool { return r.br.Buffered() > 0 }

// splitReplyLine takes "250-text", "250 text" or "250" apart. more: it is not the last line.
func splitReplyLine(line []byte) (code int, text []byte, more, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, nil, false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, nil, false, true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, nil, false, false
	}
	return code, line[4:], line[3] == '-', true
}

// parseEnhanced reads the enhanced status code that text begins with (RFC 2034). One whose class is not that of the
// reply is none: the code is what the host acts by.
func parseEnhanced(code int, text []byte) (spool.Status, bool) {
	var part [3]int
	rest := text
	for i := range part {
		n := 0
		for n < len(rest) && n < 3 && isDigit(rest[n]) {
			part[i] = part[i]*10 + int(rest[n]-'0')
			n++
		}
		if n == 0 {
			return spool.Status{}, false
		}
		rest = rest[n:]
		if i < 2 {
			if len(rest) == 0 || rest[0] != '.' {
				return spool.Status{}, false
			}
			rest = rest[1:]
		}
	}
	s := spool.Status{Class: part[0], Subject: part[1], Detail: part[2]}
	if len(rest) > 0 && rest[0] != ' ' && rest[0] != '\t' || s.Class != code/100 || text[1] != '.' {
		return spool.Status{}, false
	}
	return s, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// ours makes s a status that may stand in a Result: 4.4.7 is what the scheduler alone says.
func ours(s spool.Status) spool.Status {
	if s == spool.StatusExpired {
		s.Detail = 0
	}
	return s
}
