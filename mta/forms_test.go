package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"signpost/mta/sign"
	"signpost/spool"
)

// held is a claim of content that is made up, and counts how often it was read.
type held struct {
	spool.Claim // nil: what is not below is not asked
	id          spool.ID
	content     func() io.ReadSeeker
	size        int64
	fail        error // of Open

	mu    sync.Mutex
	opens int
}

func (h *held) ID() spool.ID { return h.id }
func (h *held) Size() int64  { return h.size }
func (h *held) Open() (io.ReadSeekCloser, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opens++
	if h.fail != nil {
		return nil, h.fail
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{h.content(), io.NopCloser(nil)}, nil
}

func heldText(n int, text string) *held {
	return &held{id: spool.DerivedID(moment, fmt.Sprint(n)), size: int64(len(text)),
		content: func() io.ReadSeeker { return strings.NewReader(text) }}
}

func testSigner(t testing.TB) *sign.Signer {
	t.Helper()
	key, err := sign.Generate("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, err := sign.WriteFile(path, key); err != nil {
		t.Fatal(err)
	}
	s, err := sign.New([]sign.Key{{Domain: host, Selector: "s", Path: path}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const signable = "From: ann@" + host + "\r\nSubject: x\r\n\r\nHello\r\n"

func TestFormIsMadeOnceAndShared(t *testing.T) {
	f := newForms(testSigner(t), time.Now)
	c := heldText(1, signable)
	var running sync.WaitGroup
	texts := make([]string, 20)
	for i := range texts {
		running.Go(func() {
			x, err := f.of(c, true)
			if err != nil {
				t.Error(err)
				return
			}
			r, err := x.open(c, "")
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(r)
			if err != nil || r.Close() != nil || int64(len(b)) != x.size(c) {
				t.Errorf("%d octets, size says %d: %v", len(b), x.size(c), err)
			}
			texts[i] = string(b)
		})
	}
	running.Wait()
	for _, s := range texts {
		if s != texts[0] || !strings.HasPrefix(s, "DKIM-Signature:") || !strings.HasSuffix(s, "\r\n"+signable) {
			t.Fatalf("got %q", s)
		}
	}
	if c.opens != 1 {
		t.Errorf("the content was read %d times, want once", c.opens)
	}
	x, err := f.of(c, false)
	if err != nil || len(x.fields) != 0 {
		t.Errorf("unsigned: %q, %v", x.fields, err)
	}
}

func TestFormsKnowEightBit(t *testing.T) {
	long := strings.Repeat("x", smallContent)
	tests := []struct {
		name string
		text string
		want bool
	}{
		{"small ASCII", signable, false},
		{"small 8-bit", signable + "\xff", true},
		{"large ASCII", signable + long, false},
		{"large 8-bit at the end", signable + long + "\x80", true},
		{"nothing", "", false},
	}
	f := newForms(nil, time.Now)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, err := f.of(heldText(i, tt.text), true)
			if err != nil || x.eightBit != tt.want {
				t.Errorf("got %t, want %t: %v", x.eightBit, tt.want, err)
			}
		})
	}
}

func TestFormsKeepABoundedNumber(t *testing.T) {
	at := moment
	f := newForms(nil, func() time.Time { return at })
	first := heldText(0, signable)
	for i := range 10 * keptForms {
		if _, err := f.of(heldText(i, signable), true); err != nil {
			t.Fatal(err)
		}
		if _, err := f.of(first, true); err != nil { // in use all the time
			t.Fatal(err)
		}
	}
	if n, m := f.recent.Len(), len(f.byID); n > keptForms || n != m {
		t.Errorf("%d are kept, %d by id; want %d at most", n, m, keptForms)
	}
	if first.opens != 0 {
		// The one from the loop has the same id and made the form.
		t.Errorf("what is in use was made anew %d times", first.opens)
	}
	old := heldText(1, signable)
	if f.of(old, true); old.opens != 1 {
		t.Error("what was not in use is still kept")
	}
	at = at.Add(keptFor)
	if f.of(first, true); first.opens != 1 {
		t.Error("what is too old is still kept")
	}
	if n, m := f.recent.Len(), len(f.byID); n != m {
		t.Errorf("%d are kept, %d by id", n, m)
	}
}

func TestFormErrorIsNotKept(t *testing.T) {
	f := newForms(testSigner(t), time.Now)
	c := heldText(1, signable)
	c.fail = errors.New("the disk is away")
	if _, err := f.of(c, true); !errors.Is(err, c.fail) {
		t.Errorf("got %v", err)
	}
	c.fail = nil
	if x, err := f.of(c, true); err != nil || len(x.fields) == 0 {
		t.Errorf("the second time: %v", err)
	}
	if f.recent.Len() != 1 || len(f.byID) != 1 {
		t.Errorf("%d and %d are kept", f.recent.Len(), len(f.byID))
	}

	// What is cut short, or cannot be signed, is temporary.
	short := heldText(2, signable)
	short.size++
	bad := heldText(3, strings.Repeat("x", 2<<20))
	for _, c := range []*held{short, bad} {
		_, err := f.of(c, true)
		if r := spool.ResultOf(err, moment); err == nil || r.Outcome() != spool.Deferred {
			t.Errorf("got %v: %v", r.Outcome(), err)
		}
	}
}

// A panic in the middle leaves nothing behind that could go out unsigned.
func TestFormAfterAPanic(t *testing.T) {
	f := newForms(testSigner(t), time.Now)
	c := heldText(1, signable)
	good := c.content
	c.content = func() io.ReadSeeker { panic("a bad day") }
	func() {
		defer func() { recover() }()
		f.of(c, true)
	}()
	c.content = good
	for range 2 {
		if x, err := f.of(c, true); err == nil && len(x.fields) == 0 {
			t.Fatal("it would go out unsigned")
		}
	}
	if x, err := f.of(c, true); err != nil || len(x.fields) == 0 {
		t.Errorf("it is not made anew: %v", err)
	}
}

// endless is content of any size that takes no memory.
type endless struct {
	head string
	size int64
	at   int64
	each func() // called every 8 MiB
}

func (e *endless) Read(p []byte) (int, error) {
	if e.at>>23 != (e.at-int64(len(p)))>>23 {
		e.each()
	}
	if e.at >= e.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.size-e.at))
	for i := range n {
		switch at := e.at + int64(i); {
		case at < int64(len(e.head)):
			p[i] = e.head[at]
		case at%80 == 78:
			p[i] = '\r'
		case at%80 == 79:
			p[i] = '\n'
		default:
			p[i] = 'x'
		}
	}
	e.at += int64(n)
	return n, nil
}

