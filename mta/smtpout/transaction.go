package smtpout

import (
	"strconv"
	"time"

	"signpost/spool"
)

// maxRcpts is how many recipients a transaction has at most: every host takes so many (RFC 5321 4.5.3.1.8).
const maxRcpts = 100

// transaction is one MAIL with its recipients and the body.
type transaction struct {
	*attempt
	cn      *conn
	batch   []int
	refusal *trouble // of MAIL
	taken   []int    // recipients the host accepted
	ready   bool     // it waits for the body
}

// transact sends the message to the next recipients. What the host says of message and recipients becomes their results;
// trouble is what ends the connection. Those without a result may be tried again, at once where there is no trouble.
func (a *attempt) transact(cn *conn) *trouble {
	x := &transaction{attempt: a, cn: cn, batch: a.todo[:min(len(a.todo), maxRcpts)]}
	cn.count++
	cn.limit = time.Now().Add(a.limits.Session + time.Duration(float64(max(a.m.Size, 0))/float64(a.client.minRate())*1e9))
	if x.chunked() {
		return x.oneFlight()
	}
	if t := x.ask(); t != nil {
		return t
	}
	cn.settle()
	if x.ready {
		return x.answer(x.send())
	}
	// Nobody was taken, and every reply has been read.
	cn.failed = true
	return nil
}

// ask says all that comes before the body.
func (x *transaction) ask() *trouble {
	if x.cn.ext.pipelining {
		return x.pipelined()
	}
	return x.oneByOne()
}

// pipelined says it in one flight (RFC 2920).
func (x *transaction) pipelined() *trouble {
	reset := x.envelope()
	x.cn.command("DATA")
	if t := x.cn.write(x.limits.Mail); t != nil {
		return t
	}
	x.openBody() // the message is got ready while the answers are on their way
	if t := x.hearEnvelope(reset); t != nil {
		return t
	}
	return x.hearData()
}

// envelope says sender and recipients, after a RSET where the transaction before left something to forget.
func (x *transaction) envelope() (reset bool) {
	reset = x.cn.failed
	if reset {
		x.cn.command("RSET")
	}
	x.mail()
	for _, i := range x.batch {
		x.rcpt(i)
	}
	return reset
}

// hearEnvelope reads the answers to envelope.
func (x *transaction) hearEnvelope(reset bool) *trouble {
	if reset {
		if t := x.hearReset(); t != nil {
			return t
		}
	}
	if t := x.hearMail(); t != nil {
		return t
	}
	for _, i := range x.batch {
		if t := x.hearRcpt(i); t != nil {
			return t
		}
	}
	return nil
}

// oneByOne waits for the answer to each command.
func (x *transaction) oneByOne() *trouble {
	if x.cn.failed {
		x.cn.command("RSET")
		if t := x.then(x.hearReset); t != nil {
			return t
		}
	}
	x.mail()
	if t := x.then(x.hearMail); t != nil || x.refusal != nil {
		return t
	}
	for _, i := range x.batch {
		x.rcpt(i)
		if t := x.then(func() *trouble { return x.hearRcpt(i) }); t != nil {
			return t
		}
	}
	if len(x.taken) == 0 {
		return nil
	}
	x.cn.command("DATA")
	return x.then(func() *trouble { x.openBody(); return x.hearData() })
}

func (x *transaction) then(hear func() *trouble) *trouble {
	if t := x.cn.write(x.limits.Mail); t != nil {
		return t
	}
	return hear()
}

// mail adds MAIL with the parameters that the host has asked for.
func (x *transaction) mail() {
	ext := &x.cn.ext
	b := append(x.cn.out, "MAIL FROM:<"...)
	b = append(b, x.sender.text...)
	b = append(b, '>')
	if ext.size && x.m.Size > 0 { // RFC 1870
		b = strconv.AppendInt(append(b, " SIZE="...), x.m.Size, 10)
	}
	if ext.eightBit && x.m.EightBit { // RFC 6152
		b = append(b, " BODY=8BITMIME"...)
	}
	if ext.utf8 && x.needsUTF8() { // RFC 6531
		b = append(b, " SMTPUTF8"...)
	}
	if ext.dsn { // RFC 3461
		if x.m.Ret == "FULL" || x.m.Ret == "HDRS" {
			b = append(append(b, " RET="...), x.m.Ret...)
		}
		if x.m.EnvID != "" && len(x.m.EnvID) <= maxEnvID {
			b = appendXtext(append(b, " ENVID="...), x.m.EnvID)
		}
	}
	x.cn.out = append(b, "\r\n"...)
}

func (x *transaction) needsUTF8() bool {
	need := x.sender.utf8
	for _, i := range x.batch {
		need = need || x.paths[i].utf8
	}
	return need
}

