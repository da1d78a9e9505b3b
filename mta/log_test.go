package mta

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"signpost/mta/config"
	"signpost/mta/intake"
	"signpost/mta/queue"
	"signpost/mta/stage"
	"signpost/spool"
)

// The names of fields that scripts rely on (interface.md 4), in the order in which lines have them.
var stable = map[string][]string{
	"accepted": {"id", "from", "uid", "client", "size", "nrcpt", "msgid"},
	"attempt":  {"id", "from", "to", "orig_to", "relay", "tls", "delay", "delays", "dsn", "status", "reply"},
	"bounce":   {"id", "from"},
	"done":     {"id", "from", "delay"},
}

func TestLogTellsOfEachMessageFromBeginningToEnd(t *testing.T) {
	w := newWorld(t)
	w.aliases = "bob: bob@one.test\n"
	w.delivery = "retry = [\"20ms\"]\n"
	one := w.exchanger("one.test", selfSigned(t, "mx1.one.test"))
	one.Reject = []string{"nobody@one.test"} // nobody has connected yet
	two := w.exchanger("two.test", &stage.Exchanger{})
	one.Play(stage.Fault{At: stage.Rcpt, For: "bob@one.test", Times: 2, Reply: "451 4.3.0 not now"})
	w.start()
	sent := map[spool.ID]bool{}
	for _, rcpts := range [][]string{{"bob@" + host}, {"nobody@one.test", "carol@one.test"}, {"dave@two.test"}} {
		sent[w.send(letter{sender: "ann@two.test", rcpts: to(rcpts...)})] = true
	}
	w.arrive(two, 2)
	all := w.settle()

	in, out := ids(all, "accepted"), ids(all, "done")
	if !slices.Equal(in, out) || len(in) != 4 {
		t.Errorf("accepted %v, done %v", in, out)
	}
	for _, id := range in {
		if len(about(all, spool.ID(id), "attempt")) == 0 || len(about(all, spool.ID(id), "accepted")) != 1 || len(about(all, spool.ID(id), "done")) != 1 {
			t.Errorf("message %s: %v", id, about(all, spool.ID(id), ""))
		}
	}
	for raw := range strings.Lines(w.log.text()) {
		var l line
		if err := json.Unmarshal([]byte(raw), &l); err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		if names, ok := stable[l.msg()]; ok && l.str("client") != "bounce" {
			checkFields(t, l, raw, names)
		}
	}
	for _, l := range all {
		if l.msg() == "attempt" && l.str("to") == "bob@one.test" && l.str("orig_to") != "bob@"+host {
			t.Errorf("orig_to: %v", l)
		}
	}
}

// checkFields finds the named fields in their order; orig_to and tls only where there is something to say.
func checkFields(t *testing.T, l line, raw string, names []string) {
	t.Helper()
	last := 0
	for _, name := range names {
		at := strings.Index(raw, `"`+name+`":`)
		if at < 0 {
			if name != "orig_to" && name != "tls" {
				t.Errorf("no %s in %s", name, raw)
			}
			continue
		}
		if at < last {
			t.Errorf("%s is out of its place in %s", name, raw)
		}
		last = at
	}
	if l.msg() == "attempt" && len(strings.Split(l.str("delays"), "/")) != 4 {
		t.Errorf("delays: %s", l.str("delays"))
	}
}

// nasty is a reply with all that could break a line, or speak to a terminal.
const nasty = "550-5.1.1 \x1b[2J\x1b]0;owned\x07 bad\x00\x7f\x08\r\n550-5.1.1 time=now level=ERROR msg=\"forged\" id=1\r\n" +
	"550 5.1.1 \xc2\x9b31m \xe2\x80\xa8 \xe2\x80\xae \xff\xfe \"quoted\" \\ \xf3\xa0\x80\xa1\r\n"

