package settings

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, written as "90s", "4h", "5d" or "1h30m". It is never negative. A bare number is no
// duration but for "0", since nobody agrees on what its unit would be.
type Duration time.Duration

var durationUnits = []struct {
	name string
	size time.Duration
}{
	{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
}

var errDuration = errors.New(`must be a duration such as "90s", "15m", "4h" or "5d"`)

// UnmarshalText reads numbers with a unit of d, h, m, s or ms, the longest first: "1d12h".
func (d *Duration) UnmarshalText(text []byte) error {
	rest := string(text)
	if rest == "0" {
		*d = 0
		return nil
	}
	if strings.HasPrefix(rest, "-") {
		return fmt.Errorf("must not be negative, as %q is", rest)
	}
	total, units := time.Duration(0), durationUnits
	for first := true; rest != "" || first; first = false {
		n, name, after, ok := numberAndUnit(rest)
		if !ok {
			return fmt.Errorf("%w, not %q", errDuration, text)
		}
		for len(units) > 0 && units[0].name != name {
			units = units[1:]
		}
		if len(units) == 0 {
			return fmt.Errorf("%w, not %q", errDuration, text)
		}
		size := units[0].size
		if n > uint64(math.MaxInt64-total)/uint64(size) {
			return fmt.Errorf("%q is too long", text)
		}
		total += time.Duration(n) * size
		rest, units = after, units[1:]
	}
	*d = Duration(total)
	return nil
}

// String writes d as UnmarshalText reads it, to the millisecond.
func (d Duration) String() string {
	if d <= 0 {
		return "0"
	}
	var b strings.Builder
	rest := time.Duration(d)
	for _, u := range durationUnits {
		if n := rest / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			rest %= u.size
		}
	}
	return b.String()
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Std is d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Durations is a list of lengths of time.
type Durations []Duration

// Std is ds as the standard library's type.
func (ds Durations) Std() []time.Duration {
	std := make([]time.Duration, len(ds))
	for i, d := range ds {
		std[i] = d.Std()
	}
	return std
}

// Size is a number of octets, written as "25MB" or "64KiB". It is never negative.
type Size int64

// Units of Size.
const (
	KB Size = 1000
	MB      = 1000 * KB
	GB      = 1000 * MB
	TB      = 1000 * GB

	KiB Size = 1024
	MiB      = 1024 * KiB
	GiB      = 1024 * MiB
	TiB      = 1024 * GiB
)

var sizeUnits = []struct {
	name string
	size Size
}{
	{"TB", TB}, {"GB", GB}, {"MB", MB}, {"KB", KB}, {"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1},
}

var errSize = errors.New(`must be a size such as "25MB", "64KiB" or "900B"`)

// UnmarshalText reads a number with a unit of B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (of 1024); the
// case of the letters does not matter. "0" needs no unit.
func (s *Size) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*s = 0
		return nil
	}
	if strings.HasPrefix(string(text), "-") {
		return fmt.Errorf("must not be negative, as %q is", text)
	}
	n, name, rest, ok := numberAndUnit(string(text))
	if !ok || rest != "" {
		return fmt.Errorf("%w, not %q", errSize, text)
	}
	for _, u := range sizeUnits {
		if !strings.EqualFold(u.name, name) {
			continue
		}
		if n > math.MaxInt64/uint64(u.size) {
			return fmt.Errorf("%q is too big", text)
		}
		*s = Size(n) * u.size
		return nil
	}
	return fmt.Errorf("%w, not %q", errSize, text)
}

// String writes s with the unit that leaves the shortest whole number.
func (s Size) String() string {
	if s <= 0 {
		return "0"
	}
	best := ""
	for _, u := range sizeUnits {
		if s%u.size == 0 {
			if text := strconv.FormatInt(int64(s/u.size), 10) + u.name; best == "" || len(text) < len(best) {
				best = text
			}
		}
	}
	return best
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// numberAndUnit splits "15m30s" into 15, "m" and "30s". A blank may stand before the unit.
func numberAndUnit(text string) (n uint64, unit, rest string, ok bool) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err := strconv.ParseUint(text[:digits], 10, 63)
	if err != nil {
		return 0, "", "", false
	}
	unit = strings.TrimPrefix(text[digits:], " ")
	end := strings.IndexAny(unit, "0123456789")
	if end < 0 {
		end = len(unit)
	}
	return n, unit[:end], unit[end:], true
}
