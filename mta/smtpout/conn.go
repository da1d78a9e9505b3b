package smtpout

import (
	"container/list"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"signpost/mta/route"
)

// Limits of one connection.
const (
	maxMessages = 100               // transactions on it
	maxAge      = 300 * time.Second // how old it may be when a message is begun
	// A flight up to this size is written before a reply is read. A peer must be able to take so much without being
	// heard; a longer one is written by a goroutine meanwhile (RFC 2920 3.1 warns of the deadlock).
	shortFlight = 2 << 10
	// How long to wait for the last words of a host to which nothing can be written any more, and for one to take QUIT.
	lastWords = 5 * time.Second
	quitLimit = time.Second
)

// conn is a connection to one address of a host. One Send at a time uses it.
type conn struct {
	key    poolKey
	remote string // host[address]:port
	raw    net.Conn
	rw     net.Conn // raw, or TLS over it
	in     *replyReader
	ext    extensions
	tls    string // as Result.TLS
	tlsErr error  // as Report.TLSError
	opened time.Time
	count  int  // transactions begun
	failed bool // the last one failed: RSET comes before the next MAIL
	kept   bool // it was idle before this Send, and has not answered anything since
	// Of the pool.
	timer *time.Timer
	place *list.Element // in its order by age

	// Of the Send that uses it.
	log     *dialogue
	unwatch func() bool // stops closing it when the caller's context ends; false: it is closed
	limit   time.Time   // when the step that encloses the commands must be over
	out     []byte      // commands not written yet
	writing chan error  // of the goroutine that writes a long flight; nil: none
	broken  bool        // writing failed: only last words can come
}

// command adds a line to the flight. parts must not hold a line end; addresses have been through parsePath.
func (cn *conn) command(parts ...string) {
	for _, p := range parts {
		cn.out = append(cn.out, p...)
	}
	cn.out = append(cn.out, "\r\n"...)
}

// by is the deadline of a step that may take d.
func (cn *conn) by(d time.Duration) time.Time {
	t := time.Now().Add(d)
	if !cn.limit.IsZero() && cn.limit.Before(t) {
		return cn.limit
	}
	return t
}

// write sends the flight. Only a time-out is trouble at once: where the host closed the connection, it may have said why
// before, and hear finds that.
func (cn *conn) write(d time.Duration) *trouble { return cn.writeWith(d, nil) }

// writeWith adds content to the flight, which the dialogue does not show.
func (cn *conn) writeWith(d time.Duration, content []byte) *trouble {
	if cn.in.waiting() {
		return troublef(Session, statusProtocol, "the host spoke out of turn")
	}
	cn.log.say(cn.out)
	if len(content) > 0 {
		cn.log.note("message of %d octets", len(content))
		cn.out = append(cn.out, content...)
	}
	cn.raw.SetWriteDeadline(cn.by(d))
	if len(cn.out) > shortFlight {
		cn.writing = make(chan error, 1)
		go func(b []byte) {
			_, err := cn.rw.Write(b)
			cn.writing <- err
		}(cn.out)
		cn.out = nil // the goroutine has it
		return nil
	}
	_, err := cn.rw.Write(cn.out)
	cn.out = cn.out[:0]
	return cn.written(err)
}

func (cn *conn) written(err error) *trouble {
	if err == nil {
		return nil
	}
	t := lost(err, "while sending commands")
	if !t.gone {
		return t
	}
	cn.broken = true
	return nil
}

// hear reads the reply to what.
func (cn *conn) hear(d time.Duration, what string) (reply, *trouble) {
	if cn.broken {
		d = min(d, lastWords)
	}
	cn.raw.SetReadDeadline(cn.by(d))
	r, err := cn.in.next()
	return cn.heard(r, err, what)
}

func (cn *conn) heard(r reply, err error, what string) (reply, *trouble) {
	if err != nil {
		t := lost(err, "while waiting for the reply to "+what)
		cn.log.note("%s", t.detail)
		return reply{}, t
	}
	cn.log.hear(r.text)
	if cn.kept && r.code == 421 {
		return r, refused(Session, r, "the first command on a kept connection")
	}
	cn.kept = false
	return r, nil
}

// ask sends one command and reads its reply.
func (cn *conn) ask(d time.Duration, parts ...string) (reply, *trouble) {
	cn.command(parts...)
	if t := cn.write(d); t != nil {
		return reply{}, t
	}
	return cn.hear(d, verb(parts[0]))
}

// verb is what a command is called in our own words.
func verb(command string) string {
	word, _, _ := strings.Cut(command, " ")
	return word
}

// settle waits until a long flight has been written. The host answered all of it, so it is written, or it never will be.
func (cn *conn) settle() {
	if cn.writing != nil {
		if err := <-cn.writing; err != nil {
			cn.broken = true
		}
		cn.writing = nil
	}
}

// worn reports whether no other transaction is to be begun.
func (cn *conn) worn() bool {
	return cn.broken || cn.count >= maxMessages || time.Since(cn.opened) >= maxAge
}

// drop closes the connection without a word.
func (cn *conn) drop() {
	cn.raw.Close()
	cn.settle()
}

// quit says goodbye and closes. The answer is not waited for: it changes nothing.
func (cn *conn) quit() {
	cn.raw.SetDeadline(time.Now().Add(quitLimit))
	cn.rw.Write([]byte("QUIT\r\n"))
	if cn.rw != cn.raw {
		cn.rw.(*tls.Conn).CloseWrite() // else the host takes the end for an attack
	}
	cn.raw.Close()
}

// serverName is the name for SNI and verification; empty where host is no name that may be sent.
func serverName(host string) string {
	if !isASCII(host) || len(host) > maxDomain || !isDomain(host) && !isLiteral(host) && !isIP(host) {
		return ""
	}
	return host
}

func isIP(host string) bool { return net.ParseIP(host) != nil }

// tlsName is Result.TLS.
func tlsName(s tls.ConnectionState, need route.Security) string {
	name := strings.ReplaceAll(tls.VersionName(s.Version), " ", "")
	if need == route.Verify {
		return name + " verified"
	}
	return name + " unverified"
}
