package control

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Store is what the actions need of the control plane's database. Every method is one transaction; see room store
// for errors.
type Store interface {
	Workspaces(ctx context.Context) ([]Workspace, error)
	Workspace(ctx context.Context, name string) (Workspace, error)
	WorkspaceBy(ctx context.Context, ref string) (Workspace, error) // by number or name
	// CreateWorkspace adds w, with a member who administers it unless that is empty.
	CreateWorkspace(ctx context.Context, w Workspace, administrator ...MemberID) error
	UpdateWorkspace(ctx context.Context, w Workspace) error

	Keys(ctx context.Context, workspace uint32) ([]APIKey, error)
	CreateKey(ctx context.Context, k APIKey, hash KeyHash) error
	UpdateKey(ctx context.Context, k APIKey, hash *KeyHash) error
	DeleteKey(ctx context.Context, workspace uint32, id KeyID) error
	KeyByHash(ctx context.Context, hash KeyHash) (Grant, error)

	Connectors(ctx context.Context, workspace uint32) ([]Connector, error)
	Connector(ctx context.Context, workspace uint32, id ConnectorID) (Connector, error)
	Placements(ctx context.Context, workspace uint32, bucket string) ([]Placement, error)
	CreateConnector(ctx context.Context, c Connector, k Credentials) error
	UpdateConnector(ctx context.Context, c Connector, k *Credentials, also ...int) error
	Undrained(ctx context.Context, workspace uint32, id ConnectorID) ([]Destination, error)
	Access(ctx context.Context, l Lane) (Access, error)
	LoggedAccess(ctx context.Context, l Lane) (Access, error)
	SetFeatures(ctx context.Context, l Lane, f Features, region string) error
	ExternalID(ctx context.Context, workspace uint32, i Integration) (string, error)

	Draft(ctx context.Context, workspace uint32, id ConnectorID) (Draft, error)
	SaveDraft(ctx context.Context, d Draft) error
	DeleteDraft(ctx context.Context, workspace uint32, id ConnectorID) error

	Segment(ctx context.Context, workspace uint32, id SegmentID) (Segment, error)
	CreateSegment(ctx context.Context, s Segment) error
	UpdateSegment(ctx context.Context, s Segment) error
	DeleteSegment(ctx context.Context, workspace uint32, id SegmentID) error

	// Note writes the entry that ctx has, and nothing else.
	Note(ctx context.Context) error
	CampaignLabel(ctx context.Context, workspace uint32, kind NameKind, id string) (CampaignLabel, error)
	SaveCampaignLabel(ctx context.Context, l CampaignLabel) error

	DataExport(ctx context.Context, workspace uint32) (DataExport, error)
	DataExportAccess(ctx context.Context, workspace uint32) (Access, error)
	SaveDataExport(ctx context.Context, d DataExport, k Credentials) error
	DeleteDataExport(ctx context.Context, workspace uint32) error

	Export(ctx context.Context, workspace uint32, id ExportID) (Export, error)
	Exports(ctx context.Context, workspace uint32, f ExportFilter, before int64, limit int) ([]Export, error)
	AddExport(ctx context.Context, e Export) (number int64, err error)
	EndExport(ctx context.Context, e Export, notices ...Notice) error

	Schedule(ctx context.Context, workspace uint32, id ScheduleID) (ReportSchedule, error)
	CreateSchedule(ctx context.Context, s ReportSchedule) error
	UpdateSchedule(ctx context.Context, s ReportSchedule) error
	DeleteSchedule(ctx context.Context, workspace uint32, id ScheduleID) error
	SchedulesDue(ctx context.Context, now time.Time) ([]ReportSchedule, error)
	RunSchedule(ctx context.Context, was, next ReportSchedule, e *Export, notices ...Notice) error

	Member(ctx context.Context, id MemberID) (Member, error)
	Seats(ctx context.Context, workspace uint32) ([]Seat, error)
	SeatsOf(ctx context.Context, id MemberID) ([]Membership, error)

	WorkspaceName(ctx context.Context, workspace uint32) (string, error)
	AddCheck(ctx context.Context, r CheckRow) error
	ChecksDue(ctx context.Context, before time.Time, limit int) ([]CheckDue, error)
	AddNotice(ctx context.Context, n Notice) error
	AddJob(ctx context.Context, j Job) (int64, error)

	Webhooks(ctx context.Context, workspace uint32) ([]Webhook, error)
	SaveWebhook(ctx context.Context, w Webhook) error
	CreateWebhook(ctx context.Context, w Webhook) (int64, error)
	DeleteWebhook(ctx context.Context, workspace uint32, id int64) error
}

