package store

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/secret"
)

// What a rotation of the master key forgets is lost when the former key goes. So each column of bytes is sealed anew, or
// stands here as a hash.
func TestEachColumnOfBytesIsSealedAnewOrAHash(t *testing.T) {
	ring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "m.db"), Keyring: ring, Catalogue: &event.Catalogue{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	known := []string{"files.raw_hash", "schemas.fingerprint", "api_keys.hash", "sessions.hash", "tokens.hash", "tickets.hash", "recovery_codes.hash",
		"repeats.hash", "repeats.body_hash", "export_parts.hash", "export_parts.who"}
	for _, c := range sealedColumns() {
		table, _, _ := strings.Cut(strings.TrimPrefix(c.update, "UPDATE "), " ")
		column, _, _ := strings.Cut(strings.TrimPrefix(c.update, "UPDATE "+table+" SET "), " ")
		known = append(known, table+"."+column)
	}
	slices.Sort(known)
	is := Column(t, s.read, `SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND c.type = 'BLOB' ORDER BY 1`)
	slices.Sort(is)
	if !slices.Equal(is, known) {
		t.Errorf("columns of bytes:\n%v\nsealed anew, or hashes:\n%v", is, known)
	}
}
