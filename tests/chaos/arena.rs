//! The environment of a chaos run: a cluster, a pooler in front of it, and two worlds: one of calendars, mail and files, and one that
//! contains only calendars with meetings.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::story::Story;
use crate::support::pgbouncer::{self, PgBouncer};
use crate::support::postgres::Postgres;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{ATTENDEE, CALENDAR, DRIVE, GMAIL};
use crate::support::{World, attendee};
use crate::{clocks, deaths};

/// Short enough that a suspended process outlives it.
pub const LEASE: Duration = Duration::from_secs(2);
const USERS: u32 = 6;
const TOPIC: &str = "projects/acme/topics/mail";
/// Clock offset of each host, in seconds.
const HOSTS_AHEAD: [i64; 3] = [0, 90, -60];
/// Google's limits per minute for a project and for one of its users, as in `google::quota`. A mailbox has no separate limit here: with
/// this many runs per minute, most would just wait.
const QUOTAS: [(&str, u64, Option<u64>); 3] =
    [("calendar", 10_000, Some(600)), ("drive", 1_000_000, Some(325_000)), ("gmail", 1_200_000, None)];

pub struct Arena {
    pub seed: u64,
    pub server: &'static Postgres,
    /// Calendars, mail and files.
    pub sync: World,
    /// Meetings and their bots.
    pub meetings: World,
    pub pooler: Mutex<Option<PgBouncer>>,
    /// One per outbox target.
    pub receivers: [Receiver; 2],
    /// Listening address for notifications.
    pub listen: String,
    pub story: Story,
    /// Duration of each blow; `None`: random.
    pub blow: Option<Duration>,
    /// Library that shifts a host's clock; `None`: all clocks are correct.
    other_time: Option<PathBuf>,
    /// Runs suspended forever, although PostgreSQL still sees their connections.
    dead: Mutex<Vec<Pid>>,
    stopped: AtomicBool,
}

impl Arena {
    /// For a chaos run: short leases, small pages, unreliable receivers, clocks that differ.
    pub fn new(seed: u64) -> Self {
        let settings = [
            ("SYNCCTL_ENGINE_LEASE", format!("{}s", LEASE.as_secs())),
            ("SYNCCTL_ENGINE_RESYNCS_PER_DAY", "1000000".into()),
            ("SYNCCTL_CALENDAR_PAGE_SIZE", "7".into()),
            ("SYNCCTL_GMAIL_PAGE_SIZE", "7".into()),
            ("SYNCCTL_DRIVE_PAGE_SIZE", "7".into()),
        ];
        let mut arena = Self::on(seed, server(), &settings, None);
        // One in ten is refused, and one in fifty gets no answer; the other receiver refuses more.
        arena.receivers[0].answer(|request| match request.number {
            number if number % 50 == 49 => Reply::Reset,
            number if number % 10 == 9 => Reply::Status(503),
            _ => Reply::Status(200),
        });
        arena.receivers[1].answer(|request| Reply::Status(if request.number % 4 == 3 { 500 } else { 204 }));
        arena.other_time = clocks::library(arena.sync.folder.path());
        arena
    }

    /// For one blow of this length: a dedicated server, no push, and defaults otherwise, except that streams are due each minute.
    pub fn calm(seed: u64, blow: Duration) -> Self {
        let services = ["CALENDAR", "GMAIL", "DRIVE"];
        let intervals = services.iter().flat_map(|service| {
            [("MIN", "10s"), ("MAX", "20s")].map(|(end, value)| (format!("SYNCCTL_{service}_{end}_INTERVAL"), value))
        });
        let settings: Vec<(&'static str, String)> =
            intervals.map(|(name, value)| (&*Box::leak(name.into_boxed_str()), value.to_owned())).collect();
        Self::on(seed, Box::leak(Box::new(started())), &settings, Some(blow))
    }

    fn on(seed: u64, server: &'static Postgres, settings: &[(&'static str, String)], blow: Option<Duration>) -> Self {
        let receivers = [Receiver::start(), Receiver::start()];
        let listen = format!("127.0.0.1:{}", pgbouncer::free_port());
        let arena = Self {
            seed,
            server,
            sync: sync(server, settings, &receivers, &listen, blow.is_none()),
            listen,
            meetings: meetings(server, settings),
            pooler: Mutex::new(Some(pgbouncer::start(server))),
            receivers,
            story: Story::new(),
            blow,
            other_time: None,
            dead: Mutex::default(),
            stopped: AtomicBool::new(false),
        };
        for world in arena.worlds() {
            world.execute(include_str!("triggers.sql"));
            // From here on the clock can be set, even for connections that a pooler keeps.
            world.move_database_clock(0.0);
            // Adding a key calls the API to test it; do not attribute that call to a run.
            world.sim.reset_ledger();
        }
        arena
    }

    pub fn worlds(&self) -> [&World; 2] {
        [&self.sync, &self.meetings]
    }

    pub fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn end(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        for pid in self.dead.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            deaths::signal(pid, Signal::KILL);
        }
    }

    /// Keeps this suspended process suspended until the end.
    pub fn keep_suspended(&self, pid: Pid) {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    /// Waits for this long, or until the chaos run is over.
    pub fn pause(&self, length: Duration) {
        let until = std::time::Instant::now() + length;
        while !self.is_over() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10).min(length));
        }
    }

    /// The binary as run by one of the hosts: every third host connects to PostgreSQL through the pooler, and two of three have the wrong
    /// time.
    pub fn command(&self, world: &World, host: usize, arguments: &[&str]) -> Command {
        let mut command = world.command(arguments);
        let pooler = self.pooler.lock().unwrap_or_else(PoisonError::into_inner);
        if let (2, Some(pooler)) = (host % 3, pooler.as_ref()) {
            command.env("DATABASE_URL", pooler.url(world.database.name()));
        }
        if let Some(library) = &self.other_time {
            command.env("LD_PRELOAD", library).env(clocks::AHEAD, HOSTS_AHEAD[host % 3].to_string());
        }
        command
    }
}

