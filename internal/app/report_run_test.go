package app_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/export"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// press is a runner over real databases, a bucket and a disk in memory.
type press struct {
	t      *testing.T
	books  *store.Store
	people *store.Profiles
	labels labels
	bucket *buckettest.Memory
	disk   *vfstest.Disk
}

// manifested gives the sizes of the files that a manifest names by their names.
func manifested(t *testing.T, put buckettest.Call, key string, lines int64) map[string]int {
	t.Helper()
	var m struct {
		People int64
		Files  []struct {
			Name   string
			People int64
			Bytes  int
			SHA256 string
		}
	}
	if put.Op != buckettest.OpPut || put.Key != key {
		t.Fatalf("last is %s of %s, and not of %s", put.Op, put.Key, key)
	}
	must(t, json.Unmarshal(put.Body, &m))
	sizes, sum := map[string]int{}, int64(0)
	for _, f := range m.Files {
		sizes[f.Name] = f.Bytes
		if sum += f.People; len(f.SHA256) != 64 {
			t.Errorf("of %s it says %q", f.Name, f.SHA256)
		}
	}
	if m.People != lines || sum != lines {
		t.Errorf("it says %d lines, and %d in the files, of %d", m.People, sum, lines)
	}
	return sizes
}

func newPress(t *testing.T) *press {
	b, l := messages()
	b.Log, b.Next = eventlog.ID{1}, 1
	p := &press{t, storetest.Open(t), storetest.OpenProfiles(t), l, buckettest.NewMemory(), vfstest.New()}
	p.disk.SetFree(1 << 40)
	must(t, p.books.CreateWorkspace(t.Context(), control.Workspace{Number: acme, Name: "acme", UnknownFields: control.RejectUnknown, CreatedAt: now}))
	for i := range b.Messages {
		b.Messages[i].Received = now.AddDate(0, 0, -1)
	}
	must(t, p.people.Apply(t.Context(), &b))
	return p
}

// run makes an export, and gives it as it ended.
func (p *press) run(e control.Export) control.Export {
	p.t.Helper()
	e = p.make(e, nil)
	if e.State != control.ExportDone {
		p.t.Fatalf("it is %s: %v", e.State, e.Failure)
	}
	return e
}

// make makes an export, and gives it as it ended; atEnd is called before that is written down.
func (p *press) make(e control.Export, atEnd func(control.Export)) control.Export {
	p.t.Helper()
	e.ID, e.Workspace, e.CreatedAt, e.Source = control.NewExportID(now), acme, now, control.ExportByDashboard
	n, err := p.books.AddExport(p.t.Context(), e)
	must(p.t, err)
	e.Number = n
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	ended := make(chan control.Export, 1)
	r := export.NewRunner(export.Deps{Books: p.books, Files: p.disk, Own: export.InFolder(p.disk), Counts: p.people, Labels: p.labels, Logger: slog.New(slog.DiscardHandler),
		People: func(ctx context.Context, e control.Export, needs control.ProfileNeeds) (export.People, int64, error) {
			b, err := p.people.Bulk(ctx, e.Workspace, e.Spec.Filter, e.CreatedAt, needs)
			return b, 0, err
		},
		Bucket: func(context.Context, control.Export) (bucket.Bucket, error) { return p.bucket.Open(bucket.Access{}) },
		May:    func(context.Context, control.Export) error { return nil },
		Notices: func(e control.Export) []control.Notice {
			if atEnd != nil {
				atEnd(e)
			}
			return nil
		},
		OnEnded: func(e control.Export) { ended <- e },
	}, 1)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	late := time.After(time.Minute)
	for open := true; open; {
		select {
		case e = <-ended:
			open = false
		case <-time.After(time.Millisecond): // of one that is cancelled nobody is told: its files go last
			e, err = p.books.Export(p.t.Context(), e.Workspace, e.ID)
			must(p.t, err)
			_, err = p.disk.List(string(e.ID))
			open = e.State != control.ExportCancelled || !fault.Is(err, fault.NotFound)
		case <-late:
			p.t.Fatal("it does not end")
		}
	}
	cancel()
	<-done // its error is that ctx ended
	return e
}

// unzipped gives what the files of an archive hold.
func unzipped(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	all := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		text, err := io.ReadAll(r)
		must(t, err)
		all[f.Name] = string(text)
	}
	return all
}

