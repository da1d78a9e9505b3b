package compat_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpost/spool"
)

// call is one row of the table of options, or one rule of how arguments are read, and what must come of it.
type call struct {
	name   string // of the row or rule
	arg0   string // default sendmail
	args   []string
	status int
	queued bool                  // a message was handed in
	warns  bool                  // a line on stderr, though the status is 0
	told   func(spool.Told) bool // what must hold for the message; nil: nothing more
	body   string                // of the message, with LF; empty: any
	ran    []spool.Filter        // queue runs asked for
	stdout string                // "*": something
}

const audited = "To: carol@example.com\nSubject: s\n\na\n.\nb\n"

func sender(want string) func(spool.Told) bool {
	return func(t spool.Told) bool { return t.Sender != nil && *t.Sender == want }
}

func anything(spool.Told) bool { return true }

func defaults(t spool.Told) bool {
	return t.Sender == nil && t.FullName == nil && t.Ret == "" && t.EnvID == "" && !t.Queued && t.Label == "" && t.Body == "" &&
		!slices.ContainsFunc(t.Rcpts, func(r spool.Recipient) bool { return r.NoAlias || r.Notify != 0 })
}

func notify(want spool.Notify) func(spool.Told) bool {
	return func(t spool.Told) bool { return t.Rcpts[0].Notify == want }
}

// mailed are calls that hand the message in, one for each list of arguments.
func mailed(name string, told func(spool.Told) bool, lists ...[]string) []call {
	var all []call
	for _, a := range lists {
		all = append(all, call{name: name, args: append(slices.Clone(a), "bob"), queued: true, told: told})
	}
	return all
}

// refused are calls that are wrong.
func refused(name string, lists ...[]string) []call {
	var all []call
	for _, a := range lists {
		all = append(all, call{name: name, args: a, status: 64})
	}
	return all
}

