// Package spooltest checks that a backend keeps the contract of spool.Store.
//
// Run is the suite for a backend. Fault and Disk are file systems for spool.Dir: one in which the n-th call fails, and
// one that enumerates what a disk may hold when the power is cut.
package spooltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signpost/spool"
)

// Opener opens the store that lives at path, which may not exist yet. The suite closes it (io.Closer) and opens it
// again to see what lasts.
type Opener func(t *testing.T, path string) spool.Store

// suite is one store under test.
type suite struct {
	*testing.T
	spool.Store
	path string
	open Opener
}

// Run checks a backend.
func Run(t *testing.T, open Opener) {
	for _, tt := range []struct {
		name string
		run  func(*suite)
	}{
		{"a message is listed once committed and not before", (*suite).commit},
		{"an aborted message leaves nothing", (*suite).abort},
		{"a message without recipients is refused", (*suite).noRecipients},
		{"content comes back octet for octet", (*suite).content},
		{"the envelope comes back whole", (*suite).envelope},
		{"an id can be used once", (*suite).givenID},
		{"an id is used for as long as its message is there", (*suite).givenIDDeferred},
		{"one claim at a time", (*suite).exclusive},
		{"results are kept", (*suite).record},
		{"a result for nobody changes nothing", (*suite).recordNobody},
		{"recipients are replaced once", (*suite).expand},
		{"notes are kept", (*suite).notes},
		{"a failure is bouncing until it has been reported", (*suite).bouncing},
		{"a removed message is gone", (*suite).remove},
		{"readers are independent and outlive the claim", (*suite).readers},
		{"messages are listed by arrival", (*suite).order},
		{"listing can be broken off", (*suite).breakOff},
		{"watching tells of each commit", (*suite).watch},
		{"many at once", (*suite).concurrent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &suite{T: t, path: t.TempDir(), open: open}
			s.Store = open(t, s.path)
			defer func() { s.close() }()
			tt.run(s)
		})
	}
}

func (s *suite) close() {
	s.Helper()
	if c, ok := s.Store.(io.Closer); ok {
		s.must(c.Close())
	}
}

func (s *suite) reopen() {
	s.Helper()
	s.close()
	s.Store = s.open(s.T, s.path)
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) want(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error is %v, want %v", err, want)
	}
}

// to makes an envelope.
func to(addrs ...string) spool.Envelope {
	env := spool.Envelope{Sender: "ann@example.org"}
	for _, a := range addrs {
		env.Rcpts = append(env.Rcpts, spool.Recipient{Addr: a})
	}
	return env
}

var made atomic.Int64 // ids of NextID

// NextID is an id that sorts behind every one it gave before: those of one millisecond have no order.
func NextID() spool.ID {
	return spool.NewID(time.Now().Add(time.Duration(made.Add(1)) * time.Millisecond))
}

// put commits a message and gives its id, a new one where id is "".
func (s *suite) put(id spool.ID, content string, env spool.Envelope) spool.ID {
	s.Helper()
	if id == "" {
		id = NextID()
	}
	w, err := s.Create(s.Context(), id)
	s.must(err)
	_, err = io.WriteString(w, content)
	s.must(err)
	s.must(w.Commit(env))
	return w.ID()
}

func (s *suite) claim(id spool.ID) spool.Claim {
	s.Helper()
	c, err := s.Claim(s.Context(), id)
	s.must(err)
	return c
}

func (s *suite) list() []spool.Summary {
	s.Helper()
	var list []spool.Summary
	for sum, err := range s.List(s.Context()) {
		s.must(err)
		list = append(list, sum)
	}
	return list
}

func (s *suite) read(c spool.Claim) string {
	s.Helper()
	r, err := c.Open()
	s.must(err)
	defer r.Close()
	b, err := io.ReadAll(r)
	s.must(err)
	return string(b)
}

func result(rcpt int, status spool.Status, at time.Time) spool.RcptResult {
	return spool.RcptResult{Rcpt: rcpt, Result: spool.Result{
		Status: status, Reply: "250 first\nsecond", Remote: "mx.example.org[192.0.2.1]:25", Detail: "our words",
		TLS: "TLS1.3", At: at,
	}}
}

var (
	moment    = time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)
	delivered = spool.Status{Class: 2, Subject: 1, Detail: 5}
	deferred  = spool.Status{Class: 4, Subject: 4, Detail: 1}
	failed    = spool.Status{Class: 5, Subject: 1, Detail: 1}
)

