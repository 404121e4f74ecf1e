package profile

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Bounds of what people are made of. What is beyond is set aside, so that no producer can fill the database with names.
const (
	maxNames     = 20_000 // of one kind in a workspace
	maxIDBytes   = 997    // of ids and names; source: the vendor's limit of external ids
	maxCustom    = 256 << 10
	maxListed    = 100 // devices, apps, tokens, aliases of one person: the newest are kept
	bucketsCount = 10_000
)

type personKey struct {
	workspace uint32
	id        control.PersonID
}

type nameKey struct {
	workspace uint32
	kind      control.NameKind
	name      string
}

type nameList struct {
	workspace uint32
	kind      control.NameKind
}

type rowKey struct{ name, person int64 }

// batch is records as they are applied, and what they make.
type batch struct {
	r       *Reader
	g       *gathered // what records stand in
	records []record
	ends    bool      // it ends a person or takes an identifier from one: what the store says meanwhile of others may be wrong
	since   time.Time // when the oldest event was accepted that waits behind it among those gathered with it; zero: none

	// What is written: once finish has made it, it shares nothing with what goes on changing.
	out  control.PeopleBatch
	done chan struct{} // closed when out is stored, or err says why not
	err  error
	took time.Duration

	people  map[personKey]*person                              // also nil: there is nobody of that id
	byOther map[uint32]map[control.Identifier]control.PersonID // whom identifiers name
	asked   map[uint32]map[string]bool                         // external ids that the store is asked for

	lastRow, lastName int64
	newNames          map[nameKey]*control.Name
	named             map[*control.Name]bool // to be written

	attributes map[rowKey]control.PersonAttribute
	events     map[rowKey]*control.PersonEvents
	messages   map[rowKey]*control.PersonMessage
	groups     map[rowKey]control.PersonGroup
	stats      map[control.Stat]*control.Stat // by what it counts
	zones      map[uint32]*time.Location      // of workspaces whose days are not UTC's
	identities map[uint32]map[control.Identifier]control.PersonID
	formerly   map[uint32]map[control.Identifier]control.PersonID // who had those identities before that somebody has no more
	loadNames  func(nameList) error
	alone      bool // it has one record, a change

	facts facts
}

func (r *Reader) newBatch(next eventlog.Offset) *batch {
	return &batch{
		r: r, done: make(chan struct{}), out: control.PeopleBatch{Log: r.deps.Log.ID(), From: r.cursor, Next: next},
		people: map[personKey]*person{}, byOther: map[uint32]map[control.Identifier]control.PersonID{}, asked: map[uint32]map[string]bool{},
		lastRow: r.lastRow, lastName: r.lastName, newNames: map[nameKey]*control.Name{}, named: map[*control.Name]bool{},
		attributes: map[rowKey]control.PersonAttribute{}, events: map[rowKey]*control.PersonEvents{}, messages: map[rowKey]*control.PersonMessage{},
		groups: map[rowKey]control.PersonGroup{}, stats: map[control.Stat]*control.Stat{}, identities: map[uint32]map[control.Identifier]control.PersonID{},
		formerly: map[uint32]map[control.Identifier]control.PersonID{},
	}
}

// plan gives the plan of a schema; nil if it is not known.
func (r *Reader) plan(id event.SchemaID) *plan {
	p := r.plans[id]
	if p == nil {
		if s, ok := r.deps.Catalogue.Schema(id); ok {
			p = newPlan(s)
			r.plans[id] = p
		}
	}
	return p
}

func (r *Reader) typeName(id event.SchemaID) string {
	if s, ok := r.deps.Catalogue.Schema(id); ok {
		return s.Type.Name
	}
	return fmt.Sprintf("schema %d", id)
}

