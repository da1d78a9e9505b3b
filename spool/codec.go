package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Envelopes, what a caller told, and entries are encoded as fields: tag, length (both uvarint), value. A field
// that holds its zero value is left out, a list is a field repeated, a struct is a field of fields. Unknown tags
// are skipped, so that an older program reads what a newer one wrote. A tag is never used for something else.

// MaxRcpts is how many recipients one message can have in the spool; decoding more is an error, which bounds the
// memory that a few hostile octets can ask for.
const MaxRcpts = 1 << 17

var errMalformed = errors.New("malformed field")

// encoder appends fields.
type encoder []byte

func (e *encoder) text(tag uint64, s string) {
	if s != "" {
		e.present(tag, s)
	}
}

func (e *encoder) optional(tag uint64, s *string) {
	if s != nil {
		e.present(tag, *s)
	}
}

func (e *encoder) present(tag uint64, s string) {
	*e = binary.AppendUvarint(*e, tag)
	*e = binary.AppendUvarint(*e, uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) num(tag uint64, n int64) {
	if n != 0 {
		e.nested(tag, func(e *encoder) { *e = binary.AppendVarint(*e, n) })
	}
}

func (e *encoder) flag(tag uint64, b bool) {
	if b {
		e.num(tag, 1)
	}
}

// time keeps the moment to the nanosecond; the zone and the monotonic reading are not kept.
func (e *encoder) time(tag uint64, t time.Time) {
	if !t.IsZero() {
		e.nested(tag, func(e *encoder) {
			*e = binary.AppendVarint(*e, t.Unix())
			*e = binary.AppendUvarint(*e, uint64(t.Nanosecond()))
		})
	}
}

// nested writes what fill appends as one field.
func (e *encoder) nested(tag uint64, fill func(*encoder)) {
	*e = binary.AppendUvarint(*e, tag)
	start := len(*e)
	*e = append(*e, 0)
	fill(e)
	n := len(*e) - start - 1
	if n < 0x80 {
		(*e)[start] = byte(n)
		return
	}
	// The length needs more than the one octet kept free for it.
	var length [binary.MaxVarintLen64]byte
	more := binary.PutUvarint(length[:], uint64(n)) - 1
	*e = append(*e, length[:more]...)
	copy((*e)[start+1+more:], (*e)[start+1:])
	copy((*e)[start:], length[:more+1])
}

// decoder walks over fields; the first error ends the walk and stays in err.
type decoder struct {
	rest  []byte
	tag   uint64
	value []byte
	err   error
}

func (d *decoder) next() bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	tag, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.err = errMalformed
		return false
	}
	length, m := binary.Uvarint(d.rest[n:])
	if m <= 0 || length > uint64(len(d.rest)-n-m) {
		d.err = errMalformed
		return false
	}
	d.tag = tag
	d.value = d.rest[n+m : n+m+int(length)]
	d.rest = d.rest[n+m+int(length):]
	return true
}

func (d *decoder) text() string { return string(d.value) }

func (d *decoder) optional() *string {
	s := string(d.value)
	return &s
}

func (d *decoder) num() int64 {
	v, n := binary.Varint(d.value)
	if n <= 0 || n != len(d.value) {
		d.err = errMalformed
		return 0
	}
	return v
}

func (d *decoder) small() uint8 {
	n := d.num()
	if n < 0 || n > 255 {
		d.err = errMalformed
		return 0
	}
	return uint8(n)
}

func (d *decoder) flag() bool { return d.num() != 0 }

func (d *decoder) time() time.Time {
	sec, n := binary.Varint(d.value)
	if n <= 0 {
		d.err = errMalformed
		return time.Time{}
	}
	nsec, m := binary.Uvarint(d.value[n:])
	if m <= 0 || n+m != len(d.value) || nsec >= 1e9 {
		d.err = errMalformed
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec))
}

// rcpt appends the recipient in the current field to list.
func (d *decoder) rcpt(list []Recipient) []Recipient {
	if len(list) >= MaxRcpts {
		d.err = fmt.Errorf("more than %d recipients", MaxRcpts)
		return list
	}
	r, err := decodeRecipient(d.value)
	if err != nil {
		d.err = fmt.Errorf("recipient %d: %w", len(list), err)
	}
	return append(list, r)
}

func (s Status) encode(e *encoder) {
	*e = binary.AppendVarint(*e, int64(s.Class))
	*e = binary.AppendVarint(*e, int64(s.Subject))
	*e = binary.AppendVarint(*e, int64(s.Detail))
}

