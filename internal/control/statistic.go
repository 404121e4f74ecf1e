package control

import "time"

// A day of statistics is a number of days since 1970-01-01. Statistics have days of UTC: workspaces have no time zone.

// DayOf gives the day that holds t.
func DayOf(t time.Time) int32 {
	s := t.Unix()
	if s < 0 {
		s -= 24*60*60 - 1 // divisions go towards 0
	}
	return int32(s / (24 * 60 * 60))
}

// DayStart is the first moment of a day.
func DayStart(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }

// DaySize is how many people a segment held on a day, when they were counted.
type DaySize struct {
	Day  int32 // see DayOf
	Size int64
	At   time.Time // when they were counted
	Rev  int64     // of the segment as it was then
}
