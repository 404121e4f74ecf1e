package page

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
)

func TestTheFirstCurrentIsAskedForInEveryLanguage(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(w.at("/currents")).has(t, http.StatusOK, say(l, "page.currents_none"), say(l, "page.create_current"), w.at("/currents/new"))
		b.get(w.at("/currents/new")).has(t, http.StatusOK, say(l, "page.method"), `value="ada@acme.example"`, "111122223333", "mlr-", "users.messages.email.Open", say(l, "page.policy_later"))
	}
}

func TestThePolicyIsMadeWhileTheBucketIsTyped(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	for _, method := range []string{"role", "key"} {
		p := b.post(w.at("/currents/new"), "part", "paste", "method", method, "destination.bucket", "acme-currents", "destination.folder", "currents", "format-key", "terraform")
		p.has(t, http.StatusOK, `id="paste"`, "arn:aws:s3:::acme-currents", "s3://acme-currents/currents", `value="`+method+`" checked`, `name="format-key" value="terraform" checked`,
			`id="policy-role-cloudformation"`, "aws iam create-role", `id="policy-key-json"`, "aws iam create-access-key", `resource &#34;aws_iam_user&#34;`)
	}
	if p := b.post(w.at("/currents/new"), "part", "paste", "method", "key", "destination.bucket", "No Bucket"); strings.Contains(p.body, "policy-key-json") {
		t.Error("a policy for a bucket that cannot be")
	}
}

func TestAFormKeepsWhatWasTyped(t *testing.T) {
	w := newWorld(t)
	p := w.signedIn("en").post(w.at("/currents/new"), "name", `<b>"x"</b>`, "contact_email", "nobody", "method", "key", "destination.bucket", "Acme", "destination.secret_access_key", "canary-secret", "codec", "deflate", "flush.interval", "5m", "flush.events", "15000", "all", "on")
	p.has(t, http.StatusUnprocessableEntity, `value="&lt;b&gt;&#34;x&#34;&lt;/b&gt;"`, `value="nobody"`, `id="contact_email-error"`, `id="destination.bucket-error"`, `id="destination.access_key_id-error"`)
	if strings.Contains(p.body, "canary-secret") {
		t.Error("the page holds the secret")
	}
}

func TestALaunchLeadsToItsCheck(t *testing.T) {
	w := newWorld(t)
	p := w.signedIn("en").post(w.at("/currents/new"), "name", "warehouse", "contact_email", "data@acme.example", "method", "key", "destination.bucket", "acme-currents", "destination.folder", "currents",
		"destination.access_key_id", "AKIAIOSFODNN7EXAMPLE", "destination.secret_access_key", "s", "codec", "deflate", "flush.interval", "5m", "flush.events", "15000", "all", "on")
	p.has(t, http.StatusOK, `data-watch="1"`)
	if !strings.HasPrefix(p.at, w.at("/checks/")) {
		t.Errorf("at %s", p.at)
	}
}

func TestThePagesOfACurrent(t *testing.T) {
	w := newWorld(t)
	w.plane.Check = func(context.Context, bucket.CheckInput) (bucket.Report, error) { return bucket.Report{OK: true}, nil }
	name, contact, bucketName, key, value := "warehouse <i>", "data@acme.example", "acme-currents", "AKIAIOSFODNN7EXAMPLE", secret.New("s")
	c, err := w.plane.Launch(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number,
		control.Edit{Name: &name, ContactEmail: &contact, Bucket: &bucketName, AccessKeyID: &key, SecretAccessKey: &value, Events: []string{"all"}})
	must(t, err)
	at := w.at("/currents/" + string(c.Connector))
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(w.at("/currents")).has(t, http.StatusOK, at, say(l, "page.status_active"), "acme-currents/currents")
		b.get(at).has(t, http.StatusOK, "warehouse &lt;i&gt;", say(l, "page.waiting_first"), "s3://acme-currents/currents/")
		b.get(at+"/files").has(t, http.StatusOK, say(l, "page.files_none"))
		b.get(at+"/losses").has(t, http.StatusOK, say(l, "page.losses_none"))
		b.get(at+"/audit").has(t, http.StatusOK, say(l, "page.audit_empty"))
		b.get(at+"/checks").has(t, http.StatusOK, say(l, "page.step_passed"))
		b.post(at+"/pause").has(t, http.StatusOK, say(l, "page.says_paused"))
		b.post(at+"/resume").has(t, http.StatusOK, say(l, "page.says_active"))
	}
	w.signedIn("en").get(w.at("/currents/000000000000000000000000")).has(t, http.StatusNotFound)
}
