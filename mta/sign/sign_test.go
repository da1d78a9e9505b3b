package sign

import (
	"bufio"
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"signpost/mta/sign/signtest"
)

// testKey makes the one RSA key of all tests; making one takes a while.
var testKey = sync.OnceValue(func() crypto.Signer {
	key, err := Generate("rsa2048")
	if err != nil {
		panic(err)
	}
	return key
})

// zone is TXT records by name.
type zone map[string][]string

func (z zone) txt(name string) ([]string, error) { return z[name], nil }

// keyFile writes a key file and publishes its record.
func (z zone) keyFile(t testing.TB, kind, selector, domain string) string {
	t.Helper()
	key := testKey()
	if kind != "rsa2048" {
		var err error
		if key, err = Generate(kind); err != nil {
			t.Fatal(err)
		}
	}
	record, err := Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	z[RecordName(selector, domain)] = []string{record}
	path := filepath.Join(t.TempDir(), selector+".pem")
	if _, err := WriteFile(path, key); err != nil {
		t.Fatal(err)
	}
	return path
}

// bothKeys is a signer with an Ed25519 and an RSA key for signtest.Domain, named in this order.
func bothKeys(t testing.TB) (*Signer, zone) {
	t.Helper()
	z := make(zone)
	s, err := New([]Key{
		{Domain: signtest.Domain, Selector: "ed", Path: z.keyFile(t, "ed25519", "ed", signtest.Domain)},
		{Domain: signtest.Domain, Selector: "rsa", Path: z.keyFile(t, "rsa2048", "rsa", signtest.Domain)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, z
}

func TestEveryShapeSignedVerifies(t *testing.T) {
	s, z := bothKeys(t)
	messages := signtest.Messages()
	if len(messages) < 60 {
		t.Fatalf("the corpus has %d messages, want at least 60", len(messages))
	}
	seen := make(map[string]bool)
	for _, m := range messages {
		t.Run(m.Name, func(t *testing.T) {
			if seen[m.Name] {
				t.Fatal("the name is used twice")
			}
			seen[m.Name] = true
			fields, err := s.Fields(bytes.NewReader(m.Wire))
			if err != nil {
				t.Fatal(err)
			}
			checkFields(t, fields, 2)
			all, err := Verify(io.MultiReader(bytes.NewReader(fields), bytes.NewReader(m.Wire)), z.txt)
			if err != nil {
				t.Fatal(err)
			}
			wantGood(t, all, "rsa-sha256", "ed25519-sha256")
		})
	}
}

// wantGood checks that the first signatures are good and of these algorithms.
func wantGood(t *testing.T, all []Verdict, algorithms ...string) {
	t.Helper()
	if len(all) < len(algorithms) {
		t.Fatalf("%d signatures, want %d", len(all), len(algorithms))
	}
	for i, want := range algorithms {
		if v := all[i]; v.Err != nil || v.Algorithm != want {
			t.Errorf("signature %d: %s, %v, want %s that verifies", i, v.Algorithm, v.Err, want)
		}
	}
}

// checkFields checks the form of what Fields gave: n fields with CRLF line ends of at most 998 octets.
func checkFields(t *testing.T, fields []byte, n int) {
	t.Helper()
	if got := bytes.Count(fields, []byte("DKIM-Signature:")); got != n {
		t.Errorf("%d fields, want %d", got, n)
	}
	if !bytes.HasSuffix(fields, []byte("\r\n")) {
		t.Error("the last field does not end in CRLF")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(fields), "\r\n"), "\r\n") {
		if len(line) > 998 || line == "" || strings.ContainsAny(line, "\r\n") {
			t.Errorf("bad line of %d octets: %.60q", len(line), line)
		}
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "DKIM-Signature:") {
			t.Errorf("line is neither begin nor continuation of a field: %.60q", line)
		}
	}
}

func TestWhatIsAddedBehindOurBackBreaksTheSignature(t *testing.T) {
	s, z := bothKeys(t)
	wire := []byte("From: ann@example.org\r\nSubject: x\r\n\r\nbody\r\n")
	fields, err := s.Fields(bytes.NewReader(wire))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range defaultNames.oversigned {
		all, err := Verify(strings.NewReader(string(fields)+name+": eve\r\n"+string(wire)), z.txt)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range all {
			if v.Err == nil {
				t.Errorf("%s: %s verifies with a second %s", v.Selector, v.Algorithm, name)
			}
		}
	}
	added := "Received: by eve\r\nList-Id: <list>\r\nX-Spam: no\r\n"
	all, err := Verify(strings.NewReader(added+string(fields)+string(wire)), z.txt)
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, all, "rsa-sha256", "ed25519-sha256")
	all, _ = Verify(strings.NewReader(string(fields)+string(wire)+"more\r\n"), z.txt)
	for _, v := range all {
		if v.Err == nil {
			t.Errorf("%s verifies with a longer body", v.Algorithm)
		}
	}
}

