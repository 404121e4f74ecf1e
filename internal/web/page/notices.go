package page

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/millrace/millrace/client"
)

// noticePages are the inboxes of a workspace and of the installation.
func noticePages() []page {
	return []page{
		{"GET /w/{workspace}/notices", false, listNotices},
		{"POST /w/{workspace}/notices/read", false, readNotices},
		{"GET /installation/notices", false, listNotices},
		{"POST /installation/notices/read", false, readNotices},
	}
}

// noticesPage is an inbox.
type noticesPage struct {
	Frame frame
	Feed  feed
}

type noticeLook struct {
	tone tone
	icon string
}

// noticeLooks are how kinds of notices look; others are news.
var noticeLooks = map[string]noticeLook{
	"failing": {bad, "circle-alert"}, "half_time": {bad, "circle-alert"}, "last_call": {bad, "circle-alert"}, "dropped": {bad, "circle-minus"},
	"resumed": {good, "circle-check"}, "slow": {warn, "triangle-alert"}, "check_passed": {good, "shield-check"}, "check_failed": {bad, "circle-x"},
	"pause_half": {warn, "pause"}, "pause_last": {warn, "pause"}, "key_unused": {info, "key-round"}, "key_expiring": {warn, "key-round"}, "key_expired": {bad, "key-round"},
	"export_ready": {good, "download"}, "export_failed": {bad, "circle-x"}, "schedule_paused": {warn, "pause"},
	"disk_quota": {bad, "gauge"}, "profiles_still": {warn, "triangle-alert"}, "set_aside": {warn, "circle-minus"},
}

func lookOf(kind string) noticeLook {
	if look, known := noticeLooks[kind]; known {
		return look
	}
	return noticeLook{info, "info"}
}

// noticesPath is where the notices are of what the address names.
func (v *visit) noticesPath() string {
	if v.place == nil {
		return "/installation/notices"
	}
	return v.path("/notices")
}

func listNotices(v *visit) error {
	ctx, part := v.part()
	here, list, count := "/installation/notices", v.api.ListInstallationNotices(ctx), v.api.CountInstallationUnread
	if v.place != nil {
		here, list = "/notices", v.api.ListNotices(ctx, v.place.Workspace)
		count = func(ctx context.Context) (client.Unread, error) { return v.api.CountUnread(ctx, v.place.Workspace) }
	}
	all, err := collect(v, list)
	if err != nil {
		return err
	}
	unread, err := count(v)
	if err != nil {
		return v.said(err)
	}
	f := v.frame(v.t("page.notices"), here)
	f.Says = &says{good, "circle-check", v.t("page.notices_read")}
	if unread.Unread > 0 {
		f.Says = &says{info, "bell", v.t("page.notices_unread", "n", unread.Unread)}
		if part.Cursor == "" && len(all) > 0 {
			f.Actions = []button{{Text: v.t("page.notices_mark"), Icon: "check", Href: v.noticesPath() + "/read?up_to=" + url.QueryEscape(all[0].ID), Post: true}}
		}
	}
	if v.me.Installation && v.place != nil {
		f.Tabs = []tab{{v.t("page.spaces_this"), v.path("/notices"), true}, {v.t("page.installation"), "/installation/notices", false}}
	}
	p := noticesPage{f, feed{Empty: &empty{v.t("page.notices_none"), v.t("page.notices_none_text"), nil}}}
	for _, n := range all {
		p.Feed.Items = append(p.Feed.Items, v.notice(n))
	}
	var links table
	v.pages(&links, part)
	p.Feed.First, p.Feed.Next = links.First, links.Next
	v.show(http.StatusOK, "notices", p)
	return nil
}

// notice shows a notice with the way to what it is about.
func (v *visit) notice(n client.Notice) feedItem {
	look := lookOf(n.Kind)
	item := feedItem{Tone: look.tone, Icon: look.icon, Title: cmp.Or(n.Title, n.Kind), At: v.moment(n.At)}
	for p := range strings.SplitSeq(n.Text, "\n\n") {
		if said, is := strings.CutPrefix(p, v.t("mail.details", "message", "")); is {
			item.Details = said
		} else {
			item.Texts = append(item.Texts, p)
		}
	}
	if !n.Read {
		item.New = v.t("page.notice_new")
	}
	switch {
	case n.Connector != "" && v.place != nil:
		item.Link, item.Href = v.t("page.to_current"), v.path("/currents/"+url.PathEscape(n.Connector))
	case n.Params["export"] != "" && v.place != nil:
		item.Link, item.Href = v.t("page.export_to"), v.exportPath(n.Params["export"])
	case n.Params["schedule"] != "" && v.place != nil:
		item.Link, item.Href = v.t("page.to_schedules"), v.path("/reports")
	case n.Params["key"] != "" && v.place != nil:
		item.Link, item.Href = v.t("page.to_keys"), v.path("/settings/keys")
	case v.place == nil: // all of the installation's are about it
		item.Link, item.Href = v.t("page.to_machine"), "/installation"
	}
	return item
}

// readNotices notes that everything up to a notice was seen.
func readNotices(v *visit) error {
	read := client.NoticesRead{UpTo: v.r.URL.Query().Get("up_to")}
	var err error
	if v.place == nil {
		err = v.api.MarkInstallationNoticesRead(v, read)
	} else {
		err = v.api.MarkNoticesRead(v, v.place.Workspace, read)
	}
	if err != nil {
		return v.said(err)
	}
	v.redirect(v.noticesPath())
	return nil
}
