// Package signtest holds messages of many shapes, to be signed and verified in tests.
//
// Every message is in wire form (CRLF line ends, an empty line behind the header, no lone CR or LF, no NUL) and has one
// From: field with an address below Domain, so that a signer with a key for it must sign, and any verifier must accept.
// Messages differ in one thing each. The list is the same in every run.
package signtest

import (
	"fmt"
	"strings"
)

// Domain is the domain of the From: field of every message.
const Domain = "example.org"

// Message is one shape.
type Message struct {
	Name string // unique; letters, digits and "-" only, so that it can be the name of a file
	Wire []byte // the message as it goes out, not dot-stuffed
}

// Messages returns all shapes. The slices are the caller's to keep.
func Messages() []Message {
	var all []Message
	for _, group := range [][]shape{bodies(), longBodies(), fields(), fromFields(), repeatedFields(), octets(), mime()} {
		for _, s := range group {
			all = append(all, Message{Name: s.name, Wire: s.wire()})
		}
	}
	return all
}

// shape is a message before it is put together. An empty header means the usual one; fields are added to that.
type shape struct {
	name   string
	header []string // whole fields without the last CRLF, in place of the usual ones
	fields []string // whole fields without the last CRLF, behind the others
	body   string   // with CRLF line ends
}

var usual = []string{
	"Received: from localhost (ann@localhost; uid 1000)\r\n\tby www1.example.org id 000000000000000001;\r\n" +
		"\tMon, 23 Nov 2026 10:00:00 +0000",
	"From: Ann <ann@example.org>",
	"To: bob@dest.example",
	"Subject: A message",
	"Date: Mon, 23 Nov 2026 10:00:00 +0000",
	"Message-ID: <1@www1.example.org>",
}

func (s shape) wire() []byte {
	header := s.header
	if header == nil {
		header = usual
	}
	var b strings.Builder
	for _, f := range header {
		b.WriteString(f + "\r\n")
	}
	for _, f := range s.fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n" + s.body)
	return []byte(b.String())
}

// with gives the usual header with one field in place of the one of the same name.
func with(field string) []string {
	name, _, _ := strings.Cut(field, ":")
	var header []string
	for _, f := range usual {
		if strings.HasPrefix(f, name+":") {
			f = field
		}
		header = append(header, f)
	}
	return header
}

func bodies() []shape {
	return []shape{
		{name: "plain", body: "Hello.\r\n"},
		{name: "empty-body"},
		{name: "body-of-one-empty-line", body: "\r\n"},
		{name: "body-of-empty-lines", body: "\r\n\r\n\r\n\r\n"},
		{name: "body-of-blanks", body: " \r\n\t\r\n  \t \r\n"},
		{name: "body-begins-with-empty-lines", body: "\r\n\r\nHello.\r\n"},
		{name: "body-ends-with-empty-lines", body: "Hello.\r\n\r\n\r\n\r\n"},
		{name: "body-ends-with-blank-lines", body: "Hello.\r\n \r\n\t\r\n"},
		{name: "blanks-at-line-ends", body: "one \r\ntwo\t\r\nthree \t \r\nfour\r\n"},
		{name: "blanks-at-line-starts", body: " one\r\n\ttwo\r\n \t three\r\n"},
		{name: "runs-of-blanks", body: "one  two\t\tthree \t four\r\n"},
		{name: "empty-lines-in-the-middle", body: "one\r\n\r\n\r\n\r\ntwo\r\n"},
		{name: "dots", body: ".\r\n..\r\n.one\r\n..two\r\n...\r\n"},
		{name: "dot-alone-at-the-end", body: "one\r\n.\r\n"},
		{name: "from-lines", body: "From ann Mon Nov 23 10:00:00 2026\r\n>From here\r\nFrom\r\n"},
		{name: "body-like-a-header", body: "From: eve@example.net\r\nSubject: other\r\n\r\ntext\r\n"},
		{name: "body-of-one-character", body: "x\r\n"},
		{name: "signature-lines", body: "text\r\n-- \r\nAnn\r\n"},
		{name: "cron-output", fields: []string{"X-Cron-Env: <SHELL=/bin/sh>", "X-Cron-Env: <HOME=/root>",
			"Auto-Submitted: auto-generated"}, body: "run-parts: /etc/cron.daily/x exited with return code 1\r\n"},
	}
}

