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
-- Nobody else keeps any right to tables, sequences and functions of syncctl: neither the roles that a platform makes and grants rights by default
-- (`anon`, `authenticated` and `service_role` of Supabase), nor the role that owned the tables before; the file names those from whom it took
-- something. Row-level security is on for every table. The three roles above have a policy that gives them every row. A dashboard that reads as
-- another role needs to be a member of syncctl_readonly: GRANT syncctl_readonly TO grafana;
--
-- A running installation whose role owned the tables is locked out by this file, unless that role becomes a member: the file says so, with the
-- statement to run. It may be run before, once the roles exist, so that no job fails in between: GRANT syncctl_runtime TO app;
--
-- People may be given access to rows of their own, in Supabase for instance. Keep such statements in a file to run after this one, each time:
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

-- An administrator runs this. Where others may create in the schema, a function of theirs could be taken for one of PostgreSQL's and make them
-- administrators too. So from here on only PostgreSQL's own names count, and whatever is ours is named with its schema.
DO $$
BEGIN
  PERFORM pg_catalog.set_config('syncctl.schema', pg_catalog.current_schema()::pg_catalog.text, true);
END
$$;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
DECLARE
  ours constant text := current_setting('syncctl.schema');
  name text;
  found record;
  is_member boolean;
BEGIN
  IF coalesce(ours, '') = '' THEN
    RAISE EXCEPTION 'no schema of the search path exists' USING HINT = 'CREATE SCHEMA syncctl; ALTER DATABASE ... SET search_path = syncctl';
  END IF;
  FOREACH name IN ARRAY ARRAY['syncctl_owner', 'syncctl_runtime', 'syncctl_readonly'] LOOP
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', name);
    END IF;
  END LOOP;
  -- What follows is done on behalf of the owner, which a superuser may, and others only as its member. Since PostgreSQL 16 whoever makes a role is
  -- a member that may not act as it.
  IF current_setting('server_version_num')::int >= 160000 THEN
    is_member := pg_has_role(current_user, 'syncctl_owner', 'USAGE') AND pg_has_role(current_user, 'syncctl_owner', 'SET');
  ELSE
    is_member := pg_has_role(current_user, 'syncctl_owner', 'MEMBER');
  END IF;
  IF NOT is_member THEN
    EXECUTE format('GRANT syncctl_owner TO %I', current_user);
  END IF;
  EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO syncctl_owner, syncctl_runtime, syncctl_readonly', current_database());
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO syncctl_owner', ours);
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO syncctl_runtime, syncctl_readonly', ours);
  -- PostgreSQL 14 lets everybody create in `public`.
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', ours);
  -- Their sessions look up names there and among PostgreSQL's own, behind any pooler.
  FOREACH name IN ARRAY ARRAY['syncctl_owner', 'syncctl_runtime', 'syncctl_readonly'] LOOP
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = %I, pg_temp', name, current_database(), ours);
  END LOOP;
  -- A host that is lost right behind a BEGIN, before that transaction's own limits, must not keep its connection for hours.
  EXECUTE format('ALTER ROLE syncctl_runtime IN DATABASE %I SET idle_in_transaction_session_timeout = %L', current_database(), '1min');

  -- What later migrations make: nobody gets a right to it by default but the jobs, which work with it at once.
  FOR found IN
    SELECT DISTINCT CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' ELSE 'FUNCTIONS' END AS kind, d.defaclnamespace <> 0 AS here,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) a
    WHERE pg_get_userbyid(d.defaclrole) = 'syncctl_owner' AND a.grantee <> d.defaclrole AND d.defaclobjtype IN ('r', 'S', 'f')
      AND (d.defaclnamespace = 0 OR d.defaclnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ours))
  LOOP
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner %s REVOKE ALL ON %s FROM %s',
      CASE WHEN found.here THEN format('IN SCHEMA %I', ours) END, found.kind, found.grantee);
  END LOOP;
  -- Everybody may run functions unless this is said for all schemas.
  ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO syncctl_runtime', ours);
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner IN SCHEMA %I GRANT USAGE ON SEQUENCES TO syncctl_runtime', ours);
END
$$;

