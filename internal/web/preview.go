package web

import (
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
)

type previewConnectorIn struct {
	Connector control.ConnectorID  `path:"connector"`
	Body      client.ConnectorEdit `body:""`
}

func (a *api) previewConnector(c *call, in previewConnectorIn) (client.Preview, error) {
	p, err := a.deps.Plane.Preview(c, c.workspace.Number, in.Connector, editOf(in.Body))
	if err != nil {
		return client.Preview{}, misread(in.Body, err)
	}
	return client.Preview{Before: anyObject(p.Before), After: anyObject(p.After), Check: p.Check}, nil
}
