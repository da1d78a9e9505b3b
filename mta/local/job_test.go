package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"signpost/spool"
)

const message = "Subject: s\r\nTo: ann@host.example.test\r\n\r\nhello\r\nFrom here\r\n>From there\r\nx From\r\n"

// delivery is a job of this process for a mailbox of its own.
func delivery(path string) job {
	return job{Kind: spool.Mailbox, User: User{Name: "ann", UID: os.Geteuid(), GID: os.Getegid()}, GID: os.Getegid(),
		Path: path, Sender: "bob@example.com", DeliveredTo: "ann@host.example.test", Host: "host.example.test",
		Key: "[local] mailbox", Timeout: time.Minute, Owner: -1}
}

func (j job) mustDeliver(t *testing.T, content string) {
	t.Helper()
	if r := j.run(context.Background(), strings.NewReader(content)); r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const stored = "Return-Path: <bob@example.com>\nDelivered-To: ann@host.example.test\nSubject: s\nTo: ann@host.example.test\n\n" +
	"hello\n>From here\n>From there\nx From\n"

func TestMbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ann")
	j := delivery(path)
	j.mustDeliver(t, message)
	j.Sender = ""
	j.mustDeliver(t, message)
	date := `\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n`
	second := strings.Replace(stored, "<bob@example.com>", "<>", 1)
	want := regexp.MustCompile(`^From bob@example\.com  ` + date + regexp.QuoteMeta(stored) + "\nFrom MAILER-DAEMON  " + date + regexp.QuoteMeta(second) + "\n$")
	if got := read(t, path); !want.MatchString(got) {
		t.Errorf("got\n%s", got)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := os.Lstat(path + ".lock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock is left: %v", err)
	}
}

func TestMboxMendsALineThatWasCutShort(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "ann"), "From x\n\nhalf", 0o600)
	delivery(path).mustDeliver(t, message)
	if got := read(t, path); !strings.HasPrefix(got, "From x\n\nhalf\nFrom bob@") {
		t.Errorf("got %q", got)
	}
}

func TestFromLineHasNoStrangeOctets(t *testing.T) {
	j := job{Sender: "\"a b\tc\"@example.com"}
	if got := j.fromLine(time.Unix(0, 0).UTC()); got != "From \"a_b_c\"@example.com  Thu Jan  1 00:00:00 1970\n" {
		t.Errorf("got %q", got)
	}
}

func TestCopyLines(t *testing.T) {
	long := strings.Repeat("x", 64<<10-1)
	tests := []struct{ name, in, want string }{
		{"CRLF becomes LF", "a\r\nb\r\n", "a\nb\n"},
		{"LF stays", "a\nb\n", "a\nb\n"},
		{"a missing end is added", "a\r\nb", "a\nb\n"},
		{"a CR elsewhere stays", "a\rb\r\r\n\rc\r\n", "a\rb\r\n\rc\n"},
		{"a CR at the very end", "a\r", "a\r\n"},
		{"nothing", "", ""},
		{"From at the start of a line", "From a\r\nxFrom b\r\nFromc\r\n", ">From a\nxFrom b\nFromc\n"},
		{"CR and LF in two chunks", long + "\r\nFrom x\r\n", long + "\n>From x\n"},
		{"CR and another octet in two chunks", long + "\rFrom x\r\n", long + "\rFrom x\n"},
		{"From within a long line", long + "xFrom x\r\n", long + "xFrom x\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				var out bytes.Buffer
				w := bufio.NewWriter(&out)
				if err := errors.Join(copyLines(w, r, true), w.Flush()); err != nil {
					t.Fatal(err)
				}
				if out.String() != tt.want {
					t.Errorf("got %.80q, want %.80q", out.String(), tt.want)
				}
			}
		})
	}
}

