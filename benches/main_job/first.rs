//! The first sync of one large calendar.

use crate::shared::figures::{median, timed};
use crate::support::World;
use crate::upsert::bare_upsert;

const EVENTS: u32 = 100_000;

pub struct First {
    pub share: f64,
    pub share_of_events: f64,
    pub per_second: f64,
    pub bare_per_second: f64,
    pub rss_mib: f64,
}

/// Against a bare upsert of the same rows.
pub fn first_sync() -> First {
    eprintln!("first sync: one calendar of {EVENTS} events …");
    let mut world = World::with_users(1, EVENTS);
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "120s");
    let (mut ours, mut bare, mut events_alone, mut rss) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..3 {
        world.execute(
            "TRUNCATE calendar_events, meetings, calendar_instances, calendar_windows; UPDATE streams SET cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL,
             due_at = CASE kind WHEN 'events' THEN now() ELSE due_at END; CHECKPOINT",
        );
        if round == 0 {
            world.syncctl(&["calendar", "cron", "--force"]).expect(0);
            world.execute("TRUNCATE calendar_events, meetings, calendar_instances, calendar_windows; UPDATE streams SET cursor = NULL, due_at = now() WHERE kind = 'events'; CHECKPOINT");
        }
        let (seconds, report) = timed(|| world.syncctl(&["calendar", "cron", "--json"]).expect(0).json());
        assert_eq!(world.count("SELECT count(*) FROM calendar_events WHERE deleted_at IS NULL"), i64::from(EVENTS));
        ours.push(seconds);
        rss.push(report["peak_rss_kib"].as_f64().expect("peak memory") / 1024.0);
        let (events, meetings, instances) = bare_upsert(&world);
        bare.push((events + meetings + instances).as_secs_f64());
        events_alone.push(events.as_secs_f64());
    }
    let share = |bare: &[f64]| median(bare.iter().zip(&ours).map(|(bare, ours)| bare / ours).collect());
    First {
        share: share(&bare),
        share_of_events: share(&events_alone),
        per_second: f64::from(EVENTS) / median(ours),
        bare_per_second: f64::from(EVENTS) / median(bare),
        rss_mib: median(rss),
    }
}
