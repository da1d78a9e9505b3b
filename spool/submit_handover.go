package spool

import (
	"errors"
	"fmt"
	"time"
)

// patience is how much content is kept before the daemon is connected to, octets (safety.md 6).
const patience = maxData

// handover is a message on its way through a Submit. It goes through these states:
//
//	waiting   all content is in held
//	sending   wire is set: the daemon greeted and gets the content; spare, where it could be made, is a copy of it in
//	          drop/ without a name, so that a daemon that goes away costs nothing
//	dropping  wire is nil, spare gets the content and will be the message
//	over      err is set, or committed
type handover struct {
	via  Submit
	done <-chan struct{}
	told []byte // payload of TOLD
	drop func() (Handover, error)

	held      []byte
	size      int64 // content so far, octets
	id        ID
	maxSize   int64 // by the greeting
	wire      *wire
	spare     Handover
	away      error // why the daemon does not take it
	started   bool  // no longer waiting
	committed bool
	err       error
}

// ID is known once the daemon greeted, and stays empty where the message goes into drop/.
func (h *handover) ID() ID { return h.id }

func (h *handover) Write(p []byte) (int, error) {
	if h.err != nil || h.committed {
		return 0, h.ended()
	}
	h.size += int64(len(p))
	if err := h.checkSize(); err != nil {
		return 0, h.fail(err)
	}
	if !h.started && len(h.held)+len(p) <= patience {
		h.held = append(h.held, p...)
		return len(p), nil
	}
	if err := h.start(); err != nil {
		return 0, h.fail(err)
	}
	if err := h.pass(p); err != nil {
		return 0, h.fail(err)
	}
	return len(p), nil
}

func (h *handover) checkSize() error {
	for _, most := range []int64{h.via.MaxSize, h.maxSize} {
		if most > 0 && h.size > most {
			return &Error{Status: StatusOf(ErrTooBig), Err: fmt.Errorf("%w of %d octets", ErrTooBig, most)}
		}
	}
	return nil
}

// start ends the waiting of a message that is too large to be held.
func (h *handover) start() error {
	if h.started {
		return nil
	}
	h.started = true
	if err := h.greet(); err != nil {
		return err
	}
	if h.wire != nil {
		h.copyAside()
		if err := h.wire.send(AppendFrame(nil, FrameTold, h.told)); err != nil {
			if err := h.lost(err); err != nil {
				return err
			}
		}
	}
	if h.wire == nil && h.spare == nil {
		if err := h.openSpare(); err != nil {
			return err
		}
	}
	held := h.held
	h.held = nil
	return h.pass(held)
}

// greet connects to the daemon. Where that is not to be, away says why; an error is the daemon's refusal.
func (h *handover) greet() error {
	w, g, err := h.via.open(h.done, Hello{Verb: VerbSubmit})
	if err != nil {
		if errors.Is(err, errStopped) || !mayDrop(err) {
			return err
		}
		h.away = err
		return nil
	}
	w.within(limit(h.via.answer, answerLimit))
	h.wire, h.id, h.maxSize = w, g.ID, g.MaxSize
	return h.checkSize()
}

// mayDrop reports whether drop/ is to be taken after err of a daemon that did not accept the message.
func mayDrop(err error) bool {
	var e *Error
	return !errors.As(err, &e) || e.Status == StatusBusy
}

// copyAside starts the copy in drop/. Doing without it is not an error as long as the daemon stays.
func (h *handover) copyAside() {
	if err := h.openSpare(); err != nil {
		h.spare = nil
	}
}

// openSpare opens drop/, or says why neither way can be taken.
func (h *handover) openSpare() error {
	var err error
	if h.spare, err = h.drop(); err != nil {
		return h.neither(err)
	}
	return nil
}

// neither is the error where drop/ could not be taken after the daemon was not there, naming both.
func (h *handover) neither(err error) error {
	if h.away == nil {
		return err
	}
	s := StatusOf(err)
	if s.Class == 5 {
		return err // the message is at fault, not the ways
	}
	socket, drop := h.via.Socket, h.via.Drop
	if socket == "" {
		socket = "daemon"
	}
	if drop == "" {
		drop = "drop"
	}
	// Not %w for the first: that a daemon is missing does not matter any more, drop/ decides.
	return &Error{Status: s, Err: fmt.Errorf("%s: %v; %s: %w", socket, h.away, drop, err)}
}