func (x *transaction) rcpt(i int) {
	b := append(x.cn.out, "RCPT TO:<"...)
	b = append(b, x.paths[i].text...)
	b = append(b, '>')
	if x.cn.ext.dsn {
		b = appendDSN(b, x.rcpts[i])
	}
	x.cn.out = append(b, "\r\n"...)
}

// appendDSN appends the parameters of RFC 3461 4.1 and 4.2 that r asks for.
func appendDSN(b []byte, r spool.Recipient) []byte {
	sep := " NOTIFY="
	for _, n := range []struct {
		bit  spool.Notify
		word string
	}{{spool.NotifyNever, "NEVER"}, {spool.NotifySuccess, "SUCCESS"}, {spool.NotifyFailure, "FAILURE"}, {spool.NotifyDelay, "DELAY"}} {
		if r.Notify&n.bit == 0 {
			continue
		}
		b = append(append(b, sep...), n.word...)
		if sep = ","; n.bit == spool.NotifyNever {
			break // it stands alone
		}
	}
	// One that is too long or cannot be printed is left out: it only serves to be quoted in a notice.
	if r.Original == "" || len(r.Original) > maxORCPT || !printable(r.Original) {
		return b
	}
	if isASCII(r.Original) {
		return appendXtext(append(b, " ORCPT=rfc822;"...), r.Original)
	}
	return appendUTF8Xtext(append(b, " ORCPT=utf-8;"...), r.Original)
}

// hearReset reads the answer to RSET. A host that cannot even do this is in a state that nobody knows.
func (x *transaction) hearReset() *trouble {
	r, t := x.cn.hear(x.limits.Mail, "RSET")
	if t == nil && !r.ok() {
		t = refused(Session, r, "RSET")
	}
	if t == nil {
		x.cn.failed = false
	}
	return t
}

func (x *transaction) hearMail() *trouble {
	r, t := x.cn.hear(x.limits.Mail, "MAIL")
	if t != nil || r.ok() {
		return t
	}
	if t = refused(Mesg, r, "the sender"); t.blame >= Session {
		return t
	}
	// It speaks of the message: who is still to come need not ask again.
	x.refusal = t
	x.settleAll(t)
	return nil
}

func (x *transaction) hearRcpt(i int) *trouble {
	r, t := x.cn.hear(x.limits.Rcpt, "RCPT")
	if t != nil {
		return t
	}
	if r.ok() {
		x.taken = append(x.taken, i)
		return nil
	}
	t = refused(Recipient, r, "the recipient")
	switch {
	case t.blame >= Session:
		return t
	case x.refusal != nil:
	case len(x.taken) > 0 && tooMany(r):
		// No result: the next transaction takes this one (RFC 5321 4.5.3.1.10). It comes nearer to the end each time.
	default:
		x.settle(i, t)
	}
	return nil
}

// tooMany reports whether a reply to RCPT means that the transaction has enough of them. 552 is what RFC 821 said.
func tooMany(r reply) bool {
	if r.coded {
		return r.status.Subject == 5 && r.status.Detail == 3
	}
	return r.code == 452 || r.code == 552
}

func (x *transaction) hearData() *trouble {
	r, t := x.cn.hear(x.limits.Data, "DATA")
	if t != nil {
		return t
	}
	x.ready = r.code/100 == 3
	switch {
	case x.refusal == nil && len(x.taken) > 0:
		return x.dataAnswered(r)
	case !x.ready:
		if t = refused(Mesg, r, "DATA"); t.blame >= Session {
			return t
		}
		return nil // as it should be
	case len(x.taken) > 0:
		// It refused the sender, yet would deliver an empty message now. Only hanging up prevents that.
		return troublef(Session, statusProtocol, "the host refused the sender and then asked for the message")
	}
	return x.loneDot()
}

func (x *transaction) dataAnswered(r reply) *trouble {
	if x.ready {
		return nil
	}
	t := refused(Mesg, r, "DATA")
	if t.blame >= Session {
		return t
	}
	x.refuse(t)
	return nil
}

// refuse gives those who were taken the result of t. A temporary one goes for all that are still to come: asking again
// at once would be rude. A permanent one may have to do with one of these recipients, so the others get their turn.
func (x *transaction) refuse(t *trouble) {
	x.cn.failed = true
	for _, i := range x.taken {
		x.settle(i, t)
	}
	if t.status.Class == 4 {
		x.settleAll(t)
	}
}

// loneDot ends a message that nobody is to get, for a host that asked for it although it took no recipient. It answers
// with an error (RFC 2920 3.1), and whatever it says changes nothing.
func (x *transaction) loneDot() *trouble {
	x.ready = false
	x.cn.settle()
	r, t := x.cn.ask(x.limits.Dot, ".")
	if t == nil && r.code == 421 {
		t = refused(Session, r, "the end of a message without recipients")
	}
	return t
}
