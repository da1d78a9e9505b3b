package spooltest

import (
	"fmt"
	"reflect"
	"time"

	"signpost/spool"
)

// Diff says how two envelopes differ, or nothing. Times are compared as moments.
func Diff(got, want spool.Envelope) string {
	got, want = plain(got), plain(want)
	if reflect.DeepEqual(got, want) {
		return ""
	}
	return fmt.Sprintf("envelope is\n%+v\nwant\n%+v", got, want)
}

// plain gives a copy without zones and monotonic readings, and with nil for an empty list.
func plain(env spool.Envelope) spool.Envelope {
	env.Arrived, env.Next = at(env.Arrived), at(env.Next)
	rcpts := env.Rcpts
	env.Rcpts = nil
	for _, r := range rcpts {
		r.Last.At = at(r.Last.At)
		env.Rcpts = append(env.Rcpts, r)
	}
	return env
}

func at(t time.Time) time.Time { return t.Round(0).UTC() }
