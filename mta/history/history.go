// Package history remembers what happened to each message, also after it left, for `signpost why`.
//
// It is an append-only journal in the spool's history/ folder: a JSON object a line, in files of a day or of a bounded
// size. It is a convenience, not part of the promise of the spool: it is written without syncs, a torn line is passed
// over, and files are removed when they are older than the time to keep or when all of them outgrow the limit. Texts of
// strangers are kept in the JSON as they came, but for their length; whoever prints them escapes them.
//
// The daemon owns the one Journal and calls it from many goroutines. Search needs no daemon.
package history

import (
	"time"

	"signpost/spool"
)

// Record is one thing that happened to one message. Its JSON form is stable.
type Record struct {
	Time      time.Time         `json:"time"` // the first two fields stay where they are: Search looks for them there
	ID        spool.ID          `json:"id"`
	What      string            `json:"what"` // "accepted" or the What of queue.Event
	From      string            `json:"from"`
	Rcpts     []Rcpt            `json:"rcpts,omitempty"`
	Size      int64             `json:"size,omitempty"`
	MsgID     string            `json:"msgid,omitempty"`
	Origin    *spool.Origin     `json:"origin,omitempty"`    // of "accepted"
	Rewritten []spool.Rewriting `json:"rewritten,omitempty"` // of "accepted"
	Parent    spool.ID          `json:"parent,omitempty"`    // of a bounce: the message it speaks of
	Held      string            `json:"held,omitempty"`      // of "accepted": why it was put on hold then
	Notes     []string          `json:"notes,omitempty"`     // what was changed in the message
	Story     []string          `json:"story,omitempty"`     // the dialogue of an attempt
	Diverted  string            `json:"diverted,omitempty"`  // of an attempt: where the message went instead of to its recipients
	Next      *time.Time        `json:"next,omitempty"`
	Gone      bool              `json:"gone,omitempty"` // the message has left the spool
}

// Rcpt is a recipient and its result.
type Rcpt struct {
	Addr     string `json:"addr"`
	Original string `json:"original,omitempty"`
	Kind     string `json:"kind,omitempty"` // "mailbox", "file", "program"; empty for an address
	Outcome  string `json:"outcome,omitempty"`
	Status   string `json:"status,omitempty"`
	Remote   string `json:"remote,omitempty"`
	TLS      string `json:"tls,omitempty"`
	Reply    string `json:"reply,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// maxReply bounds what is kept of a reply, octets: a host may say 64 KiB to each of many recipients.
const maxReply = 4 << 10

// RcptOf describes r.
func RcptOf(r spool.Recipient) Rcpt {
	out := Rcpt{Addr: r.Addr, Original: r.Original, Kind: [...]string{"", "mailbox", "file", "program"}[r.Kind]}
	if o := r.Last.Outcome(); o != spool.Pending {
		out.Outcome, out.Status = o.String(), r.Last.Status.String()
		out.Remote, out.TLS, out.Reply, out.Detail = r.Last.Remote, r.Last.TLS, cut(r.Last.Reply), cut(r.Last.Detail)
	}
	return out
}

func cut(s string) string { return s[:min(len(s), maxReply)] }
