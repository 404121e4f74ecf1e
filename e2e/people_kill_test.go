package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/store/storetest"
)

// The same promise for what is kept of people: whatever is sent by programs that repeat what was not answered, and however
// often the process is killed, profiles, sizes and statistics are what a model makes of the events that the bucket's files
// hold, read by readers that are not ours, and of what was sent that never gets into a file: attributes, and in which order
// people went up in others, were renamed and deleted.
func TestKilledUnderLoadPeopleAreWhatTheBucketTells(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { peopleOutliveKills(t, "") })
	if long() {
		t.Run("PostgreSQL", func(t *testing.T) { peopleOutliveKills(t, storetest.Postgres(t).URL.Reveal()) })
	}
}

// crowdScopes is what a key needs for all that is sent and asked.
const crowdScopes = "events.write, users.track, users.merge, users.delete, users.external_ids.rename, events.data_series, purchases.revenue_series, purchases.quantity_series, sessions.data_series, " +
	"kpi.new_users.data_series, kpi.dau.data_series, campaigns.data_series"

func peopleOutliveKills(t *testing.T, database string) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	n := *kills
	if n == 0 {
		n = killsAround / 2
		if long() {
			n = 10 * killsAround
		}
	}
	t.Logf("seed %d, %d kills (repeat with -seed and -kills)", s, n)
	r := rand.New(rand.NewPCG(s, 1))
	store := startStore(t)
	env := []string{"MILLRACE_PROFILES=true", "MILLRACE_LOG_RETENTION=30s", "MILLRACE_API_RATE_LIMIT=0"}
	if database != "" {
		env = append(env, "MILLRACE_DATABASE_URL="+database)
	}
	srv := newServer(t, t.TempDir(), env...)
	manifest := strings.Replace(store.manifest("flush: {interval: 1s, events: 200}"), "[events.write]", "["+crowdScopes+"]", 1)
	must(t, append(srv.env, "ACME_S3_SECRET="+store.secret, "ACME_PRODUCER_KEY="+producerKey), "apply", "-f", write(t, "apply.yaml", manifest))
	srv.start()
	lanesReady(t, srv, 1)

	c := &crowd{t: t, srv: srv, day: time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour), shelf: newShelf(store.root), held: map[deed]int{}, ending: make(chan struct{})}
	c.shelf.each = c.take
	for i := range 4 {
		c.tellers = append(c.tellers, &teller{crowd: c, name: fmt.Sprint("t", i), r: rand.New(rand.NewPCG(s, uint64(i)+2)), sent: map[deed]int{}})
	}
	c.root = srv.asks("root@mill.example", "--installation-administrator")
	c.exporter = srv.asks("ada@acme.example", "--workspace", "acme", "--role", "viewer", "--export-user-data")
	c.vendor = asker{t, "http://" + srv.addr, producerKey, c.root.http}
	for done := 0; done < n; {
		end := c.load()
		for range min(killsAround, n-done) {
			done++
			time.Sleep(time.Duration(100+r.IntN(1500)) * time.Millisecond)
			if r.IntN(3) > 0 { // while somebody is being merged, renamed or deleted
				select {
				case <-c.ending:
					time.Sleep(time.Duration(r.IntN(8000)) * time.Microsecond)
				case <-time.After(5 * time.Second):
					t.Error("nobody is merged, renamed or deleted any more")
				}
			}
			srv.dies(r)
			c.shelf.look(t)
		}
		end()
		if !t.Failed() {
			c.compare()
		}
		if t.Failed() {
			t.Fatalf("after %d kills; seed %d", done, s)
		}
	}
	if c.repeated.Load() == 0 {
		t.Error("no request was repeated: the kills did not hit anything")
	}
	t.Logf("%d requests, %d repeated; %d events in %d files; %d people, %d merged, %d renamed, %d deleted; sums of %d series", c.told.Load(), c.repeated.Load(), sumOf(c.held), c.shelf.files, c.people, c.merged, c.renamed,
		c.deleted, c.series)
	srv.stop()
	c.shelf.unchanged(t)
}

