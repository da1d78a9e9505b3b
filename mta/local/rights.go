package local

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// allThreads makes a call on every thread of the process: credentials belong to threads, and a goroutine may run on
// any of them. A program built with cgo cannot do it, and then nothing is delivered.
func allThreads(what string, trap, a1, a2, a3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, a3)
	if errno == syscall.ENOTSUP {
		return fmt.Errorf("%s: built with cgo; build with CGO_ENABLED=0", what)
	}
	if errno != 0 {
		return fmt.Errorf("%s: %w", what, errno)
	}
	return nil
}

// CheckRights says why a helper that is this program could not do its work: become other accounts, and give up what
// rights are left. It gives up those that Serve does, for good.
func CheckRights() error {
	if err := restrict(); err != nil {
		return err
	}
	if !canBecome() {
		return errors.New("no right to become other accounts: CAP_SETUID and CAP_SETGID are missing")
	}
	return nil
}

// restrict keeps this process and all that it will execute from gaining rights: no_new_privs is set, the ambient and
// inheritable sets are empty. Ambient capabilities outlive a change from one ordinary uid to another and an exec; a
// child that became the recipient could otherwise call setuid(0).
func restrict() error {
	if err := allThreads("prctl(PR_SET_NO_NEW_PRIVS)", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return err
	}
	err := allThreads("prctl(PR_CAP_AMBIENT)", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	if err != nil {
		return err
	}
	caps, err := capabilities()
	if err != nil {
		return err
	}
	for i := range caps {
		caps[i].Inheritable = 0
	}
	return setCapabilities(caps)
}

type capSets [2]unix.CapUserData // 64 capabilities, the low half first

func capabilities() (capSets, error) {
	var sets capSets
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err := unix.Capget(&head, &sets[0])
	return sets, err
}

func setCapabilities(sets capSets) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return allThreads("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&sets[0])), 0)
}

// become makes sure that the process is the account of the job and nothing more. The kernel has set its uid, gid and
// groups between fork and exec; here every capability goes (an exec with uid 0 gives them all again), and all of it is
// verified. It comes before anything of the recipient's is touched.
func (j *job) become() error {
	if err := restrict(); err != nil {
		return err
	}
	if err := setCapabilities(capSets{}); err != nil {
		return err
	}
	return j.verify()
}

// verify reads back what become has done.
func (j *job) verify() error {
	sets, err := capabilities()
	if err != nil {
		return err
	}
	if sets != (capSets{}) {
		return errors.New("capabilities are left")
	}
	r, e, s := unix.Getresuid()
	if uid := j.User.UID; r != uid || e != uid || s != uid {
		return fmt.Errorf("uids %d %d %d, not %d", r, e, s, uid)
	}
	r, e, s = unix.Getresgid()
	if r != j.GID || e != j.GID || s != j.GID {
		return fmt.Errorf("gids %d %d %d, not %d", r, e, s, j.GID)
	}
	groups, err := unix.Getgroups()
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g != j.GID && !j.Same {
			return fmt.Errorf("group %d is left", g)
		}
	}
	return nil
}

// canBecome reports whether this process may take other uids: root, or what holds CAP_SETUID and CAP_SETGID.
func canBecome() bool {
	sets, err := capabilities()
	const need = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	return err == nil && sets[0].Effective&need == need
}

// credential is what the kernel makes of the child. An ordinary user's helper (demonstrations, tests) has only
// itself to be.
func (j *job) credential() (*syscall.Credential, error) {
	if canBecome() {
		return &syscall.Credential{Uid: uint32(j.User.UID), Gid: uint32(j.GID)}, nil
	}
	if os.Geteuid() != j.User.UID || os.Getegid() != j.GID {
		return nil, fmt.Errorf("uid %d cannot become %s", os.Geteuid(), j.User.Name)
	}
	j.Same = true
	return nil, nil
}
