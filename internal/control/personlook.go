package control

import (
	"context"

	"github.com/millrace/millrace/internal/fault"
)

// FindPerson notes in the log of changes that somebody looks for people of a workspace by identifiers of a kind; it says
// nothing of whom they look for. Nothing may be shown before it gives nil. Errors: forbidden.
func (p *Plane) FindPerson(ctx context.Context, workspace uint32, by string) error {
	return fault.Wrap(p.Store.Note(p.logged(ctx, "person.search", subject{workspace: workspace}, nil, view{"by": by})), "note a search for people")
}

// LookAtPerson does so of one person whose profile is looked at.
func (p *Plane) LookAtPerson(ctx context.Context, workspace uint32, who PersonID) error {
	return fault.Wrap(p.Store.Note(p.logged(ctx, "person.look", subjectPerson(workspace, who), nil, view{})), "note a look at a person")
}

// ErasePerson does so of one person who is to be deleted, and then has them deleted by erase.
func (p *Plane) ErasePerson(ctx context.Context, workspace uint32, who PersonID, erase func() error) error {
	const op = "delete person"
	if err := p.Store.Note(p.logged(ctx, "person.erase", subjectPerson(workspace, who), nil, view{})); err != nil {
		return fault.Wrap(err, op)
	}
	return fault.Wrap(erase(), op)
}

func subjectPerson(workspace uint32, who PersonID) subject {
	return subject{workspace, string(who), string(who)}
}
