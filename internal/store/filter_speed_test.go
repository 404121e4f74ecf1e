package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// speedFilters are what BenchmarkFilterSize asks for: one of each way in which a filter is answered.
var speedFilters = []struct{ name, filter string }{
	{"everybody", `{}`},
	{"country", `{"attribute":{"name":"country","one_of":["DE"]}}`},
	{"last session", `{"attribute":{"name":"last_session","after":"-30d"}}`},
	{"part of e-mail address", `{"attribute":{"name":"email","contains":"77@"}}`},
	{"custom text of few", `{"custom":{"name":"plan","one_of":["gold"]}}`},
	{"custom number of all", `{"custom":{"name":"age","at_least":18,"at_most":65}}`},
	{"event of most", `{"event":{"name":"login","at_least":2,"last_after":"-30d"}}`},
	{"event not done", `{"not":{"event":{"name":"login"}}}`},
	{"campaign opened", `{"message":{"campaign":"spring","did":"opened"}}`},
	{"channel opened", `{"message":{"channel":"email","did":"opened","after":"-30d"}}`},
	{"ten leaves", `{"all":[{"attribute":{"name":"email"}},{"any":[{"attribute":{"name":"country","one_of":["DE","FR"]}},{"custom":{"name":"plan","one_of":["gold","silver"]}}]},
		{"event":{"name":"login","last_after":"-60d"}},{"not":{"event":{"name":"order","last_after":"-7d"}}},{"custom":{"name":"age","at_least":18}},
		{"any":[{"message":{"campaign":"spring","did":"opened"}},{"message":{"channel":"email","did":"clicked","after":"-30d"}},{"attribute":{"name":"sessions","at_least":5}}]},
		{"attribute":{"name":"random_bucket","at_most":4999}}]}`},
}

// BenchmarkFilterSize counts the people of filters among a million on SQLite. To keep the database that it makes, which
// takes minutes, name a folder in the environment's FILTER_DIR.
func BenchmarkFilterSize(b *testing.B) {
	dir := os.Getenv("FILTER_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	p, err := store.OpenProfiles(b.Context(), store.Config{Path: filepath.Join(dir, "people.db")})
	must(b, err)
	b.Cleanup(func() { must(b, p.Close()) })
	if last, _, err := p.Highest(b.Context()); err != nil || last == 0 {
		must(b, err)
		million(b, p)
	}
	sizes(b, p)
}

// BenchmarkFilterSizePostgreSQL does so on PostgreSQL, whose processor time is not this process's.
func BenchmarkFilterSizePostgreSQL(b *testing.B) {
	p, err := store.OpenProfiles(b.Context(), storetest.Postgres(b))
	must(b, err)
	b.Cleanup(func() { must(b, p.Close()) })
	for _, query := range millionOnPostgreSQL {
		_, err := store.Raw(p.Store()).Exec(query)
		must(b, err)
	}
	sizes(b, p)
}

func sizes(b *testing.B, p *store.Profiles) {
	for _, x := range speedFilters {
		f, problems := control.ParseFilter("filter", []byte(x.filter))
		if problems != nil {
			b.Fatal(problems)
		}
		b.Run(x.name, func(b *testing.B) {
			var n int64
			began := cpu(b)
			for b.Loop() {
				var err error
				n, err = p.Size(b.Context(), 1, f, filterNow)
				must(b, err)
			}
			b.ReportMetric((cpu(b)-began).Seconds()/float64(b.N), "cpu-s") // what a busy machine does not change
			b.ReportMetric(float64(n), "people")
		})
		b.Run(x.name+", estimated", func(b *testing.B) {
			var n int64
			for b.Loop() {
				var err error
				n, _, err = p.Estimate(b.Context(), 1, f, filterNow)
				must(b, err)
			}
			b.ReportMetric(float64(n), "people")
		})
	}
}

// cpu is how long the processors have worked for this process.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err, fault.As(err))
	}
}

