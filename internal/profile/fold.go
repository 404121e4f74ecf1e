package profile

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// fold takes an event up in the person that it is about.
type fold func(b *batch, p *person, f *facts, at time.Time, rec record) error

// counting are the types that change no more of a person than what events count, unless they name a device: nobody has to be
// read whole for them.
func counting(eventType string) bool {
	switch eventType {
	case "users.behaviors.CustomEvent", "users.behaviors.Purchase", "users.behaviors.Uninstall", "users.behaviors.subscriptiongroup.StateChange":
		return true
	}
	return strings.HasPrefix(eventType, "users.messages.") || strings.HasPrefix(eventType, "users.campaigns.") || strings.HasPrefix(eventType, "users.canvas.")
}

// folds say what is made of events, by type. Types that are not here tell nothing of people.
var folds = func() map[string]fold {
	all := map[string]fold{
		"users.behaviors.CustomEvent":                       customEvent,
		"users.behaviors.Purchase":                          purchase,
		"users.behaviors.app.FirstSession":                  firstSession,
		"users.behaviors.app.SessionStart":                  sessionStart,
		"users.behaviors.Uninstall":                         uninstall,
		"users.behaviors.Location":                          location,
		"users.behaviors.subscription.GlobalStateChange":    globalSubscription,
		"users.behaviors.subscriptiongroup.StateChange":     groupSubscription,
		"users.behaviors.pushnotification.TokenStateChange": tokenChange,
		"users.profile.Update":                              profileUpdate,
		"users.RandomBucketNumberUpdate":                    newBucket,
		"users.UserDeleteRequest":                           deleted,
		"users.UserOrphan":                                  orphaned,
		"users.campaigns.Conversion":                        message(had{flags: control.Converted}),
		"users.campaigns.EnrollInControl":                   message(had{flags: control.InControl}),
		"users.canvas.Conversion":                           message(had{flags: control.Converted}),
		"users.canvas.Entry":                                message(had{entered: true}),
		"users.canvas.exit.MatchedAudience":                 message(had{exited: true}),
		"users.canvas.exit.PerformedEvent":                  message(had{exited: true}),
	}
	for medium, types := range messageTypes {
		for name, h := range types {
			h.medium = medium
			all["users.messages."+name] = message(h)
		}
	}
	return all
}()

// had is what an event of a message says that a person had of it.
type had struct {
	medium                                     control.Medium
	flags                                      control.Flags
	received, opened, clicked, entered, exited bool
}

// messageTypes are the events of messages that somebody received, opened or clicked.
var messageTypes = map[control.Medium]map[string]had{
	control.MediumEmail: {
		"email.Send": {received: true}, "email.Open": {opened: true, flags: control.OpenedEmail}, "email.Click": {clicked: true, flags: control.ClickedEmail},
	},
	control.MediumPush: {
		"pushnotification.Send": {received: true}, "pushnotification.Open": {opened: true, flags: control.OpenedPush},
	},
	control.MediumInApp: {
		"inappmessage.Impression": {received: true}, "inappmessage.Click": {clicked: true, flags: control.ClickedInApp},
	},
	control.MediumContentCard: {
		"contentcard.Send": {received: true}, "contentcard.Impression": {opened: true, flags: control.OpenedOther}, "contentcard.Click": {clicked: true, flags: control.ClickedOther},
	},
	control.MediumSMS: {
		"sms.Send": {received: true}, "sms.ShortLinkClick": {clicked: true, flags: control.ClickedOther},
	},
	control.MediumWhatsApp: {
		"whatsapp.Send": {received: true}, "whatsapp.Read": {opened: true, flags: control.OpenedOther}, "whatsapp.Click": {clicked: true, flags: control.ClickedOther},
	},
	control.MediumLine: {
		"line.Send": {received: true}, "line.Click": {clicked: true, flags: control.ClickedOther},
	},
	control.MediumRCS: {
		"rcs.Send": {received: true}, "rcs.Read": {opened: true, flags: control.OpenedOther}, "rcs.Click": {clicked: true, flags: control.ClickedOther},
	},
	control.MediumBanner: {
		"banner.Impression": {received: true}, "banner.Click": {clicked: true, flags: control.ClickedOther},
	},
	control.MediumWebhook: {
		"webhook.Send": {received: true},
	},
}

