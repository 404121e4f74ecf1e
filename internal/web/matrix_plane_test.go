package web

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/secret"
)

// passing is a customer's store that lets everybody in.
func passing(context.Context, bucket.CheckInput) (bucket.Report, error) {
	return bucket.Report{OK: true, Region: "us-east-1", Steps: []bucket.Step{{Action: "s3:PutObject", State: bucket.Passed}}}, nil
}

// books is what other rooms write.
type books interface {
	Store
	ApplyControl(ctx context.Context, log eventlog.ID, next eventlog.Offset, recs []control.LoggedRecord) error
	Position(ctx context.Context, l control.Lane) (control.Position, error)
	Save(ctx context.Context, sv control.Save) (int64, error)
	SaveHealth(ctx context.Context, h control.Health) error
	RecordSchemas(ctx context.Context, schemas []control.SchemaPrint) error
	SaveJob(ctx context.Context, j control.Job) error
	JobProgress(ctx context.Context, id int64, progress json.RawMessage) error
	AddNotice(ctx context.Context, n control.Notice) error
	CountsCursor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error)
	AddCounts(ctx context.Context, log eventlog.ID, next eventlog.Offset, counts []control.Count) error
	CompleteHours(ctx context.Context, log eventlog.ID) ([]control.HourDone, error)
	AcquireLease(ctx context.Context, log eventlog.ID, owner string, ttl time.Duration) (bool, error)
}

// db is the world's database, for what no address of the API makes.
func (w *world) db() books { return w.api.deps.Store.(books) }

// wish is a good connector of a name and folder that nothing has.
func wish() client.ConnectorEdit {
	name := fresh()
	return client.ConnectorEdit{Name: &name, ContactEmail: new("data@acme.example"), Events: &[]string{"all"},
		Destination: &client.DestinationEdit{Bucket: new("acme-currents"), Folder: &name, Region: new("us-east-1"),
			AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: new("hunter2hunter2")}}
}

// launched makes a connector.
func (w *world) launched(in control.Workspace) control.Connector {
	w.t.Helper()
	c, err := w.plane.Launch(w.root(), in.Number, editOf(wish()))
	must(w.t, err)
	return c
}

// theLog is the log of a world. Nothing stands in it but what the ledger says.
var theLog = eventlog.ID{1, 2, 3}

// delivered takes up a connector's control record at offset at, and writes n files of one event each behind it.
func (w *world) delivered(c control.Connector, at eventlog.Offset, n int) {
	w.t.Helper()
	must(w.t, w.db().ApplyControl(w.t.Context(), theLog, at+1, []control.LoggedRecord{
		{Offset: at, Workspace: c.Workspace, Record: control.Record{Kind: control.RecordConfig, Config: &c.Config}}}))
	l := control.Lane{Connector: c.Connector, Destination: c.Destination.Number}
	p, err := w.db().Position(w.t.Context(), l)
	must(w.t, err)
	save := control.Save{Position: p}
	hour := eventlog.HourOf(c.CreatedAt)
	for i := range n {
		first := at + 1 + eventlog.Offset(i)
		save.Files = append(save.Files, control.File{Lane: l, Key: fmt.Sprint("key", i), Stream: control.Stream{Schema: 1, Hour: hour + eventlog.Hour(i%2)}, EventType: "users.messages.email.Open",
			Log: theLog, First: first, Last: first, Events: 1, RawHash: [16]byte{1}, Size: 100, Version: 1, Encoder: 1, Cut: "age", At: c.CreatedAt})
		save.Drops = append(save.Drops, control.Drop{Lane: l, Stream: control.Stream{Schema: 1, Hour: hour}, EventType: "users.messages.email.Click",
			Log: theLog, First: first, Last: first, Events: 1, Reason: control.DropGrace, Settled: true, At: c.CreatedAt})
		save.Position.Cursor = first + 1
	}
	_, err = w.db().Save(w.t.Context(), save)
	must(w.t, err)
}

