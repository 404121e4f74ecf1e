// Package web is the control plane for people (pages) and scripts (JSON), from the same actions.
//
// The API is a table: each row is an address with the right that it needs, what it takes and what it gives, and the
// function that does it. Who asks is found out, their right is looked at and the input is read before the function runs,
// the same for every row; the description of the API and the test of who may do what are made from the table too, so a
// row cannot be forgotten in either. Functions call the actions of control and read from Store; they know no SQL.
//
// Start reading at route, then at any file named after what its addresses are about.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/text"
)

// Config is what the installation decides.
type Config struct {
	Version   string // of the program
	Secure    bool   // reached by HTTPS, so cookies are for HTTPS only
	Origin    string // of the pages, as https://millrace.example; empty: as the request's Host says
	RateLimit int    // requests a second of each session or token; an address that is unknown has a fifth. 0: no limit

	OIDC OIDC

	GracePeriod time.Duration // that events of a failing connector are kept
	PauseLimit  time.Duration // likewise of a paused one
	ExportRetry time.Duration // that an export is tried again for
	Retention   time.Duration // that the log keeps events for, at least
	TestCap     int           // events that the test connectors of a workspace deliver in TestWindow
	TestWindow  time.Duration
}

// Waiting is what was read of the log for a connector and is not in its bucket yet.
type Waiting struct {
	Events   int64
	Oldest   time.Time // when the oldest was accepted; zero: none waits
	LastFile time.Time // when the last file was delivered; zero: none since this process began
}

// Deps are what pages and API work with. All are needed but Profiles.
type Deps struct {
	People    *control.People
	Plane     *control.Plane
	Store     Store
	Catalogue *event.Catalogue
	Open      func(control.Access) (bucket.Bucket, error) // a customer's bucket
	Rejected  func(control.KeyID) (total int64, last []control.Rejection)
	Wake      func()                                                    // a job waits
	Account   func(context.Context) (string, error)                     // of AWS, that takes on customers' roles; see bucket.Assumer
	Waiting   func() map[control.ConnectorID]Waiting                    // what this process holds, if it works on the log
	Call      func(context.Context, control.Webhook) error              // one signed call, to try a webhook
	Say       func(text.Language, control.Notice) (title, words string) // what a notice says
	Example   func(*event.Type) string                                  // an event, as JSON
	Stopping  <-chan struct{}                                           // closed when the server begins to stop: who waits for an hour is answered
	Machine   func(context.Context) (client.Installation, error)
	Profiles  Profiles // nil: nothing is kept of people
	// ProfileLag says how far profiles are behind, if this process keeps them up; Erase deletes a person as /users/delete does.
	ProfileLag func() (client.ProfileLag, bool)
	Erase      func(ctx context.Context, workspace uint32, who control.PersonID) error
	// ExportFile opens the file of an export that is done; reading it ends with ctx. Errors: stale; unavailable.
	ExportFile func(ctx context.Context, e control.Export) (File, error)
	IDs        IDs
	Logger     *slog.Logger
}

// Store is what pages and API read. See room store for errors; every method keeps to the workspace that it is given.
type Store interface {
	Workspaces(ctx context.Context) ([]control.Workspace, error)
	WorkspaceBy(ctx context.Context, ref string) (control.Workspace, error) // by number or name
	Keys(ctx context.Context, workspace uint32) ([]control.APIKey, error)
	Entries(ctx context.Context, f control.EntryFilter, before int64, limit int) ([]control.Entry, error)
	BeginRepeat(ctx context.Context, r control.Repeat) (had control.Repeat, begun bool, err error)
	EndRepeat(ctx context.Context, r control.Repeat) error
	DropRepeat(ctx context.Context, r control.Repeat) error
	CampaignLabels(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.CampaignLabel, error)
	CampaignLabel(ctx context.Context, workspace uint32, kind control.NameKind, id string) (control.CampaignLabel, error)
	FlowStore
	ExportStore
	ScheduleStore
}

// api answers the addresses of the table.
type api struct {
	cfg       Config
	deps      Deps
	origins   *http.CrossOriginProtection
	members   *limit // of sessions and tokens
	strangers *limit // of addresses
}

// New gives what answers every address below /api/v1/ and /auth/. Errors: invalid if the origin is none.
func New(cfg Config, deps Deps) (http.Handler, error) {
	a, err := newAPI(cfg, deps)
	if err != nil {
		return nil, err
	}
	return a.handler(a.routes()), nil
}

func newAPI(cfg Config, deps Deps) (*api, error) {
	n := float64(cfg.RateLimit)
	a := &api{cfg, deps, http.NewCrossOriginProtection(), newLimit(n, 2*cfg.RateLimit), newLimit(n/5, cfg.RateLimit)}
	if cfg.Origin != "" {
		if err := a.origins.AddTrustedOrigin(cfg.Origin); err != nil {
			return nil, fault.From(err, fault.Invalid, "trust the pages of "+cfg.Origin)
		}
	}
	return a, nil
}

// handler answers the addresses of a table, and those of signing in elsewhere.
func (a *api) handler(table []route) http.Handler {
	addresses := map[string]address{}
	for _, r := range table {
		if addresses[r.path] == nil {
			addresses[r.path] = address{}
		}
		addresses[r.path][r.method] = a.serve(r)
	}
	mux := http.NewServeMux()
	for path, h := range addresses {
		mux.Handle(prefix+path, h)
	}
	(&elsewhere{api: a, cfg: a.cfg.OIDC}).register(mux)
	mux.HandleFunc("/", httpd.NotFound)
	return canonical(mux)
}

// prefix is where the API begins.
const prefix = "/api/v1"

// routes is the table.
func (a *api) routes() []route {
	return slices.Concat(
		a.descriptionRoutes(),
		a.signInRoutes(),
		a.meRoutes(),
		a.workspaceRoutes(),
		a.memberRoutes(),
		a.keyRoutes(),
		a.installationRoutes(),
		a.connectorRoutes(),
		a.ledgerRoutes(),
		a.numberRoutes(),
		a.draftRoutes(),
		a.dataExportRoutes(),
		a.exportRoutes(),
		a.scheduleRoutes(),
		a.segmentRoutes(),
		a.campaignRoutes(),
		a.policyRoutes(),
		a.noticeRoutes(),
		a.webhookRoutes(),
		a.catalogueRoutes(),
		a.jobRoutes(),
		a.personRoutes(),
		a.applyRoutes(),
	)
}
