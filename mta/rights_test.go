package mta

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Only a socket that root made, for the account asked for, and whose maker lives is taken for a service manager's.
func TestKeptSocketOfAHelper(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deliver.sock")
	if kept(path, os.Geteuid()) {
		t.Error("a socket that is not there")
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if got, want := kept(path, os.Geteuid()), os.Geteuid() == 0; got != want {
		t.Errorf("a socket of uid %d: %v", os.Geteuid(), got)
	}
	if kept(path, os.Geteuid()+1) {
		t.Error("a socket for somebody else")
	}
	l.Close()
	if kept(path, os.Geteuid()) {
		t.Error("a socket that nobody listens on")
	}
}

// What root does as the owner of a spool leaves nothing of root's there. It cannot be undone: another process does it.
func TestAsOwner(t *testing.T) {
	const owner = 61001
	if dir := os.Getenv("AS_OWNER_OF"); dir != "" {
		if err := AsOwner(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "cur"), 0o700); err != nil {
			t.Fatal(err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	for d := dir; d != filepath.Dir(filepath.Dir(dir)); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, owner, owner); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestAsOwner$")
	cmd.Env = append(os.Environ(), "AS_OWNER_OF="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "cur"), &st); err != nil || st.Uid != owner || st.Gid != owner {
		t.Errorf("made by uid %d, gid %d: %v", st.Uid, st.Gid, err)
	}
}
