package intake

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"signpost/spool"
)

// running is a Server on a real socket.
type running struct {
	*Server
	m      *memory
	submit spool.Submit
	stop   func() // ends the Server and waits for it
	log    *bytes.Buffer
}

// serveUnix runs a Server with what set changes of it.
func serveUnix(t *testing.T, m *memory, set func(*Server, *Intake)) *running {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "submit.sock")
	for _, d := range []string{"drop", "drop/new", "drop/tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Listen(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	i := newIntake(m)
	i.Now = time.Now
	log := new(bytes.Buffer)
	s := &Server{Intake: func() *Intake { return i }, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if set != nil {
		set(s, i)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return &running{s, m, spool.Submit{Socket: path, Drop: filepath.Join(dir, "drop")}, stop, log}
}

func (r *running) dropped(t *testing.T) int {
	t.Helper()
	names, err := spool.Drop{Path: r.submit.Drop}.List()
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// client speaks frames.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (r *running) dial(t *testing.T) *client {
	t.Helper()
	c, err := net.Dial("unix", r.submit.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) next() (spool.FrameType, []byte) {
	c.t.Helper()
	typ, n, err := spool.ReadFrameHead(c.r)
	if err != nil {
		return 0, nil
	}
	b, err := spool.ReadPayload(c.r, n)
	if err != nil {
		return 0, nil
	}
	return typ, b
}

func (c *client) want(typ spool.FrameType) []byte {
	c.t.Helper()
	got, b := c.next()
	if got != typ {
		c.t.Fatalf("frame of type %d, %q; want type %d", got, b, typ)
	}
	return b
}

// begin says HELLO and waits for the greeting.
func (c *client) begin() {
	c.t.Helper()
	c.Write(spool.Hello{Verb: spool.VerbSubmit}.Append(nil))
	c.want(spool.FrameGreeting)
}

func toldFrame(rcpts ...string) []byte {
	return spool.AppendFrame(nil, spool.FrameTold, spool.EncodeTold(spool.Told{Rcpts: to(rcpts...)}))
}

// wantErr wants an ERR of this status, and then the end of the connection.
func (c *client) wantErr(status spool.Status) {
	c.t.Helper()
	b := c.want(spool.FrameErr)
	got := spool.Status{Class: int(b[1]), Subject: int(b[3]), Detail: int(b[5])}
	if got != status {
		c.t.Errorf("ERR %v %s, want %v", got, b[7:], status)
	}
	if typ, _ := c.next(); typ != 0 {
		c.t.Errorf("frame of type %d behind ERR", typ)
	}
}

func handIn(t *testing.T, s spool.Submit, told spool.Told, content string) (spool.ID, error) {
	t.Helper()
	h, err := s.Submit(t.Context(), told)
	if err != nil {
		return "", err
	}
	defer h.Abort()
	if _, err := io.WriteString(h, content); err != nil {
		return h.ID(), err
	}
	err = h.Commit()
	return h.ID(), err
}

func TestServerTakesMessages(t *testing.T) {
	for _, size := range []int{0, 5000, 3 << 20} {
		m := new(memory)
		r := serveUnix(t, m, nil)
		body := strings.Repeat("line of the body\r\n", size/18)
		id, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob"), PID: 1}, "Subject: s\r\n\r\n"+body)
		if err != nil {
			t.Fatal(err)
		}
		msg, ok := m.all()[id]
		if !ok || !strings.HasSuffix(msg.content, "\r\n\r\n"+body) || r.dropped(t) != 0 {
			t.Errorf("%d octets: message %s is not there as it was handed in", size, id)
		}
		if o := msg.env.Origin; o.UID != os.Getuid() || o.PID != os.Getpid() || o.Via != ViaSocket {
			t.Errorf("origin %+v, want uid and pid of this process", o)
		}
		if !strings.Contains(msg.content, fmt.Sprintf("; uid %d)", os.Getuid())) || !strings.Contains(msg.content, " id "+string(id)+";") {
			t.Errorf("Received without uid and id: %.200q", msg.content)
		}
	}
}

func TestServerTellsTheLimitEarly(t *testing.T) {
	r := serveUnix(t, new(memory), func(_ *Server, i *Intake) { i.MaxSize = 1000 })
	_, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, strings.Repeat("x", 1001))
	if !errors.Is(err, spool.ErrTooBig) {
		t.Errorf("%v, want ErrTooBig", err)
	}
	c := r.dial(t)
	c.begin()
	c.Write(toldFrame("bob"))
	// A client that does not care: the answer comes although it goes on sending.
	go func() {
		frame := spool.AppendFrame(nil, spool.FrameData, bytes.Repeat([]byte("x\r\n"), 20_000))
		for {
			if _, err := c.Write(frame); err != nil {
				return
			}
		}
	}()
	c.wantErr(spool.Status{Class: 5, Subject: 3, Detail: 4})
	r.stop()
	r.m.wantNothing(t)
	if r.dropped(t) != 0 {
		t.Error("a refused message is in drop/")
	}
}

func TestServerRefusesWhatStoreAndIntakeRefuse(t *testing.T) {
	m := &memory{write: spool.ErrNoSpace}
	r := serveUnix(t, m, nil)
	_, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, "Subject: s\r\n\r\n")
	if !errors.Is(err, spool.ErrNoSpace) || spool.StatusOf(err) != (spool.Status{Class: 4, Subject: 3, Detail: 1}) {
		t.Errorf("%v, want ErrNoSpace", err)
	}
	_, err = handIn(t, r.submit, spool.Told{Rcpts: to("|sh")}, "Subject: s\r\n\r\n")
	if spool.StatusOf(err) != (spool.Status{Class: 5, Subject: 1, Detail: 3}) {
		t.Errorf("%v, want 5.1.3", err)
	}
	r.stop()
	m.wantNothing(t)
	if n := r.dropped(t); n != 0 {
		t.Errorf("%d messages in drop/", n)
	}
}

func TestHostileFramesEndTheirConnectionOnly(t *testing.T) {
	submit := spool.Hello{Verb: spool.VerbSubmit}.Append(nil)
	protocol := spool.Status{Class: 5, Subject: 5, Detail: 2}
	many := make([]string, spool.MaxToldRcpts+1)
	tests := []struct {
		name   string
		send   [][]byte // the first goes out at once, the others after the greeting
		status spool.Status
	}{
		{"garbage", [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, protocol},
		{"huge length", [][]byte{{0xff, 0xff, 0xff, 0xff, byte(spool.FrameHello)}}, protocol},
		{"unknown type", [][]byte{{0, 0, 0, 0, 99}}, protocol},
		{"empty HELLO", [][]byte{spool.AppendFrame(nil, spool.FrameHello, nil)}, protocol},
		{"HELLO cut short", [][]byte{spool.AppendFrame(nil, spool.FrameHello, []byte{1, 1, 0, 9, 'x'})}, protocol},
		{"other version", [][]byte{spool.AppendFrame(nil, spool.FrameHello, []byte{9, 1})}, spool.StatusBusy},
		{"END first", [][]byte{spool.AppendFrame(nil, spool.FrameEnd, nil)}, protocol},
		{"TOLD of garbage", [][]byte{submit, spool.AppendFrame(nil, spool.FrameTold, []byte("\xff\xff\xff garbage"))}, protocol},
		{"huge TOLD", [][]byte{submit, {0x7f, 0xff, 0xff, 0xff, byte(spool.FrameTold)}}, protocol},
		{"DATA before TOLD", [][]byte{submit, spool.AppendFrame(nil, spool.FrameData, []byte("x"))}, protocol},
		{"END before TOLD", [][]byte{submit, spool.AppendFrame(nil, spool.FrameEnd, nil)}, protocol},
		{"HELLO twice", [][]byte{submit, submit}, protocol},
		{"TOLD twice", [][]byte{submit, toldFrame("b"), toldFrame("b")}, protocol},
		{"END with a payload", [][]byte{submit, toldFrame("b"), {0, 0, 0, 1, byte(spool.FrameEnd), 'x'}}, protocol},
		{"huge DATA", [][]byte{submit, toldFrame("b"), {0x7f, 0, 0, 0, byte(spool.FrameData)}}, protocol},
		{"no recipients", [][]byte{submit, toldFrame()}, spool.Status{Class: 5, Subject: 5, Detail: 4}},
		{"too many recipients", [][]byte{submit, toldFrame(many...)}, spool.Status{Class: 5, Subject: 5, Detail: 3}},
	}
	m := new(memory)
	r := serveUnix(t, m, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := r.dial(t)
			c.Write(tt.send[0])
			for i, b := range tt.send[1:] {
				if i == 0 {
					c.want(spool.FrameGreeting)
				}
				c.Write(b)
			}
			c.wantErr(tt.status)
		})
	}
	for _, cut := range []int{0, 3, 10, 40, 60} {
		c := r.dial(t)
		whole := append(append(bytes.Clone(submit), toldFrame("b")...), spool.AppendFrame(nil, spool.FrameData, bytes.Repeat([]byte("x"), 99))...)
		c.Write(whole[:min(cut, len(whole))])
		c.Close()
	}
	if _, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, "Subject: s\r\n\r\n"); err != nil {
		t.Errorf("after all that: %v", err)
	}
	r.stop()
	m.one(t)
	if m.open != 0 || r.dropped(t) != 0 {
		t.Errorf("%d open writers, %d messages in drop/", m.open, r.dropped(t))
	}
}

