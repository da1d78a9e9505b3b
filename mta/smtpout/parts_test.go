package smtpout

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"signpost/spool"
)

func TestReply(t *testing.T) {
	tests := []struct {
		name, in, text string
		status         string
		coded          bool
		err            error
	}{
		{name: "one line", in: "250 ok\r\n", text: "250 ok", status: "2.0.0"},
		{name: "no text", in: "250\r\n", text: "250", status: "2.0.0"},
		{name: "only LF", in: "250 ok\n", text: "250 ok", status: "2.0.0"},
		{name: "several lines", in: "550-5.1.1 no\r\n550-\r\n550 sorry\r\n", text: "550-5.1.1 no\n550-\n550 sorry", status: "5.1.1", coded: true},
		{name: "the last code wins", in: "550-5.1.1 no\r\n550 5.7.1 no\r\n", text: "550-5.1.1 no\n550 5.7.1 no", status: "5.7.1", coded: true},
		{name: "a code alone", in: "550 5.2.2\r\n", text: "550 5.2.2", status: "5.2.2", coded: true},
		{name: "three digits", in: "550 5.999.123 x\r\n", text: "550 5.999.123 x", status: "5.999.123", coded: true},
		{name: "another class", in: "450 5.1.1 no\r\n", text: "450 5.1.1 no", status: "4.0.0"},
		{name: "no code: too many digits", in: "550 5.1.1234 x\r\n", text: "550 5.1.1234 x", status: "5.0.0"},
		{name: "no code: an address", in: "550 5.1.1.1 is listed\r\n", text: "550 5.1.1.1 is listed", status: "5.0.0"},
		{name: "no code: the class has two digits", in: "550 05.1.1 x\r\n", text: "550 05.1.1 x", status: "5.0.0"},
		{name: "no code: a word", in: "550 5.1.x\r\n", text: "550 5.1.x", status: "5.0.0"},
		{name: "text is kept as it is", in: "550 \x1b[2J\xff\x00\r\r\n", text: "550 \x1b[2J\xff\x00\r", status: "5.0.0"},
		{name: "the longest line", in: "250 " + strings.Repeat("x", maxReplyLine-6) + "\r\n", text: "250 " + strings.Repeat("x", maxReplyLine-6), status: "2.0.0"},
		{name: "a line too long", in: "250 " + strings.Repeat("x", maxReplyLine-5) + "\r\n", err: errNotSMTP},
		{name: "a line without end", in: strings.Repeat("2", 1<<20), err: errNotSMTP},
		{name: "the most lines", in: strings.Repeat("250-\r\n", maxReplyLines-1) + "250 \r\n", text: strings.Repeat("250-\n", maxReplyLines-1) + "250 ", status: "2.0.0"},
		{name: "too many lines", in: strings.Repeat("250-\r\n", maxReplyLines) + "250 \r\n", err: errNotSMTP},
		{name: "too many octets", in: strings.Repeat("250-"+strings.Repeat("x", 2000)+"\r\n", 33) + "250 \r\n", err: errNotSMTP},
		{name: "two codes", in: "250-a\r\n251 b\r\n", err: errNotSMTP},
		{name: "no number", in: "hello\r\n", err: errNotSMTP},
		{name: "too short", in: "25\r\n", err: errNotSMTP},
		{name: "an empty line", in: "\r\n", err: errNotSMTP},
		{name: "1yz", in: "150 wait\r\n", err: errNotSMTP},
		{name: "6yz", in: "650 what\r\n", err: errNotSMTP},
		{name: "another separator", in: "250x\r\n", err: errNotSMTP},
		{name: "nothing", in: "", err: io.EOF},
		{name: "half a line", in: "250 o", err: io.ErrUnexpectedEOF},
		{name: "half a reply", in: "250-ok\r\n", err: io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				r, err := newReplyReader(in).next()
				if !errors.Is(err, tt.err) {
					t.Fatalf("got error %v, want %v", err, tt.err)
				}
				if err == nil && (string(r.text) != tt.text || r.status.String() != tt.status || r.coded != tt.coded) {
					t.Errorf("got %q, %v, coded %v", r.text, r.status, r.coded)
				}
			}
		})
	}
}

