package config

import (
	"net/netip"
	"slices"
	"strings"

	"signpost/compat/rewrite"
	"signpost/compat/settings"
)

// check goes through a configuration just read from a file, brings values into their canonical form and notes what
// cannot be meant. A value of the wrong type has been noted before, and its field still holds the default.
type check struct {
	*settings.Document
	c *Config
}

func at(names ...string) settings.Key { return settings.At(names...) }

func (k check) all() {
	k.top()
	k.c.Spool.Check(k.Document)
	k.rewrite()
	k.dns()
	k.delivery()
	k.routes()
	k.dkim()
	k.local()
	k.rootLoop()
	k.log()
}

func (k check) top() {
	k.account(at("user"), k.c.User)
	k.mailTo(at("postmaster"), k.c.Postmaster)
	if k.c.Root != "" {
		k.mailTo(at("root"), k.c.Root)
	}
}

func (k check) rewrite() {
	_, faults := rewrite.New(k.c.Rewrite.Senders)
	for _, f := range faults {
		at := at("rewrite", "senders", f.Pattern)
		if f.Target {
			k.Faultf(at, "%v", f.Err)
		} else {
			k.NameFaultf(at, "%v", f.Err)
		}
	}
}

func (k check) dns() {
	for i, s := range k.c.DNS.Servers {
		server, err := addrPort(s, 53)
		if err != nil {
			k.Faultf(at("dns", "servers").Elem(i), "%v", err)
			continue
		}
		k.c.DNS.Servers[i] = server
	}
	k.notZero(at("dns", "timeout"), k.c.DNS.Timeout)
}

func (k check) delivery() {
	d := &k.c.Delivery
	k.retry(d)
	k.between(at("delivery", "port"), d.Port, 1, 65535)
	k.between(at("delivery", "connections"), d.Connections, 1, maxConnections)
	k.oneOf(at("delivery", "tls"), d.TLS, tlsGrades)
	k.oneOf(at("delivery", "ip"), d.IP, ipFamilies)
	k.sources(d)
	k.mode(d)
}

const maxConnections = 1000

var (
	tlsGrades  = []string{TLSNone, TLSOpportunistic, TLSRequire, TLSVerify}
	ipFamilies = []string{"both", "ipv4", "ipv6"}
)

func (k check) retry(d *Delivery) {
	retry, expire, warning := at("delivery", "retry"), at("delivery", "expire"), at("delivery", "delay_warning")
	if len(d.Retry) == 0 {
		k.Faultf(retry, "must not be empty: say when to try again, such as [\"1m\", \"15m\", \"1h\"]")
		return
	}
	for i, r := range d.Retry {
		k.notZero(retry.Elem(i), r)
	}
	k.notZero(expire, d.Expire)
	if d.Expire > 0 && d.Expire < d.Retry[0] {
		where := expire
		if !k.Has(expire) {
			where = retry.Elem(0)
		}
		k.Faultf(where, "expire is %q and the first retry comes after %q: nothing would ever be tried again", d.Expire, d.Retry[0])
	}
	if d.DelayWarning < d.Expire || d.DelayWarning == 0 {
		return
	}
	if k.Has(warning) {
		k.Faultf(warning, "must be less than expire, which is %q; \"0\" is for no warning", d.Expire)
		return
	}
	d.DelayWarning = 0 // the default, where messages bounce before it
}

func (k check) sources(d *Delivery) {
	source, families := at("delivery", "source"), map[bool]bool{}
	for i, s := range d.Source {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
			k.Faultf(source.Elem(i), "must be an IP address of this host, not %q", s)
			continue
		}
		d.Source[i] = addr.Unmap().String()
		families[addr.Unmap().Is4()] = true
	}
	if len(d.Source) > 0 && (d.IP == "ipv4" && !families[true] || d.IP == "ipv6" && !families[false]) {
		k.Faultf(source, "has no address to send from while ip is %q", d.IP)
	}
}

func (k check) routes() {
	for i := range k.c.Routes {
		k.route(at("route").Elem(i), &k.c.Routes[i])
	}
}

func (k check) route(r settings.Key, route *Route) {
	k.patterns(r.Sub("to"), route.To, false)
	k.patterns(r.Sub("from"), route.From, true)
	k.relays(r.Sub("relay"), route)
	if k.Has(r.Sub("connections")) {
		k.between(r.Sub("connections"), route.Connections, 1, maxConnections)
	} else {
		route.Connections = k.c.Delivery.Connections
	}
	if k.Has(r.Sub("tls")) {
		k.oneOf(r.Sub("tls"), route.TLS, tlsGrades)
	} else {
		route.TLS = k.c.Delivery.TLS
	}
	k.relayTLS(r.Sub("tls"), route)
}

// relays checks the list and drops the empty relay, which is written for "by MX" and stands alone.
func (k check) relays(at settings.Key, route *Route) {
	none := func(r Relay) bool { return r == Relay{} }
	if len(route.Relay) > 1 && slices.ContainsFunc(route.Relay, none) {
		k.Faultf(at.Elem(slices.IndexFunc(route.Relay, none)), "must not be empty beside other relays: \"\" alone is for the recipient domain's own exchangers")
	}
	route.Relay = slices.DeleteFunc(route.Relay, none)
}

