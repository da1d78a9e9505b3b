package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"signpost/compat"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"signpost": main, "sendmail": sendmail})
}

// sendmail is the program of that name, which stands beside this one.
func sendmail() {
	os.Exit(compat.Main(context.Background(), compat.Env{
		Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Getenv, PID: os.Getpid(),
	}))
}

// TestScripts runs testdata/*.txtar, each a session at the command line.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"status": status},
	})
}

// status runs a program that must end with this exit status: status 2 signpost bogus.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [argument...]")
	}
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("got exit status %d, want %s", got, args[0])
	}
}

func TestVersionOfABuild(t *testing.T) {
	info := &debug.BuildInfo{}
	info.Main.Version = "v1.2.3"
	info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: "0123abc"}, {Key: "vcs.modified", Value: "true"}}
	tests := []struct {
		name  string
		build build
		info  *debug.BuildInfo
		want  string
	}{
		{"the Go tool's record", build{}, info, "signpost v1.2.3, commit 0123abc, modified"},
		{"the linker's word", build{version: "1.2.4", commit: "4567def"}, info, "signpost 1.2.4, commit 4567def"},
		{"neither", build{}, &debug.BuildInfo{}, "signpost devel, commit unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.build.fillFrom(tt.info)
			lines := strings.Split(tt.build.String(), "\n")
			if got := lines[0] + ", " + lines[1]; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
