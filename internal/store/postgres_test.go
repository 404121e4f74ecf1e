package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// overTCP gives cfg's database at another address, with a password.
func overTCP(t *testing.T, cfg store.Config, at, user, password string) store.Config {
	t.Helper()
	u, err := url.Parse(cfg.URL.Reveal())
	ok(t, err)
	cfg.URL = secret.New((&url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: at, Path: u.Path, RawQuery: "sslmode=disable"}).String())
	return cfg
}

func address(t *testing.T) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(storetest.StartPostgres(t).Port))
}

func TestADatabaseOfPostgreSQLThatCannotBeOpenedSaysWhy(t *testing.T) {
	cfg := storetest.EmptyPostgres(t)
	db := behind(t, cfg)
	_, err := db.Exec("CREATE ROLE guest LOGIN PASSWORD 'hunter2'")
	ok(t, err)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	ok(t, nobody.Close())
	const user, password = storetest.PostgresUser, storetest.PostgresPassword
	for name, row := range map[string]struct {
		cfg   store.Config
		code  fault.Code
		retry bool
		says  string
	}{
		"no URL":                        {store.Config{URL: secret.New("postgres://u:hunter2@h:port/d")}, fault.Invalid, false, "cannot be read"},
		"another password":              {overTCP(t, cfg, address(t), user, "hunter3"), fault.Unavailable, false, `does not let "millrace" work`},
		"no such database":              {overTCP(t, store.Config{URL: secret.New("postgres:///nowhere")}, address(t), user, password), fault.Unavailable, false, `database "nowhere"`},
		"a user who may make no tables": {overTCP(t, cfg, address(t), "guest", "hunter2"), fault.Unavailable, false, `does not let "guest" work`},
		"nobody there":                  {overTCP(t, cfg, nobody.Addr().String(), user, password), fault.Unavailable, true, nobody.Addr().String()},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := row.cfg
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // while nobody is there it is tried again
			defer cancel()
			_, err := openIn(ctx, t, cfg)
			e := fault.As(err)
			if e == nil || e.Code != row.code || e.Retry != row.retry || !strings.Contains(err.Error(), row.says) || fault.HintOf(err) == "" {
				t.Fatalf("error %v (hint %q), want %s … %s", err, fault.HintOf(err), row.code, row.says)
			}
			if s := fmt.Sprintf("%v %+v", err, e); strings.Contains(s, "hunter") {
				t.Fatalf("the error tells the password: %s", s)
			}
		})
	}
}

// A commit that was answered must survive, whatever the server's default is.
func TestEveryConnectionToPostgreSQLWaitsForTheDisk(t *testing.T) {
	for set, want := range map[string]string{"off": "on", "local": "on", "remote_apply": "remote_apply"} {
		cfg := storetest.Postgres(t)
		db := behind(t, cfg)
		_, err := db.Exec("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = " + set + "'; END $$")
		ok(t, err)
		s, err := openAt(t, cfg)
		ok(t, err)
		equal(t, "synchronous_commit of a database that has it "+set, store.Setting(t.Context(), t, s, "SHOW synchronous_commit"), want)
	}
}

