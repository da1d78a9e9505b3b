package compat_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"signpost/compat"
	"signpost/compat/header"
	"signpost/spool"
)

func TestWhatTheSpoolIsTold(t *testing.T) {
	w := newWorld(t)
	w.env = map[string]string{"NAME": "Env\x1b Name", "LOGNAME": "ann", "USER": "mallory"}
	got := w.run("a: b\x00\n\nc\x00\x00\n", "-N", "FAILURE,delay", "-R", "full", "-V", "a+2Bb", "-odq", "-L", "tag\n\x1b[2J"+strings.Repeat("x", 99),
		"-B", "8bitmime", "-n", "-i", b, `Bob <\bob>`)
	if got.status != 0 {
		t.Fatal(got)
	}
	told := w.told
	if told.Ret != "FULL" || told.EnvID != "a+b" || !told.Queued || told.Body != "8BITMIME" || told.NULs != 3 || told.PID != 4711 {
		t.Errorf("told %+v", told)
	}
	if told.Name != "Env  Name" || told.Login != "ann" || told.Label != "tag [2J"+strings.Repeat("x", 25) {
		t.Errorf("told %q, %q, %q", told.Name, told.Login, told.Label)
	}
	if told.Sender != nil || told.FullName != nil {
		t.Errorf("told of a sender or name that were not given: %+v", told)
	}
	for _, r := range told.Rcpts {
		if r.Notify != spool.NotifyFailure|spool.NotifyDelay || !r.NoAlias {
			t.Errorf("recipient %+v", r)
		}
	}
}

func TestNoOptionOpensAFile(t *testing.T) {
	for _, format := range []string{"-X %s", "-X%s", "-D%s", "-D %s", "-OQueueDirectory=%s", "-oQ%s", "-d9", "-O AliasFile=%s", "-oA%s"} {
		w := newWorld(t)
		path := filepath.Join(t.TempDir(), "f")
		list := strings.Fields(strings.ReplaceAll(format, "%s", path))
		got := w.run(msgB, append(list, "-i", b)...)
		if got.status != 0 || got.message == nil || got.stderr != "" {
			t.Errorf("%s: %+v", format, got)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s made a file", format)
		}
	}
}

func TestNoAliasHoldsForOperandsAlone(t *testing.T) {
	w := newWorld(t)
	w.run("To: bob, \\ann\n\nx\n", "-t", "-n", "carol")
	var got []string
	for _, r := range w.told.Rcpts {
		got = append(got, fmt.Sprint(r.Addr, r.NoAlias))
	}
	if want := "caroltrue bobfalse anntrue"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestBadMembers(t *testing.T) {
	w := newWorld(t)
	got := w.run("To: bob@example.com, a@b@c, |cmd, a@b@c\nCc: \x1b[2J@example.com\n\nx\n", "-t")
	if got.status != 0 || strings.Count(got.stderr, "\n") != 3 || strings.Contains(got.stderr, "\x1b") {
		t.Fatalf("status %d, stderr %q", got.status, got.stderr)
	}
	for i, r := range w.told.Rcpts {
		if want := i > 0; (r.Last.Status == spool.Status{Class: 5, Subject: 1, Detail: 3}) != want {
			t.Errorf("recipient %+v", r)
		}
	}
	if got := got.message.env.Rcpts; len(got) != 4 {
		t.Errorf("queued for %+v", got)
	}
	if got := w.run("To: a@b@c, |cmd\n\nx\n", "-t"); got.status != 65 || got.message != nil || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("none good: %+v", got)
	}
	if got := w.run(msgB, "a@b@c"); got.status != 65 || got.read != 0 {
		t.Errorf("a bad operand: %+v", got)
	}
}

