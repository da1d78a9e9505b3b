package settings

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write puts a configuration file into a folder of its own.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "signpost.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadFillsInDefaults(t *testing.T) {
	tests := []struct {
		name, text string
		want       func(dir string) Settings
	}{
		{"nothing is set", "# nothing\n", func(string) Settings { return Default() }},
		{"another spool has its socket in it", "[spool]\npath = \"/srv/mail\"\n", func(string) Settings {
			s := Default()
			s.Spool.Path, s.Spool.Socket = "/srv/mail", "/srv/mail/submit.sock"
			return s
		}},
		{"the default spool named outright keeps the default socket", "[spool]\npath = \"/var/spool/signpost/\"\n", func(string) Settings {
			s := Default()
			s.Spool.Path = "/var/spool/signpost/"
			return s
		}},
		{"a socket named outright is taken", "spool.socket = \"/run/x.sock\"\nspool.path = \"/srv/mail\"\n", func(string) Settings {
			s := Default()
			s.Spool.Path, s.Spool.Socket = "/srv/mail", "/run/x.sock"
			return s
		}},
		{"relative paths start at the file's folder", "spool = { path = \"spool\" }\n[local]\naliases = \"aliases\"\n", func(dir string) Settings {
			s := Default()
			s.Spool.Path, s.Spool.Socket = dir+"/spool", dir+"/spool/submit.sock"
			s.Local.Aliases = dir + "/aliases"
			return s
		}},
		{"names are lowered and sizes read", "hostname = \"WWW1.Example.ORG\"\norigin = \"example.org\"\n[spool]\nmax_message_size = \"2MiB\"\nmin_free = \"0\"\n", func(string) Settings {
			s := Default()
			s.Hostname, s.Origin = "www1.example.org", "example.org"
			s.Spool.MaxMessageSize, s.Spool.MinFree = 2<<20, 0
			return s
		}},
		{"rules for senders are taken as they stand", "[rewrite]\nalign = true\nsenders = { \"Root@*\" = \"ops\", \"@b.example\" = \"\" }\n", func(string) Settings {
			s := Default()
			s.Rewrite = Rewrite{Senders: map[string]string{"Root@*": "ops", "@b.example": ""}, Align: true}
			return s
		}},
		{"a byte order mark is no key", "\ufefforigin = \"example.org\"\n", func(string) Settings {
			s := Default()
			s.Origin = "example.org"
			return s
		}},
		{"tables of others are not looked at", "user = 7\nnonsense = 1\n[delivery]\nretry = 4\nsource = \"x\"\n[local]\nmailbox = 1\n[[route]]\n", func(string) Settings { return Default() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.text)
			got, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			if want := tt.want(filepath.Dir(path)); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestReadFileThatIsNotThere(t *testing.T) {
	s, err := Read(filepath.Join(t.TempDir(), "none.toml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want fs.ErrNotExist for a file named outright", err)
	}
	if !reflect.DeepEqual(s, Default()) {
		t.Errorf("got %+v, want the defaults", s)
	}
}

func TestReadRefusesAnEndlessFile(t *testing.T) {
	_, err := Read("/dev/zero")
	if err == nil || !strings.Contains(err.Error(), "larger than the 1MiB allowed") {
		t.Errorf("got %v, want the limit named", err)
	}
}

func TestReadBrokenFile(t *testing.T) {
	const spool = "[spool]\npath = \"/srv/mail\"\n"
	tests := []struct {
		name, text string
		spool      bool   // can be believed
		path       string // of the spool; empty: the default
		want       string // the first fault, without the file's name
	}{
		{"syntax violated before [spool]", "hostname = \n" + spool, true, "/srv/mail", "1:12: expected value but found '\\n' instead"},
		{"syntax violated behind [spool]", spool + "[log]\nlevel = info\n", true, "/srv/mail", "4:12: expected a top-level item to end with a newline, comment, or EOF, but got 'o' instead (text as a value stands in quotes)"},
		{"the same table twice, elsewhere", spool + "[log]\n[log]\n", true, "/srv/mail", "4:2: Key 'log' has already been defined."},
		{"syntax violated in [spool]", spool + "max_message_size = 50MB\n", false, "", "3:22: "},
		{"[spool] twice", spool + spool, false, "", "3:2: Key 'spool' has already been defined."},
		{"a header of [spool] that is none", "[spool\npath = \"/srv/mail\"\n", false, "", "1:7: "},
		{"no word of a spool", "# the [spool] is elsewhere\norigin = \n", true, "", "2:10: "},
		{"dotted keys above the violation", "spool.path = \"/srv/mail\"\n[log]\nlevel = \n", true, "/srv/mail", "3:9: "},
		{"dotted keys beside the violation", "spool.path = \"/srv/mail\"\nhostname =\n", false, "", "2:11: "},
		{"wrong type elsewhere", "hostname = 4\n" + spool, true, "/srv/mail", "1:12: hostname: must be a string in quotes, not the number 4"},
		{"wrong value elsewhere", "hostname = \"a b\"\n" + spool, true, "/srv/mail", "1:12: hostname: must be a name such as \"mail.example.org\": \"a b\" holds ' '"},
		{"wrong size in [spool]", spool + "min_free = \"lots\"\n", true, "/srv/mail", "3:12: spool.min_free: must be a size such as \"25MB\", \"64KiB\" or \"900B\", not \"lots\""},
		{"wrong number in [spool.quota]", spool + "[spool.quota]\nmessages_per_hour = -1\n", true, "/srv/mail", "4:21: spool.quota.messages_per_hour: must be a number of messages, or 0 for no limit, not -1"},
		{"wrong number in [spool.quota.users]", spool + "[spool.quota.users]\nann = \"7\"\n", true, "/srv/mail", "4:7: spool.quota.users.ann: must be a whole number, not the string \"7\""},
		{"users of a quota are no table", spool + "quota.users = 7\n", true, "/srv/mail", "3:15: spool.quota.users: must be a table, written as [spool.quota.users] on a line of its own, not the number 7"},
		{"wrong type of the path", "[spool]\npath = 7\n", false, "", "2:8: spool.path: must be a string in quotes, not the number 7"},
		{"empty path", "[spool]\npath = \"\"\n", false, "", "2:8: spool.path: must not be empty; without the key it is \"/var/spool/signpost\""},
		{"misspelt key in [spool]", "[spool]\npaht = \"/srv/mail\"\n", false, "", "2:1: spool.paht: unknown key (did you mean \"path\"?)"},
		{"spool is no table", "spool = \"/srv/mail\"\n", false, "", "1:9: spool: must be a table, written as [spool] on a line of its own, not the string \"/srv/mail\""},
		{"brackets without end", "x = " + strings.Repeat("[", 2000) + "\n" + spool, true, "/srv/mail", " opens more than 100 tables or lists within each other"},
		{"a key without end", spool + "[log]\n" + strings.Repeat("a.", 20000) + "a = 1\n", true, "/srv/mail", " opens more than 100 tables or lists within each other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.text)
			s, err := Read(path)
			var broken *Error
			if !errors.As(err, &broken) {
				t.Fatalf("got error %v, want *Error", err)
			}
			if got := strings.TrimPrefix(broken.First(), path+":"); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got fault %q, want %q", got, tt.want)
			}
			if broken.SpoolRead != tt.spool {
				t.Errorf("got SpoolRead %v, want %v", broken.SpoolRead, tt.spool)
			}
			want := DefaultSpool
			if tt.path != "" {
				want = tt.path
			}
			if tt.spool && s.Spool.Path != want {
				t.Errorf("got spool %q, want %q", s.Spool.Path, want)
			}
		})
	}
}

