package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// content reads a message behind DATA: up to the lone dot, with the dots taken out that the client put before others
// (RFC 5321 4.5.2). Line ends stay as they are.
//
// Its first line decides what a line end is. Where it ends in CRLF only CRLF counts: a client that ends its lines
// in CRLF looks behind CRLF alone for dots to protect, so a lone dot between LFs in a text that somebody gave it must
// not end the message, or that text could go on with commands. Where the first line ends in LF both count.
type content struct {
	in     *bufio.Reader
	form   form
	inside bool   // the next octet does not begin a line
	cr     bool   // the last octet was a CR
	rest   []byte // read and not yet given out; part of the buffer of in
	err    error  // io.EOF behind the lone dot
}

// form is how the lines of a message end.
type form uint8

const (
	unknown form = iota
	crlf
	anyLF
)

// Read gives io.ErrUnexpectedEOF where the input ends before the message.
func (c *content) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.next()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next takes a line, or what of it fits into the buffer.
func (c *content) next() {
	piece, err := c.in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		c.err = io.ErrUnexpectedEOF
		return
	case err != nil && !errors.Is(err, bufio.ErrBufferFull):
		c.err = err
		return
	}
	if !c.inside && piece[0] == '.' {
		if string(piece) == ".\r\n" || string(piece) == ".\n" && c.form != crlf {
			c.err = io.EOF
			return
		}
		piece = piece[1:]
	}
	c.rest = piece
	c.lineEnd(piece)
}

// lineEnd notes how a piece ends. What is left of a piece whose dot was taken out may be empty.
func (c *content) lineEnd(piece []byte) {
	lf := bytes.HasSuffix(piece, []byte("\n"))
	withCR := lf && (bytes.HasSuffix(piece, []byte("\r\n")) || len(piece) == 1 && c.cr)
	if lf && c.form == unknown {
		c.form = anyLF
		if withCR {
			c.form = crlf
		}
	}
	c.inside = !lf || c.form == crlf && !withCR
	c.cr = bytes.HasSuffix(piece, []byte("\r"))
}

// drain reads what is left of a message that was refused.
func (c *content) drain() error {
	for c.err == nil {
		c.next()
	}
	c.rest = nil
	if c.err == io.EOF {
		return nil
	}
	return c.err
}
