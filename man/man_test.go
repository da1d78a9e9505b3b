// Package man_test compares the manual with the programs: whatever one of the two has, the other must have too.
package man_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// page is the manual page of a name as lines of its source.
func page(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// section is the part of a page below a heading.
func section(t *testing.T, lines []string, heading string) []string {
	t.Helper()
	start := slices.Index(lines, ".Sh "+heading)
	if start < 0 {
		t.Fatalf("no section %q", heading)
	}
	rest := lines[start+1:]
	if end := slices.IndexFunc(rest, func(l string) bool { return strings.HasPrefix(l, ".Sh ") }); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

// entries are what the lines that begin with prefix say behind it.
func entries(lines []string, prefix string) []string {
	var found []string
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			found = append(found, rest)
		}
	}
	return found
}

// table gives the rows of a table of package compat, each as the source text of its values.
func table(t *testing.T, file, name string) [][]string {
	t.Helper()
	var rows [][]string
	ast.Inspect(source(t, file), func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Names) != 1 || v.Names[0].Name != name {
			return true
		}
		for _, row := range v.Values[0].(*ast.CompositeLit).Elts {
			var values []string
			for _, e := range row.(*ast.CompositeLit).Elts {
				values = append(values, value(e))
			}
			rows = append(rows, values)
		}
		return false
	})
	if len(rows) == 0 {
		t.Fatalf("%s has no table %s", file, name)
	}
	return rows
}

func source(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "compat", file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// value is a literal or a name; of anything else nothing is told.
func value(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
		return e.Value
	}
	return ""
}

// same compares two lists without regard to their order.
func same(t *testing.T, what string, manual, program []string) {
	t.Helper()
	slices.Sort(manual)
	slices.Sort(program)
	if !slices.Equal(manual, program) {
		t.Errorf("%s: the manual has\n%q\nthe program has\n%q", what, manual, program)
	}
}

func TestSendmailHasEveryOption(t *testing.T) {
	program := []string{"-help", "-version"} // of the function long, which is no table
	for _, row := range table(t, "options.go", "options") {
		letter, form := row[0], row[1]
		if form != "alone" {
			letter += " value"
		}
		program = append(program, letter)
	}
	var manual []string
	for _, e := range entries(section(t, page(t, "sendmail.8"), "OPTIONS"), ".It Fl ") {
		option, rest, _ := strings.Cut(e, " ")
		if rest != "" {
			option += " value"
		}
		manual = append(manual, option)
	}
	same(t, "options", manual, program)
}

// What is taken and ignored must be said to be, and nothing else.
func TestSendmailSaysWhatIsIgnored(t *testing.T) {
	var program []string
	for _, row := range table(t, "options.go", "options") {
		if row[len(row)-1] == "nil" {
			program = append(program, row[0])
		}
	}
	lines := section(t, page(t, "sendmail.8"), "OPTIONS")
	start := slices.Index(lines, "These are options of other mail systems.")
	if start < 0 {
		t.Fatal("the list of options that are ignored is not there")
	}
	var manual []string
	for _, e := range entries(lines[start:], ".It Fl ") {
		manual = append(manual, e[:1])
	}
	same(t, "options that are ignored", manual, program)
}

func TestSendmailHasEveryMode(t *testing.T) {
	var program []string
	for _, row := range table(t, "options.go", "modes") {
		program = append(program, row[0])
	}
	lines := section(t, page(t, "sendmail.8"), "OPTIONS")
	start := slices.Index(lines, ".It Fl b Ar mode")
	end := slices.Index(lines, "Every other mode is refused too.")
	if start < 0 || end < start {
		t.Fatal("the list of modes is not there")
	}
	same(t, "modes of -b", entries(lines[start:end], ".It Cm "), program)
}

func TestSendmailHasEveryName(t *testing.T) {
	program := []string{"sendmail"} // what it is unless another name says otherwise
	for _, row := range table(t, "options.go", "names") {
		program = append(program, row[0])
	}
	same(t, "names", entries(section(t, page(t, "sendmail.8"), "DESCRIPTION"), ".It Ic "), program)
}

