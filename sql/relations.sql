-- Creates functions that lead from a row to the rows that it refers to, and back: computed relationships for PostgREST, computed fields for Hasura,
-- joins in SQL (docs/questions.md). They stand in for foreign keys, which most references do not have. Optional; it can be repeated.
--
--   psql "$ADMIN_URL" -v ON_ERROR_STOP=1 -f sql/relations.sql
--   psql "$ADMIN_URL" -v ON_ERROR_STOP=1 -v remove=true -f sql/relations.sql    -- removes the functions
--
-- Run it with psql 14 or newer as the owner of the tables, or as a role that may become the owner. Add `-v schema=…` if the tables are not in the schema
-- `syncctl`. The functions are made there, because PostgREST looks for them beside the tables, and `syncctl db move-schema` moves them, too.
--
-- A function has the name of the table that it leads to, and runs with the rights of its caller. It names tables by their identity, not by the search path, and
-- returns whole rows, so that later migrations may add columns and change others. Relations that no index serves in one direction have only the other.

BEGIN;
SET LOCAL client_min_messages = warning;
\if :{?schema}
\else
\set schema syncctl
\endif
-- Only this schema and PostgreSQL's own names, whatever other roles may have made elsewhere.
SET LOCAL search_path = :"schema", pg_temp;

DO $$
BEGIN
  IF to_regclass('schema_migrations') IS NULL THEN
    RAISE EXCEPTION 'there are no tables of syncctl in the schema %', split_part(current_setting('search_path'), ', pg_temp', 1)
      USING HINT = 'Run syncctl db migrate first, or name the schema: -v schema=NAME';
  END IF;
END
$$;
-- The functions belong to the owner of the tables.
SELECT format('SET LOCAL ROLE %I', pg_get_userbyid(relowner)) FROM pg_class WHERE oid = 'schema_migrations'::regclass \gexec

\if :{?remove}

DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p
    WHERE p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass)
      AND obj_description(p.oid, 'pg_proc') = 'Relation made by sql/relations.sql.'
  LOOP
    EXECUTE format('DROP FUNCTION %s', found.name);
  END LOOP;
END
$$;

\else

-- To users: whose rows they are.
CREATE OR REPLACE FUNCTION users(accounts) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(streams) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(calendars) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(calendar_events) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(calendar_instances) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(meetings) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(gmail_messages) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(gmail_labels) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(drives) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(drive_file_access) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(drive_permissions) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(documents) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(projects) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;
CREATE OR REPLACE FUNCTION users(outbox_events) RETURNS SETOF users LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM users t WHERE t.id = $1.user_id;
END;

-- From users. Labels, access and events of the outbox have no index by user. `accounts` is for roles that may read all its columns.
CREATE OR REPLACE FUNCTION accounts(users) RETURNS SETOF accounts LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM accounts t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION streams(users) RETURNS SETOF streams LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM streams t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION calendars(users) RETURNS SETOF calendars LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM calendars t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION calendar_events(users) RETURNS SETOF calendar_events LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM calendar_events t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION calendar_instances(users) RETURNS SETOF calendar_instances LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM calendar_instances t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION meetings(users) RETURNS SETOF meetings LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM meetings t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION gmail_messages(users) RETURNS SETOF gmail_messages LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM gmail_messages t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION drives(users) RETURNS SETOF drives LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM drives t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION drive_permissions(users) RETURNS SETOF drive_permissions LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM drive_permissions t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION documents(users) RETURNS SETOF documents LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM documents t WHERE t.user_id = $1.id;
END;
CREATE OR REPLACE FUNCTION projects(users) RETURNS SETOF projects LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM projects t WHERE t.user_id = $1.id;
END;

