//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// refuses runs cmd with input, which must end with status and one line, and leave nothing in the spool.
func refuses(t *testing.T, status int, input string, cmd *exec.Cmd) (said string) {
	t.Helper()
	if cmd.Stdin == nil {
		cmd.Stdin = strings.NewReader(input)
	}
	got, said := inside.Status(t, cmd)
	if got != status {
		t.Errorf("%s: status %d, want %d: %s", brief(cmd), got, status, said)
	}
	if !strings.HasPrefix(said, "sendmail: ") || strings.Count(said, "\n") != 1 || !strings.HasSuffix(said, "\n") {
		t.Errorf("%s does not say one line: %q", brief(cmd), said)
	}
	if left := spooled(t); len(left) > 0 {
		t.Errorf("%s left %q", brief(cmd), left)
	}
	return said
}

func brief(cmd *exec.Cmd) string { return fmt.Sprintf("%.100s", strings.Join(cmd.Args, " ")) }

const sendmailPath = "/usr/sbin/sendmail"

// Each input that cannot be taken is refused with its own status, with and without a daemon, and nothing of it stays.
func TestRefused(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann := inside.User(t, "ann")
		refusals(t, ann)
		if len(mx.Transactions()) > 0 {
			t.Errorf("%d messages left the host", len(mx.Transactions()))
		}
	})
}

func TestRefusedWithoutDaemon(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) { refusals(t, inside.User(t, "ann")) })
}

func refusals(t *testing.T, ann inside.Account) {
	many := make([]string, 100_000)
	for i := range many {
		many[i] = fmt.Sprintf("r%d@x", i) // short: all operands together have a limit too
	}
	for _, tt := range []struct {
		name   string
		status int
		input  string
		args   []string
	}{
		{"no recipient", 64, "Subject: s\n\nb\n", nil},
		{"no recipient in the header", 64, "Subject: s\n\nTo: bob@example.net\n", []string{"-t"}},
		{"only empty recipients", 64, "To: ,, undisclosed-recipients:;\n\nb\n", []string{"-t", "-i", ""}},
		{"an option that there is not", 64, "Subject: s\n\nb\n", []string{"-Z", "bob@example.net"}},
		{"an option behind a recipient", 64, "Subject: s\n\nb\n", []string{"bob@example.net", "-fann@example.org"}},
		{"only bad recipients", 65, "Subject: s\n\nb\n", []string{"a@b@c", "|cat", "/etc/passwd", ":include:/etc/shadow"}},
		{"a line break in the sender", 65, "Subject: s\n\nb\n", []string{"-f", "ann@example.org\nBcc: eve@example.org", "bob@example.net"}},
		{"a line break in a recipient", 65, "Subject: s\n\nb\n", []string{"bob@example.net\nRCPT TO:<eve@example.org>"}},
		{"100,000 recipients as operands", 65, "Subject: s\n\nb\n", many},
		{"100,000 recipients in the header", 65, "To: " + strings.Join(many, ",\n ") + "\n\nb\n", []string{"-t"}},
		{"100,000 recipients in short fields", 65, "To: " + strings.Join(many, "\nTo: ") + "\n\nb\n", []string{"-t"}},
		{"a header of 10 MB in one line", 65, "Subject: " + strings.Repeat("x", 10<<20) + "\n\nb\n", []string{"bob@example.net"}},
		{"a header of 10 MB in many lines", 65, strings.Repeat("X-Field: "+strings.Repeat("x", 60)+"\n", 10<<20/70) + "\nb\n", []string{"bob@example.net"}},
		{"a header of 10 MB, folded", 65, "To: bob@example.net\nX-Field: x\n" + strings.Repeat(" folded\n", 10<<20/8) + "\nb\n", []string{"-t"}},
		{"a message over the limit", 65, "Subject: s\n\n" + strings.Repeat(strings.Repeat("x", 99)+"\n", 530_000), []string{"bob@example.net"}},
	} {
		cmd := ann.Command(sendmailPath, tt.args...)
		if said := refuses(t, tt.status, tt.input, cmd); t.Failed() {
			t.Fatalf("%s: it said %q", tt.name, said)
		}
	}
}