func TestSenderForms(t *testing.T) {
	for value, want := range map[string]string{
		"a@example.org": "a@example.org", "<a@example.org>": "a@example.org", "Name <a@example.org>": "a@example.org",
		" <> ": "", "": "", "a": "a", `\a`: "a",
		"-x": "!", "a@example.org,b@example.org": "!", "a@b@c": "!", "<a@example.org> b": "!", "G:;": "!", "|id": "!", "/f": "!",
		"a\x7f@example.org": "!", "a\tb@example.org": "!", strings.Repeat("a", 400): "!", "\xff@example.org": "!",
		strings.Repeat(" ", 1<<16) + "a@example.org": "!",
	} {
		w := newWorld(t)
		got := w.run(msgB, "-f", value, b)
		switch {
		case want == "!":
			if got.status != 65 || got.message != nil || got.read != 0 || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("-f %q: %+v", value, got)
			}
		case got.status != 0 || w.told.Sender == nil || *w.told.Sender != want:
			t.Errorf("-f %q: %+v, told %v", value, got, w.told.Sender)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		args   string // parted by blanks; _ is an empty argument
		status int
	}{
		{"-i -- -a@example.com -b@example.com", 0},
		{"_ bob@example.com", 0},
		{"_", 64},
		{"bob@example.com --", 64},
		{"bob@example.com -", 64},
		{"-", 0}, // a strange name, but a name
		{"-M x bob@example.com", 64},
		{"-Mxvalue bob@example.com", 64},
		{"-Q bob@example.com", 64},
		{"-s bob@example.com", 64},
		{"-E bob@example.com", 64},
		{"-J bob@example.com", 64},
		{"-\xff bob@example.com", 64},
		{"--bogus", 64},
		{"-h 51 bob@example.com", 64},
		{"-h x bob@example.com", 64},
		{"-h -1 bob@example.com", 64},
		{"-h50 bob@example.com", 0},
		{"-oxvalue -O Bogus=1 -o _ -O _ -oi bob@example.com", 0},
		{"-odz -oez -e q -em bob@example.com", 0},
		{"-T 5d -xc bob@example.com", 0},
		{"-ba bob@example.com", 64},
		{"-b _ bob@example.com", 64},
		{"-bpx", 64},
		{"-bD", 64},
		{"-bd -q15m", 64},
		{"-bv", 64},
		{"-bv -t", 64},
		{"-bp -t", 64},
		{"-bi -t", 64},
		{"-bi x", 64},
		{"-q -t", 64},
		{"-q bob@example.com", 64},
		{"-q15m bob@example.com", 64}, // a message would be lost
		{"-q15m -t", 64},
		{"-qG", 64},
		{"-qL", 64},
		{"-qQreason", 64},
		{"-q!Ix", 0},
		{"-q!I", 64}, // nothing, or everything?
		{"-q!", 64},
		{"-q!f", 64},
		{"-q!!Ix", 64},
		{"-q!15m", 64},
		{"-q1h30m", 0},
		{"-qp15m", 0},
		{"-qp", 0},
		{"-bh x", 0},
		{"-bs -bp", 0}, // the last wins
		{"-bd -bm bob@example.com", 0},
		{"-F", 64},
		{"-C", 64},
		{"-V a+2 bob@example.com", 0},
	} {
		t.Run(tt.args, func(t *testing.T) {
			list := strings.Fields(tt.args)
			for i, a := range list {
				if a == "_" {
					list[i] = ""
				}
			}
			w := newWorld(t)
			got := w.run(msgB, list...)
			if got.status != tt.status || got.status != 0 && (got.message != nil || got.read > 0 || strings.Count(got.stderr, "\n") != 1) {
				t.Errorf("%+v, want status %d", got, tt.status)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		arg0, args string
		status     int
		queued     bool
		stdout     string
	}{
		{"sendmail", b, 0, true, ""},
		{"-sendmail", b, 0, true, ""},
		{"send-mail", b, 0, true, ""},
		{"/usr/sbin/sendmail.signpost", b, 0, true, ""},
		{"anything", b, 0, true, ""},
		{"", b, 0, true, ""},
		{"mailq.signpost", "", 0, false, "Mail queue is empty\n"},
		{"mailq", "-bm " + b, 0, true, ""},
		{"rmail", b, 0, true, ""},
		{"rmail", "-t", 64, false, ""},
		{"hoststat", "", 0, false, ""},
		{"purgestat", "", 0, false, ""},
		{"smtpd", "", 64, false, ""},
		{"runq", "", 0, false, ""},
		{"mailq", "-q", 0, false, ""},
	} {
		w := newWorld(t)
		w.arg0 = tt.arg0
		if tt.arg0 == "" {
			w.arg0 = "/"
		}
		got := w.run("a\n.\nb\n", strings.Fields(tt.args)...)
		if got.status != tt.status || (got.message != nil) != tt.queued || got.stdout != tt.stdout {
			t.Errorf("%s %s: %+v", tt.arg0, tt.args, got)
		}
		if runs := (tt.arg0 == "runq" || tt.args == "-q"); (len(w.ran) == 1) != runs {
			t.Errorf("%s %s: queue runs %v", tt.arg0, tt.args, w.ran)
		}
		if tt.arg0 == "rmail" && tt.queued && !strings.HasSuffix(got.message.content, "a\r\n.\r\nb\r\n") {
			t.Errorf("rmail took a lone dot for the end: %q", got.message.content)
		}
	}
}

func TestNoArgumentsAtAll(t *testing.T) {
	var stderr bytes.Buffer
	if got := compat.Main(t.Context(), compat.Env{Stdin: strings.NewReader(msgB), Stderr: &stderr}); got != 64 {
		t.Errorf("status %d, %q", got, stderr.String())
	}
}

func TestWithoutOutput(t *testing.T) {
	w := newWorld(t)
	got := compat.Main(t.Context(), compat.Env{Args: args("sendmail", "-v", "-N", "bogus", b), Stdin: strings.NewReader(msgB), Spool: w, Config: w.config})
	if got != 0 || w.last == nil {
		t.Errorf("status %d", got)
	}
	got = compat.Main(t.Context(), compat.Env{Args: args("sendmail", "-v", b), Stdin: strings.NewReader(msgB), Spool: w, Config: w.config,
		Stdout: closedPipe{}, Stderr: closedPipe{}})
	if got != 0 || w.last == nil {
		t.Errorf("with a closed pipe: status %d", got)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestQuiet(t *testing.T) {
	for _, list := range [][]string{{"-oeq", "-bd"}, {"-eq", "-i"}, {"-OErrorMode=quiet", "-N", "bogus", "a@b@c"}} {
		if got := newWorld(t).run(msgB, list...); got.status == 0 || got.stderr != "" {
			t.Errorf("%v: %+v", list, got)
		}
	}
	if got := newWorld(t).run(msgB, "-N", "bogus", "-oeq", b); got.status != 0 || got.stderr != "" {
		t.Errorf("a warning before -oeq: %+v", got)
	}
}

func TestTooManyRecipients(t *testing.T) {
	list := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "u%d@example.com,\n ", i)
		}
		return b.String()
	}
	for n, want := range map[int]int{10_000: 0, 10_001: 65, 100_000: 65} {
		in := "To: " + strings.TrimRight(list(min(n, 20_000)), " \n") + "\n"
		for rest := n - 20_000; rest > 0; rest -= 20_000 { // fields have a limit too
			in += "Cc: " + strings.TrimRight(strings.ReplaceAll(list(20_000), "@", fmt.Sprintf(".%d@", rest)), " \n") + "\n"
		}
		if got := newWorld(t).run(in+"\nx\n", "-t"); got.status != want || (got.message != nil) != (want == 0) {
			t.Errorf("-t with %d: status %d, %q", n, got.status, cut(got.stderr))
		}
		operands := strings.Split(strings.ReplaceAll(strings.TrimRight(list(n), ", \n"), "\n", ""), ", ")
		if got := newWorld(t).run(msgB, operands...); got.status != want || (got.message != nil) != (want == 0) {
			t.Errorf("%d operands: status %d, %q", len(operands), got.status, cut(got.stderr))
		}
	}
	same := strings.Repeat("bob@example.com,", 20_000)
	if got := newWorld(t).run(msgB, same); got.status != 0 || len(got.message.env.Rcpts) != 1 {
		t.Errorf("one recipient 20,000 times: status %d, %q", got.status, cut(got.stderr))
	}
}

func cut(s string) string { return s[:min(len(s), 300)] }

func TestAddressThatIsTooLong(t *testing.T) {
	long := strings.Repeat("a", 309) + "@example.com"
	for _, got := range []result{newWorld(t).run(msgB, b, long), newWorld(t).run("To: bob@example.com, "+long+"\n\n", "-t")} {
		if got.status != 65 || got.message != nil || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%+v", got)
		}
	}
}

// endless is a message that never ends.
type endless struct {
	start *strings.Reader
	text  string
	reads int // octets read
}

func (e *endless) Read(p []byte) (int, error) {
	n, _ := e.start.Read(p)
	for n < len(p) {
		n += copy(p[n:], e.text)
	}
	e.reads += n
	return n, nil
}

func TestLimitsStopReading(t *testing.T) {
	line := strings.Repeat("x", 98) + "\n"
	for _, tt := range []struct {
		name, start, text string
		most              int
	}{
		{"a body over the size", "Subject: s\n\n", line, 4_200_000},
		{"a header of fields", "", "X: " + line, 1_200_000},
		{"one field", "X: ", line + " ", 700_000},
		{"one line of header", "X: ", "x", 700_000},
		{"one line of body", "Subject: s\n\n", "x", 4_200_000},
		{"only NULs", "Subject: s\n\n", "\x00", 4_200_000},
		{"only CRs", "", "\r", 4_200_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.configure("[spool]\nmax_message_size = \"4MB\"\n")
			in := &endless{start: strings.NewReader(tt.start), text: tt.text}
			w.stdin = in
			got := w.run("", "-i", b)
			if got.status != 65 || got.message != nil || strings.Count(got.stderr, "\n") != 1 || in.reads > tt.most {
				t.Errorf("%+v after %d octets", got, in.reads)
			}
		})
	}
}

