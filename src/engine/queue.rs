//! What dispatcher and workers of a run hand each other: claimed streams one way, idle ones the other. Knows no statement.
//!
//! A stream that was claimed is in one of these places until it has ended:
//!
//! | place | what is there | who takes it out |
//! |---|---|---|
//! | `polls` | follows a cursor and is due | a worker with a place free |
//! | `Lane::firsts` | has nothing yet: the first page of a full pass | a worker, when project and user have quota and a page has room |
//! | `Lane::deeper` | any later page of a full pass | the same, when no first page waits |
//! | `parked` | its user or the minute lacks quota | the time |
//! | under way | a request is, or the answer is written | itself, after a page of a pass |
//!
//! A pass goes behind all others after each page, so that the newest part of everybody comes before the second part of anybody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

use super::meter::Lack;
use super::outcome::Outcome;
use super::slice::Task;
use crate::db::runs::Progress;
use crate::db::streams::Idle;

/// How long idle streams wait for others to be closed with them.
const TOGETHER: Duration = Duration::from_secs(1);

/// The queue of one run.
pub struct Queue {
    state: Mutex<State>,
    /// Idle streams that are worth a statement.
    closed_together: usize,
    /// Tells the workers that there may be something to begin, or that nothing will come any more.
    pub filled: Arc<Notify>,
    /// Tells the dispatcher that there may be a statement to make.
    pub drained: Notify,
}

/// What is in the queue.
#[derive(Default)]
pub struct State {
    polls: VecDeque<Box<Task>>,
    lanes: Vec<Lane>,
    /// The lane that is looked at first.
    turn: usize,
    parked: BTreeMap<(Instant, u64), Box<Task>>,
    /// Tells those apart that are parked until the same moment.
    number: u64,
    /// The dispatcher wants to know when fewer polls, and fewer passes that are ready, wait than these.
    pub low: (usize, usize),
    /// Begun, and not ended.
    pub under_way: usize,
    /// Full passes among them.
    turns: usize,
    /// Full passes among them and among those that wait.
    pub passes: usize,
    /// Ended without a change, to be closed together; each with its user.
    pub idle: Vec<(Idle, Uuid)>,
    idle_since: Option<Instant>,
    /// A list brought new streams up: they are due in this very run.
    pub brought_up: bool,
    /// A worker died of a panic, and its streams with it.
    pub broken: bool,
    /// No rows will come any more.
    pub over: bool,
}

/// Full passes of one project.
struct Lane {
    project: String,
    firsts: VecDeque<Box<Task>>,
    deeper: VecDeque<Box<Task>>,
    /// The project lacks quota until then.
    until: Option<Instant>,
}

/// Whether a page of a pass may begin.
pub enum Admitted<G> {
    Yes(G),
    Lacks(Lack),
    /// The pages in hand leave no room for another.
    Full,
}

/// What there is to begin with.
pub enum Taken<G> {
    /// A stream; a pass with what it was granted.
    Task(Box<Task>, Option<G>),
    /// Nothing until then, or until the queue says so.
    Nothing(Option<Instant>),
}

