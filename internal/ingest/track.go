package ingest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/currency"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
)

// tracked is one object of a request to TrackPath that is good.
type tracked struct {
	array string
	index int
	raw   json.RawMessage
	named
	updateOnly bool // of people there are
	attributes      // of attributes
	event      map[string]any
	times      int // that the event happened
}

// track is a request to TrackPath.
type track struct {
	objects   []tracked
	processed map[string]int // good objects, by the arrays that were sent
}

// The arrays, in the order in which they are taken: people have their attributes before their events.
var trackArrays = []string{"attributes", "events", "purchases"}

const noValidData = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."

// readTrack reads a request that may hold most objects together, and each of a person; 0: as many.
func readTrack(t *task, most, each int) (job, error) {
	j := &track{processed: map[string]int{}}
	lists, total := map[string][]json.RawMessage{}, 0
	for _, array := range trackArrays {
		list, err := t.list(array)
		if err != nil {
			return nil, err
		}
		if list != nil {
			lists[array], j.processed[array] = list, 0
			total += len(list)
		}
	}
	if total > most {
		return nil, refusal("Max Input Length Exceeded")
	}
	of := map[control.Identifier]int{}
	for _, array := range trackArrays {
		for i, raw := range lists[array] {
			x, p := readTracked(array, raw)
			if p != nil {
				t.reject(array, i, raw, p)
				continue
			}
			x.array, x.index, x.raw = array, i, raw
			j.objects = append(j.objects, x)
			j.processed[array]++
			if of[x.Identifier]++; each > 0 && of[x.Identifier] > each {
				return nil, refusal("Max Input Length Exceeded")
			}
		}
	}
	if len(j.objects) == 0 {
		f := refusal(noValidData).(*fatal)
		f.errors = t.errors
		return nil, f
	}
	t.done = len(j.objects)
	return j, nil
}

func readTracked(array string, raw json.RawMessage) (x tracked, p *problem) {
	if p = flaw(raw, math.MaxInt); p != nil {
		return x, p
	}
	o, p := readObject(array, raw)
	if p != nil {
		return x, p
	}
	imported := false
	for _, f := range []struct {
		name string
		to   *bool
	}{{"_update_existing_only", &x.updateOnly}, {"push_token_import", &imported}} {
		if !o.null(f.name) && json.Unmarshal(o[f.name], f.to) != nil {
			return x, wrong(f.name, event.CodeWrongType, "'"+f.name+"' must be true or false")
		}
	}
	if array == "attributes" && imported {
		x.named, p = readImport(o)
	} else {
		x.named, p = readNamed(o)
	}
	if p != nil {
		return x, p
	}
	x.rules = nil // one is always chosen
	switch x.Kind {
	case control.ByPerson:
		x.updateOnly = true
	case control.ByAlias:
		x.updateOnly = x.updateOnly || o.null("_update_existing_only")
	}
	switch array {
	case "attributes":
		x.attributes, p = readAttributes(o)
	case "events":
		x.event, p = readEvent(o)
		x.times = 1
	case "purchases":
		x.event, x.times, p = readPurchase(o)
	}
	return x, p
}

// readImport names somebody of whom there is only a push token.
func readImport(o object) (n named, _ *problem) {
	if !o.null("external_id") || !o.null("braze_id") {
		return n, wrong("push_token_import", event.CodeOutOfRange, "an object with 'push_token_import' has no 'external_id' and no 'braze_id'")
	}
	var tokens []control.PushToken
	if normal, p := pushTokens(o["push_tokens"]); p == nil {
		tokens = normal.([]control.PushToken)
	}
	if len(tokens) == 0 {
		return n, wrong("push_tokens", event.CodeRequired, "'push_tokens' is required with 'push_token_import'")
	}
	n.Identifier = control.Identifier{Kind: kindPushToken, Value: tokens[0].App + "\x00" + tokens[0].Token}
	return n, nil
}

// requiredText reads a text that must be there, with at most most characters.
func requiredText(o object, name string, most int) (string, *problem) {
	s, ok := text(o[name])
	if !ok || s == "" || utf8.RuneCountInString(s) > most {
		return "", wrong(name, event.CodeRequired, "'"+name+"' is required: a string of 1 to 255 characters")
	}
	return s, nil
}

