package page

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/web"
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
	id := w.launch("warehouse <i>")
	at := w.at("/currents/" + id)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(w.at("/currents")).has(t, http.StatusOK, at, say(l, "page.status_active"), "acme-currents/currents", `data-watch="10"`)
		b.get(at).has(t, http.StatusOK, "warehouse &lt;i&gt;", say(l, "page.waiting_first"), "s3://acme-currents/currents/", `action="`+at+`/test-events"`)
		b.get(at+"/files").has(t, http.StatusOK, say(l, "page.files_none"))
		b.get(at+"/files?hour=soon").has(t, http.StatusUnprocessableEntity, `id="hour-error"`, say(l, "page.file_hour_wrong"), say(l, "page.files_none"))
		b.get(at+"/files?type=no.such").has(t, http.StatusUnprocessableEntity, `id="type-error"`, say(l, "page.file_type_unknown", "type", "no.such"), say(l, "page.files_none"))
		for _, day := range []string{"garbage", "2020-01-01"} {
			b.get(at+"/audit?day="+day).has(t, http.StatusUnprocessableEntity, `id="day-error"`, say(l, "page.audit_day_wrong", "n", auditDays))
		}
		for _, hour := range []string{"2999-01-01T10", "2020-01-01T10"} {
			b.get(at+"/audit/"+hour).has(t, http.StatusNotFound, say(l, "page.none_hour"))
		}
		b.get(at+"?by=foo").has(t, http.StatusBadRequest, say(l, "page.current_range_wrong", "by", "foo"))
		b.post(at+"/replay", "from", "2999-01-01T00:00").has(t, http.StatusUnprocessableEntity, `id="from-error"`, say(l, "field.replay_future"))
		b.get(at).has(t, http.StatusOK, say(l, "page.current_first_comes", "time", l.Duration(5*time.Minute)))
		b.get(at+"/files?q=nowhere").has(t, http.StatusOK, say(l, "page.files_none"), say(l, "page.filter_clear")).lacks(t, say(l, "page.filter_none"))
		b.get(at+"/losses").has(t, http.StatusOK, say(l, "page.losses_none"))
		b.get(at+"/audit").has(t, http.StatusOK, say(l, "page.audit_empty"))
		b.get(at+"/checks").has(t, http.StatusOK, say(l, "page.step_passed"), say(l, "page.check_by_launch"))
		b.post(at+"/pause").has(t, http.StatusOK, say(l, "page.status_paused"))
		b.post(at+"/resume").has(t, http.StatusOK, say(l, "page.says_active"))
	}
	w.signedIn("en").get(w.at("/currents/000000000000000000000000")).has(t, http.StatusNotFound)
}

// theLog is the log of a world. Nothing stands in it but what the ledger says.
var theLog = eventlog.ID{1, 2, 3}

// deliver writes into the ledger that n files of one event each were delivered, and that as many events were dropped.
func (w *world) deliver(id string, n int) control.Connector {
	w.t.Helper()
	ctx := w.t.Context()
	c, err := w.store.Connector(ctx, w.acme.Number, control.ConnectorID(id))
	must(w.t, err)
	must(w.t, w.store.ApplyControl(ctx, theLog, 11, []control.LoggedRecord{{Offset: 10, Workspace: c.Workspace, Record: control.Record{Kind: control.RecordConfig, Config: &c.Config}}}))
	l := control.Lane{Connector: c.Connector, Destination: c.Destination.Number}
	p, err := w.store.Position(ctx, l)
	must(w.t, err)
	save := control.Save{Position: p}
	stream := control.Stream{Schema: 1, Hour: eventlog.HourOf(c.CreatedAt)}
	for i := range n {
		at := eventlog.Offset(11 + i)
		save.Files = append(save.Files, control.File{Lane: l, Key: fmt.Sprintf("a/event_type=users.messages.email.Open/<b>%d.avro", i), Stream: stream, EventType: "users.messages.email.Open",
			Log: theLog, First: at, Last: at, Events: 1, RawHash: [16]byte{0xab}, Size: 2048, Version: 1, Encoder: 1, Cut: "age", At: c.CreatedAt})
		save.Drops = append(save.Drops, control.Drop{Lane: l, Stream: stream, EventType: "users.messages.email.Click", Log: theLog, First: at, Last: at, Events: 1, Reason: control.DropGrace, Settled: true, At: c.CreatedAt})
		save.Position.Cursor = at + 1
	}
	_, err = w.store.Save(ctx, save)
	must(w.t, err)
	return c
}

