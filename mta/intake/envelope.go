package intake

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"signpost/compat/header"
	"signpost/spool"
)

// unmapped is the uid that the kernel shows for one that has no place in our user namespace. It names nobody.
const unmapped = 65534

const (
	maxOrigin = 300  // octets of one text about the origin of a message
	maxDetail = 1000 // octets of an address, or of what is wrong with it, as the caller says
	maxEnvID  = 100  // RFC 3461 4.4
)

// originator is the account that hands a message in.
type originator struct {
	login    string // fit for a header and as a local part; uid1234 where none is known
	known    bool   // login is an account's
	fullName string
}

// originator finds the account of uid. The name that the caller claims counts where it has that very uid, as several
// names may share one (sendmail-cli.md 7).
func (i *Intake) originator(uid int, claimed string) originator {
	unknown := originator{login: fmt.Sprintf("uid%d", uid)}
	if uid == unmapped || uid < 0 {
		return unknown
	}
	if i.Account != nil && claimed != "" && len(claimed) <= header.MaxAddress {
		if u, ok := i.Account(claimed); ok && u.UID == uid && plainLogin(u.Login) {
			return originator{u.Login, true, u.FullName}
		}
	}
	if i.User != nil {
		if u, ok := i.User(uid); ok && plainLogin(u.Login) {
			return originator{u.Login, true, u.FullName}
		}
	}
	return unknown
}

// plainLogin reports whether a login name can stand in a header and before an @ as it is.
func plainLogin(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// envelope makes the envelope from what who told. Of a caller who has been told that the message is accepted (see
// promised) nothing is refused: the recipients have failed, and the bounce goes to the owner where the sender is bad.
func (i *Intake) envelope(who Caller, told spool.Told, from originator) (spool.Envelope, error) {
	sender, badSender := i.sender(told.Sender, from)
	rcpts, badRcpts := i.recipients(who, told.Rcpts)
	if err := cmp.Or(badSender, badRcpts); err != nil {
		if !who.promised() {
			return spool.Envelope{}, err
		}
		if badSender != nil {
			sender = i.own(from)
		}
		if len(rcpts) == 0 { // a message has one, and a bounce speaks of one
			rcpts = []spool.Recipient{{Addr: i.own(from)}}
		}
		failAll(rcpts, cmp.Or(badRcpts, badSender), who.At)
	}
	env := spool.Envelope{
		Sender:  sender,
		Rcpts:   rcpts,
		Arrived: who.At,
		Queued:  told.Queued,
		Origin:  i.origin(who, told, from),
	}
	if told.Ret == "FULL" || told.Ret == "HDRS" {
		env.Ret = told.Ret
	}
	if len(told.EnvID) <= maxEnvID && printable(told.EnvID) {
		env.EnvID = told.EnvID
	}
	if who.Via == ViaDrop {
		env.Next = i.now().Add(settle)
	}
	return env, nil
}

// promised reports whether the caller has been told that the message is accepted: then it can only be bounced.
func (c Caller) promised() bool { return c.Via == ViaDrop }

// failAll makes err the result of the recipients that have not failed before.
func failAll(rcpts []spool.Recipient, err error, at time.Time) {
	for n := range rcpts {
		if !rcpts[n].Settled() {
			rcpts[n].Last = spool.ResultOf(refusal(err), at)
		}
	}
}

func (i *Intake) own(from originator) string { return from.login + "@" + i.Origin }

// sender gives the reverse-path: the caller's own address where none was told.
func (i *Intake) sender(told *string, from originator) (string, error) {
	if told == nil {
		return i.own(from), nil
	}
	if *told == "" {
		return "", nil
	}
	m, err := i.address(*told)
	if err != nil {
		return "", spool.Errorf(spool.Status{Class: 5, Subject: 1, Detail: 7}, "sender %.100q: %w", *told, err)
	}
	return m.Addr, nil
}

// address reads one address and qualifies it.
func (i *Intake) address(s string) (header.Mailbox, error) {
	if len(s) > header.MaxAddress+2 { // and brackets
		return header.Mailbox{}, header.ErrTooLong
	}
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return header.Mailbox{}, errControl
	}
	list := header.ParseList(s)
	if len(list) != 1 {
		return header.Mailbox{}, errOne
	}
	m := list[0]
	if m.Err != nil {
		return header.Mailbox{}, m.Err
	}
	if m.Addr = header.Qualify(m.Addr, i.Origin); len(m.Addr) > header.MaxAddress {
		return header.Mailbox{}, header.ErrTooLong
	}
	return m, nil
}

