package mta

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"signpost/mta/stage"
	"signpost/spool"
)

// What [rewrite] makes of the senders is what other hosts see: it is in MAIL and in the header, the signature speaks of
// it, and the story of the message tells of it.
func TestRewrittenSendersAreWhatLeaves(t *testing.T) {
	const web = "web." + host // a name that nobody shall see
	root := "root@" + host + ">ops@" + host + " by root@*"
	for _, tt := range []struct {
		name, sender, header string
		mail                 string // what MAIL says
		fields               map[string]string
		signatures           int
		why                  []string
	}{
		{
			"cron's From, against -f", "root", "From: root (Cron Daemon)\nTo: bob@one.test\n",
			"ops@" + host, map[string]string{"From": "ops@" + host + " (Cron Daemon)"}, 1,
			[]string{"envelope " + root, "From " + root},
		},
		{
			"a From that is added", "www-data@" + web, "To: bob@one.test\n",
			"www-data@" + host, map[string]string{"From": "www-data@" + host}, 1,
			[]string{"envelope www-data@" + web + ">www-data@" + host + " by @" + web, "From www-data@" + web + ">www-data@" + host + " by @" + web},
		},
		{
			"the fields of a resent message", "ann@" + web, "Resent-Sender: root\nResent-From: Ann <ann@" + web + ">\n" +
				"Resent-To: bob@one.test\nReply-To: ann@" + web + "\nFrom: eve@two.test\nTo: ann@" + web + "\n",
			"ann@" + host, map[string]string{"From": "eve@two.test", "Resent-From": "Ann <ann@" + host + ">", "Resent-Sender": "ops@" + host,
				"Reply-To": "ann@" + web, "To": "ann@" + web}, 0,
			[]string{"envelope ann@" + web + ">ann@" + host + " by @" + web, "Resent-Sender " + root, "Resent-From ann@" + web + ">ann@" + host + " by @" + web},
		},
		{
			"a sender whose domain is not that of From", "bounces@two.test", "From: shop@" + host + "\nTo: bob@one.test\n",
			"bounces@" + host, map[string]string{"From": "shop@" + host}, 1,
			[]string{"envelope bounces@two.test>bounces@" + host + " by align"},
		},
		{
			"the null reverse-path", "<>", "From: root\nTo: bob@one.test\n",
			"", map[string]string{"From": "ops@" + host}, 1, []string{"From " + root},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.key("s", "ed25519")
			w.rest += fmt.Sprintf("[rewrite]\nalign = true\n[rewrite.senders]\n\"root@*\" = \"ops@%s\"\n\"@%s\" = \"@%[1]s\"\n", host, web)
			one := w.exchanger("one.test", &stage.Exchanger{})
			w.start()
			id := w.send(letter{sender: tt.sender, rcpts: to("bob@one.test"), text: tt.header + "\nHello\n"})
			got := w.arrive(one, 1)[0]
			if got.Sender.Addr != tt.mail {
				t.Errorf("MAIL FROM:<%s>, want <%s>", got.Sender.Addr, tt.mail)
			}
			wantFields(t, got.Content, tt.fields)
			w.verify(got.Content, tt.signatures)
			w.settle()
			if why := w.rewritten(id); !slices.Equal(why, tt.why) {
				t.Errorf("the story says\n%q, want\n%q", why, tt.why)
			}
		})
	}
}

// wantFields checks fields of a message. Each stands there once.
func wantFields(t *testing.T, content []byte, want map[string]string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if got := m.Header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

// rewritten is what the story of a message tells of changed senders, an entry each.
func (w *world) rewritten(id spool.ID) (all []string) {
	w.t.Helper()
	records, err := w.d.admins().Why(w.t.Context(), string(id))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range records {
		for _, c := range r.Rewritten {
			all = append(all, fmt.Sprintf("%s %s>%s by %s", c.What, c.Old, c.New, c.Rule))
		}
	}
	return all
}

// A bounce goes where mail of the rewritten sender comes back to, and its own senders are left alone.
func TestBounceOfARewrittenSender(t *testing.T) {
	w := newWorld(t)
	w.rest = "[rewrite.senders]\n\"@" + host + "\" = \"@two.test\"\n"
	one := w.exchanger("one.test", &stage.Exchanger{})
	one.Play(stage.Fault{At: stage.Rcpt, Reply: "550 5.1.1 nobody"})
	two := w.exchanger("two.test", &stage.Exchanger{})
	w.start()
	w.send(letter{sender: "ann@" + host, rcpts: to("bob@one.test")})
	got := w.arrive(two, 1)[0]
	if got.Sender.Addr != "" || got.Rcpts[0].Addr != "ann@two.test" {
		t.Errorf("from <%s> to %v", got.Sender.Addr, got.Rcpts)
	}
	m, err := mail.ReadMessage(strings.NewReader(string(got.Content)))
	if err != nil {
		t.Fatal(err)
	}
	if from := m.Header.Get("From"); !strings.Contains(from, "@"+host) {
		t.Errorf("the bounce is from %q", from)
	}
}
