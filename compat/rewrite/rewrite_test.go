package rewrite_test

import (
	"strings"
	"testing"

	"signpost/compat/header"
	"signpost/compat/rewrite"
)

// rules makes rules that must have no fault.
func rules(t *testing.T, senders map[string]string) rewrite.Rules {
	t.Helper()
	r, faults := rewrite.New(senders)
	for _, f := range faults {
		t.Fatalf("%q: %v", f.Pattern, f.Err)
	}
	return r
}

// Each row of this table is more specific than those below it.
var ladder = []struct{ pattern, to string }{
	{"root@www1.example.org", "a@one.example"},
	{"root@.www1.example.org", "b@one.example"},
	{"root@.example.org", "c@one.example"},
	{"root@*", "d@one.example"},
	{"@www1.example.org", "e@one.example"},
	{"@.www1.example.org", "f@one.example"},
	{"@.example.org", "g@one.example"},
	{"@.org", "h@one.example"},
	{"*", "i@one.example"},
}

func TestTheMostSpecificRuleDecides(t *testing.T) {
	left := map[string]string{}
	for _, l := range ladder {
		left[l.pattern] = l.to
	}
	for _, l := range ladder {
		to, rule, ok := rules(t, left).Sender("root@www1.example.org")
		if to != l.to || rule != l.pattern || !ok {
			t.Errorf("got %q by %q, %v, want %q by %q", to, rule, ok, l.to, l.pattern)
		}
		delete(left, l.pattern)
	}
	if to, rule, ok := rules(t, left).Sender("root@www1.example.org"); ok || rule != "" || to != "root@www1.example.org" {
		t.Errorf("without a rule: %q by %q, %v", to, rule, ok)
	}
}

func TestSender(t *testing.T) {
	r := rules(t, map[string]string{
		"root@*":               "ops@example.org",
		"ops@example.org":      "twice@example.org",
		"@www1.example.org":    "@example.org",
		"@.lan":                "@example.org",
		"Ann@Example.COM":      "ann.x@EXAMPLE.net",
		`"j d"@*`:              "j.d@example.org",
		"@keep.lan":            "@keep.lan",
		"@xn--mller-kva.test":  "@example.org",
		"@xn--mller-kva2.test": `"a b"@example.org`,
		"@long.example":        "@" + strings.Repeat("l.", 120) + "example.org",
	})
	r.ASCII = func(domain string) string {
		return map[string]string{"müller.test": "xn--mller-kva.test", "MÜLLER.test": "xn--mller-kva.test"}[domain]
	}
	for _, tt := range []struct{ name, addr, want, rule string }{
		{"a name in every domain", "root@www1.example.org", "ops@example.org", "root@*"},
		{"a name in a literal", "root@[192.0.2.1]", "ops@example.org", "root@*"},
		{"the case of letters", "ROOT@WWW9.Example.Org", "ops@example.org", "root@*"},
		{"detail is another name", "root+x@www2.example.org", "", ""},
		{"a domain", "Www-Data@WWW1.example.org", "Www-Data@example.org", "@www1.example.org"},
		{"a domain below it", "a@b.www1.example.org", "", ""},
		{"a result is not looked up again", "ops@example.org", "twice@example.org", "ops@example.org"},
		{"a domain and all below it: itself", "a@lan", "a@example.org", "@.lan"},
		{"a domain and all below it", "a@b.c.lan", "a@example.org", "@.lan"},
		{"an end of a name is no domain", "a@xlan", "", ""},
		{"an exception", "a@keep.lan", "", ""},
		{"in capitals", "ann@example.com", "ann.x@example.net", "Ann@Example.COM"},
		{"a quoted local part", `"j d"@x.example`, "j.d@example.org", `"j d"@*`},
		{"a quoted local part stays", `"a@www1"@www1.example.org`, `"a@www1"@example.org`, "@www1.example.org"},
		{"a domain of another script", "a@müller.test", "a@example.org", "@xn--mller-kva.test"},
		{"the same in capitals", "a@MÜLLER.test", "a@example.org", "@xn--mller-kva.test"},
		{"the same as A-labels", "a@XN--mller-kva.test", "a@example.org", "@xn--mller-kva.test"},
		{"a local part of another script", "jörg@www1.example.org", "jörg@example.org", "@www1.example.org"},
		{"the null reverse-path", "", "", ""},
		{"no domain", "root", "", ""},
		{"what would be too long", strings.Repeat("a", 100) + "@long.example", "", "@long.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == "" {
				want = tt.addr
			}
			to, rule, ok := r.Sender(tt.addr)
			if to != want || rule != tt.rule || ok != (tt.want != "") {
				t.Errorf("got %q by %q, %v, want %q by %q", to, rule, ok, want, tt.rule)
			}
		})
	}
}

func TestNoRules(t *testing.T) {
	var zero rewrite.Rules
	if to, _, ok := zero.Sender("a@b.example"); ok || to != "a@b.example" || zero.Len() != 0 {
		t.Errorf("got %q, %v", to, ok)
	}
}

// A rule with a fault is left out, and the others hold. What is said of each fault is in the tests of mta/config.
func TestFaults(t *testing.T) {
	r, faults := rewrite.New(map[string]string{"root": "a@x.example", "b@*": "nobody", "B@*": "ops@x.example", "@x.example": "@y.example", "@X.example": "@z.example"})
	var got []string
	for _, f := range faults {
		where := "pattern"
		if f.Target {
			where = "target"
		}
		got = append(got, f.Pattern+" "+where)
	}
	if got, want := strings.Join(got, ", "), "@x.example pattern, b@* pattern, root pattern"; got != want {
		t.Errorf("faults at %s, want %s", got, want)
	}
	if to, _, _ := r.Sender("c@x.example"); to != "c@z.example" || r.Len() != 2 {
		t.Errorf("%d rules, and c becomes %q", r.Len(), to)
	}
}

// What comes out of rules that were taken can stand in an SMTP command and in a field, and is what is read there.
func FuzzSender(f *testing.F) {
	for _, l := range ladder {
		f.Add(l.pattern, l.to, "root@www1.example.org")
	}
	f.Add(`"a\"b"@*`, `"c d"@x.example`, `"a\"b"@y.example`)
	f.Add("@.x", "@y", "é@a.x")
	f.Add("|a@*", "/b@x", ":include:/c@x")
	f.Fuzz(func(t *testing.T, pattern, target, addr string) {
		r, faults := rewrite.New(map[string]string{pattern: target})
		if len(faults)+r.Len() != 1 {
			t.Fatalf("%q: %d faults and %d rules", pattern, len(faults), r.Len())
		}
		list := header.ParseList(addr)
		if len(list) != 1 || list[0].Err != nil {
			return
		}
		addr = list[0].Addr
		to, rule, ok := r.Sender(addr)
		if !ok {
			if to != addr || rule != "" && rule != pattern {
				t.Fatalf("%q became %q by %q, and is said to stay", addr, to, rule)
			}
			return
		}
		if rule != pattern || len(to) > header.MaxAddress {
			t.Fatalf("%q became %q by %q", addr, to, rule)
		}
		if again := header.ParseList(to); len(again) != 1 || again[0].Err != nil || again[0].Addr != to {
			t.Fatalf("%q became %q, which is read as %+v", addr, to, again)
		}
		field := header.Field{Name: "From", Body: ` "x, y" <` + addr + "> (z)\r\n"}
		got := header.ReplaceAddrs(field, func(string) string { return to })
		if want := ` "x, y" <` + to + "> (z)\r\n"; got.Body != want {
			t.Fatalf("the field is %q, want %q", got.Body, want)
		}
	})
}
