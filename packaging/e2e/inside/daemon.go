//go:build e2e

package inside

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Config is where the configuration lies.
const Config = "/etc/signpost/signpost.toml"

// Running is the daemon of a test: `signpost serve`, started by root as on a system without a service manager.
type Running struct {
	t   testing.TB
	log log

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended and its output been read
	err   error         // of its end
}

// Daemon starts the daemon and returns when it says that it is ready. text becomes its configuration; where it is
// empty, that of the package stays. It is stopped at the end of the test; its log is shown where the test failed.
func Daemon(t testing.TB, text string) *Running {
	t.Helper()
	if text != "" {
		if err := os.WriteFile(Config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := &Running{t: t}
	t.Cleanup(func() {
		if d.cmd != nil {
			d.Stop()
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", d.Log())
		}
	})
	d.Start()
	return d
}

// Start starts the daemon again after Stop or Kill, by the configuration as it is now. It returns when it is ready.
func (d *Running) Start() {
	d.t.Helper()
	path := filepath.Join("/run/e2e", "ready")
	os.Remove(path)
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer ready.Close()
	if err := os.Chmod(path, 0o666); err != nil { // it says so as user signpost
		d.t.Fatal(err)
	}
	d.cmd = exec.Command("/usr/bin/signpost", "serve")
	d.cmd.Env = append(passedOn(), "NOTIFY_SOCKET="+path)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	if err := d.cmd.Start(); err != nil {
		d.cmd = nil
		d.t.Fatal(err)
	}
	d.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { // ends with the process, which Stop and Kill wait for
		d.err = cmd.Wait()
		close(ended)
		ready.Close()
	}(d.cmd, d.ended)
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	defer stop()
	for buf := make([]byte, 4096); ; {
		n, err := ready.Read(buf)
		if err != nil {
			d.t.Fatalf("the daemon did not become ready\n%s", d.Log())
		}
		if strings.Contains(string(buf[:n]), "READY=1") {
			return
		}
	}
}

// PID is the process of the daemon; 0: it does not run.
func (d *Running) PID() int {
	if d.cmd == nil {
		return 0
	}
	return d.cmd.Process.Pid
}

// Stop asks the daemon to end (SIGTERM) and waits until it has, which must be with status 0.
func (d *Running) Stop() {
	d.t.Helper()
	if err := d.end(syscall.SIGTERM); err != nil {
		d.t.Errorf("the daemon ended: %v\n%s", err, d.Log())
	}
}

// Kill ends the daemon at once (SIGKILL), as a crash would.
func (d *Running) Kill() {
	d.t.Helper()
	d.end(syscall.SIGKILL)
}

func (d *Running) end(s syscall.Signal) error {
	d.t.Helper()
	cmd := d.cmd
	d.cmd = nil
	cmd.Process.Signal(s)
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	select {
	case <-d.ended:
		return d.err
	case <-ctx.Done():
		cmd.Process.Kill()
		<-d.ended
		return fmt.Errorf("only when it was killed: it did not end within %v of %v", Limit, s)
	}
}

// Ended is closed when the process has ended, also by itself.
func (d *Running) Ended() <-chan struct{} { return d.ended }

// Signal sends the daemon a signal: SIGHUP makes it read its configuration again.
func (d *Running) Signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// Log is what the daemon has logged so far, since its first start.
func (d *Running) Log() string { return d.log.String() }

// AwaitLog waits until done reports true of the log so far. It is asked again after each piece of it.
func (d *Running) AwaitLog(what string, done func(log string) bool) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	if !d.log.await(ctx, done) {
		d.t.Fatalf("waited %v for %s in the daemon's log", Limit, what)
	}
}

// log collects what is written to it. Safe for concurrent use.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed at the next piece; nil: nobody waits
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// read is the text so far, and what is closed when there is more.
func (l *log) read() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.text.String(), l.more
}

func (l *log) await(ctx context.Context, done func(string) bool) bool {
	for {
		text, more := l.read()
		if done(text) {
			return true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}
