package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"
)

const testID = ID("01M8533K3JF2KWJRTM")

// makeFile makes a message file; records are kind and payload in turn.
func makeFile(t testing.TB, id ID, content string, first byte, encode func(*encoder), more ...record) []byte {
	t.Helper()
	head, sum := encodeHead(id, int64(len(content)))
	b := append(head[:], content...)
	b, sum, err := appendRecord(b, first, joinHash(sha256.Sum256([]byte(content)), encode), sum)
	for _, r := range more {
		if err == nil {
			b, sum, err = appendRecord(b, r.kind, r.payload, sum)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type record struct {
	kind    byte
	payload []byte
}

func read1(b []byte, ahead int) (state, error) {
	return readState(bytes.NewReader(b), testID, make([]byte, ahead))
}

func TestAFileIsReadWhateverComesWithTheFirstRead(t *testing.T) {
	want := fullEnvelope()
	content := string(bytes.Repeat([]byte("0123456789abcde\n"), 100))
	attempt := encodeAttempt([]RcptResult{{3, Result{Status: Status{2, 0, 0}, At: moment}}}, moment)
	b := makeFile(t, testID, content, recAccepted, want.encode, record{recAttempt, attempt}, record{200, []byte("?")},
		record{recRelease, nil})
	want.Rcpts[3].Last = Result{Status: Status{2, 0, 0}, At: moment}
	want.Next, want.Held, want.Tries = moment, "", want.Tries+1
	for ahead := headLen; ahead < len(b)+2; ahead++ {
		s, err := read1(b, ahead)
		if err != nil {
			t.Fatalf("first read of %d: %v", ahead, err)
		}
		if !reflect.DeepEqual(s.env, want) || s.end != int64(len(b)) || s.torn || s.size != int64(len(content)) {
			t.Fatalf("first read of %d: %+v", ahead, s)
		}
		if s.content != nil && string(s.content) != content {
			t.Fatalf("first read of %d: the content is another", ahead)
		}
	}
}

func TestATornRecordEndsTheFile(t *testing.T) {
	env := fullEnvelope()
	b := makeFile(t, testID, "content", recAccepted, env.encode)
	whole := makeFile(t, testID, "content", recAccepted, env.encode, record{recHold, nest(1, []byte("one"))},
		record{recHold, nest(1, []byte("two"))})
	step := (len(whole) - len(b)) / 2
	for n := len(b); n <= len(whole); n++ {
		s, err := read1(whole[:n], 4096)
		want := map[int]string{0: "h", 1: "one", 2: "two"}[(n-len(b))/step]
		if err != nil || s.env.Held != want || s.end != int64(n-(n-len(b))%step) || s.torn != ((n-len(b))%step != 0) {
			t.Errorf("%d octets of the records: held %q, end %d, torn %v, %v", n-len(b), s.env.Held, s.end, s.torn, err)
		}
	}
	// A damaged record hides what follows it, even where that is whole: it counts in its place only.
	damaged := bytes.Clone(whole)
	damaged[len(b)+7]++
	if s, err := read1(damaged, 4096); err != nil || s.env.Held != "h" || !s.torn {
		t.Errorf("damaged: held %q, torn %v, %v", s.env.Held, s.torn, err)
	}
	moved := append(bytes.Clone(b), whole[len(b)+step:]...)
	if s, err := read1(moved, 4096); err != nil || s.env.Held != "h" || !s.torn {
		t.Errorf("out of its place: held %q, torn %v, %v", s.env.Held, s.torn, err)
	}
}

func TestADamagedFileIsCorrupt(t *testing.T) {
	env := Envelope{Rcpts: []Recipient{{Addr: "bob"}}}
	good := makeFile(t, testID, "content", recAccepted, env.encode)
	for n := range good {
		if _, err := read1(good[:n], 4096); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d octets: %v", n, err)
		}
	}
	for n := range good {
		b := bytes.Clone(good)
		b[n] ^= 0x20
		if n >= headLen && n < headLen+len("content") {
			continue // seen by the checksum of the content
		}
		if _, err := read1(b, 4096); !errors.Is(err, ErrCorrupt) {
			t.Errorf("octet %d changed: %v", n, err)
		}
	}
	huge := bytes.Clone(good)
	binary.BigEndian.PutUint32(huge[headLen+7:], 1<<31)
	for name, b := range map[string][]byte{
		"a name that is not its own": makeFile(t, "01M8533K3JF2KWJRTN", "content", recAccepted, env.encode),
		"told in place of accepted":  makeFile(t, testID, "content", recTold, Told{}.encode),
		"a result for nobody": makeFile(t, testID, "", recAccepted, env.encode,
			record{recAttempt, encodeAttempt([]RcptResult{{Rcpt: 1}}, time.Time{})}),
		"a record of 2 GiB": huge,
		"a text":            []byte("From ann Mon Nov 23 20:35:35 2026\nSubject: x\n\n"),
	} {
		if _, err := read1(b, 4096); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing gives an error in place of the octets from at.
type failing struct {
	b  []byte
	at int64
}

var errDisk = errors.New("the disk does not answer")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.at {
		return 0, errDisk
	}
	return bytes.NewReader(f.b).ReadAt(p, off)
}

func TestAFailingReadIsNotDamage(t *testing.T) {
	b := makeFile(t, testID, string(make([]byte, 10_000)), recAccepted, fullEnvelope().encode, record{recWarned, nil})
	for _, at := range []int64{0, 100, 5000, 10_100} {
		_, err := readState(failing{b, at}, testID, make([]byte, 4096))
		if !errors.Is(err, errDisk) || errors.Is(err, ErrCorrupt) {
			t.Errorf("failing at %d: %v", at, err)
		}
	}
}

func TestARecordTooLargeIsNotWritten(t *testing.T) {
	if _, _, err := appendRecord(nil, recHold, make([]byte, maxRecord+1), 0); !errors.Is(err, ErrTooBig) {
		t.Error(err)
	}
}

// FuzzFile reads any file, and goes on writing to it where it can be read.
func FuzzFile(f *testing.F) {
	good := makeFile(f, testID, "content", recAccepted, fullEnvelope().encode, record{recWarned, nil})
	f.Add(good, 4096, -1)
	f.Add(good, 70, 100)
	f.Add(makeFile(f, testID, "", recAccepted, Envelope{}.encode), 64, 64)
	f.Fuzz(func(t *testing.T, b []byte, ahead, mend int) {
		if mend >= 0 && len(b) >= headLen { // lets the fuzzer get past the first checksum
			head, _ := encodeHead(testID, int64(mend))
			b = append(head[:], b[headLen:]...)
		}
		s, err := read1(b, min(max(ahead, headLen), 1<<16))
		if err != nil {
			return
		}
		if s.end > int64(len(b)) || s.torn != (s.end < int64(len(b))) {
			t.Fatalf("end %d of %d, torn %v", s.end, len(b), s.torn)
		}
		more, _, err := appendRecord(b[:s.end:s.end], recHold, nest(1, []byte("why")), s.sum)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := read1(more, 4096); err != nil || again.env.Held != "why" || again.torn {
			t.Fatalf("held %q, torn %v, %v", again.env.Held, again.torn, err)
		}
		io.Copy(io.Discard, io.NewSectionReader(bytes.NewReader(b), headLen, s.size))
	})
}

// planted is a file that a user left in drop/new.
type planted struct {
	FSFile
	*bytes.Reader
}

func (planted) Stat() (Info, error) {
	return Info{Mode: 0o100640, UID: 1001, Links: 1, Born: moment}, nil
}

func (p planted) ReadAt(b []byte, off int64) (int, error) { return p.Reader.ReadAt(b, off) }

// FuzzDropped opens any file that a user may plant: with checksums that are right, as anybody can compute them, and then
// with any octet changed, as after damage.
func FuzzDropped(f *testing.F) {
	f.Add("content", EncodeTold(fullTold()), int64(7), 0, byte(0), []byte{})
	f.Add("content", EncodeTold(Told{}), int64(0), 70, byte(1), []byte("more"))
	f.Add("content", EncodeTold(Told{Rcpts: []Recipient{{Addr: "bob"}}}), int64(-1), 10, byte(0xff), []byte{})
	f.Add("", []byte{}, int64(1<<40), 100, byte(3), []byte{recTold, 0, 0})
	f.Fuzz(func(t *testing.T, content string, told []byte, size int64, at int, flip byte, more []byte) {
		head, sum := encodeHead("", size)
		b := append(head[:], content...)
		b, _, err := appendRecord(b, recTold, joinHash(sha256.Sum256([]byte(content)), func(e *encoder) { *e = append(*e, told...) }), sum)
		if err != nil {
			return
		}
		b = append(b, more...)
		if at >= 0 && at < len(b) {
			b[at] ^= flip
		}
		d := &Dropped{file: planted{Reader: bytes.NewReader(b)}}
		if err := d.read("x", 1000); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooBig) {
				t.Fatalf("%v: nothing was wrong with the disk", err)
			}
			return
		}
		d.entry()
		got, err := io.ReadAll(d.Content())
		if int64(len(got)) > d.Size || d.Size > 1000 || d.UID != 1001 {
			t.Fatalf("%d octets, of %d, uid %d", len(got), d.Size, d.UID)
		}
		if err == nil && string(got) != content {
			t.Fatalf("%q passes for %q", got, content)
		}
		if want, derr := DecodeTold(told); derr != nil || !reflect.DeepEqual(d.Told, want) {
			t.Fatalf("told %+v, want %+v, %v", d.Told, want, derr)
		}
	})
}
