-- Creates roles for a shared database: the owner of the schema, the role of jobs, and a read-only role. Run it in syncctl's database as a superuser, or
-- as a role that may create roles and owns the tables. It can be repeated. Run it again after `syncctl db migrate`, because it secures each table
-- individually.
--
--   psql "$ADMIN_URL" -v ON_ERROR_STOP=1 -f sql/roles.sql
--   psql "$ADMIN_URL" -c '\password syncctl_runtime'
--
--   syncctl_owner     owns the tables; `syncctl db migrate` runs as it
--   syncctl_runtime   every job runs as it: reads and writes rows, but cannot create or drop objects
--   syncctl_readonly  for dashboards: reads everything except sealed credentials and keys
--
-- The roles have no password and cannot log in until you set one with \password and allow login with ALTER ROLE … LOGIN. The file applies to the schema
-- of the tables, which it finds as syncctl does: in the search path or as `syncctl`. If you set db.schema, add `-v schema=…`. It can be run before the first
-- migration; then it creates the schema.
--
-- All other roles lose their rights on tables, sequences and functions of syncctl: roles to which a platform grants rights by default (`anon`,
-- `authenticated` and `service_role` of Supabase), and the previous owner of the tables. The file lists the roles whose rights it revoked. Row-level
-- security is enabled for every table, with a policy that gives the three roles above every row. A dashboard with another role must be a member of
-- syncctl_readonly: GRANT syncctl_readonly TO grafana;
--
-- A running installation whose role owned the tables is locked out unless that role becomes a member; the file prints the statement to run. You can run
-- that statement in advance, as soon as the roles exist, so that no job fails in between: GRANT syncctl_runtime TO app;
--
-- You can give users access to their own rows, for example in Supabase. Keep such statements in a separate file and run it after each run of this file:
--
--   GRANT SELECT ON documents TO authenticated;
--   CREATE POLICY own_documents ON documents FOR SELECT TO authenticated
--     USING (user_id = (SELECT id FROM users WHERE lower(email) = lower(auth.jwt() ->> 'email')));
--   -- and the same for `users`, which that policy reads:
--   GRANT SELECT (id, email) ON users TO authenticated;
--   CREATE POLICY own_user ON users FOR SELECT TO authenticated USING (lower(email) = lower(auth.jwt() ->> 'email'));

BEGIN;
-- Suppress a notice for each missing policy.
SET LOCAL client_min_messages = warning;

-- An administrator runs this file. If other roles may create objects in the schema, their functions could shadow PostgreSQL's and gain administrator
-- rights. From here on the search path therefore contains only PostgreSQL's own names, and our objects are schema-qualified.
\if :{?schema}
\else
\set schema ''
\endif
WITH path AS (
  SELECT pg_catalog.array_remove(pg_catalog.current_schemas(false), 'pg_catalog') AS names
), found AS (
  SELECT n.nspname AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace CROSS JOIN path p
  WHERE c.relname OPERATOR(pg_catalog.=) 'schema_migrations'::pg_catalog.name
    AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
      WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attname OPERATOR(pg_catalog.=) 'checksum'::pg_catalog.name)
    AND (n.nspname OPERATOR(pg_catalog.=) ANY (p.names) OR n.nspname OPERATOR(pg_catalog.=) 'syncctl'::pg_catalog.name
      AND coalesce(p.names[1] OPERATOR(pg_catalog.=) 'public'::pg_catalog.name, true))
  ORDER BY n.nspname OPERATOR(pg_catalog.=) 'public'::pg_catalog.name, pg_catalog.array_position(p.names, n.nspname)
  LIMIT 1
)
SELECT coalesce(CASE WHEN :'schema'::pg_catalog.text OPERATOR(pg_catalog.<>) '' THEN :'schema'::pg_catalog.text END, (SELECT name::pg_catalog.text FROM found),
  CASE WHEN p.names[1] OPERATOR(pg_catalog.<>) 'public'::pg_catalog.name THEN p.names[1]::pg_catalog.text END, 'syncctl') AS schema
FROM path p \gset
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT set_config('syncctl.schema', :'schema', true) AS schema \gset

