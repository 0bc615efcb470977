//! From a change at Google to its row, with `gmail cron` each minute: during the first sync of a large mailbox, and without one.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::cron::{Cron, MINUTE};
use crate::ground::Ground;
use crate::results::Results;
use crate::run::{Look, Seen};
use crate::scale::{minutes, scaled};
use crate::shared::changes::change;
use crate::shared::delays::Delays;
use crate::support::service::GMAIL;

const BIG: &str = "big@example.com";
const BIG_MESSAGES: u32 = 100_000;
/// Mean number of changes per minute and user.
const CHANGES: f64 = 3.0;
/// How long to wait for rows after the last change.
const GRACE: Duration = Duration::from_secs(90);

/// The measurements of some minutes.
struct Minutes {
    delays: Delays,
    /// Changes without a row at the end: they count as if it had arrived then.
    open: usize,
    /// Those without a row after everything was polled once more.
    lost: usize,
    /// Stored messages of the large mailbox.
    of_big: i64,
    killed: u32,
    seen: Seen,
}

/// One host, with and without the large mailbox.
pub fn beside_big() -> Results {
    let mut results = Results::default();
    results.add_run("delay_alone", &alone().seen);
    let beside = measure(1, true);
    let names = ["delay_beside_big_first_sync", "delay_beside_big_first_sync_p95"];
    compare(&mut results, names, &beside);
    results.add_run("delay_beside_big", &beside.seen);
    results
}

/// Two hosts, one of which loses its run to SIGKILL.
pub fn two_hosts() -> Results {
    let mut results = Results::default();
    results.add_run("delay_alone", &alone().seen);
    let hosts = measure(2, true);
    compare(&mut results, ["delay_two_hosts_one_killed", "delay_two_hosts_one_killed_p95"], &hosts);
    results.add(
        "lost_after_kill",
        hosts.lost as f64,
        "0",
        format!("of {} changes; {} runs killed", hosts.delays.count(), hosts.killed),
    );
    if hosts.lost > 0 || hosts.killed != 1 {
        results.wrong.push(format!("{} changes lost, {} runs killed", hosts.lost, hosts.killed));
    }
    results.add_run("delay_two_hosts", &hosts.seen);
    results
}

/// Without the large mailbox: measured once and cached.
fn alone() -> &'static Minutes {
    static ALONE: OnceLock<Minutes> = OnceLock::new();
    ALONE.get_or_init(|| measure(1, false))
}