-- Ours by name: what a schema shares with somebody else is left alone.
CREATE TEMPORARY TABLE syncctl_ours ON COMMIT DROP AS
WITH tables AS (
  SELECT c.oid, c.relname, c.relowner, c.relacl FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = current_setting('syncctl.schema') AND c.relkind IN ('r', 'p')
    AND EXISTS (SELECT 1 FROM pg_class m WHERE m.relnamespace = n.oid AND m.relname = 'schema_migrations')
    AND (c.relname IN ('schema_migrations', 'runs', 'job_locks', 'users', 'accounts', 'streams', 'quarantined_items', 'calendars', 'calendar_events',
           'meetings', 'documents', 'drives', 'channels', 'notifications', 'user_activity',
           'projects', 'document_projects', 'project_corrections', 'project_models', 'document_judgements', 'classify_queue', 'classify_passes',
           'model_usage', 'model_budgets')
      OR c.relname ~ '^((calendar|drive|gmail|attendee|classify|sync)_cron_(results|metrics|summaries)|calendar_(watch|webhook)_renewal_summaries)$'
      OR c.relname ~ '^(outbox_(events|deliveries|targets)|gmail_(messages|detections)|drive_(files|file_access|file_watches)|quota_(usage|minutes|pauses)|pace_(prices|user_prices|runs)|attendee_(projects|bots|bot_meetings|utterances|transcripts))$')
)
SELECT 'TABLE' AS kind, oid, oid::regclass::text AS name, relname::text AS short, relowner AS owner, relacl AS acl FROM tables
UNION ALL
SELECT 'SEQUENCE', s.oid, s.oid::regclass::text, s.relname::text, s.relowner, s.relacl
FROM tables t JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_class'::regclass
  AND d.deptype IN ('a', 'i') JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
UNION ALL
-- By what they are, not by their names alone: one of somebody else's would get the owner's rights.
SELECT 'FUNCTION', p.oid, p.oid::regprocedure::text, p.proname::text, p.proowner, p.proacl
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = current_setting('syncctl.schema') AND p.proname IN ('syncctl_forget_calendar', 'syncctl_forget_mailbox', 'syncctl_forget_drive')
  AND p.prorettype = 'trigger'::regtype AND NOT p.prosecdef
UNION ALL
SELECT 'COLUMN', t.oid, t.oid::regclass::text, a.attname::text, t.relowner, a.attacl
FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attacl IS NOT NULL;

DO $$
DECLARE
  ours constant text := current_setting('syncctl.schema');
  found record;
  columns text;
