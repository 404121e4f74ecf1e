package control_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

func TestExportsWebhooksAndWhatIsSharedAreRead(t *testing.T) {
	m, err := parse(`workspaces:
- name: acme
  language: es
  webhooks:
  - {url: "https://x.example", secret_file: secret.txt, kinds: []}
  - {url: "https://y.example"}
  connectors:
  - {name: v, destination: {same_as: w, folder: g}}
  - {name: w, deleted: true}
  - {name: x, deleted: false, destination: {role_arn: "arn:x"}}
  data_export: {bucket: b, region: r, endpoint: "https://s.example", path_style: true, access_key_id_env: ACME_S3_SECRET, secret_access_key_env: ACME_S3_SECRET, role_arn: "arn:y"}
`)
	if err != nil {
		t.Fatal(err)
	}
	w := m.Workspaces[0]
	h := w.Webhooks
	if *w.Language != "es" || h[0].URL != "https://x.example" || h[0].Secret.Reveal() != "from-file" || h[0].Kinds == nil || h[1].Kinds != nil || !h[1].Secret.Empty() {
		t.Errorf("webhooks %+v", h)
	}
	c := w.Connectors
	if c[0].SameAs != "w" || *c[0].Folder != "g" || c[0].Deleted || !c[1].Deleted || c[2].Deleted || *c[2].RoleARN != "arn:x" || c[1].RoleARN != nil {
		t.Errorf("connectors %+v", c)
	}
	d := w.DataExport
	if *d.Bucket != "b" || *d.Region != "r" || *d.Endpoint != "https://s.example" || !*d.PathStyle || *d.AccessKeyID != "hunter2hunter2" ||
		d.SecretAccessKey.Reveal() != "hunter2hunter2" || *d.RoleARN != "arn:y" {
		t.Errorf("data export %+v", d)
	}
	if d.Deleted {
		t.Error("a data export is taken for one that is to go")
	}
	if strings.Contains(fmt.Sprintf("%+v", m), "from-file") {
		t.Error("printing the file's wishes shows a secret")
	}
}

func TestMistakesInTheNewKeysAreAllNamedWithTheirPlaces(t *testing.T) {
	_, err := parse(`workspaces:
- name: acme
  webhooks:
  - {url: "https://x.example", secret: a, secret_env: ACME_S3_SECRET}
  - {uri: "https://y.example"}
  - {url: "HTTPS://X.example/"}
  data_export: {bucket: b, folder: f}
  connectors: [{name: w, deleted: maybe, destination: {sameas: v}}]
`)
	var got []string
	e := fault.As(err)
	if e == nil {
		t.Fatal("no error")
	}
	for _, p := range e.Fields {
		_, at, _ := strings.Cut(p.Field, ": ")
		got = append(got, at+" "+p.Code)
	}
	for _, want := range []string{
		"workspaces[0].webhooks[0].secret_env duplicate", "workspaces[0].webhooks[1].uri unknown_key", "workspaces[0].webhooks[2].url duplicate",
		"workspaces[0].data_export.folder unknown_key", "workspaces[0].connectors[0].deleted wrong_type", "workspaces[0].connectors[0].destination.sameas unknown_key",
	} {
		found := false
		for _, g := range got {
			found = found || g == want
		}
		if !found {
			t.Errorf("missing %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	if !strings.Contains(fmt.Sprint(e.Fields), `Did you mean "same_as"?`) {
		t.Error("the nearest key is not named")
	}
}