func TestManyConnectionsOfOneUser(t *testing.T) {
	m := new(memory)
	r := serveUnix(t, m, func(s *Server, _ *Intake) { s.ConnsUID = 50 })
	var idle []*client
	for range 50 {
		c := r.dial(t)
		c.begin()
		idle = append(idle, c)
	}
	for range 14 {
		r.dial(t).wantErr(spool.StatusBusy)
	}
	if _, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, "Subject: s\r\n\r\n"); err != nil || r.dropped(t) != 1 {
		t.Errorf("%v, %d messages in drop/; want one", err, r.dropped(t))
	}
	for _, c := range idle {
		c.Close()
	}
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for n := range 64 {
		wg.Go(func() {
			_, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, fmt.Sprintf("Subject: %d\r\n\r\n", n))
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if got := len(m.all()) + r.dropped(t); got != 65 {
		t.Errorf("%d messages in store and drop/, want 65", got)
	}
}

func TestMemoryOfHeadersAndRecipientsIsBounded(t *testing.T) {
	r := serveUnix(t, new(memory), func(s *Server, _ *Intake) { s.Drain = time.Millisecond })
	field := spool.AppendFrame(nil, spool.FrameData, []byte("X: "+strings.Repeat("y", 9<<10)+"\r\n"))
	var held int
	for range 40 {
		c := r.dial(t)
		c.begin()
		c.Write(toldFrame("bob"))
		for range 100 { // a header of 900 KiB that does not end
			c.Write(field)
		}
		r.ledger.mu.Lock()
		held = max(held, int(r.ledger.total.memory))
		r.ledger.mu.Unlock()
	}
	if held > memoryUID || held < memoryUID/4 {
		t.Errorf("headers hold %d octets, want up to %d", held, memoryUID)
	}
	many := make([]string, spool.MaxToldRcpts)
	for n := range many {
		many[n] = fmt.Sprintf("u%d@example.com", n)
	}
	if _, err := handIn(t, r.submit, spool.Told{Rcpts: to(many...)}, "Subject: s\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if got := len(r.m.all()) + r.dropped(t); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
	r.stop()
	if len(r.ledger.users) != 0 || r.ledger.total != (usage{}) {
		t.Errorf("the ledger keeps %+v, %+v", r.ledger.total, r.ledger.users)
	}
}

func TestAnnouncedRecipientsAreBounded(t *testing.T) {
	r := serveUnix(t, new(memory), func(s *Server, _ *Intake) { s.Drain = time.Millisecond })
	refused := make(chan spool.FrameType)
	for range memoryUID/(8<<20) + 1 { // one more than there is room for; which of them gets none is open
		c := r.dial(t)
		c.begin()
		c.Write([]byte{0, 0x40, 0, 0, byte(spool.FrameTold)}) // 4 MiB
		go func() {
			typ, _ := c.next()
			refused <- typ
		}()
	}
	if typ := <-refused; typ != spool.FrameErr {
		t.Errorf("frame of type %d, want ERR", typ)
	}
	if _, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, "Subject: s\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if n := len(r.m.all()); n != 1 {
		t.Errorf("%d messages in the store: usual ones need none of that memory", n)
	}
	go r.stop()
	for range memoryUID / (8 << 20) {
		<-refused
	}
}

func TestContentOnItsWayIsBounded(t *testing.T) {
	r := serveUnix(t, new(memory), func(s *Server, _ *Intake) { s.ContentUID = 4 << 20 })
	if _, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, strings.Repeat("x", 5<<20)); err != nil || r.dropped(t) != 1 {
		t.Errorf("%v, %d messages in drop/, want 1", err, r.dropped(t))
	}
}

