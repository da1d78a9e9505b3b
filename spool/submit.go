package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Submit is how the sendmail command reaches the spool: through the daemon's socket, or, where no daemon answers,
// through drop/. The zero value of a field is usable, but one of Socket and Drop must be given to hand anything in.
// Safe for concurrent use.
type Submit struct {
	Socket  string // path of submit.sock; may be longer than a socket address; empty: no daemon
	Drop    string // path of drop/; empty: none
	MaxSize int64  // most octets of content, checked here too, as drop/ has nobody to ask; 0: no limit

	// For tests; zero means the constants below.
	greet, answer, ask time.Duration
}

const (
	greetLimit  = 2 * time.Second  // for connecting and the greeting together (safety.md 6)
	answerLimit = 5 * time.Minute  // for a living daemon to sync a message, or to take more of it
	askLimit    = 10 * time.Second // for asking what became of a message

	listBuffer = 64 << 10 // of a listing, which is long; octets
)

// Submit starts to hand in a message. Content up to 1 MiB is kept until Commit, and only then the daemon is connected
// to, so that a slow caller holds nothing. While the daemon cannot have seen the end of the message, any trouble with
// it leads to drop/; afterwards only asking it does, as a second way could double the message.
//
// Errors of the Handover are *Error. ErrTooBig and ErrNoSpace can be told with errors.Is; class 4 means that trying
// again may help; what the daemon refused has its status. ctx ends the hand-over as long as it is not accepted.
func (s Submit) Submit(ctx context.Context, told Told) (Handover, error) {
	if n := len(told.Rcpts); n > MaxToldRcpts {
		return nil, Errorf(Status{5, 5, 3}, "%d recipients: more than %d", n, MaxToldRcpts)
	}
	return &handover{
		via:  s,
		done: ctx.Done(),
		told: EncodeTold(told),
		drop: func() (Handover, error) { return s.openDrop(ctx, told) },
	}, nil
}

func (s Submit) openDrop(ctx context.Context, told Told) (Handover, error) {
	if s.Drop == "" {
		return nil, errNoDrop
	}
	return Drop{Path: s.Drop}.Submit(ctx, told)
}

var (
	errNoDrop   = errors.New("no drop folder")
	errStopped  = errors.New("stopped")
	errGreeting = errors.New("no greeting")
)

// Way is how a message would be taken.
type Way struct {
	Daemon bool  // by the daemon; else through drop/
	Away   error // why not by the daemon
}

// Rehearse finds out what would become now of a message of size octets, and hands in none: the daemon sees a caller
// that goes away behind the greeting, and of drop/ only the rights are looked at. The error is that of Submit.
func (s Submit) Rehearse(ctx context.Context, size int64) (Way, error) {
	h := &handover{via: s, done: ctx.Done(), size: size}
	defer h.release()
	if err := h.checkSize(); err != nil {
		return Way{}, h.fail(err)
	}
	if err := h.greet(); err != nil {
		return Way{}, h.fail(err)
	}
	if h.wire != nil {
		return Way{Daemon: true}, nil
	}
	way := Way{Away: h.away}
	err := errNoDrop
	if s.Drop != "" {
		err = Drop{Path: s.Drop}.writable()
	}
	if err != nil {
		return way, h.fail(h.neither(err))
	}
	return way, nil
}

// Queue lists the messages of the spool as far as the caller may see them, by arrival. An error speaks of one message,
// or ends the list: ErrNoDaemon where nobody answers.
func (s Submit) Queue(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w, _, err := s.open(ctx.Done(), Hello{Verb: VerbQueue})
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer w.close()
		w.r = bufio.NewReaderSize(w.r, listBuffer)
		for {
			n, more, err := s.nextEntry(w)
			if !more && err == nil {
				return
			}
			if !yield(n, err) || !more {
				return
			}
		}
	}
}

// nextEntry reads one frame of a listing; more is false behind its end.
func (s Submit) nextEntry(w *wire) (n Entry, more bool, err error) {
	w.within(limit(s.answer, answerLimit))
	t, payload, err := w.frame()
	switch {
	case err != nil:
		return Entry{}, false, fmt.Errorf("listing the queue: %w", err)
	case t == FrameEntry:
		n, err = DecodeEntry(payload)
		return n, true, err
	case t == FrameBad:
		return Entry{}, true, decodeError(payload)
	case t == FrameErr:
		return Entry{}, false, decodeError(payload)
	case t == FrameOK:
		return Entry{}, false, nil
	}
	return Entry{}, false, fmt.Errorf("%w: frame of type %d in a listing", ErrFrame, t)
}

// Run asks the daemon to try the messages f names now, and does not wait for what comes of it. ErrNoDaemon,
// ErrForbidden.
func (s Submit) Run(ctx context.Context, f Filter) error {
	return s.request(ctx.Done(), Hello{Verb: VerbRun, Filter: f})
}

// Reload asks the daemon to read its configuration and aliases again. ErrNoDaemon, ErrForbidden, or what was wrong
// with the configuration.
func (s Submit) Reload(ctx context.Context) error {
	return s.request(ctx.Done(), Hello{Verb: VerbReload})
}

// request is a verb that is answered with OK or ERR.
func (s Submit) request(done <-chan struct{}, h Hello) error {
	w, _, err := s.open(done, h)
	if err != nil {
		return err
	}
	defer w.close()
	w.within(limit(s.answer, answerLimit))
	return w.reply()
}

// open connects, says h and waits for the greeting. Where nobody greets in time the error is ErrNoDaemon; where the
// daemon refuses it is its *Error.
func (s Submit) open(done <-chan struct{}, h Hello) (*wire, Greeting, error) {
	if s.Socket == "" {
		return nil, Greeting{}, fmt.Errorf("%w: no socket", ErrNoDaemon)
	}
	w, err := dial(s.Socket, done, time.Now().Add(limit(s.greet, greetLimit)))
	if err != nil {
		return nil, Greeting{}, fmt.Errorf("%w: %w", ErrNoDaemon, err)
	}
	g, err := w.hello(h)
	if err != nil {
		w.close()
		return nil, Greeting{}, err
	}
	return w, g, nil
}

// limit is what a test set, or the usual.
func limit(set, usual time.Duration) time.Duration {
	if set > 0 {
		return set
	}
	return usual
}
