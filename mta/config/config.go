// Package config reads signpost.toml into checked settings.
//
// Default is a full configuration; a file is laid over it. Read reports all that is wrong with a file at once, in the
// order of the file, each as file:line:column: key: what is wrong and what would be right: unknown keys, wrong types,
// values that cannot be meant, and contradictions between keys. It opens no other file but those below /etc that tell
// the host's name: whether a key file or a spool is usable is found by its owner at start.
//
// A Config is a plain value: what it says is in force, with every default filled in. Only mta and the commands import
// this package; the others get plain fields.
package config

import (
	"errors"
	"io/fs"

	"signpost/compat/settings"
)

// Config is what is in force. Names of domains and hosts are in lower case, without a trailing dot, in A-labels
// (RFC 5890 2.3.2.1); paths are absolute.
type Config struct {
	Hostname   string `toml:"hostname"`   // said in EHLO and Received
	Origin     string `toml:"origin"`     // domain of addresses without one
	User       string `toml:"user"`       // account the daemon becomes when started as root
	Postmaster string `toml:"postmaster"` // gets what nobody else can get; a local name or an address
	Root       string `toml:"root"`       // gets root's mail, before aliases; empty: as the aliases say

	Spool    settings.Spool   `toml:"spool"`
	Rewrite  settings.Rewrite `toml:"rewrite"`
	DNS      DNS              `toml:"dns"`
	Delivery Delivery         `toml:"delivery"`
	Routes   []Route          `toml:"route"`
	DKIM     []DKIM           `toml:"dkim"`
	Local    Local            `toml:"local"`
	Log      Log              `toml:"log"`
}

// DNS is the table [dns].
type DNS struct {
	Servers []string          `toml:"servers"` // ip:port each; none: those of /etc/resolv.conf
	Timeout settings.Duration `toml:"timeout"` // of one look-up
}

// The grades of security that the keys tls take.
const (
	TLSNone          = "none"          // never TLS
	TLSOpportunistic = "opportunistic" // STARTTLS when offered, whatever the certificate
	TLSRequire       = "require"       // TLS or no delivery, whatever the certificate
	TLSVerify        = "verify"        // TLS with a certificate that verifies, or no delivery
)

// What the key mode takes.
const (
	ModeNormal   = "normal"   // mail goes where it is addressed to
	ModeCatch    = "catch"    // all mail ends in the Maildir Catch
	ModeRedirect = "redirect" // all mail goes to the address Redirect
	ModeAllow    = "allow"    // mail goes to whom Allow names; other mail is caught
)

// Delivery is the table [delivery]: mail to other hosts, and, in its Mode, whether mail goes anywhere.
type Delivery struct {
	Expire       settings.Duration  `toml:"expire"`        // then a message bounces
	DelayWarning settings.Duration  `toml:"delay_warning"` // then its sender is told once; 0: never
	Retry        settings.Durations `toml:"retry"`         // between attempts; the last one repeats; never empty
	Port         int                `toml:"port"`          // of mail exchangers found in DNS
	Connections  int                `toml:"connections"`   // to one destination at once
	TLS          string             `toml:"tls"`           // TLSNone…
	IP           string             `toml:"ip"`            // "both", "ipv4", "ipv6"
	Source       []string           `toml:"source"`        // addresses to send from; none: the kernel chooses
	PrivateMX    bool               `toml:"private_mx"`    // a host found in DNS may have a private or loopback address
	Mode         string             `toml:"mode"`          // ModeNormal…
	Catch        string             `toml:"catch"`         // Maildir, ends in "/"
	Redirect     string             `toml:"redirect"`      // an address; empty: none
	Allow        []string           `toml:"allow"`         // an address, or a domain as in Route.To without "*"
}

// Route is one [[route]]. The first whose From and To both match decides.
type Route struct {
	To          []string `toml:"to"`    // recipient domains: "example.com", ".example.com" (it and those below), "*"
	From        []string `toml:"from"`  // senders: an address, or a domain as in To; "<>" is the null sender
	Relay       Relays   `toml:"relay"` // tried in order; none: the recipient domain's own exchangers
	Connections int      `toml:"connections"`
	Rate        Rate     `toml:"rate"` // to one destination
	TLS         string   `toml:"tls"`
	DKIM        bool     `toml:"dkim"` // false: mail on this route is not signed
}

