// Package compat reproduces the command lines of sendmail(8), mailq(1) and newaliases(1).
//
// Main reads the arguments and, where a message is to be sent, standard input, does what needs nothing else (options,
// recipients from the header, the lone dot, line ends, the border of header and body, fields that are never sent), and
// hands the message to the spool with what it was told. What needs the configuration or the caller's identity
// (qualifying names, missing fields, Received) is done by the daemon, which trusts nothing of what is said here.
//
// The status is one of sysexits(3). 0 means that the message is durable. Otherwise nothing was queued, and one line
// on stderr says why. Only a dialogue (-bs) may have had several messages: of each its reply tells.
//
// Callers are cron, PHP, mail programs and whoever can pass them arguments, so all input is hostile. No option opens a
// file to write, runs a program, or reads a file with more rights than the caller's. The package keeps start-up short:
// no maps or regular expressions are built before they are needed, and net is not linked.
package compat

import (
	"context"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"signpost/compat/settings"
	"signpost/spool"
)

// Env is the world that a command sees, so that a test can give it another one.
type Env struct {
	Args           []string // the program's name first, as in os.Args; its base name chooses the mode
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        func(key string) string // asked for NAME and LOGNAME alone; nil: nothing is set
	Now            func() time.Time        // nil: time.Now
	Spool          Spool                   // nil: the one that the configuration names
	Config         string                  // configuration where -C names none; empty: settings.DefaultFile
	Etc            string                  // folder of passwd and nsswitch.conf; empty: /etc
	Socket         string                  // asked where the configuration is broken; empty: settings.DefaultSocket
	PID            int                     // of this process; passed on as a claim
	Caller         func() spool.Process    // tells what called this program; nil: nothing is told
	UID            int                     // effective, of this process; for --explain, the daemon asks the kernel
	Terminal       func() bool             // whether Stdin is a terminal; nil: no
	Enough         func() error            // why this process may not have all that is opened, for now; nil: it may
}

// Spool is where mail is handed in and the queue is asked about. spool.Submit is one.
type Spool interface {
	Submit(ctx context.Context, told spool.Told) (spool.Handover, error)
	// Rehearse finds out what Submit would do with content of this size now.
	Rehearse(ctx context.Context, size int64) (spool.Way, error)
	// Queue lists what is queued; an error is about one message, or ends the list (spool.ErrNoDaemon).
	Queue(ctx context.Context) iter.Seq2[spool.Entry, error]
	// Run asks for a queue run: spool.ErrNoDaemon, spool.ErrForbidden.
	Run(ctx context.Context, f spool.Filter) error
	// Reload asks the daemon to read configuration and aliases again: spool.ErrNoDaemon, spool.ErrForbidden.
	Reload(ctx context.Context) error
}

// Main does what env.Args say and gives the exit status. It never panics.
func Main(ctx context.Context, env Env) (status int) {
	c := &command{env: env}
	defer func() {
		if p := recover(); p != nil {
			status = c.finish(&fault{exSoftware, fmt.Errorf("internal error: %v", p)})
		}
	}()
	err := c.parse(env.Args)
	if err == nil {
		err = c.run(ctx)
	}
	return c.finish(err)
}

// run does what the arguments ask for.
func (c *command) run(ctx context.Context) error {
	mode, err := c.resolve()
	if err != nil {
		return err
	}
	if err := c.enough(mode); err != nil {
		return err
	}
	return c.do(ctx, mode)
}

// enough looks at the limits of the process before anything is opened. Whoever called may try again with others.
func (c *command) enough(mode mode) error {
	if c.env.Enough == nil || mode == modeHelp || mode == modeVersion || mode == modeNothing {
		return nil
	}
	if err := c.env.Enough(); err != nil {
		return &fault{exTempFail, err}
	}
	return nil
}

