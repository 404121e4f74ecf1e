package web

import (
	"context"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Profiles is what is kept of the people of workspaces. See room store for errors; every method keeps to the workspace
// that it is given.
type Profiles interface {
	Size(ctx context.Context, workspace uint32, f control.Filter, now time.Time) (int64, error)
	Estimate(ctx context.Context, workspace uint32, f control.Filter, now time.Time) (n int64, exact bool, err error)
	Matching(ctx context.Context, workspace uint32, f control.Filter, now time.Time, after int64, limit int) ([]*control.Person, error)
	Holds(ctx context.Context, who *control.Person, f control.Filter, now time.Time) (bool, error)
	SegmentSizes(ctx context.Context, workspace uint32, id control.SegmentID, from, to int32) ([]control.DaySize, error)
	LastSizes(ctx context.Context, workspace uint32) (map[control.SegmentID]control.DaySize, error)
	Numbers
	Names(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.Name, error)
	SetAside(ctx context.Context, workspace uint32, limit int) ([]control.SetAside, error)
	AllSetAside(ctx context.Context, limit int) ([]control.SetAside, error)
	SetAsideCounts(ctx context.Context) (map[uint32]int64, error)

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

// profileLag says how far profiles are behind; nil if this process does not keep them up.
func (a *api) profileLag() *client.ProfileLag {
	if lag, known := a.deps.ProfileLag(); known {
		return &lag
	}
	return nil
}

// maxSetAside is how much of what was set aside is listed.
const maxSetAside = 100

// listSetAside is workspace-scoped; what has no workspace may have been of any.
func (a *api) listSetAside(c *call, _ struct{}) (client.SetAsides, error) {
	p, err := a.profiles()
	if err != nil {
		return client.SetAsides{}, err
	}
	rows, err := p.SetAside(c, c.workspace.Number, maxSetAside)
	if err != nil {
		return client.SetAsides{}, err
	}
	counts, err := p.SetAsideCounts(c)
	return showSetAside(rows, counts[c.workspace.Number]+counts[0]), err
}

func (a *api) listInstallationSetAside(c *call, _ struct{}) (client.SetAsides, error) {
	p, err := a.profiles()
	if err != nil {
		return client.SetAsides{}, err
	}
	rows, err := p.AllSetAside(c, maxSetAside)
	if err != nil {
		return client.SetAsides{}, err
	}
	counts, err := p.SetAsideCounts(c)
	var total int64
	for _, n := range counts {
		total += n
	}
	return showSetAside(rows, total), err
}

func showSetAside(rows []control.SetAside, total int64) client.SetAsides {
	out := client.SetAsides{Items: []client.SetAside{}, Total: total}
	for _, x := range rows {
		item := client.SetAside{At: x.At, Offset: int64(x.Offset), EventType: x.EventType, Reason: x.Reason}
		if x.Workspace != 0 {
			item.Workspace = workspaceID(x.Workspace)
		}
		out.Items = append(out.Items, item)
	}
	return out
}
