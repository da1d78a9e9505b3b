package local

import (
	"context"
	"encoding/json"
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

func exchange(ctx context.Context, socket string, req request, content io.Reader) (spool.Result, error) {
	if err := req.check(); err != nil {
		return spool.Result{}, err
	}
	name, done, err := spool.SocketName(socket)
	if err != nil {
		return spool.Result{}, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", name)
	done()
	if err != nil {
		return spool.Result{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := writeJSON(conn, frameRequest, req); err != nil {
		return spool.Result{}, err
	}
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
