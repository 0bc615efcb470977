//! More notifications than Google ever sends: none is lost, and memory stays flat.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::support::service::CALENDAR;
use crate::watched::{Watched, watched};

const USERS: u32 = 50;
const PER_SECOND: u32 = 5_000;
const SECONDS: u32 = 30;
const CONNECTIONS: u32 = 64;

#[derive(Serialize)]
pub struct Flood {
    sent: u64,
    answered_200: u64,
    stored: i64,
    counted_by_channels: i64,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Memory of `webhook serve`, in MiB: before, after a third, after two thirds, at the end, and its peak.
    rss_mib: [f64; 5],
    /// Streams polled by one drain afterwards.
    polled: u64,
}

impl Flood {
    /// Whether every sent notification is stored.
    pub fn is_whole(&self) -> bool {
        self.answered_200 == self.sent && self.stored == self.sent as i64 && self.counted_by_channels == self.stored
    }

    pub fn text(&self) -> String {
        let [before, early, late, end, most] = self.rss_mib;
        format!(
            "notifications sent         {} in {:.1} s: {:.0}/s over {CONNECTIONS} connections (aim: {PER_SECOND}/s for {SECONDS} s)\n\
             answered 200, stored       {}, {} (lost: {})\n\
             answer                     p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms\n\
             RSS of webhook serve, MiB  {before:.1} before, {early:.1} after a third, {late:.1} after two, {end:.1} at the end; peak {most:.1}\n\
             polls that they became     {} by one drain\n",
            self.sent,
            self.seconds,
            self.sent as f64 / self.seconds,
            self.answered_200,
            self.stored,
            self.sent as i64 - self.stored,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.polled,
        )
    }
}

/// 5,000 a second for 30 s to all channels of 50 users in turn.
pub fn flood() -> Flood {
    eprintln!("{PER_SECOND} notifications a second for {SECONDS} s …");
    let Watched { server, world } = watched(&CALENDAR, USERS, &[], &[]);
    world.execute("TRUNCATE notifications; UPDATE channels SET notifications = 0; CHECKPOINT");
    let status = format!("/proc/{}/status", server.child.id());
    let before = mib(&status, "VmRSS:");
    let done = AtomicBool::new(false);
    let (answer, samples) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut samples = Vec::new();
            while !done.load(Ordering::Relaxed) {
                samples.push(mib(&status, "VmRSS:"));
                std::thread::sleep(Duration::from_millis(250));
            }
            samples
        });
        let order = json!({ "messages": PER_SECOND * SECONDS, "per_second": PER_SECOND, "connections": CONNECTIONS });
        let answer = world.sim.admin("push/flood", order);
        done.store(true, Ordering::Relaxed);
        (answer, sampler.join().expect("samples"))
    });
    let figure = |name: &str| answer[name].as_f64().unwrap_or_else(|| panic!("{name} in {answer}"));
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize];
    let rss_mib = [before, at(1.0 / 3.0), at(2.0 / 3.0), at(1.0), mib(&status, "VmHWM:")];
    let drained = world.syncctl(&["webhook", "drain", "--json"]).expect(0).json();
    assert!(server.stop().success());
    Flood {
        sent: figure("messages") as u64,
        answered_200: figure("delivered") as u64,
        stored: world.count("SELECT count(*) FROM notifications"),
        counted_by_channels: world.count("SELECT sum(notifications)::int8 FROM channels"),
        seconds: figure("seconds"),
        p50_ms: figure("p50_ms"),
        p99_ms: figure("p99_ms"),
        max_ms: figure("max_ms"),
        rss_mib,
        polled: drained["runs"][0]["streams"].as_u64().unwrap_or(0),
    }
}

fn mib(status: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(status).expect("the server's status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of memory");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("a number") / 1024.0
}
