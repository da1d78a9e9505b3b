package mta

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signpost/mta/stage"
	"signpost/spool"
)

// arrived waits until somebody has come to a gate.
func (w *world) arrived(g *stage.Gate) {
	w.t.Helper()
	select {
	case <-g.Arrived():
	case <-w.context().Done():
		w.t.Fatal("nobody came to the gate")
	}
}

func TestDropIsEmptied(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	w.leave(letter{rcpts: to("while-running@one.test")})
	w.arrive(one, 1)
	w.settle()
	if err := w.halt(); err != nil {
		t.Fatal(err)
	}

	id := w.send(letter{rcpts: to("while-away@one.test")})
	if id != "" {
		t.Errorf("got id %s from nobody", id)
	}
	names, err := spool.Drop{Path: w.submit().Drop}.List()
	if err != nil || len(names) != 1 {
		t.Fatalf("in drop/: %v, %v", names, err)
	}
	w.start()
	got := w.arrive(one, 2)
	all := w.settle()
	if r := got[1].Rcpts[0].Addr; r != "while-away@one.test" {
		t.Errorf("delivered to %s", r)
	}
	for _, l := range all {
		if l.msg() == "accepted" && (l.str("client") != "drop" || l.str("uid") == "") {
			t.Errorf("accepted from %q, uid %q", l.str("client"), l.str("uid"))
		}
	}
	if names, err := (spool.Drop{Path: w.submit().Drop}).List(); err != nil || len(names) != 0 {
		t.Errorf("left in drop/: %v, %v", names, err)
	}
}

func inode(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// A second daemon says why it does not start, and takes nothing from the first: no socket, not its helper's either.
func TestSecondDaemonIsRefused(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	first := w.d
	helper := filepath.Join(w.dir, "spool/deliver.sock")
	l, err := net.Listen("unix", helper)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sockets := []string{w.submit().Socket, filepath.Join(w.dir, "spool/control.sock"), helper}
	var before []os.FileInfo
	for _, path := range sockets {
		before = append(before, inode(t, path))
	}

	w.opt.Helper = w.write("helper", "#!/bin/sh\ntest \"$1\" = check || exec cat\n")
	if err := os.Chmod(w.opt.Helper, 0o700); err != nil {
		t.Fatal(err)
	}
	err = w.prepare()
	w.d = first
	if !errors.Is(err, spool.ErrLocked) || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("the second daemon: %v", err)
	}
	for i, path := range sockets {
		if !os.SameFile(before[i], inode(t, path)) {
			t.Errorf("%s is another socket now", path)
		}
	}
	w.send(letter{rcpts: to("bob@one.test")})
	w.arrive(one, 1)
	w.settle()
}

func TestStartRefuses(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(w *world)
		want    string
	}{
		{"a broken key", func(w *world) {
			w.key("r", "ed25519")
			w.write("r.pem", "-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n")
		}, "r.pem"},
		{"a key that is not there", func(w *world) {
			w.key("r", "ed25519")
			os.Remove(filepath.Join(w.dir, "r.pem"))
		}, "r.pem"},
		{"a key for all to read", func(w *world) {
			w.key("r", "ed25519")
			os.Chmod(filepath.Join(w.dir, "r.pem"), 0o644)
		}, "r.pem"},
		{"something else at the place of the socket", func(w *world) { w.write("spool/submit.sock", "precious") }, "submit.sock"},
		{"something else at the place of the admin socket", func(w *world) { w.write("spool/control.sock", "precious") }, "control.sock"},
		{"a file at the place of the spool", func(w *world) { w.write("spool", "precious") }, "spool"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.prepare(w)
			err := w.prepare()
			if err == nil {
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error does not say %q: %v", tt.want, err)
			}
			// Nothing is left running: the lock is free, and nobody listens.
			if lock, err := spool.Lock(filepath.Join(w.dir, "spool")); err == nil {
				lock.Close()
			} else if errors.Is(err, spool.ErrLocked) {
				t.Error("the spool is still locked")
			}
			for _, name := range []string{"submit.sock", "control.sock"} {
				if _, err := listener(filepath.Join(w.dir, "spool", name)); err == nil {
					t.Errorf("somebody still listens on %s", name)
				}
			}
			for _, name := range []string{"spool/submit.sock", "spool/control.sock", "spool"} {
				b, err := os.ReadFile(filepath.Join(w.dir, name))
				if err == nil && string(b) != "precious" {
					t.Errorf("%s holds %q", name, b)
				}
			}
		})
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	gate := stage.NewGate()
	one.Play(stage.Fault{At: stage.End, Times: 1, Wait: gate})
	w.start()
	w.send(letter{rcpts: to("bob@one.test")})
	w.arrived(gate)

	// With a message in flight: it ends as it began.
	w.rest = "[[route]]\nto = [\"one.test\"]\nrelay = \"smtp://mx1.two.test:" + portOf(two) + "\"\n"
	w.configure()
	if err := w.d.Reload(); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	w.arrive(one, 1)
	w.settle()
	w.send(letter{rcpts: to("bob@one.test")})
	w.arrive(two, 1)

	// A bad one changes nothing.
	for _, bad := range []string{"bogus = 1\n", "[[dkim]]\ndomain = \"x.test\"\nselector = \"s\"\nkey = \"none.pem\"\n"} {
		good := w.rest
		w.rest += bad
		w.configure()
		if err := w.d.Reload(); err == nil {
			t.Errorf("a configuration with %q was taken", bad)
		}
		w.rest = good
		w.send(letter{rcpts: to("bob@one.test")})
		w.settle()
	}
	if n, m := len(one.Accepted()), len(two.Accepted()); n != 1 || m != 3 {
		t.Errorf("the exchangers got %d and %d messages, want 1 and 3", n, m)
	}

	// What a restart alone can change is refused, or said.
	path := w.configure()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.write("signpost.toml", strings.Replace(string(b), `path = "spool"`, `path = "other"`, 1))
	if err := w.d.Reload(); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("another spool: %v", err)
	}
	w.logs = "level = \"warn\"\n"
	w.configure()
	if err := w.d.Reload(); err != nil {
		t.Fatal(err)
	}
	if s := w.log.text(); !strings.Contains(s, "[log], and [spool] min_free, take effect at a restart only") {
		t.Error("nobody was told that another [log] takes a restart")
	}

	// newaliases asks over the socket.
	err = w.submit().Reload(t.Context())
	if os.Getuid() == unknownUID {
		if !errors.Is(err, spool.ErrForbidden) {
			t.Errorf("uid %d may reload: %v", unknownUID, err)
		}
	} else if err != nil {
		t.Error(err)
	}
}

