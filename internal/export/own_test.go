package export

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func TestAnOwnBucketThatFailsHoldsAnExportUpAndIsNobodyElsesFault(t *testing.T) {
	m := newMill(t)
	m.kept = buckettest.NewMemory()
	m.kept.Script(func(c buckettest.Call) buckettest.Fault {
		if c.Op == buckettest.OpPut && c.Attempt == 1 {
			return buckettest.Fault{Problem: bucket.AccessDenied}
		}
		return buckettest.Fault{}
	})
	e := m.run(t.Context(), m.ask(control.ExportUsersCSV, true))
	if e.State != control.ExportDone || len(m.keys()) != 1 || len(m.disk.Names()) > 0 {
		t.Fatalf("it is %+v, on the disk are %v", e, m.disk.Names())
	}
	own := Watch(m.own())
	_, err := own.All(t.Context())
	must(t, err)
	if own.Fails(time.Now()) {
		t.Error("a store that works fails")
	}
	m.kept.Deny(bucket.AccessDenied)
	if _, err = own.All(t.Context()); err == nil || !own.Fails(time.Now()) || own.Fails(time.Now().Add(3*time.Minute)) {
		t.Errorf("a store that fails does not, or for ever: %v", err)
	}
	for what, err := range map[string]error{
		"keep": m.own().Keep(t.Context(), control.Export{ID: "x", File: "none"}), "leave": m.own().Leave(t.Context(), e.ID, ""),
		"open": func() error { _, err := m.own().Open(t.Context(), e); return err }(), "list": func() error { _, err := m.own().All(t.Context()); return err }(),
	} {
		if what == "keep" {
			continue // there is nothing to keep
		}
		if f := control.FailureOf(err); f.Code != fault.Unavailable || f.Msg.Key != "control.export_store_fails" || !passing(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAFileInABucketIsReadInOneRequest(t *testing.T) {
	b := buckettest.NewMemory()
	e := control.Export{ID: "e", File: "users.zip"}
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	own := InBucket(nil, b, "i")
	if _, err := own.Open(t.Context(), e); !fault.Is(err, fault.Stale) {
		t.Errorf("what is not there: %v", err)
	}
	b.Set("millrace-exports/i/e/users.zip", data, nil)
	gets := func() (n int) {
		for _, c := range b.Calls() {
			if c.Op == buckettest.OpGet {
				n++
			}
		}
		return n
	}
	f, err := own.Open(t.Context(), e)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	got, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil || !bytes.Equal(got, data) || gets() != 1 {
		t.Errorf("%d bytes, %v, in %d requests", len(got), err, gets())
	}
	got, err = io.ReadAll(io.NewSectionReader(f, 777, 333_333))
	if err != nil || !bytes.Equal(got, data[777:777+333_333]) || gets() != 2 {
		t.Errorf("a part: %d bytes, %v, in %d requests", len(got), err, gets())
	}
	must(t, f.Close())

	// A request that breaks off is gone on with where it did.
	b.Script(func(c buckettest.Call) buckettest.Fault { return buckettest.Fault{CutAt: 300_000} })
	f, err = own.Open(t.Context(), e)
	must(t, err)
	got, err = io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("broken off again and again: %d bytes, %v", len(got), err)
	}
	// Not if nothing comes any more, nor if another object stands there.
	b.Script(func(c buckettest.Call) buckettest.Fault { return buckettest.Fault{Problem: bucket.ServerError} })
	if _, err = f.ReadAt(make([]byte, 10), 5); !fault.Is(err, fault.Unavailable) {
		t.Errorf("of a store in trouble: %v", err)
	}
	b.Script(nil)
	b.Set("millrace-exports/i/e/users.zip", []byte(strings.Repeat("x", len(data))), nil)
	if _, err = f.ReadAt(make([]byte, 10), 5); err == nil {
		t.Error("half of one file is followed by half of another")
	}
	must(t, f.Close())
}

func TestABucketIsProvedWithEachRight(t *testing.T) {
	for _, op := range []string{"", buckettest.OpPut, buckettest.OpGet, buckettest.OpList, buckettest.OpDelete} {
		b := buckettest.NewMemory()
		b.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == op {
				return buckettest.Fault{Problem: bucket.AccessDenied}
			}
			return buckettest.Fault{}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := Prove(ctx, b)
		cancel()
		if (err != nil) != (op != "") || err != nil && !strings.HasPrefix(err.Error(), op) {
			t.Errorf("without %s: %v", op, err)
		}
		if op == "" && len(b.Keys()) > 0 {
			t.Errorf("it leaves %v", b.Keys())
		}
	}
}
