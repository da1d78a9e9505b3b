// Package spool keeps accepted messages and each recipient's state until all are settled.
//
// A message is accepted once Writer.Commit, or Handover.Commit, has returned nil: from then on it survives any
// crash until every recipient is delivered or bounced. One message is one file that only grows: the content once,
// then the outcomes appended. The order of writes and syncs is that of Dir's documentation.
//
// The daemon works through Store, of which Dir is the backend of plain files. The sendmail command hands mail in
// through Submit: to the daemon over submit.sock, or, where no daemon answers, into the drop/ folder.
//
// The package knows nothing of SMTP, DNS or configuration; it never reads the header of a message. It links
// neither net nor crypto/tls, because the sendmail command starts thousands of times an hour.
package spool

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrExists    = errors.New("a message with this id is already in the spool")
	ErrNotFound  = errors.New("no such message in the spool")
	ErrClaimed   = errors.New("the message is being worked on")
	ErrCorrupt   = errors.New("the message file is damaged")
	ErrNoSpace   = errors.New("not enough free space in the spool")
	ErrTooBig    = errors.New("the message is larger than the limit")
	ErrLocked    = errors.New("another process works on this spool")
	ErrNoDaemon  = errors.New("no daemon answers")
	ErrForbidden = errors.New("not allowed for this user")
)

// Kind says what a recipient is; its first character never does.
type Kind uint8

// The kinds of a recipient.
const (
	Address Kind = iota // a forward-path, local or remote
	Mailbox             // a user of this host
	File                // a file to append to
	Program             // a command to run
)

// Envelope is everything about a message that is not its content.
type Envelope struct {
	Sender  string      // reverse-path without brackets; empty is the null reverse-path (RFC 5321 4.5.5)
	Rcpts   []Recipient // in the order given; an index names a recipient until Expand replaces the list
	Origin  Origin      // who handed the message in
	Arrived time.Time   // when it was accepted
	Ret     string      // RFC 3461 4.3: "FULL", "HDRS", or empty
	EnvID   string      // RFC 3461 4.4, decoded; empty when not given
	Parent  ID          // of a bounce: the message it speaks of
	Held    string      // why it is held; empty when it is not
	Queued  bool        // no immediate attempt: it waits for a queue run (sendmail -odq)
	Warned  bool        // a delay notice has been sent
	Started bool        // Expand has been recorded
	Next    time.Time   // when it is to be tried next; zero: now
	Tries   int         // times that a Record has set Next
	// Rewritten is what was changed of the senders' addresses when the message was accepted, MaxRewritten at most.
	Rewritten []Rewriting
}

// MaxRewritten is how many changes of addresses are kept of a message. A From field could hold thousands.
const MaxRewritten = 10

// Rewriting is one change of a sender's address.
type Rewriting struct {
	What string `json:"what"` // "envelope", or the name of the header field: "From"
	Old  string `json:"old"`
	New  string `json:"new"`
	Rule string `json:"rule"` // pattern in [rewrite].senders; "align" for that key
}

// Origin is who handed a message in. What the kernel or an authentication proved stands apart from what only looks so:
// rights, limits and names in the header come from the proven part alone.
type Origin struct {
	Via    string `json:"via"`              // "socket", "drop", "smtp", "bounce", "double-bounce", "delay", "notice"
	UID    int    `json:"uid"`              // proven by the kernel where Via is "socket" or "drop"; else -1
	Login  string `json:"login,omitempty"`  // name of UID by this host's own passwd; empty when it knows none
	Client string `json:"client,omitempty"` // network address of an SMTP client
	Auth   string `json:"auth,omitempty"`   // authenticated user of an SMTP client
	PID    int    `json:"pid,omitempty"`    // of sendmail, as the kernel told when it connected; a claim for "drop"
	// Seen is what the daemon read in /proc of the caller, who may have named itself as it likes. No proof.
	Seen Process `json:"seen,omitzero"`
	// Claims is what the caller said of itself, but for what Seen says as well, and what the header says of it. No proof.
	Claims Process `json:"claims,omitzero"`
}

