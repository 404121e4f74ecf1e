package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// The calls of a driver that can fail.
const (
	atBegin   = "begin"
	atPrepare = "prepare"
	atExec    = "exec"
	atQuery   = "query"
	atRow     = "row"
	atCommit  = "commit"             // nothing of the transaction stays
	atAnswer  = "answer of a commit" // all of it stays, and nobody is told
)

// trouble makes the driver's call number failAt fail with err. Calls are counted from 1.
type trouble struct {
	calls    []string // since it was last nil
	failAt   int
	afterAll bool // the failing call, a commit, has its effect
	err      error
}

// meet counts a call and tells whether it is the one that fails.
func (t *trouble) meet(call string) bool {
	t.calls = append(t.calls, call)
	return len(t.calls) == t.failAt
}

// between is a driver that puts trouble between the store and its own driver.
type between struct {
	db *sql.DB
	t  *trouble
}

func (c between) Driver() driver.Driver { return c.db.Driver() }

// Connect borrows a connection of the pool for as long as this one lives.
func (c between) Connect(ctx context.Context) (driver.Conn, error) {
	owner, err := c.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	out := &troubledConn{owner: owner, t: c.t}
	return out, owner.Raw(func(x any) error { out.conn = x.(conns); return nil })
}

type conns interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
}

type troubledConn struct {
	conn  conns
	owner *sql.Conn
	t     *trouble
}

func (c *troubledConn) Close() error { return c.owner.Close() }
func (c *troubledConn) Begin() (driver.Tx, error) {
	return nil, errors.New("the store begins with a context")
}
func (c *troubledConn) Prepare(q string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), q)
}

func (c *troubledConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if c.t.meet(atBegin) {
		return nil, c.t.err
	}
	tx, err := c.conn.BeginTx(ctx, o)
	return &troubledTx{tx, c.t, o.ReadOnly}, err
}

func (c *troubledConn) PrepareContext(ctx context.Context, q string) (driver.Stmt, error) {
	if c.t.meet(atPrepare) {
		return nil, c.t.err
	}
	st, err := c.conn.PrepareContext(ctx, q)
	if err != nil {
		return nil, err
	}
	return &troubledStmt{st.(stmts), c.t}, nil
}

