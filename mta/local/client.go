package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"signpost/spool"
)

// patience is how much longer than a program's limit the daemon waits for the helper's word.
const patience = time.Minute

// ask has the helper deliver.
func (m *Mailboxes) ask(ctx context.Context, req request, content io.Reader) spool.Result {
	limit := m.PipeTimeout
	if limit <= 0 {
		limit = defaultPipeTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit+patience)
	defer cancel()
	result, err := exchange(ctx, m.Helper, req, content)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return spool.ResultOf(&spool.Error{Status: systemTrouble, Err: fmt.Errorf("delivery helper: %w", err)}, time.Time{})
	}
	return result
}

// askForward has the helper read a ~/.forward.
func (m *Mailboxes) askForward(ctx context.Context, d dotForward) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardWait+patience)
	defer cancel()
	req := request{Version: protocolVersion, Kind: spool.Mailbox, Forward: true, Addr: d.User.Name, Suffix: d.Suffix}
	f, err := fetch(ctx, m.Helper, req)
	var known *spool.Error
	if err != nil && !errors.As(err, &known) {
		return found{}, spool.Errorf(systemTrouble, "delivery helper: reading the ~/.forward of %s: %w", d.User.Name, err)
	}
	return f, err
}

// call connects to the helper and sends it a request. The connection fails when ctx ends; done closes it.
func call(ctx context.Context, socket string, req request) (conn net.Conn, done func(), err error) {
	if err := req.check(); err != nil {
		return nil, nil, err
	}
	name, close, err := spool.SocketName(socket)
	if err != nil {
		return nil, nil, err
	}
	conn, err = new(net.Dialer).DialContext(ctx, "unix", name)
	close()
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	done = func() {
		stop()
		conn.Close()
	}
	if err := writeJSON(conn, frameRequest, req); err != nil {
		done()
		return nil, nil, err
	}
	return conn, done, nil
}

// fetch takes what the helper found. The process that answers has the rights of a user, so nothing of it is believed.
func fetch(ctx context.Context, socket string, req request) (found, error) {
	conn, done, err := call(ctx, socket, req)
	if err != nil {
		return found{}, err
	}
	defer done()
	content := newContentReader(conn)
	kind, payload, err := readFrame(conn, content.buf)
	if err != nil {
		return found{}, err
	}
	if kind == frameResult {
		return found{}, refusal(payload)
	}
	if err := content.take(kind, payload); err != nil {
		return found{}, err
	}
	text, err := io.ReadAll(io.LimitReader(content, maxFound))
	if err != nil {
		return found{}, err
	}
	var f found
	if err := json.Unmarshal(text, &f); err != nil {
		return found{}, fmt.Errorf("%w: %v", errProtocol, err)
	}
	return f, nil
}

// refusal is why a ~/.forward could not be read, which is a reason to wait and no other.
func refusal(payload []byte) error {
	r, err := parseAnswer(frameResult, payload)
	if err != nil {
		return err
	}
	if r.Status.Class != 4 {
		return fmt.Errorf("%w: status %v", errProtocol, r.Status)
	}
	return &spool.Error{Status: r.Status, Err: errors.New(r.Detail)}
}

func exchange(ctx context.Context, socket string, req request, content io.Reader) (spool.Result, error) {
	conn, done, err := call(ctx, socket, req)
	if err != nil {
		return spool.Result{}, err
	}
	defer done()
	kind, payload, err := readFrame(conn, make([]byte, maxFrame))
	if err != nil {
		return spool.Result{}, err
	}
	if kind != frameGo {
		return parseAnswer(kind, payload)
	}
	if err := sendContent(conn, content); err != nil {
		return spool.Result{}, err
	}
	kind, payload, err = readFrame(conn, make([]byte, maxFrame))
	if err != nil {
		return spool.Result{}, fmt.Errorf("the outcome is unknown: %w", err)
	}
	return parseAnswer(kind, payload)
}

// sendContent sends the content, and END only where it was read to its end.
func sendContent(conn net.Conn, content io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := content.Read(buf)
		if n > 0 {
			if err := writeFrame(conn, frameData, buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return writeFrame(conn, frameEnd, nil)
		case err != nil:
			return fmt.Errorf("reading the message: %w", err)
		}
	}
}

func parseAnswer(kind byte, payload []byte) (spool.Result, error) {
	if kind != frameResult {
		return spool.Result{}, fmt.Errorf("%w: %q, not %q", errProtocol, kind, frameResult)
	}
	var a answer
	if err := json.Unmarshal(payload, &a); err != nil {
		return spool.Result{}, fmt.Errorf("%w: %v", errProtocol, err)
	}
	return a.result()
}
