package intake

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"signpost/spool"
)

// dropFolder makes a spool's drop/ and corrupt/.
func dropFolder(t *testing.T) spool.Drop {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"corrupt", "drop", "drop/new", "drop/tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return spool.Drop{Path: filepath.Join(dir, "drop")}
}

// leave leaves a message in drop/ and gives its name.
func leave(t *testing.T, d spool.Drop, told spool.Told, content string) string {
	t.Helper()
	before, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	h, err := d.Submit(t.Context(), told)
	if err != nil {
		t.Fatal(err)
	}
	h.Write([]byte(content))
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	after, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range after {
		if !strings.Contains(strings.Join(before, "/"), name) {
			return name
		}
	}
	return "" // taken already
}

func wantNames(t *testing.T, dir string, want int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != want {
		t.Errorf("%s holds %v, want %d names", dir, entries, want)
	}
}

// once gives an emptier for single looks, and its log.
func once(i *Intake, d spool.Drop) (*emptier, *bytes.Buffer) {
	log := new(bytes.Buffer)
	i.Log = slog.New(slog.NewTextHandler(log, nil))
	return &emptier{intake: i, drop: d, dir: filepath.Join(d.Path, "new")}, log
}

var plain = spool.Told{Rcpts: to("bob")}

func TestEmptyDropTakesWhatIsThereAndWhatComes(t *testing.T) {
	d := dropFolder(t)
	m := new(memory)
	taken := make(chan spool.ID, 10)
	m.onCommit = func(id spool.ID) { taken <- id }
	leave(t, d, plain, "Subject: before\r\n\r\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	i := newIntake(m)
	i.Now = time.Now
	go func() { done <- i.EmptyDrop(ctx, d.Path) }()
	<-taken
	leave(t, d, plain, "Subject: after\r\n\r\n")
	leave(t, d, plain, "Subject: after\r\n\r\n")
	<-taken
	<-taken
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	all := m.all()
	if len(all) != 3 {
		t.Errorf("%d messages, want 3", len(all))
	}
	for id, msg := range all {
		if o := msg.env.Origin; o.UID != os.Getuid() || o.Via != ViaDrop {
			t.Errorf("origin %+v", o)
		}
		if !msg.env.Arrived.Equal(id.Time()) || time.Since(id.Time()) > time.Minute || msg.env.Next.Before(id.Time().Add(settle)) {
			t.Errorf("arrived %v, next %v for %s of %v", msg.env.Arrived, msg.env.Next, id, id.Time())
		}
		if want := "Date: " + id.Time().Format(dateForm) + "\r\n"; !strings.Contains(msg.content, want) {
			t.Errorf("no %q, the time it was handed in, in %q", want, msg.content)
		}
	}
	wantNames(t, filepath.Join(d.Path, "new"), 0)
}

func TestEmptyDropWithoutAFolder(t *testing.T) {
	if err := newIntake(new(memory)).EmptyDrop(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want that there is none", err)
	}
}

// A crash between Commit and the removal leaves the file; the next look must not double the message.
func TestDropTwiceIsOneMessage(t *testing.T) {
	d := dropFolder(t)
	m := new(memory)
	name := leave(t, d, plain, "Subject: s\r\n\r\n")
	e, _ := once(newIntake(m), d)
	if err := e.move(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	wantNames(t, e.dir, 1)
	for range 2 {
		if err := e.scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNames(t, e.dir, 0)
		m.one(t)
	}
}

// When the scheduler starts after such a crash the message may be gone before the next look. So the file goes first.
func TestFinishDropRemovesWhatIsInTheStore(t *testing.T) {
	d := dropFolder(t)
	m := new(memory)
	taken := leave(t, d, plain, "Subject: taken\r\n\r\n")
	e, _ := once(newIntake(m), d)
	if err := e.move(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	fresh := leave(t, d, plain, "Subject: fresh\r\n\r\n")
	has := func(id spool.ID) bool { _, ok := m.all()[id]; return ok }
	if err := e.intake.FinishDrop(t.Context(), d.Path, has); err != nil {
		t.Fatal(err)
	}
	if left, err := d.List(); err != nil || len(left) != 1 || left[0] != fresh {
		t.Errorf("left in drop/: %q, %v, want %s", left, err, fresh)
	}
	if err := e.intake.FinishDrop(t.Context(), d.Path+"-not-there", has); err == nil {
		t.Error("a folder that is not there gives no error")
	}
}

func TestDropFileIsThereUntilCommit(t *testing.T) {
	d := dropFolder(t)
	m := new(memory)
	e, _ := once(newIntake(m), d)
	m.onCommit = func(spool.ID) { wantNames(t, e.dir, 1) }
	leave(t, d, plain, "Subject: s\r\n\r\n")
	if err := e.scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.one(t)
	wantNames(t, e.dir, 0)
}

func TestHostileDropFilesDoNotStopTheOthers(t *testing.T) {
	d := dropFolder(t)
	dir, corrupt := filepath.Join(d.Path, "new"), filepath.Join(filepath.Dir(d.Path), "corrupt")
	secret := filepath.Join(t.TempDir(), "secret")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	must(os.WriteFile(secret, []byte("secret"), 0o600))
	must(os.Symlink(secret, in("symlink")))
	must(os.Symlink("/dev/zero", in("symlink-device")))
	must(os.Link(secret, in("hardlink")))
	must(unix.Mkfifo(in("fifo"), 0o666))
	must(os.Mkdir(in("folder"), 0o700))
	leftAlone := 5

	must(os.WriteFile(in("empty"), nil, 0o600))
	must(os.WriteFile(in("garbage \x1b[31m\n\xff"), []byte(strings.Repeat("garbage", 1000)), 0o600))
	must(os.WriteFile(in("sparse"), []byte("SIGNPOST"), 0o600))
	must(os.Truncate(in("sparse"), 1<<40))
	torn := leave(t, d, plain, "Subject: torn\r\n\r\n")
	info, err := os.Stat(in(torn))
	must(err)
	must(os.Truncate(in(torn), info.Size()-3))
	changed := leave(t, d, plain, "Subject: changed\r\n\r\n")
	f, err := os.OpenFile(in(changed), os.O_WRONLY, 0)
	must(err)
	_, err = f.WriteAt([]byte("X"), 70)
	must(err)
	must(f.Close())
	moved := 5

	m := new(memory)
	i := newIntake(m)
	i.MaxSize = 1 << 20
	e, log := once(i, d)
	for range 3 {
		leave(t, d, plain, "Subject: good\r\n\r\n")
		must(e.scan(t.Context()))
	}
	if n := len(m.all()); n != 3 {
		t.Errorf("%d messages, want the 3 good ones", n)
	}
	m.mu.Lock()
	if m.open != 0 {
		t.Errorf("%d open writers", m.open)
	}
	m.mu.Unlock()
	wantNames(t, dir, leftAlone)
	wantNames(t, corrupt, moved)
	if n := strings.Count(log.String(), "left in the drop folder"); n != leftAlone {
		t.Errorf("%d lines for %d names that were left:\n%s", n, leftAlone, log)
	}
	if n := strings.Count(log.String(), "is no message"); n != moved {
		t.Errorf("%d lines for %d files that were moved:\n%s", n, moved, log)
	}
	if n := strings.Count(log.String(), "\n"); n != leftAlone+moved || strings.Contains(log.String(), "\x1b") {
		t.Errorf("%d lines of log, or control characters in it:\n%q", n, log)
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "secret" {
		t.Errorf("the target of a link is %q, %v", b, err)
	}
}

// meddled is a Store that does something to the file when the message is about to be copied into it.
type meddled struct {
	*memory
	meddle func()
}

func (m meddled) Create(ctx context.Context, id spool.ID) (spool.Writer, error) {
	m.meddle()
	return m.memory.Create(ctx, id)
}

// Its owner can write to a file, still open, while it is taken: what gets into the Store is what was handed in, or
// nothing.
func TestDropFileThatChangesWhileItIsTaken(t *testing.T) {
	content := "Subject: s\r\n\r\n" + strings.Repeat("line of the body\r\n", 20_000)
	for _, tt := range []struct {
		name   string
		change func(f *os.File, size int64) error
		taken  bool
	}{
		{"nothing", func(*os.File, int64) error { return nil }, true},
		{"cut in the content", func(f *os.File, size int64) error { return f.Truncate(size / 2) }, false},
		{"cut to nothing", func(f *os.File, size int64) error { return f.Truncate(0) }, false},
		{"cut and grown again", func(f *os.File, size int64) error { return errors.Join(f.Truncate(size/2), f.Truncate(size)) }, false},
		{"octets behind the record", func(f *os.File, size int64) error { _, err := f.WriteAt([]byte("more"), size); return err }, true},
		{"made huge", func(f *os.File, size int64) error { return f.Truncate(1 << 40) }, true},
		{"another content", func(f *os.File, size int64) error { _, err := f.WriteAt([]byte("X"), size/2); return err }, false},
		{"another size in the head", func(f *os.File, size int64) error { _, err := f.WriteAt([]byte("XXXXXXXX"), 20); return err }, true},
		{"other recipients", func(f *os.File, size int64) error { _, err := f.WriteAt([]byte("eve"), size-10); return err }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := dropFolder(t)
			m := new(memory)
			i := newIntake(m)
			e, _ := once(i, d)
			f, err := os.OpenFile(filepath.Join(e.dir, leave(t, d, plain, content)), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			i.Store = meddled{m, func() {
				if err := tt.change(f, info.Size()); err != nil {
					t.Error(err)
				}
			}}
			if err := e.scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantNames(t, e.dir, 0)
			corrupt := filepath.Join(filepath.Dir(d.Path), "corrupt")
			if !tt.taken {
				m.wantNothing(t)
				wantNames(t, corrupt, 1)
				return
			}
			wantNames(t, corrupt, 0)
			got := m.one(t)
			if _, body, _ := strings.Cut(got.content, "\r\n\r\n"); "Subject: s\r\n\r\n"+body != content {
				t.Errorf("%d octets of body", len(body))
			}
			if len(got.env.Rcpts) != 1 || got.env.Rcpts[0].Addr != "bob@"+host {
				t.Errorf("recipients %+v", got.env.Rcpts)
			}
		})
	}
}

// Between a look at the folder, at the file and at the name again, what bears the name may be replaced: nothing but what
// was opened is taken, and nothing but a file of one name is moved or removed.
func TestDropNameThatBecomesSomethingElse(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string]func(path string) error{
		"a link":          func(path string) error { return os.Symlink(secret, path) },
		"a second name":   func(path string) error { return os.Link(secret, path) },
		"a folder":        func(path string) error { return os.MkdirAll(filepath.Join(path, "new"), 0o700) },
		"a pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"nothing":         func(path string) error { return nil },
		"another message": func(path string) error { return os.Rename(filepath.Join(filepath.Dir(path), "other"), path) },
	} {
		t.Run(name, func(t *testing.T) {
			d := dropFolder(t)
			m := new(memory)
			i := newIntake(m)
			e, log := once(i, d)
			path := filepath.Join(e.dir, leave(t, d, plain, "Subject: s\r\n\r\nfirst\r\n"))
			other := leave(t, d, plain, "Subject: s\r\n\r\nother\r\n")
			if err := os.Rename(filepath.Join(e.dir, other), filepath.Join(e.dir, "other")); err != nil {
				t.Fatal(err)
			}
			meddle := func() {
				if err := errors.Join(os.Remove(path), replace(path)); err != nil {
					t.Error(err)
				}
			}
			// Once while it is copied, and once before it is opened.
			i.Store = meddled{m, meddle}
			if !e.take(t.Context(), filepath.Base(path)) {
				t.Errorf("the message that was open was not taken: %s", log)
			}
			i.Store = m
			for range 2 {
				if err := e.scan(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			firsts := 0
			for _, msg := range m.all() {
				if strings.Contains(msg.content, "secret") || len(msg.env.Rcpts) != 1 {
					t.Errorf("taken: %+v", msg)
				}
				firsts += strings.Count(msg.content, "first")
			}
			if firsts != 1 {
				t.Errorf("the first message is there %d times", firsts)
			}
			if b, err := os.ReadFile(secret); err != nil || string(b) != "secret" {
				t.Errorf("the file elsewhere is %q, %v", b, err)
			}
			wantNames(t, filepath.Join(filepath.Dir(d.Path), "corrupt"), 0)
		})
	}
}

// A name says nothing: whatever it is, the message in the file is taken, and the log stays in one line.
func TestDropNamesMayBeOdd(t *testing.T) {
	d := dropFolder(t)
	m := new(memory)
	e, log := once(newIntake(m), d)
	list := []string{"-rf", ".hidden", "...", "esc\x1b[2J\nline\rend", "\xff\xfe", strings.Repeat("n", 255), "01ARZ3NDEKTSV4RRFF", " ", "id=1 uid=0"}
	for _, name := range list {
		from := leave(t, d, plain, "Subject: s\r\n\r\n")
		if err := os.Rename(filepath.Join(e.dir, from), filepath.Join(e.dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := e.scan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantNames(t, e.dir, 0)
	if got := len(m.all()); got != len(list) {
		t.Errorf("%d messages of %d", got, len(list))
	}
	for line := range strings.Lines(log.String()) {
		if !strings.HasPrefix(line, "time=") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\r\n") {
			t.Errorf("the log says %q", line)
		}
	}
}

// A message with two names may just be on its way from drop/tmp.
func TestDropFileWithTwoNamesIsTakenOnceItHasOne(t *testing.T) {
	d := dropFolder(t)
	m := new(memory)
	e, _ := once(newIntake(m), d)
	name := leave(t, d, plain, "Subject: s\r\n\r\n")
	other := filepath.Join(d.Path, "tmp", "other")
	if err := os.Link(filepath.Join(e.dir, name), other); err != nil {
		t.Fatal(err)
	}
	e.scan(t.Context())
	m.wantNothing(t)
	if !e.again {
		t.Error("it is not looked at again soon")
	}
	os.Remove(other)
	e.scan(t.Context())
	m.one(t)
	wantNames(t, e.dir, 0)
	if len(e.left) != 0 {
		t.Errorf("names kept: %v", e.left)
	}
}

func TestDropWaitsForTroubleToPass(t *testing.T) {
	d := dropFolder(t)
	m := &memory{create: spool.ErrNoSpace}
	e, log := once(newIntake(m), d)
	for range 3 {
		leave(t, d, plain, "Subject: s\r\n\r\n")
	}
	for range 3 {
		if err := e.scan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantNames(t, e.dir, 3)
	if n := strings.Count(log.String(), "\n"); n > 3 {
		t.Errorf("%d lines of log for 3 names:\n%s", n, log)
	}
	m.create, m.commit = nil, errors.New("input/output error")
	e.scan(t.Context())
	wantNames(t, e.dir, 3)
	m.commit = nil
	e.scan(t.Context())
	wantNames(t, e.dir, 0)
	if n := len(m.all()); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

// Who left it was told that it is accepted: a loop is bounced, not refused.
func TestDropLoopIsBounced(t *testing.T) {
	d := dropFolder(t)
	m := new(memory)
	e, _ := once(newIntake(m), d)
	leave(t, d, plain, strings.Repeat("Received: x\r\n", 51)+"\r\n")
	e.scan(t.Context())
	if r := m.one(t).env.Rcpts[0]; r.Last.Status != (spool.Status{Class: 5, Subject: 4, Detail: 6}) || r.Bounced {
		t.Errorf("recipient %+v", r)
	}
}

// So is everything else that a caller of the socket would be told.
func TestDropRefusedIsBounced(t *testing.T) {
	i := newIntake(nil)
	own := i.own(i.originator(os.Getuid(), ""))
	many := make([]spool.Recipient, spool.MaxToldRcpts+1)
	tests := []struct {
		name    string
		told    spool.Told
		content string
		status  spool.Status
		sender  string
		ret     string
		holds   string // in what is stored
		size    int    // the most that is stored
	}{
		{"no usable recipient", spool.Told{Rcpts: to("|/bin/sh")}, "Subject: s\r\n\r\n",
			spool.Status{Class: 5, Subject: 1, Detail: 3}, own, "", "Subject: s", 1000},
		{"a recipient too long once qualified", spool.Told{Rcpts: to(strings.Repeat("x", 310))}, "Subject: s\r\n\r\n",
			spool.Status{Class: 5, Subject: 1, Detail: 3}, own, "", "Subject: s", 1000},
		{"no recipients", spool.Told{Sender: ref("a@x")}, "Subject: s\r\n\r\n",
			spool.Status{Class: 5, Subject: 5, Detail: 4}, "a@x", "", "Subject: s", 1000},
		{"too many recipients", spool.Told{Sender: ref("a@x"), Rcpts: many}, "Subject: s\r\n\r\n",
			spool.Status{Class: 5, Subject: 5, Detail: 3}, "a@x", "", "Subject: s", 1000},
		{"a bad sender", spool.Told{Rcpts: to("b@x"), Sender: ref("a@x\r\nDATA")}, "Subject: s\r\n\r\n",
			spool.Status{Class: 5, Subject: 1, Detail: 7}, own, "", "Subject: s", 1000},
		{"too many fields", plain, strings.Repeat("X: y\r\n", 1001) + "\r\nbody",
			spool.Status{Class: 5, Subject: 3, Detail: 4}, own, "", "From: ", 1000},
		{"too big", spool.Told{Rcpts: to("b@x"), Ret: "FULL"}, "Subject: s\r\n\r\n" + strings.Repeat("x", 1<<20),
			spool.Status{Class: 5, Subject: 3, Detail: 4}, own, "HDRS", "Subject: s", 1<<20 + 1000},
		{"too big once its line ends are CRLF", plain, "Subject: s\n\n" + strings.Repeat("\n", 1<<19),
			spool.Status{Class: 5, Subject: 3, Detail: 4}, own, "HDRS", "Subject: s", 1<<20 + 1000},
		{"a header too big once its line ends are CRLF", plain, "Subject: s\n" + strings.Repeat(" "+strings.Repeat("x", 1022)+"\n", 1023),
			spool.Status{Class: 5, Subject: 3, Detail: 4}, own, "", "From: ", 1000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, m := dropFolder(t), new(memory)
			i := newIntake(m)
			i.MaxSize = 1 << 20
			e, log := once(i, d)
			leave(t, d, tt.told, tt.content)
			if err := e.scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			msg := m.one(t)
			if msg.env.Sender != tt.sender || tt.ret != "" && msg.env.Ret != tt.ret {
				t.Errorf("sender %q, ret %q", msg.env.Sender, msg.env.Ret)
			}
			if len(msg.env.Rcpts) == 0 {
				t.Error("no recipients")
			}
			for _, r := range msg.env.Rcpts {
				if r.Last.Status != tt.status || r.Last.Detail == "" || r.Bounced {
					t.Errorf("recipient %+v", r)
				}
			}
			if !strings.Contains(msg.content, tt.holds) || len(msg.content) > tt.size {
				t.Errorf("%d octets: %.1000q", len(msg.content), msg.content)
			}
			wantNames(t, e.dir, 0)
			wantNames(t, filepath.Join(filepath.Dir(d.Path), "corrupt"), 0)
			if log.Len() > 0 {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestDropPanicIsPutAside(t *testing.T) {
	d := dropFolder(t)
	m := new(memory)
	m.onCommit = func(spool.ID) { panic("poison") }
	e, log := once(newIntake(m), d)
	leave(t, d, plain, "Subject: s\r\n\r\n")
	if err := e.scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.wantNothing(t)
	wantNames(t, e.dir, 0)
	wantNames(t, filepath.Join(filepath.Dir(d.Path), "corrupt"), 1)
	if !strings.Contains(log.String(), "poison") {
		t.Errorf("log %s", log)
	}
}

func TestDropOwnerIsTheSender(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	d := dropFolder(t)
	m := new(memory)
	e, _ := once(newIntake(m), d)
	name := leave(t, d, spool.Told{Rcpts: to("b@x"), Login: "bob"}, "Subject: s\r\n\r\n")
	if err := os.Chown(filepath.Join(e.dir, name), 1001, -1); err != nil {
		t.Fatal(err)
	}
	e.scan(t.Context())
	if msg := m.one(t); msg.env.Sender != "ann@"+host || msg.env.Origin.UID != 1001 {
		t.Errorf("envelope %+v", msg.env)
	}
}

func TestTooManyStrangeNamesAreNotAllTold(t *testing.T) {
	e, log := once(newIntake(new(memory)), dropFolder(t))
	for n := range maxLeft + 100 {
		e.leave(strings.Repeat("x", n%200)+"."+time.Duration(n).String(), errors.New("strange"))
	}
	if len(e.left) > maxLeft || strings.Count(log.String(), "\n") != maxLeft+1 {
		t.Errorf("%d names kept, %d lines", len(e.left), strings.Count(log.String(), "\n"))
	}
}

// Names that are no messages, made and renamed without end, must not keep the daemon busy nor put off the look at all.
func TestStrangeNamesAreNoBusyLoop(t *testing.T) {
	d := dropFolder(t)
	leave(t, d, plain, "Subject: s\r\n\r\n")
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		m.create = errors.New("out of order")
		e, _ := once(newIntake(m), d)
		names := make(chan []string)
		e.names = names
		e.soon = soon
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.run(ctx, rescanTime) }()
		end := time.After(90 * time.Second)
		batches := 0
		list := []string{"gone"}
		for ended := false; !ended && batches < 10_000; {
			select {
			case names <- list:
				batches++
				if list = nil; batches%2 == 0 { // nil: events were lost
					list = []string{"gone"}
				}
			case <-end:
				ended = true
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if limit := int(90*time.Second/rest+90*time.Second/soon) + 5; batches > limit { // each look may take one too
			t.Errorf("%d batches in 90 s, want at most %d", batches, limit)
		}
		if len(e.left) != 1 {
			t.Error("there was no look at all")
		}
	})
}

func TestLostEventsLeadToALookAtAll(t *testing.T) {
	d := dropFolder(t)
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		e, _ := once(newIntake(m), d)
		names := make(chan []string)
		e.names, e.soon = names, soon
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.run(ctx, rescanTime) }()
		leave(t, d, plain, "Subject: s\r\n\r\n")
		names <- nil
		time.Sleep(2 * soon)
		synctest.Wait()
		m.one(t)
		leave(t, d, plain, "Subject: s\r\n\r\n")
		close(names)
		time.Sleep(blindRescan + rescanTime)
		synctest.Wait()
		if n := len(m.all()); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
		cancel()
		<-done
	})
}

func TestParseEvents(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		padded := append([]byte(name), make([]byte, 16-len(name)%16)...)
		if name == "" {
			padded = nil
		}
		b := make([]byte, unix.SizeofInotifyEvent, unix.SizeofInotifyEvent+len(padded))
		b[4], b[5], b[6], b[7] = byte(mask), byte(mask>>8), byte(mask>>16), byte(mask>>24)
		b[12] = byte(len(padded))
		return append(b, padded...)
	}
	two := append(event(unix.IN_CREATE, "a"), event(unix.IN_MOVED_TO, "b b")...)
	tests := []struct {
		name string
		b    []byte
		want string // "lost" for nil
		ok   bool
	}{
		{"two names", two, "a,b b", true},
		{"a folder", append(event(unix.IN_CREATE|unix.IN_ISDIR, "d"), event(unix.IN_CREATE, "a")...), "a", true},
		{"an overflow", append(two, event(unix.IN_Q_OVERFLOW, "")...), "lost", true},
		{"the folder is gone", event(unix.IN_IGNORED, ""), "", false},
		{"cut short", two[:40], "lost", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, ok := parseEvents(tt.b)
			got := strings.Join(list, ",")
			if list == nil {
				got = "lost"
			}
			if got != tt.want || ok != tt.ok {
				t.Errorf("%q, %v; want %q, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}
