package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// What the server's one user is called, and what it says over TCP; over the socket nobody is asked.
const (
	PostgresUser     = "millrace"
	PostgresPassword = "hunter2"
)

// Server is a PostgreSQL server of this test process, with nothing of the machine's own set-up. Its texts are ordered
// as in English unless a column says otherwise. What is committed need not survive a crash of the machine.
type Server struct {
	Dir  string // of the socket and of everything else
	Port int    // at 127.0.0.1, with a password, and of the socket, without

	cmd   *exec.Cmd
	ended chan struct{}
	admin *sql.DB
	said  bytes.Buffer
	names atomic.Int64
}

// Main runs a package's tests, and ends the server that they have used. It is for TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if s := running.Load(); s != nil {
		s.stop()
	}
	os.Exit(code)
}

var (
	running atomic.Pointer[Server]
	start   = sync.OnceValues(func() (*Server, error) {
		s, err := startPostgres()
		if err == nil {
			running.Store(s)
		}
		return s, err
	})
)

// StartPostgres gives the one server of this process, which its first call starts. The package has to end it by Main.
// It needs PostgreSQL's programs on the machine: the test fails where they are not.
func StartPostgres(tb testing.TB) *Server {
	tb.Helper()
	s, err := start()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Postgres gives a database that nobody has used, with today's tables. It goes when the test ends.
func Postgres(tb testing.TB) store.Config {
	tb.Helper()
	s := StartPostgres(tb)
	return store.Config{URL: secret.New(s.URL(s.create(tb, "fresh")))}
}

// EmptyPostgres gives a database without anything in it. It goes when the test ends.
func EmptyPostgres(tb testing.TB) store.Config {
	tb.Helper()
	s := StartPostgres(tb)
	return store.Config{URL: secret.New(s.URL(s.create(tb, "template0")))}
}

// CopyPostgres gives a database like that of cfg, which nobody has open. It goes when the test ends.
func CopyPostgres(tb testing.TB, cfg store.Config) store.Config {
	tb.Helper()
	s := StartPostgres(tb)
	u, err := url.Parse(cfg.URL.Reveal())
	if err != nil {
		tb.Fatal(err)
	}
	return store.Config{URL: secret.New(s.URL(s.create(tb, strings.TrimPrefix(u.Path, "/"))))}
}

// URL names a database of the server, over its socket.
func (s *Server) URL(database string) string {
	q := url.Values{"host": {s.Dir}, "port": {strconv.Itoa(s.Port)}, "user": {PostgresUser}}
	return "postgres:///" + database + "?" + q.Encode()
}

// create makes a database like another one.
func (s *Server) create(tb testing.TB, like string) string {
	tb.Helper()
	name := fmt.Sprintf("t%d", s.names.Add(1))
	if _, err := s.admin.Exec("CREATE DATABASE " + name + " TEMPLATE " + like); err != nil {
		tb.Fatal(err)
	}
	// Nobody waits for that: what is left goes with the server.
	tb.Cleanup(func() { go s.admin.Exec("DROP DATABASE " + name + " WITH (FORCE)") })
	return name
}

// Outage makes the database of cfg one that nobody reaches, until its end is called.
func Outage(tb testing.TB, cfg store.Config) (end func()) {
	tb.Helper()
	s := StartPostgres(tb)
	u, err := url.Parse(cfg.URL.Reveal())
	if err != nil {
		tb.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	for _, do := range []string{"ALTER DATABASE " + name + " ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'"} {
		if _, err := s.admin.Exec(do); err != nil {
			tb.Fatal(err)
		}
	}
	return func() {
		if _, err := s.admin.Exec("ALTER DATABASE " + name + " ALLOW_CONNECTIONS true"); err != nil {
			tb.Fatal(err)
		}
	}
}

// program finds one of PostgreSQL's programs, of the newest version there is. Debian keeps those of the server apart.
func program(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well formed
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // what is no number is older than all
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if len(found) > 0 {
		return found[0], nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		err = fmt.Errorf("these tests need PostgreSQL's programs (%s): run `make postgres`, or install the package postgresql: %w", name, err)
	}
	return path, err
}

// PostgresProgram gives the path of one of PostgreSQL's programs.
func PostgresProgram(tb testing.TB, name string) string {
	tb.Helper()
	path, err := program(name)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

func startPostgres() (_ *Server, err error) {
	sweep()
	dir, err := os.MkdirTemp(memory(), folders) // short: a socket's path has at most 108 bytes
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.said.String())
			s.stop()
		}
	}()
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} // a killed test leaves no server behind
	if as.Credential, err = servant(); err != nil {
		return s, err
	}
	if c := as.Credential; c != nil {
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			return s, err
		}
	}
	run := func(name string, args ...string) (*exec.Cmd, error) {
		path, err := program(name)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.Env, cmd.SysProcAttr = dir, []string{"PATH=" + os.Getenv("PATH")}, as
		cmd.Stdout, cmd.Stderr = &s.said, &s.said
		return cmd, nil
	}
	data, password := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(PostgresPassword), 0o644); err != nil {
		return s, err
	}
	initdb, err := run("initdb", "-D", data, "-U", PostgresUser, "--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile="+password,
		"-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US", "--no-sync", "--no-instructions")
	if err != nil {
		return s, err
	}
	if err := initdb.Run(); err != nil {
		return s, fmt.Errorf("initdb: %w", err)
	}
	s.said.Reset()
	if s.Port, err = freePort(); err != nil {
		return s, err
	}
	if s.cmd, err = run("postgres", "-D", data, "-k", dir, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "max_connections=200", "-c", "shared_buffers=32MB",
		"-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "autovacuum=off", "-c", "log_min_messages=fatal"); err != nil {
		return s, err
	}
	began := make(chan error)
	go func() {
		runtime.LockOSThread() // the server gets its signal when this thread ends, so it may not end before
		began <- s.cmd.Start()
		_ = s.cmd.Wait() // it says itself why it ends
		close(s.ended)
	}()
	if err := <-began; err != nil {
		return s, err
	}
	if s.admin, err = sql.Open("pgx", s.URL("postgres")); err != nil {
		return s, err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err = s.admin.Ping(); err == nil {
			break
		}
		select {
		case <-s.ended:
			return s, errors.New("postgres ended")
		default:
		}
		if time.Now().After(deadline) {
			return s, fmt.Errorf("postgres does not answer: %w", err)
		}
	}
	return s, s.migrated("fresh")
}