func TestExtensions(t *testing.T) {
	tests := []struct {
		name, in string
		want     extensions
	}{
		{"all", "250-mx\n250-PIPELINING\n250-SIZE 10\n250-8BITMIME\n250-SMTPUTF8\n250-DSN\n250 STARTTLS",
			extensions{startTLS: true, pipelining: true, eightBit: true, utf8: true, dsn: true, size: true, maxSize: 10}},
		{"lower case", "250-mx\n250-starttls\n250 pipelining", extensions{startTLS: true, pipelining: true}},
		{"the name of the host is none", "250 STARTTLS", extensions{}},
		{"blanks around", "250-mx\n250-  SIZE   10  ", extensions{size: true, maxSize: 10}},
		{"a size that is none", "250-mx\n250-SIZE\n250 SIZE 99999999999999999999", extensions{size: true}},
		{"a size below zero", "250-mx\n250 SIZE -1", extensions{size: true}},
		{"more than the keyword", "250-mx\n250-STARTTLSX\n250 XSTARTTLS", extensions{}},
		{"lines without text", "250-mx\n250\n250-\n250 ", extensions{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseExtensions([]byte(tt.in)); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestPath(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		in, want string
		utf8     bool
		err      error
	}{
		{in: "", want: ""},
		{in: "ann@here.test", want: "ann@here.test"},
		{in: "Postmaster", want: "Postmaster"},
		{in: "a+b_c/d=e!f#g$h%i&j'k*l?m^n`o{p|q}r~s@x", want: "a+b_c/d=e!f#g$h%i&j'k*l?m^n`o{p|q}r~s@x"},
		{in: "ann@here.test.", want: "ann@here.test"},
		{in: "ann@under_score.-x-.test", want: "ann@under_score.-x-.test"},
		{in: "ann@[192.0.2.1]", want: "ann@[192.0.2.1]"},
		{in: "ann@[IPv6:2001:db8::1]", want: "ann@[IPv6:2001:db8::1]"},
		{in: `"a b"@here.test`, want: `"a b"@here.test`},
		{in: `"a\"b\\@c> RSET"@here.test`, want: `"a\"b\\@c> RSET"@here.test`},
		{in: "a..b@here.test", want: `"a..b"@here.test`},
		{in: ".a@here.test", want: `".a"@here.test`},
		{in: "a.@here.test", want: `"a."@here.test`},
		{in: "a(b),c;d:[e]@here.test", want: `"a(b),c;d:[e]"@here.test`},
		{in: "jürgen@here.test", want: "jürgen@here.test", utf8: true},
		{in: "jürgen@bücher.test", want: "jürgen@bücher.test", utf8: true},
		{in: "ann@bücher.test", want: "ann@xn--bcher-kva.test"},
		{in: "ann@BÜCHER.test.", want: "ann@xn--bcher-kva.test"},
		{in: "ann@faß.test", want: "ann@xn--fa-hia.test"},
		{in: "ann", err: errDomain},
		{in: "ann@", err: errDomain},
		{in: "ann@.test", err: errDomain},
		{in: "ann@a..test", err: errDomain},
		{in: "ann@a b", err: errDomain},
		{in: "ann@a>b", err: errDomain},
		{in: "ann@[1.2.3.4", err: errDomain},
		{in: "ann@[]", err: errDomain},
		{in: "ann@[a]b]", err: errDomain},
		{in: "ann@xn--\u2488.test\u2488", err: errDomain},
		{in: "ann@" + long, err: errDomain},
		{in: "@here.test", err: errLocal},
		{in: "a b@here.test", err: errLocal},
		{in: "a@b@c", err: errLocal},
		{in: "a> SIZE=1@c", err: errLocal},
		{in: "a<b@c", err: errLocal},
		{in: `a\b@c`, err: errLocal},
		{in: `"@c`, err: errLocal},
		{in: `"a"b"@c`, err: errLocal},
		{in: `"a\"@c`, err: errLocal},
		{in: `"a"b@c`, err: errLocal},
		{in: "\"a\\ü\"@c", err: errLocal},
		{in: "a\r\nb@c", err: errControl},
		{in: "\"a\nb\"@c", err: errControl},
		{in: "a\x00@c", err: errControl},
		{in: "a\x7f@c", err: errControl},
		{in: "a\u0085b@c", err: errControl},
		{in: "a\u2028b@c", err: errControl},
		{in: "a\xffb@c", err: errControl},
		{in: long + "@" + long, err: errLong},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := parsePath(tt.in)
			if err != tt.err || got.text != tt.want || got.utf8 != tt.utf8 {
				t.Errorf("got %q, utf8 %v, %v; want %q, utf8 %v, %v", got.text, got.utf8, err, tt.want, tt.utf8, tt.err)
			}
		})
	}
}

func TestXtext(t *testing.T) {
	if got := string(appendXtext(nil, "a+b=c d\r\n\xff~")); got != "a+2Bb+3Dc+20d+0D+0A+FF~" {
		t.Errorf("got %s", got)
	}
	if got := string(appendUTF8Xtext(nil, "ä+=\\ x\t\U0001F600")); got != `\x{E4}\x{2B}\x{3D}\x{5C}\x{20}x\x{09}\x{1F600}` {
		t.Errorf("got %s", got)
	}
}

func TestDialogueIsBounded(t *testing.T) {
	var d dialogue
	d.say([]byte("EHLO here.test\r\n"))
	for range 100000 {
		d.hear([]byte("250 " + strings.Repeat("x", 200)))
		if len(d.head)+len(d.tail) > 4*dialogueHalf {
			t.Fatal("it grows")
		}
	}
	d.hear([]byte("550-a\n550 b"))
	lines := d.lines()
	n := len(lines)
	if lines[0] != "> EHLO here.test" || lines[n-2] != "< 550-a" || lines[n-1] != "< 550 b" {
		t.Errorf("got %q … %q", lines[0], lines[n-2:])
	}
	if strings.Count(strings.Join(lines, "\n"), "* lines are left out here\n") != 1 {
		t.Error("it does not say that lines are missing")
	}
	if new(dialogue).lines() != nil {
		t.Error("nothing is something")
	}
}

// stuffed is what stuffer must give, told slowly.
func stuffed(s string) string {
	var b strings.Builder
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		if i == len(lines)-1 && lines[i] == "" {
			break
		}
		if strings.HasPrefix(line, ".") {
			b.WriteByte('.')
		}
		b.WriteString(strings.ReplaceAll(line, "\r", " ") + "\r\n")
	}
	return b.String() + ".\r\n"
}

