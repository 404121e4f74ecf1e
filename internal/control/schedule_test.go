package control

import (
	"strings"
	"testing"
	"time"
)

func TestASchedulesHoursAreThoseOfItsZone(t *testing.T) {
	for _, c := range []struct {
		name  string
		times ScheduleTimes
		after string
		want  string // times one after another
	}{
		{"each day", ScheduleTimes{Every: 1, Unit: EveryDay, FirstDay: "2026-11-20", Hour: 9, Zone: "America/Sao_Paulo"}, "2026-11-22T11:59:59Z", "2026-11-22T12:00:00Z 2026-11-23T12:00:00Z"},
		{"not at the very moment again", ScheduleTimes{Every: 1, Unit: EveryDay, FirstDay: "2026-11-20", Hour: 9}, "2026-11-22T09:00:00Z", "2026-11-23T09:00:00Z"},
		{"from its first day on", ScheduleTimes{Every: 3, Unit: EveryDay, FirstDay: "2026-12-01"}, "2026-11-22T09:00:00Z", "2026-12-01T00:00:00Z 2026-12-04T00:00:00Z"},
		{"each other week", ScheduleTimes{Every: 2, Unit: EveryWeek, FirstDay: "2026-11-02", Hour: 8}, "2026-11-03T00:00:00Z", "2026-11-16T08:00:00Z 2026-11-30T08:00:00Z"},
		{"the last of each month", ScheduleTimes{Every: 1, Unit: EveryMonth, FirstDay: "2027-12-31", Hour: 6}, "2027-12-31T06:00:00Z",
			"2028-01-31T06:00:00Z 2028-02-29T06:00:00Z 2028-03-31T06:00:00Z 2028-04-30T06:00:00Z"},
		{"each quarter", ScheduleTimes{Every: 3, Unit: EveryMonth, FirstDay: "2026-11-30"}, "2026-12-01T00:00:00Z", "2027-02-28T00:00:00Z 2027-05-30T00:00:00Z"},
		{"an hour that clocks pass over", ScheduleTimes{Every: 1, Unit: EveryDay, FirstDay: "2026-03-07", Hour: 2, Zone: "America/New_York"}, "2026-03-07T12:00:00Z",
			"2026-03-08T07:00:00Z 2026-03-09T06:00:00Z"},
		{"an hour that there is twice", ScheduleTimes{Every: 1, Unit: EveryDay, FirstDay: "2026-10-31", Hour: 1, Zone: "America/New_York"}, "2026-10-31T12:00:00Z",
			"2026-11-01T05:00:00Z 2026-11-02T06:00:00Z"},
		{"an hour that clocks pass over at midnight", ScheduleTimes{Every: 1, Unit: EveryDay, FirstDay: "2018-11-03", Zone: "America/Sao_Paulo"}, "2018-11-03T12:00:00Z",
			"2018-11-04T03:00:00Z 2018-11-05T02:00:00Z"},
		{"until its last day", ScheduleTimes{Every: 1, Unit: EveryDay, FirstDay: "2026-11-20", LastDay: "2026-11-23", Zone: "Asia/Tokyo"}, "2026-11-21T20:00:00Z", "2026-11-22T15:00:00Z "},
	} {
		at, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range strings.Split(c.want, " ") {
			got := ""
			if at = c.times.After(at); !at.IsZero() {
				got = at.UTC().Format(time.RFC3339)
			}
			if got != want {
				t.Errorf("%s: %q and not %q", c.name, got, want)
			}
		}
	}
}

func TestWhatAScheduleSaysIsLookedAtTogether(t *testing.T) {
	seats := []Seat{{Member{Email: "ana@acme.example"}, Membership{ExportUserData: true}}, {Member{Email: "bob@acme.example"}, Membership{}}}
	good := ReportSchedule{Name: "Weekly", Kind: ExportRevenue, Spec: ExportSpec{Recipients: []string{"Ana@acme.example"}}, ScheduleTimes: ScheduleTimes{Every: 1, Unit: EveryWeek, FirstDay: "2026-11-22"}}
	for _, c := range []struct {
		name   string
		change func(*ReportSchedule)
		want   string
	}{
		{"good", func(*ReportSchedule) {}, ""},
		{"nothing", func(s *ReportSchedule) { *s = ReportSchedule{} }, "name required, kind invalid, every out_of_range, unit unknown_value, first_day invalid"},
		{"strangers", func(s *ReportSchedule) {
			s.Spec.Recipients = []string{"bob@acme.example", "ana@acme.example", "eve@other.example"}
		}, "recipients[0] invalid, recipients[2] invalid"},
		{"no such form", func(s *ReportSchedule) { s.Spec.Packing, s.Spec.Delimiter = "rar", "." }, "output_format unknown_value, delimiter unknown_value"},
		{"a report that is not whole", func(s *ReportSchedule) { s.Kind = ExportEngagement }, "report.campaigns required"},
		{"people", func(s *ReportSchedule) { s.Kind = ExportUsersCSV }, "kind invalid"},
		{"times", func(s *ReportSchedule) { s.ScheduleTimes = ScheduleTimes{400, "year", "x", 24, "Mars/Base", "y", -1} },
			"every out_of_range, hour out_of_range, most out_of_range, unit unknown_value, zone unknown_value, first_day invalid, last_day invalid"},
		{"ended before it began", func(s *ReportSchedule) { s.LastDay = "2026-11-21" }, "last_day out_of_range"},
		{"two ends", func(s *ReportSchedule) { s.LastDay, s.Most = "2026-12-21", 3 }, "most ambiguous"},
	} {
		s := good
		c.change(&s)
		var got []string
		for _, p := range s.validate(seats) {
			got = append(got, p.Field+" "+p.Code)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
