package config

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"signpost/compat/settings"
)

// The rules for one value, wherever it stands.

// domain is CheckName for a domain that may also be written in its own script, which hostname and origin may not:
// sendmail reads those, and has no table of scripts.
func (k check) domain(at settings.Key, name *string) {
	*name = ascii(*name)
	k.CheckName(at, name)
}

// ascii writes a domain of another script in A-labels (RFC 5891 5, UTS 46). What is none is left for others to refuse.
func ascii(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return r >= 0x80 }) < 0 {
		return name
	}
	if a, err := idna.Lookup.ToASCII(name); err == nil {
		return a
	}
	return name
}

func (k check) notZero(at settings.Key, d settings.Duration) {
	if d == 0 {
		k.Faultf(at, "must not be 0")
	}
}

func (k check) between(at settings.Key, n, least, most int) {
	if n < least || n > most {
		k.Faultf(at, "must be from %d to %d, not %d", least, most, n)
	}
}

func (k check) oneOf(at settings.Key, value string, known []string) {
	for _, v := range known {
		if v == value {
			return
		}
	}
	k.Faultf(at, "must be %s, not %q%s", orList(known), value, settings.DidYouMean(value, known))
}

func orList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// account checks the name of an account as useradd(8) allows it, which keeps it out of trouble in paths and logs.
func (k check) account(at settings.Key, name string) {
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(":/\\", r) }
	if name == "" || name[0] == '-' || len(name) > 256 || strings.ContainsFunc(name, bad) {
		k.Faultf(at, "must be the name of an account, not %q", name)
	}
}

// mailTo checks a local name or a whole address that mail goes to.
func (k check) mailTo(at settings.Key, addr string) {
	if err := checkAddress(addr, true); err != nil {
		k.Faultf(at, "%v", err)
	}
}

// checkAddress looks at the outside of an address only: its grammar is the business of compat/header. What it keeps
// out is what would break a line or a command.
func checkAddress(addr string, bareName bool) error {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("<>,;|\"", r) }
	local, domain, hasDomain := cutLast(addr, "@")
	switch {
	case addr == "" || local == "" || len(addr) > 320 || strings.ContainsFunc(addr, bad):
	case hasDomain:
		if strings.HasPrefix(domain, "[") && strings.HasSuffix(domain, "]") {
			return nil
		}
		if _, err := settings.Name(ascii(domain)); err != nil {
			return fmt.Errorf("the domain of %q %w", addr, err)
		}
		return nil
	case bareName && !strings.ContainsAny(addr, "/:\\"):
		return nil
	}
	if bareName {
		return fmt.Errorf("must be one address such as \"admin@example.org\", or a local name, not %q", addr)
	}
	return fmt.Errorf("must be an address such as \"admin@example.org\", not %q", addr)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// patterns checks and lowers the patterns of a route; those for senders may be addresses too.
func (k check) patterns(at settings.Key, list []string, senders bool) {
	if len(list) == 0 {
		k.Faultf(at, "must not be empty: the route would never match; [\"*\"] is for all")
	}
	for i, p := range list {
		clean, err := pattern(p, senders)
		if err != nil {
			k.Faultf(at.Elem(i), "%v", err)
			continue
		}
		list[i] = clean
	}
}

func pattern(p string, senders bool) (string, error) {
	name, below := strings.CutPrefix(p, ".")
	switch {
	case p == "*" || senders && p == "<>":
		return p, nil
	case senders && strings.Contains(p, "@") && !strings.HasPrefix(p, "@"):
		local, domain, _ := cutLast(p, "@")
		return local + "@" + strings.ToLower(ascii(domain)), checkAddress(p, false)
	case strings.HasPrefix(p, "@"):
		return "", fmt.Errorf("a domain stands without \"@\": write %q", p[1:])
	case strings.Contains(p, "@"):
		return "", fmt.Errorf("must be a domain, not the address %q; senders are named in the key from", p)
	case strings.HasPrefix(p, "*."):
		return "", fmt.Errorf("a domain and all below it are written %q", p[1:])
	case name == "":
		return "", fmt.Errorf("must be \"example.com\", \".example.com\" (it and all below) or \"*\", not %q", p)
	}
	name, err := settings.Name(ascii(name))
	if below {
		name = "." + name
	}
	return name, err
}

// addrPort reads ip or ip:port.
func addrPort(text string, port uint16) (string, error) {
	if ap, err := netip.ParseAddrPort(text); err == nil && ap.Port() > 0 {
		return ap.String(), nil
	}
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(addr, port).String(), nil
	}
	return "", fmt.Errorf("must be an IP address such as \"127.0.0.53\" or \"[::1]:53\", not %q", text)
}
