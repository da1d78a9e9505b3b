package mta

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpost/mta/dns"
	"signpost/mta/sign"
	"signpost/mta/stage"
	"signpost/spool"
)

func selfSigned(t *testing.T, names ...string) *stage.Exchanger {
	t.Helper()
	cfg, err := stage.SelfSigned(names...)
	if err != nil {
		t.Fatal(err)
	}
	return &stage.Exchanger{TLS: cfg}
}

// signatures splits content into the DKIM-Signature fields at its beginning and the rest.
func signatures(content []byte) (fields []string, rest []byte) {
	for bytes.HasPrefix(content, []byte("DKIM-Signature:")) {
		end := bytes.Index(content, []byte("\r\n")) + 2
		for end < len(content) && (content[end] == ' ' || content[end] == '\t') {
			end += bytes.Index(content[end:], []byte("\r\n")) + 2
		}
		fields = append(fields, string(content[:end]))
		content = content[end:]
	}
	return fields, content
}

func TestWhatLeavesIsTheStoredContentBehindItsSignatures(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", selfSigned(t, "mx1.one.test"))
	gate := stage.NewGate()
	one.Play(stage.Fault{At: stage.Mail, Wait: gate})
	w.key("r", "rsa2048")
	w.key("e", "ed25519")
	w.start()

	odd := strings.Replace(small, "\n\n", "\nX-Folded: a\n\tb\nX-Eight: gr\xfc\xdfe\nSubject: again\n\n", 1) +
		".\n..dots\n" + strings.Repeat("x", 1500) + "\nno end"
	id := w.send(letter{rcpts: to("bob@one.test"), text: odd})
	select {
	case <-gate.Arrived():
	case <-w.context().Done():
		t.Fatal("nobody came to the exchanger")
	}
	content, err := w.d.dir.Content(id)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := io.ReadAll(content)
	content.Close()
	if err != nil {
		t.Fatal(err)
	}
	gate.Open()
	got := w.arrive(one, 1)[0]

	fields, rest := signatures(got.Content)
	if len(fields) != 2 {
		t.Errorf("got %d signatures, want 2:\n%s", len(fields), got.Content)
	}
	if !bytes.Equal(rest, stored) {
		t.Errorf("behind the signatures:\ngot  %q\nwant %q", rest, stored)
	}
	if !bytes.HasSuffix(stored, []byte("\r\n..dots\r\n"+strings.Repeat("x", 1500)+"\r\nno end\r\n")) {
		t.Errorf("stored: %q", stored)
	}
	if got.TLS == nil {
		t.Error("the message came in clear")
	}
	if b := one.Breaches(); len(b) > 0 {
		t.Errorf("breaches: %q", b)
	}
	w.verify(got.Content, 2)

	all := w.settle()
	if a := about(all, id, "attempt"); len(a) != 1 || a[0].str("tls") != "TLS1.3 unverified" {
		t.Errorf("attempts in the log: %v", a)
	}
	if ids := w.queued(); len(ids) != 0 {
		t.Errorf("still in the spool: %v", ids)
	}
}

