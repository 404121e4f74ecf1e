package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Result is what Apply changed, or would.
type Result struct {
	Changes  []Change
	Keys     []IssuedKey // made by this call: show them now, they cannot be shown again
	Failures []Failure
}

// Change is one thing that is different now.
type Change struct {
	Thing
	Words []string // what is different; empty for a thing that is just made
}

// Thing names a workspace, or an API key, a webhook, a connector or the data export of one.
type Thing struct {
	Kind      string // workspace, API key, webhook, connector, data export
	Workspace string
	Name      string // empty for a workspace and its data export
}

// String is the thing in words: connector acme/warehouse.
func (t Thing) String() string {
	if t.Name == "" {
		return t.Kind + " " + t.Workspace
	}
	return t.Kind + " " + t.Workspace + "/" + t.Name
}

// String is the change in one line.
func (c Change) String() string {
	if len(c.Words) == 0 {
		return c.Thing.String() + ": create"
	}
	return c.Thing.String() + ": " + strings.Join(c.Words, "; ")
}

// IssuedKey is an API key whose secret was made here.
type IssuedKey struct {
	Workspace string
	Name      string
	Key       secret.Value
}

// Failure is a thing that could not be made as the file wants it.
type Failure struct {
	Thing
	Place string // where the file speaks of it: file:line:column
	Err   error
}

// Apply makes the control plane as m wants it, and leaves alone what m does not mention. Applying again changes
// nothing.
//
// It first thinks everything through: if a field of anything is invalid, all such problems are reported, each with
// its place in the file, and nothing is changed. After that each thing stands for itself: one that fails, say
// because its credentials do not pass the check, does not stop the rest. What somebody else changed while a check ran
// is thought through once more, check and all: the file says nothing about the rest of it. With dryRun nothing is changed and no
// network is used; the result says what would be.
//
// Of many problems of fields the first 100 are told, and that there are more.
func (p *Plane) Apply(ctx context.Context, m Manifest, dryRun bool) Result {
	a := applier{Plane: p, m: m, dryRun: true}
	a.run(ctx)
	invalid := func(f Failure) bool { return fault.Is(f.Err, fault.Invalid) }
	if slices.ContainsFunc(a.res.Failures, invalid) {
		return Result{Failures: slices.DeleteFunc(a.res.Failures, func(f Failure) bool { return !invalid(f) })}
	}
	if dryRun {
		return a.res
	}
	a = applier{Plane: p, m: m}
	a.run(ctx)
	return a.res
}

// Problems adds to err, with which ParseManifest gave m, what is wrong with the fields that it could read, so that a
// file is mended in one round. What is missing beside something that could not be read is left out: it may be just that.
// Errors: always one.
func (p *Plane) Problems(ctx context.Context, m Manifest, err error) error {
	read := fault.As(err)
	if read == nil || read.Code != fault.Invalid || len(m.Workspaces) == 0 || len(read.Fields) > maxManifestProblems {
		return err
	}
	var unread []string // paths
	for _, p := range read.Fields {
		_, path, _ := strings.Cut(p.Field, ": ")
		unread = append(unread, path)
	}
	told := func(q fault.Problem) bool {
		_, path, _ := strings.Cut(q.Field, ": ")
		_, stands := m.places[path]
		above := path[:max(strings.LastIndexByte(path, '.'), 0)]
		return slices.ContainsFunc(unread, func(at string) bool {
			return strings.HasPrefix(at, path) || q.Code == "required" && !stands && at[:max(strings.LastIndexByte(at, '.'), 0)] == above
		})
	}
	all := *read
	all.Fields = slices.Clone(read.Fields)
	for _, f := range p.Apply(ctx, m, true).Failures {
		if e := fault.As(f.Err); e != nil && e.Code == fault.Invalid {
			all.Fields = append(all.Fields, slices.DeleteFunc(slices.Clone(e.Fields), told)...)
		}
	}
	slices.SortStableFunc(all.Fields, ByPlace)
	all.Fields = listed(all.Fields, maxManifestProblems)
	return &all
}

