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
		"       sendmail --explain [--] [arguments]\n" +
		"       mailq [-v] [id ...]\n" +
		"       newaliases\n\n" +
		"Reads a message on standard input and exits once it is safe in the spool.\n\n")
	for _, o := range options {
		if o.set != nil {
			helpLine(&b, "-"+string(o.letter)+" "+o.value, o.doc)
		}
	}
	b.WriteString("\n")
	for _, o := range shortSettings {
		helpLine(&b, "-o "+string(o.letter)+", -O "+o.name, o.doc)
	}
	b.WriteString("\n")
	for _, m := range modes {
		helpLine(&b, "-b"+string(m.letter), m.doc)
	}
	b.WriteString("\n")
	for _, o := range longOptions {
		helpLine(&b, "--"+o.name+" "+o.value, o.doc)
	}
	b.WriteString("\nTaken and ignored:")
	for _, o := range options {
		if o.set == nil {
			b.WriteString(" -" + string(o.letter))
		}
	}
	b.WriteString("\nThe exit status is one of sysexits(3). See sendmail(8).\n")
	c.print(b.String())
	return nil
}

func helpLine(b *strings.Builder, name, doc string) { fmt.Fprintf(b, "  %-22s %s\n", name, doc) }

func (c *command) version() error {
	version := "unknown version"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	c.print("sendmail (signpost) " + version + "\n")
	return nil
}
