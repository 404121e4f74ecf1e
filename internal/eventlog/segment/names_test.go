package segment_test

import (
	"testing"

	"github.com/millrace/millrace/internal/eventlog/eventlogtest"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// Leaving out the sync of the folder when a segment is made loses the segment with all that was acknowledged in
// it: its bytes are safe, its name is not.
func TestASegmentsNameIsDurableBeforeTheFirstAcknowledgement(t *testing.T) {
	disk := vfstest.New()
	l := mustOpen(t, segment.Config{FS: disk, SegmentBytes: 200})
	defer l.Close()
	for i, value := range []string{"in the first segment", "in the second segment", "in the third segment"} {
		if _, err := l.Append(t.Context(), eventlogtest.Events(1, value)); err != nil {
			t.Fatal(err)
		}
		after := mustOpen(t, segment.Config{FS: disk.Crash(vfstest.KeepNone)})
		all, err := readAll(after)
		if err != nil || len(all) != i+1 || all[i].value != value {
			t.Fatalf("acknowledged and lost with the power: %q; the log has %v, %v: "+
				"a folder was not synced after a segment got its name", value, all, err)
		}
		after.Close()
	}
}
