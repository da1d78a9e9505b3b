package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"signpost/compat/settings"
)

// Rate is a number of messages in a time, written as "100/1m". The zero value, "0", is any number.
type Rate struct {
	Messages int
	Per      settings.Duration
}

const (
	maxRateMessages = 1_000_000
	maxRatePer      = 24 * time.Hour
)

var errRate = errors.New(`must be messages in a time, such as "100/1m", or "0" for any number`)

// UnmarshalText reads messages/duration or "0".
func (r *Rate) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*r = Rate{}
		return nil
	}
	number, duration, _ := strings.Cut(string(text), "/")
	n, err := strconv.Atoi(number)
	if err != nil || number[0] == '+' {
		return fmt.Errorf("%w, not %q", errRate, text)
	}
	if n < 1 || n > maxRateMessages {
		return fmt.Errorf("must be of 1 to %d messages, not %d", maxRateMessages, n)
	}
	var per settings.Duration
	if err := per.UnmarshalText([]byte(duration)); err != nil {
		return fmt.Errorf("%w: the time %w", errRate, err)
	}
	if per.Std() < time.Second || per.Std() > maxRatePer {
		return fmt.Errorf("must be over a time from 1s to 24h, not %q", duration)
	}
	*r = Rate{Messages: n, Per: per}
	return nil
}

// MarshalText writes r as UnmarshalText reads it.
func (r Rate) MarshalText() ([]byte, error) {
	if r.Messages == 0 {
		return []byte("0"), nil
	}
	per, err := r.Per.MarshalText()
	return fmt.Appendf(nil, "%d/%s", r.Messages, per), err
}