// crowd is what is sent about people, what the bucket holds of it, and who is asked what came of it.
type crowd struct {
	t        *testing.T
	srv      *server
	day      time.Time // of all events: yesterday, so that none is of the future
	tellers  []*teller
	told     atomic.Int64 // requests that were answered
	repeated atomic.Int64
	ending   chan struct{} // somebody is about to be merged, renamed or deleted
	shelf    *shelf
	held     map[deed]int // how often the bucket has each
	root     asker
	exporter asker
	vendor   asker // asks the vendor's calls

	people, merged, renamed, deleted, series int // as they were compared last
}

// deed is one event as both sides know it: what was sent, and what stands in the bucket.
type deed struct {
	who   string // external id
	at    int64  // seconds
	kind  string // last part of the event type
	name  string // of the custom event, product, campaign
	price float64
}

// step is one request of a teller: what it tells beside events.
type step struct {
	at    int64
	wants []wish // attributes
	gone  string // deleted
	into  string // with gone: who they went up in
	was   string // renamed
	now   string // with was
}

// wish changes attributes of somebody.
type wish struct {
	who, plan string
	visits    int // to be added
}

// shared is somebody about whom every teller tells what may come in any order.
const shared = "shared"

// teller sends one request after the other about people of its own, whom it makes, lets go up in each other and deletes; so
// for each person the order is known in which things were accepted. No two of its requests have the same time.
type teller struct {
	crowd *crowd
	name  string
	r     *rand.Rand
	clock int64
	made  int
	alive []string
	ever  []string
	steps []step
	sent  map[deed]int
}

// load lets all tellers tell until the function that it gives is called, which returns when all is answered.
func (c *crowd) load() (end func()) {
	var stop atomic.Bool
	var all sync.WaitGroup
	for _, w := range c.tellers {
		all.Go(func() {
			for !stop.Load() && !c.t.Failed() {
				w.next()
				time.Sleep(time.Duration(w.r.IntN(20)) * time.Millisecond)
			}
		})
	}
	return func() {
		time.Sleep(time.Second)
		stop.Store(true)
		all.Wait()
	}
}

func (w *teller) next() {
	w.clock++
	at := w.crowd.day.Unix() + w.clock
	somebody := func() string {
		if w.r.IntN(10) == 0 {
			return shared
		}
		return w.alive[w.r.IntN(len(w.alive))]
	}
	told := step{at: at}
	switch x := w.r.IntN(20); {
	case len(w.alive) < 4 || x < 9:
		w.track(&told, at, somebody)
	case x < 17:
		w.natively(at, somebody)
	case x == 17 && len(w.alive) > 6:
		told.was, told.now = w.lose(), w.fresh()
		w.alive = append(w.alive, told.now)
		w.tell("/users/external_ids/rename", "application/json", jsonObject{"external_id_renames": []jsonObject{{"current_external_id": told.was, "new_external_id": told.now}}}, 201)
	case x == 18 && len(w.alive) > 6:
		told.gone = w.lose()
		w.tell("/users/delete", "application/json", jsonObject{"external_ids": []string{told.gone}}, 201)
	default:
		told.gone = w.lose()
		told.into = w.alive[w.r.IntN(len(w.alive))]
		id := func(who string) jsonObject { return jsonObject{"external_id": who} }
		w.tell("/users/merge", "application/json", jsonObject{"merge_updates": []jsonObject{{"identifier_to_merge": id(told.gone), "identifier_to_keep": id(told.into)}}}, 202)
	}
	w.steps = append(w.steps, told)
}

// lose takes somebody from those who are alive.
func (w *teller) lose() string {
	i := w.r.IntN(len(w.alive))
	who := w.alive[i]
	w.alive = slices.Delete(w.alive, i, i+1)
	return who
}

// fresh gives an external id that nobody had.
func (w *teller) fresh() string {
	who := fmt.Sprint(w.name, "-", w.made)
	w.made++
	w.ever = append(w.ever, who)
	return who
}

