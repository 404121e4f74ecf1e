package app

import (
	"context"
	"encoding/json"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/fault"
)

// Replay makes a connector's recorded files again from the log.
type Replay struct {
	Connector string `required:"" placeholder:"[WORKSPACE/]NAME" help:"Whose files."`
	From      string `placeholder:"TIME" help:"Files of this hour of acceptance and later: 2026-11-22T10, or a date. Needed, but with --dropped, where it begins with the oldest loss."`
	To        string `placeholder:"TIME" help:"Files of hours before this one; without it, all."`
	Dropped   bool   `help:"Deliver what was dropped and the log still holds, in place of making recorded files again."`
	DryRun    bool   `help:"Say what would be written, and write nothing."`
	JSON      bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (Replay) Help() string {
	return `The ledger says which file held which events; the log still holds the events, for as long as MILLRACE_LOG_RETENTION says. Each file is made again with the same key and the same bytes, to the bucket that it was recorded in, and is written only if it is not there: nobody's events are doubled. It can be interrupted and run again, and a server may run and deliver beside it.

    millrace replay --connector acme/warehouse --from 2026-11-22T10 --to 2026-11-22T12

What the log has forgotten is refused by name before anything is written. A file that another version of the encoder made holds the same records afterwards; that its bytes are the same is not promised, and such files are named.

With --dropped, what the ledger lists as dropped is delivered after all, as far as the log still holds it: into files of their own, with the transformations that were in force, to the bucket it was meant for. The ledger then counts it as delivered. A running server does it, and the command waits; interrupting the command leaves it to the server. A paused connector has to be resumed before. What cannot be brought back is named and stays in the ledger, with exit code 1.

    millrace replay --connector acme/warehouse --dropped`
}

// Run replays.
func (cmd Replay) Run(ctx context.Context, c *Console, s Settings) error {
	if cmd.From == "" && !cmd.Dropped {
		return fault.New(fault.Invalid, "replay", "--from is missing").
			WithHint("Say from which hour on files are made again: --from 2026-11-22T10. What was dropped is delivered with --dropped.")
	}
	from, until, err := parseHours(cmd.From, cmd.To)
	if err != nil {
		return err
	}
	params := control.ReplayParams{From: from.Start(), Dropped: cmd.Dropped}
	if until > 0 {
		params.Until = until.Start()
	}
	p, w, conn, err := openConnector(ctx, s, cmd.Connector)
	if err != nil {
		return err
	}
	defer p.Close() // commits were synced
	if conn.Deleted {
		if err := cmd.afterDeletion(ctx, p, conn); err != nil {
			return err
		}
	}
	if cmd.Dropped && conn.Paused && !cmd.DryRun {
		return fault.New(fault.Conflict, "replay", "the connector %s is paused, so that nothing is uploaded for it", conn.Name).
			WithHint("Resume it first: millrace connector resume %s/%s", w.Name, conn.Name)
	}
	if !cmd.Dropped {
		return cmd.again(ctx, c, p, conn)
	}
	var out delivery.Recovered
	if p.serverRuns() && !cmd.DryRun {
		out, err = cmd.byServer(ctx, c, p, w, conn, params)
	} else {
		out, err = cmd.recover(ctx, c, p, conn)
	}
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = c.JSON(out)
	} else {
		cmd.printRecovered(c, out)
	}
	if err == nil && len(out.Refused) > 0 {
		return errDiffers{quantity(int64(len(out.Refused)), "row of the ledger stays", "rows of the ledger stay") + " dropped"}
	}
	return err
}

// afterDeletion says whether a deleted connector's files can be made again. Its losses stay: until its lane has ended
// they may still turn out to be in the bucket, and then its credentials are gone.
func (cmd Replay) afterDeletion(ctx context.Context, p *plane, conn control.Connector) error {
	_, err := p.store.Access(ctx, control.Lane{Connector: conn.Connector, Destination: conn.Destination.Number})
	switch {
	case fault.Is(err, fault.Forbidden):
		return fault.New(fault.Forbidden, "replay", "the connector %s is deleted and its credentials are erased, so that nothing can be written into its bucket any more", conn.Name)
	case err == nil && cmd.Dropped:
		return fault.New(fault.Forbidden, "replay", "the connector %s is deleted: what it dropped stays dropped", conn.Name)
	}
	return err
}

