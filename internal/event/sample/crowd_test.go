package sample_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
)

func TestACrowdStaysWhoItIs(t *testing.T) {
	c := catalogue(t)
	r := event.NewReader(c)
	who, titles, types := map[string]any{}, map[string]any{}, map[string]int{}
	const past, n = 2000, 20_000
	begin, last := time.Now().AddDate(0, 0, -14).Unix()-1, int64(0)
	for seed := range uint64(2) {
		x := sample.NewCrowd(c, seed, 300, past)
		introduced := map[any]bool{}
		for i := range n {
			text := x.Append(nil)
			if _, _, res := r.Read(nil, text, event.Options{}); res.Problems != nil {
				t.Fatalf("%s\n%+v", text, res.Problems)
			}
			var e map[string]any
			if err := json.Unmarshal(text, &e); err != nil {
				t.Fatal(err)
			}
			types[e["event_type"].(string)]++
			user := e["user_id"].(string)
			if e["event_type"] == "users.profile.Update" {
				if introduced[user] {
					t.Fatalf("%s is introduced twice", user)
				}
				introduced[user] = true
			} else if !introduced[user] {
				t.Fatalf("%s does something before it is known who they are", user)
			}
			for _, same := range []struct {
				all       map[string]any
				id, field string
			}{{who, user, "external_user_id"}, {who, user, "timezone"}, {titles, "campaign", "campaign_name"}, {titles, "canvas", "canvas_name"}, {titles, "canvas_step", "canvas_step_name"}} {
				id := same.id
				if x, is := e[id+"_id"].(string); is {
					id = x
				}
				value, there := e[same.field]
				if had, known := same.all[id+same.field]; there && known && had != value {
					t.Fatalf("%s of %s is %v and %v", same.field, id, had, value)
				} else if there {
					same.all[id+same.field] = value
				}
			}
			at := int64(e["time"].(float64))
			if i < past && (at < begin || at < last && i > 0) || i >= past && time.Now().Unix()-at > 60 {
				t.Fatalf("event %d happened at %d", i, at)
			}
			last = at
		}
	}
	const mails, pushes = "users.messages.email.", "users.messages.pushnotification."
	for _, fewer := range [][2]string{{mails + "Delivery", mails + "Send"}, {mails + "Open", mails + "Delivery"}, {mails + "Click", mails + "Open"}, {"users.campaigns.Conversion", mails + "Click"}, {pushes + "Open", pushes + "Send"}} {
		if types[fewer[0]] == 0 || types[fewer[0]] >= types[fewer[1]] {
			t.Errorf("%d of %s, and %d of %s", types[fewer[0]], fewer[0], types[fewer[1]], fewer[1])
		}
	}
	if len(types) < 15 {
		t.Errorf("only %d types: %v", len(types), types)
	}
}
