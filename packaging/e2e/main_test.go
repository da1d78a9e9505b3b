//go:build e2e

// Package e2e holds the tests of the installed package, with the programs that people use around it.
package e2e

import (
	"testing"

	"signpost/packaging/e2e/inside"
)

func TestMain(m *testing.M) { inside.Main(m) }
