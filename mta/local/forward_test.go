package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"signpost/compat/aliases"
	"signpost/spool"
)

// put writes a file of a user's into the home.
func (s *site) put(t *testing.T, user, name, text string) string {
	t.Helper()
	u, err := s.Users.LookupName(context.Background(), user)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, filepath.Join(u.Home, name), strings.ReplaceAll(text, "DIR", s.dir), 0o600)
	if os.Geteuid() == 0 {
		if err := os.Chown(path, u.UID, u.GID); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// expand gives what an address stands for, without the words that are the same for all, and the warnings.
func (s *site) expand(t *testing.T, addr string) (string, []string) {
	t.Helper()
	var warnings []string
	s.Warn = func(err error) { warnings = append(warnings, err.Error()) }
	got, err := s.Expand(context.Background(), spool.Recipient{Addr: addr + "@host.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(show(got), " for "+addr+"@host.example.test", "")
	return strings.ReplaceAll(text, s.dir, "DIR"), warnings
}

func TestForward(t *testing.T) {
	const x = "address x@example.com by ann"
	tests := []struct {
		name, aliases string
		files         map[string]string // "ann/.forward"
		addr, want    string
		warning       string // contained in the only one
	}{
		{name: "none", addr: "ann", want: "mailbox ann"},
		{name: "an address", files: map[string]string{"ann/.forward": "x@example.com\n"}, addr: "ann", want: x},
		{name: "lines and commas", files: map[string]string{"ann/.forward": "x@example.com, y@example.com\n\n# z@example.com\nAnn <z@example.com>"},
			addr: "ann", want: x + "; address y@example.com by ann; address z@example.com by ann"},
		{name: "a backslash keeps a copy", files: map[string]string{"ann/.forward": `\ann, x@example.com`}, addr: "ann", want: "mailbox ann; " + x},
		{name: "the own name is the mailbox", files: map[string]string{"ann/.forward": "ann\nx@example.com"}, addr: "ann", want: "mailbox ann; " + x},
		{name: "so is the own address", files: map[string]string{"ann/.forward": "Ann@HOST.example.test\n"}, addr: "ann", want: "mailbox ann"},
		{name: "and an own address with a detail", files: map[string]string{"ann/.forward": "ann+kept\nx@example.com"}, addr: "ann", want: "mailbox ann; " + x},
		{name: "the own name is the mailbox whatever its alias says", aliases: "list: \\ann, Ann+x\nann: y@example.com\nann+x: ann+x",
			files: map[string]string{"ann/.forward": "ann"}, addr: "ann+x", want: "mailbox ann"},
		{name: "a program", files: map[string]string{"ann/.forward": `"|/bin/prog -a b"`}, addr: "ann", want: "program /bin/prog -a b"},
		{name: "a file", files: map[string]string{"ann/.forward": "DIR/ann/kept"}, addr: "ann", want: "file DIR/ann/kept"},
		{name: "nothing is kept", files: map[string]string{"ann/.forward": "/dev/null"}, addr: "ann", want: "file /dev/null"},
		{name: "an alias", aliases: "both: bob, x@example.com", files: map[string]string{"ann/.forward": "both"}, addr: "ann",
			want: "mailbox bob; " + x},
		{name: "another user's", files: map[string]string{"ann/.forward": "bob\n", "bob/.forward": "y@example.com\n"}, addr: "ann",
			want: "address y@example.com by bob"},
		{name: "after an alias", aliases: "staff: ann, bob\nowner-staff: bob", files: map[string]string{"ann/.forward": "x@example.com"}, addr: "staff",
			want: "address x@example.com from owner-staff@example.test by ann; mailbox bob from owner-staff@example.test"},
		{name: "an alias that names itself", aliases: "ann: ann, y@example.com", files: map[string]string{"ann/.forward": "x@example.com"}, addr: "ann",
			want: x + "; address y@example.com"},
		{name: "not for a backslash", aliases: `list: \ann`, files: map[string]string{"ann/.forward": "x@example.com"}, addr: "list", want: "mailbox ann"},
		{name: "two that name each other", files: map[string]string{"ann/.forward": "bob", "bob/.forward": "ann, y@example.com"}, addr: "ann",
			want: "mailbox ann; address y@example.com by bob"},
		{name: "one that comes back through an alias", aliases: "all: ann, bob", files: map[string]string{"ann/.forward": "all"}, addr: "ann",
			want: "mailbox ann; mailbox bob"},
		{name: "one that two ways lead to", aliases: "all: ann, bob", files: map[string]string{"ann/.forward": "bob", "bob/.forward": "y@example.com"}, addr: "all",
			want: "address y@example.com by bob"},
		{name: "a detail", files: map[string]string{"ann/.forward": "x@example.com"}, addr: "ann+lists", want: x},
		{name: "one for a detail", files: map[string]string{"ann/.forward": "x@example.com", "ann/.forward+lists": "y@example.com"}, addr: "ann+Lists",
			want: "address y@example.com by ann"},
		{name: "one for a detail is not for others", files: map[string]string{"ann/.forward+lists": "y@example.com"}, addr: "ann", want: "mailbox ann"},
		{name: "a detail is no path", files: map[string]string{"ann/.forward": "x@example.com"}, addr: "ann+/../../bob/.forward", want: x},
		{name: "an included list", files: map[string]string{"ann/.forward": "ann\n:include:DIR/ann/list", "ann/list": "x@example.com\n:include: DIR/ann/more", "ann/more": "y@example.com\n:include:DIR/ann/list"},
			addr: "ann", want: "mailbox ann; " + x + "; address y@example.com by ann"},
		{name: "an included list names no programs", files: map[string]string{"ann/.forward": ":include:DIR/ann/list", "ann/list": "x@example.com\n|/bin/x\n/tmp/y"},
			addr: "ann", want: x, warning: "an included file must not name programs and files"},
		{name: "an included list that is not there", files: map[string]string{"ann/.forward": "x@example.com\n:include:DIR/ann/list"},
			addr: "ann", want: "mailbox ann", warning: "no such file"},
		{name: "an included list of somebody else's", files: map[string]string{"ann/.forward": "x@example.com\n:include:/etc/shadow"},
			addr: "ann", want: "mailbox ann", warning: "/etc/shadow"},
		{name: "includes without end", files: map[string]string{"ann/.forward": ":include:DIR/ann/0", "ann/0": ":include:DIR/ann/1", "ann/1": ":include:DIR/ann/2",
			"ann/2": ":include:DIR/ann/3", "ann/3": ":include:DIR/ann/4", "ann/4": ":include:DIR/ann/5", "ann/5": ":include:DIR/ann/6", "ann/6": ":include:DIR/ann/7",
			"ann/7": ":include:DIR/ann/8", "ann/8": ":include:DIR/ann/9", "ann/9": ":include:DIR/ann/10", "ann/10": "x@example.com"},
			addr: "ann", want: "mailbox ann", warning: "more than 10 includes"},
		{name: "an empty one", files: map[string]string{"ann/.forward": ""}, addr: "ann", want: "mailbox ann", warning: "names nobody"},
		{name: "comments alone", files: map[string]string{"ann/.forward": "# x@example.com\n\n"}, addr: "ann", want: "mailbox ann", warning: "names nobody"},
		{name: "a bad target", files: map[string]string{"ann/.forward": "x@example.com\ny@@z\n"}, addr: "ann", want: x, warning: ".forward:2: y@@z"},
		{name: "nothing but bad targets", files: map[string]string{"ann/.forward": "\"x\n"}, addr: "ann", want: "mailbox ann", warning: "a quote is left open"},
		{name: "not UTF-8", files: map[string]string{"ann/.forward": "x\xff@example.com\n"}, addr: "ann", want: "mailbox ann", warning: "not valid UTF-8"},
		{name: "a control character", files: map[string]string{"ann/.forward": "x@example.com\x00\n"}, addr: "ann", want: "mailbox ann", warning: "control character"},
		{name: "root has none", files: map[string]string{"root/.forward": "x@example.com"}, addr: "root", want: "mailbox root"},
		{name: "too large a one", files: map[string]string{"ann/.forward": "x@example.com\n" + strings.Repeat("#\n", maxForward/2)}, addr: "ann",
			want: "mailbox ann", warning: "more than is read"},
		{name: "many mistakes are told in short", files: map[string]string{"ann/.forward": strings.Repeat("y@@z\n", 1000)}, addr: "ann",
			want: "mailbox ann", warning: "and 996 more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, tt.aliases)
			for name, text := range tt.files {
				user, name, _ := strings.Cut(name, "/")
				s.put(t, user, name, text)
			}
			got, warnings := s.expand(t, tt.addr)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			all := strings.Join(warnings, "\n")
			if (tt.warning == "") != (all == "") || !strings.Contains(all, tt.warning) || len(warnings) > 1 {
				t.Errorf("warnings %q, want %q", warnings, tt.warning)
			}
		})
	}
}

// Whatever others could have had a hand in is not gone by.
func TestUnsafeForward(t *testing.T) {
	tests := []struct {
		name, want string // warning
		change     func(s *site, home, path string) error
	}{
		{"group-writable", "can be written by others", func(_ *site, _, path string) error { return os.Chmod(path, 0o620) }},
		{"writable by all", "can be written by others", func(_ *site, _, path string) error { return os.Chmod(path, 0o602) }},
		{"a symbolic link", "a symbolic link", func(_ *site, home, path string) error {
			return errors.Join(os.Rename(path, home+"/other"), os.Symlink(home+"/other", path))
		}},
		{"a folder", "not a regular file", func(_ *site, _, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }},
		{"a FIFO", "not a regular file", func(_ *site, _, path string) error {
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o644), os.Chown(path, account("ann", 61001).UID, -1))
		}},
		{"a socket", "not a regular file", func(_ *site, _, path string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return errors.Join(os.Remove(path), unix.Bind(fd, &unix.SockaddrUnix{Name: path}), os.Chown(path, account("ann", 61001).UID, -1))
		}},
		{"not readable", "permission denied", func(_ *site, _, path string) error { return os.Chmod(path, 0) }},
		{"a home that the group can write", "the folder", func(_ *site, home, _ string) error { return os.Chmod(home, 0o770) }},
		{"a home that all can write", "the folder", func(_ *site, home, _ string) error { return os.Chmod(home, 0o777|os.ModeSticky) }},
		{"a folder above that all can write", "the folder", func(s *site, _, _ string) error { return os.Chmod(s.dir, 0o777) }},
		{"a folder above that all can write, through a link", "the folder", func(s *site, home, _ string) error {
			open := s.dir + "/open"
			s.Users.(known).users[0].Home = open + "/ann"
			return errors.Join(os.Mkdir(open, 0o777), os.Chmod(open, 0o777), os.Symlink(home, open+"/ann"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, "")
			path := s.put(t, "ann", ".forward", "x@example.com\n")
			if err := tt.change(s, filepath.Dir(path), path); err != nil {
				t.Fatal(err)
			}
			got, warnings := s.expand(t, "ann")
			if got != "mailbox ann" || len(warnings) != 1 || !strings.Contains(warnings[0], tt.want) {
				t.Errorf("got %s, warnings %q", got, warnings)
			}
		})
	}
}

func TestForwardOfAStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives files to other uids")
	}
	s := newSite(t, "")
	path := s.put(t, "ann", ".forward", "x@example.com\n")
	home := filepath.Dir(path)
	const away, mailbox = "address x@example.com by ann", "mailbox ann"
	steps := []struct {
		name, path, want, warning string
		uid                       int
	}{
		{"root's", path, away, "", 0},
		{"somebody else's", path, mailbox, "owned by uid 61002", 61002},
		{"her own again", path, away, "", 61001},
		{"root's home", home, away, "", 0},
		{"somebody else's home", home, mailbox, "belongs to somebody else", 61002},
	}
	if err := errors.Join(os.Chmod(path, 0o644), os.Chmod(home, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if err := os.Lchown(step.path, step.uid, -1); err != nil {
			t.Fatal(err)
		}
		got, warnings := s.expand(t, "ann")
		if got != step.want || !strings.Contains(strings.Join(warnings, ""), step.warning) || (step.warning == "") != (warnings == nil) {
			t.Errorf("%s: got %s, warnings %q", step.name, got, warnings)
		}
	}
}

