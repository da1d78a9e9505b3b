package mta

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"signpost/mta/config"
)

// dialer makes every connection to another host.
type dialer struct {
	source []netip.Addr // addresses to send from; the first of the peer's family is taken
}

func newDialer(cfg config.Config) *dialer {
	d := &dialer{}
	for _, s := range cfg.Delivery.Source {
		if a, err := netip.ParseAddr(s); err == nil { // config has checked it
			d.source = append(d.source, a)
		}
	}
	return d
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	peer, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("connecting to %q: %w", addr, err) // names are resolved by route alone
	}
	var nd net.Dialer
	for _, s := range d.source {
		if s.Is4() == peer.Addr().Unmap().Is4() {
			nd.LocalAddr = &net.TCPAddr{IP: s.AsSlice()}
			break
		}
	}
	return nd.DialContext(ctx, network, addr)
}
