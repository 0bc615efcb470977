//! A user's concurrent calls, and the effect of rejections.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn state() -> State {
    State::new(25, SECOND, 64 * SECOND, 3)
}

fn too_many() -> Failure {
    Failure::new(Class::RateLimited, "too many")
}

/// Starts `calls` calls together, of which `refused` are rejected.
fn burst(state: &mut State, calls: usize, refused: usize, now: Instant) {
    let epoch = state.epoch;
    (refused..calls).for_each(|_| state.passed(epoch));
    (0..refused).for_each(|_| state.refused(epoch, &too_many(), now));
}

#[test]
fn a_refused_burst_halves_concurrency_once_and_one_call_probes() {
    let (mut state, now) = (state(), Instant::now());
    burst(&mut state, 25, 15, now);
    assert_eq!(state.limit, 12);
    assert_eq!(state.may_enter(now), May::At(now + SECOND));
    assert_eq!(state.may_enter(now + SECOND), May::Enter);
    state.under_way = 1;
    assert_eq!(state.may_enter(now + SECOND), May::Wait);
    state.under_way = 0;
    burst(&mut state, 1, 1, now);
    assert_eq!((state.limit, state.may_enter(now)), (12, May::At(now + 2 * SECOND)));
    burst(&mut state, 1, 0, now);
    state.under_way = 11;
    assert_eq!(state.may_enter(now + 2 * SECOND), May::Enter);
}

#[test]
fn concurrency_grows_by_one_up_to_the_refused_level_then_slowly() {
    let (mut state, now) = (state(), Instant::now());
    burst(&mut state, 25, 1, now);
    for limit in 12..24 {
        assert_eq!(state.limit, limit);
        burst(&mut state, limit, 0, now);
    }
    burst(&mut state, RAISE_AFTER - 1, 0, now);
    assert_eq!(state.limit, 24);
    burst(&mut state, 1, 0, now);
    assert_eq!(state.limit, 25);
    burst(&mut state, 10 * RAISE_AFTER, 0, now);
    assert_eq!(state.limit, 25, "never more than the setting says");
}

#[test]
fn pauses_double_and_restart_from_the_last_sufficient_one() {
    let (mut state, now) = (state(), Instant::now());
    burst(&mut state, 25, 1, now);
    burst(&mut state, 1, 1, now);
    burst(&mut state, 1, 1, now);
    assert_eq!(state.until, Some(now + 4 * SECOND));
    burst(&mut state, 1, 0, now);
    burst(&mut state, 12, 1, now);
    assert_eq!((state.limit, state.until), (6, Some(now + 4 * SECOND)));
}

#[test]
fn repeated_pauses_end_in_giving_up_and_then_one_refusal_suffices() {
    let (mut state, now) = (state(), Instant::now());
    (0..3).for_each(|_| burst(&mut state, 1, 1, now));
    assert_eq!(state.given_up, 0);
    burst(&mut state, 1, 1, now);
    burst(&mut state, 1, 1, now);
    assert_eq!(state.given_up, 2);
    (0..9).for_each(|_| burst(&mut state, 1, 1, now));
    assert_eq!((state.limit, state.pause), (12, 64 * SECOND));
}

#[test]
fn retry_after_is_respected() {
    let (mut state, now) = (state(), Instant::now());
    state.refused(0, &Failure { retry_after: Some(30 * SECOND), ..too_many() }, now);
    assert_eq!(state.until, Some(now + 30 * SECOND));
}

#[tokio::test]
async fn waiting_calls_learn_that_the_gate_gave_up() {
    let settings =
        config::Engine { backoff_base: Duration::ZERO, backoff_cap: Duration::ZERO, tries: 1, ..config::Engine::default() };
    let gate = UserConcurrency::new(1, &settings);
    let patience = gate.patience();
    for _ in 0..=2 {
        gate.enter(&patience).await.expect("a turn").refused(&too_many());
    }
    assert!(gate.enter(&patience).await.is_err());
    gate.enter(&gate.patience()).await.expect("a turn").passed();
}
