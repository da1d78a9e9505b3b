package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"signpost/spool"
)

// childProgram builds the program of the deliveries, without cgo.
var childProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "signpost-child")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "child")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./testdata/child")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the child: %w: %s", err, out)
	}
	return path, errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o755))
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

// account is somebody to deliver to: with root another uid, that no passwd holds; else whoever runs the test.
func account(name string, uid int) User {
	if os.Geteuid() != 0 {
		return User{Name: name, UID: os.Geteuid(), GID: os.Getegid()}
	}
	return User{Name: name, UID: uid, GID: uid}
}

// site is a host with a helper that has changed uids where the test may.
type site struct {
	*Mailboxes
	dir    string
	log    *bytes.Buffer
	helper *Helper
}

// newSite starts a helper. Its folder can be reached by everybody and holds spool/mail, and a home for each account.
func newSite(t *testing.T, aliases string, change ...func(*Helper)) *site {
	t.Helper()
	exe, err := childProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ann, bob, runner := account("ann", 61001), account("bob", 61002), account("runner", 61003)
	for _, u := range []*User{&ann, &bob, &runner} {
		u.Home = filepath.Join(dir, u.Name)
		if err := errors.Join(os.Mkdir(u.Home, 0o700), os.Chown(u.Home, u.UID, u.GID)); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{dir: dir, log: new(bytes.Buffer)}
	s.Mailboxes = &Mailboxes{
		Domains: []string{"host.example.test"}, Hostname: "host.example.test", Origin: "example.test", Extension: "+",
		Mailbox: "{home}/mbox", PipeTimeout: time.Minute, Programs: true, RunAs: "runner", Forward: true, ForwardPrograms: true,
		Aliases: write(t, filepath.Join(dir, "aliases"), strings.ReplaceAll(aliases, "DIR", dir), 0o644),
		Users:   known{users: []User{ann, bob, runner, {Name: "root", Home: dir}}, groups: map[string]int{}},
		Helper:  filepath.Join(dir, "socket"),
	}
	s.helper = &Helper{UID: os.Geteuid(), Exe: exe, Log: slog.New(slog.NewTextHandler(s.log, nil)),
		Load: func() (*Mailboxes, error) { return s.Mailboxes, nil }}
	for _, f := range change {
		f(s.helper)
	}
	s.start(t)
	return s
}

// start serves until the test ends.
func (s *site) start(t *testing.T) {
	t.Helper()
	l, err := listen(Options{Socket: s.Mailboxes.Helper, UID: os.Geteuid(), GID: os.Getegid()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	// Not Serve: it would keep the test itself from ever gaining rights again, and cannot where the test has cgo.
	go func() { done <- s.helper.accept(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the helper's log:\n%s", s.log)
		}
	})
}

func (s *site) deliver(r spool.Recipient, content string) spool.Result {
	return s.Deliver(context.Background(), "bob@example.com", r, strings.NewReader(content))
}

func (s *site) named(kind spool.Kind, text string) spool.Recipient {
	return spool.Recipient{Kind: kind, Addr: strings.ReplaceAll(text, "DIR", s.dir), Source: s.Aliases, RunAs: "runner",
		Original: "list@host.example.test"}
}

func mustOwn(t *testing.T, path string, uid, gid int, mode os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if int(st.Uid) != uid || int(st.Gid) != gid || info.Mode().Perm() != mode {
		t.Errorf("%s: %d:%d %v, want %d:%d %v", path, st.Uid, st.Gid, info.Mode().Perm(), uid, gid, mode)
	}
}

func TestHelperDeliversAsTheRecipient(t *testing.T) {
	s := newSite(t, "")
	ann := account("ann", 61001)
	before := time.Now()
	r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message)
	if r.Outcome() != spool.Delivered || r.At.Before(before) {
		t.Fatalf("%v %s at %v", r.Status, r.Detail, r.At)
	}
	path := filepath.Join(s.dir, "ann/mbox")
	mustOwn(t, path, ann.UID, ann.GID, 0o600)
	if got := read(t, path); !strings.HasSuffix(got, stored+"\n") {
		t.Errorf("got %q", got)
	}
	s.Mailbox = "{home}/Maildir/"
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message); r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
	dir := filepath.Join(s.dir, "ann/Maildir")
	mustOwn(t, dir, ann.UID, ann.GID, 0o700)
	left := files(t, dir)
	if len(left) != 1 {
		t.Fatalf("got %v", left)
	}
	mustOwn(t, filepath.Join(dir, left[0]), ann.UID, ann.GID, 0o600)
}

