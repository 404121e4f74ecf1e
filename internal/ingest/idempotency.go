package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// Headers of repeated requests.
const (
	IdempotencyHeader = "Idempotency-Key"
	ReplayedHeader    = "Idempotency-Replayed" // true on an answer that was given before
)

// maxIdempotencyKey is the longest key, in bytes.
const maxIdempotencyKey = 255

// idempotencyKey gives the request's key; "" if it has none. Errors: invalid.
func idempotencyKey(h http.Header) (string, error) {
	keys, ok := h[IdempotencyHeader]
	if !ok {
		return "", nil
	}
	good := len(keys) == 1 && len(keys[0]) >= 1 && len(keys[0]) <= maxIdempotencyKey
	if good {
		for i := range len(keys[0]) {
			good = good && keys[0][i] > ' ' && keys[0][i] <= '~'
		}
	}
	if !good {
		e := fault.New(fault.Invalid, "", "The Idempotency-Key must be one value of 1 to %d visible ASCII characters.", maxIdempotencyKey)
		e.Fields = []fault.Problem{{Field: IdempotencyHeader, Code: "invalid", Message: e.Message()}}
		return "", e
	}
	return keys[0], nil
}

// hashKey names an idempotency key in its workspace, whichever API key carried it: one that is exchanged between a
// request and its repetition must not make the events count twice.
func hashKey(workspace uint32, key string) eventlog.KeyHash {
	b := make([]byte, 4, 4+maxIdempotencyKey)
	binary.LittleEndian.PutUint32(b, workspace)
	sum := sha256.Sum256(append(b, key...))
	return eventlog.KeyHash{Workspace: workspace, Hash: [16]byte(sum[:16])}
}

// hashBody tells bodies apart that came under one key. It guards a producer against its own mistake, not against an
// attacker, who would only harm himself; so the fast hash is enough (XXH3, 128 bits, seeded with the path's), and a
// cryptographic one would cost more than reading the JSON.
func hashBody(path string, body []byte) [16]byte {
	return xxh3.Hash128Seed(body, xxh3.HashString(path)).Bytes()
}

// claimKey gets the right to answer under key, or the answer that was given before.
//
// Errors: unavailable, if another request with the key does not end in time.
func (q *request) claimKey(ctx context.Context, key string) (*eventlog.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, q.in.cfg.AnswerLimit)
	defer cancel()
	claim, prior, err := q.in.log.Claim(ctx, hashKey(q.grant.Workspace, key))
	if err != nil {
		if ctx.Err() != nil {
			return nil, fault.New(fault.Unavailable, "claim key", "Another request with this Idempotency-Key is still being answered.").WithRetry(time.Second).WithCause(err)
		}
		return nil, fault.Wrap(err, "claim key")
	}
	q.claim = claim
	return prior, nil
}

// replay answers what was answered before. Errors: conflict, if that was to another body.
func (q *request) replay(w http.ResponseWriter, body [16]byte, prior *eventlog.Answer) error {
	if prior.Body != body {
		e := fault.New(fault.Conflict, "repeat request", "This Idempotency-Key was used for a request with another body.").
			WithHint("Use a new key for each request, and the same one only for its repetitions, byte for byte.")
		e.Fields = []fault.Problem{{Field: IdempotencyHeader, Code: "reused", Message: e.Message()}}
		return e
	}
	if q.in.hooks.OnReplayed != nil {
		q.in.hooks.OnReplayed(q.grant)
	}
	w.Header().Set(ReplayedHeader, "true")
	httpd.WriteJSON(w, int(prior.Status), replayed{int(prior.Accepted), int(prior.Rejected), prior.Rejected > 0})
	return nil
}