func TestTheLedgerOfACurrentCanBeOpened(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	c := w.deliver(id, pageRows+5)
	at, hour := w.at("/currents/"+id), c.CreatedAt.UTC().Truncate(time.Hour)
	file := regexp.MustCompile(`href="(` + at + `/files/[^"]+)"`)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		p := b.get(at).has(t, http.StatusOK, say(l, "page.current_types"), "users.messages.email.Open", `class="plane"`, say(l, "page.current_days"), l.Bytes(2048*(pageRows+5)))
		p.lacks(t, say(l, "page.waiting_first"))
		for _, by := range []string{"minute", "hour", "day"} {
			b.get(at+"?by="+by).has(t, http.StatusOK, `class="plane"`)
		}
		p = b.get(at+"/files").has(t, http.StatusOK, "&lt;b&gt;54.avro", say(l, "page.cut_age"), say(l, "page.next"))
		p.lacks(t, "<b>54", "&lt;b&gt;4.avro")
		next := regexp.MustCompile(`href="([^"]+cursor=[^"]+)"`).FindStringSubmatch(p.body)[1]
		b.get(html.UnescapeString(next)).has(t, http.StatusOK, "&lt;b&gt;4.avro", say(l, "page.first_page"))
		b.get(at+"/files?q=54.avro").has(t, http.StatusOK, "&lt;b&gt;54.avro", say(l, "page.filter_clear")).lacks(t, "&lt;b&gt;53.avro")
		b.get(at+"/files?type=users.messages.email.Click").has(t, http.StatusOK, say(l, "page.filter_none"))
		b.get(at+"/files?hour="+hour.Format(hourInput)).has(t, http.StatusOK, "&lt;b&gt;54.avro")
		b.get(file.FindStringSubmatch(p.body)[1]).has(t, http.StatusOK, "s3://acme-currents/a/event_type=users.messages.email.Open/&lt;b&gt;54.avro", say(l, "page.file_checksum"), "ab000000", "aws s3 cp &#39;s3://", say(l, "page.cut_age"),
			"<title>&lt;b&gt;54.avro · warehouse · Millrace</title>")
		b.get(at+"/losses").has(t, http.StatusOK, "users.messages.email.Click", say(l, "drop.grace"), say(l, "page.loss_told"))
		b.get(at+"/audit").has(t, http.StatusOK, say(l, "page.balanced"), at+"/audit/"+hour.Format(hourAddress))
		b.get(at+"/audit/"+hour.Format(hourAddress)).has(t, http.StatusOK, say(l, "page.audit_open"), "users.messages.email.Open", say(l, "page.balanced"))
		b.get(at+"/audit/tomorrow").has(t, http.StatusNotFound)
		b.get(at+"/files/nonsense").has(t, http.StatusNotFound)
	}
}

func TestRecordsAreReadByWhoMayExportUserData(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	w.deliver(id, 1)
	at := w.at("/currents/" + id)
	file := regexp.MustCompile(`href="(` + at + `/files/[^"]+)"`).FindStringSubmatch(w.signedIn("en").get(at + "/files").body)[1]
	for _, l := range text.Languages() {
		w.signedIn(string(l)).get(file+"?records=1").has(t, http.StatusOK, say(l, "page.file_records_right")).lacks(t, say(l, "page.file_records_read"), say(l, "bucket.not_found"))
	}
	_, _, err := w.people.AddMember(control.WithActor(t.Context(), control.CommandLine()), control.AddMember{Email: "ada@acme.example", Workspace: w.acme.Number, ExportUserData: true})
	must(t, err)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(file).has(t, http.StatusOK, say(l, "page.file_records_text"), say(l, "page.file_records_read"))
		b.get(file+"?records=1").has(t, http.StatusOK, say(l, "bucket.not_found"), say(l, "bucket.not_found.hint")) // nobody put it there
	}
}

