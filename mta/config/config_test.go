package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"signpost/compat/settings"
)

// parse reads text as the file /etc/signpost/x.toml.
func parse(text string) (Config, error) {
	d, err := settings.Parse("x.toml", "/etc/signpost", text)
	if err != nil {
		return Config{}, err
	}
	return read(d)
}

const full = `
hostname = "WWW1.example.org"
origin = "example.org"
user = "mail"
postmaster = "ann@example.org"
root = "ann"

[spool]
path = "/srv/spool"
max_message_size = "10MiB"
min_free = "0"

[spool.quota]
messages_per_hour = 100

[spool.quota.users]
www-data = 500
"1000" = 0

[rewrite]
align = true
[rewrite.senders]
"root@*" = "Ops@Example.org"
"@WWW1.example.org" = "@example.org"

[dns]
servers = ["127.0.0.53", "[2001:db8::53]:5353"]
timeout = "2500ms"

[delivery]
expire = "2d"
delay_warning = "0"
retry = ["30s", "10m"]
port = 2525
connections = 3
tls = "none"
ip = "ipv4"
source = ["192.0.2.7", "2001:db8::7"]
private_mx = true
mode = "allow"
catch = "catch//"
redirect = "ann@Example.org"
allow = ["Example.org", ".Bücher.example", "Bob@Example.net"]

[[route]]
to = ["Example.NET", ".example.net"]
from = ["bob@Example.org", ".example.org", "<>"]
relay = ["smtp://relay.example.net", "smtp+starttls://[2001:db8::25]:587"]
connections = 1
rate = "100/1m"
dkim = false

[[route]]
relay = "smtp://192.0.2.25:26"
tls = "verify"

[[route]]
to = ["example.com"]
relay = ""

[[dkim]]
domain = "example.org"
selector = "2026a"
key = "dkim/a.pem"
headers = ["From", "Subject"]
subdomains = true

[[dkim]]
domain = "example.org"
selector = "2026b"
key = "/keys/b.pem"

[local]
domains = ["localhost", "Example.org"]
mailbox = "{home}/Maildir/"
aliases = "aliases"
forward = false
extension = ""
pipe_timeout = "1m"
programs = []
run_as = "pipes"

[log]
format = "json"
level = "debug"
history = "0"
`

