package aliases

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func parse(t *testing.T, text string) *Table {
	t.Helper()
	f, err := Parse(strings.NewReader(text), "aliases")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// show writes targets in a form that is easy to compare.
func show(targets []Target) string {
	var s []string
	for _, t := range targets {
		text := [...]string{"address ", "user ", "file ", "program ", "include "}[t.Kind] + t.Text
		if t.NoAlias {
			text += " noalias"
		}
		if t.Loop {
			text += " loop"
		}
		if t.Owner != "" {
			text += " by " + t.Owner
		}
		s = append(s, text)
	}
	return strings.Join(s, "; ")
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, text, key, want string
	}{
		{"a local name", "bob: ann\n", "bob", "user ann"},
		{"an address", "bob: ann@example.com\n", "bob", "address ann@example.com"},
		{"several values", "bob: ann, carol@example.com,dave\n", "bob", "user ann; address carol@example.com; user dave"},
		{"empty members are skipped", "bob: ann,, carol,\n", "bob", "user ann; user carol"},
		{"names fold letter case", "BoB: ann\n", "bOb", "user ann"},
		{"a quoted name", `"a b": ann`, "a b", "user ann"},
		{"a quoted name with a colon", `"a:b": ann`, "a:b", "user ann"},
		{"a leading backslash of a name is dropped", `\bob: ann`, "bob", "user ann"},
		{"white space before the colon", "bob : ann\n", "bob", "user ann"},
		{"a continuation by white space", "bob: ann,\n carol,\n\tdave\n", "bob", "user ann; user carol; user dave"},
		{"a continuation by backslash", "bob: ann,\\\ncarol\n", "bob", "user ann; user carol"},
		{"comments and blank lines within an entry", "bob: ann,\n# no\n\n  # no\n carol\n", "bob", "user ann; user carol"},
		{"a continuation after a backslash may begin with #", "bob: |/bin/echo\\\n#x\n", "bob", "program /bin/echo #x"},
		{"CRLF", "bob: ann\r\n", "bob", "user ann"},
		{"no line end at the end", "bob: ann", "bob", "user ann"},
		{"a backslashed value", `bob: \bob, ann`, "bob", "user bob noalias; user ann"},
		{"a program in quotes", `bob: "|/bin/prog -a \"b c\" x,y"`, "bob", `program /bin/prog -a "b c" x,y`},
		{"quotes behind the bar", `bob: |"/bin/prog a, b"`, "bob", "program /bin/prog a, b"},
		{"a program without quotes", "bob: |/bin/prog a, carol", "bob", "program /bin/prog a; user carol"},
		{"quotes within an unquoted program stay", `bob: |/bin/sh -c "a, b"`, "bob", `program /bin/sh -c "a, b"`},
		{"parentheses in a program are no comment", "bob: |(cd /x && y)", "bob", "program (cd /x && y)"},
		{"a file", "bob: /dev/null", "bob", "file /dev/null"},
		{"a quoted file", `bob: "/var/log/a, b"`, "bob", "file /var/log/a, b"},
		{"an include", "bob: :include: /etc/list", "bob", "include /etc/list"},
		{"an include in quotes, any case", `bob: ":INCLUDE:/etc/my list"`, "bob", "include /etc/my list"},
		{"# within a value is text", "bob: |/bin/echo #1", "bob", "program /bin/echo #1"},
		{"a comment as in addresses", "bob: ann (Ann, O.), Carol <carol@example.com>", "bob", "user ann; address carol@example.com"},
		{"nested comments", `bob: ann (a (b, \) c) d)`, "bob", "user ann"},
		{"a display name with a comma", `bob: "Nym, Ann" <ann@example.com>`, "bob", "address ann@example.com"},
		{"a source route is dropped", "bob: <@a.example,@b.example:ann@example.com>", "bob", "address ann@example.com"},
		{"a quoted local part", `bob: "john..doe, x"@example.com`, "bob", `address "john..doe, x"@example.com`},
		{"an address in quotes", `bob: "carol@example.com"`, "bob", "address carol@example.com"},
		{"a name in quotes", `bob: "a b"`, "bob", "user a b"},
		{"a dot behind the domain", "bob: ann@example.com.", "bob", "address ann@example.com"},
		{"an address literal", "bob: ann@[192.0.2.1], x@[IPv6:2001:db8::1]", "bob", "address ann@[192.0.2.1]; address x@[IPv6:2001:db8::1]"},
		{"beyond ASCII", "bob: jörg@bücher.example", "bob", "address jörg@bücher.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, tt.text)
			got, ok := f.Lookup(tt.key)
			if !ok || len(f.Warnings) > 0 {
				t.Fatalf("found %v, warnings %v", ok, f.Warnings)
			}
			if show(got) != tt.want {
				t.Errorf("got %s, want %s", show(got), tt.want)
			}
		})
	}
}

