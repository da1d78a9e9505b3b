package mta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"signpost/compat/header"
	"signpost/mta/bounce"
	"signpost/mta/intake"
	"signpost/mta/local"
	"signpost/mta/queue"
	"signpost/mta/route"
	"signpost/mta/smtpout"
	"signpost/spool"
)

// deliverer does what the scheduler asks: it joins aliases, routing, signing, the SMTP client and bounces, which do
// not know of each other. It is made anew at each reload; what is in flight keeps the old one.
type deliverer struct {
	hostname   string
	postmaster string
	store      spool.Store
	local      *local.Mailboxes
	router     *route.Router
	gate       *gate
	outlet     *outlet
	forms      *forms
	now        func() time.Time
	log        *slog.Logger
	accepted   func(intake.Accepted)
	note       func(queue.Event)
}

var _ queue.Deliverer = (*deliverer)(nil)

// Key is as queue.Deliverer says. What waits for a user's program has slots of its own, so that it delays no mailbox.
func (d *deliverer) Key(sender string, r spool.Recipient) string {
	m := d.gate.mode()
	switch m.place(r) {
	case caught:
		return "catch"
	case redirected:
		r = m.substitute()
	}
	switch {
	case r.Kind == spool.Mailbox:
		return "local"
	case r.Kind == spool.File:
		return "local file"
	case r.Kind == spool.Program:
		return "local program"
	case d.isLocal(r.Addr):
		return "local"
	}
	return d.router.Key(r.Addr, sender)
}

// Limit is as queue.Deliverer says.
func (d *deliverer) Limit(key string) int { return d.router.Connections(key) }

// Rate is as queue.Deliverer says.
func (d *deliverer) Rate(key string) queue.Rate {
	n, per := d.router.Rate(key)
	return queue.Rate{Messages: n, Per: per}
}

func (d *deliverer) isLocal(addr string) bool { return d.local.Local(domainOf(addr)) }

func domainOf(addr string) string {
	_, domain := header.SplitAddr(addr)
	return domain
}

// Expand is as queue.Deliverer says. Recipients keep their index: the first target takes the place of the name, the
// others go to the end. What cannot be expanded now stays as it is, and Deliver says why; the others need not wait. A
// file or program that its line does not name any more gives way to what the original address stands for now; whoever
// has the message stays among the recipients, and gets it no second time. What the mode diverts stays as it is, so that
// no alias leads it anywhere.
func (d *deliverer) Expand(ctx context.Context, c spool.Claim) []spool.Recipient {
	out := c.Envelope().Rcpts
	seen := make(map[string]bool)
	var names []int
	for i, r := range out {
		if r = renewed(r); d.isName(r) {
			names = append(names, i)
		} else {
			seen[identity(r)] = true
		}
	}
	for _, i := range names {
		targets, err := d.local.Expand(ctx, renewed(out[i]))
		if err == nil {
			err = d.stopLoops(c, targets)
		}
		if err != nil {
			continue
		}
		placed := false
		for _, t := range targets {
			k := identity(t)
			switch {
			case seen[k]:
			case !placed:
				out[i], placed = t, true
			default:
				out = append(out, t)
			}
			seen[k] = true
		}
		if !placed {
			out[i].Last = spool.Result{Status: spool.Status{Class: 2}, Detail: "it leads to recipients that the message has anyway", At: d.now()}
		}
	}
	return out
}

// renewed gives the original address in the place of a file or program that its line does not name any more.
func renewed(r spool.Recipient) spool.Recipient {
	if r.Kind != spool.File && r.Kind != spool.Program || r.Last.Status != local.NotNamed || r.Original == "" {
		return r
	}
	return spool.Recipient{Addr: r.Original, Original: r.Original, Notify: r.Notify}
}

