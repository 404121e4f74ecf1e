package s3

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace/millrace/internal/bucket"
)

// scribe is an STS in memory: sessions of an hour, as slow and as wrong as it is told to be.
type scribe struct {
	mu    sync.Mutex
	asked []time.Time
	takes time.Duration
	fails bucket.Problem
}

func (s *scribe) ask(context.Context, roleKey, string) (aws.Credentials, *bucket.Error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	n, takes, fails := len(s.asked), s.takes, s.fails
	s.mu.Unlock()
	time.Sleep(takes)
	if fails != "" {
		return aws.Credentials{}, &bucket.Error{Problem: fails}
	}
	return aws.Credentials{AccessKeyID: fmt.Sprint("session ", n), Expires: time.Now().Add(time.Hour)}, nil
}

func (s *scribe) set(p bucket.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = p
}

func (s *scribe) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func newRoles(s *scribe) *roles { return &roles{ask: s.ask, leases: map[roleKey]*lease{}} }

var key1 = roleKey{"arn:aws:iam::210987654321:role/r", "id", "name"}

func TestASessionOfAnHourIsRenewedTwentyMinutesAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scribe{takes: time.Second}
		r := newRoles(s)
		begun := time.Now()
		for time.Since(begun) < 24*time.Hour {
			before := time.Now()
			c, err := r.session(t.Context(), key1, "")
			if err != nil {
				t.Fatal(err)
			}
			if left := c.Expires.Sub(before); left < 20*time.Minute-time.Minute {
				t.Fatalf("after %s a session is used with %s left", time.Since(begun), left)
			}
			if waited := time.Since(before); waited > 0 && s.times() > 1 {
				t.Fatalf("after %s a call waited %s for the renewal", time.Since(begun), waited)
			}
			time.Sleep(10 * time.Second)
		}
		if n := s.times(); n < 35 || n > 37 {
			t.Errorf("asked %d times a day, want 36", n)
		}
	})
}

func TestAnSTSOutOfReachIsOutlivedAndNotFlooded(t *testing.T) {
	for _, problem := range []bucket.Problem{bucket.Network, bucket.OwnCredentials} {
		synctest.Test(t, func(t *testing.T) {
			s := &scribe{}
			r := newRoles(s)
			if _, err := r.session(t.Context(), key1, ""); err != nil {
				t.Fatal(err)
			}
			s.set(problem)
			begun := time.Now()
			var failed time.Duration
			for time.Since(begun) < 70*time.Minute {
				if _, err := r.session(t.Context(), key1, ""); err != nil && failed == 0 {
					failed = time.Since(begun)
					if p := bucket.ProblemOf(err); p != problem {
						t.Errorf("got %s", p)
					}
				}
				time.Sleep(time.Second)
			}
			if failed < 58*time.Minute || failed > 60*time.Minute {
				t.Errorf("%s: the session was used for %s of its hour", problem, failed)
			}
			if n := s.times(); n > 1+30*60/5+1 { // from 40 to 70 minutes, every failurePause
				t.Errorf("%s: asked %d times", problem, n)
			}
			s.set("")
			time.Sleep(failurePause)
			if _, err := r.session(t.Context(), key1, ""); err != nil {
				t.Errorf("%s: when it is there again: %v", problem, err)
			}
		})
	}
}

func TestARefusalDropsTheSessionAndIsAskedForSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scribe{}
		r := newRoles(s)
		if _, err := r.session(t.Context(), key1, ""); err != nil {
			t.Fatal(err)
		}
		s.set(bucket.RoleRefused)
		time.Sleep(41 * time.Minute) // time to renew
		if _, err := r.session(t.Context(), key1, ""); err != nil {
			t.Errorf("while it is renewed the old one serves: %v", err)
		}
		synctest.Wait()
		for range 600 { // 200 lanes for three seconds
			if _, err := r.session(t.Context(), key1, ""); bucket.ProblemOf(err) != bucket.RoleRefused {
				t.Fatalf("after the refusal: %v", err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if n := s.times(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestASessionThatAStoreRefusesIsForgottenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scribe{}
		r := newRoles(s)
		first, err := r.session(t.Context(), key1, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		begun := time.Now()
		time.Sleep(time.Second)
		for range 200 { // as many lanes had calls under way with the old session
			r.forget(key1, begun)
			if c, err := r.session(t.Context(), key1, ""); err != nil || c.AccessKeyID == first.AccessKeyID {
				t.Fatalf("%v %v", c.AccessKeyID, err)
			}
		}
		if n := s.times(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestSessionsThatNobodyUsesLeaveMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoles(&scribe{})
		for i := range 1000 {
			if _, err := r.session(t.Context(), roleKey{arn: fmt.Sprint(i)}, ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		if n := len(r.leases); n > 20 {
			t.Errorf("%d sessions are kept", n)
		}
	})
}
