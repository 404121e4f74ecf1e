package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/export"
	"github.com/millrace/millrace/internal/fault"
)

// rules gives the actions on this plane.
func (p *plane) rules() *control.Plane {
	return &control.Plane{Store: p.store, Check: p.check, MayConnect: p.guard.Check, CheckExport: export.Check, Catalogue: p.catalogue, Cluster: p.cfg.Delivery.Cluster, Zone: p.cfg.Delivery.Zone}
}

// check tries a destination's credentials. Errors: invalid for input that was not tried.
func (p *plane) check(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
	in.RoleRetry = p.cfg.AWS.RoleRetry
	return bucket.Check(ctx, p.opener, in)
}

// watched gives the actions on this plane, of which the steps of checks are shown on c as they end. end is called when
// nothing is checked any more.
func (p *plane) watched(c *Console) (rules *control.Plane, end func()) {
	show, end := c.checks()
	return p.rules().Watched(show), end
}

// checks shows the checks of one job: of each the steps as they end, and then its notes. show is given all that is known,
// again and again, and shows what is new; end takes away what is drawn.
func (c *Console) checks() (show func(control.JobProgress), end func()) {
	step, clear := c.steps()
	begun, steps, notes := 0, 0, 0 // shown: checks, and what the last of them has
	return func(at control.JobProgress) {
		for i := max(begun-1, 0); i < len(at.Checks); i++ {
			x := at.Checks[i]
			if i == begun {
				clear()
				place := x.Bucket
				if x.Folder != "" {
					place += "/" + x.Folder
				}
				c.Note("checking %s", place)
				begun, steps, notes = i+1, 0, 0
				step, clear = c.steps()
			}
			for _, s := range x.Steps[min(steps, len(x.Steps)):] {
				if s.State == bucket.Trying { // its end takes its place
					s.Left = time.Duration(x.Left * float64(time.Second))
				} else {
					steps++
				}
				step(s)
			}
			for _, n := range x.Notes[min(notes, len(x.Notes)):] {
				clear()
				notes++
				c.Note("  note     %s", n.Text())
				if text := n.Remedy[bucket.JSON]; text != "" {
					c.Note("%s", indent("Put in place:\n"+text))
				}
			}
		}
	}, func() { clear() }
}

// steps shows the steps of one check. That one is tried again is said once with its reason; then how long it goes on is
// drawn where a person looks. end takes the drawing away.
func (c *Console) steps() (show func(bucket.Step), end func()) {
	said, drawn := "", false
	end = func() {
		if drawn {
			fmt.Fprint(c.Err, "\r\x1b[K")
		}
		drawn = false
	}
	return func(s bucket.Step) {
		left := s.Left.Round(time.Second)
		switch why := s.Action + ": " + s.Finding.Text(); {
		case s.State != bucket.Trying:
			end()
			c.Note("  %-8s %s", s.State, s.Action)
		case why != said:
			end()
			said = why
			c.Note("  trying   %s again, for up to %s: %s", s.Action, left, s.Finding.Text())
		case c.Terminal:
			drawn = true
			fmt.Fprintf(c.Err, "\r\x1b[K  trying   %s again, for up to %s", s.Action, left)
		}
	}, end
}

// remedies shows what to add for each right that a report misses.
func (c *Console) remedies(r bucket.Report, f bucket.Format) {
	for _, s := range r.Steps {
		if text := s.Finding.Remedy[f]; text != "" && s.State != bucket.Passed {
			c.Note("\n%s: add\n%s", s.Action, indent(strings.TrimSpace(text)))
		}
	}
}

// unlessShown takes the statements out of err, a check's, that remedies shows.
func unlessShown(err error, r bucket.Report, f bucket.Format) error {
	e := fault.As(err)
	if e == nil {
		return err
	}
	shorter := *e
	shorter.Fields = slices.Clone(e.Fields)
	for i, p := range shorter.Fields {
		for _, s := range r.Steps {
			if s.Action == p.Field && s.Statement != "" && s.Finding.Remedy[f] != "" {
				shorter.Fields[i].Message = strings.TrimSuffix(p.Message, " "+s.Statement)
			}
		}
	}
	return &shorter
}
