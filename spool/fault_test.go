package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"signpost/spool"
	"signpost/spool/spooltest"
)

// faultRun is one pass of a small story over a disk on which one call fails.
type faultRun struct {
	fs       *spooltest.Fault
	ids      map[string]spool.ID // what Commit accepted, by content
	settled  bool                // Record with a final result has returned nil for the first message
	removing bool
	removed  bool
	errs     []error
}

// story accepts a small and a large message, delivers one of two recipients of the first, defers the other, then
// delivers it. It goes on after an error as far as it makes sense.
func (r *faultRun) story() error {
	d, err := spool.Open(root, spool.Options{FS: r.fs})
	if err != nil {
		return err
	}
	ctx := context.Background()
	small, large := "small\r\n", strings.Repeat("0123456789abcde\n", 20_000)
	for _, content := range []string{small, large} {
		r.note(r.accept(ctx, d, content))
	}
	for range d.List(ctx) {
	}
	if id, ok := r.ids[small]; ok {
		r.note(r.work(ctx, d, id, false))
		r.note(r.work(ctx, d, id, true))
	}
	r.note(d.Close())
	return errors.Join(r.errs...)
}

func (r *faultRun) note(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

func (r *faultRun) accept(ctx context.Context, d *spool.Dir, content string) error {
	w, err := d.Create(ctx, "")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, content); err != nil {
		return errors.Join(err, w.Abort())
	}
	if err := w.Commit(envelope("a@example.org", "b@example.org")); err != nil {
		return err
	}
	r.ids[content] = w.ID()
	return nil
}

func (r *faultRun) work(ctx context.Context, d *spool.Dir, id spool.ID, last bool) error {
	c, err := d.Claim(ctx, id)
	if err != nil {
		return err
	}
	defer c.Release()
	if last {
		r.removing = true
		err = c.Remove()
		r.removed = err == nil
		return err
	}
	results := []spool.RcptResult{
		{Rcpt: 0, Result: spool.Result{Status: sent2xx, At: instant}},
		{Rcpt: 1, Result: spool.Result{Status: soft4xx, At: instant}},
	}
	err = c.Record(results, instant)
	if err == nil {
		r.settled = true
	} else if !errors.Is(err, spool.ErrUnsafe) && c.Envelope().Tries != 0 {
		err = fmt.Errorf("the envelope changed although nothing was recorded: %w", err)
	}
	return err
}

// verify looks at the disk without the fault, as the next daemon will find it.
func (r *faultRun) verify(t *testing.T, disk spool.FS) {
	t.Helper()
	d := open(t, root, spool.Options{FS: disk})
	defer d.Close()
	found := map[string]spool.Envelope{}
	for sum, err := range d.List(t.Context()) {
		if err != nil {
			t.Error(err)
			continue
		}
		r, err := d.Content(sum.ID)
		if err != nil {
			t.Error(err)
			continue
		}
		content, err := io.ReadAll(r)
		r.Close()
		env, _, err2 := d.Read(sum.ID)
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
		}
		found[string(content)] = env
	}
	for content, id := range r.ids {
		env, ok := found[content]
		first := len(content) < 100
		switch {
		case !ok && !(first && r.removing):
			t.Errorf("message %s of %d octets was accepted and is lost", id, len(content))
		case ok && first && r.removed:
			t.Error("the message was removed and is there")
		case ok && first && r.settled && !env.Rcpts[0].Settled():
			t.Error("the result was recorded and is lost")
		}
		delete(found, content)
	}
	// A name that could neither be synced nor removed is the one case in which a refused message may be found.
	for content := range found {
		if r.fs.Stay && r.fs.Failed == "SyncDir" {
			continue
		}
		t.Errorf("a message of %d octets was refused and is there", len(content))
	}
	for _, dir := range []string{"tmp", "corrupt"} {
		if names, _ := disk.ReadDir(root + "/" + dir); len(names) != 0 {
			t.Errorf("%s holds %q", dir, names)
		}
	}
}

