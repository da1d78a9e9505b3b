package spool

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const daemonID = ID("01ARZ3NDEKTSV4RRFF")

// side is the daemon's end of one connection, as a script sees it.
type side struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// next reads a frame; type 0 at the end of the connection.
func (s *side) next() (FrameType, []byte) {
	typ, n, err := ReadFrameHead(s.r)
	if err != nil {
		return 0, nil
	}
	b, err := ReadPayload(s.r, n)
	if err != nil {
		return 0, nil
	}
	return typ, b
}

func (s *side) hello() Hello {
	typ, b := s.next()
	h, err := DecodeHello(b)
	if typ != FrameHello || err != nil {
		s.t.Errorf("frame of type %d, %v; want HELLO", typ, err)
	}
	return h
}

func (s *side) greet() { s.Write(Greeting{ID: daemonID}.Append(nil)) }
func (s *side) ok()    { s.Write(AppendFrame(nil, FrameOK, nil)) }
func (s *side) refuse(err error) {
	s.Write(AppendError(nil, FrameErr, err))
}

// message reads TOLD, DATA and END, and gives what it read.
func (s *side) message() (Told, string) {
	typ, b := s.next()
	told, err := DecodeTold(b)
	if typ != FrameTold || err != nil {
		s.t.Errorf("frame of type %d, %v; want TOLD", typ, err)
	}
	var content bytes.Buffer
	for {
		typ, b := s.next()
		switch typ {
		case FrameData:
			content.Write(b)
		case FrameEnd:
			return told, content.String()
		default:
			s.t.Errorf("frame of type %d in a message", typ)
			return told, content.String()
		}
	}
}

// daemon plays one script a connection, in turn, on the socket at path; connections beyond them find nobody.
func daemon(t *testing.T, path string, scripts ...func(*side)) {
	t.Helper()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	// The path may be longer than an address.
	t.Chdir(filepath.Dir(path))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Base(path), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // the name is relative: it would be the next daemon's
	dir.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer l.Close()
		for _, script := range scripts {
			c, err := l.Accept()
			if err != nil {
				return
			}
			script(&side{t, c, bufio.NewReader(c)})
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
}

// place is a scratch spool for a Submit: its drop/ exists.
func place(t *testing.T) Submit {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"drop", "drop/new", "drop/tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return Submit{
		Socket: filepath.Join(dir, "submit.sock"), Drop: filepath.Join(dir, "drop"),
		greet: time.Second, answer: 10 * time.Second, ask: 300 * time.Millisecond,
	}
}

var told = Told{Rcpts: []Recipient{{Addr: "bob@example.com"}}}

const content = "Subject: s\r\n\r\nbody\r\n"

// handIn hands a message in, in pieces, and gives the error of the step that failed.
func handIn(t *testing.T, s Submit, content string) (ID, error) {
	t.Helper()
	h, err := s.Submit(t.Context(), told)
	if err != nil {
		return "", err
	}
	defer h.Abort()
	for piece := range slices.Chunk([]byte(content), 100_000) {
		if _, err := h.Write(piece); err != nil {
			return "", err
		}
	}
	return h.ID(), h.Commit()
}

// dropped gives the contents of the messages in drop/.
func dropped(t *testing.T, s Submit) []string {
	t.Helper()
	names, err := Drop{Path: s.Drop}.List()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range names {
		d, err := OpenDropped(filepath.Join(s.Drop, "new"), name, 0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(d.Content())
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Told.Rcpts) != 1 || d.Told.Rcpts[0].Addr != "bob@example.com" {
			t.Errorf("told %+v", d.Told)
		}
		d.Close()
		all = append(all, string(b))
	}
	return all
}

func wantDropped(t *testing.T, s Submit, want ...string) {
	t.Helper()
	if got := dropped(t, s); !slices.Equal(got, want) {
		t.Errorf("%d messages in drop/, want %d with the content handed in", len(got), len(want))
	}
}

func wantStatus(t *testing.T, err error, want Status) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Status != want {
		t.Errorf("error %v, want status %v", err, want)
	}
}

