package app

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Wait returns when an hour of a connector is complete.
type Wait struct {
	Connector string         `required:"" placeholder:"[WORKSPACE/]NAME" help:"Whose hour."`
	Hour      string         `required:"" placeholder:"HOUR" help:"Hour of acceptance, in UTC: 2026-11-22T10."`
	Timeout   *time.Duration `placeholder:"DURATION" help:"Give up after this time, with exit code 7; 0s looks once. Without it there is no limit."`
	JSON      bool           `name:"json" help:"As JSON."`
}

// Help teaches.
func (Wait) Help() string {
	return `An hour is complete when it has ended and every event that was accepted in it for the connector is in the bucket, or in the ledger as dropped. Nothing is added to it afterwards, except by "millrace replay --dropped". The counts are printed by event type. Test events are not part of it.

    millrace wait --connector acme/warehouse --hour 2026-11-22T10 && load-into-warehouse

The exit code is 0 when all of it was delivered, 3 when it is complete and some of it was dropped: the ledger says what and why. It works on the data folder; a server has to run on it for anything to become complete.`
}

// exitDropped is the exit code of Wait for an hour that is complete and not whole.
const exitDropped = 3

const (
	waitEvery = 500 * time.Millisecond // between two looks
	waitNote  = 5 * time.Second        // until a person is told what is waited for
)

type hourJSON struct {
	Connector string      `json:"connector"`
	Hour      string      `json:"hour"`
	Complete  bool        `json:"complete"`
	At        time.Time   `json:"at"` // when it was found to be complete
	Accepted  int64       `json:"accepted"`
	Delivered int64       `json:"delivered"`
	Dropped   int64       `json:"dropped"`
	Types     []countJSON `json:"types"`
}

// countJSON is one line of an audit: accepted = delivered + dropped + waiting.
type countJSON struct {
	EventType string `json:"event_type"`
	Accepted  int64  `json:"accepted"`
	Delivered int64  `json:"delivered"`
	Dropped   int64  `json:"dropped"`
	Waiting   int64  `json:"waiting"`
}

// Run waits.
func (cmd Wait) Run(ctx context.Context, c *Console, s Settings) error {
	if cmd.Timeout != nil && *cmd.Timeout < 0 {
		return fault.New(fault.Invalid, "", "--timeout must be a time to wait for, like 10m").WithHint("Leave it out to wait without a limit.")
	}
	h, err := parseOneHour(cmd.Hour)
	if err != nil {
		return err
	}
	p, _, conn, err := openConnector(ctx, s, cmd.Connector)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	if first := eventlog.HourOf(conn.CreatedAt); h < first {
		return fault.New(fault.NotFound, "", "%s was launched in the hour %s and has none before that", cmd.Connector, hourText(first))
	}
	done, err := cmd.await(ctx, c, p, conn, h)
	if err != nil {
		return err
	}
	j := hourJSON{Connector: cmd.Connector, Hour: hourText(h), Complete: true, At: done.At, Types: []countJSON{}}
	for _, n := range done.Counts {
		j.Types = append(j.Types, countJSON(n))
		j.Accepted, j.Delivered, j.Dropped = j.Accepted+n.Accepted, j.Delivered+n.Delivered, j.Dropped+n.Dropped
	}
	if cmd.JSON {
		err = c.JSON(j)
	} else {
		err = j.print(c)
	}
	if err == nil && j.Dropped > 0 {
		return endsWith{exitDropped, fmt.Sprintf("the hour %s is complete, and %s of it were dropped; see millrace ledger", hourText(h), quantity(j.Dropped, "event", "events"))}
	}
	return err
}

