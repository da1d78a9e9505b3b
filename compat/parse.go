package compat

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"signpost/spool"
)

// command is what the arguments say.
type command struct {
	env Env

	mode     mode
	modeSet  bool // by -b: then the name and -q count for less
	queueRun bool
	interval bool // -q15m
	rmail    bool
	filter   spool.Filter

	operands   []string
	fromHeader bool
	ignoreDots bool
	noAlias    bool
	sender     *string // as given, of the last -f or -r
	fullName   *string
	body       string
	notify     spool.Notify
	ret        string
	envID      string
	queued     bool
	label      string

	config    *string
	aliasFile string
	verbose   bool
	quiet     bool
	postponed []string // warnings, until it is known whether they are wanted

	at        int // place of the argument that is being read
	tracing   bool
	readings  []reading
	explained []string // what --explain is asked about
	rehearsal *rehearsal
}

func usage(format string, args ...any) error { return &fault{exUsage, fmt.Errorf(format, args...)} }
func data(format string, args ...any) error  { return &fault{exDataErr, fmt.Errorf(format, args...)} }

// later notes a warning about an option.
func (c *command) later(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.postponed = append(c.postponed, text)
	c.ignored(text)
}

// parse reads the arguments, in the manners of getopt: options end at "--" or at the first operand.
func (c *command) parse(args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.calledAs(args[0])
	rest := args[1:]
	for len(rest) > 0 {
		arg := rest[0]
		c.at = len(args) - len(rest)
		if arg == "--" {
			c.at++
			c.operands = rest[1:]
			return nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			return c.takeOperands(rest)
		}
		rest = rest[1:]
		if arg[1] == '-' {
			return c.long(arg, rest)
		}
		var err error
		if rest, err = c.cluster(arg[1:], rest); err != nil {
			return err
		}
	}
	return nil
}

// calledAs sets the mode by the program's name. What stands behind a dot only tells packages' links apart
// (sendmail.signpost).
func (c *command) calledAs(arg0 string) {
	name := baseName(arg0)
	for _, n := range names {
		if n.name == name {
			n.set(c)
		}
	}
}

// baseName is the name that a program was called with, as the table of names has it.
func baseName(arg0 string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path.Base(arg0), "-"), ".")
	return name
}

// takeOperands takes what is left. An option behind an operand may be one that the caller meant, or an address that
// somebody else chose: neither can be guessed.
func (c *command) takeOperands(rest []string) error {
	for _, arg := range rest[1:] {
		if strings.HasPrefix(arg, "-") {
			return usage("%q stands behind a recipient: options come first, and addresses that begin with - behind --", cut(arg, 80))
		}
	}
	c.operands = rest
	return nil
}

// cluster reads an argument of one or more options, without its dash. It gives the arguments left.
func (c *command) cluster(letters string, rest []string) ([]string, error) {
	for i := range len(letters) {
		o := find(letters[i])
		if o == nil {
			letter := strings.ToValidUTF8(letters[i:i+1], "?")
			c.begin(&option{doc: "no option there is"}, "", false)
			c.means("-"+letter, "no option there is")
			return nil, c.refused(usage("unknown option -%s", letter))
		}
		value := letters[i+1:]
		next := o.form == anywhere && value == ""
		switch {
		case o.form == alone:
			value = ""
		case next && len(rest) == 0:
			c.begin(o, "", false)
			return nil, c.refused(usage("option -%c needs a value", o.letter))
		case next:
			value, rest = rest[0], rest[1:]
		}
		c.begin(o, value, next)
		if o.set != nil {
			if err := o.set(c, value); err != nil {
				return nil, c.refused(err)
			}
		}
		if o.form != alone {
			break
		}
	}
	return rest, nil
}

func find(letter byte) *option {
	for i := range options {
		if options[i].letter == letter {
			return &options[i]
		}
	}
	return nil
}

// long reads an option of two dashes. It ends the reading: what it is about stands behind it. An option before --explain
// would be left out of what is explained, so it is refused.
func (c *command) long(arg string, rest []string) error {
	for _, o := range longOptions {
		if arg == "--"+o.name {
			if o.mode == modeExplain && c.at > 1 {
				return usage("--explain comes first: sendmail --explain -- ARGS")
			}
			c.mode = o.mode
			c.explained = rest
			return nil
		}
	}
	return usage("unknown option %q", cut(arg, 80))
}

// resolve settles what is to be done, and refuses what does not go together.
func (c *command) resolve() (mode, error) {
	switch c.mode {
	case modeHelp, modeVersion, modeExplain:
		return c.mode, nil
	}
	for _, w := range c.postponed {
		c.warn("%s", w)
	}
	m := c.mode
	switch {
	case c.interval && (!c.modeSet || m == modeSend):
		m = modeNothing // an old script that starts sendmail's daemon; ours runs by itself
	case c.queueRun && (!c.modeSet || m == modeSend):
		m = modeRun
	}
	switch {
	case m == modeDaemon:
		return m, usage("this program is no daemon: run `signpost serve`")
	case c.fromHeader && (m != modeSend || c.rmail):
		return m, usage("-t goes with sending a message only")
	case len(c.operands) > 0 && (m == modeRun || m == modeAliases || m == modeSMTP || c.interval):
		return m, usage("unexpected argument %q", cut(c.operands[0], 80))
	}
	return m, nil
}

func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0
}

// cut shortens s to at most n octets without cutting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
