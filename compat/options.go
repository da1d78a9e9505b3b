package compat

import (
	"strconv"
	"strings"

	"signpost/compat/header"
	"signpost/spool"
)

// form says where an option has its value.
type form uint8

const (
	alone    form = iota // no value: letters behind it are options too
	joined               // the rest of the argument, which may be empty
	anywhere             // the rest of the argument or, where that is empty, the next one
)

// option is one row of the table of options.
type option struct {
	letter byte
	form   form
	value  string                               // what the manual calls the value
	doc    string                               // what it does, for the manual; empty: taken and ignored
	set    func(c *command, value string) error // nil: taken and ignored
}

// options is every option there is, in the order of the manual. Whatever is not here is refused.
var options = [...]option{
	{'t', alone, "", "take recipients from the To, Cc and Bcc fields too", setFromHeader},
	{'i', alone, "", "a line with a lone dot does not end the message", setIgnoreDots},
	{'f', anywhere, "address", "envelope sender; empty or <> for none", setSender},
	{'r', anywhere, "address", "the same as -f", setSender},
	{'F', anywhere, "name", "full name for a From field that is added", setFullName},
	{'B', anywhere, "type", "body type, 7BIT or 8BITMIME; a hint only", setBody},
	{'N', anywhere, "list", "when to be notified: never, or of success, failure, delay", setNotify},
	{'R', anywhere, "full|hdrs", "what a bounce gives back", setRet},
	{'V', anywhere, "id", "envelope id for notices", setEnvID},
	{'n', alone, "", "do not apply aliases to recipients given as arguments", setNoAlias},
	{'o', anywhere, "option", "i, eMODE, dMODE and AFILE as below; others are ignored", setShort},
	{'O', anywhere, "option=value", "IgnoreDots, ErrorMode, DeliveryMode, AliasFile; others are ignored", setLong},
	{'e', anywhere, "mode", "how to report errors; q: by the exit status alone", setErrorMode},
	{'v', alone, "", "print the queue id; with -bp a longer list", setVerbose},
	{'b', anywhere, "mode", "what to do", setMode},
	{'I', alone, "", "the same as -bi", setInit},
	{'q', joined, "", "run the queue once; -qIid, -qRtext, -qStext: only these messages", setQueueRun},
	{'C', anywhere, "file", "configuration file", setConfig},
	{'L', anywhere, "tag", "label for the log", setLabel},
	{'h', anywhere, "count", "hops so far, at most 50", checkHops},

	{'A', anywhere, "c|m", "", nil},
	{'D', anywhere, "file", "", nil},
	{'G', alone, "", "", nil},
	{'T', anywhere, "time", "", nil},
	{'U', alone, "", "", nil},
	{'X', anywhere, "file", "", nil},
	{'c', alone, "", "", nil},
	{'d', joined, "", "", nil},
	{'m', alone, "", "", nil},
	{'p', anywhere, "protocol", "", nil},
	{'x', alone, "", "", nil},
}

// mode is what a command is to do.
type mode uint8

const (
	modeSend mode = iota
	modeList
	modeAliases
	modeRun
	modeNothing
	modeDaemon
	modeSMTP
	modeVerify
	modeHelp
	modeVersion
)

// modes is every -b mode there is.
var modes = [...]struct {
	letter byte
	mode   mode
	doc    string
}{
	{'m', modeSend, "send the message on standard input (the default)"},
	{'p', modeList, "list the queue, as mailq does"},
	{'i', modeAliases, "check the aliases file, as newaliases does"},
	{'h', modeNothing, ""},
	{'H', modeNothing, ""},
	{'d', modeDaemon, ""},
	{'D', modeDaemon, ""},
	{'s', modeSMTP, ""},
	{'v', modeVerify, ""},
}

// names is what the program does when it is called by another name.
var names = [...]struct {
	name string
	set  func(c *command)
}{
	{"mailq", func(c *command) { c.mode = modeList }},
	{"newaliases", func(c *command) { c.mode = modeAliases }},
	{"runq", func(c *command) { c.queueRun = true }},
	{"rmail", func(c *command) { c.rmail, c.ignoreDots = true, true }},
	{"hoststat", func(c *command) { c.mode = modeNothing }},
	{"purgestat", func(c *command) { c.mode = modeNothing }},
	{"smtpd", func(c *command) { c.mode = modeSMTP }},
}

// maxLabel is how much of -L is used, octets; maxName of names for people. The rest is cut.
const (
	maxLabel = 32
	maxName  = 1000
	maxEnvID = 100 // RFC 3461 4.4
	maxHops  = 50
)

func setFromHeader(c *command, _ string) error { c.fromHeader = true; return nil }
func setIgnoreDots(c *command, _ string) error { c.ignoreDots = true; return nil }
func setNoAlias(c *command, _ string) error    { c.noAlias = true; return nil }
func setVerbose(c *command, _ string) error    { c.verbose = true; return nil }
func setInit(c *command, _ string) error       { return setMode(c, "i") }
func setSender(c *command, v string) error     { c.sender = &v; return nil }
func setConfig(c *command, v string) error     { c.config = &v; return nil }

