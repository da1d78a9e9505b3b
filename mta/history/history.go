// Package history remembers what happened to each message, also after it left, for `signpost why`.
//
// It is an append-only journal in the spool's history/ folder: a file a day, a JSON object a line. It is a
// convenience, not part of the promise of the spool: it is written without syncs, a torn last line is passed over,
// and files are removed when they are older than the time to keep or when all of them outgrow the limit. Texts of
// strangers are kept verbatim in the JSON; whoever prints them escapes them.
//
// The daemon owns the one Journal and calls it from many goroutines. Search needs no daemon.
package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"signpost/spool"
)

// Record is one thing that happened to one message.
type Record struct {
	Time   time.Time     `json:"time"`
	ID     spool.ID      `json:"id"`
	What   string        `json:"what"` // "accepted" or the What of queue.Event
	From   string        `json:"from"`
	Rcpts  []Rcpt        `json:"rcpts,omitempty"`
	Size   int64         `json:"size,omitempty"`
	MsgID  string        `json:"msgid,omitempty"`
	Origin *spool.Origin `json:"origin,omitempty"` // of "accepted"
	Parent spool.ID      `json:"parent,omitempty"` // of a bounce: the message it speaks of
	Notes  []string      `json:"notes,omitempty"`  // what was changed in the message, why it was held
	Story  []string      `json:"story,omitempty"`  // the dialogue of an attempt
	Next   *time.Time    `json:"next,omitempty"`
	Gone   bool          `json:"gone,omitempty"` // the message has left the spool
}