func TestFieldsSaysWhatItIs(t *testing.T) {
	s, _ := bothKeys(t)
	fields, err := s.Fields(strings.NewReader("From: ann@example.org\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.SplitAfter(string(fields), "DKIM-Signature:")[1:] {
		want := map[string]string{"v": "1", "c": "relaxed/relaxed", "d": "example.org", "l": "", "x": ""}
		for name, value := range want {
			if got := tag(field, name); got != value {
				t.Errorf("%s=%s, want %s", name, got, value)
			}
		}
		if tag(field, "t") == "" {
			t.Error("no t=")
		}
		if h := tag(field, "h"); !strings.HasPrefix(h, "From:Subject:") || strings.Count(h, "From") != 2 {
			t.Errorf("h=%s does not sign From twice", h)
		}
	}
}

func TestWhichKeysSign(t *testing.T) {
	z := make(zone)
	rsa := z.keyFile(t, "rsa2048", "x", "x")
	s, err := New([]Key{
		{Domain: "example.org", Selector: "only", Path: rsa},
		{Domain: "Example.COM.", Selector: "top", Path: rsa, Subdomains: true},
		{Domain: "sub.example.com", Selector: "sub", Path: rsa},
		{Domain: "deep.a.example.com", Selector: "deep", Path: rsa, Subdomains: true},
		{Domain: "b\u00fccher.example", Selector: "idn", Path: rsa},
		{Domain: "two.example", Selector: "t1", Path: rsa},
		{Domain: "two.example", Selector: "t2", Path: rsa},
		{Domain: "two.example", Selector: "t3", Path: rsa, Subdomains: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, header, want string }{
		{"the domain itself", "From: ann@example.org", "only"},
		{"no key for a subdomain", "From: ann@sub.example.org", ""},
		{"no key for a domain that only ends alike", "From: ann@myexample.com", ""},
		{"capitals and trailing dot of the entry", "From: ann@EXAMPLE.com", "top"},
		{"subdomain of an entry that wants them", "From: ann@x.y.example.com", "top"},
		{"an entry of its own wins", "From: ann@sub.example.com", "sub"},
		{"an entry without subdomains does not hide the one above", "From: ann@x.sub.example.com", "top"},
		{"the nearest entry wins", "From: ann@x.deep.a.example.com", "deep"},
		{"U-labels", "From: ann@b\u00fccher.example", "idn"},
		{"A-labels", "From: ann@xn--bcher-kva.example", "idn"},
		{"several entries", "From: ann@two.example", "t1 t2 t3"},
		{"of several entries those for subdomains", "From: ann@x.two.example", "t3"},
		{"an address in the name does not count", `From: "ann@example.org" <eve@other.example>`, ""},
		{"two domains in one field", "From: ann@example.org, bob@two.example", "only t1 t2 t3"},
		{"two addresses of one domain", "From: ann@example.org, bob@example.org", "only"},
		{"a group", "From: us: ann@example.org;", "only"},
		{"no From field", "To: ann@example.org", ""},
		{"two From fields", "From: ann@example.org\r\nFrom: ann@example.org", ""},
		{"two From fields in other spelling", "From: ann@example.org\r\nfrom : eve@other.example", ""},
		{"no address", "From: ann", ""},
		{"empty", "From:", ""},
		{"address literal", "From: ann@[192.0.2.1]", ""},
		{"Sender does not count", "From: eve@other.example\r\nSender: ann@example.org", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields, err := s.Fields(strings.NewReader(tt.header + "\r\n\r\nbody\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range strings.SplitAfter(string(fields), "DKIM-Signature:")[1:] {
				got = append(got, tag(f, "s"))
			}
			if fields == nil {
				got = nil
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("signed by %q, want %q", g, tt.want)
			}
		})
	}
}

func TestFieldsFails(t *testing.T) {
	s, _ := bothKeys(t)
	broken := errors.New("disk on fire")
	tests := []struct {
		name string
		wire io.Reader
		want string
	}{
		{"lone LF in the header", strings.NewReader("From: ann@example.org\nTo: x\r\n\r\n"), "CRLF"},
		{"lone CR in the header", strings.NewReader("From: ann@example.org\r\nTo: x\ry\r\n\r\n"), "CRLF"},
		{"header cut in a line", strings.NewReader("From: ann@exam"), "CRLF"},
		{"endless header", io.MultiReader(strings.NewReader("From: ann@example.org\r\n"), &endless{}), "larger than"},
		{"reading the header breaks", iotest.ErrReader(broken), "disk on fire"},
		{"reading the body breaks", io.MultiReader(strings.NewReader("From: ann@example.org\r\n\r\nx\r\n"), iotest.ErrReader(broken)),
			"disk on fire"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields, err := s.Fields(tt.wire)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if fields != nil {
				t.Error("fields beside an error")
			}
		})
	}
}

// endless is a header that never ends.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n++
	return copy(p, fmt.Sprintf("X-%d: x\r\n", e.n)), nil
}

func TestNoKeysReadNothing(t *testing.T) {
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := s.Fields(iotest.ErrReader(errors.New("was read")))
	if fields != nil || err != nil {
		t.Errorf("%q, %v, want neither", fields, err)
	}
}

func TestNoEmptyLineMeansNoBody(t *testing.T) {
	s, z := bothKeys(t)
	wire := "From: ann@example.org\r\nSubject: cron\r\n"
	fields, err := s.Fields(strings.NewReader(wire))
	if err != nil {
		t.Fatal(err)
	}
	all, err := Verify(strings.NewReader(string(fields)+wire), z.txt)
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, all, "rsa-sha256", "ed25519-sha256")
}