// Plane is the actions by which people and scripts change the control plane. Apply, the API and the dashboard all
// go through it, so that the same things are checked whoever asks.
//
// Its fields are set once; its methods are safe for concurrent use.
type Plane struct {
	Store Store
	// Check tries credentials on a bucket, before they are stored. Access by role comes with external id and session
	// name. It adds what the installation decides: what opens buckets, its patience, who is shown the steps.
	Check func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error)
	// MayConnect gives an error for an address that will never be connected to, whoever names it; nil: any may be.
	MayConnect func(netip.Addr) error
	// CheckExport gives what is wrong with an export's kind and names of fields; nil: nothing is looked at.
	CheckExport func(Export) error
	Catalogue   *event.Catalogue
	Cluster     string           // frozen into a connector when it is launched
	Zone        string           // likewise
	Now         func() time.Time // nil: time.Now
}

// now is as exact as times are kept, so that what is made is read later as it was answered.
func (p *Plane) now() time.Time {
	if p.Now != nil {
		return p.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}

// logged gives a context for the store call that carries action out, see the function of that name.
func (p *Plane) logged(ctx context.Context, action string, s subject, before, after any, secrets ...string) context.Context {
	return logged(ctx, p.now(), action, s, before, after, secrets...)
}

func invalid(op string, problems []fault.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &fault.Error{Code: fault.Invalid, Op: op, Fields: problems}
}

// CreateWorkspace makes w, and gives it with its number. It rejects unknown fields, is in English and has days of UTC, unless w
// says otherwise. Who makes it administers it, if it is a person.
//
// Errors: invalid with every problem; conflict if the name is taken.
func (p *Plane) CreateWorkspace(ctx context.Context, w Workspace) (Workspace, error) {
	const op = "create workspace"
	w.Number, w.CreatedAt = NewNumber(), p.now()
	w.UnknownFields, w.Language = cmp.Or(w.UnknownFields, RejectUnknown), cmp.Or(w.Language, DefaultLanguage)
	w.TimeZone = cmp.Or(w.TimeZone, DefaultZone)
	if err := invalid(op, w.Validate()); err != nil {
		return Workspace{}, err
	}
	made, by := viewWorkspace(w), []MemberID{}
	if a := ActorOf(ctx); a.Member != "" {
		made["administrator"], by = a.Name, append(by, a.Member)
	}
	return w, p.Store.CreateWorkspace(p.logged(ctx, "workspace.create", subjectWorkspace(w), nil, made), w, by...)
}

// UpdateWorkspace changes a workspace as e wants it, and gives it as it is then; nothing to change is no error.
//
// Names are one workspace's in the whole installation, so that a name which is refused tells of a workspace that is nobody
// else's to see: only installation administrators give them.
//
// Errors: invalid, not_found; forbidden to give it another name; conflict if the name is taken; stale, as AskEdit.
func (p *Plane) UpdateWorkspace(ctx context.Context, number uint32, e WorkspaceEdit) (w Workspace, err error) {
	err = p.based(e.Rev, func() error {
		w, err = p.updateWorkspace(ctx, number, e)
		return err
	})
	return w, fault.Wrap(err, "update workspace")
}

func (p *Plane) updateWorkspace(ctx context.Context, number uint32, e WorkspaceEdit) (Workspace, error) {
	had, err := p.Store.WorkspaceBy(ctx, strconv.FormatUint(uint64(number), 10))
	if err != nil {
		return had, err
	}
	next := had
	next.Name, next.UnknownFields = *orElse(e.Name, had.Name), *orElse(e.UnknownFields, had.UnknownFields)
	next.Language = cmp.Or(*orElse(e.Language, had.Language), DefaultLanguage)
	next.TimeZone = cmp.Or(*orElse(e.TimeZone, had.TimeZone), DefaultZone)
	if e.ControlGroup != nil {
		if next.ControlGroup, err = BucketsOf("control_group", *e.ControlGroup); err != nil {
			return had, err
		}
	}
	if err := invalid("", next.Validate()); err != nil || next == had {
		return had, err
	}
	if err := sameRev(e.Rev, had.Rev); err != nil {
		return had, err
	}
	if next.Name != had.Name {
		if !ActorOf(ctx).May(RightInstall, 0) {
			return had, &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.rename", Text: "Only an installation administrator gives a workspace another name."},
				Hint: fault.Message{Key: "control.rename_hint", Text: "Ask one of them. Names are unique among all workspaces of the installation."}}
		}
		ctx = Holding(ctx, RightInstall, 0)
	}
	err = p.Store.UpdateWorkspace(p.logged(ctx, "workspace.update", subjectWorkspace(next), viewWorkspace(had), viewWorkspace(next)), next)
	next.Rev++
	return next, err
}

