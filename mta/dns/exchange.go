package dns

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// udpSize is what we take over UDP: larger answers would be cut into fragments, which get lost and can be forged.
const udpSize = 1232

// rcodeError is a server that answered without an answer.
type rcodeError struct {
	server string
	rcode  int
}

func (e rcodeError) Error() string {
	return fmt.Sprintf("%s answered %s", e.server, dns.RcodeToString[e.rcode])
}

// try asks one server once: over UDP, and over TCP where the answer does not fit.
func (c *Client) try(ctx context.Context, conf Conf, server, name string, kind uint16) (*dns.Msg, error) {
	limit := conf.Timeout
	if limit == 0 {
		limit = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := c.exchange(ctx, "udp", server, newQuery(name, kind, true))
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		m, err = c.exchange(ctx, "udp", server, newQuery(name, kind, false)) // it may not know OPT (RFC 6891 7)
	}
	if err == nil && m.Truncated {
		m, err = c.exchange(ctx, "tcp", server, newQuery(name, kind, true))
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", server, err)
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, rcodeError{server, m.Rcode}
	}
	return m, nil
}

func newQuery(name string, kind uint16, edns bool) *dns.Msg {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind) // with a random id
	q.AuthenticatedData = true                          // "tell me" (RFC 6840 5.7)
	if edns {
		q.SetEdns0(udpSize, false)
	}
	return q
}

// exchange sends q and reads its answer. Each exchange has a connection, and so a random port, of its own.
func (c *Client) exchange(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	octets, err := q.Pack()
	if err != nil {
		return nil, err
	}
	conn, err := c.opt.Dial(ctx, network, server)
	if err != nil {
		return nil, bare(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var m *dns.Msg
	if network == "tcp" {
		m, err = overTCP(conn, octets, q)
	} else {
		m, err = overUDP(conn, octets, q)
	}
	if err != nil && ctx.Err() != nil {
		err = errors.New("no answer in time")
	}
	return m, bare(err)
}

// bare leaves out addresses that the message names already.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// overUDP reads until the answer has come. What is not an answer to q may be late, or somebody's attempt to answer
// before the server does, and is passed over.
func overUDP(conn net.Conn, octets []byte, q *dns.Msg) (*dns.Msg, error) {
	if _, err := conn.Write(octets); err != nil {
		return nil, err
	}
	b := make([]byte, 64<<10)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return nil, err
		}
		if m := parseAnswer(b[:n], q); m != nil {
			return m, nil
		}
	}
}

// overTCP reads one answer of at most 64 KiB, which the two octets of its length see to (RFC 1035 4.2.2).
func overTCP(conn net.Conn, octets []byte, q *dns.Msg) (*dns.Msg, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(octets)))
	if _, err := conn.Write(append(framed, octets...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, err
	}
	m := parseAnswer(b, q)
	if m == nil || m.Truncated {
		return nil, errors.New("what came over TCP is not an answer")
	}
	return m, nil
}

// parseAnswer reads octets as an answer to q; nil: they are none. A truncated answer may end anywhere and has its
// header only.
func parseAnswer(b []byte, q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	err := m.Unpack(b)
	if m.Id != q.Id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return nil
	}
	if len(m.Question) != 1 || !sameQuestion(m.Question[0], q.Question[0]) {
		// Servers that do not understand a question may leave it out.
		if len(m.Question) != 0 || m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError {
			return nil
		}
	}
	if m.Truncated {
		m.Answer, m.Ns, m.Extra = nil, nil, nil
		return m
	}
	if err != nil {
		return nil
	}
	return m
}

func sameQuestion(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && canonical(a.Name) == canonical(b.Name)
}

func hexDecode(s string) ([]byte, error) { return hex.DecodeString(s) }

// unescape writes s, in the escaped form of zone files (RFC 1035 5.1), as octets.
func unescape(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
			i += 3
		default:
			i++
			b.WriteByte(s[i])
		}
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
