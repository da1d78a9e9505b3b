package mta

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"signpost/mta/stage"
	"signpost/spool"
)

// report is a notice as a program reads it.
type report struct {
	header mail.Header
	status string // the delivery-status part
	kind   string // content type of the third part
	parts  []string
}

func parseReport(t *testing.T, content string) report {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(content))
	if err != nil {
		t.Fatalf("%v in %q", err, content)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("content type %q: %v", m.Header.Get("Content-Type"), err)
	}
	r := report{header: m.Header}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		r.kind = p.Header.Get("Content-Type")
		r.parts = append(r.parts, string(b))
	}
	if len(r.parts) != 3 {
		t.Fatalf("%d parts, want 3", len(r.parts))
	}
	r.status = r.parts[1]
	return r
}

func (r report) says(t *testing.T, want ...string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(r.status, s) {
			t.Errorf("the status does not say %q:\n%s", s, r.status)
		}
	}
}

func TestBounceArrivesInTheMailbox(t *testing.T) {
	w := newWorld(t)
	w.exchanger("one.test", &stage.Exchanger{Reject: []string{"nobody@one.test"}})
	w.start()
	login := w.account().Name
	id := w.send(letter{rcpts: to("nobody@one.test", "bob@one.test")})
	all := w.settle()
	box := w.mailbox(login)
	if len(box) != 1 {
		t.Fatalf("%d messages in the mailbox of %s", len(box), login)
	}
	if strings.Contains(box[0], "\r") {
		t.Error("a CR in the mailbox")
	}
	r := parseReport(t, box[0])
	r.says(t, "Reporting-MTA: dns; "+host, "Final-Recipient: rfc822; nobody@one.test", "Action: failed", "Status: 5.1.1",
		"Remote-MTA: dns; mx1.one.test", "Diagnostic-Code: smtp; 550 5.1.1")
	if strings.Contains(r.status, "bob@") {
		t.Error("the bounce speaks of who got the message")
	}
	if got, want := r.header.Get("Return-Path"), "<>"; got != want {
		t.Errorf("Return-Path %q, want %q", got, want)
	}
	if got := about(all, id, "bounce"); len(got) != 1 {
		t.Errorf("lines about the bounce: %v", got)
	}
}

// A remote sender, and what the caller said of notices (RFC 3461).
func TestBounceByNotifyAndRet(t *testing.T) {
	tests := []struct {
		name   string
		notify spool.Notify
		ret    string
		sender string
		kind   string // of the third part; empty: no bounce
	}{
		{"nothing was said", 0, "", "ann@two.test", "message/rfc822"},
		{"failures only", spool.NotifyFailure, "FULL", "ann@two.test", "message/rfc822"},
		{"headers only", spool.NotifyFailure | spool.NotifyDelay, "HDRS", "ann@two.test", "text/rfc822-headers"},
		{"never", spool.NotifyNever, "", "ann@two.test", ""},
		{"success and delay only", spool.NotifySuccess | spool.NotifyDelay, "", "ann@two.test", ""},
	}
	w := newWorld(t)
	w.exchanger("one.test", &stage.Exchanger{Reject: []string{"nobody@one.test"}})
	two := w.exchanger("two.test", &stage.Exchanger{})
	w.start()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(two.Accepted())
			rcpts := []spool.Recipient{{Addr: "nobody@one.test", Notify: tt.notify}}
			id := w.send(letter{sender: tt.sender, rcpts: rcpts, told: spool.Told{Ret: tt.ret, EnvID: "env+7"}})
			all := w.settle()
			got := two.Accepted()[before:]
			if tt.kind == "" {
				if len(got) != 0 || len(about(all, id, "bounce")) != 0 {
					t.Errorf("%d bounces", len(got))
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d bounces, want 1", len(got))
			}
			if got[0].Sender.Addr != "" || got[0].Rcpts[0].Addr != "ann@two.test" {
				t.Errorf("from <%s> for %v", got[0].Sender.Addr, got[0].Rcpts)
			}
			r := parseReport(t, string(got[0].Content))
			r.says(t, "Original-Envelope-Id: env+7", "Status: 5.1.1")
			if !strings.HasPrefix(r.kind, tt.kind) {
				t.Errorf("the original is %s, want %s", r.kind, tt.kind)
			}
		})
	}
}

