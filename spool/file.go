package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"time"
)

// A message file, the same in new/, cur/ and drop/:
//
//	head     64 octets: magic, version, id, length of the content, CRC32C
//	content  as it will be sent, CRLF line ends
//	records  length of the payload (u32), kind (u8), payload (fields), CRC32C (u32); numbers are big-endian
//
// The first record is *accepted*, or in drop/ *told*; a file without it is not a message. The checksum of a record
// goes on from that of the record before it, and the first from that of the head, so that a record is believed only
// in its place: what an older file left in the same blocks, or behind a torn record, never counts.
//
// A record that is cut short or does not match ends the file: it was being written at a crash, and so was all that
// follows it, since a sync of the file covers everything before.
const (
	magic      = "SIGNPOST"
	version    = 1
	headLen    = 64
	headID     = 12 // offsets in the head
	headSize   = 32
	headSum    = 60
	recordHead = 5
	recordSum  = 4

	maxContent = 1 << 40
	maxRecord  = 32 << 20 // payload; some 100,000 recipients of usual length
)

// The kinds of record. A number is never used for something else; unknown ones are skipped.
const (
	recAccepted byte = 1 + iota
	recTold
	recAttempt
	recExpanded
	recBounced
	recWarned
	recHold
	recRelease
)

// castagnoli is made when it is first needed: it takes a fifth of a millisecond, which each start of sendmail would pay.
var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// corruptf makes an ErrCorrupt that says what is wrong.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// encodeHead makes the head of a file. In drop/ the id is empty.
func encodeHead(id ID, size int64) (head [headLen]byte, sum uint32) {
	copy(head[:], magic)
	binary.BigEndian.PutUint16(head[8:], version)
	copy(head[headID:headID+idLen], id)
	binary.BigEndian.PutUint64(head[headSize:], uint64(size))
	sum = crc32.Checksum(head[:headSum], castagnoli())
	binary.BigEndian.PutUint32(head[headSum:], sum)
	return head, sum
}

// decodeHead checks the head of the file of message id and gives the length of the content.
func decodeHead(b []byte, id ID) (size int64, sum uint32, err error) {
	if len(b) < headLen || string(b[:len(magic)]) != magic {
		return 0, 0, corruptf("no head")
	}
	sum = binary.BigEndian.Uint32(b[headSum:])
	if sum != crc32.Checksum(b[:headSum], castagnoli()) {
		return 0, 0, corruptf("the checksum of the head does not match")
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != version {
		return 0, 0, corruptf("version %d of the format is not known", v)
	}
	var want [idLen]byte
	copy(want[:], id)
	if string(b[headID:headID+idLen]) != string(want[:]) {
		return 0, 0, corruptf("the head names the message %q", b[headID:headID+idLen])
	}
	n := binary.BigEndian.Uint64(b[headSize:])
	if n > maxContent {
		return 0, 0, corruptf("content of %d octets", n)
	}
	return int64(n), sum, nil
}

// appendRecord appends one record; sum is the checksum of what stands before it in the file.
func appendRecord(b []byte, kind byte, payload []byte, sum uint32) ([]byte, uint32, error) {
	if len(payload) > maxRecord {
		return b, sum, fmt.Errorf("a record of %d octets: %w", len(payload), ErrTooBig)
	}
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, kind)
	b = append(b, payload...)
	sum = crc32.Update(sum, castagnoli(), b[start:])
	return binary.BigEndian.AppendUint32(b, sum), sum, nil
}

// recordReader reads records one after the other.
type recordReader struct {
	r   io.ReaderAt
	off int64  // where buf begins in the file
	buf []byte // read and not yet consumed
	eof bool   // nothing is behind buf
	sum uint32 // of all before buf
	max int    // octets of payload that are believed
}

// next gives the next record. Its payload is valid until the following call. ok is false at the end of the file and
// at a torn record; an error is that of reading alone.
func (t *recordReader) next() (kind byte, payload []byte, ok bool, err error) {
	if ok, err = t.fill(recordHead); !ok {
		return 0, nil, false, err
	}
	n := int(binary.BigEndian.Uint32(t.buf))
	if n > t.max {
		return 0, nil, false, nil
	}
	whole := recordHead + n + recordSum
	if ok, err = t.fill(whole); !ok {
		return 0, nil, false, err
	}
	sum := crc32.Update(t.sum, castagnoli(), t.buf[:whole-recordSum])
	if sum != binary.BigEndian.Uint32(t.buf[whole-recordSum:]) {
		return 0, nil, false, nil
	}
	kind, payload = t.buf[recordHead-1], t.buf[recordHead:recordHead+n]
	t.sum, t.off, t.buf = sum, t.off+int64(whole), t.buf[whole:]
	return kind, payload, true, nil
}

// fill reads until buf holds n octets; false when the file ends before. It never makes room for much more than the
// file really holds, whatever a length field says.
func (t *recordReader) fill(n int) (bool, error) {
	for len(t.buf) < n && !t.eof {
		room := min(n, max(4096, 2*len(t.buf)))
		more := slices.Grow(slices.Clip(t.buf), room-len(t.buf))
		got, err := t.r.ReadAt(more[len(t.buf):cap(more)], t.off+int64(len(t.buf)))
		t.buf = more[:len(t.buf)+got]
		if errors.Is(err, io.EOF) {
			t.eof = true
		} else if err != nil {
			return false, err
		}
	}
	return len(t.buf) >= n, nil
}

// state is what a message file says, but for the content.
type state struct {
	size    int64             // content, octets
	hash    [sha256.Size]byte // of the content
	env     Envelope
	end     int64  // where the next record belongs
	sum     uint32 // checksum up to end
	torn    bool   // something stands behind end
	content []byte // all of it, where it came along with the first read; it belongs to the read buffer
}

