package mta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"signpost/mta/config"
	"signpost/mta/local"
	"signpost/mta/sign"
	"signpost/mta/stage"
	"signpost/spool"
)

// patience is how long a test waits for what must happen. It only shows how long a failure takes.
const patience = 20 * time.Second

// host is the name of the daemon's host in these tests.
const host = "mta.test"

// world is a daemon with all that is around it: a name server and exchangers on loopback, the spool and the mailboxes
// in a scratch folder. Set the fields before start.
type world struct {
	t    *testing.T
	dir  string
	dns  stage.DNS
	port int // of all exchangers
	free []net.Listener

	top      string // keys before the first table
	delivery string // keys of [delivery] besides those that a loopback needs
	local    string // keys of [local]
	logs     string // keys of [log]
	rest     string // whole tables
	aliases  string // the aliases file
	format   string // of the log; empty: "json"

	log    *logged
	opt    Options
	d      *Daemon
	cancel context.CancelFunc
	ended  chan error
}

// newWorld prepares a world without exchangers.
func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), log: &logged{}}
	w.reserve()
	w.write("mail/"+w.account().Name+"/new/.keep", "") // a mailbox that is there is used whatever the account's shell
	t.Cleanup(func() {
		w.halt()
		w.dns.Close()
		for _, l := range w.free {
			l.Close()
		}
		if t.Failed() {
			t.Logf("the log:\n%s", w.log.text())
		}
	})
	return w
}

// reserve takes one port at several addresses of loopback, for exchangers to come.
func (w *world) reserve() {
	w.t.Helper()
	for range 50 {
		first, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			w.t.Fatal(err)
		}
		w.port = first.Addr().(*net.TCPAddr).Port
		w.free = []net.Listener{first}
		for i := 3; i <= 6; i++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:%d", i, w.port))
			if err != nil {
				break
			}
			w.free = append(w.free, l)
		}
		if len(w.free) == 5 {
			return
		}
		for _, l := range w.free {
			l.Close()
		}
	}
	w.t.Fatal("no port is free at five addresses of loopback")
}

// account is that of whoever runs the test.
func (w *world) account() local.User {
	w.t.Helper()
	u, err := local.Passwd{}.LookupUID(w.t.Context(), os.Getuid())
	if err != nil {
		w.t.Skipf("no account has uid %d: %v", os.Getuid(), err)
	}
	return u
}

// exchanger starts an exchanger and makes it one of those of domain; a later one is less preferred.
func (w *world) exchanger(domain string, x *stage.Exchanger) *stage.Exchanger {
	w.t.Helper()
	l := w.free[0]
	w.free = w.free[1:]
	addr := l.Addr().(*net.TCPAddr).IP
	n := strings.Count(w.dns.Records, domain+". MX") + 1
	x.Name = fmt.Sprintf("mx%d.%s", n, domain)
	w.dns.Records += fmt.Sprintf("%s. MX %d %s.\n%[3]s. A %[4]s\n", domain, 10*n, x.Name, addr)
	x.Start(l)
	w.t.Cleanup(func() { x.Close() })
	return x
}

// dead makes a host that nobody answers at one of the exchangers of domain.
func (w *world) dead(domain string) {
	w.t.Helper()
	x := w.exchanger(domain, &stage.Exchanger{})
	x.Close()
}

// write puts a file into the scratch folder.
func (w *world) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// key makes a key for host, publishes it and has the daemon sign with it.
func (w *world) key(selector, kind string) {
	w.t.Helper()
	key, err := sign.Generate(kind)
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.dir, selector+".pem")
	if _, err := sign.WriteFile(path, key); err != nil {
		w.t.Fatal(err)
	}
	record, err := sign.Record(key.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	w.dns.Records += sign.ZoneEntry(sign.RecordName(selector, host), record) + "\n"
	w.rest += fmt.Sprintf("[[dkim]]\ndomain = %q\nselector = %q\nkey = %q\n", host, selector, path)
}

