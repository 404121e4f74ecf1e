package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/millrace/millrace/internal/fault"
)

type sqlite struct{}

// How many statements may read at once.
const readers = 8

func (sqlite) schema(text string) string { return text }

func (sqlite) open(cfg Config, bulk bool) (write, read *sql.DB, err error) {
	path, err := filepath.Abs(cfg.Path)
	if err == nil {
		err = registerPacked()
	}
	if err != nil {
		return nil, nil, err
	}
	dsn := func(options ...string) string {
		q := url.Values{"_pragma": append([]string{
			// Another process may be writing, or bringing the schema up to date.
			"busy_timeout(10000)",
			"journal_mode(WAL)",
			// The log is trimmed by positions that stand here, so a commit must be on the disk.
			"synchronous(FULL)",
			"foreign_keys(1)",
		}, options...)}
		return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
	}
	var options []string
	if bulk {
		// A large transaction keeps its pages and its journals of statements in memory, and the file is brought up to
		// date after many. Pages are of 4 KiB.
		options = []string{"cache_size(-49152)", "temp_store(MEMORY)", "wal_autocheckpoint(8192)"}
	}
	// A transaction that began by reading could not always go on to write.
	if write, err = sql.Open("sqlite", dsn(options...)+"&_txlock=immediate"); err != nil {
		return nil, nil, err
	}
	write.SetMaxOpenConns(1)
	if read, err = sql.Open("sqlite", dsn("query_only(1)")); err != nil {
		return nil, nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return write, read, nil
}

func (sqlite) bind(query string, args []any) (string, []any) { return query, args }

// begin has nothing to do: BEGIN IMMEDIATE lets one transaction of all processes write, and each part is a file.
func (sqlite) begin(context.Context, *sql.Tx, int64, string) error { return nil }

func (sqlite) number(column string, path ...string) string {
	return "json_extract(" + column + ", '$." + strings.Join(path, ".") + "')"
}

// Source: https://www.sqlite.org/autoinc.html.
func (sqlite) lastNumber(table, _ string) string {
	return "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '" + table + "'), 0)"
}

func (sqlite) setLastNumber(table, _ string) []string {
	return []string{ // the row is there once one was inserted
		"INSERT INTO sqlite_sequence (name, seq) SELECT '" + table + "', 0 WHERE ? > 0 AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '" + table + "')",
		"UPDATE sqlite_sequence SET seq = ? WHERE name = '" + table + "'",
	}
}

func (sqlite) clock() string { return "" }

// Source: https://www.sqlite.org/rescode.html. The low byte is the kind, the rest the detail.
func (sqlite) code(err error) (fault.Code, bool) {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return fault.Internal, false
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_CONSTRAINT:
		if c := e.Code(); c == codes.SQLITE_CONSTRAINT_UNIQUE || c == codes.SQLITE_CONSTRAINT_PRIMARYKEY {
			return fault.Conflict, false
		}
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return fault.Corrupt, false
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_FULL, codes.SQLITE_IOERR, codes.SQLITE_INTERRUPT,
		codes.SQLITE_NOMEM, codes.SQLITE_PROTOCOL:
		return fault.Unavailable, true
	// No use in trying again: somebody has to change rights or mounts.
	case codes.SQLITE_CANTOPEN, codes.SQLITE_READONLY, codes.SQLITE_PERM, codes.SQLITE_AUTH:
		return fault.Unavailable, false
	}
	return fault.Internal, false
}

func (sqlite) explain(cfg Config, retry bool) *fault.Error {
	if retry {
		return nil
	}
	return fault.New(fault.Unavailable, "", "%s, or a file beside it, cannot be made or written", cfg.Path).
		WithHint("See who owns the folder and its files, and whether the file system is mounted read-only.")
}

func (sqlite) far() bool { return false }

func (sqlite) patience() time.Duration { return 0 }
