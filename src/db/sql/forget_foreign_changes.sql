-- Rows of a dump of another server have the ids of its transactions. This server would reach those ids later, and take their rows for changes of that day.
-- NULL: before every cursor. Usually one look at an index per table.
DO $$
DECLARE
  found record;
  is_found boolean;
  is_foreign constant text := 'changed_xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    AND changed_xid > coalesce(pg_current_xact_id_if_assigned()::text::bigint, 0)';
BEGIN
  FOR found IN
    SELECT a.attrelid::regclass::text AS name FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attname = 'changed_xid' AND NOT a.attisdropped AND c.relkind = 'r' AND n.nspname = pg_catalog.current_schema()
  LOOP
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || found.name || ' WHERE ' || is_foreign || ')' INTO is_found;
    IF is_found THEN
      -- A change that is committed meanwhile has an id beyond the snapshot as well.
      EXECUTE 'LOCK TABLE ' || found.name || ' IN SHARE ROW EXCLUSIVE MODE';
      EXECUTE 'UPDATE ' || found.name || ' SET changed_xid = NULL WHERE ' || is_foreign;
    END IF;
  END LOOP;
END
$$
