package app

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
)

const (
	sizeLook = time.Minute
	// After each segment that was counted nothing is for so many times as long as that took: most of the machine is for
	// events.
	sizeRest = 4
	sizeDays = 800 // that sizes are kept
)

// countSegments counts the people of each segment that wants it once a day, and again when its filter changes, until ctx
// ends.
func (s *system) countSegments(ctx context.Context) {
	for s.profiles != nil && sleep(ctx, sizeLook) {
		if err := s.countDue(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("segments were not all counted; it is tried again", "error", err)
		}
	}
}

// countDue counts the segments that were not counted today as they are. One that cannot be counted holds up no other.
func (s *system) countDue(ctx context.Context) error {
	all, err := s.plane.store.Workspaces(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, w := range all {
		if err := s.countOf(ctx, w.Number, w.Zone()); err != nil {
			failed = err
		}
	}
	return failed
}

func (s *system) countOf(ctx context.Context, workspace uint32, zone *time.Location) (failed error) {
	segments, err := s.plane.store.Segments(ctx, workspace)
	if err != nil {
		return err
	}
	last, err := s.profiles.LastSizes(ctx, workspace)
	if err != nil {
		return err
	}
	kept, fresh := []control.SegmentID{}, false
	for _, x := range segments {
		kept = append(kept, x.ID)
		had, now := last[x.ID], time.Now().UTC()
		delete(last, x.ID)
		if today := control.DayOf(now, zone); !x.Analytics || had.Day == today && had.Rev == x.Rev {
			continue
		}
		n, err := s.profiles.Size(ctx, workspace, x.Filter, now)
		if err == nil {
			fresh = true
			err = s.profiles.SaveSize(ctx, workspace, x.ID, control.DaySize{Day: control.DayOf(now, zone), Size: n, At: now, Rev: x.Rev})
		}
		if err != nil {
			failed = err
		}
		if !sleep(ctx, sizeRest*time.Since(now)) {
			return failed
		}
	}
	if failed == nil && (fresh || len(last) > 0) { // what is left is of segments that are gone
		failed = s.profiles.DropSizes(ctx, workspace, control.DayOf(time.Now(), zone)-sizeDays, kept)
	}
	return failed
}
