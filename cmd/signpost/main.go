// Command signpost runs the mail daemon and holds the tools of the person who runs it. Each subcommand is a function
// newXCmd in a file of its own; what they do is in the packages below mta.
package main

import (
	"context"
	"io"
	"os"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the command with everything it touches passed in. It gives the exit status: 0 done, 1 failed, 2 the command
// line is wrong.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	g := &globals{}
	root := newRootCmd(g)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return g.report(stderr, cmd, err)
}