func (d *decoder) status() Status {
	var part [3]int
	rest := d.value
	for i := range part {
		v, n := binary.Varint(rest)
		if n <= 0 {
			d.err = errMalformed
			return Status{}
		}
		part[i], rest = int(v), rest[n:]
	}
	if len(rest) != 0 {
		d.err = errMalformed
	}
	return Status{part[0], part[1], part[2]}
}

func (r Result) encode(e *encoder) {
	if r.Status != (Status{}) {
		e.nested(1, r.Status.encode)
	}
	e.text(2, r.Reply)
	e.text(3, r.Remote)
	e.text(4, r.Detail)
	e.text(5, r.TLS)
	e.time(6, r.At)
}

func decodeResult(b []byte) (Result, error) {
	var r Result
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			r.Status = d.status()
		case 2:
			r.Reply = d.text()
		case 3:
			r.Remote = d.text()
		case 4:
			r.Detail = d.text()
		case 5:
			r.TLS = d.text()
		case 6:
			r.At = d.time()
		}
	}
	return r, d.err
}

func (r Result) isZero() bool {
	return r.Status == (Status{}) && r.Reply == "" && r.Remote == "" && r.Detail == "" && r.TLS == "" && r.At.IsZero()
}

func (r Recipient) encode(e *encoder) {
	e.text(1, r.Addr)
	e.num(2, int64(r.Kind))
	e.text(3, r.RunAs)
	e.optional(4, r.Sender)
	e.text(5, r.Original)
	e.text(6, r.Source)
	e.flag(7, r.NoAlias)
	e.num(8, int64(r.Notify))
	if !r.Last.isZero() {
		e.nested(9, r.Last.encode)
	}
	e.flag(10, r.Bounced)
	e.text(11, r.Forwarder)
}

func decodeRecipient(b []byte) (Recipient, error) {
	var r Recipient
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			r.Addr = d.text()
		case 2:
			r.Kind = Kind(d.small())
		case 3:
			r.RunAs = d.text()
		case 4:
			r.Sender = d.optional()
		case 5:
			r.Original = d.text()
		case 6:
			r.Source = d.text()
		case 7:
			r.NoAlias = d.flag()
		case 8:
			r.Notify = Notify(d.small())
		case 9:
			r.Last, d.err = decodeResult(d.value)
		case 10:
			r.Bounced = d.flag()
		case 11:
			r.Forwarder = d.text()
		}
	}
	return r, d.err
}

func (o Origin) encode(e *encoder) {
	e.text(1, o.Via)
	e.num(2, int64(o.UID))
	e.text(3, o.Login)
	e.text(4, o.Client)
	e.text(5, o.Auth)
	e.num(6, int64(o.PID))
	// 7 was one text.
	e.process(8, o.Seen)
	e.process(9, o.Claims)
}

func decodeOrigin(b []byte) (Origin, error) {
	var o Origin
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			o.Via = d.text()
		case 2:
			o.UID = int(d.num())
		case 3:
			o.Login = d.text()
		case 4:
			o.Client = d.text()
		case 5:
			o.Auth = d.text()
		case 6:
			o.PID = int(d.num())
		case 8:
			o.Seen, d.err = decodeProcess(d.value)
		case 9:
			o.Claims, d.err = decodeProcess(d.value)
		}
	}
	return o, d.err
}

func (e *encoder) process(tag uint64, p Process) {
	if p != (Process{}) {
		e.nested(tag, p.encode)
	}
}

func (p Process) encode(e *encoder) {
	e.text(1, p.Name)
	e.text(2, p.Parent)
	e.num(3, int64(p.PID))
	e.text(4, p.Command)
	e.text(5, p.Dir)
	e.text(6, p.Unit)
	e.text(7, p.Container)
	e.text(8, p.Login)
	e.text(9, p.RealUser)
	e.text(10, p.Script)
}

func decodeProcess(b []byte) (Process, error) {
	var p Process
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			p.Name = d.text()
		case 2:
			p.Parent = d.text()
		case 3:
			p.PID = int(d.num())
		case 4:
			p.Command = d.text()
		case 5:
			p.Dir = d.text()
		case 6:
			p.Unit = d.text()
		case 7:
			p.Container = d.text()
		case 8:
			p.Login = d.text()
		case 9:
			p.RealUser = d.text()
		case 10:
			p.Script = d.text()
		}
	}
	return p, d.err
}

func (r Rewriting) encode(e *encoder) {
	e.text(1, r.What)
	e.text(2, r.Old)
	e.text(3, r.New)
	e.text(4, r.Rule)
}

