package aliases

import (
	"context"
	"fmt"
	"strings"
)

// Expander follows names through a file until only mailboxes, addresses elsewhere, files and programs are left.
type Expander struct {
	Table *Table
	// Local parts an address of this host: its local part, and true. Nil: every address is elsewhere.
	Local func(addr string) (name string, ok bool)
	// Extension parts a name from its detail ("+": ann+list is ann's, unless there is an alias for the whole).
	// Empty: names are taken as they stand.
	Extension string
	// Forward gives what the ~/.forward says of the user that a name is, which no alias has or which came back to
	// itself. Without a Path the name stays as it is. Its Targets hold no Include. Nil: nobody has one.
	Forward func(ctx context.Context, name string) (Forward, error)
	// First and Last are right sides by lower-cased name that win over the file and that stand in where it has no
	// line. Programs, files and includes in them are ignored: they are no file that somebody vouches for.
	First, Last map[string]string
}

// Forward is the ~/.forward of a user.
type Forward struct {
	Path    string // tells one file from another; empty: there is none to go by
	Account string // whose it is
	Targets []Target
}

// Expand gives the targets of name (a local part; letter case does not matter), each once, in the order of the file:
// addresses that are elsewhere, files, programs, and names that no alias has, with their detail. A name without an
// alias gives itself. A name that comes back to itself is its mailbox (`bob: bob, x@example.com`), and so are names
// deeper than MaxDepth: a loop is no error. Before a name is taken for a mailbox, its user's ~/.forward is asked; \name
// asks neither.
//
// Warnings are those of included files. An error means that a list could not be had whole; the message must wait.
func (e *Expander) Expand(ctx context.Context, name string) ([]Target, []Warning, error) {
	x := expansion{Expander: e, ctx: ctx, done: map[string]bool{}, path: map[string]bool{}, seen: map[string]bool{},
		forwards: map[string]Forward{}}
	if e.Table == nil {
		known := *e
		known.Table = &Table{}
		x.Expander = &known
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
	done     map[string]bool    // names, and paths of ~/.forward behind a NUL, that have been followed
	path     map[string]bool    // those that are being followed, from the outermost in
	forwards map[string]Forward // what Forward has said
	seen     map[string]bool    // what is in out
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
		return x.forward(t, depth)
	}
	if x.path[key] || depth >= MaxDepth {
		t.Loop = true
		return x.forward(t, depth)
	}
	if x.done[key] {
		return nil // whatever it leads to is there already
	}
	x.done[key], x.path[key] = true, true
	defer delete(x.path, key)
	t.Owner = x.ownerOf(key, t.Owner)
	return x.follow(targets, t, depth+1, 0)
}

// forward follows the ~/.forward of the user that t is, or gives t out where there is none, or where it is what led
// here: a user's own name in it is the mailbox.
func (x *expansion) forward(t Target, depth int) error {
	if x.Forward == nil || depth >= MaxDepth {
		return x.emit(t)
	}
	name := strings.ToLower(t.Text)
	f, known := x.forwards[name]
	if !known {
		var err error
		if f, err = x.Forward(x.ctx, t.Text); err != nil {
			return err
		}
		x.forwards[name] = f
	}
	key := "\x00" + f.Path
	switch {
	case f.Path == "":
		return x.emit(t)
	case x.path[key]:
		t.Loop = true
		return x.emit(t)
	case x.done[key]:
		return nil
	}
	x.done[key], x.path[key] = true, true
	defer delete(x.path, key)
	t.Forwarder = f.Account
	return x.follow(f.Targets, t, depth+1, 0)
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

// follow goes on with each target of one right side, which have Owner and Forwarder from what led to them. nested counts
// the includes around them.
func (x *expansion) follow(targets []Target, from Target, depth, nested int) error {
	for _, t := range targets {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		t.Owner, t.Forwarder = from.Owner, from.Forwarder
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
// letters of names and domains do not count. What two accounts do with one file are two things.
func identity(t Target) string {
	text := t.Text
	switch t.Kind {
	case User:
		text = strings.ToLower(text)
	case Address:
		at := strings.LastIndexByte(text, '@')
		text = text[:at] + strings.ToLower(text[at:])
	}
	return string(rune('0'+t.Kind)) + t.RunAs + "\x00" + text
}

// include follows the members of an included file.
func (x *expansion) include(t Target, depth, nested int) error {
	if nested >= MaxInclude {
		return fmt.Errorf("%s:%d: :include:%s: more than %d includes within each other", t.Source, t.Line, t.Text, MaxInclude)
	}
	text, err := ReadList(t.Text, x.Table.Owner, MaxFile)
	if err != nil {
		return fmt.Errorf("%s:%d: :include:%s: %w", t.Source, t.Line, t.Text, err)
	}
	targets, warnings := ParseList(t.Text, text)
	x.warnings = append(x.warnings, warnings...)
	return x.follow(targets, t, depth, nested+1)
}
