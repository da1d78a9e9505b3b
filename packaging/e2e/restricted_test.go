//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"signpost/mta/stage"
	"signpost/packaging/e2e/inside"
)

// caller is somebody with few rights who calls sendmail.
type caller struct {
	name   string
	as     []string // what stands before the program's name; started by root
	sender string   // by default
	uid    int      // in Received
	away   int      // status while there is no daemon; 0: he can leave the message in drop/
}

func callers(t *testing.T) []caller {
	t.Helper()
	ann := inside.User(t, "ann")
	setpriv := func(args ...string) []string { return append([]string{"/usr/bin/setpriv"}, args...) }
	become := func(uid, gid int) []string {
		return []string{fmt.Sprint("--reuid=", uid), fmt.Sprint("--regid=", gid), "--clear-groups"}
	}
	asAnn := become(ann.UID, ann.GID)
	// A mount name space of its own, in which everything but /run/signpost cannot be written to.
	const readOnly = `set -e
for at in $(awk '{ print $2 }' /proc/mounts); do mount -o remount,bind,ro "$at" 2>/dev/null || :; done
mount --bind /run/signpost /run/signpost
mount -o remount,bind,rw /run/signpost
if touch /var/spool/signpost/drop/new/x /tmp/x 2>/dev/null; then echo "it is not read-only" >&2; exit 99; fi
exec "$@"`
	// A /proc of its own, or none.
	proc := func(how string) []string {
		return append([]string{"/usr/bin/unshare", "--mount", "/bin/sh", "-c", `set -e; ` + how + `; exec "$@"`, "sh"}, setpriv(asAnn...)...)
	}
	caged := append(setpriv(asAnn...), inside.Cage()...)
	return []caller{
		{"an ordinary user", setpriv(asAnn...), "ann", ann.UID, 0},
		{"with no new privileges", setpriv(append(asAnn, "--no-new-privs")...), "ann", ann.UID, 0},
		{"without any capability to come by", setpriv(append(asAnn, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")...), "ann", ann.UID, 0},
		{"with a group of nobody", setpriv(become(ann.UID, 65534)...), "ann", ann.UID, 0},
		// That of whoever a user name space does not know, so it is nobody in particular.
		{"the account nobody", setpriv(become(65534, 65534)...), "uid65534", 65534, 0},
		{"a uid without an account", setpriv(become(12345, 12345)...), "uid12345", 12345, 0},
		{"a uid without an account in group 0", setpriv(become(1000660000, 0)...), "uid1000660000", 1000660000, 0},
		{"root without capabilities", setpriv("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"), "root", 0, 0},
		{"a user name space of his own", append(setpriv(asAnn...), "/usr/bin/unshare", "--user"), "ann", ann.UID, 0},
		{"root of a user name space", append(setpriv(asAnn...), "/usr/bin/unshare", "--user", "--map-root-user"), "ann", ann.UID, 0},
		{"root of a user name space with processes and mounts of its own",
			append(setpriv(asAnn...), "/usr/bin/unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"), "ann", ann.UID, 0},
		{"where /proc is closed", proc("mount -t tmpfs -o mode=0700 none /proc"), "ann", ann.UID, 0},
		{"where there is no /proc", proc("umount --lazy --recursive /proc"), "ann", ann.UID, 0},
		{"where /proc shows nobody else", proc("mount -t proc -o hidepid=invisible proc /proc"), "ann", ann.UID, 0},
		{"whom the kernel gives no socket but those of the host", caged, "ann", ann.UID, 0},
		{"such a one where /proc is closed", append(proc("mount -t tmpfs -o mode=0700 none /proc"), inside.Cage()...), "ann", ann.UID, 0},
		{"in a container with nothing but the socket's folder", container("/run/signpost", ann), "ann", ann.UID, 75},
		{"in a container with the folders of socket and drop", container("/run/signpost /var/spool/signpost/drop", ann), "ann", ann.UID, 0},
		{"where only the socket's folder can be written to", append([]string{"/usr/bin/unshare", "--mount", "/bin/sh", "-c", readOnly, "sh"}, setpriv(asAnn...)...),
			"ann", ann.UID, 75},
	}
}

// container is a root with sendmail and these folders of the host in it, and nothing else: no accounts, no /dev, no /proc.
func container(folders string, who inside.Account) []string {
	const script = `set -e
box=$(mktemp -d)
mount -t tmpfs none "$box"
chmod 755 "$box"
mkdir -p "$box/usr/sbin"
cp /usr/sbin/sendmail "$box/usr/sbin/"
for folder in $1; do
	mkdir -p "$box$folder"
	mount --bind "$folder" "$box$folder"
done
who=$2
shift 2
exec chroot --userspec="$who" --groups= "$box" "$@"`
	return []string{"/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh", folders, fmt.Sprintf("%d:%d", who.UID, who.GID)}
}

// command prepares sendmail as the caller would run it, from a folder that is his to read and without an environment.
func (c caller) command(t *testing.T, args ...string) *exec.Cmd {
	cmd := inside.Command(t, c.as[0], append(append(c.as[1:len(c.as):len(c.as)], sendmailPath), args...)...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin:/usr/sbin"}
	return cmd
}

// Callers with few rights hand in as everybody does, with a daemon and without one, and the message tells who they are.
func TestRestrictedCallers(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d, mx := outside(t)
		list := callers(t)
		for i, c := range list {
			c.handsIn(t, fmt.Sprintf("with%d", i))
		}
		inside.Messages(t, mx, len(list))
		d.Stop()
		dropping := 0
		for i, c := range list {
			if c.away == 0 {
				c.handsIn(t, fmt.Sprintf("without%d", i))
				dropping++
				continue
			}
			cmd := c.command(t, "-i", "bob@example.net")
			cmd.Stdin = strings.NewReader("Subject: s\n\nb\n")
			before := len(spooled(t))
			if status, said := inside.Status(t, cmd); status != c.away || !strings.Contains(said, "/run/signpost/submit.sock") || !strings.Contains(said, spoolDir+"/drop") ||
				len(spooled(t)) != before {
				t.Errorf("%s, without a daemon: status %d: %s", c.name, status, said)
			}
		}
		d.Start()
		got := make(map[string]stage.Transaction)
		for _, m := range inside.Messages(t, mx, len(list)+dropping) {
			got[parse(t, m.Content).Get("Subject")] = m
		}
		for i, c := range list {
			c.arrived(t, got[fmt.Sprintf("with%d", i)])
			if c.away == 0 {
				c.arrived(t, got[fmt.Sprintf("without%d", i)])
			}
		}
		queueEmpty(t)
	})
}

func (c caller) handsIn(t *testing.T, subject string) {
	t.Helper()
	cmd := c.command(t, "-i", "bob@example.net")
	cmd.Stdin = strings.NewReader("Subject: " + subject + "\n\nb\n")
	if status, said := inside.Status(t, cmd); status != 0 || said != "" {
		t.Errorf("%s, %s: status %d: %s", c.name, subject, status, said)
	}
}

func (c caller) arrived(t *testing.T, m stage.Transaction) {
	t.Helper()
	if m.Content == nil {
		t.Errorf("%s: nothing arrived", c.name)
		return
	}
	checkEnvelope(t, m, c.sender+"@"+inside.Hostname, "bob@example.net")
	p := parse(t, m.Content)
	if want := fmt.Sprintf("(from %s@localhost; uid %d)", c.sender, c.uid); !strings.Contains(p.Get("Received"), want) {
		t.Errorf("%s: Received: %s, want %s", c.name, p.Get("Received"), want)
	}
}

// sandbox is a service that the service manager keeps from almost everything.
type sandbox struct {
	name       string
	properties string // of systemd.exec(5), parted by line ends
	login      string // what Received calls it; empty: the uid of an account that exists only while it runs
	away       int    // status while there is no daemon
}

// strict is what a careful author of a unit writes.
const strict = `ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateNetwork=yes
PrivateIPC=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=
AmbientCapabilities=
UMask=0777
LimitNOFILE=16
LimitNPROC=20
MemoryMax=64M
`

var sandboxes = []sandbox{
	{"an account of its own", "DynamicUser=yes", "", 75},
	{"an account of its own, all forbidden", strict + "DynamicUser=yes", "", 75},
	{"an account of its own, all forbidden but drop", strict + "DynamicUser=yes\nReadWritePaths=/var/spool/signpost/drop", "", 0},
	{"an ordinary user, all forbidden", strict + "User=ann", "ann", 75},
	{"an ordinary user, all forbidden but drop", strict + "User=ann\nReadWritePaths=/var/spool/signpost/drop", "ann", 0},
	{"a name space of users", strict + "User=ann\nPrivateUsers=yes\nReadWritePaths=/var/spool/signpost/drop", "ann", 0},
	{"root without rights", strict + "User=root\nReadWritePaths=/var/spool/signpost/drop", "root", 0},
	{"an empty file system", "User=ann\nTemporaryFileSystem=/:ro\nBindReadOnlyPaths=/usr/sbin/sendmail\nBindPaths=/run/signpost", "ann", 75},
	{"an empty file system and drop", "User=ann\nTemporaryFileSystem=/:ro\nBindReadOnlyPaths=/usr/sbin/sendmail\nBindPaths=/run/signpost /var/spool/signpost/drop",
		"ann", 0},
	{"no socket, only drop", strict + "User=ann\nInaccessiblePaths=/run/signpost\nReadWritePaths=/var/spool/signpost/drop", "ann", 0},
}

// unit is the name of the service of index i; the file beside it holds what goes in and what comes out.
func (s sandbox) unit(i int) (name, file string) {
	return fmt.Sprintf("sandbox%d.service", i), fmt.Sprintf("/srv/sandbox%d", i)
}

// write makes the unit.
func (s sandbox) write(t *testing.T, i int) {
	t.Helper()
	name, file := s.unit(i)
	writeFile(t, "/etc/systemd/system/"+name, "[Service]\nType=oneshot\nExecStart="+sendmailPath+" -i bob@example.net\nStandardInput=file:"+file+
		".in\nStandardOutput=truncate:"+file+".out\nStandardError=inherit\n"+s.properties+"\n", 0o644)
}

// run hands a message in as the service.
func (s sandbox) run(t *testing.T, system *inside.System, i int, subject string) (status int, said string) {
	t.Helper()
	name, file := s.unit(i)
	writeFile(t, file+".in", "Subject: "+subject+"\n\nb\n", 0o600)
	inside.Status(t, system.Command("systemctl", "start", name))
	text, err := os.ReadFile(file + ".out")
	if err != nil {
		t.Fatal(err)
	}
	shown := inside.Output(t, system.Command("systemctl", "show", "--property=ExecMainStatus", "--value", name))
	if status, err = strconv.Atoi(strings.TrimSpace(shown)); err != nil {
		t.Fatal(err)
	}
	return status, string(text)
}

// Services hand in whatever the service manager forbids them, and what they leave without a daemon is theirs.
func TestSandboxedServices(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		text, mx := exampleNet(t)
		writeFile(t, inside.Config, text, 0o644)
		ann := inside.User(t, "ann")
		for i, s := range sandboxes {
			s.write(t, i)
		}
		system := inside.Boot(t)
		systemctl := func(args ...string) { inside.Output(t, system.Command("systemctl", args...)) }
		want := 0
		for i, s := range sandboxes {
			if status, said := s.run(t, system, i, fmt.Sprintf("with%d", i)); status != 0 || said != "" {
				t.Errorf("%s: status %d: %s", s.name, status, said)
				continue
			}
			want++
		}
		inside.Messages(t, mx, want)
		systemctl("stop", "signpost.socket", "signpost.service")
		for i, s := range sandboxes {
			switch status, said := s.run(t, system, i, fmt.Sprintf("without%d", i)); {
			case status != s.away, status == 0 && said != "", status != 0 && !strings.Contains(said, spoolDir+"/drop"):
				t.Errorf("%s, without a daemon: status %d: %s", s.name, status, said)
			case status == 0:
				want++
			}
		}
		systemctl("start", "signpost.socket", "signpost.service")
		for _, m := range inside.Messages(t, mx, want) {
			subject := parse(t, m.Content).Get("Subject")
			var i int
			if _, err := fmt.Sscanf(strings.TrimPrefix(strings.TrimPrefix(subject, "with"), "out"), "%d", &i); err != nil || i >= len(sandboxes) {
				t.Fatalf("Subject: %s", subject)
			}
			sandboxes[i].arrived(t, m, ann)
		}
		queueEmpty(t)
	})
}