func TestAHomeThatIsNotThereHasNoForward(t *testing.T) {
	for name, change := range map[string]func(s *site, u *User) error{
		"missing":      func(s *site, u *User) error { u.Home = s.dir + "/none"; return nil },
		"none":         func(_ *site, u *User) error { u.Home = ""; return nil },
		"not a folder": func(s *site, u *User) error { u.Home = s.Aliases; return nil },
		"closed":       func(_ *site, u *User) error { return os.Chmod(u.Home, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "")
			s.put(t, "ann", ".forward", "x@example.com\n")
			if err := change(s, &s.Users.(known).users[0]); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(s.dir+"/ann", 0o700)
			if got, warnings := s.expand(t, "ann"); got != "mailbox ann" || warnings != nil {
				t.Errorf("got %s, warnings %q", got, warnings)
			}
		})
	}
}

func TestForwardByTheKeys(t *testing.T) {
	s := newSite(t, "")
	s.put(t, "ann", ".forward", "|/bin/x\nx@example.com\n")
	s.put(t, "bob", ".forward", "|/bin/x\n")
	s.ForwardPrograms = false
	if got, warnings := s.expand(t, "ann"); got != "address x@example.com by ann" || len(warnings) != 1 {
		t.Errorf("without programs: %s, %q", got, warnings)
	}
	if got, warnings := s.expand(t, "bob"); got != "mailbox bob" || len(warnings) != 1 {
		t.Errorf("without programs: %s, %q", got, warnings)
	}
	s.Mailboxes.Forward = false
	if got, warnings := s.expand(t, "ann"); got != "mailbox ann" || warnings != nil {
		t.Errorf("without: %s, %q", got, warnings)
	}
}