// migrated makes a database with today's tables.
func (s *Server) migrated(name string) error {
	if _, err := s.admin.Exec("CREATE DATABASE " + name); err != nil {
		return err
	}
	ring, err := secret.NewKeyring()
	if err != nil {
		return err
	}
	db, err := store.Open(context.Background(), store.Config{URL: secret.New(s.URL(name)), Keyring: ring, Catalogue: &event.Catalogue{}})
	if err != nil {
		return err
	}
	return db.Close()
}

// folders is how those of the servers begin.
const folders = "millrace-pg"

// sweep removes the folders of servers whose test could not: it panicked or was killed. They hold memory.
func sweep() {
	found, _ := filepath.Glob(filepath.Join(memory(), folders+"*")) // the pattern is well formed
	for _, dir := range found {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < 10*time.Minute {
			continue // it may be about to start
		}
		lines, _ := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid")) // none: it has ended
		first, _, _ := strings.Cut(string(lines), "\n")
		if pid, err := strconv.Atoi(first); err == nil && syscall.Kill(pid, 0) == nil {
			continue
		}
		_ = os.RemoveAll(dir) // what stays hurts nobody but this machine
	}
}

// memory gives a folder in memory, where making a database takes half as long, if there is one with room; else that for
// temporary files.
func memory() string {
	const dir = "/dev/shm"
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Bavail*uint64(st.Bsize) < 2<<30 {
		return os.TempDir()
	}
	return dir
}

func (s *Server) stop() {
	if s.admin != nil {
		_ = s.admin.Close() // the server goes next
	}
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // at once; it may have ended
		<-s.ended
	}
	_ = os.RemoveAll(s.Dir) // a temporary folder that stays hurts nobody
}

// servant gives the user as whom the server runs: it refuses to be root.
func servant() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
			gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
