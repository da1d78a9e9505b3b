package mta

import (
	"testing"

	"signpost/mta/config"
)

func TestThePostmasterIsOnThisHost(t *testing.T) {
	for _, tt := range []struct {
		name    string
		domains []string
		want    string
	}{
		{"the hostname is local", []string{"localhost", "host.example.test"}, "host.example.test"},
		{"it is not", []string{"localhost", "example.test"}, "localhost"},
		{"no domain is local", nil, "example.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Config{Local: config.Local{Domains: tt.domains}}
			cfg.Hostname, cfg.Origin = "host.example.test", "example.test"
			if got := localDomain(cfg); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
