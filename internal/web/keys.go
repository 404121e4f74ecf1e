package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// keyRoutes are about the keys of a workspace's programs.
func (a *api) keyRoutes() []route {
	const group, at = "api-keys", "/workspaces/{workspace}/api-keys"
	return []route{
		{name: "listAPIKeys", method: http.MethodGet, path: at, right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the workspace's API keys, without the keys themselves.", op: op(a.listKeys)},
		{name: "createAPIKey", method: http.MethodPost, path: at, right: control.RightAdminister, group: group, status: http.StatusCreated,
			summary: "Makes an API key, shown once.", op: op(a.createKey), rules: look(func(c *call, in createKeyIn) error {
				_, err := keyOf(c, in.Body)
				return err
			})},
		{name: "getAPIKey", method: http.MethodGet, path: at + "/{key}", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives an API key, without the key itself.", op: op(a.getKey)},
		{name: "revokeAPIKey", method: http.MethodDelete, path: at + "/{key}", right: control.RightAdminister, group: group, status: http.StatusNoContent,
			summary: "Ends an API key: after at most 5 seconds nothing that comes under it is taken any more.", op: op(a.revokeKey)},
		{name: "listRejectedEvents", method: http.MethodGet, path: at + "/{key}/rejected-events", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives the last events of a key that were not taken, with the reason and a masked sample.", op: op(a.listRejected)},
	}
}

func showKey(k control.APIKey) client.APIKey {
	out := client.APIKey{ID: string(k.ID), Name: k.Name, CreatedAt: k.CreatedAt, ExpiresAt: maybe(k.ExpiresAt), UsedAt: maybe(k.UsedAt)}
	for _, s := range k.Scopes {
		out.Scopes = append(out.Scopes, string(s))
	}
	for _, n := range k.Networks {
		out.Networks = append(out.Networks, n.String())
	}
	return out
}

func (a *api) listKeys(c *call, in paged) (out client.Page[client.APIKey], err error) {
	all, err := a.deps.Store.Keys(c, c.workspace.Number)
	if err != nil {
		return out, err
	}
	return pageOf(c, in, all, func(k control.APIKey) int64 { return idNumber(k.ID) }, showKey)
}

type createKeyIn struct {
	Body client.APIKeyCreate `body:""`
}

// keyOf gives the key that is asked for, and what is wrong with it.
func keyOf(c *call, b client.APIKeyCreate) (control.APIKey, error) {
	k := control.APIKey{Workspace: c.workspace.Number, Name: b.Name, CreatedAt: time.Now()}
	for _, s := range b.Scopes {
		k.Scopes = append(k.Scopes, control.Scope(s))
	}
	if b.ExpiresAt != nil {
		k.ExpiresAt = *b.ExpiresAt
	}
	networks, problems := control.ParseNetworks("networks", b.Networks)
	k.Networks = networks
	return k, refused(append(k.Validate(), problems...))
}

func (a *api) createKey(c *call, in createKeyIn) (client.APIKeyIssued, error) {
	k, err := keyOf(c, in.Body)
	if err != nil {
		return client.APIKeyIssued{}, err
	}
	k, key, err := a.deps.Plane.CreateKey(c, k, secret.Value{})
	if err != nil {
		return client.APIKeyIssued{}, err
	}
	c.location("/workspaces/%s/api-keys/%s", workspaceID(k.Workspace), k.ID)
	return client.APIKeyIssued{APIKey: showKey(k), Key: key.Reveal()}, nil
}

type keyIn struct {
	Key control.KeyID `path:"key"`
}

// key finds a key of the workspace of the path. Errors: not_found.
func (a *api) key(c *call, id control.KeyID) (control.APIKey, error) {
	all, err := a.deps.Store.Keys(c, c.workspace.Number)
	if err != nil {
		return control.APIKey{}, err
	}
	i := slices.IndexFunc(all, func(k control.APIKey) bool { return k.ID == id })
	if i < 0 {
		return control.APIKey{}, fault.New(fault.NotFound, "", "The workspace has no such API key.")
	}
	return all[i], nil
}

func (a *api) getKey(c *call, in keyIn) (client.APIKey, error) {
	k, err := a.key(c, in.Key)
	return showKey(k), err
}

func (a *api) revokeKey(c *call, in keyIn) (none, error) {
	return none{}, a.deps.Plane.RevokeKey(c, c.workspace.Number, in.Key)
}

func (a *api) listRejected(c *call, in keyIn) (client.RejectedEvents, error) {
	k, err := a.key(c, in.Key)
	if err != nil {
		return client.RejectedEvents{}, err
	}
	total, last := a.deps.Rejected(k.ID)
	out := client.RejectedEvents{Total: total}
	for _, r := range last {
		e := client.RejectedEvent{At: r.At, Whole: r.Whole, Index: r.Index, More: r.More, Sample: r.Sample}
		for _, p := range r.Problems {
			e.Errors = append(e.Errors, client.FieldProblem{Field: p.Field, Code: p.Code, Message: p.Message})
		}
		out.Items = append(out.Items, e)
	}
	return out, nil
}
