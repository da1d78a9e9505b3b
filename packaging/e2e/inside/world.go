//go:build e2e

package inside

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"signpost/mta/sign"
	"signpost/mta/stage"
)

// DNS starts the name server that everybody inside asks. records are as those of stage.DNS.
func DNS(t testing.TB, records string) *stage.DNS {
	t.Helper()
	d := &stage.DNS{Records: records}
	if err := d.Listen("127.0.0.1:53"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// Exchanger starts a mail exchanger at an address, usually one of the documentation networks and port 25.
func Exchanger(t testing.TB, addr string, x *stage.Exchanger) *stage.Exchanger {
	t.Helper()
	if err := x.Listen(addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// Messages waits until an exchanger has taken n messages and gives all it has.
func Messages(t testing.TB, x *stage.Exchanger, n int) []stage.Transaction {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	got, err := x.Await(ctx, n)
	if err != nil {
		t.Fatalf("waited for %d messages, got %d: %v", n, len(got), err)
	}
	return got
}

// Key makes a DKIM key with the installed program, and gives its entry of the configuration and its record for the
// name server. kind is as sign.Types.
func Key(t testing.TB, domain, selector, kind string) (entry, record string) {
	t.Helper()
	Output(t, Command(t, "/usr/bin/signpost", "dkim", "keygen", "--domain", domain, "--selector", selector, "--type", kind))
	path := fmt.Sprintf("/etc/signpost/dkim/%s.%s.pem", domain, selector)
	key, err := sign.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sign.Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	entry = fmt.Sprintf("[[dkim]]\ndomain = %q\nselector = %q\nkey = %q\n", domain, selector, path)
	return entry, sign.ZoneEntry(sign.RecordName(selector, domain), text) + "\n"
}

// Verify checks every signature of a message by the name server inside, and fails the test unless there are exactly
// n, all good.
func Verify(t testing.TB, message []byte, n int) {
	t.Helper()
	verdicts, err := sign.Verify(bytes.NewReader(message), func(name string) ([]string, error) {
		return net.DefaultResolver.LookupTXT(t.Context(), name)
	})
	if err != nil || len(verdicts) != n {
		t.Fatalf("%d signatures, want %d: %v\n%.2000s", len(verdicts), n, err, message)
	}
	for _, v := range verdicts {
		if v.Err != nil {
			t.Fatalf("the %s signature of %s (%s): %v\n%.2000s", v.Algorithm, v.Domain, v.Selector, v.Err, message)
		}
	}
}

// AwaitFile waits until done reports true of the content of a file, and gives it. It is asked again whenever
// something in the file's folder, which must exist, has changed. A file that is not there has no content.
func AwaitFile(t testing.TB, path string, done func(content []byte) bool) []byte {
	t.Helper()
	var content []byte
	AwaitFolder(t, filepath.Dir(path), "a change of "+path, func() bool {
		var err error
		content, err = os.ReadFile(path)
		return (err == nil || errors.Is(err, os.ErrNotExist)) && done(content)
	})
	return content
}

// AwaitFolder waits until done reports true. It is asked again whenever something in the folder, but not in those
// below it, has changed, and now and then besides. what is for the message when it never does.
func AwaitFolder(t testing.TB, folder, what string, done func() bool) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	notices := os.NewFile(uintptr(fd), "inotify")
	defer notices.Close()
	_, err = unix.InotifyAddWatch(fd, folder, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_CLOSE_WRITE|unix.IN_ATTRIB|
		unix.IN_MOVED_TO|unix.IN_MOVED_FROM|unix.IN_DELETE)
	if err != nil {
		t.Fatalf("watching %s: %v", folder, err)
	}
	end := time.Now().Add(Limit)
	buf := make([]byte, 64<<10)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", Limit, what)
		}
		notices.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := notices.Read(buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
}
