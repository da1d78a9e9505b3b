package compat

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"signpost/compat/header"
	"signpost/compat/rewrite"
	"signpost/compat/settings"
	"signpost/spool"
)

// maxShown bounds how many arguments and recipients are shown one by one.
const maxShown = 100

// explain does what the arguments behind --explain ask for, with the spool replaced by a rehearsal, and tells how they
// were read, the envelope that results, and what would have happened. The status is the one the call would have given.
func (c *command) explain(ctx context.Context) error {
	if c.tracing {
		return usage("--explain within --explain")
	}
	args := c.explained
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	e := explanation{inner: &command{env: c.env, tracing: true, rehearsal: &rehearsal{}}}
	e.play(ctx, append([]string{c.env.Args[0]}, args...))
	e.tell()
	c.print(e.text.String())
	if e.status != exOK {
		return &fault{e.status, errSilent}
	}
	return nil
}

// explanation is a call that was only rehearsed.
type explanation struct {
	inner          *command
	mode           mode
	status         int
	err            error
	stdout, stderr bytes.Buffer // what it would have printed
	text           strings.Builder
}

// play does the call.
func (e *explanation) play(ctx context.Context, args []string) {
	c := e.inner
	c.env.Args, c.env.Stdout, c.env.Stderr = args, &e.stdout, &e.stderr
	if c.env.Terminal != nil && c.env.Terminal() {
		c.env.Stdin, c.rehearsal.terminal = strings.NewReader(""), true
	}
	e.mode = modeSend
	if e.err = c.parse(args); e.err == nil {
		e.mode, e.err = c.resolve()
	}
	if e.err == nil {
		e.err = e.act(ctx)
	}
	e.status = c.finish(e.err)
}

// act does what the arguments ask for. On a terminal no dialogue is held.
func (e *explanation) act(ctx context.Context) error {
	switch c := e.inner; {
	case e.mode == modeHelp, e.mode == modeVersion, e.mode == modeNothing:
		return nil
	case e.mode == modeSMTP && c.rehearsal.terminal:
		p, err := c.open()
		if err != nil {
			return err
		}
		_, err = p.Rehearse(ctx, 0)
		return p.refine(err)
	}
	return e.inner.do(ctx, e.mode)
}

func (e *explanation) printf(format string, args ...any) { fmt.Fprintf(&e.text, format, args...) }

// tell writes all of it.
func (e *explanation) tell() {
	e.tellName()
	e.tellArguments()
	if r := e.inner.rehearsal; r.rcpts != nil {
		e.tellMessage()
		e.tellEnvelope()
	}
	e.tellOutcome()
}

func (e *explanation) tellName() {
	name := baseName(e.inner.env.Args[0])
	doc := names[0].doc
	for _, n := range names {
		if n.name == name {
			doc = n.doc
		}
	}
	e.printf("Called as %s: %s.\n", visible(name), doc)
}

// tellArguments goes through the arguments in their order, with the options that were found in each.
func (e *explanation) tellArguments() {
	args := e.inner.env.Args[1:]
	if len(args) == 0 {
		e.printf("\nThere are no arguments.\n")
		return
	}
	e.printf("\nArguments\n")
	e.inner.markOverruled()
	rest := e.inner.readings
	values := 0 // arguments taken as values by those before
	for i, arg := range args {
		if i == maxShown {
			e.printf("  and %d more\n", len(args)-i)
			return
		}
		e.printf("  %2d  %s", i+1, shortened(arg))
		mine := 0
		for mine < len(rest) && rest[mine].arg == i+1 {
			mine++
		}
		e.printf("%s\n", e.role(i+1, arg, mine > 0, &values))
		for _, r := range rest[:mine] {
			e.printf("        %-12s  %s\n", visible(r.name), r.text())
			if r.next {
				values++
			}
		}
		rest = rest[mine:]
	}
}

// markOverruled adds to each option with one value that it is given again.
func (c *command) markOverruled() {
	later := map[string]bool{}
	for i := len(c.readings) - 1; i >= 0; i-- {
		r := &c.readings[i]
		name := r.name
		if name == "-r" {
			name = "-f"
		}
		if r.fate != honoured || r.form != anywhere {
			continue
		}
		if later[name] {
			r.fate = overruled
		}
		later[name] = true
	}
}

