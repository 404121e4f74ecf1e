package vfs_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

// The kernel refuses to sync a pipe, and a folder of proc: that the refusal comes back shows that it was asked. No test
// that kills a process could tell, since the page cache survives it.
func TestASyncReachesTheKernelAndItsErrorComesBack(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := vfs.OS(dir).OpenAppend("pipe")
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if err := pipe.Sync(); err == nil {
		t.Error("accepted means durable: the sync of a file that cannot be synced reports no error, so it did not ask the kernel")
	}
	if err := vfs.OS("/proc").SyncDir("self"); err == nil {
		t.Error("accepted means durable: the sync of a folder that cannot be synced reports no error, so it did not ask the kernel")
	}
	if err := vfs.OS(dir).SyncDir("."); err != nil {
		t.Errorf("sync of a folder: %v", err)
	}
}
