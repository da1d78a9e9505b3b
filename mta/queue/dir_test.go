package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"signpost/spool"
)

// onDisk runs a queue on a real spool until all that was put has been told of.
func onDisk(t *testing.T, s *script, opt Options, envs ...spool.Envelope) (*spool.Dir, []spool.ID) {
	t.Helper()
	dir, err := spool.Open(t.TempDir(), spool.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	var ids []spool.ID
	left := make(map[spool.ID]bool)
	for _, env := range envs {
		w, err := dir.Create(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("\r\n")); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(env); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, w.ID())
		left[w.ID()] = true
	}
	settled := make(chan struct{})
	var mu sync.Mutex
	note := opt.Note
	opt.Note = func(e Event) {
		if note != nil {
			note(e)
		}
		mu.Lock()
		defer mu.Unlock()
		if _, there := left[e.ID]; there && (e.Gone || !e.Next.IsZero()) {
			if delete(left, e.ID); len(left) == 0 {
				close(settled)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { New(dir, s, opt).Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait(); dir.Close() })
	select {
	case <-settled:
	case <-time.After(30 * time.Second):
		t.Fatalf("%d of %d messages are not settled", len(left), len(envs))
	}
	return dir, ids
}

func TestManyDestinationsOfOneMessageEndTogether(t *testing.T) {
	var envs []spool.Envelope
	for range 100 {
		var addrs []string
		for i := range 8 {
			addrs = append(addrs, fmt.Sprintf("bob@d%d.example", i))
		}
		envs = append(envs, message(addrs...))
	}
	onDisk(t, &script{answer: everybody(sent)}, Options{}, envs...)
}

func TestDestinationsDeferredTogetherCountAsOneTry(t *testing.T) {
	var addrs []string
	for i := range 6 {
		addrs = append(addrs, fmt.Sprintf("bob@d%d.example", i))
	}
	done := make(chan struct{}, 100)
	s := &script{answer: everybody(try450)}
	opt := Options{Retry: []time.Duration{time.Hour}, Note: func(Event) { done <- struct{}{} }}
	dir, err := spool.Open(t.TempDir(), spool.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	w, err := dir.Create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("\r\n"))
	if err := w.Commit(message(addrs...)); err != nil {
		t.Fatal(err)
	}
	if err := New(dir, s, opt).RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	env, _, err := dir.Read(w.ID())
	if err != nil {
		t.Fatal(err)
	}
	if env.Tries != 1 || time.Until(env.Next) < 30*time.Minute {
		t.Errorf("%d tries, next %v; want one, and a time", env.Tries, env.Next)
	}
}

func TestLongAnswersToManyRecipientsFitOnRecord(t *testing.T) {
	env := message()
	for i := range 9000 {
		env.Rcpts = append(env.Rcpts, spool.Recipient{Addr: fmt.Sprintf("b%d@one.example", i)})
	}
	s := &script{answer: func(_ context.Context, _ string, _ int, r spool.Recipient) spool.Result {
		return spool.Result{Status: try450.Status, Reply: r.Addr + strings.Repeat("x", 60<<10)}
	}}
	dir, ids := onDisk(t, s, Options{Retry: []time.Duration{time.Hour}}, env)
	got, _, err := dir.Read(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Rcpts {
		if r.Last.Outcome() != spool.Deferred || len(r.Last.Reply) > maxText {
			t.Fatalf("recipient %d: %v with %d octets", i, r.Last.Outcome(), len(r.Last.Reply))
		}
	}
}

func TestPanicOutsideDeliveryHoldsUpOneMessage(t *testing.T) {
	s := &script{answer: everybody(sent), expand: func(r spool.Recipient) []spool.Recipient {
		if strings.HasPrefix(r.Addr, "poison") {
			panic("poison")
		}
		return []spool.Recipient{r}
	}}
	dir, err := spool.Open(t.TempDir(), spool.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, addr := range []string{"poison@one.example", "bob@one.example"} {
		w, err := dir.Create(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("\r\n"))
		if err := w.Commit(message(addr)); err != nil {
			t.Fatal(err)
		}
	}
	if err := New(dir, s, Options{}).RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range dir.Entries(t.Context()) {
		n++
	}
	if n != 1 || s.attempts("bob@one.example") != 1 {
		t.Errorf("%d messages left, bob tried %d times", n, s.attempts("bob@one.example"))
	}
}
