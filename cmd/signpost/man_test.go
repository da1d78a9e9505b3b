package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manPage = "../../man/signpost.8"

// flagsOfProgram are the flags of every command, by the words that call it, as "--name" or "--name value". Those that
// all commands have stand under "".
func flagsOfProgram() map[string][]string {
	root := newRootCmd(&globals{})
	root.InitDefaultHelpCmd()
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	root.InitDefaultCompletionCmd()
	all := map[string][]string{}
	var walk func(*cobra.Command, string)
	walk = func(cmd *cobra.Command, path string) {
		flags := []string{}
		cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) { flags = append(flags, shown(f)) })
		if !cmd.HasSubCommands() || len(flags) > 0 { // else it does nothing but to hold others
			all[path] = flags
		}
		for _, sub := range cmd.Commands() {
			walk(sub, strings.TrimSpace(path+" "+sub.Name()))
		}
	}
	walk(root, "")
	return all
}

// shown is a flag as flagOf reads it.
func shown(f *pflag.Flag) string {
	text := "--" + f.Name
	if f.Shorthand != "" {
		text = "-" + f.Shorthand + " " + text
	}
	if f.Value.Type() != "bool" {
		text += " value"
	}
	return text
}

// flagsOfManual reads the same from the manual. Commands stand in .It Ic lines; several in a row share what is said
// below them, where the flags stand in .It Fl lines.
func flagsOfManual(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(manPage)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"": {}}
	heads, open, section := []string{""}, false, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, ".Sh "); ok {
			section, heads = name, []string{""}
		}
		command, isCommand := strings.CutPrefix(line, ".It Ic ")
		flag, isFlag := strings.CutPrefix(line, ".It Fl ")
		switch {
		case section != "OPTIONS" && section != "COMMANDS":
		case isCommand:
			if !open {
				heads = nil
			}
			heads, open = append(heads, headsOf(command)...), true
			for _, h := range heads {
				all[h] = []string{}
			}
		case isFlag:
			for _, h := range heads {
				all[h] = append(all[h], flagOf(flag))
			}
			open = false
		default:
			open = false
		}
	}
	return all
}

// headsOf gives the commands that one line names: its words up to the first macro, or, of "completion Cm bash | fish",
// one for each choice.
func headsOf(line string) []string {
	words := strings.Fields(line)
	isMacro := func(w string) bool { return slices.Contains([]string{"Oo", "Op", "Ar", "Fl", "Cm"}, w) }
	end := slices.IndexFunc(words, isMacro)
	if end < 0 {
		return []string{line}
	}
	path := strings.Join(words[:end], " ")
	if words[end] != "Cm" {
		return []string{path}
	}
	var heads []string
	for choice := range strings.SplitSeq(strings.Join(words[end+1:], " "), " | ") {
		heads = append(heads, path+" "+choice)
	}
	return heads
}

// flagOf reads "c , -config Ar file" and "-json".
func flagOf(text string) string {
	name, value, hasValue := strings.Cut(text, " Ar ")
	var b strings.Builder
	for part := range strings.SplitSeq(name, " , ") {
		b.WriteString(" -" + part)
	}
	if hasValue && value != "" {
		b.WriteString(" value")
	}
	return b.String()[1:]
}

func TestManPageHasEveryCommandAndFlag(t *testing.T) {
	manual, program := flagsOfManual(t), flagsOfProgram()
	for path, want := range program {
		got, ok := manual[path]
		if !ok {
			t.Errorf("the manual has no command %q", path)
			continue
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("command %q: the manual has the flags\n%q\nthe program has\n%q", path, got, want)
		}
	}
	for path := range manual {
		if _, ok := program[path]; !ok {
			t.Errorf("the manual has the command %q, which the program has not", path)
		}
	}
}

// The line of a command may show only flags that are told of below it.
func TestManPageShowsFlagsOfTheCommand(t *testing.T) {
	text, err := os.ReadFile(manPage)
	if err != nil {
		t.Fatal(err)
	}
	program := flagsOfProgram()
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), ".It Ic ")
		if !ok {
			continue
		}
		words := strings.Fields(command)
		for _, path := range headsOf(command) {
			for i, w := range words[:len(words)-1] {
				name := "-" + words[i+1]
				if w == "Fl" && !slices.ContainsFunc(program[path], func(f string) bool { return f == name || f == name+" value" }) {
					t.Errorf("command %q is shown with %s, which it does not have", path, name)
				}
			}
		}
	}
}
