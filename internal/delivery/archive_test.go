package delivery_test

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// archive is what a world that has delivered leaves behind, its ledger in a form that a test can spoil.
type archive struct {
	*world
	files  []control.File // in the order of their keys
	drops  []control.Drop
	erased map[int]bool // destinations without credentials
}

// archived delivers everything of w with one process.
func archived(t *testing.T, w *world) *archive {
	t.Helper()
	p := w.start()
	must(t, w, time.Hour)
	p.stop()
	w.check()
	a := &archive{world: w, erased: map[int]bool{}}
	for _, files := range w.store.files {
		a.files = slices.AppendSeq(a.files, maps.Values(files))
	}
	slices.SortFunc(a.files, func(x, y control.File) int {
		return cmp.Or(x.Lane.Destination-y.Lane.Destination, strings.Compare(x.Key, y.Key))
	})
	return a
}

// delivered is a usual archive: several types, several files of each, two codecs, a rule, and a destination that
// changed.
func delivered(t *testing.T, w *world) *archive {
	t.Helper()
	fill := func() {
		for range 3 {
			for _, typ := range someTypes {
				w.append(typ, 70)
			}
		}
	}
	w.configure(nil)
	fill()
	w.configure(func(c *control.Config) {
		c.Codec, c.Transformations = "zstandard", []control.Transformation{{Field: "user_id", Action: control.Hash}}
	})
	fill()
	w.configure(func(c *control.Config) { c.Destination.Number, c.Destination.Bucket = 2, "b2" })
	fill()
	return archived(t, w)
}