// configure writes the configuration as the fields have it now.
func (w *world) configure() string {
	w.t.Helper()
	top := w.top
	if os.Getuid() == 0 {
		top += "user = \"root\"\n"
	}
	format := w.format
	if format == "" {
		format = "json"
	}
	if !strings.Contains(w.delivery, "retry") {
		w.delivery += "retry = [\"5m\"]\n"
	}
	w.write("aliases", w.aliases)
	return w.write("signpost.toml", strings.Join([]string{
		fmt.Sprintf("hostname = %q\n", host), top,
		"[spool]\npath = \"spool\"\nmin_free = \"0\"\n",
		fmt.Sprintf("[dns]\nservers = [%q]\n", w.dns.Addr()),
		fmt.Sprintf("[delivery]\nport = %d\nprivate_mx = true\n", w.port), w.delivery,
		fmt.Sprintf("[local]\ndomains = [%q]\nmailbox = \"mail/{user}/\"\naliases = \"aliases\"\nforward = false\n", host), w.local,
		fmt.Sprintf("[log]\nformat = %q\n", format), w.logs,
		w.rest,
	}, ""))
}

// start runs the daemon.
func (w *world) start() {
	w.t.Helper()
	if err := w.prepare(); err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(w.t.Context()))
	w.ended = make(chan error, 1)
	d := w.d
	go func() { w.ended <- d.Run(ctx) }()
}

// prepare is Start alone.
func (w *world) prepare() error {
	w.t.Helper()
	if w.dns.Addr() == "" {
		if err := w.dns.Listen("127.0.0.1:0"); err != nil {
			w.t.Fatal(err)
		}
	}
	path := w.configure()
	cfg, err := config.Read(path)
	if err != nil {
		w.t.Fatal(err)
	}
	opt := w.opt
	opt.Log = NewLogger(w.log, cfg.Log)
	opt.Reload = func() (config.Config, error) { return config.Read(path) }
	opt.Config = path
	if opt.Helper == "" {
		opt.Helper = filepath.Join(w.dir, "no-helper") // not one that this host has installed
	}
	w.d, err = Start(w.t.Context(), cfg, opt)
	return err
}

// halt stops the daemon as SIGTERM does, and gives what Run returned.
func (w *world) halt() error {
	if w.cancel == nil {
		return nil
	}
	w.cancel()
	w.cancel = nil
	return w.result()
}

// result waits until Run has returned.
func (w *world) result() error {
	w.t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(2 * patience):
		w.t.Fatal("the daemon does not stop")
		return nil
	}
}

func (w *world) context() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// letter is what a caller hands in.
type letter struct {
	sender string // empty: the account's own; "<>": the null reverse-path
	rcpts  []spool.Recipient
	told   spool.Told // more of what it says
	text   string     // content with LF line ends; empty: a small one
}

func to(addrs ...string) (rcpts []spool.Recipient) {
	for _, a := range addrs {
		rcpts = append(rcpts, spool.Recipient{Addr: a})
	}
	return rcpts
}

const small = "From: Ann <ann@" + host + ">\nTo: bob@one.test\nSubject: Hello\nMessage-ID: <1@" + host + ">\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nHow are you?\n.\n"

// fill makes the Told and the content, CRLF line ends, of a letter.
func (w *world) fill(l letter) (spool.Told, string) {
	told := l.told
	told.Rcpts = l.rcpts
	switch l.sender {
	case "":
		own := w.account().Name + "@" + host
		told.Sender = &own
	case "<>":
		told.Sender = new(string)
	default:
		told.Sender = &l.sender
	}
	text := l.text
	if text == "" {
		text = small
	}
	return told, strings.ReplaceAll(text, "\n", "\r\n")
}

