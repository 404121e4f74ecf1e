-- Reports that are made again and again.
CREATE TABLE report_schedules (
  id         TEXT    NOT NULL PRIMARY KEY, -- a UUID
  workspace  INTEGER NOT NULL REFERENCES workspaces (number),
  name       TEXT    NOT NULL,
  kind       TEXT    NOT NULL,
  spec       TEXT    NOT NULL, -- JSON, as an export's
  times      TEXT    NOT NULL, -- JSON
  paused     INTEGER NOT NULL,
  error      TEXT    NOT NULL, -- JSON: why it was paused by itself; empty: it was not
  member     TEXT    NOT NULL, -- who changed it last
  runs       INTEGER NOT NULL,
  ran_at     INTEGER, -- the last time
  next_run   INTEGER, -- NULL: never again
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  rev        INTEGER NOT NULL, -- counts the changes by people
  UNIQUE (workspace, name)
) STRICT;
CREATE INDEX report_schedules_due ON report_schedules (next_run) WHERE next_run IS NOT NULL;