func TestReadTakesEveryKey(t *testing.T) {
	const minute = 60 * second
	want := Config{
		Hostname: "www1.example.org", Origin: "example.org", User: "mail", Postmaster: "ann@example.org", Root: "ann",
		Spool: settings.Spool{Path: "/srv/spool", Socket: "/srv/spool/submit.sock", MaxMessageSize: 10 << 20,
			Quota: settings.Quota{MessagesPerHour: 100, Users: map[string]int{"www-data": 500, "1000": 0}}},
		Rewrite: settings.Rewrite{Align: true,
			Senders: map[string]string{"root@*": "Ops@Example.org", "@WWW1.example.org": "@example.org"}},
		DNS: DNS{Servers: []string{"127.0.0.53:53", "[2001:db8::53]:5353"}, Timeout: 2500e6},
		Delivery: Delivery{Expire: 2 * day, Retry: settings.Durations{30 * second, 10 * minute}, Port: 2525, Connections: 3,
			TLS: "none", IP: "ipv4", Source: []string{"192.0.2.7", "2001:db8::7"}, PrivateMX: true,
			Mode: ModeAllow, Catch: "/etc/signpost/catch/", Redirect: "ann@example.org",
			Allow: []string{"example.org", ".xn--bcher-kva.example", "Bob@example.net"}},
		Routes: []Route{
			{To: []string{"example.net", ".example.net"}, From: []string{"bob@example.org", ".example.org", "<>"},
				Relay:       Relays{{Host: "relay.example.net", Port: 25}, {StartTLS: true, Host: "2001:db8::25", Port: 587}},
				Connections: 1, Rate: Rate{Messages: 100, Per: settings.Duration(minute)}, TLS: "opportunistic"},
			{To: []string{"*"}, From: []string{"*"}, Relay: Relays{{Host: "192.0.2.25", Port: 26}}, Connections: 3, TLS: "verify", DKIM: true},
			{To: []string{"example.com"}, From: []string{"*"}, Relay: Relays{}, Connections: 3, TLS: "none", DKIM: true},
		},
		DKIM: []DKIM{
			{Domain: "example.org", Selector: "2026a", Key: "/etc/signpost/dkim/a.pem", Headers: []string{"From", "Subject"}, Subdomains: true},
			{Domain: "example.org", Selector: "2026b", Key: "/keys/b.pem", Headers: []string{}},
		},
		Local: Local{Domains: []string{"localhost", "example.org"}, Mailbox: "{home}/Maildir/", Aliases: "/etc/signpost/aliases",
			PipeTimeout: minute, Programs: []string{}, RunAs: "pipes"},
		Log: Log{Format: "json", Level: "debug"},
	}
	got, err := parse(full)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadDefaults(t *testing.T) {
	got, err := parse("")
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if want := []string{"localhost", got.Hostname}; !reflect.DeepEqual(got.Local.Domains, want) {
		t.Errorf("got local domains %q, want %q", got.Local.Domains, want)
	}
}

// What the file says of one key may decide the default of another.
func TestReadFollowsOtherKeys(t *testing.T) {
	tests := []struct {
		name, text string
		got        func(Config) any
		want       any
	}{
		{"local domains follow the hostname", "hostname = \"a.example\"\norigin = \"example\"", func(c Config) any { return c.Local.Domains }, []string{"localhost", "a.example"}},
		{"no local domains", "local.domains = []", func(c Config) any { return c.Local.Domains }, []string{}},
		{"no delay warning where messages bounce before it", "delivery.expire = \"1h\"", func(c Config) any { return c.Delivery.DelayWarning }, settings.Duration(0)},
		{"a relative Maildir stays one", "local.mailbox = \"mail/{user}/\"", func(c Config) any { return c.Local.Mailbox }, "/etc/signpost/mail/{user}/"},
		{"the socket of another spool", "spool.path = \"spool\"", func(c Config) any { return c.Spool.Control() }, "/etc/signpost/spool/control.sock"},
		{"the Maildir for caught mail of another spool", "spool.path = \"spool\"", func(c Config) any { return c.Delivery.Catch }, "/etc/signpost/spool/catch/"},
		{"the address of another mode may stay", "[delivery]\nredirect = \"ann@example.org\"\nallow = [\"example.org\"]", func(c Config) any { return c.Delivery.Mode }, ModeNormal},
		{"no aliases file", "local.aliases = \"\"", func(c Config) any { return c.Local.Aliases }, ""},
		{"a domain in its own script", "local.domains = [\"Bücher.example\"]", func(c Config) any { return c.Local.Domains }, []string{"xn--bcher-kva.example"}},
		{"a pattern in its own script", "[[route]]\nto = [\".bücher.example\"]\nfrom = [\"ann@bücher.example\"]", func(c Config) any { return [][]string{c.Routes[0].To, c.Routes[0].From} },
			[][]string{{".xn--bcher-kva.example"}, {"ann@xn--bcher-kva.example"}}},
		{"an inline list of routes", "route = [{ relay = \"smtp://a.example\" }]", func(c Config) any { return len(c.Routes) }, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.got(c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
}

func TestReadFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := Read(filepath.Join(dir, "none.toml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v for a file that is named and missing, want fs.ErrNotExist", err)
	}
	path := filepath.Join(dir, "x.toml")
	if err := os.WriteFile(path, []byte("[log]\nformt = \"json\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Read(path)
	if want := path + ":2:1: log.formt: unknown key (did you mean \"format\"?)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The small reader and the whole one must not say different things about one file.
func TestReadAgreesWithSettings(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "full": full,
		"dotted": "spool.path = \"s\"\nlocal.aliases = \"\"\nspool.socket = \"x/../y.sock\"\n",
	} {
		path := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		small, err := settings.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		small.Complete()
		c, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		whole := settings.Settings{Hostname: c.Hostname, Origin: c.Origin, Spool: c.Spool, Rewrite: c.Rewrite,
			Local: settings.Local{Aliases: c.Local.Aliases}}
		if !reflect.DeepEqual(small, whole) {
			t.Errorf("%s: settings says %+v, config %+v", name, small, whole)
		}
	}
}

func TestShowRoundTrip(t *testing.T) {
	for name, text := range map[string]string{
		"defaults": "", "full": full,
		"odd characters": "[local]\nmailbox = \"/m \\\"\\u007f\\\\\\t'/{user}\"\naliases = \"/a\\nb\"\n",
		"short expire":   "[delivery]\nexpire = \"1h\"\ntls = \"none\"\n[[route]]\nrelay = \"smtp+starttls://a.example\"\n",
	} {
		c, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		requireRoundTrip(t, name, c)
	}
}

func requireRoundTrip(t *testing.T, name string, c Config) {
	t.Helper()
	var b strings.Builder
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	again, err := parse(b.String())
	if err != nil {
		t.Fatalf("%s: what Show wrote is refused: %v\n%s", name, err, b.String())
	}
	if !reflect.DeepEqual(again, c) {
		t.Errorf("%s: got  %+v\nwant %+v\n%s", name, again, c, b.String())
	}
}

func FuzzRead(f *testing.F) {
	f.Add(full)
	f.Add("route = [{ relay = [\"\", \"smtp://[::1]:5\"] }]\n[dkim]\n")
	f.Add("[rewrite]\nsenders = {\"*\" = \"@a.example\", \"b@.c\" = 1}\n")
	f.Add("[spool]\nmax = \"1\\\nx\"\n") // the parser quotes the line end in its message
	f.Add("[delivery]\nretry = [\"5m\"]\nexpire = \"1m\"\nsource = [1, \"::ffff:192.0.2.1\"]\n[local]\nmailbox = \"{user}{home}\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(text)
		if err == nil {
			requireRoundTrip(t, "fuzz", c)
			return
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.HasPrefix(line, "x.toml:") {
				t.Errorf("a line without the file's name: %q", line)
			}
		}
	})
}

func TestRate(t *testing.T) {
	for text, fault := range map[string]string{
		"1/1s": "", "100/1m": "", "1000000/1d": "", "0": "", "20/1h30m": "",
		"": "must be messages in a time", "100": "must be messages in a time", "x/1m": "must be messages in a time",
		"+5/1m": "must be messages in a time", "0/1m": "1 to 1000000", "-1/1m": "1 to 1000000", "1000001/1m": "1 to 1000000",
		"5/": "the time", "5/m": "the time", "5/100ms": "from 1s to 24h", "5/2d": "from 1s to 24h", "5/0": "from 1s to 24h",
	} {
		var r Rate
		err := r.UnmarshalText([]byte(text))
		if fault == "" {
			if back, merr := r.MarshalText(); err != nil || merr != nil || string(back) != text {
				t.Errorf("%q: %v, written as %q, %v", text, err, back, merr)
			}
		} else if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: %v, want %q", text, err, fault)
		}
	}
}
