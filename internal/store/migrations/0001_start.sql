-- Times are milliseconds since 1970 UTC, hours are hours since then, offsets are the log's. Logs are named by their
-- identity in hex. Booleans are 0 and 1.

CREATE TABLE settings (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workspaces (
  number         INTEGER NOT NULL PRIMARY KEY,
  name           TEXT    NOT NULL UNIQUE,
  unknown_fields TEXT    NOT NULL,
  created_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
  id         TEXT    NOT NULL PRIMARY KEY,
  workspace  INTEGER NOT NULL REFERENCES workspaces (number),
  name       TEXT    NOT NULL,
  hash       BLOB    NOT NULL UNIQUE, -- SHA-256 of the key
  scopes     TEXT    NOT NULL,        -- separated by spaces
  created_at INTEGER NOT NULL,
  UNIQUE (workspace, name)
) STRICT;

CREATE TABLE connectors (
  id            TEXT    NOT NULL PRIMARY KEY,
  number        INTEGER NOT NULL UNIQUE,
  workspace     INTEGER NOT NULL REFERENCES workspaces (number),
  name          TEXT    NOT NULL,
  contact_email TEXT    NOT NULL,
  paused        INTEGER NOT NULL,
  test          INTEGER NOT NULL,
  version       INTEGER NOT NULL, -- the newest
  deleted_at    INTEGER,
  created_at    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX connectors_name ON connectors (workspace, name) WHERE deleted_at IS NULL;

-- What was found about a destination and what opens it. Its bucket and folder stand in the configuration.
CREATE TABLE credentials (
  connector     TEXT    NOT NULL REFERENCES connectors (id),
  destination   INTEGER NOT NULL,
  access_key_id TEXT    NOT NULL,
  secret        BLOB,             -- sealed; NULL: erased
  features      TEXT    NOT NULL, -- JSON
  region        TEXT    NOT NULL, -- as found; empty: not found out
  updated_at    INTEGER NOT NULL,
  PRIMARY KEY (connector, destination)
) STRICT;

CREATE TABLE connector_configs (
  id              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- in the order of making
  connector       TEXT    NOT NULL REFERENCES connectors (id),
  version         INTEGER NOT NULL,
  destination     INTEGER NOT NULL,
  bucket          TEXT    NOT NULL,
  config          TEXT    NOT NULL, -- JSON
  log             TEXT,             -- where its control record stands; NULL: not in a log yet
  recorded_offset INTEGER,
  created_at      INTEGER NOT NULL,
  UNIQUE (connector, version)
) STRICT;
CREATE INDEX connector_configs_bucket ON connector_configs (bucket);
CREATE INDEX connector_configs_pending ON connector_configs (id) WHERE recorded_offset IS NULL;

-- A lane and its position.
CREATE TABLE lanes (
  connector     TEXT    NOT NULL REFERENCES connectors (id),
  destination   INTEGER NOT NULL,
  log           TEXT    NOT NULL,
  cursor_offset INTEGER NOT NULL,
  version       INTEGER NOT NULL,
  until_offset  INTEGER NOT NULL, -- 0: goes on
  high          INTEGER NOT NULL, -- one above the highest offset that position or ledger ever named in this log
  seq           INTEGER NOT NULL,
  done_at       INTEGER,
  PRIMARY KEY (connector, destination)
) STRICT;

CREATE TABLE links (
  connector   TEXT    NOT NULL,
  destination INTEGER NOT NULL,
  schema_id   INTEGER NOT NULL,
  hour        INTEGER NOT NULL,
  target      INTEGER NOT NULL,
  last_offset INTEGER NOT NULL,
  PRIMARY KEY (connector, destination, schema_id, hour, target),
  FOREIGN KEY (connector, destination) REFERENCES lanes (connector, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE plans (
  connector    TEXT    NOT NULL,
  destination  INTEGER NOT NULL,
  schema_id    INTEGER NOT NULL,
  hour         INTEGER NOT NULL,
  target       INTEGER NOT NULL,
  part         INTEGER NOT NULL, -- partition
  first_offset INTEGER NOT NULL,
  last_offset  INTEGER NOT NULL,
  PRIMARY KEY (connector, destination, schema_id, hour, target, part, first_offset),
  FOREIGN KEY (connector, destination) REFERENCES lanes (connector, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE files (
  id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  connector    TEXT    NOT NULL,
  destination  INTEGER NOT NULL,
  object_key   TEXT    NOT NULL,
  schema_id    INTEGER NOT NULL,
  hour         INTEGER NOT NULL,
  target       INTEGER NOT NULL,
  event_type   TEXT    NOT NULL,
  part         INTEGER NOT NULL,
  log          TEXT    NOT NULL,
  first_offset INTEGER NOT NULL,
  last_offset  INTEGER NOT NULL,
  events       INTEGER NOT NULL,
  raw_hash     BLOB    NOT NULL,
  size         INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  encoder      INTEGER NOT NULL,
  cut          TEXT    NOT NULL,
  adopted      INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  UNIQUE (connector, destination, object_key),
  FOREIGN KEY (connector, destination) REFERENCES lanes (connector, destination)
) STRICT;
CREATE INDEX files_hour ON files (connector, hour);

CREATE TABLE drops (
  id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  connector    TEXT    NOT NULL,
  destination  INTEGER NOT NULL,
  schema_id    INTEGER NOT NULL,
  hour         INTEGER NOT NULL,
  target       INTEGER NOT NULL,
  event_type   TEXT    NOT NULL,
  log          TEXT    NOT NULL,
  first_offset INTEGER NOT NULL,
  last_offset  INTEGER NOT NULL,
  events       INTEGER NOT NULL, -- -1: not known
  reason       TEXT    NOT NULL,
  settled      INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  FOREIGN KEY (connector, destination) REFERENCES lanes (connector, destination)
) STRICT;
CREATE INDEX drops_hour ON drops (connector, hour);
CREATE INDEX drops_unsettled ON drops (connector, destination) WHERE settled = 0;

CREATE TABLE health (
  connector    TEXT    NOT NULL,
  destination  INTEGER NOT NULL,
  state        TEXT    NOT NULL,
  since        INTEGER NOT NULL,
  problem      TEXT    NOT NULL,
  message      TEXT    NOT NULL,
  failing      INTEGER NOT NULL, -- nanoseconds
  last_file_at INTEGER,
  PRIMARY KEY (connector, destination),
  FOREIGN KEY (connector, destination) REFERENCES lanes (connector, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE logs (
  id          TEXT    NOT NULL PRIMARY KEY,
  lease_owner TEXT    NOT NULL,
  lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Internal readers of a log.
CREATE TABLE cursors (
  reader      TEXT    NOT NULL,
  log         TEXT    NOT NULL,
  next_offset INTEGER NOT NULL,
  PRIMARY KEY (reader, log)
) STRICT, WITHOUT ROWID;

CREATE TABLE accepted_counts (
  workspace  INTEGER NOT NULL, -- no reference: the log may know workspaces that a restored database does not
  hour       INTEGER NOT NULL,
  event_type TEXT    NOT NULL,
  events     INTEGER NOT NULL,
  PRIMARY KEY (workspace, hour, event_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE schemas (
  id          INTEGER NOT NULL PRIMARY KEY,
  event_type  TEXT    NOT NULL,
  fingerprint BLOB    NOT NULL
) STRICT;
