//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"signpost/packaging/e2e/inside"
)

// The threats that reach sendmail and drop/, and the tests that hold them off. Those without a package are here.
// TestThreatsAreTested looks whether all of them are there.
//
//	options that name files (-X, -C, -D, -O QueueDirectory, -oA)  TestInjectedArguments, compat.TestNoOptionOpensAFile, compat.FuzzArgs
//	expressions (-be, ${run{}}, backticks, |, /, :include:)        TestInjectedArguments, TestRefused, compat.TestVectors
//	an option behind a recipient, addresses beginning with -       TestInjectedArguments, TestRefused, compat.TestArguments, compat.TestSenderForms
//	line breaks in -f, -r, recipients, header fields               TestRefused, compat.TestSenderForms, compat.FuzzMessage, mta/intake.FuzzCompletion
//	header lines by -F, NAME, GECOS                                TestNamesForPeople, compat.TestVectors, compat/header.FuzzPhrase
//	NUL, CR and lone dots in the content                           TestOddOctets, compat/header.FuzzNormalizer, compat/header.FuzzSplitter
//	recipients out of comments and other fields                    compat/header.FuzzParseList, compat.FuzzMessage
//	100,000 recipients                                             TestRefused, compat.TestTooManyRecipients
//	a header line of 100 MB, endless input                         TestHugeInput, TestOverTheLimit, compat.TestMemoryIsFlat
//	descriptors 0 to 2 closed, full or broken                      TestNoInput, TestBrokenOutput, cmd/sendmail.TestStandardDescriptors
//	few descriptors, small files, little memory, few processes     TestScarceLimits, TestLimitedCaller, TestFileSizeLimitWithoutDaemon
//	a hostile environment                                          TestHostileSurroundings, cmd/sendmail.TestHostileEnvironment
//	a hostile working directory                                    TestHostileSurroundings, TestLimitedCaller
//	signals in the middle of the input                             TestSignalInTheInput, TestStormOfSignals, cmd/sendmail.TestSignals
//	a broken or foreign configuration                              TestBadConfiguration, TestInjectedArguments
//	no space, no inodes, a read-only spool                         TestFullSpool, TestSpoolFillsUp, TestReadOnlySpool, spool.TestAnyCallMayFail
//	symlink, FIFO, hard link, folder, device, socket in drop/      TestPlantedInDrop, mta/intake.TestHostileDropFilesDoNotStopTheOthers
//	a name in drop/ that becomes something else                    mta/intake.TestDropNameThatBecomesSomethingElse
//	a file in drop/ that changes while it is read                  mta/intake.TestDropFileThatChangesWhileItIsTaken, spool.TestAFileThatIsChangedWhileItIsRead
//	huge, sparse and damaged files in drop/                        TestPlantedInDrop, spool.TestWhatIsPlantedInDropIsNotBelieved, spool.FuzzDropped
//	odd names in drop/                                             TestPlantedInDrop, mta/intake.TestDropNamesMayBeOdd
//	reading, removing or naming what others left in drop/          spool.TestAStrangerMayOnlyLeaveMail
//	garbage on the socket, a flood of one user                     mta/intake.FuzzServer, mta/intake.TestHostileFramesEndTheirConnectionOnly, mta/intake.TestManyConnectionsOfOneUser
//	records and frames that lie                                    spool.FuzzFrames, spool.FuzzDecodeTold, spool.FuzzRecord, spool.FuzzFile
//	a restricted caller                                            TestRestrictedCallers, TestSandboxedServices
const threats = "threats_test.go"

