//! Helpers for Attendee tests: meetings in calendars, bots for them, and the check that each meeting has exactly one bot and transcript.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use super::World;
use super::service::ATTENDEE;
use super::sim::{Truth, field};
use super::world::RunResult;

/// The project's name, here and at Attendee.
pub const PROJECT: &str = "main";
const KEY: &str = "key-of-the-simulated-attendee";
/// How many minutes before its meeting a bot joins.
const AHEAD: i64 = 2;
/// Minimum time, in minutes, between a change of a meeting and its start, so that its bot is still scheduled.
const EARLY: i64 = 90;

impl World {
    /// This many users with bots enabled, without meetings, and a project.
    ///
    /// Bots move on with `pass` alone: on a busy machine they would otherwise do so between a poll and the comparison after it.
    pub fn with_attendee(users: u32) -> Self {
        let world = Self::of(&ATTENDEE, users, 0);
        world.sim.admin("clock", json!({ "stop": true }));
        world
    }

    /// Syncs the calendars, and schedules bots.
    pub fn schedule(&self) -> RunResult {
        self.syncctl(&["calendar", "cron", "--force"]).expect(0);
        self.syncctl(&["attendee", "schedule", "--json"])
    }

    /// Polls the bots.
    pub fn poll_bots(&self) -> RunResult {
        self.syncctl(&["attendee", "cron", "--force", "--json"])
    }

    /// Puts a meeting into a calendar, or moves it, this many minutes from now by the simulated clock; returns its link.
    pub fn meet(&self, user: &str, id: &str, minutes: i64) -> String {
        self.meet_all(&[user], id, minutes)
    }

    /// The same for several users, who have all accepted; the first one has invited the others.
    pub fn meet_all(&self, users: &[&str], id: &str, minutes: i64) -> String {
        let start = self.sim_now() + Duration::minutes(minutes);
        // Whole minutes, like real meetings.
        let start = DateTime::from_timestamp(start.timestamp() / 60 * 60, 0).expect("a time");
        let time = |at: DateTime<Utc>| json!({ "dateTime": at.to_rfc3339_opts(SecondsFormat::Secs, true), "timeZone": "UTC" });
        let attendees: Vec<Value> = users.iter().map(|user| json!({ "email": user, "responseStatus": "accepted" })).collect();
        for user in users {
            let mut event = json!({ "id": id, "summary": format!("Talk {id}"), "hangoutLink": link(id), "start": time(start),
                "end": time(start + Duration::minutes(30)) });
            if users.len() > 1 {
                event["organizer"] = json!({ "email": users[0], "self": *user == users[0] });
                event["attendees"] = json!(attendees);
            }
            self.sim.admin("events", json!({ "user": user, "calendar": "primary", "event": event }));
        }
        link(id)
    }

    pub fn sim_now(&self) -> DateTime<Utc> {
        let now = self.sim.get("clock")["now"].as_str().map(DateTime::parse_from_rfc3339);
        now.expect("a time").expect("a time").to_utc()
    }

    /// Lets this many minutes pass at Attendee.
    pub fn pass(&self, minutes: i64) {
        self.sim.admin("clock", json!({ "advance": minutes * 60 }));
    }

