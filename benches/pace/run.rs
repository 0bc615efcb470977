//! A run of the binary, and its measurements: from the run itself, the simulator, and the system.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::scale;
use crate::shared::figures::cpu_of_children;

/// A process of the binary; its output goes to files, so that no pipe fills.
pub struct Started {
    pub child: Child,
    output: PathBuf,
}

impl Started {
    pub fn of(ground: &Ground, mut command: Command) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let output = ground.folder.path().join(format!("run-{}", STARTED.fetch_add(1, Ordering::Relaxed)));
        let file = |end: &str| File::create(output.with_extension(end)).expect("a file");
        let child = command.stdout(file("out")).stderr(file("err")).stdin(Stdio::null()).spawn().expect("the binary starts");
        Self { child, output }
    }

    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// The exit code of an ended process; `None`: ended by a signal.
    pub fn code(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child")?.code()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        // It may just have ended.
        let _ = kill_process(pid, signal);
    }

    /// Waits until this moment, then stops it. Returns its report; `None`: no report.
    pub fn ended(mut self, until: Instant) -> Option<Value> {
        let patience = Duration::from_secs(60);
        let mut was_stopped = false;
        while !self.is_over() {
            let overtime = Instant::now().saturating_duration_since(until);
            if !overtime.is_zero() && !was_stopped {
                self.signal(Signal::TERM);
                was_stopped = true;
            }
            if overtime > patience {
                eprintln!("it does not end by SIGTERM within {} s", patience.as_secs());
                self.signal(Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = self.code();
        let read = |end: &str| std::fs::read_to_string(self.output.with_extension(end)).unwrap_or_default();
        let report = serde_json::from_str(&read("out")).ok();
        // A process killed by SIGKILL prints nothing.
        if report.is_none() && code.is_some() {
            eprintln!("no report; its last words: {}", read("err").lines().last().unwrap_or_default());
        }
        report
    }
}

/// The measurements of one or more consecutive runs.
#[derive(Default)]
pub struct Seen {
    pub seconds: f64,
    pub reports: Vec<Value>,
    pub ledger: Value,
    pub statements: i64,
    /// CPU seconds.
    pub cpu: f64,
}

impl Seen {
    /// Peak memory of a process of the binary.
    pub fn peak_rss_kib(&self) -> u64 {
        self.reports.iter().filter_map(|report| report["peak_rss_kib"].as_u64()).max().unwrap_or(0)
    }

    pub fn calls(&self) -> u64 {
        self.ledger["total"].as_u64().unwrap_or(0)
    }

    pub fn beyond(&self) -> u64 {
        self.ledger["beyond"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
    }

    pub fn beyond_share(&self) -> f64 {
        self.beyond() as f64 / self.calls().max(1) as f64
    }

    /// The sum of a number over all reports.
    pub fn sum(&self, key: &str) -> u64 {
        self.reports.iter().filter_map(|report| report[key].as_u64()).sum()
    }

    pub fn json(&self) -> Value {
        let stopped: Vec<&Value> =
            self.reports.iter().map(|report| &report["stopped_early"]).filter(|why| !why.is_null()).collect();
        json!({ "seconds": self.seconds, "cpu_seconds": self.cpu, "peak_rss_kib": self.peak_rss_kib(), "calls": self.calls(),
            "beyond": self.ledger["beyond"], "beyond_share": self.beyond_share(), "requests_at_once": self.ledger["requests_at_once"],
            "batches": self.ledger["batches"], "units": self.ledger["units"], "token_requests": self.ledger["oauth"]["refreshes"],
            "statements": self.statements, "runs": self.reports.len(), "stopped_early": stopped })
    }
}

/// Starts measuring: the ledger, the statements and the clock start at zero.
pub struct Look<'a> {
    ground: &'a Ground,
    began: Instant,
    cpu: f64,
}

impl<'a> Look<'a> {
    pub fn at(ground: &'a Ground) -> Self {
        ground.reset_statements();
        ground.sim.reset_ledger();
        Self { ground, cpu: cpu_of_children(), began: Instant::now() }
    }

    pub fn end(self, reports: Vec<Value>) -> Seen {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu = cpu_of_children() - self.cpu;
        Seen { seconds, reports, ledger: self.ground.sim.ledger(), statements: self.ground.statements(), cpu }
    }
}

/// Runs this command, at most for the time limit of a scenario.
pub fn run(ground: &Ground, command: Command) -> Seen {
    let look = Look::at(ground);
    let until = Instant::now() + scale::cap();
    let report = Started::of(ground, command).ended(until);
    look.end(report.into_iter().collect())
}

/// Runs `cron` repeatedly until it is done, or for the time limit of a scenario.
pub fn run_until(ground: &Ground, done: impl Fn() -> bool) -> Seen {
    let look = Look::at(ground);
    let (until, mut reports) = (Instant::now() + scale::cap(), Vec::new());
    while reports.is_empty() || (!done() && Instant::now() < until) {
        let command = ground.command(&[ground.service.name, "cron", "--json"]);
        reports.extend(Started::of(ground, command).ended(until));
    }
    look.end(reports)
}