func TestForwardWithoutAHelper(t *testing.T) {
	s := newSite(t, "")
	s.put(t, "ann", ".forward", "x@example.com\n")
	s.Mailboxes.Helper = ""
	me := &s.Users.(known).users[0]
	want := "address x@example.com by ann"
	if os.Geteuid() == 0 {
		want = "mailbox ann" // root does not read as somebody else
	}
	if got, warnings := s.expand(t, "ann"); got != want || warnings != nil {
		t.Errorf("got %s, %q", got, warnings)
	}
	me.UID++
	if got, warnings := s.expand(t, "ann"); got != "mailbox ann" || warnings != nil {
		t.Errorf("another user's: got %s, %q", got, warnings)
	}
}

func TestForwardThatCannotBeReadNowWaits(t *testing.T) {
	s := newSite(t, "list: ann\n", func(h *Helper) { h.Exe = "/nonexistent" })
	for _, addr := range []string{"ann", "list", "ann+x"} {
		got, err := s.Expand(context.Background(), spool.Recipient{Addr: addr + "@host.example.test"})
		if r := spool.ResultOf(err, time.Time{}); got != nil || r.Status != systemTrouble {
			t.Errorf("%s: %s, %v %s", addr, show(got), r.Status, r.Detail)
		}
	}
	for _, errno := range []error{syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.ENOMEM, io.ErrUnexpectedEOF} {
		if !isTrouble(fmt.Errorf("reading: %w", errno)) {
			t.Errorf("%v is taken for a reason not to forward", errno)
		}
	}
	s.Users = known{err: errors.New("no answer")}
	if _, err := s.Expand(context.Background(), spool.Recipient{Addr: "ann@host.example.test"}); spool.ResultOf(err, time.Time{}).Status != systemTrouble {
		t.Errorf("accounts that cannot be looked up: %v", err)
	}
}

