//! What follows an answer to a page request. Pure: the table below is all there is to decide, and `Slice` does what it says.
//!
//! | answer | follows |
//! |---|---|
//! | a page, and more follow | `Continue` with the next one |
//! | the last page | `Finish` with its cursor, or `Idle` if nothing has changed |
//! | none: the run ended first, or while the request waited for its turn | `Interrupt` |
//! | the page token is no longer valid | `Restart` the pass, up to a limit |
//! | the cursor is no longer valid | `Resync`, or `Degrade` above the day's limit |
//! | another transaction holds rows of the page | `Park` it, up to a limit, unless others wait for this stream |
//! | any other failure | `Fail` |

use super::Until;
use crate::db::pool::LOCKED;
use crate::engine::page::is_idle;
use crate::engine::{Next, Page, Position};
use crate::error::{Class, Failure};

/// Maximum number of pass restarts after a lost page token, per stream and run.
const MAX_RESTARTS: u32 = 3;
/// How often a page is retried whose rows another transaction holds. With the pauses between and the time that each try waits, this is somewhat more than
/// a minute: by then, anything that a dead host held is free.
const MAX_PARKS: u32 = 6;

/// Where a stream is when the answer arrives.
#[derive(Debug, Clone)]
pub struct State<'a> {
    /// The position of the request.
    pub at: &'a Position,
    pub until: Until,
    /// Whether the run was asked to stop.
    pub winding_down: bool,
    /// Whether earlier pages changed anything.
    pub has_changed: bool,
    /// How often its pass was restarted in this run.
    pub restarts: u32,
    /// How often it was parked.
    pub parks: u32,
    /// How often its cursor has expired today, and how often that may happen.
    pub resyncs: u32,
    pub max_resyncs: u32,
}

/// The answer to a page request.
pub enum Answer<C> {
    Page(Page<C>),
    /// The run ended before it arrived.
    Missing,
    /// The request failed.
    Failed(Failure),
    /// The page arrived and could not be written; the stream is where it was before.
    Unwritten(Failure),
}

/// What follows.
pub enum Transition<C> {
    /// Write the page; this is the position of the next one.
    Continue(Page<C>, Position),
    /// Write the last page; the next poll begins at this cursor.
    Finish(Page<C>, String),
    /// Write nothing; the next poll begins at this cursor.
    Idle(Page<C>, String),
    /// Begin the pass again, from here.
    Restart(Position),
    /// Forget the cursor and begin a full pass.
    Resync,
    /// Forget the cursor and fail: there were too many full passes.
    Degrade(Failure),
    /// Try the page again later.
    Park,
    /// End without a failure; the position is stored.
    Interrupt,
    Fail(Failure),
}

/// Decides what follows an answer.
pub fn transition<C>(state: &State<'_>, answer: Answer<C>) -> Transition<C> {
    match answer {
        Answer::Page(page) => after_page(state, page),
        Answer::Missing => Transition::Interrupt,
        Answer::Failed(failure) => after_failure(state, failure),
        Answer::Unwritten(failure) => after_write(state, failure),
    }
}

fn after_page<C>(state: &State<'_>, page: Page<C>) -> Transition<C> {
    match &page.next {
        Next::Page(token) => {
            let next = Position { page_token: Some(token.clone()), pinned: page.pinned.clone(), ..state.at.clone() };
            Transition::Continue(page, next)
        }
        Next::Cursor(cursor) => {
            let cursor = cursor.clone();
            if is_idle(&page, state.at) && !state.has_changed {
                Transition::Idle(page, cursor)
            } else {
                Transition::Finish(page, cursor)
            }
        }
    }
}

fn after_failure<C>(state: &State<'_>, failure: Failure) -> Transition<C> {
    let State { at, .. } = state;
    match failure.class {
        // Stopped while waiting for its turn: nothing failed.
        Class::RateLimited if state.winding_down => Transition::Interrupt,
        Class::PageExpired | Class::CursorExpired if at.page_token.is_some() => {
            if state.restarts < MAX_RESTARTS {
                // With a new pass number: items seen by earlier pages may be gone by now.
                Transition::Restart(Position { cursor: at.cursor.clone(), ..Position::default() })
            } else {
                Transition::Fail(failure)
            }
        }
        Class::CursorExpired if at.cursor.is_some() => match (state.resyncs + 1, state.max_resyncs) {
            (resyncs, max) if resyncs > max => {
                let message = format!("degraded: resync {resyncs} today, {max} are allowed; {}", failure.message);
                Transition::Degrade(Failure::new(Class::CursorExpired, message))
            }
            _ => Transition::Resync,
        },
        _ => Transition::Fail(failure),
    }
}

