package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// notice gives a notice that is not stored yet.
func (e *env) notice(workspace uint32, c control.ConnectorID, episode string) control.Notice {
	return control.Notice{Workspace: workspace, Connector: c, Kind: control.NoticeFailing, Episode: episode, At: e.now,
		Params: map[string]string{"connector": "ware'house", "bucket": "b"}}
}

func notices(run runner) {
	run("a notice is written once an episode, and read by its workspace alone", func(t *testing.T, e *env) {
		a, b := e.workspace("a"), e.workspace("b")
		var want []string
		for i := range 5 {
			n := e.notice(a.Number, "c1", fmt.Sprint(i))
			ok(t, e.AddNotice(t.Context(), n))
			n.Params = map[string]string{"connector": "changed"}
			ok(t, e.AddNotice(t.Context(), n))
			want = append([]string{n.Episode}, want...)
		}
		for _, other := range []control.Notice{e.notice(b.Number, "c1", "0"), e.notice(0, "", "0"), e.notice(a.Number, "c2", "0")} {
			ok(t, e.AddNotice(t.Context(), other))
		}
		kind := e.notice(a.Number, "c1", "0")
		kind.Kind = control.NoticeResumed
		ok(t, e.AddNotice(t.Context(), kind))

		var got []string
		for before := int64(0); ; {
			page, err := e.Notices(t.Context(), a.Number, before, 3)
			ok(t, err)
			if len(page) == 0 {
				break
			}
			for _, n := range page {
				if n.Connector == "c1" && n.Kind == control.NoticeFailing {
					got = append(got, n.Episode)
				}
				before = n.ID
			}
		}
		equal(t, "episodes, newest first", got, want)
		all, err := e.Notices(t.Context(), b.Number, 0, 10)
		ok(t, err)
		equal(t, "of the other workspace", len(all), 1)
		stored := e.notice(b.Number, "c1", "0")
		stored.ID = all[0].ID
		equal(t, "notice", all[0], stored)
		byID, err := e.NoticesByID(t.Context(), []int64{all[0].ID, 12345, 1})
		ok(t, err)
		equal(t, "by id", fmt.Sprint(len(byID), byID[0].ID, byID[1].ID), fmt.Sprint(2, all[0].ID, 1))
		open, err := e.UnplannedNotices(t.Context(), 3)
		ok(t, err)
		equal(t, "unplanned, oldest first", fmt.Sprint(len(open), open[0].Episode, open[2].Episode), "302")
	})
	run("a notice is planned by one, and its sends are stored with it", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		for i := range 3 {
			ok(t, e.AddNotice(t.Context(), e.notice(w.Number, "c", fmt.Sprint(i))))
		}
		mail := control.Send{Notices: []int64{1, 2}, Channel: control.ChannelMail, Address: "data@example.com", NextTry: e.now}
		hook := control.Send{Notices: []int64{1}, Channel: control.ChannelWebhook, Webhook: 9, NextTry: e.now.Add(time.Minute)}
		ok(t, e.PlanSends(t.Context(), []int64{1, 2}, []control.Send{mail, hook}))
		want(t, e.PlanSends(t.Context(), []int64{3, 2}, []control.Send{mail}), fault.Stale)
		open, err := e.UnplannedNotices(t.Context(), 10)
		ok(t, err)
		equal(t, "unplanned", fmt.Sprint(len(open), open[0].ID), "1 3")

		due, err := e.DueSends(t.Context(), e.now, 10)
		ok(t, err)
		mail.ID = 1
		equal(t, "due", due, []control.Send{mail})
		due, err = e.DueSends(t.Context(), e.now.Add(time.Hour), 10)
		ok(t, err)
		hook.ID = 2
		equal(t, "due later", due, []control.Send{mail, hook})
		due, err = e.DueSends(t.Context(), e.now.Add(-time.Millisecond), 10)
		ok(t, err)
		equal(t, "due before", len(due), 0)

		mail.Tries, mail.FirstTry, mail.NextTry = 1, e.now, e.now.Add(time.Hour)
		ok(t, e.SaveSend(t.Context(), mail))
		hook.Done = e.now
		ok(t, e.SaveSend(t.Context(), hook))
		due, err = e.DueSends(t.Context(), e.now.Add(2*time.Hour), 10)
		ok(t, err)
		equal(t, "after a try", due, []control.Send{mail})
		mail.Failed = "no such address"
		ok(t, e.SaveSend(t.Context(), mail))
		due, err = e.DueSends(t.Context(), e.now.Add(2*time.Hour), 10)
		ok(t, err)
		equal(t, "after giving up", len(due), 0)
		mail.ID = 77
		want(t, e.SaveSend(t.Context(), mail), fault.NotFound)
	})
	run("a notice is gone when its mails are accepted, given up, or were tried for long enough", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		begin := e.now
		gone := func(episode string) bool {
			t.Helper()
			g, err := e.NoticeGone(t.Context(), w.Number, "c", control.NoticeFailing, episode, time.Hour)
			ok(t, err)
			return g
		}
		expect := func(when string, expect bool, episode string) {
			t.Helper()
			equal(t, when, gone(episode), expect)
		}
		expect("never written", false, "0")
		ok(t, e.AddNotice(t.Context(), e.notice(w.Number, "c", "0")))
		e.now = begin.Add(100 * time.Hour)
		expect("not planned, however old", false, "0")
		e.now = begin
		hook := control.Send{Notices: []int64{1}, Channel: control.ChannelWebhook, NextTry: e.now}
		one := control.Send{Notices: []int64{1}, Channel: control.ChannelMail, Address: "a@b.example", NextTry: e.now}
		two := one
		ok(t, e.PlanSends(t.Context(), []int64{1}, []control.Send{one, two, hook}))
		one.ID, two.ID = 1, 2
		e.now = begin.Add(100 * time.Hour)
		expect("no mail was tried", false, "0")
		one.FirstTry = e.now
		ok(t, e.SaveSend(t.Context(), one))
		two.Done = e.now
		ok(t, e.SaveSend(t.Context(), two))
		e.now = e.now.Add(time.Hour - time.Millisecond)
		expect("a mail is being tried", false, "0")
		e.now = e.now.Add(time.Millisecond)
		expect("it was tried for as long as patience lasts", true, "0")
		one.FirstTry, one.Failed = e.now, "refused"
		ok(t, e.SaveSend(t.Context(), one))
		expect("it was given up", true, "0")
		other, err := e.NoticeGone(t.Context(), w.Number+1, "c", control.NoticeFailing, "0", time.Hour)
		ok(t, err)
		equal(t, "another workspace's", other, false)

		ok(t, e.AddNotice(t.Context(), e.notice(w.Number, "c", "1")))
		ok(t, e.PlanSends(t.Context(), []int64{2}, nil))
		expect("nobody is to be sent it", true, "1")
	})
	run("the recipient of a notice is its connector's contact, in the workspace's language", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		w.Language = "pt-BR"
		ok(t, e.UpdateWorkspace(t.Context(), w))
		c := e.connector(w, "warehouse", 9)
		who := func(n control.Notice) []control.Recipient {
			t.Helper()
			rs, err := e.Recipients(t.Context(), n)
			ok(t, err)
			return rs
		}
		expect := []control.Recipient{{Email: "data@example.com", Language: "pt-BR"}}
		equal(t, "contact", who(e.notice(w.Number, c.Connector, "")), expect)
		equal(t, "of another workspace", len(who(e.notice(w.Number+1, c.Connector, ""))), 0)
		equal(t, "of no connector", len(who(e.notice(w.Number, "", ""))), 0)
		launched := e.notice(w.Number, "not-stored-yet", "")
		launched.Params = map[string]string{control.ParamContact: "data@example.com"}
		equal(t, "of one that is being launched", who(launched), expect)
		launched.Connector = c.Connector
		equal(t, "of one that was", who(launched), expect)
		c.Version, c.Deleted = 2, true
		e.update(&c, nil)
		equal(t, "of a deleted one", who(e.notice(w.Number, c.Connector, "")), expect)
		lost := e.draft(w, "lost").Config // known from the log alone
		e.apply(20, lost)
		equal(t, "of one whose contact is lost", len(who(e.notice(w.Number, lost.Connector, ""))), 0)

		own, ana, bea := e.notice(w.Number, "", ""), e.member("ana"), e.member("bea", e.seat(w, control.Editor))
		ana.Installation, ana.Language = true, ""
		ok(t, e.UpdateMember(t.Context(), ana))
		machine := []control.Recipient{{Email: "ana@example.com", Language: "en"}}
		equal(t, "of a workspace without an administrator", who(own), machine)
		seat := e.seat(w, control.Administrator)
		seat.Member = bea.ID
		was := e.seat(w, control.Editor)
		was.Member = bea.ID
		ok(t, e.SetSeat(t.Context(), control.SeatChange{Was: was, Next: seat}))
		e.member("carl", e.seat(w, control.Viewer))
		chosen := []control.Recipient{{Email: "bea@example.com", Language: "es"}}
		equal(t, "of the workspace itself", who(own), chosen)
		bea.Language = ""
		ok(t, e.UpdateMember(t.Context(), bea))
		chosen[0].Language = "pt-BR"
		equal(t, "who chose no language", who(own), chosen)
		equal(t, "of one whose contact is lost", who(e.notice(w.Number, lost.Connector, "")), chosen)
		equal(t, "of the installation", who(e.notice(0, "", "")), machine)
		equal(t, "contact still", who(e.notice(w.Number, c.Connector, "")), expect)

		// An export is for those whom it names, of whom it may be had only by those who may export user data.
		eve := e.seat(w, control.Viewer)
		eve.ExportUserData = true
		exporter := e.member("eve", eve)
		taken := e.notice(w.Number, "", "")
		taken.Params = map[string]string{control.ParamTo: "Eve@example.com,carl@example.com,ana@example.com"}
		taken.Kind = control.NoticeExportReady
		equal(t, "of an export", who(taken), []control.Recipient{{Email: "eve@example.com", Language: "es"}})
		taken.Kind = control.NoticeExportFailed
		equal(t, "of one that failed", len(who(taken)), 2)
		exporter.Language = ""
		ok(t, e.UpdateMember(t.Context(), exporter))
		taken.Params[control.ParamTo] = "eve@example.com"
		equal(t, "who chose no language, of one asked for in none", who(taken), []control.Recipient{{Email: "eve@example.com", Language: "pt-BR"}})
		taken.Params[control.ParamLanguage] = "en"
		equal(t, "who chose no language", who(taken), []control.Recipient{{Email: "eve@example.com", Language: "en"}})

		dora := e.member("dora", e.seat(w, control.Viewer))
		calm, urgent := e.notice(w.Number, c.Connector, ""), e.notice(w.Number, c.Connector, "")
		calm.Kind, urgent.Kind = control.NoticeSlow, control.NoticeLastCall
		for wish, want := range map[control.Mail][2]int{control.MailOwn: {1, 1}, control.MailUrgent: {1, 2}, control.MailAll: {2, 2}} {
			dora.Mail = wish
			ok(t, e.UpdateMember(t.Context(), dora))
			dora.Rev++
			equal(t, fmt.Sprintf("of what is not urgent and what is, wishing for %q", wish), [2]int{len(who(calm)), len(who(urgent))}, want)
			equal(t, "of the installation", who(e.notice(0, "", "")), machine)
		}
		read, err := e.Member(t.Context(), dora.ID)
		ok(t, err)
		equal(t, "what is kept", read.Mail, dora.Mail)
	})
	run("a member has seen what came before them and what they marked, and nobody else's", func(t *testing.T, e *env) {
		ctx := t.Context()
		w, other := e.workspace("acme"), e.workspace("other")
		add := func(workspace uint32, kind control.NoticeKind) {
			t.Helper()
			n := e.notice(workspace, "c", e.now.String())
			n.Kind = kind
			ok(t, e.AddNotice(ctx, n))
			e.now = e.now.Add(time.Second)
		}
		add(w.Number, control.NoticeFailing)
		add(0, control.NoticeDiskQuota)
		ana, bea := e.administrator("ana"), e.member("bea")
		add(w.Number, control.NoticeFailing)
		seat := e.seat(w, control.Viewer)
		seat.Member = bea.ID
		ok(t, e.SetSeat(ctx, control.SeatChange{Next: seat}))
		add(w.Number, control.NoticeFailing)
		add(w.Number, control.NoticeHourComplete) // nobody is shown it
		add(w.Number, control.NoticeResumed)
		add(other.Number, control.NoticeFailing)
		add(0, control.NoticeDiskQuota)
		unread := func(what string, w uint32, m control.Member, want int) {
			t.Helper()
			n, err := e.UnreadNotices(ctx, w, m.ID)
			ok(t, err)
			equal(t, what, n, want)
		}
		unread("without a seat: since they are here", w.Number, ana, 3)
		unread("with a seat: since they have it", w.Number, bea, 2)
		unread("of the installation", 0, ana, 1)
		unread("of nobody", w.Number, control.Member{ID: "nobody"}, 0)
		ns, err := e.Notices(ctx, w.Number, 0, 10)
		ok(t, err)
		ok(t, e.MarkNoticesRead(ctx, w.Number, ana.ID, ns[1].ID))
		unread("read one", w.Number, ana, 1)
		unread("another member", w.Number, bea, 2)
		unread("another workspace", other.Number, ana, 1)
		ok(t, e.MarkNoticesRead(ctx, w.Number, ana.ID, 1))
		unread("what was seen stays seen", w.Number, ana, 1)
		ok(t, e.MarkNoticesRead(ctx, w.Number, ana.ID, 1<<40))
		unread("all", w.Number, ana, 0)
		add(w.Number, control.NoticeFailing)
		unread("the next is not seen", w.Number, ana, 1)
		ok(t, e.MarkNoticesRead(ctx, 0, ana.ID, 1<<40))
		unread("of the installation", 0, ana, 0)
		want(t, e.MarkNoticesRead(ctx, w.Number, "nobody", 1), fault.NotFound)
	})
	run("a webhook is one for each address of a workspace, its secret sealed", func(t *testing.T, e *env) {
		a, b := e.workspace("a"), e.workspace("b")
		hook := control.Webhook{Workspace: a.Number, URL: "https://x.example/?a=1", Secret: secret.New("one-long-secret"), CreatedAt: e.now,
			Kinds: []control.NoticeKind{control.NoticeFailing, control.NoticeHourComplete}}
		ok(t, e.SaveWebhook(t.Context(), hook))
		other := hook
		other.Workspace, other.Kinds = b.Number, nil
		ok(t, e.SaveWebhook(t.Context(), other))
		got, err := e.Webhooks(t.Context(), a.Number)
		ok(t, err)
		equal(t, "number", len(got), 1)
		hook.ID = got[0].ID
		equal(t, "webhook", got[0], hook)
		again := hook
		again.URL = "HTTPS://X.example:443?a=1"
		_, err = e.CreateWebhook(t.Context(), again)
		want(t, err, fault.Conflict)
		equal(t, "secret", got[0].Secret.Reveal(), "one-long-secret")
		hook.Secret, hook.Kinds = secret.New("another-secret"), nil
		ok(t, e.SaveWebhook(t.Context(), hook))
		got, err = e.Webhooks(t.Context(), a.Number)
		ok(t, err)
		equal(t, "secret", fmt.Sprint(len(got), got[0].ID == hook.ID, got[0].Secret.Reveal(), got[0].Kinds), "1 trueanother-secret[]")

		ok(t, e.AddNotice(t.Context(), e.notice(a.Number, "c", "")))
		ok(t, e.PlanSends(t.Context(), []int64{1}, []control.Send{{Notices: []int64{1}, Channel: control.ChannelWebhook, Webhook: hook.ID, NextTry: e.now}}))
		want(t, e.DeleteWebhook(t.Context(), b.Number, hook.ID), fault.NotFound)
		ok(t, e.DeleteWebhook(t.Context(), a.Number, hook.ID))
		want(t, e.DeleteWebhook(t.Context(), a.Number, hook.ID), fault.NotFound)
		due, err := e.DueSends(t.Context(), e.now, 10)
		ok(t, err)
		equal(t, "sends to a deleted webhook", len(due), 0)
		left, err := e.Webhooks(t.Context(), b.Number)
		ok(t, err)
		equal(t, "the other workspace's", len(left), 1)
	})
}