// A home that does not answer holds up nobody for ever: the mail waits, and the process that hangs is killed.
func TestForwardThatHangsWaits(t *testing.T) {
	dir := t.TempDir()
	fifo, exe := filepath.Join(dir, "fifo"), filepath.Join(dir, "exe")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.WriteFile(exe, []byte("#!/bin/sh\nread x <"+fifo+"\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Chown(fifo, account("ann", 61001).UID, -1)); err != nil {
		t.Fatal(err)
	}
	opened := make(chan *os.File, 1)
	t.Cleanup(func() { (<-opened).Close() }) // after the helper's end, which waits for its children
	s := newSite(t, "", func(h *Helper) { h.Exe = exe })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // returns when the process is about to hang in its read
		if err != nil {
			t.Error(err)
		}
		opened <- f
		cancel()
	}()
	_, err := s.Expand(ctx, spool.Recipient{Addr: "ann@host.example.test"})
	if r := spool.ResultOf(err, time.Time{}); r.Status != systemTrouble {
		t.Errorf("%v %s", r.Status, r.Detail)
	}
}

// forwarded is a recipient that the ~/.forward of ann names.
func (s *site) forwarded(kind spool.Kind, text string) spool.Recipient {
	return spool.Recipient{Kind: kind, Addr: strings.ReplaceAll(text, "DIR", s.dir), Source: s.dir + "/ann/.forward", RunAs: "ann"}
}