// stopLoops fails what a ~/.forward would send away a second time: another host has sent it back.
func (d *deliverer) stopLoops(c spool.Claim, targets []spool.Recipient) error {
	for i, t := range targets {
		if t.Forwarder == "" {
			continue
		}
		again, err := d.local.Passed(c.Open, t.Forwarder)
		if err != nil {
			return err
		}
		if again {
			targets[i].Last = spool.ResultOf(spool.Errorf(spool.Status{Class: 5, Subject: 4, Detail: 6},
				"the ~/.forward of %s has sent the message away before", t.Forwarder), d.now())
		}
	}
	return nil
}

// isName reports whether r stands for others that are not known yet. An address of ours that comes out of Expand as an
// address is settled: there is no such user.
func (d *deliverer) isName(r spool.Recipient) bool {
	return r.Kind == spool.Address && !r.Settled() && d.isLocal(r.Addr) && d.gate.mode().place(r) == asAddressed
}

// identity tells whether two recipients are the same.
func identity(r spool.Recipient) string {
	addr := r.Addr
	if r.Kind == spool.Address {
		addr = header.Key(addr)
	}
	return strconv.Itoa(int(r.Kind)) + "\x00" + r.RunAs + "\x00" + addr
}

// Deliver is as queue.Deliverer says. Here, at each try, the mode is asked where mail to each recipient goes.
func (d *deliverer) Deliver(ctx context.Context, c spool.Claim, rcpts []spool.Recipient) queue.Report {
	m := d.gate.mode()
	return inGroups(rcpts, m.place, func(to place, part []spool.Recipient) queue.Report {
		switch to {
		case asAddressed:
			return d.deliver(ctx, c, part)
		case redirected:
			return d.redirect(ctx, c, m, part)
		}
		return d.keep(ctx, c, m, part)
	})
}

// deliver takes mail where it is addressed to.
func (d *deliverer) deliver(ctx context.Context, c spool.Claim, rcpts []spool.Recipient) queue.Report {
	if rcpts[0].Kind != spool.Address || d.isName(rcpts[0]) {
		return d.deliverLocal(ctx, c, rcpts)
	}
	return d.inTransactions(c, rcpts, func(t transaction, part []spool.Recipient) queue.Report {
		return d.deliverRemote(ctx, c, t, part)
	})
}

// transaction is what the recipients of one transaction have in common: owner- lists give theirs a reverse-path of their
// own, and the copies that a ~/.forward sends away say so in trace fields, which are put before the message.
type transaction struct {
	sender string
	trace  string
}

func (d *deliverer) inTransactions(c spool.Claim, rcpts []spool.Recipient, deliver func(transaction, []spool.Recipient) queue.Report) queue.Report {
	envelope := c.Envelope().Sender
	same := func(r spool.Recipient) transaction {
		return transaction{senderOf(envelope, r), d.local.Trace(r.Forwarder)}
	}
	return inGroups(rcpts, same, deliver)
}

// inGroups delivers to recipients of which by says the same together, and joins the reports.
func inGroups[K comparable](rcpts []spool.Recipient, by func(spool.Recipient) K, deliver func(K, []spool.Recipient) queue.Report) queue.Report {
	rep := queue.Report{Results: make([]spool.Result, len(rcpts)), Dead: true}
	for k, idx := range groups(rcpts, by) {
		one := deliver(k, pick(rcpts, idx))
		for i, n := range idx {
			rep.Results[n] = one.Results[i]
		}
		rep.Dead = rep.Dead && one.Dead
		rep.Connect += one.Connect
		rep.Transmit += one.Transmit
		rep.Story = append(rep.Story, one.Story...)
		rep.Diverted = cmp.Or(rep.Diverted, one.Diverted)
	}
	return rep
}

// groups gives the indices of recipients of which by says the same.
func groups[K comparable](rcpts []spool.Recipient, by func(spool.Recipient) K) map[K][]int {
	groups := make(map[K][]int, 1)
	for i, r := range rcpts {
		k := by(r)
		groups[k] = append(groups[k], i)
	}
	return groups
}

