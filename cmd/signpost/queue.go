package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signpost/mta"
	"signpost/mta/config"
	"signpost/mta/control"
	"signpost/mta/history"
	"signpost/mta/local"
	"signpost/spool"
)

func newQueueCmd(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "List queued messages, and work on them",
		Long: `List queued messages: id, age, size, sender, recipients left, why they wait and when they are tried next.
Without a running daemon the spool itself is read.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAdmin(cmd.Context(), g, func(_ config.Config, a control.Admin) error {
				return listQueue(cmd.Context(), cmd.OutOrStdout(), a, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	list := &cobra.Command{Use: "list", Short: cmd.Short, Args: cobra.NoArgs, RunE: cmd.RunE}
	list.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.AddCommand(list, newQueueShowCmd(g), newQueueRunCmd(g),
		newActionCmd(g, "retry", "Try messages now, whatever their time"),
		newActionCmd(g, "hold", "Keep messages from being tried"),
		newActionCmd(g, "release", "Let messages on hold go"),
		newActionCmd(g, "delete", "Remove messages; nobody is told"))
	return cmd
}

func listQueue(ctx context.Context, out io.Writer, a control.Admin, asJSON bool) error {
	w := bufio.NewWriter(out)
	defer w.Flush()
	n, bad := 0, 0
	var size int64
	for m, err := range a.List(ctx) {
		if err != nil {
			bad++
			fmt.Fprintf(w, "a message cannot be read: %s\n", printable(err.Error()))
			continue
		}
		n++
		size += m.Size
		if asJSON {
			json.NewEncoder(w).Encode(m)
			continue
		}
		printMessage(w, m, time.Now())
	}
	if !asJSON {
		if n == 0 && bad == 0 {
			fmt.Fprintln(w, "The queue is empty.")
		} else {
			fmt.Fprintf(w, "%d messages, %s\n", n, octets(size))
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d messages cannot be read", bad)
	}
	return nil
}

// printMessage writes a message on a line, and below it the recipients that are left.
func printMessage(w io.Writer, m control.Message, now time.Time) {
	fmt.Fprintf(w, "%s  %s  %s  from %s  %s%s\n", m.ID, roughly(now.Sub(m.Arrived)), octets(m.Size), bracket(m.Sender),
		m.State, when(m, now))
	for _, r := range m.Rcpts {
		if r.Outcome == "" || r.Outcome == spool.Deferred.String() {
			fmt.Fprintf(w, "    to %s\n", target(r))
		}
	}
	if reason := m.Reason(); reason != "" {
		fmt.Fprintf(w, "    because: %s\n", printable(reason))
	}
}

func when(m control.Message, now time.Time) string {
	if m.Next == nil || m.State != "waiting" {
		return ""
	}
	if !m.Next.After(now) {
		return ", due"
	}
	return ", next try in " + roughly(m.Next.Sub(now))
}

// target names a recipient, and what it stood for before aliases.
func target(r history.Rcpt) string {
	name := bracket(r.Addr)
	if r.Kind != "" {
		name = r.Kind + " " + printable(r.Addr)
	}
	if r.Original != "" && r.Original != r.Addr {
		name += " (for " + bracket(r.Original) + ")"
	}
	return name
}

func newQueueShowCmd(g *globals) *cobra.Command {
	var body, asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a message: envelope, history and header",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := spool.ID(strings.ToUpper(args[0]))
			return withAdmin(cmd.Context(), g, func(_ config.Config, a control.Admin) error {
				return showMessage(cmd.Context(), cmd.OutOrStdout(), a, id, body, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&body, "body", false, "all of the content, not the header alone")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the envelope as a JSON object")
	return cmd
}

func showMessage(ctx context.Context, out io.Writer, a control.Admin, id spool.ID, body, asJSON bool) error {
	m, err := a.Show(ctx, id)
	if errors.Is(err, spool.ErrNotFound) {
		return fmt.Errorf("no message %s in the queue\nhint: signpost why %s tells what became of it", printable(string(id)), printable(string(id)))
	}
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	defer w.Flush()
	if asJSON {
		return json.NewEncoder(w).Encode(m)
	}
	printMessage(w, m, time.Now())
	fmt.Fprintf(w, "    handed in by %s\n", origin(&m.Origin))
	printCaller(w, &m.Origin)
	for _, c := range m.Rewritten {
		fmt.Fprintf(w, "    %s\n", rewritten(c))
	}
	for _, r := range m.Rcpts {
		if r.Outcome != "" {
			fmt.Fprintf(w, "    %s\n", outcome(r))
		}
	}
	fmt.Fprintln(w)
	content, err := a.Content(ctx, id)
	if err != nil {
		return err
	}
	defer content.Close()
	return printContent(w, content, body)
}

// printContent writes the header, or all of the content, with LF line ends and nothing that a terminal obeys.
func printContent(w io.Writer, content io.Reader, body bool) error {
	r := bufio.NewReader(content)
	for {
		line, err := r.ReadString('\n')
		text := strings.TrimRight(line, "\r\n")
		if line != "" {
			fmt.Fprintln(w, printableLine(text))
		}
		if err == io.EOF || text == "" && !body {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func newActionCmd(g *globals, verb, short string) *cobra.Command {
	var a control.Action
	var sender, user string
	cmd := &cobra.Command{
		Use:   verb + " ID... | --all | --domain D | --sender A | --user U | --held",
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Verb = verb
			if cmd.Flags().Changed("sender") {
				a.Sender = &sender
			}
			if cmd.Flags().Changed("user") {
				uid, err := uidOf(cmd.Context(), user)
				if err != nil {
					return err
				}
				a.UID = &uid
			}
			if err := chooseIDs(&a, args); err != nil {
				return err
			}
			return withAdmin(cmd.Context(), g, func(_ config.Config, admin control.Admin) error {
				return act(cmd.Context(), cmd.OutOrStdout(), admin, a)
			})
		},
	}
	cmd.Flags().BoolVar(&a.All, "all", false, "all messages")
	cmd.Flags().StringVar(&a.Domain, "domain", "", "messages with a recipient in this `domain`")
	cmd.Flags().StringVar(&sender, "sender", "", "messages from this `address` (\"\" is the null reverse-path)")
	cmd.Flags().StringVar(&user, "user", "", "messages handed in by this `user`, a login name or uid, as the kernel told")
	cmd.Flags().BoolVar(&a.Held, "held", false, "messages on hold; with others, only those of them that are")
	if verb == "hold" {
		cmd.Flags().StringVar(&a.Reason, "reason", "", "why, as the list will show it")
	}
	return cmd
}

// uidOf finds the uid of a user who is named or numbered.
func uidOf(ctx context.Context, user string) (int, error) {
	if uid, err := strconv.ParseUint(user, 10, 32); err == nil {
		return int(uid), nil
	}
	u, err := local.Passwd{}.LookupName(ctx, user)
	if err != nil {
		return 0, fmt.Errorf("--user %s: %w\nhint: the uid, which `signpost queue show` tells, will do too", printable(user), err)
	}
	return u.UID, nil
}

func chooseIDs(a *control.Action, args []string) error {
	if a.Chooses() == (len(args) > 0) {
		return usageError{errors.New("name message ids, or at least one of --all, --domain, --sender, --user and --held")}
	}
	for _, arg := range args {
		id := spool.ID(strings.ToUpper(arg))
		if !id.Valid() {
			return usageError{fmt.Errorf("%q is not a queue id", arg)}
		}
		a.IDs = append(a.IDs, id)
	}
	return nil
}

func act(ctx context.Context, out io.Writer, admin control.Admin, a control.Action) error {
	done, err := admin.Act(ctx, a)
	if err != nil {
		return err
	}
	failed := 0
	for _, d := range done {
		if d.Error != "" {
			failed++
			fmt.Fprintf(out, "%s: %s\n", d.ID, printable(d.Error))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s: %d of %d messages refused", a.Verb, failed, len(done))
	}
	return nil
}

func newQueueRunCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Try every message once, in the foreground, without a daemon",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			return mta.RunOnce(cmd.Context(), cfg, mta.Options{Log: mta.NewLogger(cmd.ErrOrStderr(), cfg.Log), Config: g.config})
		},
	}
}
