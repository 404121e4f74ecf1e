package web

import (
	"net/http"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
)

// applyRoutes are about everything at once.
func (a *api) applyRoutes() []route {
	return []route{
		{name: "apply", method: http.MethodPost, path: "/apply", right: control.RightSignedIn, group: "work", status: http.StatusAccepted,
			summary: "Makes workspaces, keys, connectors and the rest as a manifest says; its job shows what came of it to who asked alone.",
			op:      op(a.apply), maxBody: 8 << 20},
	}
}

type applyIn struct {
	Body client.Manifest `body:""`
}

func (a *api) apply(c *call, in applyIn) (client.Job, error) {
	b := in.Body
	j, err := a.deps.Plane.AskApply(c, b.Name, b.Text, b.Secrets, b.DryRun)
	return a.began(c, j.ID, err)
}