// message takes up an event of a message, a campaign or a Canvas. An open by a machine and a click that a bot is
// suspected of are nobody's.
func message(h had) fold {
	return func(b *batch, p *person, f *facts, at time.Time, rec record) error {
		if f.yes(machineOpen) || f.yes(suspectedBot) {
			return nil
		}
		if h.medium != "" {
			p.touch(h, at)
		}
		m := control.PersonMessage{Flags: h.flags}
		for _, x := range []struct {
			is bool
			to *time.Time
		}{{h.received, &m.Received}, {h.opened, &m.Opened}, {h.clicked, &m.Clicked}, {h.entered, &m.Entered}, {h.exited, &m.Exited}} {
			if x.is {
				*x.to = at
			}
		}
		if f.yes(inControl) {
			m.Flags |= control.InControl
		}
		if id := f.text(campaignID); id != "" {
			m.Variation = f.text(variationID)
			if err := b.had(rec, p, control.NameCampaign, id, f.text(campaignName), 0, m); err != nil {
				return err
			}
		}
		canvas := f.text(canvasID)
		if canvas == "" {
			return nil
		}
		m.Variation = f.text(canvasVariationID)
		if err := b.had(rec, p, control.NameCanvas, canvas, f.text(canvasName), 0, m); err != nil {
			return err
		}
		step := f.text(stepID)
		if step == "" || h.entered || h.exited {
			return nil
		}
		parent, err := b.name(rec, control.NameCanvas, canvas, "", 0)
		if err != nil {
			return err
		}
		return b.had(rec, p, control.NameStep, step, f.text(stepName), parent, m)
	}
}

// had joins m to what a person had of a campaign, Canvas or step.
func (b *batch) had(rec record, p *person, kind control.NameKind, id, title string, parent int64, m control.PersonMessage) error {
	n, err := b.entry(rec, kind, id, title, parent)
	if err != nil {
		return err
	}
	if at := m.Received; kind == control.NameCampaign && !at.IsZero() {
		b.sent(rec, n, at)
	}
	if at := m.Entered; kind == control.NameCanvas && !at.IsZero() {
		b.sent(rec, n, at)
	}
	k := rowKey{n.ID, p.Row}
	old := b.messages[k]
	if old == nil {
		m.Name, m.Person = n.ID, p.Row
		b.messages[k] = &m
		return nil
	}
	if m.Variation != "" {
		old.Variation = m.Variation
	}
	old.Flags |= m.Flags
	later(&old.Received, m.Received)
	sooner(&old.Opened, m.Opened)
	sooner(&old.Clicked, m.Clicked)
	later(&old.Entered, m.Entered)
	later(&old.Exited, m.Exited)
	return nil
}

func later(t *time.Time, x time.Time) {
	if x.After(*t) {
		*t = x
	}
}

func sooner(t *time.Time, x time.Time) {
	if t.IsZero() || !x.IsZero() && x.Before(*t) {
		*t = x
	}
}

// did adds to what a person did by a name.
func (b *batch) did(rec record, p *person, kind control.NameKind, f *facts, name string, at time.Time, revenue float64) error {
	n, err := b.name(rec, kind, name, "", 0)
	if err != nil {
		return err
	}
	k := rowKey{n, p.Row}
	e := b.events[k]
	if e == nil {
		e = &control.PersonEvents{Name: n, Person: p.Row, First: at, Last: at}
		b.events[k] = e
	}
	sooner(&e.First, at)
	later(&e.Last, at)
	e.Count++
	e.Revenue += revenue
	b.deed(rec, kind, n, f.text(appID), at, revenue)
	return nil
}

