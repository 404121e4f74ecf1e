package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// maxLifecycle is how many things a request about who people are may ask for. Source: facts of these calls.
const maxLifecycle = 50

const (
	tooManyIDs     = "The max number of ids per request was exceeded"
	tooManyAliases = "The max number of external_ids and aliases per request was exceeded"
)

// errand is a job of steps: each is about the people that it names.
type errand struct {
	names  [][]named // of each step
	step   func(t *task, names []named) error
	answer func(t *task) (int, map[string]any)
}

// run takes the steps one after the other: each sees what those before it did. An identifier is fixed before the log
// has what made it, so a step that finds its own identifier fixed already does the rest again, which changes nothing if
// it was done.
func (e *errand) run(t *task) error {
	if err := t.look(e.who()); err != nil {
		return err
	}
	for _, names := range e.names {
		if err := e.step(t, names); err != nil {
			return err
		}
	}
	return nil
}

func (e *errand) who() []named { return slices.Concat(e.names...) }

func (e *errand) reply(t *task, prior *eventlog.Answer) (int, any) {
	if prior != nil {
		t.done = int(prior.Accepted)
	}
	status, body := e.answer(t)
	if len(t.errors) > 0 {
		body["errors"] = t.errors
	}
	return status, body
}

// answered is an answer that says how many things were taken, whatever came of them.
func answered(count string, n int) func(*task) (int, map[string]any) {
	return func(*task) (int, map[string]any) {
		return http.StatusCreated, map[string]any{"message": "success", count: n}
	}
}

// readObject reads an object that stands in array.
func readObject(array string, raw json.RawMessage) (o object, _ *problem) {
	if json.Unmarshal(raw, &o) != nil || o == nil {
		return nil, wrong("", event.CodeWrongType, "each of '"+array+"' must be an object")
	}
	return o, nil
}

// items reads an array of at most maxLifecycle things. What read finds wrong is left out, with all that it says.
func (t *task) items(array, tooMany string, read func(i int, raw json.RawMessage) *problem) error {
	list, err := t.list(array)
	if err != nil {
		return err
	}
	if len(list) > maxLifecycle {
		return refusal(tooMany)
	}
	for i, raw := range list {
		p := flaw(raw, math.MaxInt)
		if p == nil {
			p = read(i, raw)
		}
		if p != nil {
			t.reject(array, i, raw, p)
		}
	}
	return nil
}

// objects reads an array of at most maxLifecycle objects, as items.
func (t *task) objects(array, tooMany string, read func(i int, o object) *problem) error {
	return t.items(array, tooMany, func(i int, raw json.RawMessage) *problem {
		o, p := readObject(array, raw)
		if p != nil {
			return p
		}
		return read(i, o)
	})
}

// needOne refuses a request of which nothing is left: with what is wrong with the first, if it asked for anything.
func (t *task) needOne(n int, what string) error {
	if n > 0 {
		return nil
	}
	if len(t.errors) > 0 {
		return t.refusal()
	}
	return refusal(what)
}

// refusal refuses a request for what is wrong with its objects.
func (t *task) refusal() error {
	f := refusal(t.errors[0].Type).(*fatal)
	f.errors = t.errors
	return f
}

// aliases gives the aliases of somebody by label, and whether there is an external id among the identifiers.
func (t *task) aliases(id control.PersonID) (map[string]bool, error) {
	all, err := t.people.store.Named(t.ctx, t.q.grant.Workspace, []control.PersonID{id})
	labels := map[string]bool{}
	for _, x := range all {
		if x.Kind == control.ByAlias {
			labels[x.AliasLabel()] = true
		}
	}
	return labels, err
}

