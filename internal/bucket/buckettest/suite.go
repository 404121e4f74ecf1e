package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
)

// Run checks that what open gives keeps the contract of bucket.Bucket. Each call of open gives an empty bucket
// with all rights.
func Run(t *testing.T, open func(t *testing.T) bucket.Bucket) {
	createOnly := bucket.PutOptions{CreateOnly: true}
	for name, test := range map[string]func(t *testing.T, b bucket.Bucket){
		"a file is put whole, in place of what was there": func(t *testing.T, b bucket.Bucket) {
			for _, size := range []int{10, 3 << 20} {
				data := bytes.Repeat([]byte{byte(size), 'x'}, size/2)
				if err := b.PutFile(t.Context(), "segment-export/file.zip", fileOf(data), bucket.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				rc, _, err := b.Get(t.Context(), "segment-export/file.zip")
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(rc)
				if err = errors.Join(err, rc.Close()); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes are read, of %d, %v", len(got), size, err)
				}
			}
			if err := b.PutFile(t.Context(), "segment-export/file.zip", fileOf(nil), createOnly); bucket.ProblemOf(err) != bucket.Exists {
				t.Errorf("a file in the place of another, create-only: %v", err)
			}
			if err := b.PutFile(t.Context(), "large", endless{}, bucket.PutOptions{}); bucket.ProblemOf(err) != bucket.BadRequest || !fault.Is(errors.Unwrap(err), fault.TooLarge) {
				t.Errorf("a file of more than one request takes: %v", err)
			}
			if _, err := b.Head(t.Context(), "large"); bucket.ProblemOf(err) != bucket.NotFound {
				t.Errorf("of it there is %v", err)
			}
		},
		"what is put can be read": func(t *testing.T, b bucket.Bucket) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 0))
			for _, size := range []int{1, 4095, 70_000, 3 << 20} { // above 2 MiB clients ask before they send
				data := make([]byte, size)
				for i := range data {
					data[i] = byte(rnd.Uint32())
				}
				cut := size / 3
				key := fmt.Sprintf("currents/dataexport.prod-01.S3.integration.65f0/event_type=users.messages.email.Open/date=2026-11-22-10/17/default/x+0+%010d.avro", size)
				meta := map[string]string{"millrace-first": fmt.Sprint(size), "millrace-hash": "00ff"}
				before := time.Now().Add(-2 * time.Second)
				err := b.Put(t.Context(), key, bucket.Body{data[:cut], nil, data[cut:]}, bucket.PutOptions{CreateOnly: true, ContentType: "avro/binary", Metadata: meta})
				if err != nil {
					t.Fatal(err)
				}
				head, err := b.Head(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				rc, info, err := b.Get(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(rc)
				if err = errors.Join(err, rc.Close()); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, data) {
					t.Errorf("%d bytes put, %d others read", size, len(got))
				}
				for _, i := range []bucket.Info{head, info} {
					if i.Key != key || i.Size != int64(size) || i.ETag == "" || i.ETag != head.ETag || i.Modified.Before(before) || !maps.Equal(i.Metadata, meta) {
						t.Errorf("size %d: told as %+v", size, i)
					}
				}
			}
		},
		"what is put can be read from any byte on": func(t *testing.T, b bucket.Bucket) {
			data := bytes.Repeat([]byte("0123456789"), 10_000)
			if err := b.Put(t.Context(), "k", bucket.Body{data}, bucket.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, from := range []int64{0, 1, 65_537, int64(len(data)) - 1} {
				rc, info, err := b.GetFrom(t.Context(), "k", from)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(rc)
				if err = errors.Join(err, rc.Close()); err != nil || !bytes.Equal(got, data[from:]) || info.Size != int64(len(data)) {
					t.Errorf("from byte %d on there are %d bytes of %d, %v", from, len(got), info.Size, err)
				}
			}
			if _, _, err := b.GetFrom(t.Context(), "none", 7); bucket.ProblemOf(err) != bucket.NotFound {
				t.Errorf("of what is not there: %v", err)
			}
		},
		"an empty object is put and read": func(t *testing.T, b bucket.Bucket) {
			if err := b.Put(t.Context(), "empty", nil, createOnly); err != nil {
				t.Fatal(err)
			}
			if i, err := b.Head(t.Context(), "empty"); err != nil || i.Size != 0 {
				t.Fatal(i, err)
			}
		},
		"create-only never changes what is there": func(t *testing.T, b bucket.Bucket) {
			put(t, b, "k", "first", createOnly)
			for _, size := range []int{5, 3 << 20} {
				var err error
				for range 20 {
					err = b.Put(t.Context(), "k", bucket.Body{make([]byte, size)}, bucket.PutOptions{CreateOnly: true, Metadata: map[string]string{"a": "b"}})
					if bucket.ProblemOf(err) != bucket.Network {
						break // some stores close on a large body that they refuse, and the reset overtakes their answer
					}
				}
				if bucket.ProblemOf(err) != bucket.Exists {
					t.Errorf("got %v, want exists", err)
				}
			}
			if i, err := b.Head(t.Context(), "k"); err != nil || len(i.Metadata) != 0 {
				t.Errorf("metadata changed: %+v %v", i, err)
			}
			if got := get(t, b, "k"); got != "first" {
				t.Errorf("the object holds %q now", got)
			}
			put(t, b, "k", "second", bucket.PutOptions{})
			if got := get(t, b, "k"); got != "second" {
				t.Errorf("a plain put left %q", got)
			}
		},
		"of many who create at once one wins": func(t *testing.T, b bucket.Bucket) {
			const writers, rounds = 8, 10
			for round := range rounds {
				key := fmt.Sprintf("race/%d", round)
				var wg sync.WaitGroup
				var won atomic.Int32
				winner := -1
				start := make(chan struct{})
				for w := range writers {
					wg.Go(func() {
						<-start
						for {
							err := b.Put(t.Context(), key, bucket.Body{bytes.Repeat([]byte{byte('a' + w)}, 10_000)}, createOnly)
							switch bucket.ProblemOf(err) {
							case "":
								won.Add(1)
								winner = w
								return
							case bucket.Exists:
								return
							case bucket.Busy:
								continue
							}
							t.Errorf("writer %d: %v", w, err)
							return
						}
					})
				}
				close(start)
				wg.Wait()
				if won.Load() != 1 {
					t.Fatalf("%d of %d writers were told that they created %s", won.Load(), writers, key)
				}
				if got := get(t, b, key); got != strings.Repeat(string(rune('a'+winner)), 10_000) {
					t.Fatalf("%s holds the bytes of %q…, writer %d was told that it won", key, got[:1], winner)
				}
			}
		},
		"what is not there is not found": func(t *testing.T, b bucket.Bucket) {
			put(t, b, "a/b", "x", createOnly)
			for _, key := range []string{"none", "a", "a/b/c/d", "a/bc"} {
				if _, err := b.Head(t.Context(), key); bucket.ProblemOf(err) != bucket.NotFound {
					t.Errorf("head %s: %v", key, err)
				}
				if _, _, err := b.Get(t.Context(), key); bucket.ProblemOf(err) != bucket.NotFound {
					t.Errorf("get %s: %v", key, err)
				}
			}
		},
		"keys are kept as they are": func(t *testing.T, b bucket.Bucket) {
			keys := []string{"a b+c=d&e.f", "ünï/cødé ☃", "p%20q", "x:y@z,w;v!'()*$~"}
			for _, k := range keys {
				put(t, b, k, k, createOnly)
				if got := get(t, b, k); got != k {
					t.Errorf("%q holds %q", k, got)
				}
			}
			slices.Sort(keys)
			if got := list(t, b, ""); !slices.Equal(got, keys) {
				t.Errorf("listed as %q", got)
			}
		},
		"lists are in byte order and keep to the prefix": func(t *testing.T, b bucket.Bucket) {
			keys := []string{"f/a-b", "f/a/b", "f/a/b-c", "f/a/b/c", "f/a0", "f2/x", "g"}
			keys = slices.DeleteFunc(keys, func(k string) bool { return k == "f/a/b" }) // a name is a file or a folder on disks
			for _, i := range rand.Perm(len(keys)) {
				put(t, b, keys[i], "x", createOnly)
			}
			for prefix, want := range map[string][]string{
				"": keys, "f/": keys[:4], "f/a": keys[:4], "f/a/": keys[1:3], "f": keys[:5], "f/a/b/c": {"f/a/b/c"}, "none": nil, "g/": nil,
			} {
				want = slices.Clone(want)
				slices.Sort(want)
				if got := list(t, b, prefix); !slices.Equal(got, want) {
					t.Errorf("prefix %q: %q, want %q", prefix, got, want)
				}
			}
			for i, err := range b.List(t.Context(), "f/") {
				if err != nil || i.Size != 1 || i.ETag == "" || i.Modified.IsZero() {
					t.Errorf("listed as %+v, %v", i, err)
				}
				break // stopping early is allowed
			}
		},
		"lists go on after a thousand": func(t *testing.T, b bucket.Bucket) {
			const n = 1203
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					for i := w; i < n; i += 8 {
						if err := b.Put(t.Context(), fmt.Sprintf("many/%04d", i), bucket.Body{[]byte("x")}, createOnly); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			put(t, b, "after", "x", createOnly)
			got := list(t, b, "many/")
			if len(got) != n || !slices.IsSorted(got) || len(slices.Compact(got)) != n {
				t.Errorf("%d keys listed, want each of %d once and in order", len(got), n)
			}
		},
		"delete takes away and does not mind": func(t *testing.T, b bucket.Bucket) {
			put(t, b, "d/k", "x", createOnly)
			for range 2 {
				if err := b.Delete(t.Context(), "d/k"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.Head(t.Context(), "d/k"); bucket.ProblemOf(err) != bucket.NotFound {
				t.Errorf("head after delete: %v", err)
			}
			put(t, b, "d/k", "y", createOnly)
		},
		"the bucket tells where it lies": func(t *testing.T, b bucket.Bucket) {
			if r, err := b.Location(t.Context()); err != nil || r == "" {
				t.Errorf("%q, %v", r, err)
			}
		},
		"a call ends with its context": func(t *testing.T, b bucket.Bucket) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := b.Put(ctx, "k", bucket.Body{[]byte("x")}, createOnly)
			if bucket.ProblemOf(err) != bucket.Network || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, b bucket.Bucket, key, data string, opt bucket.PutOptions) {
	t.Helper()
	if err := b.Put(t.Context(), key, bucket.Body{[]byte(data)}, opt); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func get(t *testing.T, b bucket.Bucket, key string) string {
	t.Helper()
	rc, _, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	defer rc.Close() // read only
	data, err := io.ReadAll(rc)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return string(data)
}

func list(t *testing.T, b bucket.Bucket, prefix string) []string {
	t.Helper()
	var keys []string
	for i, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		keys = append(keys, i.Key)
	}
	return keys
}

// file is bytes as a file holds them.
type file struct{ *bytes.Reader }

func fileOf(data []byte) bucket.File { return file{bytes.NewReader(data)} }

func (f file) Size() (int64, error) { return f.Reader.Size(), nil }

// endless says that it is larger than what one request takes.
type endless struct{ bucket.File }

func (endless) Size() (int64, error) { return bucket.MaxPut + 1, nil }
