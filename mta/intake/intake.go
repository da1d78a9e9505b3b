// Package intake completes a handed-in message by the configuration and spools it: qualifying, missing fields,
// rewritten senders, Received, quota. It serves submit.sock and empties drop/.
//
// Everything that comes in is hostile: any local user may write any octets to the socket and any file into drop/.
// What the kernel proves (the peer's uid, the owner of a file) decides who somebody is; all else is a claim. The
// content is normalised once more, whatever the caller did to it. What is written to the Store is final: nothing
// changes header or body afterwards but a conversion to 7 bit for one exchanger.
//
// Intake is values only and is replaced as a whole when the configuration changes. Nothing is resolved, signed or
// expanded here.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"signpost/compat/header"
	"signpost/compat/rewrite"
	"signpost/spool"
)

// Intake turns what callers hand in into messages of a Store. Safe for concurrent use; its fields are not changed
// once it is in use.
type Intake struct {
	Store    spool.Creator
	Hostname string // of this host, in Received and Message-ID
	Origin   string // domain put behind bare names
	// Rewrite changes the senders of envelope and header.
	Rewrite rewrite.Rules
	// Align tells whether mail with this From: domain is signed here, and the domain in A-labels: the envelope sender
	// takes it. nil: it does not.
	Align   func(from string) (domain string, ok bool)
	MaxSize int64 // most octets of content as handed in, CRLF line ends; 0: no limit
	// User finds the account of a uid. nil: none is known, and a caller is uid1234@Origin.
	User func(uid int) (User, bool)
	// Account finds the account of a login name. It decides between several names of one uid; nil: the name User
	// gives is taken.
	Account func(login string) (User, bool)
	// Limits hold messages of users who hand in too many, as Counts knows, which is passed from one Intake to the next.
	// nil: none is held.
	Limits Limits
	Counts *Counts
	// Accepted is told of each message that is in the Store from now on. nil: nobody is.
	Accepted func(Accepted)
	// Rejected is told of each file in drop/ that is no message, and was moved to path. nil: nobody is.
	Rejected func(uid int, path string, err error)
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: nobody is told of trouble
}

// Accepted is a message that has been taken.
type Accepted struct {
	ID       spool.ID
	Envelope spool.Envelope
	Size     int64    // of the content as stored
	MsgID    string   // of its header
	Notes    []string // what a person may want to know of it
}

// User is an account of this host.
type User struct {
	UID      int
	Login    string
	FullName string // name for people: GECOS up to the first comma, "&" replaced
}

// Caller is who hands a message in. Of the Origin, Via, UID, PID and Seen are used; UID must be proven.
type Caller struct {
	spool.Origin
	ID spool.ID  // the message's; zero: made by the Store
	At time.Time // when it was handed in; zero: now
}

// ViaSocket and ViaDrop are what Origin.Via says of messages from submit.sock and drop/.
const (
	ViaSocket = "socket"
	ViaDrop   = "drop"
)

// maxHops is how many Received fields a message may have before it counts as looping (RFC 5321 6.3, safety.md 5).
const maxHops = 50

// settle is how long a message from drop/ is left alone, so that its name there is gone for good before it is tried:
// after a crash in between it would be taken, and sent, once more.
const settle = time.Second

func (i *Intake) now() time.Time {
	if i.Now != nil {
		return i.Now()
	}
	return time.Now()
}

func (i *Intake) log() *slog.Logger {
	if i.Log != nil {
		return i.Log
	}
	return slog.New(slog.DiscardHandler)
}

// Create starts a message of who. Errors, also those of the Handover, are *spool.Error with what the caller is to be
// told: 5.1.3 no usable recipient, 5.1.7 bad sender, 5.3.4 too big (ErrTooBig), 5.4.6 a loop, 5.5.x nonsense, 4.3.1 no
// space (ErrNoSpace), 4.3.0 what the system said. A message from drop/ is never refused with a class 5 status: it is
// taken with failed recipients, and what is over a limit is left out of it. Commit gives ErrExists where a message of this id is in the Store.
func (i *Intake) Create(ctx context.Context, who Caller, told spool.Told) (spool.Handover, error) {
	h, err := i.create(ctx, who, told, func(int64) error { return nil })
	if err != nil {
		return nil, err
	}
	return h, nil
}

