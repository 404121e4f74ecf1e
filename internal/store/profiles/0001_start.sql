-- What is made from the log about people. Times are milliseconds since 1970 UTC, days are days since then. Booleans are 0
-- and 1. On SQLite these tables are a file of their own, so that catching up never holds up the control plane's writers; on
-- PostgreSQL they stand beside it.

-- Which log the reader reads and how far it has come, in the transaction of what it made of it: one row.
CREATE TABLE people_cursor (
  log         TEXT    NOT NULL PRIMARY KEY,
  next_offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Records that could not be applied: set aside, so that one of them stops nobody. With the workspace 0: a range, which the
-- reason names, that the log no longer held.
CREATE TABLE people_set_aside (
  log           TEXT    NOT NULL,
  record_offset INTEGER NOT NULL,
  workspace     INTEGER NOT NULL,
  event_type    TEXT    NOT NULL,
  reason        TEXT    NOT NULL,
  at            INTEGER NOT NULL,
  PRIMARY KEY (log, record_offset)
) STRICT, WITHOUT ROWID;
CREATE INDEX people_set_aside_at ON people_set_aside (at);

-- Who people are, one row a person, with people_done beside it. What filters ask for is a column.
CREATE TABLE people (
  id              INTEGER NOT NULL PRIMARY KEY, -- given by the reader, which alone makes people
  workspace       INTEGER NOT NULL,
  person          TEXT    NOT NULL, -- the user_id of events
  external_id     TEXT,             -- as the log says; people_identities may be ahead of it
  bucket          INTEGER NOT NULL, -- 0 to 9999, from person
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  first_name      TEXT,
  last_name       TEXT,
  email           TEXT,
  phone           TEXT,
  gender          TEXT,
  dob             TEXT,             -- 2006-01-02
  country         TEXT,
  language        TEXT,
  time_zone       TEXT,
  home_city       TEXT,
  email_subscribe TEXT,
  push_subscribe  TEXT,
  UNIQUE (workspace, person)
) STRICT;
-- Filters over other tables ask for no more of people than this; and a workspace's are found among all others'.
CREATE INDEX people_workspace ON people (workspace, id);
-- What refuses a second person of one external id, whom requests and events can make between them.
CREATE UNIQUE INDEX people_external_id ON people (workspace, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX people_email ON people (workspace, email, updated_at) WHERE email IS NOT NULL;
CREATE INDEX people_phone ON people (workspace, phone, updated_at) WHERE phone IS NOT NULL;

-- What a person's events count, one row a person. Almost every event changes somebody's: so the row is short, stands
-- apart from what changes seldom, and is in no index.
CREATE TABLE people_done (
  person         INTEGER NOT NULL PRIMARY KEY,
  sessions       INTEGER NOT NULL,
  purchases      INTEGER NOT NULL,
  revenue        REAL    NOT NULL,
  first_session  INTEGER,
  last_session   INTEGER,
  last_purchase  INTEGER,
  uninstalled_at INTEGER,
  channels       TEXT    NOT NULL -- JSON object: when a message of each channel was last received, opened, clicked
) STRICT;

-- What is long, changes seldom, and is asked for only of somebody who is looked at. No row: nothing is known.
CREATE TABLE people_more (
  person INTEGER NOT NULL PRIMARY KEY,
  custom TEXT    NOT NULL, -- JSON object: custom attributes as they are
  rest   TEXT    NOT NULL  -- JSON object: aliases, devices, apps, push tokens, coordinates, attribution
) STRICT;

-- Who an identifier names: written before a request that uses it is answered, and again by the reader, which so makes
-- it anew from the log.
CREATE TABLE people_identities (
  workspace INTEGER NOT NULL,
  kind      INTEGER NOT NULL, -- 1 external id, 2 alias: label, a zero byte, name; 3 external id that was
  value     BLOB    NOT NULL,
  person    TEXT    NOT NULL,
  PRIMARY KEY (workspace, kind, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX people_identities_person ON people_identities (workspace, person);

-- Names that rows below say by number: of custom attributes, events, products, campaigns, Canvases, steps, groups.
CREATE TABLE people_names (
  id        INTEGER NOT NULL PRIMARY KEY, -- given by the reader
  workspace INTEGER NOT NULL,
  kind      INTEGER NOT NULL,
  name      TEXT    NOT NULL, -- an id where the vendor's calls use one
  title     TEXT    NOT NULL, -- as events say it; empty: they do not
  parent    INTEGER NOT NULL, -- of a step: its Canvas; 0: none
  first_at  INTEGER NOT NULL,
  last_at   INTEGER NOT NULL,
  UNIQUE (workspace, kind, name)
) STRICT;

-- The tables below stand by name and then by person: a filter reads one name's range in order, and an export one range
-- of people for each name.

-- Values of custom attributes for filters; people_more.custom is what holds.
CREATE TABLE people_attributes (
  name   INTEGER NOT NULL,
  person INTEGER NOT NULL,
  number REAL,   -- of numbers, booleans (0 and 1) and times (milliseconds)
  text   TEXT,   -- of texts; of arrays their items with \x1f around each, for containment
  PRIMARY KEY (name, person)
) STRICT, WITHOUT ROWID;

-- Custom events and purchases of each person.
CREATE TABLE people_events (
  name     INTEGER NOT NULL,
  person   INTEGER NOT NULL,
  first_at INTEGER NOT NULL,
  last_at  INTEGER NOT NULL,
  count    INTEGER NOT NULL,
  revenue  REAL    NOT NULL,
  PRIMARY KEY (name, person)
) STRICT, WITHOUT ROWID;

-- What each person had of a campaign, a Canvas, a step.
CREATE TABLE people_messages (
  name       INTEGER NOT NULL,
  person     INTEGER NOT NULL,
  variation  TEXT    NOT NULL,
  flags      INTEGER NOT NULL, -- what they did, bits
  received   INTEGER, -- last
  opened     INTEGER, -- first
  clicked    INTEGER, -- first
  entered    INTEGER, -- last, of a Canvas
  exited     INTEGER, -- last
  PRIMARY KEY (name, person)
) STRICT, WITHOUT ROWID;

-- Subscription groups.
CREATE TABLE people_groups (
  name       INTEGER NOT NULL,
  person     INTEGER NOT NULL,
  subscribed INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (name, person)
) STRICT, WITHOUT ROWID;

-- What is counted, by hour or day. Rows of one name stand together and in the order of time.
CREATE TABLE people_stats (
  name    INTEGER NOT NULL, -- of people_names; the negative number of a workspace for what is counted of the whole
  hour    INTEGER NOT NULL, -- since 1970 UTC; of what is kept by day the first of the day
  counter INTEGER NOT NULL,
  channel TEXT    NOT NULL, -- of messages
  part    TEXT    NOT NULL, -- a variation, an app
  n       INTEGER NOT NULL,
  revenue REAL    NOT NULL,
  PRIMARY KEY (name, hour, counter, channel, part)
) STRICT, WITHOUT ROWID;

-- How many people a segment held on a day.
CREATE TABLE people_sizes (
  workspace INTEGER NOT NULL,
  segment   TEXT    NOT NULL,
  day       INTEGER NOT NULL,
  rev       INTEGER NOT NULL, -- of the segment as it was counted
  size      INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (workspace, segment, day)
) STRICT, WITHOUT ROWID;
