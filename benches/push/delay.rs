//! From a change at Google to its row in PostgreSQL, with push. A trigger reports each row when it is committed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::shared::changes::change;
use crate::shared::delays::Delays;
use crate::support::World;
use crate::support::service::{CALENDAR, Service};
use crate::watched::{Watched, wait, watched};
use postgres::fallible_iterator::FallibleIterator as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const USERS: u32 = 50;
/// Changes per measurement.
pub const CHANGES: u32 = 200;
/// Mean time between two changes, which are random.
const MEAN_GAP: Duration = Duration::from_millis(200);
const MINUTE: Duration = Duration::from_secs(60);

/// Random changes; `webhook serve --drain` polls announced streams.
pub fn at_once(service: &'static Service) -> Delays {
    eprintln!("{}: {CHANGES} changes, announced and polled immediately …", service.name);
    let Watched { server, world } = watched(service, USERS, &[], &["--drain"]);
    let (rows, mut chance) = (Rows::listen(&world), StdRng::seed_from_u64(1));
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let mut made = HashMap::new();
    for nth in 0..CHANGES {
        // Exponential: memoryless.
        std::thread::sleep(MEAN_GAP.mul_f64(-(1.0 - chance.random::<f64>()).ln()));
        let user = &users[chance.random_range(0..users.len())];
        let now = Instant::now();
        made.insert(change(&world, user, nth), now);
    }
    wait(&world, "the last rows", || rows.have(made.keys()));
    assert!(server.stop().success());
    rows.since(&made)
}

/// The same, with `webhook drain` once a minute, as from cron.
pub fn each_minute() -> Delays {
    eprintln!("calendar: {CHANGES} changes in three minutes, announced and polled by a drain each minute …");
    let Watched { server, world } = watched(&CALENDAR, USERS, &[], &[]);
    let (rows, mut chance) = (Rows::listen(&world), StdRng::seed_from_u64(2));
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let mut times: Vec<Duration> = (0..CHANGES).map(|_| MINUTE.mul_f64(3.0 * chance.random::<f64>())).collect();
    times.sort();
    let (began, mut times, mut made) = (Instant::now(), times.into_iter().zip(0..).peekable(), HashMap::new());
    for minute in 1..=4 {
        while let Some((time, nth)) = times.next_if(|(time, _)| *time < MINUTE * minute) {
            std::thread::sleep((began + time).saturating_duration_since(Instant::now()));
            let user = &users[chance.random_range(0..users.len())];
            let now = Instant::now();
            made.insert(change(&world, user, nth), now);
        }
        std::thread::sleep((began + MINUTE * minute).saturating_duration_since(Instant::now()));
        world.syncctl(&["webhook", "drain", "--max-duration", "50s"]).expect(0);
        if times.peek().is_none() && rows.have(made.keys()) {
            break;
        }
    }
    wait(&world, "the last rows", || rows.have(made.keys()));
    assert!(server.stop().success());
    rows.since(&made)
}

/// When each row was committed, by user and id.
struct Rows {
    seen: Arc<Mutex<HashMap<String, Instant>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rows {
    fn listen(world: &World) -> Self {
        let (table, column) = match world.service.name {
            "calendar" => ("calendar_events", "event_id"),
            "drive" => ("drive_file_access", "file_id"),
            "gmail" => ("gmail_messages", "message_id"),
            other => panic!("no rows of {other}"),
        };
        world.execute(&format!(
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN PERFORM pg_notify('rows', (SELECT email FROM users WHERE id = NEW.user_id) || ' ' || NEW.{column}); RETURN NULL; END $$;
             CREATE TRIGGER tell AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION tell()"
        ));
        let mut client = world.database.connect();
        client.batch_execute("LISTEN rows").expect("listening");
        let (seen, stop) = (Arc::<Mutex<HashMap<String, Instant>>>::default(), Arc::<AtomicBool>::default());
        let (seen_there, stop_there) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stop_there.load(Ordering::Relaxed) {
                let mut notifications = client.notifications();
                let mut notifications = notifications.timeout_iter(Duration::from_millis(100));
                while let Some(row) = notifications.next().expect("a notification") {
                    seen_there.lock().expect("a lock").entry(row.payload().to_owned()).or_insert_with(Instant::now);
                }
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    fn have<'a>(&self, mut ids: impl Iterator<Item = &'a String>) -> bool {
        let seen = self.seen.lock().expect("a lock");
        ids.all(|id| seen.contains_key(id))
    }

    fn since(&self, made: &HashMap<String, Instant>) -> Delays {
        let seen = self.seen.lock().expect("a lock");
        assert_eq!(made.len(), CHANGES as usize);
        Delays::of(made.iter().map(|(id, made)| (seen[id] - *made).as_secs_f64()).collect())
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
