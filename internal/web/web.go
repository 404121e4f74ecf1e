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
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/secret"
)

// Config is what the installation decides.
type Config struct {
	Version string // of the program
	Secure  bool   // reached by HTTPS, so cookies are for HTTPS only

	GracePeriod time.Duration // that events of a failing connector are kept
	PauseLimit  time.Duration // likewise of a paused one
}

// Waiting is what was read of the log for a connector and is not in its bucket yet.
type Waiting struct {
	Events int64
	Oldest time.Time // when the oldest was accepted; zero: none waits
}

// Deps are what pages and API work with. All are needed.
type Deps struct {
	People    People
	Plane     *control.Plane
	Store     Store
	Catalogue *event.Catalogue
	Rejected  func(control.KeyID) (total int64, last []control.Rejection)
	Wake      func()                                       // a job waits
	Account   func(context.Context) (string, error)        // of AWS, that takes on customers' roles; see bucket.Assumer
	Waiting   func() map[control.ConnectorID]Waiting       // what this process holds, if it works on the log
	Call      func(context.Context, control.Webhook) error // one signed call, to try a webhook
	Stopping  <-chan struct{}                              // closed when the server begins to stop: who waits for an hour is answered
	IDs       IDs
	Logger    *slog.Logger
}

// People are the actions about members.
type People interface {
	// ActorBySession and ActorByToken give who asks, by a session's or a personal token. Errors: unauthorized.
	ActorBySession(ctx context.Context, token secret.Value, address string) (control.Actor, control.Session, error)
	ActorByToken(ctx context.Context, token secret.Value, address string) (control.Actor, error)
}

// Store is what pages and API read. See room store for errors; every method keeps to the workspace that it is given.
type Store interface {
	Workspaces(ctx context.Context) ([]control.Workspace, error)
	Workspace(ctx context.Context, name string) (control.Workspace, error)
	BeginRepeat(ctx context.Context, r control.Repeat) (had control.Repeat, begun bool, err error)
	EndRepeat(ctx context.Context, r control.Repeat) error
	DropRepeat(ctx context.Context, key control.KeyHash) error
}

// api answers the addresses of the table.
type api struct {
	cfg  Config
	deps Deps
}

// New gives what answers every address below /api/v1/.
func New(cfg Config, deps Deps) (http.Handler, error) {
	a := &api{cfg, deps}
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.Handle(r.method+" "+prefix+r.path, a.serve(r))
	}
	mux.HandleFunc(prefix+"/", httpd.NotFound)
	return mux, nil
}

// prefix is where the API begins.
const prefix = "/api/v1"

// routes is the table.
func (a *api) routes() []route {
	return nil
}
