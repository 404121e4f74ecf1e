package web

import (
	"encoding/json"
	"errors"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// checksKept is how many checks of one connector the store remembers, and more.
const checksKept = 500

// pastChecks gives a page of the checks that were made, newest first: of the data export, if connector is empty.
func (a *api) pastChecks(c *call, connector control.ConnectorID, p paged) (out client.Page[client.PastCheck], err error) {
	rows, err := a.deps.Store.Checks(c, c.workspace.Number, connector, checksKept)
	if err != nil {
		return out, err
	}
	var failed error
	l := c.reader()
	out, err = pageOf(c, p, rows, func(r control.CheckRow) int64 { return r.ID }, func(r control.CheckRow) client.PastCheck {
		shown, err := a.showPast(l, r)
		failed = errors.Join(failed, err)
		return shown
	})
	return out, errors.Join(err, failed)
}

func (a *api) showPast(l text.Language, r control.CheckRow) (client.PastCheck, error) {
	var report bucket.Report
	if err := json.Unmarshal(r.Report, &report); err != nil {
		return client.PastCheck{}, fault.From(err, fault.Corrupt, "read a check")
	}
	out := client.PastCheck{ID: a.deps.IDs.name(pastCheckID, r.ID), At: r.At, Trigger: string(r.Trigger), OK: r.OK, Steps: showSteps(l, report.Steps), Notes: showNotes(l, report.Notes)}
	if len(report.Steps) == 0 && !r.OK { // it could not be made
		out.Notes = append(out.Notes, client.CheckNote{Message: text.Say(l, report.Heading, nil)})
	}
	return out, nil
}