func TestWhatIsNoMailboxIsNotWrittenTo(t *testing.T) {
	tests := []struct {
		name, text string
		make       func(dir, path string) error
	}{
		{"a symbolic link", "a symbolic link", func(dir, path string) error { return os.Symlink(filepath.Join(dir, "victim"), path) }},
		{"a dangling symbolic link", "a symbolic link", func(dir, path string) error { return os.Symlink(filepath.Join(dir, "none"), path) }},
		{"a hard link", "2 names", func(dir, path string) error { return os.Link(filepath.Join(dir, "victim"), path) }},
		{"a FIFO", "not a regular file", func(_, path string) error { return syscall.Mkfifo(path, 0o600) }},
		{"a folder", "not a regular file", func(_, path string) error { return os.Mkdir(path, 0o700) }},
		{"a socket", "not a regular file", func(_, path string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			victim, path := write(t, filepath.Join(dir, "victim"), "precious\n", 0o600), filepath.Join(dir, "ann")
			if err := tt.make(dir, path); err != nil {
				t.Fatal(err)
			}
			j := delivery(path)
			r := j.run(context.Background(), strings.NewReader(message))
			if r.Status != mailboxAway || !strings.Contains(r.Detail, tt.text) {
				t.Errorf("%v %s", r.Status, r.Detail)
			}
			if got := read(t, victim); got != "precious\n" {
				t.Errorf("the victim holds %q", got)
			}
			if _, err := os.Lstat(filepath.Join(dir, "none")); err == nil {
				t.Error("a file was made through the link")
			}
		})
	}
}

func TestAMailboxOfAnotherUserIsNotWrittenTo(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "ann"), "", 0o600)
	j := delivery(path)
	j.User.UID++
	if r := j.run(context.Background(), strings.NewReader(message)); r.Status != mailboxAway || read(t, path) != "" {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	j.Owner = os.Geteuid() // with own rights, mailboxes that the daemon made are its own
	j.mustDeliver(t, message)
}

func TestAMailboxThatCannotBeWrittenNamesTheKey(t *testing.T) {
	for _, path := range []string{"/nonexistent/mail/ann", "/nonexistent/Maildir/", "/dev/null/ann"} {
		j := delivery(path)
		r := j.run(context.Background(), strings.NewReader(message))
		if r.Status != badConfig || !strings.Contains(r.Detail, "[local] mailbox") {
			t.Errorf("%s: %v %s", path, r.Status, r.Detail)
		}
	}
}

// full is a file on a disk that has room for some octets more, or fails to sync.
type full struct {
	*os.File
	room int
	sync error
	err  error
}

func (f *full) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		f.room -= len(p)
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:f.room])
	f.room = 0
	return n, f.err
}

func (f *full) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

func (f *full) Sync() error { return errors.Join(f.sync, f.File.Sync()) }

func TestAFailedAppendIsTakenBack(t *testing.T) {
	tests := []struct {
		err    error
		status spool.Status
	}{{syscall.ENOSPC, systemFull}, {syscall.EDQUOT, mailboxFull}, {syscall.EFBIG, mailboxFull}, {syscall.EIO, systemTrouble}}
	for _, tt := range tests {
		for _, room := range []int{0, 10, 60, 150} {
			path := write(t, filepath.Join(t.TempDir(), "ann"), "From x\n\nold\n\n", 0o600)
			j := delivery(path)
			j.disk.wrap = func(f *os.File) file { return &full{File: f, room: room, err: tt.err} }
			r := j.run(context.Background(), strings.NewReader(message))
			if r.Status != tt.status || read(t, path) != "From x\n\nold\n\n" {
				t.Errorf("%v after %d: %v %s, %q", tt.err, room, r.Status, r.Detail, read(t, path))
			}
		}
	}
}

func TestAFailedSyncIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{write(t, filepath.Join(dir, "ann"), "old\n", 0o600), filepath.Join(dir, "Maildir") + "/"} {
		j := delivery(path)
		j.disk.wrap = func(f *os.File) file { return &full{File: f, room: 1 << 20, sync: syscall.EIO} }
		if r := j.run(context.Background(), strings.NewReader(message)); r.Status != systemTrouble {
			t.Errorf("%v %s", r.Status, r.Detail)
		}
	}
	if got := read(t, filepath.Join(dir, "ann")); got != "old\n" {
		t.Errorf("the mailbox holds %q", got)
	}
	if left := files(t, filepath.Join(dir, "Maildir")); len(left) > 0 {
		t.Errorf("the Maildir holds %v", left)
	}
}

func TestHalfAMessageIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{write(t, filepath.Join(dir, "ann"), "old\n", 0o600), filepath.Join(dir, "Maildir") + "/"} {
		j := delivery(path)
		torn := io.MultiReader(strings.NewReader(message), iotest.ErrReader(io.ErrUnexpectedEOF))
		if r := j.run(context.Background(), torn); r.Outcome() != spool.Deferred {
			t.Errorf("%v %s", r.Status, r.Detail)
		}
	}
	if got := read(t, filepath.Join(dir, "ann")); got != "old\n" {
		t.Errorf("the mailbox holds %q", got)
	}
	if left := files(t, filepath.Join(dir, "Maildir")); len(left) > 0 {
		t.Errorf("the Maildir holds %v", left)
	}
}

func TestALockOfAnotherProgramDefers(t *testing.T) {
	dir := t.TempDir()
	dotted := filepath.Join(dir, "dotted")
	write(t, dotted+".lock", "", 0o600)
	now := time.Now()
	locked := write(t, filepath.Join(dir, "locked"), "", 0o600)
	f, err := os.OpenFile(locked, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dotted, locked} {
		synctest.Test(t, func(t *testing.T) {
			// The bubble's clock does not know the age of files.
			if err := os.Chtimes(dotted+".lock", time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			j := delivery(path)
			r := j.run(context.Background(), strings.NewReader(message))
			if r.Status != mailboxAway || !strings.Contains(r.Detail, "locked by another program") {
				t.Errorf("%v %s", r.Status, r.Detail)
			}
			if waited := time.Since(began); waited != lockWait {
				t.Errorf("waited %v", waited)
			}
		})
	}
	if got := read(t, locked); got != "" {
		t.Errorf("written in spite of the lock: %q", got)
	}
	if _, err := os.Lstat(locked + ".lock"); err == nil {
		t.Error("our own dotlock is left")
	}
	if err := os.Chtimes(dotted+".lock", now, now.Add(-lockStale-time.Minute)); err != nil {
		t.Fatal(err)
	}
	delivery(dotted).mustDeliver(t, message) // the holder has died long ago
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ann")
	write(t, path+".lock", "", 0o600)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	j := delivery(path)
	if r := j.run(ctx, strings.NewReader(message)); r.Outcome() != spool.Deferred {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the mailbox was made")
	}
}

func TestAMailboxReplacedWhileWaitingIsOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "ann"), "old\n", 0o600)
	j, first := delivery(path), true
	j.disk.wrap = func(f *os.File) file {
		if first {
			first = false
			if err := os.Rename(write(t, filepath.Join(dir, "new"), "new\n", 0o600), path); err != nil {
				t.Error(err)
			}
		}
		return f
	}
	j.mustDeliver(t, message)
	if got := read(t, path); !strings.HasPrefix(got, "new\nFrom bob@") {
		t.Errorf("got %q", got)
	}
}

func TestConcurrentAppendsDoNotMix(t *testing.T) {
	dir := t.TempDir()
	const n = 20
	for _, path := range []string{filepath.Join(dir, "ann"), filepath.Join(dir, "Maildir") + "/"} {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				j := delivery(path)
				r := j.run(context.Background(), strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("x", 200_000))))
				if r.Outcome() != spool.Delivered {
					t.Errorf("%v %s", r.Status, r.Detail)
				}
			})
		}
		all.Wait()
	}
	parts := strings.Split(read(t, filepath.Join(dir, "ann")), "From bob@example.com  ")[1:]
	if len(parts) != n {
		t.Fatalf("%d messages", len(parts))
	}
	for _, p := range parts {
		if strings.Count(p, "Subject:") != 1 || strings.Count(p, "x") < 200_000 {
			t.Error("a message is torn")
		}
	}
	if left := files(t, filepath.Join(dir, "Maildir")); len(left) != n {
		t.Errorf("%d messages", len(left))
	}
}

// files lists what lies in the parts of a Maildir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	for _, part := range []string{"tmp", "new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, part))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, filepath.Join(part, e.Name()))
		}
	}
	return all
}

