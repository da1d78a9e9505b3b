package aliases

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// ParseList reads the text of an included file or a ~/.forward: targets separated by commas or line ends, and comment
// lines; path is for warnings and Target.Source. A bad target is left out with a warning, so that one subscriber's
// typing error does not stop a list.
func ParseList(path, text string) ([]Target, []Warning) {
	var all []Target
	var warnings []Warning
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		targets, bad := memberLine(line)
		for _, err := range bad {
			warnings = append(warnings, Warning{Path: path, Line: number, Text: err.Error(), Bad: true})
		}
		for i := range targets {
			targets[i].Source, targets[i].Line = path, number
		}
		all = append(all, targets...)
	}
	return all, warnings
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

// ReadList reads an included file or a ~/.forward of up to limit octets, under the rules that keep it from naming what
// its reader alone may see: it is no symbolic link and a regular file, root or uid owns it, and nobody else can write
// it. An error is ErrUnsafe, ErrTooBig or what the file system says.
func ReadList(path string, uid, limit int) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return "", fmt.Errorf("%w: a symbolic link", ErrUnsafe)
	case errors.Is(err, syscall.ENXIO):
		return "", fmt.Errorf("%w: not a regular file", ErrUnsafe)
	case err != nil:
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	switch has := owner(info); {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%w: not a regular file", ErrUnsafe)
	case has != 0 && has != uid:
		return "", fmt.Errorf("%w: owned by uid %d, neither root nor uid %d", ErrUnsafe, has, uid)
	case info.Mode().Perm()&0o022 != 0:
		return "", fmt.Errorf("%w: it can be written by others than its owner (mode %04o)", ErrUnsafe, info.Mode().Perm())
	}
	return readAll(f, path, limit)
}
