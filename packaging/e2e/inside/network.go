//go:build e2e

package inside

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The networks for documentation (RFC 5737): everything in them is this host, and yet no address of an interface.
var elsewhere = []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"}

// network brings loopback up and takes in the networks elsewhere.
func network() error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	for _, n := range elsewhere {
		if err := takeIn(netip.MustParsePrefix(n)); err != nil {
			return fmt.Errorf("taking in the network %s: %w", n, err)
		}
	}
	return nil
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r)
}

// takeIn adds a route of the kind that makes addresses local: ip route add local NETWORK dev lo (rtnetlink(7)).
func takeIn(p netip.Prefix) error {
	const loopback = 1 // index of the interface lo in every network name space
	addr := p.Addr().As4()
	order := binary.NativeEndian
	var b []byte
	b = append(b, unix.AF_INET, byte(p.Bits()), 0, 0, // family, length of destination and source, type of service
		unix.RT_TABLE_LOCAL, unix.RTPROT_BOOT, unix.RT_SCOPE_HOST, unix.RTN_LOCAL)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint16(order.AppendUint16(b, 8), unix.RTA_DST)
	b = append(b, addr[:]...)
	b = order.AppendUint16(order.AppendUint16(b, 8), unix.RTA_OIF)
	b = order.AppendUint32(b, loopback)

	head := order.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(b)))
	head = order.AppendUint16(head, unix.RTM_NEWROUTE)
	head = order.AppendUint16(head, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	head = order.AppendUint32(order.AppendUint32(head, 1), 0) // sequence number, port
	return askKernel(append(head, b...))
}

// askKernel sends one rtnetlink message and reads what became of it.
func askKernel(message []byte) error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.Sendto(s, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("an answer that is none: %x", answer[:n])
	}
	if errno := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(-errno)
	}
	return nil
}