// stuff puts s through a stuffer in pieces of n octets.
func stuff(s string, n, block int) (string, error) {
	var b bytes.Buffer
	w := &stuffer{out: make([]byte, 0, block), flush: func(p []byte) error {
		b.Write(p)
		return nil
	}}
	for len(s) > 0 {
		k := min(n, len(s))
		if _, err := io.WriteString(w, s[:k]); err != nil {
			return "", err
		}
		s = s[k:]
	}
	err := w.end()
	b.Write(w.out)
	return b.String(), err
}

func (s *stuffer) WriteString(p string) (int, error) { return s.Write([]byte(p)) }

func TestStuffer(t *testing.T) {
	for _, s := range []string{"", "\r\n", ".", ".\r\n", "..\r\n.\r\n", "a", "a\r", "a\r\r\n", "a\n.\n", "\r.\r\n", "a\r.\r\n", "\n.\n", "\r\n.\r\n",
		"\r\n.\r", "\n.\r\n", "\r\r\n.\r\r\n", "a\rb\r\r\rc\n", "x\r\n\r\n.x.\r\n"} {
		for n := 1; n <= len(s)+1; n++ {
			for _, block := range []int{4, 5, 7, 100} {
				got, err := stuff(s, n, block)
				if want := stuffed(s); got != want || err != nil {
					t.Fatalf("%q in pieces of %d, block %d: got %q, %v, want %q", s, n, block, got, err, want)
				}
			}
		}
	}
}

