package compat

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// namesPage is how many names a page has. Source: the vendor's page of /events/list.
const namesPage = 250

// seriesCalls are about what is counted of the whole workspace, and of its custom events and products.
func seriesCalls(shared, names *httpd.Quota) []call {
	app := text("app_id", func(q *query) *string { return &q.app })
	unit := param{name: "unit", wants: "day or hour", take: func(q *query, s string) bool {
		q.hours = s == "hour"
		return q.hours || s == "day"
	}}
	segment := param{name: "segment_id", wants: "left out: nothing is counted by segment", take: func(*query, string) bool { return false }}
	byDay := []param{needed(length(maxSeries)), endingAt, app}
	byUnit := append(slices.Clone(byDay), unit, segment)
	product := text("product", func(q *query) *string { return &q.id })
	return []call{
		{http.MethodGet, "/events/list", "", names, []param{page}, namesOf(control.NameEvent, "events")},
		{http.MethodGet, "/events/data_series", "", shared, append(slices.Clone(byUnit), about("event")), hourly(control.NameEvent, control.CountEvents, "count", number)},
		{http.MethodGet, "/purchases/product_list", "", names, []param{page}, namesOf(control.NameProduct, "products")},
		{http.MethodGet, "/purchases/revenue_series", "", shared, append(slices.Clone(byUnit), product), hourly(control.NameProduct, control.CountPurchases, "revenue", revenue)},
		{http.MethodGet, "/purchases/quantity_series", "", shared, append(slices.Clone(byUnit), product), hourly(control.NameProduct, control.CountPurchases, "purchase_quantity", number)},
		{http.MethodGet, "/sessions/data_series", "", shared, byUnit, hourly(0, control.CountSessions, "sessions", number)},
		{http.MethodGet, "/kpi/dau/data_series", "", shared, byDay, daily(control.CountActive, "dau")},
		{http.MethodGet, "/kpi/mau/data_series", "", shared, byDay, monthly},
		{http.MethodGet, "/kpi/new_users/data_series", "", shared, byDay, daily(control.CountNewUsers, "new_users")},
		{http.MethodGet, "/kpi/uninstalls/data_series", "", shared, byDay, hourly(0, control.CountUninstalls, "uninstalls", number)},
	}
}

// sorted gives a map in the order of its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// namesOf lists what events have named, in the order of the alphabet.
func namesOf(kind control.NameKind, under string) func(*request) (answer, error) {
	return func(q *request) (answer, error) {
		all, err := q.People.Names(q, q.workspace, kind)
		names := []string{}
		for _, n := range paged(q, all, namesPage) {
			names = append(names, n.Name)
		}
		return answer{under: names}, err
	}
}

func number(s control.Stat) float64  { return float64(s.N) }
func revenue(s control.Stat) float64 { return s.Revenue }

// hourly is a series of what is added up over the apps, or of one app: of what the request names, or where it names nothing,
// or kind is 0, of the workspace. What no event has named is all zeros.
func hourly(kind control.NameKind, count control.Counter, under string, value func(control.Stat) float64) func(*request) (answer, error) {
	return func(q *request) (answer, error) {
		name := control.WholeWorkspace(q.workspace)
		if kind != 0 && q.id != "" {
			n, err := q.People.Name(q, q.workspace, kind, q.id)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return nil, err
			}
			name = n.ID
		}
		return q.series(name, under, func(s control.Stat) float64 {
			if s.Count != count || q.app != "" && s.Part != q.app {
				return 0
			}
			return value(s)
		})
	}
}

// daily is a series of people, who are counted apart for each app and for all.
func daily(count control.Counter, under string) func(*request) (answer, error) {
	return func(q *request) (answer, error) {
		return q.series(control.WholeWorkspace(q.workspace), under, func(s control.Stat) float64 {
			if s.Count != count || s.Part != q.app {
				return 0
			}
			return number(s)
		})
	}
}

// series adds up what value gives of the stats of a name, for each unit of the request.
func (q *request) series(name int64, under string, value func(control.Stat) float64) (answer, error) {
	step, last := int32(24), control.DayHour(control.DayOf(q.ending, q.zone))
	if q.hours {
		step, last = 1, control.HourOf(q.ending, q.zone)
	}
	from := last - step*int32(q.length-1)
	stats, err := q.People.Stats(q, q.workspace, []int64{name}, from, last+step)
	sums := make([]float64, q.length)
	for _, s := range stats {
		sums[(s.Hour-from)/step] += value(s)
	}
	data := []answer{}
	for i, n := range sums {
		hour := from + step*int32(i)
		at := control.DayText(control.Stat{Hour: hour}.Day())
		if q.hours {
			begins := control.HourStart(hour, q.zone)
			if control.HourOf(begins, q.zone) != hour {
				continue // clocks pass it over
			}
			at = begins.Format(time.RFC3339)
		}
		data = append(data, answer{"time": at, under: control.Money(n)})
	}
	return answer{"data": data}, err
}

// monthly is the series of people who were there within 30 days: the sum of all differences up to each day.
func monthly(q *request) (answer, error) {
	days := q.days()
	first := control.DayHour(days[0])
	n, err := q.People.Total(q, q.workspace, control.CountMonthly, q.app, first)
	if err != nil {
		return nil, err
	}
	stats, err := q.People.Stats(q, q.workspace, []int64{control.WholeWorkspace(q.workspace)}, first, control.DayHour(days[len(days)-1]+1))
	by := map[int32]int64{}
	for _, s := range stats {
		if s.Count == control.CountMonthly && s.Part == q.app {
			by[s.Day()] += s.N
		}
	}
	data := []answer{}
	for _, d := range days {
		n += by[d]
		data = append(data, answer{"time": control.DayText(d), "mau": n})
	}
	return answer{"data": data}, err
}
