package control

import (
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// A day of statistics is a date in its workspace's time zone, as a number of days since 1970-01-01, and an hour is one on the
// clocks there: 24 to each day. Where clocks go back, the two hours that are called alike are one.

// DayOf gives the day that holds t.
func DayOf(t time.Time, zone *time.Location) int32 { return since1970(t, zone, 24*60*60) }

// HourOf gives the hour that holds t.
func HourOf(t time.Time, zone *time.Location) int32 { return since1970(t, zone, 60*60) }

// since1970 counts in seconds on a zone's clocks.
func since1970(t time.Time, zone *time.Location, seconds int64) int32 {
	_, offset := t.In(zone).Zone()
	return int32(floor(t.Unix()+int64(offset), seconds))
}

// floor is n / by, downwards.
func floor(n, by int64) int64 {
	if n < 0 {
		n -= by - 1 // divisions go towards 0
	}
	return n / by
}

// DayHour gives the first hour of a day.
func DayHour(day int32) int32 { return day * 24 }

// HourStart gives when an hour begins. Of two that are called alike that is the first; one that clocks pass over has no
// moment of its own, and begins as the next does: there HourOf gives another.
func HourStart(hour int32, zone *time.Location) time.Time {
	return onClocks(time.Unix(int64(hour)*60*60, 0), zone)
}

// onClocks gives when the clocks of a zone first show what those of UTC show at wall, or go past it.
func onClocks(wall time.Time, zone *time.Location) time.Time {
	offset := func(at time.Time) time.Duration {
		_, seconds := at.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before, after := offset(wall.Add(-24*time.Hour)), offset(wall.Add(24*time.Hour))
	for _, o := range []time.Duration{max(before, after), min(before, after)} {
		if at := wall.Add(-o); offset(at) == o {
			return at.In(zone)
		}
	}
	return wall.Add(-before).In(zone)
}

// DateOf gives the date that a day is, as midnight in UTC.
func DateOf(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }

// DayText is the date that a day is, as 2026-11-22.
func DayText(day int32) string { return DateOf(day).Format(time.DateOnly) }

// DaySize is how many people a segment held on a day, when they were counted.
type DaySize struct {
	Day  int32 // see DayOf
	Size int64
	At   time.Time // when they were counted
	Rev  int64     // of the segment as it was then
}

// Stat is what is to be added to a count, or what a count holds.
type Stat struct {
	Name    int64 // of what it is about: a Name's, or WholeWorkspace
	Hour    int32 // since 1970, on the workspace's clocks: of counters that are kept by day, the first of the day
	Count   Counter
	Channel MessageChannel // of messages
	Part    string         // of a campaign its variation, of a Canvas and its steps the Canvas' variation, of everything else the app; empty: see Counter
	N       int64
	Revenue float64 // of purchases: the sum of their prices, whatever the currencies
}

// Money gives a sum of prices as it is written: adding up leaves traces in the last digits, and no currency has more than six.
func Money(sum float64) float64 {
	x, err := strconv.ParseFloat(strconv.FormatFloat(sum, 'f', 6, 64), 64)
	if err != nil {
		panic("control: a number was not read back: " + err.Error()) // none fails
	}
	return x + 0 // no sign of nothing
}

// Day is the day of the stat.
func (s Stat) Day() int32 { return int32(floor(int64(s.Hour), 24)) }

// WholeWorkspace is the name of what is counted of a workspace, and not of something in it. Names have positive numbers.
func WholeWorkspace(workspace uint32) int64 { return -int64(workspace) }

// MessageChannel is a medium, of push with the platform behind a slash: push/ios. Empty: of none, as conversions are.
type MessageChannel string

// ChannelOf gives the channel of a medium and, of push, the platform as events have it, which may be empty.
func ChannelOf(m Medium, platform string) MessageChannel {
	if m != MediumPush || platform == "" {
		return MessageChannel(m)
	}
	return MessageChannel(string(m) + "/" + strings.ToLower(platform))
}

// Medium is that of the channel.
func (c MessageChannel) Medium() Medium {
	m, _, _ := strings.Cut(string(c), "/")
	return Medium(m)
}

// Counter says what a Stat counts. Its numbers stand in databases.
//
// Those of messages, campaigns and Canvases are kept by day, and count events: somebody who opens twice counts twice. The
// sum over the channels and parts is what there was of them in all.
type Counter uint8

// The counters.
const (
	CountSent          Counter = 1
	CountDelivered     Counter = 2
	CountOpens         Counter = 3 // by people; of push: by a tap. Reads and views of cards too
	CountMachineOpens  Counter = 4 // by a mail program before anybody looked
	CountClicks        Counter = 5
	CountBotClicks     Counter = 6 // that a bot is suspected of
	CountBounces       Counter = 7
	CountSoftBounces   Counter = 8
	CountSpam          Counter = 9
	CountUnsubscribes  Counter = 10
	CountImpressions   Counter = 11
	CountBodyClicks    Counter = 12 // of push: taps on no button
	CountFirstButton   Counter = 13 // of in-app messages
	CountSecondButton  Counter = 14
	CountDismissals    Counter = 15
	CountRejected      Counter = 16
	CountFailed        Counter = 17
	CountAborted       Counter = 18
	CountCarrier       Counter = 19 // handed on by the carrier
	CountOptOuts       Counter = 20 // answers that end a subscription
	CountHelps         Counter = 21 // answers that ask for help
	CountConversions   Counter = 30 // by the first behaviour; 31 to 33 by the second to the fourth
	CountEntries       Counter = 34
	CountExits         Counter = 35
	CountControl       Counter = 36 // who came into the control group
	CountUniqueOpens   Counter = 40 // people, on the day on which they first opened; not stored: see room store
	CountUniqueClicks  Counter = 41 // likewise clicked
	CountEvents        Counter = 50 // of a custom event, by hour, each by its app
	CountPurchases     Counter = 51 // of a product and of the workspace, by hour, each by its app
	CountSessions      Counter = 52 // of the workspace, by hour, each by its app
	CountUninstalls    Counter = 53 // of the workspace, by day, each by its app
	CountActive        Counter = 60 // people with a session on a day: of the workspace in the part "", of an app in its part
	CountMonthly       Counter = 61 // likewise within 30 days: by how many more, or fewer, than on the day before
	CountNewUsers      Counter = 62 // people by the day of their first session, likewise
	maxConversionIndex         = 3
)

// CountConversion gives the counter of conversions by the behaviour of an index; false: there is no such behaviour.
func CountConversion(index int) (Counter, bool) {
	return CountConversions + Counter(index), index >= 0 && index <= maxConversionIndex
}

// Active is on which of the last days somebody was there.
type Active struct {
	Day  int32  `json:"day"`  // the newest
	Days uint64 `json:"days"` // one bit a day, the lowest for the newest
}

// A month of active users. Source: the vendor's description of monthly active users.
const monthDays = 30

// activeDays is how many days before the newest one can still be told: the days of a month before it have to be known.
const activeDays = 64 - monthDays

// Note notes a day, and says whether it is news: somebody who was not there on that day so far. It also gives the days,
// from from until until, on which they count as there within a month and did not so far; none: from is until. Days too far
// before the newest are no news.
func (a *Active) Note(day int32) (news bool, from, until int32) {
	if a.Days == 0 {
		a.Day = day
	}
	switch back := a.Day - day; {
	case back < 0:
		if back > -64 {
			a.Days <<= -back
		} else {
			a.Days = 0
		}
		a.Day = day
	case back >= activeDays || a.Days>>back&1 == 1:
		return false, 0, 0
	}
	back := a.Day - day
	earlier, later := a.Days>>back, a.Days&(1<<back-1)
	a.Days |= 1 << back
	from, until = day, day+monthDays
	if earlier != 0 {
		from = max(from, day-int32(bits.TrailingZeros64(earlier))+monthDays)
	}
	if later != 0 {
		until = min(until, a.Day-int32(bits.Len64(later))+1)
	}
	return true, from, max(from, until)
}

// Join adds the days of b.
func (a *Active) Join(b Active) {
	if a.Day < b.Day {
		*a, b = b, *a
	}
	if back := a.Day - b.Day; back < 64 {
		a.Days |= b.Days << back
	}
}