// load fetches everybody that the records are about.
func (b *batch) load(ctx context.Context, g *gathered, records []record) error {
	if zones := b.r.deps.Zones; zones != nil {
		// Asked anew for each batch, after its last event was accepted: a change of zone holds for every event that comes after it.
		var err error
		if b.zones, err = zones(ctx); err != nil {
			return err
		}
	}
	ids := map[uint32]map[control.PersonID]bool{} // true: whole
	want := func(workspace uint32, id control.PersonID, whole bool) {
		if id == "" {
			return
		}
		k := personKey{workspace, id}
		p := b.people[k]
		if p == nil {
			if p = b.r.somebody(k); p != nil {
				b.people[k] = p
			}
		}
		if p != nil && (!whole || p.Known == control.AllParts) {
			return
		}
		if ids[workspace] == nil {
			ids[workspace] = map[control.PersonID]bool{}
		}
		ids[workspace][id] = ids[workspace][id] || whole
	}
	claims := map[personKey]string{} // the external id that events say of a user id, and of which nothing is known
	for _, rec := range records {
		if c := rec.change; c != nil {
			want(rec.workspace, c.Person, true)
			want(rec.workspace, c.Into, true)
			if b.alone = len(records) == 1; b.alone && c.ExternalID != "" {
				b.ask(rec.workspace, c.ExternalID)
			}
			continue
		}
		p := b.r.plan(rec.schema)
		if p == nil || p.fold == nil || p.read(g.value(rec), &b.facts) != nil {
			continue
		}
		id := control.PersonID(b.facts.text(userID))
		want(rec.workspace, id, !p.counts || b.facts.text(deviceID) != "")
		want(rec.workspace, control.PersonID(b.facts.text(orphanedBy)), true)
		if x := b.facts.text(externalID); x != "" {
			k := personKey{rec.workspace, id}
			if was, is := claims[k]; is && was != x {
				b.ask(rec.workspace, x) // both
			}
			claims[k] = x
		}
	}
	fetch := func() error {
		for workspace, some := range ids {
			var active, whole []control.PersonID
			for id, all := range some {
				if all {
					whole = append(whole, id)
				} else {
					active = append(active, id)
				}
			}
			for _, x := range []struct {
				ids  []control.PersonID
				read func(context.Context, uint32, []control.PersonID) ([]*control.Person, error)
			}{{active, b.r.deps.Store.Active}, {whole, b.r.deps.Store.People}} {
				slices.Sort(x.ids)
				found, err := x.read(ctx, workspace, x.ids)
				if err != nil {
					return err
				}
				for _, p := range found {
					k := personKey{workspace, p.ID}
					if known := b.people[k]; known != nil {
						known.complete(p)
					} else {
						b.people[k] = &person{Person: p}
					}
				}
			}
		}
		clear(ids)
		return nil
	}
	if err := fetch(); err != nil {
		return err
	}
	// Most people have the external id that the event says: nothing has to be asked for.
	for k, x := range claims {
		if p := b.people[k]; p != nil && p.ExternalID == x {
			b.knows(k.workspace, x, k.id)
		} else {
			b.ask(k.workspace, x)
			if p != nil { // they may get it
				want(k.workspace, k.id, true)
			}
		}
	}
	for workspace, some := range b.asked {
		for _, read := range []func([]string) ([]control.PersonIdentity, error){
			// First as the log says: who is to be deleted further on in it has no identities any more.
			func(x []string) ([]control.PersonIdentity, error) { return b.r.deps.Store.Holders(ctx, workspace, x) },
			func(x []string) ([]control.PersonIdentity, error) { return b.r.named(workspace, x, true), nil },
			func(x []string) ([]control.PersonIdentity, error) {
				return b.r.deps.Store.Identities(ctx, workspace, control.ByExternalID, x)
			},
			func(x []string) ([]control.PersonIdentity, error) { return b.r.named(workspace, x, false), nil },
			func(x []string) ([]control.PersonIdentity, error) {
				return b.r.deps.Store.Identities(ctx, workspace, control.ByFormerID, x)
			},
		} {
			found, err := read(slices.Sorted(maps.Keys(some)))
			if err != nil {
				return err
			}
			for _, x := range found {
				b.knows(workspace, x.Value, x.Person)
				want(workspace, x.Person, true)
				delete(some, x.Value)
			}
		}
	}
	if err := fetch(); err != nil {
		return err
	}
	b.loadNames = func(l nameList) error { return b.r.loadNames(ctx, l) }
	return nil
}

// somebody gives a person as the batches before left them; nil: the store has to be asked.
func (r *Reader) somebody(k personKey) *person {
	if r.writing != nil {
		if p := r.writing.people[k]; p != nil {
			return p
		}
	}
	return r.people.get(k)
}

// named gives whom external ids will name once the batch that is being written is stored, of those that name nobody there
// yet; own: and whose own each is.
func (r *Reader) named(workspace uint32, externals []string, own bool) (out []control.PersonIdentity) {
	if r.writing == nil {
		return nil
	}
	for _, x := range externals {
		i := control.Identifier{Kind: control.ByExternalID, Value: x}
		id := r.writing.identities[workspace][i]
		p := r.writing.people[personKey{workspace, id}]
		if p != nil && (!own || p.ExternalID == x) {
			out = append(out, control.PersonIdentity{Workspace: workspace, Identifier: i, Person: id})
		}
	}
	return out
}

// ask has the store say whom an external id names.
func (b *batch) ask(workspace uint32, external string) {
	if b.asked[workspace] == nil {
		b.asked[workspace] = map[string]bool{}
	}
	b.asked[workspace][external] = true
}

