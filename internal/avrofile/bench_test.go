package avrofile

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/flate"
)

// BenchmarkFile writes what a file of 15,000 events takes: hash, borders, blocks. Beside it stands the compressor
// alone on the same bytes in blocks of 64 KiB, which is as little as can be done.
func BenchmarkFile(b *testing.B) {
	recs := madeRecords(15_000, 1)
	size := len(bytes.Join(recs, nil))
	for _, c := range codecs {
		b.Run(string(c), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			z := NewCompressor()
			raw := make([]byte, 0, MaxBlock+4096)
			dst := make([]byte, 0, MaxBlock+4096)
			for b.Loop() {
				var h Hash
				count, out := 0, 0
				for i, rec := range recs {
					h.Add(int64(i), rec)
					raw = append(raw, rec...)
					if count++; BorderAfter(int64(i), len(raw)) {
						dst = z.AppendBlock(dst[:0], c, count, raw)
						out += len(dst)
						raw, count = raw[:0], 0
					}
				}
				b.ReportMetric(100*float64(out)/float64(size), "%size")
				raw = raw[:0]
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(recs)), "ns/event")
		})
	}
	b.Run("bare deflate", func(b *testing.B) {
		b.SetBytes(int64(size))
		var out bytes.Buffer
		w, _ := flate.NewWriter(&out, flate.BestSpeed)
		raw := make([]byte, 0, 70<<10)
		for b.Loop() {
			n := 0
			for _, rec := range recs {
				if raw = append(raw, rec...); len(raw) > 64<<10 {
					out.Reset()
					w.Reset(&out)
					w.Write(raw)
					w.Close()
					n += out.Len()
					raw = raw[:0]
				}
			}
			raw = raw[:0]
			b.ReportMetric(100*float64(n)/float64(size), "%size")
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(recs)), "ns/event")
	})
}

func BenchmarkHash(b *testing.B) {
	recs := madeRecords(1000, 1)
	var h Hash
	i := 0
	for b.Loop() {
		h.Add(int64(i), recs[i%len(recs)])
		i++
	}
}

func BenchmarkBorder(b *testing.B) {
	n := int64(0)
	for b.Loop() {
		BorderAfter(n, 20<<10)
		n++
	}
}

func BenchmarkTransform(b *testing.B) {
	recs := madeRecords(1000, 1)
	for name, rules := range map[string][]Rule{
		"remove": {{"email_address", ActionRemove}},
		"hash":   {{"email_address", ActionHash}},
	} {
		b.Run(name, func(b *testing.B) {
			t := NewTransform(madeSchema(), rules)
			b.ReportAllocs()
			var dst []byte
			i := 0
			for b.Loop() {
				dst, _ = t.Append(dst[:0], recs[i%len(recs)])
				i++
			}
		})
	}
}

func BenchmarkEventIDs(b *testing.B) {
	f := makeFile(NewCompressor(), madeSchema(), Deflate, exampleName(), madeRecords(15_000, 1))
	b.SetBytes(int64(len(f.bytes)))
	for b.Loop() {
		if err := EventIDs(bytes.NewReader(f.bytes), func([]byte) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompressor(b *testing.B) {
	raw := bytes.Join(madeRecords(200, 1), nil)
	for _, c := range codecs {
		b.Run(string(c), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				NewCompressor().AppendBlock(nil, c, 200, raw)
			}
		})
	}
}
