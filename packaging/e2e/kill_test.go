//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// The size of the test; ten times as much where $SIGNPOST_LONG is set.
const (
	killCallers  = 8
	killMessages = 2000
	killEach     = 10 // so many messages, one is for a recipient that does not exist
)

// handed is what became of one call of sendmail.
type handed struct {
	token  string
	lost   bool // its recipient does not exist
	status int
	said   string
}

// The daemon is killed at random moments while callers hand in: no message is lost, and only an attempt that was under
// way when it died may be made twice.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel() // it waits for the disk as much as for the processors
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		seed := uint64(time.Now().UnixNano())
		if text := os.Getenv("SIGNPOST_SEED"); text != "" {
			seed, _ = strconv.ParseUint(text, 10, 64)
		}
		t.Logf("seed %d", seed)
		n := killMessages
		if os.Getenv("SIGNPOST_LONG") != "" {
			n *= 10
		}
		began := time.Now()
		d, mx := outside(t)
		// What is deferred, because one side of a delivery died, is to be tried soon. It holds from the first kill on.
		config, err := os.ReadFile(inside.Config)
		if err != nil {
			t.Fatal(err)
		}
		write(t, inside.User(t, "root"), inside.Config, append(config, "[delivery]\nretry = [\"1s\"]\n"...), 0o644)
		ann := inside.User(t, "ann")
		calls, kills := killing(t, d, ann, rand.New(rand.NewPCG(seed, 0)), n)
		busy := time.Since(began)

		var accepted, refused int
		for _, c := range calls {
			switch c.status {
			case 0:
				accepted++
			case 75: // told to try again: sendmail cannot know what became of it
				refused++
			default:
				t.Errorf("%s: status %d: %s", c.token, c.status, c.said)
			}
		}
		copies := awaitTokens(t, mx, calls)
		bounces := awaitBounces(t, ann, calls)
		queueEmpty(t)
		twice := checkCopies(t, copies, kills, d.Log())
		twiceTold := checkBounces(t, bounces)
		late := refusedButSent(t, calls, copies, bounces)
		t.Logf("%d messages from %d callers in %v, settled after %v, %d kills: 0 of %d accepted ones lost, %d refused, %d of these sent nevertheless; "+
			"in flight at a kill and sent twice: %d; bounces put into the mailbox twice: %d",
			n, killCallers, busy.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), len(kills), accepted, refused, late, twice, twiceTold)
		if len(kills) < n/200 {
			t.Errorf("only %d kills", len(kills))
		}
		if limit := killCallers * len(kills); refused > limit {
			t.Errorf("%d messages were refused, more than can have been handed in at %d kills", refused, len(kills))
		}
	})
}

// killing hands in n messages and kills the daemon again and again until that is done. It gives the calls and when the
// daemon was killed; it runs at the end.
func killing(t *testing.T, d *inside.Running, who inside.Account, random *rand.Rand, n int) (calls []handed, kills []time.Time) {
	t.Helper()
	calls = make([]handed, n)
	next := make(chan int)
	var callers sync.WaitGroup
	for range killCallers {
		callers.Go(func() {
			for i := range next {
				calls[i] = handInToken(t, who, i)
			}
		})
	}
	go func() { // ends when the callers have taken all
		defer close(next)
		for i := range n {
			next <- i
		}
	}()
	done := make(chan struct{})
	go func() { callers.Wait(); close(done) }()
	for {
		// Some die while they look at what is there, some in full work.
		longest := [...]time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond}[random.IntN(3)]
		pause := time.NewTimer(time.Duration(random.Int64N(int64(longest))))
		select {
		case <-done:
			pause.Stop()
			return calls, kills
		case <-pause.C:
			kills = append(kills, time.Now())
			d.Kill()
			d.Start()
		}
	}
}

// handInToken runs sendmail with one message that can be told from all others.
func handInToken(t *testing.T, who inside.Account, i int) handed {
	h := handed{token: fmt.Sprintf("token-%d", i), lost: i%killEach == 0}
	rcpt := "bob@example.net"
	if h.lost {
		rcpt = "nobody@example.net"
	}
	body := "text\n"
	if i%25 == 0 {
		body = strings.Repeat("A longer message that takes its time.\n", 8000)
	}
	cmd := who.Command("/usr/sbin/sendmail", "-i", rcpt)
	cmd.Stdin = strings.NewReader("Subject: " + h.token + "\n\n" + body)
	out, err := cmd.CombinedOutput()
	h.status, h.said = cmd.ProcessState.ExitCode(), string(out)
	if err != nil && h.status < 0 {
		t.Errorf("%s: %v", h.token, err)
	}
	return h
}

