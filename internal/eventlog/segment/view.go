package segment

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// View is the log as another process may see it: without the lock, changing nothing, as it stood when the view
// was opened. It holds whole commits; the newest of them may still be on their way to the disk.
//
// All methods are safe for concurrent use.
type View struct{ shelf *shelf }

// OpenReader opens a view of the log in fs, whether or not a process has the log open.
//
// Errors: not_found (no log there), corrupt (the file LOG is damaged), conflict (a newer program wrote it).
func OpenReader(ctx context.Context, fs vfs.FS) (*View, error) {
	s, _, err := look(ctx, fs)
	if err != nil {
		return nil, fault.Wrap(err, "look at log")
	}
	return &View{s}, nil
}

// look loads a log without changing it. torn is how many bytes at the end hold no whole commit.
func look(ctx context.Context, fs vfs.FS) (s *shelf, torn int64, err error) {
	for {
		m, err := loadMeta(fs)
		if err != nil {
			return nil, 0, err
		}
		s, torn, err = lookAt(fs, m)
		if err == nil || ctx.Err() != nil {
			return s, torn, err
		}
		// The owner may have trimmed segments in the meantime; then what is found is no error.
		if now, again := loadMeta(fs); again != nil || now == m {
			return nil, 0, err
		}
	}
}

func lookAt(fs vfs.FS, m meta) (*shelf, int64, error) {
	segs, err := loadSegments(fs, m)
	if err != nil {
		return nil, 0, err
	}
	s := newShelf(fs, m.id)
	s.segs, s.start, s.head = segs, m.start, m.start
	if len(segs) == 0 {
		// The owner has made the file LOG and nothing else yet.
		s.segs = []*segment{{header: header{log: m.id, number: m.first, base: m.start}, end: segmentHeader, endOffset: m.start}}
		return s, 0, nil
	}
	last := segs[len(segs)-1]
	var torn int64
	if last.bad == nil {
		if err := measure(fs, m.id, last); err != nil {
			return nil, 0, err
		}
		info, err := fs.Stat(segmentName(last.number))
		if err != nil {
			return nil, 0, err
		}
		torn = max(0, info.Size-last.end)
	}
	s.head = last.endOffset
	return s, torn, nil
}

// ID is the log's identity.
func (v *View) ID() eventlog.ID { return v.shelf.id }

// Bounds gives the first offset that can be read and the one after the last.
func (v *View) Bounds() (start, head eventlog.Offset) { return v.shelf.bounds() }

// Reader is as eventlog.Log's. At the view's head Next gives nil for good, and Ready's channel is closed by Close
// only.
func (v *View) Reader(from eventlog.Offset, f eventlog.Filter) (eventlog.Reader, error) {
	return v.shelf.reader(from, f)
}

// OffsetAt is as eventlog.Log's.
func (v *View) OffsetAt(ctx context.Context, t time.Time) (eventlog.Offset, error) {
	return v.shelf.offsetAt(ctx, t)
}

// Close ends the view and its readers.
func (v *View) Close() error {
	v.shelf.close()
	return nil
}