func TestFieldsDoesNotDependOnThePieces(t *testing.T) {
	s, z := bothKeys(t)
	wire := "From: ann@example.org\r\nSubject: a\r\n b\r\n\r\nline\r\n\r\n"
	fields, err := s.Fields(iotest.OneByteReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatal(err)
	}
	all, err := Verify(strings.NewReader(string(fields)+wire), z.txt)
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, all, "rsa-sha256", "ed25519-sha256")
}

func TestConcurrentUse(t *testing.T) {
	s, z := bothKeys(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			wire := fmt.Sprintf("From: ann@example.org\r\nSubject: %d\r\n\r\n%d\r\n", i, i)
			fields, err := s.Fields(strings.NewReader(wire))
			if err != nil {
				t.Error(err)
				return
			}
			all, err := Verify(strings.NewReader(string(fields)+wire), z.txt)
			if err != nil || len(all) != 2 || all[0].Err != nil || all[1].Err != nil {
				t.Errorf("%v, %v", all, err)
			}
		})
	}
	wg.Wait()
}

func TestNames(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		count   map[string]int
		want    string
	}{
		{"own list is oversigned, From added", []string{"Subject", "x-own"}, map[string]int{"from": 1, "subject": 1},
			"From:Subject:x-own:From:Subject"},
		{"a name given twice counts once", []string{"from", "FROM", "To"}, map[string]int{"from": 1}, "From:To:From"},
		{"repeats", []string{"To"}, map[string]int{"from": 1, "to": 3}, "From:To:From:To:To:To"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := namesOf(tt.headers)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(n.list(tt.count), ":"); got != tt.want {
				t.Errorf("h=%s, want %s", got, tt.want)
			}
		})
	}
}

