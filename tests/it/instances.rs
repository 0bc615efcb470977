//! `calendar_instances` shows what Google shows: each occurrence of each series, exceptions in their places, through changes of all kinds.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::Value;

use crate::support::World;
use crate::support::agenda::{Agenda, stored, when};
use crate::support::google::Google;
use crate::support::sim::field;

/// What a user's own client of Google's API shows: `events.list` with `singleEvents=true`.
pub struct Client<'a> {
    pub world: &'a World,
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

impl Client<'_> {
    /// The events of all users' calendars.
    fn agenda(&self) -> Agenda {
        accounts(self.world).iter().flat_map(|account| self.of(account)).collect()
    }

    fn of(&self, account: &Value) -> Agenda {
        let email = account["email"].as_str().expect("an address");
        let events = self.events(account).into_iter();
        events
            .map(|(calendar, event)| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let key = (email.to_owned(), text(&calendar["id"]), text(&event["id"]));
                (key, (when(&event["start"]), when(&event["end"]), text(&event["summary"])))
            })
            .collect()
    }

    /// All events of a user, each with its calendar.
    pub fn events(&self, account: &Value) -> Vec<(Value, Value)> {
        let google = Google::of(&self.world.sim, account);
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (from, until) = (time(self.from), time(self.until));
        let query = [("singleEvents", "true"), ("timeMin", from.as_str()), ("timeMax", until.as_str())];
        let calendars = google.all("calendar/v3/users/me/calendarList", &[], "items").into_iter();
        calendars
            .flat_map(|calendar| {
                let events = google.all(&format!("calendar/v3/calendars/{}/events", field(&calendar, "id")), &query, "items");
                events.into_iter().map(move |event| (calendar.clone(), event))
            })
            .collect()
    }
}

pub fn accounts(world: &World) -> Vec<Value> {
    let text = world.sim.text("accounts");
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("an account")).collect()
}

/// Asserts that the database shows what Google shows, two months back and ten ahead.
#[track_caller]
fn assert_agenda(world: &World) {
    let now = Utc::now();
    let (from, until) = (now - Duration::days(60), now + Duration::days(300));
    let (shown, stored) = (Client { world, from, until }.agenda(), stored(world, from, until));
    assert!(shown.len() > 100, "{} events are too few to compare", shown.len());
    let wrong = shown.iter().filter(|(key, event)| stored.get(*key) != Some(event));
    let wrong: Vec<_> = wrong.map(|(key, event)| (key, event, stored.get(key))).collect();
    assert!(wrong.is_empty(), "{} of {} differ or are missing: {:#?}", wrong.len(), shown.len(), &wrong[..wrong.len().min(5)]);
    let excess: Vec<_> = stored.iter().filter(|(key, _)| !shown.contains_key(*key)).collect();
    assert!(excess.is_empty(), "{} too many: {:#?}", excess.len(), &excess[..excess.len().min(5)]);
}

#[test]
fn instances_follow_every_change() {
    let world = World::with_users(6, 60);
    world.sync_all().expect(0);
    assert_agenda(&world);
    for seed in 0..4 {
        world.churn(80, seed);
        world.syncctl(&["calendar", "cron", "--force"]).expect(0);
        assert_agenda(&world);
    }
    // Google forgets the cursors: everything is listed again, and what is not listed is gone.
    world.churn(80, 9);
    world.expire();
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert_agenda(&world);
}

#[test]
fn windows_roll_on_and_older_installations_get_their_instances() {
    let mut world = World::with_users(4, 60);
    // As before there were instances.
    world.sync_all().expect(0);
    world.execute("DELETE FROM calendar_instances; DELETE FROM calendar_windows");
    world.churn(40, 1);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert_eq!(world.count("SELECT count(*) FROM calendar_instances"), 0, "a part of the events would look like all of them");
    let doctor = || world.syncctl(&["doctor", "--offline"]).stdout;
    assert!(doctor().contains("calendar_instances of 4 calendars are incomplete or end too early"), "{}", doctor());
    world.syncctl(&["calendar", "roll-instances"]).expect(0);
    assert_agenda(&world);
    assert!(doctor().contains("calendar_instances reach far enough"));
    let all = world.count("SELECT count(*) FROM calendar_instances");
    // A window that ends early, as if the last run had been long ago, loses nothing.
    world.set("SYNCCTL_CALENDAR_INSTANCES_FUTURE", "30d");
    world.syncctl(&["calendar", "roll-instances"]).expect(0);
    assert!(world.count("SELECT count(*) FROM calendar_instances") < all);
    world.churn(40, 2);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    world.set("SYNCCTL_CALENDAR_INSTANCES_FUTURE", "400d");
    world.syncctl(&["calendar", "roll-instances"]).expect(0);
    assert_agenda(&world);
    // There is nothing left to do.
    let before = world.count("SELECT sum(xmin::text::bigint)::bigint FROM calendar_instances");
    world.syncctl(&["calendar", "roll-instances"]).expect(0);
    assert_eq!(world.count("SELECT sum(xmin::text::bigint)::bigint FROM calendar_instances"), before);
    // What is over leaves the table.
    world.set("SYNCCTL_CALENDAR_INSTANCES_PAST", "0s");
    world.execute("UPDATE calendar_windows SET covered = tstzrange(lower(covered), now() + interval '399 days')");
    world.syncctl(&["calendar", "roll-instances"]).expect(0);
    assert_eq!(world.count("SELECT count(*) FROM calendar_instances WHERE upper(during) < now() - interval '1 minute'"), 0);
}

#[test]
fn a_calendar_that_was_empty_at_its_first_pass_has_the_instances_of_later_events() {
    let world = World::with_users(1, 0);
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    let day = Utc::now().date_naive().to_string();
    let event = serde_json::json!({ "id": "first", "start": { "date": day }, "end": { "date": day }, "recurrence": ["RRULE:FREQ=DAILY;COUNT=3"] });
    world.sim.admin("events", serde_json::json!({ "user": world.first_user(), "calendar": "primary", "event": event }));
    world.sync_all().expect(0);
    assert_eq!(world.rows("calendar_instances WHERE series_id = 'first'"), 3);
}
