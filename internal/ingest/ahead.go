package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// ahead is what commits did to the addresses of people, kept until the reader of people has come to it: laid over what the
// store says of somebody it gives them as they are at the head of the log. Each entry holds whatever was before it, so one
// that the store has already, or has beyond, may be laid over it all the same, unless something else changed it since that
// is not here: see room.barrier.
type ahead struct {
	from    eventlog.Offset // what commits below it did is not here
	people  map[control.PersonID]changed
	holders map[control.Identifier][]control.PersonID // who was given an address, some twice; people says who has it still
	size    int
}

// changed is somebody there.
type changed struct {
	at       eventlog.Offset // of what changed them last
	when     time.Time       // it was accepted
	gone     bool            // deleted, or went up in another
	external string          // empty: as the store says
	email    given
	phone    given
}

// given is an address that somebody was given; none: it was taken.
type given struct {
	is    bool // else it is as the store says
	at    eventlog.Offset
	value string
}

// What an entry takes in memory, beside its texts. Source: measured by TestWhatIsAheadTakesTheMemoryThatIsCounted.
const (
	changedSize = 400
	holderSize  = 150
)

// knows reports whether somebody is here, also who is gone.
func (a *ahead) knows(id control.PersonID) bool { _, is := a.people[id]; return is }

func newAhead(from eventlog.Offset) *ahead {
	return &ahead{from: from, people: map[control.PersonID]changed{}, holders: map[control.Identifier][]control.PersonID{}}
}

// effect is what a record does to somebody. An address that is nil stays.
type effect struct {
	person       control.PersonID
	external     string
	email, phone *string
	gone         bool
	record       int  // in the batch
	joins        bool // it follows from what was known of two people
}

// effectOf gives what c does to its person alone.
func effectOf(c control.PersonChange) effect {
	e := effect{person: c.Person, external: c.ExternalID, gone: c.Kind == control.PersonDelete || c.Kind == control.PersonMerge}
	for name, to := range map[string]**string{"email": &e.email, "phone": &e.phone} {
		if v, is := c.Attributes[name]; is {
			*to = new(string)
			if err := json.Unmarshal(v, *to); err != nil {
				panic("ingest: a checked address did not decode: " + err.Error())
			}
		}
	}
	return e
}

// take keeps what a record at an offset did. Those of several commits may come in any order.
func (a *ahead) take(e effect, at eventlog.Offset, when time.Time) {
	p, is := a.people[e.person]
	if !is || at >= p.at {
		p.at, p.when = at, when
		p.external = cmp.Or(e.external, p.external)
	}
	p.gone = p.gone || e.gone
	for _, x := range []struct {
		to  *given
		now *string
	}{{&p.email, e.email}, {&p.phone, e.phone}} {
		if x.now != nil && (!x.to.is || at >= x.to.at) {
			*x.to = given{true, at, *x.now}
		}
	}
	a.put(e.person, p)
}

func (a *ahead) put(id control.PersonID, p changed) {
	was, is := a.people[id]
	if !is {
		a.size += changedSize
	}
	for _, x := range []struct {
		kind     control.IdentifierKind
		was, now string
	}{{control.ByEmail, was.email.value, p.email.value}, {control.ByPhone, was.phone.value, p.phone.value}} {
		if x.now != x.was && x.now != "" {
			i := control.Identifier{Kind: x.kind, Value: x.now}
			a.holders[i] = append(a.holders[i], id)
			a.size += holderSize + len(i.Value)
		}
	}
	a.people[id] = p
}

// without gives what is here of offsets from to on. What is here stays as it is for whoever looks at it.
func (a *ahead) without(to eventlog.Offset) *ahead {
	out := newAhead(max(a.from, to))
	for id, p := range a.people {
		if p.at < to {
			continue
		}
		for _, x := range []*given{&p.email, &p.phone} {
			if x.at < to {
				*x = given{}
			}
		}
		out.put(id, p)
	}
	return out
}

// maxAlike is how many people with one address are told apart, as in the store.
const maxAlike = 100

