package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"signpost/mta"
	"signpost/mta/config"
	"signpost/mta/control"
	"signpost/mta/history"
	"signpost/spool"
)

// withAdmin calls f with the daemon where one runs, else with the spool itself under its lock.
func withAdmin(ctx context.Context, g *globals, f func(config.Config, control.Admin) error) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, cfg.Spool.Control())
	if err == nil {
		return f(cfg, client)
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w\nhint: root and the group of the daemon may use this command", err)
	}
	if _, statErr := os.Stat(cfg.Spool.Path); statErr != nil {
		return fmt.Errorf("no daemon answers on %s, and the spool cannot be opened: %w", cfg.Spool.Control(), statErr)
	}
	return withSpool(cfg, f)
}

// withSpool calls f with the spool itself.
func withSpool(cfg config.Config, f func(config.Config, control.Admin) error) error {
	if err := mta.AsOwner(cfg.Spool.Path); err != nil {
		return err
	}
	dir, err := spool.Open(cfg.Spool.Path, spool.Options{})
	if err != nil {
		return fmt.Errorf("no daemon answers on %s, and the spool cannot be opened: %w", cfg.Spool.Control(), err)
	}
	defer dir.Close()
	admin := &control.Spool{Dir: dir, History: filepath.Join(cfg.Spool.Path, "history")}
	if cfg.Log.History > 0 {
		journal := history.Open(admin.History, cfg.Log.History.Std())
		defer journal.Close()
		admin.Flush, admin.Remember = journal.Flush, func(r history.Record) { journal.Add(r) } // it is no part of the promise
	}
	return f(cfg, admin)
}

// printable makes a stranger's text fit for a terminal: one line, no control character takes effect, no order of
// writing is turned round.
func printable(s string) string {
	clean := func(r rune) bool { return unicode.IsPrint(r) && r != utf8.RuneError }
	if strings.IndexFunc(s, func(r rune) bool { return !clean(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case clean(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(" / ")
		default:
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
		i += n
	}
	return b.String()
}

// printableLine is printable for a line of a message, in which tabs may stay.
func printableLine(s string) string {
	parts := strings.Split(s, "\t")
	for i, p := range parts {
		parts[i] = printable(p)
	}
	return strings.Join(parts, "\t")
}

// bracket writes an address as SMTP does, so that the null reverse-path can be seen.
func bracket(addr string) string { return "<" + printable(addr) + ">" }

// roughly writes how long ago or ahead something is, in the two largest units that matter.
func roughly(d time.Duration) string {
	d = d.Abs()
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// octets writes a size for people.
func octets(n int64) string {
	switch {
	case n < 10_000:
		return strconv.FormatInt(n, 10) + "B"
	case n < 10_000_000:
		return strconv.FormatInt(n/1000, 10) + "kB"
	}
	return strconv.FormatInt(n/1_000_000, 10) + "MB"
}
