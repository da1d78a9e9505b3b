package sign

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxHead bounds the header in octets: it is kept in memory. Accepted messages have at most 1 MiB, and what is added
// to them is small.
const maxHead = 2 << 20

// head is the header of a message.
type head struct {
	raw        []byte         // with the empty line behind it
	count      map[string]int // fields by name in lower case
	from       []string       // values of the From: fields, unfolded
	signatures []string       // values of the DKIM-Signature fields, unfolded
}

var (
	errHeadTooBig = fmt.Errorf("the header is larger than %d octets", maxHead)
	errNotWire    = errors.New("a line of the header does not end in CRLF, or holds a lone CR")
)

// readHead reads up to and with the empty line. A message that ends without one gets one: its body is empty.
func readHead(r *bufio.Reader) (*head, error) {
	h := &head{count: make(map[string]int)}
	field := 0 // where the field being read starts in raw
	for {
		start := len(h.raw)
		err := h.readLine(r)
		line := h.raw[start:]
		if err == nil && (line[0] == ' ' || line[0] == '\t') {
			continue
		}
		h.add(h.raw[field:start])
		field = start
		if err == io.EOF && len(line) == 0 {
			h.raw = append(h.raw, "\r\n"...)
			return h, nil
		}
		if err != nil {
			return nil, err
		}
		if len(line) == len("\r\n") {
			return h, nil
		}
	}
}

// readLine appends one line to raw. io.EOF means that there was none.
func (h *head) readLine(r *bufio.Reader) error {
	start := len(h.raw)
	for {
		part, err := r.ReadSlice('\n')
		if len(h.raw)+len(part) > maxHead {
			return errHeadTooBig
		}
		h.raw = append(h.raw, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		line := h.raw[start:]
		switch {
		case err == io.EOF && len(line) > 0:
			return errNotWire
		case err != nil:
			return err
		}
		if i := bytes.IndexByte(line, '\r'); i != len(line)-2 {
			return errNotWire
		}
		return nil
	}
}

// add notes one field.
func (h *head) add(field []byte) {
	name, value, ok := bytes.Cut(field, []byte(":"))
	if !ok {
		return
	}
	lower := strings.ToLower(string(bytes.TrimRight(name, " \t")))
	h.count[lower]++
	switch lower {
	case "from":
		h.from = append(h.from, unfold(value))
	case "dkim-signature":
		h.signatures = append(h.signatures, unfold(value))
	}
}

// unfold makes one line of a field's value.
func unfold(value []byte) string {
	return strings.TrimSpace(strings.ReplaceAll(string(value), "\r\n", ""))
}