func TestACurrentThatFailsSaysWhyInTheLanguageOfThePage(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	c := w.deliver(id, 1)
	since := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	h := control.Health{Lane: control.Lane{Connector: c.Connector, Destination: 1}, State: control.LaneFailing, Since: since, Episode: since, Problem: "bad_secret", Message: "AccessDenied, <they> said.", Said: "User <u> is not authorized."}
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		must(t, w.store.SaveHealth(t.Context(), h))
		b.get(w.at("/currents")).has(t, http.StatusOK, say(l, "page.currents_failing", "n", 1), say(l, "bucket.bad_secret"))
		b.get(w.at("/currents/"+id)).has(t, http.StatusOK, say(l, "bucket.bad_secret"), `role="alert"`, l.Time(since.Add(36*time.Hour), time.UTC), say(l, "page.check_now"), `href="`+w.at("/currents/"+id)+`/credentials"`, say(l, "page.notice_details")+`</summary><p class="mono small" lang="en">AccessDenied, &lt;they&gt; said.</p>`,
			say(l, "page.form_store_said")+` <q lang="en">User &lt;u&gt; is not authorized.</q>`)
		denied := h
		denied.Problem = "access_denied"
		must(t, w.store.SaveHealth(t.Context(), denied))
		b.get(w.at("/currents/"+id)).has(t, http.StatusOK, say(l, "bucket.access_denied"), `href="`+w.at("/currents/"+id)+`/settings#paste"`).lacks(t, `class="button " href="`+w.at("/currents/"+id)+`/credentials"`)
		b.get(w.at("/currents/"+id+"/settings")).has(t, http.StatusOK, `id="paste"`)
		slow := h
		slow.State, slow.Problem, slow.Episode = control.LaneRetrying, "of_another_version", time.Time{}
		must(t, w.store.SaveHealth(t.Context(), slow))
		b.get(w.at("/currents")).has(t, http.StatusOK, say(l, "page.current_delayed", "n", 1), say(l, "bucket.unknown"))
		b.get(w.at("/currents/"+id)).has(t, http.StatusOK, say(l, "bucket.unknown"), say(l, "page.current_nothing_lost"))
	}
}

// A test Current whose cap is used up does not say that it delivers.
func TestATestCurrentOverItsCapSaysWhatItDropsAndLeadsToTheUpgrade(t *testing.T) {
	w := newWorld(t)
	id := w.launch("trial")
	at := w.at("/currents/" + id)
	c := w.deliver(id, 3)
	ctx := t.Context()
	c.Test = true
	must(t, w.store.UpdateConnector(ctx, c, nil))
	l := control.Lane{Connector: c.Connector, Destination: 1}
	must(t, w.store.SaveHealth(ctx, control.Health{Lane: l, State: control.LaneActive, Since: c.CreatedAt}))
	w.signedIn("en").get(at).has(t, http.StatusOK, say(text.English, "page.says_active")).lacks(t, say(text.English, "page.capped"))
	p, err := w.store.Position(ctx, l)
	must(t, err)
	p.Cursor = 60
	_, err = w.store.Save(ctx, control.Save{Position: p,
		Files: []control.File{{Lane: l, Key: "more", Stream: control.Stream{Schema: 1, Hour: eventlog.HourOf(c.CreatedAt)}, EventType: "users.messages.email.Open", Log: theLog, First: 20, Last: 26, Events: 7, Size: 1, Version: 1, Cut: "age", At: c.CreatedAt}},
		Drops: []control.Drop{{Lane: l, Stream: control.Stream{Schema: 1, Hour: eventlog.HourOf(c.CreatedAt)}, EventType: "users.messages.email.Open", Log: theLog, First: 30, Last: 41, Events: 12, Reason: control.DropCap, Settled: true, At: c.CreatedAt}}})
	must(t, err)
	viewer := w.joined(control.Viewer, "en")
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(at).has(t, http.StatusOK, say(l, "page.says_capped", "n", 12), say(l, "page.capped_text", "n", 10, "time", l.Duration(7*24*time.Hour)), `href="`+at+`/losses">`+say(l, "page.says_capped", "n", 12),
			`class="button primary" href="`+at+`/upgrade"`).lacks(t, say(l, "page.says_active"))
		b.get(w.at("/currents")).has(t, http.StatusOK, say(l, "page.currents_capped", "n", 1), say(l, "page.status_capped"))
		b.get(w.at("")).has(t, http.StatusOK, say(l, "page.currents_capped", "n", 1))
	}
	viewer.get(at).has(t, http.StatusOK, say(text.English, "page.capped")).lacks(t, at+"/upgrade")
}

