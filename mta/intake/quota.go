package intake

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"signpost/spool"
)

// Limits say how many messages of a user are let go within an hour; 0: no limit.
type Limits struct {
	PerHour int
	Users   map[int]int // by uid, in place of PerHour
}

// None reports whether no user has a limit.
func (l Limits) None() bool {
	for _, n := range l.Users {
		if n > 0 {
			return false
		}
	}
	return l.PerHour <= 0
}

func (l Limits) of(uid int) int {
	if n, ok := l.Users[uid]; ok {
		return n
	}
	return l.PerHour
}

const (
	minutes   = 60     // that count, besides the one that has begun: no hour ever sees more than the limit
	maxCounts = 10_000 // users that are counted at once, of some 300 octets each
)

// Counts knows how many messages of each user have been let go within the last hour. It outlives an Intake. The zero
// value is empty. Safe for concurrent use.
type Counts struct {
	mu    sync.Mutex
	users map[int]*lastHour
}

// lastHour counts by minutes.
type lastHour struct {
	minute int64               // of the clock, the latest seen
	count  [minutes + 1]uint32 // by minute modulo its length
}

// Add counts a message of uid that is let go at a moment of the past, as far as it still matters now.
func (c *Counts) Add(uid int, at, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.user(uid, now)
	if age := u.minute - minuteOf(at); age <= minutes {
		u.count[(u.minute-max(age, 0))%int64(len(u.count))]++
	}
}

// take counts a message of uid, and reports whether limit let it. One that is not let go does not count.
func (c *Counts) take(uid, limit int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.user(uid, now)
	if u.sum() >= limit {
		return false
	}
	u.count[u.minute%int64(len(u.count))]++
	return true
}

// giveBack takes back the message of a take a moment ago: it was not accepted.
func (c *Counts) giveBack(uid int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.user(uid, now)
	if n := &u.count[u.minute%int64(len(u.count))]; *n > 0 {
		*n--
	}
}

// user gives the counts of uid, up to now.
func (c *Counts) user(uid int, now time.Time) *lastHour {
	u := c.users[uid]
	if u == nil {
		c.makeRoom(now)
		u = &lastHour{minute: minuteOf(now)}
		c.users[uid] = u
	}
	u.forward(minuteOf(now))
	return u
}

// makeRoom forgets users of whom nothing came within the hour, and, if that is not half of them, anybody: who is
// forgotten can send as much again, which is little beside what the others sent who brought that about.
func (c *Counts) makeRoom(now time.Time) {
	if c.users == nil {
		c.users = make(map[int]*lastHour)
	}
	if len(c.users) < maxCounts {
		return
	}
	for uid, u := range c.users {
		if u.forward(minuteOf(now)); u.sum() == 0 {
			delete(c.users, uid)
		}
	}
	for uid := range c.users {
		if len(c.users) <= maxCounts/2 {
			return
		}
		delete(c.users, uid)
	}
}

// forward forgets the minutes that are more than an hour ago. A clock that was set back a little stands still; if it was
// set back by more nothing is known of the hour.
func (u *lastHour) forward(minute int64) {
	switch gone := minute - u.minute; {
	case gone > minutes, gone < -minutes:
		*u = lastHour{minute: minute}
	default:
		for ; u.minute < minute; u.minute++ {
			u.count[(u.minute+1)%int64(len(u.count))] = 0
		}
	}
}

func (u *lastHour) sum() (n int) {
	for _, c := range u.count {
		n += int(c)
	}
	return n
}

func minuteOf(t time.Time) int64 { return max(t.Unix(), 0) / 60 }

// overQuota begins the reason of what is held for the number of its user's messages.
const overQuota = "over quota: "

// OverQuota reports whether a message was held, when it was accepted, because its user had handed in too many.
func OverQuota(held string) bool { return strings.HasPrefix(held, overQuota) }

// limit holds the message if its user is over the limit. What it gives takes the counting back.
func (h *handover) limit() (undo func()) {
	i, uid := h.intake, h.who.UID
	limit := i.Limits.of(uid)
	if i.Counts == nil || limit <= 0 || uid < 0 {
		return func() {}
	}
	now := i.now()
	if i.Counts.take(uid, limit, now) {
		return func() { i.Counts.giveBack(uid, now) }
	}
	h.env.Held = fmt.Sprintf("%smore than %s of %s within an hour", overQuota, messages(limit), Who(h.env.Origin))
	return func() {}
}

func messages(n int) string {
	if n == 1 {
		return "one message"
	}
	return fmt.Sprintf("%d messages", n)
}

// Who names the user that a message is from: "www-data (uid 33)", or "uid 33".
func Who(o spool.Origin) string {
	if o.Login == "" {
		return fmt.Sprintf("uid %d", o.UID)
	}
	return fmt.Sprintf("%s (uid %d)", o.Login, o.UID)
}