// CreateKey makes the API key that k says: its workspace, name, scopes, networks and expiry. If brought is empty a secret
// is made; the one in force is given back, once.
//
// Errors: invalid with every problem; forbidden if it has a scope of personal data, and who asks may not export them; conflict
// if the workspace has a key of that name or the secret is in use.
func (p *Plane) CreateKey(ctx context.Context, k APIKey, brought secret.Value) (APIKey, secret.Value, error) {
	k.ID, k.CreatedAt, k.UsedAt = NewKeyID(), p.now(), time.Time{}
	problems := k.Validate()
	if brought.Empty() {
		brought = NewKey()
	} else {
		problems = append(problems, validateKey("secret", brought)...)
	}
	if err := invalid("create API key", problems); err != nil {
		return APIKey{}, secret.Value{}, err
	}
	ctx, err := k.lettingOut(ctx)
	if err != nil {
		return APIKey{}, secret.Value{}, err
	}
	had, err := p.Store.Keys(ctx, k.Workspace)
	if err != nil {
		return APIKey{}, secret.Value{}, err
	}
	if slices.ContainsFunc(had, func(o APIKey) bool { return o.Name == k.Name }) {
		return APIKey{}, secret.Value{}, (&fault.Error{Code: fault.Conflict, Params: fault.Params{"name": k.Name},
			Msg:  fault.Message{Key: "control.key_name_taken", Text: `The workspace has an API key "{name}" already.`},
			Hint: fault.Message{Key: "control.key_name_taken_hint", Text: "Give this one another name."}}).At("name", "duplicate")
	}
	ctx = p.logged(ctx, "api_key.create", subjectKey(k), nil, viewKey(k))
	return k, brought, p.Store.CreateKey(ctx, k, HashKey(brought.Reveal()))
}

// RevokeKey ends an API key: within seconds nothing is accepted with it any more. Errors: not_found.
func (p *Plane) RevokeKey(ctx context.Context, workspace uint32, id KeyID) error {
	const op = "revoke API key"
	all, err := p.Store.Keys(ctx, workspace)
	if err != nil {
		return fault.Wrap(err, op)
	}
	i := slices.IndexFunc(all, func(k APIKey) bool { return k.ID == id })
	if i < 0 {
		return &fault.Error{Code: fault.NotFound, Op: op, Msg: fault.Message{Key: "control.no_key", Text: "There is no such API key."}}
	}
	ctx = p.logged(ctx, "api_key.revoke", subjectKey(all[i]), viewKey(all[i]), nil)
	return fault.Wrap(p.Store.DeleteKey(ctx, workspace, id), op)
}