// do does one thing.
func (c *command) do(ctx context.Context, mode mode) error {
	switch mode {
	case modeSend:
		return c.send(ctx)
	case modeSMTP:
		return c.serveSMTP(ctx)
	case modeVerify:
		return c.verify(ctx)
	case modeList:
		return c.list(ctx)
	case modeRun:
		return c.runQueue(ctx)
	case modeAliases:
		return c.newAliases(ctx)
	case modeHelp:
		return c.help()
	case modeVersion:
		return c.version()
	case modeExplain:
		return c.explain(ctx)
	}
	return nil
}

// place is where the configuration says that mail is handed in.
type place struct {
	Spool
	settings settings.Settings
	// orphan says why the place of the spool is not known; a daemon on the default socket may still take the message.
	orphan error
	drop   string // folder drop/ of the spool; empty: not to be used
}

// open reads the configuration. A broken one is no reason to lose a cron job's mail as long as its [spool] can be
// believed; a drop/ folder that perhaps no daemon reads is never used.
func (c *command) open() (place, error) {
	path, given := c.env.Config, false
	if c.config != nil {
		var err error
		if path, err = filepath.Abs(*c.config); err != nil || *c.config == "" {
			return place{}, &fault{exNoInput, fmt.Errorf("cannot read configuration %q", *c.config)}
		}
		given = true
	}
	s, err := settings.Read(path)
	p := place{settings: s}
	if err != nil {
		broken, isBroken := err.(*settings.Error)
		switch {
		case isBroken && broken.SpoolRead:
			c.warn("%s", broken.First())
		case isBroken:
			p.orphan = fmt.Errorf("%s", broken.First())
		case scarce(err):
			return place{}, &fault{exTempFail, fmt.Errorf("cannot read configuration: %w", err)}
		case given:
			return place{}, &fault{exNoInput, fmt.Errorf("cannot read configuration: %w", err)}
		default:
			p.orphan = fmt.Errorf("cannot read configuration: %w", err)
		}
	}
	p.Spool = c.env.Spool
	if p.Spool == nil {
		p.reach(c.env.Socket)
	}
	if c.rehearsal != nil {
		c.rehearsal.place = p
		p.Spool = c.rehearsal
	}
	return p, nil
}

// reach sets the way to the spool of the settings, or, where they cannot be believed, to the daemon on the usual socket.
func (p *place) reach(socket string) {
	if socket == "" {
		socket = settings.DefaultSocket
	}
	if p.orphan != nil {
		p.Spool = spool.Submit{Socket: socket}
		return
	}
	t := p.settings.Spool
	p.drop = t.Drop()
	p.Spool = local{
		client: spool.Submit{Socket: t.Socket, Drop: p.drop, MaxSize: int64(t.MaxMessageSize)},
		path:   t.Path,
	}
}

// blame turns the silence of the daemon into the error of the configuration, where that is broken: another daemon, on
// another socket, may be the one to ask.
func (p place) blame(err error) error {
	if err == nil || p.orphan == nil || !noDaemon(err) {
		return err
	}
	return &fault{exConfig, p.orphan}
}

// now is the wall clock.
func (c *command) now() time.Time {
	if c.env.Now != nil {
		return c.env.Now()
	}
	return time.Now()
}

// environ asks for a variable of the environment.
func (c *command) environ(key string) string {
	if c.env.Environ == nil {
		return ""
	}
	return c.env.Environ(key)
}

// warn prints a line on stderr that changes nothing about the status.
func (c *command) warn(format string, args ...any) { c.say("warning: " + fmt.Sprintf(format, args...)) }

// say prints one line on stderr, unless -oeq asked for silence.
func (c *command) say(text string) {
	if c.quiet || c.env.Stderr == nil {
		return
	}
	io.WriteString(c.env.Stderr, "sendmail: "+printable(text)+"\n")
}

// printable makes text fit for one line of a terminal: what could move the cursor or pass for something else becomes
// "?", and line ends become blanks.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case r == '\r':
			return -1
		case r < ' ', r >= 0x7f && r < 0xa0, r == '\ufffd', r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e,
			r >= 0x2066 && r <= 0x2069, r == '\ufeff':
			return '?'
		}
		return r
	}, text)
}
