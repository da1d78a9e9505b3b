package compat_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"testing"
	"time"

	"signpost/compat"
	"signpost/mta/intake"
	"signpost/spool"
)

// serveQueue answers on a socket with a queue of many messages, and gives the client.
func serveQueue(t testing.TB, queue func(context.Context, int) iter.Seq2[spool.Entry, error]) spool.Submit {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "submit.sock")
	l, err := intake.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s := &intake.Server{Intake: func() *intake.Intake { return &intake.Intake{} }, Queue: queue}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return spool.Submit{Socket: socket}
}

// many is a queue of n messages, each of which waits for a host that said why.
func many(n int) func(context.Context, int) iter.Seq2[spool.Entry, error] {
	e := entries()[0]
	e.Active = false
	return func(ctx context.Context, _ int) iter.Seq2[spool.Entry, error] {
		return func(yield func(spool.Entry, error) bool) {
			for i := range n {
				e.ID = spool.ID(fmt.Sprintf("01KB9ZJ3F4%08d", i))
				if ctx.Err() != nil || !yield(e, nil) {
					return
				}
			}
		}
	}
}

// firstWrite keeps when something was first written, and how much in all.
type firstWrite struct {
	start time.Time
	first time.Duration
	n     int
}

func (w *firstWrite) Write(p []byte) (int, error) {
	if w.n == 0 {
		w.first = time.Since(w.start)
	}
	w.n += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// BenchmarkMailq lists a long queue through the socket. How long the daemon reads its files is measured in package
// spool.
func BenchmarkMailq(b *testing.B) {
	for _, n := range []int{20_000, 100_000} {
		b.Run(fmt.Sprintf("%d messages", n), func(b *testing.B) {
			client := serveQueue(b, many(n))
			config := filepath.Join(b.TempDir(), "signpost.toml")
			b.ReportAllocs()
			var first time.Duration
			for b.Loop() {
				out := &firstWrite{start: time.Now()}
				status := compat.Main(b.Context(), compat.Env{Args: []string{"mailq"}, Stdout: out, Stderr: out, Spool: client, Config: config})
				if status != 0 || out.n < 7*n {
					b.Fatalf("status %d, %d lines", status, out.n)
				}
				first += out.first
			}
			b.ReportMetric(float64(first.Microseconds())/float64(b.N), "µs-to-first")
		})
	}
}
