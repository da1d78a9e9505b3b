//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// notice is what testdata/bounce.py makes of a notice.
type notice struct {
	From, To, Subject, AutoSubmitted, Type, Report, Text, Original string

	Parts, Defects, Temporary, Permanent []string
	Host                                 map[string]string
	Rcpts                                []map[string]string
}

// notices reads those in a mailbox with Python's email package and flufl.bounce.
func notices(t *testing.T, who inside.Account) []notice {
	t.Helper()
	out := inside.Output(t, inside.Command(t, "/usr/bin/python3", "/run/e2e/testdata/bounce.py", "/var/mail/"+who.Name))
	var list []notice
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return list
}

// originals are the types of the third part: the message, one whose header is not ASCII (RFC 6532 3.7), its header.
var originals = []string{"message/rfc822", "message/global", "text/rfc822-headers"}

func (n notice) check(t *testing.T, to, original string) {
	t.Helper()
	if n.Type != "multipart/report" || n.Report != "delivery-status" ||
		len(n.Parts) != 3 || n.Parts[0] != "text/plain" || n.Parts[1] != "message/delivery-status" || !slices.Contains(originals, n.Parts[2]) {
		t.Errorf("%s; report-type=%s of %q", n.Type, n.Report, n.Parts)
	}
	if len(n.Defects) > 0 {
		t.Errorf("the parser complains: %q", n.Defects)
	}
	if !strings.Contains(n.From, "MAILER-DAEMON") || n.To != to || !strings.HasPrefix(n.AutoSubmitted, "auto-replied") {
		t.Errorf("From: %s, To: %s, Auto-Submitted: %s", n.From, n.To, n.AutoSubmitted)
	}
	if n.Original != original {
		t.Errorf("the original has the subject %q, want %q", n.Original, original)
	}
	if want := "dns; " + inside.Hostname; n.Host["Reporting-MTA"] != want {
		t.Errorf("Reporting-MTA: %s, want %s", n.Host["Reporting-MTA"], want)
	}
}

// awaitNotice waits until a mailbox holds n notices, and gives the last.
func awaitNotice(t *testing.T, who inside.Account, n int) notice {
	t.Helper()
	inside.AwaitFile(t, "/var/mail/"+who.Name, func(box []byte) bool {
		return strings.Count("\n"+string(box), "\nReturn-Path: <>\n") == n
	})
	list := notices(t, who)
	if len(list) != n {
		t.Fatalf("%d notices in the mailbox, want %d", len(list), n)
	}
	return list[n-1]
}

// A bounce says what failed in a form that Python's email package and flufl.bounce read, and bsd-mailx shows it.
func TestBounceIsRead(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann := inside.User(t, "ann")
		mx.Play(stage.Fault{At: stage.Rcpt, For: "odd@example.net", Reply: "553-5.7.1 n\u00e9ver,\x1b[31m\n553 5.7.1 ever \xff"})
		const subject = "Gr\u00fc\u00dfe an alle"
		send(t, ann, "Subject: "+subject+"\n\nhello\n", "-i", "bob@example.net", "nobody@example.net", "odd@example.net", "x@nowhere.example")
		inside.Messages(t, mx, 1)
		// Destinations fail one by one, and each may have a notice of its own.
		failed := make(map[string]string)
		for n := 1; len(failed) < 3; n++ {
			b := awaitNotice(t, ann, n)
			b.check(t, "ann@"+inside.Hostname, subject)
			if len(b.Temporary) != 0 || len(b.Permanent) != len(b.Rcpts) {
				t.Errorf("flufl.bounce finds %q and %q, of %d recipients", b.Temporary, b.Permanent, len(b.Rcpts))
			}
			for _, r := range b.Rcpts {
				addr := strings.TrimPrefix(r["Final-Recipient"], "rfc822; ")
				if failed[addr] != "" {
					t.Errorf("%s bounced twice", addr)
				}
				failed[addr] = fmt.Sprint(r["Action"], " ", r["Status"])
				if !slices.Contains(b.Permanent, addr) {
					t.Errorf("flufl.bounce finds %q, but not %s", b.Permanent, addr)
				}
				if !strings.Contains(b.Text, addr) {
					t.Errorf("the text does not tell of %s:\n%s", addr, b.Text)
				}
				if strings.ContainsAny(b.Text, "\x1b\x00") {
					t.Errorf("the text holds the octets of a stranger: %q", b.Text)
				}
			}
		}
		for addr, want := range map[string]string{"nobody@example.net": "failed 5.1.1", "odd@example.net": "failed 5.7.1", "x@nowhere.example": "failed 5.1.2"} {
			if failed[addr] != want {
				t.Errorf("%s: %q, want %q", addr, failed[addr], want)
			}
		}
		cmd := ann.Command("/usr/bin/bsd-mailx", "-N")
		cmd.Stdin = strings.NewReader("headers\ntype *\nexit\n")
		out := inside.Output(t, cmd)
		for _, want := range []string{"MAILER-DAEMON", "nobody@example.net", "550 5.1.1", "x@nowhere.example", "odd@example.net"} {
			if !strings.Contains(out, want) {
				t.Errorf("bsd-mailx does not show %q:\n%s", want, out)
			}
		}
		if len(mx.Accepted()) != 1 {
			t.Errorf("%d messages at the exchanger, want 1", len(mx.Accepted()))
		}
	})
}

// What only waits is told of once, as a delay; flufl.bounce knows it from a failure.
func TestDelayNoticeIsRead(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		inside.DNS(t, "example.net. IN MX 10 mx.example.net.\nmx.example.net. IN A 198.51.100.1\n")
		mx := inside.Exchanger(t, "198.51.100.1:25", &stage.Exchanger{})
		mx.Play(stage.Fault{At: stage.Rcpt, Reply: "451 4.2.2 mailbox full"})
		inside.Daemon(t, "[delivery]\nretry = [\"1s\"]\ndelay_warning = \"1s\"\n")
		ann := inside.User(t, "ann")
		send(t, ann, "Subject: slow\n\nhello\n", "-i", "bob@example.net")
		b := awaitNotice(t, ann, 1)
		b.check(t, "ann@"+inside.Hostname, "slow")
		if len(b.Rcpts) != 1 || b.Rcpts[0]["Action"] != "delayed" || b.Rcpts[0]["Status"] != "4.2.2" || b.Rcpts[0]["Will-Retry-Until"] == "" {
			t.Errorf("recipients: %q", b.Rcpts)
		}
		if !slices.Equal(b.Temporary, []string{"bob@example.net"}) || len(b.Permanent) != 0 {
			t.Errorf("flufl.bounce finds %q delayed and %q failed", b.Temporary, b.Permanent)
		}
		mx.Forgive()
		inside.Messages(t, mx, 1)
		queueEmpty(t)
		awaitNotice(t, ann, 1)
	})
}
