package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// known is a Users of literal accounts.
type known struct {
	users  []User
	groups map[string]int
	err    error // instead of ErrNoUser
}

func (k known) missing() error {
	if k.err != nil {
		return k.err
	}
	return ErrNoUser
}

func (k known) LookupName(_ context.Context, name string) (User, error) {
	for _, u := range k.users {
		if u.Name == name {
			return u, nil
		}
	}
	return User{}, k.missing()
}

func (k known) LookupUID(_ context.Context, uid int) (User, error) {
	for _, u := range k.users {
		if u.UID == uid {
			return u, nil
		}
	}
	return User{}, k.missing()
}

func (k known) LookupGroup(_ context.Context, name string) (int, error) {
	if gid, ok := k.groups[name]; ok {
		return gid, nil
	}
	return 0, k.missing()
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

const passwd = `root:x:0:0:root:/root:/bin/bash
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
ann:x:1001:1001:Ann O. Nym, Room 1,,:/home/ann:/bin/sh
bob:x:1002:1002:& Co:/home/bob:/bin/sh
short:x:1
bad:x:4294967295:1:::
+::::::
`

func TestPasswd(t *testing.T) {
	dir := t.TempDir()
	p := Passwd{
		Path:   write(t, filepath.Join(dir, "passwd"), passwd, 0o644),
		Group:  write(t, filepath.Join(dir, "group"), "mail:x:8:\nodd:x\n", 0o644),
		Getent: write(t, filepath.Join(dir, "getent"), "#!/bin/sh\nexit 2\n", 0o755),
	}
	ctx := context.Background()
	ann := User{Name: "ann", UID: 1001, GID: 1001, Home: "/home/ann", FullName: "Ann O. Nym"}
	if u, err := p.LookupName(ctx, "ann"); u != ann || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := p.LookupUID(ctx, 1001); u != ann || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := p.LookupName(ctx, "bob"); u.FullName != "Bob Co" || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
	if u, _ := p.LookupName(ctx, "www-data"); !u.NoLogin {
		t.Errorf("%+v can log in", u)
	}
	if gid, err := p.LookupGroup(ctx, "mail"); gid != 8 || err != nil {
		t.Errorf("%d, %v", gid, err)
	}
	for _, name := range []string{"", "Ann", "+", "-x", "a:b", "../x", "nobody"} {
		if _, err := p.LookupName(ctx, name); !errors.Is(err, ErrNoUser) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"short", "bad"} {
		if _, err := p.LookupName(ctx, name); err == nil || errors.Is(err, ErrNoUser) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := p.LookupGroup(ctx, "odd"); err == nil {
		t.Error("a group without gid")
	}
}

func TestGetent(t *testing.T) {
	tests := []struct {
		name, script, user string
		found, temporary   bool
	}{
		{"what the file does not hold is asked for", `[ "$1 $2" = "passwd dave" ] && echo dave:x:5000:5000:Dave:/home/dave:/bin/sh`, "dave", true, false},
		{"status 2 is no such user", "exit 2", "dave", false, false},
		{"any other status is temporary", "exit 3", "dave", false, true},
		{"death by a signal is temporary", "kill -9 $$", "dave", false, true},
		{"an account of another name is none", "echo root:x:0:0:root:/root:/bin/sh", "0", false, false},
		{"an empty answer is none", "exit 0", "dave", false, false},
		{"no answer is temporary", "exec sleep 60", "dave", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			script := write(t, filepath.Join(dir, "getent"), "#!/bin/sh\n"+tt.script+"\n", 0o755)
			p := Passwd{Path: filepath.Join(dir, "none"), Getent: script}
			if strings.Contains(tt.script, "sleep") {
				p.Timeout = 100 * time.Millisecond
			}
			u, err := p.LookupName(context.Background(), tt.user)
			if found := err == nil; found != tt.found {
				t.Fatalf("%+v, %v", u, err)
			}
			if temporary := err != nil && !errors.Is(err, ErrNoUser); temporary != tt.temporary {
				t.Errorf("temporary %v: %v", temporary, err)
			}
		})
	}
}