func TestDoubleBounceGoesToThePostmaster(t *testing.T) {
	w := newWorld(t)
	w.top = "postmaster = \"post@three.test\"\n"
	w.exchanger("one.test", &stage.Exchanger{Reject: []string{"nobody@one.test"}})
	w.exchanger("two.test", &stage.Exchanger{Reject: []string{"ann@two.test"}})
	three := w.exchanger("three.test", &stage.Exchanger{})
	w.start()
	id := w.send(letter{sender: "ann@two.test", rcpts: to("nobody@one.test")})
	got := w.arrive(three, 1)
	all := w.settle()
	if len(got) != 1 || got[0].Sender.Addr != "" || got[0].Rcpts[0].Addr != "post@three.test" {
		t.Fatalf("at the postmaster's: %v", got)
	}
	r := parseReport(t, string(got[0].Content))
	r.says(t, "Final-Recipient: rfc822; ann@two.test", "Status: 5.1.1")
	if len(about(all, id, "bounce")) != 1 {
		t.Error("the bounce is not in the log")
	}
	var double []line
	for _, l := range all {
		if l.msg() == "double-bounce" {
			double = append(double, l)
		}
	}
	if len(double) != 1 || double[0].str("id") == string(id) {
		t.Errorf("double bounces in the log: %v", double)
	}
}

