package delivery

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/eventlog"
)

// recordAt is the one record that the log has at o; some are large enough to make buffers grow more than once.
func recordAt(o eventlog.Offset) eventlog.Record {
	value := fmt.Appendf(nil, "%d:%x;", o, uint64(o)*0x9e3779b97f4a7c15)
	if o%7 == 0 {
		value = bytes.Repeat(value, 40)
	}
	return eventlog.Record{Offset: o, Value: value}
}

// gatherer gathers a block at a time as a lane does, and knows what must be in it.
type gatherer struct {
	t     *testing.T
	c     *blocks
	f     *file
	share bool
	raw   []byte
	first eventlog.Offset
	hash  avrofile.Hash
}

func newGatherer(t *testing.T, c *blocks) *gatherer {
	return &gatherer{t: t, c: c, f: &file{}, share: true}
}

// take gathers the records at these offsets.
func (g *gatherer) take(offsets ...eventlog.Offset) {
	g.t.Helper()
	for _, o := range offsets {
		r := recordAt(o)
		if g.f.draft == nil {
			g.first = o
			g.f.draft = g.c.draft(draftKey{1, 2, 0, o}, g.share)
		}
		m, err := g.f.gather(g.c, r)
		if err != nil {
			g.t.Fatal(err)
		}
		g.f.draftCount++
		g.f.draftMark = m
		g.raw = append(g.raw, r.Value...)
		g.hash.Add(int64(o), r.Value)
		if m.offset != o || m.end != len(g.raw) || m.hash != g.hash {
			g.t.Errorf("after %d the draft is at offset %d with %d bytes of %d", o, m.offset, m.end, len(g.raw))
		}
	}
}

// close makes a block of what is gathered, and gives it with the records it must hold.
func (g *gatherer) close() (*block, []byte) {
	k := blockKey{workspace: 1, schema: 2, first: int64(g.first), last: int64(g.f.draftMark.offset), count: g.f.draftCount, codec: avrofile.Null}
	b := g.c.get(k, g.f.draft, g.f.draftMark, g.share)
	raw := g.raw
	g.f, g.raw, g.hash = &file{}, nil, avrofile.Hash{}
	return b, raw
}

// holds waits for a block and compares it with what it must hold.
func (b *block) holds(t *testing.T, raw []byte) {
	t.Helper()
	<-b.done
	want := avrofile.NewCompressor().AppendBlock(nil, b.codec, b.count, raw)
	if !bytes.Equal(b.data, want) {
		t.Errorf("the block of %d records from %d to %d holds other bytes than its records", b.count, b.first, b.last)
	}
	if b.raw != int64(len(raw)) {
		t.Errorf("a block of %d raw bytes says %d", len(raw), b.raw)
	}
}

// underTest runs do over blocks with two compressors, and wants nothing to be held afterwards.
func underTest(t *testing.T, limit int64, do func(c *blocks)) {
	t.Helper()
	c := newBlocks(newBudget(limit), 2)
	var working sync.WaitGroup
	for range 2 {
		working.Go(c.work)
	}
	do(c)
	close(c.jobs)
	working.Wait()
	if n := c.budget.used.Load(); n != 0 {
		t.Errorf("the budget counts %d bytes that nobody holds", n)
	}
	if len(c.drafts)+len(c.shared) != 0 {
		t.Errorf("%d drafts and %d blocks are found that nobody holds", len(c.drafts), len(c.shared))
	}
}

func offsets(from, to eventlog.Offset) (all []eventlog.Offset) {
	for o := from; o <= to; o++ {
		all = append(all, o)
	}
	return all
}

func TestLanesShareADraftWhichTheForemostFills(t *testing.T) {
	underTest(t, 1<<30, func(c *blocks) {
		a, b := newGatherer(t, c), newGatherer(t, c)
		a.take(offsets(10, 300)...)
		held := c.budget.used.Load()
		b.take(offsets(10, 200)...)
		if a.f.draft != b.f.draft {
			t.Fatal("two lanes that take the same records have two drafts")
		}
		if n := c.budget.used.Load(); n != held {
			t.Errorf("a lane that follows took %d bytes more", n-held)
		}
		b.take(offsets(201, 400)...) // now the other one is foremost
		a.take(offsets(301, 400)...)
		if a.f.draft != b.f.draft {
			t.Error("two lanes that took turns in front have two drafts")
		}
		x, raw := a.close()
		y, _ := b.close()
		if x != y {
			t.Error("two lanes that took the same records have two blocks")
		}
		x.holds(t, raw)
		c.release(x)
		if n := c.budget.used.Load(); n < int64(len(raw)) {
			t.Errorf("%d bytes are counted of a block of %d that one lane still holds", n, len(raw))
		}
		c.release(y)
	})
}

func TestALaneThatTakesAnotherRecordGoesOnAlone(t *testing.T) {
	underTest(t, 1<<30, func(c *blocks) {
		a, b, late := newGatherer(t, c), newGatherer(t, c), newGatherer(t, c)
		a.take(offsets(1, 100)...)
		b.take(offsets(1, 49)...)
		b.take(51) // not 50
		if a.f.draft == b.f.draft {
			t.Fatal("lanes that take different records share a draft")
		}
		b.take(offsets(52, 80)...)
		a.take(offsets(101, 120)...)
		late.take(offsets(1, 120)...)
		if late.f.draft != a.f.draft {
			t.Error("a lane that comes later does not find the draft")
		}
		for _, g := range []*gatherer{a, b, late} {
			x, raw := g.close()
			x.holds(t, raw)
			defer c.release(x)
		}
	})
}

