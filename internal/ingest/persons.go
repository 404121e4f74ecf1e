package ingest

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// People says whom identifiers name. It is kept up from the log, and so may be behind it; but what Identify fixed holds at
// once.
type People interface {
	// Whom gives whom identifiers name, of those that name anybody; of an address several, the newest first.
	Whom(ctx context.Context, workspace uint32, ids []control.Identifier) ([]control.Known, error)
	// Named gives the identifiers of people.
	Named(ctx context.Context, workspace uint32, people []control.PersonID) ([]control.PersonIdentity, error)
	// Identify lets identifiers name somebody that name nobody yet, and gives whom each names now, in order.
	Identify(ctx context.Context, workspace uint32, fresh []control.NewIdentity) ([]control.PersonIdentity, error)
	// MoveIdentities lets identifiers name somebody else, as the log says already; once the reader has come to it, nothing.
	MoveIdentities(ctx context.Context, m control.IdentityMoves) error
	// Cursor says how far the reader is: below next it has moved all identifiers itself.
	Cursor(ctx context.Context) (log eventlog.ID, next eventlog.Offset, known bool, err error)
}

// persons makes people, and keeps requests that change whom identifiers name apart from all others of their workspace.
//
// What a commit says of identifiers is done to them after it is durable: until that is done it is owed, and whoever comes
// next to the workspace does it first. After a start it is the log that says what may be owed.
type persons struct {
	store  People
	key    []byte
	log    eventlog.Log
	logger *slog.Logger
	rooms  sync.Map // of *room by workspace

	until     eventlog.Offset // head of the log when this process began
	recalling sync.Mutex
	recalled  bool

	seen     atomic.Int64  // how far the reader of people is known to be
	size     atomic.Int64  // of what all rooms have ahead of it
	most     int64         // of size
	patience time.Duration // how long whoever names somebody by an address waits for the reader, and for others who name them
	tidied   atomic.Int64  // the size at which something is let go
	tidying  sync.Mutex
}

// room is what requests about the people of one workspace share.
type room struct {
	sync.RWMutex // held for writing by who changes whom identifiers name
	mu           sync.Mutex
	under        map[bool]int          // appends that have not ended, by whether they are of who is alone
	owed         control.IdentityMoves // no moves: nothing is owed

	ahead   *ahead
	barrier eventlog.Offset                        // ahead tells all of addresses once the reader has come here
	joined  eventlog.Offset                        // behind the last record that joined two people
	named   map[control.Identifier]<-chan struct{} // addresses that requests are about, until each ends
}

// visit is a request in its room.
type visit struct {
	*room
	people *persons
	alone  bool
	sees   view
	held   []control.Identifier // see hold
	done   chan struct{}        // closed when nothing is held any more

	appending bool // its append lets go of what it holds
}

// enter waits until identifiers name whom the log says, and of addresses those by which the request names somebody; alone also
// until nobody else is there. What comes of it is left once.
//
// Errors: unavailable, also while nobody knows whether an append counts that its request does not wait for any more, or whom
// an address names.
func (p *persons) enter(ctx context.Context, workspace uint32, alone bool, addresses []control.Identifier) (*visit, error) {
	if err := p.recall(ctx); err != nil {
		return nil, err
	}
	r := p.room(workspace)
	within, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	begun := p.sight(r)
	for need := max(begun.from, begun.barrier); ; {
		var err error
		switch {
		case len(addresses) > 0:
			err = p.await(within, need)
		case alone && begun.seen < need:
			err = p.see(ctx)
		}
		if within.Err() != nil {
			err = notYet()
		}
		if err != nil {
			return nil, err
		}
		v, err := p.visit(ctx, r, alone)
		if err == nil && !alone && v.hold(within, addresses) != nil {
			v.leave()
			err = notYet()
		}
		if err != nil {
			return nil, err
		}
		if v.sees = p.sight(r); len(addresses) == 0 || v.sees.from <= v.sees.seen {
			return v, nil
		}
		need = v.sees.from
		v.leave()
	}
}

