package compat

import (
	"errors"
	"strconv"
	"strings"

	"signpost/compat/header"
	"signpost/spool"
)

// badAddress is the status of a member of a list that is no address (RFC 3463 3.2: bad destination mailbox syntax).
var badAddress = spool.Status{Class: 5, Subject: 1, Detail: 3}

// recipients collects the recipients of a message, each once.
type recipients struct {
	c    *command
	told []spool.Recipient
	seen map[string]bool
	good int

	// For --explain.
	source   string // what is being read
	sources  []string
	repeated int // given more than once
}

// add takes all members of an address list. A bad one becomes a recipient that has failed already, for the sender to
// be told of; only what no list may hold is an error.
func (r *recipients) add(list string, noAlias bool) error {
	for m := range header.Mailboxes(list) {
		rcpt := spool.Recipient{Addr: m.Addr, NoAlias: m.NoAlias || noAlias, Notify: r.c.notify}
		key := header.Key(m.Addr)
		if rcpt.NoAlias {
			key = `\` + key
		}
		if m.Err != nil {
			if errors.Is(m.Err, header.ErrTooLong) {
				return data("recipient %q…: %w", cut(m.Raw, 40), m.Err)
			}
			rcpt = r.bad(m)
			key = "!" + m.Raw
		}
		if r.seen[key] {
			r.repeated++
			continue
		}
		if len(r.told) == spool.MaxToldRcpts {
			return data("more than %d recipients", spool.MaxToldRcpts)
		}
		if r.seen == nil {
			r.seen = map[string]bool{}
		}
		r.seen[key] = true
		r.told = append(r.told, rcpt)
		if r.c.tracing {
			r.sources = append(r.sources, r.source)
		}
		if m.Err == nil {
			r.good++
		}
	}
	return nil
}

// bad is the recipient that stands for a member that is none.
func (r *recipients) bad(m header.Mailbox) spool.Recipient {
	return spool.Recipient{
		Addr:   cut(strings.ToValidUTF8(header.OneLine(m.Raw), "?"), header.MaxAddress),
		Notify: r.c.notify,
		Last:   spool.Result{Status: badAddress, Detail: "bad address: " + m.Err.Error(), At: r.c.now()},
	}
}

// check refuses a message without a good recipient, and warns of the bad ones beside good ones.
func (r *recipients) check() error {
	switch {
	case len(r.told) == 0 && r.c.fromHeader:
		return usage("no recipient, neither in the header nor as an argument")
	case len(r.told) == 0:
		return usage("no recipient given")
	case r.good == 0 && len(r.told) == 1:
		return data("%q: %s", r.told[0].Addr, r.told[0].Last.Detail)
	case r.good == 0:
		return data("no good recipient among %d; the first, %q: %s", len(r.told), r.told[0].Addr, r.told[0].Last.Detail)
	}
	return nil
}

func (r *recipients) warn() {
	if r.good == len(r.told) {
		return
	}
	for _, rcpt := range r.told {
		if rcpt.Settled() {
			r.c.warn("recipient %q: %s", rcpt.Addr, rcpt.Last.Detail)
		}
	}
}

// addOperands takes the arguments, each of which is a whole list.
func (r *recipients) addOperands() error {
	for i, arg := range r.c.operands {
		if r.c.tracing {
			r.source = "argument " + strconv.Itoa(r.c.at+i)
		}
		if hasControl(arg) {
			return data("control character in recipient %q", cut(arg, 80))
		}
		if err := r.add(arg, r.c.noAlias); err != nil {
			return err
		}
	}
	return nil
}

// addHeader takes the recipients of -t: where there is any Resent-To, Resent-Cc or Resent-Bcc, these alone count, as
// the message has reached the others before (RFC 5322 3.6.6).
func (r *recipients) addHeader(h header.Header) error {
	fields := []string{"To", "Cc", "Bcc"}
	if resent := []string{"Resent-To", "Resent-Cc", "Resent-Bcc"}; h.Has(resent...) {
		fields = resent
	}
	for _, f := range h {
		for _, name := range fields {
			if !f.Is(name) {
				continue
			}
			r.source = name
			if err := r.add(f.Body, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// senderOf reads the value of -f: one address in any of the forms of a list, or none for the null reverse-path.
func senderOf(value string) (string, error) {
	switch {
	case hasControl(value):
		return "", data("control character in the sender")
	case strings.HasPrefix(value, "-"):
		return "", data("sender %q begins with -", cut(value, 80))
	}
	if v := strings.TrimSpace(value); v == "" || v == "<>" {
		return "", nil
	}
	all := header.ParseList(cut(value, 2*header.MaxAddress+maxName))
	if len(all) != 1 || len(value) > 2*header.MaxAddress+maxName {
		return "", data("sender %q is not one address", cut(value, 80))
	}
	if err := all[0].Err; err != nil {
		return "", data("sender %q: %w", cut(value, 80), err)
	}
	return all[0].Addr, nil
}
