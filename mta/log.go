package mta

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"signpost/mta/config"
	"signpost/mta/history"
	"signpost/mta/intake"
	"signpost/mta/queue"
	"signpost/spool"
)

// NewLogger makes the log that a configuration asks for, on w. Field names are those of the manual; what is not
// printable is escaped in all values, so a line of the log stays a line whatever a peer sent.
func NewLogger(w io.Writer, cfg config.Log) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(cfg.Level)) != nil {
		level = slog.LevelInfo
	}
	opt := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(PrintableJSON(w), opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// notes writes what happens to messages to the log and to the history.
type notes struct {
	log     *slog.Logger
	journal *history.Journal // nil: nothing is remembered
	now     func() time.Time
}

// accepted notes a message that is in the spool from now on.
func (n *notes) accepted(a intake.Accepted) {
	o := a.Envelope.Origin
	args := []any{"id", a.ID, "from", a.Envelope.Sender}
	if o.UID >= 0 {
		args = append(args, "uid", o.UID)
	}
	if program := o.Caller().Program(); program != "" {
		args = append(args, "program", program)
	}
	args = append(args, "client", o.Via, "size", a.Size, "nrcpt", len(a.Envelope.Rcpts))
	if a.MsgID != "" {
		args = append(args, "msgid", a.MsgID)
	}
	if a.Envelope.Parent != "" {
		args = append(args, "parent", a.Envelope.Parent)
	}
	for _, r := range a.Envelope.Rewritten {
		args = append(args, "rewritten", fmt.Sprintf("%s %s to %s by %s", r.What, r.Old, r.New, r.Rule))
	}
	for _, note := range a.Notes {
		args = append(args, "note", note)
	}
	n.log.Info("accepted", args...)
	if a.Envelope.Held != "" {
		n.log.Info("held", "id", a.ID, "from", a.Envelope.Sender, "status", "held", "reply", a.Envelope.Held)
	}
	r := history.Record{Time: a.Envelope.Arrived, ID: a.ID, What: "accepted", From: a.Envelope.Sender, Size: a.Size, Origin: &o,
		Held: a.Envelope.Held, Parent: a.Envelope.Parent, MsgID: a.MsgID, Notes: a.Notes, Rewritten: a.Envelope.Rewritten}
	for _, to := range a.Envelope.Rcpts {
		r.Rcpts = append(r.Rcpts, history.RcptOf(to))
	}
	n.remember(r)
}

// event notes what the scheduler did. The last line of a message says that it is done, or removed.
func (n *notes) event(e queue.Event) {
	for _, to := range e.Rcpts {
		n.attempt(e, to)
	}
	switch {
	case e.What == "attempt":
	case e.What == "held" || e.What == "removed":
		n.log.Info(e.What, "id", e.ID, "from", e.Envelope.Sender, "status", e.What)
	case e.What == "done":
		n.done(e)
	default:
		n.log.Info(e.What, "id", e.ID, "from", e.Envelope.Sender)
	}
	r := history.Record{Time: n.now(), ID: e.ID, What: e.What, From: e.Envelope.Sender, Size: e.Size,
		Story: e.Report.Story, Diverted: e.Report.Diverted, Gone: e.Gone}
	for _, to := range e.Rcpts {
		r.Rcpts = append(r.Rcpts, history.RcptOf(to))
	}
	if !e.Next.IsZero() {
		r.Next = &e.Next
	}
	n.remember(r)
	if e.What == "attempt" && e.Gone {
		n.done(e)
	}
}

// done is the last line of a message.
func (n *notes) done(e queue.Event) {
	n.log.Info("done", "id", e.ID, "from", e.Envelope.Sender, "delay", seconds(n.now().Sub(e.Envelope.Arrived)))
}

// attempt logs one recipient's result.
func (n *notes) attempt(e queue.Event, to spool.Recipient) {
	res := to.Last
	args := []any{"id", e.ID, "from", e.Envelope.Sender, "to", to.Addr}
	if to.Original != "" && to.Original != to.Addr {
		args = append(args, "orig_to", to.Original)
	}
	args = append(args, "relay", relay(to))
	if res.TLS != "" {
		args = append(args, "tls", res.TLS)
	}
	if e.Report.Diverted != "" {
		args = append(args, "diverted", e.Report.Diverted)
	}
	args = append(args, "delay", seconds(n.now().Sub(e.Envelope.Arrived)), "delays", delays(e, n.now()),
		"dsn", res.Status.String(), "status", res.Outcome().String(), "reply", words(res))
	n.log.Info("attempt", args...)
}

func relay(to spool.Recipient) string {
	switch {
	case to.Last.Remote != "":
		return to.Last.Remote
	case to.Kind != spool.Address:
		return "local"
	}
	return "none"
}

func words(r spool.Result) string {
	if r.Detail == "" || r.Reply == "" {
		return r.Reply + r.Detail
	}
	return r.Reply + " (" + r.Detail + ")"
}

// delays are the seconds before the queue, in it, for the connection and for the transmission.
func delays(e queue.Event, now time.Time) string {
	inQueue := e.Began.Sub(e.Envelope.Arrived)
	return strings.Join([]string{"0", seconds(inQueue), seconds(e.Report.Connect), seconds(e.Report.Transmit)}, "/")
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(max(0, d.Seconds()), 'f', 3, 64)
}

func (n *notes) remember(r history.Record) {
	if n.journal == nil {
		return
	}
	if err := n.journal.Add(r); err != nil {
		n.log.Warn("signpost why will not know of this", "id", r.ID, "err", fmt.Sprint(err))
	}
}
