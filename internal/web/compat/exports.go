package compat

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// Writer writes people as the vendor's user export object, as one JSON object a line.
type Writer interface {
	Append(dst []byte, p control.Profile) ([]byte, error)
}

// exportCalls export people. Source of the limit: as table.
func exportCalls(shared *httpd.Quota) []call {
	return []call{
		{method: http.MethodPost, path: "/users/export/ids", quota: httpd.NewQuota(250, time.Minute), run: exportIDs},
		{method: http.MethodPost, path: "/users/export/segment", quota: shared, run: exportSegment},
		{method: http.MethodPost, path: "/users/export/global_control_group", quota: shared, run: exportControlGroup},
		{method: http.MethodPost, path: "/export/segment/cancel", scope: "segments.list", quota: shared, run: cancelExports},
	}
}

// askedExport is the body of the calls that ask for an export.
type askedExport struct {
	Segment    string   `json:"segment_id"`
	Callback   string   `json:"callback_endpoint"`
	Fields     []string `json:"fields_to_export"`
	Attributes []string `json:"custom_attributes_to_export"`
	Format     string   `json:"output_format"`
}

// exportSegment has a segment exported, and says under which prefix its files will be, or where.
func exportSegment(q *request) (answer, error) {
	var in askedExport
	if err := q.body(&in); err != nil {
		return nil, err
	}
	if err := q.exported(in.Segment); err != nil {
		return nil, err
	}
	return q.export(control.ExportSegmentUsers, in)
}

// exported looks for the segment that a body names.
func (q *request) exported(id string) error {
	if id == "" {
		return &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{fault.Field("segment_id", "required", "field.segment_needed", "Say which segment is meant.")}}
	}
	q.id = id
	_, err := q.segment()
	return err
}

// exportControlGroup does so of the global control group, of which single attributes cannot be chosen.
func exportControlGroup(q *request) (answer, error) {
	var in askedExport
	if err := q.body(&in); err != nil {
		return nil, err
	}
	in.Segment, in.Attributes = "", nil
	return q.export(control.ExportControlGroup, in)
}

func (q *request) export(kind control.ExportKind, in askedExport) (answer, error) {
	ctx, err := q.asKey()
	if err != nil {
		return nil, err
	}
	e, err := q.Exports.AskExport(ctx, control.Export{Workspace: q.workspace, Kind: kind, Source: control.ExportByAPI, Key: q.key, Subject: in.Segment,
		Spec: control.ExportSpec{Fields: in.Fields, Attributes: in.Attributes, Packing: in.Format, Callback: in.Callback}})
	if err != nil {
		return nil, err
	}
	out := answer{"object_prefix": e.Prefix()}
	if !e.Place.Linked() {
		out["url"] = q.Link(e)
	}
	return out, nil
}

// cancelExports stops what programs have asked for of a segment.
func cancelExports(q *request) (answer, error) {
	var in askedExport
	if err := q.body(&in); err != nil {
		return nil, err
	}
	if err := q.exported(in.Segment); err != nil {
		return nil, err
	}
	ctx, err := q.asKey()
	if err != nil {
		return nil, err
	}
	_, err = q.Exports.CancelExportsOf(ctx, q.workspace, control.SegmentID(in.Segment))
	return answer{}, err
}

// asKey gives the context in which the key of the request acts: the log of changes names it.
func (q *request) asKey() (context.Context, error) {
	keys, err := q.Store.Keys(q, q.workspace)
	if err != nil {
		return nil, err
	}
	a := control.Actor{Name: string(q.key), Via: "API key", Address: httpd.ClientAddr(q.http).String(), Request: httpd.RequestID(q.http)}
	for _, k := range keys {
		if k.ID == q.key {
			a.Name = k.Name
		}
	}
	return control.WithActor(q, a), nil
}

// maxExported is how many identifiers one request may name. Source: the vendor's page of the call.
const maxExported = 50

// exportIDs answers with the people whom identifiers name.
func exportIDs(q *request) (answer, error) {
	var in struct {
		ExternalIDs []string        `json:"external_ids"`
		Aliases     []control.Alias `json:"user_aliases"`
		DeviceID    string          `json:"device_id"`
		BrazeID     string          `json:"braze_id"`
		Email       string          `json:"email_address"`
		Phone       string          `json:"phone"`
		Fields      []string        `json:"fields_to_export"`
	}
	if err := q.body(&in); err != nil {
		return nil, err
	}
	if len(in.ExternalIDs)+len(in.Aliases) > maxExported {
		return nil, &mistake{fault.New(fault.Invalid, "", "external_ids and user_aliases name more than %d users together.", maxExported),
			"The max number of external_ids and aliases per request was exceeded"}
	}
	if in.DeviceID != "" {
		return nil, fault.New(fault.Invalid, "", "Users are not found by device_id here.").WithHint("Name them by external_ids, user_aliases, braze_id, email_address or phone.")
	}
	writer, err := q.Writer(in.Fields, nil, q.Now())
	if err != nil {
		return nil, err
	}
	var ids []control.Identifier
	for _, id := range in.ExternalIDs {
		ids = append(ids, control.IdentifiersOf(control.ByExternalID, id)...)
	}
	for _, a := range in.Aliases {
		ids = append(ids, control.ByNameOf(a))
	}
	for kind, value := range map[control.IdentifierKind]string{control.ByPerson: in.BrazeID, control.ByEmail: in.Email, control.ByPhone: in.Phone} {
		if value != "" {
			ids = append(ids, control.IdentifiersOf(kind, value)...)
		}
	}
	if len(ids) == 0 {
		return nil, &mistake{fault.New(fault.Invalid, "", "Nobody is named: give external_ids, user_aliases, braze_id, email_address or phone."), "Bad Request"}
	}
	known, err := q.People.Whom(q, q.workspace, ids)
	if err != nil {
		return nil, err
	}
	var who []control.PersonID
	seen, named := map[control.PersonID]bool{}, map[string]bool{}
	for _, k := range known {
		if k.Kind == control.ByExternalID || k.Kind == control.ByFormerID {
			named[k.Value] = true
		}
		if !seen[k.Person] {
			seen[k.Person] = true
			who = append(who, k.Person)
		}
	}
	users, err := q.write(who, writer)
	if err != nil {
		return nil, err
	}
	out := answer{"users": users}
	unknown := []string{}
	for _, id := range in.ExternalIDs {
		if !named[id] {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		out["invalid_user_ids"] = unknown
	}
	return out, nil
}

// write gives people as JSON, in the order of their rows. Who has been told apart and not been made yet is left out.
func (q *request) write(who []control.PersonID, to Writer) ([]json.RawMessage, error) {
	people, err := q.People.People(q, q.workspace, who)
	if err != nil {
		return nil, err
	}
	users := []json.RawMessage{}
	for _, p := range people {
		x := control.Profile{Person: p}
		if x.Deeds, err = q.People.Done(q, p); err != nil {
			return nil, err
		}
		if x.Had, err = q.People.Had(q, p); err != nil {
			return nil, err
		}
		line, err := to.Append(nil, x)
		if err != nil {
			return nil, err
		}
		users = append(users, line)
	}
	return users, nil
}
