package smtpout

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"signpost/mta/route"
)

// maxIdle is how many connections a Client keeps at once, and at most a quarter of the files that it may open, for
// the rest of the daemon needs some too.
const maxIdle = 1000

// pool keeps connections that are open and idle, each for a moment. It waits in close for the timers it has set and the
// goroutines it has started.
type pool struct {
	mu     sync.Mutex
	conns  map[poolKey][]*conn // the last is the one used last
	age    list.List           // all of them, the one used last at the end
	max    int                 // 0: not known yet
	closed bool
	busy   sync.WaitGroup // timers running, and connections that say goodbye
}

// take gives a connection to one of hop's addresses, in their order, or nil.
func (p *pool) take(hop route.Hop) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.age.Len() == 0 {
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
	if p.conns == nil {
		p.conns = make(map[poolKey][]*conn)
		p.max = idleLimit()
	}
	if p.age.Len() == p.max {
		old := p.age.Front().Value.(*conn)
		p.remove(old)
		p.goodbye(old)
	}
	p.conns[cn.key] = append(p.conns[cn.key], cn)
	cn.place = p.age.PushBack(cn)
	p.busy.Add(1)
	if cn.timer == nil {
		cn.timer = time.AfterFunc(d, func() { p.expire(cn) })
	} else {
		cn.timer.Reset(d)
	}
}

// idleLimit is maxIdle where the process may open enough files.
func idleLimit() int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 1
	}
	return int(max(min(maxIdle, files.Cur/4), 1))
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
		p.age.Remove(cn.place)
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
	p.age.Init()
	p.conns, p.closed = nil, true
	p.mu.Unlock()
	p.busy.Wait()
}