func TestSubmitToTheDaemon(t *testing.T) {
	for _, size := range []int{0, 100, patience, patience + 1, 3 << 20} {
		s := place(t)
		want := strings.Repeat("x", size)
		got := make(chan string, 1)
		daemon(t, s.Socket, func(d *side) {
			d.hello()
			d.greet()
			_, content := d.message()
			got <- content
			d.ok()
		})
		h, err := s.Submit(t.Context(), told)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(h, want); err != nil {
			t.Fatal(err)
		}
		if err := h.Commit(); err != nil {
			t.Fatalf("%d octets: %v", size, err)
		}
		if h.ID() != daemonID {
			t.Errorf("id %q, want that of the greeting", h.ID())
		}
		if <-got != want {
			t.Errorf("%d octets did not arrive as they were", size)
		}
		wantDropped(t, s)
	}
}

func TestSubmitThroughAPathLongerThanAnAddress(t *testing.T) {
	s := place(t)
	dir := filepath.Join(filepath.Dir(s.Socket), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.Socket, s.Drop = filepath.Join(dir, "submit.sock"), ""
	daemon(t, s.Socket, func(d *side) { d.hello(); d.greet(); d.message(); d.ok() })
	if _, err := handIn(t, s, content); err != nil {
		t.Error(err)
	}
}

// Whatever happens before END was sent, the message is in drop/, once and whole.
func TestSubmitFallsBackToDrop(t *testing.T) {
	stall := func(d *side) { d.hello(); d.next() } // until the client hangs up
	tests := []struct {
		name   string
		script func(*side)
	}{
		{"no daemon", nil},
		{"daemon hangs up at once", func(*side) {}},
		{"no greeting", stall},
		{"busy", func(d *side) { d.hello(); d.refuse(Errorf(StatusBusy, "too many connections")) }},
		{"busy without having listened", func(d *side) { d.refuse(Errorf(StatusBusy, "stopping")) }},
		{"garbage for a greeting", func(d *side) { d.hello(); io.WriteString(d, "220 hello there\r\n") }},
		{"gone after the greeting", func(d *side) { d.hello(); d.greet() }},
		{"busy after END", func(d *side) { d.hello(); d.greet(); d.message(); d.refuse(Errorf(StatusBusy, "stopping")) }},
	}
	for _, tt := range tests {
		for _, size := range []int{100, 3 << 20} {
			t.Run(tt.name, func(t *testing.T) {
				s := place(t)
				s.greet = 200 * time.Millisecond
				if tt.script != nil {
					daemon(t, s.Socket, tt.script)
				}
				want := strings.Repeat("y", size)
				id, err := handIn(t, s, want)
				if err != nil && tt.name == "gone after the greeting" && size < patience {
					// All of a small message, END too, may be sent before the daemon is seen to be gone.
					wantStatus(t, err, Status{4, 4, 2})
					wantDropped(t, s)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if id != "" && tt.name != "busy after END" && tt.name != "gone after the greeting" {
					t.Errorf("id %q for a message in drop/", id)
				}
				wantDropped(t, s, want)
			})
		}
	}
}

func TestSubmitGoneInTheMiddleFallsBack(t *testing.T) {
	s := place(t)
	daemon(t, s.Socket, func(d *side) { d.hello(); d.greet(); d.next(); d.next() })
	want := strings.Repeat("z", 5<<20)
	if _, err := handIn(t, s, want); err != nil {
		t.Fatal(err)
	}
	wantDropped(t, s, want)
}

func TestSubmitGoneInTheMiddleWithoutDrop(t *testing.T) {
	s := place(t)
	s.Drop = filepath.Join(s.Drop, "missing")
	daemon(t, s.Socket, func(d *side) { d.hello(); d.greet(); d.next(); d.next() })
	_, err := handIn(t, s, strings.Repeat("z", 5<<20))
	wantStatus(t, err, Status{4, 4, 2})
}

func TestSubmitTellsRefusals(t *testing.T) {
	tests := []struct {
		name   string
		refuse error
		status Status
		is     error
	}{
		{"too big", ErrTooBig, Status{5, 3, 4}, ErrTooBig},
		{"no space", ErrNoSpace, Status{4, 3, 1}, ErrNoSpace},
		{"loop", Errorf(Status{5, 4, 6}, "loops"), Status{5, 4, 6}, nil},
	}
	scripts := map[string]func(error) func(*side){
		"for a greeting":  func(err error) func(*side) { return func(d *side) { d.hello(); d.refuse(err) } },
		"after TOLD":      func(err error) func(*side) { return func(d *side) { d.hello(); d.greet(); d.next(); d.refuse(err) } },
		"for an answer":   func(err error) func(*side) { return func(d *side) { d.hello(); d.greet(); d.message(); d.refuse(err) } },
		"without reading": func(err error) func(*side) { return func(d *side) { d.hello(); d.greet(); d.refuse(err) } },
	}
	for _, tt := range tests {
		for when, script := range scripts {
			for _, size := range []int{100, 5 << 20} {
				if when == "for an answer" && size > patience {
					size = patience + 1
				}
				t.Run(tt.name+" "+when, func(t *testing.T) {
					s := place(t)
					daemon(t, s.Socket, script(tt.refuse))
					_, err := handIn(t, s, strings.Repeat("x", size))
					wantStatus(t, err, tt.status)
					if tt.is != nil && !errors.Is(err, tt.is) {
						t.Errorf("%v is not %v", err, tt.is)
					}
					wantDropped(t, s)
				})
			}
		}
	}
}

// After END only the daemon may say what became of the message; drop/ could double it.
func TestSubmitDaemonDiesAfterEnd(t *testing.T) {
	dies := func(d *side) { d.hello(); d.greet(); d.message() }
	asked := func(answer func(*side)) func(*side) {
		return func(d *side) {
			if h := d.hello(); h.Verb != VerbAsk || h.ID != daemonID {
				d.t.Errorf("asked %+v", h)
			}
			d.greet()
			answer(d)
		}
	}
	tests := []struct {
		name    string
		scripts []func(*side)
		ok      bool
		text    string
	}{
		{"and the next one has the message", []func(*side){dies, asked((*side).ok)}, true, ""},
		{"and the next one does not have it", []func(*side){dies, asked(func(d *side) { d.refuse(ErrNotFound) })}, false, "nothing is known of message"},
		{"and the next one cannot say at first",
			[]func(*side){dies, asked(func(d *side) { d.refuse(errors.New("not yet")) }), func(*side) {}, asked((*side).ok)}, true, ""},
		{"for good", []func(*side){dies}, false, "may have been accepted"},
		{"answering nonsense", []func(*side){func(d *side) { dies(d); d.greet() }, asked((*side).ok)}, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := place(t)
			daemon(t, s.Socket, tt.scripts...)
			_, err := handIn(t, s, content)
			if tt.ok && err != nil {
				t.Error(err)
			}
			if !tt.ok {
				wantStatus(t, err, Status{4, 4, 2})
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %v, want it to say %q", err, tt.text)
				}
			}
			wantDropped(t, s)
		})
	}
}