// TestThreatsAreTested holds that the table above names tests that there are, and that each of them can fail.
func TestThreatsAreTested(t *testing.T) {
	if _, err := os.Stat(threats); err != nil {
		t.Skip("the sources are not here")
	}
	text, err := os.ReadFile(threats)
	if err != nil {
		t.Fatal(err)
	}
	rows, sources := 0, map[string]testSource{}
	for line := range strings.Lines(string(text)) {
		row, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		rows++
		_, tests, _ := strings.Cut(row, "  ")
		for name := range strings.SplitSeq(strings.TrimSpace(tests), ", ") {
			folder, test := threatFolder(name)
			if sources[folder] == nil {
				sources[folder] = readTests(t, folder)
			}
			if err := sources[folder].canFail(test); err != nil {
				t.Errorf("%s: %v", folder, err)
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows", rows)
	}
}

// threatFolder parts "package.Test" of the table.
func threatFolder(name string) (folder, test string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return filepath.Join("../..", name[:i]), name[i+1:]
	}
	return ".", name
}

// mark gives what lists the files that were made or changed since, but for those of the spool, of mailboxes and of the
// kernel.
func mark(t *testing.T) (changed func() string) {
	t.Helper()
	const at = "/run/e2e/mark"
	if err := os.WriteFile(at, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() string {
		t.Helper()
		return inside.Output(t, inside.Command(t, "/usr/bin/find", "/", "/tmp", "/run", "/dev", "-xdev", "-newercc", at,
			"!", "-type", "d", "!", "-path", spoolDir+"/*", "!", "-path", "/var/mail/*", "!", "-path", "/run/e2e/*", "!", "-path", "/run/signpost/*",
			"!", "-type", "c"))
	}
}

// What a web form may put among the arguments: no file is made, changed or run anywhere, whoever calls.
func TestInjectedArguments(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d, mx := outside(t)
		ann := inside.User(t, "ann")
		write(t, ann, "/srv/injected/evil.toml", []byte("[spool]\npath = \"/srv/injected/spool\"\n"), 0o644)
		write(t, ann, "/srv/injected/aliases", []byte("x: |\"touch /srv/injected/ran\"\n"), 0o644)
		if err := os.Chmod("/srv/injected", 0o777); err != nil {
			t.Fatal(err)
		}
		const f = "/srv/injected/file"
		list := []struct {
			args     []string
			statuses string // with a daemon and without one
			arrives  bool   // elsewhere
		}{
			{[]string{"-X", f, "bob@example.net"}, "0 0", true},
			{[]string{"-X" + f, "-D" + f, "-d0-99.100", "bob@example.net"}, "0 0", true},
			{[]string{"-OQueueDirectory=/srv/injected", "-oQ/srv/injected", "-OLogFile=" + f, "bob@example.net"}, "0 0", true},
			{[]string{"-oA/srv/injected/aliases", "bob@example.net"}, "0 0", true},
			{[]string{"-be", "${run{/usr/bin/touch " + f + "}}"}, "64 64", false},
			{[]string{"-bt", "-C" + f, "-X" + f}, "64 64", false},
			{[]string{"-Mset", f, "x"}, "64 64", false},
			{[]string{"bob@example.net", "-X" + f}, "64 64", false},
			{[]string{"bob@example.net", "-oQ/tmp", "-C/srv/injected/evil.toml"}, "64 64", false},
			{[]string{"-C/srv/injected/evil.toml", "bob@example.net"}, "73 73", false},
			{[]string{"-C", "/dev/zero", "bob@example.net"}, "66 66", false},
			{[]string{"-C", f, "bob@example.net"}, "66 66", false},
			{[]string{"-f", "-X" + f, "bob@example.net"}, "65 65", false},
			{[]string{"-fann@example.org -X" + f, "bob@example.net"}, "65 65", false},
			{[]string{"-f", "ann@example.org\n-X" + f, "bob@example.net"}, "65 65", false},
			{[]string{"-r", "ann@example.org\rx", "bob@example.net"}, "65 65", false},
			{[]string{"--", "-X" + f}, "0 0", false}, // a user that there is not: it bounces
			{[]string{"--", "|/usr/bin/touch " + f}, "65 65", false},
			{[]string{"--", f}, "65 65", false},
			{[]string{"--", "../../srv/injected/file@example.net"}, "0 0", true},
			{[]string{"--", "-OQueueDirectory=@example.net"}, "0 0", true},
			{[]string{"--", "${run{/usr/bin/touch}}@example.net", "`id`@example.net", "$(id)@example.net"}, "0 0", true},
		}
		accepted := 0
		try := func(which int) {
			t.Helper()
			changed := mark(t)
			for _, tt := range list {
				for _, who := range []inside.Account{ann, inside.User(t, "root")} {
					cmd := who.Command(sendmailPath, tt.args...)
					cmd.Dir, cmd.Stdin = "/srv/injected", strings.NewReader("Subject: s\n\nb\n")
					status, said := inside.Status(t, cmd)
					if want := strings.Fields(tt.statuses)[which]; fmt.Sprint(status) != want {
						t.Errorf("%s: %q: status %d, want %s: %s", who.Name, tt.args, status, want, said)
					}
					if status == 0 && tt.arrives {
						accepted++
					}
				}
			}
			if got := changed(); got != "" {
				t.Errorf("files were made or changed:\n%s", got)
			}
		}
		try(0)
		inside.Messages(t, mx, accepted)
		d.Stop()
		try(1)
		d.Start()
		for _, m := range inside.Messages(t, mx, accepted) {
			for _, r := range m.Rcpts {
				if !strings.HasSuffix(r.Addr, "@example.net") {
					t.Errorf("a recipient is %q", r.Addr)
				}
			}
		}
		if names := names(t, "/srv/injected"); len(names) != 2 {
			t.Errorf("in the folder: %q", names)
		}
	})
}

