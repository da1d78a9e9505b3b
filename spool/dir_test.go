package spool_test

import (
	"testing"

	"signpost/spool"
	"signpost/spool/spooltest"
)

// open opens a spool and fails the test on anything it warns of.
func open(t *testing.T, path string, opt spool.Options) *spool.Dir {
	t.Helper()
	if opt.Warn == nil {
		opt.Warn = func(err error) { t.Logf("warning: %v", err) }
	}
	if opt.Corrupt == nil {
		opt.Corrupt = func(id spool.ID, path string, err error) { t.Errorf("corrupt: %s: %v", path, err) }
	}
	if opt.MinFree == 0 {
		opt.MinFree = -1
	}
	d, err := spool.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirKeepsTheContract(t *testing.T) {
	spooltest.Run(t, func(t *testing.T, path string) spool.Store { return open(t, path, spool.Options{}) })
}

func TestDirKeepsTheContractWithoutNamelessFiles(t *testing.T) {
	disk := spooltest.NewDisk(spooltest.Strict, "/")
	disk.NoTemp = true
	spooltest.Run(t, func(t *testing.T, path string) spool.Store {
		for _, dir := range parents(path) {
			disk.Mkdir(dir, 0o700)
		}
		return open(t, path, spool.Options{FS: disk})
	})
}

// parents gives the folders above path, the highest first.
func parents(path string) []string {
	var list []string
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			list = append(list, path[:i])
		}
	}
	return list
}
