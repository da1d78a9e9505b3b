package compat

import (
	"errors"
	"syscall"

	"signpost/compat/header"
	"signpost/spool"
)

// Exit statuses, as sysexits(3) has them.
const (
	exOK          = 0
	exUsage       = 64
	exDataErr     = 65
	exNoInput     = 66
	exNoUser      = 67
	exUnavailable = 69
	exSoftware    = 70
	exOSErr       = 71
	exCantCreat   = 73
	exIOErr       = 74
	exTempFail    = 75
	exProtocol    = 76
	exNoPerm      = 77
	exConfig      = 78
)

// fault is an error that knows its exit status. It is made where the knowledge is.
type fault struct {
	status int
	err    error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// errSilent is a status without a text.
var errSilent = errors.New("")

// finish reports err and gives the exit status.
func (c *command) finish(err error) int {
	if err == nil {
		return exOK
	}
	if text := err.Error(); text != "" {
		c.say(text)
	}
	return statusOf(err)
}

// statusOf is the table of causes and exit statuses. The first row that fits counts.
func statusOf(err error) int {
	var known *fault
	if errors.As(err, &known) {
		return known.status
	}
	for _, row := range [...]struct {
		status int
		causes []error
	}{
		{exDataErr, []error{spool.ErrTooBig, header.ErrBlock, header.ErrField, header.ErrFields, header.ErrTooLong}},
		{exNoPerm, []error{spool.ErrForbidden}},
		{exTempFail, []error{spool.ErrNoSpace}},
	} {
		for _, cause := range row.causes {
			if errors.Is(err, cause) {
				return row.status
			}
		}
	}
	var told *spool.Error
	switch {
	case errors.As(err, &told):
		return refusal(told.Status)
	case errors.Is(err, spool.ErrNoDaemon):
		return exUnavailable
	case passing(err):
		return exTempFail
	}
	return exOSErr
}

// refusal is the exit status for what the spool answered (RFC 3463).
func refusal(s spool.Status) int {
	switch {
	case s.Class == 4:
		return exTempFail
	case s.Class != 5:
		return exSoftware
	case s.Subject == 7:
		return exNoPerm
	case s.Subject == 3:
		return exSoftware
	}
	return exDataErr
}

// passing reports whether err is of the system and may be over at the next try.
func passing(err error) bool {
	return scarce(err) || anyOf(err, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EFBIG, syscall.EACCES, syscall.EPERM)
}

// scarce reports whether err is that the system, or a limit that the caller set for itself, gives no more of something
// for the time being.
func scarce(err error) bool {
	return anyOf(err, syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM, syscall.ENOBUFS, syscall.EINTR)
}

func anyOf(err error, list ...syscall.Errno) bool {
	for _, errno := range list {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// noDaemon reports whether err is that nobody answers.
func noDaemon(err error) bool { return errors.Is(err, spool.ErrNoDaemon) }
