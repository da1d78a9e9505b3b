package mta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"signpost/mta/config"
	"signpost/mta/local"
	"signpost/spool"
)

// installedHelper is where packages put cmd/deliver.
const installedHelper = "/usr/lib/signpost/deliver"

// helperSocket is where the helper of the daemon listens, and runSocket that of a queue run, which must not take it away
// from a service manager that may hold it.
const (
	helperSocket = "deliver.sock"
	runSocket    = "deliver-run.sock"
)

// settle locks the spool, finds or starts the delivery helper and becomes the account of the daemon. Only root can
// become another account; anybody else stays who it is. own names the socket of a helper that is started here.
func (d *Daemon) settle(ctx context.Context, own string) error {
	if os.Geteuid() != 0 {
		if err := os.MkdirAll(d.cfg.Spool.Path, 0o711); err != nil {
			return fmt.Errorf("making the spool: %w", err)
		}
		return d.lockSpool() // assemble looks for the helper
	}
	who, err := local.Passwd{}.LookupName(ctx, d.cfg.User)
	if err != nil {
		return fmt.Errorf("user = %q, the account of the daemon: %w\nhint: make it with: useradd --system --home-dir %s --shell /usr/sbin/nologin %s",
			d.cfg.User, err, d.cfg.Spool.Path, d.cfg.User)
	}
	for _, dir := range []string{d.cfg.Spool.Path, filepath.Dir(d.cfg.Spool.Socket)} {
		if err := giveFolder(dir, who); err != nil {
			return err
		}
	}
	if err := d.lockSpool(); err != nil {
		return err
	}
	if socket := d.socket(helperSocket); kept(socket, who.UID) {
		d.deliver = socket
	} else if err := d.startHelper(ctx, d.socket(own), who); err != nil {
		return err
	}
	if who.UID == 0 {
		d.log.Warn("the daemon runs as root, as user = \"root\" says: give it an account of its own")
		return nil
	}
	return become(who)
}

// socket is the path of a helper's socket.
func (d *Daemon) socket(name string) string {
	return filepath.Join(filepath.Dir(d.cfg.Spool.Socket), name)
}

// lookForHelper finds the helper of a service manager, at the start and at each reload.
func (d *Daemon) lookForHelper() {
	if os.Geteuid() == 0 || d.deliver != "" {
		return
	}
	socket := d.socket(helperSocket)
	if _, err := listener(socket); err != nil {
		d.log.Info("no delivery helper answers: mail for local users is delivered with the daemon's own rights", "path", socket, "err", err)
		return
	}
	d.deliver = socket
}

// kept reports whether a service manager holds the socket of a helper for uid: root made it, and whoever did so lives.
// That of a daemon that was killed is no such socket, even while its helper still ends.
func kept(socket string, uid int) bool {
	var st unix.Stat_t
	if unix.Lstat(socket, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(st.Uid) != uid {
		return false
	}
	maker, err := listener(socket)
	return err == nil && maker.Uid == 0 && unix.Kill(int(maker.Pid), 0) == nil
}

// listener is the process that made a socket which somebody answers on, as the kernel knows it.
func listener(socket string) (*unix.Ucred, error) {
	name, done, err := spool.SocketName(socket)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cred, errors.Join(err, credErr)
}

// giveFolder makes a folder that the daemon will own. One that exists keeps its owner, unless root has just made it
// and it is empty: what is in it may be somebody else's.
func giveFolder(path string, who local.User) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 {
		return nil
	}
	if names, err := f.Readdirnames(1); len(names) > 0 || err == nil {
		return nil
	}
	if err := f.Chown(who.UID, who.GID); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	return nil
}

// startHelper starts the program that delivers as the recipient, where it is installed.
func (d *Daemon) startHelper(ctx context.Context, socket string, who local.User) error {
	exe := d.opt.Helper
	if exe == "" {
		exe = findHelper()
	}
	if exe == "" {
		d.log.Warn("the delivery helper is not installed: mail for local users is delivered with the daemon's own rights", "path", installedHelper)
		return nil
	}
	// A helper that ends later takes the daemon with it; one that cannot work here is told of now.
	if out, err := exec.CommandContext(ctx, exe, "check").CombinedOutput(); err != nil {
		d.log.Error("the delivery helper cannot work; mail for local users is delivered with the daemon's own rights",
			"path", exe, "err", cmp.Or(strings.TrimSpace(string(out)), err.Error()))
		return nil
	}
	path := d.opt.Config
	if path != "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		path = abs
	}
	started, err := local.StartHelper(local.Options{Exe: exe, Socket: socket, Config: path, UID: who.UID, GID: who.GID, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	d.helper, d.deliver = started, socket
	return nil
}

// findHelper looks where packages put the helper, then beside this program.
func findHelper() string {
	paths := []string{installedHelper}
	if self, err := os.Executable(); err == nil {
		paths = append(paths, filepath.Join(filepath.Dir(self), "deliver"))
	}
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// become gives up root for good: groups, gid, uid, and with them every capability.
func become(who local.User) error {
	if err := syscall.Setgroups([]int{who.GID}); err != nil {
		return fmt.Errorf("becoming %s: %w", who.Name, err)
	}
	if err := syscall.Setresgid(who.GID, who.GID, who.GID); err != nil {
		return fmt.Errorf("becoming %s: %w", who.Name, err)
	}
	if err := syscall.Setresuid(who.UID, who.UID, who.UID); err != nil {
		return fmt.Errorf("becoming %s: %w", who.Name, err)
	}
	// Not to be had in a program with cgo; nothing that the daemon executes is set-uid anyway.
	syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	return nil
}

// unknownUID is what the kernel says of a caller whose uid has no meaning here. It owns nothing, sees nothing and may
// do nothing, even where the daemon itself runs as that account: nobody can tell the two apart.
const unknownUID = 65534

// AsOwner makes root the owner of the spool at path, for good, before a command works on it while no daemon runs: what
// root makes there the daemon could not use afterwards.
func AsOwner(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
		return become(local.User{Name: fmt.Sprintf("the owner of %s", path), UID: int(st.Uid), GID: int(st.Gid)})
	}
	return nil
}

// insider reports whether uid is root, the daemon's own account or a member of its group: they see and do everything.
func insider(ctx context.Context, cfg config.Config, uid int) bool {
	switch uid {
	case unknownUID:
		return false
	case 0, os.Geteuid():
		return true
	}
	who, err := local.Passwd{}.LookupUID(ctx, uid)
	if err != nil {
		return false
	}
	member, err := local.Passwd{}.Member(ctx, cfg.User, who)
	return member && err == nil
}
