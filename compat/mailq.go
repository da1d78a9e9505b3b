package compat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"signpost/spool"
)

// The layout is Postfix's, with sendmail's total line before the summary: programs that watch queues look for one or
// the other.
const (
	queueEmpty  = "Mail queue is empty\n"
	queueHeader = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
	reasonEnd   = 76 // column where a reason ends
	rcptIndent  = 41 // blanks before a recipient
	maxReason   = 500
	hidden      = "<hidden>"
	asctime     = "Mon Jan _2 15:04:05"
)

// list prints the queue as it is told, without waiting for its end.
func (c *command) list(ctx context.Context) error {
	p, err := c.open()
	if err != nil {
		return err
	}
	to := c.env.Stdout
	if to == nil {
		to = io.Discard
	}
	out := newAhead(to)
	last, err := c.listTo(ctx, p, bufio.NewWriterSize(out, 32<<10))
	if werr := out.finish(); werr != nil {
		return unread(werr)
	}
	if err != nil {
		return err
	}
	if last == nil {
		return nil
	}
	return p.blame(&fault{exTempFail, last})
}

// listTo prints the queue to out. The first error is the last of the queue's, of which all others have been told; the
// second one is that of out.
func (c *command) listTo(ctx context.Context, p place, out *bufio.Writer) (last, err error) {
	l := listing{c: c, out: out}
	for e, err := range p.Queue(ctx) {
		if err != nil {
			if last != nil {
				c.say(last.Error())
			}
			last = err
			continue
		}
		if !c.wanted(e.ID) {
			continue
		}
		if err := l.entry(e); err != nil {
			return last, err
		}
	}
	return last, l.end(last == nil)
}

// wanted reports whether the operands ask for this message.
func (c *command) wanted(id spool.ID) bool {
	for _, arg := range c.operands {
		if strings.EqualFold(arg, string(id)) {
			return true
		}
	}
	return len(c.operands) == 0
}

// unread is the error of standard output. A reader that has seen enough (head) needs no text.
func unread(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return &fault{exIOErr, errSilent}
	}
	return &fault{exIOErr, fmt.Errorf("cannot write the list: %w", err)}
}

// listing prints entries and keeps their totals.
type listing struct {
	c      *command
	out    *bufio.Writer
	n      int
	octets int64
}

// entry prints one message, and hands it on at once where it is the first.
func (l *listing) entry(e spool.Entry) error {
	if l.n == 0 {
		l.out.WriteString(queueHeader)
	}
	sender := printable(e.Envelope.Sender)
	switch {
	case e.Hidden:
		sender = hidden
	case sender == "":
		sender = "MAILER-DAEMON"
	}
	fmt.Fprintf(l.out, "%-11s %7d %20.20s %s\n", string(e.ID)+mark(e), e.Size, arrival(e).Format(asctime)+" ", sender)
	if e.Hidden {
		l.recipient(hidden)
	} else {
		l.details(e.Envelope)
	}
	l.out.WriteByte('\n')
	l.octets += e.Size
	if l.n++; l.n == 1 {
		return l.out.Flush()
	}
	_, err := l.out.Write(nil) // tells of an error of any write so far
	return err
}

func mark(e spool.Entry) string {
	switch {
	case e.Active:
		return "*"
	case e.Envelope.Held != "":
		return "!"
	}
	return ""
}

func arrival(e spool.Entry) time.Time {
	if e.Envelope.Arrived.IsZero() {
		return e.ID.Time().Local()
	}
	return e.Envelope.Arrived.Local()
}

// details prints what the message waits for and the recipients that it has left.
func (l *listing) details(e spool.Envelope) {
	if e.Held != "" {
		l.reason("held: " + e.Held)
	}
	if l.c.verbose {
		l.reason(schedule(e))
	}
	before := ""
	for _, r := range e.Rcpts {
		if r.Last.Outcome().Final() {
			continue
		}
		if why := reasonOf(r.Last); why != before {
			before = why
			if why != "" {
				l.reason(why)
			}
		}
		l.recipient(printable(r.Addr))
	}
}

func (l *listing) recipient(addr string) { fmt.Fprintf(l.out, "%*s%s\n", rcptIndent, "", addr) }

func (l *listing) reason(text string) {
	fmt.Fprintf(l.out, "%*s\n", reasonEnd, "("+cut(printable(text), maxReason)+")")
}

// schedule is what the longer list adds.
func schedule(e spool.Envelope) string {
	next := "next try at once"
	switch {
	case e.Queued:
		next = "waits for a queue run"
	case !e.Next.IsZero():
		next = "next try " + e.Next.Local().Format(asctime)
	}
	from := e.Origin.Via
	if e.Origin.UID >= 0 {
		from = "uid " + strconv.Itoa(e.Origin.UID)
		if e.Origin.Login != "" {
			from = e.Origin.Login + ", " + from
		}
	}
	return fmt.Sprintf("tries so far %d, %s; handed in by %s", e.Tries, next, from)
}

// reasonOf says why a recipient waits; empty for one that has not been tried.
func reasonOf(r spool.Result) string {
	switch {
	case r.Outcome() == spool.Pending:
		return ""
	case r.Reply != "":
		return "host " + r.Remote + " said: " + r.Reply
	}
	return r.Detail
}

// end prints the totals. That the queue is empty is said only where it is known.
func (l *listing) end(whole bool) error {
	switch {
	case l.n > 0:
		plural := "s"
		if l.n == 1 {
			plural = ""
		}
		fmt.Fprintf(l.out, "\t\tTotal requests: %d\n-- %d Kbytes in %d Request%s.\n", l.n, l.octets/1024, l.n, plural)
	case whole && len(l.c.operands) > 0:
		l.out.WriteString("No such message in the queue\n")
	case whole:
		l.out.WriteString(queueEmpty)
	}
	return l.out.Flush()
}

// local is the spool of this host: asked of the daemon, and, where none answers, looked at, by those who may.
type local struct {
	client
	path string
}

type client = spool.Submit // a name that does not hide its method

// Queue lists what the daemon tells, or what lies in the spool.
func (s local) Queue(ctx context.Context) iter.Seq2[spool.Entry, error] {
	return func(yield func(spool.Entry, error) bool) {
		for e, err := range s.client.Queue(ctx) {
			if noDaemon(err) {
				s.peek(err, yield)
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// peek lists the spool's files. A folder that cannot be read is not an empty queue.
func (s local) peek(cause error, yield func(spool.Entry, error) bool) {
	d, err := os.Open(filepath.Join(s.path, "new"))
	if err == nil {
		_, err = d.ReadDir(1)
		d.Close()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		yield(spool.Entry{}, fmt.Errorf("%w; and the spool cannot be read: %w", cause, err))
		return
	}
	spool.Peek(s.path)(yield)
}