// readOccurred reads what events and purchases have in common.
func readOccurred(o object, eventType string, largest int, reserved ...string) (map[string]any, *problem) {
	e := map[string]any{"event_type": eventType, "properties": json.RawMessage("{}")}
	if !o.null("app_id") {
		app, p := requiredText(o, "app_id", maxName)
		if p != nil {
			return nil, p
		}
		e["app_id"] = app
	}
	if o.null("time") {
		return nil, wrong("time", event.CodeRequired, "'time' is required: a time as in ISO 8601")
	}
	s, _ := text(o["time"])
	at, ok := parseTime(s)
	if !ok || at.Unix() < math.MinInt32 {
		return nil, wrong("time", event.CodeInvalidTime, "'time' must be a time as in ISO 8601, from the year 1902 to 3000")
	}
	if now := time.Now(); at.After(now) {
		at = now
	}
	e["time"] = at.Unix()
	if o.null("properties") {
		return e, nil
	}
	var properties object
	raw := o["properties"]
	if json.Unmarshal(raw, &properties) != nil {
		return nil, wrong("properties", event.CodeWrongType, "'properties' must be an object")
	}
	if len(raw) > largest {
		return nil, wrong("properties", event.CodeTooLarge, fmt.Sprintf("'properties' must have at most %d KB", largest>>10))
	}
	for name, v := range properties {
		if !goodName(name) {
			return nil, wrong("properties", event.CodeOutOfRange, "the name of a property must have 1 to 255 characters, and none begins with '$'")
		}
		for _, r := range reserved {
			if name == r {
				return nil, wrong("properties", event.CodeOutOfRange, "'"+r+"' is reserved and cannot be the name of a property")
			}
		}
		if s, is := text(v); is && utf8.RuneCountInString(s) > maxAttributeText {
			return nil, wrong("properties", event.CodeOutOfRange, "a property that is a string must have at most 255 characters")
		}
	}
	e["properties"] = raw
	return e, nil
}

// Sizes of properties. Source: the vendor's pages of the event and the purchase object.
const (
	maxEventProperties    = 100 << 10
	maxPurchaseProperties = 50 << 10
)

func readEvent(o object) (map[string]any, *problem) {
	name, p := requiredText(o, "name", maxName)
	if p != nil {
		return nil, p
	}
	e, p := readOccurred(o, "users.behaviors.CustomEvent", maxEventProperties, "time", "event_name")
	if p == nil {
		e["name"] = name
	}
	return e, p
}

// maxQuantity is how many of one product a purchase may be. Source: the vendor's page of the purchase object.
const maxQuantity = 100

func readPurchase(o object) (e map[string]any, quantity int, _ *problem) {
	product, p := requiredText(o, "product_id", maxName)
	if p != nil {
		return nil, 0, p
	}
	s, _ := text(o["currency"])
	unit, err := currency.ParseISO(strings.TrimSpace(s))
	if err != nil {
		return nil, 0, wrong("currency", event.CodeOutOfRange, "'currency' is required: a code of ISO 4217 such as USD")
	}
	if o.null("price") {
		return nil, 0, wrong("price", event.CodeRequired, "'price' is required: a number")
	}
	var price float64
	if !finite(o["price"]) || json.Unmarshal(o["price"], &price) != nil || math.Abs(price) > math.MaxFloat32 {
		return nil, 0, wrong("price", event.CodeWrongType, "'price' must be a number, at most 3.4e38")
	}
	quantity = 1
	if !o.null("quantity") && (json.Unmarshal(o["quantity"], &quantity) != nil || quantity < 1 || quantity > maxQuantity) {
		return nil, 0, wrong("quantity", event.CodeOutOfRange, "'quantity' must be a whole number from 1 to 100")
	}
	if e, p = readOccurred(o, "users.behaviors.Purchase", maxPurchaseProperties); p == nil {
		e["product_id"], e["currency"], e["price"] = product, unit.String(), price
	}
	return e, quantity, p
}

func (j *track) who() []named {
	all := make([]named, len(j.objects))
	for i := range j.objects {
		all[i] = j.objects[i].named
	}
	return all
}

// run takes the objects one after the other: each sees what those before it did.
func (j *track) run(t *task) error {
	if err := t.look(j.who()); err != nil {
		return err
	}
	if err := j.make(t); err != nil {
		return err
	}
	for i := range j.objects {
		x := &j.objects[i]
		k, there := t.tracked(x.named)
		if !there && x.updateOnly {
			continue
		}
		if !there {
			var err error
			if k, err = t.newcomer(x.Identifier); err != nil {
				return err
			}
		}
		if p := j.put(t, x, k); p != nil {
			t.reject(x.array, x.index, x.raw, p)
			j.processed[x.array]--
			t.done--
		}
	}
	return nil
}

