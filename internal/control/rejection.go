package control

import (
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Rejection is an event that was not taken, kept for a while so that a producer's engineer can see why.
type Rejection struct {
	At       time.Time
	Index    int // in its request
	Problems []fault.Problem
	Sample   string // the beginning of the event, with every value masked
}
