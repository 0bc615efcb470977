//! Moving the windows of `calendar_instances` on.

use crate::fill::Size;
use crate::shared::figures::timed;
use crate::support::World;

/// One run of `calendar roll-instances`.
pub struct Step {
    pub name: &'static str,
    pub seconds: f64,
    pub calendars: u64,
}

/// Computes all instances, and then moves on by a day.
pub fn roll(world: &World, size: &Size) -> Vec<Step> {
    let run = |name, settings: &[&str]| {
        let arguments = [&["calendar", "roll-instances", "--json"], settings].concat();
        let (seconds, output) = timed(|| world.syncctl(&arguments));
        let report = output.expect(0).json();
        eprintln!("  {name}: {seconds:.0} s");
        Step { name, seconds, calendars: report["calendars"].as_u64().unwrap_or(0) }
    };
    let first = run("all instances for the first time", &[]);
    assert!(first.calendars >= size.users, "calendars without instances");
    // All events are known.
    world.execute(
        "UPDATE calendar_windows SET listed = tstzrange(lower(covered) - interval '9 days', upper(covered) + interval '9 days')",
    );
    world.execute("VACUUM ANALYZE calendar_instances; VACUUM ANALYZE calendar_events");
    // What tomorrow's window is today.
    let tomorrow = ["--set", "calendar.instances_past=89d", "--set", "calendar.instances_future=401d"];
    let day = run("a day", &tomorrow);
    assert!(day.calendars > 0, "no calendar was due");
    vec![first, day]
}