// planeExamples are those of rows about connectors and what belongs to them.
func (w *world) planeExamples() map[string]func(who string) example {
	offset := eventlog.Offset(10)
	connector := func(below string, body any) func(string) example {
		return func(string) example {
			c := w.launched(w.acme)
			offset += 10
			w.delivered(c, offset, 1)
			return example{path: "/workspaces/acme/connectors/" + string(c.Connector) + below, body: body}
		}
	}
	at := func(path string) func(string) example { return func(string) example { return example{path: path} } }
	of := func(who string) control.Workspace {
		if who == stranger {
			return w.globex
		}
		return w.acme
	}
	draft := func(below string, body any) func(string) example {
		return func(string) example {
			d, err := w.plane.SaveDraft(w.root(), w.acme.Number, "", editOf(wish()), nil)
			must(w.t, err)
			return example{path: "/workspaces/acme/drafts/" + string(d.ID) + below, body: body}
		}
	}
	export := client.DataExportEdit{Bucket: new("acme-exports"), AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: new("hunter2hunter2")}
	linked := func(string) example {
		_, _, err := w.plane.SaveDataExport(w.root(), w.acme.Number, dataExportIn{export}.edit())
		must(w.t, err)
		return example{path: "/workspaces/acme/data-export"}
	}
	webhook := func(below string) func(string) example {
		return func(string) example {
			h, err := w.plane.CreateWebhook(w.root(), control.Webhook{Workspace: w.acme.Number, URL: "https://acme.example/" + fresh()})
			must(w.t, err)
			return example{path: "/workspaces/acme/webhooks/" + w.api.deps.IDs.name(webhookID, h.ID) + below}
		}
	}
	notice := func(workspace uint32) client.NoticesRead {
		must(w.t, w.db().AddNotice(w.t.Context(), control.Notice{Workspace: workspace, Kind: control.NoticeKeyUnused, Episode: fresh(), At: time.Now()}))
		ns, err := w.db().Notices(w.t.Context(), workspace, 0, 1)
		must(w.t, err)
		return client.NoticesRead{UpTo: w.api.deps.IDs.name(noticeID, ns[0].ID)}
	}
	return map[string]func(string) example{
		"listConnectors": at("/workspaces/acme/connectors"),
		"launchConnector": func(string) example {
			return example{path: "/workspaces/acme/connectors", body: wish()}
		},
		"getConnector":        connector("", nil),
		"updateConnector":     connector("", client.ConnectorEdit{Codec: new("snappy")}),
		"previewConnector":    connector("/preview", client.ConnectorEdit{Codec: new("snappy")}),
		"deleteConnector":     connector("", nil),
		"pauseConnector":      connector("/pause", nil),
		"resumeConnector":     connector("/resume", nil),
		"upgradeConnector":    connector("/upgrade", nil),
		"checkConnector":      connector("/check", nil),
		"sendTestEvents":      connector("/test-events", nil),
		"replayConnector":     connector("/replays", client.Replay{From: time.Now().Add(-time.Hour)}),
		"listConnectorChecks": connector("/checks", nil),
		"listFiles":           connector("/files", nil),
		"getFile": func(who string) example {
			x := connector("/files/", nil)(who)
			fs, err := w.db().Files(w.t.Context(), control.LedgerFilter{Workspace: w.acme.Number}, 0, 100_000)
			must(w.t, err)
			return example{path: x.path + w.api.deps.IDs.name(fileID, fs[len(fs)-1].ID)}
		},
		"listLosses": connector("/losses", nil),
		"getAudit":   connector("/audit", nil),
		"getWaiting": connector("/waiting", nil),
		"getHour": func(who string) example {
			return connector("/hours/"+time.Now().UTC().Format(hourForm), nil)(who)
		},

		"listDrafts":  at("/workspaces/acme/drafts"),
		"createDraft": func(string) example { return example{path: "/workspaces/acme/drafts", body: wish()} },
		"getDraft":    draft("", nil),
		"saveDraft":   draft("", wish()),
		"deleteDraft": draft("", nil),
		"launchDraft": draft("/launch", nil),

		"getDataExport":        linked,
		"saveDataExport":       func(string) example { return example{path: "/workspaces/acme/data-export", body: export} },
		"testDataExport":       func(string) example { return example{path: "/workspaces/acme/data-export/test", body: export} },
		"deleteDataExport":     linked,
		"listDataExportChecks": at("/workspaces/acme/data-export/checks"),

		"getPolicy": at("/workspaces/acme/policies/currents?bucket=acme-currents&method=role&format=terraform"),
		"getTrust":  at("/workspaces/acme/trust"),

		"listNotices":             at("/workspaces/acme/notices"),
		"countUnread":             at("/workspaces/acme/notices/unread"),
		"countInstallationUnread": at("/installation/notices/unread"),
		"markNoticesRead": func(string) example {
			return example{path: "/workspaces/acme/notices/read", body: notice(w.acme.Number)}
		},
		"listInstallationNotices": at("/installation/notices"),
		"markInstallationNoticesRead": func(string) example {
			return example{path: "/installation/notices/read", body: notice(0)}
		},

		"listWebhooks": at("/workspaces/acme/webhooks"),
		"createWebhook": func(string) example {
			return example{path: "/workspaces/acme/webhooks", body: client.WebhookCreate{URL: "https://acme.example/" + fresh(), Kinds: []string{"failing"}}}
		},
		"deleteWebhook": webhook(""),
		"testWebhook":   webhook("/test"),

		"listEventTypes": at("/event-types"),
		"getEventType":   at("/event-types/users.messages.email.Open?ddl=snowflake"),
		"getRules":       at("/rules"),

		"getCheck": func(who string) example {
			j, err := w.plane.AskLaunch(w.root(), of(who).Number, editOf(wish()))
			must(w.t, err)
			return example{path: "/checks/" + w.api.deps.IDs.name(checkID, j.ID)}
		},
		"listOpenChecks": at("/workspaces/acme/checks"),
		"getJob": func(who string) example {
			id, err := w.plane.SendTestEvents(w.root(), of(who).Number, w.launched(of(who)).Connector)
			must(w.t, err)
			return example{path: "/jobs/" + w.api.deps.IDs.name(jobID, id)}
		},
		"apply": func(who string) example {
			return example{path: "/apply", body: client.Manifest{Name: "apply.yaml", Text: "workspaces: [{name: " + of(who).Name + "}]", Secrets: map[string]string{"env:X": secret.New("x").Reveal()}},
				refused: []string{viewer, exporter}} // who may change nothing has nothing read
		},
	}
}
