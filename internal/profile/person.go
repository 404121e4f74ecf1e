package profile

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// person is somebody as batches change them. What the store keeps as JSON is read when it is needed, and from then on it is
// what was read that holds.
type person struct {
	*control.Person
	touches []touched // nil: Channels holds
	rest    *control.PersonRest
	custom  map[string]json.RawMessage
}

// change notes that a part of what is known changes. What was not read cannot: it would be written over.
func (p *person) change(part control.Parts) {
	if part&^p.Known != 0 {
		panic("a part of the person was not read")
	}
	p.Changed |= part
}

// touched is when a person last had something of a medium.
type touched struct {
	medium control.Medium
	control.Touch
}

// decode reads a JSON object that this program wrote. What cannot be read any more is an empty one: the row was
// damaged outside, and every event of this person would be set aside for ever.
func decode[T any](b []byte, to *T) {
	if len(b) > 0 && json.Unmarshal(b, to) != nil {
		var none T
		*to = none
	}
}

// encode brings the JSON up to date.
func (p *person) encode() {
	put := func(to *[]byte, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			panic("profile: plain values did not encode: " + err.Error())
		}
		*to = b
	}
	if p.touches != nil {
		p.Channels = appendTouches(nil, p.touches) // what was there may be being written
	}
	if p.Changed&control.PartMore == 0 {
		return
	}
	if p.rest != nil {
		put(&p.Rest, p.rest)
	}
	if p.custom != nil {
		put(&p.Custom, p.custom)
	}
}

// appendTouches writes what a message changes, which is most of what events do: several times quicker than by a map.
func appendTouches(to []byte, all []touched) []byte {
	to = append(to, '{')
	for i, t := range all {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(strconv.AppendQuote(to, string(t.medium)), ':', '{')
		for _, x := range []struct {
			name byte
			ms   int64
		}{{'r', t.Received}, {'o', t.Opened}, {'c', t.Clicked}} {
			if x.ms == 0 {
				continue
			}
			if to[len(to)-1] != '{' {
				to = append(to, ',')
			}
			to = strconv.AppendInt(append(to, '"', x.name, '"', ':'), x.ms, 10)
		}
		to = append(to, '}')
	}
	return append(to, '}')
}

// complete takes from the store what was not read of p before. What events count it has newer itself, if a batch with that
// is still being written.
func (p *person) complete(all *control.Person) {
	all.Sessions, all.Purchases, all.Revenue, all.Channels = p.Sessions, p.Purchases, p.Revenue, p.Channels
	all.FirstSession, all.LastSession, all.LastPurchase, all.UninstalledAt = p.FirstSession, p.LastSession, p.LastPurchase, p.UninstalledAt
	p.Person = all
}

// settle makes p what the store holds once it has taken it.
func (p *person) settle() {
	p.New, p.Changed = false, 0
	if p.touches != nil {
		p.Channels = nil
	}
	if p.rest != nil {
		p.Rest = nil
	}
	if p.custom != nil {
		p.Custom = nil
	}
}

// size is what a person takes in memory, roughly.
func (p *person) size() int {
	n := 900 + len(p.ID) + len(p.ExternalID) + len(p.FirstName) + len(p.LastName) + len(p.Email) + len(p.Phone) + len(p.HomeCity) + len(p.TimeZone) +
		len(p.Custom) + len(p.Channels) + len(p.Rest) + 48*cap(p.touches)
	if p.rest != nil {
		n += 64*len(p.rest.Aliases) + 150*len(p.rest.Devices) + 150*len(p.rest.Apps) + 150*len(p.rest.PushTokens)
		for name, v := range p.rest.Other {
			n += 64 + len(name) + len(v)
		}
	}
	for name, v := range p.custom {
		n += 64 + len(name) + len(v)
	}
	return n
}

// readTouches gives when a person last had something, by medium.
func (p *person) readTouches() []touched {
	if p.touches == nil {
		var all map[control.Medium]control.Touch
		decode(p.Channels, &all)
		p.touches = []touched{}
		for m, t := range all {
			p.touches = append(p.touches, touched{m, t})
		}
	}
	return p.touches
}