func (e *endless) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, errors.New("only from the start")
	}
	e.at = offset
	return offset, nil
}

// A large message streams: what signing and sending it keeps in memory does not grow with it.
func TestLargeContentStreams(t *testing.T) {
	const size = 24 << 20
	var stats runtime.MemStats
	most := uint64(0)
	measure := func() {
		runtime.GC()
		runtime.ReadMemStats(&stats)
		most = max(most, stats.HeapAlloc)
	}
	c := &held{id: spool.NewID(moment), size: size, content: func() io.ReadSeeker {
		return &endless{head: "From: ann@" + host + "\r\n\r\n", size: size, each: measure}
	}}
	f := newForms(testSigner(t), time.Now)
	measure()
	before := most
	x, err := f.of(c, true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.open(c, "")
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil || r.Close() != nil || n != x.size(c) || len(x.fields) == 0 || x.eightBit {
		t.Errorf("%d octets, size says %d: %v", n, x.size(c), err)
	}
	if used := most - before; used > 2<<20 {
		t.Errorf("%d octets were kept in memory of a message of %d", used, size)
	}
}

func TestAutomaticMessages(t *testing.T) {
	tests := []struct {
		name   string
		header string
		want   bool
	}{
		{"a person's", "From: ann@x\r\nSubject: Precedence: bulk\r\n", false},
		{"a list's", "List-Id: <x>\r\n", true},
		{"bulk", "PRECEDENCE:  Bulk \r\n", true},
		{"first-class", "Precedence: first-class\r\n", false},
		{"a program's", "Auto-Submitted: auto-generated\r\n", true},
		{"a program's, with a comment", "Auto-Submitted: auto-replied (vacation)\r\n", true},
		{"expressly not", "Auto-Submitted: no\r\n", false},
		{"in the body", "X: y\r\n\r\nList-Id: <x>\r\n", false},
		{"behind a long header", "X: " + strings.Repeat("y", 100) + "\r\nList-Id: <x>\r\n", true},
		{"no header at all", "", false},
	}
	f := newForms(nil, time.Now)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := f.automatic(heldText(1, tt.header+"\r\nbody\r\n")); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
	c := heldText(1, "")
	c.fail = errors.New("away")
	if f.automatic(c) {
		t.Error("what cannot be read is automatic")
	}
}

func TestDialTakesAddressesOnly(t *testing.T) {
	d := &dialer{}
	for _, addr := range []string{"localhost:25", "mx.one.test:25", "", "127.0.0.1", ":25"} {
		if c, err := d.dial(context.Background(), "tcp", addr); err == nil {
			c.Close()
			t.Errorf("%q was dialled", addr)
		}
	}
}

func BenchmarkForm(b *testing.B) {
	text := "From: ann@" + host + "\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56)
	c := heldText(1, text)
	b.ReportAllocs()
	for b.Loop() {
		f := newForms(nil, time.Now)
		x, err := f.of(c, true)
		if err != nil {
			b.Fatal(err)
		}
		r, _ := x.open(c, "")
		io.Copy(io.Discard, r)
	}
}

func BenchmarkIsEightBit(b *testing.B) {
	p := bytes.Repeat([]byte("x"), 64<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		isEightBit(p)
	}
}
