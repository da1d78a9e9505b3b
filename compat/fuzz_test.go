package compat_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"signpost/compat/header"
)

// sysexits are the statuses there are.
var sysexits = map[int]bool{0: true, 64: true, 65: true, 66: true, 67: true, 69: true, 73: true, 74: true, 75: true, 76: true, 77: true, 78: true}

// checkResult holds what is true of every call.
func checkResult(t *testing.T, w *world, got result, what any) {
	t.Helper()
	if !sysexits[got.status] {
		t.Fatalf("%q: status %d, %q", what, got.status, got.stderr)
	}
	if got.status != 0 && got.message != nil {
		t.Fatalf("%q: status %d, and queued", what, got.status)
	}
	for line := range strings.Lines(got.stderr) {
		if !strings.HasPrefix(line, "sendmail: ") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x00\x07\x1b\r\n\x7f") {
			t.Fatalf("%q: stderr %q", what, got.stderr)
		}
	}
	if got.message == nil {
		return
	}
	got.message.parts(t)
	for _, r := range got.message.env.Rcpts {
		if strings.ContainsAny(r.Addr, "\x00\r\n") {
			t.Fatalf("%q: recipient %q", what, r.Addr)
		}
	}
	if strings.ContainsAny(got.message.env.Sender, "\x00\r\n <>") && !strings.Contains(got.message.env.Sender, `"`) {
		t.Fatalf("%q: sender %q", what, got.message.env.Sender)
	}
	if len(got.message.rcpts()) == 0 {
		t.Fatalf("%q: queued for nobody", what)
	}
}

// trap is the working directory of a test, in which every use of a file is noticed.
type trap struct {
	dir string
	fd  int
}

func setTrap(t testing.TB) trap {
	t.Helper()
	p := trap{dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.dir, "bait"), []byte("bait\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Chdir(p.dir)
	var err error
	if p.fd, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p.fd) })
	if _, err := unix.InotifyAddWatch(p.fd, p.dir, unix.IN_ALL_EVENTS); err != nil {
		t.Fatal(err)
	}
	return p
}

// untouched holds that since setTrap nothing was opened, made, changed or removed there.
func (p trap) untouched(t *testing.T, what any) {
	t.Helper()
	buf := make([]byte, 4096)
	if n, err := unix.Read(p.fd, buf); !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("%q: a file was touched: %q, %v", what, buf[:max(0, n)], err)
	}
}

// readsFile reports whether an argument may name a file that is to be read: a configuration (-C), or aliases (-oA).
func readsFile(arg string) bool { return strings.HasPrefix(arg, "-") && strings.ContainsAny(arg, "CA") }

// FuzzArgs reads arguments parted by newlines, but for those that name files to be read; "%" is a file that must be
// left alone.
func FuzzArgs(f *testing.F) {
	for _, s := range []string{"-t\n-i", "-tif\nx@example.org\nbob", "-oi\n-odq\n-N\nnever\n--\n-bob", "-X%\n-bd", "-q15m", "-V\na+2Bb\nbob",
		"-F\nA \"B\" C\n-f\n<>\nbob, |x", "-bp\nid", "-h\n99", "-O\nIgnoreDots=false\nbob", "-OQueueDirectory=%\n-oQ%\n-X\n%\n-D%\nbob", "-be\n%",
		"-bi\n-I", "bob\n-X%", "%\n:include:%\n|%\nbob", "-\n--\n-f\nx", "-fa\x01b\nbob", "-L\n%\n-p\n%\n-M\n%"} {
		f.Add(s)
	}
	at := setTrap(f) // once: it takes the kernel a while to let go of one
	f.Fuzz(func(t *testing.T, s string) {
		list := strings.Split(strings.ReplaceAll(s, "\x00", ""), "\n")
		if slices.ContainsFunc(list, readsFile) {
			return
		}
		w := newWorld(t)
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], "%", "./bait")
			if i%2 == 0 {
				list[i] = strings.ReplaceAll(list[i], "./bait", filepath.Join(at.dir, "bait"))
			}
		}
		got := w.run("To: bob\nSubject: s\n\nx\n", list...)
		checkResult(t, w, got, list)
		checkExplained(t, w, "To: bob\nSubject: s\n\nx\n", list, got)
		at.untouched(t, list)
		if got.status == 64 && got.read > 0 && !slices.ContainsFunc(list, func(a string) bool { return strings.ContainsRune(a, 't') }) {
			t.Fatalf("%q: refused after %d octets of input were read", list, got.read)
		}
		if got.message != nil {
			checkRcpts(t, got.message.rcpts(), strings.Join(list, "\n")+"\nbob")
		}
	})
}

