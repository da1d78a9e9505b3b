package spool_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"signpost/spool"
	"signpost/spool/spooltest"
)

// open opens a spool and fails the test on anything it warns of.
func open(t *testing.T, path string, opt spool.Options) *spool.Dir {
	t.Helper()
	if opt.Warn == nil {
		opt.Warn = func(err error) { t.Logf("warning: %v", err) }
	}
	if opt.Corrupt == nil {
		opt.Corrupt = func(id spool.ID, path string, err error) { t.Errorf("corrupt: %s: %v", path, err) }
	}
	if opt.MinFree == 0 {
		opt.MinFree = -1
	}
	d, err := spool.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirKeepsTheContract(t *testing.T) {
	spooltest.Run(t, func(t *testing.T, path string) spool.Store { return open(t, path, spool.Options{}) })
}

func TestDirKeepsTheContractWithoutNamelessFiles(t *testing.T) {
	disk := spooltest.NewDisk(spooltest.Strict, "/")
	disk.NoTemp = true
	spooltest.Run(t, func(t *testing.T, path string) spool.Store {
		for _, dir := range parents(path) {
			disk.Mkdir(dir, 0o700)
		}
		return open(t, path, spool.Options{FS: disk})
	})
}

// parents gives the folders above path, the highest first.
func parents(path string) []string {
	var list []string
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			list = append(list, path[:i])
		}
	}
	return list
}

// put commits a message.
func put(t testing.TB, d *spool.Dir, content string, env spool.Envelope) spool.ID {
	t.Helper()
	w, err := d.Create(t.Context(), spooltest.NextID())
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Commit(env)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.ID()
}

func TestTheFoldersHaveTheirModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spool")
	for range 2 {
		if err := open(t, path, spool.Options{}).Close(); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]fs.FileMode{
			"": 0o711, "new": 0o700, "cur": 0o700, "tmp": 0o700, "corrupt": 0o700, "history": 0o700, "drop": 0o711,
			"drop/tmp": 0o733 | fs.ModeSetgid | fs.ModeSticky, "drop/new": 0o733 | fs.ModeSetgid | fs.ModeSticky,
		} {
			info, err := os.Stat(filepath.Join(path, name))
			if err != nil || info.Mode() != want|fs.ModeDir {
				t.Errorf("%s/ has mode %v, want %v, %v", name, info.Mode(), want|fs.ModeDir, err)
			}
		}
		if err := os.Chmod(filepath.Join(path, "new"), 0o777); err != nil { // is mended at the next start
			t.Fatal(err)
		}
	}
}

func TestASecondDaemonIsRefused(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, spool.Options{})
	if _, err := spool.Open(path, spool.Options{}); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("error is %v, want ErrLocked", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, spool.Options{}).Close()
}

func TestAFolderThatIsALinkIsRefused(t *testing.T) {
	path := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(path, "new")); err != nil {
		t.Fatal(err)
	}
	if d, err := spool.Open(path, spool.Options{}); err == nil {
		d.Close()
		t.Error("no error")
	}
}

// spaceFS has as much space as it says.
type spaceFS struct {
	spool.FS
	space spool.Space
	dev   uint64 // of drop/
}

func (s spaceFS) Space(string) (spool.Space, error) { return s.space, nil }

func (s spaceFS) Stat(path string) (spool.Info, error) {
	info, err := s.FS.Stat(path)
	if strings.HasSuffix(path, "/drop") {
		info.Dev += s.dev
	}
	return info, err
}

func TestNothingIsAcceptedWithoutSpace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		space   spool.Space
		minFree int64
		want    error
	}{
		{"enough", spool.Space{Free: 64 << 20, Inodes: 1000}, 0, nil},
		{"octets", spool.Space{Free: 64<<20 - 1, Inodes: 1000}, 0, spool.ErrNoSpace},
		{"octets as configured", spool.Space{Free: 1 << 20, Inodes: 1000}, 1 << 20, nil},
		{"inodes", spool.Space{Free: 1 << 40, Inodes: 999}, 0, spool.ErrNoSpace},
		{"a file system without inodes", spool.Space{Free: 1 << 40, Inodes: -1}, 0, nil},
		{"no limit", spool.Space{}, -1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := spaceFS{FS: spooltest.NewDisk(spooltest.Strict, "/"), space: tt.space}
			d, err := spool.Open(root, spool.Options{FS: disk, MinFree: tt.minFree})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if _, err := d.Create(t.Context(), ""); !errors.Is(err, tt.want) {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
		})
	}
}

func TestOpenLooksAtTheFileSystem(t *testing.T) {
	disk := spaceFS{FS: spooltest.NewDisk(spooltest.Strict, "/"), dev: 1}
	if _, err := spool.Open(root, spool.Options{FS: disk}); err == nil {
		t.Error("drop/ on another file system: no error")
	}
	disk.dev, disk.space.Volatile = 0, true
	var warnings []error
	d, err := spool.Open(root, spool.Options{FS: disk, Warn: func(err error) { warnings = append(warnings, err) }})
	if err != nil {
		t.Fatal(err) // also: the lock of the refused spool has been given back
	}
	d.Close()
	if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "memory") {
		t.Errorf("warnings are %v", warnings)
	}
}

