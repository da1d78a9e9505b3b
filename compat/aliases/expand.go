package aliases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Expander follows names through a file until only mailboxes, addresses elsewhere, files and programs are left.
type Expander struct {
	Table *Table
	// Local parts an address of this host: its local part, and true. Nil: every address is elsewhere.
	Local func(addr string) (name string, ok bool)
	// Extension parts a name from its detail ("+": ann+list is ann's, unless there is an alias for the whole).
	// Empty: names are taken as they stand.
	Extension string
	// First and Last are right sides by lower-cased name that win over the file and that stand in where it has no
	// line. Programs, files and includes in them are ignored: they are no file that somebody vouches for.
	First, Last map[string]string
}

// Expand gives the targets of name (a local part; letter case does not matter), each once, in the order of the file:
// addresses that are elsewhere, files, programs, and names that no alias has, with their detail. A name without an
// alias gives itself. A name that comes back to itself is its mailbox (`bob: bob, x@example.com`), and so are names
// deeper than MaxDepth: a loop is no error.
//
// Warnings are those of included files. An error means that a list could not be had whole; the message must wait.
func (e *Expander) Expand(ctx context.Context, name string) ([]Target, []Warning, error) {
	x := expansion{Expander: e, ctx: ctx, done: map[string]bool{}, path: map[string]bool{}, seen: map[string]bool{}}
	if e.Table == nil {
		x.Expander = &Expander{Table: &Table{}, Local: e.Local, Extension: e.Extension, First: e.First, Last: e.Last}
	}
	if err := x.user(Target{Kind: User, Text: name}, 0); err != nil {
		return nil, x.warnings, err
	}
	return x.out, x.warnings, nil
}

// expansion is one walk through a file.
type expansion struct {
	*Expander
	ctx      context.Context
	done     map[string]bool // names that have been followed
	path     map[string]bool // names that are being followed, from the outermost in
	seen     map[string]bool // what is in out
	out      []Target
	warnings []Warning
}

// user follows a name, or gives it out where there is no alias for it.
func (x *expansion) user(t Target, depth int) error {
	if t.NoAlias {
		return x.emit(t)
	}
	key, targets, ok := x.find(t.Text)
	if !ok {
		return x.emit(t)
	}
	if x.path[key] || depth >= MaxDepth {
		t.Loop = true
		return x.emit(t)
	}
	if x.done[key] {
		return nil // whatever it leads to is there already
	}
	x.done[key], x.path[key] = true, true
	defer delete(x.path, key)
	return x.follow(targets, x.ownerOf(key, t.Owner), depth+1, 0)
}

// find looks a name up whole, then without its detail.
func (x *expansion) find(name string) (key string, targets []Target, ok bool) {
	key = strings.ToLower(name)
	if targets, ok = x.lookup(key); ok {
		return key, targets, true
	}
	if x.Extension == "" {
		return "", nil, false
	}
	base, _, found := strings.Cut(key, x.Extension)
	if !found || base == "" {
		return "", nil, false
	}
	targets, ok = x.lookup(base)
	return base, targets, ok
}

func (x *expansion) lookup(key string) ([]Target, bool) {
	if targets := plain(x.First[key]); len(targets) > 0 {
		return targets, true
	}
	if targets, ok := x.Table.Lookup(key); ok {
		return targets, true
	}
	targets := plain(x.Last[key])
	return targets, len(targets) > 0
}

// plain reads a right side that may hold names and addresses only.
func plain(value string) []Target {
	all, _ := parseValue(value)
	targets := all[:0]
	for _, t := range all {
		if t.Kind == Address || t.Kind == User {
			targets = append(targets, t)
		}
	}
	return targets
}

// ownerOf is the owner alias that holds below key: its own, or else that of the list around it.
func (x *expansion) ownerOf(key, outer string) string {
	const prefix = "owner-"
	if strings.HasPrefix(key, prefix) {
		return outer
	}
	if _, ok := x.lookup(prefix + key); ok {
		return prefix + key
	}
	return outer
}