func (a *archive) EachFile(_ context.Context, f control.LedgerFilter, do func(control.File) error) error {
	for _, x := range a.files {
		if f.Destination != 0 && x.Lane.Destination != f.Destination || f.EventType != "" && x.EventType != f.EventType ||
			x.Stream.Hour < f.From || f.Until != 0 && x.Stream.Hour >= f.Until {
			continue
		}
		if err := do(x); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) EachDrop(_ context.Context, _ control.LedgerFilter, do func(control.Drop) error) error {
	for _, x := range a.drops {
		if err := do(x); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) FileByKey(_ context.Context, l control.Lane, key string) (control.File, error) {
	for _, x := range a.files {
		if x.Lane == l && x.Key == key {
			return x, nil
		}
	}
	return control.File{}, fault.New(fault.NotFound, "find file", "no file %s", key)
}

func (a *archive) PendingConfigs(context.Context) ([]control.Config, error) { return nil, nil }

func (a *archive) Config(ctx context.Context, c control.ConnectorID, v int) (control.Config, error) {
	return a.store.Config(ctx, c, v)
}

func (a *archive) Position(ctx context.Context, l control.Lane) (control.Position, error) {
	return a.store.Position(ctx, l)
}

func (a *archive) Access(ctx context.Context, l control.Lane) (bucket.Access, error) {
	if a.erased[l.Destination] {
		return bucket.Access{}, fault.New(fault.Forbidden, "open credentials", "erased")
	}
	return a.store.Access(ctx, l)
}

func (a *archive) archive() delivery.Archive {
	return delivery.Archive{Log: a.log, Ledger: a, Opener: a.world, Catalogue: a.catalogue}
}

func (a *archive) connector() control.Connector { return control.Connector{Config: a.config()} }

func (a *archive) verify() delivery.Verdict {
	a.t.Helper()
	v, err := delivery.Verify(context.Background(), delivery.VerifyInput{Archive: a.archive(), Connector: a.connector()})
	if err != nil {
		a.t.Fatalf("verify: %v", err)
	}
	return v
}

func (a *archive) replay(change func(*delivery.ReplayInput)) (delivery.Replayed, error) {
	in := delivery.ReplayInput{Archive: a.archive(), Connector: a.connector()}
	if change != nil {
		change(&in)
	}
	return delivery.Replay(context.Background(), in)
}

// bucketOf is the bucket of a ledger row.
func (a *archive) bucketOf(f control.File) string { return "b" + string(rune('0'+f.Lane.Destination)) }

func (a *archive) remove(f control.File) { a.buckets[a.bucketOf(f)].Remove(f.Key) }

// stored is an object as it lies in a bucket.
type stored struct {
	data string
	meta string
}

// contents gives every object of every bucket, by bucket and key.
func (a *archive) contents() map[string]stored {
	all := map[string]stored{}
	for name, b := range a.buckets {
		for _, key := range b.Keys() {
			data, info, _ := b.Object(key)
			m, _ := avrofile.ParseMeta(info.Metadata)
			all[name+" "+key] = stored{string(data), m.Log + " " + m.Hash.String()}
		}
	}
	return all
}

func (a *archive) same(t *testing.T, before map[string]stored) {
	t.Helper()
	after := a.contents()
	for k, o := range before {
		if got, is := after[k]; !is {
			t.Errorf("%s was not made again", k)
		} else if got != o {
			t.Errorf("%s has other bytes or metadata than before", k)
		}
	}
	for k := range after {
		if _, is := before[k]; !is {
			t.Errorf("%s is new", k)
		}
	}
}

func TestReplayMakesTheSameBytesForEveryCodecWithAndWithoutTransformations(t *testing.T) {
	for _, codec := range control.Codecs() {
		for name, rules := range map[string][]control.Transformation{
			"plain":       nil,
			"transformed": {{Field: "user_id", Action: control.Hash}, {Field: "app_id", Action: control.Remove}},
		} {
			t.Run(codec+" "+name, func(t *testing.T) {
				scenario(t, func(t *testing.T, w *world) {
					w.configure(func(c *control.Config) {
						c.Codec, c.Transformations, c.FlushEvents = codec, rules, 1000
						c.Events = someTypes[:2]
					})
					for range 4 {
						w.append(someTypes[0], 300)
						w.append(someTypes[1], 50)
						w.append(someTypes[2], 5) // not selected
						w.appendTo(someTypes[0], 3, 7)
						w.appendTo(someTypes[2], 3, 7) // test events are taken whatever is selected
						w.appendTo(someTypes[0], 3, 8) // another connector's
					}
					a := archived(t, w)
					before := a.contents()
					for _, f := range a.files {
						a.remove(f)
					}
					out, err := a.replay(nil)
					if err != nil || len(out.Written) != len(a.files) || out.Recorded != len(a.files) || len(out.OtherEncoder) != 0 {
						t.Fatalf("%+v, %v; %d files are in the ledger", out, err, len(a.files))
					}
					a.same(t, before)
					if v := a.verify(); len(v.Wrong)+len(v.TakenAway) != 0 || v.Compared != 4*(300+50+6) {
						t.Errorf("verify after it: %+v", v)
					}
				})
			})
		}
	}
}

func TestReplayPutsBackOnlyWhatIsMissing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		a := delivered(t, w)
		before := a.contents()
		for i, f := range a.files {
			if i%2 == 0 {
				a.remove(f)
			}
		}
		half := (len(a.files) + 1) / 2
		gone := a.contents()
		dry, err := a.replay(func(in *delivery.ReplayInput) { in.DryRun = true })
		if err != nil || len(dry.Written) != half {
			t.Errorf("a dry run: %+v, %v", dry, err)
		}
		a.same(t, gone)
		if out, err := a.replay(func(in *delivery.ReplayInput) { in.Until = a.files[0].Stream.Hour }); err != nil || out.Recorded != 0 {
			t.Errorf("of hours before: %+v, %v", out, err)
		}
		out, err := a.replay(nil)
		if err != nil || len(out.Written) != half || out.There != len(a.files)-half || !slices.Equal(slices.Sorted(slices.Values(out.Written)), slices.Sorted(slices.Values(dry.Written))) {
			t.Errorf("%+v, %v", out, err)
		}
		a.same(t, before)
		if out, err = a.replay(nil); err != nil || len(out.Written) != 0 || out.There != len(a.files) {
			t.Errorf("a second time: %+v, %v", out, err)
		}
	})
}

func TestReplayRefusesATrimmedRangeByNameBeforeAnyWrite(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		a := delivered(t, w)
		first := slices.MinFunc(a.files, func(x, y control.File) int { return cmp.Compare(x.First, y.First) })
		last := slices.MaxFunc(a.files, func(x, y control.File) int { return cmp.Compare(x.First, y.First) })
		a.remove(first)
		a.remove(last)
		if err := a.log.Trim(context.Background(), first.Last+1, 0); err != nil {
			t.Fatal(err)
		}
		gone := a.contents()
		for _, dry := range []bool{true, false} {
			out, err := a.replay(func(in *delivery.ReplayInput) { in.DryRun = dry })
			if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), first.Key) || strings.Contains(err.Error(), last.Key) || fault.HintOf(err) == "" {
				t.Errorf("dry %v: %+v, %v", dry, out, err)
			}
		}
		a.same(t, gone)
		// What is there needs no log.
		for i := range a.files {
			if a.files[i].Key == first.Key {
				a.files = slices.Delete(a.files, i, i+1)
				break
			}
		}
		if out, err := a.replay(nil); err != nil || !slices.Equal(out.Written, []string{last.Key}) {
			t.Errorf("without it: %+v, %v", out, err)
		}
	})
}