// Whatever a full name is, it makes one From field for one address.
func TestNamesForPeople(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d, mx := outside(t)
		gecos := []string{"A \"B\" C\\", "Bcc: eve@example.org", "\x1b]0;x\x07\r", "J\xf6rg & \xff\xfe", "<eve@example.org>", "(((", "a@b, c;d", "=?UTF-8?Q?=0ABcc=3A?=",
			strings.Repeat("long ", 20_000), "&" + strings.Repeat("&", 5000), "\t \v", "\u202egro"}
		text, err := os.ReadFile("/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range gecos {
			text = append(text, fmt.Sprintf("odd%d:x:%d:65534:%s:/:/bin/sh\n", i, 20_000+i, g)...)
		}
		if err := os.WriteFile("/etc/passwd", text, 0o644); err != nil {
			t.Fatal(err)
		}
		d.Signal(syscall.SIGHUP)
		ann := inside.User(t, "ann")
		n := 0
		run := func(uid int, env []string, args ...string) {
			t.Helper()
			cmd := ann.Command(sendmailPath, append(args, "-i", "bob@example.net")...)
			cmd.Dir, cmd.Env = "/", append([]string{"PATH=/usr/bin:/bin"}, env...)
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: 65534}
			cmd.Stdin = strings.NewReader("Subject: s\n\nb\n")
			inside.Output(t, cmd)
			n++
		}
		for i, g := range gecos {
			run(20_000+i, nil)
			run(20_000+i, []string{"NAME=" + g, "LOGNAME=" + g, "USER=root"})
			run(20_000+i, nil, "-F", g)
			run(20_000+i, nil, "-F", g+"\r\nBcc: eve@example.org\n\nx", "-f", "ann@example.org")
		}
		for _, m := range inside.Messages(t, mx, n) {
			p := parse(t, m.Content)
			from, err := mail.ParseAddressList(p.Get("From"))
			if err != nil || len(from) != 1 || len(p.Header["From"]) != 1 ||
				from[0].Address != "ann@example.org" && !strings.HasSuffix(from[0].Address, "@"+inside.Hostname) {
				t.Errorf("From: %q: %v", p.Header["From"], err)
			}
			if len(m.Rcpts) != 1 || p.Get("Bcc") != "" || p.body != "b\r\n" || strings.ContainsAny(p.head, "\x00\x07\x1b\x7f") {
				t.Errorf("%+v\n%.3000q", m.Rcpts, m.Content)
			}
		}
		queueEmpty(t)
	})
}

