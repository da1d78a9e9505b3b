package stage

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
)

// maxCommand is how long a command line may be, in octets. A stage serves our own side only; the limit keeps a faulty
// client from filling the memory.
const maxCommand = 64 << 10

// wire stands between the network and go-smtp's server, which sees it as a connection. It gives the server one command
// line at a time, so that all replies before it have been written, plays the faults, does STARTTLS itself, takes
// extensions out of the reply to EHLO, and records what passes.
//
// Read and Write are called by the one goroutine of the server's connection. Under BDAT the server reads the message in
// another one; what that shares with the first is guarded by mu.
type wire struct {
	net.Conn // below TLS
	x        *Exchanger
	log      *Session
	top      net.Conn // TLS, or the same
	in       *bufio.Reader

	next     []byte // octets for the server
	mode     mode
	left     int64  // of the chunk
	verb     string // of the command the server has got last
	line     string // that command
	greeted  bool   // EHLO or HELO since the connection or STARTTLS
	partial  []byte // lines of a reply that is not complete
	body     []byte // content as received
	midline  bool   // the last octets of the content were not CRLF
	bodyPlay *Fault
	cut      bool // the script has closed the connection: what the server still says is not heard

	mu     sync.Mutex
	txn    *Transaction
	ended  bool // the server has read the whole content of txn
	ending *Fault
}

// mode is what the client's next octets are.
type mode int

const (
	commands mode = iota
	content       // after 354
	chunk         // after BDAT
)

var errCut = fmt.Errorf("the script closes the connection: %w", net.ErrClosed)

// newWire makes the wire of a new connection; nil where the exchanger has been closed.
func (x *Exchanger) newWire(c net.Conn) *wire {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil
	}
	s := &Session{Conn: len(x.sessions) + 1, Client: c.RemoteAddr().String()}
	x.sessions = append(x.sessions, s)
	x.live[c] = true
	x.bell.ring()
	return &wire{Conn: c, x: x, log: s, top: c, in: bufio.NewReaderSize(c, maxCommand), verb: string(Connect)}
}

func (w *wire) Close() error {
	err := w.Conn.Close()
	w.x.mu.Lock()
	defer w.x.mu.Unlock()
	delete(w.x.live, w.Conn)
	w.log.Closed = true
	w.x.bell.ring()
	return err
}

func (w *wire) say(who, line string) {
	w.x.mu.Lock()
	defer w.x.mu.Unlock()
	w.log.Lines = append(w.log.Lines, who+": "+line)
	w.x.bell.ring()
}

func (w *wire) breach(format string, args ...any) {
	w.x.breach(fmt.Sprintf("connection %d: ", w.log.Conn) + fmt.Sprintf(format, args...))
}

// Read gives the server what the client sent next. It never gives more than one command.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.next) == 0 {
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.next)
	w.next = w.next[n:]
	return n, nil
}

func (w *wire) fill() error {
	switch w.mode {
	case content:
		return w.readContent()
	case chunk:
		return w.readChunk()
	}
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(line, []byte("\r\n")) {
		w.breach("a command does not end in CRLF: %q", line)
	}
	own := bytes.Clone(line)
	taken, err := w.command(strings.TrimRight(string(line), "\r\n"))
	if err == nil && !taken {
		w.next = own
	}
	return err
}

// readContent hands on what lies in the buffer up to the end of the content.
func (w *wire) readContent() error {
	line, err := w.in.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	w.next = bytes.Clone(line)
	if !w.midline && string(line) == ".\r\n" {
		w.mode = commands
		return nil
	}
	w.midline = !bytes.HasSuffix(line, []byte("\r\n"))
	return w.keep(line)
}

func (w *wire) readChunk() error {
	if w.left == 0 {
		w.mode = commands
		return nil
	}
	b := make([]byte, min(w.left, maxCommand))
	n, err := w.in.Read(b)
	if err != nil {
		return err
	}
	w.left -= int64(n)
	w.next = b[:n]
	return w.keep(b[:n])
}

