package page

import (
	"net/http"

	"github.com/millrace/millrace/client"
)

// jobPage shows work that goes on after it was asked for, and then what came of it.
type jobPage struct {
	Frame    frame
	Watch    bool // it goes on
	Progress *progress
	Results  []banner
	Figures  []figure
	Lists    []section
	Actions  []button
}

// jobTitles name work by its kind.
var jobTitles = map[string]string{"test_events": "page.form_job_test", "replay": "page.form_job_replay"}

func showJob(v *visit) error {
	j, err := v.api.GetJob(v, v.r.PathValue("job"))
	if err != nil {
		return v.said(err)
	}
	key := jobTitles[j.Kind]
	if key == "" || j.Connector == "" {
		return nothingHere(v)
	}
	c, err := v.api.GetConnector(v, v.place.Workspace, j.Connector)
	if err != nil {
		return v.said(err)
	}
	at := v.path("/currents/" + c.ID)
	p := jobPage{Frame: v.frame(v.t(key), "/currents")}
	p.Frame.Crumbs = []crumb{{v.t("page.rail_currents"), v.path("/currents")}, {c.Name, at}, {p.Frame.Title, ""}}
	files := button{Text: v.t("page.form_see_files"), Kind: "primary", Icon: "file-text", Href: at + "/files"}
	switch j.State {
	case "done":
		p.Actions = []button{files, {Text: v.t("page.to_current"), Kind: "quiet", Href: at}}
		if j.Kind == "test_events" {
			p.Frame.Says = &says{good, "circle-check", v.t("page.form_job_test_done", "n", count(j.Result, "events"), "bucket", c.Destination.Bucket, "time", v.value("flush.interval", c.Flush.Interval))}
		} else {
			v.replayed(&p, j)
		}
	case "failed":
		b := banner{Tone: bad, Icon: "circle-x", Title: v.t("page.error_internal")}
		if j.Error != nil {
			b.Title = j.Error.Message
			if j.Error.Hint != "" {
				b.Texts = append(b.Texts, j.Error.Hint)
			}
		}
		p.Results, p.Actions = append(p.Results, b), []button{{Text: v.t("page.to_current"), Kind: "primary", Href: at}}
	default:
		p.Watch, p.Frame.Refresh = true, checkEvery
		p.Frame.Says = &says{plain, "loader-circle", v.t("page.form_job_runs")}
		p.Progress = v.howFar(j.Progress)
		if j.Note != "" {
			p.Results = append(p.Results, banner{Tone: info, Icon: "info", Title: j.Note})
		}
	}
	v.show(http.StatusOK, "job", p)
	return nil
}

// howFar says how far a replay is; nil while that is not known.
func (v *visit) howFar(at map[string]any) *progress {
	done, total := count(at, "done"), count(at, "total")
	switch {
	case done == 0:
		return nil
	case total > 0:
		return &progress{v.t("page.form_job_files", "n", done, "all", total), int64(done), int64(total)}
	case at["doing"] == "writing":
		return &progress{Label: v.t("page.form_job_written", "n", done)}
	}
	return &progress{Label: v.t("page.form_job_looked", "n", done)}
}

// count reads a number, or how long a list is, of what came of a job.
func count(result map[string]any, name string) int {
	switch x := result[name].(type) {
	case float64:
		return int(x)
	case []any:
		return len(x)
	}
	return 0
}

// replayed says what came of a replay: of files, or of what was dropped.
func (v *visit) replayed(p *jobPage, j client.Job) {
	written := count(j.Result, "written")
	p.Frame.Says = &says{good, "circle-check", v.t("page.form_replayed", "n", written)}
	if written == 0 {
		p.Frame.Says.Text = v.t("page.form_replayed_none")
	}
	number := func(key string, n int) {
		p.Figures = append(p.Figures, figure{Name: v.t(key), Text: v.lang.Number(int64(n))})
	}
	if _, dropped := j.Result["drops"]; dropped {
		number("page.form_replayed_events", count(j.Result, "events"))
		number("page.form_replayed_written", written)
		number("page.form_replayed_found", count(j.Result, "found"))
		number("page.form_replayed_refused", count(j.Result, "refused"))
		if n := count(j.Result, "refused"); n > 0 {
			p.Results = append(p.Results, banner{Tone: warn, Icon: "triangle-alert", Title: v.t("page.form_replay_refused", "n", n),
				Actions: []button{{Text: v.t("page.tab_losses"), Href: v.path("/currents/" + j.Connector + "/losses")}}})
		}
		return
	}
	number("page.form_replayed_recorded", count(j.Result, "recorded"))
	number("page.form_replayed_there", count(j.Result, "there"))
	number("page.form_replayed_written", written)
	number("page.form_replayed_not_ours", count(j.Result, "not_ours"))
}
