-- Roles, notices, checks, data exports, drafts, jobs, complete hours.

ALTER TABLE workspaces ADD COLUMN language TEXT NOT NULL DEFAULT 'en'; -- of what its people are sent
ALTER TABLE connectors ADD COLUMN rev INTEGER NOT NULL DEFAULT 0;      -- counts the changes
ALTER TABLE credentials ADD COLUMN role_arn TEXT NOT NULL DEFAULT '';   -- in place of key and secret
ALTER TABLE health ADD COLUMN episode_at INTEGER;                       -- NULL: outside
ALTER TABLE health ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;          -- nanoseconds of an episode that a pause interrupts
ALTER TABLE health ADD COLUMN kept_episode_at INTEGER;                  -- NULL: there is none
ALTER TABLE drops ADD COLUMN told INTEGER NOT NULL DEFAULT 1;           -- 0: people have not been told of it yet
ALTER TABLE drops ADD COLUMN told_at INTEGER;                           -- NULL: not yet, or before this was kept
CREATE INDEX drops_untold ON drops (connector, destination) WHERE told = 0;
CREATE INDEX drops_at ON drops (connector, at);

-- What a role's trust policy asks for. Never changed, never given to another.
CREATE TABLE external_ids (
  workspace   INTEGER NOT NULL REFERENCES workspaces (number),
  integration TEXT    NOT NULL,
  value       TEXT    NOT NULL UNIQUE,
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (workspace, integration)
) STRICT;

