package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	day     = "2006-01-02"
	suffix  = ".jsonl"
	maxLine = 1 << 20 // octets of a record
)

// Journal appends to the history in a folder. Safe for concurrent use.
type Journal struct {
	dir  string
	keep time.Duration
	now  func() time.Time
	// What is remembered never takes more of the disk than total, and a file about the size of file.
	file, total int64

	mu     sync.Mutex
	name   string
	out    *os.File
	w      *bufio.Writer
	size   int64  // of the file, with what is not flushed
	err    error  // of the last write; the file is opened anew
	told   string // the text of the last error that Add returned
	ending chan struct{}
	flush  sync.WaitGroup
}

// Open starts a journal in dir, which must exist. Records are kept for the time keep.
func Open(dir string, keep time.Duration) *Journal {
	j := &Journal{dir: dir, keep: keep, now: time.Now, file: 64 << 20, total: 1 << 30, ending: make(chan struct{})}
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

// Add appends r. An error means that this record, or some before it, are not remembered; it is returned once, until it
// changes or writing succeeds again.
func (j *Journal) Add(r Record) error {
	line, err := encode(r)
	if err != nil {
		return fmt.Errorf("writing history: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	lost := j.err
	if err = j.open(); err == nil {
		j.size += int64(len(line))
		_, err = j.w.Write(line)
	}
	j.err = err
	if err == nil {
		err = lost
	}
	if err == nil || err.Error() == j.told {
		return nil
	}
	j.told = err.Error()
	return fmt.Errorf("writing history: %w", err)
}

// encode gives r as a line that fits. What is far too large is made smaller before it is encoded: hostile texts grow
// to six times their size.
func encode(r Record) ([]byte, error) {
	for _, small := range []bool{r.size() > maxLine, true} {
		if small {
			r = r.shortened()
		}
		line, err := json.Marshal(r)
		if err != nil || len(line) < maxLine {
			return append(line, '\n'), err
		}
	}
	return nil, errors.New("the record is too long")
}

// size is about how many octets of text r holds.
func (r Record) size() int {
	n := len(r.From) + len(r.MsgID)
	for _, lines := range [][]string{r.Notes, r.Story} {
		for _, text := range lines {
			n += len(text) + 3
		}
	}
	for _, to := range r.Rcpts {
		n += to.size()
	}
	return n
}

func (r Rcpt) size() int {
	return 120 + len(r.Addr) + len(r.Original) + len(r.Remote) + len(r.TLS) + len(r.Reply) + len(r.Detail)
}

// shortened leaves the dialogue out, and recipients behind those that surely fit.
func (r Record) shortened() Record {
	r.Story, r.Notes = nil, []string{"this record was too long: the dialogue and some recipients are left out"}
	room := maxLine / 8
	for n, to := range r.Rcpts {
		if room -= to.size(); room < 0 {
			r.Rcpts = r.Rcpts[:n]
			break
		}
	}
	return r
}

// open makes sure that there is a file to write to: that of the day, until it is full. A day is that of the clock, not
// of the record, which may tell of something long past.
func (j *Journal) open() error {
	today := j.now().UTC().Format(day)
	if j.out != nil && j.err == nil && j.size < j.file && strings.HasPrefix(j.name, today) {
		return nil
	}
	j.closeFile()
	name, size, err := j.next(today)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(j.dir, name), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j.name, j.out, j.w, j.size = name, f, bufio.NewWriterSize(f, 64<<10), size
	if torn(f, size) {
		j.w.WriteByte('\n') // or the next record would be lost with it
	}
	j.prune()
	return nil
}

// next names the file to write to, and its size: the last of today, or the one behind it when that is full.
func (j *Journal) next(today string) (name string, size int64, err error) {
	names, err := list(j.dir)
	if err != nil {
		return "", 0, err
	}
	n := 1
	for _, have := range names {
		if date, no := parse(have); date == today {
			n = no
			info, err := os.Lstat(filepath.Join(j.dir, have))
			if err != nil {
				return "", 0, err
			}
			size = info.Size()
		}
	}
	if size >= j.file {
		n, size = n+1, 0
	}
	return fmt.Sprintf("%s-%06d%s", today, n, suffix), size, nil
}

// torn reports whether a file ends in the middle of a line, as a crash leaves it.
func torn(f *os.File, size int64) bool {
	var last [1]byte
	if size == 0 {
		return false
	}
	_, err := f.ReadAt(last[:], size-1)
	return err == nil && last[0] != '\n'
}

func (j *Journal) closeFile() {
	if j.out != nil {
		j.w.Flush()
		j.out.Close()
		j.out = nil
	}
}

// prune removes the files that are too old, and the oldest while all of them, and the one that is to be filled, are
// too large.
func (j *Journal) prune() {
	names, _ := list(j.dir)
	oldest := j.now().UTC().Add(-j.keep).Format(day)
	total := j.file
	for _, name := range slices.Backward(names) {
		if name == j.name {
			continue
		}
		path := filepath.Join(j.dir, name)
		if info, err := os.Lstat(path); err == nil {
			total += info.Size()
		}
		if date, _ := parse(name); date < oldest || total > j.total {
			os.Remove(path)
		}
	}
}

// Flush makes what was added visible to Search. That it failed is told by the next Add.
func (j *Journal) Flush() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.out == nil || j.w.Buffered() == 0 || j.err != nil {
		return
	}
	if j.err = j.w.Flush(); j.err == nil {
		j.told = ""
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
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if date, _ := parse(e.Name()); date != "" && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// parse takes the name of a file apart: its day and its number in the day. An empty day: it is none of ours.
func parse(name string) (date string, no int) {
	base, ok := strings.CutSuffix(name, suffix)
	if !ok || len(base) != len(day)+7 || base[len(day)] != '-' {
		return "", 0
	}
	date = base[:len(day)]
	no, err := strconv.Atoi(base[len(day)+1:])
	if _, bad := time.Parse(day, date); bad != nil || err != nil || no < 1 {
		return "", 0
	}
	return date, no
}
