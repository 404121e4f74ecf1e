package store

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// jobsFor is how long a job that has ended can be looked at.
const jobsFor = 7 * 24 * time.Hour

// Sweep takes away what is past: sessions and tickets that have expired, answers of more than 24 h ago, jobs that ended
// more than 7 days ago, who was in files of exports that have expired.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	return s.inTx(ctx, "sweep", func(c conn) error {
		for _, w := range []struct {
			query string
			until time.Time
		}{
			{"DELETE FROM sessions WHERE expires_at <= ?", now},
			{"DELETE FROM tickets WHERE expires_at <= ?", now},
			{"DELETE FROM repeats WHERE at < ?", now.Add(-repeatsFor)},
			{"DELETE FROM jobs WHERE done_at < ?", now.Add(-jobsFor)},
		} {
			if _, err := c.exec(w.query, millis(w.until)); err != nil {
				return err
			}
		}
		return c.forgetHeld(now)
	})
}

// single gives the one row that was found. Errors: not_found, saying that there is no such thing.
func single[T any](s *Store, rows []T, err error, thing string) (one T, _ error) {
	if err == nil && len(rows) == 0 {
		err = fault.New(fault.NotFound, "", "there is no such %s", thing)
	}
	if err != nil {
		return one, s.fail(err, "find "+thing)
	}
	return rows[0], nil
}
