package route

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// scope says whether an address found in a stranger's DNS may be connected to.
type scope uint8

const (
	public  scope = iota
	private       // an address of some inner network
	nowhere       // no address of any other host: loopback, link-local, multicast, unspecified, reserved
)

// The networks that are not public (RFC 6890). Ranges for documentation are left in: nobody answers there, and no
// inner service can.
var (
	nowheres = prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "fe80::/10", "ff00::/8")
	privates = prefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15",
		"fc00::/7", "fec0::/10")
	nat64    = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: an IPv4 address in the last 4 octets
	sixToFor = netip.MustParsePrefix("2002::/16")    // RFC 3056: one behind the first 2
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func scopeOf(a netip.Addr) scope {
	a = plainAddr(a)
	switch {
	case within(nowheres, a):
		return nowhere
	case within(privates, a):
		return private
	case nat64.Contains(a):
		b := a.As16()
		return scopeOf(netip.AddrFrom4([4]byte(b[12:])))
	case sixToFor.Contains(a):
		b := a.As16()
		return scopeOf(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return public
}

// plainAddr is a without a zone, and as IPv4 where it only wraps one.
func plainAddr(a netip.Addr) netip.Addr { return a.WithZone("").Unmap() }

// parseLiteral reads "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 4.1.3). Brackets around a bare IPv6 address are
// common enough to be understood.
func parseLiteral(literal string) (netip.Addr, error) {
	text, ok := strings.CutSuffix(strings.TrimPrefix(literal, "["), "]")
	six := len(text) > 5 && strings.EqualFold(text[:5], "IPv6:")
	if six {
		text = text[5:]
	}
	a, err := netip.ParseAddr(text)
	if !ok || err != nil || a.Zone() != "" || six && !a.Is6() {
		return netip.Addr{}, fmt.Errorf("%q is not an address literal", literal)
	}
	return plainAddr(a), nil
}

// isOwn reports whether a connection to a at port would come back to us.
func (r *Router) isOwn(a netip.Addr, port uint16) bool {
	a = plainAddr(a)
	return r.isInterface(a) || r.listensAt(a, port)
}

func (r *Router) isInterface(a netip.Addr) bool {
	for _, own := range r.ownAddrs() {
		if plainAddr(own) == a {
			return true
		}
	}
	return false
}

func (r *Router) listensAt(a netip.Addr, port uint16) bool {
	for _, l := range r.Listen {
		host, p, err := net.SplitHostPort(l)
		if err != nil || p != fmt.Sprint(port) {
			continue
		}
		at, err := netip.ParseAddr(host)
		at = plainAddr(at)
		switch {
		case host == "" || err == nil && at.IsUnspecified():
			if a.IsLoopback() || a.IsUnspecified() || r.isInterface(a) {
				return true
			}
		case strings.EqualFold(host, "localhost"):
			if a.IsLoopback() {
				return true
			}
		case err == nil && at == a:
			return true
		}
	}
	return false
}

func (r *Router) ownAddrs() []netip.Addr {
	if r.OwnAddrs == nil {
		return nil
	}
	return r.OwnAddrs()
}

// order gives the addresses in the order they are to be tried (RFC 8305 4): the families in turn, IPv6 first where this
// host has a public address of it, else last but not left out; each family shuffled, to spread the load.
func (r *Router) order(list []netip.Addr) []netip.Addr {
	var four, six []netip.Addr
	for _, a := range list {
		if a = plainAddr(a); a.Is4() && r.IP != IPv6 {
			four = append(four, a)
		} else if a.Is6() && r.IP != IPv4 {
			six = append(six, a)
		}
	}
	shuffle(four, r.intn)
	shuffle(six, r.intn)
	if r.hasIPv6() {
		return interleave(six, four)
	}
	return interleave(four, six)
}

func (r *Router) hasIPv6() bool {
	for _, a := range r.ownAddrs() {
		if a = plainAddr(a); a.Is6() && scopeOf(a) == public {
			return true
		}
	}
	return false
}

func interleave(first, second []netip.Addr) []netip.Addr {
	all := make([]netip.Addr, 0, len(first)+len(second))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			all = append(all, first[i])
		}
		if i < len(second) {
			all = append(all, second[i])
		}
	}
	return all
}

// shuffle puts list in random order (Fisher and Yates).
func shuffle[T any](list []T, intn func(int) int) {
	for i := len(list) - 1; i > 0; i-- {
		j := intn(i + 1)
		list[i], list[j] = list[j], list[i]
	}
}

// interfaceAge is how old the list of Interfaces may be: reading it is a system call an attempt otherwise.
const interfaceAge = 30 * time.Second

// Interfaces makes an OwnAddrs of the addresses of this host's interfaces but loopback ones.
func Interfaces() func() []netip.Addr {
	var mu sync.Mutex
	var list []netip.Addr
	var until time.Time
	return func() []netip.Addr {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.After(until) {
			if fresh, err := interfaces(); err == nil {
				list = fresh
			}
			until = now.Add(interfaceAge)
		}
		return list
	}
}

func interfaces() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	var list []netip.Addr
	for _, n := range all {
		p, ok := n.(*net.IPNet)
		if !ok {
			return nil, errors.New("an interface's address is not an IP address")
		}
		if a, ok := netip.AddrFromSlice(p.IP); ok && !a.Unmap().IsLoopback() {
			list = append(list, plainAddr(a))
		}
	}
	return list, err
}