func TestHeaderOfTenMegabytes(t *testing.T) {
	got := newWorld(t).run("To: bob@example.com\nX: "+strings.Repeat("x", 10<<20)+"\n\nx\n", "-t")
	if got.status != 65 || got.message != nil {
		t.Errorf("status %d, %q", got.status, got.stderr)
	}
}

func TestMessageJustWithinTheSize(t *testing.T) {
	const text = "Subject: s\r\n\r\nbody\r\n"
	for size, want := range map[int]int{len(text): 0, len(text) - 1: 65} {
		w := newWorld(t)
		w.configure(fmt.Sprintf("[spool]\nmax_message_size = \"%dB\"\n", size))
		if got := w.run("Bcc: carol@example.com\nSubject: s\n\nbody", b); got.status != want {
			t.Errorf("limit %d: %+v", size, got)
		}
	}
}

func TestInputThatCannotBeRead(t *testing.T) {
	torn := iotest.ErrReader(syscall.EIO)
	for name, in := range map[string]io.Reader{
		"at once":       torn,
		"in the header": io.MultiReader(strings.NewReader("Subject: s\n"), torn),
		"in the body":   io.MultiReader(strings.NewReader("Subject: s\n\nx"), torn),
		"far behind":    io.MultiReader(strings.NewReader("Subject: s\n\n"+strings.Repeat("x\n", 2<<20)), torn),
	} {
		w := newWorld(t)
		w.stdin = in
		got := w.run("", b)
		if got.status != 74 || got.message != nil || !strings.Contains(got.stderr, "cannot read message") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// What stands behind the lone dot is not asked for.
	w := newWorld(t)
	w.stdin = io.MultiReader(strings.NewReader("Subject: s\n\nx\n.\n"), torn)
	if got := w.run("", b); got.status != 0 {
		t.Errorf("behind the dot: %+v", got)
	}
}

func TestInputInPieces(t *testing.T) {
	in := "From x Mon\r\nTo: bob@example.com\r\nBcc: " + c + "\r\n\r\nbody\r\n.\r\nmore"
	want := newWorld(t).run(in, "-t")
	for name, r := range map[string]io.Reader{
		"octets": iotest.OneByteReader(strings.NewReader(in)), "halves": iotest.HalfReader(strings.NewReader(in)),
		"EOF with data": iotest.DataErrReader(strings.NewReader(in)),
	} {
		w := newWorld(t)
		w.stdin = r
		got := w.run("", "-t")
		_, gotBody := got.message.parts(t)
		_, wantBody := want.message.parts(t)
		if got.status != 0 || gotBody != wantBody || strings.Join(got.message.rcpts(), " ") != b+" "+c {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	w := newWorld(t)
	w.stdin = panicking{}
	if got := w.run("", b); got.status != 70 || got.message != nil || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("%+v", got)
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("two\nlines") }

// sink is a spool that forgets.
type sink struct {
	world
	n int64
}

func (s *sink) Submit(context.Context, spool.Told) (spool.Handover, error) { return s, nil }
func (s *sink) Write(p []byte) (int, error)                                { s.n += int64(len(p)); return len(p), nil }
func (s *sink) ID() spool.ID                                               { return "" }
func (s *sink) Commit() error                                              { return nil }
func (s *sink) Abort() error                                               { return nil }

func TestMemoryIsFlat(t *testing.T) {
	const size = 49 << 20
	w := newWorld(t)
	w.configure("[spool]\nmax_message_size = \"60MB\"\n")
	s := &sink{}
	in := io.LimitReader(&endless{start: strings.NewReader("Subject: s\n\n"), text: strings.Repeat("x", 98) + "\n"}, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	status := compat.Main(t.Context(), compat.Env{Args: args("sendmail", b), Stdin: in, Stderr: io.Discard, Spool: s, Config: w.config})
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; status != 0 || s.n < size || took > 8<<20 {
		t.Errorf("status %d, %d octets, %d allocated", status, s.n, took)
	}
}

func TestStatusOfRefusals(t *testing.T) {
	st := func(a, b, c int) spool.Status { return spool.Status{Class: a, Subject: b, Detail: c} }
	for _, tt := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("drop: %w", spool.ErrNoSpace), 75},
		{&spool.Error{Status: st(4, 3, 0), Err: syscall.EROFS}, 75},
		{&spool.Error{Status: st(4, 4, 2), Err: fmt.Errorf("%w: x; y", spool.ErrNoDaemon)}, 75},
		{&spool.Error{Status: st(5, 3, 4), Err: spool.ErrTooBig}, 65},
		{spool.Errorf(st(5, 1, 7), "bad sender"), 65},
		{spool.Errorf(st(5, 4, 6), "loop"), 65},
		{spool.Errorf(st(5, 7, 1), "no"), 77},
		{spool.Errorf(st(5, 3, 0), "own bug"), 70},
		{header.ErrBlock, 65},
		{errors.New("what is this"), 75}, // without a status: 4.3.0
	} {
		w := newWorld(t)
		w.refuse = tt.err
		got := w.run(msgB, "-v", b)
		if got.status != tt.want || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%v: %+v, want status %d", tt.err, got, tt.want)
		}
	}
}

func TestConfiguration(t *testing.T) {
	const broken = "hostname = 7\n"
	t.Run("of -C that is not there", func(t *testing.T) {
		for _, path := range []string{"/nonexistent/signpost.toml", ""} {
			if got := newWorld(t).run(msgB, "-C", path, b); got.status != 66 || got.read > 0 || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("-C %q: %+v", path, got)
			}
		}
	})
	t.Run("a mistake elsewhere costs a warning", func(t *testing.T) {
		w := newWorld(t)
		w.configure(broken)
		if got := w.run(msgB, b); got.status != 0 || got.message == nil || strings.Count(got.stderr, "\n") != 1 ||
			!strings.Contains(got.stderr, ":1:") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("without a place and without a daemon", func(t *testing.T) {
		w := newWorld(t)
		w.configure("[spool]\npath = 7\n")
		for _, list := range [][]string{{b}, {"-q"}, {"-bp"}} {
			var stderr bytes.Buffer
			got := compat.Main(t.Context(), compat.Env{Args: append(args("sendmail"), list...), Stdin: strings.NewReader(msgB), Stdout: io.Discard,
				Stderr: &stderr, Config: w.config, Socket: filepath.Join(t.TempDir(), "none.sock")})
			if got != 78 || !strings.Contains(stderr.String(), "signpost.toml:2:") || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("%v: status %d, %q", list, got, stderr.String())
			}
		}
	})
	t.Run("without a place but with a daemon", func(t *testing.T) {
		w := newWorld(t)
		w.configure("[spool]\npath = 7\n")
		if got := w.run(msgB, b); got.status != 0 || got.message == nil {
			t.Errorf("%+v", got)
		}
	})
}

// real runs a command with the spool that the configuration names, and no daemon.
func real(t *testing.T, config string, list ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = compat.Main(t.Context(), compat.Env{Args: append(args("sendmail"), list...), Stdin: strings.NewReader(msgB), Stdout: &out,
		Stderr: &errs, Config: config, Socket: filepath.Join(t.TempDir(), "none.sock")})
	return status, out.String(), errs.String()
}

func TestWithoutADaemon(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Dir(w.config)
	w.configure("[spool]\npath = \"spool\"\n")
	if status, _, stderr := real(t, w.config, b); status != 73 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("no spool: status %d, %q", status, stderr)
	}
	if status, stdout, stderr := real(t, w.config, "-bp"); status != 75 || stdout != "" || strings.Count(stderr, "\n") != 1 {
		t.Errorf("no spool: mailq: status %d, %q, %q", status, stdout, stderr)
	}
	w.configure("[spool]\npath = \"spool\"\nsocket = \"submit.sock\"\n")
	if status, _, stderr := real(t, w.config, b); status != 75 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("the socket's folder alone: status %d, %q", status, stderr)
	}
	w.configure("[spool]\npath = \"spool\"\n")
	store, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if status, stdout, _ := real(t, w.config, "-bp"); status != 0 || stdout != "Mail queue is empty\n" {
		t.Errorf("an empty spool: status %d, %q", status, stdout)
	}
	if status, stdout, stderr := real(t, w.config, "-v", b); status != 0 || stdout == "" || stderr != "" {
		t.Errorf("drop: status %d, %q, %q", status, stdout, stderr)
	}
	if status, stdout, _ := real(t, w.config, "-bp"); status != 0 || !strings.Contains(stdout, b) || !strings.Contains(stdout, "1 Request.") {
		t.Errorf("a message in drop/: status %d, %q", status, stdout)
	}
	if status, _, stderr := real(t, w.config, "-q"); status != 69 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("-q: status %d, %q", status, stderr)
	}
}

