package mta

import (
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
)

// confine takes from this process, for good, the right to write outside the spool, the folder of the sockets and the
// Maildir for caught mail, where there is one by now (landlock(7)), as far as the kernel knows how. It is done only
// where a helper delivers: the daemon's own deliveries may go anywhere.
func (d *Daemon) confine() {
	if !d.opt.Confine || d.deliver == "" {
		return
	}
	err := landlock.V5.BestEffort().RestrictPaths(
		landlock.RODirs("/"),
		landlock.RWDirs(d.cfg.Spool.Path, filepath.Dir(d.cfg.Spool.Socket)).WithRefer(), // messages move between folders
		landlock.RWDirs(d.cfg.Delivery.Catch).WithRefer().IgnoreIfMissing(),
		landlock.RWFiles("/dev/null").IgnoreIfMissing(),
	)
	if err != nil {
		d.log.Warn("the daemon is not confined by landlock(7)", "err", err)
	}
}