// endless begins with a text and goes on with line for ever.
type endless struct {
	text, line string
	n          int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.text == "" {
		e.text = e.line
	}
	n := copy(p, e.text)
	e.text = e.text[n:]
	e.n += int64(n)
	return n, nil
}

// Input of any size is read no further than it can be taken, in little memory.
func TestHugeInput(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		ann := inside.User(t, "ann")
		const size = 5 << 30
		try := func() {
			t.Helper()
			for _, tt := range []struct {
				name, text, line string
				args             []string
			}{
				{"a header line", "Subject: ", strings.Repeat("x", 4096), nil},
				{"a recipient", "To: ", strings.Repeat("x", 4096), []string{"-t"}},
				{"recipients", "To: bob@example.net", strings.Repeat(", bob@example.net", 100), []string{"-t"}},
				{"a comment", "To: bob@example.net ", strings.Repeat("(", 4096), []string{"-t"}},
				{"a folded line", "To: bob@example.net\nSubject: x\n", strings.Repeat(" x\n", 1000), []string{"-t"}},
				{"fields", "To: bob@example.net\n", strings.Repeat("X: y\n", 1000), []string{"-t"}},
				{"mbox lines", "", "From x\n>From y\n", nil},
				{"a name without a colon", "", strings.Repeat("x", 4096), nil},
				{"NUL", "Subject: s\n\n", strings.Repeat("\x00", 4096), nil},
				{"CR", "Subject: s\n\n", strings.Repeat("\r", 4096), nil},
				{"a body", "Subject: s\n\n", strings.Repeat("line of the body\n", 1000), nil},
				{"empty lines", "", strings.Repeat("\n", 4096), nil},
			} {
				args := append([]string{"-i"}, tt.args...)
				if tt.args == nil {
					args = append(args, "bob@example.net")
				}
				cmd := ann.Command(sendmailPath, args...)
				in := &endless{text: tt.text, line: tt.line}
				cmd.Stdin = io.LimitReader(in, size)
				said := refuses(t, 65, "", cmd)
				if used := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; used > 64<<10 || in.n > 200<<20 {
					t.Errorf("%s: %d KiB of memory, %d octets read; %s", tt.name, used, in.n, said)
				}
			}
		}
		try()
		inside.Daemon(t, "# as it is\n")
		try()
	})
}

