package web

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Profiles is what is kept of the people of workspaces. See room store for errors; every method keeps to the workspace
// that it is given.
type Profiles interface {
	Size(ctx context.Context, workspace uint32, f control.Filter, now time.Time) (int64, error)
	Estimate(ctx context.Context, workspace uint32, f control.Filter, now time.Time) (n int64, exact bool, err error)
	Matching(ctx context.Context, workspace uint32, f control.Filter, now time.Time, after int64, limit int) ([]*control.Person, error)
	SegmentSizes(ctx context.Context, workspace uint32, id control.SegmentID, from, to int32) ([]control.DaySize, error)
	LastSizes(ctx context.Context, workspace uint32) (map[control.SegmentID]control.DaySize, error)
	Numbers
	Names(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.Name, error)

	Whom(ctx context.Context, workspace uint32, ids []control.Identifier) ([]control.Known, error)
	People(ctx context.Context, workspace uint32, ids []control.PersonID) ([]*control.Person, error)
	Done(ctx context.Context, who *control.Person) ([]control.Deed, error)
	Had(ctx context.Context, who *control.Person) ([]control.Had, error)
	Groups(ctx context.Context, who *control.Person) ([]control.GroupWish, error)
}

// profiles gives what is kept of people. Errors: not_found: this installation keeps nothing of them.
func (a *api) profiles() (Profiles, error) {
	if a.deps.Profiles == nil {
		return nil, &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "control.no_profiles", Text: "This installation keeps no user profiles."},
			Hint: fault.Message{Key: "control.no_profiles_hint", Text: "The operator turns the setting profiles on."}}
	}
	return a.deps.Profiles, nil
}