fn after_write<C>(state: &State<'_>, failure: Failure) -> Transition<C> {
    if failure.reason != LOCKED || state.until == Until::End {
        return Transition::Fail(failure);
    }
    if state.parks < MAX_PARKS {
        return Transition::Park;
    }
    let message = "another transaction has held rows of this page for a minute; `syncctl doctor` shows which one";
    Transition::Fail(Failure { message: format!("{message} ({})", failure.message), ..failure })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(token: Option<&str>) -> Answer<()> {
        let next = token.map_or(Next::Cursor("next".into()), |token| Next::Page(token.into()));
        Answer::Page(Page { items: Vec::new(), poison: Vec::new(), pinned: Some("pinned".into()), expected: None, next })
    }

    fn at(cursor: Option<&str>, page_token: Option<&str>) -> Position {
        let pass = cursor.is_none().then_some(1);
        Position { cursor: cursor.map(str::to_owned), page_token: page_token.map(str::to_owned), pass, ..Position::default() }
    }

    /// What follows, in short.
    fn follows(state: &State<'_>, answer: Answer<()>) -> String {
        let from = |at: Position| format!("{}/{}", at.cursor.unwrap_or_default(), at.page_token.unwrap_or_default());
        match transition(state, answer) {
            Transition::Continue(_, next) => format!("continue at {}", from(next)),
            Transition::Finish(_, cursor) => format!("finish at {cursor}"),
            Transition::Idle(_, cursor) => format!("idle at {cursor}"),
            Transition::Restart(position) => format!("restart at {}", from(position)),
            Transition::Resync => "resync".into(),
            Transition::Degrade(failure) => format!("degrade: {}", failure.message),
            Transition::Park => "park".into(),
            Transition::Interrupt => "interrupt".into(),
            Transition::Fail(failure) => format!("fail: {failure}"),
        }
    }

    fn state(at: &Position) -> State<'_> {
        let until = Until::Others;
        State { at, until, winding_down: false, has_changed: false, restarts: 0, parks: 0, resyncs: 0, max_resyncs: 2 }
    }

    #[test]
    fn pages_continue_until_the_cursor() {
        let (poll, second, pass) = (at(Some("old"), None), at(Some("old"), Some("a")), at(None, None));
        assert_eq!(follows(&state(&poll), page(Some("a"))), "continue at old/a");
        assert_eq!(follows(&state(&second), page(Some("b"))), "continue at old/b");
        assert_eq!(follows(&state(&poll), page(None)), "idle at next");
        assert_eq!(follows(&State { has_changed: true, ..state(&poll) }, page(None)), "finish at next");
        assert_eq!(follows(&state(&second), page(None)), "finish at next");
        assert_eq!(follows(&state(&pass), page(None)), "finish at next", "an empty pass deletes what it does not list");
        assert_eq!(follows(&state(&poll), Answer::Missing), "interrupt");
    }

    /// Each class, in a full pass's first and later pages, and in a poll's.
    #[test]
    fn only_expired_tokens_and_cursors_restart_a_pass() {
        for class in Class::ALL {
            let fail = format!("fail: {class}: why");
            let [mut pass, mut deep, mut poll, mut second] = [(); 4].map(|()| fail.clone());
            match class {
                Class::PageExpired => (deep, second) = ("restart at /".into(), "restart at old/".into()),
                Class::CursorExpired => {
                    (deep, second) = ("restart at /".into(), "restart at old/".into());
                    poll = "resync".into();
                }
                _ => {}
            }
            let failed = |at: Position| follows(&state(&at), Answer::Failed(Failure::new(class, "why")));
            let all = [at(None, None), at(None, Some("a")), at(Some("old"), None), at(Some("old"), Some("a"))].map(failed);
            assert_eq!(all, [pass, deep, poll, second], "{class}");
            pass = follows(&State { winding_down: true, ..state(&at(None, None)) }, Answer::Failed(Failure::new(class, "why")));
            assert_eq!(pass, if class == Class::RateLimited { "interrupt" } else { fail.as_str() }, "{class}");
        }
    }

    #[test]
    fn a_pass_restarts_three_times_and_a_cursor_expires_as_often_as_is_plausible() {
        let (deep, poll) = (at(None, Some("a")), at(Some("old"), None));
        let failed = |class| Answer::Failed(Failure::new(class, "why"));
        assert_eq!(follows(&State { restarts: 2, ..state(&deep) }, failed(Class::PageExpired)), "restart at /");
        assert_eq!(follows(&State { restarts: 3, ..state(&deep) }, failed(Class::PageExpired)), "fail: page_expired: why");
        assert_eq!(follows(&State { resyncs: 1, ..state(&poll) }, failed(Class::CursorExpired)), "resync");
        let degraded = "degrade: degraded: resync 3 today, 2 are allowed; why";
        assert_eq!(follows(&State { resyncs: 2, ..state(&poll) }, failed(Class::CursorExpired)), degraded);
    }

    #[test]
    fn a_page_whose_rows_are_locked_is_parked_six_times_and_only_if_it_came_from_the_queue() {
        let poll = at(Some("old"), None);
        let unwritten =
            |reason: &str| Answer::Unwritten(Failure { reason: reason.into(), ..Failure::new(Class::Internal, "why") });
        assert_eq!(follows(&State { parks: 5, ..state(&poll) }, unwritten(LOCKED)), "park");
        let held = follows(&State { parks: 6, ..state(&poll) }, unwritten(LOCKED));
        assert!(held.starts_with("fail: internal: another transaction has held rows") && held.ends_with("(why)"), "{held}");
        assert_eq!(follows(&State { until: Until::End, ..state(&poll) }, unwritten(LOCKED)), "fail: internal: why");
        assert_eq!(follows(&state(&poll), unwritten("23505")), "fail: internal: why");
    }
}
