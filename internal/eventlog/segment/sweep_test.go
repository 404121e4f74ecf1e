package segment_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// soak makes the sweeps long.
var soak = os.Getenv("MILLRACE_SOAK") == "1"

// attempt is a batch that was offered to the log.
type attempt struct {
	values []string
	acked  bool
	first  eventlog.Offset
	key    eventlog.KeyHash // zero: none
	answer eventlog.Answer
}

// script plays a fixed sequence of appends, trims and reopenings over a log and remembers what was promised.
type script struct {
	disk     *vfstest.Disk
	cfg      segment.Config
	rng      *rand.Rand
	steps    int
	patient  bool // tries again after errors, as a producer does; otherwise ends at the first
	log      *segment.Log
	attempts []*attempt
	floor    eventlog.Offset // everything below may be trimmed

	mu       sync.Mutex
	reported []error
}

func newScript(disk *vfstest.Disk, seed uint64, steps int) *script {
	s := &script{disk: disk, rng: rand.New(rand.NewPCG(seed, 1)), steps: steps}
	s.cfg = segment.Config{FS: disk, SegmentBytes: 1500, CacheBytes: 1, Hooks: segment.Hooks{OnFail: func(err error) { s.report(err) }}}
	return s
}

func (s *script) report(err error) bool {
	if err == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reported = append(s.reported, err)
	return false
}

// try does something until it works; false if the script ends here.
func (s *script) try(do func() error) bool {
	for range 1000 {
		if s.report(do()) {
			return true
		}
		if !s.patient {
			return false
		}
		time.Sleep(300 * time.Millisecond)
	}
	panic("nothing works any more: " + errors.Join(s.reported[len(s.reported)-1]).Error())
}

func (s *script) open() bool {
	return s.try(func() (err error) {
		s.log, err = segment.Open(context.Background(), s.cfg)
		return err
	})
}

// run plays the script and reports whether it came to its end.
func (s *script) run() bool {
	if !s.open() {
		return false
	}
	for i := range s.steps {
		switch n := s.rng.IntN(12); {
		case n == 0 && len(s.attempts) > 3, i == s.steps-3:
			floor := s.someOffset(i == s.steps-3) // the script never ends without a trim
			s.floor = max(s.floor, floor)
			time.Sleep(2 * time.Millisecond) // what is trimmed must be older than 0
			if !s.try(func() error { return s.log.Trim(context.Background(), floor, 0) }) {
				return false
			}
		case n == 1:
			s.report(s.log.Close())
			if !s.open() {
				return false
			}
		case n == 2:
			if !s.try(func() error { _, err := readAll(s.log); return err }) {
				return false
			}
		default:
			key := eventlog.KeyHash{}
			if n%2 == 0 {
				key = eventlog.KeyHash{Workspace: 1, Hash: [16]byte{byte(i), byte(i >> 8), 1}}
			}
			again, size, count := 0, s.rng.IntN(700), 1+s.rng.IntN(3)
			if !s.try(func() error { again++; return s.append(i, again, size, count, key) }) {
				return false
			}
		}
	}
	s.report(s.log.Close())
	return true
}

// someOffset gives the offset of an acknowledged attempt: the last, or any.
func (s *script) someOffset(last bool) eventlog.Offset {
	if last {
		for _, a := range slices.Backward(s.attempts) {
			if a.acked {
				return a.first
			}
		}
	}
	for {
		if a := s.attempts[s.rng.IntN(len(s.attempts))]; a.acked {
			return a.first
		}
	}
}

func (s *script) append(i, again, size, count int, key eventlog.KeyHash) error {
	a := &attempt{key: key}
	b := &eventlog.Batch{}
	b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
	for n := range count {
		v := fmt.Sprintf("%d.%d.%d.%0*d", i, again, n, size/count+1, 0)
		a.values = append(a.values, v)
		b.Add(1, []byte(v))
	}
	if key != (eventlog.KeyHash{}) {
		claim, known, err := s.log.Claim(context.Background(), key)
		if err != nil {
			return err
		}
		if known != nil {
			return nil // an earlier try of this append is in the log after all
		}
		defer claim.Release()
		a.answer = eventlog.Answer{Status: 200, Accepted: uint32(count), Body: [16]byte{byte(again)}}
		b.Claim, b.Answer = claim, a.answer
	}
	s.attempts = append(s.attempts, a)
	r, err := s.log.Append(context.Background(), b)
	a.acked, a.first = err == nil, r.First
	return err
}