// await looks until the hour is complete.
func (cmd Wait) await(ctx context.Context, c *Console, p *plane, conn control.Connector, h eventlog.Hour) (control.HourDone, error) {
	told := false
	for began := time.Now(); ; {
		done, ok, err := p.hourDone(ctx, conn, h)
		if err != nil || ok {
			return done, err
		}
		waited, wait := time.Since(began), waitEvery
		if cmd.Timeout != nil {
			left := *cmd.Timeout - waited
			if left <= 0 {
				return done, cmd.late(ctx, p, conn, h)
			}
			wait = min(wait, left)
		}
		if !told && waited >= waitNote {
			told = true
			c.Note("%s", cmd.why(ctx, p, conn, h))
		}
		if !sleep(ctx, wait) {
			return done, ctx.Err()
		}
	}
}

func (cmd Wait) late(ctx context.Context, p *plane, conn control.Connector, h eventlog.Hour) error {
	after := ""
	if *cmd.Timeout > 0 {
		after = " after " + cmd.Timeout.String()
	}
	return fault.New(fault.Unavailable, "", "the hour %s of %s is not complete%s", hourText(h), cmd.Connector, after).
		WithHint("%s", cmd.why(ctx, p, conn, h))
}

// why says what an hour still waits for, as far as can be told.
func (cmd Wait) why(ctx context.Context, p *plane, conn control.Connector, h eventlog.Hour) string {
	if now := time.Now(); now.Before((h + 1).Start()) {
		return fmt.Sprintf("The hour %s ends at %s.", hourText(h), (h + 1).Start().Format(time.RFC3339))
	}
	if !p.serverRuns() {
		return "No server runs on the data folder, so that nothing becomes complete: start it."
	}
	var waiting int64
	counts, err := p.store.Audit(ctx, conn.Workspace, conn.Connector, h, h+1)
	for _, n := range counts[h] {
		waiting += n.Waiting
	}
	if err != nil || waiting == 0 {
		return "Everything that is counted is delivered or dropped; its end is not confirmed yet."
	}
	return fmt.Sprintf("%s of it are not in the bucket yet; millrace connector show %s says why.", quantity(waiting, "event", "events"), cmd.Connector)
}

func (j hourJSON) print(c *Console) error {
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "EVENT TYPE\tACCEPTED\tDELIVERED\tDROPPED")
	for _, n := range j.Types {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", n.EventType, n.Accepted, n.Delivered, n.Dropped)
	}
	fmt.Fprintf(w, "all of %s\t%d\t%d\t%d\n", j.Hour, j.Accepted, j.Delivered, j.Dropped)
	return w.Flush()
}

// hourDone gives an hour of a connector if it is complete.
//
// After a standstill longer than hoursBack the hours before have no marks, so that nobody says of an empty one that it
// is complete; that a later one is says it too.
func (p *plane) hourDone(ctx context.Context, conn control.Connector, h eventlog.Hour) (control.HourDone, bool, error) {
	done, ok, err := p.store.HourDone(ctx, conn.Workspace, conn.Connector, h)
	current := eventlog.HourOf(time.Now())
	if ok || err != nil || h >= current-hoursBack {
		return done, ok, err
	}
	counts, err := p.store.Audit(ctx, conn.Workspace, conn.Connector, h, h+1)
	if err != nil || len(counts[h]) > 0 {
		return done, false, err
	}
	for later := current; later >= current-hoursBack; later-- {
		if x, ok, err := p.store.HourDone(ctx, conn.Workspace, conn.Connector, later); ok || err != nil {
			return control.HourDone{Connector: conn.Connector, Workspace: conn.Workspace, Hour: h, At: x.At}, ok, err
		}
	}
	return done, false, nil
}

// parseOneHour reads an hour that is written as one.
func parseOneHour(text string) (eventlog.Hour, error) {
	t, err := parseTime("--hour", text)
	if err == nil && (!t.Equal(t.Truncate(time.Hour)) || len(text) <= len(time.DateOnly)) {
		err = fault.New(fault.Invalid, "", "--hour %q is not an hour", text).WithHint("Write 2026-11-22T10; UTC.")
	}
	return eventlog.HourOf(t), err
}

// hourText is an hour as it is written on the command line.
func hourText(h eventlog.Hour) string { return h.Start().Format("2006-01-02T15") }
