//! A database, a simulator as slow and as strict as Google, and the set-up before the clock starts.

use std::ops::{Deref, DerefMut};
use std::process::{Command, Stdio};

use serde_json::json;
use syncctl::config::{Limits, Quota};
use syncctl::services::registry;

use crate::simulator::Process;
use crate::support::service::{GMAIL, Service};
use crate::support::{Sim, World, postgres};

/// Median latency of an answer.
pub const MEDIAN_MS: f64 = 150.0;
const SIGMA: f64 = 0.4;
/// Addition of each call to its batch.
const PER_CALL_MS: f64 = 1.0;

/// Settings of the tests' worlds that are unrealistic: the defaults apply here.
const OF_TESTS: [&str; 3] = ["SYNCCTL_ENGINE_BACKOFF_BASE", "SYNCCTL_ENGINE_BACKOFF_CAP", "SYNCCTL_ENGINE_TRIES"];

/// A world with its simulator in a separate process.
pub struct Ground {
    world: World,
    _simulator: Process,
}

impl Deref for Ground {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Ground {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Ground {
    /// An empty database and an empty Google that answers immediately.
    pub fn of(service: &'static Service) -> Self {
        let simulator = Process::start();
        let sim = Sim { url: simulator.url.clone(), runtime: None };
        let database = postgres::shared().database();
        let (url, folder) = (database.url(), tempfile::tempdir().expect("a temporary folder"));
        let world = World { sim, database, folder, url, settings: Vec::new(), service };
        world.syncctl(&["accounts", "rekey", "--new-key", "--set", "db.auto_migrate=on"]).expect(0);
        let ground = Self { world, _simulator: simulator };
        // When a row was inserted, whatever happens to it later.
        for table in ["gmail_messages", "calendar_events"] {
            ground.execute(&format!("ALTER TABLE {table} ADD COLUMN came_at timestamptz DEFAULT clock_timestamp()"));
        }
        ground
    }

    /// This many new users with mailboxes of this many messages, all within the window, at a Google that is as slow and as strict as the
    /// real one.
    pub fn of_mailboxes(users: u32, messages: u32) -> Self {
        let mut ground = Self::of(&GMAIL);
        ground.set("SYNCCTL_GMAIL_WINDOW", "all");
        ground.sim.generate(users, 0);
        ground.sim.admin("mail/generate", json!({ "messages": messages, "seed": 7 }));
        ground.import();
        ground.slow();
        ground.limit();
        ground
    }

    /// The binary with its own defaults.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(arguments);
        for name in OF_TESTS {
            command.env_remove(name);
        }
        command
    }

    /// The same without limits of quota.
    pub fn command_without_quota(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        let service = self.service.name.to_uppercase();
        for limit in ["PROJECT_PER_MINUTE", "USER_PER_MINUTE", "PER_DAY"] {
            command.env(format!("SYNCCTL_QUOTA_{service}_{limit}"), "1000000000000");
        }
        command
    }

    /// Syncs everything before anything is measured: without limits and latency.
    pub fn bring_in_step(&self) {
        let mut command = self.command_without_quota(&[self.service.name, "cron"]);
        let status = command.stdout(Stdio::null()).status().expect("the binary starts");
        assert!(status.success(), "{} cron: {status}", self.service.name);
    }

    /// From now on answers have latency.
    pub fn slow(&self) {
        self.sim.admin("latency", json!({ "median_ms": MEDIAN_MS, "sigma": SIGMA, "per_call_ms": PER_CALL_MS }));
    }

    /// From now on Google's limits hold, in any sixty seconds; nothing is spent yet.
    pub fn limit(&self) {
        let limits = self.limits();
        let limits = json!({ "project_per_minute": limits.project_per_minute, "user_per_minute": limits.user_per_minute,
            "project_per_day": limits.per_day, "sliding": true });
        self.sim.admin("quota", limits);
        self.execute("TRUNCATE quota_usage, quota_minutes");
    }

    /// Removes all limits.
    pub fn unlimit(&self) {
        self.sim.admin("quota", json!({}));
    }

    /// Google's limits, which are syncctl's defaults.
    pub fn limits(&self) -> Limits {
        let entry = registry::find(self.service.name).expect("a service");
        (entry.limits)(&Quota::default())
    }

    /// Makes every stream of this kind due; returns their number.
    pub fn make_due(&self, kind: &str) -> i64 {
        self.execute(&format!("UPDATE streams SET due_at = now() WHERE kind = '{kind}'"));
        // Autovacuum's work in the minutes between two runs.
        self.execute("VACUUM ANALYZE streams");
        self.count(&format!("SELECT count(*) FROM streams WHERE kind = '{kind}'"))
    }
}
