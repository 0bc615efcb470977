//! Waiting for quota.

use super::*;
use crate::config::Db;
use crate::db::conninfo::Target;

/// A hundred units per minute for a user, a thousand for the project.
fn meter() -> Arc<Meter> {
    let target = Target::parse("postgres://user@127.0.0.1/db", None, Duration::from_secs(1)).expect("a target");
    let pool = Pool::new(target, &Db::default()).expect("a pool that connects on demand");
    let limits = Limits { project_per_minute: 1_000, user_per_minute: 100, per_day: u64::MAX, user_concurrency: 0 };
    Arc::new(Meter::new(pool, "gmail", limits, false, true))
}

#[tokio::test]
async fn a_poll_without_user_quota_delays_no_other_user() {
    let (meter, busy, other) = (meter(), Uuid::from_u128(1), Uuid::from_u128(2));
    meter.spend("p", busy, 100, For::Polls).await.expect("room");
    let waits = meter.spend("p", busy, 10, For::Polls);
    tokio::pin!(waits);
    assert!(futures_util::poll!(&mut waits).is_pending());
    assert!(meter.book("p", other, &(10..=10), For::Passes).is_ok());
    assert!(matches!(meter.book("p", busy, &(10..=10), For::Passes), Err(Lack::User(_))));
}

#[tokio::test]
async fn no_pass_starts_while_a_poll_waits_for_project_quota() {
    let meter = meter();
    for user in 0..10 {
        meter.spend("p", Uuid::from_u128(user), 100, For::Polls).await.expect("room");
    }
    let waits = meter.spend("p", Uuid::from_u128(20), 10, For::Polls);
    tokio::pin!(waits);
    assert!(futures_util::poll!(&mut waits).is_pending());
    assert!(matches!(meter.book("p", Uuid::from_u128(21), &(1..=1), For::Passes), Err(Lack::Project(_))));
}

#[tokio::test]
async fn unused_units_of_a_page_can_be_reserved_again() {
    let (meter, user) = (meter(), Uuid::from_u128(1));
    let book = |min| meter.book("p", user, &(min..=40), For::Passes);
    let mut pages: Vec<Booking> = (0..5).map(|_| book(4).expect("room")).collect();
    assert!(pages.iter().all(|page| page.remaining() == 8), "a twelfth of the minute each");
    assert!(matches!(book(1), Err(Lack::User(_))));
    assert!(pages[0].draw(3) && !pages[0].draw(6));
    drop(pages.swap_remove(0));
    assert_eq!(book(4).expect("room for what came back").remaining(), 5);
}