func TestBadLines(t *testing.T) {
	tests := []struct {
		name, line, warning, broken string
	}{
		{"no colon", "bob ann", "aliases:2: no colon behind a name", ""},
		{"nothing behind the colon", "bob:", "aliases:2: bob: nothing behind the colon", "bob"},
		{"nothing but commas", "bob: , ,", "aliases:2: bob: nothing behind the colon", "bob"},
		{"an open quote", `bob: "|/bin/x`, "aliases:2: bob: a quote is left open", "bob"},
		{"an open quote in the name", `"bob: ann`, "aliases:2: a quote is left open", ""},
		{"a name with a domain", "bob@example.com: ann", "aliases:2: the name bob@example.com has a domain: names here are local", ""},
		{"an unquoted blank in the name", "bob b: ann", "aliases:2: the name bob b must be quoted as a whole", ""},
		{"no name", ": ann", "aliases:2: no name before the colon", ""},
		{"an empty command", "bob: |", "aliases:2: bob: no command behind |", "bob"},
		{"a relative include", "bob: :include:list", "aliases:2: bob: :include:list is not an absolute path", "bob"},
		{"a missing comma", "bob: ann@example.com carol@example.com", "aliases:2: bob: ann@example.com carol@example.com: white space within; is a comma missing?", "bob"},
		{"no domain", "bob: ann@", "aliases:2: bob: ann@: nothing behind the @", "bob"},
		{"two at signs", "bob: a@b@c", "aliases:2: bob: a@b@c: bad domain", "bob"},
		{"an open bracket", "bob: Ann <ann@example.com", "aliases:2: bob: Ann <ann@example.com: < and > do not match", "bob"},
		{"empty brackets", "bob: <>", "aliases:2: bob: <>: an empty address", "bob"},
		{"an empty quoted member", `bob: ""`, "aliases:2: bob: an empty member", "bob"},
		{"a control character", "bob: a\x01b", `aliases:2: control character '\x01'`, ""},
		{"not UTF-8", "bob: a\xff", "aliases:2: not valid UTF-8", ""},
		{"too long an address", "bob: " + strings.Repeat("a", 320) + "@x", "aliases:2: bob: \"" + strings.Repeat("a", 40) + "\"… is longer than 320 bytes", "bob"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, "first: ann\n"+tt.line+"\nlast: ann\n")
			if f.Len() != 2 || !f.Bad() || len(f.Warnings) != 1 {
				t.Fatalf("%d aliases, bad %v, warnings %v", f.Len(), f.Bad(), f.Warnings)
			}
			if got := f.Warnings[0].String(); got != tt.warning {
				t.Errorf("got  %s\nwant %s", got, tt.warning)
			}
			if _, ok := f.Broken(tt.broken); ok != (tt.broken != "") {
				t.Errorf("broken %q: %v", tt.broken, ok)
			}
		})
	}
}

func TestAContinuationOfNothingIsReported(t *testing.T) {
	f := parse(t, "\n  bob: ann\nann: carol\n")
	if f.Len() != 1 || len(f.Warnings) != 1 || f.Warnings[0].Line != 2 {
		t.Errorf("%d aliases, warnings %v", f.Len(), f.Warnings)
	}
}

func TestAContinuationOfABadLineBelongsToIt(t *testing.T) {
	f := parse(t, "bob ann,\n  carol: dave\nann: carol\n")
	if _, ok := f.Lookup("carol"); ok || f.Len() != 1 {
		t.Errorf("the continuation became an entry: %v", f.entries)
	}
}

func TestABadMemberLeavesTheOthers(t *testing.T) {
	f := parse(t, "bob: ann, x@y@z, carol\n")
	got, _ := f.Lookup("bob")
	if show(got) != "user ann; user carol" || !f.Bad() {
		t.Errorf("got %s, bad %v", show(got), f.Bad())
	}
}

