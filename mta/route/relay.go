package route

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"signpost/mta/dns"
	"signpost/spool"
)

// byRelays finds the configured relays, in the order of the configuration. Whatever is wrong with them is temporary:
// the sender has no part in it, and who runs this host can mend it.
func (r *Router) byRelays(ctx context.Context, relays []Relay, need Security) ([]Hop, error) {
	var hops []Hop
	var first error
	left := maxAddrs
	for _, relay := range relays {
		hop, err := r.relayHop(ctx, relay, need)
		if err != nil && first == nil {
			first = err
		}
		hop.Addrs = hop.Addrs[:min(len(hop.Addrs), left)]
		if len(hop.Addrs) > 0 {
			hops = append(hops, hop)
			left -= len(hop.Addrs)
		}
	}
	if len(hops) == 0 {
		return nil, first
	}
	return hops, nil
}

func (r *Router) relayHop(ctx context.Context, relay Relay, need Security) (Hop, error) {
	if relay.StartTLS && need != Verify {
		need = Encrypt
	}
	hop := Hop{Port: relay.port(), Need: need}
	var list []netip.Addr
	var err error
	if hop.Host, list, err = r.relayAddrs(ctx, relay); err != nil {
		status := noAnswer
		if errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrNoData) || !errors.Is(err, dns.ErrTemporary) {
			status = badConfig
		}
		return Hop{}, &spool.Error{Status: status, Err: err}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool {
		return r.listensAt(plainAddr(a), relay.port()) // another service of this host may well be the relay
	})
	if len(list) == 0 {
		return Hop{}, spool.Errorf(badConfig, "the relay %s is this daemon itself", relay)
	}
	if hop.Addrs = r.order(list); len(hop.Addrs) == 0 {
		return Hop{}, spool.Errorf(badConfig, "the relay %s cannot be reached: delivery.ip allows %s only", relay, r.IP)
	}
	return hop, nil
}

// relayAddrs looks up the host itself, never its MX. name is what its certificate is to be about.
func (r *Router) relayAddrs(ctx context.Context, relay Relay) (name string, list []netip.Addr, err error) {
	if a, err := netip.ParseAddr(bareHost(relay.Host)); err == nil {
		return a.String(), []netip.Addr{a}, nil
	}
	if name, err = dns.ToASCII(relay.Host); err != nil {
		return "", nil, err
	}
	list, _, err = r.Resolver.Addrs(ctx, name)
	return name, list, err
}
