package aliases

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// logical is an entry with its continuation lines joined by one space.
type logical struct {
	line int // where it begins, from 1
	text string
}

// logicalLines joins physical lines to entries: a line that begins with white space continues the one before, and so
// does any line behind one that ends in a backslash. Comments and blank lines end nothing. What belongs to no entry
// is yielded with its white space in front, so that splitEntry refuses it.
func logicalLines(text string) iter.Seq[logical] {
	return func(yield func(logical) bool) {
		var cur []string
		start, number, joined := 0, 0, false
		flush := func() bool {
			ok := len(cur) == 0 || yield(logical{start, strings.Join(cur, " ")})
			cur = nil
			return ok
		}
		for line := range strings.SplitSeq(text, "\n") {
			number++
			line = strings.TrimRight(line, " \t\r")
			body := strings.TrimLeft(line, " \t")
			if !joined && (body == "" || body[0] == '#') {
				continue
			}
			continues := joined || body != line
			joined = strings.HasSuffix(body, `\`)
			body = strings.TrimRight(strings.TrimSuffix(body, `\`), " \t")
			if !continues || cur == nil {
				if !flush() {
					return
				}
				start = number
				if continues {
					body = " " + body
				}
				cur = []string{}
			}
			if body != "" { // a backslash alone
				cur = append(cur, body)
			}
		}
		flush()
	}
}

// splitEntry parts an entry at its colon. name is lower-cased, without quotes and without a leading backslash; it is
// also given with an error, where it could be read.
func splitEntry(text string) (name, value string, err error) {
	if text[0] == ' ' {
		return "", "", errors.New("a continuation of nothing: the line begins with white space")
	}
	if i := strings.IndexFunc(text, isControl); i >= 0 {
		return "", "", fmt.Errorf("control character %q", text[i])
	}
	if !utf8.ValidString(text) {
		return "", "", errors.New("not valid UTF-8")
	}
	end, closed := scan(text, ':')
	if !closed {
		return "", "", errors.New("a quote is left open")
	}
	if end == len(text) {
		return "", "", errors.New("no colon behind a name")
	}
	name, err = cleanName(strings.TrimSpace(text[:end]))
	if err != nil {
		return "", "", err
	}
	value = strings.TrimSpace(text[end+1:])
	if _, closed := scan(value, 0); !closed {
		return name, "", fmt.Errorf("%s: a quote is left open", name)
	}
	return name, value, nil
}

func cleanName(s string) (string, error) {
	name := strings.TrimPrefix(s, `\`)
	if quoted, rest, ok := cutQuoted(name); ok && rest == "" {
		name = quoted
	} else if strings.ContainsAny(name, " \t\"") {
		return "", fmt.Errorf("the name %s must be quoted as a whole", s)
	}
	switch {
	case name == "":
		return "", errors.New("no name before the colon")
	case strings.Contains(name, "@"):
		return "", fmt.Errorf("the name %s has a domain: names here are local", name)
	}
	return strings.ToLower(name), nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// scan gives the index of the first sep outside of quotes, or the length of s; closed tells whether every quote that
// was opened before has been closed.
func scan(s string, sep byte) (end int, closed bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return i, true
		}
	}
	return len(s), !quoted
}

// cutQuoted takes a quoted-string from the front of s: its contents without the backslashes, and what follows it.
func cutQuoted(s string) (contents, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(c)
		}
	}
	return "", s, false
}

// parseValue reads the right side of an alias. Each member that cannot be understood gives an error and is left out.
func parseValue(s string) (targets []Target, bad []error) {
	for s != "" {
		var item string
		item, s = cutItem(s)
		if item == "" {
			continue // "a,,b" and a comma at the end
		}
		t, err := parseItem(item)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		targets = append(targets, t)
	}
	return targets, bad
}

// ParseValue reads a list of targets, as the right side of an alias is written. The error names the first bad one.
func ParseValue(s string) ([]Target, error) {
	if i := strings.IndexFunc(s, isControl); i >= 0 {
		return nil, fmt.Errorf("control character %q", s[i])
	}
	if !utf8.ValidString(s) {
		return nil, errors.New("not valid UTF-8")
	}
	if _, closed := scan(s, 0); !closed {
		return nil, errors.New("a quote is left open")
	}
	targets, bad := parseValue(s)
	if len(bad) > 0 {
		return nil, bad[0]
	}
	return targets, nil
}

// cutItem takes one member from the front of a list, up to a comma that stands outside of quotes, comments and
// brackets. In commands and paths only quotes count: a parenthesis is no comment there.
func cutItem(s string) (item, rest string) {
	s = strings.TrimLeft(s, " \t")
	plain := s != "" && strings.ContainsRune(`|/:`, rune(s[0]))
	depth, angle, quoted := 0, false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == ',' && depth == 0 && !angle:
			return strings.TrimSpace(s[:i]), s[i+1:]
		case plain:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '<' && depth == 0:
			angle = true
		case c == '>' && depth == 0:
			angle = false
		}
	}
	return strings.TrimSpace(s), ""
}

// parseItem reads one member.
func parseItem(item string) (Target, error) {
	text := item
	if quoted, rest, ok := cutQuoted(item); ok && rest == "" {
		text = strings.TrimSpace(quoted)
		if text == "" {
			return Target{}, errors.New("an empty member")
		}
		if !isSpecial(text) {
			return quotedName(text)
		}
	}
	switch {
	case text[0] == '|':
		return program(text[1:])
	case text[0] == '/':
		return Target{Kind: File, Text: unquote(text)}, nil
	case hasInclude(text):
		return include(text[len(includeWord):])
	}
	return address(text)
}

const includeWord = ":include:"

func hasInclude(s string) bool {
	return len(s) >= len(includeWord) && strings.EqualFold(s[:len(includeWord)], includeWord)
}

// isSpecial reports whether a member names something else than an address or a name.
func isSpecial(s string) bool { return s[0] == '|' || s[0] == '/' || hasInclude(s) }

// unquote takes the quotes away where they enclose the whole of s.
func unquote(s string) string {
	if quoted, rest, ok := cutQuoted(s); ok && rest == "" {
		return quoted
	}
	return s
}

// quotedName reads a member written in quotes as a whole: "a b" is a name, "carol@x" is taken for carol@x.
func quotedName(s string) (Target, error) {
	if strings.Contains(s, "@") || s[0] == '\\' {
		return address(s)
	}
	if len(s) > maxAddress {
		return Target{}, errTooLong(s)
	}
	return Target{Kind: User, Text: s}, nil
}

// program accepts both "|command args" and |"command args".
func program(s string) (Target, error) {
	s = strings.TrimSpace(unquote(strings.TrimSpace(s)))
	if s == "" {
		return Target{}, errors.New("no command behind |")
	}
	return Target{Kind: Program, Text: s}, nil
}

func include(s string) (Target, error) {
	path := unquote(strings.TrimSpace(s))
	if !strings.HasPrefix(path, "/") {
		return Target{}, fmt.Errorf(":include:%s is not an absolute path", path)
	}
	return Target{Kind: Include, Text: path}, nil
}

func errTooLong(s string) error {
	return fmt.Errorf("%.40q… is longer than %d bytes", s, maxAddress)
}

// address reads a name or an address, perhaps with comments, a display name and brackets.
func address(item string) (Target, error) {
	s := strings.TrimSpace(stripComments(item))
	s, err := bracketed(s)
	if err != nil {
		return Target{}, fmt.Errorf("%s: %w", item, err)
	}
	var t Target
	if rest, ok := strings.CutPrefix(s, `\`); ok {
		t.NoAlias, s = true, rest
	}
	if len(s) > maxAddress {
		return Target{}, errTooLong(s)
	}
	local, domain, qualified, err := splitAddress(s)
	if err != nil {
		return Target{}, fmt.Errorf("%s: %w", item, err)
	}
	if !qualified {
		t.Kind, t.Text = User, strings.TrimSpace(unquote(local))
		if t.Text == "" {
			return Target{}, fmt.Errorf("%s: an empty address", item)
		}
		if isSpecial(t.Text) { // `"|program" (why)`: quotes round a part of the member
			return Target{}, fmt.Errorf("%s: neither a name nor a command, file or list", item)
		}
		return t, nil
	}
	t.Text = local + "@" + domain
	return t, nil
}

// stripComments takes out comments, which nest (RFC 5322 3.2.2). One that is left open ends with the text.
func stripComments(s string) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			if depth == 0 {
				b.WriteString(s[i : i+2])
			}
			i++
			continue
		}
		switch {
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
			continue
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// bracketed gives what stands in <>, without a source route (RFC 5321 4.1.1.3 says to ignore it), or s itself where
// there are no brackets.
func bracketed(s string) (string, error) {
	open, _ := scan(s, '<')
	if open == len(s) {
		return s, nil
	}
	inner := s[open+1:]
	end, _ := scan(inner, '>')
	if end == len(inner) || strings.TrimSpace(inner[end+1:]) != "" {
		return "", errors.New("< and > do not match")
	}
	inner = strings.TrimSpace(inner[:end])
	if strings.HasPrefix(inner, "@") {
		if colon, _ := scan(inner, ':'); colon < len(inner) {
			inner = inner[colon+1:]
		}
	}
	return inner, nil
}

// splitAddress checks an address and parts it at the last @ outside of quotes.
func splitAddress(s string) (local, domain string, qualified bool, err error) {
	if s == "" {
		return "", "", false, errors.New("an empty address")
	}
	if i, _ := scan(strings.ReplaceAll(s, "\t", " "), ' '); i < len(s) {
		return "", "", false, errors.New("white space within; is a comma missing?")
	}
	at, _ := scan(s, '@')
	if at == len(s) {
		if strings.ContainsAny(s, "<>;:") && s[0] != '"' {
			return "", "", false, errors.New("not an address")
		}
		return s, "", false, nil
	}
	local, domain = s[:at], strings.TrimSuffix(s[at+1:], ".")
	switch {
	case local == "":
		return "", "", false, errors.New("nothing before the @")
	case domain == "":
		return "", "", false, errors.New("nothing behind the @")
	case !validDomain(domain):
		return "", "", false, errors.New("bad domain")
	case !validLocal(local):
		return "", "", false, errors.New("not an address")
	}
	return local, domain, true, nil
}

// validLocal accepts what can stand before the @: outside of quotes, none of the characters that must be in them
// (RFC 5322 3.2.3).
func validLocal(s string) bool {
	for s != "" {
		if s[0] != '"' {
			if strings.IndexByte("<>()[]\\,;: \t", s[0]) >= 0 {
				return false
			}
			s = s[1:]
			continue
		}
		_, rest, ok := cutQuoted(s)
		if !ok {
			return false
		}
		s = rest
	}
	return true
}

// validDomain accepts letters, digits, hyphens, underscores and what lies beyond ASCII, in labels that are not
// empty, or an address literal.
func validDomain(s string) bool {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		return strings.IndexFunc(s[1:len(s)-1], func(r rune) bool { return !isLiteral(r) }) < 0
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.IndexFunc(label, func(r rune) bool { return !isLabel(r) }) >= 0 {
			return false
		}
	}
	return true
}

func isLabel(r rune) bool {
	return r >= 0x80 || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
}

func isLiteral(r rune) bool { return isLabel(r) && r < 0x80 || r == '.' || r == ':' }
