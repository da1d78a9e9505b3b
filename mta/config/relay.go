package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"signpost/compat/settings"
)

// Relay is a host that takes mail of a route, whatever DNS says of the recipient's domain.
type Relay struct {
	StartTLS bool   // smtp+starttls: no delivery without TLS
	Host     string // name, whose addresses are asked for, not its exchangers; or an IP address
	Port     uint16
}

// Relays is a list of relays; in the file a single string may stand for a list of one, and "" for none.
type Relays []Relay

// OneOrMore lets a single string stand for the list.
func (Relays) OneOrMore() {}

const (
	schemeSMTP     = "smtp"
	schemeStartTLS = "smtp+starttls"
	relayPort      = 25
)

var errRelay = errors.New(`must be such as "smtp://relay.example.net:587" or "smtp+starttls://relay.example.net:587"`)

// UnmarshalText reads scheme://host or scheme://host:port. "" is the zero Relay: none.
func (r *Relay) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Relay{}
		return nil
	}
	scheme, rest, ok := strings.Cut(string(text), "://")
	if !ok || rest == "" {
		return fmt.Errorf("%w, not %q", errRelay, text)
	}
	if scheme != schemeSMTP && scheme != schemeStartTLS {
		return fmt.Errorf("has the scheme %q; %q and %q are known", scheme, schemeSMTP, schemeStartTLS)
	}
	if strings.Contains(rest, "@") {
		return errors.New("must name host and port only: an account has no place in it")
	}
	host, port, err := splitRelay(strings.TrimSuffix(rest, "/"))
	if err != nil {
		return err
	}
	*r = Relay{StartTLS: scheme == schemeStartTLS, Host: host, Port: port}
	return nil
}

// splitRelay splits host:port, where the port may be left out and an IPv6 address stands in brackets.
func splitRelay(text string) (host string, port uint16, err error) {
	host, digits, hasPort := text, "", false
	if end := strings.LastIndexByte(text, ']'); strings.HasPrefix(text, "[") && end > 0 {
		host = text[1:end]
		if text[end+1:] != "" {
			digits, hasPort = strings.CutPrefix(text[end+1:], ":")
			if !hasPort {
				return "", 0, fmt.Errorf("%q behind the address is no port: write %q", text[end+1:], text[:end+1]+":587")
			}
		}
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, fmt.Errorf("%q is no IP address; a name stands without brackets", host)
		}
	} else {
		host, digits, hasPort = strings.Cut(text, ":")
	}
	if strings.Contains(digits, ":") {
		return "", 0, fmt.Errorf("has an IPv6 address without brackets: write %q", "["+text+"]")
	}
	port = relayPort
	if hasPort {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("has the port %q, which is no number from 1 to 65535", digits)
		}
		port = uint16(n)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), port, nil
	}
	host, err = settings.Name(ascii(host))
	return host, port, err
}

// String writes r as UnmarshalText reads it.
func (r Relay) String() string {
	if r.Host == "" {
		return ""
	}
	scheme, host := schemeSMTP, r.Host
	if r.StartTLS {
		scheme = schemeStartTLS
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s://%s:%d", scheme, host, r.Port)
}

// MarshalText is String.
func (r Relay) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
