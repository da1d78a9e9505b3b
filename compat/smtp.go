package compat

import (
	"context"
	"errors"
	"fmt"
	"io"

	"signpost/compat/smtp"
	"signpost/spool"
)

// serveSMTP speaks SMTP on standard input and output (-bs). What it takes in goes the way of any other message; the
// sender is what MAIL says, and who the caller is the spool knows.
func (c *command) serveSMTP(ctx context.Context) error {
	p, err := c.open()
	if err != nil {
		return err
	}
	s := p.settings
	s.Complete()
	server := smtp.Server{
		Hostname: s.Hostname,
		MaxSize:  int64(s.Spool.MaxMessageSize),
		Told:     c.claims(),
		Send: func(ctx context.Context, told spool.Told, content io.Reader) (spool.ID, error) {
			return p.take(ctx, told, content)
		},
	}
	out := c.env.Stdout
	if out == nil {
		out = io.Discard
	}
	err = server.Serve(ctx, c.env.Stdin, out)
	switch {
	case errors.Is(err, smtp.ErrTorn):
		return &fault{exDataErr, err}
	case errors.Is(err, smtp.ErrNonsense):
		return &fault{exProtocol, err}
	case err != nil:
		return &fault{exIOErr, err}
	}
	return nil
}

// take hands in a message of the dialogue. Its errors have a status for the reply.
func (p place) take(ctx context.Context, told spool.Told, content io.Reader) (spool.ID, error) {
	m := message{in: content, max: int64(p.settings.Spool.MaxMessageSize)}
	h, err := m.readHeader()
	if err == nil {
		err = m.readAhead(h)
	}
	if err != nil {
		if statusOf(err) == exDataErr && !errors.Is(err, spool.ErrTooBig) { // a limit of the header
			err = fmt.Errorf("%w: %w", spool.ErrTooBig, err)
		}
		return "", err
	}
	told.NULs = m.norm.NULs
	id, err := m.handIn(ctx, p, told)
	if err != nil {
		return "", p.refine(err)
	}
	return id, nil
}