func TestProgramsOfAForwardRunAsTheUser(t *testing.T) {
	const line = `cat /proc/self/status >DIR/ann/status; env >DIR/ann/env; cat >DIR/ann/stdin`
	s := newSite(t, "")
	s.put(t, "ann", ".forward", `"|`+line+`"`)
	expanded, err := s.Expand(context.Background(), spool.Recipient{Addr: "ann@host.example.test"})
	if err != nil || len(expanded) != 1 || expanded[0].RunAs != "ann" || expanded[0].Source != s.dir+"/ann/.forward" {
		t.Fatalf("%s, %v", show(expanded), err)
	}
	if r := s.deliver(expanded[0], message); r.Outcome() != spool.Delivered {
		t.Fatalf("%v %s", r.Status, r.Detail)
	}
	ann := account("ann", 61001)
	mustHaveNone(t, rights(t, read(t, filepath.Join(s.dir, "ann/status"))), ann.UID, ann.GID)
	if got := read(t, filepath.Join(s.dir, "ann/stdin")); !strings.HasPrefix(got, "Return-Path: <bob@example.com>\nDelivered-To: ann@host.example.test\nSubject:") {
		t.Errorf("got %q", got)
	}
	env := strings.Fields(read(t, filepath.Join(s.dir, "ann/env")))
	env = slices.DeleteFunc(env, func(v string) bool {
		return strings.HasPrefix(v, "_=") || strings.HasPrefix(v, "PWD=") || strings.HasPrefix(v, "OLDPWD=")
	})
	slices.Sort(env)
	if want := []string{"HOME=" + s.dir + "/ann", "LANG=C", "LOGNAME=ann", "PATH=" + safePath, "SHELL=/bin/sh", "USER=ann"}; !slices.Equal(env, want) {
		t.Errorf("environment %q", env)
	}
	if r := s.deliver(expanded[0], "Delivered-To: ann@host.example.test\r\n"+message); r.Status != mailLoop {
		t.Errorf("what it hands in again: %v %s", r.Status, r.Detail)
	}
}

func TestFilesOfAForward(t *testing.T) {
	s := newSite(t, "")
	s.put(t, "ann", ".forward", "DIR/ann/mail\nDIR/ann/folder/\n/dev/null\n")
	ann := account("ann", 61001)
	for _, text := range []string{"DIR/ann/mail", "DIR/ann/folder/", "/dev/null"} {
		if r := s.deliver(s.forwarded(spool.File, text), message); r.Outcome() != spool.Delivered {
			t.Errorf("%s: %v %s", text, r.Status, r.Detail)
		}
	}
	mustOwn(t, filepath.Join(s.dir, "ann/mail"), ann.UID, ann.GID, 0o600)
	mustOwn(t, filepath.Join(s.dir, "ann/folder"), ann.UID, ann.GID, 0o700)
}

// The daemon is believed in nothing: whatever it asks for must stand in the file now.
func TestHelperRunsOnlyWhatTheForwardNames(t *testing.T) {
	s := newSite(t, "list: \"|/bin/true a\"\n")
	s.put(t, "ann", ".forward", "|/bin/true\n:include:DIR/ann/list\n")
	s.put(t, "ann", ".forward+x", "|/bin/true x\n")
	s.put(t, "ann", "list", "|/bin/true b\n")
	s.put(t, "bob", ".forward", "|/bin/true bob\n")
	s.put(t, "root", ".forward", "|/bin/true root\n")
	with := func(text, source, as string) spool.Recipient {
		r := s.forwarded(spool.Program, text)
		r.Source, r.RunAs = strings.ReplaceAll(source, "DIR", s.dir), as
		return r
	}
	tests := []struct {
		name   string
		rcpt   spool.Recipient
		status spool.Status
		change func()
	}{
		{"what it names", with("/bin/true", "DIR/ann/.forward", "ann"), delivered, nil},
		{"what the one for a detail names", with("/bin/true x", "DIR/ann/.forward+x", "ann"), delivered, nil},
		{"another program", with("/bin/true c", "DIR/ann/.forward", "ann"), NotNamed, nil},
		{"a program as a file", s.forwarded(spool.File, "/bin/true"), NotNamed, nil},
		{"what an included file names", with("/bin/true b", "DIR/ann/.forward", "ann"), NotNamed, nil},
		{"what an included file names, of that file", with("/bin/true b", "DIR/ann/list", "ann"), NotNamed, nil},
		{"what the aliases name", with("/bin/true a", "DIR/ann/.forward", "ann"), NotNamed, nil},
		{"as somebody else", with("/bin/true", "DIR/ann/.forward", "bob"), NotNamed, nil},
		{"somebody else's", with("/bin/true bob", "DIR/bob/.forward", "ann"), NotNamed, nil},
		{"a way round", with("/bin/true bob", "DIR/ann/.forward+/../../bob/.forward", "ann"), NotNamed, nil},
		{"root's", with("/bin/true root", "DIR/.forward", "root"), NotNamed, nil},
		{"nobody's", with("/bin/true", "DIR/ann/.forward", "nosuch"), NotNamed, nil},
		{"nobody at all", with("/bin/true", "DIR/ann/.forward", ""), NotNamed, nil},
		{"what it named before", with("/bin/true", "DIR/ann/.forward", "ann"), NotNamed, func() { s.put(t, "ann", ".forward", "|/bin/true c\n") }},
		{"programs are not allowed any more", with("/bin/true c", "DIR/ann/.forward", "ann"), NotNamed, func() { s.ForwardPrograms = false }},
	}
	for _, tt := range tests {
		if tt.change != nil {
			tt.change()
		}
		if r := s.deliver(tt.rcpt, message); r.Status != tt.status {
			t.Errorf("%s: %v %s", tt.name, r.Status, r.Detail)
		}
	}
}

