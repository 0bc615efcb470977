//! The report: one self-contained page about the runs, readable on a phone.

use serde_json::json;

use crate::support::World;
use crate::support::browser::Browser;

/// Writes the page of a world; returns its text and its address.
fn report(world: &World, arguments: &[&str]) -> (String, String) {
    let path = world.folder.path().join("report.html");
    let argument = path.display().to_string();
    world.syncctl(&[&["report", "--html", &argument], arguments].concat()).expect(0);
    (std::fs::read_to_string(&path).expect("a page"), format!("file://{argument}"))
}

const SECTIONS: [&str; 10] =
    ["runs", "durations", "errors", "freshness", "volume", "quota", "jobs", "accounts", "channels", "outbox"];

#[test]
fn the_first_page_shows_the_first_hour() {
    let world = World::with_users(2, 5);
    world.sync_all().expect(0);
    let steps = |arguments: &[&str]| {
        let (page, _) = report(&world, arguments);
        let head = page.split("<h2").next().unwrap_or_default();
        let unit = head.split("in steps of").nth(1).unwrap_or_else(|| panic!("{head}"));
        unit.split('.').next().unwrap_or_default().trim().to_owned()
    };
    assert_eq!(steps(&[]), steps(&["--since", "1h"]));
    assert_ne!(steps(&[]), steps(&["--since", "7days"]));
}

/// A world with runs of every kind, hours and days old, including failures.
fn busy() -> World {
    let mut world = World::with_users(3, 5);
    world.sync_all().expect(0);
    for service in ["drive", "gmail"] {
        world.syncctl(&[service, "cron", "--force"]).expect(0);
    }
    for hours in [1, 30, 100] {
        world.execute(&format!(
            "UPDATE calendar_cron_summaries SET timestamp = timestamp - interval '{hours} hours';
             UPDATE runs SET started_at = started_at - interval '{hours} hours', ended_at = ended_at - interval '{hours} hours'"
        ));
        world.sim.churn(6, hours);
        world.sync_all().expect(0);
    }
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "server_500", "method": "events.list", "user": user, "probability": 1.0 }));
    world.sync_all().expect(1);
    world.sim.clear_faults();
    world.execute("INSERT INTO calendar_cron_summaries (summary_data) VALUES ('[1]'), ('{\"made\": \"by hand\"}'), (NULL)");
    world.emit("drive.file.modified", &[uuid::Uuid::new_v4()]);
    world
}

#[test]
fn the_page_has_every_section_and_loads_nothing() {
    let world = busy();
    let (page, _) = report(&world, &[]);
    for section in SECTIONS {
        assert!(page.contains(&format!("<h2 id=\"{section}\">")), "no {section}");
    }
    let lower = page.to_lowercase();
    for outside in ["http://", "https://", "<script", "javascript:", "@import", "url(", " src="] {
        assert!(!lower.contains(outside), "{outside} in {page}");
    }
    assert!(!page.contains('@') || page.matches('@').count() == page.matches("@media").count(), "an address in {page}");
    assert!(page.contains("calendar cron") && page.contains("transient") && page.contains("nothing if it passes"), "{page}");
    // Five of calendar, one each of drive and gmail; rows written by hand are not runs.
    assert!(page.contains("7 runs"), "{page}");
    assert!(page.contains("All times are UTC"));
    let title: String = world.query("SELECT summary FROM calendar_events WHERE summary <> '' LIMIT 1")[0].get(0);
    assert!(!page.contains(&title), "a title of a user's event in {page}");
    // The last day excludes earlier days.
    assert!(report(&world, &["--since", "24h"]).0.contains("4 runs"));
}

#[test]
fn what_a_provider_said_stays_text() {
    let world = World::with_users(1, 1);
    let summary = json!({ "execution_id": "1", "job": "gmail cron", "status": "failed", "elapsed_ms": "soon",
        "errors": { "permanent": { "count": 1, "example": "<script>alert(\"&\")</script>" } } });
    world.execute(&format!("INSERT INTO gmail_cron_summaries (summary_data) VALUES ('{summary}')"));
    let (page, _) = report(&world, &[]);
    assert!(page.contains("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;") && !page.contains("<script"), "{page}");
}

#[test]
fn a_database_without_runs_gives_a_page_without_figures() {
    let world = World::empty();
    let (page, _) = report(&world, &[]);
    for said in [
        "No run ended in this window",
        "No stream failed",
        "No job has run yet",
        "No account fails",
        "There are no push channels",
        "There are no streams",
        "There was nothing to deliver",
    ] {
        assert!(page.contains(said), "no {said:?} in {page}");
    }
    let nowhere = world.syncctl(&["report", "--html", "/nowhere/at/all/report.html"]).expect(1);
    assert!(nowhere.stderr.contains("/nowhere/at/all"), "{nowhere:?}");
    let short = world.syncctl(&["report", "--html", "x.html", "--since", "1s"]).expect(2);
    assert!(short.stderr.contains("1h or more"), "{short:?}");
}

#[test]
fn a_browser_shows_it_without_complaint_and_a_phone_without_scrolling_sideways() {
    let world = busy();
    let user = "00000000-0000-4000-8000-00000000000a";
    world.execute(&format!(
        "UPDATE streams SET failures = 1, failed_class = 'scope_missing', failed_at = now() WHERE service = 'gmail';
         INSERT INTO quota_usage (service, subject, span, window_start, units)
         SELECT 'drive', project, 'day', date_trunc('day', now() AT TIME ZONE 'America/Los_Angeles') AT TIME ZONE 'America/Los_Angeles',
           123456789 FROM accounts LIMIT 1 ON CONFLICT DO NOTHING;
         INSERT INTO channels (id, stream_id, user_id, service, state, address, token_hash, expires_at)
         SELECT '{user}', id, user_id, service, 'live', 'x', '', now() + interval '1 day' FROM streams WHERE service = 'calendar' LIMIT 1"
    ));
    let (_, address) = report(&world, &["--since", "14days"]);
    let browser = Browser::start();
    for width in [360, 1280] {
        browser.narrow(width);
        browser.goto(&address);
        let script = "return [window.innerWidth, document.documentElement.scrollWidth, document.querySelectorAll('h2').length,
            document.querySelectorAll('svg').length, document.querySelectorAll('svg text').length]";
        let seen = browser.script(script);
        assert_eq!((&seen[0], &seen[1]), (&json!(width), &json!(width)), "it is wider than the screen");
        assert_eq!(seen[2], SECTIONS.len());
        assert!(seen[3].as_u64().is_some_and(|charts| charts >= 8), "{seen}");
        // Axis labels never overlap.
        let overlaps = browser.script(
            "return [...document.querySelectorAll('svg')].flatMap(svg => {
               const boxes = [...svg.querySelectorAll('text.x')].map(text => text.getBoundingClientRect());
               return boxes.filter((box, at) => at > 0 && box.left < boxes[at - 1].right + 2).map(() => svg.getAttribute('aria-label'));
             })",
        );
        assert_eq!(overlaps, json!([]), "at {width}");
    }
    assert_eq!(browser.text("#errors"), "Errors");
    assert_eq!(browser.console(), Vec::<serde_json::Value>::new());
}
