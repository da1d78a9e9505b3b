package compat

import (
	"strconv"
	"strings"

	"signpost/compat/header"
	"signpost/compat/smtp"
)

// maxLabel is how much of -L is used, octets; maxName of names for people. The rest is cut.
const (
	maxLabel = 32
	maxName  = 1000
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
	clean := cut(header.OneLine(v), maxName)
	if clean != v {
		c.remark("taken as %q", clean)
	}
	c.fullName = &clean
	return nil
}

func setLabel(c *command, v string) error {
	if c.label = cut(printable(header.OneLine(v)), maxLabel); c.label != v {
		c.remark("taken as %q", c.label)
	}
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
	n, ok := smtp.Notify(v)
	if !ok {
		c.later("-N %s: not never alone, nor a list of success, failure, delay", v)
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
	id, ok := smtp.EnvID(v)
	if !ok {
		c.later("-V %s: not an envelope id", cut(v, 200))
		return nil
	}
	c.envID = id
	return nil
}

// setShort is -o: one letter and perhaps a value.
func setShort(c *command, v string) error {
	for _, o := range shortSettings {
		if v != "" && v[0] == o.letter {
			c.means("-o "+v[:1], o.doc)
			return o.set(c, v[1:])
		}
	}
	c.ignored("no option that does anything here")
	return nil
}

// setLong is -O: a name, "=" and a value.
func setLong(c *command, v string) error {
	name, value, _ := strings.Cut(v, "=")
	for _, o := range shortSettings {
		if strings.EqualFold(strings.TrimSpace(name), o.name) {
			c.means("-O "+o.name, o.doc)
			return o.set(c, strings.TrimSpace(value))
		}
	}
	c.ignored("no option that does anything here")
	return nil
}

func setAliasFile(c *command, v string) error { c.aliasFile = v; return nil }

func setDots(c *command, v string) error {
	if c.ignoreDots = isTrue(v); !c.ignoreDots {
		c.remark("false: a lone dot ends the message")
	}
	return nil
}

// isTrue reads the value of a switch as sendmail does: no value is true.
func isTrue(v string) bool { return v == "" || strings.IndexByte("tTyY1", v[0]) >= 0 }

func setErrorMode(c *command, v string) error {
	if c.quiet = v != "" && (v[0] == 'q' || v[0] == 'Q'); c.quiet {
		c.remark("nothing is printed, the exit status has to do")
	} else {
		c.remark("one line on standard error, as in every mode but q")
	}
	return nil
}

// setDelivery is when to deliver: at once or in the background, which is the same here, or at the next queue run.
func setDelivery(c *command, v string) error {
	switch strings.ToLower(v[:min(len(v), 1)]) {
	case "i", "b":
		c.queued = false
		c.remark("at once, which is the default")
	case "q", "d":
		c.queued = true
		c.remark("not before somebody asks for a queue run")
	default:
		c.ignored("neither i, b, q nor d")
	}
	return nil
}

func setMode(c *command, v string) error {
	for _, m := range modes {
		if v == string(m.letter) {
			c.mode, c.modeSet = m.mode, true
			c.means("-b "+v, m.doc)
			return nil
		}
	}
	return usage("unknown mode -b%s", v)
}

// setQueueRun is -q: a run of the queue, narrowed or not, or an interval that sendmail's own daemon would run it at.
func setQueueRun(c *command, v string) error {
	for _, s := range selections {
		text, ok := strings.CutPrefix(v, s.prefix)
		if ok && text == "" && strings.HasPrefix(v, "!") {
			return usage("-q%s: no text behind it", v) // every message contains it: none would be left
		}
		if ok && (!s.whole || text == "") {
			c.queueRun = true
			c.remark("%s", s.doc)
			s.set(c, text)
			return nil
		}
	}
	if !isInterval(v) {
		return usage("-q%s: not a kind of queue run there is", v)
	}
	c.interval = true
	c.remark("an interval: nothing is done, as the daemon needs none")
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