// track sends attributes, events and purchases, about somebody new as well, or somebody who was deleted.
func (w *teller) track(told *step, at int64, somebody func() string) {
	var attributes, events, purchases []jsonObject
	who := w.buried()
	if who == "" || w.r.IntN(2) == 0 {
		who = w.fresh()
	}
	w.alive = append(w.alive, who)
	told.wants = append(told.wants, wish{who: who, plan: fmt.Sprint("plan ", w.clock)})
	attributes = append(attributes, jsonObject{"external_id": who, "plan": told.wants[0].plan})
	when := time.Unix(at, 0).UTC().Format(time.RFC3339)
	for range w.r.IntN(6) {
		who := somebody()
		switch w.r.IntN(3) {
		case 0:
			n := 1 + w.r.IntN(3)
			told.wants = append(told.wants, wish{who: who, visits: n})
			attributes = append(attributes, jsonObject{"external_id": who, "visits": jsonObject{"inc": n}})
		case 1:
			d := deed{who: who, at: at, kind: "CustomEvent", name: fmt.Sprint("event ", w.r.IntN(3))}
			w.sent[d]++
			events = append(events, jsonObject{"external_id": who, "name": d.name, "time": when})
		default:
			d, n := deed{who: who, at: at, kind: "Purchase", name: fmt.Sprint("product ", w.r.IntN(3)), price: float64(w.r.IntN(40)) / 4}, 1+w.r.IntN(3)
			w.sent[d] += n
			purchases = append(purchases, jsonObject{"external_id": who, "product_id": d.name, "currency": "EUR", "price": d.price, "quantity": n, "time": when})
		}
	}
	body := jsonObject{"attributes": attributes}
	if events != nil {
		body["events"] = events
	}
	if purchases != nil {
		body["purchases"] = purchases
	}
	w.tell("/users/track", "application/json", body, 201)
}

// buried gives somebody who was deleted and is nobody now; empty: there is none. Who went up in another since is that one, and
// who was renamed since still goes by the old name.
func (w *teller) buried() string {
	deleted := map[string]bool{}
	for _, s := range w.steps {
		if s.gone != "" {
			deleted[s.gone] = s.into == ""
		}
		delete(deleted, s.was)
	}
	for _, who := range w.ever {
		if deleted[who] && !slices.Contains(w.alive, who) {
			return who
		}
	}
	return ""
}

// natively sends events as the catalogue has them.
func (w *teller) natively(at int64, somebody func() string) {
	var body strings.Builder
	n := 1 + w.r.IntN(20)
	for range n {
		d := deed{who: somebody(), at: at}
		e := jsonObject{"user_id": "native " + d.who, "external_user_id": d.who, "time": at}
		switch w.r.IntN(5) {
		case 0:
			d.kind, d.name = "CustomEvent", fmt.Sprint("event ", w.r.IntN(3))
			e["event_type"], e["name"], e["properties"] = "users.behaviors.CustomEvent", d.name, "{}"
		case 1:
			d.kind, d.name, d.price = "Purchase", fmt.Sprint("product ", w.r.IntN(3)), float64(w.r.IntN(40))/4
			e["event_type"], e["product_id"], e["price"], e["currency"], e["properties"] = "users.behaviors.Purchase", d.name, d.price, "EUR", "{}"
		case 2:
			d.kind = "SessionStart"
			e["event_type"], e["app_id"], e["session_id"] = "users.behaviors.app.SessionStart", "shop", "s"
		default:
			d.kind, d.name = []string{"Send", "Open"}[w.r.IntN(2)], fmt.Sprint("campaign ", w.r.IntN(2))
			e["event_type"], e["campaign_id"], e["email_address"] = "users.messages.email."+d.kind, d.name, "x@y.example"
		}
		w.sent[d]++
		line, err := json.Marshal(e)
		if err != nil {
			w.crowd.t.Error(err)
		}
		body.Write(append(line, '\n'))
	}
	w.tell("/v1/events", "application/x-ndjson", body.String(), 200)
}

