//go:build e2e

// Package inside is what the end-to-end tests stand on: a test says in which root file system it wants to be, and its
// function then runs there, as plain Go code, with the installed package around it.
//
//	func TestMain(m *testing.M) { inside.Main(m) }
//
//	func TestMail(t *testing.T) {
//		inside.Run(t, inside.Callers, nil, func(t *testing.T) {
//			inside.DNS(t, "example.net. IN MX 10 mx.example.net.\nmx.example.net. IN A 198.51.100.1")
//			mx := inside.Exchanger(t, "198.51.100.1:25", &stage.Exchanger{})
//			inside.Daemon(t, "")
//			ann := inside.User(t, "ann")
//			cmd := ann.Command("/usr/sbin/sendmail", "-i", "bob@example.net")
//			cmd.Stdin = strings.NewReader("Subject: hello\n\nworld\n")
//			inside.Output(t, cmd)
//			got := inside.Messages(t, mx, 1)
//			…
//
// # Where a test is
//
// Run starts the test binary once more for this one test, in name spaces of its own (mounts, network, processes, IPC,
// host name), and makes the root of that process a copy-on-write view of the root that packaging/root.sh made below
// $SIGNPOST_ROOTS. So every Run finds the root as it was installed, may change anything, is uid 0, and leaves nothing
// behind: when the function returns, or its time is over, every process in it is killed. Tests that call Run may be
// parallel. What it wrote is shown when it failed, or with -v.
//
// The network has loopback and nothing else, so the usual ports are free. The documentation networks 192.0.2.0/24,
// 198.51.100.0/24 and 203.0.113.0/24 (RFC 5737) are answered by the same host without being addresses of its
// interfaces: an exchanger there is a public address of somebody else to the daemon, and the default configuration
// holds. The host is Hostname, its resolver is whoever listens at 127.0.0.1 port 53 (see DNS). /run and /tmp are empty;
// nothing of a service manager runs, so a test starts what it wants to have running.
//
// The test binary must be linked statically, since it runs with another system's libraries:
//
//	CGO_ENABLED=0 SIGNPOST_ROOTS=… go test -tags e2e ./packaging/e2e/...
//
// Without $SIGNPOST_ROOTS the tests are skipped; with it, a missing root is a failure. packaging/test.sh makes the
// roots and sets it. $SIGNPOST_DEB names the package that was installed in them; inside it lies at Deb. The folder
// testdata beside the test is at its usual relative path.
//
// # Waiting
//
// Nothing here sleeps. What waits takes the events of what it waits for (the daemon's log, an exchanger's record, the
// kernel's notices about a folder) and gives up with the test's failure after Limit.
package inside

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The roots that packaging/test.sh makes.
const (
	Bare     = "bare"     // the least that Debian is; our package is not installed
	Callers  = "callers"  // programs that call sendmail, and our package
	Programs = "programs" // many more of them, and our package
	Postfix  = "postfix"  // Postfix, and Python
)

// Names of the host that a test finds itself on.
const (
	Hostname = "www1.example.test"
	Deb      = "/run/e2e/signpost.deb" // the package, to install it again
)

// Limit is how long a test waits for one thing.
const Limit = 30 * time.Second

// Variables of the environment.
const (
	envStage = "SIGNPOST_E2E_STAGE" // which of the processes this is: none, stageInit…
	envPlan  = "SIGNPOST_E2E_PLAN"  // what stageInit is to make, in JSON
	envRoots = "SIGNPOST_ROOTS"
	envDeb   = "SIGNPOST_DEB"
)

const (
	stageInit = "init"
	stageTest = "test"
	stageBoot = "boot"
	stageCage = "cage"
)

// Main is the whole of TestMain.
func Main(m *testing.M) {
	switch os.Getenv(envStage) {
	case stageInit:
		os.Exit(initialise())
	case stageBoot:
		fmt.Fprintln(os.Stderr, "starting systemd:", boot())
		os.Exit(1)
	case stageCage:
		fmt.Fprintln(os.Stderr, "going into the cage:", cage(os.Args[1:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Run calls f inside root. The other roots of peers are mounted beside it: see Peer. f and t of f live in another
// process: what f sets outside itself is not seen here, and Run must be called whenever t runs.
func Run(t *testing.T, root string, peers []string, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv(envStage) == stageTest {
		f(t)
		return
	}
	p := makePlan(t, root, peers)
	out, err := p.start(t)
	text := strings.TrimSpace(string(out))
	switch {
	case err != nil && t.Context().Err() != nil:
		t.Fatalf("inside %s: its time was over\n%s", root, text)
	case err != nil:
		t.Fatalf("inside %s: %v\n%s", root, err, text)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		t.Skip(text)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Fatalf("inside %s the test was not run\n%s", root, text)
	}
	t.Log(text)
}

// plan is what stageInit makes.
type plan struct {
	Root    string            // folder of the root
	Peers   map[string]string // name to folder
	Scratch string            // an empty folder for what the test writes
	Exe     string            // the test binary
	Deb     string
	Data    string // folder testdata; empty: none
}

func makePlan(t *testing.T, root string, peers []string) *plan {
	t.Helper()
	roots := os.Getenv(envRoots)
	if roots == "" {
		t.Skipf("$%s is not set: sh packaging/test.sh makes the roots and runs this", envRoots)
	}
	if os.Geteuid() != 0 {
		t.Fatal("only root can enter a root file system")
	}
	folder := func(name string) string {
		path := filepath.Join(roots, name, "root")
		if _, err := os.Stat(filepath.Join(path, "etc")); err != nil {
			t.Fatalf("there is no root %s: %v\nhint: sh packaging/test.sh makes it", name, err)
		}
		return path
	}
	p := &plan{Root: folder(root), Peers: make(map[string]string), Deb: os.Getenv(envDeb)}
	for _, name := range peers {
		p.Peers[name] = folder(name)
	}
	var err error
	if p.Exe, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	if data, err := filepath.Abs("testdata"); err == nil && isFolder(data) {
		p.Data = data
	}
	// On the file system of the roots, so that a spool is on what it would be on.
	if p.Scratch, err = os.MkdirTemp(roots, "run."); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(p.Scratch) })
	return p
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// start runs the test of t inside and gives what it wrote.
func (p *plan) start(t *testing.T) ([]byte, error) {
	text, err := marshal(p)
	if err != nil {
		return nil, err
	}
	ctx := t.Context()
	limit := time.Duration(0) // none
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline) - 5*time.Second
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit+2*time.Second)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, p.Exe, "-test.run="+exactly(t.Name()), "-test.v", "-test.count=1",
		"-test.timeout="+limit.String(), fmt.Sprintf("-test.short=%t", testing.Short()))
	cmd.Env = append(passedOn(), envStage+"="+stageInit, envPlan+"="+text)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	runtime.LockOSThread() // the signal comes when the thread ends that started the process
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	return out.Bytes(), err
}

// exactly is the pattern of one test or subtest.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// passedOn is what a test inside sees of the environment here: only what is meant for it.
func passedOn() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TZ=UTC"}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "SIGNPOST_") && !strings.HasPrefix(v, "SIGNPOST_E2E_") {
			env = append(env, v)
		}
	}
	return env
}
