package smtpout

import (
	"net/netip"
	"sync"
	"time"

	"signpost/mta/route"
)

// maxIdle is how many connections a Client keeps at once: mail to a thousand domains must not cost a thousand files.
const maxIdle = 100

// pool keeps connections that are open and idle, each for a moment. It waits in close for the timers it has set and the
// goroutines it has started.
type pool struct {
	mu     sync.Mutex
	conns  map[poolKey][]*conn // the last is the one used last
	count  int
	closed bool
	busy   sync.WaitGroup // timers running, and connections that say goodbye
}

// take gives a connection to one of hop's addresses, in their order, or nil.
func (p *pool) take(hop route.Hop) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == 0 {
		return nil
	}
	for _, addr := range hop.Addrs {
		key := poolKey{hop.Host, netip.AddrPortFrom(addr.Unmap(), hop.Port), hop.Need}
		for list := p.conns[key]; len(list) > 0; list = p.conns[key] {
			cn := list[len(list)-1]
			p.remove(cn)
			if !cn.worn() {
				return cn
			}
			p.goodbye(cn)
		}
	}
	return nil
}

// put keeps cn for d.
func (p *pool) put(cn *conn, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || cn.worn() || cn.in.waiting() {
		p.goodbye(cn)
		return
	}
	if p.count == maxIdle {
		old := p.oldest()
		p.remove(old)
		p.goodbye(old)
	}
	if p.conns == nil {
		p.conns = make(map[poolKey][]*conn)
	}
	p.conns[cn.key] = append(p.conns[cn.key], cn)
	p.count++
	cn.since = time.Now()
	p.busy.Add(1)
	if cn.timer == nil {
		cn.timer = time.AfterFunc(d, func() { p.expire(cn) })
	} else {
		cn.timer.Reset(d)
	}
}

func (p *pool) oldest() *conn {
	var old *conn
	for _, list := range p.conns {
		if old == nil || list[0].since.Before(old.since) {
			old = list[0]
		}
	}
	return old
}

// remove takes cn out and reports whether it was there. Lock held.
func (p *pool) remove(cn *conn) bool {
	list := p.conns[cn.key]
	for i, c := range list {
		if c != cn {
			continue
		}
		if cn.timer.Stop() {
			p.busy.Done()
		} // else expire runs, and will not find it
		copy(list[i:], list[i+1:])
		list[len(list)-1] = nil
		if p.conns[cn.key] = list[:len(list)-1]; len(list) == 1 {
			delete(p.conns, cn.key)
		}
		p.count--
		return true
	}
	return false
}

// expire runs when cn's timer has fired. Where cn was taken in that very moment it does nothing; where it has been put
// back since, cn ends early, which harms nobody.
func (p *pool) expire(cn *conn) {
	defer p.busy.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.remove(cn) {
		p.goodbye(cn)
	}
}

// goodbye ends cn without making anybody wait. Lock held.
func (p *pool) goodbye(cn *conn) {
	if p.closed {
		cn.drop() // nobody would wait for the goroutine
		return
	}
	p.busy.Go(cn.quit)
}

func (p *pool) dismiss(cn *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goodbye(cn)
}

// close ends all connections that are kept, and returns when nothing of the pool runs any more.
func (p *pool) close() {
	p.mu.Lock()
	for _, list := range p.conns {
		for _, cn := range list {
			if cn.timer.Stop() {
				p.busy.Done()
			}
			p.busy.Go(cn.quit)
		}
	}
	p.conns, p.count, p.closed = nil, 0, true
	p.mu.Unlock()
	p.busy.Wait()
}
