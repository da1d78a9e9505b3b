package main

import (
	"cmp"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"signpost/compat/settings"
	"signpost/mta/sign"
)

func newDKIMCmd(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dkim",
		Short: "Make DKIM keys, publish and check their records, verify signatures",
		Long: `Make DKIM keys, print the records to be published for them, check what is published, and verify the signatures of
messages.

A key signs once it is named in a [[dkim]] table of the configuration and the daemon has been reloaded. Publish its
record first: until then receivers cannot verify what it signs.`,
	}
	cmd.AddCommand(newDKIMKeygenCmd(g), newDKIMRecordCmd(g), newDKIMCheckCmd(g), newDKIMVerifyCmd(g))
	return cmd
}

// keygen is what is to be made.
type keygen struct{ domain, selector, kind, out string }

func newDKIMKeygenCmd(g *globals) *cobra.Command {
	var k keygen
	cmd := &cobra.Command{
		Use:   "keygen --domain DOMAIN --selector SELECTOR",
		Short: "Make a key and say what to configure and to publish",
		Long: `Make a DKIM key, write it to a new file, and print the table to add to the configuration and the record to publish.

The file is readable for its owner and, where there is that group and we may set it, for the group ` + sign.Group + `. A file that
exists is never overwritten. To change a key make a new one under another selector, publish its record, change the
configuration, and take the old record away a week later.`,
		Example: `  signpost dkim keygen --domain example.org --selector 2026a
  signpost dkim keygen --domain example.org --selector 2026ed --type ed25519`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.run(cmd.OutOrStdout(), cmp.Or(g.config, settings.DefaultFile))
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.domain, "domain", "", "`domain` of the From: addresses that the key signs for")
	f.StringVar(&k.selector, "selector", "", "`name` of the key in DNS, such as 2026a")
	f.StringVar(&k.kind, "type", "rsa2048", "`type` of the key: "+strings.Join(sign.Types, ", "))
	f.StringVar(&k.out, "out", "", "`file` to write (default dkim/DOMAIN.SELECTOR.pem beside the configuration)")
	cmd.MarkFlagRequired("domain")
	cmd.MarkFlagRequired("selector")
	cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(sign.Types, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (k keygen) run(out io.Writer, config string) error {
	if !slices.Contains(sign.Types, k.kind) {
		return usageError{fmt.Errorf("no key type %q: there are %s", k.kind, strings.Join(sign.Types, ", "))}
	}
	domain, err := sign.CheckNames(k.domain, k.selector)
	if err != nil {
		return usageError{err}
	}
	path := k.out
	if path == "" {
		path = filepath.Join(filepath.Dir(config), "dkim", domain+"."+k.selector+".pem")
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	key, err := sign.Generate(k.kind)
	if err != nil {
		return err
	}
	mode, err := sign.WriteFile(path, key)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists, and keys are never overwritten\nhint: choose another --selector", path)
	}
	if err != nil {
		return err
	}
	r, err := newDKIMRecord(domain, k.selector, key.Public())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Wrote %s (%s, mode %04o).\n\nTo sign with it add this to %s and reload the daemon:\n\n", path, k.kind, mode, config)
	fmt.Fprintf(out, "[[dkim]]\ndomain = %q\nselector = %q\nkey = %q\n\n", domain, k.selector, pathFrom(config, path))
	fmt.Fprintf(out, "Before that publish this in DNS, and see \"signpost dkim check\":\n\n")
	r.print(out)
	return nil
}

// pathFrom gives path as it stands in the configuration file: relative to its folder, when it is below that.
func pathFrom(config, path string) string {
	config, err := filepath.Abs(config)
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(filepath.Dir(config), path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	return rel
}

// dkimRecord is what is published for a key. Its JSON is stable.
type dkimRecord struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	Name     string `json:"name"`
	TXT      string `json:"txt"`
	Zone     string `json:"zone"`
}

func newDKIMRecord(domain, selector string, public crypto.PublicKey) (dkimRecord, error) {
	text, err := sign.Record(public)
	if err != nil {
		return dkimRecord{}, err
	}
	name := sign.RecordName(selector, domain)
	return dkimRecord{Domain: domain, Selector: selector, Name: name, TXT: text, Zone: sign.ZoneEntry(name, text)}, nil
}

func (r dkimRecord) print(out io.Writer) {
	fmt.Fprintf(out, "name  %s\ntype  TXT\ntext  %s\n\nThe same for a zone file:\n\n%s\n", r.Name, r.TXT, r.Zone)
}

func newDKIMRecordCmd(g *globals) *cobra.Command {
	var which keyChoice
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Print the DNS records to publish",
		Long: `Print the TXT record to publish for each key of the configuration: its text in one string, as most DNS providers want
it, and as an entry of a zone file, where a string has at most 255 octets.`,
		Example: `  signpost dkim record
  signpost dkim record --domain example.org --selector 2026a --key example.org.2026a.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := which.keys(g)
			if err != nil {
				return err
			}
			return printRecords(cmd.OutOrStdout(), keys, asJSON)
		},
	}
	which.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a record")
	return cmd
}

func printRecords(out io.Writer, keys []sign.Key, asJSON bool) error {
	for i, k := range keys {
		key, err := sign.Load(k.Path)
		if err != nil {
			return err
		}
		r, err := newDKIMRecord(k.Domain, k.Selector, key.Public())
		if err != nil {
			return err
		}
		if asJSON {
			if err := json.NewEncoder(out).Encode(r); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		r.print(out)
	}
	return nil
}

// keyChoice says which keys a command is about.
type keyChoice struct{ domain, selector, file string }

func (c *keyChoice) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.domain, "domain", "", "only keys of this `domain`")
	f.StringVar(&c.selector, "selector", "", "only keys with this `selector`")
	f.StringVar(&c.file, "key", "", "the key in this `file`, which the configuration need not name")
	cmd.MarkFlagFilename("key", "pem")
}

// keys gives the keys chosen, at least one, with their domains in A-labels. The configuration is read only if it is
// needed.
func (c keyChoice) keys(g *globals) ([]sign.Key, error) {
	if c.file != "" {
		if c.domain == "" || c.selector == "" {
			return nil, usageError{errors.New("--key needs --domain and --selector, as a key file does not hold them")}
		}
		domain, err := sign.CheckNames(c.domain, c.selector)
		if err != nil {
			return nil, usageError{err}
		}
		return []sign.Key{{Domain: domain, Selector: c.selector, Path: c.file}}, nil
	}
	cfg, err := g.load()
	if err != nil {
		return nil, err
	}
	var keys []sign.Key
	for _, k := range cfg.DKIM {
		domain, err := sign.CheckNames(k.Domain, k.Selector)
		if err != nil {
			return nil, err
		}
		if c.matches(domain, k.Domain, k.Selector) {
			keys = append(keys, sign.Key{Domain: domain, Selector: k.Selector, Path: k.Key})
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s names no such key in a [[dkim]] table\nhint: signpost dkim keygen makes one",
			cmp.Or(g.config, settings.DefaultFile))
	}
	return keys, nil
}

// matches compares with the domain as DNS and as the configuration writes it.
func (c keyChoice) matches(ascii, written, selector string) bool {
	asked := strings.TrimSuffix(c.domain, ".")
	return (asked == "" || strings.EqualFold(asked, ascii) || strings.EqualFold(asked, strings.TrimSuffix(written, "."))) &&
		(c.selector == "" || strings.EqualFold(c.selector, selector))
}