// create is Create with a say in the memory that the message takes: reserve is asked before more of it is taken.
func (i *Intake) create(ctx context.Context, who Caller, told spool.Told, reserve func(int64) error) (*handover, error) {
	if who.At.IsZero() {
		who.At = i.now()
	}
	from := i.originator(who.UID, told.Login)
	env, err := i.envelope(who, told, from)
	if err != nil {
		return nil, err
	}
	w, err := i.Store.Create(ctx, who.ID)
	if err != nil {
		return nil, refusal(err)
	}
	return &handover{intake: i, who: who, told: told, from: from, env: env, w: w, reserve: reserve}, nil
}

// refusal makes err an *spool.Error.
func refusal(err error) error {
	var e *spool.Error
	if errors.As(err, &e) {
		return err
	}
	return &spool.Error{Status: spool.StatusOf(err), Err: err}
}

// handover completes a message while it is written: the header is gathered, completed and passed on when its end is
// seen, the body streams through.
type handover struct {
	intake  *Intake
	who     Caller
	told    spool.Told
	from    originator
	env     spool.Envelope
	w       spool.Writer
	reserve func(int64) error

	norm     header.Normalizer
	split    header.Splitter
	headed   bool   // the header is written
	cut      bool   // the rest is over a limit and left out
	size     int64  // content in normal form so far, octets
	written  int64  // octets given to w
	reserved int64  // of the header
	msgid    string // value of Message-ID
	notes    []string
	buf      []byte // for the normal form of a piece
	err      error
	done     bool
}

// piece is how much is normalised at a time, octets. It bounds the memory that a large Write takes.
const piece = 32 << 10

func (h *handover) ID() spool.ID { return h.w.ID() }

func (h *handover) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		if err := h.usable(); err != nil {
			return done, err
		}
		n := min(len(p)-done, piece)
		h.buf = h.norm.Append(h.buf[:0], p[done:done+n])
		if err := h.take(h.buf); err != nil {
			return done, h.fail(err)
		}
		done += n
	}
	return len(p), nil
}

func (h *handover) usable() error {
	if h.err == nil && h.done {
		return spool.Errorf(spool.Status{Class: 5, Subject: 3, Detail: 0}, "the message has been ended")
	}
	return h.err
}

func (h *handover) fail(err error) error {
	h.err = refusal(err)
	h.w.Abort()
	return h.err
}

// take takes content in normal form.
func (h *handover) take(p []byte) error {
	if h.cut {
		return nil
	}
	h.size += int64(len(p))
	if most := h.intake.MaxSize; most > 0 && h.size > most {
		if err := h.tooBig(); err != nil {
			return err
		}
		p, h.cut = p[:int64(len(p))-(h.size-most)], true
	}
	if h.headed {
		return h.pass(p)
	}
	if err := h.reserveHeader(); err != nil {
		return err
	}
	done, err := h.split.Feed(p)
	if err != nil {
		return h.badHeader(err)
	}
	if done {
		return h.endHeader()
	}
	return nil
}

func (h *handover) pass(p []byte) error {
	h.written += int64(len(p))
	_, err := h.w.Write(p)
	return err
}

// reserveHeader asks for the memory of a header that is larger than usual. It is counted four times: gathered, parsed,
// completed, and the room to grow.
func (h *handover) reserveHeader() error {
	const free, step = 64 << 10, 256 << 10
	for h.size > free && h.reserved < 4*min(h.size, header.MaxBlock) {
		if err := h.reserve(step); err != nil {
			return err
		}
		h.reserved += step
	}
	return nil
}

// refuse gives err. Where the caller has been told already that the message is accepted, all its recipients have
// failed instead, and the sender gets a bounce.
func (h *handover) refuse(err error) error {
	if !h.who.promised() {
		return err
	}
	failAll(h.env.Rcpts, err, h.who.At)
	return nil
}

