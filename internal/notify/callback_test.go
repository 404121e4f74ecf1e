package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// exported is an export that has just ended, for whose end a program waits.
func (m *memStore) exported(change func(*control.Export)) control.Export {
	m.keys["k1"] = control.HashKey("a program's key")
	now := time.Now().Truncate(time.Millisecond)
	e := control.Export{ID: control.NewExportID(now), Workspace: 1, Kind: control.ExportSegmentUsers, Source: control.ExportByAPI, Key: "k1", CreatedAt: now.Add(-time.Minute),
		Spec: control.ExportSpec{Callback: "http://program.test/done"}}
	e.State, e.DoneAt, e.File = control.ExportDone, now, "all.zip"
	e.Call.Next = now
	if change != nil {
		change(&e)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exports[e.ID] = e
	return e
}

func link(e control.Export) string { return "http://millrace.test/" + string(e.ID) + "?a=1&b=2" }

func TestAProgramIsToldHowItsExportEnded(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*control.Export)
		want   func(e control.Export) string
	}{
		"done, in the own store": {nil, func(e control.Export) string { return `{"success":true,"url":"` + link(e) + `"}` }},
		"done, in the linked bucket": {func(e *control.Export) { e.Place.Bucket = "acme" },
			func(control.Export) string { return `{"success":true}` }},
		"failed":    {func(e *control.Export) { e.State, e.File = control.ExportFailed, "" }, func(control.Export) string { return `{"success":false}` }},
		"cancelled": {func(e *control.Export) { e.State, e.File = control.ExportCancelled, "" }, func(control.Export) string { return `{"success":false}` }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, r := newMemStore(), &receiver{}
				net := listen(t, r)
				e := st.exported(c.change)
				start(t, st, nil, func(_ *Config, d *Deps) { d.Dial, d.Link = net.dial, link })
				time.Sleep(24 * time.Hour)
				calls := r.got()
				if len(calls) != 1 {
					t.Fatalf("%d calls, want 1", len(calls))
				}
				got := calls[0]
				if string(got.body) != c.want(e) || got.path != "/done" {
					t.Errorf("%s is told %s, want %s", got.path, got.body, c.want(e))
				}
				if got.id != e.Prefix() {
					t.Errorf("the call's id is %q, want the object_prefix %q", got.id, e.Prefix())
				}
				// As docs/compatibility.md says: of the key alone.
				sum := sha256.Sum256([]byte("a program's key"))
				header := http.Header{"Millrace-Id": {got.id}, "Millrace-Timestamp": {got.timestamp}, "Millrace-Signature": {got.signature}}
				if !verify([]byte(hex.EncodeToString(sum[:])), header, got.body, got.at) {
					t.Error("the guide's verifier refuses it under the key's SHA-256 in hex")
				}
				if call := st.calling(e.ID); call != (control.ExportCalling{Tries: 1}) {
					t.Errorf("afterwards its call is %+v", call)
				}
			})
		})
	}
}

func TestTheCallOfAnExportIsTriedWithGrowingPausesForItsLife(t *testing.T) {
	for _, status := range []int{500, 404, 302, 429} {
		synctest.Test(t, func(t *testing.T) {
			st, r := newMemStore(), &receiver{status: status, header: http.Header{"Location": {"http://metadata.test/"}}, answer: strings.Repeat("x", 1<<20)}
			net := listen(t, r)
			e := st.exported(nil)
			_, log, _ := start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
			time.Sleep(24 * time.Hour)
			calls := r.got()
			if n := len(calls); n < 5 || n > 20 {
				t.Fatalf("status %d: %d calls", status, n)
			}
			for i, c := range calls {
				if c.path != "/done" || c.id != e.Prefix() {
					t.Errorf("call %d is of %s at %s", i, c.id, c.path)
				}
				if i > 1 && i < len(calls)-1 && c.at.Sub(calls[i-1].at) < calls[i-1].at.Sub(calls[i-2].at) {
					t.Errorf("the pause before call %d is shorter than the one before it", i)
				}
			}
			if last := calls[len(calls)-1].at; last.Sub(e.DoneAt) < 4*time.Hour || last.Sub(e.DoneAt) > 4*time.Hour+time.Second {
				t.Errorf("the last try is %v after the end, want 4 hours", last.Sub(e.DoneAt))
			}
			if call := st.calling(e.ID); !call.Next.IsZero() {
				t.Errorf("it is still to be tried: %+v", call)
			}
			if !strings.Contains(log.String(), "given up") {
				t.Error("the log does not say that it was given up")
			}
		})
	}
}

func TestTheCallOfAnExportComesThroughOnceItsReceiverIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, r := newMemStore(), &receiver{status: 503}
		net := listen(t, r)
		e, other := st.exported(nil), st.exported(func(e *control.Export) { e.Workspace, e.Spec.Callback = 2, "http://elsewhere.test/done" })
		start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(10 * time.Minute)
		r.set(0)
		time.Sleep(time.Hour)
		before := len(r.got())
		for _, x := range []control.Export{e, other} {
			if call := st.calling(x.ID); !call.Next.IsZero() {
				t.Errorf("it is still to be tried: %+v", call)
			}
		}
		time.Sleep(24 * time.Hour)
		if n := len(r.got()); n != before {
			t.Errorf("%d calls more after it was taken", n-before)
		}
	})
}

// The process dies after its call was taken and before that is written down: the next one calls again, under the same id.
func TestTheCallOfAnExportIsRepeatedAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, r := newMemStore(), &receiver{}
		net := listen(t, r)
		e := st.exported(nil)
		var dead atomic.Bool
		st.failNote = func(e control.Export) error {
			if dead.Load() || e.Call.Next.IsZero() {
				dead.Store(true)
				return errors.New("the process is dead")
			}
			return nil
		}
		_, _, stop := start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(time.Second)
		stop()
		if n := len(r.got()); n != 1 || !dead.Load() {
			t.Fatalf("%d calls before the crash", n)
		}
		st.failNote = nil
		start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(24 * time.Hour)
		calls := r.got()
		if len(calls) != 2 || calls[1].id != calls[0].id || string(calls[1].body) != string(calls[0].body) {
			t.Errorf("%d calls: %+v", len(calls), calls)
		}
		if call := st.calling(e.ID); call != (control.ExportCalling{Tries: 2}) {
			t.Errorf("afterwards its call is %+v", call)
		}
	})
}

func TestNobodyIsCalledWhereNobodyCouldCheckIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, r := newMemStore(), &receiver{}
		net := listen(t, r)
		e := st.exported(func(e *control.Export) { e.Key = "gone" })
		start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(24 * time.Hour)
		if n := len(r.got()); n > 0 {
			t.Errorf("%d calls, none of which can be checked", n)
		}
		if call := st.calling(e.ID); !call.Next.IsZero() {
			t.Errorf("it is still to be tried: %+v", call)
		}
	})
}