// million fills the tables with a million people of one workspace.
func million(b *testing.B, p *store.Profiles) {
	b.Helper()
	const people, perBatch = 1_000_000, 20_000
	r := maker{rand.New(rand.NewPCG(1, 2))}
	names := []control.Name{{Kind: control.NameAttribute, Name: "plan"}, {Kind: control.NameAttribute, Name: "age"}, {Kind: control.NameEvent, Name: "login"},
		{Kind: control.NameEvent, Name: "order"}, {Kind: control.NameCampaign, Name: "spring"}}
	for i := range names {
		names[i].ID, names[i].Workspace, names[i].FirstAt, names[i].LastAt = int64(i+1), 1, filterNow, filterNow
	}
	custom, rest := []byte(`{"plan":"gold","age":42,"tags":["a","b","c"],"address":{"city":"Berlin","zip":"10115"}}`), []byte(`{"apps":[{"id":"app","platform":"ios","version":"1.2.3","sessions":7,"first_used":1700000000000,"last_used":1700000000000}],"devices":[{"id":"0123456789abcdef","model":"Phone","os":"17.1"}]}`)
	ago := func(days int) time.Time { return filterNow.Add(-time.Duration(r.IntN(days*24)) * time.Hour) }
	for from := int64(0); from < people; from += perBatch {
		batch := &control.PeopleBatch{Log: eventlog.ID{1}, From: eventlog.Offset(from), Next: eventlog.Offset(from + perBatch)}
		if from == 0 {
			batch.Names = names
		}
		for row := from + 1; row <= from+perBatch; row++ {
			x := &control.Person{Row: row, New: true, Workspace: 1, ID: control.PersonID(fmt.Sprintf("%024x", row)), ExternalID: fmt.Sprint("user-", row), Bucket: r.IntN(10_000),
				CreatedAt: ago(700), UpdatedAt: ago(30), Email: fmt.Sprintf("user%d@example.com", row), Country: pick(r, []string{"DE", "FR", "ES", "BR", "US", "GB", "IT", "PT"}),
				Language: pick(r, []string{"de", "en", "es", "pt"}), LastSession: ago(100), Sessions: int64(r.IntN(20)), Custom: custom, Rest: rest,
				Channels: fmt.Appendf(nil, `{"email":{"r":%d,"o":%d},"push":{"r":%d}}`, ago(100).UnixMilli(), ago(100).UnixMilli(), ago(100).UnixMilli())}
			batch.People = append(batch.People, x)
			if r.IntN(10) < 3 {
				batch.Attributes = append(batch.Attributes, control.PersonAttribute{Name: 1, Person: row, Text: new(pick(r, []string{"gold", "silver", "free"}))})
			}
			batch.Attributes = append(batch.Attributes, control.PersonAttribute{Name: 2, Person: row, Number: new(float64(10 + r.IntN(80)))})
			if r.IntN(10) < 7 {
				batch.Events = append(batch.Events, control.PersonEvents{Name: 3, Person: row, First: ago(700), Last: ago(100), Count: 1 + int64(r.IntN(9))})
			}
			if r.IntN(10) < 2 {
				batch.Events = append(batch.Events, control.PersonEvents{Name: 4, Person: row, First: ago(700), Last: ago(100), Count: 1})
			}
			if r.IntN(10) < 4 {
				batch.Messages = append(batch.Messages, control.PersonMessage{Name: 5, Person: row, Received: ago(100), Opened: maybe(r, ago(100))})
			}
		}
		must(b, p.Apply(b.Context(), batch))
	}
}

// millionOnPostgreSQL is million as the server makes it by itself, in a tenth of the time: as many people, of whom as many
// did each thing. What it does not do by itself in tests follows.
var millionOnPostgreSQL = func() []string {
	ago := func(days int) string {
		return fmt.Sprintf("%d - (random() * %d)::bigint * 3600000", filterNow.UnixMilli(), 24*days)
	}
	const each = " FROM generate_series(1, 1000000) AS row"
	of := func(list string) string {
		return "(ARRAY[" + list + "])[1 + (random() * 1000)::integer % array_length(ARRAY[" + list + "], 1)]"
	}
	some := func(share string) string { return each + " WHERE random() < " + share }
	return []string{
		`INSERT INTO people_names (id, workspace, kind, name, title, parent, first_at, last_at) VALUES (1, 1, 1, 'plan', '', 0, 0, 0), (2, 1, 1, 'age', '', 0, 0, 0), (3, 1, 2, 'login', '', 0, 0, 0),
			(4, 1, 2, 'order', '', 0, 0, 0), (5, 1, 4, 'spring', '', 0, 0, 0)`,
		`INSERT INTO people (id, workspace, person, external_id, bucket, created_at, updated_at, email, country, language)
			SELECT row, 1, lpad(to_hex(row), 24, '0'), 'user-' || row, (random() * 9999)::integer, ` + ago(700) + ", " + ago(30) + ", 'user' || row || '@example.com', " +
			of("'DE', 'FR', 'ES', 'BR', 'US', 'GB', 'IT', 'PT'") + ", " + of("'de', 'en', 'es', 'pt'") + each,
		`INSERT INTO people_done (person, sessions, purchases, revenue, last_session, channels)
			SELECT row, (random() * 19)::integer, 0, 0, ` + ago(100) + `, '{"email":{"r":' || ` + ago(100) + ` || ',"o":' || ` + ago(100) + ` || '},"push":{"r":' || ` + ago(100) + ` || '}}'` + each,
		`INSERT INTO people_more (person, custom, rest) SELECT row, '{"plan":"gold","age":42,"tags":["a","b","c"],"address":{"city":"Berlin","zip":"10115"}}',
			'{"apps":[{"id":"app","platform":"ios","version":"1.2.3","sessions":7,"first_used":1700000000000,"last_used":1700000000000}],"devices":[{"id":"0123456789abcdef","model":"Phone","os":"17.1"}]}'` + each,
		"INSERT INTO people_attributes (name, person, text) SELECT 1, row, " + of("'gold', 'silver', 'free'") + some("0.3"),
		"INSERT INTO people_attributes (name, person, number) SELECT 2, row, 10 + (random() * 79)::integer" + each,
		"INSERT INTO people_events (name, person, first_at, last_at, count, revenue) SELECT 3, row, " + ago(700) + ", " + ago(100) + ", 1 + (random() * 8)::integer, 0" + some("0.7"),
		"INSERT INTO people_events (name, person, first_at, last_at, count, revenue) SELECT 4, row, " + ago(700) + ", " + ago(100) + ", 1, 0" + some("0.2"),
		"INSERT INTO people_messages (name, person, variation, flags, received, opened) SELECT 5, row, '', 0, " + ago(100) + ", CASE WHEN random() < 0.5 THEN " + ago(100) + " END" + some("0.4"),
		"VACUUM ANALYZE",
	}
}()
