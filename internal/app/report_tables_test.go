package app_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/export"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const acme uint32 = 7

var now = time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)

// labels are what people say.
type labels []control.CampaignLabel

func (labels) Zone(context.Context, uint32) (*time.Location, error) { return time.UTC, nil }

func (l labels) CampaignLabels(_ context.Context, workspace uint32, kind control.NameKind) (some []control.CampaignLabel, err error) {
	for _, x := range l {
		if x.Workspace == workspace && x.Kind == kind {
			some = append(some, x)
		}
	}
	return some, nil
}

// counted makes tables of people that hold a batch, in each database.
func counted(t *testing.T, b control.PeopleBatch, f func(t *testing.T, p *store.Profiles)) {
	b.Log, b.Next = eventlog.ID{1}, 1
	for name, cfg := range map[string]func() store.Config{
		"SQLite":     func() store.Config { return store.Config{Path: filepath.Join(t.TempDir(), "people.db")} },
		"PostgreSQL": func() store.Config { return storetest.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			p, err := store.OpenProfiles(t.Context(), cfg())
			must(t, err)
			t.Cleanup(func() { must(t, p.Close()) })
			copied := b
			must(t, p.Apply(t.Context(), &copied))
			f(t, p)
		})
	}
}

// messages is what some campaigns, a Canvas, events and products have had, and another workspace's beside them.
func messages() (control.PeopleBatch, labels) {
	name := func(id int64, kind control.NameKind, name, title string, parent int64) control.Name {
		return control.Name{ID: id, Workspace: acme, Kind: kind, Name: name, Title: title, Parent: parent, FirstAt: now, LastAt: now}
	}
	theirs := name(20, control.NameCampaign, "c-1", "Theirs", 0)
	theirs.Workspace = 8
	b := control.PeopleBatch{Names: []control.Name{
		name(1, control.NameCampaign, "c-1", "Welcome", 0), name(2, control.NameCampaign, "c-2", "Old, name", 0), name(3, control.NameCampaign, "c-3", "Nothing yet", 0),
		name(4, control.NameCanvas, "j-1", "Journey", 0), name(5, control.NameVariation, "v-1", "Short", 1), name(6, control.NameVariation, "v-2", "", 1),
		name(7, control.NameEvent, "viewed", "", 0), name(8, control.NameEvent, "=1+1", "", 0), name(9, control.NameProduct, "hat", "", 0), name(10, control.NameProduct, "sku;1", "", 0), theirs,
	}}
	day := control.DayHour(control.DayOf(now, time.UTC))
	add := func(name int64, hour int32, channel control.MessageChannel, part string, pairs ...int64) {
		for i := 0; i < len(pairs); i += 2 {
			b.Stats = append(b.Stats, control.Stat{Name: name, Hour: hour, Count: control.Counter(pairs[i]), Channel: channel, Part: part, N: pairs[i+1]})
		}
	}
	const (
		sent, delivered, opens, machine, clicks, bounces, spam, unsubscribes = int64(control.CountSent), int64(control.CountDelivered), int64(control.CountOpens), int64(control.CountMachineOpens),
			int64(control.CountClicks), int64(control.CountBounces), int64(control.CountSpam), int64(control.CountUnsubscribes)
	)
	add(1, day-48, "email", "v-1", sent, 100, delivered, 97, opens, 20, machine, 5, clicks, 7, bounces, 3, spam, 1, unsubscribes, 2)
	add(1, day-48, "email", "v-2", sent, 50, delivered, 50, opens, 10)
	add(1, day, "email", "v-1", opens, 1)
	add(1, day-48, "push/ios", "v-1", sent, 30, opens, 6, bounces, 1, int64(control.CountBodyClicks), 4)
	add(1, day-24, "push/android", "v-2", sent, 40, opens, 8, bounces, 2)
	add(1, day-24, "push/web", "v-2", sent, 9, opens, 3)
	add(1, day, "", "v-1", int64(control.CountConversions), 3, int64(control.CountConversions)+2, 1)
	add(2, day-24*9, "sms", "", sent, 12, int64(control.CountCarrier), 11, delivered, 10, int64(control.CountFailed), 1, int64(control.CountRejected), 1)
	add(2, day-24*2, "webhook", "", sent, 5, int64(control.CountFailed), 2)
	add(4, day-24, "in_app", "a", int64(control.CountImpressions), 70, clicks, 9, int64(control.CountFirstButton), 5, int64(control.CountSecondButton), 4)
	add(7, day-23, "", "ios", int64(control.CountEvents), 5)
	add(7, day-23, "", "web", int64(control.CountEvents), 2)
	add(7, day+9, "", "web", int64(control.CountEvents), 1)
	add(8, day+10, "", "", int64(control.CountEvents), 4)
	add(20, day, "email", "v-1", sent, 1000)
	for _, s := range []control.Stat{
		{Name: 9, Hour: day + 1, N: 3, Revenue: 0.1}, {Name: 9, Hour: day + 2, N: 1, Revenue: 0.2}, {Name: 10, Hour: day - 1, N: 2, Revenue: -12.5},
		{Name: control.WholeWorkspace(acme), Hour: day + 1, N: 6, Revenue: 30},
	} {
		s.Count = control.CountPurchases
		b.Stats = append(b.Stats, s)
	}
	for i, flags := range []control.Flags{control.OpenedEmail | control.ClickedEmail, control.OpenedEmail, control.OpenedEmail} {
		row, at := int64(i+1), now.AddDate(0, 0, -2)
		b.People = append(b.People, &control.Person{Row: row, New: true, Workspace: acme, ID: control.PersonID(fmt.Sprint(i)), CreatedAt: at, UpdatedAt: at})
		m := control.PersonMessage{Name: 1, Person: row, Variation: "v-1", Flags: flags, Opened: at}
		if flags&control.ClickedEmail != 0 {
			m.Clicked = at
		}
		b.Messages = append(b.Messages, m)
	}
	return b, labels{
		{Workspace: acme, Kind: control.NameCampaign, ID: "c-1", Tags: []string{"a", "b"}}, {Workspace: acme, Kind: control.NameCampaign, ID: "c-2", Title: `=HYPERLINK("x")`, Tags: []string{"b"}},
		{Workspace: acme, Kind: control.NameCanvas, ID: "j-1", Tags: []string{"a", "b", "+c"}}, {Workspace: 8, Kind: control.NameCampaign, ID: "c-3", Tags: []string{"b"}},
	}
}

