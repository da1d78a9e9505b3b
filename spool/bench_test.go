package spool

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var fourKB = strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 64)

// The benchmarks work on the disk that TMPDIR names.
func benchDir(b *testing.B, fs FS) *Dir {
	b.Helper()
	d, err := Open(b.TempDir(), Options{FS: fs, MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d
}

func benchPut(b *testing.B, d *Dir) ID {
	b.Helper()
	w, err := d.Create(b.Context(), "")
	if err == nil {
		_, err = io.WriteString(w, fourKB)
	}
	if err == nil {
		err = w.Commit(Envelope{Sender: "ann@example.org", Rcpts: []Recipient{{Addr: "bob@example.org"}}})
	}
	if err != nil {
		b.Error(err)
	}
	return w.ID()
}

func BenchmarkAccept(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			d := benchDir(b, nil)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						benchPut(b, d)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkDeliver claims, reads and removes.
func BenchmarkDeliver(b *testing.B) {
	d := benchDir(b, noSync{})
	ids := make([]ID, b.N)
	for i := range ids {
		ids[i] = benchPut(b, d)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, id := range ids {
		c, err := d.Claim(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		r, err := c.Open()
		if err != nil {
			b.Fatal(err)
		}
		r.Close()
		if err := c.Remove(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecord notes a delivery, which is synced, or a deferral, which is not.
func BenchmarkRecord(b *testing.B) {
	for name, status := range map[string]Status{"delivered": {2, 0, 0}, "deferred": {4, 4, 1}} {
		b.Run(name, func(b *testing.B) {
			d := benchDir(b, nil)
			c, err := d.Claim(b.Context(), benchPut(b, d))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Release()
			for b.Loop() {
				if err := c.Record([]RcptResult{{Result: Result{Status: status, At: moment}}}, moment); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchQueue is a spool of many messages of which a third has been deferred.
func benchQueue(b *testing.B, many int) *Dir {
	b.Helper()
	d := benchDir(b, noSync{})
	for i := range many {
		id := benchPut(b, d)
		if i%3 == 0 {
			benchDefer(b, d, id)
		}
	}
	return d
}

func BenchmarkList(b *testing.B) {
	const many = 20_000
	benchListing(b, many, benchQueue(b, many).List)
}

// BenchmarkEntries is what mailq waits for.
func BenchmarkEntries(b *testing.B) {
	for _, many := range []int{20_000, 100_000} {
		b.Run(fmt.Sprintf("%d messages", many), func(b *testing.B) { benchListing(b, many, benchQueue(b, many).Entries) })
	}
}

// benchListing takes the time to the first message and to the last.
func benchListing[T any](b *testing.B, many int, list func(context.Context) iter.Seq2[T, error]) {
	b.Helper()
	b.ReportAllocs()
	var first time.Duration
	for b.Loop() {
		n, start := 0, time.Now()
		for _, err := range list(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == 1 {
				first += time.Since(start)
			}
		}
		if n != many {
			b.Fatalf("%d messages are listed", n)
		}
	}
	b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "ms-to-first")
	b.ReportMetric(float64(many*b.N)/b.Elapsed().Seconds(), "messages/s")
}

func benchDefer(b *testing.B, d *Dir, id ID) {
	b.Helper()
	c, err := d.Claim(b.Context(), id)
	if err == nil {
		err = c.Record([]RcptResult{{Result: Result{Status: Status{4, 4, 1}, At: moment}}}, moment)
	}
	if err != nil {
		b.Fatal(err)
	}
	c.Release()
}

// noSync is the host's file system without its syncs, to prepare many messages.
type noSync struct{ osFS }

type noSyncFile struct{ *osFile }

func (noSync) CreateTemp(dir string) (FSFile, error) {
	f, err := osFS{}.CreateTemp(dir)
	if err != nil {
		return nil, err
	}
	return noSyncFile{f.(*osFile)}, nil
}

func (noSync) Link(f FSFile, path string) error { return osFS{}.Link(f.(noSyncFile).osFile, path) }

func (noSync) SyncDir(string) error { return nil }

func (noSyncFile) Sync() error { return nil }
