//! The hosts: each starts one job after another, and some of these runs are killed, stopped, or suspended for longer than their lease.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rustix::process::{Pid, Signal};

use crate::arena::{Arena, LEASE};
use crate::support::World;

/// Concurrent runs over all hosts.
pub const LANES: usize = 6;
/// A run that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// Jobs of the world of calendars, mail and files, with weights. `USER` is replaced by one of its users.
const SYNC: [(&[&str], u32); 22] = [
    (&["calendar", "cron", "--force"], 6),
    (&["calendar", "cron", "--force", "--parallel"], 4),
    (&["gmail", "cron", "--force"], 6),
    (&["gmail", "cron", "--force", "--parallel"], 4),
    (&["drive", "cron", "--force"], 6),
    (&["drive", "cron", "--force", "--parallel"], 4),
    (&["sync", "cron", "--force"], 3),
    (&["calendar", "poll", "USER"], 2),
    (&["gmail", "poll", "USER"], 2),
    (&["sync", "user", "USER"], 2),
    (&["calendar", "batch-poll"], 1),
    (&["gmail", "smart-poll", "USER"], 1),
    (&["drive", "batch-poll"], 1),
    (&["calendar", "renew-watches"], 1),
    (&["gmail", "renew-watches"], 1),
    (&["drive", "renew-watches"], 1),
    (&["webhook", "drain"], 3),
    (&["items", "retry"], 1),
    (&["deliver"], 5),
    (&["verify", "--repair", "--all"], 1),
    (&["db", "prune"], 1),
    (&["accounts", "rekey", "--new-key"], 1),
];

/// Jobs of the world of meetings.
const MEETINGS: [(&[&str], u32); 5] = [
    (&["calendar", "cron", "--force"], 4),
    (&["attendee", "schedule"], 6),
    (&["attendee", "cron", "--force"], 4),
    (&["attendee", "batch-poll"], 1),
    (&["calendar", "cron", "--force", "--parallel"], 1),
];

/// What happens to a run that does not end before.
#[derive(Clone, Copy)]
enum Fate {
    Lives,
    Killed(Duration),
    Told(Duration),
    /// Suspended for this long.
    Suspended(Duration, Duration),
}

impl Fate {
    fn of(chance: &mut StdRng) -> Self {
        let at = Duration::from_millis(chance.random_range(1..400));
        match chance.random_range(0..20) {
            0..9 => Self::Killed(at),
            9 => Self::Told(at),
            10..12 => Self::Suspended(at, LEASE + Duration::from_millis(chance.random_range(100..1_500))),
            _ => Self::Lives,
        }
    }
}

/// Runs jobs until the chaos run is over.
pub fn work(arena: &Arena, lane: usize) {
    let mut chance = StdRng::seed_from_u64(arena.seed * 1_000 + lane as u64);
    let users: Vec<String> = arena.sync.sim.users().into_iter().collect();
    while !arena.is_over() {
        let of_meetings = lane.is_multiple_of(3);
        let (world, jobs): (&World, &[(&[&str], u32)]) =
            if of_meetings { (&arena.meetings, &MEETINGS) } else { (&arena.sync, &SYNC) };
        let (job, _) = jobs.choose_weighted(&mut chance, |(_, weight)| *weight).expect("weights");
        let user = users.choose(&mut chance).expect("a user");
        let arguments: Vec<&str> = job.iter().map(|word| if *word == "USER" { user.as_str() } else { word }).collect();
        let fate = Fate::of(&mut chance);
        let child = arena.command(world, lane, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let name = job.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        live(arena, child.expect("the binary starts"), fate, &format!("{name} (lane {lane})"));
    }
}

fn live(arena: &Arena, mut child: Child, fate: Fate, name: &str) {
    let pid = Pid::from_child(&child);
    let signal = |signal| {
        // It may just have ended.
        let _ = rustix::process::kill_process(pid, signal);
    };
    arena.story.record("run", format!("{name}, process {}", child.id()));
    let after = match fate {
        Fate::Lives => Duration::ZERO,
        Fate::Killed(at) | Fate::Told(at) | Fate::Suspended(at, _) => at,
    };
    if !ends_within(&mut child, after) {
        match fate {
            Fate::Lives => {}
            Fate::Killed(_) => {
                arena.story.record("kill", name);
                signal(Signal::KILL);
            }
            Fate::Told(_) => {
                arena.story.record("term", name);
                signal(Signal::TERM);
            }
            Fate::Suspended(_, length) => {
                arena.story.record("stop", name);
                signal(Signal::STOP);
                std::thread::sleep(length);
                signal(Signal::CONT);
            }
        }
    }
    if !ends_within(&mut child, PATIENCE) {
        arena.story.record("hung", format!("{name}, process {}", child.id()));
        signal(Signal::KILL);
    }
    if let Ok(status) = child.wait() {
        arena.story.record("end", format!("{name}: {status}"));
    }
}

fn ends_within(child: &mut Child, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Receives notifications: one listening process, killed from time to time.
pub fn listen(arena: &Arena) {
    let mut chance = StdRng::seed_from_u64(arena.seed * 1_000 + 999);
    while !arena.is_over() {
        let mut command = arena.command(&arena.sync, 0, &["webhook", "serve", "--listen", &arena.listen]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
        let length = Duration::from_millis(chance.random_range(500..8_000));
        let until = Instant::now() + length;
        while !arena.is_over() && !ends_within(&mut child, Duration::from_millis(50)) && Instant::now() < until {}
        arena.story.record("kill", "webhook serve");
        let _ = child.kill();
        let _ = child.wait();
        arena.pause(Duration::from_millis(100));
    }
}
