package mta

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"signpost/mta/control"
	"signpost/mta/history"
	"signpost/mta/intake"
	"signpost/spool"
)

// server answers the callers of submit.sock.
func (d *Daemon) server() *intake.Server {
	return &intake.Server{Intake: d.intake.Load, Queue: d.listFor, Run: d.runFor, Reload: d.reloadFor, Taken: d.taken, Log: d.log}
}

// admins answers the administrator.
func (d *Daemon) admins() *control.Spool {
	s := &control.Spool{Dir: d.dir, Queue: d.queue, History: historyDir(d.first)}
	if d.journal != nil {
		s.Flush = d.journal.Flush
	}
	return s
}

func (d *Daemon) insider(ctx context.Context, uid int) bool {
	d.reloading.Lock()
	cfg := d.cfg
	d.reloading.Unlock()
	return insider(ctx, cfg, uid)
}

// listFor lists the queue for mailq: insiders see all, others their own messages; of the rest they learn that they
// are there.
func (d *Daemon) listFor(ctx context.Context, uid int) iter.Seq2[spool.Entry, error] {
	all := d.insider(ctx, uid)
	return func(yield func(spool.Entry, error) bool) {
		active := d.queue.ActiveSet()
		for e, err := range d.dir.Entries(ctx) {
			if err == nil {
				e.Active = active[e.ID]
				if o := e.Envelope.Origin; !all && (uid == unknownUID || o.UID != uid) {
					e = spool.Entry{ID: e.ID, Size: e.Size, Active: e.Active, Hidden: true, Envelope: spool.Envelope{Arrived: e.Envelope.Arrived}}
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// runFor has messages tried now, as sendmail -q asks.
func (d *Daemon) runFor(ctx context.Context, uid int, f spool.Filter) error {
	if !d.insider(ctx, uid) {
		return spool.ErrForbidden
	}
	if f == (spool.Filter{}) {
		d.queue.RetryAll()
		return nil
	}
	var chosen []spool.ID
	for e, err := range d.dir.Entries(ctx) {
		if err == nil && matches(f, e) {
			chosen = append(chosen, e.ID)
		}
	}
	d.queue.Retry(chosen...)
	return ctx.Err()
}

// matches compares without regard to case, as -qI, -qR and -qS do.
func matches(f spool.Filter, e spool.Entry) bool {
	var rcpts []string
	for _, r := range e.Envelope.Rcpts {
		rcpts = append(rcpts, r.Addr)
	}
	return fits(f.ID, f.NotID, string(e.ID)) && fits(f.Rcpt, f.NotRcpt, rcpts...) && fits(f.Sender, f.NotSender, e.Envelope.Sender)
}

// fits reports whether one of the texts contains part, and none contains not. An empty part or not asks for nothing.
func fits(part, not string, texts ...string) bool {
	has := func(part string) bool {
		return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(part)) })
	}
	return (part == "" || has(part)) && (not == "" || !has(not))
}

// taken tells a caller that lost the answer whether its message was accepted, also by an earlier process: it is in
// the spool, or the history knows that it was.
func (d *Daemon) taken(_ context.Context, uid int, id spool.ID) (bool, error) {
	env, _, err := d.dir.Read(id)
	if err == nil {
		return env.Origin.UID == uid, nil
	}
	if !errors.Is(err, spool.ErrNotFound) {
		return false, err
	}
	if d.journal != nil {
		d.journal.Flush()
	}
	records, err := history.Search(historyDir(d.first), string(id), 1)
	return accepted(records, id, uid), err
}

// accepted reports whether records tell that uid handed in id. A crash may have lost the line that says who did, and
// not a later one; then knowing the id, which only its greeting told, is enough.
func accepted(records []history.Record, id spool.ID, uid int) bool {
	known := false
	for _, r := range records {
		if r.ID == id && r.Origin != nil {
			return r.Origin.UID == uid
		}
		known = known || r.ID == id
	}
	return known
}

// reloadFor reads configuration and aliases again, as newaliases asks.
func (d *Daemon) reloadFor(ctx context.Context, uid int) error {
	if !d.insider(ctx, uid) {
		return spool.ErrForbidden
	}
	return d.Reload()
}
