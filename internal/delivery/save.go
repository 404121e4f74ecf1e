package delivery

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// answer is what became of a save.
type answer struct {
	save control.Save
	seq  int64
	err  error
	at   time.Time // when it began
}

// startSave saves the position beside the lane if it is time: soon after an answer, seldom otherwise.
func (l *lane) startSave(ctx context.Context) {
	if l.saving || l.saveAt.After(l.now) {
		return
	}
	l.uncover()
	if l.dirty.IsZero() {
		now := l.cursor()
		if now == l.pos.Cursor {
			return
		}
		// Past an hour mark, and at the lane's end, somebody waits for it.
		mark := l.m.marked()
		if waited := l.pos.Cursor <= mark && now > mark || now == l.hist.until; !waited && l.now.Sub(l.lastSave) < idleSave {
			return
		}
	} else if l.now.Sub(maxTime(l.dirty, l.lastSave)) < saveDelay {
		return
	}
	s := control.Save{Position: l.position(), Files: l.files, Drops: l.drops}
	l.saving = true
	saves, at := l.saves, time.Now()
	go func() {
		ctx, cancel := context.WithTimeout(ctx, saveTooOld)
		defer cancel()
		seq, err := l.m.deps.Store.Save(ctx, s)
		saves <- answer{s, seq, err, at}
	}()
}

// position is how far the lane has come now: one value, whatever is in flight.
func (l *lane) position() control.Position {
	p := l.pos
	p.Cursor = l.cursor()
	p.Version = l.hist.at(p.Cursor).config.Version
	p.Links = map[control.Stream]eventlog.Offset{}
	p.Plans = nil
	for k, s := range l.streams {
		// An entry goes only when the cursor is above it, never because its hour is over.
		last := s.last
		if len(s.covered) > 0 {
			last = s.held // what is covered is found again only from there
		}
		if last >= p.Cursor {
			p.Links[k] = last
		}
		if s.plan != nil {
			p.Plans = append(p.Plans, *s.plan)
		}
	}
	return p
}

// savedNow takes the answer of a save.
func (l *lane) savedNow(r answer) error {
	l.lastSave = l.now
	if r.err != nil {
		if fault.Is(r.err, fault.Stale) {
			return errReload
		}
		// The answers stay dirty and are saved with the next; writes stop when they wait too long.
		l.unsaved++
		l.saveAt = l.now.Add(l.backoff(l.unsaved))
		l.log.Error("position is not saved; trying again", "error", r.err)
		return nil
	}
	l.unsaved, l.saveAt = 0, time.Time{}
	l.moved(r.save.Position, r.seq)
	l.sureAt = r.at
	// What came in while the save was under way is not covered by it.
	l.files = l.files[len(r.save.Files):]
	l.drops = l.drops[len(r.save.Drops):]
	l.dirty = time.Time{}
	if len(l.files) > 0 || len(l.drops) > 0 || l.unplanned() {
		l.dirty = l.now
	}
	l.hist.forget(l.pos.Cursor)
	l.prune()
	l.reserve()
	return nil
}

// sure reports whether the saved position was the one in hand less than sureFor ago: a process that believes itself alone
// while another has dropped events must not write them. It asks if it has to, and reloads if another was ahead.
func (l *lane) sure(ctx context.Context) (bool, error) {
	if l.now.Sub(l.sureAt) < sureFor {
		return true, nil
	}
	if l.saving || l.askAt.After(l.now) {
		return false, nil // the save that is under way will tell
	}
	ctx, cancel := context.WithTimeout(ctx, saveTooOld)
	defer cancel()
	at := time.Now()
	pos, err := l.m.deps.Store.Position(ctx, l.row.Lane)
	l.now = time.Now()
	switch {
	case err != nil:
		l.log.Error("cannot tell whether the position is the newest; nothing is written", "error", fault.Wrap(err, "load position"))
	case pos.Seq != l.pos.Seq:
		return false, errReload
	case l.now.Sub(at) < sureFor:
		l.sureAt = at
		return true, nil
	}
	l.askAt = l.now.Add(askAgain)
	return false, nil
}

// moved takes a saved position.
func (l *lane) moved(p control.Position, seq int64) {
	if mark := l.m.marked(); l.pos.Cursor <= mark && p.Cursor > mark {
		l.m.look() // an hour may be complete
	}
	l.pos = p
	l.pos.Seq = seq
}

// unplanned reports whether a border was fixed that is not saved yet.
func (l *lane) unplanned() bool {
	for _, s := range l.streams {
		if s.plan == nil {
			continue
		}
		known := false
		for _, p := range l.pos.Plans {
			known = known || p == *s.plan
		}
		if !known {
			return true
		}
	}
	return false
}

// prune forgets streams that lie wholly below the saved cursor.
func (l *lane) prune() {
	for k, s := range l.streams {
		_, unsettled := l.unsettled[s]
		if len(s.files) == 0 && s.last < l.pos.Cursor && len(s.covered) == 0 && s.plan == nil && !unsettled && !s.inFlight {
			delete(l.streams, k)
			l.hot = nil
		}
	}
}

// uncover lets go of what is covered once nothing of the stream is open below.
func (l *lane) uncover() {
	for _, s := range l.streams {
		if len(s.covered) == 0 || len(s.files) > 0 || l.reader == nil {
			continue
		}
		top := s.last
		for o := range s.covered {
			top = max(top, o)
		}
		if l.reader.Position() > top {
			s.last, s.tail, s.covered = top, max(s.tail, top), nil
		}
	}
}
