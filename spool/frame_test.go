package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestFramesComeBackAsTheyWere(t *testing.T) {
	hello := Hello{Verb: VerbRun, ID: "01ARZ3NDEKTSV4RRFF", Filter: Filter{"a", "b@example.com", strings.Repeat("s", 300), "c", "d", "e"}}
	payload := frameOf(t, hello.Append(nil), FrameHello)
	if got, err := DecodeHello(payload); err != nil || got != hello {
		t.Errorf("HELLO is %+v, %v; want %+v", got, err, hello)
	}
	long := strings.Repeat("x", maxText)
	longest := Hello{Verb: VerbRun, ID: ID(long), Filter: Filter{long, long, long, long, long, long}}
	if got, err := DecodeHello(frameOf(t, longest.Append(nil), FrameHello)); err != nil || got != longest {
		t.Errorf("the longest HELLO is %+v, %v", got, err)
	}
	greeting := Greeting{ID: "01ARZ3NDEKTSV4RRFF", MaxSize: 50_000_000}
	payload = frameOf(t, greeting.Append(nil), FrameGreeting)
	if got, err := decodeGreeting(payload); err != nil || got != greeting {
		t.Errorf("GREETING is %+v, %v; want %+v", got, err, greeting)
	}
}

// frameOf checks that b is one frame of type want and gives its payload.
func frameOf(t *testing.T, b []byte, want FrameType) []byte {
	t.Helper()
	r := bytes.NewReader(b)
	typ, n, err := ReadFrameHead(r)
	if err != nil || typ != want || n != r.Len() {
		t.Fatalf("frame of type %d, %d octets, %v; want type %d, %d octets", typ, n, err, want, r.Len())
	}
	payload, err := ReadPayload(r, n)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestErrorsKeepStatusWordsAndIdentity(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status Status
		is     error
		text   string
	}{
		{"too big", fmt.Errorf("%w of 5 octets", ErrTooBig), Status{5, 3, 4}, ErrTooBig, "the message is larger than the limit of 5 octets"},
		{"no space", ErrNoSpace, Status{4, 3, 1}, ErrNoSpace, ErrNoSpace.Error()},
		{"forbidden", ErrForbidden, Status{5, 7, 1}, ErrForbidden, ErrForbidden.Error()},
		{"not found", ErrNotFound, Status{5, 1, 0}, ErrNotFound, ErrNotFound.Error()},
		{"a status of its own", Errorf(Status{5, 4, 6}, "loops"), Status{5, 4, 6}, nil, "loops"},
		{"anything else", errors.New("disk on fire"), Status{4, 3, 0}, nil, "disk on fire"},
		{"control characters", errors.New("a\x1b[1m\r\nb"), Status{4, 3, 0}, nil, "a [1m  b"},
		{"endless words", errors.New(strings.Repeat("x", 9000)), Status{4, 3, 0}, nil, strings.Repeat("x", maxErrText)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := decodeError(frameOf(t, AppendError(nil, FrameErr, tt.err), FrameErr))
			var e *Error
			if !errors.As(err, &e) || e.Status != tt.status || e.Err.Error() != tt.text {
				t.Fatalf("%v, want %v with %q", err, tt.status, tt.text)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
		})
	}
}

func TestFramesOverTheLimitAreRefusedUnread(t *testing.T) {
	for typ := range 256 {
		head := binary.BigEndian.AppendUint32(nil, 1<<31)
		_, _, err := ReadFrameHead(bytes.NewReader(append(head, byte(typ))))
		if !errors.Is(err, ErrFrame) {
			t.Errorf("type %d: %v, want ErrFrame", typ, err)
		}
	}
}

func TestAnnouncedPayloadTakesNoMemory(t *testing.T) {
	got := testing.AllocsPerRun(10, func() {
		if _, err := ReadPayload(strings.NewReader("short"), 60<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v, want an unexpected end", err)
		}
	})
	if got > 4 {
		t.Errorf("%v allocations, want a few small ones", got)
	}
}

func TestToldRecipientsAreCounted(t *testing.T) {
	told := Told{Rcpts: make([]Recipient, 123), Label: "x"}
	if got := CountToldRcpts(EncodeTold(told)); got != 123 {
		t.Errorf("%d recipients, want 123", got)
	}
}

// checkError holds that the other side's refusal is one, and is understood alike when it is passed on.
func checkError(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("a refusal that is none")
	}
	again := decodeError(AppendError(nil, FrameErr, err)[FrameHead:])
	if got, want := StatusOf(again), StatusOf(err); got != want {
		t.Fatalf("%v with status %v comes back as %v with %v", err, want, again, got)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(Hello{Verb: VerbAsk, ID: "01ARZ3NDEKTSV4RRFF"}.Append(nil))
	f.Add(Greeting{ID: "x", MaxSize: -1}.Append(nil))
	f.Add(AppendError(nil, FrameErr, ErrTooBig))
	f.Add(AppendFrame(nil, FrameTold, EncodeTold(Told{Rcpts: []Recipient{{Addr: "bob"}}})))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			typ, n, err := ReadFrameHead(r)
			if err != nil {
				return
			}
			if n > framePayload[typ] {
				t.Fatalf("type %d with %d octets", typ, n)
			}
			payload, err := ReadPayload(r, n)
			if err != nil {
				return
			}
			if again, m, err := ReadFrameHead(bytes.NewReader(AppendFrame(nil, typ, payload))); err != nil || again != typ || m != n {
				t.Fatalf("type %d with %d octets comes back as type %d with %d, %v", typ, n, again, m, err)
			}
			if h, err := DecodeHello(payload); err == nil && n <= maxText { // longer texts are cut
				b := h.Append(nil)
				if again, err := DecodeHello(b[FrameHead:]); err != nil || again != h || len(b) > FrameHead+framePayload[FrameHello] {
					t.Fatalf("%+v comes back as %+v, %v", h, again, err)
				}
			}
			if g, err := decodeGreeting(payload); err == nil {
				if again, err := decodeGreeting(g.Append(nil)[FrameHead:]); err != nil || again != g || g.MaxSize < 0 {
					t.Fatalf("%+v comes back as %+v, %v", g, again, err)
				}
			}
			checkError(t, decodeError(payload))
			if told, err := DecodeTold(payload); err == nil && len(told.Rcpts) != CountToldRcpts(payload) {
				t.Fatalf("%d recipients, counted %d", len(told.Rcpts), CountToldRcpts(payload))
			}
		}
	})
}
