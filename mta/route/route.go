// Package route decides which hosts may take a recipient's mail and how safe the way must be.
//
// The first Rule that matches recipient and sender names the relays; without one, or with a rule that names none, the
// mail exchangers of the recipient's domain do (RFC 5321 5.1). What cannot be decided now is always a temporary error;
// a permanent one says that asking again is of no use. Local recipients do not come here, and nothing is connected to.
package route

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"signpost/mta/dns"
	"signpost/spool"
)

// The families of addresses that Router.IP knows.
const (
	BothFamilies = "both"
	IPv4         = "ipv4"
	IPv6         = "ipv6"
)

// Router finds routes. Its fields must not be changed while it is used. Safe for concurrent use.
type Router struct {
	Resolver  dns.Resolver
	Routes    []Rule // the first that matches decides
	Port      uint16 // where mail exchangers listen; 0: 25
	IP        string // which addresses are used: BothFamilies, IPv4 or IPv6; empty: both
	PrivateMX bool   // exchangers found in DNS may have loopback and private addresses
	Security  Security

	Hostname string              // our own name: an exchanger so named is ourselves
	OwnAddrs func() []netip.Addr // addresses of this host that are not loopback (see Interfaces); nil: none is known
	Listen   []string            // host:port that we take SMTP at; an empty or unspecified host is all of this host's

	Rand func(n int) int // a number from 0 to n-1; nil: of math/rand
}

// Rule is one [[route]] of the configuration.
//
// A pattern of To is "example.com" (this domain), ".example.com" (it and all below), "[192.0.2.1]" (an address
// literal) or "*". One of From is also a whole address, or "<>" for the null reverse-path, which else matches "*" only.
// An empty list is "*".
type Rule struct {
	To, From    []string
	Relays      []Relay   // in the order to be tried; none: the exchangers of the domain
	Security    *Security // nil: the Router's
	Connections int       // at once; 0: not said
	NoDKIM      bool      // mail goes out unsigned

	Messages int // at most so many to one destination in the time Per; 0: any number
	Per      time.Duration
}

// Relay is a configured host. It is looked up as a host, not as a mail domain, and may have a private address.
type Relay struct {
	Host     string // a name, or an address with or without brackets
	Port     uint16 // 0: 25
	StartTLS bool   // TLS is a must: at least Encrypt
}

// Route is where mail for a recipient goes.
type Route struct {
	Key         string // as Router.Key
	Hops        []Hop  // to be tried in order; never empty where there is no error
	NoDKIM      bool   // of the rule
	Connections int    // of the rule; 0: not said
}

const (
	smtpPort = 25
	maxAddrs = dns.MaxAddrs // of all hops together: what one attempt may look at
)

// Key names the destination of rcpt mail from sender (both without brackets). Recipients with equal keys have equal
// hops and security, so that one transaction may serve them. There is no look-up. A key can be shown to people.
func (r *Router) Key(rcpt, sender string) string {
	domain := domainOf(rcpt)
	no := r.match(domain, sender)
	if no < 0 {
		return domain
	}
	if relays := r.Routes[no].Relays; len(relays) > 0 {
		names := make([]string, len(relays))
		for i, relay := range relays {
			names[i] = relay.String()
		}
		domain = strings.Join(names, ",")
	}
	return domain + " (route " + strconv.Itoa(no+1) + ")"
}

// Connections is how many connections at once the rule behind a key of Router.Key allows; 0: it does not say.
func (r *Router) Connections(key string) int { return r.behind(key).Connections }

// Rate is how many messages in what time the rule behind a key of Router.Key allows; 0: any number.
func (r *Router) Rate(key string) (messages int, per time.Duration) {
	rule := r.behind(key)
	return rule.Messages, rule.Per
}

// behind is the rule behind a key; the zero Rule where there is none.
func (r *Router) behind(key string) Rule {
	_, tail, ok := strings.Cut(key, " (route ")
	if !ok {
		return Rule{}
	}
	no, err := strconv.Atoi(strings.TrimSuffix(tail, ")"))
	if err != nil || no < 1 || no > len(r.Routes) {
		return Rule{}
	}
	return r.Routes[no-1]
}

// NoDKIM reports whether mail to rcpt from sender goes out unsigned. There is no look-up.
func (r *Router) NoDKIM(rcpt, sender string) bool {
	no := r.match(domainOf(rcpt), sender)
	return no >= 0 && r.Routes[no].NoDKIM
}

// String is the relay as in the configuration.
func (r Relay) String() string {
	scheme := "smtp://"
	if r.StartTLS {
		scheme = "smtp+starttls://"
	}
	host := bareHost(r.Host)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + host + ":" + strconv.Itoa(int(r.port()))
}

func (r Relay) port() uint16 {
	if r.Port == 0 {
		return smtpPort
	}
	return r.Port
}

func bareHost(host string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// domainOf is what stands behind the last @ of addr, as A-labels where it can be made so, in small letters.
func domainOf(addr string) string {
	domain := addr[strings.LastIndexByte(addr, '@')+1:]
	if a, err := dns.ToASCII(domain); err == nil {
		return a
	}
	return strings.ToLower(domain)
}

// match is the index of the first rule for mail to domain from sender, or -1.
func (r *Router) match(domain, sender string) int {
	for i, rule := range r.Routes {
		if matchAny(rule.To, func(p string) bool { return matchDomain(p, domain) }) &&
			matchAny(rule.From, func(p string) bool { return matchSender(p, sender) }) {
			return i
		}
	}
	return -1
}

func matchAny(patterns []string, match func(string) bool) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return p == "*" || match(p) })
}

