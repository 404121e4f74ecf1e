-- What is taken out on demand: rows that stay, of files that do not.
CREATE TABLE exports (
  number     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  id         TEXT    NOT NULL UNIQUE, -- a UUID
  workspace  INTEGER NOT NULL REFERENCES workspaces (number),
  kind       TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  actor      TEXT    NOT NULL, -- JSON
  member     TEXT    NOT NULL, -- of the actor; empty: none
  api_key    TEXT    NOT NULL, -- by which it was asked for; empty: none
  subject    TEXT    NOT NULL,
  title      TEXT    NOT NULL,
  spec       TEXT    NOT NULL, -- JSON
  bucket     TEXT    NOT NULL, -- empty: the installation's own store
  endpoint   TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  people     INTEGER NOT NULL,
  total      INTEGER NOT NULL, -- estimated; 0: not known
  parts      INTEGER NOT NULL,
  bytes      INTEGER NOT NULL,
  after_row  INTEGER NOT NULL, -- of the last person of the last finished part
  file       TEXT    NOT NULL, -- that can be downloaded; empty: none
  error      TEXT    NOT NULL, -- JSON; empty: none
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  done_at    INTEGER,
  expires_at INTEGER,
  call_at    INTEGER, -- when its callback is tried; NULL: no more
  calls      INTEGER NOT NULL
) STRICT;
CREATE INDEX exports_workspace ON exports (workspace, number);
CREATE INDEX exports_open ON exports (number) WHERE state IN ('waiting', 'running');
CREATE INDEX exports_calls ON exports (call_at) WHERE call_at IS NOT NULL;
CREATE INDEX exports_expiring ON exports (expires_at) WHERE state = 'done';

-- Parts that are finished, each in the transaction of its export's progress.
CREATE TABLE export_parts (
  export    INTEGER NOT NULL REFERENCES exports (number),
  part      INTEGER NOT NULL, -- from 1
  after_row INTEGER NOT NULL, -- people of the rows above it
  last_row  INTEGER NOT NULL, -- up to this one
  people    INTEGER NOT NULL,
  bytes     INTEGER NOT NULL,
  plain     INTEGER NOT NULL, -- bytes before they were packed
  name      TEXT    NOT NULL,
  sum       INTEGER NOT NULL, -- CRC-32 of the plain bytes
  hash      BLOB    NOT NULL, -- SHA-256 of the file
  PRIMARY KEY (export, part)
) STRICT, WITHOUT ROWID;

ALTER TABLE workspaces ADD COLUMN control_group TEXT NOT NULL DEFAULT ''; -- ranges of random buckets; empty: there is none
ALTER TABLE workspaces ADD COLUMN erased_at INTEGER;                      -- when somebody was last deleted on demand
