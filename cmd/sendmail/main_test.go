package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"signpost/mta/intake"
	"signpost/spool"
)

// asCommand makes the test program be sendmail, for tests that need a process of their own.
const asCommand = "SIGNPOST_TEST_AS_SENDMAIL"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"sendmail": main, "mailq": main, "newaliases": main, "runq": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		Setup:         setup,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"daemon": daemon, "folders": folders, "queued": queued, "status": status},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

// setup makes a configuration; the spool is made by daemon or folders.
func setup(env *testscript.Env) error {
	env.Setenv("GORACE", raceExit)
	env.Setenv("CONF", filepath.Join(env.WorkDir, "signpost.toml"))
	env.Setenv("NAME", "")
	return os.WriteFile(filepath.Join(env.WorkDir, "signpost.toml"), []byte("origin = \"host.example.test\"\n[spool]\npath = \"spool\"\n[local]\naliases = \"aliases\"\n"), 0o600)
}

// status runs a command whose exit status must be the first argument.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status number command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// raceExit spares a process of ours the second that the race detector waits at its end.
const raceExit = "atexit_sleep_ms=0"

// folders makes a spool that no daemon serves. It is not locked again: a process started meanwhile by another script
// may still hold the lock for a moment.
func folders(ts *testscript.TestScript, neg bool, args []string) {
	store, err := spool.Open(ts.MkAbs("spool"), spool.Options{})
	ts.Check(err)
	ts.Check(store.Close())
}

// daemon serves submit.sock until the end of the script.
func daemon(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs("spool")
	store, err := spool.Open(path, spool.Options{MinFree: -1})
	ts.Check(err)
	l, err := intake.Listen(filepath.Join(path, "submit.sock"), 0o666)
	ts.Check(err)
	in := &intake.Intake{
		Store: store, Hostname: "host.example.test", Origin: "host.example.test",
		Now: func() time.Time { return time.Date(2026, 11, 23, 18, 0, 45, 0, time.UTC) },
		User: func(uid int) (intake.User, bool) {
			return intake.User{UID: uid, Login: "ann", FullName: "Ann O. Nym"}, true
		},
	}
	server := &intake.Server{
		Intake: func() *intake.Intake { return in },
		Queue:  func(ctx context.Context, _ int) iter.Seq2[spool.Entry, error] { return spool.Peek(path) },
		Run: func(_ context.Context, _ int, f spool.Filter) error {
			if f.ID == "forbidden" {
				return spool.ErrForbidden
			}
			return nil
		},
		Reload: func(context.Context, int) error { return nil },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	ts.Defer(func() {
		cancel()
		if err := <-done; err != nil {
			ts.Logf("the daemon: %v", err)
		}
		store.Close()
	})
}

// queued writes to a file what is in the spool, with everything that differs from run to run replaced.
func queued(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: queued file")
	}
	var out bytes.Buffer
	for e, err := range spool.Peek(ts.MkAbs("spool")) {
		ts.Check(err)
		fmt.Fprintf(&out, "sender <%s>\n", e.Envelope.Sender)
		for _, r := range e.Envelope.Rcpts {
			fmt.Fprintf(&out, "recipient <%s>", r.Addr)
			if r.Settled() {
				fmt.Fprintf(&out, " %v %s", r.Last.Status, r.Last.Detail)
			}
			out.WriteByte('\n')
		}
		text := content(ts, e.ID)
		text = strings.ReplaceAll(text, string(e.ID), "ID")
		text = strings.ReplaceAll(text, "uid "+strconv.Itoa(os.Getuid()), "uid N")
		out.WriteString(strings.ReplaceAll(text, "\r\n", "\n"))
	}
	// The uid of nobody is that of no account (user_namespaces(7)), so whoever runs the tests as nobody has no login.
	got := strings.ReplaceAll(out.String(), "uid65534@", "ann@")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(got), 0o600))
}