func TestStufferStopsAtError(t *testing.T) {
	full := errors.New("full")
	n := 0
	w := &stuffer{out: make([]byte, 0, 8), flush: func([]byte) error { n++; return full }}
	if _, err := io.WriteString(w, strings.Repeat("abc\r\n.\r\n", 10)); err != full || n != 1 {
		t.Errorf("got %v after %d blocks", err, n)
	}
	if err := w.end(); err != full {
		t.Errorf("got %v", err)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 2.0.0 b\r\n", "550 5.1.1\n", "250-\r\n25", "354", strings.Repeat("250-x\r\n", 101)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, slow := newReplyReader(bytes.NewReader(in)), newReplyReader(iotest.OneByteReader(bytes.NewReader(in)))
		for {
			a, errA := whole.next()
			b, errB := slow.next()
			if (errA == nil) != (errB == nil) || a.code != b.code || a.status != b.status || !bytes.Equal(a.text, b.text) {
				t.Fatalf("how it is cut matters: %v %v, %v %v", a, errA, b, errB)
			}
			if errA != nil {
				return
			}
			if a.code < 200 || a.code > 599 || a.status.Class != a.code/100 || len(a.text) > maxReplyOctets+maxReplyLine ||
				bytes.Count(a.text, []byte{'\n'}) >= maxReplyLines || ours(a.status) == spool.StatusExpired {
				t.Fatalf("got %+v", a)
			}
		}
	})
}

func FuzzExtensions(f *testing.F) {
	f.Add([]byte("250-mx\n250-SIZE 10\n250 STARTTLS"))
	f.Add([]byte("250-mx\n250\n250-\n\n250 size -1"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if x := parseExtensions(in); x.maxSize < 0 || x.maxSize > 0 && !x.size {
			t.Fatalf("got %+v", x)
		}
	})
}

// Whatever an address holds, the command has one line and the path ends where it should.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"ann@here.test", `"a\" b>"@x`, "v@ext.test> ORCPT=rfc822;x@y", "a\r\nRSET@x", "jürgen@bücher.test", "a@[IPv6:::1]", "..@x."} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, addr, orig string) {
		p, err := parsePath(addr)
		if err != nil {
			return
		}
		if len(p.text) > maxAddress+2+4*maxDomain || !utf8.ValidString(p.text) || !p.utf8 && !isASCII(p.text) {
			t.Fatalf("got %+v", p)
		}
		if again, err := parsePath(p.text); len(p.text) <= maxAddress && (err != nil || again != p) {
			t.Fatalf("%q became %q, and then %q, %v", addr, p.text, again.text, err)
		}
		checkPath(t, p.text)
		params := appendDSN(nil, spool.Recipient{Original: orig})
		if bytes.ContainsAny(params, "\r\n\x00<>") && !strings.ContainsAny(orig, "<>") || bytes.Count(params, []byte{' '}) > 1 {
			t.Fatalf("got parameters %q", params)
		}
	})
}

// checkPath reads a path as a host does: outside quotes, nothing may end it.
func checkPath(t *testing.T, s string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			t.Fatalf("%q has a control character", s)
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '<' || c == '>'):
			t.Fatalf("%q ends early", s)
		}
	}
	if quoted {
		t.Fatalf("%q does not end its quotes", s)
	}
}

func FuzzStuffer(f *testing.F) {
	f.Add("a\r\n.\r\nb", uint8(1), uint8(4))
	f.Add("\r\r.\n\r", uint8(2), uint8(9))
	f.Fuzz(func(t *testing.T, s string, n, block uint8) {
		got, err := stuff(s, int(n)+1, int(block)+4)
		if want := stuffed(s); got != want || err != nil {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}

func TestServerName(t *testing.T) {
	for in, want := range map[string]string{
		"mx.test": "mx.test", "192.0.2.1": "192.0.2.1", "[192.0.2.1]": "[192.0.2.1]", "2001:db8::1": "2001:db8::1",
		"mx.test\x00": "", "mx/../test": "", "mx test": "", "b\u00fccher.test": "", strings.Repeat("x", 300): "", "": "",
	} {
		if got := serverName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
