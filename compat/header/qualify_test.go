package header

import (
	"slices"
	"strings"
	"testing"
)

func TestReplaceAddrs(t *testing.T) {
	to := map[string]string{
		"root@www1.example.org": "ops@example.org",
		"bob@www1.example.org":  "bob@example.org",
		"ann@www1.example.org":  "Ann.X@www1.example.org",
		"a@[192.0.2.1]":         "a@example.org",
		`"a b"@x`:               `"c, d"@x`,
		"root":                  "ops@example.org",
		"é@www1.example.org":    "é@example.org",
	}
	for _, tt := range []struct{ name, body, want string }{
		{"a bare address", " root@www1.example.org\r\n", " ops@example.org\r\n"},
		{"cron's comment", " root@www1.example.org (Cron Daemon)\r\n", " ops@example.org (Cron Daemon)\r\n"},
		{"a display name", ` "R, oot" <root@www1.example.org>` + "\r\n", ` "R, oot" <ops@example.org>` + "\r\n"},
		{"an encoded name on lines of its own", " =?UTF-8?Q?J=C3=B6rg?=\r\n\t<bob@www1.example.org>\r\n", " =?UTF-8?Q?J=C3=B6rg?=\r\n\t<bob@example.org>\r\n"},
		{"raw UTF-8 around", " Jörg <é@www1.example.org>\r\n", " Jörg <é@example.org>\r\n"},
		{"octets that are no text around", " J\xf6rg <bob@www1.example.org>\r\n", " J\xf6rg <bob@example.org>\r\n"},
		{"comments and line ends within", " root(a)\r\n @(b\\))www1.example.org(c)\r\n", " ops(a)\r\n @(b\\))example.org(c)\r\n"},
		{"only the domain", " bob@www1.example.org.\r\n", " bob@example.org\r\n"},
		{"only the local part", " ann@www1.example.org.\r\n", " Ann.X@www1.example.org.\r\n"},
		{"a quoted local part", ` <"a b"@x>`, ` <"c, d"@x>`},
		{"quoted as a whole", ` "bob@www1.example.org" (x)`, ` bob@example.org (x)`},
		{"a backslash", ` \root@www1.example.org`, ` ops@example.org`},
		{"a source route", " <@r,@s:bob@www1.example.org>", " <@r,@s:bob@example.org>"},
		{"several", " bob@www1.example.org, x@y,, root@www1.example.org; Z <z@z>", " bob@example.org, x@y,, ops@example.org; Z <z@z>"},
		{"a group", " G: bob@www1.example.org, x@y;", " G: bob@example.org, x@y;"},
		{"several with blanks between", " bob@www1.example.org root@www1.example.org", " bob@example.org ops@example.org"},
		{"a literal that touches the next", " a@[192.0.2.1]root@www1.example.org", " a@example.org ops@example.org"},
		{"a name without a domain", " root (x)", " ops@example.org (x)"},
		{"not closed", " Bob <bob@www1.example.org", " Bob <bob@example.org"},
		{"no address", " root@www1.example.org@x, |root@www1.example.org", " root@www1.example.org@x, |root@www1.example.org"},
		{"another address", " root@www2.example.org (root@www1.example.org)", " root@www2.example.org (root@www1.example.org)"},
		{"the name looks like an address", ` "root@www1.example.org" <x@y>`, ` "root@www1.example.org" <x@y>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ReplaceAddrs(Field{"From", tt.body}, func(addr string) string {
				if new, ok := to[addr]; ok {
					return new
				}
				return addr
			})
			if got.Body != tt.want {
				t.Errorf("got  %q\nwant %q", got.Body, tt.want)
			}
		})
	}
}

func TestReplaceAddrsKeepsTheLimit(t *testing.T) {
	long := Field{"From", strings.Repeat("a@b,", MaxField/8) + "\r\n"}
	if got := ReplaceAddrs(long, func(string) string { return strings.Repeat("c", 300) + "@example.org" }); got != long {
		t.Errorf("it has %d octets", len(got.Body))
	}
}

// What replaces an address is what is read there again, and everything else stays as it was.
func FuzzReplaceAddrs(f *testing.F) {
	for _, s := range []string{"root (Cron Daemon)", "a@[192.0.2.1]b@c", `"x@y" <a@b>, G: \c@d;`, "a@b .c@d", "<@r:a@b>", "a@b. c@d"} {
		f.Add(s, "ops@example.org")
		f.Add(s, `"o p"@example.org`)
	}
	f.Fuzz(func(t *testing.T, body, new string) {
		list := ParseList(new)
		if len(list) != 1 || list[0].Err != nil || list[0].Addr != new || list[0].bare > 0 || new[0] == '.' {
			return
		}
		for _, keepLocal := range []bool{false, true} {
			replace := func(addr string) string {
				local, _ := SplitAddr(addr)
				_, domain := SplitAddr(new)
				if changed := local + "@" + domain; keepLocal && len(changed) <= MaxAddress {
					return changed
				}
				return new
			}
			want := goodAddrs(body)
			for i := range want {
				want[i] = replace(want[i])
			}
			got := ReplaceAddrs(Field{"From", body}, replace)
			if !slices.Equal(goodAddrs(got.Body), want) && len(body) < 1000 {
				t.Fatalf("%q became %q, which gives %q, want %q", body, got.Body, goodAddrs(got.Body), want)
			}
			if names, kept := namesIn(body), namesIn(got.Body); !slices.Equal(names, kept) && len(body) < 1000 {
				t.Fatalf("%q became %q, with the names %q, want %q", body, got.Body, kept, names)
			}
			if len(want) == 0 && got.Body != body {
				t.Fatalf("%q became %q", body, got.Body)
			}
			if same := ReplaceAddrs(got, func(addr string) string { return addr }); same != got {
				t.Fatalf("%q became %q for nothing", got.Body, same.Body)
			}
		}
	})
}

// namesIn gives the names of good members, and what the bad ones say.
func namesIn(s string) []string {
	names := []string{}
	for _, m := range ParseList(s) {
		if names = append(names, m.Name); m.Err != nil {
			names[len(names)-1] = m.Err.Error()
		}
	}
	return names
}