// keep records octets of the content, and plays the fault of its middle.
func (w *wire) keep(b []byte) error {
	if int64(len(w.body)) <= w.x.server.MaxMessageBytes {
		w.body = append(w.body, b...)
	}
	if f := w.bodyPlay; f != nil && len(w.body) >= f.After {
		w.bodyPlay = nil
		_, err := w.play(f)
		return err
	}
	return nil
}

// play does what f says, and reports whether the answer has been given. An error ends the connection.
func (w *wire) play(f *Fault) (answered bool, err error) {
	if !f.Wait.pass(w.x.stop) {
		return true, net.ErrClosed
	}
	if octets := f.octets(); octets != "" {
		if err := w.put(octets); err != nil {
			return true, err
		}
	}
	if f.Close {
		return true, w.hangUp()
	}
	return f.speaks(), nil
}

// put writes octets to the client and records them.
func (w *wire) put(octets string) error {
	for line := range strings.SplitSeq(strings.TrimSuffix(octets, "\r\n"), "\r\n") {
		w.say("S", line)
	}
	_, err := io.WriteString(w.top, octets)
	return err
}

// command deals with a command line, and reports whether it has been answered, so that the server must not see it.
func (w *wire) command(line string) (answered bool, err error) {
	w.say("C", line)
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	w.checkAhead(verb)
	w.line = line
	if f := w.x.fault(Step(verb), w.log.Conn, w.who(verb, arg)...); f != nil {
		answered, err = w.play(f)
		if answered && verb == string(Bdat) && err == nil {
			err = w.swallow(arg)
		}
		if verb == string(StartTLS) && err == nil && strings.HasPrefix(f.octets(), "220") {
			return true, w.handshake()
		}
		if answered || err != nil {
			return true, err
		}
	}
	if text := w.refusal(verb, arg); text != "" {
		if verb == string(Bdat) {
			if err := w.swallow(arg); err != nil {
				return true, err
			}
		}
		return true, w.put(lines(text))
	}
	return w.follow(verb, arg)
}

// follow lets the server have the command, but for STARTTLS.
func (w *wire) follow(verb, arg string) (answered bool, err error) {
	switch Step(verb) {
	case StartTLS:
		if w.x.TLS != nil && w.top == w.Conn {
			if err := w.put("220 2.0.0 go ahead\r\n"); err != nil {
				return true, err
			}
			return true, w.handshake()
		}
	case Ehlo, Helo:
		w.greeted = true
		w.x.mu.Lock()
		w.log.Hello = arg
		w.x.mu.Unlock()
	case Bdat:
		if n, ok := chunkSize(arg); ok {
			w.mode, w.left = chunk, n
		}
		if w.body == nil {
			w.startBody(true)
		}
	}
	w.verb = verb
	return false, nil
}

// checkAhead notes commands that were sent before the client could know that they may be (RFC 2920 3.1).
func (w *wire) checkAhead(verb string) {
	if w.in.Buffered() == 0 {
		return
	}
	switch Step(verb) {
	case Ehlo, Helo, StartTLS, Data, Noop, Quit:
		w.breach("octets behind %s before its answer", verb)
	case Bdat: // its chunk follows at once
	default:
		if w.x.without("PIPELINING") {
			w.breach("pipelined behind %s", verb)
		}
	}
}

// who names the addresses a fault may be for.
func (w *wire) who(verb, arg string) []string {
	switch Step(verb) {
	case Mail, Rcpt:
		return []string{parsePath(arg).Addr}
	}
	return w.addresses()
}

// addresses lists sender and recipients of the transaction.
func (w *wire) addresses() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.txn == nil {
		return nil
	}
	list := []string{w.txn.Sender.Addr}
	for _, r := range w.txn.Rcpts {
		list = append(list, r.Addr)
	}
	return list
}

