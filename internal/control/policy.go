package control

import (
	"cmp"
	"context"

	"github.com/millrace/millrace/internal/bucket"
)

// ExternalIDs gives what the role of a policy asks for: the external id of what in is for, of which a policy for both has
// two. Errors: not_found if there is no such workspace.
func (p *Plane) ExternalIDs(ctx context.Context, workspace uint32, in bucket.PolicyInput) (ids []string, err error) {
	use := in.Kind
	if use == bucket.Trust {
		use = cmp.Or(in.For, bucket.Currents)
	}
	integrations := []Integration{Integration(use)}
	if use == bucket.Both {
		integrations = []Integration{IntegrationCurrents, IntegrationExports}
	}
	for _, i := range integrations {
		id, err := p.Store.ExternalID(ctx, workspace, i)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
