package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"signpost/mta/sign"
	"signpost/mta/stage"
)

// dkimHost is a folder with a configuration, and a name server that it names.
type dkimHost struct {
	t      *testing.T
	dir    string
	config string
	dns    *stage.DNS
}

func newDKIMHost(t *testing.T) *dkimHost {
	t.Helper()
	h := &dkimHost{t: t, dir: t.TempDir(), dns: new(stage.DNS)}
	if err := h.dns.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.dns.Close() })
	h.config = filepath.Join(h.dir, "signpost.toml")
	h.append("hostname = \"www1.example.org\"\norigin = \"example.org\"\n[dns]\nservers = [%q]\ntimeout = \"1s\"\n", h.dns.Addr())
	return h
}

func (h *dkimHost) append(format string, args ...any) {
	h.t.Helper()
	f, err := os.OpenFile(h.config, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, format, args...); err != nil {
		h.t.Fatal(err)
	}
}

// run runs signpost dkim and gives its status and what it wrote.
func (h *dkimHost) run(stdin string, args ...string) (status int, stdout, stderr string) {
	h.t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"--config", h.config, "dkim"}, args...)
	status = run(h.t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// must runs a command that has to succeed.
func (h *dkimHost) must(args ...string) string {
	h.t.Helper()
	status, stdout, stderr := h.run("", args...)
	if status != 0 {
		h.t.Fatalf("%v: status %d, %s%s", args, status, stdout, stderr)
	}
	return stdout
}

// refused runs a command that has to fail with this status and these words, on either output.
func (h *dkimHost) refused(status int, want string, args ...string) {
	h.t.Helper()
	got, stdout, stderr := h.run("", args...)
	if got != status || !strings.Contains(stdout+stderr, want) {
		h.t.Errorf("%v: status %d, %s%s, want %d and %q", args, got, stdout, stderr, status, want)
	}
}

// table takes the [[dkim]] table out of what keygen printed.
func table(t *testing.T, stdout string) string {
	t.Helper()
	found := regexp.MustCompile(`(?s)\[\[dkim\]\].*?\n\n`).FindString(stdout)
	if found == "" {
		t.Fatalf("no table in %s", stdout)
	}
	return found
}

// zoneEntry takes the entry for a zone file out of what keygen or record printed.
func zoneEntry(t *testing.T, stdout string) string {
	t.Helper()
	found := regexp.MustCompile(`(?s)\S+ IN TXT \(.*?\)\n`).FindString(stdout)
	if found == "" {
		t.Fatalf("no zone entry in %s", stdout)
	}
	return found
}

func TestDKIMFromKeyToVerifiedMessage(t *testing.T) {
	h := newDKIMHost(t)
	h.refused(1, "names no such key", "record")
	var zone string
	for _, kind := range []string{"rsa2048", "ed25519"} {
		stdout := h.must("keygen", "--domain", "Example.ORG", "--selector", kind, "--type", kind)
		zone += zoneEntry(t, stdout)
		h.append("%s", table(t, stdout))
	}
	if path := filepath.Join(h.dir, "dkim", "example.org.rsa2048.pem"); !strings.Contains(h.must("record"), "rsa2048._domainkey.example.org") {
		t.Errorf("no record of %s", path)
	}

	h.refused(1, "no TXT record is published", "check")
	h.refused(1, "hint     signpost dkim record --domain example.org --selector rsa2048", "check", "--selector", "rsa2048")
	if err := h.dns.Replace(zone); err != nil {
		t.Fatal(err)
	}
	if got := h.must("check"); strings.Count(got, "ok       ") != 2 {
		t.Errorf("check said %s", got)
	}

	message := "From: ann@example.org\r\nSubject: x\r\n\r\nHello\r\n"
	signer, err := sign.New([]sign.Key{
		{Domain: "example.org", Selector: "rsa2048", Path: filepath.Join(h.dir, "dkim/example.org.rsa2048.pem")},
		{Domain: "example.org", Selector: "ed25519", Path: filepath.Join(h.dir, "dkim/example.org.ed25519.pem")},
	})
	if err != nil {
		t.Fatal(err)
	}
	fields, err := signer.Fields(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	h.verify(string(fields) + message)
}

// verify verifies a message with two good signatures, and what can be made of it.
func (h *dkimHost) verify(signed string) {
	h.t.Helper()
	file := filepath.Join(h.dir, "message")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(signed, "\r\n", "\n")), 0o600); err != nil {
		h.t.Fatal(err)
	}
	want := "good     d=example.org s=rsa2048 a=rsa-sha256\ngood     d=example.org s=ed25519 a=ed25519-sha256\n"
	if got := h.must("verify", file); got != want {
		h.t.Errorf("verify said %s, want %s", got, want)
	}
	tests := []struct {
		name, message string
		status        int
		want          string
	}{
		{"standard input", signed, 0, want},
		{"changed", signed + "more\r\n", 1, "bad      d=example.org s=rsa2048 a=rsa-sha256: dkim: body hash did not verify"},
		{"not signed", "From: a@b.example\n\nx\n", 1, "no DKIM signature"},
		{"no key", "DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=x; h=from; bh=x; b=x\n" + signed, 1,
			"bad      d=other.example s=x a=rsa-sha256: dkim: no key for signature"},
		{"hostile", "DKIM-Signature: v=1; d=\x1b[2J\u202e; s=" + strings.Repeat("s", 5000) + "\n" + signed, 1, "bad      d="},
	}
	for _, tt := range tests {
		status, stdout, stderr := h.run(tt.message, "verify")
		if status != tt.status || !strings.Contains(stdout+stderr, tt.want) {
			h.t.Errorf("%s: status %d, %s%s, want %d, %s", tt.name, status, stdout, stderr, tt.status, tt.want)
		}
		if strings.ContainsAny(stdout+stderr, "\x1b\u202e") || len(stdout) > 3000 {
			h.t.Errorf("%s: wrote %q", tt.name, stdout)
		}
	}
	h.dns.Play(stage.DNSFault{Name: "rsa2048._domainkey.example.org", Rcode: mdns.RcodeServerFailure})
	status, stdout, _ := h.run(signed, "verify", "-")
	if status != 1 || !strings.Contains(stdout, "unknown  d=example.org s=rsa2048") || !strings.Contains(stdout, "good     d=example.org s=ed25519") {
		h.t.Errorf("a name server in trouble: status %d, %s", status, stdout)
	}
}

