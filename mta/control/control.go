// Package control serves the admin interface over HTTP on a local socket.
//
// Admin is what an administrator can do with the queue. Spool does it in this process: in the daemon beside its
// scheduler, or, while no daemon runs, in the command itself under the lock of the spool. Client does the same over
// control.sock, whose file mode says who may (root and the group of the daemon). The two are told apart nowhere else.
//
// Texts of strangers travel verbatim in JSON; the command that prints them escapes them.
package control

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"signpost/mta/history"
	"signpost/mta/queue"
	"signpost/spool"
)

// Admin is what an administrator can do with the queue.
type Admin interface {
	// List yields the messages by arrival.
	List(ctx context.Context) iter.Seq2[Message, error]
	// Show is one message; spool.ErrNotFound.
	Show(ctx context.Context, id spool.ID) (Message, error)
	// Content is a message as stored: CRLF line ends.
	Content(ctx context.Context, id spool.ID) (io.ReadCloser, error)
	// Act does something to each of the messages chosen.
	Act(ctx context.Context, a Action) ([]Done, error)
	// Why is what is remembered of a message, or of the latest messages from or to an address.
	Why(ctx context.Context, query string) ([]history.Record, error)
}

// Message is a queued message as it is shown. Its JSON form is stable.
type Message struct {
	ID      spool.ID       `json:"id"`
	State   string         `json:"state"` // "active", "held", "queued" (waits for a queue run), "dropped" (in drop/, waits for a daemon), "waiting"
	Arrived time.Time      `json:"arrived"`
	Size    int64          `json:"size"` // octets of content
	Sender  string         `json:"sender"`
	Rcpts   []history.Rcpt `json:"rcpts"`
	Left    int            `json:"left"` // recipients not settled
	Tries   int            `json:"tries"`
	Next    *time.Time     `json:"next,omitempty"`
	Held    string         `json:"held,omitempty"`
	Parent  spool.ID       `json:"parent,omitempty"`
	Origin  spool.Origin   `json:"origin"`
	// Rewritten is what was changed of the senders' addresses.
	Rewritten []spool.Rewriting `json:"rewritten,omitempty"`
	Error     string            `json:"error,omitempty"` // why the rest is not known
}

// Reason is why the message waits: its first recipient's last answer.
func (m Message) Reason() string {
	if m.Held != "" {
		return m.Held
	}
	for _, r := range m.Rcpts {
		if r.Outcome == spool.Deferred.String() {
			if r.Reply != "" {
				return r.Remote + " said: " + r.Reply
			}
			return r.Detail
		}
	}
	return ""
}

// Action is something to do: Verb "retry", "hold", "release" or "delete", to the messages of IDs, or to those that
// All, Domain (of a recipient), Sender, UID (of who handed them in) and Held (those on hold) choose, all of which must hold.
type Action struct {
	Verb   string     `json:"verb"`
	IDs    []spool.ID `json:"ids,omitempty"`
	All    bool       `json:"all,omitempty"`
	Domain string     `json:"domain,omitempty"`
	Sender *string    `json:"sender,omitempty"`
	UID    *int       `json:"uid,omitempty"`
	Held   bool       `json:"held,omitempty"`
	Reason string     `json:"reason,omitempty"` // of "hold"
}

// Done is what became of one message; Error is empty where all went well.
type Done struct {
	ID    spool.ID `json:"id"`
	Error string   `json:"error,omitempty"`
}

// Spool is the Admin of this process.
type Spool struct {
	Dir     *spool.Dir
	Queue   *queue.Queue // nil while no daemon runs
	History string       // folder
	Flush   func()       // makes the history complete on disk; may be nil
	// Remember puts what is done while no daemon runs into the history; nil: it is not remembered.
	Remember func(history.Record)
	Now      func() time.Time
}

var _ Admin = (*Spool)(nil)

// List is as Admin says.
func (s *Spool) List(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		var active map[spool.ID]bool
		if s.Queue != nil {
			active = s.Queue.ActiveSet()
		}
		for e, err := range s.Dir.Entries(ctx) {
			var m Message
			if err == nil {
				m = describe(e.ID, e.Envelope, e.Size, active[e.ID])
			}
			if !yield(m, err) {
				return
			}
		}
		if s.Queue == nil {
			s.listDropped(yield)
		}
	}
}

// listDropped yields what waits in drop/ for a daemon to take it.
func (s *Spool) listDropped(yield func(Message, error) bool) {
	for e, err := range s.Dir.Dropped() {
		var m Message
		if err == nil {
			m = describe(e.ID, e.Envelope, e.Size, false)
			m.State = "dropped"
		}
		if !yield(m, err) {
			return
		}
	}
}

// Show is as Admin says.
func (s *Spool) Show(_ context.Context, id spool.ID) (Message, error) {
	env, size, err := s.Dir.Read(id)
	if err != nil {
		return Message{}, err
	}
	return describe(id, env, size, s.Queue != nil && s.Queue.Active(id)), nil
}

