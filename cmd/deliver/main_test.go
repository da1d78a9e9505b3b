package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"signpost/mta/local"
	"signpost/spool"
)

// program builds the helper as it is installed: without cgo, with which rights cannot be dropped.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "signpost-deliver")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "deliver")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the helper: %w: %s", err, out)
	}
	return path, os.Chmod(dir, 0o755)
})

// builtIn is where the program has been built, for TestMain to remove; empty where no test needed it.
var builtIn string

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

const message = "Subject: s\r\n\r\nhello\r\n"

// runner is the account of programs: with root another one, that no passwd holds; else whoever runs the test.
func runner() int {
	if os.Geteuid() == 0 {
		return 61003
	}
	return os.Geteuid()
}

// site is a folder that everybody can reach, with a configuration and an aliases file in it.
type site struct {
	dir, exe, config string
	mailboxes        *local.Mailboxes
}

func newSite(t *testing.T, aliases string) *site {
	t.Helper()
	exe, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: t.TempDir(), exe: exe}
	for _, d := range []string{filepath.Dir(s.dir), s.dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	work := filepath.Join(s.dir, "done")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(work, runner(), runner()); err != nil {
			t.Fatal(err)
		}
	}
	s.config = filepath.Join(s.dir, "signpost.toml")
	s.write(t, "aliases", aliases)
	s.write(t, "signpost.toml", fmt.Sprintf("hostname = \"host.example.test\"\n[local]\nmailbox = \"mail-{user}\"\naliases = \"aliases\"\nrun_as = \"%d\"\n", runner()))
	s.mailboxes = &local.Mailboxes{Helper: filepath.Join(s.dir, "socket")}
	return s
}

func (s *site) write(t *testing.T, name, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, "DIR", s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *site) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// start starts the helper as serve does.
func (s *site) start(t *testing.T) *local.Started {
	t.Helper()
	var log bytes.Buffer
	h, err := local.StartHelper(local.Options{Exe: s.exe, Socket: s.mailboxes.Helper, Config: s.config, UID: os.Geteuid(), GID: os.Getegid(), Stderr: &log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the helper's log:\n%s", log.String())
		}
	})
	return h
}

func (s *site) deliver(r spool.Recipient) spool.Result {
	return s.mailboxes.Deliver(context.Background(), "bob@example.com", r, strings.NewReader(message))
}

func (s *site) program(line string) spool.Recipient {
	return spool.Recipient{Kind: spool.Program, Addr: strings.ReplaceAll(line, "DIR", s.dir), Source: filepath.Join(s.dir, "aliases"), Original: "list@host.example.test"}
}

func TestHelperOfServe(t *testing.T) {
	s := newSite(t, "")
	s.start(t)
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "no-such-user-here"}); r.Status.String() != "5.1.1" {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	u, err := local.Passwd{}.LookupUID(context.Background(), os.Geteuid())
	if err != nil {
		return // a uid without an account has no mailbox
	}
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: u.Name}); r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
	want := "Return-Path: <bob@example.com>\nDelivered-To: " + u.Name + "@host.example.test\nSubject: s\n\nhello\n\n"
	if got := s.read(t, "mail-"+u.Name); !strings.HasSuffix(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestStopEndsTheHelperAndANewOneTakesThePlace(t *testing.T) {
	s := newSite(t, "")
	if err := s.start(t).Stop(); err != nil {
		t.Fatal(err)
	}
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "x"}); r.Outcome() != spool.Deferred {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	s.start(t)
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "no-such-user-here"}); r.Status.String() != "5.1.1" {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

const showRights = "cat /proc/self/status >DIR/done/status"

func mustHaveNoRights(t *testing.T, status string) {
	t.Helper()
	for _, want := range []string{"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
		"CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n", fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", runner())} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
}

func TestProgramsOfTheAliases(t *testing.T) {
	s := newSite(t, `list: "|`+showRights+`"`)
	s.start(t)
	if r := s.deliver(s.program(showRights)); r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
	mustHaveNoRights(t, s.read(t, "done/status"))
	if r := s.deliver(s.program("cat >DIR/done/other")); r.Status != local.NotNamed {
		t.Errorf("a program that no line names: %v %s", r.Status, r.Detail)
	}
}

func TestAmbientCapabilitiesDoNotReachThePrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives the helper another uid and capabilities")
	}
	s := newSite(t, `list: "|`+showRights+`"`)
	s.serve(t, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 61009, Gid: 61009},
			AmbientCaps: []uintptr{unix.CAP_SETUID, unix.CAP_SETGID}}
	})
	if r := s.deliver(s.program(showRights)); r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
	mustHaveNoRights(t, s.read(t, "done/status"))
}

