package control

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

func TestTriesAreCountedWhateverElseIsTried(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	l := newLimits(3, time.Minute)
	tries := func(key string, at time.Time) (n int) {
		for ; n < 10 && l.try(key, at) == nil; n++ {
		}
		return n
	}
	if n := tries("ana", now); n != 3 {
		t.Errorf("%d tries at once, want 3", n)
	}
	for i := range 20_000 {
		l.try(fmt.Sprint("somebody ", i), now)
	}
	if n := tries("ana", now); n != 0 {
		t.Errorf("%d tries after a flood of others, want none", n)
	}
	err := l.try("ana", now.Add(30*time.Second))
	if e := fault.As(err); e == nil || e.Code != fault.RateLimited || e.RetryAfter <= 0 || e.RetryAfter > time.Minute || e.Message() != "There were too many tries. Try again in 30s." {
		t.Errorf("in the middle of a minute: %v", err)
	}
	if n := tries("ana", now.Add(time.Minute)); n != 1 {
		t.Errorf("a minute later %d tries, want 1", n)
	}
	if n := tries("ana", now.Add(time.Hour)); n != 3 {
		t.Errorf("an hour later %d tries, want 3", n)
	}
	// A clock that is set back neither lets in nor locks out until it is that late again.
	if n, m := tries("ana", now), tries("ana", now.Add(time.Minute)); n != 0 || m != 1 {
		t.Errorf("on a clock that was set back %d tries and %d a minute later, want none and 1", n, m)
	}
}

func TestTriesAtOnceAreCountedOnce(t *testing.T) {
	l, now := newLimits(10, time.Hour), time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	passed := 0
	for range 50 {
		wg.Go(func() {
			if l.try("ana", now) == nil {
				mu.Lock()
				defer mu.Unlock()
				passed++
			}
		})
	}
	if wg.Wait(); passed != 10 {
		t.Errorf("%d of 50 at once passed, want 10", passed)
	}
}

func TestANetworkIsWhatOneCustomerHas(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::1": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
		"": "", "a pipe": "a pipe",
	} {
		if got := networkOf(address); got != want {
			t.Errorf("%q is of %q, want %q", address, got, want)
		}
	}
}

func TestAStrangerIsNeverTakenForKnown(t *testing.T) {
	p := newPairs()
	p.add("ana", "192.0.2.1")
	for i := range 20_000 {
		if p.has("ana", fmt.Sprint("network ", i)) || p.has(MemberID(fmt.Sprint("m", i)), "192.0.2.1") {
			t.Fatal("a network is known that nobody signed in from")
		}
	}
	if !p.has("ana", "192.0.2.1") {
		t.Error("hers is not known")
	}
}
