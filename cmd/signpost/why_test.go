package main

import (
	"strings"
	"testing"

	"signpost/spool"
)

func TestCallerIsToldInPartsOfItsOwn(t *testing.T) {
	tests := []struct {
		name string
		who  *spool.Origin
		want string
	}{
		{"nobody", nil, ""},
		{"a notice", &spool.Origin{Via: "bounce", UID: -1}, ""},
		{"all of it", &spool.Origin{Via: "socket", UID: 33, Login: "www-data", PID: 7,
			Seen:   spool.Process{Name: "sh", Parent: "php-fpm", PID: 6, Unit: "php-fpm.service", Login: "ann"},
			Claims: spool.Process{Command: "sh -c \x1b[2J", Dir: "/srv", Script: "33:a.php", RealUser: "bob"}},
			"      as it looked: called by sh of php-fpm (pid 6), unit php-fpm.service, login ann\n" +
				"      as it says: command \"sh -c \\x1b[2J\", in /srv, PHP script 33:a.php, real user bob\n"},
		{"from drop/", &spool.Origin{Via: "drop", UID: 0, Claims: spool.Process{Name: "cron", PID: 5, Container: "docker 0123456789ab"}},
			"      as it says: called by cron (pid 5), container docker 0123456789ab\n"},
	}
	for _, tt := range tests {
		var b strings.Builder
		printCaller(&b, tt.who)
		if got := b.String(); got != tt.want {
			t.Errorf("%s:\n%swant\n%s", tt.name, got, tt.want)
		}
	}
}
