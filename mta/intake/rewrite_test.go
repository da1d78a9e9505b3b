package intake

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"signpost/compat/rewrite"
	"signpost/spool"
)

// rewriting is newIntake with rules.
func rewriting(t *testing.T, m *memory, senders map[string]string) *Intake {
	t.Helper()
	i := newIntake(m)
	rules, faults := rewrite.New(senders)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	i.Rewrite = rules
	return i
}

// changes writes what was rewritten, an entry each.
func changes(env spool.Envelope) []string {
	var list []string
	for _, r := range env.Rewritten {
		list = append(list, fmt.Sprintf("%s %s>%s %s", r.What, r.Old, r.New, r.Rule))
	}
	return list
}

// senderFields gives the fields of content that name senders, one below the other.
func senderFields(content string) string {
	head, _, _ := strings.Cut(content, "\r\n\r\n")
	head = strings.ReplaceAll(head, "\r\n ", " ")
	var fields []string
	for line := range strings.SplitSeq(head, "\r\n") {
		for _, name := range []string{"from", "sender", "resent-from", "resent-sender", "reply-to", "x-original-from"} {
			if strings.HasPrefix(strings.ToLower(line), name+":") {
				fields = append(fields, line)
			}
		}
	}
	return strings.Join(fields, "\n")
}

func TestRewriting(t *testing.T) {
	senders := map[string]string{
		"root@*": "ops@example.org", "@" + host: "@example.org", "ops@example.org": "again@example.org",
		"@other.example": "@other.example", "@.other.example": "@example.net",
	}
	own := "ann@" + host
	toOrg := own + ">ann@example.org @" + host
	for _, tt := range []struct {
		name    string
		sender  *string
		header  string
		want    string // the envelope's sender
		fields  string
		changed []string
	}{
		{"the caller's own, and a From that is added", nil, "To: b@x\n",
			"ann@example.org", `From: "Ann O. Nym" <ann@example.org>`, []string{"envelope " + toOrg, "From " + toOrg}},
		{"-f", ref("root"), "From: root (Cron Daemon)\n",
			"ops@example.org", "From: ops@example.org (Cron Daemon)",
			[]string{"envelope root@" + host + ">ops@example.org root@*", "From root@" + host + ">ops@example.org root@*"}},
		{"a result is not rewritten again, nor is the From made of it", ref("root@a.b"), "To: b@x\n",
			"ops@example.org", "From: ops@example.org",
			[]string{"envelope root@a.b>ops@example.org root@*", "From root@a.b>ops@example.org root@*"}},
		{"an address that a rule names is rewritten", ref("ops@example.org"), "From: x@y\n",
			"again@example.org", "From: x@y", []string{"envelope ops@example.org>again@example.org ops@example.org"}},
		{"the null reverse-path", ref(""), "To: b@x\n",
			"", `From: "Ann O. Nym" <ann@example.org>`, []string{"From " + toOrg}},
		{"nothing that matches", ref("x@y"), "From: A <a@other.example>\n", "x@y", "From: A <a@other.example>", nil},
		{"names, comments and line ends stay", ref("x@y"), "From: =?UTF-8?Q?J=C3=B6?=\n \"x, y\" (c)\n <a@b.other.example>(d)\n",
			"x@y", `From: =?UTF-8?Q?J=C3=B6?= "x, y" (c) <a@example.net>(d)`, []string{"From a@b.other.example>a@example.net @.other.example"}},
		{"all fields that name senders", ref("x@y"),
			"Sender: ann\nReply-To: ann\nRESENT-SENDER: root\nResent-From: ann\nFrom: <bob@" + host + ">, ann\n",
			"x@y", "Sender: ann@example.org\nReply-To: ann@" + host + "\nRESENT-SENDER: ops@example.org\nResent-From: ann@example.org\n" +
				"From: <bob@example.org>, ann@example.org",
			[]string{"Sender " + toOrg, "Resent-Sender root@" + host + ">ops@example.org root@*", "Resent-From " + toOrg,
				"From bob@" + host + ">bob@example.org @" + host, "From " + toOrg}},
		{"a Resent-From that is added", ref("x@y"), "Resent-To: b@x\nFrom: c@d\n",
			"x@y", "Resent-From: x@y\nFrom: c@d", nil},
		{"a second From is not sent as one", ref("x@y"), "From: ann\nFrom: root\n",
			"x@y", "From: ann@example.org\nX-Original-From: root", []string{"From " + toOrg}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(memory)
			if err := put(t, rewriting(t, m, senders), caller(1001), spool.Told{Sender: tt.sender, Rcpts: to("b@x")}, tt.header+"\nb\n"); err != nil {
				t.Fatal(err)
			}
			msg := m.one(t)
			if msg.env.Sender != tt.want || senderFields(msg.content) != tt.fields {
				t.Errorf("sender %q, fields\n%s\nwant %q,\n%s", msg.env.Sender, senderFields(msg.content), tt.want, tt.fields)
			}
			if got := changes(msg.env); !slices.Equal(got, tt.changed) {
				t.Errorf("changes\n%q, want\n%q", got, tt.changed)
			}
		})
	}
}

