package mta

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"signpost/mta/config"
	"signpost/mta/route"
	"signpost/mta/smtpout"
	"signpost/spool"
)

// outlet is the only way by which mail leaves this host. It asks the gate for every transaction, also for one over a
// connection that is open already, and its dialer asks again for every connection.
type outlet struct {
	gate   *gate
	client *smtpout.Client
}

func newOutlet(cfg config.Config, g *gate) *outlet {
	return &outlet{gate: g, client: &smtpout.Client{Hostname: cfg.Hostname, Dial: newDialer(cfg, g).dial}}
}

// send is as smtpout.Client.Send.
func (o *outlet) send(ctx context.Context, hop route.Hop, m smtpout.Message, rcpts []spool.Recipient) smtpout.Report {
	if err := o.gate.mode().permits(rcpts); err != nil {
		rep := smtpout.Report{Results: make([]spool.Result, len(rcpts)), Dialogue: []string{"* " + err.Error()}}
		for i := range rep.Results {
			rep.Results[i] = spool.ResultOf(err, time.Now())
		}
		return rep
	}
	return o.client.Send(context.WithValue(ctx, passKey{}, rcpts), hop, m, rcpts)
}

// close ends the connections that are kept.
func (o *outlet) close() { o.client.Close() }

// passKey is the key under which the recipients of a transaction travel to the dialer.
type passKey struct{}

// dialer makes every connection to another host, for recipients that the mode lets through and for nothing else.
type dialer struct {
	gate   *gate
	source []netip.Addr // addresses to send from; the first of the peer's family is taken
}

func newDialer(cfg config.Config, g *gate) *dialer {
	d := &dialer{gate: g}
	for _, s := range cfg.Delivery.Source {
		if a, err := netip.ParseAddr(s); err == nil { // config has checked it
			d.source = append(d.source, a)
		}
	}
	return d
}

var errNoPass = errors.New("no connection is made that is not for a recipient")

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	rcpts, _ := ctx.Value(passKey{}).([]spool.Recipient)
	if len(rcpts) == 0 {
		return nil, errNoPass
	}
	if err := d.gate.mode().permits(rcpts); err != nil {
		return nil, err
	}
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
