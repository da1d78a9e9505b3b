package spool

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A reader that stops in the middle of a listing costs a bounded amount of memory, however large the envelopes are; and
// it gets all of them in their order once it goes on.
func TestListingReadsAheadByWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 5000
		files := make([]located, many)
		for i := range files {
			files[i] = located{ID(fmt.Sprintf("%08d", i)), "dir"}
		}
		var opened atomic.Int32
		one := func(f located, _ []byte) (ID, bool, error) {
			opened.Add(1)
			return f.id, f.id != files[7].id, nil
		}
		n := 0
		for r := range readAll(context.Background(), files, one, func(ID) int { return listWeight }) {
			if n == 0 {
				synctest.Wait()
				if got := opened.Load(); got > 2*(listBehind+2) {
					t.Errorf("%d messages are kept ready", got)
				}
			}
			if n == 7 {
				n++ // it was gone
			}
			if r.value != files[n].id {
				t.Fatalf("%s where %s was due", r.value, files[n].id)
			}
			n++
		}
		if n != many {
			t.Errorf("%d messages of %d", n, many)
		}
	})
}

func TestListingEndsWithItsContext(t *testing.T) {
	files := make([]located, 5000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range readAll(ctx, files, func(located, []byte) (int, bool, error) { return 0, true, nil }, func(int) int { return listWeight }) {
		if n++; n == 3 {
			cancel()
		}
	}
	if n > listChunk {
		t.Errorf("%d messages behind the end", n)
	}
}
