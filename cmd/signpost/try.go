package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signpost/mta/dns"
	"signpost/mta/local"
	"signpost/mta/sign"
	"signpost/mta/stage"
)

func newTryCmd(g *globals) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "try",
		Short: "Show the whole job in a scratch folder, on loopback, without root",
		Long: `Show the whole job without touching the system: a name server and two mail exchangers are started on loopback, then the
daemon in a scratch folder; messages are handed in through sendmail, and each step is shown as it happens: the spool,
the message as an exchanger got it, its signatures verified, a greylisted message and its second try, a failing
recipient and the bounce in the mailbox. Exit status 0 means that all of it was seen.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := &trial{out: cmd.OutOrStdout()}
			if g.config != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "signpost: %s is not used: try writes a configuration of its own\n", printable(g.config))
			}
			return t.run(cmd.Context(), keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the scratch folder behind")
	return cmd
}

// The names of the trial; .example is nobody's (RFC 2606).
const (
	tryHost  = "try.example"
	tryOne   = "one.example"
	tryTwo   = "two.example"
	tryLimit = 30 * time.Second // for all of it
)

// trial is one run of `signpost try`.
type trial struct {
	scratch
	out      io.Writer
	step     int
	login    string // who runs this, and gets the bounce
	port     int
	names    stage.DNS
	one, two stage.Exchanger
}

func (t *trial) run(ctx context.Context, keep bool) (err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	if err := t.open("signpost-try-"); err != nil {
		return err
	}
	defer func() {
		if keep {
			fmt.Fprintf(t.out, "\nThe scratch folder is %s\n", t.dir)
		} else {
			t.remove()
		}
	}()
	defer t.stop()
	for _, step := range []func(context.Context) error{
		t.programs, t.internet, t.configure, t.serve, t.deliver, t.greylist, t.bounce,
	} {
		if err := step(ctx); err != nil {
			t.showLog()
			return err
		}
	}
	t.say("All of it was seen to happen, in %.1f seconds.", time.Since(began).Seconds())
	return nil
}

// say begins a step.
func (t *trial) say(format string, args ...any) {
	t.step++
	fmt.Fprintf(t.out, "\n%d. %s\n", t.step, fmt.Sprintf(format, args...))
}

// show quotes text below a step.
func (t *trial) show(text string) { quoteLines(t.out, text) }

// programs finds the programs, and who is to get the bounce.
func (t *trial) programs(ctx context.Context) error {
	user, err := local.Passwd{}.LookupUID(ctx, os.Getuid())
	if err != nil {
		return fmt.Errorf("uid %d: %w\nhint: the bounce is to arrive in the mailbox of whoever runs this, so there must be an account", os.Getuid(), err)
	}
	t.login = user.Name
	return t.findPrograms(ctx)
}

// internet starts a name server and the exchangers of two domains.
func (t *trial) internet(context.Context) error {
	cert, err := stage.SelfSigned("mx." + tryOne)
	if err != nil {
		return err
	}
	t.one.Name, t.one.TLS, t.one.Reject = "mx."+tryOne, cert, []string{"nobody@" + tryOne}
	t.two.Name, t.two.Greylist = "mx."+tryTwo, true
	if err := t.exchangers(); err != nil {
		return err
	}
	t.names.Records = strings.Join([]string{
		tryOne + ". 60 IN MX 10 mx." + tryOne + ".", "mx." + tryOne + ". 60 IN A 127.0.0.2",
		tryTwo + ". 60 IN MX 10 mx." + tryTwo + ".", "mx." + tryTwo + ". 60 IN A 127.0.0.3",
	}, "\n")
	if err := t.names.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	t.say("A small Internet on loopback: a name server at %s, and two mail exchangers at port %d.", t.names.Addr(), t.port)
	t.show(t.names.Records)
	return nil
}

// exchangers listens on two addresses at one port, as all exchangers of the world do.
func (t *trial) exchangers() error {
	for range 20 {
		if err := t.one.Listen("127.0.0.2:0"); err != nil {
			return err
		}
		addr := t.one.Addr()
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return err
		}
		if err := t.two.Listen("127.0.0.3:" + port); err == nil {
			_, err = fmt.Sscan(port, &t.port)
			return err
		}
		t.one.Close()
		t.one = stage.Exchanger{Name: t.one.Name, TLS: t.one.TLS, Reject: t.one.Reject}
	}
	return errors.New("no port is free on both 127.0.0.2 and 127.0.0.3")
}

// configure makes two keys, publishes them in the DNS, and writes the configuration.
func (t *trial) configure(context.Context) error {
	records := t.names.Records
	var entries strings.Builder
	for _, k := range []struct{ selector, kind string }{{"r", "rsa2048"}, {"e", "ed25519"}} {
		key, err := sign.Generate(k.kind)
		if err != nil {
			return err
		}
		path := filepath.Join(t.dir, k.selector+".pem")
		if _, err := sign.WriteFile(path, key); err != nil {
			return err
		}
		record, err := sign.Record(key.Public())
		if err != nil {
			return err
		}
		records += "\n" + sign.ZoneEntry(sign.RecordName(k.selector, tryHost), record)
		fmt.Fprintf(&entries, "[[dkim]]\ndomain = %q\nselector = %q\nkey = %q\n", tryHost, k.selector, filepath.Base(path))
	}
	if err := t.names.Replace(records); err != nil {
		return err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user = \"root\"\n"
	}
	text := fmt.Sprintf(`hostname = %q
