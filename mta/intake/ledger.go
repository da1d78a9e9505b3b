package intake

import (
	"sync"

	"signpost/spool"
)

// ledger keeps what the connections of all users take, and says no in time. What one user may have leaves enough for
// the others.
type ledger struct {
	conns, connsUID   int   // connections of all, of one user
	memory, memoryUID int64 // octets of recipients and headers beyond the usual

	mu    sync.Mutex
	users map[int]*usage
	total usage
}

// usage is what a user's connections take now.
type usage struct {
	conns           int
	memory, content int64
}

func busy(text string) error { return spool.Errorf(spool.StatusBusy, "%s", text) }

// enter counts a new connection of uid.
func (l *ledger) enter(uid int) (*tab, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.users[uid]
	if u == nil {
		u = new(usage)
	}
	if l.total.conns >= l.conns || u.conns >= l.connsUID {
		return nil, busy("too many connections")
	}
	if l.users == nil {
		l.users = make(map[int]*usage)
	}
	l.users[uid] = u
	u.conns++
	l.total.conns++
	return &tab{ledger: l, uid: uid, user: u}, nil
}

// tab is what one connection takes. It is used by one goroutine.
type tab struct {
	ledger          *ledger
	uid             int
	user            *usage
	memory, content int64
}

// takeMemory counts n octets more.
func (t *tab) takeMemory(n int64) error {
	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total.memory+n > l.memory || t.user.memory+n > l.memoryUID {
		return busy("too many large headers and recipient lists at once")
	}
	l.total.memory += n
	t.user.memory += n
	t.memory += n
	return nil
}

// takeContent counts n octets more of content on its way. limit is for one user; 0: none.
func (t *tab) takeContent(n, limit int64) error {
	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit > 0 && t.user.content+n > limit {
		return busy("too much content at once")
	}
	t.user.content += n
	t.content += n
	return nil
}

// leave gives all of it back.
func (t *tab) leave() {
	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	t.user.conns--
	t.user.memory -= t.memory
	t.user.content -= t.content
	l.total.conns--
	l.total.memory -= t.memory
	if t.user.conns == 0 {
		delete(l.users, t.uid)
	}
}
