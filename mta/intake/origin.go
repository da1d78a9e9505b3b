package intake

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"signpost/compat/provenance"
	"signpost/spool"
)

// origin is what is recorded of who handed a message in.
func (i *Intake) origin(who Caller, told spool.Told, from originator) spool.Origin {
	o := spool.Origin{Via: who.Via, UID: who.UID, PID: cmp.Or(who.PID, told.PID)}
	if from.known {
		o.Login = from.login
	}
	o.Seen = i.clean(who.Seen, from)
	claims := told.Process
	claims.Login, claims.Script = told.Login, ""
	o.Claims = unlike(i.clean(claims, from), o.Seen)
	return o
}

// clean makes each text one line of bounded length, and names of uids. What says no more than that the caller is who
// it is is left out.
func (i *Intake) clean(p spool.Process, from originator) spool.Process {
	for _, text := range []*string{&p.Name, &p.Parent, &p.Command, &p.Dir, &p.Unit, &p.Container, &p.Script} {
		*text = oneLine(*text, maxOrigin)
	}
	for _, user := range []*string{&p.Login, &p.RealUser} {
		if *user = i.userName(oneLine(*user, maxOrigin)); *user == from.login {
			*user = ""
		}
	}
	p.PID = max(p.PID, 0)
	return p
}

// userName names the user whose uid is given; any other text stays what it is.
func (i *Intake) userName(text string) string {
	uid, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return text
	}
	return i.originator(int(uid), "").login
}

// unlike leaves out of claims what has been seen too.
func unlike(claims, seen spool.Process) spool.Process {
	for _, p := range [][2]*string{
		{&claims.Name, &seen.Name}, {&claims.Parent, &seen.Parent}, {&claims.Command, &seen.Command}, {&claims.Dir, &seen.Dir},
		{&claims.Unit, &seen.Unit}, {&claims.Container, &seen.Container}, {&claims.Login, &seen.Login}, {&claims.RealUser, &seen.RealUser},
	} {
		if *p[0] == *p[1] {
			*p[0] = ""
		}
	}
	if claims.PID == seen.PID {
		claims.PID = 0
	}
	return claims
}

// lookAt tells what /proc shows of the process at the other end of c, of which the kernel said uid and pid: nothing
// where it may be another process by now.
func lookAt(c net.Conn, uid, pid int) spool.Process {
	if pid <= 0 {
		return spool.Process{} // of a namespace that we do not see into
	}
	still, done := holder(c, uid, pid)
	defer done()
	p, err := provenance.Of(pid, still)
	if err != nil {
		return spool.Process{}
	}
	return p
}

// holder gives a function that tells whether pid is the process that connected. Kernels before 6.5 have no pidfd for it;
// there pid must be a process of the same user, who might have passed the connection on to it anyway.
func holder(c net.Conn, uid, pid int) (still func() bool, done func()) {
	fd, err := peerPidfd(c)
	if err != nil {
		return func() bool { return owner(pid) == uid }, func() {}
	}
	return func() bool { return lives(fd) }, func() { unix.Close(fd) }
}

// peerPidfd gives a descriptor of the process that connected.
func peerPidfd(c net.Conn) (int, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return -1, fmt.Errorf("%T tells no process", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	cerr := raw.Control(func(s uintptr) { fd, err = unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_PEERPIDFD) })
	return fd, errors.Join(cerr, err)
}

// lives reports whether the process of a pidfd has not ended.
func lives(pidfd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	return n == 0 && err == nil
}

// owner is the effective uid of a process; -1 where it is not known.
func owner(pid int) int {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid), &st) != nil {
		return -1
	}
	return int(st.Uid)
}