func longBodies() []shape {
	text := "The quick brown fox jumps over the lazy dog. 0123456789\r\n"
	return []shape{
		{name: "line-of-998", body: strings.Repeat("x", 998) + "\r\n"},
		{name: "line-of-999", body: strings.Repeat("x", 999) + "\r\n"},
		{name: "line-of-5000", body: "short\r\n" + strings.Repeat("word ", 1000) + "\r\nshort\r\n"},
		{name: "line-of-100000", body: strings.Repeat("x", 100_000) + "\r\n"},
		{name: "line-of-blanks", body: strings.Repeat(" ", 3000) + "x" + strings.Repeat("\t", 3000) + "\r\n"},
		{name: "ten-thousand-empty-lines", body: "a\r\n" + strings.Repeat("\r\n", 10_000) + "b\r\n"},
		{name: "a-megabyte", body: strings.Repeat(text, 1<<20/len(text)+1)},
		{name: "size-of-a-buffer", body: strings.Repeat("x", 4096-2) + "\r\n" + strings.Repeat("y", 4096-2) + "\r\n"},
		{name: "line-end-across-a-buffer", body: strings.Repeat("x", 4095) + "\r\n" + strings.Repeat("y", 4095) + "\r\n"},
	}
}

func fields() []shape {
	return []shape{
		{name: "headers-only", header: []string{"From: ann@example.org", "To: bob@dest.example", "Subject: no body"}},
		{name: "from-only", header: []string{"From: ann@example.org"}, body: "text\r\n"},
		{name: "folded-subject", header: with("Subject: one\r\n two\r\n\tthree\r\n  four"), body: "text\r\n"},
		{name: "folded-at-once", header: with("Subject:\r\n one two"), body: "text\r\n"},
		{name: "folded-many-times", header: with("Subject: a" + strings.Repeat("\r\n b", 200)), body: "text\r\n"},
		{name: "empty-subject", header: with("Subject:"), body: "text\r\n"},
		{name: "blank-subject", header: with("Subject:   "), body: "text\r\n"},
		{name: "no-blank-behind-colon", header: with("Subject:A message"), body: "text\r\n"},
		{name: "many-blanks-behind-colon", header: with("Subject:   \t A   message \t "), body: "text\r\n"},
		{name: "colons-in-subject", header: with("Subject: a:b; c=d: e"), body: "text\r\n"},
		{name: "encoded-subject", header: with("Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n =?UTF-8?Q?_aus_K=C3=B6ln?="), body: "text\r\n"},
		{name: "subject-of-998", header: with("Subject: " + strings.Repeat("x", 989)), body: "text\r\n"},
		{name: "subject-of-5000", header: with("Subject: " + strings.Repeat("word ", 1000) + "end"), body: "text\r\n"},
		{name: "to-of-1000", header: with("To: " + addresses(1000)), body: "text\r\n"},
		{name: "capital-names", header: []string{"FROM: ann@example.org", "TO: bob@dest.example", "SUBJECT: loud",
			"MESSAGE-ID: <2@www1.example.org>"}, body: "text\r\n"},
		{name: "small-names", header: []string{"from: ann@example.org", "to: bob@dest.example", "subject: quiet",
			"message-id: <3@www1.example.org>"}, body: "text\r\n"},
		{name: "from-last", header: []string{"Subject: first", "To: bob@dest.example", "From: ann@example.org"}, body: "text\r\n"},
		{name: "reply", fields: []string{"In-Reply-To: <0@dest.example>",
			"References: <a@dest.example>\r\n <b@dest.example>\r\n <0@dest.example>", "Reply-To: ann+re@example.org"}, body: "> text\r\n"},
		{name: "mailing-list", fields: []string{"Sender: list-bounces@example.org", "List-Id: A list <list.example.org>",
			"List-Unsubscribe: <https://example.org/u?x=1>,\r\n <mailto:u@example.org>",
			"List-Unsubscribe-Post: List-Unsubscribe=One-Click", "Precedence: list"}, body: "text\r\n"},
		{name: "resent", fields: []string{"Resent-From: ann@example.org", "Resent-To: carl@dest.example",
			"Resent-Date: Mon, 23 Nov 2026 11:00:00 +0000", "Resent-Message-ID: <4@www1.example.org>"}, body: "text\r\n"},
		{name: "thousand-fields", fields: numbered(990), body: "text\r\n"},
		{name: "odd-names", fields: []string{"X_y.z!#$%&'*+-/=?^`{|}~: value", "1: digit", "-: dash"}, body: "text\r\n"},
		{name: "php", header: []string{"To: bob@dest.example", "Subject: =?UTF-8?B?w6Q=?=",
			"X-PHP-Originating-Script: 33:contact.php", "From: ann@example.org", "MIME-Version: 1.0",
			"Content-type: text/plain; charset=UTF-8", "Content-Transfer-Encoding: 8bit"}, body: "\u00e4\r\n"},
	}
}