func TestReportsAreAsTheyAlwaysWere(t *testing.T) {
	b, l := messages()
	counted(t, b, func(t *testing.T, p *store.Profiles) {
		for _, c := range []struct {
			name string
			kind control.ExportKind
			spec control.ReportSpec
			form export.Form
		}{
			{"engagement by day", control.ExportEngagement, control.ReportSpec{Campaigns: []string{"c-1", "c-3", "c-4"}, FirstDay: "2026-11-20"}, export.Form{}},
			{"engagement by week of all tags", control.ExportEngagement, control.ReportSpec{Tags: []string{"a", "b"}, AllTags: true, FirstDay: "2026-11-10", LastDay: "2026-11-21", Per: control.PerWeek},
				export.Form{Delimiter: ';', BOM: true}},
			{"engagement by three days of any tag", control.ExportEngagement, control.ReportSpec{Tags: []string{"b", "x"}, Every: 3, Per: control.PerDay, Statistics: []string{"sms.sends", "email.sends", "webhook.errors"}},
				export.Form{Delimiter: '|'}},
			{"engagement of yesterday", control.ExportEngagement, control.ReportSpec{Campaigns: []string{"c-1"}, Canvases: []string{"j-1"}, LastDays: 1, Per: control.PerRange}, export.Form{Delimiter: ':'}},
			{"engagement of nothing", control.ExportEngagement, control.ReportSpec{Tags: []string{"x"}}, export.Form{BOM: true}},
			{"performance by day", control.ExportPerformance, control.ReportSpec{Campaigns: []string{"c-1"}}, export.Form{}},
			{"performance of variations", control.ExportPerformance, control.ReportSpec{Campaigns: []string{"c-1"}, Variations: true, Per: control.PerRange}, export.Form{Delimiter: ';'}},
			{"performance of nothing", control.ExportPerformance, control.ReportSpec{Campaigns: []string{"c-3"}}, export.Form{}},
			{"events by day", control.ExportCustomEvents, control.ReportSpec{}, export.Form{}},
			{"events by hour", control.ExportCustomEvents, control.ReportSpec{Names: []string{"viewed"}, FirstDay: "2026-11-22", Per: control.PerHour}, export.Form{Delimiter: ':'}},
			{"revenue by day", control.ExportRevenue, control.ReportSpec{}, export.Form{Delimiter: ';'}},
			{"revenue by hour", control.ExportRevenue, control.ReportSpec{Names: []string{"hat"}, LastDay: "2026-11-22", Per: control.PerHour}, export.Form{}},
		} {
			if ps := c.spec.Validate("report", c.kind); len(ps) > 0 {
				t.Fatalf("%s: %v", c.name, ps)
			}
			r := export.Report{Counts: p, Labels: l, Workspace: acme, Kind: c.kind, Spec: c.spec, Form: c.form, Now: now, Zone: time.UTC}
			var got bytes.Buffer
			for _, file := range r.Files() {
				fmt.Fprintf(&got, "## %s\n", file)
				began := got.Len()
				n, err := r.Write(t.Context(), file, &got)
				must(t, err)
				if lines := int64(bytes.Count(got.Bytes()[began:], []byte("\r\n"))) - 1; n != lines {
					t.Errorf("%s: %s has %d lines, and says %d", c.name, file, lines, n)
				}
			}
			path := filepath.Join("testdata", "reports", strings.ReplaceAll(c.name, " ", "-")+".txt")
			if *update {
				must(t, os.WriteFile(path, got.Bytes(), 0o644))
			}
			want, err := os.ReadFile(path)
			must(t, err)
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s: %s is otherwise; if that is meant, run the test with -update. It is now\n%s", c.name, path, got.Bytes())
			}
		}
	})
}

