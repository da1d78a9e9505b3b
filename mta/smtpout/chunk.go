package smtpout

import (
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// CHUNKING (RFC 3030) lets the whole message go in one flight with its commands: one round trip on a kept connection.

// maxChunk is the largest message that goes so, in octets. A larger one is worth hearing whether the host wants it.
const maxChunk = 256 << 10

// chunked reports whether the transaction goes in one flight.
func (x *transaction) chunked() bool {
	return x.cn.ext.chunking && x.cn.ext.pipelining && !x.noChunks && x.m.Size > 0 && x.m.Size <= maxChunk &&
		!x.client.plainData.has(x.cn.key.addr)
}

// oneFlight says everything, the message too, and then reads all answers.
func (x *transaction) oneFlight() *trouble {
	defer x.closeBody()
	chunk, t := x.chunk()
	if t != nil {
		return t
	}
	reset := x.envelope()
	x.cn.command("BDAT ", strconv.Itoa(len(chunk)), " LAST")
	taking := time.Duration(float64(len(chunk)) / float64(x.client.minRate()) * 1e9)
	if t := x.cn.writeWith(x.limits.Mail+taking, chunk); t != nil {
		return t // it was not written whole
	}
	if t := x.flightAnswered(reset, taking); t != nil {
		return x.broken(t)
	}
	x.cn.settle()
	return nil
}

// chunk is the message as it goes over the wire.
func (x *transaction) chunk() ([]byte, *trouble) {
	x.openBody()
	if x.bodyErr != nil {
		return nil, unreadable(x.bodyErr)
	}
	bufs := x.client.lend()
	defer x.client.bodies.Put(bufs)
	var all []byte
	s := &stuffer{out: bufs.out[:0], bare: true, flush: func(block []byte) error { all = append(all, block...); return nil }}
	if err := copyBody(s, x.body, bufs.in[:]); err != nil {
		return nil, unreadable(err)
	}
	s.end()
	return append(all, s.out...), nil
}

func (x *transaction) flightAnswered(reset bool, taking time.Duration) *trouble {
	if t := x.hearEnvelope(reset); t != nil {
		return t
	}
	r, t := x.cn.hear(x.limits.Dot+taking, "BDAT")
	if t != nil {
		return t
	}
	return x.chunkAnswered(r)
}

func (x *transaction) chunkAnswered(r reply) *trouble {
	switch class := r.code / 100; {
	case x.refusal != nil || len(x.taken) == 0:
		// Nobody is to get it, whatever the host says of the chunk (RFC 3030 2: it has thrown it away).
		x.cn.failed = true
		if r.code == 421 {
			return refused(Session, r, "BDAT")
		}
		return nil
	case class == 2:
		x.delivered(r)
		return nil
	case r.code >= 500 && r.code <= 504:
		// It offers what it does not know, and may have taken the message for commands: away, and DATA next time.
		x.noChunks = true
		x.client.plainData.add(x.cn.key.addr)
		t := refused(Session, r, "BDAT, which it had offered")
		t.again = true
		return t
	}
	return x.answer(verdict{reply: r, dot: true})
}

// broken deals with trouble after the flight. Where the host said nothing, it may have taken the message.
func (x *transaction) broken(t *trouble) *trouble {
	if t.reply != "" || x.refusal != nil || x.cn.kept && t.gone {
		return t // a kept connection that the host has closed meanwhile is nothing unusual
	}
	x.cn.raw.Close()
	x.cn.settle()
	if x.cn.broken {
		return t // it cannot have the end of the message
	}
	var doubt []int
	for _, i := range x.batch {
		if x.report.Results[i].Status.Class == 0 {
			doubt = append(doubt, i)
		}
	}
	if len(doubt) == 0 {
		return t
	}
	return x.inDoubt(t, doubt)
}

// hosts is a bounded set of addresses. The zero value is empty. Safe for concurrent use.
type hosts struct {
	mu  sync.Mutex
	set map[netip.AddrPort]struct{}
}

const maxHosts = 1000

func (h *hosts) has(a netip.AddrPort) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.set[a]
	return ok
}

func (h *hosts) add(a netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil || len(h.set) >= maxHosts {
		h.set = make(map[netip.AddrPort]struct{}) // learning it again costs a connection each
	}
	h.set[a] = struct{}{}
}