// refusal is the answer to what has not been offered or is not welcome; empty: the server decides.
func (w *wire) refusal(verb, arg string) string {
	path := parsePath(arg)
	switch Step(verb) {
	case Mail, Rcpt:
		if !w.greeted {
			return "503 5.5.1 say EHLO first"
		}
		if ext := w.unoffered(path.Params); ext != "" {
			w.breach("%s without the extension %s", w.line, ext)
			return "555 5.5.4 " + ext + " is not offered"
		}
	case Bdat:
		if w.x.without("CHUNKING") {
			w.breach("BDAT without the extension CHUNKING")
			return "502 5.5.1 BDAT is not offered"
		}
	}
	if Step(verb) == Rcpt && len(w.addresses()) > 0 {
		return w.x.unwelcome(w.log.Client, w.addresses()[0], path.Addr)
	}
	return ""
}

// unoffered names the extension, left out by the script, that a parameter belongs to.
func (w *wire) unoffered(params string) string {
	of := map[string]string{"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8",
		"RET": "DSN", "ENVID": "DSN", "NOTIFY": "DSN", "ORCPT": "DSN"}
	for param := range strings.FieldsSeq(params) {
		key, _, _ := strings.Cut(strings.ToUpper(param), "=")
		if ext := of[key]; ext != "" && w.x.without(ext) {
			return ext
		}
	}
	return ""
}

// swallow reads the chunk that follows a refused BDAT (RFC 3030 2).
func (w *wire) swallow(arg string) error {
	n, _ := chunkSize(arg)
	_, err := io.CopyN(io.Discard, w.in, n)
	return err
}

func chunkSize(arg string) (int64, bool) {
	size, _, _ := strings.Cut(arg, " ")
	n, err := strconv.ParseInt(size, 10, 32)
	return max(n, 0), err == nil && n >= 0
}

// handshake goes over to TLS. Where it fails the connection is closed.
func (w *wire) handshake() error {
	conn := w.Conn
	if f := w.x.fault(Handshake, w.log.Conn); f != nil {
		w.in.Peek(1) // the client has begun, as it would have with a server that fails later
		conn = buffered{w.Conn, w.in}
		if answered, err := w.play(f); answered || err != nil {
			return w.hangUp()
		}
	}
	cfg := w.x.TLS
	if cfg == nil {
		return w.hangUp()
	}
	t := tls.Server(conn, cfg)
	if err := t.Handshake(); err != nil {
		w.say("S", "(handshake: "+err.Error()+")")
		return w.hangUp()
	}
	state := t.ConnectionState()
	w.top, w.in, w.greeted = t, bufio.NewReaderSize(t, maxCommand), false
	w.reset()
	w.x.mu.Lock()
	defer w.x.mu.Unlock()
	w.log.TLS = &state
	return nil
}

// buffered is a connection of which in has read ahead.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// Write takes replies of the server and passes them on as the script wants them.
func (w *wire) Write(p []byte) (int, error) {
	if w.cut {
		return 0, net.ErrClosed
	}
	w.partial = append(w.partial, p...)
	for {
		n := replyEnd(w.partial)
		if n == 0 {
			return len(p), nil
		}
		reply := string(w.partial[:n])
		w.partial = w.partial[n:]
		if err := w.answer(reply); err != nil {
			return 0, err
		}
	}
}

// replyEnd is the length of the first complete reply in b, or 0.
func replyEnd(b []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return 0
		}
		line := b[at : at+n]
		at += n + 1
		if len(line) < 4 || line[3] != '-' {
			return at
		}
	}
}

// answer passes on one reply of the server.
func (w *wire) answer(reply string) error {
	if w.verb == string(Connect) {
		w.verb = ""
		return w.greet(reply)
	}
	w.mu.Lock()
	ended, f := w.ended, w.ending
	w.mu.Unlock()
	if ended {
		return w.conclude(reply, f)
	}
	if w.verb == string(Ehlo) && strings.HasPrefix(reply, "250-") {
		reply = w.offer(reply)
	}
	if w.verb == string(Data) && strings.HasPrefix(reply, "354") {
		w.mode = content
		w.startBody(false)
	}
	return w.put(reply)
}

func (w *wire) greet(reply string) error {
	if f := w.x.fault(Connect, w.log.Conn); f != nil {
		if answered, err := w.play(f); answered || err != nil {
			return err
		}
	}
	return w.put(reply)
}