// role says what an argument is that holds no option.
func (e *explanation) role(place int, arg string, options bool, values *int) string {
	c := e.inner
	switch {
	case options:
		return ""
	case *values > 0:
		*values--
		return "  the value of the option before"
	case c.operands != nil && place >= c.at:
		return "  " + c.operandRole()
	case arg == "--" && place == c.at-1 && c.operands != nil:
		return "  options end here"
	case place < c.at || e.mode == modeHelp || e.mode == modeVersion:
		return ""
	case place == c.at && e.err != nil:
		return "  refused: " + visible(e.err.Error())
	}
	return "  not read"
}

// operandRole says what arguments are that are no options.
func (c *command) operandRole() string {
	switch c.mode {
	case modeSend:
		if c.queueRun || c.interval {
			return "nothing that belongs here"
		}
		return "recipients"
	case modeList:
		return "the id of a message"
	case modeVerify:
		return "addresses to verify"
	}
	return "nothing that belongs here"
}

// text is how an option was read, in one line.
func (r reading) text() string {
	var b strings.Builder
	if r.value != "" || r.next {
		b.WriteString(shortened(r.value))
		if r.next {
			b.WriteString(", the next argument")
		}
		b.WriteString(": ")
	}
	switch {
	case r.fate == ignored && len(r.notes) == 0:
		fmt.Fprintf(&b, "ignored; of other mail systems: %s", r.doc)
	case r.fate == honoured:
		b.WriteString(r.doc)
	default:
		fmt.Fprintf(&b, "%s: %s", r.fate, r.doc)
	}
	for _, n := range r.notes {
		b.WriteString("; " + visible(n))
	}
	return b.String()
}

// tellMessage tells of the header and the content, as far as they were read.
func (e *explanation) tellMessage() {
	r := e.inner.rehearsal
	e.printf("\nMessage\n")
	switch {
	case r.terminal && e.inner.fromHeader:
		e.printf("  Standard input is a terminal and is not read: recipients of the header would come on top of these.\n")
		return
	case r.terminal:
		e.printf("  Standard input is a terminal and is not read.\n")
		return
	case !r.headed:
		e.printf("  It was not read.\n")
		return
	}
	e.printf("  Header of %s\n", count(len(r.header), "field"))
	if r.told != nil {
		e.printf("  %d octets in all, with CRLF line ends and without what is left out\n", r.size)
		if r.told.NULs > 0 {
			e.printf("  %s left out\n", count(r.told.NULs, "octet")+" of value 0")
		}
	}
	e.tellFields("Left out", func(f header.Field) bool { return header.NeverSent(f.Name) })
	if missing := missingFields(r.header); len(missing) > 0 {
		e.printf("  Added by the daemon: %s\n", strings.Join(missing, ", "))
	}
}

func (e *explanation) tellFields(what string, wanted func(header.Field) bool) {
	var found []string
	for _, f := range e.inner.rehearsal.header {
		if wanted(f) {
			found = append(found, visible(f.Name))
		}
	}
	if len(found) > 0 {
		e.printf("  %s: %s\n", what, strings.Join(found[:min(len(found), maxShown)], ", "))
	}
}

// missingFields are the fields that every message needs and this one has not, or has without a value.
func missingFields(h header.Header) []string {
	missing := []string{"Received"}
	for _, name := range []string{"Date", "From", "Message-ID"} {
		if h.Value(name) == "" {
			missing = append(missing, name)
		}
	}
	if !h.Has("To", "Cc", "Resent-To", "Resent-Cc") {
		missing = append(missing, "To (undisclosed-recipients:;)")
	}
	return missing
}

