package smtpout

import (
	"context"
	"io"
	"time"

	"signpost/mta/route"
	"signpost/spool"
)

// attempt is one Send.
type attempt struct {
	client *Client
	hop    route.Hop
	m      Message
	limits Timeouts
	rcpts  []spool.Recipient
	sender path
	paths  []path // of rcpts
	todo   []int  // those without a result
	ended  bool   // no further transaction is to be tried
	remote string // of the connection in use
	log    dialogue
	report Report

	body     io.ReadCloser // opened and not sent yet
	bodyErr  error         // opening it failed
	noChunks bool          // BDAT was not understood
}

// newAttempt gives a result at once to those whose address cannot be said to any host.
func newAttempt(c *Client, hop route.Hop, m Message, rcpts []spool.Recipient) *attempt {
	a := &attempt{client: c, hop: hop, m: m, limits: c.Timeouts.filled(), rcpts: rcpts}
	a.report.Results = make([]spool.Result, len(rcpts))
	a.paths = make([]path, len(rcpts))
	a.pending()
	var err error
	if a.sender, err = parsePath(m.Sender); err != nil {
		a.settleAll(troublef(Mesg, statusBadSender, "sender: %v", err))
		a.pending()
		return a
	}
	for i, r := range rcpts {
		if a.paths[i], err = parsePath(r.Addr); err == nil && r.Addr == "" {
			err = errLocal
		}
		if err != nil {
			a.settle(i, troublef(Recipient, statusBadRcpt, "%v", err))
		}
	}
	a.pending()
	return a
}

func (a *attempt) more() bool { return !a.ended && len(a.todo) > 0 }

// pending lists again who has no result.
func (a *attempt) pending() {
	if a.todo == nil {
		a.todo = make([]int, 0, len(a.rcpts))
	}
	a.todo = a.todo[:0]
	for i, r := range a.report.Results {
		if r.Status.Class == 0 {
			a.todo = append(a.todo, i)
		}
	}
}

// converse gives the message to the host over cn, in as many transactions as it takes, and then keeps or ends cn.
func (a *attempt) converse(ctx context.Context, cn *conn) {
	a.fit(cn)
	for a.more() && !cn.worn() {
		t := a.transact(cn)
		a.pending()
		if t == nil {
			continue
		}
		a.end(cn, t)
		if ctx.Err() == nil && (t.again || cn.kept && t.gone) {
			a.log.note("trying again over another connection")
			return
		}
		a.stop(ctx, t)
		return
	}
	a.keep(cn)
}

// fit gives a result to what this host cannot take.
func (a *attempt) fit(cn *conn) {
	x := &cn.ext
	if x.maxSize > 0 && a.m.Size > x.maxSize {
		a.settleAll(troublef(Mesg, statusTooBig, "the message has %d octets, the host takes %d", a.m.Size, x.maxSize))
	}
	const text = "has characters that are not ASCII, and the host does not offer SMTPUTF8"
	if a.sender.utf8 && !x.utf8 {
		a.settleAll(troublef(Mesg, statusNoSMTPUTF8, "the sender's address %s", text))
	}
	for _, i := range a.todo {
		if a.paths[i].utf8 && !x.utf8 {
			a.settle(i, troublef(Recipient, statusNoSMTPUTF8, "the address %s", text))
		}
	}
	a.pending()
}

// settle gives recipient i the result of t.
func (a *attempt) settle(i int, t *trouble) {
	remote := t.remote
	if remote == "" {
		remote = a.remote
	}
	a.report.Results[i] = spool.Result{Status: t.status, Reply: t.reply, Remote: remote, Detail: t.detail,
		TLS: a.report.TLS, At: time.Now()}
	a.report.Blame = max(a.report.Blame, t.blame)
}

// settleAll gives all that have no result yet that of t.
func (a *attempt) settleAll(t *trouble) {
	for _, i := range a.todo {
		if a.report.Results[i].Status.Class == 0 {
			a.settle(i, t)
		}
	}
}

// stop ends the attempt for all that have no result yet.
func (a *attempt) stop(ctx context.Context, t *trouble) {
	a.ended = true
	if ctx.Err() != nil && t.reply == "" {
		t = troublef(None, statusStopped, "the attempt was broken off here")
	}
	if t.blame >= Session {
		a.report.Left = append([]int(nil), a.todo...)
	}
	a.report.Blame = max(a.report.Blame, t.blame)
	a.settleAll(t)
}

// keep leaves cn to the next Send.
func (a *attempt) keep(cn *conn) {
	cn.log = nil
	if !cn.unwatch() {
		cn.drop() // ctx ended and closed it
		return
	}
	a.client.idle.put(cn, a.limits.Idle)
}

// end closes cn after trouble. To a host that only did not want us we say goodbye.
func (a *attempt) end(cn *conn, t *trouble) {
	cn.log = nil
	if cn.unwatch() && t.blame == Host && t.reply != "" && !t.gone && !cn.broken {
		a.client.idle.dismiss(cn)
		return
	}
	cn.drop()
}

// openBody opens the body, once for each that is sent.
func (a *attempt) openBody() {
	if a.body == nil {
		a.body, a.bodyErr = a.m.Open()
	}
}

func (a *attempt) closeBody() {
	if a.body != nil {
		a.body.Close()
		a.body = nil
	}
}

func (a *attempt) finish() Report {
	a.closeBody()
	a.report.Dialogue = a.log.lines()
	return a.report
}
