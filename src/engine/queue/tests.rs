//! The order in which streams begin, and what delays them.

use super::*;
use crate::db::claims::StreamRow;
use crate::engine::pace::Bounds;

const BOUNDS: Bounds = Bounds { min: Duration::ZERO, max: Duration::from_secs(86_400), prior: 0.1, full_pass_every: None };

/// A stream of a project: an incremental poll, or the first or a later page of a full pass.
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

/// Takes what may begin, one after the other, until nothing may.
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
fn projects_take_turns_and_one_without_quota_delays_no_other() {
    let both = || (1..=6).map(|id| task(id, if id < 4 { "p" } else { "q" }, None, None));
    assert_eq!(order(&queue(both()), |_| Admitted::Yes(())), [1, 4, 2, 5, 3, 6]);
    let later = Instant::now() + Duration::from_secs(60);
    let lacking =
        |task: &Task| if task.row.account.project == "p" { Admitted::Lacks(Lack::Project(later)) } else { Admitted::Yes(()) };
    let queue = queue(both());
    assert_eq!(order(&queue, lacking), [4, 5, 6]);
    assert!(matches!(queue.take(usize::MAX, lacking), Taken::Nothing(Some(until)) if until == later));
}

#[test]
fn polls_without_quota_delay_neither_other_projects_nor_other_users() {
    let polls = (1..=4).map(|id| task(id, if id < 3 { "p" } else { "q" }, Some("cursor"), None));
    let queue = queue(polls.chain([task(5, "q", None, None)]));
    let later = Instant::now() + Duration::from_secs(60);
    let lacking = |task: &Task| match task.row.id {
        1 | 2 => Admitted::Lacks(Lack::Project(later)),
        3 => Admitted::Lacks(Lack::User(later)),
        _ => Admitted::Yes(()),
    };
    assert_eq!(order(&queue, lacking), [4, 5]);
    let state = queue.state();
    assert_eq!((state.waiting(), state.ready(Instant::now())), ((2, 0), (0, 0)));
    drop(state);
    assert!(matches!(queue.take_at(later, usize::MAX, |_| Admitted::Yes(())), Taken::Task(task, ()) if task.row.id == 1));
}

#[test]
fn only_users_without_quota_wait_until_it_returns() {
    let queue = queue((1..=3).map(|id| task(id, "p", None, None)));
    let later = Instant::now() + Duration::from_secs(3_600);
    let first_lacks = |task: &Task| match task.row.id {
        1 => Admitted::Lacks(Lack::User(later)),
        _ => Admitted::Yes(()),
    };
    assert_eq!(order(&queue, first_lacks), [2, 3]);
    assert!(!queue.state().is_quiet());
    assert!(matches!(queue.take(usize::MAX, first_lacks), Taken::Nothing(Some(until)) if until == later));
    let Taken::Task(first, _) = queue.take_at(later, usize::MAX, |_| Admitted::Yes(())) else { panic!("its time has come") };
    assert_eq!(first.row.id, 1);
}

#[test]
fn the_number_of_concurrent_passes_is_limited() {
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
fn a_full_memory_budget_delays_passes_but_no_polls() {
    let queue = queue([task(1, "p", None, None), task(2, "p", Some("cursor"), None)]);
    let full = |task: &Task| if task.is_pass() { Admitted::Full } else { Admitted::Yes(()) };
    assert_eq!(order(&queue, full), [2]);
    assert_eq!(queue.state().waiting(), (0, 1));
}

#[test]
fn only_deep_passes_yield() {
    let now = Instant::now();
    let queue = queue([
        task(1, "a", None, None),
        task(2, "a", None, Some("2")),
        task(3, "a", None, Some("2")),
        task(4, "a", Some("c"), None),
    ]);
    let mut state = queue.state();
    state.under_way += 1;
    drop(state);
    queue.put_back(task(5, "b", None, Some("2")), Some(now + Duration::from_secs(9)));
    let mut state = queue.state();
    let ids = |deep: Vec<Outcome>| deep.into_iter().map(|outcome| outcome.id).collect::<Vec<_>>();
    assert_eq!(ids(state.take_deep(1)), [3], "the last in the line");
    assert_eq!(ids(state.take_deep(9)), [2, 5], "then those that lack quota");
    assert_eq!((state.firsts(), state.waiting()), (1, (1, 1)));
}
