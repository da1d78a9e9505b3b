package bounce

import (
	"bytes"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"signpost/compat/header"
)

// maxLine is how many octets a line may have that is not declared binary (RFC 5322 2.1.1, RFC 2045 2.8).
const maxLine = 998

// original is what is returned of a message, with CRLF line ends and without NUL and lone CR or LF.
type original struct {
	head  []byte // fields, without the empty line behind them
	body  []byte
	whole bool // the body is returned too
	// why says to people why it is not; empty where nobody wanted it.
	why    string
	fields header.Header // as far as they could be read
}

// readOriginal reads at most max octets of a message and decides how much of it is returned.
func readOriginal(r io.Reader, max int, whole bool) (original, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(max)+1))
	if err != nil {
		return original{}, err
	}
	cutOff := len(data) > max
	var n header.Normalizer
	data = n.Append(make([]byte, 0, len(data)+len(data)/32), data[:min(len(data), max)])
	if !cutOff {
		data = n.Close(data)
	}
	var o original
	o.split(data)
	switch {
	case !whole:
	case cutOff:
		o.why = "the message is too large to be returned whole"
	case longLine(o.head) || longLine(o.body):
		o.why = "the message has lines that are too long to be returned as they are"
	default:
		o.whole = true
	}
	if !o.whole {
		o.body = nil
		o.head = shorten(o.head)
	}
	o.fields, _, _ = header.Read(bytes.NewReader(o.head)) // what is over its limits has no Subject to be shown
	return o, nil
}

// split parts data at the first empty line. Of a header that does not end, the last line may be cut off: it goes.
func (o *original) split(data []byte) {
	if bytes.HasPrefix(data, []byte("\r\n")) {
		o.body = data[2:]
		return
	}
	if i := bytes.Index(data, []byte("\r\n\r\n")); i >= 0 {
		o.head, o.body = data[:i+2], data[i+4:]
		return
	}
	o.head = data[:bytes.LastIndexByte(data, '\n')+1]
}

// longLine reports whether a line is longer than mail may have.
func longLine(data []byte) bool {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return len(data) > maxLine
		}
		if i-1 > maxLine {
			return true
		}
		data = data[i+1:]
	}
	return false
}

// shorten folds the lines of a header that are too long. It is only to be read: nobody verifies it.
func shorten(head []byte) []byte {
	if !longLine(head) {
		return head
	}
	var b bytes.Buffer
	for line := range bytes.Lines(head) {
		for len(line) > maxLine+len("\r\n") {
			n := maxLine - 1
			for n > maxLine-1-utf8.UTFMax && !utf8.RuneStart(line[n]) {
				n--
			}
			b.Write(line[:n])
			b.WriteString("\r\n ")
			line = line[n:]
		}
		b.Write(line)
	}
	return b.Bytes()
}

// part gives the third part of the report. A header in UTF-8 needs the types of RFC 6533; one in any other 8-bit code
// is no header by any standard, and the old types at least are known to all readers.
func (o original) part() part {
	p := part{encoding: "7bit"}
	if !isASCII(string(o.head)) || !isASCII(string(o.body)) {
		p.encoding = "8bit"
	}
	global := !isASCII(string(o.head)) && utf8.Valid(o.head)
	if !o.whole {
		p.content = o.head
		p.contentType, p.description = "text/rfc822-headers", "Header of the message"
		if global {
			p.contentType = "message/global-headers"
		}
		return p
	}
	p.content = bytes.Join([][]byte{o.head, o.body}, []byte("\r\n"))
	p.contentType, p.description = "message/rfc822", "The message"
	if global {
		p.contentType = "message/global"
	}
	return p
}

// shown gives a field of the original for people, decoded (RFC 2047); empty where there is none.
func (o original) shown(name string) string {
	value := cut(o.fields.Value(name), maxShown)
	if decoded, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
		value = decoded
	}
	return printable(value, false)
}

// messageID gives the Message-ID of the original, if it has the form of one; else nothing.
func (o original) messageID() string {
	id := o.fields.Value("Message-ID")
	if len(id) < 3 || len(id) > 250 || id[0] != '<' || id[len(id)-1] != '>' {
		return ""
	}
	inner := id[1 : len(id)-1]
	if strings.ContainsFunc(inner, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '<' || c == '>' }) {
		return ""
	}
	return id
}