// SetDefault makes a route that matches everything. Connections and TLS are those of [delivery] where the file does
// not set them.
func (r *Route) SetDefault() {
	*r = Route{To: []string{"*"}, From: []string{"*"}, Relay: Relays{}, DKIM: true}
}

// DKIM is one [[dkim]]: a key, and the From: domains it signs for.
type DKIM struct {
	Domain     string   `toml:"domain"`
	Selector   string   `toml:"selector"`
	Key        string   `toml:"key"`        // path of the PEM file
	Headers    []string `toml:"headers"`    // names of fields to sign; none: the signer's own list
	Subdomains bool     `toml:"subdomains"` // also for domains below Domain
}

// SetDefault makes an entry with empty lists.
func (d *DKIM) SetDefault() { *d = DKIM{Headers: []string{}} }

// Local is the table [local]: delivery on this host.
type Local struct {
	Domains     []string          `toml:"domains"`
	Mailbox     string            `toml:"mailbox"`      // template with {user} and {home}; ending in "/": Maildir, else mbox
	Aliases     string            `toml:"aliases"`      // path; empty: no aliases file
	Forward     bool              `toml:"forward"`      // whether users' ~/.forward are gone by
	Extension   string            `toml:"extension"`    // one character that parts user and detail; empty: none
	PipeTimeout settings.Duration `toml:"pipe_timeout"` // of one program
	Programs    []string          `toml:"programs"`     // where |program and /file are honoured: "aliases", "forward"
	RunAs       string            `toml:"run_as"`       // account that runs the programs of the aliases file
}

// Log is the table [log].
type Log struct {
	Format  string            `toml:"format"`  // "text", "json"
	Level   string            `toml:"level"`   // "debug", "info", "warn", "error"
	History settings.Duration `toml:"history"` // how long a message that has left is remembered; 0: not at all
}

// Default is what is in force without a file, on this host.
func Default() Config {
	c := fixed()
	c.complete()
	return c
}

// complete fills in what depends on the host and on other keys.
func (c *Config) complete() {
	if c.Hostname == "" {
		c.Hostname = settings.FindHostname()
	}
	if c.Origin == "" {
		c.Origin = settings.FindOrigin(c.Hostname)
	}
	if c.Local.Domains == nil {
		c.Local.Domains = []string{"localhost", c.Hostname} // and the origin, when it is the hostname
	}
}

// fixed is the part of Default that is the same on every host.
func fixed() Config {
	return Config{
		User:       "signpost",
		Postmaster: "root",
		Spool:      settings.DefaultTable(),
		Rewrite:    settings.DefaultRewrite(),
		DNS:        DNS{Servers: []string{}, Timeout: 5 * second},
		Delivery: Delivery{
			Expire:       5 * day,
			DelayWarning: 4 * hour,
			Retry:        settings.Durations{minute, 5 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 4 * hour},
			Port:         25,
			Connections:  20,
			TLS:          TLSOpportunistic,
			IP:           "both",
			Source:       []string{},
			Mode:         ModeNormal,
			Catch:        catchIn(settings.DefaultSpool),
			Allow:        []string{},
		},
		Local: Local{
			Mailbox:     "/var/mail/{user}",
			Aliases:     settings.DefaultAliases,
			Forward:     true,
			Extension:   "+",
			PipeTimeout: 5 * minute,
			Programs:    []string{"aliases", "forward"},
			RunAs:       "nobody",
		},
		Log: Log{Format: "text", Level: "info", History: 30 * day},
	}
}

const (
	second settings.Duration = 1e9
	minute                   = 60 * second
	hour                     = 60 * minute
	day                      = 24 * hour
)

// Read reads the file at path over the defaults. An empty path means settings.DefaultFile, which need not exist. An
// error about the content is a *settings.Error that holds every fault.
func Read(path string) (Config, error) {
	d, err := settings.Load(path)
	if path == "" && errors.Is(err, fs.ErrNotExist) {
		return Default(), nil
	}
	if err != nil {
		return Config{}, err
	}
	return read(d)
}

func read(d *settings.Document) (Config, error) {
	c := fixed()
	d.Fill(&c)
	d.CheckName(at("hostname"), &c.Hostname)
	d.CheckName(at("origin"), &c.Origin)
	c.complete()
	check{d, &c}.all()
	if err := d.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}
