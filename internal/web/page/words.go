package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

// fieldWords are what the fields of things are called, by their names in the log of changes: as on their forms. A test holds
// them to what control writes.
var fieldWords = map[string]string{
	"name": "page.name", "contact_email": "page.contact", "paused": "page.status_paused", "test": "page.form_test", "deleted": "page.status_deleted",
	"destination.bucket": "page.bucket", "destination.folder": "page.folder", "destination.region": "page.region", "destination.endpoint": "page.endpoint",
	"destination.path_style": "page.path_style", "destination.access_key_id": "page.access_key_id", secretField: "page.secret_access_key",
	"destination.role_arn": "page.role_arn", "destination.same_as": "page.form_same_as", "encryption": "page.encryption", "events": "page.event_types",
	"transformations": "page.transformations", "codec": "page.form_codec", "flush.interval": "page.form_interval", "flush.events": "page.form_count",
	"bucket": "page.bucket", "region": "page.region", "endpoint": "page.endpoint", "path_style": "page.path_style", "access_key_id": "page.access_key_id",
	"secret_access_key": "page.secret_access_key", "role_arn": "page.role_arn",
	"email": "page.email", "language": "page.language", "time_zone": "page.me_zone", "mail": "page.me_mail", "role": "page.role",
	"export_user_data": "page.export_user_data", "installation_administrator": "page.word_installation", "password": "page.password",
	"two_factor": "page.two_factor", "workspace": "page.kind_of_workspace", "sessions": "page.me_sessions", "tokens": "page.me_tokens", "issuer": "page.word_issuer", "subject": "page.word_subject",
	"read_only": "page.me_token_read_only", "expires_at": "page.ends", "scopes": "page.scopes", "networks": "page.networks", "secret": "page.secret",
	"export_kind": "page.word_export_kind", "source": "page.word_source", "state": "page.word_state", "fields": "page.word_fields", "custom_attributes": "page.word_custom_attributes",
	"custom_events": "page.word_custom_events", "callback": "page.word_callback", "recipients": "page.word_recipients", "control_group": "page.word_control_group",
	"report": "page.word_report", "packing": "page.word_packing", "delimiter": "page.export_delimiter", "bom": "page.export_bom_short", "every": "page.word_every", "unit": "page.word_unit",
	"first_day": "page.word_first_day", "last_day": "page.word_last_day", "hour": "page.word_hour", "zone": "page.me_zone", "most": "page.word_most", "member": "page.who",
	"unknown_fields": "page.unknown_fields", "url": "page.address", "kinds": "page.notices_sent",
	"description": "page.segment_description", "tags": "page.segment_tags", "filter": "page.word_filter", "analytics": "page.segment_daily",
	"archived": "page.word_archived", "by": "page.person_by", "file": "page.file",
	"from": "page.word_from", "until": "page.word_until", "dropped": "page.form_replay_dropped",
}

// fieldWord says what a field is called; one that has no word, by its name.
func (v *visit) fieldWord(name string) string {
	if key, ok := fieldWords[name]; ok {
		return v.t(key)
	}
	return name
}

// value says what is in a field, as the log of changes has it.
func (v *visit) value(field string, is any) string {
	switch x := is.(type) {
	case nil:
		return "–"
	case bool:
		if x {
			return v.t("page.form_on")
		}
		return v.t("page.form_off")
	case string:
		return v.valueWord(field, x)
	case []any:
		words := make([]string, len(x))
		for i, one := range x {
			switch one := one.(type) {
			case map[string]any: // a transformation
				key := map[any]string{"remove": "page.form_remove", "hash": "page.form_hash"}[one["action"]]
				words[i] = fmt.Sprint(one["field"]) + ": " + v.t(key)
			default:
				words[i] = v.valueWord(field, fmt.Sprint(one))
			}
		}
		if len(words) > 0 {
			return strings.Join(words, ", ")
		}
		if field == "kinds" {
			return v.t("page.all_kinds")
		}
		return "–"
	}
	return v.plainly(is)
}

// valueWord says one text of a field.
func (v *visit) valueWord(field, is string) string {
	switch field {
	case "events":
		return v.eventWord(is)
	case "filter":
		if f, wrong := control.ParseFilter(field, []byte(is)); len(wrong) == 0 {
			return sentence(f.Words(func(key string, params map[string]any) string { return text.T(v.lang, key, params) }))
		}
	case "role":
		return v.role(is)
	case "unknown_fields":
		return v.unknownFields(is)
	case "codec":
		if is == "null" {
			return v.t("page.form_codec_none")
		}
	case "flush.interval":
		if d, err := time.ParseDuration(is); err == nil {
			return v.lang.Duration(d)
		}
	case "expires_at", "from", "until":
		if at, err := time.Parse(time.RFC3339, is); err == nil {
			return v.lang.Time(at, v.zone)
		}
	case "language":
		if name := languageNames[text.Language(is)]; name != "" {
			return name
		}
	case "mail":
		for _, w := range mailWishes {
			if w.name == is {
				return v.t(w.key)
			}
		}
	case "by":
		for _, x := range findsBy {
			if x.name == is {
				return v.t(x.key)
			}
		}
	case "kinds":
		for _, g := range noticeKinds {
			for _, k := range g.kinds {
				if k.name == is {
					return v.t(k.text)
				}
			}
		}
	}
	return v.plainly(is)
}

// eventWord says an event type, a group of them, or all.
func (v *visit) eventWord(name string) string {
	if name == "all" {
		return v.t("page.all_events")
	}
	if i := slices.IndexFunc(groups, func(g group) bool { return g.name == name }); i >= 0 {
		return v.t(groups[i].key)
	}
	return name
}
