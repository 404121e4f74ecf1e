package profile

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// change applies what a request changed.
func (b *batch) change(rec record, c control.PersonChange) error {
	at := time.UnixMilli(rec.at).UTC()
	if c.At != nil {
		at = *c.At
	}
	switch c.Kind {
	case control.PersonDelete:
		if p := b.people[personKey{rec.workspace, c.Person}]; p != nil {
			return b.remove(rec, p)
		}
		return nil
	case control.PersonMerge:
		if from := b.people[personKey{rec.workspace, c.Person}]; from != nil {
			return b.merge(rec, from, b.person(rec, c.Into))
		}
		return nil
	case control.PersonForgetID:
		b.release(rec.workspace, control.Identifier{Kind: control.ByFormerID, Value: c.Old}, c.Person)
		return nil
	}
	p := b.person(rec, c.Person)
	if err := b.join(rec, p, c.ExternalID); err != nil {
		return err
	}
	if c.Kind == control.PersonRename {
		b.release(rec.workspace, control.Identifier{Kind: control.ByExternalID, Value: c.Old}, p.ID)
		b.identify(rec.workspace, control.Identifier{Kind: control.ByFormerID, Value: c.Old}, p.ID)
	}
	if c.ExternalID != "" {
		if p.ExternalID == "" || c.Kind == control.PersonRename { // else it is one of somebody who went up in them
			p.ExternalID = c.ExternalID
		}
		b.identify(rec.workspace, control.Identifier{Kind: control.ByExternalID, Value: c.ExternalID}, p.ID)
	}
	if a := c.Alias; a != nil {
		if c.Old != "" { // of somebody who went up in them it may not be among theirs
			b.release(rec.workspace, control.ByNameOf(control.Alias{Label: a.Label, Name: c.Old}), p.ID)
		}
		rest := p.editRest()
		rest.Aliases = slices.DeleteFunc(rest.Aliases, func(x control.Alias) bool {
			if x.Label == a.Label && x.Name != a.Name {
				b.release(rec.workspace, control.ByNameOf(x), p.ID)
			}
			return x.Label == a.Label
		})
		rest.Aliases = newest(append(rest.Aliases, *a))
		b.identify(rec.workspace, control.ByNameOf(*a), p.ID)
	}
	p.change(control.PartWho | control.PartDone) // an attribute may be one of either
	p.UpdatedAt = time.UnixMilli(rec.at).UTC()
	for name, value := range c.Attributes {
		if err := b.attribute(rec, p, name, value, at); err != nil {
			return err
		}
	}
	return b.custom(rec, p, c.Custom)
}

// join lets whoever has an external id go up in p, who gets it: an event and a request that came together each made a person of
// it. Among other records two of one external id are refused by the store, and then each goes alone.
func (b *batch) join(rec record, p *person, external string) error {
	id, known := b.identity(rec.workspace, control.Identifier{Kind: control.ByExternalID, Value: external})
	other := b.people[personKey{rec.workspace, id}]
	if !b.alone || !known || other == nil || other == p || other.ExternalID != external {
		return nil
	}
	return b.merge(rec, other, p)
}

// attribute sets a standard attribute, or with null takes it away.
func (b *batch) attribute(rec record, p *person, name string, value json.RawMessage, at time.Time) error {
	texts := map[string]*string{
		"first_name": &p.FirstName, "last_name": &p.LastName, "email": &p.Email, "phone": &p.Phone, "gender": &p.Gender, "dob": &p.Birth, "country": &p.Country,
		"language": &p.Language, "time_zone": &p.TimeZone, "home_city": &p.HomeCity,
	}
	times := map[string]*time.Time{"date_of_first_session": &p.FirstSession, "date_of_last_session": &p.LastSession}
	absent := string(value) == "null"
	switch name {
	case "email_subscribe", "push_subscribe":
		var state control.Subscription // null: nobody says any more
		if err := json.Unmarshal(value, &state); err != nil {
			return notLike(name, err)
		}
		p.wants(strings.TrimSuffix(name, "_subscribe"), state, at)
		return nil
	case "current_location":
		var c *[2]float64
		if err := json.Unmarshal(value, &c); err != nil {
			return notLike(name, err)
		}
		p.editRest().Coordinates = c
		return nil
	case "push_tokens":
		var tokens []control.PushToken
		if err := json.Unmarshal(value, &tokens); err != nil {
			return notLike(name, err)
		}
		p.editRest().PushTokens = newest(tokens)
		return nil
	case "subscription_groups":
		var groups []struct {
			ID    string `json:"subscription_group_id"`
			State string `json:"subscription_state"`
		}
		if err := json.Unmarshal(value, &groups); err != nil {
			return notLike(name, err)
		}
		for _, g := range groups {
			if err := b.group(rec, p, g.ID, g.State == string(control.Subscribed), at); err != nil {
				return err
			}
		}
		return nil
	}
	if to := texts[name]; to != nil {
		*to = ""
		if !absent {
			if err := json.Unmarshal(value, to); err != nil {
				return notLike(name, err)
			}
		}
		return nil
	}
	if to := times[name]; to != nil {
		was := p.begun()
		*to = time.Time{}
		if !absent {
			if err := json.Unmarshal(value, to); err != nil {
				return notLike(name, err)
			}
		}
		b.newcomer(rec, "", was, p.begun())
		return nil
	}
	rest := p.editRest()
	if rest.Other == nil {
		rest.Other = map[string]string{}
	}
	if rest.Other[name] = string(value); absent {
		delete(rest.Other, name)
	}
	return nil
}

func notLike(name string, err error) error {
	return fault.New(fault.Corrupt, "", "the attribute %s is not as it was checked", name).WithCause(err)
}

