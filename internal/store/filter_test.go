package store_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// someone is a person with all that is kept of them.
type someone struct {
	control.Person
	custom   map[string]control.PersonAttribute
	events   map[string]control.PersonEvents
	products map[string]control.PersonEvents
	messages map[string]control.PersonMessage // by kind and name
	groups   map[string]control.PersonGroup
	touches  map[control.Medium]control.Touch
}

var filterNow = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// naive says whether a filter holds a person, in the plainest way.
func (p *someone) naive(f control.Filter) bool {
	switch {
	case f.Not != nil:
		return !p.naive(*f.Not)
	case len(f.Any) > 0:
		return slices.ContainsFunc(f.Any, p.naive)
	case len(f.All) > 0:
		return !slices.ContainsFunc(f.All, func(x control.Filter) bool { return !p.naive(x) })
	case f.Attribute != nil:
		c := *f.Attribute
		texts := map[string]string{"external_id": p.ExternalID, "first_name": p.FirstName, "last_name": p.LastName, "email": p.Email, "phone": p.Phone, "gender": p.Gender,
			"dob": p.Birth, "country": p.Country, "language": p.Language, "time_zone": p.TimeZone, "home_city": p.HomeCity,
			"email_subscribe": string(p.EmailSubscribe), "push_subscribe": string(p.PushSubscribe)}
		times := map[string]time.Time{"created_at": p.CreatedAt, "first_session": p.FirstSession, "last_session": p.LastSession, "last_purchase": p.LastPurchase,
			"uninstalled_at": p.UninstalledAt}
		numbers := map[string]float64{"sessions": float64(p.Sessions), "purchases": float64(p.Purchases), "revenue": p.Revenue, "random_bucket": float64(p.Bucket)}
		if c.Name == "dob" && p.Birth != "" {
			at, err := time.Parse(time.DateOnly, p.Birth)
			if err != nil {
				panic(err)
			}
			day := func(m control.Moment) control.Moment {
				if m == "" {
					return m
				}
				t, _ := m.At(filterNow)
				return control.Moment(t.Format(time.DateOnly) + "T00:00:00Z")
			}
			return within(at, day(c.After), day(c.Before))
		}
		if s, is := texts[c.Name]; is {
			return s != "" && (c.OneOf == nil || slices.Contains(c.OneOf, s)) && (c.Contains == nil || strings.Contains(lower(s), lower(*c.Contains)))
		}
		if t, is := times[c.Name]; is {
			return within(t, c.After, c.Before)
		}
		n := numbers[c.Name]
		return (c.AtLeast == nil || n >= *c.AtLeast) && (c.AtMost == nil || n <= *c.AtMost)
	case f.Custom != nil:
		c := *f.Custom
		a, known := p.custom[c.Name]
		if !known ||
			(c.OneOf != nil || c.Contains != nil || c.Has != nil) && a.Text == nil ||
			(c.Is != nil || c.AtLeast != nil || c.AtMost != nil || c.After != "" || c.Before != "") && a.Number == nil {
			return false
		}
		return (c.OneOf == nil || slices.Contains(c.OneOf, *a.Text)) &&
			(c.Contains == nil || strings.Contains(lower(*a.Text), lower(*c.Contains))) &&
			(c.Has == nil || strings.Contains(*a.Text, "\x1f"+*c.Has+"\x1f")) &&
			(c.Is == nil || *a.Number == map[bool]float64{true: 1}[*c.Is]) &&
			(c.AtLeast == nil || *a.Number >= *c.AtLeast) && (c.AtMost == nil || *a.Number <= *c.AtMost) &&
			(c.After == "" && c.Before == "" || within(time.UnixMilli(int64(*a.Number)), c.After, c.Before))
	case f.Event != nil:
		return did(p.events, *f.Event)
	case f.Purchase != nil:
		return did(p.products, *f.Purchase)
	case f.Message != nil && f.Message.Channel != "":
		t := p.touches[f.Message.Channel]
		at := map[string]int64{"received": t.Received, "opened": t.Opened, "clicked": t.Clicked}[f.Message.Did]
		return at > 0 && within(time.UnixMilli(at), f.Message.After, f.Message.Before)
	case f.Message != nil:
		kind, name := f.Message.Of()
		m := p.messages[fmt.Sprint(kind, name)]
		if f.Message.Did == "converted" {
			return m.Flags&control.Converted != 0
		}
		at := map[string]time.Time{"received": m.Received, "opened": m.Opened, "clicked": m.Clicked, "entered": m.Entered, "exited": m.Exited}[f.Message.Did]
		return within(at, f.Message.After, f.Message.Before)
	case f.Group != nil:
		g, said := p.groups[f.Group.ID]
		return said && g.Subscribed == (f.Group.State == control.Subscribed)
	}
	return true
}

func within(t time.Time, after, before control.Moment) bool {
	a, _ := after.At(filterNow)
	b, _ := before.At(filterNow)
	return !t.IsZero() && (after == "" || !t.Before(a)) && (before == "" || t.Before(b))
}

func did(all map[string]control.PersonEvents, d control.Deeds) bool {
	e, done := all[d.Name]
	if !done { // nor is anything spent, and there is no first time
		counted := d.AtLeast != nil || d.AtMost != nil || d.RevenueAtLeast != nil || d.RevenueAtMost != nil
		if !counted || d.FirstAfter+d.FirstBefore+d.LastAfter+d.LastBefore != "" {
			return false
		}
	}
	return (d.AtLeast == nil || e.Count >= *d.AtLeast) && (d.AtMost == nil || e.Count <= *d.AtMost) &&
		(d.RevenueAtLeast == nil || e.Revenue >= *d.RevenueAtLeast) && (d.RevenueAtMost == nil || e.Revenue <= *d.RevenueAtMost) &&
		(!done || within(e.First, d.FirstAfter, d.FirstBefore) && within(e.Last, d.LastAfter, d.LastBefore))
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 32
		}
	}
	return string(b)
}

// maker makes people and filters at random, of few values, so that they meet.
type maker struct{ *rand.Rand }

// What people and filters are made of. What somebody may write to break out of a statement is among it.
var (
	filterTexts  = []string{"DE", "de", "Düsseldorf", "%", "_", "a'b", `"; DROP TABLE people; --`, "?", "$1", "ÄÖ", "a b", "\\"}
	filterNames  = []string{"a", "b", "a.b", "x'y", "?", "nobody's"}
	filterStates = []string{"opted_in", "subscribed", "unsubscribed"}
)

func pick[T any](r maker, of []T) T { return of[r.IntN(len(of))] }

func (r maker) yes() bool { return r.IntN(2) == 0 }

// maybe is v, or the zero value.
func maybe[T any](r maker, v T) (out T) {
	if r.yes() {
		out = v
	}
	return out
}

func (r maker) time() time.Time {
	return filterNow.Add(time.Duration(r.IntN(100)-90) * 24 * time.Hour)
}

func (r maker) moment() control.Moment {
	if r.yes() {
		return control.Moment(fmt.Sprintf("%+dd", r.IntN(100)-90))
	}
	return control.Moment(r.time().Format(time.RFC3339))
}

// span gives a beginning before an end, or one of them, or none.
func (r maker) span() (after, before control.Moment) {
	after, before = maybe(r, r.moment()), maybe(r, r.moment())
	a, _ := after.At(filterNow)
	b, _ := before.At(filterNow)
	if after != "" && before != "" {
		switch a.Compare(b) {
		case 0:
			before = ""
		case 1:
			after, before = before, after
		}
	}
	return after, before
}

func (r maker) numbers() (least, most *float64) {
	a, b := float64(r.IntN(12))/2, float64(r.IntN(12))/2
	return maybe(r, new(min(a, b))), maybe(r, new(max(a, b)))
}

func (r maker) person(row int64, workspace uint32, names map[string]int64) *someone {
	text := func() string { return maybe(r, pick(r, filterTexts)) }
	at := func() time.Time { return maybe(r, r.time()) }
	p := &someone{Person: control.Person{Row: row, New: true, Workspace: workspace, ID: control.PersonID(fmt.Sprintf("p%d", row)), Bucket: r.IntN(10), CreatedAt: r.time(), UpdatedAt: filterNow,
		FirstName: text(), LastName: text(), Email: text(), Phone: text(), Gender: text(), Country: text(), Language: text(), TimeZone: text(), HomeCity: text(),
		Birth:          maybe(r, r.time().Format(time.DateOnly)),
		EmailSubscribe: control.Subscription(maybe(r, pick(r, filterStates))), PushSubscribe: control.Subscription(maybe(r, pick(r, filterStates))),
		FirstSession: at(), LastSession: at(), LastPurchase: at(), UninstalledAt: at(), Sessions: int64(r.IntN(6)), Purchases: int64(r.IntN(6)), Revenue: float64(r.IntN(12)) / 2},
		custom: map[string]control.PersonAttribute{}, events: map[string]control.PersonEvents{}, products: map[string]control.PersonEvents{},
		messages: map[string]control.PersonMessage{}, groups: map[string]control.PersonGroup{}, touches: map[control.Medium]control.Touch{}}
	for _, n := range filterNames[:len(filterNames)-1] {
		id := func(kind control.NameKind) int64 { return names[fmt.Sprint(workspace, kind, n)] }
		if r.yes() {
			a := control.PersonAttribute{Name: id(control.NameAttribute), Person: row}
			switch r.IntN(5) {
			case 0:
				a.Number = new(float64(r.IntN(12)) / 2)
			case 1:
				a.Number = new(float64(r.IntN(2)))
			case 2:
				a.Text = new("\x1f" + pick(r, filterTexts) + "\x1f" + pick(r, filterTexts) + "\x1f")
			case 3:
				t := r.time().Add(time.Millisecond)
				a.Number, a.Text = new(float64(t.UnixMilli())), new(t.Format(time.RFC3339Nano))
			default:
				a.Text = new(pick(r, filterTexts))
			}
			p.custom[n] = a
		}
		deeds := func(kind control.NameKind) control.PersonEvents {
			return control.PersonEvents{Name: id(kind), Person: row, First: r.time(), Last: r.time(), Count: 1 + int64(r.IntN(5)), Revenue: float64(r.IntN(12)) / 2}
		}
		if r.yes() {
			p.events[n] = deeds(control.NameEvent)
		}
		if r.yes() {
			p.products[n] = deeds(control.NameProduct)
		}
		for _, kind := range []control.NameKind{control.NameCampaign, control.NameCanvas, control.NameStep} {
			if r.yes() {
				p.messages[fmt.Sprint(kind, n)] = control.PersonMessage{Name: id(kind), Person: row, Flags: control.Flags(r.IntN(256)),
					Received: at(), Opened: at(), Clicked: at(), Entered: at(), Exited: at()}
			}
		}
		if r.yes() {
			p.groups[n] = control.PersonGroup{Name: id(control.NameGroup), Person: row, Subscribed: r.yes(), At: filterNow}
		}
	}
	for _, m := range control.Media() {
		if r.yes() {
			p.touches[m] = control.Touch{Received: maybe(r, r.time().UnixMilli()), Opened: maybe(r, r.time().UnixMilli()), Clicked: maybe(r, r.time().UnixMilli())}
		}
	}
	b, err := json.Marshal(p.touches)
	if err != nil {
		panic(err)
	}
	p.Channels = b
	return p
}

func (r maker) filter(depth int) (f control.Filter) {
	if depth > 0 && r.IntN(3) > 0 {
		var list []control.Filter
		for range 1 + r.IntN(3) {
			list = append(list, r.filter(depth-1))
		}
		switch r.IntN(3) {
		case 0:
			f.All = list
		case 1:
			f.Any = list
		default:
			f.Not = &list[0]
		}
		return f
	}
	texts := func() []string { return maybe(r, []string{pick(r, filterTexts), pick(r, filterTexts)}) }
	part := func() *string {
		return maybe(r, new(pick(r, []string{"d", "D", "ü", "'", "?", "%", "ä", "\\", "a"})))
	}
	switch r.IntN(7) {
	case 0, 1:
		a := pick(r, control.Attributes())
		c := &control.Condition{Name: a.Name}
		switch a.Kind {
		case control.KindText:
			c.OneOf, c.Contains = texts(), part()
		case control.KindState:
			c.OneOf = maybe(r, []string{pick(r, filterStates)})
		case control.KindNumber:
			c.AtLeast, c.AtMost = r.numbers()
		default:
			c.After, c.Before = r.span()
		}
		f.Attribute = c
	case 2:
		c := &control.Condition{Name: pick(r, filterNames)}
		switch r.IntN(5) {
		case 0:
			c.OneOf, c.Contains = texts(), part()
		case 1:
			c.Has = new(pick(r, filterTexts))
		case 2:
			c.Is = new(r.yes())
		case 3:
			c.AtLeast, c.AtMost = r.numbers()
		default:
			c.After, c.Before = r.span()
		}
		f.Custom = c
	case 3, 4:
		d := &control.Deeds{Name: pick(r, filterNames)}
		if r.yes() {
			a, b := int64(r.IntN(6)), int64(r.IntN(6))
			d.AtLeast, d.AtMost = maybe(r, new(min(a, b))), maybe(r, new(max(a, b)))
		}
		d.FirstAfter, d.FirstBefore = maybe(r, r.moment()), ""
		d.LastAfter, d.LastBefore = r.span()
		if f.Event = d; r.yes() {
			f.Event, f.Purchase = nil, d
			d.RevenueAtLeast, d.RevenueAtMost = r.numbers()
		}
	case 5:
		f.Group = &control.GroupState{ID: pick(r, filterNames), State: pick(r, []control.Subscription{control.Subscribed, control.Unsubscribed})}
	default:
		m := &control.MessageDeed{Did: pick(r, []string{"received", "opened", "clicked"})}
		switch name := pick(r, filterNames); r.IntN(4) {
		case 0:
			m.Channel = pick(r, control.Media())
		case 1:
			m.Campaign, m.Did = name, pick(r, []string{m.Did, "converted"})
		case 2:
			m.Canvas, m.Did = name, pick(r, []string{m.Did, "converted", "entered", "exited"})
		default:
			m.Step = name
		}
		if m.Did != "converted" {
			m.After, m.Before = r.span()
		}
		f.Message = m
	}
	return f
}

// crowded fills tables with random people of two workspaces.
func (r maker) crowded(t *testing.T, p *store.Profiles, each int) map[uint32][]*someone {
	t.Helper()
	b := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1}
	names := map[string]int64{}
	all := map[uint32][]*someone{}
	for workspace := range uint32(2) {
		for kind := control.NameAttribute; kind <= control.NameGroup; kind++ {
			for _, n := range filterNames[:len(filterNames)-1] {
				id := int64(len(names) + 1)
				names[fmt.Sprint(workspace+1, kind, n)] = id
				b.Names = append(b.Names, control.Name{ID: id, Workspace: workspace + 1, Kind: kind, Name: n, FirstAt: filterNow, LastAt: filterNow})
			}
		}
	}
	for row := range int64(2 * each) {
		workspace := uint32(row%2) + 1
		x := r.person(row+1, workspace, names)
		all[workspace] = append(all[workspace], x)
		b.People = append(b.People, &x.Person)
		for _, v := range x.custom {
			b.Attributes = append(b.Attributes, v)
		}
		for _, v := range x.events {
			b.Events = append(b.Events, v)
		}
		for _, v := range x.products {
			b.Events = append(b.Events, v)
		}
		for _, v := range x.messages {
			b.Messages = append(b.Messages, v)
		}
		for _, v := range x.groups {
			b.Groups = append(b.Groups, v)
		}
	}
	ok(t, p.Apply(t.Context(), b))
	return all
}

func TestFiltersHoldWhomTheyNameAndNobodyElse(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := maker{rand.New(rand.NewPCG(seed, 0))}
		all := r.crowded(t, p, 150)
		some := 0
		for range 200 {
			f := r.filter(3)
			if ps := f.Validate("filter"); len(ps) > 0 {
				t.Fatalf("%s: %v", f.Encode(), ps)
			}
			workspace := uint32(1 + r.IntN(2))
			var want, got []int64
			for _, x := range all[workspace] {
				if x.naive(f) {
					want = append(want, x.Row)
				}
			}
			people, err := p.Matching(t.Context(), workspace, f, filterNow, 0, 1000)
			ok(t, err)
			for _, x := range people {
				got = append(got, x.Row)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s\nholds  %v\nand not %v", f.Encode(), got, want)
			}
			n, err := p.Size(t.Context(), workspace, f, filterNow)
			ok(t, err)
			if n != int64(len(want)) {
				t.Fatalf("%s\nhas %d people, and not %d", f.Encode(), n, len(want))
			}
			somebody := pick(r, all[workspace])
			holds, err := p.Holds(t.Context(), &somebody.Person, f, filterNow)
			ok(t, err)
			if holds != slices.Contains(want, somebody.Row) {
				t.Fatalf("%s\nholds %d: %v", f.Encode(), somebody.Row, holds)
			}
			if 0 < n && n < int64(len(all[workspace])) {
				some++
			}
		}
		if some < 50 {
			t.Errorf("only %d filters held some and not all: the test says little", some)
		}
	})
}

func TestMoneyIsComparedAsItIsShown(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		ten, twenty := 0.1, 0.2 // whose sum is more than 0.3, as machines add
		ok(t, p.Apply(t.Context(), &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1,
			Names:  []control.Name{{ID: 1, Workspace: 1, Kind: control.NameProduct, Name: "shoe", FirstAt: filterNow, LastAt: filterNow}},
			People: []*control.Person{{Row: 1, New: true, Workspace: 1, ID: "a", Purchases: 2, Revenue: ten + twenty, CreatedAt: filterNow, UpdatedAt: filterNow}},
			Events: []control.PersonEvents{{Name: 1, Person: 1, First: filterNow, Last: filterNow, Count: 2, Revenue: ten + twenty}},
		}))
		for filter, want := range map[string]int64{
			`{"purchase":{"name":"shoe","revenue_at_most":0.3}}`:   1,
			`{"purchase":{"name":"shoe","revenue_at_least":0.3}}`:  1,
			`{"purchase":{"name":"shoe","revenue_at_least":0.31}}`: 0,
			`{"purchase":{"name":"shoe","revenue_at_most":0.29}}`:  0,
			`{"attribute":{"name":"revenue","at_most":0.3}}`:       1,
			`{"attribute":{"name":"revenue","at_least":0.3}}`:      1,
			`{"attribute":{"name":"revenue","at_least":0.31}}`:     0,
			`{"not":{"attribute":{"name":"revenue","at_most":0}}}`: 1,
		} {
			f, problems := control.ParseFilter("filter", []byte(filter))
			if len(problems) > 0 {
				t.Fatal(filter, problems)
			}
			got, err := p.Size(t.Context(), 1, f, filterNow)
			ok(t, err)
			if got != want {
				t.Errorf("%s has %d people, and not %d", filter, got, want)
			}
		}
	})
}

func TestAFilterMayNameAsManyValuesAsItsBoundSays(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		ok(t, p.Apply(t.Context(), &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1,
			People: []*control.Person{{Row: 1, New: true, Workspace: 1, ID: "a", Country: "last", CreatedAt: filterNow, UpdatedAt: filterNow}}}))
		parts := make([]control.Filter, 40)
		for i := range parts {
			values := make([]string, 500)
			for n := range values {
				values[n] = fmt.Sprintf("%x", i*500+n)
			}
			parts[i].Attribute = &control.Condition{Name: "home_city", OneOf: values}
		}
		parts[39].Attribute.Name, parts[39].Attribute.OneOf[499] = "country", "last"
		f := control.Filter{Any: parts}
		if problems := f.Validate("filter"); len(problems) > 0 {
			t.Fatal(problems)
		}
		n, err := p.Size(t.Context(), 1, f, filterNow)
		ok(t, err)
		if n != 1 {
			t.Errorf("it has %d people, and not 1", n)
		}
	})
}

func TestPeopleOfAFilterCanBeReadInPages(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		maker{rand.New(rand.NewPCG(1, 2))}.crowded(t, p, 50)
		var rows []int64
		for after, pages := int64(0), 0; ; pages++ {
			some, err := p.Matching(t.Context(), 2, control.Filter{}, filterNow, after, 7)
			ok(t, err)
			for _, x := range some {
				rows = append(rows, x.Row)
				after = x.Row
			}
			if len(some) < 7 {
				break
			}
		}
		if len(rows) != 50 || !slices.IsSortedFunc(rows, cmp.Compare) || rows[0] != 2 {
			t.Errorf("the rows of the second workspace are %v", rows)
		}
		n, exact, err := p.Estimate(t.Context(), 2, control.Filter{}, filterNow)
		if err != nil || n != 50 || !exact {
			t.Errorf("estimated %d, %v, %v", n, exact, err)
		}
	})
}

func TestAFilterFailsWithTheDatabase(t *testing.T) {
	p, err := store.OpenProfiles(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "people.db")})
	ok(t, err)
	maker{rand.New(rand.NewPCG(1, 2))}.crowded(t, p, 5)
	ok(t, p.Close())
	if _, err := p.Size(t.Context(), 1, control.Filter{}, filterNow); err == nil || fault.As(err) == nil {
		t.Errorf("a closed database gives %v", err)
	}
}

func TestSizesOfSegmentsAreKeptByDay(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		at := filterNow
		save := func(workspace uint32, id control.SegmentID, d control.DaySize) {
			t.Helper()
			ok(t, p.SaveSize(t.Context(), workspace, id, d))
		}
		for day := int32(1); day <= 5; day++ {
			save(1, "a", control.DaySize{Day: day, Size: int64(day), At: at, Rev: 1})
		}
		save(1, "a", control.DaySize{Day: 5, Size: 50, At: at, Rev: 2})
		save(1, "b", control.DaySize{Day: 3, Size: 7, At: at})
		save(2, "a", control.DaySize{Day: 9, Size: 9, At: at})
		got, err := p.SegmentSizes(t.Context(), 1, "a", 2, 5)
		ok(t, err)
		if len(got) != 4 || got[0].Day != 2 || got[3] != (control.DaySize{Day: 5, Size: 50, At: at, Rev: 2}) {
			t.Errorf("%+v", got)
		}
		ok(t, p.DropSizes(t.Context(), 1, 5, []control.SegmentID{"a"}))
		last, err := p.LastSizes(t.Context(), 1)
		ok(t, err)
		if got, err = p.SegmentSizes(t.Context(), 1, "a", 0, 9); err != nil || len(got) != 1 || len(last) != 1 || last["a"].Size != 50 {
			t.Errorf("after dropping: %+v, %+v, %v", got, last, err)
		}
		ok(t, p.DropSizes(t.Context(), 1, 0, nil))
		if last, err = p.LastSizes(t.Context(), 1); err != nil || len(last) != 0 {
			t.Errorf("without segments: %+v, %v", last, err)
		}
		if last, err = p.LastSizes(t.Context(), 2); err != nil || last["a"].Day != 9 {
			t.Errorf("another workspace: %+v, %v", last, err)
		}
	})
}
