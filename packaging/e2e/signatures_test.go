//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpost/mta/sign"
	"signpost/mta/sign/signtest"
	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// signer makes two keys for the domain of all sheets. The records are those for the name server, and for whoever asks
// none.
func signer(t *testing.T) (entries, records string, txt map[string]string) {
	t.Helper()
	txt = make(map[string]string)
	for selector, kind := range map[string]string{"r": "rsa2048", "e": "ed25519"} {
		entry, record := inside.Key(t, signtest.Domain, selector, kind)
		entries += entry
		records += record
		key, err := sign.Load("/etc/signpost/dkim/" + signtest.Domain + "." + selector + ".pem")
		if err != nil {
			t.Fatal(err)
		}
		name := sign.RecordName(selector, signtest.Domain)
		if txt[name], err = sign.Record(key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	return entries, records, txt
}

// Both signatures of every shape of message are good for two verifiers that are not ours, and what was handed in is
// what arrives.
func TestSignaturesOfEveryShape(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		entries, records, txt := signer(t)
		inside.DNS(t, "dest.example. IN MX 10 mx.dest.example.\nmx.dest.example. IN A 198.51.100.1\n"+records)
		mx := inside.Exchanger(t, "198.51.100.1:25", &stage.Exchanger{Name: "mx.dest.example"})
		inside.Daemon(t, entries)
		ann := inside.User(t, "ann")
		list := sheets()
		handInAll(t, ann, list)

		byRcpt := make(map[string]stage.Transaction)
		for _, m := range inside.Messages(t, mx, len(list)) {
			byRcpt[m.Rcpts[0].Addr] = m
		}
		dir := t.TempDir()
		for _, s := range list {
			m, ok := byRcpt[s.rcpt]
			if !ok {
				t.Fatalf("%s did not arrive", s.name)
			}
			checkEnvelope(t, m, "ann@example.org", s.rcpt)
			sameContent(t, s, m.Content)
			if err := os.WriteFile(filepath.Join(dir, s.name), m.Content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if b := mx.Breaches(); len(b) > 0 {
			t.Errorf("against the standards: %q", b)
		}
		dkimpy(t, dir, txt)
		opendkim(t, dir)
		t.Logf("%d messages, two signatures each", len(list))
	})
}

// dkimpy has python3-dkim verify both signatures of every file.
func dkimpy(t *testing.T, dir string, txt map[string]string) {
	t.Helper()
	text, err := json.Marshal(txt)
	if err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(t.TempDir(), "records.json")
	if err := os.WriteFile(records, text, 0o644); err != nil {
		t.Fatal(err)
	}
	status, out := inside.Status(t, inside.Command(t, "/usr/bin/python3", "/run/e2e/testdata/dkim_verify.py", records, dir, "2"))
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, " good\n") {
			t.Errorf("dkimpy: %s", line)
		}
	}
	if n := strings.Count(out, " good\n"); status != 0 || n != 2*len(names(t, dir)) {
		t.Errorf("dkimpy: status %d, %d good signatures of %d messages", status, n, len(names(t, dir)))
	}
}

// repeated are the sheets in which a field that may stand once stands twice (RFC 5322 3.6). opendkim-testmsg looks at
// no signature of such a message.
var repeated = []string{"two-subjects", "two-equal-subjects", "three-to", "five-hundred-to", "two-message-ids"}

// opendkim has opendkim-testmsg verify each signature of every file. It is content with one that is good, so each
// signature is shown to it without the other. It asks the name server.
func opendkim(t *testing.T, dir string) {
	t.Helper()
	checked := 0
	for _, name := range names(t, dir) {
		if slices.Contains(repeated, name) {
			continue
		}
		checked++
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		one, rest := firstField(string(content))
		other, rest := firstField(rest)
		for _, signature := range []string{one, other} {
			cmd := inside.Command(t, "/usr/sbin/opendkim-testmsg", "-C")
			cmd.Stdin = strings.NewReader(signature + rest)
			if status, out := inside.Status(t, cmd); status != 0 || out != "" {
				kind, _, _ := strings.Cut(signature, ";")
				t.Errorf("opendkim-testmsg: %s: %s: status %d: %s", name, kind, status, strings.TrimSpace(out))
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d messages for opendkim-testmsg", checked)
	}
}
