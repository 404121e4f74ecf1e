package app

import (
	"context"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
)

// rules gives the actions on this plane.
func (p *plane) rules() *control.Plane {
	return &control.Plane{Store: p.store, Check: p.check, Catalogue: p.catalogue, Cluster: p.cfg.Delivery.Cluster, Zone: p.cfg.Delivery.Zone}
}

// check tries a destination's credentials. Errors: invalid for input that was not tried.
func (p *plane) check(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
	in.RoleRetry = p.cfg.AWS.RoleRetry
	return bucket.Check(ctx, p.opener, in)
}

// watched gives the actions on this plane, of which the steps of checks are shown on c as they end.
func (p *plane) watched(c *Console) *control.Plane {
	r := p.rules()
	r.Check = func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
		place := in.Access.Bucket
		if in.Folder != "" {
			place += "/" + in.Folder
		}
		c.Note("checking %s", place)
		in.Progress = c.step
		report, err := p.check(ctx, in)
		for _, n := range report.Notes {
			c.Note("  note     %s", n.Text())
			if text := n.Remedy[bucket.JSON]; text != "" {
				c.Note("%s", indent("Put in place:\n"+text))
			}
		}
		return report, err
	}
	return r
}

// step shows a step of a check.
func (c *Console) step(s bucket.Step) {
	switch s.State {
	case bucket.Trying:
		c.Note("  trying   %s again, for up to %s: %s", s.Action, s.Left.Round(time.Second), s.Finding.Text())
	default:
		c.Note("  %-8s %s", s.State, s.Action)
	}
}

// remedies shows what to add for each right that a report misses.
func (c *Console) remedies(r bucket.Report, f bucket.Format) {
	for _, s := range r.Steps {
		if text := s.Finding.Remedy[f]; text != "" && s.State != bucket.Passed {
			c.Note("\n%s: add\n%s", s.Action, indent(strings.TrimSpace(text)))
		}
	}
}
