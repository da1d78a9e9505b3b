package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signpost/mta/config"
	"signpost/mta/control"
	"signpost/mta/history"
	"signpost/spool"
)

func newWhyCmd(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why ID|ADDRESS",
		Short: "Tell the whole story of a message, also after it left",
		Long: `Tell what became of a message, or of the latest messages from or to an address: who handed it in, each attempt with
host, TLS, dialogue and answer, when it is tried next, and in one sentence what that means and what to do.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := args[0]
			if id := spool.ID(strings.ToUpper(query)); id.Valid() {
				query = string(id)
			}
			return withAdmin(cmd.Context(), g, func(_ config.Config, a control.Admin) error {
				return why(cmd.Context(), cmd.OutOrStdout(), a, query, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a record")
	return cmd
}

func why(ctx context.Context, out io.Writer, a control.Admin, query string, asJSON bool) error {
	records, err := a.Why(ctx, query)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	defer w.Flush()
	if asJSON {
		for _, r := range records {
			json.NewEncoder(w).Encode(r)
		}
	}
	if len(records) == 0 {
		return fmt.Errorf("nothing is remembered of %s\nhint: ids and addresses are compared whole; how long is remembered is [log].history", printable(query))
	}
	if asJSON {
		return nil
	}
	for i, s := range stories(records) {
		if i > 0 {
			fmt.Fprintln(w)
		}
		s.print(w)
		if err := s.conclude(ctx, w, a, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// story is what is remembered of one message.
type story struct {
	id      spool.ID
	records []history.Record
}

// stories sorts records by message, in the order in which the messages first appear.
func stories(records []history.Record) []*story {
	var out []*story
	byID := make(map[spool.ID]*story)
	for _, r := range records {
		s := byID[r.ID]
		if s == nil {
			s = &story{id: r.ID}
			byID[r.ID] = s
			out = append(out, s)
		}
		s.records = append(s.records, r)
	}
	return out
}

const clock = "2006-01-02 15:04:05"

func (s *story) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", s.id)
	for _, r := range s.records {
		at := r.Time.Local().Format(clock)
		switch r.What {
		case "accepted":
			fmt.Fprintf(w, "  %s  accepted from %s, %s, handed in by %s\n", at, bracket(r.From), octets(r.Size), origin(r.Origin))
			printCaller(w, r.Origin)
			for _, c := range r.Rewritten {
				fmt.Fprintf(w, "      %s\n", rewritten(c))
			}
			for _, to := range r.Rcpts {
				fmt.Fprintf(w, "      to %s\n", target(to))
			}
			if r.Held != "" {
				fmt.Fprintf(w, "      on hold: %s\n", printable(r.Held))
			}
			if r.Parent != "" {
				fmt.Fprintf(w, "      it reports on %s\n", r.Parent)
			}
		case "attempt":
			s.printAttempt(w, at, r)
		default:
			fmt.Fprintf(w, "  %s  %s\n", at, happened(r.What))
		}
		for _, n := range r.Notes {
			fmt.Fprintf(w, "      %s\n", printable(n))
		}
	}
}

// rewritten tells one change of a sender's address, and why it was made.
func rewritten(c spool.Rewriting) string {
	where := c.What + ":"
	if c.What == "envelope" {
		where = "envelope sender"
	}
	why := `as [rewrite] says for "` + c.Rule + `"`
	if c.Rule == "align" {
		why = "as [rewrite] says by align, and From: has this domain, which is signed here"
	}
	return printable(fmt.Sprintf("%s <%s> became <%s>, %s", where, c.Old, c.New, why))
}

// happened puts what is no attempt into words.
func happened(what string) string {
	words := map[string]string{
		"bounce":        "the sender was told of the failure by a bounce",
		"double-bounce": "the postmaster was told of the failure",
		"delay":         "the sender was told of the delay",
		"notice":        "the postmaster was told that mail of this user is held",
		"held":          "put on hold by an administrator",
		"released":      "released by an administrator",
		"removed":       "removed by an administrator",
		"damaged":       "found damaged, and set aside",
		"done":          "left the queue",
	}
	return cmp.Or(words[what], printable(what))
}

func (s *story) printAttempt(w io.Writer, at string, r history.Record) {
	fmt.Fprintf(w, "  %s  tried\n", at)
	for _, line := range r.Story {
		fmt.Fprintf(w, "      | %s\n", printable(line))
	}
	if r.Diverted != "" {
		fmt.Fprintf(w, "      not as addressed, but %s\n", printable(r.Diverted))
	}
	for _, to := range r.Rcpts {
		fmt.Fprintf(w, "      %s\n", outcome(to))
	}
	if r.Next != nil {
		fmt.Fprintf(w, "      next try at %s\n", r.Next.Local().Format(clock))
	}
}

// outcome writes what happened to one recipient.
func outcome(r history.Rcpt) string {
	text := fmt.Sprintf("%s: %s (%s)", target(r), r.Outcome, r.Status)
	if r.Remote != "" {
		text += " by " + printable(r.Remote)
	}
	if r.TLS != "" {
		text += " over " + printable(r.TLS)
	}
	if r.Reply != "" {
		text += ": " + printable(r.Reply)
	}
	if r.Detail != "" {
		text += ": " + printable(r.Detail)
	}
	return text
}

// origin writes who handed a message in, as far as it is proven.
func origin(who *spool.Origin) string {
	if who == nil {
		return "somebody unknown"
	}
	switch who.Via {
	case "socket", "drop":
		name := printable(who.Login)
		if name == "" {
			name = "a user without a name"
		}
		return fmt.Sprintf("%s (uid %d) through %s", name, who.UID, map[string]string{"socket": "sendmail", "drop": "sendmail while the daemon was away"}[who.Via])
	case "smtp":
		return "the SMTP client " + printable(who.Client)
	}
	return "signpost itself (" + printable(who.Via) + ")"
}

// printCaller writes what is not proven of who handed a message in, each in a line of its own: what the daemon saw, then
// what only the caller says.
func printCaller(w io.Writer, who *spool.Origin) {
	if who == nil {
		return
	}
	for _, part := range []struct {
		how string
		p   spool.Process
	}{{"as it looked", who.Seen}, {"as it says", who.Claims}} {
		if text := describe(part.p); text != "" {
			fmt.Fprintf(w, "      %s: %s\n", part.how, text)
		}
	}
}

// describe writes what is known of a process.
func describe(p spool.Process) string {
	var parts []string
	add := func(format, text string) {
		if text != "" {
			parts = append(parts, fmt.Sprintf(format, printable(text)))
		}
	}
	pid := ""
	if p.PID != 0 {
		pid = fmt.Sprintf(" (pid %d)", p.PID)
	}
	add("called by %s"+pid, p.Program())
	add(`command "%s"`, p.Command)
	add("in %s", p.Dir)
	add("unit %s", p.Unit)
	add("container %s", p.Container)
	add("PHP script %s", p.Script)
	add("login %s", p.Login)
	add("real user %s", p.RealUser)
	return strings.Join(parts, ", ")
}

// conclude ends the story in one plain sentence and what to do.
func (s *story) conclude(ctx context.Context, w io.Writer, a control.Admin, now time.Time) error {
	m, err := a.Show(ctx, s.id)
	if errors.Is(err, spool.ErrNotFound) {
		fmt.Fprintf(w, "  => %s\n", s.ending())
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case m.State == "active":
		fmt.Fprintln(w, "  => It is being tried right now.")
	case m.State == "held":
		fmt.Fprintf(w, "  => It is on hold (%s) until `signpost queue release %s`.\n", printable(m.Held), s.id)
	case m.State == "queued":
		fmt.Fprintf(w, "  => It waits for a queue run, as its sender asked: `signpost queue retry %s`.\n", s.id)
	case m.Next != nil && m.Next.After(now):
		fmt.Fprintf(w, "  => It waits and is tried again in %s; `signpost queue retry %s` tries it now. Nothing is lost.\n", roughly(m.Next.Sub(now)), s.id)
	default:
		fmt.Fprintln(w, "  => It is due and waits for its turn. Is the daemon running?")
	}
	return nil
}

// ending says what became of a message that has left the queue: each recipient's last outcome counts.
func (s *story) ending() string {
	last := make(map[string]history.Rcpt)
	did := make(map[string]bool)
	where, diverted := "", make(map[string]bool)
	for _, r := range s.records {
		did[r.What] = true
		where = cmp.Or(r.Diverted, where)
		for _, to := range r.Rcpts {
			if r.What == "attempt" {
				last[to.Kind+to.Addr] = to
				diverted[to.Kind+to.Addr] = r.Diverted != ""
			}
		}
	}
	good, elsewhere, bad := 0, 0, 0
	for who, to := range last {
		switch to.Outcome {
		case spool.Delivered.String():
			good++
			if diverted[who] {
				elsewhere++
			}
		case spool.Failed.String(), spool.Expired.String():
			bad++
		}
	}
	switch {
	case did["damaged"]:
		return "Its file was damaged and has been set aside in the spool's corrupt/ folder."
	case did["removed"]:
		return "An administrator removed it from the queue."
	case bad > 0:
		return fmt.Sprintf("It failed for %d of %d recipients, and %s; the answers above say why.", bad, bad+good, told(did, s.records[0].From))
	case elsewhere > 0 && elsewhere == good:
		return fmt.Sprintf("It did not go where it was addressed to, but was %s: [delivery] mode says so.", printable(where))
	case elsewhere > 0:
		return fmt.Sprintf("It was delivered to %d of %d recipients; for the others it was %s, as [delivery] mode says.", good-elsewhere, good, printable(where))
	case good > 0:
		return "It was delivered: the last host took responsibility for it. What that host did then is in its own log."
	}
	return "It has left the queue; what became of it is not remembered any more."
}

// told says who learnt of a failure.
func told(did map[string]bool, sender string) string {
	switch {
	case did["bounce"]:
		return "the sender was told by a bounce"
	case did["double-bounce"]:
		return "the postmaster was told, as a bounce has no sender"
	case sender == "":
		return "nobody was told, as nobody is left to tell"
	}
	return "nobody was told, as the sender had asked for no notice"
}