func fromFields() []shape {
	values := []struct{ name, value string }{
		{"from-bare", "ann@example.org"},
		{"from-in-brackets", "<ann@example.org>"},
		{"from-quoted-name", `"Ann, of Example" <ann@example.org>`},
		{"from-name-with-an-address", `"bob@dest.example" <ann@example.org>`},
		{"from-with-comment", "ann@example.org (Ann (of Example))"},
		{"from-encoded-name", "=?utf-8?q?=C3=84nn?= <ann@example.org>"},
		{"from-folded", "\r\n\tAnn of Example\r\n\t<ann@example.org>"},
		{"from-capitals", "Ann <Ann@EXAMPLE.Org>"},
		{"from-plus", "<ann+news=5@example.org>"},
		{"from-quoted-local-part", `<"ann of example"@example.org>`},
		{"from-two-addresses", "ann@example.org, Bob <bob@example.org>"},
		{"from-8-bit-name", "\u00c4nn <ann@example.org>"},
	}
	var shapes []shape
	for _, v := range values {
		shapes = append(shapes, shape{name: v.name, header: with("From: " + v.value), body: "text\r\n"})
	}
	return shapes
}

func repeatedFields() []shape {
	return []shape{
		{name: "several-received", fields: []string{"Received: by a", "Received: by b", "Received: by c"}, body: "text\r\n"},
		{name: "two-subjects", fields: []string{"Subject: another"}, body: "text\r\n"},
		{name: "two-equal-subjects", fields: []string{"Subject: A message"}, body: "text\r\n"},
		{name: "three-to", fields: []string{"To: carl@dest.example", "to: dora@dest.example"}, body: "text\r\n"},
		{name: "two-message-ids", fields: []string{"Message-Id: <5@www1.example.org>"}, body: "text\r\n"},
		{name: "five-hundred-to", fields: strings.Split(strings.Repeat("To: bob@dest.example\n", 499)+"To: end@dest.example", "\n"),
			body: "text\r\n"},
		{name: "comments-and-keywords", fields: []string{"Comments: one", "Comments: two", "Keywords: a, b"}, body: "text\r\n"},
		{name: "foreign-signature", fields: []string{"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=other.example;\r\n" +
			"\ts=x; h=from; bh=AAAA;\r\n\tb=AAAA"}, body: "text\r\n"},
		{name: "authentication-results", fields: []string{"Authentication-Results: www1.example.org; none",
			"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=other.example; s=x; b=AAAA"}, body: "text\r\n"},
	}
}

