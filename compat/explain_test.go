package compat_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"

	"signpost/spool"
)

// explain asks what a call would do.
func (w *world) explain(stdin string, args ...string) result {
	return w.run(stdin, append([]string{"--explain", "--"}, args...)...)
}

// checkExplained holds that --explain says of a call what the call did, does nothing, and prints nothing that could
// move a cursor.
func checkExplained(t *testing.T, w *world, stdin string, args []string, did result) {
	t.Helper()
	if len(args) > 0 && strings.HasPrefix(args[0], "--") {
		return // --explain does not say what itself does; and help is not repeated
	}
	ran, reloads := len(w.ran), w.reloads
	got := w.explain(stdin, args...)
	if got.status != did.status {
		t.Fatalf("%q: --explain gives status %d, the call gave %d (%q):\n%s", args, got.status, did.status, did.stderr, got.stdout)
	}
	if got.message != nil || len(w.ran) != ran || w.reloads != reloads {
		t.Fatalf("%q: --explain did something", args)
	}
	if got.stderr != "" {
		t.Fatalf("%q: stderr %q", args, got.stderr)
	}
	if i := strings.IndexFunc(got.stdout, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Fatalf("%q: octet %d is not printable: %q", args, i, got.stdout)
	}
	if want := fmt.Sprintf("Exit status %d", did.status); !strings.Contains(got.stdout, want) {
		t.Fatalf("%q: no %q in\n%s", args, want, got.stdout)
	}
	if did.message != nil && strings.Contains(got.stdout, "\nEnvelope") { // not of a dialogue
		checkEnvelope(t, got.stdout, did.message.env)
	}
}

// checkEnvelope compares the envelope that is shown with the one that was queued.
func checkEnvelope(t *testing.T, text string, env spool.Envelope) {
	t.Helper()
	var shown []string
	for line := range strings.Lines(text) {
		for _, what := range []string{"  sender        ", "  recipient     "} {
			if rest, ok := strings.CutPrefix(line, what); ok {
				shown = append(shown, rest[:strings.LastIndex(rest, ">")+1])
			}
		}
	}
	want := []string{"<" + env.Sender + ">"}
	for _, r := range env.Rcpts {
		if !r.Settled() {
			want = append(want, "<"+r.Addr+">")
		}
	}
	escaped := strings.IndexFunc(strings.Join(want, ""), func(r rune) bool { return !unicode.IsPrint(r) }) >= 0
	if strings.Join(shown, " ") != strings.Join(want, " ") && len(want) < 100 && !escaped {
		t.Errorf("shown\n%q\nqueued\n%q\nin\n%s", shown, want, text)
	}
}

func TestExplainSaysWhatTheCallDoes(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.id, func(t *testing.T) {
			w := newWorld(t)
			w.user, w.env, w.arg0 = v.user, v.env, v.arg0
			checkExplained(t, w, v.stdin, v.args, w.run(v.stdin, v.args...))
		})
	}
}

// explained is a call, and what must be said of it.
type explained struct {
	name   string
	args   []string
	stdin  string
	status int
	has    []string
}

func TestExplain(t *testing.T) {
	for _, tt := range []explained{
		{"clusters are taken apart", args("-tif", x), msgT, 0,
			[]string{`1  "-tif"`, "-t            take recipients", "-i            a line", `-f            "x@example.org", the next argument`,
				`2  "x@example.org"  the value of the option before`}},
		{"an option that is ignored", args("-X", "/f", "-om", b), msgB, 0,
			[]string{`"/f", the next argument: ignored; of other mail systems: where to log the dialogue`, `"m": ignored`}},
		{"a value that is ignored", args("-N", "bogus", b), msgB, 0, []string{"ignored: when the sender", "warning: -N bogus"}},
		{"a value that is given twice", args("-f", "a@example.org", "-r", x, b), msgB, 0,
			[]string{`"a@example.org", the next argument: overruled by a later one`, "sender        <" + x + ">  as -f says"}},
		{"an option that is not there", args("-z", b), msgB, 64, []string{"refused: no option there is", `2  "bob@example.com"  not read`}},
		{"a value that is missing", args("-f"), msgB, 64, []string{"refused", "needs a value"}},
		{"an option behind an operand", args(b, "-i"), msgB, 64, []string{`1  "bob@example.com"  refused: "-i" stands behind a recipient`, `2  "-i"  not read`}},
		{"two dashes", args("--", "-bob@example.com"), msgB, 0, []string{`1  "--"  options end here`, `<-bob@example.com>  argument 2`}},
		{"a list of good and bad", args("Bob <bob@example.com>, a@b@c"), msgB, 0,
			[]string{"recipient     <bob@example.com>  argument 1", `bad           "a@b@c"  argument 1: bad address: more than one @`}},
		{"recipients of the header", args("-t", "bob"), "To: carol@example.com, bob\nBcc: x@example.org\n\nb\n", 0,
			[]string{"<bob@" + host + ">  argument 2; the domain is the origin", "<carol@example.com>  To", "<x@example.org>  Bcc",
				"1 recipient more, given before", "Left out: Bcc", "Added by the daemon: Received, Date, From, Message-ID"}},
		{"no recipients", args("-t"), msgB, 64, []string{"no recipient, neither in the header", "Exit status 64; nothing would be queued"}},
		{"a null sender", args("-f", "", b), msgB, 0, []string{"sender        <>  the null reverse-path"}},
		{"a bad sender", args("-f", "a@b, c@d", b), msgB, 65, []string{"sender        none: sender \"a@b, c@d\" is not one address"}},
		{"what goes with the envelope", args("-N", "success,delay", "-R", "hdrs", "-V", "id+2B", "-odq", b), msgB, 0,
			[]string{"NOTIFY        SUCCESS,DELAY", "RET           HDRS", "ENVID         id+", "until somebody asks for a queue run"}},
		{"silence", args("-oeq", "-t"), msgB, 64, []string{"Exit status 64, without a word as -oeq asks: no recipient"}},
		{"octets that move the cursor", args("-F", "\x1b[2J\u202e", "\x1b@\xff"), "X-\x1b: y\n\n", 65, []string{`\x1b[2J\u202e`, `\x1b@\xff`}},
		{"a queue run", args("-qRexample"), "", 0, []string{"one of whose recipients contains the text", "would be asked"}},
		{"an interval", args("-q15m"), "", 0, []string{"an interval", "Nothing."}},
		{"a mode that is refused", args("-bd"), "", 64, []string{"refused: `signpost serve` is the daemon"}},
		{"nothing at all", nil, msgB, 64, []string{"There are no arguments", "no recipient given"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			got := w.explain(tt.stdin, tt.args...)
			if got.status != tt.status || got.message != nil {
				t.Errorf("status %d, want %d; %v", got.status, tt.status, got.message)
			}
			for _, text := range tt.has {
				if !strings.Contains(got.stdout, text) {
					t.Errorf("no %q in\n%s", text, got.stdout)
				}
			}
		})
	}
}

