package store

import (
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	sqlite3 "modernc.org/sqlite"

	"github.com/millrace/millrace/internal/control"
)

// packed is the function of SQL by which rows of SQLite come as one value each. Whoever reads column by column takes and gives back
// a lock of the connection two or three times for each: of an export of CSV that was a third of its CPU time.
const packed = "millrace_packed"

// registerPacked makes connections that are opened afterwards know the function.
var registerPacked = sync.OnceValue(func() error {
	return sqlite3.RegisterFunction(packed, &sqlite3.FunctionImpl{
		NArgs: -1, Deterministic: true,
		VolatileArgs: true, // texts are SQLite's own bytes: pack copies them
		Scalar:       func(_ *sqlite3.FunctionContext, values []driver.Value) (driver.Value, error) { return pack(values) },
	})
})

// What stands before each value of a packed row. Integers and floats are of 8 bytes, texts have their length in 4 before them.
const (
	packedNull byte = iota
	packedInteger
	packedFloat
	packedText
)

// pack gives a row in one value.
func pack(values []driver.Value) ([]byte, error) {
	size := 9 * len(values)
	for _, v := range values {
		if text, is := v.(string); is {
			size += len(text)
		}
	}
	b := make([]byte, 0, size)
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b = append(b, packedNull)
		case int64:
			b = binary.LittleEndian.AppendUint64(append(b, packedInteger), uint64(v))
		case float64:
			b = binary.LittleEndian.AppendUint64(append(b, packedFloat), math.Float64bits(v))
		case string:
			b = append(binary.LittleEndian.AppendUint32(append(b, packedText), uint32(len(v))), v...)
		default:
			return nil, fmt.Errorf("%T cannot be packed", v)
		}
	}
	return b, nil
}

// packedRow is what pack gave, which stays what it is.
type packedRow struct {
	b []byte
	s string // the same: texts are parts of it
}

// Scan is that of a row, for the types of which there are columns in a Bulk.
func (r packedRow) Scan(to ...any) error {
	at := 0
	for i, t := range to {
		if at == len(r.b) {
			return fmt.Errorf("a row has %d columns, not %d", i, len(to))
		}
		kind := r.b[at]
		at++
		var n uint64
		var text string
		switch kind {
		case packedInteger, packedFloat:
			n = binary.LittleEndian.Uint64(r.b[at:])
			at += 8
		case packedText:
			end := at + 4 + int(binary.LittleEndian.Uint32(r.b[at:]))
			text, at = r.s[at+4:end], end
		}
		is := false
		switch t := t.(type) {
		case *int64:
			*t, is = int64(n), kind == packedInteger
		case *int:
			*t, is = int(n), kind == packedInteger
		case *control.Flags:
			*t, is = control.Flags(n), kind == packedInteger
		case *float64:
			*t, is = math.Float64frombits(n), kind == packedFloat
		case *sql.NullInt64:
			t.Int64, t.Valid = int64(n), kind == packedInteger
			is = t.Valid || kind == packedNull
		case *string:
			*t, is = text, kind == packedText
		case *orNone:
			*t, is = orNone(text), kind == packedText || kind == packedNull
		case *[]byte:
			*t, is = append((*t)[:0], text...), kind == packedText || kind == packedNull
		}
		if !is {
			return fmt.Errorf("column %d: a value of kind %d is no %T", i, kind, t)
		}
	}
	return nil
}
