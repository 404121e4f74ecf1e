package e2e_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/vfs"
)

// begins brings the first administrator in and makes a workspace, by pages alone, and ends on the form of a Current.
func (s *server) begins(t *testing.T, as screen) *window {
	t.Helper()
	w := s.open(t, as)
	w.visit(s.firstLink(t))
	w.fill("email", ada)
	w.fill("name", "Ada")
	w.fill("password", adaPassword)
	w.press(w.says("page.join"))
	w.press(w.says("page.spaces_create"))
	w.fill("name", "acme")
	w.press(w.says("page.spaces_create"))
	w.at("^/w/[0-9]+")
	w.press(w.says("page.create_current"))
	w.at("/currents/new$")
	return w
}

// warehouse fills the form of a Current that signs in with the store's key.
func (w *window) warehouse(s store) {
	w.t.Helper()
	w.fill("name", "warehouse")
	w.fill("contact_email", "data@acme.example")
	w.choose("method", "key")
	w.fill("destination.access_key_id", s.keyID)
	w.fill("destination.secret_access_key", s.secret)
	w.fill("destination.bucket", s.bucket)
	w.unfold(w.says("page.form_more"))
	w.fill("destination.endpoint", s.endpoint)
	w.choose("destination.path_style", "on")
	w.fill("destination.region", "us-east-1")
	w.pick("flush.interval", "10s")
	w.fill("flush.events", "100")
}

// unfold opens what is folded under these words.
func (w *window) unfold(words string) {
	w.t.Helper()
	if !js[bool](w, control(words)+".parentElement.open") {
		w.press(words)
	}
}

// pick chooses an option by its value, with the keyboard: its text is typed.
func (w *window) pick(name, value string) {
	w.t.Helper()
	field := "document.getElementsByName(" + quoted(name) + ")[0]"
	w.until("an option "+value+" of "+name, field+"?.querySelector("+quoted(`option[value="`+value+`"]`)+")")
	label := js[string](w, field+".querySelector("+quoted(`option[value="`+value+`"]`)+").text")
	js[bool](w, field+".focus(), true")
	w.keys(label)
	if got := js[string](w, field+".value"); got != value {
		w.t.Fatalf("%s is at %q instead of %q", name, got, value)
	}
}

// current is the path of the Current whose page the window is at.
func (w *window) current() string {
	w.t.Helper()
	w.at("^/w/[0-9]+/currents/[0-9a-f]{24}$")
	return w.path()
}

