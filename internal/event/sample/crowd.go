package sample

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/millrace/millrace/internal/event"
)

// Crowd makes the events of people who stay who they are, and who have campaigns that keep their titles: for whoever looks
// at what becomes of them. Who is sent a message may open it, and then click in it; so fewer click than open, and fewer open
// than were sent it. It is for one goroutine; crowds of the same size have the same people, campaigns and Canvases, whatever
// their seed.
type Crowd struct {
	maker *Maker
	types *event.Catalogue
	met   []bool  // of whom it has told who they are
	next  []deed  // that follow on others, in turn
	past  []int64 // when the first events happened, seconds; then now
}

// deed is an event to be made.
type deed struct {
	kind  string
	who   int
	scene map[string]any
}

// NewCrowd gives the events of so many people. The first of them, past, are spread over the last 14 days, the oldest first; all
// others happen when they are made.
func NewCrowd(c *event.Catalogue, seed uint64, people, past int) *Crowd {
	x := &Crowd{maker: New(c, seed, nil), types: c, met: make([]bool, people)}
	const spread = 14 * 24 * 3600
	begin := time.Now().Unix() - spread
	for n := range past {
		x.past = append(x.past, begin+int64(n)*spread/int64(past))
	}
	return x
}

// Append appends one event, a JSON object without newline.
func (x *Crowd) Append(dst []byte) []byte {
	d := x.deed()
	if !x.met[d.who] {
		x.met[d.who] = true
		x.next = append([]deed{d}, x.next...)
		d = deed{"users.profile.Update", d.who, introduction(d.who)}
	}
	at := time.Now().Unix()
	if len(x.past) > 0 {
		at, x.past = x.past[0], x.past[1:]
	}
	t, ok := x.types.Type(d.kind)
	if !ok {
		panic(fmt.Sprintf("sample: no event type %q", d.kind))
	}
	scene := person(d.who)
	for name, value := range d.scene {
		scene[name] = value
	}
	scene["time"], scene["time_ms"], scene["send_time"] = at, at*1000, at
	x.maker.scene = scene
	defer func() { x.maker.scene = nil }()
	return x.maker.appendEvent(dst, t, "", absent)
}

// waiting is how many deeds follow at most: what is beyond is not done.
const waiting = 500

// deed gives what happens next.
func (x *Crowd) deed() deed {
	r := x.maker.random
	if n := len(x.next); n > 0 && (n > waiting/2 || r.IntN(2) == 0) {
		d := x.next[0]
		x.next = x.next[1:]
		return d
	}
	u := r.Float64()
	d := deed{who: int(u * u * float64(len(x.met)))} // some do much, most little
	switch n := r.IntN(100); {
	case n < 24:
		x.send(&d, "users.messages.email.Send", campaign(r.IntN(emailCampaigns), r))
		x.follows(d, 97, "users.messages.email.Delivery")
		if x.follows(d, 38, "users.messages.email.Open") && x.follows(d, 27, "users.messages.email.Click") {
			x.follows(d, 30, "users.campaigns.Conversion")
		}
		x.follows(d, 1, "users.messages.email.Unsubscribe")
	case n < 40:
		x.send(&d, "users.messages.pushnotification.Send", campaign(emailCampaigns+r.IntN(pushCampaigns), r))
		x.follows(d, 9, "users.messages.pushnotification.Open")
	case n < 50:
		x.send(&d, "users.messages.inappmessage.Impression", campaign(emailCampaigns+pushCampaigns+r.IntN(inAppCampaigns), r))
		x.follows(d, 18, "users.messages.inappmessage.Click")
	case n < 55:
		d.kind, d.scene = "users.canvas.Entry", canvas(r)
		step := deed{"users.messages.email.Send", d.who, d.scene}
		if x.follows(step, 92, step.kind) {
			x.follows(step, 95, "users.messages.email.Delivery")
			x.follows(step, 41, "users.messages.email.Open")
			x.follows(step, 12, "users.messages.email.Click")
		}
	case n < 76:
		d.kind, d.scene = "users.behaviors.CustomEvent", map[string]any{"name": pick(r, deeds), "properties": fmt.Sprintf(`{"category":%q,"position":%d}`, pick(r, categories), 1+r.IntN(20))}
	case n < 82:
		p := r.IntN(len(products))
		d.kind, d.scene = "users.behaviors.Purchase", map[string]any{"product_id": products[p], "price": float64(1990+700*p) / 100, "properties": fmt.Sprintf(`{"category":%q}`, categories[p%len(categories)])}
	case n < 98:
		d.kind = "users.behaviors.app.SessionStart"
	case n < 99:
		d.kind, d.scene = "users.behaviors.subscription.GlobalStateChange", map[string]any{"channel": "email", "subscription_status": pick(r, []string{"Opted In", "Subscribed", "Subscribed", "Unsubscribed"})}
	default:
		d.kind, d.scene = "users.behaviors.subscriptiongroup.StateChange", map[string]any{"channel": "email", "subscription_group_id": pick(r, groups), "subscription_status": pick(r, []string{"Subscribed", "Subscribed", "Unsubscribed"})}
	}
	return d
}

