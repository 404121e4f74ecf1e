package control

import (
	"context"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// ExportScope is what a key must allow to ask for exports of that kind; empty: no key may.
func ExportScope(k ExportKind) Scope {
	switch k {
	case ExportSegmentUsers:
		return "users.export.segment"
	case ExportControlGroup:
		return "users.export.global_control_group"
	}
	return ""
}

// AskExport makes an export wait, and gives it as it is then: of e it takes Workspace, Kind, Source, Key, Subject, Title and
// Spec. Of whom it is, where its files go and what it is called is found out now. A member needs the right to take out
// personal data; a program's key was looked at by who let it in.
//
// Errors: invalid with every problem; not_found if there is no such segment; conflict if the workspace has no global control
// group; forbidden; rate_limited, see Store.AddExport.
func (p *Plane) AskExport(ctx context.Context, e Export) (Export, error) {
	const op = "ask for export"
	ctx, err := p.holdExport(ctx, e)
	if err == nil {
		e, err = p.planExportOf(ctx, e)
	}
	if err != nil {
		return Export{}, fault.Wrap(err, op)
	}
	e.Number, err = p.Store.AddExport(p.logged(ctx, "export.create", subjectOfExport(e), nil, viewOfExport(e)), e)
	return e, fault.Wrap(err, op)
}

// LookAtExport gives every problem of an export that would be asked for, and does nothing. Errors: as AskExport.
func (p *Plane) LookAtExport(ctx context.Context, e Export) error {
	_, err := p.planExportOf(ctx, e)
	return err
}

// holdExport holds a member to the right to export.
func (p *Plane) holdExport(ctx context.Context, e Export) (context.Context, error) {
	if e.Key != "" {
		return ctx, nil
	}
	ctx, _, err := need(ctx, RightExportUserData, e.Workspace)
	return ctx, err
}

func (p *Plane) planExportOf(ctx context.Context, e Export) (Export, error) {
	now := p.now()
	e.ID, e.Actor, e.State, e.CreatedAt = NewExportID(now), ActorOf(ctx), ExportWaiting, now
	if err := p.whomExport(ctx, &e); err != nil {
		return e, err
	}
	problems := e.Spec.validate(e.Kind)
	if !slices.Contains(ExportKinds(), e.Kind) {
		problems = append(problems, oneOf("kind", string(e.Kind), texts(ExportKinds())...))
	}
	if e.Kind.Counts() {
		problems = append(problems, e.Spec.Report.Validate("report", e.Kind)...)
	}
	if len(e.Spec.Recipients) > 0 {
		seats, err := p.Store.Seats(ctx, e.Workspace)
		if err != nil {
			return e, err
		}
		problems = append(problems, validateRecipients(e.Spec.Recipients, seats)...)
	}
	if e.Spec.Callback != "" {
		problems = append(problems, p.validateCallback(e.Spec.Callback)...)
	}
	if p.CheckExport != nil {
		err := p.CheckExport(e)
		wrong := fault.As(err)
		if err != nil && (wrong == nil || wrong.Code != fault.Invalid) {
			return e, err
		}
		if wrong != nil {
			problems = append(problems, wrong.Fields...)
		}
	}
	if err := invalid("", problems); err != nil {
		return e, err
	}
	d, err := p.Store.DataExport(ctx, e.Workspace)
	if ended(err) != nil {
		return e, err
	}
	e.Place = ExportPlace{Bucket: d.Bucket, Endpoint: d.Endpoint}
	return e, nil
}

// whomExport finds out whom an export is of.
func (p *Plane) whomExport(ctx context.Context, e *Export) error {
	switch {
	case e.Kind.OfSegment() && e.Subject != "":
		s, err := p.Store.Segment(ctx, e.Workspace, SegmentID(e.Subject))
		if err != nil {
			return err
		}
		e.Title, e.Spec.Filter = s.Name, s.Filter
		if e.Kind == ExportEmailsCSV {
			e.Spec.Filter = Filter{All: []Filter{s.Filter, {Attribute: &Condition{Name: "email"}}}}
		}
	case e.Kind == ExportControlGroup:
		w, err := p.Store.WorkspaceBy(ctx, workspaceRef(e.Workspace))
		if err != nil {
			return err
		}
		if w.ControlGroup == "" {
			return &fault.Error{Code: fault.Conflict, Msg: fault.Message{Key: "control.no_control_group", Text: "The workspace has no global control group."},
				Hint: fault.Message{Key: "control.no_control_group_hint", Text: "An administrator gives it one in the workspace's settings, as ranges of random buckets."}}
		}
		e.Spec.Filter = w.ControlGroup.Filter()
	case e.Kind == ExportCampaignUsers:
		e.Spec.Filter = Filter{Message: &MessageDeed{Campaign: e.Subject, Did: DidReceive}}
	case e.Kind == ExportPerformance && len(e.Spec.Report.Campaigns) == 1:
		e.Subject = e.Spec.Report.Campaigns[0]
	case e.Kind == ExportEngagement && e.Subject == "": // a schedule has an id of its own
		e.Subject = string(e.ID)
	case e.Kind == ExportCanvasUsers:
		e.Spec.Filter = Filter{Message: &MessageDeed{Canvas: e.Subject, Did: DidEnter}}
	}
	return nil
}

// validate gives the problems of what a spec says of an export of a kind: what that would not heed is refused. Names of
// fields are the room export's to know.
func (s ExportSpec) validate(kind ExportKind) (ps []fault.Problem) {
	lines, counts := kind.Lines(), kind.Counts()
	columns := kind.OfPeople() && !lines && kind != ExportEmailsCSV
	for _, x := range []struct {
		field     string
		is, known bool
	}{
		{"fields_to_export", len(s.Fields) > 0, lines}, {"custom_attributes_to_export", len(s.Attributes) > 0, lines || columns}, {"custom_events_to_export", len(s.Events) > 0, columns},
		{"delimiter", s.Delimiter != "", !lines}, {"bom", s.BOM, !lines}, {"report", !reflect.ValueOf(s.Report).IsZero(), counts},
	} {
		if x.is && !x.known && slices.Contains(ExportKinds(), kind) {
			ps = append(ps, fault.Field(x.field, "invalid", "field.export_not_so", "Exports of this kind do not have this."))
		}
	}
	packings := ExportPackings()
	switch {
	case lines:
		packings = []string{"zip", "gzip"} // Source: Braze, "Export user profiles by segment"
	case columns || kind == ExportEmailsCSV:
		packings = []string{"zip"}
	}
	if s.Packing != "" && !slices.Contains(packings, s.Packing) {
		ps = append(ps, oneOf("output_format", s.Packing, packings...))
	}
	if s.Delimiter != "" && !slices.Contains(ExportDelimiters(), s.Delimiter) {
		ps = append(ps, oneOf("delimiter", s.Delimiter, ExportDelimiters()...))
	}
	if s.Language != "" && !slices.Contains(Languages(), s.Language) {
		ps = append(ps, oneOf("language", s.Language, Languages()...))
	}
	for _, x := range []struct {
		field string
		names []string
		most  int
	}{
		{"custom_attributes_to_export", s.Attributes, MaxExportAttributes},
		{"custom_events_to_export", s.Events, MaxExportAttributes},
		{"recipients", s.Recipients, maxExportRecipients},
	} {
		if len(x.names) > x.most {
			ps = append(ps, fault.Field(x.field, "too_many", "field.too_many_named", "At most {most} can be named.", "most", x.most))
		}
	}
	return ps
}

// validateCallback gives the problems of an address that a program gives to be called: those of a webhook's.
func (p *Plane) validateCallback(at string) (ps []fault.Problem) {
	for _, q := range p.validateNewWebhook(Webhook{URL: at}) {
		if q.Field == "url" {
			q.Field = "callback_endpoint"
			ps = append(ps, q)
		}
	}
	if u, err := url.Parse(at); err == nil && strings.Contains(u.Host, "*") {
		ps = append(ps, fault.Field("callback_endpoint", "invalid", "field.webhook_form", "This is not an address such as https://example.com/millrace."))
	}
	return ps
}

// MayExport gives a context in which whoever asked for an export acts, with the rights that they have now.
//
// Errors: forbidden if a member is gone or lost the right to export, or the key is revoked, ended, or allows it no more.
func (p *Plane) MayExport(ctx context.Context, e Export) (context.Context, error) {
	if e.Key != "" {
		keys, err := p.Store.Keys(ctx, e.Workspace)
		if err != nil {
			return ctx, err
		}
		if !slices.ContainsFunc(keys, func(k APIKey) bool {
			return k.ID == e.Key && slices.Contains(k.Scopes, ExportScope(e.Kind)) && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(p.now()))
		}) {
			return ctx, &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.export_key_gone", Text: "The API key that asked for the export may not do so any more."}}
		}
		return WithActor(ctx, e.Actor), nil
	}
	ctx, err := p.actNow(ctx, e.Actor)
	if err == nil && e.Actor.Member != "" {
		_, _, err = need(ctx, RightExportUserData, e.Workspace) // how far it is can be written down after that as well
	}
	if fault.Is(err, fault.Forbidden) { // read later, and by others than who asked
		err = &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.export_member_gone", Text: "Whoever asked for it may not export user data of this workspace any more."},
			Hint: fault.Message{Key: "control.export_member_gone_hint", Text: "An administrator gives them the right back, or somebody who has it asks for the export again."}}
	}
	return ctx, err
}

