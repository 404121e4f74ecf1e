package store

import (
	"context"
	"encoding/json"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const labelColumns = "workspace, kind, id, title, description, tags, archived, updated_at, rev"

// CampaignLabels gives what people said of a workspace's campaigns, or Canvases, of those of which they said anything, by id.
func (s *Store) CampaignLabels(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.CampaignLabel, error) {
	all, err := list(s.reader(ctx), scanLabel, "SELECT "+labelColumns+" FROM campaign_labels WHERE workspace = ? AND kind = ? ORDER BY id", workspace, uint8(kind))
	return all, s.fail(err, "list labels of campaigns")
}

// CampaignLabel gives what people said of one campaign or Canvas; with Rev 0 if they said nothing.
func (s *Store) CampaignLabel(ctx context.Context, workspace uint32, kind control.NameKind, id string) (control.CampaignLabel, error) {
	all, err := list(s.reader(ctx), scanLabel, "SELECT "+labelColumns+" FROM campaign_labels WHERE workspace = ? AND kind = ? AND id = ?", workspace, uint8(kind), id)
	if err != nil || len(all) == 0 {
		return control.CampaignLabel{Workspace: workspace, Kind: kind, ID: id}, s.fail(err, "find label of a campaign")
	}
	return all[0], nil
}

func scanLabel(r scanner) (l control.CampaignLabel, err error) {
	var tags []byte
	var archived int
	var updated int64
	if err = r.Scan(&l.Workspace, &l.Kind, &l.ID, &l.Title, &l.Description, &tags, &archived, &updated, &l.Rev); err != nil {
		return l, err
	}
	l.Archived, l.UpdatedAt = archived == 1, fromMillis(updated)
	if err := json.Unmarshal(tags, &l.Tags); err != nil {
		return l, fault.New(fault.Corrupt, "", "the tags of %s are not JSON", l.ID).WithCause(err)
	}
	return l, nil
}

// SaveCampaignLabel writes what people say of a campaign or Canvas, if it still has l's Rev. Errors: stale.
func (s *Store) SaveCampaignLabel(ctx context.Context, l control.CampaignLabel) error {
	return s.inTx(ctx, "label a campaign", func(c conn) error {
		tags, err := json.Marshal(append([]string{}, l.Tags...))
		if err != nil {
			return err
		}
		var n int64
		if l.Rev == 0 {
			n, err = c.exec("INSERT INTO campaign_labels ("+labelColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (workspace, kind, id) DO NOTHING",
				l.Workspace, uint8(l.Kind), l.ID, l.Title, l.Description, string(tags), l.Archived, millis(l.UpdatedAt))
		} else {
			n, err = c.exec("UPDATE campaign_labels SET title = ?, description = ?, tags = ?, archived = ?, updated_at = ?, rev = rev + 1 WHERE workspace = ? AND kind = ? AND id = ? AND rev = ?",
				l.Title, l.Description, string(tags), l.Archived, millis(l.UpdatedAt), l.Workspace, uint8(l.Kind), l.ID, l.Rev)
		}
		if err == nil && n == 0 {
			err = errChanged()
		}
		return err
	})
}
