package compat

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// help prints what the table of options says.
func (c *command) help() error {
	var b strings.Builder
	b.WriteString("usage: sendmail [options] [--] [recipient ...]\n" +
		"       sendmail -t [options] [--] [recipient ...]\n" +
		"       mailq [-v] [id ...]\n" +
		"       newaliases\n\n" +
		"Reads a message on standard input and exits once it is safe in the spool.\n\n")
	for _, o := range options {
		if o.doc == "" {
			continue
		}
		name := "-" + string(o.letter)
		if o.value != "" {
			name += " " + o.value
		}
		fmt.Fprintf(&b, "  %-18s %s\n", name, o.doc)
	}
	b.WriteString("\n")
	for _, m := range modes {
		if m.doc != "" {
			fmt.Fprintf(&b, "  %-18s %s\n", "-b"+string(m.letter), m.doc)
		}
	}
	b.WriteString("\nTaken and ignored:")
	for _, o := range options {
		if o.doc == "" {
			b.WriteString(" -" + string(o.letter))
		}
	}
	b.WriteString("\nThe exit status is one of sysexits(3). See sendmail(8).\n")
	c.print(b.String())
	return nil
}

func (c *command) version() error {
	version := "unknown version"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	c.print("sendmail (signpost) " + version + "\n")
	return nil
}
