package mta

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"signpost/compat/header"
	"signpost/mta/config"
	"signpost/mta/local"
	"signpost/mta/queue"
	"signpost/mta/route"
	"signpost/spool"
)

// gate holds the mode in force: [delivery] mode of the configuration. A Daemon has one, which its deliverers and the
// one Dial share. A reload changes what is in it, so that attempts in flight obey the new mode too.
type gate struct{ current atomic.Pointer[mode] }

// mode decides whether mail goes where it is addressed to. It is asked at every try, as nothing of what it says is
// written down: a message that was expanded under another mode is judged by the one in force.
type mode struct {
	name     string   // config.ModeNormal…; any other name is as config.ModeCatch
	catch    string   // Maildir
	redirect string   // address
	allow    []string // patterns of route.Matches
}

func newMode(cfg config.Delivery) *mode {
	return &mode{name: cfg.Mode, catch: cfg.Catch, redirect: cfg.Redirect, allow: cfg.Allow}
}

// mode is what is in force now.
func (g *gate) mode() *mode { return g.current.Load() }

// place is where mail to a recipient goes.
type place uint8

const (
	caught place = iota // the zero value: mail leaves where something says so, and not by default
	redirected
	asAddressed
)

// place is the one function that decides what becomes of a recipient, of any kind and in any state of expansion.
// A mailbox, file or program of this host is judged by the address that led to it.
func (m *mode) place(r spool.Recipient) place {
	switch m.name {
	case config.ModeNormal:
		return asAddressed
	case config.ModeRedirect:
		return redirected
	case config.ModeAllow:
		addr := r.Addr
		if r.Kind != spool.Address {
			addr = r.Original
		}
		if m.allows(addr) {
			return asAddressed
		}
	}
	return caught
}

func (m *mode) allows(addr string) bool {
	return slices.ContainsFunc(m.allow, func(p string) bool { return route.Matches(p, addr) })
}

// permits says why no transaction with another host may have these recipients; nil where it may. The dialer and the
// outlet ask it, whatever has been decided before.
func (m *mode) permits(rcpts []spool.Recipient) error {
	for _, r := range rcpts {
		ok := m.place(r) == asAddressed || m.place(r) == redirected && r.Addr == m.redirect
		if r.Kind != spool.Address || !ok {
			return spool.Errorf(badMode, "[delivery] mode = %q does not let mail go to %s", m.name, r.Addr)
		}
	}
	return nil
}

var badMode = spool.Status{Class: 4, Subject: 3, Detail: 5}

// substitute is the recipient that gets redirected mail. What its host cannot deliver concerns nobody else, so that it
// is asked to send no notices.
func (m *mode) substitute() spool.Recipient {
	return spool.Recipient{Addr: m.redirect, NoAlias: true, Notify: spool.NotifyNever}
}

// announce warns of a mode in which mail does not go where it is addressed to.
func (d *Daemon) announce(m *mode) {
	switch m.name {
	case config.ModeNormal:
		return
	case config.ModeRedirect:
		d.log.Warn("all mail is redirected, as [delivery] says", "mode", m.name, "redirect", m.redirect)
		return
	case config.ModeAllow:
		d.log.Warn("mail is caught but for the addresses allowed, as [delivery] says", "mode", m.name, "allow", m.allow, "catch", m.catch)
	default:
		d.log.Warn("all mail is caught, as [delivery] says", "mode", m.name, "catch", m.catch)
	}
	if err := local.MakeMaildir(m.catch); err != nil {
		d.log.Error("the Maildir for caught mail cannot be used; mail waits until it can", "err", err)
	}
}

// keep puts a message into the Maildir for caught mail, once for each reverse-path that it has.
func (d *deliverer) keep(ctx context.Context, c spool.Claim, m *mode, rcpts []spool.Recipient) queue.Report {
	return d.inTransactions(c, rcpts, func(t transaction, part []spool.Recipient) queue.Report {
		began := d.now()
		r := d.keepOne(ctx, c, m, t, part)
		r.At = d.now()
		rep := failed(r, len(part), false)
		rep.Transmit = r.At.Sub(began)
		rep.Diverted = "caught in " + m.catch
		return rep
	})
}