// senderOf is the reverse-path that a recipient's copy is sent with. A null one stays null (RFC 5321 4.5.5).
func senderOf(envelope string, r spool.Recipient) string {
	if r.Sender != nil && envelope != "" {
		return *r.Sender
	}
	return envelope
}

func (d *deliverer) deliverLocal(ctx context.Context, c spool.Claim, rcpts []spool.Recipient) queue.Report {
	rep := queue.Report{Results: make([]spool.Result, len(rcpts))}
	began := d.now()
	for i, r := range rcpts {
		rep.Results[i] = d.deliverOne(ctx, c, r)
	}
	rep.Transmit = d.now().Sub(began)
	return rep
}

func (d *deliverer) deliverOne(ctx context.Context, c spool.Claim, r spool.Recipient) spool.Result {
	if d.isName(r) {
		_, err := d.local.Expand(ctx, r)
		if err == nil {
			err = errors.New("the trouble with its aliases has just gone")
		}
		return spool.ResultOf(err, d.now())
	}
	content, err := c.Open()
	if err != nil {
		return spool.ResultOf(fmt.Errorf("reading the message: %w", err), d.now())
	}
	defer content.Close()
	return d.local.Deliver(ctx, senderOf(c.Envelope().Sender, r), r, content)
}

// deliverRemote tries the hops of one destination in turn.
func (d *deliverer) deliverRemote(ctx context.Context, c spool.Claim, t transaction, rcpts []spool.Recipient) queue.Report {
	way, err := d.router.Route(ctx, rcpts[0].Addr, t.sender)
	if err != nil {
		return failed(spool.ResultOf(err, d.now()), len(rcpts), false)
	}
	form, err := d.forms.of(c, !way.NoDKIM)
	if err != nil {
		return failed(spool.ResultOf(err, d.now()), len(rcpts), false)
	}
	env := c.Envelope()
	m := smtpout.Message{Sender: t.sender, Size: int64(len(t.trace)) + form.size(c), EightBit: form.eightBit || isEightBit([]byte(t.trace)),
		Ret: env.Ret, EnvID: env.EnvID, Open: func() (io.ReadCloser, error) { return form.open(c, t.trace) }}
	rep := queue.Report{Results: make([]spool.Result, len(rcpts))}
	left := make([]int, len(rcpts)) // indices of those still to be tried
	for i := range left {
		left[i] = i
	}
	for i := range rep.Results { // route never gives no hops; nothing bounces if it does
		rep.Results[i] = spool.Result{Status: spool.Status{Class: 4, Subject: 4, Detail: 4}, Detail: "no host to try", At: d.now()}
	}
	for _, hop := range way.Hops {
		sent := d.outlet.send(ctx, hop, m, pick(rcpts, left))
		for i, n := range left {
			rep.Results[n] = sent.Results[i]
		}
		rep.Connect += sent.Connect
		rep.Transmit += sent.Transmit
		rep.Story = append(rep.Story, sent.Dialogue...)
		rep.Dead = sent.Blame == smtpout.Host && len(sent.Left) == len(rcpts)
		left = pick(left, sent.Left)
		if len(left) == 0 || ctx.Err() != nil {
			break
		}
	}
	return rep
}

// pick gives the members of list at these indices.
func pick[T any](list []T, indices []int) []T {
	out := make([]T, len(indices))
	for i, n := range indices {
		out[i] = list[n]
	}
	return out
}

// failed is a report in which all recipients have the same result.
func failed(r spool.Result, n int, dead bool) queue.Report {
	rep := queue.Report{Results: make([]spool.Result, n), Dead: dead}
	for i := range rep.Results {
		rep.Results[i] = r
	}
	return rep
}

