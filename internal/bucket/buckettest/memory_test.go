package buckettest

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/bucket"
)

func TestMemoryFaults(t *testing.T) {
	createOnly := bucket.PutOptions{CreateOnly: true}
	put := func(ctx context.Context, m *Memory, body string) error {
		return m.Put(ctx, "k", bucket.Body{[]byte(body)}, createOnly)
	}
	first := func(f Fault) func(Call) Fault {
		return func(c Call) Fault {
			if c.Op == OpPut && c.Attempt == 1 {
				return f
			}
			return Fault{}
		}
	}
	for _, tt := range []struct {
		name   string
		fault  Fault
		first  bucket.Problem // of the first put, of "a"
		second bucket.Problem // of the second put at once after it, of "b"
		holds  string         // in the end
		took   time.Duration
	}{
		{name: "a failure before the effect leaves the key free", fault: Fault{Problem: bucket.ServerError}, first: bucket.ServerError, holds: "b"},
		{name: "a lost answer leaves the object", fault: Fault{Problem: bucket.Network, After: true}, first: bucket.Network, second: bucket.Exists, holds: "a"},
		{name: "a late landing finds the key taken and changes nothing", fault: Fault{Problem: bucket.Network, Late: time.Hour}, first: bucket.Network, holds: "b"},
		{name: "a delay passes before the effect", fault: Fault{Delay: time.Minute}, second: bucket.Exists, holds: "a", took: time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, start := NewMemory(), time.Now()
				m.Script(first(tt.fault))
				if p := bucket.ProblemOf(put(t.Context(), m, "a")); p != tt.first {
					t.Errorf("first put: %q, want %q", p, tt.first)
				}
				if p := bucket.ProblemOf(put(t.Context(), m, "b")); p != tt.second {
					t.Errorf("second put: %q, want %q", p, tt.second)
				}
				if d := time.Since(start); d != tt.took {
					t.Errorf("took %s, want %s", d, tt.took)
				}
				m.Settle()
				if data, _, _ := m.Object("k"); string(data) != tt.holds {
					t.Errorf("the key holds %q, want %q", data, tt.holds)
				}
			})
		})
	}
}

func TestMemoryLateLandingTakesAFreeKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		m.Script(func(Call) Fault { return Fault{Hang: true, Late: 3 * time.Second} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := m.Put(ctx, "k", bucket.Body{[]byte("a")}, bucket.PutOptions{CreateOnly: true})
		if !errors.Is(err, context.DeadlineExceeded) || bucket.ProblemOf(err) != bucket.Network {
			t.Fatalf("a hanging put ended with %v", err)
		}
		if len(m.Keys()) != 0 {
			t.Fatal("it landed early")
		}
		m.Settle()
		if !slices.Equal(m.Keys(), []string{"k"}) {
			t.Fatal("it never landed")
		}
	})
}

func TestMemoryReadsDoNotLandLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, start := NewMemory(), time.Now()
		m.Script(func(Call) Fault { return Fault{Problem: bucket.Network, Late: time.Hour} })
		if info, err := m.Head(t.Context(), "k"); bucket.ProblemOf(err) != bucket.Network || info.Key != "" {
			t.Errorf("head: %+v, %v", info, err)
		}
		if m.Settle(); time.Since(start) != 0 {
			t.Error("a read whose caller has its answer writes to it later")
		}
	})
}

func TestMemoryDenialLastsUntilItIsTakenBack(t *testing.T) {
	m := NewStore("b").Bucket("b")
	m.Deny(bucket.AccessDenied)
	if _, err := m.Head(t.Context(), "k"); bucket.ProblemOf(err) != bucket.AccessDenied {
		t.Fatalf("head: %v", err)
	}
	m.Deny("")
	if _, err := m.Head(t.Context(), "k"); bucket.ProblemOf(err) != bucket.NotFound {
		t.Fatalf("head: %v", err)
	}
}

func TestMemoryBodyBreaksOff(t *testing.T) {
	m := NewMemory()
	m.Set("k", []byte("0123456789"), nil)
	m.Script(func(Call) Fault { return Fault{CutAt: 4} })
	rc, _, err := m.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(rc)
	if string(data) != "0123" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("read %q, %v", data, err)
	}
}

func TestStoreKnowsOnlyItsBuckets(t *testing.T) {
	s := NewStore("here")
	for name, want := range map[string]bucket.Problem{"here": "", "there": bucket.NoSuchBucket} {
		b, _ := s.Open(bucket.Access{Bucket: name})
		if _, err := b.Location(t.Context()); bucket.ProblemOf(err) != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestMemoryKeepsTheContract(t *testing.T) {
	Run(t, func(*testing.T) bucket.Bucket { return NewMemory() })
}
