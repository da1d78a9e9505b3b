package bounce

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"signpost/spool"
)

var (
	arrived = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	refused = spool.Result{
		Status: spool.Status{Class: 5, Subject: 1, Detail: 1},
		Reply:  "550-5.1.1 The email account that you tried to reach does not exist.\n550 5.1.1 <bob@dest.example>: user unknown",
		Remote: "mx.dest.example[192.0.2.1]:25",
		At:     arrived.Add(time.Minute),
	}
)

const letter = "Received: from localhost\r\n\tby www1.example.org\r\nFrom: Ann <ann@example.org>\r\nTo: bob@dest.example\r\n" +
	"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@www1.example.org>\r\n\r\nHello,\r\n.\r\nAnn\r\n"

// failure is a notice about one recipient that was refused.
func failure() Notice {
	return Notice{
		Kind:       Failure,
		ID:         "01KAR3PM9R0000000A",
		To:         "ann@example.org",
		Hostname:   "www1.example.org",
		Postmaster: "postmaster",
		Envelope: spool.Envelope{
			Sender:  "ann@example.org",
			Arrived: arrived,
			Rcpts:   []spool.Recipient{{Addr: "bob@dest.example", Last: refused}},
		},
		Rcpts: []int{0},
		Now:   arrived.Add(2 * time.Minute),
	}
}

// read is a notice taken apart.
type read struct {
	raw     string
	header  mail.Header
	text    string
	status  []textproto.MIMEHeader // of the message, then of each recipient
	types   []string               // of the parts
	codings []string
	third   string
}

// unfolded is the text as one line.
func (r read) unfolded() string { return strings.Join(strings.Fields(r.text), " ") }

func write(t testing.TB, n Notice, original string) read {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, n, strings.NewReader(original)); err != nil {
		t.Fatal(err)
	}
	r := read{raw: b.String()}
	checkForm(t, r.raw)
	m, err := mail.ReadMessage(&b)
	if err != nil {
		t.Fatalf("%v in %q", err, r.raw)
	}
	r.header = m.Header
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type: %s, %v", m.Header.Get("Content-Type"), err)
	}
	r.readParts(t, multipart.NewReader(m.Body, params["boundary"]))
	return r
}

func (r *read) readParts(t testing.TB, parts *multipart.Reader) {
	t.Helper()
	var contents []string
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var from io.Reader = p
		coding := p.Header.Get("Content-Transfer-Encoding")
		if coding == "quoted-printable" {
			from = quotedprintable.NewReader(p)
		}
		data, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		if coding == "7bit" && !isASCII(string(data)) {
			t.Errorf("%s is said to be 7bit and is not", p.Header.Get("Content-Type"))
		}
		r.types = append(r.types, p.Header.Get("Content-Type"))
		r.codings = append(r.codings, coding)
		contents = append(contents, string(data))
	}
	if len(contents) != 3 {
		t.Fatalf("%d parts, want 3: %q", len(contents), r.raw)
	}
	r.text, r.third = contents[0], contents[2]
	r.readStatus(t, contents[1])
}

func (r *read) readStatus(t testing.TB, status string) {
	t.Helper()
	groups := textproto.NewReader(bufio.NewReader(strings.NewReader(status + "\r\n")))
	for {
		h, err := groups.ReadMIMEHeader()
		if len(h) > 0 {
			r.status = append(r.status, h)
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%v in %q", err, status)
		}
	}
}

// checkForm checks the octets: line ends, lengths, no controls, and 8-bit only where declared.
func checkForm(t testing.TB, raw string) {
	t.Helper()
	if !strings.HasSuffix(raw, "\r\n") {
		t.Error("the last line has no end")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(raw, "\r\n"), "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d octets: %.60q", len(line), line)
		}
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("a lone CR or LF, or a NUL: %.60q", line)
		}
	}
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	if !isASCII(raw) && !strings.Contains(head, "Content-Transfer-Encoding: 8bit") {
		t.Error("octets outside ASCII in a notice that says 7bit")
	}
}

