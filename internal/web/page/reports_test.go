package page

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

func TestAReportIsMadeOnceOrOnASchedule(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.sends()
		b := w.exporter(string(l))
		b.get(w.at("/reports")).has(t, http.StatusOK, say(l, "page.reports_none"), w.at("/reports/new"))
		at := w.at("/reports/new?kind=engagement")
		form := b.get(at)
		for _, x := range control.ReportStatistics() {
			_, what, _ := strings.Cut(x.Name, ".")
			form.has(t, http.StatusOK, `value="`+x.Name+`"`, ">"+say(l, statisticNames[what])+"<")
		}
		form.has(t, http.StatusOK, "Spring &lt;i&gt;", say(l, "page.channel_web_push"), say(l, "page.report_columns"), say(l, "page.report_schedule"), `name="report.last_days"`, ">"+say(l, "page.campaign_any")+"<", say(l, "page.report_when_text", "zone", "UTC")).lacks(t, "<i>")
		b.post(at, "delimiter", ",", "output_format", "zip", "report.last_days", "x", "report.first_day", "soon").
			has(t, http.StatusUnprocessableEntity, say(l, "field.report_nothing"), say(l, "field.report_day"), `value="soon"`, say(l, "page.error_title"))
		b.post(at, "delimiter", ";", "output_format", "gzip", "report.campaigns", "c/1", "report.last_days", "7", "report.per", "day").
			has(t, http.StatusOK, say(l, "page.export_engagement"), say(l, "page.export_says_waiting"))
		b.post(w.at("/reports/new?kind=campaign_performance"), "delimiter", ",", "report.campaigns", "c/1", "report.per", "day").has(t, http.StatusOK, "Spring &lt;i&gt;")
		b.post(w.at("/reports/new?kind=revenue"), "delimiter", ",", "report.per", "hour").has(t, http.StatusOK, say(l, "page.export_revenue"))

		// On a schedule, what is wrong stands beside its field too.
		when := []string{"scheduled", "on", "delimiter", ",", "output_format", "zip", "report.tags", "eu\n", "report.all_tags", "all", "report.last_days", "7", "report.per", "range", "unit", "week", "first_day", "2099-01-05", "zone", "America/Sao_Paulo"}
		b.post(at, append(when, "every", "0", "hour", "6", "name", "")...).has(t, http.StatusUnprocessableEntity, `id="name-error"`, `id="every-error"`)
		list := b.post(at, append(when, "every", "2", "hour", "6", "name", "Weekly <i>")...).has(t, http.StatusOK, "Weekly &lt;i&gt;", say(l, "page.status_active"), say(l, "page.report_run"))
		list.lacks(t, "<i>")
		id := regexp.MustCompile(`/reports/([0-9a-f-]{36})/edit`).FindStringSubmatch(list.body)[1]
		tag := regexp.MustCompile(`name="etag" value="([^"]*)"`)
		edit := b.get(w.at("/reports/"+id+"/edit")).has(t, http.StatusOK, `value="2099-01-05"`, "eu", `value="America/Sao_Paulo"`)
		etag := html.UnescapeString(tag.FindStringSubmatch(edit.body)[1])
		b.post(w.at("/reports/"+id+"/edit"), append(when, "etag", etag, "every", "1", "hour", "7", "name", "Monthly")...).has(t, http.StatusOK, "Monthly")
		b.post(w.at("/reports/"+id+"/edit"), append(when, "etag", etag, "every", "1", "hour", "8", "name", "Daily")...).has(t, http.StatusPreconditionFailed, `value="Daily"`)
		b.post(w.at("/reports/"+id+"/pause?on=1")).has(t, http.StatusOK, say(l, "page.status_paused"))
		b.post(w.at("/reports/"+id+"/pause")).has(t, http.StatusOK, say(l, "page.status_active"))
		b.post(w.at("/reports/"+id+"/run")).has(t, http.StatusOK, say(l, "page.export_says_waiting"), "Monthly")
		b.post(w.at("/reports/"+id+"/delete"), "confirm", "x").has(t, http.StatusUnprocessableEntity)
		b.post(w.at("/reports/"+id+"/delete"), "confirm", "Monthly").has(t, http.StatusOK, say(l, "page.reports_none"))
		w.signedIn(string(l)).get(w.at("/reports")).has(t, http.StatusForbidden, say(l, "page.export_right"))
	}
}
