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