// Rcpt is a recipient and its result.
type Rcpt struct {
	Addr     string `json:"addr"`
	Original string `json:"original,omitempty"`
	Kind     string `json:"kind,omitempty"` // "mailbox", "file", "program"; empty for an address
	Outcome  string `json:"outcome,omitempty"`
	Status   string `json:"status,omitempty"`
	Remote   string `json:"remote,omitempty"`
	TLS      string `json:"tls,omitempty"`
	Reply    string `json:"reply,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// RcptOf describes r.
func RcptOf(r spool.Recipient) Rcpt {
	out := Rcpt{Addr: r.Addr, Original: r.Original, Kind: [...]string{"", "mailbox", "file", "program"}[r.Kind]}
	if o := r.Last.Outcome(); o != spool.Pending {
		out.Outcome, out.Status = o.String(), r.Last.Status.String()
		out.Remote, out.TLS, out.Reply, out.Detail = r.Last.Remote, r.Last.TLS, r.Last.Reply, r.Last.Detail
	}
	return out
}

const (
	day     = "2006-01-02"
	suffix  = ".jsonl"
	maxLine = 1 << 20
	// What is remembered never takes more of the disk than this.
	maxBytes = 1 << 30
)

// Journal appends to the history in a folder.
type Journal struct {
	dir  string
	keep time.Duration

	mu     sync.Mutex
	name   string
	file   *os.File
	w      *bufio.Writer
	err    error // the last one; told once
	ending chan struct{}
	flush  sync.WaitGroup
}

// Open starts a journal in dir, which must exist. Records are kept for the time keep.
func Open(dir string, keep time.Duration) *Journal {
	j := &Journal{dir: dir, keep: keep, ending: make(chan struct{})}
	j.flush.Go(j.flushLoop)
	return j
}

// flushLoop bounds how long a record stays in memory.
func (j *Journal) flushLoop() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			j.Flush()
		case <-j.ending:
			return
		}
	}
}

// Add appends r. An error means that this record is not remembered; it is returned once, until it changes.
func (j *Journal) Add(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing history: %w", err)
	}
	if len(line) >= maxLine {
		r.Story, r.Notes = nil, []string{"the rest of this record was too long"}
		r.Rcpts = r.Rcpts[:min(len(r.Rcpts), 1000)]
		if line, err = json.Marshal(r); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err = j.rotate(r.Time)
	if err == nil {
		j.w.Write(line)
		err = j.w.WriteByte('\n')
	}
	told := j.err != nil && err != nil && j.err.Error() == err.Error()
	j.err = err
	if told {
		return nil
	}
	return err
}

// rotate opens the file of the day, and removes what is too old when the day changes.
func (j *Journal) rotate(now time.Time) error {
	name := now.UTC().Format(day) + suffix
	if j.file != nil && name == j.name && j.err == nil {
		return nil
	}
	j.closeFile()
	f, err := os.OpenFile(filepath.Join(j.dir, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("writing history: %w", err)
	}
	j.name, j.file, j.w = name, f, bufio.NewWriterSize(f, 64<<10)
	j.prune(now)
	return nil
}

func (j *Journal) closeFile() {
	if j.file != nil {
		j.w.Flush()
		j.file.Close()
		j.file = nil
	}
}

// prune removes the files that are too old, and the oldest while all of them are too large.
func (j *Journal) prune(now time.Time) {
	names, _ := list(j.dir)
	oldest := now.UTC().Add(-j.keep).Format(day) + suffix
	var total int64
	for i := len(names) - 1; i >= 0; i-- {
		path := filepath.Join(j.dir, names[i])
		if info, err := os.Lstat(path); err == nil {
			total += info.Size()
		}
		if names[i] != j.name && (names[i] < oldest || total > maxBytes) {
			os.Remove(path)
		}
	}
}

// Flush makes what was added visible to Search.
func (j *Journal) Flush() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		if err := j.w.Flush(); err != nil {
			j.err = err
		}
	}
}

// Close ends the journal.
func (j *Journal) Close() error {
	close(j.ending)
	j.flush.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closeFile()
	return nil
}

// list names the files of the journal, oldest first.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), suffix); ok && e.Type().IsRegular() {
			if _, err := time.Parse(day, base); err == nil {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// Search returns the records of the messages that query names: a queue id, or an address (sender or recipient,
// compared without regard to case) of which at most limit messages are told, the latest ones. Records are in the
// order of time.
func Search(dir, query string, limit int) ([]Record, error) {
	found, err := search(dir, query, limit)
	// The first attempt may be written ahead of the acceptance, which another goroutine tells of.
	slices.SortStableFunc(found, func(a, b Record) int { return a.Time.Compare(b.Time) })
	return found, err
}

func search(dir, query string, limit int) ([]Record, error) {
	names, err := list(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading history: %w", err)
	}
	if id := spool.ID(query); id.Valid() {
		// Nothing is known of a message before its id was made; a day is allowed for clocks that were set back.
		first := id.Time().UTC().AddDate(0, 0, -1).Format(day) + suffix
		at, _ := slices.BinarySearch(names, first)
		return scan(dir, names[at:], []byte(query), func(r Record) bool { return r.ID == id || r.Parent == id })
	}
	about, err := scan(dir, names, needle(query), func(r Record) bool { return r.speaksOf(query) })
	if err != nil {
		return nil, err
	}
	ids := latest(about, limit)
	return scan(dir, names, nil, func(r Record) bool { return ids[r.ID] })
}

// needle is what a line must hold to be worth decoding: the JSON form of the query in lower case.
func needle(query string) []byte {
	b, _ := json.Marshal(strings.ToLower(query))
	return bytes.Trim(b, `"`)
}

func latest(rs []Record, limit int) map[spool.ID]bool {
	ids := make(map[spool.ID]bool)
	for _, r := range slices.Backward(rs) {
		if len(ids) < limit {
			ids[r.ID] = true
		}
	}
	return ids
}

func (r Record) speaksOf(address string) bool {
	if strings.EqualFold(r.From, address) && address != "" {
		return true
	}
	return slices.ContainsFunc(r.Rcpts, func(x Rcpt) bool {
		return strings.EqualFold(x.Addr, address) || strings.EqualFold(x.Original, address)
	})
}

// scan decodes the lines that hold text (in lower case where it is not an id) and keeps those that match.
func scan(dir string, names []string, text []byte, match func(Record) bool) ([]Record, error) {
	var found []Record
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // pruned meanwhile
		}
		if err != nil {
			return found, fmt.Errorf("reading history: %w", err)
		}
		found = append(found, scanFile(f, text, match)...)
		f.Close()
	}
	return found, nil
}

func scanFile(f io.Reader, text []byte, match func(Record) bool) (found []Record) {
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), maxLine+1)
	for lines.Scan() {
		line := lines.Bytes()
		if text != nil && !bytes.Contains(line, text) && !bytes.Contains(bytes.ToLower(line), text) {
			continue
		}
		var r Record
		if json.Unmarshal(line, &r) == nil && match(r) {
			found = append(found, r)
		}
	}
	return found
}
