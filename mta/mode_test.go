package mta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpost/mta/config"
	"signpost/mta/route"
	"signpost/mta/smtpout"
	"signpost/mta/stage"
	"signpost/spool"
)

// caught lists what lies in the Maildir for caught mail, with its envelope, in no order.
func (w *world) caught() (all []catch) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "spool/catch/new")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		m, err := mail.ReadMessage(strings.NewReader(string(b)))
		if err != nil {
			w.t.Fatalf("%v in %q", err, b)
		}
		all = append(all, catch{string(b), m.Header.Get("Return-Path"), m.Header["X-Original-To"]})
	}
	return all
}

type catch struct {
	content string
	sender  string
	rcpts   []string
}

func (c catch) String() string { return c.sender + " " + strings.Join(c.rcpts, " ") }

// envelopes are the envelopes of what was caught, sorted.
func envelopes(all []catch) (list []string) {
	for _, c := range all {
		list = append(list, c.String())
	}
	slices.Sort(list)
	return list
}

// leftAlone fails where somebody has connected to an exchanger.
func leftAlone(t *testing.T, all ...*stage.Exchanger) {
	t.Helper()
	for _, x := range all {
		for _, s := range x.Sessions() {
			t.Errorf("%s was connected to:\n%s", x.Name, strings.Join(s.Lines, "\n"))
		}
	}
}

func TestCaughtMailIsAsItWouldLeave(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.delivery = "mode = \"catch\"\n"
	w.key("r", "rsa2048")
	w.start()
	id := w.send(letter{sender: "ann@" + host, rcpts: to("bob@one.test", "carol@two.test", "root")})
	all := w.settle()
	leftAlone(t, one)
	got := w.caught()
	if len(got) != 1 || got[0].String() != "<ann@mta.test> bob@one.test carol@two.test root@mta.test" {
		t.Fatalf("caught: %v", got)
	}
	if !strings.HasPrefix(got[0].content, "Return-Path: <ann@mta.test>\nX-Original-To: bob@one.test\n") || strings.Contains(got[0].content, "\r") {
		t.Errorf("caught:\n%s", got[0].content)
	}
	w.verify([]byte(strings.ReplaceAll(got[0].content, "\n", "\r\n")), 1)
	for _, a := range about(all, id, "attempt") {
		if a.str("status") != "sent" || a.str("diverted") != "caught in "+w.dir+"/spool/catch/" ||
			a.str("reply") != "caught in "+w.dir+"/spool/catch/, as [delivery] mode = \"catch\" says" {
			t.Errorf("in the log: %v", a)
		}
	}
	if warned := all[slices.IndexFunc(all, func(l line) bool { return l.str("mode") != "" })]; warned.str("level") != "WARN" || warned.str("mode") != "catch" {
		t.Errorf("at the start: %v", warned)
	}
	if info, err := os.Stat(filepath.Join(w.dir, "spool/catch")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the Maildir: %v, %v", info.Mode(), err)
	}
}

