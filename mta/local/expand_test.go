package local

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpost/spool"
)

func TestLocal(t *testing.T) {
	m := &Mailboxes{
		Domains: []string{"localhost", "Host.Example.Test", "bücher.example"},
		OwnAddrs: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}
		},
	}
	for domain, want := range map[string]bool{
		"localhost": true, "LOCALHOST.": true, "host.example.test": true, "bücher.example": true,
		"xn--bcher-kva.example": true, "BÜCHER.example": true, "example.test": false, "": false, "x_y.example": false,
		"[127.0.0.1]": true, "[127.9.9.9]": true, "[IPv6:::1]": true, "[ipv6:2001:DB8::7]": true, "[192.0.2.7]": true,
		"[192.0.2.8]": false, "[192.0.2.7": false, "[x]": false, "[": false, "[::ffff:192.0.2.7]": true,
	} {
		if got := m.Local(domain); got != want {
			t.Errorf("%q: got %v", domain, got)
		}
	}
}

func people() known {
	return known{users: []User{
		{Name: "root", UID: 0, GID: 0, Home: "/root"},
		{Name: "ann", UID: 61001, GID: 61001, Home: "/home/ann"},
		{Name: "bob", UID: 61002, GID: 61002, Home: "/home/bob"},
		{Name: "www-data", UID: 33, GID: 33, Home: "/var/www", NoLogin: true},
		{Name: "nobody", UID: 65534, GID: 65534, Home: "/nonexistent", NoLogin: true},
	}}
}

// host is a Mailboxes of host.example.test with this aliases file.
func host(t *testing.T, aliases string) *Mailboxes {
	dir := t.TempDir()
	return &Mailboxes{
		Domains: []string{"localhost", "host.example.test"}, Hostname: "host.example.test", Origin: "example.test",
		Mailbox: dir + "/mail/{user}", Aliases: write(t, filepath.Join(dir, "aliases"), aliases, 0o644),
		Extension: "+", Programs: true, RunAs: "nobody", Users: people(),
	}
}

