package header

import "strings"

// QualifyField puts "@origin" behind every bare name in an address field and changes nothing else.
func QualifyField(f Field, origin string) Field {
	var b strings.Builder
	done := 0
	for m := range Mailboxes(f.Body) {
		if m.Err == nil && m.bare > 0 {
			b.WriteString(f.Body[done:m.bare])
			b.WriteString("@" + origin)
			done = m.bare
		}
	}
	if done == 0 {
		return f
	}
	b.WriteString(f.Body[done:])
	f.Body = b.String()
	return f
}

// ReplaceAddrs puts replace(Addr) in the place of each address in an address field. Names, comments, white space and
// line ends stay where they are, also those within an address, and so does what is no address. What replace gives must
// be as Mailbox.Addr, with a domain. A field that would grow beyond MaxField stays as it is.
func ReplaceAddrs(f Field, replace func(addr string) string) Field {
	e := editor{s: f.Body}
	for m := range Mailboxes(f.Body) {
		if m.Err != nil {
			continue
		}
		if addr := replace(m.Addr); addr != m.Addr {
			e.replace(m, addr)
		}
		if e.b.Len() > MaxField {
			return f
		}
	}
	if body := e.String(); len(f.Name)+len(":")+len(body) <= MaxField {
		f.Body = body
	}
	return f
}

// editor changes parts of a list from left to right.
type editor struct {
	s    string
	done int // octets of s that are in b, or replaced
	b    strings.Builder
}

// replace changes of the address of m only the part that differs.
func (e *editor) replace(m Mailbox, addr string) {
	if m.domain == (span{}) {
		e.put(m.local, addr)
		return
	}
	oldLocal, oldDomain := SplitAddr(m.Addr)
	local, domain := SplitAddr(addr)
	if local != oldLocal {
		e.put(m.local, local)
	}
	if domain != oldDomain {
		e.put(m.domain, domain)
	}
}

func (e *editor) put(at span, text string) {
	e.b.WriteString(e.s[e.done:at.start])
	e.b.WriteString(text)
	e.done = at.end
	if at.end < len(e.s) && strings.IndexByte(wordEnds, e.s[at.end]) < 0 {
		e.b.WriteByte(' ') // a literal may touch what follows, a name may not
	}
}

func (e *editor) String() string {
	if e.done == 0 {
		return e.s
	}
	return e.b.String() + e.s[e.done:]
}

// Qualify puts "@origin" behind an address (as Mailbox.Addr) that has no domain.
func Qualify(addr, origin string) string {
	if _, domain := SplitAddr(addr); domain != "" || addr == "" {
		return addr
	}
	return addr + "@" + origin
}

// SplitAddr parts an address (as Mailbox.Addr) at the @ before its domain, which is empty where there is none.
func SplitAddr(addr string) (local, domain string) {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 || strings.HasSuffix(addr, `"`) { // an @ within the quoted local part
		return addr, ""
	}
	return addr[:i], addr[i+1:]
}

// Key is the same for two addresses that are one recipient: equal local parts, domains equal but for the case of ASCII
// letters.
func Key(addr string) string {
	local, domain := SplitAddr(addr)
	if domain == "" {
		return addr
	}
	return local + "@" + strings.ToLower(domain)
}

// Unquote turns a local part that is a quoted string into what it stands for (RFC 5321 4.1.2).
func Unquote(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	for i := 1; i < len(local)-1; i++ {
		if local[i] == '\\' && i+1 < len(local)-1 {
			i++
		}
		b.WriteByte(local[i])
	}
	return b.String()
}