func TestAlignment(t *testing.T) {
	signed := func(domain string) (string, bool) {
		domain = strings.ToLower(strings.Replace(domain, "müller.example", "xn--mller-kva.example", 1))
		return domain, slices.Contains([]string{"example.org", "www.example.org", "xn--mller-kva.example"}, domain)
	}
	for _, tt := range []struct{ name, sender, from, want string }{
		{"a domain that is signed", "www-data@web.example", "Shop <shop@Example.org>", "www-data@example.org"},
		{"a subdomain that is signed", "www-data@example.org", "shop@www.example.org", "www-data@www.example.org"},
		{"a domain that is not", "www-data@web.example", "ann@example.com", "www-data@web.example"},
		{"the same domain", "bounces@EXAMPLE.org", "shop@example.org", "bounces@EXAMPLE.org"},
		{"the same domain in two forms", "b@müller.example", "a@xn--mller-kva.example", "b@müller.example"},
		{"a domain of another script", "b@web.example", "a@müller.example", "b@xn--mller-kva.example"},
		{"the null reverse-path", "", "shop@example.org", ""},
		{"two addresses of one domain", "b@web.example", "shop@example.org, a@example.ORG", "b@example.org"},
		{"two domains", "b@web.example", "shop@example.org, a@www.example.org", "b@web.example"},
		{"a part that is no address", "b@web.example", "shop@example.org, a@b@c", "b@web.example"},
		{"a rewritten From", "b@web.example", "root@web.example", "b@example.org"},
		{"a literal", "b@[192.0.2.1]", "shop@example.org", "b@example.org"},
		{"a quoted local part", `"b c"@web.example`, "shop@example.org", `"b c"@example.org`},
		{"what would be too long", strings.Repeat("b", 309) + "@w.example", "shop@example.org", strings.Repeat("b", 309) + "@w.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(memory)
			i := rewriting(t, m, map[string]string{"root@*": "ops@example.org"})
			i.Align = signed
			if err := put(t, i, caller(1001), spool.Told{Sender: &tt.sender, Rcpts: to("b@x")}, "From: "+tt.from+"\n\n"); err != nil {
				t.Fatal(err)
			}
			env := m.one(t).env
			if env.Sender != tt.want {
				t.Errorf("sender %q, want %q", env.Sender, tt.want)
			}
			var want []string
			if tt.sender != tt.want {
				want = []string{"envelope " + tt.sender + ">" + tt.want + " align"}
			}
			got := slices.DeleteFunc(changes(env), func(c string) bool { return strings.HasPrefix(c, "From ") })
			if !slices.Equal(got, want) {
				t.Errorf("changes %q, want %q", got, want)
			}
		})
	}
}

