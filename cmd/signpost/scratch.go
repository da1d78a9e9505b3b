package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// scratch is a daemon of its own in a folder of its own, for commands that show what signpost does without touching
// the system. Its configuration is written by who uses it. Not for several goroutines.
type scratch struct {
	dir      string
	self     string // this program
	sendmail string
	daemon   *exec.Cmd
	ended    chan struct{} // closed when the daemon has ended
}

// open makes the folder; remove takes it away again.
func (s *scratch) open(prefix string) (err error) {
	s.dir, err = os.MkdirTemp("", prefix)
	return err
}

func (s *scratch) remove() { os.RemoveAll(s.dir) }

func (s *scratch) config() string { return filepath.Join(s.dir, "signpost.toml") }
func (s *scratch) log() string    { return filepath.Join(s.dir, "daemon.log") }

// findPrograms finds this program and the sendmail that belongs to it: beside it, installed, or built from the source.
func (s *scratch) findPrograms(ctx context.Context) (err error) {
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	for _, path := range []string{filepath.Join(filepath.Dir(s.self), "sendmail"), "/usr/sbin/sendmail"} {
		if out, err := exec.CommandContext(ctx, path, "--version").Output(); err == nil && bytes.HasPrefix(out, []byte("sendmail (signpost)")) {
			s.sendmail = path
			return nil
		}
	}
	s.sendmail = filepath.Join(s.dir, "sendmail")
	build := exec.Command("go", "build", "-o", s.sendmail, "signpost/cmd/sendmail") // not bound by the limit: it compiles
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the sendmail program is neither beside this one nor installed, and cannot be built: %w\n%s\nhint: run this in the source folder, or install signpost",
			err, strings.TrimSpace(string(out)))
	}
	return nil
}

// start starts the daemon as a process, and waits until it says that it is ready (sd_notify(3)).
func (s *scratch) start(ctx context.Context) error {
	path := filepath.Join(s.dir, "ready.sock")
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer ready.Close()
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer log.Close()
	s.daemon = exec.Command(s.self, "serve", "--config", s.config())
	s.daemon.Stdout, s.daemon.Stderr = log, log
	s.daemon.Env = append(os.Environ(), "NOTIFY_SOCKET="+path)
	if err := s.daemon.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func() { s.daemon.Wait(); close(s.ended); ready.Close() }() // ends with the daemon, which stop waits for
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	defer stop()
	for buf := make([]byte, 4096); ; {
		n, err := ready.Read(buf)
		if err != nil {
			return errors.New("the daemon did not become ready")
		}
		if strings.Contains(string(buf[:n]), "READY=1") {
			return nil
		}
	}
}

// stop ends the daemon, where it was started, and waits for its end.
func (s *scratch) stop() {
	if s.ended != nil {
		s.daemon.Process.Signal(syscall.SIGTERM)
		<-s.ended
	}
}

// logEnd is what the daemon said last.
func (s *scratch) logEnd() string {
	b, err := os.ReadFile(s.log())
	if err != nil {
		return ""
	}
	return string(b[max(0, len(b)-4000):])
}

// ask runs this program as an administrator would.
func (s *scratch) ask(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, s.self, append(args, "--config", s.config())...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("signpost %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// quoteLines shows text as a quotation.
func quoteLines(w io.Writer, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		fmt.Fprintf(w, "   | %s\n", printableLine(strings.TrimRight(line, "\r")))
	}
}
