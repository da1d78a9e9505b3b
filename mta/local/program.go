package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"signpost/spool"
)

const (
	// safePath is the PATH of everything that is run.
	safePath = "/usr/local/bin:/usr/bin:/bin"
	// maxOutput bounds what is kept of a program's output for the bounce, in octets.
	maxOutput = 4 << 10
)

// plainCommand are the octets of a command that needs no shell.
const plainCommand = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \t!%+,-./:=@_"

// argv parts a command line. As in Postfix, a command that begins with a path and holds nothing that a shell would
// act on is run directly, its words parted at white space; any other is a line for /bin/sh. The line comes from the
// aliases file alone: nothing of a message ever becomes part of it.
func argv(command string) []string {
	if strings.HasPrefix(command, "/") && strings.Trim(command, plainCommand) == "" {
		return strings.Fields(command)
	}
	return []string{"/bin/sh", "-c", command}
}

// program runs a command with the message on its standard input. The message is read whole before: a program must
// not see half of one and its end.
//
// The environment is fixed and holds no text of strangers: addresses and subjects in it were the way in for
// Shellshock. What a program needs it reads from the message (Return-Path, Delivered-To).
func (j *job) program(ctx context.Context, content io.Reader) (string, error) {
	stdin, err := j.memory(content)
	if err != nil {
		return "", err
	}
	defer stdin.Close()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	args := argv(j.Command)
	out := &bounded{limit: maxOutput}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, out
	cmd.Dir, cmd.Env = "/", j.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a group of its own, and no terminal
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // for a child of its own that keeps the output open
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; what it left behind may go on
	}
	return j.verdict(ctx, err, out)
}

// memory holds the message as a file without a name, so that the program finds it whole, may seek in it, and may
// stop reading where it likes.
func (j *job) memory(content io.Reader) (*os.File, error) {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("holding the message: %w", err)
	}
	f := os.NewFile(uintptr(fd), "message")
	if err := j.write(f, content, false); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (j *job) environ() []string {
	home := j.User.Home
	if home == "" {
		home = "/"
	}
	return []string{
		"PATH=" + safePath, "SHELL=/bin/sh", "LANG=C", "HOME=" + home, "USER=" + j.User.Name, "LOGNAME=" + j.User.Name,
	}
}

// verdict turns the end of a program into the end of a delivery, by sysexits(3).
func (j *job) verdict(ctx context.Context, err error, out *bounded) (string, error) {
	output := strings.TrimSpace(strings.ToValidUTF8(out.buf.String(), "?"))
	if out.cut {
		output += " [cut]"
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "command succeeded", nil
	case ctx.Err() != nil:
		return "", spool.Errorf(systemTrouble, "command killed: %w%s", stopped(ctx, j.Timeout), colon(output))
	case errors.As(err, &exit) && exit.Exited():
		code := exit.ExitCode()
		return "", spool.Errorf(exitStatus(code), "command ended with status %d%s", code, colon(output))
	case errors.As(err, &exit):
		return "", spool.Errorf(systemTrouble, "command ended by %v%s", exit, colon(output))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "", spool.Errorf(badConfig, "running the command: %w", err)
	}
	return "", spool.Errorf(systemTrouble, "running the command: %w", err)
}

func stopped(ctx context.Context, limit time.Duration) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("not done after %v", limit)
	}
	return ctx.Err()
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// exitStatus gives the status of an exit code other than 0. Those that sysexits(3) calls temporary are, and so are
// the shell's for a command that is not there or cannot be run, which the administrator can mend.
func exitStatus(code int) spool.Status {
	switch code {
	case 64, 78: // EX_USAGE, EX_CONFIG
		return spool.Status{Class: 5, Subject: 3, Detail: 5}
	case 65: // EX_DATAERR
		return spool.Status{Class: 5, Subject: 6, Detail: 0}
	case 67: // EX_NOUSER
		return unknownUser
	case 68: // EX_NOHOST
		return spool.Status{Class: 5, Subject: 1, Detail: 2}
	case 77: // EX_NOPERM
		return notAllowed
	case 71, 74, 75: // EX_OSERR, EX_IOERR, EX_TEMPFAIL
		return systemTrouble
	case 126, 127:
		return badConfig
	}
	return spool.Status{Class: 5, Subject: 3, Detail: 0}
}