func setFullName(c *command, v string) error {
	v = cut(header.OneLine(v), maxName)
	c.fullName = &v
	return nil
}

func setLabel(c *command, v string) error {
	c.label = cut(printable(v), maxLabel)
	return nil
}

func setBody(c *command, v string) error {
	switch up := strings.ToUpper(v); up {
	case "7BIT", "8BITMIME":
		c.body = up
	default:
		c.later("-B %s: not a body type", v)
	}
	return nil
}

func setNotify(c *command, v string) error {
	var n spool.Notify
	for word := range strings.SplitSeq(v, ",") {
		switch strings.ToLower(strings.TrimSpace(word)) {
		case "success":
			n |= spool.NotifySuccess
		case "failure":
			n |= spool.NotifyFailure
		case "delay":
			n |= spool.NotifyDelay
		case "never":
			n |= spool.NotifyNever
		default:
			c.later("-N %s: not never or a list of success, failure, delay", v)
			return nil
		}
	}
	if n&spool.NotifyNever != 0 && n != spool.NotifyNever {
		c.later("-N %s: never must stand alone", v)
		return nil
	}
	c.notify = n
	return nil
}

func setRet(c *command, v string) error {
	switch up := strings.ToUpper(v); up {
	case "FULL", "HDRS":
		c.ret = up
	default:
		c.later("-R %s: not full or hdrs", v)
	}
	return nil
}

func setEnvID(c *command, v string) error {
	if hasControl(v) {
		return data("control character in -V")
	}
	id, ok := xtext(v)
	if !ok || len(v) > maxEnvID {
		c.later("-V %s: not an envelope id", cut(v, 2*maxEnvID))
		return nil
	}
	c.envID = id
	return nil
}

// xtext decodes RFC 3461 4. What it decodes to must be printable, as it is printed again in notices.
func xtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil || strings.ToUpper(s[i+1:i+3]) != s[i+1:i+3] || n <= ' ' {
				return "", false
			}
			c, i = byte(n), i+2
		} else if c <= ' ' || c == '=' {
			return "", false
		}
		if c >= 0x7f {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), b.Len() > 0
}

// setShort is -o: one letter and perhaps a value.
func setShort(c *command, v string) error {
	if v == "" {
		return nil
	}
	switch letter, value := v[0], v[1:]; letter {
	case 'i':
		c.ignoreDots = isTrue(value)
	case 'e':
		return setErrorMode(c, value)
	case 'd':
		c.setDelivery(value)
	case 'A':
		c.aliasFile = value
	}
	return nil
}

// setLong is -O: a name, "=" and a value.
func setLong(c *command, v string) error {
	name, value, _ := strings.Cut(v, "=")
	value = strings.TrimSpace(value)
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "ignoredots":
		c.ignoreDots = isTrue(value)
	case "errormode":
		return setErrorMode(c, value)
	case "deliverymode":
		c.setDelivery(value)
	case "aliasfile":
		c.aliasFile = value
	}
	return nil
}

// isTrue reads the value of a switch as sendmail does: no value is true.
func isTrue(v string) bool { return v == "" || strings.IndexByte("tTyY1", v[0]) >= 0 }

func setErrorMode(c *command, v string) error {
	c.quiet = v != "" && (v[0] == 'q' || v[0] == 'Q')
	return nil
}

// setDelivery is when to deliver: at once or in the background, which is the same here, or at the next queue run.
func (c *command) setDelivery(v string) {
	switch strings.ToLower(v[:min(len(v), 1)]) {
	case "i", "b":
		c.queued = false
	case "q", "d":
		c.queued = true
	}
}

func setMode(c *command, v string) error {
	for _, m := range modes {
		if v == string(m.letter) {
			c.mode, c.modeSet = m.mode, true
			return nil
		}
	}
	return usage("unknown mode -b%s", v)
}

// setQueueRun is -q: a run of the queue, narrowed or not, or an interval that sendmail's own daemon would run it at.
func setQueueRun(c *command, v string) error {
	switch {
	case v == "" || v == "f":
		c.queueRun = true
	case v[0] == 'I':
		c.queueRun, c.filter.ID = true, v[1:]
	case v[0] == 'R':
		c.queueRun, c.filter.Rcpt = true, v[1:]
	case v[0] == 'S':
		c.queueRun, c.filter.Sender = true, v[1:]
	case isInterval(v):
		c.interval = true
	default:
		return usage("-q%s: not a kind of queue run there is", v)
	}
	return nil
}

// isInterval reports whether v is like 15m, 1h30m, p15m or p.
func isInterval(v string) bool {
	v = strings.TrimPrefix(v, "p")
	digits := false
	for _, r := range v {
		switch {
		case '0' <= r && r <= '9':
			digits = true
		case digits && strings.ContainsRune("smhdw", r):
		default:
			return false
		}
	}
	return true
}

func checkHops(_ *command, v string) error {
	if n, err := strconv.ParseUint(v, 10, 31); err != nil || n > maxHops {
		return usage("-h %s: not a number of hops up to %d", v, maxHops)
	}
	return nil
}