func TestTheDaysOfAReportAreThoseOfItsZone(t *testing.T) {
	hour := func(at string) int32 {
		h, err := time.Parse("2006-01-02T15", at)
		must(t, err)
		return control.HourOf(h, time.UTC)
	}
	b := control.PeopleBatch{Names: []control.Name{{ID: 1, Workspace: acme, Kind: control.NameEvent, Name: "saw", FirstAt: now, LastAt: now}}}
	for _, at := range []string{"2026-03-29T01", "2026-03-29T03", "2026-10-25T02"} {
		b.Stats = append(b.Stats, control.Stat{Name: 1, Hour: hour(at), Count: control.CountEvents, N: 1})
	}
	counted(t, b, func(t *testing.T, p *store.Profiles) {
		for _, c := range []struct {
			at   string // when it is made
			zone string
			spec control.ReportSpec
			want string
		}{
			{"2026-10-26T02:30:00Z", "America/Sao_Paulo", control.ReportSpec{LastDays: 1}, "saw,2026-10-24,0 "},
			{"2026-10-26T02:30:00Z", "Asia/Tokyo", control.ReportSpec{LastDays: 2}, "saw,2026-10-24,0 saw,2026-10-25,1 "},
			{"2026-10-25T15:00:00Z", "Asia/Tokyo", control.ReportSpec{FirstDay: "2026-10-25"}, "saw,2026-10-25,1 saw,2026-10-26,0 "},
			{"2026-10-26T12:00:00Z", "Europe/Madrid", control.ReportSpec{FirstDay: "2026-03-29", LastDay: "2026-10-25", Per: control.PerRange}, "saw,2026-03-29,2026-10-25,3 "},
		} {
			at, err := time.Parse(time.RFC3339, c.at)
			must(t, err)
			var got bytes.Buffer
			_, err = export.Report{Counts: p, Labels: labels{}, Workspace: acme, Kind: control.ExportCustomEvents, Spec: c.spec, Now: at, Zone: control.ZoneOf(c.zone)}.Write(t.Context(), "custom-events.csv", &got)
			must(t, err)
			if _, lines, _ := strings.Cut(strings.ReplaceAll(got.String(), "\r\n", " "), "Count "); lines != c.want {
				t.Errorf("%+v: %s", c, lines)
			}
		}
		for day, want := range map[string]struct {
			hours int64
			line  string
		}{"2026-03-29": {23, "saw,\"2026-03-29T03:00:00+02:00\",1\r\n"}, "2026-10-25": {24, "saw,\"2026-10-25T02:00:00+02:00\",1\r\n"}} {
			var got strings.Builder
			n, err := export.Report{Counts: p, Labels: labels{}, Workspace: acme, Kind: control.ExportCustomEvents, Now: now, Zone: control.ZoneOf("Europe/Madrid"),
				Spec: control.ReportSpec{FirstDay: day, LastDay: day, Per: control.PerHour}}.Write(t.Context(), "custom-events.csv", &got)
			must(t, err)
			if n != want.hours || !strings.Contains(got.String(), want.line) {
				t.Errorf("%s has %d hours, and not %q:\n%s", day, n, want.line, got.String())
			}
		}
	})
}

