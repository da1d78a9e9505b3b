//go:build e2e

package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

const mainCF = `compatibility_level = 3.6
myhostname = mx.dest.example
mydestination =
inet_protocols = ipv4
maillog_file = /var/log/postfix.log
maillog_file_prefixes = /var
alias_maps =
local_header_rewrite_clients =
message_size_limit = 52428800
virtual_mailbox_limit = 0
virtual_mailbox_domains = dest.example
virtual_mailbox_base = /var/mail
virtual_mailbox_maps = regexp:/etc/postfix/mailboxes
virtual_minimum_uid = 1
virtual_uid_maps = static:%[1]d
virtual_gid_maps = static:%[1]d
smtpd_tls_cert_file = /etc/postfix/mx.pem
smtpd_tls_key_file = /etc/postfix/mx.pem
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
`

const (
	postfixLog  = "/var/log/postfix.log"
	postfixBox  = "/var/mail/all/new"
	postfixAddr = "198.51.100.25"
)

// postfix starts Postfix in its own root, as the exchanger of dest.example with a certificate that it signed itself.
// Every recipient of that domain but nobody exists.
func postfix(t *testing.T) inside.Guest {
	t.Helper()
	const uid = 5000
	g := inside.Peer(t, inside.Postfix)
	cert, err := stage.SelfSigned("mx.dest.example")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificates[0].Certificate[0]})...)
	root := inside.User(t, "root")
	write(t, root, g.In("/etc/postfix/mx.pem"), both, 0o600)
	write(t, root, g.In("/etc/postfix/mailboxes"), []byte("!/^nobody@/ all/\n"), 0o644)
	write(t, root, g.In("/etc/postfix/main.cf"), fmt.Appendf(nil, mainCF, uid), 0o644)
	if err := os.MkdirAll(g.In("/var/mail/all"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", "new", "cur", "tmp"} {
		path := g.In("/var/mail/all/" + dir)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	inside.Output(t, g.Command("/usr/sbin/postconf", "-MX", "smtp/inet"))
	inside.Output(t, g.Command("/usr/sbin/postconf", "-M", postfixAddr+":25/inet="+postfixAddr+":25 inet n - n - - smtpd"))
	inside.Output(t, g.Command("/usr/sbin/postconf", "-F", "*/*/chroot=n"))
	start := g.Command("/usr/sbin/postfix", "start")
	if status, out := inside.Status(t, start); status != 0 {
		log, _ := os.ReadFile(g.In(postfixLog))
		t.Fatalf("postfix start: status %d\n%s%s", status, out, log)
	}
	t.Cleanup(func() { // its processes end with the inside
		if log, _ := os.ReadFile(g.In(postfixLog)); t.Failed() {
			t.Logf("Postfix's log ends so:\n%s", log[max(0, len(log)-4000):])
		}
	})
	conn, err := net.Dial("tcp", postfixAddr+":25")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	return g
}

// Postfix receives every shape of message over TLS, and its mailbox holds, octet for octet, what was handed in.
func TestPostfixReceives(t *testing.T) {
	inside.Run(t, inside.Callers, []string{inside.Postfix}, func(t *testing.T) {
		entries, records, _ := signer(t)
		dns := inside.DNS(t, "dest.example. IN MX 10 mx.dest.example.\nmx.dest.example. IN A "+postfixAddr+"\n"+records)
		g := postfix(t)
		d := inside.Daemon(t, entries)
		ann := inside.User(t, "ann")
		list := sheets()
		handInAll(t, ann, list)
		send(t, ann, "Subject: lost\n\nis anybody there?\n", "-i", "nobody@dest.example")

		got := readPostfixBox(t, g, len(list))
		for _, s := range list {
			content, ok := got[s.rcpt]
			if !ok {
				t.Errorf("%s did not arrive", s.name)
				continue
			}
			sameContent(t, s, content)
			if s.name != "foreign-signature" { // the one with another signature that is no good
				inside.Verify(t, content, 2)
			}
		}
		box := awaitMail(t, ann, "Subject: lost\n")
		if !strings.Contains(box, "nobody@dest.example") || !strings.Contains(box, "said: 550 5.1.1") && !strings.Contains(box, "smtp; 550") {
			t.Errorf("the bounce does not tell what Postfix said:\n%s", box)
		}
		if n := strings.Count(d.Log(), "tls=\"TLS1.3"); n < len(list) {
			t.Errorf("%d of %d deliveries over TLS by our own log", n, len(list))
		}
		if len(dns.Queries()) == 0 {
			t.Error("the name server was never asked")
		}
	})
}

// readPostfixBox waits for n messages in the mailbox, and gives each by its recipient, without what Postfix put before
// it: three fields of the delivery, and a Received that must tell of TLS.
func readPostfixBox(t *testing.T, g inside.Guest, n int) map[string][]byte {
	t.Helper()
	dir := g.In(postfixBox)
	inside.AwaitFolder(t, dir, fmt.Sprint(n, " messages in the mailbox of Postfix"), func() bool { return len(names(t, dir)) >= n })
	got := make(map[string][]byte)
	for _, name := range names(t, dir) {
		text, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("\r")) {
			t.Errorf("a CR in the mailbox: %.200q", text)
		}
		rest, rcpt := crlf(string(text)), ""
		for _, want := range []string{"Return-Path: <ann@example.org>", "X-Original-To: ", "Delivered-To: ", "Received: from " + inside.Hostname} {
			var field string
			if field, rest = firstField(rest); !strings.HasPrefix(field, want) {
				t.Fatalf("%s: %q is not %s", name, field, want)
			}
			if addr, ok := strings.CutPrefix(field, "Delivered-To: "); ok {
				rcpt = strings.TrimSpace(addr)
			}
			if strings.HasPrefix(field, "Received:") && !strings.Contains(field, "using TLSv1.3") {
				t.Errorf("%s came without TLS: %q", rcpt, field)
			}
		}
		if got[rcpt] != nil {
			t.Errorf("the message for %s came twice", rcpt)
		}
		got[rcpt] = []byte(rest)
	}
	return got
}
