package control

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// DataExport is a workspace's link to a bucket of its own for what is exported on demand: Technology partners →
// Amazon S3. There is at most one in a workspace.
type DataExport struct {
	Workspace   uint32
	Bucket      string
	Region      string
	Endpoint    string
	PathStyle   bool
	AccessKeyID string // of the key method
	RoleARN     string // of the role method
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Rev         int64 // counts the changes, from 1, see Connector.Rev; 0: there is none yet
}

// Integration is what credentials are for; each has an external id of its own in a workspace.
type Integration string

// The integrations.
const (
	IntegrationCurrents Integration = "currents"
	IntegrationExports  Integration = "exports"
)

// ExportEdit is what somebody wants of a workspace's data export. Fields that are nil stay as they are.
type ExportEdit struct {
	Bucket    *string `json:"bucket,omitempty"`
	Region    *string `json:"region,omitempty"`
	Endpoint  *string `json:"endpoint,omitempty"`
	PathStyle *bool   `json:"path_style,omitempty"`
	// Either a key or a role: naming the one gives up the other.
	AccessKeyID     *string       `json:"access_key_id,omitempty"`
	SecretAccessKey *secret.Value `json:"-"` // never in clear, where an ExportEdit is kept
	RoleARN         *string       `json:"role_arn,omitempty"`
}

// exportPlan is a change of a data export that has been thought through but not made.
type exportPlan struct {
	next    DataExport
	access  bucket.Access
	had     DataExport
	made    bool // there was none
	changes []string
	secrets []string // as in plan
}

// planExport thinks a change through, without writing or going out to the network.
func (p *Plane) planExport(ctx context.Context, workspace uint32, e ExportEdit) (pl exportPlan, err error) {
	pl.next = DataExport{Workspace: workspace, CreatedAt: p.now()}
	var now bucket.Access
	if workspace != 0 { // a dry run plans for workspaces that are not there yet
		had, err := p.Store.DataExport(ctx, workspace)
		switch {
		case fault.Is(err, fault.NotFound):
			pl.made = true
		case err != nil:
			return pl, err
		default:
			pl.next, pl.had = had, had
			now, err = p.Store.DataExportAccess(ctx, workspace)
			if err != nil && !fault.Is(err, fault.Forbidden) { // missing credentials can be given now
				return pl, err
			}
		}
	} else {
		pl.made = true
	}
	// A data export is edited like a connector's destination, and has no folder.
	root := ""
	had := Connector{AccessKeyID: pl.next.AccessKeyID, RoleARN: pl.next.RoleARN, Config: Config{Destination: Destination{
		Bucket: pl.next.Bucket, Region: pl.next.Region, Endpoint: pl.next.Endpoint, PathStyle: pl.next.PathStyle}}}
	edit := Edit{Bucket: e.Bucket, Folder: &root, Region: e.Region, Endpoint: e.Endpoint, PathStyle: e.PathStyle,
		AccessKeyID: e.AccessKeyID, SecretAccessKey: e.SecretAccessKey, RoleARN: e.RoleARN}
	next, access, changes := edit.apply(had, now)
	d := next.Destination
	pl.next.Bucket, pl.next.Region, pl.next.Endpoint, pl.next.PathStyle = d.Bucket, d.Region, d.Endpoint, d.PathStyle
	pl.next.AccessKeyID, pl.next.RoleARN = next.AccessKeyID, next.RoleARN
	pl.next.UpdatedAt, pl.access, pl.changes = p.now(), access, changes
	if s := access.SecretAccessKey; !s.Empty() && s.Reveal() != now.SecretAccessKey.Reveal() {
		pl.secrets = []string{"secret_access_key"}
	}
	var problems []fault.Problem
	for _, q := range append(bucket.ValidateName("destination.bucket", d.Bucket), p.validateAccess(access, edit)...) {
		q.Field = q.Field[len("destination."):]
		problems = append(problems, q)
	}
	if err := invalid("", problems); err != nil {
		return pl, err
	}
	own, err := p.Store.Placements(ctx, workspace, d.Bucket)
	if err != nil {
		return pl, err
	}
	return pl, CheckPlacement(PlacementOfExport(pl.next), own)
}

