package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const workspaceColumns = "number, name, unknown_fields, language, time_zone, control_group, created_at, rev"

func scanWorkspace(r scanner) (w control.Workspace, err error) {
	var created int64
	err = r.Scan(&w.Number, &w.Name, &w.UnknownFields, &w.Language, &w.TimeZone, &w.ControlGroup, &created, &w.Rev)
	w.CreatedAt = fromMillis(created)
	return w, err
}

// Workspaces gives all workspaces by name. It is for the operator: nobody else may see more than one.
func (s *Store) Workspaces(ctx context.Context) ([]control.Workspace, error) {
	ws, err := list(s.reader(ctx), scanWorkspace, "SELECT "+workspaceColumns+" FROM workspaces ORDER BY name")
	return ws, s.fail(err, "list workspaces")
}

// Workspace gives the workspace of that name. Errors: not_found.
func (s *Store) Workspace(ctx context.Context, name string) (control.Workspace, error) {
	ws, err := list(s.reader(ctx), scanWorkspace, "SELECT "+workspaceColumns+" FROM workspaces WHERE name = ?", name)
	if err == nil && len(ws) == 0 {
		return control.Workspace{}, fault.New(fault.NotFound, "", "there is no workspace %q", name)
	}
	if err != nil {
		return control.Workspace{}, s.fail(err, "find workspace")
	}
	return ws[0], nil
}

// WorkspaceBy gives the workspace with that number, as decimal digits, or else of that name. Errors: not_found.
func (s *Store) WorkspaceBy(ctx context.Context, ref string) (control.Workspace, error) {
	number, err := strconv.ParseUint(ref, 10, 31)
	if err != nil {
		number = 0 // which none has
	}
	ws, err := list(s.reader(ctx), scanWorkspace, "SELECT "+workspaceColumns+" FROM workspaces WHERE number = ? OR name = ?", number, ref)
	if err == nil && len(ws) == 0 {
		return control.Workspace{}, fault.New(fault.NotFound, "", "there is no workspace %q", ref)
	}
	if err != nil {
		return control.Workspace{}, s.fail(err, "find workspace")
	}
	if i := slices.IndexFunc(ws, func(w control.Workspace) bool { return uint64(w.Number) == number }); i >= 0 {
		return ws[i], nil
	}
	return ws[0], nil
}

// WorkspaceName gives the name of the workspace with that number. Errors: not_found.
func (s *Store) WorkspaceName(ctx context.Context, number uint32) (name string, err error) {
	err = s.reader(ctx).one("SELECT name FROM workspaces WHERE number = ?", []any{number}, &name)
	return name, s.fail(err, "find workspace")
}

// Zone gives the time zone of the workspace with that number. Errors: not_found.
func (s *Store) Zone(ctx context.Context, number uint32) (*time.Location, error) {
	var name string
	err := s.reader(ctx).one("SELECT time_zone FROM workspaces WHERE number = ?", []any{number}, &name)
	return control.ZoneOf(name), s.fail(err, "find time zone")
}

// Zones gives the time zones of all workspaces that have another than UTC.
func (s *Store) Zones(ctx context.Context) (map[uint32]*time.Location, error) {
	of, byName := map[uint32]*time.Location{}, map[string]*time.Location{}
	_, err := list(s.reader(ctx), func(r scanner) (none struct{}, err error) {
		var number uint32
		var name string
		if err = r.Scan(&number, &name); err == nil {
			if byName[name] == nil {
				byName[name] = control.ZoneOf(name)
			}
			of[number] = byName[name]
		}
		return none, err
	}, "SELECT number, time_zone FROM workspaces WHERE time_zone <> ?", control.DefaultZone)
	return of, s.fail(err, "list time zones")
}

// CreateWorkspace adds w, with members who administer it. Errors: conflict if its name, in any case, or number is taken; not_found if
// there is no such member.
func (s *Store) CreateWorkspace(ctx context.Context, w control.Workspace, administrators ...control.MemberID) error {
	return s.inTx(ctx, "create workspace", func(c conn) error {
		if err := c.insertWorkspace(w); err != nil {
			return err
		}
		for _, id := range administrators {
			seat := control.Membership{Workspace: w.Number, Member: id, Role: control.Administrator, CreatedAt: w.CreatedAt}
			if err := c.setSeat(control.SeatChange{Next: seat}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c conn) insertWorkspace(w control.Workspace) error {
	if err := c.workspaceNameFree(w); err != nil {
		return err
	}
	_, err := c.exec("INSERT INTO workspaces ("+workspaceColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
		w.Number, w.Name, string(w.UnknownFields), cmp.Or(w.Language, control.DefaultLanguage), cmp.Or(w.TimeZone, control.DefaultZone), string(w.ControlGroup), millis(w.CreatedAt))
	return err
}

// workspaceNameFree fails if another workspace has w's name, or one that differs in case alone: people would take the one
// for the other. Two that are called so from before this was refused stay. Errors: conflict.
func (c conn) workspaceNameFree(w control.Workspace) error {
	names, err := list(c, func(r scanner) (name string, err error) { return name, r.Scan(&name) }, "SELECT name FROM workspaces WHERE number <> ?", w.Number)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.EqualFold(name, w.Name) { // which the databases do for ASCII alone
			return control.ErrWorkspaceTaken(name)
		}
	}
	return nil
}

// UpdateWorkspace writes everything of w but its number and the time it was made, and counts Rev up. Errors: not_found;
// stale (Rev); conflict if the name is taken.
func (s *Store) UpdateWorkspace(ctx context.Context, w control.Workspace) error {
	return s.inTx(ctx, "update workspace", func(c conn) error {
		var rev int64
		var name string
		if err := c.one("SELECT rev, name FROM workspaces WHERE number = ?", []any{w.Number}, &rev, &name); err != nil {
			return err
		}
		if rev != w.Rev {
			return errChanged()
		}
		if name != w.Name {
			if err := c.workspaceNameFree(w); err != nil {
				return err
			}
		}
		_, err := c.exec("UPDATE workspaces SET name = ?, unknown_fields = ?, language = ?, time_zone = ?, control_group = ?, rev = rev + 1 WHERE number = ?",
			w.Name, string(w.UnknownFields), cmp.Or(w.Language, control.DefaultLanguage), cmp.Or(w.TimeZone, control.DefaultZone), string(w.ControlGroup), w.Number)
		return err
	})
}

// must makes an update that met no row not_found.
func must(n int64, err error) error {
	if err == nil && n == 0 {
		return sql.ErrNoRows
	}
	return err
}
