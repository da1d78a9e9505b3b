package compat

import (
	"context"
	"errors"
	"fmt"
	"io"

	"signpost/compat/aliases"
	"signpost/spool"
)

// runQueue asks the daemon to try what is queued now.
func (c *command) runQueue(ctx context.Context) error {
	p, err := c.open()
	if err != nil {
		return err
	}
	err = p.Run(ctx, c.filter)
	switch {
	case errors.Is(err, spool.ErrForbidden):
		return &fault{exNoPerm, fmt.Errorf("running the queue: %w", err)}
	case noDaemon(err):
		return p.blame(&fault{exUnavailable, fmt.Errorf("running the queue: %w", err)})
	}
	return err
}

// newAliases reads the aliases file and says what is wrong with it. There is no database to make.
func (c *command) newAliases(ctx context.Context) error {
	p, err := c.open()
	if err != nil {
		return err
	}
	path := c.aliasFile
	if path == "" {
		path = aliases.Path(p.settings.Local.Aliases)
	}
	if path == "" {
		c.print("no aliases file: 0 aliases\n")
		return nil
	}
	t, err := aliases.Read(path)
	if err != nil {
		return &fault{exNoInput, err}
	}
	for _, w := range t.Warnings {
		c.warn("%s", w)
	}
	c.print(printable(t.Stats()) + "\n")
	if err := t.Safe(); err != nil && t.Acts() {
		c.warn("%v: programs and files in it are not honoured", err)
	}
	if c.aliasFile == "" {
		c.reload(ctx, p)
	}
	switch {
	case p.orphan != nil && c.aliasFile == "":
		return &fault{exConfig, p.orphan} // another file may be meant
	case t.Bad():
		return &fault{exDataErr, errSilent}
	}
	return nil
}

// reload tells the daemon, which would see the change by itself a little later.
func (c *command) reload(ctx context.Context, p place) {
	err := p.Reload(ctx)
	if err != nil && !noDaemon(err) && !errors.Is(err, spool.ErrForbidden) {
		c.warn("the daemon did not reload: %v", err)
	}
}

func (c *command) print(text string) {
	if c.env.Stdout != nil {
		io.WriteString(c.env.Stdout, text)
	}
}
