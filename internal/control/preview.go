package control

import (
	"context"
	"encoding/json"

	"github.com/millrace/millrace/internal/fault"
)

// Preview is what a change of a connector would come to.
type Preview struct {
	// Before and After are JSON objects with the fields that would differ, named as in the log of changes; secrets are
	// redacted. Without a difference both are empty objects.
	Before, After json.RawMessage
	Check         bool // it would be made once a check of the credentials has passed
}

// Preview says what AskEdit would do, and does nothing. Errors: as AskEdit, whatever the version.
func (p *Plane) Preview(ctx context.Context, workspace uint32, id ConnectorID, e Edit) (out Preview, err error) {
	pl, err := p.planEdit(ctx, workspace, id, e, nil)
	if err != nil {
		return out, fault.Wrap(err, "preview change of connector")
	}
	out.Before, out.After = differences(viewConnector(*pl.had), viewConnector(pl.next), pl.secrets...)
	out.Check = pl.check
	return out, nil
}