// CancelExport ends an export that waits or runs: what it has written to a bucket stays there, without the manifest that
// would make it whole. One that has ended stays as it is. It gives the export as it is then. Errors: not_found.
func (p *Plane) CancelExport(ctx context.Context, workspace uint32, id ExportID) (Export, error) {
	const op = "cancel export"
	e, err := p.Store.Export(ctx, workspace, id)
	if err != nil || !e.State.Open() {
		return e, fault.Wrap(err, op)
	}
	next := e.over(ExportCancelled, p.now())
	err = p.Store.EndExport(p.logged(ctx, "export.cancel", subjectOfExport(e), view{"state": e.State}, view{"state": next.State}), next)
	if fault.Is(err, fault.Stale) { // it has just ended by itself
		e, err = p.Store.Export(ctx, workspace, id)
		return e, fault.Wrap(err, op)
	}
	return next, fault.Wrap(err, op)
}

// CancelExportsOf cancels what programs have asked for of a segment, and gives how many those were.
func (p *Plane) CancelExportsOf(ctx context.Context, workspace uint32, segment SegmentID) (n int, err error) {
	open, err := p.Store.Exports(ctx, workspace, ExportFilter{Kinds: []ExportKind{ExportSegmentUsers}, States: []ExportState{ExportWaiting, ExportRunning}, Subject: string(segment)}, 0, 1000)
	for _, e := range open {
		c, failed := p.CancelExport(ctx, workspace, e.ID)
		if failed == nil && c.State == ExportCancelled {
			n++
		}
		err = errors.Join(err, failed)
	}
	return n, err
}

