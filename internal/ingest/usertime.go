package ingest

import (
	"strings"
	"time"
)

// timeLayouts are the forms of times that requests about people may have. Source: the vendor's page of the user
// attributes object. A fraction of a second may follow each.
var timeLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly, "01/02/2006", "Mon 01 02 15:04:05.Z07:00 2006", "Mon 01 02 15:04:05.MST 2006",
}

// parseTime reads a time; without a zone it is UTC. Years after 3000 are none.
func parseTime(s string) (time.Time, bool) {
	if len(s) < len("01/02/2006") || len(s) > 40 {
		return time.Time{}, false
	}
	if strings.Count(s, ":") == 3 && len(s) > 19 && s[19] == ':' { // 10:15:00:250Z, a colon before the fraction
		s = s[:19] + "." + s[20:]
	}
	for _, l := range timeLayouts {
		if t, err := time.Parse(l, s); err == nil {
			return t.UTC(), t.Year() <= 3000
		}
	}
	return time.Time{}, false
}

// normalTime is a time as profiles hold it.
func normalTime(t time.Time) string { return t.Format(time.RFC3339Nano) }