// A message over the limit of the configuration is refused before all of it has been read.
func TestOverTheLimit(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d := inside.Daemon(t, "[spool]\nmax_message_size = \"100KB\"\n")
		ann := inside.User(t, "ann")
		check := func(what string) {
			t.Helper()
			endless := &counted{}
			cmd := ann.Command(sendmailPath, "-i", "root")
			cmd.Stdin = io.MultiReader(strings.NewReader("Subject: endless\n\n"), endless)
			refuses(t, 65, "", cmd)
			if endless.n > 10<<20 {
				t.Errorf("%s: %d octets were read of a message that may have 100,000", what, endless.n)
			}
		}
		check("with a daemon")
		send(t, ann, "Subject: fits\n\n"+strings.Repeat("x", 50_000)+"\n", "-i", "root")
		awaitMail(t, inside.User(t, "root"), "Subject: fits\n")
		queueEmpty(t)
		d.Stop()
		check("without a daemon")
	})
}

// counted has as much as is asked for, and counts it.
type counted struct{ n int64 }

func (c *counted) Read(p []byte) (int, error) {
	if c.n > 1<<30 {
		return 0, errors.New("a gigabyte was read")
	}
	for i := range p {
		p[i] = 'x'
		if i%80 == 79 {
			p[i] = '\n'
		}
	}
	c.n += int64(len(p))
	return len(p), nil
}

// NUL goes, a lone CR becomes a blank, and no line end of the input ends the message in SMTP.
func TestOddOctets(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann := inside.User(t, "ann")
		const input = "Subject: nul\x00 and\rcarriage return\r\n\r\none\x00\rtwo\r\r\n\r\n.\r\n\r.\r\nMAIL FROM:<eve@example.org>\r\n\n.\n\r\nlast\r"
		send(t, ann, input, "-i", "bob@example.net")
		got := inside.Messages(t, mx, 1)[0]
		checkEnvelope(t, got, "ann@"+inside.Hostname, "bob@example.net")
		p := parse(t, got.Content)
		p.has(t, "Subject: nul and carriage return")
		if want := "one two\r\n\r\n.\r\n .\r\nMAIL FROM:<eve@example.org>\r\n\r\n.\r\n\r\nlast \r\n"; p.body != want {
			t.Errorf("the body is %q, want %q", p.body, want)
		}
		inside.Verify(t, got.Content, 2)
		queueEmpty(t)
		if len(mx.Transactions()) != 1 || len(mx.Breaches()) > 0 {
			t.Errorf("%d transactions, %q", len(mx.Transactions()), mx.Breaches())
		}
	})
}

// The most recipients that a message may have: each gets it once, at most 100 in a transaction.
func TestTenThousandRecipients(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann := inside.User(t, "ann")
		const n = 10_000
		var args []string
		for i := range n {
			args = append(args, fmt.Sprintf("r%d@example.net", i))
		}
		send(t, ann, "Subject: all\n\nhello\n", append([]string{"-i", "--"}, args...)...)
		inside.Messages(t, mx, n/100)
		queueEmpty(t)
		seen := make(map[string]int)
		for _, m := range mx.Accepted() {
			if len(m.Rcpts) > 100 {
				t.Errorf("%d recipients in a transaction", len(m.Rcpts))
			}
			for _, r := range m.Rcpts {
				seen[r.Addr]++
			}
		}
		for _, a := range args {
			if seen[a] != 1 {
				t.Fatalf("%s got %d messages", a, seen[a])
			}
		}
		if len(seen) != n {
			t.Errorf("%d recipients, want %d", len(seen), n)
		}
	})
}

