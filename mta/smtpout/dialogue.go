package smtpout

import (
	"bytes"
	"fmt"
	"strings"
)

// dialogueHalf is how much of the beginning and of the end of a dialogue is remembered, in octets: a failure is
// understood from both.
const dialogueHalf = 8 << 10

// dialogue remembers what was said. Lines are kept in two buffers, so that a message that goes through costs no more
// than copying them.
type dialogue struct {
	head, tail []byte // lines ended by \n
	cut        bool   // lines between head and tail are missing
}

// say adds commands as they go out, each ended by CRLF.
func (d *dialogue) say(commands []byte) {
	for len(commands) > 0 {
		var line []byte
		line, commands, _ = bytes.Cut(commands, []byte("\r\n"))
		d.add("> ", line)
	}
}

// hear adds a reply, its lines joined by \n.
func (d *dialogue) hear(text []byte) {
	for more := true; more; {
		var line []byte
		line, text, more = bytes.Cut(text, []byte{'\n'})
		d.add("< ", line)
	}
}

func (d *dialogue) note(format string, args ...any) {
	d.add("* ", []byte(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")))
}

func (d *dialogue) add(who string, line []byte) {
	if d.head == nil {
		d.head = make([]byte, 0, 512) // as much as most have
	}
	to := &d.head
	if len(d.tail) > 0 || len(d.head)+len(line) > dialogueHalf {
		to = &d.tail
	}
	*to = append(*to, who...)
	*to = append(*to, line...)
	*to = append(*to, '\n')
	if len(d.tail) > 2*dialogueHalf {
		d.shorten()
	}
}

// shorten keeps the last lines of the tail.
func (d *dialogue) shorten() {
	from := len(d.tail) - dialogueHalf
	from += bytes.IndexByte(d.tail[from:], '\n') + 1
	d.tail = append(d.tail[:0], d.tail[from:]...)
	d.cut = true
}

// lines are those that are remembered, in order.
func (d *dialogue) lines() []string {
	all := make([]byte, 0, len(d.head)+len(d.tail)+32)
	all = append(all, d.head...)
	if d.cut {
		all = append(all, "* lines are left out here\n"...)
	}
	all = append(all, d.tail...)
	if len(all) == 0 {
		return nil
	}
	return strings.Split(string(all[:len(all)-1]), "\n")
}