// Each cell of a report of random numbers is the sum of those that belong there.
func TestEachNumberOfAReportIsTheSumOfItsStats(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var b control.PeopleBatch
	today := control.DayOf(now, time.UTC)
	type key struct {
		name    int64
		day     int32
		counter control.Counter
		channel control.MessageChannel
	}
	sent := map[key]int64{}
	for id := range int64(30) {
		b.Names = append(b.Names, control.Name{ID: id + 1, Workspace: acme, Kind: control.NameCampaign, Name: fmt.Sprintf("c-%02d", id), FirstAt: now, LastAt: now})
	}
	seen := map[control.Stat]bool{}
	for range 2000 {
		s := control.Stat{Name: 1 + r.Int64N(30), Hour: control.DayHour(today - r.Int32N(130)), Count: control.Counter(1 + r.IntN(21)), Part: []string{"", "v"}[r.IntN(2)],
			Channel: []control.MessageChannel{"email", "push", "push/ios", "push/web", "in_app", "sms", "webhook", "banner"}[r.IntN(8)]}
		if seen[s] {
			continue
		}
		seen[s] = true
		s.N = 1 + r.Int64N(9)
		b.Stats = append(b.Stats, s)
		sent[key{s.Name, s.Day(), s.Count, s.Channel}] += s.N
	}
	var ids []string
	for _, n := range b.Names {
		ids = append(ids, n.Name)
	}
	statistics := control.ReportStatistics()
	counted(t, b, func(t *testing.T, p *store.Profiles) {
		for _, every := range []int{1, 7, 30} {
			first := today - 100
			report := export.Report{Counts: p, Labels: labels{}, Workspace: acme, Kind: control.ExportEngagement, Now: now, Zone: time.UTC,
				Spec: control.ReportSpec{Campaigns: ids, FirstDay: control.DayText(first), Every: every}}
			var out bytes.Buffer
			_, err := report.Write(t.Context(), "campaigns.csv", &out)
			must(t, err)
			lines, err := csv.NewReader(&out).ReadAll()
			must(t, err)
			periods := (101 + every - 1) / every
			if len(lines) != 1+30*periods {
				t.Fatalf("%d lines", len(lines))
			}
			heads := lines[0]
			type cell struct {
				name int64
				line int32
				of   int
			}
			want := map[cell]int64{}
			for k, n := range sent {
				for j, s := range statistics {
					if k.day >= first && s.Has(k.channel) && slices.Contains(s.Of, k.counter) {
						want[cell{k.name, (k.day - first) / int32(every), j}] += n
					}
				}
			}
			for i, line := range lines[1:] {
				name := int64(i/periods) + 1
				for j, s := range statistics {
					at := len(heads) - len(statistics) + j
					want := want[cell{name, int32(i % periods), j}]
					if s.Of == nil || s.Per != nil {
						if line[at] != "" {
							t.Fatalf("%s is %q", heads[at], line[at])
						}
					} else if line[at] != strconv.FormatInt(want, 10) {
						t.Fatalf("%s of %s on %s is %s and not %d", heads[at], line[1], line[3], line[at], want)
					}
				}
			}
		}
	})
}