// A configuration that cannot be used: the daemon does not start, and sendmail takes the message only where it is safe.
func TestBadConfiguration(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		ann, root := inside.User(t, "ann"), inside.User(t, "root")
		const message = "Subject: s\n\nb\n"
		serve := func(text string) string {
			t.Helper()
			write(t, root, inside.Config, []byte(text), 0o644)
			status, said := inside.Status(t, inside.Command(t, "/usr/bin/signpost", "serve"))
			if status != 1 {
				t.Errorf("signpost serve with %q: status %d", text, status)
			}
			return said
		}
		if said := serve("hostnam = \"a.example\"\n[delivery]\nport = \"smtp\"\n"); !strings.Contains(said, inside.Config+":1:1: hostnam") ||
			!strings.Contains(said, inside.Config+":3:") {
			t.Errorf("the daemon said:\n%s", said)
		}

		// The place of the spool is beyond doubt.
		if said := serve("[delivery]\nport = \n"); !strings.Contains(said, inside.Config+":2:") {
			t.Errorf("the daemon said:\n%s", said)
		}
		cmd := ann.Command(sendmailPath, "-i", "root")
		cmd.Stdin = strings.NewReader(message)
		if status, said := inside.Status(t, cmd); status != 0 || !strings.HasPrefix(said, "sendmail: ") || len(spooled(t)) != 1 {
			t.Errorf("with an error elsewhere: status %d, %q, in the spool: %q", status, said, spooled(t))
		}
		for _, f := range spooled(t) {
			os.Remove(f)
		}

		// It is not.
		if said := serve("[spool]\npath = \"/var/spool/other\n"); !strings.Contains(said, inside.Config+":2:") {
			t.Errorf("the daemon said:\n%s", said)
		}
		refuses(t, 78, message, ann.Command(sendmailPath, "-i", "root"))

		// Files that cannot be read.
		refuses(t, 66, message, ann.Command(sendmailPath, "-C", "/nowhere.toml", "-i", "root"))
		write(t, root, "/etc/signpost/secret.toml", nil, 0o600)
		refuses(t, 66, message, ann.Command(sendmailPath, "-C", "/etc/signpost/secret.toml", "-i", "root"))
		if status, said := inside.Status(t, inside.Command(t, "/usr/bin/signpost", "serve", "--config", "/nowhere.toml")); status != 1 || !strings.Contains(said, "/nowhere.toml") {
			t.Errorf("signpost serve without its file: status %d, %s", status, said)
		}

		// A living daemon knows better than the file that was broken since it started; a reload leaves it as it is.
		d := inside.Daemon(t, "# nothing\n")
		write(t, root, inside.Config, []byte("[spool]\npath = \"/var/spool/other\n"), 0o644)
		d.Signal(syscall.SIGHUP)
		d.AwaitLog("a refused reload", func(log string) bool { return strings.Contains(log, "not reloaded") })
		cmd = ann.Command(sendmailPath, "-i", "root")
		cmd.Stdin = strings.NewReader("Subject: living\n\nb\n")
		if status, said := inside.Status(t, cmd); status != 0 {
			t.Errorf("with a living daemon: status %d: %s", status, said)
		}
		awaitMail(t, root, "Subject: living\n")
	})
}

// small mounts a file system of its own for the spool.
func small(t *testing.T, options string) {
	t.Helper()
	if err := unix.Mount("tmpfs", spoolDir, "tmpfs", 0, "mode=0711,"+options); err != nil {
		t.Fatal(err)
	}
	who := inside.User(t, "signpost")
	if err := os.Chown(spoolDir, who.UID, who.GID); err != nil {
		t.Fatal(err)
	}
}

// A full spool refuses for the time being, and what was being written is gone.
func TestFullSpool(t *testing.T) {
	for _, tt := range []struct{ name, options, fill string }{
		{"no space", "size=4m", "octets"},
		{"no inodes", "size=64m,nr_inodes=600", "inodes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inside.Run(t, inside.Callers, nil, func(t *testing.T) {
				small(t, tt.options)
				d := inside.Daemon(t, "[spool]\nmin_free = \"0\"\n")
				ann := inside.User(t, "ann")
				fill := func() (undo func()) {
					t.Helper()
					dir := spoolDir + "/filled"
					if err := os.Mkdir(dir, 0o700); err != nil {
						t.Fatal(err)
					}
					if tt.fill == "octets" {
						f, err := os.Create(dir + "/file")
						if err != nil {
							t.Fatal(err)
						}
						defer f.Close()
						if _, err := io.Copy(f, &counted{}); !errors.Is(err, syscall.ENOSPC) {
							t.Fatal(err)
						}
					} else {
						var err error
						for i := 0; err == nil; i++ {
							err = os.WriteFile(fmt.Sprint(dir, "/", i), nil, 0o600)
						}
						if !errors.Is(err, syscall.ENOSPC) {
							t.Fatal(err)
						}
					}
					return func() { os.RemoveAll(dir) }
				}
				big := "Subject: big\n\n" + strings.Repeat(strings.Repeat("x", 79)+"\n", 25_000)
				undo := fill()
				refuses(t, 75, big, ann.Command(sendmailPath, "-i", "root"))
				refuses(t, 75, "Subject: small\n\nb\n", ann.Command(sendmailPath, "-i", "root"))
				undo()
				send(t, ann, "Subject: fits\n\nb\n", "-i", "root")
				awaitMail(t, inside.User(t, "root"), "Subject: fits\n")
				queueEmpty(t)
				d.Stop()
				undo = fill()
				refuses(t, 75, big, ann.Command(sendmailPath, "-i", "root"))
				undo()
				if status, out := inside.Status(t, inside.Command(t, "/usr/bin/signpost", "queue")); status != 0 || out != "The queue is empty.\n" {
					t.Errorf("signpost queue: status %d, %s", status, out)
				}
			})
		})
	}
}

