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

// item is one entry of a list of a page.
type item struct {
	head string // of its .It line, without the macro in front
	text string // up to the first full stop, or to the end where there is none
}

// items gives the entries whose .It lines begin with the macro.
func items(lines []string, macro string) []item {
	var all []item
	open := false
	for _, l := range lines {
		head, isItem := strings.CutPrefix(l, ".It "+macro+" ")
		switch {
		case isItem:
			all = append(all, item{head: head})
			open = true
		case strings.HasPrefix(l, ".It"), strings.HasPrefix(l, ".El"), strings.HasPrefix(l, ".Bl"):
			open = false
		case open:
			last := &all[len(all)-1]
			last.text = strings.TrimSpace(last.text + " " + plain(l))
			if sentence, ok := strings.CutSuffix(last.text, "."); ok {
				last.text, open = sentence, false
			}
		}
	}
	return all
}

// plain is a line of a page without its macros, as a reader sees it.
func plain(line string) string {
	words := strings.Fields(line)
	if len(words) == 0 || !strings.HasPrefix(line, ".") {
		return line
	}
	var b strings.Builder
	space, dash, open, shut := "", "", "", ""
	for _, w := range append([]string{words[0][1:]}, words[1:]...) {
		switch w {
		case "Fl":
			dash = "-"
		case "Ql":
			open, shut = "`", "`"
		case "Pq":
			open, shut = "(", ")"
		case "Ar", "Cm", "Ic", "Li", "Pa", "Xr":
		case ",", ";", ".", ":":
			b.WriteString(w)
		default:
			b.WriteString(space + open + dash + w)
			space, dash, open = " ", "", ""
		}
	}
	return b.String() + shut
}

// agree compares what the manual says of each item with what the program says. The manual's words may go on behind
// the program's, at a semicolon, a bracket or a full stop.
func agree(t *testing.T, manual []item, program map[string]string) {
	t.Helper()
	for _, i := range manual {
		name, _, _ := strings.Cut(i.head, " ")
		doc, ok := program[name]
		if !ok {
			t.Errorf("the manual has %q, which the program has not", i.head)
			continue
		}
		rest, ok := strings.CutPrefix(strings.ToLower(i.text), strings.ToLower(doc))
		if !ok || rest != "" && !strings.HasPrefix(rest, ";") && !strings.HasPrefix(rest, " (") {
			t.Errorf("%q: the manual says\n%q\nthe program says\n%q", i.head, i.text, doc)
		}
		delete(program, name)
	}
	for name := range program {
		t.Errorf("the program has %q, which the manual has not", name)
	}
}

// column gives one column of a table by another.
func column(rows [][]string, key, value int) map[string]string {
	all := map[string]string{}
	for _, row := range rows {
		all[row[key]] = row[value]
	}
	return all
}

// The columns of the tables in options.go.
const (
	optionLetter, optionForm, optionDoc = 0, 1, 3
	settingLetter, settingName          = 0, 1
	settingDoc                          = 2
	modeLetter, modeDoc                 = 0, 2
	nameName, nameDoc                   = 0, 1
	longName, longDoc                   = 0, 2
)

func TestSendmailHasEveryOption(t *testing.T) {
	options := table(t, "options.go", "options")
	docs := column(options, optionLetter, optionDoc)
	for _, row := range table(t, "options.go", "longOptions") {
		docs["-"+row[longName]] = row[longDoc]
	}
	manual := items(section(t, page(t, "sendmail.8"), "OPTIONS"), "Fl")
	forms := column(options, optionLetter, optionForm)
	for _, i := range manual {
		letter, value, _ := strings.Cut(i.head, " ")
		if form, ok := forms[letter]; ok && (form != "alone") != (value != "") {
			t.Errorf(".It Fl %s: the form in the program is %s", i.head, form)
		}
	}
	agree(t, manual, docs)
}

func TestSendmailHasEverySetting(t *testing.T) {
	rows := table(t, "options.go", "shortSettings")
	lines := between(t, section(t, page(t, "sendmail.8"), "OPTIONS"), ".It Fl o Ar option", ".El")
	agree(t, items(lines, "Cm"), column(rows, settingLetter, settingDoc))
	lines = between(t, section(t, page(t, "sendmail.8"), "OPTIONS"), "An option by its long name.", "All others are taken and ignored.")
	var long, names []string
	for _, e := range entries(lines, ".Cm ") {
		name, _, _ := strings.Cut(e, " ")
		long = append(long, name)
	}
	for _, row := range rows {
		names = append(names, row[settingName])
	}
	if !slices.Equal(long, names) {
		t.Errorf("long names: the manual has %q, the program has %q", long, names)
	}
}

// What is taken and ignored must be said to be, and nothing else.
func TestSendmailSaysWhatIsIgnored(t *testing.T) {
	var program []string
	for _, row := range table(t, "options.go", "options") {
		if row[len(row)-1] == "nil" {
			program = append(program, row[optionLetter])
		}
	}
	lines := between(t, section(t, page(t, "sendmail.8"), "OPTIONS"), "These are options of other mail systems.", ".El")
	var manual []string
	for _, e := range entries(lines, ".It Fl ") {
		manual = append(manual, e[:1])
	}
	same(t, "options that are ignored", manual, program)
}

func TestSendmailHasEveryMode(t *testing.T) {
	lines := between(t, section(t, page(t, "sendmail.8"), "OPTIONS"), ".It Fl b Ar mode", ".El")
	agree(t, items(lines, "Cm"), column(table(t, "options.go", "modes"), modeLetter, modeDoc))
}

func TestSendmailHasEveryName(t *testing.T) {
	lines := section(t, page(t, "sendmail.8"), "DESCRIPTION")
	agree(t, items(lines, "Ic"), column(table(t, "options.go", "names"), nameName, nameDoc))
}

// between gives the lines from start, which it holds, to the first end behind it.
func between(t *testing.T, lines []string, start, end string) []string {
	t.Helper()
	from := slices.Index(lines, start)
	if from < 0 {
		t.Fatalf("no line %q", start)
	}
	to := slices.Index(lines[from:], end)
	if to < 0 {
		t.Fatalf("no line %q behind %q", end, start)
	}
	return lines[from : from+to]
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
