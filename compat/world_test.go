package compat_test

import (
	"bytes"
	"context"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpost/compat"
	"signpost/mta/intake"
	"signpost/spool"
)

// world is where a command runs in a test: a host with the users ann, bob and mallory, and a spool in memory whose
// messages the daemon's own code completes.
type world struct {
	t      *testing.T
	user   string // default ann
	env    map[string]string
	arg0   string // default sendmail
	config string // path of the configuration

	told     spool.Told // of the last submission
	queue    []spool.Entry
	failing  error // of Queue, Run and Reload
	refuse   error // of Submit's Commit and of Rehearse
	way      spool.Way
	ran      []spool.Filter
	reloads  int
	stdin    io.Reader // instead of a text
	terminal bool      // stdin is one
	last     *message
	all      []*message
}

// message is what is queued.
type message struct {
	env     spool.Envelope
	content string // CRLF
}

// result is what a command did.
type result struct {
	status         int
	stdout, stderr string
	message        *message
	read           int // octets of standard input
}

var now = time.Date(2026, 11, 23, 18, 0, 45, 0, time.UTC)

func newWorld(t *testing.T) *world {
	w := &world{t: t, way: spool.Way{Daemon: true}, config: filepath.Join(t.TempDir(), "signpost.toml")}
	w.configure("hostname = \"" + host + "\"\norigin = \"" + host + "\"\n[local]\naliases = \"aliases\"\n")
	w.write("passwd", passwd)
	return w
}

// configure writes the configuration.
func (w *world) configure(text string) { w.write("signpost.toml", text) }

// write makes a file beside the configuration.
func (w *world) write(name, text string) string {
	path := filepath.Join(filepath.Dir(w.config), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) run(stdin string, args ...string) result {
	arg0 := w.arg0
	if arg0 == "" {
		arg0 = "/usr/sbin/sendmail"
	}
	in := &counter{r: strings.NewReader(stdin)}
	if w.stdin != nil {
		in.r = w.stdin
	}
	var stdout, stderr bytes.Buffer
	w.last = nil
	status := compat.Main(w.t.Context(), compat.Env{
		Args:    append([]string{arg0}, args...),
		Stdin:   in,
		Stdout:  &stdout,
		Stderr:  &stderr,
		Environ: func(key string) string { return w.env[key] },
		Now:     func() time.Time { return now },
		Spool:   w,
		Config:  w.config,
		Etc:     filepath.Dir(w.config),
		PID:     4711,
		UID:     w.uid(),

		Terminal: func() bool { return w.terminal },
	})
	return result{status, stdout.String(), stderr.String(), w.last, in.n}
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// uid is the caller's.
func (w *world) uid() int {
	if w.user == "" {
		return users["ann"].UID
	}
	return users[w.user].UID
}

var users = map[string]intake.User{
	"ann":     {UID: 1001, Login: "ann", FullName: "Ann O. Nym"},
	"bob":     {UID: 1002, Login: "bob", FullName: "Bob Bob Co"},
	"mallory": {UID: 1003, Login: "mallory", FullName: "Mallory"},
}

// Submit lets the daemon's intake complete the message.
func (w *world) Submit(ctx context.Context, told spool.Told) (spool.Handover, error) {
	w.told = told
	who := intake.Caller{Origin: spool.Origin{Via: intake.ViaSocket, UID: w.uid()}}
	i := intake.Intake{
		Store: w, Hostname: host, Origin: host, Now: func() time.Time { return now },
		User: func(uid int) (intake.User, bool) {
			for _, u := range users {
				if u.UID == uid {
					return u, true
				}
			}
			return intake.User{}, false
		},
		Account: func(login string) (intake.User, bool) { u, ok := users[login]; return u, ok },
	}
	return i.Create(ctx, who, told)
}

func (w *world) Rehearse(context.Context, int64) (spool.Way, error) { return w.way, w.refuse }

func (w *world) Create(context.Context, spool.ID) (spool.Writer, error) {
	return &writer{world: w, id: spool.NewID(now)}, nil
}

// writer is a message of the spool in memory.
type writer struct {
	world *world
	id    spool.ID
	buf   bytes.Buffer
}

func (w *writer) Write(p []byte) (int, error) { return w.buf.Write(p) }
func (w *writer) ID() spool.ID                { return w.id }
func (w *writer) Abort() error                { return nil }

func (w *writer) Commit(env spool.Envelope) error {
	if w.world.refuse != nil {
		return w.world.refuse
	}
	w.world.last = &message{env, w.buf.String()}
	w.world.all = append(w.world.all, w.world.last)
	return nil
}

func (w *world) Queue(context.Context) iter.Seq2[spool.Entry, error] {
	return func(yield func(spool.Entry, error) bool) {
		for _, e := range w.queue {
			if !yield(e, nil) {
				return
			}
		}
		if w.failing != nil {
			yield(spool.Entry{}, w.failing)
		}
	}
}

func (w *world) Run(_ context.Context, f spool.Filter) error {
	w.ran = append(w.ran, f)
	return w.failing
}

func (w *world) Reload(context.Context) error {
	w.reloads++
	return w.failing
}

// rcpts gives the recipients that are tried.
func (m message) rcpts() []string {
	var all []string
	for _, r := range m.env.Rcpts {
		if !r.Settled() {
			all = append(all, r.Addr)
		}
	}
	return all
}

// parts gives header, between line ends, and body, with LF.
func (m message) parts(t *testing.T) (head, body string) {
	text := strings.ReplaceAll(m.content, "\r\n", "\n")
	if strings.ContainsAny(text, "\r\x00") || strings.Count(m.content, "\n") != strings.Count(m.content, "\r\n") {
		t.Errorf("the content is not in its normal form: %q", m.content)
	}
	head, body, ok := strings.Cut(text, "\n\n")
	if !ok {
		t.Errorf("no empty line behind the header: %q", m.content)
	}
	return "\n" + head + "\n", body
}