func (p *persons) visit(ctx context.Context, r *room, alone bool) (*visit, error) {
	v := &visit{room: r, people: p, alone: alone, done: make(chan struct{})}
	if alone {
		v.Lock()
	} else {
		v.RLock()
	}
	err := v.clear()
	if err == nil {
		err = p.pay(ctx, v.room)
	}
	if err != nil {
		v.leave()
	}
	return v, err
}

// leave ends a visit. What it holds others are kept from until its append has ended, if that is still under way.
func (v *visit) leave() {
	if !v.appending {
		v.release()
	}
	if v.alone {
		v.Unlock()
	} else {
		v.RUnlock()
	}
}

// clear refuses to go on beside appends that have outlived their requests.
func (v *visit) clear() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.under[true] > 0 || v.alone && v.under[false] > 0 {
		return fault.New(fault.Unavailable, "", "The log has still to take a request that came before.").WithRetry(5 * time.Second)
	}
	return nil
}

// begins notes that an append is under way; it ends by what it leaves to be done, which may be nothing. Nothing was owed
// before: who is let in has paid.
func (v *visit) begins() (ends func(owed control.IdentityMoves)) {
	v.appending = true
	v.mu.Lock()
	defer v.mu.Unlock()
	v.under[v.alone]++
	return func(owed control.IdentityMoves) {
		v.release()
		v.mu.Lock()
		defer v.mu.Unlock()
		v.under[v.alone]--
		v.owe(owed)
	}
}

func (r *room) owe(m control.IdentityMoves) {
	if len(m.Moves) > 0 {
		r.owed = m
	}
}

func (p *persons) room(workspace uint32) *room {
	r, is := p.rooms.Load(workspace)
	if !is {
		r, _ = p.rooms.LoadOrStore(workspace, &room{under: map[bool]int{}, ahead: newAhead(p.until), named: map[control.Identifier]<-chan struct{}{}})
	}
	return r.(*room)
}

// pay does what is owed.
func (p *persons) pay(ctx context.Context, r *room) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.owed.Moves) == 0 {
		return nil
	}
	err := p.store.MoveIdentities(ctx, r.owed)
	if err == nil {
		r.owed = control.IdentityMoves{}
	}
	return err
}

// recall reads from the log, once, what the process before may still have owed when it ended: of each workspace the moves of
// its newest commit that has any, where the reader of people has not come to it.
func (p *persons) recall(ctx context.Context) error {
	p.recalling.Lock()
	defer p.recalling.Unlock()
	if p.recalled {
		return nil
	}
	log, at, known, err := p.store.Cursor(ctx)
	if err != nil {
		return err
	}
	start, _ := p.log.Bounds()
	if !known || log != p.log.ID() {
		at = start
	}
	owed, err := p.owedIn(max(at, start))
	if err != nil { // the reader of people does not come beyond it either, and says so
		p.logger.Error("identifiers may name people who were merged, renamed or deleted", "error", err)
	}
	for workspace, m := range owed {
		p.room(workspace).owe(m)
	}
	p.recalled = true
	return nil
}

// owedIn gives the newest moves of each workspace that stand in the log at from or above.
func (p *persons) owedIn(from eventlog.Offset) (map[uint32]control.IdentityMoves, error) {
	newest := map[uint32]control.IdentityMoves{}
	if from >= p.until {
		return newest, nil
	}
	in, err := p.log.Reader(from, eventlog.Filter{Kind: eventlog.Events})
	if err != nil {
		return newest, err
	}
	defer in.Close() // only read
	for {
		c, err := in.Next()
		if c == nil || err != nil || c.First >= p.until {
			return newest, err
		}
		m := control.IdentityMoves{Workspace: c.Workspace, Log: p.log.ID(), At: c.First}
		for rec := range c.Records() {
			if event.SchemaID(rec.Schema) != event.PersonChange {
				continue
			}
			change, err := control.DecodePersonChange(rec.Value)
			if err != nil { // the reader sets it aside
				continue
			}
			m.Moves = append(m.Moves, change.Moves()...)
		}
		if len(m.Moves) > 0 {
			newest[c.Workspace] = m
		}
	}
}