// checkRcpts holds that each recipient stands in text, but for what quoting and blanks add or take away, and the origin.
func checkRcpts(t *testing.T, rcpts []string, text string) {
	t.Helper()
	bare := strings.NewReplacer(`"`, "", `\`, "", " ", "", "\t", "", "\r", "", "\n", "", "\x00", "").Replace
	for _, r := range rcpts {
		for part := range strings.SplitSeq(strings.TrimSuffix(r, "@"+host), "@") {
			if !strings.Contains(bare(text), bare(part)) {
				t.Fatalf("%q: the recipient %q was made up", text, r)
			}
		}
	}
}

// FuzzMessage reads messages with -t.
func FuzzMessage(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v.stdin, true)
	}
	f.Add("To: bob\n.\n", false)
	f.Add("To: bob (eve@x)\nTo (eve@x): eve\nX-To: eve\nTo\x00: b\x00cc\nB\x00cc: eve@x\n\nBcc: eve\n", false)
	f.Add("to : bob\n\tBcc: eve\nFrom eve\n\nx", true)
	f.Fuzz(func(t *testing.T, s string, dots bool) {
		w := newWorld(t)
		list := []string{"-t"}
		if dots {
			list = append(list, "-i")
		}
		got := w.run(s, list...)
		checkResult(t, w, got, s)
		if got.message == nil {
			return
		}
		rcpts := got.message.rcpts()
		checkRcpts(t, rcpts, s)
		head, body := got.message.parts(t)
		for line := range strings.Lines(strings.ToLower(head)) {
			if strings.HasPrefix(line, "bcc:") || strings.HasPrefix(line, "return-path:") {
				t.Fatalf("%q: %q in the header", s, line)
			}
		}
		checkBody(t, s, head, body)
		if got.message.hasRoom(head) {
			checkNobodyMore(t, list, s, rcpts, body)
		}
	})
}

// hasRoom reports whether fields can be added without coming to a limit.
func (m message) hasRoom(head string) bool {
	return strings.Count(head, "\n") < header.MaxFields-20 && len(head) < header.MaxBlock-1000
}

// checkBody holds that body stands in the input s, in this order and at its end, but for blanks and what NUL and CR
// became.
func checkBody(t *testing.T, s, head, body string) {
	t.Helper()
	bare := strings.NewReplacer(" ", "", "\r", "", "\n", "", "\x00", "").Replace
	if all, kept := bare(s), bare(body); !strings.Contains(all, kept) {
		t.Fatalf("%q: the body is %q", s, body)
	}
	for _, name := range []string{"from", "date", "message-id", "received"} {
		if !strings.Contains(strings.ToLower(head), "\n"+name+":") {
			t.Fatalf("%q: there is no %s in\n%s", s, name, head)
		}
	}
}

// checkNobodyMore adds what names somebody, but not as a recipient: the recipients and the body stay.
func checkNobodyMore(t *testing.T, args []string, s string, rcpts []string, body string) {
	t.Helper()
	var split header.Splitter
	var norm header.Normalizer
	text := norm.Close(norm.Append(nil, []byte(s)))
	if _, err := split.Feed(text); err != nil || split.End() != nil || len(split.Header()) == 0 {
		return // what is put before it would not stand in its header
	}
	if strings.HasPrefix(s, "\r") || strings.HasPrefix(s, "\x00") {
		return
	}
	for _, more := range []string{"X-To: eve@example.com\n", "To: (eve@example.com, <eve>)\n", "Cc: eve:;\n", "Reply-To: eve\n\teve@example.com\n",
		"Apparently-To: eve\n", "X: \x00To: eve\rBcc: eve\n", "cc: , ;,\n", "Subject: eve\r\n To: eve@example.com\r\n"} {
		w := newWorld(t)
		got := w.run(more+s, args...)
		if got.message == nil || !slices.Equal(got.message.rcpts(), rcpts) {
			t.Fatalf("%q: with %q it has other recipients: %+v, not %q", s, more, got, rcpts)
		}
		if _, same := got.message.parts(t); same != body {
			t.Fatalf("%q: with %q the body is %q, not %q", s, more, same, body)
		}
	}
}
