package spool

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
)

// Entries lists the messages with their envelopes, by id, as mailq shows them. Nothing is changed: a damaged message
// is an error and stays where it is. Entry.Active and Entry.Hidden are for the caller to set.
func (d *Dir) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		files, errs := locate(d.fs, d.path, d.unknown)
		for _, err := range errs {
			if !yield(Entry{}, fmt.Errorf("listing the spool: %w", err)) {
				return
			}
		}
		for item := range readAll(ctx, d.unify(files), d.entry, Entry.weight) {
			if !yield(item.value, item.err) {
				return
			}
		}
	}
}

// Dropped lists the messages in drop/ as the daemon will take them, with what their callers told: while no daemon runs.
func (d *Dir) Dropped() iter.Seq2[Entry, error] {
	return Drop{Path: filepath.Join(d.path, dropDir), FS: d.fs}.peek()
}

// weight is about the memory that e takes, octets.
func (e Entry) weight() int {
	n := 512
	for i := range e.Envelope.Rcpts {
		r := &e.Envelope.Rcpts[i]
		n += 256 + len(r.Addr) + len(r.Original) + len(r.Last.Reply) + len(r.Last.Detail)
	}
	return n
}
