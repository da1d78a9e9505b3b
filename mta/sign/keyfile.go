package sign

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Group is the group that may read key files besides root.
const Group = "signpost"

const (
	minBits    = 2048     // RFC 8301 3.2: signers should use at least 2048
	maxBits    = 8192     // larger ones cost whole seconds, and no verifier has to take more than 4096
	maxKeyFile = 64 << 10 // octets
)

// Types are the types of keys that Generate makes.
var Types = []string{"rsa2048", "rsa4096", "ed25519"}

// Generate makes a key of one of Types.
func Generate(kind string) (crypto.Signer, error) {
	switch kind {
	case "rsa2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "rsa4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no key type %q: there are %v", kind, Types)
}

// Load reads a private key: one PEM block, PKCS#8 or PKCS#1, RSA of 2048 to 8192 bits or Ed25519. A file that others
// than its owner, root and the group signpost can read or change is refused, as whoever has it can sign as the domain.
// The error says how to mend that.
func Load(path string) (crypto.Signer, error) {
	// O_NONBLOCK: a FIFO in place of the file must not stop the daemon's start.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err // names the path
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkAccess(path, info, groupID()); err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return key, nil
}

// checkAccess checks what info says of the key file path. group is the id of Group, or -1 where there is none.
func checkAccess(path string, info fs.FileInfo, group int) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	if info.Size() > maxKeyFile {
		return fmt.Errorf("has %d octets, which is no key", info.Size())
	}
	mode := info.Mode().Perm()
	if mode&0o007 != 0 {
		return fmt.Errorf("every user has access to it (mode %04o); %s", mode, mend(path, group))
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || mode&0o070 == 0 {
		return nil
	}
	if gid := int(st.Gid); gid != 0 && gid != group {
		return fmt.Errorf("group %s has access to it (mode %04o), and only root and %s may; %s",
			groupName(gid), mode, Group, mend(path, group))
	}
	return nil
}

// mend says in commands how to set the rights of a key file.
func mend(path string, group int) string {
	if group < 0 {
		return "to mend it: chmod 0600 " + path
	}
	return fmt.Sprintf("to mend it: chgrp %s %s && chmod 0640 %s", Group, path, path)
}

// groupID is the id of Group, or -1.
func groupID() int {
	g, err := user.LookupGroup(Group)
	if err != nil {
		return -1
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1
	}
	return id
}

func groupName(gid int) string {
	id := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// parseKey reads the one PEM block of a key file.
func parseKey(data []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New(`holds no PEM block ("-----BEGIN PRIVATE KEY-----")`)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("holds several PEM blocks; one file is one key")
	}
	key, err := parseBlock(block)
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if bits := k.N.BitLen(); bits < minBits || bits > maxBits {
			return nil, fmt.Errorf("is an RSA key of %d bits; %d to %d sign (RFC 8301 3.2)", bits, minBits, maxBits)
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("is a key of type %T; DKIM has RSA and Ed25519", key)
}

func parseBlock(block *pem.Block) (any, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("is encrypted; to mend it: openssl pkey -in OLD -out NEW")
		}
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("is encrypted; to mend it: openssl pkey -in OLD -out NEW")
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return nil, errors.New("is the public key; the private one is needed")
	default:
		return nil, fmt.Errorf("holds a PEM block %q; wanted are PRIVATE KEY (PKCS#8) and RSA PRIVATE KEY (PKCS#1)", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("reading its %s block: %w", block.Type, err)
	}
	return key, nil
}

// WriteFile writes key to a new file, PKCS#8 in PEM, and makes it durable. It never touches a file that exists: the
// error then is fs.ErrExist. A missing folder is made, if only its last part is missing. File and folder get the group
// signpost and become readable for it, where there is that group and we may give files to it; else only their owner
// can read them. The mode that the file got is returned.
func WriteFile(path string, key crypto.Signer) (fs.FileMode, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return 0, err
	}
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	mode, err := fill(f, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(path))
	}
	return mode, syncFolder(filepath.Dir(path))
}

// fill writes a key file and sets its rights before it holds anything.
func fill(f *os.File, data []byte) (fs.FileMode, error) {
	mode := fs.FileMode(0o600) // whatever the umask made of it
	if share(f.Name()) {
		mode = 0o640
	}
	if err := f.Chmod(mode); err != nil {
		return 0, err
	}
	if _, err := f.Write(data); err != nil {
		return 0, err
	}
	return mode, f.Sync()
}

func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o700)
	if share(dir) {
		mode = 0o750
	}
	return os.Chmod(dir, mode)
}

// share gives path to Group and reports whether that worked: an ordinary user who makes a key may not, and need not.
func share(path string) bool {
	group := groupID()
	return group >= 0 && os.Lchown(path, -1, group) == nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
