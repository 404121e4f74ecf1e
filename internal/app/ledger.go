package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Ledger shows what was delivered and what was dropped.
type Ledger struct {
	Connector string `placeholder:"[WORKSPACE/]NAME" required:"" help:"Whose ledger."`
	From      string `placeholder:"TIME" help:"Only hours from this one on: 2026-11-22T10, or a date."`
	To        string `placeholder:"TIME" help:"Only hours before this one."`
	Type      string `placeholder:"EVENT-TYPE" help:"Only events of this type."`
	Files     bool   `help:"List every file with its key and range, instead of sums by hour and type."`
	JSON      bool   `name:"json" help:"As JSON, one object a line with --files."`
}

// Help teaches.
func (Ledger) Help() string {
	return `Hours are hours of acceptance, in UTC, as in the keys of files. For each hour and type accepted = delivered + dropped + waiting, counted once and apart from what was delivered; test events are left out. "millrace wait" says when an hour is complete.

A drop is a range of events that were lost by rule; its reason says which: grace (the connector failed by its owner's fault for longer than the grace period), pause (it was paused for longer than the limit), cap (a test connector had its share), deleted (the connector was deleted before they could be delivered), quota (the log was full and this connector had delivered nothing for long), trimmed (what a restored database says was delivered and neither bucket nor log have), damaged (set aside by "millrace log skip"), log_lost (by "millrace log accept"). "settled false" means that the bucket has not been looked at since, so that some of them may be there after all. What the log still holds of a drop can be delivered afterwards: "millrace replay --dropped".

A range over all types is shown whatever --type and --to say: it may hold such events.

    millrace ledger --connector acme/warehouse --from 2026-11-22
    millrace ledger --connector acme/warehouse --files --json | jq -r .key`
}

type fileJSON struct {
	Kind      string    `json:"kind"` // file
	Key       string    `json:"key"`
	EventType string    `json:"event_type"`
	SchemaID  uint32    `json:"schema_id"`
	Hour      string    `json:"hour"`
	Log       string    `json:"log"`
	First     int64     `json:"first"`
	Last      int64     `json:"last"`
	Events    int       `json:"events"`
	Bytes     int64     `json:"bytes"`
	Version   int       `json:"config_version"`
	Cut       string    `json:"cut"`
	Adopted   bool      `json:"adopted,omitempty"`
	At        time.Time `json:"at"`
}

type dropJSON struct {
	Kind      string    `json:"kind"`                 // drop
	EventType string    `json:"event_type,omitempty"` // absent, as schema and hour: over all streams
	SchemaID  uint32    `json:"schema_id,omitempty"`
	Hour      string    `json:"hour,omitempty"`
	Log       string    `json:"log"`
	First     int64     `json:"first"`
	Last      int64     `json:"last"`
	Events    int64     `json:"events"` // -1: not known
	Reason    string    `json:"reason"`
	Settled   bool      `json:"settled"`
	At        time.Time `json:"at"`
}

type deliveredJSON struct {
	Hour      string `json:"hour"`
	EventType string `json:"event_type"`
	Files     int64  `json:"files"`
	Events    int64  `json:"events"`
}

// auditJSON is what became of the events of one type that were accepted in one hour.
type auditJSON struct {
	Hour string `json:"hour"`
	countJSON
}

func showDrop(d control.Drop) dropJSON {
	j := dropJSON{"drop", d.EventType, d.Stream.Schema, d.Stream.Hour.String(), d.Log.String(), int64(d.First), int64(d.Last),
		d.Events, string(d.Reason), d.Settled, d.At}
	if d.OverAll() {
		j.Hour = ""
	}
	return j
}

// drop says a drop in words.
func (d dropJSON) drop() string {
	of := d.Hour + "  " + d.EventType
	if d.Hour == "" {
		of = "all types, until " + d.At.UTC().Format("2006-01-02-15")
	}
	n := "an unknown number of events"
	switch {
	case d.Events == 0 && d.Reason == string(control.DropLogLost):
		n = "no events (all were delivered before)"
	case d.Events >= 0:
		n = quantity(d.Events, "event", "events")
	}
	return fmt.Sprintf("%s  %s, offsets %d to %d, reason %s, settled %v", of, n, d.First, d.Last, d.Reason, d.Settled)
}