// relayTLS settles what holds where the scheme of a relay demands TLS and the key tls forbids it.
func (k check) relayTLS(at settings.Key, route *Route) {
	demanded := slices.ContainsFunc(route.Relay, func(r Relay) bool { return r.StartTLS })
	if !demanded || route.TLS != TLSNone {
		return
	}
	if k.Has(at) {
		k.Faultf(at, "must not be %q where a relay is %s://", TLSNone, schemeStartTLS)
		return
	}
	route.TLS = TLSOpportunistic // the scheme asks for more where it is meant
}

func (k check) dkim() {
	type name struct{ domain, selector string }
	seen := map[name]bool{}
	for i := range k.c.DKIM {
		e, at := &k.c.DKIM[i], at("dkim").Elem(i)
		if e.Domain == "" {
			k.Faultf(at.Sub("domain"), "is missing: the domain of From: addresses, such as \"example.org\"")
		}
		k.domain(at.Sub("domain"), &e.Domain)
		k.selector(at.Sub("selector"), &e.Selector)
		if e.Key == "" {
			k.Faultf(at.Sub("key"), "is missing: the path of the key file, such as \"dkim/example.org.2026a.pem\"")
		}
		k.Abs(at.Sub("key"), &e.Key)
		k.headers(at.Sub("headers"), e.Headers)
		n := name{e.Domain, e.Selector}
		if seen[n] && e.Domain != "" && e.Selector != "" {
			k.Faultf(at.Sub("selector"), "%q is there twice for %s: each key of a domain has a selector of its own", e.Selector, e.Domain)
		}
		seen[n] = true
	}
}

// selector checks labels that stand before ._domainkey (RFC 6376 3.1).
func (k check) selector(at settings.Key, selector *string) {
	if *selector == "" {
		k.Faultf(at, "is missing: the name of the key in DNS, such as \"2026a\"")
		return
	}
	clean, err := settings.Name(*selector)
	if err != nil {
		k.Faultf(at, "must be a name such as \"2026a\", not %q", *selector)
		return
	}
	*selector = clean
}

// headers checks names of header fields (RFC 5322 2.2). A signature without From is none (RFC 6376 5.4).
func (k check) headers(at settings.Key, names []string) {
	for i, n := range names {
		bad := strings.ContainsFunc(n, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' || r == ';' })
		if n == "" || bad {
			k.Faultf(at.Elem(i), "must be the name of a header field, not %q", n)
		}
	}
	isFrom := func(n string) bool { return strings.EqualFold(n, "From") }
	if len(names) > 0 && !slices.ContainsFunc(names, isFrom) {
		k.Faultf(at, "must hold \"From\": no signature is valid without it")
	}
}

func (k check) local() {
	l := &k.c.Local
	k.localDomains(l)
	k.mailbox(l)
	k.Abs(at("local", "aliases"), &l.Aliases)
	if l.Extension != "" && (len(l.Extension) != 1 || !strings.Contains("+-=_.#", l.Extension)) {
		k.Faultf(at("local", "extension"), "must be one of + - = _ . # or empty, not %q", l.Extension)
	}
	k.notZero(at("local", "pipe_timeout"), l.PipeTimeout)
	for i, p := range l.Programs {
		k.oneOf(at("local", "programs").Elem(i), p, []string{"aliases", "forward"})
	}
	k.account(at("local", "run_as"), l.RunAs)
	if l.RunAs == "root" {
		k.Faultf(at("local", "run_as"), "must not be \"root\": who can write to the aliases file could run anything")
	}
}

func (k check) localDomains(l *Local) {
	if !k.Has(at("local", "domains")) {
		return // what is wrong with the hostname has been said
	}
	for i := range l.Domains {
		d := at("local", "domains").Elem(i)
		if l.Domains[i] == "" {
			k.Faultf(d, "must not be empty")
		}
		k.domain(d, &l.Domains[i])
	}
}

// rootLoop finds root's mail going to root.
func (k check) rootLoop() {
	name, domain, _ := cutLast(strings.ToLower(k.c.Root), "@")
	if name == "root" && (domain == "" || slices.Contains(k.c.Local.Domains, domain)) {
		k.Faultf(at("root"), "must not be root on this host: the mail would go round in a circle")
	}
}

func (k check) mailbox(l *Local) {
	at := at("local", "mailbox")
	rest := strings.NewReplacer("{user}", "", "{home}", "").Replace(l.Mailbox)
	switch {
	case l.Mailbox == "":
		k.Faultf(at, "must not be empty; without the key it is %q", fixed().Local.Mailbox)
	case strings.Contains(l.Mailbox, "://"):
		k.Faultf(at, "must be the path of a file (mbox) or end in \"/\" (Maildir), not %q", l.Mailbox)
	case strings.ContainsAny(rest, "{}"):
		k.Faultf(at, "may hold {user} and {home}, and no other braces, unlike %q", l.Mailbox)
	case rest == l.Mailbox:
		k.Faultf(at, "must hold {user} or {home}, or all users would share one mailbox: such as \"/var/mail/{user}\"")
	case strings.Index(l.Mailbox, "{home}") > 0:
		k.Faultf(at, "must have {home} at its beginning, since it is a whole path")
	case !strings.HasPrefix(l.Mailbox, "{home}"):
		maildir := strings.HasSuffix(l.Mailbox, "/")
		k.Abs(at, &l.Mailbox)
		if maildir && !strings.HasSuffix(l.Mailbox, "/") {
			l.Mailbox += "/" // cleaned away with the rest
		}
	}
}

func (k check) log() {
	k.oneOf(at("log", "format"), k.c.Log.Format, []string{"text", "json"})
	k.oneOf(at("log", "level"), k.c.Log.Level, []string{"debug", "info", "warn", "error"})
}