// Whatever is handed in, in catch mode nobody outside hears of it, and nothing on this host but the Maildir gets it.
func TestNothingLeavesInCatchMode(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	relay := w.exchanger("relay.test", &stage.Exchanger{})
	login := w.account().Name
	program, file := filepath.Join(w.dir, "ran"), filepath.Join(w.dir, "file")
	w.aliases = fmt.Sprintf("out: bob@one.test\n%s: bob@one.test\nlist: carol@two.test, ann@one.test\nowner-list: boss@two.test\nprog: \"|touch %s\"\nfile: %s\n", login, program, file)
	w.top = "postmaster = \"post@two.test\"\nroot = \"admin@one.test\"\n"
	w.rest = fmt.Sprintf("[[route]]\nto = [\"routed.test\"]\nrelay = \"smtp://127.0.0.4:%d\"\ndkim = false\n", w.port)
	w.delivery = "mode = \"catch\"\nretry = [\"20ms\"]\ndelay_warning = \"1ms\"\n"
	w.key("r", "ed25519")
	w.start()

	bad := spool.Recipient{Addr: "no address", Last: spool.Result{Status: spool.Status{Class: 5, Subject: 1, Detail: 3}, Detail: "no address"}}
	for _, l := range []letter{
		{sender: "ann@two.test", rcpts: to("bob@one.test")},
		{sender: "ann@two.test", rcpts: to("out@"+host, "list@"+host, "prog@"+host, "file@"+host, login+"@"+host, "postmaster", "no-such-user@"+host)},
		{sender: "ann@two.test", rcpts: to("bob@routed.test")},
		{sender: "ann@two.test", rcpts: to("bob@one.test", "carol@routed.test", "dave@[127.0.0.2]", "eve@no-such.test")},
		{sender: "ann@two.test", rcpts: append(to("bob@one.test"), bad)},
		{sender: "<>", rcpts: append(to("bob@one.test"), bad)},
	} {
		w.send(l)
	}
	w.leave(letter{sender: "drop@two.test", rcpts: to("bob@one.test")})
	w.await("what is in drop/", func(all []line) bool { return len(ids(all, "accepted")) == 9 })
	w.settle()

	leftAlone(t, one, two, relay)
	for _, path := range []string{program, file} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
	if n := len(w.mailbox(login)); n != 0 {
		t.Errorf("%d messages in the mailbox of %s", n, login)
	}
	got := w.caught()
	want := []string{
		"<> ann@two.test", // the bounce
		"<> bob@one.test",
		"<> post@two.test", // the double bounce
		"<ann@two.test> bob@one.test",
		"<ann@two.test> bob@one.test",
		"<ann@two.test> bob@one.test carol@routed.test dave@[127.0.0.2] eve@no-such.test",
		"<ann@two.test> bob@routed.test",
		"<ann@two.test> out@mta.test list@mta.test prog@mta.test file@mta.test " + login + "@mta.test postmaster@mta.test no-such-user@mta.test",
		"<drop@two.test> bob@one.test",
	}
	if list := envelopes(got); !slices.Equal(list, want) {
		t.Errorf("caught:\n%s\nwant:\n%s", strings.Join(list, "\n"), strings.Join(want, "\n"))
	}
	for _, c := range got {
		signed := strings.Contains(c.content, "\nDKIM-Signature:")
		if unsigned := slices.Equal(c.rcpts, []string{"bob@routed.test"}); signed == unsigned && strings.Contains(c.content, "\nFrom: Ann <ann@"+host) {
			t.Errorf("signed %t: %v", signed, c)
		}
	}
}

// A message that was expanded while mail left is judged anew at each try.
func TestModeHoldsForWhatIsInTheQueue(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	one.Play(stage.Fault{At: stage.Rcpt, Reply: "451 4.3.0 not now"})
	w.aliases = "list: bob@one.test, carol@two.test, /no/such/folder/file\nowner-list: boss@two.test\n"
	w.start()
	id := w.send(letter{sender: "ann@two.test", rcpts: to("list@" + host)})
	w.await("the first try", func(all []line) bool { return len(about(all, id, "attempt")) == 3 })
	w.arrive(two, 1)
	before := len(one.Sessions())

	w.delivery = "mode = \"catch\"\n"
	w.configure()
	if err := w.d.Reload(); err != nil {
		t.Fatal(err)
	}
	w.d.queue.RetryAll()
	w.settle()
	if n := len(one.Sessions()); n != before || len(two.Accepted()) != 1 {
		t.Errorf("%d sessions at one.test, %d before; %d messages at two.test", n, before, len(two.Accepted()))
	}
	if got, want := fmt.Sprint(w.caught()), "[<owner-list@mta.test> bob@one.test list@mta.test]"; got != want {
		t.Errorf("caught: %s, want %s", got, want)
	}
}

// An attempt in flight obeys a mode that comes meanwhile: it goes to no further host.
func TestModeHoldsForAttemptsInFlight(t *testing.T) {
	w := newWorld(t)
	first := w.exchanger("one.test", &stage.Exchanger{})
	second := w.exchanger("one.test", &stage.Exchanger{})
	gate := stage.NewGate()
	first.Play(stage.Fault{At: stage.Mail, Wait: gate, Reply: "421 4.3.2 closing", Close: true})
	w.start()
	id := w.send(letter{sender: "ann@two.test", rcpts: to("bob@one.test")})
	w.arrived(gate)
	w.delivery = "mode = \"catch\"\n"
	w.configure()
	if err := w.d.Reload(); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	all := w.await("the end of the try", func(all []line) bool { return len(about(all, id, "attempt")) == 1 })
	if a := about(all, id, "attempt")[0]; a.str("status") != "deferred" || !strings.Contains(a.str("reply"), "does not let mail go to bob@one.test") {
		t.Errorf("the try: %v", a)
	}
	w.d.queue.RetryAll()
	w.settle()
	leftAlone(t, second)
	if got := fmt.Sprint(w.caught()); got != "[<ann@two.test> bob@one.test]" {
		t.Errorf("caught: %s", got)
	}
}