func TestSubmitNeitherWayNamesBoth(t *testing.T) {
	s := place(t)
	s.Drop = filepath.Join(s.Drop, "missing")
	for _, size := range []int{100, 3 << 20} {
		_, err := handIn(t, s, strings.Repeat("x", size))
		wantStatus(t, err, Status{4, 3, 0})
		if err == nil || errors.Is(err, ErrNoDaemon) {
			t.Fatalf("%v, want an error of both ways", err)
		}
		if msg := err.Error(); !strings.Contains(msg, s.Socket+": ") || !strings.Contains(msg, s.Drop+": ") ||
			strings.Contains(msg, "\n") || strings.Count(msg, "no such file") != 2 {
			t.Errorf("%q, want one line naming both paths and reasons", msg)
		}
	}
}

func TestSubmitHoldsTheSizeLimits(t *testing.T) {
	t.Run("its own", func(t *testing.T) {
		s := place(t)
		s.MaxSize = 1000
		_, err := handIn(t, s, strings.Repeat("x", 1001))
		wantStatus(t, err, Status{5, 3, 4})
		if !errors.Is(err, ErrTooBig) {
			t.Errorf("%v is not ErrTooBig", err)
		}
		if _, err := handIn(t, s, strings.Repeat("x", 1000)); err != nil {
			t.Error(err)
		}
	})
	t.Run("the daemon's", func(t *testing.T) {
		s := place(t)
		daemon(t, s.Socket, func(d *side) {
			d.hello()
			d.Write(Greeting{ID: daemonID, MaxSize: 2 << 20}.Append(nil))
			for {
				if typ, _ := d.next(); typ == 0 {
					return
				}
			}
		})
		_, err := handIn(t, s, strings.Repeat("x", 3<<20))
		wantStatus(t, err, Status{5, 3, 4})
		wantDropped(t, s)
	})
	t.Run("recipients", func(t *testing.T) {
		_, err := place(t).Submit(t.Context(), Told{Rcpts: make([]Recipient, MaxToldRcpts+1)})
		wantStatus(t, err, Status{5, 5, 3})
	})
}

