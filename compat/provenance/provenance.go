// Package provenance reads in /proc what there is to know of the process that called sendmail, and what called that.
//
// Nothing of it is proof. A process names itself and its arguments as it likes, and what stands behind a pid may change
// while it is looked at; that one process was looked at from beginning to end is all that Of makes sure of.
//
// Of is for the daemon, which looks at strangers: it reads only what the kernel itself keeps (proc_pid_stat(5),
// cgroup, loginuid). Arguments lie in the memory of their process, which can make a reader of them wait for as long as
// it likes; so they are for Self, with which the sendmail command looks around itself, at nobody's cost but its own.
//
// Each look costs a few small reads (some 5 µs each). Texts are of bounded length, and as hostile
// as who chose them.
package provenance

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"signpost/spool"
)

// The longest texts of each kind, octets.
const (
	maxName    = 64
	maxCommand = 300
	maxDir     = 256
	maxUnit    = 128
)

// errGone says that a process has ended, or that another has its pid.
var errGone = errors.New("the process has ended")

// Of tells of the process pid: Name, Parent and PID of what started it, Unit, Container, and as Login the number of the
// uid that logged in, where that is known. still is asked at the end whether pid is the process that it was at the
// beginning. The error says that nothing can be known: it has ended, or /proc does not show it.
func Of(pid int, still func() bool) (spool.Process, error) { return proc{"/proc"}.of(pid, still) }

// Self tells of this process: Name, Parent, PID and Command of what started it, Unit, Container, Dir, and as RealUser
// the number of the real uid, where it differs. What cannot be known is left out.
func Self() spool.Process {
	p, _ := proc{"/proc"}.program(os.Getppid())
	p.Command = proc{"/proc"}.command(p.PID)
	p.Unit, p.Container = proc{"/proc"}.group("self")
	if dir, err := unix.Getwd(); err == nil {
		p.Dir = first(dir, maxDir)
	}
	if uid := os.Getuid(); uid != os.Geteuid() {
		p.RealUser = strconv.Itoa(uid)
	}
	return p
}

// proc is a file system like proc(5).
type proc struct{ root string }

func (f proc) of(pid int, still func() bool) (spool.Process, error) {
	before, err := f.stat(pid)
	if err != nil {
		return spool.Process{}, err
	}
	// As long as it lives its parent is the same process, or its parent's pid changes.
	p, parentErr := f.program(before.parent)
	dir := strconv.Itoa(pid)
	p.Unit, p.Container = f.group(dir)
	p.Login = f.login(dir)
	after, err := f.stat(pid)
	if err != nil || after.start != before.start || !still() {
		return spool.Process{}, errGone
	}
	if parentErr != nil || after.parent != before.parent {
		p.Name, p.Parent, p.PID = "", "", 0
	}
	return p, nil
}

// program names the process that started sendmail; where that is only a shell, also what started the shell. Process 1
// started nothing by itself: it takes the place of a parent that has ended.
func (f proc) program(pid int) (spool.Process, error) {
	if pid <= 1 {
		return spool.Process{}, errGone
	}
	s, err := f.stat(pid)
	if err != nil {
		return spool.Process{}, err
	}
	p := spool.Process{Name: first(s.name, maxName), PID: pid}
	if isWrapper(s.name) && s.parent > 1 {
		if above, err := f.stat(s.parent); err == nil {
			p.Parent = first(above.name, maxName)
		}
	}
	return p, nil
}

// isWrapper reports whether a program is known for starting others, and so tells little by its name.
func isWrapper(name string) bool {
	switch name {
	case "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox", "env", "sudo", "timeout":
		return true
	}
	return false
}

// stat is a part of proc_pid_stat(5).
type stat struct {
	name   string // 15 octets at most
	parent int
	start  uint64 // ticks since the machine was started
}

func (f proc) stat(pid int) (stat, error) {
	var buf [1024]byte
	text, err := f.read(strconv.Itoa(pid)+"/stat", buf[:])
	if err != nil {
		return stat{}, err
	}
	s, ok := parseStat(text)
	if !ok {
		return stat{}, errGone
	}
	return s, nil
}

// parseStat reads "pid (name) state ppid …". The name may hold anything, also ") ".
func parseStat(text []byte) (s stat, ok bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return stat{}, false
	}
	s.name = string(text[open+1 : end])
	fields := strings.Fields(string(text[end+1:])) // from the third on
	if len(fields) < 20 {
		return stat{}, false
	}
	var err1, err2 error
	s.parent, err1 = strconv.Atoi(fields[1])
	s.start, err2 = strconv.ParseUint(fields[19], 10, 64)
	return s, err1 == nil && err2 == nil
}

// login is the uid that logged in, kept by the kernel through su and sudo; empty where nobody did.
func (f proc) login(dir string) string {
	var buf [16]byte
	text, err := f.read(dir+"/loginuid", buf[:])
	uid, perr := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 32)
	if err != nil || perr != nil || uid == 1<<32-1 {
		return ""
	}
	return strconv.FormatUint(uid, 10)
}

// command is the command line of a process.
func (f proc) command(pid int) string {
	if pid == 0 {
		return ""
	}
	var buf [4096]byte
	text, err := f.read(strconv.Itoa(pid)+"/cmdline", buf[:])
	if err != nil {
		return ""
	}
	return first(strings.Join(withoutSecrets(strings.FieldsFunc(string(text), isBlank)), " "), maxCommand)
}

// isBlank reports what parts words: the arguments, and words within them, as a shell's -c has them.
func isBlank(r rune) bool { return r <= ' ' }

// group tells the unit and the container that a process is in.
func (f proc) group(dir string) (unit, container string) {
	var buf [4096]byte
	text, err := f.read(dir+"/cgroup", buf[:])
	if err != nil {
		return "", ""
	}
	return parseGroup(groupPath(string(text)))
}

// read gives the beginning of a file, as much as buf holds. What is read here comes whole with one read. Package os
// would cost twice as much.
func (f proc) read(name string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(f.root+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		return buf[:max(n, 0)], err
	}
}

// first gives the first n octets of s.
func first(s string, n int) string { return s[:min(len(s), n)] }
