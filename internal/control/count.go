package control

import "time"

// Tally says what came of events: what is neither delivered nor dropped waits. Bytes are those of the files that
// delivered.
type Tally struct{ Accepted, Delivered, Dropped, Bytes int64 }

// Plus adds two of them up.
func (t Tally) Plus(u Tally) Tally {
	return Tally{t.Accepted + u.Accepted, t.Delivered + u.Delivered, t.Dropped + u.Dropped, t.Bytes + u.Bytes}
}

// Minute is a minute of acceptance: minutes since 1970-01-01T00:00 UTC.
type Minute int32

// MinuteOf gives the minute that holds t.
func MinuteOf(t time.Time) Minute { return Minute(t.Unix() / 60) }

// Start is the first moment of the minute, in UTC.
func (m Minute) Start() time.Time { return time.Unix(int64(m)*60, 0).UTC() }

// MinutesKept is for how many minutes it is kept what was accepted in each.
const MinutesKept = 3 * 60
