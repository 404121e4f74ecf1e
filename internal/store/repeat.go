package store

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const (
	// repeatsFor is how long an answer is kept for requests that come again.
	repeatsFor = 24 * time.Hour
	// underWayFor is how long a request may take. One that takes longer has lost its process.
	underWayFor = 2 * time.Minute
)

// sealRepeat binds a sealed answer to its key.
func sealRepeat(key []byte) string { return "answer under " + hex.EncodeToString(key) }

// BeginRepeat reserves r.Key for the request that came at r.At, or gives what stands there: begun says which. An
// answer of more than 24 h ago counts as gone, and so does a request that has been under way for more than 2 minutes:
// then the former can end no more.
func (s *Store) BeginRepeat(ctx context.Context, r control.Repeat) (had control.Repeat, begun bool, err error) {
	err = s.inTx(ctx, "begin repeatable request", func(c conn) error {
		n, err := c.exec(`INSERT INTO repeats (hash, body_hash, at, status, headers) VALUES (?, ?, ?, 0, '')
			ON CONFLICT (hash) DO UPDATE SET body_hash = excluded.body_hash, at = excluded.at, status = 0, headers = '', answer = NULL
			WHERE repeats.at < ? OR repeats.status = 0 AND repeats.at < ?`,
			r.Key[:], r.Body[:], millis(r.At), millis(r.At.Add(-repeatsFor)), millis(r.At.Add(-underWayFor)))
		if begun = n == 1; err != nil || begun {
			return err
		}
		had, err = c.repeat(r.Key)
		return err
	})
	return had, begun && err == nil, err
}

func (c conn) repeat(key control.KeyHash) (r control.Repeat, err error) {
	r.Key = key
	var body, answer []byte
	var at int64
	if err = c.one("SELECT body_hash, at, status, headers, answer FROM repeats WHERE hash = ?", []any{key[:]}, &body, &at, &r.Status, &r.Headers, &answer); err != nil {
		return r, err
	}
	copy(r.Body[:], body)
	r.At = fromMillis(at)
	r.Answer, err = c.s.openOptional(answer, sealRepeat(key[:]))
	return r, err
}

// EndRepeat keeps the answer to the request that reserved r.Key at r.At. Errors: stale if somebody else has taken the
// key over.
func (s *Store) EndRepeat(ctx context.Context, r control.Repeat) error {
	sealed, err := s.ring.Seal(r.Answer, sealRepeat(r.Key[:]))
	if err != nil {
		return s.fail(err, "end repeatable request")
	}
	return s.inTx(ctx, "end repeatable request", func(c conn) error {
		n, err := c.exec("UPDATE repeats SET status = ?, headers = ?, answer = ? WHERE hash = ? AND at = ? AND status = 0",
			r.Status, r.Headers, sealed, r.Key[:], millis(r.At))
		if err == nil && n == 0 {
			err = fault.New(fault.Stale, "", "the Idempotency-Key was taken over by a later request")
		}
		return err
	})
}

// DropRepeat gives the key back that was reserved at r.At, after a request that made nothing.
func (s *Store) DropRepeat(ctx context.Context, r control.Repeat) error {
	return s.inTx(ctx, "drop repeatable request", func(c conn) error {
		_, err := c.exec("DELETE FROM repeats WHERE hash = ? AND at = ? AND status = 0", r.Key[:], millis(r.At))
		return err
	})
}
