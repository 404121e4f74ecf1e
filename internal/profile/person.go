package profile

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// person is somebody as a batch changes them. What the store keeps as JSON is read when it is needed.
type person struct {
	*control.Person
	changed bool
	gone    bool

	touches map[control.Medium]control.Touch
	rest    *control.PersonRest
	custom  map[string]json.RawMessage
	edited  bool // custom
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
		put(&p.Channels, p.touches)
	}
	if p.rest != nil {
		put(&p.Rest, p.rest)
	}
	if p.edited {
		put(&p.Custom, p.custom)
	}
}

// touch keeps when a person last had something of a medium.
func (p *person) touch(h had, at time.Time) {
	if p.touches == nil {
		decode(p.Channels, &p.touches)
		if p.touches == nil {
			p.touches = map[control.Medium]control.Touch{}
		}
	}
	t := p.touches[h.medium]
	ms := at.UnixMilli()
	switch {
	case h.received:
		t.Received = max(t.Received, ms)
	case h.opened:
		t.Opened = max(t.Opened, ms)
	case h.clicked:
		t.Clicked = max(t.Clicked, ms)
	}
	p.touches[h.medium] = t
	p.changed = true
}

// readRest gives what is seldom asked for.
func (p *person) readRest() *control.PersonRest {
	if p.rest == nil {
		p.rest = &control.PersonRest{}
		decode(p.Rest, p.rest)
	}
	return p.rest
}

// editRest is readRest for what is going to change.
func (p *person) editRest() *control.PersonRest {
	p.changed = true
	return p.readRest()
}

// readCustom gives the custom attributes by name.
func (p *person) readCustom() map[string]json.RawMessage {
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
			p.changed = true
		}
		return
	}
	rest.Devices = newest(append(rest.Devices, d))
	p.changed = true
}

// fill takes v where there is nothing.
func fill(to *string, v string) {
	if *to == "" {
		*to = v
	}
}