func describe(id spool.ID, env spool.Envelope, size int64, active bool) Message {
	m := Message{ID: id, State: "waiting", Arrived: env.Arrived, Size: size, Sender: env.Sender, Tries: env.Tries,
		Held: env.Held, Parent: env.Parent, Origin: env.Origin, Rewritten: env.Rewritten, Rcpts: make([]history.Rcpt, len(env.Rcpts))}
	for i, r := range env.Rcpts {
		m.Rcpts[i] = history.RcptOf(r)
		if !r.Settled() {
			m.Left++
		}
	}
	if !env.Next.IsZero() {
		m.Next = &env.Next
	}
	switch {
	case active:
		m.State = "active"
	case env.Held != "":
		m.State = "held"
	case env.Queued && env.Tries == 0:
		m.State = "queued"
	}
	return m
}

// Content is as Admin says.
func (s *Spool) Content(_ context.Context, id spool.ID) (io.ReadCloser, error) {
	return s.Dir.Content(id)
}

// Why is as Admin says.
func (s *Spool) Why(_ context.Context, query string) ([]history.Record, error) {
	if s.Flush != nil {
		s.Flush()
	}
	return history.Search(s.History, query, 20)
}

// Act is as Admin says.
func (s *Spool) Act(ctx context.Context, a Action) ([]Done, error) {
	one, ok := map[string]func(context.Context, spool.ID, string) error{
		"retry": s.retry, "hold": s.hold, "release": s.release, "delete": s.delete,
	}[a.Verb]
	if !ok {
		return nil, fmt.Errorf("no such action: %q", a.Verb)
	}
	if a.Verb == "retry" && a.All && !a.narrowed() && s.Queue != nil {
		s.Queue.RetryAll()
		return nil, nil
	}
	ids, err := s.choose(ctx, a)
	if err != nil {
		return nil, err
	}
	done := make([]Done, len(ids))
	for i, id := range ids {
		done[i].ID = id
		if err := one(ctx, id, a.Reason); err != nil {
			done[i].Error = err.Error()
		}
	}
	return done, nil
}

// narrowed reports whether All is not all.
func (a Action) narrowed() bool { return a.Domain != "" || a.Sender != nil || a.UID != nil || a.Held }

// choose names the messages that an action is for.
func (s *Spool) choose(ctx context.Context, a Action) ([]spool.ID, error) {
	if !a.Chooses() {
		return a.IDs, nil
	}
	var ids []spool.ID
	for e, err := range s.Dir.Entries(ctx) {
		if err == nil && a.matches(e.Envelope) { // a damaged message is not for these actions
			ids = append(ids, e.ID)
		}
	}
	return ids, ctx.Err()
}

// Chooses reports whether a names messages by what they are, not by their ids.
func (a Action) Chooses() bool {
	return a.All || a.narrowed()
}

func (a Action) matches(env spool.Envelope) bool {
	if env.Held == "" && (a.Held || a.Verb == "release") { // nothing keeps the others
		return false
	}
	if via := env.Origin.Via; a.UID != nil && (*a.UID != env.Origin.UID || via != "socket" && via != "drop") {
		return false
	}
	if a.Sender != nil && !strings.EqualFold(*a.Sender, env.Sender) {
		return false
	}
	return a.Domain == "" || slices.ContainsFunc(env.Rcpts, func(r spool.Recipient) bool {
		return r.Kind == spool.Address && strings.EqualFold(r.Addr[strings.LastIndexByte(r.Addr, '@')+1:], a.Domain)
	})
}

func (s *Spool) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Spool) retry(ctx context.Context, id spool.ID, _ string) error {
	if s.Queue == nil {
		return s.claimed(ctx, id, "", func(c spool.Claim) error { return c.Record(nil, s.now()) })
	}
	if _, _, err := s.Dir.Read(id); err != nil {
		return err
	}
	s.Queue.Retry(id)
	return nil
}

func (s *Spool) hold(ctx context.Context, id spool.ID, reason string) error {
	if reason == "" {
		reason = "held by an administrator"
	}
	if s.Queue == nil {
		return s.claimed(ctx, id, "held", func(c spool.Claim) error { return c.Hold(reason) })
	}
	return s.Queue.Hold(ctx, id, reason)
}

func (s *Spool) release(ctx context.Context, id spool.ID, _ string) error {
	if s.Queue == nil {
		return s.claimed(ctx, id, "released", func(c spool.Claim) error { return c.Hold("") })
	}
	return s.Queue.Release(ctx, id)
}

func (s *Spool) delete(ctx context.Context, id spool.ID, _ string) error {
	if s.Queue == nil {
		return s.claimed(ctx, id, "removed", func(c spool.Claim) error { return c.Remove() })
	}
	return s.Queue.Delete(ctx, id)
}

// claimed does something to a message while no daemon runs. What names it for the history; empty: it is not worth it.
func (s *Spool) claimed(ctx context.Context, id spool.ID, what string, f func(spool.Claim) error) error {
	c, err := s.Dir.Claim(ctx, id)
	if err != nil {
		return err
	}
	defer c.Release()
	env, size := c.Envelope(), c.Size()
	if err := f(c); err != nil {
		return err
	}
	if what != "" && s.Remember != nil {
		s.Remember(history.Record{Time: s.now(), ID: id, What: what, From: env.Sender, Size: size, Gone: what == "removed"})
	}
	return nil
}
