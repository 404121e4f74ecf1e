package export

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"log/slog"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/vfs"
)

// BenchmarkExport makes an archive of JSON lines, and one of CSV, of as many people as the environment's EXPORT_PEOPLE says
// (100,000), from SQLite, on the disk.
func BenchmarkExport(b *testing.B) {
	people, err := strconv.Atoi(os.Getenv("EXPORT_PEOPLE"))
	if err != nil {
		people = 100_000
	}
	rows, who := storetest.Open(b), storetest.OpenProfiles(b)
	if err := rows.CreateWorkspace(b.Context(), control.Workspace{Number: 1, Name: "acme", UnknownFields: control.RejectUnknown, CreatedAt: now}); err != nil {
		b.Fatal(err)
	}
	names := []control.Name{{ID: 1, Workspace: 1, Kind: control.NameEvent, Name: "login", FirstAt: now, LastAt: now}, {ID: 2, Workspace: 1, Kind: control.NameProduct, Name: "sku", FirstAt: now, LastAt: now}}
	custom := []byte(`{"plan":"gold","age":42,"tags":["a","b","c"],"address":{"city":"Berlin","zip":"10115"}}`)
	rest := []byte(`{"apps":[{"id":"app","platform":"ios","version":"1.2.3","sessions":7,"first_used":1700000000000,"last_used":1700000000000}],"devices":[{"id":"0123456789abcdef","model":"Phone","os":"17.1"}]}`)
	for from := 0; from < people; from += 20_000 {
		batch := &control.PeopleBatch{Log: eventlog.ID{1}, From: eventlog.Offset(from), Next: eventlog.Offset(from + 20_000)}
		if from == 0 {
			batch.Names = names
		}
		for row := int64(from) + 1; row <= int64(min(from+20_000, people)); row++ {
			batch.People = append(batch.People, &control.Person{Row: row, New: true, Workspace: 1, ID: control.PersonID(fmt.Sprintf("%024x", row)), ExternalID: fmt.Sprint("user-", row), Bucket: int(row % 10_000),
				CreatedAt: now.Add(-time.Duration(row) * time.Second), UpdatedAt: now, Email: fmt.Sprintf("user%d@example.com", row), FirstName: "Ana", LastName: "Souza", Country: []string{"DE", "BR", "US"}[row%3],
				Language: "pt", TimeZone: "America/Sao_Paulo", FirstSession: now, LastSession: now, Sessions: row % 20, Custom: custom, Rest: rest})
			batch.Events = append(batch.Events, control.PersonEvents{Name: 1 + row%2, Person: row, First: now, Last: now, Count: 1 + row%9, Revenue: 1})
		}
		if err := who.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for _, kind := range []control.ExportKind{control.ExportSegmentUsers, control.ExportUsersCSV} {
		b.Run(string(kind), func(b *testing.B) {
			for b.Loop() {
				e := control.Export{ID: control.NewExportID(now), Workspace: 1, Kind: kind, Source: control.ExportByDashboard, Subject: "s", CreatedAt: now, Spec: control.ExportSpec{Fields: Fields()}}
				var err error
				if e.Number, err = rows.AddExport(b.Context(), e); err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				var got control.Export
				r := NewRunner(Deps{Books: rows, Files: vfs.OS(b.TempDir()), Logger: slog.New(slog.DiscardHandler), May: func(context.Context, control.Export) error { return nil },
					People: func(ctx context.Context, e control.Export, needs control.ProfileNeeds) (People, int64, error) {
						p, err := who.Bulk(ctx, 1, e.Spec.Filter, e.CreatedAt, needs)
						return p, 0, err
					},
					OnEnded: func(e control.Export) { got = e; cancel() }}, 2)
				_ = r.Run(ctx) // which ends with ctx
				if got.State != control.ExportDone || got.People != int64(people) {
					b.Fatalf("it is %+v", got)
				}
				b.ReportMetric(float64(got.Bytes)/1e6, "MB")
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/float64(people)*1e6, "s/million")
		})
	}
}