    /// Every bot ever created at Attendee, including removed ones.
    pub fn bots(&self) -> Vec<Value> {
        self.sim.text("attendee/state").lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// The only bot that a meeting ever had.
    #[track_caller]
    pub fn only_bot(&self, link: &str) -> Value {
        let mut bots = self.bots();
        bots.retain(|bot| bot["meeting_url"] == link);
        assert_eq!(bots.len(), 1, "{bots:#?}");
        bots.remove(0)
    }
}

/// The link of a meeting.
pub fn link(id: &str) -> String {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut letters = |count: usize| -> String {
        (0..count)
            .map(|_| {
                let letter = char::from(b'a' + (rest % 26) as u8);
                rest /= 26;
                letter
            })
            .collect()
    };
    format!("https://meet.google.com/{}-{}-{}", letters(3), letters(4), letters(3))
}

/// Each user has one meeting soon, and others later.
pub fn populate(world: &World, users: u32, items: u32) {
    world.sim.generate(users, 0);
    world.sim.admin("attendee/projects", json!({ "name": PROJECT, "key": KEY }));
    for (nth, user) in world.sim.users().iter().enumerate() {
        for meeting in 0..items.div_ceil(10) {
            let minutes = if meeting == 0 { 7 } else { EARLY + 60 + 7 * i64::from(meeting) };
            world.meet(user, &format!("m{nth}x{meeting}"), minutes);
        }
    }
}

/// Imported users have bots enabled; the project is known here too.
pub fn prepare(world: &World) {
    let accounts: String = world.sim.text("accounts").lines().map(wanting).collect();
    world.syncctl_with_input(&["accounts", "import", "-"], &accounts).expect(0);
    world.syncctl_with_input(&["attendee", "project", "add", PROJECT, "--default"], KEY).expect(0);
}

fn wanting(line: &str) -> String {
    let mut account: Value = serde_json::from_str(line).expect("an account line");
    account["settings"] = json!({ "attendee": true });
    format!("{account}\n")
}

/// Time passes; some distant meetings are moved, some cancelled, and new ones are added.
pub fn churn(world: &World, changes: u32, seed: u64) {
    let mut chance = rand::rngs::StdRng::seed_from_u64(seed);
    world.pass(i64::from(changes / 4));
    let now = world.sim_now();
    let mut later: Vec<(String, String)> = live(world)
        .into_iter()
        .filter(|(_, _, start)| *start > now + Duration::minutes(EARLY))
        .map(|(user, id, _)| (user, id))
        .collect();
    for nth in 0..changes.div_ceil(8) {
        for cancels in [false, true] {
            if later.is_empty() {
                break;
            }
            let (user, id) = later.swap_remove(chance.random_range(0..later.len()));
            if cancels {
                world.sim.delete_event(&user, &id)
            } else {
                drop(world.meet(&user, &id, EARLY + chance.random_range(10..300)))
            }
        }
        let users: Vec<String> = world.sim.users().into_iter().collect();
        let user = &users[chance.random_range(0..users.len())];
        world.meet(user, &format!("n{seed}x{nth}"), EARLY + chance.random_range(10..300));
        world.meet(user, &format!("o{seed}x{nth}"), EARLY + chance.random_range(10..300));
    }
    // The calendars are not under test here.
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
}

/// Every meeting takes place, and is transcribed.
pub fn finish(world: &World) {
    world.sync_all().expect(0);
    world.pass(10 * 60);
    world.sync_all().expect(0);
}

/// Meetings as the calendars have them: user, id, start.
fn live(world: &World) -> Vec<(String, String, DateTime<Utc>)> {
    let events = world.sim.text("state");
    let rows = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    rows.map(|row| {
        let start = row["start"]["dateTime"].as_str().map(DateTime::parse_from_rfc3339).expect("a start").expect("a time");
        (field(&row, "user"), field(&row, "id"), start.to_utc())
    })
    .collect()
}

/// Bots that were not removed, with their states.
pub fn truth(world: &World) -> Truth {
    let bots = world.bots().into_iter().filter(|bot| bot["deleted"] == false);
    bots.map(|bot| ((PROJECT.to_owned(), "bot".to_owned(), field(&bot, "id")), field(&bot, "state"))).collect()
}

pub fn stored(world: &World) -> Truth {
    world.collect(
        "SELECT p.name, 'bot', b.bot_id, b.raw_state FROM attendee_bots b JOIN attendee_projects p ON p.id = b.project_id
         WHERE b.bot_id IS NOT NULL AND b.state <> 'removed'",
    )
}

/// Each meeting has had one bot, at its time; a cancelled one has none left; each transcript is stored once, complete and corrected.
#[track_caller]
pub fn check(world: &World) {
    let bots = world.bots();
    let mut ever: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for bot in &bots {
        ever.entry(field(bot, "meeting_url")).or_default().push(bot);
    }
    for (url, bots) in &ever {
        assert_eq!(bots.len(), 1, "one bot for {url}, ever: {bots:#?}");
    }
    let live: BTreeMap<String, DateTime<Utc>> = live(world).into_iter().map(|(_, id, start)| (link(&id), start)).collect();
    for (url, start) in &live {
        let bot = ever.get(url).unwrap_or_else(|| panic!("no bot for {url} at {start}"))[0];
        assert_eq!(bot["deleted"], false, "a live meeting has lost its bot: {bot}");
        if bot["state"] == "scheduled" {
            let at = (*start - Duration::minutes(AHEAD)).to_rfc3339_opts(SecondsFormat::Secs, true);
            assert_eq!(bot["join_at"], at, "it comes at another time than {start}: {bot}");
        }
    }
    for (url, bots) in ever.iter().filter(|(url, _)| !live.contains_key(*url)) {
        assert_eq!(bots[0]["deleted"], true, "an orphan in {url}: {bots:#?}");
    }
    transcripts(world, &bots);
}

fn transcripts(world: &World, bots: &[Value]) {
    let statement = "SELECT b.bot_id, u.text FROM attendee_bots b JOIN attendee_transcripts t ON t.bot = b.id
        LEFT JOIN attendee_utterances u ON u.bot = b.id ORDER BY b.bot_id, u.timestamp_ms";
    let mut stored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in world.query(statement) {
        stored.entry(row.get(0)).or_default().extend(row.get::<_, Option<String>>(1));
    }
    for bot in bots.iter().filter(|bot| bot["state"] == "ended" && bot["transcription_state"] == "complete") {
        let said: Vec<&str> = bot["transcript"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["transcription"]["transcript"].as_str())
            .collect();
        assert_eq!(stored.get(&field(bot, "id")).map(|texts| texts.iter().map(String::as_str).collect()), Some(said), "{bot}");
    }
}
