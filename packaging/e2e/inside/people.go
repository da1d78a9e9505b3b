//go:build e2e

package inside

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Account is an account inside.
type Account struct {
	Name     string
	UID, GID int
	Home     string
	Shell    string
	ctx      testing.TB
}

// User gives the account of a name. Where there is none, it is made: an ordinary user with a group and a home.
func User(t testing.TB, name string) Account {
	t.Helper()
	if a, ok := account(t, name); ok {
		return a
	}
	Output(t, Command(t, "/usr/sbin/useradd", "--create-home", "--user-group", "--shell", "/bin/sh", name))
	a, ok := account(t, name)
	if !ok {
		t.Fatalf("no account %s though it was made", name)
	}
	return a
}

func account(t testing.TB, name string) (Account, bool) {
	t.Helper()
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 7 || f[0] != name {
			continue
		}
		uid, uidErr := strconv.Atoi(f[2])
		gid, gidErr := strconv.Atoi(f[3])
		if uidErr != nil || gidErr != nil {
			t.Fatalf("/etc/passwd: %q", line)
		}
		return Account{Name: name, UID: uid, GID: gid, Home: f[5], Shell: f[6], ctx: t}, true
	}
	return Account{}, false
}

// Command prepares a program that the account runs, in its home and with the environment of a login. It is killed at
// the end of the test.
func (a Account) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(a.ctx.Context(), name, args...)
	cmd.Dir = a.Home
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + a.Home, "USER=" + a.Name, "LOGNAME=" + a.Name,
		"SHELL=" + a.Shell, "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)},
		Setsid:     true,
	}
	return cmd
}

// Command prepares a program that root runs. It is killed at the end of the test.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = "/root", passedOn()
	return cmd
}

// Output runs a program and gives what it wrote to standard output. Any status but 0 is the test's failure, and shows
// what the program said.
func Output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), e, out.Bytes(), err.Bytes())
	}
	return out.String()
}

// Status runs a program and gives its exit status and all it wrote. Only that it cannot be started, or is ended by a
// signal, is the test's failure.
func Status(t testing.TB, cmd *exec.Cmd) (status int, output string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil || !cmd.ProcessState.Exited() {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out.Bytes())
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// Guest is another root, in the same network and with the same processes: what is started in it is a neighbour of
// the daemon, with a file system of its own.
type Guest struct {
	Path string // of its root as seen by the test
	t    testing.TB
}

// Peer gives one of the other roots that Run was told of.
func Peer(t testing.TB, name string) Guest {
	t.Helper()
	g := Guest{Path: "/run/e2e/peers/" + name, t: t}
	if !isFolder(g.Path) {
		t.Fatalf("%s is not among the other roots that Run was told of", name)
	}
	return g
}

// In is the path, as seen by the test, of what is called path there.
func (g Guest) In(path string) string { return filepath.Join(g.Path, path) }

// Command prepares a program that root runs there. It is killed at the end of the test.
func (g Guest) Command(name string, args ...string) *exec.Cmd {
	cmd := Command(g.t, name, args...)
	cmd.Err = nil // it need not be here, but there
	if !filepath.IsAbs(name) {
		cmd.Err = fmt.Errorf("%s: in another root a program needs its whole path", name)
	}
	cmd.Path, cmd.Dir = name, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: g.Path}
	return cmd
}

// Process gives the fields of /proc/PID/status; white space within a value is one space.
func Process(t testing.TB, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}