-- To streams: the feed that they come from.
CREATE OR REPLACE FUNCTION streams(calendar_events) RETURNS SETOF streams LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM streams t WHERE t.id = $1.stream_id;
END;
CREATE OR REPLACE FUNCTION streams(calendar_instances) RETURNS SETOF streams LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM streams t WHERE t.id = $1.stream_id;
END;
CREATE OR REPLACE FUNCTION streams(meetings) RETURNS SETOF streams LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM streams t WHERE t.id = $1.stream_id;
END;
CREATE OR REPLACE FUNCTION streams(gmail_messages) RETURNS SETOF streams LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM streams t WHERE t.id = $1.stream_id;
END;
CREATE OR REPLACE FUNCTION streams(gmail_labels) RETURNS SETOF streams LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM streams t WHERE t.id = $1.stream_id;
END;
CREATE OR REPLACE FUNCTION streams(drive_file_access) RETURNS SETOF streams LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM streams t WHERE t.id = $1.stream_id;
END;
CREATE OR REPLACE FUNCTION streams(drive_permissions) RETURNS SETOF streams LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM streams t WHERE t.id = $1.stream_id;
END;

-- From streams.
CREATE OR REPLACE FUNCTION calendar_events(streams) RETURNS SETOF calendar_events LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM calendar_events t WHERE t.stream_id = $1.id;
END;
CREATE OR REPLACE FUNCTION calendar_instances(streams) RETURNS SETOF calendar_instances LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM calendar_instances t WHERE t.user_id = $1.user_id AND t.stream_id = $1.id;
END;
CREATE OR REPLACE FUNCTION meetings(streams) RETURNS SETOF meetings LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM meetings t WHERE t.stream_id = $1.id;
END;
CREATE OR REPLACE FUNCTION gmail_messages(streams) RETURNS SETOF gmail_messages LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM gmail_messages t WHERE t.stream_id = $1.id;
END;
CREATE OR REPLACE FUNCTION gmail_labels(streams) RETURNS SETOF gmail_labels LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM gmail_labels t WHERE t.stream_id = $1.id;
END;
CREATE OR REPLACE FUNCTION drive_file_access(streams) RETURNS SETOF drive_file_access LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM drive_file_access t WHERE t.stream_id = $1.id;
END;
CREATE OR REPLACE FUNCTION drive_permissions(streams) RETURNS SETOF drive_permissions LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM drive_permissions t WHERE t.user_id = $1.user_id AND t.stream_id = $1.id;
END;

-- Calendars, events, their occurrences and meetings.
CREATE OR REPLACE FUNCTION calendars(calendar_events) RETURNS SETOF calendars LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM calendars t WHERE t.user_id = $1.user_id AND t.calendar_id = $1.calendar_id;
END;
CREATE OR REPLACE FUNCTION calendar_events(calendars) RETURNS SETOF calendar_events LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM calendar_events t WHERE t.user_id = $1.user_id AND t.calendar_id = $1.calendar_id;
END;
CREATE OR REPLACE FUNCTION calendar_events(calendar_instances) RETURNS SETOF calendar_events LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM calendar_events t WHERE t.stream_id = $1.stream_id AND t.event_id = $1.event_id;
END;
CREATE OR REPLACE FUNCTION calendar_instances(calendar_events) RETURNS SETOF calendar_instances LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM calendar_instances t WHERE t.user_id = $1.user_id AND t.stream_id = $1.stream_id AND t.event_id = $1.event_id
    AND t.instance_id >= $1.event_id AND t.instance_id < $1.event_id || '`';
END;
CREATE OR REPLACE FUNCTION calendar_events(meetings) RETURNS SETOF calendar_events LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM calendar_events t WHERE t.stream_id = $1.stream_id AND t.event_id = $1.event_id;
END;
CREATE OR REPLACE FUNCTION meetings(calendar_events) RETURNS SETOF meetings LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM meetings t WHERE t.stream_id = $1.stream_id AND t.event_id = $1.event_id;
END;
CREATE OR REPLACE FUNCTION series(calendar_events) RETURNS SETOF calendar_events LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM calendar_events t WHERE t.stream_id = $1.stream_id AND t.event_id = $1.recurring_event_id;
END;
CREATE OR REPLACE FUNCTION exceptions(calendar_events) RETURNS SETOF calendar_events LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM calendar_events t WHERE t.stream_id = $1.stream_id AND t.recurring_event_id = $1.event_id;
END;

