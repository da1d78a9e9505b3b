package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Set by the linker where a release is built (-ldflags "-X main.version=1.2.0 -X main.commit=…"). Empty: the Go
// tool's own record is asked.
var version, commit string

type build struct{ version, commit, goVersion, platform string }

func newVersionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, Go version and commit",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), buildVersion())
			return err
		},
	}
}

func (b build) String() string {
	return fmt.Sprintf("signpost %s\ncommit %s\n%s %s", b.version, b.commit, b.goVersion, b.platform)
}

func buildVersion() build {
	b := build{version, commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.fillFrom(info)
	}
	return b
}

// fillFrom takes what the linker was not told from the Go tool's record.
func (b *build) fillFrom(info *debug.BuildInfo) {
	if b.version == "" {
		b.version = info.Main.Version
	}
	if b.version == "" || b.version == "(devel)" {
		b.version = "devel"
	}
	if b.commit != "" {
		return
	}
	b.commit = "unknown"
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	b.commit += modified
}