func TestSalvageKeepsOtherKeys(t *testing.T) {
	path := write(t, "origin = \"example.org\"\n[local]\naliases = \"mine\"\n[spool]\npath = \"s\"\n[log]\nx=\n")
	s, err := Read(path)
	if err == nil {
		t.Fatal("no error")
	}
	dir := filepath.Dir(path)
	if s.Origin != "example.org" || s.Local.Aliases != dir+"/mine" || s.Spool.Socket != dir+"/s/submit.sock" {
		t.Errorf("got %+v", s)
	}
}

func TestControlAndDropLieInTheirPlaces(t *testing.T) {
	s := Default().Spool
	if got, want := s.Control(), "/run/signpost/control.sock"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := s.Drop(), "/var/spool/signpost/drop"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRelativeFileName(t *testing.T) {
	path := write(t, "[spool]\npath = \"s\"\n")
	t.Chdir(filepath.Dir(path))
	s, err := Read("signpost.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(s.Spool.Path) {
		t.Errorf("got %q, want an absolute path", s.Spool.Path)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("hostname = \"a\"\n[spool]\npath = \"/srv\"\n")
	f.Add("[spool]\npath = \"/srv\"\n[log\n")
	f.Add("spool = { path = '''x''', socket = \"\\\"]\" }\n[[spool]]")
	f.Add("a.b.\"c d\" = [[1, 2], [\"]\", '#']] # [spool]\n[spool.x]\n")
	f.Add("[spool]\npath = \"\"\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse("f", dir, text)
		var broken *Error
		if err != nil {
			if !errors.As(err, &broken) || len(broken.Faults) == 0 {
				t.Fatalf("got %#v, want *Error with faults", err)
			}
			s, _ := salvage(d)
			checkSettings(t, s)
			return
		}
		s := Default()
		s.take(d)
		checkSettings(t, s)
		if err := d.Err(); err != nil && !strings.HasPrefix(err.Error(), "f:") && !strings.HasPrefix(err.Error(), "f: ") {
			t.Errorf("fault without file: %q", err)
		}
	})
}

func checkSettings(t *testing.T, s Settings) {
	for _, p := range []string{s.Spool.Path, s.Spool.Socket} {
		if p != "" && !filepath.IsAbs(p) && !strings.ContainsRune(p, 0) {
			t.Errorf("path %q is not absolute", p)
		}
	}
	if s.Spool.MaxMessageSize < 0 || s.Spool.MinFree < 0 {
		t.Errorf("negative size in %+v", s.Spool)
	}
}

func BenchmarkRead(b *testing.B) {
	path := write(b, strings.Repeat("# a comment such as the packaged file is full of, which nobody removes\n", 60)+`
hostname = "www1.example.org"
origin = "example.org"
[spool]
path = "/var/spool/signpost"
[delivery]
retry = ["1m", "5m", "15m"]
[[route]]
to = ["example.net"]
relay = "smtp://relay.example.net:587"
[[dkim]]
domain = "example.org"
selector = "2026a"
key = "dkim/example.org.2026a.pem"
`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(path); err != nil {
			b.Fatal(err)
		}
	}
}