// Launch makes a connector as e wants it, after its credentials have passed the check. It begins with the events
// after its control record. A failed check stores nothing.
//
// Errors: invalid with every problem of its fields; conflict if name or folder are taken; what Check gave. That a
// folder overlaps another workspace's is told only after the check, which proves that the bucket is the caller's.
func (p *Plane) Launch(ctx context.Context, workspace uint32, e Edit) (Connector, error) {
	return p.launch(ctx, workspace, NewConnectorID(), e)
}

func (p *Plane) launch(ctx context.Context, workspace uint32, id ConnectorID, e Edit) (Connector, error) {
	const op = "launch connector"
	pl, err := p.plan(ctx, workspace, nil, e)
	if err != nil {
		return Connector{}, fault.Wrap(err, op)
	}
	pl.next.Connector = id
	if err := p.carryOut(ctx, &pl); err != nil {
		return Connector{}, fault.Wrap(err, op)
	}
	return pl.next, nil
}

// Edit changes a connector as e wants it, and says in words what that changed; nothing is no error. Delivery is not
// interrupted.
//
// What decides about events becomes a new version, which holds from its control record on. Another bucket, endpoint
// or folder is another destination: events before the record still go to the old one, with the old credentials.
// Whatever concerns access is checked before it is stored: another key or role, or the one in place of the other, is
// a rotation, and until the new one has passed the check the former one works on. Earlier destinations in the same
// bucket that still wait get the new one too, each if it passes the check on its own folder; else theirs stays, and
// the changes say so.
//
// Errors: as Launch; not_found; stale if somebody else changed anything of the connector meanwhile, while the check
// ran for instance: a slow change undoes none that overtook it.
func (p *Plane) Edit(ctx context.Context, workspace uint32, id ConnectorID, e Edit) (Connector, []string, error) {
	had, err := p.connector(ctx, workspace, id)
	if err != nil {
		return Connector{}, nil, fault.Wrap(err, "edit connector")
	}
	pl, err := p.plan(ctx, workspace, &had, e)
	if err != nil {
		return Connector{}, nil, fault.Wrap(err, "edit connector")
	}
	err = p.carryOut(ctx, &pl)
	return pl.next, pl.changes, fault.Wrap(err, "edit connector")
}

// connector gives a connector that is not deleted. Errors: not_found.
func (p *Plane) connector(ctx context.Context, workspace uint32, id ConnectorID) (Connector, error) {
	c, err := p.Store.Connector(ctx, workspace, id)
	if err == nil && c.Deleted {
		err = &fault.Error{Code: fault.NotFound, Params: fault.Params{"name": c.Name},
			Msg:  fault.Message{Key: "control.connector_deleted", Text: "The Current {name} is deleted."},
			Hint: fault.Message{Key: "control.connector_deleted_hint", Text: "It does not come back; a new one may take its name and folder."}}
	}
	return c, err
}

// Delete ends a connector at its last control record: what came before is still delivered for a while, then the
// rest goes to the ledger. Its name and folder are free at once. Deleting it again changes nothing.
//
// Errors: not_found; stale.
func (p *Plane) Delete(ctx context.Context, workspace uint32, id ConnectorID) error {
	return fault.Wrap(anew(func() error { return p.delete(ctx, workspace, id) }), "delete connector")
}

// anew does f, and once more if somebody else was quicker to change what f reads.
func anew(f func() error) error {
	err := f()
	if fault.Is(err, fault.Stale) {
		err = f()
	}
	return err
}

