package app

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/fault"
)

// Verify compares a connector's bucket with the ledger, and the ledger with the log.
type Verify struct {
	Connector string `required:"" placeholder:"[WORKSPACE/]NAME" help:"Whose files."`
	Fast      bool   `help:"Do not read the files: compare keys and sizes only."`
	JSON      bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (Verify) Help() string {
	return `Three things are compared. The bucket with the ledger: every recorded file is there, is as long as recorded, says of itself what the ledger says, holds as many events; nothing else lies among them. The ledger with itself: no two files cover the same events. The log with the ledger, as far back as the log still goes: every event that the connector selected is in a file, or listed as dropped.

Files that the customer took away are listed apart: that is their right. The exit code is 1 on any other difference, and 4 if nothing could be looked at: the credentials of a connector that is deleted are erased. So are those of a bucket or folder that it has left: what is there is counted apart. It can be run while the server runs, and again after an alarm.`
}

// verdict is what Verify found.
type verdict struct {
	Connector string `json:"connector"`
	delivery.Verdict
}

// Run compares.
func (cmd Verify) Run(ctx context.Context, c *Console, s Settings) error {
	p, _, conn, err := openConnector(ctx, s, cmd.Connector)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	archive, end, err := p.archive(ctx, c)
	if err != nil {
		return err
	}
	found, err := delivery.Verify(ctx, delivery.VerifyInput{Archive: archive, Connector: conn, Fast: cmd.Fast})
	end()
	if err != nil {
		return err
	}
	// A lane of the past may be closed for good, which is no error once the log has forgotten what it delivered.
	_, closed := p.store.Access(ctx, control.Lane{Connector: conn.Connector, Destination: conn.Destination.Number})
	if closed != nil && !fault.Is(closed, fault.Forbidden) {
		return closed
	}
	v := verdict{cmd.Connector, found}
	if cmd.JSON {
		if err := c.JSON(v); err != nil {
			return err
		}
	} else {
		v.print(c)
	}
	if len(v.Wrong) > 0 {
		return errDiffers{"verify found " + quantity(int64(len(v.Wrong)), "difference", "differences")}
	}
	if closed == nil && v.Unseen > 0 && v.Compared == 0 {
		return fault.New(fault.Forbidden, "verify", "nothing of %s was compared: %s in a bucket that it has left, whose credentials are erased",
			cmd.Connector, quantity(v.Unseen, "event is", "events are")).
			WithHint("The ledger has what was delivered there: millrace ledger --connector %s --files. This ends once the log has forgotten those events.", cmd.Connector)
	}
	if closed != nil {
		e := fault.New(fault.Forbidden, "verify", "the bucket of %s was not compared: its credentials are erased", cmd.Connector)
		if conn.Deleted {
			return e.WithHint("They are erased with a connector that is deleted. What it delivered stands in its ledger: millrace ledger --connector %s --files", conn.Connector)
		}
		return e.WithHint("Give it credentials again: millrace apply.")
	}
	return nil
}

func (v *verdict) print(c *Console) {
	if v.Files > 0 || len(v.Unreadable) == 0 {
		c.Print("%s, %s, %s", quantity(v.Files, "file", "files"), quantity(v.Events, "event", "events"), size(v.Bytes))
	}
	if v.LogFrom != nil && (v.Compared > 0 || v.Unseen == 0) {
		c.Print("%s compared with the log, which goes back to %s", quantity(v.Compared, "event", "events"), v.LogFrom.Format(time.RFC3339))
	}
	if v.Dropped > 0 {
		c.Print("%s listed as dropped; see millrace ledger", quantity(v.Dropped, "event is", "events are"))
	}
	if v.Repeated > 0 {
		c.Print("%s there more than once: producers sent these events again, and not under one Idempotency-Key", quantity(v.Repeated, "event id is", "event ids are"))
	}
	for _, k := range v.TakenAway {
		c.Print("taken away: %s", k)
	}
	for _, d := range v.Unreadable {
		c.Print("not looked at: %s", d)
	}
	if v.Unseen > 0 {
		c.Print("not compared: %s of the log, delivered there by what the ledger says", quantity(v.Unseen, "event", "events"))
	}
	for _, f := range v.Uncompared {
		c.Print("not compared with the log: %s", f)
	}
	for _, d := range v.Wrong {
		c.Print("%s: %s %s", d.Kind, d.Key, d.Detail)
	}
	switch {
	case len(v.Wrong) > 0:
	case len(v.Unreadable) == 0:
		c.Print("no difference")
	case v.Files > 0:
		c.Print("no difference in what was looked at")
	}
}
