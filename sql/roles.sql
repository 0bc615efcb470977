-- Roles for a database that others share: who owns the schema, who runs jobs, who reads. Run by whoever may create roles and owns the tables (or a
-- superuser), in the database of syncctl, as often as you like, and after `syncctl db migrate` again: tables are secured one by one.
--
--   psql "$ADMIN_URL" -v ON_ERROR_STOP=1 -f sql/roles.sql
--   psql "$ADMIN_URL" -c '\password syncctl_runtime'
--
--   syncctl_owner     owns the tables; `syncctl db migrate` runs as it
--   syncctl_runtime   every job runs as it: reads and writes rows, makes and drops nothing
--   syncctl_readonly  dashboards: reads everything but sealed credentials and keys
--
-- They have no password and cannot log in until one is set (\password sets it, ALTER ROLE … LOGIN lets it in). All of it holds for the first
-- schema of the search path, `public` unless the database or the role says otherwise; for another one:
--
--   CREATE SCHEMA syncctl; ALTER DATABASE … SET search_path = syncctl;
--
-- before this file and the migrations, or `options=-csearch_path=syncctl` in the URL. (PgBouncer passes the latter on only when told to.)
--
-- Row-level security is on for every table of syncctl, so that roles that a platform makes and lets at the schema (`anon` and `authenticated` of
-- Supabase, with its default grants) see nothing of it. The three roles above have a policy that lets them at every row. A dashboard that reads as
-- another role needs to be a member of syncctl_readonly: GRANT syncctl_readonly TO grafana;
--
-- People may be let at rows of their own, in Supabase for instance:
--
--   GRANT SELECT ON documents TO authenticated;
--   CREATE POLICY own_documents ON documents FOR SELECT TO authenticated
--     USING (user_id = (SELECT id FROM users WHERE lower(email) = lower(auth.jwt() ->> 'email')));
--   -- and the same for `users` itself, which that looks into:
--   GRANT SELECT (id, email) ON users TO authenticated;
--   CREATE POLICY own_user ON users FOR SELECT TO authenticated USING (lower(email) = lower(auth.jwt() ->> 'email'));

BEGIN;
-- Not a line for each policy that is not there yet.
SET LOCAL client_min_messages = warning;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['syncctl_owner', 'syncctl_runtime', 'syncctl_readonly'] LOOP
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', name);
    END IF;
  END LOOP;
  -- What follows is done on behalf of the owner, which a superuser may, and others only as its member.
  IF NOT pg_has_role(current_user, 'syncctl_owner', 'MEMBER') THEN
    EXECUTE format('GRANT syncctl_owner TO %I', current_user);
  END IF;
  EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO syncctl_owner, syncctl_runtime, syncctl_readonly', current_database());
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO syncctl_owner', current_schema());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO syncctl_runtime, syncctl_readonly', current_schema());
  -- PostgreSQL 14 lets everybody create in `public`.
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
  -- Tables of later migrations: jobs work with them at once.
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO syncctl_runtime', current_schema());
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner IN SCHEMA %I GRANT USAGE ON SEQUENCES TO syncctl_runtime', current_schema());
END
$$;

-- Ours by name: what a schema shares with somebody else is left alone.
CREATE TEMPORARY TABLE syncctl_ours ON COMMIT DROP AS
SELECT c.oid::regclass AS name, c.relname FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND to_regclass(format('%I.schema_migrations', current_schema())) IS NOT NULL
  AND (c.relname IN ('schema_migrations', 'runs', 'job_locks', 'users', 'accounts', 'streams', 'quarantined_items', 'calendars', 'calendar_events',
         'meetings', 'documents', 'drives', 'channels', 'notifications', 'user_activity')
    OR c.relname ~ '^((calendar|drive|gmail|attendee|sync)_cron_(results|metrics|summaries)|calendar_(watch|webhook)_renewal_summaries)$'
    OR c.relname ~ '^(outbox_(events|deliveries|targets)|gmail_(messages|detections)|drive_(files|file_access|file_watches)|quota_(usage|minutes|pauses)|pace_(prices|user_prices|runs)|attendee_(projects|bots|bot_meetings|utterances|transcripts))$');

DO $$
DECLARE
  ours record;
  columns text;
BEGIN
  FOR ours IN SELECT name, relname FROM syncctl_ours LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO syncctl_owner', ours.name);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', ours.name);
    EXECUTE format('DROP POLICY IF EXISTS syncctl_jobs ON %s', ours.name);
    EXECUTE format('CREATE POLICY syncctl_jobs ON %s TO syncctl_owner, syncctl_runtime USING (true) WITH CHECK (true)', ours.name);
    EXECUTE format('DROP POLICY IF EXISTS syncctl_reading ON %s', ours.name);
    EXECUTE format('CREATE POLICY syncctl_reading ON %s FOR SELECT TO syncctl_readonly USING (true)', ours.name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO syncctl_runtime', ours.name);
    IF ours.relname = 'schema_migrations' THEN
      EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %s FROM syncctl_runtime', ours.name);
    END IF;
    -- Sealed values are of no use to a dashboard, and nobody's to copy.
    EXECUTE format('REVOKE ALL ON %s FROM syncctl_readonly', ours.name);
    SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
    WHERE attrelid = ours.name AND attnum > 0 AND NOT attisdropped
      AND (ours.relname, attname) NOT IN (('accounts', 'credentials'), ('accounts', 'access_token'), ('attendee_projects', 'api_key'));
    IF ours.relname IN ('accounts', 'attendee_projects') THEN
      EXECUTE format('GRANT SELECT (%s) ON %s TO syncctl_readonly', columns, ours.name);
    ELSE
      EXECUTE format('GRANT SELECT ON %s TO syncctl_readonly', ours.name);
    END IF;
  END LOOP;
  FOR ours IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN ('syncctl_forget_calendar', 'syncctl_forget_mailbox', 'syncctl_forget_drive')
  LOOP
    EXECUTE format('ALTER FUNCTION %s OWNER TO syncctl_owner', ours.name);
  END LOOP;
END
$$;

COMMIT;
