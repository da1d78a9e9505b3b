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
	"time"

	"signpost/spool"
)

// Search returns the records of the messages that query names: a queue id (with the notices about that message), or an
// address (sender or recipient, compared without regard to case) of which at most limit messages are told, the latest
// ones. Records are in the order of time.
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
		text := []byte(query)
		return scan(dir, since(names, id), func(line []byte) bool { return bytes.Contains(line, text) },
			func(r *Record) bool { return r.ID == id || r.Parent == id })
	}
	if query == "" {
		return nil, nil
	}
	ids, err := latest(dir, names, query, limit)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return scan(dir, since(names, slices.Min(ids)), func(line []byte) bool { return slices.Contains(ids, spool.ID(idOf(line))) },
		func(r *Record) bool { return slices.Contains(ids, r.ID) })
}

// maxRecent is how many files Recent reads: the one that is being written, and the one before it.
const maxRecent = 2

// Recent gives the records of these kinds (Record.What) since a moment, as far as the last two files of the journal in
// dir have them.
func Recent(dir string, since time.Time, kinds ...string) ([]Record, error) {
	names, err := list(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading history: %w", err)
	}
	names = slices.DeleteFunc(names[max(0, len(names)-maxRecent):], func(name string) bool {
		info, err := os.Lstat(filepath.Join(dir, name))
		return err == nil && info.ModTime().Before(since)
	})
	var texts [][]byte
	for _, kind := range kinds {
		texts = append(texts, []byte(`"what":"`+kind+`"`))
	}
	may := func(line []byte) bool {
		head := line[:min(len(line), 160)] // time, id and what stand first
		return slices.ContainsFunc(texts, func(text []byte) bool { return bytes.Contains(head, text) })
	}
	return scan(dir, names, may, func(r *Record) bool { return slices.Contains(kinds, r.What) && !r.Time.Before(since) })
}

// latest names the messages from or to an address that were spoken of last, limit at most.
func latest(dir string, names []string, address string, limit int) ([]spool.ID, error) {
	var ids []spool.ID
	may := holder(address)
	for _, name := range slices.Backward(names) {
		var here []spool.ID // of this file, the latest last
		_, err := scan(dir, []string{name}, may, func(r *Record) bool {
			if !slices.Contains(ids, r.ID) && r.speaksOf(address) {
				here = append(slices.DeleteFunc(here, func(id spool.ID) bool { return id == r.ID }), r.ID)
				here = here[max(0, len(here)+len(ids)-limit):]
			}
			return false
		})
		if ids = append(ids, here...); err != nil || len(ids) >= limit {
			return ids, err
		}
	}
	return ids, nil
}

// since leaves the files that may know of a message: nothing is known of it before its id was made. A day is allowed
// for clocks that were set back.
func since(names []string, id spool.ID) []string {
	at, _ := slices.BinarySearch(names, id.Time().UTC().AddDate(0, 0, -1).Format(day))
	return names[at:]
}

// holder tells which lines may speak of an address, without decoding them: those that hold its JSON form in any case.
func holder(address string) func(line []byte) bool {
	text, _ := json.Marshal(strings.ToLower(address))
	text = text[1 : len(text)-1]
	if slices.ContainsFunc(text, func(c byte) bool { return c >= 0x80 }) {
		return func(line []byte) bool { return bytes.Contains(bytes.ToLower(line), text) }
	}
	var low []byte
	return func(line []byte) bool {
		if bytes.Contains(line, text) {
			return true
		}
		low = append(low[:0], line...)
		for i, c := range low {
			if 'A' <= c && c <= 'Z' {
				low[i] = c + 'a' - 'A'
			}
		}
		return bytes.Contains(low, text)
	}
}

var beforeID = []byte(`","id":"`)

// idOf finds the id of a record without decoding it: it stands behind the time, which holds no quotes.
func idOf(line []byte) []byte {
	at := bytes.Index(line[:min(len(line), 80)], beforeID)
	if at < 0 {
		return nil
	}
	id, _, _ := bytes.Cut(line[at+len(beforeID):], []byte{'"'})
	return id
}

func (r *Record) speaksOf(address string) bool {
	if strings.EqualFold(r.From, address) {
		return true
	}
	if slices.ContainsFunc(r.Rewritten, func(x spool.Rewriting) bool { return strings.EqualFold(x.Old, address) }) {
		return true
	}
	return slices.ContainsFunc(r.Rcpts, func(x Rcpt) bool {
		return strings.EqualFold(x.Addr, address) || strings.EqualFold(x.Original, address)
	})
}

// scan decodes the lines that may match and keeps those that do.
func scan(dir string, names []string, may func(line []byte) bool, match func(*Record) bool) ([]Record, error) {
	var found []Record
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // pruned meanwhile
		}
		if err == nil {
			found, err = scanFile(f, found, may, match)
			f.Close()
		}
		if err != nil {
			return found, fmt.Errorf("reading history: %w", err)
		}
	}
	return found, nil
}

// scanFile passes over what is no record: a torn line, or one that is too long.
func scanFile(f io.Reader, found []Record, may func([]byte) bool, match func(*Record) bool) ([]Record, error) {
	in := bufio.NewReaderSize(f, maxLine)
	for long := false; ; {
		line, err := in.ReadSlice('\n')
		if err == nil && !long && may(line) {
			var r Record
			if json.Unmarshal(line, &r) == nil && match(&r) {
				found = append(found, r)
			}
		}
		long = errors.Is(err, bufio.ErrBufferFull)
		switch {
		case err == io.EOF:
			return found, nil
		case err != nil && !long:
			return found, err
		}
	}
}
