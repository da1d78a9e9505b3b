package header

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestNormalizer(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		dot            bool
		nuls           int
		ended          bool
	}{
		{name: "LF", in: "a\nb\n", want: "a\r\nb\r\n"},
		{name: "CRLF", in: "a\r\nb\r\n", want: "a\r\nb\r\n"},
		{name: "several CRs before LF", in: "a\r\r\nb\n", want: "a\r\nb\r\n"},
		{name: "a CR within a line", in: "a\rb\r\rc\n", want: "a b  c\r\n"},
		{name: "a CR at the end", in: "a\r", want: "a \r\n"},
		{name: "only a CR", in: "\r", want: " \r\n"},
		{name: "no line end at the end", in: "a\nb", want: "a\r\nb\r\n"},
		{name: "nothing", in: "", want: ""},
		{name: "NUL", in: "a\x00b\x00\x00\n", want: "ab\r\n", nuls: 3},
		{name: "NUL between CR and LF", in: "a\r\x00\n", want: "a \r\n", nuls: 1},
		{name: "a lone dot without EndAtDot", in: "a\n.\nb\n", want: "a\r\n.\r\nb\r\n"},
		{name: "a lone dot before LF", in: "a\n.\nb\n", want: "a\r\n", dot: true, ended: true},
		{name: "a lone dot before CRLF", in: "a\r\n.\r\nb\n", want: "a\r\n", dot: true, ended: true},
		{name: "a lone dot at the end", in: "a\n.", want: "a\r\n", dot: true, ended: true},
		{name: "a lone dot at the beginning", in: ".\nb\n", want: "", dot: true, ended: true},
		{name: "a dot and a blank", in: "a\n. \nb\n", want: "a\r\n. \r\nb\r\n", dot: true},
		{name: "a dot and a CR at the end", in: "a\n.\r", want: "a\r\n. \r\n", dot: true},
		{name: "a dot and a NUL", in: ".\x00\nb\n", want: ".\r\nb\r\n", dot: true, nuls: 1},
		{name: "leading dots", in: "..two\n.one\n", want: "..two\r\n.one\r\n", dot: true},
		{name: "octets of 8 bits", in: "\xe9\n", want: "\xe9\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size <= len(tt.in)+1; size++ {
				n := Normalizer{EndAtDot: tt.dot}
				got := normalize(&n, tt.in, size)
				if got != tt.want || n.NULs != tt.nuls || n.Ended() != tt.ended {
					t.Errorf("in pieces of %d: got %q, %d NULs, ended %v, want %q, %d, %v", size, got, n.NULs, n.Ended(),
						tt.want, tt.nuls, tt.ended)
				}
			}
		})
	}
}

func normalize(n *Normalizer, s string, size int) string {
	var out []byte
	for len(s) > 0 {
		piece := s[:min(size, len(s))]
		out = n.Append(out, []byte(piece))
		s = s[len(piece):]
	}
	return string(n.Close(out))
}

func TestNormalizerHoldsNoFloodOfCRs(t *testing.T) {
	in := strings.Repeat("\r", 3*maxHeldCR) + "\n"
	want := strings.Repeat(" ", 2*maxHeldCR) + "\r\n"
	for _, size := range []int{1, 1000, len(in)} {
		if got := normalize(&Normalizer{}, in, size); got != want {
			t.Errorf("in pieces of %d: %d octets, want %d", size, len(got), len(want))
		}
	}
}

func FuzzNormalizer(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\nb", "\r\r\n\x00.\n", ".", ".\r", "", "\n\n"} {
		f.Add(s, 1, true)
		f.Add(s, 2, false)
	}
	f.Fuzz(func(t *testing.T, s string, size int, dot bool) {
		if size < 1 {
			return
		}
		whole, pieces := Normalizer{EndAtDot: dot}, Normalizer{EndAtDot: dot}
		got := normalize(&whole, s, len(s)+1)
		if cut := normalize(&pieces, s, size); cut != got || pieces.NULs != whole.NULs {
			t.Fatalf("%q in pieces of %d gives %q, whole %q", s, size, cut, got)
		}
		if again := normalize(&Normalizer{}, got, 7); again != got {
			t.Fatalf("%q becomes %q, and then %q", s, got, again)
		}
		if rest := strings.ReplaceAll(got, "\r\n", ""); strings.ContainsAny(rest, "\r\n\x00") {
			t.Fatalf("%q becomes %q", s, got)
		}
		if got != "" && !strings.HasSuffix(got, "\r\n") {
			t.Fatalf("%q becomes %q", s, got)
		}
		if all, kept := textOf(s), textOf(got); kept != all && !(dot && strings.HasPrefix(all, kept)) {
			t.Fatalf("%q becomes %q: something was lost, added or moved", s, got)
		}
	})
}

