// Package aliases reads aliases(5) files and expands names through them.
//
// A file is read as text each time; no database is built or looked at. One bad line costs that line only: it becomes
// a Warning with file and line, and the rest of the file holds. What is read here is believed as far as the file's
// own mode allows: Safe tells whether only its owner and root could have written it, and whoever runs programs named
// in it must ask that first.
//
// The package knows neither accounts nor domains: whether an address is one of this host's is asked of the caller
// (Expander.Local), so is what a user's ~/.forward says (Expander.Forward), and whether a name that is left at the end
// has a mailbox is for the caller to find out. It links neither net nor os/user, because the sendmail command contains
// it.
package aliases

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Limits on what is read. A file beyond them is an error, not a file cut short.
const (
	MaxFile    = 16 << 20 // octets of an aliases file or of an included one
	MaxTargets = 100_000  // targets of one expansion
	MaxDepth   = 50       // levels of aliases (sendmail and Postfix stop there too)
	MaxInclude = 10       // levels of :include: within each other
	maxAddress = 320      // octets of an address: 64 + 1 + 255 (RFC 5321 4.5.3.1)
)

// ErrTooBig is the cause where a file or an expansion is beyond a limit.
var ErrTooBig = errors.New("more than is read")

// ErrUnsafe is the cause where others could have had a hand in a file, or it is none that can be read.
var ErrUnsafe = errors.New("not to be believed")

// Kind says what a Target is.
type Kind uint8

// The kinds of a target.
const (
	Address Kind = iota // an address with a domain
	User                // a name without a domain: another alias, or a user of this host
	File                // an absolute path to append to; ending in "/", a Maildir
	Program             // a command line
	Include             // an absolute path of a list of further targets; never in an expansion
)

// Target is one member of the right side of an alias.
type Target struct {
	Kind    Kind
	Text    string // address without brackets, name, path or command, without quotes around it
	NoAlias bool   // of a User or Address: written \name, not to be looked up again
	Source  string // file that names it
	Line    int    // line of Source where its entry begins
	Owner   string // in an expansion: the innermost owner- alias that holds for it, such as "owner-list"; else empty
	Loop    bool   // in an expansion: a User that came back to itself, or lay deeper than MaxDepth

	// RunAs is the account whose own ~/.forward names a File or Program; empty: an aliases file or an included one does.
	RunAs string
	// Forwarder is, in an expansion, the account whose ~/.forward led here, the innermost of several; else empty.
	Forwarder string
}

// Warning is something in a file that is not as it should be.
type Warning struct {
	Path string
	Line int
	Text string
	Bad  bool // something was left out; not set for a mere duplicate
}

func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.Path, w.Line, w.Text) }

// Table is an aliases file that has been read. It does not change; its methods are safe for concurrent use. The zero
// value is a file without aliases.
type Table struct {
	Path     string
	Owner    int         // uid that owns the file
	Mode     fs.FileMode // permission bits
	Missing  bool        // there was no such file
	Warnings []Warning   // in the order of the lines

	entries map[string]*entry
	broken  map[string]Warning // names whose only lines were bad
	longest int
	total   int
}

type entry struct {
	line    int
	targets []Target
}

// Path is where the aliases are: path, or /etc/mail/aliases where path is /etc/aliases and only the other exists.
func Path(path string) string {
	const usual, other = "/etc/aliases", "/etc/mail/aliases"
	if path != usual {
		return path
	}
	if _, err := os.Stat(usual); !errors.Is(err, fs.ErrNotExist) {
		return usual
	}
	if _, err := os.Stat(other); err != nil {
		return usual
	}
	return other
}

// Read reads the file at path. A missing file is a Table without aliases, its Missing set, and no error. Everything
// else that keeps it from being read whole is an error: a Table is never half of a file.
func Read(path string) (*Table, error) {
	// O_NONBLOCK: a FIFO in the file's place must not hang whoever reads it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &Table{Path: path, Missing: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading aliases: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading aliases: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading aliases: %s is not a regular file", path)
	}
	a, err := Parse(f, path)
	if err != nil {
		return nil, fmt.Errorf("reading aliases: %w", err)
	}
	a.Owner = owner(info)
	a.Mode = info.Mode().Perm()
	return a, nil
}

