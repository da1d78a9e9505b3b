package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"signpost/spool"
	"signpost/spool/spooltest"
)

// leave puts a message into drop/ and gives its name there.
func leave(t testing.TB, drop spool.Drop, content string) string {
	t.Helper()
	before, _ := drop.List()
	h, err := drop.Submit(context.Background(), spool.Told{Name: "ann", Rcpts: envelope("bob").Rcpts})
	if err == nil {
		_, err = io.WriteString(h, content)
	}
	if err == nil {
		err = h.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	after, err := drop.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range after {
		if !strings.Contains(strings.Join(before, " "), name) {
			return name
		}
	}
	t.Fatal("the message is not in drop/new")
	return ""
}

// dropFolder makes a spool and gives its drop/.
func dropFolder(t testing.TB) spool.Drop {
	t.Helper()
	path := t.TempDir()
	d, err := spool.Open(path, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return spool.Drop{Path: filepath.Join(path, "drop")}
}

func TestWhatIsLeftInDropIsTakenAsItWas(t *testing.T) {
	onDisk := spooltest.NewDisk(spooltest.Strict, "/")
	onDisk.NoTemp = true
	open(t, root, spool.Options{FS: onDisk}).Close()
	for name, drop := range map[string]spool.Drop{
		"on the host":            dropFolder(t),
		"without nameless files": {Path: root + "/drop", FS: onDisk},
	} {
		for _, content := range []string{"", "\r\n", strings.Repeat("0123456789abcde\n", 100_000)} {
			at := leave(t, drop, content)
			var ids []spool.ID
			for range 2 {
				d, err := drop.Open(at, int64(len(content)))
				if err != nil {
					t.Fatal(name, err)
				}
				got, err := io.ReadAll(d.Content())
				if err != nil || string(got) != content {
					t.Errorf("%s: content of %d octets comes back as %d, %v", name, len(content), len(got), err)
				}
				if d.Size != int64(len(content)) || d.Told.Name != "ann" || len(d.Told.Rcpts) != 1 || !d.ID.Valid() {
					t.Errorf("%s: dropped is %+v", name, d)
				}
				if drop.FS == nil && d.UID != os.Getuid() {
					t.Errorf("owner is %d, want %d", d.UID, os.Getuid())
				}
				ids = append(ids, d.ID)
				d.Close()
			}
			if ids[0] != ids[1] {
				t.Errorf("%s: the same file is called %s and %s", name, ids[0], ids[1])
			}
			if err := errors.Join(drop.Remove(at), drop.Sync()); err != nil {
				t.Error(err)
			}
		}
		if names, err := drop.List(); len(names) != 0 || err != nil {
			t.Errorf("%s: drop/new holds %q, %v", name, names, err)
		}
	}
}

func TestAnUnfinishedHandoverLeavesNothing(t *testing.T) {
	drop := dropFolder(t)
	for _, size := range []int{10, 1 << 20} {
		h, err := drop.Submit(t.Context(), spool.Told{})
		if err != nil {
			t.Fatal(err)
		}
		h.Write(make([]byte, size))
		if err := h.Abort(); err != nil {
			t.Error(err)
		}
		if err := h.Commit(); err == nil {
			t.Error("Commit after Abort: no error")
		}
	}
	for _, dir := range []string{"new", "tmp"} {
		if names, err := os.ReadDir(filepath.Join(drop.Path, dir)); len(names) != 0 || err != nil {
			t.Errorf("drop/%s holds %v, %v", dir, names, err)
		}
	}
	gone := spool.Drop{Path: filepath.Join(drop.Path, "not-there")}
	h, err := gone.Submit(t.Context(), spool.Told{})
	if err == nil {
		err = h.Commit()
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the folder: %v", err)
	}
}

func TestWhatIsPlantedInDropIsNotBelieved(t *testing.T) {
	drop := dropFolder(t)
	in := func(name string) string { return filepath.Join(drop.Path, "new", name) }
	good := leave(t, drop, "content")
	whole, err := os.ReadFile(in(good))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(whole, []byte("content"), []byte("CONTENT"), 1)
	other := filepath.Join(drop.Path, "other")
	for _, err := range []error{
		os.WriteFile(in("text"), []byte("Subject: x\n\nx\n"), 0o640),
		os.WriteFile(in("empty"), nil, 0o640),
		os.WriteFile(in("cut"), whole[:len(whole)-1], 0o640),
		os.WriteFile(in("changed"), changed, 0o640),
		os.Symlink("/etc/passwd", in("link")),
		os.Symlink(good, in("link to a message")),
		os.Mkdir(in("folder"), 0o700),
		syscall.Mkfifo(in("fifo"), 0o640),
		os.WriteFile(other, whole, 0o640),
		os.Link(other, in("second name")),
		os.WriteFile(in("sparse"), whole[:64], 0o640),
		os.Truncate(in("sparse"), 1<<40),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"text", "empty", "cut", "link", "link to a message", "folder", "fifo", "second name", "sparse",
	} {
		if _, err := drop.Open(name, 0); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "../tmp", "/etc/passwd", "a/b"} {
		if _, err := drop.Open(name, 0); err == nil {
			t.Errorf("%q: no error", name)
		}
		if drop.Remove(name) == nil {
			t.Errorf("removing %q: no error", name)
		}
		if _, err := drop.Reject(name); err == nil {
			t.Errorf("rejecting %q: no error", name)
		}
	}
	if _, err := drop.Open(good, 6); !errors.Is(err, spool.ErrTooBig) {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := spool.OpenDropped(filepath.Join(drop.Path, "new"), "gone", 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
	d, err := drop.Open("changed", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := io.ReadAll(d.Content()); !errors.Is(err, spool.ErrCorrupt) {
		t.Errorf("changed content: %q, %v", got, err)
	}
}

// TestAFileThatIsChangedWhileItIsRead lets the owner, who still has it open, write to it.
func TestAFileThatIsChangedWhileItIsRead(t *testing.T) {
	drop := dropFolder(t)
	name := leave(t, drop, strings.Repeat("x", 100_000))
	d, err := drop.Open(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := io.CopyN(io.Discard, d.Content(), 50_000); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(drop.Path, "new", name), 80_000); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, d.Content()); !errors.Is(err, spool.ErrCorrupt) {
		t.Errorf("error is %v, want ErrCorrupt", err)
	}
}

func TestRejectedFilesMoveToCorrupt(t *testing.T) {
	drop := dropFolder(t)
	if err := os.WriteFile(filepath.Join(drop.Path, "new", "x"), []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	to, err := drop.Reject("x")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(to); string(b) != "x" || filepath.Base(filepath.Dir(to)) != "corrupt" {
		t.Errorf("%s holds %q, %v", to, b, err)
	}
}

func TestOldFilesAreSweptFromDropTmp(t *testing.T) {
	drop := dropFolder(t)
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": 37 * time.Hour, "young": 35 * time.Hour} {
		path := filepath.Join(drop.Path, "tmp", name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, now, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	old := now.Add(-37 * time.Hour)
	in := func(name string) string { return filepath.Join(drop.Path, "tmp", name) }
	for _, err := range []error{
		os.Mkdir(in("folder"), 0o700), os.Chtimes(in("folder"), old, old), os.Symlink("/nowhere", in("link")), syscall.Mkfifo(in("fifo"), 0o600),
		os.Chtimes(in("fifo"), old, old),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := drop.Sweep(now); err != nil {
		t.Error(err)
	}
	names, err := os.ReadDir(filepath.Join(drop.Path, "tmp"))
	if len(names) != 3 || names[0].Name() != "folder" || names[1].Name() != "link" || names[2].Name() != "young" {
		t.Errorf("drop/tmp holds %v, %v", names, err)
	}
}

// TestAStrangerMayOnlyLeaveMail runs this test again as a user without any rights in the spool.
func TestAStrangerMayOnlyLeaveMail(t *testing.T) {
	if path := os.Getenv("SPOOL_TEST_STRANGER"); path != "" {
		stranger(t, spool.Drop{Path: path})
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	path := t.TempDir()
	drop := spool.Drop{Path: path + "/spool/drop"}
	open(t, path+"/spool", spool.Options{}).Close()
	secret := leave(t, drop, "secret")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(path+"/test", self, 0o755), os.Chmod(path, 0o711), os.Chmod(filepath.Dir(path), 0o711),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), path+"/test", "-test.run=^TestAStrangerMayOnlyLeaveMail$")
	cmd.Dir = path
	cmd.Env = []string{"SPOOL_TEST_STRANGER=" + drop.Path, "SPOOL_TEST_SECRET=" + secret}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4711, Gid: 4711}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	names, err := drop.List()
	if err != nil || len(names) != 2 {
		t.Fatalf("drop/new holds %q, %v", names, err)
	}
	for _, name := range names {
		if name == secret {
			continue
		}
		d, err := drop.Open(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if d.UID != 4711 {
			t.Errorf("owner is %d", d.UID)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(drop.Path, "new", name), &st); err != nil || st.Mode != syscall.S_IFREG|0o640 ||
			int(st.Gid) != os.Getegid() {
			t.Errorf("mode %o, group %d, %v", st.Mode, st.Gid, err)
		}
	}
}

// stranger leaves a message and tries what must fail.
func stranger(t *testing.T, drop spool.Drop) {
	syscall.Umask(0o777)
	h, err := drop.Submit(t.Context(), spool.Told{Rcpts: envelope("bob").Rcpts})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(h, "content")
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	secret := os.Getenv("SPOOL_TEST_SECRET")
	path := filepath.Join(drop.Path, "new", secret)
	_, listing := drop.List()
	_, opening := drop.Open(secret, 0)
	_, inSpool := os.ReadDir(filepath.Dir(drop.Path) + "/new")
	for what, err := range map[string]error{
		"listing":           listing,
		"opening":           opening,
		"listing the spool": inSpool,
		"removing":          drop.Remove(secret),
		"renaming":          os.Rename(path, path+"x"),
		"linking":           os.Link(path, filepath.Join(drop.Path, "new", "mine")),
	} {
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
