package dns

import (
	"net/netip"
	"time"
)

// The limits of the cache.
const (
	maxWeight   = 8 << 20          // octets of all entries, roughly
	maxTTL      = 24 * time.Hour   // however long an owner allows
	maxNegative = 15 * time.Minute // a domain that has just been set up must not bounce for a day (RFC 2308 5 allows hours)
	samples     = 8
)

// question is what is asked; name is canonical.
type question struct {
	name string
	kind uint16 // record type
}

// answer is what was found: records of the type asked for, or that there are none.
type answer struct {
	mx        []MX
	ips       []netip.Addr
	tlsa      []TLSA
	txt       []string
	none      error // ErrNotFound or ErrNoData
	authentic bool
	ttl       time.Duration
}

// weight is about how many octets of memory a takes.
func (a *answer) weight() int {
	n := 200 + 24*len(a.ips)
	for _, m := range a.mx {
		n += 24 + len(m.Host)
	}
	for _, t := range a.tlsa {
		n += 32 + len(t.Data)
	}
	for _, t := range a.txt {
		n += 16 + len(t)
	}
	return n
}

// cache keeps answers until their time to live is over. It is guarded by the Client's lock.
type cache struct {
	entries map[question]entry
	weight  int
	limit   int // octets; 0: maxWeight
}

type entry struct {
	answer
	weight int
	until  time.Time
}

func (c *cache) get(q question) (answer, bool) {
	e, ok := c.entries[q]
	if !ok {
		return answer{}, false
	}
	if !time.Now().Before(e.until) {
		c.remove(q)
		return answer{}, false
	}
	return e.answer, true
}

func (c *cache) put(q question, a answer) {
	ttl := min(a.ttl, maxTTL)
	if a.none != nil {
		ttl = min(a.ttl, maxNegative)
	}
	if ttl <= 0 {
		return
	}
	if c.entries == nil {
		c.entries = make(map[question]entry)
	}
	c.remove(q)
	e := entry{answer: a, weight: a.weight() + len(q.name), until: time.Now().Add(ttl)}
	limit := c.limit
	if limit == 0 {
		limit = maxWeight
	}
	if e.weight > limit {
		return
	}
	for c.weight+e.weight > limit {
		c.evict()
	}
	c.entries[q] = e
	c.weight += e.weight
}

func (c *cache) remove(q question) {
	c.weight -= c.entries[q].weight
	delete(c.entries, q)
}

// evict removes, of a few entries, the one that ends soonest. Go ranges over maps from a random place, so that a
// flood of new names cannot aim at one entry.
func (c *cache) evict() {
	var worst question
	var until time.Time
	n := 0
	for q, e := range c.entries {
		if n == 0 || e.until.Before(until) {
			worst, until = q, e.until
		}
		if n++; n == samples {
			break
		}
	}
	c.remove(worst)
}
