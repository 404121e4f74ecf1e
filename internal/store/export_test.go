package store

import (
	"context"
	"fmt"
	"testing"
)

// Pragma gives a setting of the writing connection.
func Pragma(ctx context.Context, t *testing.T, s *Store, name string) (value string) {
	t.Helper()
	if err := s.write.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// LimitPages lets the file grow to n pages; to its present size if that is more.
func LimitPages(ctx context.Context, t *testing.T, s *Store, n int) {
	t.Helper()
	if _, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", max(n, 1))); err != nil {
		t.Fatal(err)
	}
}