// owner is the uid of the owner of a file; -1, which owns nothing, where the system does not say.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// Parse reads the text of an aliases file; path is for warnings and Target.Source. The result belongs to root as far
// as :include: is concerned until the caller sets Owner.
func Parse(r io.Reader, path string) (*Table, error) {
	text, err := readAll(r, path, MaxFile)
	if err != nil {
		return nil, err
	}
	f := &Table{Path: path, entries: map[string]*entry{}, broken: map[string]Warning{}}
	for line := range logicalLines(text) {
		f.add(line)
	}
	for name := range f.entries {
		delete(f.broken, name) // another line of the same name holds
	}
	return f, nil
}

func readAll(r io.Reader, path string, limit int) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return "", err
	}
	if len(b) > limit {
		return "", fmt.Errorf("%s: %w: %d bytes", path, ErrTooBig, limit)
	}
	return string(b), nil
}

// add takes one logical line into f, or the warning about it.
func (f *Table) add(l logical) {
	name, value, err := splitEntry(l.text)
	if err != nil {
		f.warn(l.line, true, err.Error())
		if name != "" {
			f.broken[name] = f.Warnings[len(f.Warnings)-1]
		}
		return
	}
	targets, bad := parseValue(value)
	for _, err := range bad {
		f.warn(l.line, true, fmt.Sprintf("%s: %v", name, err))
	}
	if len(targets) == 0 {
		if len(bad) == 0 {
			f.warn(l.line, true, fmt.Sprintf("%s: nothing behind the colon", name))
		}
		f.broken[name] = f.Warnings[len(f.Warnings)-1]
		return
	}
	if first, ok := f.entries[name]; ok {
		f.warn(l.line, false, fmt.Sprintf("%s: duplicate of line %d, which holds", name, first.line))
		return
	}
	for i := range targets {
		targets[i].Source, targets[i].Line = f.Path, l.line
	}
	f.entries[name] = &entry{line: l.line, targets: targets}
	f.longest = max(f.longest, len(value))
	f.total += len(name) + len(value)
}

func (f *Table) warn(line int, bad bool, text string) {
	f.Warnings = append(f.Warnings, Warning{Path: f.Path, Line: line, Text: text, Bad: bad})
}

// Len is the number of aliases.
func (f *Table) Len() int { return len(f.entries) }

// Bad reports whether something of the file was left out.
func (f *Table) Bad() bool {
	return slices.ContainsFunc(f.Warnings, func(w Warning) bool { return w.Bad })
}

// Stats is the line that newaliases(1) prints: `/etc/aliases: 8 aliases, longest 28 bytes, 51 bytes total`. Longest
// is the longest right side; total counts names and right sides, as sendmail does.
func (f *Table) Stats() string {
	return fmt.Sprintf("%s: %d aliases, longest %d bytes, %d bytes total", f.Path, f.Len(), f.longest, f.total)
}

// Lookup gives the right side of name as it stands in the file. Letter case does not matter. The caller must not
// change what it gets.
func (f *Table) Lookup(name string) ([]Target, bool) {
	e, ok := f.entries[strings.ToLower(name)]
	if !ok {
		return nil, false
	}
	return e.targets, true
}

// Broken gives the warning about the line of a name that has no line but bad ones. Mail to such a name must wait
// for the administrator; it is not mail to an unknown user.
func (f *Table) Broken(name string) (Warning, bool) {
	w, ok := f.broken[strings.ToLower(name)]
	return w, ok
}

// Names reports whether an entry of the file itself (not of an included one) has a target of this kind and text.
func (f *Table) Names(kind Kind, text string) bool {
	for _, e := range f.entries {
		for _, t := range e.targets {
			if t.Kind == kind && t.Text == text {
				return true
			}
		}
	}
	return false
}

// Acts reports whether an entry of the file itself names a program or a file.
func (f *Table) Acts() bool {
	for _, e := range f.entries {
		if slices.ContainsFunc(e.targets, func(t Target) bool { return t.Kind == Program || t.Kind == File }) {
			return true
		}
	}
	return false
}

// Safe says why programs and files named in f must not be believed: others than its owner and root could have
// written them. Nil means that they may.
func (f *Table) Safe() error {
	if f.Mode&0o022 != 0 {
		return fmt.Errorf("%s can be written by others than its owner (mode %04o): chmod go-w", f.Path, f.Mode)
	}
	return nil
}
