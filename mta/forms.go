package mta

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"signpost/mta/sign"
	"signpost/spool"
)

// forms makes the wire form of messages: the signature fields and the stored content. The signature of a message
// is computed once and shared by all destinations of an attempt. Safe for concurrent use.
type forms struct {
	signer *sign.Signer
	now    func() time.Time

	mu     sync.Mutex
	recent *list.List // of *form, latest first
	byID   map[formKey]*list.Element
}

type formKey struct {
	id     spool.ID
	signed bool
}

// form is what of a wire form is not in the spool.
type form struct {
	key      formKey
	made     time.Time
	fields   []byte // put before the content
	small    []byte // the content, where it is small
	eightBit bool
	once     sync.Once
	err      error
}

const (
	// Content up to this size is kept in memory between the signing and the sending.
	smallContent = 64 << 10
	// A destination that comes late signs again.
	keptForms = 64
	keptFor   = 10 * time.Minute
)

func newForms(s *sign.Signer, now func() time.Time) *forms {
	return &forms{signer: s, now: now, recent: list.New(), byID: make(map[formKey]*list.Element)}
}

var errUnmade = errors.New("the wire form of the message could not be made")

// of is the wire form of a claimed message.
func (f *forms) of(c spool.Claim, signed bool) (*form, error) {
	x := f.find(formKey{c.ID(), signed})
	x.once.Do(func() {
		x.err = errUnmade // stays after a panic: half a form could go out unsigned
		x.err = x.make(c, f.signer)
	})
	if x.err != nil {
		f.drop(x)
		return nil, x.err
	}
	return x, nil
}

func (f *forms) find(k formKey) *form {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.byID[k]; e != nil && f.now().Sub(e.Value.(*form).made) < keptFor {
		f.recent.MoveToFront(e)
		return e.Value.(*form)
	} else if e != nil {
		f.remove(e)
	}
	x := &form{key: k, made: f.now()}
	f.byID[k] = f.recent.PushFront(x)
	if f.recent.Len() > keptForms {
		f.remove(f.recent.Back())
	}
	return x
}

func (f *forms) remove(e *list.Element) {
	f.recent.Remove(e)
	delete(f.byID, e.Value.(*form).key)
}

func (f *forms) drop(x *form) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.byID[x.key]; e != nil && e.Value.(*form) == x {
		f.remove(e)
	}
}

// make reads the content once: to keep it if it is small, to sign it, and to see whether it is ASCII.
func (x *form) make(c spool.Claim, signer *sign.Signer) error {
	content, err := c.Open()
	if err != nil {
		return fmt.Errorf("reading the message: %w", err)
	}
	defer content.Close()
	if c.Size() <= smallContent {
		x.small = make([]byte, c.Size())
		if _, err := io.ReadFull(content, x.small); err != nil {
			return fmt.Errorf("reading the message: %w", err)
		}
	}
	source := func() io.Reader {
		if x.small != nil {
			return bytes.NewReader(x.small)
		}
		return content
	}
	if x.key.signed && signer != nil {
		if x.fields, err = signer.Fields(source()); err != nil {
			return spool.Errorf(spool.Status{Class: 4, Subject: 3, Detail: 5}, "the message cannot be signed: %v", err)
		}
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("reading the message: %w", err)
		}
	}
	if x.small != nil {
		x.eightBit = isEightBit(x.small)
		return nil
	}
	x.eightBit, err = anyEightBit(content)
	return err
}

func anyEightBit(r io.Reader) (bool, error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if isEightBit(buf[:n]) {
			return true, nil
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading the message: %w", err)
		}
	}
}

func (x *form) size(c spool.Claim) int64 { return int64(len(x.fields)) + c.Size() }

// open gives the octets that go over the wire, behind trace fields of this transaction alone.
func (x *form) open(c spool.Claim, trace string) (io.ReadCloser, error) {
	fields := io.MultiReader(strings.NewReader(trace), bytes.NewReader(x.fields))
	if x.small != nil {
		return io.NopCloser(io.MultiReader(fields, bytes.NewReader(x.small))), nil
	}
	content, err := c.Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(fields, content), content}, nil
}

// isEightBit reports whether p holds octets outside ASCII.
func isEightBit(p []byte) bool {
	return slices.ContainsFunc(p, func(c byte) bool { return c >= 0x80 })
}

// automatic reports whether a message says of itself that it comes from a program or a list: nobody waits for a
// delay notice there (RFC 3834 2).
func (f *forms) automatic(c spool.Claim) bool {
	content, err := c.Open()
	if err != nil {
		return false
	}
	defer content.Close()
	head := make([]byte, 64<<10)
	n, _ := io.ReadFull(content, head)
	text, _, _ := strings.Cut(string(head[:n]), "\r\n\r\n")
	for line := range strings.SplitSeq(strings.ToLower(text), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case name == "precedence" && (value == "bulk" || value == "junk" || value == "list"),
			name == "auto-submitted" && value != "no",
			name == "list-id":
			return true
		}
	}
	return false
}