func TestReplayWritesNothingThatTheLedgerDoesNotMean(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*control.File)
		code  fault.Code
	}{
		"another log":           {func(f *control.File) { f.Log[5]++ }, fault.NotFound},
		"beyond the log's end":  {func(f *control.File) { f.Last += 1 << 20 }, fault.NotFound},
		"other records":         {func(f *control.File) { f.RawHash[3]++ }, fault.Conflict},
		"another count":         {func(f *control.File) { f.Events++ }, fault.Conflict},
		"another size":          {func(f *control.File) { f.Size++ }, fault.Conflict},
		"a schema that is gone": {func(f *control.File) { f.Stream.Schema = 999_999 }, fault.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				a := delivered(t, w)
				a.remove(a.files[0])
				gone := a.contents()
				row.spoil(&a.files[0])
				out, err := a.replay(nil)
				if !fault.Is(err, row.code) || !strings.Contains(err.Error(), a.files[0].Key) || len(out.Written) != 0 {
					t.Errorf("%+v, %v", out, err)
				}
				a.same(t, gone)
			})
		})
	}
}

func TestReplayPromisesRecordsNotBytesOfAnotherEncoder(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		a := delivered(t, w)
		f := &a.files[0]
		a.remove(*f)
		f.Encoder, f.Size = avrofile.Encoder+1, f.Size+11
		out, err := a.replay(nil)
		if err != nil || !slices.Equal(out.OtherEncoder, []string{f.Key}) || !slices.Equal(out.Written, []string{f.Key}) {
			t.Fatalf("%+v, %v", out, err)
		}
		_, info, _ := a.buckets[a.bucketOf(*f)].Object(f.Key)
		if m, ok := avrofile.ParseMeta(info.Metadata); !ok || m.Encoder != avrofile.Encoder || m.Hash != f.RawHash {
			t.Errorf("the file says of itself %+v", m)
		}
		w.check()
		if v := a.verify(); len(v.Wrong) != 0 {
			t.Errorf("verify takes it for damaged: %+v", v.Wrong)
		}
	})
}

func TestReplayLeavesWhatOthersWrote(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		a := delivered(t, w)
		a.remove(a.files[0])
		a.files[0].Adopted, a.files[0].RawHash = true, [16]byte{}
		if out, err := a.replay(nil); err != nil || !slices.Equal(out.Adopted, []string{a.files[0].Key}) || len(out.Written) != 0 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestVerifyAgreesWithWhatWasDelivered(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		a := delivered(t, w)
		v := a.verify()
		if n := int64(len(w.appended)); v.Events != n || v.Compared != n || v.Files != int64(len(a.files)) || v.LogFrom == nil || len(v.Wrong)+len(v.TakenAway)+len(v.Unreadable) != 0 {
			t.Errorf("%+v", v)
		}
		if err := a.log.Trim(context.Background(), w.logged[0]+1, 0); err != nil {
			t.Fatal(err)
		}
		if v = a.verify(); len(v.Wrong) != 0 || v.Compared != int64(len(w.appended)) {
			t.Errorf("of a log whose first control record was trimmed: %+v", v)
		}
		// The control records before are gone with the log's beginning; the ledger still knows what held.
		var second eventlog.Offset
		for i, at := range w.logged {
			if w.history[i].Version == 2 {
				second = at
			}
		}
		if err := a.log.Trim(context.Background(), second, 0); err != nil {
			t.Fatal(err)
		}
		if v = a.verify(); len(v.Wrong) != 0 || v.Compared == 0 || v.Compared >= int64(len(w.appended)) {
			t.Errorf("of a log that was trimmed: %+v", v)
		}
	})
}

