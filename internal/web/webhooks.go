package web

import (
	"net/http"
	"slices"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// webhookRoutes are about addresses that are called with notices.
func (a *api) webhookRoutes() []route {
	const group, at = "notices", "/workspaces/{workspace}/webhooks"
	return []route{
		{name: "listWebhooks", method: http.MethodGet, path: at, right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the workspace's webhooks, oldest first.", op: op(a.listWebhooks)},
		{name: "createWebhook", method: http.MethodPost, path: at, right: control.RightChange, group: group, status: http.StatusCreated,
			summary: "Makes a webhook. Its secret is shown once.", op: op(a.createWebhook),
			rules: look(func(c *call, in createWebhookIn) error {
				w := in.webhook(c)
				if w.Secret.Empty() {
					w.Secret = secret.New("one that will be made")
				}
				return a.deps.Plane.LookAtWebhook(w)
			})},
		{name: "deleteWebhook", method: http.MethodDelete, path: at + "/{webhook}", right: control.RightChange, group: group, status: http.StatusNoContent,
			summary: "Removes a webhook, and what waits to be sent to it.", op: op(a.deleteWebhook)},
		{name: "testWebhook", method: http.MethodPost, path: at + "/{webhook}/test", right: control.RightChange, group: group, status: http.StatusOK,
			summary: "Calls the webhook once, signed like any other call, and says whether it was taken.", op: op(a.testWebhook)},
	}
}

func (a *api) showWebhook(w control.Webhook) client.Webhook {
	out := client.Webhook{ID: a.deps.IDs.name(webhookID, w.ID), URL: w.URL, CreatedAt: w.CreatedAt}
	for _, k := range w.Kinds {
		out.Kinds = append(out.Kinds, string(k))
	}
	return out
}

func (a *api) listWebhooks(c *call, in paged) (client.Page[client.Webhook], error) {
	all, err := a.deps.Store.Webhooks(c, c.workspace.Number)
	if err != nil {
		return client.Page[client.Webhook]{}, err
	}
	return pageOf(c, in, all, func(w control.Webhook) int64 { return w.ID }, a.showWebhook)
}

type createWebhookIn struct {
	Body client.WebhookCreate `body:""`
}

func (in createWebhookIn) webhook(c *call) control.Webhook {
	w := control.Webhook{Workspace: c.workspace.Number, URL: in.Body.URL, Secret: secret.New(in.Body.Secret)}
	for _, k := range in.Body.Kinds {
		w.Kinds = append(w.Kinds, control.NoticeKind(k))
	}
	return w
}

func (a *api) createWebhook(c *call, in createWebhookIn) (client.WebhookIssued, error) {
	w, err := a.deps.Plane.CreateWebhook(c, in.webhook(c))
	if err != nil {
		return client.WebhookIssued{}, err
	}
	out := client.WebhookIssued{Webhook: a.showWebhook(w)}
	if in.Body.Secret == "" { // who brought one has it
		out.Secret = w.Secret.Reveal()
	}
	return out, nil
}

type webhookIn struct {
	Webhook string `path:"webhook"`
}

// webhook finds a webhook of the workspace of the path. Errors: not_found.
func (a *api) webhook(c *call, name string) (control.Webhook, error) {
	id, err := a.deps.IDs.number(webhookID, name)
	if err != nil {
		return control.Webhook{}, err
	}
	all, err := a.deps.Store.Webhooks(c, c.workspace.Number)
	if err != nil {
		return control.Webhook{}, err
	}
	i := slices.IndexFunc(all, func(w control.Webhook) bool { return w.ID == id })
	if i < 0 {
		return control.Webhook{}, fault.New(fault.NotFound, "", "There is nothing of this name.")
	}
	return all[i], nil
}

func (a *api) deleteWebhook(c *call, in webhookIn) (none, error) {
	w, err := a.webhook(c, in.Webhook)
	if err != nil {
		return none{}, err
	}
	return none{}, a.deps.Plane.DeleteWebhook(c, c.workspace.Number, w.ID)
}

func (a *api) testWebhook(c *call, in webhookIn) (client.WebhookTest, error) {
	w, err := a.webhook(c, in.Webhook)
	if err != nil {
		return client.WebhookTest{}, err
	}
	if err := a.deps.Call(c, w); err != nil {
		e := fault.As(err)
		if e == nil || e.Code != fault.Unavailable {
			return client.WebhookTest{}, err
		}
		status, _ := e.Params[control.ParamStatus].(int)
		return client.WebhookTest{Status: status, Message: e.Message()}, nil
	}
	return client.WebhookTest{OK: true}, nil
}
