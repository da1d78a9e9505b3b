package intake

import (
	"context"
	"sync"
)

// How many listings there may be at once: each keeps the names of all messages, and some messages read ahead. Root
// waits for his own alone.
const (
	maxListings    = 6
	maxListingsUID = 2
)

// listings are the listings of the queue that are under way.
type listings struct {
	mu    sync.Mutex
	users map[int]int
	total int
	ended chan struct{} // closed when one of them ends; nil while nobody waits
}

// enter waits until uid may begin a listing, or ctx ends.
func (l *listings) enter(ctx context.Context, uid int) error {
	for {
		wait := l.begin(uid)
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return busy("too many listings of the queue at once")
		}
	}
}

// begin counts a listing, or gives what to wait for.
func (l *listings) begin(uid int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users[uid] < maxListingsUID && (l.total < maxListings || uid == 0) {
		if l.users == nil {
			l.users = make(map[int]int)
		}
		l.users[uid]++
		l.total++
		return nil
	}
	if l.ended == nil {
		l.ended = make(chan struct{})
	}
	return l.ended
}

func (l *listings) leave(uid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.users[uid]--; l.users[uid] == 0 {
		delete(l.users, uid)
	}
	if l.ended != nil {
		close(l.ended)
		l.ended = nil
	}
}