// Process is what is known of a process that handed a message in. Every text is one line of bounded length; empty
// where it is not known.
type Process struct {
	Name      string `json:"name,omitempty"`      // of the program that called sendmail
	Parent    string `json:"parent,omitempty"`    // of what started it, where that is only a shell or the like
	PID       int    `json:"pid,omitempty"`       // of the program that called sendmail
	Command   string `json:"command,omitempty"`   // its command line, without what looks like a secret
	Dir       string `json:"dir,omitempty"`       // working directory of sendmail
	Unit      string `json:"unit,omitempty"`      // of systemd: "php-fpm.service"
	Container string `json:"container,omitempty"` // "docker 0123456789ab"
	Login     string `json:"login,omitempty"`     // who logged in, where that is not the user of UID
	RealUser  string `json:"real_user,omitempty"` // user of the real uid, where that is not the user of UID
	Script    string `json:"script,omitempty"`    // "33:contact.php", by PHP's X-PHP-Originating-Script
}

// Program names the program that called sendmail, for a line of a log: "php-fpm", or "sh of cron".
func (p Process) Program() string {
	if p.Parent == "" {
		return p.Name
	}
	return p.Name + " of " + p.Parent
}

// Caller is Seen, completed by Claims.
func (o Origin) Caller() Process {
	p := o.Seen
	if p.Name == "" {
		p.Name, p.Parent = o.Claims.Name, o.Claims.Parent
	}
	p.PID = cmp.Or(p.PID, o.Claims.PID)
	p.Command = cmp.Or(p.Command, o.Claims.Command)
	p.Dir = cmp.Or(p.Dir, o.Claims.Dir)
	if p.Unit == "" && p.Container == "" {
		p.Unit, p.Container = o.Claims.Unit, o.Claims.Container
	}
	p.Login = cmp.Or(p.Login, o.Claims.Login)
	p.RealUser = cmp.Or(p.RealUser, o.Claims.RealUser)
	p.Script = cmp.Or(p.Script, o.Claims.Script)
	return p
}

// Notify is the NOTIFY parameter of one recipient (RFC 3461 4.1), a set of bits.
type Notify uint8

// The bits of Notify. None set means that the sender did not say: failures and delays are reported.
const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever // alone
)

// Recipient is one destination of a message and what has become of it.
type Recipient struct {
	Kind     Kind
	Addr     string  // forward-path without brackets, user name, path or command, as Kind says
	RunAs    string  // for File and Program: the account it is done as
	Sender   *string // reverse-path of its own (owner- lists); nil: the envelope's
	Original string  // address before aliases (ORCPT, RFC 3461 4.2); empty when the same
	Source   string  // for File and Program: the file whose line named it, which the helper reads again
	NoAlias  bool    // aliases are not applied (\name, sendmail -n)
	// Forwarder is the account here whose ~/.forward led to the address: its copy says so, and one that comes back with it
	// goes no further.
	Forwarder string
	Notify    Notify
	Last      Result // of the latest attempt; may be preset: a bad address of the caller's arrives with 5.1.3
	Bounced   bool   // its failure has been reported, or need not be
}

// Settled reports whether nothing more is to be tried for r.
func (r Recipient) Settled() bool { return r.Last.Outcome().Final() }

// Summary is what the scheduler keeps of a waiting message. Listing makes it without opening the content.
type Summary struct {
	ID       ID
	Next     time.Time // zero: now
	Arrived  time.Time
	Size     int64     // content, octets
	Sender   string    // reverse-path of Rcpt
	UID      int       // as Origin.UID of the envelope
	Rcpt     Recipient // Kind, Addr and NoAlias of the first recipient that is not settled
	Tries    int       // as Envelope.Tries
	Parent   ID
	Held     bool
	Queued   bool // waits for a queue run
	Bouncing bool // a recipient failed and has not been reported: a step that must be finished first
}