// tell posts until it is answered, under one Idempotency-Key.
func (w *teller) tell(path, form string, body any, want int) {
	text, plain := body.(string)
	if !plain {
		b, err := json.Marshal(body)
		if err != nil {
			w.crowd.t.Error(err)
		}
		text = string(b)
	}
	for {
		if strings.HasPrefix(path, "/users/") && path != "/users/track" {
			select {
			case w.crowd.ending <- struct{}{}:
			default:
			}
		}
		status, answer, err := w.crowd.srv.tell(path, form, producerKey, fmt.Sprint(w.name, "-", w.clock), []byte(text))
		if err == nil && status == want {
			if strings.Contains(answer, `"errors":[{`) || strings.Contains(answer, `"rename_errors":["`) {
				w.crowd.t.Errorf("%s took only a part of %s: %s", path, text, answer)
			}
			w.crowd.told.Add(1)
			return
		}
		if err == nil && status < 500 && status != 429 {
			w.crowd.t.Errorf("%s: status %d: %s of %s", path, status, answer, text)
			return
		}
		w.crowd.repeated.Add(1)
		time.Sleep(10 * time.Millisecond)
	}
}

// take counts a record of the bucket.
func (c *crowd) take(eventType string, r map[string]any) {
	kind := eventType[strings.LastIndexByte(eventType, '.')+1:]
	d := deed{kind: kind}
	if kind != "UserDeleteRequest" && kind != "UserOrphan" && kind != "Update" && kind != "FirstSession" {
		fmt.Sscan(fmt.Sprint(r["time"]), &d.at) // of either width
		d.who, _ = unwrapped(r["external_user_id"]).(string)
		for _, field := range []string{"name", "product_id", "campaign_id"} {
			if s, ok := unwrapped(r[field]).(string); ok {
				d.name = s
			}
		}
		fmt.Sscan(fmt.Sprint(unwrapped(r["price"])), &d.price)
	}
	c.held[d]++
}

// unwrapped is what stands in a field that may be null, whichever reader read it.
func unwrapped(v any) any {
	if u, is := v.(map[string]any); is && len(u) == 1 {
		for _, v := range u {
			return v
		}
	}
	return v
}

// compare waits until bucket and profiles have everything, and says how they differ from what was sent, and from each other.
func (c *crowd) compare() {
	t := c.t
	t.Helper()
	sent := map[deed]int{}
	c.merged, c.renamed, c.deleted = 0, 0, 0
	for _, w := range c.tellers {
		for d, n := range w.sent {
			sent[d] += n // of the one who is shared two may tell the same
		}
		for _, s := range w.steps {
			switch {
			case s.was != "":
				c.renamed++
			case s.into != "":
				c.merged++
			case s.gone != "":
				c.deleted++
			}
		}
	}
	if c.merged > 0 {
		sent[deed{kind: "UserOrphan"}] = c.merged
	}
	if c.deleted > 0 {
		sent[deed{kind: "UserDeleteRequest"}] = c.deleted
	}
	events := func() map[deed]int {
		held := maps.Clone(c.held)
		delete(held, deed{kind: "Update"}) // of some changes, and of others not: see docs/compatibility.md
		return held
	}
	for deadline := time.Now().Add(time.Minute); sumOf(events()) < sumOf(sent) && time.Now().Before(deadline); time.Sleep(250 * time.Millisecond) {
		c.shelf.look(t)
	}
	time.Sleep(secondCopy)
	c.shelf.look(t)
	if held := events(); !maps.Equal(held, sent) {
		shown := 0
		for _, d := range slices.Concat(slices.Collect(maps.Keys(sent)), slices.Collect(maps.Keys(held))) {
			if held[d] != sent[d] && shown < 20 {
				shown++
				t.Errorf("%+v was sent %d times and is in the bucket %d times", d, sent[d], held[d])
			}
		}
		return
	}
	asked := time.Now()
	c.root.until("/api/v1/installation", func(x told) bool {
		at, err := time.Parse(time.RFC3339, fmt.Sprint(x.at("profile_lag.as_of")))
		if err == nil && x.at("set_aside") != 0.0 {
			t.Fatalf("something was set aside: %s", c.root.want(200, "GET", "/api/v1/installation/set-aside", nil).text)
		}
		return err == nil && at.After(asked)
	})
	m := c.model()
	c.comparePeople(m)
	c.compareSeries(m)
}