func TestTheFirstOfDuplicatesHolds(t *testing.T) {
	f := parse(t, "bob: ann\nBOB: carol\n")
	got, _ := f.Lookup("bob")
	if show(got) != "user ann" {
		t.Errorf("got %s", show(got))
	}
	if f.Bad() || len(f.Warnings) != 1 || f.Warnings[0].String() != "aliases:2: bob: duplicate of line 1, which holds" {
		t.Errorf("bad %v, warnings %v", f.Bad(), f.Warnings)
	}
}

func TestAGoodLineMendsABadOneOfTheSameName(t *testing.T) {
	f := parse(t, "bob:\nbob: ann\n")
	if _, broken := f.Broken("bob"); broken {
		t.Error("bob is broken although line 2 holds")
	}
}

func TestStats(t *testing.T) {
	f := parse(t, "a: bob\nlonger: someone@example.com\n")
	f.Path = "/etc/aliases"
	const want = "/etc/aliases: 2 aliases, longest 19 bytes, 29 bytes total"
	if got := f.Stats(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	t.Run("a missing file has no aliases", func(t *testing.T) {
		f, err := Read(filepath.Join(dir, "none"))
		if err != nil || !f.Missing || f.Len() != 0 {
			t.Errorf("%+v, %v", f, err)
		}
		if _, ok := f.Lookup("x"); ok {
			t.Error("found x")
		}
	})
	t.Run("a folder is an error", func(t *testing.T) {
		if _, err := Read(dir); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a file beyond the limit is an error", func(t *testing.T) {
		path := filepath.Join(dir, "big")
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, MaxFile+1); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); !errors.Is(err, ErrTooBig) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a file that others can write is not safe", func(t *testing.T) {
		path := filepath.Join(dir, "open")
		if err := os.WriteFile(path, []byte("bob: ann\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for mode, safe := range map[fs.FileMode]bool{0o644: true, 0o600: true, 0o664: false, 0o646: false} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			f, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			if (f.Safe() == nil) != safe || f.Owner != os.Geteuid() {
				t.Errorf("mode %o: %v, owner %d", mode, f.Safe(), f.Owner)
			}
		}
	})
}

func TestNames(t *testing.T) {
	f := parse(t, `bob: "|/bin/x y", /tmp/z`)
	if !f.Names(Program, "/bin/x y") || !f.Names(File, "/tmp/z") || f.Names(Program, "/tmp/z") || f.Names(Program, "/bin/x") {
		t.Error("wrong")
	}
}

func TestExpand(t *testing.T) {
	deep := "a0: a1, end0\n"
	for i := 1; i < 60; i++ {
		deep += fmt.Sprintf("a%d: a%d\n", i, i+1)
	}
	tests := []struct {
		name, text, start, want string
	}{
		{"no alias gives the name itself", "", "bob", "user bob"},
		{"through several levels", "a: b\nb: c, x@example.com\n", "a", "user c; address x@example.com"},
		{"letter case of the name does not matter", "bob: ann\n", "BOB", "user ann"},
		{"a name that names itself keeps its mailbox", "bob: bob, x@example.com\n", "bob", "user bob loop; address x@example.com"},
		{"a backslash keeps the mailbox", "bob: \\bob, ann\nann: carol\n", "bob", "user bob noalias; user carol"},
		{"a backslash stops expansion", "bob: \\ann\nann: carol\n", "bob", "user ann noalias"},
		{"a loop ends in the name it comes back to", "a: b\nb: a\n", "a", "user a loop"},
		{"a loop beside others", "a: b, x\nb: c\nc: b, y\n", "a", "user b loop; user y; user x"},
		{"duplicates are removed", "a: x, X, y@example.com, y@EXAMPLE.com, Y@example.com, b\nb: x\n", "a", "user x; address y@example.com; address Y@example.com"},
		{"two ways to one list give it once", "a: b, c\nb: d\nc: d\nd: x, y\n", "a", "user x; user y"},
		{"levels beyond the limit are taken as they are", deep, "a0", "user a50 loop; user end0"},
		{"an address of ours is a name", "a: b@here.example\nb: c\n", "a", "user c"},
		{"an address elsewhere stays", "a: b@there.example\nb: c\n", "a", "address b@there.example"},
		{"a detail falls away", "bob: ann\n", "bob+list", "user ann"},
		{"an alias for the whole goes first", "bob: ann\nbob+list: carol\n", "bob+list", "user carol"},
		{"a detail without alias stays", "", "bob+list", "user bob+list"},
		{"nothing before the sign", "bob: ann\n", "+list", "user +list"},
		{"an owner", "list: ann, x@example.com\nowner-list: bob\n", "list", "user ann by owner-list; address x@example.com by owner-list"},
		{"the owner of the innermost list", "all: list, carol\nlist: ann\nowner-list: bob\nowner-all: dave\n", "all", "user ann by owner-list; user carol by owner-all"},
		{"the outer owner holds where the inner list has none", "all: list\nlist: ann\nowner-all: dave\n", "all", "user ann by owner-all"},
		{"an owner has no owner", "owner-list: bob\nowner-owner-list: x\n", "owner-list", "user bob"},
		{"a name of Last is used where the file has none", "", "postmaster", "user boss"},
		{"the file goes before Last", "postmaster: ann\n", "postmaster", "user ann"},
		{"First goes before the file", "root: ann\n", "root", "address admin@example.org"},
		{"programs and files", "a: \"|/bin/x\", /tmp/y\n", "a", "program /bin/x; file /tmp/y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := Expander{
				Table: parse(t, tt.text), Extension: "+",
				Local: func(addr string) (string, bool) { return strings.CutSuffix(addr, "@here.example") },
				First: map[string]string{"root": "admin@example.org, |/bin/no"},
				Last:  map[string]string{"postmaster": "boss"},
			}
			got, warnings, err := x.Expand(context.Background(), tt.start)
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			if show(got) != tt.want {
				t.Errorf("got  %s\nwant %s", show(got), tt.want)
			}
		})
	}
}