func (x *Crowd) send(d *deed, kind string, scene map[string]any) { d.kind, d.scene = kind, scene }

// follows lets somebody do something more with the same message, in so many of a hundred cases.
func (x *Crowd) follows(on deed, percent int, kind string) bool {
	if x.maker.random.IntN(100) >= percent || len(x.next) >= waiting {
		return false
	}
	x.next = append(x.next, deed{kind, on.who, on.scene})
	return true
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// stable is chance that is the same in every crowd.
func stable(what string, n int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(len(what)), uint64(n)))
}

// What people are and do.
var (
	homes = []struct{ country, language, zone, city string }{
		{"BR", "pt", "America/Sao_Paulo", "São Paulo"}, {"BR", "pt", "America/Sao_Paulo", "Curitiba"}, {"BR", "pt", "America/Recife", "Recife"}, {"ES", "es", "Europe/Madrid", "Madrid"},
		{"MX", "es", "America/Mexico_City", "Ciudad de México"}, {"AR", "es", "America/Argentina/Buenos_Aires", "Córdoba"}, {"US", "en", "America/New_York", "Boston"}, {"GB", "en", "Europe/London", "Leeds"},
	}
	firstNames = map[string][]string{"pt": {"Ana", "João", "Beatriz", "Caio", "Larissa", "Thiago"}, "es": {"María", "José", "Lucía", "Mateo", "Sofía", "Iván"}, "en": {"Sam", "Grace", "Kofi", "Emma", "Noah", "Wei"}}
	lastNames  = map[string][]string{"pt": {"Souza", "Oliveira", "Lima", "Araújo", "Rocha"}, "es": {"García", "Núñez", "Peña", "Ibáñez", "Rojas"}, "en": {"Smith", "Mensah", "Li", "Walker", "Ahmed"}}
	categories = []string{"shoes", "outdoor", "kitchen", "books", "music"}
	products   = []string{"trail-shoes", "rain-jacket", "espresso-cup", "atlas", "record-player", "tent", "wool-hat", "notebook"}
	deeds      = []string{"viewed product", "viewed product", "viewed product", "added to cart", "added to cart", "searched", "started checkout", "wrote review"}
	groups     = []string{"newsletter", "price-alerts", "product-news"}
	devices    = []struct{ platform, model, os string }{{"ios", "iPhone16,2", "18.0"}, {"android", "SM-S928B", "15"}, {"android", "Pixel 9", "15"}, {"web", "Chrome", "140"}}
	apps       = map[string]string{"ios": "shop-ios", "android": "shop-android", "web": "shop-web"}
	titles     = []string{"Welcome offer", "Abandoned cart", "Weekly digest", "Promoção de verão", "Rebajas de enero", "Back in stock", "Price drop", "Your order is on its way", "Rate the app", "Loyalty points"}
	journeys   = []struct {
		title string
		steps []string
	}{{"Onboarding", []string{"Say hello", "Show the app", "First order"}}, {"Win back", []string{"We miss you", "10 % off"}}, {"After the purchase", []string{"Thank you", "Ask for a review"}}}
)

