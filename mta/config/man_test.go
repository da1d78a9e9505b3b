package config

import (
	"bufio"
	"encoding"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const manPage = "../../man/signpost.toml.5"

// keysOf lists the keys of a struct by its tags, as table.key. A table that may have any keys is one key.
func keysOf(t reflect.Type, prefix string) []string {
	var keys []string
	for f := range t.Fields() {
		name := prefix + f.Tag.Get("toml")
		ft := f.Type
		if ft.Kind() == reflect.Slice {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct && !reflect.PointerTo(ft).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) && (prefix == "" || f.Type == ft) {
			keys = append(keys, keysOf(ft, name+".")...)
			continue
		}
		keys = append(keys, name)
	}
	return keys
}

// keysOfMan lists the keys that the man page has entries for, each with the default shown ("" where none is).
func keysOfMan(t *testing.T) map[string]string {
	f, err := os.Open(manPage)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\(dq`, `"`, `\(lB`, "[", `\(rB`, "]", `\&`, "")
	keys, prefix := map[string]string{}, "?"
	for s := bufio.NewScanner(f); s.Scan(); {
		line := unescape.Replace(s.Text())
		switch {
		case strings.HasPrefix(line, ".Sh "):
			prefix = "?"
		case line == ".Ss Top of the file":
			prefix = ""
		case strings.HasPrefix(line, ".Ss ["):
			prefix = strings.Trim(line[len(".Ss "):], "[]") + "."
		case strings.HasPrefix(line, ".It Ic ") && prefix != "?":
			key, value, _ := strings.Cut(line[len(".It Ic "):], " No = ")
			value, isDefault := strings.CutPrefix(value, "Li ")
			if !isDefault {
				value = ""
			}
			keys[prefix+key] = value
		}
	}
	return keys
}

func TestManPageHasEveryKey(t *testing.T) {
	want := slices.Sorted(slices.Values(keysOf(reflect.TypeFor[Config](), "")))
	got := slices.Sorted(maps.Keys(keysOfMan(t)))
	if !slices.Equal(got, want) {
		t.Errorf("the man page has\n%q\nwant\n%q", got, want)
	}
}

func TestShowHasEveryKey(t *testing.T) {
	c, err := parse(full)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(keysOf(reflect.TypeFor[Config](), "")))
	got := slices.Sorted(maps.Keys(shown(t, c)))
	if !slices.Equal(got, want) {
		t.Errorf("show prints\n%q\nwant\n%q", got, want)
	}
}

func TestManPageSaysTheDefaults(t *testing.T) {
	c := fixed()
	var r Route
	r.SetDefault()
	var k DKIM
	k.SetDefault()
	c.Routes, c.DKIM = []Route{r}, []DKIM{k}
	got := shown(t, c)
	for key, man := range keysOfMan(t) {
		if man != "" && got[key] != man {
			t.Errorf("%s: the man page says %s, the default is %s", key, man, got[key])
		}
	}
}

// freeTables are the tables that may have any keys.
var freeTables = []string{"spool.quota.users", "rewrite.senders"}

// shown gives what Show prints, by key, each as TOML.
func shown(t *testing.T, c Config) map[string]string {
	t.Helper()
	var b strings.Builder
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := toml.Decode(b.String(), &map[string]any{}); err != nil {
		t.Fatal(err)
	}
	keys, prefix := map[string]string{}, ""
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, " = "); ok && !slices.Contains(freeTables, strings.TrimSuffix(prefix, ".")) {
			keys[prefix+key] = value
		} else if table := strings.Trim(line, "[]"); slices.Contains(freeTables, table) {
			keys[table], prefix = "{}", table+"."
		} else if line != "" && !ok {
			prefix = table + "."
		}
	}
	return keys
}

func TestManPageLint(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("mandoc is not installed")
	}
	out, _ := exec.Command(mandoc, "-T", "lint", manPage).Output() // its status says what its output says
	for line := range strings.Lines(string(out)) {
		// Whether the other pages are installed here is no fault of this one.
		if !strings.Contains(line, "referenced manual not found") && !strings.Contains(line, "mandoc.db") {
			t.Error(strings.TrimSpace(line))
		}
	}
}
