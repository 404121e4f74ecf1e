package segment_test

import (
	"testing"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/eventlogtest"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]func(t *testing.T) segment.Config{
		"memory":         func(*testing.T) segment.Config { return segment.Config{FS: vfstest.New()} },
		"disk":           func(t *testing.T) segment.Config { return segment.Config{FS: vfs.OS(t.TempDir())} },
		"small segments": func(*testing.T) segment.Config { return segment.Config{FS: vfstest.New(), SegmentBytes: 300} },
		"no memory of new commits": func(*testing.T) segment.Config {
			return segment.Config{FS: vfstest.New(), SegmentBytes: 1000, CacheBytes: 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eventlogtest.Run(t, func(t *testing.T) eventlog.Log { return mustOpen(t, cfg(t)) })
		})
	}
}

func mustOpen(t testing.TB, cfg segment.Config) *segment.Log {
	t.Helper()
	l, err := segment.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}
