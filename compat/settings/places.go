package settings

import (
	"strconv"
	"strings"
)

// maxDepth limits nested lists and tables. A real file needs three.
const maxDepth = 100

// places says where in a text each key and its value stand. The TOML parser tells positions of violated syntax only,
// so the text is gone through once more when a fault has to be reported.
type places map[string]place

// place is a pair of offsets. The value of a table is its own name.
type place struct{ key, value int }

// path is k as an index of places. The separator cannot be confused for long: where a quoted key holds it, the worst
// is a position of a neighbour.
func (k Key) path() string { return strings.Join(k, "\x00") }

// find goes through a text that the TOML parser has accepted. Anything else gives some places or none, and ends.
func find(text string) places {
	f := finder{text: text, places: places{}, lists: map[string]int{}}
	var table Key
	for f.skipBlank(true); f.at < len(f.text); f.skipBlank(true) {
		switch f.text[f.at] {
		case '[':
			table = f.header()
		case ',', ']', '}', '=':
			f.at++ // not TOML
		default:
			f.pair(table)
		}
	}
	return f.places
}

type finder struct {
	text   string
	at     int
	places places
	lists  map[string]int // [[table]] headers seen so far
}

// skipBlank goes to the next octet that is neither blank nor part of a comment.
func (f *finder) skipBlank(lines bool) {
	for f.at < len(f.text) {
		switch c := f.text[f.at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' && lines:
			f.at++
		case c == '#':
			f.at += lengthTo(f.text[f.at:], "\n")
		default:
			return
		}
	}
}

// lengthTo is the number of octets of text before any of these.
func lengthTo(text, any string) int {
	if n := strings.IndexAny(text, any); n >= 0 {
		return n
	}
	return len(text)
}

// header reads [a.b] or [[a.b]] and gives the key of the table that it opens.
func (f *finder) header() Key {
	start := f.at
	list := strings.HasPrefix(f.text[f.at:], "[[")
	f.at++
	if list {
		f.at++
	}
	names, _ := f.names()
	var table Key
	for i, name := range names {
		table = table.Sub(name)
		last := i == len(names)-1
		path := table.path()
		if last && list {
			f.lists[path]++
		}
		if !last || list {
			f.note(table, start, start)
		}
		if n := f.lists[path]; n > 0 {
			table = table.Elem(n - 1)
		}
	}
	f.places[table.path()] = place{start, start}
	f.at += lengthTo(f.text[f.at:], "\n#")
	return table
}

// names reads a dotted key and the offset of each of its names. It reads at least one octet.
func (f *finder) names() (names []string, offsets []int) {
	for {
		f.skipBlank(false)
		start := f.at
		name := f.name()
		names, offsets = append(names, name), append(offsets, start)
		f.skipBlank(false)
		if f.at >= len(f.text) || f.text[f.at] != '.' {
			return names, offsets
		}
		f.at++
	}
}

func (f *finder) name() string {
	start := f.at
	switch {
	case f.at >= len(f.text):
		return ""
	case f.text[f.at] == '"' || f.text[f.at] == '\'':
		f.quoted()
		return unquote(f.text[start:f.at])
	}
	for f.at < len(f.text) && isBareChar(f.text[f.at]) {
		f.at++
	}
	if f.at == start {
		f.at++ // not TOML; go on all the same
	}
	return f.text[start:f.at]
}

func unquote(name string) string {
	if s, err := strconv.Unquote(name); err == nil && name[0] == '"' {
		return s
	}
	return strings.Trim(name, `'"`)
}

// pair reads key = value in a table.
func (f *finder) pair(table Key) {
	names, offsets := f.names()
	k := table
	for i, name := range names {
		k = k.Sub(name)
		f.note(k, offsets[i], offsets[i])
	}
	f.skipBlank(false)
	if f.at < len(f.text) && f.text[f.at] == '=' {
		f.at++
	}
	f.skipBlank(false)
	f.places[k.path()] = place{offsets[len(offsets)-1], f.at}
	f.value(k, 0)
}

// note keeps the first place of a table that is named several times.
func (f *finder) note(k Key, key, value int) {
	if _, known := f.places[k.path()]; !known {
		f.places[k.path()] = place{key, value}
	}
}

// value goes behind the value of k.
func (f *finder) value(k Key, depth int) {
	if f.at >= len(f.text) || depth > maxDepth {
		f.at = len(f.text)
		return
	}
	switch f.text[f.at] {
	case '"', '\'':
		f.quoted()
	case '[':
		f.list(k, depth)
	case '{':
		f.inlineTable(k, depth)
	default:
		f.at += lengthTo(f.text[f.at:], ",]}#\n")
	}
}

func (f *finder) list(k Key, depth int) {
	f.at++
	for n := 0; ; n++ {
		f.skipBlank(true)
		if f.at >= len(f.text) || f.text[f.at] == ']' {
			f.at++
			return
		}
		before := f.at
		e := k.Elem(n)
		f.places[e.path()] = place{f.at, f.at}
		f.value(e, depth+1)
		f.skipComma()
		if f.at == before {
			f.at++ // not TOML
		}
	}
}

func (f *finder) inlineTable(k Key, depth int) {
	f.at++
	for {
		f.skipBlank(true)
		if f.at >= len(f.text) || f.text[f.at] == '}' {
			f.at++
			return
		}
		names, offsets := f.names()
		sub := k
		for i, name := range names {
			sub = sub.Sub(name)
			f.note(sub, offsets[i], offsets[i])
		}
		f.skipBlank(false)
		if f.at < len(f.text) && f.text[f.at] == '=' {
			f.at++
		}
		f.skipBlank(false)
		f.places[sub.path()] = place{offsets[len(offsets)-1], f.at}
		f.value(sub, depth+1)
		f.skipComma()
	}
}

func (f *finder) skipComma() {
	f.skipBlank(true)
	if f.at < len(f.text) && f.text[f.at] == ',' {
		f.at++
	}
}

// quoted goes behind a string of any of the four kinds.
func (f *finder) quoted() {
	quote := f.text[f.at : f.at+1]
	if strings.HasPrefix(f.text[f.at:], strings.Repeat(quote, 3)) {
		f.at += 3
		f.until(strings.Repeat(quote, 3), quote == `"`)
		// Up to two quotes may stand before the closing three.
		for range 2 {
			if strings.HasPrefix(f.text[f.at:], quote) {
				f.at++
			}
		}
		return
	}
	f.at++
	f.until(quote, quote == `"`)
}

func (f *finder) until(end string, escapes bool) {
	for f.at < len(f.text) {
		switch {
		case strings.HasPrefix(f.text[f.at:], end):
			f.at += len(end)
			return
		case escapes && f.text[f.at] == '\\':
			f.at++
		}
		f.at++
	}
	f.at = len(f.text)
}

// tooDeep reports whether text opens more than maxDepth brackets without closing them, or has as many dots in one key:
// the parser follows the first by recursion, and its work grows with the third power of the second. Strings and
// comments are counted as well; nobody writes so many in a row.
func tooDeep(text string) bool {
	brackets, dots := 0, 0
	for _, c := range []byte(text) {
		switch c {
		case '[', '{':
			brackets, dots = brackets+1, 0
		case ']', '}':
			brackets = max(brackets-1, 0)
		case '.':
			dots++
		case '=', ',', '\n', '#':
			dots = 0
		}
		if brackets > maxDepth || dots > maxDepth {
			return true
		}
	}
	return false
}