// From the link of the first start to files in a bucket and back from a failure, by pages alone, with a key: in one language
// whole; the pages of the others are walked.
func TestACurrentByKeyFromFirstSignInToMended(t *testing.T) {
	t.Parallel()
	d := newDashboard(t, "MILLRACE_GRACE_PERIOD=3m") // a twentieth of it is how often a bucket that fails is tried
	w := d.begins(t, screen{})

	// What is wrong is said beside its field, and nothing that was typed is lost but the secret.
	w.press(w.says("page.launch"))
	w.sees(w.says("page.form_wrong"))
	w.sound()
	w.warehouse(d.store)
	w.sees("arn:aws:s3:::" + d.store.bucket) // the policy, filled in while the bucket is typed
	w.fill("destination.secret_access_key", "not the secret")
	w.press(w.says("page.form_transformation_add"))
	w.fill("transformation", "email_address")
	w.pick("transformation_action", "hash")
	w.press(w.says("page.launch"))

	// The check shows its steps, and after a failure the form is as it was.
	w.at("/checks/")
	w.sees(w.says("page.form_back"))
	w.sound()
	w.press(w.says("page.form_back"))
	w.at("/currents/new")
	if got := js[string](w, `document.getElementsByName("destination.bucket")[0].value`); got != d.store.bucket {
		t.Errorf("the form has come back with the bucket %q", got)
	}
	if strings.Contains(js[string](w, "document.documentElement.outerHTML"), "not the secret") {
		t.Error("a secret has come back")
	}
	w.sound()
	w.fill("destination.secret_access_key", d.store.secret)
	w.press(w.says("page.launch"))
	current := w.current()
	w.sees(w.says("page.form_launched"))
	w.sound()

	// Test events: in the bucket, as an independent reader has them, with the field hashed.
	w.press(w.says("page.send_test_events"))
	w.at("/jobs/")
	w.sound()
	test := d.waits(func(r map[string]any) bool {
		return strings.HasPrefix(r["id"].(string), "test-") && r["email_address"] != nil
	})
	if hash, _ := only1(test["email_address"]).(string); len(hash) != 64 || strings.Contains(hash, "@") {
		t.Errorf("the field is delivered as %v", test["email_address"])
	}

	// The right is taken away, the page says so, and says when it is mended.
	workspace := current[:strings.Index(current, "/currents")]
	w.visit(workspace + "/settings/keys/new")
	w.fill("name", "producer")
	w.choose("scopes", "events.write")
	w.press(w.says("page.create_key"))
	w.until("the key", `document.querySelector("code")?.textContent.startsWith("mr_")`)
	w.sound()
	key := js[string](w, `document.querySelector("code").textContent`)
	d.sends(key, 30)
	d.waits(func(r map[string]any) bool { return strings.HasPrefix(r["id"].(string), "dashboard-") })

	d.store.versity.DeletePolicy(t, "currents")
	time.Sleep(iamDelay)
	w.visit(current)
	d.sends(key, 30)
	w.sees(w.says("page.status_failing")) // by itself: the page asks again
	w.visit(current)
	w.sees(w.says("page.check_now"))
	w.sound()
	w.press(w.says("page.check_now"))
	w.at("/checks/")
	w.sees("s3:ListBucket")
	w.sees(w.says("page.form_remedy"))
	w.sound()
	d.store.versity.SetPolicy(t, "currents", buckettest.CurrentsPolicy(d.store.bucket))
	time.Sleep(iamDelay)
	w.visit(current)
	w.press(w.says("page.check_now"))
	w.sees(w.says("page.form_check_says"))
	w.sound()
	w.visit(current)
	w.until("that it delivers again", `!document.querySelector("main").innerText.includes(`+quoted(w.says("page.status_failing"))+`)`)
	w.visit(current + "/audit")
	w.sound()

	// Deleting asks for the name, and nothing happens without it.
	w.visit(current + "/delete")
	w.sound()
	w.press(w.says("page.form_delete"))
	w.sees(w.says("page.confirm_wrong", "name", "warehouse"))
	w.fill("confirm", "warehouse")
	w.press(w.says("page.form_delete"))
	w.at("/currents$")
	w.sees(w.says("page.form_deleted", "name", "warehouse"))
}

// only1 is what an Avro union of null and something holds.
func only1(v any) any {
	if union, ok := v.(map[string]any); ok {
		for _, x := range union {
			return x
		}
	}
	return v
}

// waits reads what is in the bucket until a record is like that, and gives it.
func (d *dashboard) waits(like func(map[string]any) bool) (found map[string]any) {
	d.t.Helper()
	read := map[string]bool{}
	for deadline := time.Now().Add(time.Minute); found == nil; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("it does not come into the bucket, which has %d files", len(read))
		}
		files, err := filepath.Glob(filepath.Join(d.store.root, "currents", "*", "*", "*", "*", "*", "*.avro"))
		if err != nil {
			d.t.Fatal(err)
		}
		for _, name := range files {
			if read[name] {
				continue
			}
			read[name] = true
			b, err := os.ReadFile(name)
			if err != nil {
				d.t.Fatal(err)
			}
			all, err := readGoavro(b)
			if err != nil {
				d.t.Fatal(err)
			}
			for _, r := range all {
				if like(r) {
					found = r
				}
			}
		}
	}
	return found
}

