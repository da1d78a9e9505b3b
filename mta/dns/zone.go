package dns

import (
	"context"
	"net/netip"
	"slices"
	"strings"
)

// Zone is a Resolver of literal records. Its keys are names in small letters without a last dot. A name that is the
// owner of nothing, and has no owner below it, does not exist. It must not be changed while it is asked.
type Zone struct {
	MXs       map[string][]MX
	Addresses map[string][]string // addresses in text
	TLSAs     map[string][]TLSA
	TXTs      map[string][]string
	Aliases   map[string]string // CNAME

	Authentic bool     // answers are
	Insecure  []string // but not those about these names
	Fail      []string // names, or types and names ("MX b.test", "addresses mx.b.test"), with a temporary failure
	// Ask, where set, is called before each answer, with the type ("MX", "addresses", "TLSA", "TXT"). It may block as
	// long as ctx lasts; its error becomes a temporary failure.
	Ask func(ctx context.Context, kind, name string) error
}

var _ Resolver = (*Zone)(nil)

// MX implements Resolver.
func (z *Zone) MX(ctx context.Context, domain string) ([]MX, bool, error) {
	name, authentic, err := z.find(ctx, "MX", domain)
	if err != nil {
		return nil, false, err
	}
	mx := sortMX(slices.Clone(z.MXs[name]))
	return mx, authentic, z.nothing(len(mx), "MX", name)
}

// Addrs implements Resolver. It panics where a literal is not an address.
func (z *Zone) Addrs(ctx context.Context, host string) ([]netip.Addr, bool, error) {
	if isLocalhost(canonical(host)) {
		return loopback(), false, nil
	}
	name, authentic, err := z.find(ctx, "addresses", host)
	if err != nil {
		return nil, false, err
	}
	var ips []netip.Addr
	for _, text := range z.Addresses[name] {
		ips = append(ips, netip.MustParseAddr(text))
	}
	return ips[:min(len(ips), MaxAddrs)], authentic, z.nothing(len(ips), "addresses", name)
}

// TLSA implements Resolver.
func (z *Zone) TLSA(ctx context.Context, name string) ([]TLSA, bool, error) {
	name, authentic, err := z.find(ctx, "TLSA", name)
	if err != nil {
		return nil, false, err
	}
	return z.TLSAs[name], authentic, z.nothing(len(z.TLSAs[name]), "TLSA", name)
}

// TXT implements Resolver.
func (z *Zone) TXT(ctx context.Context, name string) ([]string, bool, error) {
	name, authentic, err := z.find(ctx, "TXT", name)
	if err != nil {
		return nil, false, err
	}
	return z.TXTs[name], authentic, z.nothing(len(z.TXTs[name]), "TXT", name)
}

// find follows aliases to the name that holds the records.
func (z *Zone) find(ctx context.Context, kind, name string) (string, bool, error) {
	asked, authentic := canonical(name), z.Authentic
	name = asked
	for range maxAliases {
		authentic = authentic && !slices.Contains(z.Insecure, name)
		if slices.Contains(z.Fail, name) || slices.Contains(z.Fail, kind+" "+name) {
			return "", false, &Error{Type: kind, Name: asked, Kind: ErrTemporary}
		}
		target, ok := z.Aliases[name]
		if !ok {
			break
		}
		name = target
	}
	err := ctx.Err()
	if err == nil && z.Ask != nil {
		err = z.Ask(ctx, kind, asked)
	}
	if err != nil {
		return "", false, &Error{Type: kind, Name: asked, Kind: ErrTemporary, Err: err}
	}
	return name, authentic, nil
}

func (z *Zone) nothing(found int, kind, name string) error {
	switch {
	case found > 0:
		return nil
	case z.exists(name):
		return &Error{Type: kind, Name: name, Kind: ErrNoData}
	}
	return &Error{Type: kind, Name: name, Kind: ErrNotFound}
}

func (z *Zone) exists(name string) bool {
	return owns(z.MXs, name) || owns(z.Addresses, name) || owns(z.TLSAs, name) || owns(z.TXTs, name) || owns(z.Aliases, name)
}

func owns[V any](m map[string]V, name string) bool {
	for owner := range m {
		if owner == name || strings.HasSuffix(owner, "."+name) {
			return true
		}
	}
	return false
}
