// Package eventlogtest is what every eventlog.Log must pass, the embedded one and any later one alike.
//
// The suite never counts by offsets: they rise, that is all. Start reading at Run.
package eventlogtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Run runs the suite. open gives a new empty log; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) eventlog.Log) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, l eventlog.Log)
	}{
		{"what is appended is read, in order, whole", appendAndRead},
		{"a commit's header comes back", headers},
		{"a reader begins in the middle of a commit", middle},
		{"a filter chooses, and the position goes on over the rest", filters},
		{"ready wakes a reader for what matches only", ready},
		{"a reader outside of the log is stale", stale},
		{"a batch over a limit is refused whole", limits},
		{"times of acceptance never go back", times},
		{"an offset is found by time", offsetAt},
		{"many append at once and each gets its own place", concurrent},
		{"a key counts once", keyOnce},
		{"of two with one key the second waits, and tries itself if the first fails", keyWaits},
		{"a context that ended appends nothing", ended},
		{"what is closed says so", closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := open(t)
			defer func() {
				if err := l.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			c.run(t, l)
		})
	}
}

// Events is a batch of events of one workspace with these values.
func Events(workspace uint32, values ...string) *eventlog.Batch {
	b := &eventlog.Batch{}
	b.Reset(eventlog.Header{Workspace: workspace, Kind: eventlog.Events})
	for i, v := range values {
		b.Add(uint32(i+1), []byte(v))
	}
	return b
}

func mustAppend(t *testing.T, l eventlog.Log, b *eventlog.Batch) eventlog.Receipt {
	t.Helper()
	r, err := l.Append(t.Context(), b)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return r
}