// What is kept of the changes is bounded, and what was not changed after all is not told.
func TestTooLongResultsAreNoted(t *testing.T) {
	long := strings.Repeat("b", 309)
	for _, tt := range []struct {
		name, sender, want string
		rules              map[string]string
	}{
		{"by align", long + "@w.example", `envelope: not rewritten by "align"`, nil},
		{"by a rule", long + "@w.example", `envelope: not rewritten by "@w.example"`, map[string]string{"@w.example": "@shop.example.org"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(memory)
			i := rewriting(t, m, tt.rules)
			if tt.rules == nil {
				i.Align = func(from string) (string, bool) { return from, from == "shop.example.org" }
			}
			var notes []string
			i.Accepted = func(a Accepted) { notes = a.Notes }
			if err := put(t, i, caller(1001), spool.Told{Sender: &tt.sender, Rcpts: to("b@x")}, "From: a@shop.example.org\n\n"); err != nil {
				t.Fatal(err)
			}
			if got := m.one(t).env.Sender; got != tt.sender || len(notes) != 1 || !strings.HasPrefix(notes[0], tt.want) {
				t.Errorf("sender %q, notes %q, want %q", got, notes, tt.want)
			}
		})
	}
}

func TestRewritingsAreBounded(t *testing.T) {
	m := new(memory)
	i := rewriting(t, m, map[string]string{"*": "@example.org"})
	if err := put(t, i, caller(1001), spool.Told{Rcpts: to("b@x")}, "From: "+strings.Repeat("a@b.c,", 5000)+"\n\n"); err != nil {
		t.Fatal(err)
	}
	if msg := m.one(t); len(msg.env.Rewritten) != spool.MaxRewritten || strings.Count(msg.content, "a@example.org,") != 5000 {
		t.Errorf("%d changes are kept", len(msg.env.Rewritten))
	}
	m = new(memory)
	i = rewriting(t, m, map[string]string{"@b.c": strings.Repeat("x", 300) + "@example.org"})
	if err := put(t, i, caller(1001), spool.Told{Sender: ref("x@y"), Rcpts: to("b@x")}, "From: "+strings.Repeat("a@b.c,", 5000)+"\n\n"); err != nil {
		t.Fatal(err)
	}
	if msg := m.one(t); len(msg.env.Rewritten) > 0 || strings.Count(msg.content, "a@b.c,") != 5000 {
		t.Errorf("a field over the limit: %v", changes(msg.env))
	}
}

// A message that was left in drop/ gets the same, also one that can only be bounced: its bounce goes where mail of the
// sender comes back to.
func TestRewritingOfDroppedMessages(t *testing.T) {
	for name, content := range map[string]string{"good": "From: ann\n\n", "a loop": strings.Repeat("Received: x\n", 51) + "\n"} {
		m := new(memory)
		who := caller(1001)
		who.Via = ViaDrop
		if err := put(t, rewriting(t, m, map[string]string{"@" + host: "@example.org"}), who, spool.Told{Rcpts: to("b@x")}, content); err != nil {
			t.Fatal(err)
		}
		msg := m.one(t)
		if msg.env.Sender != "ann@example.org" || !strings.Contains(senderFields(msg.content), "ann@example.org") {
			t.Errorf("%s: sender %q, %s", name, msg.env.Sender, senderFields(msg.content))
		}
	}
}

func TestAcceptedTellsWhatWasRewritten(t *testing.T) {
	m := new(memory)
	i := rewriting(t, m, map[string]string{"*": "ops@example.org"})
	var told []spool.Rewriting
	i.Accepted = func(a Accepted) { told = a.Envelope.Rewritten }
	if err := put(t, i, caller(1001), spool.Told{Rcpts: to("b@x")}, "From: a@b.c\n\n"); err != nil {
		t.Fatal(err)
	}
	if want := m.one(t).env.Rewritten; len(want) != 2 || !reflect.DeepEqual(told, want) {
		t.Errorf("told %v, kept %v", told, want)
	}
}
