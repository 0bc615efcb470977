//! Changes at Google, one at a time.

use serde_json::json;

use crate::support::World;
use crate::support::sim::field;

/// Creates a new item of the world's service; returns its user and ID, since IDs of mailboxes overlap.
pub fn change(world: &World, user: &str, nth: u32) -> String {
    let made = match world.service.name {
        "calendar" => {
            let day = chrono::Utc::now().date_naive() + chrono::Duration::days(1);
            let at = |hour: u32| json!({ "dateTime": format!("{day}T{hour:02}:00:00Z"), "timeZone": "UTC" });
            let event = json!({ "id": format!("bench{nth:06}"), "summary": "A change", "start": at(9), "end": at(10) });
            world.sim.admin("events", json!({ "user": user, "calendar": "primary", "event": event }))
        }
        "drive" => {
            world.sim.admin("drive/files", json!({ "user": user, "name": format!("change {nth}.txt"), "content": "A change" }))
        }
        "gmail" => {
            let raw = format!("From: a@example.com\r\nTo: {user}\r\nSubject: A change\r\n\r\nNumber {nth}\r\n");
            world.sim.admin("mail/messages", json!({ "user": user, "raw": raw }))
        }
        other => panic!("no changes of {other}"),
    };
    format!("{user} {}", field(&made, "id"))
}