func TestVerifyDoesNotBlameFilesForWhatTheLogLacks(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		a := delivered(t, w)
		full := w.log.copy()
		events := func(c eventlog.Commit) bool { return c.Kind == eventlog.Events }
		for name, i := range map[string]int{
			"the first events": slices.IndexFunc(full.commits, events),
			"some in between":  len(full.commits) / 2,
			"the last commit":  len(full.commits) - 1,
		} {
			for !events(full.commits[i]) {
				i++
			}
			w.log.commits = slices.Delete(slices.Clone(full.commits), i, i+1) // as a range that was set aside
			v := a.verify()
			lost := int64(full.commits[i].Count)
			if len(v.Wrong) != 0 || len(v.Uncompared) == 0 || len(v.Uncompared) == len(a.files) || v.Compared != int64(len(w.appended))-lost {
				t.Errorf("%s: %+v", name, v)
			}
		}
		w.log.commits = full.commits

		// Less in the log than in the file, and no offset missing: that is a difference.
		a.files[0].Events++
		if v := a.verify(); len(v.Wrong) == 0 || len(v.Uncompared) != 0 {
			t.Errorf("a count that is wrong: %+v", v)
		}
		a.files[0].Events--

		// A schema that nobody knows any more.
		f := &a.files[0]
		known := f.Stream.Schema
		for i := range a.files {
			if a.files[i].Stream.Schema == known {
				a.files[i].Stream.Schema = 4_000_000
			}
		}
		for i := range w.log.commits {
			w.log.commits[i].Payload = reschema(t, &w.log.commits[i], known, 4_000_000)
		}
		v := a.verify()
		if len(v.Wrong) != 0 || len(v.Uncompared) == 0 || !strings.Contains(v.Uncompared[0], "4000000") {
			t.Errorf("a schema that is not known: %+v", v)
		}
	})
}

// reschema gives a commit's payload with another schema id in place of one.
func reschema(t *testing.T, c *eventlog.Commit, from, to uint32) []byte {
	t.Helper()
	var b eventlog.Batch
	b.Reset(c.Header)
	for r := range c.Records() {
		if r.Schema == from {
			r.Schema = to
		}
		b.Add(r.Schema, r.Value)
	}
	return bytes.Clone(b.Payload())
}

// late is a bucket whose listing was made before a file came.
type late struct {
	bucket.Opener
	key string
}

type lateBucket struct {
	bucket.Bucket
	key string
}

func (o late) Open(a bucket.Access) (bucket.Bucket, error) {
	b, err := o.Opener.Open(a)
	return lateBucket{b, o.key}, err
}

func (b lateBucket) List(ctx context.Context, prefix string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		for i, err := range b.Bucket.List(ctx, prefix) {
			if i.Key != b.key && !yield(i, err) {
				return
			}
		}
	}
}

