//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpost/packaging/e2e/inside"
)

// What the control file of the package says, and what its scripts and files are.
func TestPackage(t *testing.T) {
	inside.Run(t, inside.Bare, nil, func(t *testing.T) {
		dpkgDeb := func(args ...string) string {
			t.Helper()
			return inside.Output(t, inside.Command(t, "dpkg-deb", append(args, inside.Deb)...))
		}
		for _, field := range []string{"Provides", "Conflicts", "Replaces"} {
			got := strings.TrimSpace(inside.Output(t, inside.Command(t, "dpkg-deb", "--field", inside.Deb, field)))
			if got != "mail-transport-agent" {
				t.Errorf("%s: %q", field, got)
			}
		}
		dpkgDeb("--info")

		control := t.TempDir()
		inside.Output(t, inside.Command(t, "dpkg-deb", "--control", inside.Deb, control))
		if got, err := os.ReadFile(filepath.Join(control, "conffiles")); err != nil || string(got) != inside.Config+"\n" {
			t.Errorf("conffiles: %q (%v)", got, err)
		}
		for _, script := range []string{"postinst", "prerm", "postrm"} {
			inside.Output(t, inside.Command(t, "/bin/sh", "-n", filepath.Join(control, script)))
		}

		list := dpkgDeb("--contents")
		for line := range strings.Lines(list) {
			f := strings.Fields(line)
			if len(f) < 6 || f[1] != "root/root" {
				t.Errorf("not of root: %q", line)
				continue
			}
			mode, name := f[0], f[5]
			wellKnown := map[byte][]string{'d': {"drwxr-xr-x"}, 'l': {mode}, '-': {"-rw-r--r--", "-rwxr-xr-x"}}
			if !slices.Contains(wellKnown[mode[0]], mode) {
				t.Errorf("%s has mode %s", name, mode)
			}
			if strings.HasPrefix(name, "./usr/share/man/") && mode[0] == '-' && !strings.HasSuffix(name, ".gz") {
				t.Errorf("%s is not compressed", name)
			}
		}
		for _, want := range []string{"doc/signpost/copyright", "bash-completion/completions/signpost", "man/man8/sendmail.8.gz",
			"man/man1/mailq.1.gz", "man/man1/newaliases.1.gz", "man/man5/aliases.5.gz", "man/man5/forward.5.gz", "man/man5/signpost.toml.5.gz"} {
			if !strings.Contains(list, " ./usr/share/"+want+"\n") {
				t.Errorf("/usr/share/%s is missing in\n%s", want, list)
			}
		}
	})
}