func TestExpandWithoutATable(t *testing.T) {
	got, _, err := (&Expander{}).Expand(context.Background(), "bob+x")
	if err != nil || show(got) != "user bob+x" {
		t.Errorf("%s, %v", show(got), err)
	}
}

func TestExpandEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := (&Expander{Table: parse(t, "a: b\n")}).Expand(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestExpandIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("a: x")
	for i := range MaxTargets {
		fmt.Fprintf(&b, ",x%d", i)
	}
	if _, _, err := (&Expander{Table: parse(t, b.String())}).Expand(context.Background(), "a"); !errors.Is(err, ErrTooBig) {
		t.Errorf("got %v", err)
	}
}

// lists writes files into a folder and gives a function that expands the alias a: :include:NAME.
func lists(t *testing.T, files map[string]string) (dir string, expand func(name string) (string, []Warning, error)) {
	dir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func(name string) (string, []Warning, error) {
		f := parse(t, "a: :include:"+filepath.Join(dir, name)+"\nb: carol\n")
		f.Owner = os.Geteuid()
		got, warnings, err := (&Expander{Table: f}).Expand(context.Background(), "a")
		return show(got), warnings, err
	}
}

func TestInclude(t *testing.T) {
	files := map[string]string{
		"plain":  "# who\n\nann@example.com, bob\r\n  b\nDave <dave@example.com>\n|/bin/x\n",
		"outer":  "x\n:include:DIR/plain\n",
		"itself": "x\n:include:DIR/itself\n",
		"bad":    "x\ny y\n\"open\nz\xff\n\x01\nlast\n",
		"empty":  "",
	}
	_, expand := lists(t, files)
	const plain = "address ann@example.com; user bob; user carol; address dave@example.com; program /bin/x"
	for name, want := range map[string]string{"plain": plain, "outer": "user x; " + plain, "bad": "user x; user last", "empty": ""} {
		got, warnings, err := expand(name)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
		if name == "bad" && (len(warnings) != 4 || warnings[0].Line != 2 || !warnings[0].Bad) {
			t.Errorf("warnings %v", warnings)
		}
	}
	if _, _, err := expand("itself"); err == nil || !strings.Contains(err.Error(), "more than 10 includes") {
		t.Errorf("an include of itself: %v", err)
	}
}

