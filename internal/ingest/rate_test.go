package ingest

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
)

func TestAKeyWaitsItsTurnAndAnotherKeyDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := PerKey(4)
		a, b := control.Grant{Key: "a"}, control.Grant{Key: "b"}
		for i := range 4 {
			if wait := limit(a); wait != 0 {
				t.Fatalf("request %d after a rest waits %v", i, wait)
			}
		}
		for range 3 { // refused requests do not count
			if wait := limit(a); wait != 250*time.Millisecond {
				t.Fatalf("the fifth of a second waits %v", wait)
			}
		}
		if wait := limit(b); wait != 0 {
			t.Errorf("another key waits %v", wait)
		}
		time.Sleep(250 * time.Millisecond)
		if wait := limit(a); wait != 0 {
			t.Errorf("after what it was told it still waits %v", wait)
		}
		// A rest makes up for one second, not for more.
		time.Sleep(time.Hour)
		passed := 0
		for limit(a) == 0 {
			passed++
		}
		if passed != 4 {
			t.Errorf("%d requests at once after a long rest", passed)
		}
	})
}

func TestLimitsAreBoundedAndForgottenAtRest(t *testing.T) {
	now := time.Now()
	l := newLimits[int](1, 1, 10)
	for i := range 1000 {
		l.take(i, now)
		if len(l.buckets) > 10 {
			t.Fatalf("%d buckets of clients that all wait", len(l.buckets))
		}
	}
	if l.wait(999, now) == 0 {
		t.Error("the newest was forgotten")
	}
	l.take(-1, now.Add(time.Second))
	if len(l.buckets) != 1 {
		t.Errorf("%d buckets after a rest", len(l.buckets))
	}
}

func TestAskingCountsNothing(t *testing.T) {
	now := time.Now()
	l := newLimits[string](0.5, 2, 10)
	for range 3 {
		if wait := l.wait("a", now); wait != 0 {
			t.Fatalf("waits %v before the first request", wait)
		}
	}
	l.take("a", now)
	l.take("a", now)
	if wait, again := l.wait("a", now), l.take("a", now); wait != 2*time.Second || again != wait {
		t.Errorf("asked: %v, tried: %v", wait, again)
	}
}

func TestNeighboursInOneNetworkOfIPv6AreOneClient(t *testing.T) {
	at := netip.MustParseAddr
	if networkOf(at("2001:db8::1")) != networkOf(at("2001:db8::ffff:2")) || networkOf(at("2001:db8:0:1::1")) == networkOf(at("2001:db8::1")) ||
		networkOf(at("203.0.113.1")) == networkOf(at("203.0.113.2")) || networkOf(netip.Addr{}).IsValid() {
		t.Error("networks are taken wrongly")
	}
}

func TestNoLimitIsNone(t *testing.T) {
	if PerKey(0) != nil {
		t.Error("a limit of nothing")
	}
}