// arrived checks who handed the message in.
func (s sandbox) arrived(t *testing.T, m stage.Transaction, ann inside.Account) {
	t.Helper()
	received := parse(t, m.Content).Get("Received")
	c := caller{name: s.name, sender: s.login, uid: map[string]int{"ann": ann.UID, "root": 0}[s.login]}
	if s.login == "" {
		if _, err := fmt.Sscanf(received, "(from uid%d@", &c.uid); err != nil || c.uid < 61184 || c.uid > 65519 { // systemd.exec(5), DynamicUser=
			t.Errorf("%s: Received: %s", s.name, received)
			return
		}
		c.sender = fmt.Sprint("uid", c.uid)
	}
	c.arrived(t, m)
}

// sendmail is called by programs that have set limits on themselves.
func TestLimitedCaller(t *testing.T) {
	inside.Run(t, inside.Callers, nil, func(t *testing.T) {
		d := inside.Daemon(t, "# as it is\n")
		ann := inside.User(t, "ann")
		check := func(when string) {
			t.Helper()
			for i, limit := range []string{"ulimit -n 8", "ulimit -s 256", "ulimit -t 5", "umask 777", "umask 0", "cd /; rmdir home/ann/gone"} {
				subject := fmt.Sprintf("%s%d", when, i)
				script := `mkdir -p gone; cd gone; ` + limit + `; printf 'Subject: ` + subject + `\n\nb\n' | /usr/sbin/sendmail -i root`
				if status, said := inside.Status(t, ann.Command("/bin/sh", "-c", script)); status != 0 || said != "" {
					t.Errorf("%s: status %d: %s", limit, status, said)
				}
				if when == "with" {
					awaitMail(t, inside.User(t, "root"), "Subject: "+subject+"\n")
				}
			}
		}
		check("with")
		d.Stop()
		check("without")
		for _, f := range spooled(t) {
			(fact{path: f, mode: 0o640, owner: "ann:signpost"}).check(t)
		}
		d.Start()
		for i := range 6 {
			awaitMail(t, inside.User(t, "root"), fmt.Sprintf("Subject: without%d\n", i))
		}
		if s := d.PID(); s == 0 || syscall.Kill(s, 0) != nil {
			t.Error("the daemon does not run any more")
		}
	})
}
