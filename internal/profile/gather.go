package profile

import (
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
)

// record is a record of the log, with where its bytes stand in gathered.
type record struct {
	offset    eventlog.Offset
	workspace uint32
	schema    event.SchemaID
	at        int64 // of acceptance, milliseconds
	from, to  int
	change    *control.PersonChange // of a record that is one
}

// gathered is consecutive records, with their bytes: a reader of the log takes its own back.
type gathered struct {
	bytes   []byte
	records []record
	told    map[toldKey]bool // events of which a change says more
}

// toldKey is an event that a change names: its id is one that was made here.
type toldKey struct {
	workspace uint32
	event     string
}

func (g *gathered) reset() { *g = gathered{bytes: g.bytes[:0], records: g.records[:0]} }

func (g *gathered) full(most int) bool { return len(g.records) >= most || len(g.bytes) >= batchBytes }

func (g *gathered) add(c *eventlog.Commit, rec eventlog.Record) {
	from := len(g.bytes)
	g.bytes = append(g.bytes, rec.Value...)
	g.records = append(g.records, record{offset: rec.Offset, workspace: c.Workspace, schema: event.SchemaID(rec.Schema), at: c.Time().UnixMilli(), from: from, to: len(g.bytes)})
}

func (g *gathered) value(r record) []byte { return g.bytes[r.from:r.to] }

// parts cuts the records where people come together or go: what was before must be stored by then, and what comes
// after must see it. At least one part, which may be empty.
func (g *gathered) parts() [][]record {
	var parts [][]record
	begin := 0
	moving := false
	for i := range g.records {
		r := &g.records[i]
		if r.schema == event.PersonChange && r.change == nil {
			if c, err := control.DecodePersonChange(g.value(*r)); err == nil {
				r.change = &c
				if c.Event != "" {
					if g.told == nil {
						g.told = map[toldKey]bool{}
					}
					g.told[toldKey{r.workspace, c.Event}] = true
				}
			} // what cannot be read is set aside when its turn comes
		}
		moves := r.schema == userOrphan || r.schema == userDelete || r.change != nil && (r.change.Kind == control.PersonMerge || r.change.Kind == control.PersonDelete)
		if i > begin && (moves || moving) {
			parts = append(parts, g.records[begin:i])
			begin = i
		}
		moving = moves
	}
	return append(parts, g.records[begin:])
}

// Of events that end a person. Source: the catalogue, whose ids never change.
const (
	userDelete event.SchemaID = 4 // users.UserDeleteRequest
	userOrphan event.SchemaID = 5 // users.UserOrphan
)
