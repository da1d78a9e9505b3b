package spool

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// ID is a queue id: 18 characters of Crockford's base32 in capitals, 10 of time (milliseconds since 1970) and 8 that
// are random or derived. It sorts by time, is unique on the host, and is safe as a file name. The zero value is "".
type ID string

const (
	idLen    = 18
	alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// NewID makes an id for now.
func NewID(now time.Time) ID {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return makeID(now, binary.BigEndian.Uint64(b[:]))
}

// DerivedID makes the id that always belongs to these parts: the same message taken twice gets the same name.
func DerivedID(at time.Time, parts ...string) ID {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return makeID(at, binary.BigEndian.Uint64(h.Sum(nil)))
}

func makeID(at time.Time, tail uint64) ID {
	ms := uint64(max(at.UnixMilli(), 0))
	var b [idLen]byte
	for i := 9; i >= 0; i-- {
		b[i] = alphabet[ms&31]
		ms >>= 5
	}
	for i := idLen - 1; i >= 10; i-- {
		b[i] = alphabet[tail&31]
		tail >>= 5
	}
	return ID(b[:])
}

// Valid reports whether id has the form of a queue id.
func (id ID) Valid() bool {
	if len(id) != idLen {
		return false
	}
	for i := range len(id) {
		if digit(id[i]) < 0 {
			return false
		}
	}
	return true
}

// Time is when the id was made, in milliseconds; zero for an id that is not valid.
func (id ID) Time() time.Time {
	if !id.Valid() {
		return time.Time{}
	}
	var ms int64
	for i := range 10 {
		ms = ms<<5 | int64(digit(id[i]))
	}
	return time.UnixMilli(ms)
}

func digit(c byte) int {
	for i := range len(alphabet) {
		if alphabet[i] == c {
			return i
		}
	}
	return -1
}
