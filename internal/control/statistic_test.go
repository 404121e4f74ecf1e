package control

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestDaysAndHoursAreCountedFrom1970(t *testing.T) {
	for text, want := range map[string][2]int32{
		"1970-01-01T00:00:00Z": {0, 0}, "1969-12-31T23:59:59Z": {-1, -1}, "1969-12-31T00:00:00Z": {-1, -24}, "2026-11-22T01:30:00+02:00": {20778, 20778*24 + 23},
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int32{DayOf(at, time.UTC), HourOf(at, time.UTC)}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if s := (Stat{Hour: want[1]}); s.Day() != want[0] || DayOf(DateOf(want[0]), time.UTC) != want[0] {
			t.Errorf("%s: the hour is of day %d", text, s.Day())
		}
	}
}

// Days and hours are those that clocks of the zone show, whatever these do.
func TestDaysAndHoursAreThoseOfTheZone(t *testing.T) {
	for _, c := range []struct{ zone, at, day, hour, begins string }{
		{"America/Sao_Paulo", "2026-11-23T02:59:59Z", "2026-11-22", "2026-11-22T23", "2026-11-22T23:00:00-03:00"},
		{"America/Sao_Paulo", "2026-11-23T03:00:00Z", "2026-11-23", "2026-11-23T00", "2026-11-23T00:00:00-03:00"},
		{"Asia/Kolkata", "2026-11-22T18:29:59Z", "2026-11-22", "2026-11-22T23", "2026-11-22T23:00:00+05:30"},
		{"Asia/Kolkata", "2026-11-22T18:30:00Z", "2026-11-23", "2026-11-23T00", "2026-11-23T00:00:00+05:30"},
		{"Asia/Kathmandu", "2026-11-22T18:15:00Z", "2026-11-23", "2026-11-23T00", "2026-11-23T00:00:00+05:45"},
		{"Pacific/Kiritimati", "2026-11-22T10:00:00Z", "2026-11-23", "2026-11-23T00", "2026-11-23T00:00:00+14:00"},
		{"Europe/Madrid", "2026-03-29T01:00:00Z", "2026-03-29", "2026-03-29T03", "2026-03-29T03:00:00+02:00"}, // 02:00 was passed over
		{"Europe/Madrid", "2026-10-25T01:30:00Z", "2026-10-25", "2026-10-25T02", "2026-10-25T02:00:00+02:00"}, // the second of two
		{"America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04", "2018-11-04T01", "2018-11-04T01:00:00-02:00"},
		{"UTC", "1969-12-31T23:30:00Z", "1969-12-31", "1969-12-31T23", "1969-12-31T23:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		zone := ZoneOf(c.zone)
		hour := HourOf(at, zone)
		got := [3]string{DayText(DayOf(at, zone)), time.Unix(int64(hour)*60*60, 0).UTC().Format("2006-01-02T15"), HourStart(hour, zone).Format(time.RFC3339)}
		if want := [3]string{c.day, c.hour, c.begins}; got != want {
			t.Errorf("%s in %s: %v, want %v", c.at, c.zone, got, want)
		}
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for _, name := range []string{"America/Havana", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"} {
		zone := ZoneOf(name)
		for range 2000 {
			at := time.Unix(r.Int64N(1_900_000_000), 0)
			hour, day := HourOf(at, zone), DayOf(at, zone)
			if begins := HourStart(hour, zone); begins.After(at) || HourOf(begins, zone) != hour || (Stat{Hour: hour}).Day() != day || DayText(day) != at.In(zone).Format(time.DateOnly) {
				t.Fatalf("seed %d: %s in %s is of day %s and hour %d, which begins at %s", seed, at.UTC(), name, DayText(day), hour, begins)
			}
		}
	}
}

// Somebody counts once on each day on which they were there, and once in each 30 days that hold such a day, in whatever
// order the days are told.
func TestWhatAddingUpLeavesIsNoMoney(t *testing.T) {
	for _, c := range []struct{ of, want float64 }{{0.1 + 0.2 + 1e-15, 0.3}, {59.96999931349, 59.969999}, {59.97 - 1e-13, 59.97}, {-12.5, -12.5}, {1e300, 1e300}, {0, 0}} {
		if got := Money(c.of); got != c.want {
			t.Errorf("%v is %v, want %v", c.of, got, c.want)
		}
	}
	if math.Signbit(Money(-1e-9)) {
		t.Error("nothing has a sign")
	}
}

func TestActiveDaysCountOnceInAnyOrder(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		var a Active
		there, daily, monthly := map[int32]bool{}, map[int32]int{}, map[int32]int{}
		newest, start := int32(0), 20_000+r.Int32N(100)
		for i := range 60 {
			day := start + r.Int32N(int32(2*i+1))
			if i > 0 && newest-day >= activeDays {
				if news, from, until := a.Note(day); news || from != until {
					t.Fatalf("seed %d: day %d is news %d days later", seed, day, newest-day)
				}
				continue
			}
			newest = max(newest, day)
			news, from, until := a.Note(day)
			if news == there[day] {
				t.Fatalf("seed %d: day %d: news is %v", seed, day, news)
			}
			there[day] = true
			if news {
				daily[day]++
			}
			for d := from; d < until; d++ {
				monthly[d]++
			}
		}
		for d := start - 1; d < newest+40; d++ {
			want := 0
			for back := range int32(monthDays) {
				if there[d-back] {
					want = 1
				}
			}
			if monthly[d] != want {
				t.Fatalf("seed %d: on day %d they count %d times within a month, want %d; they were there on %v", seed, d, monthly[d], want, there)
			}
		}
	}
}

func TestActiveDaysOfTwoAreJoined(t *testing.T) {
	var a, b Active
	a.Note(100)
	a.Note(103)
	b.Note(110)
	b.Note(103)
	both := a
	both.Join(b)
	b.Join(a)
	if both != b || both.Day != 110 {
		t.Fatalf("%+v and %+v", both, b)
	}
	for day, news := range map[int32]bool{100: false, 103: false, 110: false, 104: true} {
		if got, _, _ := both.Note(day); got != news {
			t.Errorf("day %d: news is %v", day, got)
		}
	}
}
