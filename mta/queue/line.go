package queue

// line is what waits for a slot of one destination. It serves the local users in turn, of each user the senders in turn,
// and of each sender the messages in order: who hands in much waits behind himself, and a single message behind one of
// each of the others.
type line struct {
	users map[int32]*user // those with something in line
	turn  fifo[*user]
}

// origin is whom a message waits with.
type origin struct {
	uid    int32
	sender uint32 // a hash: where two senders have the same, they share a turn
}

type user struct {
	uid     int32
	senders map[uint32]*sender
	turn    fifo[*sender]
}

type sender struct {
	hash  uint32
	items fifo[*item] // one that has another state than ready by now is passed over
}

func (l *line) push(it *item) {
	u := l.users[it.from.uid]
	if u == nil {
		if l.users == nil {
			l.users = make(map[int32]*user)
		}
		u = &user{uid: it.from.uid, senders: make(map[uint32]*sender)}
		l.users[u.uid] = u
		l.turn.push(u)
	}
	s := u.senders[it.from.sender]
	if s == nil {
		s = &sender{hash: it.from.sender}
		u.senders[s.hash] = s
		u.turn.push(s)
	}
	s.items.push(it)
}

// ready drops what is in front and not to be tried any more, and reports whether something is left.
func (l *line) ready() bool {
	for l.turn.len() > 0 {
		u := l.turn.front()
		for u.turn.len() > 0 {
			s := u.turn.front()
			for s.items.len() > 0 && s.items.front().state != ready {
				s.items.pop()
			}
			if s.items.len() > 0 {
				return true
			}
			u.turn.pop()
			delete(u.senders, s.hash)
		}
		l.turn.pop()
		delete(l.users, u.uid)
	}
	return false
}

// pop takes the first of a line that is ready. Its user and its sender go to the end of their turns.
func (l *line) pop() *item {
	u := l.turn.pop()
	s := u.turn.pop()
	it := s.items.pop()
	if s.items.len() > 0 {
		u.turn.push(s)
	} else {
		delete(u.senders, s.hash)
	}
	if u.turn.len() > 0 {
		l.turn.push(u)
	} else {
		delete(l.users, u.uid)
	}
	return it
}

// fifo is a list of which the first is taken. The zero value is empty.
type fifo[T any] struct {
	list []T
	head int
}

func (f *fifo[T]) len() int { return len(f.list) - f.head }

func (f *fifo[T]) push(v T) { f.list = append(f.list, v) }

func (f *fifo[T]) front() T { return f.list[f.head] }

func (f *fifo[T]) pop() T {
	var zero T
	v := f.list[f.head]
	f.list[f.head] = zero
	f.head++
	switch {
	case f.head == len(f.list):
		f.list, f.head = f.list[:0], 0
	case f.head > 64 && f.head*2 > len(f.list):
		f.list = append([]T(nil), f.list[f.head:]...)
		f.head = 0
	}
	return v
}
