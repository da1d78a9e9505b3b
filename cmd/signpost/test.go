package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"signpost/compat/callers"
	"signpost/mta/config"
	"signpost/mta/local"
)

const rehearseLimit = 30 * time.Second // for all of it

func newTestCmd(g *globals) *cobra.Command {
	var list, asJSON bool
	r := rehearsal{}
	cmd := &cobra.Command{
		Use:   "test CALLER",
		Short: "Rehearse how a program hands in mail, and show what would leave",
		Long: `Call sendmail exactly as a program does that is known here (its arguments, environment and standard input), with a
daemon in a scratch folder that catches all mail, and show what would leave: envelope, header and body. Names of the
host, rewriting and signatures are those of the configuration; nothing of its spool is touched, and no mail leaves.`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return callerNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				if len(args) > 0 {
					return usageError{errors.New("--list takes no caller")}
				}
				return listCallers(cmd.OutOrStdout(), asJSON)
			}
			if err := r.choose(args); err != nil {
				return usageError{err}
			}
			cfg, err := g.load()
			if err != nil {
				return err
			}
			return r.play(cmd.Context(), cfg, cmd.OutOrStdout(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list the callers that are known")
	cmd.Flags().StringVar(&r.to, "to", "bob@example.com", "`address` that the caller writes to, where it does not write to a local user")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

func callerNames() []string {
	var names []string
	for _, c := range callers.All() {
		names = append(names, c.Name)
	}
	return names
}

func listCallers(out io.Writer, asJSON bool) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, c := range callers.All() {
		if asJSON {
			err := json.NewEncoder(out).Encode(struct {
				Caller string `json:"caller"`
				About  string `json:"about"`
			}{c.Name, c.About})
			if err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s\t%s\n", c.Name, c.About)
	}
	return w.Flush()
}

// rehearsal is one run of `signpost test`. What it found out is what --json prints.
type rehearsal struct {
	scratch
	to   string
	call callers.Call

	Caller   string       `json:"caller"`
	Program  string       `json:"program"`
	Args     []string     `json:"args"` // as the program gives them
	Env      []string     `json:"env"`
	Stdin    string       `json:"stdin"`
	Status   int          `json:"status"` // exit status of sendmail
	Stdout   string       `json:"stdout"`
	Stderr   string       `json:"stderr"`
	Messages []caughtMail `json:"messages"` // what would leave
	Notes    []string     `json:"notes"`    // what is not as it would be
}

// caughtMail is a message as it would leave, to recipients that share its envelope.
type caughtMail struct {
	Sender string   `json:"sender"` // empty: the null reverse-path
	Rcpts  []string `json:"rcpts"`
	Header string   `json:"header"` // line ends are LF
	Body   string   `json:"body"`
}

// choose finds the caller that the arguments name.
func (r *rehearsal) choose(args []string) error {
	if strings.ContainsFunc(r.to, unicode.IsControl) || r.to == "" {
		return fmt.Errorf("--to %q is no address", r.to)
	}
	name, text := "", "which caller?"
	if len(args) > 0 {
		name = args[0]
		text = fmt.Sprintf("unknown caller %q.", name)
	}
	var ok bool
	if r.call, ok = callers.Find(name); !ok {
		return fmt.Errorf("%s Known are: %s", text, strings.Join(callerNames(), ", "))
	}
	return nil
}

// play calls sendmail as the caller does, and prints what came of it.
func (r *rehearsal) play(ctx context.Context, cfg config.Config, out io.Writer, asJSON bool) error {
	ctx, cancel := context.WithTimeout(ctx, rehearseLimit)
	defer cancel()
	if err := r.open("signpost-test-"); err != nil {
		return err
	}
	defer r.remove()
	defer r.stop()
	for _, step := range []func(context.Context) error{
		r.findPrograms,
		func(context.Context) error { return r.configure(cfg) },
		r.start,
		func(ctx context.Context) error { return r.handIn(ctx, cfg.Hostname) },
		r.settle,
	} {
		if err := step(ctx); err != nil {
			return r.blame(err)
		}
	}
	if err := r.collect(); err != nil {
		return err
	}
	return r.report(out, asJSON)
}

// blame adds what the daemon said last.
func (r *rehearsal) blame(err error) error {
	if end := r.logEnd(); end != "" {
		return fmt.Errorf("%w\nthe daemon's log ends so:\n%s", err, strings.TrimSpace(printableLines(end)))
	}
	return err
}

func printableLines(text string) string {
	var b strings.Builder
	quoteLines(&b, text)
	return b.String()
}

// configure writes the configuration of the scratch daemon: of cfg what decides how mail leaves, and nothing that leads
// to files, sockets or hosts of the system.
func (r *rehearsal) configure(cfg config.Config) error {
	own := config.Default()
	own.Hostname, own.Origin, own.Postmaster, own.Root = cfg.Hostname, cfg.Origin, cfg.Postmaster, cfg.Root
	own.Local.Domains = cfg.Local.Domains
	own.Local.Aliases = ""
	own.Spool.Path = filepath.Join(r.dir, "spool")
	own.Spool.Socket = filepath.Join(own.Spool.Path, "submit.sock")
	own.Spool.MaxMessageSize, own.Spool.MinFree = cfg.Spool.MaxMessageSize, 0
	own.Delivery.Mode, own.Delivery.Catch = config.ModeCatch, r.maildir()
	for _, route := range cfg.Routes { // they decide what is not signed
		var one config.Route
		one.SetDefault()
		one.To, one.From, one.DKIM = route.To, route.From, route.DKIM
		one.Connections, one.TLS = own.Delivery.Connections, own.Delivery.TLS
		own.Routes = append(own.Routes, one)
	}
	own.DKIM = r.readable(cfg.DKIM)
	if os.Getuid() == 0 {
		own.User = "root"
	}
	var text bytes.Buffer
	if err := own.Show(&text); err != nil {
		return err
	}
	return os.WriteFile(r.config(), text.Bytes(), 0o644)
}

func (r *rehearsal) maildir() string { return filepath.Join(r.dir, "catch") + "/" }

// readable leaves out the keys that only the daemon may read.
func (r *rehearsal) readable(keys []config.DKIM) []config.DKIM {
	var kept []config.DKIM
	for _, k := range keys {
		f, err := os.Open(k.Key)
		if err != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("Not signed for %s as it would be: %v", k.Domain, err))
			continue
		}
		f.Close()
		kept = append(kept, k)
	}
	return kept
}

// handIn runs sendmail as the caller does. Only the configuration is named besides what the caller gives.
func (r *rehearsal) handIn(ctx context.Context, hostname string) error {
	login := fmt.Sprintf("uid%d", os.Getuid())
	if u, err := (local.Passwd{}).LookupUID(ctx, os.Getuid()); err == nil {
		login = u.Name
	}
	call := r.call.Fill(login, hostname, r.to)
	r.Caller, r.Program, r.Args, r.Env, r.Stdin = call.Name, call.Program, call.Args, call.Env, call.Stdin
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, r.sendmail)
	cmd.Args = append([]string{call.Program, "-C", r.config()}, call.Args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = call.Env, strings.NewReader(call.Stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return fmt.Errorf("running %s: %w", r.sendmail, err)
	}
	r.Status, r.Stdout, r.Stderr = cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
	return nil
}

// settle waits until all mail has been caught.
func (r *rehearsal) settle(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		queue, err := r.ask(ctx, "queue", "--json")
		if err != nil || strings.TrimSpace(queue) == "" {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the message stays in the queue")
		}
	}
}

