package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The protocol of submit.sock. Both sides send frames: length of the payload (u32, big-endian), type (u8), payload.
//
//	client                                 server
//	HELLO version, verb, its arguments  →
//	                                    ←  GREETING id, size limit     or ERR
//	TOLD, DATA…, END  (VerbSubmit only) →
//	                                    ←  ENTRY or BAD…  (VerbQueue only), then OK or ERR
//
// A connection serves one verb. ERR may come at any time and ends it. With VerbSubmit, nothing is accepted before END
// has been read, and OK means that the message is durable. ERR with StatusBusy says that nothing was accepted and that
// the client does best to hand in another way. Where the answer to END is lost, VerbAsk with the id of the greeting
// tells what became of the message.

// FrameType says what a frame holds.
type FrameType uint8

// The types of frame.
const (
	FrameHello FrameType = 1 + iota
	FrameGreeting
	FrameTold
	FrameData
	FrameEnd
	FrameOK
	FrameErr
	FrameEntry
	FrameBad // one message of a listing that cannot be read
)

// FrameHead is how many octets a frame has before its payload.
const FrameHead = 5

// MaxToldRcpts is how many recipients one submission can have.
const MaxToldRcpts = 10_000

const (
	frameVersion = 1
	maxData      = 1 << 20
	maxErrText   = 2000
)

// framePayload is the largest payload of each type, octets. TOLD has room for MaxToldRcpts addresses of 320 octets.
var framePayload = [...]int{
	FrameHello:    4 << 10,
	FrameGreeting: 256,
	FrameTold:     4 << 20,
	FrameData:     maxData,
	FrameEnd:      0,
	FrameOK:       0,
	FrameErr:      4 << 10,
	FrameEntry:    64 << 20,
	FrameBad:      4 << 10,
}

// ErrFrame marks octets that are no frame, or none that may come here. The connection is of no more use.
var ErrFrame = errors.New("not the submission protocol")

// StatusBusy is what the daemon answers where it takes no submission now, and drop/ is the better way: too many
// connections, stopping, a version it does not speak.
var StatusBusy = Status{4, 3, 2}

// Verb is what a connection is for.
type Verb uint8

// The verbs.
const (
	VerbSubmit Verb = 1 + iota
	VerbAsk         // has the message Hello.ID been accepted
	VerbQueue       // list what is queued
	VerbRun         // run the queue, as far as Hello.Filter says
	VerbReload      // read the configuration and aliases again
)

// Filter narrows a queue run to messages whose id, one of whose recipients, or whose sender contains the text, in any
// case of letters, and to those of which none contains what Not says. Empty texts ask for nothing; those given must all
// hold.
type Filter struct {
	ID, Rcpt, Sender          string
	NotID, NotRcpt, NotSender string
}

// Hello is the first frame of a client.
type Hello struct {
	Verb   Verb
	ID     ID     // VerbAsk
	Filter Filter // VerbRun
}

// Greeting is the first frame of the server.
type Greeting struct {
	ID      ID    // name of the message to come
	MaxSize int64 // most octets of content; 0: no limit
}

// AppendFrame appends a frame to b.
func AppendFrame(b []byte, t FrameType, payload []byte) []byte {
	return append(appendFrameHead(b, t, len(payload)), payload...)
}

func appendFrameHead(b []byte, t FrameType, n int) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(n)), byte(t))
}

// ReadFrameHead reads what stands before a payload and gives its type and length, which is within the limits of the
// type. The error is ErrFrame or that of r; io.EOF only where r ends between frames.
func ReadFrameHead(r io.Reader) (FrameType, int, error) {
	var head [FrameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	n, t := binary.BigEndian.Uint32(head[:]), FrameType(head[4])
	if t < FrameHello || int(t) >= len(framePayload) {
		return 0, 0, fmt.Errorf("%w: frame of type %d", ErrFrame, t)
	}
	if uint64(n) > uint64(framePayload[t]) {
		return 0, 0, fmt.Errorf("%w: frame of type %d with %d octets", ErrFrame, t, n)
	}
	return t, int(n), nil
}

// ReadPayload reads n octets. Memory is taken as they arrive, not as they are announced.
func ReadPayload(r io.Reader, n int) ([]byte, error) {
	const step = 64 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(n, 2*cap(b)))
			copy(grown, b)
			b = grown
		}
		m, err := io.ReadFull(r, b[len(b):cap(b)])
		b = b[:len(b)+m]
		if err != nil {
			return nil, unexpected(err)
		}
	}
	return b, nil
}

// unexpected is err for a place where the other side had more to say.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Append appends the HELLO frame.
func (h Hello) Append(b []byte) []byte {
	p := []byte{frameVersion, byte(h.Verb)}
	f := h.Filter
	for _, s := range []string{string(h.ID), f.ID, f.Rcpt, f.Sender, f.NotID, f.NotRcpt, f.NotSender} {
		p = appendText(p, s)
	}
	return AppendFrame(b, FrameHello, p)
}