// conclude gives the last reply of a transaction and records it. f is the fault to be played in its place.
func (w *wire) conclude(reply string, f *Fault) error {
	w.mu.Lock()
	w.ended, w.ending = false, nil
	w.mu.Unlock()
	if f != nil {
		reply = f.octets()
	}
	w.finish(reply) // before the client can know, so that who asks after it did finds it recorded
	var err error
	if reply != "" {
		err = w.put(reply)
	}
	if f != nil && f.Close {
		return w.hangUp()
	}
	return err
}

// offer edits the reply to EHLO.
func (w *wire) offer(reply string) string {
	list := strings.Split(strings.TrimSuffix(reply, "\r\n"), "\r\n")
	list = slices.DeleteFunc(list[1:], func(line string) bool {
		ext, _, _ := strings.Cut(line[4:], " ")
		return w.x.without(ext)
	})
	if w.x.TLS != nil && w.top == w.Conn && !w.x.without("STARTTLS") {
		list = append(list, "250-STARTTLS")
	}
	all := append([]string{"250-" + w.x.Name + " greets you"}, list...)
	for i, line := range all {
		all[i] = "250-" + line[4:] + "\r\n"
	}
	last := len(all) - 1
	all[last] = "250 " + all[last][4:]
	return strings.Join(all, "")
}

func (w *wire) startBody(bdat bool) {
	w.body, w.midline = []byte{}, false
	w.bodyPlay = w.x.fault(Body, w.log.Conn, w.addresses()...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.txn != nil {
		w.txn.Bdat = bdat
	}
}

// mail starts a transaction; go-smtp's server has found the command well-formed.
func (w *wire) mail() error {
	_, arg, _ := strings.Cut(w.line, " ")
	w.x.mu.Lock()
	t := &Transaction{Conn: w.log.Conn, Hello: w.log.Hello, TLS: w.log.TLS, Sender: parsePath(arg)}
	w.x.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.txn != nil {
		return &smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "a transaction is open"}
	}
	w.txn = t
	return nil
}

func (w *wire) rcpt() error {
	_, arg, _ := strings.Cut(w.line, " ")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.txn.Rcpts = append(w.txn.Rcpts, parsePath(arg))
	return nil
}

// message reads the content and decides how the transaction ends.
func (w *wire) message(r io.Reader) error {
	w.mu.Lock()
	own := w.txn
	w.mu.Unlock()
	octets, err := io.ReadAll(r)
	var f *Fault
	if err == nil {
		f = w.x.fault(End, w.log.Conn, w.addresses()...)
	}
	if f != nil && !f.Wait.pass(w.x.stop) {
		err, f = net.ErrClosed, nil
	}
	if f != nil && !f.speaks() {
		f = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if own == nil || w.txn != own { // BDAT was broken off by RSET or the end of the connection
		return err
	}
	own.Content = octets
	w.ended, w.ending = true, f
	return err
}

// finish records the transaction, whose last answer was reply.
func (w *wire) finish(reply string) {
	w.mu.Lock()
	t := w.txn
	w.txn = nil
	w.mu.Unlock()
	if t == nil {
		return
	}
	t.Wire = w.body
	t.Reply = strings.ReplaceAll(strings.TrimSuffix(reply, "\r\n"), "\r\n", "\n")
	t.Accepted = strings.HasPrefix(reply, "2")
	w.body = nil
	w.x.record(*t)
}

// hangUp closes the connection as the script wants it. A transaction whose content was coming in is recorded.
func (w *wire) hangUp() error {
	if w.mode != commands {
		w.finish("")
	}
	w.cut = true
	w.Close()
	return errCut
}

// reset forgets the transaction.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.txn, w.body, w.ended, w.ending = nil, nil, false, nil
}

// parsePath takes apart the argument of MAIL or RCPT. Quoted brackets do not end a path (RFC 5321 4.1.2).
func parsePath(arg string) Path {
	_, rest, found := strings.Cut(arg, "<")
	if !found {
		return Path{}
	}
	quoted := false
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return Path{Addr: rest[:i], Params: strings.TrimSpace(rest[i+1:])}
		}
	}
	return Path{}
}