func TestDamagedFilesAreMovedAwayAndStopNothing(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, spool.Options{})
	good := put(t, d, "good", envelope("bob@example.org"))
	cut, changed, wrong, empty := put(t, d, "cut", envelope("b")), put(t, d, "changed", envelope("b")),
		spool.NewID(instant), spool.NewID(instant)
	folder, link, fifo := spool.NewID(instant), spool.NewID(instant), spool.NewID(instant)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	in := func(id spool.ID) string { return filepath.Join(path, "new", string(id)) }
	for _, err := range []error{
		os.Truncate(in(cut), 80),
		overwrite(in(changed), 64, "CHANGED"),
		os.WriteFile(in(wrong), []byte("Subject: not one of ours\n"), 0o600),
		os.WriteFile(in(empty), nil, 0o600),
		os.Mkdir(in(folder), 0o700),
		os.Symlink("/etc/passwd", in(link)),
		syscall.Mkfifo(in(fifo), 0o600),
		os.WriteFile(in("README"), nil, 0o600),
		os.WriteFile(filepath.Join(path, "cur", "x"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	corrupt, warned := map[spool.ID]string{}, 0
	d = open(t, path, spool.Options{
		Corrupt: func(id spool.ID, to string, err error) {
			if !errors.Is(err, spool.ErrCorrupt) {
				t.Errorf("%s: %v", id, err)
			}
			corrupt[id] = to
		},
		Warn: func(err error) { warned++ },
	})
	defer d.Close()
	for range 2 {
		var listed []spool.ID
		for sum, err := range d.List(t.Context()) {
			if err == nil {
				listed = append(listed, sum.ID)
			} else if !errors.Is(err, spool.ErrCorrupt) {
				t.Error(err)
			}
		}
		if want := []spool.ID{good, changed}; !slices.Equal(listed, want) {
			t.Errorf("listed: %v, want %v", listed, want)
		}
	}
	// What only the checksum of the content shows is found when it is taken.
	if _, err := d.Claim(t.Context(), changed); !errors.Is(err, spool.ErrCorrupt) {
		t.Errorf("claiming changed content: %v", err)
	}
	if _, err := d.Claim(t.Context(), changed); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("claiming it again: %v", err)
	}
	for _, id := range []spool.ID{cut, changed, wrong, empty, folder, link, fifo} {
		want := filepath.Join(path, "corrupt", string(id))
		if _, err := os.Lstat(want); err != nil || corrupt[id] != want {
			t.Errorf("%s: told %q, %v", id, corrupt[id], err)
		}
	}
	if warned != 2 {
		t.Errorf("%d warnings of names that do not belong here, want each once", warned)
	}
}

func overwrite(path string, at int64, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), at)
	return errors.Join(err, f.Close())
}