// Run shows.
func (cmd Ledger) Run(ctx context.Context, c *Console, s Settings) error {
	var f control.LedgerFilter
	var err error
	if f.From, f.Until, err = parseHours(cmd.From, cmd.To); err != nil {
		return err
	}
	p, _, conn, err := openConnector(ctx, s, cmd.Connector)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	f.Connector, f.EventType = conn.Connector, cmd.Type
	if err := cmd.knownType(ctx, p, f); err != nil {
		return err
	}
	if cmd.Files {
		return cmd.list(ctx, c, p, f)
	}
	delivered, err := p.store.DeliveredCounts(ctx, f)
	if err != nil {
		return err
	}
	rows, drops := []deliveredJSON{}, []dropJSON{}
	for _, d := range delivered {
		rows = append(rows, deliveredJSON{d.Hour.String(), d.EventType, d.Files, d.Events})
	}
	if err := p.store.EachDrop(ctx, f, func(d control.Drop) error { drops = append(drops, showDrop(d)); return nil }); err != nil {
		return err
	}
	audit, err := cmd.audit(ctx, p, conn, f)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(map[string]any{"connector": conn.Connector, "audit": audit, "delivered": rows, "dropped": drops})
	}
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "HOUR (UTC)\tEVENT TYPE\tFILES\tACCEPTED\tDELIVERED\tDROPPED\tWAITING")
	files := map[[2]string]int64{}
	var allFiles int64
	for _, r := range rows {
		files[[2]string{r.Hour, r.EventType}] = r.Files
		allFiles += r.Files
	}
	var all countJSON
	for _, a := range audit {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", a.Hour, a.EventType, files[[2]string{a.Hour, a.EventType}], a.Accepted, a.Delivered, a.Dropped, a.Waiting)
		all.Accepted, all.Delivered, all.Dropped, all.Waiting = all.Accepted+a.Accepted, all.Delivered+a.Delivered, all.Dropped+a.Dropped, all.Waiting+a.Waiting
	}
	fmt.Fprintf(w, "all\t\t%d\t%d\t%d\t%d\t%d\n", allFiles, all.Accepted, all.Delivered, all.Dropped, all.Waiting)
	if err := w.Flush(); err != nil {
		return err
	}
	if len(drops) == 0 {
		c.Print("\nNothing was dropped.")
		return nil
	}
	c.Print("\nDropped:")
	for _, d := range drops {
		c.Print("  %s", d.drop())
	}
	return nil
}

// audit gives what became of what was accepted, by hour and type.
func (cmd Ledger) audit(ctx context.Context, p *plane, conn control.Connector, f control.LedgerFilter) ([]auditJSON, error) {
	hours, err := p.store.Audit(ctx, conn.Workspace, conn.Connector, f.From, f.Until)
	audit := []auditJSON{}
	for _, h := range slices.Sorted(maps.Keys(hours)) {
		for _, n := range hours[h] {
			if f.EventType == "" || n.EventType == f.EventType {
				audit = append(audit, auditJSON{h.String(), countJSON(n)})
			}
		}
	}
	return audit, err
}

// knownType refuses a type that neither the catalogue nor the ledger knows: an empty answer would look like one.
func (cmd Ledger) knownType(ctx context.Context, p *plane, f control.LedgerFilter) error {
	if _, ok := p.catalogue.Type(f.EventType); ok || f.EventType == "" {
		return nil
	}
	// One of the operator's own, whose schema file is gone?
	f.From, f.Until = 0, 0
	if files, err := p.store.Files(ctx, f, 0, 1); err != nil || len(files) > 0 {
		return err
	}
	known := false
	if err := p.store.EachDrop(ctx, f, func(d control.Drop) error { known = known || !d.OverAll(); return nil }); err != nil || known {
		return err
	}
	return noSuchType(p.catalogue, f.EventType)
}

func (cmd Ledger) list(ctx context.Context, c *Console, p *plane, f control.LedgerFilter) error {
	err := p.store.EachFile(ctx, f, func(x control.File) error {
		if cmd.JSON {
			return c.Line(fileJSON{"file", x.Key, x.EventType, x.Stream.Schema, x.Stream.Hour.String(), x.Log.String(), int64(x.First), int64(x.Last),
				x.Events, x.Size, x.Version, x.Cut, x.Adopted, x.At})
		}
		c.Print("%s  %s, offsets %d to %d, %s", x.Key, quantity(int64(x.Events), "event", "events"), x.First, x.Last, size(x.Size))
		return nil
	})
	if err != nil {
		return err
	}
	return p.store.EachDrop(ctx, f, func(d control.Drop) error {
		if cmd.JSON {
			return c.Line(showDrop(d))
		}
		c.Print("dropped: %s", showDrop(d).drop())
		return nil
	})
}

// parseHours reads --from and --to as people write them; what is empty is 0. Hours of which there are none are refused:
// nothing would be found in them, which looks like an answer.
func parseHours(from, to string) (first, until eventlog.Hour, err error) {
	for _, x := range []struct {
		flag, text string
		hour       *eventlog.Hour
	}{{"--from", from, &first}, {"--to", to, &until}} {
		t, err := parseTime(x.flag, x.text)
		if err != nil {
			return 0, 0, err
		}
		if x.text != "" {
			*x.hour = eventlog.HourOf(t)
		}
	}
	if to != "" && until <= first {
		return 0, 0, fault.New(fault.Invalid, "", "--to %s does not lie behind --from %s", to, from).
			WithHint("Hours from --from on and before --to are meant; one hour is --from 2026-11-22T10 --to 2026-11-22T11.")
	}
	return first, until, nil
}

// parseTime reads a time in UTC: RFC 3339, a date with an hour, or a date.
func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15", "2006-01-02-15", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fault.New(fault.Invalid, "", "%s %q is not a time", flag, text).
		WithHint("Write 2026-11-22, 2026-11-22T10 or 2026-11-22T10:30:00Z; UTC.")
}