func TestATimeThatCameWhileThePageWasMadeIsNow(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, l := range text.Languages() {
		v := &visit{lang: l, zone: time.UTC, now: at}
		for ago, want := range map[time.Duration]string{-time.Second: say(l, "page.just_now"), 0: say(l, "page.just_now"), 5 * time.Second: say(l, "page.ago", "time", l.Duration(5*time.Second)), -time.Hour: l.Time(at.Add(time.Hour), time.UTC)} {
			if got := v.moment(at.Add(-ago)).Text; got != want {
				t.Errorf("%s: %s ago is said as %q, want %q", l, ago, got, want)
			}
		}
	}
}

func TestManyCurrentsAreSearchedAndTurnedOver(t *testing.T) {
	w := newWorld(t)
	for i := range listRows + 10 {
		w.launchIn(fmt.Sprintf("current %02d", i), fmt.Sprintf("folder-%02d", i))
	}
	b := w.signedIn("en")
	b.get(w.at("/currents")).has(t, http.StatusOK, "current 00", "current 49", "60 Currents are delivering").lacks(t, ">current 50<")
	b.get(w.at("/currents?page=2")).has(t, http.StatusOK, "current 50", "current 59", say(text.English, "page.first_page")).lacks(t, ">current 49<")
	b.get(w.at("/currents?page=900")).has(t, http.StatusOK)
	b.get(w.at("/currents?q=FOLDER-57")).has(t, http.StatusOK, "current 57").lacks(t, ">current 00<")
	b.get(w.at("/currents?q=%3Ci%3E")).has(t, http.StatusOK, say(text.English, "page.filter_none"), `value="&lt;i&gt;"`)
	b.get(w.at("/currents?state=failing")).has(t, http.StatusOK, say(text.English, "page.filter_none"))
}

func TestAViewerIsOfferedNoActions(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	_, _, err := w.people.AddMember(control.WithActor(t.Context(), control.CommandLine()), control.AddMember{Email: "vic@acme.example", Password: secret.New(password), Workspace: w.acme.Number, Role: control.Viewer})
	must(t, err)
	b := w.browser("en")
	b.post("/sign-in?next=/_components", "email", "vic@acme.example", "password", password)
	for _, path := range []string{"", "/currents", "/currents/" + id, "/currents/" + id + "/files"} {
		b.get(w.at(path)).has(t, http.StatusOK).lacks(t, "/test-events", "/pause", "/currents/new")
	}
	b.post(w.at("/currents/"+id+"/pause")).has(t, http.StatusForbidden)
}

// A check that waits behind another says so, and the Current's pages name those that have not ended.
func TestAChangeThatWaitsNamesTheOneThatGoesFirst(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	_, err := w.store.(interface {
		AcquireLease(ctx context.Context, log eventlog.ID, owner string, life time.Duration) (bool, error)
	}).AcquireLease(t.Context(), theLog, "us", time.Hour)
	must(t, err)
	at := w.at("/currents/" + id)
	for i, l := range text.Languages() {
		b := w.signedIn(string(l))
		rotate := func(key string) seen {
			return b.post(at+"/credentials", "method", "key", "destination.access_key_id", key, "destination.secret_access_key", "s")
		}
		first := rotate(fmt.Sprintf("AKIAFIRST%d", i))
		first.has(t, http.StatusOK, say(l, "page.form_checking_says"))
		second := rotate(fmt.Sprintf("AKIASECOND%d", i))
		second.has(t, http.StatusOK, `data-watch="1"`, say(l, "check.behind"), say(l, "page.form_check_waits"), `href="`+first.at+`"`)
		second.lacks(t, say(l, "page.form_checking_says"))
		first.lacks(t, say(l, "page.form_checking_role"))                            // it is by access key
		b.post(at+"/check").has(t, http.StatusOK, say(l, "page.form_checking_says")) // which takes nothing from the others
		for _, page := range []string{"", "/checks"} {
			b.get(at+page).has(t, http.StatusOK, say(l, "page.under_way_edit"), say(l, "page.under_way_check"), say(l, "check.behind"), `href="`+first.at+`"`, `href="`+second.at+`"`)
		}
		w.work()
		b.get(at+"/checks").lacks(t, say(l, "page.under_way_edit"))
	}
}