var (
	errControl = errors.New("control character")
	errOne     = errors.New("not one address")
)

// recipients qualifies the recipients and leaves out those given before. Bad ones stay, as failed: the sender is told
// in a bounce. None that is good is an error; the bad ones are given all the same.
func (i *Intake) recipients(who Caller, told []spool.Recipient) ([]spool.Recipient, error) {
	switch {
	case len(told) == 0:
		return nil, spool.Errorf(spool.Status{Class: 5, Subject: 5, Detail: 4}, "no recipients")
	case len(told) > spool.MaxToldRcpts:
		return nil, spool.Errorf(spool.Status{Class: 5, Subject: 5, Detail: 3}, "%d recipients: more than %d",
			len(told), spool.MaxToldRcpts)
	}
	list := make([]spool.Recipient, 0, len(told))
	seen := make(map[string]bool, len(told))
	good := false
	for _, t := range told {
		r := i.recipient(who, t)
		if key := rcptKey(r); !seen[key] {
			seen[key] = true
			list = append(list, r)
			good = good || !r.Settled()
		}
	}
	if !good {
		first := list[0]
		return list, spool.Errorf(first.Last.Status, "recipient %.100q: %s", first.Addr, first.Last.Detail)
	}
	return list, nil
}

// recipient takes of t only what a caller may say: nobody is a mailbox, file or program by a caller's word.
func (i *Intake) recipient(who Caller, t spool.Recipient) spool.Recipient {
	r := spool.Recipient{Addr: t.Addr, NoAlias: t.NoAlias, Notify: notify(t.Notify)}
	m, err := i.address(t.Addr)
	if t.Last.Status.Class == 5 {
		err = errors.New(oneLine(t.Last.Detail, maxDetail))
	}
	if err != nil {
		bad := spool.Errorf(spool.Status{Class: 5, Subject: 1, Detail: 3}, "%w", err)
		r.Addr, r.Last = oneLine(t.Addr, maxDetail), spool.ResultOf(bad, who.At)
		return r
	}
	r.Addr, r.NoAlias = m.Addr, r.NoAlias || m.NoAlias
	if len(t.Original) <= header.MaxAddress { // a claim, for notices (RFC 3461 4.2)
		r.Original = oneLine(t.Original, header.MaxAddress)
	}
	return r
}

// notify takes NEVER only alone (RFC 3461 4.1).
func notify(n spool.Notify) spool.Notify {
	if n&spool.NotifyNever != 0 {
		return spool.NotifyNever
	}
	return n & (spool.NotifySuccess | spool.NotifyFailure | spool.NotifyDelay)
}

// rcptKey is the same for recipients that are one: equal local parts, domains equal but for case. \bob and bob are two.
func rcptKey(r spool.Recipient) string {
	key := r.Addr
	if r.Last.Status.Class == 0 {
		key = header.Key(r.Addr)
	}
	if r.NoAlias {
		return `\` + key
	}
	return key
}

// fromField is the From for a message without one: the sender's address, else the caller's. The caller's own name is
// put only to the caller's own address.
func (h *handover) fromField() header.Field {
	own := h.intake.own(h.from)
	addr := h.env.Sender
	if addr == "" {
		addr = own
	}
	name := h.told.Name
	switch {
	case h.told.FullName != nil:
		name = *h.told.FullName
	case header.Phrase(name) == "" && header.Key(addr) == header.Key(own):
		name = h.from.fullName
	}
	return header.FromField(name, addr)
}

// oneLine makes one printable line of at most n octets of s.
func oneLine(s string, n int) string {
	s = strings.ToValidUTF8(s[:min(len(s), n)], "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// printable reports whether s is ASCII that can be seen (RFC 3461 4.4).
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
