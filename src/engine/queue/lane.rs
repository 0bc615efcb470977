//! The streams of each project, in turn order.

use std::collections::VecDeque;
use std::time::Instant;

use super::Admitted;
use crate::engine::meter::{For, Lack};
use crate::engine::outcome::Outcome;
use crate::engine::slice::Task;

/// The lanes of all projects, which take turns.
#[derive(Default)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// The lane to check first.
    turn: usize,
}

struct Lane {
    project: String,
    polls: Line,
    passes: Line,
}

/// Streams of one project that wait for the same quota.
#[derive(Default)]
struct Line {
    /// Passes without stored data; they precede the others.
    firsts: VecDeque<Box<Task>>,
    others: VecDeque<Box<Task>>,
    /// The project lacks quota until this time.
    until: Option<Instant>,
}

/// Streams that wait, and why.
pub struct Waits {
    /// None of them may begin before this time.
    pub until: Option<Instant>,
    /// Streams whose users lack quota, and until when.
    pub users: Vec<(Box<Task>, Instant)>,
}

impl Lanes {
    /// Puts a stream behind the others of its project.
    pub fn push(&mut self, task: Box<Task>) {
        let project = &task.row.account.project;
        let index = self.lanes.iter().position(|lane| lane.project == *project).unwrap_or_else(|| {
            self.lanes.push(Lane { project: project.clone(), polls: Line::default(), passes: Line::default() });
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[index];
        if task.is_pass() { lane.passes.push(task) } else { lane.polls.push(task) }
    }

    /// Takes out all streams; returns their outcomes so far.
    pub fn clear(&mut self) -> Vec<Outcome> {
        let lines = self.lanes.drain(..).flat_map(|lane| [lane.polls, lane.passes]);
        lines.flat_map(|line| line.firsts.into_iter().chain(line.others)).map(|task| task.outcome).collect()
    }

    /// Number of waiting passes without stored data.
    pub fn firsts(&self) -> usize {
        self.lanes.iter().map(|lane| lane.passes.firsts.len()).sum()
    }

    /// Takes out at most `max` passes that are beyond their first page, starting with those whose turn would come last. Returns their outcomes so far.
    pub fn take_deep(&mut self, max: usize) -> Vec<Outcome> {
        let mut deep = Vec::new();
        for lane in &mut self.lanes {
            let others = &mut lane.passes.others;
            deep.extend(others.drain(others.len().saturating_sub(max - deep.len())..).map(|task| task.outcome));
        }
        deep
    }

    /// Numbers of waiting polls and passes.
    pub fn waiting(&self) -> (usize, usize) {
        self.sum(|_| true)
    }

    /// The same, without those that wait for their project's quota.
    pub fn ready(&self, now: Instant) -> (usize, usize) {
        self.sum(|line| line.is_open(now))
    }

    fn sum(&self, counts: impl Fn(&Line) -> bool) -> (usize, usize) {
        let len = |line: &Line| if counts(line) { line.len() } else { 0 };
        self.lanes.iter().fold((0, 0), |(polls, passes), lane| (polls + len(&lane.polls), passes + len(&lane.passes)))
    }

    /// Whether a pass of this project waits for its turn.
    pub fn has_pass(&self, project: &str) -> bool {
        self.lanes.iter().any(|lane| lane.project == project && lane.passes.len() > 0)
    }

    /// Takes a stream that may begin. Also returns what waits instead; users that lack quota are always included.
    pub fn take<G>(
        &mut self,
        what: For,
        now: Instant,
        mut admit: impl FnMut(&Task) -> Admitted<G>,
    ) -> (Option<(Box<Task>, G)>, Waits) {
        let mut waits = Waits { until: None, users: Vec::new() };
        let count = self.lanes.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let line = self.lanes[index].line(what);
            while line.is_open(now) {
                let Some(task) = line.pop() else { break };
                match admit(&task) {
                    Admitted::Yes(granted) => {
                        self.turn = index + 1;
                        return (Some((task, granted)), waits);
                    }
                    Admitted::Lacks(Lack::User(until)) => waits.users.push((task, until)),
                    Admitted::Lacks(Lack::Project(until)) => {
                        line.until = Some(until);
                        line.push_front(task);
                    }
                    Admitted::Full => {
                        line.push_front(task);
                        return (None, waits);
                    }
                }
            }
        }
        let lines = self.lanes.iter_mut().map(|lane| lane.line(what)).filter(|line| line.len() > 0);
        waits.until = lines.filter_map(|line| line.until).min();
        (None, waits)
    }
}

impl Lane {
    fn line(&mut self, what: For) -> &mut Line {
        if what == For::Polls { &mut self.polls } else { &mut self.passes }
    }
}

impl Line {
    fn len(&self) -> usize {
        self.firsts.len() + self.others.len()
    }

    fn is_open(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn push(&mut self, task: Box<Task>) {
        self.part(&task).push_back(task);
    }

    /// Puts a stream back so that it is the next one.
    fn push_front(&mut self, task: Box<Task>) {
        self.part(&task).push_front(task);
    }

    fn pop(&mut self) -> Option<Box<Task>> {
        self.firsts.pop_front().or_else(|| self.others.pop_front())
    }

    fn part(&mut self, task: &Task) -> &mut VecDeque<Box<Task>> {
        if task.is_first() { &mut self.firsts } else { &mut self.others }
    }
}
