package web

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// personRoutes are about the people whom events are about. What they show is personal data: the log of changes keeps who
// looked.
func (a *api) personRoutes() []route {
	const group, at = "people", "/workspaces/{workspace}/people"
	return []route{
		{name: "listSetAside", method: http.MethodGet, path: "/workspaces/{workspace}/set-aside", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists what of the workspace's events could not be taken up in profiles and statistics, newest first.", op: op(a.listSetAside)},
		{name: "findProfiles", method: http.MethodGet, path: at, right: control.RightExportUserData, group: group, status: http.StatusOK, also: []fault.Code{fault.NotFound},
			summary: "Finds people by external id, user id, alias, e-mail address or phone number: by one of them. Of one address there may be several, those that changed last first.", op: op(a.findProfiles)},
		{name: "getProfile", method: http.MethodGet, path: at + "/{person}", right: control.RightExportUserData, group: group, status: http.StatusOK,
			summary: "Gives what is kept of a person, by their user id: attributes, what they did, bought and were sent.", op: op(a.getProfile)},
		{name: "eraseProfile", method: http.MethodDelete, path: at + "/{person}", right: control.RightAdminister, group: group, status: http.StatusNoContent,
			summary: "Deletes a person, as /users/delete does: what is kept of them goes, and connectors are told.", op: op(a.eraseProfile)},
	}
}

type findProfilesIn struct {
	ExternalID string `query:"external_id" doc:"Also one that was renamed since."`
	UserID     string `query:"user_id"`
	Alias      string `query:"alias" doc:"As label:name."`
	Email      string `query:"email" doc:"In any case."`
	Phone      string `query:"phone" doc:"Blanks, hyphens and the like do not count."`
}

// maxFound is how many people of one address are shown. Source: store.Whom.
const maxFound = 100

// identifiers gives what people may be known by, and the name of the one parameter that is set. Errors: invalid.
func (in findProfilesIn) identifiers() (by string, ids []control.Identifier, err error) {
	for _, x := range []struct {
		name, value string
		kind        control.IdentifierKind
	}{
		{"external_id", in.ExternalID, control.ByExternalID}, {"user_id", in.UserID, control.ByPerson}, {"alias", in.Alias, control.ByAlias},
		{"email", in.Email, control.ByEmail}, {"phone", in.Phone, control.ByPhone},
	} {
		if x.value == "" {
			continue
		}
		if by != "" {
			return "", nil, refused([]fault.Problem{fault.Field(x.name, "conflict", "field.one_identifier", "One looks for people by one identifier.")})
		}
		by = x.name
		if x.kind != control.ByAlias {
			ids = control.IdentifiersOf(x.kind, x.value)
			continue
		}
		label, name, ok := strings.Cut(x.value, ":")
		if !ok || label == "" || name == "" {
			return "", nil, refused([]fault.Problem{fault.Field(by, "invalid", "field.alias", "An alias is written label:name.")})
		}
		ids = []control.Identifier{control.ByNameOf(control.Alias{Label: label, Name: name})}
	}
	if by == "" {
		return "", nil, refused([]fault.Problem{fault.Field("external_id", "required", "field.an_identifier", "Say whom you look for: by external id, user id, alias, e-mail address or phone number.")})
	}
	return by, ids, nil
}

func (a *api) findProfiles(c *call, in findProfilesIn) (out client.Page[client.ProfileHead], err error) {
	out.Items = []client.ProfileHead{}
	kept, err := a.profiles()
	if err != nil {
		return out, err
	}
	by, ids, err := in.identifiers()
	if err != nil {
		return out, err
	}
	if err := a.deps.Plane.FindPerson(c, c.workspace.Number, by); err != nil {
		return out, err
	}
	known, err := kept.Whom(c, c.workspace.Number, ids)
	if err != nil {
		return out, err
	}
	var who []control.PersonID
	for _, k := range known {
		who = append(who, k.Person)
	}
	slices.Sort(who)
	people, err := kept.People(c, c.workspace.Number, slices.Compact(who))
	slices.SortFunc(people, func(a, b *control.Person) int {
		return cmp.Or(b.UpdatedAt.Compare(a.UpdatedAt), cmp.Compare(a.ID, b.ID))
	})
	for _, p := range people[:min(len(people), maxFound)] {
		out.Items = append(out.Items, headOf(p))
	}
	return out, err
}

func headOf(p *control.Person) client.ProfileHead {
	return client.ProfileHead{UserID: string(p.ID), ExternalID: p.ExternalID, FirstName: p.FirstName, LastName: p.LastName, Email: p.Email, Phone: p.Phone,
		Country: p.Country, Language: p.Language, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt}
}

type personIn struct {
	Person control.PersonID `path:"person"`
}

// person gives somebody of the call's workspace. Errors: not_found.
func (a *api) person(c *call, in personIn) (*control.Person, error) {
	kept, err := a.profiles()
	if err != nil {
		return nil, err
	}
	found, err := kept.People(c, c.workspace.Number, []control.PersonID{in.Person})
	if err == nil && len(found) == 0 {
		err = &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "control.no_person", Text: "Nobody of this user id is known here."}}
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// maxListed is how many items of one list a profile shows. Source: client.Profile.
const maxListed = 500

func (a *api) getProfile(c *call, in personIn) (out client.Profile, err error) {
	p, err := a.person(c, in)
	if err != nil {
		return out, err
	}
	if err := a.deps.Plane.LookAtPerson(c, c.workspace.Number, p.ID); err != nil {
		return out, err
	}
	out = client.Profile{ProfileHead: headOf(p), RandomBucket: p.Bucket, Gender: p.Gender, Birth: p.Birth, TimeZone: p.TimeZone, HomeCity: p.HomeCity,
		EmailSubscribe: string(p.EmailSubscribe), PushSubscribe: string(p.PushSubscribe),
		FirstSession: maybe(p.FirstSession), LastSession: maybe(p.LastSession), Sessions: p.Sessions, Purchases: p.Purchases, Revenue: control.Money(p.Revenue),
		LastPurchase: maybe(p.LastPurchase), UninstalledAt: maybe(p.UninstalledAt)}
	if err := showKept(p, &out); err != nil {
		return out, err
	}
	deeds, err := a.deps.Profiles.Done(c, p)
	if err != nil {
		return out, err
	}
	out.Events, out.Products = showDeeds(deeds, control.NameEvent), showDeeds(deeds, control.NameProduct)
	had, err := a.deps.Profiles.Had(c, p)
	if err != nil {
		return out, err
	}
	out.Campaigns, out.Canvases = showHad(had)
	groups, err := a.deps.Profiles.Groups(c, p)
	for _, g := range groups[:min(len(groups), maxListed)] {
		state := control.Unsubscribed
		if g.Subscribed {
			state = control.Subscribed
		}
		out.Groups = append(out.Groups, client.ProfileGroup{ID: g.ID, State: string(state), At: g.At})
	}
	if err != nil {
		return out, err
	}
	out.Segments, out.SegmentsLeft, err = a.segmentsOf(c, p)
	out.Lag = a.profileLag()
	out.Aliases, out.Events, out.Products, out.Campaigns, out.Canvases = some(out.Aliases), some(out.Events), some(out.Products), some(out.Campaigns), some(out.Canvases)
	out.Channels, out.Groups, out.Apps, out.Devices, out.Tokens = some(out.Channels), some(out.Groups), some(out.Apps), some(out.Devices), some(out.Tokens)
	return out, err
}

// maxLookedAt is of how many segments it is found out whether somebody is in them: each is a query. Source: client.Profile.
const maxLookedAt = 100

// segmentsOf gives the segments that hold somebody, and how many were not looked at.
func (a *api) segmentsOf(c *call, p *control.Person) (in []client.ProfileSegment, left int, err error) {
	all, err := a.deps.Store.Segments(c, p.Workspace)
	if err != nil {
		return nil, 0, err
	}
	in, now := []client.ProfileSegment{}, time.Now()
	for _, s := range all[:min(len(all), maxLookedAt)] {
		holds, err := a.deps.Profiles.Holds(c, p, s.Filter, now)
		if err != nil {
			return nil, 0, err
		}
		if holds {
			in = append(in, client.ProfileSegment{ID: string(s.ID), Name: s.Name})
		}
	}
	return in, max(0, len(all)-maxLookedAt), nil
}

// some is a list that JSON shows as one also where it is empty.
func some[T any](list []T) []T { return append([]T{}, list...) }

// showKept adds what is kept of a person as JSON.
func showKept(p *control.Person, out *client.Profile) error {
	out.Custom, out.Other = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	var touches map[control.Medium]control.Touch
	var rest control.PersonRest
	for _, x := range []struct {
		from []byte
		to   any
	}{{p.Custom, &out.Custom}, {p.Channels, &touches}, {p.Rest, &rest}} {
		if len(x.from) == 0 {
			continue
		}
		if err := json.Unmarshal(x.from, x.to); err != nil {
			return fault.From(err, fault.Corrupt, "read profile")
		}
	}
	for _, m := range control.Media() {
		if t, ok := touches[m]; ok {
			out.Channels = append(out.Channels, client.ProfileChannel{Channel: string(m), Received: milli(t.Received), Opened: milli(t.Opened), Clicked: milli(t.Clicked)})
		}
	}
	for _, x := range rest.Aliases {
		out.Aliases = append(out.Aliases, client.ProfileAlias{Label: x.Label, Name: x.Name})
	}
	for _, x := range rest.Apps {
		out.Apps = append(out.Apps, client.ProfileApp{ID: x.ID, Platform: x.Platform, Version: x.Version, Sessions: x.Sessions,
			FirstUsed: time.UnixMilli(x.FirstUsed).UTC(), LastUsed: time.UnixMilli(x.LastUsed).UTC()})
	}
	for _, x := range rest.Devices {
		out.Devices = append(out.Devices, client.ProfileDevice{ID: x.ID, Model: x.Model, OS: x.OS, Platform: x.Platform})
	}
	for _, x := range rest.PushTokens {
		out.Tokens = append(out.Tokens, client.ProfileToken{App: x.App, Token: masked(x.Token), Platform: x.Platform, Device: x.Device})
	}
	if at := rest.Coordinates; at != nil {
		out.Location = &client.ProfileLocation{Longitude: at[0], Latitude: at[1]}
	}
	for name, value := range rest.Other {
		out.Other[name] = json.RawMessage(value)
	}
	return nil
}

// milli is a time that is 0 if there is none.
func milli(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	return new(time.UnixMilli(ms).UTC())
}

// masked shows of a token what tells it from others, and not what it takes to use it.
func masked(token string) string {
	const shown = 4
	if len(token) <= 4*shown {
		return "…"
	}
	return strings.ToValidUTF8(token[:shown]+"…"+token[len(token)-shown:], "")
}

// showDeeds gives those of one kind, the last done first.
func showDeeds(all []control.Deed, kind control.NameKind) (out []client.ProfileDeed) {
	for _, d := range all {
		if d.Kind == kind {
			out = append(out, client.ProfileDeed{Name: d.Name, First: d.First, Last: d.Last, Count: d.Count, Revenue: control.Money(d.Revenue)})
		}
	}
	slices.SortStableFunc(out, func(a, b client.ProfileDeed) int { return b.Last.Compare(a.Last) })
	return out[:min(len(out), maxListed)]
}

// showHad gives campaigns and Canvases, these with their steps, the last had first.
func showHad(all []control.Had) (campaigns, canvases []client.ProfileMessage) {
	at := func(m client.ProfileMessage) (last time.Time) {
		for _, t := range []*time.Time{m.Received, m.Opened, m.Clicked, m.Entered, m.Exited} {
			if t != nil && t.After(last) {
				last = *t
			}
		}
		return last
	}
	newest := func(of []client.ProfileMessage) []client.ProfileMessage {
		slices.SortStableFunc(of, func(a, b client.ProfileMessage) int { return at(b).Compare(at(a)) })
		return of[:min(len(of), maxListed)]
	}
	steps := map[int64][]client.ProfileMessage{}
	for _, h := range all {
		if h.Of.Kind == control.NameStep {
			steps[h.Of.Parent] = append(steps[h.Of.Parent], showMessage(h))
		}
	}
	for _, h := range all {
		switch h.Of.Kind {
		case control.NameCampaign:
			campaigns = append(campaigns, showMessage(h))
		case control.NameCanvas:
			m := showMessage(h)
			m.Steps = newest(steps[h.Of.ID])
			canvases = append(canvases, m)
		}
	}
	return newest(campaigns), newest(canvases)
}

func showMessage(h control.Had) client.ProfileMessage {
	d := h.Deed
	return client.ProfileMessage{ID: h.Of.Name, Title: h.Of.Title, Variation: d.Variation, Received: maybe(d.Received), Opened: maybe(d.Opened), Clicked: maybe(d.Clicked),
		Entered: maybe(d.Entered), Exited: maybe(d.Exited), Converted: d.Flags&control.Converted != 0, InControl: d.Flags&control.InControl != 0}
}

func (a *api) eraseProfile(c *call, in personIn) (none, error) {
	p, err := a.person(c, in)
	if err != nil {
		return none{}, err
	}
	return none{}, a.deps.Plane.ErasePerson(c, c.workspace.Number, p.ID, func() error { return a.deps.Erase(c, c.workspace.Number, p.ID) })
}
