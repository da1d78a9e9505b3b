//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// parsed is a message as a mail reader sees it.
type parsed struct {
	mail.Header
	head, body string // as they came, with CRLF
}

func parse(t *testing.T, content []byte) parsed {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%v in:\n%.2000s", err, content)
	}
	head, body, ok := strings.Cut(string(content), "\r\n\r\n")
	if !ok {
		t.Fatalf("no empty line in:\n%.2000s", content)
	}
	return parsed{m.Header, head + "\r\n", body}
}

// has fails the test unless each line stands in the header just so.
func (p parsed) has(t *testing.T, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains("\n"+p.head, "\n"+l+"\r\n") {
			t.Errorf("the header has no line %q:\n%.2000s", l, p.head)
		}
	}
}

// lacks fails the test where a field of one of the names is there.
func (p parsed) lacks(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if p.Get(n) != "" {
			t.Errorf("the header has a field %s: %s", n, p.Get(n))
		}
	}
}

// parts gives the leaves of a MIME tree of one level, decoded.
func (p parsed) parts(t *testing.T) [][]byte {
	t.Helper()
	kind, params, err := mime.ParseMediaType(p.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		t.Fatalf("Content-Type: %q (%v)", p.Get("Content-Type"), err)
	}
	var all [][]byte
	for r := multipart.NewReader(strings.NewReader(p.body), params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("part %d: %v", len(all)+1, err)
		}
		text, err := io.ReadAll(decoder(part.Header.Get("Content-Transfer-Encoding"), part))
		if err != nil {
			t.Fatalf("part %d: %v", len(all)+1, err)
		}
		all = append(all, text)
	}
}

// checkEnvelope compares sender and recipients, in whatever order those are.
func checkEnvelope(t *testing.T, got stage.Transaction, sender string, rcpts ...string) {
	t.Helper()
	if got.Sender.Addr != sender {
		t.Errorf("the sender is %q, want %q", got.Sender.Addr, sender)
	}
	var list []string
	for _, r := range got.Rcpts {
		list = append(list, r.Addr)
	}
	slices.Sort(list)
	slices.Sort(rcpts)
	if !slices.Equal(list, rcpts) {
		t.Errorf("the recipients are %q, want %q", list, rcpts)
	}
}

// crlf gives the wire form of text as it was handed in: every line ended, by CRLF.
func crlf(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
}

// messagesWithin is inside.Messages for what takes longer.
func messagesWithin(t *testing.T, limit time.Duration, x *stage.Exchanger, n int) []stage.Transaction {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	got, err := x.Await(ctx, n)
	if err != nil {
		t.Fatalf("waited %v for %d messages, got %d", limit, n, len(got))
	}
	return got
}

// queueEmpty waits until the daemon has nothing left to do.
func queueEmpty(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"/var/spool/signpost/new", "/var/spool/signpost/drop/new"} {
		inside.AwaitFolder(t, dir, "an empty "+dir, func() bool { return len(names(t, dir)) == 0 })
	}
	if out := inside.Output(t, inside.Command(t, "/usr/bin/mailq")); out != "Mail queue is empty\n" {
		t.Errorf("mailq:\n%s", out)
	}
}
