//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// fact is what is to be said of a file.
type fact struct {
	path        string
	mode        fs.FileMode
	owner       string // user:group
	destination string // of a link
}

func (f fact) check(t *testing.T) {
	t.Helper()
	info, err := os.Lstat(f.path)
	if err != nil {
		t.Error(err)
		return
	}
	if f.destination != "" {
		if to, err := os.Readlink(f.path); err != nil || to != f.destination {
			t.Errorf("%s leads to %q, want %q (%v)", f.path, to, f.destination, err)
		}
		return
	}
	if info.Mode() != f.mode {
		t.Errorf("%s has mode %v, want %v", f.path, info.Mode(), f.mode)
	}
	st := info.Sys().(*syscall.Stat_t)
	user, group, _ := strings.Cut(f.owner, ":")
	if want := numbers(t, user, group); want != [2]int{int(st.Uid), int(st.Gid)} {
		t.Errorf("%s belongs to %d:%d, want %s, that is %v", f.path, st.Uid, st.Gid, f.owner, want)
	}
}

func numbers(t *testing.T, user, group string) [2]int {
	t.Helper()
	var n [2]int
	for i, get := range []*[]string{{"passwd", user}, {"group", group}} {
		line := inside.Output(t, inside.Command(t, "getent", *get...))
		if _, err := fmt.Sscan(strings.Split(line, ":")[2], &n[i]); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

const (
	open   = fs.ModeDir | 0o755
	dropIn = fs.ModeDir | fs.ModeSticky | fs.ModeSetgid | 0o733
)

var installed = []fact{
	{path: "/usr/sbin/sendmail", mode: 0o755, owner: "root:root"},
	{path: "/usr/bin/signpost", mode: 0o755, owner: "root:root"},
	{path: "/usr/lib/signpost/deliver", mode: 0o755, owner: "root:root"},
	{path: "/usr/lib/sendmail", destination: "../sbin/sendmail"},
	{path: "/usr/bin/mailq", destination: "../sbin/sendmail"},
	{path: "/usr/bin/newaliases", destination: "../sbin/sendmail"},
	{path: "/usr/sbin/runq", destination: "sendmail"},
	{path: "/usr/sbin/rmail", destination: "sendmail"},
	{path: "/usr/bin/rmail", destination: "../sbin/rmail"},
	{path: "/etc/signpost", mode: open, owner: "root:root"},
	{path: "/etc/signpost/signpost.toml", mode: 0o644, owner: "root:root"},
	{path: "/etc/signpost/dkim", mode: fs.ModeDir | 0o750, owner: "root:signpost"},
	{path: "/etc/aliases", mode: 0o644, owner: "root:root"},
	{path: "/etc/mailname", mode: 0o644, owner: "root:root"},
	{path: "/var/spool/signpost", mode: fs.ModeDir | 0o711, owner: "signpost:signpost"},
	{path: "/var/spool/signpost/drop", mode: fs.ModeDir | 0o711, owner: "signpost:signpost"},
	{path: "/var/spool/signpost/drop/tmp", mode: dropIn, owner: "signpost:signpost"},
	{path: "/var/spool/signpost/drop/new", mode: dropIn, owner: "signpost:signpost"},
}

func TestInstalled(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		for _, f := range installed {
			f.check(t)
		}
		if out := inside.Output(t, inside.Command(t, "/usr/bin/signpost", "config", "check")); !strings.HasSuffix(out, ": ok\n") {
			t.Errorf("config check: %q", out)
		}
	})
}

// No program of ours gives anybody rights.
func TestNoSetUID(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		list := inside.Output(t, inside.Command(t, "dpkg", "--listfiles", "signpost"))
		seen := 0
		for path := range strings.Lines(list) {
			path = strings.TrimSpace(path)
			info, err := os.Stat(path)
			if err != nil {
				t.Error(err)
				continue
			}
			seen++
			if info.Mode().IsRegular() && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
				t.Errorf("%s: %v", path, info.Mode())
			}
		}
		if seen < 20 {
			t.Errorf("only %d files in the package:\n%s", seen, list)
		}
		caps := filepath.Join("/usr/sbin", "getcap")
		if _, err := os.Stat(caps); err == nil {
			if out := inside.Output(t, inside.Command(t, caps, "/usr/sbin/sendmail", "/usr/bin/signpost", "/usr/lib/signpost/deliver")); out != "" {
				t.Errorf("file capabilities: %s", out)
			}
		}
	})
}

// The daemon gives up root before it serves.
func TestDaemonHasNoRights(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d := inside.Daemon(t, "")
		who := numbers(t, "signpost", "signpost")
		status := inside.Process(t, d.PID())
		for field, want := range map[string]string{
			"Uid":        fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", who[0]),
			"Gid":        fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", who[1]),
			"Groups":     fmt.Sprint(who[1]),
			"CapInh":     noCaps,
			"CapPrm":     noCaps,
			"CapEff":     noCaps,
			"CapAmb":     noCaps,
			"NoNewPrivs": "1",
		} {
			if got := status[field]; got != want {
				t.Errorf("%s of the daemon is %q, want %q", field, got, want)
			}
		}
		for _, f := range []fact{
			{path: "/run/signpost", mode: open, owner: "signpost:signpost"},
			{path: "/run/signpost/submit.sock", mode: fs.ModeSocket | 0o666, owner: "signpost:signpost"},
			{path: "/run/signpost/control.sock", mode: fs.ModeSocket | 0o660, owner: "signpost:signpost"},
			{path: "/run/signpost/deliver.sock", mode: fs.ModeSocket | 0o600, owner: "signpost:signpost"},
			{path: "/var/spool/signpost/new", mode: fs.ModeDir | 0o700, owner: "signpost:signpost"},
			{path: "/var/spool/signpost/cur", mode: fs.ModeDir | 0o700, owner: "signpost:signpost"},
		} {
			f.check(t)
		}
	})
}

