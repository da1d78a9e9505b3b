package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindHostname(t *testing.T) {
	tests := []struct {
		name, kernel, hosts, hostname string
		want                          string
	}{
		{"the kernel's name is whole", "WWW1.example.org", "127.0.0.1 www1.other.org www1.example.org\n", "", "www1.example.org"},
		{"the canonical name in hosts", "www1", "127.0.0.1 localhost\n127.0.1.1 www1.example.org www1 # ours\n", "", "www1.example.org"},
		{"a later name in hosts", "www1", "192.0.2.1 www1 www1.example.org\n", "", "www1.example.org"},
		{"letters of any case", "www1", "192.0.2.1\tWWW1.Example.Org WWW1\n", "", "www1.example.org"},
		{"the loopback name is no host's", "www1", "127.0.0.1 localhost.localdomain localhost www1\n", "", "www1"},
		{"a comment says nothing", "www1", "# 192.0.2.1 www1.example.org www1\n", "", "www1"},
		{"another host's line", "www1", "192.0.2.1 www2.example.org www2\n", "", "www1"},
		{"the hostname file", "www1", "", "www1.example.org\n", "www1.example.org"},
		{"the hostname file of another host", "www1", "", "www2.example.org\n", "www1"},
		{"nothing else is known", "buildbox", "", "", "buildbox"},
		{"an underscore, as containers have", "my_host", "", "", "my_host"},
		{"a name that is none", "my host", "", "", "localhost"},
		{"no name", "", "", "", "localhost"},
		{"garbage in hosts", "www1", "192.0.2.1 www1..org www1\n\x00\xff www1\n", "", "www1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			etc := t.TempDir()
			for name, text := range map[string]string{"hosts": tt.hosts, "hostname": tt.hostname} {
				if text != "" {
					if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := findHostname(tt.kernel, etc); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFindOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"Example.org\n":         "example.org",
		" example.org \nother":  "example.org",
		"":                      "www1.example.org",
		"not a domain\n":        "www1.example.org",
		"\n":                    "www1.example.org",
		strings.Repeat("a", 70): "www1.example.org",
	} {
		etc := t.TempDir()
		if err := os.WriteFile(filepath.Join(etc, "mailname"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := findOrigin("www1.example.org", etc); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := findOrigin("www1", t.TempDir()); got != "www1" {
		t.Errorf("without a file: got %q", got)
	}
}

func TestName(t *testing.T) {
	long := strings.Repeat("a", 63)
	for name, want := range map[string]string{
		"example.org":                       "",
		"a.b-c.x1":                          "",
		long + ".org":                       "",
		"org.":                              `must not end in a dot: write "org"`,
		"a..b":                              `must be a name such as "mail.example.org": between two dots stands nothing`,
		"":                                  `must be a name such as "mail.example.org": between two dots stands nothing`,
		"-a.org":                            `must be a name such as "mail.example.org": "-a" begins or ends with a hyphen`,
		"a@b.org":                           `must be a name such as "mail.example.org": "a@b" holds '@'`,
		"a\nb":                              `must be a name such as "mail.example.org": "a\nb" holds '\n'`,
		"bücher.example":                    `must be a name such as "mail.example.org": "bücher" must be written in its ASCII form, xn--…`,
		"a" + long + ".org":                 `must be a name such as "mail.example.org": "a` + long + `" is longer than 63 characters`,
		strings.Repeat(long+".", 4) + "org": "is longer than the 253 characters of a host name",
	} {
		if _, err := Name(name); errorText(err) != want {
			t.Errorf("%q: got %q, want %q", name, errorText(err), want)
		}
	}
}
