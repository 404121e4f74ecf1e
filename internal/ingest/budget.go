package ingest

import (
	"sync/atomic"

	"github.com/millrace/millrace/internal/eventlog"
)

// budget is memory that requests share, in bytes. Nobody waits for it: what does not fit is refused, so that the
// producer's retry is the queue.
type budget struct{ free atomic.Int64 }

// take takes n bytes, all or none.
func (b *budget) take(n int64) bool {
	if b.free.Add(-n) >= 0 {
		return true
	}
	b.free.Add(n)
	return false
}

func (b *budget) give(n int64) { b.free.Add(n) }

// weight is what a body of n bytes may need: itself, and its events encoded, which are no longer than their JSON
// in all but odd cases.
func weight(n int64) int64 { return n + min(n, eventlog.MaxBatchBytes) }

// heaviest is the longest body of which the weight is at most n.
func heaviest(n int64) int64 { return max(n/2, n-eventlog.MaxBatchBytes) }