impl State {
    /// Whether every stream that was claimed has ended.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.polls.is_empty() && self.parked.is_empty() && self.ready() == 0
    }

    /// Polls, and passes, that could begin.
    pub fn waiting(&self) -> (usize, usize) {
        (self.polls.len(), self.ready())
    }

    /// Adds streams that were claimed, or a pass that has come a page further.
    pub fn add(&mut self, mut task: Box<Task>) {
        if !task.is_pass() {
            self.polls.push_back(task);
            return;
        }
        self.passes += usize::from(!std::mem::replace(&mut task.outcome.is_pass, true));
        let lane = match self.lanes.iter_mut().position(|lane| lane.project == task.row.account.project) {
            Some(place) => &mut self.lanes[place],
            None => {
                let project = task.row.account.project.clone();
                self.lanes.push(Lane { project, firsts: VecDeque::new(), deeper: VecDeque::new(), until: None });
                let last = self.lanes.len() - 1;
                &mut self.lanes[last]
            }
        };
        match task.is_first() {
            true => lane.firsts.push_back(task),
            false => lane.deeper.push_back(task),
        }
    }

    /// Leaves a stream alone until then.
    fn park(&mut self, task: Box<Task>, until: Instant) {
        self.number += 1;
        self.parked.insert((until, self.number), task);
    }

    /// Takes out all that has not begun.
    pub fn clear(&mut self) {
        self.polls.clear();
        self.lanes.clear();
        self.parked.clear();
    }

    fn ready(&self) -> usize {
        self.lanes.iter().map(|lane| lane.firsts.len() + lane.deeper.len()).sum()
    }

    fn unpark(&mut self, now: Instant) {
        while let Some(first) = self.parked.first_entry().filter(|entry| entry.key().0 <= now) {
            let task = first.remove();
            self.add(task);
        }
    }

    /// A page of a pass that may begin: lanes take turns. `Err`: when there may be one.
    fn take_pass<G>(
        &mut self,
        now: Instant,
        mut admit: impl FnMut(&Task) -> Admitted<G>,
    ) -> Result<(Box<Task>, G), Option<Instant>> {
        let count = self.lanes.len();
        for step in 0..count {
            let place = (self.turn + step) % count;
            while self.lanes[place].until.is_none_or(|until| until <= now) {
                let lane = &mut self.lanes[place];
                let Some(task) = lane.firsts.pop_front().or_else(|| lane.deeper.pop_front()) else { break };
                match admit(&task) {
                    Admitted::Yes(granted) => {
                        self.turn = place + 1;
                        return Ok((task, granted));
                    }
                    Admitted::Lacks(Lack::User(until)) => self.park(task, until),
                    lacks => {
                        lane.until = match lacks {
                            Admitted::Lacks(Lack::Project(until)) => Some(until),
                            _ => None,
                        };
                        let is_full = lane.until.is_none();
                        match task.is_first() {
                            true => lane.firsts.push_front(task),
                            false => lane.deeper.push_front(task),
                        }
                        if is_full {
                            return Err(None);
                        }
                    }
                }
            }
        }
        let waiting = self.lanes.iter().filter(|lane| !lane.firsts.is_empty() || !lane.deeper.is_empty());
        let lanes = waiting.filter_map(|lane| lane.until);
        Err(lanes.chain(self.parked.keys().next().map(|(until, _)| *until)).min())
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(closed_together: usize, filled: Arc<Notify>) -> Self {
        Self { state: Mutex::default(), closed_together, filled, drained: Notify::new() }
    }

    /// What is in it now. Not to be held over an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a statement that closes idle streams is worth its cost: there are many, they have waited, or nothing else is to be waited for.
    pub fn may_close(&self, state: &State, now: Instant) -> bool {
        let have_waited = state.idle_since.is_some_and(|since| now >= since + TOGETHER);
        !state.idle.is_empty() && (state.idle.len() >= self.closed_together || have_waited || state.is_quiet())
    }

    /// Takes the idle streams out.
    pub fn take_idle(state: &mut State) -> Vec<(Idle, Uuid)> {
        state.idle_since = None;
        std::mem::take(&mut state.idle)
    }

    /// When idle streams will have waited.
    pub fn close_by(state: &State) -> Option<Instant> {
        state.idle_since.map(|since| since + TOGETHER)
    }

    /// A stream to begin with: polls first.
    ///
    /// `turns`: the most passes that may be under way.
    pub fn take<G>(&self, turns: usize, admit: impl FnMut(&Task) -> Admitted<G>) -> Taken<G> {
        let now = Instant::now();
        let mut state = self.state();
        state.unpark(now);
        let taken = match state.polls.pop_front() {
            Some(task) => Taken::Task(task, None),
            None if state.turns >= turns => Taken::Nothing(None),
            None => match state.take_pass(now, admit) {
                Ok((mut task, granted)) => {
                    task.outcome.has_turn = true;
                    state.turns += 1;
                    Taken::Task(task, Some(granted))
                }
                Err(until) => Taken::Nothing(until),
            },
        };
        if matches!(taken, Taken::Task(..)) {
            state.under_way += 1;
        }
        let (polls, passes) = state.waiting();
        if polls < state.low.0 || passes < state.low.1 {
            self.drained.notify_one();
        }
        taken
    }

    /// Where the streams are.
    pub fn progress(&self) -> Progress {
        let state = self.state();
        let (polls_waiting, passes_waiting) = state.waiting();
        let next = state.parked.keys().next().map(|(until, _)| until.saturating_duration_since(Instant::now()));
        Progress {
            under_way: state.under_way,
            polls_waiting,
            passes_waiting,
            passes_without_quota: state.parked.len(),
            next_seconds: next.map(|next| next.as_secs_f64()),
        }
    }

    /// Whether another page of this project is waiting for its turn: then nobody goes on.
    pub fn is_wanted(&self, project: &str) -> bool {
        let state = self.state();
        let mut lanes = state.lanes.iter().filter(|lane| lane.project == project);
        lanes.any(|lane| !lane.firsts.is_empty() || !lane.deeper.is_empty())
    }

    /// A stream that was taken waits for its next page, not before `until`.
    pub fn put_back(&self, mut task: Box<Task>, until: Option<Instant>) {
        let mut state = self.state();
        state.under_way -= 1;
        state.turns -= usize::from(std::mem::take(&mut task.outcome.has_turn));
        match until {
            Some(until) => state.park(task, until),
            None => state.add(task),
        }
        // A run that winds down begins nothing any more.
        if state.under_way == 0 {
            self.drained.notify_one();
        }
        drop(state);
        self.filled.notify_waiters();
    }

    /// A stream that was taken has ended; `idle`: to be closed with others.
    pub fn ended(&self, outcome: &Outcome, idle: Option<Idle>) {
        let mut state = self.state();
        state.under_way -= 1;
        state.passes -= usize::from(outcome.is_pass);
        state.turns -= usize::from(outcome.has_turn);
        state.brought_up |= outcome.counts.streams > 0;
        let now = Instant::now();
        if let Some(idle) = idle {
            state.idle_since.get_or_insert(now);
            state.idle.push((idle, outcome.user_id));
        }
        if outcome.has_turn {
            // Its turn is free for another one, in whichever thread.
            self.filled.notify_waiters();
        }
        // Streams that were brought up must not wait for others to end; while some wait in the queue there is no need to look.
        if state.under_way == 0 || self.may_close(&state, now) || (state.brought_up && state.polls.is_empty()) {
            self.drained.notify_one();
        }
    }

    /// No rows will come any more; those that wait are not begun.
    pub fn close(&self) {
        let mut state = self.state();
        state.clear();
        state.over = true;
        self.filled.notify_waiters();
    }
}

