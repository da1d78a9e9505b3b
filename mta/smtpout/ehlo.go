package smtpout

import (
	"bytes"
	"strconv"
	"strings"
)

// extensions are what a host offered in its answer to EHLO. The zero value is what HELO gives.
type extensions struct {
	startTLS   bool
	pipelining bool
	eightBit   bool
	utf8       bool
	dsn        bool
	chunking   bool
	size       bool
	maxSize    int64 // octets; 0: no limit that it names
}

// parseExtensions reads the text of a reply to EHLO. Keywords are known in any case: taking "starttls" for nothing
// would be a silent downgrade. The first line is the host's name (RFC 5321 4.1.1.1).
func parseExtensions(text []byte) extensions {
	var x extensions
	_, rest, _ := bytes.Cut(text, []byte{'\n'})
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		if len(line) < 4 {
			continue
		}
		keyword, param, _ := strings.Cut(strings.TrimSpace(string(line[4:])), " ")
		x.offer(strings.ToUpper(keyword), strings.TrimSpace(param))
	}
	return x
}

func (x *extensions) offer(keyword, param string) {
	switch keyword {
	case "STARTTLS":
		x.startTLS = true
	case "PIPELINING":
		x.pipelining = true
	case "8BITMIME":
		x.eightBit = true
	case "SMTPUTF8":
		x.utf8 = true
	case "DSN":
		x.dsn = true
	case "CHUNKING":
		x.chunking = true
	case "SIZE":
		// A number that cannot be read is no limit; the host will say so itself when it is too much.
		x.size = true
		if n, err := strconv.ParseInt(param, 10, 64); err == nil && n > 0 {
			x.maxSize = n
		}
	}
}
