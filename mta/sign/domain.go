package sign

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"

	"signpost/compat/header"
)

// ASCIIDomain gives domain in A-labels and lower case, without a trailing dot.
func ASCIIDomain(domain string) (string, error) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if !isASCII(domain) {
		// Not idna.Lookup: names with an underscore are met, and DNS has nothing against them.
		profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))
		ascii, err := profile.ToASCII(domain)
		if err != nil {
			return "", fmt.Errorf("domain %q: %w", domain, err)
		}
		domain = ascii
	}
	if err := checkLabels(domain); err != nil {
		return "", fmt.Errorf("domain %q: %w", domain, err)
	}
	return domain, nil
}

// CheckNames checks the domain and the selector of a key and gives the domain in A-labels and lower case. Both then
// consist of letters, digits, "-", "_" and ".", so they can stand in a file name.
func CheckNames(domain, selector string) (ascii string, err error) {
	if ascii, err = ASCIIDomain(domain); err != nil {
		return "", err
	}
	return ascii, checkSelector(selector, ascii)
}

// checkSelector checks a selector (RFC 6376 3.1) and the length of the name that it makes with the domain.
func checkSelector(selector, domain string) error {
	if err := checkLabels(selector); err != nil {
		return fmt.Errorf("selector %q: %w", selector, err)
	}
	if name := RecordName(selector, domain); len(name) > 253 {
		return fmt.Errorf("selector %q: the name %s has %d octets, and DNS takes 253", selector, name, len(name))
	}
	return nil
}

// checkLabels reports what is wrong with a dotted name in ASCII.
func checkLabels(name string) error {
	if name == "" {
		return errors.New("is missing")
	}
	if len(name) > 253 {
		return fmt.Errorf("has %d octets, and DNS takes 253", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(label string) error {
	if label == "" {
		return errors.New("has an empty part between dots")
	}
	if len(label) > 63 {
		return fmt.Errorf("has a part of %d octets, and DNS takes 63", len(label))
	}
	for _, c := range label {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && !('0' <= c && c <= '9') && c != '-' && c != '_' {
			return fmt.Errorf("has a character %q, which no name in DNS has", c)
		}
	}
	return nil
}

// fromDomains gives the domains that the value of a From: field names, in A-labels, each once, at most maxDomains. What
// cannot be read as an address with a domain is left out.
func fromDomains(value string) []string {
	var domains []string
	for _, m := range header.ParseList(value) {
		if m.Err != nil || len(domains) == maxDomains {
			continue
		}
		_, domain, ok := cutLast(m.Addr, "@")
		if !ok {
			continue
		}
		domain, err := ASCIIDomain(domain)
		if err == nil && !contains(domains, domain) {
			domains = append(domains, domain)
		}
	}
	return domains
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