func TestDKIMCheckTellsTroubleFromAbsence(t *testing.T) {
	h := newDKIMHost(t)
	h.append("%s", table(t, h.must("keygen", "--domain", "example.org", "--selector", "s", "--type", "ed25519")))
	h.dns.Play(stage.DNSFault{Name: "s._domainkey.example.org", Rcode: mdns.RcodeServerFailure})
	h.refused(1, "hint     try again later", "check")
	h.dns.Forgive()
	for record, want := range map[string]string{
		`"v=DKIM1; p="`: "revoked",
		`"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`: "another key is published",
		`"v=spf1 \027[2J -all"`: "no key record",
	} {
		if err := h.dns.Replace("s._domainkey.example.org. TXT " + record); err != nil {
			t.Fatal(err)
		}
		h.refused(1, want, "check")
	}
}

func TestDKIMJSON(t *testing.T) {
	h := newDKIMHost(t)
	stdout := h.must("keygen", "--domain", "example.org", "--selector", "s", "--type", "ed25519")
	h.append("%s", table(t, stdout))
	var r dkimRecord
	if err := json.Unmarshal([]byte(h.must("record", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Domain != "example.org" || r.Name != "s._domainkey.example.org" || !strings.Contains(stdout, r.TXT) || !strings.Contains(stdout, r.Zone) {
		t.Errorf("record is %+v", r)
	}
	_, line, _ := h.run("", "check", "--json")
	var s keyState
	if err := json.Unmarshal([]byte(line), &s); err != nil || s.OK || s.Problem == "" || s.Hint == "" {
		t.Errorf("check is %s, %v", line, err)
	}
	_, line, _ = h.run("DKIM-Signature: v=1; d=x\nFrom: a@b.example\n\n", "verify", "--json")
	var v verdict
	if err := json.Unmarshal([]byte(line), &v); err != nil || v.Result != "bad" || v.Domain != "x" {
		t.Errorf("verify is %s, %v", line, err)
	}
}

func TestDKIMKeygen(t *testing.T) {
	h := newDKIMHost(t)
	args := []string{"keygen", "--domain", "b\u00fccher.example", "--selector", "s", "--type", "ed25519"}
	stdout := h.must(args...)
	path := filepath.Join(h.dir, "dkim", "xn--bcher-kva.example.s.pem")
	for _, want := range []string{path, `key = "dkim/xn--bcher-kva.example.s.pem"`, `domain = "xn--bcher-kva.example"`,
		"name  s._domainkey.xn--bcher-kva.example\n", "text  v=DKIM1; k=ed25519; p="} {
		if !strings.Contains(stdout, want) {
			t.Errorf("keygen does not say %q: %s", want, stdout)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h.refused(1, "exists, and keys are never overwritten\nhint: choose another --selector", args...)
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the key was overwritten")
	}
	elsewhere := filepath.Join(t.TempDir(), "key.pem")
	if got := h.must(append(args, "--out", elsewhere)...); !strings.Contains(got, fmt.Sprintf("key = %q", elsewhere)) {
		t.Errorf("keygen --out said %s", got)
	}
	if got := h.must("record", "--key", elsewhere, "--domain", "example.org", "--selector", "t"); !strings.Contains(got, "t._domainkey.example.org") {
		t.Errorf("record --key said %s", got)
	}
	if err := os.Chmod(elsewhere, 0o644); err != nil {
		t.Fatal(err)
	}
	h.refused(1, "every user has access to it", "record", "--key", elsewhere, "--domain", "example.org", "--selector", "t")
}

func TestDKIMWrongCommandLine(t *testing.T) {
	h := newDKIMHost(t)
	for want, args := range map[string][]string{
		`"domain"`:        {"keygen", "--selector", "s"},
		`"selector"`:      {"keygen", "--domain", "example.org"},
		"no key type":     {"keygen", "--domain", "example.org", "--selector", "s", "--type", "dsa"},
		"empty part":      {"keygen", "--domain", "example..org", "--selector", "s"},
		`'/'`:             {"keygen", "--domain", "example.org", "--selector", "a/b"},
		"needs --domain":  {"record", "--key", "x.pem"},
		"unknown flag":    {"check", "--colour"},
		"accepts at most": {"verify", "a", "b"},
		"unknown command": {"keygne"},
	} {
		h.refused(2, want, args...)
	}
	h.refused(1, "no such file", "verify", filepath.Join(h.dir, "missing"))
	if entries, _ := os.ReadDir(filepath.Join(h.dir, "dkim")); len(entries) > 0 {
		t.Errorf("a refused command left %v", entries)
	}
}