// show writes recipients in a form that is easy to compare.
func show(rcpts []spool.Recipient) string {
	var out []string
	for _, r := range rcpts {
		s := [...]string{"address ", "mailbox ", "file ", "program "}[r.Kind] + r.Addr
		if r.Last.Outcome() != spool.Pending {
			s += " " + r.Last.Status.String()
		}
		if r.Sender != nil {
			s += " from " + *r.Sender
		}
		if r.Forwarder != "" {
			s += " by " + r.Forwarder
		}
		if r.Original != "" {
			s += " for " + r.Original
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestExpand(t *testing.T) {
	const text = `
staff: ann, bob+x@localhost, carol@example.com, "|/bin/prog a", /var/log/mail
owner-staff: ann
list: staff, nosuch
loop: other, ann
other: loop
bob: bob, x@example.com
inc: :include:DIR/inc
system: www-data
`
	tests := []struct {
		name, addr, want string
		change           func(*Mailboxes, *spool.Recipient)
	}{
		{name: "a user", addr: "ann@localhost", want: "mailbox ann for ann@localhost"},
		{name: "letter case does not matter", addr: "ANN@Host.Example.Test", want: "mailbox ann for ANN@Host.Example.Test"},
		{name: "a detail", addr: "ann+list@localhost", want: "mailbox ann for ann+list@localhost"},
		{name: "a quoted local part", addr: `"ann"@localhost`, want: `mailbox ann for "ann"@localhost`},
		{name: "an unknown user", addr: "nosuch@localhost", want: "address nosuch@localhost 5.1.1"},
		{name: "an unknown user with a detail", addr: "no+such@localhost", want: "address no+such@localhost 5.1.1"},
		{name: "not local", addr: "ann@example.com", want: "address ann@example.com"},
		{name: "a list", addr: "staff@localhost", want: "mailbox ann from owner-staff@example.test for staff@localhost; " +
			"mailbox bob from owner-staff@example.test for staff@localhost; " +
			"address x@example.com from owner-staff@example.test for staff@localhost; " +
			"address carol@example.com from owner-staff@example.test for staff@localhost; " +
			"program /bin/prog a from owner-staff@example.test for staff@localhost; " +
			"file /var/log/mail from owner-staff@example.test for staff@localhost"},
		{name: "an unknown member beside others", addr: "list@localhost", want: "address nosuch@host.example.test 5.1.1 for list@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) {
				write(t, m.Aliases, "list: nosuch\n", 0o644)
			}},
		{name: "a loop without mailbox is passed over", addr: "loop@localhost", want: "mailbox ann for loop@localhost"},
		{name: "a name that names itself", addr: "bob@localhost", want: "mailbox bob for bob@localhost; address x@example.com for bob@localhost"},
		{name: "no aliases for \\name", addr: "bob@localhost", want: "mailbox bob for bob@localhost",
			change: func(_ *Mailboxes, r *spool.Recipient) { r.NoAlias = true }},
		{name: "Original stays", addr: "ann@localhost", want: "mailbox ann for first@example.org",
			change: func(_ *Mailboxes, r *spool.Recipient) { r.Original = "first@example.org" }},
		{name: "root", addr: "root@localhost", want: "mailbox root for root@localhost"},
		{name: "root by the key", addr: "root@localhost", want: "address admin@example.org for root@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) { m.Root = "admin@example.org" }},
		{name: "postmaster is root", addr: "Postmaster@localhost", want: "mailbox root for Postmaster@localhost"},
		{name: "mailer-daemon is postmaster", addr: "MAILER-DAEMON@localhost", want: "mailbox ann for MAILER-DAEMON@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) { m.Postmaster = "ann" }},
		{name: "a system account that nobody reads goes to root", addr: "www-data@localhost", want: "address admin@example.org for www-data@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) { m.Root = "admin@example.org" }},
		{name: "a system account by an alias", addr: "system@localhost", want: "mailbox root for system@localhost"},
		{name: "a system account with a mailbox keeps it", addr: "www-data@localhost", want: "mailbox www-data for www-data@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) {
				if err := os.Mkdir(strings.TrimSuffix(m.Mailbox, "{user}"), 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, strings.Replace(m.Mailbox, "{user}", "www-data", 1), "", 0o600)
			}},
		{name: "root's alias is the system account itself", addr: "www-data@localhost", want: "mailbox www-data for www-data@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) { m.Root = "www-data" }},
		{name: "programs are not allowed", addr: "p@localhost", want: "program /bin/x 5.7.1 for p@localhost; file /tmp/y 5.7.1 for p@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) {
				m.Programs = false
				write(t, m.Aliases, "p: |/bin/x, /tmp/y\n", 0o644)
			}},
		{name: "an included file names no programs", addr: "p@localhost", want: "mailbox ann for p@localhost; program /bin/x 5.7.1 for p@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) {
				list := write(t, m.Aliases+".list", "ann\n|/bin/x\n", 0o644)
				write(t, m.Aliases, "p: :include:"+list+"\n", 0o644)
			}},
		{name: "a missing aliases file", addr: "ann@localhost", want: "mailbox ann for ann@localhost",
			change: func(m *Mailboxes, _ *spool.Recipient) { m.Aliases += ".none" }},
		{name: "settled already", addr: "ann@localhost", want: "address ann@localhost 5.1.3",
			change: func(_ *Mailboxes, r *spool.Recipient) { r.Last.Status = spool.Status{Class: 5, Subject: 1, Detail: 3} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, r := host(t, text), spool.Recipient{Addr: tt.addr, Notify: spool.NotifyFailure}
			if tt.change != nil {
				tt.change(m, &r)
			}
			got, err := m.Expand(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			if show(got) != tt.want {
				t.Errorf("got  %s\nwant %s", show(got), tt.want)
			}
			for _, g := range got {
				if g.Notify != spool.NotifyFailure {
					t.Errorf("%s: Notify is lost", g.Addr)
				}
				if (g.Kind == spool.Program || g.Kind == spool.File) && (g.RunAs != "nobody" || g.Source == "") {
					t.Errorf("%s: run as %q of %q", g.Addr, g.RunAs, g.Source)
				}
			}
		})
	}
}

func TestExpandDefersForFaultsOfTheHost(t *testing.T) {
	tests := []struct {
		name, aliases, addr, status string
		change                      func(t *testing.T, m *Mailboxes)
	}{
		{"an aliases file that is a folder", "", "ann@localhost", "4.3.5", func(t *testing.T, m *Mailboxes) { m.Aliases = t.TempDir() }},
		{"a name whose line is bad", "list: \"open\n", "list@localhost", "4.3.5", nil},
		{"a member whose line is bad", "all: ann, list\nlist:\n", "all@localhost", "4.3.5", nil},
		{"programs of a file that others can write", "p: |/bin/x\n", "p@localhost", "4.3.5",
			func(t *testing.T, m *Mailboxes) {
				if err := os.Chmod(m.Aliases, 0o666); err != nil {
					t.Fatal(err)
				}
			}},
		{"an include that is not there", "list: ann, :include:/nonexistent/list\n", "list@localhost", "4.2.4", nil},
		{"an account database that does not answer", "", "dave@localhost", "4.3.0",
			func(_ *testing.T, m *Mailboxes) { m.Users = known{err: errors.New("no answer")} }},
		{"aliases that lead only to each other", "a: b\nb: a\n", "a@localhost", "4.4.6", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := host(t, tt.aliases)
			if tt.change != nil {
				tt.change(t, m)
			}
			got, err := m.Expand(context.Background(), spool.Recipient{Addr: tt.addr})
			if got != nil || spool.ResultOf(err, time.Time{}).Status.String() != tt.status {
				t.Errorf("got %s, %v", show(got), err)
			}
		})
	}
}

func TestABadLineDoesNotKeepAMailboxFromItsMail(t *testing.T) {
	got, err := host(t, "ann: \"open\n").Expand(context.Background(), spool.Recipient{Addr: "ann@localhost"})
	if err != nil || show(got) != "mailbox ann for ann@localhost" {
		t.Errorf("%s, %v", show(got), err)
	}
}

func TestAChangeOfTheAliasesIsSeen(t *testing.T) {
	m := host(t, "x: ann\n")
	m.Now = func() time.Time { return time.Now().Add(time.Hour) } // so that the file is old enough to be remembered
	for _, who := range []string{"ann", "bob", "ann"} {
		write(t, m.Aliases, "x: "+who+"\n# "+strings.Repeat("x", len(who)*int(time.Now().UnixNano()%7+1))+"\n", 0o644)
		for range 2 {
			got, err := m.Expand(context.Background(), spool.Recipient{Addr: "x@localhost"})
			if err != nil || show(got) != "mailbox "+who+" for x@localhost" {
				t.Errorf("%s, %v", show(got), err)
			}
		}
	}
	write(t, m.Aliases, "x: ann\ny\n", 0o644)
	if w, err := m.Check(); err != nil || len(w) != 1 {
		t.Errorf("warnings %v, %v", w, err)
	}
}