// What could not be caught waits, and goes where it is addressed to once mail may.
func TestMailWaitsForTheMaildir(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.delivery = "mode = \"catch\"\ncatch = \"no/such/\"\n"
	w.start()
	id := w.send(letter{sender: "ann@two.test", rcpts: to("bob@one.test")})
	all := w.await("a try", func(all []line) bool { return len(about(all, id, "attempt")) > 0 })
	if a := about(all, id, "attempt")[0]; a.str("status") != "deferred" || !strings.Contains(a.str("reply"), "see [delivery] catch") {
		t.Errorf("the try: %v", a)
	}
	if !slices.ContainsFunc(all, func(l line) bool { return l.str("level") == "ERROR" && strings.Contains(l.str("err"), "no/such") }) {
		t.Error("no error at the start")
	}
	leftAlone(t, one)
	w.delivery = ""
	w.configure()
	if err := w.d.Reload(); err != nil {
		t.Fatal(err)
	}
	w.d.queue.RetryAll()
	w.arrive(one, 1)
	w.settle()
}

func TestAllowLetsOnlyTheAllowedThrough(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{Reject: []string{"nobody@one.test"}})
	two := w.exchanger("two.test", &stage.Exchanger{})
	login := w.account().Name
	w.aliases = "list: bob@one.test, carol@two.test, dave@two.test\nteam: \\" + login + "\n"
	w.delivery = "mode = \"allow\"\nallow = [\"one.test\", \"dave@two.test\", \"list@" + host + "\", \"team@" + host + "\"]\n"
	w.start()
	w.send(letter{sender: "ann@two.test", rcpts: to("nobody@one.test", "eve@two.test", "team@"+host, "list@"+host, login+"@"+host)})
	w.settle()
	for _, x := range []struct {
		*stage.Exchanger
		want string
	}{{one, "[bob@one.test]"}, {two, "[dave@two.test]"}} {
		var rcpts []string
		for _, m := range x.Accepted() {
			for _, r := range m.Rcpts {
				rcpts = append(rcpts, r.Addr)
			}
		}
		if got := fmt.Sprint(rcpts); got != x.want {
			t.Errorf("%s got %s, want %s", x.Name, got, x.want)
		}
	}
	if n := len(w.mailbox(login)); n != 1 {
		t.Errorf("%d messages in the mailbox of %s", n, login)
	}
	want := []string{"<> ann@two.test", "<ann@two.test> eve@two.test " + login + "@mta.test carol@two.test"}
	if got := envelopes(w.caught()); !slices.Equal(got, want) {
		t.Errorf("caught: %q, want %q", got, want)
	}
}

func TestAllGoesToTheRedirect(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	w.aliases = "list: carol@two.test\nowner-list: boss@two.test\nroot: admin@two.test\n"
	w.delivery = "mode = \"redirect\"\nredirect = \"dev@one.test\"\n"
	w.key("r", "rsa2048")
	w.start()
	bad := spool.Recipient{Addr: "no address", Last: spool.Result{Status: spool.Status{Class: 5, Subject: 1, Detail: 3}}}
	id := w.send(letter{sender: "ann@two.test", rcpts: append(to("bob@two.test", "list@"+host, "root", "dev@one.test"), bad)})
	w.arrive(one, 2)
	all := w.settle()
	leftAlone(t, two)
	for _, m := range one.Accepted() {
		if len(m.Rcpts) != 1 || m.Rcpts[0].Addr != "dev@one.test" || m.Rcpts[0].Params != "NOTIFY=NEVER" {
			t.Errorf("recipients: %v", m.Rcpts)
		}
		if m.Sender.Addr == "" { // the bounce
			if !strings.HasPrefix(string(m.Content), "X-Original-To: ann@two.test\r\n") {
				t.Errorf("the bounce:\n%s", m.Content)
			}
			continue
		}
		head, rest, _ := strings.Cut(string(m.Content), "DKIM-Signature:")
		if want := "X-Original-To: bob@two.test\r\nX-Original-To: list@mta.test\r\nX-Original-To: root@mta.test\r\nX-Original-To: dev@one.test\r\n"; head != want || rest == "" {
			t.Errorf("before the signature: %q, want %q", head, want)
		}
		w.verify(m.Content, 1)
	}
	for _, a := range about(all, id, "attempt") {
		if a.str("to") != "no address" && (a.str("diverted") != "redirected to dev@one.test" || !strings.Contains(a.str("reply"), "redirected to dev@one.test")) {
			t.Errorf("in the log: %v", a)
		}
	}
}

