// Package local delivers to the mailboxes and programs of users here.
//
// Expand turns a local address into mailboxes, files, programs and addresses elsewhere through aliases(5) and the users'
// ~/.forward; Deliver does the final delivery of one of them. Three things write what is delivered, all by the same code (job):
//
//   - with a helper (Mailboxes.Helper): a process of its own that cmd/deliver starts for each delivery. It has become
//     the recipient, and has lost every capability, before it touches anything of the recipient's;
//   - without one: the calling process, with the rights it has. It never raises them, and root never writes into
//     somebody else's mailbox this way.
//
// The daemon names only whom or what a message is for. What that means (which path, which account, whether a command
// stands in the aliases file or in its user's ~/.forward) the helper reads for itself. A ~/.forward is read with the rights
// of its owner and no others: by the helper, or by a daemon that runs as that user.
//
// Nothing bounces for a fault of the host: a broken aliases file, a mailbox that cannot be written, a full disk, a
// lock and a directory server that does not answer defer. A ~/.forward that cannot be believed counts for nothing, and the
// mail goes to the mailbox. The package does not log (see Mailboxes.Warn), resolve or send.
package local

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"signpost/compat/aliases"
	"signpost/spool"
)

// Mailboxes is what is local to this host. Its exported fields must not change while it is used; a reload makes a
// new one. Safe for concurrent use.
type Mailboxes struct {
	Domains     []string      // delivered here; U-labels or A-labels, any case
	Hostname    string        // in Delivered-To, and in the names of Maildir files
	Origin      string        // domain of owner- addresses
	Mailbox     string        // "/var/mail/{user}": mbox; "{home}/Maildir/": Maildir
	Aliases     string        // path of the aliases file; empty: none
	Root        string        // where root's mail goes instead, names and addresses; empty: as the aliases say
	Postmaster  string        // who postmaster is where no alias says it; empty: root
	Extension   string        // "+": user+detail is user's
	PipeTimeout time.Duration // of one program; 0: 5 minutes
	Programs    bool          // whether the aliases file may name programs and files
	RunAs       string        // account, or number of one, that they are run and written as
	Forward     bool          // whether ~/.forward is gone by
	Users       Users         // nil: Passwd{}
	Helper      string        // path of the helper's socket; empty: own rights
	OwnAddrs    func() []netip.Addr
	Now         func() time.Time

	ForwardPrograms bool        // whether a ~/.forward may name programs and files
	Warn            func(error) // is told of a ~/.forward or an included list that is not as it should be; nil: nobody

	mu     sync.Mutex
	cached *aliases.Table
	stamp  stamp
}

// Local reports whether mail for domain (no trailing dot needed; an address literal in brackets) is delivered here.
// Loopback literals are; literals of OwnAddrs, where that is set, too (RFC 5321 4.1.3).
func (m *Mailboxes) Local(domain string) bool {
	if strings.HasPrefix(domain, "[") {
		return m.ownLiteral(domain)
	}
	d := canonical(domain)
	for _, own := range m.Domains {
		if canonical(own) == d {
			return true
		}
	}
	return false
}

// canonical makes domains comparable: A-labels in lower case, without the dot at the end.
func canonical(domain string) string {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if strings.IndexFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return domain // asked for every recipient
	}
	if a, err := idna.Lookup.ToASCII(domain); err == nil {
		return a
	}
	return domain
}

func (m *Mailboxes) ownLiteral(domain string) bool {
	text, ok := strings.CutSuffix(domain[1:], "]")
	if !ok {
		return false
	}
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	if ip.IsLoopback() {
		return true
	}
	if m.OwnAddrs == nil {
		return false
	}
	for _, own := range m.OwnAddrs() {
		if own.Unmap() == ip {
			return true
		}
	}
	return false
}

// localPart gives the local part of an address of ours, without quotes. An address without a domain is ours.
func (m *Mailboxes) localPart(addr string) (string, bool) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return unquoteLocal(addr), true
	}
	if !m.Local(addr[at+1:]) {
		return "", false
	}
	return unquoteLocal(addr[:at]), true
}

