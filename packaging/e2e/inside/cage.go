//go:build e2e

package inside

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Cage is what stands before a program's name so that the kernel refuses it, and all that it starts, any socket but
// those of the host itself (AF_UNIX), and calls that the filters of older containers do not know (seccomp(2)).
// Any account may use it.
func Cage() []string {
	return []string{"/usr/bin/env", envStage + "=" + stageCage, "/run/e2e/test"}
}

// refusedCalls are the calls that older filters refuse: they came into the kernel later than those.
var refusedCalls = []uint32{unix.SYS_STATX, unix.SYS_RENAMEAT2, unix.SYS_KCMP, unix.SYS_OPENAT2, unix.SYS_CLONE3}

// cage puts the filter up and becomes the program of args.
func cage(args []string) error {
	if len(args) == 0 {
		return errors.New("no program")
	}
	filter := socketsOfTheHost(refusedCalls)
	runtime.LockOSThread() // the filter is the thread's, and stays when it becomes another program
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != unix.EAFNOSUPPORT {
		return fmt.Errorf("a socket of the Internet: %v", err)
	}
	return unix.Exec(args[0], args, []string{"PATH=/usr/bin:/bin"})
}

// socketsOfTheHost is the filter: socket and socketpair of other families fail with EAFNOSUPPORT, the calls of refused
// with EPERM.
func socketsOfTheHost(refused []uint32) []unix.SockFilter {
	const number, firstArg = 0, 16 // in struct seccomp_data; all our machines keep the lower half first
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	give := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	fails := func(errno unix.Errno) unix.SockFilter { return give(unix.SECCOMP_RET_ERRNO | uint32(errno)) }

	list := []unix.SockFilter{load(number)}
	for _, call := range refused {
		list = append(list, equal(call, 0, 1), fails(unix.EPERM))
	}
	return append(list,
		equal(unix.SYS_SOCKET, 1, 0), equal(unix.SYS_SOCKETPAIR, 0, 3),
		load(firstArg), equal(unix.AF_UNIX, 1, 0), fails(unix.EAFNOSUPPORT),
		give(unix.SECCOMP_RET_ALLOW))
}
