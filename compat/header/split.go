package header

import (
	"bytes"
	"errors"
	"io"
)

// Splitter parts content in normal form, which may come in pieces, into header and body. The header ends at the first
// empty line, which belongs to neither. A line that is neither "name:" nor a continuation ends it too, and is the first
// line of the body; the same for a first line that begins with white space. The zero value is ready.
// Not for several goroutines.
type Splitter struct {
	// DropMbox leaves out all first lines that look like the "From " line of an mbox, also quoted with ">".
	DropMbox bool

	buf   []byte
	seen  int // octets of buf that hold no LF behind line
	line  int // where the current line begins
	marks []mark
	end   int // where the header ends, once done
	body  int // where the body begins, once done
	done  bool
}

// maxName is how far into a line its colon is looked for (RFC 5322 2.1.1: no line may be longer).
const maxName = 998

// mark is where the parts of a field lie in buf.
type mark struct{ start, nameEnd, colon int }

// Feed takes the next piece. It reports whether the header is complete; what was fed beyond it is in Body, and nothing
// more is to be fed. The error is ErrBlock, ErrFields or ErrField.
func (s *Splitter) Feed(p []byte) (done bool, err error) {
	s.buf = append(s.buf, p...)
	for !s.done {
		i := bytes.IndexByte(s.buf[s.seen:], '\n')
		if i < 0 {
			s.seen = len(s.buf)
			s.takeLong()
			break
		}
		s.seen += i + 1
		if err := s.takeLine(); err != nil {
			return false, err
		}
	}
	return s.done, s.check()
}

// End says that there is no more content. A message may end with its header.
func (s *Splitter) End() error {
	if s.done {
		return nil
	}
	if s.seen = len(s.buf); s.line < s.seen { // only where the content is not in normal form
		if err := s.takeLine(); err != nil {
			return err
		}
	}
	if !s.done {
		s.finish(len(s.buf), len(s.buf))
	}
	return s.check()
}

// takeLine looks at the line from s.line to s.seen.
func (s *Splitter) takeLine() error {
	line := s.buf[s.line:s.seen]
	nameEnd, colon := fieldName(line)
	switch {
	case colon < 0 && len(s.marks) == 0 && s.DropMbox && mboxLine(line):
	case len(bytes.TrimRight(line, "\r\n")) == 0:
		s.finish(s.line, s.seen)
	case len(s.marks) > 0 && (line[0] == ' ' || line[0] == '\t'):
		if s.seen-s.marks[len(s.marks)-1].start > MaxField {
			return ErrField
		}
	case colon < 0:
		s.finish(s.line, s.line)
	case len(line) > MaxField:
		return ErrField
	case len(s.marks) == MaxFields:
		return ErrFields
	default:
		s.marks = append(s.marks, mark{s.line, s.line + nameEnd, s.line + colon})
	}
	s.line = s.seen
	return nil
}

// takeLong ends the header at a line that has not ended yet but cannot be part of it: a body may be one line of any
// length.
func (s *Splitter) takeLong() {
	line := s.buf[s.line:]
	if len(line) <= maxName || s.DropMbox && len(s.marks) == 0 && mboxLine(line) {
		return
	}
	_, colon := fieldName(line)
	if blank := line[0] == ' ' || line[0] == '\t'; colon < 0 && !(blank && len(s.marks) > 0) {
		s.finish(s.line, s.line)
	}
}

func (s *Splitter) finish(end, body int) { s.done, s.end, s.body = true, end, body }

// check holds the limits, also for a line that never ends.
func (s *Splitter) check() error {
	size := len(s.buf)
	if s.done {
		size = s.end
	}
	switch {
	case size > MaxBlock:
		return ErrBlock
	case !s.done && size-s.line > MaxField:
		return ErrField
	}
	return nil
}

// Header gives the fields, once they are complete.
func (s *Splitter) Header() Header {
	if len(s.marks) == 0 {
		return nil
	}
	from := s.marks[0].start
	block := string(s.buf[from:s.end])
	h := make(Header, len(s.marks))
	for i, m := range s.marks {
		end := s.end
		if i+1 < len(s.marks) {
			end = s.marks[i+1].start
		}
		h[i] = Field{Name: block[m.start-from : m.nameEnd-from], Body: block[m.colon+1-from : end-from]}
	}
	return h
}

// Body is the beginning of the body as far as it was fed. It is valid as long as the Splitter is left alone.
func (s *Splitter) Body() []byte { return s.buf[s.body:] }

// fieldName finds the end of a field's name and its colon (RFC 5322 2.2, 4.5: blanks may stand between them); colon is
// negative where line is not the first line of a field.
func fieldName(line []byte) (nameEnd, colon int) {
	line = line[:min(len(line), maxName)]
	i := 0
	for i < len(line) && line[i] > ' ' && line[i] < 0x7f && line[i] != ':' {
		i++
	}
	nameEnd = i
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	if nameEnd == 0 || i == len(line) || line[i] != ':' {
		return 0, -1
	}
	return nameEnd, i
}

func mboxLine(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From "))
}

// Read reads the header of content in normal form. The body reader gives what follows; the empty line between the two
// belongs to neither. An error is one of the limits or of r.
func Read(r io.Reader) (h Header, body io.Reader, err error) {
	var s Splitter
	buf := make([]byte, 8<<10)
	for {
		n, rerr := r.Read(buf)
		done, err := s.Feed(buf[:n])
		if err != nil {
			return nil, nil, err
		}
		if done {
			return s.Header(), io.MultiReader(bytes.NewReader(s.Body()), after(r, rerr)), nil
		}
		if errors.Is(rerr, io.EOF) {
			err := s.End()
			return s.Header(), bytes.NewReader(s.Body()), err
		}
		if rerr != nil {
			return nil, nil, rerr
		}
	}
}

// after is r from where a Read that gave err left it.
func after(r io.Reader, err error) io.Reader {
	if err == nil {
		return r
	}
	return failed{err}
}

type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }
