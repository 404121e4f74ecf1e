package control

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParsePersonRest gives what is stored of a person's rest; empty: nothing. It gives what encoding/json gives, and reads several
// times quicker what is written as all that is stored should be: an export reads one of each person.
//
// Errors: those of encoding/json, with nothing.
func ParsePersonRest(b []byte) (r PersonRest, err error) {
	if len(b) == 0 {
		return r, nil
	}
	s := restReader{s: string(b)}
	if s.object(func(key string) { s.rest(&r, key) }); !s.odd && s.s == "" {
		return r, nil
	}
	r = PersonRest{}
	if err := json.Unmarshal(b, &r); err != nil {
		return PersonRest{}, err
	}
	return r, nil
}

// restReader reads JSON that is written as encoding/json does it, without white space. Of all else, valid or not, it says that it is odd,
// and what it gave means nothing.
type restReader struct {
	s   string // what is still to be read
	odd bool
}

func (s *restReader) rest(r *PersonRest, key string) {
	switch {
	case key == "aliases" && r.Aliases == nil: // encoding/json would lay a second list over the first
		s.list(func() {
			var a Alias
			s.object(func(key string) {
				switch key {
				case "alias_label":
					a.Label = s.text()
				case "alias_name":
					a.Name = s.text()
				default:
					s.odd = true
				}
			})
			r.Aliases = append(r.Aliases, a)
		})
	case key == "active":
		s.active(&r.Active)
	case key == "devices" && r.Devices == nil:
		s.list(func() { r.Devices = append(r.Devices, s.device()) })
	case key == "apps" && r.Apps == nil:
		s.list(func() { r.Apps = append(r.Apps, s.app()) })
	case key == "push_tokens" && r.PushTokens == nil:
		s.list(func() { r.PushTokens = append(r.PushTokens, s.pushToken()) })
	case key == "coordinates" && r.Coordinates == nil:
		end := strings.IndexByte(s.s, ']') + 1
		s.odd = s.odd || json.Unmarshal([]byte(s.s[:end]), &r.Coordinates) != nil
		s.s = s.s[end:]
	case key == "other" && r.Other == nil:
		r.Other = map[string]string{}
		s.object(func(key string) { r.Other[key] = s.text() })
	case key == "subscribed_at" && r.SubscribedAt == nil:
		r.SubscribedAt = map[string]int64{}
		s.object(func(key string) { r.SubscribedAt[key] = s.integer(64) })
	default:
		s.odd = true
	}
}

func (s *restReader) active(a *Active) {
	s.object(func(key string) {
		switch key {
		case "day":
			a.Day = int32(s.integer(32))
		case "days":
			var err error
			a.Days, err = strconv.ParseUint(s.digits(), 10, 64)
			s.odd = s.odd || err != nil
		default:
			s.odd = true
		}
	})
}

func (s *restReader) device() (d Device) {
	s.object(func(key string) {
		switch key {
		case "id":
			d.ID = s.text()
		case "model":
			d.Model = s.text()
		case "os":
			d.OS = s.text()
		case "platform":
			d.Platform = s.text()
		case "ad_id":
			d.AdID = s.text()
		case "ad_id_type":
			d.AdIDType = s.text()
		case "ad_tracking":
			is := s.begins("true")
			s.odd = s.odd || !is && !s.begins("false")
			d.AdTracking = &is
		default:
			s.odd = true
		}
	})
	return d
}

func (s *restReader) app() (a AppUse) {
	s.object(func(key string) {
		switch key {
		case "id":
			a.ID = s.text()
		case "platform":
			a.Platform = s.text()
		case "version":
			a.Version = s.text()
		case "sessions":
			a.Sessions = s.integer(64)
		case "first_used":
			a.FirstUsed = s.integer(64)
		case "last_used":
			a.LastUsed = s.integer(64)
		case "active":
			s.active(&a.Active)
		default:
			s.odd = true
		}
	})
	return a
}

func (s *restReader) pushToken() (t PushToken) {
	s.object(func(key string) {
		switch key {
		case "app":
			t.App = s.text()
		case "token":
			t.Token = s.text()
		case "platform":
			t.Platform = s.text()
		case "device":
			t.Device = s.text()
		default:
			s.odd = true
		}
	})
	return t
}

// begins takes what comes next, if it is that.
func (s *restReader) begins(with string) bool {
	rest, is := strings.CutPrefix(s.s, with)
	s.s = rest
	return is
}

func (s *restReader) must(with string) { s.odd = !s.begins(with) || s.odd }

// object calls f for each key of an object, to take its value.
func (s *restReader) object(f func(key string)) {
	s.must("{")
	for first := true; !s.odd && (!first || !s.begins("}")); first = false {
		key := s.text()
		s.must(":")
		f(key)
		if s.begins("}") {
			return
		}
		s.must(",")
	}
}

// list calls f for each element of a list that has some, to take it.
func (s *restReader) list(f func()) {
	s.must("[")
	for !s.odd {
		f()
		if s.begins("]") {
			return
		}
		s.must(",")
	}
}

func (s *restReader) text() string {
	s.must(`"`)
	for i := range len(s.s) {
		switch c := s.s[i]; {
		case c == '"':
			v := s.s[:i]
			s.s = s.s[i+1:]
			return v
		case c < ' ' || c == '\\' || c >= utf8.RuneSelf:
			return s.escaped(i)
		}
	}
	s.odd = true
	return ""
}

// escaped is text for what is not plain from its i-th byte on.
func (s *restReader) escaped(i int) (v string) {
	for ; i < len(s.s) && s.s[i] != '"'; i++ {
		if s.s[i] == '\\' {
			i++
		}
	}
	end := min(i+1, len(s.s))
	s.odd = s.odd || json.Unmarshal([]byte(`"`+s.s[:end]), &v) != nil
	s.s = s.s[end:]
	return v
}

// digits takes a number without a sign. What has a fraction or an exponent goes on with what no number is followed by.
func (s *restReader) digits() string {
	n := 0
	for n < len(s.s) && '0' <= s.s[n] && s.s[n] <= '9' {
		n++
	}
	v := s.s[:n]
	s.odd = s.odd || n == 0 || n > 1 && v[0] == '0'
	s.s = s.s[n:]
	return v
}

func (s *restReader) integer(bits int) int64 {
	all := s.s
	s.begins("-")
	s.digits()
	v, err := strconv.ParseInt(all[:len(all)-len(s.s)], 10, bits)
	s.odd = s.odd || err != nil
	return v
}
