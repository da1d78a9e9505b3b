package intake

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"signpost/spool"
)

// Server serves submit.sock, to which any local user may connect. The kernel tells who it is; what one user does can
// cost the others nothing but time: a bad frame, a stall or a panic ends that connection alone.
type Server struct {
	// Intake gives the Intake in force; it is asked once a message.
	Intake func() *Intake
	// Queue lists what is queued as far as uid may see it (mailq); an error speaks of one message. Run has the
	// messages of f tried now; it does not wait for them. Reload reads configuration and aliases again. Errors, such
	// as spool.ErrForbidden, go to the client. nil: the verb is refused.
	Queue  func(ctx context.Context, uid int) iter.Seq2[spool.Entry, error]
	Run    func(ctx context.Context, uid int, f spool.Filter) error
	Reload func(ctx context.Context, uid int) error
	// Taken reports whether uid handed in message id and it was accepted, be it before this process began and be it
	// gone by now. It is asked for clients that lost the answer. nil: only what this Server accepted itself is known.
	Taken func(ctx context.Context, uid int, id spool.ID) (bool, error)
	Log   *slog.Logger // nil: nobody is told

	// Limits; zero means the default.
	Conns       int           // connections at once: 256
	ConnsUID    int           // of one uid: 50
	ContentUID  int64         // octets of content on their way from one uid: 256 MiB, but at least two messages
	Idle        time.Duration // between octets of a message: 1 min
	MessageTime time.Duration // for a whole message: 15 min
	Drain       time.Duration // for messages in flight when the Server stops: 10 s

	ledger   ledger
	fates    fates
	listings listings
	readers  sync.Pool                                    // of *bufio.Reader
	peer     func(net.Conn) (uid, pid int, err error)     // for tests; nil: SO_PEERCRED
	look     func(c net.Conn, uid, pid int) spool.Process // for tests; nil: /proc
}

const (
	helloTime = 5 * time.Second // for HELLO
	replyTime = 30 * time.Second
	listTime  = 5 * time.Minute // for a whole listing
	// Memory that headers over 64 KiB and recipients may take, four and more times their octets.
	memoryAll = 96 << 20
	memoryUID = 32 << 20
)

// Serve accepts connections until ctx ends, and then closes l. Connections in the middle of a message may go on for
// Drain, others end at once; all have ended when it returns. The error is that of l; nil after ctx. Once only.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.defaults()
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		if err == nil {
			wait = 0
			s.admit(ctx, c, &conns)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of descriptors or memory: what is open goes on and will free some.
		s.Log.Error("submit socket", "reply", err.Error())
		wait = min(max(2*wait, 10*time.Millisecond), time.Second)
		if !pause(ctx, wait) {
			return nil
		}
	}
}

func (s *Server) defaults() {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.peer == nil {
		s.peer = peerCred
	}
	if s.look == nil {
		s.look = lookAt
	}
	if s.Idle == 0 {
		s.Idle = time.Minute
	}
	if s.MessageTime == 0 {
		s.MessageTime = 15 * time.Minute
	}
	if s.Drain == 0 {
		s.Drain = 10 * time.Second
	}
	s.ledger.conns, s.ledger.connsUID = s.Conns, s.ConnsUID
	if s.Conns == 0 {
		s.ledger.conns = 256
	}
	if s.ConnsUID == 0 {
		s.ledger.connsUID = 50
	}
	s.ledger.memory, s.ledger.memoryUID = memoryAll, memoryUID
}

// contentLimit is how much one user may have on its way where a message may have maxSize; 0: no limit.
func (s *Server) contentLimit(maxSize int64) int64 {
	switch {
	case s.ContentUID != 0:
		return s.ContentUID
	case maxSize == 0:
		return 0
	}
	return max(256<<20, 2*maxSize)
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// peerCred asks the kernel who connected: the effective uid, and the pid (SO_PEERCRED of unix(7)).
func peerCred(c net.Conn) (uid, pid int, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, 0, fmt.Errorf("%T tells no credentials", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(cerr, err); err != nil {
		return 0, 0, err
	}
	return int(cred.Uid), int(cred.Pid), nil
}

// admit starts the session of a new connection, or turns it away.
func (s *Server) admit(ctx context.Context, c net.Conn, conns *sync.WaitGroup) {
	uid, pid, err := s.peer(c)
	if err != nil {
		s.Log.Error("submit socket", "reply", err.Error())
		c.Close()
		return
	}
	tab, err := s.ledger.enter(uid)
	if err != nil {
		s.Log.Debug("submit socket", "uid", uid, "reply", err.Error())
		// It fits into the buffer of a fresh socket: nobody is waited for.
		c.SetWriteDeadline(time.Now().Add(time.Millisecond))
		c.Write(spool.AppendError(nil, spool.FrameErr, err))
		c.Close()
		return
	}
	ss := newSession(s, c, uid, pid, tab)
	conns.Go(func() { s.serve(ctx, ss) })
}

// serve runs a session and cleans up behind it, whatever happens in it.
func (s *Server) serve(ctx context.Context, ss *session) {
	defer ss.tab.leave()
	defer ss.c.Close()
	defer func() {
		ss.r.Reset(nil)
		s.readers.Put(ss.r)
	}()
	stop := context.AfterFunc(ctx, ss.stop)
	defer stop()
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("panic in a submission", "uid", ss.uid, "reply", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	if err := ss.run(ctx); err != nil {
		s.Log.Debug("submit socket", "uid", ss.uid, "reply", err.Error())
	}
}
