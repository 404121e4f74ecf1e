package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/httpd"
)

// serve runs h behind a real server that believes what it is told about its clients' addresses.
func (h *house) serve() (post func(client, key string) answer) {
	h.t.Helper()
	s, err := httpd.Open(httpd.Config{Listen: "127.0.0.1:0", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		h.in.Events(), nil, slog.New(slog.DiscardHandler), httpd.Hooks{})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	h.t.Cleanup(func() { stop(); <-done })
	return func(client, key string) answer {
		h.t.Helper()
		r, err := http.NewRequest("POST", s.URL()+EventsPath, strings.NewReader(custom("a")))
		if err != nil {
			h.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-ndjson")
		r.Header.Set("X-Forwarded-For", client)
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			h.t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		a := answer{status: res.StatusCode, header: res.Header, body: string(b)}
		if err := json.Unmarshal(b, &a); err != nil {
			h.t.Errorf("the answer is not JSON: %q", b)
		}
		return a
	}
}

func TestAKeyOfSomeNetworksWorksFromThemOnly(t *testing.T) {
	h := open(t, Config{})
	g := h.keys.grants[control.HashKey(goodKey)]
	g.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	h.keys.grants[control.HashKey(goodKey)] = g
	post := h.serve()
	for client, status := range map[string]int{
		"203.0.113.9": 200, "::ffff:203.0.113.9": 200, "2001:db8:1::1": 200, "[2001:db8:1::1]:443": 200,
		"203.0.114.1": 403, "2001:db9::1": 403, "127.0.0.1": 403, "unknown": 403, "": 403,
		"203.0.113.9, 198.51.100.1": 403, // the first is only what the second says of itself
	} {
		a := post(client, goodKey)
		if a.status != status {
			t.Errorf("from %q: %d %s", client, a.status, a.body)
		}
		if a.status == 403 && (a.Error.Code != "forbidden" || a.Error.Hint == "" || !strings.Contains(a.Error.Message, "may not be used from")) {
			t.Errorf("from %q: %s", client, a.body)
		}
		if post(client, otherKey).status != 200 {
			t.Errorf("another key does not work from %q", client)
		}
	}
	a := post("198.51.100.7", goodKey)
	if !strings.Contains(a.Error.Message, "198.51.100.7") {
		t.Errorf("the address is not named: %s", a.body)
	}
	for _, way := range []string{"MILLRACE_TRUSTED_PROXIES", "POST /api/v1/workspaces/WORKSPACE/api-keys", "millrace apply", "docs/troubleshooting.md#key.network"} {
		if !strings.Contains(a.Error.Hint, way) {
			t.Errorf("%s is not named: %s", way, a.Error.Hint)
		}
	}
	if strings.Contains(a.body, "203.0.113") || strings.Contains(a.body, "2001:db8") {
		t.Errorf("the key's networks are told: %s", a.body)
	}
	if a := post("198.51.100.7", goodKey+"x"); a.status != 401 || strings.Contains(a.body, "198.51.100.7") || strings.Contains(a.body, "network") {
		t.Errorf("a key that is not known: %d %s", a.status, a.body)
	}
}

func TestAKeyEndsAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, Config{KeyTTL: time.Hour}) // it ends even while it is remembered
		g := h.keys.grants[control.HashKey(goodKey)]
		g.ExpiresAt = time.Now().Add(time.Minute)
		h.keys.grants[control.HashKey(goodKey)] = g
		if a := h.post(custom("a")); a.status != 200 {
			t.Fatalf("before: %d %s", a.status, a.body)
		}
		time.Sleep(time.Minute)
		a := h.post(custom("b"))
		if a.status != 401 || !strings.Contains(a.Error.Message, "expired at "+g.ExpiresAt.UTC().Format(time.RFC3339)) || a.Error.Hint == "" || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("after: %d %s", a.status, a.body)
		}
		if h.log.records() != 1 {
			t.Errorf("%d records", h.log.records())
		}
	})
}

