package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Key is the way to a value: the names of tables and key from the top, and "[n]" for the element n of a list.
type Key []string

// At makes a Key of names.
func At(names ...string) Key { return names }

// Sub is the key of that name in the table k.
func (k Key) Sub(name string) Key { return append(slices.Clip(k), name) }

// Elem is the element n of the list k, counted from 0.
func (k Key) Elem(n int) Key { return k.Sub(elemName(n)) }

func elemName(n int) string { return "[" + strconv.Itoa(n) + "]" }

// Is reports whether k, elements left aside, has these names.
func (k Key) Is(names ...string) bool { return slices.Equal(k.names(), names) }

func (k Key) names() []string {
	return slices.DeleteFunc(slices.Clone(k), func(name string) bool { return strings.HasPrefix(name, "[") })
}

// String writes k with dots, as TOML would; elements of lists are left to the line number to tell apart. Names that
// are not bare keys are quoted, so that a line of output stays a line.
func (k Key) String() string {
	names := k.names()
	for i, name := range names {
		if !isBare(name) {
			names[i] = strconv.Quote(name)
		}
	}
	return strings.Join(names, ".")
}

func isBare(name string) bool {
	for _, c := range []byte(name) {
		if !isBareChar(c) {
			return false
		}
	}
	return name != ""
}

func isBareChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// Fault is one thing that is wrong in a configuration file.
type Fault struct {
	Line, Column int    // counted from 1, the column in octets; 0: the file as a whole
	Key          Key    // nil where TOML itself is violated
	Text         string // what is wrong, and what would be right
}

// Error is a configuration file that was read and is broken.
type Error struct {
	File      string
	Faults    []Fault // at least one, in the order of the file
	SpoolRead bool    // [spool].path and .socket are as the file says, despite the faults. Set by Read alone
}

// maxLines is how many faults Error writes. Who has more has one that explains them.
const maxLines = 100

// Error gives a line for each fault: file:line:column: key: text.
func (e *Error) Error() string {
	var lines []string
	for _, f := range e.Faults[:min(len(e.Faults), maxLines)] {
		lines = append(lines, f.line(e.File))
	}
	if more := len(e.Faults) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %d faults more", e.File, more))
	}
	return strings.Join(lines, "\n")
}

// First is the first fault alone, for a place that has room for one line.
func (e *Error) First() string {
	text := e.Faults[0].line(e.File)
	if more := len(e.Faults) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

func (f Fault) line(file string) string {
	var b strings.Builder
	b.WriteString(file)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if len(f.Key) > 0 {
		b.WriteString(": " + f.Key.String())
	}
	b.WriteString(": " + f.Text)
	return b.String()
}

func sorted(faults []Fault) []Fault {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return faults
}
