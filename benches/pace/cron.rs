//! Hosts on which a timer starts `gmail cron` every minute.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::ground::Ground;
use crate::run::Started;

pub const MINUTE: Duration = Duration::from_secs(60);

pub struct Cron<'a> {
    ground: &'a Ground,
    hosts: Vec<Host>,
    next: Instant,
    reports: Vec<Value>,
    /// Runs that found another one active (exit code 75), or were not started because their host's last one was still running.
    pub skipped: u32,
    pub killed: u32,
}

#[derive(Default)]
struct Host {
    running: Vec<(Instant, Started)>,
    /// SIGKILL strikes its next active run.
    doomed: bool,
}

impl<'a> Cron<'a> {
    /// One host with plain runs, or several with `--parallel`.
    pub fn on(ground: &'a Ground, hosts: usize) -> Self {
        let hosts = (0..hosts).map(|_| Host::default()).collect();
        Self { ground, hosts, next: Instant::now(), reports: Vec::new(), skipped: 0, killed: 0 }
    }

    /// Starts due runs, collects ended ones, kills doomed ones.
    pub fn look(&mut self) {
        let now = Instant::now();
        for at in 0..self.hosts.len() {
            self.collect(at, now);
        }
        if now >= self.next {
            self.next += MINUTE;
            (0..self.hosts.len()).for_each(|at| self.start(at));
        }
    }

    /// If there are several hosts, SIGKILLs the active run of the last one, or its next one.
    pub fn doom_last_of_many(&mut self) {
        if let [_, .., last] = self.hosts.as_mut_slice() {
            last.doomed = true;
        }
    }

    fn start(&mut self, at: usize) {
        let parallel = self.hosts.len() > 1;
        // A timer does not start again while its run is active; cron does, and the run exits by itself.
        if parallel && !self.hosts[at].running.is_empty() {
            self.skipped += 1;
            return;
        }
        let arguments: &[&str] = if parallel { &["gmail", "cron", "--json", "--parallel"] } else { &["gmail", "cron", "--json"] };
        let started = Started::of(self.ground, self.ground.command(arguments));
        self.hosts[at].running.push((Instant::now(), started));
    }

    fn collect(&mut self, at: usize, now: Instant) {
        let host = &mut self.hosts[at];
        // Long enough to have claimed something.
        if host.doomed
            && let Some((_, run)) = host.running.iter().find(|(since, _)| now - *since > Duration::from_millis(200))
        {
            run.signal(Signal::KILL);
            host.doomed = false;
            self.killed += 1;
        }
        let (ended, running): (Vec<_>, Vec<_>) =
            host.running.drain(..).map(|(since, mut run)| (run.is_over(), since, run)).partition(|(ended, ..)| *ended);
        host.running = running.into_iter().map(|(_, since, run)| (since, run)).collect();
        for (_, _, mut run) in ended {
            if run.code() == Some(75) {
                self.skipped += 1;
            } else {
                self.reports.extend(run.ended(now));
            }
        }
    }

    /// Stops all runs; returns their reports.
    pub fn end(mut self) -> Vec<Value> {
        let now = Instant::now();
        for host in self.hosts.drain(..) {
            self.reports.extend(host.running.into_iter().filter_map(|(_, run)| run.ended(now)));
        }
        self.reports
    }
}
