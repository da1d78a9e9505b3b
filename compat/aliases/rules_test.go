package aliases

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Each rule of the file, from the text to what a name stands for.
func TestRules(t *testing.T) {
	include := "DIR/0"
	chain := map[string]string{}
	for i := range MaxInclude {
		chain[fmt.Sprint(i)] = fmt.Sprintf(":include:DIR/%d\n", i+1)
	}
	chain[fmt.Sprint(MaxInclude)] = "ann\n"
	deep := ""
	for i := range MaxDepth + 5 {
		deep += fmt.Sprintf("n%d: n%d\n", i, i+1)
	}
	tests := []struct {
		rule, text, name, want string
		warnings, err          string            // parts of them; empty: none
		files                  map[string]string // in DIR
	}{
		{rule: "name: value, value", text: "a: b, c@x.test", name: "a", want: "user b; address c@x.test"},
		{rule: "a comment line", text: "# a: b\na: c", name: "a", want: "user c"},
		{rule: "a comment line behind blanks", text: "a: c,\n \t# b,\n d", name: "a", want: "user c; user d"},
		{rule: "a blank line is skipped", text: "a: c,\n\n \n d", name: "a", want: "user c; user d"},
		{rule: "white space at the beginning continues", text: "a: b,\n\tc", name: "a", want: "user b; user c"},
		{rule: "a backslash at the end continues", text: "a: b,\\\nc", name: "a", want: "user b; user c"},
		{rule: "a name in any case", text: "MiXed: b", name: "mIxEd", want: "user b"},
		{rule: "a name in quotes", text: `"a b": c`, name: "A B", want: "user c"},
		{rule: "a leading backslash of a name is dropped", text: `\a: b`, name: "a", want: "user b"},
		{rule: "a name with a domain is refused", text: "a@x.test: b", name: "a", want: "user a", warnings: "aliases:1: the name a@x.test has a domain"},
		{rule: "an address with comment and display name", text: `a: "B, C" (who) <b@x.test>`, name: "a", want: "address b@x.test"},
		{rule: "a local name is another alias", text: "a: b\nb: c", name: "a", want: "user c"},
		{rule: `\name: no further aliasing`, text: "a: \\b\nb: c", name: "a", want: "user b noalias"},
		{rule: "a command, quotes round the whole", text: `a: "|cmd one, two"`, name: "a", want: "program cmd one, two"},
		{rule: "a command without quotes", text: "a: |cmd one", name: "a", want: "program cmd one"},
		{rule: "a file", text: "a: /var/x", name: "a", want: "file /var/x"},
		{rule: "/dev/null", text: "a: /dev/null", name: "a", want: "file /dev/null"},
		{rule: ":include: with blanks before the path", text: "a: :include: DIR/0", files: map[string]string{"0": "b\nc, d\n"}, name: "a",
			want: "user b; user c; user d"},
		{rule: "# within a value is text", text: "a: b#c, |cmd #x", name: "a", want: "user b#c; program cmd #x"},
		{rule: "owner-NAME holds for the members", text: "a: b\nowner-a: c", name: "a", want: "user b by owner-a"},
		{rule: "NAME-request is a name like any other", text: "a: b\nowner-a: c\na-request: d", name: "a-request", want: "user d"},
		{rule: "NAME-request is not made up", text: "a: b\nowner-a: c", name: "a-request", want: "user a-request"},
		{rule: "postmaster where it is not given", name: "Postmaster", want: "user root"},
		{rule: "mailer-daemon where it is not given", name: "MAILER-DAEMON", want: "user root"},
		{rule: "mailer-daemon is the postmaster who is given", text: "postmaster: a", name: "mailer-daemon", want: "user a"},
		{rule: "user+ext: the whole first", text: "a: b\na+x: c", name: "a+X", want: "user c"},
		{rule: "user+ext: then the user", text: "a: b", name: "a+x", want: "user b"},
		{rule: "recursion to 50 levels", text: deep, name: "n0", want: fmt.Sprintf("user n%d loop", MaxDepth)},
		{rule: "a name that comes back to itself", text: "bob: bob, x", name: "bob", want: "user bob loop; user x"},
		{rule: "a loop never fails", text: "a: b, x\nb: a, y", name: "a", want: "user a loop; user y; user x"},
		{rule: "include to 10 levels", text: "a: :include:" + include, files: chain, name: "a", err: "more than 10 includes"},
		{rule: "include to 10 levels and no further", text: "a: :include:DIR/1", files: chain, name: "a", want: "user ann"},
		{rule: "a file that includes itself", text: "a: :include:DIR/x", files: map[string]string{"x": "b\n:include:DIR/x"}, name: "a", err: "more than 10 includes"},
		{rule: "of duplicates the first wins", text: "a: b\nA: c", name: "a", want: "user b", warnings: "aliases:2: a: duplicate of line 1"},
		{rule: "duplicates are removed from the targets", text: "a: b, c, B, x@y.test, x@Y.test\nc: b", name: "a", want: "user b; address x@y.test"},
		{rule: "no colon: the rest holds", text: "x y\na: b", name: "a", want: "user b", warnings: "aliases:1: no colon"},
		{rule: "an empty right side: the rest holds", text: "x:\na: b", name: "a", want: "user b", warnings: "aliases:1: x: nothing behind the colon"},
		{rule: "an open quote: the rest holds", text: "x: \"b\na: b", name: "a", want: "user b", warnings: "aliases:1: x: a quote is left open"},
		{rule: "a continued line is named by its beginning", text: "a: b\nx: c,\n d d,\n e\n", name: "a", want: "user b", warnings: "aliases:2: x: d d"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			dir, _ := lists(t, tt.files)
			f := parse(t, strings.ReplaceAll(tt.text, "DIR", dir))
			f.Owner = os.Geteuid()
			var warnings []string
			for _, w := range f.Warnings {
				warnings = append(warnings, w.String())
			}
			if all := strings.Join(warnings, "\n"); (all == "") != (tt.warnings == "") || !strings.Contains(all, tt.warnings) {
				t.Errorf("warnings %q, want %q", all, tt.warnings)
			}
			x := Expander{Table: f, Extension: "+", Last: map[string]string{"postmaster": "root", "mailer-daemon": "postmaster"}}
			got, _, err := x.Expand(context.Background(), tt.name)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if show(got) != tt.want {
				t.Errorf("got  %s\nwant %s", show(got), tt.want)
			}
		})
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("# who\n\nann@x.test, bob\r\n|/bin/x\n:include:/y\n")
	f.Add("\\ann,\"|/bin/x a, b\"\n\"open\n\x00\xff")
	f.Add("a (b (c) , d\n<a@b>, /dev/null")
	f.Fuzz(func(t *testing.T, text string) {
		targets, warnings := ParseList("list", text)
		last := strings.Count(text, "\n") + 1
		for _, target := range targets {
			if target.Text == "" || strings.ContainsAny(target.Text, "\n\r\x00") || target.Line < 1 || target.Line > last || target.RunAs != "" {
				t.Errorf("%+v", target)
			}
		}
		for _, w := range warnings {
			if !w.Bad || w.Line < 1 || w.Line > last {
				t.Errorf("%+v", w)
			}
		}
	})
}