func TestMaildir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Maildir")
	j := delivery(dir + "/")
	j.Host = "a/b:c"
	j.mustDeliver(t, message)
	got := files(t, dir)
	if len(got) != 1 || !regexp.MustCompile(`^new/\d+\.M\d+P\d+R[0-9a-f]{16}\.a\\057b\\072c$`).MatchString(got[0]) {
		t.Fatalf("got %v", got)
	}
	if text := read(t, filepath.Join(dir, got[0])); text != strings.Replace(stored, ">From here", "From here", 1) {
		t.Errorf("got %q", text)
	}
	for _, name := range []string{".", "tmp", "new", "cur"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestAMaildirThatWasMovedIsFollowed(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := errors.Join(os.Mkdir(elsewhere, 0o700), os.Symlink(elsewhere, filepath.Join(dir, "Maildir"))); err != nil {
		t.Fatal(err)
	}
	delivery(filepath.Join(dir, "Maildir")+"/").mustDeliver(t, message)
	if got := files(t, elsewhere); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsNoMaildirIsNotWrittenTo(t *testing.T) {
	tests := []struct {
		name   string
		change func(dir string, j *job) error
	}{
		{"a file in its place", func(dir string, _ *job) error { return os.WriteFile(dir, nil, 0o600) }},
		{"a folder of another user", func(dir string, j *job) error { j.User.UID++; return os.Mkdir(dir, 0o700) }},
		{"a folder that everybody writes in", func(dir string, _ *job) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) }},
		{"a part that is a link out of it", func(dir string, _ *job) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(dir+"2", 0o700), os.Symlink(dir+"2", filepath.Join(dir, "new")))
		}},
		{"a part that is a file", func(dir string, _ *job) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "tmp"), nil, 0o600))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "Maildir")
			j := delivery(dir + "/")
			if err := tt.change(dir, &j); err != nil {
				t.Fatal(err)
			}
			if r := j.run(context.Background(), strings.NewReader(message)); r.Status != mailboxAway {
				t.Errorf("%v %s", r.Status, r.Detail)
			}
			if left, _ := os.ReadDir(dir + "2"); len(left) > 0 {
				t.Error("written outside")
			}
		})
	}
}

func TestAMaildirOnAFullDiskKeepsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Maildir")
	j := delivery(dir + "/")
	j.disk.wrap = func(f *os.File) file { return &full{File: f, room: 10, err: syscall.ENOSPC} }
	r := j.run(context.Background(), strings.NewReader(message))
	if r.Status != systemFull || len(files(t, dir)) > 0 {
		t.Errorf("%v %s, %v", r.Status, r.Detail, files(t, dir))
	}
}

func TestADeliveryLoopIsCaught(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ann")
	j := delivery(path)
	looped := "Received: x\r\nDELIVERED-TO:  Ann@host.EXAMPLE.test \r\n" + message
	if r := j.run(context.Background(), strings.NewReader(looped)); r.Status != mailLoop {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	j.mustDeliver(t, "Delivered-To: bob@host.example.test\r\n"+message)
	j.mustDeliver(t, message+"Delivered-To: ann@host.example.test\r\n") // in the body it is text
	j.mustDeliver(t, "X: "+strings.Repeat("x", 2*maxHeader)+"\r\n\r\nbody\r\n")
}

// command is a job that runs a program as this process.
func command(line string) job {
	j := delivery("")
	j.Kind, j.Command, j.Key = spool.Program, line, "[local] run_as"
	j.User.Home = "/somewhere"
	return j
}

func TestProgram(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	command("cat >"+out).mustDeliver(t, message)
	if got := read(t, out); got != strings.Replace(stored, ">From here", "From here", 1) {
		t.Errorf("got %q", got)
	}
	command("/bin/true").mustDeliver(t, message+strings.Repeat("it need not read\r\n", 100_000))
	command("/bin/true left to right").mustDeliver(t, message)
}

func TestProgramSeesNoTextOfStrangers(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("SENDER_OF_TEST", "x")
	command("env >"+out+"; pwd >>"+out).mustDeliver(t, message)
	lines := strings.Split(strings.TrimSpace(read(t, out)), "\n")
	lines = slices.DeleteFunc(lines, func(s string) bool {
		return strings.HasPrefix(s, "_=") || strings.HasPrefix(s, "PWD=") || strings.HasPrefix(s, "SHLVL=") || strings.HasPrefix(s, "OLDPWD=")
	})
	slices.Sort(lines)
	want := []string{"/", "HOME=/somewhere", "LANG=C", "LOGNAME=ann", "PATH=" + safePath, "SHELL=/bin/sh", "USER=ann"}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q", lines)
	}
}

