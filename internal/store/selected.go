package store

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// choice is a condition on a column that names connectors.
type choice struct {
	is   string // what follows on the column
	args []any
}

func only(id control.ConnectorID) choice { return choice{"= ?", []any{string(id)}} }

// among chooses connectors, of which there is one at least.
func among(ids []control.ConnectorID) choice {
	of := choice{is: "IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"}
	for _, id := range ids {
		of.args = append(of.args, string(id))
	}
	return of
}

// versions are the recorded versions of a connector, newest first, as far as they differ in what they select.
type versions []version

type version struct {
	connector control.ConnectorID
	log       string
	at        eventlog.Offset
	created   int64 // milliseconds
	deleted   bool
	events    []string // of the configuration
	every     bool     // whatever the era is, it was in force: see within
	types     []string // selected by events; nil: every one
}

// versions gives those of connectors.
func (c conn) versions(of choice) (map[control.ConnectorID]versions, error) {
	vs, err := list(c, func(r scanner) (v version, err error) {
		var text string
		if err = r.Scan(&v.connector, &v.log, &v.at, &v.created, &text); err != nil {
			return v, err
		}
		config, err := control.DecodeConfig([]byte(text))
		v.deleted, v.events = config.Deleted, config.Events
		return v, err
	}, `SELECT connector, log, recorded_offset, created_at, config FROM connector_configs
		WHERE connector `+of.is+` AND recorded_offset IS NOT NULL ORDER BY connector, version DESC`, of.args...)
	all := map[control.ConnectorID]versions{}
	for i, v := range vs {
		if i+1 < len(vs) && v.sameAs(vs[i+1]) {
			continue
		}
		v.types = c.s.typesOf(v.events)
		all[v.connector] = append(all[v.connector], v)
	}
	return all, err
}

// sameAs reports whether v differs in nothing that matters here from the version before it: where v is in force, so was
// that one already.
func (v version) sameAs(before version) bool {
	return v.connector == before.connector && v.log == before.log && v.deleted == before.deleted && slices.Equal(v.events, before.events)
}

// typesOf gives the types that a connector's events select; nil for all that there are. What is gone from the catalogue
// selects nothing.
func (s *Store) typesOf(events []string) []string {
	sel, _ := s.types.Select(events)
	names, all := []string{}, true
	for _, t := range s.types.Types() {
		if sel.HasType(t) {
			names = append(names, t.Name)
		} else {
			all = false
		}
	}
	if all {
		return nil
	}
	return names
}

// selected gives the condition on rows of counts that the connector got events of their type, accepted in their era of
// their log. hour is the expression for the hour of a row.
//
// Of records in the same log the offsets tell. Records in another log were in force if they are older than the hour's
// end: logs follow one another, and what was counted before eras were is told like this too.
func (vs versions) selected(hour string) (cond string, args []any) {
	if len(vs) > 0 && vs[0].every {
		return vs[0].chooses()
	}
	var b strings.Builder
	for _, v := range vs {
		chooses, types := v.chooses()
		if v.every {
			b.WriteString(" WHEN 1 = 1 THEN " + chooses)
		} else {
			b.WriteString(" WHEN log = ? AND era >= ? OR log <> ? AND " + hour + " >= ? THEN " + chooses)
			args = append(args, v.log, int64(v.at), v.log, v.created/3_600_000)
		}
		args = append(args, types...)
	}
	if b.Len() == 0 {
		return "1 = 0", nil
	}
	return "CASE" + b.String() + " ELSE 1 = 0 END", args
}

// chooses gives the condition that a row is of a type that v selects.
func (v version) chooses() (cond string, args []any) {
	switch {
	case v.deleted || v.types != nil && len(v.types) == 0:
		return "1 = 0", nil
	case v.types == nil:
		return "1 = 1", nil
	}
	for _, t := range v.types {
		args = append(args, t)
	}
	return "event_type IN (?" + strings.Repeat(", ?", len(v.types)-1) + ")", args
}

// span is what rows of counts of one log have in them.
type span struct {
	log         string
	low, high   eventlog.Offset // eras
	first, last eventlog.Hour
}

// within gives what of vs makes a difference for rows in spans, so that connectors which select the same there are told
// by the same condition.
func (vs versions) within(spans []span) (out versions) {
	for _, v := range vs {
		all, some := true, false
		for _, x := range spans {
			first, last := v.at <= x.low, v.at <= x.high
			if x.log != v.log {
				first, last = v.created/3_600_000 <= int64(x.first), v.created/3_600_000 <= int64(x.last)
			}
			all, some = all && first, some || last
		}
		if v.every = all; all {
			return append(out, v)
		}
		if some {
			out = append(out, v)
		}
	}
	return out
}
