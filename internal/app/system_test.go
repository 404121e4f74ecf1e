package app

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// What is on the disk already, the log itself among it, does not count: a log that is full must not get less by a
// restart.
func TestTheLogMayTakeHalfOfTheDiskHoweverFullItIs(t *testing.T) {
	disk := vfstest.New()
	total, err := disk.Total()
	if err != nil {
		t.Fatal(err)
	}
	for _, free := range []int64{-1, 1 << 30, 4 << 10} {
		disk.SetFree(free)
		if free > 0 {
			if err := vfs.WriteFile(disk, fmt.Sprintf("%d.seg", free), make([]byte, 2<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := defaultQuota(disk); err != nil || got != total/2 {
			t.Errorf("with %d bytes free: %d of %d, %v", free, got, total, err)
		}
	}
	disk.FailAt(vfstest.Free, 0, nil)
	if _, err := defaultQuota(disk); !fault.Is(err, fault.Unavailable) {
		t.Errorf("of a disk that does not say: %v", err)
	}
}
