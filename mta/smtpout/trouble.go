package smtpout

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"signpost/spool"
)

// Statuses for what is found here (RFC 3463 3).
var (
	statusNoAnswer   = spool.Status{Class: 4, Subject: 4, Detail: 1} // no answer from host
	statusLost       = spool.Status{Class: 4, Subject: 4, Detail: 2} // bad connection
	statusNoRoute    = spool.Status{Class: 4, Subject: 4, Detail: 4} // unable to route
	statusOurs       = spool.Status{Class: 4, Subject: 3, Detail: 0} // mail system
	statusStopped    = spool.Status{Class: 4, Subject: 3, Detail: 2} // system not accepting network messages
	statusProtocol   = spool.Status{Class: 4, Subject: 5, Detail: 0} // protocol
	statusNoTLS      = spool.Status{Class: 4, Subject: 7, Detail: 4} // security features not supported
	statusTLS        = spool.Status{Class: 4, Subject: 7, Detail: 5} // cryptographic failure
	statusTooBig     = spool.Status{Class: 5, Subject: 3, Detail: 4} // message too big for system
	statusBadRcpt    = spool.Status{Class: 5, Subject: 1, Detail: 3} // bad destination mailbox address syntax
	statusBadSender  = spool.Status{Class: 5, Subject: 1, Detail: 7} // bad sender's mailbox address syntax
	statusNoSMTPUTF8 = spool.Status{Class: 5, Subject: 6, Detail: 7} // RFC 6531 4.2
)

// trouble is a failure that knows what it speaks of.
type trouble struct {
	blame  Blame
	status spool.Status
	reply  string // verbatim; empty where it was found here
	detail string // our own words
	remote string // who it was, where no connection is in use
	clear  bool   // TLS failed in a way that may not happen in clear
	again  bool   // a new connection may do better at once
	gone   bool   // the connection broke (no time-out, no nonsense), or 421 said that it will
}

func troublef(b Blame, s spool.Status, format string, args ...any) *trouble {
	return &trouble{blame: b, status: s, detail: fmt.Sprintf(format, args...)}
}

// refused is the trouble of a reply that is neither what was wanted nor nonsense. 421 ends the session at any step. What
// is blamed on Session or Host says nothing of the message and is temporary.
func refused(b Blame, r reply, to string) *trouble {
	t := &trouble{blame: b, status: ours(r.status), reply: string(r.text), detail: "the host refused " + to}
	if r.code == 421 {
		t.blame, t.gone = max(t.blame, Session), true
	}
	if class := r.code / 100; class != 4 && class != 5 {
		t.blame, t.status = max(t.blame, Session), statusProtocol
		t.detail = fmt.Sprintf("the host answered %s with a reply that does not belong there", to)
	}
	if t.blame >= Session {
		t.status.Class = 4
		t.status = ours(t.status)
	}
	return t
}

// lost is the trouble of an error of the connection while something was being done.
func lost(err error, doing string) *trouble {
	switch {
	case errors.Is(err, errNotSMTP):
		return troublef(Session, statusProtocol, "%s: %v", doing, err)
	case isTimeout(err):
		return troublef(Session, statusLost, "timed out %s", doing)
	}
	t := troublef(Session, statusLost, "lost the connection %s: %s", doing, plain(err))
	t.gone = true
	return t
}

func isTimeout(err error) bool {
	var wait net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &wait) && wait.Timeout()
}

// plain is what the system said, without the addresses that stand in Result.Remote anyway.
func plain(err error) string {
	var no syscall.Errno
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the host closed it"
	case errors.As(err, &no):
		return no.Error()
	}
	return err.Error()
}
