package control

import (
	"context"

	"github.com/millrace/millrace/internal/fault"
)

// LookIntoFile gives what opens the bucket that a file of a workspace's ledger lies in, for whoever reads events there:
// they hold personal data. That they looked stands in the log of changes.
//
// Errors: not_found, also if the connector belongs to another workspace; forbidden if nothing is stored any more that opens
// the bucket.
func (p *Plane) LookIntoFile(ctx context.Context, workspace uint32, f File) (Access, error) {
	const op = "look into file"
	c, err := p.Store.Connector(ctx, workspace, f.Lane.Connector)
	if err != nil {
		return Access{}, fault.Wrap(err, op)
	}
	a, err := p.Store.LoggedAccess(p.logged(ctx, "connector.look", subjectConnector(c), nil, view{"file": f.Key}), f.Lane)
	return a, fault.Wrap(err, op)
}
