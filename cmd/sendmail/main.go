// Command sendmail hands one message to the spool and exits once it is durable there. It is also mailq, newaliases and
// runq, by the name it is called with. It is short-lived, needs no rights, and links no network code but the raw calls
// for one local socket.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"signpost/compat"
	"signpost/compat/provenance"
)

func main() {
	// A reader of our output that went away must not end us while the message is on its way.
	signal.Ignore(syscall.SIGPIPE)
	// Files of the daemon are not made here, but those in drop/ are, and times are those of the host, not the caller's.
	syscall.Umask(0o077)
	os.Unsetenv("TZ")
	os.Exit(compat.Main(context.Background(), compat.Env{
		Args:    os.Args,
		Stdin:   compat.Stdin(),
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Environ: os.Getenv,
		PID:     os.Getpid(),
		Caller:  provenance.Self,
		UID:     os.Geteuid(),

		Terminal: compat.StdinIsTerminal,
		Enough:   compat.EnoughDescriptors,
	}))
}