// The message that fills the spool up is refused in the middle.
func TestSpoolFillsUp(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		small(t, "size=8m")
		d := inside.Daemon(t, "[spool]\nmin_free = \"0\"\n")
		ann := inside.User(t, "ann")
		big := "Subject: big\n\n" + strings.Repeat(strings.Repeat("x", 79)+"\n", 200_000)
		refuses(t, 75, big, ann.Command(sendmailPath, "-i", "root"))
		d.Stop()
		refuses(t, 75, big, ann.Command(sendmailPath, "-i", "root"))
	})
}

// Below min_free the daemon refuses before there is any harm.
func TestLittleSpace(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		small(t, "size=32m")
		inside.Daemon(t, "# min_free is 64 MB\n")
		refuses(t, 75, "Subject: s\n\nb\n", inside.User(t, "ann").Command(sendmailPath, "-i", "root"))
	})
}

// A read-only spool refuses for the time being; what was in it is delivered when it can be written to again.
func TestReadOnlySpool(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		small(t, "size=80m")
		inside.DNS(t, "example.net. IN MX 10 mx.example.net.\nmx.example.net. IN A 198.51.100.1\n")
		mx := inside.Exchanger(t, "198.51.100.1:25", &stage.Exchanger{})
		gate := stage.NewGate()
		mx.Play(stage.Fault{At: stage.Mail, Times: 1, Wait: gate, Reply: "450 4.7.1 later"})
		d := inside.Daemon(t, "[delivery]\nretry = [\"1s\"]\n[spool]\nmin_free = \"0\"\n")
		ann := inside.User(t, "ann")
		// The same once more above it: the file of the lock, which is open for writing, keeps the first one as it is.
		readOnly := func() {
			t.Helper()
			if err := unix.Mount(spoolDir, spoolDir, "", unix.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("", spoolDir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
		}
		writable := func() {
			t.Helper()
			if err := unix.Unmount(spoolDir, 0); err != nil {
				t.Fatal(err)
			}
		}
		send(t, ann, "Subject: waits\n\nb\n", "-i", "bob@example.net")
		<-gate.Arrived()
		before := spooled(t)
		readOnly()
		gate.Open()
		for range 2 {
			cmd := ann.Command(sendmailPath, "-i", "root")
			cmd.Stdin = strings.NewReader("Subject: s\n\nb\n")
			status, said := inside.Status(t, cmd)
			if status != 75 || strings.Count(said, "\n") != 1 || fmt.Sprint(spooled(t)) != fmt.Sprint(before) {
				t.Errorf("status %d, %q; in the spool: %q", status, said, spooled(t))
			}
		}
		writable()
		inside.Messages(t, mx, 1)
		queueEmpty(t)
		send(t, ann, "Subject: again\n\nb\n", "-i", "root")
		awaitMail(t, inside.User(t, "root"), "Subject: again\n")
		d.Stop()
		readOnly()
		said := refuses(t, 75, "Subject: s\n\nb\n", ann.Command(sendmailPath, "-i", "root"))
		if !strings.Contains(said, "/run/signpost/submit.sock") || !strings.Contains(said, spoolDir+"/drop") {
			t.Errorf("it does not name both ways: %s", said)
		}
		writable()
	})
}

// torn starts sendmail with the first size octets of a message for root, which it has read for the most part when torn
// returns.
func torn(t *testing.T, size int) (cmd *exec.Cmd, rest *os.File, said *bytes.Buffer) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	said = new(bytes.Buffer)
	cmd = inside.User(t, "ann").Command(sendmailPath, "-i", "root")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pr, said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It is running, and has begun to read, when the pipe (64 KiB) has taken more than it holds.
	if _, err := pw.WriteString("Subject: torn\n\n" + strings.Repeat("line of the body\n", max(size, 128<<10)/17)); err != nil {
		t.Fatal(err)
	}
	return cmd, pw, said
}