func TestHelperReturnPathOfAList(t *testing.T) {
	s := newSite(t, "")
	owner := "owner-list@example.test"
	for sender, want := range map[string]string{"bob@example.com": "Return-Path: <owner-list@example.test>", "": "Return-Path: <>"} {
		r := s.Deliver(context.Background(), sender, spool.Recipient{Kind: spool.Mailbox, Addr: "ann", Sender: &owner}, strings.NewReader(message))
		if r.Outcome() != spool.Delivered || !strings.Contains(read(t, filepath.Join(s.dir, "ann/mbox")), want) {
			t.Errorf("%q: %v %s", sender, r.Status, r.Detail)
		}
	}
}

func TestHelperSharedMailFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the folder belongs to root and a group")
	}
	s := newSite(t, "")
	const mail = 61008
	folder := filepath.Join(s.dir, "mail")
	if err := errors.Join(os.Mkdir(folder, 0o755), os.Chown(folder, 0, mail), os.Chmod(folder, 0o775|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	s.Mailbox = folder + "/{user}"
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message); r.Status != badConfig || !strings.Contains(r.Detail, "[local] mailbox") {
		t.Errorf("without the group: %v %s", r.Status, r.Detail)
	}
	s.Users.(known).groups["mail"] = mail
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message); r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
	mustOwn(t, filepath.Join(folder, "ann"), 61001, mail, 0o600)
	if left, _ := filepath.Glob(folder + "/*.lock"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// A folder of somebody else's gives nobody the group.
	if err := os.Chown(folder, 61002, mail); err != nil {
		t.Fatal(err)
	}
	if gid, err := s.mailboxGID(context.Background(), User{GID: 7}, folder+"/ann"); gid != 7 || err != nil {
		t.Errorf("gid %d, %v", gid, err)
	}
}

// rights are what a process shows of itself in /proc/PID/status.
func rights(t *testing.T, status string) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

func mustHaveNone(t *testing.T, status map[string]string, uid, gid int) {
	t.Helper()
	same := func(n int) string { return fmt.Sprintf("%d\t%d\t%d\t%d", n, n, n, n) }
	for name, want := range map[string]string{
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapAmb": "0000000000000000", "NoNewPrivs": "1", "Uid": same(uid), "Gid": same(gid),
	} {
		if status[name] != want {
			t.Errorf("%s: %q, want %q", name, status[name], want)
		}
	}
	if os.Geteuid() == 0 && status["Groups"] != "" {
		t.Errorf("Groups: %q", status["Groups"])
	}
}

// spy is content that looks at the process of the delivery when it is first read: the helper's only child by then.
type spy struct {
	io.Reader
	look func()
}

func (s *spy) Read(p []byte) (int, error) {
	if s.look != nil {
		s.look()
		s.look = nil
	}
	return s.Reader.Read(p)
}

// children are the processes that this one has started and that run the child program.
func children(t *testing.T, exe string) []string {
	t.Helper()
	var found []string
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		args, err := os.ReadFile(dir + "/cmdline")
		status, _ := os.ReadFile(dir + "/status")
		if err == nil && strings.HasPrefix(string(args), exe+"\x00") && rights(t, string(status))["PPid"] == fmt.Sprint(os.Getpid()) {
			found = append(found, dir)
		}
	}
	return found
}

func TestTheChildHasNoRights(t *testing.T) {
	s := newSite(t, "")
	names := map[string]User{"ann": account("ann", 61001)}
	if os.Geteuid() == 0 {
		names["root"] = User{}
	}
	for name, u := range names {
		looked := false
		content := &spy{Reader: strings.NewReader(message), look: func() {
			found := children(t, s.helper.Exe)
			if len(found) != 1 {
				t.Fatalf("%d children", len(found))
			}
			threads, err := filepath.Glob(found[0] + "/task/*/status")
			if err != nil || len(threads) == 0 {
				t.Fatal(threads, err)
			}
			for _, path := range threads {
				mustHaveNone(t, rights(t, read(t, path)), u.UID, u.GID)
			}
			looked = true
		}}
		r := s.Deliver(context.Background(), "", spool.Recipient{Kind: spool.Mailbox, Addr: name}, content)
		if r.Outcome() != spool.Delivered || !looked {
			t.Errorf("%s: %v %s", name, r.Status, r.Detail)
		}
	}
}

func TestProgramsHaveNoRightsAndNoDescriptors(t *testing.T) {
	const line = `cat /proc/self/status >DIR/runner/status; cd /proc/self/fd; ls -l >DIR/runner/fds; id -u >DIR/runner/id`
	s := newSite(t, `list: "|`+line+`"`)
	r := s.deliver(s.named(spool.Program, line), message)
	if r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
	runner := account("runner", 61003)
	mustHaveNone(t, rights(t, read(t, filepath.Join(s.dir, "runner/status"))), runner.UID, runner.GID)
	for l := range strings.Lines(read(t, filepath.Join(s.dir, "runner/fds"))) {
		if strings.Contains(l, "socket") || strings.Contains(l, "anon_inode") {
			t.Errorf("leaked: %s", l)
		}
	}
}

