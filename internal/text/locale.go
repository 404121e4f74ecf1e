package text

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// plural is a form that counting asks for.
type plural int

const (
	other plural = iota
	one
	many
)

// plural gives the form for n things.
//
// Source: Unicode CLDR 48, cardinal rules of en, pt and es for whole numbers. Negative numbers count like positive
// ones.
func (l Language) plural(n int64) plural {
	if n < 0 {
		n = -n
	}
	switch l {
	case Portuguese:
		if n <= 1 {
			return one
		}
	default:
		if n == 1 {
			return one
		}
	}
	if l != English && n != 0 && n%1_000_000 == 0 {
		return many
	}
	return other
}

// Number writes n with the language's separators: 12,480 in English, 12.480 in the others; in Spanish numbers of
// four digits have none. Source: Unicode CLDR 48, decimal formats and minimumGroupingDigits.
func (l Language) Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	l = l.known()
	if len(s) < 4 || l == Spanish && len(s) == 4 {
		return sign + s
	}
	separator := "."
	if l == English {
		separator = ","
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, digit := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteString(separator)
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// Amount writes a sum of money with two decimals: 1,234.50 in English, 1.234,50 in the others.
func (l Language) Amount(x float64) string {
	s := strconv.FormatFloat(x, 'f', 2, 64)
	n, err := strconv.ParseInt(s[:len(s)-3], 10, 64)
	if err != nil { // more than anybody spends
		return s
	}
	sign := ""
	if n == 0 && s[0] == '-' {
		sign = "-"
	}
	point := ","
	if l.known() == English {
		point = "."
	}
	return sign + l.Number(n) + point + s[len(s)-2:]
}

// Tenths writes a number of tenths with one decimal: 12.5 in English, 12,5 in the others.
func (l Language) Tenths(n int64) string {
	point := ","
	if l.known() == English {
		point = "."
	}
	return l.Number(n/10) + point + strconv.FormatInt(n%10, 10)
}

// Short writes n in three or four characters of digits, for axes: 1.5K, 20M in English, 1,5 mil, 20 mi in Portuguese.
// What it leaves out is cut off. Source: Unicode CLDR 48, short compact decimal formats.
func (l Language) Short(n int64) string {
	key, size := "", int64(1)
	for _, u := range [...]struct {
		key  string
		size int64
	}{{"number.thousand", 1_000}, {"number.million", 1_000_000}, {"number.billion", 1_000_000_000}} {
		if n >= u.size {
			key, size = u.key, u.size
		}
	}
	if key == "" {
		return l.Number(n)
	}
	s := l.Number(n / size)
	if tenth := n % size * 10 / size; tenth > 0 && n < 100*size {
		point := ","
		if l.known() == English {
			point = "."
		}
		s += point + strconv.FormatInt(tenth, 10)
	}
	return T(l, key, Params{"n": s})
}

// Bytes writes a size in powers of 1,024 with at most one decimal: 1.5 GiB, 1,5 GiB.
func (l Language) Bytes(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v, u := float64(n), 0
	for (v >= 1023.95 || v <= -1023.95) && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	s := strconv.FormatFloat(v, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	if l.known() != English {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s + " " + units[u]
}

// Duration writes d in its two largest units, cut, not rounded: "1 day 23 hours". Below a second it is "0 seconds";
// the sign is left out.
func (l Language) Duration(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	units := []struct {
		key  string
		size time.Duration
	}{
		{"duration.days", 24 * time.Hour},
		{"duration.hours", time.Hour},
		{"duration.minutes", time.Minute},
		{"duration.seconds", time.Second},
	}
	for i, u := range units {
		n := d / u.size
		if n == 0 && i < len(units)-1 {
			continue
		}
		first := T(l, u.key, Params{"n": int64(n)})
		if i == len(units)-1 {
			return first
		}
		m := d % u.size / units[i+1].size
		if m == 0 {
			return first
		}
		return T(l, "duration.two", Params{"first": first, "second": T(l, units[i+1].key, Params{"n": int64(m)})})
	}
	return ""
}

// Time writes a moment to the minute, in zone, with the zone's name: "22 November 2026, 10:15 UTC". A nil zone is
// UTC.
func (l Language) Time(t time.Time, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	t = t.In(zone)
	name, _ := t.Zone()
	if name == "" || strings.ContainsAny(name[:1], "+-") {
		name = "UTC" + t.Format("-07:00") // zones without a name of their own
	}
	return T(l, "date.time", Params{"date": l.Date(t), "time": t.Format("15:04"), "zone": name})
}

// Date writes the day that t's own zone has at t: "22 November 2026".
func (l Language) Date(t time.Time) string {
	day := strconv.Itoa(t.Day())
	if l == Portuguese && t.Day() == 1 {
		day = "1º" // the first alone is an ordinal
	}
	months := strings.Fields(T(l, "date.months", nil))
	return T(l, "date.day", Params{"day": day, "month": months[t.Month()-1], "year": strconv.Itoa(t.Year())})
}

// DayMonth writes the day that t's own zone has at t in short: "22 Nov".
func (l Language) DayMonth(t time.Time) string {
	month := []rune(strings.Fields(T(l, "date.months", nil))[t.Month()-1])
	return strconv.Itoa(t.Day()) + " " + string(month[:3])
}

// bySound gives what stands before a word in Spanish: y before the sound of i is e, o before that of o is u. Source: the
// orthography of the Real Academia Española.
func bySound(before, word string) string {
	word = strings.TrimPrefix(strings.ToLower(strings.TrimLeft(word, "(«\"")), "h")
	begins := func(some ...string) bool {
		return slices.ContainsFunc(some, func(s string) bool { return strings.HasPrefix(word, s) })
	}
	switch stem, and := strings.CutSuffix(before, " y "); {
	case and && begins("i", "í") && !begins("ia", "ie", "io", "iu"): // hielo, ion: the sound is that of y
		return stem + " e "
	case and:
		return before
	}
	if stem, or := strings.CutSuffix(before, " o "); or && begins("o", "ó") {
		return stem + " u "
	}
	return before
}