// textOf is s without all that its normal form may change.
func textOf(s string) string {
	return strings.NewReplacer(" ", "", "\r", "", "\n", "", "\x00", "").Replace(s)
}

func TestSplitter(t *testing.T) {
	for _, tt := range []struct {
		name, in, header, body string
		mbox                   bool
	}{
		{name: "header and body", in: "A: 1\r\nB: 2\r\n\r\nx\r\n", header: "A: 1\r\nB: 2\r\n", body: "x\r\n"},
		{name: "only a header", in: "A: 1\r\n", header: "A: 1\r\n"},
		{name: "nothing", in: ""},
		{name: "an empty line first", in: "\r\nA: 1\r\n", body: "A: 1\r\n"},
		{name: "white space first", in: " a: b\r\nA: 1\r\n", body: " a: b\r\nA: 1\r\n"},
		{name: "no field at all", in: "hello world\r\nA: 1\r\n", body: "hello world\r\nA: 1\r\n"},
		{name: "a line that is no field", in: "A: 1\r\nno colon\r\nB: 2\r\n", header: "A: 1\r\n", body: "no colon\r\nB: 2\r\n"},
		{name: "a name with a blank in it", in: "A: 1\r\nb c: 2\r\n", header: "A: 1\r\n", body: "b c: 2\r\n"},
		{name: "folded fields", in: "A: 1\r\n\t2\r\n \t\r\nB: 3\r\n\r\n", header: "A: 1\r\n\t2\r\n \t\r\nB: 3\r\n"},
		{name: "blanks before the colon", in: "A \t: 1\r\nB: 2\r\n\r\n", header: "A: 1\r\nB: 2\r\n"},
		{name: "a field without a value", in: "A:\r\n:x\r\n", header: "A:\r\n", body: ":x\r\n"},
		{name: "mbox lines", in: "From a Mon Jan  1 00:00:00 2024\r\n>From b\r\nA: 1\r\nFrom c 1:2\r\n", mbox: true,
			header: "A: 1\r\n", body: "From c 1:2\r\n"},
		{name: "mbox lines that stay", in: "From a Mon Jan  1 00:00:00 2024\r\nA: 1\r\n",
			body: "From a Mon Jan  1 00:00:00 2024\r\nA: 1\r\n"},
		{name: "a field called From", in: "From : a\r\n\r\nx\r\n", mbox: true, header: "From: a\r\n", body: "x\r\n"},
		{name: "a first line of any length", in: strings.Repeat("x", 2000) + "\r\n", body: strings.Repeat("x", 2000) + "\r\n"},
		{name: "a line that is no field, of any length", in: "A: 1\r\n" + strings.Repeat("x", 2000) + ":\r\n", header: "A: 1\r\n",
			body: strings.Repeat("x", 2000) + ":\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size <= len(tt.in)+1; size++ {
				h, body, err := split(tt.in, size, tt.mbox)
				if err != nil || h != tt.header || body != tt.body {
					t.Fatalf("in pieces of %d: got %q, %q, %v, want %q, %q", size, h, body, err, tt.header, tt.body)
				}
			}
			if tt.mbox {
				return
			}
			h, body, err := Read(iotest.DataErrReader(strings.NewReader(tt.in)))
			if err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(body)
			if got := string(h.Append(nil)); got != tt.header || string(rest) != tt.body || err != nil {
				t.Errorf("Read: got %q, %q, %v, want %q, %q", got, rest, err, tt.header, tt.body)
			}
		})
	}
}

// split feeds a Splitter in pieces; what is left when it is done belongs to the body.
func split(in string, size int, mbox bool) (h, body string, err error) {
	s := Splitter{DropMbox: mbox}
	done := false
	for len(in) > 0 && !done {
		piece := in[:min(size, len(in))]
		in = in[len(piece):]
		if done, err = s.Feed([]byte(piece)); err != nil {
			return "", "", err
		}
	}
	if err := s.End(); err != nil {
		return "", "", err
	}
	return string(s.Header().Append(nil)), string(s.Body()) + in, nil
}

