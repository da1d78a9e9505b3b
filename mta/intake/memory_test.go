package intake

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"signpost/spool"
)

// now is the time of all tests that look at dates.
var now = time.Date(2026, 11, 23, 20, 30, 0, 0, time.UTC)

const (
	host   = "host.example.test"
	testID = spool.ID("01ARZ3NDEKTSV4RRFF")
)

// memory is a Store that keeps messages in memory. Faults may be set before it is used.
type memory struct {
	create, write, commit error // what these steps give instead
	onCommit              func(spool.ID)

	mu       sync.Mutex
	messages map[spool.ID]message
	open     int // writers neither committed nor aborted
}

type message struct {
	env     spool.Envelope
	content string
}

func (m *memory) Create(_ context.Context, id spool.ID) (spool.Writer, error) {
	if m.create != nil {
		return nil, m.create
	}
	if id == "" {
		id = testID
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	return &memoryWriter{m: m, id: id}, nil
}

func (m *memory) all() map[spool.ID]message {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[spool.ID]message)
	for id, msg := range m.messages {
		all[id] = msg
	}
	return all
}

// one gives the only message.
func (m *memory) one(t *testing.T) message {
	t.Helper()
	all := m.all()
	if len(all) != 1 {
		t.Fatalf("%d messages, want 1", len(all))
	}
	for _, msg := range all {
		return msg
	}
	return message{}
}

// wantNothing checks that nothing was stored and nothing is left open.
func (m *memory) wantNothing(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.messages) != 0 || m.open != 0 {
		t.Errorf("%d messages and %d open writers, want none", len(m.messages), m.open)
	}
}

type memoryWriter struct {
	m    *memory
	id   spool.ID
	buf  bytes.Buffer
	over bool
}

func (w *memoryWriter) ID() spool.ID { return w.id }

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.m.write != nil {
		return 0, w.m.write
	}
	return w.buf.Write(p)
}

func (w *memoryWriter) end() {
	if !w.over {
		w.over = true
		w.m.open--
	}
}

func (w *memoryWriter) Commit(env spool.Envelope) error {
	if w.m.onCommit != nil {
		w.m.onCommit(w.id)
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.end()
	if w.m.commit != nil {
		return w.m.commit
	}
	if _, ok := w.m.messages[w.id]; ok {
		return spool.ErrExists
	}
	if w.m.messages == nil {
		w.m.messages = make(map[spool.ID]message)
	}
	w.m.messages[w.id] = message{env, w.buf.String()}
	return nil
}

func (w *memoryWriter) Abort() error {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.end()
	return nil
}

// accounts are ann (1001, also anna), bob (1002) and an odd one.
var accounts = []User{
	{1001, "ann", "Ann O. Nym"}, {1001, "anna", "Anna"}, {1002, "bob", "Bob Bob Co"}, {1003, "odd (login)", "X"},
	{unmapped, "nobody", "nobody"},
}

func newIntake(m *memory) *Intake {
	return &Intake{
		Store:    m,
		Hostname: host,
		Origin:   host,
		User: func(uid int) (User, bool) {
			for _, u := range accounts {
				if u.UID == uid {
					return u, true
				}
			}
			return User{}, false
		},
		Account: func(login string) (User, bool) {
			for _, u := range accounts {
				if u.Login == login {
					return u, true
				}
			}
			return User{}, false
		},
		Now: func() time.Time { return now },
	}
}

func caller(uid int) Caller {
	var c Caller
	c.Via, c.UID, c.PID = ViaSocket, uid, 77
	return c
}

func to(addrs ...string) []spool.Recipient {
	var list []spool.Recipient
	for _, a := range addrs {
		list = append(list, spool.Recipient{Addr: a})
	}
	return list
}

func ref(s string) *string { return &s }
