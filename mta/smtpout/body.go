package smtpout

import (
	"io"
	"sync/atomic"
	"time"
)

// defaultMinRate is how many octets of a body a second a host must take: a slow line does, a trickle does not.
const defaultMinRate = 1024

func (c *Client) minRate() int64 {
	if c.MinRate > 0 {
		return c.MinRate
	}
	return defaultMinRate
}

// verdict is how sending a body ended.
type verdict struct {
	reply reply
	err   error    // no reply could be read
	dot   bool     // the final dot was written whole: without a reply, the message may have been taken
	ours  *trouble // it ended by a fault of our own before the dot
}

// bodyWriter writes blocks of the body, and listens meanwhile: a host that refuses a large body early must not get the
// rest, and what it said is lost once it has closed the connection.
type bodyWriter struct {
	cn    *conn
	block time.Duration // Timeouts.Block
	rate  int64
	began time.Time
	sent  int64

	dot      atomic.Bool   // the final block is on its way: a reply is no longer early
	listened chan struct{} // closed when the listener has ended; nil: there is none
	reply    reply         // of the listener
	err      error
}

// flush writes a block that is not the last.
func (w *bodyWriter) flush(block []byte) error {
	if w.listened == nil {
		w.cn.raw.SetReadDeadline(w.cn.limit)
		w.listened = make(chan struct{})
		go w.listen()
	}
	return w.write(block)
}

// write gives the host Timeouts.Block for each block, and for all of them no more than the minimum rate allows.
func (w *bodyWriter) write(block []byte) error {
	w.sent += int64(len(block))
	by := w.cn.by(w.block)
	if slowest := w.began.Add(w.block + time.Duration(float64(w.sent)/float64(w.rate)*1e9)); slowest.Before(by) {
		by = slowest
	}
	w.cn.raw.SetWriteDeadline(by)
	_, err := w.cn.rw.Write(block)
	return err
}

// listen waits for the reply. One that is early ends the connection: SMTP knows no other way to stop a body.
func (w *bodyWriter) listen() {
	defer close(w.listened)
	w.reply, w.err = w.cn.in.next()
	if !w.dot.Load() {
		w.cn.raw.Close()
	}
}

// hear gives the reply after at most d.
func (w *bodyWriter) hear(d time.Duration) (reply, error) {
	w.cn.raw.SetReadDeadline(w.cn.by(d))
	if w.listened == nil {
		return w.cn.in.next()
	}
	<-w.listened
	return w.reply, w.err
}

// send sends the body and the final dot and waits for the answer.
func (x *transaction) send() verdict {
	defer x.closeBody()
	if x.bodyErr != nil {
		return verdict{ours: unreadable(x.bodyErr)}
	}
	w := &bodyWriter{cn: x.cn, block: x.limits.Block, rate: x.client.minRate(), began: time.Now()}
	if x.cn.in.waiting() { // it has changed its mind already
		x.cn.broken = true
		r, err := w.hear(lastWords)
		return verdict{reply: r, err: err}
	}
	bufs := x.client.lend()
	defer x.client.bodies.Put(bufs)
	s := &stuffer{out: bufs.out[:0], flush: w.flush}
	if err := copyBody(s, x.body, bufs.in[:]); err != nil {
		x.cn.raw.Close() // no dot: what was sent is not a message
		w.hear(lastWords)
		return verdict{ours: unreadable(err)}
	}
	err := s.end()
	if err == nil {
		w.dot.Store(true)
		err = w.write(s.out)
	}
	if err != nil {
		return x.unwritten(w, err)
	}
	x.cn.log.note("message of %d octets", w.sent)
	r, err := w.hear(x.limits.Dot)
	return verdict{reply: r, err: err, dot: true}
}

// copyBody feeds s. Only an error of reading is returned; s remembers its own.
func copyBody(s *stuffer, from io.Reader, buf []byte) error {
	for {
		n, err := from.Read(buf)
		if _, failed := s.Write(buf[:n]); failed != nil || err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func unreadable(err error) *trouble {
	return troublef(Mesg, statusOurs, "reading the message: %v", err)
}

// unwritten finds out why a block could not be written: the host may have said it.
func (x *transaction) unwritten(w *bodyWriter, err error) verdict {
	x.cn.broken = true
	late := isTimeout(err)
	if late {
		x.cn.raw.Close()
	}
	r, heard := w.hear(lastWords)
	if heard != nil && !late && !isTimeout(heard) {
		err = heard // it knows better than "closed"
	} else if heard == nil {
		err = nil
	}
	return verdict{reply: r, err: err}
}

// answer makes results of the verdict.
func (x *transaction) answer(v verdict) *trouble {
	const doing = "while waiting for the reply to the final dot"
	switch {
	case v.ours != nil:
		return v.ours
	case v.err != nil && !v.dot:
		return lost(v.err, "while sending the message")
	case v.err != nil:
		return x.inDoubt(lost(v.err, doing), x.taken)
	}
	x.cn.log.hear(v.reply.text)
	class := v.reply.code / 100
	switch {
	case v.dot && class == 2:
		x.delivered(v.reply)
		return nil
	case class == 2 || class == 3:
		t := refused(Session, v.reply, "the message")
		if v.dot {
			return x.inDoubt(t, x.taken)
		}
		t.detail = "the host answered before it had the whole message"
		return t
	}
	t := refused(Mesg, v.reply, "the message")
	if t.blame >= Session {
		return t
	}
	x.refuse(t)
	return nil
}

func (x *transaction) delivered(r reply) {
	t := &trouble{status: ours(r.status), reply: string(r.text)}
	for _, i := range x.taken {
		x.settle(i, t)
	}
}

// inDoubt gives those who may have got it a temporary result: losing the message would be worse than sending it twice
// (RFC 1047). They are not left to the next hop; the back-off gives the host time to come to its senses.
func (x *transaction) inDoubt(t *trouble, who []int) *trouble {
	x.report.Uncertain = true
	doubt := *t
	doubt.status = statusLost
	doubt.detail += "; the host may have taken the message all the same"
	for _, i := range who {
		x.settle(i, &doubt)
	}
	return t
}
