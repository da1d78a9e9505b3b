//go:build e2e

package inside

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// hierarchy is where the control groups of the machine are seen inside.
const hierarchy = "/run/e2e/cgroup"

// System is a systemd that was booted.
type System struct {
	t     testing.TB
	cmd   *exec.Cmd
	out   bytes.Buffer
	ended chan struct{} // closed when it has ended
}

// Boot starts systemd as in a container, with the units that are installed, in the root and the network of the test:
// it reaches exchangers and the name server of the test, which are to be started first. It returns when all is started
// that is to be. Where no control groups may be made, the test is skipped.
//
// What it starts has processes of its own and lacks what would reach the machine: /proc/sys is read-only, no module
// can be loaded and the clock not be set.
func Boot(t testing.TB) *System {
	t.Helper()
	group, err := os.Open(makeGroup(t))
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	s := &System{t: t, cmd: exec.Command("/run/e2e/test"), ended: make(chan struct{})}
	s.cmd.Env = []string{envStage + "=" + stageBoot, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "container=e2e", "LANG=C.UTF-8"}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		UseCgroupFD: true,
		CgroupFD:    int(group.Fd()),
		Setsid:      true,
	}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.cmd.Wait(); close(s.ended) }() // ends with systemd, which end waits for
	t.Cleanup(s.end)
	AwaitFolder(t, "/run", "systemd", s.answers)
	if status, state := Status(t, s.Command("systemctl", "is-system-running", "--wait")); status != 0 {
		_, failed := Status(t, s.Command("systemctl", "list-units", "--failed", "--no-pager"))
		t.Fatalf("systemd is %s%s", state, failed)
	}
	return s
}

// answers reports whether systemd is so far that it can be asked something.
func (s *System) answers() bool {
	select {
	case <-s.ended:
		s.t.Fatalf("systemd ended\n%s", s.out.Bytes())
	default:
	}
	_, err := os.Stat("/run/systemd/private")
	return err == nil
}

// Command prepares a program that root runs among the processes of the system, as systemctl must be.
func (s *System) Command(name string, args ...string) *exec.Cmd {
	enter := []string{"--target", fmt.Sprint(s.cmd.Process.Pid), "--mount", "--pid", "--ipc", "--", name}
	return Command(s.t, "/usr/bin/nsenter", append(enter, args...)...)
}

func (s *System) end() {
	if s.t.Failed() {
		journal, _ := exec.Command("journalctl", "--no-pager", "--no-hostname", "--output=short-precise").CombinedOutput()
		s.t.Logf("the journal:\n%s", journal)
	}
	s.cmd.Process.Kill()
	<-s.ended
}

// makeGroup makes a control group for systemd, which vanishes at the end of the test.
func makeGroup(t testing.TB) string {
	t.Helper()
	if err := os.MkdirAll(hierarchy, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("cgroup2", hierarchy, "cgroup2", 0, ""); err != nil {
		t.Skipf("systemd cannot be started: no control groups (version 2): %v", err)
	}
	group, err := os.MkdirTemp(hierarchy, "signpost-e2e.")
	if errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("systemd cannot be started: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeGroup(t, group) })
	return group
}

// removeGroup removes a group and those in it, in which nothing runs any more.
func removeGroup(t testing.TB, group string) {
	var all []string
	filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	for _, path := range slices.Backward(all) {
		if err := unix.Rmdir(path); err != nil {
			t.Errorf("the control group %s is left: %v", path, err)
		}
	}
}

// boot becomes systemd. It is the first process of its own name space.
func boot() error {
	runtime.LockOSThread() // the control group name space is the thread's
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("name space of control groups: %w", err)
	}
	for _, m := range []struct {
		from, kind, at string
		flags          uintptr
	}{
		{"", "", "/", unix.MS_REC | unix.MS_PRIVATE},
		{"proc", "proc", "/proc", 0},
		{"/proc/sys", "", "/proc/sys", unix.MS_BIND},
		{"", "", "/proc/sys", unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY},
		{"sysfs", "sysfs", "/sys", unix.MS_RDONLY},
		{"cgroup2", "cgroup2", "/sys/fs/cgroup", 0},
	} {
		if err := unix.Mount(m.from, m.at, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	for _, c := range []uintptr{unix.CAP_SYS_MODULE, unix.CAP_SYS_BOOT, unix.CAP_SYS_TIME, unix.CAP_SYS_RAWIO, unix.CAP_SYSLOG,
		unix.CAP_AUDIT_CONTROL, unix.CAP_AUDIT_READ, unix.CAP_AUDIT_WRITE} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("capability %d: %w", c, err)
		}
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SIGNPOST_") })
	return unix.Exec("/lib/systemd/systemd", []string{"/lib/systemd/systemd", "--system", "--unit=multi-user.target"}, env)
}
