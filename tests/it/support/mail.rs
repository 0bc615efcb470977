//! Attachments in the database, compared with the simulator's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::World;
use super::sim::field;

/// Number of attachments by user, message and hash.
type Attached = BTreeMap<(String, String, String), i64>;

/// Asserts that the contents of all attachments with a file name, except texts, are stored, if any are.
pub fn check(world: &World) {
    if world.rows("gmail_attachments") == 0 {
        return;
    }
    let mut sent = Attached::new();
    for line in world.sim.text("mail/attachments").lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        *sent.entry((field(&line, "user"), field(&line, "id"), field(&line, "sha256"))).or_default() += 1;
    }
    let rows = world.query(
        "SELECT u.email, a.message_id, encode(a.sha256, 'hex'), count(*) FROM gmail_attachments a JOIN users u ON u.id = a.user_id
         WHERE a.deleted_at IS NULL AND a.sha256 IS NOT NULL AND a.name IS NOT NULL AND a.mime_type NOT LIKE 'text/%' GROUP BY 1, 2, 3",
    );
    let stored: Attached = rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3))).collect();
    assert_eq!(stored, sent);
}