fn compare(results: &mut Results, [mean, p95]: [&'static str; 2], with: &Minutes) {
    let without = alone();
    if with.open > 0 {
        results.wrong.push(format!("{mean}: {} changes had no row at the end, so it is more than measured", with.open));
    }
    let of = |minutes: &Minutes| [minutes.delays.mean(), minutes.delays.at(0.95)];
    for ((name, with_big), alone) in [mean, p95].into_iter().zip(of(with)).zip(of(without)) {
        let open = if with.open > 0 { format!(", {} of them WITHOUT A ROW at the end", with.open) } else { String::new() };
        let how = format!(
            "{with_big:.1} s over {alone:.1} s; {} changes{open}; {} messages of the large mailbox meanwhile",
            with.delays.count(),
            with.of_big
        );
        results.add(name, with_big / alone, "<= 1.1", how);
    }
}

/// Users in sync; the large mailbox, if there is one, is new.
fn ground(big: bool) -> Ground {
    let users = scaled(200);
    let mut ground = Ground::of(&GMAIL);
    ground.set("SYNCCTL_GMAIL_WINDOW", "all");
    // Due at each minute's run, whatever the pace of these changes.
    ground.set("SYNCCTL_GMAIL_MIN_INTERVAL", "30s");
    ground.set("SYNCCTL_GMAIL_MAX_INTERVAL", "50s");
    ground.sim.generate(users, 0);
    ground.sim.admin("mail/generate", json!({ "messages": 10, "seed": 7 }));
    ground.import();
    ground.bring_in_step();
    if big {
        let account = ground.sim.admin("users", json!({ "email": BIG }));
        // Separately: importing all accounts would invalidate all tokens.
        ground.syncctl_with_input(&["accounts", "import", "-"], &account.to_string()).expect(0);
        let order = json!({ "messages": BIG_MESSAGES, "seed": 7, "days": 1_000, "users": [BIG] });
        ground.sim.admin("mail/generate", order);
    }
    ground.slow();
    ground.limit();
    ground.execute("UPDATE streams SET due_at = now() + random() * interval '50 s' WHERE cursor IS NOT NULL");
    ground
}

fn measure(hosts: usize, big: bool) -> Minutes {
    let minutes = minutes();
    let beside = if big { format!("beside a first sync of {BIG_MESSAGES} messages") } else { "alone".into() };
    eprintln!("delay: {} users for {minutes} minutes {beside}, {hosts} host(s) …", scaled(200));
    let ground = ground(big);
    let look = Look::at(&ground);
    let mut cron = Cron::on(&ground, hosts);
    let made = make_changes(&ground, &mut cron, MINUTE * minutes);
    let killed = cron.killed;
    let seen = look.end(cron.end());
    let end = epoch(SystemTime::now());
    let came = came(&ground);
    let delays = made.iter().map(|(id, at)| came.get(id).copied().unwrap_or(end) - at).collect();
    let open = made.keys().filter(|id| !came.contains_key(*id)).count();
    let lost = if hosts > 1 { lost(&ground, &made) } else { 0 };
    let of_big =
        ground.count(&format!("SELECT count(*) FROM gmail_messages m JOIN users u ON u.id = m.user_id WHERE u.email = '{BIG}'"));
    Minutes { delays: Delays::of(delays), open, lost, of_big, killed, seen }
}

/// Lets mail arrive at random while time passes; returns when each message was sent.
fn make_changes(ground: &Ground, cron: &mut Cron, length: Duration) -> HashMap<String, f64> {
    let users: Vec<String> = ground.sim.users().into_iter().filter(|user| user != BIG).collect();
    let gap = MINUTE.div_f64(CHANGES * users.len() as f64);
    let (mut made, mut chance, began) = (HashMap::new(), StdRng::seed_from_u64(1), Instant::now());
    let (mut next, mut looked, mut doomed) = (began, began, false);
    loop {
        let now = Instant::now();
        cron.look();
        if !doomed && now > began + length / 2 {
            cron.doom_last_of_many();
            doomed = true;
        }
        let overtime = now.saturating_duration_since(began + length);
        if overtime.is_zero() && now >= next {
            let user = users.choose(&mut chance).expect("a user");
            let at = epoch(SystemTime::now());
            made.insert(change(ground, user, made.len() as u32), at);
            // Exponential: memoryless.
            next += gap.mul_f64(-(1.0 - chance.random::<f64>()).ln());
        }
        if !overtime.is_zero() && now > looked + Duration::from_secs(1) {
            looked = now;
            if overtime > GRACE || came(ground).len() >= made.len() {
                return made;
            }
        }
        std::thread::sleep(
            next.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), Duration::from_millis(20)),
        );
    }
}

/// When the row of each change arrived, by user and id.
fn came(ground: &Ground) -> HashMap<String, f64> {
    let rows = ground.query(
        "SELECT u.email || ' ' || m.message_id, extract(epoch FROM m.came_at)::float8 FROM gmail_messages m JOIN users u ON u.id = m.user_id
         WHERE m.subject = 'A change'",
    );
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Polls until every change has its row, or several runs have passed.
fn lost(ground: &Ground, made: &HashMap<String, f64>) -> usize {
    ground.wait_until_leases_lapse();
    let missing = || {
        let came = came(ground);
        made.keys().filter(|id| !came.contains_key(*id)).count()
    };
    for _ in 0..4 {
        if missing() == 0 {
            break;
        }
        ground.execute("UPDATE streams SET due_at = now() WHERE cursor IS NOT NULL");
        // The rows count, not its exit code.
        drop(ground.command(&["gmail", "cron", "--max-duration", "30s"]).output().expect("the binary starts"));
    }
    missing()
}

fn epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}