func TestVerifyDoesNotMissAFileThatCameDuringItsListing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		a := delivered(t, w)
		in := delivery.VerifyInput{Archive: a.archive(), Connector: a.connector()}
		in.Opener = late{in.Opener, a.files[0].Key}
		v, err := delivery.Verify(t.Context(), in)
		if err != nil || len(v.TakenAway)+len(v.Wrong) != 0 || v.Compared != int64(len(w.appended)) {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestVerifyNamesEachKindOfDifference(t *testing.T) {
	object := func(a *archive, f control.File, change func([]byte) []byte) {
		b := a.buckets[a.bucketOf(f)]
		data, info, _ := b.Object(f.Key)
		b.Set(f.Key, change(bytes.Clone(data)), info.Metadata)
	}
	for name, row := range map[string]struct {
		spoil func(a *archive)
		kind  delivery.DifferenceKind // "": none
		says  string
		also  func(v delivery.Verdict) bool
	}{
		"a file that was taken away": {func(a *archive) { a.remove(a.files[1]) }, "", "",
			func(v delivery.Verdict) bool { return len(v.TakenAway) == 1 }},
		"a file that was cut short": {func(a *archive) {
			object(a, a.files[1], func(b []byte) []byte { return b[:len(b)-30] })
		}, delivery.Damaged, "bytes, the ledger says", nil},
		"a byte that was changed": {func(a *archive) {
			object(a, a.files[1], func(b []byte) []byte { b[len(b)-5] ^= 1; return b })
		}, delivery.Damaged, "", nil},
		"a count that is not the ledger's": {func(a *archive) { a.files[1].Events++ }, delivery.Damaged, "events, the ledger says", nil},
		"another hash in the ledger":       {func(a *archive) { a.files[1].RawHash[0]++ }, delivery.Damaged, "or their bytes differ", nil},
		"another range in the ledger": {func(a *archive) { a.files[len(a.files)-1].Last++ }, delivery.Damaged, "says of itself",
			nil},
		"a stray file": {func(a *archive) {
			data, info, _ := a.buckets["b1"].Object(a.files[0].Key)
			a.buckets["b1"].Set(strings.Replace(a.files[0].Key, "+0+", "+9+", 1), data, info.Metadata)
		}, delivery.Unknown, "not in the ledger", nil},
		"a file whose row is lost": {func(a *archive) { a.files = a.files[1:] }, delivery.Unknown, "not in the ledger", nil},
		"events in no file":        {func(a *archive) { a.remove(a.files[0]); a.files = a.files[1:] }, delivery.Gap, "accepted and are in no file", nil},
		"events listed as dropped": {func(a *archive) {
			f := a.files[0]
			a.remove(f)
			a.files = a.files[1:]
			a.drops = append(a.drops, control.Drop{Lane: f.Lane, Stream: f.Stream, EventType: f.EventType, Log: f.Log, First: f.First, Last: f.Last, Events: int64(f.Events), Reason: control.DropGrace, At: f.At, Settled: true})
		}, "", "", func(v delivery.Verdict) bool { return v.Dropped > 0 }},
		"two files of the same offsets": {func(a *archive) {
			twice := a.files[0]
			twice.Key = strings.Replace(twice.Key, "+0+", "+1000+", 1)
			a.files = append(a.files, twice)
		}, delivery.Overlap, "covers too", nil},
		"a file over several": {func(a *archive) {
			for i := range a.files[1:] {
				if a.files[i].Stream == a.files[i+1].Stream && a.files[i].Lane == a.files[i+1].Lane {
					a.files[i].Last = a.files[i+1].Last
					return
				}
			}
			a.t.Fatal("no stream has two files")
		}, delivery.Overlap, "covers too", nil},
		"a file over all of its stream": {func(a *archive) {
			for _, x := range a.files {
				if x.Stream == a.files[0].Stream && x.Lane == a.files[0].Lane {
					a.files[0].Last = max(a.files[0].Last, x.Last)
				}
			}
		}, delivery.Overlap, "covers too", func(v delivery.Verdict) bool {
			n := 0
			for _, d := range v.Wrong {
				if d.Kind == delivery.Overlap {
					n++
				}
			}
			return n >= 2 // with every file that follows, not with the next one only
		}},
		"a file from before the log was set back": {func(a *archive) {
			f := a.files[0]
			was := f
			was.Key, was.At, was.RawHash = strings.Replace(f.Key, "+0+", "+1000+", 1), f.At.Add(-time.Hour), [16]byte{1}
			a.files = append(a.files, was)
			a.drops = append(a.drops, control.Drop{Lane: f.Lane, Log: f.Log, First: f.First, Last: f.Last, Events: -1, Reason: control.DropLogLost, At: f.At.Add(-time.Minute)})
		}, "", "", nil},
		"a destination that is behind the one after it": {func(a *archive) {
			lane := a.files[0].Lane
			a.files = slices.DeleteFunc(a.files, func(f control.File) bool {
				if f.Lane == lane {
					a.remove(f)
				}
				return f.Lane == lane
			})
			pos := a.store.pos[lane]
			pos.Cursor = a.logged[0] + 1
			a.store.pos[lane] = pos
		}, "", "", nil},
		"events that are not delivered yet": {func(a *archive) { a.append(someTypes[0], 10) }, "", "", nil},
		"a destination whose credentials are erased": {func(a *archive) { a.erased[1] = true }, "", "",
			func(v delivery.Verdict) bool {
				return len(v.Unreadable) == 1 && v.Unseen > 0 && v.Compared > 0 && v.Events == v.Compared // of the other destination
			}},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				a := delivered(t, w)
				row.spoil(a)
				v := a.verify()
				if row.kind == "" && len(v.Wrong) > 0 || row.also != nil && !row.also(v) {
					t.Errorf("%+v", v)
				}
				if row.kind != "" && !slices.ContainsFunc(v.Wrong, func(d delivery.Difference) bool {
					return d.Kind == row.kind && d.Key != "" && strings.Contains(d.Detail, row.says)
				}) {
					t.Errorf("no %q that says %q in %+v", row.kind, row.says, v.Wrong)
				}
			})
		})
	}
}

func TestVerifyCountsIdsThatProducersSentTwice(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 10)
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		a := &archive{world: w, files: slices.Collect(maps.Values(w.store.files[control.Lane{Connector: connectorID, Destination: 1}]))}
		if v := a.verify(); v.Repeated != 0 || v.Events != 10 {
			t.Fatalf("%+v", v)
		}
		w.appendIDs(someTypes[0], []string{"event-000001", "event-000002", "new"}, 0)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		a.files = slices.Collect(maps.Values(w.store.files[control.Lane{Connector: connectorID, Destination: 1}]))
		if v := a.verify(); v.Repeated != 2 || len(v.Wrong) != 0 {
			t.Errorf("%+v", v)
		}
	})
}