// audit is the table of options, row by row, and the rules of how arguments are read, by their number.
func audit() []call {
	none := spool.Filter{}
	rows := []call{
		{name: "-t", args: args("-t"), queued: true, told: func(t spool.Told) bool { return t.Rcpts[0].Addr == c }},
		{name: "-i", args: args("-i", "bob"), queued: true, body: "a\n.\nb\n"},
		{name: "-oi", args: args("-oi", "bob"), queued: true, body: "a\n.\nb\n"},
		{name: "-oitrue", args: args("-oitrue", "bob"), queued: true, body: "a\n.\nb\n"},
		{name: "-O IgnoreDots", args: args("-O", "IgnoreDots=true", "bob"), queued: true, body: "a\n.\nb\n"},
		{name: "-oifalse", args: args("-i", "-oifalse", "bob"), queued: true, body: "a\n"},
		{name: "-B other", args: args("-B", "BINARYMIME", "bob"), queued: true, warns: true, told: defaults},
		{name: "-N bad", args: args("-N", "never,success", "bob"), queued: true, warns: true, told: defaults},
		{name: "-R bad", args: args("-R", "some", "bob"), queued: true, warns: true, told: defaults},
		{name: "-V bad", args: args("-V", "a=b", "bob"), queued: true, warns: true, told: defaults},
		{name: "-V long", args: args("-V", strings.Repeat("x", 101), "bob"), queued: true, warns: true, told: defaults},
		{name: "-bm", args: args("-bm", "bob"), queued: true, told: defaults},
		{name: "-bp", args: args("-bp"), stdout: "*"},
		{name: "-bp with ids", args: args("-bp", "ABC"), stdout: "*"},
		{name: "-bi", args: args("-bi"), stdout: "*"},
		{name: "-I", args: args("-I"), stdout: "*"},
		{name: "-bv", args: args("-bv", b), stdout: b + "... deliverable: mailer smtp\n"},
		{name: "-bh", args: args("-bh")},
		{name: "-bH", args: args("-bH")},
		{name: "-q", args: args("-q"), ran: []spool.Filter{none}},
		{name: "-qf", args: args("-qf"), ran: []spool.Filter{none}},
		{name: "-qTIME", args: args("-q15m")},
		{name: "-qTIME", args: args("-q1h30m")},
		{name: "-qTIME", args: args("-qp15m")},
		{name: "-qI", args: args("-qIabc"), ran: []spool.Filter{{ID: "abc"}}},
		{name: "-qR", args: args("-qR@example.com"), ran: []spool.Filter{{Rcpt: "@example.com"}}},
		{name: "-qS", args: args("-qSann"), ran: []spool.Filter{{Sender: "ann"}}},
		{name: "-q!I", args: args("-q!Iabc"), ran: []spool.Filter{{NotID: "abc"}}},
		{name: "-q!R", args: args("-q!R@example.com"), ran: []spool.Filter{{NotRcpt: "@example.com"}}},
		{name: "-q!S", args: args("-q!Sann"), ran: []spool.Filter{{NotSender: "ann"}}},
		{name: "-qS with -q!R", args: args("-qSann", "-q!Rbob"), ran: []spool.Filter{{Sender: "ann", NotRcpt: "bob"}}},
		{name: "-v", args: args("-v", "bob"), queued: true, stdout: "*"},
		{name: "-v -v", args: args("-v", "-v", "bob"), queued: true, stdout: "*"},
		{name: "-v -bp", args: args("-v", "-bp"), stdout: "*"},

		{name: "rule 1: after --", args: args("--", "-f@example.com"), queued: true,
			told: func(t spool.Told) bool { return t.Rcpts[0].Addr == "-f@example.com" }},
		{name: "rule 4: -q never takes the next word", args: args("-q", "Iabc"), status: 64},
		{name: "rule 4: -d never takes the next word", args: args("-d", "bob"), queued: true,
			told: func(t spool.Told) bool { return t.Rcpts[0].Addr == "bob" }},
		{name: "rule 4: -V does", args: args("-V", "id", "bob"), queued: true,
			told: func(t spool.Told) bool { return t.EnvID == "id" && t.Rcpts[0].Addr == "bob" }},
		{name: "rule 6: --help", args: args("--help"), stdout: "*"},
		{name: "rule 6: --version", args: args("--version"), stdout: "*"},
		{name: "rule 7: the last -f", args: args("-fa@example.org", "-r", "b@example.org", "bob"), queued: true, told: sender("b@example.org")},
		{name: "rule 10: -F", args: args("-F", "a\r\n\x01b", "bob"), queued: true,
			told: func(t spool.Told) bool { return *t.FullName == "a b" }},
		{name: "rule 10: -L", args: args("-L", "a\r\n\x01b", "bob"), queued: true, told: func(t spool.Told) bool { return t.Label == "a b" }},
		{name: "rule 10: -f", args: args("-f", "a\x7f@example.org", "bob"), status: 65},
		{name: "rule 10: -r", args: args("-r", "a\r@example.org", "bob"), status: 65},
		{name: "rule 10: -V", args: args("-V", "a\nb", "bob"), status: 65},
		{name: "rule 10: operand", args: args("bob", "a\tb@example.org"), status: 65},
		{name: "rule 11: address", args: args(strings.Repeat("x", 321)), status: 65},

		{name: "rule 8: send-mail", arg0: "send-mail", args: args("bob"), queued: true},
		{name: "rule 8: a dash", arg0: "-sendmail", args: args("bob"), queued: true},
		{name: "rule 8: mailq", arg0: "/usr/bin/mailq", stdout: "*"},
		{name: "rule 8: mailq -q", arg0: "mailq", args: args("-q"), ran: []spool.Filter{none}},
		{name: "rule 8: mailq -bm", arg0: "mailq", args: args("-bm", "bob"), queued: true},
		{name: "rule 8: newaliases", arg0: "newaliases", stdout: "*"},
		{name: "rule 8: newaliases with an argument", arg0: "newaliases", args: args("bob"), status: 64},
		{name: "rule 8: runq", arg0: "/usr/sbin/runq", ran: []spool.Filter{none}},
		{name: "rule 8: runq -qR", arg0: "runq", args: args("-qRx"), ran: []spool.Filter{{Rcpt: "x"}}},
		{name: "rule 8: runq -v", arg0: "runq", args: args("-v"), ran: []spool.Filter{none}},
		{name: "rule 8: runq with an argument", arg0: "runq", args: args("bob"), status: 64},
		{name: "rule 8: runq -bm", arg0: "runq", args: args("-bm", "bob"), queued: true},
		{name: "rule 8: rmail", arg0: "rmail", args: args("bob"), queued: true, body: "a\n.\nb\n"},
		{name: "rule 8: rmail takes operands only", arg0: "rmail", args: args("-t"), status: 64},
		{name: "rule 8: rmail without", arg0: "rmail", status: 64},
		{name: "rule 8: hoststat", arg0: "hoststat"},
		{name: "rule 8: hoststat", arg0: "hoststat", args: args("-v", "host")},
		{name: "rule 8: purgestat", arg0: "purgestat"},
		{name: "rule 8: smtpd", arg0: "smtpd", status: 64},
	}
	return slices.Concat(rows,
		mailed("-f, -r", sender(x), args("-f", x), args("-f"+x), args("-r", x), args("-r"+x)),
		mailed("-f null", sender(""), args("-f", ""), args("-f", "<>"), args("-f<>")),
		mailed("-F", func(t spool.Told) bool { return t.FullName != nil && *t.FullName == "A B" }, args("-F", "A B"), args("-FA B")),
		mailed("-F empty", func(t spool.Told) bool { return t.FullName != nil && *t.FullName == "" }, args("-F", "")),
		mailed("-B", func(t spool.Told) bool { return t.Body == "8BITMIME" }, args("-B8BITMIME"), args("-B", "8bitmime"), args("-B7BIT", "-B8BitMime")),
		mailed("-N", notify(spool.NotifyNever), args("-N", "never"), args("-NNEVER")),
		mailed("-N", notify(spool.NotifySuccess|spool.NotifyFailure|spool.NotifyDelay), args("-N", "success,failure,delay")),
		mailed("-R", func(t spool.Told) bool { return t.Ret == "FULL" }, args("-R", "full"), args("-RFULL")),
		mailed("-V", func(t spool.Told) bool { return t.EnvID == "a+b" }, args("-V", "a+2Bb"), args("-Va+2Bb")),
		mailed("-od at once", defaults, args("-odi"), args("-odb"), args("-odq", "-odb"), args("-O", "DeliveryMode=interactive")),
		mailed("-od later", func(t spool.Told) bool { return t.Queued }, args("-odq"), args("-odd"), args("-O", "DeliveryMode=queue"), args("-ODeliveryMode=d")),
		mailed("-oe", defaults, args("-oem"), args("-oep"), args("-oeq"), args("-oew"), args("-oee"), args("-em"), args("-ep"), args("-eq"), args("-ew"), args("-ee"), args("-e", "m")),
		mailed("-om -m -O MeToo", defaults, args("-om"), args("-m"), args("-O", "MeToo=true")),
		mailed("-ox other, -O Key=val", defaults, args("-oxvalue"), args("-oQ/tmp"), args("-o", "7"), args("-O", "Bogus=1"), args("-OQueueDirectory=/tmp"), args("-O", "Bogus")),
		mailed("-oA, -O AliasFile without -bi", defaults, args("-oA/nonexistent"), args("-O", "AliasFile=/nonexistent")),
		mailed("-X -D -d", defaults, args("-X", "/nonexistent/x"), args("-X/nonexistent/x"), args("-XV"), args("-XV+="), args("-D", "/nonexistent/x"), args("-D/nonexistent/x"), args("-d"), args("-d0-99.9")),
		mailed("-A -G -U", defaults, args("-Ac"), args("-Am"), args("-A", "m"), args("-G"), args("-U"), args("-GU")),
		mailed("-L", func(t spool.Told) bool { return t.Label == "tag" }, args("-L", "tag"), args("-Ltag")),
		mailed("-L long", func(t spool.Told) bool { return len(t.Label) == 32 }, args("-L", strings.Repeat("x", 99))),
		mailed("-h", defaults, args("-h", "0"), args("-h50")),
		mailed("-n", func(t spool.Told) bool { return t.Rcpts[0].NoAlias }, args("-n")),
		mailed("-p", defaults, args("-p", "UUCP:host"), args("-pUUCP:host")),
		mailed("-c -x -T", defaults, args("-c"), args("-x"), args("-cx"), args("-T", "5d"), args("-T5d")),
		mailed("rule 2: clusters", sender(x), args("-if", x), args("-imf"+x), args("-Gioiq", "-f", x)),
		mailed("rule 3: -o i", anything, args("-o", "i")),
		refused("-t elsewhere", args("-t", "-bs"), args("-t", "-bp"), args("-t", "-bi"), args("-t", "-bv"), args("-t", "-q")),
		refused("-bs with operands", args("-bs", "bob")),
		refused("-bd, -bD", args("-bd"), args("-bD"), args("-bd", "-q15m"), args("-q15m", "-bD")),
		refused("-b others", args("-bt"), args("-bP"), args("-bC"), args("-be", "${run{id}}"), args("-bz"), args("-ba"), args("-b", ""), args("-bms")),
		refused("-qG -qL -qQ -Q", args("-qGname"), args("-qL"), args("-qQ"), args("-qQreason"), args("-Q", "bob"), args("-Qreason")),
		refused("-M", args("-M", "x", "bob"), args("-Mxvalue", "bob")),
		refused("-h over", args("-h", "51", "bob"), args("-h", "x", "bob"), args("-h-1", "bob")),
		refused("-s -E -J", args("-s", "bob"), args("-E", "bob"), args("-J", "bob")),
		refused("rule 1: an option behind an operand", args("bob", "-i"), args("bob", "-f", x), args("bob", "--")),
		refused("rule 3: no value", args("-f"), args("-if"), args("-F"), args("-N"), args("-o"), args("-O"), args("-X"), args("-C"), args("-L"),
			args("-h"), args("-R"), args("-V"), args("-B"), args("-b"), args("-e"), args("-A"), args("-D"), args("-T"), args("-p"), args("-r")),
		refused("rule 5: unknown", args("-z", "bob"), args("-iz", "bob"), args("-0", "bob"), args("-?", "bob")),
		refused("rule 6: --explain behind others", args("-C", "/nonesuch", "--explain", "-f", x, "bob"), args("-i", "--explain"),
			args("-if", x, "--explain", "--", "bob")),
		refused("rule 6: other words", args("--verbose"), args("--explain=x")),
	)
}

