//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// mailed runs a program of ann's that sends one message with text as its input, and gives what arrived.
func mailed(t *testing.T, text string, prepare func(ann inside.Account) *exec.Cmd) (stage.Transaction, parsed) {
	t.Helper()
	_, mx := outside(t)
	cmd := prepare(inside.User(t, "ann"))
	cmd.Stdin = strings.NewReader(text)
	if out := inside.Output(t, cmd); out != "" {
		t.Errorf("%s said: %s", cmd.Args[0], out)
	}
	got := inside.Messages(t, mx, 1)[0]
	inside.Verify(t, got.Content, 2)
	p := parse(t, got.Content)
	p.lacks(t, "Bcc")
	return got, p
}

const text = "Gr\u00fc\u00dfe\n.\n..\nFrom here on\nlast line\n"

// mutt names the recipients as operands, and asks for delivery notices.
func TestMutt(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		file := noise(100_000)
		got, p := mailed(t, text, func(ann inside.Account) *exec.Cmd {
			write(t, ann, ann.Home+"/file.bin", file, 0o644)
			write(t, ann, ann.Home+"/.muttrc", []byte(`set charset=utf-8 send_charset=utf-8
set realname="Ann \303\234nal" from=ann+list@www1.example.test use_envelope_from=yes use_8bitmime=yes
set dsn_notify="failure,delay" dsn_return=hdrs copy=no
`), 0o644)
			return ann.Command("/usr/bin/mutt", "-s", "Gr\u00fc\u00dfe", "-c", "carol@example.net", "-b", "dora@example.net", "-a", "file.bin",
				"--", "Bob <bob@example.net>")
		})
		checkEnvelope(t, got, "ann+list@"+inside.Hostname, "bob@example.net", "carol@example.net", "dora@example.net")
		for _, r := range got.Rcpts {
			if !strings.Contains(r.Params, "NOTIFY=FAILURE,DELAY") && !strings.Contains(r.Params, "NOTIFY=DELAY,FAILURE") {
				t.Errorf("RCPT %s has the parameters %q, without what -N asked for", r.Addr, r.Params)
			}
		}
		if !strings.Contains(got.Sender.Params, "RET=HDRS") {
			t.Errorf("MAIL has the parameters %q, without what -R asked for", got.Sender.Params)
		}
		p.has(t, "To: Bob <bob@example.net>", "Cc: carol@example.net", "Subject: =?utf-8?B?R3LDvMOfZQ==?=")
		parts := p.parts(t)
		if len(parts) != 2 || string(parts[0]) != crlf(text) || !bytes.Equal(parts[1], file) {
			t.Errorf("%d parts, or not what was sent: %.200q", len(parts), parts[0])
		}
	})
}

// bsd-mailx writes Bcc into the message and leaves it to sendmail.
func TestBSDMailx(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		got, p := mailed(t, text, func(ann inside.Account) *exec.Cmd {
			return ann.Command("/usr/bin/bsd-mailx", "-s", "hello", "-r", "news@www1.example.test", "-c", "carol@example.net,", "-b", "dora@example.net",
				"-a", "X-Kind: test", "bob@example.net", "erik@example.net")
		})
		checkEnvelope(t, got, "news@"+inside.Hostname, "bob@example.net", "carol@example.net", "dora@example.net", "erik@example.net")
		p.has(t, "Subject: hello", "X-Kind: test")
		if p.body != crlf(text) {
			t.Errorf("the body is %q", p.body)
		}
	})
}

// s-nail names all recipients behind "--", and may leave From to sendmail.
func TestSNail(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		file := noise(100_000)
		got, p := mailed(t, text, func(ann inside.Account) *exec.Cmd {
			write(t, ann, ann.Home+"/file.bin", file, 0o644)
			return ann.Command("/usr/bin/s-nail", "-S", "ttycharset=utf-8", "-S", "sendcharsets=utf-8", "-S", "mime-encoding=8bit",
				"-s", "Gr\u00fc\u00dfe", "-a", "file.bin", "-c", "carol@example.net", "-b", "dora@example.net", "bob@example.net")
		})
		checkEnvelope(t, got, "ann@"+inside.Hostname, "bob@example.net", "carol@example.net", "dora@example.net")
		p.has(t, "To: bob@example.net", "Cc: carol@example.net")
		if p.Get("From") != "ann@"+inside.Hostname {
			t.Errorf("From: %s", p.Get("From"))
		}
		parts := p.parts(t)
		if len(parts) != 2 || string(parts[0]) != crlf(text) || !bytes.Equal(parts[1], file) {
			t.Errorf("%d parts, or not what was sent: %.200q", len(parts), parts[0])
		}
	})
}