// TestLargeContentIsVerified damages content that is read apart from the records.
func TestLargeContentIsVerified(t *testing.T) {
	path := t.TempDir()
	told := 0
	d := open(t, path, spool.Options{Corrupt: func(spool.ID, string, error) { told++ }})
	defer d.Close()
	id := put(t, d, strings.Repeat("x", 1<<20), envelope("bob@example.org"))
	c, err := d.Claim(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
	id = put(t, d, strings.Repeat("x", 1<<20), envelope("bob@example.org"))
	if err := overwrite(filepath.Join(path, "new", string(id)), 500_000, "y"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Claim(t.Context(), id); !errors.Is(err, spool.ErrCorrupt) || told != 1 {
		t.Errorf("claiming changed content: %v, told %d times", err, told)
	}
}

func TestADeferredMessageMovesToCur(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, spool.Options{})
	defer d.Close()
	id := put(t, d, "content", envelope("a@example.org", "b@example.org"))
	for _, status := range []spool.Status{soft4xx, soft4xx, sent2xx} {
		c, err := d.Claim(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Record([]spool.RcptResult{{Result: spool.Result{Status: status}}}, instant); err != nil {
			t.Fatal(err)
		}
		if err := c.Release(); err != nil {
			t.Fatal(err)
		}
		if names, _ := filepath.Glob(path + "/cur/??/" + string(id)); len(names) != 1 {
			t.Errorf("cur/ holds %q", names)
		}
	}
	if names, _ := os.ReadDir(path + "/new"); len(names) != 0 {
		t.Errorf("new/ holds %v", names)
	}
	c, err := d.Claim(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(path + "/cur/??/*"); len(names) != 0 {
		t.Errorf("cur/ holds %q", names)
	}
}

// TestTwoNamesOfOneFileAreOneMessage is about a crash between link and unlink, where there is no RENAME_NOREPLACE.
// heldFS keeps Claim of a message that is not there waiting until Commit has looked for it.
type heldFS struct {
	spool.FS
	path           string
	opened, looked chan struct{}
	once           *sync.Once
}

func (h heldFS) Open(path string, write bool) (spool.FSFile, error) {
	if path == h.path {
		close(h.opened)
		<-h.looked
	}
	return h.FS.Open(path, write)
}

func (h heldFS) Stat(path string) (spool.Info, error) {
	if path == h.path {
		h.once.Do(func() { close(h.looked) })
	}
	return h.FS.Stat(path)
}

// Who is told ErrExists forgets the message: a Claim that finds nothing must not be taken for one.
func TestAClaimOfNothingIsNoMessage(t *testing.T) {
	id := spool.DerivedID(time.Unix(1e9, 0), "a")
	h := heldFS{spooltest.NewDisk(spooltest.Strict, "/"), "/s/new/" + string(id), make(chan struct{}),
		make(chan struct{}), new(sync.Once)}
	h.FS.Mkdir("/s", 0o700)
	d := open(t, "/s", spool.Options{FS: h})
	defer d.Close()
	w, err := d.Create(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	claimed := make(chan error, 1)
	go func() {
		_, err := d.Claim(t.Context(), id)
		claimed <- err
	}()
	<-h.opened
	if err := w.Commit(envelope("bob@example.org")); err != nil {
		t.Error(err)
	}
	h.once.Do(func() { close(h.looked) })
	if err := <-claimed; !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("claiming what is not there: %v", err)
	}
}

func TestTwoNamesOfOneFileAreOneMessage(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, spool.Options{})
	defer d.Close()
	id := put(t, d, "content", envelope("a@example.org"))
	c, err := d.Claim(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Record([]spool.RcptResult{{Result: spool.Result{Status: soft4xx}}}, instant); err != nil {
		t.Fatal(err)
	}
	c.Release()
	names, _ := filepath.Glob(path + "/cur/??/" + string(id))
	if err := os.Link(names[0], filepath.Join(path, "new", string(id))); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range d.List(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if left, _ := os.ReadDir(path + "/new"); n != 1 || len(left) != 0 {
		t.Errorf("%d are listed, new/ holds %v", n, left)
	}
	if c, err = d.Claim(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	c.Remove()
}

func TestLeftoversInTmpAreCleared(t *testing.T) {
	path := t.TempDir()
	open(t, path, spool.Options{}).Close()
	if err := os.WriteFile(path+"/tmp/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path, spool.Options{}).Close()
	if names, _ := os.ReadDir(path + "/tmp"); len(names) != 0 {
		t.Errorf("tmp/ holds %v", names)
	}
}

// TestRemovalsShareASync removes many and counts the syncs of new/.
func TestRemovalsShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewDisk(spooltest.Strict, "/")
		d := open(t, root, spool.Options{FS: disk})
		var ids []spool.ID
		for range 20 {
			ids = append(ids, put(t, d, "content", envelope("bob@example.org")))
		}
		var syncs atomic.Int32
		disk.After = func(op string) {
			if strings.HasPrefix(op, "syncdir") {
				syncs.Add(1)
			}
		}
		for _, id := range ids {
			c, err := d.Claim(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Remove(); err != nil {
				t.Fatal(err)
			}
		}
		if n := syncs.Load(); n != 0 {
			t.Errorf("%d syncs at once", n)
		}
		<-time.After(50 * time.Millisecond)
		synctest.Wait()
		if n := syncs.Load(); n != 1 {
			t.Errorf("%d syncs after 50 ms, want 1", n)
		}
		if err := d.Close(); err != nil || syncs.Load() != 1 {
			t.Errorf("%d syncs after Close, %v", syncs.Load(), err)
		}
	})
}

func TestPeekChangesNothing(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, spool.Options{})
	defer d.Close() // it needs no lock
	a, b := put(t, d, "a", envelope("a@example.org")), put(t, d, "bb", envelope("b@example.org"))
	if err := os.WriteFile(filepath.Join(path, "new", string(spool.NewID(instant))), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := spool.Drop{Path: path + "/drop"}.Submit(t.Context(), spool.Told{Rcpts: envelope("c").Rcpts})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var got []string
		bad := 0
		for entry, err := range spool.Peek(path) {
			if err != nil {
				bad++
				continue
			}
			got = append(got, fmt.Sprintf("%s %d %s", entry.Envelope.Origin.Via, entry.Size, entry.Envelope.Rcpts[0].Addr))
			if entry.Envelope.Origin.Via == "" && entry.ID != a && entry.ID != b {
				t.Errorf("entry is %+v", entry)
			}
		}
		slices.Sort(got) // ids of one millisecond have no order
		if want := []string{" 1 a@example.org", " 2 b@example.org", "drop 0 c"}; !slices.Equal(got, want) || bad != 1 {
			t.Errorf("entries are %q and %d errors, want %q and 1", got, bad, want)
		}
	}
}