/// Held by a worker while it works: if it panics, the dispatcher must not wait for its streams.
pub struct Alive<'a>(pub &'a Queue);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().broken = true;
            self.0.drained.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::claims::StreamRow;
    use crate::engine::pace::Bounds;

    const BOUNDS: Bounds = Bounds { min: Duration::ZERO, max: Duration::from_secs(86_400), prior: 0.1, full_pass_every: None };

    /// A stream of a project: one that follows a cursor, or the first or a later page of a full pass.
    fn task(id: i64, project: &str, cursor: Option<&str>, page_token: Option<&str>) -> Box<Task> {
        let mut row = StreamRow::example(id, project);
        row.position.cursor = cursor.map(str::to_owned);
        row.position.page_token = page_token.map(str::to_owned);
        Box::new(Task::new(row, &BOUNDS))
    }

    fn queue(tasks: impl IntoIterator<Item = Box<Task>>) -> Queue {
        let queue = Queue::new(1, Arc::default());
        tasks.into_iter().for_each(|task| queue.state().add(task));
        queue
    }

    /// What may begin, one after the other, as long as something may.
    fn order(queue: &Queue, mut admit: impl FnMut(&Task) -> Admitted<()>) -> Vec<i64> {
        let mut order = Vec::new();
        while let Taken::Task(task, _) = queue.take(usize::MAX, &mut admit) {
            order.push(task.row.id);
        }
        order
    }

    #[test]
    fn polls_come_before_first_pages_and_these_before_deeper_ones() {
        let queue = queue([
            task(1, "p", None, Some("token")),
            task(2, "p", None, None),
            task(3, "p", Some("cursor"), None),
            task(4, "p", None, None),
        ]);
        assert_eq!(order(&queue, |_| Admitted::Yes(())), [3, 2, 4, 1]);
        let state = queue.state();
        assert_eq!((state.under_way, state.passes), (4, 3));
    }

    #[test]
    fn projects_take_turns_and_one_without_quota_holds_up_nobody_else() {
        let both = || (1..=6).map(|id| task(id, if id < 4 { "p" } else { "q" }, None, None));
        assert_eq!(order(&queue(both()), |_| Admitted::Yes(())), [1, 4, 2, 5, 3, 6]);
        let later = Instant::now() + Duration::from_secs(60);
        let lacking = |task: &Task| match task.row.account.project == "p" {
            true => Admitted::Lacks(Lack::Project(later)),
            false => Admitted::Yes(()),
        };
        let queue = queue(both());
        assert_eq!(order(&queue, lacking), [4, 5, 6]);
        assert!(matches!(queue.take(usize::MAX, lacking), Taken::Nothing(Some(until)) if until == later));
    }

    #[test]
    fn who_lacks_quota_is_left_alone_until_then_and_goes_behind_those_who_have_it() {
        let queue = queue((1..=3).map(|id| task(id, "p", None, None)));
        let soon = Instant::now() + Duration::from_millis(1);
        let mut asked = Vec::new();
        let one_lacks = |task: &Task| {
            asked.push(task.row.id);
            if task.row.id == 1 && asked.len() == 1 { Admitted::Lacks(Lack::User(soon)) } else { Admitted::Yes(()) }
        };
        assert_eq!(order(&queue, one_lacks), [2, 3]);
        assert!(!queue.state().is_quiet());
        while Instant::now() < soon {}
        assert_eq!(order(&queue, |_| Admitted::Yes(())), [1]);
    }

    #[test]
    fn so_many_passes_are_under_way_and_the_next_begins_when_one_has_ended() {
        let queue = queue((1..=3).map(|id| task(id, "p", None, None)));
        let yes = |_: &Task| Admitted::Yes(());
        let Taken::Task(first, _) = queue.take(1, yes) else { panic!("nothing to begin with") };
        assert!(matches!(queue.take(1, yes), Taken::Nothing(None)));
        queue.put_back(first, None);
        let Taken::Task(second, _) = queue.take(1, yes) else { panic!("nothing to begin with") };
        assert_eq!(second.row.id, 2);
        queue.ended(&second.outcome, None);
        assert!(matches!(queue.take(1, yes), Taken::Task(..)));
    }

    #[test]
    fn a_full_room_holds_up_passes_and_no_polls() {
        let queue = queue([task(1, "p", None, None), task(2, "p", Some("cursor"), None)]);
        assert_eq!(order(&queue, |_| Admitted::<()>::Full), [2]);
        assert_eq!(queue.state().waiting(), (0, 1));
    }

    #[tokio::test]
    async fn a_worker_that_panics_is_told_to_the_dispatcher() {
        let queue = Queue::new(1, Arc::default());
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let _alive = Alive(&queue);
                std::panic::resume_unwind(Box::new("a panic"));
            });
            worker.join().expect_err("it panicked");
        });
        queue.drained.notified().await;
        assert!(queue.state().broken);
    }
}
