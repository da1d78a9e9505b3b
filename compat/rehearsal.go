package compat

import (
	"context"
	"iter"

	"signpost/compat/header"
	"signpost/spool"
)

// rehearsal stands between a command and the spool for --explain: it keeps what the command would have handed in, and
// finds out what would have become of it. Nothing is handed in, run or reloaded. A nil rehearsal is the real thing.
type rehearsal struct {
	place    place // the real one; zero where the command did not get so far
	terminal bool  // there is no message, as standard input is a terminal

	rcpts  *recipients   // nil where the command did not get so far
	header header.Header // of the message
	headed bool          // header was read
	told   *spool.Told   // what would have been told
	size   int64         // octets of content
	way    *spool.Way    // how it would be taken; nil where nobody was asked
}

// blind reports whether there is no header to take recipients from.
func (r *rehearsal) blind() bool { return r != nil && r.terminal }

func (r *rehearsal) collect(rcpts *recipients) {
	if r != nil {
		r.rcpts = rcpts
	}
}

func (r *rehearsal) read(h header.Header) {
	if r != nil {
		r.header, r.headed = h, true
	}
}

// Submit keeps what is told; the outcome shows at Commit.
func (r *rehearsal) Submit(ctx context.Context, told spool.Told) (spool.Handover, error) {
	r.told = &told
	return rehearsed{r, ctx}, nil
}

func (r *rehearsal) Rehearse(ctx context.Context, size int64) (spool.Way, error) {
	way, err := r.place.Rehearse(ctx, size)
	r.way = &way
	return way, err
}

// Queue lists one message, or says why none can be listed.
func (r *rehearsal) Queue(ctx context.Context) iter.Seq2[spool.Entry, error] {
	return func(yield func(spool.Entry, error) bool) {
		for e, err := range r.place.Queue(ctx) {
			yield(e, err)
			return
		}
	}
}

// Run finds out whether there is a daemon to run the queue.
func (r *rehearsal) Run(ctx context.Context, _ spool.Filter) error {
	if way, err := r.Rehearse(ctx, 0); err != nil || !way.Daemon {
		return spool.ErrNoDaemon
	}
	return nil
}

func (r *rehearsal) Reload(context.Context) error { return nil }

// rehearsed is the Handover of a message that is not handed in.
type rehearsed struct {
	of  *rehearsal
	ctx context.Context
}

func (h rehearsed) ID() spool.ID { return "" }
func (h rehearsed) Abort() error { return nil }

func (h rehearsed) Write(p []byte) (int, error) {
	h.of.size += int64(len(p))
	return len(p), nil
}

func (h rehearsed) Commit() error {
	_, err := h.of.Rehearse(h.ctx, h.of.size)
	return err
}
