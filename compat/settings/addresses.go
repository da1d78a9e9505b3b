package settings

import "strings"

// Addresses is the part of the configuration that says which addresses are of this host, and where they lead. Names are
// as the file has them, or in lower case where they are defaults.
type Addresses struct {
	Hostname   string    `toml:"hostname"`
	Origin     string    `toml:"origin"`
	Root       string    `toml:"root"`
	Postmaster string    `toml:"postmaster"`
	Local      LocalPart `toml:"local"`
}

// LocalPart is the part of the table [local] that belongs to Addresses.
type LocalPart struct {
	Domains   []string `toml:"domains"`
	Extension string   `toml:"extension"`
}

// ReadAddresses takes what it can from the file at path, over the defaults of this host. It looks for no mistakes: Read
// and mta/config do.
func ReadAddresses(path string) Addresses {
	a := Addresses{Postmaster: "root", Local: LocalPart{Extension: "+"}}
	if d, err := Load(path); err == nil {
		d.Fill(&a)
	}
	names := Settings{Hostname: a.Hostname, Origin: a.Origin}
	names.Complete()
	a.Hostname, a.Origin = names.Hostname, names.Origin
	if a.Local.Domains == nil {
		a.Local.Domains = []string{"localhost", a.Hostname}
	}
	return a
}

// IsLocal reports whether mail for domain is delivered on this host, as far as names can tell: domains are compared
// without regard to case, and no address literal is looked at.
func (a Addresses) IsLocal(domain string) bool {
	domain = strings.TrimSuffix(domain, ".")
	for _, own := range a.Local.Domains {
		if strings.EqualFold(strings.TrimSuffix(own, "."), domain) {
			return true
		}
	}
	return false
}
