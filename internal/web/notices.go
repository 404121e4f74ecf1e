package web

import (
	"net/http"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// noticeRoutes are about what people were told.
func (a *api) noticeRoutes() []route {
	const group = "notices"
	return []route{
		{name: "listNotices", method: http.MethodGet, path: "/workspaces/{workspace}/notices", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists what was told about the workspace, newest first.", op: op(a.listNotices)},
		{name: "countUnread", method: http.MethodGet, path: "/workspaces/{workspace}/notices/unread", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Counts the notices of the workspace that the member has not read.", op: op(a.countUnread)},
		{name: "markNoticesRead", method: http.MethodPut, path: "/workspaces/{workspace}/notices/read", right: control.RightView, group: group, status: http.StatusNoContent,
			summary: "Notes up to which notice the member has read.", op: op(a.markRead)},
		{name: "listInstallationNotices", method: http.MethodGet, path: "/installation/notices", right: control.RightInstall, group: group, status: http.StatusOK,
			summary: "Lists what was told about the installation itself, newest first.", op: op(a.listNotices)},
		{name: "countInstallationUnread", method: http.MethodGet, path: "/installation/notices/unread", right: control.RightInstall, group: group, status: http.StatusOK,
			summary: "Counts the notices of the installation that the member has not read.", op: op(a.countUnread)},
		{name: "markInstallationNoticesRead", method: http.MethodPut, path: "/installation/notices/read", right: control.RightInstall, group: group, status: http.StatusNoContent,
			summary: "Notes up to which notice of the installation the member has read.", op: op(a.markRead)},
	}
}

type noticesIn struct {
	paged
	spoken
}

// spoken is embedded in inputs whose answers hold sentences.
type spoken struct {
	Language string `header:"Accept-Language" doc:"Of sentences: en, pt-BR or es; else the member's, else English."`
}

// reader is the language of sentences in an answer. Inputs of rows that have any embed spoken.
func (c *call) reader() text.Language { return c.language(c.r.Header.Get("Accept-Language")) }

// language is that in which whoever asks is answered.
func (c *call) language(accepted string) text.Language {
	if accepted != "" {
		return text.Match(accepted)
	}
	if l, ok := text.Parse(c.actor.Language); ok {
		return l
	}
	return text.English
}

func (a *api) listNotices(c *call, in noticesIn) (out client.Notices, err error) {
	workspace, l := c.workspace.Number, c.language(in.Language)
	upTo, since, err := a.deps.Store.SeenNotices(c, workspace, c.actor.Member)
	if err != nil {
		return out, err
	}
	if out.Unread, err = a.deps.Store.UnreadNotices(c, workspace, c.actor.Member); err != nil {
		return out, err
	}
	out.Page, err = page(c, in.paged, func(before int64, limit int) ([]control.Notice, error) {
		return a.deps.Store.Notices(c, workspace, before, limit)
	},
		func(n control.Notice) int64 { return n.ID }, func(n control.Notice) client.Notice {
			return a.showNotice(l, n, n.ID <= upTo || n.At.Before(since))
		})
	return out, err
}

func (a *api) countUnread(c *call, _ struct{}) (client.Unread, error) {
	n, err := a.deps.Store.UnreadNotices(c, c.workspace.Number, c.actor.Member)
	return client.Unread{Unread: n}, err
}

type markReadIn struct {
	Body client.NoticesRead `body:""`
}

func (a *api) markRead(c *call, in markReadIn) (none, error) {
	id, err := a.deps.IDs.number(noticeID, in.Body.UpTo)
	if err != nil {
		return none{}, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{{Field: "up_to", Code: "unknown_value", Message: "This is no id of a notice."}}}
	}
	return none{}, a.deps.Store.MarkNoticesRead(c, c.workspace.Number, c.actor.Member, id)
}

// showNotice gives a notice in a language.
func (a *api) showNotice(l text.Language, n control.Notice, read bool) client.Notice {
	title, words := a.deps.Say(l, n)
	return client.Notice{ID: a.deps.IDs.name(noticeID, n.ID), At: n.At, Kind: string(n.Kind), Connector: string(n.Connector), Title: title, Text: words,
		Params: n.Facts(), Read: read}
}