// Limits that the caller has: the message is taken, or it is refused and nothing of it stays. Below what any Go program
// needs to start (memory, processes) its runtime ends with a status and a text of its own.
func TestScarceLimits(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		ann := inside.User(t, "ann")
		d := inside.Daemon(t, "# as it is\n")
		d.Stop()
		taken := 0
		try := func(limit string, ours bool) {
			t.Helper()
			for _, size := range []int{10, 3 << 20} {
				before := len(spooled(t))
				cmd := ann.Command("/usr/bin/prlimit", limit, "--core=0", sendmailPath, "-i", "root")
				cmd.Stdin = strings.NewReader("Subject: s\n\n" + strings.Repeat("x\n", size/2))
				var said bytes.Buffer
				cmd.Stdout, cmd.Stderr = &said, &said
				cmd.Run()
				status, left := cmd.ProcessState.ExitCode(), len(spooled(t))-before
				switch {
				case status == 0:
					taken++
				case ours && (status < 71 || status > 75 || strings.Count(said.String(), "\n") != 1):
					t.Errorf("%s, %d octets: status %d: %.300s", limit, size, status, &said)
				}
				if d.PID() == 0 && (left != 0 != (status == 0) || left > 1) {
					t.Errorf("%s, %d octets: status %d, and %d files more in the spool: %q", limit, size, status, left, spooled(t))
				}
			}
		}
		all := func() {
			t.Helper()
			for n := 3; n < 12; n++ {
				try(fmt.Sprint("--nofile=", n), true)
			}
			for _, n := range []int{1, 100, 300, 1000, 4096, 100_000} {
				try(fmt.Sprint("--fsize=", n), true)
			}
			for _, n := range []int{16, 256, 700, 800, 1000} {
				try(fmt.Sprint("--as=", n<<20), false)
				try(fmt.Sprint("--data=", n<<20), false)
			}
			for n := 1; n < 8; n++ {
				try(fmt.Sprint("--nproc=", n), false)
			}
			for _, n := range []int{0, 8 << 10, 64 << 10, 256 << 10} {
				try(fmt.Sprint("--stack=", n), false)
			}
			try("--cpu=0", false)
			try("--memlock=0", true)
		}
		all()
		if taken == 0 {
			t.Error("nothing was taken")
		}
		d.Start()
		all()
		queueEmpty(t)
		box := awaitMail(t, inside.User(t, "root"), "Subject: s\n")
		if got := strings.Count(box, "\nSubject: s\n"); got != taken {
			t.Errorf("%d messages arrived, %d were taken", got, taken)
		}
	})
}

// No variable of the environment and nothing in the working directory changes what is done, but those of the Go
// runtime, which may make it speak.
func TestHostileSurroundings(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d, mx := outside(t)
		ann := inside.User(t, "ann")
		trap := ann.Home + "/trap"
		for _, name := range []string{"signpost.toml", "main.cf", "sendmail.cf", ".mailrc", ".forward", "DB_CONFIG", "resolv.conf", "x.so", "UTC", "aliases", "ran"} {
			write(t, ann, trap+"/"+name, []byte("[spool]\npath = \"/nowhere\"\n"), 0o755)
		}
		if err := os.Chmod(trap, 0o777); err != nil {
			t.Fatal(err)
		}
		big := strings.Repeat("x", 128<<10-100)
		list := [][]string{
			nil,
			{"LD_PRELOAD=" + trap + "/x.so", "LD_LIBRARY_PATH=" + trap, "LD_AUDIT=./x.so", "LD_DEBUG=all", "LD_DEBUG_OUTPUT=" + trap + "/log", "GCONV_PATH=."},
			{"PATH=", "HOME=" + trap, "TMPDIR=" + trap, "IFS=x", "ENV=./ran", "BASH_ENV=./ran", "SHELL=" + trap + "/ran", "PWD=/nowhere"},
			{"PATH=" + trap, "HOME=/nowhere", "TMPDIR=/nowhere"},
			{"TZ=:" + trap + "/UTC", "TZDIR=" + trap, "ZONEINFO=" + trap + "/UTC", "LC_ALL=xx\x1b[2J", "LANG=" + big, "LOCPATH=."},
			{"USER=root", "LOGNAME=root", "SUDO_USER=root", "EMAIL=eve@example.org", "NULLMAILER_USER=eve", "MAILNAME=example.org", "QMAILUSER=eve"},
			{"LOGNAME=a\nb", "USER=\x1b[2J", "NAME=\x01\x02\r\nBcc: eve@example.org\n\n"},
			{"MAIL_CONFIG=" + trap, "SIGNPOST_CONFIG=" + trap + "/signpost.toml", "SENDMAIL_CONFIG=x", "MAILRC=./.mailrc", "HOSTALIASES=" + trap + "/x",
				"LOCALDOMAIN=example.org", "RES_OPTIONS=debug", "HTTP_PROXY=http://x", "SSL_CERT_FILE=/x", "LISTEN_FDS=3", "LISTEN_PID=1", "NOTIFY_SOCKET=/x"},
			{"NAME=" + big, "LOGNAME=" + big, "A=" + big, "B=" + big, "C=" + big, "D=" + big, "E=" + big, "F=" + big},
			{"noequals", "=", "=x", "\xff\xfe=\xff", "NAME", "NAME="},
			{"GOGC=x", "GOMAXPROCS=-5", "GODEBUG=x=y,,=,asyncpreemptoff=1", "GOCOVERDIR=" + trap, "GOFIPS140=x"},
			{"GOGC=1", "GOMAXPROCS=garbage", "GOMEMLIMIT=1", "GODEBUG=madvdontneed=1,netdns=cgo+2,multipathtcp=1"},
			{"GOGC=off", "GOMAXPROCS=64", "GOTRACEBACK=crash", "GORACE=log_path=" + trap + "/race"},
		}
		changed := mark(t)
		try := func() {
			t.Helper()
			for i, env := range list {
				cmd := ann.Command(sendmailPath, "-i", "bob@example.net")
				cmd.Dir, cmd.Env = trap, append(env, "GODEBUG_=") // never nil, which would be ours
				cmd.Stdin = strings.NewReader(fmt.Sprintf("Subject: env %d\n\nb\n", i))
				if status, said := inside.Status(t, cmd); status != 0 || said != "" {
					t.Errorf("%.300q: status %d: %s", env, status, said)
				}
			}
			// The runtime speaks, which hurts nobody, or it does not start, and says so.
			for env, want := range map[string]int{"GODEBUG=inittrace=1,gctrace=1,schedtrace=1": 0, "GOMEMLIMIT=x": 2} {
				cmd := ann.Command(sendmailPath, "-i", "bob@example.net")
				cmd.Dir, cmd.Env = trap, []string{env}
				cmd.Stdin = strings.NewReader("Subject: runtime\n\nb\n")
				if status, said := inside.Status(t, cmd); status != want || said == "" {
					t.Errorf("%s: status %d: %.300s", env, status, said)
				}
			}
		}
		try()
		inside.Messages(t, mx, len(list)+1)
		d.Stop()
		try()
		if got := changed(); got != "" {
			t.Errorf("files were made or changed:\n%s", got)
		}
		d.Start()
		for _, m := range inside.Messages(t, mx, 2*len(list)+2) {
			checkEnvelope(t, m, "ann@"+inside.Hostname, "bob@example.net")
			if p := parse(t, m.Content); p.body != "b\r\n" || !strings.HasSuffix(p.Get("Date"), "+0000") {
				t.Errorf("%.2000s", m.Content)
			}
		}
	})
}

