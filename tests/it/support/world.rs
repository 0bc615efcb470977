//! One test's world: a fresh database, a simulator, and the binary with the settings that connect them.

mod accounts;
mod changed;
mod checks;
mod events;
mod items;
mod meetings;
mod projects;
mod result;
pub mod runs;
mod server;
mod streams;
mod terminal;

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;

pub use result::RunResult;
use result::run_result;

use super::postgres::{self, Database};
use super::service::{CALENDAR, Service};
use super::sim::Truth;
use super::waiting::until;
use super::{Sim, pgbouncer, tls};

/// How the binary reaches PostgreSQL, and how fast Google answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through the server's socket.
    Direct,
    /// Through PgBouncer in transaction mode.
    Pooler,
    /// Over TLS that checks authority and name (`verify-full`), with a password, as a role that only owns its database.
    Tls,
    /// Directly, with a slow Google.
    Slow,
}

/// The slow Google's latency per answer, and per call in a batch, in milliseconds: the real one takes several times as long.
const SLOW: (f64, f64) = (30.0, 0.5);

impl Way {
    /// `SYNCCTL_TEST_WAY` selects the way for every test: `make test` runs those of the main job in each.
    fn of_environment() -> Self {
        match std::env::var("SYNCCTL_TEST_WAY").as_deref() {
            Err(_) => Self::Direct,
            Ok("pooler") => Self::Pooler,
            Ok("tls") => Self::Tls,
            Ok("slow") => Self::Slow,
            Ok(other) => panic!("SYNCCTL_TEST_WAY is pooler, tls or slow, not {other:?}"),
        }
    }
}

pub struct World {
    pub sim: Sim,
    pub database: Database,
    pub folder: tempfile::TempDir,
    /// How the binary reaches the database; the plain URL unless the way differs.
    pub url: String,
    pub settings: Vec<(&'static str, String)>,
    /// The service under test.
    pub service: &'static Service,
}

/// The database whose copies tests begin with: migrations and comments would take each of them longer than most tests.
fn template() -> &'static Database {
    static TEMPLATE: OnceLock<Database> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let database = postgres::shared().database();
        let url = database.url();
        let world = World::unmigrated(database, url);
        world.search_syncctl();
        world.syncctl(&["db", "migrate"]).expect(0);
        world.refuse_silent_changes();
        let database = world.database;
        let mut server = postgres::shared().connect("postgres");
        server.batch_execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name())).expect("a closed database");
        let connected = format!("SELECT FROM pg_stat_activity WHERE datname = '{}'", database.name());
        until("the template is free", || server.query(&connected, &[]).expect("connections").is_empty());
        database
    })
}

impl World {
    /// An empty database and an empty Google.
    pub fn empty() -> Self {
        Self::by(Way::of_environment())
    }

    /// An empty database that is reached this way, and an empty Google.
    pub fn by(way: Way) -> Self {
        let world = if way == Way::Tls {
            let server = tls::server();
            let url = server.url_verify_full();
            Self::on(server.database, url)
        } else {
            let database = postgres::shared().copy_of(template().name());
            let url = if way == Way::Pooler { pgbouncer::shared().url(database.name()) } else { database.url() };
            let world = Self::unmigrated(database, url);
            if way != Way::Pooler {
                world.search_syncctl();
            }
            world.syncctl(&["accounts", "rekey", "--new-key"]).expect(0);
            world
        };
        if way == Way::Slow {
            world.sim.admin("latency", json!({ "median_ms": SLOW.0, "sigma": 0.4, "per_call_ms": SLOW.1 }));
        }
        world
    }

    /// This database, reached by this URL, and an empty Google.
    pub fn on(database: Database, url: String) -> Self {
        let world = Self::unmigrated(database, url);
        world.syncctl(&["accounts", "rekey", "--new-key", "--set", "db.auto_migrate=on"]).expect(0);
        world.refuse_silent_changes();
        world
    }

    /// This database without tables, and an empty Google.
    pub fn unmigrated(database: Database, url: String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { sim: Sim::start(), database, folder, url, settings: Vec::new(), service: &CALENDAR }
    }

    /// As docs/schedules.md recommends. Without it, as through the pooler, transactions set the search path.
    fn search_syncctl(&self) {
        self.execute(&format!("ALTER DATABASE {} SET search_path = syncctl", self.database.name()));
    }

    /// This many users with this many events each, imported and not synced yet.
    pub fn with_users(users: u32, events: u32) -> Self {
        let world = Self::empty();
        world.populate(users, events);
        world
    }

