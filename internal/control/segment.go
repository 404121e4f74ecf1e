package control

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// SegmentID names a segment: a UUID, as the vendor's calls have it.
type SegmentID string

// Segment is a filter that was saved: the people whom it holds at the moment when somebody asks.
type Segment struct {
	ID          SegmentID
	Workspace   uint32
	Name        string // one segment's in its workspace
	Description string
	Tags        []string
	Filter      Filter
	Analytics   bool // its size is kept each day
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Rev         int64 // counts the changes
}

// SegmentEdit is what is wanted of a segment; what is nil stays as it is.
type SegmentEdit struct {
	Name        *string
	Description *string
	Tags        *[]string
	Filter      *Filter
	Analytics   *bool
	Rev         *int64 // of the version that the change is based on; nil: whichever is there
}

// Validate gives every problem of what a person decides about a segment.
func (s Segment) Validate() []fault.Problem {
	ps := validatePerson("name", s.Name)
	ps = append(ps, validateLabel(s.Description, s.Tags)...)
	return append(ps, s.Filter.Validate("filter")...)
}

// LookAtFilter says whether who asks may have people counted by a filter that is not saved. Errors: invalid with every problem;
// forbidden if it identifies people, see Filter.Identifies, and they may not export user data.
func (p *Plane) LookAtFilter(ctx context.Context, workspace uint32, f Filter) error {
	if err := invalid("", f.Validate("filter")); err != nil {
		return err
	}
	_, err := f.lettingOut(ctx, workspace)
	return err
}

// CreateSegment makes a segment, and gives it as it is then. Errors: invalid with every problem; forbidden as LookAtFilter, for
// everybody sees how many a segment holds; conflict if the workspace has one of that name.
func (p *Plane) CreateSegment(ctx context.Context, workspace uint32, e SegmentEdit) (Segment, error) {
	const op = "create segment"
	now := p.now()
	s := e.apply(Segment{ID: SegmentID(event.AppendUUID(nil, now)), Workspace: workspace, CreatedAt: now, UpdatedAt: now})
	if err := invalid(op, s.Validate()); err != nil {
		return s, err
	}
	ctx, err := s.Filter.lettingOut(ctx, workspace)
	if err != nil {
		return s, fault.Wrap(err, op)
	}
	err = p.Store.CreateSegment(p.logged(ctx, "segment.create", subjectSegment(s), nil, viewSegment(s)), s)
	return s, fault.Wrap(segmentTaken(err, s.Name), op)
}

// UpdateSegment changes a segment as e wants it, and gives it as it is then; nothing to change is no error. Errors:
// not_found; as CreateSegment; stale, as AskEdit.
func (p *Plane) UpdateSegment(ctx context.Context, workspace uint32, id SegmentID, e SegmentEdit) (s Segment, err error) {
	err = p.based(e.Rev, func() error {
		s, err = p.updateSegment(ctx, workspace, id, e)
		return err
	})
	return s, fault.Wrap(err, "update segment")
}

func (p *Plane) updateSegment(ctx context.Context, workspace uint32, id SegmentID, e SegmentEdit) (Segment, error) {
	had, err := p.Store.Segment(ctx, workspace, id)
	if err != nil {
		return had, err
	}
	e = e.unmasked(had)
	next := e.apply(had)
	if err := invalid("", next.Validate()); err != nil {
		return had, err
	}
	if e.Filter != nil { // also if it stays: else who guesses a value would learn that it is right
		if ctx, err = next.Filter.lettingOut(ctx, workspace); err != nil {
			return had, err
		}
	}
	refilters := !had.Filter.equal(next.Filter)
	was, becomes := viewSegment(had), viewSegment(next)
	if !refilters && fmt.Sprint(was) == fmt.Sprint(becomes) {
		return had, nil
	}
	if err := sameRev(e.Rev, had.Rev); err != nil {
		return had, err
	}
	var unsaid []string
	if refilters && was["filter"] == becomes["filter"] {
		unsaid = []string{"filter"}
	}
	next.UpdatedAt = p.now()
	err = p.Store.UpdateSegment(p.logged(ctx, "segment.update", subjectSegment(next), was, becomes, unsaid...), next)
	next.Rev++
	return next, segmentTaken(err, next.Name)
}

// DeleteSegment removes a segment; the people whom it held stay. Errors: not_found.
func (p *Plane) DeleteSegment(ctx context.Context, workspace uint32, id SegmentID) error {
	const op = "delete segment"
	s, err := p.Store.Segment(ctx, workspace, id)
	if err != nil {
		return fault.Wrap(err, op)
	}
	return fault.Wrap(p.Store.DeleteSegment(p.logged(ctx, "segment.delete", subjectSegment(s), viewSegment(s), nil), workspace, id), op)
}

// LookAtSegment gives every problem of a segment that would be made.
func (p *Plane) LookAtSegment(e SegmentEdit) error { return invalid("", e.apply(Segment{}).Validate()) }

// LookAtSegmentEdit gives every problem of a segment as e would change it. Errors: not_found.
func (p *Plane) LookAtSegmentEdit(ctx context.Context, workspace uint32, id SegmentID, e SegmentEdit) error {
	had, err := p.Store.Segment(ctx, workspace, id)
	if err != nil {
		return err
	}
	return invalid("", e.unmasked(had).apply(had).Validate())
}

// LookAtPeople writes down that somebody is going to look at people whom a filter holds: a segment's, or one that is not
// saved.
func (p *Plane) LookAtPeople(ctx context.Context, s Segment) error {
	return fault.Wrap(p.Store.Note(p.logged(ctx, "segment.look", subjectSegment(s), nil, view{"filter": string(s.Filter.Masked().Encode())})), "look at people of a segment")
}

// unmasked gives e without a filter that is the one of had masked: what comes back so stays as it is, whoever sends it. Who was
// shown it may have another right by now, or hand it to somebody who has.
func (e SegmentEdit) unmasked(had Segment) SegmentEdit {
	if hides := had.Filter.Masked(); e.Filter != nil && e.Filter.equal(hides) && !hides.equal(had.Filter) {
		e.Filter = nil
	}
	return e
}

func (e SegmentEdit) apply(s Segment) Segment {
	s.Name, s.Description, s.Tags = *orElse(e.Name, s.Name), *orElse(e.Description, s.Description), *orElse(e.Tags, s.Tags)
	s.Filter, s.Analytics = *orElse(e.Filter, s.Filter), *orElse(e.Analytics, s.Analytics)
	return s
}

// segmentTaken says of a conflict which name it is about.
func segmentTaken(err error, name string) error {
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	return (&fault.Error{Code: fault.Conflict, Params: fault.Params{"name": name}, Cause: err,
		Msg: fault.Message{Key: "control.segment_taken", Text: `The workspace has a segment "{name}" already.`}}).At("name", "duplicate")
}

func subjectSegment(s Segment) subject { return subject{s.Workspace, string(s.ID), s.Name} }

func viewSegment(s Segment) view {
	return view{"name": s.Name, "description": s.Description, "tags": append([]string{}, s.Tags...), "filter": string(s.Filter.Masked().Encode()), "analytics": s.Analytics}
}