func (s *suite) commit() {
	w, err := s.Create(s.Context(), "")
	s.must(err)
	if !w.ID().Valid() {
		s.Errorf("id %q is not valid", w.ID())
	}
	_, err = io.WriteString(w, "Subject: x\r\n\r\n")
	s.must(err)
	if list := s.list(); len(list) != 0 {
		s.Errorf("listed before Commit: %v", list)
	}
	_, err = s.Claim(s.Context(), w.ID())
	s.want(err, spool.ErrNotFound)
	before := time.Now()
	s.must(w.Commit(to("bob@example.org")))
	for range 2 {
		list := s.list()
		if len(list) != 1 {
			s.Fatalf("%d messages are listed, want 1", len(list))
		}
		got := list[0]
		if got.ID != w.ID() || got.Size != 14 || got.Rcpt.Addr != "bob@example.org" || got.Sender != "ann@example.org" {
			s.Errorf("summary is %+v", got)
		}
		if got.Arrived.Before(before.Round(0)) || got.Arrived.After(time.Now()) {
			s.Errorf("arrived at %v", got.Arrived)
		}
		s.reopen()
	}
}

func (s *suite) abort() {
	w, err := s.Create(s.Context(), "")
	s.must(err)
	_, err = w.Write(make([]byte, 1<<20))
	s.must(err)
	s.must(w.Abort())
	s.must(w.Abort())
	if err := w.Commit(to("bob@example.org")); err == nil {
		s.Error("Commit after Abort: no error")
	}
	id := s.put("", "\r\n", to("bob@example.org"))
	if list := s.list(); len(list) != 1 || list[0].ID != id {
		s.Errorf("listed: %v", list)
	}
	w, err = s.Create(s.Context(), "")
	s.must(err)
	s.must(w.Commit(to("bob@example.org")))
	s.must(w.Abort())
	if list := s.list(); len(list) != 2 {
		s.Error("Abort after Commit removed the message")
	}
}

func (s *suite) noRecipients() {
	w, err := s.Create(s.Context(), "")
	s.must(err)
	if err := w.Commit(to()); err == nil {
		s.Error("no error")
	}
	if list := s.list(); len(list) != 0 {
		s.Errorf("listed: %v", list)
	}
}

func (s *suite) content() {
	big := bytes.Repeat([]byte("0123456789abcdef\r\n"), 100_000)
	contents := map[spool.ID]string{}
	for _, content := range []string{"", "\r\n", "a\x00b\xff\r\n", "SIGNPOST", string(big[:70_000]), string(big)} {
		contents[s.put("", content, to("bob@example.org"))] = content
	}
	for range 2 {
		for id, want := range contents {
			c := s.claim(id)
			if got := s.read(c); got != want {
				s.Errorf("content of %d octets comes back as %d octets", len(want), len(got))
			}
			if c.Size() != int64(len(want)) {
				s.Errorf("Size is %d, want %d", c.Size(), len(want))
			}
			s.must(c.Release())
		}
		s.reopen()
	}
}

// full is an envelope in which every field says something.
func full() spool.Envelope {
	empty, owner := "", "owner-list@example.org"
	return spool.Envelope{
		Sender: "a\xffnn\r\n\x00@example.org",
		Rcpts: []spool.Recipient{
			{Addr: "bob@example.org", Sender: &empty, Original: "bob", NoAlias: true, Notify: spool.NotifyFailure},
			{
				Kind: spool.Program, Addr: "/bin/cat >/dev/null", RunAs: "nobody", Sender: &owner, Source: "/etc/aliases",
				Notify: spool.NotifyNever, Last: result(0, failed, moment).Result, Bounced: true,
			},
			{},
		},
		Origin: spool.Origin{
			Via: "socket", UID: -1, Login: "ann", Client: "[192.0.2.9]:4711", Auth: "ann", PID: 1 << 22,
			Seen:   spool.Process{Name: "sh", Parent: "cron", PID: 1, Unit: "cron.service", Container: "docker 0", Login: "bob"},
			Claims: spool.Process{Command: "sh -c x", Dir: "/", RealUser: "bob", Script: "33:a.php"},
		},
		Arrived:   moment,
		Ret:       "HDRS",
		EnvID:     "env id",
		Parent:    spool.NewID(moment),
		Held:      "quota",
		Queued:    true,
		Warned:    true,
		Started:   true,
		Next:      moment.Add(time.Hour),
		Tries:     7,
		Rewritten: []spool.Rewriting{{What: "From", Old: "a@x", New: "b@x", Rule: "a@*"}},
	}
}

