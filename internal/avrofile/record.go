package avrofile

import (
	"encoding/binary"
	"io"
	"iter"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/event"
)

// EventIDs gives the id of every event in the file that r holds to yield, in the order of the file, until yield
// gives false. An id is valid only during its call.
//
// It reads by the file's own schema, so files of other versions and of other writers are read too.
// Errors: as Open; corrupt if the records have no field id that is a string, or one of them is null.
func EventIDs(r io.Reader, yield func(id []byte) bool) error {
	f, err := Open(r)
	if err != nil {
		return err
	}
	at := -1
	for i, c := range f.cols {
		if c.name == "id" && c.kind == event.String {
			at = i
		}
	}
	if at < 0 {
		return f.in.corrupt(f.in.pos, "the schema has no field id that is a string")
	}
	for rec, err := range f.records() {
		if err != nil {
			return err
		}
		v := rec[at]
		if v.null {
			return f.in.corrupt(f.start, "a record in the block has no id")
		}
		if !yield(f.block[v.from:v.to]) {
			return nil
		}
	}
	return nil
}

// Records gives every record of the file that r holds as one JSON object on one line, without the line's end: the
// fields in the order of the file's schema, null where there is none. A line is valid until the next.
//
// After an error, which is as those of Open, it ends.
func Records(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := Open(r)
		if err != nil {
			yield(nil, err)
			return
		}
		for line, err := range f.Records() {
			if !yield(line, err) {
				return
			}
		}
	}
}

// Records is the function Records for a file that is open, and for what of it has not been read yet.
func (f *Reader) Records() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var line []byte
		for rec, err := range f.records() {
			if err != nil {
				yield(nil, err)
				return
			}
			line = append(line[:0], '{')
			for i, v := range rec {
				if i > 0 {
					line = append(line, ',')
				}
				line = appendText(line, []byte(f.cols[i].name))
				line = append(line, ':')
				line = f.cols[i].appendJSON(line, f.block, v)
			}
			if !yield(append(line, '}'), nil) {
				return
			}
		}
	}
}

// place is where in its block a value lies, see column.value.
type place struct {
	from, to int
	null     bool
}

// records gives the places of the values of each record; f.block is the block they lie in.
func (f *Reader) records() iter.Seq2[[]place, error] {
	return func(yield func([]place, error) bool) {
		rec := make([]place, len(f.cols))
		for {
			block, count, err := f.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			f.block = block
			at := 0
			for n := range count {
				for i := range f.cols {
					from, to, null, ok := f.cols[i].value(block, at)
					if !ok {
						yield(nil, f.in.corrupt(f.start, "record %d of the block has no valid %s", n+1, f.cols[i].name))
						return
					}
					rec[i] = place{from, to, null}
					at = to
				}
				if !yield(rec, nil) {
					return
				}
			}
			if at != len(block) {
				yield(nil, f.in.corrupt(f.start, "the block has %d bytes after its last record", len(block)-at))
				return
			}
		}
	}
}

// appendJSON appends the value of the column at v in block.
func (c *column) appendJSON(dst, block []byte, v place) []byte {
	if v.null {
		return append(dst, "null"...)
	}
	b := block[v.from:v.to]
	switch c.kind {
	case event.String:
		return appendText(dst, b)
	case event.Int, event.Long:
		n, _, _ := long(b, 0)
		return strconv.AppendInt(dst, n, 10)
	case event.Float:
		return appendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32)
	case event.Double:
		return appendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)), 64)
	case event.Boolean:
		return strconv.AppendBool(dst, b[0] == 1)
	}
	dst = append(dst, '[')
	first, at := true, 0
	c.items(b, &at, func(text []byte, null bool) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if null {
			dst = append(dst, "null"...)
		} else {
			dst = appendText(dst, text)
		}
	})
	return append(dst, ']')
}

// appendFloat appends the shortest number that reads back as x. JSON has no others, so those become strings, as in
// Avro's own JSON encoding.
func appendFloat(dst []byte, x float64, bits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if a := math.Abs(x); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, bits)
}

const hexDigits = "0123456789abcdef"

// appendText appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendText(dst, s []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRune(s[i:])
			dst = utf8.AppendRune(dst, r) // RuneError is U+FFFD
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
