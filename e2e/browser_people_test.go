package e2e_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/text"
)

// A person is found by address, seen with what they did and had, and deleted, by pages alone, in each language, wide and
// narrow, with and without scripts; who lacks the right is told which.
func TestAPersonIsFoundSeenAndDeleted(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir(), "MILLRACE_PROFILES=true", "MILLRACE_API_RATE_LIMIT=0")
	s.start()
	root := s.asks("root@mill.example", "--installation-administrator")
	workspace := "/w/" + root.want(201, "POST", "/api/v1/workspaces", jsonObject{"name": "acme"}).at("id").(string)
	key := root.want(201, "POST", api(workspace)+"/api-keys", jsonObject{"name": "producer", "scopes": []string{"events.write"}}).at("key").(string)
	screens := map[text.Language]screen{text.English: {}, text.Portuguese: {width: 320, dark: true}, text.Spanish: {width: 768, noScript: true}}
	now := time.Now().Unix()
	for l := range screens {
		var lines []string
		for _, e := range []jsonObject{
			{"event_type": "users.profile.Update", "time_ms": now * 1000, "update_source": "REST", "first_name": hostile, "email_address": string(l) + "@people.example", "custom_attributes": `{"plan":"gold"}`},
			{"event_type": "users.behaviors.CustomEvent", "name": longest, "properties": "{}"},
			{"event_type": "users.behaviors.Purchase", "product_id": "hat", "price": 12.5, "currency": "EUR", "properties": "{}"},
			{"event_type": "users.messages.email.Send", "email_address": string(l) + "@people.example", "campaign_id": "spring", "campaign_name": hostile},
			{"event_type": "users.canvas.Entry", "canvas_id": "welcome", "canvas_name": longest, "canvas_variation_id": "v", "in_control_group": false},
		} {
			e["user_id"], e["external_user_id"], e["time"] = "p-"+string(l), "u-"+string(l), now
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(b))
		}
		if status, _, answer, err := s.post(key, "", []byte(strings.Join(lines, "\n"))); err != nil || status != 200 {
			t.Fatalf("status %d: %s %v", status, answer, err)
		}
	}
	root.until(api(workspace)+"/campaigns", func(x told) bool { return x.at("items.0.sent_7_days") == float64(len(screens)) })
	comes := func(t *testing.T, email string, as screen, rights ...string) *window {
		link := must(t, s.env, append([]string{"member", "add", "--email", email, "--workspace", "acme"}, rights...)...)
		in := s.open(t, as)
		in.comesBy(link, email)
		return in
	}
	for l, as := range screens {
		t.Run(string(l), func(t *testing.T) {
			as.lang = l
			in := comes(t, strings.ToLower(string(l))+"@acme.example", as, "--role", "administrator", "--export-user-data")
			in.visit(workspace + "/people")
			in.sees(in.says("page.person_find_title"))
			in.sound()
			found := "/people?by=email&q=" + url.QueryEscape(string(l)+"@people.example")
			if as.noScript {
				in.visit(workspace + found)
			} else {
				in.pick("by", "email")
				in.fill("q", string(l)+"@people.example")
				in.press(in.says("page.person_find"))
			}
			in.at("/people/p-" + string(l) + "$")
			in.sees(hostile, "gold", longest, "hat", l.Amount(12.5), "u-"+string(l))
			in.sound()

			for _, of := range []string{"/campaigns", "/canvases"} {
				in.visit(workspace + of)
				in.sound()
				in.visit(workspace + of + map[string]string{"/campaigns": "/spring", "/canvases": "/welcome"}[of])
				in.sees(in.says("page.campaign_days"))
				in.sound()
				in.press(in.says("page.campaign_edit"))
				in.fill("tags", "one,two")
				in.sound()
				in.press(in.says("page.save"))
				in.sees("one, two")
			}

			in.visit(workspace + "/people/p-" + string(l) + "/erase")
			in.sees(in.says("page.person_erase_stays"))
			in.sound()
			in.fill("confirm", "u-nobody")
			in.press(in.says("page.person_erase"))
			in.sees(in.says("page.confirm_wrong", "name", "u-"+string(l)))
			in.fill("confirm", "u-"+string(l))
			in.press(in.says("page.person_erase"))
			in.sees(in.says("page.person_erased", "name", "u-"+string(l)))
			in.sound()
			for deadline := time.Now().Add(10 * time.Second); ; {
				in.visit(workspace + found)
				if strings.Contains(in.read(), in.says("page.person_nobody")) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("who was deleted is still found")
				}
			}
			in.sound()
		})
	}
	in := comes(t, "viv@acme.example", screen{}, "--role", "viewer")
	in.visit(workspace + "/people")
	in.sees(in.says("page.person_right"))
	in.sound()
}