// Signals that mean nothing to it, however many, do not change the message; those that end it leave nothing.
func TestStormOfSignals(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d := inside.Daemon(t, "# as it is\n")
		storm := func(n int) {
			t.Helper()
			cmd, rest, said := torn(t, 3<<20)
			for i := range 3000 {
				for _, s := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGXFSZ, syscall.SIGWINCH, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGCONT, syscall.SIGIO,
					syscall.SIGALRM, syscall.SIGXCPU} {
					cmd.Process.Signal(s)
				}
				if i == 1000 {
					if _, err := rest.WriteString(strings.Repeat("in the storm\n", 100_000)); err != nil {
						t.Fatal(err)
					}
				}
			}
			fmt.Fprintf(rest, "the end of %d\n", n)
			rest.Close()
			if err := cmd.Wait(); err != nil || said.Len() > 0 {
				t.Errorf("%v: %s", err, said)
			}
		}
		storm(1)
		awaitMail(t, inside.User(t, "root"), "\nthe end of 1\n")
		ends := func() {
			t.Helper()
			before := len(spooled(t))
			for _, s := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGSYS, syscall.SIGTRAP} {
				cmd, rest, _ := torn(t, 3<<20)
				cmd.Process.Signal(s)
				err := cmd.Wait()
				rest.Close()
				if err == nil {
					t.Errorf("%v: status 0", s)
				}
				inside.AwaitFolder(t, spoolDir, "a spool as before", func() bool { return len(spooled(t)) == before })
			}
		}
		ends()
		d.Stop()
		storm(2)
		ends()
		d.Start()
		box := awaitMail(t, inside.User(t, "root"), "\nthe end of 2\n")
		if got := strings.Count(box, "\nin the storm\n"); got < 99_000 {
			t.Errorf("%d lines of the storm", got)
		}
		queueEmpty(t)
	})
}