// How people are named who are made here: by so many hex digits.
const personDigits = 24

// fresh gives ids for somebody new: the first for whoever had the identifier first, further ones because an identifier can
// come free again while its first owner lives on under another.
func (p *persons) fresh(workspace uint32, i control.Identifier) []control.PersonID {
	var out []control.PersonID
	for n := range 3 {
		h := hmac.New(sha256.New, p.key)
		b := binary.LittleEndian.AppendUint32(nil, workspace)
		b = append(append(b, byte(i.Kind)), i.Value...)
		if n > 0 {
			b = append(b, 0, byte(n))
		}
		h.Write(b)
		out = append(out, control.PersonID(hex.EncodeToString(h.Sum(nil))[:personDigits]))
	}
	var b [personDigits / 2]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	return append(out, control.PersonID(hex.EncodeToString(b[:])))
}

// named is how an object of a request names somebody.
type named struct {
	control.Identifier
	alias *control.Alias
	rules []string // by which one of several is chosen; nil: none were given
}

// kindPushToken makes people of push tokens that came without anybody. It is kept nowhere.
const kindPushToken control.IdentifierKind = 200

// maxIdentifier bounds identifiers. Source: the vendor's limit of external ids.
const maxIdentifier = 997

const anIdentifier = "'external_id' or 'user_alias' or 'braze_id' or 'email' or 'phone' is required"

// readNamed reads the identifier of an object, the first that is there in the order of kinds.
func readNamed(o object) (n named, _ *problem) {
	switch {
	case !o.null("external_id"):
		return named{}.of(control.ByExternalID, "external_id", o["external_id"])
	case !o.null("user_alias"):
		return readAlias("user_alias", o["user_alias"])
	case !o.null("alias_name") && !o.null("alias_label"):
		return readAlias("alias_name", encode(map[string]json.RawMessage{"alias_name": o["alias_name"], "alias_label": o["alias_label"]}))
	case !o.null("braze_id"):
		return named{}.of(control.ByPerson, "braze_id", o["braze_id"])
	case !o.null("email"):
		n, p := named{}.of(control.ByEmail, "email", o["email"])
		return n.ruled(o, p)
	case !o.null("phone"):
		n, p := named{}.of(control.ByPhone, "phone", o["phone"])
		return n.ruled(o, p)
	}
	return named{}, wrong("", event.CodeRequired, anIdentifier)
}

func (n named) of(kind control.IdentifierKind, field string, raw json.RawMessage) (named, *problem) {
	s, ok := text(raw)
	if !ok {
		return n, wrong(field, event.CodeWrongType, "'"+field+"' must be a string")
	}
	switch kind {
	case control.ByEmail:
		if s, ok = control.NormalEmail(s); !ok {
			return n, wrong(field, event.CodeOutOfRange, "'email' must be an e-mail address")
		}
	case control.ByPhone:
		if s, ok = control.NormalPhone(s); !ok {
			return n, wrong(field, event.CodeOutOfRange, "'phone' must be a telephone number, best as in E.164")
		}
	}
	if s == "" || len(s) > maxIdentifier || strings.TrimSpace(s) == "" {
		return n, wrong(field, event.CodeOutOfRange, "'"+field+"' must have 1 to 997 bytes")
	}
	n.Identifier = control.Identifier{Kind: kind, Value: s}
	return n, nil
}

