//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpost/packaging/e2e/inside"
)

// forwardWith gives a user a ~/.forward, and a program for it that keeps the message and tells who it is.
func forwardWith(t *testing.T, who inside.Account, name, text string) {
	t.Helper()
	writeFile(t, "/usr/local/bin/watch", "#!/bin/sh\ncat >$HOME/watched\ncat /proc/self/status >$HOME/status\n", 0o755)
	write(t, who, filepath.Join(who.Home, name), []byte(text), 0o644)
}

// checkWatch waits for the program to have run as the user, without any right.
func checkWatch(t *testing.T, who inside.Account, subject string) {
	t.Helper()
	status := string(inside.AwaitFile(t, who.Home+"/status", func(content []byte) bool {
		return strings.Contains(string(content), "nonvoluntary_ctxt_switches")
	}))
	for _, want := range []string{
		fmt.Sprintf("\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", who.UID),
		fmt.Sprintf("\nGid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", who.GID),
		"\nCapPrm:\t" + noCaps + "\n", "\nCapEff:\t" + noCaps + "\n", "\nNoNewPrivs:\t1\n",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("status of the program has no line %q:\n%s", strings.TrimSpace(want), status)
		}
	}
	mail, err := os.ReadFile(who.Home + "/watched")
	if err != nil || !strings.Contains(string(mail), "Subject: "+subject+"\n") || !strings.Contains(string(mail), "Delivered-To: "+who.Name+"@") {
		t.Errorf("the program got %q (%v)", mail, err)
	}
}

// A copy goes out, signed; one stays; one goes to a program as the user. The home is closed to all others, so that the
// daemon could not have read the file.
func TestForward(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		_, mx := outside(t)
		ann, bob := inside.User(t, "ann"), inside.User(t, "bob")
		forwardWith(t, bob, ".forward", "\\bob, bob@example.net\n\"|/usr/local/bin/watch\"\n")
		forwardWith(t, bob, ".forward+away", "away@example.net\n")
		if err := os.Chmod(bob.Home, 0o700); err != nil {
			t.Fatal(err)
		}
		send(t, ann, "Subject: three\n\nways\n", "-i", "bob")
		got := inside.Messages(t, mx, 1)[0]
		checkEnvelope(t, got, "ann@"+inside.Hostname, "bob@example.net")
		parse(t, got.Content).has(t, "Delivered-To: bob@"+inside.Hostname)
		inside.Verify(t, got.Content, 2)
		awaitMail(t, bob, "Subject: three\n")
		fact{path: "/var/mail/bob", mode: 0o600, owner: "bob:mail"}.check(t)
		checkWatch(t, bob, "three")

		send(t, ann, "Subject: detail\n\nworld\n", "-i", "bob+away")
		checkEnvelope(t, inside.Messages(t, mx, 2)[1], "ann@"+inside.Hostname, "away@example.net")

		// What another host sends back is not sent round again.
		send(t, ann, string(got.Content), "-i", "-f", "ann", "bob+away")
		awaitMail(t, ann, "5.4.6")
		queueEmpty(t)
		if n := len(mx.Transactions()); n != 2 {
			t.Errorf("%d messages left", n)
		}
	})
}

// A file that others could have written counts for nothing: the mail stays, and the log says why.
func TestForwardThatOthersCanWrite(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d := inside.Daemon(t, "")
		ann, bob := inside.User(t, "ann"), inside.User(t, "bob")
		forwardWith(t, bob, ".forward", "bob@example.net\n")
		if err := os.Chmod(filepath.Join(bob.Home, ".forward"), 0o666); err != nil {
			t.Fatal(err)
		}
		send(t, ann, "Subject: here\n\nworld\n", "-i", "bob")
		awaitMail(t, bob, "Subject: here\n")
		d.AwaitLog("the reason", func(log string) bool {
			return strings.Contains(log, "~/.forward of bob") && strings.Contains(log, "can be written by others")
		})
		queueEmpty(t)
	})
}

// The units let the helper do all of that, also in homes.
func TestForwardUnderSystemd(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		text, mx := exampleNet(t)
		writeFile(t, inside.Config, text, 0o644)
		inside.Boot(t)
		ann, bob := inside.User(t, "ann"), inside.User(t, "bob")
		forwardWith(t, bob, ".forward", "bob, bob@example.net, |/usr/local/bin/watch\n"+bob.Home+"/kept\n")
		send(t, ann, "Subject: units\n\nworld\n", "-i", "bob")
		inside.Messages(t, mx, 1)
		awaitMail(t, bob, "Subject: units\n")
		checkWatch(t, bob, "units")
		inside.AwaitFile(t, bob.Home+"/kept", func(content []byte) bool { return strings.Contains(string(content), "Subject: units\n") })
		fact{path: bob.Home + "/kept", mode: 0o600, owner: "bob:bob"}.check(t)
	})
}
