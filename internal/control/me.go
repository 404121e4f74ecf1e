package control

import (
	"context"
	"slices"
	"time"
	_ "time/tzdata" // the same zones on every machine

	"github.com/millrace/millrace/internal/fault"
)

// Validate gives every problem of what a member decides about themselves.
func (m Member) Validate() []fault.Problem {
	ps := append(validatePerson("name", m.Name), validateLanguage("language", m.Language)...)
	ps = append(ps, validateZone("time_zone", m.TimeZone)...)
	if !slices.Contains([]Mail{MailOwn, MailUrgent, MailAll}, m.Mail) {
		ps = append(ps, oneOf("mail", string(m.Mail), string(MailUrgent), string(MailAll)))
	}
	return ps
}

// validateZone gives the problem of a time zone, if it has one; empty is UTC.
func validateZone(field, zone string) []fault.Problem {
	if _, err := time.LoadLocation(zone); err == nil && zone != "Local" {
		return nil
	}
	return []fault.Problem{fault.Field(field, "unknown_value", "field.time_zone", "This is not a time zone such as Europe/Madrid or America/Sao_Paulo.")}
}

func validateLanguage(field, language string) []fault.Problem {
	if language == "" || slices.Contains(Languages(), language) {
		return nil
	}
	return []fault.Problem{oneOf(field, language, Languages()...)}
}

// Me gives the member who asks. Errors: unauthorized.
func (p *People) Me(ctx context.Context) (Member, error) {
	const op = "find yourself"
	_, a, err := need(ctx, RightSignedIn, 0)
	if err != nil {
		return Member{}, fault.Wrap(err, op)
	}
	m, err := p.cfg.Store.Member(ctx, a.Member)
	return m, fault.Wrap(err, op)
}

// MeEdit is what members want of themselves. Fields that are nil stay as they are.
type MeEdit struct {
	Name     *string
	Language *string // one of Languages; empty: as the browser asks
	TimeZone *string // IANA name; empty: UTC
	Mail     *Mail
	Rev      *int64 // of the member that it was thought through on; nil: whatever it is now
}

// UpdateMe changes what members decide about themselves. Errors: unauthorized; forbidden with a token that only reads;
// invalid with every problem; stale.
func (p *People) UpdateMe(ctx context.Context, e MeEdit) (Member, error) {
	const op = "change yourself"
	had, err := p.Me(ctx)
	if err == nil && ActorOf(ctx).ReadOnly {
		err = fault.New(fault.Forbidden, "", "the token only reads")
	}
	if err != nil {
		return Member{}, fault.Wrap(err, op)
	}
	next := had
	next.Name, next.Language, next.TimeZone, next.Mail = *orElse(e.Name, had.Name), *orElse(e.Language, had.Language), *orElse(e.TimeZone, had.TimeZone), *orElse(e.Mail, had.Mail)
	if err := invalid(op, next.Validate()); err != nil {
		return Member{}, err
	}
	if next == had {
		return had, nil
	}
	if err := sameRev(e.Rev, had.Rev); err != nil {
		return Member{}, fault.Wrap(err, op)
	}
	ctx = p.logged(ctx, "member.edit", subject{0, string(had.ID), had.Email}, viewMember(had), viewMember(next))
	if err := p.cfg.Store.UpdateMember(ctx, next); err != nil {
		return Member{}, fault.Wrap(err, op)
	}
	next.Rev++
	return next, nil
}