// tooBig refuses content over the limit. A bounce quotes no more than the header, as the rest is not whole.
func (h *handover) tooBig() error {
	h.env.Ret = "HDRS"
	return h.refuse(fmt.Errorf("%w of %d octets", spool.ErrTooBig, h.intake.MaxSize))
}

// badHeader refuses a header over one of the limits.
func (h *handover) badHeader(err error) error {
	if err := h.refuse(fmt.Errorf("%w: %w", spool.ErrTooBig, err)); err != nil {
		return err
	}
	return h.bare()
}

// bare ends a message whose header cannot be used, with a header of our own and nothing else.
func (h *handover) bare() error {
	h.cut, h.split = true, header.Splitter{}
	if err := h.split.End(); err != nil {
		return err
	}
	return h.endHeader()
}

// endHeader completes the header and passes it on, with what has come of the body.
func (h *handover) endHeader() error {
	head := h.split.Header()
	h.env.Origin.Claims.Script = oneLine(head.Value("X-PHP-Originating-Script"), maxOrigin)
	senders := &rewriter{rules: h.intake.Rewrite}
	s := h.stamp(senders)
	h.env.Sender = senders.sender(envelope, h.env.Sender)
	c := complete(head, s)
	h.env.Sender = senders.align(h.env.Sender, c.from, h.intake.Align)
	h.env.Rewritten, h.notes = senders.done, senders.notes
	if err := h.checkHops(c.hops); err != nil {
		return err
	}
	h.msgid, h.headed = c.msgid, true
	if err := h.pass(c.head); err != nil {
		return err
	}
	err := h.pass(h.split.Body())
	h.split = header.Splitter{}
	return err
}

// stamp is made while the envelope's sender is as it was told: the From that is added is rewritten with the others.
func (h *handover) stamp(senders *rewriter) stamp {
	return stamp{
		id:       h.w.ID(),
		hostname: h.intake.Hostname,
		origin:   h.intake.Origin,
		login:    h.from.login,
		uid:      h.who.UID,
		at:       h.who.At,
		now:      h.intake.now(),
		from:     h.fromField(),
		senders:  senders,
	}
}

// checkHops refuses a loop.
func (h *handover) checkHops(hops int) error {
	if hops <= maxHops {
		return nil
	}
	return h.refuse(spool.Errorf(spool.Status{Class: 5, Subject: 4, Detail: 6}, "the message loops: %d hops", hops))
}

// Commit ends the message and makes it durable.
func (h *handover) Commit() error {
	if err := h.usable(); err != nil {
		return err
	}
	if err := h.finish(); err != nil {
		return h.fail(err)
	}
	undo := h.limit()
	if err := h.w.Commit(h.env); err != nil {
		undo()
		return h.fail(err)
	}
	h.done = true
	h.tell()
	return nil
}

// finish passes on what is left, also the header where the content had no more.
func (h *handover) finish() error {
	if err := h.take(h.norm.Close(h.buf[:0])); err != nil || h.headed {
		return err
	}
	if h.cut { // in the midst of the header
		return h.bare()
	}
	if err := h.split.End(); err != nil {
		return h.badHeader(err)
	}
	return h.endHeader()
}

// Abort gives the message up; it does nothing after Commit.
func (h *handover) Abort() error {
	if h.done || h.err != nil {
		return nil
	}
	h.done = true
	return h.w.Abort()
}

// tell notes the message for log and history.
func (h *handover) tell() {
	if h.intake.Accepted == nil {
		return
	}
	a := Accepted{ID: h.w.ID(), Envelope: h.env, Size: h.written, MsgID: h.msgid, Notes: h.notes}
	if nuls := h.norm.NULs + max(h.told.NULs, 0); nuls > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("%d NUL octets were left out", nuls))
	}
	if label := oneLine(h.told.Label, 32); label != "" {
		a.Notes = append(a.Notes, "label: "+label)
	}
	h.intake.Accepted(a)
}
