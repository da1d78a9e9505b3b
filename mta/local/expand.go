package local

import (
	"context"
	"errors"
	"os"

	"signpost/compat/aliases"
	"signpost/spool"
)

// The statuses of this package (RFC 3463). All that are the host's own fault are temporary.
var (
	unknownUser   = spool.Status{Class: 5, Subject: 1, Detail: 1}
	notAllowed    = spool.Status{Class: 5, Subject: 7, Detail: 1}
	mailLoop      = spool.Status{Class: 5, Subject: 4, Detail: 6}
	aliasLoop     = spool.Status{Class: 4, Subject: 4, Detail: 6}
	listTrouble   = spool.Status{Class: 4, Subject: 2, Detail: 4}
	mailboxAway   = spool.Status{Class: 4, Subject: 2, Detail: 0}
	mailboxFull   = spool.Status{Class: 4, Subject: 2, Detail: 2}
	systemTrouble = spool.Status{Class: 4, Subject: 3, Detail: 0}
	systemFull    = spool.Status{Class: 4, Subject: 3, Detail: 1}
	badConfig     = spool.Status{Class: 4, Subject: 3, Detail: 5}
	// NotNamed is that of a file or program which its aliases file or ~/.forward does not name any more: what the name
	// stands for must be found anew.
	NotNamed  = spool.Status{Class: 4, Subject: 2, Detail: 4}
	delivered = spool.Status{Class: 2, Subject: 0, Detail: 0}
)

// Expand gives what an address of this host stands for: mailboxes (Addr is the account's name), files, programs
// (Source and RunAs set), and addresses elsewhere (Forwarder set where a ~/.forward led there). A recipient that is not an address, is not local or is settled is
// given back as it is. Original is the address before aliases. Recipient.Sender is owner-NAME@Origin for the members
// of a list that has an owner- alias; it does not hold where the envelope's sender is the null reverse-path.
//
// A user that does not exist comes back as an address with Last 5.1.1; a program or file that is not allowed with
// 5.7.1. An error is a *spool.Error and temporary: 4.3.5 for an aliases file that cannot be read or believed, 4.2.4
// for a list that cannot be had whole, 4.3.0 for accounts that cannot be looked up, 4.4.6 for aliases that lead
// nowhere but to each other, 4.2.4 or 4.3.0 for a ~/.forward that cannot be looked at. Then nothing of the recipient may be delivered yet.
func (m *Mailboxes) Expand(ctx context.Context, r spool.Recipient) ([]spool.Recipient, error) {
	if r.Kind != spool.Address || r.Settled() {
		return []spool.Recipient{r}, nil
	}
	name, ok := m.localPart(r.Addr)
	if !ok {
		return []spool.Recipient{r}, nil
	}
	table, err := m.table()
	if err != nil {
		return nil, err
	}
	targets := []aliases.Target{{Kind: aliases.User, Text: name, NoAlias: true}}
	if !r.NoAlias {
		if targets, err = m.follow(ctx, table, name); err != nil {
			return nil, err
		}
	}
	e := expansion{Mailboxes: m, from: r, table: table, seen: map[string]bool{}}
	for _, t := range targets {
		if err := e.add(ctx, t); err != nil {
			return nil, err
		}
	}
	if len(e.out) == 0 {
		return nil, spool.Errorf(aliasLoop, "the aliases of %s lead only to each other: see %s", r.Addr, m.Aliases)
	}
	return e.out, nil
}

// follow expands a name through the aliases file and the names that always lead somewhere.
func (m *Mailboxes) follow(ctx context.Context, table *aliases.Table, name string) ([]aliases.Target, error) {
	postmaster := m.Postmaster
	if postmaster == "" {
		postmaster = "root"
	}
	x := aliases.Expander{
		Table:     table,
		Local:     m.localPart,
		Extension: m.Extension,
		First:     map[string]string{"root": m.Root},
		Last:      map[string]string{"postmaster": postmaster, "mailer-daemon": "postmaster"}, // RFC 5321 4.5.1
		Forward:   m.forward,
	}
	targets, warnings, err := x.Expand(ctx, name)
	for _, w := range warnings {
		if m.Warn != nil {
			m.Warn(errors.New(w.String()))
		}
	}
	var known *spool.Error
	if err != nil && !errors.As(err, &known) {
		err = &spool.Error{Status: listTrouble, Err: err}
	}
	return targets, err
}

