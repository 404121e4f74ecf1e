package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// AddNotice puts n into the inbox. A notice of the same workspace, connector, kind and episode stays as it is, so
// writing it again changes nothing.
func (s *Store) AddNotice(ctx context.Context, n control.Notice) error {
	return s.inTx(ctx, "add notice", func(c conn) error { return c.addNotice(n) })
}

func (c conn) addNotice(n control.Notice) error {
	params, err := json.Marshal(n.Params)
	if err != nil {
		return err
	}
	_, err = c.exec(`INSERT INTO notices (workspace, connector, kind, episode, at, params, planned) VALUES (?, ?, ?, ?, ?, ?, 0)
		ON CONFLICT (workspace, connector, kind, episode) DO NOTHING`,
		n.Workspace, string(n.Connector), string(n.Kind), n.Episode, millis(n.At), string(params))
	return err
}

const noticeQuery = "SELECT id, workspace, connector, kind, episode, at, params, planned FROM notices "

func scanNotice(r scanner) (n control.Notice, err error) {
	var at int64
	var params string
	if err = r.Scan(&n.ID, &n.Workspace, &n.Connector, &n.Kind, &n.Episode, &at, &params, &n.Planned); err != nil {
		return n, err
	}
	n.At = fromMillis(at)
	if err := json.Unmarshal([]byte(params), &n.Params); err != nil {
		return n, fault.New(fault.Corrupt, "", "the parameters of notice %d are not JSON", n.ID).WithCause(err)
	}
	return n, nil
}

// NoticeGone reports whether a notice has reached its people, or long enough was tried: it is in the inbox, who is to
// be sent it is decided, and each of its mails is accepted, given up, or was first tried at least patience ago.
// Webhooks are not waited for. A notice that was never written is not gone.
func (s *Store) NoticeGone(ctx context.Context, workspace uint32, connector control.ConnectorID, kind control.NoticeKind, episode string, patience time.Duration) (bool, error) {
	var waiting int
	err := s.reader(ctx).one(`SELECT CASE n.planned WHEN 0 THEN 1 ELSE (SELECT COUNT(*) FROM send_notices x JOIN sends s ON s.id = x.send
			WHERE x.notice = n.id AND s.channel = ? AND s.done_at IS NULL AND s.failed = ''
				AND (s.first_try_at IS NULL OR s.first_try_at > ?)) END
		FROM notices n WHERE n.workspace = ? AND n.connector = ? AND n.kind = ? AND n.episode = ?`,
		[]any{string(control.ChannelMail), millis(s.now().Add(-patience)), workspace, string(connector), string(kind), episode}, &waiting)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && waiting == 0, s.fail(err, "look after a notice")
}

// Notices gives up to limit notices of a workspace with an ID below before, newest first; a before of 0 begins with
// the newest. Workspace 0 has those of the installation. Complete hours, which are for webhooks only, are left out.
func (s *Store) Notices(ctx context.Context, workspace uint32, before int64, limit int) ([]control.Notice, error) {
	ns, err := list(s.reader(ctx), scanNotice, noticeQuery+"WHERE workspace = ? AND kind <> ? AND (CAST(? AS BIGINT) = 0 OR id < ?) ORDER BY id DESC LIMIT ?",
		workspace, string(control.NoticeHourComplete), before, before, limit)
	return ns, s.fail(err, "list notices")
}

// UnplannedNotices gives up to limit notices, of all workspaces, of which it is not decided who is to be sent them,
// oldest first.
func (s *Store) UnplannedNotices(ctx context.Context, limit int) ([]control.Notice, error) {
	ns, err := list(s.reader(ctx), scanNotice, noticeQuery+"WHERE planned = 0 ORDER BY id LIMIT ?", limit)
	return ns, s.fail(err, "list unplanned notices")
}

// NoticesByID gives the notices with these IDs, in their order; those that are not there are left out.
func (s *Store) NoticesByID(ctx context.Context, ids []int64) (out []control.Notice, err error) {
	err = s.snapshot(ctx, "find notices", func(c conn) error {
		for _, id := range ids {
			ns, err := list(c, scanNotice, noticeQuery+"WHERE id = ?", id)
			if err != nil {
				return err
			}
			out = append(out, ns...)
		}
		return nil
	})
	return out, err
}

// PlanSends notes that the notices with these IDs are planned, and stores what is to be sent for them, in one commit.
//
// Errors: stale if one of them is planned already: somebody else did it, and nothing was stored.
func (s *Store) PlanSends(ctx context.Context, notices []int64, sends []control.Send) error {
	return s.inTx(ctx, "plan sends", func(c conn) error {
		for _, id := range notices {
			n, err := c.exec("UPDATE notices SET planned = 1 WHERE id = ? AND planned = 0", id)
			if err != nil {
				return err
			}
			if n == 0 {
				return fault.New(fault.Stale, "", "notice %d is planned already", id)
			}
		}
		for i := range sends {
			if err := c.insertSend(&sends[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c conn) insertSend(v *control.Send) error {
	var id int64
	if err := c.one(`INSERT INTO sends (channel, address, webhook, tries, first_try_at, next_try_at, done_at, failed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, []any{string(v.Channel), v.Address, v.Webhook, v.Tries, optMillis(v.FirstTry),
		millis(v.NextTry), optMillis(v.Done), v.Failed}, &id); err != nil {
		return err
	}
	for _, n := range v.Notices {
		if _, err := c.exec("INSERT INTO send_notices (send, notice) VALUES (?, ?)", id, n); err != nil {
			return err
		}
	}
	return nil
}

// DueSends gives up to limit sends that are neither done nor given up and whose next try is due, the longest due
// first.
func (s *Store) DueSends(ctx context.Context, now time.Time, limit int) (out []control.Send, err error) {
	err = s.snapshot(ctx, "list due sends", func(c conn) error {
		out, err = list(c, func(r scanner) (v control.Send, err error) {
			var first, done sql.NullInt64
			var next int64
			err = r.Scan(&v.ID, &v.Channel, &v.Address, &v.Webhook, &v.Tries, &first, &next, &done, &v.Failed)
			v.FirstTry, v.NextTry, v.Done = fromOptMillis(first), fromMillis(next), fromOptMillis(done)
			return v, err
		}, `SELECT id, channel, address, webhook, tries, first_try_at, next_try_at, done_at, failed FROM sends
			WHERE done_at IS NULL AND failed = '' AND next_try_at <= ? ORDER BY next_try_at, id LIMIT ?`, millis(now), limit)
		for i := range out {
			if err != nil {
				return err
			}
			out[i].Notices, err = list(c, func(r scanner) (id int64, err error) { return id, r.Scan(&id) },
				"SELECT notice FROM send_notices WHERE send = ? ORDER BY notice", out[i].ID)
		}
		return err
	})
	return out, err
}

// SaveSend writes how far a send is: tries and times, and why it was given up. Errors: not_found.
func (s *Store) SaveSend(ctx context.Context, v control.Send) error {
	return s.inTx(ctx, "save send", func(c conn) error {
		return must(c.exec("UPDATE sends SET tries = ?, first_try_at = ?, next_try_at = ?, done_at = ?, failed = ? WHERE id = ?",
			v.Tries, optMillis(v.FirstTry), millis(v.NextTry), optMillis(v.Done), v.Failed, v.ID))
	})
}
