package control

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/bucket"
)

// The views are what the log of changes shows of things: a field for each that people decide about, named as in the file
// of apply and in the API, and no secret.

type view = map[string]any

func viewMember(m Member) view {
	return view{"email": m.Email, "name": m.Name, "language": m.Language, "time_zone": m.TimeZone, "mail": m.Mail, "installation_administrator": m.Installation}
}

func viewSeat(s Membership) view { return view{"role": s.Role, "export_user_data": s.ExportUserData} }

func viewTicket(t Ticket) view {
	v := view{"email": t.Email, "installation_administrator": t.Installation}
	if t.Workspace != 0 {
		v["role"], v["export_user_data"] = t.Role, t.ExportUserData
	}
	return v
}

func viewToken(t Token) view {
	return view{"name": t.Name, "read_only": t.ReadOnly, "expires_at": viewTime(t.ExpiresAt)}
}

func viewKey(k APIKey) view {
	return view{"name": k.Name, "scopes": append([]Scope{}, k.Scopes...), "networks": append([]netip.Prefix{}, k.Networks...), "expires_at": viewTime(k.ExpiresAt)}
}

func viewWorkspace(w Workspace) view {
	return view{"name": w.Name, "unknown_fields": w.UnknownFields, "language": w.Language, "time_zone": w.TimeZone, "control_group": w.ControlGroup}
}

func viewWebhook(w Webhook) view {
	return view{"url": w.URL, "kinds": append([]NoticeKind{}, w.Kinds...)}
}

func viewExport(d DataExport) view {
	return view{"bucket": d.Bucket, "region": d.Region, "endpoint": d.Endpoint, "path_style": d.PathStyle,
		"access_key_id": d.AccessKeyID, "role_arn": d.RoleARN}
}

func viewConnector(c Connector) view {
	d := c.Destination
	return view{"name": c.Name, "contact_email": c.ContactEmail, "paused": c.Paused, "test": c.Test, "deleted": c.Deleted,
		"destination.bucket": d.Bucket, "destination.folder": d.Folder, "destination.region": d.Region, "destination.endpoint": d.Endpoint,
		"destination.path_style": d.PathStyle, "encryption": d.Encryption,
		"destination.access_key_id": c.AccessKeyID, "destination.role_arn": c.RoleARN,
		"events": append([]string{}, c.Events...), "transformations": append([]Transformation{}, c.Transformations...), "codec": c.Codec,
		"flush.interval": c.FlushInterval.String(), "flush.events": c.FlushEvents}
}

// viewDraft shows a draft as the connector that it would be.
func viewDraft(d Draft) view {
	c, _, _ := d.Edit.apply(newConnector(), bucket.Access{})
	v := viewConnector(c)
	if d.Edit.SameAs != nil {
		v["destination.same_as"] = *d.Edit.SameAs
	}
	return v
}

// viewTime shows a time that may be never.
func viewTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// secretOfDestination is how a connector's secret access key is called in the log of changes.
const secretOfDestination = "destination.secret_access_key"

// DataExportID is what the log of changes calls a workspace's data export: it has one, without an id of its own.
const DataExportID = "data-export"

func subjectWorkspace(w Workspace) subject {
	return subject{w.Number, strconv.FormatUint(uint64(w.Number), 10), w.Name}
}
func subjectKey(k APIKey) subject          { return subject{k.Workspace, string(k.ID), k.Name} }
func subjectConnector(c Connector) subject { return subject{c.Workspace, string(c.Connector), c.Name} }
func subjectDraft(d Draft) subject         { return subject{d.Workspace, string(d.ID), d.Name()} }
func subjectExport(d DataExport) subject   { return subject{d.Workspace, DataExportID, exportName} }

// A webhook that is made has no id yet: store names it.
func subjectWebhook(w Webhook) subject {
	return subject{w.Workspace, strconv.FormatInt(w.ID, 10), w.URL}
}
