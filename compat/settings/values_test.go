package settings

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		back string // empty: text
		err  string
	}{
		{text: "0", want: 0},
		{text: "90s", want: 90 * time.Second, back: "1m30s"},
		{text: "5d", want: 120 * time.Hour},
		{text: "1d12h", want: 36 * time.Hour},
		{text: "36h", want: 36 * time.Hour, back: "1d12h"},
		{text: "250ms", want: 250 * time.Millisecond},
		{text: "15 m", want: 15 * time.Minute, back: "15m"},
		{text: "0s", want: 0, back: "0"},
		{text: "", err: `must be a duration such as "90s", "15m", "4h" or "5d", not ""`},
		{text: "300", err: `must be a duration such as "90s", "15m", "4h" or "5d", not "300"`},
		{text: "h", err: `must be a duration such as "90s", "15m", "4h" or "5d", not "h"`},
		{text: "1w", err: `must be a duration such as "90s", "15m", "4h" or "5d", not "1w"`},
		{text: "1m1h", err: `must be a duration such as "90s", "15m", "4h" or "5d", not "1m1h"`},
		{text: "1m1m", err: `must be a duration such as "90s", "15m", "4h" or "5d", not "1m1m"`},
		{text: "1.5h", err: `must be a duration such as "90s", "15m", "4h" or "5d", not "1.5h"`},
		{text: "-1h", err: `must not be negative, as "-1h" is`},
		{text: "106752d", err: `"106752d" is too long`},
		{text: "99999999999999999999d", err: `must be a duration such as "90s", "15m", "4h" or "5d", not "99999999999999999999d"`},
	}
	for _, tt := range tests {
		var d Duration
		err := d.UnmarshalText([]byte(tt.text))
		if got := errorText(err); got != tt.err {
			t.Errorf("%q: got error %q, want %q", tt.text, got, tt.err)
			continue
		}
		if tt.err == "" && (d.Std() != tt.want || d.String() != orElse(tt.back, tt.text)) {
			t.Errorf("%q: got %v, written %q", tt.text, d.Std(), d)
		}
	}
}

func TestSize(t *testing.T) {
	tests := []struct {
		text string
		want Size
		back string
		err  string
	}{
		{text: "0", want: 0},
		{text: "50MB", want: 50_000_000},
		{text: "64KiB", want: 65536},
		{text: "1024KiB", want: 1 << 20, back: "1MiB"},
		{text: "900B", want: 900},
		{text: "1001b", want: 1001, back: "1001B"},
		{text: "2 gb", want: 2e9, back: "2GB"},
		{text: "50", err: `must be a size such as "25MB", "64KiB" or "900B", not "50"`},
		{text: "50M", err: `must be a size such as "25MB", "64KiB" or "900B", not "50M"`},
		{text: "5MB5KB", err: `must be a size such as "25MB", "64KiB" or "900B", not "5MB5KB"`},
		{text: "", err: `must be a size such as "25MB", "64KiB" or "900B", not ""`},
		{text: "-1MB", err: `must not be negative, as "-1MB" is`},
		{text: "9223373TB", err: `"9223373TB" is too big`},
	}
	for _, tt := range tests {
		var s Size
		err := s.UnmarshalText([]byte(tt.text))
		if got := errorText(err); got != tt.err {
			t.Errorf("%q: got error %q, want %q", tt.text, got, tt.err)
			continue
		}
		if tt.err == "" && (s != tt.want || s.String() != orElse(tt.back, tt.text)) {
			t.Errorf("%q: got %d, written %q", tt.text, s, s)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func FuzzValues(f *testing.F) {
	f.Add("1d2h3m4s5ms")
	f.Add("64KiB")
	f.Fuzz(func(t *testing.T, text string) {
		var d, d2 Duration
		if d.UnmarshalText([]byte(text)) == nil {
			if d < 0 || d2.UnmarshalText([]byte(d.String())) != nil || d != d2 {
				t.Errorf("%q: read as %d, written %q, read again as %d", text, d, d, d2)
			}
		}
		var s, s2 Size
		if s.UnmarshalText([]byte(text)) == nil {
			if s < 0 || s2.UnmarshalText([]byte(s.String())) != nil || s != s2 {
				t.Errorf("%q: read as %d, written %q, read again as %d", text, s, s, s2)
			}
		}
	})
}
