package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// dialect is what differs between databases.
type dialect interface {
	// open gives a handle for writers and one for readers. Errors: invalid.
	open(cfg Config, bulk bool) (write, read *sql.DB, err error)
	// schema gives a migration in the database's own words.
	schema(text string) string
	// bind gives a statement with its ? and their values in the database's own form.
	bind(query string, args []any) (string, []any)
	// begin makes a transaction that has just begun the only one that writes; or, if it names a scope, the only one
	// that writes there. See inScope. Parts of the database with different locks do not wait for each other.
	begin(ctx context.Context, tx *sql.Tx, lock int64, scope string) error
	// number is an expression for the whole number at a path of a column that holds a JSON object; NULL if there is none.
	// Everything in it is ours.
	number(column string, path ...string) string
	// lastNumber is a query for the last number that a table has given to a row, in a column; 0 if none.
	lastNumber(table, column string) string
	// setLastNumber are statements that each take the last number that a table is to have given, above 0.
	setLastNumber(table, column string) []string
	// clock is a query for the time in milliseconds that all processes on the database share; empty: they have one
	// clock anyway.
	clock() string
	// code says what an error of the driver is, and whether a repetition can help.
	code(err error) (code fault.Code, retry bool)
	// explain says which database could not be opened, and what to do, whether trying again may help or not; nil if
	// the error itself says all there is.
	explain(cfg Config, retry bool) *fault.Error
	// far: each statement costs a way to a server and back.
	far() bool
	// patience is how long a call may wait for the database's answers; 0: as long as they take.
	patience() time.Duration
}
