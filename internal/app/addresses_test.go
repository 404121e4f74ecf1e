package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/ingest"
	"github.com/millrace/millrace/internal/profile"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// Whatever requests do to people, wherever the reader of people is meanwhile, and however often the process begins anew:
// in the end there is one person for each of a model that takes one request after the other.
func TestAddressesNameWhomTheLogSays(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	t.Run("SQLite", func(t *testing.T) {
		for round := range uint64(10) {
			synctest.Test(t, func(t *testing.T) { // in which time passes at once
				tell(t, storetest.OpenProfiles(t), rand.New(rand.NewPCG(seed, round)), 60, 4)
			})
		}
	})
	storetest.Profiles(t, func(t *testing.T, p *storetest.People) {
		if strings.HasSuffix(t.Name(), "PostgreSQL") {
			tell(t, p, rand.New(rand.NewPCG(seed, 100)), 40, 20)
		}
	})
}

// townsman is a person as the model has them.
type townsman struct {
	external, email, phone string
	changed                int // request
	marks                  map[string]bool
	deeds                  map[string]bool
}

func (p *townsman) String() string {
	return fmt.Sprintf("external id %q, %q, %q, marks %v, did %v", p.external, p.email, p.phone, slices.Sorted(maps.Keys(p.marks)), slices.Sorted(maps.Keys(p.deeds)))
}

// town is the model, and what it is compared with.
type town struct {
	t      testing.TB
	types  *event.Catalogue
	in     *ingest.Ingest
	calls  map[string]http.Handler
	r      *rand.Rand
	all    []*townsman
	named  map[string]*townsman // by external id and by alias
	dead   map[string]bool      // of those, who was deleted
	n      int                  // requests
	marks  int
	reader sync.WaitGroup
	log    eventlog.Log
	people *storetest.People
	story  []string
}