// content reads a message from new/ or drop/; the file is content between a head and records, and both are longer than
// what tells them from text, so that the content is what lies between the first header line and the last line end.
func content(ts *testscript.TestScript, id spool.ID) string {
	if d, err := spool.OpenDropped(ts.MkAbs("spool/drop/new"), dropName(ts, id), 0); err == nil {
		defer d.Close()
		b, err := io.ReadAll(d.Content())
		ts.Check(err)
		return string(b)
	}
	b, err := os.ReadFile(ts.MkAbs("spool/new/" + string(id)))
	ts.Check(err)
	start := bytes.Index(b, []byte("Received: "))
	end := bytes.LastIndex(b, []byte("\r\n"))
	if start < 0 || end < start {
		ts.Fatalf("no content in message %s", id)
	}
	return string(b[start : end+2])
}

// dropName finds the file of drop/ that gives id.
func dropName(ts *testscript.TestScript, id spool.ID) string {
	names, err := spool.Drop{Path: ts.MkAbs("spool/drop")}.List()
	ts.Check(err)
	for _, name := range names {
		d, err := spool.OpenDropped(ts.MkAbs("spool/drop/new"), name, 0)
		ts.Check(err)
		d.Close()
		if d.ID == id {
			return name
		}
	}
	return "none"
}

// process is sendmail as a process, with a spool of its own and no daemon.
func process(t *testing.T, args ...string) (cmd *exec.Cmd, dropped func() int) {
	dir := t.TempDir()
	store, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "signpost.toml")
	if err := os.WriteFile(conf, []byte("[spool]\npath = \"spool\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self, append([]string{"-C", conf}, args...)...)
	cmd.Args[0] = "sendmail"
	cmd.Env = append(os.Environ(), asCommand+"=1", "GORACE="+raceExit)
	cmd.WaitDelay = 10 * time.Second
	return cmd, func() int {
		n := 0
		for _, err := range spool.Peek(filepath.Join(dir, "spool")) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		return n
	}
}

// shell runs cmd with redirections of the shell's.
func shell(cmd *exec.Cmd, redirect string) *exec.Cmd {
	args := append([]string{"-c", `exe=$1; shift; exec "$exe" "$@" ` + redirect, "sh", cmd.Path}, cmd.Args[1:]...)
	sh := exec.Command("/bin/sh", args...)
	sh.Env, sh.WaitDelay = cmd.Env, cmd.WaitDelay
	return sh
}

func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

func TestStandardDescriptors(t *testing.T) {
	for _, tt := range []struct {
		name, redirect string
		stdin          string
		want, queued   int
	}{
		{"standard input is closed", "<&-", "", 74, 0},
		{"all are closed", "<&- >&- 2>&-", "", 74, 0},
		{"standard input is a folder", "</", "", 74, 0},
		{"standard input is empty", "</dev/null", "", 0, 1},
		{"a daemon's /dev/null", "<>/dev/null >&0 2>&0", "", 0, 1},
		{"output and error are closed", ">&- 2>&-", "Subject: s\n\nx\n", 0, 1},
		{"output is full", ">/dev/full 2>/dev/full", "Subject: s\n\nx\n", 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd, dropped := process(t, "-v", "-i", "bob@example.com")
			sh := shell(cmd, tt.redirect)
			sh.Stdin = strings.NewReader(tt.stdin)
			var stderr bytes.Buffer
			sh.Stderr = &stderr
			if got := exitStatus(t, sh.Run()); got != tt.want || dropped() != tt.queued {
				t.Errorf("status %d, %d queued, want %d, %d; %s", got, dropped(), tt.want, tt.queued, &stderr)
			}
		})
	}
}

func TestBrokenPipe(t *testing.T) {
	cmd, dropped := process(t, "-v", "-i", "bob@example.com", "a@b@c")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("x\n"), w, w
	if got := exitStatus(t, cmd.Run()); got != 0 || dropped() != 1 {
		t.Errorf("status %d, %d queued", got, dropped())
	}
	w.Close()
}

