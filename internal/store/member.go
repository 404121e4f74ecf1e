package store

import (
	"bytes"
	"context"
	"database/sql"
	"slices"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

var _ control.PeopleStore = (*Store)(nil)

const memberColumns = `m.id, m.email, m.name, m.language, m.time_zone, m.mail, m.installation, m.password <> '', m.totp IS NOT NULL,
	m.created_at, m.seen_at, m.rev`

// scanMember scans memberColumns, and into more what the query gives behind them.
func scanMember(r scanner, more ...any) (m control.Member, err error) {
	var created int64
	var seen sql.NullInt64
	err = r.Scan(append([]any{&m.ID, &m.Email, &m.Name, &m.Language, &m.TimeZone, &m.Mail, &m.Installation, &m.Password, &m.TwoFactor,
		&created, &seen, &m.Rev}, more...)...)
	m.CreatedAt, m.SeenAt = fromMillis(created), fromOptMillis(seen)
	return m, err
}

func (c conn) members(rest string, args ...any) ([]control.Member, error) {
	return list(c, func(r scanner) (control.Member, error) { return scanMember(r) }, "SELECT "+memberColumns+" FROM members m "+rest, args...)
}

func (c conn) member(rest string, args ...any) (control.Member, error) {
	ms, err := c.members(rest, args...)
	if err == nil && len(ms) == 0 {
		err = fault.New(fault.NotFound, "", "there is no such member")
	}
	if err != nil {
		return control.Member{}, c.s.fail(err, "find member")
	}
	return ms[0], nil
}

// Member gives one member. Errors: not_found.
func (s *Store) Member(ctx context.Context, id control.MemberID) (control.Member, error) {
	return s.reader(ctx).member("WHERE m.id = ?", string(id))
}

// MemberByEmail gives the member with that address, in lower case. Errors: not_found.
func (s *Store) MemberByEmail(ctx context.Context, email string) (control.Member, error) {
	return s.reader(ctx).member("WHERE m.email = ?", email)
}

// MemberByIdentity gives the member whom a provider names so. Errors: not_found.
func (s *Store) MemberByIdentity(ctx context.Context, i control.Identity) (control.Member, error) {
	return s.reader(ctx).member("JOIN identities i ON i.member = m.id WHERE i.issuer = ? AND i.subject = ?", i.Issuer, i.Subject)
}

// Members gives all members of the installation by e-mail.
func (s *Store) Members(ctx context.Context) ([]control.Member, error) {
	ms, err := s.reader(ctx).members("ORDER BY m.email")
	return ms, s.fail(err, "list members")
}

// CreateMember makes a member with Rev 1, and a membership if seat is not nil. Errors: conflict if the address is
// taken; not_found if there is no such workspace.
func (s *Store) CreateMember(ctx context.Context, m control.Member, l control.Lock, seat *control.Membership) error {
	return s.inTx(ctx, "create member", func(c conn) error {
		if err := c.insertMember(m); err != nil {
			return err
		}
		if err := c.writeLock(m.ID, l); err != nil {
			return err
		}
		if seat == nil {
			return nil
		}
		return c.setSeat(control.SeatChange{Next: *seat})
	})
}

// insertMember adds a member whom nothing signs in yet.
func (c conn) insertMember(m control.Member) error {
	if _, err := c.exec(`INSERT INTO members (id, email, name, language, time_zone, mail, installation, password, totp_step, created_at, seen_at, rev)
		VALUES (?, ?, ?, ?, ?, ?, ?, '', 0, ?, ?, 1)`,
		string(m.ID), m.Email, m.Name, m.Language, m.TimeZone, string(m.Mail), m.Installation, millis(m.CreatedAt), optMillis(m.SeenAt)); err != nil {
		return err
	}
	return c.endFirst(m)
}

// UpdateMember writes address, name, language, time zone and mails of a member, and whether they are an installation
// administrator, and counts Rev up. Errors: not_found; stale (Rev); conflict if the address is taken, or if the
// installation would be left without an administrator.
func (s *Store) UpdateMember(ctx context.Context, m control.Member) error {
	return s.inTx(ctx, "update member", func(c conn) error { return c.updateMember(m) })
}

func (c conn) updateMember(m control.Member) error {
	had, err := c.member("WHERE m.id = ?", string(m.ID))
	if err != nil {
		return err
	}
	if had.Rev != m.Rev {
		return errChanged()
	}
	if !m.Installation {
		if err := c.keepInstallationAdministrator(had); err != nil {
			return err
		}
	}
	if _, err := c.exec("UPDATE members SET email = ?, name = ?, language = ?, time_zone = ?, mail = ?, installation = ?, rev = rev + 1 WHERE id = ?",
		m.Email, m.Name, m.Language, m.TimeZone, string(m.Mail), m.Installation, string(m.ID)); err != nil {
		return err
	}
	if err := c.endVoid(m.ID); err != nil {
		return err
	}
	return c.endFirst(m)
}

// endFirst lets no link make a first installation administrator once there is one.
func (c conn) endFirst(m control.Member) error {
	if !m.Installation {
		return nil
	}
	_, err := c.exec("DELETE FROM tickets WHERE kind = ?", string(control.TicketFirst))
	return err
}

// keepInstallationAdministrator refuses if the installation would have no administrator without had.
func (c conn) keepInstallationAdministrator(had control.Member) error {
	var others int
	err := c.one("SELECT COUNT(*) FROM members WHERE installation = 1 AND id <> ?", []any{string(had.ID)}, &others)
	if err == nil && had.Installation && others == 0 {
		err = &fault.Error{Code: fault.Conflict,
			Msg:  fault.Message{Key: "control.last_installation_administrator", Text: "This is the last installation administrator."},
			Hint: fault.Message{Key: "control.last_administrator_hint", Text: "Make somebody else an administrator first."}}
	}
	return err
}

// DeleteMember takes a member away with seats, sessions, tokens, identities, tickets, and open invitations that are to
// their address or of their making. Errors: not_found; conflict if it is the last installation administrator.
func (s *Store) DeleteMember(ctx context.Context, id control.MemberID) error {
	return s.inTx(ctx, "delete member", func(c conn) error {
		had, err := c.member("WHERE m.id = ?", string(id))
		if err != nil {
			return err
		}
		if err := c.keepInstallationAdministrator(had); err != nil {
			return err
		}
		if _, err := c.exec("DELETE FROM tickets WHERE member = ? OR email = ?", string(id), had.Email); err != nil {
			return err
		}
		if err := must(c.exec("DELETE FROM members WHERE id = ?", string(id))); err != nil { // the rest refers to it and goes too
			return err
		}
		return c.endVoid(id)
	})
}

// sealTOTP and sealPending bind sealed TOTP secrets to their member.
func sealTOTP(id control.MemberID) string    { return "TOTP of member " + string(id) }
func sealPending(id control.MemberID) string { return "unconfirmed TOTP of member " + string(id) }

// sealOptional seals v; nil if it is empty.
func (s *Store) sealOptional(v secret.Value, context string) ([]byte, error) {
	if v.Empty() {
		return nil, nil
	}
	return s.ring.Seal(v, context)
}

// openOptional opens what sealOptional gave.
func (s *Store) openOptional(sealed []byte, context string) (secret.Value, error) {
	if sealed == nil {
		return secret.Value{}, nil
	}
	return s.ring.Open(sealed, context)
}

// Lock gives what signs a member in. Errors: not_found.
func (s *Store) Lock(ctx context.Context, id control.MemberID) (l control.Lock, err error) {
	return l, s.snapshot(ctx, "find what signs a member in", func(c conn) error {
		l, err = c.lock(id)
		return err
	})
}

func (c conn) lock(id control.MemberID) (l control.Lock, err error) {
	var password string
	var totp, pending []byte
	if err = c.one("SELECT password, totp, totp_pending, totp_step FROM members WHERE id = ?", []any{string(id)},
		&password, &totp, &pending, &l.LastStep); err != nil {
		return l, err
	}
	l.Password = secret.New(password)
	if l.TOTP, err = c.s.openOptional(totp, sealTOTP(id)); err != nil {
		return l, err
	}
	if l.Pending, err = c.s.openOptional(pending, sealPending(id)); err != nil {
		return l, err
	}
	l.Recovery, err = list(c, func(r scanner) (h control.RecoveryHash, err error) {
		var b []byte
		err = r.Scan(&b)
		copy(h[:], b)
		return h, err
	}, "SELECT hash FROM recovery_codes WHERE member = ? ORDER BY hash", string(id))
	return l, err
}

// SetLock changes what signs a member in from was to next; ends all sessions but keep's if endSessions. Errors: not_found; stale if it is not was any more.
func (s *Store) SetLock(ctx context.Context, id control.MemberID, was, next control.Lock, endSessions bool, keep control.SessionID) error {
	return s.inTx(ctx, "change what signs a member in", func(c conn) error {
		if err := c.setLock(id, control.LockChange{Was: was, Next: next}); err != nil || !endSessions {
			return err
		}
		return c.endSessions(id, keep)
	})
}

// setLock makes a lock what v says. Errors: not_found; stale.
func (c conn) setLock(id control.MemberID, v control.LockChange) error {
	had, err := c.lock(id)
	if err != nil {
		return err
	}
	if !sameLock(had, v.Was) {
		return errChanged()
	}
	return c.writeLock(id, v.Next)
}

func sameLock(a, b control.Lock) bool {
	return a.Password == b.Password && a.TOTP == b.TOTP && a.Pending == b.Pending && a.LastStep == b.LastStep &&
		slices.Equal(sorted(a.Recovery), sorted(b.Recovery))
}

func sorted(codes []control.RecoveryHash) []control.RecoveryHash {
	return slices.SortedFunc(slices.Values(codes), func(a, b control.RecoveryHash) int { return bytes.Compare(a[:], b[:]) })
}

// writeLock makes a lock l, whatever it was.
func (c conn) writeLock(id control.MemberID, l control.Lock) error {
	totp, err := c.s.sealOptional(l.TOTP, sealTOTP(id))
	if err != nil {
		return err
	}
	pending, err := c.s.sealOptional(l.Pending, sealPending(id))
	if err != nil {
		return err
	}
	if err := must(c.exec("UPDATE members SET password = ?, totp = ?, totp_pending = ?, totp_step = ? WHERE id = ?",
		l.Password.Reveal(), totp, pending, l.LastStep, string(id))); err != nil {
		return err
	}
	if _, err := c.exec("DELETE FROM recovery_codes WHERE member = ?", string(id)); err != nil {
		return err
	}
	for _, h := range l.Recovery {
		if _, err := c.exec("INSERT INTO recovery_codes (member, hash) VALUES (?, ?)", string(id), h[:]); err != nil {
			return err
		}
	}
	return nil
}

// LinkIdentity lets a provider sign a member in under i, and ends what else does: password, second factor, links that set
// a password, sessions, personal tokens. Doing it again changes nothing. Errors: not_found; conflict if i is another
// member's, or if its issuer signs the member in under another name already.
func (s *Store) LinkIdentity(ctx context.Context, id control.MemberID, i control.Identity) error {
	return s.inTx(ctx, "link identity", func(c conn) error {
		if _, err := c.member("WHERE m.id = ?", string(id)); err != nil {
			return err
		}
		made, err := c.exec("INSERT INTO identities (issuer, subject, member) VALUES (?, ?, ?) ON CONFLICT (issuer, subject) DO NOTHING",
			i.Issuer, i.Subject, string(id))
		if err != nil {
			return err
		}
		if made == 0 {
			var owner control.MemberID
			err := c.one("SELECT member FROM identities WHERE issuer = ? AND subject = ?", []any{i.Issuer, i.Subject}, &owner)
			if err == nil && owner != id {
				err = fault.New(fault.Conflict, "", "this identity signs another member in")
			}
			return err
		}
		var named int
		if err := c.one("SELECT COUNT(*) FROM identities WHERE issuer = ? AND member = ?", []any{i.Issuer, string(id)}, &named); err != nil {
			return err
		}
		if named > 1 {
			return &fault.Error{Code: fault.Conflict,
				Msg:  fault.Message{Key: "control.linked", Text: "The member of this e-mail address signs in by another account of the sign-in provider."},
				Hint: fault.Message{Key: "control.linked_hint", Text: "Sign in by that account. If it is gone, an installation administrator can delete the member and invite the address anew."}}
		}
		if _, err := c.exec("DELETE FROM tokens WHERE member = ?", string(id)); err != nil {
			return err
		}
		if _, err := c.exec("DELETE FROM tickets WHERE member = ?", string(id)); err != nil {
			return err
		}
		if err := c.writeLock(id, control.Lock{}); err != nil {
			return err
		}
		return c.endSessions(id, "")
	})
}
