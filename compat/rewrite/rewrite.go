// Package rewrite changes the senders of messages by the table [rewrite] of the configuration.
//
// A rule is a pattern and what takes the place of the addresses that match it. Patterns are
//
//	local@domain    this address
//	local@.domain   this name in the domain and all below it
//	local@*         this name in every domain
//	@domain         every address of the domain
//	@.domain        every address of the domain and all below it
//	*               every address
//
// and the first of this order that matches decides, of two domains the longer one. An address is changed once: the
// result is not looked up again. What takes its place is an address, or "@domain", which keeps the local part.
// Local parts and domains are compared without regard to case; patterns name domains by their A-labels.
//
// The package is pure: it knows nothing of messages, of which the daemon changes the reverse-path and some fields, and
// sendmail only tells what the daemon would do.
package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"signpost/compat/header"
	"signpost/compat/settings"
)

// Rules is a table of rules. The zero value has none. Safe for concurrent use.
type Rules struct {
	// ASCII gives a domain in another script in A-labels. nil: such a domain matches no pattern that names a domain.
	ASCII func(domain string) string

	rules map[key]rule
}

// key is a pattern in lower case: local is empty for every local part; domain may be "*" or begin with a dot.
type key struct{ local, domain string }

type rule struct {
	pattern       string // as it stands in the configuration
	local, domain string // what takes the place; an empty local part keeps that of the address
}

// Fault is a rule that is none.
type Fault struct {
	Pattern string // as it stands in the configuration
	Target  bool   // what is wrong is not the pattern but what takes the place
	Err     error  // what is wrong, and what would be right
}

// New reads a table of patterns and what takes the place of addresses that match. Rules with faults are left out; the
// faults are in the order of their patterns.
func New(senders map[string]string) (Rules, []Fault) {
	r := Rules{rules: make(map[key]rule, len(senders))}
	var faults []Fault
	for _, pattern := range slices.Sorted(maps.Keys(senders)) {
		k, err := parsePattern(pattern)
		if before, known := r.rules[k]; err == nil && known {
			err = fmt.Errorf("is the same as %q: upper and lower case make no difference", before.pattern)
		}
		if err != nil {
			faults = append(faults, Fault{Pattern: pattern, Err: err})
			continue
		}
		to, err := parseTarget(senders[pattern])
		if err != nil {
			faults = append(faults, Fault{Pattern: pattern, Target: true, Err: err})
			continue
		}
		to.pattern = pattern
		r.rules[k] = to
	}
	return r, faults
}

// Field reports whether fields of this name say who sends a message, and gives the usual form of the name. Receivers
// compare the domain of From with those of the envelope and of the signature (RFC 7489 3.1); the others would give
// away, or be refused for, a domain that From does not show any more. Reply-To is no sender: it says what the author
// wants.
func Field(name string) (string, bool) {
	for _, n := range [...]string{"From", "Sender", "Resent-From", "Resent-Sender"} {
		if strings.EqualFold(n, name) {
			return n, true
		}
	}
	return "", false
}

// Len is how many rules there are.
func (r Rules) Len() int { return len(r.rules) }

// Sender gives what takes the place of an address (as header.Mailbox.Addr, with a domain), and the pattern of the rule
// that says so, as it stands in the configuration. ok is false where addr stays: no rule matches, the one that does
// leaves it as it is, or the result would be longer than header.MaxAddress; only then is there a pattern too.
// The null reverse-path always stays.
func (r Rules) Sender(addr string) (to, pattern string, ok bool) {
	local, domain := header.SplitAddr(addr)
	if domain == "" || len(r.rules) == 0 {
		return addr, "", false
	}
	found, ok := r.find(strings.ToLower(local), r.canonical(domain))
	if !ok {
		return addr, "", false
	}
	to = cmp.Or(found.local, local) + "@" + found.domain
	switch {
	case header.Key(to) == header.Key(addr):
		return addr, "", false
	case len(to) > header.MaxAddress:
		return addr, found.pattern, false
	}
	return to, found.pattern, true
}

