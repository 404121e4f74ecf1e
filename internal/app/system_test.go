package app

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/eventlog/segment"
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

func TestALogThatCannotBeOpenedNowIsWaitedFor(t *testing.T) {
	full := (&fault.Error{Code: fault.Unavailable, Op: "write", Retry: true}).WithHint("the disk is full: free space or enlarge it")
	for name, row := range map[string]struct {
		errs  []error // of one try after the other; nil: it opens
		tries int
		code  fault.Code // at the end; "": none
	}{
		"at once":                           {[]error{nil}, 1, ""},
		"after a while":                     {[]error{full, fault.Wrap(full, "open log"), nil}, 3, ""},
		"another log":                       {[]error{fault.New(fault.Conflict, "", "another")}, 1, fault.Conflict},
		"another log, after a while":        {[]error{full, fault.New(fault.Conflict, "", "another")}, 2, fault.Conflict},
		"a lock, which does not go by time": {[]error{fault.New(fault.Unavailable, "", "locked")}, 1, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &system{logger: slog.New(slog.DiscardHandler)}
				began, tries := time.Now(), 0
				_, err := s.patiently(t.Context(), func(context.Context) (*segment.Log, error) {
					if tries > 0 {
						if w := s.waiting.Load(); w == nil || w.HintText() != full.HintText() || w.RetryAfter == 0 {
							t.Errorf("meanwhile it says %v", w)
						}
					}
					tries++
					return nil, row.errs[tries-1]
				})
				if fault.CodeOf(err) != row.code || tries != row.tries || time.Since(began) != time.Duration(tries-1)*openAgain {
					t.Errorf("%v after %d tries in %v", err, tries, time.Since(began))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := &system{logger: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.patiently(ctx, func(context.Context) (*segment.Log, error) { return nil, full }); err == nil {
			t.Error("it gave up without an error")
		}
	})
}

// Containers often have one host name and one path, each with a volume of its own.
func TestTwoFoldersAreTwoOwnersOfTheLeaseWhateverTheyAreCalled(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	names := map[string]bool{}
	for _, folder := range []string{first, first, second, second} {
		name, err := ownerName("/data", vfs.OS(folder))
		if err != nil {
			t.Fatal(err)
		}
		names[name] = true
	}
	if len(names) != 2 {
		t.Errorf("two folders, each started twice, are %d owners: %v", len(names), names)
	}
}