// tryExport makes the check of a data export. Of a scheduled one deleting is no part.
func (p *Plane) tryExport(ctx context.Context, workspace uint32, a bucket.Access, why CheckTrigger) (bucket.Report, error) {
	kind := bucket.Exports
	if why == CheckSchedule {
		kind = bucket.Currents
	}
	return p.try(ctx, trial{workspace: workspace, name: exportName, integration: IntegrationExports, trigger: why,
		in: bucket.CheckInput{Kind: kind, Access: a}})
}

func (p *Plane) checkExport(ctx context.Context, workspace uint32) (bucket.Report, error) {
	a, err := p.Store.DataExportAccess(ctx, workspace)
	if err != nil {
		return bucket.Report{}, err
	}
	return p.tryExport(ctx, workspace, a, CheckSchedule)
}

// TestDataExport tries what the data export would be with e, and stores nothing but the check's result. It gives the
// report also if the check fails.
//
// Errors: invalid with every problem of its fields, nothing was tried; conflict if a connector has the whole bucket;
// forbidden with a field problem for each right that is missing; unavailable if the store cannot be reached.
func (p *Plane) TestDataExport(ctx context.Context, workspace uint32, e ExportEdit) (bucket.Report, error) {
	const op = "test data export"
	pl, err := p.planExport(ctx, workspace, e)
	if err != nil {
		return bucket.Report{}, fault.Wrap(err, op)
	}
	why := CheckTest
	if !pl.made && len(pl.changes) == 0 {
		why = CheckDemand
	}
	report, err := p.tryExport(ctx, workspace, pl.access, why)
	return report, fault.Wrap(err, op)
}

// SaveDataExport makes the data export as e wants it, after the check has passed with it, and says in words what that
// changed; nothing is no error. Until then, and if the check fails, the former one works on: so keys and roles are
// rotated, and bucket or provider changed, without a gap.
//
// Errors: as TestDataExport; stale if somebody else changed it while the check ran.
func (p *Plane) SaveDataExport(ctx context.Context, workspace uint32, e ExportEdit) (DataExport, []string, error) {
	const op = "save data export"
	pl, err := p.planExport(ctx, workspace, e)
	if err != nil {
		return DataExport{}, nil, fault.Wrap(err, op)
	}
	err = p.carryOutExport(ctx, &pl)
	return pl.next, pl.changes, fault.Wrap(err, op)
}

// UnlinkDataExport ends the data export of a workspace and forgets its credentials; what it wrote stays in the bucket.
// The external id stays for the next. Unlinking again changes nothing.
func (p *Plane) UnlinkDataExport(ctx context.Context, workspace uint32) error {
	const op = "unlink data export"
	had, err := p.Store.DataExport(ctx, workspace)
	if err != nil {
		return fault.Wrap(ended(err), op)
	}
	ctx = p.logged(ctx, "data_export.unlink", subjectExport(had), viewExport(had), nil)
	return fault.Wrap(ended(p.Store.DeleteDataExport(ctx, workspace)), op)
}

func (p *Plane) carryOutExport(ctx context.Context, pl *exportPlan) error {
	if len(pl.changes) == 0 {
		return nil
	}
	report, err := p.tryExport(ctx, pl.next.Workspace, pl.access, CheckSave)
	if err != nil {
		return err
	}
	var before any
	if !pl.made {
		before = viewExport(pl.had)
	}
	ctx = p.logged(ctx, "data_export.save", subjectExport(pl.next), before, viewExport(pl.next), pl.secrets...)
	err = p.Store.SaveDataExport(ctx, pl.next, *credentialsOf(pl.access, report))
	if err == nil {
		pl.next.Rev++
	}
	return err
}