// A Current by role: account id, external id, trust policy and policy are taken from the page, as they stand there, and are
// all that the other side needs.
func TestACurrentByRole(t *testing.T) {
	t.Parallel()
	const (
		account = "111122223333"
		arn     = "arn:aws:iam::444455556666:role/exports/millrace"
	)
	sts, err := bucketserver.NewSTS(bucketserver.STSConfig{
		Users: map[string]bucketserver.User{"AKIABASE": {ARN: "arn:aws:iam::" + account + ":user/millrace", Secret: secret.New("base-secret")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s3, err := bucketserver.New(bucketserver.Config{Files: vfs.OS(t.TempDir()), STS: sts})
	if err != nil {
		t.Fatal(err)
	}
	if err := s3.CreateBucket("acme-lake"); err != nil {
		t.Fatal(err)
	}
	aws := httptest.NewServer(s3)
	t.Cleanup(aws.Close)
	s := newServer(t, t.TempDir(), "MILLRACE_STS_ENDPOINT="+aws.URL, "MILLRACE_AWS_ACCOUNT_ID="+account, "MILLRACE_ROLE_RETRY=30s",
		"AWS_ACCESS_KEY_ID=AKIABASE", "AWS_SECRET_ACCESS_KEY=base-secret", "AWS_REGION=us-east-1")
	s.start()
	w := s.begins(t, screen{lang: text.Portuguese})
	w.fill("name", "lake")
	w.fill("destination.role_arn", arn)
	w.fill("destination.bucket", "acme-lake")
	w.unfold(w.says("page.form_more"))
	w.fill("destination.endpoint", aws.URL)
	w.choose("destination.path_style", "on")
	w.fill("destination.region", "us-east-1")
	w.sees(account, "arn:aws:s3:::acme-lake")
	trust, policy := js[string](w, `document.getElementById("trust-json").textContent`), js[string](w, `[...document.querySelectorAll("code")].map((c) => c.textContent).find((c) => c.includes("s3:PutObject") && c.startsWith("{"))`)
	external := js[string](w, `document.getElementById("external-id").textContent`)
	if !json.Valid([]byte(trust)) || !json.Valid([]byte(policy)) || !strings.Contains(trust, external) || !strings.HasPrefix(external, "mlr-") {
		t.Fatalf("the page has %s\n%s\n%s", external, trust, policy)
	}
	w.press(w.says("page.launch"))
	w.at("/checks/")
	w.sees("sts:AssumeRole") // which is tried again: roles take a moment to be known everywhere
	w.sound()
	if err := sts.SetRole(bucketserver.Role{ARN: arn, Trust: trust, Policy: policy}); err != nil {
		t.Fatal(err)
	}
	w.current()
	w.sees(w.says("page.form_launched"))
	w.sound()
}

// The whole way with the keyboard alone: what has the focus shows it, Tab reaches everything in order, and nothing keeps it.
func TestTheKeyboardIsEnough(t *testing.T) {
	t.Parallel()
	d := newDashboard(t)
	w := d.open(t, screen{lang: text.Spanish})
	w.visit(d.firstLink(t))
	w.tabTo("email")
	w.keys(ada)
	w.tabTo("name")
	w.keys("Ada")
	w.tabTo("password")
	w.keys(adaPassword, kb.Enter)
	w.at("^/workspaces$")
	w.tabTo(w.says("page.spaces_create"))
	w.keys(kb.Enter)
	w.tabTo("name")
	w.keys("acme", kb.Enter)
	w.at("^/w/[0-9]+")
	w.tabTo(w.says("page.create_current"))
	w.keys(kb.Enter)
	w.at("/currents/new$")
	w.tabTo("name")
	w.keys("warehouse")
	w.tabTo("method")
	w.keys(kb.ArrowDown) // the radio buttons: from role to key
	w.tabTo("destination.access_key_id")
	w.keys(d.store.keyID)
	w.tabTo("destination.secret_access_key")
	w.keys(d.store.secret)
	w.tabTo("destination.bucket")
	w.keys(d.store.bucket)
	w.tabTo(w.says("page.form_more"))
	w.keys(kb.Enter)
	w.tabTo("destination.endpoint")
	w.keys(d.store.endpoint)
	w.tabTo("destination.path_style")
	w.keys(" ")
	w.tabTo(w.says("page.launch"))
	w.keys(kb.Enter)
	w.current()

	// A menu opens, is gone through, and closes to where it was.
	w.tabTo(w.says("page.more_actions"))
	w.keys(kb.Enter)
	w.tabTo(w.says("page.pause"))
	w.keys(kb.Escape)
	w.until("the focus on the menu", focused+" === "+quoted(flat(w.says("page.more_actions"))))
	w.keys(kb.Enter)
	w.tabTo(w.says("page.pause"))
	w.keys(kb.Enter)
	w.sees(w.says("page.form_paused"))
}

// focused is what has the focus: the name of a field, or the words on anything else.
const focused = `((e) => e.name && !(e instanceof HTMLButtonElement) ? e.name : (e.getAttribute("aria-label") ?? e.innerText).replace(/\s+/g, " ").trim())(document.activeElement)`

// tabTo presses Tab until the field of that name, or what has these words on it, has the focus, and shows it.
func (w *window) tabTo(want string) {
	w.t.Helper()
	w.until("the page", `document.readyState === "complete"`)
	var passed []string
	for range 300 {
		w.keys(kb.Tab)
		now := js[string](w, focused)
		if now == flat(want) {
			if !js[bool](w, `(() => { const e = document.activeElement, shown = (x) => { const s = getComputedStyle(x); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2; };
			  return e.checkVisibility() && (shown(e) || shown(e.parentElement)); })()`) {
				w.t.Errorf("%s: nothing shows that %q has the focus", w.path(), want)
			}
			return
		}
		passed = append(passed, now)
	}
	w.t.Fatalf("%s: Tab does not reach %q but %q", w.path(), want, passed[len(passed)-60:])
}

// Without script everything works: pages ask again by themselves, and parts of forms are made anew by buttons.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	d := newDashboard(t)
	w := d.begins(t, screen{noScript: true, width: 360})
	w.warehouse(d.store)
	w.press(w.says("page.form_transformation_add"))
	w.fill("transformation", "email_address")
	w.fill("destination.secret_access_key", d.store.secret) // which no page gives back
	w.press(w.says("page.launch"))
	w.current()
	w.sound()
	w.press(w.says("page.more_actions"))
	w.press(w.says("page.pause"))
	w.sees(w.says("page.form_paused"))
	w.sound()
}

// A session that has ended leads to signing in, and from there to where one was; what had been typed into a form is not sent
// twice, and who presses twice does it once.
func TestSessionsEndAndButtonsArePressedTwice(t *testing.T) {
	t.Parallel()
	d := newDashboard(t)
	w := d.begins(t, screen{})
	w.warehouse(d.store)
	w.until("the button", control(w.says("page.launch")))
	js[bool](w, control(w.says("page.launch"))+`.form.dispatchEvent(new Event("submit", {cancelable: true})), true`)
	w.press(w.says("page.launch")) // the second of two presses does nothing
	w.visit(w.path())
	js[bool](w, "true")
	w.warehouse(d.store)
	// Two requests with the same form, as a browser sends them that is impatient.
	js[bool](w, `(async () => { const f = document.querySelector("main form"), send = () => fetch(f.action || location.href, {method: "POST", body: new URLSearchParams(new FormData(f))}); await Promise.all([send(), send()]); return true; })()`)
	list := w.path()[:strings.LastIndex(w.path(), "/")]
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		w.visit(list)
		if n := strings.Count(w.read(), "warehouse"); n == 1 {
			break
		} else if n > 1 || time.Now().After(deadline) {
			t.Fatalf("the Current is there %d times", n)
		}
	}
	w.press("warehouse")
	current := w.current()

	other := d.signsIn(t, screen{})
	other.visit(current + "/files")
	w.visit("/me/security")
	w.press(w.says("page.me_sessions_end"))
	w.sees(w.says("page.me_sessions_ended"))
	other.visit(current + "/audit")
	other.at("^/sign-in")
	other.signIn(ada)
	other.at("/audit$")
}