type applier struct {
	*Plane
	m      Manifest
	dryRun bool
	placed []Placement // by this file, in a dry run
	first  []plan      // likewise: connectors that are not there yet
	making []string    // likewise: workspaces
	wrong  int         // problems of fields
	res    Result
}

func (a *applier) run(ctx context.Context) {
	until(a.enough, a.m.Workspaces, func(w WorkspaceSpec) {
		ws, ok := a.workspace(ctx, w)
		if !ok {
			return
		}
		ctx := Holding(ctx, w.needs(), ws.Number) // of this one, whichever it is whose name it is by now
		until(a.enough, w.Keys, func(k KeySpec) { a.key(ctx, ws, k) })
		until(a.enough, w.Webhooks, func(h WebhookSpec) { a.webhook(ctx, ws, h) })
		until(a.enough, w.Connectors, func(c ConnectorSpec) { a.connector(ctx, ws, c) })
		if w.DataExport != nil {
			a.dataExport(ctx, ws, *w.DataExport)
		}
	})
}

// enough reports whether so much is wrong that nothing more is thought through.
func (a *applier) enough() bool { return a.dryRun && a.wrong > maxManifestProblems }

func until[T any](over func() bool, all []T, do func(T)) {
	for _, v := range all {
		if over() {
			return
		}
		do(v)
	}
}

func (a *applier) fail(t Thing, path string, err error) {
	// The fields of what is invalid are the file's; those of a check that failed are the rights that it tried.
	if e := fault.As(err); e != nil && e.Code == fault.Invalid && len(e.Fields) > 0 {
		placed := *e
		placed.Fields = listed(a.m.locate(path, e.Fields), max(maxManifestProblems-a.wrong, 0))
		a.wrong += len(e.Fields)
		err = &placed
	}
	a.res.Failures = append(a.res.Failures, Failure{t, a.m.places[path], err})
}

func (a *applier) changed(t Thing, words ...string) {
	a.res.Changes = append(a.res.Changes, Change{t, words})
}

// report takes down what became of a thing; words say what is different of one that was there.
func (a *applier) report(t Thing, path string, words []string, made bool, err error) {
	switch {
	case err != nil:
		a.fail(t, path, err)
	case made:
		a.changed(t)
	case len(words) > 0:
		a.changed(t, words...)
	}
}

// workspace gives the workspace that w is about; of number 0 if a dry run would have to make it.
func (a *applier) workspace(ctx context.Context, w WorkspaceSpec) (Workspace, bool) {
	thing := Thing{Kind: "workspace", Workspace: w.Name}
	ws, err := a.Store.Workspace(ctx, w.Name)
	made := fault.Is(err, fault.NotFound)
	if made && w.onlyDeletes() {
		return Workspace{Name: w.Name}, true // it is not made for what is to be gone
	}
	if made {
		ws, err = Workspace{Name: w.Name, UnknownFields: RejectUnknown, Language: DefaultLanguage, TimeZone: DefaultZone}, nil
	}
	if err == nil {
		var words []string
		change(&words, "unknown fields", &ws.UnknownFields, w.UnknownFields)
		change(&words, "language", &ws.Language, w.Language)
		change(&words, "time zone", &ws.TimeZone, w.TimeZone)
		err = invalid("", ws.Validate())
		switch {
		case err != nil:
		case a.dryRun:
			if made {
				err = a.alike(ctx, ws.Name)
			}
		case made:
			ws, err = a.CreateWorkspace(Holding(ctx, RightInstall, 0), ws)
		case len(words) > 0:
			ws, err = a.UpdateWorkspace(Holding(ctx, RightAdminister, ws.Number), ws.Number, WorkspaceEdit{UnknownFields: w.UnknownFields, Language: w.Language, TimeZone: w.TimeZone})
		}
		switch {
		case err != nil:
		case made:
			a.changed(thing)
		case len(words) > 0:
			a.changed(thing, words...)
		}
	}
	if err != nil {
		a.fail(thing, w.path, err)
		// Thinking it through, go on to find what is wrong further in.
		return ws, a.dryRun && fault.Is(err, fault.Invalid)
	}
	return ws, true
}

