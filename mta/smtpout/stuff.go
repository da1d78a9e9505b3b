package smtpout

import "bytes"

// Sizes of the buffers a body goes through.
const (
	readBlock  = 32 << 10
	writeBlock = 64 << 10
)

// bodyBuffers are lent to a transaction while its body is sent.
type bodyBuffers struct {
	in  [readBlock]byte
	out [writeBlock]byte
}

func (c *Client) lend() *bodyBuffers {
	if bufs, ok := c.bodies.Get().(*bodyBuffers); ok {
		return bufs
	}
	return new(bodyBuffers)
}

// stuffer turns content into what goes behind 354 (RFC 5321 4.5.2): a dot more before each dot that begins a line, and
// the last line ended. Content has CRLF line ends; where it has not, it is mended by the rules that it should have been
// made by, so that no host can see a line end, and with it the end of the message, where others see none: a CR before
// an LF belongs to the line end, any other becomes a blank, an LF alone becomes CRLF.
type stuffer struct {
	out   []byte // what has not been flushed; its capacity is the block size
	flush func(block []byte) error
	bare  bool // for BDAT: no dots are added
	inner bool // not at the beginning of a line
	crs   int  // CRs read and not decided about
	err   error
}

// Write never fails in another way than flush did.
func (s *stuffer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && s.err == nil {
		p = s.line(p)
	}
	return n, s.err
}

// line takes one line, or what p has of it, and returns the rest.
func (s *stuffer) line(p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	if s.crs == 0 && i > 0 && p[i-1] == '\r' && bytes.IndexByte(p[:i-1], '\r') < 0 {
		s.put(p[:i+1]) // as it should be
		s.inner = false
		return p[i+1:]
	}
	part := p
	if i >= 0 {
		part = p[:i]
	}
	s.mend(part)
	if i < 0 {
		return nil
	}
	s.crs = 0
	s.endLine()
	return p[i+1:]
}

// mend takes a part of a line that may have CRs.
func (s *stuffer) mend(p []byte) {
	for len(p) > 0 && s.err == nil {
		i := bytes.IndexByte(p, '\r')
		if i == 0 {
			s.crs++
			p = p[1:]
			continue
		}
		for ; s.crs > 0; s.crs-- {
			s.put([]byte{' '})
		}
		if i < 0 {
			i = len(p)
		}
		s.put(p[:i])
		p = p[i:]
	}
}

func (s *stuffer) endLine() {
	s.raw("\r\n")
	s.inner = false
}

// end ends the last line, adds the final dot and leaves both in out.
func (s *stuffer) end() error {
	if s.crs > 0 || s.inner {
		s.endLine() // CRs at the very end belong to a line end that was lost
	}
	if !s.bare {
		s.raw(".\r\n")
	}
	return s.err
}

// put adds octets of the content that lie within one line, stuffed.
func (s *stuffer) put(p []byte) {
	if !s.inner && p[0] == '.' && !s.bare {
		s.raw(".")
	}
	s.inner = true
	for len(p) > 0 && s.err == nil {
		s.room(1)
		n := copy(s.out[len(s.out):cap(s.out)], p)
		s.out = s.out[:len(s.out)+n]
		p = p[n:]
	}
}

// raw adds a few octets of the protocol, which are not parted over two blocks.
func (s *stuffer) raw(text string) {
	s.room(len(text))
	if s.err == nil {
		s.out = append(s.out, text...)
	}
}

// room makes sure that n octets fit into out.
func (s *stuffer) room(n int) {
	if s.err == nil && cap(s.out)-len(s.out) < n {
		s.err = s.flush(s.out)
		s.out = s.out[:0]
	}
}