// proxy stands between a store and its server.
type proxy struct {
	net.Listener
	to string

	mu    sync.Mutex
	conns []net.Conn
	dead  bool        // new connections are closed at once
	lose  atomic.Bool // the next commit is carried out, and its answer lost with the connection
	hold  atomic.Bool // what the server says stays here
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	p := &proxy{Listener: l, to: address(t)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(c)
		}
	}()
	t.Cleanup(func() { l.Close(); p.cut(true) })
	return p
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.to)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.dead {
		client.Close()
		return
	}
	p.conns = append(p.conns, client, server)
	var losing atomic.Bool
	pass := func(to, from net.Conn, see func(b []byte) bool) {
		defer to.Close()
		defer from.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := from.Read(b)
			if err != nil || !see(b[:n]) {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go pass(server, client, func(b []byte) bool {
		if bytes.Contains(bytes.ToLower(b), []byte("commit\x00")) && p.lose.CompareAndSwap(true, false) {
			losing.Store(true)
		}
		return true
	})
	go pass(client, server, func(b []byte) bool {
		for p.hold.Load() {
			time.Sleep(time.Millisecond)
		}
		return !losing.Load()
	})
}

// cut ends all connections; none is made any more if dead.
func (p *proxy) cut(dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = dead
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func unavailable(t *testing.T, err error) {
	t.Helper()
	if e := fault.As(err); e == nil || e.Code != fault.Unavailable || !e.Retry {
		t.Fatalf("error %v, want unavailable and passing", err)
	}
}

// launched makes a workspace with one connector, and gives its lane.
func launched(t testing.TB, s *store.Store, log eventlog.ID) control.Lane {
	t.Helper()
	ctx := context.Background()
	w := control.Workspace{Number: control.NewNumber(), UnknownFields: control.RejectUnknown}
	w.Name = fmt.Sprint("w", w.Number)
	c := control.Connector{Config: control.Config{Connector: control.NewConnectorID(), Number: w.Number, Workspace: w.Number, Version: 1, Name: "c",
		Destination: control.Destination{Number: 1, Bucket: "b", Folder: w.Name}}}
	for _, err := range []error{
		s.CreateWorkspace(ctx, w), s.CreateConnector(ctx, c, control.Credentials{}),
		s.ApplyControl(ctx, log, 1, []control.LoggedRecord{{Workspace: w.Number, Record: control.Record{Kind: control.RecordConfig, Config: &c.Config}}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return control.Lane{Connector: c.Connector, Destination: 1}
}

func TestALostServerIsFoundAgain(t *testing.T) {
	p := newProxy(t)
	s, err := openAt(t, overTCP(t, storetest.Postgres(t), p.Addr().String(), storetest.PostgresUser, storetest.PostgresPassword))
	ok(t, err)
	ctx, log := t.Context(), eventlog.ID{1}
	ok(t, s.SetCurrentLog(ctx, log))
	for range 3 {
		p.cut(true)
		unavailable(t, s.SetCurrentLog(ctx, log))
		_, _, err = s.CurrentLog(ctx)
		unavailable(t, err)
		_, err = s.RetentionFloor(ctx, log)
		unavailable(t, err)
		p.cut(false)
		for deadline := time.Now().Add(10 * time.Second); ; {
			_, _, err := s.CurrentLog(ctx)
			if err == nil {
				err = s.SetCurrentLog(ctx, log)
			}
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("ten seconds after the server came back: %v", err)
			}
		}
	}
	// One that keeps the connection and says nothing.
	store.Impatient(s, 50*time.Millisecond)
	p.hold.Store(true)
	unavailable(t, s.SetCurrentLog(ctx, log))
	_, _, err = s.CurrentLog(ctx)
	unavailable(t, err)
	_, err = s.RetentionFloor(ctx, log)
	unavailable(t, err)
	p.hold.Store(false)
	store.Impatient(s, time.Minute)
	ok(t, s.SetCurrentLog(ctx, log))
	_, _, err = s.CurrentLog(ctx)
	ok(t, err)
}

// Whose answer is lost is told so, and finds by itself that it was done: a save that is made again is stale.
func TestACommitWhoseAnswerWasLostIsSeenByTheNextOne(t *testing.T) {
	p := newProxy(t)
	s, err := openAt(t, overTCP(t, storetest.Postgres(t), p.Addr().String(), storetest.PostgresUser, storetest.PostgresPassword))
	ok(t, err)
	ctx, log := t.Context(), eventlog.ID{1}
	l := launched(t, s, log)
	had, err := s.Position(ctx, l)
	ok(t, err)
	sv := control.Save{Position: had, Files: []control.File{{Lane: l, Key: "k", Log: log, First: 1, Last: 9, Events: 9, At: time.Now()}}}
	sv.Position.Cursor = 10
	p.lose.Store(true)
	_, err = s.Save(ctx, sv)
	unavailable(t, err)
	if _, err = s.Save(ctx, sv); !fault.Is(err, fault.Stale) {
		t.Fatalf("the same save again: %v, want stale", err)
	}
	now, err := s.Position(ctx, l)
	ok(t, err)
	equal(t, "position", fmt.Sprint(now.Cursor, now.Seq), fmt.Sprint(10, had.Seq+1))
	files, err := s.Files(ctx, control.LedgerFilter{}, 0, 10)
	ok(t, err)
	equal(t, "files", len(files), 1)

	_, err = s.CountsCursor(ctx, log)
	ok(t, err)
	counts := []control.Count{{Workspace: 1, EventType: "a", Hour: 1, Events: 5}}
	p.lose.Store(true)
	unavailable(t, s.AddCounts(ctx, log, 10, counts))
	if err := s.AddCounts(ctx, log, 10, counts); !fault.Is(err, fault.Stale) {
		t.Fatalf("the same counts again: %v, want stale", err)
	}
	got, err := s.AcceptedCounts(ctx, 1, 0, 0)
	ok(t, err)
	equal(t, "counts", got[0].Events, 5)
}

// Saves of different connectors pass each other; whoever works on more than one connector is alone.
func TestWritersOfPostgreSQLWaitForThoseWhoConcernThem(t *testing.T) {
	cfg := storetest.Postgres(t)
	s, err := openAt(t, cfg)
	ok(t, err)
	l := launched(t, s, eventlog.ID{1})
	p, err := s.Position(t.Context(), l)
	ok(t, err)
	save := func(ctx context.Context) error { _, err := s.Save(ctx, control.Save{Position: p}); return err }
	name := func(ctx context.Context) error { return s.SetCurrentLog(ctx, eventlog.ID{1}) }
	for what, row := range map[string]struct {
		lock  string
		do    func(ctx context.Context) error
		waits bool
	}{
		"a save while others are saved":          {store.LockTogether(), save, false},
		"a save while somebody is alone":         {store.LockWriters(), save, true},
		"who must be alone while one is saved":   {store.LockTogether(), name, true},
		"who must be alone while another one is": {store.LockWriters(), name, true},
	} {
		tx, err := behind(t, cfg).Begin()
		ok(t, err)
		_, err = tx.Exec(row.lock)
		ok(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err = row.do(ctx)
		cancel()
		ok(t, tx.Rollback())
		if row.waits == (err == nil) {
			t.Errorf("%s: %v, waits: %v", what, err, row.waits)
		}
		if p, err = s.Position(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
}

// Machines' clocks differ, so a lease goes by the database's: here the process believes that it is the year 2000.
func TestALeaseGoesByOneClock(t *testing.T) {
	cfg := storetest.Postgres(t)
	log := eventlog.ID{1}
	synctest.Test(t, func(t *testing.T) {
		s, err := openAt(t, cfg)
		ok(t, err)
		got, err := s.AcquireLease(t.Context(), log, "a", time.Hour)
		ok(t, err)
		equal(t, "a lease on a free log", got, true)
		ok(t, s.Close())
	})
	s, err := openAt(t, cfg)
	ok(t, err)
	got, err := s.AcquireLease(t.Context(), log, "b", time.Hour)
	ok(t, err)
	equal(t, "the lease of another one that has not run out", got, false)
}

// The commands are those of docs/operator.md. A connector is saved all the while. What was ended since the copy must not
// work again: sessions are left out.
func TestACopyByPostgreSQLsOwnToolsIsWhole(t *testing.T) {
	ring, err := secret.NewKeyring()
	ok(t, err)
	types, err := catalogue()
	ok(t, err)
	from, to := storetest.Postgres(t), storetest.EmptyPostgres(t)
	for _, cfg := range []*store.Config{&from, &to} {
		cfg.Keyring, cfg.Catalogue = ring, types
	}
	s, err := store.Open(t.Context(), from)
	ok(t, err)
	defer s.Close()
	log := eventlog.ID{1}
	l := launched(t, s, log)
	p, err := s.Position(t.Context(), l)
	ok(t, err)
	save := func(s *store.Store, p *control.Position) {
		t.Helper()
		f := control.File{Lane: l, Key: fmt.Sprint(p.Cursor), Log: log, First: p.Cursor, Last: p.Cursor, Events: 1, At: time.Now()}
		p.Cursor++
		p.Seq, err = s.Save(t.Context(), control.Save{Position: *p, Files: []control.File{f}})
		ok(t, err)
	}
	save(s, &p)
	_, err = behind(t, from).Exec(`INSERT INTO members VALUES ('m', 'a@b.example', '', '', '', '', 1, '', NULL, NULL, 0, 0, NULL, 1);
		INSERT INTO sessions VALUES ('s', 'x', 'm', '', '', 0, 0, 9000000000000)`)
	ok(t, err)
	guide, err := os.ReadFile("../../docs/operator.md")
	ok(t, err)
	dir := t.TempDir()
	command := func(name string, cfg store.Config) *exec.Cmd {
		_, line, found := strings.Cut(string(guide), "\n"+name+" ")
		line, _, _ = strings.Cut(line, "\n")
		if !found {
			t.Fatalf("docs/operator.md has no line with %s", name)
		}
		cmd := exec.Command("sh", "-c", storetest.PostgresProgram(t, name)+" "+line)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "MILLRACE_DATABASE_URL="+cfg.URL.Reveal())
		cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
		return cmd
	}
	backup := command("pg_dump", from)
	ok(t, backup.Start())
	ended := make(chan error)
	go func() { ended <- backup.Wait() }()
	for running := true; running; {
		select {
		case err := <-ended:
			ok(t, err)
			running = false
		default:
			save(s, &p)
		}
	}
	ok(t, command("pg_restore", to).Run())

	r, err := store.Open(t.Context(), to)
	ok(t, err)
	defer r.Close()
	equal(t, "tables", schemaOf(t, behind(t, to), to), schemaOf(t, behind(t, from), from))
	var members, sessions int
	ok(t, behind(t, to).QueryRow("SELECT (SELECT COUNT(*) FROM members), (SELECT COUNT(*) FROM sessions)").Scan(&members, &sessions))
	equal(t, "members and sessions", fmt.Sprint(members, sessions), "1 0")
	q, err := r.Position(t.Context(), l)
	ok(t, err)
	files, err := r.Files(t.Context(), control.LedgerFilter{}, 0, 1_000_000)
	ok(t, err)
	if n := len(files); n == 0 || q.Seq != int64(n) || q.Cursor != eventlog.Offset(n+1) || q.Seq > p.Seq {
		t.Fatalf("position %+v with %d files: not of one moment", q, n)
	}
	_, err = r.Access(t.Context(), l)
	ok(t, err) // the same key opens it
	save(r, &q)
	more, err := r.Files(t.Context(), control.LedgerFilter{}, files[len(files)-1].ID, 10)
	ok(t, err)
	equal(t, "files written after the restore", len(more), 1)
}

func TestPeopleAreLookedForOneByOne(t *testing.T) {
	const many = 3000
	cfg := storetest.Postgres(t) // nothing is known of its tables
	p, err := store.OpenProfiles(t.Context(), cfg)
	ok(t, err)
	b := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1}
	var ids []control.PersonID
	var externals []string
	for row := range int64(many) {
		ids, externals = append(ids, control.PersonID(fmt.Sprint("id", row))), append(externals, fmt.Sprint("external", row))
		b.People = append(b.People, &control.Person{Row: row + 1, New: true, Workspace: 1, ID: ids[row], ExternalID: externals[row], CreatedAt: filterNow, UpdatedAt: filterNow})
		b.Identities = append(b.Identities, control.PersonIdentity{Workspace: 1, Identifier: control.Identifier{Kind: control.ByExternalID, Value: externals[row]}, Person: ids[row]})
	}
	ok(t, p.Apply(t.Context(), b))
	active, err := p.Active(t.Context(), 1, ids)
	ok(t, err)
	holders, err := p.Holders(t.Context(), 1, externals)
	ok(t, err)
	named, err := p.Identities(t.Context(), 1, control.ByExternalID, externals)
	ok(t, err)
	if len(active) != many || len(holders) != many || len(named) != many {
		t.Fatalf("%d, %d and %d were found, of %d", len(active), len(holders), len(named), many)
	}
	ok(t, p.Close()) // the server counts what a connection has read by its end
	db, err := sql.Open("pgx", cfg.URL.Reveal())
	ok(t, err)
	defer db.Close()
	var read int64
	for range 100 {
		ok(t, db.QueryRow("SELECT SUM(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE relname IN ('people', 'people_identities')").Scan(&read))
		if read >= 3*many {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if read < 2*many || read > 6*many {
		t.Errorf("%d rows were read to find %d", read, 3*many)
	}
}
