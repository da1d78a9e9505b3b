//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// cronJobs are what the jobs of ann's crontab write. Each is a script, since a crontab knows no octal escapes.
var cronJobs = []struct {
	name, script, output string
}{
	{"errors", "echo to standard output\necho to standard error >&2\n", "to standard output\nto standard error\n"},
	{"utf8", `printf 'Gr\303\274\303\237e aus K\303\266ln\n'`, "Gr\u00fc\u00dfe aus K\u00f6ln\n"},
	{"latin1", `printf 'Gr\374\337e\n'`, "Gr\xfc\xdfe\n"},
	{"long", `printf '%05000d\n' 7; echo short`, strings.Repeat("0", 4999) + "7\nshort\n"},
	{"dot", `printf 'one\n.\n..\n.two\n.\nthree\n'`, "one\n.\n..\n.two\n.\nthree\n"},
	{"last-dot", `printf 'one\n.'`, "one\n."},
	{"unended", `printf 'no newline'`, "no newline"},
	{"from", `printf 'From ann Mon Nov 23 10:00:00 2026\nFrom: eve@example.org\n\nTo: x\n'`,
		"From ann Mon Nov 23 10:00:00 2026\nFrom: eve@example.org\n\nTo: x\n"},
}

// crontab is that of ann: her jobs first write to a list of recipients elsewhere, then, as every user's, to herself.
func crontab() string {
	var b strings.Builder
	b.WriteString("SHELL=/bin/sh\nMAILTO=bob@example.net,carol@example.net\n")
	for _, j := range cronJobs {
		fmt.Fprintf(&b, "* * * * * sh jobs/%s\n", j.name)
	}
	return b.String()
}

const crontabOfBob = "LANG=C.UTF-8\n* * * * * printf 'gr\\303\\274n\\n.\\nlast'; pwd >&2\n"

// Debian's cron runs a crontab whose output arrives signed at an exchanger, and in the mailbox of a local user.
func TestCron(t *testing.T) {
	t.Parallel() // it waits for the minute to be full
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann, bob := inside.User(t, "ann"), inside.User(t, "bob")
		for _, j := range cronJobs {
			write(t, ann, ann.Home+"/jobs/"+j.name, []byte(j.script), 0o644)
		}
		for _, c := range []struct {
			who  inside.Account
			text string
		}{{ann, crontab()}, {bob, strings.ReplaceAll(crontabOfBob, "%", `\%`)}} {
			cmd := c.who.Command("/usr/bin/crontab", "-")
			cmd.Stdin = strings.NewReader(c.text)
			inside.Output(t, cmd)
		}
		write(t, inside.User(t, "root"), "/etc/cron.d/system", []byte("* * * * * root echo of the system\n"), 0o644)

		var said bytes.Buffer
		cron := inside.Command(t, "/usr/sbin/cron", "-f", "-L", "15")
		cron.Stdout, cron.Stderr = &said, &said
		if err := cron.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			cron.Process.Kill()
			cron.Wait()
			if said.Len() > 0 {
				t.Logf("cron said: %s", said.Bytes())
			}
		}()
		got := messagesWithin(t, 90*time.Second, mx, len(cronJobs))
		for i, j := range cronJobs {
			m, ok := cronMessage(got, "sh jobs/"+j.name)
			if !ok {
				t.Errorf("nothing came of job %d, %s", i, j.name)
				continue
			}
			checkCron(t, m, j.output)
		}
		box := awaitMail(t, bob, "\nlast/home/bob\n")
		for _, want := range []string{"Delivered-To: bob@" + inside.Hostname, "From: root@" + inside.Hostname + " (Cron Daemon)\n",
			"To: bob@" + inside.Hostname + "\n", "\n\ngr\u00fcn\n.\nlast/home/bob\n", "Content-Type: text/plain; charset=UTF-8\n"} {
			if !strings.Contains(box, want) {
				t.Errorf("bob's mailbox does not hold %q:\n%s", want, box)
			}
		}
		awaitMail(t, inside.User(t, "root"), "\n\nof the system\n")
		queueEmpty(t)
	})
}

func cronMessage(got []stage.Transaction, job string) (stage.Transaction, bool) {
	for _, m := range got {
		if bytes.Contains(m.Content, []byte("\r\nSubject: Cron <ann@www1> "+job+"\r\n")) {
			return m, true
		}
	}
	return stage.Transaction{}, false
}

func checkCron(t *testing.T, m stage.Transaction, output string) {
	t.Helper()
	checkEnvelope(t, m, "ann@"+inside.Hostname, "bob@example.net", "carol@example.net")
	p := parse(t, m.Content)
	p.has(t, "From: root@"+inside.Hostname+" (Cron Daemon)", "To: bob@example.net,carol@example.net",
		"MIME-Version: 1.0", "Content-Transfer-Encoding: 8bit", "X-Cron-Env: <HOME=/home/ann>",
		"X-Cron-Env: <MAILTO=bob@example.net,carol@example.net>")
	if p.body != crlf(output) {
		t.Errorf("the body is %.200q, want %.200q", p.body, crlf(output))
	}
	if p.Get("Date") == "" || p.Get("Message-Id") == "" {
		t.Errorf("no Date or no Message-ID:\n%s", p.head)
	}
	inside.Verify(t, m.Content, 2)
}