// TestSignals ends sendmail in the middle of its input: nothing may be queued, and the status must say so.
func TestSignals(t *testing.T) {
	const envelope = "MAIL FROM:<>\nRCPT TO:<bob@example.com>\nDATA\n"
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL} {
		for _, size := range []int{100, 3 << 20, -100, -3 << 20} { // before and while the spool is written to; -bs
			args, before := []string{"-i", "bob@example.com"}, ""
			if size < 0 {
				args, before, size = []string{"-bs"}, envelope, -size
			}
			cmd, dropped := process(t, args...)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(in, before+"Subject: s\n\n"+strings.Repeat("x\n", size/2)); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			in.Close()
			if got := exitStatus(t, err); got == 0 || dropped() != 0 {
				t.Errorf("%v, %v after %d octets: status %d, %d queued", args, sig, size, got, dropped())
			}
		}
	}
}

// TestSmallLimits runs with few descriptors and with small files.
func TestSmallLimits(t *testing.T) {
	const few = "sendmail: too few file descriptors: the limit is 7, and 8 are needed; raise it"
	for _, tt := range []struct {
		limit        string
		args         string
		want, queued int
		says         string // on standard error; empty: nothing
	}{
		{"ulimit -n 10", "-i bob@example.com", 0, 1, ""},
		{"ulimit -n 7", "-i bob@example.com", 75, 0, few},
		{"ulimit -n 7", "-bs", 75, 0, few},
		{"ulimit -n 7", "-bv bob", 75, 0, few},
		{"ulimit -n 7", "-bp", 75, 0, few},
		{"ulimit -n 7", "-bh", 0, 0, ""},
		{"ulimit -f 64", "-i bob@example.com", 75, 0, "file too large"},
	} {
		cmd, dropped := process(t, strings.Fields(tt.args)...)
		args := append([]string{"-c", tt.limit + ` || exit 99; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		sh := exec.Command("/bin/sh", args...)
		sh.Env, sh.WaitDelay = cmd.Env, cmd.WaitDelay
		sh.Stdin = strings.NewReader("Subject: s\n\n" + strings.Repeat("x\n", 1<<20))
		var stderr bytes.Buffer
		sh.Stderr = &stderr
		got := exitStatus(t, sh.Run())
		if got != tt.want || dropped() != tt.queued || !strings.Contains(stderr.String(), tt.says) || tt.says == "" && stderr.Len() > 0 {
			t.Errorf("%s: %s: status %d, %d queued; %s", tt.limit, tt.args, got, dropped(), &stderr)
		}
	}
}

// TestHostileEnvironment holds that no variable changes what is done.
func TestHostileEnvironment(t *testing.T) {
	cmd, dropped := process(t, "-i", "bob@example.com")
	cmd.Dir = t.TempDir()
	for _, name := range []string{"TZ", "HOME", "TMPDIR", "MAIL_CONFIG", "MAILHOST", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "SSL_CERT_FILE",
		"HTTP_PROXY", "GOCOVERDIR", "NULLMAILER_USER", "USER", "EMAIL", "SUDO_USER"} {
		cmd.Env = append(cmd.Env, name+"="+filepath.Join(cmd.Dir, "hostile\x1b[2J"))
	}
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("x\n"), &out, &out
	if got := exitStatus(t, cmd.Run()); got != 0 || dropped() != 1 || out.Len() > 0 {
		t.Errorf("status %d, %d queued, %s", got, dropped(), &out)
	}
	if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestLinksLittle holds what makes the program start quickly, and that cgo is never needed.
func TestLinksLittle(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	cmd := exec.Command(goTool, "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, bad := range []string{"net", "net/netip", "net/mail", "net/http", "os/user", "os/exec", "crypto/tls", "regexp", "runtime/cgo", "log/slog",
		"mime", "text/template", "flag"} {
		if slices.Contains(deps, bad) {
			t.Errorf("links %s", bad)
		}
	}
	for _, dep := range deps {
		if first, _, _ := strings.Cut(dep, "/"); strings.Contains(first, ".") && !strings.HasPrefix(dep, "golang.org/x/sys/") &&
			!strings.HasPrefix(dep, "github.com/BurntSushi/toml") || strings.HasPrefix(dep, "signpost/mta") {
			t.Errorf("links %s", dep)
		}
	}
}
