package intake

import (
	"context"
	"sync"

	"signpost/spool"
)

// remembered is how many accepted ids a Server can tell of without the Store.
const remembered = 4096

// fates knows what becomes of the messages of this Server, for clients that lost the answer.
type fates struct {
	mu       sync.Mutex
	open     map[spool.ID]chan struct{} // closed when the fate is known
	accepted map[spool.ID]int           // the uid that handed it in
	ring     []spool.ID                 // the keys of accepted, oldest at next
	next     int
}

// begin says that id was given to a client.
func (f *fates) begin(id spool.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = make(map[spool.ID]chan struct{})
		f.accepted = make(map[spool.ID]int)
	}
	f.open[id] = make(chan struct{})
}

// end says what became of id.
func (f *fates) end(id spool.ID, uid int, accepted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.open[id]; c != nil {
		close(c)
		delete(f.open, id)
	}
	if accepted {
		f.remember(id, uid)
	}
}

func (f *fates) remember(id spool.ID, uid int) {
	f.accepted[id] = uid
	if len(f.ring) < remembered {
		f.ring = append(f.ring, id)
		return
	}
	delete(f.accepted, f.ring[f.next])
	f.ring[f.next] = id
	f.next = (f.next + 1) % remembered
}

// of waits until the fate of id is decided, and reports whether uid handed it in and it was accepted by this Server.
func (f *fates) of(ctx context.Context, id spool.ID, uid int) (bool, error) {
	f.mu.Lock()
	c := f.open[id]
	f.mu.Unlock()
	if c != nil {
		select {
		case <-c:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	owner, ok := f.accepted[id]
	return ok && owner == uid, nil
}
