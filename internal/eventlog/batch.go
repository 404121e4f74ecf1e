package eventlog

import (
	"encoding/binary"
	"iter"
	"time"
)

// recordHeader is the size of what stands before each value in a payload: length and schema, 4 bytes each.
const recordHeader = 8

// Batch gathers the records of one commit in the form in which they are stored. It is used by one goroutine and
// meant to be used again after Reset.
type Batch struct {
	Header
	// Claim and Answer, both or neither, are kept with the commit so that a repetition of the request finds them.
	Claim  *Claim
	Answer Answer

	buf   []byte
	count int
	open  int // where the record begun last begins
}

// Reset empties the batch, keeps its memory and sets the header of the commit to come.
func (b *Batch) Reset(h Header) {
	*b = Batch{Header: h, buf: b.buf[:0]}
}

// Begin starts a record and gives the buffer to append its value to. Nothing else may be called before Commit
// or Cancel.
func (b *Batch) Begin() []byte {
	b.open = len(b.buf)
	b.buf = append(b.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	return b.buf
}

// Commit ends the record begun last: buf is what Begin gave, with the value appended.
func (b *Batch) Commit(buf []byte, schema uint32) {
	binary.LittleEndian.PutUint32(buf[b.open:], uint32(len(buf)-b.open-recordHeader))
	binary.LittleEndian.PutUint32(buf[b.open+4:], schema)
	b.buf = buf
	b.count++
}

// Cancel takes back the record begun last; buf is what Begin gave, grown or not.
func (b *Batch) Cancel(buf []byte) { b.buf = buf[:b.open] }

// Add appends a whole record.
func (b *Batch) Add(schema uint32, value []byte) {
	b.Commit(append(b.Begin(), value...), schema)
}

// Count is the number of records.
func (b *Batch) Count() int { return b.count }

// Size is the payload's size in bytes, record headers included.
func (b *Batch) Size() int { return len(b.buf) }

// Payload is the records as they are stored: length, schema (both uint32, little-endian), value, one after the
// other. It shares the batch's memory.
func (b *Batch) Payload() []byte { return b.buf }

// Commit is records that were accepted together.
type Commit struct {
	Header
	At      int64 // time of acceptance, milliseconds since 1970 UTC
	First   Offset
	Count   int
	Payload []byte // as Batch.Payload; validated by the log that gives it
	Skip    int    // how many records at the front lie below the reader's first offset
}

// Time is the time of acceptance.
func (c *Commit) Time() time.Time { return time.UnixMilli(c.At) }

// Hour is the hour of acceptance.
func (c *Commit) Hour() Hour { return Hour(c.At / 3_600_000) }

// End is the offset after the commit's last record.
func (c *Commit) End() Offset { return c.First + Offset(c.Count) }

// Record is one value of a commit.
type Record struct {
	Offset Offset
	Schema uint32
	Value  []byte
}

// Records gives the commit's records in order. The values share the commit's memory.
func (c *Commit) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		p := c.Payload
		for i := range c.Count {
			n := int(binary.LittleEndian.Uint32(p))
			if i >= c.Skip && !yield(Record{
				Offset: c.First + Offset(i),
				Schema: binary.LittleEndian.Uint32(p[4:]),
				Value:  p[recordHeader : recordHeader+n : recordHeader+n],
			}) {
				return
			}
			p = p[recordHeader+n:]
		}
	}
}

// ValidPayload reports whether p holds exactly count records.
func ValidPayload(p []byte, count int) bool {
	for range count {
		if len(p) < recordHeader {
			return false
		}
		n := uint64(binary.LittleEndian.Uint32(p))
		if n > uint64(len(p)-recordHeader) {
			return false
		}
		p = p[recordHeader+int(n):]
	}
	return len(p) == 0
}
