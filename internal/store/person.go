package store

import (
	"context"
	"database/sql"

	"github.com/millrace/millrace/internal/control"
)

// Had gives what a person had of campaigns, Canvases and steps of these, by kind and name. Errors: unavailable.
func (p *Profiles) Had(ctx context.Context, who *control.Person) ([]control.Had, error) {
	out, err := list(p.s.reader(ctx), func(r scanner) (h control.Had, err error) {
		var first, last int64
		var received, opened, clicked, entered, exited sql.NullInt64
		n, m := &h.Of, &h.Deed
		err = r.Scan(&n.ID, &n.Workspace, &n.Kind, &n.Name, &n.Title, &n.Parent, &first, &last, &m.Variation, &m.Flags, &received, &opened, &clicked, &entered, &exited)
		n.FirstAt, n.LastAt, m.Name, m.Person = fromMillis(first), fromMillis(last), n.ID, who.Row
		m.Received, m.Opened, m.Clicked, m.Entered, m.Exited = fromOptMillis(received), fromOptMillis(opened), fromOptMillis(clicked), fromOptMillis(entered), fromOptMillis(exited)
		return h, err
	}, `SELECT n.id, n.workspace, n.kind, n.name, n.title, n.parent, n.first_at, n.last_at, m.variation, m.flags, m.received, m.opened, m.clicked, m.entered, m.exited
		FROM people_names n JOIN people_messages m ON m.name = n.id AND m.person = ? WHERE n.workspace = ? AND n.kind IN (?, ?, ?) ORDER BY n.kind, n.name`,
		who.Row, who.Workspace, uint8(control.NameCampaign), uint8(control.NameCanvas), uint8(control.NameStep))
	return out, p.s.fail(err, "read what a person had")
}

// Groups gives what a person wants of subscription groups, by their ids. Errors: unavailable.
func (p *Profiles) Groups(ctx context.Context, who *control.Person) ([]control.GroupWish, error) {
	out, err := list(p.s.reader(ctx), func(r scanner) (g control.GroupWish, err error) {
		var at int64
		err = r.Scan(&g.ID, &g.Subscribed, &at)
		g.At = fromMillis(at)
		return g, err
	}, `SELECT n.name, g.subscribed, g.at FROM people_names n JOIN people_groups g ON g.name = n.id AND g.person = ? WHERE n.workspace = ? AND n.kind = ? ORDER BY n.name`,
		who.Row, who.Workspace, uint8(control.NameGroup))
	return out, p.s.fail(err, "read subscription groups of a person")
}
