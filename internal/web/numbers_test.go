package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/millrace/millrace/client"
)

// numberExamples are those of rows about how much.
func (w *world) numberExamples() map[string]func(who string) example {
	at := func(path string) func(string) example { return func(string) example { return example{path: path} } }
	return map[string]func(who string) example{
		"getConnectorCounts": func(string) example {
			c := w.launched(w.acme)
			w.delivered(c, 5000, 1)
			return example{path: "/workspaces/acme/connectors/" + string(c.Connector) + "/counts?by=day&zone=America/Sao_Paulo"}
		},
		"getCounts":   at("/workspaces/acme/counts"),
		"getOverview": at("/workspaces/acme/overview"),
	}
}

func TestFilesAndLossesAreListedTheNewestFirst(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	w.delivered(c, 100, 3)
	at := acmes + "/" + string(c.Connector)
	keys := func(query string) (all []string) {
		t.Helper()
		var page client.Page[client.File]
		w.as(viewer, "GET", at+"/files?"+query, nil).read(200, &page)
		for _, f := range page.Items {
			all = append(all, f.Key)
		}
		return all
	}
	for query, want := range map[string]string{
		"": "key0 key1 key2", "order=newest": "key2 key1 key0", "order=newest&search=key1": "key1", "search=y2": "key2", "search=KEY": "",
		"search=s3://acme-currents/key0": "key0", "search=" + url.QueryEscape(`<script>"'%`): "",
	} {
		if got := strings.Join(keys(query), " "); got != want {
			t.Errorf("?%s: %s, want %s", query, got, want)
		}
	}
	w.as(viewer, "GET", at+"/files?order=best", nil).refused(422)
	var files client.Page[client.File]
	w.as(viewer, "GET", at+"/files?order=newest&limit=2", nil).read(200, &files)
	next := files.Next
	files = client.Page[client.File]{}
	w.as(viewer, "GET", at+"/files?order=newest&limit=2&cursor="+next, nil).read(200, &files)
	if len(files.Items) != 1 || files.Items[0].Key != "key0" || files.Next != "" {
		t.Errorf("the second page: %+v", files)
	}
	_, known := w.api.deps.Catalogue.Schema(1)
	if f := files.Items[0]; f.SchemaID != 1 || (len(f.Fingerprint) == 64) != known || f.Destination != 1 || f.Version != 1 || f.Adopted || f.Test {
		t.Errorf("%+v", f)
	}
	var losses client.Page[client.Loss]
	w.as(viewer, "GET", at+"/losses?order=newest", nil).read(200, &losses)
	if len(losses.Items) != 3 || losses.Items[0].First < losses.Items[2].First || losses.Items[0].ToldAt != nil {
		t.Errorf("%+v", losses)
	}
}
