package intake

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpost/spool"
)

// onDisk runs a Server over a spool of files, and gives the client that reaches it.
func onDisk(t testing.TB) (*spool.Dir, spool.Submit) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spool")
	dir, err := spool.Open(path, spool.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(filepath.Join(path, "submit.sock"), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	i := newIntake(nil)
	i.Store, i.Now = dir, time.Now
	s := &Server{Intake: func() *Intake { return i }}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir, spool.Submit{Socket: filepath.Join(path, "submit.sock"), Drop: filepath.Join(path, "drop")}
}

func TestSubmissionReachesTheDisk(t *testing.T) {
	dir, submit := onDisk(t)
	for _, size := range []int{0, 4 << 10, 2 << 20} {
		body := strings.Repeat("line of the body\r\n", size/18)
		id, err := handIn(t, submit, spool.Told{Rcpts: to("bob", "carol@example.com")}, "Subject: s\r\n\r\n"+body)
		if err != nil {
			t.Fatal(err)
		}
		env, n, err := dir.Read(id)
		if err != nil {
			t.Fatal(err)
		}
		r, err := dir.Content(id)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		r.Close()
		if err != nil || int64(len(content)) != n || !strings.HasSuffix(string(content), "\r\n\r\n"+body) {
			t.Errorf("%d octets of content, %v; want %d that end in the body", len(content), err, n)
		}
		if len(env.Rcpts) != 2 || env.Rcpts[0].Addr != "bob@"+host {
			t.Errorf("recipients %+v", env.Rcpts)
		}
	}
}

func TestDropReachesTheDisk(t *testing.T) {
	dir, submit := onDisk(t)
	submit.Socket = ""
	for range 20 {
		if _, err := handIn(t, submit, spool.Told{Rcpts: to("bob")}, "Subject: s\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	i := newIntake(nil)
	i.Store, i.Now = dir, time.Now
	if err := i.EmptyDropOnce(t.Context(), submit.Drop); err != nil {
		t.Fatal(err)
	}
	n := 0
	for s, err := range dir.List(t.Context()) {
		if err != nil || s.Next.IsZero() {
			t.Errorf("%+v, %v", s, err)
		}
		n++
	}
	wantNames(t, filepath.Join(submit.Drop, "new"), 0)
	if n != 20 {
		t.Errorf("%d messages, want 20", n)
	}
}

// BenchmarkSubmit is one submission of 4 KiB through the socket to the disk, without the start of a process.
func BenchmarkSubmit(b *testing.B) {
	content := []byte("To: bob@example.com\r\nSubject: s\r\n\r\n" + strings.Repeat("line of the body\r\n", 226))
	run := func(b *testing.B, submit spool.Submit) error {
		h, err := submit.Submit(b.Context(), spool.Told{Rcpts: to("bob@example.com")})
		if err != nil {
			return err
		}
		if _, err := h.Write(content); err != nil {
			return err
		}
		if err := h.Commit(); err != nil {
			return err
		}
		if h.ID() == "" {
			return fmt.Errorf("it went into drop/")
		}
		return nil
	}
	b.Run("one", func(b *testing.B) {
		_, submit := onDisk(b)
		for b.Loop() {
			if err := run(b, submit); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("eight", func(b *testing.B) {
		_, submit := onDisk(b)
		b.SetParallelism(4) // times GOMAXPROCS
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := run(b, submit); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("memory", func(b *testing.B) { // without the disk
		_, submit := onMemory(b)
		for b.Loop() {
			if err := run(b, submit); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// onMemory is onDisk without the disk.
func onMemory(t testing.TB) (*memory, spool.Submit) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "submit.sock")
	l, err := Listen(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	m := new(memory)
	i := newIntake(m)
	i.Now = time.Now
	s := &Server{Intake: func() *Intake { return i }}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return m, spool.Submit{Socket: path}
}
