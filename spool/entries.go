package spool

import (
	"context"
	"fmt"
	"iter"
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
		for item := range readAll(ctx, d.unify(files), d.entry) {
			if !yield(item.value, item.err) {
				return
			}
		}
	}
}
