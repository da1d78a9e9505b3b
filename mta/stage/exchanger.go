package stage

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Exchanger is a mail exchanger that follows a script. Set the fields, then call Listen or Start; they must not be
// changed afterwards, but Play adds faults at any time. All methods are safe for concurrent use.
//
// Without a script it takes everything, and offers PIPELINING, 8BITMIME, ENHANCEDSTATUSCODES, CHUNKING, SMTPUTF8, DSN
// and SIZE, and STARTTLS where TLS is set.
type Exchanger struct {
	Name     string        // in its greeting; empty: "mx.test"
	Without  []string      // extensions not offered; what belongs to them is then refused
	MaxSize  int64         // octets a message may have; 0: 50 MB
	MaxRcpts int           // recipients a transaction may have, 452 for more; 0: any number
	TLS      *tls.Config   // for STARTTLS; nil: not offered
	Greylist bool          // 450 for the first RCPT of each client address, sender and recipient
	Grace    time.Duration // greylisted for so long after the first try
	Reject   []string      // recipients that do not exist: 550 5.1.1

	mu       sync.Mutex
	bell     bell
	faults   []*play
	grey     map[string]time.Time
	sessions []*Session
	done     []Transaction
	breaches []string
	live     map[net.Conn]bool
	closed   bool

	server   *smtp.Server
	listener net.Listener
	serving  sync.WaitGroup
	stop     chan struct{}
}

// Session is one connection to an exchanger.
type Session struct {
	Conn   int    // counted from 1
	Client string // address and port of the client
	Hello  string // what the client called itself last
	TLS    *tls.ConnectionState
	Lines  []string // what was said, "C: " or "S: " and the line without its end; content of messages left out
	Closed bool
}

// Path is a sender or recipient as it stood in the command.
type Path struct {
	Addr   string // between the brackets, as sent
	Params string // behind them, as sent
}

// Transaction is one message given to an exchanger, whole or broken off.
type Transaction struct {
	Conn     int // of its Session
	Hello    string
	TLS      *tls.ConnectionState // nil in clear
	Sender   Path
	Rcpts    []Path // those that were accepted
	Wire     []byte // the content as received: with its dots doubled under DATA, without the final dot
	Content  []byte // the content without doubled dots
	Bdat     bool
	Accepted bool
	Reply    string // the last answer; empty where none was given
	At       time.Time
}

// Listen starts the exchanger at a TCP address of loopback; port 0 means any that is free.
func (x *Exchanger) Listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	x.Start(l)
	return nil
}

// Start starts the exchanger on l, which Close closes.
func (x *Exchanger) Start(l net.Listener) {
	x.Name = cmp.Or(x.Name, "mx.test")
	s := smtp.NewServer(smtp.BackendFunc(x.newSession))
	s.Domain = x.Name
	s.MaxMessageBytes = cmp.Or(x.MaxSize, 50<<20)
	s.MaxRecipients = x.MaxRcpts
	s.MaxLineLength = 1 << 20 // it counts inside the content as well
	s.EnableSMTPUTF8 = !x.without("SMTPUTF8")
	s.EnableDSN = !x.without("DSN")
	s.ErrorLog = log.New(io.Discard, "", 0)
	x.server, x.listener = s, l
	x.stop, x.live, x.grey = make(chan struct{}), make(map[net.Conn]bool), make(map[string]time.Time)
	x.serving.Go(func() { s.Serve(&scripted{l, x}) })
}

// Addr is the address and port it listens at.
func (x *Exchanger) Addr() string { return x.listener.Addr().String() }

// Close ends all connections and returns when nothing of the exchanger runs any more. What it recorded stays. One that
// was never started has nothing to close.
func (x *Exchanger) Close() error {
	x.mu.Lock()
	if x.closed || x.listener == nil {
		x.mu.Unlock()
		return nil
	}
	x.closed = true
	close(x.stop)
	for c := range x.live {
		c.Close()
	}
	x.mu.Unlock()
	err := x.listener.Close()
	x.serving.Wait()                        // so that no connection is added while Shutdown waits for them
	x.server.Shutdown(context.Background()) // its error is that the listener is closed already
	return err
}

