package sample_test

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
)

func catalogue(t testing.TB) *event.Catalogue {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheReaderTakesEverySample(t *testing.T) {
	c := catalogue(t)
	r, m := event.NewReader(c), sample.New(c, 1, nil)
	for _, ty := range c.Types() {
		for i := range 30 {
			e := m.AppendType(nil, ty)
			if i == 0 {
				if e = m.AppendWhole(nil, ty); bytes.Count(e, []byte(`":`)) < len(ty.Newest().Fields) {
					t.Errorf("a field is left out of %s", e)
				}
			}
			out, s, res := r.Read(nil, e, event.Options{})
			if res.Problems != nil || s.Type != ty {
				t.Fatalf("%s\n%+v", e, res.Problems)
			}
			if id, err := s.EventID(out); err != nil || !uuid.Match(id) {
				t.Fatalf("id %s %v", id, err)
			}
		}
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestTheMixIsTenTypesOfSome890BytesWithIDsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := catalogue(t)
		r := event.NewReader(c)
		time.Sleep(20 * 365 * 24 * time.Hour)
		ids, types, size := map[string]bool{}, map[string]int{}, 0
		const n = 10_000
		for range 2 {
			m := sample.New(c, 1, nil) // the same seed twice: the ids differ all the same
			m.Append(nil)
			time.Sleep(time.Hour)
			for range n {
				e := m.Append([]byte("x"))[1:]
				out, s, res := r.Read(nil, e, event.Options{})
				if res.Problems != nil {
					t.Fatalf("%s\n%+v", e, res.Problems)
				}
				id, _ := s.EventID(out)
				ids[string(id)] = true
				types[s.Type.Name]++
				size += len(e)
				now := `,"time":` + strconv.FormatInt(time.Now().Unix(), 10) + `,`
				if !bytes.Contains(e, []byte(now)) || bytes.IndexByte(e, '\n') >= 0 {
					t.Fatalf("its time is not now, or it is not one line: %s", e)
				}
			}
		}
		if len(ids) != 2*n {
			t.Errorf("%d ids of %d events", len(ids), 2*n)
		}
		if len(types) != 10 {
			t.Errorf("types %v", types)
		}
		if size /= 2 * n; size < 860 || size > 940 {
			t.Errorf("%d bytes an event", size)
		}
	})
}

func TestTheSameSeedMakesTheSameEventsButForTheirIDs(t *testing.T) {
	c := catalogue(t)
	strip := func(e []byte) string {
		return regexp.MustCompile(`"(id":"[^"]*|time":[0-9]+|send_time":[0-9]+)`).ReplaceAllString(string(e), "")
	}
	a, b, other := sample.New(c, 5, nil), sample.New(c, 5, nil), sample.New(c, 6, nil)
	same := 0
	for range 100 {
		x, y, z := a.Append(nil), b.Append(nil), other.Append(nil)
		if strip(x) != strip(y) {
			t.Fatalf("%s\n%s", x, y)
		}
		if strip(x) == strip(z) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of 100 events are the same for another seed", same)
	}
}

func TestSamplesAreGoodInTheYearThatFakeClocksBeginWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := catalogue(t)
		out, s, res := event.NewReader(c).Read(nil, sample.New(c, 1, nil).Append(nil), event.Options{})
		b, err := s.AppendJSON(nil, out)
		if res.Problems != nil || err != nil || !strings.Contains(string(b), `"time":946684800,`) {
			t.Fatalf("%s %v %v", b, res.Problems, err)
		}
	})
}

func TestTestEventsAreMarkedByTheirID(t *testing.T) {
	c := catalogue(t)
	r, m := event.NewReader(c), sample.New(c, 1, []string{"users.canvas.Entry"})
	for _, ty := range c.Types() {
		out, s, res := r.Read(nil, m.AppendTest(nil, ty), event.Options{})
		if res.Problems != nil {
			t.Fatal(res.Problems)
		}
		if id, _ := s.EventID(out); !strings.HasPrefix(string(id), "test-") {
			t.Errorf("id %s", id)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	m := sample.New(catalogue(b), 1, nil)
	dst := m.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		dst = m.Append(dst[:0])
	}
	b.SetBytes(int64(len(dst)))
}