// given gives who was given an address and changed at seen or above, whoever has it by now: those that changed last.
func (a *ahead) given(i control.Identifier, seen eventlog.Offset) []control.PersonID {
	var out []control.PersonID
	for _, id := range a.holders[i] {
		if a.people[id].at >= seen {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(x, y control.PersonID) int {
		return cmp.Or(cmp.Compare(a.people[y].at, a.people[x].at), cmp.Compare(x, y))
	})
	out = slices.Compact(out)
	return out[:min(len(out), maxAlike)]
}

// over lays what is here, of offsets from seen on, over those whom an identifier names by a store that has all below seen, the
// newest first; all are those and whom given gives.
func (a *ahead) over(i control.Identifier, all []control.Known, seen eventlog.Offset) []control.Known {
	var out []control.Known
	at := map[control.PersonID]eventlog.Offset{} // later than all that the store knows of
	for _, k := range all {
		if p, is := a.people[k.Person]; is && p.at >= seen {
			if p.gone {
				continue
			}
			at[k.Person] = p.at + 1
			k.UpdatedAt, k.ExternalID = p.when, cmp.Or(p.external, k.ExternalID)
			if p.email.is && p.email.at >= seen {
				k.Email = p.email.value
			}
			if p.phone.is && p.phone.at >= seen {
				k.Phone = p.phone.value
			}
		}
		if i.Kind == control.ByEmail && k.Email != i.Value || i.Kind == control.ByPhone && k.Phone != i.Value {
			continue
		}
		out = append(out, k)
	}
	slices.SortStableFunc(out, func(x, y control.Known) int { return cmp.Compare(at[y.Person], at[x.Person]) })
	return out
}

// view is what the reader has not come to, as a visit sees it.
type view struct {
	*ahead
	seen    eventlog.Offset // the store has all below it
	barrier eventlog.Offset
}

// whole reports whether nothing is missing of what commits did to addresses.
func (v view) whole() bool { return max(v.from, v.barrier) <= v.seen }

// sight gives what is to be seen now.
func (p *persons) sight(r *room) view {
	r.mu.Lock()
	defer r.mu.Unlock()
	return view{r.ahead, eventlog.Offset(p.seen.Load()), r.barrier} // of ahead nothing was let go that is not seen
}

// met reports whether somebody is, or was, who is not in the store.
func (v *visit) met(id control.PersonID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sees.knows(id)
}

// take keeps what a commit did that is durable.
func (v *visit) take(effects []effect, r eventlog.Receipt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.ahead.size
	for _, e := range effects {
		at := r.First + eventlog.Offset(e.record)
		if at < v.ahead.from {
			continue
		}
		if e.joins {
			v.joined = max(v.joined, at+1)
			if !v.sees.whole() || v.sees.barrier != v.barrier {
				v.raise(at + 1)
			}
		}
		v.ahead.take(e, at, r.At)
	}
	v.people.size.Add(int64(v.ahead.size - before))
}

// raise notes that commits below to changed addresses in a way that only the reader can tell. What was made of two people may
// have been made without it.
func (r *room) raise(to eventlog.Offset) { r.barrier = max(r.barrier, to, r.joined) }

func (p *persons) raise(workspace uint32, to eventlog.Offset) {
	r := p.room(workspace)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raise(to)
}

// toldByEvents reports whether events of a type change addresses, or when people changed last: of producers' own only the
// reader knows whose.
func toldByEvents(eventType string) bool {
	switch eventType {
	case "users.profile.Update", "users.UserOrphan", "users.UserDeleteRequest":
		return true
	}
	return false
}

// notYet is the answer to who cannot be told whom an address names.
func notYet() error {
	return fault.New(fault.Unavailable, "", "Profiles are behind the log, so it is not known yet whom an e-mail address or a telephone number names; nothing was appended.").
		WithHint("Repeat the request, or name people by external_id: that needs no profiles.").WithRetry(5 * time.Second)
}

// await waits until the reader of people has come to an offset. Errors: those of ctx, and of the store.
func (p *persons) await(ctx context.Context, to eventlog.Offset) error {
	for eventlog.Offset(p.seen.Load()) < to {
		if err := p.see(ctx); err != nil {
			return err
		}
		if eventlog.Offset(p.seen.Load()) >= to {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// see asks how far the reader of people is.
func (p *persons) see(ctx context.Context) error {
	log, next, known, err := p.store.Cursor(ctx)
	if _, head := p.log.Bounds(); err != nil || !known || log != p.log.ID() || next > head { // of a log that was set back: the reader begins anew
		return err
	}
	for was := p.seen.Load(); was < int64(next) && !p.seen.CompareAndSwap(was, int64(next)); was = p.seen.Load() {
	}
	return nil
}

// mostAhead is how much all workspaces may have ahead of the reader together, in bytes.
const mostAhead = 32 << 20

// tidy lets go of what the reader has come to, and beyond the bound of the oldest. It does so each time that what is
// kept has doubled.
func (p *persons) tidy(ctx context.Context) {
	if p.size.Load() < max(p.tidied.Load(), p.most/32) || !p.tidying.TryLock() {
		return
	}
	defer p.tidying.Unlock()
	_ = p.see(ctx) // else it stays as it was
	seen := eventlog.Offset(p.seen.Load())
	p.each(func(r *room) { p.letGo(r, seen) })
	for p.size.Load() > p.most/2 { // it must be able to double
		var largest *room
		p.each(func(r *room) {
			if largest == nil || r.bytes() > largest.bytes() {
				largest = r
			}
		})
		p.letGo(largest, largest.middle())
	}
	p.tidied.Store(2 * p.size.Load())
}

func (p *persons) each(do func(*room)) {
	p.rooms.Range(func(_, r any) bool { do(r.(*room)); return true })
}

// letGo lets go of what a room has below an offset.
func (p *persons) letGo(r *room, below eventlog.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ahead.size
	r.ahead = r.ahead.without(below)
	p.size.Add(int64(r.ahead.size - before))
}

func (r *room) bytes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ahead.size
}

// middle gives the offset below which half of what a room has was changed last.
func (r *room) middle() eventlog.Offset {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []eventlog.Offset
	for _, c := range r.ahead.people {
		all = append(all, c.at)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2] + 1
}

// hold waits until nobody else in the room names somebody by any of these addresses, and keeps others from doing so. Of two
// requests about an address that is nobody's, the second so finds whom the first made.
//
// Errors: unavailable if it takes too long.
func (v *visit) hold(ctx context.Context, addresses []control.Identifier) error {
	for _, i := range addresses {
		for {
			v.mu.Lock()
			other := v.named[i]
			if other == nil {
				v.named[i] = v.done
				v.held = append(v.held, i)
			}
			v.mu.Unlock()
			if other == nil {
				break
			}
			select {
			case <-other:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// release lets others name whom hold kept from them. It is called once.
func (v *visit) release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, i := range v.held {
		delete(v.named, i)
	}
	close(v.done)
}
