package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket/buckettest"
)

// hostile is a name that no page may take for anything but text, and long is one that has no place to break.
const (
	hostile = `<img src=x onerror=alert(1)> "'&amp; {{.}} שלום 😀`
	longest = "warehouse-of-everything-that-customers-have-ever-done-in-the-southern-hemisphere"
)

// workspaces are those of a dashboard.
var workspaces = []string{"acme", "globex", longest[:60], "initech"}

// dashboard is a server with a store and workspaces in each of the states that pages show.
type dashboard struct {
	*server
	t     *testing.T
	store store
	api   asker        // as an administrator of the installation
	sent  atomic.Int64 // requests of producers
	// The paths of workspaces: one in which all is usual, one that fails, one with names that are hostile and long, one with
	// nothing in it.
	usual, failing, odd, empty string
	warehouse                  string // the page of the usual Current that has files
	root                       string // the page of an administrator of the installation
}

// newDashboard starts the server. furnish fills it.
func newDashboard(t *testing.T, env ...string) *dashboard {
	t.Helper()
	d := &dashboard{t: t, store: startStore(t)}
	d.server = newServer(t, t.TempDir(), append(env, "MILLRACE_ATTEMPT_LIMIT=5s", "MILLRACE_API_RATE_LIMIT=0", "MILLRACE_PROFILES=true", "MILLRACE_AWS_ACCOUNT_ID=111122223333")...)
	d.start()
	return d
}

// furnish makes what pages show.
func (d *dashboard) furnish() {
	d.t.Helper()
	d.api = d.asks("root@mill.example", "--installation-administrator")
	d.root = "/installation/people/" + d.api.want(200, "GET", "/api/v1/installation/members", nil).at("items.0.id").(string)
	d.usual, d.failing, d.odd, d.empty = d.workspace(workspaces[0]), d.workspace(workspaces[1]), d.workspace(workspaces[2]), d.workspace(workspaces[3])

	producer := d.key(d.usual, "producer")
	warehouse := d.launch(d.usual, "warehouse", nil)
	d.launch(d.usual, "lake", jsonObject{"events": []string{"engagement"}, "transformations": []jsonObject{{"field": "email_address", "action": "hash"}}})
	d.api.want(200, "POST", d.launch(d.usual, "archive", jsonObject{"test": true})+"/pause", nil)
	d.api.want(201, "POST", api(d.usual)+"/drafts", jsonObject{"name": "next year"})
	d.api.want(201, "POST", api(d.usual)+"/segments", jsonObject{"name": "everybody"})
	d.api.want(201, "POST", api(d.usual)+"/webhooks", jsonObject{"url": "http://127.0.0.1:9/hook"})
	d.api.want(201, "POST", api(d.usual)+"/invitations", jsonObject{"email": "cleo@acme.example", "role": "editor"})
	must(d.t, d.env, "member", "add", "--email", "ben@acme.example", "--workspace", "acme", "--role", "viewer")
	d.warehouse = d.usual + "/currents" + strings.TrimPrefix(warehouse, api(d.usual)+"/connectors")
	lanesReady(d.t, d.server, 3)
	d.sends(producer, 60)
	d.api.until(warehouse+"/files", func(x told) bool { return x.at("items.0.key") != nil })
	d.post(producer, "", []byte(`{"event_type":"users.messages.email.Open","user_id":7}`+"\n"+`{"event_type":"users.nothing"}`+"\n"))
	d.exports(d.usual, producer, "Spring sale", true)

	producer = d.key(d.failing, "producer")
	v := d.store.versity
	u := v.CreateUser(d.t, "globex", buckettest.CurrentsPolicy(d.store.bucket))
	broken := d.launch(d.failing, "warehouse", jsonObject{"destination": jsonObject{"access_key_id": u.AccessKeyID, "secret_access_key": u.SecretAccessKey.Reveal()}})
	lanesReady(d.t, d.server, 4)
	d.sends(producer, 30)
	d.api.until(broken+"/files", func(x told) bool { return x.at("items.0.key") != nil })
	d.api.until(broken+"/waiting", func(x told) bool { return x.at("events") == 0.0 })
	v.DeletePolicy(d.t, "globex")
	d.api.until(broken, func(x told) bool {
		d.sends(producer, 1)
		return x.at("status") == "failing"
	})

	producer = d.key(d.odd, hostile)
	d.launch(d.odd, longest, jsonObject{"destination": jsonObject{"folder": longest + "/" + longest + "/" + longest}})
	d.launch(d.odd, hostile, nil)
	d.api.want(201, "POST", api(d.odd)+"/drafts", jsonObject{"name": hostile})
	d.api.want(201, "POST", api(d.odd)+"/segments", jsonObject{"name": hostile, "description": longest})
	d.api.want(201, "POST", api(d.odd)+"/invitations", jsonObject{"email": longest[:60] + "@" + longest[:60] + ".example", "role": "viewer"})
	must(d.t, d.env, "member", "add", "--email", longest[:60]+"@acme.example", "--name", hostile, "--workspace", longest[:60])
	d.sends(producer, 30)
	d.post(producer, "", []byte(fmt.Sprintf("{%q:1}\n", hostile)))
	d.exports(d.odd, producer, hostile, false)
}