func TestPanicEndsItsConnectionOnly(t *testing.T) {
	m := new(memory)
	m.onCommit = func(spool.ID) { panic("poison") }
	r := serveUnix(t, m, nil)
	_, err := handIn(t, r.submit, spool.Told{Rcpts: to("bob")}, "Subject: s\r\n\r\n")
	if spool.StatusOf(err) != (spool.Status{Class: 4, Subject: 4, Detail: 2}) {
		t.Errorf("%v, want 4.4.2", err)
	}
	r.stop()
	m.wantNothing(t)
	if !strings.Contains(r.log.String(), "poison") || len(r.ledger.users) != 0 {
		t.Errorf("log %s, ledger %v", r.log, r.ledger.users)
	}
}

func TestAskingWhatBecameOfAMessage(t *testing.T) {
	m := new(memory)
	entered, leave := make(chan struct{}), make(chan struct{})
	m.onCommit = func(spool.ID) { close(entered); <-leave }
	old := spool.NewID(now)
	r := serveUnix(t, m, func(s *Server, _ *Intake) {
		s.Taken = func(_ context.Context, uid int, id spool.ID) (bool, error) {
			return id == old && uid == os.Getuid(), nil
		}
	})
	ask := func(id spool.ID) *client {
		c := r.dial(t)
		c.Write(spool.Hello{Verb: spool.VerbAsk, ID: id}.Append(nil))
		c.want(spool.FrameGreeting)
		return c
	}
	ask(old).want(spool.FrameOK)
	ask(spool.NewID(now)).wantErr(spool.Status{Class: 5, Subject: 1, Detail: 0})
	ask("../../etc").wantErr(spool.Status{Class: 5, Subject: 5, Detail: 2})

	c := r.dial(t)
	c.begin()
	c.Write(append(toldFrame("bob"), spool.AppendFrame(nil, spool.FrameEnd, nil)...))
	<-entered
	c.Close() // the answer will find nobody
	var id spool.ID
	r.fates.mu.Lock()
	for open := range r.fates.open {
		id = open
	}
	r.fates.mu.Unlock()
	waiting := ask(id)
	close(leave)
	waiting.want(spool.FrameOK)
	ask(id).want(spool.FrameOK)
}