// tellEnvelope tells the sender and the recipients, as the daemon would complete them.
func (e *explanation) tellEnvelope() {
	c, r := e.inner, e.inner.rehearsal
	s := r.place.settings
	s.Complete()
	e.printf("\nEnvelope (origin %s)\n", visible(s.Origin))
	if sender, ok := e.tellSender(s.Origin); ok {
		e.tellRewriting(sender, s)
	}
	for i, rcpt := range r.rcpts.told {
		if i == maxShown {
			e.printf("  and %s more\n", count(len(r.rcpts.told)-i, "recipient"))
			break
		}
		e.tellRecipient(rcpt, s.Origin, r.rcpts.sources[i])
	}
	if n := r.rcpts.repeated; n > 0 {
		e.printf("  %s more, given before\n", count(n, "recipient"))
	}
	if c.notify != 0 {
		e.printf("  NOTIFY        %s\n", notifyText(c.notify))
	}
	if c.ret != "" {
		e.printf("  RET           %s\n", c.ret)
	}
	if c.envID != "" {
		e.printf("  ENVID         %s\n", visible(c.envID))
	}
	if c.queued {
		e.printf("  waits until somebody asks for a queue run\n")
	}
}

// tellSender tells the sender and gives it, empty for the null reverse-path; ok is false where what -f says is none.
func (e *explanation) tellSender(origin string) (sender string, ok bool) {
	c := e.inner
	if c.sender == nil {
		own, known := e.caller(origin)
		why := fmt.Sprintf("the caller, uid %d, as no -f says otherwise", c.env.UID)
		if !known {
			why += "; the daemon may know this uid by a name"
		}
		e.printf("  sender        <%s>  %s\n", visible(own), why)
		return own, true
	}
	sender, err := senderOf(*c.sender)
	switch {
	case err != nil:
		e.printf("  sender        none: %s\n", visible(err.Error()))
		return "", false
	case sender == "":
		e.printf("  sender        <>  the null reverse-path, as -f says: no notice is ever sent\n")
		return "", true
	}
	e.printf("  sender        <%s>  as -f says%s\n", visible(header.Qualify(sender, origin)), qualified(sender))
	return header.Qualify(sender, origin), true
}

// caller is the address of whoever calls. known is false where passwd(5) has no name for the uid.
func (e *explanation) caller(origin string) (addr string, known bool) {
	c := e.inner
	login, known := c.account(c.env.UID, c.environ("LOGNAME"))
	if !known {
		login = "uid" + strconv.Itoa(c.env.UID)
	}
	return login + "@" + origin, known
}

// tellRewriting tells what the daemon would make of the senders of envelope and header.
func (e *explanation) tellRewriting(sender string, s settings.Settings) {
	rules, _ := rewrite.New(s.Rewrite.Senders) // what is wrong with one is told by signpost config check
	told := 0
	tell := func(where, addr string) {
		to, rule, ok := rules.Sender(addr)
		if rule == "" || told == maxShown {
			return
		}
		told++
		if ok {
			e.printf("  rewritten     %s <%s> to <%s>, as [rewrite] says for \"%s\"\n", where, visible(addr), visible(to), visible(rule))
		} else {
			e.printf("  not rewritten %s <%s>: by \"%s\" of [rewrite] it would be too long\n", where, visible(addr), visible(rule))
		}
	}
	tell("sender", sender)
	if e.inner.rehearsal.headed {
		own, _ := e.caller(s.Origin)
		for name, addr := range senders(e.inner.rehearsal.header, cmp.Or(sender, own), s.Origin) {
			tell(name, addr)
		}
	}
	if s.Rewrite.Align && sender != "" {
		e.printf("  align         the sender gets the domain of From, where the daemon signs mail of that domain\n")
	}
}

// senders gives the addresses of the fields that say who sends a message, as the daemon would complete them: from is that
// of a From which is added, and a second From is not sent as one.
func senders(h header.Header, from, origin string) iter.Seq2[string, string] {
	return func(yield func(name, addr string) bool) {
		authored := false
		for _, f := range h {
			name, ok := rewrite.Field(f.Name)
			if !ok || f.Value() == "" || name == "From" && authored {
				continue
			}
			authored = authored || name == "From"
			for m := range header.Mailboxes(header.QualifyField(f, origin).Body) {
				if m.Err == nil && !yield(name, m.Addr) {
					return
				}
			}
		}
		if !authored {
			yield("From", from)
		}
	}
}

func (e *explanation) tellRecipient(r spool.Recipient, origin, source string) {
	if r.Settled() {
		e.printf("  bad           %s  %s: %s\n", shortened(r.Addr), source, visible(r.Last.Detail))
		return
	}
	e.printf("  recipient     <%s>  %s%s", visible(header.Qualify(r.Addr, origin)), source, qualified(r.Addr))
	if r.NoAlias {
		e.printf("; aliases are not applied")
	}
	e.printf("\n")
}

