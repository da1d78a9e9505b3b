package sign

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// RecordName is where the record of a key is published (RFC 6376 3.6.2.1).
func RecordName(selector, domain string) string {
	return strings.ToLower(selector + "._domainkey." + domain)
}

// Record is the text of the TXT record for a public key, RSA or Ed25519, in one string (RFC 6376 3.6.1, 8463 4).
func Record(public crypto.PublicKey) (string, error) {
	kind, data, err := encodePublic(public)
	if err != nil {
		return "", err
	}
	return "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(data), nil
}

func encodePublic(public crypto.PublicKey) (kind string, data []byte, err error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		data, err = x509.MarshalPKIXPublicKey(p)
		return "rsa", data, err
	case ed25519.PublicKey:
		return "ed25519", p, nil
	}
	return "", nil, fmt.Errorf("a key of type %T has no DKIM record", public)
}

// ZoneEntry is a TXT record as a zone file wants it (RFC 1035 5.1): strings of at most 255 octets.
func ZoneEntry(name, text string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. IN TXT (", name)
	for len(text) > 255 {
		fmt.Fprintf(&b, "\n\t\"%s\"", text[:255])
		text = text[255:]
	}
	fmt.Fprintf(&b, "\n\t\"%s\" )", text)
	return b.String()
}

// CheckRecord compares the TXT records published under a key's name, each one with its strings joined, with the key.
// The error says why verifiers would not accept our signatures and what to do about it; notes tell what is odd without
// being wrong.
func CheckRecord(records []string, public crypto.PublicKey) (notes []string, err error) {
	switch len(records) {
	case 0:
		return nil, errors.New("no TXT record is published under this name")
	case 1:
	default:
		return nil, fmt.Errorf("%d TXT records are published under this name, and verifiers want one (RFC 6376 3.6.2.2); "+
			"remove the others, or a wildcard that covers the name", len(records))
	}
	tags, err := parseRecord(records[0])
	if err != nil {
		return nil, err
	}
	kind, data, err := encodePublic(public)
	if err != nil {
		return nil, err
	}
	if err := tags.check(kind); err != nil {
		return nil, err
	}
	if err := tags.samePublic(kind, data, public); err != nil {
		return nil, err
	}
	return tags.notes(), nil
}

// record is a key record by tags.
type record map[string]string

// parseRecord reads a tag list (RFC 6376 3.2).
func parseRecord(text string) (record, error) {
	if strings.ContainsAny(text, `"\`) {
		return nil, fmt.Errorf("the record holds quotation marks or backslashes that belong to a zone file: %q; "+
			"publish the text without them", short(text))
	}
	r := make(record)
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		tag, value, ok := strings.Cut(part, "=")
		tag = strings.TrimSpace(tag)
		if !ok {
			return nil, fmt.Errorf("the record is no key record: %q has no %q", short(part), "=")
		}
		if _, twice := r[tag]; twice {
			return nil, fmt.Errorf("the record has the tag %s= twice", short(tag))
		}
		r[tag] = strings.TrimSpace(value)
	}
	if v, ok := r["v"]; ok && (v != "DKIM1" || !strings.HasPrefix(strings.TrimSpace(text), "v")) {
		return nil, fmt.Errorf("the record is no key record: it begins with %q in place of %q", short(text), "v=DKIM1")
	}
	return r, nil
}

// check checks every tag but the key itself.
func (r record) check(kind string) error {
	p, ok := r["p"]
	if !ok {
		return errors.New("the record has no p= tag, so no key")
	}
	if p == "" {
		return errors.New("the record says that the key is revoked (p= is empty)")
	}
	published := r["k"]
	if published == "" {
		published = "rsa"
	}
	if published != kind {
		return fmt.Errorf("the record is for a key of type %s (k=), ours is %s", short(published), kind)
	}
	if h, ok := r["h"]; ok && !inList(h, "sha256") {
		return fmt.Errorf("the record allows the hashes %q only, and we sign with sha256", short(h))
	}
	if s, ok := r["s"]; ok && !inList(s, "email") && !inList(s, "*") {
		return fmt.Errorf("the record is for the services %q only, not for email", short(s))
	}
	return nil
}

// samePublic compares the key in p= with ours.
func (r record) samePublic(kind string, data []byte, public crypto.PublicKey) error {
	p := strings.Join(strings.Fields(r["p"]), "")
	ours := base64.StdEncoding.EncodeToString(data)
	if p == ours {
		return nil
	}
	if strings.HasPrefix(ours, p) {
		return fmt.Errorf("the published key is cut off after %d of %d characters; "+
			"a TXT record over 255 octets must be given in several strings", len(p), len(ours))
	}
	decoded, err := base64.StdEncoding.DecodeString(p)
	if err != nil {
		return fmt.Errorf("the published key is damaged: %w", err)
	}
	if kind == "rsa" {
		// RFC 6376 erratum 3017: some publish the bare RSAPublicKey.
		if k, err := x509.ParsePKCS1PublicKey(decoded); err == nil && k.Equal(public) {
			return nil
		}
	}
	return errors.New("another key is published under this name; publish the record of this key, " +
		"or make the new one under another selector")
}

func (r record) notes() []string {
	var notes []string
	if inList(r["t"], "y") {
		notes = append(notes, "t=y says that the domain is testing DKIM: verifiers may ignore the signatures")
	}
	return notes
}

// inList reports whether a colon-separated list holds word.
func inList(list, word string) bool {
	for s := range strings.SplitSeq(list, ":") {
		if strings.TrimSpace(s) == word {
			return true
		}
	}
	return false
}

// short keeps a stranger's text to a length that fits a message.
func short(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