func TestSubmitStopped(t *testing.T) {
	s := place(t)
	greeted := make(chan struct{})
	daemon(t, s.Socket, func(d *side) { d.hello(); close(greeted); d.next() })
	s.greet = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { <-greeted; cancel() })
	h, err := s.Submit(ctx, told)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Commit(); !errors.Is(err, errStopped) {
		t.Errorf("%v, want that it was stopped", err)
	}
	wantDropped(t, s)
}

func TestSubmitAbortLeavesNothing(t *testing.T) {
	for _, size := range []int{10, 3 << 20} {
		s := place(t)
		h, err := s.Submit(t.Context(), told)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(h, strings.Repeat("x", size))
		h.Abort()
		if err := h.Commit(); err == nil {
			t.Error("an aborted message was committed")
		}
		if _, err := h.Write([]byte("x")); err == nil {
			t.Error("an aborted message took content")
		}
		wantDropped(t, s)
	}
}

func TestSubmitVerbs(t *testing.T) {
	s := place(t)
	if err := s.Run(t.Context(), Filter{}); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("run without a daemon: %v", err)
	}
	for _, err := range s.Queue(t.Context()) {
		if !errors.Is(err, ErrNoDaemon) {
			t.Errorf("list without a daemon: %v", err)
		}
	}
	filter := Filter{ID: "01", Rcpt: "bob", NotSender: "ann"}
	daemon(t, s.Socket,
		func(d *side) {
			if h := d.hello(); h.Verb != VerbRun || h.Filter != filter {
				d.t.Errorf("run says %+v", h)
			}
			d.greet()
			d.refuse(ErrForbidden)
		},
		func(d *side) {
			if h := d.hello(); h.Verb != VerbReload {
				d.t.Errorf("reload says %+v", h)
			}
			d.greet()
			d.ok()
		},
		func(d *side) {
			d.hello()
			d.greet()
			d.Write(AppendFrame(nil, FrameEntry, EncodeEntry(Entry{ID: daemonID, Size: 5, Active: true})))
			d.Write(AppendError(nil, FrameBad, errors.New("damaged")))
			d.Write(AppendFrame(nil, FrameEntry, EncodeEntry(Entry{ID: daemonID, Hidden: true})))
			d.ok()
		},
		func(d *side) { d.hello(); d.greet() },
	)
	if err := s.Run(t.Context(), filter); !errors.Is(err, ErrForbidden) {
		t.Errorf("run: %v, want ErrForbidden", err)
	}
	if err := s.Reload(t.Context()); err != nil {
		t.Errorf("reload: %v", err)
	}
	var ids []ID
	var errs []error
	for n, err := range s.Queue(t.Context()) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ids = append(ids, n.ID)
	}
	if len(ids) != 2 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "damaged") {
		t.Errorf("list gives %v and %v", ids, errs)
	}
	n := 0
	for _, err := range s.Queue(t.Context()) {
		if n++; err == nil {
			t.Error("a listing cut short looks whole")
		}
	}
	if n != 1 {
		t.Errorf("%d items of a listing cut short, want one error", n)
	}
}
