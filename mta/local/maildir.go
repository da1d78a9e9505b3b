package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maildir adds the message to a Maildir: written and synced in tmp/, then linked into new/, which is synced too. It
// needs no lock. The folder and its three parts are made where they are missing; its parents never are.
func (j *job) maildir(ctx context.Context, content io.Reader) error {
	root, err := j.openMaildir()
	if err != nil {
		return err
	}
	defer root.Close()
	name := j.uniqueName(time.Now())
	if err := j.writeTmp(root, "tmp/"+name, content); err != nil {
		root.Remove("tmp/" + name)
		return fmt.Errorf("%s: %w", j.Path, err)
	}
	if err := ctx.Err(); err != nil { // as in mbox
		root.Remove("tmp/" + name)
		return err
	}
	if err := publish(root, name); err != nil {
		return fmt.Errorf("%s: %w", j.Path, err)
	}
	return nil
}

// openMaildir opens the folder, made if need be. A symbolic link to a Maildir elsewhere is followed, as people move
// theirs to larger disks; but what it leads to must be the recipient's, and what lies within is opened without
// leaving it.
func (j *job) openMaildir() (*os.Root, error) {
	dir := strings.TrimSuffix(j.Path, "/")
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := syncDir(dir[:strings.LastIndexByte(dir, '/')+1]); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: %w: not a folder", j.Path, errUnsafe)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := j.checkMaildir(root); err != nil {
		root.Close()
		return nil, fmt.Errorf("%s: %w", j.Path, err)
	}
	return root, nil
}

func (j *job) checkMaildir(root *os.Root) error {
	if err := j.checkFolder(root, "."); err != nil {
		return err
	}
	made := false
	for _, part := range []string{"tmp", "new", "cur"} {
		err := root.Mkdir(part, 0o700)
		made = made || err == nil
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := j.checkFolder(root, part); err != nil {
			return err
		}
	}
	if made {
		return syncIn(root, ".")
	}
	return nil
}

func (j *job) checkFolder(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%w: %s is not a folder", errUnsafe, name)
	case !ok || !j.ownedBy(st.Uid):
		return fmt.Errorf("%w: %s does not belong to %s", errUnsafe, name, j.User.Name)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("%w: everybody may write in %s", errUnsafe, name)
	}
	return nil
}

// uniqueName is a file name that no other delivery on any host that shares the folder makes, in the usual form:
// seconds, a part that is unique here, host.
func (j *job) uniqueName(now time.Time) string {
	host := strings.NewReplacer("/", `\057`, ":", `\072`).Replace(j.Host)
	var random [8]byte
	rand.Read(random[:]) // never fails
	return fmt.Sprintf("%d.M%dP%dR%x.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), random, host)
}

func (j *job) writeTmp(root *os.Root, name string, content io.Reader) error {
	raw, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	f := j.disk.file(raw)
	if err := j.write(f, content, false); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// publish gives the message its name in new/. link, unlike rename, never replaces what is there; some file systems
// have no links.
func publish(root *os.Root, name string) error {
	from, to := "tmp/"+name, "new/"+name
	err := root.Link(from, to)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EMLINK), errors.Is(err, unix.ENOSYS):
		err = root.Rename(from, to)
	case err == nil:
		root.Remove(from)
	}
	if err != nil {
		root.Remove(from)
		return err
	}
	if err := syncIn(root, "new"); err != nil {
		root.Remove(to) // it will come again
		return err
	}
	return nil
}

func syncIn(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
