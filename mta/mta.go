// Package mta assembles the daemon from its parts, starts them and stops them in order.
//
// Start does what needs rights or can go wrong for good: it starts the delivery helper, becomes the account of the
// daemon, opens the spool under its lock, reads the keys and opens the sockets. Run then serves until its context
// ends: it accepts what callers hand in, empties drop/, runs the scheduler and answers the administrator. At the end
// listeners close first, messages being handed in and attempts in flight are waited for, and the spool is closed last.
//
// The package holds the deliverer that the scheduler asks (it joins aliases, routing, signing, the SMTP client and
// bounces, which do not know of each other), the one Dial that every connection to another host goes through, and,
// with the scheduler and the commands, the only code that logs.
package mta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"signpost/mta/config"
	"signpost/mta/control"
	"signpost/mta/history"
	"signpost/mta/intake"
	"signpost/mta/local"
	"signpost/mta/queue"
	"signpost/spool"
)

// Daemon is the running whole. Start makes it, Run runs it, Reload may be called while it runs.
type Daemon struct {
	log     *slog.Logger
	opt     Options
	first   config.Config  // as at the start: of the spool, a reload changes nothing but limits
	helper  *local.Started // nil: systemd's, or none
	deliver string         // the helper's socket; empty: deliveries are made with the daemon's own rights
	lock    io.Closer      // of the spool, until it is open
	dir     *spool.Dir
	journal *history.Journal // nil: nothing is remembered
	notes   *notes
	quotas  *quotas
	pace    pace                    // of notices to the postmaster
	notices atomic.Pointer[notices] // by the configuration in force
	submit  net.Listener
	admin   net.Listener
	queue   *queue.Queue
	intake  atomic.Pointer[intake.Intake]
	gate    gate

	reloading sync.Mutex // guards what follows against two reloads at once
	cfg       config.Config
	parts     *parts
	reloaded  chan struct{} // closed, and made anew, at each reload
}

// Options are what a Daemon is given beside its configuration.
type Options struct {
	Log    *slog.Logger
	Reload func() (config.Config, error) // reads the configuration anew; nil: it cannot be reloaded
	Config string                        // path of the configuration file; empty: the default one
	Helper string                        // path of the delivery helper's program; empty: where it is installed
	// Confine takes rights from the whole process that it does not need any more. It cannot be undone.
	Confine bool
}

// Start prepares a daemon. After an error nothing is left running.
func Start(ctx context.Context, cfg config.Config, opt Options) (_ *Daemon, err error) {
	d := &Daemon{log: opt.Log, opt: opt, first: cfg, cfg: cfg, reloaded: make(chan struct{})}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	handed, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("taking the sockets that the service manager opened: %w", err)
	}
	if err := d.settle(ctx, helperSocket); err != nil {
		return nil, err
	}
	if d.dir, err = d.openSpool(); err != nil {
		return nil, err
	}
	if d.journal, err = openJournal(cfg); err != nil {
		return nil, err
	}
	d.note()
	parts, err := d.assemble(cfg)
	if err != nil {
		return nil, err
	}
	d.putInForce(cfg, parts)
	d.restoreQuotas()
	d.queue = queue.New(d.dir, d.parts.deliverer, d.parts.options)
	if d.submit, err = listen(handed["submit"], cfg.Spool.Socket, 0o666); err != nil {
		return nil, err
	}
	if d.admin, err = listen(handed["control"], cfg.Spool.Control(), 0o660); err != nil {
		return nil, err
	}
	d.confine()
	return d, nil
}

// note makes what notes things, once there is a journal.
func (d *Daemon) note() {
	d.notes = &notes{log: d.log, journal: d.journal, now: time.Now}
	d.quotas = &quotas{log: d.log, journal: d.journal, now: time.Now}
}

// lockSpool makes sure that no other daemon works here, before anything is touched that such a one might use.
func (d *Daemon) lockSpool() error {
	var err error
	if d.lock, err = spool.Lock(d.cfg.Spool.Path); errors.Is(err, spool.ErrLocked) {
		return fmt.Errorf("%w\nhint: is a daemon running? `signpost queue` asks it", err)
	}
	return err
}

func (d *Daemon) openSpool() (*spool.Dir, error) {
	free := int64(d.cfg.Spool.MinFree)
	if free == 0 {
		free = -1
	}
	lock := d.lock
	d.lock = nil // Open takes it over, also when it fails
	return spool.Open(d.cfg.Spool.Path, spool.Options{
		Locked:  lock,
		MinFree: free,
		Warn:    func(err error) { d.log.Warn("spool", "err", err) },
		Corrupt: func(id spool.ID, path string, err error) {
			d.log.Error("a message file is damaged and was set aside", "id", id, "path", path, "err", err)
			if to := d.notices.Load(); to != nil {
				to.damaged(id, path, err)
			}
		},
	})
}

func historyDir(cfg config.Config) string { return filepath.Join(cfg.Spool.Path, "history") }

// openJournal starts the history, where the configuration wants one.
func openJournal(cfg config.Config) (*history.Journal, error) {
	dir := historyDir(cfg)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the history: %w", err)
	}
	if cfg.Log.History == 0 {
		return nil, nil
	}
	return history.Open(dir, cfg.Log.History.Std()), nil
}

