package settings

import (
	"errors"
	"maps"
	"strings"
)

// salvage takes what can be understood of a file that violates TOML somewhere. It reads the lines before the first
// table and the tables [spool] and [local] each as a file of its own. ok reports whether the place of the spool is
// beyond doubt: [spool] is there once and whole, or nothing but comments speaks of a spool.
func salvage(d *Document) (s Settings, ok bool) {
	parts := &Document{File: d.File, dir: d.dir, values: map[string]any{}}
	for _, part := range split(d.text) {
		switch values, err := decode(part.text); {
		case part.name == "spool" && (err != nil || parts.Has(At("spool"))):
			return Default(), false
		case err == nil && (part.name == "" || part.name == "spool" || part.name == "local"):
			maps.Copy(parts.values, values)
		}
	}
	s = Default()
	s.take(parts)
	var broken *Error
	if errors.As(parts.forSendmail(), &broken) && !broken.SpoolRead {
		return s, false
	}
	return s, parts.Has(At("spool")) || !speaksOf(d.text, "spool")
}

type part struct{ name, text string }

// split cuts text where lines look like headers of tables. A line within a list or a string may look so too, which
// is why this is for broken files only.
func split(text string) []part {
	var parts []part
	name, start, at := "", 0, 0
	for line := range strings.Lines(text) {
		if next, ok := headerName(line); ok {
			parts = append(parts, part{name, text[start:at]})
			name, start = next, at
		}
		at += len(line)
	}
	return append(parts, part{name, text[start:]})
}

// headerName gives the name in a line such as [name]; for [[name]] it is "[name]", which is no name of ours.
func headerName(line string) (string, bool) {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "[") || !strings.HasSuffix(line, "]") {
		return "", false
	}
	return strings.Trim(line[1:len(line)-1], " \t\"'"), true
}

// speaksOf reports whether a word stands anywhere but in comments.
func speaksOf(text, word string) bool {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") && strings.Contains(line, word) {
			return true
		}
	}
	return false
}