func readNewAliases(t *task) (job, error) {
	e := &errand{step: newAlias}
	err := t.objects("user_aliases", tooManyAliases, func(_ int, o object) *problem {
		n, p := readAlias("user_aliases", encode(o))
		if p != nil {
			return p
		}
		names := []named{n}
		if !o.null("external_id") {
			x, p := named{}.of(control.ByExternalID, "external_id", o["external_id"])
			if p != nil {
				return p
			}
			names = append(names, x)
		}
		e.names = append(e.names, names)
		return nil
	})
	e.answer = answered("aliases_processed", len(e.names))
	return e, first(err, t.needOne(len(e.names), "'user_aliases' must be an array of objects"))
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// newAlias gives somebody an alias; without an external id somebody new. One that is somebody's stays theirs.
func newAlias(t *task, names []named) error {
	alias := names[0]
	owner, taken := t.one(alias)
	candidates := t.people.fresh(t.q.grant.Workspace, alias.Identifier)
	if len(names) == 2 {
		k, there := t.one(names[1])
		if !there || taken && owner.Person != k.Person {
			return nil
		}
		if labels, err := t.aliases(k.Person); err != nil || labels[alias.alias.Label] && !taken {
			return err
		}
		candidates = []control.PersonID{k.Person}
	} else if taken && (owner.ExternalID != "" || !owner.UpdatedAt.IsZero()) {
		return nil
	}
	if err := t.identify([]control.NewIdentity{{Identifier: alias.Identifier, Candidates: candidates}}); err != nil {
		return err
	}
	k, _ := t.one(alias)
	t.done++
	t.change(control.PersonChange{Kind: control.PersonUpdate, Person: k.Person, Alias: alias.alias})
	return nil
}

func readAliasUpdates(t *task) (job, error) {
	e := &errand{step: updateAlias}
	err := t.objects("alias_updates", tooManyAliases, func(_ int, o object) *problem {
		var names []named
		for _, field := range []string{"old_alias_name", "new_alias_name"} {
			n, p := readAlias("alias_updates", encode(object{"alias_label": o["alias_label"], "alias_name": o[field]}))
			if p != nil {
				p.text = "'alias_label', 'old_alias_name' and 'new_alias_name' must be strings of 1 to 997 bytes"
				return p
			}
			names = append(names, n)
		}
		e.names = append(e.names, names)
		return nil
	})
	e.answer = func(*task) (int, map[string]any) {
		return http.StatusCreated, map[string]any{"message": "success"}
	}
	return e, first(err, t.needOne(len(e.names), "'alias_updates' must be an array of objects"))
}

// updateAlias gives an alias another name, unless that is somebody's.
func updateAlias(t *task, names []named) error {
	k, there := t.one(names[0])
	if other, taken := t.one(names[1]); !there || taken && other.Person != k.Person || names[0].Identifier == names[1].Identifier {
		return nil
	}
	if err := t.identify([]control.NewIdentity{{Identifier: names[1].Identifier, Candidates: []control.PersonID{k.Person}}}); err != nil {
		return err
	}
	t.done++
	t.change(control.PersonChange{Kind: control.PersonUpdate, Person: k.Person, Alias: names[1].alias, Old: names[0].alias.Name})
	return nil
}

// move lets identifiers name somebody else; whom addresses name follows from what people have.
func (t *task) move(m control.IdentityMove) {
	t.moves = append(t.moves, m)
	for i, all := range t.memory {
		if m.Kind != 0 && i != m.Identifier || i.Kind == control.ByEmail || i.Kind == control.ByPhone {
			continue
		}
		var now []control.Known
		for _, k := range all {
			if k.Person == m.From {
				if m.Into == "" {
					continue
				}
				k = t.as(i, m.Into, k.ExternalID)
			}
			now = append(now, k)
		}
		t.memory[i] = now
	}
	if m.Kind != 0 && m.Into != "" {
		k := t.as(m.Identifier, m.Into, "")
		if m.Kind == control.ByExternalID {
			k.ExternalID = m.Value
		}
		t.memory[m.Identifier] = []control.Known{k}
	}
}

// mergeInto lets from go up in into, who gets what is lacking. Source: profile, of the same change.
func (t *task) mergeInto(from, into control.Known) error {
	e := map[string]any{"event_type": "users.UserOrphan", "time": t.now.Unix(), "orphaned_by_id": into.Person}
	id, p := t.event(about(e, from))
	if p != nil {
		return refusal(p.text)
	}
	t.done++
	t.change(control.PersonChange{Kind: control.PersonMerge, Person: from.Person, Into: into.Person, Event: id})
	gets := effect{person: into.Person, external: cmp.Or(into.ExternalID, from.ExternalID), joins: true}
	if into.Email == "" {
		gets.email = &from.Email
	}
	if into.Phone == "" {
		gets.phone = &from.Phone
	}
	t.affect(gets)
	return nil
}

func readIdentify(t *task) (job, error) {
	e := &errand{step: identifyOne}
	counts := map[string]int{}
	for _, x := range []struct {
		array string
		read  func(object) (named, *problem)
	}{
		{"aliases_to_identify", func(o object) (named, *problem) { return readAlias("user_alias", o["user_alias"]) }},
		{"emails_to_identify", func(o object) (named, *problem) {
			n, p := named{}.of(control.ByEmail, "email", o["email"])
			return n.ruled(o, p)
		}},
		{"phone_numbers_to_identify", func(o object) (named, *problem) {
			n, p := named{}.of(control.ByPhone, "phone", o["phone"])
			return n.ruled(o, p)
		}},
	} {
		err := t.objects(x.array, tooManyAliases, func(_ int, o object) *problem {
			external, p := named{}.of(control.ByExternalID, "external_id", o["external_id"])
			if p != nil {
				return p
			}
			n, p := x.read(o)
			if p == nil {
				e.names = append(e.names, []named{n, external})
				counts[x.array]++
			}
			return p
		})
		if err != nil {
			return nil, err
		}
	}
	if len(e.names) > maxLifecycle {
		return nil, refusal(tooManyAliases)
	}
	e.answer = func(*task) (int, map[string]any) {
		body := map[string]any{"message": "success", "aliases_processed": counts["aliases_to_identify"]}
		if n := counts["emails_to_identify"]; n > 0 {
			body["emails_processed"] = n
		}
		if n := counts["phone_numbers_to_identify"]; n > 0 {
			body["phone_numbers_processed"] = n
		}
		return http.StatusCreated, body
	}
	return e, t.needOne(len(e.names), "'aliases_to_identify', 'emails_to_identify' or 'phone_numbers_to_identify' must be an array of objects")
}

// identifyOne gives somebody without an external id one, or lets them go up in whoever has it.
func identifyOne(t *task, names []named) error {
	from, there := t.one(names[0])
	if !there || from.ExternalID != "" && from.ExternalID != names[1].Value {
		return nil
	}
	if into, has := t.one(names[1]); has && into.Person != from.Person {
		if names[0].alias != nil {
			labels, err := t.aliases(into.Person)
			if err != nil || labels[names[0].alias.Label] {
				return err
			}
		}
		return t.mergeInto(from, into)
	}
	if err := t.identify([]control.NewIdentity{{Identifier: names[1].Identifier, Candidates: []control.PersonID{from.Person}}}); err != nil {
		return err
	}
	t.done++
	t.change(control.PersonChange{Kind: control.PersonUpdate, Person: from.Person, ExternalID: names[1].Value})
	return nil
}

// The texts are the vendor's.
const (
	mergeNotArray = "'merge_updates' must be an array of objects"
	mergeTooMany  = "a single request may not contain more than 50 merge updates"
	mergeWho      = "identifiers must be objects with an 'external_id' property that is a string, 'user_alias' property that is an object, 'email' property that is a string, or 'phone' property that is a string"
	mergeOnly     = "'merge_updates' must only have 'identifier_to_merge' and 'identifier_to_keep'"
)

func readMerge(t *task) (job, error) {
	e := &errand{step: func(t *task, names []named) error {
		from, ok1 := t.one(names[0])
		into, ok2 := t.one(names[1])
		if !ok1 || !ok2 || from.Person == into.Person {
			return nil
		}
		return t.mergeInto(from, into)
	}}
	err := t.objects("merge_updates", mergeTooMany, func(_ int, o object) *problem {
		if !only(o, "identifier_to_merge", "identifier_to_keep") || len(o) != 2 {
			return wrong("", event.CodeUnknownField, mergeOnly)
		}
		var names []named
		for _, field := range []string{"identifier_to_merge", "identifier_to_keep"} {
			var who object
			if json.Unmarshal(o[field], &who) != nil || who == nil || !who.null("braze_id") {
				return wrong(field, event.CodeWrongType, mergeWho)
			}
			n, p := readNamed(who)
			if p != nil && p.field == "prioritization" {
				return p
			}
			if p != nil {
				return wrong(field, event.CodeWrongType, mergeWho)
			}
			names = append(names, n)
		}
		e.names = append(e.names, names)
		return nil
	})
	e.answer = func(*task) (int, map[string]any) {
		return http.StatusAccepted, map[string]any{"message": "success"}
	}
	if len(t.errors) > 0 { // the vendor's texts are of requests that are refused whole
		return nil, t.refusal()
	}
	return e, first(err, t.needOne(len(e.names), mergeNotArray))
}

// deleteOne deletes somebody.
func deleteOne(t *task, names []named) error {
	k, there := t.one(names[0])
	if !there {
		return nil
	}
	id, p := t.event(map[string]any{"event_type": "users.UserDeleteRequest", "user_id": k.Person, "time": t.now.Unix()})
	if p != nil {
		return refusal(p.text)
	}
	t.done++
	t.change(control.PersonChange{Kind: control.PersonDelete, Person: k.Person, Event: id})
	return nil
}

// DeletePerson appends that somebody is deleted, as a request to DeletePath does; of whom nobody knows, nothing.
//
// Durable: when err is nil. Errors: as AppendControl.
func (in *Ingest) DeletePerson(ctx context.Context, workspace uint32, who control.PersonID) error {
	const op = "delete person"
	q := &request{in: in, reader: event.NewReader(in.cat), grant: control.Grant{Workspace: workspace}}
	q.batch.Reset(eventlog.Header{Workspace: workspace, Kind: eventlog.Events})
	t := q.task(ctx)
	e := errand{names: [][]named{{{Identifier: control.Identifier{Kind: control.ByPerson, Value: string(who)}}}}, step: deleteOne}
	if err := t.enter(true, e.who()); err != nil {
		return fault.Wrap(err, op)
	}
	defer t.visit.leave()
	if err := e.run(t); err != nil || q.batch.Count() == 0 {
		return fault.Wrap(err, op)
	}
	return fault.Wrap(t.append(func() {}), op)
}

func readDelete(t *task) (job, error) {
	e := &errand{step: deleteOne}
	for _, x := range []struct {
		array string
		read  func(json.RawMessage) (named, *problem)
	}{
		{"external_ids", func(v json.RawMessage) (named, *problem) {
			return one("external_ids", control.ByExternalID, v)
		}},
		{"user_aliases", func(v json.RawMessage) (named, *problem) { return readAlias("user_aliases", v) }},
		{"braze_ids", func(v json.RawMessage) (named, *problem) { return one("braze_ids", control.ByPerson, v) }},
		{"email_addresses", func(v json.RawMessage) (named, *problem) {
			return readAddress("email_addresses", "email", control.ByEmail, v)
		}},
		{"phone_numbers", func(v json.RawMessage) (named, *problem) {
			return readAddress("phone_numbers", "phone", control.ByPhone, v)
		}},
	} {
		err := t.items(x.array, tooManyIDs, func(_ int, raw json.RawMessage) *problem {
			n, p := x.read(raw)
			if p == nil {
				e.names = append(e.names, []named{n})
			}
			return p
		})
		if err != nil {
			return nil, err
		}
	}
	if len(e.names) > maxLifecycle {
		return nil, refusal(tooManyIDs)
	}
	e.answer = func(t *task) (int, map[string]any) {
		return http.StatusCreated, map[string]any{"message": "success", "deleted": t.done}
	}
	return e, t.needOne(len(e.names), "one of 'external_ids', 'user_aliases', 'braze_ids', 'email_addresses' or 'phone_numbers' is required")
}

// one reads an identifier that stands in array by itself.
func one(array string, kind control.IdentifierKind, v json.RawMessage) (named, *problem) {
	n, p := named{}.of(kind, array, v)
	if p != nil {
		p.text = "each of " + p.text
	}
	return n, p
}

// readAddress reads {"email": …, "prioritization": […]}, or the same of a telephone number.
func readAddress(array, field string, kind control.IdentifierKind, v json.RawMessage) (named, *problem) {
	var o object
	if json.Unmarshal(v, &o) != nil || o == nil {
		return named{}, wrong("", event.CodeWrongType, "each of '"+array+"' must be an object with '"+field+"'")
	}
	n, p := named{}.of(kind, field, o[field])
	return n.ruled(o, p)
}

// renaming is the state of a request about external ids: what was done, and why the rest was not.
type renaming struct {
	errand
	named  [2]string // what the answer calls what was done and what failed
	items  []int     // which of the request each step is
	done   []string
	undone []objectError
}

// reply answers with what was done, of a repetition only as far as that is known: all, if nothing failed.
func (r *renaming) reply(t *task, prior *eventlog.Answer) (int, any) {
	body := map[string]any{"message": "success"}
	if prior != nil && int(prior.Accepted) < len(r.names) {
		body["errors_truncated"] = true
		return http.StatusCreated, body
	}
	if prior != nil {
		for _, n := range r.names {
			r.done = append(r.done, n[len(n)-1].Value)
		}
	}
	failed := []string{}
	for _, e := range slices.Concat(t.errors, r.undone) {
		failed = append(failed, fmt.Sprintf("%s (item %d)", e.Type, e.Index))
	}
	body[r.named[0]], body[r.named[1]] = append([]string{}, r.done...), failed
	return http.StatusCreated, body
}

// fail says why the step that is under way is not done.
func (r *renaming) fail(what string) {
	r.undone = append(r.undone, objectError{Type: what, Index: r.items[len(r.done)+len(r.undone)]})
}

func readRenames(t *task) (job, error) {
	r := &renaming{named: [2]string{"external_ids", "rename_errors"}}
	r.step = func(t *task, names []named) error {
		old, now := names[0], names[1]
		k, there := t.one(old)
		if !there || k.ExternalID != old.Value {
			r.fail("there is no user with the current_external_id")
			return nil
		}
		if other, taken := t.one(now); taken && other.Person != k.Person || now.Value == old.Value {
			r.fail("the new_external_id is in use already")
			return nil
		}
		if err := t.identify([]control.NewIdentity{{Identifier: now.Identifier, Candidates: []control.PersonID{k.Person}}}); err != nil {
			return err
		}
		r.done = append(r.done, now.Value)
		t.done++
		t.change(control.PersonChange{Kind: control.PersonRename, Person: k.Person, ExternalID: now.Value, Old: old.Value})
		t.memory[old.Identifier] = t.memory[now.Identifier]
		return nil
	}
	err := t.objects("external_id_renames", tooManyIDs, func(i int, o object) *problem {
		var names []named
		for _, field := range []string{"current_external_id", "new_external_id"} {
			n, p := named{}.of(control.ByExternalID, field, o[field])
			if p != nil {
				return p
			}
			names = append(names, n)
		}
		r.names, r.items = append(r.names, names), append(r.items, i)
		return nil
	})
	return r, first(err, t.needOne(len(r.names), "'external_id_renames' must be an array of objects"))
}

func readRemovals(t *task) (job, error) {
	r := &renaming{named: [2]string{"removed_ids", "removal_errors"}}
	r.step = func(t *task, names []named) error {
		old := names[0]
		k, there := t.one(old)
		if !there {
			r.fail("the external id is not one that was renamed")
			return nil
		}
		r.done = append(r.done, old.Value)
		t.done++
		t.change(control.PersonChange{Kind: control.PersonForgetID, Person: k.Person, Old: old.Value})
		return nil
	}
	err := t.items("external_ids", tooManyIDs, func(i int, raw json.RawMessage) *problem {
		n, p := one("external_ids", control.ByFormerID, raw)
		if p == nil {
			r.names, r.items = append(r.names, []named{n}), append(r.items, i)
		}
		return p
	})
	return r, first(err, t.needOne(len(r.names), "'external_ids' must be an array of strings"))
}
