package mta_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layout is the order of the packages, from the bottom up: a package may import those of ours in its line, which all
// stand above it, and the libraries named. A package that is not here has no place yet: give it one with care.
var layout = []struct {
	name      string
	ours      string
	libraries string
}{
	{"spool", "", "golang.org/x/sys"},
	{"spool/spooltest", "spool", ""},

	{"compat/header", "", ""},
	{"compat/aliases", "", ""},
	{"compat/provenance", "spool", "golang.org/x/sys"},
	{"compat/callers", "", ""},
	{"compat/settings", "", "github.com/BurntSushi/toml golang.org/x/sys"},
	{"compat/rewrite", "compat/header compat/settings", ""},
	{"compat/smtp", "compat/header spool", ""},
	{"compat", "compat/header compat/aliases compat/rewrite compat/settings compat/smtp spool", "golang.org/x/sys"},

	{"mta/config", "compat/rewrite compat/settings", "github.com/BurntSushi/toml golang.org/x/net"},
	{"mta/dns", "", "github.com/miekg/dns golang.org/x/net"},
	{"mta/route", "mta/dns spool", ""},
	{"mta/sign", "compat/header", "github.com/emersion/go-msgauth golang.org/x/net"},
	{"mta/sign/signtest", "", ""},
	{"mta/smtpout", "mta/route spool", "golang.org/x/net golang.org/x/sys"},
	{"mta/intake", "compat/provenance compat/header compat/rewrite spool", "golang.org/x/sys"},
	{"mta/local", "compat/aliases spool", "github.com/landlock-lsm/go-landlock golang.org/x/sys golang.org/x/net"},
	{"mta/bounce", "compat/header spool", ""},
	{"mta/history", "spool", ""},
	{"mta/queue", "spool", ""},
	{"mta/control", "mta/history mta/queue spool", ""},
	{"mta/stage", "", "github.com/emersion/go-smtp github.com/miekg/dns"},
	{"mta", "compat/header compat/rewrite compat/settings mta/config mta/dns mta/route mta/sign mta/smtpout mta/intake mta/local mta/bounce mta/history mta/queue mta/control spool",
		"github.com/coreos/go-systemd github.com/landlock-lsm/go-landlock golang.org/x/sys"},

	{"man", "", ""}, // holds tests only

	{"cmd/sendmail", "compat compat/provenance", ""},
	{"cmd/deliver", "compat/settings mta/config mta/local", "github.com/coreos/go-systemd"},
	{"cmd/signpost", "compat/callers compat/settings mta mta/config mta/control mta/dns mta/history mta/local mta/sign mta/stage spool", "github.com/spf13/cobra"},
}

// listed is what the go command says of a package.
type listed struct {
	ImportPath    string
	Standard      bool
	Imports, Deps []string
}

const module = "signpost/"

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	goCmd, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not installed")
	}
	cmd := exec.Command(goCmd, append([]string{"list", "-e", "-json=ImportPath,Standard,Imports,Deps"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsFollowTheLayout(t *testing.T) {
	packages := map[string]listed{}
	for _, p := range goList(t, "./...") {
		packages[strings.TrimPrefix(p.ImportPath, module)] = p
	}
	above := map[string]bool{}
	for _, line := range layout {
		p, ok := packages[line.name]
		if !ok {
			t.Errorf("%s stands in the layout and does not exist", line.name)
		}
		delete(packages, line.name)
		ours, libraries := strings.Fields(line.ours), strings.Fields(line.libraries)
		for _, name := range ours {
			if !above[name] {
				t.Errorf("%s may import %s, which does not stand above it", line.name, name)
			}
		}
		for _, path := range p.Imports {
			if !allowed(path, ours, libraries) {
				t.Errorf("%s imports %s, which the layout does not allow", line.name, path)
			}
		}
		above[line.name] = true
	}
	for name := range packages {
		t.Errorf("%s has no line in the layout", name)
	}
}

func allowed(path string, ours, libraries []string) bool {
	if name, ok := strings.CutPrefix(path, module); ok {
		return slices.Contains(ours, name)
	}
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") || slices.ContainsFunc(libraries, func(l string) bool {
		return path == l || strings.HasPrefix(path, l+"/")
	})
}

// The command that every cron job starts must start quickly and must not be able to talk to the network.
func TestSendmailStaysSmall(t *testing.T) {
	for _, p := range goList(t, "-deps", "./cmd/sendmail") {
		switch path := p.ImportPath; {
		case p.Standard && !forbidden(path):
		case strings.HasPrefix(path, "golang.org/x/sys/"), strings.HasPrefix(path, "github.com/BurntSushi/toml"):
		case path == "signpost/cmd/sendmail", path == "signpost/spool":
		case path == "signpost/compat", strings.HasPrefix(path, "signpost/compat/"):
		default:
			t.Errorf("cmd/sendmail reaches %s", path)
		}
	}
}

func forbidden(path string) bool {
	return slices.Contains([]string{"net", "os/user", "runtime/cgo", "crypto/tls", "crypto/x509", "testing", "log/slog"}, path) ||
		strings.HasPrefix(path, "net/")
}

// What is for tests must not get into a program.
func TestProgramsReachNoTestCode(t *testing.T) {
	for _, p := range goList(t, "./cmd/...") {
		for _, dep := range p.Deps {
			if dep == "testing" || dep == "signpost/spool/spooltest" || strings.HasPrefix(dep, "github.com/rogpeppe/") {
				t.Errorf("%s reaches %s", p.ImportPath, dep)
			}
		}
	}
}
