//! What every statement of the binary is held to in every test: a row that it changes says so.

use super::World;

impl World {
    /// Makes PostgreSQL refuse a statement of the binary that changes a row of a table for readers and does not set `changed_xid`.
    pub(super) fn refuse_silent_changes(&self) {
        self.execute(
            "CREATE SCHEMA held;
             CREATE FUNCTION held.says_so() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN
               IF current_setting('application_name') LIKE 'syncctl%' AND NEW.changed_xid IS DISTINCT FROM pg_current_xact_id()::text::bigint
                 AND to_jsonb(NEW) - '{seen_pass,changed_xid}'::text[] <> to_jsonb(OLD) - '{seen_pass,changed_xid}'::text[]
               THEN RAISE EXCEPTION 'a statement changed a row of % and left its changed_xid', TG_TABLE_NAME; END IF;
               RETURN NULL;
             END $$;
             DO $$ DECLARE name text; BEGIN
               FOR name IN SELECT attrelid::regclass FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
                 WHERE attname = 'changed_xid' AND relkind = 'r' AND pg_table_is_visible(attrelid) LOOP
                 EXECUTE format('CREATE TRIGGER says_so AFTER UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION held.says_so()', name);
               END LOOP;
             END $$",
        );
    }
}