func TestExitStatus(t *testing.T) {
	tests := []struct {
		line, status, detail string
	}{
		{"exit 75", "4.3.0", "command ended with status 75"},
		{"echo no such user here; exit 67", "5.1.1", "command ended with status 67: no such user here"},
		{"echo why >&2; exit 77", "5.7.1", "command ended with status 77: why"},
		{"exit 65", "5.6.0", ""},
		{"exit 69", "5.3.0", ""},
		{"exit 1", "5.3.0", ""},
		{"exit 78", "5.3.5", ""},
		{"exit 74", "4.3.0", ""},
		{"/nonexistent/program", "4.3.5", "running the command"},
		{"/dev/null", "4.3.5", "running the command"},
		{"nonexistent-program; exit $?", "4.3.5", "status 127"},
		{"kill -TERM $$", "4.3.0", "command ended by signal: terminated"},
		{`printf '\377\033'; exit 1`, "5.3.0", ": ?"},
		{"yes | head -c 100000; exit 1", "5.3.0", "[cut]"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			j := command(tt.line)
			r := j.run(context.Background(), strings.NewReader(message))
			if r.Status.String() != tt.status || !strings.Contains(r.Detail, tt.detail) || len(r.Detail) > maxOutput+100 {
				t.Errorf("%v %.200s", r.Status, r.Detail)
			}
		})
	}
}

func TestAProgramThatTakesTooLongIsKilled(t *testing.T) {
	j := command("echo slow; exec sleep 1000")
	j.Timeout = 500 * time.Millisecond
	r := j.run(context.Background(), strings.NewReader(message))
	if r.Status != systemTrouble || !strings.Contains(r.Detail, "not done after 500ms") {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

func TestAProgramIsKilledWithItsChildren(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan spool.Result)
	go func() {
		j := command("sleep 1000 & echo $! >" + fifo + "; wait")
		done <- j.run(ctx, strings.NewReader(message))
	}()
	ended := watch(t, fifo) // waits until the program has written
	cancel()
	if r := <-done; r.Status != systemTrouble || !strings.Contains(r.Detail, "context canceled") {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	ended()
}

// watch reads the pid of a running process from a file, and gives a function that waits for the end of that process.
func watch(t *testing.T, path string) (ended func()) {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(read(t, path), &pid); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func() {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if n != 1 {
			t.Errorf("process %d still runs: %v", pid, err)
		}
	}
}

func TestAProgramMayLeaveSomethingRunning(t *testing.T) {
	command("sleep 3 & exit 0").mustDeliver(t, message)
}

func TestHalfAMessageReachesNoProgram(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	j := command("cat >" + out)
	torn := io.MultiReader(strings.NewReader(message), iotest.ErrReader(io.ErrUnexpectedEOF))
	if r := j.run(context.Background(), torn); r.Outcome() != spool.Deferred {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
	if _, err := os.Lstat(out); err == nil {
		t.Error("the program was run")
	}
}

func TestArgv(t *testing.T) {
	for line, want := range map[string][]string{
		"/usr/bin/prog -a x@y.z  b": {"/usr/bin/prog", "-a", "x@y.z", "b"},
		"/usr/bin/prog 'a b'":       {"/bin/sh", "-c", "/usr/bin/prog 'a b'"},
		"/usr/bin/prog >/tmp/x":     {"/bin/sh", "-c", "/usr/bin/prog >/tmp/x"},
		"/usr/bin/prog $HOME":       {"/bin/sh", "-c", "/usr/bin/prog $HOME"},
		"exec /usr/bin/prog":        {"/bin/sh", "-c", "exec /usr/bin/prog"},
		"/usr/bin/prog *":           {"/bin/sh", "-c", "/usr/bin/prog *"},
	} {
		if got := argv(line); !slices.Equal(got, want) {
			t.Errorf("%s: got %q", line, got)
		}
	}
}

func TestAFileTarget(t *testing.T) {
	dir := t.TempDir()
	j := delivery(filepath.Join(dir, "log"))
	j.Kind = spool.File
	j.User.UID++ // a file target may belong to anybody
	j.mustDeliver(t, message)
	if !strings.Contains(read(t, j.Path), "\n>From here\n") {
		t.Errorf("got %q", read(t, j.Path))
	}
	j.Path = os.DevNull
	j.mustDeliver(t, message)
}