// unquoteLocal turns a quoted local part (RFC 5321 4.1.2) into what it stands for.
func unquoteLocal(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// stamp tells versions of a file apart.
type stamp struct {
	mod  time.Time
	size int64
	info os.FileInfo
}

// table gives the aliases file, read again only when it has changed. A missing file is an empty one; any other
// trouble is 4.3.5.
func (m *Mailboxes) table() (*aliases.Table, error) {
	if m.Aliases == "" {
		return &aliases.Table{}, nil
	}
	path := aliases.Path(m.Aliases)
	m.mu.Lock()
	defer m.mu.Unlock()
	var now stamp
	if info, err := os.Stat(path); err == nil {
		now = stamp{info.ModTime(), info.Size(), info}
	}
	if m.cached != nil && now.info != nil && m.stamp.info != nil && os.SameFile(now.info, m.stamp.info) &&
		now.mod.Equal(m.stamp.mod) && now.size == m.stamp.size && now.info.Mode() == m.stamp.info.Mode() &&
		settled(now.mod, m.now()) {
		return m.cached, nil
	}
	t, err := aliases.Read(path)
	if err != nil {
		return nil, &spool.Error{Status: spool.Status{Class: 4, Subject: 3, Detail: 5}, Err: err}
	}
	m.cached, m.stamp = t, now
	return t, nil
}

// settled reports whether a file of this age would show a change by its time: two writes within one tick of the
// clock do not.
func settled(mod, now time.Time) bool { return now.Sub(mod) > 2*time.Second || now.Before(mod) }

// Check reads the aliases file and gives the warnings about it, for the log at start and reload.
func (m *Mailboxes) Check() ([]aliases.Warning, error) {
	t, err := m.table()
	if err != nil {
		return nil, err
	}
	return t.Warnings, nil
}

// Deliver hands content (CRLF line ends, as stored) to one mailbox, file or program. sender is the envelope's; the
// recipient's own goes before it unless the envelope's is the null reverse-path. It waits for locks and programs, and
// ends early with a deferral when ctx does.
func (m *Mailboxes) Deliver(ctx context.Context, sender string, r spool.Recipient, content io.Reader) spool.Result {
	req := request{Version: protocolVersion, Kind: r.Kind, Addr: r.Addr, Source: r.Source, RunAs: r.RunAs,
		Sender: sender, Original: r.Original}
	if r.Sender != nil && sender != "" {
		req.Sender = *r.Sender
	}
	if m.Helper != "" {
		return stamped(m.ask(ctx, req, content), m.now())
	}
	j, err := m.plan(ctx, req)
	if err == nil {
		err = j.ownRights(os.Geteuid())
	}
	if err == nil {
		err = j.vouched()
	}
	if err != nil {
		return spool.ResultOf(err, m.now())
	}
	return stamped(j.run(ctx, content), m.now())
}

func stamped(r spool.Result, at time.Time) spool.Result {
	r.At = at
	return r
}

func (m *Mailboxes) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

func (m *Mailboxes) users() Users {
	if m.Users != nil {
		return m.Users
	}
	return Passwd{}
}

// mailboxPath fills the template. It refuses names that would lead out of it; passwd should not hold any.
func (m *Mailboxes) mailboxPath(u User) (string, error) {
	if u.Name == "." || u.Name == ".." || strings.ContainsAny(u.Name, "/\x00") {
		return "", spool.Errorf(badConfig, "user %q: a mailbox cannot be named after it", u.Name)
	}
	if strings.Contains(m.Mailbox, "{home}") && !filepath.IsAbs(u.Home) {
		return "", spool.Errorf(badConfig, "user %s has no home folder for [local] mailbox %s", u.Name, m.Mailbox)
	}
	path := strings.NewReplacer("{user}", u.Name, "{home}", u.Home).Replace(m.Mailbox)
	if !filepath.IsAbs(path) {
		return "", spool.Errorf(badConfig, "[local] mailbox %q is not an absolute path", m.Mailbox)
	}
	if strings.HasSuffix(path, "/") {
		return filepath.Clean(path) + "/", nil
	}
	return filepath.Clean(path), nil
}

// findUser looks a local part up: as it stands, in lower case, and both again without the detail.
func (m *Mailboxes) findUser(ctx context.Context, name string) (User, error) {
	names := []string{name, strings.ToLower(name)}
	if m.Extension != "" {
		if base, _, ok := strings.Cut(name, m.Extension); ok && base != "" {
			names = append(names, base, strings.ToLower(base))
		}
	}
	for i, n := range names {
		if i > 0 && n == names[i-1] {
			continue
		}
		u, err := m.users().LookupName(ctx, n)
		if err == nil || !errors.Is(err, ErrNoUser) {
			return u, err
		}
	}
	return User{}, ErrNoUser
}

// runAs finds the account of programs and files. It is never root, whatever the configuration says.
func (m *Mailboxes) runAs(ctx context.Context) (User, error) {
	u, err := m.users().LookupName(ctx, m.RunAs)
	if uid, bad := parseID(m.RunAs); errors.Is(err, ErrNoUser) && bad == nil {
		u, err = m.users().LookupUID(ctx, uid)
		if errors.Is(err, ErrNoUser) {
			u, err = User{Name: m.RunAs, UID: uid, GID: uid, Home: "/"}, nil // containers run as such numbers
		}
	}
	switch {
	case errors.Is(err, ErrNoUser):
		return User{}, spool.Errorf(badConfig, "[local] run_as: no account %q", m.RunAs)
	case err != nil:
		return User{}, &spool.Error{Status: systemTrouble, Err: err}
	case u.UID == 0 || u.GID == 0:
		return User{}, spool.Errorf(badConfig, "[local] run_as: %s is root, as which no program is run", m.RunAs)
	}
	return u, nil
}
