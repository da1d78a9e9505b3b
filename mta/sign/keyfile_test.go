package sign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWriteFileThenLoad(t *testing.T) {
	for _, kind := range []string{"rsa2048", "ed25519"} {
		key, err := Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "dkim")
		path := filepath.Join(dir, "key.pem")
		mode, err := WriteFile(path, key)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != mode || mode&0o137 != 0 {
			t.Errorf("mode %v, said to be %v, %v", info.Mode(), mode, err)
		}
		if folder, err := os.Stat(dir); err != nil || folder.Mode().Perm()&0o027 != 0 {
			t.Errorf("folder has mode %v, %v", folder.Mode(), err)
		}
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Public(), key.Public()) {
			t.Errorf("%s: another key was read than written", kind)
		}
	}
}

func TestWriteFileNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteFile(path, testKey()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want %v", err, fs.ErrExist)
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Errorf("file holds %q now", data)
	}
	link := path + ".link"
	if err := os.Symlink(path+".target", link); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteFile(link, testKey()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("through a symbolic link: error %v, want %v", err, fs.ErrExist)
	}
}

// fakeInfo is a file as checkAccess sees it.
type fakeInfo struct {
	mode fs.FileMode
	gid  uint32
	size int64
}

func (f fakeInfo) Name() string       { return "key.pem" }
func (f fakeInfo) Size() int64        { return f.size }
func (f fakeInfo) Mode() fs.FileMode  { return f.mode }
func (f fakeInfo) ModTime() time.Time { return time.Time{} }
func (f fakeInfo) IsDir() bool        { return f.mode.IsDir() }
func (f fakeInfo) Sys() any           { return &syscall.Stat_t{Gid: f.gid} }

func TestCheckAccess(t *testing.T) {
	const ours = 123
	tests := []struct {
		name  string
		info  fakeInfo
		group int
		want  string // part of the error; empty: none
	}{
		{"ours alone", fakeInfo{mode: 0o600, gid: 7}, ours, ""},
		{"readable for our group", fakeInfo{mode: 0o640, gid: ours}, ours, ""},
		{"readable for root's group", fakeInfo{mode: 0o640}, ours, ""},
		{"readable for root's group without ours", fakeInfo{mode: 0o640}, -1, ""},
		{"readable for another group", fakeInfo{mode: 0o640, gid: 7}, ours, "chgrp signpost /k/key.pem && chmod 0640 /k/key.pem"},
		{"writable for another group", fakeInfo{mode: 0o620, gid: 7}, ours, "mode 0620"},
		{"readable for another group without ours", fakeInfo{mode: 0o640, gid: 7}, -1, "chmod 0600 /k/key.pem"},
		{"readable for all", fakeInfo{mode: 0o644}, ours, "every user has access to it (mode 0644)"},
		{"writable for all", fakeInfo{mode: 0o602}, ours, "every user"},
		{"a folder", fakeInfo{mode: fs.ModeDir | 0o700}, ours, "regular file"},
		{"a FIFO", fakeInfo{mode: fs.ModeNamedPipe | 0o600}, ours, "regular file"},
		{"huge", fakeInfo{mode: 0o600, size: 1 << 40}, ours, "no key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkAccess("/k/key.pem", tt.info, tt.group)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLoadRefusesWhatOthersCanRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, err := WriteFile(path, testKey()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("error %v, want one that names the file and how to mend it", err)
	}
}

func TestLoadIsNotStoppedByAFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("error %v", err)
	}
}

func TestParseKey(t *testing.T) {
	block := func(kind string, der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return block("PRIVATE KEY", der, err)
	}
	rsaKey := testKey().(*rsa.PrivateKey)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	public, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	tests := []struct {
		name string
		data []byte
		want string // part of the error; empty: none
	}{
		{"RSA in PKCS#8", pkcs8(rsaKey), ""},
		{"RSA in PKCS#1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), ""},
		{"Ed25519 in PKCS#8", pkcs8(ed), ""},
		{"text before the block", append([]byte("Our key\n"), pkcs8(ed)...), ""},
		{"RSA of 1024 bits", pkcs8(weak), "of 1024 bits; 2048 to 8192 sign"},
		{"elliptic curve", pkcs8(curve), "DKIM has RSA and Ed25519"},
		{"elliptic curve in SEC 1", block("EC PRIVATE KEY", []byte("x"), nil), `block "EC PRIVATE KEY"`},
		{"public key", block("PUBLIC KEY", public, err), "the private one is needed"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte("x"), nil), "openssl pkey"},
		{"encrypted in the old way", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY",
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "x"}, Bytes: []byte("x")}), "openssl pkey"},
		{"garbage in the block", block("PRIVATE KEY", []byte("garbage"), nil), "reading its PRIVATE KEY block"},
		{"two keys", append(pkcs8(ed), pkcs8(rsaKey)...), "several PEM blocks"},
		{"no PEM", []byte("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="), "no PEM block"},
		{"empty", nil, "no PEM block"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := parseKey(tt.data)
			if (key == nil) != (err != nil) {
				t.Errorf("key %v beside error %v", key, err)
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	der, _ := x509.MarshalPKCS8PrivateKey(ed)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n"))
	f.Add(bytes.Repeat([]byte("-----BEGIN "), 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := parseKey(data); (key == nil) != (err != nil) {
			t.Errorf("key %v beside error %v", key, err)
		}
	})
}
