// Package dns asks the resolver and says whether DNSSEC vouched for the answer.
//
// Client speaks to the servers of resolv.conf or of the configuration. It keeps answers as long as their owners allow,
// asks the same question once at a time, follows aliases, and tells three failures apart: the name does not exist
// (ErrNotFound), it exists without such records (ErrNoData), and nobody knows right now (ErrTemporary). Only the first
// two may ever bounce mail. Zone answers from literal records, for tests and demonstrations.
//
// Names are A-labels without a last dot, in and out; ToASCII makes them. Every name is complete: no search list is
// applied, and /etc/hosts is not read, since mail follows the DNS of a domain (RFC 5321 5.1), whatever this host
// calls its neighbours. Only localhost is known without asking (RFC 6761 6.3).
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// How a look-up can fail; tell them apart with errors.Is.
var (
	ErrNotFound  = errors.New("no such name")         // NXDOMAIN
	ErrNoData    = errors.New("no such records")      // the name exists
	ErrTemporary = errors.New("no answer at present") // SERVFAIL, time-out, no server, ctx ended
)

// The limits on what is taken of one answer, against answers made to keep us busy.
const (
	MaxMX    = 100
	MaxAddrs = 50
)

// Error is a look-up that failed. It is one of ErrNotFound, ErrNoData and ErrTemporary.
type Error struct {
	Type, Name string // what was looked up: "MX", "b.test"
	Kind       error
	Err        error // the cause, or nil
}

func (e *Error) Error() string {
	text := fmt.Sprintf("looking up %s of %s: %v", e.Type, e.Name, e.Kind)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// MX is a mail exchanger of a domain.
type MX struct {
	Host string // may be any name a stranger wrote, in the escaped form of zone files; "" is the root: a null MX (RFC 7505)
	Pref uint16 // smaller is better
}

// TLSA is an association of a certificate (RFC 6698 2.1).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// Resolver looks up records. A failure is an *Error. authentic is the AD bit of a trusted resolver (RFC 4035 3.2.3); it
// speaks of the aliases on the way too, and of failures that are ErrNotFound or ErrNoData. Safe for concurrent use;
// results must not be changed.
type Resolver interface {
	// MX gives at most MaxMX exchangers, sorted by preference; equals in no order to rely on.
	MX(ctx context.Context, domain string) (mx []MX, authentic bool, err error)
	// Addrs gives at most MaxAddrs addresses of both families. Where one family fails for now, those of the other do.
	Addrs(ctx context.Context, host string) (ips []netip.Addr, authentic bool, err error)
	TLSA(ctx context.Context, name string) (rr []TLSA, authentic bool, err error)
	// TXT gives each record in one string, octet for octet.
	TXT(ctx context.Context, name string) (txt []string, authentic bool, err error)
}

// ToASCII makes a domain as people write it into A-labels (UTS 46, non-transitional), small letters, without a last
// dot. Letters, digits, hyphens and underscores may stand in it. It makes no difference between domains that exist and
// those that do not.
func ToASCII(domain string) (string, error) {
	name := domain
	if !isASCII(name) {
		p := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))
		var err error
		if name, err = p.ToASCII(name); err != nil || !utf8.ValidString(domain) {
			return "", fmt.Errorf("%q is not a domain name", domain)
		}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if !IsHost(name) {
		return "", fmt.Errorf("%q is not a domain name", domain)
	}
	return name, nil
}

// IsHost reports whether name is made of labels of 1 to 63 letters, digits, hyphens and underscores, and is at most 253
// octets long: nothing that could end a command, a log field or a line.
func IsHost(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// canonical is the form in which names are compared.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

func loopback() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
}

// sortMX sorts by preference and cuts the list to what is looked at.
func sortMX(list []MX) []MX {
	slices.SortStableFunc(list, func(a, b MX) int { return int(a.Pref) - int(b.Pref) })
	return list[:min(len(list), MaxMX)]
}
