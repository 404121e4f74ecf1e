-- Who is in the files of exports, by marks of 32 bits (control.MarkPerson): a deletion ends those files that hold the person.
ALTER TABLE export_parts ADD COLUMN who BLOB;        -- marks of its people, 4 bytes each, little endian; NULL: not known
ALTER TABLE exports      ADD COLUMN erased_at INTEGER; -- when its file was ended because it may hold who was deleted; NULL: it was not

-- Of what was made before this, nobody looked who is in it.
UPDATE exports SET erased_at = (SELECT w.erased_at FROM workspaces w WHERE w.number = exports.workspace)
WHERE state = 'done' AND kind IN ('segment_users', 'control_group', 'users_csv', 'emails_csv', 'campaign_users_csv', 'canvas_users_csv')
  AND EXISTS (SELECT 1 FROM workspaces w WHERE w.number = exports.workspace AND w.erased_at >= COALESCE(exports.started_at, exports.created_at));

-- People who went up in others: files that hold the one hold what is of the other.
CREATE TABLE export_merges (
  workspace INTEGER NOT NULL,
  into_mark INTEGER NOT NULL,
  mark      INTEGER NOT NULL, -- of who went up in them
  at        INTEGER NOT NULL,
  PRIMARY KEY (workspace, into_mark, mark)
) STRICT, WITHOUT ROWID;
