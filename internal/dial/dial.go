// Package dial is the only door to addresses that customers give: endpoints of their stores, their callbacks.
//
// A name can resolve to anything, and to something else a second later, so nothing is decided by name or ahead of
// time: a Guard looks at the address that is about to be connected, in the very call that connects it. What lies
// inside the operator's own machine or network is refused unless the operator allowed its range.
//
// Whoever uses a Guard under HTTP must not let a proxy dial in its place and must not follow redirects through
// another dialer. Start reading at Guard.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Setting is the name of the setting that allows ranges, for messages.
const Setting = "MILLRACE_ALLOWED_ENDPOINT_NETWORKS"

// connectTimeout bounds one connection attempt, name look-up included; callers bound the whole by their context.
const connectTimeout = 10 * time.Second

// Guard connects to public addresses and to those that are allowed. It is immutable and safe for concurrent use.
type Guard struct {
	// Refused is told of each connection that was refused: the error does not name the address, since customers read it who
	// shall not learn what names mean inside. Set before the first use; nil: nobody is told.
	Refused func(host string, f *Forbidden)

	allowed []netip.Prefix
	dialer  net.Dialer
}

// New makes a Guard that lets through, besides public addresses, those in allowed.
func New(allowed []netip.Prefix) *Guard {
	g := &Guard{}
	for _, p := range allowed {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		g.allowed = append(g.allowed, p.Masked())
	}
	g.dialer = net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second, ControlContext: g.control}
	return g
}

// DialContext connects to addr, a host and a port, over tcp.
//
// Errors: *Forbidden if the host resolves to nothing but addresses that are refused; nothing was
// sent to any of them. Otherwise those of net.Dialer.
func (g *Guard) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		c, err := g.dialer.DialContext(ctx, network, addr)
		if f, ok := errors.AsType[*Forbidden](err); ok {
			if g.Refused != nil {
				g.Refused(addr, f)
			}
			return nil, f // what stands around it names the address
		}
		return c, err
	}
	return nil, net.UnknownNetworkError(network)
}

// control runs after name resolution and before connect, once for every address that is tried.
func (g *Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("resolved address %q: %w", address, err)
	}
	return g.Check(ap.Addr())
}

// Check gives *Forbidden if a may not be connected to, nil if it may.
func (g *Guard) Check(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	kind := kindOf(a)
	if kind == "" || slices.ContainsFunc(g.allowed, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return nil
	}
	return &Forbidden{Addr: a, Kind: kind}
}

// Forbidden is an address that the guard refuses.
type Forbidden struct {
	Addr netip.Addr
	Kind string // loopback, private network, …
}

// Error names the setting that would allow it, and not the address: see Guard.Refused.
func (*Forbidden) Error() string {
	return "it has no public address; the operator can allow its network with " + Setting
}

// inside are the ranges that are not public. Source: the IANA special-purpose address registries for IPv4 and
// IPv6. The order matters only for the name that is shown: the first that contains the address.
var inside = []struct {
	prefix netip.Prefix
	kind   string
}{
	{netip.MustParsePrefix("169.254.169.254/32"), "metadata service of the machine"},
	{netip.MustParsePrefix("169.254.170.2/32"), "metadata service of the machine"},
	{netip.MustParsePrefix("169.254.170.23/32"), "metadata service of the machine"},
	{netip.MustParsePrefix("100.100.100.200/32"), "metadata service of the machine"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "metadata service of the machine"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private network"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private network"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private network"},
	{netip.MustParsePrefix("fc00::/7"), "private network"},
	{netip.MustParsePrefix("fec0::/10"), "private network"},
	{netip.MustParsePrefix("100.64.0.0/10"), "provider's inner network"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "reserved"},
	{netip.MustParsePrefix("198.18.0.0/15"), "reserved"},
	{netip.MustParsePrefix("198.51.100.0/24"), "reserved"},
	{netip.MustParsePrefix("203.0.113.0/24"), "reserved"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "reserved"},
	{netip.MustParsePrefix("3fff::/20"), "reserved"},
	// Addresses that carry an IPv4 address inside and may be translated to it by the network: what is meant cannot
	// be told from here for all of them, so none passes without being allowed.
	{netip.MustParsePrefix("64:ff9b::/96"), "translated to IPv4"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "translated to IPv4"},
	{netip.MustParsePrefix("2002::/16"), "translated to IPv4"},
	{netip.MustParsePrefix("2001::/32"), "translated to IPv4"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "translated to IPv4"},
	{netip.MustParsePrefix("2001::/23"), "reserved"}, // of protocols, what is not named above
}

// global is the only part of IPv6 that is given out to networks. Source: RFC 4291 §2.4, the IANA registry "Internet
// Protocol Version 6 Address Space".
var global = netip.MustParsePrefix("2000::/3")

// kindOf names what a is inside of; empty for public addresses.
func kindOf(a netip.Addr) string {
	if !a.IsValid() {
		return "unspecified"
	}
	for _, r := range inside {
		if r.prefix.Contains(a) {
			return r.kind
		}
	}
	if a.Is6() && !global.Contains(a) {
		return "reserved"
	}
	return ""
}
