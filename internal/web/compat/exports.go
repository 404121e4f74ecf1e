package compat

import (
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
func exportCalls() []call {
	return []call{{method: http.MethodPost, path: "/users/export/ids", quota: httpd.NewQuota(250, time.Minute), run: exportIDs}}
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
	if len(in.Fields) == 0 {
		return nil, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{fault.Field("fields_to_export", "required", "field.export_fields", "Say which fields to export.")}}
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