func portOf(x *stage.Exchanger) string {
	_, port, _ := net.SplitHostPort(x.Addr())
	return port
}

// drop/ is emptied by what the last reload made: a new hostname stands in Received.
func TestReloadReachesDrop(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	b, err := os.ReadFile(w.configure())
	if err != nil {
		t.Fatal(err)
	}
	w.write("signpost.toml", strings.Replace(string(b), `hostname = "mta.test"`, `hostname = "new.test"`, 1))
	if err := w.d.Reload(); err != nil {
		t.Fatal(err)
	}
	w.leave(letter{rcpts: to("bob@one.test")})
	got := w.arrive(one, 1)
	w.settle()
	if !strings.Contains(string(got[0].Content), "by new.test ") || got[0].Hello != "new.test" {
		t.Errorf("said %q, and:\n%s", got[0].Hello, got[0].Content)
	}
}

// Reloads, callers, listings and deliveries at once: for the race detector.
func TestReloadAmidTraffic(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	const callers, each = 4, 10
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for range each {
				w.send(letter{rcpts: to("bob@one.test")})
			}
		})
	}
	for range 2 {
		running.Go(func() {
			for range each {
				if err := w.d.Reload(); err != nil {
					t.Error(err)
				}
				for range w.d.listFor(t.Context(), 0) {
				}
				w.d.taken(t.Context(), 0, spool.NewID(time.Now()))
				w.d.runFor(t.Context(), 0, spool.Filter{Rcpt: "bob"})
			}
		})
	}
	running.Wait()
	w.arrive(one, callers*each)
	w.settle()
	if n := len(one.Transactions()); n != callers*each {
		t.Errorf("%d transactions for %d messages", n, callers*each)
	}
}

// A stop waits for the attempt in flight, and its outcome is on record.
func TestStopWaitsForWhatIsInFlight(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	gate := stage.NewGate()
	one.Play(stage.Fault{At: stage.End, Times: 1, Wait: gate})
	w.start()
	w.send(letter{rcpts: to("bob@one.test")})
	w.arrived(gate)
	w.cancel()
	w.cancel = nil
	select {
	case err := <-w.ended:
		t.Fatalf("it stopped with a delivery in flight: %v", err)
	default:
	}
	w.send(letter{rcpts: to("later@one.test")}) // into drop/, or just in time
	gate.Open()
	if err := w.result(); err != nil {
		t.Error(err)
	}
	w.start()
	got := w.arrive(one, 2)
	w.settle()
	if len(one.Transactions()) != 2 || got[1].Rcpts[0].Addr != "later@one.test" {
		t.Errorf("transactions: %v", one.Transactions())
	}
}

// A helper that ends takes the daemon with it: what starts the daemon again starts both.
func TestDaemonEndsWithItsHelper(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root starts a helper")
	}
	w := newWorld(t)
	w.opt.Helper = w.write("helper", "#!/bin/sh\ntest \"$1\" = check && exit\nread line\n")
	if err := os.Chmod(w.opt.Helper, 0o700); err != nil {
		t.Fatal(err)
	}
	w.start()
	if w.d.helper == nil || w.d.deliver == "" {
		t.Fatal("no helper was started")
	}
	w.await("the daemon", func(all []line) bool { return len(ids(all, "serving")) > 0 })
	w.d.helper.Stop()
	if err := w.result(); err == nil || !strings.Contains(err.Error(), "delivery helper") {
		t.Errorf("Run returned %v", err)
	}
	w.cancel = nil
}

func TestRunOnce(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	one.Play(stage.Fault{At: stage.Rcpt, For: "late@one.test", Reply: "451 4.3.0 not now"})
	w.start()
	if err := w.halt(); err != nil {
		t.Fatal(err)
	}
	w.leave(letter{rcpts: to("bob@one.test")})
	w.leave(letter{rcpts: to("late@one.test")})
	w.leave(letter{rcpts: to("queued@one.test"), told: spool.Told{Queued: true}})
	cfg, err := w.d.opt.Reload()
	if err != nil {
		t.Fatal(err)
	}
	opt := w.d.opt
	if err := RunOnce(t.Context(), cfg, opt); err != nil {
		t.Fatal(err)
	}
	if n := len(one.Accepted()); n != 2 {
		t.Errorf("%d messages were delivered, want 2", n)
	}
	left := 0
	for e, err := range spool.Peek(filepath.Join(w.dir, "spool")) {
		if err != nil {
			t.Error(err)
		}
		left++
		if e.Envelope.Tries != 1 || e.Envelope.Rcpts[0].Addr != "late@one.test" {
			t.Errorf("left: %+v", e)
		}
	}
	if left != 1 {
		t.Errorf("%d messages are left, want 1", left)
	}

	lock, err := spool.Lock(filepath.Join(w.dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := RunOnce(t.Context(), cfg, opt); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("beside a daemon: %v", err)
	}
}