// canonical is a domain as patterns have it.
func (r Rules) canonical(domain string) string {
	if r.ASCII != nil && strings.IndexFunc(domain, func(r rune) bool { return r >= 0x80 }) >= 0 {
		domain = r.ASCII(domain)
	}
	return strings.ToLower(domain)
}

// find looks for the most specific rule.
func (r Rules) find(local, domain string) (rule, bool) {
	for _, local := range [...]string{local, ""} {
		if found, ok := r.rules[key{local, domain}]; ok {
			return found, true
		}
		for below := domain; below != ""; _, below, _ = strings.Cut(below, ".") {
			if found, ok := r.rules[key{local, "." + below}]; ok {
				return found, true
			}
		}
		if found, ok := r.rules[key{local, "*"}]; ok {
			return found, true
		}
	}
	return rule{}, false
}

var errPattern = errors.New(`must be "local@domain", "local@*", "@domain", "@.domain" (it and all below) or "*"`)

func parsePattern(pattern string) (key, error) {
	if pattern == "*" {
		return key{"", "*"}, nil
	}
	at := strings.LastIndexByte(pattern, '@')
	if at < 0 {
		return key{}, fmt.Errorf("%w: %q has no \"@\"", errPattern, pattern)
	}
	local, domain := pattern[:at], pattern[at+1:]
	switch {
	case local == "*":
		return key{}, fmt.Errorf("every address of a domain is written %q", cmp.Or(strings.TrimSuffix("@"+domain, "@*"), "*"))
	case local == "" && domain == "*":
		return key{}, errors.New(`every address is written "*"`)
	case strings.HasPrefix(domain, "*."):
		return key{}, fmt.Errorf("a domain and all below it are written %q", local+"@"+domain[1:])
	}
	if local != "" {
		var err error
		if local, err = parseLocal(local); err != nil {
			return key{}, fmt.Errorf("%w: %w", errPattern, err)
		}
	}
	if domain == "*" {
		return key{strings.ToLower(local), "*"}, nil
	}
	name, below := strings.CutPrefix(domain, ".")
	name, err := settings.Domain(name)
	if err != nil {
		return key{}, fmt.Errorf("the domain of %q %w", pattern, err)
	}
	if below {
		name = "." + name
	}
	return key{strings.ToLower(local), name}, nil
}

// parseLocal gives a local part as it stands in addresses: without quotation marks that it does not need.
func parseLocal(local string) (string, error) {
	list := header.ParseList(local + "@localhost")
	if len(list) == 1 && list[0].Err != nil {
		return "", list[0].Err
	}
	if len(list) != 1 || list[0].Name != "" {
		return "", errLocal
	}
	clean, _ := header.SplitAddr(list[0].Addr)
	if clean != local && local[0] != '"' {
		return "", errLocal
	}
	return clean, nil
}

var errLocal = errors.New("character that must be quoted before the @")

// parseTarget reads an address, or "@domain".
func parseTarget(target string) (rule, error) {
	at := strings.LastIndexByte(target, '@')
	if at < 0 || at+1 == len(target) {
		return rule{}, fmt.Errorf("must be an address, or \"@domain\" to keep the part before the @, not %q", target)
	}
	local, domain := target[:at], target[at+1:]
	if local != "" {
		var err error
		if local, err = parseLocal(local); err != nil {
			return rule{}, fmt.Errorf("must be an address such as \"ops@example.org\", unlike %q: %w", target, err)
		}
	}
	if local != "" && local[0] != '"' && slices.Contains(strings.Split(local, "."), "") {
		return rule{}, fmt.Errorf("must be an address that everybody takes, unlike %q: a dot stands between letters", target)
	}
	name, err := settings.Domain(domain)
	if err != nil {
		return rule{}, fmt.Errorf("the domain of %q %w", target, err)
	}
	if len(local)+len("@")+len(name) > header.MaxAddress {
		return rule{}, header.ErrTooLong
	}
	return rule{local: local, domain: name}, nil
}