func customEvent(b *batch, p *person, f *facts, at time.Time, rec record) error {
	p.device(f)
	return b.did(rec, p, control.NameEvent, f, f.text(eventName), at, 0)
}

func purchase(b *batch, p *person, f *facts, at time.Time, rec record) error {
	amount, _ := f.number(price)
	if err := b.did(rec, p, control.NameProduct, f, f.text(productID), at, amount); err != nil {
		return err
	}
	p.device(f)
	p.Purchases++
	p.Revenue += amount
	later(&p.LastPurchase, at)
	p.change(control.PartDone)
	return nil
}

func firstSession(b *batch, p *person, f *facts, at time.Time, rec record) error {
	for _, x := range []struct {
		to *string
		s  slot
	}{{&p.Gender, gender}, {&p.Country, country}, {&p.Language, language}, {&p.TimeZone, timeZone}} {
		if v := f.text(x.s); v != "" && *x.to == "" {
			*x.to = v
			p.change(control.PartWho)
		}
	}
	return p.session(b, rec, f, at)
}

func sessionStart(b *batch, p *person, f *facts, at time.Time, rec record) error {
	return p.session(b, rec, f, at)
}

// session counts a session, of an app.
func (p *person) session(b *batch, rec record, f *facts, at time.Time) error {
	if accepted := time.UnixMilli(rec.at).UTC(); at.After(accepted) {
		at = accepted // a day to come would make all others too old
	}
	p.device(f)
	was := p.begun()
	p.Sessions++
	sooner(&p.FirstSession, at)
	later(&p.LastSession, at)
	p.UninstalledAt = time.Time{}
	p.change(control.PartDone)
	app := f.text(appID)
	rest := p.editRest()
	b.add(rec, at, control.Stat{Name: control.WholeWorkspace(rec.workspace), Count: control.CountSessions, Part: clean(app)}, 1, 0)
	b.newcomer(rec, "", was, p.begun())
	b.present(rec, "", &rest.Active, at)
	if app == "" {
		return nil
	}
	if _, err := b.name(rec, control.NameApp, app, "", 0); err != nil {
		return err
	}
	ms := at.UnixMilli()
	i := slices.IndexFunc(rest.Apps, func(a control.AppUse) bool { return a.ID == app })
	if i < 0 {
		rest.Apps = newest(append(rest.Apps, control.AppUse{ID: app, Platform: f.text(platform), FirstUsed: ms, LastUsed: ms}))
		i = len(rest.Apps) - 1
	}
	a := &rest.Apps[i]
	if was = time.UnixMilli(a.FirstUsed); a.Sessions == 0 {
		was = time.Time{}
	}
	a.Sessions++
	a.FirstUsed, a.LastUsed = min(a.FirstUsed, ms), max(a.LastUsed, ms)
	b.newcomer(rec, app, was, time.UnixMilli(a.FirstUsed))
	b.present(rec, app, &a.Active, at)
	return nil
}

func uninstall(b *batch, p *person, f *facts, at time.Time, rec record) error {
	later(&p.UninstalledAt, at)
	p.change(control.PartDone)
	b.add(rec, at, control.Stat{Name: control.WholeWorkspace(rec.workspace), Count: control.CountUninstalls, Part: clean(f.text(appID))}, 1, 0)
	return nil
}

func location(_ *batch, p *person, f *facts, _ time.Time, _ record) error {
	p.device(f)
	lon, ok1 := f.number(longitude)
	lat, ok2 := f.number(latitude)
	if ok1 && ok2 {
		p.editRest().Coordinates = &[2]float64{lon, lat}
	}
	return nil
}

// subscriptions are the states as events have them, in lower case.
var subscriptions = map[string]control.Subscription{
	"subscribed": control.Subscribed, "unsubscribed": control.Unsubscribed, "opted_in": control.OptedIn, "opted-in": control.OptedIn, "opted in": control.OptedIn, "optedin": control.OptedIn,
}

