package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"signpost/compat/aliases"
	"signpost/spool"
)

// job is one delivery, fully decided: what is to be written or run, as whom. The process that runs it looks nothing
// up any more, but for the ~/.forward that must name it, which only its owner may be able to read. A job may also be just
// to read that file. It travels to the helper's child as JSON.
type job struct {
	Kind        spool.Kind
	User        User   // whose mailbox it is, or the account that a file is written or a program run as
	GID         int    // group to become; User.GID, or that of a shared mail folder
	Path        string // mbox; with "/" at the end, Maildir
	Command     string
	Sender      string // reverse-path; empty is the null one
	DeliveredTo string
	Host        string
	Key         string        // of the configuration, for whom it does not work
	Timeout     time.Duration // of the whole delivery
	Owner       int           // uid that the mailbox may belong to instead of User's; -1: none
	Forward     *dotForward   // that must name Command or Path; of a Mailbox: what is read, and nothing delivered
	Same        bool          // the helper was that account already, with whatever groups it had

	disk disk // zero: the real one
}

const defaultPipeTimeout = 5 * time.Minute

// reads reports whether the job is to read a ~/.forward.
func (j *job) reads() bool { return j.Kind == spool.Mailbox && j.Forward != nil }

// named takes over what a request names.
func (j job) named(req request) job {
	if req.Kind == spool.Program {
		j.Command = req.Addr
	} else {
		j.Path = req.Addr
	}
	return j
}

// plan decides what a request means by the configuration, the aliases file and the accounts of this host. The
// request itself is believed in nothing but whom the message is for.
func (m *Mailboxes) plan(ctx context.Context, req request) (job, error) {
	j := job{Kind: req.Kind, Sender: req.Sender, Host: m.Hostname, Owner: -1, Timeout: m.PipeTimeout}
	if j.Timeout <= 0 {
		j.Timeout = defaultPipeTimeout
	}
	if err := req.check(); err != nil {
		return job{}, err
	}
	switch {
	case req.Forward:
		return m.planForward(ctx, j, req)
	case req.Kind == spool.Mailbox:
		return m.planMailbox(ctx, j, req)
	case isForward(req.Source) && req.Source != aliases.Path(m.Aliases):
		return m.planForwarded(ctx, j, req)
	}
	return m.planNamed(ctx, j, req)
}

func (m *Mailboxes) planMailbox(ctx context.Context, j job, req request) (job, error) {
	u, err := m.users().LookupName(ctx, req.Addr)
	switch {
	case errors.Is(err, ErrNoUser):
		return job{}, spool.Errorf(unknownUser, "no user %s here", req.Addr)
	case err != nil:
		return job{}, &spool.Error{Status: systemTrouble, Err: err}
	}
	if j.Path, err = m.mailboxPath(u); err != nil {
		return job{}, err
	}
	j.User, j.Key, j.DeliveredTo = u, "[local] mailbox", m.deliveredTo(u.Name)
	j.GID, err = m.mailboxGID(ctx, u, j.Path)
	return j, err
}

// mailboxGID is the group that a mailbox is written with. In a shared folder such as /var/mail (root:mail 2775)
// neither a mailbox nor its dotlock can be made with the user's own group. Only the group called mail is ever given,
// and only for a folder of root's, so that no user gets a group by making folders.
func (m *Mailboxes) mailboxGID(ctx context.Context, u User, path string) (int, error) {
	if strings.Contains(m.Mailbox, "{home}") {
		return u.GID, nil
	}
	var st unix.Stat_t
	dir := path[:strings.LastIndexByte(strings.TrimSuffix(path, "/"), '/')+1]
	if err := unix.Stat(dir, &st); err != nil || st.Uid != 0 || st.Mode&0o020 == 0 {
		return u.GID, nil // what is wrong will show when the mailbox is opened
	}
	mail, err := m.users().LookupGroup(ctx, "mail")
	switch {
	case errors.Is(err, ErrNoUser):
		return u.GID, nil
	case err != nil:
		return 0, &spool.Error{Status: systemTrouble, Err: err}
	}
	if int(st.Gid) != mail {
		return u.GID, nil
	}
	return mail, nil
}

// planNamed takes a file or program only if the aliases file, read now, names it in these very words.
func (m *Mailboxes) planNamed(ctx context.Context, j job, req request) (job, error) {
	if !m.Programs {
		return job{}, spool.Errorf(notAllowed, "[local] programs does not allow programs and files")
	}
	table, err := m.table()
	if err != nil {
		return job{}, err
	}
	if err := table.Safe(); err != nil {
		return job{}, &spool.Error{Status: badConfig, Err: err}
	}
	kind := aliases.File
	if req.Kind == spool.Program {
		kind = aliases.Program
	}
	if req.Source != table.Path || !table.Names(kind, req.Addr) {
		return job{}, spool.Errorf(NotNamed, "%s does not name %s any more", req.Source, req.Addr)
	}
	if j.User, err = m.runAs(ctx); err != nil {
		return job{}, err
	}
	j.GID, j.Key, j.DeliveredTo = j.User.GID, "[local] run_as", req.Original
	return j.named(req), nil
}

