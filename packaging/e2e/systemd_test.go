//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"signpost/packaging/e2e/inside"
)

// units are the installed units, and what systemd-analyze may make of the exposure of each: 0 is none, 10 is all.
var units = []struct {
	name     string
	exposure float64
}{
	{"signpost.service", 1.6},
	{"signpost-deliver.service", 2.1},
	{"signpost.socket", 0},
	{"signpost-deliver.socket", 0},
}

func TestUnits(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
		for _, u := range units {
			cmd := inside.Command(t, "systemd-analyze", "verify", "--man=no", u.name)
			if status, out := inside.Status(t, cmd); status != 0 || strings.Contains(out, "signpost") {
				t.Errorf("systemd-analyze verify %s: status %d\n%s", u.name, status, out)
			}
			if u.exposure == 0 {
				continue
			}
			out := inside.Output(t, inside.Command(t, "systemd-analyze", "security", "--offline=true", "--no-pager", u.name))
			m := overall.FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("no exposure of %s:\n%s", u.name, out)
			}
			if got, err := strconv.ParseFloat(m[1], 64); err != nil || got > u.exposure {
				t.Errorf("exposure of %s is %s, more than %v\n%s", u.name, m[1], u.exposure, out)
			}
		}
	})
}

// The units do their work with all that they are forbidden: mail leaves signed, is put into mailboxes and homes, and
// goes to programs; what is handed in while the daemon is stopped is delivered later.
func TestUnderSystemd(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		text, mx := exampleNet(t)
		writeFile(t, inside.Config, text, 0o644)
		robot(t)
		system := inside.Boot(t)
		systemctl := func(args ...string) string { return inside.Output(t, system.Command("systemctl", args...)) }

		ann, root := inside.User(t, "ann"), inside.User(t, "root")
		send(t, ann, "Subject: out\n\nworld\n", "-i", "bob@example.net")
		inside.Verify(t, inside.Messages(t, mx, 1)[0].Content, 2)
		send(t, ann, "Subject: near\n\nworld\n", "-i", "ann", "root", "robot")
		awaitMail(t, ann, "Subject: near\n")
		awaitMail(t, root, "Subject: near\n")
		fact{path: "/var/mail/ann", mode: 0o600, owner: "ann:mail"}.check(t)
		checkRobot(t)
		checkProcesses(t)

		writeFile(t, inside.Config, text+"[local]\nmailbox = \"{home}/Maildir/\"\n", 0o644)
		systemctl("reload", "signpost.service")
		maildir := filepath.Join(ann.Home, "Maildir/new")
		inside.Output(t, ann.Command("/bin/mkdir", "-p", maildir))
		send(t, ann, "Subject: home\n\nworld\n", "-i", "ann")
		inside.AwaitFolder(t, maildir, "a message in "+maildir, func() bool {
			found, err := os.ReadDir(maildir)
			return err == nil && len(found) > 0
		})

		systemctl("stop", "signpost.socket", "signpost.service")
		send(t, ann, "Subject: later\n\nworld\n", "-i", "bob@example.net")
		systemctl("start", "signpost.socket", "signpost.service")
		inside.Messages(t, mx, 2)
		systemctl("restart", "signpost.service")
		send(t, ann, "Subject: again\n\nworld\n", "-i", "bob@example.net")
		inside.Messages(t, mx, 3)
		if state := systemctl("is-system-running"); state != "running\n" {
			t.Errorf("systemd is %s", state)
		}
	})
}

// A reload with a configuration that has errors fails, and the daemon goes on with the one it has.
func TestReloadOfBrokenConfig(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		text, mx := exampleNet(t)
		writeFile(t, inside.Config, text, 0o644)
		system := inside.Boot(t)
		writeFile(t, inside.Config, text+"[delivery]\nexpire = 5\n", 0o644)
		if status, out := inside.Status(t, system.Command("systemctl", "reload", "signpost.service")); status == 0 {
			t.Errorf("systemctl reload did not fail: %s", out)
		}
		send(t, inside.User(t, "ann"), "Subject: on\n\nworld\n", "-i", "bob@example.net")
		inside.Verify(t, inside.Messages(t, mx, 1)[0].Content, 2)
	})
}

