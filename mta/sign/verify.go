package sign

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

const (
	maxVerify     = 128 << 20 // octets of a message to be verified; it is kept in memory
	maxSignatures = 20        // of one message that are looked at; each costs a look-up
)

// Verdict is what became of one signature.
type Verdict struct {
	Domain    string // d=
	Selector  string // s=
	Algorithm string // a=
	Err       error  // nil: the signature is good
	Temporary bool   // Err is of a look-up that may succeed later
}

// Verify checks every DKIM signature of a message, in the order in which they stand. Lines may end in CRLF or LF, and
// a "From " line of a mailbox file before the header is passed over. No verdict and no error mean that the message has
// no signature. The verdicts hold as far as they go when there is an error beside them.
//
// txt looks up the TXT records of a name, the strings of each joined; it is called from several goroutines. An error
// with a method Temporary() bool that says true makes the verdict temporary.
func Verify(message io.Reader, txt func(name string) ([]string, error)) ([]Verdict, error) {
	content, err := io.ReadAll(io.LimitReader(message, maxVerify+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxVerify {
		return nil, fmt.Errorf("the message is larger than %d octets", maxVerify)
	}
	wire := toWire(content)
	h, err := readHead(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		return nil, err
	}
	if len(h.signatures) == 0 {
		return nil, nil
	}
	body := wire[min(len(h.raw), len(wire)):]
	found, err := dkim.VerifyWithOptions(io.MultiReader(bytes.NewReader(h.raw), bytes.NewReader(body)),
		&dkim.VerifyOptions{LookupTXT: lookup(txt), MaxVerifications: maxSignatures})
	if errors.Is(err, dkim.ErrTooManySignatures) {
		err = fmt.Errorf("the message has %d signatures; only the first %d were verified", len(h.signatures), maxSignatures)
	}
	return verdicts(found, h.signatures), err
}

func verdicts(found []*dkim.Verification, signatures []string) []Verdict {
	list := make([]Verdict, len(found))
	for i, v := range found {
		list[i] = Verdict{Domain: v.Domain, Err: v.Err, Temporary: dkim.IsTempFail(v.Err)}
		if i < len(signatures) {
			list[i].Selector = tag(signatures[i], "s")
			list[i].Algorithm = tag(signatures[i], "a")
			list[i].Domain = tag(signatures[i], "d")
		}
	}
	return list
}

// tag gives the value of one tag of a tag list, without white space.
func tag(list, name string) string {
	for part := range strings.SplitSeq(list, ";") {
		key, value, ok := strings.Cut(part, "=")
		if ok && strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), "")
		}
	}
	return ""
}

// toWire gives a message CRLF line ends, whatever it had.
func toWire(content []byte) []byte {
	if bytes.HasPrefix(content, []byte("From ")) {
		_, content, _ = bytes.Cut(content, []byte("\n"))
	}
	content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	if n := len(content); n > 0 && content[n-1] != '\n' {
		content = append(content, '\n')
	}
	return bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
}

// lookup makes of txt what the library calls: it knows a temporary error by the interface net.Error.
func lookup(txt func(name string) ([]string, error)) func(string) ([]string, error) {
	return func(name string) ([]string, error) {
		records, err := txt(name)
		var t interface{ Temporary() bool }
		if errors.As(err, &t) && t.Temporary() {
			return nil, temporary{err}
		}
		return records, err
	}
}

// temporary is a net.Error that says so.
type temporary struct{ error }

func (temporary) Timeout() bool   { return false }
func (temporary) Temporary() bool { return true }