func TestDoubleBounceThatFailsIsDroppedAndLogged(t *testing.T) {
	w := newWorld(t)
	w.top = "postmaster = \"post@one.test\"\n"
	one := w.exchanger("one.test", &stage.Exchanger{Reject: []string{"nobody@one.test", "post@one.test", "ann@one.test"}})
	w.start()
	w.send(letter{sender: "ann@one.test", rcpts: to("nobody@one.test")})
	all := w.settle()
	if n := len(ids(all, "accepted")); n != 3 {
		t.Errorf("%d messages, want the first, its bounce and the double bounce", n)
	}
	dropped := 0
	for _, l := range all {
		if strings.Contains(l.msg(), "dropped") && l.str("level") == "WARN" && l.str("id") != "" {
			dropped++
		}
	}
	if dropped != 1 {
		t.Errorf("%d lines say that a double bounce is dropped", dropped)
	}
	if n := len(one.Accepted()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
	if left := w.queued(); len(left) != 0 {
		t.Errorf("left in the spool: %v", left)
	}
}

// A null reverse-path is never answered, and its failure reaches the postmaster.
func TestFailureOfANullSender(t *testing.T) {
	w := newWorld(t)
	w.top = "postmaster = \"post@two.test\"\n"
	w.exchanger("one.test", &stage.Exchanger{Reject: []string{"nobody@one.test"}})
	two := w.exchanger("two.test", &stage.Exchanger{})
	w.start()
	w.send(letter{sender: "<>", rcpts: to("nobody@one.test")})
	w.settle()
	if got := two.Accepted(); len(got) != 1 || got[0].Rcpts[0].Addr != "post@two.test" {
		t.Errorf("got %v", got)
	}
}

// sendmail -t passes bad members of a list on as failed: the good ones get the message, the sender one bounce.
func TestBadMembersOfAListBounceOnce(t *testing.T) {
	w := newWorld(t)
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	one.Play(stage.Fault{At: stage.Rcpt, Times: 1, Reply: "451 4.3.0 not now"})
	w.delivery = "retry = [\"20ms\"]\n"
	w.start()
	bad := func(addr string) spool.Recipient {
		return spool.Recipient{Addr: addr, Last: spool.Result{Status: spool.Status{Class: 5, Subject: 1, Detail: 3}, Detail: "no address"}}
	}
	id := w.send(letter{sender: "ann@two.test", rcpts: append(to("bob@one.test"), bad("a b c"), bad("<<"))})
	w.arrive(one, 1)
	all := w.settle()
	got := two.Accepted()
	if len(got) != 1 {
		t.Fatalf("%d bounces, want 1", len(got))
	}
	r := parseReport(t, string(got[0].Content))
	if n := strings.Count(r.status, "Status: 5.1.3"); n != 2 {
		t.Errorf("the bounce speaks of %d recipients, want 2:\n%s", n, r.status)
	}
	tried := map[string][]string{}
	for _, a := range about(all, id, "attempt") {
		tried[a.str("to")] = append(tried[a.str("to")], a.str("status"))
	}
	want := map[string]string{"bob@one.test": "[deferred sent]", "a b c": "[bounced]", "<<": "[bounced]"}
	for addr, outcome := range want {
		if got := fmt.Sprint(tried[addr]); got != outcome {
			t.Errorf("%s: %s, want %s", addr, got, outcome)
		}
	}
}

func TestDelayNoticeOnce(t *testing.T) {
	w := newWorld(t)
	w.delivery = "retry = [\"20ms\"]\ndelay_warning = \"1ms\"\n"
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	one.Play(stage.Fault{At: stage.Rcpt, Times: 12, Reply: "451 4.3.0 not now"})
	w.start()
	plain := w.send(letter{sender: "ann@two.test", rcpts: to("bob@one.test")})
	never := w.send(letter{sender: "never@two.test", rcpts: []spool.Recipient{{Addr: "bob@one.test", Notify: spool.NotifyFailure}}})
	null := w.send(letter{sender: "<>", rcpts: to("bob@one.test")})
	list := w.send(letter{sender: "list@two.test", rcpts: to("bob@one.test"), text: strings.Replace(small, "\n\n", "\nList-Id: x\n\n", 1)})
	w.arrive(one, 4)
	all := w.settle()
	got := two.Accepted()
	if len(got) != 1 || got[0].Sender.Addr != "" || got[0].Rcpts[0].Addr != "ann@two.test" {
		t.Fatalf("notices: %v", got)
	}
	parseReport(t, string(got[0].Content)).says(t, "Action: delayed", "Status: 4.3.0", "Will-Retry-Until: ")
	for _, id := range []spool.ID{never, null, list} {
		if n := about(all, id, "delay"); len(n) != 0 {
			t.Errorf("a notice about %s: %v", id, n)
		}
	}
	if n := about(all, plain, "delay"); len(n) != 1 {
		t.Errorf("notices in the log: %v", n)
	}
}

func TestExpiredMailBounces(t *testing.T) {
	w := newWorld(t)
	w.delivery = "expire = \"1ms\"\nretry = [\"1ms\"]\ndelay_warning = \"0\"\n"
	one := w.exchanger("one.test", &stage.Exchanger{})
	two := w.exchanger("two.test", &stage.Exchanger{})
	one.Play(stage.Fault{At: stage.Rcpt, Reply: "451 4.3.0 not now"})
	w.start()
	id := w.send(letter{sender: "ann@two.test", rcpts: to("bob@one.test")})
	got := w.arrive(two, 1)
	all := w.settle()
	parseReport(t, string(got[0].Content)).says(t, "Action: failed", "Status: 4.4.7", "451 4.3.0 not now")
	a := about(all, id, "attempt")
	if last := a[len(a)-1]; last.str("status") != "expired" || last.str("dsn") != "4.4.7" {
		t.Errorf("the last attempt: %v", last)
	}
}

// A list with an owner has a reverse-path of its own, and what fails goes to the owner.
func TestListWithAnOwner(t *testing.T) {
	w := newWorld(t)
	w.aliases = "crowd: bob@one.test, nobody@one.test\nowner-crowd: boss@two.test\n"
	one := w.exchanger("one.test", &stage.Exchanger{Reject: []string{"nobody@one.test"}})
	two := w.exchanger("two.test", &stage.Exchanger{})
	w.start()
	id := w.send(letter{sender: "ann@two.test", rcpts: to("crowd@"+host, "carol@one.test")})
	w.arrive(one, 2)
	bounce := w.arrive(two, 1)
	all := w.settle()
	got := make(map[string]string)
	for _, x := range one.Accepted() {
		for _, r := range x.Rcpts {
			got[r.Addr] = x.Sender.Addr
		}
	}
	if got["bob@one.test"] != "owner-crowd@"+host || got["carol@one.test"] != "ann@two.test" || len(got) != 2 {
		t.Errorf("reverse-paths: %v", got)
	}
	if len(bounce) != 1 || bounce[0].Rcpts[0].Addr != "boss@two.test" {
		t.Errorf("the bounce went to %v", bounce)
	}
	for _, a := range about(all, id, "attempt") {
		want := ""
		if slices.Contains([]string{"bob@one.test", "nobody@one.test"}, a.str("to")) {
			want = "crowd@" + host
		}
		if a.str("orig_to") != want {
			t.Errorf("orig_to of %s is %q, want %q", a.str("to"), a.str("orig_to"), want)
		}
	}
}

// Who does not exist here is named in log and bounce like any other recipient.
func TestUnknownLocalUserBounces(t *testing.T) {
	w := newWorld(t)
	w.aliases = "twice: " + w.account().Name + "\n"
	w.start()
	login := w.account().Name
	id := w.send(letter{rcpts: to("no.such.user@"+host, login+"@"+host, "twice@"+host)})
	all := w.settle()
	got := make(map[string]string)
	for _, a := range about(all, id, "attempt") {
		got[a.str("to")] = a.str("status") + " " + a.str("dsn")
	}
	want := map[string]string{"no.such.user@" + host: "bounced 5.1.1", login: "sent 2.0.0", "twice@" + host: "sent 2.0.0"}
	for addr, outcome := range want {
		if got[addr] != outcome {
			t.Errorf("%s: %q, want %q (all: %v)", addr, got[addr], outcome, got)
		}
	}
	if n := len(w.mailbox(login)); n != 2 {
		t.Errorf("%d messages in the mailbox, want the message once and a bounce", n)
	}
}