const noCaps = "0000000000000000"

// outside is what most tests need: example.net with one exchanger, and a daemon that signs as Hostname.
func outside(t *testing.T) (*inside.Running, *stage.Exchanger) {
	t.Helper()
	text, mx := exampleNet(t)
	return inside.Daemon(t, text), mx
}

// exampleNet starts example.net, and gives a configuration with two keys whose records are in the DNS.
func exampleNet(t *testing.T) (text string, mx *stage.Exchanger) {
	t.Helper()
	entry, record := inside.Key(t, inside.Hostname, "r", "rsa2048")
	second, secondRecord := inside.Key(t, inside.Hostname, "e", "ed25519")
	inside.DNS(t, "example.net. IN MX 10 mx.example.net.\nmx.example.net. IN A 198.51.100.1\n"+record+secondRecord)
	mx = inside.Exchanger(t, "198.51.100.1:25", &stage.Exchanger{Name: "mx.example.net", Reject: []string{"nobody@example.net"}})
	return entry + second, mx
}

func send(t *testing.T, who inside.Account, message string, args ...string) {
	t.Helper()
	cmd := who.Command("/usr/sbin/sendmail", args...)
	cmd.Stdin = strings.NewReader(message)
	inside.Output(t, cmd)
}

// An ordinary user's message leaves signed, twice, for the exchanger of its recipient.
func TestSignedToTheWorld(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann := inside.User(t, "ann")
		send(t, ann, "To: bob@example.net\nSubject: hello\n\nworld\n", "-t", "-i")
		got := inside.Messages(t, mx, 1)[0]
		if got.Sender.Addr != "ann@"+inside.Hostname || len(got.Rcpts) != 1 || got.Rcpts[0].Addr != "bob@example.net" {
			t.Errorf("envelope: %+v", got)
		}
		if !strings.HasSuffix(string(got.Content), "\r\n\r\nworld\r\n") || !strings.Contains(string(got.Content), "From: ann@"+inside.Hostname) {
			t.Errorf("content:\n%s", got.Content)
		}
		inside.Verify(t, got.Content, 2)
	})
}

// Local mail is put into the mailbox by the helper, as the recipient: the mailbox is his.
func TestLocalMailbox(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		inside.Daemon(t, "")
		ann, bob := inside.User(t, "ann"), inside.User(t, "bob")
		send(t, ann, "Subject: lunch\n\ntoday?\n", "bob")
		awaitMail(t, bob, "Subject: lunch\n")
		fact{path: "/var/mail/bob", mode: 0o600, owner: "bob:mail"}.check(t)
		send(t, ann, "Subject: for root\n\n.\n", "-i", "root")
		awaitMail(t, inside.User(t, "root"), "Subject: for root\n")
	})
}

// awaitMail waits for a text in somebody's mailbox and gives all that is in it.
func awaitMail(t *testing.T, who inside.Account, text string) string {
	t.Helper()
	return string(inside.AwaitFile(t, "/var/mail/"+who.Name, func(content []byte) bool {
		return strings.Contains(string(content), text)
	}))
}

// What cannot be delivered comes back to the user who sent it, whose mail program reads it.
func TestBounce(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		outside(t)
		ann := inside.User(t, "ann")
		send(t, ann, "Subject: lost\n\nworld\n", "-i", "nobody@example.net")
		awaitMail(t, ann, "Subject: lost\n")
		cmd := ann.Command("/usr/bin/bsd-mailx", "-N", "-f", "/var/mail/ann")
		cmd.Stdin = strings.NewReader("headers\ntype 1\nexit\n")
		out := inside.Output(t, cmd)
		for _, want := range []string{"MAILER-DAEMON", "nobody@example.net", "550 5.1.1", "Subject: lost"} {
			if !strings.Contains(out, want) {
				t.Errorf("bsd-mailx does not show %q:\n%s", want, out)
			}
		}
	})
}

// While the daemon is away, messages are kept in drop/; when it is back it delivers them.
func TestWithoutDaemon(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d, mx := outside(t)
		d.Stop()
		ann := inside.User(t, "ann")
		const drop = "/var/spool/signpost/drop/new"
		send(t, ann, "Subject: one\n\none\n", "-i", "bob@example.net")
		send(t, inside.User(t, "root"), "Subject: two\n\ntwo\n", "-i", "bob@example.net")
		left, err := os.ReadDir(drop)
		if err != nil || len(left) != 2 {
			t.Fatalf("%d messages in %s, want 2 (%v)", len(left), drop, err)
		}
		for _, f := range left {
			info, err := f.Info()
			if err != nil || info.Mode() != 0o640 {
				t.Errorf("%s has mode %v, want 0640 (%v)", f.Name(), info.Mode(), err)
			}
		}
		if status, out := inside.Status(t, ann.Command("/bin/ls", drop)); status == 0 {
			t.Errorf("an ordinary user may list %s: %s", drop, out)
		}
		d.Start()
		var senders []string
		for _, m := range inside.Messages(t, mx, 2) {
			inside.Verify(t, m.Content, 2)
			senders = append(senders, m.Sender.Addr)
		}
		slices.Sort(senders)
		if want := []string{"ann@" + inside.Hostname, "root@" + inside.Hostname}; !slices.Equal(senders, want) {
			t.Errorf("senders %v, want %v", senders, want)
		}
		inside.AwaitFolder(t, drop, "an empty "+drop, func() bool {
			left, err := os.ReadDir(drop)
			return err == nil && len(left) == 0
		})
	})
}