// readState reads the file of message id: head and records, not the content. buf is where it reads first; a file
// that fits into it costs one read.
func readState(r io.ReaderAt, id ID, buf []byte) (state, error) {
	size, t, content, err := openRecords(r, id, buf)
	if err != nil {
		return state{}, err
	}
	s := state{size: size, content: content}
	kind, payload, ok, err := t.next()
	switch {
	case err != nil:
		return state{}, err
	case !ok || kind != recAccepted:
		return state{}, corruptf("no record of its acceptance")
	}
	if s.hash, payload, err = splitHash(payload); err != nil {
		return state{}, err
	}
	if s.env, err = decodeEnvelope(payload); err != nil {
		return state{}, corruptf("envelope: %v", err)
	}
	for {
		if kind, payload, ok, err = t.next(); err != nil {
			return state{}, err
		}
		if !ok {
			break
		}
		if err = s.env.apply(kind, payload); err != nil {
			return state{}, corruptf("record at %d: %v", t.off, err)
		}
	}
	s.end, s.sum, s.torn = t.off, t.sum, len(t.buf) > 0
	return s, nil
}

// openRecords reads the head and stands before the first record.
func openRecords(r io.ReaderAt, id ID, buf []byte) (size int64, t *recordReader, content []byte, err error) {
	n, err := r.ReadAt(buf, 0)
	eof := errors.Is(err, io.EOF)
	switch {
	case strangeFile(err):
		return 0, nil, nil, corruptf("%v", err)
	case err != nil && !eof:
		return 0, nil, nil, err
	}
	size, sum, err := decodeHead(buf[:n], id)
	if err != nil {
		return 0, nil, nil, err
	}
	t = &recordReader{r: r, off: headLen + size, sum: sum, max: maxRecord}
	if t.off <= int64(n) {
		t.buf, t.eof = buf[t.off:n], eof
		content = buf[headLen:t.off]
	}
	return size, t, content, nil
}

// The payload of *accepted* and *told* is the SHA-256 of the content, then the fields.

func joinHash(hash [sha256.Size]byte, encode func(*encoder)) []byte {
	e := encoder(hash[:])
	encode(&e)
	return e
}

func splitHash(payload []byte) (hash [sha256.Size]byte, rest []byte, err error) {
	if len(payload) < len(hash) {
		return hash, nil, corruptf("no checksum of the content")
	}
	return [sha256.Size]byte(payload), payload[len(hash):], nil
}

// apply changes the envelope as one record behind *accepted* says.
func (env *Envelope) apply(kind byte, payload []byte) error {
	d := decoder{rest: payload}
	switch kind {
	case recAttempt:
		return env.applyAttempt(&d)
	case recExpanded:
		env.Started, env.Rcpts = true, nil
		for d.next() {
			if d.tag == 1 {
				env.Rcpts = d.rcpt(env.Rcpts)
			}
		}
	case recBounced:
		for d.next() {
			if d.tag == 1 {
				env.eachIndex(&d, func(r *Recipient) { r.Bounced = true })
			}
		}
	case recWarned:
		env.Warned = true
	case recHold:
		for d.next() {
			if d.tag == 1 {
				env.Held = d.text()
			}
		}
	case recRelease:
		env.Held = ""
	}
	return d.err
}

// An attempt: 1 when to try next, 2 a result with the recipients it is for (1 the result, 2 their indexes). Results
// that are equal are written once, because thousands of recipients behind one dead host share theirs.

func encodeAttempt(results []RcptResult, next time.Time) []byte {
	var e encoder
	e.time(1, next)
	for _, group := range groupResults(results) {
		e.nested(2, func(e *encoder) {
			e.nested(1, group.result.encode)
			e.nested(2, func(e *encoder) { appendIndexes(e, group.rcpts) })
		})
	}
	return e
}

type resultGroup struct {
	result Result
	rcpts  []int
}

func groupResults(results []RcptResult) []resultGroup {
	var groups []resultGroup
	at := make(map[Result]int)
	for _, r := range results {
		key := r.Result
		key.At = key.At.Round(0).UTC() // without monotonic reading and zone, which == would compare
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key] = i
			groups = append(groups, resultGroup{result: r.Result})
		}
		groups[i].rcpts = append(groups[i].rcpts, r.Rcpt)
	}
	return groups
}

func (env *Envelope) applyAttempt(d *decoder) error {
	for d.next() {
		switch d.tag {
		case 1: // only where the record ends the try
			env.Next = d.time()
			env.Tries++
		case 2:
			d.err = env.applyGroup(d.value)
		}
	}
	return d.err
}

func (env *Envelope) applyGroup(b []byte) error {
	var result Result
	d := decoder{rest: b}
	for d.next() {
		switch d.tag {
		case 1:
			result, d.err = decodeResult(d.value)
		case 2:
			env.eachIndex(&d, func(r *Recipient) { r.Last = result })
		}
	}
	return d.err
}

func appendIndexes(e *encoder, indexes []int) {
	for _, i := range indexes {
		*e = binary.AppendUvarint(*e, uint64(i))
	}
}

// eachIndex calls do for each recipient whose index is in the current field of d.
func (env *Envelope) eachIndex(d *decoder, do func(*Recipient)) {
	for rest := d.value; len(rest) > 0; {
		i, n := binary.Uvarint(rest)
		if n <= 0 || i >= uint64(len(env.Rcpts)) {
			d.err = fmt.Errorf("no recipient %d: %w", i, errMalformed)
			return
		}
		do(&env.Rcpts[i])
		rest = rest[n:]
	}
}
