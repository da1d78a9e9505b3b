// Command child is the process of one delivery, as the tests' helper starts it: a test binary may contain cgo, with
// which rights cannot be dropped.
package main

import (
	"os"

	"signpost/mta/local"
)

func main() { os.Exit(local.Child()) }