func TestAudit(t *testing.T) {
	for _, c := range audit() {
		t.Run(c.name+" "+strings.Join(c.args, " "), func(t *testing.T) { c.check(t) })
	}
}

func (c call) check(t *testing.T) {
	w := newWorld(t)
	w.arg0 = c.arg0
	got := w.run(audited, c.args...)
	if got.status != c.status || (got.message != nil) != c.queued {
		t.Fatalf("status %d, queued %v, stderr %q", got.status, got.message != nil, got.stderr)
	}
	if lines := strings.Count(got.stderr, "\n"); (lines == 1) != (c.status != 0 || c.warns) || lines > 1 {
		t.Errorf("stderr %q", got.stderr)
	}
	if !c.queued && got.read > 0 {
		t.Errorf("%d octets of standard input were read", got.read)
	}
	if c.told != nil && !c.told(w.told) {
		t.Errorf("told %+v", w.told)
	}
	if c.body != "" {
		if _, body := got.message.parts(t); body != c.body {
			t.Errorf("body %q, want %q", body, c.body)
		}
	}
	if !slices.Equal(w.ran, c.ran) {
		t.Errorf("queue runs %v, want %v", w.ran, c.ran)
	}
	if c.stdout == "*" && got.stdout == "" || c.stdout != "*" && got.stdout != c.stdout {
		t.Errorf("stdout %q, want %q", got.stdout, c.stdout)
	}
}

