//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"signpost/packaging/e2e/inside"
)

// php runs a script of testdata, as a file of who's own, by the settings of Debian's package, which name no sendmail_path.
func php(t *testing.T, who inside.Account, script string, args ...string) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + script)
	if err != nil {
		t.Fatal(err)
	}
	write(t, who, who.Home+"/"+script, text, 0o644)
	cmd := who.Command("/usr/bin/php", args...)
	if out := inside.Output(t, cmd); out != "" {
		t.Errorf("php said: %s", out)
	}
}

// mail() with all its arguments: the sender by -f, fields with CRLF, a subject and a body of raw UTF-8.
func TestPHPMail(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann := inside.User(t, "ann")
		php(t, ann, "mail.php", "mail.php")
		got := inside.Messages(t, mx, 1)[0]
		checkEnvelope(t, got, "bounces@"+inside.Hostname, "bob@example.net", "carol@example.net", "dora@example.net", "erik@example.net")
		p := parse(t, got.Content)
		p.has(t, "To: bob@example.net, Carol <carol@example.net>", "Subject: Gr\u00fc\u00dfe aus K\u00f6ln, und noch mehr",
			"From: Ann \u00dcnal <ann@"+inside.Hostname+">", "Cc: dora@example.net", "MIME-Version: 1.0")
		p.lacks(t, "Bcc", "X-Php-Originating-Script")
		if want := "Gr\u00fc\u00dfe\r\n.\r\n..\r\n.two\r\nlast line\r\n"; p.body != want {
			t.Errorf("the body is %q, want %q", p.body, want)
		}
		inside.Verify(t, got.Content, 2)
	})
}

func TestPHPSettings(t *testing.T) {
	for _, tt := range []struct{ name, setting string }{
		{"the script is named in a field", "mail.add_x_header=1"},
		{"lines end as before PHP 8", "mail.mixed_lf_and_crlf=1"},
		{"sendmail_path with other flags", "sendmail_path=/usr/lib/sendmail -oi -t -fsomebody@example.org"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inside.Run(t, inside.Callers, nil, func(t *testing.T) {
				_, mx := outside(t)
				ann := inside.User(t, "ann")
				php(t, ann, "mail.php", "-d", tt.setting, "mail.php")
				got := inside.Messages(t, mx, 1)[0]
				checkEnvelope(t, got, "bounces@"+inside.Hostname, "bob@example.net", "carol@example.net", "dora@example.net", "erik@example.net")
				p := parse(t, got.Content)
				p.has(t, "Subject: Gr\u00fc\u00dfe aus K\u00f6ln, und noch mehr", "Cc: dora@example.net", "MIME-Version: 1.0")
				p.lacks(t, "Bcc")
				if tt.setting == "mail.add_x_header=1" {
					p.has(t, fmt.Sprintf("X-PHP-Originating-Script: %d:mail.php", ann.UID))
				}
				inside.Verify(t, got.Content, 2)
			})
		})
	}
}

func TestPHPAttachment(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann := inside.User(t, "ann")
		file := noise(10 << 20)
		write(t, ann, "/tmp/file.bin", file, 0o644)
		php(t, ann, "mail-attachment.php", "mail-attachment.php", "/tmp/file.bin")
		got := inside.Messages(t, mx, 1)[0]
		checkEnvelope(t, got, "ann@"+inside.Hostname, "bob@example.net")
		parts := parse(t, got.Content).parts(t)
		if len(parts) != 2 || string(parts[0]) != "The file is attached." || !bytes.Equal(parts[1], file) {
			t.Errorf("%d parts, or another file than was sent", len(parts))
		}
		inside.Verify(t, got.Content, 2)
	})
}

// A loop of 500 mails, from a site that knows no better: all arrive, once each.
func TestPHPLoop(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		const n = 500
		began := time.Now()
		php(t, inside.User(t, "ann"), "mail-loop.php", "mail-loop.php", fmt.Sprint(n))
		took := time.Since(began)
		seen := make(map[string]int)
		for _, m := range inside.Messages(t, mx, n) {
			p := parse(t, m.Content)
			var no int
			if _, err := fmt.Sscanf(p.Get("Subject"), "Newsletter %d", &no); err != nil {
				t.Fatalf("Subject: %s", p.Get("Subject"))
			}
			checkEnvelope(t, m, "ann@"+inside.Hostname, fmt.Sprintf("user%d@example.net", no))
			if want := fmt.Sprintf("Dear user %d,\r\n\r\nyours\r\n", no); p.body != want {
				t.Fatalf("the body is %q, want %q", p.body, want)
			}
			seen[p.Get("Subject")]++
		}
		if len(seen) != n || len(mx.Accepted()) != n {
			t.Errorf("%d messages, %d different ones, want %d", len(mx.Accepted()), len(seen), n)
		}
		t.Logf("%d calls of mail() in %v, all delivered after %v", n, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		queueEmpty(t)
	})
}
