package page

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/millrace/millrace/client"
)

// showLosses lists what was dropped by rule, the newest first.
func showLosses(v *visit) error {
	c, f, err := v.current("/losses")
	if err != nil {
		return err
	}
	t := table{Columns: []column{{v.t("page.loss_at"), false}, {v.t("page.event_type"), false}, {v.t("page.reason"), false}, {v.t("page.file_range"), true}, {v.t("page.events"), true}, {v.t("page.loss_told"), false}},
		Empty: &empty{v.t("page.losses_none"), v.t("page.losses_none_text"), nil}}
	ctx, part := v.part()
	losses, err := collect(v, v.api.ListLosses(ctx, v.place.Workspace, c.ID, client.LedgerFilter{Newest: true}))
	if err != nil {
		return err
	}
	for _, x := range losses {
		n := cell{Text: v.t("page.unknown")}
		if x.Events >= 0 {
			n.Text = v.lang.Number(x.Events)
		}
		if !x.Settled {
			n.Small = v.t("page.loss_open")
		}
		what := cell{Text: cmp.Or(x.EventType, v.t("page.all_types")), Mono: x.EventType != ""}
		if x.EventType != "" {
			what.Href = v.path("/events/" + url.PathEscape(x.EventType))
		}
		if x.Hour != nil {
			what.Small = v.t("page.loss_hour", "hour", hourText(*x.Hour))
		}
		told := cell{Text: v.t("page.loss_not_told")}
		if x.ToldAt != nil {
			told = cell{Time: v.moment(*x.ToldAt)}
		}
		t.Rows = append(t.Rows, row{[]cell{{Time: v.moment(x.At)}, what, {Text: v.t("drop." + x.Reason)}, {Text: v.t("page.range", "first", x.First, "last", x.Last)}, n, told}})
	}
	v.pages(&t, part)
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

// checksPage is the history of a Current's checks.
type checksPage struct {
	Frame  frame
	Open   []banner // those that have not ended
	Checks []past
	Pages  table // its links alone
	Empty  *empty
}

// triggers are why a check was made.
var triggers = map[string]string{"launch": "page.check_by_launch", "save": "page.check_by_save", "schedule": "page.check_by_schedule", "demand": "page.check_by_demand", "test": "page.check_by_test"}

// showChecks lists the checks of a Current's credentials, the newest first and open.
func showChecks(v *visit) error {
	c, f, err := v.current("/checks")
	if err != nil {
		return err
	}
	ctx, part := v.part()
	part.Limit = checkRows
	checks, err := collect(v, v.api.ListConnectorChecks(ctx, v.place.Workspace, c.ID))
	if err != nil {
		return err
	}
	open, err := v.underWay(c.ID)
	if err != nil {
		return err
	}
	f.Live = liveEvery
	p := checksPage{Frame: f, Open: open, Empty: &empty{v.t("page.checks_none"), v.t("page.checks_none_text"), nil}}
	for i, x := range checks {
		p.Checks = append(p.Checks, v.pastCheck(x, i == 0 && part.Cursor == ""))
	}
	v.pages(&p.Pages, part)
	v.show(http.StatusOK, "checks", p)
	return nil
}

// checkRows is how many checks a page shows: each with its steps.
const checkRows = 20

// pastCheck is a check of the history, with its steps to open.
func (v *visit) pastCheck(x client.PastCheck, open bool) past {
	k := past{Pill: pill{good, "circle-check", v.t("page.check_passed")}, Time: v.moment(x.At), Text: v.t(triggers[x.Trigger]), Open: open}
	if !x.OK {
		k.Pill = pill{bad, "circle-x", v.t("page.check_failed")}
	}
	for _, s := range x.Steps {
		k.Steps = append(k.Steps, v.step(s))
		if s.State == "failed" && k.Small == "" {
			k.Small = s.Message
		}
	}
	for _, n := range x.Notes {
		k.Banners = append(k.Banners, banner{Tone: warn, Icon: "triangle-alert", Title: n.Message})
	}
	return k
}