// An address of this host is its user's mailbox: no alias leads what was redirected elsewhere.
func TestRedirectToThisHostStaysHere(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	login := w.account().Name
	w.aliases = login + ": bob@one.test\nfolk: bob@one.test\n"
	w.delivery = "mode = \"redirect\"\nredirect = \"" + login + "@" + host + "\"\n"
	w.start()
	w.send(letter{sender: "ann@two.test", rcpts: to("bob@one.test", login+"@"+host)})
	w.settle()
	leftAlone(t, one)
	box := w.mailbox(login)
	if len(box) != 1 || !strings.Contains(box[0], "\nX-Original-To: bob@one.test\nX-Original-To: "+login+"@mta.test\n") {
		t.Errorf("in the mailbox: %q", box)
	}

	w.delivery = "mode = \"redirect\"\nredirect = \"folk@" + host + "\"\n"
	w.configure()
	if err := w.d.Reload(); err != nil {
		t.Fatal(err)
	}
	id := w.send(letter{sender: "ann@two.test", rcpts: to("bob@one.test")})
	all := w.await("a try", func(all []line) bool { return len(about(all, id, "attempt")) > 0 })
	if a := about(all, id, "attempt")[0]; a.str("status") != "deferred" || !strings.HasSuffix(a.str("reply"), "it is no mailbox of this host") {
		t.Errorf("the try: %v", a)
	}
	leftAlone(t, one)
}

func TestQueueRunObeysTheMode(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	w.send(letter{sender: "ann@two.test", rcpts: to("bob@one.test"), told: spool.Told{Queued: true}})
	w.halt()
	w.delivery = "mode = \"catch\"\n"
	cfg, err := config.Read(w.configure())
	if err != nil {
		t.Fatal(err)
	}
	if err := RunOnce(t.Context(), cfg, Options{Log: NewLogger(w.log, cfg.Log), Helper: filepath.Join(w.dir, "no-helper")}); err != nil {
		t.Fatal(err)
	}
	leftAlone(t, one)
	if got := fmt.Sprint(w.caught()); got != "[<ann@two.test> bob@one.test]" {
		t.Errorf("caught: %s", got)
	}
}

func gateOf(cfg config.Delivery) *gate {
	g := new(gate)
	g.current.Store(newMode(cfg))
	return g
}