func tell(t *testing.T, p *storetest.People, r *rand.Rand, requests, follows int) {
	log, err := segment.Open(t.Context(), segment.Config{FS: vfstest.New(), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	types, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, types: types, r: r, named: map[string]*townsman{}, dead: map[string]bool{}, log: log, people: p}
	w.begin()
	for range requests {
		time.Sleep(2 * time.Millisecond) // so that no two are of one time
		w.n++
		switch x := r.IntN(20); {
		case x < 12:
			w.track()
		case x < 14:
			w.merge()
		case x < 15:
			w.erase()
		case x < 16:
			w.introduce()
		case x < 17:
			w.native()
		}
		if r.IntN(40) == 0 {
			w.story = append(w.story, "begins anew")
			w.reader.Wait()
			w.begin()
			w.inTime(w.head())
		}
		if r.IntN(follows) == 0 {
			w.reader.Wait()
			_, at, _, err := p.Cursor(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			to := at + eventlog.Offset(r.Int64N(int64(w.head()-at)+1))
			w.story = append(w.story, fmt.Sprint("the reader comes to ", to, " of ", w.head()))
			w.inTime(to)
		}
		if t.Failed() {
			t.Fatal(strings.Join(w.story, "\n"))
		}
	}
	w.come()
	w.compare()
	if t.Failed() {
		t.Fatal(strings.Join(w.story, "\n"))
	}
}

// anyKey is a key that may do everything.
type anyKey struct{}

func (anyKey) KeyByHash(context.Context, control.KeyHash) (control.Grant, error) {
	return control.Grant{Key: "any", Workspace: 7, Scopes: control.Scopes()}, nil
}

// begin begins a process.
func (w *town) begin() {
	w.in = ingest.New(ingest.Config{}, ingest.Deps{Log: w.log, Catalogue: w.types, Keys: anyKey{}, Logger: slog.New(slog.DiscardHandler), People: w.people, PersonKey: []byte("key of the tests")})
	w.calls = w.in.Calls()
	w.calls[ingest.EventsPath] = w.in.Events()
}

func (w *town) send(path, body, form string) (status int, answer string) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer mr_any_key_that_is_long_enough")
	r.Header.Set("Content-Type", form)
	to := httptest.NewRecorder()
	w.calls[path].ServeHTTP(to, r)
	return to.Code, strings.TrimSpace(to.Body.String())
}

func (w *town) head() eventlog.Offset {
	_, head := w.log.Bounds()
	return head
}

// inTime lets the reader come to an offset while requests go on.
func (w *town) inTime(to eventlog.Offset) { w.reader.Go(func() { w.follow(to) }) }

// limited is a log as it was when it had come to an offset, up to the end of the commit there.
type limited struct {
	eventlog.Log
	to eventlog.Offset
}

func (l limited) Bounds() (start, head eventlog.Offset) {
	start, head = l.Log.Bounds()
	return start, min(head, l.to)
}

func (l limited) Reader(from eventlog.Offset, f eventlog.Filter) (eventlog.Reader, error) {
	in, err := l.Log.Reader(from, f)
	return &limitedReader{Reader: in, to: l.to}, err
}

type limitedReader struct {
	eventlog.Reader
	to   eventlog.Offset
	over bool
}

func (r *limitedReader) Next() (*eventlog.Commit, error) {
	if r.over = r.over || r.Position() >= r.to; r.over {
		return nil, nil
	}
	return r.Reader.Next()
}

func (r *limitedReader) Ready() <-chan struct{} {
	if r.over {
		return nil
	}
	return r.Reader.Ready()
}

// follow lets the reader of people come to an offset.
func (w *town) follow(to eventlog.Offset) {
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	if _, at, _, err := w.people.Cursor(ctx); err != nil || at >= to {
		return
	}
	r := profile.New(profile.Deps{Log: limited{w.log, to}, Store: w.people, Catalogue: w.types, Logger: slog.New(slog.DiscardHandler), Hooks: profile.Hooks{
		OnApplied: func(next eventlog.Offset, _ int, _ time.Duration) {
			if next >= to {
				stop()
			}
		},
		OnSetAside: func(x control.SetAside) { w.t.Errorf("set aside: %+v", x) },
	}})
	if err := r.Run(ctx); err != nil {
		w.t.Error(err)
	}
}

// come lets the reader come to the head.
func (w *town) come() {
	w.reader.Wait()
	w.follow(w.head())
}

func (w *town) some(prefix string, n int) string { return fmt.Sprint(prefix, w.r.IntN(n)) }

// key is some for identifiers that are kept. Those of who was deleted are not used again: what had them before the reader came
// to the first of them would be taken for whoever has them then.
func (w *town) key(prefix string, n int) string {
	key := w.some(prefix, n)
	for w.dead[key] {
		key += "'"
	}
	return key
}

// name gives how a request names somebody, and all whom it names, who changed last before the others. false: of two it
// cannot be said who changed last.
func (w *town) name(tracked bool) (fields map[string]any, key string, who []*townsman, told bool) {
	has := func(f func(*townsman) bool) (out []*townsman) {
		for _, p := range w.all {
			if f(p) {
				out = append(out, p)
			}
		}
		slices.SortStableFunc(out, func(x, y *townsman) int { return y.changed - x.changed })
		return out
	}
	told = true
	switch w.r.IntN(8) {
	case 0, 1:
		key = w.key("u", 8)
		fields = map[string]any{"external_id": key}
	case 2:
		key = w.key("a", 4)
		fields = map[string]any{"user_alias": map[string]any{"alias_label": "of " + key, "alias_name": key}}
	case 3, 4, 5, 6:
		v := w.some("m", 6) + "@x.example"
		fields = map[string]any{"email": v}
		who = has(func(p *townsman) bool { return p.email == v })
	default:
		v := w.some("+4912", 4)
		fields = map[string]any{"phone": v}
		who = has(func(p *townsman) bool { return p.phone == v })
	}
	if key != "" {
		if p := w.named[key]; p != nil {
			who = []*townsman{p}
		}
		return fields, key, who, true
	}
	if tracked {
		if i := slices.IndexFunc(who, func(p *townsman) bool { return p.external != "" }); i >= 0 {
			who = slices.DeleteFunc(who, func(p *townsman) bool { return p.external == "" })
		}
	}
	return fields, "", who, len(who) < 2 || who[0].changed != who[1].changed
}

// single is name for who may name one alone.
func (w *town) single() (fields map[string]any, who *townsman, told bool) {
	fields, key, all, told := w.name(false)
	if key == "" && w.r.IntN(2) == 0 {
		fields["prioritization"] = []string{"most_recently_updated"}
		all = all[:min(1, len(all))]
	} else {
		told = true
	}
	if len(all) == 1 {
		who = all[0]
	}
	return fields, who, told
}

func (w *town) post(path string, body any, want int) {
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	status, answer := w.send(path, string(b), "application/json")
	for range 20 { // the reader may have further to go than a request waits
		if status != 503 {
			break
		}
		w.reader.Wait()
		w.inTime(w.head())
		status, answer = w.send(path, string(b), "application/json")
	}
	w.story = append(w.story, fmt.Sprint(w.n, " ", path, " ", string(b), " ", status, " ", answer, ", then the log is at ", w.head()))
	if status != want {
		w.t.Errorf("%s %s: %d %s", path, b, status, answer)
	}
}

func (w *town) track() {
	body := map[string][]map[string]any{}
	kinds := []string{"attributes", "events"}
	for _, kind := range kinds {
		for range w.r.IntN(4) {
			fields, key, who, told := w.name(true)
			if !told {
				continue
			}
			var p *townsman
			if len(who) > 0 {
				p = who[0]
			} else {
				p = &townsman{marks: map[string]bool{}, deeds: map[string]bool{}, changed: w.n}
				w.all = append(w.all, p)
				switch {
				case fields["external_id"] != nil:
					p.external = key
				case key == "":
					p.email, _ = fields["email"].(string)
					p.phone, _ = fields["phone"].(string)
				}
				if key != "" {
					w.named[key] = p
				}
			}
			w.marks++
			mark := fmt.Sprint("x", w.marks)
			fields["_update_existing_only"] = false
			if kind == "events" {
				fields["name"], fields["time"] = mark, "2026-11-20"
				p.deeds[mark] = true
			} else {
				fields[mark] = true
				p.marks[mark], p.changed = true, w.n
				for name, to := range map[string]*string{"email": &p.email, "phone": &p.phone} {
					if _, named := fields[name]; named || name == "phone" && fields["email"] == nil && w.r.IntN(2) == 0 || fields["external_id"] == nil && fields["user_alias"] == nil && name == "email" {
						continue
					}
					switch w.r.IntN(6) {
					case 0:
						fields[name], *to = nil, ""
					case 1, 2:
						*to = map[string]string{"email": w.some("m", 6) + "@x.example", "phone": w.some("+4912", 4)}[name]
						fields[name] = *to
					}
				}
			}
			body[kind] = append(body[kind], fields)
		}
	}
	if len(body) > 0 {
		w.post(ingest.TrackPath, body, 201)
	}
}

// joins lets from go up in into.
func (w *town) joins(from, into *townsman) {
	for _, x := range []struct{ to, v *string }{{&into.external, &from.external}, {&into.email, &from.email}, {&into.phone, &from.phone}} {
		if *x.to == "" {
			*x.to = *x.v
		}
	}
	maps.Copy(into.marks, from.marks)
	maps.Copy(into.deeds, from.deeds)
	into.changed = w.n
	w.ends(from)
	for key, p := range w.named {
		if p == from {
			w.named[key] = into
		}
	}
}

func (w *town) ends(p *townsman) {
	w.all = slices.DeleteFunc(w.all, func(x *townsman) bool { return x == p })
}

// merge lets people go up in others. The reader has come to those who have an external id: else it would take what they did
// before, which has it, for the other's.
func (w *town) merge() {
	var all []map[string]any
	for range 1 + w.r.IntN(3) {
		a, from, told1 := w.single()
		b, into, told2 := w.single()
		if !told1 || !told2 {
			continue
		}
		all = append(all, map[string]any{"identifier_to_merge": a, "identifier_to_keep": b})
		if from != nil && from.external != "" {
			w.come()
		}
		if from != nil && into != nil && from != into {
			w.joins(from, into)
		}
	}
	if all != nil {
		w.post(ingest.MergePath, map[string]any{"merge_updates": all}, 202)
	}
}

func (w *town) erase() {
	body, lists := map[string]any{}, map[string]string{"email": "email_addresses", "phone": "phone_numbers"}
	fields, who, told := w.single()
	if !told {
		return
	}
	if v := fields["external_id"]; v != nil {
		body["external_ids"] = []any{v}
	}
	if v := fields["user_alias"]; v != nil {
		body["user_aliases"] = []any{v}
	}
	for name, list := range lists {
		if fields[name] != nil {
			body[list] = []any{fields}
		}
	}
	if who != nil {
		w.ends(who)
		for key, p := range w.named {
			if p == who {
				w.dead[key] = true
				delete(w.named, key)
			}
		}
	}
	w.post(ingest.DeletePath, body, 201)
}

// introduce gives who is known by an address alone an external id.
func (w *town) introduce() {
	fields, who, told := w.single()
	name := "email"
	if fields["phone"] != nil {
		name = "phone"
	}
	if !told || fields[name] == nil {
		return
	}
	external := w.key("u", 8)
	fields["external_id"] = external
	if who != nil && (who.external == "" || who.external == external) {
		if into := w.named[external]; into != nil && into != who {
			w.joins(who, into)
		} else {
			who.external, who.changed = external, w.n
			w.named[external] = who
		}
	}
	w.post(ingest.IdentifyPath, map[string]any{name + "s_to_identify": []any{fields}, "phone_numbers_to_identify": map[bool]any{true: []any{fields}, false: nil}[name == "phone"]}, 201)
}

// native sends an event of the producer's own that gives somebody an address. The reader has come to who that is: else, if a
// request deletes them before it comes to the event, that would be about somebody new.
func (w *town) native() {
	external := w.key("u", 8)
	p := w.named[external]
	if p == nil || p.external != external { // of others likewise
		return
	}
	w.come()
	p.email, p.changed = w.some("m", 6)+"@x.example", w.n
	e := fmt.Sprintf(`{"event_type":"users.profile.Update","id":"native-%d","user_id":"native %s","external_user_id":%q,"time":1700000000,"time_ms":1700000000000,"update_source":"x","email_address":%q}`, w.n, external, external, p.email)
	if status, answer := w.send(ingest.EventsPath, e, "application/x-ndjson"); status != 200 {
		w.t.Errorf("%s: %d %s", e, status, answer)
	}
	w.story = append(w.story, fmt.Sprint(w.n, " ", e))
}

// compare says how people differ from the model.
func (w *town) compare() {
	ids := map[control.PersonID]bool{}
	in, err := w.log.Reader(0, eventlog.Filter{Kind: eventlog.Events})
	if err != nil {
		w.t.Fatal(err)
	}
	defer in.Close()
	for {
		c, err := in.Next()
		if err != nil {
			w.t.Fatal(err)
		}
		if c == nil {
			break
		}
		for rec := range c.Records() {
			if event.SchemaID(rec.Schema) == event.PersonChange {
				change, err := control.DecodePersonChange(rec.Value)
				if err != nil {
					w.t.Fatal(err)
				}
				ids[change.Person], ids[change.Into] = true, true
				continue
			}
			s, _ := w.types.Schema(event.SchemaID(rec.Schema))
			b, err := s.AppendJSON(nil, rec.Value)
			var e struct {
				User control.PersonID `json:"user_id"`
			}
			if err != nil || json.Unmarshal(b, &e) != nil {
				w.t.Fatal(err)
			}
			ids[e.User] = true
		}
	}
	all, err := w.people.People(w.t.Context(), 7, slices.Sorted(maps.Keys(ids)))
	if err != nil {
		w.t.Fatal(err)
	}
	var got, want []string
	for _, p := range all {
		x := townsman{external: p.ExternalID, email: p.Email, phone: p.Phone, marks: map[string]bool{}, deeds: map[string]bool{}}
		if len(p.Custom) > 0 {
			if err := json.Unmarshal(p.Custom, &x.marks); err != nil {
				w.t.Fatal(err)
			}
		}
		deeds, err := w.people.Done(w.t.Context(), p)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, d := range deeds {
			x.deeds[d.Name] = true
		}
		got = append(got, x.String())
	}
	for _, p := range w.all {
		want = append(want, p.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		all := slices.Clone(got)
		got = slices.DeleteFunc(got, func(x string) bool { return slices.Contains(want, x) })
		want = slices.DeleteFunc(want, func(x string) bool { return slices.Contains(all, x) })
		w.t.Errorf("of people who differ these are there\n%s\nand by the model\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
