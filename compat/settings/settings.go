// Package settings reads the part of signpost.toml that the sendmail command needs: hostname, origin, the tables
// [spool] and [rewrite], and the place of the aliases file. mta/config reads the whole file through the same Document,
// so that both say the same about it.
//
// Read is tolerant where mta/config is strict, because a mistake in a table that sendmail never looks at must not
// stop a cron job's mail. What it cannot tolerate is doubt about [spool]: a message left in a folder that no daemon
// reads would be lost, so Error.SpoolRead says whether the place of the spool can be believed.
//
// A command runs this at each start: one open, one pass over the file, no look-up of names. The package links neither
// net nor os/user.
package settings

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
)

// Where things are unless the configuration says otherwise.
const (
	DefaultFile    = "/etc/signpost/signpost.toml"
	DefaultSpool   = "/var/spool/signpost"
	DefaultSocket  = "/run/signpost/submit.sock"
	DefaultAliases = "/etc/aliases"
)

// Settings is what the sendmail command takes from the configuration.
type Settings struct {
	Hostname string  `toml:"hostname"` // empty where the file does not name it; see Complete
	Origin   string  `toml:"origin"`   // likewise
	Spool    Spool   `toml:"spool"`
	Rewrite  Rewrite `toml:"rewrite"`
	Local    Local   `toml:"local"`
}

// Spool is the table [spool]. Paths are absolute once read.
type Spool struct {
	Path           string `toml:"path"`             // the spool folder; drop/ lies in it
	Socket         string `toml:"socket"`           // submit.sock
	MaxMessageSize Size   `toml:"max_message_size"` // of one message's content
	MinFree        Size   `toml:"min_free"`         // free space below which new mail is refused; 0: no floor
	Quota          Quota  `toml:"quota"`
}

// Quota is the table [spool.quota]: how many messages of a local user are let go in an hour; 0: no limit.
type Quota struct {
	MessagesPerHour int            `toml:"messages_per_hour"`
	Users           map[string]int `toml:"users"` // by login name or uid, in place of MessagesPerHour
}

// Rewrite is the table [rewrite]: what the daemon changes of senders. What the patterns mean is up to compat/rewrite.
type Rewrite struct {
	Senders map[string]string `toml:"senders"` // by pattern, what takes the place of the addresses that match
	Align   bool              `toml:"align"`   // the envelope sender takes the From: domain when that is signed here
}

// Local is the part of the table [local] that the sendmail command reads.
type Local struct {
	Aliases string `toml:"aliases"` // absolute path once read; empty: no aliases file
}

// Control is the path of control.sock, which lies beside submit.sock.
func (s Spool) Control() string { return filepath.Join(filepath.Dir(s.Socket), "control.sock") }

// Drop is the path of the folder where mail is left while no daemon answers.
func (s Spool) Drop() string { return filepath.Join(s.Path, "drop") }

// DefaultTable is the table [spool] in force where the file has none.
func DefaultTable() Spool {
	return Spool{
		Path:           DefaultSpool,
		Socket:         DefaultSocket,
		MaxMessageSize: 50 * MB,
		MinFree:        64 * MB,
		Quota:          Quota{Users: map[string]int{}},
	}
}

// DefaultRewrite is the table [rewrite] in force where the file has none: nothing is changed.
func DefaultRewrite() Rewrite { return Rewrite{Senders: map[string]string{}} }

// Default is what is in force without a configuration file.
func Default() Settings {
	return Settings{Spool: DefaultTable(), Rewrite: DefaultRewrite(), Local: Local{Aliases: DefaultAliases}}
}

// Complete fills in the names which the file left open from what the host says of itself (FindHostname, FindOrigin).
// It is apart from Read because few runs of sendmail need the names.
func (s *Settings) Complete() {
	if s.Hostname == "" {
		s.Hostname = FindHostname()
	}
	if s.Origin == "" {
		s.Origin = FindOrigin(s.Hostname)
	}
}

