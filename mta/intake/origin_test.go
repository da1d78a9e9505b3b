package intake

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"signpost/spool"
)

func TestOriginTellsClaimsFromWhatWasSeen(t *testing.T) {
	m := new(memory)
	who := caller(1001)
	who.Seen = spool.Process{Name: "sh", Parent: "cron", PID: 8, Unit: "cron.service", Login: "1002"}
	told := spool.Told{Rcpts: to("bob"), Login: "root", Process: spool.Process{
		Name: "sh", Parent: "init", PID: 8, Command: "sh -c x", Dir: "/srv", Unit: "cron.service", RealUser: "1001", Script: "1:told.php",
	}}
	if err := put(t, newIntake(m), who, told, "X-PHP-Originating-Script: 33:contact.php\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got := m.one(t).env.Origin
	if want := (spool.Process{Name: "sh", Parent: "cron", PID: 8, Unit: "cron.service", Login: "bob"}); got.Seen != want {
		t.Errorf("seen %+v\nwant %+v", got.Seen, want)
	}
	want := spool.Process{Parent: "init", Command: "sh -c x", Dir: "/srv", Login: "root", Script: "33:contact.php"}
	if got.Claims != want {
		t.Errorf("claims %+v\nwant   %+v", got.Claims, want)
	}
	if got.UID != 1001 || got.Login != "ann" {
		t.Errorf("proven: %+v", got)
	}
	if p := got.Caller(); p.Program() != "sh of cron" || p.Dir != "/srv" || p.Unit != "cron.service" {
		t.Errorf("both together: %+v", p)
	}
}

func TestClaimsAreCleanedAndBounded(t *testing.T) {
	m := new(memory)
	bad := strings.Repeat("\x1b[2J\n\xff\u00e9", 1000)
	told := spool.Told{Rcpts: to("bob"), Login: bad, Process: spool.Process{
		Name: bad, Parent: bad, PID: -1, Command: bad, Dir: bad, Unit: bad, Container: bad, Login: bad, RealUser: bad, Script: bad,
	}}
	head := "X-PHP-Originating-Script: " + strings.ReplaceAll(bad, "\n", "") + "\r\n\r\n"
	if err := put(t, newIntake(m), caller(1001), told, head); err != nil {
		t.Fatal(err)
	}
	p := m.one(t).env.Origin.Claims
	if p.PID != 0 {
		t.Errorf("pid %d", p.PID)
	}
	for _, text := range []string{p.Name, p.Parent, p.Command, p.Dir, p.Unit, p.Container, p.Login, p.RealUser, p.Script} {
		control := strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
		if text == "" || len(text) > maxOrigin || control || !utf8.ValidString(text) {
			t.Errorf("%q", text)
		}
	}
}

// Nothing but the Received line tells the world who handed a message in.
func TestOriginStaysHere(t *testing.T) {
	m := new(memory)
	who := caller(1001)
	who.Seen = spool.Process{Name: "namedprogram", Unit: "namedunit.service", PID: 81818}
	told := spool.Told{Rcpts: to("bob"), Process: spool.Process{Command: "namedcommand", Dir: "/nameddir", RealUser: "namedreal"}}
	if err := put(t, newIntake(m), who, told, "Subject: s\r\n\r\nbody\r\n"); err != nil {
		t.Fatal(err)
	}
	content := m.one(t).content
	for _, word := range []string{"named", "81818"} {
		if strings.Contains(content, word) {
			t.Errorf("%q stands in\n%s", word, content)
		}
	}
}

// The test process connects to itself: its parent is what called it.
func TestServerLooksAtItsCaller(t *testing.T) {
	m := new(memory)
	r := serveUnix(t, m, nil)
	id, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, "\r\n")
	if err != nil {
		t.Fatal(err)
	}
	got := m.all()[id].env.Origin
	if got.PID != os.Getpid() || got.Seen.PID != os.Getppid() || got.Seen.Name == "" || got.Seen.Command != "" {
		t.Errorf("%+v; this is %d, started by %d", got, os.Getpid(), os.Getppid())
	}
}

func TestProcessThatIsAnotherIsNotBelieved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if p := lookAt(ours, os.Getuid(), os.Getpid()); p.PID != os.Getppid() {
		t.Errorf("saw %+v", p)
	}
	for _, pid := range []int{0, -1, 1 << 22} {
		if p := lookAt(ours, os.Getuid(), pid); p != (spool.Process{}) {
			t.Errorf("saw %+v of pid %d", p, pid)
		}
	}
	// A kernel without SO_PEERPIDFD: a process of another user is not the one that connected.
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	if p := lookAt(pipe, os.Getuid(), os.Getpid()); p.PID != os.Getppid() {
		t.Errorf("saw %+v", p)
	}
	if p := lookAt(pipe, os.Getuid()+1, os.Getpid()); p != (spool.Process{}) {
		t.Errorf("saw %+v of somebody else", p)
	}
}
