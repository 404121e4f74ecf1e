package event_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
)

// events gives samples of the usual mix; sorted: with their fields by name, event_type in the middle of them.
func events(t testing.TB, c *event.Catalogue, n int, sorted bool) [][]byte {
	m := sample.New(c, 1, nil)
	all := make([][]byte, n)
	for i := range all {
		all[i] = m.Append(nil)
		if !sorted {
			continue
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(all[i], &members); err != nil {
			t.Fatal(err)
		}
		all[i], _ = json.Marshal(members)
	}
	return all
}

func TestReadAllocatesNothingInSteadyState(t *testing.T) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sorted := range []bool{false, true} {
		all := events(t, c, 200, sorted)
		r := event.NewReader(c)
		var dst []byte
		read := func() {
			for _, e := range all {
				var res event.Result
				if dst, _, res = r.Read(dst[:0], e, event.Options{}); res.Problems != nil {
					t.Fatal(res.Problems)
				}
			}
		}
		read()
		if n := testing.AllocsPerRun(10, read); n != 0 {
			t.Errorf("sorted %v: %v allocations for %d events", sorted, n, len(all))
		}
	}
}

// A reader that has learnt one order must take events in any other.
func TestReadInAnyOrderGivesTheSameRecord(t *testing.T) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	r := event.NewReader(c)
	for _, e := range events(t, c, 300, false) {
		want, _, _ := r.Read(nil, e, event.Options{})
		var members map[string]json.RawMessage
		if err := json.Unmarshal(e, &members); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range members {
			names = append(names, name)
		}
		slices.Sort(names)
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		var parts []string
		for _, name := range names {
			parts = append(parts, fmt.Sprintf("%q: %s", name, members[name]))
		}
		shuffled := "{" + strings.Join(parts, ", ") + "}"
		if got, _, res := r.Read(nil, []byte(shuffled), event.Options{}); string(got) != string(want) {
			t.Fatalf("%s\n%v", shuffled, res.Problems)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, order := range []string{"schema", "sorted"} {
		b.Run(order, func(b *testing.B) {
			all := events(b, c, 500, order == "sorted")
			r := event.NewReader(c)
			var dst []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(all[0])))
			for i := 0; b.Loop(); i++ {
				dst, _, _ = r.Read(dst[:0], all[i%len(all)], event.Options{})
			}
		})
	}
}

// What the reader saves: the same by way of encoding/json and a general Avro encoder.
func BenchmarkGenericRead(b *testing.B) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		b.Fatal(err)
	}
	codecs := map[string]*goavro.Codec{}
	for _, t := range c.Types() {
		if codecs[t.Name], err = goavro.NewCodec(t.Newest().Avro); err != nil {
			b.Fatal(err)
		}
	}
	all := events(b, c, 500, false)
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(all[0])))
	for i := 0; b.Loop(); i++ {
		var members map[string]any
		if err := json.Unmarshal(all[i%len(all)], &members); err != nil {
			b.Fatal(err)
		}
		t, _ := c.Type(members["event_type"].(string))
		native := map[string]any{}
		for _, f := range t.Newest().Fields {
			v := members[f.Name]
			if f.Nullable && v != nil {
				branch := f.Kind.String()
				if f.Kind == event.Strings {
					branch = "array"
				}
				v = map[string]any{branch: v}
			}
			native[f.Name] = v
		}
		if dst, err = codecs[t.Name].BinaryFromNative(dst[:0], native); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSkipValue(b *testing.B) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		b.Fatal(err)
	}
	all := events(b, c, 500, false)
	b.SetBytes(int64(len(all[0])))
	for i := 0; b.Loop(); i++ {
		event.SkipValue(all[i%len(all)])
	}
}
