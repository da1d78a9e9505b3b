package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrNoUser is the answer of Users where there certainly is no such account or group.
var ErrNoUser = errors.New("no such user")

// User is an account of this host.
type User struct {
	Name     string
	UID      int
	GID      int
	Home     string
	FullName string // GECOS up to the first comma, & replaced by the capitalised name
	NoLogin  bool   // a system account (uid below 1000, or nobody) that cannot log in; never root
}

// Users knows the accounts of this host. Any error but ErrNoUser is temporary: nobody's mail bounces because a
// directory server is away. Safe for concurrent use.
type Users interface {
	LookupName(ctx context.Context, name string) (User, error)
	LookupUID(ctx context.Context, uid int) (User, error)
	LookupGroup(ctx context.Context, name string) (gid int, err error)
}

// Passwd is the Users of the files passwd(5) and group(5), and of getent(1) for what they do not hold, since the
// programs are built without cgo and so without the name service switch. The zero value is that of this host.
//
// A host without getent has no name service besides the files: there the files are the last word.
type Passwd struct {
	Path    string        // default /etc/passwd
	Group   string        // default /etc/group
	Getent  string        // default /usr/bin/getent, else /bin/getent; never looked for in PATH
	Timeout time.Duration // of one getent; default 10 s
}

const (
	maxDatabase = 64 << 20 // octets of passwd or group that are read
	maxGetent   = 64 << 10 // octets of its answer
)

// LookupName finds the account of that name, in exactly these letters.
func (p Passwd) LookupName(ctx context.Context, name string) (User, error) {
	line, err := p.find(ctx, "passwd", name, func(f []string) bool { return f[0] == name })
	if err != nil {
		return User{}, err
	}
	return parseUser(line)
}

// LookupUID finds the first account with that uid.
func (p Passwd) LookupUID(ctx context.Context, uid int) (User, error) {
	key := strconv.Itoa(uid)
	line, err := p.find(ctx, "passwd", key, func(f []string) bool { return len(f) > 2 && f[2] == key })
	if err != nil {
		return User{}, err
	}
	return parseUser(line)
}

// LookupGroup finds the gid of a group.
func (p Passwd) LookupGroup(ctx context.Context, name string) (int, error) {
	f, err := p.find(ctx, "group", name, func(f []string) bool { return f[0] == name })
	if err != nil {
		return 0, err
	}
	if len(f) < 3 {
		return 0, fmt.Errorf("group %s: bad line in the database", name)
	}
	return parseID(f[2])
}

// Member reports whether u belongs to a group, by its own gid or by name.
func (p Passwd) Member(ctx context.Context, group string, u User) (bool, error) {
	f, err := p.find(ctx, "group", group, func(f []string) bool { return f[0] == group })
	if errors.Is(err, ErrNoUser) {
		return false, nil
	}
	if err != nil || len(f) < 3 {
		return false, err
	}
	if gid, err := parseID(f[2]); err == nil && gid == u.GID {
		return true, nil
	}
	return len(f) > 3 && slices.Contains(strings.Split(f[3], ","), u.Name), nil
}

// find gives the fields of the first line that match accepts: of the file, else of what getent says.
func (p Passwd) find(ctx context.Context, database, key string, match func([]string) bool) ([]string, error) {
	if key == "" || key[0] == '-' || key[0] == '+' || strings.ContainsAny(key, ":/\n\x00") {
		return nil, ErrNoUser // no account can be called that, and getent must not see an option
	}
	fields, err := findInFile(p.file(database), match)
	if err == nil || !errors.Is(err, ErrNoUser) {
		return fields, err
	}
	return p.getent(ctx, database, key, match)
}

func (p Passwd) file(database string) string {
	path := p.Path
	if database == "group" {
		path = p.Group
	}
	if path == "" {
		path = "/etc/" + database
	}
	return path
}

func findInFile(path string, match func([]string) bool) ([]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoUser // a container may have none
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for size := 0; lines.Scan(); {
		if size += len(lines.Bytes()); size > maxDatabase {
			return nil, fmt.Errorf("reading %s: larger than %d bytes", path, maxDatabase)
		}
		if fields := strings.Split(lines.Text(), ":"); match(fields) {
			return fields, nil
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return nil, ErrNoUser
}

// getent asks the name service switch.
func (p Passwd) getent(ctx context.Context, database, key string, match func([]string) bool) ([]string, error) {
	program := p.program()
	if program == "" {
		return nil, ErrNoUser
	}
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out := &bounded{limit: maxGetent}
	cmd := exec.CommandContext(ctx, program, database, key)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.WaitDelay = []string{"PATH=" + safePath, "LC_ALL=C"}, "/", out, time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 && ctx.Err() == nil {
		return nil, ErrNoUser // getent(1): one or more keys could not be found
	}
	if err != nil {
		return nil, fmt.Errorf("asking getent for %s %s: %w", database, key, err)
	}
	// It answers a number with the account of that uid, and some services fold letter case: look at what came.
	line, _, _ := bytes.Cut(out.buf.Bytes(), []byte("\n"))
	if fields := strings.Split(string(line), ":"); match(fields) {
		return fields, nil
	}
	return nil, ErrNoUser
}

func (p Passwd) program() string {
	if p.Getent != "" {
		return p.Getent
	}
	for _, path := range []string{"/usr/bin/getent", "/bin/getent"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

func parseUser(f []string) (User, error) {
	if len(f) < 7 {
		return User{}, fmt.Errorf("user %s: bad line in the database", f[0])
	}
	uid, err := parseID(f[2])
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", f[0], err)
	}
	gid, err := parseID(f[3])
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", f[0], err)
	}
	u := User{Name: f[0], UID: uid, GID: gid, FullName: fullName(f[4], f[0]), Home: f[5]}
	u.NoLogin = (0 < uid && uid < 1000 || uid == 65534) && noLogin(f[6])
	return u, nil
}

// parseID refuses the number that means "leave it as it is" to setuid(2) and its kin.
func parseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("bad id %q", s)
	}
	return int(n), nil
}

func noLogin(shell string) bool {
	base := shell[strings.LastIndexByte(shell, '/')+1:]
	return base == "nologin" || base == "false" || base == "sync"
}

func fullName(gecos, name string) string {
	full, _, _ := strings.Cut(gecos, ",")
	if name != "" && strings.Contains(full, "&") {
		full = strings.ReplaceAll(full, "&", strings.ToUpper(name[:1])+name[1:])
	}
	return strings.TrimSpace(full)
}

// bounded keeps the first limit octets that are written to it and takes the rest for granted.
type bounded struct {
	buf   bytes.Buffer
	limit int
	cut   bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if room := b.limit - b.buf.Len(); len(p) > room {
		p, b.cut = p[:max(room, 0)], true
	}
	b.buf.Write(p)
	return n, nil
}
