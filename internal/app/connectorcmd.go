package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// jobPatience is how long a command waits for a job of the server's before it leaves it to it.
const jobPatience = 30 * time.Second

// ConnectorList shows the connectors.
type ConnectorList struct {
	Workspace string `placeholder:"NAME" help:"Only this workspace's."`
	Deleted   bool   `help:"Also those that are deleted, after the others."`
	JSON      bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (ConnectorList) Help() string {
	return `The status is what the server has found: draft (saved and never launched), active, failing (its events are kept until its owner mends something), paused, deleted. A deleted connector's ledger stays: "connector show", "ledger" and "verify" find it by its name as long as no other has it, and by its id ever after.

    millrace connector list --deleted`
}

// connectorJSON is a connector as it is shown.
type connectorJSON struct {
	Workspace   string     `json:"workspace"`
	Name        string     `json:"name"`
	ID          string     `json:"id"`
	Status      string     `json:"status"`
	Test        bool       `json:"test"`
	Bucket      string     `json:"bucket"`
	Folder      string     `json:"folder"`
	Endpoint    string     `json:"endpoint,omitempty"`
	Method      string     `json:"method,omitempty"` // key, role; none of what is deleted: it went with the credentials
	Problem     string     `json:"problem,omitempty"`
	Message     string     `json:"message,omitempty"`
	FailingFor  string     `json:"failing_for,omitempty"` // counted failing time, which the grace period goes by
	Since       *time.Time `json:"since,omitempty"`       // of the status
	LastFile    *time.Time `json:"last_file,omitempty"`
	ContactMail string     `json:"contact_email,omitempty"`

	*connectorMore
}

// connectorMore is what show has beyond list.
type connectorMore struct {
	Version         int                      `json:"config_version"`
	Region          string                   `json:"region,omitempty"`
	AccessKeyID     string                   `json:"access_key_id,omitempty"`
	RoleARN         string                   `json:"role_arn,omitempty"`
	AccountID       string                   `json:"account_id,omitempty"`
	ExternalID      string                   `json:"external_id,omitempty"`
	Encryption      bool                     `json:"encryption"`
	Events          []string                 `json:"events"`
	Transformations []control.Transformation `json:"transformations"`
	Codec           string                   `json:"codec"`
	FlushInterval   string                   `json:"flush_interval"`
	FlushEvents     int                      `json:"flush_events"`
	CreatedAt       time.Time                `json:"created_at"`
	Checks          []checkJSON              `json:"checks"` // newest first
}

type checkJSON struct {
	At      time.Time `json:"at"`
	Trigger string    `json:"trigger"`
	OK      bool      `json:"ok"`
}

// Run lists.
func (cmd ConnectorList) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	all, err := p.store.Workspaces(ctx)
	if err != nil {
		return err
	}
	lanes, err := p.healths(ctx)
	if err != nil {
		return err
	}
	if cmd.Workspace != "" {
		w, err := p.workspace(ctx, cmd.Workspace)
		if err != nil {
			return err
		}
		all = []control.Workspace{w}
	}
	rows := []connectorJSON{}
	var gone []connectorJSON
	for _, w := range all {
		cs, err := p.store.Connectors(ctx, w.Number)
		if err != nil {
			return err
		}
		for _, x := range cs {
			rows = append(rows, showConnector(w, x, lanes[x.Connector]))
		}
		drafts, err := p.store.Drafts(ctx, w.Number)
		if err != nil {
			return err
		}
		for _, d := range drafts {
			rows = append(rows, connectorJSON{Workspace: w.Name, Name: d.Name(), ID: string(d.ID), Status: string(control.StatusDraft)})
		}
		if cmd.Deleted {
			cs, err := p.store.DeletedConnectors(ctx, w.Number)
			if err != nil {
				return err
			}
			for _, x := range cs {
				gone = append(gone, showConnector(w, x, lanes[x.Connector]))
			}
		}
	}
	rows = append(rows, gone...)
	if cmd.JSON {
		return c.JSON(map[string]any{"connectors": rows})
	}
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	columns := "CONNECTOR\tSTATUS\tBUCKET\tFOLDER\tMETHOD\tPROBLEM"
	if cmd.Deleted {
		columns = "ID\t" + columns // a deleted one's name may be another's
	}
	fmt.Fprintln(w, columns)
	for _, r := range rows {
		if cmd.Deleted {
			fmt.Fprintf(w, "%s\t", r.ID)
		}
		fmt.Fprintf(w, "%s/%s\t%s\t%s\t%s\t%s\t%s\n", r.Workspace, r.Name, r.Status, r.Bucket, r.Folder, r.Method, r.Problem)
	}
	return w.Flush()
}