// follow goes on with each target of one right side. nested counts the includes around them.
func (x *expansion) follow(targets []Target, owner string, depth, nested int) error {
	for _, t := range targets {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		t.Owner = owner
		if err := x.one(t, depth, nested); err != nil {
			return err
		}
	}
	return nil
}

func (x *expansion) one(t Target, depth, nested int) error {
	switch t.Kind {
	case Include:
		return x.include(t, depth, nested)
	case User:
		return x.user(t, depth)
	case Address:
		if x.Local == nil {
			return x.emit(t)
		}
		if name, ok := x.Local(t.Text); ok {
			t.Kind, t.Text = User, name
			return x.user(t, depth)
		}
	}
	return x.emit(t)
}

// emit gives a target out unless it is there already.
func (x *expansion) emit(t Target) error {
	key := identity(t)
	if x.seen[key] {
		return nil
	}
	if len(x.out) >= MaxTargets {
		return fmt.Errorf("expanding aliases: %w: %d targets", ErrTooBig, MaxTargets)
	}
	x.seen[key] = true
	x.out = append(x.out, t)
	return nil
}

// identity is equal for targets that are one: the local part of an address elsewhere keeps its case, all other
// letters of names and domains do not count.
func identity(t Target) string {
	text := t.Text
	switch t.Kind {
	case User:
		text = strings.ToLower(text)
	case Address:
		at := strings.LastIndexByte(text, '@')
		text = text[:at] + strings.ToLower(text[at:])
	}
	return string(rune('0'+t.Kind)) + text
}

// include follows the members of an included file.
func (x *expansion) include(t Target, depth, nested int) error {
	if nested >= MaxInclude {
		return fmt.Errorf("%s:%d: :include:%s: more than %d includes within each other", t.Source, t.Line, t.Text, MaxInclude)
	}
	text, err := readInclude(t.Text, x.Table.Owner)
	if err != nil {
		return fmt.Errorf("%s:%d: :include:%s: %w", t.Source, t.Line, t.Text, err)
	}
	return x.follow(x.members(t.Text, text), t.Owner, depth, nested+1)
}

// members reads the lines of an included file: targets separated by commas or line ends. A bad one is left out with
// a warning, so that one subscriber's typing error does not stop a list.
func (x *expansion) members(path, text string) []Target {
	var all []Target
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		targets, bad := memberLine(line)
		for _, err := range bad {
			x.warnings = append(x.warnings, Warning{Path: path, Line: number, Text: err.Error(), Bad: true})
		}
		for i := range targets {
			targets[i].Source, targets[i].Line = path, number
		}
		all = append(all, targets...)
	}
	return all
}

func memberLine(line string) ([]Target, []error) {
	if i := strings.IndexFunc(line, isControl); i >= 0 {
		return nil, []error{fmt.Errorf("control character %q", line[i])}
	}
	if !utf8.ValidString(line) {
		return nil, []error{errors.New("not valid UTF-8")}
	}
	if _, closed := scan(line, 0); !closed {
		return nil, []error{errors.New("a quote is left open")}
	}
	return parseValue(line)
}

// readInclude reads an included file under the rules that keep it from naming what its reader alone may see: it is
// no symbolic link and a regular file, root or the owner of the aliases owns it, and nobody else can write it.
func readInclude(path string, aliasOwner int) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	uid := owner(info)
	switch {
	case !info.Mode().IsRegular():
		return "", errors.New("not a regular file")
	case uid != 0 && uid != aliasOwner:
		return "", fmt.Errorf("owned by uid %d, neither root nor the owner of the aliases", uid)
	case info.Mode().Perm()&0o022 != 0:
		return "", fmt.Errorf("can be written by others than its owner (mode %04o)", info.Mode().Perm())
	}
	return readAll(f, path)
}
