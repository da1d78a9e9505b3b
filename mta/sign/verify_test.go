package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

// The keys and messages of RFC 6376 appendix A (with its appendix C) and RFC 8463 appendix A.
const (
	rfcRSARecord = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ" +
		"KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt" +
		"IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v" +
		"/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi" +
		"tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
	rfcTestRecord = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR" +
		"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC" +
		"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3" +
		"Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
	rfcEdSecret = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	rfcEdRecord = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

	rfcLetter = `From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`
	rfc6376 = `DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
`
	rfc8463 = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
`
)

// rfcZone is what the two RFCs publish.
var rfcZone = zone{
	"brisbane._domainkey.example.com":          {rfcRSARecord},
	"brisbane._domainkey.football.example.com": {rfcEdRecord},
	"test._domainkey.football.example.com":     {rfcTestRecord},
}

func TestVerifyTheExamplesOfTheStandards(t *testing.T) {
	// RFC 8463 prints two blanks between the sentences, RFC 6376 one, and its simple canonicalization minds.
	one := strings.Replace(rfcLetter, "game.  Are", "game. Are", 1)
	tests := []struct{ name, message, want string }{
		{"RFC 6376 A.2", rfc6376 + one, "rsa-sha256 brisbane example.com"},
		{"RFC 8463 A.3", rfc8463 + rfcLetter, "ed25519-sha256 brisbane football.example.com, rsa-sha256 test football.example.com"},
	}
	for _, tt := range tests {
		for form, message := range map[string]string{
			"LF":      tt.message,
			"CRLF":    strings.ReplaceAll(tt.message, "\n", "\r\n"),
			"mailbox": "From joe@football.example.com Fri Jul 11 21:00:37 2003\n" + tt.message,
		} {
			t.Run(tt.name+" "+form, func(t *testing.T) {
				all, err := Verify(strings.NewReader(message), rfcZone.txt)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, v := range all {
					if v.Err != nil {
						t.Errorf("%s: %v", v.Selector, v.Err)
					}
					got = append(got, v.Algorithm+" "+v.Selector+" "+v.Domain)
				}
				if g := strings.Join(got, ", "); g != tt.want {
					t.Errorf("verified %s, want %s", g, tt.want)
				}
			})
		}
	}
}

func TestRecordOfTheStandard(t *testing.T) {
	seed, err := base64.StdEncoding.DecodeString(rfcEdSecret)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Record(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil || got != rfcEdRecord {
		t.Errorf("%s, %v, want %s", got, err, rfcEdRecord)
	}
}

// timeout is a look-up that may succeed later.
type timeout struct{ error }

func (timeout) Temporary() bool { return true }

func TestVerifyTellsWhatIsWrong(t *testing.T) {
	broken := strings.Replace(rfc8463, "ed25519-sha256", "ed25519-sha1", 1) + rfcLetter
	tests := []struct {
		name    string
		message string
		txt     func(string) ([]string, error)
		want    []string // a part of the error of each signature; empty: none
		temp    bool
	}{
		{"no signature", rfcLetter, rfcZone.txt, nil, false},
		{"body changed", rfc8463 + rfcLetter + "more\n", rfcZone.txt, []string{"body hash", "body hash"}, false},
		{"header changed", rfc8463 + strings.Replace(rfcLetter, "dinner", "supper", 1), rfcZone.txt,
			[]string{"did not verify", "did not verify"}, false},
		{"From added", rfc8463 + "From: eve\n" + rfcLetter, rfcZone.txt, []string{"did not verify", "did not verify"}, false},
		{"one of two", broken, rfcZone.txt, []string{"sha1", ""}, false},
		{"no key", rfc8463 + rfcLetter, zone{}.txt, []string{"no valid key", "no valid key"}, false},
		{"look-up fails for now", rfc8463 + rfcLetter,
			func(string) ([]string, error) { return nil, timeout{errors.New("SERVFAIL")} }, []string{"SERVFAIL", "SERVFAIL"}, true},
		{"look-up fails for good", rfc8463 + rfcLetter,
			func(string) ([]string, error) { return nil, errors.New("NXDOMAIN") }, []string{"NXDOMAIN", "NXDOMAIN"}, false},
		{"no tags", "DKIM-Signature: garbage\n" + rfcLetter, rfcZone.txt, []string{"malformed"}, false},
		{"empty field", "DKIM-Signature:\n" + rfcLetter, rfcZone.txt, []string{"incompatible"}, false},
		{"only a header", "From: a@b.example\nDKIM-Signature: v=1", rfcZone.txt, []string{"missing required tag"}, false},
		{"nothing", "", rfcZone.txt, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := Verify(strings.NewReader(tt.message), tt.txt)
			if err != nil || len(all) != len(tt.want) {
				t.Fatalf("%d signatures, %v, want %d", len(all), err, len(tt.want))
			}
			for i, v := range all {
				if (v.Err == nil) != (tt.want[i] == "") || v.Err != nil && !strings.Contains(v.Err.Error(), tt.want[i]) {
					t.Errorf("signature %d: %v, want %q", i, v.Err, tt.want[i])
				}
				if v.Temporary != tt.temp {
					t.Errorf("signature %d: temporary is %v", i, v.Temporary)
				}
			}
		})
	}
}

func TestVerifyLooksAtAFewSignaturesOnly(t *testing.T) {
	all, err := Verify(strings.NewReader(strings.Repeat("DKIM-Signature: v=1\n", 500)+rfcLetter), rfcZone.txt)
	if len(all) != maxSignatures || err == nil || !strings.Contains(err.Error(), "500 signatures") {
		t.Errorf("%d signatures, %v", len(all), err)
	}
	if _, err := Verify(iotest.ErrReader(errors.New("torn")), rfcZone.txt); err == nil {
		t.Error("an error of the reader is lost")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(rfc8463 + rfcLetter))
	f.Add([]byte(rfc6376 + rfcLetter))
	f.Add([]byte("DKIM-Signature: v=1; a=; b=; bh=; d=; h=from; s=\n\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		all, err := Verify(strings.NewReader(string(message)), rfcZone.txt)
		for _, v := range all {
			if v.Err == nil && err == nil && v.Domain == "" {
				t.Errorf("a signature of nobody verifies: %q", message)
			}
		}
	})
}