// serve starts the helper as systemd does, with a listening socket by sd_listen_fds(3).
func (s *site) serve(t *testing.T, change func(*exec.Cmd)) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.mailboxes.Helper, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var log bytes.Buffer
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh", s.exe, "--config", s.config, "--uid", fmt.Sprint(os.Geteuid()))
	cmd.ExtraFiles, cmd.Stderr, cmd.Dir = []*os.File{f}, &log, "/"
	if change != nil {
		change(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("%v; the helper's log:\n%s", err, log.String())
		}
	})
}

func TestSocketActivation(t *testing.T) {
	s := newSite(t, "list: \"|/bin/true\"\n")
	s.serve(t, nil)
	if r := s.deliver(s.program("/bin/true")); r.Outcome() != spool.Delivered {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

func TestAReloadedConfigurationHoldsUnlessItIsBroken(t *testing.T) {
	s := newSite(t, "list: \"|/bin/true\"\n")
	s.start(t)
	steps := []struct{ text, status string }{
		{"", "2.0.0"},
		{"[local]\nprograms = []\naliases = \"aliases\"\n", "5.7.1"},
		{"[local\n", "5.7.1"},
		{"[local]\naliases = \"none\"\n", "4.2.4"},
	}
	for _, step := range steps {
		if step.text != "" {
			s.write(t, "signpost.toml", step.text)
		}
		if r := s.deliver(s.program("/bin/true")); r.Status.String() != step.status {
			t.Errorf("after %q: %v %s", step.text, r.Status, r.Detail)
		}
	}
}

func TestAConfigurationBrokenBeforeTheFirstDelivery(t *testing.T) {
	s := newSite(t, "")
	c := &current{path: s.config}
	if _, err := c.first(); err != nil {
		t.Fatal(err)
	}
	s.write(t, "signpost.toml", "[local\n")
	m, err := c.mailboxes(slog.New(slog.DiscardHandler))
	if err != nil || m.Hostname != "host.example.test" {
		t.Errorf("%+v, %v: not what was in force", m, err)
	}
}

func TestRootBelievesOnlyItsOwnConfiguration(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it is root's rule")
	}
	s := newSite(t, "")
	for name, change := range map[string]func() error{
		"writable by others": func() error { return os.Chmod(s.config, 0o646) },
		"of another owner":   func() error { return os.Chown(s.config, 61001, 0) },
	} {
		s.write(t, "signpost.toml", "")
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, err := (&current{path: s.config}).load(); err == nil {
			t.Errorf("%s: believed", name)
		}
		if err := os.Remove(s.config); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheck(t *testing.T) {
	exe, err := program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, "check").CombinedOutput()
	if os.Geteuid() == 0 && (err != nil || len(out) > 0) {
		t.Errorf("as root: %v %s", err, out)
	}
	if os.Geteuid() != 0 && (err == nil || !strings.Contains(string(out), "CAP_SETUID")) {
		t.Errorf("as an ordinary user: %v %s", err, out)
	}
}

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"--help"}, 0, "-config file"},
		{[]string{"--nonsense"}, 2, "nonsense"},
		{[]string{"serve"}, 2, `unknown argument "serve"`},
		{nil, 1, "0 sockets to listen on"},
		{[]string{"--fd", "999"}, 1, "taking over the socket"},
	} {
		var out bytes.Buffer
		if code := run(tt.args, &out); code != tt.code || !strings.Contains(out.String(), tt.text) {
			t.Errorf("%v: %d %s", tt.args, code, out.String())
		}
	}
}
