package store

import "github.com/millrace/millrace/internal/eventlog"

// mark is where an hour is over, with the mark before it.
type mark struct {
	at, before eventlog.Offset
	hour, last eventlog.Hour // last: that of the mark before
}

// hoursBefore is how many hours before the first mark of a log are looked at.
const hoursBefore = 48

// marks gives the marks of a log above after, in order.
func (c conn) marks(log eventlog.ID, after eventlog.Offset) ([]mark, error) {
	return list(c, func(r scanner) (m mark, err error) {
		return m, r.Scan(&m.at, &m.hour, &m.before, &m.last)
	}, `SELECT m.mark_offset, m.hour, COALESCE(p.mark_offset, -1), COALESCE(p.hour, 0) FROM hour_marks m
		LEFT JOIN hour_marks p ON p.log = m.log AND p.mark_offset = (SELECT MAX(x.mark_offset) FROM hour_marks x WHERE x.log = m.log AND x.mark_offset < m.mark_offset)
		WHERE m.log = ? AND m.mark_offset > ? ORDER BY m.mark_offset`, log.String(), int64(after))
}

// after gives the hour behind which m ends the hours.
func (m mark) after() eventlog.Hour {
	if m.before < 0 {
		return m.hour - hoursBefore - 1
	}
	return m.last
}

// hoursOf gives the hours that are over with mark m: its own, and those before it in which a workspace had events.
func (c conn) hoursOf(workspace uint32, m mark) ([]eventlog.Hour, error) {
	if m.after() >= m.hour-1 {
		return []eventlog.Hour{m.hour}, nil
	}
	hours, err := list(c, func(r scanner) (h eventlog.Hour, err error) { return h, r.Scan(&h) },
		`SELECT DISTINCT n.hour FROM counts n WHERE n.workspace = ? AND n.hour > ? AND n.hour < ? ORDER BY n.hour`,
		workspace, int32(m.after()), int32(m.hour))
	return append(hours, m.hour), err
}
