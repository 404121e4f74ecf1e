-- Filters that were saved.
CREATE TABLE segments (
  id          TEXT    NOT NULL PRIMARY KEY, -- a UUID
  workspace   INTEGER NOT NULL REFERENCES workspaces (number),
  name        TEXT    NOT NULL,
  description TEXT    NOT NULL,
  tags        TEXT    NOT NULL, -- JSON array
  filter      TEXT    NOT NULL, -- JSON
  analytics   INTEGER NOT NULL, -- whether its size is kept each day
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  rev         INTEGER NOT NULL, -- counts the changes
  UNIQUE (workspace, name)
) STRICT, WITHOUT ROWID;