// somebody is a person as the model has them.
type somebody struct {
	plan                      string
	visits                    int
	events, products          map[string]*tally
	campaigns                 map[string]*mail
	sessions                  int
	firstSession, lastSession int64
	purchases                 int
	revenue                   float64
}

type tally struct {
	n           int
	first, last int64
	revenue     float64
}

type mail struct{ received, opened int64 }

// model is what the bucket's events, and what was told beside them, make of people.
type model struct {
	people map[string]*somebody // by external id; somebody who went up in another stands for both
	news   int                  // sessions of people who had none
}

func (c *crowd) model() *model {
	m := &model{people: map[string]*somebody{}}
	by := map[string]map[int64][]deed{} // by teller and time; the shared one's alone
	for d, n := range c.held {
		owner, _, _ := strings.Cut(d.who, "-")
		if d.who == "" {
			continue
		}
		if by[owner] == nil {
			by[owner] = map[int64][]deed{}
		}
		for range n {
			by[owner][d.at] = append(by[owner][d.at], d)
		}
	}
	for _, some := range by[shared] {
		for _, d := range some {
			m.does(d)
		}
	}
	for _, w := range c.tellers {
		for _, s := range w.steps {
			for _, x := range s.wants {
				p := m.person(x.who)
				p.visits += x.visits
				if x.plan != "" {
					p.plan = x.plan
				}
			}
			for _, d := range by[w.name][s.at] {
				m.does(d)
			}
			if s.was != "" {
				m.people[s.now] = m.people[s.was] // who still goes by both
			}
			if s.gone == "" {
				continue
			}
			gone := m.people[s.gone]
			if s.into != "" {
				m.people[s.into].join(gone)
			}
			for who, p := range m.people { // also of those who had gone up in them
				switch {
				case p != gone:
				case s.into != "":
					m.people[who] = m.people[s.into]
				default:
					delete(m.people, who)
				}
			}
		}
	}
	return m
}

func (m *model) person(who string) *somebody {
	if m.people[who] == nil {
		m.people[who] = &somebody{events: map[string]*tally{}, products: map[string]*tally{}, campaigns: map[string]*mail{}}
	}
	return m.people[who]
}

func (m *model) does(d deed) {
	p := m.person(d.who)
	add := func(to map[string]*tally) {
		x := to[d.name]
		if x == nil {
			x = &tally{first: d.at}
			to[d.name] = x
		}
		x.n, x.first, x.last, x.revenue = x.n+1, min(x.first, d.at), max(x.last, d.at), x.revenue+d.price
	}
	switch d.kind {
	case "CustomEvent":
		add(p.events)
	case "Purchase":
		add(p.products)
		p.purchases, p.revenue = p.purchases+1, p.revenue+d.price
	case "SessionStart":
		if p.sessions == 0 {
			m.news++
			p.firstSession = d.at
		}
		p.sessions, p.firstSession, p.lastSession = p.sessions+1, min(p.firstSession, d.at), max(p.lastSession, d.at)
	case "Send", "Open":
		x := p.campaigns[d.name]
		if x == nil {
			x = &mail{}
			p.campaigns[d.name] = x
		}
		if d.kind == "Send" {
			x.received = max(x.received, d.at)
		} else {
			x.opened = sooner(x.opened, d.at)
		}
	}
}