// collect reads what was caught.
func (r *rehearsal) collect() error {
	paths, err := filepath.Glob(filepath.Join(r.maildir(), "new", "*"))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		r.Messages = append(r.Messages, parseCaught(string(text)))
	}
	return nil
}

// parseCaught parts a file of the Maildir for caught mail: Return-Path and X-Original-To, which stand above the
// message, are its envelope.
func parseCaught(text string) caughtMail {
	m := caughtMail{Rcpts: []string{}}
	for {
		line, rest, ok := strings.Cut(text, "\n")
		name, value, isField := strings.Cut(line, ": ")
		switch {
		case !ok || !isField:
		case name == "Return-Path":
			m.Sender, text = strings.Trim(value, "<>"), rest
			continue
		case name == "X-Original-To":
			m.Rcpts, text = append(m.Rcpts, value), rest
			continue
		}
		m.Header, m.Body, _ = strings.Cut(text, "\n\n")
		m.Header += "\n"
		return m
	}
}

// report prints what came of the call. A call that was refused is told, and is a failure.
func (r *rehearsal) report(out io.Writer, asJSON bool) error {
	if asJSON {
		r.Messages = append([]caughtMail{}, r.Messages...)
		r.Notes = append([]string{}, r.Notes...)
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
	} else {
		r.tell(out)
	}
	if r.Status != 0 || len(r.Messages) == 0 {
		return errSaid
	}
	return nil
}

// tell is report for people.
func (r *rehearsal) tell(out io.Writer) {
	fmt.Fprintf(out, "%s\n\nIt is called so, here with the rights of uid %d:\n   %s", r.call.About, os.Getuid(), printable(r.Program))
	for _, a := range r.Args {
		fmt.Fprintf(out, " %s", shellWord(a))
	}
	fmt.Fprintf(out, "\nwith the environment\n   %s\nand on standard input\n", printable(strings.Join(r.Env, " ")))
	quoteLines(out, r.Stdin)
	fmt.Fprintf(out, "\nIt exits with status %d", r.Status)
	if r.Stdout == "" && r.Stderr == "" {
		fmt.Fprintf(out, " and says nothing.\n")
	} else {
		fmt.Fprintf(out, " and says\n")
		quoteLines(out, r.Stdout+r.Stderr)
	}
	for i, m := range r.Messages {
		if i > 0 {
			fmt.Fprintf(out, "\nAnd this:\n")
		} else {
			fmt.Fprintf(out, "\nThis would leave:\n")
		}
		m.tell(out)
	}
	if len(r.Messages) == 0 {
		fmt.Fprintf(out, "\nNothing would leave.\n")
	}
	for _, n := range r.Notes {
		fmt.Fprintf(out, "\n%s\n", printable(n))
	}
}

func (m caughtMail) tell(out io.Writer) {
	fmt.Fprintf(out, "   from %s\n", bracket(m.Sender))
	for _, rcpt := range m.Rcpts {
		fmt.Fprintf(out, "   to   %s\n", bracket(rcpt))
	}
	quoteLines(out, m.Header+"\n"+m.Body)
}

// shellWord writes an argument as one would type it.
func shellWord(s string) string {
	plain := func(c rune) bool {
		return c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("-_./@=,:+%", c))
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'"
}
