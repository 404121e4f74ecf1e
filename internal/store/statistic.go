package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// stats adds what a batch counted.
func (w *batchWriter) stats() error {
	slices.SortFunc(w.b.Stats, func(a, b control.Stat) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Count, b.Count), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Part, b.Part))
	})
	var rows [][]any
	for _, s := range w.b.Stats {
		rows = append(rows, []any{s.Name, s.Hour, uint8(s.Count), string(s.Channel), s.Part, s.N, s.Revenue})
	}
	return w.put("INSERT INTO people_stats (name, hour, counter, channel, part, n, revenue) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name, hour, counter, channel, part) DO UPDATE SET n = people_stats.n + excluded.n, revenue = people_stats.revenue + excluded.revenue", rows)
}

// Name gives what a workspace's events have named. Errors: not_found.
func (p *Profiles) Name(ctx context.Context, workspace uint32, kind control.NameKind, name string) (control.Name, error) {
	all, err := list(p.s.reader(ctx), scanName, "SELECT "+nameColumns+" FROM people_names WHERE workspace = ? AND kind = ? AND name = ?", workspace, uint8(kind), name)
	if err == nil && len(all) == 0 {
		return control.Name{}, fault.New(fault.NotFound, "", "no event has named %q", name)
	}
	if err != nil {
		return control.Name{}, p.s.fail(err, "find name")
	}
	return all[0], nil
}

const nameColumns = "id, workspace, kind, name, title, parent, first_at, last_at, first_sent, last_sent"

func scanName(r scanner) (n control.Name, err error) {
	var first, last int64
	var firstSent, lastSent sql.NullInt64
	err = r.Scan(&n.ID, &n.Workspace, &n.Kind, &n.Name, &n.Title, &n.Parent, &first, &last, &firstSent, &lastSent)
	n.FirstAt, n.LastAt, n.FirstSent, n.LastSent = fromMillis(first), fromMillis(last), fromOptMillis(firstSent), fromOptMillis(lastSent)
	return n, err
}

// ofWorkspace is true of a row s of people_stats that is one of a workspace, which is given twice.
const ofWorkspace = "(s.name = -CAST(? AS BIGINT) OR EXISTS (SELECT 1 FROM people_names n WHERE n.id = s.name AND n.workspace = ?))"

// Stats gives what was counted of names of a workspace, or with control.WholeWorkspace of it, from the hour from on until
// just before until, in the order of name and time. Of what is not the workspace's there is nothing.
func (p *Profiles) Stats(ctx context.Context, workspace uint32, names []int64, from, until int32) (out []control.Stat, err error) {
	err = inChunks(names, func(part []int64, marks string) error {
		args := []any{from, until}
		for _, n := range part {
			args = append(args, n)
		}
		some, err := list(p.s.reader(ctx), scanStat, "SELECT s.name, s.hour, s.counter, s.channel, s.part, s.n, s.revenue FROM people_stats s WHERE s.hour >= ? AND s.hour < ? AND s.name IN ("+
			marks+") AND "+ofWorkspace+" ORDER BY s.name, s.hour, s.counter, s.channel, s.part", append(args, workspace, workspace)...)
		out = append(out, some...)
		return err
	})
	return out, p.s.fail(err, "read statistics")
}

func scanStat(r scanner) (s control.Stat, err error) {
	return s, r.Scan(&s.Name, &s.Hour, &s.Count, &s.Channel, &s.Part, &s.N, &s.Revenue)
}

// Oldest gives the first hour of which anything of names was counted; known is false if nothing was.
func (p *Profiles) Oldest(ctx context.Context, workspace uint32, names []int64) (hour int32, known bool, err error) {
	err = inChunks(names, func(part []int64, marks string) error {
		args := []any{workspace}
		for _, n := range part {
			args = append(args, n)
		}
		var first sql.NullInt32
		// One look into the index for each.
		err := p.s.reader(ctx).one("SELECT MIN(o.hour) FROM (SELECT (SELECT MIN(s.hour) FROM people_stats s WHERE s.name = n.id) AS hour FROM people_names n WHERE n.workspace = ? AND n.id IN ("+marks+")) o", args, &first)
		if first.Valid && (!known || first.Int32 < hour) {
			hour, known = first.Int32, true
		}
		return err
	})
	return hour, known, p.s.fail(err, "find the oldest statistics")
}

// Total adds up a counter of a workspace, of one part, over the hours before until.
func (p *Profiles) Total(ctx context.Context, workspace uint32, count control.Counter, part string, until int32) (n int64, err error) {
	err = p.s.reader(ctx).one("SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM people_stats WHERE name = ? AND hour < ? AND counter = ? AND part = ?",
		[]any{control.WholeWorkspace(workspace), until, uint8(count), part}, &n)
	return n, p.s.fail(err, "add up statistics")
}

// Firsts gives how many people first opened, and first clicked, something of campaigns, Canvases or steps on each day of a
// zone, from the hour from on until just before until: stats of control.CountUniqueOpens and control.CountUniqueClicks, of the channel e-mail or
// push where that was one by which they did so, and else of none. They are taken from what is kept of each person.
func (p *Profiles) Firsts(ctx context.Context, workspace uint32, names []int64, zone *time.Location, from, until int32) (out []control.Stat, err error) {
	begins, ends := control.HourStart(from, zone), control.HourStart(until, zone)
	for _, x := range []struct {
		column  string
		count   control.Counter
		e, push control.Flags
	}{{"opened", control.CountUniqueOpens, control.OpenedEmail, control.OpenedPush}, {"clicked", control.CountUniqueClicks, control.ClickedEmail, 0}} {
		err := inChunks(names, func(part []int64, marks string) error {
			args := []any{uint32(x.e | x.push), millis(begins), millis(ends), workspace}
			for _, n := range part {
				args = append(args, n)
			}
			some, err := list(p.s.reader(ctx), func(r scanner) (control.Stat, error) {
				s := control.Stat{Count: x.count}
				var day int32
				var flags control.Flags
				err := r.Scan(&s.Name, &day, &s.Part, &flags, &s.N)
				s.Hour = control.DayHour(day)
				switch {
				case flags&x.e != 0:
					s.Channel = control.MessageChannel(control.MediumEmail)
				case flags&x.push != 0:
					s.Channel = control.MessageChannel(control.MediumPush)
				}
				return s, err
			}, "SELECT m.name, "+onClocks("m."+x.column, begins, ends)+" / 86400000 AS day, m.variation, m.flags & CAST(? AS BIGINT) AS did, COUNT(*) FROM people_messages m WHERE m."+x.column+" >= ? AND m."+x.column+` < ?
				AND EXISTS (SELECT 1 FROM people_names n WHERE n.id = m.name AND n.workspace = ?) AND m.name IN (`+marks+") GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4", args...)
			out = append(out, some...)
			return err
		})
		if err != nil {
			return nil, p.s.fail(err, "count who opened and clicked")
		}
	}
	return out, nil
}

// onClocks is SQL for what the clocks of begins' zone show, as if it were UTC, of a column of moments from begins until just
// before ends.
func onClocks(column string, begins, ends time.Time) string {
	shown := ""
	for at := begins; ; {
		_, offset := at.Zone()
		now := "(" + column + " + " + strconv.Itoa(offset*1000) + ")"
		_, until := at.ZoneBounds()
		if until.IsZero() || !until.Before(ends) {
			if shown == "" {
				return now
			}
			return "CASE " + shown + "ELSE " + now + " END"
		}
		shown += "WHEN " + column + " < " + strconv.FormatInt(until.UnixMilli(), 10) + " THEN " + now + " "
		at = until
	}
}