func TestSendmailHasEveryExitStatus(t *testing.T) {
	var program []string
	ast.Inspect(source(t, "exit.go"), func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 && strings.HasPrefix(v.Names[0].Name, "ex") {
			if status := value(v.Values[0]); status == "0" {
				program = append(program, status)
			} else if status != "" {
				program = append(program, status+" EX_"+strings.ToUpper(v.Names[0].Name[2:]))
			}
		}
		return true
	})
	if len(program) < 10 {
		t.Fatalf("only %d exit statuses found in the source: %q", len(program), program)
	}
	var manual []string
	for _, e := range entries(section(t, page(t, "sendmail.8"), "EXIT STATUS"), ".It ") {
		manual = append(manual, strings.Replace(e, " Pq Dv ", " ", 1))
	}
	same(t, "exit statuses", manual, program)
}

// The shorter pages may only name statuses and options that the long one has.
func TestShorterPagesAgree(t *testing.T) {
	long := page(t, "sendmail.8")
	var statuses, options []string
	for _, e := range entries(section(t, long, "EXIT STATUS"), ".It ") {
		status, _, _ := strings.Cut(e, " ")
		statuses = append(statuses, status)
	}
	for _, e := range entries(section(t, long, "OPTIONS"), ".It Fl ") {
		options = append(options, e[:1])
	}
	for _, name := range []string{"mailq.1", "newaliases.1"} {
		lines := page(t, name)
		for _, status := range entries(section(t, lines, "EXIT STATUS"), ".It ") {
			if !slices.Contains(statuses, status) {
				t.Errorf("%s: exit status %s is not in sendmail.8", name, status)
			}
		}
		for _, e := range entries(lines, ".It Fl ") {
			if !slices.Contains(options, e[:1]) {
				t.Errorf("%s: option -%s is not in sendmail.8", name, e[:1])
			}
		}
	}
}

// Every page that a page refers to is one of ours or one that every system has.
func TestPagesReferToPagesThatAreThere(t *testing.T) {
	system := []string{"fcntl 2", "landlock 7", "resolv.conf 5", "sd_notify 3"}
	for _, name := range pages(t) {
		for _, ref := range entries(page(t, name), ".Xr ") {
			words := strings.Fields(ref)
			if len(words) < 2 {
				t.Errorf("%s: .Xr %s", name, ref)
				continue
			}
			_, err := os.Stat(words[0] + "." + words[1])
			if err != nil && !slices.Contains(system, words[0]+" "+words[1]) {
				t.Errorf("%s refers to %s(%s), which is not there", name, words[0], words[1])
			}
		}
	}
}

func pages(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.[158]")
	if err != nil || len(names) < 6 {
		t.Fatalf("pages: %q, %v", names, err)
	}
	return names
}

func TestLint(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("left out: mandoc is not installed")
	}
	// Its status says what its output says.
	out, _ := exec.Command(mandoc, append([]string{"-T", "lint", "-W", "warning"}, pages(t)...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		t.Error(strings.TrimSpace(line))
	}
}

// README: the two commands for a fresh machine are there, in this order, and so is what they need.
func TestReadmeNamesTheTwoCommands(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, command := range []string{"go run ./cmd/signpost try", "sh packaging/test.sh"} {
		i := slices.Index(strings.Split(string(text), "\n"), command)
		if i <= at {
			t.Errorf("README.md has no line %q in its place", command)
		}
		at = i
	}
}

// What README says about files of the source must be true.
func TestReadmeNamesFilesThatAreThere(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	inSource := regexp.MustCompile("(?m)(?:^|[ (`])(?:\\./)?((?:cmd|compat|man|mta|packaging|spool)/[a-z0-9_./-]*[a-z0-9])")
	found := inSource.FindAllStringSubmatch(string(text), -1)
	if len(found) < 10 {
		t.Errorf("only %d paths found", len(found))
	}
	for _, m := range found {
		if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
			t.Errorf("README.md names %s: %v", m[1], err)
		}
	}
}