DO $$
DECLARE
  ours constant text := current_setting('syncctl.schema');
  name text;
  found record;
  is_member boolean;
BEGIN
  IF to_regnamespace(quote_ident(ours)) IS NULL THEN
    EXECUTE format('CREATE SCHEMA %I', ours);
  END IF;
  FOREACH name IN ARRAY ARRAY['syncctl_owner', 'syncctl_runtime', 'syncctl_readonly'] LOOP
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) THEN
      -- Another run of this file, for another database of the server, can create it at the same moment.
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', name);
      EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
      END;
    END IF;
  END LOOP;
  -- The following statements act on behalf of the owner, which requires a superuser or a member of the role. Since PostgreSQL 16 the creator of a role is
  -- a member without the right to act as it.
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
  -- PostgreSQL 14 lets all roles create objects in `public`.
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', ours);
  -- Their sessions look up names only there and among PostgreSQL's own, also behind a pooler.
  FOREACH name IN ARRAY ARRAY['syncctl_owner', 'syncctl_runtime', 'syncctl_readonly'] LOOP
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = %I, pg_temp', name, current_database(), ours);
  END LOOP;
  -- A host that is lost right after BEGIN, before the transaction sets its own timeouts, must not keep its connection for hours.
  EXECUTE format('ALTER ROLE syncctl_runtime IN DATABASE %I SET idle_in_transaction_session_timeout = %L', current_database(), '1min');

  -- Objects of later migrations: by default only the jobs get rights on them, so that they can use them immediately.
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
  -- All roles may execute new functions unless this right is revoked for all schemas.
  ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO syncctl_runtime', ours);
  EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE syncctl_owner IN SCHEMA %I GRANT USAGE ON SEQUENCES TO syncctl_runtime', ours);
END
$$;

-- Our objects, by name. Objects of other programs in the same schema are left alone.
CREATE TEMPORARY TABLE syncctl_ours ON COMMIT DROP AS
WITH tables AS (
  SELECT c.oid, c.relname, c.relowner, c.relacl FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = current_setting('syncctl.schema') AND c.relkind IN ('r', 'p')
    AND EXISTS (SELECT 1 FROM pg_class m WHERE m.relnamespace = n.oid AND m.relname = 'schema_migrations')
    AND (c.relname IN ('schema_migrations', 'runs', 'job_locks', 'users', 'accounts', 'streams', 'quarantined_items', 'calendars', 'calendar_events', 'calendar_instances',
           'calendar_windows',
           'meetings', 'deleted_meetings', 'documents', 'drives', 'channels', 'notifications', 'user_activity',
           'projects', 'document_projects', 'project_corrections', 'project_models', 'document_judgements', 'classify_queue', 'classify_passes',
           'model_usage', 'model_budgets')
      OR c.relname ~ '^((calendar|drive|gmail|attendee|classify|sync)_cron_(results|metrics|summaries)|calendar_(watch|webhook)_renewal_summaries)$'
      OR c.relname ~ '^(outbox_(events|deliveries|targets)|gmail_(messages|detections|labels|attachments|contents|mailboxes)|drive_(files|file_access|file_watches|permissions)|quota_(usage|minutes|pauses)|pace_(prices|priors|user_prices|runs)|attendee_(projects|bots|bot_meetings|utterances|transcripts))$')
)
SELECT 'TABLE' AS kind, oid, oid::regclass::text AS name, relname::text AS short, relowner AS owner, relacl AS acl FROM tables
UNION ALL
SELECT 'VIEW', c.oid, c.oid::regclass::text, c.relname::text, c.relowner, c.relacl
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_setting('syncctl.schema') AND c.relkind = 'v' AND c.relname IN ('my_agenda', 'busy', 'meeting_attendees', 'gmail_messages_by_label', 'gmail_threads', 'drive_paths', 'drive_shared_outside',
    'sync_completeness')
  -- Not by name alone: only views of our tables.
  AND NOT EXISTS (SELECT 1 FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
    WHERE w.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid AND d.refobjid NOT IN (SELECT oid FROM tables))
