package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestWhatAReportSaysIsLookedAtTogether(t *testing.T) {
	many := make([]string, maxReportIDs+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, c := range []struct {
		name string
		kind ExportKind
		spec ReportSpec
		want string // fields and codes
	}{
		{"engagement by hand", ExportEngagement, ReportSpec{Campaigns: []string{"c"}, Canvases: []string{"j"}, Statistics: []string{"email.sends"}, Every: 3}, ""},
		{"engagement by tags", ExportEngagement, ReportSpec{Tags: []string{"a"}, AllTags: true, LastDays: 30, Per: PerWeek, Every: 2}, ""},
		{"a campaign's performance", ExportPerformance, ReportSpec{Campaigns: []string{"c"}, Variations: true, FirstDay: "2026-01-01", LastDay: "2026-01-01", Per: PerRange}, ""},
		{"all events by hour", ExportCustomEvents, ReportSpec{Per: PerHour}, ""},
		{"engagement of nothing", ExportEngagement, ReportSpec{}, "campaigns required"},
		{"engagement of both", ExportEngagement, ReportSpec{Campaigns: []string{"c"}, Tags: []string{"a", "a"}}, "tags ambiguous, tags[1] duplicate"},
		{"performance of two", ExportPerformance, ReportSpec{Campaigns: []string{"c", "d"}}, "campaigns required"},
		{"what other kinds have", ExportRevenue, ReportSpec{Campaigns: []string{"c"}, Canvases: []string{"j"}, Tags: []string{"a"}, AllTags: true, Statistics: []string{}, Variations: true},
			"campaigns invalid, canvases invalid, tags invalid, all_tags invalid, statistics invalid, variations invalid"},
		{"names of a campaign", ExportEngagement, ReportSpec{Campaigns: []string{"c"}, Names: []string{"n"}}, "names invalid"},
		{"too many", ExportEngagement, ReportSpec{Campaigns: many}, "campaigns too_large"},
		{"no id, one that is long, one twice", ExportCustomEvents, ReportSpec{Names: []string{"", strings.Repeat("x", maxReportID+1), "a", "a"}}, "names[0] invalid, names[1] invalid, names[3] duplicate"},
		{"no such statistic", ExportEngagement, ReportSpec{Tags: []string{"a"}, Statistics: []string{"email.send", "push.opens", "push.opens"}}, "statistics[0] unknown_value, statistics[2] duplicate"},
		{"no days", ExportRevenue, ReportSpec{FirstDay: "22.11.2026", LastDay: "2026-02-30"}, "first_day invalid, last_day invalid"},
		{"backwards", ExportRevenue, ReportSpec{FirstDay: "2026-11-22", LastDay: "2026-11-21"}, "last_day out_of_range"},
		{"too long", ExportRevenue, ReportSpec{FirstDay: "2000-01-01", LastDay: "2026-11-21"}, "last_day out_of_range"},
		{"two ways to say when", ExportRevenue, ReportSpec{FirstDay: "2026-11-22", LastDays: 3}, "last_days ambiguous"},
		{"days to come", ExportRevenue, ReportSpec{LastDays: -1, Every: -1}, "last_days out_of_range, every out_of_range"},
		{"messages by hour", ExportPerformance, ReportSpec{Campaigns: []string{"c"}, Per: PerHour}, "per unknown_value"},
		{"several hours", ExportRevenue, ReportSpec{Per: PerHour, Every: 2}, "every invalid"},
	} {
		var got []string
		for _, p := range c.spec.Validate("report", c.kind) {
			got = append(got, strings.TrimPrefix(p.Field, "report.")+" "+p.Code)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestStatisticsHaveNamesOfTheirOwn(t *testing.T) {
	var names, heads []string
	for _, s := range ReportStatistics() {
		names, heads = append(names, s.Name), append(heads, s.Head)
	}
	for _, all := range [][]string{names, heads} {
		slices.Sort(all)
		if n := len(all); len(slices.Compact(all)) != n || n != 30 {
			t.Errorf("%d statistics: %v", n, all)
		}
	}
}
