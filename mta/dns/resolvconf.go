package dns

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// Conf is what resolv.conf(5) says, as far as it concerns mail: search list and sort list are left out.
type Conf struct {
	Servers []string      // address and port, at most three
	Timeout time.Duration // for one try; 0: not said
	TrustAD bool          // the AD bit of the servers is to be believed
}

// maxServers is how many servers are asked; the C library takes three too.
const maxServers = 3

// ReadResolvConf reads the file at path. Where there is none, or it names no server, the server of this host is meant.
func ReadResolvConf(path string) (Conf, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return parseResolvConf(strings.NewReader(""))
	}
	if err != nil {
		return Conf{}, err
	}
	defer f.Close()
	return parseResolvConf(f)
}

func parseResolvConf(r io.Reader) (Conf, error) {
	var c Conf
	lines := bufio.NewScanner(io.LimitReader(r, 64<<10))
	lines.Buffer(nil, 128<<10)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text, _, _ = strings.Cut(text, ";")
		f := strings.Fields(text)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil && len(c.Servers) < maxServers {
				c.Servers = append(c.Servers, net.JoinHostPort(a.String(), "53"))
			}
		case "options":
			c.options(f[1:])
		}
	}
	if len(c.Servers) == 0 {
		c.Servers = []string{"127.0.0.1:53"}
	}
	return c, lines.Err()
}

func (c *Conf) options(list []string) {
	for _, o := range list {
		if o == "trust-ad" {
			c.TrustAD = true
		}
		if s, ok := strings.CutPrefix(o, "timeout:"); ok {
			if n, err := strconv.Atoi(s); err == nil && n > 0 {
				c.Timeout = time.Duration(min(n, 30)) * time.Second // the C library's limit
			}
		}
	}
}
