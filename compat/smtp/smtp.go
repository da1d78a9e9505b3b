// Package smtp speaks the server's side of SMTP (RFC 5321) over a pair of streams, as `sendmail -bs` does on standard
// input and output.
//
// The client is a program of this host, Symfony Mailer or alpine for instance, or a person at a terminal. It is taken
// as it comes: it may talk before it is greeted, leave out the greeting, end its lines in LF, and send ahead
// (PIPELINING). But it may also pass on what strangers wrote, so every line and every count has a limit, and the
// end of a message is looked for in one form of line end alone (content).
//
// A message is accepted when Send has returned without an error, and answered only then. The package knows neither
// the spool nor the configuration; it links neither net nor net/textproto, because the sendmail command contains it.
package smtp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"signpost/spool"
)

// Errors that end a dialogue. Any other is that of the streams.
var (
	// ErrTorn is an input that ends within a message or its envelope.
	ErrTorn = errors.New("input ended within a message")
	// ErrNonsense is a client that makes mistakes all the time.
	ErrNonsense = errors.New("too many errors")
)

// Limits of a dialogue.
const (
	maxLine  = 4096    // octets of a command with its line end: RFC 5321 4.5.3.1.4 and the extensions of MAIL and RCPT
	maxBad   = 20      // mistakes of a client before it is sent away; an accepted message forgives those before it
	maxEnvID = 100     // RFC 3461 4.4
	maxORCPT = 500     // RFC 3461 4.2
	maxRcpts = 3 << 20 // octets of the addresses of one message: what the way to the daemon has room for
	maxText  = 400     // octets of our words in a reply (RFC 5321 4.5.3.1.5: 512 for the line)
)

// Server is what a dialogue has to do with the world.
type Server struct {
	Hostname string     // in the banner
	MaxSize  int64      // most octets of a message; 0: no limit. It is only told here, Send holds it
	Told     spool.Told // what is the same for all messages; the envelope comes from the dialogue
	// Send hands a message in and returns when it is durable. It reads content, lines as the client ended them, to
	// its end; an error of the content must end the message. The status of an error (spool.StatusOf) chooses the
	// reply, its words are told to the client. An empty id means that it is not known yet.
	Send func(ctx context.Context, told spool.Told, content io.Reader) (spool.ID, error)
}

// Serve holds one dialogue and returns when the client has said QUIT, or the input has ended between two messages.
// Replies are written when the client has to wait for them, all that are due at once.
func (s *Server) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	d := &dialogue{server: s, out: bufio.NewWriter(out)}
	d.in = bufio.NewReaderSize(turn{in, d.out}, maxLine)
	d.say(220, s.Hostname+" ESMTP signpost")
	err := d.run(ctx)
	if flush := d.out.Flush(); err == nil && flush != nil {
		err = fmt.Errorf("cannot write replies: %w", flush)
	}
	return err
}

// turn is an input that gives the client what it is owed before it waits for more.
type turn struct {
	in  io.Reader
	out *bufio.Writer
}

func (t turn) Read(p []byte) (int, error) {
	if err := t.out.Flush(); err != nil {
		return 0, fmt.Errorf("cannot write replies: %w", err)
	}
	return t.in.Read(p)
}

// dialogue is the state of one.
type dialogue struct {
	server *Server
	in     *bufio.Reader
	out    *bufio.Writer
	mail   *transaction // nil outside of one
	bad    int          // mistakes since the last accepted message
	over   bool         // QUIT was said
}

// transaction is the envelope of the message that is being announced.
type transaction struct {
	told    spool.Told
	refused int // recipients
	octets  int // of the addresses of the others
}

// run takes commands until there is nothing more to do.
func (d *dialogue) run(ctx context.Context) error {
	for !d.over {
		line, err := d.line()
		switch {
		case errors.Is(err, io.EOF) && d.mail != nil:
			return ErrTorn
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			d.mistake(500, spool.Status{Class: 5, Subject: 5, Detail: 2}, "Line too long")
		case err != nil:
			return fmt.Errorf("cannot read commands: %w", err)
		default:
			err = d.command(ctx, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if d.bad >= maxBad {
			d.reply(421, spool.Status{Class: 4, Subject: 7, Detail: 0}, "Too many errors, closing")
			return ErrNonsense
		}
	}
	return nil
}

// line reads a command without its line end. A line that is too long is passed over and gives bufio.ErrBufferFull; one
// that the input ends in is no command.
func (d *dialogue) line() (string, error) {
	b, err := d.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return strings.TrimRight(string(b), "\r\n"), err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = d.in.ReadSlice('\n')
	}
	if err != nil {
		return "", err
	}
	return "", bufio.ErrBufferFull
}

// reply writes a reply of one line with its enhanced status code (RFC 2034).
func (d *dialogue) reply(code int, s spool.Status, text string) { d.say(code, s.String()+" "+text) }

// mistake is a reply to what a client that knows SMTP would not say.
func (d *dialogue) mistake(code int, s spool.Status, text string) {
	d.bad++
	d.reply(code, s, text)
}

// say writes a reply of one line. An error of the output is met at the next reading.
func (d *dialogue) say(code int, text string) { fmt.Fprintf(d.out, "%d %s\r\n", code, plain(text)) }

// plain makes text fit for a line of a reply: ASCII that can be seen.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return -1
		case r == '\n', r == '\t':
			return ' '
		case r < ' ', r >= 0x7f:
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxText)]
}
