package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"signpost/compat/aliases"
	"signpost/spool"
)

const (
	maxForward  = 1 << 20          // octets of a ~/.forward and all that it includes
	maxFound    = 8 << 20          // octets of a found in JSON
	maxSuffix   = 64               // octets of a detail that a file name may be made of
	forwardWait = 20 * time.Second // for the reading of one: a home on another host may not answer
)

// dotForward says whose ~/.forward is read, and which.
type dotForward struct {
	User   User
	Suffix string // what is behind the name of the file that goes first, such as "+lists"; empty: there is no such file
}

// found is what somebody's ~/.forward holds, read with the rights of its owner.
type found struct {
	Path    string            // of the file; empty: there is none, or none to go by
	Text    []byte            // what stands in it; octets, since JSON would mend what is not UTF-8
	Lists   map[string][]byte // likewise what it includes, by path
	Warning string            // why a file that is there is not gone by
}

// isForward reports whether a path has the name of such a file.
func isForward(path string) bool { return strings.HasPrefix(filepath.Base(path), ".forward") }

// paths are the files that are looked for, in this order; the first one that is there decides.
func (d dotForward) paths() []string {
	path := filepath.Join(d.User.Home, ".forward")
	if d.Suffix == "" {
		return []string{path}
	}
	return []string{path + d.Suffix, path}
}

// read reads the file with the rights of this process. An error is temporary. A home that is not there or cannot be
// looked into has no file; a file that must not be believed, or cannot be read whole, gives a Warning.
func (d dotForward) read() (found, error) {
	if !filepath.IsAbs(d.User.Home) {
		return found{}, nil
	}
	for _, path := range d.paths() {
		_, err := os.Lstat(path)
		switch {
		case err == nil:
			return d.readFile(path)
		case isTrouble(err):
			return found{}, err
		}
	}
	return found{}, nil
}

