package mta_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// outgoing lists all places that may make connections, and with what. Mail has one; the
// others lead to name servers and to sockets of this host.
var outgoing = map[string]string{
	"mta/dial.go":           "net.Dialer",                                   // mail, as the mode permits
	"mta/dns/client.go":     "net.Dialer",                                   // name servers, as the configuration or resolv.conf(5) names them
	"mta/control/http.go":   "net.Dialer http.Client http.Transport",        // control.sock
	"mta/local/client.go":   "net.Dialer",                                   // the socket of the delivery helper
	"mta/rights.go":         "net.DialUnix",                                 // the same, to see who answers
	"spool/submit_wire.go":  "unix.Socket unix.Connect unix.SendmsgBuffers", // submit.sock
	"compat/stdin_linux.go": "unix.Syscall6",                                // kcmp(2)
}

// onlyUnix are those of outgoing that dial, and sockets of this host only.
var onlyUnix = []string{"mta/control/http.go", "mta/local/client.go"}

// harmless are the names of package net that connect to nothing. All others are looked at.
var harmless = strings.Fields(`
	Addr Conn Listener Error OpError AddrError DNSError ErrClosed IP IPNet IPMask TCPAddr UDPAddr UnixAddr
	TCPConn UDPConn UnixConn TCPListener UnixListener PacketConn Buffers
	Listen ListenUnix ListenUnixgram ListenPacket ListenConfig FileListener Pipe
	TCPAddrFromAddrPort ParseIP ParseCIDR SplitHostPort JoinHostPort IPv4 CIDRMask InterfaceAddrs Interfaces Interface`)

// dialers are the names of other packages that can connect to something.
var dialers = map[string][]string{
	"net/http":                    strings.Fields("Client Transport DefaultClient DefaultTransport Get Head Post PostForm"),
	"net/textproto":               {"Dial"},
	"crypto/tls":                  strings.Fields("Dial DialWithDialer Dialer"),
	"syscall":                     strings.Fields("Socket Connect Sendto Sendmsg SendmsgN Syscall Syscall6 RawSyscall RawSyscall6"),
	"golang.org/x/sys/unix":       strings.Fields("Socket Connect Sendto Sendmsg SendmsgN SendmsgBuffers Syscall Syscall6 RawSyscall RawSyscall6"),
	"github.com/miekg/dns":        strings.Fields("Client Conn Dial DialTimeout DialWithTLS Exchange ExchangeContext ExchangeConn Transfer"),
	"github.com/emersion/go-smtp": strings.Fields("Dial DialTLS DialStartTLS NewClient NewClientStartTLS NewClientLMTP Client SendMail SendMailTLS"),
}

// neverImported can connect to something in more ways than are worth listing.
var neverImported = []string{"net/smtp", "net/rpc", "net/rpc/jsonrpc", "net/http/httputil", "golang.org/x/net/proxy"}

// Every connection that leaves a program of ours is made in a place of the list, and that for mail is one.
func TestEveryConnectionIsMadeInAKnownPlace(t *testing.T) {
	found := map[string][]string{}
	eachFile(t, func(name string, f *ast.File) {
		imports := importsOf(t, name, f)
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Obj == nil && connects(imports[pkg.Name], sel.Sel.Name) {
				used := pkg.Name + "." + sel.Sel.Name
				if !slices.Contains(strings.Fields(outgoing[name]), used) {
					t.Errorf("%s uses %s", name, used)
				}
				found[name] = append(found[name], used)
			}
			return true
		})
	})
	for name, names := range outgoing {
		for _, used := range strings.Fields(names) {
			if !slices.Contains(found[name], used) {
				t.Errorf("%s does not use %s any more: take it from the list", name, used)
			}
		}
	}
}

// What dials sockets of this host says so, in a word that no address can change.
func TestHelpersDialSocketsOfThisHostOnly(t *testing.T) {
	eachFile(t, func(name string, f *ast.File) {
		if !slices.Contains(onlyUnix, name) {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(sel.Sel.Name, "Dial") {
				return true
			}
			if lit, ok := call.Args[1].(*ast.BasicLit); !ok || lit.Value != `"unix"` {
				t.Errorf("%s calls %s with another network than \"unix\"", name, sel.Sel.Name)
			}
			return true
		})
	})
}

// The SMTP client is in one hand, which asks the mode before each transaction: a kept connection is not dialed.
func TestOnlyTheOutletHasTheClient(t *testing.T) {
	eachFile(t, func(name string, f *ast.File) {
		if name == "mta/dial.go" {
			return
		}
		imports := importsOf(t, name, f)
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				pkg, _ := sel.X.(*ast.Ident)
				if pkg != nil && imports[pkg.Name] == "signpost/mta/smtpout" && sel.Sel.Name == "Client" {
					t.Errorf("%s names smtpout.Client", name)
				}
			}
			if id, ok := n.(*ast.Ident); ok && strings.HasPrefix(name, "mta/") && (id.Name == "passKey" || id.Name == "newDialer") {
				t.Errorf("%s names %s", name, id.Name)
			}
			return true
		})
	})
}

func connects(path, name string) bool {
	if path == "net" {
		return !slices.Contains(harmless, name)
	}
	return slices.Contains(dialers[path], name)
}

// importsOf maps the names of packages in f to their paths.
func importsOf(t *testing.T, name string, f *ast.File) map[string]string {
	t.Helper()
	imports := map[string]string{}
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(neverImported, path) {
			t.Errorf("%s imports %s", name, path)
		}
		as := strings.TrimPrefix(filepath.Base(path), "go-")
		if i.Name != nil {
			as = i.Name.Name
		}
		if as == "." {
			t.Errorf("%s imports the names of %s", name, path)
		}
		imports[as] = path
	}
	return imports
}

// eachFile gives every Go file of the programs and their packages, by its path below the module.
func eachFile(t *testing.T, do func(name string, f *ast.File)) {
	t.Helper()
	files := 0
	for _, top := range []string{"cmd", "compat", "mta", "spool"} {
		err := filepath.WalkDir(filepath.Join("..", top), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			files++
			do(strings.TrimPrefix(filepath.ToSlash(path), "../"), f)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were seen", files)
	}
}