// keepOne writes the message as it would have left: signed, unless all that it goes to has routes without.
func (d *deliverer) keepOne(ctx context.Context, c spool.Claim, m *mode, t transaction, rcpts []spool.Recipient) spool.Result {
	signed := slices.ContainsFunc(rcpts, func(r spool.Recipient) bool {
		return r.Kind != spool.Address || !d.router.NoDKIM(r.Addr, t.sender)
	})
	form, err := d.forms.of(c, signed)
	if err != nil {
		return spool.ResultOf(err, d.now())
	}
	content, err := form.open(c, originalTo(rcpts)+t.trace)
	if err != nil {
		return spool.ResultOf(fmt.Errorf("reading the message: %w", err), d.now())
	}
	defer content.Close()
	r := local.Keep(ctx, m.catch, d.hostname, t.sender, content)
	if r.Outcome() == spool.Delivered {
		r.Detail = fmt.Sprintf("caught in %s, as [delivery] mode = %q says", m.catch, m.name)
	}
	return r
}

// redirect sends a message to the one address that gets all mail, once for each reverse-path that it has.
func (d *deliverer) redirect(ctx context.Context, c spool.Claim, m *mode, rcpts []spool.Recipient) queue.Report {
	return d.inTransactions(c, rcpts, func(t transaction, part []spool.Recipient) queue.Report {
		to := m.substitute()
		t.trace = originalTo(part) + t.trace
		var one queue.Report
		if d.isLocal(to.Addr) {
			one = failed(d.redirectHere(ctx, c, t, to), 1, false)
		} else {
			one = d.deliverRemote(ctx, c, t, []spool.Recipient{to})
		}
		r := one.Results[0]
		r.Detail = strings.TrimSuffix(fmt.Sprintf("redirected to %s, as [delivery] mode = %q says: %s", m.redirect, m.name, r.Detail), ": ")
		one.Results = failed(r, len(part), false).Results
		one.Diverted = "redirected to " + m.redirect
		return one
	})
}

// redirectHere delivers to an address of this host, which must be a mailbox and nothing that leads elsewhere. It never
// fails for good: what is wrong then is the configuration.
func (d *deliverer) redirectHere(ctx context.Context, c spool.Claim, t transaction, to spool.Recipient) spool.Result {
	targets, err := d.local.Expand(ctx, to)
	if err != nil {
		return spool.ResultOf(err, d.now())
	}
	if len(targets) != 1 || targets[0].Kind != spool.Mailbox {
		return spool.ResultOf(spool.Errorf(badMode, "it is no mailbox of this host"), d.now())
	}
	content, err := c.Open()
	if err != nil {
		return spool.ResultOf(fmt.Errorf("reading the message: %w", err), d.now())
	}
	defer content.Close()
	return d.local.Deliver(ctx, t.sender, targets[0], io.MultiReader(strings.NewReader(t.trace), content))
}

// Bounds of what originalTo writes: lines stay within RFC 5322 2.1.1.
const (
	maxOriginals = 100 // recipients
	maxOriginal  = 900 // octets of one
)

// originalTo tells whom a diverted message was for: a field for each recipient, with CRLF.
func originalTo(rcpts []spool.Recipient) string {
	var fields []byte
	for _, r := range rcpts[:min(len(rcpts), maxOriginals)] {
		addr := r.Addr
		if r.Kind != spool.Address {
			addr = cmp.Or(r.Original, r.Addr)
		}
		addr = strings.ToValidUTF8(addr[:min(len(addr), maxOriginal)], "?")
		fields = header.New("X-Original-To", addr).Append(fields)
	}
	if more := len(rcpts) - maxOriginals; more > 0 {
		fields = header.New("X-Original-To", fmt.Sprintf("(and %d more)", more)).Append(fields)
	}
	return string(fields)
}
