// Package sign computes DKIM-Signature fields for domains whose keys we hold.
//
// A Signer is made once from all keys of the configuration and then only read: it is safe for concurrent use. It signs
// the octets that it is given, so it must be given exactly those that go out: completed, converted, with CRLF line
// ends. Signatures are rsa-sha256 or ed25519-sha256 (RFC 6376, 8301, 8463), relaxed/relaxed, over the whole body.
//
// The package also makes, reads and checks key files, writes the record to be published for a key and compares it with
// the one that is, and verifies the signatures of a message. It looks nothing up itself and knows no configuration: a
// caller who needs DNS hands in a function.
package sign

import (
	"bufio"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// Key names one key and says what it signs.
type Key struct {
	Domain     string   // of the From: fields that it signs, and the d= of the signature; U-labels are converted
	Selector   string   // s= of the signature
	Path       string   // of a PEM file, as Load wants it
	Headers    []string // field names to sign; nil for the default list. From is always signed
	Subdomains bool     // also From: domains below Domain that have no key of their own
}

// Signer signs messages. The zero value has no keys and signs nothing.
type Signer struct {
	byDomain map[string][]key // A-labels, lower case; RSA before Ed25519
}

// key is a Key that has been read and checked.
type key struct {
	domain, selector string
	subdomains       bool
	names            names
	signer           crypto.Signer
}

// maxDomains bounds how many domains of one From: field are signed for. A field with more than a few is nobody's
// letter, and each signature costs about a millisecond.
const maxDomains = 4

// New reads and checks all keys. The error tells everything that is wrong with any of them; a Signer is only returned
// without one, because a message must not leave unsigned for a mistake in a file.
func New(keys []Key) (*Signer, error) {
	s := &Signer{byDomain: make(map[string][]key)}
	seen := make(map[string]bool)
	var wrong []error
	for _, k := range keys {
		read, err := prepare(k)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("dkim key for %q: %w", k.Domain, err))
			continue
		}
		name := RecordName(read.selector, read.domain)
		if seen[name] {
			wrong = append(wrong, fmt.Errorf("dkim key for %q: selector %q is used twice", k.Domain, k.Selector))
			continue
		}
		seen[name] = true
		s.byDomain[read.domain] = append(s.byDomain[read.domain], read)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	for _, list := range s.byDomain {
		// Old verifiers know RSA only, and some look at the first signature only.
		slices.SortStableFunc(list, func(a, b key) int { return a.rank() - b.rank() })
	}
	return s, nil
}

func prepare(k Key) (key, error) {
	domain, err := CheckNames(k.Domain, k.Selector)
	if err != nil {
		return key{}, err
	}
	list, err := namesOf(k.Headers)
	if err != nil {
		return key{}, err
	}
	signer, err := Load(k.Path)
	if err != nil {
		return key{}, err
	}
	return key{domain: domain, selector: k.Selector, subdomains: k.Subdomains, names: list, signer: signer}, nil
}

// rank orders the signatures of one message.
func (k key) rank() int {
	if _, ok := k.signer.Public().(ed25519.PublicKey); ok {
		return 1
	}
	return 0
}

// Fields reads a message as it will go out (CRLF line ends, not dot-stuffed) and returns the DKIM-Signature fields to
// be put before it, each ended by CRLF: one for every key of the From: domain, RSA first. They are nil where there is
// no key for that domain, and where the message has no From: field or several (RFC 5322 allows one): no signature over
// such a message would be believed. Where the one field names addresses of several domains, each is signed for.
//
// The message is not kept in memory but for its header. An error means that it must not go out now: reading it broke,
// its header is not in wire form, or the signing itself broke.
func (s *Signer) Fields(wire io.Reader) ([]byte, error) {
	if len(s.byDomain) == 0 {
		return nil, nil
	}
	body := bufio.NewReader(wire)
	h, err := readHead(body)
	if err != nil {
		return nil, fmt.Errorf("reading the message to be signed: %w", err)
	}
	keys := s.keysFor(h)
	if len(keys) == 0 {
		return nil, nil
	}
	return signAll(keys, h, body)
}

// keysFor finds the keys that sign a message with this header.
func (s *Signer) keysFor(h *head) []key {
	if len(h.from) != 1 {
		return nil
	}
	var keys []key
	for _, domain := range fromDomains(h.from[0]) {
		keys = append(keys, s.match(domain)...)
	}
	return distinct(keys)
}

// Signs reports whether mail from addresses of domain (as ASCIIDomain gives it) is signed.
func (s *Signer) Signs(domain string) bool { return len(s.match(domain)) > 0 }

// match finds the keys of domain itself, else those of the nearest domain above it that sign for subdomains.
func (s *Signer) match(domain string) []key {
	if keys, ok := s.byDomain[domain]; ok {
		return keys
	}
	for {
		_, above, ok := strings.Cut(domain, ".")
		if !ok {
			return nil
		}
		var keys []key
		for _, k := range s.byDomain[above] {
			if k.subdomains {
				keys = append(keys, k)
			}
		}
		if len(keys) > 0 {
			return keys
		}
		domain = above
	}
}

// distinct removes keys that two domains of one From: field share.
func distinct(keys []key) []key {
	seen := make(map[string]bool, len(keys))
	return slices.DeleteFunc(keys, func(k key) bool {
		name := RecordName(k.selector, k.domain)
		was := seen[name]
		seen[name] = true
		return was
	})
}

// signAll reads the body once and computes all signatures from it.
func signAll(keys []key, h *head, body io.Reader) ([]byte, error) {
	signers, err := startSigners(keys, h)
	if err == nil {
		err = feed(signers, h, body)
	}
	fields, closeErr := finish(signers)
	if err = errors.Join(err, closeErr); err != nil {
		return nil, fmt.Errorf("signing the message: %w", err)
	}
	return fields, nil
}

// startSigners starts a signer a key. Those it returns, also beside an error, must be closed: each has a goroutine.
func startSigners(keys []key, h *head) ([]*dkim.Signer, error) {
	signers := make([]*dkim.Signer, 0, len(keys))
	for _, k := range keys {
		sg, err := dkim.NewSigner(&dkim.SignOptions{
			Domain:                 k.domain,
			Selector:               k.selector,
			Signer:                 k.signer,
			Hash:                   crypto.SHA256,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed,
			BodyCanonicalization:   dkim.CanonicalizationRelaxed,
			HeaderKeys:             k.names.list(h.count),
		})
		if err != nil {
			return signers, err
		}
		signers = append(signers, sg)
	}
	return signers, nil
}

// feed writes the message to every signer.
func feed(signers []*dkim.Signer, h *head, body io.Reader) error {
	all := make([]io.Writer, len(signers))
	for i, sg := range signers {
		all[i] = sg
	}
	w := io.MultiWriter(all...)
	if _, err := w.Write(h.raw); err != nil {
		return err
	}
	_, err := io.Copy(w, body)
	return err
}

// finish closes every signer, which waits for its goroutine, and collects the fields.
func finish(signers []*dkim.Signer) ([]byte, error) {
	var fields []byte
	var wrong []error
	for _, sg := range signers {
		if err := sg.Close(); err != nil {
			wrong = append(wrong, err)
			continue // Signature would panic
		}
		fields = append(fields, sg.Signature()...)
	}
	return fields, errors.Join(wrong...)
}