// How many of titles are sent how.
const emailCampaigns, pushCampaigns, inAppCampaigns = 5, 3, 2

// person is what every event says of somebody.
func person(n int) map[string]any {
	r := stable("person", n)
	home, device := pick(r, homes), pick(r, devices)
	id := fmt.Sprintf("%016x%08x", r.Uint64(), r.Uint32())
	return map[string]any{"user_id": id, "external_user_id": fmt.Sprintf("user-%04d", n+1), "timezone": home.zone, "platform": device.platform, "device_model": device.model, "os_version": device.os,
		"device_id": id[:8] + "-" + id[8:12] + "-" + id[12:16], "app_id": apps[device.platform], "currency": "EUR",
		"first_name": pick(r, firstNames[home.language]), "last_name": pick(r, lastNames[home.language]), "email_address": fmt.Sprintf("user-%04d@shop.example", n+1),
		"channel_identifier": fmt.Sprintf("user-%04d@shop.example", n+1),
		// A message is of a campaign or of a Canvas.
		"campaign_id": nil, "campaign_name": nil, "message_variation_id": nil, "message_variation_name": nil, "canvas_id": nil, "canvas_name": nil,
		"canvas_variation_id": nil, "canvas_variation_name": nil, "canvas_step_id": nil, "canvas_step_name": nil, "canvas_step_message_variation_id": nil, "in_control_group": false,
		// What machines open and click is nobody's.
		"machine_open": nil, "is_suspected_bot_click": false, "suspected_bot_click_reason": nil, "conversion_behavior_index": 0, "conversion_behavior": `{"type":"Makes Purchase"}`}
}

// introduction is what a profile is made of.
func introduction(n int) map[string]any {
	r := stable("profile", n)
	home := pick(stable("person", n), homes)
	custom, err := json.Marshal(map[string]any{"plan": pick(r, []string{"free", "free", "pro", "team"}), "favorite_category": pick(r, categories), "loyalty_points": r.IntN(2000),
		"newsletter": r.IntN(3) > 0, "interests": categories[r.IntN(2) : 2+r.IntN(3)]})
	if err != nil {
		panic("sample: plain values did not encode: " + err.Error())
	}
	return map[string]any{"country": home.country, "language": home.language, "home_city": home.city, "gender": pick(r, []string{"F", "M", "O", "N"}),
		"dob": fmt.Sprintf("%d-%02d-%02d", 1950+r.IntN(55), 1+r.IntN(12), 1+r.IntN(28)), "phone_number": fmt.Sprintf("+55119%08d", r.IntN(100_000_000)),
		"custom_attributes": string(custom), "update_source": "REST", "archived": false}
}

// campaign is what the messages of one say of it.
func campaign(n int, r *rand.Rand) map[string]any {
	variation := r.IntN(2)
	return map[string]any{"campaign_id": uuid(stable("campaign", n)), "campaign_name": titles[n],
		"message_variation_id": uuid(stable("variation", 2*n+variation)), "message_variation_name": []string{"Variant 1", "Variant 2"}[variation]}
}

// canvas is what a step of one says of it.
func canvas(r *rand.Rand) map[string]any {
	n := r.IntN(len(journeys))
	step := r.IntN(len(journeys[n].steps))
	return map[string]any{"canvas_id": uuid(stable("canvas", n)), "canvas_name": journeys[n].title, "canvas_variation_id": uuid(stable("canvas variation", n)), "canvas_variation_name": "Variant 1",
		"canvas_step_id": uuid(stable("canvas step", 10*n+step)), "canvas_step_name": journeys[n].steps[step]}
}