// DownloadExport writes down that somebody is going to download the file of an export, and gives the export. Nothing may be
// sent before it gives nil. A member needs the right to take out personal data; with link it is asked for by a link that
// stands for itself.
//
// Errors: not_found; forbidden; conflict if it is not done yet, failed or was cancelled; stale if its time is over.
func (p *Plane) DownloadExport(ctx context.Context, workspace uint32, id ExportID, link bool) (Export, error) {
	const op = "download export"
	e, err := p.Store.Export(ctx, workspace, id)
	if err != nil {
		return e, fault.Wrap(err, op)
	}
	if !link {
		if ctx, _, err = need(ctx, RightExportUserData, workspace); err != nil {
			return e, fault.Wrap(err, op)
		}
	}
	switch {
	case e.State.Open():
		err = &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "control.export_not_ready", Text: "The export is not ready yet."},
			Hint: fault.Message{Key: "control.export_not_ready_hint", Text: "Try again in a while."}}
	case e.State != ExportDone || e.File == "":
		err = &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "control.export_no_file", Text: "There is no file of this export."},
			Hint: fault.Message{Key: "control.export_no_file_hint", Text: "It failed, was cancelled, or wrote to the linked bucket alone. Ask for a new one."}}
	case !e.Downloadable(p.now()): // before its file is removed, too
		err = ErrExportGone()
	default:
		err = p.Store.Note(p.logged(ctx, "export.download", subjectOfExport(e), nil, view{"file": e.File}))
	}
	return e, fault.Wrap(err, op)
}

// ErrExportGone says that the file of an export is not there any more: stale.
func ErrExportGone() error {
	return &fault.Error{Code: fault.Stale, Msg: fault.Message{Key: "control.export_gone", Text: "The file doesn't exist anymore."},
		Hint: fault.Message{Key: "control.export_gone_hint", Text: "Files can be downloaded for a few hours, and one that may hold somebody who was deleted since is removed at once. Ask for a new export."}}
}

func subjectOfExport(e Export) subject { return subject{e.Workspace, string(e.ID), e.Title} }

func viewOfExport(e Export) view {
	return view{"export_kind": e.Kind, "source": e.Source, "bucket": e.Place.Bucket, "fields": append([]string{}, e.Spec.Fields...),
		"custom_attributes": append([]string{}, e.Spec.Attributes...), "custom_events": append([]string{}, e.Spec.Events...), "callback": e.Spec.Callback,
		"recipients": append([]string{}, e.Spec.Recipients...)}
}

// Ended gives e as it has ended at now, by err or well. Of what is ours alone the sentence stays in the log.
func (e Export) Ended(now time.Time, err error) Export {
	if err != nil {
		e = e.over(ExportFailed, now)
		e.Failure, e.File = FailureOf(err), ""
		return e
	}
	e.ExpiresAt = now.Add(e.Kind.Life())
	return e.over(ExportDone, now)
}

// over gives e as it has ended at now, in a state. The address of a program is called however it ended: who waits for it
// would wait for ever.
func (e Export) over(state ExportState, now time.Time) Export {
	e.State, e.DoneAt, e.Failure = state, now, nil
	if e.Spec.Callback != "" {
		e.Call.Next = now
	}
	return e
}
