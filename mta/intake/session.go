package intake

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"signpost/spool"
)

// session is one connection of submit.sock. One goroutine runs it; stop may come from another.
type session struct {
	server *Server
	c      net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	uid    int
	pid    int
	tab    *tab

	mu       sync.Mutex
	taking   bool      // in the middle of a message
	stopping bool      // the Server stops
	end      time.Time // reads end then, whatever comes
}

func newSession(s *Server, c net.Conn, uid, pid int, t *tab) *session {
	ss := &session{server: s, c: c, uid: uid, pid: pid, tab: t, end: time.Now().Add(helloTime)}
	ss.r, _ = s.readers.Get().(*bufio.Reader)
	if ss.r == nil {
		ss.r = bufio.NewReaderSize(nil, 32<<10)
	}
	ss.r.Reset(idleReader{ss})
	ss.w = bufio.NewWriterSize(replyWriter{c}, 4<<10)
	return ss
}

// idleReader gives each read of a session its deadline.
type idleReader struct{ ss *session }

func (r idleReader) Read(p []byte) (int, error) {
	if err := r.ss.extend(); err != nil {
		return 0, err
	}
	n, err := r.ss.c.Read(p)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return n, r.ss.late()
	}
	return n, err
}

// replyWriter gives each write of a session its deadline.
type replyWriter struct{ c net.Conn }

func (w replyWriter) Write(p []byte) (int, error) {
	if err := w.c.SetWriteDeadline(time.Now().Add(replyTime)); err != nil {
		return 0, err
	}
	return w.c.Write(p)
}

// extend sets the deadline of the next read.
func (ss *session) extend() error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	until := time.Now().Add(ss.server.Idle)
	if ss.end.Before(until) {
		until = ss.end
	}
	return ss.c.SetReadDeadline(until)
}

// late says why a read came to its deadline. The client had better take the other way.
func (ss *session) late() error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.stopping {
		return busy("the daemon is stopping")
	}
	return busy("the client is too slow")
}

// begin gives the session the time of a whole message; false when the Server stops.
func (ss *session) begin() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.stopping {
		return false
	}
	ss.taking = true
	ss.end = time.Now().Add(ss.server.MessageTime)
	return true
}

// stop ends the session: at once, or after Drain where a message is in flight.
func (ss *session) stop() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.stopping = true
	end := time.Now()
	if ss.taking {
		end = end.Add(ss.server.Drain)
	}
	if end.Before(ss.end) {
		ss.end = end
		ss.c.SetReadDeadline(end)
	}
}

// run serves the verb of the connection. What it returns is for the log alone: the client has been told.
func (ss *session) run(ctx context.Context) error {
	err := ss.serveVerb(ctx)
	if err == nil {
		return ss.reply(spool.AppendFrame(nil, spool.FrameOK, nil))
	}
	ss.w.Reset(replyWriter{ss.c}) // a listing cut short is of no use to anybody
	return errors.Join(err, ss.reply(spool.AppendError(nil, spool.FrameErr, told(err))))
}

// told is what the client hears of err.
func told(err error) error {
	if errors.Is(err, spool.ErrFrame) {
		return spool.Errorf(spool.Status{Class: 5, Subject: 5, Detail: 2}, "%w", err)
	}
	return err
}

func (ss *session) reply(frame []byte) error {
	ss.w.Write(frame) // Flush gives the error
	return ss.w.Flush()
}

func (ss *session) serveVerb(ctx context.Context) error {
	payload, err := ss.expect(spool.FrameHello)
	if err != nil {
		return err
	}
	hello, err := spool.DecodeHello(payload)
	if err != nil {
		return err
	}
	if hello.Verb == spool.VerbSubmit {
		return ss.submit(ctx)
	}
	if err := ss.reply(spool.Greeting{}.Append(nil)); err != nil {
		return err
	}
	switch s := ss.server; {
	case hello.Verb == spool.VerbAsk:
		return ss.ask(ctx, hello.ID)
	case hello.Verb == spool.VerbQueue && s.Queue != nil:
		return ss.queue(ctx)
	case hello.Verb == spool.VerbRun && s.Run != nil:
		return s.Run(ctx, ss.uid, hello.Filter)
	case hello.Verb == spool.VerbReload && s.Reload != nil:
		return s.Reload(ctx, ss.uid)
	}
	return fmt.Errorf("%w: verb %d", spool.ErrFrame, hello.Verb)
}

// expect reads a frame of type t.
func (ss *session) expect(t spool.FrameType) ([]byte, error) {
	got, n, err := spool.ReadFrameHead(ss.r)
	if err != nil {
		return nil, err
	}
	if got != t {
		return nil, fmt.Errorf("%w: frame of type %d where %d was due", spool.ErrFrame, got, t)
	}
	if err := ss.reserveFrame(t, n); err != nil {
		return nil, err
	}
	return spool.ReadPayload(ss.r, n)
}

// freeTold is how long a TOLD may be before its memory is counted; it is counted twice, for the growing.
const freeTold = 16 << 10

func (ss *session) reserveFrame(t spool.FrameType, n int) error {
	if t != spool.FrameTold || n <= freeTold {
		return nil
	}
	return ss.tab.takeMemory(2 * int64(n))
}