-- Bots and transcripts of meetings.
CREATE OR REPLACE FUNCTION attendee_bots(meetings) RETURNS SETOF attendee_bots LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM attendee_bots t WHERE t.bot_id = $1.bot_id;
END;
CREATE OR REPLACE FUNCTION meetings(attendee_bots) RETURNS SETOF meetings LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM meetings t WHERE t.bot_id = $1.bot_id
    AND (t.stream_id, t.event_id) IN (SELECT w.stream_id, w.meeting_event_id FROM attendee_bot_meetings w WHERE w.bot = $1.id);
END;
CREATE OR REPLACE FUNCTION attendee_transcripts(meetings) RETURNS SETOF attendee_transcripts LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM attendee_transcripts t WHERE t.id = $1.transcript_id;
END;
CREATE OR REPLACE FUNCTION meetings(attendee_transcripts) RETURNS SETOF meetings LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM meetings t WHERE t.transcript_id = $1.id
    AND (t.stream_id, t.event_id) IN (SELECT w.stream_id, w.meeting_event_id FROM attendee_bot_meetings w WHERE w.bot = $1.bot);
END;
CREATE OR REPLACE FUNCTION attendee_bots(attendee_transcripts) RETURNS SETOF attendee_bots LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM attendee_bots t WHERE t.id = $1.bot;
END;
CREATE OR REPLACE FUNCTION attendee_transcripts(attendee_bots) RETURNS SETOF attendee_transcripts LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM attendee_transcripts t WHERE t.bot = $1.id;
END;

-- Labels of a message.
CREATE OR REPLACE FUNCTION gmail_labels(gmail_messages) RETURNS SETOF gmail_labels LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM gmail_labels t WHERE t.stream_id = $1.stream_id AND t.label_id = ANY ($1.labels);
END;

-- Files, the users who see them, and their permissions as each user sees them. A shared drive has a row for each of its members.
CREATE OR REPLACE FUNCTION drive_files(drive_file_access) RETURNS SETOF drive_files LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM drive_files t WHERE t.file_id = $1.file_id;
END;
CREATE OR REPLACE FUNCTION drive_file_access(drive_files) RETURNS SETOF drive_file_access LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM drive_file_access t WHERE t.file_id = $1.file_id;
END;
CREATE OR REPLACE FUNCTION drive_files(drive_permissions) RETURNS SETOF drive_files LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM drive_files t WHERE t.file_id = $1.file_id;
END;
CREATE OR REPLACE FUNCTION drive_permissions(drive_files) RETURNS SETOF drive_permissions LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM drive_permissions t WHERE t.file_id = $1.file_id
    AND (t.user_id, t.stream_id) IN (SELECT a.user_id, a.stream_id FROM drive_file_access a WHERE a.file_id = $1.file_id);
END;
CREATE OR REPLACE FUNCTION drives(drive_files) RETURNS SETOF drives LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM drives t WHERE t.drive_id = $1.drive_id
    AND t.user_id IN (SELECT a.user_id FROM drive_file_access a WHERE a.file_id = $1.file_id);
END;

-- Documents, their projects, and the documents of events.
CREATE OR REPLACE FUNCTION projects(documents) RETURNS SETOF projects LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM projects t WHERE t.id = $1.project_id;
END;
CREATE OR REPLACE FUNCTION documents(projects) RETURNS SETOF documents LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC
  SELECT t FROM documents t WHERE t.user_id = $1.user_id AND t.project_id = $1.id;
END;
CREATE OR REPLACE FUNCTION documents(outbox_events) RETURNS SETOF documents LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 BEGIN ATOMIC
  SELECT t FROM documents t WHERE t.id = $1.subject;
END;

-- Marks those that this transaction has made: by this comment they are removed, and moved by `syncctl db move-schema`. Their callers need rights on the
-- tables.
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p
    WHERE p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass) AND p.xmin = pg_current_xact_id()::xid
  LOOP
    EXECUTE format('COMMENT ON FUNCTION %s IS %L', found.name, 'Relation made by sql/relations.sql.');
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', found.name);
  END LOOP;
END
$$;

\endif

COMMIT;
