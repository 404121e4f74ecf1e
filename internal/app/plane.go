package app

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/s3"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/vfs"
)

// lockWait is how long a command waits before it asks again for a lock that another process holds for a moment.
const lockWait = 50 * time.Millisecond

// plane is the control plane of a data folder, whether or not a server runs on it.
type plane struct {
	cfg       *config.Config
	data      vfs.FS
	catalogue *event.Catalogue
	store     ledgerStore
	guard     *dial.Guard // of addresses that customers give
	opener    bucket.Assumer
}

// openPlane opens the control plane, and makes it on the first run.
func openPlane(ctx context.Context, cfg *config.Config) (*plane, error) {
	return openPlaneAs(ctx, cfg, s3.Key{})
}

// openPlaneAs is openPlane with a key by which customers' roles are taken on; empty: as AWS's tools find one.
func openPlaneAs(ctx context.Context, cfg *config.Config, own s3.Key) (*plane, error) {
	catalogue, err := openCatalogue(cfg)
	if err != nil {
		return nil, err
	}
	guard := dial.New(cfg.Dial.AllowedNetworks)
	data := vfs.OS(cfg.DataDir)
	if err := makeFolder(data, "the data folder", cfg.DataDir, "--data-dir or MILLRACE_DATA_DIR"); err != nil {
		return nil, err
	}
	keyring, err := openKeyring(ctx, cfg, data)
	if err != nil {
		return nil, err
	}
	where := store.Config{URL: cfg.Database.URL, Keyring: keyring, Catalogue: catalogue}
	if where.URL.Empty() {
		where.Path = filepath.Join(cfg.DataDir, databaseName)
		if err := missDatabase(data, cfg.DataDir); err != nil {
			return nil, err
		}
		if err := reserveDatabase(data, databaseName); err != nil {
			return nil, fault.Wrap(err, "make the database in "+cfg.DataDir)
		}
	}
	s, err := store.Open(ctx, where)
	if err != nil {
		return nil, err
	}
	return &plane{cfg: cfg, data: data, catalogue: catalogue, store: ledgerStore{s}, guard: guard, opener: newOpener(cfg, guard, own)}, nil
}

// openProfiles opens the tables of people, and makes them on the first run; nil if none are kept.
func (p *plane) openProfiles(ctx context.Context) (*store.Profiles, error) {
	if !p.cfg.Profiles {
		return nil, nil
	}
	where := store.Config{URL: p.cfg.Database.URL}
	if where.URL.Empty() {
		where.Path = filepath.Join(p.cfg.DataDir, peopleName)
		if err := reserveDatabase(p.data, peopleName); err != nil {
			return nil, fault.Wrap(err, "make the database of people in "+p.cfg.DataDir)
		}
	}
	return store.OpenProfiles(ctx, where)
}

// missDatabase refuses a data folder, dir, that has a log and no database: it is elsewhere, or lost, and a new one would know
// of no connector. Errors: conflict.
func missDatabase(data vfs.FS, dir string) error {
	if _, err := data.Stat(databaseName); !fault.Is(err, fault.NotFound) {
		return err
	}
	if _, err := data.Stat(logFolder); err != nil {
		return nil // nothing was begun here; what else is wrong with the folder shows where the database is made
	}
	return fault.New(fault.Conflict, "open the data folder", "%s has a log, and no database", dir).
		WithHint("If its control plane is in PostgreSQL, set MILLRACE_DATABASE_URL as before; if %s is lost, put a backup back with `millrace restore`. To begin with nothing but the log, make an empty file of that name there.", databaseName)
}