// submit is the way of the sendmail command to this daemon.
func (w *world) submit() spool.Submit {
	return spool.Submit{Socket: filepath.Join(w.dir, "spool/submit.sock"), Drop: filepath.Join(w.dir, "spool/drop")}
}

// send hands a letter in as the sendmail command does, and gives its id.
func (w *world) send(l letter) spool.ID {
	w.t.Helper()
	told, text := w.fill(l)
	h, err := w.submit().Submit(w.t.Context(), told)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(h, text); err != nil {
		w.t.Fatal(err)
	}
	if err := h.Commit(); err != nil {
		w.t.Fatal(err)
	}
	return h.ID()
}

// leave puts a letter into drop/.
func (w *world) leave(l letter) {
	w.t.Helper()
	told, text := w.fill(l)
	h, err := spool.Drop{Path: w.submit().Drop}.Submit(w.t.Context(), told)
	if err != nil {
		w.t.Fatal(err)
	}
	io.WriteString(h, text)
	if err := h.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

// arrive waits until x has taken n messages, and gives them.
func (w *world) arrive(x *stage.Exchanger, n int) []stage.Transaction {
	w.t.Helper()
	got, err := x.Await(w.context(), n)
	if err != nil {
		w.t.Fatalf("%s took %d messages, not %d: %v", x.Name, len(got), n, err)
	}
	return got
}

// settle waits until all that has been accepted has left the spool.
func (w *world) settle() []line {
	w.t.Helper()
	return w.await("the end of all messages", func(all []line) bool {
		accepted, gone := ids(all, "accepted"), ids(all, "done", "removed")
		return len(accepted) > 0 && slices.Equal(accepted, gone)
	})
}

// await waits until done reports true of the log.
func (w *world) await(what string, done func([]line) bool) []line {
	w.t.Helper()
	all, err := w.log.await(w.context(), done)
	if err != nil {
		w.t.Fatalf("waiting for %s: %v", what, err)
	}
	return all
}

// queued lists the ids in the spool.
func (w *world) queued() (ids []spool.ID) {
	w.t.Helper()
	for e, err := range w.d.dir.Entries(w.t.Context()) {
		if err != nil {
			w.t.Error(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// mailbox lists the messages in a Maildir of this host.
func (w *world) mailbox(user string) (all []string) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "mail", user, "new")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == ".keep" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

// logged keeps a log and tells those who wait for a line of it.
type logged struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	lines []line
	bell  chan struct{}
}

// line is one line of a log in JSON.
type line map[string]any

func (l line) msg() string { return l.str("msg") }

func (l line) str(field string) string {
	if l[field] == nil {
		return ""
	}
	return fmt.Sprint(l[field])
}

// Write gets one line at a time from slog.
func (g *logged) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buf.Write(p)
	var l line
	json.Unmarshal(p, &l) // a log in text has no lines here
	g.lines = append(g.lines, l)
	if g.bell != nil {
		close(g.bell)
		g.bell = nil
	}
	return len(p), nil
}

func (g *logged) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.String()
}

func (g *logged) all() []line {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.lines)
}

func (g *logged) await(ctx context.Context, done func([]line) bool) ([]line, error) {
	for {
		g.mu.Lock()
		all := slices.Clone(g.lines)
		if g.bell == nil {
			g.bell = make(chan struct{})
		}
		bell := g.bell
		g.mu.Unlock()
		if done(all) {
			return all, nil
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return all, ctx.Err()
		}
	}
}

// about gives the lines of one message that say msg; empty: any.
func about(all []line, id spool.ID, msg string) (found []line) {
	for _, l := range all {
		if l.str("id") == string(id) && (msg == "" || l.msg() == msg) {
			found = append(found, l)
		}
	}
	return found
}

// ids gives the sorted ids of the lines that say one of these.
func ids(all []line, msgs ...string) (found []string) {
	for _, l := range all {
		if slices.Contains(msgs, l.msg()) {
			found = append(found, l.str("id"))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
