package store

import (
	"context"

	"github.com/millrace/millrace/internal/control"
)

// MarkNoticesRead notes that a member has seen the notices of a workspace up to that ID, at most up to the newest that
// there is; one that was seen stays seen. Workspace 0 has the notices of the installation.
func (s *Store) MarkNoticesRead(ctx context.Context, workspace uint32, id control.MemberID, upTo int64) error {
	return s.inTx(ctx, "mark notices as read", func(c conn) error {
		if _, err := c.member("WHERE m.id = ?", string(id)); err != nil {
			return err
		}
		var newest int64
		if err := c.one("SELECT COALESCE(MAX(id), 0) FROM notices WHERE workspace = ? AND id <= ?", []any{workspace, upTo}, &newest); err != nil {
			return err
		}
		_, err := c.exec(`INSERT INTO notices_read (workspace, member, up_to) VALUES (?, ?, ?)
			ON CONFLICT (workspace, member) DO UPDATE SET up_to = excluded.up_to WHERE notices_read.up_to < excluded.up_to`,
			workspace, string(id), newest)
		return err
	})
}

// UnreadNotices gives how many notices of a workspace a member has not seen, of those that Notices lists. What was told
// before they came, to the workspace or else to the installation, counts as seen.
func (s *Store) UnreadNotices(ctx context.Context, workspace uint32, id control.MemberID) (n int, err error) {
	err = s.reader(ctx).one("SELECT COUNT(*) FROM notices n"+unread, unreadBy(workspace, id), &n)
	return n, s.fail(err, "count unread notices")
}

// OldestUnread gives the oldest of the notices that UnreadNotices counts, and how many there are; a zero notice if
// there is none.
func (s *Store) OldestUnread(ctx context.Context, workspace uint32, id control.MemberID) (oldest control.Notice, n int, err error) {
	err = s.snapshot(ctx, "find oldest unread notice", func(c conn) error {
		args := unreadBy(workspace, id)
		if err := c.one("SELECT COUNT(*) FROM notices n"+unread, args, &n); err != nil || n == 0 {
			return err
		}
		ns, err := list(c, scanNotice, noticeQuery+"n"+unread+" ORDER BY n.id LIMIT 1", args...)
		if err == nil {
			oldest = ns[0]
		}
		return err
	})
	return oldest, n, err
}

// unread is the condition on notices n that a member has not seen them; its values are those of unreadBy.
const unread = ` WHERE n.workspace = ? AND n.kind <> ?
	AND n.id > COALESCE((SELECT r.up_to FROM notices_read r WHERE r.workspace = n.workspace AND r.member = ?), 0)
	AND n.at >= COALESCE((SELECT s.created_at FROM seats s WHERE s.workspace = n.workspace AND s.member = ?),
		(SELECT m.created_at FROM members m WHERE m.id = ?))`

func unreadBy(workspace uint32, id control.MemberID) []any {
	return []any{workspace, string(control.NoticeHourComplete), string(id), string(id), string(id)}
}
