-- What people say of campaigns and Canvases, which events name: nothing stands here of those that nobody has said anything of.
CREATE TABLE campaign_labels (
  workspace   INTEGER NOT NULL REFERENCES workspaces (number),
  kind        INTEGER NOT NULL, -- 4 campaign, 5 Canvas
  id          TEXT    NOT NULL, -- as events have it
  title       TEXT    NOT NULL, -- empty: as events say
  description TEXT    NOT NULL,
  tags        TEXT    NOT NULL, -- JSON array
  archived    INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  rev         INTEGER NOT NULL, -- counts the changes
  PRIMARY KEY (workspace, kind, id)
) STRICT, WITHOUT ROWID;