// again makes recorded files again, which may be done beside a server.
func (cmd Replay) again(ctx context.Context, c *Console, p *plane, conn control.Connector) error {
	in, end, err := cmd.input(ctx, c, p, conn)
	if err != nil {
		return err
	}
	out, err := delivery.Replay(ctx, in)
	end()
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(out)
	}
	for _, k := range out.Written {
		c.Print("%s: %s", cmd.did(), k)
	}
	for _, k := range out.OtherEncoder {
		c.Print("of another build, so the same records and perhaps other bytes: %s", k)
	}
	for _, k := range out.Adopted {
		c.Print("missing, and not made by this installation: %s", k)
	}
	c.Print("%s recorded, %d there, %d %s", quantity(int64(out.Recorded), "file", "files"), out.There, len(out.Written), cmd.did())
	return nil
}

// byServer lets the running server deliver what was dropped, and waits.
func (cmd Replay) byServer(ctx context.Context, c *Console, p *plane, w control.Workspace, conn control.Connector, params control.ReplayParams) (out delivery.Recovered, err error) {
	id, err := p.rules().Replay(ctx, w.Number, conn.Connector, params)
	if err != nil {
		return out, err
	}
	c.Note("The running server does it, as job %d.", id)
	job, err := p.awaitJob(ctx, w.Number, id)
	if err == nil {
		err = fault.From(json.Unmarshal(job.Result, &out), fault.Corrupt, "read the job's result")
	}
	return out, err
}

// recover delivers what was dropped in this process. Nobody else writes the ledger meanwhile.
func (cmd Replay) recover(ctx context.Context, c *Console, p *plane, conn control.Connector) (out delivery.Recovered, err error) {
	if !cmd.DryRun {
		lock, err := p.takeFolder()
		if err != nil {
			return out, err
		}
		defer lock.Close() // an empty file
	}
	in, end, err := cmd.input(ctx, c, p, conn)
	if err != nil {
		return out, err
	}
	defer end()
	return delivery.Recover(ctx, delivery.RecoverInput{ReplayInput: in, Books: p.store})
}

// replayInput gives what replays of c have in common; its log is missing.
func (p *plane) replayInput(c control.Connector) delivery.ReplayInput {
	return delivery.ReplayInput{
		Archive:   delivery.Archive{Ledger: p.store, Opener: p.opener, Catalogue: p.catalogue},
		Connector: c, AttemptLimit: p.cfg.Delivery.AttemptLimit,
	}
}

func (cmd Replay) input(ctx context.Context, c *Console, p *plane, conn control.Connector) (in delivery.ReplayInput, end func(), err error) {
	in = p.replayInput(conn)
	in.DryRun = cmd.DryRun
	if in.From, in.Until, err = parseHours(cmd.From, cmd.To); err != nil {
		return in, nil, err
	}
	in.Archive, end, err = p.archive(ctx, c)
	return in, end, err
}

func (cmd Replay) did() string {
	if cmd.DryRun {
		return "would be written"
	}
	return "written"
}

func (cmd Replay) printRecovered(c *Console, out delivery.Recovered) {
	for _, k := range out.Written {
		c.Print("%s: %s", cmd.did(), k)
	}
	for _, k := range out.Found {
		c.Print("found in the bucket, and counted: %s", k)
	}
	for _, r := range out.Refused {
		of := "all types"
		if r.EventType != "" {
			of = r.Hour + "  " + r.EventType
		}
		c.Print("stays dropped: %s, offsets %d to %d, reason %s: %s", of, r.First, r.Last, r.Reason, r.Why)
	}
	c.Print("%s of the ledger, %s in %s %s", quantity(int64(out.Drops), "row", "rows"), quantity(out.Events, "event", "events"),
		quantity(int64(len(out.Written)+len(out.Found)), "file", "files"), cmd.did())
}
