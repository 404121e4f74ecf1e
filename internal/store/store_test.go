package store_test

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Database {
		return storetest.Database{Config: store.Config{Path: filepath.Join(t.TempDir(), "odd ?&#%41 nämé.db")}}
	})
}

func TestPostgreSQL(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Database {
		return storetest.Database{Config: storetest.Postgres(t)}
	})
}

func TestMain(m *testing.M) { storetest.Main(m) }