// remove ends a person and everything that is kept of them.
func (b *batch) remove(rec record, p *person) error {
	b.out.Moves = append(b.out.Moves, control.PersonMove{Person: p.Row, Workspace: rec.workspace, ID: p.ID})
	b.people[personKey{rec.workspace, p.ID}] = nil
	b.renamed(rec.workspace, p.ID, "")
	return nil
}

// renamed lets what names somebody since this batch began name somebody else; an empty id: nobody.
func (b *batch) renamed(workspace uint32, from, to control.PersonID) {
	for x, id := range b.identities[workspace] {
		if id == from {
			b.identities[workspace][x] = to
		}
	}
}

// merge lets from go up in into: what into lacks it takes over, counts are added, the first is the earliest and the last
// the latest. Source: the vendor's description of /users/merge.
func (b *batch) merge(rec record, from, into *person) error {
	for _, x := range []struct{ to, v *string }{
		{&into.ExternalID, &from.ExternalID}, {&into.FirstName, &from.FirstName}, {&into.LastName, &from.LastName}, {&into.Email, &from.Email}, {&into.Phone, &from.Phone},
		{&into.Gender, &from.Gender}, {&into.Birth, &from.Birth}, {&into.Country, &from.Country}, {&into.Language, &from.Language}, {&into.TimeZone, &from.TimeZone},
		{&into.HomeCity, &from.HomeCity},
	} {
		fill(x.to, *x.v)
	}
	counted := into.begun() // both are, and stay so: what goes on counting is the first
	sooner(&counted, from.begun())
	if !from.FirstSession.IsZero() {
		sooner(&into.FirstSession, from.FirstSession)
	}
	later(&into.LastSession, from.LastSession)
	later(&into.LastPurchase, from.LastPurchase)
	if from.CreatedAt.Before(into.CreatedAt) {
		into.CreatedAt = from.CreatedAt
	}
	into.Sessions += from.Sessions
	b.newcomer(rec, "", counted, into.begun())
	into.Purchases += from.Purchases
	into.Revenue += from.Revenue

	into.change(control.PartWho | control.PartDone)
	for _, t := range from.readTouches() {
		for _, h := range []struct {
			had
			ms int64
		}{{had{received: true}, t.Received}, {had{opened: true}, t.Opened}, {had{clicked: true}, t.Clicked}} {
			if h.ms > 0 {
				h.medium = t.medium
				into.touch(h.had, time.UnixMilli(h.ms))
			}
		}
	}
	rest, more := into.editRest(), from.readRest()
	for channel, state := range map[string]control.Subscription{channelEmail: from.EmailSubscribe, channelPush: from.PushSubscribe} {
		if *into.wish(channel) == "" && state != "" {
			into.wants(channel, state, time.UnixMilli(more.SubscribedAt[channel]))
		}
	}
	rest.Active.Join(more.Active)
	for _, a := range more.Aliases {
		if !slices.ContainsFunc(rest.Aliases, func(x control.Alias) bool { return x.Label == a.Label }) {
			rest.Aliases = append(rest.Aliases, a)
		}
	}
	for _, d := range more.Devices {
		if !slices.ContainsFunc(rest.Devices, func(x control.Device) bool { return x.ID == d.ID }) {
			rest.Devices = append(rest.Devices, d)
		}
	}
	for _, t := range more.PushTokens {
		if !slices.Contains(rest.PushTokens, t) {
			rest.PushTokens = append(rest.PushTokens, t)
		}
	}
	for _, a := range more.Apps {
		i := slices.IndexFunc(rest.Apps, func(x control.AppUse) bool { return x.ID == a.ID })
		if i < 0 {
			rest.Apps = append(rest.Apps, a)
			continue
		}
		rest.Apps[i].Sessions += a.Sessions
		rest.Apps[i].Active.Join(a.Active)
		rest.Apps[i].FirstUsed, rest.Apps[i].LastUsed = min(rest.Apps[i].FirstUsed, a.FirstUsed), max(rest.Apps[i].LastUsed, a.LastUsed)
	}
	rest.Aliases, rest.Devices, rest.PushTokens, rest.Apps = newest(rest.Aliases), newest(rest.Devices), newest(rest.PushTokens), newest(rest.Apps)
	if rest.Coordinates == nil {
		rest.Coordinates = more.Coordinates
	}
	for name, v := range more.Other {
		if _, has := rest.Other[name]; !has {
			if rest.Other == nil {
				rest.Other = map[string]string{}
			}
			rest.Other[name] = v
		}
	}
	into.UpdatedAt = time.UnixMilli(rec.at).UTC()
	b.out.Moves = append(b.out.Moves, control.PersonMove{Person: from.Row, Workspace: rec.workspace, ID: from.ID, Into: into.Row, IntoID: into.ID})
	b.people[personKey{rec.workspace, from.ID}] = nil
	b.renamed(rec.workspace, from.ID, into.ID)
	// What named them since a request let them go up, the store has not taken.
	if from.ExternalID != "" {
		b.identify(rec.workspace, control.Identifier{Kind: control.ByExternalID, Value: from.ExternalID}, into.ID)
	}
	for _, a := range more.Aliases {
		b.identify(rec.workspace, control.ByNameOf(a), into.ID)
	}

	var gaps []control.CustomChange
	own := into.readCustom()
	for _, name := range slices.Sorted(maps.Keys(from.readCustom())) {
		if _, has := own[name]; !has {
			gaps = append(gaps, control.CustomChange{Name: name, Do: control.CustomSet, Value: from.custom[name]})
		}
	}
	return b.custom(rec, into, gaps)
}