func readAlias(field string, raw json.RawMessage) (n named, _ *problem) {
	var o object
	if json.Unmarshal(raw, &o) != nil || o == nil {
		return n, wrong(field, event.CodeWrongType, "'"+field+"' must be an object with 'alias_name' and 'alias_label'")
	}
	name, ok1 := text(o["alias_name"])
	label, ok2 := text(o["alias_label"])
	if !ok1 || !ok2 || name == "" || label == "" || len(name) > maxIdentifier || len(label) > maxIdentifier {
		return n, wrong(field, event.CodeRequired, "'alias_name' and 'alias_label' must be strings of 1 to 997 bytes")
	}
	n.alias = &control.Alias{Label: label, Name: name}
	n.Identifier = control.ByNameOf(*n.alias)
	return n, nil
}

// Rules by which one of several people with an address is chosen. Source: facts of /users/delete, /identify and /merge.
var prioritizations = []string{"identified", "unidentified", "most_recently_updated", "least_recently_updated"}

// ruled reads by which rules one of several is chosen.
func (n named) ruled(o object, p *problem) (named, *problem) {
	if p != nil || o.null("prioritization") {
		return n, p
	}
	bad := wrong("prioritization", event.CodeOutOfRange, "'prioritization' must be an array of: "+strings.Join(prioritizations, ", ")+"; only one of the first two, and one of the last two")
	if json.Unmarshal(o["prioritization"], &n.rules) != nil {
		return n, bad
	}
	seen := map[int]bool{}
	for _, r := range n.rules {
		i := slices.Index(prioritizations, r)
		if i < 0 || seen[i/2] {
			return n, bad
		}
		seen[i/2] = true
	}
	return n, nil
}

// addresses gives those of names that are addresses, each once and in order.
func addresses(all []named) (out []control.Identifier) {
	for _, n := range all {
		if n.Kind == control.ByEmail || n.Kind == control.ByPhone {
			out = append(out, n.Identifier)
		}
	}
	slices.SortFunc(out, func(x, y control.Identifier) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Value, y.Value))
	})
	return slices.Compact(out)
}

// look finds whom identifiers name; all answers from it.
func (t *task) look(all []named) error {
	var ids []control.Identifier
	for _, n := range all {
		if _, asked := t.memory[n.Identifier]; !asked && n.Kind < kindPushToken {
			ids = append(ids, n.Identifier)
			t.memory[n.Identifier] = nil
		}
	}
	if err := t.ask(ids); err != nil {
		return err
	}
	// An external id that was renamed still names its owner, until it is removed.
	var former []control.Identifier
	for _, i := range ids {
		if i.Kind == control.ByExternalID && len(t.memory[i]) == 0 {
			former = append(former, control.Identifier{Kind: control.ByFormerID, Value: i.Value})
		}
	}
	if err := t.ask(former); err != nil {
		return err
	}
	for _, f := range former {
		t.memory[control.Identifier{Kind: control.ByExternalID, Value: f.Value}] = t.memory[f]
	}
	return nil
}

// ask remembers whom identifiers name: by the store, and by what its reader has not come to.
func (t *task) ask(ids []control.Identifier) error {
	if len(ids) == 0 {
		return nil
	}
	found := map[control.Identifier][]control.Known{}
	find := func(ids []control.Identifier) error {
		known, err := t.people.store.Whom(t.ctx, t.q.grant.Workspace, ids)
		for _, k := range known {
			found[k.Identifier] = append(found[k.Identifier], k)
		}
		return err
	}
	if err := find(ids); err != nil {
		return err
	}
	// Who has an address that the store has not given them.
	also, people := t.visit.also(ids, found)
	if len(people) > 0 {
		if err := find(people); err != nil {
			return err
		}
	}
	for i, ids := range also {
		for _, id := range ids {
			k := control.Known{Person: id}
			if all := found[person(id)]; len(all) > 0 {
				k = all[0]
			}
			k.Identifier = i
			found[i] = append(found[i], k)
		}
	}
	t.visit.mu.Lock()
	defer t.visit.mu.Unlock()
	for _, i := range ids {
		t.memory[i] = t.visit.sees.over(i, found[i], t.visit.sees.seen)
		for _, k := range t.memory[i] {
			t.known[k.Person] = k
		}
	}
	return nil
}