// submit takes one message.
func (ss *session) submit(ctx context.Context) error {
	intake := ss.server.Intake()
	if !ss.begin() {
		return busy("the daemon is stopping")
	}
	id := spool.NewID(intake.now())
	ss.server.fates.begin(id)
	accepted := false
	defer func() { ss.server.fates.end(id, ss.uid, accepted) }()
	if err := ss.reply(spool.Greeting{ID: id, MaxSize: intake.MaxSize}.Append(nil)); err != nil {
		return err
	}
	who := Caller{ID: id}
	who.Via, who.UID, who.PID = ViaSocket, ss.uid, ss.pid
	who.Seen = ss.server.look(ss.c, ss.uid, ss.pid) // while the client, greeted, sends what it has
	told, err := ss.told()
	if err != nil {
		return err
	}
	// The message may outlive ctx: Drain says how long.
	h, err := intake.create(context.WithoutCancel(ctx), who, told, ss.tab.takeMemory)
	if err != nil {
		return err
	}
	defer h.Abort()
	if err := ss.content(h, ss.server.contentLimit(intake.MaxSize)); err != nil {
		return err
	}
	if err := h.Commit(); err != nil {
		return err
	}
	accepted = true
	return nil
}

// rcptMemory is what a recipient takes in memory, with what is made of it, octets.
const rcptMemory = 1 << 10

// told reads what the caller wants. The recipients are counted before they are decoded.
func (ss *session) told() (spool.Told, error) {
	payload, err := ss.expect(spool.FrameTold)
	if err != nil {
		return spool.Told{}, err
	}
	n := spool.CountToldRcpts(payload)
	if n > spool.MaxToldRcpts {
		return spool.Told{}, spool.Errorf(spool.Status{Class: 5, Subject: 5, Detail: 3}, "more than %d recipients",
			spool.MaxToldRcpts)
	}
	if n > 20 {
		if err := ss.tab.takeMemory(int64(n) * rcptMemory); err != nil {
			return spool.Told{}, err
		}
	}
	told, err := spool.DecodeTold(payload)
	if err != nil {
		return spool.Told{}, fmt.Errorf("%w: %w", spool.ErrFrame, err)
	}
	return told, nil
}

// content passes DATA on until END. All of the user's connections together may have limit octets on their way.
func (ss *session) content(to io.Writer, limit int64) error {
	for {
		t, n, err := spool.ReadFrameHead(ss.r)
		switch {
		case err != nil:
			return err
		case t == spool.FrameEnd:
			return nil
		case t != spool.FrameData:
			return fmt.Errorf("%w: frame of type %d within a message", spool.ErrFrame, t)
		}
		if err := ss.tab.takeContent(int64(n), limit); err != nil {
			return err
		}
		if err := ss.copyData(to, n); err != nil {
			return err
		}
	}
}

// copyData passes on n octets, out of the buffer they were read into.
func (ss *session) copyData(to io.Writer, n int) error {
	for n > 0 {
		if _, err := ss.r.Peek(1); err != nil {
			return err
		}
		b, err := ss.r.Peek(min(n, ss.r.Buffered()))
		if err != nil {
			return err
		}
		if _, err := to.Write(b); err != nil {
			return err
		}
		ss.r.Discard(len(b))
		n -= len(b)
	}
	return nil
}

// ask tells what became of a message, waiting while that is open.
func (ss *session) ask(ctx context.Context, id spool.ID) error {
	s := ss.server
	if !id.Valid() {
		return fmt.Errorf("%w: not an id", spool.ErrFrame)
	}
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	taken, err := s.fates.of(ctx, id, ss.uid)
	if err == nil && !taken && s.Taken != nil {
		taken, err = s.Taken(ctx, ss.uid, id)
	}
	if err == nil && !taken {
		err = spool.ErrNotFound
	}
	return err
}

// queue lists the messages. One that cannot be read, or does not fit into a frame, is told as such. The first goes out
// at once, the others as the buffer fills. A client that does not read is waited for, but not for ever.
func (ss *session) queue(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	if err := ss.server.listings.enter(waiting, ss.uid); err != nil {
		return err
	}
	defer ss.server.listings.leave(ss.uid)
	ctx, cancel = context.WithTimeout(ctx, listTime)
	defer cancel()
	out := bufio.NewWriterSize(replyWriter{ss.c}, 64<<10)
	first := true
	for entry, err := range ss.server.Queue(ctx, ss.uid) {
		if _, err := out.Write(entryFrame(entry, err)); err != nil {
			return err
		}
		if first {
			first = false
			if err := out.Flush(); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := out.Flush(); err != nil { // a frame must not be cut by another, also where the listing is
		return err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return busy("the client is too slow")
	}
	return ctx.Err()
}

// entryFrame tells of one message of a listing.
func entryFrame(entry spool.Entry, err error) []byte {
	if err == nil {
		frame := spool.AppendFrame(nil, spool.FrameEntry, spool.EncodeEntry(entry))
		if _, _, err = spool.ReadFrameHead(bytes.NewReader(frame)); err == nil { // as the client will see it
			return frame
		}
	}
	return spool.AppendError(nil, spool.FrameBad, err)
}
