package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
)

// blackHole is a log that keeps nothing, to measure what stands before it.
type blackHole struct{ eventlog.Log }

func (blackHole) Append(context.Context, *eventlog.Batch) (eventlog.Receipt, error) {
	return eventlog.Receipt{}, nil
}

// realistic is a body of n lines of about 890 bytes.
func realistic(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"event_type":"users.behaviors.CustomEvent","id":"0190b7a1-7f3c-7b1e-9c4d-%012d","user_id":"65f1c0ffee%014d","external_user_id":"customer-%d","app_id":"2a1b3c4d-0000-4000-8000-000000000001","time":17000%05d,`+
			`"timezone":"America/Sao_Paulo","platform":"ios","os_version":"17.4.1","device_model":"iPhone15,2","device_id":"C0FFEE00-AAAA-BBBB-CCCC-%012d","name":"checkout_completed","properties":"%s","ad_tracking_enabled":false}`+"\n",
			i, i, i, i%100000, i, strings.Repeat(`{\"sku\":\"A-1001\",\"qty\":2,\"price\":19.9},`, 9))
	}
	return b.Bytes()
}

func TestAnEventCostsNoAllocation(t *testing.T) {
	h := open(t, Config{})
	q := h.in.request(control.Grant{Key: "k", Workspace: 7})
	body := realistic(200)
	run := func() {
		q.batch.Reset(eventlog.Header{Workspace: 7, Kind: eventlog.Events})
		q.index, q.accepted = 0, 0
		if err := frame(body, lines, q.event); err != nil || q.accepted != 200 {
			t.Fatal(err, q.accepted)
		}
	}
	run()
	// One for the method value that frame is given.
	if n := testing.AllocsPerRun(20, run); n > 1 {
		t.Errorf("%v allocations for 200 events", n)
	}
}

func TestARequestCostsTheSameAllocationsForAnyNumberOfEvents(t *testing.T) {
	h := open(t, Config{})
	h.in = New(Config{}, h.deps(blackHole{}))
	measure := func(n int) float64 {
		body := realistic(n)
		r := newRequest(nil)
		r.ContentLength = int64(len(body))
		w := &sink{h: http.Header{}}
		run := func() {
			r.Body = io.NopCloser(bytes.NewReader(body))
			h.in.serve(w, r)
			if w.status != 200 {
				t.Fatal(w.status)
			}
		}
		run()
		return testing.AllocsPerRun(50, run)
	}
	few, many := measure(10), measure(1000)
	// The collector may empty the pools in between, hence the allowance.
	if many > few+10 || few > 60 {
		t.Errorf("%v allocations for 10 events, %v for 1000", few, many)
	}
	t.Logf("%v allocations a request", few)
}

type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// BenchmarkRequest is the whole handler over connections in this machine, BenchmarkFloor the least that could stand
// in its place: the body read into a pooled buffer, its lines read by the same event reader, nothing checked,
// claimed or counted. The difference is what this package costs.
func BenchmarkRequest(b *testing.B) {
	h := open(b, Config{})
	h.in = New(Config{}, h.deps(blackHole{}))
	benchmark(b, h.in.Events())
}

func BenchmarkFloor(b *testing.B) {
	type scratch struct {
		body bytes.Buffer
		out  []byte
		r    *event.Reader
	}
	pool := sync.Pool{New: func() any { return &scratch{r: event.NewReader(catalogue())} }}
	benchmark(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := pool.Get().(*scratch)
		s.body.Reset()
		s.body.Grow(int(r.ContentLength) + 512)
		io.Copy(&s.body, r.Body)
		s.out = s.out[:0]
		for data := s.body.Bytes(); len(data) > 0; {
			i := bytes.IndexByte(data, '\n')
			s.out, _, _ = s.r.Read(s.out, data[:i], event.Options{})
			data = data[i+1:]
		}
		pool.Put(s)
		io.WriteString(w, `{"accepted":1000}`)
	}))
}

func benchmark(b *testing.B, handler http.Handler) {
	const events = 1000
	s := httptest.NewServer(handler)
	defer s.Close()
	body := realistic(events)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		req, _ := http.NewRequest("POST", s.URL, bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+goodKey)
		req.Header.Set("Content-Type", "application/x-ndjson")
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != 200 {
			b.Fatal(err, res)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
}