func (p *Plane) delete(ctx context.Context, workspace uint32, id ConnectorID) error {
	c, err := p.Store.Connector(ctx, workspace, id)
	if err != nil || c.Deleted {
		return err
	}
	ctx = p.logged(ctx, "connector.delete", subjectConnector(c), viewConnector(c), nil)
	c.Version++
	c.Deleted = true
	c.Paused = false // what it held is still delivered
	return p.Store.UpdateConnector(ctx, c, nil)
}

// plan is a change that has been thought through but not made.
type plan struct {
	had     *Connector // nil: new
	next    Connector
	access  bucket.Access
	check   bool // access must be checked, and stored
	rotated bool // what opens the bucket is another
	changes []string
	kept    []string // earlier folders that keep what opens them
	secrets []string // names of those that are other ones, for the log of changes
}

// plan thinks a change through, without writing or going out to the network.
func (p *Plane) plan(ctx context.Context, workspace uint32, had *Connector, e Edit) (plan, error) {
	pl := plan{had: had}
	if e.SameAs != nil {
		var err error
		if e, err = p.likeOther(ctx, workspace, e); err != nil {
			return pl, err
		}
	}
	base := newConnector()
	var now bucket.Access
	if had != nil {
		base = *had
		var err error
		now, err = p.Store.Access(ctx, Lane{Connector: had.Connector, Destination: had.Destination.Number})
		if err != nil && !fault.Is(err, fault.Forbidden) { // missing credentials can be given now
			return pl, err
		}
	}
	pl.next, pl.access, pl.changes = e.apply(base, now)
	c := &pl.next
	pl.rotated = had != nil && (had.AccessKeyID != c.AccessKeyID || had.RoleARN != c.RoleARN ||
		now.SecretAccessKey.Reveal() != pl.access.SecretAccessKey.Reveal())
	if s := pl.access.SecretAccessKey; !s.Empty() && s.Reveal() != now.SecretAccessKey.Reveal() {
		pl.secrets = []string{secretOfDestination}
	}
	pl.check = had == nil || pl.rotated || had.Destination != c.Destination // also region, path style, encryption, spelling of the endpoint

	problems := c.Validate(p.Catalogue)
	if pl.check {
		problems = append(problems, p.validateAccess(pl.access, e)...)
	}
	if had != nil && c.Test && !had.Test {
		problems = append(problems, fault.Field("test", "invalid",
			"field.test_again", "A Current that delivers in full does not become a test Current again."))
	}
	if err := invalid("", problems); err != nil {
		return pl, err
	}

	switch {
	case had == nil:
		c.Connector, c.Number, c.Workspace, c.Version = NewConnectorID(), NewNumber(), workspace, 1
		c.Destination.Number, c.Destination.Cluster, c.Destination.Zone = 1, p.Cluster, p.Zone
		c.CreatedAt = p.now()
	case !samePlace(had.Destination, c.Destination):
		c.Destination.Number++
	}
	if had != nil && !sameConfig(had.Config, c.Config) {
		c.Version++
	}

	if had == nil || had.Name != c.Name {
		others, err := p.Store.Connectors(ctx, workspace)
		if err != nil {
			return pl, err
		}
		if slices.ContainsFunc(others, func(o Connector) bool { return o.Name == c.Name && o.Connector != c.Connector }) {
			return pl, (&fault.Error{Code: fault.Conflict, Params: fault.Params{"name": c.Name},
				Msg: fault.Message{Key: "control.name_taken", Text: `There is a Current "{name}" already.`}}).At("name", "duplicate")
		}
	}
	own, err := p.Store.Placements(ctx, workspace, c.Destination.Bucket)
	if err != nil {
		return pl, err
	}
	return pl, CheckPlacement(PlacementOf(c.Config), own)
}

// likeOther fills in what SameAs asks for.
func (p *Plane) likeOther(ctx context.Context, workspace uint32, e Edit) (Edit, error) {
	other, err := p.connector(ctx, workspace, *e.SameAs)
	if fault.Is(err, fault.NotFound) {
		return e, invalid("", []fault.Problem{fault.Field("destination.same_as", "unknown_value", "field.same_as", "The workspace has no such Current.")})
	}
	if err != nil {
		return e, err
	}
	a, err := p.Store.Access(ctx, Lane{Connector: other.Connector, Destination: other.Destination.Number})
	return e.like(other.Destination, a), err
}