// The lane takes the end of a pause up a moment later, and reads what it let go of: until then all of it waits.
func TestAResumedCurrentSaysWhatWaitsForIt(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	c := w.deliver(id, 0)
	must(t, w.store.SaveHealth(t.Context(), control.Health{Lane: control.Lane{Connector: c.Connector, Destination: c.Destination.Number}, State: control.LanePaused, Since: time.Now().Add(-time.Hour)}))
	for _, l := range text.Languages() {
		w.signedIn(string(l)).get(w.at("/currents/"+id)).has(t, http.StatusOK, say(l, "page.current_resuming"), say(l, "page.current_kept", "n", 0)).lacks(t, say(l, "page.current_idle_says"))
	}
}

// Counts are saved every few seconds, and what waits is known at once: a Current never accepted fewer events than wait for it.
func TestWhatWaitsWasAcceptedThoughItIsNotCountedYet(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	at := w.at("/currents/" + id)
	w.held = map[control.ConnectorID]web.Waiting{control.ConnectorID(id): {Events: 118, Oldest: time.Now().Add(-time.Second)}}
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(at).has(t, http.StatusOK, say(l, "page.current_hour_says", "n", 118), say(l, "page.current_waiting_says", "n", 118), `<a href="`+at+`/audit">118</a></dd></div><div><dt>`+say(l, "page.current_delivered_day")).
			lacks(t, say(l, "page.waiting_first"))
		if n := strings.Count(b.get(w.at("/currents")).body, ">118<"); n != 2 {
			t.Errorf("%s: the list says 118 %d times, want it as waiting and as accepted", l, n)
		}
	}
	for _, x := range []struct {
		says             string
		counted, waiting int64
		lag              float64
		within           time.Duration
		want             int64
	}{
		{"all is counted", 200, 118, 30, time.Hour, 200},
		{"some is not counted yet", 6, 18, 30, time.Hour, 18},
		{"what waits may be older", 6, 18, 3601, time.Hour, 6},
		{"nobody knows how old what waits is", 6, 18, 0, time.Hour, 6},
	} {
		if got := accepted(x.counted, &client.Delivery{Waiting: &x.waiting, LagSeconds: &x.lag}, x.within); got != x.want {
			t.Errorf("%s: %d, want %d", x.says, got, x.want)
		}
	}
}

// A deleted Current delivers for a minute: until then it does not say that all is done.
func TestADeletedCurrentSaysWhatItStillDelivers(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	must(t, w.plane.Delete(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.ConnectorID(id)))
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		w.held = map[control.ConnectorID]web.Waiting{control.ConnectorID(id): {Events: 118, Oldest: time.Now().Add(-time.Minute)}}
		b.get(w.at("/currents/"+id)).has(t, http.StatusOK, say(l, "page.current_ending", "n", 118)).lacks(t, say(l, "page.says_deleted"))
		w.held = nil
		b.get(w.at("/currents/"+id)).has(t, http.StatusOK, say(l, "page.says_deleted"))
	}
}

func TestAnAddressBesideTheListKeepsItsPageAndShowsTheFirst(t *testing.T) {
	w := newWorld(t)
	w.installs()
	current := w.at("/currents/" + w.launch("warehouse"))
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		for _, at := range []string{current + "/files", current + "/losses", current + "/checks", w.at("/notices"), w.at("/settings/changes"), w.at("/segments"), "/installation/changes"} {
			first := b.get(at).has(t, http.StatusOK)
			heading := regexp.MustCompile(`(?s)<h1.*?</h1>`).FindString(first.body)
			p := b.get(at + "?q=x&kind=member&cursor=zzz")
			p.has(t, http.StatusNotFound, heading, say(l, "page.astray"), say(l, "page.astray_text"), `href="`+at+`?kind=member&amp;q=x"`)
		}
		b.get(current+"/files?cursor=zzz").has(t, http.StatusNotFound, say(l, "page.tab_files"), `href="`+current+`/audit"`, `href="`+current+`/files"`)
	}
}

func TestAPageOfFilesIsNotEndlessOnAPhone(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	w.deliver(id, 120)
	p := w.signedIn("en").get(w.at("/currents/"+id+"/files")).has(t, http.StatusOK, `class="table stacks dense"`, `rel="next"`)
	if n := strings.Count(p.body, ".avro</div>"); n < 10 || n > 50 {
		t.Errorf("%d files on a page", n)
	}
}
