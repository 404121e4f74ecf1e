package page

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

func TestEachKindOfNoticeIsOfferedOnce(t *testing.T) {
	var offered, all []string
	for _, g := range noticeKinds {
		for _, k := range g.kinds {
			offered = append(offered, k.name)
		}
	}
	for _, k := range control.NoticeKinds() {
		if !slices.Contains([]control.NoticeKind{control.NoticeDiskQuota, control.NoticeProfilesStill, control.NoticeSetAside}, k) { // these concern no workspace
			all = append(all, string(k))
		}
	}
	slices.Sort(offered)
	slices.Sort(all)
	if !slices.Equal(offered, all) {
		t.Errorf("offered are\n%q, there are\n%q", offered, all)
	}
}

func TestAWebhookIsMadeTriedAndDeleted(t *testing.T) {
	w := newWorld(t)
	untaken := fault.New(fault.Unavailable, "", "Untold.")
	secret := regexp.MustCompile(`mrw_[a-z0-9]{26}`)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		url := "https://hooks.acme.example/" + string(l)
		b.get(w.at("/settings/webhooks/new")).has(t, http.StatusOK, say(l, "page.kind_hour_complete"), say(l, "page.all_kinds_hint"))
		b.post(w.at("/settings/webhooks/new"), "url", `ftp://"x`, "kinds", "failing").
			has(t, http.StatusUnprocessableEntity, `id="url-error"`, say(l, "field.webhook_form"), `value="ftp://&#34;x"`, `value="failing" checked`)
		b.post(w.at("/settings/webhooks/new"), "url", url).has(t, http.StatusUnprocessableEntity, say(l, "page.no_kind"))
		b.post(w.at("/settings/webhooks/new"), "url", "").has(t, http.StatusUnprocessableEntity, `id="url-error"`, say(l, "field.webhook_needed"), say(l, "page.no_kind"))
		made := b.post(w.at("/settings/webhooks/new"), "url", url, "kinds", "failing", "kinds", "dropped").
			has(t, http.StatusCreated, say(l, "page.webhook_made_text"), "hmac.new(secret")
		if !secret.MatchString(made.body) {
			t.Error("the secret is not shown")
		}
		list := b.get(w.at("/settings/webhooks"))
		list.has(t, http.StatusOK, url, say(l, "page.kind_failing")+" · "+say(l, "page.kind_dropped"))
		at := linkTo(t, list, w.at("/settings/webhooks"))
		p := b.get(at)
		p.has(t, http.StatusOK, url, say(l, "page.signature"))
		if secret.MatchString(p.body) {
			t.Error("the secret is shown again")
		}
		w.call = nil
		b.post(at+"/test").has(t, http.StatusOK, say(l, "page.told_taken", "address", url))
		w.call = func(context.Context, control.Webhook) error { return untaken }
		untaken.Params = fault.Params{control.ParamStatus: 404}
		b.post(at+"/test").has(t, http.StatusOK, `role="alert"`, say(l, "page.told_untaken", "status", "404")).lacks(t, "Untold.")
		untaken.Params = nil
		b.post(at+"/test").has(t, http.StatusOK, `role="alert"`, say(l, "page.told_unreached")).lacks(t, "Untold.")
		b.post(at+"/delete", "confirm", "x").has(t, http.StatusUnprocessableEntity, say(l, "page.delete_webhook_text"))
		b.post(at+"/delete", "confirm", url).has(t, http.StatusOK, say(l, "page.told_webhook_deleted", "address", url), say(l, "page.webhooks_none"))
	}
}
