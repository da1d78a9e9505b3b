package mta

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"signpost/compat/settings"
	"signpost/mta/history"
	"signpost/mta/intake"
	"signpost/mta/local"
	"signpost/spool"
)

// quotas knows who hands in too much, and tells the postmaster once. It outlives a reload. Safe for concurrent use.
type quotas struct {
	counts  intake.Counts
	journal *history.Journal // nil: nothing is remembered
	now     func() time.Time
	log     *slog.Logger

	mu     sync.Mutex
	excess map[int]*excess // by uid
}

// excess is a time in which messages of one user are held, with no hour in between in which none was.
type excess struct {
	began, latest time.Time
	told          bool // the postmaster knows
}

const (
	excessGap  = time.Hour
	excessMost = 24 * time.Hour // after which the postmaster is told again
	maxExcess  = 10_000         // users
)

// newLimits names users by uid. A name that this host does not know is passed over: the user may come later, and who
// has gone sends nothing.
func newLimits(ctx context.Context, q settings.Quota, users local.Users, log *slog.Logger) intake.Limits {
	l := intake.Limits{PerHour: q.MessagesPerHour, Users: make(map[int]int)}
	for name, n := range q.Users {
		uid, err := strconv.Atoi(name)
		if err != nil {
			var u local.User
			if u, err = users.LookupName(ctx, name); err != nil {
				log.Warn("a user in [spool.quota.users] is not known here", "user", name, "err", err)
				continue
			}
			uid = u.UID
		}
		l.Users[uid] = n
	}
	return l
}

// held is told of a message that was held for the number of its user's messages.
func (q *quotas) held(to *notices, a intake.Accepted) {
	o := a.Envelope.Origin
	if !q.over(o.UID, q.now()) {
		return
	}
	if q.journal != nil {
		q.journal.Flush() // or a crash from here on would hide that the postmaster should be told
	}
	q.tell(to, a.ID, a.Envelope)
}

// over notes that a message of uid is held, and reports whether the postmaster is to be told.
func (q *quotas) over(uid int, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.excess[uid]
	if x == nil || now.Sub(x.latest).Abs() > excessGap || now.Sub(x.began).Abs() > excessMost {
		q.makeRoom()
		x = &excess{began: now}
		q.excess[uid] = x
	}
	if now.After(x.latest) {
		x.latest = now
	}
	told := x.told
	x.told = true // by this one; tell takes it back where that fails
	return !told
}

// makeRoom forgets all when there is too much of it: the pace of notices holds anyway.
func (q *quotas) makeRoom() {
	if q.excess == nil || len(q.excess) >= maxExcess {
		q.excess = make(map[int]*excess)
	}
}

// tell sends the notice about the message that began an excess, and has that remembered.
func (q *quotas) tell(to *notices, id spool.ID, env spool.Envelope) {
	o := env.Origin
	err := to.send(context.Background(), quotaNotice(id, env))
	if err != nil {
		q.log.Warn("the postmaster cannot be told of a user over his quota", "uid", o.UID, "err", err)
		q.mu.Lock()
		defer q.mu.Unlock()
		if x := q.excess[o.UID]; x != nil {
			x.told = false // the next message that is held brings it up again
		}
		return
	}
	q.log.Warn("messages of a user are held: too many within an hour", "id", id, "uid", o.UID, "program", o.Caller().Program())
	if q.journal == nil {
		return
	}
	if err := q.journal.Add(history.Record{Time: q.now(), ID: id, What: viaNotice, From: env.Sender, Origin: &o}); err == nil {
		q.journal.Flush()
	}
}

// quotaNotice tells of the message that began an excess. Command lines are not in it: they may hold passwords, and this
// mail may go anywhere.
func quotaNotice(id spool.ID, env spool.Envelope) notice {
	who := intake.Who(env.Origin)
	name := env.Origin.Login
	if name == "" {
		name = strconv.Itoa(env.Origin.UID)
	}
	p := env.Origin.Caller()
	text := []string{
		"Mail of " + who + " is held, " + env.Held + ". Nothing is lost, and nothing of what is held leaves before you say so. " +
			"What comes within the quota goes on being sent.",
		"The first message that was held is " + string(id) + ", from <" + env.Sender + ">. Who handed it in, as far as it can be told without proof:",
	}
	for _, line := range [][2]string{
		{"program", p.Program()}, {"unit", p.Unit}, {"container", p.Container}, {"folder", p.Dir}, {"PHP script", p.Script}, {"login", p.Login},
	} {
		if line[1] != "" {
			text = append(text, "    "+line[0]+": "+line[1])
		}
	}
	return notice{
		kind: "quota", about: []string{string(id)}, at: id.Time(),
		subject: "Mail of " + who + " is held: over quota",
		text: append(text,
			"To look at it, and at the queue:",
			"    signpost why "+string(id),
			"    signpost queue",
			"To let go what is held, or to remove it, which nobody is told of:",
			"    signpost queue release --user "+name,
			"    signpost queue delete --held --user "+name,
			"To allow this user more: [spool.quota.users] in the configuration.",
			"There will be no other notice about this user before an hour has passed without a message of his being held, or a day."),
	}
}

// restore takes what the history knows of the last hour, after a start: what was let go counts, and who was over his
// quota is. What it gives are the messages that began an excess of which the postmaster has not been told.
func (q *quotas) restore(dir string) []history.Record {
	now := q.now()
	records, err := history.Recent(dir, now.Add(-excessGap), "accepted", viaNotice)
	if err != nil {
		q.log.Warn("quotas begin anew", "err", err)
	}
	first := make(map[int]history.Record) // of those that nobody was told of
	for _, r := range records {
		switch o := r.Origin; {
		case o == nil || o.UID < 0 || r.Time.After(now):
		case r.What == viaNotice:
			q.see(o.UID, r.Time).told = true
			delete(first, o.UID)
		case intake.OverQuota(r.Held):
			if x := q.see(o.UID, r.Time); !x.told {
				if _, ok := first[o.UID]; !ok {
					first[o.UID] = r
				}
			}
		case o.Via == intake.ViaSocket || o.Via == intake.ViaDrop:
			q.counts.Add(o.UID, r.Time, now)
		}
	}
	var untold []history.Record
	for _, r := range first {
		untold = append(untold, r)
	}
	return untold
}

// see notes an excess of the past.
func (q *quotas) see(uid int, at time.Time) *excess {
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.excess[uid]
	if x == nil {
		q.makeRoom()
		x = &excess{began: at}
		q.excess[uid] = x
	}
	x.latest = at
	return x
}

// restoreQuotas is restore, where the configuration has limits, and makes up for notices that a crash came before.
func (d *Daemon) restoreQuotas() {
	if d.parts.intake.Limits.None() {
		return
	}
	for _, r := range d.quotas.restore(historyDir(d.first)) {
		env := spool.Envelope{Sender: r.From, Origin: *r.Origin, Held: r.Held}
		if d.quotas.over(r.Origin.UID, r.Time) {
			d.quotas.tell(d.notices.Load(), r.ID, env)
		}
	}
}

// accepted notes a message that was taken, and tells the postmaster of one that is held.
func (d *Daemon) accepted(to *notices) func(intake.Accepted) {
	return func(a intake.Accepted) {
		d.notes.accepted(a)
		if intake.OverQuota(a.Envelope.Held) {
			d.quotas.held(to, a)
		}
	}
}