func mustReader(t *testing.T, l eventlog.Log, from eventlog.Offset, f eventlog.Filter) eventlog.Reader {
	t.Helper()
	r, err := l.Reader(from, f)
	if err != nil {
		t.Fatalf("reader at %d: %v", from, err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// Drain gives the values of all that a reader has now, as "offset-independent" text: workspace, schema, value.
func Drain(t *testing.T, r eventlog.Reader) []string {
	t.Helper()
	var got []string
	last := eventlog.Offset(-1)
	for {
		c, err := r.Next()
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		if c == nil {
			return got
		}
		for rec := range c.Records() {
			if rec.Offset <= last {
				t.Fatalf("offset %d comes after %d", rec.Offset, last)
			}
			last = rec.Offset
			got = append(got, fmt.Sprintf("%d/%d/%s", c.Workspace, rec.Schema, rec.Value))
		}
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("read %q, want %q", got, want)
	}
}

func appendAndRead(t *testing.T, l eventlog.Log) {
	start, head := l.Bounds()
	r := mustReader(t, l, start, eventlog.Filter{})
	if c, err := r.Next(); c != nil || err != nil || start != head {
		t.Fatalf("an empty log gave %v, %v and is %d to %d", c, err, start, head)
	}
	first := mustAppend(t, l, Events(1, "a", "b"))
	second := mustAppend(t, l, Events(1, "c"))
	if second.First <= first.First {
		t.Fatalf("the second batch is at %d, the first at %d", second.First, first.First)
	}
	want(t, Drain(t, r), "1/1/a", "1/2/b", "1/1/c")
	_, head = l.Bounds()
	if r.Position() != head {
		t.Fatalf("position %d after everything was read, head %d", r.Position(), head)
	}
	want(t, Drain(t, mustReader(t, l, second.First, eventlog.Filter{})), "1/1/c")
	want(t, Drain(t, mustReader(t, l, head, eventlog.Filter{})))
	if l.ID() == (eventlog.ID{}) {
		t.Fatal("the log has no identity")
	}
	if err := l.Health(); err != nil {
		t.Fatalf("health: %v", err)
	}
}

func headers(t *testing.T, l eventlog.Log) {
	b := &eventlog.Batch{}
	h := eventlog.Header{Workspace: 7, Kind: eventlog.Control, Target: 9}
	b.Reset(h)
	b.Add(3, nil)
	b.Add(4, make([]byte, 100_000))
	receipt := mustAppend(t, l, b)
	c, err := mustReader(t, l, receipt.First, eventlog.Filter{}).Next()
	if err != nil || c == nil {
		t.Fatalf("next: %v, %v", c, err)
	}
	if c.Header != h || c.Count != 2 || c.First != receipt.First || !c.Time().Equal(receipt.At) {
		t.Fatalf("read %+v at %v, appended %+v, receipt %+v", c.Header, c.Time(), h, receipt)
	}
	if !slices.Equal(c.Payload, b.Payload()) {
		t.Fatal("the payload differs")
	}
	if d := time.Since(receipt.At); d < -time.Second || d > time.Minute {
		t.Fatalf("accepted %v ago", d)
	}
}

func middle(t *testing.T, l eventlog.Log) {
	mustAppend(t, l, Events(1, "a"))
	at := mustAppend(t, l, Events(1, "b", "c", "d"))
	mustAppend(t, l, Events(1, "e"))
	var offsets []eventlog.Offset
	c, err := mustReader(t, l, at.First, eventlog.Filter{}).Next()
	if err != nil {
		t.Fatal(err)
	}
	for rec := range c.Records() {
		offsets = append(offsets, rec.Offset)
	}
	want(t, Drain(t, mustReader(t, l, offsets[1], eventlog.Filter{})), "1/2/c", "1/3/d", "1/1/e")
	want(t, Drain(t, mustReader(t, l, offsets[2], eventlog.Filter{})), "1/3/d", "1/1/e")
}

func filters(t *testing.T, l eventlog.Log) {
	start, _ := l.Bounds()
	control := &eventlog.Batch{}
	control.Reset(eventlog.Header{Workspace: 2, Kind: eventlog.Control})
	control.Add(1, []byte("x"))
	mustAppend(t, l, Events(1, "a"))
	mustAppend(t, l, Events(2, "b"))
	mustAppend(t, l, control)
	mustAppend(t, l, Events(1, "c"))
	for _, c := range []struct {
		f    eventlog.Filter
		want []string
	}{
		{eventlog.Filter{}, []string{"1/1/a", "2/1/b", "2/1/x", "1/1/c"}},
		{eventlog.Filter{Workspace: 1}, []string{"1/1/a", "1/1/c"}},
		{eventlog.Filter{Workspace: 2}, []string{"2/1/b", "2/1/x"}},
		{eventlog.Filter{Kind: eventlog.Control}, []string{"2/1/x"}},
		{eventlog.Filter{Workspace: 2, Kind: eventlog.Events}, []string{"2/1/b"}},
		{eventlog.Filter{Workspace: 3}, nil},
	} {
		r := mustReader(t, l, start, c.f)
		want(t, Drain(t, r), c.want...)
		if _, head := l.Bounds(); r.Position() != head {
			t.Fatalf("filter %+v: position %d, head %d", c.f, r.Position(), head)
		}
	}
	r := mustReader(t, l, start, eventlog.Filter{Workspace: 3})
	want(t, Drain(t, r))
	mustAppend(t, l, Events(1, "d"))
	if _, head := l.Bounds(); r.Position() != head {
		t.Fatalf("the position of a waiting reader stays at %d, head %d", r.Position(), head)
	}
	mustAppend(t, l, Events(3, "e"))
	want(t, Drain(t, r), "3/1/e")
}

func isReady(r eventlog.Reader, patience time.Duration) bool {
	select {
	case <-r.Ready():
		return true
	case <-time.After(patience):
		return false
	}
}

func ready(t *testing.T, l eventlog.Log) {
	_, head := l.Bounds()
	r := mustReader(t, l, head, eventlog.Filter{Workspace: 1, Kind: eventlog.Events})
	want(t, Drain(t, r))
	mustAppend(t, l, Events(2, "foreign"))
	if isReady(r, time.Millisecond) {
		if c, err := r.Next(); c != nil || err != nil {
			t.Fatalf("woken for nothing, and Next gave %v, %v", c, err)
		}
	}
	done := make(chan []string)
	go func() {
		for {
			<-r.Ready()
			if got := Drain(t, r); len(got) > 0 {
				done <- got
				return
			}
		}
	}()
	mustAppend(t, l, Events(1, "mine"))
	select {
	case got := <-done:
		want(t, got, "1/1/mine")
	case <-time.After(30 * time.Second):
		t.Fatal("the reader was not woken")
	}
}

func stale(t *testing.T, l eventlog.Log) {
	mustAppend(t, l, Events(1, "a"))
	start, head := l.Bounds()
	for _, from := range []eventlog.Offset{start - 1, head + 1} {
		if _, err := l.Reader(from, eventlog.Filter{}); !fault.Is(err, fault.Stale) {
			t.Errorf("a reader at %d of %d to %d: %v, want stale", from, start, head, err)
		}
	}
}

func limits(t *testing.T, l eventlog.Log) {
	_, head := l.Bounds()
	empty := Events(1)
	if _, err := l.Append(t.Context(), empty); !fault.Is(err, fault.Invalid) {
		t.Errorf("an empty batch: %v, want invalid", err)
	}
	big := &eventlog.Batch{}
	big.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
	big.Add(1, make([]byte, eventlog.MaxBatchBytes))
	if _, err := l.Append(t.Context(), big); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a batch over %d bytes: %v, want too_large", eventlog.MaxBatchBytes, err)
	}
	if _, now := l.Bounds(); now != head {
		t.Errorf("a refused batch moved the head from %d to %d", head, now)
	}
}

func times(t *testing.T, l eventlog.Log) {
	start, _ := l.Bounds()
	for i := range 20 {
		mustAppend(t, l, Events(1, fmt.Sprint(i)))
	}
	r := mustReader(t, l, start, eventlog.Filter{})
	var last int64
	for {
		c, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			break
		}
		if c.At < last || c.Hour() != eventlog.HourOf(c.Time()) {
			t.Fatalf("accepted at %d after %d, hour %v", c.At, last, c.Hour())
		}
		last = c.At
	}
	u := l.Usage()
	if u.Oldest.IsZero() || u.Oldest.UnixMilli() > last {
		t.Errorf("oldest %v", u.Oldest)
	}
	if start, head := l.Bounds(); u.Release != 0 && (u.Release <= start || u.Release > head) {
		t.Errorf("release %d of a log from %d to %d", u.Release, start, head)
	}
}

func offsetAt(t *testing.T, l eventlog.Log) {
	a := mustAppend(t, l, Events(1, "a"))
	time.Sleep(5 * time.Millisecond)
	b := mustAppend(t, l, Events(1, "b"))
	_, head := l.Bounds()
	for _, c := range []struct {
		at   time.Time
		want eventlog.Offset
	}{
		{a.At.Add(-time.Hour), a.First}, {a.At, a.First}, {a.At.Add(time.Microsecond), b.First}, {b.At, b.First}, {b.At.Add(time.Hour), head},
	} {
		if got, err := l.OffsetAt(t.Context(), c.at); err != nil || got != c.want {
			t.Errorf("offset at %v: %d, %v; want %d", c.at, got, err, c.want)
		}
	}
}

func concurrent(t *testing.T, l eventlog.Log) {
	start, _ := l.Bounds()
	var mu sync.Mutex
	at := map[eventlog.Offset]string{}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			b := &eventlog.Batch{}
			for i := range 50 {
				b.Reset(eventlog.Header{Workspace: uint32(g + 1), Kind: eventlog.Events})
				value := fmt.Sprintf("%d.%d", g, i)
				b.Add(1, []byte(value))
				r, err := l.Append(context.Background(), b)
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				at[r.First] = value
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(at) != 400 {
		t.Fatalf("400 appends got %d places", len(at))
	}
	r := mustReader(t, l, start, eventlog.Filter{})
	for range 400 {
		c, err := r.Next()
		if err != nil || c == nil {
			t.Fatalf("next: %v, %v", c, err)
		}
		for rec := range c.Records() {
			if at[rec.Offset] != string(rec.Value) {
				t.Fatalf("offset %d holds %q, its appender wrote %q", rec.Offset, rec.Value, at[rec.Offset])
			}
		}
	}
}

func key(n byte) eventlog.KeyHash { return eventlog.KeyHash{Workspace: 1, Hash: [16]byte{n, 15: n}} }

func keyOnce(t *testing.T, l eventlog.Log) {
	claim, known, err := l.Claim(t.Context(), key(1))
	if err != nil || known != nil {
		t.Fatalf("first claim: %v, %v", known, err)
	}
	b := Events(1, "a")
	b.Claim, b.Answer = claim, eventlog.Answer{Body: [16]byte{9}, Status: 200, Accepted: 1, Rejected: 2}
	mustAppend(t, l, b)
	claim.Release()
	claim.Release()
	_, known, err = l.Claim(t.Context(), key(1))
	if err != nil || known == nil || *known != b.Answer {
		t.Fatalf("second claim: %+v, %v; want %+v", known, err, b.Answer)
	}
	other, known, err := l.Claim(t.Context(), key(2))
	if err != nil || known != nil {
		t.Fatalf("another key: %v, %v", known, err)
	}
	other.Release()
	same := key(1)
	same.Workspace = 2
	foreign, known, err := l.Claim(t.Context(), same)
	if err != nil || known != nil {
		t.Fatalf("the same key of another workspace: %v, %v", known, err)
	}
	foreign.Release()
	if w := l.Usage().Window; w <= 0 {
		t.Errorf("window %v", w)
	}
}

func keyWaits(t *testing.T, l eventlog.Log) {
	first, _, err := l.Claim(t.Context(), key(1))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := l.Claim(ctx, key(1)); err == nil {
		t.Fatal("two hold the same key")
	}
	type result struct {
		claim *eventlog.Claim
		known *eventlog.Answer
		err   error
	}
	results := make(chan result)
	for range 2 {
		go func() {
			c, a, err := l.Claim(context.Background(), key(1))
			results <- result{c, a, err}
		}()
	}
	first.Release() // it failed: nothing was appended
	second := <-results
	if second.err != nil || second.claim == nil {
		t.Fatalf("after the first failed: %+v", second)
	}
	b := Events(1, "a")
	b.Claim, b.Answer = second.claim, eventlog.Answer{Status: 200, Accepted: 1}
	mustAppend(t, l, b)
	second.claim.Release()
	third := <-results
	if third.err != nil || third.known == nil || *third.known != b.Answer {
		t.Fatalf("after the second succeeded: %+v", third)
	}
}

func ended(t *testing.T, l eventlog.Log) {
	_, head := l.Bounds()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, Events(1, "a")); err == nil {
		t.Fatal("appended under a context that had ended")
	}
	mustAppend(t, l, Events(1, "b"))
	want(t, Drain(t, mustReader(t, l, head, eventlog.Filter{})), "1/1/b")
}

func closed(t *testing.T, l eventlog.Log) {
	_, head := l.Bounds()
	r := mustReader(t, l, head, eventlog.Filter{})
	want(t, Drain(t, r))
	wake := r.Ready()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-wake:
	case <-time.After(30 * time.Second):
		t.Fatal("closing the log did not wake its reader")
	}
	if _, err := r.Next(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("next on a closed log: %v, want unavailable", err)
	}
	if _, err := l.Append(t.Context(), Events(1, "a")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("append to a closed log: %v, want unavailable", err)
	}
}