// Read takes the settings from the file at path. An empty path means DefaultFile, which need not exist.
//
// An *Error means that the file was read and is broken: the settings hold what could be understood and the defaults
// for the rest, and SpoolRead tells whether Spool.Path and Spool.Socket are those of the file. With any other error
// (fs.ErrNotExist, fs.ErrPermission…) nothing could be read and the settings are the defaults. Mistakes in tables and
// keys that do not concern sendmail are not looked for.
func Read(path string) (Settings, error) {
	d, err := Load(path)
	var broken *Error
	switch {
	case path == "" && errors.Is(err, fs.ErrNotExist):
		return Default(), nil
	case errors.As(err, &broken):
		s, ok := salvage(d)
		broken.SpoolRead = ok
		return s, broken
	case err != nil:
		return Default(), err
	}
	s := Default()
	s.take(d)
	return s, d.forSendmail()
}

// take lays what d says over s, and forgets what does not concern sendmail.
func (s *Settings) take(d *Document) {
	d.values = ours(d.values)
	d.Fill(s)
	d.CheckName(At("hostname"), &s.Hostname)
	d.CheckName(At("origin"), &s.Origin)
	s.Spool.Check(d)
	d.Abs(At("local", "aliases"), &s.Local.Aliases)
}

// ours picks the keys of Settings. Of [spool] it keeps unknown keys too: a misspelt one may have been meant to say that
// the spool is elsewhere.
func ours(values map[string]any) map[string]any {
	kept := map[string]any{}
	for _, name := range []string{"hostname", "origin", "spool", "rewrite"} {
		if v, ok := values[name]; ok {
			kept[name] = v
		}
	}
	if aliases, ok := member(values["local"], "aliases"); ok {
		kept["local"] = map[string]any{"aliases": aliases}
	}
	return kept
}

// forSendmail is Err, and judges whether the place of the spool is beyond doubt.
func (d *Document) forSendmail() error {
	if len(d.faults) == 0 {
		return nil
	}
	e := &Error{File: d.File, Faults: sorted(d.faults), SpoolRead: true}
	for _, f := range e.Faults {
		if f.Key[0] == "spool" && !(len(f.Key) > 1 && slices.Contains(harmless, f.Key[1])) {
			e.SpoolRead = false
		}
	}
	return e
}

// harmless are the keys of [spool] that do not say where it is.
var harmless = []string{"max_message_size", "min_free", "quota"}

// Check makes the paths of the table absolute, gives Socket its default and looks for values that cannot be meant.
func (s *Spool) Check(d *Document) {
	path, socket := At("spool", "path"), At("spool", "socket")
	d.Abs(path, &s.Path)
	if s.Path == "" {
		d.Faultf(path, "must not be empty; without the key it is %q", DefaultSpool)
		s.Path = DefaultSpool
	}
	switch {
	case d.Has(socket):
		d.Abs(socket, &s.Socket)
		if s.Socket == "" {
			d.Faultf(socket, "must not be empty; without the key it is %q", DefaultSocket)
			s.Socket = DefaultSocket
		}
	case filepath.Clean(s.Path) != DefaultSpool:
		s.Socket = filepath.Join(s.Path, "submit.sock")
	}
	if s.MaxMessageSize == 0 {
		d.Faultf(At("spool", "max_message_size"), "must not be 0: every message would be refused; the default is \"50MB\"")
	}
	s.Quota.check(d, At("spool", "quota"))
}

func (q Quota) check(d *Document, at Key) {
	notNegative := func(k Key, n int) {
		if n < 0 {
			d.Faultf(k, "must be a number of messages, or 0 for no limit, not %d", n)
		}
	}
	notNegative(at.Sub("messages_per_hour"), q.MessagesPerHour)
	for name, n := range q.Users {
		notNegative(at.Sub("users").Sub(name), n)
	}
}
