package local

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"signpost/spool"
)

func frames(t *testing.T, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		if err := writeFrame(&b, p[0], []byte(p[1:])); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestContentReader(t *testing.T) {
	whole := frames(t, "Done ", "D", "Dtwo", "E")
	for n := range len(whole) {
		got, err := io.ReadAll(newContentReader(bytes.NewReader(whole[:n])))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d: %q, %v", n, got, err)
		}
	}
	if got, err := io.ReadAll(newContentReader(bytes.NewReader(whole))); string(got) != "one two" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := io.ReadAll(newContentReader(bytes.NewReader(frames(t, "Done", "X")))); !errors.Is(err, errProtocol) {
		t.Errorf("a strange frame: %v", err)
	}
}

func TestReadFrameReadsNoOctetMore(t *testing.T) {
	r := bytes.NewReader(append(frames(t, "Rx"), "rest"...))
	if _, _, err := readFrame(r, make([]byte, maxFrame)); err != nil || r.Len() != 4 {
		t.Errorf("%d octets are left, %v", r.Len(), err)
	}
}

func TestFramesAreBounded(t *testing.T) {
	if _, _, err := readFrame(strings.NewReader("\xff\xff\xff\xffD"), make([]byte, maxFrame)); !errors.Is(err, errProtocol) {
		t.Errorf("got %v", err)
	}
	if err := writeFrame(io.Discard, frameData, make([]byte, maxFrame+1)); !errors.Is(err, errProtocol) {
		t.Errorf("got %v", err)
	}
}

func TestRequestCheck(t *testing.T) {
	good := request{Version: protocolVersion, Kind: spool.Mailbox, Addr: "ann", Sender: "bob@example.com"}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*request){
		"another version":          func(q *request) { q.Version++ },
		"an address elsewhere":     func(q *request) { q.Kind = spool.Address },
		"an unknown kind":          func(q *request) { q.Kind = 9 },
		"nobody":                   func(q *request) { q.Addr = "" },
		"a line end in the sender": func(q *request) { q.Sender = "x\nFrom y" },
		"a CR in the original":     func(q *request) { q.Original = "x\ry" },
		"a NUL in the name":        func(q *request) { q.Addr = "ann\x00" },
		"a long text":              func(q *request) { q.Source = strings.Repeat("x", maxText+1) },
	} {
		bad := good
		change(&bad)
		if r := spool.ResultOf(bad.check(), spool.Result{}.At); r.Outcome() != spool.Deferred {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, s := range []spool.Status{{}, {Class: 3}, {Class: 4, Subject: 4, Detail: 7}, {Class: 2, Subject: -1}, {Class: 5, Detail: 1000}} {
		if _, err := (answer{Status: s}).result(); err == nil {
			t.Errorf("%v: no error", s)
		}
	}
	long := answerOf(spool.Result{Status: delivered, Detail: strings.Repeat("\x01", maxFrame)})
	var b bytes.Buffer
	if err := writeJSON(&b, frameResult, long); err != nil {
		t.Errorf("a long answer: %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	var b bytes.Buffer
	writeJSON(&b, frameRequest, request{Version: 1, Kind: spool.Program, Addr: "/bin/x y", Source: "/etc/aliases", Sender: "a@b", Original: "c@d"})
	f.Add(b.Bytes())
	f.Add([]byte("\x00\x00\x00\x02R{}"))
	f.Add([]byte("\xff\xff\xff\xffR"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var q request
		if err := readJSON(bytes.NewReader(in), frameRequest, &q); err != nil || q.check() != nil {
			return
		}
		for _, s := range []string{q.Addr, q.Source, q.Sender, q.Original} {
			if strings.ContainsAny(s, "\r\n\x00") || len(s) > maxText {
				t.Errorf("let through: %q", s)
			}
		}
	})
}

func FuzzContent(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01Dx\x00\x00\x00\x00E"))
	f.Add([]byte("\x00\x00\x00\x05D"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := io.ReadAll(newContentReader(bytes.NewReader(in)))
		if len(got) > len(in) {
			t.Errorf("%d octets out of %d", len(got), len(in))
		}
		if err == nil && !bytes.Contains(in, []byte("\x00\x00\x00\x00E")) {
			t.Error("a whole message without an end")
		}
	})
}