// make makes those who are named by identifiers that are kept and are not there, and finds out who others can be.
func (j *track) make(t *task) error {
	var fresh []control.NewIdentity
	var ids []control.Identifier
	asked := map[control.Identifier]bool{}
	for i := range j.objects {
		x := &j.objects[i]
		if _, there := t.tracked(x.named); there || x.updateOnly || asked[x.Identifier] {
			continue
		}
		asked[x.Identifier] = true
		candidates := t.people.fresh(t.q.grant.Workspace, x.Identifier)
		switch x.Kind {
		case control.ByExternalID, control.ByAlias:
			fresh = append(fresh, control.NewIdentity{Identifier: x.Identifier, Candidates: candidates})
		case control.ByEmail, control.ByPhone:
			for _, c := range candidates {
				ids = append(ids, person(c))
			}
		}
	}
	if err := t.identify(fresh); err != nil {
		return err
	}
	return t.ask(ids)
}

// newcomer gives somebody new who is known by an address or a push token alone. No such identifier is kept: their number
// follows from it. It is another one's if there is somebody of that number, who must have changed the address.
func (t *task) newcomer(i control.Identifier) (k control.Known, err error) {
	candidates := t.people.fresh(t.q.grant.Workspace, i)
	k = control.Known{Identifier: i, Person: candidates[0]}
	if i.Kind == kindPushToken {
		return t.own.over(i, []control.Known{k}, 0)[0], nil
	}
	for _, k.Person = range candidates {
		if _, asked := t.memory[person(k.Person)]; !asked {
			err = t.ask([]control.Identifier{person(k.Person)})
		}
		if err != nil || len(t.memory[person(k.Person)]) == 0 && !t.visit.met(k.Person) && !t.own.knows(k.Person) {
			break
		}
	}
	return k, err
}

// put puts what an object says into the batch. A change goes with what no event can say.
func (j *track) put(t *task, x *tracked, k control.Known) *problem {
	change := control.PersonChange{Kind: control.PersonUpdate, Person: k.Person, Attributes: maps.Clone(x.standard), Custom: x.custom}
	if x.Kind == control.ByExternalID && x.Value == k.ExternalID {
		change.ExternalID = x.Value
	}
	introduce := k.UpdatedAt.IsZero() && k.ExternalID == "" // whom no event names
	switch name := addressNames[x.Kind]; {
	case name != "" && introduce:
		if change.Attributes == nil {
			change.Attributes = map[string]json.RawMessage{}
		}
		change.Attributes[name] = encode(x.Value)
	case name != "": // they have it, and may be given another beside this request
		delete(change.Attributes, name)
	case introduce:
		change.Alias = x.alias
	}
	if x.event != nil {
		if introduce {
			t.change(change)
		}
		for range x.times {
			if _, p := t.event(about(x.event, k)); p != nil {
				return p
			}
		}
		return nil
	}
	id, p := t.event(about(profileUpdate(t, x), k))
	if p != nil {
		return p
	}
	change.Event = id
	t.change(change)
	return nil
}

// addressNames are the attributes by which people are named who have them.
var addressNames = map[control.IdentifierKind]string{control.ByEmail: "email", control.ByPhone: "phone"}

// about says in an event whom it is about.
func about(e map[string]any, k control.Known) map[string]any {
	e["user_id"] = k.Person
	if k.ExternalID != "" {
		e["external_user_id"] = k.ExternalID
	}
	return e
}

// profileFields are the standard attributes that users.profile.Update has, and its names for them.
var profileFields = map[string]string{
	"first_name": "first_name", "last_name": "last_name", "email": "email_address", "gender": "gender", "phone": "phone_number", "dob": "dob",
	"time_zone": "timezone", "home_city": "home_city", "country": "country", "language": "language",
}

func profileUpdate(t *task, x *tracked) map[string]any {
	e := map[string]any{"event_type": "users.profile.Update", "time": t.now.Unix(), "time_ms": t.now.UnixMilli(), "update_source": "REST"}
	for name, field := range profileFields {
		if v := x.standard[name]; v != nil {
			e[field] = v
		}
	}
	if len(x.attributes.raw) > 0 {
		e["custom_attributes"] = string(encode(x.attributes.raw))
	}
	return e
}

func (j *track) reply(t *task, prior *eventlog.Answer) (int, any) {
	body := map[string]any{"message": "success"}
	for array, n := range j.processed {
		body[array+"_processed"] = n
	}
	if len(t.errors) > 0 {
		body["errors"] = t.errors
	}
	return http.StatusCreated, body
}
