package header

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseList(t *testing.T) {
	const bad = "!" // followed by Raw
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"an address", "a@example.com", []string{"a@example.com"}},
		{"an address in brackets", "<a@example.com>", []string{"a@example.com"}},
		{"a name and an address", "Name <a@example.com>", []string{"a@example.com"}},
		{"a quoted name with a comma", `"N, M" <a@example.com>`, []string{"a@example.com"}},
		{"an encoded name", "=?utf-8?q?J=2C?= <a@example.com>", []string{"a@example.com"}},
		{"an address as its own name", "a@example.com <a@example.com>", []string{"a@example.com"}},
		{"a name in Latin-1", "J\xf6rg <a@example.com>", []string{"a@example.com"}},
		{"comments anywhere", `Pete(A \) b) <pete(c)@example.com(d)>`, []string{"pete@example.com"}},
		{"comments in comments", "a (b (c, d) e) @ example.com", []string{"a@example.com"}},
		{"a comment left open", "a@example.com (b, c", []string{"a@example.com"}},
		{"a group", "G: a@example.com, b@example.net;", []string{"a@example.com", "b@example.net"}},
		{"a group and one more", "G: a@example.com;, b@example.net", []string{"a@example.com", "b@example.net"}},
		{"an empty group", "undisclosed-recipients:;", nil},
		{"a colon that begins no group", "Re: thing <bob@example.com>", []string{"bob@example.com"}},
		{"an address before a colon", "a@example.com: b@example.net", []string{bad + "a@example.com: b@example.net"}},
		{"a mailto URL", "mailto:bob@example.com", []string{"bob@example.com"}},
		{"semicolons", "a@example.com; b@example.net;", []string{"a@example.com", "b@example.net"}},
		{"runs of separators", ",, a@example.com ,; b@example.net,,", []string{"a@example.com", "b@example.net"}},
		{"white space between addresses", "a@example.com b@example.net", []string{"a@example.com", "b@example.net"}},
		{"brackets after brackets", "<a@example.com> Bob <b@example.net>", []string{"a@example.com", "b@example.net"}},
		{"a folded list", "a@example.com,\r\n\tb@example.net", []string{"a@example.com", "b@example.net"}},
		{"a source route", "<@r1.example,@r2.example:bob@example.com>", []string{"bob@example.com"}},
		{"a source route after a name", "Bob <@r1.example:bob@example.com>, c@example.com", []string{"bob@example.com", "c@example.com"}},
		{"a quoted local part", `"john..doe, x"@example.com`, []string{`"john..doe, x"@example.com`}},
		{"a quoted local part in brackets", `"Joe, Q" <"john..doe, x"@example.com>`, []string{`"john..doe, x"@example.com`}},
		{"a local part partly quoted", `"a b".c@example.com`, []string{`"a b.c"@example.com`}},
		{"quotes that are not needed", `"john.doe"@example.com`, []string{"john.doe@example.com"}},
		{"a quote within quotes", `"a\"b\\"@example.com`, []string{`"a\"b\\"@example.com`}},
		{"an @ within quotes", `"a@b"@example.com`, []string{`"a@b"@example.com`}},
		{"a whole address in quotes", `"carol@example.com"`, []string{"carol@example.com"}},
		{"a quoted address as a name", `"carol@example.com" <c@example.net>`, []string{"c@example.net"}},
		{"a bare name", "bob", []string{"bob"}},
		{"a bare name in brackets", "Bob <bob>", []string{"bob"}},
		{"a bare name in quotes", `"bob jones"`, []string{`"bob jones"`}},
		{"a backslash at the end", "a@example.com, \"bob\"\\", []string{"a@example.com", bad + "\"bob\"\\"}},
		{"a bare name with a comment", "root (Cron Daemon)", []string{"root"}},
		{"several words", "Bob Jones", []string{bad + "Bob Jones"}},
		{"a name without brackets", "Bob bob@example.com", []string{"bob@example.com", bad + "Bob bob@example.com"}},
		{"words parted at a dot", "bob . jones@example.com", []string{bad + "bob . jones@example.com"}},
		{"a trailing dot", "bob@example.com.", []string{"bob@example.com"}},
		{"dots that RFC 5322 forbids", "a..b@example.com, .a@example.com, a.@example.com",
			[]string{"a..b@example.com", ".a@example.com", "a.@example.com"}},
		{"address literals", "bob@[192.0.2.1], bob@[IPv6:2001:db8::1]", []string{"bob@[192.0.2.1]", "bob@[IPv6:2001:db8::1]"}},
		{"routing characters are text", "host!bob, a%b@example.com", []string{"host!bob", "a%b@example.com"}},
		{"text that a shell would expand", "${x}@example.com, `id`@example.com", []string{"${x}@example.com", "`id`@example.com"}},
		{"UTF-8", "jörg@bücher.example", []string{"jörg@bücher.example"}},
		{"no closing bracket", "Bob <bob@example.com", []string{"bob@example.com"}},
		{"no closing bracket before a comma", "Bob <bob@example.com, c@example.com", []string{"bob@example.com", "c@example.com"}},
		{"nothing in brackets", "<>, a@example.com", []string{"a@example.com"}},
		{"a program", "|/bin/touch /t", []string{bad + "|/bin/touch /t"}},
		{"a program with an address as argument", "|/bin/mail a@example.com", []string{bad + "|/bin/mail a@example.com"}},
		{"a quoted program", `"|/bin/touch /t"`, []string{bad + `"|/bin/touch /t"`}},
		{"a program with a domain", `"|id"@example.com`, []string{bad + `"|id"@example.com`}},
		{"a program behind a backslash", `\|id`, []string{bad + `\|id`}},
		{"a file", "/etc/passwd", []string{bad + "/etc/passwd"}},
		{"a quoted file", `"/etc/passwd"`, []string{bad + `"/etc/passwd"`}},
		{"a file in brackets", "Bob </etc/passwd>", []string{bad + "Bob </etc/passwd>"}},
		{"an X.400 address", "/c=de/s=bob/@gw.example.com", []string{"/c=de/s=bob/@gw.example.com"}},
		{"an include", ":include:/etc/passwd", []string{bad + ":include:/etc/passwd"}},
		{"a quoted include", `":include:/etc/passwd"@example.com`, []string{bad + `":include:/etc/passwd"@example.com`}},
		{"octets that are not UTF-8", "b\xf6b@example.com", []string{bad + "b\xf6b@example.com"}},
		{"a domain that is not UTF-8", "bob@\xf6.example", []string{bad + "bob@\xf6.example"}},
		{"two @", "a@b@example.com", []string{bad + "a@b@example.com"}},
		{"no local part", "@example.com", []string{bad + "@example.com"}},
		{"no domain", "a@", []string{bad + "a@"}},
		{"only a dot as a domain", "a@.", []string{bad + "a@."}},
		{"an empty label", "a@example..com", []string{bad + "a@example..com"}},
		{"a space in an SMTP parameter", `<a@example.com> ORCPT=x`, []string{"a@example.com", bad + "ORCPT=x"}},
		{"brackets in brackets", "<<a@example.com>>", []string{bad + "<<a@example.com>", bad + ">"}},
		{"a quotation mark left open", `"Bob <a@example.com>, b@example.com`, []string{bad + `"Bob <a@example.com>, b@example.com`}},
		{"a control character", "a\x01b@example.com, c@example.com", []string{bad + "a\x01b@example.com", "c@example.com"}},
		{"a NUL in quotes", "\"a\x00b\"@example.com", []string{bad + "\"a\x00b\"@example.com"}},
		{"an escaped line end", "\"a\\\nb\"@example.com", []string{bad + "\"a\\\nb\"@example.com"}},
		{"a backslash inside", `a\b@example.com`, []string{bad + `a\b@example.com`}},
		{"an address that is too long", strings.Repeat("a", 309) + "@example.com", []string{bad + strings.Repeat("a", 309) + "@example.com"}},
		{"an address just short enough", strings.Repeat("a", 308) + "@example.com", []string{strings.Repeat("a", 308) + "@example.com"}},
		{"a label that is too long", "a@" + strings.Repeat("a", 64) + ".example", []string{bad + "a@" + strings.Repeat("a", 64) + ".example"}},
		{"nothing", "", nil},
		{"only white space", " \t\r\n ", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, m := range ParseList(tt.in) {
				if m.Err != nil {
					got = append(got, bad+m.Raw)
				} else {
					got = append(got, m.Addr)
				}
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("ParseList(%q)\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestParseListTellsMore(t *testing.T) {
	for _, tt := range []struct {
		in, name, addr, raw string
		noAlias             bool
	}{
		{`"Smith, \"JJ\"" <a@example.com>`, `Smith, "JJ"`, "a@example.com", `"Smith, \"JJ\"" <a@example.com>`, false},
		{"Ann O. Nym <a@example.com>", "Ann O. Nym", "a@example.com", "Ann O. Nym <a@example.com>", false},
		{" a@example.com (Ann) ", "Ann", "a@example.com", "a@example.com (Ann)", false},
		{`\bob`, "", "bob", `\bob`, true},
		{`Bob <\bob@example.com>`, "Bob", "bob@example.com", `Bob <\bob@example.com>`, true},
	} {
		all := ParseList(tt.in)
		if len(all) != 1 {
			t.Errorf("ParseList(%q) gave %d members", tt.in, len(all))
			continue
		}
		if m := all[0]; m.Name != tt.name || m.Addr != tt.addr || m.Raw != tt.raw || m.NoAlias != tt.noAlias || m.Err != nil {
			t.Errorf("ParseList(%q) = %+v", tt.in, m)
		}
	}
	all := ParseList(strings.Repeat("a", 321))
	if len(all) != 1 || !errors.Is(all[0].Err, ErrTooLong) {
		t.Errorf("an address of 321 octets gave %+v, want ErrTooLong", all)
	}
}

func TestMailboxesCanBeLeftEarly(t *testing.T) {
	n := 0
	for range Mailboxes("a@x b@x, <c@x>, d") {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("saw %d members, want 2", n)
	}
}

func TestQualifyField(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"From: root (Cron Daemon)\r\n", "From: root@o.example (Cron Daemon)\r\n"},
		{"From: ann\r\n", "From: ann@o.example\r\n"},
		{"To:\tBob <bob>,\r\n  c@example.com,, \"d e\" ; \\f\r\n",
			"To:\tBob <bob@o.example>,\r\n  c@example.com,, \"d e\"@o.example ; \\f@o.example\r\n"},
		{"Cc: G: bob, ann;\r\n", "Cc: G: bob@o.example, ann@o.example;\r\n"},
		{"To: undisclosed-recipients:;\r\n", "To: undisclosed-recipients:;\r\n"},
		{"To: Pete(A \\) chap) <pete(acct)@silly.test(h)>\r\n", "To: Pete(A \\) chap) <pete(acct)@silly.test(h)>\r\n"},
		{"To: Bob Jones, /file, \"open\r\n", "To: Bob Jones, /file, \"open\r\n"},
		{"To: \"carol@example.com\"\r\n", "To: \"carol@example.com\"\r\n"},
	} {
		name, body, _ := strings.Cut(tt.in, ":")
		got := QualifyField(Field{name, body}, "o.example")
		if got.String() != tt.want {
			t.Errorf("QualifyField(%q)\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
}

func TestQualifyAndSplitAddr(t *testing.T) {
	for _, tt := range []struct{ in, want, local, domain string }{
		{"bob", "bob@o.example", "bob", ""},
		{"bob@Example.COM", "bob@Example.COM", "bob", "Example.COM"},
		{`"a@b"`, `"a@b"@o.example`, `"a@b"`, ""},
		{`"a@b"@example.com`, `"a@b"@example.com`, `"a@b"`, "example.com"},
		{"", "", "", ""},
	} {
		if got := Qualify(tt.in, "o.example"); got != tt.want {
			t.Errorf("Qualify(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if local, domain := SplitAddr(tt.in); local != tt.local || domain != tt.domain {
			t.Errorf("SplitAddr(%q) = %q, %q", tt.in, local, domain)
		}
	}
	if Key("Bob@EXAMPLE.com") != Key("Bob@example.COM") || Key("Bob@x") == Key("bob@x") || Key("A") == Key("a") {
		t.Error("Key: the domain alone is compared without case")
	}
}

// fit holds what an address must be to stand in an SMTP command between brackets.
func fit(addr string) bool {
	if len(addr) > MaxAddress || !utf8.ValidString(addr) || strings.IndexFunc(addr, isControl) >= 0 {
		return false
	}
	quoted := false
	for i := 0; i < len(addr); i++ {
		switch c := addr[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case strings.IndexByte(" <>()\\,;", c) >= 0 && !quoted:
			return false
		}
	}
	return !quoted && addr != ""
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{"a@x", `"N, M" <a@x>`, `Pete(A \) b) <pete(c)@x(d)>`, "G: a@x, b@y;", "<@r1,@r2:bob@x>",
		`"john..doe, x"@x`, "bob@[IPv6:::1]", `\bob`, `"|a" , /f, :include:/x`, "a@b@c", "(((", `"`, "<", "a\x00@b", "é@ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range ParseList(s) {
			if m.Err != nil {
				continue
			}
			if !fit(m.Addr) {
				t.Fatalf("%q in %q does not fit into a command", m.Addr, s)
			}
			again := ParseList(m.Addr)
			if len(again) != 1 || again[0].Err != nil || again[0].Addr != m.Addr {
				t.Fatalf("%q in %q was read again as %+v", m.Addr, s, again)
			}
		}
		good := goodAddrs(s)
		if again := goodAddrs(strings.Join(good, ", ")); !slices.Equal(again, good) {
			t.Fatalf("%q gives %q, which printed as a list gives %q", s, good, again)
		}
		// What stands in a comment is nobody's address.
		if more := goodAddrs("(eve@x, <eve@x>, \\) (G: eve@x;)) " + s); !slices.Equal(more, good) {
			t.Fatalf("%q gives %q, behind a comment %q", s, good, more)
		}
		checkOrigins(t, s, good)
		q := QualifyField(Field{"To", s}, "o.example")
		if again := QualifyField(q, "p.example"); again != q {
			t.Fatalf("qualifying %q twice: %q, then %q", s, q.Body, again.Body)
		}
		for i := range good {
			if good[i] = Qualify(good[i], "o.example"); len(good[i]) > MaxAddress {
				return
			}
		}
		if got := goodAddrs(q.Body); !slices.Equal(got, good) {
			t.Fatalf("%q was qualified as %q, which gives %q, want %q", s, q.Body, got, good)
		}
	})
}

func goodAddrs(s string) []string {
	all := []string{}
	for _, m := range ParseList(s) {
		if m.Err == nil {
			all = append(all, m.Addr)
		}
	}
	return all
}

// checkOrigins holds that every address stands in s, but for what quoting and blanks add or take away.
func checkOrigins(t *testing.T, s string, addrs []string) {
	t.Helper()
	bare := strings.NewReplacer(`"`, "", `\`, "", " ", "", "\t", "", "\r", "", "\n", "").Replace
	for _, a := range addrs {
		for part := range strings.SplitSeq(a, "@") {
			if !strings.Contains(bare(s), bare(part)) {
				t.Fatalf("%q in %q was made up", a, s)
			}
		}
	}
}
