//go:build e2e

package e2e

import (
	"encoding/base64"
	"io"
	"io/fs"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpost/packaging/e2e/inside"
)

const spoolDir = "/var/spool/signpost"

// names lists a folder. One that is not there is empty.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// spooled lists every regular file of messages in the spool, whole or not.
func spooled(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, part := range []string{"new", "cur", "tmp", "drop", "corrupt"} {
		filepath.WalkDir(filepath.Join(spoolDir, part), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				list = append(list, path)
			}
			return nil
		})
	}
	return list
}

// write makes a file that belongs to who, with the folders it needs.
func write(t *testing.T, who inside.Account, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, who.UID, who.GID); err != nil {
		t.Fatal(err)
	}
}

// noise gives n octets of every value that do not repeat soon, the same in every run.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// decoder undoes a Content-Transfer-Encoding.
func decoder(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(encoding) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	}
	return r
}