func TestNamesStayWithinTheLine(t *testing.T) {
	count := make(map[string]int)
	for _, name := range slices.Concat(defaultNames.oversigned, defaultNames.present) {
		count[strings.ToLower(name)] = 100
	}
	h := strings.Join(defaultNames.list(count), ":")
	if len(h) > maxList || len(h) < maxList-30 {
		t.Errorf("h= has %d octets, want nearly %d", len(h), maxList)
	}
	for _, name := range defaultNames.oversigned {
		if !strings.Contains(":"+h+":", ":"+name+":") {
			t.Errorf("%s is not signed", name)
		}
	}
}

func TestNewTellsEverythingThatIsWrong(t *testing.T) {
	z := make(zone)
	good := z.keyFile(t, "ed25519", "x", "x")
	long := strings.Split(strings.Repeat("x", 30), "")
	for i := range long {
		long[i] = strings.Repeat("x", i+1)
	}
	tests := []struct {
		name string
		key  Key
		want string
	}{
		{"no domain", Key{Selector: "s", Path: good}, `domain "": is missing`},
		{"no selector", Key{Domain: "example.org", Path: good}, `selector "": is missing`},
		{"selector with a blank", Key{Domain: "example.org", Selector: "a b", Path: good}, `' '`},
		{"selector that would end the tag", Key{Domain: "example.org", Selector: "a;d=x", Path: good}, `';'`},
		{"selector with an empty label", Key{Domain: "example.org", Selector: "a.", Path: good}, "empty part"},
		{"name too long for DNS", Key{Domain: strings.Repeat("abcdefg.", 30) + "org", Selector: "selector", Path: good}, "DNS takes 253"},
		{"label too long", Key{Domain: strings.Repeat("a", 64) + ".org", Selector: "s", Path: good}, "DNS takes 63"},
		{"header that is none", Key{Domain: "example.org", Selector: "s", Path: good, Headers: []string{"To:"}}, "no field name"},
		{"header that changes", Key{Domain: "example.org", Selector: "s", Path: good, Headers: []string{"received"}}, "changes on the way"},
		{"too many headers", Key{Domain: "example.org", Selector: "s", Path: good, Headers: long}, "room"},
		{"no file", Key{Domain: "example.org", Selector: "s", Path: good + "x"}, "no such file"},
	}
	var keys []Key
	for _, tt := range tests {
		keys = append(keys, tt.key)
		_, err := New([]Key{tt.key})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	s, err := New(append(keys, Key{Domain: "example.org", Selector: "s", Path: good}))
	if s != nil || err == nil || strings.Count(err.Error(), "\n") != len(keys)-1 {
		t.Errorf("%d lines of errors, want %d", strings.Count(err.Error(), "\n")+1, len(keys))
	}
	same := Key{Domain: "example.org", Selector: "s", Path: good}
	if _, err := New([]Key{same, {Domain: "EXAMPLE.ORG", Selector: "S", Path: good}}); err == nil {
		t.Error("one selector twice is taken")
	}
}

func FuzzReadHead(f *testing.F) {
	for _, m := range signtest.Messages() {
		if len(m.Wire) < 2000 {
			f.Add(m.Wire)
		}
	}
	f.Add([]byte("From : a@b\r\n\r\n"))
	f.Add([]byte(" x\r\n:\r\n\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(wire), 16)
		h, err := readHead(r)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		if got := append(slices.Clone(h.raw), rest...); !bytes.Equal(got, wire) && !bytes.Equal(got, append(slices.Clone(wire), "\r\n"...)) {
			t.Errorf("%q was read as %q", wire, got)
		}
		for _, v := range h.from {
			fromDomains(v)
		}
	})
}

func BenchmarkFields(b *testing.B) {
	body := strings.Repeat("The quick brown fox jumps over the lazy dog. 0123456789\r\n", 70)
	wire := "From: ann@example.org\r\nTo: bob@dest.example\r\nSubject: x\r\n\r\n" + body
	for _, kind := range []string{"rsa2048", "ed25519"} {
		z := make(zone)
		s, err := New([]Key{{Domain: "example.org", Selector: "s", Path: z.keyFile(b, kind, "s", "example.org")}})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(kind+"-4KB", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Fields(strings.NewReader(wire)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(kind+"-no-key", func(b *testing.B) {
			other := strings.Replace(wire, "example.org", "example.net", 1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Fields(strings.NewReader(other)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