func (s *suite) envelope() {
	want := full()
	id := s.put("", "\r\n", want)
	for range 2 {
		c := s.claim(id)
		if diff := Diff(c.Envelope(), want); diff != "" {
			s.Error(diff)
		}
		s.must(c.Release())
		s.reopen()
	}
}

func (s *suite) givenID() {
	id := spool.DerivedID(moment, "a", "b")
	s.put(id, "first", to("bob@example.org"))
	w, err := s.Create(s.Context(), id)
	s.must(err)
	io.WriteString(w, "second")
	s.want(w.Commit(to("eve@example.org")), spool.ErrExists)
	c := s.claim(id)
	if got := s.read(c); got != "first" {
		s.Errorf("content is %q", got)
	}
	w, err = s.Create(s.Context(), id)
	s.must(err)
	s.want(w.Commit(to("eve@example.org")), spool.ErrExists)
	s.must(c.Remove())
	s.put(id, "third", to("bob@example.org"))
	if _, err := s.Create(s.Context(), "../x"); err == nil {
		s.Error("an id that is none: no error")
	}
}

func (s *suite) givenIDDeferred() {
	id := s.put(spool.DerivedID(moment, "a"), "\r\n", to("bob@example.org"))
	for range 2 {
		c := s.claim(id)
		s.must(c.Record([]spool.RcptResult{result(0, deferred, moment)}, moment))
		s.must(c.Release())
		w, err := s.Create(s.Context(), id)
		s.must(err)
		s.want(w.Commit(to("eve@example.org")), spool.ErrExists)
		s.reopen()
	}
	if list := s.list(); len(list) != 1 {
		s.Errorf("%d messages are listed, want 1", len(list))
	}
}

func (s *suite) exclusive() {
	_, err := s.Claim(s.Context(), spool.NewID(moment))
	s.want(err, spool.ErrNotFound)
	_, err = s.Claim(s.Context(), "../../etc/passwd")
	s.want(err, spool.ErrNotFound)
	id := s.put("", "\r\n", to("bob@example.org"))
	c := s.claim(id)
	if c.ID() != id {
		s.Errorf("ID is %s, want %s", c.ID(), id)
	}
	_, err = s.Claim(s.Context(), id)
	s.want(err, spool.ErrClaimed)
	s.must(c.Release())
	s.must(c.Release())
	second := s.claim(id)
	s.must(c.Release()) // of a claim that is over: not the other one's
	_, err = s.Claim(s.Context(), id)
	s.want(err, spool.ErrClaimed)
	if err := c.Warned(); err == nil {
		s.Error("a change through a claim that was given back: no error")
	}
	s.must(second.Release())
}

func (s *suite) record() {
	id := s.put("", "\r\n", to("a@example.org", "b@example.org", "c@example.org"))
	next := moment.Add(time.Hour)
	c := s.claim(id)
	s.must(c.Record([]spool.RcptResult{result(0, delivered, moment), result(2, deferred, moment)}, next))
	want := to("a@example.org", "b@example.org", "c@example.org")
	want.Arrived = c.Envelope().Arrived
	want.Rcpts[0].Last, want.Rcpts[2].Last = result(0, delivered, moment).Result, result(2, deferred, moment).Result
	want.Next, want.Tries = next, 1
	if diff := Diff(c.Envelope(), want); diff != "" {
		s.Error(diff)
	}
	s.must(c.Record([]spool.RcptResult{result(1, failed, moment)}, time.Time{}))
	want.Rcpts[1].Last = result(1, failed, moment).Result // a record without a time belongs to the same try
	s.must(c.Release())
	for range 2 {
		s.reopen()
		sum := s.list()[0]
		if sum.Rcpt.Addr != "c@example.org" || !sum.Next.Equal(next) || sum.Tries != 1 {
			s.Errorf("summary is %+v", sum)
		}
		c = s.claim(id)
		if diff := Diff(c.Envelope(), want); diff != "" {
			s.Error(diff)
		}
		s.must(c.Release())
	}
}

