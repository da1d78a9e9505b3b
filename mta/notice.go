package mta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"signpost/mta/bounce"
	"signpost/mta/intake"
	"signpost/spool"
)

// viaNotice is what Origin.Via says of a notice to the postmaster.
const viaNotice = "notice"

// notices tells the postmaster of trouble, by mail. It is made anew at each reload. Safe for concurrent use.
type notices struct {
	hostname string
	to       string
	store    spool.Creator
	now      func() time.Time
	log      *slog.Logger
	accepted func(intake.Accepted)
	pace     *pace
}

// notice is what the postmaster is told.
type notice struct {
	kind    string // of a kind, and about one user, few are sent
	user    string
	about   []string // names the occasion; with kind it makes the id: told again after a crash, it is there already
	at      time.Time
	subject string
	text    []string
}

// errPace says that a notice was not sent because there were so many.
var errPace = errors.New("too many notices to the postmaster within an hour")

// send hands a notice in. It is durable when it returns nil.
func (n *notices) send(ctx context.Context, x notice) error {
	if !n.pace.take(x.kind, x.user, n.now()) {
		return errPace
	}
	id := spool.DerivedID(x.at, append([]string{viaNotice, x.kind}, x.about...)...)
	w, err := n.store.Create(ctx, id)
	if errors.Is(err, spool.ErrExists) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Abort()
	size := &counter{w: w}
	letter := bounce.Letter{ID: id, To: n.to, Hostname: n.hostname, Subject: x.subject, Text: x.text, Now: n.now()}
	if err := letter.Write(size); err != nil {
		return fmt.Errorf("writing the notice: %w", err)
	}
	env := spool.Envelope{Rcpts: []spool.Recipient{{Addr: n.to, Notify: spool.NotifyNever}}, Arrived: n.now(),
		Origin: spool.Origin{Via: viaNotice, UID: -1}}
	if err := w.Commit(env); errors.Is(err, spool.ErrExists) {
		return nil
	} else if err != nil {
		return err
	}
	n.accepted(intake.Accepted{ID: id, Envelope: env, Size: size.n})
	return nil
}

// damaged tells of a message file that was set aside at path.
func (n *notices) damaged(id spool.ID, path string, cause error) {
	n.tell(notice{
		kind: "damaged", about: []string{string(id), path}, at: n.now(),
		subject: "A damaged message was set aside: " + string(id),
		text: []string{
			"The file of message " + string(id) + " in the spool is damaged: " + cause.Error() + ".",
			"It was moved out of the way, and is not tried any more. Recipients who had not got it before will not get it, and nobody else has been told.",
			"What there is of it, for root to look at, and what became of it so far:",
			"    " + path,
			"    signpost why " + string(id),
			"A disk that loses data is the usual reason. Of further files only the first within each hour are told of by mail; all are in the log.",
		},
	})
}

// rejected tells of a file from drop/ that is no message.
func (n *notices) rejected(uid int, path string, cause error) {
	user := fmt.Sprintf("uid %d", uid)
	n.tell(notice{
		kind: "drop", user: user, about: []string{path}, at: n.now(),
		subject: "A file in the drop folder is no message",
		text: []string{
			"Where the daemon does not answer, sendmail leaves messages in the folder drop of the spool. A file there, of the user with " + user +
				", is no message: " + cause.Error() + ".",
			"Either it was damaged, and a message of this user is lost, or the user put it there by other means. It was moved to:",
			"    " + path,
			"Of further files of this user only the first within each hour is told of by mail; all are in the log.",
		},
	})
}

// tell sends a notice of which the log has told too, so that it may be left out.
func (n *notices) tell(x notice) {
	if err := n.send(context.Background(), x); errors.Is(err, errPace) {
		n.log.Debug("the postmaster is not told by mail", "about", x.subject, "err", err)
	} else if err != nil {
		n.log.Error("the postmaster cannot be told by mail", "about", x.subject, "err", err)
	}
}

// pace bounds how many notices are sent within an hour: so many of a kind, and of those one about a user. The zero value
// is ready. Safe for concurrent use.
type pace struct {
	mu   sync.Mutex
	sent []sending // of the last hour
}

type sending struct {
	kind, user string
	at         time.Time
}

const (
	paceTime = time.Hour
	paceKind = 10
)

// take counts a notice, and reports whether it may be sent. A clock that was set back makes all that was sent old.
func (p *pace) take(kind, user string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.sent[:0]
	same, of := false, 0
	for _, s := range p.sent {
		if age := now.Sub(s.at); age < 0 || age >= paceTime {
			continue
		}
		kept = append(kept, s)
		if s.kind == kind {
			of++
			same = same || user != "" && s.user == user
		}
	}
	p.sent = kept
	if same || of >= paceKind {
		return false
	}
	p.sent = append(p.sent, sending{kind, user, now})
	return true
}