func TestLimits(t *testing.T) {
	field := "A: " + strings.Repeat("x", 995-3) + "\r\n" // 997 octets
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"a header just small enough", strings.Repeat("A: "+strings.Repeat("x", 1040)+"\r\n", 1000) + "\r\n", nil},
		{"a large header", strings.Repeat("A: "+strings.Repeat("x", 1045)+"\r\n", 1000) + "\r\n", ErrBlock},
		{"a thousand fields", strings.Repeat("A: b\r\n", 1000), nil},
		{"a field more", strings.Repeat("A: b\r\n", 1001), ErrFields},
		{"a large field", "A: b\r\n " + strings.Repeat("x", MaxField) + "\r\n", ErrField},
		{"a large field of many lines", field + strings.Repeat(" "+field[3:], 600), ErrField},
		{"a field that never ends", "A: " + strings.Repeat("x", MaxField+1), ErrField},
		{"a header that never ends", strings.Repeat("A: b\r\n "+strings.Repeat("x", MaxField-20)+"\r\n", 3), ErrBlock},
		{"a body of one endless line", strings.Repeat("x", 3*MaxBlock), nil},
		{"an endless line behind a field", "A: b\r\n" + strings.Repeat("x", 3*MaxBlock), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{100, 32 << 10, 8 << 20} {
				if _, _, err := split(tt.in, size, true); !errors.Is(err, tt.want) {
					t.Errorf("in pieces of %d: got %v, want %v", size, err, tt.want)
				}
			}
			if _, _, err := Read(strings.NewReader(tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("Read: got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestReadGivesTheErrorOfTheReader(t *testing.T) {
	want := errors.New("torn")
	if _, _, err := Read(io.MultiReader(strings.NewReader("A: 1\r\n"), iotest.ErrReader(want))); !errors.Is(err, want) {
		t.Errorf("in the header: got %v, want %v", err, want)
	}
	_, body, err := Read(io.MultiReader(strings.NewReader("A: 1\r\n\r\nx"), iotest.ErrReader(want)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); string(got) != "x" || !errors.Is(err, want) {
		t.Errorf("in the body: got %q, %v", got, err)
	}
}

func FuzzSplitter(f *testing.F) {
	for _, s := range []string{"A: 1\r\n\r\nx", "From x\r\nA : 1\r\n b\r\nc", "", "\r\n", " a", "a:b"} {
		f.Add(s, 3, true)
	}
	f.Fuzz(func(t *testing.T, s string, size int, mbox bool) {
		if size < 1 {
			return
		}
		s = normalize(&Normalizer{}, s, len(s)+1)
		h, body, err := split(s, len(s)+1, mbox)
		h2, body2, err2 := split(s, size, mbox)
		if h != h2 || body != body2 || (err == nil) != (err2 == nil) {
			t.Fatalf("%q in pieces of %d: %q, %q, %v; whole: %q, %q, %v", s, size, h2, body2, err2, h, body, err)
		}
		if err != nil {
			return
		}
		h3, body3, err := split(h+"\r\n"+body, len(s)+3, false)
		if err != nil || h3 != h || body3 != body {
			t.Fatalf("%q: read again as %q, %q, %v, want %q, %q", s, h3, body3, err, h, body)
		}
		// Nothing is lost but first lines of an mbox, and blanks before a colon.
		bare := strings.NewReplacer(" ", "", "\t", "", "\r\n", "").Replace
		if all, kept := bare(s), bare(h+body); all != kept && !(mbox && strings.HasSuffix(all, kept)) {
			t.Fatalf("%q is parted into %q and %q", s, h, body)
		}
		checkNames(t, h)
	})
}

// checkNames holds that each line of a header is a field that RFC 5322 2.2 allows, or goes on with one.
func checkNames(t *testing.T, h string) {
	t.Helper()
	for line := range strings.Lines(h) {
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 {
			t.Fatalf("the line %q is no field", line)
		}
	}
}

func TestHeader(t *testing.T) {
	h, _, err := Read(strings.NewReader("Subject: a\r\n b\r\nTo: x\r\nsubject: c\r\nEmpty:\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Value("SUBJECT"); got != "a b" {
		t.Errorf("Value: got %q", got)
	}
	if f, ok := h.Get("Empty"); !ok || f.Value() != "" || f.Body != "\r\n" {
		t.Errorf("Get of an empty field: %+v, %v", f, ok)
	}
	if !h.Has("Cc", "to") || h.Has("Cc", "Bcc") {
		t.Error("Has")
	}
	if f := New("X", "a\r\nBcc: e\tf"); f.String() != "X: a Bcc: e f\r\n" {
		t.Errorf("New: %q", f)
	}
	for name, want := range map[string]bool{"bcc": true, "RESENT-BCC": true, "Return-path": true, "Content-Length": true, "To": false, "X-Bcc": false} {
		if NeverSent(name) != want {
			t.Errorf("NeverSent(%q) = %v", name, !want)
		}
	}
	for name, want := range map[string]bool{"to": true, "Resent-From": true, "REPLY-TO": true, "Resent-": false, "Subject": false, "Bcc": false} {
		if Addresses(name) != want {
			t.Errorf("Addresses(%q) = %v", name, !want)
		}
	}
}

func TestFromField(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"Full Name", "From: Full Name <ann@h>\r\n"},
		{`Smith, John "JJ" (x)`, `From: "Smith, John \"JJ\" (x)" <ann@h>` + "\r\n"},
		{"Ann O. Nym", `From: "Ann O. Nym" <ann@h>` + "\r\n"},
		{`a\b`, `From: "a\\b" <ann@h>` + "\r\n"},
		{"", "From: ann@h\r\n"},
		{" \t\r\n ", "From: ann@h\r\n"},
		{"Foo\nBcc: e@example.org", `From: "Foo Bcc: e@example.org" <ann@h>` + "\r\n"},
		{"Jörg X", "From: =?UTF-8?Q?J=C3=B6rg_X?= <ann@h>\r\n"},
		{"J\xf6rg", "From: =?UTF-8?Q?J=3Frg?= <ann@h>\r\n"},
	} {
		if got := FromField(tt.name, "ann@h").String(); got != tt.want {
			t.Errorf("FromField(%q)\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

func FuzzPhrase(f *testing.F) {
	for _, s := range []string{"a", `"a, b"`, "é", "\xff\x00\r\n", strings.Repeat("ü", 300), strings.Repeat("a b", 1<<10)} {
		f.Add(s)
	}
	f.Add("Ann & \x1b]0;x\a, Room 1")
	f.Fuzz(func(t *testing.T, s string) {
		checkPhrase(t, s)
		checkPhrase(t, FullName(s, "ann"))
	})
}

// checkPhrase holds that a name for people, whatever it is, stays a name: one From field for one address.
func checkPhrase(t *testing.T, s string) {
	t.Helper()
	field := FromField(s, "a@example.com")
	block := field.Append(nil)
	h, body, err := Read(bytes.NewReader(append(block, "\r\nx"...)))
	if err != nil || len(h) != 1 || h[0] != field {
		t.Fatalf("%q gives %q, read again as %q, %v", s, block, h, err)
	}
	if rest, _ := io.ReadAll(body); string(rest) != "x" {
		t.Fatalf("%q gives %q", s, block)
	}
	all := ParseList(field.Body)
	if len(all) != 1 || all[0].Addr != "a@example.com" {
		t.Fatalf("%q gives %q: %+v", s, block, all)
	}
	for line := range strings.SplitSeq(string(block), "\r\n") {
		if len(line) > 998 || strings.IndexFunc(line, isControl) >= 0 || !utf8.ValidString(line) {
			t.Fatalf("%q gives the line %q", s, line)
		}
	}
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) >= 0 && len(s) < 200 {
		if name, err := new(mime.WordDecoder).DecodeHeader(all[0].Name); err != nil || name != strings.TrimSpace(OneLine(s)) &&
			!strings.ContainsRune(s, utf8.RuneError) && strings.HasPrefix(all[0].Name, "=?") {
			t.Fatalf("%q is decoded as %q, %v", s, name, err)
		}
	}
}

func TestFullName(t *testing.T) {
	for _, tt := range []struct{ gecos, login, want string }{
		{"Ann O. Nym, Room 1", "ann", "Ann O. Nym"},
		{"Bob & Co", "bob", "Bob Bob Co"},
		{"&", "", "&"},
		{"", "ann", ""},
	} {
		if got := FullName(tt.gecos, tt.login); got != tt.want {
			t.Errorf("FullName(%q, %q) = %q, want %q", tt.gecos, tt.login, got, tt.want)
		}
	}
}
