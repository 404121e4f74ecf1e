package eventlog_test

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/eventlog"
	"pgregory.net/rapid"
)

func TestABatchComesBackAsItsRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 20), 1, 10).Draw(t, "values")
		b := &eventlog.Batch{}
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
		for i, v := range values {
			b.Cancel(append(b.Begin(), "a record that is taken back"...))
			b.Add(uint32(i), v)
		}
		if b.Count() != len(values) || b.Size() != len(b.Payload()) || !eventlog.ValidPayload(b.Payload(), b.Count()) {
			t.Fatalf("%d records in %d bytes for %d values", b.Count(), b.Size(), len(values))
		}
		skip := rapid.IntRange(0, len(values)).Draw(t, "skip")
		c := eventlog.Commit{First: 7, Count: b.Count(), Payload: b.Payload(), Skip: skip}
		i := skip
		for r := range c.Records() {
			if r.Offset != c.First+eventlog.Offset(i) || r.Schema != uint32(i) || !slices.Equal(r.Value, values[i]) {
				t.Fatalf("record %d came back as %+v", i, r)
			}
			i++
		}
		if i != len(values) || c.End() != 7+eventlog.Offset(len(values)) {
			t.Fatalf("%d of %d records, end %d", i, len(values), c.End())
		}
	})
}

func TestAPayloadThatContradictsItselfIsInvalid(t *testing.T) {
	b := &eventlog.Batch{}
	b.Add(1, []byte("ab"))
	b.Add(2, nil)
	p := b.Payload()
	for _, c := range []struct {
		name  string
		p     []byte
		count int
		want  bool
	}{
		{"as it was made", p, 2, true},
		{"a record too few", p, 1, false},
		{"a record too many", p, 3, false},
		{"cut off in a value", p[:9], 1, false},
		{"cut off in a header", p[:13], 2, false},
		{"bytes left over", append(slices.Clone(p), 0), 2, false},
		{"nothing", nil, 0, true},
		{"a length beyond the end", []byte{255, 255, 255, 255, 0, 0, 0, 0}, 1, false},
	} {
		if got := eventlog.ValidPayload(c.p, c.count); got != c.want {
			t.Errorf("%s: valid %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFiltersMatch(t *testing.T) {
	h := eventlog.Header{Workspace: 3, Kind: eventlog.Control}
	for f, want := range map[eventlog.Filter]bool{
		{}:                                       true,
		{Workspace: 3}:                           true,
		{Workspace: 4}:                           false,
		{Kind: eventlog.Control}:                 true,
		{Kind: eventlog.Events}:                  false,
		{Workspace: 3, Kind: eventlog.Events}:    false,
		{Workspace: 3, Kind: eventlog.Control}:   true,
		{Workspace: 400, Kind: eventlog.Control}: false,
	} {
		if f.Matches(h) != want {
			t.Errorf("filter %+v matches %v, want %v", f, !want, want)
		}
	}
}

func TestIdentitiesAreWrittenAndRead(t *testing.T) {
	id := eventlog.ID{1, 0xab, 15: 0xff}
	if got, ok := eventlog.ParseID(id.String()); !ok || got != id {
		t.Errorf("%v came back as %v, %v", id, got, ok)
	}
	for _, s := range []string{"", "01", id.String() + "0", "zz" + id.String()[2:]} {
		if _, ok := eventlog.ParseID(s); ok {
			t.Errorf("%q is an identity", s)
		}
	}
}

func TestAClaimIsReleasedOnce(t *testing.T) {
	n := 0
	c := eventlog.NewClaim(eventlog.KeyHash{}, func() { n++ })
	c.Release()
	c.Release()
	(*eventlog.Claim)(nil).Release()
	if n != 1 {
		t.Errorf("released %d times", n)
	}
}
