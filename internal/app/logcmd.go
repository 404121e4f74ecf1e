package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// openSource opens the log to read it, whether or not a server runs on it.
func openSource(ctx context.Context, cfg *config.Config) (*segment.View, error) {
	return segment.OpenReader(ctx, logOf(cfg))
}

func logOf(cfg *config.Config) vfs.FS { return vfs.OS(filepath.Join(cfg.DataDir, logFolder)) }

// LogCheck reads the whole log.
type LogCheck struct {
	JSON bool `name:"json" help:"As JSON."`
}

// Help teaches.
func (LogCheck) Help() string {
	return `Every byte is read and compared with its checksum; nothing is changed. A server may run beside it. Exit code 8 means damage: the place is named, and "millrace log skip" sets it aside.`
}

type damageJSON struct {
	File     string `json:"file"`
	Position int64  `json:"position"`
	End      int64  `json:"end"`
	First    int64  `json:"first"` // offset
	Next     int64  `json:"next"`
	What     string `json:"what"`
}

// Run checks.
func (cmd LogCheck) Run(ctx context.Context, c *Console, s Settings) error {
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	r, err := checkLog(ctx, c, cfg)
	if err != nil {
		return err
	}
	damage := []damageJSON{}
	for _, d := range r.Damage {
		damage = append(damage, damageJSON{d.File, d.Position, d.End, int64(d.First), int64(d.Next), d.What})
	}
	if cmd.JSON {
		err = c.JSON(map[string]any{
			"log": r.ID.String(), "start": r.Start, "head": r.Head, "segments": r.Segments, "bytes": r.Bytes, "commits": r.Commits,
			"records": r.Records, "torn_bytes": r.Torn, "set_aside": len(r.Aside), "damage": damage,
		})
		if err != nil {
			return err
		}
	} else {
		c.Print("log %s, offsets %d to %d: %s in %s, %s, %s read", r.ID, r.Start, r.Head,
			quantity(r.Records, "record", "records"), quantity(int64(r.Commits), "commit", "commits"), quantity(int64(r.Segments), "segment", "segments"), size(r.Bytes))
		if r.Torn > 0 {
			c.Print("an unfinished write of %s stands at the end; that is no damage", quantity(r.Torn, "byte", "bytes"))
		}
		for _, a := range r.Aside {
			c.Print("set aside before: offsets %d to %d, kept in %s", a.First, a.Next-1, a.Kept)
		}
		for _, d := range damage {
			c.Print("damage: %s, bytes %d to %d, offsets %d to %d: %s", d.File, d.Position, d.End, d.First, d.Next-1, d.What)
		}
	}
	if len(damage) > 0 {
		return fault.New(fault.Corrupt, "", "the log is damaged in %s", quantity(int64(len(damage)), "place", "places")).
			WithHint("Put a good copy of the file in its place, or run `millrace log skip`.")
	}
	if !cmd.JSON {
		c.Print("all right")
	}
	return nil
}

func checkLog(ctx context.Context, c *Console, cfg *config.Config) (segment.Report, error) {
	folder := logOf(cfg)
	if _, err := folder.Stat("."); fault.Is(err, fault.NotFound) {
		return segment.Report{}, fault.New(fault.NotFound, "check log", "there is no log in %s", cfg.DataDir).
			WithHint("Name the data folder with --data-dir or MILLRACE_DATA_DIR.")
	}
	progress := c.bar("reading the log", size)
	defer progress.End()
	return segment.Check(ctx, folder, progress.Set)
}

// LogSkip sets damage aside.
type LogSkip struct {
	JSON bool `name:"json" help:"As JSON."`
}

// Help teaches.
func (LogSkip) Help() string {
	return `Run it when "millrace log check" names damage that no copy can mend, with the server stopped. Each damaged segment is kept as it is under another name; in its place comes one in which readers pass over the damage. Connectors that had not delivered the range get it into their ledger as lost, reason "damaged".`
}

// Run skips.
func (cmd LogSkip) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // commits were synced
	lock, err := p.takeFolder()
	if err != nil {
		return err
	}
	defer lock.Close() // an empty file
	r, err := checkLog(ctx, c, p.cfg)
	if err != nil {
		return err
	}
	// What an earlier run set aside may not be in the ledger yet, if it was interrupted: those rows are written too,
	// and rows that exist are not written twice.
	ranges := r.Aside
	for _, d := range r.Damage {
		rg, err := segment.Skip(ctx, logOf(p.cfg), d)
		if err != nil {
			return err
		}
		ranges = append(ranges, rg)
	}
	rows := 0
	for _, rg := range ranges {
		n, err := p.recordDamage(ctx, r, rg)
		if err != nil {
			return err
		}
		rows += n
	}
	if cmd.JSON {
		out := []map[string]any{}
		for _, rg := range ranges {
			out = append(out, map[string]any{"first": rg.First, "next": rg.Next, "records_at_most": rg.Count, "kept": rg.Kept})
		}
		return c.JSON(map[string]any{"skipped": len(r.Damage), "set_aside": out, "ledger_rows": rows})
	}
	if len(r.Damage) == 0 {
		c.Print("there is no damage")
	}
	for _, rg := range ranges {
		c.Print("set aside: offsets %d to %d, kept in %s", rg.First, rg.Next-1, rg.Kept)
	}
	c.Print("%s written into ledgers", quantity(int64(rows), "row", "rows"))
	return nil
}

