package dial

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func TestCheck(t *testing.T) {
	open := New(nil)
	for addr, kind := range map[string]string{
		"127.0.0.1": "loopback", "127.9.9.9": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback",
		"0.0.0.0": "unspecified", "::": "unspecified", "0.1.2.3": "unspecified",
		"10.0.0.1": "private network", "172.31.255.255": "private network", "192.168.1.1": "private network",
		"fd12::1": "private network", "::ffff:10.1.2.3": "private network",
		"100.64.0.1": "provider's inner network", "100.127.255.255": "provider's inner network",
		"169.254.1.1": "link-local", "fe80::1%eth0": "link-local",
		"169.254.169.254": "metadata service of the machine", "fd00:ec2::254": "metadata service of the machine",
		"224.0.0.1": "multicast", "ff02::1": "multicast", "255.255.255.255": "reserved", "::7f00:1": "reserved",
		"64:ff9b::7f00:1": "translated to IPv4", "2002:7f00:1::1": "translated to IPv4", "64:ff9b:1::a00:1": "translated to IPv4",
		"2001::1": "translated to IPv4", "::ffff:0:127.0.0.1": "translated to IPv4", "192.88.99.1": "reserved",
		"2001:2::1": "reserved", "2001:20::1": "reserved", "3fff::1": "reserved", "100::1": "reserved", "5f00::1": "reserved", "1::1": "reserved",
		"172.32.0.1": "", "100.128.0.1": "", "52.216.1.1": "", "2600:1f13::1": "", "2001:4860::1": "", "2a05:d018::1": "", "9.255.255.255": "", "11.0.0.0": "",
	} {
		err := open.Check(netip.MustParseAddr(addr))
		f, _ := errors.AsType[*Forbidden](err)
		switch {
		case kind == "" && err != nil:
			t.Errorf("%s is public and was refused: %v", addr, err)
		case kind != "" && (f == nil || f.Kind != kind):
			t.Errorf("%s: %v, want it refused as %s", addr, err, kind)
		}
	}
}

func TestOnlyTheAllowedRangePasses(t *testing.T) {
	for _, allowed := range []string{"10.1.0.0/16", "::ffff:10.1.0.0/112", "10.1.2.3/16"} {
		g := New([]netip.Prefix{netip.MustParsePrefix(allowed)})
		if err := g.Check(netip.MustParseAddr("10.1.200.1")); err != nil {
			t.Errorf("%s: %v", allowed, err)
		}
		if g.Check(netip.MustParseAddr("10.2.0.1")) == nil {
			t.Errorf("%s lets 10.2.0.1 through", allowed)
		}
	}
}

func TestARefusedAddressIsNeverConnected(t *testing.T) {
	var seen atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(net.Conn, http.ConnState) { seen.Add(1) }
	srv.Start()
	defer srv.Close()
	addr := srv.Listener.Addr().String()

	var told string
	g := New(nil)
	g.Refused = func(host string, f *Forbidden) { told = host + " " + f.Addr.String() }
	_, err := g.DialContext(t.Context(), "tcp", addr)
	if _, ok := errors.AsType[*Forbidden](err); !ok || !strings.Contains(err.Error(), Setting) || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "loopback") {
		t.Fatalf("got %v, want a refusal that names the setting and not the address", err)
	}
	if told != addr+" 127.0.0.1" {
		t.Errorf("the log was told %q", told)
	}
	if seen.Load() != 0 {
		t.Fatal("the server saw a connection")
	}
	c, err := New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A name that answers with a public address when it is checked and with an inner one when it is used must gain
// nothing by it.
func TestANameThatChangesItsAddressIsCheckedWhenItIsConnected(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := []netip.Addr{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("127.0.0.1")}
	var asked atomic.Int32
	resolver := resolving(func() []netip.Addr {
		i := min(int(asked.Add(1))-1, len(answers)-1)
		return answers[i : i+1]
	})
	first, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example.com")
	if err != nil || New(nil).Check(first[0]) != nil {
		t.Fatalf("the first answer should look harmless: %v %v", first, err)
	}
	g := New(nil)
	g.dialer.Resolver = resolver
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_, err = g.DialContext(t.Context(), "tcp4", net.JoinHostPort("rebind.example.com", port))
	if f, ok := errors.AsType[*Forbidden](err); !ok || f.Addr.String() != "127.0.0.1" {
		t.Fatalf("got %v, want 127.0.0.1 refused", err)
	}
}

