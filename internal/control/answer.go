package control

import (
	"time"

	"github.com/millrace/millrace/internal/secret"
)

// Repeat is what is kept of a creation that was asked for with an Idempotency-Key: the same request again gets the
// same answer and makes nothing.
type Repeat struct {
	Key     KeyHash // of member, method, path and the key that the client chose
	Body    KeyHash // of the request's body: another one under the key is refused
	At      time.Time
	Status  int          // 0: still under way, or its process ended
	Headers string       // those that the answer had of its own, JSON
	Answer  secret.Value // the body; it may show a secret that is shown once
}
