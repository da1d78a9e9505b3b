package route

import "net/netip"

// Hop is one host to be tried, with its addresses in the order they are to be tried.
type Hop struct {
	Host  string // name in A-labels, without trailing dot, or an address literal; it is the SNI name
	Addrs []netip.Addr
	Port  uint16
	Need  Security
}

// Security is how safe the way to a hop must be.
type Security uint8

// The grades of Security.
const (
	Opportunistic Security = iota // STARTTLS when offered, whatever the certificate; in clear otherwise (RFC 7435)
	Plain                         // never TLS
	Encrypt                       // TLS or defer, whatever the certificate
	Verify                        // TLS with a certificate that verifies for Host, or defer
)
