//! The question about bots, compared with what Attendee has of each of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{ANN, BOB, Question, set, text};
use crate::support::World;
use crate::support::sim::field;

/// Courses of bots that hear nothing, or whose words do not arrive, and two that are as usual.
fn courses() -> [(&'static str, Value); 7] {
    [
        ("usual", json!({})),
        ("late", json!({ "late_percent": 50 })),
        ("refused", json!({ "admitted": false })),
        ("unrecorded", json!({ "recorded": false })),
        ("silent", json!({ "utterances": 0 })),
        ("untranscribed", json!({ "late_percent": 100, "transcript": "failed" })),
        ("pending", json!({ "late_percent": 100, "transcript": "never" })),
    ]
}

#[test]
fn meetings_without_a_transcript_are_those_of_whose_bots_attendee_has_no_words() {
    let world = World::with_attendee(2);
    for (id, course) in courses() {
        let link = world.meet_all(&[ANN, BOB], id, 60);
        world.sim.admin("attendee/script", json!({ "of": link, "course": course }));
    }
    let (cancelled, distant) = (world.meet(ANN, "cancelled", 120), world.meet(ANN, "distant", 20 * 60));
    world.schedule().expect(0);
    world.sim.delete_event(ANN, "cancelled");
    world.schedule().expect(0);
    // Until ten hours before the distant meeting.
    world.pass(10 * 60);
    for _ in 0..3 {
        world.poll_bots().expect(0);
    }
    // The database's clock stands where the simulated one does.
    world.execute("UPDATE attendee_bots SET start_at = start_at - interval '10 hours', end_at = end_at - interval '10 hours'");
    let answer = Question::of("Which meetings have no transcript although a bot was ordered?").ask(&world);
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for bot in world.bots() {
        let link = field(&bot, "meeting_url");
        assert_eq!(bot["deleted"] == true, link == cancelled, "{bot}");
        let is_over = link != cancelled && link != distant;
        if is_over && bot["transcript"].as_array().is_none_or(Vec::is_empty) {
            expected.insert(link, [ANN, BOB].map(str::to_owned).into());
        }
    }
    assert_eq!(expected.len(), 5, "{expected:#?}");
    let found: BTreeMap<_, _> = answer.rows.iter().map(|row| (text(row, "meeting_url"), set(row, "people"))).collect();
    assert_eq!(found, expected, "{:#?}", answer.rows);
    let state = |title: &str| answer.rows.iter().find(|row| row["title"] == title).map(|row| text(row, "state"));
    assert_eq!((state("Talk pending"), state("Talk refused")), (Some("ended".into()), Some("settled".into())));
    assert!(answer.rows.iter().any(|row| text(row, "why").starts_with("could_not_join_meeting")), "{:#?}", answer.rows);
}
