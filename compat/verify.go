package compat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"signpost/compat/aliases"
	"signpost/compat/header"
	"signpost/compat/settings"
)

// verify says where the operands lead (-bv), as far as the caller may read what decides it. Nothing is sent or asked.
func (c *command) verify(ctx context.Context) error {
	if len(c.operands) == 0 {
		return usage("no address to verify")
	}
	v, err := c.newVerifier()
	if err != nil {
		return err
	}
	for _, arg := range c.operands {
		if hasControl(arg) {
			v.wrong(&fault{exDataErr, fmt.Errorf("control character in %q", cut(arg, 80))})
			continue
		}
		for m := range header.Mailboxes(arg) {
			if err := v.mailbox(ctx, m); err != nil {
				v.wrong(err)
			}
		}
	}
	if v.status != exOK {
		return &fault{v.status, errSilent}
	}
	return nil
}

// verifier follows addresses through the aliases to the accounts of this host.
type verifier struct {
	c      *command
	to     settings.Addresses
	table  *aliases.Table
	status int // the first of what was wrong
}

func (c *command) newVerifier() (*verifier, error) {
	p, err := c.open()
	if err != nil {
		return nil, err
	}
	path := c.env.Config
	if c.config != nil {
		path = *c.config
	}
	v := &verifier{c: c, to: settings.ReadAddresses(path), table: &aliases.Table{}}
	if file := aliases.Path(p.settings.Local.Aliases); file != "" {
		if v.table, err = aliases.Read(file); err != nil {
			return nil, &fault{exNoInput, err}
		}
	}
	return v, nil
}

// wrong reports what is wrong with one address. The others are still looked at.
func (v *verifier) wrong(err error) {
	v.c.say(err.Error())
	if v.status == exOK {
		v.status = statusOf(err)
	}
}

// mailbox follows one member of a list.
func (v *verifier) mailbox(ctx context.Context, m header.Mailbox) error {
	if m.Err != nil {
		return data("%q: bad address: %w", cut(header.OneLine(m.Raw), 80), m.Err)
	}
	addr := header.Qualify(m.Addr, v.to.Origin)
	name, ok := v.local(addr)
	if !ok {
		v.deliverable(addr, "smtp")
		return nil
	}
	targets := []aliases.Target{{Kind: aliases.User, Text: name}}
	if !m.NoAlias && !v.c.noAlias {
		var err error
		if targets, err = v.expand(ctx, name); err != nil {
			return &fault{exNoInput, err}
		}
	}
	for _, t := range targets {
		if err := v.target(t); err != nil {
			v.wrong(err)
		}
	}
	return nil
}

// local gives the local part of an address of this host, without quotation marks.
func (v *verifier) local(addr string) (string, bool) {
	local, domain := header.SplitAddr(addr)
	if domain != "" && !v.to.IsLocal(domain) {
		return "", false
	}
	return header.Unquote(local), true
}

func (v *verifier) expand(ctx context.Context, name string) ([]aliases.Target, error) {
	x := aliases.Expander{
		Table:     v.table,
		Local:     v.local,
		Extension: v.to.Local.Extension,
		First:     map[string]string{"root": v.to.Root},
		Last:      map[string]string{"postmaster": v.to.Postmaster, "mailer-daemon": "postmaster"}, // RFC 5321 4.5.1
	}
	targets, warnings, err := x.Expand(ctx, name)
	for _, w := range warnings {
		v.c.warn("%s", w)
	}
	return targets, err
}

// target tells of one end of the way.
func (v *verifier) target(t aliases.Target) error {
	switch t.Kind {
	case aliases.Address:
		v.deliverable(t.Text, "smtp")
		return nil
	case aliases.User:
		return v.user(t)
	}
	text := t.Text
	if t.Kind == aliases.Program {
		text = "|" + text
	}
	v.deliverable(text, "local")
	return nil
}

func (v *verifier) deliverable(what, mailer string) {
	v.c.print(printable(what) + "... deliverable: mailer " + mailer + "\n")
}

// user looks a name up among the accounts, as it is written, then in lower case, then without its detail.
func (v *verifier) user(t aliases.Target) error {
	names := []string{t.Text}
	if base, _, ok := strings.Cut(t.Text, v.to.Local.Extension); ok && v.to.Local.Extension != "" {
		names = append(names, base)
	}
	for _, name := range names {
		for _, n := range []string{name, strings.ToLower(name)} {
			known, err := v.c.hasAccount(n)
			if err != nil {
				return fmt.Errorf("looking up %s: %w", n, err)
			}
			if known {
				v.deliverable(t.Text, "local")
				return nil
			}
		}
	}
	if t.Loop {
		return nil // the others of the loop get the message
	}
	if w, ok := v.table.Broken(t.Text); ok {
		return data("%s", w)
	}
	if from := v.c.otherAccounts(); from != "" {
		return &fault{exTempFail, fmt.Errorf("%s: no account of the file passwd; %s is not asked here", t.Text, from)}
	}
	return &fault{exNoUser, fmt.Errorf("%s: user unknown", t.Text)}
}

func (c *command) etc(name string) string {
	if c.env.Etc != "" {
		return filepath.Join(c.env.Etc, name)
	}
	return filepath.Join("/etc", name)
}

// hasAccount looks into passwd(5). The name service is not asked: this program starts no other and links no library
// that could.
func (c *command) hasAccount(name string) (bool, error) {
	if name == "" || strings.Contains(name, ":") {
		return false, nil
	}
	found := false
	err := c.lines("passwd", func(line string) bool {
		found = strings.HasPrefix(line, name+":")
		return !found
	})
	return found, err
}

// otherAccounts names where accounts are kept besides the file passwd (nsswitch.conf(5)); empty where nowhere is. What
// systemd makes up are no people.
func (c *command) otherAccounts() string {
	other := ""
	c.lines("nsswitch.conf", func(line string) bool { // without the file, or with one that cannot be read: nowhere
		line, _, _ = strings.Cut(line, "#")
		sources, ok := strings.CutPrefix(strings.TrimSpace(line), "passwd:")
		if !ok {
			return true
		}
		for _, s := range strings.Fields(sources) {
			switch {
			case s == "files", s == "compat", s == "systemd", s == "db", strings.HasPrefix(s, "["), strings.HasSuffix(s, "]"):
			default:
				other = s
			}
		}
		return false
	})
	return other
}

// lines gives the lines of a file of the host until f has seen enough. A file that is not there has none.
func (c *command) lines(name string, f func(line string) bool) error {
	file, err := os.Open(c.etc(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	for s.Scan() && f(s.Text()) {
	}
	return s.Err()
}
