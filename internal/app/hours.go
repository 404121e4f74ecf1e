package app

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/ingest"
)

const (
	// hoursBack is how many missed hours are marked after a standstill. The mark of a later hour ends those before it
	// as well; an own mark only gives them a signal of their own.
	hoursBack = 48
	markAgain = 5 * time.Second  // after a mark that could not be appended
	markLook  = 30 * time.Second // longest sleep, since a machine that was suspended wakes up in another hour
)

// hoursToMark gives the hours that have ended by now and have no mark, oldest first. last is the newest hour with a
// mark; of a log without marks, the one before the hour in which it begins.
func hoursToMark(last eventlog.Hour, now time.Time) (hours []eventlog.Hour) {
	current := eventlog.HourOf(now)
	for h := max(last+1, current-hoursBack); h < current; h++ {
		hours = append(hours, h)
	}
	return hours
}

// lastMarked gives the newest hour that has a mark in log, or the one before the hour in which log begins.
//
// A mark stands shortly after the end of its hour, so that the newest is looked for from the present backwards.
func lastMarked(ctx context.Context, log eventlog.Log, now time.Time) (eventlog.Hour, error) {
	for back := time.Duration(1); back < 2*hoursBack; back *= 2 {
		last, err := marksSince(ctx, log, now.Truncate(time.Hour).Add(-(back-1)*time.Hour))
		if err != nil || last > 0 {
			return last, err
		}
	}
	begin := now
	if oldest := log.Usage().Oldest; !oldest.IsZero() {
		begin = oldest
	}
	return eventlog.HourOf(begin) - 1, nil
}

// marksSince gives the newest hour of which a mark was accepted at since or later; 0 if there is none.
func marksSince(ctx context.Context, log eventlog.Log, since time.Time) (last eventlog.Hour, err error) {
	from, err := log.OffsetAt(ctx, since)
	if err != nil {
		return 0, err
	}
	r, err := log.Reader(from, eventlog.Filter{Kind: eventlog.Control})
	if err != nil {
		return 0, err
	}
	defer r.Close() // only read
	for ctx.Err() == nil {
		c, err := r.Next()
		if c == nil || err != nil {
			return last, err
		}
		for rec := range c.Records() {
			if m, err := control.DecodeRecord(rec.Value); err == nil && m.Kind == control.RecordHour {
				last = max(last, m.Hour) // what cannot be read here is the applier's to report
			}
		}
	}
	return 0, ctx.Err()
}

// markHours appends the mark of each hour that ends, until ctx ends.
func (s *system) markHours(ctx context.Context, log eventlog.Log, in *ingest.Ingest) {
	last, known := eventlog.Hour(0), false
	for {
		var err error
		if !known {
			last, err = lastMarked(ctx, log, time.Now())
			known = err == nil
		}
		for _, h := range hoursToMark(last, time.Now()) {
			if !known || err != nil {
				break
			}
			if err = in.AppendHourMark(ctx, h); err == nil {
				last = h
			}
		}
		now := time.Now()
		wait := min(now.Truncate(time.Hour).Add(time.Hour).Sub(now), markLook)
		if err != nil && ctx.Err() == nil {
			s.logger.Error("the end of an hour is not marked yet; trying again", "error", err)
			wait = markAgain
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}
