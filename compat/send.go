package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"signpost/compat/header"
	"signpost/spool"
)

// patience is how much of a message is read before the spool is asked for anything, octets: a cron job that writes
// slowly holds nothing, and what was left out of a message up to this size is counted when the spool is told of it.
const patience = 1 << 20

// send hands in the message on standard input.
func (c *command) send(ctx context.Context) error {
	told, rcpts, err := c.tell()
	if err != nil {
		return err
	}
	p, err := c.open()
	if err != nil {
		return err
	}
	m := message{in: c.env.Stdin, max: int64(p.settings.Spool.MaxMessageSize)}
	m.norm.EndAtDot = !c.ignoreDots
	h, err := m.readHeader()
	if err != nil {
		return err
	}
	if c.fromHeader && !c.rehearsal.blind() {
		if err := rcpts.addHeader(h); err != nil {
			return err
		}
		if err := rcpts.check(); err != nil {
			return err
		}
	}
	c.rehearsal.read(h)
	if err := m.readAhead(h); err != nil {
		return err
	}
	told.Rcpts, told.NULs = rcpts.told, m.norm.NULs
	id, err := m.handIn(ctx, p, told)
	if err != nil {
		return p.refine(err)
	}
	rcpts.warn()
	c.report(id)
	return nil
}

// tell collects what the arguments and the environment say. Without -t it knows the recipients.
func (c *command) tell() (spool.Told, *recipients, error) {
	rcpts := &recipients{c: c}
	c.rehearsal.collect(rcpts)
	if err := rcpts.addOperands(); err != nil {
		return spool.Told{}, nil, err
	}
	if !c.fromHeader {
		if err := rcpts.check(); err != nil {
			return spool.Told{}, nil, err
		}
	}
	told := c.claims()
	told.Ret, told.EnvID, told.Body = c.ret, c.envID, c.body
	if c.sender != nil {
		sender, err := senderOf(*c.sender)
		if err != nil {
			return spool.Told{}, nil, err
		}
		told.Sender = &sender
	}
	return told, rcpts, nil
}

// claims is what the arguments and the environment say of the caller and of any message of his.
func (c *command) claims() spool.Told {
	told := spool.Told{
		FullName: c.fullName,
		Name:     cut(header.OneLine(c.environ("NAME")), maxName),
		Login:    cut(c.environ("LOGNAME"), maxLabel),
		Queued:   c.queued,
		Label:    c.label,
		PID:      c.env.PID,
	}
	if c.env.Caller != nil {
		told.Process = c.env.Caller()
	}
	if hasControl(told.Login) {
		told.Login = ""
	}
	return told
}

// report says with -v what became of the message. It is durable: that nobody reads this line changes nothing.
func (c *command) report(id spool.ID) {
	if !c.verbose || c.env.Stdout == nil {
		return
	}
	text := "queued as " + string(id) + "\n"
	if id == "" {
		text = "queued, until the daemon is there to take it\n"
	}
	io.WriteString(c.env.Stdout, text)
}

// refine gives the error of a hand-over that failed for now a status of its own where trying again does not help: the
// configuration is broken and no daemon takes the message, or neither the spool's folder nor that of the socket is
// there: nothing is installed. A spool without its drop/ is one that somebody is still setting up or mending, and who has
// but the socket's folder, as in a container, waits for the daemon: that may pass.
func (p place) refine(err error) error {
	if statusOf(err) != exTempFail || errors.Is(err, spool.ErrNoSpace) {
		return err
	}
	if p.orphan != nil {
		return &fault{exConfig, p.orphan}
	}
	if p.drop == "" {
		return err
	}
	if absent(filepath.Dir(p.drop)) && absent(filepath.Dir(p.settings.Spool.Socket)) {
		return &fault{exCantCreat, err}
	}
	return err
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// message is the content on its way from standard input into the spool.
type message struct {
	in   io.Reader
	max  int64 // most octets of content
	norm header.Normalizer
	size int64  // of the content so far, without the fields that are left out
	head []byte // the header as it is handed in, with the empty line
	body []byte // the beginning of the body
	buf  []byte // for reading
	out  []byte // normal form of the piece read last
	eof  bool   // nothing more to read
}

// next reads a piece and gives its normal form, which may be empty. It is valid until the next call.
func (m *message) next() ([]byte, error) {
	if m.buf == nil {
		m.buf = make([]byte, 32<<10)
	}
	n, err := m.in.Read(m.buf)
	m.out = m.norm.Append(m.out[:0], m.buf[:n])
	switch {
	case m.norm.Ended(), errors.Is(err, io.EOF):
		m.eof = true
		m.out = m.norm.Close(m.out)
	case err != nil:
		return nil, &fault{exIOErr, fmt.Errorf("cannot read message: %w", err)}
	case m.max > 0 && int64(m.norm.NULs) > m.max: // /dev/zero would else be read for ever
		return nil, fmt.Errorf("%w of %d octets", spool.ErrTooBig, m.max)
	}
	return m.out, nil
}

// readHeader reads up to where the body begins.
func (m *message) readHeader() (header.Header, error) {
	split := header.Splitter{DropMbox: true}
	for done := false; !done; {
		piece, err := m.next()
		if err != nil {
			return nil, err
		}
		if done, err = split.Feed(piece); err != nil {
			return nil, err
		}
		if m.eof && !done {
			if err := split.End(); err != nil {
				return nil, err
			}
			done = true
		}
	}
	m.body = split.Body()
	return split.Header(), nil
}

// readAhead takes the header as it will be handed in, and reads the body as far as patience goes.
func (m *message) readAhead(h header.Header) error {
	for _, f := range h {
		if !header.NeverSent(f.Name) {
			m.head = f.Append(m.head)
		}
	}
	m.head = append(m.head, '\r', '\n')
	if err := m.count(len(m.head) + len(m.body)); err != nil {
		return err
	}
	for !m.eof && len(m.head)+len(m.body) < patience {
		piece, err := m.next()
		if err != nil {
			return err
		}
		if err := m.count(len(piece)); err != nil {
			return err
		}
		m.body = append(m.body, piece...)
	}
	return nil
}

// count holds the limit of the size.
func (m *message) count(n int) error {
	if m.size += int64(n); m.max > 0 && m.size > m.max {
		return fmt.Errorf("%w of %d octets", spool.ErrTooBig, m.max)
	}
	return nil
}

// handIn gives all to the spool. The message is durable when it returns nil.
func (m *message) handIn(ctx context.Context, to Spool, told spool.Told) (spool.ID, error) {
	w, err := to.Submit(ctx, told)
	if err != nil {
		return "", err
	}
	defer w.Abort() // does nothing after Commit
	for _, p := range [][]byte{m.head, m.body} {
		if _, err := w.Write(p); err != nil {
			return "", err
		}
	}
	for !m.eof {
		piece, err := m.next()
		if err != nil {
			return "", err
		}
		if err := m.count(len(piece)); err != nil {
			return "", err
		}
		if _, err := w.Write(piece); err != nil {
			return "", err
		}
	}
	if err := w.Commit(); err != nil {
		return "", err
	}
	return w.ID(), nil
}
