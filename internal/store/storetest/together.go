package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
)

type counter interface {
	AddCounts(ctx context.Context, log eventlog.ID, next eventlog.Offset, counts []control.Count) error
}

type leaser interface {
	AcquireLease(ctx context.Context, log eventlog.ID, owner string, ttl time.Duration) (bool, error)
	RenewLease(ctx context.Context, log eventlog.ID, owner string, ttl time.Duration) (bool, error)
}

// together has several stores on one database, as several processes would.
func together(run runner) {
	run("two workers on one lane never overwrite each other", func(t *testing.T, e *env) {
		l := e.lane()
		stores := []saver{e.open(), e.open()}
		var mu sync.Mutex
		saved := map[eventlog.Offset]int{}
		var wg sync.WaitGroup
		errs := make(chan error, 2*40)
		for i, s := range stores {
			wg.Go(func() {
				for n := 0; n < 20; {
					p, err := s.Position(t.Context(), l)
					if err != nil {
						errs <- err
						return
					}
					f := e.file(l, p.Cursor, p.Cursor)
					f.Key = fmt.Sprintf("%d-%d", i, p.Cursor)
					p.Cursor++
					_, err = s.Save(t.Context(), control.Save{Position: p, Files: []control.File{f}})
					if fault.Is(err, fault.Stale) {
						continue
					}
					if err != nil {
						errs <- err
						return
					}
					n++
					mu.Lock()
					saved[p.Cursor]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			t.Fatal(err)
		}
		p := e.position(l)
		if p.Cursor != 50 || p.Seq != 40 || len(saved) != 40 {
			t.Fatalf("position %+v after %d saves", p, len(saved))
		}
		files, err := e.Files(t.Context(), control.LedgerFilter{}, 0, 100)
		ok(t, err)
		equal(t, "files", len(files), 40)
	})
	run("of two that take the same folder one is refused", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		var wg sync.WaitGroup
		results := make([]error, 4)
		for i := range results {
			s := e.open()
			c := e.draft(w, fmt.Sprint("c", i))
			c.Destination.Folder = "same"
			wg.Go(func() { results[i] = s.CreateConnector(t.Context(), c, credentials()) })
		}
		wg.Wait()
		made := 0
		for _, err := range results {
			if err == nil {
				made++
			} else if !fault.Is(err, fault.Conflict) {
				t.Errorf("%v, want conflict", err)
			}
		}
		equal(t, "connectors made", made, 1)
	})
	run("while lanes are saved and connectors changed, each hour is told once, whoever looks for it", func(t *testing.T, e *env) {
		const connectors, hours, step = 4, 10, 100
		ctx, w := t.Context(), e.workspace("acme")
		var all []control.Connector
		for i := range connectors {
			all = append(all, e.connector(w, fmt.Sprint("c", i), 9))
		}
		for i := range hours {
			e.ended(eventlog.Offset(i+1)*step, eventlog.HourOf(e.now)+eventlog.Hour(i))
		}
		e.counted((hours + 1) * step)
		stores := []*store.Store{e.open(), e.open()}
		var wg sync.WaitGroup
		for i, c := range all {
			s := stores[i%2]
			wg.Go(func() {
				for at := eventlog.Offset(0); at <= hours*step; {
					p, err := s.Position(ctx, laneOf(c.Config))
					if err == nil {
						p.Cursor += 70
						at = p.Cursor
						_, err = s.Save(ctx, control.Save{Position: p, Files: []control.File{e.file(p.Lane, p.Cursor, p.Cursor)}})
					}
					if err != nil {
						t.Errorf("save: %v", err)
						return
					}
				}
			})
			wg.Go(func() {
				for n := range 5 {
					c.ContactEmail = fmt.Sprintf("%d@example.com", n)
					if err := s.UpdateConnector(ctx, c, nil); err != nil {
						t.Errorf("change: %v", err)
						return
					}
					c.Rev++
				}
			})
		}
		var mu sync.Mutex
		told := map[string]int{}
		look := func(s *store.Store) (some bool, err error) {
			done, err := s.CompleteHours(ctx, e.log)
			mu.Lock()
			defer mu.Unlock()
			for _, h := range done {
				told[fmt.Sprint(h.Connector, h.Hour)]++
			}
			return len(told) < connectors*hours, err
		}
		var looking sync.WaitGroup
		for _, s := range stores {
			looking.Go(func() {
				for {
					if some, err := look(s); err != nil || !some || t.Failed() {
						if err != nil {
							t.Errorf("complete: %v", err)
						}
						return
					}
				}
			})
		}
		wg.Wait()
		looking.Wait()
		for h, n := range told {
			if n != 1 {
				t.Errorf("hour %s is told %d times", h, n)
			}
		}
		equal(t, "hours", len(told), connectors*hours)
		for _, c := range all {
			got, err := e.Connector(ctx, w.Number, c.Connector)
			ok(t, err)
			equal(t, "changes", got.Rev, 5)
		}
	})
	run("what one saves the other sees at once", func(t *testing.T, e *env) {
		other := e.open()
		w := e.workspace("acme")
		got, err := other.Workspace(t.Context(), "acme")
		ok(t, err)
		equal(t, "workspace", got, w)
	})
	run("a call that was given up leaves nothing and blocks nobody", func(t *testing.T, e *env) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := control.Workspace{Number: 5, Name: "never", UnknownFields: control.RejectUnknown}
		err := e.CreateWorkspace(ctx, w)
		want(t, err, fault.Unavailable)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v does not say that it was given up", err)
		}
		_, err = e.Workspace(t.Context(), "never")
		want(t, err, fault.NotFound)
		ok(t, e.CreateWorkspace(t.Context(), w))
	})
}

type saver interface {
	Position(ctx context.Context, l control.Lane) (control.Position, error)
	Save(ctx context.Context, sv control.Save) (int64, error)
}