func TestHelperRunsOnlyWhatTheAliasesName(t *testing.T) {
	s := newSite(t, "list: \"|/bin/cat /dev/null\", DIR/runner/file, /dev/null\n")
	tests := []struct {
		name   string
		status spool.Status
		rcpt   spool.Recipient
		change func()
	}{
		{"a named program", delivered, s.named(spool.Program, "/bin/cat /dev/null"), nil},
		{"a named file", delivered, s.named(spool.File, "DIR/runner/file"), nil},
		{"/dev/null", delivered, s.named(spool.File, "/dev/null"), nil},
		{"another program", NotNamed, s.named(spool.Program, "/bin/cat /dev/null /etc/passwd"), nil},
		{"another file", NotNamed, s.named(spool.File, "DIR/runner/other"), nil},
		{"a file as a program", NotNamed, s.named(spool.Program, "DIR/runner/file"), nil},
		{"another source", NotNamed, spool.Recipient{Kind: spool.Program, Addr: "/bin/cat /dev/null", Source: "/tmp/aliases"}, nil},
		{"an account that does not exist", unknownUser, spool.Recipient{Kind: spool.Mailbox, Addr: "nosuch"}, nil},
		{"a path for a name", unknownUser, spool.Recipient{Kind: spool.Mailbox, Addr: "../ann"}, nil},
		{"run_as root", badConfig, s.named(spool.Program, "/bin/cat /dev/null"), func() { s.RunAs = "root" }},
		{"run_as 0", badConfig, s.named(spool.Program, "/bin/cat /dev/null"), func() { s.RunAs = "0" }},
		{"run_as nobody known", badConfig, s.named(spool.Program, "/bin/cat /dev/null"), func() { s.RunAs = "nosuch" }},
		{"aliases that others can write", badConfig, s.named(spool.File, "DIR/runner/file"), func() {
			s.RunAs = "runner"
			if err := os.Chmod(s.Aliases, 0o666); err != nil {
				t.Fatal(err)
			}
		}},
		{"programs not allowed", notAllowed, s.named(spool.File, "/dev/null"), func() { s.Programs = false }},
	}
	for _, tt := range tests {
		if tt.change != nil {
			tt.change()
		}
		if r := s.deliver(tt.rcpt, message); r.Status != tt.status {
			t.Errorf("%s: %v %s", tt.name, r.Status, r.Detail)
		}
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "runner/other")); err == nil {
		t.Error("a file that no line names was written")
	}
	mustOwn(t, filepath.Join(s.dir, "runner/file"), account("runner", 61003).UID, account("runner", 61003).GID, 0o600)
}

func TestAFileIsWrittenWithTheRightsOfRunAs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a file of another uid")
	}
	s := newSite(t, "list: DIR/secret\n")
	secret := write(t, filepath.Join(s.dir, "secret"), "root's\n", 0o600)
	if r := s.deliver(s.named(spool.File, "DIR/secret"), message); r.Status != badConfig || read(t, secret) != "root's\n" {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

func TestHelperServesTheDaemonOnly(t *testing.T) {
	s := newSite(t, "", func(h *Helper) { h.UID++ })
	r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message)
	if r.Outcome() != spool.Deferred {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "ann/mbox")); err == nil {
		t.Error("delivered for a stranger")
	}
}

func TestHelperTurnsGarbageAway(t *testing.T) {
	s := newSite(t, "")
	for _, garbage := range []string{"GET / HTTP/1.0\r\n\r\n", "\x00\x00\x00\x02R{}", "\x00\x00\x00\x05Rabcde", "\x00\x00\x00\x00D", "\x00"} {
		conn, err := net.Dial("unix", s.Mailboxes.Helper)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, garbage); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn)
		if len(answer) > 0 && answer[4] != frameResult {
			t.Errorf("%q: %q", garbage, answer)
		}
		conn.Close()
	}
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message); r.Outcome() != spool.Delivered {
		t.Errorf("afterwards: %v %s", r.Status, r.Detail)
	}
}