func TestExpandThroughForward(t *testing.T) {
	files := map[string]string{"ann": `\ann, list`, "bob": "ann, x@y.test", "carol": "Carol+x, z@y.test"}
	asked := map[string]int{}
	x := Expander{
		Table: parse(t, "list: bob, carol, bob, Bob\nowner-list: ann\ndave: dave, ann"), Extension: "+",
		Forward: func(_ context.Context, name string) (Forward, error) {
			asked[strings.ToLower(name)]++
			user, _, _ := strings.Cut(strings.ToLower(name), "+")
			text, ok := files[user]
			if !ok {
				return Forward{}, nil
			}
			targets, _ := ParseList("/home/"+user, text)
			return Forward{Path: "/home/" + user, Account: user, Targets: targets}, nil
		},
	}
	for name, want := range map[string]string{
		"ann":   "user ann noalias; address x@y.test by owner-list; user Carol+x loop by owner-list; address z@y.test by owner-list",
		"carol": "user Carol+x loop; address z@y.test",
		"eve":   "user eve",
	} {
		clear(asked)
		got, _, err := x.Expand(context.Background(), name)
		if err != nil || show(got) != want {
			t.Errorf("%s: got  %s, %v\nwant %s", name, show(got), err, want)
		}
		for name, n := range asked {
			if n > 1 {
				t.Errorf("asked %d times for %s", n, name)
			}
		}
		for _, target := range got {
			if target.Text == "x@y.test" && target.Forwarder != "bob" || target.Text == "z@y.test" && target.Forwarder != "carol" {
				t.Errorf("%s: %+v", name, target)
			}
		}
	}
}
