package route

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"signpost/mta/dns"
	"signpost/spool"
)

// lookups is how many hosts are looked up at once.
const lookups = 8

// candidate is an exchanger of a domain, and what has been found out about it.
type candidate struct {
	dns.MX
	addrs []netip.Addr
	err   error
}

// byMX finds the exchangers of domain, which is in A-labels.
func (r *Router) byMX(ctx context.Context, domain string, need Security) ([]Hop, error) {
	mx, _, err := r.Resolver.MX(ctx, domain)
	implicit := errors.Is(err, dns.ErrNoData)
	switch {
	case implicit:
		mx = []dns.MX{{Host: domain}} // RFC 5321 5.1: the domain is its own exchanger
	case errors.Is(err, dns.ErrNotFound):
		return nil, spool.Errorf(noDomain, "the domain %s does not exist", domain)
	case err != nil:
		return nil, &spool.Error{Status: noAnswer, Err: err}
	case len(mx) == 1 && mx[0].Host == "":
		return nil, spool.Errorf(nullMX, "the domain %s takes no mail (null MX)", domain)
	}
	list, own := r.candidates(mx)
	list, byAddr := r.resolve(ctx, list)
	own = min(own, byAddr)
	list = slices.DeleteFunc(list, func(c candidate) bool { return int(c.Pref) >= own })
	hops := r.hops(list, need)
	if len(hops) > 0 {
		return hops, nil
	}
	return nil, r.explain(domain, implicit, own < math.MaxInt, list)
}

// candidates are the hosts of mx that can be looked up, each once, equals shuffled. own is the preference of ourselves
// by name: that and all worse are left out; math.MaxInt where we are not among them.
func (r *Router) candidates(mx []dns.MX) (list []candidate, own int) {
	own = math.MaxInt
	seen := make(map[string]bool)
	for _, m := range mx[:min(len(mx), dns.MaxMX)] {
		if r.Hostname != "" && strings.EqualFold(m.Host, strings.TrimSuffix(r.Hostname, ".")) {
			own = min(own, int(m.Pref))
		}
		// A null MX beside others (RFC 7505 3), an address in place of a name (RFC 5321 5.1), or octets that are no
		// host name: none of them names a host.
		if _, err := netip.ParseAddr(m.Host); err == nil || !dns.IsHost(m.Host) || seen[m.Host] {
			continue
		}
		seen[m.Host] = true
		list = append(list, candidate{MX: m})
	}
	list = slices.DeleteFunc(list, func(c candidate) bool { return int(c.Pref) >= own })
	shuffle(list, r.intn)
	slices.SortStableFunc(list, func(a, b candidate) int { return int(a.Pref) - int(b.Pref) })
	return list, own
}

// resolve looks up the hosts, best first, until there are addresses enough or one is ourselves, whose preference is own
// then. Hosts that were not looked up are left out.
func (r *Router) resolve(ctx context.Context, list []candidate) (done []candidate, own int) {
	own = math.MaxInt
	for batch := range slices.Chunk(list, lookups) {
		var wg sync.WaitGroup
		for i := range batch {
			c := &batch[i]
			wg.Go(func() { c.addrs, _, c.err = r.Resolver.Addrs(ctx, c.Host) })
		}
		wg.Wait()
		enough := 0
		for _, c := range batch {
			if slices.ContainsFunc(c.addrs, func(a netip.Addr) bool { return r.isOwn(a, r.port()) }) {
				own = min(own, int(c.Pref))
			}
		}
		done = append(done, batch...)
		for _, c := range done {
			enough += len(c.addrs)
		}
		if own < math.MaxInt || enough >= maxAddrs {
			break
		}
	}
	return done, own
}

// hops makes hops of the candidates that have an address to be tried.
func (r *Router) hops(list []candidate, need Security) []Hop {
	var hops []Hop
	left := maxAddrs
	for _, c := range list {
		usable := slices.DeleteFunc(slices.Clone(c.addrs), func(a netip.Addr) bool {
			return !r.PrivateMX && scopeOf(a) != public
		})
		usable = r.order(usable)
		usable = usable[:min(len(usable), left)]
		if len(usable) > 0 {
			hops = append(hops, Hop{Host: c.Host, Addrs: usable, Port: r.port(), Need: need})
			left -= len(usable)
		}
	}
	return hops
}

// explain says why no host is left. What may change comes first, so that nothing bounces that has a chance.
//
// An exchanger with a private address is refused for now only: most often it is an inner network's own, found by an
// inner name server, and one line of our configuration away from working. One on loopback, or nowhere, is what domains
// publish that take no mail; waiting does not help their senders.
func (r *Router) explain(domain string, implicit, own bool, list []candidate) error {
	for _, c := range list {
		if c.err != nil && !errors.Is(c.err, dns.ErrNoData) && !errors.Is(c.err, dns.ErrNotFound) {
			return &spool.Error{Status: noAnswer, Err: c.err}
		}
	}
	if host, a, ok := r.refusedAddr(list, private); ok {
		return spool.Errorf(refused, "the mail exchanger %s of %s has the private address %s (delivery.private_mx allows it)", host, domain, a)
	}
	if own {
		return spool.Errorf(loop, "mail for %s loops back to this host: it is the best mail exchanger and does not take it as local", domain)
	}
	if host, a, ok := r.refusedAddr(list, nowhere); ok {
		return spool.Errorf(noRoute, "the mail exchanger %s of %s has the address %s, where no other host can be", host, domain, a)
	}
	text := "no mail exchanger of " + domain + " has an address"
	if implicit {
		text = "the domain " + domain + " has neither a mail exchanger nor an address"
	}
	for _, c := range list {
		if len(c.addrs) > 0 {
			text = fmt.Sprintf("no mail exchanger of %s can be reached: delivery.ip allows %s only", domain, r.IP)
		}
	}
	return spool.Errorf(noRoute, "%s", text)
}

// refusedAddr finds an address of that scope which would be tried otherwise.
func (r *Router) refusedAddr(list []candidate, s scope) (string, netip.Addr, bool) {
	if r.PrivateMX {
		return "", netip.Addr{}, false
	}
	for _, c := range list {
		for _, a := range c.addrs {
			if scopeOf(a) == s && len(r.order([]netip.Addr{a})) > 0 {
				return c.Host, a, true
			}
		}
	}
	return "", netip.Addr{}, false
}
