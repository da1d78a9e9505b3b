package provenance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"signpost/spool"
)

// host is a pretended /proc.
type host struct {
	t   *testing.T
	dir string
}

func newHost(t *testing.T) host { return host{t, t.TempDir()} }

// file writes a file of a process.
func (h host) file(pid int, name, text string) {
	h.t.Helper()
	dir := filepath.Join(h.dir, strconv.Itoa(pid))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// process adds a process that was started at some tick.
func (h host) process(pid, parent, start int, name string) {
	h.t.Helper()
	h.file(pid, "stat", statLine(pid, parent, start, name))
}

func statLine(pid, parent, start int, name string) string {
	return fmt.Sprintf("%d (%s) S %d%s %d 4096\n", pid, name, parent, strings.Repeat(" 0", 17), start)
}

func alive() bool { return true }

func TestOf(t *testing.T) {
	h := newHost(t)
	h.process(9, 1, 5, "cron")
	h.process(20, 9, 10, "sh")
	h.process(30, 20, 11, "sendmail")
	h.file(30, "cgroup", "0::/system.slice/cron.service\n")
	h.file(30, "loginuid", "1000")
	h.file(20, "cmdline", "sh\x00-c\x00backup") // never read of strangers
	got, err := proc{h.dir}.of(30, alive)
	want := spool.Process{Name: "sh", Parent: "cron", PID: 20, Unit: "cron.service", Login: "1000"}
	if err != nil || got != want {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

func TestOfAProcessThatIsNotThereAnyMore(t *testing.T) {
	h := newHost(t)
	h.process(20, 1, 10, "php-fpm")
	h.process(30, 20, 11, "sendmail")
	if got, err := (proc{h.dir}).of(31, alive); err == nil {
		t.Errorf("%+v of a pid that nobody has", got)
	}
	if got, err := (proc{h.dir}).of(30, func() bool { return false }); err == nil {
		t.Errorf("%+v of a process that has ended", got)
	}
	again := func() bool { h.process(30, 20, 12, "sendmail"); return true }
	if got, err := (proc{h.dir}).of(30, again); err != nil || got.Name != "php-fpm" {
		t.Errorf("%+v, %v: a change behind the end is none of ours", got, err)
	}
	h.file(30, "stat", "garbage")
	if got, err := (proc{h.dir}).of(30, alive); err == nil {
		t.Errorf("%+v of garbage", got)
	}
}

func TestParentThatHasEnded(t *testing.T) {
	h := newHost(t)
	h.process(1, 0, 1, "systemd")
	h.process(30, 1, 11, "sendmail")
	h.process(31, 99, 11, "sendmail")
	h.file(31, "cgroup", "0::/a.service\n")
	if got, err := (proc{h.dir}).of(30, alive); err != nil || got != (spool.Process{}) {
		t.Errorf("%+v, %v: process 1 called nobody", got, err)
	}
	if got, err := (proc{h.dir}).of(31, alive); err != nil || got != (spool.Process{Unit: "a.service"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseStat(t *testing.T) {
	tests := []struct {
		text string
		want stat
		ok   bool
	}{
		{statLine(1, 2, 3, "cron"), stat{"cron", 2, 3}, true},
		{statLine(1, 2, 3, ") R 1 (x"), stat{") R 1 (x", 2, 3}, true},
		{statLine(1, 2, 3, "a\nb"), stat{"a\nb", 2, 3}, true},
		{statLine(1, 2, 3, ""), stat{"", 2, 3}, true},
		{"", stat{}, false},
		{"1 )x( S 2", stat{}, false},
		{"1 (x) S 2 3", stat{}, false},
		{"1 (x) S y" + strings.Repeat(" 0", 30), stat{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseStat([]byte(tt.text)); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %+v, %v, want %+v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
	}
}

func TestGroup(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := []struct{ text, unit, container string }{
		{"0::/system.slice/php8.2-fpm.service\n", "php8.2-fpm.service", ""},
		{"0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", ""},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service\n", "backup.service", ""},
		{"0::/system.slice/docker-" + id + ".scope\n", "", "docker 0123456789ab"},
		{"12:pids:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n", "", "docker 0123456789ab"},
		{"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope/container\n", "", "podman 0123456789ab"},
		{"0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-" + id + ".scope\n", "", "containerd 0123456789ab"},
		{"11:cpu:/kubepods/burstable/pod1/" + id + "\n", "", "kubernetes 0123456789ab"},
		{"0::/lxc.payload.web/system.slice/cron.service\n", "cron.service", "lxc web"},
		{"0::/machine.slice/machine-web.scope\n", "", "machine web"},
		{"0::/\n", "", ""},
		{"9:name=systemd:/\n4:memory:/jobs/7\n0::/\n", "", ""},
		{"4:memory:/x.service\n1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service", ""},
		{"", "", ""},
		{"::\n:\n\n", "", ""},
	}
	for _, tt := range tests {
		unit, container := parseGroup(groupPath(tt.text))
		if unit != tt.unit || container != tt.container {
			t.Errorf("%q: %q, %q, want %q, %q", tt.text, unit, container, tt.unit, tt.container)
		}
	}
}

func TestSecretsAreLeftOut(t *testing.T) {
	tests := []struct{ line, want string }{
		{"php-fpm: pool www", "php-fpm: pool www"},
		{"backup --host=db --password=s3cret -v", "backup --host=db --password=*** -v"},
		{"backup --password s3cret -v", "backup --password *** -v"},
		{"backup --password -v", "backup --password -v"},
		{"env PGPASSWORD=s3cret API_TOKEN=x psql", "env PGPASSWORD=*** API_TOKEN=*** psql"},
		{"sh -c mysql --password=s3cret -e x", "sh -c mysql --password=*** -e x"},
		{"curl https://ann:s3cret@example.org/a@b", "curl https://ann:***@example.org/a@b"},
		{"curl https://example.org:8080/a@b", "curl https://example.org:8080/a@b"},
		{"curl https://ann@example.org/", "curl https://ann@example.org/"},
		{"curl https://[::1]:80/", "curl https://[::1]:80/"},
		{"cp passwd backup", "cp passwd backup"},
	}
	for _, tt := range tests {
		if got := strings.Join(withoutSecrets(strings.Fields(tt.line)), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.line, got, tt.want)
		}
	}
}

// The real /proc: this test is what starts the helper, which looks around itself, and at which is looked.
func TestSelfAndOfAgree(t *testing.T) {
	if os.Getenv("PROVENANCE_HELPER") != "" {
		p := Self()
		fmt.Printf("%d\n%s\n%s\n%s\n", p.PID, p.Name, p.Command, p.Dir)
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSelfAndOfAgree$")
	cmd.Env = append(os.Environ(), "PROVENANCE_HELPER=1")
	cmd.Dir = t.TempDir()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var name, command string
	if _, err := fmt.Fscanf(out, "%d\n%s\n%s", &pid, &name, &command); err != nil {
		t.Fatal(err)
	}
	seen, err := Of(cmd.Process.Pid, alive)
	if err != nil || seen.PID != os.Getpid() || pid != os.Getpid() || seen.Name != name || name == "" {
		t.Errorf("seen %+v, %v; it says pid %d, name %q; this is %d", seen, err, pid, name, os.Getpid())
	}
	if seen.Command != "" || seen.Dir != "" {
		t.Errorf("a stranger's memory and folder were looked at: %+v", seen)
	}
	in.Close()
	cmd.Wait()
	if got, err := Of(cmd.Process.Pid, alive); err == nil {
		t.Errorf("%+v of a process that has ended", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(statLine(1, 2, 3, "x")), "0::/system.slice/cron.service\n", "a --password=x https://u:p@h/")
	f.Add([]byte("1 ("), "::", "=")
	f.Fuzz(func(t *testing.T, stat []byte, group, line string) {
		parseStat(stat)
		unit, container := parseGroup(groupPath(group))
		if len(unit) > maxUnit || len(container) > maxUnit {
			t.Errorf("%q, %q", unit, container)
		}
		words := strings.FieldsFunc(line, isBlank)
		if got := withoutSecrets(words); len(got) != len(words) {
			t.Errorf("%q of %q", got, words)
		}
	})
}

func BenchmarkSelf(b *testing.B) {
	for b.Loop() {
		Self()
	}
}

func BenchmarkOf(b *testing.B) {
	pid := os.Getpid()
	for b.Loop() {
		if _, err := Of(pid, alive); err != nil {
			b.Fatal(err)
		}
	}
}
