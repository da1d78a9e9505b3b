package intake

import (
	"fmt"
	"strings"

	"signpost/compat/header"
	"signpost/compat/rewrite"
	"signpost/spool"
)

// What Rewriting.What says of the reverse-path, and Rewriting.Rule where the reverse-path followed From:.
const (
	envelope  = "envelope"
	alignRule = "align"
)

// rewriter changes the senders of one message and notes what it changed. An address is given to it once: what comes
// out is not rewritten again.
type rewriter struct {
	rules rewrite.Rules
	done  []spool.Rewriting
	notes []string // what could not be done
}

// sender gives what takes the place of an address. What says where it stands.
func (w *rewriter) sender(what, addr string) string {
	to, rule, ok := w.rules.Sender(addr)
	switch {
	case ok:
		w.note(spool.Rewriting{What: what, Old: addr, New: to, Rule: rule})
	case rule != "":
		w.tooLong(what, rule)
	}
	return to
}

// tooLong notes that an address stays because what should take its place is no address.
func (w *rewriter) tooLong(what, rule string) {
	if len(w.notes) < spool.MaxRewritten {
		w.notes = append(w.notes, fmt.Sprintf("%s: not rewritten by %q of [rewrite]: the address would have more than %d octets",
			what, rule, header.MaxAddress))
	}
}

func (w *rewriter) note(r spool.Rewriting) {
	if len(w.done) < spool.MaxRewritten {
		w.done = append(w.done, r)
	}
}

// header changes the fields that say who sends a message.
func (w *rewriter) header(h header.Header) {
	if w.rules.Len() == 0 {
		return
	}
	for i := range h {
		if name, ok := rewrite.Field(h[i].Name); ok {
			h[i] = w.field(name, h[i])
		}
	}
}

func (w *rewriter) field(name string, f header.Field) header.Field {
	before := len(w.done)
	changed := header.ReplaceAddrs(f, func(addr string) string { return w.sender(name, addr) })
	if changed == f {
		w.done = w.done[:before]
	}
	return changed
}

// align gives the envelope's sender the domain of From:, so that what receivers check of the two agrees (DMARC). It
// does so where signed knows that domain; a From: of several domains, or of none that can be read, decides nothing.
func (w *rewriter) align(sender, from string, signed func(string) (string, bool)) string {
	local, old := header.SplitAddr(sender)
	if signed == nil || old == "" {
		return sender
	}
	domain, ok := signed(onlyDomain(from))
	if same, known := signed(old); !ok || known && same == domain {
		return sender
	}
	aligned := local + "@" + domain
	if len(aligned) > header.MaxAddress {
		w.tooLong(envelope, alignRule)
		return sender
	}
	w.note(spool.Rewriting{What: envelope, Old: sender, New: aligned, Rule: alignRule})
	return aligned
}

// onlyDomain is the domain of all addresses of a field; empty where there is none.
func onlyDomain(value string) string {
	only := ""
	for m := range header.Mailboxes(value) {
		_, domain := header.SplitAddr(m.Addr)
		if m.Err != nil || only != "" && !strings.EqualFold(only, domain) {
			return ""
		}
		only = domain
	}
	return only
}