// exports tells of a campaign and a Canvas in a workspace, and exports a segment, the campaign's people and a report, which two
// schedules make too. With linked, files go into a bucket of the workspace's too.
func (d *dashboard) exports(workspace, producer, name string, linked bool) {
	d.t.Helper()
	var lines strings.Builder
	now := time.Now().Unix()
	for i := range 5 {
		for _, e := range []jsonObject{
			{"event_type": "users.messages.email.Send", "email_address": "ana@people.example", "campaign_id": "spring", "campaign_name": name, "message_variation_id": "v1", "message_variation_name": name},
			{"event_type": "users.messages.email.Open", "email_address": "ana@people.example", "campaign_id": "spring", "campaign_name": name, "message_variation_id": "v1"},
			{"event_type": "users.canvas.Entry", "canvas_id": "welcome", "canvas_name": name, "canvas_variation_id": "v2", "in_control_group": false},
			{"event_type": "users.messages.email.Send", "email_address": "ana@people.example", "canvas_id": "welcome", "canvas_name": name, "canvas_variation_id": "v2", "canvas_step_id": "s1", "canvas_step_name": name},
		} {
			e["user_id"], e["external_user_id"], e["time"] = fmt.Sprint("p", i), fmt.Sprint("u", i), now
			b, err := json.Marshal(e)
			if err != nil {
				d.t.Fatal(err)
			}
			lines.Write(append(b, '\n'))
		}
	}
	if status, accepted, answer, err := d.post(producer, "", []byte(lines.String())); err != nil || status != 200 || accepted != 20 {
		d.t.Fatalf("status %d: %s %v", status, answer, err)
	}
	d.api.until(api(workspace)+"/campaigns", func(x told) bool { return x.at("items.0.sent_7_days") == 5.0 })
	if linked {
		v := d.store.versity
		v.CreateBucket(d.t, "acme-exports", false)
		u := v.CreateUser(d.t, "exports", must(d.t, nil, "policy", "exports", "--method", "key", "--bucket", "acme-exports", "--strict"))
		d.api.passed(d.api.want(202, "PUT", api(workspace)+"/data-export", jsonObject{"bucket": "acme-exports", "region": "us-east-1", "endpoint": d.store.endpoint, "path_style": true,
			"access_key_id": u.AccessKeyID, "secret_access_key": u.SecretAccessKey.Reveal()}))
	}
	email := "eva@" + strings.TrimPrefix(workspace, "/w/") + ".example"
	eva := d.asks(email, "--name", name, "--workspace", d.api.want(200, "GET", api(workspace), nil).at("name").(string), "--role", "viewer", "--export-user-data")
	segment := d.api.want(200, "GET", api(workspace)+"/segments", nil).at("items.0.id").(string)
	for _, e := range []jsonObject{
		{"kind": "users_csv", "subject": segment, "delimiter": ";", "bom": true}, {"kind": "campaign_users_csv", "subject": "spring"}, {"kind": "segment_users", "subject": segment, "fields_to_export": []string{"email"}},
		{"kind": "engagement", "report": jsonObject{"campaigns": []string{"spring"}, "canvases": []string{"welcome"}, "last_days": 7}, "recipients": []string{email}},
	} {
		at := api(workspace) + "/exports/" + eva.want(201, "POST", api(workspace)+"/exports", e).at("id").(string)
		eva.until(at, func(x told) bool { return x.at("state") == "done" })
	}
	for _, unit := range []string{"week", "month"} {
		eva.want(201, "POST", api(workspace)+"/report-schedules", jsonObject{"name": name + " " + unit, "kind": "engagement", "report": jsonObject{"campaigns": []string{"spring"}, "last_days": 7, "per": "day"},
			"every": 1, "unit": unit, "hour": 6, "zone": "America/Sao_Paulo", "recipients": []string{email}})
	}
}