// alike refuses a workspace that would be made, if its name differs in case alone from that of another: of one that is there,
// as making it does, or of one that this file makes before it. Errors: conflict; invalid.
func (a *applier) alike(ctx context.Context, name string) error {
	same := func(other string) bool { return strings.EqualFold(name, other) }
	if i := slices.IndexFunc(a.making, same); i >= 0 {
		return invalid("", []fault.Problem{{Field: "name", Code: "duplicate",
			Message: fmt.Sprintf("Upper and lower case do not tell %q from %q, which the file makes too.", name, a.making[i])}})
	}
	all, err := a.Store.Workspaces(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(all, func(w Workspace) bool { return same(w.Name) }); i >= 0 {
		return ErrWorkspaceTaken(all[i].Name)
	}
	a.making = append(a.making, name)
	return nil
}

// needs is the right that w takes in a workspace that is there.
func (w WorkspaceSpec) needs() Right {
	switch {
	case len(w.Keys) > 0 || w.UnknownFields != nil || w.Language != nil:
		return RightAdminister
	case len(w.Connectors) > 0 || len(w.Webhooks) > 0 || w.DataExport != nil:
		return RightChange
	}
	return RightView
}

// onlyDeletes reports whether nothing is wanted of w but that something of it is gone.
func (w WorkspaceSpec) onlyDeletes() bool {
	lives := slices.ContainsFunc(w.Connectors, func(c ConnectorSpec) bool { return !c.Deleted }) || w.DataExport != nil && !w.DataExport.Deleted
	return !lives && (len(w.Connectors) > 0 || w.DataExport != nil) && len(w.Keys)+len(w.Webhooks) == 0 && w.UnknownFields == nil && w.Language == nil
}

func (a *applier) key(ctx context.Context, ws Workspace, spec KeySpec) {
	thing := Thing{Kind: "API key", Workspace: ws.Name, Name: spec.Name}
	words, made, err := a.applyKey(ctx, ws, spec)
	a.report(thing, spec.path, words, made, err)
}

func (a *applier) applyKey(ctx context.Context, ws Workspace, spec KeySpec) (words []string, made bool, err error) {
	had := APIKey{Workspace: ws.Number, Name: spec.Name}
	if ws.Number != 0 {
		keys, err := a.Store.Keys(ctx, ws.Number)
		if err != nil {
			return nil, false, err
		}
		if i := slices.IndexFunc(keys, func(k APIKey) bool { return k.Name == spec.Name }); i >= 0 {
			had = keys[i]
		}
	}
	next := had
	if spec.Scopes != nil {
		next.Scopes = spec.Scopes
	}
	if spec.Networks != nil {
		next.Networks = spec.Networks
	}
	problems := next.Validate()
	if e := spec.ExpiresAt; e != nil && !e.Equal(had.ExpiresAt) { // what is past already may stand in the file
		next.ExpiresAt = *e
		problems = append(problems, validateExpiry("expires_at", *e, a.now())...)
	}
	if !spec.Secret.Empty() {
		problems = append(problems, validateKey("secret", spec.Secret)...)
	}
	if err := invalid("", problems); err != nil {
		return nil, false, err
	}
	var hash *KeyHash
	if !spec.Secret.Empty() {
		h := HashKey(spec.Secret.Reveal())
		grant, err := a.Store.KeyByHash(ctx, h)
		switch {
		case fault.Is(err, fault.NotFound):
			hash = &h
		case err != nil:
			return nil, false, err
		case grant.Key != had.ID:
			return nil, false, &fault.Error{Code: fault.Conflict,
				Msg: fault.Message{Key: "control.key_in_use", Text: "This secret is in use by another API key."}}
		}
	}
	if had.ID == "" {
		if a.dryRun {
			_, err := next.lettingOut(ctx)
			return nil, true, err
		}
		_, value, err := a.CreateKey(ctx, next, spec.Secret)
		if err == nil && spec.Secret.Empty() {
			a.res.Keys = append(a.res.Keys, IssuedKey{ws.Name, spec.Name, value})
		}
		return nil, true, err
	}
	before := viewKey(had)
	changeSet(&words, "scopes", &had.Scopes, next.Scopes, func(s Scope) string { return string(s) })
	changeSet(&words, "networks", &had.Networks, next.Networks, netip.Prefix.String)
	if from, to := viewTime(had.ExpiresAt), viewTime(next.ExpiresAt); from != to {
		words = append(words, fmt.Sprintf("expires at: %s → %s", from, to))
	}
	var secrets []string
	if hash != nil {
		words, secrets = append(words, "secret: new"), []string{"secret"}
	}
	if len(words) > 0 {
		ctx, err = next.lettingOut(ctx)
	}
	if err == nil && len(words) > 0 && !a.dryRun {
		err = a.Store.UpdateKey(a.logged(ctx, "api_key.edit", subjectKey(next), before, viewKey(next), secrets...), next, hash)
	}
	return words, false, err
}

func (a *applier) webhook(ctx context.Context, ws Workspace, spec WebhookSpec) {
	thing := Thing{Kind: "webhook", Workspace: ws.Name, Name: spec.URL}
	words, made, err := a.applyWebhook(ctx, ws, spec)
	a.report(thing, spec.path, words, made, err)
}

func (a *applier) applyWebhook(ctx context.Context, ws Workspace, spec WebhookSpec) (words []string, made bool, err error) {
	next := Webhook{Workspace: ws.Number, URL: spec.URL}
	made = true
	if ws.Number != 0 {
		had, err := a.Store.Webhooks(ctx, ws.Number)
		if err != nil {
			return nil, false, err
		}
		if i := slices.IndexFunc(had, func(w Webhook) bool { return SameWebhook(w.URL, spec.URL) }); i >= 0 {
			next, made = had[i], false
		}
	}
	if spec.Kinds != nil {
		changeSet(&words, "kinds", &next.Kinds, spec.Kinds, func(k NoticeKind) string { return string(k) })
	}
	if !spec.Secret.Empty() && spec.Secret.Reveal() != next.Secret.Reveal() {
		next.Secret = spec.Secret
		words = append(words, "secret: new")
	}
	problems := next.Validate()
	if made {
		problems = a.validateNewWebhook(next)
	}
	err = invalid("", problems)
	if err == nil && (made || len(words) > 0) && !a.dryRun {
		err = a.SaveWebhook(ctx, next)
	}
	return words, made, err
}

func (a *applier) dataExport(ctx context.Context, ws Workspace, spec DataExportSpec) {
	thing := Thing{Kind: "data export", Workspace: ws.Name}
	if spec.Deleted {
		gone, err := a.unlinkDataExport(ctx, ws)
		if err != nil {
			a.fail(thing, spec.path, err)
		} else if gone {
			a.changed(thing, "delete")
		}
		return
	}
	var pl exportPlan
	err := anew(func() (err error) {
		pl, err = a.applyDataExport(ctx, ws, spec)
		return err
	})
	switch {
	case err != nil:
		a.fail(thing, spec.path, err)
	case pl.made:
		a.changed(thing, "link to "+pl.next.Bucket)
	case len(pl.changes) > 0:
		a.changed(thing, pl.changes...)
	}
}

func (a *applier) unlinkDataExport(ctx context.Context, ws Workspace) (gone bool, err error) {
	if ws.Number == 0 {
		return false, nil
	}
	_, err = a.Store.DataExport(ctx, ws.Number)
	switch {
	case fault.Is(err, fault.NotFound):
		return false, nil
	case err == nil && !a.dryRun:
		err = a.UnlinkDataExport(ctx, ws.Number)
	}
	return true, err
}

func (a *applier) applyDataExport(ctx context.Context, ws Workspace, spec DataExportSpec) (exportPlan, error) {
	pl, err := a.planExport(ctx, ws.Number, spec.ExportEdit)
	switch {
	case err != nil:
		return pl, err
	case !a.dryRun:
		return pl, a.carryOutExport(ctx, &pl)
	}
	place := PlacementOfExport(pl.next)
	err = CheckPlacement(place, a.placed)
	a.placed = append(a.placed, place)
	return pl, err
}

func (a *applier) connector(ctx context.Context, ws Workspace, spec ConnectorSpec) {
	thing := Thing{Kind: "connector", Workspace: ws.Name, Name: *spec.Name}
	if spec.Deleted {
		gone, err := a.deleteConnector(ctx, ws, *spec.Name)
		if err != nil {
			a.fail(thing, spec.path, err)
		} else if gone {
			a.changed(thing, "delete")
		}
		return
	}
	var pl plan
	err := anew(func() (err error) {
		pl, err = a.applyConnector(ctx, ws, spec)
		return err
	})
	switch {
	case err != nil:
		a.fail(thing, spec.path, err)
	case pl.had == nil:
		a.changed(thing, pl.launched())
	case len(pl.changes) > 0:
		a.changed(thing, pl.changes...)
	}
}

// named gives the workspace's connector of that name; nil if it has none.
func (a *applier) named(ctx context.Context, ws Workspace, name string) (*Connector, error) {
	if ws.Number == 0 {
		return nil, nil
	}
	cs, err := a.Store.Connectors(ctx, ws.Number)
	if i := slices.IndexFunc(cs, func(c Connector) bool { return c.Name == name }); err == nil && i >= 0 {
		return &cs[i], nil
	}
	return nil, err
}

func (a *applier) deleteConnector(ctx context.Context, ws Workspace, name string) (gone bool, err error) {
	had, err := a.named(ctx, ws, name)
	if err != nil || had == nil {
		return false, err
	}
	if !a.dryRun {
		err = a.Delete(ctx, ws.Number, had.Connector)
	}
	return true, err
}

// likeNamed fills in what a connector takes from another one, which may stand before it in the file.
func (a *applier) likeNamed(ctx context.Context, ws Workspace, e Edit, name string) (Edit, error) {
	for _, pl := range a.first {
		if pl.next.Name == name && pl.next.Workspace == ws.Number {
			return e.like(pl.next.Destination, pl.access), nil
		}
	}
	other, err := a.named(ctx, ws, name)
	if err != nil {
		return e, err
	}
	if other == nil {
		return e, invalid("", []fault.Problem{{Field: "destination.same_as", Code: "unknown_value",
			Message: fmt.Sprintf("The workspace has no connector %q, and none of that name stands before this one.", name)}})
	}
	e.SameAs = &other.Connector
	return a.likeOther(ctx, ws.Number, e)
}

// withOthers adds to the problem that nothing can be taken from another connector what else is wrong with e, apart from
// its destination.
func (a *applier) withOthers(err error, had *Connector, e Edit) error {
	f := fault.As(err)
	if f == nil || f.Code != fault.Invalid {
		return err
	}
	base := newConnector()
	if had != nil {
		base = *had
	}
	next, _, _ := e.apply(base, bucket.Access{})
	for _, p := range next.Validate(a.Catalogue) {
		if !strings.HasPrefix(p.Field, "destination.") {
			f.Fields = append(f.Fields, p)
		}
	}
	return f
}

func (a *applier) applyConnector(ctx context.Context, ws Workspace, spec ConnectorSpec) (pl plan, err error) {
	had, err := a.named(ctx, ws, *spec.Name)
	if err != nil {
		return pl, err
	}
	e := spec.Edit
	if spec.SameAs != "" {
		if e, err = a.likeNamed(ctx, ws, e, spec.SameAs); err != nil {
			return pl, a.withOthers(err, had, spec.Edit)
		}
	}
	if pl, err = a.plan(ctx, ws.Number, had, e); err != nil {
		return pl, err
	}
	if !a.dryRun {
		err = a.carryOut(ctx, &pl)
		return pl, err
	}
	if had == nil {
		a.first = append(a.first, pl)
	}
	place := PlacementOf(pl.next.Config)
	if err := CheckPlacement(place, a.placed); err != nil {
		return pl, err
	}
	a.placed = append(a.placed, place)
	return pl, nil
}
