-- People, what they sign in with, and what they changed. Hashes are SHA-256 of what only the holder has.

CREATE TABLE members (
  id           TEXT    NOT NULL PRIMARY KEY,
  email        TEXT    NOT NULL UNIQUE, -- lower case
  name         TEXT    NOT NULL,
  language     TEXT    NOT NULL, -- empty: as the browser asks
  time_zone    TEXT    NOT NULL, -- empty: UTC
  mail         TEXT    NOT NULL, -- which notices; empty: those that nobody else is told of
  installation INTEGER NOT NULL,
  password     TEXT    NOT NULL, -- PHC form; empty: none
  totp         BLOB,             -- sealed; NULL: none
  totp_pending BLOB,             -- sealed; shown and not confirmed
  totp_step    INTEGER NOT NULL, -- newest that was used
  created_at   INTEGER NOT NULL,
  seen_at      INTEGER,
  rev          INTEGER NOT NULL  -- counts the changes, from 1
) STRICT;

CREATE TABLE recovery_codes (
  member TEXT NOT NULL REFERENCES members (id) ON DELETE CASCADE,
  hash   BLOB NOT NULL,
  PRIMARY KEY (member, hash)
) STRICT, WITHOUT ROWID;

-- How OpenID Connect providers name members.
CREATE TABLE identities (
  issuer  TEXT NOT NULL,
  subject TEXT NOT NULL,
  member  TEXT NOT NULL REFERENCES members (id) ON DELETE CASCADE,
  PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_member ON identities (member);

CREATE TABLE seats (
  workspace        INTEGER NOT NULL REFERENCES workspaces (number),
  member           TEXT    NOT NULL REFERENCES members (id) ON DELETE CASCADE,
  role             TEXT    NOT NULL,
  export_user_data INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  PRIMARY KEY (workspace, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX seats_member ON seats (member);

-- The newest notice that a member has seen, of each workspace that they looked into.
CREATE TABLE notices_read (
  workspace INTEGER NOT NULL, -- 0: the installation
  member    TEXT    NOT NULL REFERENCES members (id) ON DELETE CASCADE,
  up_to     INTEGER NOT NULL,
  PRIMARY KEY (workspace, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_read_member ON notices_read (member);

CREATE TABLE sessions (
  id         TEXT    NOT NULL PRIMARY KEY,
  hash       BLOB    NOT NULL UNIQUE,
  member     TEXT    NOT NULL REFERENCES members (id) ON DELETE CASCADE,
  address    TEXT    NOT NULL,
  agent      TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_member ON sessions (member);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE tokens (
  id         TEXT    NOT NULL PRIMARY KEY,
  hash       BLOB    NOT NULL UNIQUE,
  member     TEXT    NOT NULL REFERENCES members (id) ON DELETE CASCADE,
  name       TEXT    NOT NULL,
  read_only  INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  used_at    INTEGER,
  UNIQUE (member, name)
) STRICT;

-- Links that work once.
CREATE TABLE tickets (
  id               TEXT    NOT NULL PRIMARY KEY,
  hash             BLOB    NOT NULL UNIQUE,
  kind             TEXT    NOT NULL,
  email            TEXT    NOT NULL, -- empty: nobody's
  member           TEXT    NOT NULL, -- empty: none
  workspace        INTEGER NOT NULL, -- 0: none
  role             TEXT    NOT NULL,
  export_user_data INTEGER NOT NULL,
  installation     INTEGER NOT NULL,
  made_by          TEXT    NOT NULL,
  maker            TEXT    NOT NULL, -- member; empty: the command line
  created_at       INTEGER NOT NULL,
  expires_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX tickets_address ON tickets (kind, email, workspace);
CREATE INDEX tickets_maker ON tickets (maker);
CREATE INDEX tickets_workspace ON tickets (workspace);
CREATE INDEX tickets_expiry ON tickets (expires_at);

ALTER TABLE workspaces ADD COLUMN rev INTEGER NOT NULL DEFAULT 0; -- counts the changes

ALTER TABLE api_keys ADD COLUMN networks TEXT NOT NULL DEFAULT ''; -- separated by spaces; empty: anywhere
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN used_at INTEGER;

-- The log of changes.
CREATE TABLE entries (
  id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  workspace    INTEGER NOT NULL, -- 0: the installation
  at           INTEGER NOT NULL,
  member       TEXT    NOT NULL, -- no reference: members go, what they did stays
  actor        TEXT    NOT NULL,
  via          TEXT    NOT NULL,
  address      TEXT    NOT NULL,
  request      TEXT    NOT NULL,
  action       TEXT    NOT NULL,
  subject_id   TEXT    NOT NULL,
  subject_name TEXT    NOT NULL,
  was          TEXT    NOT NULL, -- JSON; empty: nothing
  became       TEXT    NOT NULL
) STRICT;
CREATE INDEX entries_workspace ON entries (workspace, id);
CREATE INDEX entries_subject ON entries (subject_id, id);

-- Creations that were asked for with an Idempotency-Key.
CREATE TABLE repeats (
  hash      BLOB    NOT NULL PRIMARY KEY,
  body_hash BLOB    NOT NULL,
  at        INTEGER NOT NULL,
  status    INTEGER NOT NULL, -- 0: under way
  headers   TEXT    NOT NULL, -- JSON
  answer    BLOB              -- sealed; NULL: under way
) STRICT, WITHOUT ROWID;
CREATE INDEX repeats_at ON repeats (at);

-- Random keys of the installation's own, made when they are first needed.
CREATE TABLE installation_keys (
  name       TEXT    NOT NULL PRIMARY KEY,
  secret     BLOB    NOT NULL, -- sealed
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
