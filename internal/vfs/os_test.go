package vfs_test

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

func TestOS(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		return vfs.OS(filepath.Join(t.TempDir(), "made", "below"))
	})
}