func TestHelperKeepsHalfAMessageOut(t *testing.T) {
	s := newSite(t, "")
	torn := io.MultiReader(strings.NewReader(message), iotest.ErrReader(io.ErrUnexpectedEOF))
	r := s.Deliver(context.Background(), "", spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, torn)
	if r.Outcome() != spool.Deferred || !strings.Contains(r.Detail, "reading the message") {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	// The next delivery waits for the locks of the first, so its end has been seen.
	if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message); r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
	if got := read(t, filepath.Join(s.dir, "ann/mbox")); strings.Count(got, "Subject:") != 1 {
		t.Errorf("got %q", got)
	}
}

func TestHelperAnswersAFailureAfterTheContent(t *testing.T) {
	s := newSite(t, "")
	path := filepath.Join(s.dir, "ann/mbox")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message+strings.Repeat("a long message\r\n", 200_000))
	if r.Status != mailboxAway {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

func TestAProgramIsKilledWhenTheDaemonGoesAway(t *testing.T) {
	const line = "echo $$ >DIR/runner/fifo; exec sleep 1000"
	s := newSite(t, `list: "|`+line+`"`)
	fifo := filepath.Join(s.dir, "runner/fifo")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.Chown(fifo, account("runner", 61003).UID, -1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan spool.Result)
	go func() { done <- s.Deliver(ctx, "", s.named(spool.Program, line), strings.NewReader(message)) }()
	ended := watch(t, fifo)
	cancel()
	if r := <-done; r.Outcome() != spool.Deferred {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	ended()
}

func TestNoHelperDefers(t *testing.T) {
	m := &Mailboxes{Helper: filepath.Join(t.TempDir(), "none")}
	r := m.Deliver(context.Background(), "", spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, strings.NewReader(message))
	if r.Outcome() != spool.Deferred || !strings.Contains(r.Detail, "delivery helper") {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

func TestHelperWithBrokenConfigurationDefers(t *testing.T) {
	s := newSite(t, "", func(h *Helper) {
		h.Load = func() (*Mailboxes, error) { return nil, errors.New("signpost.toml:1: broken") }
	})
	r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message)
	if r.Status != badConfig || !strings.Contains(r.Detail, "signpost.toml:1") {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

func TestManyDeliveriesAtOnce(t *testing.T) {
	s := newSite(t, "", func(h *Helper) { h.Max = 3 })
	const n = 12
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			name := []string{"ann", "bob"}[i%2]
			if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: name}, message); r.Outcome() != spool.Delivered {
				t.Errorf("%v %s", r.Status, r.Detail)
			}
		})
	}
	all.Wait()
	for _, name := range []string{"ann", "bob"} {
		if got := strings.Count(read(t, filepath.Join(s.dir, name, "mbox")), "Subject:"); got != n/2 {
			t.Errorf("%s has %d messages", name, got)
		}
	}
}

func TestOwnRights(t *testing.T) {
	dir := t.TempDir()
	me, other := User{Name: "me", UID: os.Geteuid(), GID: os.Getegid(), Home: dir}, User{Name: "other", UID: os.Geteuid() + 1, GID: 1, Home: dir}
	m := &Mailboxes{Hostname: "h", Mailbox: dir + "/{user}", Programs: true, RunAs: "other", Users: known{users: []User{me, other}},
		Aliases: write(t, filepath.Join(dir, "aliases"), "p: |/bin/true, /dev/null\n", 0o644)}
	deliver := func(r spool.Recipient) spool.Result {
		return m.Deliver(context.Background(), "", r, strings.NewReader(message))
	}
	if r := deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "me"}); r.Outcome() != spool.Delivered {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	if r := deliver(spool.Recipient{Kind: spool.File, Addr: "/dev/null", Source: m.Aliases}); r.Outcome() != spool.Delivered {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	r := deliver(spool.Recipient{Kind: spool.Program, Addr: "/bin/true", Source: m.Aliases})
	if r.Status != badConfig || !strings.Contains(r.Detail, "[local] run_as") {
		t.Errorf("a program as somebody else: %v %s", r.Status, r.Detail)
	}
	r = deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "other"})
	if os.Geteuid() == 0 && (r.Status != badConfig || !strings.Contains(r.Detail, "[local] mailbox")) {
		t.Errorf("root for somebody else: %v %s", r.Status, r.Detail)
	}
	if os.Geteuid() != 0 && r.Outcome() != spool.Delivered { // a container's only account keeps all mailboxes
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

func TestAChildThatDiesDefers(t *testing.T) {
	for _, exe := range []string{"/bin/false", "/nonexistent"} {
		s := newSite(t, "", func(h *Helper) { h.Exe = exe })
		if r := s.deliver(spool.Recipient{Kind: spool.Mailbox, Addr: "ann"}, message); r.Outcome() != spool.Deferred {
			t.Errorf("%s: %v %s", exe, r.Status, r.Detail)
		}
	}
}