func TestModePlaces(t *testing.T) {
	allow := config.Delivery{Mode: config.ModeAllow, Allow: []string{"one.test", ".below.test", "ann@two.test"}}
	redirect := config.Delivery{Mode: config.ModeRedirect, Redirect: "dev@one.test"}
	address := func(addr string) spool.Recipient { return spool.Recipient{Addr: addr, Original: "list@one.test"} }
	here := func(k spool.Kind, from string) spool.Recipient {
		return spool.Recipient{Kind: k, Addr: "bob@one.test", Original: from}
	}
	tests := []struct {
		name string
		cfg  config.Delivery
		r    spool.Recipient
		want place
	}{
		{"normal", config.Delivery{Mode: config.ModeNormal}, address("bob@three.test"), asAddressed},
		{"normal, a program", config.Delivery{Mode: config.ModeNormal}, here(spool.Program, "bob@three.test"), asAddressed},
		{"catch", config.Delivery{Mode: config.ModeCatch, Allow: allow.Allow}, address("bob@one.test"), caught},
		{"catch, a mailbox", config.Delivery{Mode: config.ModeCatch}, here(spool.Mailbox, "bob@one.test"), caught},
		{"no mode at all", config.Delivery{}, address("bob@one.test"), caught},
		{"a mode that is none", config.Delivery{Mode: "Normal"}, address("bob@one.test"), caught},
		{"redirect", redirect, address("bob@three.test"), redirected},
		{"redirect, the address itself", redirect, address("dev@one.test"), redirected},
		{"redirect, a file", redirect, here(spool.File, "dev@one.test"), redirected},
		{"allow, a domain", allow, address("bob@ONE.test"), asAddressed},
		{"allow, what a list that is allowed leads to", allow, address("bob@three.test"), caught},
		{"allow, not below a domain", allow, address("bob@x.one.test"), caught},
		{"allow, below a domain", allow, address("bob@x.below.test"), asAddressed},
		{"allow, the domain itself of those below", allow, address("bob@below.test"), asAddressed},
		{"allow, a domain that ends alike", allow, address("bob@xbelow.test"), caught},
		{"allow, an address", allow, address("Ann@two.test"), asAddressed},
		{"allow, another of its domain", allow, address("bob@two.test"), caught},
		{"allow, an address with another in its local part", allow, address("\"ann@two.test\"@three.test"), caught},
		{"allow, no domain", allow, address("one.test"), caught},
		{"allow, a mailbox", allow, here(spool.Mailbox, "team@one.test"), asAddressed},
		{"allow, a mailbox of another address", allow, here(spool.Mailbox, "team@two.test"), caught},
		{"allow, a program of nobody", allow, here(spool.Program, ""), caught},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := newMode(tt.cfg).place(tt.r); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// The outlet and the dialer refuse what another part should not have asked for.
func TestOutletAndDialRefuse(t *testing.T) {
	x := &stage.Exchanger{}
	if err := x.Listen("127.0.0.1:0"); err != nil {
		t.Skipf("no loopback: %v", err)
	}
	defer x.Close()
	g := gateOf(config.Delivery{Mode: config.ModeAllow, Allow: []string{"bob@one.test"}})
	o := newOutlet(config.Config{Hostname: host}, g)
	defer o.close()
	d := newDialer(config.Config{}, g)

	with := func(rcpts ...spool.Recipient) context.Context {
		return context.WithValue(t.Context(), passKey{}, rcpts)
	}
	for name, ctx := range map[string]context.Context{
		"without recipients":  t.Context(),
		"for no recipient":    with(),
		"for one not allowed": with(to("eve@one.test")...),
		"for one among those": with(to("bob@one.test", "eve@one.test")...),
		"for a program":       with(spool.Recipient{Kind: spool.Program, Addr: "bob@one.test", Original: "bob@one.test"}),
	} {
		if conn, err := d.dial(ctx, "tcp", x.Addr()); err == nil {
			t.Errorf("a connection was made %s", name)
			conn.Close()
		}
	}
	leftAlone(t, x)

	at := netip.MustParseAddrPort(x.Addr())
	hop := route.Hop{Host: "mx.test", Addrs: []netip.Addr{at.Addr()}, Port: at.Port()}
	m := smtpout.Message{Sender: "ann@two.test", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("Subject: x\r\n\r\nx\r\n")), nil
	}}
	if rep := o.send(t.Context(), hop, m, to("bob@one.test")); rep.Results[0].Outcome() != spool.Delivered {
		t.Fatalf("got %+v", rep)
	}
	// The connection is kept, so that nothing would be dialed.
	rep := o.send(t.Context(), hop, m, to("bob@one.test", "eve@one.test"))
	for _, r := range rep.Results {
		if r.Outcome() != spool.Deferred || r.Status != badMode {
			t.Errorf("got %+v", r)
		}
	}
	g.current.Store(newMode(config.Delivery{Mode: config.ModeCatch}))
	if rep := o.send(t.Context(), hop, m, to("bob@one.test")); rep.Results[0].Outcome() != spool.Deferred {
		t.Errorf("got %+v", rep)
	}
	if n := len(x.Accepted()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestOriginalToIsBounded(t *testing.T) {
	var rcpts []spool.Recipient
	for i := range 250 {
		rcpts = append(rcpts, to(fmt.Sprintf("r%d@one.test", i))...)
	}
	got := originalTo(rcpts)
	if n := strings.Count(got, "\r\n"); n != 101 || !strings.HasSuffix(got, "X-Original-To: r99@one.test\r\nX-Original-To: (and 150 more)\r\n") {
		t.Errorf("%d fields:\n%s", n, got)
	}
	odd := []spool.Recipient{
		{Addr: "a\r\nBcc: x@y\x00" + strings.Repeat("\u00e9", 600)},
		{Kind: spool.Program, Addr: "/bin/x", Original: "list@one.test"},
		{Kind: spool.Mailbox, Addr: "bob"},
	}
	for line := range strings.Lines(originalTo(odd)) {
		if !strings.HasPrefix(line, "X-Original-To: ") || len(line) > 998 || !strings.HasSuffix(line, "\r\n") {
			t.Errorf("a line: %q", line)
		}
	}
	if got, want := originalTo(odd[1:]), "X-Original-To: list@one.test\r\nX-Original-To: bob\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
