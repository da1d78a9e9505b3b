package config

import (
	"io"

	"github.com/BurntSushi/toml"
)

// Show writes c as TOML that Read takes again for the same settings.
func (c Config) Show(w io.Writer) error {
	e := toml.NewEncoder(w)
	e.Indent = ""
	return e.Encode(c)
}
