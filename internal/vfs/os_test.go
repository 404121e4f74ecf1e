package vfs_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

func TestOS(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		return vfs.OS(filepath.Join(t.TempDir(), "made", "below"))
	})
}

func TestStatSaysWhatAFileIsAndWhose(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := vfs.OS(dir)
	for name, regular := range map[string]bool{"own": true, "pipe": false, ".": false} {
		if info, err := folder.Stat(name); err != nil || info.Regular != regular || info.Foreign || info.Shared && name != "." {
			t.Errorf("%s: %+v %v", name, info, err)
		}
	}
	// Only root can make another's file, and only root owns the root.
	other, name := vfs.OS("/"), "."
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "own"), 12345, -1); err != nil {
			t.Fatal(err)
		}
		other, name = folder, "own"
	}
	if info, err := other.Stat(name); err != nil || !info.Foreign {
		t.Errorf("another's file: %+v %v", info, err)
	}
}

func TestResolveFollowsLinks(t *testing.T) {
	dir, err := vfs.Resolve(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if got, err := vfs.Resolve(path); err != nil || got != file {
			t.Errorf("%s: %s %v", path, got, err)
		}
	}
	if _, err := vfs.Resolve(filepath.Join(dir, "gone")); !fault.Is(err, fault.NotFound) {
		t.Errorf("nothing there: %v", err)
	}
}
