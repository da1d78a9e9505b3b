package queue

import "time"

// Rate is how many messages may be tried in a time. The zero value is any number.
type Rate struct {
	Messages int
	Per      time.Duration
}

// pace holds a destination to a Rate, over any span of time Rate.Per long (the generic cell rate algorithm). It begins
// anew when the daemon does.
type pace struct {
	rate Rate
	due  time.Time // when the allowance would be whole again, were nothing tried any more
}

// next is the first moment at which a message may be tried.
func (p *pace) next() time.Time {
	if p.rate.Messages == 0 {
		return time.Time{}
	}
	return p.due.Add(p.each() - p.rate.Per)
}

// each is the share of one message.
func (p *pace) each() time.Duration { return p.rate.Per / time.Duration(p.rate.Messages) }

// take counts a message.
func (p *pace) take(now time.Time) {
	if p.rate.Messages == 0 {
		return
	}
	if p.due.Before(now) {
		p.due = now
	}
	p.due = p.due.Add(p.each())
}

// pause keeps d, which has a free slot and something ready, until its rate allows another message.
func (q *Queue) pause(d *dest) {
	at := d.pace.next()
	q.paced[d] = struct{}{}
	if q.nextPaced.IsZero() || at.Before(q.nextPaced) {
		q.nextPaced = at
	}
}

// resume offers the destinations again whose rate allows a message by now.
func (q *Queue) resume(now time.Time) {
	if len(q.paced) == 0 || q.nextPaced.After(now) {
		return
	}
	q.nextPaced = time.Time{}
	for d := range q.paced {
		delete(q.paced, d)
		q.offer(d) // or pauses it once more
		q.tidy(d)
	}
}
