//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"signpost/mta/sign/signtest"
	"signpost/packaging/e2e/inside"
)

// sheet is a message of a certain shape, as it is handed in.
type sheet struct {
	name  string
	input []byte // with line ends of one kind
	rcpt  string // at dest.example
}

// wire is the message in the form that goes out, without what is added to its header.
func (s sheet) wire() []byte { return []byte(crlf(string(s.input))) }

// sheets are the messages of signtest. Callers differ in how they end lines, and so do these.
func sheets() []sheet {
	var list []sheet
	for i, m := range signtest.Messages() {
		s := sheet{name: m.Name, input: m.Wire, rcpt: fmt.Sprintf("r%d@dest.example", i)}
		switch i % 3 {
		case 0: // as PHP
		case 1:
			s.input = bytes.ReplaceAll(s.input, []byte("\r\n"), []byte("\n"))
		case 2: // as a cron job that does not end its last line
			s.input = bytes.ReplaceAll(s.input, []byte("\r\n"), []byte("\n"))
			if header, body, _ := bytes.Cut(s.input, []byte("\n\n")); len(header) > 0 && len(body) > 1 && !bytes.HasSuffix(body, []byte("\n\n")) {
				s.input = bytes.TrimSuffix(s.input, []byte("\n"))
			}
		}
		list = append(list, s)
	}
	return list
}

// handInAll hands every sheet to sendmail.
func handInAll(t *testing.T, who inside.Account, list []sheet) {
	t.Helper()
	if len(list) < 60 {
		t.Fatalf("only %d messages", len(list))
	}
	for _, s := range list {
		send(t, who, string(s.input), "-i", "-f", "ann@example.org", s.rcpt)
	}
}

// sameContent fails the test unless got is want, with signatures and a Received field before it, and nothing behind
// its header but the fields that must be in a message and were not in this one.
func sameContent(t *testing.T, s sheet, got []byte) {
	t.Helper()
	want := s.wire()
	wantHead, wantBody := cutHeader(want)
	head, body := cutHeader(got)
	if body != wantBody {
		t.Errorf("%s: the body differs at octet %d: %s", s.name, differ(body, wantBody), around(body, wantBody))
	}
	var n int
	for _, name := range []string{"DKIM-Signature:", "DKIM-Signature:", "Received:"} {
		field, rest := firstField(head)
		if !strings.HasPrefix(field, name) {
			t.Fatalf("%s: field %d is %q, want %s", s.name, n, field, name)
		}
		head, n = rest, n+1
	}
	rest, ok := strings.CutPrefix(head, wantHead)
	if !ok {
		t.Fatalf("%s: the header differs at octet %d: %s", s.name, differ(head, wantHead), around(head, wantHead))
	}
	for rest != "" {
		var field string
		field, rest = firstField(rest)
		name, _, _ := strings.Cut(field, ":")
		if added := name == "Date" || name == "To" || name == "Message-ID"; !added || hasField(wantHead, name) {
			t.Errorf("%s: a field was added: %q", s.name, field)
		}
	}
}

// cutHeader gives the fields and what stands behind the empty line.
func cutHeader(content []byte) (fields, body string) {
	fields, body, _ = strings.Cut(string(content), "\r\n\r\n")
	return fields + "\r\n", body
}

// firstField cuts one field, folded or not, from a header.
func firstField(head string) (field, rest string) {
	end := 0
	for {
		i := strings.Index(head[end:], "\r\n")
		if i < 0 {
			return head, ""
		}
		end += i + 2
		if end == len(head) || head[end] != ' ' && head[end] != '\t' {
			return head[:end], head[end:]
		}
	}
}

func hasField(head, name string) bool {
	return strings.Contains(strings.ToLower("\n"+head), "\n"+strings.ToLower(name)+":")
}

// differ is where two texts part.
func differ(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}

func around(got, want string) string {
	i := max(0, differ(got, want)-40)
	return fmt.Sprintf("got %.120q, want %.120q", got[min(i, len(got)):], want[min(i, len(want)):])
}
