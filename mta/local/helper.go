package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"signpost/spool"
)

// Helper is the process that delivers as the recipient. It listens on a socket on which it talks to the daemon's uid
// only; for each delivery, and for each look at a ~/.forward, it starts a child that becomes the recipient before it does
// anything. It keeps the rights to change uid and group out of the process that talks to the network, and takes from that
// process only whom or what a message is for.
type Helper struct {
	// Load gives the configuration in force. It is asked at each delivery; where it fails, the delivery waits.
	Load func() (*Mailboxes, error)
	UID  int    // of the daemon; all others are turned away
	Exe  string // what a child is: called with the argument "child" it must call Child; default: this program
	Max  int    // children at once for each of mailboxes, files and programs; default 20
	Log  *slog.Logger

	slow chan struct{} // slots of files and programs
}

const (
	defaultChildren = 20
	requestWait     = 10 * time.Second // for the request of a new connection
)

// Serve answers the connections of l until ctx ends or l fails. It returns when the deliveries in flight have ended;
// those that nobody waits for any more end at once.
func (h *Helper) Serve(ctx context.Context, l *net.UnixListener) error {
	if err := restrict(); err != nil {
		return err
	}
	return h.accept(ctx, l)
}

func (h *Helper) accept(ctx context.Context, l *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	limit := h.Max
	if limit <= 0 {
		limit = defaultChildren
	}
	// Connections for files and programs wait at most in two thirds of the places, so that slow ones hold up nobody's
	// mailbox: the daemon asks for as many deliveries of each kind at once as for mailboxes.
	slots := make(chan struct{}, 3*limit)
	h.slow = make(chan struct{}, limit)
	for {
		slots <- struct{}{} // beyond the limit callers wait in the backlog
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		inFlight.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			h.serve(ctx, conn)
		})
	}
}

// serve answers one connection.
func (h *Helper) serve(ctx context.Context, conn *net.UnixConn) {
	uid, err := peer(conn)
	if err != nil || uid != h.UID {
		h.Log.Warn("turned away: only the daemon may ask for deliveries", "uid", uid, "want", h.UID, "err", err)
		return
	}
	conn.SetDeadline(time.Now().Add(requestWait))
	var req request
	if err := readJSON(conn, frameRequest, &req); err == io.EOF {
		return // somebody looked whether we are there
	} else if err != nil {
		h.Log.Warn("bad request", "err", err)
		return
	}
	conn.SetDeadline(time.Time{})
	if req.Kind != spool.Mailbox {
		select {
		case h.slow <- struct{}{}:
			defer func() { <-h.slow }()
		case <-ctx.Done():
			return
		}
	}
	if err := h.deliver(ctx, conn, req); err != nil {
		r := spool.ResultOf(err, time.Time{})
		h.Log.Warn("not delivered", "to", req.Addr, "status", r.Status.String(), "err", err)
		conn.SetWriteDeadline(time.Now().Add(requestWait))
		writeJSON(conn, frameResult, answerOf(r)) // whether anybody still listens makes no difference here
	}
}

// deliver has a child do the request. An error means that the child has not answered.
func (h *Helper) deliver(ctx context.Context, conn *net.UnixConn, req request) error {
	m, err := h.Load()
	if err != nil {
		return &spool.Error{Status: badConfig, Err: err}
	}
	j, err := m.plan(ctx, req)
	if err != nil {
		return err
	}
	if j.reads() { // a delivery has its own clock; a look at a file may hang where nothing but this ends it
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.Timeout)
		defer cancel()
	} else {
		ctx = context.WithoutCancel(ctx)
	}
	cmd, done, err := h.child(ctx, &j, conn)
	if err != nil {
		return &spool.Error{Status: systemTrouble, Err: err}
	}
	defer done()
	if err := cmd.Run(); err != nil {
		return spool.Errorf(systemTrouble, "the process of the delivery ended early: %w", err)
	}
	return nil
}

// child prepares the process of one delivery. Its arguments and environment say nothing about the message, because
// every user can read them. It gets the connection itself: the content never passes through the helper.
func (h *Helper) child(ctx context.Context, j *job, conn *net.UnixConn) (cmd *exec.Cmd, done func() error, err error) {
	cred, err := j.credential()
	if err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, nil, err
	}
	f, err := conn.File()
	if err != nil {
		return nil, nil, err
	}
	exe := h.Exe
	if exe == "" {
		exe = "/proc/self/exe" // also while a new version is being put in its place
	}
	cmd = exec.CommandContext(ctx, exe, "child")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), os.Stderr
	cmd.ExtraFiles = []*os.File{f} // descriptor 3
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + safePath}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setsid: true}
	return cmd, f.Close, nil
}

// peer is the uid at the other end, as the kernel knows it.
func peer(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return -1, fmt.Errorf("asking who is there: %w", err)
	}
	return int(cred.Uid), nil
}
