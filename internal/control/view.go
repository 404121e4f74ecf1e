package control

import (
	"net/netip"
	"time"
)

// The views are what the log of changes shows of things: a field for each that people decide about, named as in the file
// of apply and in the API, and no secret.

type view = map[string]any

func viewMember(m Member) view {
	return view{"email": m.Email, "name": m.Name, "language": m.Language, "time_zone": m.TimeZone, "installation_administrator": m.Installation}
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
	return view{"name": k.Name, "scopes": k.Scopes, "networks": append([]netip.Prefix{}, k.Networks...), "expires_at": viewTime(k.ExpiresAt)}
}

func viewWorkspace(w Workspace) view {
	return view{"name": w.Name, "unknown_fields": w.UnknownFields, "language": w.Language}
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

// viewTime shows a time that may be none.
func viewTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}
