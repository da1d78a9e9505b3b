package compat

import "fmt"

// reading is how one option was read. It is kept for --explain alone, which sets command.tracing.
type reading struct {
	arg   int // place of the argument it stands in, 1 for the first
	form  form
	name  string // as the manual has it: "-f", "-o i"
	value string
	next  bool // the value is the argument behind it
	doc   string
	fate  fate
	notes []string
}

// fate is what became of an option.
type fate uint8

const (
	honoured fate = iota
	ignored
	refused
	overruled
)

func (f fate) String() string {
	return [...]string{"honoured", "ignored", "refused", "overruled by a later one"}[f]
}

// begin notes an option before it is acted on.
func (c *command) begin(o *option, value string, next bool) {
	if !c.tracing {
		return
	}
	r := reading{arg: c.at, form: o.form, name: "-" + string(o.letter), value: value, next: next, doc: o.doc}
	if o.set == nil {
		r.fate = ignored
	}
	c.readings = append(c.readings, r)
}

// latest is the option that is being acted on; where nobody asked, one that is thrown away.
func (c *command) latest() *reading {
	if len(c.readings) == 0 {
		return &reading{}
	}
	return &c.readings[len(c.readings)-1]
}

// means says what the option stands for, now that its value is known.
func (c *command) means(name, doc string) {
	r := c.latest()
	r.name, r.doc = name, doc
}

// remark adds what a person may want to know of the option.
func (c *command) remark(format string, args ...any) {
	if c.tracing {
		r := c.latest()
		r.notes = append(r.notes, fmt.Sprintf(format, args...))
	}
}

// ignored says that the option has no effect, and why.
func (c *command) ignored(why string) {
	c.latest().fate = ignored
	c.remark("%s", why)
}

// refused notes what an option was refused for.
func (c *command) refused(err error) error {
	c.latest().fate = refused
	c.remark("%s", err)
	return err
}
