package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"signpost/spool"
)

// The statuses of replies (RFC 3463).
var (
	fine        = spool.Status{Class: 2}
	badCommand  = spool.Status{Class: 5, Subject: 5, Detail: 1}
	badSyntax   = spool.Status{Class: 5, Subject: 5, Detail: 2}
	tooMany     = spool.Status{Class: 4, Subject: 5, Detail: 3}
	badArgument = spool.Status{Class: 5, Subject: 5, Detail: 4}
	badSender   = spool.Status{Class: 5, Subject: 1, Detail: 7}
	badRcpt     = spool.Status{Class: 5, Subject: 1, Detail: 3}
	tooBig      = spool.Status{Class: 5, Subject: 3, Detail: 4}
	noSpace     = spool.Status{Class: 4, Subject: 3, Detail: 1}
)

// command does what one line says. An error ends the dialogue.
func (d *dialogue) command(ctx context.Context, line string) error {
	if strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) >= 0 {
		d.mistake(500, badSyntax, "Control character in the command")
		return nil
	}
	verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	arg = strings.TrimSpace(arg)
	switch verb = strings.ToUpper(verb); verb {
	case "HELO", "EHLO":
		d.hello(verb, arg)
	case "MAIL":
		d.from(arg)
	case "RCPT":
		d.to(arg)
	case "DATA":
		return d.data(ctx, arg)
	case "RSET":
		d.mail = nil
		d.reply(250, fine, "Ok")
	case "QUIT":
		d.over = true
		d.reply(221, fine, "Bye")
	default:
		d.aside(verb, arg)
	}
	return nil
}

// aside answers what has nothing to do with a message.
func (d *dialogue) aside(verb, arg string) {
	switch verb {
	case "NOOP":
		d.reply(250, fine, "Ok")
	case "HELP":
		d.reply(214, fine, "See sendmail(8)")
	case "VRFY":
		if arg == "" {
			d.mistake(501, badArgument, "Syntax: VRFY address")
			return
		}
		d.reply(252, fine, "Cannot verify, send some mail and see (sendmail -bv knows local users)")
	case "AUTH":
		d.mistake(503, badCommand, "No authentication here: the system says who you are")
	case "EXPN", "STARTTLS", "BDAT", "ETRN", "TURN", "SEND", "SOML", "SAML":
		d.mistake(502, badCommand, "Command not implemented")
	default:
		d.mistake(500, badSyntax, "Command unknown")
	}
}

// hello answers HELO and EHLO, which end a transaction (RFC 5321 4.1.4).
func (d *dialogue) hello(verb, arg string) {
	if arg == "" {
		d.mistake(501, badArgument, "Syntax: "+verb+" hostname")
		return
	}
	d.mail = nil
	if verb == "HELO" {
		d.say(250, d.server.Hostname)
		return
	}
	size := "SIZE"
	if d.server.MaxSize > 0 {
		size = fmt.Sprintf("SIZE %d", d.server.MaxSize)
	}
	for _, word := range []string{d.server.Hostname, "PIPELINING", size, "8BITMIME", "SMTPUTF8", "DSN"} {
		fmt.Fprintf(d.out, "250-%s\r\n", plain(word))
	}
	d.say(250, "ENHANCEDSTATUSCODES")
}

// from answers MAIL.
func (d *dialogue) from(arg string) {
	if d.mail != nil {
		d.mistake(503, badCommand, "There is a sender already")
		return
	}
	path, params, ok := split(arg, "FROM:")
	if !ok {
		d.mistake(501, badArgument, "Syntax: MAIL FROM:<address>")
		return
	}
	sender, err := address(path, true)
	if err != nil {
		d.reply(501, badSender, "Bad sender address: "+err.Error())
		return
	}
	told := d.server.Told
	told.Sender = &sender.Addr
	if r := d.mailParams(&told, params); r != nil {
		d.refuse(*r)
		return
	}
	d.mail = &transaction{told: told}
	d.reply(250, spool.Status{Class: 2, Subject: 1, Detail: 0}, "Ok")
}

// to answers RCPT.
func (d *dialogue) to(arg string) {
	if d.mail == nil {
		d.mistake(503, badCommand, "MAIL comes first")
		return
	}
	path, params, ok := split(arg, "TO:")
	if !ok {
		d.mistake(501, badArgument, "Syntax: RCPT TO:<address>")
		return
	}
	mailbox, err := address(path, false)
	if err != nil {
		d.mail.refused++
		d.reply(501, badRcpt, "Bad recipient address: "+err.Error())
		return
	}
	rcpt := spool.Recipient{Addr: mailbox.Addr, NoAlias: mailbox.NoAlias}
	if r := rcptParams(&rcpt, params); r != nil {
		d.mail.refused++
		d.refuse(*r)
		return
	}
	d.mail.octets += len(rcpt.Addr) + len(rcpt.Original)
	if len(d.mail.told.Rcpts) >= spool.MaxToldRcpts || d.mail.octets > maxRcpts {
		d.mail.refused++
		d.reply(452, tooMany, "Too many recipients") // RFC 5321 4.5.3.1.10: the client sends the rest later
		return
	}
	d.mail.told.Rcpts = append(d.mail.told.Rcpts, rcpt)
	d.reply(250, spool.Status{Class: 2, Subject: 1, Detail: 5}, "Ok")
}

// refuse answers a parameter that cannot be had.
func (d *dialogue) refuse(r refusal) {
	if r.status == tooBig {
		d.reply(r.code, r.status, r.text)
		return
	}
	d.mistake(r.code, r.status, r.text)
}

// data answers DATA and takes the message. Its transaction is over, whatever comes of it.
func (d *dialogue) data(ctx context.Context, arg string) error {
	switch {
	case arg != "":
		d.mistake(501, badArgument, "Syntax: DATA")
		return nil
	case d.mail == nil:
		d.mistake(503, badCommand, "MAIL and RCPT come first")
		return nil
	case len(d.mail.told.Rcpts) == 0 && d.mail.refused > 0:
		d.reply(554, badCommand, "No valid recipients")
		return nil
	case len(d.mail.told.Rcpts) == 0:
		d.mistake(503, badCommand, "RCPT comes first")
		return nil
	}
	d.say(354, "End data with <CR><LF>.<CR><LF>")
	told := d.mail.told
	body := &content{in: d.in}
	id, err := d.server.Send(ctx, told, body)
	switch cut := body.drain(); {
	case errors.Is(cut, io.ErrUnexpectedEOF):
		return ErrTorn
	case cut != nil:
		return fmt.Errorf("cannot read message: %w", cut)
	}
	d.mail = nil
	if err != nil {
		d.failed(err)
		return nil
	}
	d.bad = 0
	text := "queued as " + string(id)
	if id == "" {
		text = "queued, until the daemon is there to take it"
	}
	d.reply(250, fine, "Ok: "+text)
	return nil
}

// failed tells why a message was not accepted.
func (d *dialogue) failed(err error) {
	s := spool.StatusOf(err)
	code := 451
	switch {
	case s == noSpace:
		code = 452
	case s == tooBig:
		code = 552
	case s.Class == 5:
		code = 554
	case s.Class != 4:
		s = spool.Status{Class: 4, Subject: 3, Detail: 0}
	}
	d.reply(code, s, spool.ResultOf(err, time.Time{}).Detail)
}
