// Package export makes what a person or a script takes out on demand: people of a segment as JSON lines and CSV.
//
// The nouns: a field is a key of the user export object, and a column one of the CSV. Both are tables (user.go, table.go), so that what is offered, checked, described and written is
// one list. What is written depends on the rows alone: the same people give the same bytes.
//
// Start reading at Users, then at Table.
package export

import "time"

// Recent is how far back an export looks for events, purchases and messages; counts and first times are of all time.
// Source: Braze, "Export user profiles by segment".
const Recent = 90 * 24 * time.Hour