func TestABlockOfTheFirstRecordsIsClosedWhileOthersGoOn(t *testing.T) {
	underTest(t, 1<<30, func(c *blocks) {
		a, b := newGatherer(t, c), newGatherer(t, c)
		a.take(offsets(1, 100)...)
		b.take(offsets(1, 40)...)
		x, short := b.close() // its file was cut
		a.take(offsets(101, 2000)...)
		b.take(offsets(41, 90)...) // the next block of that lane begins elsewhere
		y, long := a.close()
		z, rest := b.close()
		x.holds(t, short)
		y.holds(t, long)
		z.holds(t, rest)
		if !bytes.Equal(append(short, rest...), long[:len(short)+len(rest)]) {
			t.Error("the records differ")
		}
		for _, b := range []*block{x, y, z} {
			c.release(b)
		}
	})
}

func TestADraftThatIsNotToBeSharedIsNot(t *testing.T) {
	underTest(t, 1<<30, func(c *blocks) {
		a, b := newGatherer(t, c), newGatherer(t, c)
		a.share = false
		a.take(offsets(1, 20)...)
		b.take(offsets(1, 20)...)
		if a.f.draft == b.f.draft {
			t.Error("a draft that belongs to one lane was found by another")
		}
		other := newGatherer(t, c)
		other.share = false
		other.take(offsets(1, 20)...)
		if other.f.draft == b.f.draft {
			t.Error("a lane with rules of its own gathers into the draft of others")
		}
		x, raw := a.close()
		y, _ := b.close()
		z, _ := other.close()
		// The records of a lane with rules differ, whatever the hash of what they were made from says.
		if x == y || y == z || x == z {
			t.Error("a block that belongs to one lane was found by another, or a lane with rules of its own took that of others")
		}
		for _, b := range []*block{x, y, z} {
			b.holds(t, raw)
			c.release(b)
		}
	})
}

func TestTheBudgetCountsTheRoomOfADraftAndNotOnlyWhatFillsIt(t *testing.T) {
	underTest(t, 1<<30, func(c *blocks) {
		g := newGatherer(t, c)
		for o := range eventlog.Offset(2000) {
			g.take(o)
			d := g.f.draft
			if used, room := c.budget.used.Load(), int64(cap(d.buf)); used < room {
				t.Fatalf("%d bytes are counted of a buffer of %d", used, room)
			}
		}
		c.leave(g.f.draft) // as a lane that is discarded
		if n := c.budget.used.Load(); n != 0 {
			t.Errorf("%d bytes are counted after the lane let go", n)
		}
	})
}

// A block whose lane is gone before the compressor comes to it.
func TestABlockNobodyWaitsForIsNotCounted(t *testing.T) {
	c := newBlocks(newBudget(1<<30), 2)
	g := newGatherer(t, c)
	g.take(offsets(1, 100)...)
	x, raw := g.close()
	c.release(x)
	close(c.jobs)
	c.work()
	x.holds(t, raw)
	if n := c.budget.used.Load(); n != 0 {
		t.Errorf("the budget counts %d bytes that nobody holds", n)
	}
}

// Many lanes go over the same records at once. Each leaves some out now and then, closes blocks where it likes, and
// gives some up; each block must hold its lane's records, and in the end nothing is held.
func TestLanesAtOnceGetTheirOwnRecords(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(4) {
		limit := int64(1 << 30)
		if round%2 == 1 {
			limit = 1 << 14 // so that memory is short and drafts are not used again
		}
		underTest(t, limit, func(c *blocks) {
			var lanes sync.WaitGroup
			for lane := range uint64(8) {
				lanes.Go(func() {
					r := rand.New(rand.NewPCG(seed, round<<8|lane))
					g := newGatherer(t, c)
					g.share = lane < 6
					type closed struct {
						b   *block
						raw []byte
					}
					var had []closed
					for o := range eventlog.Offset(3000) {
						if r.IntN(400) == 0 {
							continue
						}
						g.take(o)
						// Where all close by the same rule they share; some close before.
						if len(g.raw) > 20_000 || o%97 == 0 || r.IntN(300) == 0 {
							b, raw := g.close()
							had = append(had, closed{b, raw})
						}
						if len(had) > 3 {
							had[0].b.holds(t, had[0].raw)
							c.release(had[0].b)
							had = had[1:]
						}
						if g.f.draft != nil && r.IntN(500) == 0 {
							c.leave(g.f.draft)
							g.f, g.raw, g.hash = &file{}, nil, avrofile.Hash{}
						}
					}
					if g.f.draft != nil {
						c.leave(g.f.draft)
					}
					for _, x := range had {
						x.b.holds(t, x.raw)
						c.release(x.b)
					}
				})
			}
			lanes.Wait()
		})
	}
}
