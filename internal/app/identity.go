package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

const acceptHint = "If that is what you meant, run `millrace log accept`: what was not delivered is then listed as lost in the ledger, and work goes on. Otherwise put the right folder back."

// claim makes the log in the data folder the one that the database knows, if checkIdentity agrees. The caller holds the
// lease: until then somebody else may be at work with another log.
func (p *plane) claim(ctx context.Context, log delivery.Source) error {
	if err := p.checkIdentity(ctx, log); err != nil {
		return err
	}
	return p.store.SetCurrentLog(ctx, log.ID())
}

// checkIdentity makes sure that the log in the data folder is the one that positions and ledger speak of, and that
// it was not set back. The first log that a database meets will do, and so will another one for which nobody waits.
//
// Errors: conflict, with the way out as its hint.
func (p *plane) checkIdentity(ctx context.Context, log delivery.Source) error {
	current, known, err := p.store.CurrentLog(ctx)
	if err != nil || !known {
		return err
	}
	if current != log.ID() {
		waiting, err := p.store.LanesOutside(ctx, log.ID())
		if err != nil || waiting == 0 {
			return err
		}
		return fault.New(fault.Conflict, "open the log",
			"the log in %s is %s, but %s in another one, %s", p.cfg.DataDir, log.ID(),
			quantity(int64(waiting), "connector has its position", "connectors have their positions"), current).WithHint(acceptHint)
	}
	least, err := p.store.MaxLoggedOffset(ctx, current)
	if err != nil {
		return err
	}
	if _, head := log.Bounds(); head < least {
		return fault.New(fault.Conflict, "open the log",
			"the log in %s was set back: it ends at offset %d, and positions or ledger speak of offset %d", p.cfg.DataDir, head, least-1).WithHint(acceptHint)
	}
	return nil
}

// recordSchemas keeps what stands under each schema id: files and log speak of schemas by their ids alone.
//
// Errors: conflict if a schema file of the operator's was changed under its id, or is gone while log may hold events
// of it that a connector has not come past: nobody could read them.
func (p *plane) recordSchemas(ctx context.Context, log delivery.Source) error {
	if err := p.missSchemas(ctx, log); err != nil {
		return err
	}
	var prints []control.SchemaPrint
	for _, s := range p.catalogue.Schemas() {
		prints = append(prints, control.SchemaPrint{ID: uint32(s.ID), Type: s.Type.Name, Fingerprint: s.Fingerprint()})
	}
	return p.store.RecordSchemas(ctx, prints)
}

func (p *plane) missSchemas(ctx context.Context, log delivery.Source) error {
	known, err := p.store.Schemas(ctx)
	if err != nil {
		return err
	}
	var gone []string
	for _, s := range known {
		if _, ok := p.catalogue.Schema(event.SchemaID(s.ID)); !ok {
			gone = append(gone, fmt.Sprintf("%d of %s", s.ID, s.Type))
		}
	}
	if len(gone) == 0 {
		return nil
	}
	lanes, err := p.store.Lanes(ctx)
	if err != nil {
		return err
	}
	_, head := log.Bounds()
	for _, l := range lanes {
		pos, err := p.store.Position(ctx, l.Lane)
		if err != nil {
			return err
		}
		if pos.Cursor < head {
			return fault.New(fault.Conflict, "read the schemas", "schema %s: its file is gone, and connector %s/%s may have undelivered events of it",
				strings.Join(gone, ", "), l.WorkspaceName, l.Name).
				WithHint("Put the file back into MILLRACE_SCHEMA_DIR. It may go once every connector has come past everything in the log; then replay and verify still need it for what lies there.")
		}
	}
	return nil
}