func TestFatesForgetTheOldest(t *testing.T) {
	var f fates
	for n := range remembered + 1 {
		f.begin(spool.ID(fmt.Sprint(n)))
		f.end(spool.ID(fmt.Sprint(n)), 7, true)
	}
	for id, want := range map[spool.ID]bool{"0": false, "1": true, spool.ID(fmt.Sprint(remembered)): true} {
		if got, _ := f.of(t.Context(), id, 7); got != want {
			t.Errorf("%s is %v, want %v", id, got, want)
		}
	}
	if got, _ := f.of(t.Context(), "5", 8); got {
		t.Error("told to another uid")
	}
	if len(f.accepted) != remembered || len(f.open) != 0 {
		t.Errorf("%d remembered, %d open", len(f.accepted), len(f.open))
	}
}

func TestVerbs(t *testing.T) {
	ran := make(chan spool.Filter, 1)
	big := spool.Entry{ID: "02", Envelope: spool.Envelope{Rcpts: []spool.Recipient{{Last: spool.Result{Reply: strings.Repeat("x", 65<<20)}}}}}
	r := serveUnix(t, new(memory), func(s *Server, _ *Intake) {
		s.Run = func(_ context.Context, uid int, f spool.Filter) error {
			if uid != os.Getuid() {
				return errors.New("wrong uid")
			}
			ran <- f
			return nil
		}
		s.Reload = func(context.Context, int) error { return spool.ErrForbidden }
		s.Queue = func(_ context.Context, uid int) iter.Seq2[spool.Entry, error] {
			return func(yield func(spool.Entry, error) bool) {
				_ = yield(spool.Entry{ID: "01", Size: 7}, nil) && yield(spool.Entry{}, spool.ErrCorrupt) && yield(big, nil) &&
					yield(spool.Entry{ID: "03", Hidden: true}, nil)
			}
		}
	})
	f := spool.Filter{ID: "a", Rcpt: "b", Sender: "c", NotID: "d", NotRcpt: "e", NotSender: "f"}
	if err := r.submit.Run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if got := <-ran; got != f {
		t.Errorf("run %+v, want %+v", got, f)
	}
	if err := r.submit.Reload(t.Context()); !errors.Is(err, spool.ErrForbidden) {
		t.Errorf("reload: %v", err)
	}
	var got []string
	for n, err := range r.submit.Queue(t.Context()) {
		if err != nil {
			got = append(got, "error")
			continue
		}
		got = append(got, string(n.ID))
	}
	if strings.Join(got, " ") != "01 error error 03" {
		t.Errorf("list gives %v", got)
	}
	bare := serveUnix(t, new(memory), nil)
	if err := bare.submit.Reload(t.Context()); spool.StatusOf(err).Class != 5 {
		t.Errorf("a verb that is not served: %v", err)
	}
}

