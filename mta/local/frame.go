package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"signpost/spool"
)

// The protocol between the daemon and the helper, over a stream socket, one delivery a connection:
//
//	daemon   REQUEST                       who or what the message is for
//	helper   GO, or RESULT and the end
//	daemon   DATA … DATA END               the content; without END there is no delivery
//	helper   RESULT
//
// or one look at a user's ~/.forward:
//
//	daemon   REQUEST                       whose
//	helper   DATA … DATA END               a found as JSON; or RESULT where it could not be read now
//
// A frame is its payload's length (4 octets, big-endian), its type (1 octet) and the payload. REQUEST and RESULT are
// JSON. Both sides of a running system are of one version; another one is refused.
const (
	frameRequest = 'R'
	frameGo      = 'G'
	frameData    = 'D'
	frameEnd     = 'E'
	frameResult  = 'A'

	protocolVersion = 2
	maxFrame        = 64 << 10 // octets of payload
	maxText         = 16 << 10 // octets of one text of a request; a command may be long
)

var errProtocol = errors.New("bad frame")

// request asks for one delivery, or for a ~/.forward. It holds no path of a mailbox and no rights: those the helper
// finds. RunAs says only in whose ~/.forward to look.
type request struct {
	Version  int
	Kind     spool.Kind
	Forward  bool   // no delivery: what the ~/.forward of the account Addr says
	Suffix   string // of the file that goes first, such as "+lists"
	Addr     string // account, or the file or command as Source has it
	Source   string // aliases file or ~/.forward that names the file or command
	RunAs    string // account whose ~/.forward Source is; of no weight where it is the aliases file
	Sender   string // reverse-path, for Return-Path and the From_ line
	Original string // address before aliases, for Delivered-To of files and programs
}

// check refuses what could become another line of a header or of a mailbox.
func (q request) check() error {
	if q.Version != protocolVersion {
		return spool.Errorf(systemTrouble, "protocol version %d, not %d", q.Version, protocolVersion)
	}
	if q.Kind != spool.Mailbox && q.Kind != spool.File && q.Kind != spool.Program || q.Addr == "" {
		return spool.Errorf(systemTrouble, "not a local delivery")
	}
	if q.Forward && q.Kind != spool.Mailbox {
		return spool.Errorf(systemTrouble, "not an account")
	}
	for _, s := range []string{q.Addr, q.Source, q.RunAs, q.Suffix, q.Sender, q.Original} {
		if len(s) > maxText || strings.ContainsFunc(s, isControl) {
			return spool.Errorf(systemTrouble, "a bad text in the request: %.40q", s)
		}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// answer is a result on its way back.
type answer struct {
	Status spool.Status
	Detail string
}

func answerOf(r spool.Result) answer {
	const most = maxFrame / 8 // JSON may write one octet as six
	if len(r.Detail) > most {
		r.Detail = strings.ToValidUTF8(r.Detail[:most], "") + " [cut]"
	}
	return answer{Status: r.Status, Detail: r.Detail}
}

func (a answer) result() (spool.Result, error) {
	s := a.Status
	if s.Class != 2 && s.Class != 4 && s.Class != 5 || s == spool.StatusExpired ||
		s.Subject < 0 || s.Subject > 999 || s.Detail < 0 || s.Detail > 999 {
		return spool.Result{}, fmt.Errorf("%w: status %v", errProtocol, s)
	}
	return spool.Result{Status: s, Detail: a.Detail}, nil
}

// writeFrame writes a frame in one call.
func writeFrame(w io.Writer, kind byte, payload []byte) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("%w: %d octets", errProtocol, len(payload))
	}
	b := make([]byte, 0, 5+len(payload))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, kind)
	_, err := w.Write(append(b, payload...))
	return err
}

func writeJSON(w io.Writer, kind byte, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(w, kind, payload)
}

// readFrame reads one frame and not an octet more, since another process reads on. The payload lies in buf, which
// must hold maxFrame.
func readFrame(r io.Reader, buf []byte) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("%w: %d octets", errProtocol, n)
	}
	payload = buf[:n]
	if _, err := io.ReadFull(r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return head[4], payload, nil
}

// readJSON reads a frame that must be of this kind.
func readJSON(r io.Reader, kind byte, v any) error {
	got, payload, err := readFrame(r, make([]byte, maxFrame))
	if err != nil {
		return err
	}
	if got != kind {
		return fmt.Errorf("%w: %q, not %q", errProtocol, got, kind)
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("%w: %v", errProtocol, err)
	}
	return nil
}

// contentReader reads the content from its frames. Its end is io.EOF only where END came; where the stream broke off
// it is io.ErrUnexpectedEOF, so that half a message is never taken for a whole one.
type contentReader struct {
	r    io.Reader
	buf  []byte // of maxFrame octets
	rest []byte
	done bool
}

func newContentReader(r io.Reader) *contentReader {
	return &contentReader{r: r, buf: make([]byte, maxFrame)}
}

func (c *contentReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.done {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *contentReader) next() error {
	kind, payload, err := readFrame(c.r, c.buf)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return c.take(kind, payload)
}

// take goes on with a frame whose payload lies in buf.
func (c *contentReader) take(kind byte, payload []byte) error {
	switch {
	case kind == frameData:
		c.rest = payload
	case kind == frameEnd && len(payload) == 0:
		c.done = true
	default:
		return fmt.Errorf("%w: %q of %d octets within the content", errProtocol, kind, len(payload))
	}
	return nil
}
