package page

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// auditDays is how many days back the audit goes. Source: docs/openapi.json, getAudit.
const auditDays = 31

// How a day and an hour of the audit stand in addresses. Source of the hour: docs/openapi.json, getHour.
const dayAddress, hourAddress = time.DateOnly, "2006-01-02T15"

// hourText writes an hour of acceptance as the folders of files do: in UTC.
func hourText(h time.Time) string { return h.UTC().Format("2006-01-02 15:00") }

// showAudit compares, for each hour of a day, what was accepted with what became of it. Days are those of UTC, as the
// folders in the bucket are.
func showAudit(v *visit) error {
	c, f, err := v.current("/audit")
	if err != nil {
		return err
	}
	today := v.now.UTC().Truncate(24 * time.Hour)
	day, status, asked := today, http.StatusOK, v.r.URL.Query().Get("day")
	choose := field{Name: "day", Label: v.t("page.audit_day")}
	if asked != "" {
		if day, err = time.Parse(dayAddress, asked); err != nil || day.After(today) || day.Before(today.AddDate(0, 0, 1-auditDays)) {
			day, status, choose.Error = today, http.StatusUnprocessableEntity, v.t("page.audit_day_wrong", "n", auditDays)
		}
	}
	hours, err := v.api.GetAudit(v, v.place.Workspace, c.ID, day, day.AddDate(0, 0, 1))
	if err != nil {
		return v.said(err)
	}
	for i := range auditDays {
		d := today.AddDate(0, 0, -i)
		choose.Options = append(choose.Options, option{d.Format(dayAddress), v.lang.Date(d), d.Equal(day)})
	}
	_, all := byType(hours)
	t := table{Columns: append([]column{{v.t("page.hour_utc"), false}}, v.auditColumns()...), Empty: &empty{v.t("page.audit_none"), v.t("page.audit_none_text"), nil}}
	base := v.path("/currents/" + c.ID + "/audit/")
	begin := c.CreatedAt.UTC().Truncate(time.Hour)
	for h := day.Add(23 * time.Hour); !h.Before(day); h = h.Add(-time.Hour) {
		if h.After(v.now) || h.Before(begin) {
			continue
		}
		var sum client.AuditCount
		if i := slices.IndexFunc(hours, func(x client.AuditHour) bool { return x.Hour.Equal(h) }); i >= 0 {
			_, sum = byType(hours[i : i+1])
		}
		t.Rows = append(t.Rows, row{append([]cell{{Text: h.Format("15:04"), Href: base + h.Format(hourAddress)}}, v.auditCells(sum)...)})
	}
	f.Live = liveEvery
	t.Caption = v.t("page.audit_says", "day", v.lang.Date(day), "sum", v.auditSays(all))
	v.show(status, "list", listPage{Frame: f, Table: t, Filter: &filter{Fields: []field{choose}, Button: v.t("page.audit_show")}})
	return nil
}

// auditSays is the sum of an audit.
func (v *visit) auditSays(sum client.AuditCount) string {
	n := v.lang.Number
	if sum == (client.AuditCount{}) {
		return v.t("page.audit_nothing")
	}
	if left(sum) == 0 && sum.Waiting == 0 && sum.Dropped == 0 && sum.Accepted > 0 {
		return v.t("page.audit_all", "n", sum.Accepted)
	}
	return v.t("page.audit_sum", "accepted", n(sum.Accepted), "delivered", n(sum.Delivered), "dropped", n(sum.Dropped), "waiting", n(sum.Waiting))
}

// left is what the numbers do not explain: nothing, if all is well.
func left(n client.AuditCount) int64 { return n.Accepted - n.Delivered - n.Dropped - n.Waiting }

func (v *visit) auditColumns() []column {
	return []column{{v.t("page.accepted"), true}, {v.t("page.delivered"), true}, {v.t("page.dropped"), true}, {v.t("page.waiting"), true}, {v.t("page.balance"), false}}
}

func (v *visit) auditCells(n client.AuditCount) []cell {
	balance := pill{good, "circle-check", v.t("page.balanced")}
	switch d := left(n); {
	case d > 0:
		balance = pill{bad, "circle-alert", v.t("page.audit_missing", "n", d)}
	case d < 0:
		balance = pill{bad, "circle-alert", v.t("page.audit_over", "n", -d)}
	case n.Waiting > 0:
		balance = pill{info, "circle-dashed", v.t("page.under_way")}
	case n.Accepted == 0:
		balance = pill{plain, "minus", v.t("page.audit_empty")}
	}
	cells := []cell{}
	for _, x := range []int64{n.Accepted, n.Delivered, n.Dropped, n.Waiting} {
		cells = append(cells, cell{Text: v.lang.Number(x)})
	}
	return append(cells, cell{Pill: &balance})
}

// showAuditHour is one hour by type, and whether it is complete.
func showAuditHour(v *visit) error {
	c, f, err := v.current("/audit")
	if err != nil {
		return err
	}
	at, err := time.Parse(hourAddress, v.r.PathValue("hour"))
	if err != nil {
		return nothingHere(v)
	}
	if at.After(v.now) {
		return fault.New(fault.NotFound, "", "The hour %s has not come yet.", at.Format(hourAddress))
	}
	h, err := v.api.GetHour(v, v.place.Workspace, c.ID, at, 0)
	if err != nil {
		return v.said(err)
	}
	base := v.path("/currents/" + c.ID)
	title := hourText(at) + " UTC"
	f.Crumbs[1].Href = base
	f.Crumbs = append(f.Crumbs, crumb{v.t("page.tab_audit"), base + "/audit?day=" + at.Format(dayAddress)}, crumb{title, ""})
	b := banner{Tone: info, Icon: "circle-dashed", Title: v.t("page.audit_open"), Texts: []string{v.t("page.audit_open_text")}}
	if h.Complete {
		b = banner{Tone: good, Icon: "circle-check", Title: v.t("page.audit_complete"), Texts: []string{v.t("page.audit_complete_text")}}
		if h.CompleteAt != nil {
			b.Title = v.t("page.audit_complete_at", "time", v.lang.Time(*h.CompleteAt, v.zone))
		}
	} else {
		f.Live = liveEvery
	}
	types, all := byType([]client.AuditHour{{Hour: at, Counts: h.Counts}})
	t := table{Columns: append([]column{{v.t("page.event_type"), false}}, v.auditColumns()...), Empty: &empty{v.t("page.audit_hour_none"), v.t("page.audit_hour_none_text"), nil}}
	for _, n := range types {
		files := base + "/files?type=" + url.QueryEscape(n.EventType) + "&hour=" + url.QueryEscape(at.Format(hourInput))
		t.Rows = append(t.Rows, row{append([]cell{{Text: n.EventType, Mono: true, Href: files}}, v.auditCells(n)...)})
	}
	v.show(http.StatusOK, "sections", sectionsPage{Frame: f, Banners: []banner{b}, Sections: []section{{Title: title, Text: v.auditSays(all), Table: &t}}})
	return nil
}
