package smtp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"signpost/compat/header"
	"signpost/spool"
)

// refusal is the reply to an argument that is not taken.
type refusal struct {
	code   int
	status spool.Status
	text   string
}

// invalid is the refusal of a parameter with a value that it cannot have.
func invalid(key string) *refusal { return &refusal{501, badArgument, "Bad value of " + key} }

// split parts the argument of MAIL or RCPT behind its prefix into path and parameters (RFC 5321 4.1.2). Blanks behind
// the colon and a path without brackets are taken too.
func split(arg, prefix string) (path string, params []string, ok bool) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", nil, false
	}
	path, rest := cutPath(strings.TrimSpace(arg[len(prefix):]))
	if path == "" || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return "", nil, false
	}
	return path, strings.Fields(rest), true
}

// cutPath finds the end of a path: its ">", or the first blank of one without brackets. Quoted strings may hold both.
func cutPath(s string) (path, rest string) {
	quoted, brackets := false, strings.HasPrefix(s, "<")
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case brackets && c == '>':
			return s[:i+1], s[i+1:]
		case !brackets && (c == ' ' || c == '\t'):
			return s[:i], s[i:]
		}
	}
	return s, ""
}

var (
	errNull = errors.New("it is empty")
	errMany = errors.New("not one address")
)

// address reads a path by the grammar of sendmail's arguments. It may lack a domain; null allows "<>".
func address(path string, null bool) (header.Mailbox, error) {
	if strings.Join(strings.Fields(path), "") == "<>" {
		if null {
			return header.Mailbox{}, nil
		}
		return header.Mailbox{}, errNull
	}
	all := header.ParseList(path)
	if len(all) != 1 {
		return header.Mailbox{}, errMany
	}
	return all[0], all[0].Err
}

// params calls take for each parameter, and refuses what it does not know and what comes twice.
func params(list []string, take func(key, value string) (known bool, r *refusal)) *refusal {
	seen := map[string]bool{}
	for _, p := range list {
		key, value, _ := strings.Cut(p, "=")
		key = strings.ToUpper(key)
		known, r := take(key, value)
		switch {
		case !known:
			return &refusal{555, badArgument, "Unsupported parameter " + key}
		case seen[key]:
			return &refusal{501, badArgument, key + " is given twice"}
		case r != nil:
			return r
		}
		seen[key] = true
	}
	return nil
}

// mailParams takes the parameters of MAIL.
func (d *dialogue) mailParams(told *spool.Told, list []string) *refusal {
	return params(list, func(key, value string) (bool, *refusal) {
		up := strings.ToUpper(value)
		switch key {
		case "SIZE": // RFC 1870
			return true, d.checkSize(value)
		case "BODY": // RFC 6152
			if up != "7BIT" && up != "8BITMIME" {
				return true, invalid(key)
			}
			told.Body = up
		case "SMTPUTF8": // RFC 6531: the addresses themselves show it
			if value != "" {
				return true, invalid(key)
			}
		case "RET": // RFC 3461 4.3
			if up != "FULL" && up != "HDRS" {
				return true, invalid(key)
			}
			told.Ret = up
		case "ENVID": // RFC 3461 4.4
			id, ok := EnvID(value)
			if !ok {
				return true, invalid(key)
			}
			told.EnvID = id
		default:
			return false, nil
		}
		return true, nil
	})
}

// checkSize refuses a message that the client knows to be too large before it is sent.
func (d *dialogue) checkSize(value string) *refusal {
	n, err := strconv.ParseUint(value, 10, 64)
	switch most := d.server.MaxSize; {
	case errors.Is(err, strconv.ErrRange), err == nil && most > 0 && n > uint64(most):
		return &refusal{552, tooBig, fmt.Sprintf("The message is larger than the limit of %d octets", most)}
	case err != nil:
		return invalid("SIZE")
	}
	return nil
}

// rcptParams takes the parameters of RCPT.
func rcptParams(rcpt *spool.Recipient, list []string) *refusal {
	return params(list, func(key, value string) (bool, *refusal) {
		ok := true
		switch key {
		case "NOTIFY":
			rcpt.Notify, ok = Notify(value)
		case "ORCPT":
			rcpt.Original, ok = original(value)
		default:
			return false, nil
		}
		if !ok {
			return true, invalid(key)
		}
		return true, nil
	})
}

// Notify reads the value of NOTIFY (RFC 3461 4.1): "never", or a list of "success", "failure" and "delay", in any case
// of letters.
func Notify(value string) (n spool.Notify, ok bool) {
	for word := range strings.SplitSeq(value, ",") {
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
			return 0, false
		}
	}
	return n, n&spool.NotifyNever == 0 || n == spool.NotifyNever
}

// original reads the value of ORCPT (RFC 3461 4.2, RFC 6533 3). An address of another kind than mail's is left out:
// notices name the recipient then.
func original(value string) (addr string, ok bool) {
	kind, text, found := strings.Cut(value, ";")
	if !found || kind == "" || len(value) > maxORCPT {
		return "", false
	}
	switch strings.ToLower(kind) {
	case "rfc822":
		return xtext(text)
	case "utf-8":
		return unitext(text)
	}
	return "", true
}

// EnvID reads the value of ENVID (RFC 3461 4.4): at most 100 octets of xtext, of characters that can be seen.
func EnvID(value string) (id string, ok bool) {
	id, ok = xtext(value)
	return id, ok && len(value) <= maxEnvID && !strings.Contains(id, " ")
}

// xtext decodes RFC 3461 4. What it decodes to must be ASCII that can be printed, as it is printed again in notices.
func xtext(s string) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			if i+2 >= len(s) || strings.ToUpper(s[i+1:i+3]) != s[i+1:i+3] {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil || n < ' ' {
				return "", false
			}
			c, i = byte(n), i+2
		case c <= ' ', c == '=':
			return "", false
		}
		if c >= 0x7f {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), b.Len() > 0
}

// unitext decodes an address of type utf-8 (RFC 6533 3): characters as they are, or as \x{20AC}.
func unitext(s string) (text string, ok bool) {
	var b strings.Builder
	for s != "" {
		before, after, found := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !found {
			break
		}
		digits, rest, closed := strings.Cut(after, "}")
		n, err := strconv.ParseUint(digits, 16, 32)
		if !closed || err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return "", false
		}
		b.WriteRune(rune(n))
		s = rest
	}
	text = b.String()
	bad := func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError }
	return text, text != "" && strings.IndexFunc(text, bad) < 0
}