UNION ALL
SELECT 'SEQUENCE', s.oid, s.oid::regclass::text, s.relname::text, s.relowner, s.relacl
FROM tables t JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_class'::regclass
  AND d.deptype IN ('a', 'i') JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
UNION ALL
-- Not by name alone: a function of another role would get the owner's rights.
SELECT 'FUNCTION', p.oid, p.oid::regprocedure::text, p.proname::text, p.proowner, p.proacl
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = current_setting('syncctl.schema') AND NOT p.prosecdef
  AND ((p.prorettype = 'trigger'::regtype
      AND p.proname IN ('syncctl_forget_calendar', 'syncctl_forget_mailbox', 'syncctl_forget_drive', 'syncctl_note_deleted_meetings'))
    -- The migration made them: it would have failed if there had been others with these arguments.
    OR (p.proname, oidvectortypes(p.proargtypes)) IN (('changes_since', 'bigint, text'), ('changes_cursor', 'text'),
      ('syncctl_changes_cursor', 'text, text, bigint'), ('syncctl_changes_origin', 'oid')))
UNION ALL
SELECT 'COLUMN', t.oid, t.oid::regclass::text, a.attname::text, t.relowner, a.attacl
FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attacl IS NOT NULL;

DO $$
DECLARE
  ours constant text := current_setting('syncctl.schema');
  found record;
  columns text;
BEGIN
  -- Roles whose jobs stop or that lose read access. Reported at the end, when the changes are made.
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

  FOR found IN SELECT kind, name FROM pg_temp.syncctl_ours WHERE kind IN ('TABLE', 'VIEW', 'FUNCTION') LOOP
    EXECUTE format('ALTER %s %s OWNER TO syncctl_owner', found.kind, found.name);
  END LOOP;
  -- Revoke from all roles but the owner; the three roles get their rights below. Column rights are revoked with the table.
  FOR found IN
    SELECT DISTINCT CASE WHEN o.kind IN ('COLUMN', 'VIEW') THEN 'TABLE' ELSE o.kind END AS kind, o.name,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_temp.syncctl_ours o CROSS JOIN LATERAL aclexplode(o.acl) a
    WHERE a.grantee <> o.owner AND (a.grantee = 0 OR pg_get_userbyid(a.grantee) <> 'syncctl_owner')
  LOOP
    EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', found.kind, found.name, found.grantee);
  END LOOP;
  FOR found IN SELECT name, short FROM pg_temp.syncctl_ours WHERE kind = 'FUNCTION' LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.name);
    -- Readers of changes call them; all others are run by triggers only.
    IF found.short LIKE '%changes%' THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO syncctl_runtime, syncctl_readonly', found.name);
    END IF;
  END LOOP;
  FOR found IN SELECT name FROM pg_temp.syncctl_ours WHERE kind = 'VIEW' LOOP
    EXECUTE format('GRANT SELECT ON %s TO syncctl_runtime, syncctl_readonly', found.name);
  END LOOP;
  FOR found IN SELECT oid, name, short FROM pg_temp.syncctl_ours WHERE kind = 'TABLE' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', found.name);
    EXECUTE format('DROP POLICY IF EXISTS syncctl_jobs ON %s', found.name);
    EXECUTE format('CREATE POLICY syncctl_jobs ON %s TO syncctl_owner, syncctl_runtime USING (true) WITH CHECK (true)', found.name);
    EXECUTE format('DROP POLICY IF EXISTS syncctl_reading ON %s', found.name);
    EXECUTE format('CREATE POLICY syncctl_reading ON %s FOR SELECT TO syncctl_readonly USING (true)', found.name);
    EXECUTE format('GRANT SELECT %s ON %s TO syncctl_runtime',
      CASE WHEN found.short <> 'schema_migrations' THEN ', INSERT, UPDATE, DELETE' END, found.name);
    -- Dashboards do not need sealed values and must not copy them.
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
        USING HINT = 'Make a role that reads for a dashboard a member of syncctl_readonly; grant rights on individual rows again after this file.';
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
      USING HINT = format('REVOKE CREATE ON SCHEMA %I FROM %s; or give syncctl its own schema.', ours, found.grantee);
  END LOOP;
END
$$;

COMMIT;
