package web

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// ledgerRoutes are about what became of events.
func (a *api) ledgerRoutes() []route {
	const group = "ledger"
	return []route{
		{name: "listFiles", method: http.MethodGet, path: atConnector + "/files", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the files that were delivered, in the order of writing, or the other way round.", op: op(a.listFiles)},
		{name: "getFile", method: http.MethodGet, path: atConnector + "/files/{file}", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives a file of the ledger.", op: op(a.getFile)},
		{name: "getFileRecords", method: http.MethodGet, path: atConnector + "/files/{file}/records", right: control.RightExportUserData, group: group, status: http.StatusOK,
			also: []fault.Code{fault.Conflict}, summary: "Reads the first records of a file with the connector's credentials. The log of changes keeps who looked.", op: op(a.getFileRecords)},
		{name: "listLosses", method: http.MethodGet, path: atConnector + "/losses", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists what was dropped by rule, and why.", op: op(a.listLosses)},
		{name: "getAudit", method: http.MethodGet, path: atConnector + "/audit", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Compares what was accepted with what became of it, by hour and type: at most 31 days, the last one if nothing is said.", op: op(a.getAudit)},
		{name: "getWaiting", method: http.MethodGet, path: atConnector + "/waiting", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Counts what was accepted and is neither delivered nor dropped: what deleting the connector puts at risk.", op: op(a.getWaiting)},
		{name: "getHour", method: http.MethodGet, path: atConnector + "/hours/{hour}", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Says whether an hour is complete, and waits for it if asked to.", op: op(a.getHour)},
	}
}

// hours is which hours of acceptance are asked for.
type hours struct {
	From  *time.Time `query:"from" doc:"Hours of acceptance from this one on."`
	Until *time.Time `query:"until" doc:"Hours before this one."`
}

// filter gives f these hours, and what is wrong with them.
func (h hours) filter(f *control.LedgerFilter) (problems []fault.Problem) {
	if h.From != nil {
		f.From = eventlog.HourOf(*h.From)
	}
	if h.Until != nil {
		f.Until = eventlog.HourOf(*h.Until)
		if f.Until <= f.From {
			problems = append(problems, fault.Field("until", "out_of_range", "field.until", "The end lies after the beginning."))
		}
	}
	return problems
}

type ledgerIn struct {
	paged
	hours
	Connector control.ConnectorID `path:"connector"`
	Type      string              `query:"event_type" doc:"Only events of this type."`
	Order     string              `query:"order" enum:",oldest,newest" doc:"The oldest stand first if it is left out."`
}

type filesIn struct {
	ledgerIn
	Search string `query:"search" doc:"Only files whose key holds this text, of the newest 20000 that the rest chooses. An address as s3://BUCKET/KEY finds that file."`
}

// ledger gives the filter of the rows of one connector. Errors: not_found, invalid.
func (a *api) ledger(c *call, in ledgerIn) (control.LedgerFilter, error) {
	f := control.LedgerFilter{Workspace: c.workspace.Number, Connector: in.Connector, EventType: in.Type, Newest: in.Order == "newest"}
	if _, err := a.deps.Store.Connector(c, c.workspace.Number, in.Connector); err != nil {
		return f, err
	}
	unknown, err := a.unknownType(c, in.Type)
	if err != nil {
		return f, err
	}
	return f, refused(append(in.filter(&f), unknown...))
}

// unknownType gives the problem of a type that neither is in the catalogue nor ever was: the ledger also tells of types
// whose schema files the operator has taken away.
func (a *api) unknownType(c *call, name string) ([]fault.Problem, error) {
	if _, known := a.deps.Catalogue.Type(name); known || name == "" {
		return nil, nil
	}
	kept, err := a.deps.Store.Schemas(c)
	if err != nil || slices.ContainsFunc(kept, func(p control.SchemaPrint) bool { return p.Type == name }) {
		return nil, err
	}
	message := fmt.Sprintf("There is no event type %q.", cut(name))
	if near := a.deps.Catalogue.Nearest(name); near != "" {
		message += fmt.Sprintf(" Did you mean %q?", near)
	}
	return []fault.Problem{{Field: "event_type", Code: "unknown_value", Message: message}}, nil
}

// buckets gives the bucket of each destination that a connector ever had.
func (a *api) buckets(c *call, id control.ConnectorID) (map[int]string, error) {
	ds, err := a.deps.Store.Destinations(c, c.workspace.Number, id)
	by := map[int]string{}
	for _, d := range ds {
		by[d.Number] = d.Bucket
	}
	return by, err
}

func (a *api) showFile(f control.File, buckets map[int]string) client.File {
	out := client.File{ID: a.deps.IDs.name(fileID, f.ID), Key: f.Key, Bucket: buckets[f.Lane.Destination], EventType: f.EventType, Hour: f.Stream.Hour.Start(),
		First: int64(f.First), Last: int64(f.Last), Events: f.Events, Bytes: f.Size, Cut: f.Cut, At: f.At,
		SchemaID: int(f.Stream.Schema), Destination: f.Lane.Destination, Version: f.Version, Adopted: f.Adopted, Test: f.Stream.Target != 0}
	if s, ok := a.deps.Catalogue.Schema(event.SchemaID(f.Stream.Schema)); ok {
		print := s.Fingerprint()
		out.Fingerprint = hex.EncodeToString(print[:])
	}
	if f.RawHash != ([16]byte{}) {
		out.SHA = hex.EncodeToString(f.RawHash[:])
	}
	return out
}

func (a *api) listFiles(c *call, in filesIn) (out client.Page[client.File], err error) {
	f, err := a.ledger(c, in.ledgerIn)
	if err != nil {
		return out, err
	}
	f.Search = in.Search
	if address, ok := strings.CutPrefix(f.Search, "s3://"); ok {
		_, f.Search, _ = strings.Cut(address, "/")
	}
	buckets, err := a.buckets(c, in.Connector)
	if err != nil {
		return out, err
	}
	return page(c, in.paged, func(after int64, limit int) ([]control.File, error) { return a.deps.Store.Files(c, f, after, limit) },
		func(x control.File) int64 { return x.ID }, func(x control.File) client.File { return a.showFile(x, buckets) })
}

type fileIn struct {
	Connector control.ConnectorID `path:"connector"`
	File      string              `path:"file"`
}

func (a *api) getFile(c *call, in fileIn) (out client.File, err error) {
	f, err := a.file(c, in)
	if err != nil {
		return out, err
	}
	buckets, err := a.buckets(c, in.Connector)
	return a.showFile(f, buckets), err
}

// file gives a row of the ledger. Errors: not_found.
func (a *api) file(c *call, in fileIn) (control.File, error) {
	f, err := a.ledger(c, ledgerIn{Connector: in.Connector})
	if err != nil {
		return control.File{}, err
	}
	id, err := a.deps.IDs.number(fileID, in.File)
	if err != nil {
		return control.File{}, err
	}
	found, err := a.deps.Store.Files(c, f, id-1, 1)
	if err == nil && (len(found) == 0 || found[0].ID != id) {
		err = fault.New(fault.NotFound, "", "There is nothing of this name.")
	}
	if err != nil {
		return control.File{}, err
	}
	return found[0], nil
}

func (a *api) listLosses(c *call, in ledgerIn) (out client.Page[client.Loss], err error) {
	f, err := a.ledger(c, in)
	if err != nil {
		return out, err
	}
	return page(c, in.paged, func(after int64, limit int) ([]control.Drop, error) { return a.deps.Store.Drops(c, f, after, limit) },
		func(d control.Drop) int64 { return d.ID }, func(d control.Drop) client.Loss {
			l := client.Loss{ID: a.deps.IDs.name(dropID, d.ID), EventType: d.EventType, First: int64(d.First), Last: int64(d.Last), Events: d.Events,
				Reason: string(d.Reason), Settled: d.Settled, At: d.At, ToldAt: maybe(d.ToldAt)}
			if !d.OverAll() {
				l.Hour = new(d.Stream.Hour.Start())
			}
			return l
		})
}

// auditDays is how many days an audit spans at most.
const auditDays = 31

type auditIn struct {
	hours
	Connector control.ConnectorID `path:"connector"`
}

func (a *api) getAudit(c *call, in auditIn) (out client.Page[client.AuditHour], err error) {
	f := control.LedgerFilter{Until: eventlog.HourOf(time.Now()) + 1}
	if err := refused(in.filter(&f)); err != nil {
		return out, err
	}
	if in.From == nil {
		f.From = f.Until - 24
	}
	if f.Until <= f.From || f.Until-f.From > 24*auditDays {
		return out, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{fault.Field("from", "out_of_range", "field.audit", "An audit begins before its end, and spans at most 31 days.")}}
	}
	by, err := a.deps.Store.Audit(c, c.workspace.Number, in.Connector, f.From, f.Until)
	for _, h := range slices.Sorted(maps.Keys(by)) {
		out.Items = append(out.Items, client.AuditHour{Hour: h.Start(), Counts: showCounts(by[h])})
	}
	return out, err
}

func showCounts(counts []control.HourCount) (out []client.AuditCount) {
	for _, n := range counts {
		out = append(out, client.AuditCount(n))
	}
	return out
}

func (a *api) getWaiting(c *call, in connectorIn) (out client.Waiting, err error) {
	if _, err := a.deps.Store.Connector(c, c.workspace.Number, in.Connector); err != nil {
		return out, err
	}
	by, err := a.deps.Store.Waiting(c, c.workspace.Number, []control.ConnectorID{in.Connector})
	if w := by[in.Connector]; w.Events > 0 {
		out = client.Waiting{Events: w.Events, Since: new(w.Since.Start())}
	}
	return out, err
}

// Bounds of waiting for an hour.
const (
	maxHourWait = 60 // seconds
	hourLook    = time.Second
)

// hourForm is how an hour stands in an address.
const hourForm = "2006-01-02T15"

type hourIn struct {
	Connector control.ConnectorID `path:"connector"`
	Hour      string              `path:"hour" doc:"Of acceptance, UTC: 2026-11-22T10."`
	Wait      int                 `query:"wait" doc:"For how many seconds to wait for it, 0 to 60; 0 if it is left out."`
}

func (a *api) getHour(c *call, in hourIn) (client.Hour, error) {
	x, err := a.deps.Store.Connector(c, c.workspace.Number, in.Connector)
	if err != nil {
		return client.Hour{}, err
	}
	var problems []fault.Problem
	start, err := time.Parse(hourForm, in.Hour)
	if err != nil {
		problems = append(problems, fault.Problem{Field: "hour", Code: "invalid_time", Message: "An hour is written as 2026-11-22T10."})
	}
	if in.Wait < 0 || in.Wait > maxHourWait {
		problems = append(problems, fault.Problem{Field: "wait", Code: "out_of_range", Message: "One waits for 0 to 60 seconds."})
	}
	if len(problems) > 0 {
		return client.Hour{}, &fault.Error{Code: fault.Invalid, Fields: problems}
	}
	h := eventlog.HourOf(start)
	if h < eventlog.HourOf(x.CreatedAt) {
		return client.Hour{}, fault.New(fault.NotFound, "", "The connector was launched in the hour %s and has none before that.", x.CreatedAt.UTC().Format(hourForm))
	}
	late := time.After(time.Duration(in.Wait) * time.Second)
	look := time.NewTicker(hourLook)
	defer look.Stop()
	for last := in.Wait == 0; ; {
		done, complete, err := a.deps.Store.HourDone(c, c.workspace.Number, in.Connector, h)
		if err != nil {
			return client.Hour{}, err
		}
		if complete {
			return client.Hour{Hour: h.Start(), Complete: true, CompleteAt: maybe(done.At), Counts: showCounts(done.Counts)}, nil
		}
		if last {
			by, err := a.deps.Store.Audit(c, c.workspace.Number, in.Connector, h, h+1)
			return client.Hour{Hour: h.Start(), Counts: showCounts(by[h])}, err
		}
		select {
		case <-look.C:
		case <-late:
			last = true
		case <-a.deps.Stopping:
			last = true
		case <-c.Done():
			return client.Hour{}, fault.From(c.Err(), fault.Unavailable, "wait for the hour")
		}
	}
}
