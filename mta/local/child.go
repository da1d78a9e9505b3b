package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"signpost/spool"
)

const (
	connFD = 3       // of a child: the daemon's connection
	maxJob = 1 << 20 // octets of a job in JSON
)

// Child is the process of one delivery, or of one look at a ~/.forward, which the helper started as the recipient: its job
// stands on descriptor 0, the daemon is on descriptor 3. It returns the exit status; anything but 0 means that it has answered nothing.
func Child() int {
	if err := child(); err != nil {
		fmt.Fprintf(os.Stderr, "deliver: %v\n", err)
		return 70
	}
	return 0
}

func child() error {
	unix.Umask(0o077)
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // a core would hold somebody's mail
	var j job
	if err := json.NewDecoder(io.LimitReader(os.Stdin, maxJob)).Decode(&j); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	if err := j.become(); err != nil {
		return fmt.Errorf("becoming %s: %w", j.User.Name, err)
	}
	// Whatever is open besides (nothing should be) must not reach a program: CVE-2014-3956.
	if err := unix.CloseRange(connFD, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		closeOnExec()
	}
	if err := unix.SetNonblock(connFD, true); err != nil {
		return err
	}
	conn := os.NewFile(connFD, "daemon")
	defer conn.Close()
	if j.reads() {
		j.confine()
		return j.tell(conn)
	}
	if err := j.vouched(); err != nil {
		return writeJSON(conn, frameResult, answerOf(spool.ResultOf(err, time.Time{})))
	}
	j.confine()
	return j.serve(conn)
}

// closeOnExec does what close_range(2) does where the kernel has none.
func closeOnExec() {
	for fd := connFD; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
}

// confine leaves the writer of a mailbox nothing but its folder, and the reader of a ~/.forward nothing to write, where
// the kernel has Landlock. A program must be free to do its work.
func (j *job) confine() {
	if j.reads() {
		_ = landlock.V5.BestEffort().RestrictPaths(landlock.RODirs("/"))
		return
	}
	if j.Kind == spool.Program || j.Path == os.DevNull {
		return
	}
	_, _ = time.Now().Local().Zone() // reads the time zone, which is out of reach from here on
	dir := filepath.Dir(strings.TrimSuffix(j.Path, "/"))
	rules := []landlock.Rule{landlock.RWDirs(dir).WithRefer()}
	if strings.HasSuffix(j.Path, "/") {
		if real, err := filepath.EvalSymlinks(j.Path); err == nil { // a Maildir may have been moved
			rules = append(rules, landlock.RWDirs(real).WithRefer())
		}
	}
	// Best effort: the rights of the account are the wall, this is one more before it.
	_ = landlock.V5.BestEffort().RestrictPaths(rules...)
}

// serve takes the content and answers.
func (j *job) serve(conn *os.File) error {
	if err := writeFrame(conn, frameGo, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// A daemon that stops sending must not hold a mailbox for ever.
	if err := conn.SetReadDeadline(time.Now().Add(j.Timeout)); err != nil {
		return err
	}
	content := newContentReader(conn)
	watch := &watched{contentReader: content, conn: conn, gone: cancel, ended: make(chan struct{})}
	result := j.run(ctx, watch)
	if err := watch.drain(); err != nil {
		return fmt.Errorf("reading the message: %w", err)
	}
	if err := writeJSON(conn, frameResult, answerOf(result)); err != nil {
		return err
	}
	return nil
}

// watched is the content from the daemon. Behind its end it waits for the daemon to go away before it has an answer,
// and then ends the delivery: a program that nobody waits for is killed, as the message will come again.
type watched struct {
	*contentReader
	conn    *os.File
	gone    func()
	started bool
	ended   chan struct{}
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.contentReader.Read(p)
	if err == io.EOF && !w.started {
		w.started = true
		w.conn.SetReadDeadline(time.Time{}) // here, before drain may set one that ends the wait
		go w.wait()
	}
	return n, err
}

func (w *watched) wait() {
	defer close(w.ended)
	var b [1]byte
	if _, err := w.conn.Read(b[:]); !os.IsTimeout(err) {
		w.gone()
	}
}

// drain reads what a failed delivery has left unread, so that the daemon comes to the answer, and ends the wait.
func (w *watched) drain() error {
	_, err := io.Copy(io.Discard, w)
	if w.started {
		w.conn.SetReadDeadline(time.Unix(1, 0))
		<-w.ended
	}
	return err
}