// CheckNamedValue lets through what the driver takes besides plain values: lists, of PostgreSQL's.
func (c *troubledConn) CheckNamedValue(v *driver.NamedValue) error {
	if d, ok := c.conn.(driver.NamedValueChecker); ok {
		return d.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type troubledTx struct {
	driver.Tx
	t        *trouble
	readOnly bool
}

func (x *troubledTx) Commit() error {
	if x.readOnly || !x.t.meet(atCommit) {
		return x.Tx.Commit()
	}
	if x.t.afterAll {
		return errors.Join(x.Tx.Commit(), x.t.err)
	}
	// Both roll back what they cannot commit. Source: https://www.sqlite.org/lang_transaction.html §3.
	return errors.Join(x.t.err, x.Tx.Rollback())
}

type stmts interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type troubledStmt struct {
	stmts
	t *trouble
}

func (s *troubledStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.t.meet(atExec) {
		return nil, s.t.err
	}
	return s.stmts.ExecContext(ctx, args)
}

func (s *troubledStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.t.meet(atQuery) {
		return nil, s.t.err
	}
	rows, err := s.stmts.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	return &troubledRows{rows, s.t}, nil
}

type troubledRows struct {
	driver.Rows
	t *trouble
}

func (r *troubledRows) Next(dest []driver.Value) error {
	if r.t.meet(atRow) {
		return r.t.err
	}
	return r.Rows.Next(dest)
}

// step is one call of the store, the same each time it is made.
type step struct {
	name string
	do   func(s *store.Store) error
	// refused is what a repetition of a call may say whose effect is there already.
	refused fault.Code
}

// lifetime is what one part of the database goes through, so that each transaction has something to do.
type lifetime struct {
	open    func(ctx context.Context, cfg store.Config) (*store.Store, error)
	steps   func(ctx context.Context) []step
	reaches []string // the calls that fail at least once
}

var (
	planeLife  = lifetime{store.Open, life, []string{atBegin, atPrepare, atExec, atQuery, atRow, atCommit, atAnswer}}
	peopleLife = lifetime{store.OpenPeople, lifeOfPeople, []string{atBegin, atPrepare, atExec, atQuery, atRow, atCommit, atAnswer}}
)

// lifeOfPeople is what the tables of people go through.
func lifeOfPeople(ctx context.Context) []step {
	at := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	log := eventlog.ID{1}
	apply := func(name string, b control.PeopleBatch) step {
		return step{name, func(s *store.Store) error {
			again := b // it is sorted where it stands
			again.Log, again.Next = log, b.From+10
			return store.ProfilesOf(s).Apply(ctx, &again)
		}, fault.Stale}
	}
	ignore := func(_ any, err error) error { return err }
	someone := func(row int64, id, external string) *control.Person {
		return &control.Person{Row: row, New: true, Known: control.AllParts, Workspace: 1, ID: control.PersonID(id), ExternalID: external, Email: id + "@example.com",
			CreatedAt: at, UpdatedAt: at, Custom: []byte(`{"plan":"gold"}`), Channels: []byte(`{"email":{"r":1}}`)}
	}
	changed := func(p *control.Person, part control.Parts) *control.Person {
		p.New, p.Changed, p.Sessions, p.FirstName, p.Rest = false, part, 7, "Ada", []byte(`{"apps":[]}`)
		return p
	}
	name := func(id int64, kind control.NameKind, name string) control.Name {
		return control.Name{ID: id, Workspace: 1, Kind: kind, Name: name, FirstAt: at, LastAt: at}
	}
	first := control.PeopleBatch{
		Names:      []control.Name{name(1, control.NameAttribute, "plan"), name(2, control.NameEvent, "login"), name(3, control.NameCampaign, "c"), name(4, control.NameGroup, "g")},
		People:     []*control.Person{someone(1, "p1", "u1"), someone(2, "p2", "u2"), someone(3, "p3", ""), someone(4, "p4", "")},
		Attributes: []control.PersonAttribute{{Name: 1, Person: 1, Text: new("gold")}, {Name: 1, Person: 2, Text: new("gold")}},
		Events:     []control.PersonEvents{{Name: 2, Person: 1, First: at, Last: at, Count: 1}, {Name: 2, Person: 2, First: at, Last: at, Count: 2}},
		Messages:   []control.PersonMessage{{Name: 3, Person: 1, Received: at}, {Name: 3, Person: 2, Opened: at}},
		Groups:     []control.PersonGroup{{Name: 4, Person: 1, Subscribed: true, At: at}},
		Stats:      []control.Stat{{Name: 3, Hour: 24, Count: control.CountSent, N: 1}},
		Identities: []control.PersonIdentity{{Workspace: 1, Identifier: control.Identifier{Kind: control.ByExternalID, Value: "u1"}, Person: "p1"}, {Workspace: 1, Identifier: control.Identifier{Kind: control.ByExternalID, Value: "u2"}, Person: "p2"}},
		SetAside:   []control.SetAside{{Offset: 5, Workspace: 1, EventType: "t", Reason: "r", At: at}},
	}
	second := control.PeopleBatch{
		From:       10,
		Names:      []control.Name{{ID: 3, Workspace: 1, Kind: control.NameCampaign, Name: "c", Title: "Spring", FirstAt: at, LastAt: at.Add(time.Hour)}},
		People:     []*control.Person{changed(someone(1, "p1", "u1"), control.PartDone), changed(someone(2, "p2", "u2"), control.PartWho), changed(someone(3, "p3", ""), control.PartMore)},
		Attributes: []control.PersonAttribute{{Name: 1, Person: 1}, {Name: 1, Person: 2, Number: new(1.5)}},
		Events:     []control.PersonEvents{{Name: 2, Person: 1, First: at.Add(-time.Hour), Last: at.Add(time.Hour), Count: 1}},
		Messages:   []control.PersonMessage{{Name: 3, Person: 2, Received: at, Clicked: at}},
		Groups:     []control.PersonGroup{{Name: 4, Person: 1, At: at.Add(time.Hour)}},
		Stats:      []control.Stat{{Name: 3, Hour: 24, Count: control.CountSent, N: 2}},
		Identities: []control.PersonIdentity{{Workspace: 1, Identifier: control.Identifier{Kind: control.ByFormerID, Value: "u0"}, From: "p1"}},
	}
	third := control.PeopleBatch{
		From:  20,
		Moves: []control.PersonMove{{Person: 1, Workspace: 1, ID: "p1", Into: 2, IntoID: "p2"}, {Person: 3, Workspace: 1, ID: "p3"}},
	}
	fresh := []control.NewIdentity{{Identifier: control.Identifier{Kind: control.ByExternalID, Value: "u9"}, Candidates: []control.PersonID{"p4", "p9"}}}
	moves := control.IdentityMoves{Workspace: 1, At: 1 << 40, Moves: []control.IdentityMove{{Identifier: control.Identifier{Kind: control.ByExternalID, Value: "u9"}, Into: "p4"}, {From: "p2", Into: "p4"}, {From: "p4"}}}
	read := func(f func(p *store.Profiles) error) func(s *store.Store) error {
		return func(s *store.Store) error { return f(store.ProfilesOf(s)) }
	}
	return []step{
		apply("make people", first),
		apply("change them", second),
		{"look at them", read(func(p *store.Profiles) error { return ignore(p.People(ctx, 1, []control.PersonID{"p1", "p2"})) }), ""},
		{"look at what they did", read(func(p *store.Profiles) error { return ignore(p.Active(ctx, 1, []control.PersonID{"p1", "p2"})) }), ""},
		{"look whom identifiers name", read(func(p *store.Profiles) error {
			return ignore(p.Identities(ctx, 1, control.ByExternalID, []string{"u1"}))
		}), ""},
		{"look at names", read(func(p *store.Profiles) error { return ignore(p.Names(ctx, 1, control.NameEvent)) }), ""},
		apply("let them come together and go", third),
		{"name somebody new", read(func(p *store.Profiles) error { return ignore(p.Identify(ctx, 1, fresh)) }), ""},
		{"name somebody else", read(func(p *store.Profiles) error { return p.MoveIdentities(ctx, moves) }), ""},
		{"begin elsewhere", read(func(p *store.Profiles) error {
			return p.Begin(ctx, log, 50, &control.SetAside{Offset: 50, Reason: "lost", At: at})
		}), ""},
	}
}

// life is what a control plane goes through, so that each transaction has something to do.
func life(ctx context.Context) []step {
	at := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	hour := eventlog.HourOf(at)
	log, other := eventlog.ID{1}, eventlog.ID{2}
	id := control.ConnectorID("0123456789abcdef01234567")
	l := control.Lane{Connector: id, Destination: 1}
	config := func(version, destination int) control.Config {
		return control.Config{
			Connector: id, Number: 7, Workspace: 1, Version: version, Name: "warehouse",
			Destination: control.Destination{Number: destination, Bucket: fmt.Sprintf("b%d", destination), Folder: "currents", Cluster: "prod-01", Zone: "default"},
			Events:      []string{"all"}, Codec: "deflate", FlushInterval: time.Minute, FlushEvents: 15000,
		}
	}
	conn := func(version, destination int) control.Connector {
		return control.Connector{Config: config(version, destination), ContactEmail: "data@example.com", AccessKeyID: "AKIA1", CreatedAt: at}
	}
	keys := control.Credentials{AccessKeyID: "AKIA1", SecretAccessKey: secret.New("s3cret")}
	record := func(offset eventlog.Offset, c control.Config) []control.LoggedRecord {
		return []control.LoggedRecord{{Offset: offset, Workspace: 1, Record: control.Record{Kind: control.RecordConfig, Config: &c}}}
	}
	stream := func(n uint32) control.Stream { return control.Stream{Schema: n, Hour: hour} }
	file := func(n uint32, first, last eventlog.Offset) control.File {
		return control.File{Lane: l, Key: fmt.Sprintf("currents/%d+%010d.avro", n, first), Stream: stream(n), EventType: "users.messages.email.Open",
			Log: log, First: first, Last: last, Events: int(last-first) + 1, Size: 1000, Version: 1, Encoder: 1, Cut: "age", At: at}
	}
	drop := control.Drop{Lane: l, Stream: stream(2), EventType: "users.messages.email.Open", Log: log, First: 40, Last: 59, Events: 20, Reason: control.DropQuota, At: at}
	health := control.Health{Lane: l, State: control.LaneFailing, Since: at, Problem: "access_denied", Message: "no", Failing: time.Minute, LastFile: at}
	count := func(s *store.Store, next eventlog.Offset, c []control.Count) error {
		if at, err := s.CountsCursor(ctx, log); err != nil || at >= next {
			return err
		}
		return s.AddCounts(ctx, log, next, c)
	}
	ignore := func(_ any, err error) error { return err }
	return []step{
		{"create a workspace", func(s *store.Store) error {
			return s.CreateWorkspace(ctx, control.Workspace{Number: 1, Name: "acme", UnknownFields: control.RejectUnknown, CreatedAt: at})
		}, fault.Conflict},
		{"create a key", func(s *store.Store) error {
			return s.CreateKey(ctx, control.APIKey{ID: "k1", Workspace: 1, Name: "producer", Scopes: []control.Scope{"events.write"}, CreatedAt: at}, control.KeyHash{1})
		}, fault.Conflict},
		{"name the log", func(s *store.Store) error { return s.SetCurrentLog(ctx, log) }, ""},
		{"take the lease", func(s *store.Store) error { return ignore(s.AcquireLease(ctx, log, "me", time.Minute)) }, ""},
		{"renew the lease", func(s *store.Store) error { return ignore(s.RenewLease(ctx, log, "me", time.Minute)) }, ""},
		{"record schemas", func(s *store.Store) error {
			return s.RecordSchemas(ctx, []control.SchemaPrint{{ID: 1, Type: "t", Fingerprint: [32]byte{1}}, {ID: 2, Type: "t", Fingerprint: [32]byte{2}}})
		}, ""},
		{"create a connector", func(s *store.Store) error { return s.CreateConnector(ctx, conn(1, 1), keys) }, fault.Conflict},
		{"ask for configurations without records", func(s *store.Store) error { return ignore(s.PendingConfigs(ctx)) }, ""},
		{"begin its lane", func(s *store.Store) error { return s.ApplyControl(ctx, log, 10, record(9, config(1, 1))) }, ""},
		{"load the position", func(s *store.Store) error { return ignore(s.Position(ctx, l)) }, ""},
		{"count events", func(s *store.Store) error {
			return count(s, 40, []control.Count{{Workspace: 1, EventType: "a", Hour: hour, Events: 20}, {Workspace: 1, EventType: "b", Hour: hour, Events: 10}})
		}, ""},
		{"mark the hour as over", func(s *store.Store) error {
			return s.ApplyControl(ctx, log, 40, []control.LoggedRecord{{Offset: 39, Record: control.Record{Kind: control.RecordHour, Hour: hour}}})
		}, ""},
		{"count more events", func(s *store.Store) error {
			return count(s, 50, []control.Count{{Workspace: 1, EventType: "a", Hour: hour, Events: 10}})
		}, ""},
		{"save a position with files", func(s *store.Store) error {
			return ignore(s.Save(ctx, control.Save{
				Position: control.Position{Lane: l, Log: log, Cursor: 20, Version: 1, Seq: 0,
					Links: map[control.Stream]eventlog.Offset{stream(1): 39}, Plans: []control.Plan{{Stream: stream(2), First: 40, Last: 49}}},
				Files: []control.File{file(1, 10, 19), file(1, 20, 39)},
			}))
		}, fault.Stale},
		{"save a position with a drop", func(s *store.Store) error {
			return ignore(s.Save(ctx, control.Save{
				Position: control.Position{Lane: l, Log: log, Cursor: 60, Version: 1, Seq: 1, Links: map[control.Stream]eventlog.Offset{stream(3): 70}},
				Files:    []control.File{file(3, 60, 70)}, Drops: []control.Drop{drop},
			}))
		}, fault.Stale},
		{"settle the drop", func(s *store.Store) error {
			settled := drop
			settled.ID, settled.Events, settled.Settled = 1, 15, true
			return ignore(s.Save(ctx, control.Save{
				Position: control.Position{Lane: l, Log: log, Cursor: 60, Version: 1, Seq: 2, Links: map[control.Stream]eventlog.Offset{stream(3): 70}},
				Files:    []control.File{file(2, 40, 44)}, Drops: []control.Drop{settled},
			}))
		}, fault.Stale},
		{"complete the hour", func(s *store.Store) error { return ignore(s.CompleteHours(ctx, log)) }, ""},
		{"find the hour", func(s *store.Store) error { _, _, err := s.HourDone(ctx, 1, id, hour); return err }, ""},
		{"recover the drop", func(s *store.Store) error {
			recovered := drop
			recovered.ID, recovered.First, recovered.Events = 1, 50, 5
			return s.RecoverDrop(ctx, recovered, []control.File{file(4, 45, 49)})
		}, ""},
		{"make external ids", func(s *store.Store) error {
			return ignore(s.ExternalID(ctx, 1, control.IntegrationCurrents))
		}, ""},
		{"save a data export", func(s *store.Store) error {
			return s.SaveDataExport(ctx, control.DataExport{Workspace: 1, Bucket: "x", RoleARN: "arn", CreatedAt: at, UpdatedAt: at}, control.Credentials{RoleARN: "arn"})
		}, fault.Stale},
		{"delete the data export", func(s *store.Store) error { return s.DeleteDataExport(ctx, 1) }, fault.NotFound},
		{"save a draft", func(s *store.Store) error {
			return s.SaveDraft(ctx, control.Draft{ID: "d", Workspace: 1, CreatedAt: at, UpdatedAt: at})
		}, fault.Conflict},
		{"delete the draft", func(s *store.Store) error { return s.DeleteDraft(ctx, 1, "d") }, fault.NotFound},
		{"make a segment", func(s *store.Store) error {
			return s.CreateSegment(ctx, control.Segment{ID: "s", Workspace: 1, Name: "s", CreatedAt: at, UpdatedAt: at})
		}, fault.Conflict},
		{"change the segment", func(s *store.Store) error {
			return s.UpdateSegment(ctx, control.Segment{ID: "s", Workspace: 1, Name: "t", UpdatedAt: at})
		}, fault.Stale},
		{"delete the segment", func(s *store.Store) error { return s.DeleteSegment(ctx, 1, "s") }, fault.NotFound},
		{"remember a check", func(s *store.Store) error {
			if rows, err := s.Checks(ctx, 1, id, 1); err != nil || len(rows) > 0 {
				return err
			}
			return s.AddCheck(ctx, control.CheckRow{Workspace: 1, Connector: id, Trigger: control.CheckDemand, Report: []byte("{}"), At: at})
		}, ""},
		{"add a job", func(s *store.Store) error {
			if jobs, err := s.WaitingJobs(ctx); err != nil || len(jobs) > 0 {
				return err
			}
			return ignore(s.AddJob(ctx, control.Job{Kind: control.JobReplay, Workspace: 1, State: control.JobWaiting, CreatedAt: at}))
		}, ""},
		{"begin the job", func(s *store.Store) error {
			return s.SaveJob(ctx, control.Job{ID: 1, Workspace: 1, State: control.JobRunning})
		}, ""},
		{"say how far it is", func(s *store.Store) error { return s.JobProgress(ctx, 1, []byte("{}")) }, ""},
		{"save the job", func(s *store.Store) error {
			return s.SaveJob(ctx, control.Job{ID: 1, Workspace: 1, State: control.JobDone, DoneAt: at})
		}, ""},
		{"add a notice", func(s *store.Store) error {
			return s.AddNotice(ctx, control.Notice{Workspace: 1, Connector: id, Kind: control.NoticeFailing, Episode: "1", At: at})
		}, ""},
		{"plan its sends", func(s *store.Store) error {
			return s.PlanSends(ctx, []int64{1}, []control.Send{{Notices: []int64{1}, Channel: control.ChannelMail, Address: "a@b.example", NextTry: at}})
		}, fault.Stale},
		{"look what is due", func(s *store.Store) error { return ignore(s.DueSends(ctx, at, 10)) }, ""},
		{"save the send", func(s *store.Store) error {
			return s.SaveSend(ctx, control.Send{ID: 1, Tries: 1, FirstTry: at, NextTry: at})
		}, ""},
		{"create a member", func(s *store.Store) error {
			return s.CreateMember(ctx, control.Member{ID: "m1", Email: "a@b.example", Installation: true, CreatedAt: at},
				control.Lock{TOTP: secret.New("t"), Recovery: []control.RecoveryHash{{1}}}, &control.Membership{Workspace: 1, Member: "m1", Role: control.Viewer, CreatedAt: at})
		}, fault.Conflict},
		{"sign in", func(s *store.Store) error {
			return s.CreateSession(ctx, control.Session{ID: "s", Member: "m1", CreatedAt: at, SeenAt: at, ExpiresAt: at}, control.KeyHash{2})
		}, fault.Conflict},
		{"change the password", func(s *store.Store) error {
			return s.SetLock(ctx, "m1", control.Lock{TOTP: secret.New("t"), Recovery: []control.RecoveryHash{{1}}}, control.Lock{Password: secret.New("p")}, true, "")
		}, fault.Stale},
		{"invite somebody", func(s *store.Store) error {
			return s.CreateTicket(ctx, control.Ticket{ID: "t", Kind: control.TicketInvitation, CreatedAt: at, ExpiresAt: at.Add(time.Hour)}, control.KeyHash{3})
		}, ""},
		{"accept the invitation", func(s *store.Store) error {
			return s.UseTicket(ctx, "t", control.Member{ID: "m2", CreatedAt: at}, &control.LockChange{Next: control.Lock{Password: secret.New("p")}},
				&control.SeatChange{Next: control.Membership{Workspace: 1, Member: "m2", Role: control.Administrator, CreatedAt: at}})
		}, fault.NotFound},
		{"change a member, and log it", func(s *store.Store) error {
			return s.UpdateMember(control.WithEntry(ctx, control.Entry{At: at, Action: "member.update"}), control.Member{ID: "m2", Email: "c@d.example", Rev: 1})
		}, fault.Stale},
		{"use a key", func(s *store.Store) error { return s.TouchKeys(ctx, map[control.KeyID]time.Time{"k1": at}) }, ""},
		{"see whom to tell of keys", func(s *store.Store) error { return ignore(s.KeysToTell(ctx, at, 0)) }, ""},
		{"see who is told", func(s *store.Store) error { return ignore(s.Recipients(ctx, control.Notice{Workspace: 1})) }, ""},
		{"read notices", func(s *store.Store) error { return s.MarkNoticesRead(ctx, 1, "m2", 1) }, ""},
		{"begin a request", func(s *store.Store) error { _, _, err := s.BeginRepeat(ctx, control.Repeat{At: at}); return err }, ""},
		{"end it", func(s *store.Store) error { return s.EndRepeat(ctx, control.Repeat{At: at, Status: 200}) }, fault.Stale},
		{"make a key of the installation", func(s *store.Store) error { return ignore(s.InstallationKey(ctx, "k")) }, ""},
		{"sweep", func(s *store.Store) error { return s.Sweep(ctx, at.Add(1000*time.Hour)) }, ""},
		{"delete a member", func(s *store.Store) error { return s.DeleteMember(ctx, "m2") }, fault.NotFound},
		{"save health", func(s *store.Store) error { return s.SaveHealth(ctx, health) }, ""},
		{"read the ledger", func(s *store.Store) error { return ignore(s.Files(ctx, control.LedgerFilter{Connector: id}, 0, 10)) }, ""},
		{"point it to another bucket", func(s *store.Store) error { return s.UpdateConnector(ctx, conn(2, 2), &keys) }, fault.Stale},
		{"apply that", func(s *store.Store) error { return s.ApplyControl(ctx, log, 91, record(90, config(2, 2))) }, ""},
		{"bring the first lane to its end", func(s *store.Store) error {
			return ignore(s.Save(ctx, control.Save{Position: control.Position{Lane: l, Log: log, Cursor: 90, Version: 1, Seq: 4}}))
		}, fault.Stale},
		{"finish it", func(s *store.Store) error { return s.FinishLane(ctx, l) }, fault.Stale},
		{"ask how far to trim", func(s *store.Store) error { return ignore(s.RetentionFloor(ctx, log)) }, ""},
		{"accept a log that was set back", func(s *store.Store) error { return ignore(s.AcceptLog(ctx, log, 0, 80)) }, ""},
		{"accept another log", func(s *store.Store) error { return ignore(s.AcceptLog(ctx, other, 0, 5)) }, ""},
		{"let go of the lease", func(s *store.Store) error { return s.ReleaseLease(ctx, log, "me") }, ""},
	}
}

// database is where a life takes place: what differs between SQLite and PostgreSQL for a test that looks in from outside.
type database struct {
	every    int // one in so many of the calls that are no commit fails; with MILLRACE_SOAK=1 each
	fresh    func(t *testing.T) store.Config
	copied   func(t *testing.T, cfg store.Config) store.Config // one like it, which nobody has open
	contents func(t *testing.T, cfg store.Config) string       // every row of every table, one a line; of what is random, that it is there
	settle   func(t *testing.T, to, from store.Config)         // lets the next rows get the numbers that they would get in from
	full     func(t *testing.T) error                          // the driver's own error for a disk without room
}

// random are the columns that are not the same each time: what is sealed, and ids that are drawn.
var random = []string{"secret", "totp", "answer", "external_ids.value"}

func isRandom(table, column string) bool {
	return slices.Contains(random, column) || slices.Contains(random, table+"."+column)
}

func TestEachCallToSQLiteFailsOnce(t *testing.T) {
	d := throughSQLite()
	sweepFaults(t, d, planeLife)
	sweepFaults(t, d, peopleLife)
}

func throughSQLite() database {
	connect := func(t *testing.T, cfg store.Config) *sql.DB {
		t.Helper()
		db, err := sql.Open("sqlite", cfg.Path)
		ok(t, err)
		return db
	}
	fresh := func(t *testing.T) store.Config { return store.Config{Path: filepath.Join(t.TempDir(), "m.db")} }
	return database{
		every: 1,
		fresh: fresh,
		copied: func(t *testing.T, cfg store.Config) store.Config {
			t.Helper()
			b, err := os.ReadFile(cfg.Path) // the last who closed it has taken the write-ahead log in
			ok(t, err)
			out := fresh(t)
			ok(t, os.WriteFile(out.Path, b, 0o600))
			return out
		},
		contents: func(t *testing.T, cfg store.Config) string {
			t.Helper()
			db := connect(t, cfg)
			defer db.Close()
			var b strings.Builder
			for _, table := range store.Column(t, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name") {
				var parts []string
				for _, c := range store.Column(t, db, "SELECT name FROM pragma_table_info('"+table+"') ORDER BY cid") {
					if isRandom(table, c) {
						c = "typeof(" + c + ")"
					}
					parts = append(parts, "COALESCE(quote("+c+"), 'NULL')")
				}
				for _, row := range store.Column(t, db, "SELECT "+strings.Join(parts, " || ' ' || ")+" AS r FROM "+table+" ORDER BY r") {
					b.WriteString(table + ": " + row + "\n")
				}
			}
			return b.String()
		},
		settle: func(*testing.T, store.Config, store.Config) {}, // its numbers are given back by a transaction that fails
		full: func(t *testing.T) error {
			t.Helper()
			cfg := fresh(t)
			s, err := openAt(t, cfg)
			ok(t, err)
			ok(t, s.Close())
			db := connect(t, cfg)
			defer db.Close()
			db.SetMaxOpenConns(1)
			_, err = db.Exec("PRAGMA max_page_count = 1") // that is, as many as there are
			for range 1000 {
				if err != nil {
					return err
				}
				_, err = db.Exec("INSERT INTO settings VALUES (hex(randomblob(8)), hex(zeroblob(4000)))")
			}
			t.Fatal("the file grows without end")
			return nil
		},
	}
}

func TestEachCallToPostgreSQLFailsOnce(t *testing.T) {
	sweepFaults(t, throughPostgreSQL(), planeLife)
	sweepFaults(t, throughPostgreSQL(), peopleLife)
}

func throughPostgreSQL() database {
	connect := func(t *testing.T, cfg store.Config) *sql.DB {
		t.Helper()
		db, err := sql.Open("pgx", cfg.URL.Reveal())
		ok(t, err)
		return db
	}
	var rows string // the query for them: the same for each
	return database{
		every:  7, // it is slower to look into
		fresh:  func(t *testing.T) store.Config { return storetest.Postgres(t) },
		copied: func(t *testing.T, cfg store.Config) store.Config { return storetest.CopyPostgres(t, cfg) },
		contents: func(t *testing.T, cfg store.Config) string {
			t.Helper()
			db := connect(t, cfg)
			defer db.Close()
			if rows != "" {
				return strings.Join(store.Column(t, db, rows), "\n") + "\n"
			}
			parts := map[string][]string{}
			for _, c := range store.Column(t, db, "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position") {
				table, name, _ := strings.Cut(c, ".")
				as := name + "::text"
				if isRandom(table, name) {
					as = "CASE WHEN " + name + " IS NULL THEN 'null' ELSE 'something' END"
				}
				parts[table] = append(parts[table], "quote_nullable("+as+")")
			}
			var all []string
			for _, table := range slices.Sorted(maps.Keys(parts)) {
				all = append(all, "SELECT '"+table+": ' || "+strings.Join(parts[table], " || ' ' || ")+" AS r FROM "+table)
			}
			rows = strings.Join(all, " UNION ALL ") + " ORDER BY r"
			return strings.Join(store.Column(t, db, rows), "\n") + "\n"
		},
		settle: func(t *testing.T, to, from store.Config) {
			t.Helper()
			a, b := connect(t, to), connect(t, from)
			defer a.Close()
			defer b.Close()
			for _, name := range store.Column(t, b, "SELECT sequencename FROM pg_sequences ORDER BY 1") {
				_, err := a.Exec("SELECT setval('" + name + "', " + strings.Join(store.Column(t, b, "SELECT last_value || ', ' || is_called FROM "+name), "") + ")")
				ok(t, err)
			}
		},
		full: func(*testing.T) error { return &pgconn.PgError{Code: "53100", Message: "No space left on device"} },
	}
}

// Every call that the store makes to its driver fails once, in every transaction there is. An error is reported and
// says that repeating is safe; nothing of the transaction is there, or all of it where only the answer was lost; and
// a repetition ends in the state that a run without faults has.
func sweepFaults(t *testing.T, d database, l lifetime) {
	ctx := t.Context()
	ring, err := secret.NewKeyring()
	ok(t, err)
	types, err := event.NewCatalogue(nil)
	ok(t, err)
	full := d.full(t)
	// in does something in the database of cfg, through tr.
	in := func(cfg store.Config, tr *trouble, do func(s *store.Store)) {
		t.Helper()
		cfg.Keyring, cfg.Catalogue, cfg.Now = ring, types, func() time.Time { return time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC) }
		s, err := l.open(ctx, cfg)
		ok(t, err)
		end := store.Between(s, func(db *sql.DB) driver.Connector { return between{db, tr} })
		do(s)
		ok(t, end())
	}
	smooth, rough := d.fresh(t), d.fresh(t) // without faults, and with every one
	for _, cfg := range []store.Config{smooth, rough} {
		in(cfg, &trouble{}, func(*store.Store) {}) // to make its tables
	}
	reached := map[string]int{}
	check := func(name string, err error, got, want string) {
		t.Helper()
		if e := fault.As(err); e == nil || e.Code != fault.Unavailable || !e.Retry {
			t.Errorf("%s: the error is %v, want unavailable and worth repeating", name, err)
		}
		if got != want {
			t.Errorf("%s: it left\n%s", name, diff(got, want))
		}
	}
	for n, st := range l.steps(ctx) {
		before := d.contents(t, smooth)
		image := d.copied(t, smooth)
		quiet := &trouble{}
		in(smooth, quiet, func(s *store.Store) {
			if err := st.do(s); err != nil {
				t.Fatalf("%s: %v", st.name, err)
			}
		})
		after := d.contents(t, smooth)
		tr := &trouble{err: full}
		in(rough, tr, func(s *store.Store) {
			for k, what := range quiet.calls {
				if what != atCommit && (k+n)%d.every != 0 && os.Getenv("MILLRACE_SOAK") != "1" {
					continue
				}
				tr.calls, tr.failAt = nil, k+1
				reached[what]++
				check(fmt.Sprintf("%s, call %d, %s", st.name, k+1, what), st.do(s), d.contents(t, rough), before)
			}
			d.settle(t, rough, image)
			tr.failAt = 0
			if err := st.do(s); err != nil {
				t.Errorf("%s: the repetition says %v", st.name, err)
			}
		})
		if got := d.contents(t, rough); got != after {
			t.Errorf("%s: after the repetition there is\n%s", st.name, diff(got, after))
		}
		for k, what := range quiet.calls {
			if what != atCommit {
				continue
			}
			reached[atAnswer]++
			late, tr := d.copied(t, image), &trouble{failAt: k + 1, afterAll: true, err: full}
			in(late, tr, func(s *store.Store) {
				err := st.do(s)
				check(st.name+", answer of the commit", err, d.contents(t, late), after)
				if err := st.do(s); err != nil && !fault.Is(err, st.refused) {
					t.Errorf("%s: the repetition after a lost answer says %v", st.name, err)
				}
				if got := d.contents(t, late); got != after {
					t.Errorf("%s: after a lost answer and the repetition there is\n%s", st.name, diff(got, after))
				}
			})
		}
	}
	for _, kind := range l.reaches {
		if reached[kind] == 0 {
			t.Errorf("the sweep never reached a %s", kind)
		}
	}
	t.Logf("%v", reached)
}

// diff gives the lines that only one of both has.
func diff(got, want string) string {
	var b strings.Builder
	for line := range strings.Lines(got) {
		if !strings.Contains(want, line) {
			b.WriteString("  more: " + line)
		}
	}
	for line := range strings.Lines(want) {
		if !strings.Contains(got, line) {
			b.WriteString("  less: " + line)
		}
	}
	return b.String()
}