// knows keeps whom an external id names; the first to say so holds.
func (b *batch) knows(workspace uint32, external string, id control.PersonID) {
	if b.byOther[workspace] == nil {
		b.byOther[workspace] = map[control.Identifier]control.PersonID{}
	}
	x := control.Identifier{Kind: control.ByExternalID, Value: external}
	if _, is := b.byOther[workspace][x]; !is {
		b.byOther[workspace][x] = id
	}
}

// loadNames fetches the names of a workspace, of one kind, once.
func (r *Reader) loadNames(ctx context.Context, l nameList) error {
	if _, done := r.nameCount[l]; done {
		return nil
	}
	all, err := r.deps.Store.Names(ctx, l.workspace, l.kind)
	if err != nil {
		return err
	}
	r.nameCount[l] = 0
	for i := range all {
		r.remember(&all[i])
	}
	return nil
}

func (r *Reader) remember(n *control.Name) {
	r.names[nameKey{n.Workspace, n.Kind, n.Name}] = n
	r.nameCount[nameList{n.Workspace, n.Kind}]++
}

// applySafely applies a record, or sets it aside.
func (b *batch) applySafely(rec record, g *gathered) {
	defer func() {
		if p := recover(); p != nil {
			b.setAside(rec, b.r.typeName(rec.schema), fmt.Sprint("it cannot be applied: ", p))
		}
	}()
	if err := b.apply(rec, g); err != nil {
		b.setAside(rec, b.r.typeName(rec.schema), err.Error())
	}
}

func (b *batch) setAside(rec record, eventType, reason string) {
	b.out.SetAside = append(b.out.SetAside, control.SetAside{Offset: rec.offset, Workspace: rec.workspace, EventType: eventType,
		Reason: strings.ToValidUTF8(reason[:min(len(reason), 500)], ""), At: time.UnixMilli(rec.at).UTC()})
}

func (b *batch) apply(rec record, g *gathered) error {
	if rec.schema == event.PersonChange {
		if rec.change == nil {
			_, err := control.DecodePersonChange(g.value(rec))
			return err
		}
		return b.change(rec, *rec.change)
	}
	p := b.r.plan(rec.schema)
	if p == nil {
		return fault.New(fault.Corrupt, "", "the catalogue does not know schema %d", rec.schema)
	}
	if p.fold == nil && p.tally == nil {
		return nil
	}
	if err := p.read(g.value(rec), &b.facts); err != nil {
		return err
	}
	if g.told[toldKey{rec.workspace, b.facts.text(eventID)}] {
		return nil // a change in the same commit says it
	}
	who := control.PersonID(b.facts.text(userID))
	if who == "" {
		return nil // nobody's: an agent's tool, a message from somebody unknown
	}
	at := time.UnixMilli(rec.at).UTC()
	if s, ok := b.facts.number(seconds); ok {
		at = time.Unix(int64(s), 0).UTC()
	}
	if p.fold != nil {
		person, err := b.whose(rec, who, b.facts.text(externalID))
		if err == nil {
			err = p.fold(b, person, &b.facts, at, rec)
		}
		if err != nil {
			return err
		}
	}
	if p.tally == nil {
		return nil
	}
	return b.tally(p.tally, &b.facts, at, rec)
}

// whose gives the person that an event is about, and makes them if there is nobody.
func (b *batch) whose(rec record, id control.PersonID, external string) (*person, error) {
	if len(id) > maxIDBytes || len(external) > maxIDBytes {
		return nil, fault.New(fault.Invalid, "", "its user id or external id has more than %d bytes", maxIDBytes)
	}
	if external != "" {
		x := control.Identifier{Kind: control.ByExternalID, Value: external}
		if other, known := b.identity(rec.workspace, x); known {
			id = other
		} else {
			b.identify(rec.workspace, x, id)
		}
	}
	p := b.person(rec, id)
	if p.ExternalID == "" && external != "" {
		p.ExternalID = external
		p.change(control.PartWho)
	}
	return p, nil
}

// identity gives whom an identifier names now.
func (b *batch) identity(workspace uint32, x control.Identifier) (control.PersonID, bool) {
	if id, ok := b.identities[workspace][x]; ok {
		return id, id != ""
	}
	id, ok := b.byOther[workspace][x]
	return id, ok
}

// identify lets an identifier name somebody from now on; an empty id: nobody.
func (b *batch) identify(workspace uint32, x control.Identifier, id control.PersonID) {
	if b.identities[workspace] == nil {
		b.identities[workspace] = map[control.Identifier]control.PersonID{}
	}
	b.identities[workspace][x] = id
}

