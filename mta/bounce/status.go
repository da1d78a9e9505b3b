package bounce

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"signpost/spool"
)

// Limits of what is told of others' replies.
const (
	maxDiagnostic  = 2000    // octets of one Diagnostic-Code
	allDiagnostics = 4 << 20 // octets of all of them; where there are many recipients, each has less
	minDiagnostic  = 200
)

// statusPart is the part for programs (RFC 3464 2).
func (r *report) statusPart() part {
	p := part{contentType: "message/delivery-status", description: "Delivery report", encoding: "7bit"}
	if r.global {
		p.contentType, p.encoding = "message/global-delivery-status", "8bit"
	}
	var b bytes.Buffer
	if id := r.Envelope.EnvID; id != "" {
		writeField(&b, "Original-Envelope-Id", printable(cut(id, maxShown), true))
	}
	writeField(&b, "Reporting-MTA", "dns; "+domainText(r.Hostname))
	writeField(&b, "X-Signpost-Queue-Id", string(r.ID))
	if !r.Envelope.Arrived.IsZero() {
		writeField(&b, "Arrival-Date", r.Envelope.Arrived.Format(time.RFC1123Z))
	}
	for _, rcpt := range r.rcpts {
		b.WriteString("\r\n")
		r.writeRecipient(&b, rcpt)
	}
	p.content = b.Bytes()
	return p
}

// writeRecipient writes the fields of one recipient (RFC 3464 2.3).
func (r *report) writeRecipient(b *bytes.Buffer, rcpt spool.Recipient) {
	if rcpt.Original != "" {
		writeField(b, "Original-Recipient", r.typed(rcpt.Original))
	}
	writeField(b, "Final-Recipient", r.typed(r.final(rcpt)))
	action := "failed"
	if r.Kind == Delay {
		action = "delayed"
	}
	writeField(b, "Action", action)
	writeField(b, "Status", r.status(rcpt.Last).String())
	if host := remoteHost(rcpt.Last.Remote); host != "" {
		writeField(b, "Remote-MTA", "dns; "+host)
	}
	if text := r.diagnostic(rcpt.Last); text != "" {
		writeField(b, "Diagnostic-Code", text)
	}
	if !rcpt.Last.At.IsZero() {
		writeField(b, "Last-Attempt-Date", rcpt.Last.At.Format(time.RFC1123Z))
	}
	if r.Kind == Delay && !r.Until.IsZero() {
		writeField(b, "Will-Retry-Until", r.Until.Format(time.RFC1123Z))
	}
}

// status is the status told: it must agree with the action, whatever the recipient's last result was.
func (r *report) status(last spool.Result) spool.Status {
	s := last.Status
	switch {
	case r.Kind == Delay && s.Class != 4:
		return spool.Status{Class: 4}
	case r.Kind != Delay && s.Class != 4 && s.Class != 5:
		return spool.Status{Class: 5}
	}
	return s
}

// typed prints an address with its type: rfc822, or utf-8 in one of the two forms of RFC 6533 3.
func (r *report) typed(addr string) string {
	if isASCII(addr) {
		return "rfc822; " + strings.ReplaceAll(printable(cut(addr, maxShown), true), " ", `\x20`)
	}
	var b strings.Builder
	for _, c := range strings.ToValidUTF8(cut(addr, maxShown), "\ufffd") {
		plain := c > ' ' && c < 0x7f && c != '+' && c != '=' && c != '\\'
		if plain || r.global && c >= 0x80 && printable(string(c), false) == string(c) {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, `\x{%X}`, c)
		}
	}
	return "utf-8; " + b.String()
}

// diagnostic prints what the other side said, or what was found here.
func (r *report) diagnostic(last spool.Result) string {
	most := max(minDiagnostic, min(maxDiagnostic, allDiagnostics/len(r.rcpts)))
	text, kind := last.Reply, "smtp; "
	if text == "" {
		text, kind = last.Detail, "x-signpost; "
	}
	if text == "" {
		return ""
	}
	lines := strings.Join(strings.FieldsFunc(cut(text, most), isLineEnd), " ")
	return kind + cut(printable(lines, !r.global), most)
}

func isLineEnd(c rune) bool { return c == '\r' || c == '\n' }

// remoteHost gives the host's name of a Result.Remote (host[address]:port), or its address in brackets; empty where
// there is neither.
func remoteHost(remote string) string {
	host, rest, _ := strings.Cut(remote, "[")
	if host != "" && domainText(host) == host {
		return host
	}
	text, _, _ := strings.Cut(rest, "]")
	if addr, err := netip.ParseAddr(strings.TrimPrefix(text, "IPv6:")); err == nil {
		return "[" + addr.String() + "]"
	}
	return ""
}
