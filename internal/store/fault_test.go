package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
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
	calls    []string
	failAt   int
	afterAll bool // the failing call, a commit, has its effect
	err      error
}

// meet counts a call and tells whether it is the one that fails.
func (t *trouble) meet(call string) bool {
	t.calls = append(t.calls, call)
	return len(t.calls) == t.failAt
}

// between puts trouble between a pool of the store and its driver.
func between(db *sql.DB, t *trouble, conns int) *sql.DB {
	out := sql.OpenDB(&connector{db, t})
	out.SetMaxOpenConns(conns)
	return out
}

type connector struct {
	db *sql.DB
	t  *trouble
}

func (c *connector) Driver() driver.Driver { return c.db.Driver() }

// Connect borrows a connection of the pool for as long as this one lives.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
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
	// SQLite rolls back what it cannot commit. Source: https://www.sqlite.org/lang_transaction.html §3.
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
	do   func(s *Store) error
	// refused is what a repetition of a call may say whose effect is there already.
	refused fault.Code
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
	count := func(s *Store, next eventlog.Offset, c []control.Count) error {
		if at, err := s.CountsCursor(ctx, log); err != nil || at >= next {
			return err
		}
		return s.AddCounts(ctx, log, next, c)
	}
	ignore := func(_ any, err error) error { return err }
	return []step{
		{"create a workspace", func(s *Store) error {
			return s.CreateWorkspace(ctx, control.Workspace{Number: 1, Name: "acme", UnknownFields: control.RejectUnknown, CreatedAt: at})
		}, fault.Conflict},
		{"create a key", func(s *Store) error {
			return s.CreateKey(ctx, control.APIKey{ID: "k1", Workspace: 1, Name: "producer", Scopes: []control.Scope{"events.write"}, CreatedAt: at}, control.KeyHash{1})
		}, fault.Conflict},
		{"name the log", func(s *Store) error { return s.SetCurrentLog(ctx, log) }, ""},
		{"take the lease", func(s *Store) error { return ignore(s.AcquireLease(ctx, log, "me", time.Minute)) }, ""},
		{"renew the lease", func(s *Store) error { return ignore(s.RenewLease(ctx, log, "me", time.Minute)) }, ""},
		{"record schemas", func(s *Store) error {
			return s.RecordSchemas(ctx, []control.SchemaPrint{{ID: 1, Type: "t", Fingerprint: [32]byte{1}}, {ID: 2, Type: "t", Fingerprint: [32]byte{2}}})
		}, ""},
		{"create a connector", func(s *Store) error { return s.CreateConnector(ctx, conn(1, 1), keys) }, fault.Conflict},
		{"ask for configurations without records", func(s *Store) error { return ignore(s.PendingConfigs(ctx)) }, ""},
		{"begin its lane", func(s *Store) error { return s.ApplyControl(ctx, log, 10, record(9, config(1, 1))) }, ""},
		{"load the position", func(s *Store) error { return ignore(s.Position(ctx, l)) }, ""},
		{"count events", func(s *Store) error {
			return count(s, 40, []control.Count{{Workspace: 1, EventType: "a", Hour: hour, Events: 20}, {Workspace: 1, EventType: "b", Hour: hour, Events: 10}})
		}, ""},
		{"mark the hour as over", func(s *Store) error {
			return s.ApplyControl(ctx, log, 40, []control.LoggedRecord{{Offset: 39, Record: control.Record{Kind: control.RecordHour, Hour: hour}}})
		}, ""},
		{"count more events", func(s *Store) error {
			return count(s, 50, []control.Count{{Workspace: 1, EventType: "a", Hour: hour, Events: 10}})
		}, ""},
		{"save a position with files", func(s *Store) error {
			return ignore(s.Save(ctx, control.Save{
				Position: control.Position{Lane: l, Log: log, Cursor: 20, Version: 1, Seq: 0,
					Links: map[control.Stream]eventlog.Offset{stream(1): 39}, Plans: []control.Plan{{Stream: stream(2), First: 40, Last: 49}}},
				Files: []control.File{file(1, 10, 19), file(1, 20, 39)},
			}))
		}, fault.Stale},
		{"save a position with a drop", func(s *Store) error {
			return ignore(s.Save(ctx, control.Save{
				Position: control.Position{Lane: l, Log: log, Cursor: 60, Version: 1, Seq: 1, Links: map[control.Stream]eventlog.Offset{stream(3): 70}},
				Files:    []control.File{file(3, 60, 70)}, Drops: []control.Drop{drop},
			}))
		}, fault.Stale},
		{"settle the drop", func(s *Store) error {
			settled := drop
			settled.ID, settled.Events, settled.Settled = 1, 15, true
			return ignore(s.Save(ctx, control.Save{
				Position: control.Position{Lane: l, Log: log, Cursor: 60, Version: 1, Seq: 2, Links: map[control.Stream]eventlog.Offset{stream(3): 70}},
				Files:    []control.File{file(2, 40, 44)}, Drops: []control.Drop{settled},
			}))
		}, fault.Stale},
		{"complete the hour", func(s *Store) error { return ignore(s.CompleteHours(ctx, log)) }, ""},
		{"find the hour", func(s *Store) error { _, _, err := s.HourDone(ctx, 1, id, hour); return err }, ""},
		{"recover the drop", func(s *Store) error {
			recovered := drop
			recovered.ID, recovered.First, recovered.Events = 1, 50, 5
			return s.RecoverDrop(ctx, recovered, []control.File{file(4, 45, 49)})
		}, ""},
		{"make external ids", func(s *Store) error {
			return ignore(s.ExternalID(ctx, 1, control.IntegrationCurrents))
		}, ""},
		{"save a data export", func(s *Store) error {
			return s.SaveDataExport(ctx, control.DataExport{Workspace: 1, Bucket: "x", RoleARN: "arn", CreatedAt: at, UpdatedAt: at}, control.Credentials{RoleARN: "arn"})
		}, fault.Stale},
		{"delete the data export", func(s *Store) error { return s.DeleteDataExport(ctx, 1) }, fault.NotFound},
		{"save a draft", func(s *Store) error {
			return s.SaveDraft(ctx, control.Draft{ID: "d", Workspace: 1, CreatedAt: at, UpdatedAt: at})
		}, fault.Conflict},
		{"delete the draft", func(s *Store) error { return s.DeleteDraft(ctx, 1, "d") }, fault.NotFound},
		{"remember a check", func(s *Store) error {
			if rows, err := s.Checks(ctx, 1, id, 1); err != nil || len(rows) > 0 {
				return err
			}
			return s.AddCheck(ctx, control.CheckRow{Workspace: 1, Connector: id, Trigger: control.CheckDemand, Report: []byte("{}"), At: at})
		}, ""},
		{"add a job", func(s *Store) error {
			if jobs, err := s.WaitingJobs(ctx); err != nil || len(jobs) > 0 {
				return err
			}
			return ignore(s.AddJob(ctx, control.Job{Kind: control.JobReplay, Workspace: 1, State: control.JobWaiting, CreatedAt: at}))
		}, ""},
		{"begin the job", func(s *Store) error {
			return s.SaveJob(ctx, control.Job{ID: 1, Workspace: 1, State: control.JobRunning})
		}, ""},
		{"say how far it is", func(s *Store) error { return s.JobProgress(ctx, 1, []byte("{}")) }, ""},
		{"save the job", func(s *Store) error {
			return s.SaveJob(ctx, control.Job{ID: 1, Workspace: 1, State: control.JobDone, DoneAt: at})
		}, ""},
		{"add a notice", func(s *Store) error {
			return s.AddNotice(ctx, control.Notice{Workspace: 1, Connector: id, Kind: control.NoticeFailing, Episode: "1", At: at})
		}, ""},
		{"plan its sends", func(s *Store) error {
			return s.PlanSends(ctx, []int64{1}, []control.Send{{Notices: []int64{1}, Channel: control.ChannelMail, Address: "a@b.example", NextTry: at}})
		}, fault.Stale},
		{"look what is due", func(s *Store) error { return ignore(s.DueSends(ctx, at, 10)) }, ""},
		{"save the send", func(s *Store) error { return s.SaveSend(ctx, control.Send{ID: 1, Tries: 1, FirstTry: at, NextTry: at}) }, ""},
		{"create a member", func(s *Store) error {
			return s.CreateMember(ctx, control.Member{ID: "m1", Email: "a@b.example", Installation: true, CreatedAt: at},
				control.Lock{TOTP: secret.New("t"), Recovery: []control.RecoveryHash{{1}}}, &control.Membership{Workspace: 1, Member: "m1", Role: control.Viewer, CreatedAt: at})
		}, fault.Conflict},
		{"sign in", func(s *Store) error {
			return s.CreateSession(ctx, control.Session{ID: "s", Member: "m1", CreatedAt: at, SeenAt: at, ExpiresAt: at}, control.KeyHash{2})
		}, fault.Conflict},
		{"change the password", func(s *Store) error {
			return s.SetLock(ctx, "m1", control.Lock{TOTP: secret.New("t"), Recovery: []control.RecoveryHash{{1}}}, control.Lock{Password: secret.New("p")}, true, "")
		}, fault.Stale},
		{"invite somebody", func(s *Store) error {
			return s.CreateTicket(ctx, control.Ticket{ID: "t", Kind: control.TicketInvitation, CreatedAt: at, ExpiresAt: at.Add(time.Hour)}, control.KeyHash{3})
		}, ""},
		{"accept the invitation", func(s *Store) error {
			return s.UseTicket(ctx, "t", control.Member{ID: "m2", CreatedAt: at}, &control.LockChange{Next: control.Lock{Password: secret.New("p")}},
				&control.SeatChange{Next: control.Membership{Workspace: 1, Member: "m2", Role: control.Administrator, CreatedAt: at}})
		}, fault.NotFound},
		{"change a member, and log it", func(s *Store) error {
			return s.UpdateMember(control.WithEntry(ctx, control.Entry{At: at, Action: "member.update"}), control.Member{ID: "m2", Email: "c@d.example", Rev: 1})
		}, fault.Stale},
		{"use a key", func(s *Store) error { return s.TouchKeys(ctx, map[control.KeyID]time.Time{"k1": at}) }, ""},
		{"see whom to tell of keys", func(s *Store) error { return ignore(s.KeysToTell(ctx, at, 0)) }, ""},
		{"see who is told", func(s *Store) error { return ignore(s.Recipients(ctx, control.Notice{Workspace: 1})) }, ""},
		{"read notices", func(s *Store) error { return s.MarkNoticesRead(ctx, 1, "m2", 1) }, ""},
		{"begin a request", func(s *Store) error { _, _, err := s.BeginRepeat(ctx, control.Repeat{At: at}); return err }, ""},
		{"end it", func(s *Store) error { return s.EndRepeat(ctx, control.Repeat{At: at, Status: 200}) }, fault.Stale},
		{"make a key of the installation", func(s *Store) error { return ignore(s.InstallationKey(ctx, "k")) }, ""},
		{"sweep", func(s *Store) error { return s.Sweep(ctx, at.Add(1000*time.Hour)) }, ""},
		{"delete a member", func(s *Store) error { return s.DeleteMember(ctx, "m2") }, fault.NotFound},
		{"save health", func(s *Store) error { return s.SaveHealth(ctx, health) }, ""},
		{"read the ledger", func(s *Store) error { return ignore(s.Files(ctx, control.LedgerFilter{Connector: id}, 0, 10)) }, ""},
		{"point it to another bucket", func(s *Store) error { return s.UpdateConnector(ctx, conn(2, 2), &keys) }, fault.Stale},
		{"apply that", func(s *Store) error { return s.ApplyControl(ctx, log, 91, record(90, config(2, 2))) }, ""},
		{"bring the first lane to its end", func(s *Store) error {
			return ignore(s.Save(ctx, control.Save{Position: control.Position{Lane: l, Log: log, Cursor: 90, Version: 1, Seq: 4}}))
		}, fault.Stale},
		{"finish it", func(s *Store) error { return s.FinishLane(ctx, l) }, fault.Stale},
		{"ask how far to trim", func(s *Store) error { return ignore(s.RetentionFloor(ctx, log)) }, ""},
		{"accept a log that was set back", func(s *Store) error { return ignore(s.AcceptLog(ctx, log, 0, 80)) }, ""},
		{"accept another log", func(s *Store) error { return ignore(s.AcceptLog(ctx, other, 0, 5)) }, ""},
		{"let go of the lease", func(s *Store) error { return s.ReleaseLease(ctx, log, "me") }, ""},
	}
}