func TestFailure(t *testing.T) {
	r := write(t, failure(), letter)
	for name, want := range map[string]string{
		"From":                      "Mail Delivery System <MAILER-DAEMON@www1.example.org>",
		"To":                        "<ann@example.org>",
		"Subject":                   "Undelivered mail: bob@dest.example",
		"Date":                      "Mon, 23 Nov 2026 10:02:00 +0000",
		"Auto-Submitted":            "auto-replied",
		"Mime-Version":              "1.0",
		"In-Reply-To":               "<1@www1.example.org>",
		"References":                "<1@www1.example.org>",
		"Content-Transfer-Encoding": "7bit",
		"Received":                  "",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if id := r.header.Get("Message-Id"); !strings.HasPrefix(id, "<01KAR3PM9R0000000A.") || !strings.HasSuffix(id, "@www1.example.org>") {
		t.Errorf("Message-ID: %s", id)
	}
	wantTypes(t, r, "text/plain; charset=utf-8", "message/delivery-status", "message/rfc822")
	for _, want := range []string{
		"host www1.example.org.", "could not be delivered to one recipient", "<bob@dest.example>",
		"mx.dest.example[192.0.2.1]:25 said:", "550-5.1.1 The email account that you tried to reach does not exist.",
		"550 5.1.1 <bob@dest.example>: user unknown", "No such mailbox is known there.", "Subject: Grüße",
		"Queue id: 01KAR3PM9R0000000A on www1.example.org", "the whole message are attached", "write to postmaster@www1.example.org",
	} {
		if !strings.Contains(r.unfolded(), want) {
			t.Errorf("the text does not say %q:\n%s", want, r.text)
		}
	}
	if r.third != strings.TrimSuffix(letter, "\r\n")+"\r\n" {
		t.Errorf("returned is %q, want %q", r.third, letter)
	}
	wantStatus(t, r, map[string]string{"Reporting-Mta": "dns; www1.example.org", "Arrival-Date": "Mon, 23 Nov 2026 10:00:00 +0000",
		"X-Signpost-Queue-Id": "01KAR3PM9R0000000A", "Original-Envelope-Id": ""},
		map[string]string{
			"Final-Recipient": "rfc822; bob@dest.example", "Original-Recipient": "", "Action": "failed", "Status": "5.1.1",
			"Remote-Mta": "dns; mx.dest.example", "Last-Attempt-Date": "Mon, 23 Nov 2026 10:01:00 +0000", "Will-Retry-Until": "",
			"Diagnostic-Code": "smtp; 550-5.1.1 The email account that you tried to reach does not exist. " +
				"550 5.1.1 <bob@dest.example>: user unknown",
		})
}

func wantTypes(t *testing.T, r read, want ...string) {
	t.Helper()
	if got := strings.Join(r.types, ", "); got != strings.Join(want, ", ") {
		t.Errorf("parts are %s, want %s", got, strings.Join(want, ", "))
	}
}

// wantStatus compares the fields of the report, message first; empty: no such field.
func wantStatus(t *testing.T, r read, want ...map[string]string) {
	t.Helper()
	if len(r.status) != len(want) {
		t.Fatalf("%d groups of fields, want %d: %v", len(r.status), len(want), r.status)
	}
	for i, fields := range want {
		for name, value := range fields {
			if got := strings.Join(r.status[i][name], "|"); got != value {
				t.Errorf("%s: %s, want %s", name, got, value)
			}
		}
	}
}

func TestTheSameNoticeIsTheSame(t *testing.T) {
	if a, b := write(t, failure(), letter), write(t, failure(), letter); a.raw != b.raw {
		t.Error("two notices of the same differ")
	}
	n := failure()
	n.Kind = Delay
	if a, b := write(t, failure(), letter), write(t, n, letter); a.header.Get("Message-Id") == b.header.Get("Message-Id") {
		t.Error("notices of two kinds have one Message-ID")
	}
}

func TestExpired(t *testing.T) {
	n := failure()
	n.Envelope.Rcpts[0].Last.Status = spool.StatusExpired
	n.Envelope.Rcpts[0].Last.Reply = "450 4.2.2 mailbox full"
	r := write(t, n, letter)
	wantStatus(t, r, nil, map[string]string{"Action": "failed", "Status": "4.4.7", "Diagnostic-Code": "smtp; 450 4.2.2 mailbox full"})
	for _, want := range []string{"at the last try", "as long as mail is kept here. The mailbox is full."} {
		if !strings.Contains(r.unfolded(), want) {
			t.Errorf("the text does not say %q:\n%s", want, r.text)
		}
	}
}

func TestDelay(t *testing.T) {
	n := failure()
	n.Kind, n.Until = Delay, arrived.Add(5*24*time.Hour)
	n.Envelope.Rcpts[0].Last = spool.Result{Status: spool.Status{Class: 4, Subject: 4, Detail: 1}, Detail: "connection timed out",
		Remote: "[IPv6:2001:db8::1]:25", At: arrived}
	n.Envelope.Ret = "FULL"
	r := write(t, n, letter)
	wantTypes(t, r, "text/plain; charset=utf-8", "message/delivery-status", "text/rfc822-headers")
	wantStatus(t, r, nil, map[string]string{"Action": "delayed", "Status": "4.4.1", "Will-Retry-Until": "Sat, 28 Nov 2026 10:00:00 +0000",
		"Diagnostic-Code": "x-signpost; connection timed out", "Remote-Mta": "dns; [2001:db8::1]"})
	for _, want := range []string{"It is not lost, and you need do nothing", "until Sat, 28 Nov 2026 10:00:00 +0000", "If it fails in the end: "} {
		if !strings.Contains(r.unfolded(), want) {
			t.Errorf("the text does not say %q:\n%s", want, r.text)
		}
	}
	if got := r.header.Get("Subject"); got != "Delayed mail: bob@dest.example" {
		t.Errorf("Subject: %s", got)
	}
	n.Envelope.Rcpts[0].Last = spool.Result{}
	wantStatus(t, write(t, n, letter), nil, map[string]string{"Action": "delayed", "Status": "4.0.0", "Diagnostic-Code": ""})
}

func TestDoubleBounce(t *testing.T) {
	n := failure()
	n.Kind, n.To, n.Envelope.Sender = Double, "root", ""
	r := write(t, n, letter)
	for name, want := range map[string]string{"To": "<root@www1.example.org>", "Auto-Submitted": "auto-generated",
		"Subject": "Undeliverable notice: bob@dest.example"} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if !strings.Contains(r.unfolded(), "it comes to the postmaster") {
		t.Errorf("the text does not say why it comes: %s", r.text)
	}
}

func TestSeveralRecipients(t *testing.T) {
	n := failure()
	n.Envelope.EnvID = "QQ314159"
	other := spool.Result{Status: spool.Status{Class: 5, Subject: 4, Detail: 4}, Detail: "no host takes its mail"}
	n.Envelope.Rcpts = []spool.Recipient{
		{Addr: "bob@dest.example", Last: refused},
		{Addr: "delivered@dest.example", Last: spool.Result{Status: spool.Status{Class: 2}}},
		{Addr: "carl@other.example", Original: "team@example.org", Last: other},
		{Addr: "bobby@dest.example", Last: refused},
		{Kind: spool.Mailbox, Addr: "dora", Last: other},
		{Kind: spool.Program, Addr: "/bin/secret --token=x", Original: "robot@example.org", Last: other},
		{Kind: spool.File, Addr: "/secret/path", Last: other},
	}
	n.Rcpts = []int{0, 2, 3, 4, 5, 6}
	r := write(t, n, letter)
	if got := r.header.Get("Subject"); got != "Undelivered mail: bob@dest.example and 5 more" {
		t.Errorf("Subject: %s", got)
	}
	wantStatus(t, r, map[string]string{"Original-Envelope-Id": "QQ314159"},
		map[string]string{"Final-Recipient": "rfc822; bob@dest.example"},
		map[string]string{"Final-Recipient": "rfc822; carl@other.example", "Original-Recipient": "rfc822; team@example.org",
			"Remote-Mta": "", "Diagnostic-Code": "x-signpost; no host takes its mail"},
		map[string]string{"Final-Recipient": "rfc822; bobby@dest.example"},
		map[string]string{"Final-Recipient": "rfc822; dora@www1.example.org"},
		map[string]string{"Final-Recipient": "rfc822; robot@example.org", "Original-Recipient": "rfc822; robot@example.org"},
		map[string]string{"Final-Recipient": "rfc822; postmaster@www1.example.org"})
	if strings.Count(r.text, "user unknown") != 1 {
		t.Errorf("the same reply is not told once:\n%s", r.text)
	}
	if !strings.Contains(r.unfolded(), "<team@example.org>, which stands for <carl@other.example>") {
		t.Errorf("the text does not tell of the alias:\n%s", r.text)
	}
	if strings.Contains(r.raw, "secret") {
		t.Error("a command or path of an alias is given away")
	}
	if strings.Contains(r.raw, "delivered@") {
		t.Error("a recipient is named who was not asked for")
	}
}

func TestManyRecipients(t *testing.T) {
	n := failure()
	n.Envelope.Rcpts, n.Rcpts = nil, nil
	for i := range 10_000 {
		last := refused
		last.Reply = strings.Repeat(fmt.Sprint(i), 2000)
		n.Envelope.Rcpts = append(n.Envelope.Rcpts, spool.Recipient{Addr: fmt.Sprintf("p%d@dest.example", i), Last: last})
		n.Rcpts = append(n.Rcpts, i)
	}
	r := write(t, n, letter)
	if len(r.status) != 10_001 || len(r.raw) > 16<<20 || len(r.text) > 1<<20 {
		t.Errorf("%d groups in %d octets, %d of them text", len(r.status), len(r.raw), len(r.text))
	}
}

// The example of RFC 3464 appendix E.1, as far as it is not about foreign networks.
func TestExampleOfTheStandard(t *testing.T) {
	n := failure()
	n.Hostname, n.To = "cs.utk.example", "owner-info-mime@cs.utk.example"
	n.Envelope.Rcpts = []spool.Recipient{{Addr: "louisl@larry.slip.umd.example", Original: "louisl@larry.slip.umd.example",
		Last: spool.Result{Status: spool.Status{Class: 4}, Reply: "426 connection timed out",
			At: time.Date(1994, 7, 7, 17, 15, 49, 0, time.FixedZone("", -4*3600))}}}
	r := write(t, n, letter)
	wantStatus(t, r, map[string]string{"Reporting-Mta": "dns; cs.utk.example"}, map[string]string{
		"Original-Recipient": "rfc822; louisl@larry.slip.umd.example", "Final-Recipient": "rfc822; louisl@larry.slip.umd.example",
		"Action": "failed", "Status": "4.0.0", "Diagnostic-Code": "smtp; 426 connection timed out",
		"Last-Attempt-Date": "Thu, 07 Jul 1994 17:15:49 -0400"})
}

func TestWhatIsReturned(t *testing.T) {
	head := "From: ann@example.org\r\nSubject: x\r\n"
	tests := []struct {
		name, original, ret string
		max                 int
		kind, coding, want  string
	}{
		{"whole", head + "\r\nbody\r\n", "", 0, "message/rfc822", "7bit", head + "\r\nbody\r\n"},
		{"whole when asked for", head + "\r\nbody\r\n", "FULL", 0, "message/rfc822", "7bit", head + "\r\nbody\r\n"},
		{"header when asked for", head + "\r\nbody\r\n", "HDRS", 0, "text/rfc822-headers", "7bit", head},
		{"just small enough", head + "\r\nbody\r\n", "", len(head) + 8, "message/rfc822", "7bit", head + "\r\nbody\r\n"},
		{"just too large", head + "\r\nbody\r\n", "", len(head) + 7, "text/rfc822-headers", "7bit", head},
		{"header itself too large", head + "X: y\r\n\r\nbody\r\n", "", len(head) + 2, "text/rfc822-headers", "7bit", head},
		{"8-bit body", head + "\r\nGr\xfc\xdfe\r\n", "", 0, "message/rfc822", "8bit", head + "\r\nGr\xfc\xdfe\r\n"},
		{"8-bit body, header asked for", head + "\r\nGr\xfc\xdfe\r\n", "HDRS", 0, "text/rfc822-headers", "7bit", head},
		{"UTF-8 header", "Subject: ü\r\n\r\nx\r\n", "", 0, "message/global", "8bit", "Subject: ü\r\n\r\nx\r\n"},
		{"UTF-8 header alone", "Subject: ü\r\n\r\nx\r\n", "HDRS", 0, "message/global-headers", "8bit", "Subject: ü\r\n"},
		{"Latin-1 header", "Subject: \xfc\r\n\r\nx\r\n", "", 0, "message/rfc822", "8bit", "Subject: \xfc\r\n\r\nx\r\n"},
		{"long line in the body", head + "\r\n" + strings.Repeat("x", 999) + "\r\n", "", 0, "text/rfc822-headers", "7bit", head},
		{"line of 998", head + "\r\n" + strings.Repeat("x", 998) + "\r\n", "", 0, "message/rfc822", "7bit",
			head + "\r\n" + strings.Repeat("x", 998) + "\r\n"},
		{"long line in the header", "A: " + strings.Repeat("x", 1500) + "\r\n\r\n", "", 0, "text/rfc822-headers", "7bit",
			"A: " + strings.Repeat("x", 994) + "\r\n " + strings.Repeat("x", 506) + "\r\n"},
		{"no body", head + "\r\n", "", 0, "message/rfc822", "7bit", head + "\r\n"},
		{"no empty line", head, "", 0, "message/rfc822", "7bit", head + "\r\n"},
		{"no header", "\r\nbody\r\n", "", 0, "message/rfc822", "7bit", "\r\nbody\r\n"},
		{"nothing", "", "", 0, "message/rfc822", "7bit", "\r\n"},
		{"LF, lone CR and NUL", "A: b\n\nx\ry\x00z", "", 0, "message/rfc822", "7bit", "A: b\r\n\r\nx yz\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := failure()
			n.Envelope.Ret, n.MaxOriginal = tt.ret, tt.max
			r := write(t, n, tt.original)
			if r.types[2] != tt.kind || r.codings[2] != tt.coding || r.third != tt.want {
				t.Errorf("returned is %s, %s, %q, want %s, %s, %q", r.types[2], r.codings[2], r.third, tt.kind, tt.coding, tt.want)
			}
		})
	}
}

