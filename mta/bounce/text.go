package bounce

import (
	"bytes"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"time"

	"signpost/compat/header"
	"signpost/spool"
)

// Limits of the text: the part for programs tells of everybody.
const (
	maxGroups     = 50
	maxNames      = 100
	maxReply      = 4096 // octets
	maxReplyLines = 20
)

// textPart is the part for people.
func (r *report) textPart() part {
	var b bytes.Buffer
	r.writeIntroduction(&b)
	groups := grouped(r.rcpts)
	for i, g := range groups {
		b.WriteString("\r\n")
		if i == maxGroups {
			wrap(&b, "", fmt.Sprintf("and %d other reasons, which the delivery report attached to this notice names.", len(groups)-i))
			break
		}
		r.writeGroup(&b, g)
	}
	b.WriteString("\r\n")
	r.writeMessage(&b)
	return encodeText(b.Bytes())
}

// encodeText makes a part of a text in UTF-8. Most texts are ASCII, and then stand as they are.
func encodeText(text []byte) part {
	p := part{description: "Notification", contentType: "text/plain; charset=us-ascii", encoding: "7bit", content: text}
	if isASCII(string(text)) {
		return p
	}
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	w.Write(text) // a Buffer never fails
	w.Close()
	p.contentType, p.encoding, p.content = "text/plain; charset=utf-8", "quoted-printable", b.Bytes()
	return p
}

func (r *report) writeIntroduction(b *bytes.Buffer) {
	whom := "one recipient"
	if n := len(r.rcpts); n > 1 {
		whom = fmt.Sprintf("%d recipients", n)
	}
	host := "This is the mail system at host " + domainText(r.Hostname) + "."
	wrap(b, "", host)
	b.WriteString("\r\n")
	switch r.Kind {
	case Failure:
		wrap(b, "", "Your message could not be delivered to "+whom+". It will not be tried again.")
	case Delay:
		wrap(b, "", "Your message could not yet be delivered to "+whom+". It is not lost, and you need do nothing: "+
			"it will be tried again"+until(r.Until)+". If it cannot be delivered by then, you will be told.")
	case Double:
		wrap(b, "", "A message without a return address could not be delivered to "+whom+". Most often that is a notice "+
			"like this one, about an earlier message whose sender cannot be reached. Nobody else can be told of it, so "+
			"it comes to the postmaster. It will not be tried again.")
	}
}

func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + t.Format(time.RFC1123Z)
}

// grouped parts recipients by what happened to them, in the order in which they come.
func grouped(rcpts []spool.Recipient) [][]spool.Recipient {
	type reason struct {
		status                spool.Status
		reply, remote, detail string
	}
	var groups [][]spool.Recipient
	at := make(map[reason]int)
	for _, rcpt := range rcpts {
		why := reason{rcpt.Last.Status, rcpt.Last.Reply, rcpt.Last.Remote, rcpt.Last.Detail}
		i, ok := at[why]
		if !ok {
			i = len(groups)
			at[why] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], rcpt)
	}
	return groups
}

// writeGroup tells of recipients to whom the same happened.
func (r *report) writeGroup(b *bytes.Buffer, group []spool.Recipient) {
	for i, rcpt := range group {
		if i == maxNames {
			wrap(b, "", fmt.Sprintf("and %d more, whom the delivery report attached to this notice names", len(group)-i))
			break
		}
		wrap(b, "", r.name(rcpt))
	}
	last := group[0].Last
	r.writeReason(b, last)
	wrap(b, "    ", r.hint(last))
}

// name is a recipient for people: as the sender wrote it, and where that led.
func (r *report) name(rcpt spool.Recipient) string {
	show := func(addr string) string { return "<" + printable(cut(addr, maxShown), false) + ">" }
	written := show(r.written(rcpt))
	if final := show(r.final(rcpt)); rcpt.Original != "" && header.Key(final) != header.Key(written) {
		return written + ", which stands for " + final
	}
	return written
}

// writeReason tells what the other side said, in its own words, and what was found here.
func (r *report) writeReason(b *bytes.Buffer, last spool.Result) {
	when := ""
	if last.Outcome() != spool.Failed {
		when = " at the last try"
	}
	if last.Reply != "" {
		wrap(b, "    ", printable(cut(orElse(last.Remote, "The other side"), maxShown), false)+" said"+when+":")
		writeReply(b, last.Reply)
	}
	if last.Detail != "" {
		host := "This host found" + when + ": "
		if last.Reply == "" && last.Remote != "" {
			host = "Talking to " + printable(cut(last.Remote, maxShown), false) + when + ": "
		}
		wrap(b, "    ", host+printable(cut(last.Detail, maxReply), false))
	}
	if last.Reply == "" && last.Detail == "" {
		wrap(b, "    ", "No reason is known. The status is "+r.status(last).String()+".")
	}
}

// writeReply writes a reply line by line, as it came.
func writeReply(b *bytes.Buffer, reply string) {
	shown := cut(reply, maxReply)
	for i, line := range strings.FieldsFunc(shown, isLineEnd) {
		if i == maxReplyLines {
			wrap(b, "        ", "[...]")
			return
		}
		wrap(b, "        ", printable(line, false))
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// writeMessage tells which message this is about, what of it is attached, and whom to ask.
func (r *report) writeMessage(b *bytes.Buffer) {
	what := "Your message was:"
	if r.Kind == Double {
		what = "The message was:"
	}
	b.WriteString(what + "\r\n")
	line := func(name, value string) {
		if value != "" {
			wrap(b, "    ", name+": "+value)
		}
	}
	line("Subject", r.original.shown("Subject"))
	line("From", r.original.shown("From"))
	line("Date", r.original.shown("Date"))
	line("Message-ID", r.original.shown("Message-ID"))
	line("Queue id", string(r.ID)+" on "+domainText(r.Hostname))
	b.WriteString("\r\n")
	wrap(b, "", r.attached())
	if person := mailbox(r.Postmaster, r.Hostname); r.Kind != Double && strings.HasPrefix(person, "<") {
		wrap(b, "", "For help write to "+strings.Trim(person, "<>")+" and name the queue id.")
	}
}

// attached says what is returned of the message.
func (r *report) attached() string {
	switch {
	case r.original.whole:
		return "A report for programs and the whole message are attached."
	case r.original.why != "":
		return "A report for programs and the header of the message are attached; " + r.original.why + "."
	}
	return "A report for programs and the header of the message are attached."
}