func TestAnyCallMayFail(t *testing.T) {
	for _, tt := range []struct {
		err          error
		stay, noTemp bool
	}{
		{err: syscall.EIO},
		{err: syscall.EIO, noTemp: true},
		{err: syscall.ENOSPC, stay: true},
		{err: syscall.ENOSPC, noTemp: true},
		{err: syscall.EINTR},
		{err: syscall.EROFS, stay: true, noTemp: true},
		{err: io.ErrShortWrite},
	} {
		t.Run(fmt.Sprintf("%v stay %v noTemp %v", tt.err, tt.stay, tt.noTemp), func(t *testing.T) {
			for at, more := 1, true; more; at++ {
				disk := spooltest.NewDisk(spooltest.Strict, "/")
				disk.NoTemp = tt.noTemp
				run := &faultRun{ids: map[string]spool.ID{}}
				run.fs = &spooltest.Fault{FS: disk, At: at, Err: tt.err, Stay: tt.stay}
				err := run.story()
				more = run.fs.Calls() >= at
				name := fmt.Sprintf("call %d, %s", at, run.fs.Failed)
				if err == nil && tt.stay && more && at < run.fs.Calls()-3 {
					t.Errorf("%s: nobody learns of it", name)
				}
				if err != nil && !errors.Is(err, tt.err) {
					t.Errorf("%s: the error is %v", name, err)
				}
				if errors.Is(err, syscall.ENOSPC) && strings.HasPrefix(run.fs.Failed, "Write") &&
					!errors.Is(err, spool.ErrNoSpace) {
					t.Errorf("%s: %v is not ErrNoSpace", name, err)
				}
				t.Run(name, func(t *testing.T) { run.verify(t, disk) })
				if at > 500 {
					t.Fatal("it does not end")
				}
			}
		})
	}
}

func TestAFailedSyncIsFinal(t *testing.T) {
	// The first file is given up, a second one is written; when its sync fails too, the message is refused.
	for _, stay := range []bool{false, true} {
		disk := spooltest.NewDisk(spooltest.Strict, "/")
		once := &syncFails{FS: disk, left: 1}
		if stay {
			once.left = 100
		}
		d := open(t, root, spool.Options{FS: once})
		w, err := d.Create(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, "content")
		err = w.Commit(envelope("bob@example.org"))
		if stay != (err != nil) || stay && !errors.Is(err, syscall.EIO) {
			t.Errorf("stay %v: %v", stay, err)
		}
		if once.again {
			t.Error("a file whose sync has failed was synced again")
		}
		if want := 2; once.tried != want {
			t.Errorf("stay %v: %d files were synced, want %d", stay, once.tried, want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// syncFails is an FS on which the first syncs of nameless files fail.
type syncFails struct {
	spool.FS
	left, tried int
	again       bool
}

type syncFailsFile struct {
	spool.FSFile
	fs     *syncFails
	failed bool
}

func (s *syncFails) CreateTemp(dir string) (spool.FSFile, error) {
	f, err := s.FS.CreateTemp(dir)
	return &syncFailsFile{FSFile: f, fs: s}, err
}

func (s *syncFails) Link(f spool.FSFile, path string) error {
	return s.FS.Link(f.(*syncFailsFile).FSFile, path)
}

func (f *syncFailsFile) Sync() error {
	f.fs.again = f.fs.again || f.failed
	f.fs.tried++
	if f.fs.left == 0 {
		return f.FSFile.Sync()
	}
	f.fs.left--
	f.failed = true
	return syscall.EIO
}

// TestNothingIsClaimedOnceAnOutcomeIsInDoubt makes the sync of a record fail.
func TestNothingIsClaimedOnceAnOutcomeIsInDoubt(t *testing.T) {
	fault := &spooltest.Fault{FS: spooltest.NewDisk(spooltest.Strict, "/"), Err: syscall.EIO}
	d := open(t, root, spool.Options{FS: fault})
	defer d.Close()
	var ids []spool.ID
	for range 2 {
		w, err := d.Create(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(envelope("bob@example.org")); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, w.ID())
	}
	c, err := d.Claim(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	results := []spool.RcptResult{{Result: spool.Result{Status: sent2xx}}}
	fault.At = fault.Calls() + 2 // WriteAt, SyncData
	if err := c.Record(results, instant); !errors.Is(err, spool.ErrUnsafe) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Record: %v", err)
	}
	if err := c.Record(results, instant); !errors.Is(err, spool.ErrUnsafe) {
		t.Errorf("second Record: %v", err)
	}
	c.Release()
	if _, err := d.Claim(t.Context(), ids[1]); !errors.Is(err, spool.ErrUnsafe) {
		t.Errorf("Claim: %v", err)
	}
	if _, err := d.Create(t.Context(), ""); err != nil {
		t.Errorf("Create: %v", err)
	}
}

// TestANamelessFileThatGetsNoName is about file systems that make nameless files and then refuse to link them.
func TestANamelessFileThatGetsNoName(t *testing.T) {
	for _, size := range []int{10, 1 << 20} {
		disk := spooltest.NewDisk(spooltest.Strict, "/")
		d := open(t, root, spool.Options{FS: noLink{disk}})
		content := strings.Repeat("x", size)
		c, err := d.Claim(t.Context(), put(t, d, content, envelope("bob@example.org")))
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); string(b) != content || err != nil {
			t.Errorf("content of %d octets comes back as %d, %v", size, len(b), err)
		}
		r.Close()
		c.Release()
		if names, _ := disk.ReadDir(root + "/tmp"); len(names) != 0 {
			t.Errorf("tmp/ holds %q", names)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

type noLink struct{ spool.FS }

func (noLink) Link(spool.FSFile, string) error { return syscall.EPERM }
