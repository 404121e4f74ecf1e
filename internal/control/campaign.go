package control

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/fault"
)

// CampaignLabel is what people say of a campaign or a Canvas. That there is one, events say: see Name.
type CampaignLabel struct {
	Workspace   uint32
	Kind        NameKind // NameCampaign or NameCanvas
	ID          string   // as events have it
	Title       string   // empty: as events call it
	Description string
	Tags        []string
	Archived    bool
	UpdatedAt   time.Time // zero: nobody has said anything
	Rev         int64     // counts the changes
}

// CampaignEdit is what is wanted of a campaign or a Canvas; what is nil stays as it is.
type CampaignEdit struct {
	Title       *string
	Description *string
	Tags        *[]string
	Archived    *bool
	Rev         *int64 // of the version that the change is based on; nil: whichever is there
}

// Apply gives l as e wants it.
func (e CampaignEdit) Apply(l CampaignLabel) CampaignLabel {
	l.Title, l.Description = *orElse(e.Title, l.Title), *orElse(e.Description, l.Description)
	l.Tags, l.Archived = *orElse(e.Tags, l.Tags), *orElse(e.Archived, l.Archived)
	return l
}

// Validate gives every problem of what a person decides. The title's is called name, as in the API.
func (l CampaignLabel) Validate() []fault.Problem {
	var ps []fault.Problem
	if l.Title != "" {
		ps = validatePerson("name", l.Title)
	}
	return append(ps, validateLabel(l.Description, l.Tags)...)
}

// Bounds of what people say of segments, campaigns and Canvases.
const (
	maxDescription = 1000 // characters
	maxTags        = 20
)

// validateLabel gives every problem of a description and tags.
func validateLabel(description string, tags []string) (ps []fault.Problem) {
	if utf8.RuneCountInString(description) > maxDescription {
		ps = append(ps, fault.Field("description", "too_long", "field.description_long", "A description has at most {most} characters.", "most", maxDescription))
	}
	if len(tags) > maxTags {
		ps = append(ps, fault.Field("tags", "too_large", "field.tags_many", "There are at most {most} tags.", "most", maxTags))
	}
	for i, t := range tags[:min(len(tags), maxTags)] {
		if slices.Contains(tags[:i], t) {
			ps = append(ps, fault.Field(index("tags", i), "duplicate", "field.tag_twice", "This tag is named twice."))
			continue
		}
		ps = append(ps, validatePerson(index("tags", i), t)...)
	}
	return ps
}

// UpdateCampaign changes what is said of a campaign or a Canvas, which has to be one, and gives it as it is then; name is
// what events call it. Nothing to change is no error. Errors: invalid with every problem; stale, as AskEdit.
func (p *Plane) UpdateCampaign(ctx context.Context, workspace uint32, kind NameKind, id, name string, e CampaignEdit) (l CampaignLabel, err error) {
	err = p.based(e.Rev, func() error {
		l, err = p.updateCampaign(ctx, workspace, kind, id, name, e)
		return err
	})
	return l, fault.Wrap(err, "update campaign")
}

func (p *Plane) updateCampaign(ctx context.Context, workspace uint32, kind NameKind, id, name string, e CampaignEdit) (CampaignLabel, error) {
	had, err := p.Store.CampaignLabel(ctx, workspace, kind, id)
	if err != nil {
		return had, err
	}
	next := e.Apply(had)
	was, becomes := viewCampaign(had), viewCampaign(next)
	if err := invalid("", next.Validate()); err != nil || fmt.Sprint(was) == fmt.Sprint(becomes) {
		return had, err
	}
	if err := sameRev(e.Rev, had.Rev); err != nil {
		return had, err
	}
	next.UpdatedAt = p.now()
	about := subject{workspace, id, *orElse(nonEmpty(next.Title), name)}
	if kind == NameCanvas {
		ctx = p.logged(ctx, "canvas.update", about, was, becomes)
	} else {
		ctx = p.logged(ctx, "campaign.update", about, was, becomes)
	}
	err = p.Store.SaveCampaignLabel(ctx, next)
	next.Rev++
	return next, err
}

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func viewCampaign(l CampaignLabel) view {
	return view{"name": l.Title, "description": l.Description, "tags": append([]string{}, l.Tags...), "archived": l.Archived}
}
