//! Compares the stored data, row by row, with what Google, Attendee and the receivers hold. Read-only.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::arena::Arena;
use crate::judge::Verdict;
use crate::support::World;
use crate::support::receiver::Receiver;
use crate::support::service::{ATTENDEE, CALENDAR, DRIVE, GMAIL, Service};
use crate::support::sim::field;

/// Differences of calendars, mail and files from Google's state.
pub fn differences(arena: &Arena) -> Vec<String> {
    let mut verdict = Verdict::default();
    [&CALENDAR, &GMAIL, &DRIVE].into_iter().for_each(|service| rows(&mut verdict, &arena.sync, service));
    verdict.problems
}

/// Compares everything.
pub fn everything(arena: &Arena) -> Verdict {
    let mut verdict = Verdict::default();
    for service in [&CALENDAR, &GMAIL, &DRIVE] {
        rows(&mut verdict, &arena.sync, service);
    }
    texts(&mut verdict, &arena.sync);
    rows(&mut verdict, &arena.meetings, &ATTENDEE);
    for (service, world) in [(&CALENDAR, &arena.sync), (&ATTENDEE, &arena.meetings)] {
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (service.check)(world)));
        if let Err(panic) = checked {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            verdict.find("wrong", 1, format!("{}: {}", service.name, text.chars().take(600).collect::<String>()));
        }
    }
    for world in arena.worlds() {
        leftovers(&mut verdict, world);
        runs(&mut verdict, world);
        quota(&mut verdict, world);
    }
    channels(&mut verdict, &arena.sync);
    for (nth, receiver) in arena.receivers.iter().enumerate() {
        deliveries(&mut verdict, &arena.sync, receiver, nth);
    }
    verdict
}

fn rows(verdict: &mut Verdict, world: &World, service: &Service) {
    let (truth, stored) = ((service.truth)(world), (service.stored)(world));
    let name = service.name;
    let lost: Vec<_> = truth.keys().filter(|key| !stored.contains_key(*key)).collect();
    verdict.find("lost", lost.len() as u64, format!("of {name}, such as {:?}", lost.first()));
    let excess: Vec<_> = stored.keys().filter(|key| !truth.contains_key(*key)).collect();
    verdict.find("wrong", excess.len() as u64, format!("of {name} are gone there and live here, such as {:?}", excess.first()));
    let stale: Vec<_> = truth.iter().filter(|(key, version)| stored.get(*key).is_some_and(|stored| stored != *version)).collect();
    verdict.find("wrong", stale.len() as u64, format!("of {name} are older here, such as {:?}", stale.first()));
    for (what, statement) in service.wrong {
        let figure = if ["doubled", "twice", " once"].iter().any(|word| what.contains(word)) { "doubled" } else { "wrong" };
        verdict.find(figure, count(world, statement), format!("{name}: {what}"));
    }
}

/// The texts of plain files, by checksum.
fn texts(verdict: &mut Verdict, world: &World) {
    let is_plain = |row: &Value| matches!(row["mimeType"].as_str(), Some("text/plain" | "text/csv"));
    let text = world.sim.text("drive/state");
    let files = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let there: BTreeMap<(String, String), String> =
        files.filter(is_plain).map(|row| ((field(&row, "user"), field(&row, "id")), field(&row, "md5"))).collect();
    let rows = world.query(
        "SELECT u.email, d.source_id, md5(coalesce(d.body, '')) FROM documents d JOIN users u ON u.id = d.user_id
         WHERE d.source = 'drive' AND d.status <> 'deleted'",
    );
    let other = |row: &&postgres::Row| there.get(&(row.get(0), row.get(1))).is_some_and(|md5| *md5 != row.get::<_, String>(2));
    let stale: Vec<String> = rows.iter().filter(other).map(|row| row.get(1)).collect();
    verdict.find(
        "wrong",
        stale.len() as u64,
        format!("documents have another text than their files, such as {:?}", stale.first()),
    );
}

fn leftovers(verdict: &mut Verdict, world: &World) {
    for (what, statement) in [
        ("leases", "SELECT count(*) FROM streams WHERE claimed_by IS NOT NULL"),
        ("locks of jobs", "SELECT count(*) FROM job_locks"),
        ("runs that read running", "SELECT count(*) FROM runs WHERE status = 'running'"),
        (
            "streams that fail",
            "SELECT count(*) FROM streams WHERE state IN ('degraded', 'revoked') OR (state = 'active' AND failures > 0)",
        ),
        ("accounts that are revoked", "SELECT count(*) FROM accounts WHERE state = 'revoked'"),
        ("items in quarantine", "SELECT count(*) FROM quarantined_items"),
        ("deliveries that are open", "SELECT count(*) FROM outbox_deliveries WHERE state <> 'delivered'"),
    ] {
        verdict.find("stuck", count(world, statement), what);
    }
    let regressions = count(world, "SELECT count(*) FROM chaos_regressions");
    verdict.find("cursor_regressions", regressions, "cursors that went back");
}

