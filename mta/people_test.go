package mta

import (
	"context"
	"testing"
	"time"

	"signpost/mta/local"
)

// directory counts how often it is asked.
type directory struct {
	local.Users
	asked int
}

func (d *directory) LookupUID(_ context.Context, uid int) (local.User, error) {
	d.asked++
	if uid != 1001 {
		return local.User{}, local.ErrNoUser
	}
	return local.User{Name: "ann", UID: 1001, FullName: "Ann"}, nil
}

func TestAccountsAreAskedForOnceAMoment(t *testing.T) {
	now := time.Unix(0, 0)
	d := &directory{}
	p := newPeople(d, func() time.Time { return now })
	for range 3 {
		if u, ok := p.byUID(1001); !ok || u.Login != "ann" || u.UID != 1001 {
			t.Errorf("got %+v, %v", u, ok)
		}
		if _, ok := p.byUID(4711); ok {
			t.Error("nobody is somebody")
		}
	}
	if d.asked != 2 {
		t.Errorf("asked %d times, want once for each", d.asked)
	}
	now = now.Add(nameHolds)
	p.byUID(1001)
	if d.asked != 3 {
		t.Errorf("asked %d times, want again after a moment", d.asked)
	}
	for uid := range 3 * namesKnown {
		p.byUID(10000 + uid)
	}
	if n := len(p.known); n > namesKnown {
		t.Errorf("%d accounts are kept, want %d at most", n, namesKnown)
	}
}
