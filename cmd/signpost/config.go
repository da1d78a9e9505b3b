package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"signpost/compat/settings"
)

func newConfigCmd(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration, or show what is in force",
		Long: `Check the configuration, or show what is in force.

The file is TOML; its keys are described in signpost.toml(5).`,
	}
	cmd.AddCommand(newConfigCheckCmd(g), newConfigShowCmd(g))
	return cmd
}

func newConfigCheckCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Report everything that is wrong with the configuration",
		Long: `Report everything that is wrong with the configuration, each fault on a line of its own:
file:line:column: key: what is wrong, and what would be right.

Files and accounts that the configuration names are not looked at.`,
		Example: `  signpost config check
  signpost config check new.toml && cp new.toml /etc/signpost/signpost.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if g.config != "" {
					return usageError{fmt.Errorf("name the file once: %q or --config %q", args[0], g.config)}
				}
				g.config = args[0]
			}
			if _, err := g.load(); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", cmp.Or(g.config, settings.DefaultFile))
			return err
		},
	}
}

func newConfigShowCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print the configuration that is in force, defaults included",
		Long: `Print the configuration that is in force, defaults included, as TOML which signpost reads again. Relative paths are
printed as the absolute ones they stand for.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			return cfg.Show(cmd.OutOrStdout())
		},
	}
}