    /// This many users with this many items of a service each, imported and not synced yet.
    pub fn of(service: &'static Service, users: u32, items: u32) -> Self {
        let mut world = Self::empty();
        world.service = service;
        for (name, value) in service.settings {
            world.set(name, *value);
        }
        world.populate(users, items);
        world
    }

    /// Adds and imports this many users with this many items each.
    pub fn populate(&self, users: u32, items: u32) {
        (self.service.populate)(self, users, items);
        self.import();
        (self.service.prepare)(self);
    }

    /// This many changes at the provider.
    pub fn churn(&self, changes: u32, seed: u64) {
        (self.service.churn)(self, changes, seed);
    }

    /// Expires every cursor.
    pub fn expire(&self) {
        (self.service.expire)(self);
    }

    pub fn import(&self) {
        let accounts = self.sim.text("accounts");
        self.syncctl_with_input(&["accounts", "import", "-"], &accounts).expect(0);
    }

    /// The address of the first user at Google.
    pub fn first_user(&self) -> String {
        self.sim.users().into_iter().next().expect("a user")
    }

    /// Account lines of all users: the first half with a service account, the others with their own grants.
    pub fn accounts_of_both_kinds(&self) -> String {
        let (delegated, own) = (self.sim.text("accounts?kind=service_account"), self.sim.text("accounts"));
        let half = own.lines().count() / 2;
        let lines: Vec<&str> = delegated.lines().take(half).chain(own.lines().skip(half)).collect();
        lines.join("\n")
    }

    /// Sets a setting for all later runs, as its environment variable.
    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.settings.push((variable, value.into()));
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncctl"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("RUST_BACKTRACE", "1")
            .env("DATABASE_URL", &self.url)
            .env("SYNCCTL_GOOGLE_ROOT", &self.sim.url)
            .env("SYNCCTL_ATTENDEE_ROOT", &self.sim.url)
            .env("SYNCCTL_SEAL_KEY_FILE", self.folder.path().join("seal.keys"))
            .env("SYNCCTL_ENGINE_BACKOFF_BASE", "1ms")
            .env("SYNCCTL_ENGINE_BACKOFF_CAP", "10ms")
            .env("SYNCCTL_ENGINE_TRIES", "12")
            // On a busy machine an answer may take long; it must be neither requested twice nor given up.
            .envs(
                ["GOOGLE_TIMEOUT", "GOOGLE_CONNECT_TIMEOUT", "DB_CONNECT_TIMEOUT", "OUTBOX_TIMEOUT", "HEALTHCHECKS_TIMEOUT"]
                    .map(|name| (format!("SYNCCTL_{name}"), "5m")),
            )
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "300000")
            .envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to completion.
    pub fn syncctl(&self, arguments: &[&str]) -> RunResult {
        run_result(self.command(arguments).output().expect("the binary starts"))
    }

    pub fn syncctl_with_input(&self, arguments: &[&str], input: &str) -> RunResult {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let written = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("the binary ends");
        // If the binary ends before it has read everything, its exit code counts.
        drop(written);
        run_result(output)
    }

    /// Starts the binary and leaves it running.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    }

    /// The jobs of the service, for everything, due or not. Returns the first that failed, or the last.
    pub fn sync_all(&self) -> RunResult {
        let mut runs: Vec<RunResult> = self.service.jobs.iter().map(|job| self.syncctl(job)).collect();
        let at = runs.iter().position(|run| run.code != 0).unwrap_or(runs.len() - 1);
        runs.swap_remove(at)
    }

    /// The live data in the database, in the simulator's terms.
    pub fn stored(&self) -> Truth {
        (self.service.stored)(self)
    }

    /// Rows of user, collection, id and version.
    pub fn collect(&self, statement: &str) -> Truth {
        self.query(statement).iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3))).collect()
    }

    pub fn query(&self, statement: &str) -> Vec<::postgres::Row> {
        self.database.connect().query(statement, &[]).unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// The first column of the first row, as a number.
    pub fn count(&self, statement: &str) -> i64 {
        self.query(statement).first().map_or(0, |row| row.get(0))
    }

    /// How many rows there are in a table, of all or of those that meet a condition: `streams WHERE failures > 0`.
    pub fn rows(&self, of: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM {of}"))
    }

    /// The first column of the first row, as text; empty for no row and for SQL's NULL.
    pub fn text(&self, statement: &str) -> String {
        self.query(statement).first().and_then(|row| row.get(0)).unwrap_or_default()
    }

    /// The first column of all rows, as texts.
    pub fn texts(&self, statement: &str) -> Vec<String> {
        self.query(statement).iter().map(|row| row.get(0)).collect()
    }

    pub fn execute(&self, statement: &str) {
        self.database.connect().batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}
