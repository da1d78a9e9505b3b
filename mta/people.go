package mta

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"signpost/mta/intake"
	"signpost/mta/local"
)

// people tells intake who callers are. What the host says of an account is believed for a moment, so that a caller of
// many messages costs one look-up; and a uid that nobody knows does not start getent(1) for each of them. Safe for
// concurrent use.
type people struct {
	users local.Users
	now   func() time.Time

	mu    sync.Mutex
	known map[string]person
}

type person struct {
	intake.User
	ok    bool
	until time.Time
}

const (
	nameWait   = 2 * time.Second // for a directory service; without it a caller is known by number
	nameHolds  = 2 * time.Second
	namesKnown = 1000
)

func newPeople(users local.Users, now func() time.Time) *people {
	return &people{users: users, now: now, known: make(map[string]person)}
}

func (p *people) byUID(uid int) (intake.User, bool) {
	return p.find("#"+strconv.Itoa(uid), func(ctx context.Context) (local.User, error) { return p.users.LookupUID(ctx, uid) })
}

func (p *people) byName(login string) (intake.User, bool) {
	if login == "" || strings.ContainsAny(login, "#:/\n") {
		return intake.User{}, false
	}
	return p.find(login, func(ctx context.Context) (local.User, error) { return p.users.LookupName(ctx, login) })
}

func (p *people) find(key string, look func(context.Context) (local.User, error)) (intake.User, bool) {
	now := p.now()
	p.mu.Lock()
	who, ok := p.known[key]
	p.mu.Unlock()
	if ok && now.Before(who.until) {
		return who.User, who.ok
	}
	ctx, cancel := context.WithTimeout(context.Background(), nameWait)
	defer cancel()
	u, err := look(ctx)
	who = person{ok: err == nil, until: now.Add(nameHolds)}
	if who.ok {
		who.User = intake.User{UID: u.UID, Login: u.Name, FullName: u.FullName}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= namesKnown {
		clear(p.known)
	}
	p.known[key] = who
	return who.User, who.ok
}