// recordDamage writes rg into the ledger of each lane that had not come past it.
func (p *plane) recordDamage(ctx context.Context, r segment.Report, rg segment.Range) (rows int, err error) {
	lanes, err := p.store.Lanes(ctx)
	if err != nil {
		return 0, err
	}
	for _, row := range lanes {
		pos, err := p.store.Position(ctx, row.Lane)
		if err != nil {
			return rows, err
		}
		if pos.Log != r.ID || pos.Cursor >= rg.Next {
			continue
		}
		known := false
		err = p.store.EachDrop(ctx, control.LedgerFilter{Connector: row.Lane.Connector, Destination: row.Lane.Destination}, func(d control.Drop) error {
			known = known || d.Reason == control.DropDamaged && d.Log == r.ID && d.First == rg.First && d.Last == rg.Next-1
			return nil
		})
		if err != nil {
			return rows, err
		}
		if known {
			continue
		}
		// Which events of whom they were is what the damage hides.
		_, err = p.store.Save(ctx, control.Save{Position: pos, Drops: []control.Drop{{
			Lane: row.Lane, Log: r.ID, First: rg.First, Last: rg.Next - 1, Events: -1, Reason: control.DropDamaged, At: time.Now().UTC(), Settled: true,
		}}})
		if err != nil {
			return rows, fault.Wrap(err, fmt.Sprintf("write the ledger of %s/%s", row.WorkspaceName, row.Name))
		}
		rows++
	}
	return rows, nil
}

// LogAccept goes on with a log that was set back or replaced.
type LogAccept struct {
	DryRun bool `help:"Say what would be accepted, and change nothing."`
	JSON   bool `name:"json" help:"As JSON."`
}

// Help teaches.
func (LogAccept) Help() string {
	return `A server refuses to start when the log in its folder is not the one that positions and ledger speak of, or ends before them: most often a mistyped data folder, or an old copy that was restored. If it is what you have, this command goes on with it. Where a connector had not come past everything that is gone, its ledger lists the range as lost, reason "log_lost", number of events not known. A row of 0 events says that all of the range had been delivered, and that its offsets are now given to other events. Files that are in the bucket stay and are not written again. Run it with the server stopped.`
}

// Run accepts.
func (cmd LogAccept) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // the commit was synced
	lock, err := p.takeFolder()
	if err != nil {
		return err
	}
	defer lock.Close() // an empty file
	// Opening recovers: what the log then holds is what it will hold.
	log, err := segment.Open(ctx, segment.Config{FS: logOf(p.cfg), MinFree: -1})
	if err != nil {
		return err
	}
	defer log.Close() // nothing was appended
	start, head := log.Bounds()
	outside, err := p.store.LanesOutside(ctx, log.ID())
	if err != nil {
		return err
	}
	least, err := p.store.MaxLoggedOffset(ctx, log.ID())
	if err != nil {
		return err
	}
	setBack := max(0, int64(least-head))
	lost := 0
	if !cmd.DryRun {
		if lost, err = p.store.AcceptLog(ctx, log.ID(), start, head); err != nil {
			return err
		}
	}
	if cmd.JSON {
		out := map[string]any{"log": log.ID().String(), "start": start, "head": head, "connectors_of_another_log": outside, "offsets_set_back": setBack, "dry_run": cmd.DryRun}
		if !cmd.DryRun {
			out["connectors_with_losses"] = lost
		}
		return c.JSON(out)
	}
	if outside == 0 && setBack == 0 {
		c.Print("the log %s is the one that positions and ledger speak of; there is nothing to accept", log.ID())
		return nil
	}
	did := "accepted"
	if cmd.DryRun {
		did = "would be accepted"
	}
	c.Print("log %s, offsets %d to %d: %s", log.ID(), start, head, did)
	if outside > 0 {
		c.Print("%s in another log: to begin at offset %d", quantity(int64(outside), "connector had its position", "connectors had their positions"), start)
	}
	if setBack > 0 {
		c.Print("the log was set back by %s: positions to be cut to offset %d", quantity(setBack, "offset", "offsets"), head)
	}
	switch {
	case cmd.DryRun:
	case lost == 0:
		c.Print("every connector had come past everything that is known of what is gone: nothing of it is lost")
	default:
		c.Print("%s not come past everything that is gone: the ledger lists the range as lost, number of events not known", quantity(int64(lost), "connector had", "connectors had"))
	}
	return nil
}
