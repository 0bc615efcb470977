//! Mail: fetching in a first sync, and a mailbox of a million messages.

use serde_json::json;

use crate::bare::{self, Loop, Request};
use crate::shared::figures::{median, timed};
use crate::support::World;
use crate::support::service::GMAIL;

const USERS: u32 = 20;
const MESSAGES: u32 = 500;

pub struct Mail {
    pub share: f64,
    pub per_second: f64,
    pub bare_per_second: f64,
}

/// A first sync of 20 mailboxes of 500 messages, against a loop that fetches the same messages.
pub fn pull() -> Mail {
    eprintln!("mail: {USERS} mailboxes of {MESSAGES} messages …");
    let world = World::of(&GMAIL, USERS, MESSAGES);
    let tokens = bare::tokens(&world);
    let fields = "id,threadId,labelIds,historyId,internalDate,snippet,sizeEstimate,payload(headers)";
    let requests: Vec<Request> = (GMAIL.truth)(&world)
        .keys()
        .map(|(user, _, id)| {
            let url =
                bare::url(&world, &["gmail", "v1", "users", "me", "messages", id], &[("format", "metadata"), ("fields", fields)]);
            (url, tokens[user].clone())
        })
        .collect();
    let total = f64::from(USERS * MESSAGES);
    assert_eq!(requests.len() as f64, total);
    let bare_loop = Loop::new();
    world.sync_all().expect(0);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        bare.push(timed(|| bare_loop.get(&requests)).0);
        world.execute(
            "TRUNCATE gmail_messages, gmail_detections, documents, outbox_events CASCADE;
             UPDATE streams SET cursor = NULL WHERE service = 'gmail'; CHECKPOINT",
        );
        ours.push(timed(|| world.sync_all().expect(0)).0);
        assert_eq!(world.count("SELECT count(*) FROM gmail_messages") as f64, total);
    }
    Mail {
        share: median(bare.iter().zip(&ours).map(|(bare, ours)| bare / ours).collect()),
        per_second: total / median(ours),
        bare_per_second: total / median(bare),
    }
}

/// Peak memory, in MiB, of the first sync of one mailbox of a million messages.
pub fn memory_of_a_million() -> f64 {
    eprintln!("mail: one mailbox of 1,000,000 messages …");
    let mut world = World::of(&GMAIL, 1, 0);
    world.set("SYNCCTL_GMAIL_PAGE_SIZE", "500");
    world.sim.admin("mail/generate", json!({ "messages": 1_000_000, "seed": 7, "days": 3_000 }));
    let report = world.sync_all().expect(0).json();
    assert_eq!(world.count("SELECT count(*) FROM gmail_messages"), 1_000_000);
    report["peak_rss_kib"].as_f64().expect("peak memory") / 1024.0
}