// listen takes the socket that the service manager handed over, or makes it.
func listen(handed []net.Listener, path string, mode fs.FileMode) (net.Listener, error) {
	if len(handed) > 0 {
		return handed[0], nil
	}
	l, err := intake.Listen(path, mode)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Run serves until ctx ends or a part fails, and returns when all parts have ended. The daemon cannot be used again.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts sync.WaitGroup
	run := func(name string, f func(context.Context) error) {
		parts.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	run("submission", func(ctx context.Context) error { return d.server().Serve(ctx, d.submit) })
	run("drop folder", d.emptyDrop)
	run("drop folder", d.sweepDrop)
	run("control socket", func(ctx context.Context) error { return control.Serve(ctx, d.admin, d.admins()) })
	run("scheduler", d.schedule)
	if d.helper != nil {
		run("delivery helper", d.watchHelper)
	}
	d.log.Info("serving", "hostname", d.first.Hostname, "spool", d.first.Spool.Path, "socket", d.first.Spool.Socket)
	daemon.SdNotify(false, daemon.SdNotifyReady)
	<-ctx.Done()
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	parts.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	d.log.Info("stopped")
	return nil
}

// schedule runs the scheduler, once nothing lies in drop/ any more that the spool has.
func (d *Daemon) schedule(ctx context.Context) error {
	err := d.intake.Load().FinishDrop(ctx, d.first.Spool.Drop(), func(id spool.ID) bool {
		_, _, err := d.dir.Read(id)
		return err == nil
	})
	if err != nil { // emptyDrop fails by it; whoever waits for the scheduler must not wait for ever
		d.log.Error("drop folder", "err", err)
	}
	return d.queue.Run(ctx)
}

// emptyDrop takes what callers left in drop/, after a reload by the new settings.
func (d *Daemon) emptyDrop(ctx context.Context) error {
	for ctx.Err() == nil {
		d.reloading.Lock()
		in, reloaded := d.intake.Load(), d.reloaded
		d.reloading.Unlock()
		part, stop := context.WithCancel(ctx)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			select {
			case <-reloaded:
				stop()
			case <-part.Done():
			}
		})
		err := in.EmptyDrop(part, d.first.Spool.Drop())
		stop()
		waiting.Wait()
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepDrop removes what callers that died left half-written in drop/.
func (d *Daemon) sweepDrop(ctx context.Context) error {
	every := time.NewTicker(time.Hour)
	defer every.Stop()
	for {
		if err := (spool.Drop{Path: d.first.Spool.Drop()}).Sweep(time.Now()); err != nil {
			d.log.Warn("drop folder", "err", err)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// watchHelper ends the daemon when its helper has ended: what starts the daemon again starts both.
func (d *Daemon) watchHelper(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- d.helper.Wait() }() // ends at Stop, which close calls
	select {
	case err := <-ended:
		return fmt.Errorf("it ended: %v", err)
	case <-ctx.Done():
		return nil
	}
}

// close gives everything back, the spool last.
func (d *Daemon) close() {
	for _, l := range []net.Listener{d.submit, d.admin} {
		if l != nil {
			l.Close()
		}
	}
	if d.parts != nil {
		d.parts.outlet.close()
	}
	if d.helper != nil {
		d.helper.Stop()
	}
	if d.journal != nil {
		d.journal.Close()
	}
	if d.lock != nil {
		d.lock.Close()
	}
	if d.dir != nil {
		if err := d.dir.Close(); err != nil {
			d.log.Error("closing the spool", "err", err)
		}
	}
}

// Reload reads the configuration and puts it in force for what comes next. After an error the old one stays.
func (d *Daemon) Reload() error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if d.opt.Reload == nil {
		return errors.New("this daemon has no configuration to read again")
	}
	cfg, err := d.opt.Reload()
	if err != nil {
		return err
	}
	if cfg.Spool.Path != d.first.Spool.Path || cfg.Spool.Socket != d.first.Spool.Socket || cfg.User != d.first.User {
		return errors.New("[spool] path and socket, and user, take effect at a restart only")
	}
	if cfg.Log != d.first.Log || cfg.Spool.MinFree != d.first.Spool.MinFree {
		d.log.Warn("[log], and [spool] min_free, take effect at a restart only")
	}
	next, err := d.assemble(cfg)
	if err != nil {
		return err
	}
	old := d.parts
	d.putInForce(cfg, next)
	d.queue.Reload(next.deliverer, next.options)
	close(d.reloaded)
	d.reloaded = make(chan struct{})
	old.outlet.close()
	d.log.Info("the configuration was read again")
	return nil
}

// RunOnce tries every message in the spool once, in the foreground and without the sockets of a daemon. It takes the
// lock of the spool, so it cannot run beside one.
func RunOnce(ctx context.Context, cfg config.Config, opt Options) error {
	d := &Daemon{log: opt.Log, opt: opt, first: cfg, cfg: cfg}
	defer d.close()
	if err := d.settle(ctx, runSocket); err != nil {
		return err
	}
	var err error
	if d.dir, err = d.openSpool(); err != nil {
		return err
	}
	if d.journal, err = openJournal(cfg); err != nil {
		return err
	}
	d.note()
	parts, err := d.assemble(cfg)
	if err != nil {
		return err
	}
	d.putInForce(cfg, parts)
	d.restoreQuotas()
	if err := d.parts.intake.EmptyDropOnce(ctx, cfg.Spool.Drop()); err != nil {
		return err
	}
	d.queue = queue.New(d.dir, d.parts.deliverer, d.parts.options)
	return d.queue.RunOnce(ctx)
}