/// One cluster for all seeds. Committed data survives the death of its processes.
fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(started)
}

fn started() -> Postgres {
    let server = Postgres::new(None, &["synchronous_commit = on"]);
    server.cluster.ensure_running().unwrap_or_else(|error| panic!("{error:#}"));
    server
}

fn world(server: &'static Postgres, settings: &[(&'static str, String)]) -> World {
    let database = server.database();
    let url = database.url();
    let mut world = World::on(database, url);
    // The product's defaults, other than in other tests: the claims of a killed run last twice the timeout of a request.
    for (name, value) in [
        ("SYNCCTL_OUTBOX_TIMEOUT", "10s"),
        ("SYNCCTL_GOOGLE_TIMEOUT", "60s"),
        ("SYNCCTL_GOOGLE_CONNECT_TIMEOUT", "10s"),
        ("SYNCCTL_DB_CONNECT_TIMEOUT", "10s"),
    ] {
        world.set(name, value);
    }
    settings.iter().for_each(|(name, value)| world.set(name, value.as_str()));
    world
}

fn sync(
    server: &'static Postgres,
    settings: &[(&'static str, String)],
    receivers: &[Receiver; 2],
    listen: &str,
    is_storm: bool,
) -> World {
    let mut world = world(server, settings);
    for service in [&CALENDAR, &GMAIL, &DRIVE] {
        service.settings.iter().for_each(|(name, value)| world.set(name, *value));
    }
    if is_storm {
        world.set("SYNCCTL_PUSH_ADDRESS", format!("http://{listen}"));
        world.set("SYNCCTL_PUSH_GMAIL_TOPIC", TOPIC);
        for name in ["SYNCCTL_QUOTA_DRIVE_PROJECT_PER_MINUTE", "SYNCCTL_QUOTA_GMAIL_PROJECT_PER_MINUTE"] {
            // Set by the profile.
            world.set(name, "0");
        }
        for (service, project, user) in QUOTAS {
            let limits = json!({ "service": service, "project_per_minute": project, "user_per_minute": user, "sliding": true });
            world.sim.admin("quota", limits);
        }
    }
    let settings: PathBuf = world.folder.path().join("settings.toml");
    let mut text = "[outbox]\nallow_private = true\nbackoff_base = \"0s\"\n".to_owned();
    for (nth, receiver) in receivers.iter().enumerate() {
        text += &format!("[[outbox.targets]]\nname = \"chaos-{nth}\"\nurl = \"{}\"\n", receiver.url());
    }
    std::fs::write(&settings, text).expect("writing settings");
    world.set("SYNCCTL_CONFIG", settings.display().to_string());
    world.sim.generate(USERS, 15);
    world.sim.admin("mail/generate", json!({ "messages": 20, "seed": 7 }));
    world.sim.admin(
        "drive/generate",
        json!({ "files": 15, "shared_drives": 1, "files_per_drive": 15, "members_per_drive": 2, "seed": 7 }),
    );
    world.import();
    world
}

fn meetings(server: &'static Postgres, settings: &[(&'static str, String)]) -> World {
    let mut world = world(server, settings);
    world.service = &ATTENDEE;
    ATTENDEE.settings.iter().for_each(|(name, value)| world.set(name, *value));
    // Attendee's clock advances faster than ours: after some minutes every meeting would be more than a day away and have no bot yet.
    world.set("SYNCCTL_ATTENDEE_WINDOW", "7d");
    attendee::populate(&world, USERS, 20);
    world.import();
    attendee::prepare(&world);
    world
}
