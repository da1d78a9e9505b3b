package spool

import (
	"errors"
	"fmt"
	"time"
)

// Status is an enhanced status code (RFC 3463): class, subject, detail. The zero value is no status.
type Status struct{ Class, Subject, Detail int }

// StatusExpired is given by the scheduler alone, to a recipient that could not be delivered before `expire`.
var StatusExpired = Status{4, 4, 7}

func (s Status) String() string { return fmt.Sprintf("%d.%d.%d", s.Class, s.Subject, s.Detail) }

// Outcome is what a result means for a recipient. Its String is the status word of the log.
type Outcome uint8

// The outcomes.
const (
	Pending Outcome = iota
	Delivered
	Deferred
	Failed
	Expired
)

func (o Outcome) String() string {
	return [...]string{"pending", "sent", "deferred", "bounced", "expired"}[o]
}

// Final reports whether nothing more is to be tried.
func (o Outcome) Final() bool { return o == Delivered || o.Bad() }

// Bad reports whether the sender is to be told that the recipient did not get the message.
func (o Outcome) Bad() bool { return o == Failed || o == Expired }

// Result is what one attempt did for one recipient: logged, stored and quoted in the bounce from this one value.
type Result struct {
	Status Status    // its class decides Outcome; nothing else does, but for StatusExpired
	Reply  string    // the remote's reply, verbatim, lines joined by \n; empty when the fault was found here
	Remote string    // host[address]:port that replied
	Detail string    // our own words
	TLS    string    // protocol version and verification of the session, empty in clear
	At     time.Time // when the attempt ended
}

// Outcome says what r means.
func (r Result) Outcome() Outcome {
	switch {
	case r.Status == StatusExpired:
		return Expired
	case r.Status.Class == 2:
		return Delivered
	case r.Status.Class == 4:
		return Deferred
	case r.Status.Class == 5:
		return Failed
	}
	return Pending
}

// Error is a failure that knows its status. It is made where the knowledge is.
type Error struct {
	Status Status
	Reply  string // as Result.Reply
	Remote string // as Result.Remote
	Err    error  // our own words
}

func (e *Error) Error() string {
	text := e.Status.String()
	if e.Err != nil {
		text = e.Err.Error() + " (" + text + ")"
	}
	if e.Reply != "" {
		text += fmt.Sprintf(": %s said: %q", e.Remote, e.Reply)
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether trying again may help.
func (e *Error) Temporary() bool { return e.Status.Class == 4 }

// Errorf makes an *Error from a status and our own words.
func Errorf(s Status, format string, args ...any) *Error {
	return &Error{Status: s, Err: fmt.Errorf(format, args...)}
}

// ResultOf turns an error into a Result. An error without a status is 4.3.0: nothing bounces for a reason that is
// not understood.
func ResultOf(err error, at time.Time) Result {
	var e *Error
	if errors.As(err, &e) {
		r := Result{Status: e.Status, Reply: e.Reply, Remote: e.Remote, At: at}
		if e.Err != nil {
			r.Detail = e.Err.Error()
		}
		return r
	}
	return Result{Status: Status{4, 3, 0}, Detail: err.Error(), At: at}
}
