package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"signpost/mta/config"
	"signpost/mta/dns"
	"signpost/mta/sign"
)

func newDKIMCheckCmd(g *globals) *cobra.Command {
	var which keyChoice
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare the published records with the keys",
		Long: `Look up the published record of each key of the configuration and compare it with the key.

Exit status: 0 all records are right, 1 one is not, or could not be looked up.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			keys, err := which.keys(g)
			if err != nil {
				return err
			}
			return checkKeys(cmd.Context(), cmd.OutOrStdout(), resolverOf(cfg), keys, asJSON)
		},
	}
	which.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a key")
	return cmd
}

func resolverOf(cfg config.Config) dns.Resolver {
	return dns.New(dns.Options{Servers: cfg.DNS.Servers, Timeout: cfg.DNS.Timeout.Std()})
}

// keyState is what was found out about one key. Its JSON is stable.
type keyState struct {
	Domain   string   `json:"domain"`
	Selector string   `json:"selector"`
	Name     string   `json:"name"`
	OK       bool     `json:"ok"`
	Problem  string   `json:"problem,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

func checkKeys(ctx context.Context, out io.Writer, r dns.Resolver, keys []sign.Key, asJSON bool) error {
	bad := false
	for _, k := range keys {
		s := checkKey(ctx, r, k)
		bad = bad || !s.OK
		if err := s.print(out, asJSON); err != nil {
			return err
		}
	}
	if bad {
		return errSaid
	}
	return nil
}

// checkKey compares one key with its record.
func checkKey(ctx context.Context, r dns.Resolver, k sign.Key) keyState {
	s := keyState{Domain: k.Domain, Selector: k.Selector, Name: sign.RecordName(k.Selector, k.Domain)}
	key, err := sign.Load(k.Path)
	if err != nil {
		s.Problem = err.Error()
		return s
	}
	records, _, err := r.TXT(ctx, s.Name)
	if err != nil && !missing(err) {
		s.Problem = err.Error()
		s.Hint = "try again later, or look at [dns].servers"
		return s
	}
	s.Notes, err = sign.CheckRecord(records, key.Public())
	if err != nil {
		s.Problem = err.Error()
		s.Hint = fmt.Sprintf("signpost dkim record --domain %s --selector %s prints what to publish; after a change the old "+
			"record may be seen for some hours", k.Domain, k.Selector)
		return s
	}
	s.OK = true
	return s
}

// missing reports whether a look-up failed because there is nothing.
func missing(err error) bool { return errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrNoData) }

func (s keyState) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	if s.OK {
		fmt.Fprintf(out, "ok       %s is the record of the key\n", s.Name)
	} else {
		fmt.Fprintf(out, "problem  %s: %s\n", s.Name, printable(s.Problem))
	}
	for _, note := range s.Notes {
		fmt.Fprintf(out, "note     %s: %s\n", s.Name, printable(note))
	}
	if s.Hint != "" {
		fmt.Fprintf(out, "hint     %s\n", s.Hint)
	}
	return nil
}

func newDKIMVerifyCmd(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Verify every DKIM signature of a message",
		Long: `Verify every DKIM signature of a message, read from FILE or from standard input, with the keys published in DNS. Lines
may end in LF or CRLF, and a "From " line of a mailbox is passed over.

Exit status: 0 the message has signatures and all are good, 1 it has none, or one is bad or could not be verified.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			message := cmd.InOrStdin()
			if len(args) == 1 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				message = f
			}
			return verifyMessage(cmd.Context(), cmd.OutOrStdout(), resolverOf(cfg), message, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a signature")
	return cmd
}

// verdict is what became of one signature. Its JSON is stable.
type verdict struct {
	Result    string `json:"result"` // good, bad, or unknown: the key could not be looked up now
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	Reason    string `json:"reason,omitempty"`
}

func verifyMessage(ctx context.Context, out io.Writer, r dns.Resolver, message io.Reader, asJSON bool) error {
	all, err := sign.Verify(message, func(name string) ([]string, error) { return txt(ctx, r, name) })
	bad := false
	for _, v := range all {
		bad = bad || v.Err != nil
		if err := verdictOf(v).print(out, asJSON); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("verifying: %w", err)
	case len(all) == 0:
		return errors.New("the message has no DKIM signature")
	case bad:
		return errSaid
	}
	return nil
}

// txt looks up a key's record and marks a failure that may pass.
func txt(ctx context.Context, r dns.Resolver, name string) ([]string, error) {
	records, _, err := r.TXT(ctx, name)
	switch {
	case err == nil:
		return records, nil
	case errors.Is(err, dns.ErrTemporary):
		return nil, unanswered{err}
	}
	return nil, err
}

// unanswered is a look-up that may succeed later.
type unanswered struct{ error }

func (unanswered) Temporary() bool { return true }

func verdictOf(v sign.Verdict) verdict {
	d := verdict{Result: "good", Domain: v.Domain, Selector: v.Selector, Algorithm: v.Algorithm}
	if v.Err != nil {
		d.Result, d.Reason = "bad", v.Err.Error()
	}
	if v.Temporary {
		d.Result = "unknown"
	}
	return d
}

func (d verdict) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(d)
	}
	line := fmt.Sprintf("%-8s d=%s s=%s a=%s", d.Result, clip(d.Domain), clip(d.Selector), clip(d.Algorithm))
	if d.Reason != "" {
		line += ": " + clip(d.Reason)
	}
	_, err := fmt.Fprintln(out, line)
	return err
}

// clip makes text that the message's author chose fit for one line of a terminal.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "..."
	}
	return printable(s)
}