// What the daemon says of a queue run, and that nobody says anything, have their own statuses.
func TestAuditOfQueueRuns(t *testing.T) {
	for status, err := range map[int]error{77: spool.ErrForbidden, 69: spool.ErrNoDaemon, 0: nil} {
		for _, a := range [][]string{{"-q"}, {"-qf"}, {"-qRx"}} {
			w := newWorld(t)
			w.failing = err
			if got := w.run("", a...); got.status != status || strings.Count(got.stderr, "\n") != min(status, 1) {
				t.Errorf("%v: %+v, want status %d", a, got, status)
			}
		}
	}
}

// The options that name files read them, where they do, with the rights of the caller.
func TestAuditOfFiles(t *testing.T) {
	w := newWorld(t)
	good := w.write("good", "ann: bob\n")
	bad := w.write("bad", "ann\n")
	for _, tt := range []struct {
		args   []string
		status int
	}{
		{args("-bi", "-oA"+good), 0},
		{args("-bi", "-O", "AliasFile="+good), 0},
		{args("-oA"+bad, "-bi"), 65},
		{args("-bi", "-oA"+filepath.Dir(good)), 66},
		{args("-C", w.config, "bob"), 0},
		{args("-C", w.config+".none", "bob"), 66},
	} {
		if got := w.run(audited, tt.args...); got.status != tt.status {
			t.Errorf("%v: %+v, want status %d", tt.args, got, tt.status)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(good)); err != nil || len(entries) != 4 {
		t.Errorf("files: %v, %v", entries, err)
	}
}
