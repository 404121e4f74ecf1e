package segment

import (
	"context"
	"sync"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// keys answers whether a request was answered before. Keys of the newest segments are in memory; those of
// complete ones are in index files, behind Bloom filters. A key counts for the window, or until its workspace
// has used up its budget, and then the oldest go first: whole segments of complete ones, single keys of the
// newest.
type keys struct {
	shelf  *shelf
	clock  clock
	window int64 // ms
	budget int

	mu    sync.Mutex
	held  map[eventlog.KeyHash]*hold
	total map[uint32]int    // by workspace, keys that count
	floor map[uint32]uint64 // by workspace, segments up to this number do not count
	lost  map[uint32]int64  // by workspace, clock of the youngest key given up within the window
}

// hold is a key that is being answered. It ends when both the claim and a commit in flight have let go.
type hold struct {
	done chan struct{}
	refs int
}

// liveKeys is the keys of a segment without an index file.
type liveKeys struct {
	rows  map[eventlog.KeyHash]liveRow
	order map[uint32][]eventlog.KeyHash // by workspace, oldest first
}

type liveRow struct {
	answer eventlog.Answer
	clock  int64
}

func newLiveKeys() *liveKeys {
	return &liveKeys{rows: map[eventlog.KeyHash]liveRow{}, order: map[uint32][]eventlog.KeyHash{}}
}

func newKeys(s *shelf, c clock, window int64, budget int) *keys {
	return &keys{
		shelf: s, clock: c, window: window, budget: budget,
		held: map[eventlog.KeyHash]*hold{}, total: map[uint32]int{}, floor: map[uint32]uint64{}, lost: map[uint32]int64{},
	}
}

// claim is eventlog.Log's Claim; repair makes a segment's index file again when it cannot be read.
func (k *keys) claim(ctx context.Context, key eventlog.KeyHash, repair func(*segment) error) (*eventlog.Claim, *eventlog.Answer, error) {
	for {
		k.mu.Lock()
		h := k.held[key]
		if h == nil {
			k.held[key] = &hold{done: make(chan struct{}), refs: 1}
			k.mu.Unlock()
			break
		}
		k.mu.Unlock()
		select {
		case <-h.done:
		case <-ctx.Done():
			return nil, nil, fault.From(ctx.Err(), fault.Unavailable, "wait for a request with the same idempotency key")
		}
	}
	// Nobody else can add the key while it is held, so what is looked up now stays true.
	r, ok, err := k.lookup(key, repair)
	if err != nil || ok {
		k.letGo(key)
		if err != nil {
			return nil, nil, fault.Wrap(err, "look up idempotency key")
		}
		return nil, &r.answer, nil
	}
	return eventlog.NewClaim(key, func() { k.letGo(key) }), nil, nil
}

// join lets a commit in flight hold the key, too. It reports false if the claim was released.
func (k *keys) join(key eventlog.KeyHash) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.held[key]
	if h == nil {
		return false
	}
	h.refs++
	return true
}

func (k *keys) letGo(key eventlog.KeyHash) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.held[key]
	if h.refs--; h.refs == 0 {
		delete(k.held, key)
		close(h.done)
	}
}

func (k *keys) lookup(key eventlog.KeyHash, repair func(*segment) error) (row, bool, error) {
	segs := k.shelf.segmentsNow()
	oldest := k.clock.now() - k.window
	var maybe []*segment // newest first
	var live *row

	k.mu.Lock()
	floor := k.floor[key.Workspace]
	for i := len(segs) - 1; i >= 0 && segs[i].number > floor && !segs[i].expired; i-- {
		if l := segs[i].live; l != nil {
			if r, ok := l.rows[key]; ok {
				live = &row{key: key, answer: r.answer, clock: r.clock}
				break
			}
		} else if x := segs[i].index.Load(); x != nil && x.filter.has(key) {
			maybe = append(maybe, segs[i])
		}
	}
	k.mu.Unlock()

	for _, seg := range maybe {
		r, ok, err := seg.index.Load().find(k.shelf.fs, seg.number, key)
		if err != nil && (fault.Is(err, fault.Corrupt) || fault.Is(err, fault.NotFound)) {
			if err = repair(seg); err == nil {
				r, ok, err = seg.index.Load().find(k.shelf.fs, seg.number, key)
			}
		}
		if err != nil {
			return r, false, err
		}
		if ok {
			return r, r.clock >= oldest, nil
		}
	}
	if live != nil {
		return *live, live.clock >= oldest, nil
	}
	return row{}, false, nil
}

// add makes a key count that became durable in segment seg.
func (k *keys) add(seg *segment, r row) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.put(seg, r, false)
}

// addCarried is add for keys that moved on from an older segment.
func (k *keys) addCarried(seg *segment, rows []row) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := len(rows) - 1; i >= 0; i-- {
		k.put(seg, rows[i], true)
	}
}