origin = %[1]q
%s[spool]
path = "spool"
min_free = "0"
[dns]
servers = [%q]
[delivery]
port = %d
retry = ["1s"]
private_mx = true   # on loopback, as here
[local]
domains = [%[1]q]
mailbox = "mail/{user}/"
aliases = ""
forward = false     # of whoever tries this
%[5]s`, tryHost, user, t.names.Addr(), t.port, entries.String())
	if err := os.WriteFile(t.config(), []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(t.dir, "mail"), 0o700); err != nil {
		return err
	}
	t.say("The configuration, with two DKIM keys whose records are in the DNS by now.")
	t.show(text)
	return nil
}

// serve starts the daemon.
func (t *trial) serve(ctx context.Context) error {
	if err := t.start(ctx); err != nil {
		return err
	}
	t.say("The daemon runs (`signpost serve`, process %d).", t.daemon.Process.Pid)
	return nil
}

// showLog shows what the daemon said last, for a trial that went wrong.
func (t *trial) showLog() {
	if end := t.logEnd(); end != "" {
		fmt.Fprintln(t.out, "\nThe daemon's log ends so:")
		t.show(end)
	}
}

func (t *trial) stop() {
	t.scratch.stop()
	t.one.Close()
	t.two.Close()
	t.names.Close()
}

var queuedAs = regexp.MustCompile(`queued as ([0-9A-Z]{18})`)

// handIn gives a message to the sendmail program, and returns its queue id.
func (t *trial) handIn(ctx context.Context, what, to, text string) (string, error) {
	message := fmt.Sprintf("From: %s@%s\nTo: %s\nSubject: %s\n\n%s\n", t.login, tryHost, to, what, text)
	args := []string{"-C", t.config(), "-v", "-t", "-i"}
	cmd := exec.CommandContext(ctx, t.sendmail, args...)
	cmd.Stdin = strings.NewReader(message)
	out, err := cmd.CombinedOutput()
	t.say("A message is handed in, as cron and PHP do it: sendmail %s", strings.Join(args[2:], " "))
	t.show(message)
	fmt.Fprintf(t.out, "   exit status %d; it said: %s\n", cmd.ProcessState.ExitCode(), printable(strings.TrimSpace(string(out))))
	if err != nil {
		return "", fmt.Errorf("sendmail: %w: %s", err, bytes.TrimSpace(out))
	}
	m := queuedAs.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("sendmail -v did not say the queue id: %q", out)
	}
	return string(m[1]), nil
}

// deliver shows a message in the spool, then as the exchanger got it, and verifies its signatures.
func (t *trial) deliver(ctx context.Context) error {
	gate := stage.NewGate()
	t.one.Play(stage.Fault{At: stage.Mail, Times: 1, Wait: gate})
	id, err := t.handIn(ctx, "Hello", "bob@"+tryOne, "Signed and posted.\nA last line: grüß Gott.")
	if err != nil {
		return err
	}
	select {
	case <-gate.Arrived():
	case <-ctx.Done():
		return errors.New("the daemon did not connect to the exchanger")
	}
	path := filepath.Join(t.dir, "spool", "new", id)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("the message is not in the spool: %w", err)
	}
	queue, err := t.ask(ctx, "queue")
	if err != nil {
		return err
	}
	t.say("It is safe in the spool (spool/new/%s, %d octets) while the exchanger is slow to answer: signpost queue", id, info.Size())
	t.show(queue)
	gate.Open()
	got, err := t.one.Await(ctx, 1)
	if err != nil {
		return fmt.Errorf("the message did not arrive: %w", err)
	}
	if got[0].TLS == nil {
		return errors.New("the message arrived in clear, though the exchanger offered STARTTLS")
	}
	t.say("mx.%s has it, over TLS, from <%s> for <%s>:", tryOne, got[0].Sender.Addr, got[0].Rcpts[0].Addr)
	t.show(string(got[0].Content))
	return t.verify(ctx, got[0].Content)
}

func (t *trial) verify(ctx context.Context, content []byte) error {
	resolver := dns.New(dns.Options{Servers: []string{t.names.Addr()}})
	verdicts, err := sign.Verify(bytes.NewReader(content), func(name string) ([]string, error) {
		txt, _, err := resolver.TXT(ctx, name)
		return txt, err
	})
	if err != nil {
		return err
	}
	t.say("Its signatures, verified against the DNS:")
	for _, v := range verdicts {
		if v.Err != nil {
			return fmt.Errorf("the signature of %s (%s) does not verify: %w", v.Domain, v.Algorithm, v.Err)
		}
		fmt.Fprintf(t.out, "   good: d=%s s=%s a=%s\n", v.Domain, v.Selector, v.Algorithm)
	}
	if len(verdicts) != 2 {
		return fmt.Errorf("the message has %d signatures, not two", len(verdicts))
	}
	return nil
}

// greylist shows a message that is deferred first and delivered by the second try.
func (t *trial) greylist(ctx context.Context) error {
	id, err := t.handIn(ctx, "Greylisted", "carol@"+tryTwo, "Please try again.")
	if err != nil {
		return err
	}
	if _, err := t.two.Await(ctx, 1); err != nil {
		return fmt.Errorf("the greylisted message did not arrive: %w", err)
	}
	story, err := t.settled(ctx, id)
	if err != nil {
		return err
	}
	t.say("mx.%s refused it for the moment, and took the second try: signpost why %s", tryTwo, id)
	t.show(story)
	if strings.Count(story, "  tried") != 2 || !strings.Contains(story, "deferred (4.") || !strings.Contains(story, "sent (2.") {
		return errors.New("that is not one deferral and one delivery")
	}
	return nil
}

// settled waits until a message has left the queue, and returns its story.
func (t *trial) settled(ctx context.Context, id string) (string, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		story, err := t.ask(ctx, "why", id)
		if err != nil || !strings.Contains(story, "=> It is ") && !strings.Contains(story, "=> It waits") {
			return story, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("message %s did not leave the queue", id)
		}
	}
}

// bounce shows a recipient that fails, and the notice in the sender's mailbox.
func (t *trial) bounce(ctx context.Context) error {
	if _, err := t.handIn(ctx, "To nobody", "nobody@"+tryOne, "Is anybody there?"); err != nil {
		return err
	}
	box := filepath.Join(t.dir, "mail", t.login, "new")
	notice, err := firstFile(ctx, box)
	if err != nil {
		return fmt.Errorf("the bounce did not arrive: %w", err)
	}
	t.say("mx.%s knows no such recipient, and the bounce is in the mailbox of %s (mail/%s/):", tryOne, t.login, t.login)
	t.show(string(notice))
	for _, part := range []string{"multipart/report", "Action: failed", "Status: 5.1.1", "nobody@" + tryOne} {
		if !strings.Contains(string(notice), part) {
			return fmt.Errorf("the bounce does not say %q", part)
		}
	}
	return nil
}

// firstFile waits for a file in a folder that may not exist yet.
func firstFile(ctx context.Context, dir string) ([]byte, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return os.ReadFile(filepath.Join(dir, entries[0].Name()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