// The caller's name is that of the file of accounts, LOGNAME deciding between several of one uid.
func TestExplainNamesTheCaller(t *testing.T) {
	w := newWorld(t)
	w.write("passwd", "ann:x:1001:1:::\nanna:x:1001:1:::\nmallory:x:1003:1:::\n")
	for login, want := range map[string]string{"": "ann", "anna": "anna", "mallory": "ann"} {
		w.env = map[string]string{"LOGNAME": login}
		if got := w.explain(msgB, b); !strings.Contains(got.stdout, "sender        <"+want+"@"+host+">") {
			t.Errorf("LOGNAME=%s: no %s in\n%s", login, want, got.stdout)
		}
	}
	w.write("passwd", "")
	if got := w.explain(msgB, b); !strings.Contains(got.stdout, "<uid1001@"+host+">") {
		t.Errorf("no account: %s", got.stdout)
	}
}

func TestExplainTellsTheWay(t *testing.T) {
	w := newWorld(t)
	w.way = spool.Way{Away: errors.New("nobody \x1b there")}
	if got := w.explain(msgB, b); got.status != 0 || !strings.Contains(got.stdout, `nobody \x1b there`) || !strings.Contains(got.stdout, "would be left in") {
		t.Errorf("no daemon: %d\n%s", got.status, got.stdout)
	}
	if got := w.explain("", "-q"); got.status != 69 {
		t.Errorf("no daemon, -q: %d", got.status)
	}
	w.refuse = spool.Errorf(spool.Status{Class: 4, Subject: 3, Detail: 1}, "%w", spool.ErrNoSpace)
	if got := w.explain(msgB, b); got.status != 75 {
		t.Errorf("disk full: %d\n%s", got.status, got.stdout)
	}
}

// On a terminal nobody is asked to type a message.
func TestExplainOnATerminal(t *testing.T) {
	w := newWorld(t)
	w.terminal = true
	w.stdin = refusing{t}
	for _, list := range [][]string{{"-t", "-i"}, {"-i", b}} {
		if got := w.explain("", list...); got.status != 0 || !strings.Contains(got.stdout, "is a terminal and is not read") {
			t.Errorf("%q: %d\n%s", list, got.status, got.stdout)
		}
	}
}

// refusing is a standard input that must be left alone.
type refusing struct{ t *testing.T }

func (r refusing) Read([]byte) (int, error) {
	r.t.Error("standard input was read")
	return 0, io.EOF
}

func TestExplainIsBounded(t *testing.T) {
	w := newWorld(t)
	got := w.explain(msgB, "-i", strings.Repeat("a@b.example, ", 300)+strings.Repeat("i@b.example c@", 5))
	if len(got.stdout) > 20_000 {
		t.Errorf("%d octets", len(got.stdout))
	}
	many := make([]string, 9_000)
	for i := range many {
		many[i] = fmt.Sprintf("u%d@b.example", i)
	}
	got = w.explain(msgB, many...)
	if got.status != 0 || len(got.stdout) > 20_000 || !strings.Contains(got.stdout, "and 8900 recipients more") {
		t.Errorf("%d, %d octets", got.status, len(got.stdout))
	}
}
