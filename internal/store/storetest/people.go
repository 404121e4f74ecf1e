package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// person gives a member who is not stored yet.
func (e *env) person(name string) control.Member {
	return control.Member{ID: control.NewMemberID(), Email: name + "@example.com", Name: name, Language: "es", TimeZone: "Europe/Madrid", CreatedAt: e.now}
}

// member makes a member with a password, in these seats.
func (e *env) member(name string, seats ...control.Membership) control.Member {
	e.t.Helper()
	m := e.person(name)
	ok(e.t, e.CreateMember(e.t.Context(), m, control.Lock{Password: secret.New("hash of " + name)}, nil))
	for _, s := range seats {
		s.Member = m.ID
		ok(e.t, e.SetSeat(e.t.Context(), control.SeatChange{Next: s}))
	}
	m.Rev, m.Password = 1, true
	return m
}

// administrator makes an installation administrator.
func (e *env) administrator(name string) control.Member {
	e.t.Helper()
	m := e.member(name)
	m.Installation = true
	ok(e.t, e.UpdateMember(e.t.Context(), m))
	m.Rev++
	return m
}

// seat gives a place in w, of nobody yet.
func (e *env) seat(w control.Workspace, role control.Role) control.Membership {
	return control.Membership{Workspace: w.Number, Role: role, CreatedAt: e.now}
}

func tokenHash(name string) control.KeyHash { return control.HashKey(name) }