// also gives who may be named by identifiers beside those whom the store found, and as identifiers those of them whom it has
// still to be asked for.
func (v *visit) also(ids []control.Identifier, found map[control.Identifier][]control.Known) (also map[control.Identifier][]control.PersonID, ask []control.Identifier) {
	v.mu.Lock()
	defer v.mu.Unlock()
	also = map[control.Identifier][]control.PersonID{}
	for _, i := range ids {
		if id := control.PersonID(i.Value); i.Kind == control.ByPerson && len(found[i]) == 0 && v.sees.knows(id) && v.sees.people[id].at >= v.sees.seen {
			also[i] = []control.PersonID{id}
		}
		for _, id := range v.sees.given(i, v.sees.seen) {
			if !slices.ContainsFunc(found[i], func(k control.Known) bool { return k.Person == id }) {
				also[i] = append(also[i], id)
				ask = append(ask, person(id))
			}
		}
	}
	return also, ask
}

// person is the identifier of somebody by their own id.
func person(id control.PersonID) control.Identifier {
	return control.Identifier{Kind: control.ByPerson, Value: string(id)}
}

// all gives whom an identifier names by now: after what the request did before.
func (t *task) all(i control.Identifier) []control.Known {
	all := slices.Clone(t.memory[i])
	for _, id := range t.own.given(i, 0) {
		if !slices.ContainsFunc(all, func(k control.Known) bool { return k.Person == id }) {
			all = append(all, t.as(i, id, ""))
		}
	}
	return t.own.over(i, all, 0)
}

// as gives somebody whom an identifier names, with the external id that is known, or else.
func (t *task) as(i control.Identifier, id control.PersonID, external string) control.Known {
	k := t.known[id]
	k.Identifier, k.Person = i, id
	k.ExternalID = cmp.Or(k.ExternalID, external)
	return k
}

// tracked gives the one whom an identifier names where one must be chosen: of several who share an address the one that
// changed last, those with an external id before the others.
func (t *task) tracked(n named) (control.Known, bool) {
	all := t.all(n.Identifier)
	if i := slices.IndexFunc(all, func(k control.Known) bool { return k.ExternalID != "" }); i >= 0 {
		return all[i], true
	}
	if len(all) > 0 {
		return all[0], true
	}
	return control.Known{}, false
}

// one gives the one whom an identifier names, by its rules; nobody if there is more than one left.
func (t *task) one(n named) (control.Known, bool) {
	all := t.all(n.Identifier)
	for _, r := range n.rules {
		switch r {
		case "identified":
			all = slices.DeleteFunc(all, func(k control.Known) bool { return k.ExternalID == "" })
		case "unidentified":
			all = slices.DeleteFunc(all, func(k control.Known) bool { return k.ExternalID != "" })
		case "most_recently_updated":
			all = all[:min(len(all), 1)]
		case "least_recently_updated":
			all = all[max(0, len(all)-1):]
		}
	}
	if len(all) != 1 {
		return control.Known{}, false
	}
	return all[0], true
}

// identify lets identifiers name whom they name from now on, and remembers it.
func (t *task) identify(fresh []control.NewIdentity) error {
	if len(fresh) == 0 {
		return nil
	}
	made, err := t.people.store.Identify(t.ctx, t.q.grant.Workspace, fresh)
	for _, m := range made {
		k := t.as(m.Identifier, m.Person, "")
		if m.Kind == control.ByExternalID {
			k.ExternalID = m.Value
		}
		t.memory[m.Identifier], t.known[m.Person] = []control.Known{k}, k
	}
	return err
}
