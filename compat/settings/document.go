package settings

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"
)

// maxFile is the limit on a configuration file: far more than any host needs, and little enough that a device file
// given by mistake does no harm.
const maxFile = 1 << 20

// Document is a configuration file being read: its values, where they stand, and the faults found so far. It is used
// by one goroutine.
type Document struct {
	File   string // as the caller named it
	dir    string // absolute folder of the file: relative paths in it start here
	text   string
	values map[string]any
	places places // of text, made when first needed
	faults []Fault
	wrong  map[string]bool // keys that have a fault
}

// Load reads and parses the file at path; an empty path means DefaultFile. A violation of TOML is *Error, with the
// Document still holding the text; any other error means that there is no Document.
func Load(path string) (*Document, error) {
	if path == "" {
		path = DefaultFile
	}
	// Not os.Open, which sets up the poller and wakes a thread: a sendmail that starts pays for it.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("reading %s: larger than the %s allowed for a configuration file", path, Size(maxFile))
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of %s: %w", path, err)
	}
	return Parse(path, filepath.Dir(abs), string(text))
}

// Parse is Load for a text already read; dir is the folder where relative paths start.
func Parse(file, dir, text string) (*Document, error) {
	// Some editors begin a file with a byte order mark, which is not part of TOML.
	d := &Document{File: file, dir: dir, text: strings.TrimPrefix(text, "\ufeff")}
	var err error
	if d.values, err = decode(d.text); err != nil {
		return d, &Error{File: file, Faults: []Fault{syntaxFault(d.text, err)}}
	}
	return d, nil
}

func decode(text string) (map[string]any, error) {
	if tooDeep(text) {
		return nil, fmt.Errorf("opens more than %d tables or lists within each other", maxDepth)
	}
	// Into an empty interface the parser hands over its own tree, at no cost.
	var tree any
	if _, err := toml.Decode(text, &tree); err != nil {
		return nil, err
	}
	values, _ := tree.(map[string]any)
	return values, nil
}

func syntaxFault(text string, err error) Fault {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return Fault{Text: printable(strings.TrimPrefix(err.Error(), "toml: "))}
	}
	at := min(max(pe.Position.Start, 0), len(text))
	f := Fault{Text: printable(pe.Message)}
	f.Line, f.Column = lineAndColumn(text, at)
	if strings.HasPrefix(pe.Message, "expected") && unquoted(text[strings.LastIndexByte(text[:at], '\n')+1:]) {
		f.Text += " (text as a value stands in quotes)"
	}
	return f
}

// printable escapes what would break a line or act on a terminal: the parser's messages quote the file as it is.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// unquoted reports whether text begins with a line like key = value with a value that lacks its quotes: the commonest
// mistake, of which the parser says what it expected behind the part that it took for a number.
func unquoted(text string) bool {
	line, _, _ := strings.Cut(text, "\n")
	_, value, ok := strings.Cut(line, "=")
	value, _, _ = strings.Cut(strings.TrimSpace(value), "#")
	return ok && value != "" && !strings.ContainsAny(value, "\"'[]{}=") && value != "true" && value != "false"
}

// NameFaultf notes that the name of k itself is wrong, where names are free.
func (d *Document) NameFaultf(k Key, format string, args ...any) {
	d.fault(k, true, fmt.Sprintf(format, args...))
}

// Faultf notes that the value at k is wrong. Where k is not in the file, the table around it is pointed at. A value is
// found wrong once: what follows from the first fault is not worth a second line.
func (d *Document) Faultf(k Key, format string, args ...any) {
	d.fault(k, false, fmt.Sprintf(format, args...))
}

func (d *Document) fault(k Key, atName bool, text string) {
	if d.wrong[k.path()] {
		return
	}
	if d.wrong == nil {
		d.wrong = map[string]bool{}
	}
	d.wrong[k.path()] = true
	f := Fault{Key: k, Text: text}
	if d.places == nil {
		d.places = find(d.text)
	}
	for end := len(k); end > 0; end-- {
		if p, ok := d.places[k[:end].path()]; ok {
			at := p.value
			if atName || end < len(k) {
				at = p.key
			}
			f.Line, f.Column = lineAndColumn(d.text, at)
			break
		}
	}
	d.faults = append(d.faults, f)
}

// Err gives all faults noted so far as one *Error; nil when there are none.
func (d *Document) Err() error {
	if len(d.faults) == 0 {
		return nil
	}
	return &Error{File: d.File, Faults: sorted(d.faults)}
}

// Has reports whether the file has a value at k.
func (d *Document) Has(k Key) bool {
	var v any = d.values
	for _, name := range k {
		var ok bool
		if v, ok = member(v, name); !ok {
			return false
		}
	}
	return true
}

func member(v any, name string) (any, bool) {
	if t, ok := v.(map[string]any); ok {
		v, ok = t[name]
		return v, ok
	}
	list, _ := elements(v)
	for i := range list {
		if elemName(i) == name {
			return list[i], true
		}
	}
	return nil, false
}

// Abs makes the path at k absolute: a relative one starts at the folder of the file. Empty stays empty.
func (d *Document) Abs(k Key, path *string) {
	switch {
	case strings.ContainsRune(*path, 0):
		d.Faultf(k, "must be a path, and a path holds no NUL")
	case *path != "" && !filepath.IsAbs(*path):
		*path = filepath.Join(d.dir, *path)
	}
}

// CheckName checks and brings into canonical form the name of a host or domain at k. Empty stays empty.
func (d *Document) CheckName(k Key, name *string) {
	if *name == "" {
		if d.Has(k) {
			d.Faultf(k, "must not be empty; leave the key out for the default")
		}
		return
	}
	clean, err := Domain(*name)
	if err != nil {
		d.Faultf(k, "%v", err)
		return
	}
	*name = clean
}

func lineAndColumn(text string, at int) (line, column int) {
	before := text[:at]
	return 1 + strings.Count(before, "\n"), at - strings.LastIndexByte(before, '\n')
}