// pass hands on content.
func (h *handover) pass(p []byte) error {
	if h.spare != nil {
		if _, err := h.spare.Write(p); err != nil {
			if h.wire == nil {
				return h.neither(err)
			}
			h.spare.Abort()
			h.spare = nil
		}
	}
	if h.wire == nil {
		return nil
	}
	h.wire.within(limit(h.via.answer, answerLimit))
	for len(p) > 0 {
		n := min(len(p), maxData)
		if err := h.wire.send(appendFrameHead(nil, FrameData, n), p[:n]); err != nil {
			return h.lost(err)
		}
		p = p[n:]
	}
	return nil
}

// lost ends the way through the daemon before it can have seen the end of the message. The error is the daemon's
// refusal, or that there is no copy to go on with.
func (h *handover) lost(cause error) error {
	w := h.wire
	h.wire, h.id, h.away = nil, "", cause
	defer w.close()
	if errors.Is(cause, errStopped) {
		return cause
	}
	if !errors.As(cause, new(*Error)) {
		// A daemon that hangs up has usually said why.
		w.within(tick)
		if err := w.reply(); err != nil && errors.As(err, new(*Error)) {
			h.away = err
		}
	}
	if !mayDrop(h.away) {
		return h.away
	}
	if h.started && h.spare == nil {
		return Errorf(Status{4, 4, 2}, "%s: %w; nothing else took the message so far", h.via.Socket, h.away)
	}
	return nil
}

// Commit makes the message durable.
func (h *handover) Commit() error {
	if h.err != nil || h.committed {
		return h.ended()
	}
	if err := h.commit(); err != nil {
		return h.fail(err)
	}
	h.committed = true
	h.release()
	return nil
}

func (h *handover) commit() error {
	if !h.started {
		if err := h.greet(); err != nil {
			return err
		}
	}
	if h.wire != nil {
		taken, err := h.end()
		if taken || err != nil {
			return err
		}
	}
	if !h.started {
		if err := h.openSpare(); err != nil {
			return err
		}
		if _, err := h.spare.Write(h.held); err != nil {
			return h.neither(err)
		}
	}
	spare := h.spare
	h.spare = nil
	if err := spare.Commit(); err != nil {
		return h.neither(err)
	}
	return nil
}

// end sends what the daemon has not got yet, with END, and waits for its answer. Neither taken nor an error: drop/ is
// to be taken.
func (h *handover) end() (taken bool, err error) {
	h.wire.within(limit(h.via.answer, answerLimit))
	var parts [][]byte
	if !h.started {
		parts = [][]byte{AppendFrame(nil, FrameTold, h.told)}
		if len(h.held) > 0 {
			parts = append(parts, appendFrameHead(nil, FrameData, len(h.held)), h.held)
		}
	}
	if err := h.wire.send(append(parts, AppendFrame(nil, FrameEnd, nil))...); err != nil {
		return false, h.lost(err)
	}
	err = h.wire.reply()
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, new(*Error)):
		return false, h.lost(err) // the daemon knows that it took nothing
	}
	return true, h.inquire(err)
}

// inquire asks what became of a message whose END was sent, but not answered.
func (h *handover) inquire(cause error) error {
	h.wire.close()
	h.wire = nil
	until := time.Now().Add(limit(h.via.ask, askLimit))
	via := h.via
	via.answer = limit(via.ask, askLimit)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := via.request(h.done, Hello{Verb: VerbAsk, ID: h.id})
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrNotFound) {
			return Errorf(Status{4, 4, 2}, "%s: %w; nothing is known of message %s", h.via.Socket, cause, h.id)
		}
		if !h.pause(wait, until) {
			return Errorf(Status{4, 4, 2}, "%s: %w; asking for message %s: %w; it may have been accepted",
				h.via.Socket, cause, h.id, err)
		}
	}
}

// pause waits for d, and reports whether there is time left.
func (h *handover) pause(d time.Duration, until time.Time) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return time.Now().Before(until)
	case <-h.done:
		return false
	}
}

// Abort gives the message up. It does nothing after Commit.
func (h *handover) Abort() error {
	if h.err == nil && !h.committed {
		h.fail(errors.New("the message was given up"))
	}
	return nil
}

// fail ends the hand-over with err as an *Error.
func (h *handover) fail(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Status: StatusOf(err), Err: err}
		err = e
	}
	h.err = err
	h.release()
	return err
}

func (h *handover) ended() error {
	if h.err != nil {
		return h.err
	}
	return Errorf(Status{5, 3, 0}, "the message has been handed over already")
}

// release lets go of what is still held.
func (h *handover) release() {
	h.held = nil
	if h.wire != nil {
		h.wire.close()
		h.wire = nil
	}
	if h.spare != nil {
		h.spare.Abort()
		h.spare = nil
	}
}