func TestStopLetsMessagesEnd(t *testing.T) {
	m := new(memory)
	r := serveUnix(t, m, func(s *Server, _ *Intake) { s.Drain = 20 * time.Second })
	idle := r.dial(t)
	c := r.dial(t) // it is greeted: so both were accepted
	c.begin()
	c.Write(toldFrame("bob"))
	fresh := spool.AppendFrame(nil, spool.FrameData, []byte("Subject: s\r\n\r\n"))
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	idle.wantErr(spool.StatusBusy) // at once
	c.Write(append(fresh, spool.AppendFrame(nil, spool.FrameEnd, nil)...))
	c.want(spool.FrameOK)
	<-stopped
	m.one(t)
}

func TestStopCutsMessagesThatDoNotEnd(t *testing.T) {
	r := serveUnix(t, new(memory), func(s *Server, _ *Intake) { s.Drain = 50 * time.Millisecond })
	h, err := r.submit.Submit(t.Context(), spool.Told{Rcpts: to("bob")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(h, strings.Repeat("x", 2<<20)); err != nil { // connected
		t.Fatal(err)
	}
	r.stop()
	if _, err := io.WriteString(h, "rest"); err != nil {
		t.Fatal(err)
	}
	if err := h.Commit(); err != nil || r.dropped(t) != 1 {
		t.Errorf("%v, %d messages in drop/, want 1", err, r.dropped(t))
	}
	r.m.wantNothing(t)
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	for range 2 { // the second finds what the first left
		l, err := Listen(path, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
			t.Errorf("socket %v, %v", info, err)
		}
		l.Close()
	}
	file := filepath.Join(dir, "file")
	os.WriteFile(file, []byte("precious"), 0o600)
	if _, err := Listen(file, 0o666); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("a file was overwritten")
	}
	long := filepath.Join(dir, strings.Repeat("d", 120))
	os.Mkdir(long, 0o700)
	l, err := Listen(filepath.Join(long, "submit.sock"), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// pipes is a net.Listener of net.Pipes.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

func servePipes(ctx context.Context, i *Intake) (p *pipes, wait func() error) {
	p = newPipes()
	s := &Server{Intake: func() *Intake { return i }, peer: func(net.Conn) (int, int, error) { return 1001, 77, nil }}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, p) }()
	return p, func() error { return <-done }
}

func TestStallsEnd(t *testing.T) {
	tests := []struct {
		name  string
		sends [][]byte
		drip  time.Duration // between octets of DATA behind them; 0: silence
		ends  time.Duration // latest end
	}{
		{"without HELLO", nil, 0, helloTime},
		{"in HELLO", [][]byte{{0, 0}}, 0, helloTime},
		{"without TOLD", [][]byte{spool.Hello{Verb: spool.VerbSubmit}.Append(nil)}, 0, time.Minute},
		{"in content", [][]byte{spool.Hello{Verb: spool.VerbSubmit}.Append(nil), toldFrame("b"), {0, 0, 9, 0, byte(spool.FrameData)}}, 0, time.Minute},
		{"dripping", [][]byte{spool.Hello{Verb: spool.VerbSubmit}.Append(nil), toldFrame("b"), {0, 0, 9, 0, byte(spool.FrameData)}},
			50 * time.Second, 15 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := new(memory)
				ctx, cancel := context.WithCancel(t.Context())
				p, wait := servePipes(ctx, newIntake(m))
				c := &client{t: t, Conn: p.dial()}
				c.r = bufio.NewReader(c.Conn)
				start := time.Now()
				for i, b := range tt.sends {
					if i == 1 {
						c.want(spool.FrameGreeting)
					}
					c.Write(b)
				}
				if len(tt.sends) == 1 && len(tt.sends[0]) > 2 {
					c.want(spool.FrameGreeting)
				}
				end := make(chan struct{})
				go func() {
					for tt.drip > 0 {
						select {
						case <-end:
							return
						case <-time.After(tt.drip):
							c.Write([]byte{'x'})
						}
					}
				}()
				c.wantErr(spool.StatusBusy)
				close(end)
				if d := time.Since(start); d > tt.ends || d < tt.ends*9/10 {
					t.Errorf("it took %v, want %v", d, tt.ends)
				}
				c.Close()
				cancel()
				if err := wait(); err != nil {
					t.Error(err)
				}
				m.wantNothing(t)
			})
		})
	}
}