func globalSubscription(_ *batch, p *person, f *facts, at time.Time, _ record) error {
	state, ok := subscriptions[strings.ToLower(f.text(subscription))]
	if !ok {
		return nil
	}
	switch strings.ToLower(f.text(messageChannel)) {
	case "email":
		p.wants(channelEmail, state, at)
	case "push", "push_notification", "pushnotification":
		p.wants(channelPush, state, at)
	}
	return nil
}

func groupSubscription(b *batch, p *person, f *facts, at time.Time, rec record) error {
	state, ok := subscriptions[strings.ToLower(f.text(subscription))]
	if !ok {
		return nil
	}
	return b.group(rec, p, f.text(groupID), state != control.Unsubscribed, at)
}

// group says whether a person wants a subscription group.
func (b *batch) group(rec record, p *person, id string, subscribed bool, at time.Time) error {
	n, err := b.name(rec, control.NameGroup, id, "", 0)
	if err != nil {
		return err
	}
	k := rowKey{n, p.Row}
	if old, is := b.groups[k]; !is || !at.Before(old.At) {
		b.groups[k] = control.PersonGroup{Name: n, Person: p.Row, Subscribed: subscribed, At: at}
	}
	return nil
}

func tokenChange(_ *batch, p *person, f *facts, _ time.Time, _ record) error {
	token, app := f.text(pushToken), f.text(appID)
	if token == "" {
		return nil
	}
	rest := p.editRest()
	kept := rest.PushTokens[:0]
	for _, t := range rest.PushTokens {
		if t.Token != token || t.App != app {
			kept = append(kept, t)
		}
	}
	if how := strings.ToLower(f.text(pushTokenChange)); !strings.Contains(how, "remov") && !strings.Contains(how, "delet") {
		kept = append(kept, control.PushToken{App: app, Token: token, Platform: f.text(platform), Device: f.text(pushTokenDevice)})
	}
	rest.PushTokens = newest(kept)
	return nil
}

func newBucket(_ *batch, p *person, f *facts, _ time.Time, _ record) error {
	if n, ok := f.number(bucketNumber); ok && n >= 0 && n < bucketsCount {
		p.Bucket = int(n)
		p.change(control.PartWho)
	}
	return nil
}

// profileUpdate takes up the attributes that an event of a producer's own says; null says nothing.
func profileUpdate(b *batch, p *person, f *facts, _ time.Time, rec record) error {
	for _, x := range []struct {
		to *string
		s  slot
	}{
		{&p.FirstName, firstName}, {&p.LastName, lastName}, {&p.Email, emailAddress}, {&p.Phone, phoneNumber}, {&p.Gender, gender}, {&p.HomeCity, homeCity},
		{&p.Country, country}, {&p.Language, language}, {&p.TimeZone, timeZone},
	} {
		if v := f.text(x.s); v != "" {
			*x.to = v
		}
	}
	if v := f.text(birth); len(v) >= len(time.DateOnly) {
		p.Birth = v[:len(time.DateOnly)] // the day, of a time as well
	}
	p.UpdatedAt = time.UnixMilli(rec.at).UTC()
	p.change(control.PartWho)
	text := f.text(customAttributes)
	if text == "" {
		return nil
	}
	var custom map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &custom); err != nil {
		return nil // the text was never promised to be JSON, and the rest is good
	}
	var changes []control.CustomChange
	for name, value := range custom {
		c := control.CustomChange{Name: name, Do: control.CustomSet, Value: value}
		if string(value) == "null" {
			c = control.CustomChange{Name: name, Do: control.CustomUnset}
		}
		changes = append(changes, c)
	}
	return b.custom(rec, p, changes)
}

func deleted(b *batch, p *person, _ *facts, _ time.Time, rec record) error { return b.remove(rec, p) }

func orphaned(b *batch, p *person, f *facts, _ time.Time, rec record) error {
	into := control.PersonID(f.text(orphanedBy))
	if into == "" || into == p.ID {
		return nil
	}
	return b.merge(rec, p, b.person(rec, into))
}
