//! Meeting links as written by people and mail filters: which one a meeting gets, and whether it gets a bot.

use serde_json::{Value, json};

use super::ground::{ANN, ahead, bots, counts, event, put, schedule, stamp, world};
use crate::support::World;

const ZOOM: &str = "https://us02web.zoom.us/j/81234567890?pwd=QWJjRGVm";

/// The small inputs of `tests/cases`, each with the correct kind and link.
const CASES: [(&str, &str, &str); 9] = [
    ("link-safelinks", "teams", "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x@thread.v2/0"),
    ("link-google-redirect", "zoom", ZOOM),
    ("link-google-redirect-encoded", "teams", "https://teams.microsoft.com/l/meetup-join/x/0"),
    ("link-urldefense", "zoom", ZOOM),
    ("link-teams-gov", "teams", "https://gov.teams.microsoft.us/l/meetup-join/x/0?context=y"),
    ("link-teams-cloud", "teams", "https://teams.cloud.microsoft/l/meetup-join/19%3ameeting_x/0"),
    ("link-cjk-punctuation", "zoom", ZOOM),
    ("link-no-scheme", "google_meet", "https://meet.google.com/abc-defg-hij"),
    ("link-upper-case", "zoom", "https://us02web.zoom.us/j/81234567890"),
];

/// Puts a small input unchanged into Ann's calendar, at a time that is near.
fn put_case(world: &World, name: &str, minutes: i64) {
    let path = format!("{}/tests/cases/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect("JSON");
    event["id"] = json!(name.replace('-', ""));
    event["start"]["dateTime"] = json!(stamp(ahead(minutes)));
    event["end"]["dateTime"] = json!(stamp(ahead(minutes + 30)));
    world.sim.admin("events", json!({ "user": ANN, "calendar": "primary", "raw": event.to_string() }));
}

#[test]
fn each_case_has_its_link_and_bots_go_where_attendee_lets_them() {
    let world = world();
    for (nth, (name, ..)) in (0..).zip(CASES) {
        put_case(&world, name, 30 + 10 * nth);
    }
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    for (name, kind, link) in CASES {
        let id = name.replace('-', "");
        let meeting = world.meeting_of(&id);
        assert_eq!([meeting.link_kind, meeting.link], [kind, link], "{name}");
    }
    // Attendee refuses Teams links without a context; the run reports it.
    world.syncctl(&["attendee", "schedule"]).expect(1);
    let mut urls: Vec<String> = bots(&world).iter().filter_map(|bot| bot["meeting_url"].as_str().map(str::to_owned)).collect();
    urls.sort();
    let plain = "https://us02web.zoom.us/j/81234567890".to_owned();
    assert_eq!(urls, ["https://meet.google.com/abc-defg-hij".to_owned(), plain, ZOOM.into(), ZOOM.into(), ZOOM.into()]);
    let refused =
        "SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM meetings WHERE bot_reason LIKE 'Attendee joins Teams only%'";
    assert_eq!(world.text(refused), "linkteamscloud linkteamsgov");
}

#[test]
fn links_that_attendee_always_refuses_are_not_asked_for_and_the_meeting_says_why() {
    let world = world();
    let rows = [
        ("gov", "https://www.zoomgov.com/j/1601234567?pwd=x", "zoomgov.com"),
        ("my", "https://acme.zoom.us/my/ann", "personal Zoom links"),
        ("own", "https://zoom.acme.example/j/81234567890", "it has no link"),
        ("lookup", "https://meet.google.com/lookup/abcdefg", "loses the code"),
        ("teams", "https://dod.teams.microsoft.us/l/meetup-join/x/0?context=y", "teams.microsoft.com and teams.live.com"),
        ("webex", "https://acme.webex.com/meet/ann", "cannot join webex"),
    ];
    for (nth, (id, link, _)) in (0..).zip(rows) {
        put(&world, ANN, event(id, ahead(30 + 5 * nth), json!({ "hangoutLink": null, "location": link })));
    }
    world.sim.reset_ledger();
    let run = schedule(&world);
    assert_eq!(world.sim.ledger()["by_method"]["bots.create"], Value::Null, "asked for what is always refused");
    for (id, _, why) in rows {
        let meeting = world.meeting_of(id);
        assert_eq!(meeting.bot_status, "none", "{id}");
        assert!(meeting.bot_reason.contains(why), "{id}: {}", meeting.bot_reason);
    }
    let reported = |run: &Value| run["details"]["meetings"].as_array().map_or(0, Vec::len);
    assert_eq!((reported(&run), reported(&schedule(&world))), (6, 0), "reported once: {run}");
    // The link is corrected: the bot is scheduled, and the reason disappears.
    put(&world, ANN, event("my", ahead(35), json!({ "hangoutLink": null, "location": ZOOM })));
    assert_eq!(counts(&schedule(&world))[0], 1);
    assert_eq!(world.meeting_of("my").bot_reason, "");
}

#[test]
fn pages_for_browsers_and_launchers_lead_to_the_room_of_the_plain_link() {
    let world = world();
    let context = "context=%7b%22Tid%22%3a%22t%22%2c%22Oid%22%3a%22o%22%7d";
    let launcher = format!(
        "https://teams.microsoft.com/dl/launcher/launcher.html?url=%2F_%23%2Fl%2Fmeetup-join%2F19:x@thread.v2%2F0%3F{}",
        context.replace('%', "%25")
    );
    let start = ahead(30);
    let at = |location: &str| json!({ "hangoutLink": null, "location": location });
    put(&world, ANN, event("browser", start, at("https://app.zoom.us/wc/join/81234567890?pwd=QWJjRGVm")));
    put(&world, ANN, event("launcher", start, at(&launcher)));
    put(
        &world,
        ANN,
        event("direct", start, at(&format!("https://teams.microsoft.com/l/meetup-join/19:x@thread.v2/0?{context}"))),
    );
    assert_eq!(counts(&schedule(&world)), [2, 0, 0, 0], "one bot for the launcher and the link that it opens");
    let all = bots(&world);
    assert!(all.iter().any(|bot| bot["meeting_url"] == "https://app.zoom.us/wc/join/81234567890?pwd=QWJjRGVm"), "{all:#?}");
}

#[test]
fn the_link_with_its_passcode_and_the_one_that_a_bot_can_join_win() {
    let world = world();
    let rows = [
        (
            "passcode",
            json!({ "location": "https://us02web.zoom.us/j/81234567890", "description": format!("<a href=\"{ZOOM}&amp;from=addon\">Join</a>") }),
            format!("{ZOOM}&from=addon"),
        ),
        (
            "joined",
            json!({ "location": "https://acme.webex.com/meet/ann", "description": format!("Webex or ({ZOOM}).") }),
            ZOOM.to_owned(),
        ),
        ("personal", json!({ "location": "https://acme.zoom.us/my/ann", "description": format!("“{ZOOM}”…") }), ZOOM.to_owned()),
    ];
    for (nth, (id, mut more, link)) in (0..).zip(rows) {
        more["hangoutLink"] = Value::Null;
        put(&world, ANN, event(id, ahead(30 + 5 * nth), more));
        assert_eq!(world.meeting_of(id).link, link);
    }
    assert_eq!(counts(&schedule(&world)), [3, 0, 0, 0]);
}