// reserveDatabase makes the database's file before SQLite does: only its owner may read it, and SQLite gives the files
// beside it the same rights.
func reserveDatabase(data vfs.FS, name string) error {
	f, err := data.Create(name)
	if fault.Is(err, fault.Conflict) {
		return nil // It must not even be opened: closing it would take this process's locks on it away.
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// loadPlane is openPlane with settings read first.
func loadPlane(ctx context.Context, s Settings) (*plane, error) {
	cfg, err := s.Load()
	if err != nil {
		return nil, err
	}
	return openPlane(ctx, cfg)
}

// existingPlane is loadPlane for commands that only look: an empty folder is most likely a mistyped one.
func existingPlane(ctx context.Context, s Settings) (*plane, error) {
	cfg, err := s.Load()
	if err != nil {
		return nil, err
	}
	made := filepath.Join(cfg.DataDir, databaseName) // on the first run
	if !cfg.Database.URL.Empty() {
		made = keyPath(cfg)
	}
	folder, name := at(made)
	if _, err := folder.Stat(name); fault.Is(err, fault.NotFound) {
		if cfg.Database.URL.Empty() {
			if err := missDatabase(folder, cfg.DataDir); err != nil {
				return nil, err
			}
		}
		return nil, fault.New(fault.NotFound, "open the data folder", "there is no Millrace in %s", cfg.DataDir).
			WithHint("Name its data folder with --data-dir or MILLRACE_DATA_DIR, and if its control plane is in PostgreSQL the database with MILLRACE_DATABASE_URL.")
	}
	return openPlane(ctx, cfg)
}

// openConnector is existingPlane for commands about one connector, deleted ones among them: see anyConnector. The caller
// closes the plane.
func openConnector(ctx context.Context, s Settings, name string) (*plane, control.Workspace, control.Connector, error) {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return nil, control.Workspace{}, control.Connector{}, err
	}
	w, c, err := p.anyConnector(ctx, name)
	if err != nil {
		p.Close() // only read
		return nil, w, c, err
	}
	return p, w, c, nil
}

// newOpener gives what opens customers' buckets and takes on their roles, with the key own or, if it is empty, as
// AWS's tools find one. Addresses that customers give are reached through guard.
func newOpener(cfg *config.Config, guard *dial.Guard, own s3.Key) bucket.Assumer {
	return s3.NewOpener(s3.Config{
		Dial: guard.DialContext, STSEndpoint: cfg.AWS.STSEndpoint, AccountID: cfg.AWS.AccountID, Base: own, Chain: own.ID == "",
	})
}

// takeFolder makes sure that no server works on the data folder while a command changes it.
func (p *plane) takeFolder() (io.Closer, error) {
	lock, err := p.data.Lock(serverLockName)
	if fault.Is(err, fault.Unavailable) {
		return nil, fault.New(fault.Conflict, "take the data folder", "a server works on %s", p.cfg.DataDir).
			WithHint("Stop it first.").WithCause(err)
	}
	return lock, err
}

// Close lets go of the database.
func (p *plane) Close() error { return p.store.Close() }

// connector finds a connector that is not deleted by [WORKSPACE/]NAME, where the workspace can be left out if one of
// them alone has the name, or by its id.
//
// Errors: not_found; conflict if several workspaces have it.
func (p *plane) connector(ctx context.Context, name string) (control.Workspace, control.Connector, error) {
	w, c, err := p.anyConnector(ctx, name)
	if err == nil && c.Deleted {
		err = fault.New(fault.NotFound, "find connector", "the connector %q is deleted", name).
			WithHint("It does not come back; a new one may take its name and folder: millrace apply.")
	}
	return w, c, err
}

// anyConnector is connector for whoever only looks: where no other has the name it finds the deleted one, the last
// deleted of several.
func (p *plane) anyConnector(ctx context.Context, name string) (control.Workspace, control.Connector, error) {
	const op = "find connector"
	all, err := p.store.Workspaces(ctx)
	if err != nil {
		return control.Workspace{}, control.Connector{}, err
	}
	inside, own, named := strings.Cut(name, "/")
	if !named {
		own = inside
	}
	type found struct {
		w control.Workspace
		c control.Connector
	}
	var live, gone []found
	var known []string
	for _, w := range all {
		cs, err := p.store.Connectors(ctx, w.Number)
		if err != nil {
			return control.Workspace{}, control.Connector{}, err
		}
		deleted, err := p.store.DeletedConnectors(ctx, w.Number)
		if err != nil {
			return control.Workspace{}, control.Connector{}, err
		}
		for _, c := range append(slices.Clone(cs), deleted...) {
			if string(c.Connector) == name {
				return w, c, nil
			}
		}
		is := func(c control.Connector) bool { return c.Name == own && (!named || w.Name == inside) }
		for _, c := range cs {
			known = append(known, w.Name+"/"+c.Name)
			if is(c) {
				live = append(live, found{w, c})
			}
		}
		if i := slices.IndexFunc(deleted, is); i >= 0 { // the last deleted stands first
			gone = append(gone, found{w, deleted[i]})
		}
	}
	matches := live
	if len(live) == 0 {
		matches = gone
	}
	switch len(matches) {
	case 0:
	case 1:
		return matches[0].w, matches[0].c, nil
	default:
		e := fault.New(fault.Conflict, op, "%d workspaces have a connector %q", len(matches), name)
		var names []string
		for _, m := range matches {
			names = append(names, m.w.Name+"/"+m.c.Name)
		}
		return control.Workspace{}, control.Connector{}, e.WithHint("Write WORKSPACE/NAME: %s.", strings.Join(names, ", "))
	}
	e := fault.New(fault.NotFound, op, "there is no connector %q", name)
	if len(known) > 0 {
		e = e.WithHint("There are: %s.", strings.Join(known, ", "))
	}
	return control.Workspace{}, control.Connector{}, e
}

// workspace finds a workspace by its name. Errors: not_found.
func (p *plane) workspace(ctx context.Context, name string) (control.Workspace, error) {
	w, err := p.store.Workspace(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return w, fault.New(fault.NotFound, "", "there is no workspace %q", name).WithHint("Workspaces are made by millrace apply.")
	}
	return w, err
}

// workspaceNames gives the names of all workspaces by number.
func (p *plane) workspaceNames(ctx context.Context) (map[uint32]string, error) {
	all, err := p.store.Workspaces(ctx)
	names := make(map[uint32]string, len(all))
	for _, w := range all {
		names[w.Number] = w.Name
	}
	return names, err
}

// access gives what opens the bucket of a connector's newest destination.
func (p *plane) access(ctx context.Context, name string) (control.Connector, bucket.Access, error) {
	_, c, err := p.connector(ctx, name)
	if err != nil {
		return c, bucket.Access{}, err
	}
	a, err := p.store.Access(ctx, control.Lane{Connector: c.Connector, Destination: c.Destination.Number})
	return c, a, err
}

// ledgerPage is how many rows of the ledger are read at once.
const ledgerPage = 1000

// ledgerStore is the store, with its ledger read page by page.
type ledgerStore struct{ *store.Store }

// EachFile calls do for every file of the ledger that f chooses, in the order of writing.
func (s ledgerStore) EachFile(ctx context.Context, f control.LedgerFilter, do func(control.File) error) error {
	return pages(func(after int64) ([]control.File, error) { return s.Files(ctx, f, after, ledgerPage) },
		func(x control.File) int64 { return x.ID }, do)
}

// EachDrop calls do for every drop of the ledger that f chooses, in the order of writing.
func (s ledgerStore) EachDrop(ctx context.Context, f control.LedgerFilter, do func(control.Drop) error) error {
	return pages(func(after int64) ([]control.Drop, error) { return s.Drops(ctx, f, after, ledgerPage) },
		func(x control.Drop) int64 { return x.ID }, do)
}

// archive gives what verify and replay look back on. progress is drawn on c until end.
func (p *plane) archive(ctx context.Context, c *Console) (a delivery.Archive, end func(), err error) {
	log, err := openSource(ctx, p.cfg)
	if err != nil {
		return a, nil, err
	}
	progress, clear := c.progress()
	a = delivery.Archive{Log: log, Ledger: p.store, Opener: p.opener, Catalogue: p.catalogue, Progress: progress}
	return a, func() {
		clear()
		log.Close() // only read
	}, nil
}

func pages[T any](page func(after int64) ([]T, error), id func(T) int64, do func(T) error) error {
	for after := int64(0); ; {
		rows, err := page(after)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			if err := do(r); err != nil {
				return err
			}
		}
		after = id(rows[len(rows)-1])
	}
}
