package event

import (
	"fmt"
	"hash/maphash"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// MaxEventBytes is the largest event in JSON. Source: the vendor drops events over 900 KB.
const MaxEventBytes = 921_600

// maxIDBytes bounds an event's id, which must fit into comparisons and ledger rows.
const maxIDBytes = 256

// longestRemembered is the longest unknown type that a Reader remembers what it said of, in bytes.
const longestRemembered = 128

// Options is how events are read.
type Options struct {
	IgnoreUnknown bool                // drop and count fields that the type does not have, instead of refusing the event
	Now           func() time.Time    // for an event without time, and for the ids made; nil: time.Now
	NewID         func([]byte) []byte // appends the id of an event without one: 1..256 bytes of UTF-8; nil: a UUIDv7
}

// Result is what reading said besides the record.
type Result struct {
	Problems []fault.Problem // in the order of the input, missing fields last; empty: the event is good
	Ignored  int             // unknown fields that were dropped
}

// Reader turns events from JSON into Avro. It checks and writes an event in one pass over its text: members
// are matched with the schema's fields by guessing the next one, from the order in which the fields of this type
// came before; a wrong guess costs a look-up. It keeps scratch and what it learnt.
//
// There are two ways through it with the same results. Quick writes each field as soon as it is read, which needs
// them in the schema's order and without a fault; for all else scan notes where the values stand, and write then writes
// them in order and says what is wrong.
//
// A Reader is for one goroutine at a time. In steady state it allocates nothing for an event that is good and has
// id and time.
type Reader struct {
	c       *Catalogue
	learnt  []learnt // by ordinal of schema
	values  []value  // of the event being read, by field
	early   []member // members met before event_type
	scratch []byte
	found   []found
	unknown map[string]string   // types not known, and what was said of them: a producer repeats its mistakes
	strange map[uint64]struct{} // hashes of the fields of this event that its type does not have
	seed    maphash.Seed        // of these hashes: nobody can choose names that meet
}

// learnt is what a reader knows of the events of one schema that it has read.
type learnt struct {
	next []uint16 // which field came after each; event_type counts as the one after the last
	pass int      // how many events not to read quickly, since they do not come in the schema's order
}

// member is a field of the input whose meaning is not known yet.
type member struct {
	key value
	value
}

// NewReader gives a reader for the types of c.
func NewReader(c *Catalogue) *Reader {
	r := &Reader{c: c, learnt: make([]learnt, len(c.schemas)), unknown: map[string]string{}, strange: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	most := 0
	for i, s := range c.schemas {
		n := len(s.Fields)
		most = max(most, n+1)
		next := make([]uint16, n+1)
		for k := range n {
			next[k] = uint16(k + 1)
		}
		r.learnt[i].next = next // next[n] is 0: the first field follows event_type
	}
	r.values = make([]value, most)
	return r
}

// Read appends the Avro record of the one event in raw to dst, in the newest version of the type that its member
// event_type names.
//
// Shape:  raw is one JSON object, white space around it allowed, at most MaxEventBytes. The type's fields may come
// in any order. Absent nullable fields are null; an absent id is made, an absent time is now; an RFC 3339 time
// becomes seconds. A field that holds JSON text takes an object too, whose text is kept without white space.
// Errors: with problems nothing is appended: out is dst. s is nil if the type is unknown. What stands between the
// length and the capacity of dst may be overwritten beyond the record.
func (r *Reader) Read(dst, raw []byte, o Options) (out []byte, s *Schema, res Result) {
	if len(raw) > MaxEventBytes {
		r.problem(0, "", CodeTooLarge, "the event has %d bytes, more than the %d allowed", len(raw), MaxEventBytes)
		return dst, nil, Result{Problems: r.takeProblems()}
	}
	if out, s, ok := r.quick(dst, raw, &o); ok {
		return out, s, Result{}
	}
	r.forget() // what is wrong will be found again, all of it
	s, res.Ignored = r.scan(raw, o.IgnoreUnknown)
	if s == nil {
		return dst, nil, Result{Problems: r.takeProblems()}
	}
	out = r.write(dst, raw, s, &o)
	if len(r.found) > 0 {
		return dst, s, Result{Problems: r.takeProblems()}
	}
	return out, s, res
}

// scan fills values with where each field of the event stands. It gives nil, and has reported why, if the text is
// not an event of a known type.
func (r *Reader) scan(raw []byte, ignore bool) (s *Schema, ignored int) {
	var (
		p       *plan
		next    []uint16
		last    int // the field met last
		typed   bool
		i       = scanSpace(raw, 0)
		members = r.early[:0]
	)
	if len(r.strange) <= 1024 {
		clear(r.strange)
	} else {
		r.strange = map[uint64]struct{}{} // as members, at the end
	}
	if i == len(raw) || raw[i] != '{' {
		return r.notObject(raw, i), 0
	}
	i = scanSpace(raw, i+1)
	if i < len(raw) && raw[i] == '}' {
		i++
	} else {
		for {
			field, key := -1, value{}
			if p != nil {
				field = p.guess(next, last, raw, i)
			}
			if field >= 0 {
				i += len(p.keys[field].text)
			} else if key, i = scanKey(raw, i); i < 0 {
				return r.broken(raw, ^i), 0
			}
			if i = scanSpace(raw, i); i >= len(raw) {
				return r.broken(raw, i), 0
			}
			v, end := scanValue(raw, i, false)
			if end < 0 {
				if v.marks&overStack != 0 {
					r.forget()
					r.problem(0, "", CodeTooDeep, "the event is nested too deep: it may have %d levels", maxDepth)
					return nil, 0
				}
				return r.broken(raw, ^end), 0
			}
			i = end

			switch {
			case !typed && key.marks&spoilt == 0 && string(r.text(raw, key)) == eventTypeKey:
				typed = true
				if s = r.typeOf(raw, v); s == nil {
					break
				}
				p = s.plan
				next = r.learnt[p.ordinal].next
				last = len(s.Fields)
				clear(r.values[:last+1])
				r.values[last] = v
				for _, m := range members {
					n, _ := r.take(raw, s, m, ignore)
					ignored += n
				}
			case field >= 0:
				r.place(s, field, v)
				last = field
			case p != nil:
				n, f := r.take(raw, s, member{key, v}, ignore)
				if ignored += n; f >= 0 {
					next[last] = uint16(f)
					last = f
				}
			default:
				members = append(members, member{key, v})
			}

			if i = scanSpace(raw, i); i >= len(raw) {
				return r.broken(raw, i), 0
			}
			if raw[i] == '}' {
				i++
				break
			}
			if raw[i] != ',' {
				return r.broken(raw, i), 0
			}
			i = scanSpace(raw, i+1)
		}
	}
	if cap(members) <= 1024 { // a hostile event's scratch is not kept
		r.early = members
	}
	if i = scanSpace(raw, i); i < len(raw) {
		return r.broken(raw, i), 0
	}
	if s == nil {
		for _, m := range members {
			r.spoilt(int(m.key.start), clip(string(raw[m.key.start:m.key.end])), m.key.marks|m.marks)
		}
	}
	if !typed {
		r.problem(0, eventTypeKey, CodeRequired, "event_type is missing: it names the type of the event")
	}
	return s, ignored
}

// take finds out which field a member is and puts it there. It gives 1 and no field for one that is ignored.
func (r *Reader) take(raw []byte, s *Schema, m member, ignore bool) (ignored, field int) {
	at := int(m.key.start)
	if m.key.marks&spoilt != 0 {
		r.spoilt(at, clip(string(raw[m.key.start:m.key.end])), m.key.marks)
		return 0, -1
	}
	name := r.text(raw, m.key)
	if field = s.plan.names.find(name); field >= 0 {
		r.place(s, field, m.value)
		return 0, field
	}
	if m.marks&spoilt != 0 {
		r.spoilt(at, clip(string(name)), m.marks)
	}
	h := maphash.Bytes(r.seed, name)
	if _, twice := r.strange[h]; twice {
		r.problem(at, clip(string(name)), CodeDuplicateField, "%s stands twice in the event", clip(string(name)))
		return 0, -1
	}
	r.strange[h] = struct{}{}
	if ignore {
		return 1, -1
	}
	known := s.plan.names.all()
	r.problem(at, clip(string(name)), CodeUnknownField, "%s has no field %q%s", s.Type.Name, clip(string(name)), suggest(string(name), known))
	return 0, -1
}

// place remembers where the value of a field stands.
func (r *Reader) place(s *Schema, field int, v value) {
	if r.values[field].token != absent {
		r.problem(int(v.start), s.fieldName(field), CodeDuplicateField, "%s stands twice in the event", s.fieldName(field))
		return
	}
	if v.marks&spoilt != 0 {
		r.spoilt(int(v.start), s.fieldName(field), v.marks)
	}
	r.values[field] = v
}

// fieldName is the name of a field in JSON; event_type counts as the one after the last.
func (s *Schema) fieldName(i int) string {
	if i == len(s.Fields) {
		return eventTypeKey
	}
	return s.Fields[i].Name
}

// text gives a string's content, in scratch where it had escapes; it holds until the next call.
func (r *Reader) text(raw []byte, v value) []byte {
	b := raw[v.start:v.end]
	if v.marks&escaped == 0 {
		return b
	}
	r.scratch = appendUnescaped(r.scratch[:0], b)
	return r.scratch
}

// typeOf gives the newest schema of the type that v names, or reports why there is none.
func (r *Reader) typeOf(raw []byte, v value) *Schema {
	at := int(v.start)
	switch {
	case v.token == aNull:
		r.problem(at, eventTypeKey, CodeRequired, "event_type is null: it names the type of the event")
	case v.token != aString:
		r.problem(at, eventTypeKey, CodeWrongType, "event_type must be a string, not %v", v.token)
	case v.marks&spoilt != 0:
		r.spoilt(at, eventTypeKey, v.marks)
	default:
		name := r.text(raw, v)
		if i := r.c.known.find(name); i >= 0 {
			return r.c.types[i].Newest()
		}
		said, ok := r.unknown[string(name)]
		if !ok {
			said = fmt.Sprintf("%q is not an event type%s", clip(string(name)), suggest(string(name), r.c.typeNames()))
			if len(r.unknown) >= 64 {
				clear(r.unknown)
			}
			if len(name) <= longestRemembered {
				r.unknown[string(name)] = said
			}
		}
		r.problem(at, eventTypeKey, CodeUnknownEventType, "%s", said)
	}
	return nil
}

func (r *Reader) notObject(raw []byte, i int) *Schema {
	if i == len(raw) {
		return r.broken(raw, i)
	}
	v, end := scanValue(raw, i, false)
	if end < 0 {
		return r.broken(raw, ^end)
	}
	if end = scanSpace(raw, end); end < len(raw) {
		return r.broken(raw, end)
	}
	r.problem(i, "", CodeWrongType, "an event is an object, not %v", v.token)
	return nil
}

// broken reports that raw is not JSON, and that alone: what was read before cannot be trusted.
func (r *Reader) broken(raw []byte, at int) *Schema {
	r.forget()
	r.problem(at, "", CodeInvalidJSON, "%s", describeBreak(raw, at))
	return nil
}