// touch keeps when a person last had something of a medium.
func (p *person) touch(h had, at time.Time) {
	i := slices.IndexFunc(p.readTouches(), func(t touched) bool { return t.medium == h.medium })
	if i < 0 {
		i = len(p.touches)
		p.touches = append(p.touches, touched{medium: h.medium})
	}
	t := &p.touches[i]
	ms := at.UnixMilli()
	switch {
	case h.received:
		t.Received = max(t.Received, ms)
	case h.opened:
		t.Opened = max(t.Opened, ms)
	case h.clicked:
		t.Clicked = max(t.Clicked, ms)
	}
	p.change(control.PartDone)
}

// begun is the day on which a person counts as new: that of their first session; zero before they had one.
func (p *person) begun() time.Time {
	if p.Sessions == 0 {
		return time.Time{}
	}
	return p.FirstSession
}

// readRest gives what is seldom asked for.
func (p *person) readRest() *control.PersonRest {
	if p.Known&control.PartMore == 0 {
		panic("the person was not read whole")
	}
	if p.rest == nil {
		rest, _ := control.ParsePersonRest(p.Rest) // as decode: if it cannot be read there is nothing in it
		p.rest = &rest
	}
	return p.rest
}

// editRest is readRest for what is going to change.
func (p *person) editRest() *control.PersonRest {
	p.change(control.PartMore)
	return p.readRest()
}

// The channels of which people say what they want, as PersonRest.SubscribedAt names them.
const (
	channelEmail = "email"
	channelPush  = "push"
)

// wish gives where it stands what a person wants of a channel.
func (p *person) wish(channel string) *control.Subscription {
	if channel == channelPush {
		return &p.PushSubscribe
	}
	return &p.EmailSubscribe
}

// wants keeps what a person wants of a channel, and since when: to say the same again changes nothing.
func (p *person) wants(channel string, state control.Subscription, at time.Time) {
	is := p.wish(channel)
	if *is == state {
		return
	}
	*is = state
	p.change(control.PartWho)
	rest := p.editRest()
	if rest.SubscribedAt == nil {
		rest.SubscribedAt = map[string]int64{}
	}
	if rest.SubscribedAt[channel] = at.UnixMilli(); state == "" {
		delete(rest.SubscribedAt, channel)
	}
}

// readCustom gives the custom attributes by name.
func (p *person) readCustom() map[string]json.RawMessage {
	if p.Known&control.PartMore == 0 {
		panic("the person was not read whole")
	}
	if p.custom == nil {
		decode(p.Custom, &p.custom)
		if p.custom == nil {
			p.custom = map[string]json.RawMessage{}
		}
	}
	return p.custom
}

// newest keeps the last of a list that grew too long.
func newest[T any](list []T) []T {
	if n := len(list) - maxListed; n > 0 {
		return slices.Delete(list, 0, n)
	}
	return list
}

// device keeps the device of an event.
func (p *person) device(f *facts) {
	id := f.text(deviceID)
	if id == "" {
		return
	}
	d := control.Device{ID: id, Model: f.text(deviceModel), OS: f.text(osVersion), Platform: f.text(platform), AdID: f.text(adID), AdIDType: f.text(adIDType)}
	if n, ok := f.number(adTracking); ok {
		d.AdTracking = new(n != 0)
	}
	rest := p.readRest()
	for i := range rest.Devices {
		old := &rest.Devices[i]
		if old.ID != id {
			continue
		}
		was := *old
		fill(&d.Model, old.Model)
		fill(&d.OS, old.OS)
		fill(&d.Platform, old.Platform)
		fill(&d.AdID, old.AdID)
		fill(&d.AdIDType, old.AdIDType)
		if d.AdTracking == nil {
			d.AdTracking = old.AdTracking
		}
		tracking := func(x *bool) int {
			if x == nil {
				return -1
			}
			if *x {
				return 1
			}
			return 0
		}
		a, b := was, d
		a.AdTracking, b.AdTracking = nil, nil
		if a != b || tracking(was.AdTracking) != tracking(d.AdTracking) {
			*old = d
			p.change(control.PartMore)
		}
		return
	}
	rest.Devices = newest(append(rest.Devices, d))
	p.change(control.PartMore)
}

// fill takes v where there is nothing.
func fill(to *string, v string) {
	if *to == "" {
		*to = v
	}
}
