package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"signpost/spool"
)

var moment = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// journal opens one in a folder of its own whose clock is at *at.
func journal(t *testing.T, dir string, at *time.Time) *Journal {
	t.Helper()
	j := Open(dir, 3*24*time.Hour)
	j.mu.Lock()
	j.now = func() time.Time { return *at }
	j.mu.Unlock()
	t.Cleanup(func() {
		select {
		case <-j.ending:
		default:
			j.Close()
		}
	})
	return j
}

func id(n int) spool.ID {
	return spool.DerivedID(moment.Add(time.Duration(n)*time.Second), fmt.Sprint(n))
}

func accepted(n int, from string, to ...string) Record {
	r := Record{Time: moment.Add(time.Duration(n) * time.Second), ID: id(n), What: "accepted", From: from}
	for _, a := range to {
		r.Rcpts = append(r.Rcpts, Rcpt{Addr: a})
	}
	return r
}

func add(t *testing.T, j *Journal, rs ...Record) {
	t.Helper()
	for _, r := range rs {
		if err := j.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	j.Flush()
}

// told gives the ids of what Search finds.
func told(t *testing.T, dir, query string, limit int) (ids []spool.ID) {
	t.Helper()
	rs, err := Search(dir, query, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		ids = append(ids, r.ID)
	}
	return ids
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSearch(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	attempt := Record{Time: moment.Add(time.Hour), ID: id(1), What: "attempt", From: "ann@a.test",
		Rcpts: []Rcpt{{Addr: "Bob@B.test", Original: "bobby@a.test", Outcome: "sent"}}}
	bounce := accepted(5, "", "ann@a.test")
	bounce.Parent = id(1)
	greek := accepted(6, "Ünal@Größe.test", "x<y@b.test")
	add(t, j, attempt, accepted(1, "ann@a.test", "bob@b.test"), accepted(2, "carol@a.test", "dave@b.test"),
		accepted(3, "bob@b.test", "eve@b.test"), bounce, greek)

	tests := []struct {
		name, query string
		limit       int
		want        []spool.ID
	}{
		{"an id, with the bounce about it, in the order of time", string(id(1)), 20, []spool.ID{id(1), id(5), id(1)}},
		{"another id", string(id(2)), 20, []spool.ID{id(2)}},
		{"an id that is not known", string(id(9)), 20, nil},
		{"a sender", "carol@a.test", 20, []spool.ID{id(2)}},
		{"a recipient and sender, whatever the case", "BOB@b.TEST", 20, []spool.ID{id(1), id(3), id(1)}},
		{"a recipient before aliases", "Bobby@A.test", 20, []spool.ID{id(1), id(1)}},
		{"the latest only", "bob@b.test", 1, []spool.ID{id(3)}},
		{"letters that are not ASCII", "ünal@grösse.test", 20, nil},
		{"letters that are not ASCII, whatever the case", "ÜNAL@größe.test", 20, []spool.ID{id(6)}},
		{"what JSON escapes", "X<Y@b.test", 20, []spool.ID{id(6)}},
		{"a part of an address", "bob@b", 20, nil},
		{"a word of the records", "accepted", 20, nil},
		{"nothing", "", 20, nil},
		{"quotes and stars", `"*\`, 20, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := told(t, dir, tt.query, tt.limit); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if rs, err := Search(filepath.Join(dir, "none"), "x", 1); rs != nil || err != nil {
		t.Errorf("without a folder: %v, %v", rs, err)
	}
}

func TestSearchTellsTheLatestMessagesOverSeveralFiles(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	for n := range 40 {
		at = moment.Add(time.Duration(n) * time.Hour)
		add(t, j, accepted(n, "ann@a.test", "bob@b.test"))
	}
	if n := len(files(t, dir)); n != 3 {
		t.Errorf("%d files, want one a day", n)
	}
	var want []spool.ID
	for n := 30; n < 40; n++ {
		want = append(want, id(n))
	}
	if got := told(t, dir, "ann@a.test", 10); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// The latest is what was spoken of last.
	add(t, j, Record{Time: at, ID: id(0), What: "attempt", From: "ann@a.test"})
	if got := told(t, dir, "ann@a.test", 1); !slices.Equal(got, []spool.ID{id(0), id(0)}) {
		t.Errorf("got %v", got)
	}
}

func TestFilesAreOfADay(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	old := accepted(1, "ann@a.test")
	old.Time = moment.AddDate(-30, 0, 0) // from drop/, or of a clock that was wrong
	add(t, j, old, accepted(2, "ann@a.test"))
	if got, want := files(t, dir), []string{"2026-11-23-000001.jsonl"}; !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	for range 6 {
		at = at.AddDate(0, 0, 1)
		add(t, j, accepted(3, "ann@a.test"))
	}
	want := []string{"2026-11-26-000001.jsonl", "2026-11-27-000001.jsonl", "2026-11-28-000001.jsonl", "2026-11-29-000001.jsonl"}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v: three days are kept, and today", got, want)
	}
	at = at.AddDate(0, 0, -1) // the clock is set back
	add(t, j, accepted(4, "ann@a.test"))
	if got := told(t, dir, string(id(4)), 1); len(got) != 1 {
		t.Error("what was written by a clock that was set back is not found")
	}
}

func TestFilesAreBoundedInSize(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	j.mu.Lock()
	j.file, j.total = 2000, 7000
	j.mu.Unlock()
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 3000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("2026-11-22-000001.jsonl")
	write("somebody's notes.txt") // not ours
	write("2026-13-99-000001.jsonl")
	for n := range 100 {
		add(t, j, accepted(n, strings.Repeat("a", 50)+"@a.test", "b@b.test"))
		var total int64
		for _, name := range files(t, dir) {
			if date, _ := parse(name); date == "" {
				continue
			}
			info, err := os.Lstat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size()
			if info.Size() > 2300 && info.Size() != 3000 {
				t.Fatalf("%s has %d octets", name, info.Size())
			}
		}
		if total > 7300 { // the last line may go over
			t.Fatalf("all files have %d octets", total)
		}
	}
	if got := told(t, dir, string(id(99)), 1); len(got) != 1 {
		t.Error("the last is not remembered")
	}
	if got := told(t, dir, string(id(0)), 1); len(got) != 0 {
		t.Error("the first is still there")
	}
	if names := files(t, dir); !slices.Contains(names, "somebody's notes.txt") || !slices.Contains(names, "2026-13-99-000001.jsonl") {
		t.Errorf("what is not ours was removed: %v", names)
	}

	// A restart goes on where it was.
	j.Close()
	before := files(t, dir)
	j = journal(t, dir, &at)
	add(t, j, accepted(100, "ann@a.test"))
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("files %v, then %v", before, after)
	}
}

// A crash leaves half a line: it is lost, and nothing else.
func TestRecent(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	notice, attempt := accepted(5, "ann@a.test"), accepted(4, "ann@a.test")
	notice.What, attempt.What = "notice", "attempt"
	attempt.Story = []string{`,"what":"accepted",`}
	add(t, j, accepted(1, "ann@a.test"), accepted(3, "bob@a.test"), attempt, notice)
	rs, err := Recent(dir, moment.Add(2*time.Second), "accepted", "notice")
	if err != nil || len(rs) != 2 || rs[0].ID != id(3) || rs[1].ID != id(5) {
		t.Errorf("%+v, %v", rs, err)
	}
	if rs, err := Recent(dir, time.Now().Add(time.Hour), "accepted"); err != nil || len(rs) != 0 {
		t.Errorf("%+v, %v of a file that is older", rs, err)
	}
	if rs, err := Recent(filepath.Join(dir, "none"), moment, "accepted"); err != nil || len(rs) != 0 {
		t.Errorf("%+v, %v", rs, err)
	}
}

func TestTornLine(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	add(t, j, accepted(1, "ann@a.test"))
	j.Close()
	path := filepath.Join(dir, "2026-11-23-000001.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"time":"2026-11-23T10:00:00Z","id":"` + string(id(2)) + `","what":"acc`)
	f.Close()
	if got := told(t, dir, "ann@a.test", 5); len(got) != 1 {
		t.Errorf("before the restart: %v", got)
	}
	j = journal(t, dir, &at)
	add(t, j, accepted(3, "ann@a.test"))
	if got, want := told(t, dir, "ann@a.test", 5), []spool.ID{id(1), id(3)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := told(t, dir, string(id(2)), 5); len(got) != 0 {
		t.Errorf("half a record was found: %v", got)
	}
}

func TestLongLinesInTheFileArePassedOver(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	add(t, j, accepted(1, "ann@a.test"))
	j.Close()
	path := filepath.Join(dir, "2026-11-23-000001.jsonl")
	for _, n := range []int{maxLine - 1, maxLine, maxLine + 1, 3 * maxLine} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, strings.Repeat("x", n)+"\n"...)
		b = append(b, "\n{}\nnull\n[1]\n\x00\xff\n"...)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j = journal(t, dir, &at)
		add(t, j, accepted(n, "ann@a.test"))
		j.Close()
	}
	if got := told(t, dir, "ann@a.test", 20); len(got) != 5 {
		t.Errorf("%d records were found, want 5", len(got))
	}
}

func TestOversizedRecord(t *testing.T) {
	long := strings.Repeat("\x1b", 70<<10)
	reply := spool.Result{Status: spool.Status{Class: 5}, Reply: long, Detail: long}
	many := accepted(1, "ann@a.test")
	for n := range 5000 {
		many.Rcpts = append(many.Rcpts, RcptOf(spool.Recipient{Addr: fmt.Sprintf("bob%d@b.test", n), Last: reply}))
	}
	story := accepted(2, "ann@a.test", "bob@b.test")
	story.Story = slices.Repeat([]string{long}, 20)
	hopeless := accepted(3, strings.Repeat("a", 2<<20))
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	for _, r := range []Record{many, story} {
		add(t, j, r)
		rs, err := Search(dir, string(r.ID), 5)
		if err != nil || len(rs) != 1 {
			t.Fatalf("got %d records: %v", len(rs), err)
		}
		if len(rs[0].Rcpts) == 0 || len(rs[0].Story) != 0 || len(rs[0].Notes) != 1 || rs[0].Rcpts[0].Addr != r.Rcpts[0].Addr {
			t.Errorf("%d recipients, %d lines, notes %q", len(rs[0].Rcpts), len(rs[0].Story), rs[0].Notes)
		}
	}
	if err := j.Add(hopeless); err == nil {
		t.Error("a record that cannot be kept is no error")
	}
	add(t, j, accepted(4, "dave@a.test"))
	if got := told(t, dir, "dave@a.test", 5); len(got) != 1 {
		t.Error("what came behind is lost")
	}
	if n := len(RcptOf(spool.Recipient{Last: reply}).Reply); n > maxReply+10 {
		t.Errorf("a reply of %d octets is kept", n)
	}
}

func TestConcurrentAdd(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	j.mu.Lock()
	j.file = 20 << 10
	j.mu.Unlock()
	const writers, each = 8, 200
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for n := range each {
				if err := j.Add(accepted(w*each+n, "ann@a.test", "bob@b.test")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Go(func() {
		for range 20 {
			j.Flush()
			if _, err := Search(dir, "ann@a.test", 20); err != nil {
				t.Error(err)
			}
		}
	})
	running.Wait()
	j.Flush()
	if got := told(t, dir, "ann@a.test", writers*each+1); len(got) != writers*each {
		t.Errorf("%d records, want %d", len(got), writers*each)
	}
}

// An error is told once, also one that only a later write of the buffer meets.
func TestErrorsAreToldOnce(t *testing.T) {
	dir, at := t.TempDir(), moment
	j := journal(t, filepath.Join(dir, "none"), &at)
	if err := j.Add(accepted(1, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
	if err := j.Add(accepted(2, "a")); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o700); err != nil {
		t.Fatal(err)
	}
	j.Add(accepted(3, "ann@a.test"))
	j.Flush()
	if got := told(t, filepath.Join(dir, "none"), "ann@a.test", 5); len(got) != 1 {
		t.Error("it does not write again")
	}

	// A file that cannot be written to any more.
	j.mu.Lock()
	j.out.Close()
	j.mu.Unlock()
	if err := j.Add(accepted(4, "ann@a.test")); err != nil {
		t.Error(err)
	}
	j.Flush()
	if err := j.Add(accepted(5, "ann@a.test")); err == nil {
		t.Error("nobody is told that a record was lost")
	}
	if err := j.Add(accepted(6, "ann@a.test")); err != nil {
		t.Errorf("told twice: %v", err)
	}
	j.Flush()
	if got, want := told(t, filepath.Join(dir, "none"), "ann@a.test", 5), []spool.ID{id(3), id(5), id(6)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What is added is on the way to the disk within a second, without a further call.
func TestFlushByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j := Open(dir, time.Hour)
		defer j.Close()
		r := accepted(1, "ann@a.test")
		r.ID = spool.NewID(time.Now())
		if err := j.Add(r); err != nil {
			t.Fatal(err)
		}
		wait := time.NewTimer(1100 * time.Millisecond)
		<-wait.C
		synctest.Wait()
		if got := told(t, dir, string(r.ID), 5); len(got) != 1 {
			t.Error("it is still in memory after a second")
		}
	})
}

func TestFilesAreForTheDaemonAlone(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir, at := t.TempDir(), moment
	j := journal(t, dir, &at)
	add(t, j, accepted(1, "ann@a.test"))
	info, err := os.Stat(filepath.Join(dir, "2026-11-23-000001.jsonl"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
}

func TestJSONNames(t *testing.T) {
	next := moment
	r := Record{Time: moment, ID: id(1), What: "attempt", From: "a", Size: 1, MsgID: "<m>", Parent: id(2), Held: "h", Notes: []string{"n"},
		Story: []string{"s"}, Next: &next, Gone: true,
		Origin: &spool.Origin{Via: "socket", UID: 7, Login: "ann", Client: "c", Auth: "x", PID: 9,
			Seen:   spool.Process{Name: "sh", Parent: "cron", PID: 8, Unit: "u", Container: "d", Login: "bob"},
			Claims: spool.Process{Command: "sh -c", Dir: "/", RealUser: "r", Script: "s"}},
		Rcpts: []Rcpt{RcptOf(spool.Recipient{Kind: spool.Mailbox, Addr: "bob", Original: "o",
			Last: spool.Result{Status: spool.Status{Class: 4, Subject: 2, Detail: 1}, Reply: "r", Remote: "h", TLS: "t", Detail: "d"}})}}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-11-23T10:00:00Z","id":"` + string(id(1)) + `","what":"attempt","from":"a",` +
		`"rcpts":[{"addr":"bob","original":"o","kind":"mailbox","outcome":"deferred","status":"4.2.1","remote":"h","tls":"t","reply":"r","detail":"d"}],` +
		`"size":1,"msgid":"\u003cm\u003e",` +
		`"origin":{"via":"socket","uid":7,"login":"ann","client":"c","auth":"x","pid":9,"seen":{"name":"sh","parent":"cron","pid":8,"unit":"u","container":"d","login":"bob"},` +
		`"claims":{"command":"sh -c","dir":"/","real_user":"r","script":"s"}},` +
		`"parent":"` + string(id(2)) + `","held":"h","notes":["n"],"story":["s"],"next":"2026-11-23T10:00:00Z","gone":true}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if got := string(idOf(b)); got != string(id(1)) {
		t.Errorf("idOf finds %q", got)
	}
}

func FuzzSearch(f *testing.F) {
	line, _ := json.Marshal(accepted(1, "ann@a.test", "bob@b.test"))
	f.Add(append(line, '\n'), "ann@a.test")
	f.Add([]byte("{\"time\":\"x\",\"id\":\"\n\xff\xfe{}\n"), string(id(1)))
	f.Fuzz(func(t *testing.T, file []byte, query string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "2026-11-23-000001.jsonl"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		rs, err := Search(dir, query, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if spool.ID(query).Valid() && r.ID != spool.ID(query) && r.Parent != spool.ID(query) {
				t.Errorf("asked for %s, told of %s", query, r.ID)
			}
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	j := Open(b.TempDir(), time.Hour)
	defer j.Close()
	r := accepted(1, "ann@a.test", "bob@b.test")
	r.Story = slices.Repeat([]string{"> RCPT TO:<bob@b.test>", "< 250 2.1.5 fine"}, 6)
	b.ReportAllocs()
	for b.Loop() {
		if err := j.Add(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearchOf200000Records(b *testing.B) {
	dir := b.TempDir()
	j := Open(dir, 24*time.Hour)
	for n := range 100_000 {
		r := accepted(n, fmt.Sprintf("user%d@a.test", n%1000), fmt.Sprintf("rcpt%d@b.test", n))
		r.ID = spool.DerivedID(time.Now(), fmt.Sprint(n))
		if err := j.Add(r); err != nil {
			b.Fatal(err)
		}
		r.What, r.Story = "attempt", slices.Repeat([]string{"> RCPT TO:<bob@b.test>", "< 250 2.1.5 fine"}, 6)
		if err := j.Add(r); err != nil {
			b.Fatal(err)
		}
	}
	j.Close()
	first := func(query string) string {
		rs, err := Search(dir, query, 20)
		if err != nil || len(rs) == 0 {
			b.Fatalf("%s: %d records, %v", query, len(rs), err)
		}
		return string(rs[0].ID)
	}
	for name, query := range map[string]string{
		"id": first("rcpt50000@b.test"), "one message": "RCPT77@b.test", "many messages": "user7@a.test", "none": "nobody@c.test",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Search(dir, query, 20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
