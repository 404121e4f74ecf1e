package control

import (
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Rejection is an event that was not taken, or a body that was refused whole, kept for a while so that a producer's
// engineer can see why.
type Rejection struct {
	At       time.Time
	Whole    bool // the body of a request: nothing of it was taken
	Index    int  // of an event in its request
	Problems []fault.Problem
	More     bool   // it had more problems than are kept
	Sample   string // the beginning, with every value masked
}