// The process that reads a ~/.forward belongs to the user, who could answer anything in its place.
func TestWhatTheReaderSaysIsNotBelieved(t *testing.T) {
	s := newSite(t, "")
	ann, _ := s.Users.LookupName(context.Background(), "ann")
	for name, f := range map[string]found{
		"a file that is not there": {Path: ann.Home + "/.forward", Text: []byte(":include:/etc/passwd")},
		"includes without end": {Path: ann.Home + "/.forward", Text: []byte(":include:/a\nx@example.com"),
			Lists: map[string][]byte{"/a": []byte(":include:/b\n|/bin/x"), "/b": []byte(":include:/a")}},
	} {
		got := s.understand(ann, f)
		if slices.ContainsFunc(got.Targets, func(t aliases.Target) bool { return t.Kind != aliases.Address }) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestPassed(t *testing.T) {
	m := &Mailboxes{Hostname: "host.example.test"}
	if got := m.Trace("ann"); got != "Delivered-To: ann@host.example.test\r\n" || m.Trace("") != "" || m.Trace("a\nb") != "" {
		t.Errorf("got %q", got)
	}
	for text, want := range map[string]bool{
		m.Trace("ann") + message: true, message: false, m.Trace("bob") + message: false, message + "\r\n" + m.Trace("ann"): false,
	} {
		got, err := m.Passed(func() (io.ReadSeekCloser, error) { return seekable{strings.NewReader(text)}, nil }, "ann")
		if got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

type seekable struct{ *strings.Reader }

func (seekable) Close() error { return nil }

func FuzzForward(f *testing.F) {
	f.Add("\\ann, x@example.com\n|/bin/prog a\n", "bob")
	f.Add(":include:/list\n# who\n\"|/bin/x y\", /dev/null", ":include:/list\n|/bin/no")
	f.Add("ann+x, \"ann\"@host.example.test, Ann <ann>", "\xff\x00")
	f.Add("\"", ",,,")
	f.Fuzz(func(t *testing.T, text, list string) {
		m := &Mailboxes{Domains: []string{"host.example.test"}, Hostname: "host.example.test", ForwardPrograms: true}
		u := User{Name: "ann", UID: 61001, Home: "/home/ann"}
		got := m.understand(u, found{Path: "/home/ann/.forward", Text: []byte(text), Lists: map[string][]byte{"/list": []byte(list)}})
		if (got.Path == "") != (len(got.Targets) == 0) {
			t.Errorf("%+v", got)
		}
		for _, target := range got.Targets {
			if target.Text == "" || strings.ContainsFunc(target.Text, isControl) || target.Kind == aliases.Include {
				t.Errorf("%+v", target)
			}
			if action := target.Kind == aliases.Program || target.Kind == aliases.File; action != (target.RunAs == "ann") ||
				action && target.Source != "/home/ann/.forward" {
				t.Errorf("%+v", target)
			}
		}
	})
}