func TestAReportOfTenThousandCampaignsNeedsLittleMemoryAndFewQueries(t *testing.T) {
	var statements atomic.Int64
	p, err := store.OpenProfiles(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "people.db"), OnStatement: func(string) { statements.Add(1) }})
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	b := control.PeopleBatch{Log: eventlog.ID{1}, Next: 1}
	var l labels
	const campaigns, days = 10_000, 90
	today := control.DayOf(now, time.UTC)
	for id := range int64(campaigns) {
		name := fmt.Sprintf("campaign-%05d", id)
		b.Names = append(b.Names, control.Name{ID: id + 1, Workspace: acme, Kind: control.NameCampaign, Name: name, FirstAt: now, LastAt: now})
		l = append(l, control.CampaignLabel{Workspace: acme, Kind: control.NameCampaign, ID: name, Tags: []string{"all"}})
		for i := range int32(5) {
			b.Stats = append(b.Stats, control.Stat{Name: id + 1, Hour: control.DayHour(today - (int32(id)*7+i*17)%days), Count: control.CountSent, Channel: "email", N: 1})
		}
	}
	must(t, p.Apply(t.Context(), &b))
	b = control.PeopleBatch{}
	report := export.Report{Counts: p, Labels: l, Workspace: acme, Kind: control.ExportEngagement, Now: now, Zone: time.UTC,
		Spec: control.ReportSpec{Tags: []string{"all"}, FirstDay: control.DayText(today - days + 1)}}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	statements.Store(0)
	before := heap()
	peak := &watched{every: 8 << 20, look: heap}
	n, err := report.Write(t.Context(), "campaigns.csv", peak)
	must(t, err)
	used := int64(peak.most) - int64(before)
	t.Logf("%d lines, %d bytes, %d MiB of memory, %d statements", n, peak.bytes, used>>20, statements.Load())
	if n != campaigns*days {
		t.Errorf("%d lines", n)
	}
	if used > 32<<20 {
		t.Errorf("it holds %d MiB", used>>20)
	}
	if statements.Load() > 500 {
		t.Errorf("it asks %d times", statements.Load())
	}
}

// watched looks at something each so many bytes.
type watched struct {
	bytes, every int64
	look         func() uint64
	most         uint64
}

func (w *watched) Write(b []byte) (int, error) {
	if w.bytes/w.every != (w.bytes+int64(len(b)))/w.every {
		w.most = max(w.most, w.look())
	}
	w.bytes += int64(len(b))
	return len(b), nil
}

func TestAReportThatCannotBeWrittenSaysSo(t *testing.T) {
	b, l := messages()
	counted(t, b, func(t *testing.T, p *store.Profiles) {
		report := export.Report{Counts: p, Labels: l, Workspace: acme, Kind: control.ExportCustomEvents, Now: now, Zone: time.UTC}
		if _, err := report.Write(t.Context(), "custom-events.csv", full{}); err == nil {
			t.Error("a full disk was not met")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := report.Write(ctx, "custom-events.csv", io.Discard); err == nil {
			t.Error("it went on when nobody wanted it")
		}
	})
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
