package event

// plan is what the reader needs of a schema, laid out for it.
type plan struct {
	ordinal int      // place among the catalogue's schemas: where a Reader keeps what it learnt
	steps   []step   // one for each field, in the schema's order
	keys    []string // each field's name as it stands in JSON, with quotes and colon; then event_type's
	names   names    // the same names, bare
}

// step says how one field is written.
type step struct {
	op       op
	nullable bool
	items    bool // of opStrings: items may be null
}

type op uint8

const (
	opString op = iota
	opJSON      // a string or an object
	opID
	opTimeInt
	opTimeLong
	opInt
	opLong
	opFloat
	opDouble
	opBoolean
	opStrings
)

// eventTypeKey is the member that names an event's type. It is in no schema.
const eventTypeKey = "event_type"

func newPlan(fields []Field, ordinal int) *plan {
	p := &plan{ordinal: ordinal}
	bare := make([]string, 0, len(fields)+1)
	for _, f := range fields {
		s := step{nullable: f.Nullable, items: f.NullableItems}
		switch f.Kind {
		case String:
			s.op = opString
			if f.JSON {
				s.op = opJSON
			}
			if f.Name == "id" {
				s.op = opID
			}
		case Int:
			s.op = opInt
			if f.Name == "time" {
				s.op = opTimeInt
			}
		case Long:
			s.op = opLong
			if f.Name == "time" {
				s.op = opTimeLong
			}
		case Float:
			s.op = opFloat
		case Double:
			s.op = opDouble
		case Boolean:
			s.op = opBoolean
		case Strings:
			s.op = opStrings
		}
		p.steps = append(p.steps, s)
		bare = append(bare, f.Name)
	}
	bare = append(bare, eventTypeKey)
	for _, name := range bare {
		p.keys = append(p.keys, `"`+name+`":`)
	}
	p.names = newNames(bare)
	return p
}
