package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestToASCII(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"B.Test", "b.test"},
		{"b.test.", "b.test"},
		{"BÜCHER.Test", "xn--bcher-kva.test"},
		{"bu\u0308cher.test", "xn--bcher-kva.test"}, // decomposed
		{"straße.test", "xn--strae-oqa.test"},       // not "strasse": non-transitional
		{"_dmarc.bücher.test", "_dmarc.xn--bcher-kva.test"},
		{"例え。テスト。", "xn--r8jz45g.xn--zckzah"},
		{"bücher／x.test", ""},
		{"bücher＠x.test", ""},
		{"a\u200db\u00fc.test", ""},
		{"_dmarc.b.test", "_dmarc.b.test"},
		{"xn--bcher-kva.test", "xn--bcher-kva.test"},
		{"b-.-b.test", "b-.-b.test"},
		{"", ""},
		{".", ""},
		{"b..test", ""},
		{".b.test", ""},
		{"b.test..", ""},
		{"b test", ""},
		{"b\r\n.test", ""},
		{"b.test\x00", ""},
		{"[192.0.2.1]", ""},
		{"a@b.test", ""},
		{strings.Repeat("a", 64) + ".test", ""},
		{strings.Repeat("a.", 127) + "a", ""},
		{"b\xff.test", ""},
	} {
		got, err := ToASCII(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %q, %v", tt.in, got, err)
		}
	}
}

func FuzzToASCII(f *testing.F) {
	for _, s := range []string{"b.test", "bücher.test", "xn--", "。", "a\u200db"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := ToASCII(s)
		if err != nil {
			return
		}
		if again, err := ToASCII(name); err != nil || again != name || !IsHost(name) {
			t.Fatalf("%q gives %q, which gives %q, %v", s, name, again, err)
		}
	})
}

func TestZone(t *testing.T) {
	z := &Zone{
		MXs:       map[string][]MX{"b.test": {{"mx2.test", 20}, {"mx1.test", 10}}},
		Addresses: map[string][]string{"mx1.test": {"192.0.2.1", "2001:db8::1"}},
		TLSAs:     map[string][]TLSA{"_25._tcp.mx1.test": {{3, 1, 1, []byte{1}}}},
		TXTs:      map[string][]string{"b.test": {"x"}},
		Aliases:   map[string]string{"alias.test": "b.test", "a.test": "a.test"},
		Authentic: true, Insecure: []string{"alias.test"}, Fail: []string{"down.test", "TXT b.test"},
	}
	ctx := t.Context()
	show := func(v any, authentic bool, err error) string {
		for _, kind := range []error{ErrNotFound, ErrNoData, ErrTemporary} {
			if errors.Is(err, kind) {
				return kind.Error()
			}
		}
		return fmt.Sprint(v, authentic, err)
	}
	mx := func(name string) string { v, a, err := z.MX(ctx, name); return show(v, a, err) }
	ips := func(name string) string { v, a, err := z.Addrs(ctx, name); return show(v, a, err) }
	txt := func(name string) string { v, a, err := z.TXT(ctx, name); return show(v, a, err) }
	tlsa := func(name string) string { v, a, err := z.TLSA(ctx, name); return show(v, a, err) }
	for _, tt := range []struct{ name, got, want string }{
		{"sorted", mx("B.test."), "[{mx1.test 10} {mx2.test 20}] true <nil>"},
		{"alias", mx("alias.test"), "[{mx1.test 10} {mx2.test 20}] false <nil>"},
		{"alias of itself", mx("a.test"), "no such records"},
		{"no such name", mx("none.test"), "no such name"},
		{"a name with one below", mx("test"), "no such records"},
		{"all of a name fails", mx("down.test"), "no answer at present"},
		{"one type of a name fails", txt("b.test"), "no answer at present"},
		{"addresses", ips("mx1.test"), "[192.0.2.1 2001:db8::1] true <nil>"},
		{"no addresses", ips("b.test"), "no such records"},
		{"localhost", ips("localhost"), "[127.0.0.1 ::1] false <nil>"},
		{"TLSA", tlsa("_25._tcp.mx1.test"), "[{3 1 1 [1]}] true <nil>"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
	z.Ask = func(_ context.Context, kind, name string) error { return errors.New(kind + " of " + name) }
	if _, _, err := z.MX(ctx, "b.test"); err.Error() != "looking up MX of b.test: no answer at present: MX of b.test" {
		t.Errorf("got %v", err)
	}
}
