//! Synced items: events, messages, files, the documents made of them, and the quarantine.

use super::World;

impl World {
    /// How many calendar events are not deleted.
    pub fn events(&self) -> i64 {
        self.count("SELECT count(*) FROM calendar_events WHERE deleted_at IS NULL")
    }

    /// How many calendar events are deleted, and kept as tombstones.
    pub fn deleted_events(&self) -> i64 {
        self.count("SELECT count(*) FROM calendar_events WHERE deleted_at IS NOT NULL")
    }

    /// How many Gmail messages are not deleted.
    pub fn messages(&self) -> i64 {
        self.count("SELECT count(*) FROM gmail_messages WHERE deleted_at IS NULL")
    }

    /// How many stored Gmail messages have this subject.
    pub fn messages_about(&self, subject: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM gmail_messages WHERE subject = '{subject}'"))
    }

    /// How many stored Gmail messages have this subject and this text.
    pub fn messages_with(&self, subject: &str, body: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM gmail_messages WHERE subject = '{subject}' AND body = '{body}'"))
    }

    /// How many files users can no longer see, once for each user and file.
    pub fn lost_files(&self) -> i64 {
        self.count("SELECT count(*) FROM drive_file_access WHERE deleted_at IS NOT NULL")
    }

    /// How many documents are stored, deleted or not.
    pub fn documents(&self) -> i64 {
        self.count("SELECT count(*) FROM documents")
    }

    pub fn documents_of(&self, source: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM documents WHERE source = '{source}'"))
    }

    /// How many documents have exactly this text.
    pub fn documents_with(&self, body: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM documents WHERE body = '{body}'"))
    }

    /// How many items are in quarantine.
    pub fn quarantined(&self) -> i64 {
        self.count("SELECT count(*) FROM quarantined_items")
    }

    /// Makes every item in quarantine due for its next try.
    pub fn retry_quarantined(&self) {
        self.execute("UPDATE quarantined_items SET retry_at = now()");
    }

    /// Makes PostgreSQL refuse new rows of a table that meet this condition.
    pub fn refuse_rows(&self, table: &str, condition: &str) {
        self.execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               RAISE EXCEPTION 'refused by a test' USING ERRCODE = 'invalid_parameter_value'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
        ));
    }
}
