package ingest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

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

func TestLimitsOfKeysAtRestAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &keyLimits{requests: 1}
		l.byKey = map[control.KeyID]*rate.Limiter{}
		for i := range maxCachedKeys {
			l.wait(control.Grant{Key: control.KeyID(fmt.Sprint(i))})
		}
		l.wait(control.Grant{Key: "busy"})
		if len(l.byKey) != maxCachedKeys+1 {
			t.Fatalf("%d limits of keys that all wait", len(l.byKey))
		}
		time.Sleep(time.Second)
		l.wait(control.Grant{Key: "next"})
		if len(l.byKey) != 1 {
			t.Errorf("%d limits after a rest", len(l.byKey))
		}
	})
}

func TestNoLimitIsNone(t *testing.T) {
	if PerKey(0) != nil {
		t.Error("a limit of nothing")
	}
}