func TestGuessingKeysIsSlowedDownAndNobodyElseIs(t *testing.T) {
	h := open(t, Config{KeyTTL: time.Nanosecond}) // remembered, and asked for again each time
	post := h.serve()
	const guesser, other = "203.0.113.9", "203.0.113.10"
	if a := post(guesser, goodKey); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	lookups := func() int { h.keys.mu.Lock(); defer h.keys.mu.Unlock(); return h.keys.lookups }
	before := lookups()
	count := map[int]int{}
	var last answer
	for i := range 3 * guessesAtOnce {
		last = post(guesser, fmt.Sprintf("mr_guess_%022d", i))
		count[last.status]++
	}
	// While the test runs some time passes, and with it some guesses more.
	if count[401] < guessesAtOnce || count[429] < guessesAtOnce || count[401]+count[429] != 3*guessesAtOnce || lookups()-before != count[401] {
		t.Errorf("answers %v, %d look-ups", count, lookups()-before)
	}
	if last.header.Get("Retry-After") != "1" || !strings.Contains(last.Error.Message, guesser) || last.Error.Hint == "" {
		t.Errorf("%v %s", last.header, last.body)
	}
	if a := post(guesser, goodKey); a.status != 200 {
		t.Errorf("a key that is known, from the same address: %d %s", a.status, a.body)
	}
	if a := post(other, "mr_guess_of_somebody_else"); a.status != 401 {
		t.Errorf("another address: %d %s", a.status, a.body)
	}
	if a := post(guesser, ""); a.status != 401 {
		t.Errorf("without a key: %d %s", a.status, a.body)
	}
}

// register is what is noted of keys.
type register struct {
	mu    sync.Mutex
	calls []map[control.KeyID]time.Time
	err   error
}

func (r *register) note(_ context.Context, used map[control.KeyID]time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, used)
	return r.err
}

func (r *register) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *register) got() []map[control.KeyID]time.Time {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

func TestTheLastUseOfKeysIsNotedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, Config{})
		g := h.keys.grants[control.HashKey(otherKey)]
		g.ExpiresAt = time.Now()
		h.keys.grants[control.HashKey(otherKey)] = g
		r := &register{}
		d := h.deps(h.log)
		d.Use = r.note
		h.in = New(Config{}, d)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.in.NoteUse(ctx); close(ended) }()
		good := control.KeyID(goodKey[3:])

		begin := time.Now()
		for range 3 {
			h.post(custom("a"))
			h.post(custom("a"), "Authorization", "Bearer "+otherKey) // expired: not used
			h.post(custom("a"), "Authorization", "Bearer nonsense")
			time.Sleep(10 * time.Second)
		}
		if calls := r.got(); len(calls) != 0 {
			t.Fatalf("noted at once: %v", calls)
		}
		r.fail(errors.New("no database"))
		time.Sleep(31 * time.Second)
		h.post(custom("a"), "Authorization", "Bearer "+foreignKey)
		r.fail(nil)
		time.Sleep(time.Minute)
		want := map[control.KeyID]time.Time{good: begin.Add(20 * time.Second), control.KeyID(foreignKey[3:]): begin.Add(61 * time.Second)}
		calls := r.got()
		if len(calls) != 2 || len(calls[0]) != 1 || len(calls[1]) != 2 {
			t.Fatalf("noted %v", calls)
		}
		for k, at := range want {
			if !calls[1][k].Equal(at) {
				t.Errorf("%s: %v, want %v", k, calls[1][k], at)
			}
		}
		time.Sleep(5 * time.Minute)
		if calls := r.got(); len(calls) != 2 {
			t.Errorf("nothing was used, and %d notes were made", len(calls)-2)
		}
		h.post(custom("a"))
		stop()
		<-ended
		if calls := r.got(); len(calls) != 3 || len(calls[2]) != 1 {
			t.Errorf("at the end: %v", calls)
		}
	})
}