type read struct {
	offset eventlog.Offset
	value  string
}

func readAll(l interface {
	Bounds() (eventlog.Offset, eventlog.Offset)
	Reader(eventlog.Offset, eventlog.Filter) (eventlog.Reader, error)
}) ([]read, error) {
	start, _ := l.Bounds()
	r, err := l.Reader(start, eventlog.Filter{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []read
	for {
		c, err := r.Next()
		if err != nil || c == nil {
			return all, err
		}
		for rec := range c.Records() {
			all = append(all, read{rec.Offset, string(rec.Value)})
		}
	}
}

// verify holds a log against the promises: acknowledged ⊆ recovered ⊆ attempted, in order, whole, in place.
func (s *script) verify(l *segment.Log) ([]read, error) {
	if err := l.Health(); err != nil {
		return nil, fmt.Errorf("health: %w", err)
	}
	all, err := readAll(l)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	start, head := l.Bounds()
	if start > s.floor {
		return nil, fmt.Errorf("the log begins at %d, trimmed to %d", start, s.floor)
	}
	i := 0
	for n, a := range s.attempts {
		if a.acked && a.first < start {
			continue
		}
		if i < len(all) && all[i].value == a.values[0] {
			for _, v := range a.values {
				if i == len(all) || all[i].value != v {
					return nil, fmt.Errorf("attempt %d came back in part", n)
				}
				if i > 0 && all[i].offset != all[i-1].offset+1 {
					return nil, fmt.Errorf("offset %d comes after %d", all[i].offset, all[i-1].offset)
				}
				if a.acked && v == a.values[0] && all[i].offset != a.first {
					return nil, fmt.Errorf("attempt %d was acknowledged at %d and came back at %d", n, a.first, all[i].offset)
				}
				i++
			}
		} else if a.acked {
			return nil, fmt.Errorf("attempt %d (%.20s…), acknowledged at %d, is lost; the log holds %d to %d", n, a.values[0], a.first, start, head)
		}
	}
	if i < len(all) {
		return nil, fmt.Errorf("what came back at offset %d was never attempted, or in another order", all[i].offset)
	}
	for n, a := range s.attempts {
		if !a.acked || a.key == (eventlog.KeyHash{}) {
			continue
		}
		_, known, err := l.Claim(context.Background(), a.key)
		if err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
		if known == nil || *known != a.answer {
			return nil, fmt.Errorf("attempt %d: its answer %v came back as %v", n, a.answer, known)
		}
	}
	return all, nil
}

var sweepSeed = flag.Uint64("sweep.seed", 0, "seed of the crash and the fault sweep; 0: a new one")

func sweepFrom() uint64 {
	if *sweepSeed != 0 {
		return *sweepSeed
	}
	return rand.Uint64()
}

// TestCrashSweep cuts the power after every single change of the disk, for as many scripts as make so many crashes.
func TestCrashSweep(t *testing.T) {
	least, steps, randoms := 500, 25, 3
	if soak {
		least, steps, randoms = 10_000, 60, 12
	}
	first, crashes := sweepFrom(), 0
	defer func() { t.Logf("%d crashes, seeds from %d", crashes, first) }()
	for seed := first; crashes < least || seed < first+2; seed++ {
		for k := 0; ; k++ {
			disk := vfstest.New()
			s := newScript(disk, seed, steps)
			disk.StopAfter(k)
			whole := s.run()
			if s.log != nil {
				s.log.Close()
			}
			keeps := []vfstest.Keep{vfstest.KeepNone, vfstest.KeepAll}
			for i := range randoms {
				keeps = append(keeps, vfstest.KeepRandom(seed+uint64(1000*k+i)))
			}
			for i, keep := range keeps {
				after := disk.Crash(keep)
				crashes++
				if err := s.recovers(t, after); err != nil {
					t.Fatalf("seed %d, stopped after %d changes, way %d of keeping unsynced bytes: %v", seed, k, i, err)
				}
			}
			// A killed process leaves the disk as it sees it, durable or not.
			disk.Heal()
			crashes++
			if err := s.recovers(t, disk); err != nil {
				t.Fatalf("seed %d, killed after %d changes: %v", seed, k, err)
			}
			// And the power may go while the next process opens it.
			for j := 1; j <= 6; j++ {
				disk := vfstest.New()
				s := newScript(disk, seed, steps)
				disk.StopAfter(k)
				s.run()
				if s.log != nil {
					s.log.Close()
				}
				disk.Heal()
				disk.StopAfter(j)
				if l, err := segment.Open(t.Context(), segment.Config{FS: disk, SegmentBytes: 1500}); err == nil {
					l.Close()
				}
				crashes++
				if err := s.recovers(t, disk.Crash(vfstest.KeepRandom(seed+uint64(1000*k+j)))); err != nil {
					t.Fatalf("seed %d, killed after %d changes, and stopped after %d of the next opening: %v", seed, k, j, err)
				}
			}
			if whole {
				break
			}
		}
	}
}

// recovers opens a disk after a crash, twice: what the first opening shows must be durable by then.
func (s *script) recovers(t *testing.T, disk *vfstest.Disk) error {
	l, err := segment.Open(t.Context(), segment.Config{FS: disk, SegmentBytes: 1500, CacheBytes: 1})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	all, err := s.verify(l)
	if err == nil {
		err = s.same(t, disk.Crash(vfstest.KeepNone), all)
	}
	if err == nil {
		err = s.same(t, disk.Crash(vfstest.KeepRandom(uint64(len(all)))), all)
	}
	if err == nil {
		b := &eventlog.Batch{}
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
		b.Add(1, []byte("after"))
		_, err = l.Append(t.Context(), b)
	}
	return errors.Join(err, l.Close())
}

// same opens a disk that must hold exactly these records.
func (s *script) same(t *testing.T, disk *vfstest.Disk, all []read) error {
	l, err := segment.Open(t.Context(), segment.Config{FS: disk, SegmentBytes: 1500})
	if err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer l.Close()
	repeated, err := s.verify(l)
	if err == nil && fmt.Sprint(all) != fmt.Sprint(repeated) {
		err = fmt.Errorf("what an opening showed was not durable: %d records, then %d", len(all), len(repeated))
	}
	return err
}

// TestFaultSweep makes the k-th operation of each kind fail, for every k that the script reaches.
func TestFaultSweep(t *testing.T) {
	steps := 30
	if soak {
		steps = 120
	}
	seed := sweepFrom()
	t.Logf("seed %d", seed)
	for _, op := range vfstest.Ops() {
		t.Run(string(op), func(t *testing.T) {
			reached := 0
			for k := 0; ; k++ {
				hit := false
				synctest.Test(t, func(t *testing.T) {
					disk := vfstest.New()
					s := newScript(disk, seed, steps)
					s.patient = true
					disk.FailAt(op, k, nil)
					s.run()
					hit = disk.Count(op) > k
					if !hit {
						return
					}
					if len(s.reported) == 0 && op != vfstest.Open && op != vfstest.Read {
						// Opening and reading an index may fail unseen: the segment itself is read then.
						t.Errorf("seed %d: %s %d failed and nobody said so", seed, op, k)
					}
					for _, err := range s.reported {
						if fault.CodeOf(err) != fault.Unavailable {
							t.Errorf("seed %d: %s %d: reported as %q: %v", seed, op, k, fault.CodeOf(err), err)
						}
					}
					disk.Heal()
					for _, keep := range []vfstest.Keep{vfstest.KeepNone, vfstest.KeepAll} {
						if err := s.recovers(t, disk.Crash(keep)); err != nil {
							t.Fatalf("seed %d: %s %d failed; after it: %v", seed, op, k, err)
						}
					}
				})
				if !hit || t.Failed() {
					break
				}
				reached++
			}
			if reached == 0 && op != vfstest.Mkdir {
				t.Errorf("the script does no %s", op)
			}
		})
	}
}
