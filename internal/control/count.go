package control

// Tally says what came of events: what is neither delivered nor dropped waits.
type Tally struct{ Accepted, Delivered, Dropped int64 }

// Plus adds two of them up.
func (t Tally) Plus(u Tally) Tally {
	return Tally{t.Accepted + u.Accepted, t.Delivered + u.Delivered, t.Dropped + u.Dropped}
}

// Minute is a minute of acceptance: minutes since 1970-01-01T00:00 UTC.
type Minute int32