// expansion turns the targets of one recipient into recipients.
type expansion struct {
	*Mailboxes
	from  spool.Recipient
	table *aliases.Table
	out   []spool.Recipient
	seen  map[string]bool // mailboxes in out: two names may be one account
}

func (e *expansion) add(ctx context.Context, t aliases.Target) error {
	switch t.Kind {
	case aliases.User:
		return e.user(ctx, t)
	case aliases.Address:
		e.emit(spool.Recipient{Kind: spool.Address, Addr: t.Text, NoAlias: t.NoAlias}, t)
		return nil
	}
	return e.run(t)
}

// emit gives out a recipient with what it has from the one that was expanded.
func (e *expansion) emit(r spool.Recipient, t aliases.Target) {
	r.Original = e.from.Original
	if r.Original == "" && r.Addr != e.from.Addr {
		r.Original = e.from.Addr
	}
	r.Notify = e.from.Notify
	r.Sender = e.from.Sender
	if t.Owner != "" {
		owner := t.Owner + "@" + e.Origin
		r.Sender = &owner
	}
	if r.Kind == spool.Address {
		r.Forwarder = t.Forwarder
	}
	e.out = append(e.out, r)
}

// user finds the mailbox of a name that no alias has.
func (e *expansion) user(ctx context.Context, t aliases.Target) error {
	u, err := e.findUser(ctx, t.Text)
	switch {
	case errors.Is(err, ErrNoUser):
		return e.unknown(t)
	case err != nil:
		return &spool.Error{Status: systemTrouble, Err: err}
	}
	if u.NoLogin && !t.NoAlias && !t.Loop && !e.hasMailbox(u) {
		return e.instead(ctx, t)
	}
	if !e.seen[u.Name] {
		e.seen[u.Name] = true
		e.emit(spool.Recipient{Kind: spool.Mailbox, Addr: u.Name}, t)
	}
	return nil
}

// instead sends the mail of a system account that nobody reads as (www-data) to root.
func (e *expansion) instead(ctx context.Context, t aliases.Target) error {
	targets, err := e.follow(ctx, e.table, "root")
	if err != nil {
		return err
	}
	for _, root := range targets {
		if root.Owner == "" {
			root.Owner = t.Owner
		}
		if root.Kind == aliases.User {
			root.NoAlias = true // no turning round: what is left here is a mailbox or nothing
		}
		if err := e.add(ctx, root); err != nil {
			return err
		}
	}
	return nil
}

// hasMailbox reports whether a mailbox of u is there, or might be.
func (e *expansion) hasMailbox(u User) bool {
	path, err := e.mailboxPath(u)
	if err != nil {
		return false
	}
	_, err = os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// unknown answers for a name without a mailbox. Mail to a name whose line in the aliases file is bad waits for
// whoever can mend it; a member of a loop is passed over, as the others get the message.
func (e *expansion) unknown(t aliases.Target) error {
	if t.Loop {
		return nil
	}
	if w, ok := e.table.Broken(t.Text); ok {
		return spool.Errorf(badConfig, "%s", w)
	}
	addr := e.from.Addr
	if name, _ := e.localPart(addr); name != t.Text {
		addr = t.Text + "@" + e.Hostname
	}
	last := spool.ResultOf(spool.Errorf(unknownUser, "no user %s here", t.Text), e.now())
	e.emit(spool.Recipient{Kind: spool.Address, Addr: addr, NoAlias: t.NoAlias, Last: last}, t)
	return nil
}

// run takes in a file or program. They are honoured where a line of the aliases file or of a ~/.forward itself names
// them: whoever may subscribe to an included list must not be able to have commands run.
func (e *expansion) run(t aliases.Target) error {
	r := spool.Recipient{Kind: spool.File, Addr: t.Text, RunAs: e.RunAs, Source: t.Source}
	if t.Kind == aliases.Program {
		r.Kind = spool.Program
	}
	switch {
	case t.RunAs != "": // forward has seen to the rest
		r.RunAs = t.RunAs
	case !e.Programs:
		r.Last = e.refused("[local] programs does not allow the programs and files of %s", t.Source)
	case t.Source != e.table.Path:
		r.Last = e.refused("%s: an included file must not name programs and files", t.Source)
	default:
		if err := e.table.Safe(); err != nil {
			return &spool.Error{Status: badConfig, Err: err}
		}
	}
	e.emit(r, t)
	return nil
}

func (e *expansion) refused(format string, args ...any) spool.Result {
	return spool.ResultOf(spool.Errorf(notAllowed, format, args...), e.now())
}