func matchDomain(pattern, domain string) bool {
	name, below := strings.CutPrefix(pattern, ".")
	name = domainOf(name)
	return name != "" && (domain == name || below && strings.HasSuffix(domain, "."+name))
}

func matchSender(pattern, sender string) bool {
	if sender == "" {
		return pattern == "<>"
	}
	return Matches(pattern, sender)
}

// Matches reports whether pattern names addr (without brackets): "ann@example.com", "example.com" (this domain),
// ".example.com" (it and all below) or an address literal. No pattern names everybody.
func Matches(pattern, addr string) bool {
	switch {
	case strings.Contains(pattern, "@"):
		return sameAddress(pattern, addr)
	case !strings.Contains(addr, "@"):
		return false
	}
	return matchDomain(pattern, domainOf(addr))
}

// sameAddress compares addresses. Letter case of the local part makes no difference: rules are written by people.
func sameAddress(a, b string) bool {
	return domainOf(a) == domainOf(b) &&
		strings.EqualFold(a[:max(0, strings.LastIndexByte(a, '@'))], b[:max(0, strings.LastIndexByte(b, '@'))])
}

// Route finds the hosts that may take mail for rcpt from sender (both without brackets), in the order they are to be
// tried: by preference, equals shuffled, ourselves and worse removed. No MX means the domain itself; a null MX
// (RFC 7505) is 5.1.10. A look-up that could not be completed is 4.4.3, never permanent. Every error is a *spool.Error;
// all of the Route but Hops is good even then.
func (r *Router) Route(ctx context.Context, rcpt, sender string) (Route, error) {
	way := Route{Key: r.Key(rcpt, sender)}
	need, relays := r.Security, []Relay(nil)
	if no := r.match(domainOf(rcpt), sender); no >= 0 {
		rule := r.Routes[no]
		way.NoDKIM, way.Connections, relays = rule.NoDKIM, rule.Connections, rule.Relays
		if rule.Security != nil {
			need = *rule.Security
		}
	}
	var err error
	if len(relays) > 0 {
		way.Hops, err = r.byRelays(ctx, relays, need)
	} else {
		way.Hops, err = r.byDomain(ctx, rcpt, need)
	}
	return way, err
}

// byDomain finds the hosts of the recipient's own domain.
func (r *Router) byDomain(ctx context.Context, rcpt string, need Security) ([]Hop, error) {
	at := strings.LastIndexByte(rcpt, '@')
	domain := rcpt[at+1:]
	if at < 0 || domain == "" {
		return nil, spool.Errorf(badSyntax, "the address %q has no domain", rcpt)
	}
	if strings.HasPrefix(domain, "[") {
		return r.byLiteral(domain, need)
	}
	if _, err := netip.ParseAddr(domain); err == nil {
		return nil, spool.Errorf(badSyntax, "the address literal in %q lacks its brackets", rcpt)
	}
	name, err := dns.ToASCII(domain)
	if err != nil {
		return nil, &spool.Error{Status: badSyntax, Err: err}
	}
	return r.byMX(ctx, name, need)
}

// byLiteral goes to the address itself (RFC 5321 4.1.3). Who writes one means it, so it may be private.
func (r *Router) byLiteral(literal string, need Security) ([]Hop, error) {
	a, err := parseLiteral(literal)
	if err != nil {
		return nil, &spool.Error{Status: badSyntax, Err: err}
	}
	if r.isOwn(a, r.port()) {
		return nil, spool.Errorf(loop, "mail for %s loops back to this host", literal)
	}
	list := r.order([]netip.Addr{a})
	if len(list) == 0 {
		return nil, spool.Errorf(noRoute, "%s cannot be reached: delivery.ip allows %s only", literal, r.IP)
	}
	return []Hop{{Host: literal, Addrs: list, Port: r.port(), Need: need}}, nil
}

func (r *Router) port() uint16 {
	if r.Port == 0 {
		return smtpPort
	}
	return r.Port
}

// intn is a random number from 0 to n-1.
func (r *Router) intn(n int) int {
	if r.Rand == nil {
		return rand.IntN(n)
	}
	return r.Rand(n)
}

// The statuses of routing (RFC 3463, RFC 7505).
var (
	badSyntax = spool.Status{Class: 5, Subject: 1, Detail: 3}
	noDomain  = spool.Status{Class: 5, Subject: 1, Detail: 2}
	nullMX    = spool.Status{Class: 5, Subject: 1, Detail: 10}
	noRoute   = spool.Status{Class: 5, Subject: 4, Detail: 4}
	loop      = spool.Status{Class: 5, Subject: 4, Detail: 6}
	noAnswer  = spool.Status{Class: 4, Subject: 4, Detail: 3}
	refused   = spool.Status{Class: 4, Subject: 4, Detail: 4}
	badConfig = spool.Status{Class: 4, Subject: 3, Detail: 5}
)
