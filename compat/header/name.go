package header

import (
	"strings"
	"unicode/utf8"
)

// maxFullName bounds a display name that we print, in octets; what is longer is cut.
const maxFullName = 256

// FromField prints a From field for an address (without brackets, fit for an SMTP command) and a name for people.
// The name may be anything: it is trimmed, control characters become blanks, and what is left empty is left out.
func FromField(name, addr string) Field {
	phrase := Phrase(name)
	if phrase == "" {
		return New("From", addr)
	}
	// Not New: Phrase folds long names.
	return Field{Name: "From", Body: " " + phrase + " <" + OneLine(addr) + ">\r\n"}
}

// Phrase prints a display name (RFC 5322 3.2.5): atoms as they are, other ASCII as one quoted string, anything else
// as encoded words of UTF-8 (RFC 2047 5), where invalid octets become "?".
func Phrase(name string) string {
	name = strings.TrimSpace(cut(OneLine(name), maxFullName))
	switch {
	case name == "":
		return ""
	case strings.IndexFunc(name, func(r rune) bool { return r >= 0x80 }) >= 0:
		return encodedWords(name)
	case strings.IndexFunc(name, func(r rune) bool { return r != ' ' && !atext(byte(r)) }) >= 0:
		return quote(name)
	}
	return name
}

// cut shortens s to at most n octets without cutting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// FullName is the name for people in the GECOS of the user login: up to the first comma, with "&" standing for the
// login name with a capital (passwd(5) of BSD).
func FullName(gecos, login string) string {
	name, _, _ := strings.Cut(gecos, ",")
	if login != "" && strings.Contains(name, "&") {
		name = strings.ReplaceAll(name, "&", strings.ToUpper(login[:1])+login[1:])
	}
	return strings.TrimSpace(name)
}

// encodedWords writes s in the Q encoding (RFC 2047 4.2, 5 (3)), in words of at most 75 octets on lines of their own.
func encodedWords(s string) string {
	const start, end, room = "=?UTF-8?Q?", "?=", 75 - len("=?UTF-8?Q??=")
	var b strings.Builder
	b.WriteString(start)
	used := 0
	for _, r := range s {
		c := encodeQ(r)
		if used+len(c) > room {
			b.WriteString(end + "\r\n " + start)
			used = 0
		}
		b.WriteString(c)
		used += len(c)
	}
	b.WriteString(end)
	return b.String()
}

func encodeQ(r rune) string {
	switch {
	case r == utf8.RuneError:
		return "=3F"
	case r == ' ':
		return "_"
	case r < 0x80 && (alphanumeric(byte(r)) || strings.ContainsRune("!*+-/", r)):
		return string(r)
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(string(r)) {
		b.Write([]byte{'=', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// quote writes s as a quoted string (RFC 5322 3.2.4).
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// atext is the set of RFC 5322 3.2.3.
func atext(c byte) bool {
	return alphanumeric(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}
