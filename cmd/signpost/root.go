package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"signpost/compat/settings"
	"signpost/mta/config"
)

// globals are the flags that every subcommand takes, and what is known of the command line so far.
type globals struct {
	config  string // file; empty: settings.DefaultFile, which need not exist
	running bool   // the command line was right, and the subcommand has been started
}

// load reads the configuration that the command line names.
func (g *globals) load() (config.Config, error) { return config.Read(g.config) }

// usageError is a fault of the command line that a subcommand finds itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func newRootCmd(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   "signpost",
		Short: "A mail transfer agent that keeps what it accepts and says what it did",
		Long: `signpost takes the mail that programs on this host hand to sendmail(8), signs it, delivers it, and says what became
of it. This command runs the daemon and is the tool of the person who looks after it.

Exit status: 0 done, 1 something failed or is wrong, 2 the command line is wrong.
Manual: signpost(8), signpost.toml(5).`,
		Version:       buildVersion().String(),
		SilenceErrors: true, // report does both
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVarP(&g.config, "config", "c", "",
		"read this configuration `file` (default "+settings.DefaultFile+")")
	root.MarkPersistentFlagFilename("config", "toml")
	root.AddCommand(
		newServeCmd(g),
		newQueueCmd(g),
		newWhyCmd(g),
		newTestCmd(g),
		newTryCmd(g),
		newDKIMCmd(g),
		newConfigCmd(g),
		newVersionCmd(),
	)
	strict(g, root)
	return root
}

// strict makes a command with subcommands refuse a word that is none of them, and every command tell when it starts:
// what goes wrong before that is the command line's fault.
func strict(g *globals, cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		strict(g, sub)
	}
	switch inner := cmd.RunE; {
	case inner != nil:
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			g.running = true
			return inner(cmd, args)
		}
	case cmd.HasSubCommands():
		cmd.Args = oneOfItsCommands
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

func oneOfItsCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		text += fmt.Sprintf(" (did you mean %q?)", like[0])
	}
	return errors.New(text)
}

// report writes what went wrong and gives the exit status. Faults of a configuration file stand at the beginning of
// their lines, as editors want them; everything else begins with the program's name.
func (g *globals) report(stderr io.Writer, cmd *cobra.Command, err error) int {
	var usage usageError
	var broken *settings.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage) || !g.running:
		fmt.Fprintf(stderr, "signpost: %v\nhint: %s --help\n", err, cmd.CommandPath())
		return 2
	case errors.As(err, &broken):
		fmt.Fprintln(stderr, broken)
	case !errors.Is(err, errSaid):
		fmt.Fprintf(stderr, "signpost: %s\n", strings.TrimSuffix(err.Error(), "\n"))
	}
	return 1
}

// errSaid ends a subcommand with status 1 when it has told what is wrong on standard output.
var errSaid = errors.New("told already")
