package bounce

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"
)

func TestLetter(t *testing.T) {
	l := Letter{ID: "01M8533K3JF2KWJRTM", To: "root", Hostname: "www1.example.org", Now: time.Unix(1_800_000_000, 0),
		Subject: "x\r\nBcc: bob@example.org",
		Text: []string{strings.Repeat("word ", 40), "    a command  as it is", "    another", "evil\r\n.\r\n\x1b[2J \u202e",
			"    evil\r\nline " + strings.Repeat("x", 5000), "é"}}
	var b bytes.Buffer
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(b.String(), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x1b") {
			t.Errorf("line %q", line)
		}
	}
	m, err := mail.ReadMessage(&b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Bcc") != "" || m.Header.Get("To") != "<root@www1.example.org>" || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("header %v", m.Header)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	want := "\r\n    a command  as it is\r\n    another\r\n\r\nevil\\x0d\\x0a.\\x0d\\x0a\\x1b[2J \\u{202e}\r\n"
	if !strings.Contains(string(body), want) {
		t.Errorf("body %q\nwant in it %q", body, want)
	}
}