// sooner gives the earlier of two times of which 0 is none.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// join lets other go up in p: gaps are filled, counts added.
func (p *somebody) join(other *somebody) {
	if p.plan == "" {
		p.plan = other.plan
	}
	if p.visits == 0 {
		p.visits = other.visits
	}
	for _, x := range []struct{ to, from map[string]*tally }{{p.events, other.events}, {p.products, other.products}} {
		for name, y := range x.from {
			if z := x.to[name]; z != nil {
				*z = tally{z.n + y.n, min(z.first, y.first), max(z.last, y.last), z.revenue + y.revenue}
			} else {
				x.to[name] = y
			}
		}
	}
	for name, y := range other.campaigns {
		if z := p.campaigns[name]; z != nil {
			*z = mail{max(z.received, y.received), sooner(z.opened, y.opened)}
		} else {
			p.campaigns[name] = y
		}
	}
	p.firstSession, p.lastSession = sooner(p.firstSession, other.firstSession), max(p.lastSession, other.lastSession)
	p.sessions, p.purchases, p.revenue = p.sessions+other.sessions, p.purchases+other.purchases, p.revenue+other.revenue
}

// told writes p as lines, as toldOf writes what the API says.
func (p *somebody) told() string {
	lines := []string{fmt.Sprint("plan ", p.plan, " visits ", p.visits, " purchases ", p.purchases, " ", p.revenue, " sessions ", p.sessions, " ", moment(p.firstSession), " ", moment(p.lastSession))}
	for kind, all := range map[string]map[string]*tally{"did": p.events, "bought": p.products} {
		for name, x := range all {
			lines = append(lines, fmt.Sprint(kind, " ", name, " ", x.n, " ", x.revenue, " ", moment(x.first), " ", moment(x.last)))
		}
	}
	for id, x := range p.campaigns {
		lines = append(lines, fmt.Sprint("had ", id, " ", moment(x.received), " ", moment(x.opened)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func moment(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

func toldOf(x told) string {
	text := func(path string) string {
		if v := x.at(path); v != nil {
			return fmt.Sprint(v)
		}
		return ""
	}
	number := func(path string) float64 { n, _ := x.at(path).(float64); return n }
	lines := []string{fmt.Sprint("plan ", text("custom_attributes.plan"), " visits ", number("custom_attributes.visits"), " purchases ", number("purchases"), " ", number("revenue"),
		" sessions ", number("sessions"), " ", text("first_session"), " ", text("last_session"))}
	for kind, list := range map[string]string{"did": "custom_events", "bought": "products"} {
		for i := 0; x.at(fmt.Sprint(list, ".", i)) != nil; i++ {
			at := func(name string) string { return fmt.Sprint(list, ".", i, ".", name) }
			lines = append(lines, fmt.Sprint(kind, " ", text(at("name")), " ", number(at("count")), " ", number(at("revenue")), " ", text(at("first")), " ", text(at("last"))))
		}
	}
	for i := 0; x.at(fmt.Sprint("campaigns.", i)) != nil; i++ {
		at := func(name string) string { return fmt.Sprint("campaigns.", i, ".", name) }
		lines = append(lines, fmt.Sprint("had ", text(at("id")), " ", text(at("last_received")), " ", text(at("first_opened"))))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// comparePeople asks for everybody who ever was.
func (c *crowd) comparePeople(m *model) {
	c.t.Helper()
	alive := map[*somebody]string{} // their user ids
	everybody := []string{shared}
	for _, w := range c.tellers {
		everybody = append(everybody, w.ever...)
	}
	for _, who := range everybody {
		found := c.exporter.want(200, "GET", "/api/v1/workspaces/acme/people?external_id="+url.QueryEscape(who), nil)
		id, _ := found.at("items.0.user_id").(string)
		p := m.people[who]
		if (p != nil) != (id != "") {
			c.t.Errorf("%s: the model has %v, the server says %s", who, p != nil, found.text)
		}
		if p == nil || id == "" {
			continue
		}
		if other := alive[p]; other != "" && other != id {
			c.t.Errorf("%s is %s, and who is the same is %s", who, id, other)
		}
		if alive[p] == "" {
			if got, want := toldOf(c.exporter.want(200, "GET", "/api/v1/workspaces/acme/people/"+url.PathEscape(id), nil)), p.told(); got != want {
				c.t.Errorf("%s is\n%s\nand the model says\n%s", who, got, want)
			}
		}
		alive[p] = id
	}
	c.people = len(alive)
	size := c.exporter.want(200, "POST", "/api/v1/workspaces/acme/filters/size", jsonObject{"filter": jsonObject{}, "exact": true})
	if size.at("people") != float64(len(alive)) {
		c.t.Errorf("%d people in the model, the filter of all holds %s", len(alive), size.text)
	}
	for i := range 3 {
		name, n := fmt.Sprint("event ", i), 0
		for p := range alive {
			if x := p.events[name]; x != nil && x.n >= 5 {
				n++
			}
		}
		size := c.exporter.want(200, "POST", "/api/v1/workspaces/acme/filters/size", jsonObject{"filter": jsonObject{"event": jsonObject{"name": name, "at_least": 5}}, "exact": true})
		if size.at("people") != float64(n) {
			c.t.Errorf("%d people did %q five times, the filter holds %s", n, name, size.text)
		}
	}
}

// compareSeries asks for what is counted. What somebody did stays in it when they are deleted, but for what counts people.
func (c *crowd) compareSeries(m *model) {
	c.t.Helper()
	c.series = 0
	total := func(want float64, path string, params url.Values, of func(row any) float64) {
		c.t.Helper()
		c.series++
		params.Set("length", "3")
		x := c.vendor.want(200, "GET", path+"?"+params.Encode(), nil)
		got := 0.0
		rows, _ := x.at("data").([]any)
		for _, row := range rows {
			got += of(row)
		}
		if got != want {
			c.t.Errorf("%s %v adds up to %v, the bucket has %v", path, params, got, want)
		}
	}
	under := func(name string) func(any) float64 {
		return func(row any) float64 { n, _ := row.(jsonObject)[name].(float64); return n }
	}
	sum := func(kind, name string, of func(deed) float64) (all float64) {
		for d, n := range c.held {
			if d.kind == kind && (name == "" || d.name == name) {
				all += float64(n) * of(d)
			}
		}
		return all
	}
	one := func(deed) float64 { return 1 }
	paid := func(d deed) float64 { return d.price }
	for i := range 3 {
		event, product := fmt.Sprint("event ", i), fmt.Sprint("product ", i)
		total(sum("CustomEvent", event, one), "/events/data_series", url.Values{"event": {event}}, under("count"))
		total(sum("Purchase", product, one), "/purchases/quantity_series", url.Values{"product": {product}}, under("purchase_quantity"))
		total(sum("Purchase", product, paid), "/purchases/revenue_series", url.Values{"product": {product}}, under("revenue"))
	}
	total(sum("Purchase", "", paid), "/purchases/revenue_series", url.Values{}, under("revenue"))
	total(sum("SessionStart", "", one), "/sessions/data_series", url.Values{}, under("sessions"))
	total(float64(m.news), "/kpi/new_users/data_series", url.Values{}, under("new_users"))
	total(float64(m.news), "/kpi/dau/data_series", url.Values{}, under("dau")) // all of one day
	of := func(name string) func(any) float64 {
		return func(row any) (n float64) {
			messages, _ := row.(jsonObject)["messages"].(jsonObject)
			all, _ := messages["email"].([]any)
			for _, x := range all {
				n += under(name)(x)
			}
			return n
		}
	}
	openers := map[string]map[*somebody]bool{}
	for _, p := range m.people {
		for id, x := range p.campaigns {
			if openers[id] == nil {
				openers[id] = map[*somebody]bool{}
			}
			if x.opened != 0 {
				openers[id][p] = true
			}
		}
	}
	for i := range 2 {
		id := fmt.Sprint("campaign ", i)
		total(sum("Send", id, one), "/campaigns/data_series", url.Values{"campaign_id": {id}}, of("sent"))
		total(sum("Open", id, one), "/campaigns/data_series", url.Values{"campaign_id": {id}}, of("opens"))
		total(float64(len(openers[id])), "/campaigns/data_series", url.Values{"campaign_id": {id}}, of("unique_opens"))
	}
}

func sumOf(counts map[deed]int) (n int) {
	for _, x := range counts {
		n += x
	}
	return n
}