func TestQueueRun(t *testing.T) {
	for arg, want := range map[string]spool.Filter{
		"-q": {}, "-qf": {}, "-qIabc": {ID: "abc"}, "-qRexample.com": {Rcpt: "example.com"}, "-qSann": {Sender: "ann"},
		"-qI": {}, "-q!I!": {NotID: "!"}, "-q!Rexample.com": {NotRcpt: "example.com"}, "-q!Sann": {NotSender: "ann"},
	} {
		w := newWorld(t)
		if got := w.run("", arg); got.status != 0 || got.stdout+got.stderr != "" || len(w.ran) != 1 || w.ran[0] != want {
			t.Errorf("%s: %+v, %+v", arg, got, w.ran)
		}
	}
	for err, want := range map[error]int{spool.ErrNoDaemon: 69, spool.ErrForbidden: 77,
		spool.Errorf(spool.Status{Class: 5, Subject: 7, Detail: 1}, "%w", spool.ErrForbidden): 77} {
		w := newWorld(t)
		w.failing = err
		if got := w.run("", "-q"); got.status != want || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%v: %+v", err, got)
		}
	}
}

func TestNewAliases(t *testing.T) {
	w := newWorld(t)
	w.arg0 = "newaliases"
	path := w.write("aliases", "root: ann\nbob: carol@example.com\n")
	got := w.run("")
	if want := path + ": 2 aliases, longest 17 bytes, 27 bytes total\n"; got.status != 0 || got.stdout != want || got.stderr != "" || w.reloads != 1 {
		t.Errorf("%+v, want %q", got, want)
	}
	w.failing = spool.ErrForbidden
	if got := w.run(""); got.status != 0 || got.stderr != "" {
		t.Errorf("a user who may not reload: %+v", got)
	}
	w.failing = errors.New("bad configuration")
	if got := w.run(""); got.status != 0 || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("a daemon that does not reload: %+v", got)
	}
	w.failing = nil
	w.write("aliases", "root: ann\nno colon\nroot: bob\n")
	if got := w.run(""); got.status != 65 || !strings.Contains(got.stdout, " 1 aliases,") || strings.Count(got.stderr, "\n") != 2 ||
		!strings.Contains(got.stderr, path+":2: ") {
		t.Errorf("a bad line: %+v", got)
	}
	w.write("aliases", "root: ann\nroot: bob\n")
	if got := w.run(""); got.status != 0 || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("a duplicate: %+v", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := w.run(""); got.status != 0 || !strings.Contains(got.stdout, ": 0 aliases,") {
		t.Errorf("no file: %+v", got)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := w.run(""); got.status != 66 || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("a folder: %+v", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.write("aliases", "robot: |/bin/true\n")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := w.run(""); got.status != 0 || !strings.Contains(got.stderr, "chmod go-w") {
		t.Errorf("programs of a file that all can write: %+v", got)
	}
	other := w.write("other", "x: y\n")
	broken := w.write("broken.toml", "[spool]\npath = 5\n")
	if got := w.run("", "-C", broken); got.status != 78 || !strings.Contains(got.stderr, broken+":2:") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("a broken configuration: %+v", got)
	}
	if got := w.run("", "-C", broken, "-oA"+other); got.status != 0 || got.stderr != "" {
		t.Errorf("a broken configuration that does not matter: %+v", got)
	}
	halfBroken := w.write("half.toml", "[local]\naliases = 5\n")
	if got := w.run("", "-C", halfBroken); !strings.Contains(got.stderr, halfBroken+":2:") {
		t.Errorf("a broken configuration: %+v", got)
	}
	for _, list := range [][]string{{"-oA" + other}, {"-OAliasFile=" + other}} {
		w.reloads = 0
		if got := w.run("", list...); got.status != 0 || !strings.HasPrefix(got.stdout, other+": 1 aliases,") || w.reloads != 0 {
			t.Errorf("%v: %+v", list, got)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	w := newWorld(t)
	help := w.run("", "--help")
	if help.status != 0 || help.stderr != "" || help.read != 0 || !strings.Contains(help.stdout, "\n  -t ") {
		t.Errorf("--help: %+v", help)
	}
	if got := w.run("", "-i", "--version"); got.status != 0 || !strings.HasPrefix(got.stdout, "sendmail (signpost) ") {
		t.Errorf("--version: %+v", got)
	}
}
