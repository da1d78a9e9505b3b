package compat_test

import (
	"strings"
	"testing"
)

// sysexits are the statuses there are.
var sysexits = map[int]bool{0: true, 64: true, 65: true, 66: true, 69: true, 73: true, 74: true, 75: true, 77: true, 78: true}

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

// FuzzArgs reads arguments parted by newlines, but for those that name files to be read.
func FuzzArgs(f *testing.F) {
	for _, s := range []string{"-t\n-i", "-tif\nx@example.org\nbob", "-oi\n-odq\n-N\nnever\n--\n-bob", "-X/tmp/f\n-bd", "-q15m", "-V\na+2Bb\nbob",
		"-F\nA \"B\" C\n-f\n<>\nbob, |x", "-bp\nid", "-h\n99", "-O\nIgnoreDots=false\nbob"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list := strings.Split(strings.ReplaceAll(s, "\x00", ""), "\n")
		for _, a := range list {
			if strings.HasPrefix(a, "-") && strings.ContainsAny(a, "CAI") {
				return // they open files of the host
			}
		}
		w := newWorld(t)
		checkResult(t, w, w.run("To: bob\nSubject: s\n\nx\n", list...), list)
	})
}

// FuzzMessage reads messages with -t.
func FuzzMessage(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v.stdin, true)
	}
	f.Add("To: bob\n.\n", false)
	f.Fuzz(func(t *testing.T, s string, dots bool) {
		w := newWorld(t)
		list := []string{"-t"}
		if dots {
			list = append(list, "-i")
		}
		got := w.run(s, list...)
		checkResult(t, w, got, s)
		if got.message != nil {
			head, _ := got.message.parts(t)
			for line := range strings.Lines(strings.ToLower(head)) {
				if strings.HasPrefix(line, "bcc:") || strings.HasPrefix(line, "return-path:") {
					t.Fatalf("%q: %q in the header", s, line)
				}
			}
		}
	})
}