// account finds the login name of a uid in passwd(5), as the daemon does: claimed where that name has this uid, else the
// first that has. ok is false where there is none; the daemon may know of others.
func (c *command) account(uid int, claimed string) (login string, ok bool) {
	c.lines("passwd", func(line string) bool { // a file that cannot be read has none
		f := strings.SplitN(line, ":", 4)
		if len(f) < 4 || f[0] == "" || f[2] != strconv.Itoa(uid) {
			return true
		}
		if !ok || f[0] == claimed {
			login, ok = f[0], true
		}
		return login != claimed
	})
	return login, ok
}

// notifyText is n as RCPT has it (RFC 3461 4.1).
func notifyText(n spool.Notify) string {
	var words []string
	for i, word := range []string{"SUCCESS", "FAILURE", "DELAY", "NEVER"} {
		if n&(spool.NotifySuccess<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ",")
}

// qualified says where a domain was added.
func qualified(addr string) string {
	if _, domain := header.SplitAddr(addr); domain != "" {
		return ""
	}
	return "; the domain is the origin"
}

// tellOutcome tells what would have happened.
func (e *explanation) tellOutcome() {
	e.printf("\nWhat would happen\n")
	switch r := e.inner.rehearsal; {
	case e.mode == modeNothing && e.err == nil:
		e.printf("  Nothing.\n")
	case e.mode == modeHelp || e.mode == modeVersion:
		e.printf("  A text would be printed.\n")
	case r.place.Spool == nil:
	case e.mode == modeAliases || e.mode == modeVerify:
		e.quote("It would print", e.stdout.String())
	case e.mode == modeSMTP:
		e.quote("It would answer", e.stdout.String())
		e.tellWay()
	case e.mode == modeList:
		e.printf("  The queue would be listed, as the daemon tells it or, where none answers, as the spool shows it.\n")
	default:
		e.tellWay()
	}
	e.quote("It would say on standard error", e.stderr.String())
	e.printf("  Exit status %d", e.status)
	if e.status != exOK && e.inner.quiet {
		e.printf(", without a word as -oeq asks: %s", visible(e.err.Error()))
	}
	if e.status != exOK && e.mode == modeSend {
		e.printf("; nothing would be queued")
	}
	e.printf(".\n\nNothing was sent, and nothing was written.\n")
}

// tellWay says who would take the message, or run the queue.
func (e *explanation) tellWay() {
	r := e.inner.rehearsal
	if r.way == nil {
		e.printf("  Nothing would be handed in.\n")
		return
	}
	socket := r.place.settings.Spool.Socket
	switch {
	case r.place.orphan != nil:
		socket = "the usual socket, as the configuration cannot be believed"
	case r.place.drop == "":
		socket = "the socket"
	}
	switch {
	case r.way.Daemon && e.mode == modeRun:
		e.printf("  The daemon answers at %s and would be asked; it may refuse.\n", visible(socket))
	case r.way.Daemon:
		e.printf("  The daemon answers at %s and would take the message.\n", visible(socket))
	case e.mode == modeRun, errors.Is(e.err, spool.ErrTooBig):
	case e.err == nil:
		e.printf("  No daemon takes it at %s (%s).\n", visible(socket), visible(r.way.Away.Error()))
		e.printf("  The message would be left in %s until one does.\n", visible(r.place.drop))
	}
}

// quote shows lines that the call would have printed.
func (e *explanation) quote(what, text string) {
	if text == "" {
		return
	}
	e.printf("  %s:\n", what)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		if i == maxShown {
			e.printf("    and %s more\n", count(len(lines)-i, "line"))
			return
		}
		e.printf("    %s\n", visible(strings.TrimSuffix(line, "\r")))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// shortened quotes an argument as one can read it.
func shortened(s string) string {
	const most = 200
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return strconv.Quote(cut(s, most)) + fmt.Sprintf("… (%d octets)", len(s))
}

// visible writes whatever could move the cursor, or pass for something else, as Go writes it in a string.
func visible(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if strconv.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(s[i : i+n])
		} else {
			q := strconv.Quote(s[i : i+n])
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}
