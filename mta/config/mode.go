package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"signpost/compat/settings"
)

var modes = []string{ModeNormal, ModeCatch, ModeRedirect, ModeAllow}

// mode checks the key mode and those that it needs. Keys of another mode than the one in force are checked for
// themselves and may stay: who goes from one mode to the other changes one line.
func (k check) mode(d *Delivery) {
	mode := at("delivery", "mode")
	k.oneOf(mode, d.Mode, modes)
	k.catch(d)
	k.redirect(d)
	k.allow(d)
	if d.Mode == ModeRedirect && d.Redirect == "" {
		k.Faultf(mode, "is %q, and the key redirect does not say to which address", d.Mode)
	}
	if d.Mode == ModeAllow && len(d.Allow) == 0 {
		k.Faultf(mode, "is %q, and the key allow names nobody: %q is the mode that lets no mail leave", d.Mode, ModeCatch)
	}
}

// catchIn is the Maildir of caught mail in the spool at path.
func catchIn(path string) string { return filepath.Join(path, "catch") + "/" }

func (k check) catch(d *Delivery) {
	at := at("delivery", "catch")
	switch {
	case !k.Has(at):
		d.Catch = catchIn(k.c.Spool.Path)
	case !strings.HasSuffix(d.Catch, "/"):
		k.Faultf(at, "must be the path of a Maildir, which ends in \"/\", not %q", d.Catch)
	default:
		k.Abs(at, &d.Catch)
		d.Catch = filepath.Clean(d.Catch) + "/"
		k.apart(at, d.Catch)
	}
}

// apart keeps the Maildir out of folders that have a meaning already: those of the spool have the names of a Maildir's.
func (k check) apart(at settings.Key, maildir string) {
	spool := filepath.Clean(k.c.Spool.Path) + "/"
	name, inSpool := strings.CutPrefix(maildir, spool)
	name, _, _ = strings.Cut(name, "/")
	switch {
	case maildir == "//":
		k.Faultf(at, "must not be the root folder")
	case inSpool && slices.Contains([]string{"", "new", "cur", "tmp", "drop", "corrupt", "history"}, name):
		k.Faultf(at, "must not be a folder that the spool uses itself: such as %q", catchIn(spool))
	}
}

func (k check) redirect(d *Delivery) {
	if d.Redirect == "" {
		return
	}
	if err := checkAddress(d.Redirect, false); err != nil {
		k.Faultf(at("delivery", "redirect"), "%v", err)
		return
	}
	local, domain, _ := cutLast(d.Redirect, "@")
	d.Redirect = local + "@" + strings.ToLower(ascii(domain))
}

func (k check) allow(d *Delivery) {
	for i, p := range d.Allow {
		clean, err := allowed(p)
		if err != nil {
			k.Faultf(at("delivery", "allow").Elem(i), "%v", err)
			continue
		}
		d.Allow[i] = clean
	}
}

// allowed is pattern for a list that must not mean everybody.
func allowed(p string) (string, error) {
	switch p {
	case "*":
		return "", fmt.Errorf("must not be \"*\": mode = %q is for letting all mail go", ModeNormal)
	case "<>":
		return "", fmt.Errorf("must be an address or a domain, not %q", p)
	}
	return pattern(p, true)
}
