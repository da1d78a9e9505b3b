// Command deliver is the helper that delivers as the recipient. The daemon talks to it over a socket; people never
// call it. systemd starts it by its socket unit, or `signpost serve` starts it before it gives up root.
//
//	deliver [--config FILE] [--uid N] [--fd N] [--life]
//	deliver child
//	deliver check
//
// It serves the account of the key user, or uid N, and nobody else. The listening socket is the one of the service
// manager (sd_listen_fds(3)), or descriptor N. With --life it ends when its standard input does. "child" is how it
// calls itself for one delivery; "check" says whether it could work on this host, before root is given up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"signpost/compat/settings"
	"signpost/mta/config"
	"signpost/mta/local"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "child" {
		os.Exit(local.Child())
	}
	if len(os.Args) == 2 && os.Args[1] == "check" {
		if err := local.CheckRights(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(os.Args[1:], os.Stderr))
}

// flags are what the command line says.
type flags struct {
	config string
	uid    int
	fd     int
	life   bool
}

func run(args []string, stderr io.Writer) int {
	var f flags
	set := flag.NewFlagSet("deliver", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.config, "config", "", "configuration `file`")
	set.IntVar(&f.uid, "uid", -1, "serve this `uid` instead of that of the key user")
	set.IntVar(&f.fd, "fd", -1, "listen on this `descriptor` instead of the service manager's")
	set.BoolVar(&f.life, "life", false, "end when standard input does")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if set.NArg() > 0 {
		fmt.Fprintf(stderr, "deliver: unknown argument %q\nhint: this program is started by the daemon, not by people\n", set.Arg(0))
		return 2
	}
	if err := serve(f, stderr); err != nil {
		fmt.Fprintf(stderr, "deliver: %v\n", err)
		return 1
	}
	return 0
}

func serve(f flags, stderr io.Writer) error {
	l, err := listener(f.fd)
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if f.life {
		ctx, stop = local.Life(ctx, os.Stdin)
		defer stop()
	}
	c := &current{path: f.config}
	cfg, err := c.first()
	if err != nil {
		return err
	}
	log := logger(cfg.Log, stderr)
	if f.uid < 0 {
		u, err := local.Passwd{}.LookupName(ctx, cfg.User)
		if err != nil {
			return fmt.Errorf("user = %q, whom the helper is to serve: %w", cfg.User, err)
		}
		f.uid = u.UID
	}
	h := local.Helper{UID: f.uid, Log: log, Load: func() (*local.Mailboxes, error) { return c.mailboxes(log) }}
	return h.Serve(ctx, l)
}

// listener takes over the socket on which the daemon will call.
func listener(fd int) (*net.UnixListener, error) {
	var files []*os.File
	if fd >= 0 {
		files = []*os.File{os.NewFile(uintptr(fd), "socket")}
	} else {
		files = activation.Files(true)
	}
	if len(files) != 1 || files[0] == nil {
		return nil, fmt.Errorf("%d sockets to listen on, not one\nhint: this program is started by the daemon or by its socket unit", len(files))
	}
	defer files[0].Close()
	l, err := net.FileListener(files[0])
	if err != nil {
		return nil, fmt.Errorf("taking over the socket: %w", err)
	}
	unix, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("taking over the socket: a %s socket, not a local one", l.Addr().Network())
	}
	unix.SetUnlinkOnClose(false) // it belongs to whoever made it
	return unix, nil
}

func logger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	opt := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// current is the configuration in force. It is read again when the file has changed; while the new one is broken the
// old one holds, as in the daemon.
type current struct {
	path string

	mu    sync.Mutex
	stamp string
	known *local.Mailboxes
}

func (c *current) file() string {
	if c.path != "" {
		return c.path
	}
	return settings.DefaultFile
}

// load reads the configuration. Whoever can write it decides as whom programs run, so root believes only a file that
// nobody but root can write.
func (c *current) load() (config.Config, error) {
	if info, err := os.Stat(c.file()); err == nil && os.Geteuid() == 0 {
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
			return config.Config{}, fmt.Errorf("%s must belong to root and be writable by nobody else (mode %04o)", c.file(), info.Mode().Perm())
		}
	}
	return config.Read(c.path)
}

// first reads the configuration at the start. It then holds, also when the file is broken before the first delivery.
func (c *current) first() (config.Config, error) {
	version := c.version()
	cfg, err := c.load()
	if err == nil {
		c.stamp, c.known = version, mailboxes(cfg)
	}
	return cfg, err
}

// version tells states of the file apart.
func (c *current) version() string {
	info, err := os.Stat(c.file())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "none"
	case err != nil:
		return err.Error()
	}
	st, _ := info.Sys().(*syscall.Stat_t)
	return fmt.Sprint(st.Dev, st.Ino, st.Ctim, info.Size())
}

// mailboxes gives what the configuration in force says about this host.
func (c *current) mailboxes(log *slog.Logger) (*local.Mailboxes, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version := c.version()
	if c.known != nil && version == c.stamp {
		return c.known, nil
	}
	cfg, err := c.load()
	if err != nil && c.known == nil {
		return nil, err
	}
	c.stamp = version
	if err != nil {
		log.Warn("the configuration stays what it was", "err", err)
		return c.known, nil
	}
	c.known = mailboxes(cfg)
	return c.known, nil
}

func mailboxes(cfg config.Config) *local.Mailboxes {
	return &local.Mailboxes{
		Domains:     cfg.Local.Domains,
		Hostname:    cfg.Hostname,
		Origin:      cfg.Origin,
		Mailbox:     cfg.Local.Mailbox,
		Aliases:     cfg.Local.Aliases,
		Root:        cfg.Root,
		Postmaster:  cfg.Postmaster,
		Extension:   cfg.Local.Extension,
		PipeTimeout: cfg.Local.PipeTimeout.Std(),
		Programs:    slices.Contains(cfg.Local.Programs, "aliases"),
		RunAs:       cfg.Local.RunAs,
		Forward:     cfg.Local.Forward,

		ForwardPrograms: slices.Contains(cfg.Local.Programs, "forward"),
	}
}
