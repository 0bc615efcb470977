-- What changed since a reader last looked: each row has the id of the transaction that changed it last, and a cursor is what a snapshot did not see.
-- Times would not do: a page that began earlier can commit later. Not xid8, which most readers do not know as a type.
-- Adding columns without a default rewrites nothing. NULL: changed before this migration, so before every cursor.
ALTER TABLE calendar_events ADD COLUMN changed_xid bigint;
ALTER TABLE meetings ADD COLUMN changed_xid bigint;
ALTER TABLE gmail_messages ADD COLUMN changed_xid bigint;
ALTER TABLE drive_files ADD COLUMN changed_xid bigint;
ALTER TABLE drive_file_access ADD COLUMN changed_xid bigint;
ALTER TABLE documents ADD COLUMN changed_xid bigint;

-- Of new rows. Statements that change rows write it too: `changed_xid = DEFAULT`.
ALTER TABLE calendar_events ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id()::text::bigint;
ALTER TABLE meetings ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id()::text::bigint;
ALTER TABLE gmail_messages ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id()::text::bigint;
ALTER TABLE drive_files ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id()::text::bigint;
ALTER TABLE drive_file_access ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id()::text::bigint;
ALTER TABLE documents ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id()::text::bigint;

-- Meetings are deleted when their events are no longer meetings. Other deletions leave a tombstone that is deleted much later, or go with a user.
CREATE TABLE deleted_meetings (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  stream_id bigint NOT NULL,
  event_id text NOT NULL,
  deleted_at timestamptz NOT NULL DEFAULT now(),
  changed_xid bigint DEFAULT pg_current_xact_id()::text::bigint
);

-- All rows of a transaction have the same key, of which an index page keeps one. Partial: there is nothing to sort when it is built.
CREATE INDEX calendar_events_changed ON calendar_events (changed_xid) WHERE changed_xid IS NOT NULL;
CREATE INDEX meetings_changed ON meetings (changed_xid) WHERE changed_xid IS NOT NULL;
CREATE INDEX gmail_messages_changed ON gmail_messages (changed_xid) WHERE changed_xid IS NOT NULL;
CREATE INDEX drive_files_changed ON drive_files (changed_xid) WHERE changed_xid IS NOT NULL;
CREATE INDEX drive_file_access_changed ON drive_file_access (changed_xid) WHERE changed_xid IS NOT NULL;
CREATE INDEX documents_changed ON documents (changed_xid) WHERE changed_xid IS NOT NULL;
CREATE INDEX deleted_meetings_changed ON deleted_meetings (changed_xid) WHERE changed_xid IS NOT NULL;

CREATE FUNCTION syncctl_note_deleted_meetings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO deleted_meetings (id, user_id, stream_id, event_id) SELECT id, user_id, stream_id, event_id FROM gone;
  RETURN NULL;
END
$$;
CREATE TRIGGER note_deleted AFTER DELETE ON meetings REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION syncctl_note_deleted_meetings();