// inner is a server that nobody may reach through a guard that does not allow it.
func inner(t *testing.T) (port string, reached func() bool) {
	t.Helper()
	var seen atomic.Bool
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(net.Conn, http.ConnState) { seen.Store(true) }
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, seen.Load
}

// client is HTTP through g as the rooms use it, but that it follows redirects: the guard must hold alone.
func client(t *testing.T, g *Guard) *http.Client {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: g.DialContext, DisableKeepAlives: true}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestNoSpellingOfAnInnerAddressIsReached(t *testing.T) {
	port, reached := inner(t)
	c := client(t, New(nil))
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[::]", "0.0.0.0",
		"2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "0", "127.0.0.1.", "0x7f.1",
	} {
		res, err := c.Get("http://" + host + ":" + port + "/")
		if err == nil {
			res.Body.Close()
			t.Errorf("%s was answered", host)
		}
		if reached() {
			t.Fatalf("%s reached the server", host)
		}
	}
}

func TestARedirectIntoTheMachineIsNotFollowedByTheGuard(t *testing.T) {
	port, reached := inner(t)
	outer := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:"+port+"/", http.StatusTemporaryRedirect)
	}))
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	outer.Listener.Close()
	outer.Listener = l
	outer.Start()
	defer outer.Close()
	res, err := client(t, New([]netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")})).Get(outer.URL)
	if err == nil {
		res.Body.Close()
	}
	if f, ok := errors.AsType[*Forbidden](err); !ok || f.Addr.String() != "127.0.0.1" || reached() {
		t.Errorf("%v, reached: %v", err, reached())
	}
}

// Of several addresses each is looked at: one that is allowed opens no door to the next.
func TestAnAllowedAddressLetsNoOtherThrough(t *testing.T) {
	port, reached := inner(t)
	answers := []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}
	g := New([]netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")})
	g.dialer.Resolver = resolving(func() []netip.Addr { return answers })
	for range 2 { // nobody listens at the allowed one, whichever comes first
		if c, err := g.DialContext(t.Context(), "tcp", "two.example.com:"+port); err == nil {
			c.Close()
			t.Error("connected")
		}
		answers[0], answers[1] = answers[1], answers[0]
	}
	if reached() {
		t.Error("the inner one was reached")
	}
}

// A webhook or a store whose name pointed outside when the first request was made, and points inside at the second.
func TestANameThatMovesInsideBetweenTwoRequests(t *testing.T) {
	outer := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	port, reached := inner(t)
	l, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	outer.Listener.Close()
	outer.Listener = l
	outer.Start()
	defer outer.Close()
	at := netip.MustParseAddr("127.0.0.2")
	g := New([]netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}) // stands for what is public
	g.dialer.Resolver = resolving(func() []netip.Addr { return []netip.Addr{at} })
	c := client(t, g)
	res, err := c.Get("http://rebind.example.com:" + port + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	at = netip.MustParseAddr("127.0.0.1")
	res, err = c.Get("http://rebind.example.com:" + port + "/")
	if err == nil {
		res.Body.Close()
	}
	if f, ok := errors.AsType[*Forbidden](err); !ok || f.Addr != at || reached() {
		t.Errorf("%v, reached: %v", err, reached())
	}
}

func TestOtherNetworksAreUnknown(t *testing.T) {
	if _, err := New(nil).DialContext(t.Context(), "unix", "/run/x.sock"); err == nil {
		t.Fatal("a socket of the machine was dialled")
	}
}

// resolving is a resolver to which every name has the IPv4 addresses of addrs.
func resolving(addrs func() []netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerDNS(server, addrs)
		return client, nil
	}}
}

// answerDNS answers each question for an IPv4 address on a stream connection (RFC 1035 §4.2.2) with addrs().
func answerDNS(c net.Conn, addrs func() []netip.Addr) {
	defer c.Close()
	for {
		var n [2]byte
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(n[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		end := 12
		for q[end] != 0 {
			end += int(q[end]) + 1
		}
		end += 5 // root label, type, class
		a := append([]byte{}, q[:end]...)
		binary.BigEndian.PutUint16(a[2:], 0x8180) // answer, recursion, no error
		binary.BigEndian.PutUint16(a[10:], 0)     // no additional records
		if q[end-3] == 1 {                        // type A
			for i, addr := range addrs() {
				binary.BigEndian.PutUint16(a[6:], uint16(i+1))
				ip := addr.As4()
				a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				a = append(a, ip[:]...)
			}
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}