// dpkg runs dpkg as an administrator without a terminal would, and gives what it said.
func dpkg(t *testing.T, args ...string) string {
	t.Helper()
	cmd := inside.Command(t, "dpkg", args...)
	cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive")
	status, out := inside.Status(t, cmd)
	if status != 0 {
		t.Fatalf("dpkg %s: status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// On a system with hardly anything, and no service manager: what is missing is made, mail can be handed in at once,
// and a purge removes everything but mail.
func TestInstallAndPurge(t *testing.T) {
	inside.Run(t, inside.Bare, nil, func(t *testing.T) {
		os.Remove("/etc/mailname")
		os.Remove("/etc/aliases")
		dpkg(t, "--install", inside.Deb)
		for _, f := range installed {
			f.check(t)
		}
		if name, err := os.ReadFile("/etc/mailname"); err != nil || string(name) != inside.Hostname+"\n" {
			t.Errorf("/etc/mailname: %q (%v)", name, err)
		}

		ann := inside.User(t, "ann")
		send(t, ann, "Subject: early\n\nworld\n", "-i", "ann")
		if out := dpkg(t, "--purge", "signpost"); !strings.Contains(out, "messages in it: 1") {
			t.Errorf("purge does not tell of the message that is left:\n%s", out)
		}
		for path, want := range map[string]bool{
			"/etc/signpost": false, "/usr/sbin/sendmail": false, "/var/spool/signpost/drop/new": true, "/etc/aliases": true, "/etc/mailname": true,
		} {
			if exists(path) != want {
				t.Errorf("%s exists after the purge: %t, want %t", path, !want, want)
			}
		}

		dpkg(t, "--install", inside.Deb)
		d := inside.Daemon(t, "")
		awaitMail(t, ann, "Subject: early\n")
		queueEmpty(t)
		d.Stop()
		dpkg(t, "--purge", "signpost")
		if exists("/var/spool/signpost") {
			t.Error("the empty spool is left after a purge")
		}
	})
}

// Files of the administrator outlive installation and upgrade.
func TestUpgradeKeeps(t *testing.T) {
	inside.Run(t, inside.Bare, nil, func(t *testing.T) {
		const aliases, name, config = "root: ann\n", "mail.example.test\n", "hostname = \"mail.example.test\"\n"
		writeFile(t, "/etc/aliases", aliases, 0o644)
		writeFile(t, "/etc/mailname", name, 0o644)
		dpkg(t, "--install", inside.Deb)
		writeFile(t, inside.Config, config, 0o644)
		inside.Key(t, "example.test", "s", "ed25519")
		key, err := os.ReadFile("/etc/signpost/dkim/example.test.s.pem")
		if err != nil {
			t.Fatal(err)
		}
		send(t, inside.User(t, "root"), "Subject: kept\n\n.\n", "-i", "root")

		dpkg(t, "--install", inside.Deb)
		for path, want := range map[string]string{
			"/etc/aliases": aliases, "/etc/mailname": name, inside.Config: config, "/etc/signpost/dkim/example.test.s.pem": string(key),
		} {
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Errorf("%s is %q after an upgrade, was %q (%v)", path, got, want, err)
			}
		}
		if left := names(t, "/var/spool/signpost/drop/new"); len(left) != 1 {
			t.Errorf("%d messages in drop/ after an upgrade, want 1", len(left))
		}
	})
}

// Where the package was installed over another mail system, it is the only one.
func TestReplaces(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		list := inside.Output(t, inside.Command(t, "dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package} ${Provides}\\n"))
		var agents []string
		for line := range strings.Lines(list) {
			if f := strings.Fields(line); f[0] == "installed" && strings.Contains(line, "mail-transport-agent") {
				agents = append(agents, f[1])
			}
		}
		if !slices.Equal(agents, []string{"signpost"}) {
			t.Errorf("mail systems: %v", agents)
		}
	})
}

// The configuration that is installed changes nothing.
func TestInstalledConfigIsDefault(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		with := inside.Output(t, inside.Command(t, "/usr/bin/signpost", "config", "show"))
		if err := os.Remove(inside.Config); err != nil {
			t.Fatal(err)
		}
		without := inside.Output(t, inside.Command(t, "/usr/bin/signpost", "config", "show"))
		if with != without {
			t.Errorf("in force with the installed file:\n%s\nwithout it:\n%s", with, without)
		}
	})
}

// The same source gives the same package, whoever builds it and where.
func TestPackageIsReproducible(t *testing.T) {
	if os.Getenv("SIGNPOST_DEB") == "" {
		t.Skip("$SIGNPOST_DEB is not set: packaging/test.sh builds packages")
	}
	var first []byte
	for _, umask := range []string{"022", "077"} {
		out := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `umask "$1" && exec sh ../deb.sh "$2"`, "sh", umask, out)
		cmd.Env = append(os.Environ(), "VERSION=1.2.3", "SOURCE_DATE_EPOCH=1700000000", "TMPDIR="+t.TempDir())
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("deb.sh: %v\n%s", err, text)
		}
		found, err := filepath.Glob(filepath.Join(out, "signpost_1.2.3_*.deb"))
		if err != nil || len(found) != 1 {
			t.Fatalf("packages: %v (%v)", found, err)
		}
		deb, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = deb
		} else if !bytes.Equal(first, deb) {
			t.Error("two builds differ")
		}
	}
}