-- Whether a row changed after the cursor. NULL: the beginning, so every row. PostgreSQL replaces the call by the expression, which uses the index.
-- A body that is parsed now does not depend on the search path of its caller.
-- Rows of later transactions than this server has seen come from a dump of another server: they did not change here. A replica's snapshots do not list
-- the transactions under way, so there the oldest of them is the end.
CREATE FUNCTION changes_since(changed_xid bigint, cursor text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN cursor IS NULL OR (
  changed_xid >= pg_snapshot_xmin(split_part(cursor, '/', 2)::pg_snapshot)::text::bigint
  AND changed_xid < CASE WHEN current_setting('in_hot_standby')::boolean THEN pg_snapshot_xmin(pg_current_snapshot())
    ELSE pg_snapshot_xmax(pg_current_snapshot()) END::text::bigint
  AND NOT pg_visible_in_snapshot(changed_xid::text::xid8, split_part(cursor, '/', 2)::pg_snapshot));

-- The cursor of the current snapshot: where it holds (see syncctl_changes_origin), a slash, and a pg_snapshot. It counts no transactions above `newest`,
-- the last one that has changed a row: a server that crashes can give their ids out again. That of a changed row is on disk before it is visible.
CREATE FUNCTION syncctl_changes_cursor(previous text, origin text, newest bigint) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  shown constant pg_snapshot := pg_current_snapshot();
  until bigint := least(coalesce(newest, 2) + 1, CASE WHEN current_setting('in_hot_standby')::boolean THEN pg_snapshot_xmin(shown)
    ELSE pg_snapshot_xmax(shown) END::text::bigint);
  running text;
BEGIN
  IF previous !~ '^-?[0-9]+([.][0-9]+){3}/[0-9]+:[0-9]+:[0-9,]*$' THEN
    RAISE EXCEPTION 'this is not a cursor: "%"', left(previous, 100) USING ERRCODE = 'invalid_text_representation',
      HINT = 'Pass the text that changes_cursor returned, unchanged, or NULL to read everything.';
  END IF;
  IF split_part(previous, '/', 1) <> origin THEN
    RAISE EXCEPTION 'the cursor is not of this database, or it is older than a restore, an upgrade or a failover of its server'
      USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('The cursor begins with %s, those of this database with %s.',
        split_part(previous, '/', 1), origin), HINT = 'Pass NULL, read everything, and delete what is not read.';
  END IF;
  IF pg_snapshot_xmax(split_part(previous, '/', 2)::pg_snapshot)::text::bigint > pg_snapshot_xmax(shown)::text::bigint THEN
    RAISE EXCEPTION 'the cursor is ahead of this server' USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'If the server is a replica, wait until it has caught up. If it was restored to an earlier time, pass NULL and read everything.';
  END IF;
  SELECT string_agg(id::text, ',' ORDER BY id::text::bigint) INTO running FROM pg_snapshot_xip(shown) AS id WHERE id::text::bigint < until;
  RETURN format('%s/%s:%s:%s', origin, least(pg_snapshot_xmin(shown)::text::bigint, until), until, running);
END
$$;

-- Where a cursor holds: ids of transactions are those of one server and its replicas, until one of these is promoted; tables that were restored are other
-- tables. $1: one of them.
CREATE FUNCTION syncctl_changes_origin(marker oid) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  timeline bigint;
BEGIN
  IF pg_is_in_recovery() THEN
    SELECT timeline_id INTO timeline FROM pg_control_checkpoint();
  ELSE
    timeline := ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint;
  END IF;
  RETURN format('%s.%s.%s.%s', (SELECT system_identifier FROM pg_control_system()), timeline,
    (SELECT oid FROM pg_database WHERE datname = current_database()), marker);
END
$$;

-- Checks a reader's last cursor (NULL: its first read) and returns the next one: that of the current snapshot. See docs/readers.md.
CREATE FUNCTION changes_cursor(previous text) RETURNS text LANGUAGE sql STABLE
RETURN syncctl_changes_cursor(previous, syncctl_changes_origin('calendar_events'::regclass), (
  SELECT max(newest) FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS ahead) AS server, LATERAL (
    SELECT max(changed_xid) AS newest FROM calendar_events WHERE changed_xid < ahead
    UNION ALL SELECT max(changed_xid) FROM meetings WHERE changed_xid < ahead
    UNION ALL SELECT max(changed_xid) FROM deleted_meetings WHERE changed_xid < ahead
    UNION ALL SELECT max(changed_xid) FROM gmail_messages WHERE changed_xid < ahead
    UNION ALL SELECT max(changed_xid) FROM drive_files WHERE changed_xid < ahead
    UNION ALL SELECT max(changed_xid) FROM drive_file_access WHERE changed_xid < ahead
    UNION ALL SELECT max(changed_xid) FROM documents WHERE changed_xid < ahead) AS tables));