// verify checks that content has n good signatures.
func (w *world) verify(content []byte, n int) {
	w.t.Helper()
	resolver := dns.New(dns.Options{Servers: []string{w.dns.Addr()}})
	verdicts, err := sign.Verify(bytes.NewReader(content), func(name string) ([]string, error) {
		txt, _, err := resolver.TXT(w.t.Context(), name)
		return txt, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(verdicts) != n {
		w.t.Errorf("got %d signatures, want %d", len(verdicts), n)
	}
	for _, v := range verdicts {
		if v.Err != nil {
			w.t.Errorf("signature %s of %s: %v", v.Selector, v.Domain, v.Err)
		}
	}
}

func TestOneMessageForSeveralDomains(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	w.key("r", "rsa2048")
	w.start()
	id := w.send(letter{rcpts: to("a@one.test", "b@one.test", "c@two.test", "A@one.test", "a@ONE.test")})
	atOne, atTwo := w.arrive(one, 1), w.arrive(two, 1)
	all := w.settle()
	if n := len(one.Transactions()); n != 1 {
		t.Errorf("%d transactions at one.test", n)
	}
	var got []string
	for _, r := range atOne[0].Rcpts {
		got = append(got, r.Addr)
	}
	if s := strings.Join(got, " "); s != "a@one.test b@one.test A@one.test" {
		t.Errorf("recipients at one.test: %s", s)
	}
	if !bytes.Equal(atOne[0].Content, atTwo[0].Content) {
		t.Errorf("two forms of one message:\n%s\n%s", atOne[0].Content, atTwo[0].Content)
	}
	w.verify(atTwo[0].Content, 1)
	if n := len(about(all, id, "attempt")); n != 4 {
		t.Errorf("%d attempts in the log, want one a recipient", n)
	}
	if atOne[0].TLS != nil {
		t.Error("TLS with an exchanger that does not offer it")
	}
}

func TestDeadHostIsPassedOver(t *testing.T) {
	w := newWorld(t)
	w.dead("one.test")
	second := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	id := w.send(letter{rcpts: to("bob@one.test")})
	w.arrive(second, 1)
	all := w.settle()
	a := about(all, id, "attempt")
	if len(a) != 1 || a[0].str("status") != "sent" || !strings.HasPrefix(a[0].str("relay"), "mx2.one.test[127.0.0.3]:") {
		t.Errorf("attempts in the log: %v", a)
	}
}

// The first host answers for some recipients and then breaks off: the second sees the others alone.
func TestSecondHostGetsOnlyWhoIsLeft(t *testing.T) {
	w := newWorld(t)
	first := w.exchanger("one.test", &stage.Exchanger{Reject: []string{"nobody@one.test"}})
	second := w.exchanger("one.test", &stage.Exchanger{})
	back := w.exchanger("two.test", &stage.Exchanger{})
	first.Play(stage.Fault{At: stage.Rcpt, For: "bob@one.test", Reply: "421 4.3.2 closing", Close: true})
	w.start()
	id := w.send(letter{sender: "ann@two.test", rcpts: to("nobody@one.test", "bob@one.test", "carol@one.test")})
	got := w.arrive(second, 1)
	var names []string
	for _, r := range got[0].Rcpts {
		names = append(names, r.Addr)
	}
	if s := strings.Join(names, " "); s != "bob@one.test carol@one.test" {
		t.Errorf("recipients at the second host: %s", s)
	}
	bounce := w.arrive(back, 1)
	all := w.settle()
	if n := strings.Count(string(bounce[0].Content), "Final-Recipient:"); n != 1 {
		t.Errorf("the bounce speaks of %d recipients", n)
	}
	want := map[string]string{"nobody@one.test": "bounced", "bob@one.test": "sent", "carol@one.test": "sent"}
	attempts := about(all, id, "attempt")
	for _, a := range attempts {
		if a.str("status") != want[a.str("to")] {
			t.Errorf("%s: %s, want %s", a.str("to"), a.str("status"), want[a.str("to")])
		}
	}
	if len(attempts) != 3 {
		t.Errorf("attempts: %v", attempts)
	}
}

// What the first host took is not given to the second.
func TestSecondHostAfterTheFirstTookSome(t *testing.T) {
	w := newWorld(t)
	first := w.exchanger("one.test", &stage.Exchanger{})
	second := w.exchanger("one.test", &stage.Exchanger{})
	first.Play(stage.Fault{At: stage.Mail, Skip: 1, Reply: "421 4.3.2 enough", Close: true})
	w.start()
	var rcpts []spool.Recipient
	for i := range 103 {
		rcpts = append(rcpts, to(string(rune('a'+i%26))+strings.Repeat("x", i/26)+"@one.test")...)
	}
	w.send(letter{rcpts: rcpts})
	atFirst, atSecond := w.arrive(first, 1), w.arrive(second, 1)
	w.settle()
	if a, b := len(atFirst[0].Rcpts), len(atSecond[0].Rcpts); a != 100 || b != 3 {
		t.Errorf("the hosts got %d and %d recipients", a, b)
	}
	if n := len(first.Accepted()) + len(second.Accepted()); n != 2 {
		t.Errorf("%d transactions", n)
	}
}

// A name that cannot be looked up now waits; the other recipients do not.
func TestNameThatCannotBeExpandedWaitsAlone(t *testing.T) {
	w := newWorld(t)
	list := filepath.Join(w.dir, "members")
	w.aliases = "crowd: :include:" + list + "\n"
	w.delivery = "retry = [\"20ms\"]\n"
	one := w.exchanger("one.test", &stage.Exchanger{})
	w.start()
	id := w.send(letter{rcpts: to("crowd@"+host, "carol@one.test")})
	w.arrive(one, 1)
	w.await("a deferral", func(all []line) bool {
		return slices.ContainsFunc(about(all, id, "attempt"), func(l line) bool {
			return l.str("to") == "crowd@"+host && l.str("status") == "deferred"
		})
	})
	w.write("members", "bob@one.test, carol@one.test\n")
	got := w.arrive(one, 2)
	w.settle()
	if len(got) != 2 || got[0].Rcpts[0].Addr != "carol@one.test" || len(got[1].Rcpts) != 1 || got[1].Rcpts[0].Addr != "bob@one.test" {
		t.Errorf("delivered: %v, then %v", got[0].Rcpts, got[1].Rcpts)
	}
}

func TestDamagedMessageIsSetAside(t *testing.T) {
	w := newWorld(t)
	w.top = "postmaster = \"post@two.test\"\n"
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	w.start()
	later := spool.Told{Queued: true}
	bad := w.send(letter{rcpts: to("bob@one.test"), told: later})
	good := w.send(letter{rcpts: to("carol@one.test"), told: later})
	w.halt()
	path := filepath.Join(w.dir, "spool/new", string(bad))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.write("spool/new/"+string(bad), strings.Replace(string(b), "How are you", "Who are you", 1))
	w.start()
	w.d.queue.RetryAll()
	w.await("both, and the notice", func(all []line) bool { return len(ids(all, "done", "damaged")) == 3 })
	all := w.log.all()
	if len(about(all, bad, "damaged")) != 1 || len(about(all, good, "done")) != 1 {
		t.Error("not what the log says")
	}
	if got := one.Transactions(); len(got) != 1 || got[0].Rcpts[0].Addr != "carol@one.test" {
		t.Errorf("sent: %v", got)
	}
	aside := filepath.Join(w.dir, "spool/corrupt", string(bad))
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	told := two.Accepted()
	if len(told) != 1 || told[0].Sender.Addr != "" || !strings.Contains(string(told[0].Content), "\r\n    "+aside+"\r\n") {
		t.Errorf("the postmaster was told: %v", told)
	}
}
