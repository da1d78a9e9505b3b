package config

import (
	"os"
	"strings"
	"testing"
)

// TestFaults reads testdata/faults.txt: files, each behind a line "--- name", with what Read says of it behind "=>".
// Run with UPDATE=1 to write down what it says now.
func TestFaults(t *testing.T) {
	const path = "testdata/faults.txt"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	for entry := range strings.SplitSeq(strings.TrimPrefix(string(data), "--- "), "\n--- ") {
		name, rest, _ := strings.Cut(entry, "\n")
		text, want, found := strings.Cut(rest+"\n", "=>\n")
		if !found {
			t.Fatalf("%s: no => line", name)
		}
		got := "ok"
		if _, err := parse(text); err != nil {
			got = strings.ReplaceAll(err.Error(), "x.toml:", "")
		}
		now.WriteString("--- " + name + "\n" + text + "=>\n" + got + "\n")
		if want = strings.TrimRight(want, "\n"); got != want {
			t.Errorf("%s:\ngot:\n%s\nwant:\n%s", name, got, want)
		}
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