// Play adds faults behind those there are.
func (x *Exchanger) Play(faults ...Fault) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range faults {
		x.faults = append(x.faults, &play{Fault: f})
	}
}

// Forgive forgets all faults.
func (x *Exchanger) Forgive() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.faults = nil
}

// Transactions lists the messages given to it so far, refused and broken ones too.
func (x *Exchanger) Transactions() []Transaction {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.done)
}

// Accepted lists the messages it has taken.
func (x *Exchanger) Accepted() []Transaction {
	return slices.DeleteFunc(x.Transactions(), func(t Transaction) bool { return !t.Accepted })
}

// Await waits until it has taken at least n messages, and lists them.
func (x *Exchanger) Await(ctx context.Context, n int) ([]Transaction, error) {
	err := await(ctx, &x.mu, &x.bell, func() bool {
		taken := 0
		for _, t := range x.done {
			if t.Accepted {
				taken++
			}
		}
		return taken >= n
	})
	return x.Accepted(), err
}

// Sessions lists all connections so far.
func (x *Exchanger) Sessions() []Session {
	x.mu.Lock()
	defer x.mu.Unlock()
	var list []Session
	for _, s := range x.sessions {
		c := *s
		c.Lines = slices.Clone(s.Lines)
		list = append(list, c)
	}
	return list
}

// AwaitSessions waits until done reports true of the sessions so far. It is asked again after each line.
func (x *Exchanger) AwaitSessions(ctx context.Context, done func([]*Session) bool) error {
	return await(ctx, &x.mu, &x.bell, func() bool { return done(x.sessions) })
}

// Breaches lists what clients did against the standards: commands sent ahead where they must not be, lines that do not
// end in CRLF, an extension used that was not offered.
func (x *Exchanger) Breaches() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.breaches)
}

func (x *Exchanger) without(ext string) bool {
	return slices.ContainsFunc(x.Without, func(w string) bool { return strings.EqualFold(w, ext) })
}

// fault finds what is to be played here; nil: nothing.
func (x *Exchanger) fault(step Step, conn int, who ...string) *Fault {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.faults {
		if p.matches(step, conn, who) {
			return &p.Fault
		}
	}
	return nil
}

// unwelcome is the answer to a recipient that is not to be taken now; empty: it is.
func (x *Exchanger) unwelcome(client, sender, rcpt string) string {
	if slices.ContainsFunc(x.Reject, func(r string) bool { return strings.EqualFold(r, rcpt) }) {
		return "550 5.1.1 <" + rcpt + "> no such user here"
	}
	if !x.Greylist {
		return ""
	}
	host, _, _ := net.SplitHostPort(client)
	key := strings.ToLower(host + "\n" + sender + "\n" + rcpt)
	x.mu.Lock()
	defer x.mu.Unlock()
	first, known := x.grey[key]
	if !known {
		x.grey[key] = time.Now()
	}
	if !known || time.Since(first) < x.Grace {
		return "450 4.7.1 <" + rcpt + "> greylisted, try again later"
	}
	return ""
}

func (x *Exchanger) record(t Transaction) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t.At = time.Now()
	x.done = append(x.done, t)
	x.bell.ring()
}

func (x *Exchanger) breach(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.breaches = append(x.breaches, text)
}

// scripted hands go-smtp's server connections that play the script.
type scripted struct {
	net.Listener
	x *Exchanger
}

func (l *scripted) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if w := l.x.newWire(c); w != nil {
			return w, nil
		}
		c.Close()
	}
}

// session is one client as go-smtp's server sees it.
type session struct {
	w *wire
}

func (x *Exchanger) newSession(c *smtp.Conn) (smtp.Session, error) {
	w, ok := c.Conn().(*wire)
	if !ok {
		return nil, errors.New("the connection is not one of this exchanger")
	}
	return &session{w}, nil
}

func (s *session) Reset()                                   { s.w.reset() }
func (s *session) Logout() error                            { return nil }
func (s *session) Mail(_ string, _ *smtp.MailOptions) error { return s.w.mail() }
func (s *session) Rcpt(_ string, _ *smtp.RcptOptions) error { return s.w.rcpt() }
func (s *session) Data(r io.Reader) error                   { return s.w.message(r) }