func (k *keys) put(seg *segment, r row, older bool) {
	if seg.live == nil {
		seg.live = newLiveKeys()
	}
	l, ws := seg.live, r.key.Workspace
	_, known := l.rows[r.key]
	if known && older {
		return // the one that is here is younger
	}
	l.rows[r.key] = liveRow{r.answer, r.clock}
	if known {
		return
	}
	if older {
		l.order[ws] = append([]eventlog.KeyHash{r.key}, l.order[ws]...)
	} else {
		l.order[ws] = append(l.order[ws], r.key)
	}
	k.total[ws]++
	for k.total[ws] > k.budget {
		k.giveUpOldest(ws)
	}
}

// giveUpOldest makes room in a workspace's budget. Callers hold mu.
func (k *keys) giveUpOldest(ws uint32) {
	segs := k.shelf.segmentsNow()
	begin := 0
	if floor := k.floor[ws]; floor >= segs[0].number {
		begin = int(floor + 1 - segs[0].number)
	}
	for i := begin; i < len(segs); i++ {
		seg := segs[i]
		if seg.expired {
			continue
		}
		n := seg.keyCount(ws)
		if n == 0 && i < len(segs)-1 {
			continue
		}
		if i == len(segs)-1 { // the newest segment gives single keys
			if n == 0 {
				k.total[ws] = 0
				return
			}
			order := seg.live.order[ws]
			k.lost[ws] = max(k.lost[ws], seg.live.rows[order[0]].clock)
			delete(seg.live.rows, order[0])
			seg.live.order[ws] = order[1:]
			k.total[ws]--
			return
		}
		k.floor[ws] = seg.number
		k.lost[ws] = max(k.lost[ws], seg.lastClock)
		k.total[ws] -= n
		return
	}
}

// keyCount is how many keys of a workspace a segment holds. Callers hold keys.mu.
func (s *segment) keyCount(ws uint32) int {
	if s.live != nil {
		return len(s.live.order[ws])
	}
	if x := s.index.Load(); x != nil {
		return x.counts[ws]
	}
	return 0
}

// count takes the keys of the segments that an opening found into the budgets.
func (k *keys) count(segs []*segment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, seg := range segs {
		if x := seg.index.Load(); x != nil && seg.live == nil {
			for ws, n := range x.counts {
				k.total[ws] += n
			}
		}
	}
	for ws := range k.total {
		for k.total[ws] > k.budget {
			k.giveUpOldest(ws)
		}
	}
}

// expire lets go of filters whose keys are all older than the window.
func (k *keys) expire() {
	segs := k.shelf.segmentsNow()
	oldest := k.clock.now() - k.window
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, seg := range segs[:len(segs)-1] {
		if seg.lastClock >= oldest {
			break
		}
		if x := seg.index.Load(); x != nil && !seg.expired {
			k.uncount(seg)
			seg.expired = true
			lean := *x
			lean.filter, lean.counts, lean.keys = nil, nil, 0
			seg.index.Store(&lean)
		}
	}
	for ws, at := range k.lost {
		if at < oldest {
			delete(k.lost, ws)
		}
	}
}

// drop takes the keys of segments that are going out of the budgets. Callers have them off the shelf.
func (k *keys) drop(segs []*segment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, seg := range segs {
		if !seg.expired {
			k.uncount(seg)
		}
	}
}

// uncount callers hold mu.
func (k *keys) uncount(seg *segment) {
	sub := func(ws uint32, n int) {
		if seg.number > k.floor[ws] {
			if k.total[ws] -= n; k.total[ws] <= 0 {
				delete(k.total, ws)
			}
		}
	}
	if seg.live != nil {
		for ws, order := range seg.live.order {
			sub(ws, len(order))
		}
	} else if x := seg.index.Load(); x != nil {
		for ws, n := range x.counts {
			sub(ws, n)
		}
	}
}

// young gives the keys of a segment that still count.
func (k *keys) young(seg *segment) ([]row, error) {
	var rows []row
	var err error
	k.mu.Lock()
	live := seg.live != nil
	if live {
		rows = seg.live.all()
	}
	k.mu.Unlock()
	if x := seg.index.Load(); !live && x != nil && x.keys > 0 {
		if rows, err = x.readRows(k.shelf.fs, seg.number); err != nil {
			return nil, err
		}
	}
	oldest := k.clock.now() - k.window
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := rows[:0]
	for _, r := range rows {
		if r.clock >= oldest && seg.number > k.floor[r.key.Workspace] {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// all callers hold keys.mu.
func (l *liveKeys) all() []row {
	rows := make([]row, 0, len(l.rows))
	for key, r := range l.rows {
		rows = append(rows, row{key: key, answer: r.answer, clock: r.clock})
	}
	return rows
}

// gaveUp notes that keys of all workspaces up to a clock could not be kept.
func (k *keys) gaveUp(clock int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost[0] = max(k.lost[0], clock)
}

// reach is how far back keys are really kept, in ms.
func (k *keys) reach() int64 {
	now := k.clock.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	reach := k.window
	for _, at := range k.lost {
		reach = min(reach, max(0, now-at))
	}
	return reach
}