// A signal in the middle of the input: the message is not queued, and the status is not 0.
func TestSignalInTheInput(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		all := func() {
			t.Helper()
			for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL} {
				for _, size := range []int{128 << 10, 3 << 20} {
					cmd, rest, _ := torn(t, size)
					cmd.Process.Signal(s)
					err := cmd.Wait()
					rest.Close()
					if err == nil {
						t.Errorf("%v after %d octets: status 0", s, size)
					}
					// A daemon sees that the connection has ended a moment later.
					inside.AwaitFolder(t, spoolDir, "an empty spool", func() bool { return len(spooled(t)) == 0 })
				}
			}
		}
		all()
		inside.Daemon(t, "# as it is\n")
		all()
		queueEmpty(t)
		if box, err := os.ReadFile("/var/mail/root"); err == nil {
			t.Errorf("in root's mailbox: %.1000s", box)
		}
	})
}

// SIGPIPE is nothing to it.
func TestPipeSignalInTheInput(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		inside.Daemon(t, "# as it is\n")
		cmd, rest, said := torn(t, 3<<20)
		cmd.Process.Signal(syscall.SIGPIPE)
		if _, err := rest.WriteString("the last line"); err != nil {
			t.Fatal(err)
		}
		rest.Close()
		if err := cmd.Wait(); err != nil || said.Len() > 0 {
			t.Errorf("%v: %s", err, said)
		}
		awaitMail(t, inside.User(t, "root"), "\nthe last line\n")
	})
}

// Whoever closes the other end of standard output does not stop the message.
func TestBrokenOutput(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		inside.Daemon(t, "# as it is\n")
		ann := inside.User(t, "ann")
		for i, script := range []string{
			`{ printf 'Subject: n0\n\nb\n' | /usr/sbin/sendmail -v -i root; echo $? >status; } | :`,
			`printf 'Subject: n1\n\nb\n' | /usr/sbin/sendmail -v -i root >&- 2>&-; echo $? >status`,
			`printf 'Subject: n2\n\nb\n' | /usr/sbin/sendmail -v -i root >/dev/full 2>/dev/full; echo $? >status`,
			`printf 'Subject: n3\n\nb\n' | (ulimit -n 8; exec /usr/sbin/sendmail -i root); echo $? >status`,
		} {
			inside.Output(t, ann.Command("/bin/sh", "-c", script))
			if status, err := os.ReadFile(ann.Home + "/status"); err != nil || string(status) != "0\n" {
				t.Errorf("%s\nstatus %s (%v)", script, status, err)
			}
			awaitMail(t, inside.User(t, "root"), fmt.Sprintf("Subject: n%d\n", i))
		}
	})
}

// An input that cannot be read is not an empty message.
func TestNoInput(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		ann := inside.User(t, "ann")
		check := func() {
			t.Helper()
			for _, script := range []string{"exec /usr/sbin/sendmail -i root <&-", "exec /usr/sbin/sendmail -i root </", "exec /usr/sbin/sendmail -t -i <&-",
				"exec /usr/sbin/sendmail -i root 0>/dev/null"} {
				refuses(t, 74, "", ann.Command("/bin/sh", "-c", script))
			}
		}
		check()
		inside.Daemon(t, "# as it is\n")
		check()
		// A limit on files that the caller has does not count with a daemon; without one it is no room.
		const big = `(printf 'Subject: big\n\n'; head -c 3000000 /dev/zero | tr '\0' x) | (ulimit -f 100; exec /usr/sbin/sendmail -i root)`
		if status, said := inside.Status(t, ann.Command("/bin/sh", "-c", big)); status != 0 {
			t.Errorf("with a daemon: status %d: %s", status, said)
		}
		awaitMail(t, inside.User(t, "root"), "Subject: big\n")
	})
}

func TestFileSizeLimitWithoutDaemon(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		const big = `(printf 'Subject: big\n\n'; head -c 3000000 /dev/zero | tr '\0' x) | (ulimit -f 100; exec /usr/sbin/sendmail -i root)`
		refuses(t, 75, "", inside.User(t, "ann").Command("/bin/sh", "-c", big))
	})
}