// Bounce is as queue.Deliverer says.
func (d *deliverer) Bounce(ctx context.Context, c spool.Claim, idx []int) error {
	env := c.Envelope()
	if env.Sender == "" {
		return d.doubleBounce(ctx, c, env, idx)
	}
	wanted := make([]spool.Recipient, 0, len(idx))
	var who []int
	for _, i := range idx {
		if n := env.Rcpts[i].Notify; n == 0 || n&spool.NotifyFailure != 0 {
			wanted = append(wanted, env.Rcpts[i])
			who = append(who, i)
		}
	}
	for sender, group := range groups(wanted, func(r spool.Recipient) string { return senderOf(env.Sender, r) }) {
		if sender == "" {
			continue
		}
		if err := d.notice(ctx, c, bounce.Failure, sender, pick(who, group), time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// doubleBounce tells the postmaster of a bounce that cannot be delivered; if that fails too, the log has to do.
func (d *deliverer) doubleBounce(ctx context.Context, c spool.Claim, env spool.Envelope, idx []int) error {
	if via := env.Origin.Via; via == viaDouble || via == viaNotice {
		d.log.Warn("a "+via+" cannot be delivered to the postmaster and is dropped", "id", c.ID())
		return nil
	}
	return d.notice(ctx, c, bounce.Double, d.postmaster, idx, time.Time{})
}

// Warn is as queue.Deliverer says.
func (d *deliverer) Warn(ctx context.Context, c spool.Claim, idx []int, until time.Time) error {
	env := c.Envelope()
	var who []int
	for _, i := range idx {
		if n := env.Rcpts[i].Notify; n == 0 || n&spool.NotifyDelay != 0 {
			who = append(who, i)
		}
	}
	if len(who) == 0 || d.forms.automatic(c) {
		return nil
	}
	return d.notice(ctx, c, bounce.Delay, env.Sender, who, until)
}

// What Origin.Via says of mail that is made here.
const (
	viaBounce = "bounce"
	viaDouble = "double-bounce"
	viaDelay  = "delay"
)

// notice sends a notification, and has that noted.
func (d *deliverer) notice(ctx context.Context, c spool.Claim, kind bounce.Kind, to string, idx []int, until time.Time) error {
	via := map[bounce.Kind]string{bounce.Failure: viaBounce, bounce.Double: viaDouble, bounce.Delay: viaDelay}[kind]
	if err := d.compose(ctx, c, kind, via, to, idx, until); err != nil {
		return err
	}
	d.note(queue.Event{ID: c.ID(), Envelope: c.Envelope(), Size: c.Size(), What: via})
	return nil
}

// compose writes a notification and commits it under an id that belongs to this message, kind and set of recipients:
// made again after a crash, it is there already.
func (d *deliverer) compose(ctx context.Context, c spool.Claim, kind bounce.Kind, via, to string, idx []int, until time.Time) error {
	env := c.Envelope()
	parts := []string{via, string(c.ID()), to}
	for _, i := range idx {
		parts = append(parts, strconv.Itoa(i), identity(env.Rcpts[i]))
	}
	id := spool.DerivedID(c.ID().Time(), parts...)
	w, err := d.store.Create(ctx, id)
	if errors.Is(err, spool.ErrExists) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Abort()
	original, err := c.Open()
	if err != nil {
		return err
	}
	defer original.Close()
	size := &counter{w: w}
	n := bounce.Notice{Kind: kind, ID: c.ID(), To: to, Hostname: d.hostname, Postmaster: d.postmaster, Envelope: env,
		Rcpts: idx, Until: until, Now: d.now()}
	if err := bounce.Write(size, n, original); err != nil {
		return fmt.Errorf("writing the notification: %w", err)
	}
	out := spool.Envelope{Rcpts: []spool.Recipient{{Addr: to, Notify: spool.NotifyNever}}, Arrived: d.now(),
		Origin: spool.Origin{Via: via, UID: -1}, Parent: c.ID()}
	if kind == bounce.Delay {
		out.Parent = "" // it speaks of no failure, so nothing has to be on record first
	}
	if err := w.Commit(out); errors.Is(err, spool.ErrExists) {
		return nil
	} else if err != nil {
		return err
	}
	d.accepted(intake.Accepted{ID: id, Envelope: out, Size: size.n})
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