// An upgrade puts the new daemon in the place of the old one, and a removal leaves nothing running.
func TestUpgradeUnderSystemd(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		if err := os.Remove("/usr/sbin/policy-rc.d"); err != nil {
			t.Fatal(err)
		}
		system := inside.Boot(t)
		run := func(args ...string) string { return inside.Output(t, system.Command(args[0], args[1:]...)) }
		before := run("systemctl", "show", "--property=MainPID", "--value", "signpost.service")
		run("dpkg", "--install", inside.Deb)
		after := run("systemctl", "show", "--property=MainPID", "--value", "signpost.service")
		if after == before || after == "0\n" {
			t.Errorf("process of the daemon: %s before the upgrade, %s after it", before, after)
		}
		ann := inside.User(t, "ann")
		send(t, ann, "Subject: new\n\nworld\n", "-i", "ann")
		awaitMail(t, ann, "Subject: new\n")

		run("dpkg", "--remove", "--force-depends", "signpost") // mail programs here depend on it
		for _, program := range []string{"/usr/bin/signpost", "/usr/lib/signpost/deliver"} {
			if status, out := inside.Status(t, system.Command("pidof", program)); status == 0 {
				t.Errorf("%s runs after the removal: %s", program, out)
			}
		}
		run("dpkg", "--purge", "--force-depends", "signpost")
		// Its status differs between versions where the list is empty.
		if _, left := inside.Status(t, system.Command("systemctl", "list-unit-files", "signpost*")); strings.Contains(left, "signpost") {
			t.Errorf("units after the purge:\n%s", left)
		}
	})
}

func writeFile(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// checkProcesses looks at what the two programs may do, and at their sockets.
func checkProcesses(t *testing.T) {
	t.Helper()
	daemon, helper := process(t, "/usr/bin/signpost"), process(t, "/usr/lib/signpost/deliver")
	for _, field := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if daemon[field] != noCaps {
			t.Errorf("%s of the daemon is %s", field, daemon[field])
		}
	}
	for field, want := range map[string]string{"CapEff": setIDs, "CapBnd": setIDs, "CapInh": noCaps, "CapAmb": noCaps, "NoNewPrivs": "1"} {
		if helper[field] != want {
			t.Errorf("%s of the helper is %s, want %s", field, helper[field], want)
		}
	}
	for _, f := range []fact{
		{path: "/run/signpost", mode: open, owner: "signpost:signpost"},
		{path: "/run/signpost/submit.sock", mode: fs.ModeSocket | 0o666, owner: "root:root"},
		{path: "/run/signpost/deliver.sock", mode: fs.ModeSocket | 0o600, owner: "signpost:signpost"},
	} {
		f.check(t)
	}
}

const setIDs = "00000000000000c0" // CAP_SETUID and CAP_SETGID

// process gives /proc/PID/status of the one process of a program.
func process(t *testing.T, program string) map[string]string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && exe == program {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			if err != nil {
				t.Fatal(err)
			}
			return inside.Process(t, pid)
		}
	}
	t.Fatalf("%s does not run", program)
	return nil
}

// robot makes an alias for a program that tells who it is.
func robot(t *testing.T) {
	t.Helper()
	writeFile(t, "/usr/local/bin/robot", "#!/bin/sh\ncat >/srv/robot/mail\ncat /proc/self/status >/srv/robot/status\n", 0o755)
	nobody := inside.User(t, "nobody")
	err := errors.Join(os.Mkdir("/srv/robot", 0o700), os.Chown("/srv/robot", nobody.UID, nobody.GID))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/etc/aliases")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, "/etc/aliases", string(text)+"robot: \"|/usr/local/bin/robot\"\n", 0o644)
}

// checkRobot waits for the program to have run, as nobody and without any right.
func checkRobot(t *testing.T) {
	t.Helper()
	status := inside.AwaitFile(t, "/srv/robot/status", func(content []byte) bool {
		return strings.Contains(string(content), "nonvoluntary_ctxt_switches")
	})
	nobody := inside.User(t, "nobody")
	for _, want := range []string{
		fmt.Sprintf("\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", nobody.UID),
		fmt.Sprintf("\nGid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", nobody.GID),
		"\nCapPrm:\t" + noCaps + "\n", "\nCapEff:\t" + noCaps + "\n", "\nNoNewPrivs:\t1\n",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("status of the program has no line %q:\n%s", strings.TrimSpace(want), status)
		}
	}
	if mail, err := os.ReadFile("/srv/robot/mail"); err != nil || !strings.Contains(string(mail), "Subject: near\n") {
		t.Errorf("the program got %q (%v)", mail, err)
	}
}