// inherit gives the earlier destinations that get what pl rotates to: those in the same bucket that still wait, if it
// opens their folder as well. It may be narrowed to the new folder; then what they have stays. To leave all of them
// with what they have would strand them once that is taken away: only the newest can be given another.
func (p *Plane) inherit(ctx context.Context, pl *plan) (numbers []int, err error) {
	newest := pl.next.Destination
	waiting, err := p.Store.Undrained(ctx, pl.next.Workspace, pl.next.Connector)
	if err != nil {
		return nil, err
	}
	a := pl.access
	if err := p.assuming(ctx, &a, pl.next.Workspace, IntegrationCurrents, pl.next.Name); err != nil {
		return nil, err
	}
	for _, d := range waiting {
		if d.Number >= newest.Number || d.Bucket != newest.Bucket || storeOf(d.Endpoint) != storeOf(newest.Endpoint) {
			continue
		}
		if d.Folder != newest.Folder { // that one has passed
			a.Encryption = d.Encryption
			report, err := p.Check(ctx, bucket.CheckInput{Kind: bucket.Currents, Access: a, Folder: d.Folder})
			switch {
			case err != nil:
				return nil, err
			case report.Passing:
				return nil, report.Err() // it cannot be told now
			case !report.OK:
				pl.kept = append(pl.kept, d.Folder)
				pl.changes = append(pl.changes, fmt.Sprintf("earlier folder %s: keeps its former credentials, the new ones do not open it", word(d.Folder)))
				continue
			}
		}
		numbers = append(numbers, d.Number)
	}
	return numbers, nil
}

// carryOut checks what needs checking and stores the change.
func (p *Plane) carryOut(ctx context.Context, pl *plan) error {
	if pl.had != nil && len(pl.changes) == 0 {
		return nil
	}
	var k *Credentials
	var also []int
	if pl.check {
		t := trial{workspace: pl.next.Workspace, connector: pl.next.Connector, name: pl.next.Name, integration: IntegrationCurrents,
			in: bucket.CheckInput{Kind: bucket.Currents, Access: pl.access, Folder: pl.next.Destination.Folder}, trigger: CheckSave}
		if pl.had == nil {
			t.trigger, t.contact = CheckLaunch, pl.next.ContactEmail
		}
		report, err := p.try(ctx, t)
		if err != nil {
			return err
		}
		k = credentialsOf(pl.access, report)
		if pl.rotated {
			if also, err = p.inherit(ctx, pl); err != nil {
				return err
			}
		}
	}
	if pl.had == nil {
		ctx = p.logged(ctx, "connector.launch", subjectConnector(pl.next), nil, viewConnector(pl.next), pl.secrets...)
		return p.Store.CreateConnector(ctx, pl.next, *k)
	}
	ctx = p.logged(ctx, "connector.edit", subjectConnector(pl.next), viewConnector(*pl.had), viewConnector(pl.next), pl.secrets...)
	err := p.Store.UpdateConnector(ctx, pl.next, k, also...)
	if err == nil {
		pl.next.Rev++
	}
	return err
}

// credentialsOf gives what is stored of an access that has passed its check.
func credentialsOf(a bucket.Access, r bucket.Report) *Credentials {
	return &Credentials{AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey, RoleARN: a.RoleARN, Features: r.Features, Region: r.Region}
}

// launched says in words what a new connector is.
func (pl *plan) launched() string {
	d := pl.next.Destination
	where := d.Bucket
	if d.Folder != "" {
		where += "/" + d.Folder
	}
	if d.Endpoint != "" {
		where += " at " + d.Endpoint
	}
	return fmt.Sprintf("launch into %s", where)
}