BEGIN
  -- Whose jobs this stops, and who reads no more: told at the end, because it is done then.
  CREATE TEMPORARY TABLE syncctl_told ON COMMIT DROP AS
  SELECT pg_get_userbyid(o.owner)::text AS role, true AS owned, count(*) AS objects
  FROM pg_temp.syncctl_ours o JOIN pg_roles r ON r.oid = o.owner
  WHERE o.kind = 'TABLE' AND NOT r.rolsuper AND NOT pg_has_role(r.oid, 'syncctl_owner', 'USAGE') AND NOT pg_has_role(r.oid, 'syncctl_runtime', 'USAGE')
  GROUP BY o.owner
  UNION ALL
  SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, false, count(DISTINCT (o.kind, o.name))
  FROM pg_temp.syncctl_ours o CROSS JOIN LATERAL aclexplode(o.acl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
  WHERE a.grantee <> o.owner AND NOT coalesce(r.rolsuper OR r.rolname LIKE 'syncctl\_%' OR pg_has_role(r.oid, 'syncctl_owner', 'USAGE'), false)
  GROUP BY a.grantee;

  FOR found IN SELECT kind, name FROM pg_temp.syncctl_ours WHERE kind IN ('TABLE', 'FUNCTION') LOOP
    EXECUTE format('ALTER %s %s OWNER TO syncctl_owner', found.kind, found.name);
  END LOOP;
  -- Everybody but the owner; what the three roles may is granted below. On columns it goes with the table.
  FOR found IN
    SELECT DISTINCT CASE o.kind WHEN 'COLUMN' THEN 'TABLE' ELSE o.kind END AS kind, o.name,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_temp.syncctl_ours o CROSS JOIN LATERAL aclexplode(o.acl) a
    WHERE a.grantee <> o.owner AND (a.grantee = 0 OR pg_get_userbyid(a.grantee) <> 'syncctl_owner')
  LOOP
    EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', found.kind, found.name, found.grantee);
  END LOOP;
  -- Nobody but a trigger runs them.
  FOR found IN SELECT name FROM pg_temp.syncctl_ours WHERE kind = 'FUNCTION' LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.name);
  END LOOP;
  FOR found IN SELECT oid, name, short FROM pg_temp.syncctl_ours WHERE kind = 'TABLE' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', found.name);
    EXECUTE format('DROP POLICY IF EXISTS syncctl_jobs ON %s', found.name);
    EXECUTE format('CREATE POLICY syncctl_jobs ON %s TO syncctl_owner, syncctl_runtime USING (true) WITH CHECK (true)', found.name);
    EXECUTE format('DROP POLICY IF EXISTS syncctl_reading ON %s', found.name);
    EXECUTE format('CREATE POLICY syncctl_reading ON %s FOR SELECT TO syncctl_readonly USING (true)', found.name);
    EXECUTE format('GRANT SELECT %s ON %s TO syncctl_runtime',
      CASE WHEN found.short <> 'schema_migrations' THEN ', INSERT, UPDATE, DELETE' END, found.name);
    -- Sealed values are of no use to a dashboard, and nobody's to copy.
    SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
    WHERE attrelid = found.oid AND attnum > 0 AND NOT attisdropped
      AND (found.short, attname) NOT IN (('accounts', 'credentials'), ('accounts', 'access_token'), ('attendee_projects', 'api_key'));
    IF found.short IN ('accounts', 'attendee_projects') THEN
      EXECUTE format('GRANT SELECT (%s) ON %s TO syncctl_readonly', columns, found.name);
    ELSE
      EXECUTE format('GRANT SELECT ON %s TO syncctl_readonly', found.name);
    END IF;
  END LOOP;

  FOR found IN SELECT * FROM pg_temp.syncctl_told ORDER BY owned DESC, role LOOP
    IF found.owned THEN
      RAISE WARNING 'role % owned tables of syncctl until now: what connects as it is refused from here on', quote_ident(found.role)
        USING HINT = format('To let its jobs go on: GRANT syncctl_runtime TO %1$I; (syncctl_owner where it is to migrate as well). Then let db.url '
          'name syncctl_runtime, and REVOKE syncctl_runtime FROM %1$I;', found.role);
    ELSE
      RAISE WARNING 'rights of % to % tables, columns, sequences or functions of syncctl are revoked', found.role, found.objects
        USING HINT = 'A role that reads for a dashboard becomes a member of syncctl_readonly; rights to rows of their own are granted again after this file.';
    END IF;
  END LOOP;
  FOR found IN
    SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE n.nspname = ours AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
      AND NOT coalesce(r.rolsuper OR r.rolname = 'pg_database_owner' OR pg_has_role(r.oid, 'syncctl_owner', 'USAGE')
        OR r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database()), false)
  LOOP
    RAISE WARNING '% may still create in schema %: functions there can run with the rights of the jobs', found.grantee, quote_ident(ours)
      USING HINT = format('REVOKE CREATE ON SCHEMA %I FROM %s; or let syncctl use a schema of its own.', ours, found.grantee);
  END LOOP;
END
$$;

COMMIT;
