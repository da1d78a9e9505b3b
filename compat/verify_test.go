package compat_test

import (
	"strings"
	"testing"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
ann:x:1001:1001:Ann O. Nym,Room 1:/home/ann:/bin/sh
bob:x:1002:1002::/home/bob:/bin/sh
`

func TestVerify(t *testing.T) {
	const config = "hostname = \"host.example.test\"\norigin = \"host.example.test\"\nroot = \"\"\n[local]\naliases = \"aliases\"\n"
	const table = `all: ann, "|/usr/bin/cmd -x", /var/log/mail, carol@example.com, \bob, gone
both: ann, bob
list: :include:` + "@DIR@/members" + `
missing: :include:/nonexistent/members
postmaster: root
bad: "x
ann+shop: shop@example.com
`
	ok := func(names ...string) string {
		var b strings.Builder
		for _, n := range names {
			addr, mailer, _ := strings.Cut(n, " ")
			if mailer == "" {
				mailer = "local"
			}
			b.WriteString(strings.ReplaceAll(addr, "_", " ") + "... deliverable: mailer " + mailer + "\n")
		}
		return b.String()
	}
	for _, tt := range []struct {
		args   string // parted by blanks
		status int
		stdout string
	}{
		{"bob", 0, ok("bob")},
		{"BOB", 0, ok("BOB")},
		{"bob+detail", 0, ok("bob+detail")},
		{"ann+shop", 0, ok("shop@example.com smtp")},
		{"bob@HOST.example.test root@localhost", 0, ok("bob", "root")},
		{"carol@example.com,dave@example.net", 0, ok("carol@example.com smtp", "dave@example.net smtp")},
		{"both", 0, ok("ann", "bob")},
		{`\both`, 67, ""},
		{"-n both", 67, ""},
		{"list", 0, ok("bob", "erin@example.com smtp")},
		{"postmaster MAILER-DAEMON", 0, ok("root", "root")},
		{"all", 67, ok("ann", "|/usr/bin/cmd_-x", "/var/log/mail", "carol@example.com smtp", "bob")},
		{"nobodyhere bob", 67, ok("bob")},
		{"a@b@c bob", 65, ok("bob")},
		{"|id", 65, ""},
		{"bad", 65, ""},
		{"missing", 66, ""},
		{"-t bob", 64, ""},
		{"-t", 64, ""},
	} {
		t.Run(tt.args, func(t *testing.T) {
			w := newWorld(t)
			w.configure(config)
			w.write("passwd", passwd)
			w.write("nsswitch.conf", "# passwd: ldap\npasswd: files systemd\n")
			members := w.write("members", "# a comment\nbob,\nerin@example.com\n")
			w.write("aliases", strings.ReplaceAll(table, "@DIR@/members", members))
			got := w.run(msgB, append([]string{"-bv"}, strings.Fields(tt.args)...)...)
			if got.status != tt.status || got.stdout != tt.stdout || got.message != nil || got.read > 0 {
				t.Errorf("%+v, want status %d and\n%s", got, tt.status, tt.stdout)
			}
			if (got.stderr == "") != (tt.status == 0) {
				t.Errorf("stderr %q", got.stderr)
			}
		})
	}
}

// A directory service may know who is not in the file: that is no unknown user.
func TestVerifyWhereAccountsAreElsewhere(t *testing.T) {
	w := newWorld(t)
	w.configure("hostname = \"host.example.test\"\norigin = \"localhost\"\n")
	w.write("passwd", "")
	w.write("nsswitch.conf", "passwd:\tfiles [NOTFOUND=continue] sss # comment\n")
	if got := w.run("", "-bv", "bob"); got.status != 75 || !strings.Contains(got.stderr, "sss is not asked") {
		t.Errorf("%+v", got)
	}
	w.write("passwd", passwd)
	if got := w.run("", "-bv", "bob"); got.status != 0 {
		t.Errorf("%+v", got)
	}
}

func TestVerifyPrintsNothingThatATerminalObeys(t *testing.T) {
	w := newWorld(t)
	got := w.run("", "-bv", "\"a\x1b[2J\"@example.com", "j\u202eg@example.com", "a\nb@example.com")
	if got.status != 65 || strings.ContainsAny(got.stdout+got.stderr, "\x1b\u202e") {
		t.Errorf("%+v", got)
	}
}
