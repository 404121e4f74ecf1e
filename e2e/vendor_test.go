package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/client"
)

// A client library of Braze's REST API as it is kept by others (braze-api, by braze-community, MIT) works against ours:
// tracking, identity, exports of users, segments, campaigns and Canvases. What it is to find stands in testdata/vendor.cjs.
func TestAnUnmodifiedClientOfTheVendorsAPIWorks(t *testing.T) {
	if !long() {
		return // it needs Node.js and the network; make soak
	}
	dir := t.TempDir()
	install(t, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "braze-api@2.13.4")
	script, err := os.ReadFile("testdata/vendor.cjs")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "vendor.cjs") // beside what it needs
	if err := os.WriteFile(copied, script, 0o600); err != nil {
		t.Fatal(err)
	}

	const key = "mr_e2e_vendor_0123456789abcdefghijklmno"
	store := startStore(t)
	manifest, env := store.manifestOf([]tenant{{name: "acme", key: key}})
	const scopes = "events.write, users.track, users.alias.new, users.alias.update, users.identify, users.merge, users.delete, users.external_ids.rename, users.external_ids.remove, " +
		"users.export.ids, users.export.segment, users.export.global_control_group, segments.list, segments.details, segments.data_series, campaigns.list, campaigns.details, canvas.list"
	manifest = strings.Replace(manifest, "[events.write]", "["+scopes+"]", 1)
	s := newServer(t, filepath.Join(dir, "data"), append(quick, "MILLRACE_PROFILES=true")...)
	must(t, append(s.env, env...), "apply", "-f", write(t, "apply.yaml", manifest))
	s.start()
	base := "http://" + s.addr

	const email = "root@mill.example"
	link := regexp.MustCompile(`link=\S*/start/(\S+)`).FindStringSubmatch(s.output())
	if link == nil {
		t.Fatal("the first start offers no link")
	}
	accept, err := json.Marshal(client.Accept{Token: link[1], Email: email, Name: "Root", Password: "seven green bottles"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.Post(base+"/api/v1/accept", "application/json", bytes.NewReader(accept))
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatal(a, err)
	}
	a.Body.Close()
	c := client.New(base, strings.TrimSpace(must(t, s.env, "member", "token", "--email", email, "--name", "vendor")))
	segment, err := c.CreateSegment(t.Context(), "acme", client.SegmentEdit{Name: new("Portugal"), Tags: &[]string{"eu"}, Analytics: new(true),
		Filter: &client.Filter{Attribute: &client.FilterCondition{Name: "country", OneOf: []string{"PT"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateWorkspace(t.Context(), "acme", client.WorkspaceEdit{ControlGroup: &[]client.BucketRange{{First: 0, Last: 9999}}}, ""); err != nil {
		t.Fatal(err)
	}
	events := `{"event_type":"users.messages.email.Send","user_id":"x","external_user_id":"x","email_address":"x@y.example","campaign_id":"c1","campaign_name":"Welcome","message_variation_id":"v1"}
{"event_type":"users.messages.email.Send","user_id":"x","external_user_id":"x","email_address":"x@y.example","canvas_id":"j1","canvas_name":"Journey","canvas_variation_id":"v2","canvas_step_id":"s1"}
`
	if status, accepted, answer, err := s.post(key, "", []byte(events)); err != nil || status != http.StatusOK || accepted != 2 {
		t.Fatal(status, answer, err)
	}
	node := exec.CommandContext(t.Context(), "node", copied, base, key, segment.ID)
	if out, err := node.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