// refusedButSent counts the messages that came although their caller was told to try again: the daemon died before it
// could answer, and had sent them before it was asked.
func refusedButSent(t *testing.T, calls []handed, copies map[string][]stage.Transaction, bounces map[string][]string) (n int) {
	t.Helper()
	for _, c := range calls {
		if c.status == 0 || copies[c.token] == nil && bounces[c.token] == nil {
			continue
		}
		n++
		if !strings.Contains(c.said, "nothing is known of message") && !strings.Contains(c.said, "may have been accepted") {
			t.Errorf("%s was sent, but its caller was told: %s", c.token, c.said)
		}
	}
	return n
}

var subjectToken = regexp.MustCompile(`(?m)^Subject: (token-[0-9]+)\r?$`)

func tokenOf(content []byte) string {
	if m := subjectToken.FindSubmatch(content); m != nil {
		return string(m[1])
	}
	return ""
}

// awaitTokens waits until every accepted message for a recipient that exists has arrived, and gives all copies.
func awaitTokens(t *testing.T, mx *stage.Exchanger, calls []handed) map[string][]stage.Transaction {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for n := 1; ; n++ {
		got, err := mx.Await(ctx, n)
		copies := make(map[string][]stage.Transaction)
		for _, m := range got {
			copies[tokenOf(m.Content)] = append(copies[tokenOf(m.Content)], m)
		}
		var missing []string
		for _, c := range calls {
			if c.status == 0 && !c.lost && copies[c.token] == nil {
				missing = append(missing, c.token)
			}
		}
		if len(missing) == 0 {
			return copies
		}
		if err != nil {
			t.Fatalf("%d messages that were accepted have not arrived: %.20q", len(missing), missing)
		}
		n = max(n, len(got))
	}
}

// awaitBounces waits until every message for nobody has come back, and gives all notices.
func awaitBounces(t *testing.T, who inside.Account, calls []handed) map[string][]string {
	t.Helper()
	var told map[string][]string
	inside.AwaitFile(t, "/var/mail/"+who.Name, func(box []byte) bool {
		told = make(map[string][]string)
		for _, m := range bytes.Split(box, []byte("\n\nFrom ")) {
			told[tokenOf(m)] = append(told[tokenOf(m)], messageID(m))
		}
		for _, c := range calls {
			if c.status == 0 && c.lost && told[c.token] == nil {
				return false
			}
		}
		return true
	})
	return told
}

func messageID(content []byte) string {
	_, rest, _ := strings.Cut(string(content), "\nMessage-ID: ")
	id, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(id)
}

var (
	receivedID = regexp.MustCompile(`(?m)^\tby www1\.example\.test id ([0-9A-Z]{18});\r$`)
	loggedSent = regexp.MustCompile(`(?m)^time=(\S+) level=INFO msg=attempt id=([0-9A-Z]{18}) .* status=sent `)
)

// checkCopies looks at what arrived more than once. The daemon logs what it has recorded: of a message that came
// twice, no copy but the last may have got so far, and a kill must lie between any two.
func checkCopies(t *testing.T, copies map[string][]stage.Transaction, kills []time.Time, log string) (twice int) {
	t.Helper()
	recorded := make(map[string]time.Time)
	for _, m := range loggedSent.FindAllStringSubmatch(log, -1) {
		at, err := time.Parse(time.RFC3339, m[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, again := recorded[m[2]]; again {
			t.Errorf("%s was sent twice by its own log", m[2])
		}
		recorded[m[2]] = at
	}
	for token, list := range copies {
		id := ""
		for i, m := range list {
			found := receivedID.FindSubmatch(m.Content)
			if found == nil {
				t.Fatalf("%s: no id in\n%.1000s", token, m.Content)
			}
			if id != "" && id != string(found[1]) {
				t.Errorf("%s was accepted twice: as %s and %s", token, id, found[1])
			}
			id = string(found[1])
			if i == 0 {
				continue
			}
			if recorded[id].Before(m.At.Truncate(time.Millisecond)) && !recorded[id].IsZero() {
				t.Errorf("%s (%s) was sent again though it was recorded as sent at %v", token, id, recorded[id])
			}
			// What the daemon has written may be read a little after its death.
			if !slices.ContainsFunc(kills, func(k time.Time) bool { return k.Before(m.At) && k.After(list[i-1].At.Add(-100*time.Millisecond)) }) {
				t.Errorf("%s (%s) was sent at %v and at %v, without a kill in between", token, id, list[i-1].At, m.At)
			}
		}
		twice += len(list) - 1
	}
	if limit := 20 * len(kills); twice > limit { // [delivery] connections
		t.Errorf("%d copies too many, more than can have been under way at %d kills", twice, len(kills))
	}
	return twice
}

// checkBounces looks at notices that came more than once: a second copy is the same notice (an attempt that was under
// way), never a second notice.
func checkBounces(t *testing.T, told map[string][]string) (twice int) {
	t.Helper()
	for token, ids := range told {
		for _, id := range ids[1:] {
			if id != ids[0] {
				t.Errorf("two notices about %s: %s and %s", token, ids[0], id)
			}
			twice++
		}
	}
	return twice
}