// What swaks makes goes into sendmail by a pipe. It knows SMTP only, so the message is what it prints.
func TestSwaks(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		got, p := mailed(t, "", func(ann inside.Account) *exec.Cmd {
			return ann.Command("/bin/sh", "-c", `swaks --server localhost --helo localhost --to bob@example.net,carol@example.net --from ann@www1.example.test \
				--h-Subject "Größe" --add-header "X-Test: one" --body "line one\nline two" --dump-mail |
				/usr/sbin/sendmail -t -i -f ann@www1.example.test`)
		})
		checkEnvelope(t, got, "ann@"+inside.Hostname, "bob@example.net", "carol@example.net")
		p.has(t, "To: bob@example.net,carol@example.net", "From: ann@"+inside.Hostname, "Subject: Gr\u00f6\u00dfe", "X-Test: one")
		// It puts an empty line and the end of its shell line behind the message.
		if want := "line one\r\nline two\r\n"; strings.TrimRight(p.body, "\r\n ")+"\r\n" != want {
			t.Errorf("the body is %q, want %q", p.body, want)
		}
	})
}

// What git send-email sends, git am takes, and the result is the same tree.
func TestGitSendEmail(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann := inside.User(t, "ann")
		git := func(dir string, args ...string) string {
			t.Helper()
			cmd := ann.Command("/usr/bin/git", args...)
			cmd.Dir = dir
			return inside.Output(t, cmd)
		}
		git(ann.Home, "config", "--global", "user.name", "Ann \u00dcnal")
		git(ann.Home, "config", "--global", "user.email", "ann@"+inside.Hostname)
		git(ann.Home, "init", "-q", "-b", "main", "project")
		project := ann.Home + "/project"
		for _, c := range []struct{ content, says string }{
			{"one\n.\n", "Start"},
			{"one\n.\n.two\nFrom three\nGr\u00fc\u00dfe\n", "Add lines that mail programs stumble over"},
			{"one\n.\n.two\nFrom three\nGr\u00fc\u00dfe\n" + strings.Repeat("long ", 180) + "\nno end", "L\u00e4ngere Zeilen"},
		} {
			write(t, ann, project+"/file", []byte(c.content), 0o644)
			git(project, "add", "file")
			git(project, "commit", "-q", "-m", c.says)
		}
		git(project, "branch", "theirs", "HEAD~2")
		git(project, "send-email", "--quiet", "--confirm=never", "--to=bob@example.net", "--cc=Carol <carol@example.net>",
			"--bcc=dora@example.net", "--suppress-cc=all", "--from=Ann \u00dcnal <ann@"+inside.Hostname+">", "--envelope-sender=auto",
			"--8bit-encoding=UTF-8", "HEAD~2")
		got := inside.Messages(t, mx, 2)
		var box bytes.Buffer
		for _, m := range got {
			checkEnvelope(t, m, "ann@"+inside.Hostname, "bob@example.net", "carol@example.net", "dora@example.net")
			p := parse(t, m.Content)
			p.has(t, "To: bob@example.net", "Cc: Carol <carol@example.net>")
			p.lacks(t, "Bcc")
			inside.Verify(t, m.Content, 2)
		}
		if strings.Contains(string(got[1].Content), "Subject: [PATCH 1/2]") {
			got[0], got[1] = got[1], got[0]
		}
		for _, m := range got {
			box.WriteString("From ann Mon Nov 23 10:00:00 2026\n" + strings.ReplaceAll(string(m.Content), "\r\n", "\n") + "\n")
		}
		write(t, ann, ann.Home+"/box", box.Bytes(), 0o644)
		git(project, "checkout", "-q", "theirs")
		git(project, "am", "-q", ann.Home+"/box")
		if want, tree := git(project, "rev-parse", "main^{tree}"), git(project, "rev-parse", "HEAD^{tree}"); tree != want {
			t.Errorf("the patches give another tree:\n%s", git(project, "diff", "main", "HEAD"))
		}
		if log := git(project, "log", "--format=%an %s", "-1"); log != "Ann \u00dcnal L\u00e4ngere Zeilen\n" {
			t.Errorf("the last commit is %q", log)
		}
	})
}
