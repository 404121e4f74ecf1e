package control

import (
	"net/netip"
	"slices"
	"testing"
)

func TestNetworksAreWrittenAsClientsAre(t *testing.T) {
	in := []string{"203.0.113.9", "203.0.113.9/24", "::ffff:203.0.113.9", "::ffff:203.0.113.9/120", "2001:db8::5/32", "::ffff:0:0/96"}
	want := []string{"203.0.113.9/32", "203.0.113.0/24", "203.0.113.9/32", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0"}
	got, problems := ParseNetworks("networks", in)
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	var texts []string
	for _, p := range got {
		texts = append(texts, p.String())
	}
	if !slices.Equal(texts, want) {
		t.Errorf("read as %v, want %v", texts, want)
	}
	if client := netip.MustParseAddr("203.0.113.7"); !got[3].Contains(client) {
		t.Errorf("%s is not in %s", client, in[3])
	}
	for _, s := range []string{"", "home", "203.0.113.0/33", "fe80::1%eth0", "::ffff:203.0.113.0/129"} {
		if got, problems := ParseNetworks("networks", []string{s}); len(problems) != 1 || len(got) > 0 {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}