// What a user or root plants in drop/ is neither read nor followed nor a hindrance.
func TestPlantedInDrop(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		ann, root := inside.User(t, "ann"), inside.User(t, "root")
		d := inside.Daemon(t, "# as it is\n")
		write(t, root, "/etc/secret", []byte("Subject: secret\n\nsecret\n"), 0o600)
		const script = `cd /var/spool/signpost/drop
for at in new tmp; do
	cd $at
	ln -s /etc/shadow link
	ln -s /dev/zero zero
	ln -s . dot
	ln -s ../../new spool
	ln -s loop loop
	ln /etc/secret hard 2>/dev/null || :
	mkdir folder folder/new
	chmod 777 folder
	mkfifo fifo
	python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
	: >empty
	printf 'Subject: x\n\nx\n' >text
	truncate -s 1T sparse
	printf 'garbage' >"$(printf 'esc\033[2J\nline\rend')"
	printf 'garbage' >-rf
	printf 'garbage' >"$(head -c 255 /dev/zero | tr '\0' n)"
	printf 'garbage' >.hidden
	printf 'garbage' >"$(printf '\377\376')"
	cp /usr/sbin/sendmail program
	cd ..
done`
		plant := func(who inside.Account) {
			t.Helper()
			if status, said := inside.Status(t, who.Command("/bin/sh", "-c", script)); status != 0 {
				t.Logf("planting, %s: status %d: %s", who.Name, status, said)
			}
		}
		good := func(subject string) {
			t.Helper()
			send(t, ann, "Subject: "+subject+"\n\nb\n", "-i", "root")
		}
		plant(ann) // while the daemon looks
		good("live")
		awaitMail(t, root, "Subject: live\n")
		d.Stop()
		for _, part := range []string{"new", "tmp"} {
			inside.Output(t, inside.Command(t, "/bin/sh", "-c", "rm -rf "+spoolDir+"/drop/"+part+"/* "+spoolDir+"/drop/"+part+"/.hidden"))
		}
		plant(root)
		for i, kind := range []uint32{unix.S_IFCHR, unix.S_IFBLK} {
			if err := unix.Mknod(fmt.Sprint(spoolDir, "/drop/new/device", i), kind|0o666, int(unix.Mkdev(1, 5))); err != nil {
				t.Fatal(err)
			}
		}
		good("dropped")
		d.Start()
		awaitMail(t, root, "Subject: dropped\n")
		d.Stop() // a second look at what stayed
		d.Start()
		good("last")
		box := awaitMail(t, root, "Subject: last\n")
		if strings.Contains(box, "secret") || strings.Contains(d.Log(), "\x1b") || strings.Contains(d.Log(), "panic") {
			t.Errorf("the mailbox:\n%.3000q", box)
		}
		if got, err := os.ReadFile("/etc/secret"); err != nil || string(got) != "Subject: secret\n\nsecret\n" {
			t.Errorf("the file that was named twice: %q, %v", got, err)
		}
		if used := inside.Process(t, d.PID())["VmHWM"]; len(used) > len("99999 kB") {
			t.Errorf("the daemon took %s", used)
		}
		for _, name := range []string{"link", "zero", "dot", "loop", "folder", "fifo", "socket", "device0", "device1"} {
			if _, err := os.Lstat(filepath.Join(spoolDir, "drop/new", name)); err != nil {
				t.Errorf("%s is not where it was: %v", name, err)
			}
		}
	})
}
