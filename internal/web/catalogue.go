package web

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// catalogueRoutes are about types of events.
func (a *api) catalogueRoutes() []route {
	const group = "catalogue"
	return []route{
		{name: "listEventTypes", method: http.MethodGet, path: "/event-types", right: control.RightSignedIn, group: group, status: http.StatusOK,
			summary: "Lists the types of events with their fields.", op: op(a.listTypes)},
		{name: "getEventType", method: http.MethodGet, path: "/event-types/{type}", right: control.RightSignedIn, group: group, status: http.StatusOK,
			summary: "Gives a type of events, and a table definition over its files if asked to.", op: op(a.getType)},
	}
}

func showType(t *event.Type) client.EventType {
	out := client.EventType{Name: t.Name, Group: string(t.Group), Doc: t.Doc, Own: t.Own, SchemaID: int(t.Newest().ID)}
	for _, v := range t.Versions {
		out.Versions = append(out.Versions, int(v.ID))
	}
	for _, f := range t.Newest().Fields {
		out.Fields = append(out.Fields, client.EventField{Name: f.Name, Type: f.Kind.String(), Nullable: f.Nullable, Since: int(since(t, f.Name)), Doc: f.Doc})
	}
	return out
}

// since gives the first version of t that has a field.
func since(t *event.Type, field string) event.SchemaID {
	i := slices.IndexFunc(t.Versions, func(s *event.Schema) bool {
		return slices.ContainsFunc(s.Fields, func(f event.Field) bool { return f.Name == field })
	})
	return t.Versions[i].ID // the newest has it, if no other
}

func (a *api) listTypes(c *call, in paged) (client.Page[client.EventType], error) {
	return pageOf(c, in, a.deps.Catalogue.Types(), func(t *event.Type) int64 { return int64(t.Versions[0].ID) }, showType)
}

type typeIn struct {
	Type      string              `path:"type"`
	DDL       string              `query:"ddl" enum:",snowflake,athena,redshift,spark,bigquery,duckdb" doc:"Also give a table definition in this dialect."`
	Bucket    string              `query:"bucket" doc:"With ddl: where the files lie."`
	Folder    string              `query:"folder" doc:"With ddl: likewise; currents if it is left out."`
	Workspace string              `query:"workspace" doc:"With ddl: of the connector."`
	Connector control.ConnectorID `query:"connector" doc:"With ddl: whose files the table is over, in place of bucket and folder."`
}

func (a *api) getType(c *call, in typeIn) (client.EventType, error) {
	t, ok := a.deps.Catalogue.Type(in.Type)
	if !ok {
		e := &fault.Error{Code: fault.NotFound, Params: fault.Params{"name": fault.Escaped(in.Type)},
			Msg: fault.Message{Key: "control.no_event_type", Text: `There is no event type "{name}".`}}
		if e.Params["near"] = a.deps.Catalogue.Nearest(in.Type); e.Params["near"] != "" {
			e.Hint = fault.Message{Key: "control.no_event_type_near", Text: `Did you mean "{near}"?`}
		}
		return client.EventType{}, e
	}
	out := showType(t)
	out.Example = a.deps.Example(t)
	if in.DDL == "" {
		return out, nil
	}
	at, err := a.location(c, in)
	if err != nil {
		return client.EventType{}, err
	}
	d, _ := avrofile.ParseDialect(in.DDL) // one of the enum's
	out.DDL = avrofile.DDL(d, t, at)
	return out, nil
}

// location says where the files lie that a table is over; what is not said stands in angle brackets. Errors: not_found,
// the same for a connector that is not there and for one that may not be seen.
func (a *api) location(c *call, in typeIn) (avrofile.Location, error) {
	if in.Connector == "" {
		return avrofile.Location{Bucket: cmp.Or(in.Bucket, "<bucket>"), Folder: cmp.Or(in.Folder, control.DefaultFolder),
			Cluster: a.deps.Plane.Cluster, Connector: "<connector id>"}, nil
	}
	gone := fault.New(fault.NotFound, "", "There is no such connector in a workspace that you may see.").WithHint("Name its workspace, too.")
	w, err := a.deps.Store.WorkspaceBy(c, in.Workspace)
	if err == nil && !c.actor.May(control.RightView, w.Number) {
		err = gone
	}
	var x control.Connector
	if err == nil {
		x, err = a.deps.Store.Connector(c, w.Number, in.Connector)
	}
	if fault.Is(err, fault.NotFound) {
		err = gone
	}
	d := x.Destination
	return avrofile.Location{Bucket: d.Bucket, Folder: d.Folder, Cluster: d.Cluster, Connector: string(x.Connector)}, err
}