func people(run runner) {
	run("a member is found by id, address and identity, and an address is one member's", func(t *testing.T, e *env) {
		ctx := t.Context()
		m := e.person("ana")
		m.Installation, m.SeenAt = true, e.now.Add(time.Minute)
		ok(t, e.CreateMember(ctx, m, control.Lock{}, nil))
		m.Rev = 1
		i := control.Identity{Issuer: "https://id.example", Subject: "42"}
		ok(t, e.LinkIdentity(ctx, m.ID, i))
		ok(t, e.LinkIdentity(ctx, m.ID, i))
		renamed := control.Identity{Issuer: i.Issuer, Subject: "43"}
		want(t, e.LinkIdentity(ctx, m.ID, renamed), fault.Conflict)
		_, err := e.MemberByIdentity(ctx, renamed)
		want(t, err, fault.NotFound)
		ok(t, e.LinkIdentity(ctx, m.ID, control.Identity{Issuer: "https://second.example", Subject: "43"}))
		got, err := e.Member(ctx, m.ID)
		ok(t, err)
		equal(t, "by id", got, m)
		got, err = e.MemberByEmail(ctx, "ana@example.com")
		ok(t, err)
		equal(t, "by address", got, m)
		got, err = e.MemberByIdentity(ctx, i)
		ok(t, err)
		equal(t, "by identity", got, m)
		_, err = e.Member(ctx, "nobody")
		want(t, err, fault.NotFound)
		_, err = e.MemberByEmail(ctx, "Ana@example.com")
		want(t, err, fault.NotFound)
		_, err = e.MemberByIdentity(ctx, control.Identity{Issuer: "https://other.example", Subject: "42"})
		want(t, err, fault.NotFound)

		again := e.person("ana")
		want(t, e.CreateMember(ctx, again, control.Lock{}, nil), fault.Conflict)
		bea := e.member("bea")
		want(t, e.LinkIdentity(ctx, bea.ID, i), fault.Conflict)
		want(t, e.LinkIdentity(ctx, "nobody", control.Identity{Issuer: "x", Subject: "y"}), fault.NotFound)
		bea.Email = m.Email
		want(t, e.UpdateMember(ctx, bea), fault.Conflict)
		bea.Email, bea.Name, bea.Language, bea.TimeZone = "beatriz@example.com", "Beatriz", "", ""
		ok(t, e.UpdateMember(ctx, bea))
		want(t, e.UpdateMember(ctx, bea), fault.Stale)
		bea.Rev++
		all, err := e.Members(ctx)
		ok(t, err)
		equal(t, "all, by address", all, []control.Member{m, bea})
		bea.ID = "nobody"
		want(t, e.UpdateMember(ctx, bea), fault.NotFound)
	})
	run("a member who cannot have the seat is not made", func(t *testing.T, e *env) {
		ctx := t.Context()
		m := e.person("ana")
		want(t, e.CreateMember(ctx, m, control.Lock{}, &control.Membership{Workspace: 12345, Member: m.ID, Role: control.Viewer}), fault.NotFound)
		_, err := e.Member(ctx, m.ID)
		want(t, err, fault.NotFound)
		seat := e.seat(e.workspace("acme"), control.Editor)
		seat.Member = m.ID
		ok(t, e.CreateMember(ctx, m, control.Lock{}, &seat))
		seats, err := e.SeatsOf(ctx, m.ID)
		ok(t, err)
		equal(t, "seats", seats, []control.Membership{seat})
	})
	run("the installation keeps an administrator", func(t *testing.T, e *env) {
		ctx := t.Context()
		ana, bea := e.administrator("ana"), e.administrator("bea")
		ana.Installation = false
		ok(t, e.UpdateMember(ctx, ana))
		bea.Installation = false
		want(t, e.UpdateMember(ctx, bea), fault.Conflict)
		want(t, e.DeleteMember(ctx, bea.ID), fault.Conflict)
		bea.Installation = true
		ok(t, e.UpdateMember(ctx, bea))
		ok(t, e.DeleteMember(ctx, ana.ID))
		want(t, e.DeleteMember(ctx, ana.ID), fault.NotFound)
	})
	run("of two administrators who take each other's rights one stays", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		ms := []control.Member{e.administrator("ana"), e.administrator("bea")}
		for i := range ms {
			seat := e.seat(w, control.Administrator)
			seat.Member = ms[i].ID
			ok(t, e.SetSeat(ctx, control.SeatChange{Next: seat}))
		}
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i, m := range ms {
			s := e.open()
			wg.Go(func() { errs[i] = s.RemoveSeat(ctx, w.Number, m.ID) })
			wg.Go(func() {
				m.Installation = false
				errs[2+i] = s.UpdateMember(ctx, m)
			})
		}
		wg.Wait()
		for i := range 2 {
			pair := errs[2*i : 2*i+2]
			if (pair[0] == nil) == (pair[1] == nil) || !(fault.Is(pair[0], fault.Conflict) || fault.Is(pair[1], fault.Conflict)) {
				t.Fatalf("errors %v, want one conflict", pair)
			}
		}
	})
	run("a workspace keeps an administrator, and installation administrators do not count", func(t *testing.T, e *env) {
		ctx := t.Context()
		w, other := e.workspace("acme"), e.workspace("other")
		e.administrator("root")
		ana := e.member("ana", e.seat(w, control.Administrator), e.seat(other, control.Administrator))
		bea := e.member("bea", e.seat(w, control.Viewer))
		seat := e.seat(w, control.Editor)
		seat.Member = ana.ID
		was := e.seat(w, control.Administrator)
		was.Member = ana.ID
		want(t, e.SetSeat(ctx, control.SeatChange{Was: was, Next: seat}), fault.Conflict)
		want(t, e.RemoveSeat(ctx, w.Number, ana.ID), fault.Conflict)

		higher := control.Membership{Workspace: w.Number, Member: bea.ID, Role: control.Administrator, ExportUserData: true, CreatedAt: e.now.Add(time.Hour)}
		lower := e.seat(w, control.Viewer)
		lower.Member = bea.ID
		ok(t, e.SetSeat(ctx, control.SeatChange{Was: lower, Next: higher}))
		ok(t, e.SetSeat(ctx, control.SeatChange{Was: was, Next: seat}))
		want(t, e.RemoveSeat(ctx, w.Number, bea.ID), fault.Conflict)
		higher.CreatedAt = e.now // when it was first made
		got, err := e.Seats(ctx, w.Number)
		ok(t, err)
		equal(t, "seats", got, []control.Seat{{Member: ana, Membership: seat}, {Member: bea, Membership: higher}})
		of, err := e.SeatsOf(ctx, bea.ID)
		ok(t, err)
		equal(t, "of one", of, []control.Membership{higher})
		elsewhere, err := e.Seats(ctx, other.Number)
		ok(t, err)
		equal(t, "elsewhere", fmt.Sprint(len(elsewhere), " ", elsewhere[0].Role), "1 administrator")

		ok(t, e.RemoveSeat(ctx, w.Number, ana.ID))
		want(t, e.RemoveSeat(ctx, w.Number, ana.ID), fault.NotFound)
		want(t, e.RemoveSeat(ctx, 12345, ana.ID), fault.NotFound)
		seat.Workspace = 12345
		want(t, e.SetSeat(ctx, control.SeatChange{Next: seat}), fault.NotFound)
		seat.Workspace, seat.Member = w.Number, "nobody"
		want(t, e.SetSeat(ctx, control.SeatChange{Next: seat}), fault.NotFound)
		empty := e.seat(e.workspace("empty"), control.Viewer)
		empty.Member = bea.ID
		ok(t, e.SetSeat(ctx, control.SeatChange{Next: empty})) // it never had one
	})
	run("a place changes only from what it was, and is made only where there is none", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		e.member("root", e.seat(w, control.Administrator))
		was := e.seat(w, control.Administrator)
		m := e.member("ana", was)
		was.Member = m.ID
		next, wrong, given := was, was, was
		next.Role, wrong.Role, given.ExportUserData = control.Editor, control.Viewer, true
		for _, v := range []control.Membership{{}, wrong, given} {
			want(t, e.SetSeat(ctx, control.SeatChange{Was: v, Next: next}), fault.Stale)
		}
		ok(t, e.RemoveSeat(ctx, w.Number, m.ID))
		want(t, e.SetSeat(ctx, control.SeatChange{Was: was, Next: next}), fault.Stale)
		seats, err := e.SeatsOf(ctx, m.ID)
		ok(t, err)
		equal(t, "seats", len(seats), 0)
	})
	run("a lock changes only from what it was, and can end the sessions", func(t *testing.T, e *env) {
		ctx := t.Context()
		m, other := e.member("ana"), e.member("bea")
		for _, id := range []string{"here", "there", "elsewhere"} {
			ok(t, e.CreateSession(ctx, e.session(m, id), tokenHash(id)))
		}
		ok(t, e.CreateSession(ctx, e.session(other, "bea"), tokenHash("bea")))
		a, b := control.RecoveryHash{9}, control.RecoveryHash{1}
		was := control.Lock{Password: secret.New("hash of ana")}
		next := control.Lock{Password: secret.New("other"), TOTP: secret.New("JBSWY3DP"), Pending: secret.New("PENDING"), Recovery: []control.RecoveryHash{a, b}, LastStep: 7}
		ok(t, e.SetLock(ctx, m.ID, was, next, false, ""))
		sessions, err := e.Sessions(ctx, m.ID)
		ok(t, err)
		equal(t, "sessions", len(sessions), 3)
		got, err := e.Lock(ctx, m.ID)
		ok(t, err)
		equal(t, "lock", lockText(got), lockText(control.Lock{Password: next.Password, TOTP: next.TOTP, Pending: next.Pending, Recovery: []control.RecoveryHash{b, a}, LastStep: 7}))
		shown, err := e.Member(ctx, m.ID)
		ok(t, err)
		equal(t, "has both", fmt.Sprint(shown.Password, shown.TwoFactor), "true true")

		for _, wrong := range []func(l *control.Lock){
			func(l *control.Lock) { l.Password = secret.New("hash of ana") }, func(l *control.Lock) { l.TOTP = secret.Value{} },
			func(l *control.Lock) { l.Pending = secret.Value{} }, func(l *control.Lock) { l.LastStep = 6 }, func(l *control.Lock) { l.Recovery = l.Recovery[:1] },
		} {
			l := next
			wrong(&l)
			want(t, e.SetLock(ctx, m.ID, l, control.Lock{}, true, ""), fault.Stale)
		}
		ok(t, e.SetLock(ctx, m.ID, next, control.Lock{}, true, "here"))
		sessions, err = e.Sessions(ctx, m.ID)
		ok(t, err)
		equal(t, "sessions", fmt.Sprint(len(sessions), " ", sessions[0].ID), "1 here")
		sessions, err = e.Sessions(ctx, other.ID)
		ok(t, err)
		equal(t, "of another", len(sessions), 1)
		got, err = e.Lock(ctx, m.ID)
		ok(t, err)
		equal(t, "lock", lockText(got), lockText(control.Lock{}))
		_, err = e.Lock(ctx, "nobody")
		want(t, err, fault.NotFound)
		want(t, e.SetLock(ctx, "nobody", control.Lock{}, control.Lock{}, false, ""), fault.NotFound)
	})
	run("a session is found by its token until it is ended", func(t *testing.T, e *env) {
		ctx := t.Context()
		m, other := e.member("ana"), e.member("bea")
		s := e.session(m, "s")
		ok(t, e.CreateSession(ctx, s, tokenHash("s")))
		got, err := e.SessionByHash(ctx, tokenHash("s"))
		ok(t, err)
		equal(t, "session", got, s)
		_, err = e.SessionByHash(ctx, tokenHash("x"))
		want(t, err, fault.NotFound)
		later := e.session(m, "later")
		later.SeenAt = e.now.Add(time.Minute)
		ok(t, e.CreateSession(ctx, later, tokenHash("later")))
		s.Address, s.SeenAt, s.ExpiresAt = "2001:db8::1", e.now.Add(2*time.Minute), e.now.Add(2*time.Hour)
		ok(t, e.TouchSession(ctx, s))
		all, err := e.Sessions(ctx, m.ID)
		ok(t, err)
		equal(t, "sessions, last used first", all, []control.Session{s, later})
		seen, err := e.Member(ctx, m.ID)
		ok(t, err)
		equal(t, "seen", seen.SeenAt, s.SeenAt)

		e.now = e.now.Add(time.Hour)
		all, err = e.Sessions(ctx, m.ID)
		ok(t, err)
		equal(t, "not expired", all, []control.Session{s})
		want(t, e.EndSession(ctx, other.ID, s.ID), fault.NotFound)
		ok(t, e.EndSession(ctx, m.ID, s.ID))
		want(t, e.EndSession(ctx, m.ID, s.ID), fault.NotFound)
		want(t, e.TouchSession(ctx, s), fault.NotFound)
		want(t, e.CreateSession(ctx, e.session(control.Member{ID: "nobody"}, "n"), tokenHash("n")), fault.NotFound)
	})
	run("a token is one of its name, and found by its hash until it is revoked", func(t *testing.T, e *env) {
		ctx := t.Context()
		m, other := e.member("ana"), e.member("bea")
		v := control.Token{ID: control.NewTokenID(), Member: m.ID, Name: "deploy", ReadOnly: true, CreatedAt: e.now, ExpiresAt: e.now.Add(time.Hour)}
		ok(t, e.CreateToken(ctx, v, tokenHash("1")))
		second := control.Token{ID: control.NewTokenID(), Member: m.ID, Name: "ci", CreatedAt: e.now}
		ok(t, e.CreateToken(ctx, second, tokenHash("2")))
		again := v
		again.ID = control.NewTokenID()
		want(t, e.CreateToken(ctx, again, tokenHash("3")), fault.Conflict)
		again.Member = other.ID
		ok(t, e.CreateToken(ctx, again, tokenHash("3")))
		again.ID, again.Member = control.NewTokenID(), "nobody"
		want(t, e.CreateToken(ctx, again, tokenHash("4")), fault.NotFound)
		got, err := e.TokenByHash(ctx, tokenHash("1"))
		ok(t, err)
		equal(t, "token", got, v)
		v.UsedAt = e.now.Add(time.Minute)
		ok(t, e.TouchToken(ctx, v.ID, v.UsedAt))
		all, err := e.Tokens(ctx, m.ID)
		ok(t, err)
		equal(t, "tokens by name", all, []control.Token{second, v})
		seen, err := e.Member(ctx, m.ID)
		ok(t, err)
		equal(t, "seen", seen.SeenAt, v.UsedAt)
		want(t, e.DeleteToken(ctx, other.ID, v.ID), fault.NotFound)
		ok(t, e.DeleteToken(ctx, m.ID, v.ID))
		want(t, e.DeleteToken(ctx, m.ID, v.ID), fault.NotFound)
		want(t, e.TouchToken(ctx, v.ID, e.now), fault.NotFound)
		_, err = e.TokenByHash(ctx, tokenHash("1"))
		want(t, err, fault.NotFound)
	})
	run("a ticket takes the place of the one before and is of its workspace", func(t *testing.T, e *env) {
		ctx := t.Context()
		w, other := e.workspace("acme"), e.workspace("other")
		v := control.Ticket{ID: control.NewTicketID(), Kind: control.TicketInvitation, Email: "new@example.com", Workspace: w.Number, Role: control.Editor,
			ExportUserData: true, Installation: true, By: "ana@example.com", Maker: "ana", CreatedAt: e.now, ExpiresAt: e.now.Add(time.Hour)}
		ok(t, e.CreateTicket(ctx, v, tokenHash("1")))
		elsewhere := v
		elsewhere.ID, elsewhere.Workspace = control.NewTicketID(), other.Number
		ok(t, e.CreateTicket(ctx, elsewhere, tokenHash("2")))
		got, err := e.TicketByHash(ctx, tokenHash("1"))
		ok(t, err)
		equal(t, "ticket", got, v)
		v.ID, v.Role, v.CreatedAt = control.NewTicketID(), control.Viewer, e.now.Add(time.Minute)
		ok(t, e.CreateTicket(ctx, v, tokenHash("3")))
		_, err = e.TicketByHash(ctx, tokenHash("1"))
		want(t, err, fault.NotFound)
		all, err := e.Tickets(ctx, w.Number)
		ok(t, err)
		equal(t, "tickets", all, []control.Ticket{v})
		all, err = e.TicketsFor(ctx, "new@example.com")
		ok(t, err)
		equal(t, "invitations of the address", all, []control.Ticket{elsewhere, v})
		want(t, e.DeleteTicket(ctx, other.Number, v.ID), fault.NotFound)
		ok(t, e.DeleteTicket(ctx, w.Number, v.ID))
		want(t, e.DeleteTicket(ctx, w.Number, v.ID), fault.NotFound)
		_, err = e.TicketByHash(ctx, tokenHash("2"))
		ok(t, err)
		e.now = e.now.Add(time.Hour)
		_, err = e.TicketByHash(ctx, tokenHash("2"))
		want(t, err, fault.NotFound)
		all, err = e.Tickets(ctx, other.Number)
		ok(t, err)
		equal(t, "past", len(all), 0)
		all, err = e.TicketsFor(ctx, "new@example.com")
		ok(t, err)
		equal(t, "past invitations", len(all), 0)
		want(t, e.UseTicket(ctx, elsewhere.ID, e.person("new"), nil, nil), fault.NotFound)
	})
	run("an invitation is accepted once, by whoever comes first, or not at all", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		invite := func(name string) {
			t.Helper()
			ok(t, e.CreateTicket(ctx, control.Ticket{ID: control.TicketID(name), Kind: control.TicketInvitation, Email: name, Workspace: w.Number,
				Role: control.Viewer, CreatedAt: e.now, ExpiresAt: e.now.Add(time.Hour)}, tokenHash(name)))
		}
		invite("new@example.com")
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i := range errs {
			s, m, seat := e.open(), e.person(fmt.Sprint("new", i)), e.seat(w, control.Viewer)
			seat.Member = m.ID
			wg.Go(func() {
				errs[i] = s.UseTicket(ctx, "new@example.com", m, &control.LockChange{Next: control.Lock{Password: secret.New("p")}}, &control.SeatChange{Next: seat})
			})
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !(fault.Is(errs[0], fault.NotFound) || fault.Is(errs[1], fault.NotFound)) {
			t.Fatalf("errors %v, want one not_found", errs)
		}
		seats, err := e.Seats(ctx, w.Number)
		ok(t, err)
		equal(t, "seats", fmt.Sprint(len(seats), seats[0].Role, seats[0].Password, seats[0].Rev), "1viewertrue 1")

		ana := e.member("ana", e.seat(w, control.Administrator))
		invite("ana@example.com")
		lower := e.seat(w, control.Viewer)
		lower.Member = ana.ID
		had := lower
		had.Role = control.Administrator
		want(t, e.UseTicket(ctx, "ana@example.com", ana, nil, &control.SeatChange{Was: had, Next: lower}), fault.Conflict) // the last administrator
		want(t, e.UseTicket(ctx, "ana@example.com", ana, nil, &control.SeatChange{Next: had}), fault.Stale)
		want(t, e.UseTicket(ctx, "ana@example.com", ana, &control.LockChange{}, nil), fault.Stale)
		taken := e.person("ana")
		want(t, e.UseTicket(ctx, "ana@example.com", taken, nil, nil), fault.Conflict)
		stale := ana
		stale.Rev = 7
		want(t, e.UseTicket(ctx, "ana@example.com", stale, nil, nil), fault.Stale)
		ana.Installation = true
		ok(t, e.UseTicket(ctx, "ana@example.com", ana, nil, nil)) // good for another try after each of them
		got, err := e.Member(ctx, ana.ID)
		ok(t, err)
		ana.Rev = 2
		equal(t, "member", got, ana)
	})
	run("a reset changes the password and ends all sessions", func(t *testing.T, e *env) {
		ctx := t.Context()
		m := e.member("ana")
		ok(t, e.CreateSession(ctx, e.session(m, "s"), tokenHash("s")))
		ok(t, e.CreateTicket(ctx, control.Ticket{ID: "r", Kind: control.TicketReset, Email: m.Email, Member: m.ID, CreatedAt: e.now, ExpiresAt: e.now.Add(time.Hour)}, tokenHash("r")))
		l, err := e.Lock(ctx, m.ID)
		ok(t, err)
		next := control.LockChange{Was: l, Next: control.Lock{Password: secret.New("new")}}
		ok(t, e.UseTicket(ctx, "r", m, &next, nil))
		want(t, e.UseTicket(ctx, "r", m, &next, nil), fault.NotFound)
		_, err = e.SessionByHash(ctx, tokenHash("s"))
		want(t, err, fault.NotFound)
		l, err = e.Lock(ctx, m.ID)
		ok(t, err)
		equal(t, "password", l.Password.Reveal(), "new")
	})
	run("the link for the first administrator ends when there is one", func(t *testing.T, e *env) {
		ctx := t.Context()
		first := func() error {
			return e.CreateTicket(ctx, control.Ticket{ID: control.NewTicketID(), Kind: control.TicketFirst, Installation: true, CreatedAt: e.now, ExpiresAt: e.now.Add(time.Hour)}, tokenHash("f"))
		}
		ok(t, first())
		e.member("nobody of importance")
		_, err := e.TicketByHash(ctx, tokenHash("f"))
		ok(t, err)
		e.administrator("ana")
		_, err = e.TicketByHash(ctx, tokenHash("f"))
		want(t, err, fault.NotFound)
		want(t, first(), fault.Conflict)
	})
	run("with a member goes what is theirs, and nothing else", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		m, other := e.member("ana", e.seat(w, control.Viewer)), e.member("bea", e.seat(w, control.Viewer))
		ok(t, e.AddNotice(ctx, e.notice(w.Number, "c", "1")))
		for _, p := range []control.Member{m, other} {
			n := p.Name
			ok(t, e.LinkIdentity(ctx, p.ID, control.Identity{Issuer: "i", Subject: n}))
			ok(t, e.CreateSession(ctx, e.session(p, n), tokenHash("session of "+n)))
			ok(t, e.CreateToken(ctx, control.Token{ID: control.TokenID(n), Member: p.ID, Name: "t", CreatedAt: e.now}, tokenHash("token of "+n)))
			ok(t, e.MarkNoticesRead(ctx, w.Number, p.ID, 1))
			was, err := e.Lock(ctx, p.ID)
			ok(t, err)
			ok(t, e.SetLock(ctx, p.ID, was, control.Lock{Recovery: []control.RecoveryHash{{1}}}, false, ""))
			for kind, of := range map[control.TicketKind]control.MemberID{control.TicketReset: p.ID, control.TicketInvitation: ""} {
				ok(t, e.CreateTicket(ctx, control.Ticket{ID: control.NewTicketID(), Kind: kind, Email: p.Email, Member: of, CreatedAt: e.now, ExpiresAt: e.now.Add(time.Hour)}, tokenHash(string(kind)+n)))
			}
		}
		ok(t, e.DeleteMember(ctx, m.ID))
		for _, p := range []control.Member{m, other} {
			n := p.Name
			_, lock := e.Lock(ctx, p.ID)
			_, session := e.SessionByHash(ctx, tokenHash("session of "+n))
			_, token := e.TokenByHash(ctx, tokenHash("token of "+n))
			_, identity := e.MemberByIdentity(ctx, control.Identity{Issuer: "i", Subject: n})
			_, reset := e.TicketByHash(ctx, tokenHash("reset"+n))
			_, invitation := e.TicketByHash(ctx, tokenHash("invitation"+n))
			for _, err := range []error{lock, session, token, identity, reset, invitation} {
				if p.ID == m.ID {
					want(t, err, fault.NotFound)
				} else {
					ok(t, err)
				}
			}
		}
		seats, err := e.Seats(ctx, w.Number)
		ok(t, err)
		equal(t, "seats", fmt.Sprint(len(seats), seats[0].Name), "1bea")
		ok(t, e.CreateMember(ctx, m, control.Lock{}, nil)) // nothing is left that would stand in the way
	})
	run("what is past is swept away, and nothing else", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		m := e.member("ana")
		soon, late := e.session(m, "soon"), e.session(m, "late")
		late.ExpiresAt = e.now.Add(1000 * time.Hour)
		ok(t, e.CreateSession(ctx, soon, tokenHash("soon")))
		ok(t, e.CreateSession(ctx, late, tokenHash("late")))
		for i, ends := range []time.Duration{time.Hour, 1000 * time.Hour} {
			ok(t, e.CreateTicket(ctx, control.Ticket{ID: control.NewTicketID(), Kind: control.TicketInvitation, Email: fmt.Sprint(i), CreatedAt: e.now, ExpiresAt: e.now.Add(ends)}, tokenHash(fmt.Sprint(i))))
		}
		for i, at := range []time.Time{e.now, e.now.Add(24 * time.Hour)} {
			_, begun, err := e.BeginRepeat(ctx, control.Repeat{Key: tokenHash(fmt.Sprint(i)), At: at})
			ok(t, err)
			equal(t, "begun", begun, true)
		}
		var jobs []int64
		for _, done := range []time.Time{e.now, {}, e.now.Add(48 * time.Hour)} {
			id, err := e.AddJob(ctx, control.Job{Kind: control.JobReplay, Workspace: w.Number, State: control.JobWaiting, CreatedAt: e.now.Add(-1000 * time.Hour), DoneAt: done})
			ok(t, err)
			jobs = append(jobs, id)
		}
		e.now = e.now.Add(8 * 24 * time.Hour)
		ok(t, e.Sweep(ctx, e.now.Add(-7*24*time.Hour)))
		_, err := e.Job(ctx, w.Number, jobs[0])
		ok(t, err)
		_, err = e.SessionByHash(ctx, tokenHash("soon"))
		want(t, err, fault.NotFound)
		_, err = e.SessionByHash(ctx, tokenHash("late"))
		ok(t, err)
		_, err = e.TicketByHash(ctx, tokenHash("1"))
		ok(t, err)
		_, begun, err := e.BeginRepeat(ctx, control.Repeat{Key: tokenHash("0"), At: e.now.Add(-8 * 24 * time.Hour)})
		ok(t, err)
		equal(t, "gone after a day", begun, false)
		ok(t, e.Sweep(ctx, e.now))
		for i, want := range []fault.Code{fault.NotFound, "", ""} {
			_, err := e.Job(ctx, w.Number, jobs[i])
			equal(t, "job", fault.CodeOf(err), want)
		}
		_, begun, err = e.BeginRepeat(ctx, control.Repeat{Key: tokenHash("0"), At: e.now.Add(-8 * 24 * time.Hour)})
		ok(t, err)
		equal(t, "gone", begun, true)
	})
}

// session gives a session that is not stored yet.
func (e *env) session(m control.Member, id string) control.Session {
	return control.Session{ID: control.SessionID(id), Member: m.ID, Address: "192.0.2.1", Agent: "Firefox", CreatedAt: e.now, SeenAt: e.now, ExpiresAt: e.now.Add(time.Hour)}
}

// lockText is a lock with what it hides.
func lockText(l control.Lock) string {
	return fmt.Sprintf("%q %q %q %v %d", l.Password.Reveal(), l.TOTP.Reveal(), l.Pending.Reveal(), l.Recovery, l.LastStep)
}
