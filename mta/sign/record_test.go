package sign

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

func TestCheckRecord(t *testing.T) {
	public := testKey().Public().(*rsa.PublicKey)
	record, err := Record(public)
	if err != nil {
		t.Fatal(err)
	}
	_, p, _ := strings.Cut(record, "p=")
	bare := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(public))
	tests := []struct {
		name    string
		records []string
		want    string // part of the error; empty: none
		note    string // part of a note; empty: none
	}{
		{"as we print it", []string{record}, "", ""},
		{"the least that is right", []string{"p=" + p}, "", ""},
		{"bare RSA key", []string{"v=DKIM1;p=" + bare}, "", ""},
		{"blanks in the key", []string{"v=DKIM1; k=rsa; p=" + p[:100] + " " + p[100:] + ";"}, "", ""},
		{"with flags that fit", []string{"v=DKIM1; h=sha1:sha256; s=email; t=s; n=hello; p=" + p}, "", ""},
		{"any service", []string{"v=DKIM1; s=*; p=" + p}, "", ""},
		{"testing", []string{"v=DKIM1; t=s:y; p=" + p}, "", "testing"},
		{"none", nil, "no TXT record", ""},
		{"two", []string{record, "v=spf1 -all"}, "2 TXT records", ""},
		{"another kind of record", []string{"v=spf1 -all"}, "no key record", ""},
		{"text", []string{"hello"}, "no key record", ""},
		{"v= not first", []string{"k=rsa; v=DKIM1; p=" + p}, "no key record", ""},
		{"a tag twice", []string{record + "; p=" + p}, "p= twice", ""},
		{"no key in it", []string{"v=DKIM1; k=rsa"}, "no p= tag", ""},
		{"revoked", []string{"v=DKIM1; p="}, "revoked", ""},
		{"cut off", []string{record[:255]}, "cut off", ""},
		{"damaged", []string{"v=DKIM1; p=" + p[:50] + "*" + p[51:]}, "damaged", ""},
		{"another key", []string{"v=DKIM1; p=" + strings.Replace(p, p[60:64], "AAAA", 1)}, "another key", ""},
		{"another type", []string{rfcEdRecord}, "type ed25519 (k=), ours is rsa", ""},
		{"another hash", []string{"v=DKIM1; h=sha1; p=" + p}, "sha256", ""},
		{"another service", []string{"v=DKIM1; s=tlsrpt; p=" + p}, "not for email", ""},
		{"quotation marks", []string{`"` + record + `"`}, "quotation marks", ""},
		{"backslashes", []string{strings.ReplaceAll(record, ";", `\;`)}, "backslashes", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			notes, err := CheckRecord(tt.records, public)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if got := strings.Join(notes, "; "); (got == "") != (tt.note == "") || !strings.Contains(got, tt.note) {
				t.Errorf("notes %q, want %q", got, tt.note)
			}
		})
	}
}

func TestRecordRefusesOtherKeys(t *testing.T) {
	if _, err := Record("key"); err == nil {
		t.Error("a string has a record")
	}
}

func TestZoneEntry(t *testing.T) {
	record, err := Record(testKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	entry := ZoneEntry("s._domainkey.example.org", record)
	if !strings.HasPrefix(entry, "s._domainkey.example.org. IN TXT (\n") || !strings.HasSuffix(entry, ")") {
		t.Errorf("entry %s", entry)
	}
	var joined string
	for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(entry, -1) {
		if len(m[1]) > 255 {
			t.Errorf("a string of %d octets", len(m[1]))
		}
		joined += m[1]
	}
	if joined != record {
		t.Errorf("strings are together %q, want %q", joined, record)
	}
}

func FuzzCheckRecord(f *testing.F) {
	f.Add(rfcEdRecord)
	f.Add("v=DKIM1; k=rsa; p=")
	public := ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))
	f.Fuzz(func(t *testing.T, text string) {
		CheckRecord([]string{text}, public)
	})
}
