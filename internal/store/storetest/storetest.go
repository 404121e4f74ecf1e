// Package storetest is the suite that the store passes over every database: what the rooms that work with it rely
// on, tried from outside.
package storetest

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// Database is one empty database that can be opened several times.
type Database struct {
	// Config says where it is; the suite adds keyring, clock and trace.
	Config store.Config
}

// Run runs the suite. fresh gives a database that nobody has used.
func Run(t *testing.T, fresh func(t *testing.T) Database) {
	types, err := event.NewCatalogue(nil)
	ok(t, err)
	run := func(name string, f func(t *testing.T, e *env)) {
		t.Run(name, func(t *testing.T) {
			db := fresh(t)
			ring, err := secret.NewKeyring()
			ok(t, err)
			e := &env{t: t, cfg: db.Config, now: time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)}
			e.cfg.Keyring, e.cfg.Catalogue, e.cfg.Now = ring, types, func() time.Time { return e.now }
			e.cfg.OnStatement = func(string) { e.statements++ }
			rand.Read(e.log[:])
			e.Store = e.open()
			f(t, e)
		})
	}
	workspaces(run)
	connectors(run)
	positions(run)
	records(run)
	ledger(run)
	logs(run)
	hours(run)
	counts(run)
	schedules(run)
	notices(run)
	access(run)
	people(run)
	campaigns(run)
	entries(run)
	repeats(run)
	keys(run)
	overview(run)
	together(run)
	rights(run)
	identities(run)
	exports(run)
	reportSchedules(run)
}

type runner func(name string, f func(t *testing.T, e *env))

// env is a store under test with what a test needs around it.
type env struct {
	*store.Store
	t          *testing.T
	cfg        store.Config
	now        time.Time
	log        eventlog.ID
	statements int
}

// open opens the database once more.
func (e *env) open() *store.Store {
	e.t.Helper()
	s, err := store.Open(e.t.Context(), e.cfg)
	ok(e.t, err)
	e.t.Cleanup(func() { s.Close() })
	return s
}

// stored gives everything that the database holds: its files, or of a server all rows, bytes in hex.
func (e *env) stored() (all []byte) {
	e.t.Helper()
	if e.cfg.URL.Empty() {
		for _, name := range []string{e.cfg.Path, e.cfg.Path + "-wal"} {
			b, err := os.ReadFile(name)
			ok(e.t, err)
			all = append(all, b...)
		}
		return all
	}
	db, err := sql.Open("pgx", e.cfg.URL.Reveal())
	ok(e.t, err)
	defer db.Close()
	rows, err := db.Query("SELECT query_to_xml('SELECT t::text FROM ' || tablename || ' t', true, false, '') FROM pg_tables WHERE schemaname = 'public'")
	ok(e.t, err)
	defer rows.Close()
	for rows.Next() {
		var text []byte
		ok(e.t, rows.Scan(&text))
		all = append(all, text...)
	}
	ok(e.t, rows.Err())
	return all
}

// workspace makes a workspace.
func (e *env) workspace(name string) control.Workspace {
	e.t.Helper()
	w := control.Workspace{Number: control.NewNumber(), Name: name, UnknownFields: control.RejectUnknown, Language: "en", TimeZone: "UTC", CreatedAt: e.now}
	ok(e.t, e.CreateWorkspace(e.t.Context(), w))
	return w
}

// draft gives a connector that is not stored yet.
func (e *env) draft(w control.Workspace, name string) control.Connector {
	id := control.NewConnectorID()
	return control.Connector{
		Config: control.Config{
			Connector: id, Number: control.NewNumber(), Workspace: w.Number, Version: 1, Name: name,
			Destination: control.Destination{Number: 1, Bucket: "b", Folder: "f-" + string(id), Cluster: "prod-01", Zone: "default"},
			Events:      []string{"all"}, Codec: "deflate", FlushInterval: 5 * time.Minute, FlushEvents: 15000,
		},
		ContactEmail: "data@example.com", CreatedAt: e.now, AccessKeyID: "AKIA1",
	}
}