func TestGuessedBoundary(t *testing.T) {
	_, params, err := mime.ParseMediaType(write(t, failure(), letter).header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	hostile := letter + "--" + params["boundary"] + "--\r\nevil\r\n"
	r := write(t, failure(), hostile)
	_, again, _ := mime.ParseMediaType(r.header.Get("Content-Type"))
	if again["boundary"] == params["boundary"] || r.third != hostile {
		t.Errorf("boundary %s stands in the original; returned is %q", again["boundary"], r.third)
	}
}

func TestHostileReplies(t *testing.T) {
	for name, text := range map[string]string{
		"line ends":        "550 a\r\nFinal-Recipient: rfc822; eve\r\n\r\nAction: delivered\n--b\rX: y",
		"escapes":          "550 \x1b[2J\x1b]0;title\x07\x08\x7f\x9b31m",
		"NUL":              "550 a\x00b",
		"overrides":        "550 \u202egnp.exe\u2066\u200b\ufeff\u2028\u0085\U000e0041",
		"not UTF-8":        "550 \xff\xfe\xc0\xaf\xed\xa0\x80",
		"a flood":          "550 " + strings.Repeat("x", 64<<10),
		"flood of lines":   strings.Repeat("550-x\n", 10_000),
		"flood of escapes": "550 " + strings.Repeat("\x00", 64<<10),
		"only line ends":   "\r\n\r\n\r\n",
		"blanks":           "   \t  ",
	} {
		t.Run(name, func(t *testing.T) {
			n := failure()
			rcpt := &n.Envelope.Rcpts[0]
			rcpt.Last.Reply, rcpt.Last.Remote, rcpt.Last.Detail = text, text, text
			rcpt.Addr, rcpt.Original, n.Envelope.EnvID = text+"@dest.example", text, text
			n.To, n.Postmaster = text, text
			r := write(t, n, letter)
			checkHostile(t, r)
		})
	}
}

// checkHostile checks that nothing that was said became more than text.
func checkHostile(t testing.TB, r read) {
	t.Helper()
	if len(r.raw) > 256<<10 {
		t.Errorf("the notice has %d octets", len(r.raw))
	}
	if len(r.status) != 2 {
		t.Fatalf("%d groups in the report, want 2", len(r.status))
	}
	for _, group := range r.status {
		for name, values := range group {
			if len(values) != 1 || !strings.Contains(" Original-Envelope-Id Reporting-Mta X-Signpost-Queue-Id Arrival-Date "+
				"Original-Recipient Final-Recipient Action Status Remote-Mta Diagnostic-Code Last-Attempt-Date ", " "+name+" ") {
				t.Errorf("field %s: %q", name, values)
			}
		}
	}
	if got := r.status[1].Get("Action"); got != "failed" {
		t.Errorf("Action: %s", got)
	}
	for _, c := range strings.ReplaceAll(r.text, "\r\n", "") {
		if printable(string(c), false) != string(c) {
			t.Errorf("the text shows %q", c)
		}
	}
	if _, err := r.header.AddressList("To"); err != nil && r.header.Get("To") != "undisclosed-recipients:;" {
		t.Errorf("To: %s: %v", r.header.Get("To"), err)
	}
}

func TestInternationalAddresses(t *testing.T) {
	n := failure()
	n.Envelope.Rcpts[0].Addr = "jürgen+x@köln.example"
	n.Envelope.Rcpts[0].Last.Reply = "550 5.1.1 unbekannt: jürgen"
	r := write(t, n, letter)
	wantStatus(t, r, nil, map[string]string{"Final-Recipient": `utf-8; j\x{FC}rgen\x{2B}x@k\x{F6}ln.example`,
		"Diagnostic-Code": `smtp; 550 5.1.1 unbekannt: j\u{fc}rgen`})
	wantTypes(t, r, "text/plain; charset=utf-8", "message/delivery-status", "message/rfc822")
	if !strings.Contains(r.text, "<jürgen+x@köln.example>") || !strings.Contains(r.text, "unbekannt: jürgen") {
		t.Errorf("the text is not readable: %s", r.text)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(r.header.Get("Subject"))
	if err != nil || subject != "Undelivered mail: jürgen+x@köln.example" {
		t.Errorf("Subject: %s, %v", subject, err)
	}

	n.To = "änn@example.org"
	r = write(t, n, letter)
	wantTypes(t, r, "text/plain; charset=utf-8", "message/global-delivery-status", "message/rfc822")
	wantStatus(t, r, nil, map[string]string{"Final-Recipient": `utf-8; jürgen\x{2B}x@köln.example`,
		"Diagnostic-Code": "smtp; 550 5.1.1 unbekannt: jürgen"})
	if got := r.header.Get("To"); got != "<änn@example.org>" {
		t.Errorf("To: %s", got)
	}
}

func TestRecipientsOfTheNotice(t *testing.T) {
	for addr, want := range map[string]string{
		"ann@example.org":           "<ann@example.org>",
		"root":                      "<root@www1.example.org>",
		`"a b"@example.org`:         `<"a b"@example.org>`,
		".ann.@example.org":         `<".ann."@example.org>`,
		"x>, <eve@other.example":    "undisclosed-recipients:;",
		"ann@example.org\r\nX: y":   "undisclosed-recipients:;",
		"":                          "undisclosed-recipients:;",
		"\u202eann@example.org":     "undisclosed-recipients:;",
		strings.Repeat("a", 10_000): "undisclosed-recipients:;",
	} {
		n := failure()
		n.To = addr
		if got := write(t, n, letter).header.Get("To"); got != want {
			t.Errorf("%.40q: To: %s, want %s", addr, got, want)
		}
	}
}

func TestHints(t *testing.T) {
	tests := []struct {
		name   string
		status spool.Status
		reply  string
		want   string
	}{
		{"unknown user", spool.Status{Class: 5, Subject: 1, Detail: 1}, "550 5.1.1 no", "No such mailbox"},
		{"unknown user without a code", spool.Status{Class: 5}, "550 User unknown", "No such mailbox"},
		{"unknown domain", spool.Status{Class: 5, Subject: 1, Detail: 2}, "", "no such mail domain"},
		{"null MX", spool.Status{Class: 5, Subject: 1, Detail: 10}, "", "null MX"},
		{"mailbox full", spool.Status{Class: 5, Subject: 2, Detail: 2}, "552 5.2.2 quota", "is full"},
		{"too large", spool.Status{Class: 5, Subject: 3, Detail: 4}, "", "too large"},
		{"loop", spool.Status{Class: 5, Subject: 4, Detail: 6}, "", "in circles"},
		{"SPF", spool.Status{Class: 5, Subject: 7, Detail: 1}, "550 5.7.1 SPF check failed", "SPF record"},
		{"DMARC", spool.Status{Class: 5, Subject: 7, Detail: 26}, "550 5.7.26 unauthenticated", "SPF record"},
		{"reverse DNS", spool.Status{Class: 5, Subject: 7, Detail: 25}, "", "PTR"},
		{"reverse DNS in words", spool.Status{Class: 4, Subject: 7, Detail: 1}, "450 4.7.1 cannot find your reverse hostname", "PTR"},
		{"block list", spool.Status{Class: 5, Subject: 7, Detail: 1}, "554 5.7.1 blocked using zen.spamhaus.org", "on a list"},
		{"spam", spool.Status{Class: 5, Subject: 7, Detail: 1}, "550 5.7.1 looks like spam", "unwanted mail"},
		{"relaying", spool.Status{Class: 5, Subject: 7, Detail: 1}, "554 5.7.1 Relay access denied", "MX records"},
		{"password", spool.Status{Class: 5, Subject: 7, Detail: 8}, "535 5.7.8 authentication failed", "password"},
		{"own rule", spool.Status{Class: 5, Subject: 7, Detail: 1}, "550 5.7.1 no", "rule of its own"},
		{"greylisting that expired", spool.StatusExpired, "450 4.2.0 greylisted", "only slowly"},
		{"expired without an answer", spool.StatusExpired, "", "all that is known"},
		{"nothing known", spool.Status{Class: 5}, "550 no", "all that is known"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := failure()
			n.Envelope.Rcpts[0].Last = spool.Result{Status: tt.status, Reply: tt.reply, Remote: "mx.dest.example[192.0.2.1]:25"}
			if text := write(t, n, letter).unfolded(); !strings.Contains(text, tt.want) {
				t.Errorf("no hint with %q in %s", tt.want, text)
			}
		})
	}
}

func TestWriteFails(t *testing.T) {
	torn := errors.New("torn")
	if err := Write(io.Discard, failure(), iotest.ErrReader(torn)); !errors.Is(err, torn) {
		t.Errorf("reading: %v", err)
	}
	if err := Write(brokenWriter{torn}, failure(), strings.NewReader(letter)); !errors.Is(err, torn) {
		t.Errorf("writing: %v", err)
	}
	for _, rcpts := range [][]int{nil, {1}, {-1}} {
		n := failure()
		n.Rcpts = rcpts
		if err := Write(io.Discard, n, strings.NewReader(letter)); err == nil {
			t.Errorf("recipients %v are taken", rcpts)
		}
	}
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }

func FuzzOriginal(f *testing.F) {
	f.Add(letter, false)
	f.Add("Subject: \xfc\r\n x\r\n\r\n\r\n", true)
	f.Add("\r\n", false)
	f.Add("Message-ID: <a\x00b>\r\nSubject: =?utf-8?q?=0D=0A?=\r\n", true)
	f.Add(strings.Repeat("x", 1100), true)
	f.Fuzz(func(t *testing.T, content string, headers bool) {
		n := failure()
		n.MaxOriginal = 4 << 10
		if headers {
			n.Envelope.Ret = "HDRS"
		}
		checkHostile(t, write(t, n, content))
	})
}

func FuzzReply(f *testing.F) {
	f.Add("550 5.1.1 no", "mx[192.0.2.1]:25", "bob@dest.example")
	f.Add("550-a\r\n.\r\n550 b", "[", "\x1b@\xff")
	f.Add("\x00", "[IPv6:::]:", `"a\"b"@c`)
	f.Fuzz(func(t *testing.T, reply, remote, addr string) {
		n := failure()
		rcpt := &n.Envelope.Rcpts[0]
		rcpt.Last.Reply, rcpt.Last.Remote, rcpt.Addr, rcpt.Original = reply, remote, addr, addr
		n.To = addr
		r := write(t, n, letter)
		checkHostile(t, r)
		if r.third != letter {
			t.Errorf("returned is %q", r.third)
		}
	})
}