// A client that asks for the queue and does not read it is let go, and holds up nobody.
func TestListingThatIsNotRead(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sip   time.Duration // between frames that are read; 0: none is
		least time.Duration // that it takes to be let go
		most  time.Duration
	}{
		{"stopped", 0, replyTime, 3 * replyTime},
		{"slow", 20 * time.Second, listTime, listTime + 3*replyTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, ended := newPipes(), make(chan struct{})
				s := &Server{peer: func(net.Conn) (int, int, error) { return 1001, 77, nil }}
				s.Queue = func(ctx context.Context, _ int) iter.Seq2[spool.Entry, error] {
					return func(yield func(spool.Entry, error) bool) {
						defer close(ended)
						for yield(spool.Entry{ID: "01KB9ZJ3F40ABCDEFG", Envelope: spool.Envelope{Sender: strings.Repeat("x", 64<<10)}}, nil) {
						}
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.Serve(ctx, p) }()
				c := &client{t: t, Conn: p.dial()}
				c.r = bufio.NewReader(c.Conn)
				c.Write(spool.Hello{Verb: spool.VerbQueue}.Append(nil))
				c.want(spool.FrameGreeting)
				start, reading := time.Now(), make(chan struct{})
				go func() {
					defer close(reading)
					for tt.sip > 0 {
						select {
						case <-ended:
							return
						case <-time.After(tt.sip):
							c.next()
						}
					}
				}()
				<-ended
				if d := time.Since(start); d < tt.least || d > tt.most {
					t.Errorf("it took %v", d)
				}
				<-reading
				c.Close()
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestListingsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l listings
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		in := make(chan error, 1)
		for _, uid := range []int{1, 1, 2, 2, 3, 3} {
			if err := l.enter(ctx, uid); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.enter(ctx, 0); err != nil {
			t.Errorf("root has to wait for others: %v", err)
		}
		l.leave(0)
		go func() { in <- l.enter(ctx, 1) }()
		l.leave(2) // another's place is of no use to one who has two
		synctest.Wait()
		if len(in) > 0 {
			t.Error("a third listing of one user")
		}
		l.leave(1)
		if err := <-in; err != nil {
			t.Error(err)
		}
		if err := l.enter(ctx, 2); err != nil {
			t.Error(err)
		}
		if err := l.enter(ctx, 4); spool.StatusOf(err) != spool.StatusBusy {
			t.Errorf("a seventh listing: %v", err)
		}
		for _, uid := range []int{1, 1, 2, 2, 3, 3} {
			l.leave(uid)
		}
		if l.total != 0 || len(l.users) != 0 {
			t.Errorf("left behind: %d, %v", l.total, l.users)
		}
	})
}

// FuzzServer: whatever octets a client sends, its session ends, and what is stored is in order.
func FuzzServer(f *testing.F) {
	whole := spool.Hello{Verb: spool.VerbSubmit}.Append(nil)
	whole = append(whole, toldFrame("bob", "|x")...)
	whole = append(whole, spool.AppendFrame(nil, spool.FrameData, []byte("Subject: s\r\nBcc: b\r\n\r\nbody"))...)
	whole = append(whole, spool.AppendFrame(nil, spool.FrameEnd, nil)...)
	f.Add(whole)
	f.Add(whole[:len(whole)-7])
	f.Add(spool.Hello{Verb: spool.VerbAsk, ID: testID}.Append(nil))
	f.Add(spool.Hello{Verb: spool.VerbQueue}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(memory)
		ctx, cancel := context.WithCancel(t.Context())
		p, wait := servePipes(ctx, newIntake(m))
		c := p.dial()
		var wg sync.WaitGroup
		wg.Go(func() { io.Copy(io.Discard, c) })
		c.Write(b)
		c.Close()
		wg.Wait()
		cancel()
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		if m.open != 0 {
			t.Errorf("%d open writers", m.open)
		}
		for _, msg := range m.messages {
			checkStored(t, msg.content)
		}
	})
}