func TestLogLineIsOneLineWhateverAPeerSays(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			w.format = format
			one := w.exchanger("one.test", &stage.Exchanger{})
			one.Play(stage.Fault{At: stage.Rcpt, Raw: nasty})
			w.start()
			rcpts := append(to("bob@one.test"), spool.Recipient{Addr: "a\x1b[2J\nb",
				Last: spool.Result{Status: spool.Status{Class: 5, Subject: 1, Detail: 3}, Detail: "x\x1b[2J\ny"}})
			id := w.send(letter{sender: "<>", rcpts: rcpts, text: "Message-ID: <\x1b[2J\xe2\x80\xae@x>\n\nHello\n"})
			w.await("the end of all", func([]line) bool {
				return strings.Contains(w.log.text(), "dropped") || strings.Count(w.log.text(), "done") >= 2
			})
			text := w.log.text()
			for l := range strings.Lines(text) {
				checkLine(t, format, l)
			}
			if !strings.Contains(text, string(id)) || !strings.Contains(text, "forged") {
				t.Errorf("the reply is not in the log:\n%s", text)
			}
		})
	}
}

func checkLine(t *testing.T, format, l string) {
	t.Helper()
	l = strings.TrimSuffix(l, "\n")
	begin := "time="
	if format == "json" {
		begin = `{"time":"`
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %q", l)
		}
	}
	if !strings.HasPrefix(l, begin) {
		t.Errorf("a line that is none: %q", l)
	}
	for _, r := range l {
		if r == utf8.RuneError || r != ' ' && !unicode.IsPrint(r) {
			t.Errorf("%U in %q", r, l)
		}
	}
}

// What is escaped in JSON is the same text to whoever reads the JSON.
func TestJSONLogKeepsTexts(t *testing.T) {
	const text = "plain, gr\u00fc\u00df, \u007f \u0085 \u009b31m \u2028 \u202e \U000e0021 \U0010ffff \"\\\" \n\x1b"
	g := &logged{}
	log := NewLogger(g, config.Log{Format: "json", Level: "info"})
	log.Info(text, "reply", text, slog.Group("g", "x", text))
	raw := g.text()
	checkLine(t, "json", raw)
	if got := g.all()[0]; got.msg() != text || got.str("reply") != text {
		t.Errorf("got %q, want %q", got, text)
	}
	if !strings.Contains(raw, "gr\u00fc\u00df") {
		t.Errorf("letters are escaped: %s", raw)
	}
}

func TestLogLevel(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1, "nonsense": 3} {
		g := &logged{}
		log := NewLogger(g, config.Log{Format: "text", Level: level})
		log.Debug("a")
		log.Info("b")
		log.Warn("c")
		log.Error("d")
		if n := len(g.all()); n != want {
			t.Errorf("level %s: %d lines, want %d", level, n, want)
		}
	}
}

func BenchmarkLogOfOneMessage(b *testing.B) {
	for _, format := range []string{"text", "json"} {
		b.Run(format, func(b *testing.B) {
			n := &notes{log: NewLogger(discard{}, config.Log{Format: format}), now: now}
			b.ReportAllocs()
			for b.Loop() {
				n.accepted(exampleAccepted)
				n.event(exampleEvent)
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

var moment = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func now() time.Time { return moment.Add(time.Second) }

var exampleEnvelope = spool.Envelope{Sender: "ann@" + host, Arrived: moment, Origin: spool.Origin{Via: "socket", UID: 1000, Login: "ann", PID: 77},
	Rcpts: []spool.Recipient{{Addr: "bob@one.test"}}}

var exampleAccepted = intake.Accepted{ID: "01M8579Y2WZYQGGD19", Envelope: exampleEnvelope, Size: 4000, MsgID: "<1@" + host + ">"}

var exampleEvent = queue.Event{ID: "01M8579Y2WZYQGGD19", Envelope: exampleEnvelope, Size: 4000, What: "attempt", Gone: true, Began: moment,
	Rcpts: []spool.Recipient{{Addr: "bob@one.test", Last: spool.Result{Status: spool.Status{Class: 2}, Reply: "250 2.0.0 OK: queued",
		Remote: "mx1.one.test[192.0.2.1]:25", TLS: "TLS1.3 unverified", At: moment}}},
	Report: queue.Report{Story: slices.Repeat([]string{"> RCPT TO:<bob@one.test>", "< 250 2.1.5 fine"}, 6)}}
