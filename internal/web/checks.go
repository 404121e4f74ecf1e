package web

import (
	"encoding/json"
	"errors"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
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
	out, err = pageOf(c, p, rows, func(r control.CheckRow) int64 { return r.ID }, func(r control.CheckRow) client.PastCheck {
		shown, err := a.showPast(r)
		failed = errors.Join(failed, err)
		return shown
	})
	return out, errors.Join(err, failed)
}

func (a *api) showPast(r control.CheckRow) (client.PastCheck, error) {
	var report bucket.Report
	if err := json.Unmarshal(r.Report, &report); err != nil {
		return client.PastCheck{}, fault.From(err, fault.Corrupt, "read a check")
	}
	out := client.PastCheck{ID: a.deps.IDs.name(pastCheckID, r.ID), At: r.At, Trigger: string(r.Trigger), OK: r.OK, Steps: showSteps(report.Steps), Notes: showNotes(report.Notes)}
	if len(report.Steps) == 0 && !r.OK { // it could not be made
		said := &fault.Error{Msg: report.Heading}
		out.Notes = append(out.Notes, client.CheckNote{Message: said.Message()})
	}
	return out, nil
}