func credentials() control.Credentials {
	return control.Credentials{AccessKeyID: "AKIA1", SecretAccessKey: secret.New("s3cret")}
}

// connector makes a connector and takes up its control record at offset at.
func (e *env) connector(w control.Workspace, name string, at eventlog.Offset) control.Connector {
	e.t.Helper()
	c := e.draft(w, name)
	ok(e.t, e.CreateConnector(e.t.Context(), c, credentials()))
	e.apply(at, c.Config)
	return c
}

// apply takes up the record of n at offset at.
func (e *env) apply(at eventlog.Offset, n control.Config) {
	e.t.Helper()
	ok(e.t, e.ApplyControl(e.t.Context(), e.log, at+1, []control.LoggedRecord{
		{Offset: at, Workspace: n.Workspace, Record: control.Record{Kind: control.RecordConfig, Config: &n}}}))
}

// update makes c the state of its connector, and counts it up.
func (e *env) update(c *control.Connector, k *control.Credentials) {
	e.t.Helper()
	ok(e.t, e.UpdateConnector(e.t.Context(), *c, k))
	c.Rev++
}

// accept accepts log, and fails unless that many lanes may have lost events by it.
func (e *env) accept(log eventlog.ID, start, head eventlog.Offset, lost int) {
	e.t.Helper()
	got, err := e.AcceptLog(e.t.Context(), log, start, head)
	ok(e.t, err)
	equal(e.t, "lanes that may have lost events", got, lost)
}

// lane makes a connector that has taken its first control record at offset 9, and gives its lane.
func (e *env) lane() control.Lane {
	e.t.Helper()
	c := e.connector(e.workspace("acme"), "warehouse", 9)
	return laneOf(c.Config)
}

func laneOf(n control.Config) control.Lane {
	return control.Lane{Connector: n.Connector, Destination: n.Destination.Number}
}

// position loads a lane's position.
func (e *env) position(l control.Lane) control.Position {
	e.t.Helper()
	p, err := e.Position(e.t.Context(), l)
	ok(e.t, err)
	return p
}

// file gives a ledger row.
func (e *env) file(l control.Lane, first, last eventlog.Offset) control.File {
	return control.File{
		Lane: l, Key: fmt.Sprintf("currents/%010d.avro", first), Stream: control.Stream{Schema: 7, Hour: eventlog.HourOf(e.now)},
		EventType: "users.messages.email.Open", Log: e.log, First: first, Last: last, Events: int(last - first + 1),
		RawHash: [16]byte{1, 2, 3}, Size: 1234, Version: 1, Encoder: 1, Cut: "age", At: e.now,
	}
}

// drop gives a ledger row.
func (e *env) drop(l control.Lane, first, last eventlog.Offset) control.Drop {
	return control.Drop{
		Lane: l, Stream: control.Stream{Schema: 7, Hour: eventlog.HourOf(e.now)}, EventType: "users.messages.email.Open",
		Log: e.log, First: first, Last: last, Events: int64(last - first + 1), Reason: control.DropGrace, At: e.now,
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want fails unless err carries code.
func want(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("error %v (%s), want %s", err, fault.CodeOf(err), code)
	}
}

// equal fails unless got is what was wanted, printed.
func equal[T any](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", wanted); g != w {
		t.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// spoil changes what is stored behind the store's back.
func (e *env) spoil(statement string) {
	e.t.Helper()
	driver, at := "sqlite", (&url.URL{Scheme: "file", Path: e.cfg.Path}).String()
	if !e.cfg.URL.Empty() {
		driver, at = "pgx", e.cfg.URL.Reveal()
	}
	db, err := sql.Open(driver, at)
	ok(e.t, err)
	defer db.Close()
	_, err = db.Exec(statement)
	ok(e.t, err)
}