// workspace makes one, and gives the path of its pages.
func (d *dashboard) workspace(name string) string {
	d.t.Helper()
	return "/w/" + d.api.want(201, "POST", "/api/v1/workspaces", jsonObject{"name": name}).at("id").(string)
}

// api is the address by which the API has the workspace whose pages are at path.
func api(path string) string { return "/api/v1/workspaces/" + strings.TrimPrefix(path, "/w/") }

// key makes an API key, and gives what producers send.
func (d *dashboard) key(workspace, name string) string {
	d.t.Helper()
	return d.api.want(201, "POST", api(workspace)+"/api-keys", jsonObject{"name": name, "scopes": []string{"events.write"}}).at("key").(string)
}

// launch launches a Current that differs from the store's usual one in what more says, and gives its address in the API.
func (d *dashboard) launch(workspace, name string, more jsonObject) string {
	d.t.Helper()
	c := d.store.connector(name, "currents/"+strings.TrimPrefix(workspace, "/w/")+fmt.Sprint("/", len(name)))
	for k, v := range more {
		if k == "destination" {
			for k, v := range v.(jsonObject) {
				c["destination"].(jsonObject)[k] = v
			}
			continue
		}
		c[k] = v
	}
	return api(workspace) + "/connectors/" + d.api.passed(d.api.want(202, "POST", api(workspace)+"/connectors", c)).at("connector").(string)
}

// sends sends n events.
func (d *dashboard) sends(key string, n int) {
	d.t.Helper()
	var body strings.Builder
	for k := range n {
		body.WriteString(eventOf(fmt.Sprintf("dashboard-%d-%d", d.sent.Add(1), k), k))
	}
	if status, _, answer, err := d.post(key, "", []byte(body.String())); err != nil || status != 200 {
		d.t.Fatalf("status %d: %s %v", status, answer, err)
	}
}

// member is a window of a new administrator of every workspace and of the installation, who has chosen no language: their
// browser has.
func (d *dashboard) member(t *testing.T, email string, as screen) *window {
	t.Helper()
	var link string
	for _, workspace := range workspaces {
		link = must(t, d.env, "member", "add", "--email", email, "--workspace", workspace, "--role", "administrator", "--export-user-data", "--installation-administrator")
	}
	must(t, d.env, "member", "token", "--email", email, "--name", "script")
	in := d.open(t, as)
	in.comesBy(link, email)
	return in
}

// comesBy sets a password by the link that a command has printed, and signs in with it.
func (w *window) comesBy(printed, email string) {
	w.t.Helper()
	w.visit(strings.TrimSpace(printed[strings.LastIndex(printed, "/password/"):]))
	w.sound()
	w.fill("password", adaPassword)
	w.press(w.says("page.set_password"))
	w.press(w.says("page.sign_in"))
	w.signIn(email)
}

// signIn fills the form that is there.
func (w *window) signIn(email string) {
	w.t.Helper()
	w.fill("email", email)
	w.fill("password", adaPassword)
	w.press(w.says("page.sign_in"))
	w.at("^/(w/|workspaces|$)")
}
