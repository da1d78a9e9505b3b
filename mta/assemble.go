package mta

import (
	"context"
	"slices"
	"time"

	"signpost/compat/header"
	"signpost/compat/rewrite"
	"signpost/mta/config"
	"signpost/mta/dns"
	"signpost/mta/intake"
	"signpost/mta/local"
	"signpost/mta/queue"
	"signpost/mta/route"
	"signpost/mta/sign"
)

// parts is what a configuration makes; a reload replaces all of it.
type parts struct {
	intake    *intake.Intake
	notices   *notices
	deliverer *deliverer
	options   queue.Options
	outlet    *outlet
	mode      *mode
}

// assemble gives every part its settings. Keys are read here: a bad one is an error, not unsigned mail. The mode comes
// into force with putInForce.
func (d *Daemon) assemble(cfg config.Config) (*parts, error) {
	signer, err := newSigner(cfg)
	if err != nil {
		return nil, err
	}
	d.lookForHelper()
	mailboxes := d.newMailboxes(cfg)
	d.checkAliases(mailboxes)
	p := &parts{outlet: newOutlet(cfg, &d.gate), mode: newMode(cfg.Delivery)}
	p.options = queue.Options{
		Connections: cfg.Delivery.Connections,
		Retry:       cfg.Delivery.Retry.Std(),
		Expire:      cfg.Delivery.Expire.Std(),
		Warning:     cfg.Delivery.DelayWarning.Std(),
		Note:        d.notes.event,
		Log:         d.log,
	}
	postmaster := header.Qualify(cfg.Postmaster, localDomain(cfg))
	p.deliverer = &deliverer{
		hostname:   cfg.Hostname,
		postmaster: postmaster,
		store:      d.dir,
		local:      mailboxes,
		router:     newRouter(cfg, newResolver(cfg)),
		gate:       &d.gate,
		outlet:     p.outlet,
		forms:      newForms(signer, time.Now),
		now:        time.Now,
		log:        d.log,
		accepted:   d.notes.accepted,
		note:       d.notes.event,
	}
	p.notices = &notices{
		hostname: cfg.Hostname,
		to:       postmaster,
		store:    d.dir,
		now:      time.Now,
		log:      d.log,
		accepted: d.notes.accepted,
		pace:     &d.pace,
	}
	people := newPeople(local.Passwd{}, time.Now)
	p.intake = &intake.Intake{
		Store:    d.dir,
		Hostname: cfg.Hostname,
		Origin:   cfg.Origin,
		Rewrite:  newRules(cfg),
		Align:    alignment(cfg, signer),
		MaxSize:  int64(cfg.Spool.MaxMessageSize),
		User:     people.byUID,
		Account:  people.byName,
		Limits:   newLimits(context.Background(), cfg.Spool.Quota, local.Passwd{}, d.log),
		Counts:   &d.quotas.counts,
		Accepted: d.accepted(p.notices),
		Rejected: p.notices.rejected,
		Log:      d.log,
	}
	return p, nil
}

// putInForce makes p the parts that work from now on. The mode comes first: the others obey it.
func (d *Daemon) putInForce(cfg config.Config, p *parts) {
	d.gate.current.Store(p.mode)
	d.announce(p.mode)
	d.cfg, d.parts = cfg, p
	d.notices.Store(p.notices)
	d.intake.Store(p.intake)
}

// localDomain is a domain that is delivered here, where there is one: what only the postmaster can get must not leave.
func localDomain(cfg config.Config) string {
	switch {
	case slices.Contains(cfg.Local.Domains, cfg.Hostname):
		return cfg.Hostname
	case len(cfg.Local.Domains) > 0:
		return cfg.Local.Domains[0]
	}
	return cfg.Origin
}

func newSigner(cfg config.Config) (*sign.Signer, error) {
	keys := make([]sign.Key, len(cfg.DKIM))
	for i, k := range cfg.DKIM {
		keys[i] = sign.Key{Domain: k.Domain, Selector: k.Selector, Path: k.Key, Headers: k.Headers, Subdomains: k.Subdomains}
	}
	return sign.New(keys)
}

// newRules makes the rules for senders. What is wrong with one, the configuration has said.
func newRules(cfg config.Config) rewrite.Rules {
	rules, _ := rewrite.New(cfg.Rewrite.Senders)
	rules.ASCII = func(domain string) string {
		ascii, err := sign.ASCIIDomain(domain)
		if err != nil {
			return domain
		}
		return ascii
	}
	return rules
}

// alignment is what intake.Intake.Align wants.
func alignment(cfg config.Config, signer *sign.Signer) func(string) (string, bool) {
	if !cfg.Rewrite.Align {
		return nil
	}
	return func(from string) (string, bool) {
		domain, err := sign.ASCIIDomain(from)
		return domain, err == nil && signer.Signs(domain)
	}
}

func newResolver(cfg config.Config) *dns.Client {
	return dns.New(dns.Options{Servers: cfg.DNS.Servers, Timeout: cfg.DNS.Timeout.Std()})
}

func (d *Daemon) newMailboxes(cfg config.Config) *local.Mailboxes {
	return &local.Mailboxes{
		Domains:     cfg.Local.Domains,
		Hostname:    cfg.Hostname,
		Origin:      cfg.Origin,
		Mailbox:     cfg.Local.Mailbox,
		Aliases:     cfg.Local.Aliases,
		Root:        cfg.Root,
		Postmaster:  cfg.Postmaster,
		Extension:   cfg.Local.Extension,
		PipeTimeout: cfg.Local.PipeTimeout.Std(),
		Programs:    slices.Contains(cfg.Local.Programs, "aliases"),
		RunAs:       cfg.Local.RunAs,
		Forward:     cfg.Local.Forward,
		Helper:      d.deliver,
		OwnAddrs:    route.Interfaces(),

		ForwardPrograms: slices.Contains(cfg.Local.Programs, "forward"),
		Warn:            func(err error) { d.log.Warn("aliases", "err", err) },
	}
}

// checkAliases tells of mistakes in the aliases file now, rather than when mail comes that needs the line.
func (d *Daemon) checkAliases(m *local.Mailboxes) {
	warnings, err := m.Check()
	if err != nil {
		d.log.Warn("the aliases file cannot be used; mail for local users waits", "err", err)
	}
	for _, w := range warnings {
		d.log.Warn("aliases", "err", w.String())
	}
}

var security = map[string]route.Security{
	config.TLSNone:          route.Plain,
	config.TLSOpportunistic: route.Opportunistic,
	config.TLSRequire:       route.Encrypt,
	config.TLSVerify:        route.Verify,
}

func newRouter(cfg config.Config, resolver dns.Resolver) *route.Router {
	r := &route.Router{
		Resolver:  resolver,
		Hostname:  cfg.Hostname,
		OwnAddrs:  route.Interfaces(),
		Port:      uint16(cfg.Delivery.Port),
		IP:        cfg.Delivery.IP,
		Security:  security[cfg.Delivery.TLS],
		PrivateMX: cfg.Delivery.PrivateMX,
	}
	for _, c := range cfg.Routes {
		need := security[c.TLS]
		rule := route.Rule{To: c.To, From: c.From, Connections: c.Connections, Security: &need, NoDKIM: !c.DKIM,
			Messages: c.Rate.Messages, Per: c.Rate.Per.Std()}
		for _, relay := range c.Relay {
			rule.Relays = append(rule.Relays, route.Relay{Host: relay.Host, Port: relay.Port, StartTLS: relay.StartTLS})
		}
		r.Routes = append(r.Routes, rule)
	}
	return r
}