// ownRights fits a job to a process with uid euid that delivers without the helper.
func (j *job) ownRights(euid int) error {
	if j.Path == os.DevNull {
		return nil
	}
	if j.Kind != spool.Mailbox && j.User.UID != euid {
		return spool.Errorf(badConfig, "no delivery helper, and uid %d cannot become %s: see %s", euid, j.User.Name, j.Key)
	}
	if euid == 0 && j.User.UID != 0 {
		return spool.Errorf(badConfig, "no delivery helper, and root does not write into the mailbox of %s: see %s", j.User.Name, j.Key)
	}
	j.Owner = euid
	return nil
}

// run delivers content. It takes no more than j.Timeout.
func (j *job) run(ctx context.Context, content io.Reader) spool.Result {
	ctx, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	detail, err := j.deliver(ctx, content)
	if err != nil {
		return spool.ResultOf(j.failure(err), time.Time{})
	}
	return spool.Result{Status: delivered, Detail: detail}
}

func (j *job) deliver(ctx context.Context, content io.Reader) (string, error) {
	header, content, err := peekHeader(content)
	if err != nil {
		return "", fmt.Errorf("reading the message: %w", err)
	}
	if j.DeliveredTo != "" && hasDeliveredTo(header, j.DeliveredTo) {
		return "", spool.Errorf(mailLoop, "the message has been delivered to %s before", j.DeliveredTo)
	}
	switch {
	case j.Kind == spool.Program:
		return j.program(ctx, content)
	case j.Path == os.DevNull:
		return "discarded", nil
	case strings.HasSuffix(j.Path, "/"):
		return "delivered to " + j.Path, j.maildir(ctx, content)
	}
	return "delivered to " + j.Path, j.mbox(ctx, content)
}

// failure gives a status to an error that has none. Whatever the file system says is a reason to wait.
func (j *job) failure(err error) error {
	var known *spool.Error
	if errors.As(err, &known) {
		return err
	}
	status := systemTrouble
	switch {
	case errors.Is(err, syscall.ENOSPC):
		status = systemFull
	case errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		status = mailboxFull
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EROFS),
		errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		status, err = badConfig, fmt.Errorf("%w: see %s", err, j.Key)
	case errors.Is(err, errUnsafe):
		status = mailboxAway
	case errors.Is(err, errLocked):
		status = mailboxAway
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("not done after %v", j.Timeout)
	}
	return &spool.Error{Status: status, Err: err}
}

// maxHeader bounds what is kept of a header while it is searched (safety.md 5 lets no longer one in).
const maxHeader = 1 << 20

// peekHeader reads the header of a message and gives it beside a reader of the whole.
func peekHeader(content io.Reader) ([]byte, io.Reader, error) {
	br := bufio.NewReaderSize(content, 64<<10)
	var header []byte
	for len(header) < maxHeader {
		line, err := br.ReadSlice('\n')
		header = append(header, line...)
		if err == io.EOF || isBlank(line) {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return nil, nil, err
		}
	}
	return header, io.MultiReader(bytes.NewReader(header), br), nil
}

func isBlank(line []byte) bool { return len(bytes.TrimRight(line, "\r\n")) == 0 }

// hasDeliveredTo looks for a Delivered-To field that holds addr.
func hasDeliveredTo(header []byte, addr string) bool {
	for line := range bytes.Lines(header) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(name), "Delivered-To") && strings.EqualFold(string(bytes.TrimSpace(value)), addr) {
			return true
		}
	}
	return false
}

// fields are what final delivery puts before the header (RFC 5321 4.4), with LF.
func (j *job) fields() string {
	s := "Return-Path: <" + j.Sender + ">\n"
	if j.DeliveredTo != "" {
		s += "Delivered-To: " + j.DeliveredTo + "\n"
	}
	return s
}

// write puts out the message as mailboxes and programs get it: the fields of final delivery, then content with LF.
// With quote, lines that begin with "From " get a ">" so that an mbox keeps its borders.
func (j *job) write(w io.Writer, content io.Reader, quote bool) error {
	bw := bufio.NewWriterSize(w, 64<<10)
	bw.WriteString(j.fields())
	if err := copyLines(bw, content, quote); err != nil {
		return err
	}
	return bw.Flush()
}

// copyLines turns CRLF into LF. A CR that stands elsewhere stays. Lines may be of any length.
func copyLines(w *bufio.Writer, content io.Reader, quote bool) error {
	br := bufio.NewReaderSize(content, 64<<10)
	start, held := true, false // held: a CR at the end of a chunk, whose next octet decides
	for {
		chunk, err := br.ReadSlice('\n')
		if len(chunk) > 0 {
			if held && chunk[0] != '\n' {
				w.WriteByte('\r')
			}
			held = false
		}
		if quote && start && bytes.HasPrefix(chunk, []byte("From ")) {
			w.WriteByte('>')
		}
		text, ended := bytes.CutSuffix(chunk, []byte("\n"))
		body, cr := bytes.CutSuffix(text, []byte("\r"))
		w.Write(body)
		if ended {
			w.WriteByte('\n')
		} else if cr {
			held = true
		}
		if len(chunk) > 0 {
			start = ended
		}
		switch err {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			endLine(w, held, start)
			return nil
		default:
			return fmt.Errorf("reading the message: %w", err)
		}
	}
}

// endLine ends a last line that has no line end. Errors of a bufio.Writer stay until Flush tells them.
func endLine(w *bufio.Writer, held, start bool) {
	if held {
		w.WriteByte('\r')
	}
	if !start {
		w.WriteByte('\n')
	}
}