// healths gives what the lanes of all connectors say of themselves.
func (p *plane) healths(ctx context.Context) (map[control.ConnectorID][]control.Health, error) {
	lanes, err := p.store.Lanes(ctx)
	if err != nil {
		return nil, err
	}
	by := map[control.ConnectorID][]control.Health{}
	for _, l := range lanes {
		h, err := p.store.Health(ctx, l.Lane)
		if err != nil {
			return nil, err
		}
		by[l.Lane.Connector] = append(by[l.Lane.Connector], h)
	}
	return by, nil
}

func showConnector(w control.Workspace, c control.Connector, lanes []control.Health) connectorJSON {
	j := connectorJSON{
		Workspace: w.Name, Name: c.Name, ID: string(c.Connector), Status: string(control.StatusOf(c, lanes)), Test: c.Test,
		Bucket: c.Destination.Bucket, Folder: c.Destination.Folder, Endpoint: c.Destination.Endpoint, Method: methodOf(c), ContactMail: c.ContactEmail,
	}
	for _, h := range lanes {
		if h.LastFile.After(timeOf(j.LastFile)) {
			j.LastFile = &h.LastFile
		}
		if h.State == control.LaneFailing || h.State == control.LaneRetrying && j.Problem == "" {
			j.Problem, j.Message, j.Since = h.Problem, h.Message, &h.Since
			if bucket.Problem(h.Problem).Owner() == bucket.Ours {
				j.Message = "this installation itself is in the way: " + h.Message
			}
			if h.Failing > 0 {
				j.FailingFor = h.Failing.Round(time.Second).String()
			}
		}
	}
	return j
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func methodOf(c control.Connector) string {
	switch {
	case c.RoleARN != "":
		return string(bucket.RoleMethod)
	case c.AccessKeyID != "":
		return string(bucket.KeyMethod)
	}
	return ""
}

// ConnectorShow shows one connector.
type ConnectorShow struct {
	Connector string `arg:"" placeholder:"[WORKSPACE/]NAME" help:"Which."`
	JSON      bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (ConnectorShow) Help() string {
	return `Everything about a connector but its secret: where it delivers to, what it takes, how it does, and how its last credential checks ended. With the role method also the external id that the role's trust policy has to name, and the account id if MILLRACE_AWS_ACCOUNT_ID sets it: nobody is asked for it here.

    millrace connector show acme/warehouse`
}

// Run shows.
func (cmd ConnectorShow) Run(ctx context.Context, c *Console, s Settings) error {
	p, w, conn, err := openConnector(ctx, s, cmd.Connector)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	lanes, err := p.healths(ctx)
	if err != nil {
		return err
	}
	j := showConnector(w, conn, lanes[conn.Connector])
	j.connectorMore = &connectorMore{
		Version: conn.Version, Region: conn.Destination.Region, AccessKeyID: conn.AccessKeyID, RoleARN: conn.RoleARN, Encryption: conn.Destination.Encryption,
		Events: conn.Events, Transformations: append([]control.Transformation{}, conn.Transformations...), Codec: conn.Codec,
		FlushInterval: conn.FlushInterval.String(), FlushEvents: conn.FlushEvents, CreatedAt: conn.CreatedAt, Checks: []checkJSON{},
	}
	if conn.RoleARN != "" {
		j.AccountID = p.cfg.AWS.AccountID // nobody is asked for it: who only shows does not connect
		if j.ExternalID, err = p.store.ExternalID(ctx, w.Number, control.IntegrationCurrents); err != nil {
			return err
		}
	}
	checks, err := p.store.Checks(ctx, w.Number, conn.Connector, 5)
	if err != nil {
		return err
	}
	for _, r := range checks {
		j.Checks = append(j.Checks, checkJSON{r.At, string(r.Trigger), r.OK})
	}
	if cmd.JSON {
		return c.JSON(j)
	}
	return j.print(c)
}

func (j connectorJSON) print(c *Console) error {
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	at := func(t *time.Time) string {
		if timeOf(t).IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	line("connector", j.Workspace+"/"+j.Name)
	line("id", j.ID)
	line("status", j.Status)
	line("problem", j.Problem)
	line("message", j.Message)
	line("since", at(j.Since))
	line("failing for", j.FailingFor)
	line("last file", at(j.LastFile))
	line("contact e-mail", j.ContactMail)
	line("bucket", j.Bucket)
	line("folder", j.Folder)
	line("endpoint", j.Endpoint)
	line("region", j.Region)
	line("access key id", j.AccessKeyID)
	line("role ARN", j.RoleARN)
	line("account id", j.AccountID)
	line("external id", j.ExternalID)
	line("encryption", map[bool]string{true: "AES-256", false: "off"}[j.Encryption])
	line("events", strings.Join(j.Events, ", "))
	var rules []string
	for _, t := range j.Transformations {
		rules = append(rules, t.Action+" "+t.Field)
	}
	line("transformations", strings.Join(rules, ", "))
	line("codec", j.Codec)
	line("flush", fmt.Sprintf("%s or %s events", j.FlushInterval, thousands(int64(j.FlushEvents))))
	if j.Test {
		line("test connector", "yes")
	}
	for i, x := range j.Checks {
		name := ""
		if i == 0 {
			name = "checks"
		}
		fmt.Fprintf(w, "%s\t%s %s (%s)\n", name, x.At.UTC().Format(time.RFC3339), map[bool]string{true: "passed", false: "failed"}[x.OK], x.Trigger)
	}
	return w.Flush()
}

// ConnectorCheck tries a connector's credentials.
type ConnectorCheck struct {
	Connector string `arg:"" placeholder:"[WORKSPACE/]NAME" help:"Whose credentials."`
	Format    string `enum:"json,cli,terraform,cloudformation" default:"json" help:"How statements that are missing are shown: json, cli, terraform or cloudformation."`
	JSON      bool   `name:"json" help:"As JSON: the whole report."`
}

// Help teaches.
func (ConnectorCheck) Help() string {
	return `Each right is tried on the connector's own folder, as at Launch, and nothing more: the check writes one small object once and deletes nothing. What is missing is named with the policy statement that grants it. The server does the same about once a day.

    millrace connector check acme/warehouse`
}

// Run checks.
func (cmd ConnectorCheck) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // the commit was synced
	w, conn, err := p.connector(ctx, cmd.Connector)
	if err != nil {
		return err
	}
	rules, end := p.watched(c)
	report, err := rules.CheckNow(ctx, w.Number, conn.Connector, control.CheckDemand)
	end()
	if cmd.JSON && len(report.Steps) > 0 {
		return errors.Join(c.JSON(report), err)
	}
	c.remedies(report, bucket.Format(cmd.Format))
	if err != nil {
		return unlessShown(err, report, bucket.Format(cmd.Format))
	}
	c.Print("%s/%s: the credentials are good", w.Name, conn.Name)
	return nil
}

// ConnectorPause stops a connector's uploads.
type ConnectorPause struct {
	Connector string `arg:"" placeholder:"[WORKSPACE/]NAME" help:"Which."`
}

// Help teaches.
func (ConnectorPause) Help() string {
	return `A paused connector uploads nothing and loses nothing: its events are kept, and delivered when it is resumed. After MILLRACE_PAUSE_LIMIT the oldest are dropped into its ledger; its contact is told at half time and shortly before.

    millrace connector pause acme/warehouse`
}

// Run pauses.
func (cmd ConnectorPause) Run(ctx context.Context, c *Console, s Settings) error {
	return onConnector(ctx, c, s, cmd.Connector, "paused", "is paused already", func(c control.Connector) bool { return c.Paused }, (*control.Plane).Pause)
}

// ConnectorResume lets a paused connector go on.
type ConnectorResume struct {
	Connector string `arg:"" placeholder:"[WORKSPACE/]NAME" help:"Which."`
}

// Help teaches.
func (ConnectorResume) Help() string {
	return `Everything that was kept is delivered, in larger files.

    millrace connector resume acme/warehouse`
}

// Run resumes.
func (cmd ConnectorResume) Run(ctx context.Context, c *Console, s Settings) error {
	return onConnector(ctx, c, s, cmd.Connector, "resumed", "is not paused", func(c control.Connector) bool { return !c.Paused }, (*control.Plane).Resume)
}

// ConnectorDelete ends a connector.
type ConnectorDelete struct {
	Connector string `arg:"" placeholder:"[WORKSPACE/]NAME" help:"Which."`
}

// Help teaches.
func (ConnectorDelete) Help() string {
	return `What was accepted before is still delivered for up to a minute; the rest goes to the ledger. Then the stored credentials are erased. Files in the bucket stay. Name and folder are free at once. To see what still waits, and afterwards what was lost: millrace ledger --connector NAME. What deletion dropped cannot be brought back.

    millrace connector delete acme/warehouse`
}

// Run deletes.
func (cmd ConnectorDelete) Run(ctx context.Context, c *Console, s Settings) error {
	return onConnector(ctx, c, s, cmd.Connector, "deleted", "is deleted already", func(c control.Connector) bool { return c.Deleted }, (*control.Plane).Delete)
}

// ConnectorUpgrade makes a test connector a full one.
type ConnectorUpgrade struct {
	Connector string `arg:"" placeholder:"[WORKSPACE/]NAME" help:"Which."`
}

// Help teaches.
func (ConnectorUpgrade) Help() string {
	return `From then on the cap of test connectors does not hold for it. There is no way back. What the cap dropped before stays dropped, and can be brought back like other losses: millrace replay --dropped.

    millrace connector upgrade acme/warehouse`
}

// Run upgrades.
func (cmd ConnectorUpgrade) Run(ctx context.Context, c *Console, s Settings) error {
	return onConnector(ctx, c, s, cmd.Connector, "upgraded", "is no test connector", func(c control.Connector) bool { return !c.Test }, (*control.Plane).Upgrade)
}

// onConnector does one action on a connector, and says when it holds; where so tells that there is nothing to do, it says
// that, in the words of already.
func onConnector(ctx context.Context, c *Console, s Settings, name, did, already string, so func(control.Connector) bool,
	act func(*control.Plane, context.Context, uint32, control.ConnectorID) error,
) error {
	p, w, conn, err := openConnector(ctx, s, name)
	if err != nil {
		return err
	}
	defer p.Close() // the commit was synced
	if so(conn) && (!conn.Deleted || did == "deleted") {
		c.Print("%s/%s %s: nothing changed", w.Name, conn.Name, already)
		return nil
	}
	if err := act(p.rules(), ctx, w.Number, conn.Connector); err != nil {
		return err
	}
	c.Print("%s/%s is %s", w.Name, conn.Name, did)
	p.noteServer(c)
	return nil
}

// ConnectorTestEvents sends test events.
type ConnectorTestEvents struct {
	Connector string `arg:"" placeholder:"[WORKSPACE/]NAME" help:"To which."`
}

// Help teaches.
func (ConnectorTestEvents) Help() string {
	return `One realistic event of each selected type goes through the whole way to this connector's bucket, in files of its own. Their ids begin with "test-"; they are in no count, no audit and no other connector. The server appends them; without one they wait until it runs.

    millrace connector test-events acme/warehouse`
}

// Run sends.
func (cmd ConnectorTestEvents) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // the commit was synced
	w, conn, err := p.connector(ctx, cmd.Connector)
	if err != nil {
		return err
	}
	id, err := p.rules().SendTestEvents(ctx, w.Number, conn.Connector)
	if err != nil {
		return err
	}
	name := w.Name + "/" + conn.Name
	if !p.serverRuns() {
		c.Print("test events for %s wait for the server: none runs on the data folder", name)
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, jobPatience)
	defer cancel()
	job, err := p.awaitJob(waiting, w.Number, id)
	if waiting.Err() != nil && ctx.Err() == nil {
		return fault.New(fault.Unavailable, "", "the server has not taken the test events up after %s; they go on waiting", jobPatience)
	}
	if err != nil {
		return err
	}
	var sent testEventsResult
	if err := json.Unmarshal(job.Result, &sent); err != nil {
		return fault.From(err, fault.Corrupt, "read the job's result")
	}
	when := "delivered with its next files"
	if conn.Paused {
		when = "delivered when it is resumed: millrace connector resume " + name
	}
	c.Print("%s for %s, %s", quantity(int64(sent.Events), "test event", "test events"), name, when)
	return nil
}
