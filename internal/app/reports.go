package app

import (
	"context"
	"time"
)

// scheduleLook is how often it is looked whether a report is due.
const scheduleLook = 30 * time.Second

// runSchedules asks for the reports that are due, until ctx ends. Its timer stands still while a machine sleeps, and what was
// due meanwhile is found by the clock.
func (s *system) runSchedules(ctx context.Context) {
	for s.profiles != nil && sleep(ctx, scheduleLook) {
		if err := s.rules.RunSchedules(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("reports on a schedule were not all asked for; it is tried again", "error", err)
		}
	}
}