// DecodeHello reads the payload of a HELLO. The error is ErrFrame, or an *Error with StatusBusy for a version that is
// not known.
func DecodeHello(b []byte) (Hello, error) {
	if len(b) < 2 {
		return Hello{}, fmt.Errorf("%w: short HELLO", ErrFrame)
	}
	if b[0] != frameVersion {
		return Hello{}, Errorf(StatusBusy, "version %d of the submission protocol is not known", b[0])
	}
	var text [7]string
	rest := b[2:]
	for i := range text {
		var err error
		if text[i], rest, err = cutText(rest); err != nil {
			return Hello{}, err
		}
	}
	f := Filter{ID: text[1], Rcpt: text[2], Sender: text[3], NotID: text[4], NotRcpt: text[5], NotSender: text[6]}
	return Hello{Verb: Verb(b[1]), ID: ID(text[0]), Filter: f}, nil
}

// maxText is the longest text in a HELLO, octets; what is longer is cut, as it comes from a command line.
const maxText = 400

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func cutText(b []byte) (string, []byte, error) {
	if len(b) < 2 {
		return "", nil, fmt.Errorf("%w: text cut short", ErrFrame)
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; n > len(b) {
		return "", nil, fmt.Errorf("%w: text cut short", ErrFrame)
	}
	return string(b[:n]), b[n:], nil
}

// Append appends the GREETING frame.
func (g Greeting) Append(b []byte) []byte {
	p := binary.BigEndian.AppendUint64([]byte{frameVersion}, uint64(g.MaxSize))
	return AppendFrame(b, FrameGreeting, appendText(p, string(g.ID)))
}

// decodeGreeting reads the payload of a GREETING.
func decodeGreeting(b []byte) (Greeting, error) {
	if len(b) < 9 || b[0] != frameVersion {
		return Greeting{}, fmt.Errorf("%w: malformed GREETING", ErrFrame)
	}
	size := int64(binary.BigEndian.Uint64(b[1:]))
	id, _, err := cutText(b[9:])
	if err != nil || size < 0 {
		return Greeting{}, fmt.Errorf("%w: malformed GREETING", ErrFrame)
	}
	return Greeting{ID: ID(id), MaxSize: size}, nil
}

// wireErrors are the errors that keep their identity on the way. A place in the list is never used for another one.
var wireErrors = [...]error{nil, ErrTooBig, ErrNoSpace, ErrForbidden, ErrNotFound}

// AppendError appends err as a frame of type FrameErr or FrameBad: its status as StatusOf gives it, its words, and
// which of ErrTooBig, ErrNoSpace, ErrForbidden and ErrNotFound it is.
func AppendError(b []byte, t FrameType, err error) []byte {
	s := StatusOf(err)
	text := err.Error()
	if e, ok := err.(*Error); ok && e.Err != nil {
		text = e.Err.Error() // the status is told beside it
	}
	var p []byte
	for _, n := range []int{s.Class, s.Subject, s.Detail} {
		p = binary.BigEndian.AppendUint16(p, uint16(n))
	}
	kind := 0
	for i, known := range wireErrors {
		if known != nil && errors.Is(err, known) {
			kind = i
		}
	}
	p = append(p, byte(kind))
	return AppendFrame(b, t, append(p, text[:min(len(text), maxErrText)]...))
}

// StatusOf gives the status of err: that of an *Error, 5.3.4 for ErrTooBig, 4.3.1 for ErrNoSpace, 5.7.1 for
// ErrForbidden, 5.1.0 for ErrNotFound, and 4.3.0 for all else.
func StatusOf(err error) Status {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Status
	case errors.Is(err, ErrTooBig):
		return Status{5, 3, 4}
	case errors.Is(err, ErrNoSpace):
		return Status{4, 3, 1}
	case errors.Is(err, ErrForbidden):
		return Status{5, 7, 1}
	case errors.Is(err, ErrNotFound):
		return Status{5, 1, 0}
	}
	return Status{4, 3, 0}
}

// decodeError reads the payload of an ERR or BAD into an *Error.
func decodeError(b []byte) error {
	if len(b) < 7 || int(b[6]) >= len(wireErrors) {
		return fmt.Errorf("%w: malformed ERR", ErrFrame)
	}
	num := func(i int) int { return int(binary.BigEndian.Uint16(b[i:])) }
	e := &Error{Status: Status{num(0), num(2), num(4)}}
	if c := e.Status.Class; c != 4 && c != 5 {
		return fmt.Errorf("%w: ERR with status %v", ErrFrame, e.Status)
	}
	e.Err = &relayed{text: oneLine(string(b[7:])), kind: wireErrors[b[6]]}
	return e
}

// oneLine makes text fit for a line of the caller's terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// relayed is an error of the other side.
type relayed struct {
	text string
	kind error
}

func (e *relayed) Error() string { return e.text }
func (e *relayed) Unwrap() error { return e.kind }

// CountToldRcpts says how many recipients the payload of a TOLD lists, without decoding them: each takes a hundred
// times the memory of its least form.
func CountToldRcpts(b []byte) int {
	n := 0
	for d := (decoder{rest: b}); d.next(); {
		if d.tag == toldRcpt {
			n++
		}
	}
	return n
}

// toldRcpt is the tag of a recipient in what EncodeTold makes.
const toldRcpt = 2