func (s *suite) recordNobody() {
	id := s.put("", "\r\n", to("a@example.org"))
	c := s.claim(id)
	for _, index := range []int{-1, 1, 1 << 40} {
		results := []spool.RcptResult{result(0, delivered, moment), result(index, delivered, moment)}
		if err := c.Record(results, moment); err == nil {
			s.Errorf("result for recipient %d: no error", index)
		}
		if err := c.Bounced([]int{index}); err == nil {
			s.Errorf("bounced for recipient %d: no error", index)
		}
	}
	if env := c.Envelope(); env.Tries != 0 || env.Rcpts[0].Settled() {
		s.Errorf("envelope is %+v", env)
	}
	c.Envelope().Rcpts[0].Addr = "changed"
	if env := c.Envelope(); env.Rcpts[0].Addr != "a@example.org" {
		s.Error("the envelope is not a copy")
	}
	s.must(c.Record([]spool.RcptResult{result(0, delivered, moment)}, moment))
	s.must(c.Release())
}

func (s *suite) expand() {
	id := s.put("", "\r\n", to("list"))
	c := s.claim(id)
	rcpts := full().Rcpts
	s.must(c.Expand(rcpts[:1]))
	s.must(c.Expand(rcpts)) // a name that could not be expanded at first
	s.must(c.Record([]spool.RcptResult{result(2, deferred, moment)}, moment))
	s.must(c.Release())
	s.reopen()
	c = s.claim(id)
	rcpts[2].Last = result(2, deferred, moment).Result
	want := c.Envelope()
	want.Rcpts, want.Started = rcpts, true
	if diff := Diff(c.Envelope(), want); diff != "" {
		s.Error(diff)
	}
	s.must(c.Release())
}

func (s *suite) notes() {
	id := s.put("", "\r\n", to("bob@example.org"))
	c := s.claim(id)
	s.must(c.Warned())
	s.must(c.Hold("by ann\n"))
	s.must(c.Release())
	s.reopen()
	if !s.list()[0].Held {
		s.Error("the summary does not say that it is held")
	}
	c = s.claim(id)
	if env := c.Envelope(); !env.Warned || env.Held != "by ann\n" {
		s.Errorf("envelope is %+v", env)
	}
	s.must(c.Hold(""))
	s.must(c.Release())
	s.reopen()
	if s.list()[0].Held {
		s.Error("still held")
	}
}

func (s *suite) bouncing() {
	env := to("a@example.org", "b@example.org")
	env.Rcpts[0].Last = spool.Result{Status: failed}
	id := s.put("", "\r\n", env)
	for _, want := range []bool{true, false} {
		for range 2 {
			if got := s.list()[0].Bouncing; got != want {
				s.Errorf("Bouncing is %v, want %v", got, want)
			}
			s.reopen()
		}
		c := s.claim(id)
		s.must(c.Bounced([]int{0}))
		s.must(c.Release())
	}
}

func (s *suite) remove() {
	id := s.put("", "content", to("bob@example.org"))
	c := s.claim(id)
	r, err := c.Open()
	s.must(err)
	s.must(c.Remove())
	if b, err := io.ReadAll(r); string(b) != "content" {
		s.Errorf("a reader of a removed message gives %q, %v", b, err)
	}
	s.must(r.Close())
	s.must(c.Release())
	if err := c.Remove(); err == nil {
		s.Error("second Remove: no error")
	}
	if err := c.Record(nil, moment); err == nil {
		s.Error("Record after Remove: no error")
	}
	if _, err := c.Open(); err == nil {
		s.Error("Open after Remove: no error")
	}
	for range 2 {
		_, err = s.Claim(s.Context(), id)
		s.want(err, spool.ErrNotFound)
		if list := s.list(); len(list) != 0 {
			s.Errorf("listed: %v", list)
		}
		s.reopen()
	}
}

func (s *suite) readers() {
	for _, size := range []int{100, 200_000} {
		content := string(bytes.Repeat([]byte("x"), size-1)) + "y"
		c := s.claim(s.put("", content, to("bob@example.org")))
		one, err := c.Open()
		s.must(err)
		two, err := c.Open()
		s.must(err)
		_, err = io.CopyN(io.Discard, one, int64(size)-1)
		s.must(err)
		s.must(c.Release())
		if b, err := io.ReadAll(one); string(b) != "y" || err != nil {
			s.Errorf("the rest is %q, %v", b, err)
		}
		s.must(one.Close())
		_, err = two.Seek(-1, io.SeekEnd)
		s.must(err)
		if b, err := io.ReadAll(two); string(b) != "y" || err != nil {
			s.Errorf("the last octet is %q, %v", b, err)
		}
		s.must(two.Close())
		two.Close()
	}
}