// Store keeps messages. All methods are safe for concurrent use. spooltest checks the contract.
type Store interface {
	Creator
	Lister
	// Claim gives the exclusive right to change one message: ErrClaimed, ErrNotFound, or ErrCorrupt (the file
	// has then been moved out of the way).
	Claim(ctx context.Context, id ID) (Claim, error)
	// Watch sends a summary of each message committed from now on, and never blocks a Commit. The channel is
	// closed when ctx ends. Only one watcher is served.
	Watch(ctx context.Context) (<-chan Summary, error)
}

// Creator makes messages.
type Creator interface {
	// Create starts a message. A zero id is made here. Nothing is visible before Commit.
	Create(ctx context.Context, id ID) (Writer, error)
}

// Lister lists messages.
type Lister interface {
	// List yields all messages by arrival. An error speaks of one message, or of the whole list; listing goes on
	// as far as it can.
	List(ctx context.Context) iter.Seq2[Summary, error]
}

// Writer is a message being accepted. Exactly one of Commit and Abort ends it; Abort after Commit does nothing.
type Writer interface {
	io.Writer
	ID() ID
	// Commit makes the message durable and visible. An error means that nothing was accepted: ErrExists,
	// ErrNoSpace, or what the system said.
	Commit(Envelope) error
	Abort() error
}

// RcptResult is the result of an attempt for the recipient at index Rcpt of the envelope.
type RcptResult struct {
	Rcpt int
	Result
}

// Claim is the exclusive right to change one message. Its methods are safe for concurrent use; each change is one
// appended record.
type Claim interface {
	ID() ID
	Size() int64        // of the content, octets
	Envelope() Envelope // a copy, with each recipient's last result
	// Open gives the content as stored: CRLF line ends. Each call gives a reader of its own.
	Open() (io.ReadSeekCloser, error)
	// Record appends the results of one attempt and when to try next. It is durable when it returns nil and a
	// result is final; a result that only defers may be lost in a crash. A zero next leaves the time and the
	// count of tries as they are: further results of the same try follow.
	Record(results []RcptResult, next time.Time) error
	// Expand replaces the recipients, durably. Results so far belong to the new recipients as given. A recipient
	// that is settled or bounced must keep its index, by which notices name it.
	Expand(rcpts []Recipient) error
	// Bounced notes, durably, that the failures of these recipients have been reported.
	Bounced(rcpts []int) error
	// Warned notes, durably, that a delay notice has been sent.
	Warned() error
	// Hold keeps the message from being tried, with the reason; an empty reason lets it go. Durable.
	Hold(reason string) error
	// Remove ends the message. The removal reaches the disk within 50 ms or at the Store's Close.
	Remove() error
	// Release gives the right back. It does nothing after Remove.
	Release() error
}

// Told is what a caller of sendmail asked for, before the configuration completes it: addresses may lack a domain.
type Told struct {
	Sender *string // -f, without brackets; nil when not given; empty is the null reverse-path
	// Rcpts holds Addr (unqualified as it may be), NoAlias, Notify and, for a bad member of a list, Last.
	Rcpts    []Recipient
	FullName *string // -F; nil when not given
	Name     string  // NAME of the environment, a claim
	Login    string  // LOGNAME of the environment, a claim
	Ret      string
	EnvID    string
	Queued   bool    // -odq, -odd
	Label    string  // -L
	Body     string  // -B: "7BIT", "8BITMIME" or empty
	NULs     int     // octets of value 0 that were left out
	PID      int     // of sendmail
	Process  Process // what called it, by its own word
}

// Handover is a message on its way from a caller into the spool. Its content has CRLF line ends, and an empty line
// behind the header even where there is no header.
type Handover interface {
	io.Writer
	// ID is the queue id; empty where it is not known before the daemon takes the message from drop/.
	ID() ID
	// Commit makes the message durable. *Error says what the caller is to be told.
	Commit() error
	Abort() error
}

// Entry is one message as mailq shows it. Where the caller may not see it, Hidden is set and every text is empty.
type Entry struct {
	ID       ID
	Size     int64
	Envelope Envelope
	Active   bool // being tried now
	Hidden   bool
}