func (d dotForward) readFile(path string) (found, error) {
	f := found{Path: path, Lists: map[string][]byte{}}
	room := maxForward
	open := func(path string) ([]byte, error) {
		text, err := aliases.ReadList(path, d.User.UID, room)
		room -= len(text)
		return []byte(text), err
	}
	err := safeFolder(d.User.Home, d.User.UID)
	if err == nil {
		f.Text, err = open(path)
	}
	if err == nil {
		_, _, err = flatten(path, f.Text, func(path string) ([]byte, error) {
			text, err := open(path)
			f.Lists[path] = text
			return text, err
		})
	}
	switch {
	case err == nil:
		return f, nil
	case isTrouble(err):
		return found{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return found{Warning: fmt.Sprintf("%s is not used: %v", path, err)}, nil
}

// isTrouble tells an error that may pass from one that says what a file is. It is the former in case of doubt: mail
// that should go elsewhere must not end here because a disk did not answer.
func isTrouble(err error) bool {
	for _, known := range []error{aliases.ErrUnsafe, aliases.ErrTooBig, fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR,
		syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.ENXIO, syscall.ENODEV} {
		if errors.Is(err, known) {
			return false
		}
	}
	return true
}

// safeFolder makes sure that nobody but root and uid can put another folder in the place of home, or another file into
// it: neither along the path as it is written, nor along the one that it leads to.
func safeFolder(home string, uid int) error {
	home = filepath.Clean(home)
	real, err := filepath.EvalSymlinks(home)
	if err != nil {
		return err
	}
	for _, path := range []string{home, real} {
		for dir := path; ; dir = filepath.Dir(dir) {
			if err := safeStep(dir, uid, dir == real); err != nil {
				return err
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}

// safeStep looks at one folder, or symbolic link to one, of a path. Where the sticky bit is set others may write, as they
// can neither remove nor rename what is not theirs; in the home itself they could still make a file.
func safeStep(dir string, uid int, home bool) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	sticky := info.Mode()&fs.ModeSticky != 0 && !home
	switch {
	case !ok || int(st.Uid) != uid && st.Uid != 0:
		return fmt.Errorf("%w: the folder %s belongs to somebody else", aliases.ErrUnsafe, dir)
	case info.Mode()&fs.ModeSymlink != 0 || info.Mode().Perm()&0o022 == 0 || sticky:
		return nil
	}
	return fmt.Errorf("%w: the folder %s can be written by others than its owner (mode %04o)", aliases.ErrUnsafe, dir, info.Mode().Perm())
}

// flatten gives the targets of a list and of those that it includes, which open reads.
func flatten(path string, text []byte, open func(path string) ([]byte, error)) ([]aliases.Target, []aliases.Warning, error) {
	f := flattening{open: open, done: map[string]bool{path: true}}
	err := f.add(path, text, 0)
	return f.targets, f.warnings, err
}

type flattening struct {
	open     func(path string) ([]byte, error)
	done     map[string]bool // lists that are in targets: twice says no more than once
	targets  []aliases.Target
	warnings []aliases.Warning
}

func (f *flattening) add(path string, text []byte, depth int) error {
	targets, warnings := aliases.ParseList(path, string(text))
	f.warnings = append(f.warnings, warnings...)
	for _, t := range targets {
		if t.Kind != aliases.Include {
			f.targets = append(f.targets, t)
			continue
		}
		if f.done[t.Text] {
			continue
		}
		f.done[t.Text] = true
		if depth >= aliases.MaxInclude {
			return fmt.Errorf("%w: more than %d includes within each other", aliases.ErrTooBig, aliases.MaxInclude)
		}
		text, err := f.open(t.Text)
		if err != nil {
			return fmt.Errorf(":include:%s: %w", t.Text, err)
		}
		if err := f.add(t.Text, text, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// forward gives what the ~/.forward says of the user that a name is. It says what is wrong with one; the mail then goes
// to the mailbox. An error is temporary.
func (m *Mailboxes) forward(ctx context.Context, name string) (aliases.Forward, error) {
	if !m.Forward {
		return aliases.Forward{}, nil
	}
	u, err := m.findUser(ctx, name)
	switch {
	case errors.Is(err, ErrNoUser):
		return aliases.Forward{}, nil
	case err != nil:
		return aliases.Forward{}, &spool.Error{Status: systemTrouble, Err: err}
	case u.UID == 0:
		return aliases.Forward{}, nil // what runs as root must not depend on a file that is easy to forget
	}
	d := dotForward{User: u, Suffix: m.suffix(name, u)}
	f, err := m.readForward(ctx, d)
	if err != nil {
		return aliases.Forward{}, err
	}
	if f.Path != "" && !slices.Contains(d.paths(), f.Path) {
		return aliases.Forward{}, spool.Errorf(systemTrouble, "%s is no ~/.forward of %s", f.Path, u.Name)
	}
	return m.understand(u, f), nil
}

// suffix is what the name of the file that goes first has behind .forward: the sign and the detail in lower case, where
// a file may be named so.
func (m *Mailboxes) suffix(name string, u User) string {
	if m.Extension == "" || strings.EqualFold(name, u.Name) {
		return ""
	}
	_, detail, _ := strings.Cut(name, m.Extension)
	if suffix := m.Extension + strings.ToLower(detail); m.isSuffix(suffix) {
		return suffix
	}
	return ""
}

// isSuffix reports whether a file may be called .forward with s behind it.
func (m *Mailboxes) isSuffix(s string) bool {
	return m.Extension != "" && strings.HasPrefix(s, m.Extension) && len(s) > len(m.Extension) && len(s) <= maxSuffix &&
		!strings.Contains(s, "/") && !strings.ContainsFunc(s, isControl)
}

// readForward has a file read with the rights of its owner. Without a helper only the owner's own daemon can do so, and
// for all others there is none.
func (m *Mailboxes) readForward(ctx context.Context, d dotForward) (found, error) {
	switch {
	case m.Helper != "":
		return m.askForward(ctx, d)
	case os.Geteuid() != d.User.UID:
		return found{}, nil
	}
	f, err := d.read()
	if err != nil {
		return found{}, &spool.Error{Status: listTrouble, Err: err}
	}
	return f, nil
}

// understand takes what was read, in which nothing is to be trusted, for targets, and tells what is wrong with it.
func (m *Mailboxes) understand(u User, f found) aliases.Forward {
	r := reading{Mailboxes: m, user: u, path: f.Path}
	if f.Warning != "" {
		r.complain("%s", f.Warning)
	}
	if f.Path != "" {
		r.take(f)
	}
	if n := len(r.complaints) - maxComplaints; n > 0 {
		r.complaints = append(r.complaints[:maxComplaints], fmt.Sprintf("and %d more", n))
	}
	if m.Warn != nil && len(r.complaints) > 0 {
		m.Warn(fmt.Errorf("~/.forward of %s: %s", u.Name, strings.Join(r.complaints, "; ")))
	}
	if len(r.targets) == 0 {
		return aliases.Forward{}
	}
	return aliases.Forward{Path: f.Path, Account: u.Name, Targets: r.targets}
}

// Of one file so much goes into the log: its owner decides what is in it.
const (
	maxComplaints = 5
	maxComplaint  = 300 // octets
)

// reading makes targets of one ~/.forward.
type reading struct {
	*Mailboxes
	user       User
	path       string
	targets    []aliases.Target
	complaints []string
}

func (r *reading) complain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxComplaint {
		text = strings.ToValidUTF8(text[:maxComplaint], "") + "…"
	}
	r.complaints = append(r.complaints, text)
}

func (r *reading) take(f found) {
	targets, warnings, err := flatten(f.Path, f.Text, func(path string) ([]byte, error) {
		text, ok := f.Lists[path]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return text, nil
	})
	if err != nil { // whoever read it would have said so
		r.complain("%s is not used: %v", f.Path, err)
		return
	}
	for _, w := range warnings {
		r.complain("%s", w)
	}
	for _, t := range targets {
		switch t.Kind {
		case aliases.User, aliases.Address:
			r.targets = append(r.targets, r.name(t))
		default:
			r.action(t)
		}
	}
	if len(r.targets) == 0 {
		r.complain("%s is not used: it names nobody", f.Path)
	}
}

// name makes the user's own name the mailbox, whatever the aliases say of it.
func (r *reading) name(t aliases.Target) aliases.Target {
	if name, ok := r.localPart(t.Text); ok && strings.EqualFold(name, r.user.Name) {
		t.Kind, t.Text, t.NoAlias = aliases.User, r.user.Name, true
	}
	return t
}

// action takes in a program or file, where the ~/.forward itself names it: whoever may subscribe to an included list
// must not be able to have commands run.
func (r *reading) action(t aliases.Target) {
	switch {
	case !r.ForwardPrograms:
		r.complain("%s:%d: [local] programs does not allow %s", t.Source, t.Line, t.Text)
	case t.Source != r.path:
		r.complain("%s:%d: an included file must not name programs and files", t.Source, t.Line)
	case len(t.Text) > maxText:
		r.complain("%s:%d: longer than %d bytes", t.Source, t.Line, maxText)
	default:
		t.RunAs = r.user.Name
		r.targets = append(r.targets, t)
	}
}

// planForward is the reading of a ~/.forward for the daemon.
func (m *Mailboxes) planForward(ctx context.Context, j job, req request) (job, error) {
	u, err := m.users().LookupName(ctx, req.Addr)
	switch {
	case errors.Is(err, ErrNoUser):
		return job{}, spool.Errorf(systemTrouble, "no user %s any more", req.Addr)
	case err != nil:
		return job{}, &spool.Error{Status: systemTrouble, Err: err}
	case u.UID == 0:
		return job{}, spool.Errorf(systemTrouble, "%s is root and has no ~/.forward", u.Name)
	}
	j.User, j.GID, j.Timeout = u, u.GID, forwardWait
	j.Forward = &dotForward{User: u}
	if m.isSuffix(req.Suffix) {
		j.Forward.Suffix = req.Suffix
	}
	return j, nil
}

// planForwarded takes a file or program that a user's ~/.forward is said to name. Whether it does the child sees.
func (m *Mailboxes) planForwarded(ctx context.Context, j job, req request) (job, error) {
	if !m.Forward || !m.ForwardPrograms {
		return job{}, spool.Errorf(NotNamed, "[local] does not allow the programs and files of a ~/.forward any more")
	}
	u, err := m.users().LookupName(ctx, req.RunAs)
	switch {
	case errors.Is(err, ErrNoUser):
		return job{}, spool.Errorf(NotNamed, "no user %s any more", req.RunAs)
	case err != nil:
		return job{}, &spool.Error{Status: systemTrouble, Err: err}
	case u.UID == 0:
		return job{}, spool.Errorf(NotNamed, "%s is root, as which no program is run", u.Name)
	}
	d := dotForward{User: u}
	if suffix, ok := strings.CutPrefix(req.Source, d.paths()[0]); ok && m.isSuffix(suffix) {
		d.Suffix = suffix
	}
	if d.paths()[0] != req.Source {
		return job{}, spool.Errorf(NotNamed, "%s is no ~/.forward of %s", req.Source, u.Name)
	}
	j.User, j.GID, j.Key, j.DeliveredTo = u, u.GID, req.Source, m.deliveredTo(u.Name)
	j.Forward = &d
	return j.named(req), nil
}

// vouched makes sure that the ~/.forward from which the job comes names its file or program now, in these very words.
func (j *job) vouched() error {
	if j.Forward == nil {
		return nil
	}
	f, err := j.Forward.read()
	if err != nil {
		return &spool.Error{Status: listTrouble, Err: err}
	}
	source := j.Forward.paths()[0]
	targets, _ := aliases.ParseList(f.Path, string(f.Text))
	if f.Path != source || !slices.ContainsFunc(targets, func(t aliases.Target) bool {
		return t.Kind == aliases.Program && j.Kind == spool.Program && t.Text == j.Command ||
			t.Kind == aliases.File && j.Kind == spool.File && t.Text == j.Path
	}) {
		return spool.Errorf(NotNamed, "%s does not name %s any more", source, j.Command+j.Path)
	}
	return nil
}

// tell reads a ~/.forward and sends it to the daemon.
func (j *job) tell(conn io.Writer) error {
	f, err := j.Forward.read()
	if err != nil {
		return writeJSON(conn, frameResult, answerOf(spool.ResultOf(&spool.Error{Status: listTrouble, Err: err}, time.Time{})))
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(text, maxFrame) {
		if err := writeFrame(conn, frameData, chunk); err != nil {
			return err
		}
	}
	return writeFrame(conn, frameEnd, nil)
}

// Trace is the field, with CRLF, of a copy that an account's ~/.forward sends away; for no account it is empty.
func (m *Mailboxes) Trace(forwarder string) string {
	if forwarder == "" || strings.ContainsFunc(forwarder, isControl) {
		return ""
	}
	return "Delivered-To: " + m.deliveredTo(forwarder) + "\r\n"
}

// Passed reports whether a message has the field of Trace: it has been sent away before, and has come back.
func (m *Mailboxes) Passed(open func() (io.ReadSeekCloser, error), forwarder string) (bool, error) {
	content, err := open()
	if err != nil {
		return false, err
	}
	defer content.Close()
	header, _, err := peekHeader(content)
	return hasDeliveredTo(header, m.deliveredTo(forwarder)), err
}

func (m *Mailboxes) deliveredTo(account string) string { return account + "@" + m.Hostname }
