package app

import (
	"context"

	"github.com/millrace/millrace/internal/delivery"
)

// Replay makes a connector's recorded files again from the log.
type Replay struct {
	Connector string `required:"" placeholder:"[WORKSPACE/]NAME" help:"Whose files."`
	From      string `required:"" placeholder:"TIME" help:"Files of this hour of acceptance and later: 2026-11-22T10, or a date."`
	To        string `placeholder:"TIME" help:"Files of hours before this one; without it, all."`
	DryRun    bool   `help:"Say what would be written, and write nothing."`
	JSON      bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (Replay) Help() string {
	return `The ledger says which file held which events; the log still holds the events, for as long as MILLRACE_LOG_RETENTION says. Each file is made again with the same key and the same bytes, to the bucket that it was recorded in, and is written only if it is not there: nobody's events are doubled. It can be interrupted and run again, and a server may run and deliver beside it.

    millrace replay --connector acme/warehouse --from 2026-11-22T10 --to 2026-11-22T12

What the log has forgotten is refused by name before anything is written. A file that another version of the encoder made holds the same records afterwards; that its bytes are the same is not promised, and such files are named.`
}

// Run replays.
func (cmd Replay) Run(ctx context.Context, c *Console, s Settings) error {
	in := delivery.ReplayInput{DryRun: cmd.DryRun}
	var err error
	if in.From, err = parseHour("--from", cmd.From); err != nil {
		return err
	}
	if in.Until, err = parseHour("--to", cmd.To); err != nil {
		return err
	}
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	if _, in.Connector, err = p.connector(ctx, cmd.Connector); err != nil {
		return err
	}
	in.AttemptLimit = p.cfg.Delivery.AttemptLimit
	archive, end, err := p.archive(ctx, c)
	if err != nil {
		return err
	}
	in.Archive = archive
	out, err := delivery.Replay(ctx, in)
	end()
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(out)
	}
	did := "written"
	if cmd.DryRun {
		did = "would be written"
	}
	for _, k := range out.Written {
		c.Print("%s: %s", did, k)
	}
	for _, k := range out.OtherEncoder {
		c.Print("of another build, so the same records and perhaps other bytes: %s", k)
	}
	for _, k := range out.Adopted {
		c.Print("missing, and not made by this installation: %s", k)
	}
	c.Print("%s recorded, %d there, %d %s", quantity(int64(out.Recorded), "file", "files"), out.There, len(out.Written), did)
	return nil
}
