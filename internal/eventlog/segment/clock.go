package segment

import "time"

// clock is what ages are counted on, in milliseconds: idempotency windows and retention must not jump with the
// wall clock. It begins at the wall clock's time, or where the log's own clock stood if that is later, and goes
// by the monotonic clock from there.
type clock struct {
	begin   time.Time // with its monotonic reading
	beginMS int64
}

func newClock(last int64) clock {
	now := time.Now()
	return clock{begin: now, beginMS: max(now.UnixMilli(), last)}
}

func (c clock) now() int64 { return c.beginMS + time.Since(c.begin).Milliseconds() }
