package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"signpost/compat/header"
	"signpost/spool"
)

const (
	received = "Received: (from ann@localhost; uid 1001)\n\tby host.example.test id 01ARZ3NDEKTSV4RRFF;\n" +
		"\tMon, 23 Nov 2026 20:30:00 +0000\n"
	date    = "Date: Mon, 23 Nov 2026 20:30:00 +0000\n"
	fromAnn = "From: \"Ann O. Nym\" <ann@host.example.test>\n"
	hidden  = "To: undisclosed-recipients:;\n"
	msgid   = "Message-ID: <01ARZ3NDEKTSV4RRFF.m@host.example.test>\n"
)

// put hands a message in and gives what is stored.
func put(t *testing.T, i *Intake, who Caller, told spool.Told, content string) error {
	t.Helper()
	h, err := i.Create(t.Context(), who, told)
	if err != nil {
		return err
	}
	defer h.Abort()
	if _, err := io.WriteString(h, content); err != nil {
		return err
	}
	return h.Commit()
}

// The names are those of the vectors of sendmail-cli.md 13 that intake decides. Contents have their CRLF folded.
func TestCompletion(t *testing.T) {
	tests := []struct {
		name    string
		uid     int // 0: ann
		told    spool.Told
		content string
		want    string // without Received
	}{
		{name: "V01 nothing but a subject", content: "Subject: s\n\nbody\n",
			want: "Subject: s\n" + date + fromAnn + hidden + msgid + "\nbody\n"},
		{name: "V02 Bcc goes, To and Cc stay as given",
			content: "To: Bob <bob@example.com>, carol@example.com (Carol)\nCc: dave@example.net\nBcc: x@example.org\nSubject: s\n\nb\n",
			want: "To: Bob <bob@example.com>, carol@example.com (Carol)\nCc: dave@example.net\nSubject: s\n" +
				date + fromAnn + msgid + "\nb\n"},
		{name: "V06 only a Bcc", content: "Bcc: x@example.org\nSubject: s\n\nb\n",
			want: "Subject: s\n" + date + fromAnn + hidden + msgid + "\nb\n"},
		{name: "V07 a folded Bcc goes with its lines",
			content: "To: a@example.com\nbCC : b@example.com,\n c@example.com,\n\td@example.net\nX: y\n\nb\n",
			want:    "To: a@example.com\nX: y\n" + date + fromAnn + msgid + "\nb\n"},
		{name: "V22 nothing at all", content: "", want: date + fromAnn + hidden + msgid + "\n"},
		{name: "no header, one empty line", content: "\n", want: date + fromAnn + hidden + msgid + "\n"},
		{name: "V21 no header", content: "hello world\nsecond\n",
			want: date + fromAnn + hidden + msgid + "\nhello world\nsecond\n"},
		{name: "V84 the first line is empty", content: "\nSubject: s\n\nb\n",
			want: date + fromAnn + hidden + msgid + "\nSubject: s\n\nb\n"},
		{name: "V20 a line that is no field", content: "Subject: s\nno colon here\nmore\n",
			want: "Subject: s\n" + date + fromAnn + hidden + msgid + "\nno colon here\nmore\n"},
		{name: "V28 -F", told: spool.Told{FullName: ref("Full Name")}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: Full Name <ann@host.example.test>\n" + msgid + "\n"},
		{name: "V29 -F that must be quoted", told: spool.Told{FullName: ref(`Smith, John "JJ" (x)`)}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + `From: "Smith, John \"JJ\" (x)" <ann@host.example.test>` + "\n" + msgid + "\n"},
		{name: "V30 an empty -F", told: spool.Told{FullName: ref(""), Name: "Env"}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: ann@host.example.test\n" + msgid + "\n"},
		{name: "V31 -F with a From", told: spool.Told{FullName: ref("Full Name")}, content: "To: b@x\nFrom: ann\n\nb\n",
			want: "To: b@x\nFrom: ann@host.example.test\n" + date + msgid + "\nb\n"},
		{name: "V32 NAME", told: spool.Told{Name: "Env Name"}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: Env Name <ann@host.example.test>\n" + msgid + "\n"},
		{name: "V33 another caller", uid: 1002, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: Bob Bob Co <bob@host.example.test>\n" + msgid + "\n"},
		{name: "V34 LOGNAME of another uid", told: spool.Told{Login: "bob"}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + fromAnn + msgid + "\n"},
		{name: "LOGNAME of the same uid", told: spool.Told{Login: "anna"}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: Anna <anna@host.example.test>\n" + msgid + "\n"},
		{name: "uid without an account", uid: 1234, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: uid1234@host.example.test\n" + msgid + "\n"},
		{name: "login that could be taken for more", uid: 1003, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: uid1003@host.example.test\n" + msgid + "\n"},
		{name: "unmapped uid", uid: unmapped, told: spool.Told{Login: "nobody"}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: uid65534@host.example.test\n" + msgid + "\n"},
		{name: "V35 -f", told: spool.Told{Sender: ref("x@example.org")}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: x@example.org\n" + msgid + "\n"},
		{name: "-f and NAME", told: spool.Told{Sender: ref("x@example.org"), Name: "N"}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + "From: N <x@example.org>\n" + msgid + "\n"},
		{name: "V38 -f <>", told: spool.Told{Sender: ref("")}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + fromAnn + msgid + "\n"},
		{name: "V42 -f own name", told: spool.Told{Sender: ref("ann")}, content: "To: b@x\n\n",
			want: "To: b@x\n" + date + fromAnn + msgid + "\n"},
		{name: "V43 bare names are qualified, in all fields of addresses",
			content: "To: bob\nCC: \"carol\" (c, d), Dave <dave>,\n erin@x\nReply-To: x\nSender: y\nX-To: bob\nfrom: ann\n\nb\n",
			want: "To: bob@host.example.test\nCC: \"carol\"@host.example.test (c, d), Dave <dave@host.example.test>,\n erin@x\n" +
				"Reply-To: x@host.example.test\nSender: y@host.example.test\nX-To: bob\nfrom: ann@host.example.test\n" +
				date + msgid + "\nb\n"},
		{name: "V47 odd but whole lists stay", content: "To: Pete(A \\) chap) <pete(acct)@silly.test(h)>, b@x (x, y)\n\nb\n",
			want: "To: Pete(A \\) chap) <pete(acct)@silly.test(h)>, b@x (x, y)\n" + date + fromAnn + msgid + "\nb\n"},
		{name: "V51 resent", content: "To: orig@example.com\nResent-To: new@example.net\nResent-Bcc: nb@example.net\nSubject: s\n\nb\n",
			want: "Resent-" + date + "Resent-" + fromAnn + "Resent-Message-ID: <01ARZ3NDEKTSV4RRFF.r@host.example.test>\n" +
				"To: orig@example.com\nResent-To: new@example.net\nSubject: s\n" + date + fromAnn + msgid + "\nb\n"},
		{name: "resent and whole", content: "Resent-From: ann\nResent-Date: d\nResent-Message-ID: <r@x>\nResent-To: b@x\n" +
			"To: a@x\nFrom: a@x\nDate: e\nMessage-ID: <m@x>\n\nb\n",
			want: "Resent-From: ann@host.example.test\nResent-Date: d\nResent-Message-ID: <r@x>\nResent-To: b@x\n" +
				"To: a@x\nFrom: a@x\nDate: e\nMessage-ID: <m@x>\n\nb\n"},
		{name: "V54 cron", content: "From: root (Cron Daemon)\nTo: bob\nX-Cron-Env: <SHELL=/bin/sh>\n\nh\xc3\xa9\n.\nend",
			want: "From: root@host.example.test (Cron Daemon)\nTo: bob@host.example.test\nX-Cron-Env: <SHELL=/bin/sh>\n" +
				date + msgid + "\nh\xc3\xa9\n.\nend\n"},
		{name: "V82 blanks before the colon", content: "To : b@x\nSubject : s\n\nb\n",
			want: "To: b@x\nSubject: s\n" + date + fromAnn + msgid + "\nb\n"},
		{name: "V93 Return-Path and Content-Length go",
			content: "Return-Path: <q@b.example>\nContent-Length: 9\nTo: b@x\nSubject: s\n\nb\n",
			want:    "To: b@x\nSubject: s\n" + date + fromAnn + msgid + "\nb\n"},
		{name: "V94 empty fields are replaced", content: "Message-ID:\nDate: \t\nFrom:\n \nSubject: s\nTo: b@x\n\nb\n",
			want: "Subject: s\nTo: b@x\n" + date + fromAnn + msgid + "\nb\n"},
		{name: "two From that agree", content: "From: a@x\nTo: b@x\nFROM:  a@x\n\nb\n",
			want: "From: a@x\nTo: b@x\n" + date + msgid + "\nb\n"},
		{name: "two From that differ", content: "From: a@x\nTo: b@x\nFrom: ceo@x\n c\n\nb\n",
			want: "From: a@x\nTo: b@x\nX-Original-From: ceo@x\n c\n" + date + msgid + "\nb\n"},
		{name: "an empty From before one that is not", content: "From: \nTo: b@x\nFrom: a@x\n\nb\n",
			want: "To: b@x\nFrom: a@x\n" + date + msgid + "\nb\n"},
		{name: "only a Cc", content: "Cc: b@x\n\nb\n", want: "Cc: b@x\n" + date + fromAnn + msgid + "\nb\n"},
		{name: "NUL, lone CR, LF", content: "To: b@x\nSubject: a\x00b\rc\n\nd\x00e\rf\n",
			want: "To: b@x\nSubject: ab c\n" + date + fromAnn + msgid + "\nde f\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := new(memory)
			uid, login := 1001, "ann"
			if tt.uid != 0 {
				uid, login = tt.uid, map[int]string{1002: "bob"}[tt.uid]
			}
			if login == "" {
				login = fmt.Sprintf("uid%d", uid)
			}
			if tt.told.Login == "anna" {
				login = "anna"
			}
			tt.told.Rcpts = to("b@example.com")
			if err := put(t, newIntake(m), caller(uid), tt.told, tt.content); err != nil {
				t.Fatal(err)
			}
			got := m.one(t).content
			if strings.ReplaceAll(got, "\r\n", "") != strings.NewReplacer("\r", "", "\n", "").Replace(got) {
				t.Errorf("line ends are not all CRLF: %q", got)
			}
			want := strings.Replace(received, "ann@localhost; uid 1001", fmt.Sprintf("%s@localhost; uid %d", login, uid), 1) + tt.want
			if got = strings.ReplaceAll(got, "\r\n", "\n"); got != want {
				t.Errorf("stored:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestContentInAnyPiecesIsTheSame(t *testing.T) {
	content := "To: bob\r\nSubject: s\r\n folded\r\n\r\nbody\r\n.\r\nlast"
	var want string
	for size := 1; size <= len(content); size++ {
		m := new(memory)
		h, err := newIntake(m).Create(t.Context(), caller(1001), spool.Told{Rcpts: to("b@x")})
		if err != nil {
			t.Fatal(err)
		}
		for p := range slices.Chunk([]byte(content), size) {
			if _, err := h.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Commit(); err != nil {
			t.Fatal(err)
		}
		got := m.one(t).content
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("in pieces of %d:\n%q\nwant\n%q", size, got, want)
		}
	}
}

func TestEnvelope(t *testing.T) {
	x320 := strings.Repeat("x", 64) + "@" + strings.Repeat(strings.Repeat("d", 62)+".", 4) + "abc"
	tests := []struct {
		name   string
		uid    int
		told   spool.Told
		status spool.Status // of the refusal
		sender string
		rcpts  string // joined by blanks; "!" before a bad one, "\" before one without aliases
	}{
		{name: "no -f", told: spool.Told{Rcpts: to("b@x")}, sender: "ann@" + host, rcpts: "b@x"},
		{name: "V33 bob", uid: 1002, told: spool.Told{Rcpts: to("b@x")}, sender: "bob@" + host, rcpts: "b@x"},
		{name: "uid without an account", uid: 4321, told: spool.Told{Rcpts: to("b@x")}, sender: "uid4321@" + host, rcpts: "b@x"},
		{name: "V39 null sender", told: spool.Told{Sender: ref(""), Rcpts: to("b@x")}, sender: "", rcpts: "b@x"},
		{name: "V42 bare -f", told: spool.Told{Sender: ref("carol"), Rcpts: to("b@x")}, sender: "carol@" + host, rcpts: "b@x"},
		{name: "V43 bare recipient", told: spool.Told{Rcpts: to("bob")}, sender: "ann@" + host, rcpts: "bob@" + host},
		{name: "V52 duplicates", told: spool.Told{Rcpts: to("b@x.test", "B@x.test", "b@X.TEST", "bob", "bob@"+host)},
			sender: "ann@" + host, rcpts: "b@x.test B@x.test bob@" + host},
		{name: "V60 a dash", told: spool.Told{Rcpts: to("-bob@x")}, sender: "ann@" + host, rcpts: "-bob@x"},
		{name: "quoted local part", told: spool.Told{Rcpts: to(`"a b"@x`)}, sender: "ann@" + host, rcpts: `"a b"@x`},
		{name: "no aliases", told: spool.Told{Rcpts: []spool.Recipient{{Addr: "bob", NoAlias: true}, {Addr: `\carol`}, {Addr: "bob"}}},
			sender: "ann@" + host, rcpts: `\bob@` + host + ` \carol@` + host + " bob@" + host},
		{name: "bad ones beside a good one", told: spool.Told{Rcpts: to("b@x", "|/bin/sh", "/etc/passwd", ":include:/x", "a@b@c", "a@x, c@x", "", "a\nb@x")},
			sender: "ann@" + host, rcpts: "b@x !|/bin/sh !/etc/passwd !:include:/x !a@b@c !a@x, c@x ! !a b@x"},
		{name: "bad by the caller's word",
			told: spool.Told{Rcpts: []spool.Recipient{{Addr: "b@x"},
				{Addr: "a@x", Last: spool.Result{Status: spool.Status{Class: 5, Subject: 1, Detail: 3}, Detail: "odd"}}}},
			sender: "ann@" + host, rcpts: "b@x !a@x"},
		{name: "delivered by the caller's word",
			told: spool.Told{Rcpts: []spool.Recipient{{Addr: "b@x", Kind: spool.Program, RunAs: "root", Sender: ref("z@z"), Bounced: true,
				Source: "/etc/aliases", Original: "q@q\n", Last: spool.Result{Status: spool.Status{Class: 2}}}}},
			sender: "ann@" + host, rcpts: "b@x"},
		{name: "longest address", told: spool.Told{Rcpts: to(x320)}, sender: "ann@" + host, rcpts: x320},
		{name: "too long with the origin", told: spool.Told{Rcpts: to("b@x", strings.Repeat("x", 310))}, sender: "ann@" + host,
			rcpts: "b@x !" + strings.Repeat("x", 310)},
		{name: "no recipients", status: spool.Status{Class: 5, Subject: 5, Detail: 4}},
		{name: "V89 no good recipients", told: spool.Told{Rcpts: to("|/bin/touch /t")}, status: spool.Status{Class: 5, Subject: 1, Detail: 3}},
		{name: "too many recipients", told: spool.Told{Rcpts: make([]spool.Recipient, 10_001)}, status: spool.Status{Class: 5, Subject: 5, Detail: 3}},
		{name: "V90 line break in -f", told: spool.Told{Sender: ref("x@y\nBcc: e@z"), Rcpts: to("b@x")}, status: spool.Status{Class: 5, Subject: 1, Detail: 7}},
		{name: "line break behind -f", told: spool.Told{Sender: ref("x@y\r\n"), Rcpts: to("b@x")}, status: spool.Status{Class: 5, Subject: 1, Detail: 7}},
		{name: "two senders", told: spool.Told{Sender: ref("x@y,z@y"), Rcpts: to("b@x")}, status: spool.Status{Class: 5, Subject: 1, Detail: 7}},
		{name: "blank sender", told: spool.Told{Sender: ref(" "), Rcpts: to("b@x")}, status: spool.Status{Class: 5, Subject: 1, Detail: 7}},
		{name: "endless sender", told: spool.Told{Sender: ref(strings.Repeat("x", 1<<20)), Rcpts: to("b@x")}, status: spool.Status{Class: 5, Subject: 1, Detail: 7}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := new(memory)
			if tt.uid == 0 {
				tt.uid = 1001
			}
			err := put(t, newIntake(m), caller(tt.uid), tt.told, "Subject: s\r\n\r\n")
			if tt.status != (spool.Status{}) {
				var e *spool.Error
				if !errors.As(err, &e) || e.Status != tt.status || strings.ContainsAny(e.Error(), "\r\n") {
					t.Errorf("error %v, want one line with %v", err, tt.status)
				}
				m.wantNothing(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			env := m.one(t).env
			if got := rcptString(t, env.Rcpts); env.Sender != tt.sender || got != tt.rcpts {
				t.Errorf("%s > %s; want %s > %s", env.Sender, got, tt.sender, tt.rcpts)
			}
			if env.Held != "" || !env.Arrived.Equal(now) || env.Origin.UID != tt.uid || env.Origin.Via != ViaSocket || env.Origin.PID != 77 {
				t.Errorf("envelope %+v", env)
			}
		})
	}
}

func rcptString(t *testing.T, rcpts []spool.Recipient) string {
	t.Helper()
	var words []string
	for _, r := range rcpts {
		w := r.Addr
		if r.Last.Status != (spool.Status{}) {
			if r.Last.Status != (spool.Status{Class: 5, Subject: 1, Detail: 3}) || r.Last.Detail == "" {
				t.Errorf("%s has %+v, want 5.1.3 with a reason", r.Addr, r.Last)
			}
			w = "!" + w
		}
		if r.NoAlias {
			w = `\` + w
		}
		if r.Kind != spool.Address || r.RunAs != "" || r.Sender != nil || r.Source != "" || r.Original != "" && r.Original != "q@q" || r.Bounced {
			t.Errorf("%+v: more than a caller may say", r)
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func TestEnvelopeTakesWhatWasAsked(t *testing.T) {
	m := new(memory)
	told := spool.Told{
		Rcpts:   []spool.Recipient{{Addr: "b@x", Notify: spool.NotifySuccess | 0x80}, {Addr: "c@x", Notify: spool.NotifyNever | spool.NotifyDelay}},
		Ret:     "HDRS",
		EnvID:   "envid1",
		Queued:  true,
		Process: spool.Process{Name: "a\nb"},
	}
	if err := put(t, newIntake(m), caller(1001), told, ""); err != nil {
		t.Fatal(err)
	}
	env := m.one(t).env
	if env.Ret != "HDRS" || env.EnvID != "envid1" || !env.Queued || env.Origin.Claims.Name != "a b" || env.Origin.Login != "ann" ||
		env.Rcpts[0].Notify != spool.NotifySuccess || env.Rcpts[1].Notify != spool.NotifyNever || !env.Next.IsZero() {
		t.Errorf("envelope %+v", env)
	}
	m = new(memory)
	told.Ret, told.EnvID = "all", "a\nb"
	if err := put(t, newIntake(m), caller(9), told, ""); err != nil {
		t.Fatal(err)
	}
	if env := m.one(t).env; env.Ret != "" || env.EnvID != "" || env.Origin.Login != "" {
		t.Errorf("envelope %+v took nonsense", env)
	}
}

func TestLimitsOfAMessage(t *testing.T) {
	hops := func(n int) string { return strings.Repeat("Received: x\r\n", n) }
	tests := []struct {
		name    string
		content string
		status  spool.Status
	}{
		{"50 hops", hops(50) + "\r\n", spool.Status{}},
		{"51 hops", hops(51) + "\r\n", spool.Status{Class: 5, Subject: 4, Detail: 6}},
		{"1,000 fields", strings.Repeat("X: y\r\n", 1000) + "\r\n", spool.Status{}},
		{"1,001 fields", strings.Repeat("X: y\r\n", 1001) + "\r\n", spool.Status{Class: 5, Subject: 3, Detail: 4}},
		{"a large field", "X: " + strings.Repeat(strings.Repeat("y", 70)+"\r\n ", 7000) + "\r\n\r\n", spool.Status{}},
		{"too large a field", "X: " + strings.Repeat("y", 513<<10) + "\r\n\r\n", spool.Status{Class: 5, Subject: 3, Detail: 4}},
		{"too large a header", strings.Repeat("X: "+strings.Repeat("y", 10<<10)+"\r\n", 110), spool.Status{Class: 5, Subject: 3, Detail: 4}},
		{"content of the limit", "\r\n" + strings.Repeat("b", 2<<20-4) + "\r\n", spool.Status{}},
		{"more content", "\r\n" + strings.Repeat("b", 2<<20-3) + "\r\n", spool.Status{Class: 5, Subject: 3, Detail: 4}},
		{"more content by its line ends", "\r\n" + strings.Repeat("b\n", 1<<20), spool.Status{Class: 5, Subject: 3, Detail: 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := new(memory)
			i := newIntake(m)
			i.MaxSize = 2 << 20
			err := put(t, i, caller(1001), spool.Told{Rcpts: to("b@x")}, tt.content)
			if tt.status == (spool.Status{}) {
				if err != nil {
					t.Fatal(err)
				}
				m.one(t)
				return
			}
			var e *spool.Error
			if !errors.As(err, &e) || e.Status != tt.status || tt.status.Subject == 3 && !errors.Is(err, spool.ErrTooBig) {
				t.Errorf("error %v, want status %v", err, tt.status)
			}
			m.wantNothing(t)
		})
	}
}

func TestTroubleOfTheStore(t *testing.T) {
	for _, tt := range []struct {
		name   string
		store  *memory
		status spool.Status
		is     error
	}{
		{"no space at once", &memory{create: spool.ErrNoSpace}, spool.Status{Class: 4, Subject: 3, Detail: 1}, spool.ErrNoSpace},
		{"no space later", &memory{write: spool.ErrNoSpace}, spool.Status{Class: 4, Subject: 3, Detail: 1}, spool.ErrNoSpace},
		{"sync failed", &memory{commit: io.ErrShortWrite}, spool.Status{Class: 4, Subject: 3, Detail: 0}, io.ErrShortWrite},
		{"taken before", &memory{commit: spool.ErrExists}, spool.Status{Class: 4, Subject: 3, Detail: 0}, spool.ErrExists},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := put(t, newIntake(tt.store), caller(1001), spool.Told{Rcpts: to("b@x")}, "To: b@x\r\n\r\nb\r\n")
			var e *spool.Error
			if !errors.As(err, &e) || e.Status != tt.status || !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v and %v", err, tt.status, tt.is)
			}
			tt.store.wantNothing(t)
		})
	}
}

func TestAcceptedIsTold(t *testing.T) {
	m := new(memory)
	i := newIntake(m)
	var got []Accepted
	i.Accepted = func(a Accepted) { got = append(got, a) }
	told := spool.Told{Rcpts: to("b@x"), NULs: 2, Label: "cron\x1b[1m" + strings.Repeat("x", 99)}
	if err := put(t, i, caller(1001), told, "Message-ID: <m@x>\n\na\x00b\n"); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].ID != testID || got[0].MsgID != "<m@x>" || got[0].Size != int64(len(m.one(t).content)) ||
		got[0].Envelope.Sender != "ann@"+host || len(got[0].Notes) != 2 || !strings.HasPrefix(got[0].Notes[0], "3 NUL") ||
		strings.ContainsAny(got[0].Notes[1], "\x1b") || len(got[0].Notes[1]) > 50 {
		t.Errorf("told %+v", got)
	}
	m.commit = io.ErrShortWrite
	if err := put(t, i, caller(1001), told, ""); err == nil || len(got) != 1 {
		t.Errorf("%v; a message that was not taken is told", err)
	}
}

func TestHandoverEndsOnce(t *testing.T) {
	m := new(memory)
	i := newIntake(m)
	h, err := i.Create(t.Context(), caller(1001), spool.Told{Rcpts: to("b@x")})
	if err != nil {
		t.Fatal(err)
	}
	h.Abort()
	if _, err := h.Write([]byte("x")); err == nil {
		t.Error("Write after Abort")
	}
	if err := h.Commit(); err == nil {
		t.Error("Commit after Abort")
	}
	m.wantNothing(t)
	h, _ = i.Create(t.Context(), caller(1001), spool.Told{Rcpts: to("b@x")})
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	h.Abort()
	if err := h.Commit(); err == nil {
		t.Error("Commit twice")
	}
	m.one(t)
}

// FuzzCompletion: whatever comes, the stored header can be read, hides what is hidden, and has what it must have; no
// field is made of a name or an address, and the body is the one that came.
func FuzzCompletion(f *testing.F) {
	f.Add("Subject: s\n\nbody\n", "ann", "Full Name", "b@x", 7)
	f.Add("Bcc: x\r\nFrom: a\r\nFrom: b\r\nResent-To: c\r\n\r\n", "", "a\"b\r\nBcc: z", "\\bob", 1)
	f.Add("From:\nTo: a,, <b>; (c\n\n\x00\r\r\n", "x@y", "=?\xff?=", "<b@x>\r\nBcc: eve", 3)
	f.Add(" starts with white space\n", "a@b@c", "", "\"a b\"@[::1]", 100)
	f.Fuzz(func(t *testing.T, content, sender, name, rcpt string, size int) {
		m := new(memory)
		i := newIntake(m)
		i.User = func(uid int) (User, bool) { return User{uid, "ann", header.FullName(name, "ann")}, true }
		told := spool.Told{Sender: &sender, Name: name, Rcpts: to(rcpt, "b@x")}
		if size%2 == 0 {
			told.FullName = &name
		}
		h, err := i.Create(t.Context(), caller(1001), told)
		if err != nil {
			return
		}
		for p := range slices.Chunk([]byte(content), max(1, size&0xfff)) {
			if _, err := h.Write(p); err != nil {
				m.wantNothing(t)
				return
			}
		}
		if h.Commit() != nil {
			m.wantNothing(t)
			return
		}
		stored := m.one(t)
		checkStored(t, stored.content)
		checkAdded(t, stored.content, content)
		checkPaths(t, stored.env)
	})
}

// checkAdded holds that fields were added of known names only, and nothing to the body.
func checkAdded(t *testing.T, stored, came string) {
	t.Helper()
	var norm header.Normalizer
	read := func(content []byte) (header.Header, string) {
		fields, r, err := header.Read(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return fields, string(body)
	}
	fields, body := read([]byte(stored))
	given, text := read(norm.Close(norm.Append(nil, []byte(came))))
	if body != text {
		t.Errorf("%q: the body is %q, want %q", came, body, text)
	}
	added := []string{"Received", "Date", "From", "To", "Message-ID", "Resent-Date", "Resent-From", "Resent-Message-ID", fromAside}
	for _, f := range fields {
		if !given.Has(f.Name) && !slices.Contains(added, f.Name) {
			t.Errorf("%q: where does %q come from?", came, f)
		}
	}
}

// checkPaths holds that the addresses of an envelope can stand in a line of SMTP, and bad ones have failed.
func checkPaths(t *testing.T, env spool.Envelope) {
	t.Helper()
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if strings.ContainsFunc(env.Sender, control) || len(env.Sender) > header.MaxAddress {
		t.Errorf("the sender is %q", env.Sender)
	}
	for _, r := range env.Rcpts {
		if list := header.ParseList(r.Addr); strings.ContainsFunc(r.Addr, control) ||
			!r.Settled() && (len(list) != 1 || list[0].Err != nil || list[0].Addr != r.Addr) {
			t.Errorf("a recipient is %+v", r)
		}
	}
}

func checkStored(t *testing.T, stored string) {
	t.Helper()
	if !strings.HasSuffix(stored, "\r\n") || strings.ContainsAny(strings.ReplaceAll(stored, "\r\n", ""), "\r\n\x00") {
		t.Fatalf("not in normal form: %q", stored)
	}
	fields, _, err := header.Read(bytes.NewReader([]byte(stored)))
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, f := range fields {
		name := strings.ToLower(f.Name)
		count[name]++
		if header.NeverSent(name) {
			t.Errorf("%s is there", f.Name)
		}
		if (name == "from" || name == "date" || name == "message-id") && f.Value() == "" {
			t.Errorf("%s is empty", f.Name)
		}
	}
	if !fields[0].Is("Received") || count["from"] != 1 || count["date"] == 0 || count["message-id"] == 0 ||
		!fields.Has("To", "Cc", "Resent-To", "Resent-Cc") {
		t.Errorf("fields are missing: %v", fields)
	}
}

func BenchmarkComplete(b *testing.B) {
	content := []byte("To: bob@example.com\r\nSubject: s\r\n\r\n" + strings.Repeat("line of the body\r\n", 230))
	m := new(memory)
	i := newIntake(m)
	i.Now = time.Now
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		h, err := i.Create(b.Context(), caller(1001), spool.Told{Rcpts: to("b@x")})
		if err != nil {
			b.Fatal(err)
		}
		h.Write(content)
		if err := h.Commit(); err != nil {
			b.Fatal(err)
		}
		clear(m.messages)
	}
}