// rewriting appends the change in the current field to list. More than are kept are left out.
func (d *decoder) rewriting(list []Rewriting) []Rewriting {
	var r Rewriting
	in := decoder{rest: d.value}
	for in.next() {
		switch in.tag {
		case 1:
			r.What = in.text()
		case 2:
			r.Old = in.text()
		case 3:
			r.New = in.text()
		case 4:
			r.Rule = in.text()
		}
	}
	if d.err = in.err; d.err != nil || len(list) >= MaxRewritten {
		return list
	}
	return append(list, r)
}

func (env Envelope) encode(e *encoder) {
	e.text(1, env.Sender)
	for _, r := range env.Rcpts {
		e.nested(2, r.encode)
	}
	if env.Origin != (Origin{}) {
		e.nested(3, env.Origin.encode)
	}
	e.time(4, env.Arrived)
	e.text(5, env.Ret)
	e.text(6, env.EnvID)
	e.text(7, string(env.Parent))
	e.text(8, env.Held)
	e.flag(9, env.Queued)
	e.flag(10, env.Warned)
	e.flag(11, env.Started)
	e.time(12, env.Next)
	e.num(13, int64(env.Tries))
	for _, r := range env.Rewritten {
		e.nested(14, r.encode)
	}
}

func decodeEnvelope(b []byte) (Envelope, error) {
	var env Envelope
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			env.Sender = d.text()
		case 2:
			env.Rcpts = d.rcpt(env.Rcpts)
		case 3:
			env.Origin, d.err = decodeOrigin(d.value)
		case 4:
			env.Arrived = d.time()
		case 5:
			env.Ret = d.text()
		case 6:
			env.EnvID = d.text()
		case 7:
			env.Parent = ID(d.text())
		case 8:
			env.Held = d.text()
		case 9:
			env.Queued = d.flag()
		case 10:
			env.Warned = d.flag()
		case 11:
			env.Started = d.flag()
		case 12:
			env.Next = d.time()
		case 13:
			env.Tries = int(d.num())
		case 14:
			env.Rewritten = d.rewriting(env.Rewritten)
		}
	}
	return env, d.err
}

func (t Told) encode(e *encoder) {
	e.optional(1, t.Sender)
	for _, r := range t.Rcpts {
		e.nested(2, r.encode)
	}
	e.optional(3, t.FullName)
	e.text(4, t.Name)
	e.text(5, t.Login)
	e.text(6, t.Ret)
	e.text(7, t.EnvID)
	e.flag(8, t.Queued)
	e.text(9, t.Label)
	e.text(10, t.Body)
	e.num(11, int64(t.NULs))
	e.num(12, int64(t.PID))
	// 13 was one text.
	e.process(14, t.Process)
}

// EncodeTold gives the form of t that travels in drop/ and over submit.sock.
func EncodeTold(t Told) []byte {
	var e encoder
	t.encode(&e)
	return e
}

// DecodeTold reads what EncodeTold wrote. Any octets may be given to it: it returns an error for what it cannot
// read and takes memory in proportion to the octets given, with MaxRcpts as the limit of recipients. What the texts
// say is not checked.
func DecodeTold(b []byte) (Told, error) {
	var t Told
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			t.Sender = d.optional()
		case 2:
			t.Rcpts = d.rcpt(t.Rcpts)
		case 3:
			t.FullName = d.optional()
		case 4:
			t.Name = d.text()
		case 5:
			t.Login = d.text()
		case 6:
			t.Ret = d.text()
		case 7:
			t.EnvID = d.text()
		case 8:
			t.Queued = d.flag()
		case 9:
			t.Label = d.text()
		case 10:
			t.Body = d.text()
		case 11:
			t.NULs = int(d.num())
		case 12:
			t.PID = int(d.num())
		case 14:
			t.Process, d.err = decodeProcess(d.value)
		}
	}
	if d.err != nil {
		return Told{}, fmt.Errorf("reading what was told: %w", d.err)
	}
	return t, nil
}

// EncodeEntry gives the form of n that travels over submit.sock.
func EncodeEntry(n Entry) []byte {
	var e encoder
	e.text(1, string(n.ID))
	e.num(2, n.Size)
	e.nested(3, n.Envelope.encode)
	e.flag(4, n.Active)
	e.flag(5, n.Hidden)
	return e
}

// DecodeEntry reads what EncodeEntry wrote, under the same rules as DecodeTold.
func DecodeEntry(b []byte) (Entry, error) {
	var n Entry
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			n.ID = ID(d.text())
		case 2:
			n.Size = d.num()
		case 3:
			n.Envelope, d.err = decodeEnvelope(d.value)
		case 4:
			n.Active = d.flag()
		case 5:
			n.Hidden = d.flag()
		}
	}
	if d.err != nil {
		return Entry{}, fmt.Errorf("reading an entry: %w", d.err)
	}
	return n, nil
}