func (s *suite) order() {
	var ids []spool.ID
	for i := range 600 {
		at := moment.Add(time.Duration(i) * time.Second)
		env := to("bob@example.org")
		env.Arrived = at
		ids = append(ids, s.put(spool.DerivedID(at, fmt.Sprint(i)), "\r\n", env))
	}
	for i := 0; i < len(ids); i += 3 { // these move
		c := s.claim(ids[i])
		s.must(c.Record([]spool.RcptResult{result(0, deferred, moment)}, moment))
		s.must(c.Release())
	}
	var got []spool.ID
	for _, sum := range s.list() {
		got = append(got, sum.ID)
	}
	if !slices.Equal(got, ids) {
		s.Errorf("%d messages are listed in another order, want %d", len(got), len(ids))
	}
}

func (s *suite) breakOff() {
	for range 20 {
		s.put("", "\r\n", to("bob@example.org"))
	}
	n := 0
	for _, err := range s.List(s.Context()) {
		s.must(err)
		if n++; n == 5 {
			break
		}
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	var last error
	for _, err := range s.List(ctx) {
		last = err
	}
	s.want(last, context.Canceled)
	if _, err := s.Create(ctx, ""); err == nil {
		s.Error("Create with a context that has ended: no error")
	}
}

func (s *suite) watch() {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	s.put("", "\r\n", to("before@example.org"))
	ch, err := s.Watch(ctx)
	s.must(err)
	if _, err := s.Watch(ctx); err == nil {
		s.Error("second watcher: no error")
	}
	var ids []spool.ID
	for range 50 { // nobody reads meanwhile
		ids = append(ids, s.put("", "\r\n", to("bob@example.org")))
	}
	for _, id := range ids {
		if sum := <-ch; sum.ID != id || sum.Rcpt.Addr != "bob@example.org" || sum.Size != 2 {
			s.Errorf("summary is %+v, want that of %s", sum, id)
		}
	}
	s.put("", "\r\n", to("bob@example.org"))
	cancel()
	for range ch {
	}
	ctx, cancel2 := context.WithCancel(s.Context())
	defer cancel2()
	ch, err = s.Watch(ctx)
	s.must(err)
	id := s.put("", "\r\n", to("bob@example.org"))
	if sum := <-ch; sum.ID != id {
		s.Errorf("summary is %+v, want that of %s", sum, id)
	}
}

func (s *suite) concurrent() {
	const writers, each = 8, 12
	var mu sync.Mutex
	want := map[spool.ID]string{}
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				content := fmt.Sprintf("message %d of %d\r\n", j, i)
				id, err := s.try(content)
				if err != nil {
					s.Error(err)
					return
				}
				mu.Lock()
				want[id] = content
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(want) != writers*each || len(s.list()) != len(want) {
		s.Fatalf("%d ids, %d listed, want %d", len(want), len(s.list()), writers*each)
	}
	for id, content := range want {
		wg.Go(func() {
			if err := s.work(id, content); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	if list := s.list(); len(list) != 0 {
		s.Errorf("%d messages are left", len(list))
	}
}

// try commits a message and gives its error back, for goroutines.
func (s *suite) try(content string) (spool.ID, error) {
	w, err := s.Create(s.Context(), "")
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(w, content); err != nil {
		return "", err
	}
	return w.ID(), w.Commit(to("bob@example.org"))
}

// work takes a message through a deferral and a delivery.
func (s *suite) work(id spool.ID, content string) error {
	for _, status := range []spool.Status{deferred, delivered} {
		c, err := s.Claim(s.Context(), id)
		if err != nil {
			return err
		}
		r, err := c.Open()
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if err != nil || string(b) != content {
			return fmt.Errorf("content is %q, %w, want %q", b, err, content)
		}
		r.Close()
		if err := c.Record([]spool.RcptResult{result(0, status, moment)}, moment); err != nil {
			return err
		}
		if status == delivered {
			err = c.Remove()
		}
		if err := errors.Join(err, c.Release()); err != nil {
			return err
		}
	}
	return nil
}