func octets() []shape {
	return []shape{
		{name: "utf-8-body", body: "Gr\u00fc\u00dfe aus K\u00f6ln \u2014 \u65e5\u672c\u8a9e \U0001f600\r\n"},
		{name: "latin-1-body", body: "Gr\xfc\xdfe\r\n"},
		{name: "all-octets", body: allOctets()},
		{name: "utf-8-subject", header: with("Subject: Gr\u00fc\u00dfe \u65e5\u672c\u8a9e"), body: "text\r\n"},
		{name: "latin-1-subject", header: with("Subject: Gr\xfc\xdfe"), body: "text\r\n"},
		{name: "no-break-spaces", header: with("Subject: a\u00a0b\u2003c"), body: "a\u00a0\r\nb\u2003 \r\n"},
		{name: "escape-sequences", body: "\x1b[31mred\x1b[0m\x07\x08\r\n"},
		{name: "form-feeds", body: "one\f\r\n\ftwo\v\r\n"},
		{name: "utf-8-signs", body: "\ufeffbegin\u202eright to left\u202c\u2028\u0085end\r\n"},
	}
}

func mime() []shape {
	base := []string{"MIME-Version: 1.0"}
	add := func(f ...string) []string { return append(base[:1:1], f...) }
	return []shape{
		{name: "quoted-printable", fields: add("Content-Type: text/plain; charset=utf-8",
			"Content-Transfer-Encoding: quoted-printable"), body: "Gr=C3=BC=C3=9Fe=20\r\nsoft=\r\nbreak\r\n"},
		{name: "base64", fields: add("Content-Type: text/plain;\r\n charset=\"utf-8\"", "Content-Transfer-Encoding: base64"),
			body: "R3LDvMOfZSBhdXMgS8O2bG4K\r\n"},
		{name: "html", fields: add("Content-Type: text/html; charset=utf-8"), body: "<html>\r\n<p>Hello</p>\r\n</html>\r\n"},
		{name: "alternative", fields: add("Content-Type: multipart/alternative;\r\n\tboundary=\"=_b\""),
			body: "preamble\r\n" + part("=_b", "text/plain", "text\r\n") + part("=_b", "text/html", "<p>text</p>\r\n") +
				"--=_b--\r\nepilogue\r\n"},
		{name: "nested", fields: add("Content-Type: multipart/mixed; boundary=outer"),
			body: part("outer", "multipart/alternative; boundary=inner",
				part("inner", "text/plain", "a\r\n")+part("inner", "text/html", "b\r\n")+"--inner--\r\n") +
				part("outer", "application/octet-stream", "AAAA\r\n") + "--outer--\r\n"},
		{name: "attached-message", fields: add("Content-Type: multipart/mixed; boundary=b"),
			body: part("b", "message/rfc822", "From: x@y.example\r\nSubject: inner\r\n\r\ninner\r\n") + "--b--\r\n"},
		{name: "no-last-boundary", fields: add("Content-Type: multipart/mixed; boundary=b"), body: part("b", "text/plain", "a\r\n")},
		{name: "two-content-types", fields: add("Content-Type: text/plain", "Content-Type: text/html"), body: "text\r\n"},
	}
}

func part(boundary, contentType, body string) string {
	return "--" + boundary + "\r\nContent-Type: " + contentType + "\r\n\r\n" + body + "\r\n"
}

// addresses gives a folded list of n addresses.
func addresses(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("Person %d <p%d@dest.example>", i, i)
	}
	return strings.Join(list, ",\r\n\t")
}

func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("X-Number-%d: %d", i, i)
	}
	return list
}

// allOctets gives every octet but NUL, CR and LF, fifteen a line.
func allOctets() string {
	var b strings.Builder
	for c := 1; c < 256; c++ {
		if c != '\r' && c != '\n' {
			b.WriteByte(byte(c))
		}
		if c%15 == 0 {
			b.WriteString("\r\n")
		}
	}
	return b.String()
}