CREATE TABLE data_exports (
  workspace     INTEGER NOT NULL PRIMARY KEY REFERENCES workspaces (number),
  bucket        TEXT    NOT NULL,
  region        TEXT    NOT NULL,
  endpoint      TEXT    NOT NULL,
  path_style    INTEGER NOT NULL,
  access_key_id TEXT    NOT NULL,
  secret        BLOB,             -- sealed; NULL with a role
  role_arn      TEXT    NOT NULL,
  features      TEXT    NOT NULL, -- JSON
  found_region  TEXT    NOT NULL, -- as the check found it; empty: not found out
  rev           INTEGER NOT NULL, -- counts the changes, from 1
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX data_exports_bucket ON data_exports (bucket);

CREATE TABLE drafts (
  connector  TEXT    NOT NULL PRIMARY KEY, -- the identity that it will have
  workspace  INTEGER NOT NULL REFERENCES workspaces (number),
  edit       TEXT    NOT NULL,             -- JSON, without the secret
  secret     BLOB,                         -- sealed; NULL: none yet
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX drafts_workspace ON drafts (workspace);

CREATE TABLE checks (
  id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  workspace INTEGER NOT NULL REFERENCES workspaces (number),
  connector TEXT    NOT NULL, -- empty: the data export
  cause     TEXT    NOT NULL,
  passed    INTEGER NOT NULL,
  report    TEXT    NOT NULL, -- JSON
  at        INTEGER NOT NULL
) STRICT;
CREATE INDEX checks_of ON checks (workspace, connector, id);

CREATE TABLE jobs (
  id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  kind       TEXT    NOT NULL,
  workspace  INTEGER NOT NULL, -- 0: of several
  connector  TEXT    NOT NULL,
  params     BLOB,             -- JSON, sealed; NULL: none, or it has ended
  actor      TEXT    NOT NULL, -- JSON
  state      TEXT    NOT NULL,
  progress   TEXT    NOT NULL, -- JSON; empty: nothing to tell
  result     BLOB,             -- JSON, sealed; NULL: none yet
  error      TEXT    NOT NULL, -- JSON; empty: none
  created_at INTEGER NOT NULL,
  done_at    INTEGER
) STRICT;
CREATE INDEX jobs_waiting ON jobs (id) WHERE state IN ('waiting', 'running');

CREATE TABLE notices (
  id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  workspace INTEGER NOT NULL, -- 0: the installation
  connector TEXT    NOT NULL, -- empty: none
  kind      TEXT    NOT NULL,
  episode   TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  params    TEXT    NOT NULL, -- JSON
  planned   INTEGER NOT NULL,
  UNIQUE (workspace, connector, kind, episode)
) STRICT;
CREATE INDEX notices_unplanned ON notices (id) WHERE planned = 0;
CREATE INDEX notices_workspace ON notices (workspace, id);

CREATE TABLE sends (
  id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  channel      TEXT    NOT NULL,
  address      TEXT    NOT NULL,
  webhook      INTEGER NOT NULL, -- 0: none
  tries        INTEGER NOT NULL,
  first_try_at INTEGER,
  next_try_at  INTEGER NOT NULL,
  done_at      INTEGER,
  failed       TEXT    NOT NULL -- why it was given up; empty: it was not
) STRICT;
CREATE INDEX sends_due ON sends (next_try_at) WHERE done_at IS NULL AND failed = '';

CREATE TABLE send_notices (
  send   INTEGER NOT NULL REFERENCES sends (id),
  notice INTEGER NOT NULL REFERENCES notices (id),
  PRIMARY KEY (send, notice)
) STRICT, WITHOUT ROWID;
CREATE INDEX send_notices_notice ON send_notices (notice);

CREATE TABLE webhooks (
  id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  workspace  INTEGER NOT NULL REFERENCES workspaces (number),
  url        TEXT    NOT NULL,
  secret     BLOB    NOT NULL, -- sealed
  kinds      TEXT    NOT NULL, -- separated by spaces; empty: all
  created_at INTEGER NOT NULL,
  UNIQUE (workspace, url)
) STRICT;

-- Where the log says that an hour is over.
CREATE TABLE hour_marks (
  log         TEXT    NOT NULL,
  mark_offset INTEGER NOT NULL,
  hour        INTEGER NOT NULL,
  PRIMARY KEY (log, mark_offset)
) STRICT, WITHOUT ROWID;

-- Hours of a connector of which nothing is waiting.
CREATE TABLE hours_done (
  connector TEXT    NOT NULL REFERENCES connectors (id),
  hour      INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (connector, hour)
) STRICT, WITHOUT ROWID;

-- Up to which mark all hours of a connector are done.
CREATE TABLE hour_progress (
  connector   TEXT    NOT NULL REFERENCES connectors (id),
  log         TEXT    NOT NULL,
  mark_offset INTEGER NOT NULL,
  PRIMARY KEY (connector, log)
) STRICT, WITHOUT ROWID;

-- The counts, by the configurations that held: an era is the time between two configurations of a workspace, named
-- by the offset of the record that began it. What was counted before eras were has no log.
CREATE TABLE counts (
  workspace  INTEGER NOT NULL, -- no reference: the log may know workspaces that a restored database does not
  hour       INTEGER NOT NULL,
  event_type TEXT    NOT NULL,
  log        TEXT    NOT NULL,
  era        INTEGER NOT NULL,
  events     INTEGER NOT NULL,
  PRIMARY KEY (workspace, hour, event_type, log, era)
) STRICT, WITHOUT ROWID;
INSERT INTO counts (workspace, hour, event_type, log, era, events)
  SELECT workspace, hour, event_type, '', 0, events FROM accepted_counts;
DROP TABLE accepted_counts;

-- The same by minute, for some hours.
CREATE TABLE minute_counts (
  workspace  INTEGER NOT NULL,
  minute     INTEGER NOT NULL, -- since 1970 UTC
  event_type TEXT    NOT NULL,
  log        TEXT    NOT NULL,
  era        INTEGER NOT NULL,
  events     INTEGER NOT NULL,
  PRIMARY KEY (workspace, minute, event_type, log, era)
) STRICT, WITHOUT ROWID;
CREATE INDEX minute_counts_minute ON minute_counts (minute);

-- How many events and bytes the files of an hour hold, without test events: a sum of files, kept with them.
CREATE TABLE delivered_hours (
  connector TEXT    NOT NULL REFERENCES connectors (id),
  hour      INTEGER NOT NULL,
  events    INTEGER NOT NULL,
  bytes     INTEGER NOT NULL,
  PRIMARY KEY (connector, hour)
) STRICT, WITHOUT ROWID;
INSERT INTO delivered_hours (connector, hour, events, bytes)
  SELECT connector, hour, SUM(events), SUM(size) FROM files WHERE target = 0 GROUP BY connector, hour;

CREATE INDEX files_at ON files (connector, at); -- for the cap of test connectors, and counts by minute
CREATE INDEX files_newest ON files (connector, id);
CREATE INDEX files_type ON files (connector, event_type, id);