// Every call that the store makes to its driver fails once, in every transaction there is. An error is reported and
// says that repeating is safe; nothing of the transaction is there, or all of it where only the answer was lost; and
// a repetition ends in the state that a run without faults has.
func TestEachCallToTheDatabaseFailsOnce(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	ring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	types, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(path string) *Store {
		t.Helper()
		s, err := Open(ctx, Config{Path: path, Keyring: ring, Catalogue: types, Now: func() time.Time { return time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC) }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	full := fullDisk(t, open(filepath.Join(dir, "full.db")))
	path := filepath.Join(dir, "m.db")
	open(path).Close()
	reached := map[string]int{}
	cases := 0
	for n, st := range life(ctx) {
		before, image := contents(t, path), readAll(t, path)
		var calls []string
		{ // without faults
			tr := &trouble{}
			s := open(path)
			close := withTrouble(t, s, tr)
			if err := st.do(s); err != nil {
				t.Fatalf("%s: %v", st.name, err)
			}
			calls = tr.calls
			close()
		}
		after, next := contents(t, path), readAll(t, path)
		for k := 1; k <= len(calls); k++ {
			// Commits always; of the rest every second one, or with MILLRACE_SOAK=1 all.
			if calls[k-1] != atCommit && (n+k)%2 == 1 && os.Getenv("MILLRACE_SOAK") != "1" {
				continue
			}
			kinds := []bool{false}
			if calls[k-1] == atCommit {
				kinds = []bool{false, true}
			}
			for _, late := range kinds {
				what := calls[k-1]
				if late {
					what = atAnswer
				}
				reached[what]++
				cases++
				name := fmt.Sprintf("%s, call %d of %d, %s", st.name, k, len(calls), what)
				again := filepath.Join(dir, fmt.Sprintf("%d-%d-%v.db", n, k, late))
				if err := os.WriteFile(again, image, 0o600); err != nil {
					t.Fatal(err)
				}
				s := open(again)
				tr := &trouble{failAt: k, afterAll: late, err: full}
				close := withTrouble(t, s, tr)
				err := st.do(s)
				if e := fault.As(err); e == nil || e.Code != fault.Unavailable || !e.Retry {
					t.Errorf("%s: the error is %v, want unavailable and worth repeating", name, err)
				}
				switch got := contents(t, again); {
				case late && got != after:
					t.Errorf("%s: a commit whose answer was lost left\n%s", name, diff(got, after))
				case !late && got != before:
					t.Errorf("%s: a failed transaction left\n%s", name, diff(got, before))
				}
				if err := st.do(s); err != nil && !(late && fault.Is(err, st.refused)) {
					t.Errorf("%s: the repetition says %v", name, err)
				}
				if got := contents(t, again); got != after {
					t.Errorf("%s: after the repetition there is\n%s", name, diff(got, after))
				}
				close()
				os.Remove(again)
			}
		}
		if err := os.WriteFile(path, next, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{atBegin, atPrepare, atExec, atQuery, atRow, atCommit, atAnswer} {
		if reached[kind] == 0 {
			t.Errorf("the sweep never reached a %s", kind)
		}
	}
	t.Logf("%d faults: %v", cases, reached)
}

// withTrouble puts tr between s and its driver until close, which closes s.
func withTrouble(t *testing.T, s *Store, tr *trouble) (close func()) {
	write, read := s.write, s.read
	s.write, s.read = between(write, tr, 1), between(read, tr, readers)
	return func() {
		if err := errors.Join(s.Close(), read.Close(), write.Close()); err != nil { // the last one takes the write-ahead log in
			t.Error(err)
		}
	}
}

// fullDisk gives the driver's own error for a disk without room.
func fullDisk(t *testing.T, s *Store) error {
	t.Helper()
	defer s.Close()
	LimitPages(t.Context(), t, s, 0)
	for range 1000 {
		if _, err := s.write.ExecContext(t.Context(), "INSERT INTO settings VALUES (hex(randomblob(8)), hex(zeroblob(4000)))"); err != nil {
			return err
		}
	}
	t.Fatal("the file grows without end")
	return nil
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// contents gives every row of every table, one a line. What is sealed differs each time and is left out.
func contents(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b strings.Builder
	for _, table := range column(t, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name") {
		var parts []string
		for _, c := range column(t, db, "SELECT name FROM pragma_table_info('"+table+"') ORDER BY cid") {
			if slices.Contains([]string{"secret", "totp", "answer"}, c) || table == "external_ids" && c == "value" { // random
				c = "typeof(" + c + ")"
			}
			parts = append(parts, "COALESCE(quote("+c+"), 'NULL')")
		}
		for _, row := range column(t, db, "SELECT "+strings.Join(parts, " || ' ' || ")+" AS r FROM "+table+" ORDER BY r") {
			b.WriteString(table + ": " + row + "\n")
		}
	}
	return b.String()
}

func column(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
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