func TestIncludeTenDeepIsAllowed(t *testing.T) {
	files := map[string]string{"9": "end\n"}
	for i := range 9 {
		files[fmt.Sprint(i)] = fmt.Sprintf(":include:DIR/%d\n", i+1)
	}
	_, expand := lists(t, files)
	if got, _, err := expand("0"); err != nil || got != "user end" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestUnsafeIncludes(t *testing.T) {
	dir, expand := lists(t, map[string]string{"good": "ann\n", "group": "ann\n", "world": "ann\n"})
	if err := errors.Join(
		os.Chmod(filepath.Join(dir, "group"), 0o660),
		os.Chmod(filepath.Join(dir, "world"), 0o606),
		os.Symlink(filepath.Join(dir, "good"), filepath.Join(dir, "link")),
		os.Mkdir(filepath.Join(dir, "folder"), 0o700),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if got, _, err := expand("good"); err != nil || got != "user ann" {
		t.Fatalf("good: %s, %v", got, err)
	}
	for _, name := range []string{"group", "world", "link", "folder", "fifo", "missing"} {
		if got, _, err := expand(name); err == nil {
			t.Errorf("%s: got %s and no error", name, got)
		}
	}
}

func TestAnIncludeOfAStrangerIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives a file to another uid")
	}
	dir, expand := lists(t, map[string]string{"list": "ann\n"})
	if err := os.Chown(filepath.Join(dir, "list"), 61234, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := expand("list"); err == nil || !strings.Contains(err.Error(), "uid 61234") {
		t.Errorf("got %v", err)
	}
}

func TestParseValue(t *testing.T) {
	got, err := ParseValue(`ann, "|/bin/x"`)
	if err != nil || show(got) != "user ann; program /bin/x" {
		t.Errorf("%s, %v", show(got), err)
	}
	for _, bad := range []string{"a\nb", `"x`, "x\xff", "a b", "ok, |"} {
		if _, err := ParseValue(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("bob: ann\n")
	f.Add("\"a b\": \"|/bin/x \\\"y\\\"\", /tmp/z,\n :include:/etc/l, \\bob # x\n")
	f.Add("a: b\\\n#c\n\n: x\n\"open: y\n")
	f.Add("owner-l: a (c(c), <@r:x@[1.2.3.4]>\r\nl: a\nA: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Parse(strings.NewReader(text), "aliases")
		if err != nil {
			return
		}
		x := Expander{Table: table, Extension: "+"}
		for name := range table.entries {
			if name != strings.ToLower(name) || strings.ContainsFunc(name, isControl) {
				t.Errorf("bad name %q", name)
			}
			checkTargets(t, table.entries[name].targets)
			if slices.ContainsFunc(table.entries[name].targets, func(t Target) bool { return t.Kind == Include }) {
				continue
			}
			if out, _, err := x.Expand(context.Background(), name); err == nil && len(out) == 0 {
				continue
			}
		}
	})
}

func FuzzParseValue(f *testing.F) {
	f.Add(`ann, "|/bin/x y", Carol (c, \) d) <carol@example.com>`)
	f.Add(`:include: "/x", \bob, "a b"@[::1], <@a,@b:c@d>`)
	f.Add(`(((`)
	f.Fuzz(func(t *testing.T, s string) {
		targets, err := ParseValue(s)
		if err != nil {
			return
		}
		checkTargets(t, targets)
		for _, want := range targets {
			if want.Kind == User && (want.NoAlias || strings.ContainsAny(want.Text, `\@`)) {
				continue // there is no way to write all of these
			}
			if again, err := ParseValue(printed(want)); err != nil || len(again) != 1 || again[0] != want {
				t.Errorf("%q: %+v, printed as %s, is read again as %+v, %v", s, want, printed(want), again, err)
			}
		}
		if more, err := ParseValue("(eve, |eve) carol, " + s); err != nil || len(more) == 0 || more[0].Text != "carol" || !slices.Equal(more[1:], targets) {
			t.Errorf("%q: behind a comment it gives %+v, %v, not %+v", s, more, err, targets)
		}
	})
}

// printed is a target as it may be written.
func printed(t Target) string {
	quote := func(s string) string { return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(s) + `"` }
	switch {
	case t.Kind == Address && t.NoAlias:
		return `<\` + t.Text + ">"
	case t.Kind == Address:
		return "<" + t.Text + ">"
	case t.Kind == Include:
		return quote(":include:" + quote(t.Text)) // quotes of its own: white space at its end counts in these only
	case t.Kind == Program:
		return quote("|" + t.Text)
	}
	return quote(t.Text)
}

// checkTargets checks what nothing hostile may break.
func checkTargets(t *testing.T, targets []Target) {
	for _, target := range targets {
		s := target.Text
		if s == "" || strings.ContainsFunc(s, isControl) {
			t.Errorf("bad text %q", s)
		}
		switch target.Kind {
		case File, Include:
			if s[0] != '/' {
				t.Errorf("relative path %q", s)
			}
		case Address:
			at := strings.LastIndexByte(s, '@')
			if len(s) > maxAddress || at < 1 || !validDomain(s[at+1:]) {
				t.Errorf("bad address %q", s)
			}
		case User:
			if len(s) > maxAddress {
				t.Errorf("long name %q", s)
			}
		}
	}
}