func TestEachReportIsMadeByTheRunnerInEachPacking(t *testing.T) {
	for _, c := range []struct {
		kind    control.ExportKind
		subject string
		spec    control.ReportSpec
		folder  string
		files   []string
	}{
		{control.ExportEngagement, "weekly", control.ReportSpec{Tags: []string{"a"}}, "engagement-report-export/weekly/2026-11-22/", []string{"campaigns.csv", "canvases.csv"}},
		{control.ExportPerformance, "c-1", control.ReportSpec{Campaigns: []string{"c-1"}}, "segment-export/c-1/2026-11-22/", []string{"campaign-performance.csv"}},
		{control.ExportCustomEvents, "", control.ReportSpec{Per: control.PerHour}, "segment-export/custom_events/2026-11-22/", []string{"custom-events.csv"}},
		{control.ExportRevenue, "", control.ReportSpec{}, "segment-export/revenue/2026-11-22/", []string{"revenue.csv"}},
	} {
		for _, packing := range []string{"", "gzip", "none"} {
			t.Run(fmt.Sprintf("%s %s", c.kind, packing), func(t *testing.T) {
				p := newPress(t)
				e := p.run(control.Export{Kind: c.kind, Subject: c.subject, Place: control.ExportPlace{Bucket: "memory"},
					Spec: control.ExportSpec{Report: c.spec, Packing: packing, Delimiter: ";", BOM: true}})
				want := map[string]string{}
				report := export.Report{Counts: p.people, Labels: p.labels, Workspace: acme, Kind: c.kind, Spec: c.spec, Form: export.Form{Delimiter: ';', BOM: true}, Now: now, Zone: time.UTC}
				lines := int64(0)
				for _, name := range c.files {
					var b strings.Builder
					n, err := report.Write(t.Context(), name, &b)
					must(t, err)
					want[name] = b.String()
					lines += n
				}
				own := p.disk.Bytes(string(e.ID) + "/" + e.File)
				if got := unzipped(t, own); !maps.Equal(got, want) || e.People != lines {
					t.Errorf("what can be downloaded has %d lines and is %v", e.People, got)
				}
				calls := p.bucket.Calls()
				last := calls[len(calls)-1]
				said := map[string]int{} // the files that the manifest names, with their sizes
				if packing != "" && len(c.files) > 1 {
					said = manifested(t, last, c.folder+strings.TrimSuffix(e.File, ".zip")+"-manifest.json", lines)
				}
				got := map[string]string{}
				for _, key := range p.bucket.Keys() {
					b, _, _ := p.bucket.Object(key)
					if len(said) > 0 && key == last.Key {
						continue
					}
					name, inside := strings.CutPrefix(key, c.folder)
					if size, is := said[name]; len(said) > 0 && (!is || size != len(b)) {
						t.Errorf("the manifest does not say %s of %d bytes: %v", name, len(b), said)
					}
					if !inside {
						t.Errorf("%s stands outside %s", key, c.folder)
					}
					if packing == "" {
						if !bytes.Equal(b, own) {
							t.Errorf("%s is not what can be downloaded", key)
						}
						maps.Copy(got, unzipped(t, b))
						continue
					}
					var from io.Reader = bytes.NewReader(b)
					if packing == "gzip" {
						name = strings.TrimSuffix(name, ".gz")
						z, err := gzip.NewReader(from)
						must(t, err)
						from = z
					}
					text, err := io.ReadAll(from)
					must(t, err)
					got[strings.TrimPrefix(name, strings.TrimSuffix(e.File, ".zip")+"-")] = string(text)
				}
				if !maps.Equal(got, want) {
					t.Errorf("in the bucket stands %v under %v", got, p.bucket.Keys())
				}
				if names, err := p.disk.List(string(e.ID)); err != nil || len(names) != 1 {
					t.Errorf("%v are left, %v", names, err)
				}
			})
		}
	}
}

func TestAReportThatIsCancelledInTheLastMomentDoesNotLookWhole(t *testing.T) {
	for _, packing := range []string{"zip", "gzip"} {
		for _, campaigns := range []control.ReportSpec{{Tags: []string{"a"}}, {Campaigns: []string{"c-1"}}} {
			p := newPress(t)
			e := p.make(control.Export{Kind: control.ExportEngagement, Subject: "weekly", Place: control.ExportPlace{Bucket: "memory"}, Spec: control.ExportSpec{Report: campaigns, Packing: packing}},
				func(e control.Export) {
					e.State = control.ExportCancelled
					must(t, p.books.EndExport(t.Context(), e))
				})
			left, calls := p.bucket.Keys(), p.bucket.Calls()
			if e.State != control.ExportCancelled || calls[len(calls)-1].Op != buckettest.OpDelete || packing == "zip" && len(left) > 0 || packing == "gzip" && len(campaigns.Campaigns) == 1 && len(left) > 0 ||
				slices.ContainsFunc(left, func(key string) bool { return strings.HasSuffix(key, "manifest.json") }) {
				t.Errorf("%s: it is %s, and there are %v", packing, e.State, left)
			}
		}
	}
}

func TestRecipientsOfACampaignSayWhatTheyHad(t *testing.T) {
	p := newPress(t)
	e := p.run(control.Export{Kind: control.ExportCampaignUsers, Subject: "c-1",
		Spec: control.ExportSpec{Filter: control.Filter{Message: &control.MessageDeed{Campaign: "c-1", Did: control.DidReceive}}}})
	for _, text := range unzipped(t, p.disk.Bytes(string(e.ID)+"/"+e.File)) {
		lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		must(t, err)
		if len(lines) != 4 {
			t.Fatalf("%d lines", len(lines))
		}
		for i, want := range [][]string{{"variation_name", "variation_id", "in_control"}, {"Short", "v-1", "false"}, {"Short", "v-1", "false"}} {
			if got := lines[i][len(lines[i])-3:]; !slices.Equal(got, want) {
				t.Errorf("%v and not %v", got, want)
			}
		}
	}
}