/// Each run of a service has exactly one result, which agrees with it, and one row of metrics and summary.
fn runs(verdict: &mut Verdict, world: &World) {
    for service in ["calendar", "drive", "gmail", "attendee"] {
        let renewals = match service {
            "calendar" => {
                "UNION ALL SELECT summary_data FROM calendar_watch_renewal_summaries UNION ALL SELECT summary_data FROM calendar_webhook_renewal_summaries"
            }
            _ => "",
        };
        let statement = format!(
            "WITH told AS (
               SELECT summary_data ->> 'execution_id' AS run, count(*) AS times
               FROM (SELECT summary_data FROM {service}_cron_summaries {renewals}) s GROUP BY 1
             ), measured AS (SELECT execution_id AS run, count(*) AS times FROM {service}_cron_metrics GROUP BY 1)
             SELECT count(*) FROM (SELECT id::text AS run, status FROM runs WHERE service = '{service}') r
             FULL JOIN (SELECT execution_id AS run, status FROM {service}_cron_results) c USING (run)
             LEFT JOIN told USING (run) LEFT JOIN measured USING (run)
             WHERE r.status IS DISTINCT FROM c.status OR told.times IS DISTINCT FROM 1 OR measured.times IS DISTINCT FROM 1"
        );
        verdict.find("wrong", count(world, &statement), format!("runs of {service} whose rows do not agree"));
    }
}

/// No call exceeded a limit of Google's, and each unit that Google counted is in the ledger.
fn quota(verdict: &mut Verdict, world: &World) {
    let calls = world.sim.ledger();
    for limit in ["user_minute", "project_minute", "day"] {
        let beyond = calls["beyond"][limit].as_u64().expect("a count");
        verdict.find("wrong", beyond, format!("calls beyond a limit ({limit})"));
    }
    // Projects only; their users have separate rows. Units returned after midnight are subtracted from the next day.
    let rows = world.query(
        "SELECT service, sum(units)::bigint FROM quota_usage WHERE span = 'day' AND subject !~ '/[0-9a-f-]{36}$'
         GROUP BY service HAVING count(DISTINCT window_start) = 1",
    );
    for row in rows {
        let (service, booked): (String, i64) = (row.get(0), row.get(1));
        let spent = calls["units"][&service].as_u64().unwrap_or(0);
        let untold = spent.saturating_sub(booked.unsigned_abs());
        verdict.find("wrong", untold, format!("units of {service} that Google counted and the ledger did not, of {spent}"));
    }
}

/// Every channel at Google is a row, every live row a channel, and no stream has two.
fn channels(verdict: &mut Verdict, world: &World) {
    let text = world.sim.text("push/channels");
    let there: BTreeSet<String> =
        text.lines().map(|line| field(&serde_json::from_str(line).expect("a JSON line"), "id")).collect();
    let rows = world.query("SELECT id::text FROM channels WHERE expires_at > now() OR state = 'creating'");
    let known: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    verdict.find("wrong", there.difference(&known).count() as u64, "channels at Google that the database does not know");
    // Those of mailboxes have no IDs there; others are not compared when they are about to end, because Google's clock differs.
    let rows = world.query(
        "SELECT id::text FROM channels WHERE state = 'live' AND service <> 'gmail' AND expires_at > now() + interval '1 day'",
    );
    let live: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    verdict.find("wrong", live.difference(&there).count() as u64, "channels that read live and are not there at Google");
    let doubled = "SELECT count(*) FROM (SELECT FROM channels WHERE state = 'live' GROUP BY stream_id HAVING count(*) > 1) d";
    verdict.find("doubled", count(world, doubled), "streams with two live channels");
}

/// Every event reached each target, in order per subject.
fn deliveries(verdict: &mut Verdict, world: &World, receiver: &Receiver, nth: usize) {
    let mut came: HashMap<String, usize> = HashMap::new();
    for (position, request) in receiver.requests().iter().enumerate() {
        came.entry(request.key().to_owned()).or_insert(position);
    }
    let events = world.query("SELECT id::text, coalesce(subject::text, id::text) FROM outbox_events ORDER BY seq");
    let mut last: HashMap<String, usize> = HashMap::new();
    let (mut lost, mut disordered) = (0, 0);
    for event in &events {
        let (id, subject): (String, String) = (event.get(0), event.get(1));
        let Some(position) = came.get(&id) else {
            lost += 1;
            continue;
        };
        let before = last.insert(subject, *position);
        disordered += u64::from(before.is_some_and(|before| before > *position));
    }
    verdict.find("lost", lost, format!("events of {} that never reached target {nth}", events.len()));
    verdict.find("wrong", disordered, format!("events that first reached target {nth} after a later one of their subject"));
}

fn count(world: &World, statement: &str) -> u64 {
    u64::try_from(world.count(statement)).unwrap_or(0)
}
