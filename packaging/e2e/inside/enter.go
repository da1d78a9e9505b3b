//go:build e2e

package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func marshal(p *plan) (string, error) {
	text, err := json.Marshal(p)
	return string(text), err
}

// initialise is the first process of the new name spaces: it makes the root, starts the test in it, takes in orphans,
// and ends with the status of the test. The kernel kills whatever is left when it ends.
func initialise() int {
	var p plan
	err := json.Unmarshal([]byte(os.Getenv(envPlan)), &p)
	if err == nil {
		err = p.build()
	}
	if err == nil {
		err = network()
	}
	if err == nil {
		err = enter(p.at())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "making the inside:", err)
		return 1
	}
	return supervise()
}

// at is where the root is put together.
func (p *plan) at() string { return filepath.Join(p.Scratch, "at") }

// build puts the root together: a writable view of what was installed, and in it what a kernel and a machine give.
func (p *plan) build() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to ourselves: %w", err)
	}
	if err := p.overlay("root", p.Root, p.at()); err != nil {
		return err
	}
	if err := furnish(p.at()); err != nil {
		return err
	}
	own := filepath.Join(p.at(), "run/e2e")
	for from, to := range map[string]string{p.Exe: "test", p.Deb: filepath.Base(Deb), p.Data: "testdata"} {
		if from == "" {
			continue
		}
		if err := bind(from, filepath.Join(own, to)); err != nil {
			return err
		}
	}
	for name, root := range p.Peers {
		at := filepath.Join(own, "peers", name)
		if err := p.overlay(name, root, at); err != nil {
			return err
		}
		if err := furnish(at); err != nil {
			return err
		}
	}
	return unix.Sethostname([]byte(Hostname))
}

// overlay mounts a writable view of root. What is written goes to the scratch folder, or into memory where the file
// system below cannot hold such a view.
func (p *plan) overlay(name, root, at string) error {
	dir := filepath.Join(p.Scratch, name)
	for _, d := range []string{dir, at} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	err := overlay(dir, root, at)
	if errors.Is(err, unix.EINVAL) {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("memory for %s: %w", name, err)
		}
		err = overlay(dir, root, at)
	}
	if err != nil {
		return fmt.Errorf("overlay of %s: %w", root, err)
	}
	return nil
}

func overlay(dir, root, at string) error {
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	return unix.Mount("overlay", at, "overlay", 0, "lowerdir="+root+",upperdir="+upper+",workdir="+work)
}

// bind makes the file or folder from appear at to as well.
func bind(from, to string) error {
	make := func() error { return os.MkdirAll(to, 0o755) }
	if !isFolder(from) {
		make = func() error { return os.WriteFile(to, nil, 0o644) }
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), make()); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("showing %s inside: %w", from, err)
	}
	return nil
}

// furnish gives the root at a path its pseudo file systems, devices and names.
func furnish(at string) error {
	in := func(name string) string { return filepath.Join(at, name) }
	for _, m := range []struct{ kind, at, opt string }{
		{"proc", "proc", ""},
		{"tmpfs", "dev", "mode=0755"},
		{"tmpfs", "run", "mode=0755"},
		{"tmpfs", "tmp", "mode=1777"},
		{"tmpfs", "dev/shm", "mode=1777"},
		{"devpts", "dev/pts", "newinstance,ptmxmode=0666,mode=0620"},
	} {
		if err := os.MkdirAll(in(m.at), 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, in(m.at), m.kind, 0, m.opt); err != nil {
			return fmt.Errorf("mounting /%s: %w", m.at, err)
		}
	}
	// Devices of its own: a service manager inside changes their modes, which must not reach those of the machine.
	for name, no := range map[string][2]uint32{
		"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0},
	} {
		path := in("dev/" + name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(no[0], no[1]))); err != nil {
			return fmt.Errorf("making /dev/%s: %w", name, err)
		}
		if err := os.Chmod(path, 0o666); err != nil { // whatever the umask is
			return err
		}
	}
	for name, to := range map[string]string{
		"dev/fd": "/proc/self/fd", "dev/stdin": "/proc/self/fd/0", "dev/stdout": "/proc/self/fd/1", "dev/stderr": "/proc/self/fd/2",
		"dev/ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(to, in(name)); err != nil {
			return err
		}
	}
	short, _, _ := strings.Cut(Hostname, ".")
	for name, text := range map[string]string{
		"etc/hostname":    Hostname + "\n",
		"etc/mailname":    Hostname + "\n",
		"etc/hosts":       "127.0.0.1 localhost\n127.0.1.1 " + Hostname + " " + short + "\n",
		"etc/resolv.conf": "nameserver 127.0.0.1\n",
	} {
		if err := os.Remove(in(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.MkdirAll(in("run/lock"), 0o777)
}

// enter makes the folder at the root of this process and of all that it starts, and lets go of the old one.
func enter(at string) error {
	if err := os.Chdir(at); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting go of the old root: %w", err)
	}
	return os.Chdir("/run/e2e")
}

// supervise runs the test and reaps whatever ends, until the test has.
func supervise() int {
	syscall.Umask(0o022)
	null, err := os.Open(os.DevNull)
	if err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		return 1
	}
	env := append(passedOn(), envStage+"="+stageTest)
	attr := &os.ProcAttr{Env: env, Files: []*os.File{null, os.Stdout, os.Stderr}}
	test, err := os.StartProcess("/run/e2e/test", os.Args, attr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		return 1
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR, err == nil && pid != test.Pid:
		case err != nil:
			fmt.Fprintln(os.Stderr, "inside:", err)
			return 1
		case status.Signaled():
			fmt.Fprintln(os.Stderr, "inside: the test was ended by", status.Signal())
			return 1
		default:
			return status.ExitStatus()
		}
	}
}