// release lets an identifier of somebody name nobody from now on.
func (b *batch) release(workspace uint32, x control.Identifier, from control.PersonID) {
	b.identify(workspace, x, "")
	if b.formerly[workspace] == nil {
		b.formerly[workspace] = map[control.Identifier]control.PersonID{}
	}
	if _, was := b.formerly[workspace][x]; !was { // whoever had it since is not in the store
		b.formerly[workspace][x] = from
	}
}

// person gives somebody by id, and makes them if there is nobody.
func (b *batch) person(rec record, id control.PersonID) *person {
	k := personKey{rec.workspace, id}
	p := b.people[k]
	if p == nil {
		b.lastRow++
		at := time.UnixMilli(rec.at).UTC()
		p = &person{Person: &control.Person{Row: b.lastRow, New: true, Known: control.AllParts, Workspace: rec.workspace, ID: id, Bucket: bucketOf(rec.workspace, id), CreatedAt: at, UpdatedAt: at}}
		b.people[k] = p
	}
	return p
}

// bucketOf draws a person's random bucket from who they are.
func bucketOf(workspace uint32, id control.PersonID) int {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint32([]byte(id), workspace))
	return int(binary.LittleEndian.Uint64(sum[:]) % bucketsCount)
}

// name gives the number of something that an event names.
func (b *batch) name(rec record, kind control.NameKind, name, title string, parent int64) (int64, error) {
	n, err := b.entry(rec, kind, name, title, parent)
	if err != nil {
		return 0, err
	}
	return n.ID, nil
}

// entry gives what is known of something that an event names, and keeps its newest title.
func (b *batch) entry(rec record, kind control.NameKind, name, title string, parent int64) (*control.Name, error) {
	if name == "" || len(name) > maxIDBytes || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return nil, fault.New(fault.Invalid, "", "a name has 1 to %d bytes of text", maxIDBytes)
	}
	list := nameList{rec.workspace, kind}
	if err := b.loadNames(list); err != nil {
		return nil, err
	}
	k := nameKey{rec.workspace, kind, name}
	at := time.UnixMilli(rec.at).UTC()
	n := b.r.names[k]
	if n == nil {
		n = b.newNames[k]
	}
	if n == nil {
		if b.r.nameCount[list] >= maxNames {
			return nil, fault.New(fault.TooLarge, "", "the workspace has %d names of this kind already", maxNames)
		}
		b.lastName++
		n = &control.Name{ID: b.lastName, Workspace: rec.workspace, Kind: kind, Name: name, Title: title, Parent: parent, FirstAt: at, LastAt: at}
		b.newNames[k] = n
		b.named[n] = true
		return n, nil
	}
	if title != "" && n.Title != title || parent != 0 && n.Parent != parent || at.Sub(n.LastAt) >= time.Hour {
		if title != "" {
			n.Title = title
		}
		if parent != 0 {
			n.Parent = parent
		}
		n.LastAt = at
		b.named[n] = true
	}
	return n, nil
}

// sent keeps when a campaign was sent, or a Canvas entered.
func (b *batch) sent(rec record, n *control.Name, at time.Time) {
	if accepted := time.UnixMilli(rec.at).UTC(); at.After(accepted) {
		at = accepted
	}
	first, last := n.FirstSent, n.LastSent
	sooner(&n.FirstSent, at)
	later(&n.LastSent, at)
	if !first.Equal(n.FirstSent) || !last.Equal(n.LastSent) {
		b.named[n] = true
	}
}

// finish writes down what the records made.
func (b *batch) finish() {
	b.ends = len(b.out.Moves) > 0
	for n := range b.named {
		b.out.Names = append(b.out.Names, *n)
	}
	for _, p := range b.people {
		if p != nil && (p.New || p.Changed != 0) {
			p.encode()
			b.out.People = append(b.out.People, new(*p.Person))
		}
	}
	b.out.Attributes = slices.Collect(maps.Values(b.attributes))
	for _, e := range b.events {
		b.out.Events = append(b.out.Events, *e)
	}
	for _, m := range b.messages {
		b.out.Messages = append(b.out.Messages, *m)
	}
	b.out.Groups = slices.Collect(maps.Values(b.groups))
	for _, s := range b.stats {
		b.out.Stats = append(b.out.Stats, *s)
	}
	for workspace, some := range b.identities {
		for x, id := range some {
			from := b.formerly[workspace][x]
			b.out.Identities = append(b.out.Identities, control.PersonIdentity{Workspace: workspace, Identifier: x, Person: id, From: from})
			b.ends = b.ends || id == "" || from != ""
		}
	}
}
