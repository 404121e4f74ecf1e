package segment_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs"
)

const (
	benchEvents = 1000
	benchBytes  = 400
	benchWriter = 16
)

func benchBatch() *eventlog.Batch {
	b := &eventlog.Batch{}
	b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
	value := make([]byte, benchBytes)
	for i := range value {
		value[i] = byte(i * 7)
	}
	for range benchEvents {
		b.Add(1, value)
	}
	return b
}

// BenchmarkAppend is 16 connections that post a thousand events of 400 bytes each at a time.
func BenchmarkAppend(b *testing.B) {
	l := mustOpen(b, segment.Config{FS: vfs.OS(b.TempDir())})
	defer l.Close()
	b.SetBytes(int64(benchBatch().Size()))
	b.ReportAllocs()
	share(b, func() func() error {
		batch := benchBatch()
		return func() error { _, err := l.Append(b.Context(), batch); return err }
	})
}

// BenchmarkAppendSmall is the same with one event at a time, where the cost of an append itself shows.
func BenchmarkAppendSmall(b *testing.B) {
	l := mustOpen(b, segment.Config{FS: vfs.OS(b.TempDir())})
	defer l.Close()
	b.ReportAllocs()
	share(b, func() func() error {
		batch := &eventlog.Batch{}
		batch.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
		batch.Add(1, make([]byte, benchBytes))
		return func() error { _, err := l.Append(b.Context(), batch); return err }
	})
}

// BenchmarkBareWrite is the least that can be done for the same bytes: write up to 64 of them, sync, next.
func BenchmarkBareWrite(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	type commit struct {
		p    []byte
		done chan struct{}
	}
	pending := make(chan commit, 256)
	go func() {
		for c := range pending {
			group := []commit{c}
		more:
			for len(group) < 64 {
				select {
				case c := <-pending:
					group = append(group, c)
				default:
					break more
				}
			}
			for _, c := range group {
				f.Write(c.p)
			}
			f.Sync()
			for _, c := range group {
				close(c.done)
			}
		}
	}()
	defer close(pending)
	b.SetBytes(int64(benchBatch().Size()))
	b.ReportAllocs()
	share(b, func() func() error {
		p := benchBatch().Payload()
		return func() error {
			c := commit{p, make(chan struct{})}
			pending <- c
			<-c.done
			return nil
		}
	})
}

// share spreads the operations over 16 goroutines.
func share(b *testing.B, worker func() func() error) {
	var wg sync.WaitGroup
	b.ResetTimer()
	for g := range benchWriter {
		n := b.N / benchWriter
		if g < b.N%benchWriter {
			n++
		}
		do := worker()
		wg.Go(func() {
			for range n {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

// BenchmarkRead reads commits back: from the memory of new ones, and from the disk with all checks.
func BenchmarkRead(b *testing.B) {
	for name, cache := range map[string]int64{"memory": 64 << 20, "disk": 1} {
		b.Run(name, func(b *testing.B) {
			l := mustOpen(b, segment.Config{FS: vfs.OS(b.TempDir()), CacheBytes: cache})
			defer l.Close()
			batch := benchBatch()
			for range 50 {
				if _, err := l.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(batch.Size()))
			b.ReportAllocs()
			r, err := l.Reader(0, eventlog.Filter{})
			for b.Loop() {
				if err != nil {
					b.Fatal(err)
				}
				c, nerr := r.Next()
				if nerr != nil {
					b.Fatal(nerr)
				}
				if c == nil {
					r.Close()
					r, err = l.Reader(0, eventlog.Filter{})
				}
			}
			r.Close()
		})
	}
}
